//! Who made the changes that were observed: a pure machine over the ledger's events.
//!
//! Observations of the cluster and the API server's records of requests come in any order. The
//! machine joins them by evidence (`judge`), waits while records may still come, and says what
//! it found as events. What it does not know it does not say: a wrong name is a defect, "unknown"
//! is an answer.
//!
//! - greffier's own writes are known by their outcomes, which name the object's uid and version.
//!   They need no event: whoever asks looks for the outcome.
//! - Changes of status alone are told by the observation itself: the managers of the subresource
//!   `status`. Requests for it are not recorded, so nothing is missing either.
//! - Without audit records an observation says all there is: its field managers.
//!
//! Memory is bounded: observations wait for [`WAIT_MS`], at most `OBSERVED_MAX` of them; requests
//! are remembered a little longer. What is dropped before its time is *unknown*, with the reason.

mod change;
mod judge;
mod observation;
mod reach;
mod records;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use change::Change;
pub use observation::Prior;

use observation::{Nature, Observation, State, Told};
use records::Records;

use crate::ledger::event::{
    AttributionResolvedV1, AuditReadV1, AuditTrouble, Event, IntentRecordedV1, KindsServedV1,
    ObjectGoneV1, ObjectObservedV1, Verb, WriteResult,
};
use crate::model::{BlobAddr, GroupKind, ObjectKey, Seq, Timestamp};

/// How long records of requests are waited for, in milliseconds. An API server that writes its
/// records in batches takes 30 s and, where a webhook fails, some minutes.
pub const WAIT_MS: u64 = 600_000;
/// How far the clocks of the API server and of this machine may be apart, in milliseconds, and
/// how late a record of a finished request may be written.
pub const SKEW_MS: u64 = 5_000;
/// After what time, in milliseconds, a finished request is in the log: at once by default, after
/// 30 s where the log is written in batches (`--audit-log-mode=batch`, kube-apiserver 1.36).
pub const WRITTEN_MS: u64 = 35_000;
/// How late a change may be recorded that a watch shows, in milliseconds.
pub const LAG_MS: u64 = 60_000;
/// How many observations are kept. Bound: about 8 MB.
const OBSERVED_MAX: usize = 8_192;
/// Of how many objects the last version is kept; others are looked up again.
const SEEN_MAX: usize = 32_768;
/// How many of greffier's own writes are remembered whose echo did not come yet.
const OWN_MAX: usize = 16_384;
/// How many deletions are remembered as causes of others.
const DELETIONS_MAX: usize = 8_192;
/// How many observations of an object are matched with its records together.
const CHAIN_MAX: usize = 64;
/// The source of records that come by a webhook.
const WEBHOOK: &str = "webhook";
/// How many claims an event names.
const CLAIMS_MAX: usize = 16;

/// Where records of requests come from, as is configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sources {
    /// A log file is followed.
    pub file: bool,
    /// A webhook is served. It may be that of another API server than the file's.
    pub webhook: bool,
}

impl Sources {
    fn any(self) -> bool {
        self.file || self.webhook
    }
}

/// How far the API server's records are known.
#[derive(Debug, Default)]
struct Reading {
    /// Whether records are read at all.
    on: bool,
    /// Whether they come from both sources.
    both: bool,
    /// From when on they are known.
    begun: Option<Timestamp>,
    /// Up to when, by the API server's clock.
    heard: Timestamp,
    /// The same, where all of them are known: a file has all, a webhook may lose some.
    passed: Timestamp,
    /// Up to when a webhook sent them.
    posted: Timestamp,
    /// When some may have been lost last, and what was said of it.
    lost: Option<(Timestamp, String)>,
}

impl Reading {
    /// Up to when all records are known: with two sources each may have what the other has not.
    fn passed(&self) -> Timestamp {
        if self.both { self.passed.min(self.posted) } else { self.passed }
    }

    /// Up to when records were heard from every source.
    fn heard_by_all(&self) -> Timestamp {
        if self.both { self.passed() } else { self.heard }
    }
}

/// A write of greffier.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    audit_id: String,
    verb: Verb,
    seq: Seq,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct Machine {
    ledger: String,
    /// Where this run reads records.
    sources: Sources,
    now: Timestamp,
    /// When the daemon started last, and what was waited for no more by then.
    started: Timestamp,
    over_at_start: Timestamp,
    reading: Reading,
    records: Records,
    seen: BTreeMap<ObjectKey, Option<Prior>>,
    observed: BTreeMap<Seq, Observation>,
    chains: BTreeMap<ObjectKey, Vec<Seq>>,
    /// What waits for its verdict.
    open: BTreeSet<(Timestamp, Seq)>,
    dirty: BTreeSet<Seq>,
    /// Objects with new records since they were judged.
    touched: BTreeSet<ObjectKey>,
    intents: BTreeMap<Seq, Vec<Intended>>,
    in_flight: BTreeMap<ObjectKey, BTreeSet<Seq>>,
    own: BTreeMap<(String, String), Own>,
    own_deletes: BTreeMap<String, Own>,
    /// The first events that show the deletion of an object, by uid; of namespaces by name too.
    deletions: BTreeMap<String, Seq>,
    dependents: BTreeMap<String, Vec<Seq>>,
    versions: BTreeMap<GroupKind, String>,
    /// When each kind was listed last: what is added later was not there then.
    listed: BTreeMap<GroupKind, Timestamp>,
    interrupted: BTreeMap<GroupKind, Timestamp>,
    interrupted_all: Timestamp,
    /// Since when another cluster answers, or the same one set back.
    cluster: Option<Timestamp>,
}

/// A write of an intent that has not ended.
#[derive(Debug)]
struct Intended {
    key: ObjectKey,
    verb: Verb,
    /// The uid of what is deleted.
    uid: String,
    ended: bool,
}

impl Machine {
    /// A machine for the ledger with this id, from `now` on. `sources` says where records of
    /// requests are read.
    #[must_use]
    pub fn new(ledger: &str, sources: Sources, now: Timestamp) -> Self {
        let both = sources.file && sources.webhook;
        Self {
            ledger: ledger.to_owned(),
            sources,
            now,
            started: Timestamp::default(),
            over_at_start: Timestamp::default(),
            reading: Reading { on: sources.any(), both, ..Reading::default() },
            records: Records::since(now),
            seen: BTreeMap::new(),
            observed: BTreeMap::new(),
            chains: BTreeMap::new(),
            open: BTreeSet::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
            intents: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            own: BTreeMap::new(),
            own_deletes: BTreeMap::new(),
            deletions: BTreeMap::new(),
            dependents: BTreeMap::new(),
            versions: BTreeMap::new(),
            listed: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            interrupted_all: Timestamp::default(),
            cluster: None,
        }
    }

    /// Learns in which version each kind is watched.
    pub fn serve(&mut self, versions: impl IntoIterator<Item = (GroupKind, String)>) {
        self.versions.extend(versions);
    }

    /// Whether the last version of an object is known, or that it was not there. Where it is not,
    /// [`learn`](Self::learn) it before an observation of it is folded.
    #[must_use]
    pub fn knows(&self, key: &ObjectKey) -> bool {
        self.seen.contains_key(key)
    }

    /// Learns the last version of an object before the next event; `None` = it was not there.
    pub fn learn(&mut self, key: &ObjectKey, prior: Option<Prior>) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(key.clone(), prior);
    }

    /// The blobs whose difference is asked for with an observation: before and after.
    #[must_use]
    pub fn compares(&self, body: &ObjectObservedV1) -> Option<(BlobAddr, BlobAddr)> {
        let prior = self.prior(body)?;
        let changed = Nature::of(body, Some(prior)) == Some(Nature::Changed);
        let own = self.own.contains_key(&version_of(body)) && prior.own_differs(body);
        (changed && !own).then_some((prior.object, body.object))
    }

    /// The version that the observation follows.
    fn prior(&self, body: &ObjectObservedV1) -> Option<&Prior> {
        let prior = self.seen.get(&body.key)?.as_ref()?;
        Some(prior.before(&body.resource_version))
    }

    /// Takes in an event. `change` is what [`compares`](Self::compares) asked for.
    pub fn fold(&mut self, seq: Seq, at: Timestamp, event: &Event, change: Option<Change>) {
        let (before, over) = (self.now, self.over());
        self.now = self.now.max(at);
        match event {
            Event::DaemonStarted(_) => {
                (self.started, self.over_at_start) = (self.now, over);
                self.interrupted_all = before;
                self.reading.on = self.sources.any();
                self.listed.clear();
            }
            Event::ClusterLost(_) => self.interrupted_all = minus(at, LAG_MS),
            Event::ClusterReplaced(_) | Event::ClusterReverted(_) => self.cluster = Some(at),
            Event::WatchGap(body) => {
                self.interrupted.insert(body.kind.clone(), minus(at, LAG_MS));
            }
            Event::KindsServed(body) => self.served(body),
            Event::KindListed(body) if body.named.is_empty() => {
                self.listed.insert(body.kind.clone(), at);
            }
            Event::IntentRecorded(body) => self.intended(seq, body),
            Event::OutcomeRecorded(body) => {
                self.ended(seq, at, body.intent, &body.results, true);
            }
            Event::IntentSettled(body) => {
                self.ended(seq, at, body.intent, &body.results, false);
            }
            Event::AuditReceived(body) => {
                self.records.insert(seq, at, body);
                let begun = self.reading.begun.map_or(body.received, |b| b.min(body.received));
                self.reading.begun = Some(begun);
                self.touched.insert(body.key.clone());
            }
            Event::AuditRead(body) => self.read(at, body),
            Event::AuditTroubled(body)
                if !matches!(body.trouble, AuditTrouble::Over | AuditTrouble::Refused) =>
            {
                self.reading.lost = Some((at, body.what.clone()));
            }
            Event::ObjectObserved(body) => self.observe(seq, at, body, change),
            Event::ObjectGone(body) => self.gone(seq, at, body),
            Event::DriftDetected(body) => {
                // A deletion is found at whatever was recorded last, which may be about another.
                let observation = self.observed.get_mut(&body.observation);
                if let Some(observation) = observation.filter(|of| of.key == body.key) {
                    observation.drift = Some(seq);
                }
            }
            Event::AttributionResolved(body) => self.told(seq, body),
            Event::AuditGapSuspected(body) => self.given_up(body.observation),
            _ => {}
        }
    }

    fn served(&mut self, body: &KindsServedV1) {
        let versions = body.kinds.iter();
        self.serve(versions.map(|served| (served.kind.clone(), served.version.clone())));
    }

    fn intended(&mut self, seq: Seq, body: &IntentRecordedV1) {
        let writes = body.writes.iter().map(|write| Intended {
            key: write.key.clone(),
            verb: write.verb,
            uid: write.precondition.as_ref().map_or_else(String::new, |(uid, _)| uid.clone()),
            ended: false,
        });
        for write in &body.writes {
            self.in_flight.entry(write.key.clone()).or_default().insert(seq);
        }
        self.intents.insert(seq, writes.collect());
    }

    /// Notes how writes ended. What was settled by looking at the cluster proves nothing about who
    /// made the version that was seen.
    fn ended(
        &mut self,
        seq: Seq,
        at: Timestamp,
        intent: Seq,
        results: &[(u32, WriteResult)],
        answered: bool,
    ) {
        for (index, result) in results {
            let at_index = usize::try_from(*index).unwrap_or(usize::MAX);
            let writes = self.intents.get_mut(&intent);
            let Some(write) = writes.and_then(|writes| writes.get_mut(at_index)) else { continue };
            write.ended |= !matches!(result, WriteResult::Unknown(_));
            let (key, verb, uid) = (write.key.clone(), write.verb, write.uid.clone());
            let own = Own { audit_id: format!("{}-{intent}-{index}", self.ledger), verb, seq };
            let deletes = match result {
                WriteResult::Applied(applied) if answered => {
                    if applied.changed {
                        let version = (applied.uid.clone(), applied.resource_version.clone());
                        self.own.insert(version, own.clone());
                    }
                    if let Some(Some(prior)) = self.seen.get_mut(&key) {
                        prior.answered(Prior::of_applied(at, applied));
                    }
                    verb == Verb::Recreate
                }
                WriteResult::Deleted => answered,
                _ => false,
            };
            if deletes && !uid.is_empty() {
                self.own_deletes.insert(uid, own);
            }
            self.mark(&key);
        }
        self.close(intent);
        bound(&mut self.own, OWN_MAX, |own| own.seq);
        bound(&mut self.own_deletes, OWN_MAX, |own| own.seq);
    }

    /// Forgets the writes of an intent that have ended.
    fn close(&mut self, intent: Seq) {
        let Some(writes) = self.intents.get(&intent) else { return };
        let (ended, open): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.ended);
        for write in &ended {
            if let Some(intents) = self.in_flight.get_mut(&write.key) {
                intents.remove(&intent);
                if intents.is_empty() {
                    self.in_flight.remove(&write.key);
                }
            }
        }
        if open.is_empty() {
            self.intents.remove(&intent);
        }
    }

    fn read(&mut self, at: Timestamp, body: &AuditReadV1) {
        self.reading.on = true;
        self.reading.begun.get_or_insert(at);
        let former = (self.reading.heard, self.reading.passed());
        let newest = body.newest.unwrap_or_default();
        // Where the API server is idle nothing newer comes; what it had to write it has written.
        let written = body.end.map_or(newest, |end| newest.max(minus(end, WRITTEN_MS)));
        self.reading.heard = self.reading.heard.max(written);
        if body.source == WEBHOOK {
            self.reading.posted = self.reading.posted.max(written);
        } else {
            self.reading.passed = self.reading.passed.max(written);
        }
        for key in std::mem::take(&mut self.touched) {
            if key.name().is_empty() {
                let all = self.chains.keys().filter(|other| {
                    (other.group(), other.kind(), other.namespace())
                        == (key.group(), key.kind(), key.namespace())
                });
                let all: Vec<_> = all.cloned().collect();
                all.iter().for_each(|key| self.mark(key));
            } else {
                self.mark(&key);
            }
        }
        // Those whose time the records have passed now.
        let now = (self.reading.heard, self.reading.passed());
        let mut passed = BTreeSet::new();
        for (from, to) in [(former.0, now.0), (former.1, now.1)] {
            let (from, to) = (minus(from, SKEW_MS), minus(to, SKEW_MS));
            let open = self.open.range((from, Seq::ZERO)..=(to, Seq(u64::MAX)));
            let keys = open.filter_map(|(_, seq)| Some(self.observed.get(seq)?.key.clone()));
            passed.extend(keys);
        }
        passed.iter().for_each(|key| self.mark(key));
    }

    /// Has everything about an object judged again.
    fn mark(&mut self, key: &ObjectKey) {
        let chain = self.chains.get(key).into_iter().flatten();
        self.dirty.extend(chain.rev().take(CHAIN_MAX));
    }

    fn observe(
        &mut self,
        seq: Seq,
        at: Timestamp,
        body: &ObjectObservedV1,
        change: Option<Change>,
    ) {
        let prior = self.prior(body).cloned();
        let known = self.seen.contains_key(&body.key);
        if let Some(nature) = Nature::of(body, prior.as_ref()) {
            let served = self.versions.get(&body.key.group_kind());
            // What greffier applied in another version is read again, perhaps later than shown.
            let shown = served.is_none_or(|version| *version == body.version);
            let interrupted = self.interrupted_at(&body.key.group_kind());
            let mut observation = Observation::new(seq, at, body, nature, prior.as_ref());
            observation.place(shown && known, interrupted);
            if let Some(listed) = self.listed.get(&body.key.group_kind()) {
                observation.not_before(*listed);
            }
            if let Some(change) = change {
                observation.change = change;
            }
            self.add(observation);
        }
        let former = self.seen.remove(&body.key).flatten();
        let next = Prior::of_observed(at, body).after(former);
        self.learn(&body.key, Some(next));
    }

    fn gone(&mut self, seq: Seq, at: Timestamp, body: &ObjectGoneV1) {
        let prior = self.seen.get(&body.key).cloned().flatten();
        let prior = prior.filter(|prior| prior.uid == body.uid);
        let interrupted = self.interrupted_at(&body.key.group_kind());
        let mut observation = Observation::gone(seq, at, body, prior.as_ref());
        observation.place(true, interrupted);
        self.add(observation);
        if self
            .seen
            .get(&body.key)
            .is_some_and(|seen| seen.as_ref().is_none_or(|seen| seen.uid == body.uid))
        {
            self.learn(&body.key, None);
        }
    }

    fn interrupted_at(&self, kind: &GroupKind) -> Timestamp {
        self.interrupted.get(kind).copied().unwrap_or_default().max(self.interrupted_all)
    }

    fn add(&mut self, mut observation: Observation) {
        if let Some(since) = self.cluster {
            observation.of_cluster(since);
        }
        let (seq, key) = (observation.seq, observation.key.clone());
        if observation.nature.deletes() {
            self.deletions.entry(observation.uid.clone()).or_insert(seq);
            if key.is("", "Namespace") {
                self.deletions.insert(namespace(key.name()), seq);
            }
            bound(&mut self.deletions, DELETIONS_MAX, |seq| *seq);
            let dependents = self.dependents.remove(&observation.uid);
            self.dirty.extend(dependents.into_iter().flatten());
            if !observation.owner.is_empty() {
                self.dependents.entry(observation.owner.clone()).or_default().push(seq);
            }
        }
        self.open.insert((observation.recorded, seq));
        self.observed.insert(seq, observation);
        self.chains.entry(key.clone()).or_default().push(seq);
        self.mark(&key);
    }

    /// What was said before is not said again.
    fn told(&mut self, seq: Seq, body: &AttributionResolvedV1) {
        let Some(observation) = self.observed.get_mut(&body.observation) else { return };
        let at = observation.recorded;
        self.open.remove(&(at, body.observation));
        observation.state = State::Told(Told::of(body, Some(seq)));
        self.dirty.insert(body.observation);
    }

    /// It was said that no record explains it.
    fn given_up(&mut self, observation: Seq) {
        let Some(observation) = self.observed.get_mut(&observation) else { return };
        if matches!(observation.state, State::Open) {
            observation.state = State::Settled;
            self.open.remove(&(observation.recorded, observation.seq));
        }
    }
}

/// The name under which the deletion of a namespace is found; no uid looks like it.
fn namespace(name: &str) -> String {
    format!("/{name}")
}

fn version_of(body: &ObjectObservedV1) -> (String, String) {
    (body.uid.clone(), body.resource_version.clone())
}

fn minus(time: Timestamp, ms: u64) -> Timestamp {
    let ns = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp(time.0.saturating_sub(ns))
}

/// Drops the oldest while there are too many: a tenth at once, so that it is cheap on average.
fn bound<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, max: usize, seq: impl Fn(&V) -> Seq) {
    if map.len() <= max {
        return;
    }
    let mut seqs: Vec<Seq> = map.values().map(&seq).collect();
    seqs.sort_unstable();
    let from = seqs.get(max / 10).copied().unwrap_or_default();
    map.retain(|_, value| seq(value) >= from);
}
