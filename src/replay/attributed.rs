//! How well the changes that others made are known, since the daemon started.

use serde::{Deserialize, Serialize};

use crate::ledger::event::{Event, Verdict};

/// How many changes of what objects should be, by others than greffier, are known how well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributed {
    /// By the record of the very version.
    pub exact: u64,
    /// By the only request that can have made it.
    pub unique: u64,
    /// Several can have made it.
    pub ambiguous: u64,
    /// Nothing but what objects say of themselves.
    pub unknown: u64,
}

impl Attributed {
    /// How many are known exactly or uniquely, and of how many.
    #[must_use]
    pub fn share(&self) -> (u64, u64) {
        let known = self.exact + self.unique;
        (known, known + self.ambiguous + self.unknown)
    }

    pub(super) fn fold(&mut self, event: &Event) {
        match event {
            Event::AttributionResolved(body) if body.counts => {
                if let Some(was) = body.was {
                    let was = self.of(was);
                    // The first may have been said before the start.
                    *was = was.saturating_sub(1);
                }
                *self.of(body.verdict) += 1;
            }
            Event::AuditGapSuspected(_) => self.unknown += 1,
            _ => {}
        }
    }

    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Exact => &mut self.exact,
            Verdict::Unique => &mut self.unique,
            Verdict::Ambiguous => &mut self.ambiguous,
            Verdict::FieldManager | Verdict::Unknown => &mut self.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::AttributionResolvedV1;
    use crate::ledger::samples::sample_events;

    #[test]
    fn corrections_count_once_and_gaps_as_unknown() {
        let find =
            |name: &str| sample_events().into_iter().find(|event| event.name() == name).unwrap();
        let Event::AttributionResolved(sample) = find("attribution.resolved") else { panic!() };
        let say = |verdict, was, counts| {
            AttributionResolvedV1 { verdict, was, counts, ..sample.clone() }.into()
        };
        let mut attributed = Attributed::default();
        attributed.fold(&say(Verdict::Ambiguous, None, true));
        assert_eq!(attributed.share(), (0, 1));
        attributed.fold(&say(Verdict::Exact, Some(Verdict::Ambiguous), true));
        attributed.fold(&say(Verdict::Exact, None, false));
        assert_eq!(attributed.share(), (1, 1));
        attributed.fold(&find("audit.gap-suspected"));
        assert_eq!((attributed.share(), attributed.unknown), ((1, 2), 1));
    }
}
