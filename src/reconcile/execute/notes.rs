//! What else an answer tells: what admission changed, whose fields are to be taken over, and what
//! stays although it left Git.

use serde_json::Value;

use crate::cluster::{self, Normalised, SecretDigest, Stored, normalize};
use crate::ledger::Blob;
use crate::ledger::event::{ApplyNotes, WriteResult};
use crate::reconcile::driver::Parts;
use crate::replay::LiveObject;

/// The most fields that are named as left behind, or as set by hand.
const LEFT_MAX: usize = 20;

/// Gathers the notes of an answer; `sent` is the manifest that it answers, if one was sent.
pub(super) fn of(
    sealer: &dyn SecretDigest,
    returned: &Normalised,
    sent: Option<&Value>,
    last: impl FnOnce(&Normalised) -> Option<Stored>,
) -> ApplyNotes {
    let sent = sent.and_then(|sent| normalize(sent, sealer).ok());
    let mut left = if sent.is_some() { left_behind(returned, last) } else { Vec::new() };
    left.truncate(LEFT_MAX);
    let own = returned.fields.iter().find(|entry| entry.is_own());
    ApplyNotes {
        written: own.and_then(|own| own.stamp.time),
        admitted: sent.map(|sent| cluster::admitted(&sent, returned)).unwrap_or_default(),
        co_owners: cluster::co_owners(&returned.fields),
        surplus: false,
        left,
        by_hand: by_hand(returned),
    }
}

fn by_hand(returned: &Normalised) -> Vec<(String, Vec<String>)> {
    let mut by_hand = cluster::by_hand(returned);
    by_hand.truncate(LEFT_MAX);
    by_hand
}

/// Fields of the last apply that are no longer sent and are still there. Without others who own
/// anything of the object there can be none, and the last apply need not be read.
fn left_behind(
    returned: &Normalised,
    last: impl FnOnce(&Normalised) -> Option<Stored>,
) -> Vec<(String, Vec<String>)> {
    let mut others = returned.fields.iter().filter(|entry| !entry.is_own());
    if !others.any(|entry| entry.stamp.subresource.is_empty()) {
        return Vec::new();
    }
    let before = last(returned);
    before.map(|before| cluster::left_behind(&before.fields, returned)).unwrap_or_default()
}

/// What greffier applied to the object last, if it is still that object.
pub(super) fn last_applied(parts: &Parts, returned: &Normalised) -> Option<Stored> {
    let before = {
        let view = parts.read();
        let owned = view.world.owned.get(&returned.key);
        owned.filter(|owned| owned.uid == returned.uid).map(|owned| owned.object)
    };
    let bytes = parts.ledger.blob(before?).ok()?;
    Stored::from_stored(&bytes).ok()
}

/// An apply that left the object as it was known did not change it, although its status has moved
/// and its resource version with it.
pub(super) fn unless_same(
    (mut result, blob): (WriteResult, Option<Blob>),
    known: Option<&LiveObject>,
) -> (WriteResult, Option<Blob>) {
    if let (WriteResult::Applied(applied), Some(known)) = (&mut result, known) {
        let same = known.uid == applied.uid
            && known.digest == applied.digest
            && known.owned == Some(applied.baseline);
        applied.changed &= !same;
    }
    (result, blob)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::outcome;
    use super::*;
    use crate::ledger::event::Applied;
    use crate::model::{Digest, Protection, Seq, Timestamp};

    struct Key;

    impl SecretDigest for Key {
        fn digest(&self, bytes: &[u8]) -> Digest {
            Digest::of(bytes)
        }
    }

    /// The answer to an apply, which says that the resource version is another one.
    fn answer(version: u32, owner: &str, manager: &str) -> (WriteResult, Option<Blob>) {
        let raw = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "n", "uid": "u",
                "resourceVersion": version.to_string(), "labels": {"owner": owner},
                "managedFields": [{"manager": manager, "operation": "Apply", "apiVersion": "v1",
                    "fieldsV1": {"f:metadata": {"f:labels": {"f:owner": {}}}}}]},
            "status": {"beat": version},
        });
        outcome(&Key, raw, true, None, None, |_| None)
    }

    fn applied(answer: (WriteResult, Option<Blob>)) -> Applied {
        let WriteResult::Applied(applied) = answer.0 else { panic!("not applied") };
        applied
    }

    #[test]
    fn a_status_that_moved_is_no_change_by_the_apply() {
        let before = applied(answer(5, "a", "greffier"));
        let known = LiveObject {
            version: "v1".into(),
            uid: before.uid.clone(),
            resource_version: before.resource_version.clone(),
            digest: before.digest,
            answered: false,
            shown: true,
            owned: Some(before.baseline),
            object: before.object,
            status: None,
            images: None,
            managers: before.managers,
            health: before.health,
            health_message: String::new(),
            protection: Protection::default(),
            managed_by: "".into(),
            scales: None,
            controller: String::new(),
            deleting: false,
            seq: Seq(1),
            seen: Timestamp::default(),
        };
        let changed = |answer| applied(unless_same(answer, Some(&known))).changed;
        assert!(!changed(answer(9, "a", "greffier")));
        assert!(changed(answer(9, "b", "greffier")), "a label");
        assert!(changed(answer(9, "a", "other")), "its owner");
        assert!(applied(unless_same(answer(9, "a", "greffier"), None)).changed);
    }
}
