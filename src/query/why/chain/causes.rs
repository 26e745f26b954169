//! What an event directly follows from.

use std::collections::BTreeSet;

use super::super::super::text::count;
use super::super::super::{blame, who};
use super::{BEFORE, ChainLink, Walk};
use crate::ledger::event::{
    AppDeclaredV1, AppRefusedV1, AppRemovedV1, DriftDetectedV1, DriftKind, Event, IntentRecordedV1,
    IntentSettledV1, Learned, ObjectGoneV1, Origin, OutcomeRecordedV1, PlanApprovedV1, PlanGatedV1,
    RecoveryOutcomeV1, Verb, Verdict, Write,
};
use crate::ledger::frame::CAUSES_MAX;
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, ObjectKey, Seq};

/// How many events about a commit are searched for the one that recorded it.
const ABOUT_COMMIT_READ: usize = 512;
/// How many records of requests are told of an attribution.
const EVIDENCE_MAX: usize = 4;
/// Of how many fields of a drift it is told who changed them.
const DRIFTED_MAX: usize = 3;
/// How many turns of objects are looked at for that of their application.
const TURNS_MAX: usize = 50;

/// Why nothing says how an object went.
const NOT_LISTED: &str = "a list did not show it any more: when it went, and who deleted it, was \
     not seen";

/// What something follows from.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// An event.
    Event {
        seq: Seq,
        /// The object that it is asked about.
        key: Option<ObjectKey>,
        /// The commit that it comes from, where a render is reached and another commit is known.
        commit: Option<FromCommit>,
        /// How sure it is, where that is not what the event itself says.
        certainty: Option<&'static str>,
        /// Whether its own causes are left out.
        last: bool,
    },
    /// What is in no event.
    Told(Box<ChainLink>),
}

/// The commit that a value or a removal comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FromCommit {
    /// The commit; `None` = no commit did it, or it is not known.
    pub(super) commit: Option<CommitId>,
    /// What is to be said about it.
    pub(super) note: String,
}

impl Cause {
    pub(super) fn event(seq: Seq, key: Option<ObjectKey>) -> Self {
        Self::Event { seq, key, commit: None, certainty: None, last: false }
    }

    pub(super) fn from_commit(seq: Seq, key: &ObjectKey, commit: Option<FromCommit>) -> Self {
        Self::Event { seq, key: Some(key.clone()), commit, certainty: None, last: false }
    }

    pub(super) fn last(seq: Seq) -> Self {
        Self::Event { seq, key: None, commit: None, certainty: None, last: true }
    }

    pub(super) fn before(seq: Seq) -> Self {
        Self::Event { seq, key: None, commit: None, certainty: Some(BEFORE), last: false }
    }

    fn told(kind: &str, what: impl Into<String>) -> Self {
        Self::Told(Box::new(ChainLink::told(kind, what, "unknown")))
    }
}

impl Walk<'_> {
    /// What an event follows from, as far as it concerns the object. `commit` is passed on to the
    /// render that is reached.
    pub(super) fn causes(
        &mut self,
        recorded: &Recorded,
        key: Option<&ObjectKey>,
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let Some(event) = &recorded.event else { return Ok(Vec::new()) };
        let seq = recorded.seq();
        let on = |seq: Seq| Cause::Event {
            seq,
            key: key.cloned(),
            commit: commit.clone(),
            certainty: None,
            last: false,
        };
        let plain = |seqs: &[Seq]| seqs.iter().map(|seq| Cause::event(*seq, None)).collect();
        Ok(match event {
            Event::ObjectObserved(_) => self.of_observation(recorded, commit)?,
            Event::ObjectGone(body) => self.of_end(recorded, body)?,
            Event::OutcomeRecorded(OutcomeRecordedV1 { intent, .. })
            | Event::IntentSettled(IntentSettledV1 { intent, .. }) => vec![on(*intent)],
            Event::IntentRecorded(body) => self.of_intent(recorded, body, key, commit)?,
            Event::DriftDetected(body) => self.of_drift(body)?,
            Event::AuditGapSuspected(body) => vec![on(body.observation)],
            Event::AttributionResolved(body) => {
                let evidence = body.claims.iter().flat_map(|claim| &claim.evidence);
                let evidence = evidence.take(EVIDENCE_MAX).map(|seq| Cause::last(*seq));
                let mut causes = vec![Cause::last(body.observation)];
                causes.extend(evidence);
                causes.extend(body.causes.iter().map(|seq| Cause::event(*seq, None)));
                causes
            }
            Event::RenderSucceeded(_)
            | Event::RevisionAdvanced(_)
            | Event::RenderFailed(_)
            | Event::RefMoved(_) => self.of_git(event, seq, commit)?,
            Event::PlanApproved(body) => {
                self.gate(body, seq)?.map(|(seq, _)| on(seq)).into_iter().collect()
            }
            Event::HoldBegun(body) => vec![on(body.from.seq())],
            Event::HoldEnded(body) => plain(&body.holds),
            Event::AppHeld(body) => {
                let from = body.automatic.iter();
                let from = from.flat_map(|from| from.health.into_iter().chain([from.render]));
                plain(&from.chain([body.desired.seq]).collect::<Vec<_>>())
            }
            Event::AutoRollbackRefused(body) => {
                plain(&body.from.health.into_iter().chain([body.from.render]).collect::<Vec<_>>())
            }
            Event::AppHoldEnded(body) => plain(&[body.hold]),
            Event::RecoveryOutcome(body) => self.of_replay(body, key, commit)?,
            Event::RestoreIntended(body) => vec![on(body.from.seq())],
            Event::RestoreEnded(body) => plain(&[body.restore]),
            Event::AppRemoved(body) => self.of_removal(recorded, body)?,
            Event::AppDeclared(AppDeclaredV1 { origin, .. })
            | Event::AppRefused(AppRefusedV1 { origin, .. }) => self.of_parent(origin, seq)?,
            Event::SyncFinished(body) => {
                let asked = [body.request, body.approval].into_iter().flatten();
                let causes: Vec<Seq> =
                    asked.chain(recorded.envelope.causes.iter().copied()).collect();
                plain(&causes)
            }
            Event::AppHealthChanged(body) => {
                let turned = self.turned(&body.app, seq)?;
                turned.map(Cause::before).into_iter().collect()
            }
            _ => plain(&recorded.envelope.causes),
        })
    }

    /// The changes that a drift is made of. What shows the drift may be a later version, which
    /// somebody made who has nothing to do with it: the fields themselves say who changed them.
    fn of_drift(&mut self, body: &DriftDetectedV1) -> Result<Vec<Cause>, ledger::Error> {
        if body.kind == DriftKind::Deleted {
            return Ok(vec![match who::went(self.book, body)? {
                Some(went) => Cause::event(went, Some(body.key.clone())),
                None => Cause::told("gap", NOT_LISTED),
            }]);
        }
        let mut made = BTreeSet::new();
        let changed = matches!(body.kind, DriftKind::Drift | DriftKind::Addition);
        for field in body.fields.iter().take(DRIFTED_MAX).filter(|_| changed) {
            let until = body.observation;
            made.extend(blame::introduced(self.book, &body.key, &field.path, until)?);
        }
        if changed && body.fields.len() > DRIFTED_MAX {
            let (all, key) = (body.fields.len(), &body.key);
            self.bounds.insert(format!("{DRIFTED_MAX} of {all} changed fields of {key} are told"));
        }
        if made.is_empty() {
            made.insert(body.observation);
        }
        Ok(made.into_iter().rev().map(|seq| Cause::event(seq, Some(body.key.clone()))).collect())
    }

    /// What a write of a replay follows from: the render that wanted the object so, and whoever
    /// began the replay.
    fn of_replay(
        &mut self,
        body: &RecoveryOutcomeV1,
        key: Option<&ObjectKey>,
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let intent = self.book.get(body.intent)?;
        let writes = match intent.as_ref().and_then(|recorded| recorded.event.as_ref()) {
            Some(Event::RecoveryIntent(intent)) => intent.writes.as_slice(),
            _ => &[],
        };
        let write = key.and_then(|key| writes.iter().find(|write| write.key == *key));
        let render = write.and_then(|write| Some((write.render?, &write.key)));
        let render = render.map(|(render, key)| Cause::from_commit(render, key, commit));
        Ok(render.into_iter().chain([Cause::event(body.recovery, None)]).collect())
    }

    /// What a render or a ref follows from.
    fn of_git(
        &mut self,
        event: &Event,
        seq: Seq,
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let (mut causes, declared) = match event {
            Event::RenderSucceeded(body) => {
                (self.of_commit(&body.revision.commit, seq, commit)?, body.declared)
            }
            Event::RevisionAdvanced(body) => {
                (self.of_commit(&body.revision.commit, seq, commit)?, body.declared)
            }
            Event::RenderFailed(body) => {
                let failed = body.commit.as_ref();
                let causes = failed.map(|failed| self.of_commit(failed, seq, None)).transpose()?;
                (causes.unwrap_or_default(), body.declared)
            }
            Event::RefMoved(body) => {
                let new = body.new.as_ref().map(|new| self.committed(new)).transpose()?;
                return Ok(new.flatten().map(Cause::last).into_iter().collect());
            }
            _ => return Ok(Vec::new()),
        };
        causes.push(Cause::last(declared));
        Ok(causes)
    }

    fn of_observation(
        &mut self,
        recorded: &Recorded,
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let Some(Event::ObjectObserved(body)) = &recorded.event else { return Ok(Vec::new()) };
        let Some(known) = who::who(self.book, recorded.seq(), None)? else { return Ok(Vec::new()) };
        if let Some(own) = &known.own {
            return Ok(vec![Cause::from_commit(own.outcome, &body.key, commit)]);
        }
        let mut causes = of_change(&known);
        if body.learned == Learned::Listed {
            causes.extend(self.unseen(&body.key, recorded.seq())?);
        }
        Ok(causes)
    }

    fn of_end(
        &mut self,
        recorded: &Recorded,
        body: &ObjectGoneV1,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let seq = recorded.seq();
        let Some(known) = who::who(self.book, seq, None)? else { return Ok(Vec::new()) };
        if let Some(own) = &known.own {
            return Ok(vec![Cause::event(own.outcome, Some(body.key.clone()))]);
        }
        let mut causes = of_change(&known);
        // Without a record of who it was, that an owner went before is all that is known.
        if known.causes.is_empty()
            && matches!(known.verdict, Verdict::Unknown | Verdict::FieldManager)
        {
            causes.extend(self.owner_went(body, seq)?.map(Cause::before));
        }
        if body.learned == Learned::Listed {
            causes.extend(self.unseen(&body.key, seq)?);
        }
        Ok(causes)
    }

    /// What was not watched as it happened lies between two events.
    fn unseen(&mut self, key: &ObjectKey, seq: Seq) -> Result<Option<Cause>, ledger::Error> {
        let tells = |recorded: &Recorded| match &recorded.event {
            Some(Event::ObjectObserved(_) | Event::ObjectGone(_)) => Some(recorded.seq()),
            _ => None,
        };
        let before = self.last(SubjectKey::object(key), seq, tells)?;
        let what = match before {
            Some(before) => format!(
                "it happened between #{before} and #{seq}, which was not watched; changes that were \
                 undone in between are not known"
            ),
            None => format!("it is as old as #{seq} or older: nothing was watched before"),
        };
        Ok(Some(Cause::told("gap", what)))
    }

    /// The event that shows that the owner of an object which went was deleted.
    fn owner_went(&mut self, body: &ObjectGoneV1, gone: Seq) -> Result<Option<Seq>, ledger::Error> {
        let owner =
            self.last(SubjectKey::object(&body.key), gone, |recorded| match &recorded.event {
                Some(Event::ObjectObserved(seen)) if seen.uid == body.uid => {
                    Some(seen.controller.clone())
                }
                _ => None,
            })?;
        let Some(Some((kind, name, uid))) = owner else { return Ok(None) };
        let owner = ObjectKey::new(&kind.group, &kind.kind, body.key.namespace(), &name);
        self.last(SubjectKey::object(&owner), gone, |recorded| match &recorded.event {
            Some(Event::ObjectGone(owner)) if owner.uid == uid => Some(recorded.seq()),
            Some(Event::ObjectObserved(owner)) if owner.uid == uid && owner.deleting => {
                Some(recorded.seq())
            }
            _ => None,
        })
    }

    fn of_intent(
        &mut self,
        recorded: &Recorded,
        body: &IntentRecordedV1,
        key: Option<&ObjectKey>,
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let write = key.and_then(|key| body.writes.iter().find(|write| write.key == *key));
        let prunes = body.writes.iter().any(|write| write.verb == Verb::Prune);
        let removed = if prunes { self.removed(&body.app, recorded.seq())? } else { None };
        let mut causes = Vec::new();
        let (mut asked, mut drifts) = (Vec::new(), Vec::new());
        for seq in &recorded.envelope.causes {
            let Some(cause) = self.book.get(*seq)? else { continue };
            match &cause.event {
                Some(Event::RenderSucceeded(_) | Event::RevisionAdvanced(_)) => {
                    let asked = (write, removed.is_some());
                    causes.extend(self.of_write(*seq, body, asked, commit.clone())?);
                }
                Some(Event::PlanApproved(approved)) => {
                    if self.approves(approved, *seq, write)? {
                        asked.push(Cause::event(*seq, key.cloned()));
                    }
                }
                Some(Event::DriftDetected(drift)) => {
                    if key.is_none_or(|key| drift.key == *key) {
                        drifts.push(Cause::event(*seq, Some(drift.key.clone())));
                    }
                }
                _ => asked.push(Cause::event(*seq, None)),
            }
        }
        let writes = body.writes.iter().filter(|write| key.is_none_or(|key| write.key == *key));
        let healed = writes.clone().filter(|write| write.verb == Verb::Heal).count();
        let holds = writes.flat_map(|write| &write.holds);
        let untold = healed.saturating_sub(drifts.len());
        causes.extend(drifts);
        if untold > 0 && recorded.envelope.causes.len() >= CAUSES_MAX {
            causes.push(Cause::told(
                "unknown",
                format!(
                    "{} that it puts back are not named: an event names {CAUSES_MAX} causes at most",
                    count(untold, "more drift")
                ),
            ));
        }
        causes.extend(holds.map(|hold| Cause::event(*hold, None)));
        causes.extend(asked);
        causes.extend(removed.map(|seq| Cause::event(seq, None)));
        Ok(causes)
    }

    /// What removed an application: the rollback because of which it goes, or the render that does not
    /// have it, with the release since which that is in force.
    fn of_removal(
        &mut self,
        recorded: &Recorded,
        body: &AppRemovedV1,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let (mut causes, mut held) = (Vec::new(), false);
        for seq in &recorded.envelope.causes {
            let cause = self.book.get(*seq)?;
            let event = cause.as_ref().and_then(|cause| cause.event.as_ref());
            held |= matches!(event, Some(Event::AppHeld(_)));
            causes.push(Cause::event(*seq, None));
        }
        if !held {
            causes.extend(self.of_parent(&body.origin, recorded.seq())?);
        }
        Ok(causes)
    }

    /// The render that asks for a write; of a prune the one that no longer had the object. What goes
    /// with its application, which is `removed`, goes for the reason of that.
    fn of_write(
        &mut self,
        render: Seq,
        body: &IntentRecordedV1,
        (write, removed): (Option<&Write>, bool),
        commit: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let Some(write) = write else {
            return Ok((!removed).then(|| Cause::event(render, None)).into_iter().collect());
        };
        if write.verb != Verb::Prune {
            return Ok(vec![Cause::from_commit(render, &write.key, commit)]);
        }
        Ok(match self.dropped(&body.app, &write.key, render)? {
            Some((render, commit)) => vec![Cause::from_commit(render, &write.key, Some(commit))],
            None if removed => Vec::new(),
            None => vec![
                Cause::told("unknown", "which commit dropped it is not known"),
                Cause::event(render, None),
            ],
        })
    }

    /// The gate of a plan that a person approved.
    fn gate(
        &mut self,
        approved: &PlanApprovedV1,
        at: Seq,
    ) -> Result<Option<(Seq, PlanGatedV1)>, ledger::Error> {
        self.last(SubjectKey::app(approved.app.as_str()), at, |recorded| match &recorded.event {
            Some(Event::PlanGated(gated)) if gated.plan == approved.plan => {
                Some((recorded.seq(), gated.clone()))
            }
            _ => None,
        })
    }

    /// Whether what was approved is this write, or the render that asks for it.
    fn approves(
        &mut self,
        approved: &PlanApprovedV1,
        at: Seq,
        write: Option<&Write>,
    ) -> Result<bool, ledger::Error> {
        let Some(write) = write else { return Ok(true) };
        let Some((_, gated)) = self.gate(approved, at)? else { return Ok(false) };
        let this = |gated: &Write| gated.key == write.key && gated.verb == write.verb;
        Ok(gated.render.is_some() || gated.writes.iter().any(this))
    }

    /// That the application was to be removed with its objects, where it was.
    fn removed(&mut self, app: &AppName, before: Seq) -> Result<Option<Seq>, ledger::Error> {
        let last =
            self.last(SubjectKey::app(app.as_str()), before, |recorded| match &recorded.event {
                Some(Event::AppRemoved(body)) if body.app == *app => {
                    Some(body.cascade.then(|| recorded.seq()))
                }
                Some(Event::AppDeclared(body)) if body.app == *app => Some(None),
                _ => None,
            })?;
        Ok(last.flatten())
    }

    /// The commit that a render is of or that a value comes from, and how it came here.
    fn of_commit(
        &mut self,
        rendered: &CommitId,
        at: Seq,
        from: Option<FromCommit>,
    ) -> Result<Vec<Cause>, ledger::Error> {
        let from = from
            .unwrap_or_else(|| FromCommit { commit: Some(rendered.clone()), note: String::new() });
        let mut causes = Vec::new();
        if let Some(commit) = &from.commit {
            causes.push(match self.committed(commit)? {
                // One that greffier made follows from what somebody asked for.
                Some(seq) => Cause::event(seq, None),
                None => {
                    let short = commit.short();
                    Cause::told("unknown", format!("who made commit {short} is not in the ledger"))
                }
            });
        }
        if !from.note.is_empty() {
            causes.push(Cause::told("unknown", format!("of the commit: {}", from.note)));
        }
        let moved = |recorded: &Recorded| match &recorded.event {
            Some(Event::RefMoved(body)) if body.new.as_ref() == Some(rendered) => {
                Some(recorded.seq())
            }
            _ => None,
        };
        causes
            .extend(self.last(SubjectKey::commit(rendered.as_str()), at, moved)?.map(Cause::last));
        Ok(causes)
    }

    fn committed(&self, commit: &CommitId) -> Result<Option<Seq>, ledger::Error> {
        for seq in self.book.find(SubjectKey::commit(commit.as_str()), Seq::ZERO, ABOUT_COMMIT_READ)
        {
            let recorded = self.book.get(seq)?;
            let is = |recorded: &Recorded| match &recorded.event {
                Some(Event::CommitRecorded(body)) => body.commit == *commit,
                _ => false,
            };
            if recorded.as_deref().is_some_and(is) {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// The render of the application that defined or removed another one.
    fn of_parent(&mut self, origin: &Origin, before: Seq) -> Result<Vec<Cause>, ledger::Error> {
        let Origin::Parent(parent) = origin else { return Ok(Vec::new()) };
        let render =
            self.last(SubjectKey::app(parent.as_str()), before, |recorded| {
                match &recorded.event {
                    Some(Event::RenderSucceeded(body)) if body.app == *parent => {
                        Some(recorded.seq())
                    }
                    _ => None,
                }
            })?;
        Ok(render.map(|render| Cause::event(render, None)).into_iter().collect())
    }

    /// The last turn of an object before its application's.
    fn turned(&mut self, app: &AppName, before: Seq) -> Result<Option<Seq>, ledger::Error> {
        let mut left = TURNS_MAX;
        let found = self.last(SubjectKey::app(app.as_str()), before, |recorded| {
            left = left.saturating_sub(1);
            match &recorded.event {
                Some(Event::ObjectHealthChanged(body)) if body.app == *app => {
                    Some(Some(recorded.seq()))
                }
                _ => (left == 0).then_some(None),
            }
        })?;
        Ok(found.flatten())
    }
}

/// What a change by somebody else follows from.
fn of_change(known: &who::Who) -> Vec<Cause> {
    let causes = known.causes.iter().map(|cause| Cause::event(*cause, None));
    causes.chain(known.gap.filter(|_| known.attribution.is_none()).map(Cause::last)).collect()
}
