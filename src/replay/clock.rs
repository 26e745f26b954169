//! The clock that events are recorded by, when it was wrong.
//!
//! `now` never goes back by itself: a step of a few seconds is none. A larger one means that the
//! clock was ahead, and is right again: then `now` follows it, and what was to happen by the wrong
//! clock happens by the right one. The recorded times alone say so, so that replay says the same.

use super::adrift::Adrift;
use super::world::World;
use crate::model::Timestamp;

/// How far the clock may be behind `now` before it was set back. Bound: more than time services
/// correct in one step while all is well.
const SLACK_MS: u64 = 10_000;

impl World {
    /// Whether the clock was set back behind what is recorded.
    #[must_use]
    pub fn is_ahead_of(&self, clock: Timestamp) -> bool {
        self.now.ms_since(clock) > SLACK_MS
    }

    /// Brings `now` to the time at which an event was recorded. Returns whether the clock was set
    /// back.
    pub(super) fn follow_clock(&mut self, recorded: Timestamp) -> bool {
        if !self.is_ahead_of(recorded) {
            self.now = self.now.max(recorded);
            return false;
        }
        self.now = recorded;
        let now = recorded;
        if let Some(freeze) = &mut self.frozen {
            last_at_most(freeze.made, &mut freeze.until, now);
        }
        for Adrift { hold, .. } in &mut self.adrift {
            last_at_most(hold.made, &mut hold.until, now);
        }
        for app in self.apps.values_mut() {
            if let Some(pause) = &mut app.paused {
                last_at_most(pause.made, &mut pause.until, now);
            }
            if let Some(hold) = &mut app.hold {
                last_at_most(hold.made, &mut hold.until, now);
            }
            for hold in &mut app.holds {
                last_at_most(hold.made, &mut hold.until, now);
            }
            if let Some(request) = &mut app.request {
                request.lasts_at_most(now);
            }
            app.trials.last_at_most(now);
            // What waits for another try is tried now.
            let attempts = app.attempts.values_mut().map(|attempt| &mut attempt.next);
            let previews = app.previews.values_mut().map(|preview| &mut preview.next);
            let ignored = app.ignore_failures.values_mut().map(|failure| &mut failure.next);
            let render = app.render_problem.iter_mut().map(|problem| &mut problem.next);
            for next in attempts.chain(previews).chain(ignored).chain(render) {
                *next = next.map(|next| next.min(now));
            }
            for since in app.awaits.values_mut() {
                *since = (*since).min(now);
            }
            // How quickly somebody undid what was put back is not known.
            app.rivals.clear();
        }
        true
    }
}

/// What was begun at `made` lasts no longer than was asked for, from here on.
fn last_at_most(made: Timestamp, until: &mut Option<Timestamp>, now: Timestamp) {
    *until = until.map(|until| until.min(now.plus_ms(until.ms_since(made))));
}
