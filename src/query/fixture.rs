//! A small recorded history for tests: a root application, its child `web`, and a drift.

use serde_json::{Value, json};

use super::Book;
use crate::ledger::event::*;
use crate::ledger::{Batch, Blob, Draft, Ledger};
use crate::model::{
    Actor, AppName, CommitId, Digest, GroupKind, ObjectKey, PlanHash, Protection, Scope, Seq,
    Timestamp,
};
use crate::plan::{Compared, Limits};
use crate::replay::World;

/// A ledger with a story, and the world it folds to.
pub(crate) struct Story {
    pub(crate) ledger: Ledger,
    pub(crate) world: World,
    pub(crate) compared: Compared,
    pub(crate) limits: Limits,
}

pub(crate) fn name(name: &str) -> AppName {
    name.parse().unwrap()
}

pub(crate) fn commit(digit: char) -> CommitId {
    String::from(digit).repeat(40).parse().unwrap()
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) fn app_manifest(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name},
        "spec": {
            "source": {"repoURL": "/srv/infra.git", "path": name, "targetRevision": "main"},
            "destination": {"namespace": "prod", "server": "https://kubernetes.default.svc"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    })
}

pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap()
}

fn deployment(replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod"}, "spec": {"replicas": replicas}})
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": "prod"}, "data": {"a": "1"}})
}

fn secret(password: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "web", "namespace": "prod"}, "data": {"password": password}})
}

fn desired(key: &ObjectKey, version: &str, manifest: &Value) -> DesiredObject {
    let bytes = canonical(manifest);
    DesiredObject {
        key: key.clone(),
        version: version.into(),
        manifest: Blob::plain(bytes.clone(), None).addr,
        digest: Digest::of(&bytes),
        wave: 0,
        replicas: None,
        origin: "web/all.yaml:1".into(),
        holds: Vec::new(),
        options: ObjectOptions::default(),
        application: key.is_application().then_some(bytes),
    }
}

/// Appends on a thread of its own: within an async test, tokio's cooperative budget would never
/// be renewed while a blocking append waits.
fn append(ledger: &Ledger, batch: Batch) -> Vec<Seq> {
    std::thread::scope(|scope| scope.spawn(|| ledger.append_blocking(batch)).join())
        .unwrap()
        .unwrap()
}

impl Story {
    /// An empty ledger.
    pub(crate) fn empty() -> Self {
        Self {
            ledger: Ledger::in_memory(),
            world: World::default(),
            compared: Compared::new(),
            limits: Limits::default(),
        }
    }

    /// Appends events and folds what was appended.
    pub(crate) fn add(&mut self, batch: impl Into<Batch>) -> Seq {
        let last = *append(&self.ledger, batch.into()).last().unwrap();
        self.fold();
        last
    }

    pub(crate) fn event(&mut self, event: impl Into<Event>) -> Seq {
        self.add(Draft::new(event))
    }

    pub(crate) fn blob(&mut self, value: &Value) {
        let blobs = vec![Blob::plain(canonical(value), None)];
        append(&self.ledger, Batch { blobs, drafts: Vec::new() });
    }

    /// The whole story: `web` was deployed, then somebody scaled it; one object is missing, one
    /// Secret waits for its new value, and one object left Git.
    pub(crate) fn told() -> Self {
        let mut story = Self::empty();
        story.cluster();
        story.git();
        for (app, origin) in [("root", Origin::Config), ("web", Origin::Parent(name("root")))] {
            let manifest = canonical(&app_manifest(app));
            story.event(AppDeclaredV1 { app: name(app), manifest, origin });
        }
        let child = ObjectKey::new("argoproj.io", "Application", "", "web");
        story.rendered("root", vec![desired(&child, "v1alpha1", &app_manifest("web"))]);
        story.deployed();
        story.drifted();
        story
    }

    fn cluster(&mut self) {
        self.event(DaemonStartedV1 { version: "0.1.0".into(), observe: false, pid: 7 });
        let server = "https://127.0.0.1:6443".to_owned();
        self.event(ClusterIdentifiedV1 { uid: "c-1".into(), version: "v1.36.3".into(), server });
        let kinds = [
            ("", "ConfigMap"),
            ("", "Namespace"),
            ("", "Secret"),
            ("apps", "Deployment"),
            ("apps", "ReplicaSet"),
        ];
        let kinds: Vec<_> = kinds.map(|(group, kind)| GroupKind::new(group, kind)).to_vec();
        let served = |kind: &GroupKind| ServedKind {
            kind: kind.clone(),
            version: "v1".into(),
            plural: format!("{}s", kind.kind.to_lowercase()),
            scope: if kind.kind == "Namespace" { Scope::Cluster } else { Scope::Namespaced },
            watched: true,
            watchable: true,
        };
        self.event(KindsServedV1 {
            kinds: kinds.iter().map(served).collect(),
            broken_groups: vec![],
        });
        for kind in kinds {
            self.event(KindListedV1 {
                kind,
                objects: 0,
                resource_version: String::new(),
                named: Vec::new(),
            });
        }
        self.observed(&key("Namespace/prod"), &json!({"kind": "Namespace"}), "ns", "");
    }

    fn git(&mut self) {
        let alice = Signature {
            name: "Alice".into(),
            email: "alice@example.org".into(),
            time: Timestamp::from_seconds(1_700_000_000),
        };
        self.event(CommitRecordedV1 {
            repo: "/srv/infra.git".into(),
            commit: commit('a'),
            tree: commit('b'),
            parents: vec![],
            author: alice.clone(),
            committer: alice,
            message: "Scale web to two\n\nBody.".into(),
            changed: vec!["web/all.yaml".into()],
            changed_total: 1,
            signature: None,
        });
        self.event(RefMovedV1 {
            repo: "/srv/infra.git".into(),
            name: "refs/heads/main".into(),
            old: None,
            new: Some(commit('a')),
        });
    }

    fn rendered(&mut self, app: &str, objects: Vec<DesiredObject>) {
        let declared = self.world.apps[&name(app)].declared;
        let repo = "/srv/infra.git".into();
        let revision = RevisionRef { repo, commit: commit('a'), tree: commit('b') };
        self.event(RenderSucceededV1 {
            app: name(app),
            declared,
            revision: revision.clone(),
            revisions: vec![revision],
            inputs: Digest::of(b"inputs"),
            sources: Digest::of(b"sources"),
            tool: "directory".into(),
            made_with: vec![],
            restores: vec![],
            objects,
            warnings: vec![],
            unknown_kinds: vec![],
            reused: None,
        });
    }

    fn deployed(&mut self) {
        let objects = [
            (key("Deployment.apps/prod/web"), deployment(2)),
            (key("ConfigMap/prod/old"), config_map()),
            (key("Secret/prod/web"), secret("b25l")),
        ];
        let mut wanted = Vec::new();
        for (key, manifest) in &objects {
            self.blob(manifest);
            wanted.push(desired(key, "v1", manifest));
        }
        self.rendered("web", wanted.clone());
        let reason = "it is in Git and not in the cluster";
        let write = |object: &DesiredObject| Write {
            manifest: Some(object.manifest),
            digest: object.digest,
            ..Write::plain(Verb::Create, object.key.clone(), "v1", reason)
        };
        let writes: Vec<_> = wanted.iter().map(write).collect();
        let intent = self.event(IntentRecordedV1 {
            app: name("web"),
            writes,
            commit: Some(commit('a')),
            timeout_ms: 10_000,
        });
        let mut results = Vec::new();
        for (index, (key, manifest)) in objects.iter().enumerate() {
            let live = json!({"object": masked(manifest), "fields": []});
            self.blob(&live);
            let applied = Applied {
                uid: format!("uid-{key}"),
                resource_version: "10".into(),
                baseline: Digest::of(b"baseline"),
                object: Blob::plain(canonical(&live), None).addr,
                changed: true,
                digest: Digest::of(&canonical(&live)),
                managers: Digest::default(),
                health: Health::Healthy,
                health_message: String::new(),
                protection: Protection::default(),
                notes: Box::default(),
            };
            results.push((u32::try_from(index).unwrap(), WriteResult::Applied(applied)));
        }
        self.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    }

    /// Git moves on and the Deployment is scaled by hand.
    fn drifted(&mut self) {
        let objects = [
            (key("Deployment.apps/prod/web"), deployment(2)),
            (key("ConfigMap/prod/web"), config_map()),
            (key("Secret/prod/web"), secret("dHdv")),
        ];
        for (_, manifest) in &objects {
            self.blob(manifest);
        }
        let wanted = objects.iter().map(|(key, manifest)| desired(key, "v1", manifest)).collect();
        self.rendered("web", wanted);
        let web = key("Deployment.apps/prod/web");
        let uid = format!("uid-{web}");
        let observation = self.observed(&web, &deployment(5), &uid, "");
        let set = key("ReplicaSet.apps/prod/web-1");
        self.observed(&set, &json!({"kind": "ReplicaSet"}), "rs-1", &uid);
        let saved = json!({"object": deployment(5), "fields": []});
        let manager = ManagerStamp {
            manager: "kubectl-scale".into(),
            operation: "Update".into(),
            subresource: String::new(),
            time: None,
            fields: Digest::of(b"f"),
        };
        self.event(DriftDetectedV1 {
            app: name("web"),
            key: web,
            kind: DriftKind::Drift,
            fields: vec![FieldChange {
                path: ".spec.replicas".into(),
                was: "2".into(),
                now: "5".into(),
            }],
            places: vec![vec!["f:spec".into(), "f:replicas".into()]],
            managers: vec![manager],
            observation,
            mask: Digest::default(),
            saved: Some(Blob::plain(canonical(&saved), None).addr),
            later: None,
        });
    }

    pub(crate) fn observed(
        &mut self,
        key: &ObjectKey,
        object: &Value,
        uid: &str,
        owner: &str,
    ) -> Seq {
        let live = json!({"object": object, "fields": []});
        self.blob(&live);
        let controller = (!owner.is_empty())
            .then(|| (GroupKind::new("apps", "Deployment"), "web".to_owned(), owner.to_owned()));
        self.event(ObjectObservedV1 {
            digest: Digest::of(&canonical(object)),
            object: Blob::plain(canonical(&live), None).addr,
            controller,
            ..ObjectObservedV1::plain(key.clone(), uid, "20")
        })
    }

    /// `web`'s removal of everything waits for a person.
    pub(crate) fn gated(&mut self) -> PlanHash {
        let plan = PlanHash([0xab; 32]);
        self.event(PlanGatedV1 {
            app: name("web"),
            plan,
            reasons: vec![GateReason {
                what: "would delete 3 of 3 objects of web (limit 50 %)".into(),
            }],
            writes: vec![Write::plain(Verb::Prune, key("ConfigMap/prod/old"), "v1", "it left Git")],
            apps: vec![],
            render: None,
            commit: Some(commit('a')),
        });
        plan
    }

    /// A person asks for a sync.
    pub(crate) fn sync_requested(&mut self) -> Seq {
        let body = SyncRequestedV1 {
            app: name("web"),
            prune: false,
            only: vec![],
            reason: "release".into(),
        };
        self.add(Draft::new(body).by(Actor::os_user("alice")))
    }

    /// Folds what others appended.
    pub(crate) fn fold(&mut self) {
        let head = self.ledger.head();
        for recorded in Book::range(&self.ledger, self.world.seq.next(), head).unwrap() {
            let event = recorded.event.as_ref().unwrap();
            self.world.apply(recorded.seq(), recorded.envelope.recorded, event);
        }
    }
}

/// As observed Secrets are kept: without values.
fn masked(manifest: &Value) -> Value {
    let mut masked = manifest.clone();
    if manifest["kind"] == "Secret" {
        masked["data"]["password"] = json!("hmac:00");
    }
    masked
}
