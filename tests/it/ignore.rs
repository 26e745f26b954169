//! `ignoreDifferences` on the real API server (design §8.1): what is ignored is neither drift nor
//! healed, what is not understood is not written.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, application, deployment, until};
use crate::keep::{live, namespace};

const POLICY: &str =
    r#"{"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]}"#;
const RESPECTING: &str = r#"{"automated": {"prune": true, "selfHeal": true},
    "syncOptions": ["CreateNamespace=true", "RespectIgnoreDifferences=true"]}"#;

/// A greffier with one application that ignores `rules` (JSON), synced to its first commit.
fn ignoring(
    name: &str,
    policy: &str,
    rules: &str,
    files: &[(&str, &str)],
) -> (Greffier, String, String) {
    let (greffier, app, ns) = started(name, policy, rules, files);
    greffier.wait_synced(&app, &greffier.repo.head());
    (greffier, app, ns)
}

fn started(
    name: &str,
    policy: &str,
    rules: &str,
    files: &[(&str, &str)],
) -> (Greffier, String, String) {
    let (ns, app) = (namespace(name), format!("{name}-web"));
    let greffier = Greffier::new();
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, policy);
    let greffier = greffier.root(&format!("{root}  ignoreDifferences: {rules}\n"));
    greffier.start();
    (greffier, app, ns)
}

/// A ConfigMap with two keys.
fn pair(a: &str, b: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  a: {a:?}\n  b: {b:?}\n"
    )
}

/// Changes an object as a manager that is nobody of the cluster's own.
fn patch(manager: &str, ns: &str, object: &str, patch: &str) {
    let args = ["patch", object, "-n", ns, "--field-manager", manager, "--type", "merge", "-p"];
    ControlPlane::shared().kubectl_ok("alice", &[args.as_slice(), &[patch]].concat());
}

fn drift_of<'a>(app: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event["kind"] == "drift.detected" && event["detail"]["app"] == app
}

/// What is known of an object: its state and why.
fn resource(greffier: &Greffier, app: &str, name: &str) -> (String, String) {
    let resources = greffier.json(&["get", "resources", "--app", app, "-o", "json"]);
    let resources = resources["items"].as_array().or(resources.as_array()).unwrap().clone();
    let found = resources.iter().find(|r| r["object"].as_str().is_some_and(|o| o.ends_with(name)));
    let text = |field: &str| found.map_or("", |r| r[field].as_str().unwrap()).to_owned();
    (text("sync"), text("why"))
}

/// Waits until the cluster was observed with a value, by putting back another one after it: what
/// is announced then was decided with the former known.
fn first_drift(greffier: &Greffier, app: &str, ns: &str, object: &str, edit: &str) -> Value {
    patch("somebody", ns, object, edit);
    greffier.wait("the drift", drift_of(app))
}

#[test]
fn replicas_that_a_scaler_sets_are_left_to_it_and_the_rest_is_kept() {
    let rules = r#"[{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]"#;
    let (greffier, app, ns) =
        ignoring("ign-hpa", POLICY, rules, &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    patch("scaler", &ns, "deploy/web", r#"{"spec": {"replicas": 5}}"#);
    let (image, label) =
        (".spec.template.spec.containers[0].image", "{\"metadata\": {\"labels\": {\"x\": \"1\"}}}");
    until("it is seen", || (live(&ns, "deploy/web", ".spec.replicas") == "5").then_some(()));
    // An addition is announced; the replicas before it were not.
    let event = first_drift(&greffier, &app, &ns, "deploy/web", label);
    assert_eq!(event["detail"]["kind"], "Addition", "{event}");
    assert_eq!(event["detail"]["fields"].as_array().unwrap().len(), 1, "{event}");
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "5");
    let (sync, _) = resource(&greffier, &app, "/web");
    assert_eq!(sync, "Synced");
    let (diff, _) = greffier.cli_ends(0, &["diff", &app]);
    assert!(!diff.contains("replicas"), "{diff}");
    // For another reason Git's number is written, as Argo CD does.
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 2));
    let commit = greffier.repo.push("v2");
    greffier.wait_synced(&app, &commit);
    assert_eq!(
        (live(&ns, "deploy/web", image), live(&ns, "deploy/web", ".spec.replicas")),
        ("app:v2".into(), "2".into())
    );
}

#[test]
fn a_respected_live_value_survives_a_sync() {
    let rules = r#"[{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]"#;
    let (greffier, app, ns) =
        ignoring("ign-keep", RESPECTING, rules, &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "2", "Git's number where nothing was");
    patch("scaler", &ns, "deploy/web", r#"{"spec": {"replicas": 5}}"#);
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 2));
    let commit = greffier.repo.push("v2");
    greffier.wait_synced(&app, &commit);
    let image = ".spec.template.spec.containers[0].image";
    assert_eq!(
        (live(&ns, "deploy/web", image), live(&ns, "deploy/web", ".spec.replicas")),
        ("app:v2".into(), "5".into())
    );
    // The healing of something else keeps it too.
    let edit = r#"{"spec": {"minReadySeconds": 0, "template": {"metadata": {"labels": {"app": "web", "x": null}}}, "paused": true}}"#;
    patch("scaler", &ns, "deploy/web", r#"{"spec": {"replicas": 7}}"#);
    patch("somebody", &ns, "deploy/web", edit);
    let set_image = ["set", "image", "deploy/web", "main=app:hand", "-n", &ns];
    ControlPlane::shared().kubectl_ok("alice", &set_image);
    until("it is healed", || (live(&ns, "deploy/web", image) == "app:v2").then_some(()));
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "7");
}

#[test]
fn an_ignored_variable_stays_before_those_that_are_expanded_from_it() {
    let rules = r#"[{"group": "apps", "kind": "Deployment", "jqPathExpressions": [
        ".spec.template.spec.containers[].env[] | select(.name == \"HOST\")"]}]"#;
    let web = |image: &str| {
        let env = "[{name: HOST, value: git}, {name: URL, value: 'http://$(HOST)/'}]";
        deployment("web", image, 1).replace("image:", &format!("env: {env}\n          image:"))
    };
    let (greffier, app, ns) =
        ignoring("ign-env", RESPECTING, rules, &[("web/d.yaml", &web("app:v1"))]);
    let env = r#"[{"name": "HOST", "value": "theirs"}]"#;
    let edit = format!(
        r#"{{"spec": {{"template": {{"spec": {{"containers": [{{"name": "main", "env": {env}}}]}}}}}}}}"#
    );
    let args = ["patch", "deploy/web", "-n", &ns, "--field-manager", "scaler", "-p", &edit];
    ControlPlane::shared().kubectl_ok("alice", &args);
    greffier.repo.write("web/d.yaml", &web("app:v2"));
    let commit = greffier.repo.push("v2");
    greffier.wait_synced(&app, &commit);
    let container = ".spec.template.spec.containers[0]";
    assert_eq!(live(&ns, "deploy/web", &format!("{container}.image")), "app:v2");
    assert_eq!(live(&ns, "deploy/web", &format!("{container}.env[*].name")), "HOST URL");
    assert_eq!(live(&ns, "deploy/web", &format!("{container}.env[0].value")), "theirs");
}

#[test]
fn a_jq_path_selects_an_item_of_a_list() {
    let two = deployment("web", "app:v1", 1) + "        - name: side\n          image: side:v1\n";
    let rules = r#"[{"group": "*", "kind": "Deploy*", "name": "web", "jqPathExpressions":
        [".spec.template.spec.containers[] | select(.name == \"side\") | .image",
         ".spec.template.spec.initContainers[] | select(.name == \"none\")"]}]"#;
    let (greffier, app, ns) = ignoring("ign-jq", POLICY, rules, &[("web/d.yaml", &two)]);
    let (cluster, images) = (ControlPlane::shared(), ".spec.template.spec.containers[*].image");
    cluster.kubectl_ok("alice", &["set", "image", "deploy/web", "side=side:hand", "-n", &ns]);
    cluster.kubectl_ok("alice", &["set", "image", "deploy/web", "main=app:hand", "-n", &ns]);
    let event = greffier.wait("the drift", drift_of(&app));
    let fields = event["detail"]["fields"].as_array().unwrap();
    let paths: Vec<_> = fields.iter().map(|field| field["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [".spec.template.spec.containers[name=main].image"], "{event}");
    // Without RespectIgnoreDifferences healing the one writes Git's version of the other, too.
    until("it is healed", || (live(&ns, "deploy/web", images) == "app:v1 side:v1").then_some(()));
    assert_eq!(resource(&greffier, &app, "/web").0, "Synced");
}

#[test]
fn the_fields_of_a_manager_are_left_to_it() {
    let rules = r#"[{"kind": "ConfigMap", "managedFieldsManagers": ["tuner"]}]"#;
    let (greffier, app, ns) =
        ignoring("ign-man", RESPECTING, rules, &[("web/c.yaml", &pair("1", "1"))]);
    patch("tuner", &ns, "cm/one", r#"{"data": {"a": "tuned", "more": "tuned"}}"#);
    let event = first_drift(&greffier, &app, &ns, "cm/one", r#"{"data": {"b": "hand"}}"#);
    let fields = event["detail"]["fields"].as_array().unwrap();
    assert_eq!((fields.len(), &fields[0]["path"]), (1, &".data.b".into()), "{event}");
    until("it is healed", || (live(&ns, "cm/one", ".data.b") == "1").then_some(()));
    assert_eq!(
        (live(&ns, "cm/one", ".data.a"), live(&ns, "cm/one", ".data.more")),
        ("tuned".into(), "tuned".into())
    );
}

#[test]
fn an_endless_expression_is_stopped_and_suspends_the_write_by_name() {
    let rules = r#"[{"kind": "ConfigMap", "jqPathExpressions": [".data | until(false; .)"]}]"#;
    let (greffier, app, ns) =
        ignoring("ign-hang", POLICY, rules, &[("web/c.yaml", &pair("1", "1"))]);
    patch("somebody", &ns, "cm/one", r#"{"data": {"a": "hand"}}"#);
    let failed = greffier.wait_kind("ignore.failed", &app);
    let summary = failed["summary"].as_str().unwrap();
    assert!(summary.contains("until(false; .)") && summary.contains("CPU time"), "{summary}");
    let suspended = greffier.wait_kind("plan.suspended", &app);
    assert!(
        suspended["detail"]["reasons"][0].as_str().unwrap().contains("until(false; .)"),
        "{suspended}"
    );
    let (sync, why) = resource(&greffier, &app, "/one");
    assert!(sync == "Unknown" && why.contains("CPU time"), "{sync} {why}");
    let (told, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(told.contains("until(false; .)"), "{told}");
    assert_eq!(live(&ns, "cm/one", ".data.a"), "hand", "it is not written");
    // The rest of the daemon is alive, and a rule that can be understood ends it.
    let rules = r#"[{"kind": "ConfigMap", "jqPathExpressions": [".data.b"]}]"#;
    let root = application(&app, &greffier.repo.url(), "web", &ns, POLICY);
    let file = greffier.path("again.yaml");
    std::fs::write(&file, format!("{root}  ignoreDifferences: {rules}\n")).unwrap();
    let greffier = redeclared(greffier, &file);
    until("it is healed", || (live(&ns, "cm/one", ".data.a") == "1").then_some(()));
    drop(greffier);
}

/// The same daemon, started again with another definition of its root application.
fn redeclared(greffier: Greffier, file: &std::path::Path) -> Greffier {
    assert_eq!(greffier.stop(), Some(0));
    std::fs::copy(file, greffier.path("root-0.yaml")).unwrap();
    greffier.start();
    greffier
}

#[test]
fn an_expression_that_cannot_be_read_is_named_at_declaration() {
    let rules = r#"[{"kind": "ConfigMap", "jqPathExpressions": [".data | nonsense(.a)"]},
                    {"kind": "Secret", "jsonPointers": ["data"]}]"#;
    let (greffier, app, ns) = started("ign-bad", POLICY, rules, &[("web/c.yaml", &pair("1", "1"))]);
    let checked = greffier.wait_kind("ignore.checked", &app);
    assert!(checked["summary"].as_str().unwrap().contains("no filter `nonsense`"), "{checked}");
    until("it is created", || (live(&ns, "cm/one", ".data.a") == "1").then_some(()));
    greffier.repo.write("web/c.yaml", &pair("2", "2"));
    greffier.repo.push("an update");
    let suspended = greffier.wait_kind("plan.suspended", &app);
    assert!(suspended["summary"].as_str().unwrap().contains("nonsense"), "{suspended}");
    assert_eq!(live(&ns, "cm/one", ".data.a"), "1", "it is not written");
}

#[test]
fn a_changed_rule_compares_again() {
    let all = r#"[{"kind": "ConfigMap", "jsonPointers": ["/data/a", "/data/b"]}]"#;
    let (greffier, app, ns) = ignoring("ign-rule", POLICY, all, &[("web/c.yaml", &pair("1", "1"))]);
    patch("somebody", &ns, "cm/one", r#"{"data": {"a": "hand", "b": "hand"}}"#);
    let event = first_drift(&greffier, &app, &ns, "cm/one", r#"{"data": {"c": "added"}}"#);
    assert_eq!(event["detail"]["kind"], "Addition", "{event}");
    assert_eq!(
        (live(&ns, "cm/one", ".data.a"), live(&ns, "cm/one", ".data.b")),
        ("hand".into(), "hand".into())
    );
    // The owner of both values is somebody else by now: they drifted as far as nobody ignores.
    let one = r#"[{"kind": "ConfigMap", "jsonPointers": ["/data/b"]}]"#;
    let root = application(&app, &greffier.repo.url(), "web", &ns, RESPECTING);
    let file = greffier.path("again.yaml");
    std::fs::write(&file, format!("{root}  ignoreDifferences: {one}\n")).unwrap();
    let greffier = redeclared(greffier, &file);
    until("it is healed", || (live(&ns, "cm/one", ".data.a") == "1").then_some(()));
    assert_eq!(live(&ns, "cm/one", ".data.b"), "hand");
    drop(greffier);
}
