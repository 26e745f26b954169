//! The last instant at which a tree was well, and other than it is now.
//!
//! A root is as ill as what is below it, and asks for the same applications through most commits: what
//! it asks for itself does not tell whether the tree was another. So the tree counts: what each of its
//! applications asks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::event::Event;
use crate::ledger::{self, Ledger};
use crate::model::{AppName, Digest, Seq};
use crate::plan::{Compared, Limits, Sync, plan};
use crate::query::past;
use crate::replay::{App, World};

/// How many of the newest events are looked at first; then twice as many before them, and so on, as
/// each look folds everything before it again.
const WINDOW: u64 = 2_048;
/// Bound: how many events are looked at. What is older is no incident.
const EVENTS_MAX: u64 = 100 * WINDOW;

/// What each application of a tree asks for: the inputs of its render.
type Asks = BTreeMap<AppName, Option<Digest>>;

/// The last instant at which every application of the tree was Healthy, with nothing left to do or to
/// render, and held by nobody, the root Synced, and the tree asked for something else than it does
/// now, held or not. Blocking, and as long as it is far away.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn last_healthy_tree(
    ledger: &Ledger,
    root: &AppName,
    limits: &Limits,
) -> Result<Option<Seq>, ledger::Error> {
    let head = ledger.head();
    let now = past::world_at(ledger, head, false)?;
    let present = [
        asks(&now, root, |app| app.desired.as_ref().map(|render| render.inputs)),
        asks(&now, root, |app| app.of_git().map(|render| render.inputs)),
    ];
    let (mut to, mut window) = (head, WINDOW);
    while to > Seq::ZERO && head.0 - to.0 < EVENTS_MAX {
        let from = Seq(to.0.saturating_sub(window));
        let (mut world, mut found) = (past::world_at(ledger, from, false)?, None);
        for recorded in ledger.range(from.next(), to).by_nobody() {
            let recorded = recorded?;
            past::fold(&mut world, &recorded);
            let settles = recorded.event.as_ref().is_some_and(may_settle);
            if settles && is_well(&world, root, limits, &present) {
                found = Some(recorded.seq());
            }
        }
        if found.is_some() {
            return Ok(found);
        }
        (to, window) = (from, window.saturating_mul(2));
    }
    Ok(None)
}

/// Whether a tree may be well with the event that was not before.
fn may_settle(event: &Event) -> bool {
    matches!(
        event,
        Event::AppHealthChanged(_)
            | Event::SyncFinished(_)
            | Event::RenderSucceeded(_)
            | Event::OutcomeRecorded(_)
    )
}

/// The root and everything below it.
fn members<'w>(world: &'w World, root: &'w AppName) -> BTreeSet<&'w AppName> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(name) = open.pop() {
        if world.apps.contains_key(name) && found.insert(name) {
            open.extend(world.children(name));
        }
    }
    found
}

fn asks(world: &World, root: &AppName, inputs: impl Fn(&App) -> Option<Digest>) -> Asks {
    let apps = members(world, root).into_iter();
    apps.filter_map(|name| Some((name.clone(), inputs(world.apps.get(name)?)))).collect()
}

fn is_well(world: &World, root: &AppName, limits: &Limits, present: &[Asks]) -> bool {
    let members = members(world, root);
    let apps = || members.iter().filter_map(|name| world.apps.get(*name));
    // What costs nothing first.
    let healthy = apps().all(|app| app.health == crate::ledger::event::Health::Healthy);
    if members.is_empty() || !healthy {
        return false;
    }
    if apps().any(|app| app.is_held() || app.removing || world.render_pending(app)) {
        return false;
    }
    let then = asks(world, root, |app| app.desired.as_ref().map(|render| render.inputs));
    if present.contains(&then) {
        return false;
    }
    members.into_iter().all(|name| {
        plan(world, name, limits, &Compared::new()).is_some_and(|plan| {
            let synced = name != root || plan.sync == Sync::Synced;
            let idle = plan.writes.is_empty() && plan.declare.is_empty() && plan.remove.is_empty();
            synced && idle
        })
    })
}
