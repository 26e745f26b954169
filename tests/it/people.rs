//! What people decide beside Git, on a real API server: freezes, contests, kept changes.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, config_map, until};
use crate::keep::{kept, live};

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
