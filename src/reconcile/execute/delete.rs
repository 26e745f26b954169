//! Deleting an object: the one that was decided about, and no other.
//!
//! The request is bound to uid and resource version as they were seen. A status that moves without
//! a new verdict is no new observation, so that version may be old although nothing that counts
//! has changed: then the object is read once more, and if it is the same apart from its status,
//! the delete is bound to the version just read. It is never bound to nothing.

use super::{About, failure};
use crate::cluster::{
    Class, Connection, DeleteRequest, DeleteResult, Error, Normalised, Propagation, normalize,
};
use crate::ledger::event::{Write, WriteResult};
use crate::model::Cascade;
use crate::reconcile::driver::Parts;
use crate::replay::{App, LiveObject};

/// How often an object is read anew. Bound: one whose status moves faster is tried again later.
const READS_MAX: usize = 3;

pub(super) async fn run(
    parts: &Parts,
    about: &About,
    write: &Write,
    audit_id: String,
) -> WriteResult {
    let Some((uid, resource_version)) = write.precondition.clone() else {
        return WriteResult::NotSent("the delete names no uid".into());
    };
    let propagation = {
        let view = parts.read();
        view.world.apps.get(&about.app).map_or(Propagation::Foreground, propagation)
    };
    let mut request = DeleteRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        uid,
        resource_version,
        propagation,
        audit_id,
    };
    let mut connection = parts.cluster.clone();
    for _ in 0..READS_MAX {
        let error = match connection.delete(&request).await {
            Ok(DeleteResult::Deleted) => return WriteResult::Deleted,
            Ok(DeleteResult::AlreadyGone) => return WriteResult::AlreadyGone,
            Err(error) => error,
        };
        if error.class() != Class::Conflict {
            return failure(&error);
        }
        // Nothing was done, and there may be time for another request.
        let Some(further) = about.further(parts) else { return failure(&error) };
        connection = further;
        match current_version(parts, &connection, write).await {
            Ok(Some(version)) => request.resource_version = version,
            Ok(None) => return failure(&error),
            Err(error) => return failure(&error),
        }
    }
    WriteResult::Failed(format!("delete {}: its status keeps changing", write.key))
}

/// How the dependents of what is deleted for an application go: on its removal, its finalizer
/// decides.
fn propagation(app: &App) -> Propagation {
    let option = app.spec.prune_propagation.as_str();
    match (app.spec.removals.cascade.filter(|_| app.removing), option) {
        (Some(Cascade::Background), _) | (None, "Background") => Propagation::Background,
        (None, "Orphan") if !app.removing => Propagation::Orphan,
        _ => Propagation::Foreground,
    }
}

/// The resource version that the object has now, if it still is what was decided about.
async fn current_version(
    parts: &Parts,
    connection: &Connection,
    write: &Write,
) -> Result<Option<String>, Error> {
    let known = parts.read().world.live.get(&write.key).cloned();
    let Some(known) = known else { return Ok(None) };
    // Only in the version it was seen in does the same object look the same.
    let Some(raw) = connection.get(&write.key, &known.version).await? else { return Ok(None) };
    let Ok(found) = normalize(&raw, &parts.ledger) else { return Ok(None) };
    Ok(same(write, &known, &found).then_some(found.resource_version))
}

/// Whether `found` is the object that `write` was decided about, apart from its status: nothing
/// was recorded of it since, and it is the same object with the same content.
pub(in crate::reconcile) fn same(write: &Write, known: &LiveObject, found: &Normalised) -> bool {
    let decided = write.precondition.as_ref();
    decided.is_some_and(|(uid, resource_version)| {
        known.uid == *uid
            && known.resource_version == *resource_version
            && found.uid == *uid
            && found.version == known.version
            && found.digest == known.digest
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::SecretDigest;
    use crate::ledger::event::{Health, Verb};
    use crate::model::{BlobAddr, Digest, Protection, Seq, Timestamp};

    struct Key;

    impl SecretDigest for Key {
        fn digest(&self, bytes: &[u8]) -> Digest {
            Digest::of(bytes)
        }
    }

    fn object(uid: &str, version: &str, owner: &str, status: u32) -> Normalised {
        let raw: Value = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "n", "uid": uid, "resourceVersion": version,
                "labels": {"owner": owner}},
            "status": {"beat": status},
        });
        normalize(&raw, &Key).unwrap()
    }

    fn known(object: &Normalised) -> LiveObject {
        LiveObject {
            version: object.version.clone(),
            uid: object.uid.clone(),
            resource_version: object.resource_version.clone(),
            digest: object.digest,
            answered: false,
            shown: true,
            owned: None,
            object: BlobAddr(object.digest.0),
            status: None,
            images: None,
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            managed_by: "".into(),
            scales: None,
            controller: String::new(),
            deleting: false,
            seq: Seq(1),
            seen: Timestamp::default(),
        }
    }

    #[test]
    fn only_the_status_may_have_moved_since_the_decision() {
        let decided = object("u", "5", "a", 1);
        let write = Write {
            precondition: Some(("u".into(), "5".into())),
            ..Write::plain(Verb::Prune, decided.key.clone(), "v1", "")
        };
        let seen = known(&decided);
        assert!(same(&write, &seen, &object("u", "9", "a", 2)));
        assert!(!same(&write, &seen, &object("other", "9", "a", 2)), "another of its name");
        assert!(!same(&write, &seen, &object("u", "9", "b", 2)), "somebody changed it");
        let newer = known(&object("u", "7", "b", 1));
        assert!(!same(&write, &newer, &object("u", "9", "b", 1)), "recorded after the decision");
        let unbound = Write { precondition: None, ..write };
        assert!(!same(&unbound, &seen, &object("u", "9", "a", 2)));
    }
}
