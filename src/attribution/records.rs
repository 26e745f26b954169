//! The requests that the API server recorded lately, found by what they made and by object.
//!
//! Memory is bounded by time and by number. What is dropped is remembered by its time, so that
//! nobody takes what is left for all there was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::observation::Observation;
use crate::ledger::event::{ActorClaim, AuditLevel, AuditReach, AuditReceivedV1};
use crate::model::{ObjectKey, Seq, Timestamp};

/// How many requests are remembered. Bound: about 8 MB.
const REQUESTS_MAX: usize = 16_384;

/// A request that was carried out.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) seq: Seq,
    recorded: Timestamp,
    pub(super) audit_id: String,
    pub(super) level: AuditLevel,
    pub(super) verb: String,
    pub(super) key: ObjectKey,
    pub(super) subresource: String,
    /// Who sent it.
    pub(super) claim: ActorClaim,
    pub(super) created: bool,
    pub(super) received: Timestamp,
    pub(super) completed: Timestamp,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) reach: AuditReach,
    pub(super) webhooks: Vec<String>,
    /// Under which name the API server notes what it wrote: the client's choice.
    manager: String,
}

impl Request {
    fn new(seq: Seq, recorded: Timestamp, body: &AuditReceivedV1) -> Self {
        let claim = ActorClaim {
            who: body.user.name.clone(),
            acting_as: body
                .impersonated
                .as_ref()
                .map_or_else(String::new, |user| user.name.clone()),
            credential: body.user.credential.clone(),
            pod: body.user.pod.clone(),
            verb: body.verb.clone(),
            subresource: body.subresource.clone(),
            evidence: vec![seq],
            strength: 0,
        };
        Self {
            seq,
            recorded,
            audit_id: body.audit_id.clone(),
            level: body.level,
            verb: body.verb.clone(),
            key: body.key.clone(),
            subresource: body.subresource.clone(),
            claim,
            // A subresource is created on an object that is there.
            created: body.subresource.is_empty() && (body.verb == "create" || body.code == 201),
            received: body.received,
            completed: body.completed,
            uid: body.uid.clone(),
            version: body.resource_version.clone(),
            reach: body.reach.clone(),
            webhooks: body.webhooks.clone(),
            manager: match body.field_manager.as_str() {
                "" => body.user_agent.split('/').next().unwrap_or_default().to_owned(),
                manager => manager.to_owned(),
            },
        }
    }

    /// Whether it deletes.
    pub(super) fn deletes(&self) -> bool {
        let deletes = self.verb == "delete" || self.verb == "deletecollection";
        deletes && self.subresource.is_empty() || self.subresource == "eviction"
    }

    /// Whether it came in after the last write to the object that the API server noted, which it
    /// does by the second: it set nothing. Not known where none is noted, and of scaling, which the
    /// API server notes without a time, and of binding, which it does not note.
    pub(super) fn set_nothing(&self, o: &Observation) -> bool {
        let second = self.received.0.div_euclid(1_000_000_000);
        let untimed = ["scale", "binding"].contains(&self.subresource.as_str());
        let noted = o.stamp.filter(|_| !untimed);
        noted.is_some_and(|stamp| Timestamp::from_seconds(second) > stamp)
    }

    /// Whether that last write is noted under its name.
    pub(super) fn is_noted(&self, o: &Observation) -> bool {
        let noted = |(manager, subresource): &(String, String)| {
            *manager == self.manager && *subresource == self.subresource
        };
        !self.set_nothing(o) && o.stamped_by.iter().any(noted)
    }

    /// Whether both came from the same user by the same credential.
    pub(super) fn same_actor(&self, other: &Self) -> bool {
        let actor = |claim: &ActorClaim| {
            (claim.who.clone(), claim.acting_as.clone(), claim.credential.clone())
        };
        actor(&self.claim) == actor(&other.claim)
    }

    /// Whether both may have been under way at the same time.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.received <= other.completed && other.received <= self.completed
    }
}

/// The requests of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Records {
    requests: BTreeMap<Seq, Request>,
    by_version: BTreeMap<(String, String), Vec<Seq>>,
    by_key: BTreeMap<ObjectKey, Vec<Seq>>,
    order: VecDeque<Seq>,
    /// When the newest request was recorded that is remembered no more.
    pub(super) dropped: Timestamp,
}

impl Records {
    /// Records from `time` on.
    pub(super) fn since(time: Timestamp) -> Self {
        Self { dropped: time, ..Self::default() }
    }

    pub(super) fn insert(&mut self, seq: Seq, recorded: Timestamp, body: &AuditReceivedV1) {
        if !(200..300).contains(&body.code) {
            return;
        }
        let request = Request::new(seq, recorded, body);
        if !request.version.is_empty() && !request.uid.is_empty() {
            let version = (request.uid.clone(), request.version.clone());
            self.by_version.entry(version).or_default().push(seq);
        }
        self.by_key.entry(request.key.clone()).or_default().push(seq);
        self.requests.insert(seq, request);
        self.order.push_back(seq);
        if self.order.len() > REQUESTS_MAX {
            self.drop_oldest();
        }
    }

    /// Forgets what was recorded before `time`.
    pub(super) fn forget(&mut self, time: Timestamp) {
        while let Some(oldest) = self.order.front().and_then(|seq| self.requests.get(seq)) {
            if oldest.recorded >= time {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(seq) = self.order.pop_front() else { return };
        let Some(request) = self.requests.remove(&seq) else { return };
        self.dropped = self.dropped.max(request.recorded);
        unlist(&mut self.by_version, &(request.uid, request.version), seq);
        unlist(&mut self.by_key, &request.key, seq);
    }

    /// The requests whose answer shows this version of this object, by when they were received.
    pub(super) fn of_version(&self, uid: &str, version: &str) -> Vec<&Request> {
        let key = (uid.to_owned(), version.to_owned());
        self.sorted(self.by_version.get(&key).into_iter().flatten())
    }

    /// The requests about an object, with those about all of its kind and namespace, by when they
    /// were received.
    pub(super) fn of_object(&self, key: &ObjectKey) -> Vec<&Request> {
        let all = key.named("");
        let found: BTreeSet<&Seq> =
            [key, &all].into_iter().filter_map(|key| self.by_key.get(key)).flatten().collect();
        self.sorted(found.into_iter())
    }

    fn sorted<'a>(&'a self, seqs: impl Iterator<Item = &'a Seq>) -> Vec<&'a Request> {
        let mut found: Vec<&Request> = seqs.filter_map(|seq| self.requests.get(seq)).collect();
        found.sort_by_key(|request| (request.received, request.completed, request.seq));
        found
    }
}

fn unlist<K: Ord>(index: &mut BTreeMap<K, Vec<Seq>>, key: &K, seq: Seq) {
    if let Some(seqs) = index.get_mut(key) {
        seqs.retain(|other| *other != seq);
        if seqs.is_empty() {
            index.remove(key);
        }
    }
}
