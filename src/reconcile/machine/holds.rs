//! Holds that are over end with an event.

use crate::ledger::Draft;
use crate::ledger::event::{AppHoldEndedV1, HoldEnd, HoldEndedV1};
use crate::model::AppName;
use crate::replay::{App, World};

/// Ends the holds of objects that no application has any more: those whose time is over, and those
/// whose objects have left Git for good.
pub(super) fn announce_adrift(world: &World, drafts: &mut Vec<Draft>) {
    let over = world.adrift.iter().filter(|adrift| adrift.hold.is_over(world.now));
    let left = world.left_for_good().filter(|adrift| !adrift.hold.is_over(world.now));
    let over = over.map(|adrift| (adrift, HoldEnd::Expired));
    for (adrift, end) in over.chain(left.map(|adrift| (adrift, HoldEnd::NewerInGit))) {
        drafts.push(Draft::new(HoldEndedV1::of(adrift.app.clone(), [&adrift.hold], end)));
    }
}

/// Ends what is over; whether anything is.
pub(super) fn announce(world: &World, name: &AppName, app: &App, drafts: &mut Vec<Draft>) -> bool {
    let before = drafts.len();
    let over = || app.holds.iter().filter(|hold| hold.is_over(world.now));
    if over().next().is_some() {
        drafts.push(Draft::new(HoldEndedV1::of(name.clone(), over(), HoldEnd::Expired)));
    }
    // Only Git's newest word counts.
    let said = app.proposed.is_none() && !app.is_held() && !world.render_pending(app);
    let same = || app.same_as_git().filter(|hold| !hold.is_over(world.now));
    if said && same().next().is_some() {
        drafts.push(Draft::new(HoldEndedV1::of(name.clone(), same(), HoldEnd::SameAsGit)));
    }
    if let (Some(hold), Some(end)) = (&app.hold, world.why_hold_over(app)) {
        let (app, hold, holds) = (name.clone(), hold.seq, Vec::new());
        drafts.push(Draft::new(AppHoldEndedV1 { app, hold, end, holds }));
    }
    drafts.len() > before
}
