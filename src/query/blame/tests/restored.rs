//! Blame of what a person restored that no application has.

use serde_json::json;

use super::ledger::{Told, WEB, deployment, replicas_of};
use crate::ledger::Draft;
use crate::ledger::event::{
    BackTo, Learned, ObjectGoneV1, RestoreEndedV1, RestoreIntendedV1, RestoreResult, RestoreWrite,
    Verb,
};
use crate::model::{Actor, Seq};

const REPLICAS: &str = ".spec.replicas";
const IMAGE: &str = ".spec.template.spec.containers[name=web].image";

impl Told {
    /// A person brings it back; the answer names a version.
    fn restores(&mut self, verb: Verb, (uid, version): (&str, &str), settled: bool) -> Seq {
        let write = RestoreWrite {
            key: self.key.clone(),
            version: "v1".into(),
            verb,
            saved: None,
            of_manifest: false,
            places: Vec::new(),
            fields: Vec::new(),
            found: None,
            beside: None,
        };
        let (writes, from) = (vec![write], BackTo::Instant(Seq(1)));
        let body = RestoreIntendedV1 { writes, from, timeout_ms: 1_000, reason: String::new() };
        let restore = self.story.add(Draft::new(body).by(Actor::os_user("alice")));
        let made = RestoreResult::Made { uid: uid.into(), resource_version: version.to_owned() };
        let (objects, results) = (vec![self.key.clone()], vec![(0, made)]);
        self.story.event(RestoreEndedV1 { restore, objects, results, settled });
        restore
    }

    fn goes_away(&mut self, uid: &str) {
        let (key, uid) = (self.key.clone(), uid.to_owned());
        self.story.event(ObjectGoneV1 { key, uid, learned: Learned::Watched });
    }
}

/// Goal: what a restore created, changed or removed was greffier's doing, at somebody's request;
/// what others set stays theirs, and what was settled by looking is nobody's.
#[test]
fn what_was_restored_is_greffiers_and_says_who_asked() {
    let mut told = Told::new(WEB);
    told.watches(5, &deployment(1, "app:v1"), &[]);
    let made = told.restores(Verb::Create, ("u2", "10"), false);
    let two = deployment(2, "app:v1");
    let greffier = |time| replicas_of("greffier", time);
    told.sees(Learned::Watched, ("u2", 10), &two, &[greffier(1)]);
    let blame = told.blame();
    let write = blame.begun.who.write.unwrap();
    assert_eq!((blame.begun.who.name.as_str(), write.app.as_str()), ("greffier", ""));
    assert_eq!((write.intent, write.verb.as_str()), (made.0, "create"));
    assert_eq!(write.reason, format!("restored as at #1: os-user:alice asked for it (#{made})"));
    let field = told.field(IMAGE);
    assert_eq!(field.set.who.write.map(|write| write.intent), Some(made.0));
    assert!(field.set.git.is_none(), "no commit has it");

    let five = deployment(5, "app:v1");
    let bob = told.sees(Learned::Watched, ("u2", 11), &five, &[replicas_of("bob", 2)]);
    let back = told.restores(Verb::Update, ("u2", "12"), false);
    told.sees(Learned::Watched, ("u2", 12), &two, &[greffier(3)]);
    let field = told.field(REPLICAS);
    let write = field.set.who.write.unwrap();
    assert_eq!((write.intent, write.verb.as_str(), field.value), (back.0, "update", json!(2)));
    assert_eq!(told.field(IMAGE).set.who.write.map(|write| write.intent), Some(made.0));

    let removed = told.restores(Verb::Prune, ("u2", ""), false);
    told.goes_away("u2");
    let who = told.blame().gone.unwrap().who;
    assert_eq!(
        who.write.map(|write| (write.intent, write.verb)),
        Some((removed.0, "prune".into()))
    );
    let gone = told.story.ledger.head();
    let who = crate::query::who::who(&told.story.ledger, gone, None).unwrap().unwrap();
    assert_eq!(who.own.map(|own| own.intent), Some(removed));
    assert!(bob < back);
}

#[test]
fn what_was_settled_by_looking_tells_nobody() {
    let mut told = Told::new(WEB);
    told.restores(Verb::Create, ("u2", "10"), true);
    told.sees(Learned::Watched, ("u2", 10), &deployment(2, "app:v1"), &[]);
    assert_eq!(told.field(IMAGE).set.who.write, None);
    told.restores(Verb::Prune, ("u2", ""), true);
    told.goes_away("u2");
    assert_eq!(told.blame().gone.unwrap().who.write, None);
}
