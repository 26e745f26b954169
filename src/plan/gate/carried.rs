//! What waits for a person in an application goes on waiting when that application is to be
//! removed: whoever renames it, or moves what it has into another, has not said that it goes.

use std::collections::BTreeSet;

use super::{Limits, Permission, reasons};
use crate::ledger::event::{GateReason, Verb, Write};
use crate::model::{AppName, ObjectKey, Removal, Ruling};
use crate::replay::{App, LiveObject, Owned, Removals, World};

/// Why the removal of these applications waits: their own deletions do, or those of applications
/// below them.
pub(super) fn carried(
    world: &World,
    limits: &Limits,
    removed: &[(AppName, bool)],
) -> Vec<GateReason> {
    let removals = world.removals(removed.iter().map(|(app, _)| app));
    let going: BTreeSet<&AppName> =
        removed.iter().flat_map(|(app, _)| removals.cascade(app)).collect();
    let waiting = going.into_iter().filter_map(|name| {
        let app = world.apps.get(name).filter(|app| !app.removing)?;
        let why = waits((world, &removals), (name, app), limits);
        let why: Vec<String> = why.into_iter().map(|reason| reason.what).collect();
        let what = format!("would remove application {name}, where it waits: {}", why.join("; "));
        (!why.is_empty()).then_some(GateReason { what })
    });
    waiting.collect()
}

/// Why what goes of an application with its removal would wait, or stay, if the application stayed.
fn waits(
    (world, removals): (&World, &Removals<'_>),
    (name, app): (&AppName, &App),
    limits: &Limits,
) -> Vec<GateReason> {
    let permission = Permission::of(world, app);
    if app.asked_about().is_some() && removals.keys(name).next().is_some() {
        return vec![GateReason { what: "a render of it waits for approval".to_owned() }];
    }
    let own = |(key, owned, live): &Extra<'_>| {
        let own = owned.uid == live.uid && !live.deleting && !world.in_flight.contains_key(*key);
        own && !world.stays(key, owned, Removal::Delete)
    };
    let stays = |(key, owned, _): &Extra<'_>| {
        !permission.prunes(key) || world.stays(key, owned, Removal::Prune)
    };
    let (kept, going): (Vec<Extra<'_>>, _) = world.extras_of(name).filter(own).partition(stays);
    let mut why: Vec<GateReason> =
        kept.iter().map(|extra| stays_now(app, &permission, extra)).collect();
    why.extend(exceeded(world, (name, app), limits, (&going, removals)));
    why.extend(going.iter().filter_map(|(key, _, live)| match app.ruling(&live.protection) {
        Ruling::Asks(what) if !app.is_confirmed(key) => {
            Some(GateReason { what: format!("would delete {key}: {what}") })
        }
        _ => None,
    }));
    why
}

/// An object that left Git.
type Extra<'w> = (&'w ObjectKey, &'w Owned, &'w LiveObject);

/// Why an object stays although it left Git.
fn stays_now(app: &App, permission: &Permission, (key, _, live): &Extra<'_>) -> GateReason {
    let what = match app.ruling(&live.protection) {
        Ruling::Stays(what) => what,
        Ruling::Goes | Ruling::Asks(_) => permission.why_not_pruned(key).to_owned(),
    };
    GateReason { what: format!("would delete {key}, which left Git and stays: {what}") }
}

/// Which limits they exceed, unless somebody approved them.
fn exceeded(
    world: &World,
    (name, app): (&AppName, &App),
    limits: &Limits,
    (going, removals): (&[Extra<'_>], &Removals<'_>),
) -> Vec<GateReason> {
    let prune = |(key, owned, _): &Extra<'_>| Write {
        holds: app.held(key, world.now),
        ..Write::plain(Verb::Prune, (*key).clone(), &owned.version, "")
    };
    let deletions: Vec<Write> = going.iter().map(prune).collect();
    let children = world.children(name).filter(|child| {
        !app.defines(child) && removals.going().contains(child) && !world.apps[*child].removing
    });
    let children: Vec<(AppName, bool)> = children.map(|child| (child.clone(), true)).collect();
    let bases = world.gate_bases(name, &deletions, children.iter().map(|(child, _)| child));
    if bases.is_subset(&app.approved_bases) {
        return Vec::new();
    }
    reasons(world, (name, app), app.desired.as_ref(), limits, (&deletions, &[]), &children)
}
