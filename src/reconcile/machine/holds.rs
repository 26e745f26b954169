//! Holds that are over end with an event.

use crate::ledger::Draft;
use crate::ledger::event::{AppHoldEndedV1, HoldEndedV1};
use crate::model::AppName;
use crate::replay::{App, World};

pub(super) fn announce(world: &World, name: &AppName, app: &App, drafts: &mut Vec<Draft>) {
    let over: Vec<_> = app.holds.iter().filter(|hold| !hold.holds(world.now)).collect();
    if !over.is_empty() {
        drafts.push(Draft::new(HoldEndedV1::of(name.clone(), over, true)));
    }
    if let (Some(hold), Some(end)) = (&app.hold, world.why_hold_over(app)) {
        let (app, hold, holds) = (name.clone(), hold.seq, Vec::new());
        drafts.push(Draft::new(AppHoldEndedV1 { app, hold, end, holds }));
    }
}
