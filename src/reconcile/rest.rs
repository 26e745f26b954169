//! How often decisions are taken while events flood in.
//!
//! A decision looks at every object of the applications that an event touched. While thousands of
//! objects are written or listed, each of which is an event, deciding after every one of them
//! would take most of the processor and find nothing to do. So deciding earns rest; but rest is
//! only taken once a good deal of it is owed, and what was quiet is decided at once.

use std::time::Duration;

use tokio::time::Instant;

/// How many times the duration of a decision is earned as rest: in the long run deciding takes at
/// most a seventeenth of one core.
const FACTOR: u32 = 16;
/// How much rest may be owed before decisions wait for it. A push that touches hundreds of
/// applications stays below.
const OWED_MAX: Duration = Duration::from_millis(1_000);
/// The longest that a decision ever waits: one that took long, because the machine stood still or
/// has far too much to do, must not keep what people do from being seen for minutes.
const WAIT_MAX: Duration = Duration::from_millis(2_000);

/// For how long applications that are being written are not looked at again: while answers come
/// in there is nothing to do about them but to wait for the others.
const WRITING: Duration = Duration::from_millis(25);

/// The rest that is owed.
#[derive(Debug)]
pub(super) struct Rest {
    /// When all that is owed has been taken.
    taken: Instant,
    /// When what is being written is looked at again.
    written: Instant,
}

impl Rest {
    pub(super) fn new(now: Instant) -> Self {
        Self { taken: now, written: now }
    }

    /// A decision was taken.
    pub(super) fn earn(&mut self, began: Instant, ended: Instant) {
        let taken = self.taken.max(ended) + (ended - began) * FACTOR;
        self.taken = taken.min(ended + OWED_MAX + WAIT_MAX);
        self.written = ended + WRITING;
    }

    /// How long the next decision has to wait, which is `only_written` if it is of nothing but
    /// applications that are being written.
    pub(super) fn wait(&self, now: Instant, only_written: bool) -> Duration {
        let owed = self.taken.saturating_duration_since(now).saturating_sub(OWED_MAX);
        let written = self.written.saturating_duration_since(now);
        if only_written { owed.max(written) } else { owed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: Duration = Duration::from_millis(25);

    #[test]
    fn what_was_quiet_is_decided_at_once() {
        let mut now = Instant::now();
        let mut rest = Rest::new(now);
        for _ in 0..10 {
            now += Duration::from_secs(1);
            assert_eq!(rest.wait(now, false), Duration::ZERO);
            rest.earn(now, now + DECISION);
            now += DECISION;
            // The answer to what was decided is decided upon at once, too.
            assert_eq!(rest.wait(now, false), Duration::ZERO);
        }
    }

    #[test]
    fn what_is_being_written_is_looked_at_again_after_a_while() {
        let now = Instant::now();
        let mut rest = Rest::new(now);
        assert_eq!(rest.wait(now, true), Duration::ZERO, "nothing was decided yet");
        rest.earn(now, now);
        assert_eq!(rest.wait(now, true), WRITING);
        assert_eq!(rest.wait(now, false), Duration::ZERO, "another application does not wait");
        assert_eq!(rest.wait(now + WRITING, true), Duration::ZERO);
    }

    #[test]
    fn a_decision_that_took_long_is_not_paid_for_with_minutes() {
        let start = Instant::now();
        let mut rest = Rest::new(start);
        let ended = start + Duration::from_secs(60);
        rest.earn(start, ended);
        assert_eq!(rest.wait(ended, false), WAIT_MAX);
    }

    #[test]
    fn a_flood_is_decided_upon_in_a_seventeenth_of_the_time() {
        let start = Instant::now();
        let (mut now, mut rest, mut deciding) = (start, Rest::new(start), Duration::ZERO);
        while now < start + Duration::from_secs(60) {
            now += rest.wait(now, false);
            rest.earn(now, now + DECISION);
            (now, deciding) = (now + DECISION, deciding + DECISION);
        }
        let share = deciding.as_secs_f64() / (now - start).as_secs_f64();
        assert!(share < 0.07, "{share}");
        assert!(share > 0.05, "{share}");
    }
}
