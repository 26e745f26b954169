//! The gate: what waits for a person. Deletions are judged by their blast radius before they are
//! made, and nothing of another GitOps manager is touched for the first time unasked.

mod carried;
mod later;
mod proposed;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::assess::recreates;
use super::prune::stays_beside;
use super::{CREATE_NAMESPACE, Permission, Plan};
use crate::ledger::event::{GateReason, Verb, Write};
use crate::model::{AppName, Digest, ObjectKey, PlanHash, Removal};
use crate::replay::{App, CountedFor, Desired, GoingCount, Proposed, World, gate_hash};

/// How many objects a reason names.
const NAMED_MAX: usize = 3;

/// How much may be deleted without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Deletions of more than this share of an application's objects wait, in percent…
    pub app_percent_max: u32,
    /// …if they are at least this many.
    pub app_objects_min: u32,
    /// More deletions than this for one commit, rollback or release, over all applications, wait.
    pub all_objects_max: u32,
    /// Deletions of these kinds always wait, as `Kind` or `Kind.group`.
    pub kinds: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            app_percent_max: 50,
            app_objects_min: 3,
            all_objects_max: 50,
            kinds: [
                "Namespace",
                "CustomResourceDefinition.apiextensions.k8s.io",
                "PersistentVolume",
                "PersistentVolumeClaim",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

/// The part of a plan that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gated {
    /// What an approval names.
    pub hash: PlanHash,
    /// Why it waits.
    pub reasons: Vec<GateReason>,
    /// The writes that wait.
    pub writes: Vec<Write>,
    /// The applications whose removal waits.
    pub apps: Vec<AppName>,
    /// The inputs of the render that waits with it, if one does.
    pub render: Option<Digest>,
}

/// What waits, while it is collected.
#[derive(Default)]
struct Waiting {
    /// First contacts, and what may be older than the cluster.
    contacts: Vec<GateReason>,
    /// Deletions, and a render that waits.
    reasons: Vec<GateReason>,
    writes: Vec<Write>,
    apps: Vec<AppName>,
}

/// Adds `prunes` to the plan and takes out of it what has to wait for a person.
pub(super) fn gate(
    world: &World,
    name: &AppName,
    app: &App,
    limits: &Limits,
    plan: &mut Plan,
    mut prunes: Vec<Write>,
    asks: Vec<GateReason>,
) {
    later::await_start(world, (name, app), plan, &mut prunes);
    if app.removing && asks.is_empty() && world.old_copy().is_none() {
        // Whoever removed the application was asked about its objects then.
        plan.writes.extend(prunes);
        return;
    }
    let mut waiting = Waiting::default();
    first_contacts(world, app, plan, &mut waiting);
    later::await_comparisons(world, app, plan, &mut prunes);
    later::take(world, app, plan, &mut prunes, &mut waiting);
    deletions(world, (name, app), limits, plan, (prunes, asks), &mut waiting);
    leave_beside(world, (name, app), plan, &waiting);
    if let Some(proposed) = app.asked_about() {
        proposed::add(world, (name, app), proposed, limits, plan, &mut waiting);
    }
    let Waiting { contacts, mut reasons, writes, apps } = waiting;
    reasons.splice(0..0, contacts);
    let render = app.asked_about().map(|proposed| proposed.desired.inputs);
    if writes.is_empty() && apps.is_empty() && render.is_none() {
        return;
    }
    let mut bases = world.gate_bases(name, &writes, &apps);
    bases.extend(app.asked_about().map(Proposed::base));
    let hash = gate_hash(name, &bases);
    plan.gate = Some(Gated { hash, reasons, writes, apps, render });
}

/// Leaves what is to go while what may stand in its place waits for a person. What waits itself is
/// asked about with it.
fn leave_beside(world: &World, (name, app): (&AppName, &App), plan: &mut Plan, waiting: &Waiting) {
    let is_new = |write: &&Write| {
        let owned = world.owned.get(&write.key).filter(|owned| owned.app == *name);
        write.verb != Verb::Prune && owned.is_none_or(|owned| owned.applied != write.digest)
    };
    let Some(other) = waiting.writes.iter().find(is_new) else { return };
    let what = format!("{}, which may stand in its place, waits for approval", other.key);
    let stays = |write: &Write| write.verb == Verb::Prune && stays_beside(world, app, write);
    later::leave(plan, &mut Vec::new(), &what, false, &stays);
}

/// Objects that show another GitOps manager wait one by one; the rest of the application goes on.
fn first_contacts(world: &World, app: &App, plan: &mut Plan, waiting: &mut Waiting) {
    let mut of_manager: BTreeMap<&str, Vec<ObjectKey>> = BTreeMap::new();
    plan.writes.retain(|write| {
        let Some(manager) = world.first_contact(write) else { return true };
        if app.approved_bases.contains(&world.write_base(app, write)) {
            return true;
        }
        of_manager.entry(manager).or_default().push(write.key.clone());
        waiting.writes.push(write.clone());
        false
    });
    for (manager, keys) in of_manager {
        let what = format!("would write to {}, which {manager} manages", named(&keys));
        waiting.contacts.push(GateReason { what });
    }
}

/// `A`, or `3 objects (A, B, C)`.
fn named(keys: &[ObjectKey]) -> String {
    let mut names: Vec<_> = keys.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if keys.len() > names.len() {
        names.push(format!("and {} more", keys.len() - names.len()));
    }
    match keys {
        [key] => key.to_string(),
        keys => format!("{} objects ({})", keys.len(), names.join(", ")),
    }
}

/// The deletions wait together, when they are too many or hit what holds other things.
fn deletions(
    world: &World,
    (name, app): (&AppName, &App),
    limits: &Limits,
    plan: &mut Plan,
    (prunes, asks): (Vec<Write>, Vec<GateReason>),
    waiting: &mut Waiting,
) {
    let replaced = plan.writes.iter().filter(|write| world.is_deletion(app, write));
    let mut deletions: Vec<Write> = prunes.iter().chain(replaced).cloned().collect();
    deletions.sort_by(|a, b| a.key.cmp(&b.key));
    if deletions.is_empty() && plan.remove.is_empty() {
        return;
    }
    let mut reasons = if app.removing {
        Vec::new()
    } else {
        // What is to go and waits for something else counts: not all kinds are listed at once, and
        // what fails is tried again.
        let waits = plan.objects.iter().filter(|object| {
            object.blocked
                && !object.key.is_application()
                && !world.wanted_by.contains_key(&object.key)
        });
        let later: Vec<&ObjectKey> = waits.map(|object| &object.key).collect();
        let going = (deletions.as_slice(), later.as_slice());
        let mut why =
            reasons(world, (name, app), app.desired.as_ref(), limits, going, &plan.remove);
        why.extend(carried::carried(world, limits, &plan.remove));
        why
    };
    reasons.extend(asks);
    let removed = plan.remove.iter().map(|(child, _)| child);
    let bases = world.gate_bases(name, &deletions, removed);
    // A part of what was approved is approved: the rest may have been done already.
    if reasons.is_empty() || bases.is_subset(&app.approved_bases) {
        plan.writes.extend(prunes);
        return;
    }
    // What is defined with this very plan may have what goes: that is counted once it is rendered.
    // What a person takes back is shown and allowed with it.
    if let Some((child, _)) = plan.declare.first().filter(|_| !app.is_held()) {
        let what = format!("application {child} is rendered first");
        let mut prunes = prunes;
        later::leave(plan, &mut prunes, &what, true, &|write| world.is_deletion(app, write));
        return;
    }
    let keys: BTreeSet<&ObjectKey> = deletions.iter().map(|deletion| &deletion.key).collect();
    plan.writes.retain(|write| !keys.contains(&write.key));
    waiting.apps.extend(std::mem::take(&mut plan.remove).into_iter().map(|(child, _)| child));
    waiting.reasons.extend(reasons);
    waiting.writes.extend(deletions);
}

/// Which limits the deletions exceed that `desired` asks for, those of now and of `later`.
fn reasons(
    world: &World,
    (name, app): (&AppName, &App),
    desired: Option<&Desired>,
    limits: &Limits,
    (deletions, later): (&[Write], &[&ObjectKey]),
    removals: &[(AppName, bool)],
) -> Vec<GateReason> {
    let mut removed = world.removals(removals.iter().map(|(child, _)| child));
    if desired.map(|desired| desired.seq) != app.desired.as_ref().map(|desired| desired.seq) {
        removed = removed.but_for(name);
    }
    let of_children: Vec<_> = removals.iter().flat_map(|(child, _)| removed.keys(child)).collect();
    let removed: GoingCount = removals.iter().map(|(child, _)| removed.count(child)).sum();
    let children = world.children(name).map(|child| match app.entered_children.get(child) {
        Some(entered) if removals.iter().all(|(removed, _)| removed != child) => {
            world.count_before(child, *entered)
        }
        _ => world.removal_count(child),
    });
    let children: usize = children.sum();
    let now = removed + GoingCount::of_deletions(deletions.len());
    let begun = desired.into_iter().flat_map(|desired| &desired.deleted);
    let begun = begun.chain(later.iter().copied());
    let begun: BTreeSet<&ObjectKey> =
        begun.filter(|key| deletions.iter().all(|write| write.key != **key)).collect();
    let gone = begun.iter().filter(|key| world.owned.get(**key).is_none_or(|o| o.app != *name));
    let going = now + GoingCount::of_deletions(begun.len());
    let count = going.total();
    // What is adopted becomes the application's own with the very write.
    let adopted = deletions.iter().filter(|write| write.verb == Verb::Adopt).count();
    // What somebody replaced by another of its name is there no more.
    let replaced = world.extras_of(name).filter(|(_, owned, live)| owned.uid != live.uid).count();
    // What was made while this waited is no reason to let it pass.
    let entered = app.entered.iter().filter(|key| {
        let own = world.owned.get(*key).is_some_and(|owned| owned.app == *name);
        own && !begun.contains(key) && deletions.iter().all(|write| write.key != **key)
    });
    let own = world.owned_count(name).saturating_sub(replaced + entered.count());
    let total = own + children + gone.count() + adopted;
    let mut reasons = Vec::new();
    let mut say = |what: String| reasons.push(GateReason { what });
    let share_exceeded = count * 100 > total * limits.app_percent_max as usize;
    if share_exceeded && count >= limits.app_objects_min as usize {
        let percent = limits.app_percent_max;
        say(format!("{} (limit {percent} %)", words::of_share(going, total, name)));
    }
    let limit = limits.all_objects_max as usize;
    let together = now + with_the_same_cause(world, (name, app), limit);
    if together.total() > limit {
        let counted = app.desired.as_ref().map(Desired::counted_for);
        let cause = counted.as_ref().map_or("for one commit", CountedFor::words);
        say(format!("{} (limit {limit})", words::of_cause(together, cause)));
    }
    let keys = deletions
        .iter()
        .filter(|write| matches!(write.verb, Verb::Prune | Verb::Recreate))
        .map(|write| &write.key);
    for key in keys.chain(of_children).filter(|key| is_protected(limits, key)) {
        say(format!("would delete {key}, and with it what it holds"));
    }
    // The namespace that comes with an option is not what Git says.
    let empty = desired.is_some_and(|desired| {
        desired.objects.values().all(|object| object.origin == CREATE_NAMESPACE)
    });
    if empty && count > 0 && !app.spec.automated.is_some_and(|a| a.allow_empty) {
        say(format!("would empty {name} (allowEmpty is not set)"));
    }
    reasons
}

/// How many other objects go with the commit, rollback or release that asked for it, whatever came
/// after it: those whose deletion was begun, and those of applications that come first, so that
/// several which are planned at the same time do not each take the whole allowance. What is gated
/// already, or will be because it exceeds that by itself, waits and does not count.
fn with_the_same_cause(world: &World, (name, app): (&AppName, &App), limit: usize) -> GoingCount {
    let Some(desired) = &app.desired else { return GoingCount::default() };
    let begun = world.deletions.get(&desired.counted_for());
    let begun = GoingCount::of_deletions(begun.map_or(0, |(_, count)| *count as usize));
    let others = world.apps.range(..name.clone()).filter(|(_, other)| {
        let same = other.desired.as_ref().is_some_and(|other| desired.counts_with(other));
        same && other.gate.is_none() && !other.removing
    });
    let going = others.map(|(other, state)| about_to_go(world, other, state));
    begun + going.filter(|count| count.total() <= limit).sum()
}

/// How many objects of an application go with what is decided about it now.
fn about_to_go(world: &World, name: &AppName, app: &App) -> GoingCount {
    let permission = Permission::of(world, app);
    let mut count = GoingCount::default();
    if permission.prune {
        let extras = world.extras_of(name).filter(|(key, owned, live)| {
            !world.stays(key, owned, Removal::Prune)
                && !live.deleting
                && !world.in_flight.contains_key(*key)
        });
        let children = world.children(name).filter(|child| {
            let going = world.apps.get(*child).is_none_or(|child| child.removing);
            !going && !app.defines(child)
        });
        let children: Vec<&AppName> = children.collect();
        let removals = world.removals(children.iter().copied());
        let removed: GoingCount = children.iter().map(|child| removals.count(child)).sum();
        count = removed + GoingCount::of_deletions(extras.count());
    }
    if permission.apply {
        let desired = app.desired.iter().flat_map(|desired| desired.objects.values());
        let replaced = desired.filter(|object| {
            let owned = world.owned.get(&object.key);
            owned.is_some_and(|owned| {
                let zeroed = object.replicas == Some(0)
                    && owned.replicas.is_some_and(|n| n > 0)
                    && world.autoscaler_of(&object.key).is_none();
                owned.app == *name
                    && owned.applied != object.digest
                    && (zeroed || recreates(app, object))
                    && world.live.contains_key(&object.key)
                    && !world.in_flight.contains_key(&object.key)
            })
        });
        count.deletes += replaced.count();
    }
    count
}

fn is_protected(limits: &Limits, key: &ObjectKey) -> bool {
    let kind = key.group_kind().to_string();
    limits.kinds.contains(&kind)
}
