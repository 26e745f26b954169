//! A replay that was killed, and what became of its target before somebody went on with it: what
//! is gone is written again, and a person may end it for good. On real API servers.

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::recovery::{jsonpath, killed, onto, target};

const NS: &str = "gone";

/// What comes after everything else, so that a kill before it leaves the rest written.
const LAST: &str = "apiVersion: v1
kind: Service
metadata: {name: last}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: correct}
";

/// The namespace, three plain ConfigMaps, one that owns another, a Secret and the Service.
const OBJECTS: u64 = 8;

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

fn owned(uid: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owned\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]\ndata: {{key: owned}}\n"
    )
}

/// A greffier that has stopped, whose cluster is gone.
fn recorded() -> Greffier {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    for name in ["one", "two", "three", "owner"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "1"));
    }
    greffier.repo.write("web/secret.yaml", SECRET).write("web/last.yaml", LAST);
    let first = greffier.repo.push("first");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &first);
    let uid = jsonpath(&burned, &["-n", NS, "cm", "owner"], ".metadata.uid");
    let second = greffier.repo.write("web/owned.yaml", &owned(&uid)).push("owned");
    greffier.wait_synced("web", &second);
    greffier.stop();
    greffier
}

/// The events of one kind, the oldest first.
fn events(greffier: &Greffier, kind: &str) -> Vec<Value> {
    let all = greffier.json(&["log", "--kind", kind, "--all", "-n", "1000", "-o", "json"]);
    let mut all = all.as_array().unwrap().clone();
    all.sort_by_key(|event| event["seq"].as_u64());
    all
}

#[test]
fn what_is_gone_before_a_replay_goes_on_is_written_again_or_a_person_ends_it() {
    let greffier = recorded();
    let fresh = plane();
    let new = target(&fresh);
    ended_by_hand(&greffier, &fresh, &new);

    // Killed before the last object, and then somebody is at work on the target.
    killed(&greffier, &onto(&new, &["--yes"]), &format!("sending:{OBJECTS}"));
    let uid = |name: &str| jsonpath(&fresh, &["-n", NS, "cm", name], ".metadata.uid");
    let former = [uid("owner"), uid("owned"), uid("one")];
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "cm/one", "secret/password"]);
    // What it owned stays and names no owner any more.
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "cm/owner", "--cascade=orphan"]);
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "cm/two"]);
    fresh.kubectl_ok("alice", &["create", "-n", NS, "cm", "two", "--from-literal=key=mine"]);

    let (report, said) = greffier.cli_ends(8, &onto(&new, &["--resume", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let failed = report["failed"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[0]["object"]), (1, &format!("ConfigMap/{NS}/two").into()));
    assert!(failed[0]["why"].as_str().unwrap().contains("somebody else made"), "{report}");
    assert_eq!(report["differs"], serde_json::json!([]), "{report}");
    for words in ["nothing over what is there", "ConfigMap/gone/two", "delete it", "--abandon"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("--resume writes what is not there"), "it would not help: {said}");
    let again = ["ConfigMap/gone/one", "ConfigMap/gone/owned", "ConfigMap/gone/owner"];
    let again = again.iter().copied().chain(["Secret/gone/password"]);
    assert_eq!(report["again"], again.collect::<Value>(), "{report}");
    assert_eq!((&report["written"], &report["now"]), (&(OBJECTS - 1).into(), &5.into()));
    // They are there, and what is owned names the owner that is there now.
    assert_eq!(
        jsonpath(&fresh, &["-n", NS, "secret", "password"], ".data.password"),
        "Y29ycmVjdA=="
    );
    let names = jsonpath(&fresh, &["-n", NS, "cm", "owned"], ".metadata.ownerReferences[*].uid");
    assert_eq!(names, uid("owner"));
    assert_ne!(names, former[0]);
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "two"], ".data.key"), "mine", "left alone");
    // Each was meant to be written again before it was, with the uid that was gone.
    let intents = events(&greffier, "recovery.intent");
    let writes = intents.iter().flat_map(|intent| intent["detail"]["writes"].as_array().unwrap());
    let again: Vec<&str> = writes.filter_map(|write| write["again"].as_str()).collect();
    for uid in &former {
        assert_eq!(again.iter().filter(|again| *again == uid).count(), 1, "{uid}: {again:?}");
    }

    // Somebody changed one that is written: to go on does not help, and that is said.
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "cm/two"]);
    let patch = r#"{"data":{"key":"edited"}}"#;
    fresh.kubectl_ok("alice", &["patch", "-n", NS, "cm/one", "--type=merge", "-p", patch]);
    let (report, said) = greffier.cli_ends(8, &onto(&new, &["--resume", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["differs"][0]["object"], format!("ConfigMap/{NS}/one"), "{report}");
    assert_eq!(report["differs"][0]["resumable"], false, "{report}");
    assert!(said.contains("does not change ConfigMap/gone/one"), "{said}");
    assert!(!said.contains("--resume writes what is not there"), "{said}");
    // Once it is away, all of it is whole.
    fresh.kubectl_ok("alice", &["delete", "-n", NS, "cm/one"]);
    let (report, _) = greffier.cli_ends(0, &onto(&new, &["--resume", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["verified"], &report["written"]), (&true.into(), &OBJECTS.into()));
    assert_eq!(report["now"], 1, "{report}");
    assert!(report["again"].to_string().contains("ConfigMap/gone/two"), "{report}");
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    let finished = events(&greffier, "recovery.finished");
    let took = finished.last().unwrap()["detail"]["milliseconds"].as_u64();
    assert_eq!(took, report["written_milliseconds"].as_u64());
    assert!(took > Some(0), "{finished:?}");
}

/// Goal: a person ends a replay, with a reason, although it is in nobody's hands any more.
fn ended_by_hand(greffier: &Greffier, fresh: &ControlPlane, new: &[String; 2]) {
    killed(greffier, &onto(new, &["--yes"]), "sending:3");
    let begun = events(greffier, "recovery.begun")[0]["seq"].to_string();
    let (_, said) = greffier.cli_ends(6, &onto(new, &["--yes"]));
    assert!(said.contains("has not ended"), "{said}");
    assert!(said.contains(&format!("--abandon {begun} ")), "{said}");

    let because = ["--reason", "the wrong instant"];
    let (_, said) = greffier.cli_ends(2, &["replay", "--abandon", "1", "--yes"]);
    assert!(said.contains("#1 is no replay"), "{said}");
    let (_, said) = greffier.cli_ends(6, &["replay", "--abandon", &begun]);
    assert!(said.contains("not abandoned") && said.contains("2 of 8 objects"), "{said}");
    let named = format!("#{begun}");
    let end = ["replay", "--abandon", &named, "--yes", "-o", "json"];
    let (done, _) = greffier.cli_ends(0, &[end.as_slice(), &because].concat());
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["written"], &done["reason"]), (&2.into(), &because[1].into()), "{done}");
    let recorded = &events(greffier, "recovery.abandoned")[0];
    assert_eq!(
        (&recorded["seq"], &recorded["detail"]["reason"]),
        (&done["event"], &because[1].into())
    );
    assert!(recorded["actor"].as_str().unwrap().starts_with("os-user:"), "{recorded}");

    // Nobody goes on with it, and another may begin where nothing is in the way.
    for args in [onto(new, &["--resume", "--yes"]), vec!["replay", "--abandon", &begun, "--yes"]] {
        let (_, said) = greffier.cli_ends(6, &args);
        assert!(said.contains("was abandoned by event") && said.contains(because[1]), "{said}");
    }
    let (_, said) = greffier.cli_ends(6, &onto(new, &["--yes"]));
    assert!(said.contains("is not empty") && said.contains("Namespace/gone"), "{said}");
    fresh.kubectl_ok("admin", &["delete", "namespace", NS]);
}
