//! What the target is and has.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use super::write::WRITES_MAX;
use crate::cluster::{Class, Connection, Error};
use crate::model::ObjectKey;
use crate::recovery::skips::is_made_by_cluster;
use crate::recovery::{Serving, Step};

/// Objects of a plan that the target has already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What it makes by itself: may be written over.
    pub made: BTreeSet<ObjectKey>,
    /// What somebody made.
    pub there: Vec<ObjectKey>,
    /// The uid of each of both.
    pub uids: BTreeMap<ObjectKey, String>,
}

/// What the target serves, in every version.
///
/// # Errors
/// When it cannot be asked. What it could not say of a group is an error too: a plan must not
/// leave out what is merely late.
pub async fn serving(cluster: &Connection) -> Result<Serving, Error> {
    let discovered = cluster.discover().await?;
    if let Some(group) = discovered.broken_groups.first() {
        return Err(Error::Unavailable {
            subject: format!("discover what {} serves", cluster.server()),
            status: 503,
            message: format!("the group {group} does not answer"),
        });
    }
    Ok(Serving::of(cluster.served()))
}

/// Asks for every object of a plan.
///
/// # Errors
/// When one of them cannot be asked for: what is not known to be absent is not written.
pub async fn survey(cluster: &Connection, steps: &[Step]) -> Result<Found, Error> {
    let mut answers = futures::stream::iter(steps)
        .map(|step| async move { (step, cluster.get(&step.key, &step.version).await) })
        .buffered(WRITES_MAX);
    let mut found = Found::default();
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
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
