//! What left Git and is still in the cluster: what keeps it there. A replay does not bring it by
//! itself, so that nobody loses what a person was still to decide about without being told; but it
//! brings what stays until something else is written, because that is what serves.

use crate::ledger::event::{DesiredObject, Verb, Write};
use crate::model::{AppName, ObjectKey, Removal, Ruling};
use crate::plan::{NOT_SERVED, kind_rank, stays_beside, stays_while};
use crate::replay::{App, Attempt, LiveObject, Owned, World, may_be_in_the_way, not_written};

/// Why something is there that left Git.
pub(super) struct Left {
    /// In words.
    pub(super) why: String,
    /// The application that has it, where it stays until something else of that is written.
    pub(super) of: Option<AppName>,
}

/// Why an object that greffier has, and no application wants, is there; `None` where it is none.
pub(super) fn why(world: &World, key: &ObjectKey, live: &LiveObject) -> Option<Left> {
    let owned = world.owned.get(key).filter(|owned| owned.uid == live.uid)?;
    if world.wanted_by.contains_key(key) {
        return None;
    }
    let app = world.apps.get(&owned.app).filter(|app| !app.removing)?;
    let gone = match app.is_held() {
        true => format!("{} is held and does not have it", owned.app),
        false => format!("it left Git, and {} does not have it any more", owned.app),
    };
    let ruling = live.protection.ruling(Removal::Prune, app.spec.removals.stance(Removal::Prune));
    let goes = owned.keep.is_empty() && !matches!(ruling, Ruling::Stays(_));
    let beside = unwritten(world, app, (&owned.app, key)).filter(|_| goes);
    let of = beside.is_some().then(|| owned.app.clone());
    let keeps = beside.unwrap_or_else(|| keeps(world, app, &ruling, (key, owned)));
    Some(Left { why: format!("{gone}: {keeps}"), of })
}

/// What is said of what stays because something that its application wants is not written: it may
/// stand in its place.
fn unwritten(world: &World, app: &App, (name, key): (&AppName, &ObjectKey)) -> Option<String> {
    let prune = Write::plain(Verb::Prune, key.clone(), "", "");
    if !stays_beside(world, app, &prune) {
        return None;
    }
    let objects = app.desired.iter().flat_map(|desired| desired.objects.values());
    let unwritten = objects.filter_map(|object| Some((object, not_there(world, name, object)?)));
    let (first, why) = unwritten.min_by_key(|(object, _)| (object.wave, kind_rank(&object.key)))?;
    Some(stays_while(&not_written(&first.key, &why), name, key))
}

/// Why an object that is wanted cannot be written.
fn not_there(world: &World, name: &AppName, object: &DesiredObject) -> Option<String> {
    if let Some(attempt) = failed(world, name, object) {
        return (!may_be_in_the_way(&attempt.error)).then(|| attempt.error.clone());
    }
    let kind = object.key.group_kind();
    let kinds = &world.cluster.kinds;
    let unserved = !object.key.is_application() && !kinds.is_empty() && !kinds.contains_key(&kind);
    unserved.then(|| format!("{NOT_SERVED} {kind}"))
}

/// The last try to write an object as it is wanted, where that failed.
fn failed<'w>(world: &'w World, name: &AppName, object: &DesiredObject) -> Option<&'w Attempt> {
    world.apps.get(name)?.failed(object)
}

/// What the API server said when it refused an object as it is wanted; not what an object that is
/// not replayed may have been in the way of.
pub(super) fn refused<'w>(
    world: &'w World,
    name: &AppName,
    object: &DesiredObject,
) -> Option<&'w str> {
    let attempt = failed(world, name, object).filter(|attempt| attempt.refused)?;
    (!may_be_in_the_way(&attempt.error)).then_some(attempt.error.as_str())
}

/// What keeps it in the cluster.
fn keeps(world: &World, app: &App, ruling: &Ruling, (key, owned): (&ObjectKey, &Owned)) -> String {
    let name = &owned.app;
    if let Some(what) = owned.keep.first() {
        return format!("it stays ({what})");
    }
    if let Ruling::Stays(what) = ruling {
        return format!("it stays ({what})");
    }
    let gated =
        app.gate.as_ref().is_some_and(|gate| gate.writes.contains(&(Verb::Prune, key.clone())));
    if gated {
        return format!("its deletion waits for approval (greffier approve {name})");
    }
    if let (Ruling::Asks(what), false) = (ruling, app.is_confirmed(key)) {
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
