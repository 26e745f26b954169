//! How people's decisions change the world.

use super::application::{Pause, SyncRequest};
use super::world::{Touched, World};
use crate::ledger::event::{Event, SyncRequestedV1};
use crate::model::Seq;

impl World {
    pub(super) fn decided(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::SyncRequested(body) => self.sync_requested(seq, body),
            Event::Paused(body) => {
                let pause = Pause::new(seq, self.now, body.until, &body.reason);
                self.with_app(&body.app, |app| app.paused = Some(pause));
                // What waited for what it says of them waits no more.
                Touched::all()
            }
            // What has run out ends what has run out, and not what a person began meanwhile.
            Event::Resumed(body) => {
                let now = self.now;
                let ends = |pause: &mut Pause| !body.expired || !pause.holds(now);
                self.with_app(&body.app, |app| drop(app.paused.take_if(ends)));
                self.disown_absent(&body.app);
                // What it protected from others may be theirs now.
                Touched::all()
            }
            Event::Frozen(body) => {
                self.frozen = Some(Pause::new(seq, self.now, body.until, &body.reason));
                Touched::all()
            }
            Event::Unfrozen(body) => {
                let now = self.now;
                self.frozen.take_if(|freeze| !body.expired || !freeze.holds(now));
                Touched::all()
            }
            Event::HoldBegun(body) => self.hold_begun(seq, body),
            Event::HoldEnded(body) => self.hold_ended(body),
            // The fold's own match is the exhaustive one.
            _ => Touched::nothing(),
        }
    }

    /// A request tries at once what failed, and asks again what was refused.
    fn sync_requested(&mut self, seq: Seq, body: &SyncRequestedV1) -> Touched {
        let now = self.now;
        self.with_app(&body.app, |app| {
            app.attempts.clear();
            // A revision that does not exist comes by itself once it does.
            if let Some(problem) = app.render_problem.as_mut().filter(|p| p.commit.is_some()) {
                problem.next = Some(now);
            }
            app.previews.retain(|_, preview| preview.is_answer());
            app.ignore_failures.clear();
            app.request = Some(SyncRequest::new(seq, body.prune, body.only.clone(), now));
        })
    }
}
