//! What would be put back although the cluster shows a later write of greffier: the ledger may be
//! an old copy, and then Git, or a person, has to say what is right.

use super::{Waiting, named};
use crate::ledger::event::{GateReason, Verb};
use crate::model::ObjectKey;
use crate::plan::Plan;
use crate::replay::{App, World};

pub(super) fn take(world: &World, app: &App, plan: &mut Plan, waiting: &mut Waiting) {
    let mut keys: Vec<ObjectKey> = Vec::new();
    plan.writes.retain(|write| {
        let approved = || app.approved_bases.contains(&world.write_base(app, write));
        if !world.puts_back_older(app, write) || approved() {
            return true;
        }
        keys.push(write.key.clone());
        waiting.writes.push(write.clone());
        false
    });
    if keys.is_empty() {
        return;
    }
    let what = format!(
        "would put back {}: greffier wrote to the cluster later than this ledger knows of, so it \
         may be an old copy",
        named(&keys)
    );
    waiting.contacts.push(GateReason { what });
}

/// Leaves what was deleted for the next plan while objects of the application are being compared:
/// that may show that the ledger is an old copy.
pub(super) fn await_comparisons(world: &World, app: &App, plan: &mut Plan) {
    if plan.compare.is_empty() {
        return;
    }
    let compared = plan.compare.len();
    let mut waits: Vec<ObjectKey> = Vec::new();
    plan.writes.retain(|write| {
        let owned = world.owned.get(&write.key);
        let again = write.verb == Verb::Create
            && app.asked(world.now).is_none()
            && owned.is_some_and(|owned| owned.applied == write.digest);
        if again {
            waits.push(write.key.clone());
        }
        !again
    });
    for object in plan.objects.iter_mut().filter(|object| waits.contains(&object.key)) {
        let why = format!("{}; {compared} other objects are compared first", object.why);
        object.block(why, true);
    }
}
