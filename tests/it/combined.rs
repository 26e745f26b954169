//! What people say in several ways about one object, on the real API server: what is ignored and
//! sent back live, what is kept, and what a strict application removes.

use serde_json::Value;

use crate::audit::checked;
use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, application, until};
use crate::failpoints::death_at;
use crate::keep::{live, namespace};
use crate::proxy::{Fault, Proxy};

const RESPECTING: &str = r#"{"automated": {"prune": true, "selfHeal": true},
    "syncOptions": ["CreateNamespace=true", "RespectIgnoreDifferences=true"]}"#;

/// The ConfigMap `one`, as JSON.
fn one(data: &str) -> String {
    format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \
         \"metadata\": {{\"name\": \"one\"}}, \"data\": {data}}}\n"
    )
}

/// A synced application that leaves `/data/live` of its ConfigMap to whoever sets it.
fn respecting(name: &str, annotation: &str) -> (Greffier, String, String) {
    let greffier = Greffier::new().configure("[cluster]\nwrite_timeout = \"1s\"");
    respecting_by(greffier, name, annotation)
}

fn respecting_by(greffier: Greffier, name: &str, annotation: &str) -> (Greffier, String, String) {
    let (ns, app) = (namespace(name), format!("{name}-web"));
    greffier.repo.write("web/c.json", &one(r#"{"live": "git", "key": "1"}"#));
    greffier.repo.push("first");
    let mut root = application(&app, &greffier.repo.url(), "web", &ns, RESPECTING);
    root += "  ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/live]}]\n";
    let annotated = format!("metadata:\n  annotations:\n    {annotation}\n");
    let greffier = greffier.root(&root.replacen("metadata:\n", &annotated, 1));
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    (greffier, app, ns)
}

fn patch(manager: &str, ns: &str, data: &str) {
    let patch = format!("{{\"data\": {data}}}");
    let args = ["patch", "cm/one", "-n", ns, "--field-manager", manager, "--type=merge", "-p"];
    ControlPlane::shared().kubectl_ok("alice", &[args.as_slice(), &[&patch]].concat());
}

fn becomes(ns: &str, key: &str, value: &str) {
    let path = format!(".data.{key}");
    until(&format!("{key} is {value:?}"), || (live(ns, "cm/one", &path) == value).then_some(()));
}

/// Somebody changes `key`, which is put back, and keeps it.
fn keeps(greffier: &Greffier, app: &str, ns: &str, value: &str) {
    patch("somebody", ns, &format!("{{\"key\": {value:?}}}"));
    let drift = greffier.wait("the drift", |event: &Value| {
        event["kind"] == "drift.detected"
            && event["detail"]["app"] == app
            && event["detail"]["kind"] == "Drift"
    });
    becomes(ns, "key", "1");
    greffier.cli_ends(0, &["keep", &drift["seq"].to_string(), "--reason", "test"]);
    becomes(ns, "key", value);
}

#[test]
fn a_write_that_sent_live_values_back_is_settled_by_what_the_cluster_shows() {
    // The request was answered and its outcome lost; the request was never sent.
    for (round, point, made) in [(2, "answered", true), (3, "sending", false)] {
        let (greffier, app, ns) = respecting(&format!("respect-{point}"), "test: \"1\"");
        greffier.kill();
        patch("scaler", &ns, r#"{"live": "theirs"}"#);
        let value = round.to_string();
        greffier.repo.write("web/c.json", &one(&format!(r#"{{"live": "git", "key": "{value}"}}"#)));
        let commit = greffier.repo.push("newer");
        death_at(&greffier, point, 1);
        assert_eq!(live(&ns, "cm/one", ".data.key") == value, made, "{point}");
        greffier.start();
        let settled = greffier.wait_kind("apply.settled", &app);
        let result = &settled["detail"]["results"][0][1];
        assert_eq!(result.get("Applied").is_some(), made, "{point}: {settled}");
        greffier.wait_synced(&app, &commit);
        becomes(&ns, "key", &value);
        assert_eq!(live(&ns, "cm/one", ".data.live"), "theirs", "{point}");
        let audit = checked(&greffier, &ns);
        let more = if made { 0 } else { 1 };
        assert_eq!(audit.intended, audit.writes + more, "{point}: {audit:?}");
    }
}

#[test]
fn what_is_kept_and_what_is_left_live_both_outlast_a_push() {
    let (greffier, app, ns) = respecting("kept-live", "test: \"1\"");
    keeps(&greffier, &app, &ns, "hand");
    patch("scaler", &ns, r#"{"live": "theirs"}"#);
    greffier.repo.write("web/c.json", &one(r#"{"live": "git", "key": "1", "new": "1"}"#));
    let commit = greffier.repo.push("more");
    greffier.wait_synced(&app, &commit);
    let data = || live(&ns, "cm/one", ".data");
    assert_eq!(data(), r#"{"key":"hand","live":"theirs","new":"1"}"#);
    let resource = format!("ConfigMap/{ns}/one");
    greffier.cli_ends(0, &["release", &resource, "--yes"]);
    becomes(&ns, "key", "1");
    assert_eq!(data(), r#"{"key":"1","live":"theirs","new":"1"}"#);
}

#[test]
fn what_people_add_goes_and_what_a_person_keeps_stays() {
    let (greffier, app, ns) = respecting("kept-strict", "greffier.dev/strict: \"true\"");
    keeps(&greffier, &app, &ns, "hand");
    patch("scaler", &ns, r#"{"live": "theirs"}"#);
    patch("kubectl-edit", &ns, r#"{"more": "by hand"}"#);
    greffier.wait("the addition", |event: &Value| {
        event["kind"] == "drift.detected" && event["detail"]["kind"] == "Addition"
    });
    becomes(&ns, "more", "");
    until("it comes to rest", || {
        let (status, _) = greffier.cli_ends(0, &["get", "resources", "--app", &app]);
        (status.contains("OnHold") && !status.contains("Drifted")).then_some(())
    });
    assert_eq!(live(&ns, "cm/one", ".data"), r#"{"key":"hand","live":"theirs"}"#);
}

#[test]
fn a_live_value_that_changed_while_it_was_sent_back_is_not_written_over() {
    let proxy = Proxy::start(&ControlPlane::shared().kubeconfig("greffier"));
    let greffier = Greffier::new().connecting_as(proxy.kubeconfig());
    let (greffier, app, ns) = respecting_by(greffier, "respect-race", "test: \"1\"");
    patch("scaler", &ns, r#"{"live": "first"}"#);
    proxy.rule("PATCH", "/configmaps/one", 1, Fault::Held);
    greffier.repo.write("web/c.json", &one(r#"{"live": "git", "key": "2"}"#));
    let commit = greffier.repo.push("newer");
    // It has read the object, and its request is on its way.
    until("the request is held", || (!proxy.met().is_empty()).then_some(()));
    patch("scaler", &ns, r#"{"live": "second"}"#);
    proxy.release();
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data"), r#"{"key":"2","live":"second"}"#);
}
