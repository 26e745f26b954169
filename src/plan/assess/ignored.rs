//! What `ignoreDifferences` says of an object, and whether that is understood.
//!
//! What is not understood is not written: an object is neither compared nor changed while it is
//! not known what of it is to be ignored.

use super::Judge;
use crate::ledger::event::Verb;
use crate::model::{Mask, ObjectKey};

/// Why it is not known what is ignored of an object.
pub(super) struct Unknown {
    /// The cause.
    pub(super) why: String,
    /// Whether that may pass without a person.
    pub(super) may_pass: bool,
}

impl Judge<'_> {
    /// What is ignored of the object.
    pub(super) fn mask(&self, key: &ObjectKey) -> Mask {
        self.world.ignored(self.app, key)
    }

    /// Why it is not known what is ignored of the object, if that is so.
    pub(super) fn not_understood(&self, key: &ObjectKey, mask: &Mask) -> Option<Unknown> {
        let mut problems = self.app.ignore_problems.iter();
        if let Some((expression, what)) = problems.find(|(one, _)| mask.jq.contains(one)) {
            let why = format!("ignoreDifferences: jqPathExpressions `{expression}` {what}");
            return Some(Unknown { why, may_pass: false });
        }
        let failure = self.app.ignore_failures.get(key)?;
        let live = self.world.live.get(key)?;
        let same = failure.mask == mask.digest() && failure.live == live.digest;
        let waits = failure.next.is_none_or(|next| next > self.world.now);
        (same && waits).then(|| Unknown {
            why: format!("ignoreDifferences: {}", failure.error),
            may_pass: failure.next.is_some(),
        })
    }

    /// The same, where it restrains the write `verb`: what is not there is created.
    pub(super) fn restrains(&self, key: &ObjectKey, verb: Verb) -> Option<Unknown> {
        if matches!(verb, Verb::Create | Verb::Prune) || self.app.spec.ignore.is_empty() {
            return None;
        }
        self.not_understood(key, &self.mask(key))
    }

    /// The mask whose live values are to be sent back with the write.
    pub(super) fn respected(&self, key: &ObjectKey, verb: Verb) -> Mask {
        let sends = match verb {
            Verb::Update | Verb::Heal | Verb::Reclaim | Verb::Adopt => true,
            Verb::Create | Verb::TakeOver | Verb::Recreate | Verb::Prune => false,
        };
        if sends { self.world.respected(self.app, key) } else { Mask::default() }
    }
}
