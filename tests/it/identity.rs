//! The cluster under the address is another one, or the same at an earlier time, on real control
//! planes: nothing is written to it, nothing counts as deleted, until a person has accepted it.

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map};

const NS: &str = "burnt";

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

/// An application of two ConfigMaps on a control plane, synced.
fn synced(plane: &ControlPlane) -> Greffier {
    let greffier = Greffier::on(plane);
    let files = [("web/1.yaml", config_map("one", "1")), ("web/2.yaml", config_map("two", "1"))];
    for (path, content) in &files {
        greffier.repo.write(path, content);
    }
    let commit = greffier.repo.push("first");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &commit);
    greffier
}

/// The value of a ConfigMap; empty when it is not there.
fn value(plane: &ControlPlane, name: &str) -> String {
    let name = format!("cm/{name}");
    let path = "jsonpath={.data.key}";
    plane.kubectl_ok("admin", &["get", &name, "-n", NS, "--ignore-not-found", "-o", path])
}

/// The events of a kind from one position on, as the ledger has them.
fn events(greffier: &Greffier, kinds: &str, from: u64) -> Vec<Value> {
    let since = format!("#{from}");
    let args = ["log", "--all", "--from", &since, "--kind", kinds, "-n", "1000", "-o", "jsonl"];
    let (lines, _) = greffier.cli_ends(0, &args);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn doubted(greffier: &Greffier, kind: &str, after: u64) -> u64 {
    let event = greffier.wait_after(after, kind, |event| event["kind"] == kind);
    event["seq"].as_u64().unwrap()
}

/// What would follow, once the cluster was seen whole.
fn accepting(greffier: &Greffier) -> Value {
    crate::daemon::until("the cluster is seen whole", || {
        let output = greffier.cli(&["cluster", "accept", "--plan", "-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    })
}

/// Nothing was written since `doubt`, and nothing that is absent was called deleted.
fn nothing_was_done(greffier: &Greffier, doubt: u64) {
    let told = "apply.intent,object.gone,drift.detected,attribution.resolved";
    let done = events(greffier, told, doubt + 1);
    assert_eq!(done.len(), 0, "{done:#?}");
}

fn accept(greffier: &Greffier, commit: &str) {
    let before = greffier.seq();
    greffier.cli_ends(0, &["cluster", "accept", "--reason", "rebuilt", "--yes"]);
    greffier.wait_after(before, "the sync", |event| {
        event["kind"] == "sync.finished"
            && event["detail"]["commit"] == commit
            && event["detail"]["succeeded"] == true
    });
}

#[test]
fn another_cluster_is_asked_about_and_gets_everything_anew() {
    let plane = plane();
    let greffier = synced(&plane);
    let known: Value = greffier.json(&["cluster", "-o", "json"]);
    let (first, start) = (known["kept"].as_str().unwrap().to_owned(), known["since"].clone());
    assert!(known["doubt"].is_null() && known["uid"] == *first && start.as_u64() > Some(0));
    let (refused, why) = greffier.cli_ends(6, &["cluster", "accept", "--yes"]);
    assert!(
        why.contains("nothing to accept") && why.contains("greffier cluster"),
        "{refused}{why}"
    );
    let before = greffier.seq();

    // While it runs.
    plane.wipe();
    let doubt = doubted(&greffier, "cluster.replaced", before);
    let newer = greffier.repo.write("web/1.yaml", &config_map("one", "2")).push("second");
    greffier.wait_after(doubt, "the render", |event| event["kind"] == "render.succeeded");
    let shown = accepting(&greffier);
    // The namespace comes with them.
    assert_eq!((&shown["apps"][0]["create"], &shown["apps"][0]["remove"]), (&3.into(), &0.into()));
    assert_eq!(shown["forgotten"], 3);
    let objects = shown["apps"][0]["objects"].as_array().unwrap();
    let created = objects.iter().filter(|object| object["fate"] == "create").count();
    assert_eq!((created, objects.len()), (3, 3), "{shown}");
    let (plan, _) = greffier.cli_ends(0, &["cluster", "accept", "--plan"]);
    assert!(
        plan.lines().any(|line| line.starts_with("create ") && line.contains("/one")),
        "{plan}"
    );
    nothing_was_done(&greffier, doubt);
    assert_eq!(value(&plane, "one"), "");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("DOUBT") && status.contains("another cluster answers"), "{status}");
    let (apps, _) = greffier.cli_ends(0, &["get", "apps"]);
    assert!(apps.contains("Unknown") && apps.contains("another cluster"), "{apps}");
    let (why, _) = greffier.cli_ends(0, &["why", "web"]);
    assert!(why.contains("greffier cluster accept"), "{why}");
    let (diff, said) = greffier.cli_ends(0, &["diff", "web"]);
    assert!(said.contains("another cluster answers") && diff.is_empty(), "{diff}{said}");
    greffier.cli_ends(6, &["cluster", "accept"]);
    // The past is that of the former cluster, the present is not.
    let one = format!("ConfigMap/{NS}/one");
    let (then, _) = greffier.cli_ends(0, &["show", &one, "--at", &format!("#{before}")]);
    assert!(then.contains("key: \"1\"") || then.contains("key: '1'"), "{then}");
    let replaced = format!("#{doubt} cluster.replaced");
    let (blame, _) = greffier.cli_ends(0, &["blame", &one]);
    assert!(blame.contains("NOT THERE") && blame.contains(&replaced), "{blame}");
    let (gone, _) = greffier.cli_ends(1, &["diff", &one, "--from", &format!("#{before}")]);
    assert!(gone.contains("+++ (not in the cluster)") && gone.contains(&replaced), "{gone}");
    let (shown, _) = greffier.cli_ends(0, &["show", &one, "--at", "@"]);
    assert!(shown.contains("NOT SEEN") && shown.contains(&replaced), "{shown}");

    accept(&greffier, &newer);
    assert_eq!((value(&plane, "one"), value(&plane, "two")), ("2".into(), "1".into()));
    let (text, _) = greffier.cli_ends(0, &["cluster"]);
    assert!(text.contains("former") && text.contains(&first) && !text.contains("DOUBT"), "{text}");
    nothing_is_pruned(&greffier, doubt);

    // While it is stopped.
    assert_eq!(greffier.stop(), Some(0));
    plane.wipe();
    let stopped = events_of_files(&greffier);
    greffier.start();
    let doubt = doubted(&greffier, "cluster.replaced", stopped);
    accepting(&greffier);
    nothing_was_done(&greffier, stopped);
    assert_eq!(value(&plane, "two"), "");
    // A restart changes nothing about it.
    assert_eq!(greffier.stop(), Some(0));
    greffier.start();
    accepting(&greffier);
    nothing_was_done(&greffier, doubt);
    accept(&greffier, &newer);
    assert_eq!((value(&plane, "one"), value(&plane, "two")), ("2".into(), "1".into()));
    nothing_is_pruned(&greffier, doubt);
}

/// The last event, read without a daemon.
fn events_of_files(greffier: &Greffier) -> u64 {
    greffier.seq()
}

fn nothing_is_pruned(greffier: &Greffier, from: u64) {
    for intent in events(greffier, "apply.intent", from) {
        let writes = intent["detail"]["writes"].as_array().unwrap();
        assert!(writes.iter().all(|write| write["verb"] != "Prune"), "{intent}");
    }
}

#[test]
fn a_cluster_that_was_restored_from_a_backup_is_asked_about_and_brought_up_to_date() {
    let plane = plane();
    let greffier = synced(&plane);
    plane.save();
    greffier.repo.write("web/1.yaml", &config_map("one", "2"));
    greffier.repo.write("web/3.yaml", &config_map("three", "1"));
    let newer = greffier.repo.push("second");
    greffier.wait_synced("web", &newer);
    let before = greffier.seq();

    // While it runs.
    plane.restore();
    let doubt = doubted(&greffier, "cluster.reverted", before);
    let shown = accepting(&greffier);
    let web = &shown["apps"][0];
    assert_eq!(
        (&web["create"], &web["remove"], &shown["forgotten"]),
        (&1.into(), &0.into(), &1.into())
    );
    nothing_was_done(&greffier, doubt);
    assert_eq!((value(&plane, "one"), value(&plane, "three")), ("1".into(), "".into()));
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("DOUBT") && status.contains("set back"), "{status}");
    accept(&greffier, &newer);
    assert_eq!((value(&plane, "one"), value(&plane, "three")), ("2".into(), "1".into()));
    assert_eq!(events(&greffier, "drift.detected", doubt), Vec::<Value>::new(), "nobody drifted");
    nothing_is_pruned(&greffier, doubt);

    // While it is stopped.
    assert_eq!(greffier.stop(), Some(0));
    plane.restore();
    // And it went on: revisions tell nothing any more.
    let many: Vec<_> = (0..300).map(|n| config_map(&format!("other-{n}"), "1")).collect();
    plane.apply("admin", &many.join("---\n"));
    let stopped = greffier.seq();
    greffier.start();
    doubted(&greffier, "cluster.reverted", stopped);
    accepting(&greffier);
    nothing_was_done(&greffier, stopped);
    assert_eq!((value(&plane, "one"), value(&plane, "three")), ("1".into(), "".into()));
    accept(&greffier, &newer);
    assert_eq!((value(&plane, "one"), value(&plane, "three")), ("2".into(), "1".into()));
    // What it applied to this very cluster it may remove.
    greffier.repo.remove("web/2.yaml");
    let last = greffier.repo.push("third");
    greffier.wait_synced("web", &last);
    assert_eq!(value(&plane, "two"), "");
}

/// Goal: the guard does not stand in the way of the same cluster. Method: its API server goes and
/// comes back; the next push is applied, and nobody was asked.
#[test]
fn the_same_cluster_that_comes_back_is_gone_on_with() {
    let plane = plane();
    let greffier = synced(&plane);
    let before = greffier.seq();
    plane.stop_apiserver();
    greffier.wait_after(before, "the outage", |event| event["kind"] == "cluster.lost");
    plane.start_apiserver();
    let commit = greffier.repo.write("web/1.yaml", &config_map("one", "2")).push("second");
    greffier.wait_synced("web", &commit);
    let told = events(&greffier, "cluster.replaced,cluster.reverted", before);
    assert_eq!(told, Vec::<Value>::new());
    assert_eq!(value(&plane, "one"), "2");
}

/// Goal: a cluster that greffier may not ask who it is, as one that was rebuilt and has no access
/// rules for it yet, is not taken for the one that is kept: nothing of it is believed, and it is
/// asked again until it says.
#[test]
fn a_cluster_that_does_not_say_who_it_is_is_not_believed() {
    let plane = plane();
    let greffier = synced(&plane);
    let before = greffier.seq();
    let binding = ["get", "clusterrolebinding", "greffier-test:admins", "-o", "json"];
    let rights: Value = serde_json::from_str(&plane.kubectl_ok("admin", &binding)).unwrap();
    plane.kubectl_ok("admin", &["delete", "clusterrolebinding", "greffier-test:admins"]);
    plane.pause_apiserver();
    doubted(&greffier, "cluster.lost", before);
    plane.resume_apiserver();
    // It answers, and says nothing.
    crate::daemon::until("it was asked", || {
        let log = std::fs::read_to_string(greffier.path("log")).unwrap();
        log.contains("who answers is not known").then_some(())
    });
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("LOST"), "{status}");
    let name = rights["metadata"]["name"].as_str().unwrap();
    let args = ["create", "clusterrolebinding", name, "--clusterrole=cluster-admin"];
    let group = format!("--group={name}");
    let told = events(&greffier, "drift.detected,cluster.found", before);
    assert_eq!(told.len(), 0, "{told:#?}");
    let given = greffier.seq();
    plane.kubectl_ok("admin", &[&args[..], &[group.as_str()]].concat());
    doubted(&greffier, "cluster.found", given);
    plane.kubectl_ok("admin", &["delete", "cm", "one", "-n", NS]);
    greffier.wait_after(given, "the hand edit", |event| event["kind"] == "drift.detected");
    let replaced = events(&greffier, "cluster.replaced,cluster.reverted", before);
    assert_eq!(replaced.len(), 0, "{replaced:#?}");
}

/// Goal: what nobody has is told from what was observed since the cluster was set back and
/// accepted: also what was deleted after the backup and came back with it, and what the backup does
/// not have. Method: three ConfigMaps by hand around a backup that is restored.
#[test]
fn what_nobody_has_is_told_from_what_was_seen_since_a_cluster_was_set_back() {
    let plane = plane();
    let greffier = synced(&plane);
    let of = |name: &str| format!("ConfigMap/default/{name}");
    let seen = |name: &str, after: u64, kind: &str| {
        let event = greffier.wait_after(after, kind, |event| {
            event["kind"] == kind && event["objects"][0] == of(name)
        });
        event["seq"].as_u64().unwrap()
    };
    plane.apply("admin", &[config_map("back", "1"), config_map("gone", "1")].join("---\n"));
    let first = seen("back", 0, "object.observed");
    seen("gone", 0, "object.observed");
    plane.kubectl_ok("admin", &["delete", "cm/gone", "-n", "default"]);
    let went = seen("gone", 0, "object.gone");
    plane.save();
    plane.kubectl_ok("admin", &["delete", "cm/back", "-n", "default"]);
    plane.apply("admin", &config_map("late", "1"));
    seen("back", 0, "object.gone");
    seen("late", 0, "object.observed");
    let before = greffier.seq();
    plane.restore();
    let doubt = doubted(&greffier, "cluster.reverted", before);
    accepting(&greffier);
    greffier.cli_ends(0, &["cluster", "accept", "--reason", "restored", "--yes"]);

    seen("back", doubt, "object.observed");
    let blame: Value = greffier.json(&["blame", &of("back"), "-o", "json"]);
    assert!(blame["gone"].is_null() && blame["begun"]["seq"] == first, "{blame}");
    let (shown, _) = greffier.cli_ends(0, &["show", &of("back")]);
    assert!(shown.contains("Healthy") && !shown.contains("GONE"), "{shown}");
    for (name, words) in [("late", "seen last at"), ("gone", &format!("gone since #{went}"))] {
        let (shown, _) = greffier.cli_ends(0, &["show", &of(name)]);
        assert!(shown.contains("NOT SEEN") && shown.contains(words), "{shown}");
    }
}
