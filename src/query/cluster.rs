//! Which cluster is kept, whether it is the one that answers, and what would follow from keeping
//! the one that does.

mod after;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::after::{After, after};
use super::children::Gone;
use super::text::{count, list};
use crate::ledger::event::{ClusterAcceptedV1, Event};
use crate::model::ObjectKey;
use crate::plan::{Compared, Limits};
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
    /// What becomes of each application that Git dropped, object by object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
    /// Names what would be written and removed: who accepts gives it back, and is refused where
    /// that is something else by then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
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
    /// How many of those would be deleted and made anew.
    #[serde(default)]
    pub recreate: usize,
    /// How many would be removed; the definition of an application that goes counts as one.
    pub remove: usize,
    /// How many applications would be defined, or defined otherwise.
    #[serde(default)]
    pub define: usize,
    /// How many writes would wait for approval.
    pub gated: usize,
    /// Of how many others nothing can be said or done now.
    pub other: usize,
    /// Whether it goes itself, because Git dropped it.
    #[serde(default)]
    pub goes: bool,
    /// Why nothing would be written all the same; empty where it would.
    pub restrained: String,
    /// Why not all of what would be done is known; empty where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_known: String,
    /// What would become of each object that is not as Git says, in order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectAfter>,
}

/// What would become of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAfter {
    /// The object.
    pub object: String,
    /// `create`, `write`, `compare`, `remove`, `define`, `gated` or `other`.
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
        let mut told: Vec<String> = told.collect();
        if let n @ 1.. = sum(|app| app.define) {
            told.push(format!("{} to be defined", count(n, "application")));
        }
        let told = if told.is_empty() { "nothing is wanted".to_owned() } else { told.join(", ") };
        format!("{told}; {}", self.removed())
    }

    /// What is removed, and how far that is known.
    fn removed(&self) -> String {
        let sum = |field: fn(&AppAfter) -> usize| self.apps.iter().map(field).sum::<usize>();
        let unknown = self.apps.iter().filter(|app| !app.not_known.is_empty()).count();
        let unknown = count(unknown, "application");
        let mut parts = Vec::new();
        if let n @ 1.. = sum(|app| app.recreate) {
            parts.push(format!("{} deleted and made anew", count(n, "object")));
        }
        if let n @ 1.. = sum(|app| app.remove) {
            parts.push(format!("{} REMOVED", count(n, "object")));
        }
        let removes = !parts.is_empty();
        if self.apps.iter().any(|app| !app.not_known.is_empty()) {
            let what = if removes { "more is done" } else { "is written and removed" };
            parts.push(format!("of {unknown} it is not known yet what {what}"));
        } else if !removes {
            parts.push("nothing is removed".to_owned());
        }
        parts.join("; ")
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
    let After { apps, gone, then, hash } = after(&world, limits, compared);
    let forgotten = owned_before.iter().filter(|key| !world.owned.contains_key(key));
    let then = then.as_ref().unwrap_or(&world);
    let here = |key: &&ObjectKey| then.live.contains_key(key) && then.wanted_by.contains_key(key);
    let here = forgotten.filter(here).count();
    let left = then.live.iter().filter(|(key, live)| {
        let known = then.owned.contains_key(key) || then.wanted_by.contains_key(key);
        let applied = live.owned.is_some() || owned_before.contains(key);
        applied && live.controller.is_empty() && !known
    });
    let left = left.map(|(key, _)| key.to_string()).collect();
    let forgotten = owned - world.owned.len();
    Accepting { cluster, forgotten, here, apps, gone, hash, left }
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
