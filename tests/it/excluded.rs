//! Kinds that are not watched, and objects of them that an application wants all the same.

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// A database outside the cluster: a Service without a selector, and where it is.
fn outside(ip: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: db}}
spec: {{ports: [{{port: 5432}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: db}}
subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 5432}}]}}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: lock}}
spec: {{leaseDurationSeconds: 15}}
"
    )
}

fn seen(greffier: &Greffier) -> Vec<String> {
    let events = greffier.json(&["log", "--all", "-n", "10000", "-o", "json"]);
    let events = events["items"].as_array().or(events.as_array()).unwrap().clone();
    let seen = events.iter().filter(|event| event["kind"] == "object.observed");
    let key = |event: &serde_json::Value| event["summary"].as_str().unwrap().to_owned();
    seen.map(key).filter(|key| key.contains("Lease") || key.contains("Endpoints")).collect()
}

#[test]
fn objects_of_excluded_kinds_are_kept_where_git_has_them_and_no_others_are_recorded() {
    let (app, ns) = ("excluded-web".to_owned(), namespace("excluded"));
    let greffier = Greffier::new();
    greffier.repo.write("web/map.yaml", &config_map("map", "1"));
    greffier.repo.write("web/db.yaml", &outside("192.0.2.1"));
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let ip = || live(&ns, "endpoints/db", ".subsets[0].addresses[0].ip");
    assert_eq!(ip(), "192.0.2.1");
    // A hand edit is put back, as with any other kind.
    let edit = r#"{"subsets": [{"addresses": [{"ip": "192.0.2.66"}], "ports": [{"port": 5432}]}]}"#;
    let args = ["patch", "endpoints/db", "-n", &ns, "--type", "merge", "-p", edit];
    ControlPlane::shared().kubectl_ok("alice", &args);
    greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["key"]["kind"] == "Endpoints"
    });
    until("it is put back", || (ip() == "192.0.2.1").then_some(()));
    // What comes to an application later is watched from then on, and what leaves it goes.
    greffier.repo.write("web/db.yaml", &outside("192.0.2.2").replace("lock", "other"));
    let commit = greffier.repo.push("another lease");
    greffier.wait_synced(&app, &commit);
    assert_eq!(ip(), "192.0.2.2");
    assert_eq!(live(&ns, "lease/other", ".metadata.name"), "other");
    until("what left is gone", || {
        live(&ns, "lease/lock", ".metadata.name").is_empty().then_some(())
    });
    let seen = seen(&greffier);
    assert!(seen.iter().all(|key| key.contains(&ns)), "{seen:#?}");
}

#[test]
fn what_exists_already_is_adopted_and_a_configured_exclusion_stops_nobody() {
    let (app, ns) = ("noted-web".to_owned(), namespace("noted"));
    let greffier = Greffier::new().configure("[cluster]\nexclude = [\"ConfigMap\"]");
    ControlPlane::shared().kubectl_ok("admin", &["create", "namespace", &ns]);
    let create = ["create", "configmap", "map", "-n", &ns, "--from-literal=key=old"];
    ControlPlane::shared().kubectl_ok("alice", &create);
    greffier.repo.write("web/map.yaml", &config_map("map", "1"));
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/map", ".data.key"), "1");
    let adopted = greffier.wait("the adoption", |event| event["kind"] == "apply.intent");
    assert!(adopted["summary"].as_str().unwrap().contains("adopt"), "{adopted}");
    greffier.repo.remove("web/map.yaml").write("web/more.yaml", &config_map("more", "1"));
    let commit = greffier.repo.push("another map");
    greffier.wait_synced(&app, &commit);
    until("what left is gone", || live(&ns, "cm/map", ".metadata.name").is_empty().then_some(()));
}
