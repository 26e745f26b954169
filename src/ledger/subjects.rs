//! What an event is about: which objects, applications and commits find it in the indexes.
//!
//! A pure function with an exhaustive match: a new event must be considered here. A change of
//! this function takes effect for old events when the index is rebuilt, so it comes with a new
//! `INDEX_VERSION`.

use std::collections::BTreeSet;

use super::event::{
    Event, HoldOf, IntentRecordedV1, IntentSettledV1, Origin, OutcomeRecordedV1, PlanGatedV1,
    RecoveryResult, RestoreResult, Write,
};
use crate::model::{AppName, CommitId, GroupKind, ObjectKey, Seq};

/// The version of what this function says; an index that was built by another is rebuilt.
pub const INDEX_VERSION: u32 = 14;

/// What finds events that are about none of these, or that are looked for in another way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Names that people gave to instants.
    Marks,
    /// Whether the cluster was watched at all: starts, stops, its reach, what it serves.
    Watching,
    /// Which cluster it is that is watched.
    Identity,
    /// Whether a kind was watched, of any kind.
    Kinds,
    /// Whether this kind was watched.
    Kind(GroupKind),
    /// Where the ref of this full name was moved to, in any repository.
    Ref(String),
    /// That greffier meant to write this object.
    Written(ObjectKey),
    /// That greffier meant to write an object of this namespace.
    WrittenIn(String),
    /// How the writes of the intent at this position ended.
    Intent(Seq),
    /// What was found out about who made the change that the event at this position shows.
    Shown(Seq),
    /// What was replayed onto other clusters.
    Recoveries,
    /// That a replay or a restore wrote the object with this uid.
    Brought(String),
    /// What pods ran under this name of an image.
    Image(String),
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subjects {
    /// The objects.
    pub objects: Vec<ObjectKey>,
    /// The applications.
    pub apps: Vec<AppName>,
    /// The commits.
    pub commits: Vec<CommitId>,
    /// What else finds it.
    pub topics: Vec<Topic>,
}

impl Subjects {
    fn app(app: &AppName) -> Self {
        Self { apps: vec![app.clone()], ..Self::default() }
    }

    /// The refused name may be no name at all; then only its origin finds it.
    fn refused(app: &str) -> Self {
        app.parse::<AppName>().map(|app| Self::app(&app)).unwrap_or_default()
    }

    fn object(key: &ObjectKey) -> Self {
        Self { objects: vec![key.clone()], ..Self::default() }
    }

    fn with_origin(mut self, origin: &Origin) -> Self {
        self.apps.extend(origin.parent().cloned());
        self
    }

    fn with_commits<'a>(mut self, commits: impl IntoIterator<Item = &'a CommitId>) -> Self {
        self.commits.extend(commits.into_iter().cloned());
        self
    }

    fn object_of(app: &AppName, key: &ObjectKey) -> Self {
        Self { apps: vec![app.clone()], ..Self::object(key) }
    }

    fn with_objects<'a>(mut self, keys: impl IntoIterator<Item = &'a ObjectKey>) -> Self {
        self.objects.extend(keys.into_iter().cloned());
        self
    }

    fn topic(topic: Topic) -> Self {
        Self { topics: vec![topic], ..Self::default() }
    }

    /// Which cluster it is that is watched.
    fn of_cluster() -> Self {
        Self { topics: vec![Topic::Watching, Topic::Identity], ..Self::default() }
    }

    fn of_intent(app: &AppName, intent: Seq) -> Self {
        Self { topics: vec![Topic::Intent(intent)], ..Self::app(app) }
    }

    fn of_shown(key: &ObjectKey, observation: Seq) -> Self {
        Self { topics: vec![Topic::Shown(observation)], ..Self::object(key) }
    }

    fn of_kind(kind: &GroupKind) -> Self {
        Self { topics: vec![Topic::Kinds, Topic::Kind(kind.clone())], ..Self::default() }
    }

    fn with_writes(self, writes: &[Write]) -> Self {
        self.with_objects(writes.iter().map(|write| &write.key))
    }
}

/// What `event` is about.
///
/// A render is found by its application and commit, not by its thousands of objects. An outcome
/// is found by its application and by its intent, which has the objects.
#[must_use]
pub fn subjects(event: &Event) -> Subjects {
    match event {
        Event::LedgerCreated(_)
        | Event::LedgerRepaired(_)
        | Event::ConfigLoaded(_)
        | Event::FetchFailed(_)
        | Event::FetchRecovered(_)
        | Event::FetchUnchanged(_)
        | Event::ProgramsFound(_)
        | Event::DeadlineReached(_) => Subjects::default(),
        Event::AuditRead(_) | Event::AuditTroubled(_) => Subjects::default(),
        Event::ClusterIdentified(_) | Event::ClusterReplaced(_) | Event::ClusterReverted(_) => {
            Subjects::of_cluster()
        }
        Event::ClusterAccepted(_) => Subjects::topic(Topic::Identity),
        Event::DaemonStarted(_)
        | Event::DaemonStopped(_)
        | Event::ClusterLost(_)
        | Event::ClusterFound(_)
        | Event::KindsServed(_) => Subjects::topic(Topic::Watching),
        Event::KindListed(body) => Subjects::of_kind(&body.kind),
        Event::WatchGap(body) => Subjects::of_kind(&body.kind),
        Event::CommitRecorded(_)
        | Event::RefMoved(_)
        | Event::HistoryRewritten(_)
        | Event::HistoryImported(_) => of_git(event),
        Event::PushIntended(_) | Event::PushEnded(_) => of_git(event),
        Event::AppDeclared(_) | Event::AppRemoved(_) | Event::AppRefused(_) => of_definition(event),
        Event::RenderSucceeded(_)
        | Event::RevisionAdvanced(_)
        | Event::RenderFailed(_)
        | Event::SyncFinished(_)
        | Event::RenderVaried(_) => of_render(event),
        Event::AppHealthChanged(body) => Subjects::app(&body.app),
        Event::PlanGated(_)
        | Event::GateLapsed(_)
        | Event::PlanApproved(_)
        | Event::RemovalAwaited(_)
        | Event::WritesSuspended(_) => of_plan(event),
        Event::ObjectHealthChanged(_)
        | Event::DriftDetected(_)
        | Event::ObjectPreviewed(_)
        | Event::IgnoreChecked(_)
        | Event::IgnoreFailed(_)
        | Event::ContestNamed(_)
        | Event::ContestEnded(_)
        | Event::ReplicasLeft(_) => of_object(event),
        Event::IntentRecorded(body) => of_intent(body),
        Event::OutcomeRecorded(_) | Event::IntentSettled(_) => of_ends(event),
        Event::ObjectObserved(_)
        | Event::ObjectGone(_)
        | Event::AuditReceived(_)
        | Event::AttributionResolved(_)
        | Event::AuditGapSuspected(_) => of_cluster(event),
        Event::SyncRequested(_)
        | Event::Paused(_)
        | Event::Resumed(_)
        | Event::Frozen(_)
        | Event::Unfrozen(_)
        | Event::Marked(_)
        | Event::AppHeld(_)
        | Event::AppHoldEnded(_)
        | Event::AutoRollbackRefused(_) => of_people(event),
        Event::HoldBegun(_) | Event::HoldEnded(_) => of_people(event),
        Event::RestoreIntended(_) | Event::RestoreEnded(_) => of_people(event),
        Event::RecoveryBegun(_) | Event::RecoveryIntent(_) => of_recovery(event),
        Event::RecoveryOutcome(_) | Event::RecoveryFinished(_) => of_recovery(event),
        Event::RecoveryAbandoned(_) => of_recovery(event),
    }
}

/// What Git has.
fn of_git(event: &Event) -> Subjects {
    match event {
        Event::CommitRecorded(body) => Subjects::default().with_commits([&body.commit]),
        Event::RefMoved(body) => Subjects::topic(Topic::Ref(body.name.clone()))
            .with_commits(body.old.iter().chain(&body.new)),
        Event::HistoryRewritten(body) => Subjects::default()
            .with_commits([&body.old, &body.new].into_iter().chain(&body.dropped)),
        Event::HistoryImported(body) => Subjects::default().with_commits(&body.begins_at),
        Event::PushIntended(body) => {
            Subjects::app(&body.app).with_commits([&body.commit, &body.parent])
        }
        Event::PushEnded(body) => Subjects::app(&body.app).with_commits([&body.commit]),
        _ => Subjects::default(),
    }
}

/// What is about to be written.
fn of_intent(body: &IntentRecordedV1) -> Subjects {
    let written = body.writes.iter().map(|write| Topic::Written(write.key.clone()));
    let namespaces = body.writes.iter().map(|write| write.key.namespace());
    let namespaces: BTreeSet<&str> = namespaces.filter(|name| !name.is_empty()).collect();
    let within = namespaces.into_iter().map(|name| Topic::WrittenIn(name.to_owned()));
    let found = Subjects::app(&body.app).with_commits(&body.commit);
    Subjects { topics: written.chain(within).collect(), ..found.with_writes(&body.writes) }
}

/// How writes ended.
fn of_ends(event: &Event) -> Subjects {
    match event {
        Event::OutcomeRecorded(OutcomeRecordedV1 { app, intent, .. })
        | Event::IntentSettled(IntentSettledV1 { app, intent, .. }) => {
            Subjects::of_intent(app, *intent)
        }
        _ => Subjects::default(),
    }
}

/// Which application is defined or not, and what defines it.
fn of_definition(event: &Event) -> Subjects {
    match event {
        Event::AppDeclared(body) => Subjects::app(&body.app).with_origin(&body.origin),
        Event::AppRemoved(body) => {
            Subjects::app(&body.app).with_origin(&body.origin).with_objects(&body.orphans)
        }
        Event::AppRefused(body) => Subjects::refused(&body.app).with_origin(&body.origin),
        _ => Subjects::default(),
    }
}

/// What waits, for approval or for something else.
fn of_plan(event: &Event) -> Subjects {
    match event {
        Event::PlanGated(body) => of_gate(body),
        Event::GateLapsed(body) => Subjects::app(&body.app),
        Event::PlanApproved(body) => Subjects::app(&body.app),
        Event::RemovalAwaited(body) => Subjects::app(&body.app).with_objects(&body.objects),
        Event::WritesSuspended(body) => Subjects::app(&body.app),
        _ => Subjects::default(),
    }
}

/// What waits for approval.
fn of_gate(body: &PlanGatedV1) -> Subjects {
    let mut found = Subjects::app(&body.app).with_commits(&body.commit).with_writes(&body.writes);
    found.apps.extend(body.apps.iter().cloned());
    found
}

/// What a render, or the sync that follows it, is about.
fn of_render(event: &Event) -> Subjects {
    match event {
        Event::RenderSucceeded(body) => {
            Subjects::app(&body.app).with_commits(body.revisions.iter().map(|r| &r.commit))
        }
        Event::RevisionAdvanced(body) => {
            Subjects::app(&body.app).with_commits(body.revisions.iter().map(|r| &r.commit))
        }
        Event::RenderFailed(body) => {
            Subjects::app(&body.app).with_commits(body.commits.iter().flatten())
        }
        Event::SyncFinished(body) => Subjects::app(&body.app).with_commits([&body.commit]),
        Event::RenderVaried(body) => Subjects {
            objects: body.fields.iter().map(|(key, _)| key.clone()).collect(),
            ..Subjects::app(&body.app)
        },
        _ => Subjects::default(),
    }
}

/// What was found about one object of an application, or about what is ignored of them.
fn of_object(event: &Event) -> Subjects {
    match event {
        Event::ObjectHealthChanged(body) => Subjects::object_of(&body.app, &body.key),
        Event::DriftDetected(body) => Subjects::object_of(&body.app, &body.key),
        Event::ObjectPreviewed(body) => Subjects::object_of(&body.app, &body.key),
        Event::IgnoreChecked(body) => Subjects::app(&body.app),
        Event::IgnoreFailed(body) => Subjects::object_of(&body.app, &body.key),
        Event::ContestNamed(body) => Subjects::object_of(&body.app, &body.key),
        Event::ContestEnded(body) => Subjects::object_of(&body.app, &body.key),
        Event::ReplicasLeft(body) => {
            Subjects::app(&body.app).with_objects([&body.key, &body.autoscaler])
        }
        _ => Subjects::default(),
    }
}

/// What is seen of the cluster, what the records of requests are about, and what was found out
/// with them.
fn of_cluster(event: &Event) -> Subjects {
    match event {
        Event::ObjectObserved(body) => {
            let images = body.images.iter().map(|pulled| Topic::Image(pulled.image.clone()));
            Subjects { topics: images.collect(), ..Subjects::object(&body.key) }
        }
        Event::ObjectGone(body) => Subjects::object(&body.key),
        Event::AuditReceived(body) => Subjects::object(&body.key),
        Event::AttributionResolved(body) => Subjects::of_shown(&body.key, body.observation),
        Event::AuditGapSuspected(body) => Subjects::of_shown(&body.key, body.observation),
        _ => Subjects::default(),
    }
}

/// What was replayed onto another cluster. It is about the objects of that one, so objects do not
/// find it: their history is that of this one. What it made is found by its uid, should the other
/// become this one.
fn of_recovery(event: &Event) -> Subjects {
    let found = Subjects::topic(Topic::Recoveries);
    match event {
        Event::RecoveryBegun(body) => Subjects { apps: body.apps.clone(), ..found },
        Event::RecoveryOutcome(body) => {
            let written = body.results.iter().filter_map(|(_, result)| match result {
                RecoveryResult::Written(written) => Some(Topic::Brought(written.uid.clone())),
                _ => None,
            });
            Subjects { topics: found.topics.into_iter().chain(written).collect(), ..found }
        }
        _ => found,
    }
}

/// What a person's decision is about.
fn of_people(event: &Event) -> Subjects {
    match event {
        Event::SyncRequested(body) => Subjects::app(&body.app).with_objects(&body.only),
        Event::HoldBegun(body) => {
            Subjects::app(&body.app).with_objects(body.of.iter().map(HoldOf::key))
        }
        Event::HoldEnded(body) => {
            Subjects { objects: body.objects.clone(), ..Subjects::app(&body.app) }
        }
        // What is held was rendered for these commits; the objects are the render's.
        Event::AppHeld(body) => {
            let revisions = body.desired.revisions.iter();
            Subjects::app(&body.app).with_commits(revisions.map(|revision| &revision.commit))
        }
        Event::AppHoldEnded(body) => Subjects::app(&body.app),
        Event::RestoreIntended(body) => {
            Subjects::default().with_objects(body.writes.iter().map(|write| &write.key))
        }
        Event::RestoreEnded(body) => {
            let made = body.results.iter().filter_map(|(_, result)| match result {
                RestoreResult::Made { uid, .. } => Some(Topic::Brought(uid.clone())),
                _ => None,
            });
            Subjects { topics: made.collect(), ..Subjects::default().with_objects(&body.objects) }
        }
        Event::AutoRollbackRefused(body) => {
            Subjects::app(&body.app).with_commits([&body.from.commit])
        }
        Event::Paused(body) => Subjects::app(&body.app),
        Event::Resumed(body) => Subjects::app(&body.app),
        Event::Marked(_) => Subjects::topic(Topic::Marks),
        // A freeze is about everything; the match above is the exhaustive one.
        _ => Subjects::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::sample_events;

    #[test]
    fn events_are_found_by_what_they_are_about() {
        // Kind, then how many objects, applications and commits its sample is found by.
        let expected = [
            ("git.commit", (0, 0, 1)),
            ("git.ref-moved", (0, 0, 1)),
            ("git.history-rewritten", (0, 0, 3)),
            ("git.push-intended", (0, 1, 2)),
            ("git.push-ended", (0, 1, 1)),
            ("app.declared", (0, 2, 0)),
            ("app.refused", (0, 0, 0)),
            ("render.succeeded", (0, 1, 1)),
            ("render.failed", (0, 1, 1)),
            ("object.health", (1, 1, 0)),
            ("plan.gated", (1, 2, 1)),
            ("drift.detected", (1, 1, 0)),
            ("object.previewed", (1, 1, 0)),
            ("ignore.checked", (0, 1, 0)),
            ("ignore.failed", (1, 1, 0)),
            ("contest.named", (1, 1, 0)),
            ("apply.intent", (1, 1, 1)),
            ("apply.outcome", (0, 1, 0)),
            ("sync.finished", (0, 1, 1)),
            ("object.observed", (1, 0, 0)),
            ("object.gone", (1, 0, 0)),
            ("audit.received", (1, 0, 0)),
            ("attribution.resolved", (1, 0, 0)),
            ("audit.gap-suspected", (1, 0, 0)),
            ("operator.sync", (1, 1, 0)),
            ("operator.pause", (0, 1, 0)),
            ("hold.begun", (3, 1, 0)),
            ("hold.ended", (1, 1, 0)),
            ("hold.app-begun", (0, 1, 1)),
            ("hold.app-ended", (0, 1, 0)),
            ("restore.intended", (1, 0, 0)),
            ("restore.ended", (1, 0, 0)),
            ("hold.app-refused", (0, 1, 1)),
            ("cluster.kinds", (0, 0, 0)),
            ("operator.mark", (0, 0, 0)),
        ];
        let events = sample_events();
        for (kind, counts) in expected {
            let event = events.iter().find(|event| event.name() == kind).unwrap();
            let found = subjects(event);
            let found = (found.objects.len(), found.apps.len(), found.commits.len());
            assert_eq!(found, counts, "{kind}");
        }
    }

    #[test]
    fn what_tells_whether_something_was_watched_is_found_by_topic() {
        let events = sample_events();
        let topics = |kind: &str| {
            let event = events.iter().find(|event| event.name() == kind).unwrap();
            subjects(event).topics
        };
        for kind in ["daemon.started", "daemon.stopped", "cluster.lost", "cluster.found"] {
            assert_eq!(topics(kind), [Topic::Watching], "{kind}");
        }
        assert_eq!(topics("cluster.kinds"), [Topic::Watching]);
        for kind in ["cluster.listed", "watch.gap"] {
            assert!(matches!(topics(kind).as_slice(), [Topic::Kinds, Topic::Kind(_)]), "{kind}");
        }
        assert!(matches!(topics("git.ref-moved").as_slice(), [Topic::Ref(name)]
            if name.starts_with("refs/")));
        assert_eq!(topics("operator.mark"), [Topic::Marks]);
        assert_eq!(topics("object.observed"), [Topic::Image("shop:v1".into())]);
        assert!(matches!(topics("restore.ended").as_slice(), [Topic::Brought(_)]));
        let recovery = topics("recovery.outcome");
        assert_eq!(recovery, [Topic::Recoveries, Topic::Brought("new".into())]);
        let intent = topics("apply.intent");
        assert!(
            matches!(intent.as_slice(), [Topic::Written(_), Topic::WrittenIn(_)]),
            "{intent:?}"
        );
        for kind in ["apply.outcome", "apply.settled"] {
            assert!(matches!(topics(kind).as_slice(), [Topic::Intent(_)]), "{kind}");
        }
    }
}
