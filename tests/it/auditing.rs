//! What the API server's audit tells, from the real API server's log to the ledger.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, until};

fn greffier() -> Greffier {
    let log = ControlPlane::shared().audit_log();
    Greffier::new().configure(&format!("[audit]\nfile = \"{}\"", log.display()))
}

fn namespace(name: &str) -> &str {
    ControlPlane::shared().kubectl_ok("admin", &["create", "namespace", name]);
    name
}

/// Does something as a user and returns uid and resource version of the ConfigMap afterwards.
fn act(user: &str, ns: &str, args: &[&str]) -> (String, String) {
    let plane = ControlPlane::shared();
    plane.kubectl_ok(user, &[&["-n", ns], args].concat());
    let path = "jsonpath={.metadata.uid} {.metadata.resourceVersion}";
    let shown = plane.kubectl_ok("admin", &["-n", ns, "get", "configmap/web", "-o", path]);
    let (uid, version) = shown.split_once(' ').unwrap();
    (uid.to_owned(), version.to_owned())
}

fn received(event: &Value, user: &str, ns: &str, verb: &str) -> bool {
    let detail = &event["detail"];
    event["kind"] == "audit.received"
        && detail["user"]["name"] == user
        && detail["key"]["namespace"] == ns
        && detail["verb"] == verb
}

/// Every write to ConfigMaps in the namespace that the API server says it carried out, by audit
/// id: its verb and user.
fn carried_out(ns: &str) -> BTreeMap<String, (String, String)> {
    let log = fs::read_to_string(ControlPlane::shared().audit_log()).unwrap();
    let mut found = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(ns)) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        let of = object["resource"] == "configmaps" && object["namespace"] == ns;
        let done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
        if of && done && event["stage"] == "ResponseComplete" {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let what = (text(&event["verb"]), text(&event["user"]["username"]));
            found.insert(text(&event["auditID"]), what);
        }
    }
    found
}

/// Every `audit.received` about ConfigMaps in the namespace; none twice.
fn recorded(greffier: &Greffier, ns: &str) -> BTreeMap<String, (String, String)> {
    let events = greffier.json(&["log", "--all", "-n", "10000000", "-o", "json"]);
    let mut found = BTreeMap::new();
    for event in events.as_array().unwrap() {
        let detail = &event["detail"];
        let of = detail["key"]["namespace"] == ns && detail["key"]["kind"] == "ConfigMap";
        if event["kind"] == "audit.received" && of {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let what = (text(&detail["verb"]), text(&detail["user"]["name"]));
            let again = found.insert(text(&detail["audit_id"]), what);
            assert!(again.is_none(), "twice: {event}");
        }
    }
    found
}

/// Goal: each change arrives with who made it and the object's uid and version after it; a
/// restart, in order or not, loses and doubles nothing.
/// Method: alice and bob change an object while the daemon runs, while it is stopped and while
/// it is killed; the ledger is held against the API server's own log.
#[test]
fn audit_records_arrive_once_with_uid_and_version() {
    let greffier = greffier();
    greffier.start();
    let ns = namespace("audit-once");
    let made = act("alice", ns, &["create", "configmap", "web", "--from-literal=a=1"]);
    let patch = |value: &str| format!("{{\"data\":{{\"a\":\"{value}\"}}}}");
    let merge = |value: &str| {
        ["patch", "configmap", "web", "--type=merge", "-p"]
            .into_iter()
            .map(str::to_owned)
            .chain([patch(value)])
            .collect::<Vec<_>>()
    };
    let change = |user: &str, value: &str| {
        let args = merge(value);
        act(user, ns, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let changed = change("bob", "2");
    for (user, verb, (uid, version)) in [("alice", "create", made), ("bob", "patch", changed)] {
        let event = greffier
            .wait(&format!("the {verb} by {user}"), |event| received(event, user, ns, verb));
        let detail = &event["detail"];
        assert_eq!((&detail["uid"], &detail["resource_version"]), (&uid.into(), &version.into()));
        assert_eq!(detail["key"]["name"], "web");
        assert_eq!(event["by"][0], user);
    }
    let reach = greffier.wait("bob's patch", |event| received(event, "bob", ns, "patch"));
    assert_eq!(reach["detail"]["reach"]["Fields"][0], ".data.a");

    greffier.stop();
    change("bob", "3");
    greffier.start();
    change("alice", "4");
    greffier.wait("alice's patch", |event| received(event, "alice", ns, "patch"));
    greffier.kill();
    change("bob", "5");
    ControlPlane::shared().kubectl_ok("bob", &["-n", ns, "delete", "configmap", "web"]);
    greffier.start();
    let gone = greffier.wait("bob's deletion", |event| received(event, "bob", ns, "delete"));
    assert_eq!(gone["detail"]["propagation"], "Background");
    let expected = carried_out(ns);
    // kube-root-ca.crt is made by a controller; the rest by alice and bob.
    assert!(expected.len() >= 7, "{expected:?}");
    let found = until("everything is recorded", || {
        let found = recorded(&greffier, ns);
        (found.len() >= expected.len()).then_some(found)
    });
    assert_eq!(found, expected);

    let status = greffier.json(&["status", "-o", "json"]);
    let source = &status["audit"][0];
    assert!(source["records"].as_u64().unwrap() > 0 && source["newest"].is_string(), "{status}");
    let (text, _) = greffier.cli_ends(0, &["status"]);
    assert!(text.contains("audit.log: ") && text.contains("of writes"), "{text}");
}

/// Goal: a log that cannot be read is told once, in the log and in the status, and so is that it
/// can be read again.
#[test]
fn an_audit_log_that_cannot_be_read_is_told() {
    let greffier = Greffier::new();
    let file = greffier.path("audit.log");
    let greffier = greffier.configure(&format!("[audit]\nfile = \"{}\"", file.display()));
    greffier.start();
    let troubled = |event: &Value, trouble: &str| {
        event["kind"] == "audit.troubled" && event["detail"]["trouble"] == trouble
    };
    let told = greffier.wait("the trouble", |event| troubled(event, "Unreadable"));
    assert!(told["summary"].as_str().unwrap().contains("No such file"), "{told}");
    let (text, _) = greffier.cli_ends(0, &["status"]);
    assert!(text.contains("audit.log CANNOT BE READ: No such file"), "{text}");

    let secret = "hunter2";
    fs::write(&file, format!("not JSON {secret}\n{{\"kind\":\"{secret}\"}}\n")).unwrap();
    greffier.wait("its end", |event| troubled(event, "Over"));
    let malformed = greffier.wait("the lines", |event| troubled(event, "Malformed"));
    assert_eq!(malformed["detail"]["count"], 2);
    assert!(!malformed.to_string().contains(secret), "{malformed}");
    let (text, _) = greffier.cli_ends(0, &["status"]);
    assert!(!text.contains("CANNOT") && text.contains("2 records of"), "{text}");
    let events = greffier.json(&["log", "--all", "-n", "1000", "-o", "json"]);
    let kinds = events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap());
    assert_eq!(kinds.filter(|kind| *kind == "audit.troubled").count(), 3);
}
