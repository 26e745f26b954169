//! What a replay brings that is not simply what Git says, on real API servers: what stays because
//! something else is refused, and what is more than a quota lets.

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::recovery::{jsonpath, onto, target};

const NS: &str = "stays";
const FULL: &str = "full";
const OLD: &str = "ConfigMap/stays/old";
const NEW: &str = "ConfigMap/stays/new";

const QUOTA: &str = "apiVersion: v1
kind: ResourceQuota
metadata: {name: few}
spec: {hard: {configmaps: 3}}
";

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

/// `web` has renamed `old` to `new` and mistyped that; `full` has more than its quota lets.
fn burnt() -> Greffier {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    greffier.repo.write("web/cm.yaml", &config_map("old", "1"));
    greffier.repo.write("web/a.yaml", &config_map("a", "1"));
    for n in 0..5 {
        greffier.repo.write(&format!("full/{n}.yaml"), &config_map(&format!("cm-{n}"), "1"));
    }
    let first = greffier.repo.push("first");
    let url = greffier.repo.url();
    let greffier = greffier
        .root(&application("web", &url, "web", NS, KEPT))
        .root(&application("full", &url, "full", FULL, KEPT));
    greffier.start().wait_synced("web", &first);
    greffier.wait_synced("full", &first);
    let mistyped = config_map("new", "1").replace("\ndata:", "\ndat:");
    greffier.repo.write("web/cm.yaml", &mistyped).write("full/quota.yaml", QUOTA);
    let second = greffier.repo.push("renamed, and mistyped");
    greffier.wait_synced("full", &second);
    refused(&greffier, &second);
    let (why, _) = greffier.cli_ends(0, &["why", "cm/old", "-n", NS]);
    assert!(why.contains("which may stand in its place, is not written"), "{why}");
    assert_eq!(greffier.stop(), Some(0));
    greffier
}

/// The sync of a commit ended badly.
fn refused(greffier: &Greffier, commit: &str) {
    let ended = |event: &Value| {
        event["kind"] == "sync.finished"
            && event["detail"]["commit"] == commit
            && event["detail"]["app"] == "web"
    };
    let ended = greffier.wait("the refusal", ended);
    assert_eq!(ended["detail"]["succeeded"], false, "{ended}");
}

/// Without the cluster: what comes back, and what was refused, is said.
fn doctor_says(greffier: &Greffier) {
    let (doctor, _) = greffier.cli_ends(1, &["doctor", "--recovery", "-o", "json"]);
    let plan = &serde_json::from_str::<Value>(&doctor).unwrap()["plan"];
    let losses = |kind: &str| -> Vec<(String, String)> {
        let lost = plan["lost"].as_array().unwrap().iter().filter(|loss| loss["kind"] == kind);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        lost.map(|loss| (text(&loss["subject"]), text(&loss["why"]))).collect()
    };
    assert_eq!(losses("left-git"), [], "{doctor}");
    let [(subject, why)] = losses("was-refused").try_into().unwrap();
    assert_eq!(subject, NEW);
    assert!(why.starts_with("was refused when last tried: ") && why.contains("dat"), "{why}");
    let notes = plan["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap());
    let note = notes.into_iter().find(|note| note.starts_with(OLD)).expect(&doctor);
    let says = format!("it stays while {NEW}, which may stand in its place, is not written: ");
    assert!(note.contains(&says), "{note}");
    let stages: Vec<_> = plan["stages"].as_array().unwrap().iter().map(|one| &one[0]).collect();
    assert_eq!(stages.last(), Some(&&Value::from("quotas")), "{doctor}");
}

/// Goal: what serves until something else is written comes back, stays on the new cluster while that
/// is not written, and goes when it is; a quota refuses nothing that was there before it.
#[test]
fn what_stays_comes_back_and_goes_when_its_successor_is_written() {
    let greffier = burnt();
    doctor_says(&greffier);
    let fresh = plane();
    let new = target(&fresh);
    let (report, _) = greffier.cli_ends(8, &onto(&new, &["--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let failed: Vec<_> = report["failed"].as_array().unwrap().iter().collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0]["object"], NEW, "{report}");
    assert_eq!(report["differs"], serde_json::json!([]), "{report}");
    let old = ["-n", NS, "cm", "old"];
    assert_eq!(jsonpath(&fresh, &old, ".data.key"), "1");
    let maps = fresh.kubectl_ok("admin", &["get", "cm", "-n", FULL, "-o", "name"]);
    assert_eq!(maps.matches("configmap/cm-").count(), 5, "{maps}");
    assert_eq!(jsonpath(&fresh, &["-n", FULL, "quota", "few"], ".spec.hard.configmaps"), "3");
    let uid = jsonpath(&fresh, &old, ".metadata.uid");

    let greffier = greffier.connecting_as(fresh.kubeconfig("greffier"));
    greffier.start();
    greffier.wait("another cluster", |event| event["kind"] == "cluster.replaced");
    until("the cluster is seen whole", || {
        let output = greffier.cli(&["cluster", "accept", "--reason", "rebuilt", "--yes"]);
        output.status.success().then_some(())
    });
    // It is tried there as well, and stays beside what is refused there.
    until("it stays there", || {
        let (why, _) = greffier.cli_ends(0, &["why", "cm/old", "-n", NS]);
        why.contains("which may stand in its place, is not written").then_some(())
    });
    assert_eq!(jsonpath(&fresh, &old, ".metadata.uid"), uid);
    greffier.repo.write("web/cm.yaml", &config_map("new", "1"));
    let mended = greffier.repo.push("mended");
    greffier.wait_synced("web", &mended);
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "new"], ".data.key"), "1");
    let left = fresh.kubectl_ok("admin", &["get", "cm", "-n", NS, "-o", "name"]);
    assert!(!left.contains("configmap/old"), "{left}");
}
