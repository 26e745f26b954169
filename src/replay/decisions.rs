//! How people's decisions change the world.

use super::application::{Pause, SyncRequest};
use super::world::{Touched, World};
use crate::ledger::event::{Event, SyncRequestedV1};
use crate::model::Seq;

impl World {
    pub(super) fn decided(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::SyncRequested(body) => self.sync_requested(seq, body),
            Event::Paused(body) => self.with_app(&body.app, |app| {
                app.paused = Some(Pause { seq, until: body.until, reason: body.reason.clone() });
            }),
            Event::Resumed(body) => self.with_app(&body.app, |app| app.paused = None),
            Event::Frozen(body) => {
                self.frozen = Some(Pause { seq, until: body.until, reason: body.reason.clone() });
                Touched::all()
            }
            Event::Unfrozen(_) => {
                self.frozen = None;
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
