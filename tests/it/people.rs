//! What people decide beside Git, on a real API server: freezes, contests, kept changes.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, config_map, deployment, until};
use crate::keep::{kept, kept_with, live};

/// The position of an event.
fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

/// When an event was recorded, in milliseconds of the day.
fn ms(event: &Value) -> u64 {
    let time = event["time"].as_str().unwrap();
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    let fraction = time.get(20..23).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1_000 + fraction
}

/// Somebody with a field manager of their own writes `value` into the ConfigMap `one`.
fn flips(ns: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
    let args = ["patch", "cm/one", "-n", ns, "--type=merge", "-p", &patch];
    let manager = "--field-manager=flipper";
    ControlPlane::shared().kubectl_ok("alice", &[&args[..], &[manager]].concat());
}

/// Waits until the drift that comes after `after` is recorded and put back; returns both events.
fn healed(greffier: &Greffier, app: &str, after: u64) -> (Value, Value) {
    let drift = greffier.wait_after(after, "the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["app"] == app
    });
    let healed = greffier.wait_after(seq(&drift), "the healing", |event| {
        event["kind"] == "apply.outcome" && event["detail"]["app"] == app
    });
    (drift, healed)
}

#[test]
fn who_keeps_undoing_it_is_named_and_waited_for() {
    let (greffier, app, ns) = kept("contest", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let mut last = greffier.seq();
    for round in 0..3 {
        flips(&ns, &format!("theirs {round}"));
        let (_, healed) = healed(&greffier, &app, last);
        last = seq(&healed);
    }
    flips(&ns, "theirs again");
    let named = greffier.wait_after(last, "the contest", |event| event["kind"] == "contest.named");
    let summary = named["summary"].as_str().unwrap();
    assert!(summary.contains(".data.key") && summary.contains("flipper and greffier"), "{named}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("CONTEST over .data.key: flipper"), "{status}");
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("flipper") && why.contains("take it out of Git"), "{why}");
    let (drift, back) = healed(&greffier, &app, last);
    assert!(seq(&drift) < seq(&named) && seq(&named) < seq(&back));
    let waited = (ms(&back) + 86_400_000 - ms(&drift)) % 86_400_000;
    assert!(waited >= 2_000, "put back after {waited} ms");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    // The next one would wait for six seconds; a person does not.
    flips(&ns, "theirs for ever");
    greffier.wait_after(seq(&back), "the drift", |event| event["kind"] == "drift.detected");
    greffier.cli_ends(0, &["sync", &app]);
    until("it is put back", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
}

#[test]
fn a_freeze_outlives_a_restart_and_nothing_is_written_until_it_ends() {
    let (greffier, app, ns) = kept("freeze", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.cli_ends(0, &["freeze", "--reason", "cluster upgrade"]);
    greffier.stop();
    greffier.start();
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let commit = greffier.repo.push("while frozen");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("FROZEN") && status.contains("cluster upgrade"), "{status}");
    let (apps, _) = greffier.cli_ends(0, &["get", "apps"]);
    assert!(apps.contains("greffier is frozen"), "{apps}");
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("frozen") && why.contains("greffier unfreeze"), "{why}");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    let unfrozen = greffier.json(&["unfreeze", "-o", "json"]);
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
    let (log, _) = greffier.cli_ends(0, &["log", "--kind", "operator", "-o", "json"]);
    assert!(log.contains("cluster upgrade"), "{log}");
    let written = greffier.json(&["log", "--all", "--kind", "apply.intent", "-o", "json"]);
    let written = written.as_array().unwrap().iter().filter(|row| row["commit"] == commit.as_str());
    assert!(written.clone().count() > 0, "the second commit was applied");
    assert!(written.clone().all(|row| row["seq"].as_u64() > unfrozen["seq"].as_u64()));
}

/// Waits until the object has the value.
fn becomes(ns: &str, object: &str, path: &str, value: &str) {
    until(&format!("{object} {path} is {value}"), || {
        (live(ns, object, path) == value).then_some(())
    });
}

#[test]
fn a_hand_edit_is_kept_over_a_restart_and_a_push_until_it_is_released() {
    let (greffier, app, ns) = kept("hold", &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["scale", "deploy/web", "-n", &ns, "--replicas=5"]);
    let (drift, _) = healed(&greffier, &app, 0);
    let (log, _) = greffier.cli_ends(0, &["log", &app, "--kind", "drift"]);
    let command = format!("greffier keep {} --for 8h", seq(&drift));
    assert!(log.contains(&command), "{log}");
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains(&command), "{why}");
    becomes(&ns, "deploy/web", ".spec.replicas", "2");

    // Shown first, and nothing is done.
    let event = seq(&drift).to_string();
    let plan = until("what was written is seen, and what would be", || {
        let (plan, _) = greffier.cli_ends(0, &["keep", &event, "--for", "8h", "--plan"]);
        plan.contains("of 2 objects: update 1").then_some(plan)
    });
    let held = format!("and application {app} holds it so until");
    for words in ["Deployment.apps/", &held, ".spec.replicas 2 → 5"] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    let begun = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(begun.as_array().map(Vec::len), Some(0), "{begun}");

    // What was changed was saved before it was put back, and outlives a crash.
    greffier.kill();
    greffier.start();
    greffier.cli_ends(0, &["keep", &event, "--for", "8h", "--reason", "sale"]);
    becomes(&ns, "deploy/web", ".spec.replicas", "5");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains(".spec.replicas 2 → 5") && status.contains("sale"), "{status}");
    let (apps, _) = greffier.cli_ends(0, &["get", "apps"]);
    assert!(apps.contains("KEPT by hold"), "{apps}");
    // Each version that the deployment controller makes of it is compared anew.
    let diff = until("the written object is compared", || {
        let (apps, _) = greffier.cli_ends(0, &["get", "apps"]);
        let compared = apps.contains("KEPT by hold") && apps.contains("OutOfSync");
        let output = greffier.cli(&["diff", &app]);
        let diff = String::from_utf8(output.stdout).unwrap();
        (compared && output.status.code() == Some(1)).then_some(diff)
    });
    assert!(diff.contains("KEPT by hold") && diff.contains(".spec.replicas"), "{diff}");

    greffier.stop();
    greffier.start();
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 2));
    let commit = greffier.repo.push("another image");
    let image = ".spec.template.spec.containers[0].image";
    becomes(&ns, "deploy/web", image, "app:v2");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "5");
    // Another field is put back, and the kept one stays.
    let after = greffier.seq();
    cluster.kubectl_ok("alice", &["set", "image", "deploy/web", "main=app:v9", "-n", &ns]);
    healed(&greffier, &app, after);
    becomes(&ns, "deploy/web", image, "app:v2");
    assert_eq!(live(&ns, "deploy/web", ".spec.replicas"), "5");

    let (released, _) = greffier.cli_ends(0, &["release", "deployment/web", "-n", &ns, "--yes"]);
    assert!(released.contains("back to Git"), "{released}");
    becomes(&ns, "deploy/web", ".spec.replicas", "2");
    greffier.cli_ends(6, &["release", &event, "--yes"]);
    until("it is as Git says", || {
        let (apps, _) = greffier.cli_ends(0, &["get", "apps", "-o", "json"]);
        apps.contains("\"Synced\"").then_some(())
    });
}

#[test]
fn a_hold_expires_by_itself() {
    let (greffier, app, ns) = kept("expires", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    flips(&ns, "by hand");
    let (drift, back) = healed(&greffier, &app, 0);
    greffier.cli_ends(0, &["keep", &seq(&drift).to_string(), "--for", "1s"]);
    let ended = greffier.wait_after(seq(&back), "the end", |event| event["kind"] == "hold.ended");
    assert_eq!(ended["detail"]["end"], "Expired", "{ended}");
    becomes(&ns, "cm/one", ".data.key", "1");
}

/// Goal: what is kept while nothing may be written, and is in the cluster as it is kept, is compared
/// with what is kept: it is held, and does not differ.
#[test]
fn what_is_kept_of_a_paused_application_does_not_differ() {
    let (greffier, app, ns) = kept("paused-held", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.cli_ends(0, &["pause", &app]);
    flips(&ns, "by hand");
    let drift = greffier.wait("the edit", |event| event["kind"] == "drift.detected");
    greffier.cli_ends(0, &["keep", &seq(&drift).to_string()]);
    let asked = |event: &serde_json::Value| event["kind"] == "object.previewed";
    let told = greffier.wait("the comparison", asked);
    assert_eq!(told["detail"]["result"], "Same", "{told}");
    let why = until("it is known to be as it is kept", || {
        let (why, _) = greffier.cli_ends(0, &["why", "cm/one", "-n", &ns]);
        (why.contains("KEPT by hold") && why.contains("has not applied it")).then_some(why)
    });
    assert!(why.contains("OnHold") && !why.contains("differs"), "{why}");
    greffier.cli_ends(0, &["resume", &app]);
    greffier.wait_after(seq(&told), "it is applied", |event| event["kind"] == "sync.finished");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "by hand");
}

#[test]
fn a_kept_deletion_keeps_the_object_away() {
    let files = [("web/c.yaml", config_map("one", "1")), ("web/d.yaml", config_map("two", "1"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let (greffier, app, ns) = kept("absent", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/one", "-n", &ns]);
    let (drift, _) = healed(&greffier, &app, 0);
    becomes(&ns, "cm/one", ".data.key", "1");
    greffier.cli_ends(0, &["keep", &seq(&drift).to_string()]);
    becomes(&ns, "cm/one", ".data.key", "");
    let (resources, _) = greffier.cli_ends(0, &["get", "resources", "--app", &app]);
    assert!(resources.contains("OnHold"), "{resources}");
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    becomes(&ns, "cm/one", ".data.key", "1");
}

#[test]
fn a_changed_secret_cannot_be_kept_and_is_said_to_belong_into_git() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  key: one\n";
    let (greffier, app, ns) = kept("keep-secret", &[("web/s.yaml", secret)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let patch = r#"{"stringData":{"key":"two"}}"#;
    let args = ["patch", "secret/s", "-n", &ns, "--type=merge", "-p", patch];
    ControlPlane::shared().kubectl_ok("alice", &args);
    let (drift, _) = healed(&greffier, &app, 0);
    assert_eq!(drift["keep"][0], format!("greffier pause {app}"), "{drift}");
    let (_, error) = greffier.cli_ends(6, &["keep", &seq(&drift).to_string()]);
    assert!(
        error.contains("recorded nowhere") && error.contains("commit the change to Git"),
        "{error}"
    );
}

#[test]
fn what_is_kept_of_a_port_stays_although_git_leaves_its_protocol_to_the_default() {
    let ports = |ports: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {{app: web}}\n  ports:\n{ports}"
        )
    };
    let (http, admin) = (
        "  - {name: http, port: 80, targetPort: 8080}\n",
        "  - {name: admin, port: 81, targetPort: 8081}\n",
    );
    let (greffier, app, ns) = kept("port", &[("web/s.yaml", &ports(&format!("{http}{admin}")))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let patches = |patch: &str| {
        let args = ["patch", "svc/web", "-n", &ns, "--type=json", "-p", patch];
        ControlPlane::shared().kubectl_ok("alice", &args);
    };
    let target = ".spec.ports[?(@.port==80)].targetPort";
    patches(r#"[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}]"#);
    let (drift, _) = healed(&greffier, &app, 0);
    becomes(&ns, "svc/web", target, "8080");
    let first = seq(&drift).to_string();
    greffier.cli_ends(0, &["keep", &first, "--reason", "debugging"]);
    becomes(&ns, "svc/web", target, "9090");
    let (resources, _) = greffier.cli_ends(0, &["get", "resources", "--app", &app]);
    assert!(resources.contains("OnHold"), "{resources}");

    let after = greffier.seq();
    patches(r#"[{"op": "remove", "path": "/spec/ports/1"}]"#);
    let (drift, _) = healed(&greffier, &app, after);
    becomes(&ns, "svc/web", ".spec.ports[*].port", "80 81");
    greffier.cli_ends(0, &["keep", &seq(&drift).to_string()]);
    becomes(&ns, "svc/web", ".spec.ports[*].port", "80");
    assert_eq!(live(&ns, "svc/web", target), "9090");
    let second = seq(&drift).to_string();
    greffier.cli_ends(0, &["release", &second, "--yes"]);
    becomes(&ns, "svc/web", ".spec.ports[*].port", "80 81");

    // What is kept is in nothing that Git has: it is said, and nothing of it is undone.
    greffier.repo.write("web/s.yaml", &ports(admin));
    let after = greffier.seq();
    greffier.repo.push("without the port");
    let refused = greffier.wait_after(after, "the refusal", |event| {
        event["kind"] == "apply.outcome" && event["detail"]["app"] == app.as_str()
    });
    let refused = refused["summary"].as_str().unwrap().to_owned();
    assert!(refused.contains("cannot be laid") && refused.contains("port=80"), "{refused}");
    assert_eq!(live(&ns, "svc/web", target), "9090");
    let (why, _) = greffier.cli_ends(0, &["why", "service/web", "-n", &ns]);
    assert!(why.contains("cannot be laid") && why.contains("greffier release"), "{why}");
    let (_, error) = greffier.cli_ends(6, &["keep", &first]);
    assert!(error.contains("cannot be kept") && error.contains("port=80"), "{error}");
    greffier.cli_ends(0, &["release", &first, "--yes"]);
    becomes(&ns, "svc/web", ".spec.ports[*].port", "81");
}

#[test]
fn an_annotation_of_a_secret_cannot_be_kept_and_no_digest_is_written() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations: {example.org/match: \"true\"}\n";
    let (greffier, app, ns) = kept("keep-note", &[("web/s.yaml", secret)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let args = ["annotate", "secret/s", "-n", &ns, "--overwrite", "example.org/match=other"];
    ControlPlane::shared().kubectl_ok("alice", &args);
    let (drift, _) = healed(&greffier, &app, 0);
    assert_eq!(drift["keep"][0], format!("greffier pause {app}"), "{drift}");
    let (_, error) = greffier.cli_ends(6, &["keep", &seq(&drift).to_string()]);
    assert!(error.contains("recorded nowhere"), "{error}");
    assert_eq!(live(&ns, "secret/s", ".metadata.annotations.example\\.org/match"), "true");
}

#[test]
fn a_keep_applies_nothing_that_nobody_synced() {
    let policy = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let files = [("web/d.yaml", deployment("web", "app:v1", 2))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let (greffier, app, ns) = kept_with("keep-manual", policy, &files);
    greffier.wait_kind("render.succeeded", &app);
    greffier.cli_ends(0, &["sync", &app]);
    let image = ".spec.template.spec.containers[0].image";
    ControlPlane::shared().kubectl_ok("alice", &["scale", "deploy/web", "-n", &ns, "--replicas=5"]);
    let drift = greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    let event = seq(&drift).to_string();
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 2));
    let commit = greffier.repo.push("not yet");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    let (_, error) = greffier.cli_ends(6, &["keep", &event]);
    assert!(error.contains("synced by hand") && error.contains("greffier sync"), "{error}");
    assert_eq!(live(&ns, "deploy/web", image), "app:v1");
    greffier.cli_ends(0, &["sync", &app]);
    becomes(&ns, "deploy/web", ".spec.replicas", "2");
    greffier.cli_ends(0, &["keep", &event]);
    becomes(&ns, "deploy/web", ".spec.replicas", "5");
    assert_eq!(live(&ns, "deploy/web", image), "app:v2");
}
