//! What people hold as it was.

use super::*;
use crate::ledger::event::{AppHeldV1, AppHoldEndedV1, HeldApproval, HeldRender, HoldEnd};

impl Given {
    /// The event by which an application goes back to what was in force in `then`.
    pub(crate) fn rollback(&self, app: &str, then: &World) -> AppHeldV1 {
        let desired = then.apps[&name(app)].desired.as_ref().unwrap();
        AppHeldV1 {
            app: name(app),
            tree: None,
            to: then.seq,
            at: then.now,
            said: "then".into(),
            desired: HeldRender::from(desired),
            left: Vec::new(),
            images: Vec::new(),
            approves: None,
            until: None,
            reason: "incident".into(),
            automatic: None,
        }
    }

    /// A person rolls an application back to what was in force in `then`.
    pub(crate) fn rolls_back(&mut self, app: &str, then: &World) -> Seq {
        self.event(self.rollback(app, then));
        self.seq()
    }

    /// The same, with what a person is shown that would wait.
    pub(crate) fn rollback_with_approval(&self, app: &str, then: &World) -> AppHeldV1 {
        let event = self.rollback(app, then);
        let mut shown = self.clone();
        shown.event(event.clone());
        let gate = shown.plan(app).gate.expect("nothing would wait");
        let approves = HeldApproval { plan: gate.hash, writes: gate.writes, apps: gate.apps };
        AppHeldV1 { approves: Some(approves), ..event }
    }

    /// A person releases an application.
    pub(crate) fn lets_go(&mut self, app: &str, hold: Seq) {
        let (app, holds) = (name(app), Vec::new());
        self.event(AppHoldEndedV1 { app, hold, end: HoldEnd::Released, holds });
    }
}
