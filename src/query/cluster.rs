//! Which cluster is kept, whether it is the one that answers, and what would follow from keeping
//! the one that does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::text::{count, list};
use crate::ledger::event::{ClusterAcceptedV1, Event, Verb};
use crate::model::{AppName, ObjectKey};
use crate::plan::{Compared, Limits, Plan, Status, plan};
use crate::replay::World;

/// How many kinds are named in a sentence.
const KINDS_NAMED_MAX: usize = 5;

/// The cluster, as it is known by name. It goes over the wire as it is: fields are added, never
/// renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The uid of the cluster that answers; empty until known.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Its address.
    pub server: String,
    /// Why it cannot be reached, while it cannot.
    pub lost: Option<String>,
    /// The uid of the cluster that is kept; empty = none yet.
    pub kept: String,
    /// The event since which it is.
    pub since: u64,
    /// When that was.
    pub since_at: String,
    /// Why the one that answers is not known to be the one to be kept; absent while it is.
    pub doubt: Option<Doubt>,
    /// The clusters that were kept before, oldest first.
    pub formers: Vec<Former>,
}

/// Why the cluster that answers is not known to be the one to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The event that told of it.
    pub seq: u64,
    /// When.
    pub at: String,
    /// `replaced` or `reverted`.
    pub kind: String,
    /// In words.
    pub what: String,
}

/// A cluster that was kept before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its uid.
    pub uid: String,
    /// From which event on.
    pub since: u64,
    /// The event that told that another one answers.
    pub until: u64,
    /// The event that accepted the other one.
    pub accepted: u64,
}

/// Which cluster it is.
#[must_use]
pub fn known(world: &World) -> Known {
    let (cluster, identity) = (&world.cluster, &world.cluster.identity);
    let doubt = cluster.doubt().map(|doubt| Doubt {
        seq: doubt.seq().0,
        at: doubt.at().to_string(),
        kind: doubt.as_str().to_owned(),
        what: cluster.doubt_text().unwrap_or_default(),
    });
    let since = (!identity.kept.is_empty()).then(|| identity.since_at.to_string());
    let formers = identity.formers.iter().map(|former| Former {
        uid: former.uid.clone(),
        since: former.since.0,
        until: former.until.0,
        accepted: former.accepted.0,
    });
    Known {
        uid: cluster.uid.clone(),
        version: cluster.version.clone(),
        server: cluster.server.clone(),
        lost: cluster.lost.clone(),
        kept: identity.kept.clone(),
        since: identity.since.0,
        since_at: since.unwrap_or_default(),
        doubt,
        formers: formers.collect(),
    }
}

/// What would follow from keeping the cluster that answers. It goes over the wire as it is: fields
/// are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepting {
    /// Which cluster it is, and which one is kept now.
    pub cluster: Known,
    /// Of how many objects it would be forgotten that greffier applied them: they are not there,
    /// or not the same ones.
    pub forgotten: usize,
    /// How many of those are here all the same and wanted: they become greffier's own again by an
    /// apply.
    #[serde(default)]
    pub here: usize,
    /// What would be done for each application.
    pub apps: Vec<AppAfter>,
    /// What greffier applied once, by the objects' own word or to the former cluster, and no
    /// application wants: it stays, and nobody removes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// What would be done for an application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppAfter {
    /// Its name.
    pub app: String,
    /// How many objects would be created.
    pub create: usize,
    /// How many would be written over.
    pub update: usize,
    /// How many would be compared first.
    pub compare: usize,
    /// How many are as Git says.
    pub same: usize,
    /// How many would be removed.
    pub remove: usize,
    /// How many writes would wait for approval.
    pub gated: usize,
    /// Of how many others nothing can be said or done now.
    pub other: usize,
    /// Why nothing would be written all the same; empty where it would.
    pub restrained: String,
    /// What would become of each object that is not as Git says, in order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectAfter>,
}

/// What would become of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAfter {
    /// The object.
    pub object: String,
    /// `create`, `write`, `compare`, `remove`, `gated` or `other`.
    pub fate: String,
    /// Why; empty where nothing more is to be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Accepting {
    /// In one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let sum = |field: fn(&AppAfter) -> usize| self.apps.iter().map(field).sum::<usize>();
        let parts = [
            (sum(|app| app.create), "to be created"),
            (sum(|app| app.update), "to be written over"),
            (sum(|app| app.compare), "to be compared first"),
            (sum(|app| app.same), "as Git says"),
            (sum(|app| app.gated), "waiting for approval"),
            (sum(|app| app.other), "left as they are"),
        ];
        let told = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let told: Vec<String> = told.collect();
        let removed = match sum(|app| app.remove) {
            0 => "nothing is removed".to_owned(),
            n => format!("{} removed", count(n, "object")),
        };
        let told = if told.is_empty() { "nothing is wanted".to_owned() } else { told.join(", ") };
        format!("{told}; {removed}")
    }
}

/// What would follow from `event`, which accepts the cluster that answers.
#[must_use]
pub fn accepting(
    mut world: World,
    compared: &Compared,
    limits: &Limits,
    event: &ClusterAcceptedV1,
) -> Accepting {
    let (cluster, owned) = (known(&world), world.owned.len());
    let owned_before: BTreeSet<ObjectKey> = world.owned.keys().cloned().collect();
    let (seq, now) = (world.seq.next(), world.now);
    world.apply(seq, now, &Event::from(event.clone()));
    let plans = world.apps.keys().filter_map(|name| {
        let plan = plan(&world, name, limits, compared)?;
        Some(after(name, &plan))
    });
    let apps = plans.collect();
    let forgotten = owned_before.iter().filter(|key| !world.owned.contains_key(key));
    let here = |key: &&ObjectKey| world.live.contains_key(key) && world.wanted_by.contains_key(key);
    let here = forgotten.filter(here).count();
    let left = world.live.iter().filter(|(key, live)| {
        let known = world.owned.contains_key(key) || world.wanted_by.contains_key(key);
        let applied = live.owned.is_some() || owned_before.contains(key);
        applied && live.controller.is_empty() && !known
    });
    let left = left.map(|(key, _)| key.to_string()).collect();
    Accepting { cluster, forgotten: owned - world.owned.len(), here, apps, left }
}

fn after(name: &AppName, plan: &Plan) -> AppAfter {
    let mut after = AppAfter { app: name.to_string(), ..AppAfter::default() };
    let is_compared = |key: &ObjectKey| {
        plan.dry_runs.iter().any(|dry_run| dry_run.key == *key)
            || plan.compare.iter().any(|comparison| comparison.key == *key)
    };
    let gated = plan.gate.as_ref().map(|gate| &gate.writes);
    let is_gated =
        |key: &ObjectKey| gated.is_some_and(|writes| writes.iter().any(|w| w.key == *key));
    let removed =
        |key: &ObjectKey| plan.writes.iter().any(|w| w.key == *key && w.verb == Verb::Prune);
    for object in &plan.objects {
        let (of, fate) = match object.status {
            _ if is_gated(&object.key) => (&mut after.gated, "gated"),
            _ if is_compared(&object.key) => (&mut after.compare, "compare"),
            _ if removed(&object.key) => (&mut after.remove, "remove"),
            Status::Missing => (&mut after.create, "create"),
            Status::Changed | Status::Drifted | Status::OwnershipLost => {
                (&mut after.update, "write")
            }
            Status::Synced => (&mut after.same, ""),
            _ => (&mut after.other, "other"),
        };
        *of += 1;
        if !fate.is_empty() {
            let (object, why) = (object.key.to_string(), object.why.clone());
            after.objects.push(ObjectAfter { object, fate: fate.to_owned(), why });
        }
    }
    if !plan.permission.apply {
        after.restrained.clone_from(&plan.permission.why_not);
    } else if let Some(gate) = &plan.gate {
        let reasons = gate.reasons.iter().map(|reason| reason.what.as_str()).collect::<Vec<_>>();
        after.restrained = format!("waits for approval: {}", reasons.join("; "));
    }
    after
}

/// The kinds of what is wanted that have not been listed yet, in words; `None` = all have.
#[must_use]
pub fn unlisted(world: &World) -> Option<String> {
    let kinds = world.unlisted();
    let named = kinds.iter().map(ToString::to_string);
    (!kinds.is_empty()).then(|| list(named, KINDS_NAMED_MAX))
}

#[cfg(test)]
mod tests;
