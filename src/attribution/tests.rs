//! Every rule of attribution, and the traps.

mod audit;
mod deletions;
mod own;
mod traps;

use super::*;
use crate::ledger::event::{
    Applied, AuditLevel, AuditReach, AuditReceivedV1, AuditTroubledV1, AuditUser, Health, Learned,
    ManagerStamp, OutcomeRecordedV1, Verdict, Write,
};
use crate::ledger::samples;
use crate::model::{Digest, Protection};

pub(super) const LEDGER: &str = "0198a000-0000-7000-8000-000000000001";

pub(super) fn web() -> ObjectKey {
    "Deployment.apps/prod/web".parse().unwrap()
}

pub(super) fn stamp(manager: &str, at: i64) -> ManagerStamp {
    ManagerStamp {
        manager: manager.into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: Some(Timestamp::from_seconds(at)),
        fields: Digest([7; 32]),
    }
}

/// An observation of `web`, of uid `u`.
pub(super) fn seen(version: u64) -> ObjectObservedV1 {
    ObjectObservedV1 {
        digest: Digest::of(&version.to_be_bytes()),
        object: BlobAddr::of(&version.to_be_bytes()),
        managers: vec![stamp("kubectl-edit", 1)],
        ..ObjectObservedV1::plain(web(), "u", &version.to_string())
    }
}

/// A change of these fields.
pub(super) fn sets(paths: &[&str]) -> Change {
    Change { set: paths.iter().map(|path| (*path).to_owned()).collect(), ..Change::default() }
}

/// A ledger and its machine. Times are in seconds.
pub(super) struct Story {
    pub(super) machine: Machine,
    pub(super) seq: u64,
    pub(super) at: i64,
    /// What was said, with its number.
    pub(super) said: Vec<(Seq, Event)>,
}

impl Story {
    /// One in which records are read.
    pub(super) fn new() -> Self {
        let mut story = Self::unaudited();
        story.machine.sources = Sources { file: true, webhook: false };
        story.machine.reading.on = true;
        story.fold(&AuditReadV1 { newest: None, ..story.reading(0) }.into());
        story
    }

    pub(super) fn unaudited() -> Self {
        let machine = Machine::new(LEDGER, Sources::default(), Timestamp::default());
        Self { machine, seq: 0, at: 1_000, said: Vec::new() }
    }

    fn reading(&self, newest: i64) -> AuditReadV1 {
        AuditReadV1 {
            source: "f".into(),
            file: (1, 1),
            offset: 1,
            records: 1,
            recorded: 1,
            duplicates: 0,
            status: 0,
            unknown: 0,
            newest: Some(Timestamp::from_seconds(newest)),
            end: None,
        }
    }

    /// Folds an event at the story's time.
    pub(super) fn fold(&mut self, event: &Event) -> Seq {
        self.fold_with(event, None)
    }

    fn fold_with(&mut self, event: &Event, change: Option<Change>) -> Seq {
        self.seq += 1;
        self.machine.fold(Seq(self.seq), Timestamp::from_seconds(self.at), event, change);
        Seq(self.seq)
    }

    /// Decides, and folds what was said.
    pub(super) fn settle(&mut self) -> &mut Self {
        for draft in self.machine.settle(Timestamp::from_seconds(self.at)) {
            let seq = self.fold(&draft.event);
            self.said.push((seq, draft.event));
        }
        self
    }

    /// The object is there, as it was long ago.
    pub(super) fn known(&mut self, version: u64) {
        let body = seen(version);
        let prior = Prior::of_observed(Timestamp::from_seconds(self.at - 500), &body);
        self.machine.learn(&web(), Some(prior));
    }

    pub(super) fn observe(&mut self, mut body: ObjectObservedV1, change: Change) -> Seq {
        // Whoever is recorded now wrote it, if the test says nothing else.
        let now = Some(Timestamp::from_seconds(self.at - 1));
        let written = body.managers.iter_mut().filter(|entry| entry.manager == "kubectl-edit");
        let told = |entry: &&mut ManagerStamp| entry.time == Some(Timestamp::from_seconds(1));
        written.filter(told).for_each(|entry| entry.time = now);
        if !self.machine.knows(&body.key) {
            self.machine.learn(&body.key, None);
        }
        let change = self.machine.compares(&body).is_some().then_some(change);
        let seq = self.fold_with(&body.into(), change);
        self.settle();
        seq
    }

    /// A change of `paths` is seen.
    pub(super) fn see(&mut self, version: u64, paths: &[&str]) -> Seq {
        self.observe(seen(version), sets(paths))
    }

    /// A request is recorded that was carried out now.
    pub(super) fn record(&mut self, edit: impl FnOnce(&mut AuditReceivedV1)) -> Seq {
        let mut body = AuditReceivedV1 {
            audit_id: "a".into(),
            subresource: String::new(),
            impersonated: None,
            received: Timestamp(self.at * 1_000_000_000 - 20_000_000),
            completed: Timestamp(self.at * 1_000_000_000 - 10_000_000),
            uid: "u".into(),
            key: web(),
            resource_version: String::new(),
            webhooks: Vec::new(),
            ..samples::received()
        };
        edit(&mut body);
        self.fold(&body.into())
    }

    /// `user` changed `paths` and is answered with this version.
    pub(super) fn patched(&mut self, user: &str, version: u64, paths: &[&str]) -> Seq {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.record(|body| {
            name(body, user);
            body.resource_version = version.to_string();
            body.reach = AuditReach::Fields(paths);
        })
    }

    /// The same, of which the answer is not recorded.
    pub(super) fn patched_unseen(&mut self, user: &str, paths: &[&str]) -> Seq {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.record(|body| {
            name(body, user);
            body.level = AuditLevel::Request;
            body.reach = AuditReach::Fields(paths);
        })
    }

    /// Records are read up to so many seconds after now, and what follows is decided.
    pub(super) fn read_to(&mut self, ahead: i64) {
        let read = self.reading(self.at + ahead);
        self.fold(&read.into());
        self.settle();
    }

    pub(super) fn later(&mut self, seconds: i64) {
        self.at += seconds;
        self.settle();
    }

    /// What is known of an observation now: verdict and names.
    pub(super) fn who(&self, observation: Seq) -> Option<(Verdict, Vec<String>)> {
        let body = self.resolved(observation)?;
        Some((body.verdict, body.claims.iter().map(|claim| claim.who.clone()).collect()))
    }

    pub(super) fn resolved(&self, observation: Seq) -> Option<&AttributionResolvedV1> {
        self.said.iter().rev().find_map(|(_, event)| match event {
            Event::AttributionResolved(body) if body.observation == observation => Some(body),
            _ => None,
        })
    }

    pub(super) fn gaps(&self) -> usize {
        let gaps = self.said.iter().filter(|(_, event)| event.name() == "audit.gap-suspected");
        gaps.count()
    }
}

pub(super) fn name(body: &mut AuditReceivedV1, user: &str) {
    *body = AuditReceivedV1 {
        user: AuditUser { name: user.into(), ..AuditUser::default() }.into(),
        ..body.clone()
    };
}

pub(super) fn is(verdict: Verdict, names: &[&str]) -> Option<(Verdict, Vec<String>)> {
    Some((verdict, names.iter().map(|name| (*name).to_owned()).collect()))
}
