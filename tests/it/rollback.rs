//! Back to an earlier instant on a real API server, and held there.

use std::fs;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, config_map, until};
use crate::keep::{kept, kept_with, live};

/// `web` with `a` and `b` at its first commit; the second changed `a`, dropped `b` and brought `c`.
/// With the event after which the first commit was applied.
pub(crate) fn moved_on(name: &str) -> (Greffier, String, String, u64) {
    let files = [("web/a.yaml", config_map("a", "one")), ("web/b.yaml", config_map("b", "one"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let (greffier, app, ns) = kept(name, &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let then = greffier.seq();
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    greffier.repo.remove("web/b.yaml");
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    (greffier, app, ns, then)
}

/// What is in the cluster of `a`, `b` and `c`.
pub(crate) fn values(ns: &str) -> [String; 3] {
    ["cm/a", "cm/b", "cm/c"].map(|object| live(ns, object, ".data.key"))
}

fn rendered<'c>(app: &'c str, commit: &'c str) -> impl Fn(&Value) -> bool + 'c {
    move |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["app"] == app
            && event["detail"]["revision"]["commit"] == commit
    }
}

fn edit(ns: &str, object: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
    ControlPlane::shared()
        .kubectl_ok("alice", &["patch", object, "-n", ns, "--type=merge", "-p", &patch]);
}

pub(crate) const THEN: [&str; 3] = ["one", "one", ""];

#[test]
fn a_rollback_holds_through_edits_pushes_restarts_and_without_git_until_it_is_released() {
    let (greffier, app, ns, then) = moved_on("rollback");
    let to = format!("#{then}");
    assert_eq!(values(&ns), ["two", "", "two"]);
    // Shown first, and nothing is done.
    let plan = greffier.json(&["rollback", &app, "--to", &to, "--plan", "-o", "json"]);
    assert_eq!(plan["counts"], serde_json::json!({"create": 1, "prune": 1, "update": 1}), "{plan}");
    assert_eq!((&plan["missing"], &plan["to"]), (&serde_json::json!([]), &then.into()));
    let (_, asked) = greffier.cli_ends(6, &["rollback", &app, "--to", &to]);
    assert!(asked.contains("prune") && asked.contains("nobody is there to be asked"), "{asked}");
    let held = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(0), "{held}");

    // Git is away while it is done.
    let (bare, away) = (greffier.repo.bare.clone(), greffier.repo.bare.with_extension("away"));
    fs::rename(&bare, &away).unwrap();
    greffier.cli_ends(0, &["refresh"]);
    greffier.wait("the failed fetch", |event| event["kind"] == "git.fetch-failed");
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes", "--reason", "incident 7"]);
    assert_eq!(values(&ns), THEN);
    let begun = greffier.wait_kind("hold.app-begun", &app);
    let told = begun["summary"].as_str().unwrap();
    assert!(told.contains("HELD as at #") && told.contains("incident 7"), "{told}");
    greffier.kill().start();
    edit(&ns, "cm/a", "edited");
    until("the edit is put back to what is held", || (values(&ns) == THEN).then_some(()));
    fs::rename(&away, &bare).unwrap();

    // A push is recorded and rendered, and not applied.
    greffier.repo.write("web/a.yaml", &config_map("a", "three"));
    greffier.repo.write("web/d.yaml", &config_map("d", "three"));
    let third = greffier.repo.push("third");
    greffier.wait("the render", rendered(&app, &third));
    edit(&ns, "cm/b", "edited");
    until("what is held is healed", || (values(&ns) == THEN).then_some(()));
    assert_eq!(live(&ns, "cm/d", ".data.key"), "");
    // Loud everywhere.
    for verb in [vec!["status"], vec!["get", "apps"], vec!["show", &app], vec!["tree", &app]] {
        let (said, _) = greffier.cli_ends(0, &verb);
        assert!(said.to_lowercase().contains(&format!("as at #{then}")), "{verb:?}: {said}");
    }
    let why = greffier.json(&["why", &app, "-o", "json"]);
    assert_eq!(why["reasons"][0]["code"], "held_at", "{why}");
    assert!(why["can_do"].to_string().contains("greffier release"), "{why}");

    // What the release does is shown, and it goes to the newest commit.
    let plan = greffier.json(&["release", &app, "--plan", "-o", "json"]);
    assert_eq!(plan["counts"], serde_json::json!({"create": 2, "prune": 1, "update": 1}), "{plan}");
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    greffier.wait_synced(&app, &third);
    until("Git is followed", || (values(&ns) == ["three", "", "two"]).then_some(()));
    assert_eq!(live(&ns, "cm/d", ".data.key"), "three");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(!status.contains("HELD"), "{status}");
}

#[test]
fn a_hold_ends_by_itself_when_its_time_is_over_and_when_git_says_the_same() {
    let (greffier, app, ns, then) = moved_on("rollend");
    let to = format!("#{then}");
    let args = ["rollback", &app, "--to", &to, "--yes", "--for", "3s"];
    greffier.cli_ends(0, &args);
    let ended = greffier.wait_kind("hold.app-ended", &app);
    assert_eq!(ended["detail"]["end"], "Expired", "{ended}");
    until("Git is followed", || (values(&ns) == ["two", "", "two"]).then_some(()));

    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    greffier.repo.git(&["revert", "--no-edit", "HEAD"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    let first = ended["seq"].as_u64().unwrap();
    let ended = greffier.wait_after(first, "the end", |event| event["kind"] == "hold.app-ended");
    assert_eq!(ended["detail"]["end"], "SameAsGit", "{ended}");
    assert_eq!(values(&ns), THEN);
    let (_, refused) = greffier.cli_ends(6, &["release", &app, "--yes"]);
    assert!(refused.contains("nothing of"), "{refused}");
}

#[test]
fn an_application_that_is_synced_by_hand_is_rolled_back_once_and_by_commit() {
    let policy = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) =
        kept_with("rollmanual", policy, &[("web/a.yaml", &config_map("a", "one"))]);
    let first = greffier.repo.head();
    greffier.wait_kind("render.succeeded", &app);
    greffier.cli_ends(0, &["sync", &app]);
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    greffier.repo.write("web/c.yaml", &config_map("c", "two"));
    let second = greffier.repo.push("second");
    greffier.wait("the render", rendered(&app, &second));
    greffier.cli_ends(0, &["sync", &app]);
    assert_eq!(values(&ns), ["two", "", "two"]);
    let to = format!("git:{first}");
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    assert_eq!(values(&ns), ["one", "", ""]);
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    greffier.wait_kind("hold.app-ended", &app);
    assert_eq!(values(&ns), ["one", "", ""], "what Git says is synced by hand");
    greffier.cli_ends(0, &["sync", &app]);
    assert_eq!(values(&ns), ["two", "", "two"]);
}

#[test]
fn what_cannot_be_rolled_back_is_refused_with_the_reason() {
    let (greffier, app, ns, then) = moved_on("rollrefused");
    let before = greffier.seq();
    let refused = |code: i32, to: &str, what: &str| {
        let (_, said) = greffier.cli_ends(code, &["rollback", &app, "--to", to, "--yes"]);
        assert!(said.contains(what), "{to}: {said}");
    };
    refused(6, "#1", "was not there");
    refused(2, "mark:nothing", "there is no mark");
    refused(2, "#999999", "there is no event");
    let now = format!("#{before}");
    refused(6, &now, "nothing is to be held");
    let (_, said) = greffier.cli_ends(2, &["rollback", "nobody", "--to", &now, "--yes"]);
    assert!(said.contains("no application"), "{said}");
    let (_, said) = greffier.cli_ends(2, &["--at", &now, "rollback", &app, "--to", &now, "--yes"]);
    assert!(said.contains("changes something"), "{said}");
    greffier.stop();
    greffier.start_with(&["--observe"]);
    refused(6, &format!("#{then}"), "only observes");
    assert_eq!(values(&ns), ["two", "", "two"]);
    let held = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(0), "{held}");
}

#[test]
fn deletions_beyond_the_limits_are_shown_and_allowed_with_the_rollback() {
    let (greffier, app, ns) = kept("rollgate", &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let to = format!("#{}", greffier.seq());
    for name in ["c", "d", "e", "f"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "1"));
    }
    let second = greffier.repo.push("four more");
    greffier.wait_synced(&app, &second);
    let (plan, _) = greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--plan"]);
    assert!(plan.contains("EXCEEDS") && plan.contains("would delete 4 of"), "{plan}");
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    assert_eq!(values(&ns), ["one", "", ""]);
    let gated = greffier.json(&["log", "--kind", "plan.gated", "-o", "json"]);
    assert_eq!(gated.as_array().map(Vec::len), Some(0), "{gated}");
}

/// A definition of widgets in a group of their own.
fn widgets(group: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

#[test]
fn what_cannot_be_restored_is_listed_and_nothing_is_written_unless_a_person_leaves_it() {
    let group = format!("rollback{}.example.org", std::process::id());
    let cluster = ControlPlane::shared();
    cluster.apply("admin", &widgets(&group));
    let name = format!("widgets.{group}");
    cluster.kubectl_ok("admin", &["wait", "--for=condition=Established", "crd", &name]);
    let widget = format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w}}\n");
    let files = [("web/a.yaml", &*config_map("a", "one")), ("web/w.yaml", &*widget)];
    let (greffier, app, ns) = kept("rollpartial", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let to = format!("#{}", greffier.seq());
    greffier.repo.remove("web/w.yaml");
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("without widgets");
    greffier.wait_synced(&app, &second);
    let seq = greffier.seq();
    cluster.kubectl_ok("admin", &["delete", "crd", &name]);
    greffier.wait_after(seq, "the kind is gone", |event| {
        event["kind"] == "cluster.kinds" && !event["detail"].to_string().contains(&group)
    });

    let missing = format!("Widget.{group}/{ns}/w: the cluster does not serve Widget.{group}");
    for more in ["--plan", "--yes"] {
        let (_, said) = greffier.cli_ends(6, &["rollback", &app, "--to", &to, more]);
        assert!(said.contains(&missing) && said.contains("--partial"), "{more}: {said}");
    }
    assert_eq!(live(&ns, "cm/a", ".data.key"), "two");
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes", "--partial"]);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    let begun = greffier.wait_kind("hold.app-begun", &app);
    assert!(begun["summary"].as_str().unwrap().contains("LEFT AS THEY WERE"), "{begun}");
}

#[test]
fn an_application_goes_back_to_when_it_was_healthy_last() {
    let (greffier, app, ns) = kept("rollhealthy", &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let well = greffier.wait("it is healthy", |event| {
        event["kind"] == "app.health"
            && event["detail"]["app"] == *app
            && event["detail"]["now"] == "Healthy"
    });
    let (_, misspelt) = greffier.cli_ends(2, &["rollback", &app, "--to", "last-healty", "--yes"]);
    assert!(misspelt.contains("write last-healthy"), "{misspelt}");
    let (_, never) = greffier.cli_ends(6, &["rollback", &app, "--to", "last-healthy", "--yes"]);
    assert!(never.contains("was never Healthy and Synced"), "{never}");
    // Nobody gives it an address: it is on its way for ever.
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n";
    greffier.repo.write("web/s.yaml", service);
    for bad in ["two", "three"] {
        greffier.repo.write("web/a.yaml", &config_map("a", bad));
        let commit = greffier.repo.push(bad);
        greffier.wait_synced(&app, &commit);
    }
    let seq = well["seq"].as_u64().unwrap();
    greffier.wait_after(seq, "it is unwell", |event| {
        event["kind"] == "app.health" && event["detail"]["now"] == "Progressing"
    });
    greffier.cli_ends(0, &["rollback", &app, "--to", "last-healthy", "--yes"]);
    assert_eq!(values(&ns), ["one", "", ""]);
    assert_eq!(live(&ns, "svc/s", ".metadata.name"), "");
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["held"][0]["said"], "last-healthy", "{status}");
}

/// Goal: a freeze and a pause hold up what is written, not what a person decides; and a release is
/// shown and asked about before it is done.
#[test]
fn what_is_frozen_or_paused_is_rolled_back_when_that_is_over() {
    let (greffier, app, ns, then) = moved_on("rollfrozen");
    let to = format!("#{then}");
    for (begins, ends) in [(["freeze", ""], ["unfreeze", ""]), (["pause", &app], ["resume", &app])]
    {
        let verb = |words: [&str; 2]| {
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            greffier.cli_ends(0, &words);
        };
        verb(begins);
        let (said, told) = greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
        assert!(format!("{said}{told}").contains("nothing is written now"), "{said} {told}");
        assert_eq!(values(&ns), ["two", "", "two"]);
        verb(ends);
        until("it is rolled back", || (values(&ns) == THEN).then_some(()));
        let (_, asked) = greffier.cli_ends(6, &["release", &app]);
        let shown = asked.contains("follows Git again") && asked.contains("prune");
        assert!(shown && asked.contains("nobody is there to be asked"), "{asked}");
        assert_eq!(values(&ns), THEN);
        greffier.cli_ends(0, &["release", &app, "--yes"]);
        until("Git is followed", || (values(&ns) == ["two", "", "two"]).then_some(()));
    }
    // Another rollback says what it takes the place of, and what becomes of its end.
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes", "--for", "1h"]);
    let (plan, _) = greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--plan"]);
    assert!(
        plan.contains("which was to end at") && plan.contains("until it is released"),
        "{plan}"
    );
}

#[test]
fn a_release_that_deletes_too_much_says_that_it_waits() {
    let names = ["a", "c", "d", "e", "f"];
    let files = names.map(|name| (format!("web/{name}.yaml"), config_map(name, "1")));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let (greffier, app, ns) = kept("releasegate", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let to = format!("#{}", greffier.seq());
    for name in &names[1..] {
        greffier.repo.remove(&format!("web/{name}.yaml"));
    }
    let second = greffier.repo.push("four less");
    greffier.wait_kind("plan.gated", &app);
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &second);
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    let (said, error) = greffier.cli_ends(6, &["release", &app, "--yes"]);
    assert!(said.contains("follows Git again"), "{said}");
    assert!(error.contains("waits for approval") && error.contains("greffier approve"), "{error}");
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["held"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(live(&ns, "cm/f", ".data.key"), "1");
}
