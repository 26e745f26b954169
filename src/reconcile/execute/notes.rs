//! What else an answer tells: what admission changed, whose fields are to be taken over, and what
//! stays although it left Git.

use serde_json::Value;

use crate::cluster::{self, Normalised, Stored, normalize};
use crate::ledger::event::ApplyNotes;
use crate::reconcile::driver::Parts;

/// The most fields that are named as left behind.
const LEFT_MAX: usize = 20;

/// Gathers the notes of an answer; `sent` is the manifest that it answers, if one was sent.
pub(super) fn of(parts: &Parts, returned: &Normalised, sent: Option<&Value>) -> ApplyNotes {
    let sent = sent.and_then(|sent| normalize(sent, &parts.ledger).ok());
    let mut left = if sent.is_some() { left_behind(parts, returned) } else { Vec::new() };
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
fn left_behind(parts: &Parts, returned: &Normalised) -> Vec<(String, Vec<String>)> {
    let mut others = returned.fields.iter().filter(|entry| !entry.is_own());
    if !others.any(|entry| entry.stamp.subresource.is_empty()) {
        return Vec::new();
    }
    let before = {
        let view = parts.read();
        let owned = view.world.owned.get(&returned.key);
        owned.filter(|owned| owned.uid == returned.uid).map(|owned| owned.object)
    };
    let before = before.and_then(|addr| parts.ledger.blob(addr).ok());
    let before = before.and_then(|bytes| Stored::from_stored(&bytes).ok());
    before.map(|before| cluster::left_behind(&before.fields, returned)).unwrap_or_default()
}
