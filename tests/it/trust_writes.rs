//! Each write on the real API server is correct and explained: the rows of design §8.1.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// The policy of an application that is synced by hand.
const MANUAL: &str = "{}";

/// A greffier with one application on folder `web` in a namespace that exists; not started.
fn prepared(name: &str, policy: &str, files: &[(&str, &str)]) -> (Greffier, String, String) {
    let ns = namespace(name);
    let app = format!("{name}-web");
    ControlPlane::shared().kubectl_ok("alice", &["create", "namespace", &ns]);
    let greffier = Greffier::new();
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, policy);
    (greffier.root(&root), app, ns)
}

/// The manifest of a namespaced object with its namespace.
fn placed(manifest: &str, namespace: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1)
}

/// What is known of an object of an application: its state and why.
fn resource(greffier: &Greffier, app: &str, name: &str) -> (String, String) {
    let resources = greffier.json(&["get", "resources", "--app", app, "-o", "json"]);
    let resources = resources["items"].as_array().or(resources.as_array()).unwrap().clone();
    let found = resources.iter().find(|r| r.to_string().contains(name));
    let text = |field: &str| found.map_or("", |r| r[field].as_str().unwrap()).to_owned();
    (text("sync"), text("why"))
}

fn previews(greffier: &Greffier, app: &str) -> usize {
    let events = greffier.json(&["log", app, "--all", "--kind", "object.previewed", "-o", "json"]);
    events.to_string().matches("\"object.previewed\"").count()
}

fn of<'a>(kind: &'a str, app: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event["kind"] == kind && event["detail"]["app"] == app
}

#[test]
fn an_object_that_is_as_git_says_is_synced_although_greffier_never_applied_it() {
    let (greffier, app, ns) = prepared(
        "unapplied",
        MANUAL,
        &[
            ("web/same.yaml", &config_map("same", "1")),
            ("web/other.yaml", &config_map("other", "2")),
        ],
    );
    let cluster = ControlPlane::shared();
    for (name, value) in [("same", "1"), ("other", "1")] {
        cluster.apply("alice", &placed(&config_map(name, value), &ns));
    }
    greffier.start();
    until("both are compared", || {
        let same = resource(&greffier, &app, "same");
        let other = resource(&greffier, &app, "other");
        (same.0 == "Synced" && other.0 == "OutOfSync").then_some(())
    });
    assert!(resource(&greffier, &app, "other").1.contains(".data.key"), "the field is named");
    let (diff, _) = greffier.cli_ends(1, &["diff", &app]);
    assert!(diff.contains(".data.key") && !diff.contains("same"), "{diff}");
    assert_eq!(previews(&greffier, &app), 2);
    // Seen again without a change of content, nothing is asked again; changed, it is.
    cluster.kubectl_ok("alice", &["label", "cm/same", "-n", &ns, "a=b"]);
    greffier.wait("the second look", |event| {
        of("object.previewed", &app)(event)
            && event["detail"]["key"]["name"] == "same"
            && previews(&greffier, &app) == 3
    });
    let intents = greffier.json(&["log", &app, "--all", "--kind", "apply.intent", "-o", "json"]);
    assert!(!intents.to_string().contains("apply.intent\""), "nothing was written: {intents}");
}

#[test]
fn a_dry_run_that_is_refused_leaves_it_unknown_with_the_reason() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  clusterIP: 10.0.0.77\n  ports: [{port: 80}]\n";
    let (greffier, app, ns) = prepared("refused-dry", MANUAL, &[("web/s.yaml", service)]);
    ControlPlane::shared()
        .kubectl_ok("alice", &["create", "service", "clusterip", "s", "--tcp=80", "-n", &ns]);
    greffier.start();
    let event = greffier.wait("the answer", of("object.previewed", &app));
    assert!(event["summary"].as_str().unwrap().contains("cannot be compared"), "{event}");
    until("it is unknown", || {
        let (sync, why) = resource(&greffier, &app, "Service");
        (sync == "Unknown" && why.contains("clusterIP")).then_some(())
    });
}

#[test]
fn what_is_there_already_is_adopted_quietly_by_an_automated_application() {
    let (greffier, app, ns) = prepared("adopted", KEPT, &[("web/c.yaml", &config_map("one", "1"))]);
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["create", "configmap", "one", "--from-literal=key=1", "-n", &ns]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let intent = greffier.wait("the intent", of("apply.intent", &app));
    assert_eq!(intent["detail"]["writes"][0]["verb"], "Adopt", "{intent}");
    let managers = live(&ns, "cm/one", ".metadata.managedFields[*].manager");
    assert!(managers.contains("greffier"), "{managers}");
    assert_eq!(previews(&greffier, &app), 1);
}
