//! What people add to objects, on the real API server: announced with who, and removed from the
//! objects of a strict application.

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

/// A greffier with a synced application; `strict` as annotated.
fn kept(name: &str, strict: bool) -> (Greffier, String, String) {
    let (ns, app) = (namespace(name), format!("{name}-web"));
    let greffier = Greffier::new();
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let mut root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    if strict {
        let annotated = "metadata:\n  annotations:\n    greffier.dev/strict: \"true\"\n";
        root = root.replacen("metadata:\n", annotated, 1);
        root += "  ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/ignored]}]\n";
    }
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    (greffier, app, ns)
}

fn patch(manager: &str, ns: &str, patch: &str) {
    let args = ["patch", "cm/one", "-n", ns, "--field-manager", manager, "--type", "merge", "-p"];
    ControlPlane::shared().kubectl_ok("alice", &[args.as_slice(), &[patch]].concat());
}

fn added(app: &str) -> impl Fn(&serde_json::Value) -> bool + '_ {
    move |event| {
        event["kind"] == "drift.detected"
            && event["detail"]["app"] == app
            && event["detail"]["kind"] == "Addition"
    }
}

#[test]
fn an_addition_is_named_with_who_made_it_and_stays() {
    let (greffier, app, ns) = kept("added", false);
    patch("kubectl-edit", &ns, r#"{"data": {"more": "by hand"}}"#);
    let event = greffier.wait("the addition", added(&app));
    let summary = event["summary"].as_str().unwrap();
    assert!(summary.contains("ADDED BY HAND") && summary.contains("kubectl-edit"), "{summary}");
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains(".data.more by kubectl-edit; left as it is"), "{why}");
    let (_, diff) = greffier.cli_ends(0, &["diff", &app]);
    assert!(diff.contains("ADDED BY HAND: .data.more by kubectl-edit"), "{diff}");
    assert_eq!(live(&ns, "cm/one", ".data.more"), "by hand");
}

#[test]
fn a_strict_application_removes_what_people_add_and_leaves_programs_alone() {
    let (greffier, app, ns) = kept("strict", true);
    patch("some-program", &ns, r#"{"data": {"program": "1"}}"#);
    patch("kubectl-edit", &ns, r#"{"data": {"more": "by hand", "ignored": "by hand"}}"#);
    greffier.wait("the addition", added(&app));
    until("it is removed", || live(&ns, "cm/one", ".data.more").is_empty().then_some(()));
    assert_eq!(live(&ns, "cm/one", ".data.program"), "1");
    assert_eq!(live(&ns, "cm/one", ".data.ignored"), "by hand");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    // Whatever a person adds with a label too, and it ends: nothing is left to be written.
    let label = ["label", "cm/one", "-n", &ns, "added=by-hand"];
    ControlPlane::shared().kubectl_ok("alice", &label);
    until("it is removed", || {
        live(&ns, "cm/one", ".metadata.labels.added").is_empty().then_some(())
    });
    until("it is synced", || {
        let (status, _) = greffier.cli_ends(0, &["get", "resources", "--app", &app]);
        (status.contains("Synced") && !status.contains("Drifted")).then_some(())
    });
}
