//! What the target is and has.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use super::write::{WRITES_MAX, is_of_backend};
use crate::cluster::{Class, Connection, Error};
use crate::model::ObjectKey;
use crate::recovery::progress::Former;
use crate::recovery::skips::is_made_by_cluster;
use crate::recovery::{Backends, LossKind, Plan, Serving, Step};

/// Objects of a plan that the target has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What it makes by itself: may be written over.
    pub made: BTreeSet<ObjectKey>,
    /// What somebody made.
    pub there: Vec<ObjectKey>,
    /// The uid of each of both.
    pub uids: BTreeMap<ObjectKey, String>,
    /// What could not be asked for, because what has to answer for it does not, and why.
    pub unknown: BTreeMap<ObjectKey, String>,
}

/// What the target serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its kinds, in every version.
    pub serving: Serving,
    /// The groups that do not answer.
    pub broken: Vec<String>,
}

impl Served {
    /// What of a plan is in a group that does not answer, and that the plan itself does not bring:
    /// nothing can be said of it, and a plan must not leave out what is merely late.
    #[must_use]
    pub fn unknown(&self, plan: &Plan, server: &str) -> Option<Error> {
        let backends = Backends::of(&plan.steps);
        let brought = backends.groups();
        let broken = self.broken.iter().find(|group| {
            let lost = plan.shown.missing.iter().filter(|loss| loss.kind == LossKind::NotServed);
            let mut lost = lost.filter_map(|loss| loss.subject.parse::<ObjectKey>().ok());
            let wanted = plan.steps.iter().any(|step| step.key.group() == **group)
                || lost.any(|key| key.group() == **group);
            wanted && !brought.contains(group.as_str())
        })?;
        Some(Error::Unavailable {
            subject: format!("discover what {server} serves"),
            status: 503,
            message: format!("the group {broken} does not answer"),
        })
    }
}

/// What the target serves, in every version.
///
/// # Errors
/// When it cannot be asked.
pub async fn serving(cluster: &Connection) -> Result<Served, Error> {
    let discovered = cluster.discover().await?;
    Ok(Served { serving: Serving::of(cluster.served()), broken: discovered.broken_groups })
}

/// What of earlier replays the target still has: the same objects, as far as it can say so.
///
/// # Errors
/// When it cannot be asked.
pub async fn remains<'f>(
    cluster: &Connection,
    former: &[(&'f ObjectKey, &'f Former)],
) -> Result<Vec<(&'f ObjectKey, &'f Former)>, Error> {
    let mut answers = futures::stream::iter(former)
        .map(|one| async move { (one, cluster.get(one.0, &one.1.write.version).await) })
        .buffered(WRITES_MAX);
    let mut remains = Vec::new();
    while let Some((one, answer)) = answers.next().await {
        let live = match answer {
            Err(error) if error.class() == Class::NotServed => None,
            answer => answer?,
        };
        let uid = live.as_ref().and_then(|live| live.pointer("/metadata/uid")?.as_str());
        if uid == Some(one.1.recovered.uid.as_str()) {
            remains.push(*one);
        }
    }
    Ok(remains)
}

/// Asks for every object of a plan.
///
/// # Errors
/// When one of them cannot be asked for, unless only what has to answer for it does not: what is
/// not known to be absent is not written.
pub async fn survey(cluster: &Connection, steps: &[Step]) -> Result<Found, Error> {
    let mut answers = futures::stream::iter(steps)
        .map(|step| async move { (step, cluster.get(&step.key, &step.version).await) })
        .buffered(WRITES_MAX);
    let (mut found, backends) = (Found::default(), Backends::of(steps));
    while let Some((step, answer)) = answers.next().await {
        if let Ok(Some(live)) = &answer {
            let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
            found.uids.insert(step.key.clone(), uid.unwrap_or_default().to_owned());
        }
        match answer {
            Ok(None) => {}
            Ok(Some(live)) if is_made_by_cluster(&step.key, &live) => {
                found.made.insert(step.key.clone());
            }
            Ok(Some(_)) => found.there.push(step.key.clone()),
            // A kind that the plan itself defines.
            Err(error) if error.class() == Class::NotServed => {}
            Err(error) if backends.behind(step).is_some() && is_of_backend(&error) => {
                found.unknown.insert(step.key.clone(), error.chain());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
