//! Attributing: follows the ledger, joins what was observed with what was requested, and records
//! who made what.
//!
//! The machine decides ([`crate::attribution`]); here are the ledger that it reads and the clock.
//! It runs beside everything else: nobody waits for it, and what it records is collected, at most
//! one append every [`PAUSE`]. At the start it folds the last minutes again, so that nothing is
//! said twice and what waited goes on. What of that is damaged is done without: who made what is
//! not known then, and the cluster is kept all the same.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::driver::Parts;
use crate::attribution::{Change, LAG_MS, Machine, Prior, SKEW_MS, Sources, WAIT_MS};
use crate::ledger::event::{Event, WriteResult};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Draft, Ends, Error, Ledger, Recorded, Tail};
use crate::model::{BlobAddr, ObjectKey, Seq, Timestamp};

/// How long after an append the next one is made: what comes meanwhile shares it.
const PAUSE: Duration = Duration::from_millis(50);
/// How many of the last events are folded again at the start. Bound: some seconds of reading;
/// what is older and still waited is not waited for any more.
const AGAIN_MAX: u64 = 100_000;
/// How many events at a time are folded again.
const AGAIN_CHUNK: u64 = 1_024;
/// How many entries of an index are looked at.
const LOOKED_UP: usize = 64;

/// Attributes until it is cancelled or the ledger is closed. `sources` says where records of
/// requests are read.
///
/// # Errors
/// The ledger failed.
pub async fn attribute(
    parts: Parts,
    sources: Sources,
    cancel: CancellationToken,
) -> Result<(), ledger::Error> {
    let Parts { ledger, .. } = &parts;
    let head = ledger.head();
    let mut tail = ledger.subscribe(head);
    let versions: Vec<_> = {
        let view = parts.read();
        let kinds = view.world.cluster.kinds.iter();
        kinds.map(|(kind, served)| (kind.clone(), served.version.clone())).collect()
    };
    let begun = ledger.clone();
    let mut machine = blocking(move || begin(&begun, head, sources, versions)).await??;
    loop {
        let (ledger, batch) = (ledger.clone(), next(&mut tail, &machine, &cancel).await);
        let Some(batch) = batch? else { return Ok(()) };
        let folded = blocking(move || {
            let drafts = process(&mut machine, &ledger, &batch)?;
            Ok::<_, Error>((machine, drafts))
        });
        let drafts: Vec<Draft>;
        (machine, drafts) = folded.await??;
        if drafts.is_empty() {
            continue;
        }
        parts.ledger.append(drafts).await?;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = cancel.cancelled() => return Ok(()),
        }
    }
}

/// The next events, or none when a deadline is reached; `None` when it is over.
async fn next(
    tail: &mut Tail,
    machine: &Machine,
    cancel: &CancellationToken,
) -> Result<Option<Vec<std::sync::Arc<Recorded>>>, Error> {
    let wake = machine.deadline().map(|at| Duration::from_millis(at.ms_since(Timestamp::now())));
    let deadline = async {
        match wake {
            Some(wake) => tokio::time::sleep(wake).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // Cancel safety: a tail only advances when a batch is returned.
        batch = tail.next_batch() => match batch {
            Ok(batch) => Ok(Some(batch)),
            Err(Error::Closed) => Ok(None),
            Err(error) => Err(error),
        },
        () = deadline => Ok(Some(Vec::new())),
        () = cancel.cancelled() => Ok(None),
    }
}

/// Reading blobs and comparing objects is no work for the threads that serve everybody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)
}

/// A machine that has folded the last minutes up to `head`, or one that knows nothing of them where
/// they cannot be read.
fn begin(
    ledger: &Ledger,
    head: Seq,
    sources: Sources,
    versions: Vec<(crate::model::GroupKind, String)>,
) -> Result<Box<Machine>, Error> {
    let again = restored(ledger, head, sources, versions.clone());
    again.or_else(|error| {
        if !error.is_of_reading() {
            return Err(error);
        }
        tracing::warn!(%error, "what waited for its audit records is not known: it cannot be read");
        let mut machine =
            Box::new(Machine::new(&ledger.ledger_id().to_string(), sources, Timestamp::now()));
        machine.serve(versions);
        Ok(machine)
    })
}

/// A machine that has folded the last minutes up to `head`.
fn restored(
    ledger: &Ledger,
    head: Seq,
    sources: Sources,
    versions: Vec<(crate::model::GroupKind, String)>,
) -> Result<Box<Machine>, Error> {
    let until = waited_until(recorded_at(ledger, head)?, starts(ledger, head))?;
    let since = minus(until, WAIT_MS + SKEW_MS + LAG_MS);
    let before = ledger.at_time(since).max(Seq(head.0.saturating_sub(AGAIN_MAX)));
    let known = recorded_at(ledger, before)?;
    let id = ledger.ledger_id().to_string();
    let mut machine = Box::new(Machine::new(&id, sources, known));
    machine.serve(versions);
    let mut from = before.next();
    while from <= head {
        let to = Seq(from.0.saturating_add(AGAIN_CHUNK)).min(head);
        for recorded in ledger.range(from, to).by_nobody() {
            fold(&mut machine, ledger, recorded?.as_ref())?;
        }
        from = to.next();
    }
    Ok(machine)
}

/// Up to when the time counts that was waited for what waits now: what waited at a stop waits anew
/// from the next start on. `last` is the time of the last event; `starts`, the last one first, are
/// those of a start and of the last event before it.
fn waited_until(
    last: Timestamp,
    starts: impl Iterator<Item = Result<(Timestamp, Timestamp), Error>>,
) -> Result<Timestamp, Error> {
    let mut until = last;
    for start in starts {
        let (start, before) = start?;
        if start <= minus(until, WAIT_MS) {
            break;
        }
        until = before;
    }
    Ok(until)
}

/// The starts of the daemon up to `head`.
fn starts(
    ledger: &Ledger,
    head: Seq,
) -> impl Iterator<Item = Result<(Timestamp, Timestamp), Error>> {
    let watching = SubjectKey::topic(&Topic::Watching);
    let found = ledger.find_before(watching, head.next(), LOOKED_UP).into_iter();
    found.filter_map(|seq| {
        let times = |recorded: &Recorded| {
            let is = matches!(recorded.event, Some(Event::DaemonStarted(_)));
            is.then_some(recorded.envelope.recorded)
        };
        let start = ledger.get(seq).map(|recorded| recorded.as_deref().and_then(times));
        let start = start.transpose()?;
        let before = Seq(seq.0.saturating_sub(1));
        Some(start.and_then(|start| Ok((start, recorded_at(ledger, before)?))))
    })
}

fn recorded_at(ledger: &Ledger, seq: Seq) -> Result<Timestamp, Error> {
    let recorded = ledger.get(seq)?;
    Ok(recorded.map_or_else(Timestamp::default, |recorded| recorded.envelope.recorded))
}

fn minus(time: Timestamp, ms: u64) -> Timestamp {
    let ns = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp(time.0.saturating_sub(ns))
}

/// Folds a batch and decides.
fn process(
    machine: &mut Machine,
    ledger: &Ledger,
    batch: &[std::sync::Arc<Recorded>],
) -> Result<Vec<Draft>, Error> {
    for recorded in batch {
        fold(machine, ledger, recorded)?;
    }
    Ok(machine.settle(Timestamp::now()))
}

fn fold(machine: &mut Machine, ledger: &Ledger, recorded: &Recorded) -> Result<(), Error> {
    let (seq, at) = (recorded.envelope.seq, recorded.envelope.recorded);
    let Some(event) = &recorded.event else { return Ok(()) };
    let mut change = None;
    match event {
        Event::ObjectObserved(body) => {
            if !machine.knows(&body.key) {
                // Of a change to what is not known nothing can be said.
                let unread = || Some(Prior::of_observed(at, body));
                let before = if body.added { None } else { known(ledger, &body.key, seq, unread)? };
                machine.learn(&body.key, before);
            }
            change = machine.compares(body).map(|(before, after)| compare(ledger, before, after));
        }
        Event::ObjectGone(body) if !machine.knows(&body.key) => {
            machine.learn(&body.key, known(ledger, &body.key, seq, || None)?);
        }
        _ => {}
    }
    machine.fold(seq, at, event, change);
    Ok(())
}

fn compare(ledger: &Ledger, before: BlobAddr, after: BlobAddr) -> Change {
    let read = |addr| match ledger.blob(addr) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::warn!(%error, "a version cannot be compared: its fields are not known");
            None
        }
    };
    let after = read(after);
    Change::between(read(before).as_deref(), after.as_deref().unwrap_or_default())
}

/// The last version of an object that was recorded before `before`, or `unread` where that cannot be
/// read.
fn known(
    ledger: &Ledger,
    key: &ObjectKey,
    before: Seq,
    unread: impl FnOnce() -> Option<Prior>,
) -> Result<Option<Prior>, Error> {
    match prior(ledger, key, before) {
        Err(error) if error.is_of_reading() => {
            tracing::warn!(%key, %error, "who changed it is not known: what it was cannot be read");
            Ok(unread())
        }
        prior => prior,
    }
}

/// The last version of an object that was recorded before `before`.
fn prior(ledger: &Ledger, key: &ObjectKey, before: Seq) -> Result<Option<Prior>, Error> {
    let mut intents = Vec::new();
    let (mut found, mut from) = (None, before);
    'back: loop {
        let seqs = ledger.find_before(SubjectKey::object(key), from, LOOKED_UP);
        for seq in &seqs {
            let Some(recorded) = ledger.get(*seq)? else { continue };
            match &recorded.event {
                Some(Event::ObjectObserved(body)) => {
                    found = Some(Prior::of_observed(recorded.envelope.recorded, body));
                    break 'back;
                }
                Some(Event::ObjectGone(_)) => break 'back,
                Some(Event::IntentRecorded(_)) => intents.push(*seq),
                _ => {}
            }
        }
        match seqs.last() {
            Some(last) => from = *last,
            None => break,
        }
    }
    let Some(mut found) = found else { return Ok(None) };
    for intent in intents.into_iter().rev() {
        let Some(recorded) = ledger.get(intent)? else { continue };
        let Some(Event::IntentRecorded(body)) = &recorded.event else { continue };
        let ends = ledger.find(SubjectKey::topic(&Topic::Intent(intent)), intent, usize::MAX);
        for seq in ends.into_iter().take_while(|seq| *seq < before) {
            let Some(end) = ledger.get(seq)? else { continue };
            let ends = Ends::in_event(&end).filter(|ends| ends.answered && ends.intent == intent);
            for (_, result) in ends.into_iter().flat_map(|ends| ends.about(body, key)) {
                if let WriteResult::Applied(applied) = result {
                    found.answered(Prior::of_applied(end.envelope.recorded, applied));
                }
            }
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{
        Applied, Health, IntentRecordedV1, ObjectObservedV1, OutcomeRecordedV1, PausedV1, Verb,
        Write,
    };
    use crate::model::{AppName, Digest, Protection};

    /// Goal: however much an application did meanwhile, what greffier's own write was answered
    /// with is the version before.
    #[test]
    fn the_answer_to_a_write_is_found_behind_many_events() {
        let ledger = Ledger::in_memory();
        let append =
            |event: Event| *ledger.append_blocking(Draft::new(event)).unwrap().last().unwrap();
        let recorded = |seq| recorded_at(&ledger, seq).unwrap();
        let (app, key): (AppName, ObjectKey) =
            ("web".parse().unwrap(), "ConfigMap/prod/a".parse().unwrap());
        let seen = ObjectObservedV1::plain(key.clone(), "uid", "1");
        let observed = append(seen.clone().into());
        let write = Write::plain(Verb::Update, key.clone(), "v1", "Git changed");
        let (writes, timeout_ms) = (vec![write], 1_000);
        let intent =
            append(IntentRecordedV1 { app: app.clone(), writes, commit: None, timeout_ms }.into());
        for _ in 0..100 {
            let (until, reason) = (None, String::new());
            append(PausedV1 { app: app.clone(), until, reason }.into());
        }
        let applied = Applied {
            uid: "uid".into(),
            resource_version: "2".into(),
            baseline: Digest::default(),
            object: BlobAddr([2; 32]),
            changed: true,
            digest: Digest([2; 32]),
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            notes: Box::default(),
        };
        let results = vec![(0, WriteResult::Applied(applied.clone()))];
        let outcome = append(OutcomeRecordedV1 { app, intent, results }.into());

        let mut expected = Prior::of_observed(recorded(observed), &seen);
        let before = prior(&ledger, &key, outcome).unwrap();
        assert_eq!(before, Some(expected.clone()), "not answered by then");
        expected.answered(Prior::of_applied(recorded(outcome), &applied));
        assert_eq!(prior(&ledger, &key, outcome.next()).unwrap(), Some(expected));
    }

    /// Goal: what waited before a stop of any length is folded again, over several starts, unless
    /// it was waited for long enough in between.
    #[test]
    fn the_wait_before_a_stop_is_the_one_that_counts() {
        for (starts, expected) in [
            (&[][..], 10_000),
            (&[(9_990, 5_000)][..], 5_000),
            (&[(9_400, 5_000)], 10_000),
            (&[(9_990, 5_000), (4_900, 1_000)], 1_000),
            (&[(9_990, 5_000), (4_400, 1_000)], 5_000),
        ] {
            let at = Timestamp::from_seconds;
            let found = starts.iter().map(|(start, before)| Ok((at(*start), at(*before))));
            assert_eq!(waited_until(at(10_000), found).unwrap(), at(expected), "{starts:?}");
        }
    }
}
