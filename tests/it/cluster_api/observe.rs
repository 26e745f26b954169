//! The observer against a real API server.

use std::collections::BTreeMap;
use std::time::Duration;

use greffier::cluster::{
    Class, ClusterInput, Connection, Fingerprint, Known, Observation, Observer, Options,
};
use greffier::ledger::event::{Health, Learned, ManagerStamp, PulledImage};
use greffier::model::{GroupKind, ObjectKey};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{apply_of, config_map, connect, key, make_namespace, options, sealer};
use crate::cluster::ControlPlane;

/// How long a test waits for what must come. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running observer and everything it has said.
struct Watching {
    rx: mpsc::Receiver<ClusterInput>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    said: Vec<ClusterInput>,
}

impl Watching {
    async fn start(plane: &ControlPlane, user: &str, known: Known) -> Self {
        let options = options(plane, user);
        let connection = Connection::connect(&options).await.unwrap();
        let observer = Observer::new(connection, &options, known, sealer());
        let (tx, rx) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(observer.run(tx, cancel.clone()));
        Self { rx, cancel, task, said: Vec::new() }
    }

    /// Waits until the observer says what `wanted` is looking for; what it said before is looked
    /// through first, from the position `from`.
    async fn until_from(
        &mut self,
        from: usize,
        what: &str,
        mut wanted: impl FnMut(&ClusterInput) -> bool,
    ) -> usize {
        if let Some(at) = self.said[from..].iter().position(&mut wanted) {
            return from + at;
        }
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.next(what, deadline).await) {}
        self.said.len() - 1
    }

    /// What the observer says next, while `what` is waited for.
    async fn next(&mut self, what: &str, deadline: Instant) -> &ClusterInput {
        let Ok(Some(input)) = tokio::time::timeout_at(deadline, self.rx.recv()).await else {
            panic!("{what} was never said: {:#?}", self.brief())
        };
        self.said.push(input);
        &self.said[self.said.len() - 1]
    }

    async fn until(&mut self, what: &str, wanted: impl FnMut(&ClusterInput) -> bool) -> usize {
        self.until_from(0, what, wanted).await
    }

    /// Waits until every kind that is watched has been listed. Other tests bring and remove kinds:
    /// what counts is what is served by the observer's last word.
    async fn listed(&mut self) {
        let settled = |said: &[ClusterInput]| {
            let served = said.iter().rev().find_map(|input| match input {
                ClusterInput::Kinds(found) => Some(&found.kinds),
                _ => None,
            });
            let is_listed = |wanted: &GroupKind| {
                let mut inputs = said.iter();
                inputs.any(|i| matches!(i, ClusterInput::Listed { kind, .. } if kind == wanted))
            };
            let mut watched = served.into_iter().flatten().filter(|served| served.watched);
            served.is_some() && watched.all(|served| is_listed(&served.kind))
        };
        let deadline = Instant::now() + PATIENCE;
        while !settled(&self.said) {
            self.next("all lists", deadline).await;
        }
    }

    async fn object(
        &mut self,
        from: usize,
        wanted: &ObjectKey,
        test: impl Fn(&Observation) -> bool,
    ) -> usize {
        let what = format!("{wanted}");
        self.until_from(from, &what, |input| matches!(input, ClusterInput::Object(seen) if seen.normalised.key == *wanted && test(seen))).await
    }

    async fn gone(
        &mut self,
        from: usize,
        wanted: &ObjectKey,
    ) -> (Learned, Option<greffier::model::Timestamp>) {
        let what = format!("the end of {wanted}");
        let at = self
            .until_from(
                from,
                &what,
                |input| matches!(input, ClusterInput::Gone { key, .. } if key == wanted),
            )
            .await;
        let ClusterInput::Gone { learned, last_seen, .. } = &self.said[at] else { unreachable!() };
        (*learned, *last_seen)
    }

    fn observation(&self, at: usize) -> &Observation {
        let ClusterInput::Object(observation) = &self.said[at] else { panic!("not an object") };
        observation
    }

    fn brief(&self) -> Vec<String> {
        let text = |input: &ClusterInput| match input {
            ClusterInput::Object(seen) => {
                format!("object {} {:?}", seen.normalised.key, seen.learned)
            }
            ClusterInput::Kinds(found) => format!("{} kinds", found.kinds.len()),
            other => format!("{other:?}"),
        };
        self.said.iter().map(text).collect()
    }

    /// Stops the observer; everything it said.
    async fn stop(mut self) -> Vec<ClusterInput> {
        self.cancel.cancel();
        while let Some(input) = self.rx.recv().await {
            self.said.push(input);
        }
        self.task.await.unwrap();
        self.said
    }
}

/// What a ledger that recorded `said` would know.
fn known_from(said: &[ClusterInput]) -> Known {
    let mut objects = BTreeMap::new();
    for input in said {
        match input {
            ClusterInput::Object(seen) => {
                let object = &seen.normalised;
                let fingerprint = Fingerprint::of(
                    &object.uid,
                    (object.digest, object.owned),
                    ManagerStamp::digest_of(&object.managers()),
                    (object.health, &object.health_message),
                    PulledImage::digest_of(&object.images),
                    object.deleting,
                );
                objects.insert(object.key.clone(), (object.uid.clone(), fingerprint));
            }
            ClusterInput::Gone { key, .. } => {
                objects.remove(key);
            }
            _ => {}
        }
    }
    let mut known = Known::default();
    for (key, (uid, fingerprint)) in objects {
        known.insert(&key, &uid, fingerprint);
    }
    known
}

fn sightings(said: &[ClusterInput], wanted: &ObjectKey) -> usize {
    let about = |input: &&ClusterInput| matches!(input, ClusterInput::Object(seen) if seen.normalised.key == *wanted);
    said.iter().filter(about).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_said_once_in_order_and_restarts_repeat_nothing() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "observed").await;
    let (first, second) =
        (key("ConfigMap", "observed", "first"), key("ConfigMap", "observed", "second"));
    let map = |name: &str, value: &str| apply_of(config_map("observed", name, json!({"k": value})));
    connection.apply(&map("first", "1")).await.unwrap();

    let mut watching = Watching::start(plane, "greffier", Known::default()).await;
    watching.listed().await;
    let at = watching.object(0, &first, |_| true).await;
    let seen = watching.observation(at);
    assert!(seen.added && seen.learned == Learned::Listed && seen.normalised.owned.is_some());
    assert!(matches!(watching.said[0], ClusterInput::Identified(_)));

    connection.apply(&map("second", "1")).await.unwrap();
    let at = watching.object(0, &second, |_| true).await;
    assert!(watching.observation(at).added && watching.observation(at).learned == Learned::Watched);
    connection.apply(&map("second", "1")).await.unwrap();
    plane.kubectl_ok("alice", &["-n", "observed", "label", "configmap/second", "by=alice"]);
    let at = watching.object(at + 1, &second, |_| true).await;
    assert!(!watching.observation(at).added);
    assert_eq!(watching.observation(at).normalised.object["metadata"]["labels"]["by"], "alice");
    let said = watching.stop().await;
    assert_eq!((sightings(&said, &first), sightings(&said, &second)), (1, 2));

    plane.kubectl_ok("alice", &["-n", "observed", "delete", "configmap/second"]);
    let mut watching = Watching::start(plane, "greffier", known_from(&said)).await;
    assert_eq!(watching.gone(0, &second).await, (Learned::Listed, None));
    watching.listed().await;
    plane.kubectl_ok("alice", &["-n", "observed", "delete", "configmap/first"]);
    assert_eq!(watching.gone(0, &first).await.0, Learned::Watched);
    let said = watching.stop().await;
    assert_eq!((sightings(&said, &first), sightings(&said, &second)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_deleted_and_made_again_is_told_from_a_changed_one() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "replaced").await;
    let map = key("ConfigMap", "replaced", "a");
    connection.apply(&apply_of(config_map("replaced", "a", json!({})))).await.unwrap();
    let mut watching = Watching::start(plane, "greffier", Known::default()).await;
    watching.object(0, &map, |_| true).await;
    let said = watching.stop().await;

    plane.kubectl_ok("alice", &["-n", "replaced", "delete", "configmap/a"]);
    connection.apply(&apply_of(config_map("replaced", "a", json!({})))).await.unwrap();
    let mut watching = Watching::start(plane, "greffier", known_from(&said)).await;
    let at = watching.object(0, &map, |_| true).await;
    assert!(watching.observation(at).added);
    assert_eq!(watching.gone(0, &map).await.0, Learned::Listed);
    let gone = watching
        .said
        .iter()
        .position(|input| matches!(input, ClusterInput::Gone { key, .. } if *key == map));
    assert!(gone < Some(at), "the end of the old one comes first");
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_said_when_it_turns_and_status_churn_is_not() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "healthy").await;
    let mut watching = Watching::start(plane, "greffier", Known::default()).await;
    watching.listed().await;
    let web = key("Deployment.apps", "healthy", "web");
    connection.apply(&apply_of(super::deployment("healthy"))).await.unwrap();
    watching.object(0, &web, |seen| seen.normalised.health == Health::Progressing).await;
    watching.object(0, &web, |seen| seen.normalised.health == Health::Healthy).await;
    let pod = watching
        .until("a healthy pod", |input| {
            matches!(input, ClusterInput::Object(seen)
            if seen.normalised.key.kind() == "Pod" && seen.normalised.key.namespace() == "healthy"
                && seen.normalised.health == Health::Healthy)
        })
        .await;
    let (kind, name, _) = watching.observation(pod).normalised.controller.clone().unwrap();
    assert_eq!(kind.kind, "ReplicaSet");
    assert!(name.starts_with("web-"));
    watching.stop().await;
}

const WIDGETS: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {"name": "widgets.observe.test"},
  "spec": {"group": "observe.test", "scope": "Namespaced",
    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
      {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kind_is_watched_as_soon_as_it_is_established_and_dropped_with_its_definition() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "kinds").await;
    let mut watching = Watching::start(plane, "greffier", Known::default()).await;
    watching.listed().await;
    let kind = GroupKind::new("observe.test", "Widget");
    let serves = |input: &ClusterInput| {
        matches!(input, ClusterInput::Kinds(found)
        if found.kinds.iter().any(|served| served.kind.kind == "Widget" && served.watched))
    };
    connection.apply(&apply_of(serde_json::from_str(WIDGETS).unwrap())).await.unwrap();
    let at = watching.until("the new kind", serves).await;
    watching
        .until_from(
            at,
            "its list",
            |input| matches!(input, ClusterInput::Listed { kind: listed, .. } if *listed == kind),
        )
        .await;

    let widget = json!({"apiVersion": "observe.test/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "kinds"}, "spec": {"size": 1}});
    connection.apply(&apply_of(widget)).await.unwrap();
    let object = key("Widget.observe.test", "kinds", "w");
    watching.object(at, &object, |seen| seen.learned == Learned::Watched).await;

    plane.kubectl_ok("admin", &["delete", "crd", "widgets.observe.test"]);
    watching.gone(at, &object).await;
    watching
        .until_from(at + 1, "the kinds without it", |input| {
            matches!(input, ClusterInput::Kinds(found)
        if found.kinds.iter().all(|served| served.kind.kind != "Widget"))
        })
        .await;
    watching.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_kinds_are_gaps_and_not_an_outage() {
    let mut watching = Watching::start(ControlPlane::shared(), "limited", Known::default()).await;
    let pods = |input: &ClusterInput| {
        matches!(input, ClusterInput::Gap { kind, reason, refused: true }
        if kind.kind == "Pod" && reason.contains("forbidden"))
    };
    watching.until("the gap", pods).await;
    let said = watching.stop().await;
    assert_eq!(said.iter().filter(|input| pods(input)).count(), 1);
    assert!(!said.iter().any(|input| matches!(input, ClusterInput::Lost { .. })));
}

/// Goal: an outage is said once, its end once, and what did not change is not said again; another
/// cluster at the same address is noticed. Method: a control plane of its own, stopped, started,
/// paused and wiped.
#[tokio::test(flavor = "multi_thread")]
async fn outages_are_outlasted_without_repetition() {
    let plane = ControlPlane::start();
    let connection = connect(&plane, "greffier").await;
    make_namespace(&connection, "outage").await;
    // The controller manager does not outlive an outage while it starts.
    connection.apply(&apply_of(super::deployment("outage"))).await.unwrap();
    plane.kubectl_ok("admin", &["-n", "outage", "rollout", "status", "deployment/web"]);
    let map = key("ConfigMap", "outage", "a");
    let request = apply_of(config_map("outage", "a", json!({"k": "1"})));
    connection.apply(&request).await.unwrap();
    let mut watching = Watching::start(&plane, "greffier", Known::default()).await;
    watching.listed().await;

    plane.stop_apiserver();
    let lost =
        watching.until("the outage", |input| matches!(input, ClusterInput::Lost { .. })).await;
    assert_eq!(connection.apply(&request).await.unwrap_err().class(), Class::Transient);
    plane.start_apiserver();
    let found =
        watching.until_from(lost, "its end", |input| matches!(input, ClusterInput::Found)).await;
    let request = apply_of(config_map("outage", "a", json!({"k": "2"})));
    connection.apply(&request).await.unwrap();
    let at = watching.object(found, &map, |_| true).await;
    assert_eq!(sightings(&watching.said, &map), 2);
    let outages = |said: &[ClusterInput]| {
        said.iter().filter(|input| matches!(input, ClusterInput::Lost { .. })).count()
    };
    assert_eq!(outages(&watching.said), 1);

    let hasty =
        Options { request_timeout: Duration::from_millis(500), ..options(&plane, "greffier") };
    let hasty = Connection::connect(&hasty).await.unwrap();
    hasty.discover().await.unwrap();
    plane.pause_apiserver();
    let error = hasty.apply(&request).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "it was sent and not answered: {error}");
    plane.resume_apiserver();

    plane.wipe();
    let from = watching
        .until_from(at, "another cluster", |input| matches!(input, ClusterInput::Identified(_)))
        .await;
    let maps = |input: &ClusterInput| matches!(input, ClusterInput::Listed { kind, .. } if *kind == map.group_kind());
    watching.until_from(from, "its objects", maps).await;
    let said = watching.stop().await;
    // What it never had is not gone from it.
    let gone = |input: &ClusterInput| matches!(input, ClusterInput::Gone { .. });
    assert_eq!(said[at..].iter().filter(|input| gone(input)).count(), 0);
}
