//! What else an answer tells: what admission changed, whose fields are to be taken over, and what
//! stays although it left Git.

use serde_json::Value;

use crate::cluster::{self, Normalised, SecretDigest, Stored, normalize};
use crate::ledger::event::ApplyNotes;
use crate::reconcile::driver::Parts;

/// The most fields that are named as left behind.
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
    ApplyNotes {
        admitted: sent.map(|sent| cluster::admitted(&sent, returned)).unwrap_or_default(),
        co_owners: cluster::co_owners(&returned.fields),
        surplus: false,
        left,
    }
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
