//! The gate: deletions are judged by their blast radius before they are made.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Plan;
use crate::ledger::event::{GateReason, Verb, Write};
use crate::model::{AppName, ObjectKey, PlanHash};
use crate::replay::{App, World};

/// How much may be deleted without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Deletions of more than this share of an application's objects wait, in percent…
    pub app_percent_max: u32,
    /// …if they are at least this many.
    pub app_objects_min: u32,
    /// More deletions than this for one commit, over all applications, wait.
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
}

/// Adds `prunes` to the plan, or gates them together with every other deletion of the plan.
pub(super) fn gate(
    world: &World,
    name: &AppName,
    app: &App,
    limits: &Limits,
    plan: &mut Plan,
    prunes: Vec<Write>,
) {
    if app.removing {
        // Whoever removed the application was asked about its objects then.
        plan.writes.extend(prunes);
        return;
    }
    let zeroes = plan.writes.iter().filter(|write| scales_to_zero(world, app, write));
    let mut deletions: Vec<Write> = prunes.iter().chain(zeroes).cloned().collect();
    deletions.sort_by(|a, b| a.key.cmp(&b.key));
    if deletions.is_empty() && plan.remove.is_empty() {
        return;
    }
    let reasons = reasons(world, name, app, limits, &deletions, &plan.remove);
    let hash = hash(world, name, &deletions, &plan.remove);
    if reasons.is_empty() || app.approved == Some(hash) {
        plan.writes.extend(prunes);
        return;
    }
    plan.writes.retain(|write| !deletions.iter().any(|deletion| deletion.key == write.key));
    let apps = std::mem::take(&mut plan.remove).into_iter().map(|(child, _)| child).collect();
    plan.gate = Some(Gated { hash, reasons, writes: deletions, apps });
}

fn scales_to_zero(world: &World, app: &App, write: &Write) -> bool {
    if write.verb != Verb::Update {
        return false;
    }
    let desired = app.desired.as_ref().and_then(|desired| desired.objects.get(&write.key));
    let before = world.owned.get(&write.key).and_then(|owned| owned.replicas);
    desired.and_then(|object| object.replicas) == Some(0) && before.is_some_and(|n| n > 0)
}

fn reasons(
    world: &World,
    name: &AppName,
    app: &App,
    limits: &Limits,
    deletions: &[Write],
    removals: &[(AppName, bool)],
) -> Vec<GateReason> {
    let size = |child: &AppName| world.owned_by(child).count() + 1;
    let removed: usize = removals.iter().map(|(child, _)| size(child)).sum();
    let children: usize = world.children(name).map(size).sum();
    let count = deletions.len() + removed;
    let total = world.owned_by(name).count() + children;
    let mut reasons = Vec::new();
    let mut say = |what: String| reasons.push(GateReason { what });
    let share_exceeded = count * 100 > total * limits.app_percent_max as usize;
    if share_exceeded && count >= limits.app_objects_min as usize {
        let percent = limits.app_percent_max;
        say(format!("would delete {count} of {total} objects of {name} (limit {percent} %)"));
    }
    let commit = app.commit();
    let before = commit.and_then(|c| world.deletions.get(c)).map_or(0, |(_, n)| *n as usize);
    if before + count > limits.all_objects_max as usize {
        let limit = limits.all_objects_max;
        say(format!("would delete {} objects for one commit (limit {limit})", before + count));
    }
    let of_children = removals.iter().filter(|(_, cascade)| *cascade);
    let of_children = of_children.flat_map(|(child, _)| world.owned_by(child).map(|(key, _)| key));
    let keys = deletions.iter().filter(|w| w.verb == Verb::Prune).map(|write| &write.key);
    for key in keys.chain(of_children).filter(|key| is_protected(limits, key)) {
        say(format!("would delete {key}, and with it what it holds"));
    }
    let empty = app.desired.as_ref().is_some_and(|desired| desired.objects.is_empty());
    if empty && count > 0 && !app.spec.automated.is_some_and(|a| a.allow_empty) {
        say(format!("would empty {name} (allowEmpty is not set)"));
    }
    reasons
}

fn is_protected(limits: &Limits, key: &ObjectKey) -> bool {
    let kind = key.group_kind().to_string();
    limits.kinds.contains(&kind)
}

/// Hashes what would be deleted and what it rests on: an approval lapses when that changes.
fn hash(
    world: &World,
    name: &AppName,
    deletions: &[Write],
    removals: &[(AppName, bool)],
) -> PlanHash {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    field(name.as_str().as_bytes());
    for write in deletions {
        field(write.verb.as_str().as_bytes());
        field(write.key.to_string().as_bytes());
        field(&write.digest.0);
        if let Some(live) = world.live.get(&write.key) {
            field(live.uid.as_bytes());
            field(&live.digest.0);
        }
    }
    for (child, cascade) in removals {
        field(child.as_str().as_bytes());
        field(&[u8::from(*cascade)]);
        for (key, owned) in world.owned_by(child) {
            field(key.to_string().as_bytes());
            field(owned.uid.as_bytes());
        }
    }
    PlanHash(hasher.finalize().into())
}
