//! The rules: which evidence proves what.
//!
//! A version that a watch shows is one change, made by one request. A version that a list shows,
//! or that was read again, may fold several: its record explains the last of them only.

use super::observation::{GRACE, Nature, Observation, State};
use super::reach::{Explains, explains, remarks};
use super::records::Request;
use super::{CHAIN_MAX, Machine, Own, SKEW_MS, namespace};
use crate::ledger::event::{ActorClaim, AuditLevel, AuditReach, FieldRemark, Verb, Verdict};
use crate::model::{Seq, Timestamp};
use crate::replay::rv_older;

/// Users that remove what somebody else's deletion leaves behind.
const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACES: &str = "system:serviceaccount:kube-system:namespace-controller";
/// Both, where the controllers share one user.
const CONTROLLERS: &str = "system:kube-controller-manager";

/// What is to be done about an observation.
pub(super) enum Judgement {
    /// Records may still come.
    Wait,
    /// greffier made the change.
    Own(Own),
    /// No records are read: the observation says all there is.
    Unrecorded,
    /// This is known.
    Found(Finding),
}

/// What is known.
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) claims: Vec<ActorClaim>,
    pub(super) fields: Vec<FieldRemark>,
    pub(super) causes: Vec<Seq>,
    pub(super) why: String,
}

impl Machine {
    pub(super) fn judge(&self, o: &Observation) -> Judgement {
        if let Some(own) = self.own_of(o) {
            return Judgement::Own(own.clone());
        }
        let in_flight = self.in_flight.contains_key(&o.key);
        if !self.reading.on {
            return if in_flight { Judgement::Wait } else { Judgement::Unrecorded };
        }
        let found = match self.exact(o) {
            Some(found) => Some(found),
            // An own write that is under way may be the reason.
            None if in_flight => None,
            None if self.incomplete(o).is_some() => None,
            None if o.ends_grace() => self.by_removal(o),
            None if o.direct => self.by_order(o),
            None => self.by_elimination(o),
        };
        found.map_or(Judgement::Wait, Judgement::Found)
    }

    /// The own write that made the change.
    fn own_of(&self, o: &Observation) -> Option<&Own> {
        if o.nature.deletes() {
            let own = self.own_deletes.get(&o.uid)?;
            // The API server says "deleted" also to whoever comes second.
            let mut deletes = self.in_time(o);
            deletes.retain(|request| request.deletes());
            // The audit id alone is the client's choice.
            let alone = deletes
                .iter()
                .all(|request| request.audit_id == own.audit_id && request.same_actor(deletes[0]));
            return (alone || o.nature == Nature::Finished).then_some(own);
        }
        let version = (o.uid.clone(), o.version.clone());
        let own = self.own.get(&version)?;
        // That an answer shows a version does not say that the write made it: it may have changed
        // nothing where somebody else just had. The object itself must show it.
        let made = match o.nature {
            Nature::Added => true,
            Nature::Managers => own.verb == Verb::TakeOver || o.own_changed,
            _ => o.direct && o.own_changed || o.change.own && !o.change.is_empty(),
        };
        made.then_some(own)
    }

    /// The requests that can have made the change, by their time and the object's uid.
    fn in_time(&self, o: &Observation) -> Vec<&Request> {
        let until = o.recorded.plus_ms(SKEW_MS);
        let requests = self.records.of_object(&o.key).into_iter();
        let in_time = requests.filter(|request| {
            request.received <= until
                && request.completed >= o.lower
                && (request.uid.is_empty() || request.uid == o.uid)
        });
        in_time.collect()
    }

    /// The record whose answer shows the very version.
    fn exact(&self, o: &Observation) -> Option<Finding> {
        let until = o.recorded.plus_ms(SKEW_MS);
        let found: Vec<&Request> = match o.nature {
            Nature::Gone if o.direct => {
                let deletes = self.in_time(o).into_iter();
                deletes.filter(|request| proves_deletion(request, o)).collect()
            }
            Nature::Gone | Nature::Finished => return None,
            _ => {
                let shown = self.records.of_version(&o.uid, &o.version).into_iter();
                shown.filter(|request| request.received <= until && fits(request, o)).collect()
            }
        };
        let first = *found.first()?;
        let created = o.nature == Nature::Added && first.created;
        if !o.direct && !created {
            return None;
        }
        if self.own_like(first) && self.in_flight.contains_key(&o.key) {
            return None;
        }
        let wrote = first.created || first.deletes() || first.is_noted(o);
        let perhaps = explains(&first.reach, &first.subresource, &o.change) == Explains::Perhaps;
        let perhaps = o.nature == Nature::Changed && perhaps;
        if (perhaps || !wrote) && !self.has_heard(o, !wrote) {
            // A request that changed nothing has the same answer: the one that did is waited for.
            return None;
        }
        // Who came later and changed nothing is shown the same version; who came at the same time
        // cannot be told from the one who changed it.
        let rivals = found[1..].iter().copied();
        let rivals = rivals.filter(|other| {
            let parallel = o.nature == Nature::Gone || first.overlaps(other);
            parallel && !first.same_actor(other)
        });
        let candidates: Vec<&Request> = std::iter::once(first).chain(rivals).collect();
        Some(if candidates.len() == 1 {
            self.finding(o, Verdict::Exact, &candidates, "")
        } else {
            self.finding(o, Verdict::Ambiguous, &candidates, "several at the same time")
        })
    }

    /// Whether what else was written at that time would be known: by what was read, and, if it
    /// must be `certain`, by nothing that is missing. A webhook may always lose some.
    fn has_heard(&self, o: &Observation, certain: bool) -> bool {
        let reading = &self.reading;
        let by_file = reading.passed > Timestamp::default();
        if certain && by_file {
            return self.incomplete(o).is_none();
        }
        reading.heard_by_all() >= o.recorded.plus_ms(SKEW_MS)
    }

    fn own_like(&self, request: &Request) -> bool {
        request.audit_id.strip_prefix(&self.ledger).is_some_and(|rest| rest.starts_with('-'))
    }

    /// Matches the changes of an object that were seen one by one with the requests of that time,
    /// in order: each change was made by a request of its own.
    fn by_order(&self, o: &Observation) -> Option<Finding> {
        let chain = self.chains.get(&o.key)?;
        let chain: Vec<&Observation> =
            chain.iter().rev().take(CHAIN_MAX).filter_map(|seq| self.observed.get(seq)).collect();
        let chain = chain.into_iter().rev();
        let of_its_own =
            |other: &&Observation| other.direct && !other.change.status && !other.ends_grace();
        let chain: Vec<&Observation> = chain.filter(of_its_own).collect();
        let requests = self.records.of_object(&o.key);
        let target = chain.iter().position(|other| other.seq == o.seq)?;
        let can = |index: usize, request: &Request| self.can(request, chain[index]);
        let (mut next, mut earliest) = (0, None);
        for index in 0..=target {
            let found = (next..requests.len()).find(|at| can(index, requests[*at]));
            if let Some(at) = found {
                next = at + 1;
            }
            earliest = found;
        }
        let (mut end, mut latest) = (requests.len(), None);
        for index in (target..chain.len()).rev() {
            let found = (0..end).rev().find(|at| can(index, requests[*at]));
            if let Some(at) = found {
                end = at;
            }
            latest = found;
        }
        let (Some(earliest), Some(latest)) = (earliest, latest) else {
            // Some change has no request of its own: the order tells nothing.
            let all: Vec<_> = requests.into_iter().filter(|request| self.can(request, o)).collect();
            let others = chain.iter().filter(|other| other.seq != o.seq);
            let mut others = others.filter(|other| !other.is_explained());
            if others.any(|other| all.iter().any(|request| self.can(request, other))) {
                let why = "it may as well have made another change, of which no record is known";
                return (!all.is_empty()).then(|| self.finding(o, Verdict::Ambiguous, &all, why));
            }
            return self.one_of(o, &all);
        };
        let (from, to) = (earliest.min(latest), earliest.max(latest));
        let between = requests.iter().enumerate().filter(|(at, request)| {
            let near = (from..=to).contains(at)
                || requests[from].overlaps(request)
                || requests[to].overlaps(request);
            near && self.can(request, o)
        });
        let between: Vec<&Request> = between.map(|(_, request)| *request).collect();
        self.one_of(o, &between)
    }

    /// A deletion without a further grace period is seen twice: it ends the former one, and removes
    /// the object, of which its answer shows the later version.
    fn by_removal(&self, o: &Observation) -> Option<Finding> {
        let mut able = self.in_time(o);
        able.retain(|request| request.deletes() && !rv_older(&request.version, &o.version));
        self.one_of(o, &able)
    }

    /// Whether a request can have made a change that was seen by itself.
    fn can(&self, request: &Request, o: &Observation) -> bool {
        // What greffier was told that it deleted may have been deleted by others.
        if let State::Own(own) = &o.state
            && !o.nature.deletes()
        {
            return request.audit_id == own.audit_id;
        }
        let shown = request.version.is_empty() || request.version == o.version;
        request.received <= o.recorded.plus_ms(SKEW_MS)
            && request.completed >= o.lower
            && (request.uid.is_empty() || request.uid == o.uid)
            && (shown || o.version.is_empty())
            && fits(request, o)
    }

    /// Everything that can have led to a state that may fold several changes.
    fn by_elimination(&self, o: &Observation) -> Option<Finding> {
        let all = self.within(o);
        let able: Vec<&Request> = all.iter().copied().filter(|request| fits(request, o)).collect();
        if let ([one], [only]) = (all.as_slice(), able.as_slice())
            && one.seq == only.seq
            && only.version == o.version
            && !o.version.is_empty()
            && explains(&only.reach, &only.subresource, &o.change) == Explains::All
        {
            return Some(self.finding(o, Verdict::Exact, &able, ""));
        }
        self.one_of(o, &able)
    }

    /// The requests of the time between the version before and the one that was seen.
    fn within(&self, o: &Observation) -> Vec<&Request> {
        let mut all = self.in_time(o);
        all.retain(|request| {
            let shown = request.version.as_str();
            let before = !o.prior.is_empty() && !rv_older(&o.prior, shown);
            shown.is_empty() || o.version.is_empty() || !before && !rv_older(&o.version, shown)
        });
        all
    }

    /// One of these made the change, as all of them are known.
    fn one_of(&self, o: &Observation, able: &[&Request]) -> Option<Finding> {
        let first = able.first()?;
        let created = o.nature != Nature::Added || able.iter().any(|request| request.created);
        if created && able.iter().all(|other| first.same_actor(other)) {
            let why = "the only request that can have made it; its answer was not recorded";
            return Some(self.finding(o, Verdict::Unique, able, why));
        }
        let why = "several requests can have made it";
        Some(self.finding(o, Verdict::Ambiguous, able, why))
    }

    /// What can be said when nothing more is waited for. `why` = it is dropped before its time.
    pub(super) fn guess(&self, o: &Observation, why: Option<&str>) -> Option<Finding> {
        if let Some(why) = why {
            return Some(self.finding(o, Verdict::Unknown, &[], why));
        }
        if !self.reading.on {
            return None;
        }
        let mut able = self.within(o);
        able.retain(|request| if o.direct { self.can(request, o) } else { fits(request, o) });
        let why = self.incomplete(o).filter(|_| !able.is_empty())?;
        Some(self.finding(o, Verdict::Ambiguous, &able, &why))
    }

    /// Why it is not known that all records of the time of a change are there.
    pub(super) fn incomplete(&self, o: &Observation) -> Option<String> {
        let reading = &self.reading;
        let Some(begun) = reading.begun else {
            return Some("no records were read".to_owned());
        };
        let (passed, until) = (reading.passed(), o.recorded.plus_ms(SKEW_MS));
        if passed < until {
            return Some(if reading.both && reading.passed >= until {
                format!("the webhook sent records up to {passed} only")
            } else if reading.heard > reading.passed {
                "a webhook may lose records".to_owned()
            } else {
                format!("records were read up to {passed} only")
            });
        }
        // The margin for clocks that differ is for what came in between, not for the beginning.
        if o.lower.plus_ms(SKEW_MS) < begun {
            return Some(format!("records are known from {begun} on only"));
        }
        if o.lower < self.records.dropped {
            return Some(format!("records before {} are not at hand", self.records.dropped));
        }
        match &reading.lost {
            Some((at, what)) if *at >= o.lower => {
                Some(format!("records may have been lost at {at}: {what}"))
            }
            _ => None,
        }
    }

    fn finding(
        &self,
        o: &Observation,
        verdict: Verdict,
        requests: &[&Request],
        why: &str,
    ) -> Finding {
        let mut claims: Vec<ActorClaim> = Vec::new();
        for request in requests {
            let same = claims.iter_mut().find(|claim| {
                (&claim.who, &claim.acting_as, &claim.credential)
                    == (&request.claim.who, &request.claim.acting_as, &request.claim.credential)
            });
            match same {
                Some(claim) => claim.evidence.extend(&request.claim.evidence),
                None => {
                    let strength = verdict.strength();
                    claims.push(ActorClaim { strength, ..request.claim.clone() });
                }
            }
        }
        let fields = match requests {
            [one] if o.nature == Nature::Changed => {
                remarks(&one.reach, &one.subresource, &one.webhooks, &o.change)
            }
            _ => Vec::new(),
        };
        let causes = self.causes(o, &claims);
        Finding { verdict, claims, fields, causes, why: why.to_owned() }
    }

    /// What brought the change about in turn.
    fn causes(&self, o: &Observation, claims: &[ActorClaim]) -> Vec<Seq> {
        let mut causes = Vec::new();
        let by = |users: [&str; 2]| claims.iter().any(|claim| users.contains(&claim.who.as_str()));
        if o.nature == Nature::Finished {
            causes.extend(self.deletions.get(&o.uid));
        }
        if o.nature.deletes() && by([COLLECTOR, CONTROLLERS]) {
            causes.extend(self.deletions.get(&o.owner));
        }
        if o.nature.deletes() && by([NAMESPACES, CONTROLLERS]) {
            causes.extend(self.deletions.get(&namespace(o.key.namespace())));
        }
        causes.retain(|cause| *cause != o.seq);
        causes.dedup();
        causes
    }
}

/// Whether the answer to a request shows that it deleted this very object.
fn proves_deletion(request: &Request, o: &Observation) -> bool {
    request.level == AuditLevel::RequestResponse && request.deletes() && request.uid == o.uid
}

/// Whether a request is of a kind that makes such a change.
fn fits(request: &Request, o: &Observation) -> bool {
    let writes = !request.deletes();
    // A write to the status may bring labels and annotations along, if it says so.
    let status = request.subresource == "status";
    let explained = || match explains(&request.reach, &request.subresource, &o.change) {
        Explains::Nothing => false,
        Explains::Perhaps => !status,
        Explains::All | Explains::Some => true,
    };
    match o.nature {
        Nature::Added if o.direct => request.created && writes,
        Nature::Added => writes,
        Nature::Changed if request.deletes() => {
            // A shorter grace period.
            o.deleting && o.change.paths().all(|path| path.starts_with(GRACE))
        }
        Nature::Changed => {
            // Unless a webhook set it: that is not noted.
            let idle = o.is_stamped() && request.set_nothing(o) && request.webhooks.is_empty();
            writes && !request.created && !idle && explained()
        }
        Nature::Managers => writes && !request.created,
        Nature::Deleting | Nature::Gone => request.deletes(),
        Nature::Finished => {
            let reaches = match &request.reach {
                AuditReach::Unknown | AuditReach::Whole => true,
                AuditReach::Fields(places) | AuditReach::Applied(places) => {
                    places.iter().any(|place| place.starts_with(".metadata.finalizers"))
                }
            };
            request.deletes() || writes && !request.created && reaches
        }
    }
}
