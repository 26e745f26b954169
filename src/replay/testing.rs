//! Given, when, then for everything that is decided from a [`World`].
//!
//! [`Given`] numbers and times the events, and stands in for the cluster: it remembers uids and
//! resource versions, and can carry a plan out as a perfect cluster would. Every plan that it
//! makes is checked against the rules that must never be broken.

mod cluster;
mod identity;
mod rollback;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Touched, World};
use crate::ledger::event::{
    AppDeclaredV1, AppRemovedV1, Applied, ApplyNotes, DaemonStartedV1, DeadlineReachedV1,
    DesiredObject, DriftDetectedV1, DriftKind, Event, FetchUnchangedV1, Health, IntentRecordedV1,
    KindListedV1, KindsServedV1, Learned, ManagerStamp, ObjectGoneV1, ObjectHold, ObjectObservedV1,
    ObjectOptions, ObjectPreviewedV1, Origin, OutcomeRecordedV1, PlanApprovedV1, PlanGatedV1,
    Preview, RefMovedV1, RemovalAwaitedV1, RenderFailedV1, RenderSucceededV1, RevisionAdvancedV1,
    RevisionRef, ServedKind, SyncFinishedV1, SyncRequestedV1, Verb, Write, WriteResult,
};
use crate::model::{
    AppName, BlobAddr, CommitId, Digest, GroupKind, ObjectKey, Protection, Scope, Seq, Timestamp,
};
use crate::plan::{Assessment, Compared, DryRun, Limits, Plan, check, plan};

/// The repository of every application.
pub(crate) const REPO: &str = "/srv/infra.git";
/// The kinds that the cluster serves, and whether they live in namespaces.
const KINDS: &[(&str, &str, bool)] = &[
    ("", "Namespace", false),
    ("", "ConfigMap", true),
    ("", "Secret", true),
    ("", "Service", true),
    ("", "PersistentVolume", false),
    ("", "PersistentVolumeClaim", true),
    ("apps", "Deployment", true),
    ("apiextensions.k8s.io", "CustomResourceDefinition", false),
];

pub(crate) fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().unwrap()
}

/// The `n`th ConfigMap of the tests.
pub(crate) fn map(n: usize) -> String {
    format!("ConfigMap/prod/m{n:04}")
}

/// The desired object `text` whose content is `content`.
pub(crate) fn object(text: &str, content: u64) -> DesiredObject {
    let digest = Digest::of(format!("{text} {content}").as_bytes());
    DesiredObject {
        key: key(text),
        version: "v1".into(),
        manifest: BlobAddr(digest.0),
        digest,
        wave: 0,
        replicas: None,
        origin: "file.yaml".into(),
        holds: Vec::new(),
        options: ObjectOptions::default(),
        application: None,
    }
}

/// Desired objects of content 1.
pub(crate) fn objects(texts: &[&str]) -> Vec<DesiredObject> {
    texts.iter().map(|text| object(text, 1)).collect()
}

/// `n` ConfigMaps of content 1.
pub(crate) fn maps(n: usize) -> Vec<DesiredObject> {
    (0..n).map(|n| object(&map(n), 1)).collect()
}

/// The desired object that defines the application of `manifest`.
pub(crate) fn child(manifest: &Value) -> DesiredObject {
    let bytes = serde_json_canonicalizer::to_vec(manifest).unwrap();
    let text = format!(
        "Application.argoproj.io/argocd/{}",
        manifest["metadata"]["name"].as_str().unwrap()
    );
    DesiredObject { digest: Digest::of(&bytes), application: Some(bytes), ..object(&text, 0) }
}

/// An Application manifest with the given `syncPolicy`.
pub(crate) fn application(name: &str, policy: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name},
        "spec": {
            "source": {"repoURL": REPO, "path": name, "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": "prod"},
            "syncPolicy": policy,
        },
    })
}

/// The same with the finalizer that makes its removal remove its objects.
pub(crate) fn cascading(name: &str, policy: Value) -> Value {
    let mut manifest = application(name, policy);
    manifest["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
    manifest
}

/// The `syncPolicy` of an application that does everything by itself.
pub(crate) fn auto() -> Value {
    json!({"automated": {"prune": true, "selfHeal": true}})
}

pub(crate) fn hold(what: &str, create: bool, update: bool, prune: bool) -> ObjectHold {
    ObjectHold { what: what.into(), create, update, prune }
}

/// What a plan writes, as `verb object`.
pub(crate) fn writes(plan: &Plan) -> Vec<String> {
    plan.writes.iter().map(|write| format!("{} {}", write.verb.as_str(), write.key)).collect()
}

/// What a plan says of an object.
pub(crate) fn said<'p>(plan: &'p Plan, text: &str) -> &'p Assessment {
    let found = plan.objects.iter().find(|object| object.key == key(text));
    found.unwrap_or_else(|| panic!("nothing is said of {text}: {:#?}", plan.objects))
}

/// A world, and a cluster to go with it.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) compared: Compared,
    /// The health that the cluster reports of an object; healthy when not given.
    pub(crate) health: BTreeMap<ObjectKey, Health>,
    /// What the objects' annotations in the cluster say about their removal.
    pub(crate) protected: BTreeMap<ObjectKey, Protection>,
    /// What the next render is made with.
    pub(crate) made_with: Vec<(String, String)>,
    /// What the sources of the next renders are; `None` = others with every commit.
    pub(crate) sources: Option<Digest>,
    /// The dropped commits that the next render contains again.
    pub(crate) restores: Vec<CommitId>,
    /// Every event so far.
    pub(crate) events: Vec<(Seq, Timestamp, Event)>,
    now: Timestamp,
    counter: u64,
}

impl Given {
    /// Nothing but a running daemon.
    pub(crate) fn nothing() -> Self {
        let mut given = Self {
            world: World::default(),
            limits: Limits::default(),
            compared: Compared::new(),
            health: BTreeMap::new(),
            protected: BTreeMap::new(),
            made_with: Vec::new(),
            sources: None,
            restores: Vec::new(),
            events: Vec::new(),
            now: Timestamp::from_seconds(1_800_000_000),
            counter: 100,
        };
        given.starts(false);
        given
    }

    /// A running daemon, a cluster whose every kind is listed, the namespace `prod`, and a
    /// repository whose `main` is at commit 1.
    pub(crate) fn cluster() -> Self {
        let mut given = Self::nothing();
        given.serves(&[]);
        given.lists_everything();
        given.sees("Namespace/prod");
        given.push(1);
        given
    }

    /// A cluster with an application of the given `syncPolicy`.
    pub(crate) fn app(name: &str, policy: Value) -> Self {
        let mut given = Self::cluster();
        given.declares(&application(name, policy), Origin::Config);
        given
    }

    /// A cluster with the application `web` that does everything by itself and is synced.
    pub(crate) fn synced(objects: Vec<DesiredObject>) -> Self {
        let mut given = Self::app("web", auto());
        given.renders("web", objects);
        given.syncs("web");
        given
    }

    // --- events

    pub(crate) fn event(&mut self, event: impl Into<Event>) -> Touched {
        self.now = self.now.plus_ms(1);
        let (seq, event) = (self.world.seq.next(), event.into());
        let touched = self.world.apply(seq, self.now, &event);
        self.events.push((seq, self.now, event));
        touched
    }

    pub(crate) fn seq(&self) -> Seq {
        self.world.seq
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.now
    }

    /// Time passes.
    pub(crate) fn after_ms(&mut self, ms: u64) -> Touched {
        self.now = self.now.plus_ms(ms);
        self.event(DeadlineReachedV1 { deadline: self.now })
    }

    /// The daemon starts, and finds the repository as it was.
    pub(crate) fn starts(&mut self, observe: bool) {
        self.starts_without_git(observe);
        if self.world.repos.get(REPO).is_some_and(|repo| repo.error.is_none()) {
            self.event(FetchUnchangedV1 { repo: REPO.into() });
        }
    }

    pub(crate) fn starts_without_git(&mut self, observe: bool) {
        self.event(DaemonStartedV1 { version: "test".into(), observe, pid: 1 });
    }

    /// The cluster serves the usual kinds and `more`, which live in namespaces.
    pub(crate) fn serves(&mut self, more: &[GroupKind]) {
        let usual = KINDS.iter().map(|(group, kind, namespaced)| {
            let scope = if *namespaced { Scope::Namespaced } else { Scope::Cluster };
            (GroupKind::new(*group, *kind), scope)
        });
        let more = more.iter().map(|kind| (kind.clone(), Scope::Namespaced));
        let served = |(kind, scope): (GroupKind, Scope)| ServedKind {
            plural: format!("{}s", kind.kind.to_lowercase()),
            kind,
            version: "v1".into(),
            scope,
            watched: true,
            watchable: true,
        };
        let kinds = usual.chain(more).map(served).collect();
        self.event(KindsServedV1 { kinds, broken_groups: Vec::new() });
    }

    pub(crate) fn lists(&mut self, kind: GroupKind) {
        self.event(KindListedV1 {
            kind,
            objects: 0,
            resource_version: String::new(),
            named: Vec::new(),
        });
    }

    pub(crate) fn lists_everything(&mut self) {
        for kind in self.world.cluster.kinds.keys().cloned().collect::<Vec<_>>() {
            self.lists(kind);
        }
    }

    /// `main` moves to a commit.
    pub(crate) fn push(&mut self, number: u64) -> Touched {
        let new = Some(commit(number));
        self.event(RefMovedV1 { repo: REPO.into(), name: "refs/heads/main".into(), old: None, new })
    }

    pub(crate) fn declares(&mut self, manifest: &Value, origin: Origin) {
        let app = name(manifest["metadata"]["name"].as_str().unwrap());
        let manifest = serde_json_canonicalizer::to_vec(manifest).unwrap();
        self.event(AppDeclaredV1 { app, manifest, origin });
    }

    /// A policy is changed in place, which leaves the last render in force for it.
    pub(crate) fn redeclares(&mut self, manifest: &Value) {
        let app = name(manifest["metadata"]["name"].as_str().unwrap());
        let objects = self.world.apps[&app].desired.clone();
        self.declares(manifest, Origin::Config);
        if objects.is_some() {
            self.advances(app.as_str());
        }
    }

    pub(crate) fn revision(&self) -> RevisionRef {
        let commit = self.world.repos[REPO].refs["refs/heads/main"].clone();
        RevisionRef { repo: REPO.into(), tree: commit.clone(), commit }
    }

    /// The event that defined an application as it is.
    pub(crate) fn declared(&self, app: &str) -> Seq {
        self.world.apps.get(&name(app)).map(|app| app.declared).unwrap_or_default()
    }

    pub(crate) fn renders(&mut self, app: &str, mut objects: Vec<DesiredObject>) -> Touched {
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        let (revision, unknown_kinds) = (self.revision(), Vec::new());
        let declared = self.declared(app);
        self.event(RenderSucceededV1 {
            app: name(app),
            declared,
            inputs: Digest::of(revision.commit.as_str().as_bytes()),
            sources: self.sources.unwrap_or(Digest::of(revision.commit.as_str().as_bytes())),
            revisions: vec![revision.clone()],
            revision,
            tool: "test".into(),
            made_with: self.made_with.clone(),
            restores: self.restores.clone(),
            objects,
            warnings: Vec::new(),
            unknown_kinds,
            reused: None,
        })
    }

    pub(crate) fn advances(&mut self, app: &str) -> Touched {
        let (declared, revision) = (self.declared(app), self.revision());
        let revisions = vec![revision.clone()];
        let desired = self.world.apps.get(&name(app)).and_then(|app| app.of_git());
        let inputs = desired.map(|desired| desired.inputs).unwrap_or_default();
        self.event(RevisionAdvancedV1 {
            app: name(app),
            declared,
            revision,
            revisions,
            inputs,
            made_with: self.made_with.clone(),
        })
    }

    pub(crate) fn fails_to_render(&mut self, app: &str) -> Touched {
        self.fails_to_render_by(app, false)
    }

    /// The same; `transient` = the machine is at fault.
    pub(crate) fn fails_to_render_by(&mut self, app: &str, transient: bool) -> Touched {
        let commit = Some(self.revision().commit);
        let (declared, error) = (self.declared(app), "web.yaml:3: bad".into());
        let commits = vec![commit.clone()];
        self.event(RenderFailedV1 { app: name(app), declared, commit, commits, transient, error })
    }

    pub(crate) fn requests(&mut self, app: &str, prune: bool, only: &[&str]) {
        let only = only.iter().map(|text| key(text)).collect();
        self.event(SyncRequestedV1 { app: name(app), prune, only, reason: String::new() });
    }

    pub(crate) fn removes(&mut self, app: &str, cascade: bool, origin: Origin) {
        let orphans = if cascade { Vec::new() } else { self.world.orphans(&name(app)) };
        self.event(AppRemovedV1 { app: name(app), cascade, origin, declared: None, orphans });
    }

    // --- decisions

    pub(crate) fn plan(&self, app: &str) -> Plan {
        let plan = plan(&self.world, &name(app), &self.limits, &self.compared).unwrap();
        assert_eq!(check(&self.world, &plan), [], "{plan:#?}");
        plan
    }

    pub(crate) fn writes(&self, app: &str) -> Vec<String> {
        writes(&self.plan(app))
    }

    /// Records the intent of the writes that are planned now.
    pub(crate) fn intends(&mut self, app: &str) -> Seq {
        let writes = self.plan(app).writes;
        assert_ne!(writes, [], "nothing is planned for {app}");
        let commit = self.world.apps[&name(app)].commit().cloned();
        self.event(IntentRecordedV1 { app: name(app), writes, commit, timeout_ms: 10_000 });
        self.seq()
    }

    /// Every open write of an intent ends like this.
    pub(crate) fn all_end(&mut self, intent: Seq, result: &WriteResult) -> Touched {
        let open = self.world.intents[&intent].clone();
        let results = open.writes.keys().map(|index| (*index, result.clone())).collect();
        self.event(OutcomeRecordedV1 { app: open.app, intent, results })
    }

    /// Every planned write is tried and ends like this.
    pub(crate) fn tries(&mut self, app: &str, result: &WriteResult) {
        let intent = self.intends(app);
        self.all_end(intent, result);
    }

    /// What a perfect cluster answers to a write. One that changes nothing, as a dry run has said,
    /// leaves the time of the write before it.
    pub(crate) fn answer(&mut self, write: &Write) -> WriteResult {
        if matches!(write.verb, Verb::Prune | Verb::Recreate) {
            return WriteResult::Deleted;
        }
        let mut previews = self.world.apps.values().filter_map(|app| app.previews.get(&write.key));
        let same = previews.any(|p| p.digest == write.digest && p.result == Preview::Same);
        let later = self.world.own_writes.later.get(&write.key).filter(|_| same);
        let written = later.map(|later| later.at);
        let seen = self.observation(&write.key.to_string());
        WriteResult::Applied(Applied {
            uid: seen.uid,
            resource_version: seen.resource_version,
            baseline: write.digest,
            object: seen.object,
            changed: written.is_none(),
            digest: seen.digest,
            managers: ManagerStamp::digest_of(&seen.managers),
            health: seen.health,
            health_message: seen.health_message,
            protection: seen.protection,
            notes: Box::new(ApplyNotes {
                written: written.or(Some(self.now)),
                ..ApplyNotes::default()
            }),
        })
    }

    /// Carries an intent out: every write succeeds, and the watch shows it afterwards.
    pub(crate) fn carries_out(&mut self, intent: Seq) {
        let open = self.world.intents[&intent].clone();
        let mut results = Vec::new();
        for (index, open) in &open.writes {
            let result = self.answer(&open.write);
            results.push((*index, result));
        }
        self.event(OutcomeRecordedV1 { app: open.app, intent, results: results.clone() });
        for (index, result) in results {
            self.shows(&open.writes[&index].write.key, &result);
        }
    }

    /// The watch shows what a write did.
    pub(crate) fn shows(&mut self, key: &ObjectKey, result: &WriteResult) {
        let text = key.to_string();
        match result {
            WriteResult::Applied(applied) => {
                let echo = self.observation(&text);
                self.event(ObjectObservedV1 {
                    uid: applied.uid.clone(),
                    resource_version: applied.resource_version.clone(),
                    object: applied.object,
                    owned: Some(applied.baseline),
                    ..echo
                });
            }
            WriteResult::Deleted => {
                self.sees_deleting(&text);
                self.loses(&text);
            }
            other => panic!("the cluster shows nothing of {other:?}"),
        }
    }

    /// Follows the plans of an application until there is nothing left to do.
    pub(crate) fn syncs(&mut self, app: &str) {
        for _ in 0..20 {
            if !self.world.apps.contains_key(&name(app)) || !self.follows(app) {
                return;
            }
        }
        panic!("{app} never comes to rest: {:#?}", self.plan(app));
    }

    /// Does what one plan says; returns whether it said anything.
    pub(crate) fn follows(&mut self, app: &str) -> bool {
        let plan = self.plan(app);
        let before = self.seq();
        let parent = || Origin::Parent(name(app));
        for (child, manifest) in &plan.declare {
            let (app, manifest) = (child.clone(), manifest.clone());
            self.event(AppDeclaredV1 { app, manifest, origin: parent() });
        }
        for (child, cascade) in &plan.remove {
            self.removes(child.as_str(), *cascade, parent());
        }
        for comparison in &plan.compare {
            let found = (comparison.observation, comparison.mask.digest());
            self.compared.insert(comparison.key.clone(), found);
        }
        for dry_run in &plan.dry_runs {
            self.previews(app, dry_run, Preview::Same);
        }
        self.awaits(app);
        if plan.removed {
            self.removes(app, false, Origin::Config);
        }
        // What was defined just now may have to be rendered before anything is deleted.
        if !plan.writes.is_empty() && !self.plan(app).writes.is_empty() {
            let intent = self.intends(app);
            self.carries_out(intent);
        }
        self.seq() > before || !plan.compare.is_empty()
    }

    /// Records what asks for a confirmation now, as far as it is not recorded.
    pub(crate) fn awaits(&mut self, app: &str) {
        let objects = self.plan(app).awaits;
        if !objects.iter().eq(self.world.apps[&name(app)].awaits.keys()) {
            self.event(RemovalAwaitedV1 { app: name(app), objects });
        }
    }

    /// Records the gate that is planned now.
    pub(crate) fn gates(&mut self, app: &str) -> PlanGatedV1 {
        let plan = self.plan(app);
        let gated = plan.gate.unwrap_or_else(|| panic!("no gate: {:#?}", plan.objects));
        let event = PlanGatedV1 {
            app: name(app),
            plan: gated.hash,
            reasons: gated.reasons,
            writes: gated.writes,
            apps: gated.apps,
            render: gated.render,
            commit: None,
        };
        self.event(event.clone());
        event
    }

    /// Records the gate that is planned now, and that a person approves it.
    pub(crate) fn approves(&mut self, app: &str) {
        let plan = self.gates(app).plan;
        self.event(PlanApprovedV1 { app: name(app), plan, reason: String::new() });
    }

    /// Records the end of the revision that is planned now.
    pub(crate) fn finishes(&mut self, app: &str) -> bool {
        let finished = self.plan(app).finished.expect("the revision has not ended");
        let state = &self.world.apps[&name(app)];
        let (commit, counts) = (state.commit().unwrap().clone(), state.counts);
        let request = state.request.as_ref().map(|request| request.seq);
        let approval = state.approved.map(|approval| approval.seq);
        self.event(SyncFinishedV1 {
            app: name(app),
            commit,
            succeeded: finished.succeeded,
            message: finished.message,
            counts,
            request,
            approval,
        });
        finished.succeeded
    }
}
