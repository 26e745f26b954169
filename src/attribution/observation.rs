//! An observation that shows a change, and what was known of the object before.

use super::change::Change;
use super::judge::Finding;
use super::{CLAIMS_MAX, LAG_MS, Own, SKEW_MS, minus};
use crate::ledger::event::{
    Applied, AttributionResolvedV1, Learned, ManagerStamp, ObjectGoneV1, ObjectObservedV1, Verdict,
};
use crate::model::{BlobAddr, Digest, ObjectKey, Seq, Timestamp};
use crate::replay::rv_older;

/// The field manager of greffier's writes.
const OWN: &str = "greffier";

/// The last version of an object that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prior {
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) object: BlobAddr,
    digest: Digest,
    /// Who owns what, but for the subresource `status`.
    people: Option<Digest>,
    /// What greffier owns, since when.
    own: Option<Digest>,
    deleting: bool,
    owner: String,
    pub(super) recorded: Timestamp,
    /// A later version, from the answer to our own write, that was not observed yet. It may never
    /// be: after a start what is known already is not told again.
    answer: Option<Box<Self>>,
}

impl Prior {
    /// What an observation shows.
    #[must_use]
    pub fn of_observed(recorded: Timestamp, body: &ObjectObservedV1) -> Self {
        Self {
            uid: body.uid.clone(),
            version: body.resource_version.clone(),
            object: body.object,
            digest: body.digest,
            people: Some(people(&body.managers)),
            own: Some(own(&body.managers)),
            deleting: body.deleting,
            owner: body.controller.as_ref().map_or_else(String::new, |(_, _, uid)| uid.clone()),
            recorded,
            answer: None,
        }
    }

    /// What the answer to a write shows.
    #[must_use]
    pub fn of_applied(recorded: Timestamp, body: &Applied) -> Self {
        Self {
            uid: body.uid.clone(),
            version: body.resource_version.clone(),
            object: body.object,
            digest: body.digest,
            people: None,
            own: None,
            deleting: false,
            owner: String::new(),
            recorded,
            answer: None,
        }
    }

    /// Notes a later version from the answer to a write.
    pub fn answered(&mut self, answer: Self) {
        if self.uid == answer.uid && rv_older(&self.version, &answer.version) {
            self.answer = Some(Box::new(answer));
        }
    }

    /// The same, with what is still to come of `former`.
    pub(super) fn after(mut self, former: Option<Self>) -> Self {
        if let Some(answer) = former.and_then(|former| former.answer) {
            self.answered(*answer);
        }
        self
    }

    /// The version right before `version`, as far as is known.
    pub(super) fn before(&self, version: &str) -> &Self {
        let answer = self.answer.as_deref();
        answer.filter(|answer| rv_older(&answer.version, version)).unwrap_or(self)
    }

    /// Whether greffier wrote after it.
    #[must_use]
    pub fn own_differs(&self, body: &ObjectObservedV1) -> bool {
        self.own.is_some_and(|known| known != own(&body.managers))
    }
}

/// The field managers that are not of `status`; times are left out, they move alone.
fn people(managers: &[ManagerStamp]) -> Digest {
    ManagerStamp::digest_of(managers.iter().filter(|stamp| stamp.subresource != "status"))
}

fn own(managers: &[ManagerStamp]) -> Digest {
    let own: Vec<_> = managers.iter().filter(|stamp| stamp.manager == OWN).collect();
    let mut bytes = ManagerStamp::digest_of(own.iter().copied()).0.to_vec();
    for stamp in own {
        bytes.extend_from_slice(&stamp.time.unwrap_or_default().0.to_be_bytes());
    }
    Digest::of(&bytes)
}

/// Until when a deletion may take, and how long.
pub(super) const GRACE: &str = ".metadata.deletion";

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// The object is new.
    Added,
    /// Its content is another.
    Changed,
    /// Only who owns its fields is another.
    Managers,
    /// Its deletion was requested; finalizers or a grace period keep it.
    Deleting,
    /// It is gone, and no request for that was seen before.
    Gone,
    /// It is gone after its deletion was requested.
    Finished,
}

impl Nature {
    /// What an observation shows; `None` for changes of status alone.
    pub(super) fn of(body: &ObjectObservedV1, prior: Option<&Prior>) -> Option<Self> {
        let Some(prior) = prior.filter(|prior| prior.uid == body.uid) else {
            return Some(Self::Added);
        };
        if body.deleting && !prior.deleting {
            return Some(Self::Deleting);
        }
        if body.digest != prior.digest {
            return Some(Self::Changed);
        }
        let managers = prior.people.is_some_and(|known| known != people(&body.managers));
        managers.then_some(Self::Managers)
    }

    /// Whether it shows a deletion.
    pub(super) fn deletes(self) -> bool {
        matches!(self, Self::Deleting | Self::Gone | Self::Finished)
    }
}

/// What became of an observation.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It waits.
    Open,
    /// greffier made the change.
    Own(Own),
    /// It was said who made it.
    Told(Told),
    /// Nothing more is said.
    Settled,
}

/// What was said.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// In which event, once it has come back.
    pub(super) seq: Option<Seq>,
    pub(super) verdict: Verdict,
    actors: Vec<(String, String, String)>,
    causes: Vec<Seq>,
}

impl Told {
    pub(super) fn of(body: &AttributionResolvedV1, seq: Option<Seq>) -> Self {
        let actors = body
            .claims
            .iter()
            .map(|claim| (claim.who.clone(), claim.acting_as.clone(), claim.credential.clone()));
        Self { seq, verdict: body.verdict, actors: actors.collect(), causes: body.causes.clone() }
    }

    pub(super) fn says(&self, finding: &Finding) -> bool {
        let actors =
            finding.claims.iter().take(CLAIMS_MAX).map(|claim| {
                (claim.who.clone(), claim.acting_as.clone(), claim.credential.clone())
            });
        self.verdict == finding.verdict
            && self.causes == finding.causes
            && self.actors.iter().cloned().eq(actors)
    }
}

/// An observation that shows a change.
#[derive(Debug, Clone)]
pub(super) struct Observation {
    pub(super) seq: Seq,
    pub(super) key: ObjectKey,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) recorded: Timestamp,
    pub(super) nature: Nature,
    pub(super) change: Change,
    /// Whether the object's deletion was requested.
    pub(super) deleting: bool,
    /// The uid of the controlling owner, or empty.
    pub(super) owner: String,
    /// The version before; empty when it is not known.
    pub(super) prior: String,
    /// Whether it is one change: nothing came between the version before and this one.
    pub(super) direct: bool,
    /// Whether greffier's own entry changed with it.
    pub(super) own_changed: bool,
    /// When the last write to the object was, by the API server's second, as its managers note
    /// it; `None` = that is not known.
    pub(super) stamp: Option<Timestamp>,
    /// Under which managers and subresources.
    pub(super) stamped_by: Vec<(String, String)>,
    /// The change is not older than this.
    pub(super) lower: Timestamp,
    /// What was known before is of another cluster, or of a time to which this one was set back.
    pub(super) elsewhere: bool,
    learned: Learned,
    before: Timestamp,
    pub(super) drift: Option<Seq>,
    pub(super) state: State,
}

impl Observation {
    /// Whether nothing changed but until when a deletion that was requested before may take.
    pub(super) fn ends_grace(&self) -> bool {
        let change = &self.change;
        self.nature == Nature::Changed
            && self.deleting
            && !change.more
            && !change.is_empty()
            && change.paths().all(|path| path.starts_with(GRACE))
    }

    pub(super) fn new(
        seq: Seq,
        at: Timestamp,
        body: &ObjectObservedV1,
        nature: Nature,
        prior: Option<&Prior>,
    ) -> Self {
        let owner = body.controller.as_ref().map_or_else(String::new, |(_, _, uid)| uid.clone());
        // A client can write any time into the entries of others; what is to come is none.
        let stamp = body.managers.iter().filter_map(|stamp| stamp.time).max();
        let stamp = stamp.filter(|stamp| *stamp <= at.plus_ms(SKEW_MS));
        let newest = body.managers.iter().filter(|entry| stamp.is_some() && entry.time == stamp);
        let newest = newest.map(|entry| (entry.manager.clone(), entry.subresource.clone()));
        Self {
            seq,
            key: body.key.clone(),
            uid: body.uid.clone(),
            version: body.resource_version.clone(),
            recorded: at,
            nature,
            // Until the two versions were compared.
            change: Change { more: nature == Nature::Changed, ..Change::default() },
            deleting: body.deleting,
            owner,
            prior: prior.map_or_else(String::new, |prior| prior.version.clone()),
            direct: false,
            own_changed: prior.is_some_and(|prior| prior.own_differs(body)),
            stamp,
            stamped_by: newest.collect(),
            lower: Timestamp::default(),
            elsewhere: false,
            learned: body.learned,
            before: prior.map_or_else(Timestamp::default, |prior| prior.recorded),
            drift: None,
            state: State::Open,
        }
    }

    pub(super) fn gone(
        seq: Seq,
        at: Timestamp,
        body: &ObjectGoneV1,
        prior: Option<&Prior>,
    ) -> Self {
        let deleting = prior.is_some_and(|prior| prior.deleting);
        Self {
            seq,
            key: body.key.clone(),
            uid: body.uid.clone(),
            version: String::new(),
            recorded: at,
            nature: if deleting { Nature::Finished } else { Nature::Gone },
            change: Change::default(),
            deleting: true,
            owner: prior.map_or_else(String::new, |prior| prior.owner.clone()),
            prior: prior.map_or_else(String::new, |prior| prior.version.clone()),
            direct: false,
            own_changed: false,
            stamp: None,
            stamped_by: Vec::new(),
            lower: Timestamp::default(),
            elsewhere: false,
            learned: body.learned,
            before: prior.map_or_else(Timestamp::default, |prior| prior.recorded),
            drift: None,
            state: State::Open,
        }
    }

    /// Says where in time the change is. `shown` = the version is the one that the watch told of;
    /// `interrupted` = until when nothing can have been missed.
    pub(super) fn place(&mut self, shown: bool, interrupted: Timestamp) {
        let known = !self.prior.is_empty() || self.nature == Nature::Added;
        self.direct = shown && known && self.learned == Learned::Watched;
        self.lower = if self.direct {
            // Nothing came between; a watch is late by seconds, not by minutes.
            self.before.max(minus(self.recorded, LAG_MS))
        } else {
            self.before.max(interrupted)
        };
        self.lower = minus(self.lower, SKEW_MS);
    }

    /// What a list shows first of a cluster that came in the place of another (`since` then) is no
    /// change that anybody made at that time.
    pub(super) fn of_cluster(&mut self, since: Timestamp) {
        self.elsewhere = self.learned == Learned::Listed && self.before < since;
    }

    /// What is new since a list was not there when it was made.
    pub(super) fn not_before(&mut self, listed: Timestamp) {
        if self.direct && self.nature == Nature::Added {
            self.lower = self.lower.max(minus(listed, SKEW_MS));
        }
    }

    /// Whether whoever made the change has set something, so that the API server noted the time.
    /// It notes none where something was only taken away, be it an item of a list.
    pub(super) fn is_stamped(&self) -> bool {
        let sets = self.change.set.iter().any(|path| !path.ends_with("[]"));
        let folds = !self.direct && (self.change.more || !self.change.removed.is_empty());
        self.nature == Nature::Changed && sets && !folds
    }

    /// Whether it is known which request made it, or that greffier's did.
    pub(super) fn is_explained(&self) -> bool {
        match &self.state {
            State::Own(_) => true,
            State::Told(told) => told.verdict == Verdict::Exact,
            State::Open | State::Settled => false,
        }
    }

    /// Whether it is a change of what the object should be, rather than a consequence.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.nature, Nature::Managers | Nature::Finished) && !self.change.status
    }

    /// Whether a record of the request must exist.
    pub(super) fn is_expected(&self) -> bool {
        self.counts() && !self.elsewhere
    }

    /// What is to be recorded.
    pub(super) fn resolved(
        &self,
        finding: Finding,
        replaces: Option<(Seq, Verdict)>,
        waiting: bool,
    ) -> AttributionResolvedV1 {
        let Finding { verdict, mut claims, fields, causes, why } = finding;
        let more = claims.len().saturating_sub(CLAIMS_MAX);
        claims.truncate(CLAIMS_MAX);
        AttributionResolvedV1 {
            observation: self.seq,
            key: self.key.clone(),
            verdict,
            claims,
            more: u32::try_from(more).unwrap_or(u32::MAX),
            fields,
            causes,
            drift: self.drift,
            replaces: replaces.map(|(seq, _)| seq),
            was: replaces.map(|(_, verdict)| verdict),
            counts: self.counts(),
            waiting,
            why,
        }
    }
}
