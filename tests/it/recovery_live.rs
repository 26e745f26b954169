//! A recovery of what was observed, and of what no application wants, on real API servers.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, application, config_map, until};
use crate::recovery::{jsonpath, onto, target};

/// What Git changes is applied, and what people change stays.
const LEFT: &str = r#"{"automated": {}, "syncOptions": ["CreateNamespace=true"]}"#;

/// The metadata of what stays when it leaves Git.
const STAYS: &str = "name: b\n  annotations: {argocd.argoproj.io/sync-options: Prune=false}";

/// What Git names of what a cluster gives otherwise, and what it cannot change later.
const FIXED: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: dns}
spec: {type: NodePort, clusterIP: 10.96.77.77, selector: {app: dns}, ports: [{port: 53, protocol: UDP, nodePort: 31177}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'example.test/job:1'}]}}}
"#;

/// What alice makes: a namespace with workloads that no application knows of.
const BY_HAND: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: by-hand}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: by-hand, finalizers: [example.org/theirs]}
data: {key: alice}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: by-hand}
data: {password: aHVudGVyMg==}
---
apiVersion: v1
kind: Service
metadata: {name: door, namespace: by-hand}
spec: {type: NodePort, selector: {app: worker}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker, namespace: by-hand}
spec:
  replicas: 1
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec: {containers: [{name: main, image: 'example.test/worker:1'}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: by-hand}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'example.test/job:1'}]}}}
"#;

fn seen(kind: &'static str, name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| {
        event["kind"] == "object.observed"
            && event["detail"]["key"]["kind"] == kind
            && event["detail"]["key"]["name"] == name
    }
}

/// An application that somebody changed by hand, and what alice made beside it.
fn observed(cluster: &ControlPlane) -> Greffier {
    let greffier = Greffier::on(cluster);
    greffier.repo.write("web/a.yaml", &config_map("a", "git"));
    greffier.repo.write("web/b.yaml", &config_map("b", "git").replace("name: b", STAYS));
    greffier.repo.write("web/fixed.yaml", FIXED);
    let first = greffier.repo.push("first");
    let root = application("web", &greffier.repo.url(), "web", "web", LEFT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("web", &first);
    let second = greffier.repo.remove("web/b.yaml").push("second");
    greffier.wait_synced("web", &second);
    let patch =
        ["patch", "cm", "a", "-n", "web", "--type=merge", "-p", r#"{"data":{"key":"hand"}}"#];
    cluster.kubectl_ok("alice", &patch);
    greffier.wait_kind("drift.detected", "web");
    cluster.kubectl_ok("alice", &["label", "cm", "a", "-n", "web", "team=blue"]);
    greffier.wait("the label", |event| {
        seen("ConfigMap", "a")(event) && event.to_string().contains("kubectl-label")
    });
    cluster.apply("alice", BY_HAND);
    for (kind, name) in
        [("ConfigMap", "settings"), ("Secret", "password"), ("Service", "door"), ("Job", "once")]
    {
        greffier.wait(name, seen(kind, name));
    }
    let ready = ["wait", "-n", "by-hand", "--for=condition=Available", "deployment/worker"];
    cluster.kubectl_ok("alice", &ready);
    let done = ["wait", "-n", "by-hand", "--for=condition=Complete", "job/once"];
    cluster.kubectl_ok("alice", &done);
    greffier.wait("the worker is healthy", |event| {
        seen("Deployment", "worker")(event) && event["detail"]["health"] == "Healthy"
    });
    greffier.stop();
    greffier
}

#[test]
fn what_was_observed_comes_back_without_what_only_the_former_cluster_knows() {
    let burned = ControlPlane::start();
    let greffier = observed(&burned);
    drop(burned);
    let fresh = ControlPlane::start();
    let new = target(&fresh);
    // By default what Git wants comes back, and nothing else.
    let wanted = greffier.json(&onto(&new, &["--plan", "-o", "json"]));
    assert_eq!(wanted["objects"], 4, "{wanted}");
    // What left Git and is still there is no stranger's.
    let mut lost = wanted["lost"].as_array().unwrap().iter();
    let left = lost.find(|loss| loss["kind"] == "left-git").unwrap();
    assert_eq!(left["subject"], "ConfigMap/web/b", "{wanted}");
    let why = left["why"].as_str().unwrap();
    assert!(why.contains("Prune=false") && why.contains("--include-unowned"), "{wanted}");
    let later = wanted["later"].to_string();
    assert!(later.contains("Deployment.apps/by-hand/worker"), "{wanted}");

    let all = ["--live", "--include-unowned", "--yes", "-o", "json"];
    let report = greffier.json(&onto(&new, &all));
    assert_eq!(report["verified"], true, "{report}");
    let lost = report["lost"].to_string();
    assert!(lost.contains("observed-secret") && lost.contains("Secret/by-hand/password"), "{lost}");
    // What both clusters have without anybody's application is left as it is.
    assert!(report["notes"].to_string().contains("greffier-test:admins"), "{report}");

    let of = |object: &[&str], path: &str| jsonpath(&fresh, object, path);
    assert_eq!(of(&["-n", "web", "cm", "a"], ".data.key"), "hand");
    assert_eq!(of(&["-n", "web", "cm", "b"], ".data.key"), "git");
    let dns = ["-n", "web", "service", "dns"];
    let given = (of(&dns, ".spec.clusterIP"), of(&dns, ".spec.ports[0].nodePort"));
    assert_eq!(given, ("10.96.77.77".into(), "31177".into()), "as Git names them");
    let settings = ["-n", "by-hand", "cm", "settings"];
    assert_eq!(of(&settings, ".data.key"), "alice");
    assert_eq!(of(&settings, ".metadata.finalizers"), "", "whoever set it sets it again");
    assert_eq!(of(&settings, ".metadata.annotations.greffier\\.dev/application"), "");
    assert_ne!(of(&["-n", "by-hand", "service", "door"], ".spec.clusterIP"), "");
    let secrets = fresh.kubectl_ok("admin", &["get", "secrets", "-n", "by-hand", "-o", "name"]);
    assert_eq!(secrets, "");
    // Controllers make the rest, once.
    until("the worker is there", || {
        let replicas = of(&["-n", "by-hand", "deployment", "worker"], ".status.availableReplicas");
        (replicas == "1").then_some(())
    });
    let sets = fresh.kubectl_ok("admin", &["get", "rs", "-n", "by-hand", "-o", "name"]);
    assert_eq!(sets.lines().count(), 1, "{sets}");
    let done = ["wait", "-n", "by-hand", "--for=condition=Complete", "job/once", "--timeout=60s"];
    fresh.kubectl_ok("alice", &done);
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    put_by_hand_stays(greffier, &fresh);
}

/// What somebody put by hand beside what Git says stays where the new cluster is kept, and Git is
/// followed there again.
fn put_by_hand_stays(greffier: Greffier, fresh: &ControlPlane) {
    let label = || jsonpath(fresh, &["-n", "web", "cm", "a"], ".metadata.labels.team");
    assert_eq!(label(), "blue");
    greffier.repo.write("web/a.yaml", &config_map("a", "newer"));
    let newer = greffier.repo.push("newer");
    let greffier = greffier.connecting_as(fresh.kubeconfig("greffier"));
    greffier.start();
    greffier.wait("another cluster", |event| event["kind"] == "cluster.replaced");
    until("the cluster can be accepted", || {
        let output = greffier.cli(&["cluster", "accept", "--reason", "rebuilt", "--yes"]);
        output.status.success().then_some(())
    });
    greffier.wait_synced("web", &newer);
    let (why, _) = greffier.cli_ends(0, &["why", "cm/b", "-n", "web"]);
    assert!(why.contains("no application wants it") && !why.contains("never applied"), "{why}");
    assert_eq!(jsonpath(fresh, &["-n", "web", "cm", "a"], ".data.key"), "newer");
    assert_eq!(label(), "blue");
    let owners = jsonpath(fresh, &["-n", "web", "cm", "a", "--show-managed-fields"], ".metadata");
    assert!(owners.contains("greffier-replay") && owners.contains("f:team"), "{owners}");
}
