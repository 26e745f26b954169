//! What is known of the ledger's damage.
//!
//! Damage in front of the end keeps nobody from appending: the hash of the last frame is at hand,
//! so what follows is linked to what was, and a whole copy of the damaged file fits again.

use tokio::sync::watch;

use super::error::Error;
use crate::model::{Seq, Timestamp, with_causes};

/// Bound: how many damaged places are kept in mind. `greffier ledger verify` lists all.
pub(super) const PLACES_MAX: usize = 20;
/// What follows from damage for a daemon that runs.
pub const DAMAGE_MEANS: &str = "greffier goes on: what is wanted and what is there is known without it, and what comes is \
     recorded; what has to read it fails (log, report, status --at, rollback --to an instant)";
/// What to do about damage while a daemon runs.
pub const DAMAGE_HINT: &str = "before you upgrade: stop greffier and put a whole copy of the file in its place. A start reads \
     the last file, and where it has no snapshot or index of its own version all of them, and \
     fails on damage. Without a copy: greffier ledger salvage --plan";

/// What is known of how whole the ledger is.
#[derive(Debug, Clone, Default)]
pub struct Wholeness {
    /// Where it is damaged: the first places that were met. Empty = none was.
    pub damage: Vec<Error>,
    /// Up to which event the last complete check since the ledger was opened went, and when it
    /// ended.
    pub checked: Option<(Seq, Timestamp)>,
}

impl Wholeness {
    /// The damaged places, in words.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.damage.iter().map(|error| with_causes(error)).collect()
    }
}

/// Where what is known is kept.
pub(super) struct Known(watch::Sender<Wholeness>);

impl Known {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn now(&self) -> watch::Receiver<Wholeness> {
        self.0.subscribe()
    }

    /// The first damage.
    pub(super) fn first(&self) -> Option<Error> {
        self.0.borrow().damage.first().cloned()
    }

    /// How many places are known.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().damage.len()
    }

    /// Adds a place, unless it is known.
    pub(super) fn note(&self, error: &Error) {
        self.0.send_if_modified(|known| {
            let text = with_causes(error);
            let new = known.damage.len() < PLACES_MAX && !known.places().contains(&text);
            if new {
                known.damage.push(error.clone());
            }
            new
        });
    }

    /// Notes that everything up to `seq` was read and that `found` is all that is wrong with it:
    /// of the first `before` places, which were known when the check began, the others are mended.
    pub(super) fn checked(&self, seq: Seq, found: &[Error], before: usize) {
        let found: Vec<String> = found.iter().map(|error| with_causes(error)).collect();
        self.0.send_modify(|known| {
            let mut index = 0;
            known.damage.retain(|error| {
                index += 1;
                index > before || found.contains(&with_causes(error))
            });
            known.checked = Some((seq, Timestamp::now()));
        });
    }
}
