//! What a render that waits would change, and why it waits.
//!
//! Everything that it comes to is named, so that one approval covers all of it: also the
//! deletions, which then need no second one.

use std::collections::BTreeMap;

use super::super::Plan;
use super::super::assess::recreates;
use super::super::order::kind_rank;
use super::{Limits, Waiting, named, reasons};
use crate::ledger::event::{DesiredObject, GateReason, Verb, Write};
use crate::model::{AppName, ObjectKey, Removal, Ruling};
use crate::replay::{App, Cause, Desired, Proposed, World};

/// Adds the render that waits to what waits.
pub(super) fn add(
    world: &World,
    (name, app): (&AppName, &App),
    proposed: &Proposed,
    limits: &Limits,
    plan: &Plan,
    waiting: &mut Waiting,
) {
    let new = &proposed.desired;
    // What the render takes back needs no approval: it will not be done.
    waiting.writes.retain(|write| {
        let object = new.objects.get(&write.key);
        object.is_none_or(|object| object.digest == write.digest)
    });
    waiting.apps.retain(|child| !new.defines(child));
    let mut changes = changes(world, app, new);
    let mut removed = Vec::new();
    if plan.permission.prune {
        changes.extend(prunes(world, name, app, new));
        removed.extend(world.children(name).filter_map(|child| {
            let state = world.apps.get(child).filter(|state| !state.removing)?;
            let stays = matches!(app.ruling(&state.spec.removals.own), Ruling::Stays(_));
            let goes = app.defines(child) && !new.defines(child) && !stays;
            goes.then(|| (child.clone(), state.spec.removals.cascade.is_some()))
        }));
    }
    let what = comes_to(&changes, leaves(world, app, new), new);
    // Each once: what left Git before waits with what leaves it now.
    let before = std::mem::take(&mut waiting.writes);
    let all: BTreeMap<ObjectKey, Write> =
        before.into_iter().chain(changes).map(|write| (write.key.clone(), write)).collect();
    waiting.writes = all.into_values().collect();
    waiting.writes.sort_by_key(|write| (write.verb == Verb::Prune, kind_rank(&write.key)));
    let deletions = waiting.writes.iter().filter(|write| world.is_deletion(app, write));
    let deletions: Vec<Write> = deletions.cloned().collect();
    waiting.reasons = proposed.causes.iter().map(|cause| why(cause, &what)).collect();
    let exceeded = reasons(world, (name, app), Some(new), limits, (&deletions, &[]), &removed);
    waiting.reasons.extend(exceeded);
    for (child, _) in removed {
        if !waiting.apps.contains(&child) {
            waiting.apps.push(child);
        }
    }
}

/// What a render comes to, after "would": `leaves` = what is there, of nobody yet, and not in it.
fn comes_to(changes: &[Write], leaves: Vec<ObjectKey>, new: &Desired) -> String {
    let keys = |prune: bool| {
        let of = changes.iter().filter(move |write| (write.verb == Verb::Prune) == prune);
        of.map(|write| write.key.clone()).collect::<Vec<ObjectKey>>()
    };
    let (changed, removed) = (keys(false), [keys(true), leaves].concat());
    match (&changed[..], &removed[..]) {
        ([], []) if new.objects.keys().any(ObjectKey::is_application) => {
            "change the applications that it defines".to_owned()
        }
        ([], []) => "change nothing that is known yet".to_owned(),
        (changed, []) => format!("change {}", named(changed)),
        ([], removed) => format!("remove {}", named(removed)),
        (changed, removed) => format!("change {} and remove {}", named(changed), named(removed)),
    }
}

/// What is in the cluster and is not in the render, of what the application wants and nobody has
/// applied: on a cluster that was accepted, it is the application's once it was compared.
fn leaves(world: &World, app: &App, new: &Desired) -> Vec<ObjectKey> {
    let wanted = app.desired.iter().flat_map(|desired| desired.objects.keys());
    let leaves = wanted.filter(|key| {
        let there = world.live.get(*key).is_some_and(|live| !live.deleting);
        there && !new.objects.contains_key(*key) && !world.owned.contains_key(*key)
    });
    leaves.cloned().collect()
}

fn why(cause: &Cause, what: &str) -> GateReason {
    let what = match cause {
        Cause::Rewritten(rewrite) => format!(
            "would {what}: the history of {} in {} was rewritten and dropped commit {}, \
             which is applied",
            short(&rewrite.name),
            rewrite.repo,
            rewrite.dropped.short()
        ),
        Cause::Versions(changed) => {
            let changed = changed.iter().map(|(what, was, now)| format!("{what} {was} -> {now}"));
            let changed = changed.collect::<Vec<_>>().join(", ");
            format!("would {what} with no commit behind it: {changed}")
        }
        // Nobody approves it while that is so: a release puts it in force.
        Cause::Held(hold) => format!("would {what}, which hold #{} holds", hold.0),
    };
    GateReason { what }
}

fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/")).unwrap_or(name)
}

/// What it brings and changes.
fn changes(world: &World, app: &App, new: &Desired) -> Vec<Write> {
    let former = app.desired.as_ref();
    let differs = new.objects.values().filter(|object| {
        let before = former.and_then(|former| former.objects.get(&object.key));
        before.is_none_or(|before| before.digest != object.digest)
    });
    let change = |object: &DesiredObject| {
        let live = world.live.contains_key(&object.key);
        let owned = world.owned.contains_key(&object.key);
        let defined = former.is_some_and(|former| former.objects.contains_key(&object.key));
        let verb = match (live, owned) {
            (false, _) if object.key.is_application() && defined => Verb::Update,
            (false, _) => Verb::Create,
            (true, false) => Verb::Adopt,
            (true, true) if recreates(app, object) => Verb::Recreate,
            (true, true) => Verb::Update,
        };
        let reason = "the render that waits says so";
        Write {
            manifest: Some(object.manifest),
            digest: object.digest,
            holds: app.held(&object.key, world.now),
            ..Write::plain(verb, object.key.clone(), &object.version, reason)
        }
    };
    differs.map(change).collect()
}

/// What leaves with it. What had left before is not its doing, and judged by itself.
fn prunes(world: &World, name: &AppName, app: &App, new: &Desired) -> Vec<Write> {
    let owned = world.owned_by(name).filter(|(key, owned)| {
        let wanted = world.wanted_by.get(*key).into_iter().flatten().any(|other| other != name);
        let leaves = app.wants(key) && !new.objects.contains_key(*key);
        let goes = leaves && !wanted && !world.stays(key, owned, Removal::Prune);
        goes && world.live.get(*key).is_some_and(|live| live.uid == owned.uid && !live.deleting)
    });
    let reason = "it is not in the render that waits";
    owned
        .map(|(key, owned)| Write::plain(Verb::Prune, key.clone(), &owned.version, reason))
        .collect()
}
