//! Blame of an object in a cluster that was restored from a backup.

use serde_json::json;

use super::ledger::{Told, WEB, deployment, replicas_of};
use crate::ledger::event::{ClusterRevertedV1, Learned, ObjectGoneV1};
use crate::model::{GroupKind, Seq};

const REPLICAS: &str = ".spec.replicas";

fn set_back(told: &mut Told) -> Seq {
    told.story.event(ClusterRevertedV1 {
        uid: "c-1".into(),
        version: "v1.36.3".into(),
        server: "https://127.0.0.1:6443".into(),
        kind: GroupKind::new("apps", "Deployment"),
        observed: 40,
        revision: 15,
    })
}

/// Goal: an object that went after the backup and is there again is told as it is: by whoever made
/// the version that came back, and not by whom came later.
#[test]
fn what_comes_back_with_a_backup_is_as_it_was_then() {
    // It is seen in the version that was known, or in a later one of the cluster as it is.
    for version in [10, 15] {
        let mut told = Told::new(WEB);
        let two = deployment(2, "app:v1");
        let first = told.watches(10, &two, &[replicas_of("alice", 1)]);
        told.watches(20, &deployment(5, "app:v1"), &[replicas_of("bob", 2)]);
        let (key, uid) = (told.key.clone(), "u1".to_owned());
        let gone = told.story.event(ObjectGoneV1 { key, uid, learned: Learned::Watched });
        told.sees(Learned::Watched, ("u2", 30), &deployment(7, "app:v1"), &[]);
        let blame = told.blame();
        assert_eq!((blame.uid.as_str(), blame.gone.is_none(), blame.before), ("u2", true, 1));
        set_back(&mut told);
        let blame = told.blame();
        assert!(!blame.former.is_empty() && blame.gone.is_some(), "it was not seen yet");

        told.sees(Learned::Listed, ("u1", version), &two, &[replicas_of("alice", 1)]);
        let blame = told.blame();
        assert_eq!((blame.gone, blame.former.as_str()), (None, ""), "{gone}");
        assert_eq!((blame.uid.as_str(), blame.before), ("u1", 0));
        let field = blame.fields.into_iter().find(|field| field.path == REPLICAS).unwrap();
        assert_eq!((field.value, field.set.seq), (json!(2), first.0), "{version}");
        // What comes then counts from there, whatever its number was before.
        let carol = told.watches(20, &deployment(9, "app:v1"), &[replicas_of("carol", 3)]);
        let field = told.field(REPLICAS);
        assert_eq!((field.value, field.set.seq), (json!(9), carol.0));
    }
}

/// Goal: an object whose versions of before all came after the backup begins with what is seen.
#[test]
fn what_was_never_seen_as_it_is_begins_when_it_is_seen() {
    let mut told = Told::new(WEB);
    told.watches(20, &deployment(5, "app:v1"), &[replicas_of("bob", 2)]);
    set_back(&mut told);
    let seen = told.sees(Learned::Listed, ("u1", 10), &deployment(2, "app:v1"), &[]);
    let blame = told.blame();
    assert_eq!((blame.begun.seq, blame.versions, blame.before), (seen.0, 1, 0));
    assert!(blame.fields.iter().all(|field| field.set.seq == seen.0));
}
