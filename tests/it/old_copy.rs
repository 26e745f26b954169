//! A ledger that is restored from an old copy, on the real API server: what a later greffier wrote
//! is not put back while Git cannot be asked.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, run, until};
use crate::failpoints::death_at;
use crate::keep::{kept, live, namespace};

const KEY: &str = ".data.key";

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    run(Command::new("cp").arg("-a").args([from, to]));
}

/// Puts the old copy in the place of the ledger, and starts greffier on it.
fn restored(greffier: &Greffier) {
    copy(&greffier.path("copy"), &greffier.path("data"));
    greffier.start();
}

/// Waits until the API server's clock shows another second than the last write of greffier: its
/// times are whole seconds.
fn next_second(ns: &str) {
    let path = ".metadata.managedFields[?(@.manager==\"greffier\")].time";
    next_second_after(&live(ns, "cm/one", path));
}

fn next_second_after(written: &str) {
    seconds_after(written, 0);
}

/// Waits until more than so many seconds have passed since.
fn seconds_after(written: &str, seconds: u64) {
    until("the next second", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds;
        let now = Command::new("date").args(["-u", "-d", &format!("@{now}"), "+%FT%TZ"]).output();
        (String::from_utf8(now.unwrap().stdout).unwrap().trim() > written).then_some(())
    });
}

/// Waits until the daemon has looked at everything again and decided: it has healed an edit.
fn edit_is_healed(ns: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
    let patch = ["patch", "cm/two", "-n", ns, "--type=merge", "-p", &patch];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    until("the edit is healed", || (live(ns, "cm/two", KEY) == "1").then_some(()));
}

fn gated(event: &Value) -> bool {
    event["kind"] == "plan.gated"
}

#[test]
fn an_old_copy_of_the_ledger_does_not_put_the_cluster_back() {
    let one = |value| config_map("one", value);
    let (two, three) = (config_map("two", "1"), config_map("three", "1"));
    let files = [("web/1.yaml", &*one("1")), ("web/2.yaml", &*two), ("web/3.yaml", &*three)];
    let (greffier, app, ns) = kept("old-copy", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(greffier.stop(), Some(0));
    copy(&greffier.path("data"), &greffier.path("copy"));

    // The ledger goes on.
    next_second(&ns);
    greffier.start();
    greffier.repo.write("web/1.yaml", &one("2")).remove("web/3.yaml");
    let newer = greffier.repo.push("newer");
    greffier.wait_synced(&app, &newer);
    until("it is pruned", || live(&ns, "cm/three", KEY).is_empty().then_some(()));
    assert_eq!((greffier.stop(), live(&ns, "cm/one", KEY)), (Some(0), "2".into()));

    // The old copy, and no Git: somebody's edit is healed, what greffier wrote waits.
    let patch = ["patch", "cm/two", "-n", &ns, "--type=merge", "-p", r#"{"data":{"key":"hand"}}"#];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    let away = greffier.path("away.git");
    std::fs::rename(&greffier.repo.bare, &away).unwrap();
    restored(&greffier);
    let gate = greffier.wait("the gate", |event| {
        gated(event) && event["detail"]["writes"].as_array().is_some_and(|writes| writes.len() == 2)
    });
    let writes = gate["detail"]["writes"].as_array().unwrap();
    let what: Vec<_> = writes.iter().map(|write| (&write["verb"], &write["key"]["name"])).collect();
    assert_eq!(what, [(&"Heal".into(), &"one".into()), (&"Create".into(), &"three".into())]);
    until("the edit is healed", || (live(&ns, "cm/two", KEY) == "1").then_some(()));
    assert_eq!((live(&ns, "cm/one", KEY), live(&ns, "cm/three", KEY)), ("2".into(), "".into()));
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("old copy") && why.contains("newest copy of its ledger"), "{why}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    // What, what is lost with it, and what waits, each on a line of its own.
    let copy = status.lines().skip_while(|line| !line.starts_with("OLD COPY")).take(3);
    let copy: Vec<&str> = copy.collect();
    let says = |text: &str| copy.iter().any(|line| line.contains(text));
    assert!(says(&format!("waits: {app}")) && says("/one at"), "{status}");
    let by = "by greffier at ";
    let drift = status.lines().find(|line| line.starts_with("drift ") && line.contains(by));
    assert!(drift.is_some_and(|line| line.contains("does not know of")), "{status}");
    let drift = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["key"]["name"] == "one"
    });
    let summary = drift["summary"].as_str().unwrap();
    assert!(summary.contains("which this ledger does not know of"), "{summary}");

    // Git is back: what it says is what is there.
    std::fs::rename(&away, &greffier.repo.bare).unwrap();
    greffier.cli_ends(0, &["refresh", &greffier.repo.url()]);
    greffier.wait_kind("plan.lapsed", &app);
    greffier.wait_synced(&app, &newer);
    assert_eq!((live(&ns, "cm/one", KEY), live(&ns, "cm/three", KEY)), ("2".into(), "".into()));
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("OLD COPY") && status.contains("Git or a person has said"), "{status}");

    // A person may want it put back all the same.
    assert_eq!(greffier.stop(), Some(0));
    std::fs::rename(&greffier.repo.bare, &away).unwrap();
    restored(&greffier);
    greffier.wait("the gate", |event| {
        gated(event) && event["detail"]["writes"].as_array().is_some_and(|writes| writes.len() == 2)
    });
    let (plan, _) = greffier.cli_ends(1, &["plan", &app]);
    assert!(plan.contains("old copy"), "{plan}");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("it is put back", || {
        let there = (live(&ns, "cm/one", KEY), live(&ns, "cm/three", KEY));
        (there == ("1".into(), "1".into())).then_some(())
    });
}

/// Goal: a copy that ends between an intent and its outcome knows neither what the intent came to nor
/// the rollback that came after it: the version that was rolled back from is not written again.
#[test]
fn a_copy_that_ends_before_an_outcome_does_not_write_over_a_later_rollback() {
    let (app, ns) = ("old-open-web", namespace("old-open"));
    let greffier = Greffier::new().configure("[cluster]\nwrite_timeout = \"1s\"");
    greffier.repo.write("web/1.yaml", &config_map("one", "good")).push("good");
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(app, &greffier.repo.head());
    let good = format!("#{}", greffier.seq());
    assert_eq!(greffier.stop(), Some(0));
    next_second(&ns);
    let bad = greffier.repo.write("web/1.yaml", &config_map("one", "bad")).push("bad");
    // The write is made, and its answer is not recorded.
    death_at(&greffier, "answered", 1);
    assert_eq!(live(&ns, "cm/one", KEY), "bad");
    copy(&greffier.path("data"), &greffier.path("copy"));
    let path = ".metadata.managedFields[?(@.manager==\"greffier\")].time";
    let written = live(&ns, "cm/one", path);
    greffier.start();
    greffier.wait_synced(app, &bad);
    // Longer than the intent of then, or what was sent and changed on the way, may explain.
    seconds_after(&written, 7);
    greffier.cli_ends(0, &["rollback", app, "--to", &good, "--yes"]);
    until("it is rolled back", || (live(&ns, "cm/one", KEY) == "good").then_some(()));
    assert_eq!(greffier.stop(), Some(0));

    restored(&greffier);
    let gate = greffier.wait_kind("plan.gated", app);
    let what = gate["detail"]["reasons"][0]["what"].as_str().unwrap();
    assert!(what.contains("/one, which greffier wrote later"), "{what}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("OLD COPY"), "{status}");
    assert_eq!(live(&ns, "cm/one", KEY), "good");
}

#[test]
fn an_old_copy_is_told_by_what_only_the_later_greffier_made() {
    let map = |name| config_map(name, "1");
    let (two, three) = (map("two"), map("three"));
    let (greffier, app, ns) = kept("old-sign", &[("web/2.yaml", &*two), ("web/3.yaml", &*three)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(greffier.stop(), Some(0));

    // This is no copy: started without Git, greffier puts back what people change and delete.
    let away = greffier.path("away.git");
    std::fs::rename(&greffier.repo.bare, &away).unwrap();
    greffier.start();
    edit_is_healed(&ns, "hand");
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/three", "-n", &ns]);
    until("it is made again", || (live(&ns, "cm/three", KEY) == "1").then_some(()));
    greffier.wait("the failure", |event| event["kind"] == "git.fetch-failed");
    assert_eq!(greffier.stop(), Some(0));
    std::fs::rename(&away, &greffier.repo.bare).unwrap();
    copy(&greffier.path("data"), &greffier.path("copy"));
    greffier.start();

    // The ledger goes on: nothing of what it had applied is changed, one object is new, one goes.
    let path = ".metadata.managedFields[?(@.manager==\"greffier\")].time";
    let written = live(&ns, "cm/three", path);
    next_second_after(&written);
    greffier.repo.write("web/4.yaml", &map("four")).remove("web/3.yaml");
    let newer = greffier.repo.push("newer");
    greffier.wait_synced(&app, &newer);
    until("it is pruned", || live(&ns, "cm/three", KEY).is_empty().then_some(()));
    assert_eq!(greffier.stop(), Some(0));

    // The old copy, and no Git.
    std::fs::rename(&greffier.repo.bare, &away).unwrap();
    restored(&greffier);
    let gate = greffier.wait_kind("plan.gated", &app);
    let what = gate["detail"]["reasons"][0]["what"].as_str().unwrap();
    assert!(what.contains("/four at ") && what.contains("an old copy"), "{what}");
    let writes = gate["detail"]["writes"].as_array().unwrap();
    assert_eq!((writes.len(), &writes[0]["key"]["name"]), (1, &"three".into()));
    edit_is_healed(&ns, "again");
    assert_eq!((live(&ns, "cm/three", KEY), live(&ns, "cm/four", KEY)), ("".into(), "1".into()));
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("old copy") && why.contains("newest copy of its ledger"), "{why}");

    // Git is back: nobody has to decide anything.
    std::fs::rename(&away, &greffier.repo.bare).unwrap();
    greffier.cli_ends(0, &["refresh", &greffier.repo.url()]);
    greffier.wait_kind("plan.lapsed", &app);
    greffier.wait_synced(&app, &newer);
    assert_eq!((live(&ns, "cm/three", KEY), live(&ns, "cm/four", KEY)), ("".into(), "1".into()));
}

/// Goal: what a later greffier brought back by a rollback is not replaced by what it rolled back,
/// although Git still says that, and a person's word ends that for good, also for what is as wanted.
/// Method: the hold was recorded after the copy was made; Git took back one change of five.
#[test]
fn an_old_copy_does_not_apply_what_was_rolled_back_since() {
    let (one, three) = (|value| config_map("one", value), |value| config_map("three", value));
    let five = |value| config_map("five", value);
    let (first, second, third, fifth) = (one("1"), config_map("two", "1"), three("1"), five("1"));
    let files = [
        ("web/1.yaml", &*first),
        ("web/2.yaml", &*second),
        ("web/3.yaml", &*third),
        ("web/5.yaml", &*fifth),
    ];
    let (greffier, app, ns) = kept("old-held", &files);
    let first = greffier.repo.head();
    greffier.wait_synced(&app, &first);
    assert_eq!(greffier.stop(), Some(0));
    copy(&greffier.path("data"), &greffier.path("copy"));

    next_second(&ns);
    greffier.start();
    greffier.repo.write("web/1.yaml", &one("bad")).write("web/3.yaml", &three("bad"));
    greffier.repo.write("web/5.yaml", &five("bad"));
    let bad = greffier.repo.write("web/4.yaml", &config_map("four", "bad")).push("bad");
    greffier.wait_synced(&app, &bad);
    let to = format!("git:{}", &first[..10]);
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    until("it is rolled back", || (live(&ns, "cm/one", KEY) == "1").then_some(()));
    until("it is rolled back", || (live(&ns, "cm/three", KEY) == "1").then_some(()));
    until("it is rolled back", || (live(&ns, "cm/five", KEY) == "1").then_some(()));
    until("it is pruned", || live(&ns, "cm/four", KEY).is_empty().then_some(()));
    assert_eq!(greffier.stop(), Some(0));
    greffier.repo.write("web/5.yaml", &five("1")).push("five as it was");

    restored(&greffier);
    let gate = greffier.wait("the gate", |event| {
        gated(event) && event["detail"]["writes"].as_array().is_some_and(|writes| writes.len() == 3)
    });
    let what = gate["detail"]["reasons"][0]["what"].as_str().unwrap();
    assert!(what.contains("would change ") && what.contains("an old copy"), "{what}");
    edit_is_healed(&ns, "hand");
    assert_eq!((live(&ns, "cm/one", KEY), live(&ns, "cm/four", KEY)), ("1".into(), "".into()));
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("OLD COPY") && status.contains(&format!("{app} WAITS")), "{status}");
    // Whoever says so himself is not asked again.
    greffier.cli_ends(0, &["sync", &app]);
    until("it is as Git says", || {
        let there = (live(&ns, "cm/one", KEY), live(&ns, "cm/four", KEY));
        (there == ("bad".into(), "bad".into())).then_some(())
    });
    let is_told = || greffier.cli_ends(0, &["status"]).0.contains("OLD COPY");
    assert!(!is_told());

    // Nor after another start, although what shows the later write was as wanted.
    assert_eq!(greffier.stop(), Some(0));
    greffier.start();
    edit_is_healed(&ns, "hand");
    assert!(!is_told());
    greffier.repo.write("web/5.yaml", &five("2"));
    greffier.wait_synced(&app, &greffier.repo.push("five anew"));
    assert_eq!(live(&ns, "cm/five", KEY), "2");
    assert!(!is_told());
}

/// Goal: of an application that the old copy holds an approval is the word that ends its wait: what
/// is deleted by hand afterwards is put back. Method: the hold was released after the copy was made.
#[test]
fn a_hold_of_an_old_copy_is_right_once_a_person_has_approved_what_waits() {
    let (one, two) = (|value| config_map("one", value), config_map("two", "1"));
    let files = [("web/1.yaml", &*one("1")), ("web/2.yaml", &*two)];
    let (greffier, app, ns) = kept("old-hold", &files);
    let first = greffier.repo.head();
    greffier.wait_synced(&app, &first);
    let second = greffier.repo.write("web/1.yaml", &one("2")).push("second");
    greffier.wait_synced(&app, &second);
    let to = format!("git:{}", &first[..10]);
    greffier.cli_ends(0, &["rollback", &app, "--to", &to, "--yes"]);
    until("it is rolled back", || (live(&ns, "cm/one", KEY) == "1").then_some(()));
    assert_eq!(greffier.stop(), Some(0));
    copy(&greffier.path("data"), &greffier.path("copy"));
    next_second(&ns);
    greffier.start();
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    until("it is as Git says", || (live(&ns, "cm/one", KEY) == "2").then_some(()));
    assert_eq!(greffier.stop(), Some(0));

    restored(&greffier);
    greffier.wait("the gate", |event| {
        gated(event) && event["detail"]["writes"].as_array().is_some_and(|writes| writes.len() == 1)
    });
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("OLD COPY") && status.contains(&format!("waits: {app}")), "{status}");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("it is put back", || (live(&ns, "cm/one", KEY) == "1").then_some(()));
    until("nothing waits", || {
        (!greffier.cli_ends(0, &["status"]).0.contains("OLD COPY")).then_some(())
    });
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/two", "-n", &ns]);
    until("it is made again", || (live(&ns, "cm/two", KEY) == "1").then_some(()));
}

/// Keeps the cluster that answers, once its plan `is` what is waited for.
fn accepts(greffier: &Greffier, is: impl Fn(&Value) -> bool) {
    until("the plan", || {
        let output = greffier.cli(&["cluster", "accept", "--plan", "-o", "json"]);
        let shown = serde_json::from_slice(&output.stdout).ok()?;
        (output.status.success() && is(&shown)).then_some(())
    });
    greffier.cli_ends(0, &["cluster", "accept", "--yes"]);
}

/// Goal: whoever keeps a cluster with an old copy of the ledger keeps it as it is. Method: the
/// cluster burned after the copy was made, and the ledger went on in the new one.
#[test]
fn an_old_copy_does_not_put_back_a_cluster_that_is_accepted_with_it() {
    let plane = ControlPlane::start_with(Options { kwok: false, ..Options::default() });
    let greffier = Greffier::on(&plane);
    greffier.repo.write("web/1.yaml", &config_map("one", "1"));
    let first = greffier.repo.write("web/2.yaml", &config_map("two", "1")).push("first");
    let web = application("web", &greffier.repo.url(), "web", "old-accepted", KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &first);
    assert_eq!(greffier.stop(), Some(0));
    copy(&greffier.path("data"), &greffier.path("copy"));
    plane.wipe();
    greffier.start();
    let began = greffier.seq();
    accepts(&greffier, |_| true);
    greffier.wait_after(began, "the sync", |event| event["kind"] == "sync.finished");
    greffier.repo.write("web/1.yaml", &config_map("one", "2")).remove("web/2.yaml");
    let newer = greffier.repo.push("newer");
    greffier.wait_synced("web", &newer);
    let all = || {
        let path = "jsonpath={range .items[*]}{.metadata.name}={.data.key} {end}";
        plane.kubectl_ok("admin", &["get", "cm", "-n", "old-accepted", "-o", path])
    };
    until("it is pruned", || (!all().contains("two=")).then_some(()));
    assert_eq!(greffier.stop(), Some(0));

    std::fs::rename(&greffier.repo.bare, greffier.path("away.git")).unwrap();
    restored(&greffier);
    // Its plan says so, too, as soon as everything was looked at.
    accepts(&greffier, |shown| {
        let web = &shown["apps"][0];
        web["gated"] != 0 && web["restrained"].as_str().is_some_and(|why| why.contains("old copy"))
    });
    greffier.wait("the gate", gated);
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("OLD COPY") && status.contains("waits: web"), "{status}");
    assert!(all().contains("one=2") && !all().contains("two="), "{}", all());
    assert!(log_of(&greffier, "apply.intent").is_empty(), "nothing is written");
}

/// The events of a kind since the daemon started on the old copy of the ledger.
fn log_of(greffier: &Greffier, kind: &str) -> Vec<Value> {
    let started = greffier.json(&["log", "--kind", "daemon.started", "-n", "1", "-o", "json"]);
    let from = format!("#{}", started[0]["seq"]);
    let args = ["log", "--kind", kind, "--from", &from, "--all", "-o", "json"];
    greffier.json(&args).as_array().unwrap().clone()
}
