//! What people are promised of GitOps, as one story on real control planes: the history says who,
//! when and how; a revert brings the former version back; the cluster burns and comes back. And
//! each of them without what it usually needs.

use std::fs;

use greffier::query::text::seconds;
use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::recovery::{onto, target};

const NS: &str = "promised";
const KEY: &str = ".data.key";

fn value(plane: &ControlPlane, name: &str) -> String {
    let path = format!("jsonpath={{{KEY}}}");
    let name = format!("cm/{name}");
    plane.kubectl_ok("admin", &["get", &name, "-n", NS, "--ignore-not-found", "-o", &path])
}

/// What is known of the one field.
fn blame(greffier: &Greffier) -> Value {
    let found = greffier.json(&["blame", "cm/web", "-n", NS, "--field", KEY, "-o", "json"]);
    found["fields"][0].clone()
}

/// Goal: the three promises hold, in this order, for one application. Method: Ada pushes twice,
/// alice edits by hand; Ada reverts; the same is done by a hold without Git; the store of the
/// control plane is wiped while Git is away, and the ledger has everything: it rebuilds the
/// cluster under its address, and another one under another.
#[test]
fn history_says_who_v1_comes_back_and_so_does_a_cluster_that_burned() {
    let plane = ControlPlane::start_with(Options { kwok: false, ..Options::default() });
    let greffier = Greffier::on(&plane);
    let audit = format!("[audit]\nfile = \"{}\"", plane.audit_log().display());
    let greffier = greffier.configure(&audit);
    greffier.repo.write("web/web.yaml", &config_map("web", "v1"));
    greffier.repo.write("web/other.yaml", &config_map("other", "same"));
    let first = greffier.repo.push("version 1");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &first);
    let then = greffier.seq();
    greffier.repo.write("web/web.yaml", &config_map("web", "v2"));
    let second = greffier.repo.push("version 2");
    greffier.wait_synced("web", &second);
    who_when_and_how(&plane, &greffier, &second);

    // `git revert` brings v1 back.
    greffier.repo.git(&["revert", "--no-edit", &second]);
    let reverted = greffier.repo.push("(nothing more)");
    greffier.wait_synced("web", &reverted);
    assert_eq!(value(&plane, "web"), "v1");
    // And on to v2 once more, so that the hold has somewhere to go back from.
    greffier.repo.git(&["revert", "--no-edit", "HEAD~1"]);
    let again = greffier.repo.push("(version 2 again)");
    greffier.wait_synced("web", &again);
    assert_eq!(value(&plane, "web"), "v2");

    // A hold does it without Git.
    let (bare, away) = (greffier.repo.bare.clone(), greffier.repo.bare.with_extension("away"));
    fs::rename(&bare, &away).unwrap();
    let to = format!("#{then}");
    greffier.cli_ends(0, &["rollback", "web", "--to", &to, "--yes", "--reason", "v2 is bad"]);
    assert_eq!(value(&plane, "web"), "v1");

    // The cluster burns, and Git is still away. What is held is what comes back.
    let before = greffier.seq();
    plane.wipe();
    greffier.wait_after(before, "the new cluster", |event| event["kind"] == "cluster.replaced");
    until("it is seen whole", || {
        greffier.cli(&["cluster", "accept", "--plan"]).status.success().then_some(())
    });
    assert_eq!(value(&plane, "web"), "");
    elsewhere(&greffier, &second);
    greffier.cli_ends(0, &["cluster", "accept", "--yes", "--reason", "it burned"]);
    until("everything is back", || {
        let there = (value(&plane, "web"), value(&plane, "other"));
        (there == ("v1".into(), "same".into())).then_some(())
    });
    greffier.wait_after(before, "the sync", |event| {
        event["kind"] == "sync.finished" && event["detail"]["succeeded"] == true
    });
    assert_eq!(greffier.cli(&["diff", "web"]).status.code(), Some(0), "nothing differs");
    // The history goes on over it: who said that this is the cluster now, and what it was before.
    let log = greffier.json(&["log", "--kind", "cluster.accepted", "-o", "json"]);
    assert!(log[0]["summary"].as_str().unwrap().contains("it burned"), "{log}");
    let (then, _) = greffier
        .cli_ends(0, &["show", &format!("ConfigMap/{NS}/web"), "--at", &format!("#{before}")]);
    assert!(then.contains("v1"), "{then}");

    // Git is back, and followed once the hold is released.
    fs::rename(&away, &bare).unwrap();
    greffier.cli_ends(0, &["release", "web", "--yes"]);
    until("Git is followed", || (value(&plane, "web") == "v2").then_some(()));
}

/// A second control plane, under another address, is rebuilt from the ledger alone while the daemon
/// runs; how long that took is told and recorded. A commit stands for when all had come to it.
fn elsewhere(greffier: &Greffier, second: &str) {
    let fresh = ControlPlane::start_with(Options { kwok: false, ..Options::default() });
    let new = target(&fresh);
    let at = format!("git:{second}");
    for of in [&["--plan", "--at", &*at][..], &["--plan", "--at", &*at, "--app", "web"]] {
        let (plan, told) = greffier.cli_ends(0, &onto(&new, of));
        assert!(told.contains("as of ") && plan.contains("ConfigMap/promised/web"), "{told}{plan}");
    }
    let (told, _) = greffier.cli_ends(0, &onto(&new, &["--yes"]));
    assert_eq!((value(&fresh, "web"), value(&fresh, "other")), ("v1".into(), "same".into()));
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    let finished = greffier.json(&["log", "--kind", "recovery.finished", "--all", "-o", "json"]);
    let detail = &finished[0]["detail"];
    assert_eq!((&detail["verified"], &detail["written"]), (&true.into(), &3.into()), "{detail}");
    let took = seconds(detail["milliseconds"].as_u64().unwrap());
    assert!(took != seconds(0), "{detail}");
    assert!(told.contains(&format!(": 3 objects in {took}; VERIFIED")), "{took}: {told}");
    let summary = finished[0]["summary"].as_str().unwrap();
    assert!(summary.ends_with(&format!("the last was written after {took}")), "{summary}");
}

/// Ada's commit set the field, alice changed it by hand, and greffier put it back: all of it with
/// names and times.
fn who_when_and_how(plane: &ControlPlane, greffier: &Greffier, commit: &str) {
    let set = until("the field is greffier's", || {
        let field = blame(greffier);
        (field["value"] == "v2").then_some(field)
    });
    assert_eq!(set["set"]["git"]["commit"], commit, "{set}");
    assert_eq!(
        (&set["set"]["git"]["subject"], &set["set"]["git"]["file"]),
        (&"version 2".into(), &"web/web.yaml".into())
    );
    assert!(set["set"]["git"].to_string().contains("Ada"), "{set}");
    let edit = ["patch", "cm/web", "-n", NS, "--type=merge", "-p", r#"{"data":{"key":"by hand"}}"#];
    plane.kubectl_ok("alice", &edit);
    let drift = greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    let observed = drift["detail"]["observation"].as_u64().unwrap();
    let verdict = greffier.wait("who it was", |event| {
        event["kind"] == "attribution.resolved" && event["detail"]["observation"] == observed
    });
    assert_eq!(verdict["detail"]["verdict"], "Exact", "{verdict}");
    assert_eq!(verdict["detail"]["claims"][0]["who"], "alice", "{verdict}");
    until("it is put back", || (value(plane, "web") == "v2").then_some(()));
    let healed = until("the field is greffier's again", || {
        let field = blame(greffier);
        (field["was"] == "by hand" && field["value"] == "v2").then_some(field)
    });
    assert_eq!(healed["set"]["who"]["write"]["verb"], "heal", "{healed}");
    assert!(healed["set"]["time"].as_str() > set["set"]["time"].as_str(), "{healed}");
}
