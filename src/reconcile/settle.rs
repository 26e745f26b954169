//! Settling writes whose fate is not known, by observing the cluster.
//!
//! A write that the cluster shows as done is done, and its object waits no longer. A request
//! that was sent may still arrive until the deadline of its intent, which the API server knows
//! as well; only then does a cluster without the write say that it was not made.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use super::execute::{self, take_over};
use super::{failpoint, masking};
use crate::cluster::{self, SecretDigest, Stored, normalize};
use crate::ledger::event::{IntentSettledV1, Method, Verb, Write, WriteResult};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{AppName, Seq, Timestamp};
use crate::plan::diff;
use crate::replay::OpenWrite;

/// How long to wait before asking again when the cluster cannot be asked.
const RETRY: Duration = Duration::from_secs(1);
/// How much later than the daemon the API server may think that the deadline is: it counts from
/// the request's arrival.
const MARGIN_MS: u64 = 500;

pub(super) async fn run(
    parts: Parts,
    intent: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.intents.get(&intent).cloned();
    let Some(mut open) = open else { return Ok(Done::Executed(intent)) };
    let arrived = open.deadline.plus_ms(MARGIN_MS);
    loop {
        let over = Timestamp::now() >= arrived;
        let batch = settle(&parts, &open.app, &mut open.writes, intent, over).await;
        if let Some(batch) = batch {
            failpoint::reach(failpoint::SETTLING);
            parts.ledger.append(batch).await?;
            failpoint::reach(failpoint::SETTLED);
        }
        if open.writes.is_empty() {
            return Ok(Done::Executed(intent));
        }
        let wait = Duration::from_millis(arrived.ms_since(Timestamp::now()) + 1);
        if pause(if over { RETRY } else { wait }, &cancel).await {
            return Ok(Done::Executed(intent));
        }
    }
}

/// Settles what can be settled now and takes it out of `left`. `over` = nothing arrives any more.
async fn settle(
    parts: &Parts,
    app: &AppName,
    left: &mut BTreeMap<u32, OpenWrite>,
    intent: Seq,
    over: bool,
) -> Option<Batch> {
    let mut batch = Batch::default();
    let mut results = Vec::new();
    for (index, open) in &*left {
        match observe(parts, app, &open.write).await {
            Ok((result, blob)) if over || is_proof(&open.write, &result) => {
                results.push((*index, result));
                batch.blobs.extend(blob);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "cannot settle a write yet"),
        }
    }
    if results.is_empty() {
        return None;
    }
    for (index, _) in &results {
        left.remove(index);
    }
    let settled = IntentSettledV1 { app: app.clone(), intent, results };
    batch.drafts.push(Draft::new(settled).caused_by(intent));
    Some(batch)
}

/// Whether the result shows that the write was made, whatever may still arrive. That it was not
/// made shows only later, and a replaced object may have looked like this before.
pub(super) fn is_proof(write: &Write, result: &WriteResult) -> bool {
    let done =
        matches!(result, WriteResult::Applied(_) | WriteResult::Deleted | WriteResult::AlreadyGone);
    done && write.method == Method::Apply
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
        (Verb::TakeOver, Some(live)) => taken_over(parts, live),
        (_, Some(live)) => match execute::manifest(parts, app, write.manifest) {
            Ok(manifest) => sent(parts, write, &manifest, live).await,
            Err(_) => (WriteResult::NotSent("the recorded manifest cannot be read".into()), None),
        },
    })
}

/// What the cluster shows of a delete.
pub(super) fn pruned(write: &Write, live: Option<&Value>) -> WriteResult {
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

/// What the cluster shows of an apply or a replacement. Live values that were sent back tell
/// nothing: they may have been there before.
async fn sent(
    parts: &Parts,
    write: &Write,
    manifest: &Value,
    live: Value,
) -> (WriteResult, Option<Blob>) {
    let made = if write.respect.is_empty() {
        is_made(&parts.ledger, write, manifest, &live)
    } else {
        let (sandbox, mask) = (&parts.tools.sandbox, &write.respect);
        let told = masking::without_ignored(sandbox, &parts.ledger, mask, manifest, &live).await;
        told.is_ok_and(|(manifest, live)| is_made(&parts.ledger, write, &manifest, &live))
    };
    if made { execute::applied(parts, live, true, None, Some(manifest)) } else { not_made() }
}

/// A takeover leaves its mark: nothing is left to be taken. What was taken is not known any more,
/// so one more apply removes what Git does not have.
fn taken_over(parts: &Parts, live: Value) -> (WriteResult, Option<Blob>) {
    match normalize(&live, &parts.ledger) {
        Ok(found) if take_over::is_done(&found) => {
            take_over::with_surplus(execute::applied(parts, live, true, None, None), true)
        }
        _ => (WriteResult::NotSent("the fields are not taken over".into()), None),
    }
}

/// The object is not as the write would have left it.
fn not_made() -> (WriteResult, Option<Blob>) {
    let why = "the object is not as the write would have left it";
    (WriteResult::NotSent(why.into()), None)
}

/// Whether the cluster shows that `manifest` was sent. Applied, it leaves greffier owning what it
/// says, with its values, and nothing else: what an earlier manifest said more would otherwise
/// stay for ever. A replacement leaves no such mark: an object that a field was to be taken from
/// looks as if it were replaced already, so it is replaced once more.
pub(super) fn is_made(
    sealer: &dyn SecretDigest,
    write: &Write,
    manifest: &Value,
    live: &Value,
) -> bool {
    if write.method == Method::Replace {
        return false;
    }
    let (Ok(found), Ok(wanted)) = (normalize(live, sealer), normalize(manifest, sealer)) else {
        return false;
    };
    let Some(owned) = owned(&found.stored()) else { return false };
    diff::contains(&owned, &content(&wanted.object)) && diff::contains(&wanted.object, &owned)
}

/// What greffier owns of an object, as plain JSON.
fn owned(object: &Stored) -> Option<Value> {
    let own = object.own()?;
    Some(cluster::project::plain(&cluster::project(&object.object, &own.fields_v1)))
}

/// A manifest without what names the object: nobody owns that.
fn content(manifest: &Value) -> Value {
    let mut content = manifest.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
        let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata {
            metadata.remove("name");
            metadata.remove("namespace");
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Digest;

    struct Key;

    impl SecretDigest for Key {
        fn digest(&self, bytes: &[u8]) -> Digest {
            Digest::of(bytes)
        }
    }

    /// A ConfigMap of which greffier owns `fields`.
    fn live(data: Value, fields: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "c", "namespace": "n", "uid": "u", "resourceVersion": "1",
                "managedFields": [{
                    "manager": "greffier", "operation": "Apply", "apiVersion": "v1",
                    "fieldsV1": {"f:data": fields},
                }],
            },
            "data": data,
        })
    }

    fn write(verb: Verb, method: Method) -> Write {
        Write {
            verb,
            key: crate::model::ObjectKey::new("", "ConfigMap", "n", "c"),
            version: "v1".into(),
            manifest: None,
            digest: Digest::default(),
            method,
            validate: true,
            precondition: None,
            respect: crate::model::Mask::default(),
            failed_before: String::new(),
            reason: String::new(),
        }
    }

    /// Whether `live` shows that a ConfigMap with `k: value` was written.
    fn is_made(method: Method, value: &str, live: &Value) -> bool {
        let manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n"}, "data": {"k": value},
        });
        super::is_made(&Key, &write(Verb::Update, method), &manifest, live)
    }

    #[test]
    fn an_apply_was_made_when_greffier_owns_exactly_what_it_says() {
        let made = [
            live(json!({"k": "1"}), json!({"f:k": {}})),
            // What others added is not greffier's.
            live(json!({"k": "1", "more": "1"}), json!({"f:k": {}})),
        ];
        for live in &made {
            assert!(is_made(Method::Apply, "1", live), "{live}");
        }
        let not_made = [
            live(json!({"k": "2"}), json!({"f:k": {}})),
            // Right by chance: somebody else set it.
            live(json!({"k": "1"}), json!({"f:other": {}})),
            // An earlier manifest said more, and the apply would have removed it.
            live(json!({"k": "1", "old": "1"}), json!({"f:k": {}, "f:old": {}})),
        ];
        for live in &not_made {
            assert!(!is_made(Method::Apply, "1", live), "{live}");
        }
    }

    #[test]
    fn another_version_was_not_written_though_it_is_the_same_number() {
        let before = live(json!({"k": "1.1"}), json!({"f:k": {}}));
        assert!(is_made(Method::Apply, "1.1", &before));
        for value in ["1.10", "1.100", "1100m"] {
            assert!(!is_made(Method::Apply, value, &before), "{value}");
        }
    }

    #[test]
    fn a_replacement_that_takes_a_field_away_is_not_taken_for_made() {
        let before = live(json!({"k": "1", "old": "1"}), json!({}));
        assert!(!is_made(Method::Replace, "1", &before));
    }
}
