//! Settling writes whose fate is not known, by observing the cluster.
//!
//! A write that the cluster shows as done is done, and its object waits no longer. A request
//! that was sent may still arrive until the deadline of its intent, which the API server knows
//! as well; only then does a cluster without the write say that it was not made.
//!
//! What was sent and is settled as not made counts as a failed try: it is told, and tried again
//! after a while.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use super::execute::{self, take_over};
use super::{failpoint, masking};
use crate::cluster::{self, Class, SecretDigest, Stored, normalize};
use crate::ledger::event::{IntentSettledV1, Method, Verb, Write, WriteResult};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{AppName, Seq, Timestamp};
use crate::plan::diff;
use crate::replay::OpenIntent;

/// How long to wait before asking again when the cluster cannot be asked.
const RETRY: Duration = Duration::from_secs(1);
/// How much later than the daemon the API server may think that the deadline is: it counts from
/// the request's arrival, which may be as late as the kernel delivers it; and a little more.
const MARGIN: Duration = cluster::UNDELIVERED_MAX.saturating_add(Duration::from_millis(500));
/// How long the API server must deny a kind before that means that its objects are gone: one that
/// starts does not serve every kind at once. Longer than the observer waits for the same.
const DENIED_CERTAIN_MS: u64 = 30_000;

pub(super) async fn run(
    parts: Parts,
    intent: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.intents.get(&intent).cloned();
    let Some(mut open) = open else { return Ok(Done::Executed(intent)) };
    let arrived = open.deadline.plus_ms(MARGIN.as_millis().try_into().unwrap_or(u64::MAX));
    let mut denials = Denials::default();
    loop {
        let over = Timestamp::now() >= arrived;
        let batch = match unsettled(&parts, &mut open, intent) {
            Some(batch) => Some(batch),
            None => settle(&parts, &mut open, intent, over, &mut denials).await,
        };
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

/// Where another cluster answers, or the same at an earlier time, looking tells nothing: all that
/// is left ends as not made, which it may have been in the cluster that is kept.
fn unsettled(parts: &Parts, open: &mut OpenIntent, intent: Seq) -> Option<Batch> {
    let doubt = parts.read().world.cluster.doubt_text()?;
    let why = format!("what became of it cannot be seen: {doubt}");
    let left = std::mem::take(&mut open.writes).into_keys();
    let results = left.map(|index| (index, WriteResult::NotSent(why.clone()))).collect();
    let settled = IntentSettledV1 { app: open.app.clone(), intent, results };
    Some(Batch::from(Draft::new(settled).caused_by(intent)))
}

/// Whether the cluster that answers is known to be the one that is kept.
async fn is_the_kept(parts: &Parts) -> bool {
    matches!(tokio::time::timeout(RETRY, parts.cluster.settled()).await, Ok(true))
}

/// Settles what can be settled now and takes it out of `open`. `over` = nothing arrives any more.
async fn settle(
    parts: &Parts,
    open: &mut OpenIntent,
    intent: Seq,
    over: bool,
    denials: &mut Denials,
) -> Option<Batch> {
    let mut batch = Batch::default();
    let mut results = Vec::new();
    let generation = parts.cluster.generation();
    if !is_the_kept(parts).await {
        // What it shows says nothing.
        return None;
    }
    for (index, open_write) in &open.writes {
        let write = &open_write.write;
        let denied = match observe(parts, &open.app, write).await {
            Ok((result, blob)) => {
                if over || is_proof(write, &result) {
                    results.push((*index, result));
                    batch.blobs.extend(blob);
                }
                None
            }
            Err(error) => Some(error),
        };
        let served = parts.read().world.cluster.kinds.contains_key(&write.key.group_kind());
        match denials.judge(*index, write, denied.as_ref(), over, served, Timestamp::now()) {
            Some(result) => results.push((*index, result)),
            None if denied.is_none() => {}
            None => tracing::debug!(error = ?denied, "cannot settle a write yet"),
        }
    }
    let moved = parts.cluster.generation() != generation && !is_the_kept(parts).await;
    if results.is_empty() || moved {
        return None;
    }
    open.writes.retain(|index, _| !results.iter().any(|(settled, _)| settled == index));
    let settled = IntentSettledV1 { app: open.app.clone(), intent, results };
    batch.drafts.push(Draft::new(settled).caused_by(intent));
    Some(batch)
}

/// Since when the API server has denied the kinds of writes, without a break.
#[derive(Default)]
struct Denials(BTreeMap<u32, Timestamp>);

impl Denials {
    /// What follows from not being able to look: an end of the write, or nothing yet. `served` =
    /// the kind is among those that the cluster is known to serve.
    fn judge(
        &mut self,
        index: u32,
        write: &Write,
        error: Option<&cluster::Error>,
        over: bool,
        served: bool,
        now: Timestamp,
    ) -> Option<WriteResult> {
        let class = error.map(cluster::Error::class);
        if class != Some(Class::NotServed) {
            self.0.remove(&index);
        }
        let error = error.filter(|_| over)?;
        match class {
            Some(Class::NotServed) if is_delete(write) => {
                let since = *self.0.entry(index).or_insert(now);
                let certain = !served && now.ms_since(since) >= DENIED_CERTAIN_MS;
                certain.then_some(WriteResult::AlreadyGone)
            }
            Some(Class::NotServed) => {
                Some(WriteResult::NotSent("the kind of the object is not served".into()))
            }
            // It will be refused again, and would be for ever.
            Some(Class::Refused) => {
                let why = format!("whether it was made cannot be seen: {}", error.chain());
                Some(WriteResult::NotSent(why))
            }
            _ => None,
        }
    }
}

fn is_delete(write: &Write) -> bool {
    matches!(write.verb, Verb::Prune | Verb::Recreate)
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
    let live = parts.cluster.get(&write.key, &write.version).await?;
    Ok(match (write.verb, live) {
        (_, live) if is_delete(write) => (pruned(write, live.as_ref()), None),
        (_, None) => (WriteResult::NotSent("the object is not there".into()), None),
        (Verb::TakeOver, Some(live)) => taken_over(parts, write, live),
        (_, Some(live)) => match execute::manifest(parts, app, write) {
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
    let shows = if write.respect.is_empty() {
        shows(&parts.ledger, write, manifest, &live)
    } else {
        let (sandbox, mask) = (&parts.tools.sandbox, &write.respect);
        let told = masking::without_ignored(sandbox, &parts.ledger, mask, manifest, &live).await;
        let told = told.ok();
        told.map_or(Shows::Nothing, |(manifest, live)| {
            shows(&parts.ledger, write, &manifest, &live)
        })
    };
    match shows {
        Shows::Made => execute::applied(parts, live, true, None, Some(manifest)),
        Shows::Another(at) => (WriteResult::Another(at), None),
        Shows::Nothing => not_made(),
    }
}

/// What an object shows of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Made,
    /// Greffier owns something else than was sent, written at this time.
    Another(Timestamp),
    Nothing,
}

/// A takeover leaves its mark: nothing is left to be taken. What was taken is not known any more,
/// so one more apply removes what Git does not have.
fn taken_over(parts: &Parts, write: &Write, live: Value) -> (WriteResult, Option<Blob>) {
    match normalize(&live, &parts.ledger) {
        Ok(found) if take_over::is_done(&found, write.strict) => {
            take_over::with_surplus(execute::applied(parts, live, true, None, None), true)
        }
        _ => (WriteResult::NotSent("the fields are not taken over".into()), None),
    }
}

/// The object is not as the write would have left it, or does not tell.
fn not_made() -> (WriteResult, Option<Blob>) {
    (WriteResult::NotSent(WriteResult::ANOTHER.into()), None)
}

/// What the cluster shows of `manifest` having been sent. Applied, it leaves greffier owning what it
/// says, with its values, and nothing else: what an earlier manifest said more would otherwise
/// stay for ever. A replacement leaves no such mark: an object that a field was to be taken from
/// looks as if it were replaced already, so it is replaced once more.
///
/// What greffier owns was applied by greffier: who sets a field otherwise takes it away. So a value
/// that is not the one that was sent is of another apply, or an admission webhook has changed it.
pub(super) fn shows(
    sealer: &dyn SecretDigest,
    write: &Write,
    manifest: &Value,
    live: &Value,
) -> Shows {
    if write.method == Method::Replace {
        return Shows::Nothing;
    }
    let (Ok(found), Ok(wanted)) = (normalize(live, sealer), normalize(manifest, sealer)) else {
        return Shows::Nothing;
    };
    let stored = found.stored();
    let Some(owned) = owned(&stored) else { return Shows::Nothing };
    let sent = content(&wanted.object);
    if diff::contains(&owned, &sent) && diff::contains(&wanted.object, &owned) {
        return Shows::Made;
    }
    let otherwise = diff::diff(&sent, &owned).iter().any(|field| !field.was.is_empty());
    let at = stored.own().and_then(|own| own.stamp.time).filter(|_| otherwise);
    at.map_or(Shows::Nothing, Shows::Another)
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
        let key = crate::model::ObjectKey::new("", "ConfigMap", "n", "c");
        Write { method, ..Write::plain(verb, key, "v1", "") }
    }

    /// Whether `live` shows that a ConfigMap with `k: value` was written.
    fn is_made(method: Method, value: &str, live: &Value) -> bool {
        let manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n"}, "data": {"k": value},
        });
        let write = write(Verb::Update, method);
        super::shows(&Key, &write, &manifest, live) == Shows::Made
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

    /// Goal: of what greffier owns, a value that was not sent is of another apply of greffier, at the
    /// time that the object states; what others made of the object says nothing.
    #[test]
    fn what_greffier_applied_otherwise_is_told_with_its_time() {
        let at = "2026-11-28T06:00:00Z";
        let shown = |data: Value, fields: Value| {
            let mut live = live(data, fields);
            live["metadata"]["managedFields"][0]["time"] = at.into();
            let manifest = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "c", "namespace": "n"}, "data": {"k": "1"},
            });
            super::shows(&Key, &write(Verb::Update, Method::Apply), &manifest, &live)
        };
        let another = Shows::Another(Timestamp::from_seconds(1_795_845_600));
        assert_eq!(shown(json!({"k": "2"}), json!({"f:k": {}})), another);
        assert_eq!(shown(json!({"k": "1"}), json!({"f:k": {}})), Shows::Made);
        // Somebody set it, and so took it away.
        assert_eq!(shown(json!({"k": "2"}), json!({"f:other": {}})), Shows::Nothing);
        // An earlier manifest said more: it may be this one's that was not sent.
        let more = shown(json!({"k": "1", "old": "1"}), json!({"f:k": {}, "f:old": {}}));
        assert_eq!(more, Shows::Nothing);
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

    #[test]
    fn a_kind_that_is_not_served_yet_is_no_proof_of_a_deletion() {
        let denied = cluster::Error::NotServed { subject: "read".into(), kind: "Widget".into() };
        let busy = cluster::Error::Expired { subject: "read".into() };
        let (prune, update) =
            (write(Verb::Prune, Method::Apply), write(Verb::Update, Method::Apply));
        let mut denials = Denials::default();
        let at = |ms: u64| Timestamp::from_seconds(1_800_000_000).plus_ms(ms);
        let mut judge =
            |write, error, over, served, ms| denials.judge(3, write, error, over, served, at(ms));
        assert_eq!(judge(&prune, Some(&denied), false, false, 0), None, "it may still arrive");
        assert_eq!(judge(&prune, Some(&denied), true, false, 1_000), None);
        assert_eq!(judge(&prune, Some(&denied), true, false, 30_999), None);
        assert_eq!(judge(&prune, Some(&busy), true, false, 31_000), None);
        assert_eq!(judge(&prune, Some(&denied), true, false, 32_000), None, "counted anew");
        assert_eq!(judge(&prune, Some(&denied), true, true, 62_000), None, "the kind is known");
        let gone = judge(&prune, Some(&denied), true, false, 62_000);
        assert_eq!(gone, Some(WriteResult::AlreadyGone));
        let other = judge(&update, Some(&denied), true, false, 62_000);
        assert!(matches!(other, Some(WriteResult::NotSent(_))), "nothing was made of it");
    }

    #[test]
    fn who_may_not_look_ends_the_wait_with_the_reason() {
        let forbidden = cluster::Error::Refused {
            subject: "read ConfigMap/n/c".into(),
            status: 403,
            reason: "Forbidden".into(),
            message: "no".into(),
        };
        let update = write(Verb::Update, Method::Apply);
        let mut denials = Denials::default();
        let mut judge =
            |over| denials.judge(0, &update, Some(&forbidden), over, true, Timestamp::default());
        assert_eq!(judge(false), None);
        let Some(WriteResult::NotSent(why)) = judge(true) else { panic!("it is asked for ever") };
        assert!(why.contains("cannot be seen") && why.contains("403"), "{why}");
    }
}
