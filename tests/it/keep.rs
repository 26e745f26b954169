//! The main job on a real API server: from a push to a kept cluster.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};

/// A namespace that no other test uses.
pub(crate) fn namespace(name: &str) -> String {
    format!("it-{name}-{}", std::process::id())
}

/// A value of a live object by jsonpath; empty when the object or the field is not there.
pub(crate) fn live(namespace: &str, object: &str, jsonpath: &str) -> String {
    let cluster = ControlPlane::shared();
    let path = format!("jsonpath={{{jsonpath}}}");
    let output = cluster
        .kubectl("admin")
        .args(["get", object, "-n", namespace, "-o", &path, "--ignore-not-found"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A greffier with one kept application `web` on folder `web`, synced to the first commit.
pub(crate) fn kept(name: &str, files: &[(&str, &str)]) -> (Greffier, String, String) {
    kept_with(name, KEPT, files)
}

pub(crate) fn kept_with(
    name: &str,
    policy: &str,
    files: &[(&str, &str)],
) -> (Greffier, String, String) {
    let namespace = namespace(name);
    let app = format!("{name}-web");
    let greffier = Greffier::new();
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &namespace, policy);
    let greffier = greffier.root(&root);
    greffier.start();
    (greffier, app, namespace)
}

fn drift<'a>(app: &'a str, key: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| {
        event["kind"] == "drift.detected"
            && event["detail"]["app"] == app
            && event["detail"]["key"]["name"] == key
    }
}

#[test]
fn a_push_is_deployed_and_a_revert_brings_the_old_version_back() {
    let (greffier, app, ns) = kept("push", &[("web/d.yaml", &deployment("web", "app:v1", 1))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "deploy/web", ".spec.template.spec.containers[0].image"), "app:v1");
    greffier.repo.write("web/d.yaml", &deployment("web", "app:bad", 1));
    let bad = greffier.repo.push("bad image");
    greffier.wait_synced(&app, &bad);
    assert_eq!(live(&ns, "deploy/web", ".spec.template.spec.containers[0].image"), "app:bad");
    greffier.repo.git(&["revert", "--no-edit", "HEAD"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "deploy/web", ".spec.template.spec.containers[0].image"), "app:v1");
}

#[test]
fn a_hand_edit_is_announced_with_its_manager_and_put_back() {
    let (greffier, app, ns) = kept("drift", &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let alice = ControlPlane::shared();
    alice.kubectl_ok("alice", &["scale", "deploy/web", "-n", &ns, "--replicas=5"]);
    let event = greffier.wait("the drift", drift(&app, "web"));
    let detail = &event["detail"];
    assert_eq!(detail["kind"], "Drift", "{event}");
    assert_eq!(detail["fields"][0]["path"], ".spec.replicas");
    assert_eq!(
        (&detail["fields"][0]["was"], &detail["fields"][0]["now"]),
        (&"2".into(), &"5".into())
    );
    assert!(event["summary"].as_str().unwrap().contains("kubectl"), "{}", event["summary"]);
    greffier.wait_after(event["seq"].as_u64().unwrap(), "the healing", |event| {
        event["kind"] == "apply.outcome" && event["detail"]["app"] == app.as_str()
    });
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "2");
}

#[test]
fn a_deleted_object_comes_back_and_an_added_field_is_announced_and_left() {
    let (greffier, app, ns) = kept("deleted", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["delete", "cm/one", "-n", &ns]);
    let event = greffier.wait("the deletion", drift(&app, "one"));
    assert_eq!(event["detail"]["kind"], "Deleted");
    until("the object is back", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
    let after = event["seq"].as_u64().unwrap();
    cluster.kubectl_ok("alice", &["label", "cm/one", "-n", &ns, "added=by-hand"]);
    let event = greffier.wait_after(after, "the addition", |event| {
        drift(&app, "one")(event) && event["detail"]["kind"] == "Addition"
    });
    assert!(event["summary"].as_str().unwrap().contains("ADDED BY HAND"), "{}", event["summary"]);
    assert_eq!(live(&ns, "cm/one", ".metadata.labels.added"), "by-hand");
}

#[test]
fn a_removed_file_prunes_its_objects_only() {
    let (greffier, app, ns) = kept(
        "prune",
        &[
            ("web/a.yaml", &config_map("a", "1")),
            ("web/b.yaml", &config_map("b", "1")),
            ("web/c.yaml", &config_map("c", "1")),
        ],
    );
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["create", "configmap", "foreign", "-n", &ns]);
    greffier.repo.remove("web/b.yaml");
    let commit = greffier.repo.push("remove b");
    greffier.wait_synced(&app, &commit);
    until("b is gone", || live(&ns, "cm/b", ".metadata.name").is_empty().then_some(()));
    for name in ["a", "c", "foreign"] {
        assert_eq!(live(&ns, &format!("cm/{name}"), ".metadata.name"), name);
    }
}

#[test]
fn an_application_without_automated_is_written_to_only_when_synced() {
    let (greffier, app, ns) = kept_with(
        "manual",
        r#"{"syncOptions": ["CreateNamespace=true"]}"#,
        &[("web/c.yaml", &config_map("one", "1"))],
    );
    greffier.wait_kind("render.succeeded", &app);
    // Until what the render contains has been looked up in the cluster, the answer is "Unknown".
    until("the application is known to be out of sync", || {
        let (status, _) = greffier.cli_ends(0, &["get", "apps", "-o", "json"]);
        status.contains("OutOfSync").then_some(())
    });
    assert_eq!(live(&ns, "cm/one", ".data.key"), "");
    let (out, _) = greffier.cli_ends(1, &["diff", &app]);
    assert!(out.contains("one"), "{out}");
    greffier.cli_ends(0, &["sync", &app, "--reason", "first deployment"]);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    greffier.cli_ends(0, &["diff", &app]);
    let requests = greffier.json(&["log", &app, "--kind", "operator.sync", "-o", "json"]);
    assert!(requests.to_string().contains("first deployment"), "{requests}");
}

#[test]
fn a_helm_folder_of_applications_is_followed_to_any_depth() {
    let greffier = Greffier::new();
    let (url, ns) = (greffier.repo.url(), namespace("tree"));
    let child = |name: &str, path: &str| application(name, &url, path, &ns, KEPT);
    let repo = &greffier.repo;
    repo.write("applications/Chart.yaml", "apiVersion: v2\nname: applications\nversion: 0.1.0\n");
    repo.write("applications/templates/one.yaml", &child("tree-one", "one"));
    repo.write("applications/templates/deep.yaml", &child("tree-deep", "deep"));
    repo.write("deep/two.yaml", &child("tree-two", "two"));
    repo.write("one/c.yaml", &config_map("one", "1"));
    repo.write("two/Chart.yaml", "apiVersion: v2\nname: two\nversion: 0.1.0\n");
    repo.write("two/values.yaml", "value: from-values\n");
    repo.write("two/templates/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  key: {{ .Values.value }}\n");
    let first = repo.push("tree");
    let greffier = greffier.root(&application("tree-root", &url, "applications", "argocd", KEPT));
    greffier.start();
    greffier.wait_synced("tree-two", &first);
    assert_eq!(live(&ns, "cm/tree-two", ".data.key"), "from-values");
    let tree = greffier.cli_ends(0, &["tree", "tree-root"]).0;
    for name in ["tree-one", "tree-deep", "tree-two"] {
        assert!(tree.contains(name), "{tree}");
    }
    greffier.repo.write("applications/templates/three.yaml", &child("tree-three", "three"));
    greffier.repo.write("three/c.yaml", &config_map("three", "3"));
    let second = greffier.repo.push("a third child");
    greffier.wait_synced("tree-three", &second);
    assert_eq!(live(&ns, "cm/three", ".data.key"), "3");
}

#[test]
fn a_pause_stops_writes_and_resume_catches_up() {
    let (greffier, app, ns) = kept("pause", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.cli_ends(0, &["pause", &app, "--reason", "incident"]);
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let commit = greffier.repo.push("while paused");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("incident"), "{status}");
    greffier.cli_ends(0, &["resume", &app]);
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
}

#[test]
fn an_observing_daemon_records_and_plans_and_writes_nothing() {
    let ns = namespace("observe");
    let greffier = Greffier::new();
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let root = application("observe-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start_with(&["--observe"]);
    greffier.wait_kind("render.succeeded", "observe-web");
    until("the object is known to be missing", || {
        let resources = greffier.json(&["get", "resources", "--app", "observe-web", "-o", "json"]);
        resources.to_string().contains("Missing").then_some(())
    });
    let ended = greffier.json(&["log", "--all", "--kind", "apply.intent", "-o", "json"]);
    assert_eq!(ended.to_string().matches("apply.intent").count(), 0, "{ended}");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "");
}

#[test]
fn custom_resources_wait_for_their_definition_to_be_established() {
    let crd = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.crdtest.example.org
spec:
  group: crdtest.example.org
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";
    let widget = "apiVersion: crdtest.example.org/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  size: 3\n";
    let (greffier, app, ns) =
        kept("crd", &[("web/a-widget.yaml", widget), ("web/b-crd.yaml", crd)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "widgets.crdtest.example.org/w", ".spec.size"), "3");
}

#[test]
fn health_of_a_deployment_reaches_its_application() {
    let (greffier, app, _) = kept("health", &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    greffier.wait("the application is healthy", |event| {
        event["kind"] == "app.health"
            && event["detail"]["app"] == app.as_str()
            && event["detail"]["now"] == "Healthy"
    });
}

#[test]
fn secrets_are_applied_and_their_values_are_nowhere() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: canary-hunter2-value\n";
    let (greffier, app, ns) = kept("secret", &[("web/s.yaml", secret)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    // base64 of the value
    let encoded = "Y2FuYXJ5LWh1bnRlcjItdmFsdWU=";
    assert_eq!(live(&ns, "secret/s", ".data.password"), encoded);
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok(
        "alice",
        &[
            "patch",
            "secret/s",
            "-n",
            &ns,
            "--type=merge",
            "-p",
            r#"{"stringData":{"password":"canary-other-value"}}"#,
        ],
    );
    greffier.wait("the drift", drift(&app, "s"));
    until("the secret is back", || {
        (live(&ns, "secret/s", ".data.password") == encoded).then_some(())
    });
    let out = greffier.cli_ends(0, &["log", "--all", "-n", "100000", "-o", "json"]).0;
    assert_eq!(greffier.stop(), Some(0));
    let mut places = vec![("log".to_owned(), out.into_bytes())];
    collect(&greffier.path("data/ledger"), &mut places);
    places.push(("daemon log".into(), std::fs::read(greffier.path("log")).unwrap()));
    for canary in
        ["canary-hunter2-value", encoded, "canary-other-value", "Y2FuYXJ5LW90aGVyLXZhbHVl"]
    {
        for (place, bytes) in &places {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is in {place}");
        }
    }
}

fn collect(dir: &std::path::Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, places);
        } else {
            places.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}
