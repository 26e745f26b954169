//! Carrying out an intent: its writes are sent, their outcomes become events.
//!
//! The intent is durable before this runs. Writes go out in the order of the intent, group by
//! group of equal kind and in parallel inside a group; the next group starts when the former has
//! its answers, so that a ServiceAccount is there before the Pod that names it.

pub(super) mod delete;
mod notes;
mod recreate;
mod replace;
pub(super) mod take_over;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use super::linger::Linger;
use super::{failpoint, masking};
use crate::cluster::{
    self, ApplyRequest, Connection, Normalised, OWNER_ANNOTATION, SecretDigest, Stored,
    normalize_owned,
};
use crate::ledger::event::{
    Applied, Event, HoldOf, ManagerStamp, Method, OutcomeRecordedV1, Verb, Write, WriteResult,
};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{AppName, BlobAddr, ObjectKey, Seq, Timestamp};
use crate::plan::{kind_rank, stays_beside, withdrawn};
use crate::replay::may_be_in_the_way;

/// How many writes are under way at once over all intents. 1 000 server-side applies took 1.03 s
/// at 8 and 1.65 s at 4 on two cores (design §12); more does not help.
pub(super) const WRITES_MAX: usize = 8;
/// How many writes of one intent are in memory at once: those that are under way, and as many that
/// are ready to be sent, or answered and not read yet.
const READY_MAX: usize = 2 * WRITES_MAX;
/// How many outcomes one event lists.
const OUTCOMES_MAX: usize = 64;
/// A write that has less time left than this is not sent any more.
const SENT_MS_MIN: u64 = 50;
/// Why it was not.
const OUT_OF_TIME: &str = "its time ran out before it could be sent";

/// Why what is to go is not deleted.
const BESIDE: &str = "something that is wanted beside it was not written";

/// Why what is left of an intent is not sent.
const OVERTAKEN: &str = "another cluster answered, or the same at an earlier time, since";

/// One answered write.
struct Answer {
    index: u32,
    result: WriteResult,
    blob: Option<Blob>,
}

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    intent: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.intents.get(&intent).cloned();
    let Some(open) = open else { return Ok(Done::Executed(intent)) };
    let (answers, received) = mpsc::channel(OUTCOMES_MAX);
    let writes: Vec<(u32, Write)> =
        open.writes.into_iter().map(|(index, open)| (index, open.write)).collect();
    let recorder = record(&parts, &open.app, intent, writes.len(), received);
    let about = About { app: open.app.clone(), intent, deadline: open.deadline };
    let sender = send(&parts, &permits, &about, writes, answers, &cancel);
    let ((), recorded) = tokio::join!(sender, recorder);
    recorded?;
    Ok(Done::Executed(intent))
}

/// Appends the outcomes of `left` writes as they come, as many at a time as have come. The last
/// one, and so the only one of a single write, is recorded at once.
async fn record(
    parts: &Parts,
    app: &AppName,
    intent: Seq,
    mut left: usize,
    mut received: mpsc::Receiver<Answer>,
) -> Result<(), ledger::Error> {
    let (mut answers, mut linger) = (Vec::new(), Linger::new());
    while received.recv_many(&mut answers, OUTCOMES_MAX).await > 0 {
        if answers.len() < left {
            linger.wait().await;
            while answers.len() < OUTCOMES_MAX
                && let Ok(answer) = received.try_recv()
            {
                answers.push(answer);
            }
        }
        left = left.saturating_sub(answers.len());
        let mut batch = Batch::default();
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers.drain(..) {
            results.push((answer.index, answer.result));
            batch.blobs.extend(answer.blob);
        }
        let outcome = OutcomeRecordedV1 { app: app.clone(), intent, results };
        batch.drafts.push(Draft::new(outcome).caused_by(intent));
        parts.ledger.append(batch).await?;
        failpoint::reach(failpoint::RECORDED);
    }
    Ok(())
}

/// What the writes of an intent have in common.
struct About {
    app: AppName,
    intent: Seq,
    deadline: Timestamp,
}

impl About {
    /// The connection for a further request of a write that is under way, which ends with the
    /// intent as the first did; `None` = its time is over.
    fn further(&self, parts: &Parts) -> Option<Connection> {
        let left = self.deadline.ms_since(Timestamp::now());
        (left >= SENT_MS_MIN).then(|| parts.cluster.within(Duration::from_millis(left)))
    }
}

async fn send(
    parts: &Parts,
    permits: &Semaphore,
    about: &About,
    writes: Vec<(u32, Write)>,
    answers: mpsc::Sender<Answer>,
    cancel: &CancellationToken,
) {
    // What is wanted and was not written may stand in the place of what goes after it.
    let mut hindered = false;
    let ready = &Semaphore::new(READY_MAX);
    for group in writes.chunk_by(|a, b| rank(&a.1) == rank(&b.1)) {
        let mut under_way: FuturesUnordered<_> = group
            .iter()
            .map(|(index, write)| async move {
                let _ready = ready.acquire().await;
                let made = is_apply(write).then(|| manifest(parts, &about.app, write));
                let mut turn = permits.acquire().await.ok();
                let left = about.deadline.ms_since(Timestamp::now());
                let why = match left {
                    _ if cancel.is_cancelled() => Some("the daemon stopped"),
                    0..SENT_MS_MIN => Some(OUT_OF_TIME),
                    _ if is_overtaken(parts, about.intent) => Some(OVERTAKEN),
                    _ if hindered && stays(parts, about, write) => Some(BESIDE),
                    // An intent may take seconds. Whoever freezes or pauses meanwhile has been
                    // told that nothing is written, and a newer render may want what is pruned.
                    _ => withdrawn(&parts.read().world, &about.app, write),
                };
                if let Some(why) = why {
                    let result = WriteResult::NotSent(why.into());
                    return Answer { index: *index, result, blob: None };
                }
                let cluster = parts.cluster.within(Duration::from_millis(left));
                let parts = Parts { cluster, ..parts.clone() };
                let way = made.map_or(Way::Steps, |made| Way::Apply(made, turn.take()));
                one(&parts, about, (*index, write), way).await
            })
            .collect();
        while let Some(answer) = under_way.next().await {
            hindered |= hinders(&answer.result);
            // The receiver lives until this sender is dropped, unless the ledger failed.
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    }
}

/// Whether what was to be written was not, for another cause than what is to go may be.
fn hinders(result: &WriteResult) -> bool {
    match result {
        WriteResult::Applied(_) | WriteResult::Deleted | WriteResult::AlreadyGone => false,
        WriteResult::Refused(why) => !may_be_in_the_way(why),
        WriteResult::Failed(_)
        | WriteResult::Unsupported(_)
        | WriteResult::Unknown(_)
        | WriteResult::NotSent(_)
        | WriteResult::Gone(_)
        | WriteResult::Another(_) => true,
    }
}

/// Whether it is to go, and stays as long as something beside it is not written.
fn stays(parts: &Parts, about: &About, write: &Write) -> bool {
    let world = &parts.read().world;
    let app = world.apps.get(&about.app).filter(|_| write.verb == Verb::Prune);
    app.is_some_and(|app| stays_beside(world, app, write))
}

/// Whether the intent was recorded before another cluster answered.
fn is_overtaken(parts: &Parts, intent: Seq) -> bool {
    parts.read().world.intents.get(&intent).is_some_and(|open| open.orphaned)
}

/// Prunes are a group of their own, after everything that is applied.
fn rank(write: &Write) -> (bool, usize) {
    (write.verb == Verb::Prune, kind_rank(&write.key))
}

/// How a write is carried out.
enum Way<'p> {
    /// By requests that follow each other.
    Steps,
    /// By one apply of this manifest, which was made before it was its turn; the turn is over with
    /// the answer, before that is read.
    Apply(Result<Value, String>, Option<SemaphorePermit<'p>>),
}

fn is_apply(write: &Write) -> bool {
    let steps = matches!(write.verb, Verb::Prune | Verb::Recreate | Verb::TakeOver);
    !steps && write.method == Method::Apply
}

async fn one(parts: &Parts, about: &About, (index, write): (u32, &Write), way: Way<'_>) -> Answer {
    let audit_id = format!("{}-{}-{index}", parts.ledger.ledger_id(), about.intent);
    failpoint::reach(failpoint::SENDING);
    let (result, blob) = match (write.verb, way) {
        (_, Way::Apply(made, turn)) => apply(parts, about, write, audit_id, (made, turn)).await,
        (Verb::Prune, Way::Steps) => (delete::run(parts, about, write, audit_id).await, None),
        (Verb::Recreate, Way::Steps) => (recreate::run(parts, about, write, audit_id).await, None),
        (Verb::TakeOver, Way::Steps) => take_over::run(parts, about, write, audit_id).await,
        (_, Way::Steps) => replace::run(parts, about, write, audit_id).await,
    };
    failpoint::reach(failpoint::ANSWERED);
    Answer { index, result, blob }
}

async fn apply(
    parts: &Parts,
    about: &About,
    write: &Write,
    audit_id: String,
    (made, turn): (Result<Value, String>, Option<SemaphorePermit<'_>>),
) -> (WriteResult, Option<Blob>) {
    let app = &about.app;
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(why) => return (WriteResult::Refused(why), None),
    };
    let manifest = match respecting(parts, app, write, manifest).await {
        Ok(manifest) => manifest,
        Err(result) => return (result, None),
    };
    let known = parts.read().world.live.get(&write.key).cloned();
    let request = ApplyRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        manifest,
        audit_id,
        force: true,
        validate: write.validate,
        known: known.as_ref().map(|live| live.resource_version.clone()),
        uid: known.as_ref().map(|live| live.uid.clone()),
    };
    let answered = async {
        drop(turn);
        // What waits for the turn, and the connections, come first: the API server is not to wait.
        tokio::task::yield_now().await;
    };
    match parts.cluster.apply_then(&request, answered).await {
        Ok(answer) => {
            let base = known.as_ref().map(|live| live.object);
            let changed = answer.changed.unwrap_or(true);
            let outcome = applied(parts, answer.raw, changed, base, Some(&request.manifest));
            notes::unless_same(outcome, known.as_ref())
        }
        Err(error) if error.class() == cluster::Class::Conflict && request.uid.is_some() => {
            (conflict(parts, about, write, &error).await, None)
        }
        Err(error) => (failure(&error), None),
    }
}

/// How a write ended that was refused because the object is not the one it was bound to: whether
/// there is one at all is looked at, as no watch may say so.
async fn conflict(
    parts: &Parts,
    about: &About,
    write: &Write,
    error: &cluster::Error,
) -> WriteResult {
    let Some(connection) = about.further(parts) else { return failure(error) };
    match connection.get(&write.key, &write.version).await {
        Ok(None) => WriteResult::Gone(error.chain()),
        Ok(Some(_)) | Err(_) => failure(error),
    }
}

/// The manifest with the live value of what is ignored, bound to the object that it was read of.
async fn respecting(
    parts: &Parts,
    app: &AppName,
    write: &Write,
    manifest: Value,
) -> Result<Value, WriteResult> {
    if write.respect.is_empty() {
        return Ok(manifest);
    }
    let read = parts.cluster.get(&write.key, &write.version).await;
    let Some(live) = read.map_err(|error| failure(&error))? else { return Ok(manifest) };
    let write =
        &Write { respect: masking::needed(&write.respect, &manifest, &live), ..write.clone() };
    if write.respect.is_empty() {
        return Ok(manifest);
    }
    let mut manifest = with_live(parts, app, write, &manifest, &live).await?;
    if let Some(version) = live.pointer("/metadata/resourceVersion") {
        manifest["metadata"]["resourceVersion"] = version.clone();
    }
    Ok(manifest)
}

/// The manifest with the live value of what is ignored.
pub(super) async fn with_live(
    parts: &Parts,
    app: &AppName,
    write: &Write,
    manifest: &Value,
    live: &Value,
) -> Result<Value, WriteResult> {
    let (sandbox, mask) = (&parts.tools.sandbox, &write.respect);
    let respecting = masking::respecting(sandbox, &parts.ledger, mask, manifest, live).await;
    let manifest = respecting.map_err(|problem| {
        let text = format!("ignoreDifferences: {}", problem.text);
        if problem.transient { WriteResult::Failed(text) } else { WriteResult::Refused(text) }
    })?;
    claim(manifest, app).map_err(WriteResult::Refused)
}

/// The outcome of a write, from the object that the API server returned, and from the manifest
/// where one was sent.
pub(super) fn applied(
    parts: &Parts,
    object: Value,
    changed: bool,
    base: Option<BlobAddr>,
    sent: Option<&Value>,
) -> (WriteResult, Option<Blob>) {
    let last = |returned: &Normalised| notes::last_applied(parts, returned);
    outcome(&parts.ledger, object, changed, base, sent, last)
}

/// The same; `last` is what greffier applied to the object last, if it is still that object.
pub(super) fn outcome(
    sealer: &dyn SecretDigest,
    object: Value,
    changed: bool,
    base: Option<BlobAddr>,
    sent: Option<&Value>,
    last: impl FnOnce(&Normalised) -> Option<Stored>,
) -> (WriteResult, Option<Blob>) {
    let normalised = match normalize_owned(object, sealer) {
        Ok(normalised) => normalised,
        Err(error) => return (WriteResult::Unknown(error.to_string()), None),
    };
    let notes = Box::new(notes::of(sealer, &normalised, sent, last));

    let blob = Blob::plain(normalised.stored_bytes(), base);
    let applied = Applied {
        baseline: normalised.owned.unwrap_or_default(),
        digest: normalised.digest,
        managers: ManagerStamp::digest_of(normalised.fields.iter().map(|entry| &entry.stamp)),
        health: normalised.health,
        health_message: normalised.health_message,
        protection: normalised.protection,
        uid: normalised.uid,
        resource_version: normalised.resource_version,
        object: blob.addr,
        changed,
        notes,
    };
    (WriteResult::Applied(applied), Some(blob))
}

/// The recorded manifest of a write, with the annotation that names its application and with
/// what people hold laid over it.
pub(super) fn manifest(parts: &Parts, app: &AppName, write: &Write) -> Result<Value, String> {
    let manifest = plain_manifest(parts, app, write.manifest)?;
    held(parts, &write.key, &write.holds, manifest)
}

/// A manifest with what people hold of the object laid over it.
pub(super) fn held(
    parts: &Parts,
    key: &ObjectKey,
    holds: &[Seq],
    mut manifest: Value,
) -> Result<Value, String> {
    for seq in holds {
        let begun = parts.ledger.get(*seq).map_err(|error| error.to_string())?;
        let begun = begun.as_ref().and_then(|recorded| recorded.event.as_ref());
        let Some(Event::HoldBegun(body)) = begun else {
            return Err(format!("event {seq} is no hold"));
        };
        for of in body.of.iter().filter(|of| of.key() == key) {
            let HoldOf::Fields(held) = of else { continue };
            let saved = parts.ledger.blob(held.saved).map_err(|error| error.to_string())?;
            cluster::lay_held(&mut manifest, held, &saved)
                .map_err(|why| format!("hold #{seq} cannot be laid over the manifest: {why}"))?;
        }
    }
    Ok(manifest)
}

/// A recorded manifest, with the annotation that names its application.
pub(super) fn plain_manifest(
    parts: &Parts,
    app: &AppName,
    addr: Option<BlobAddr>,
) -> Result<Value, String> {
    let addr = addr.ok_or("the write names no manifest")?;
    let bytes = parts.ledger.blob(addr).map_err(|error| error.to_string())?;
    claimed(&bytes, app)
}

/// A recorded manifest with the annotation that names its application.
pub(super) fn claimed(bytes: &[u8], app: &AppName) -> Result<Value, String> {
    let manifest: Value =
        serde_json::from_slice(bytes).map_err(|_| "the recorded manifest cannot be read")?;
    claim(manifest, app)
}

/// A manifest with the annotation that names its application.
pub(super) fn claim(mut manifest: Value, app: &AppName) -> Result<Value, String> {
    let metadata = manifest.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.ok_or("the recorded manifest has no metadata")?;
    let annotations =
        metadata.entry("annotations").or_insert_with(|| Value::Object(<_>::default()));
    let annotations = annotations.as_object_mut().ok_or("the annotations are no map")?;
    annotations.insert(OWNER_ANNOTATION.into(), Value::String(app.to_string()));
    Ok(manifest)
}

/// How a write ended that failed.
pub(super) fn failure(error: &cluster::Error) -> WriteResult {
    use cluster::Class;
    let text = error.chain();
    match error.class() {
        Class::Unknown => WriteResult::Unknown(text),
        Class::NoApply => WriteResult::Unsupported(text),
        Class::Refused | Class::Unauthorized => WriteResult::Refused(text),
        Class::Conflict
        | Class::Expired
        | Class::NotFound
        | Class::NotServed
        | Class::NamespaceMissing
        | Class::NamespaceTerminating
        | Class::Throttled { .. }
        | Class::Transient => WriteResult::Failed(text),
    }
}
