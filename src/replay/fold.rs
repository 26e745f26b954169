//! The fold: how each event changes the world.
//!
//! Every event is considered by name: the match has no wildcard, so that a new event cannot be
//! forgotten here.

use std::collections::BTreeMap;

use super::application::{
    App, Attempt, Desired, Drift, Gate, Pause, RenderProblem, SyncRequest, SyncSummary,
};
use super::cluster::{LiveObject, OpenIntent, OpenWrite, Owned, rv_older};
use super::world::{Touched, World};
use crate::ledger::event::{
    AppDeclaredV1, AppHealthChangedV1, AppRefusedV1, AppRemovedV1, Applied, DriftDetectedV1, DriftKind, Event,
    Health, IntentRecordedV1, KindsServedV1, ManagerStamp, ObjectGoneV1, ObjectObservedV1, Origin,
    PlanGatedV1, RefMovedV1, RenderSucceededV1, RevisionAdvancedV1, SyncFinishedV1, Verb, Write,
    WriteResult,
};
use crate::model::{AppName, AppSpec, Digest, ObjectKey, Seq, Timestamp};

/// Writes that failed are tried again after this long, doubling.
const RETRY_FIRST_MS: u64 = 1_000;
/// The longest wait between tries of a write that may succeed yet.
const RETRY_LONGEST_MS: u64 = 60_000;
/// Writes that the API server refused are tried again after this long, doubling (Argo CD's
/// default retry: 5 s, factor 2, at most 3 min, 5 times).
const REFUSED_FIRST_MS: u64 = 5_000;
const REFUSED_LONGEST_MS: u64 = 180_000;
const REFUSED_TRIES_MAX: u32 = 5;
/// For how many commits the number of deletions is remembered.
const DELETION_COMMITS_MAX: usize = 64;

impl World {
    /// Folds one event in and returns what it may have changed the plan of.
    ///
    /// Ordering: events must come in the order of their sequence numbers, without gaps.
    pub fn apply(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        self.seq = seq;
        self.now = self.now.max(recorded);
        match event {
            Event::LedgerCreated(_)
            | Event::LedgerRepaired(_)
            | Event::CommitRecorded(_)
            | Event::HistoryRewritten(_)
            | Event::HistoryImported(_)
            | Event::WatchGap(_)
            | Event::DaemonStopped(_) => Touched::nothing(),
            Event::ConfigLoaded(body) => {
                self.config = Digest::of(body.toml.as_bytes());
                Touched::nothing()
            }
            Event::DaemonStarted(body) => self.daemon_started(seq, body.observe),
            Event::RefMoved(body) => self.ref_moved(body),
            Event::FetchFailed(body) => {
                self.repos.entry(body.repo.clone()).or_default().error = Some(body.error.clone());
                Touched::nothing()
            }
            Event::FetchRecovered(body) => {
                let repo = self.repos.entry(body.repo.clone()).or_default();
                repo.error = None;
                repo.fetched = true;
                self.apps_of_repo(&body.repo)
            }
            Event::AppDeclared(body) => self.app_declared(seq, body),
            Event::AppRemoved(body) => self.app_removed(body),
            Event::AppRefused(body) => self.app_refused(body),
            Event::RenderSucceeded(body) => self.render_succeeded(seq, body),
            Event::RevisionAdvanced(body) => self.revision_advanced(body),
            Event::RenderFailed(body) => self.with_app(&body.app, |app| {
                app.render_problem = Some(RenderProblem {
                    seq,
                    declared: app.declared,
                    commit: body.commit.clone(),
                    error: body.error.clone(),
                });
            }),
            Event::AppHealthChanged(body) => self.health_changed(body),
            Event::PlanGated(body) => self.plan_gated(seq, body),
            Event::GateLapsed(body) => self.with_app(&body.app, |app| app.gate = None),
            Event::PlanApproved(body) => {
                self.with_app(&body.app, |app| app.approved = Some(body.plan))
            }
            Event::WritesSuspended(body) => {
                self.with_app(&body.app, |app| app.suspended.clone_from(&body.reasons))
            }
            Event::DriftDetected(body) => self.drift_detected(seq, body),
            Event::IntentRecorded(body) => self.intent_recorded(seq, body),
            Event::OutcomeRecorded(body) => self.outcomes(seq, &body.app, body.intent, &body.results),
            Event::IntentSettled(body) => self.outcomes(seq, &body.app, body.intent, &body.results),
            Event::SyncFinished(body) => self.sync_finished(seq, body),
            Event::ClusterIdentified(body) => {
                self.cluster.uid.clone_from(&body.uid);
                self.cluster.version.clone_from(&body.version);
                self.cluster.server.clone_from(&body.server);
                Touched::nothing()
            }
            Event::ClusterLost(body) => {
                self.cluster.lost = Some(body.error.clone());
                Touched::nothing()
            }
            Event::ClusterFound(_) => self.cluster_found(),
            Event::KindsServed(body) => self.kinds_served(body),
            Event::ObjectObserved(body) => self.object_observed(seq, recorded, body),
            Event::ObjectGone(body) => self.object_gone(body),
            Event::KindListed(body) => {
                self.cluster.listed.insert(body.kind.clone());
                Touched::all()
            }
            Event::DeadlineReached(_) => self.deadline_reached(),
            Event::SyncRequested(body) => self.with_app(&body.app, |app| {
                app.attempts.clear();
                app.request =
                    Some(SyncRequest { seq, prune: body.prune, only: body.only.clone() });
            }),
            Event::Paused(body) => self.with_app(&body.app, |app| {
                app.paused =
                    Some(Pause { seq, until: body.until, reason: body.reason.clone() });
            }),
            Event::Resumed(body) => self.with_app(&body.app, |app| app.paused = None),
        }
    }

    fn with_app(&mut self, name: &AppName, change: impl FnOnce(&mut App)) -> Touched {
        match self.apps.get_mut(name) {
            Some(app) => {
                change(app);
                Touched::app(name)
            }
            None => Touched::nothing(),
        }
    }

    fn daemon_started(&mut self, seq: Seq, observe: bool) -> Touched {
        self.started = seq;
        self.observe = observe;
        // What an earlier run knew of absence is stale until every kind is listed again.
        self.cluster.listed.clear();
        self.cluster.lost = None;
        for intent in self.intents.values_mut() {
            intent.orphaned = true;
        }
        Touched::all()
    }

    fn ref_moved(&mut self, body: &RefMovedV1) -> Touched {
        let repo = self.repos.entry(body.repo.clone()).or_default();
        repo.fetched = true;
        match &body.new {
            Some(commit) => repo.refs.insert(body.name.clone(), commit.clone()),
            None => repo.refs.remove(&body.name),
        };
        self.apps_of_repo(&body.repo)
    }

    fn apps_of_repo(&self, repo: &str) -> Touched {
        let apps = self.apps.iter();
        let apps = apps.filter(|(_, app)| app.spec.sources.iter().any(|s| s.repo == repo));
        Touched { apps: apps.map(|(name, _)| name.clone()).collect(), all: false }
    }

    fn app_declared(&mut self, seq: Seq, body: &AppDeclaredV1) -> Touched {
        let Ok(manifest) = serde_json::from_slice(&body.manifest) else {
            return Touched::nothing();
        };
        // Whoever appends the event has parsed the same bytes; a definition that this version
        // cannot read leaves the former one in force.
        let Ok(spec) = AppSpec::parse(&manifest) else { return Touched::nothing() };
        let digest = Digest::of(&body.manifest);
        match self.apps.get_mut(&body.app) {
            Some(app) => {
                app.spec = spec;
                app.manifest = digest;
                app.origin = body.origin.clone();
                app.declared = seq;
                app.removing = false;
            }
            None => {
                let app = App {
                    spec,
                    manifest: digest,
                    origin: body.origin.clone(),
                    declared: seq,
                    desired: None,
                    render_problem: None,
                    removing: false,
                    paused: None,
                    gate: None,
                    approved: None,
                    request: None,
                    attempts: BTreeMap::new(),
                    drift: BTreeMap::new(),
                    health: Health::Unknown,
                    health_message: String::new(),
                    suspended: Vec::new(),
                    last_sync: None,
                    refused: BTreeMap::new(),
                    counts: (0, 0, 0),
                };
                self.apps.insert(body.app.clone(), app);
            }
        }
        // The parent's view of its child changed as well.
        Touched::all()
    }

    fn app_refused(&mut self, body: &AppRefusedV1) -> Touched {
        let (Origin::Parent(parent), Ok(child)) = (&body.origin, body.app.parse::<AppName>()) else {
            return Touched::nothing();
        };
        self.with_app(parent, |app| {
            let objects = app.desired.iter().flat_map(|desired| desired.objects.values());
            let mut manifests = objects.filter(|o| o.key.is_application() && o.key.name == body.app);
            if let Some(manifest) = manifests.next().and_then(|object| object.application.as_ref()) {
                app.refused.insert(child, (Digest::of(manifest), body.error.clone()));
            }
        })
    }

    fn app_removed(&mut self, body: &AppRemovedV1) -> Touched {
        if body.cascade {
            if let Some(app) = self.apps.get_mut(&body.app) {
                app.removing = true;
                app.attempts.clear();
            }
            self.unwant(&body.app);
        } else {
            self.unwant(&body.app);
            self.apps.remove(&body.app);
            self.owned.retain(|_, owned| owned.app != body.app);
        }
        Touched::all()
    }

    /// Forgets which objects `name` wants.
    fn unwant(&mut self, name: &AppName) {
        self.wanted_by.retain(|_, apps| {
            apps.remove(name);
            !apps.is_empty()
        });
    }

    fn render_succeeded(&mut self, seq: Seq, body: &RenderSucceededV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        let former = app.desired.take();
        let objects: BTreeMap<_, _> =
            body.objects.iter().map(|object| (object.key.clone(), object.clone())).collect();
        // A manifest that changed deserves a new try at once.
        app.attempts.retain(|key, attempt| match objects.get(key) {
            Some(object) => object.digest == attempt.digest,
            None => attempt.digest.is_zero(),
        });
        app.render_problem = None;
        app.drift.retain(|key, _| objects.contains_key(key));
        for key in former.iter().flat_map(|desired| desired.objects.keys()) {
            if !objects.contains_key(key)
                && let Some(apps) = self.wanted_by.get_mut(key)
            {
                apps.remove(&body.app);
            }
        }
        for key in objects.keys() {
            self.wanted_by.entry(key.clone()).or_default().insert(body.app.clone());
        }
        self.wanted_by.retain(|_, apps| !apps.is_empty());
        app.desired = Some(Desired {
            seq,
            declared: app.declared,
            revision: body.revision.clone(),
            inputs: body.inputs,
            objects,
            warnings: body.warnings.clone(),
            unknown_kinds: body.unknown_kinds.clone(),
        });
        self.forget_absent(&body.app);
        Touched::all()
    }

    /// Forgets ownership of objects that `app` no longer wants and that are not there anyway.
    fn forget_absent(&mut self, name: &AppName) {
        let (live, wanted_by) = (&self.live, &self.wanted_by);
        self.owned.retain(|key, owned| {
            owned.app != *name || live.contains_key(key) || wanted_by.contains_key(key)
        });
    }

    fn revision_advanced(&mut self, body: &RevisionAdvancedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        app.render_problem = None;
        if let Some(desired) = &mut app.desired {
            desired.revision = body.revision.clone();
            desired.declared = app.declared;
        }
        // Others may be waiting with their prunes until this application has caught up.
        Touched::all()
    }

    fn health_changed(&mut self, body: &AppHealthChangedV1) -> Touched {
        if let Some(app) = self.apps.get_mut(&body.app) {
            app.health = body.now;
            app.health_message.clone_from(&body.message);
            // Parents' health rests on their children's.
            if let Origin::Parent(parent) = &app.origin {
                return Touched::app(parent);
            }
        }
        Touched::nothing()
    }

    fn plan_gated(&mut self, seq: Seq, body: &PlanGatedV1) -> Touched {
        self.with_app(&body.app, |app| {
            app.gate = Some(Gate {
                seq,
                plan: body.plan,
                reasons: body.reasons.clone(),
                writes: body.writes.iter().map(|w| (w.verb, w.key.clone())).collect(),
                apps: body.apps.clone(),
            });
        })
    }

    fn drift_detected(&mut self, seq: Seq, body: &DriftDetectedV1) -> Touched {
        self.with_app(&body.app, |app| {
            if body.kind == DriftKind::None {
                app.drift.remove(&body.key);
                return;
            }
            let drift = Drift {
                seq,
                observation: body.observation,
                kind: body.kind,
                fields: body.fields.clone(),
                managers: body.managers.iter().map(|m| m.manager.clone()).collect(),
            };
            app.drift.insert(body.key.clone(), drift);
        })
    }

    fn intent_recorded(&mut self, seq: Seq, body: &IntentRecordedV1) -> Touched {
        let open = |write: &Write| OpenWrite { write: write.clone(), unknown: false };
        let writes = body.writes.iter().enumerate();
        let writes: BTreeMap<u32, OpenWrite> = writes
            .map(|(index, write)| (u32::try_from(index).unwrap_or(u32::MAX), open(write)))
            .collect();
        for write in &body.writes {
            self.in_flight.insert(write.key.clone(), seq);
        }
        let deletions = body.writes.iter().filter(|write| write.verb == Verb::Prune).count();
        if let Some(commit) = &body.commit
            && deletions > 0
        {
            let entry = self.deletions.entry(commit.clone()).or_insert((seq, 0));
            entry.1 = entry.1.saturating_add(u32::try_from(deletions).unwrap_or(u32::MAX));
            while self.deletions.len() > DELETION_COMMITS_MAX {
                let oldest = self.deletions.iter().min_by_key(|(_, (seq, _))| *seq);
                let Some(oldest) = oldest.map(|(commit, _)| commit.clone()) else { break };
                self.deletions.remove(&oldest);
            }
        }
        let intent = OpenIntent {
            app: body.app.clone(),
            commit: body.commit.clone(),
            writes,
            recorded: self.now,
            orphaned: false,
        };
        self.intents.insert(seq, intent);
        Touched::nothing()
    }

    fn outcomes(
        &mut self,
        seq: Seq,
        app: &AppName,
        intent_seq: Seq,
        results: &[(u32, WriteResult)],
    ) -> Touched {
        for (index, result) in results {
            let Some(intent) = self.intents.get_mut(&intent_seq) else { break };
            if let WriteResult::Unknown(_) = result {
                if let Some(open) = intent.writes.get_mut(index) {
                    open.unknown = true;
                }
                continue;
            }
            let Some(open) = intent.writes.remove(index) else { continue };
            self.in_flight.remove(&open.write.key);
            self.outcome(seq, app, &open.write, result);
        }
        if self.intents.get(&intent_seq).is_some_and(|intent| intent.writes.is_empty()) {
            self.intents.remove(&intent_seq);
        }
        Touched::app(app)
    }

    fn outcome(&mut self, seq: Seq, name: &AppName, write: &Write, result: &WriteResult) {
        let now = self.now;
        match result {
            WriteResult::Applied(applied) => self.applied(seq, name, write, applied),
            WriteResult::Deleted | WriteResult::AlreadyGone => {
                if matches!(result, WriteResult::AlreadyGone) {
                    self.live.remove(&write.key);
                    self.owned.remove(&write.key);
                }
                if let Some(live) = self.live.get_mut(&write.key) {
                    live.deleting = true;
                }
                if let Some(app) = self.apps.get_mut(name) {
                    app.attempts.remove(&write.key);
                    app.drift.remove(&write.key);
                    app.counts.2 += 1;
                }
            }
            WriteResult::Refused(error) | WriteResult::Failed(error) => {
                let refused = matches!(result, WriteResult::Refused(_));
                if let Some(app) = self.apps.get_mut(name) {
                    let failures =
                        app.attempts.get(&write.key).map_or(0, |attempt| attempt.failures) + 1;
                    let next = retry_at(now, refused, failures);
                    let attempt =
                        Attempt { failures, next, error: error.clone(), digest: write.digest };
                    app.attempts.insert(write.key.clone(), attempt);
                }
            }
            WriteResult::Unknown(_) | WriteResult::NotSent(_) => {}
        }
    }

    fn applied(&mut self, seq: Seq, name: &AppName, write: &Write, applied: &Applied) {
        let desired = self.apps.get(name).and_then(|app| app.desired.as_ref());
        let desired = desired.and_then(|desired| desired.objects.get(&write.key));
        let holds = desired.into_iter().flat_map(|object| &object.holds);
        let keep = holds.filter(|hold| hold.prune).map(|hold| hold.what.clone()).collect();
        let replicas = desired.and_then(|object| object.replicas);
        let owned = Owned {
            app: name.clone(),
            version: write.version.clone(),
            applied: write.digest,
            baseline: applied.baseline,
            object: applied.object,
            uid: applied.uid.clone(),
            resource_version: applied.resource_version.clone(),
            replicas,
            keep,
            seq,
        };
        self.owned.insert(write.key.clone(), owned);
        self.seen_in_answer(seq, write, applied);
        if let Some(app) = self.apps.get_mut(name) {
            app.attempts.remove(&write.key);
            app.drift.remove(&write.key);
            match write.verb {
                Verb::Create => app.counts.0 += 1,
                Verb::Update | Verb::Heal if applied.changed => app.counts.1 += 1,
                Verb::Update | Verb::Heal | Verb::Reclaim | Verb::Prune => {}
            }
        }
    }

    /// The answer to an apply is an observation too, unless the watch was quicker.
    fn seen_in_answer(&mut self, seq: Seq, write: &Write, applied: &Applied) {
        let former = self.live.get(&write.key).filter(|live| live.uid == applied.uid);
        if former.is_some_and(|live| !rv_older(&live.resource_version, &applied.resource_version)) {
            return;
        }
        let (health, health_message, controller) = match former {
            Some(live) => (live.health, live.health_message.clone(), live.controller.clone()),
            None => (Health::Progressing, "just applied".to_owned(), String::new()),
        };
        let live = LiveObject {
            version: write.version.clone(),
            uid: applied.uid.clone(),
            resource_version: applied.resource_version.clone(),
            digest: Digest::default(),
            owned: Some(applied.baseline),
            object: applied.object,
            managers: Digest::default(),
            health,
            health_message,
            controller,
            deleting: false,
            seq,
            seen: self.now,
        };
        self.live.insert(write.key.clone(), live);
    }

    fn sync_finished(&mut self, seq: Seq, body: &SyncFinishedV1) -> Touched {
        let at = self.now;
        self.with_app(&body.app, |app| {
            app.counts = (0, 0, 0);
            if app.request.as_ref().is_some_and(|request| request.seq < seq) {
                app.request = None;
            }
            app.approved = None;
            app.last_sync = Some(SyncSummary {
                seq,
                commit: body.commit.clone(),
                succeeded: body.succeeded,
                message: body.message.clone(),
                at,
            });
        })
    }

    fn cluster_found(&mut self) -> Touched {
        self.cluster.lost = None;
        // What failed while the API server was away deserves a try at once.
        for app in self.apps.values_mut() {
            app.attempts.retain(|_, attempt| attempt.next.is_none());
        }
        Touched::all()
    }

    fn kinds_served(&mut self, body: &KindsServedV1) -> Touched {
        let kinds = body.kinds.iter().map(|served| (served.kind.clone(), served.clone()));
        self.cluster.kinds = kinds.collect();
        let served = &self.cluster.kinds;
        self.cluster.listed.retain(|kind| served.contains_key(kind));
        // An object whose kind is gone is gone with it.
        self.live.retain(|key, _| served.contains_key(&key.group_kind()));
        Touched::all()
    }

    fn object_observed(
        &mut self,
        seq: Seq,
        recorded: Timestamp,
        body: &ObjectObservedV1,
    ) -> Touched {
        if let Some(live) = self.live.get(&body.key)
            && live.uid == body.uid
            && rv_older(&body.resource_version, &live.resource_version)
        {
            // An echo of the time before our own write.
            return Touched::nothing();
        }
        let controller = body.controller.as_ref().map_or("", |(_, _, uid)| uid.as_str());
        let live = LiveObject {
            version: body.version.clone(),
            uid: body.uid.clone(),
            resource_version: body.resource_version.clone(),
            digest: body.digest,
            owned: body.owned,
            object: body.object,
            managers: managers_digest(&body.managers),
            health: body.health,
            health_message: body.health_message.clone(),
            controller: controller.to_owned(),
            deleting: body.deleting,
            seq,
            seen: recorded,
        };
        let former = self.live.insert(body.key.clone(), live);
        self.touched_by_object(&body.key, former.is_none())
    }

    fn object_gone(&mut self, body: &ObjectGoneV1) -> Touched {
        if self.live.get(&body.key).is_some_and(|live| live.uid != body.uid) {
            // The object that went is an earlier one of the same name.
            return Touched::nothing();
        }
        self.live.remove(&body.key);
        let touched = self.touched_by_object(&body.key, true);
        if !self.wanted_by.contains_key(&body.key) {
            self.owned.remove(&body.key);
        }
        touched
    }

    /// Which applications care about a live object. `appeared` says that it came or went.
    fn touched_by_object(&self, key: &ObjectKey, appeared: bool) -> Touched {
        let gates_others = key.is("", "Namespace")
            || key.is("apiextensions.k8s.io", "CustomResourceDefinition");
        if gates_others && (appeared || self.wanted_by.contains_key(key)) {
            return Touched::all();
        }
        let mut touched = Touched::nothing();
        touched.apps.extend(self.wanted_by.get(key).into_iter().flatten().cloned());
        touched.apps.extend(self.owned.get(key).map(|owned| owned.app.clone()));
        touched
    }

    fn deadline_reached(&mut self) -> Touched {
        Touched::all()
    }
}

/// The digest of who owns which fields.
fn managers_digest(managers: &[ManagerStamp]) -> Digest {
    let mut bytes = Vec::with_capacity(managers.len() * 64);
    for stamp in managers {
        for text in [&stamp.manager, &stamp.operation, &stamp.subresource] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&stamp.fields.0);
    }
    Digest::of(&bytes)
}

/// When a failed write may be tried again; `None` = not before something changes.
fn retry_at(now: Timestamp, refused: bool, failures: u32) -> Option<Timestamp> {
    if refused && failures >= REFUSED_TRIES_MAX {
        return None;
    }
    let (first, longest) = if refused {
        (REFUSED_FIRST_MS, REFUSED_LONGEST_MS)
    } else {
        (RETRY_FIRST_MS, RETRY_LONGEST_MS)
    };
    let wait = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest);
    Some(now.plus_ms(wait))
}
