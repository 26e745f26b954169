//! Bringing back objects that no application has, and fields that Git says nothing of.
//!
//! The event that intends it is durable before this runs. Each write is bound to the very object
//! that was shown to the person: it is read once more, and nothing is written over what changed
//! since. An object that is there is replaced rather than applied: what is to be gone from it is
//! owned by others, and an apply takes away only what is one's own.
//!
//! What an earlier run may have sent is never sent again: the cluster is looked at.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use crate::cluster::sanitize::{carry, sanitize};
use crate::cluster::{
    self, Class, Connection, DeleteRequest, DeleteResult, Normalised, Propagation, ReplaceRequest,
    Stored, UNDELIVERED_MAX, has_digest, lay, normalize, value_at,
};
use crate::ledger::event::{RestoreEndedV1, RestoreResult, RestoreWrite, Verb};
use crate::ledger::{self, Draft};
use crate::model::{BlobAddr, Seq, Timestamp};
use crate::plan::diff;
use crate::plan::secret::RECORDED_NOWHERE;
use crate::replay::OpenRestore;

/// How long to wait before looking again.
const RETRY: Duration = Duration::from_secs(1);
/// How much later than the daemon the API server may think that the deadline is.
const MARGIN: Duration = UNDELIVERED_MAX.saturating_add(Duration::from_millis(500));

pub(super) async fn run(
    parts: Parts,
    restore: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.restores.get(&restore).cloned();
    let Some(open) = open else { return Ok(Done::Executed(restore)) };
    if open.settles {
        return settle(&parts, restore, open, &cancel).await;
    }
    let mut ended = Ended::new(restore, false);
    for (index, write) in &open.writes {
        let left = open.deadline.ms_since(Timestamp::now());
        let why = {
            let view = parts.read();
            let overtaken = view.world.restores.get(&restore).is_some_and(|open| open.settles);
            let overtaken = overtaken.then(|| "another cluster answered since".to_owned());
            overtaken.or_else(|| view.world.why_not_restored(write))
        };
        let result = match why {
            _ if cancel.is_cancelled() => RestoreResult::NotSent("the daemon stopped".into()),
            _ if left == 0 => RestoreResult::NotSent("its time ran out".into()),
            Some(why) => RestoreResult::NotSent(why),
            None => {
                let cluster = parts.cluster.within(Duration::from_millis(left));
                let audit_id = format!("{}-{restore}-{index}", parts.ledger.ledger_id());
                send(&parts, &cluster, write, audit_id).await
            }
        };
        ended.push(*index, write, result);
    }
    ended.append(&parts).await?;
    Ok(Done::Executed(restore))
}

/// The ends of some writes.
struct Ended(RestoreEndedV1);

impl Ended {
    fn new(restore: Seq, settled: bool) -> Self {
        let (objects, results) = (Vec::new(), Vec::new());
        Self(RestoreEndedV1 { restore, objects, results, settled })
    }

    fn push(&mut self, index: u32, write: &RestoreWrite, result: RestoreResult) {
        self.0.objects.push(write.key.clone());
        self.0.results.push((index, result));
    }

    async fn append(self, parts: &Parts) -> Result<(), ledger::Error> {
        if !self.0.results.is_empty() {
            let restore = self.0.restore;
            parts.ledger.append(Draft::new(self.0).caused_by(restore)).await?;
        }
        Ok(())
    }
}

async fn send(
    parts: &Parts,
    cluster: &Connection,
    write: &RestoreWrite,
    audit_id: String,
) -> RestoreResult {
    let live = match cluster.get(&write.key, &write.version).await {
        Ok(live) => live,
        // Nothing was sent but a question.
        Err(error) => return RestoreResult::NotSent(error.chain()),
    };
    if let Some(why) = why_other(parts, write, live.as_ref()) {
        return RestoreResult::Refused(why);
    }
    let resource_version = live.as_ref().map(|live| text(live, "resourceVersion"));
    if write.verb == Verb::Prune {
        let request = DeleteRequest {
            key: write.key.clone(),
            version: write.version.clone(),
            uid: write.found.as_ref().map(|(uid, _)| uid.clone()).unwrap_or_default(),
            resource_version: resource_version.unwrap_or_default(),
            propagation: Propagation::Background,
            audit_id,
        };
        return match cluster.delete(&request).await {
            Ok(DeleteResult::Deleted | DeleteResult::AlreadyGone) => {
                made(request.uid, String::new())
            }
            Err(error) => failed(&error),
        };
    }
    let manifest = match wanted(parts, write, live.as_ref()) {
        Ok(manifest) => manifest,
        Err(why) => return RestoreResult::Refused(why),
    };
    let request = ReplaceRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        manifest,
        resource_version,
        validate: true,
        audit_id,
    };
    match cluster.replace(&request, false).await {
        Ok(raw) => made(text(&raw, "uid"), text(&raw, "resourceVersion")),
        Err(error) => failed(&error),
    }
}

fn made(uid: String, resource_version: String) -> RestoreResult {
    RestoreResult::Made { uid, resource_version }
}

fn failed(error: &cluster::Error) -> RestoreResult {
    match error.class() {
        Class::Unknown => RestoreResult::Unknown(error.chain()),
        _ => RestoreResult::Refused(error.chain()),
    }
}

fn text(object: &Value, field: &str) -> String {
    let value = object.get("metadata").and_then(|metadata| metadata.get(field)?.as_str());
    value.unwrap_or_default().to_owned()
}

/// Why the object is not what the person was shown; `None` = it is.
fn why_other(parts: &Parts, write: &RestoreWrite, live: Option<&Value>) -> Option<String> {
    let (uid, digest) = match (&write.found, live) {
        (None, None) => return None,
        (None, Some(_)) => return Some("somebody made it anew meanwhile".to_owned()),
        (Some(_), None) => return Some("it is gone meanwhile".to_owned()),
        (Some((uid, digest)), Some(_)) => (uid, digest),
    };
    let found: Normalised = normalize(live?, &parts.ledger).ok()?;
    if found.uid != *uid {
        return Some("somebody replaced it by another of its name meanwhile".to_owned());
    }
    if found.deleting {
        return Some("it is being deleted".to_owned());
    }
    (found.digest != *digest).then(|| "somebody changed it meanwhile".to_owned())
}

/// The object as it is to be.
fn wanted(parts: &Parts, write: &RestoreWrite, live: Option<&Value>) -> Result<Value, String> {
    let addr: BlobAddr = write.saved.ok_or("the write names no object")?;
    let bytes = parts.ledger.blob(addr).map_err(|error| error.to_string())?;
    let unread = || format!("the recorded object {addr} cannot be read");
    let saved = if write.of_manifest {
        serde_json::from_slice(&bytes).map_err(|_| unread())?
    } else {
        Stored::from_stored(&bytes).map_err(|_| unread())?.object
    };
    laid(write, saved, live)
}

/// The saved object, or what is written of it laid over the one that is there.
fn laid(write: &RestoreWrite, saved: Value, live: Option<&Value>) -> Result<Value, String> {
    let places = Some(&write.places).filter(|places| live.is_some() && !places.is_empty());
    // Security: digests stand for the values of an observed Secret. Nobody is offered to restore
    // one; this is the second lock. To take a field away needs no value.
    let digests = match places {
        Some(places) => {
            let mut written = places.iter().map(|place| value_at(&saved, place));
            written.any(|value| value.is_some_and(has_digest))
        }
        None => has_digest(&saved),
    };
    if write.key.is_secret() && digests {
        return Err(RECORDED_NOWHERE.to_owned());
    }
    match live {
        Some(live) if !write.places.is_empty() => {
            let mut object = live.clone();
            lay(&mut object, &saved, &write.places).map_err(|why| why.to_string())?;
            Ok(object)
        }
        Some(live) => {
            let mut object = saved;
            carry(&mut object, live);
            Ok(object)
        }
        None => {
            let mut object = saved;
            sanitize(&mut object);
            Ok(object)
        }
    }
}

/// Finds out by looking at the cluster what became of what may have been sent.
async fn settle(
    parts: &Parts,
    restore: Seq,
    mut open: OpenRestore,
    cancel: &CancellationToken,
) -> Result<Done, ledger::Error> {
    let arrived = open.deadline.plus_ms(MARGIN.as_millis().try_into().unwrap_or(u64::MAX));
    loop {
        let over = Timestamp::now() >= arrived;
        let mut ended = Ended::new(restore, true);
        let doubt = parts.read().world.cluster.doubt_text();
        for (index, write) in &open.writes {
            if let Some(doubt) = &doubt {
                // What another cluster shows says nothing.
                let why = format!("what became of it cannot be seen: {doubt}");
                ended.push(*index, write, RestoreResult::NotSent(why));
                continue;
            }
            let Ok(live) = parts.cluster.get(&write.key, &write.version).await else { continue };
            match was_made(parts, write, live.as_ref()) {
                Some(result) => ended.push(*index, write, result),
                None if over => {
                    let why = "the cluster does not show that it was made";
                    ended.push(*index, write, RestoreResult::NotSent(why.into()));
                }
                None => {}
            }
        }
        open.writes.retain(|index, _| ended.0.results.iter().all(|(known, _)| known != index));
        ended.append(parts).await?;
        if open.writes.is_empty() {
            return Ok(Done::Executed(restore));
        }
        let wait = Duration::from_millis(arrived.ms_since(Timestamp::now()) + 1).max(RETRY);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cancel.cancelled() => return Ok(Done::Executed(restore)),
        }
    }
}

/// How the write ended, where the cluster shows that it was made.
fn was_made(parts: &Parts, write: &RestoreWrite, live: Option<&Value>) -> Option<RestoreResult> {
    if write.verb == Verb::Prune {
        let (uid, _) = write.found.as_ref()?;
        let gone = live.is_none_or(|live| text(live, "uid") != *uid);
        return gone.then(|| made(uid.clone(), String::new()));
    }
    let live = live?;
    let as_it_was = match write.places.is_empty() {
        // What the API server defaults is no difference.
        true => diff::contains(live, &wanted(parts, write, None).ok()?),
        false => wanted(parts, write, Some(live)).ok()? == *live,
    };
    as_it_was.then(|| made(text(live, "uid"), text(live, "resourceVersion")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Goal: a key that somebody added to a Secret goes without any value being known; what would
    /// need one is refused, and no digest takes the place of a value.
    #[test]
    fn of_a_secret_that_was_only_observed_fields_go_and_no_value_comes_back() {
        let saved = json!({"data": {"password": "hmac:00"}, "metadata": {"labels": {"a": "1"}}});
        let live = json!({"data": {"password": "cHc=", "extra": "ZQ=="}, "metadata": {}});
        let write = |places: &[&[&str]]| RestoreWrite {
            key: "Secret/prod/s".parse().unwrap(),
            version: "v1".into(),
            verb: Verb::Update,
            saved: None,
            of_manifest: false,
            places: places
                .iter()
                .map(|place| place.iter().map(|edge| (*edge).to_owned()).collect())
                .collect(),
            fields: Vec::new(),
            found: None,
            beside: None,
        };
        let (extra, password) = (["f:data", "f:extra"], ["f:data", "f:password"]);
        let label = ["f:metadata", "f:labels", "f:a"];
        let made = laid(&write(&[&extra, &label]), saved.clone(), Some(&live)).unwrap();
        let labels = json!({"labels": {"a": "1"}});
        assert_eq!(made, json!({"data": {"password": "cHc="}, "metadata": labels}));
        for places in [&[&extra[..], &password[..]][..], &[&["f:data"]], &[]] {
            let refused = laid(&write(places), saved.clone(), Some(&live));
            assert_eq!(refused, Err(RECORDED_NOWHERE.to_owned()), "{places:?}");
        }
        assert!(laid(&write(&[&extra]), saved, None).is_err(), "it is not there: all of it comes");
    }
}
