//! Settling writes whose fate is not known, by observing the cluster.
//!
//! A request that was sent may still arrive until its deadline has passed; only then does what
//! the cluster shows say what became of it. Nothing is assumed.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use super::execute::{self, take_over};
use crate::cluster::{self, normalize};
use crate::ledger::event::{IntentSettledV1, Method, Verb, Write, WriteResult};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{AppName, Seq, Timestamp};
use crate::plan::diff;

/// How long to wait before asking again when the cluster cannot be asked.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(
    parts: Parts,
    intent: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.intents.get(&intent).cloned();
    let Some(open) = open else { return Ok(Done::Executed(intent)) };
    let timeout = u64::try_from(parts.write_timeout.as_millis()).unwrap_or(u64::MAX);
    let arrived = open.recorded.plus_ms(timeout).ms_since(Timestamp::now());
    if pause(Duration::from_millis(arrived), &cancel).await {
        return Ok(Done::Executed(intent));
    }
    let mut batch = Batch::default();
    let mut results = Vec::new();
    for (index, write) in open.writes {
        let (result, blob) = loop {
            match observe(&parts, &open.app, &write.write).await {
                Ok(found) => break found,
                Err(error) => tracing::debug!(%error, "cannot settle a write yet"),
            }
            if pause(RETRY, &cancel).await {
                return Ok(Done::Executed(intent));
            }
        };
        results.push((index, result));
        batch.blobs.extend(blob);
    }
    let settled = IntentSettledV1 { app: open.app, intent, results };
    batch.drafts.push(Draft::new(settled).caused_by(intent));
    parts.ledger.append(batch).await?;
    Ok(Done::Executed(intent))
}

/// Waits; returns whether the daemon is stopping.
async fn pause(time: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => false,
        () = cancel.cancelled() => true,
    }
}

/// What the cluster shows of a write.
async fn observe(
    parts: &Parts,
    app: &AppName,
    write: &Write,
) -> Result<(WriteResult, Option<Blob>), cluster::Error> {
    let live = match parts.cluster.get(&write.key, &write.version).await {
        Ok(live) => live,
        Err(error) if matches!(error.class(), cluster::Class::NotServed) => None,
        Err(error) => return Err(error),
    };
    Ok(match (write.verb, live) {
        (Verb::Prune | Verb::Recreate, live) => (pruned(write, live.as_ref()), None),
        (_, None) => (WriteResult::NotSent("the object is not there".into()), None),
        (Verb::TakeOver, Some(live)) => taken_over(parts, &live),
        (_, Some(live)) => applied(parts, app, write, &live),
    })
}

fn pruned(write: &Write, live: Option<&Value>) -> WriteResult {
    let Some(live) = live else { return WriteResult::AlreadyGone };
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
    let ours = write.precondition.as_ref().map(|(uid, _)| uid.as_str());
    if uid != ours {
        return WriteResult::AlreadyGone;
    }
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        return WriteResult::Deleted;
    }
    WriteResult::NotSent("the object is still there".into())
}

/// A takeover leaves its mark: nothing is left to be taken. What was taken is not known any more,
/// so one more apply removes what Git does not have.
fn taken_over(parts: &Parts, live: &Value) -> (WriteResult, Option<Blob>) {
    match normalize(live, &parts.ledger) {
        Ok(found) if take_over::is_done(&found) => {
            take_over::with_surplus(execute::applied(parts, live, true, None, None), true)
        }
        _ => (WriteResult::NotSent("the fields are not taken over".into()), None),
    }
}

fn applied(
    parts: &Parts,
    app: &AppName,
    write: &Write,
    live: &Value,
) -> (WriteResult, Option<Blob>) {
    let not = |why: &str| (WriteResult::NotSent(why.to_owned()), None);
    let Ok(manifest) = execute::manifest(parts, app, write.manifest) else {
        return not("the recorded manifest cannot be read");
    };
    let seal = &parts.ledger;
    let (Ok(found), Ok(wanted)) = (normalize(live, seal), normalize(&manifest, seal)) else {
        return not("the object cannot be read");
    };
    let owned = found.owned.is_some() || write.method == Method::Replace;
    if !owned || !diff::contains(&found.object, &wanted.object) {
        return not("the object is not as the write would have left it");
    }
    execute::applied(parts, live, true, None, Some(&manifest))
}
