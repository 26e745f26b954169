//! Renders that nobody asked for wait: rewritten histories that drop what is applied, and other
//! versions of what renders.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::cluster::{ControlPlane, tool_dir};
use crate::daemon::{Greffier, KEPT, application, config_map, run, until};
use crate::keep::{kept, live, namespace};

/// Replaces the last commit by another one and pushes it by force.
fn force_push(greffier: &Greffier, message: &str) -> String {
    greffier.repo.git(&["add", "-A"]);
    greffier.repo.git(&["commit", "-q", "--amend", "-m", message]);
    greffier.repo.git(&["push", "-q", "--force", "origin", "main"]);
    greffier.repo.head()
}

fn rendered<'c>(app: &'c str, commit: &'c str) -> impl Fn(&Value) -> bool + 'c {
    move |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["app"] == app
            && event["detail"]["revision"]["commit"] == commit
    }
}

#[test]
fn a_force_push_that_drops_what_is_applied_waits_and_the_former_render_is_kept() {
    let (greffier, app, ns) = kept("rewrite", &[("web/c.yaml", &config_map("c", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    // Another commit takes the place of the second one.
    greffier.repo.write("web/c.yaml", &config_map("c", "other"));
    greffier.repo.write("web/new.yaml", &config_map("new", "1"));
    force_push(&greffier, "rewritten");
    let gate = greffier.wait_kind("plan.gated", &app);
    let reasons = gate["detail"]["reasons"].to_string();
    assert!(reasons.contains("was rewritten and dropped commit"), "{reasons}");
    assert!(reasons.contains(&second[..10]), "{reasons}");
    let value = || live(&ns, "cm/c", ".data.key");
    assert_eq!((value(), live(&ns, "cm/new", ".data.key")), ("two".into(), String::new()));
    // What is in force is healed.
    let edit = r#"{"data":{"key":"edited"}}"#;
    ControlPlane::shared()
        .kubectl_ok("alice", &["patch", "cm/c", "-n", &ns, "--type=merge", "-p", edit]);
    greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    until("it is healed", || (value() == "two").then_some(()));
    // It is explained, and the approval lets all of it pass.
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("was rewritten") && why.contains("greffier approve"), "{why}");
    let (plan, _) = greffier.cli_ends(1, &["plan", &app]);
    assert!(plan.contains("\"rewritten\" by Ada"), "{plan}");
    let rewritten = greffier.repo.head();
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &rewritten);
    assert_eq!((value(), live(&ns, "cm/new", ".data.key")), ("other".into(), "1".into()));
    // What comes after it is a commit like any other.
    greffier.repo.write("web/c.yaml", &config_map("c", "three"));
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);
    assert_eq!(value(), "three");
}

#[test]
fn a_push_that_contains_the_dropped_commit_again_releases_the_rewrite() {
    let (greffier, app, ns) = kept("restore", &[("web/c.yaml", &config_map("c", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    greffier.repo.write("web/c.yaml", &config_map("c", "other"));
    force_push(&greffier, "rewritten");
    greffier.wait_kind("plan.gated", &app);
    // The branch is put back: nothing waits any more.
    let other = greffier.repo.head();
    greffier.repo.git(&["push", "-q", "--force", "origin", &format!("{second}:main")]);
    greffier.wait_kind("plan.lapsed", &app);
    greffier.repo.git(&["push", "-q", "--force", "origin", &format!("{other}:main")]);
    let seq = greffier.wait_kind("plan.lapsed", &app)["seq"].as_u64().unwrap();
    let again = |event: &Value| event["kind"] == "plan.gated" && event["detail"]["app"] == *app;
    greffier.wait_after(seq, "the gate again", again);
    assert_eq!(live(&ns, "cm/c", ".data.key"), "two");
    // A merge contains both: somebody decided.
    greffier.repo.git(&["merge", "-q", "-s", "ours", "-m", "both", &second]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    let merged = greffier.repo.head();
    let event = greffier.wait("the render", rendered(&app, &merged));
    assert_eq!(event["detail"]["restores"], serde_json::json!([second]));
    greffier.wait_synced(&app, &merged);
    assert_eq!(live(&ns, "cm/c", ".data.key"), "other");
}

#[test]
fn a_rewrite_follows_at_once_where_nothing_changes_or_the_source_says_so() {
    let ns = namespace("follow");
    let greffier = Greffier::new();
    let url = greffier.repo.url();
    let toml = format!("[[source]]\nrepo = {url:?}\non_rewrite = \"follow\"\n");
    let greffier = greffier.configure(&toml);
    let root = application("follow-web", &url, "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.repo.write("web/c.yaml", &config_map("c", "one"));
    let first = greffier.repo.push("first");
    greffier.start();
    greffier.wait_synced("follow-web", &first);
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = force_push(&greffier, "other content");
    greffier.wait_synced("follow-web", &second);
    assert_eq!(live(&ns, "cm/c", ".data.key"), "two");
    let event = greffier.wait("the rewrite", |event| event["kind"] == "git.history-rewritten");
    assert_eq!(event["detail"]["follow"], true, "{event}");

    // Another message, the same files: nothing would change.
    let (greffier, app, _) = kept("reworded", &[("web/c.yaml", &config_map("c", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("other/file", "x");
    let reworded = force_push(&greffier, "reworded");
    greffier.wait("it follows", |event| {
        event["kind"] == "render.unchanged" && event["detail"]["revision"]["commit"] == *reworded
    });
    let gates = greffier.json(&["log", "--kind", "plan.gated", "-o", "json"]);
    assert_eq!(gates.as_array().map(Vec::len), Some(0), "{gates}");
}

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";

/// A Helm that says to be of another version, and renders `colour` for what it is asked.
fn helm(greffier: &Greffier, version: &str, colour: &str) {
    let (helm, real) = (greffier.path("helm"), tool_dir().join("helm"));
    let new = greffier.path("helm.new");
    let real = real.display();
    let script = format!(
        "#!/bin/bash\nif [ \"$1\" = version ]; then echo {version}; exit; fi\n\
         {real} \"$@\" | sed s/COLOUR/{colour}/\n"
    );
    fs::write(&new, script).unwrap();
    run(Command::new("chmod").arg("755").arg(&new));
    fs::rename(&new, &helm).unwrap();
}

#[test]
fn an_upgrade_waits_where_it_would_change_objects_and_goes_through_where_not() {
    let ns = namespace("upgrade");
    let greffier = Greffier::new();
    let program = greffier.path("helm");
    let greffier = greffier.configure(&format!("[tools]\nhelm = {program:?}\nsandbox = \"off\"\n"));
    helm(&greffier, "v4.0.1", "blue");
    // Other tests define kinds meanwhile, which a chart may ask for: these do not.
    let own = |path: &str| {
        format!("    path: {path}\n    helm: {{kubeVersion: 1.36.0, apiVersions: [v1]}}\n")
    };
    let (coloured, plain) = ("upgrade-coloured", "upgrade-plain");
    let mut greffier = greffier;
    for app in [coloured, plain] {
        let manifest = application(app, &greffier.repo.url(), app, &ns, KEPT);
        greffier = greffier.root(&manifest.replace(&format!("    path: {app}\n"), &own(app)));
        greffier.repo.write(&format!("{app}/Chart.yaml"), CHART);
    }
    greffier.repo.write(&format!("{coloured}/templates/c.yaml"), &config_map("coloured", "COLOUR"));
    greffier.repo.write(&format!("{plain}/templates/c.yaml"), &config_map("plain", "grey"));
    let first = greffier.repo.push("first");
    greffier.start();
    for app in [coloured, plain] {
        greffier.wait_synced(app, &first);
    }
    let value = || live(&ns, "cm/coloured", ".data.key");
    assert_eq!(value(), "blue");
    // The same once more after a restart: nothing is rendered, nothing waits.
    greffier.stop();
    greffier.start();
    helm(&greffier, "v4.1.0", "red");
    greffier.stop();
    greffier.start();
    let gate = greffier.wait_kind("plan.gated", coloured);
    let reasons = gate["detail"]["reasons"].to_string();
    let what = format!("ConfigMap/{ns}/coloured with no commit behind it: helm v4.0.1 -> v4.1.0");
    assert!(reasons.contains(&what), "{reasons}");
    assert_eq!(value(), "blue");
    let (plan, _) = greffier.cli_ends(1, &["plan", coloured]);
    assert!(plan.contains("helm v4.0.1 -> v4.1.0") && plan.contains("coloured"), "{plan}");
    // What comes out the same went through without a word.
    greffier.wait("the other render", |event| {
        rendered(plain, &first)(event)
            && event["detail"]["made_with"].to_string().contains("v4.1.0")
    });
    let gates = greffier.json(&["log", plain, "--kind", "plan.gated", "-o", "json"]);
    assert_eq!(gates.as_array().map(Vec::len), Some(0), "{gates}");
    // The former render is in force, and healed.
    let edit = r#"{"data":{"key":"edited"}}"#;
    ControlPlane::shared()
        .kubectl_ok("alice", &["patch", "cm/coloured", "-n", &ns, "--type=merge", "-p", edit]);
    greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    until("it is healed", || (value() == "blue").then_some(()));
    greffier.cli_ends(0, &["approve", coloured, "--yes"]);
    until("it is red", || (value() == "red").then_some(()));
    let programs = greffier.json(&["log", "--all", "--kind", "render.programs", "-o", "json"]);
    assert_eq!(programs.as_array().map(Vec::len), Some(1), "told once: {programs}");
}

#[test]
fn a_branch_that_comes_back_without_what_is_applied_waits_like_a_force_push() {
    let (greffier, app, ns) = kept("recreated", &[("web/c.yaml", &config_map("c", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    let bare = greffier.repo.url();
    greffier.repo.git(&["--git-dir", &bare, "update-ref", "-d", "refs/heads/main"]);
    greffier.wait("the missing branch", |event| {
        event["kind"] == "render.failed" && event["detail"]["app"] == app.as_str()
    });
    // It comes back as another history, after a restart of greffier.
    greffier.kill().start();
    greffier.repo.write("web/c.yaml", &config_map("c", "other"));
    force_push(&greffier, "instead");
    let gate = greffier.wait_kind("plan.gated", &app);
    let reasons = gate["detail"]["reasons"].to_string();
    assert!(reasons.contains("was rewritten and dropped commit"), "{reasons}");
    assert_eq!(live(&ns, "cm/c", ".data.key"), "two");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/c", ".data.key"), "other");
}
