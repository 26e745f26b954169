//! How many changes are known how well.

use crate::ledger::event::Verdict;

/// How well changes of specifications were attributed, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By greffier itself.
    pub own: u64,
    /// Exactly.
    pub exact: u64,
    /// By the only request that can have made it.
    pub unique: u64,
    /// Not told apart.
    pub ambiguous: u64,
    /// By the field managers only.
    pub field_manager: u64,
    /// Not at all.
    pub unknown: u64,
    /// Still waiting for records.
    pub waiting: u64,
}

impl Coverage {
    /// How many are known exactly or uniquely, and of how many that are decided.
    #[must_use]
    pub fn share(&self) -> (u64, u64) {
        let known = self.own + self.exact + self.unique;
        (known, known + self.ambiguous + self.field_manager + self.unknown)
    }

    pub(super) fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Exact => &mut self.exact,
            Verdict::Unique => &mut self.unique,
            Verdict::Ambiguous => &mut self.ambiguous,
            Verdict::FieldManager => &mut self.field_manager,
            Verdict::Unknown => &mut self.unknown,
        }
    }
}
