//! What left Git and is still in the cluster: what keeps it there. A replay does not bring it by
//! itself, so that nobody loses what a person was still to decide about without being told.

use crate::ledger::event::Verb;
use crate::model::{ObjectKey, Removal, Ruling};
use crate::replay::{App, LiveObject, Owned, World};

/// Why an object that greffier has, and no application wants, is there; `None` where it is none.
pub(super) fn why(world: &World, key: &ObjectKey, live: &LiveObject) -> Option<String> {
    let owned = world.owned.get(key).filter(|owned| owned.uid == live.uid)?;
    if world.wanted_by.contains_key(key) {
        return None;
    }
    let app = world.apps.get(&owned.app).filter(|app| !app.removing)?;
    let gone = match app.is_held() {
        true => format!("{} is held and does not have it", owned.app),
        false => format!("it left Git, and {} does not have it any more", owned.app),
    };
    Some(format!("{gone}: {}", keeps(world, app, (key, owned, live))))
}

/// What keeps it in the cluster.
fn keeps(
    world: &World,
    app: &App,
    (key, owned, live): (&ObjectKey, &Owned, &LiveObject),
) -> String {
    let name = &owned.app;
    let ruling = live.protection.ruling(Removal::Prune, app.spec.removals.stance(Removal::Prune));
    if let Some(what) = owned.keep.first() {
        return format!("it stays ({what})");
    }
    if let Ruling::Stays(what) = &ruling {
        return format!("it stays ({what})");
    }
    let gated =
        app.gate.as_ref().is_some_and(|gate| gate.writes.contains(&(Verb::Prune, key.clone())));
    if gated {
        return format!("its deletion waits for approval (greffier approve {name})");
    }
    if let (Ruling::Asks(what), false) = (&ruling, app.is_confirmed(key)) {
        return format!("its deletion waits until somebody confirms it ({what})");
    }
    if app.is_paused(world.now) {
        return format!("application {name} is paused");
    }
    if world.freeze().is_some() {
        return "greffier is frozen".to_owned();
    }
    if app.spec.skip {
        return format!("application {name} is left alone (skip-reconcile)");
    }
    if !app.spec.automated.is_some_and(|automated| automated.prune) && !app.is_held() {
        return format!("the policy of {name} removes nothing unasked");
    }
    "its deletion was not made yet".to_owned()
}
