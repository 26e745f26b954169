//! What people can forge, and that it leads to no wrong name: on a real API server.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, git, run};

const NS: &str = "forgery";
const VICTIM: &str = "configmap/victim";

fn kubectl(user: &str, args: &[&str]) -> String {
    ControlPlane::shared().kubectl_ok(user, &[&["-n", NS], args].concat())
}

fn patch(value: &str) -> String {
    format!(r#"{{"data":{{"key":"{value}"}}}}"#)
}

/// Patches an object as a user, with a value that is new and what else is said.
fn patched(user: &str, value: &str, more: &[&str]) -> String {
    let patch = patch(value);
    kubectl(user, &[&["patch", VICTIM, "--type=merge", "-p", &patch], more].concat());
    version("victim")
}

/// The version of a ConfigMap: nobody but the test writes to it.
fn version(name: &str) -> String {
    kubectl("admin", &["get", "configmap", name, "-o", "jsonpath={.metadata.resourceVersion}"])
}

fn token(user: &str) -> String {
    let config = fs::read_to_string(ControlPlane::shared().kubeconfig(user)).unwrap();
    let after = config.split("token: ").nth(1).unwrap();
    after.split('}').next().unwrap().trim().to_owned()
}

/// Patches a ConfigMap with whatever headers; returns its version.
fn curl(token: &str, name: &str, value: &str, headers: &[String]) -> String {
    let server = ControlPlane::shared().server();
    let url = format!("{server}/api/v1/namespaces/{NS}/configmaps/{name}");
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "-f", "-X", "PATCH", "--data", &patch(value), &url]);
    let fixed = [
        format!("Authorization: Bearer {token}"),
        "Content-Type: application/merge-patch+json".to_owned(),
    ];
    for header in fixed.iter().chain(headers) {
        command.args(["-H", header]);
    }
    // greffier may have put it back before anybody asks for it.
    let answer: Value = serde_json::from_str(&run(&mut command)).unwrap();
    answer["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

fn resolved(event: &Value) -> bool {
    event["kind"] == "attribution.resolved" && event["detail"]["key"]["namespace"] == NS
}

/// What is known of a version: who, as whom, with what.
fn told(greffier: &Greffier, name: &str, version: &str) -> (String, String, String) {
    let observed = greffier.wait(&format!("version {version} of {name}"), |event| {
        let detail = &event["detail"];
        event["kind"] == "object.observed"
            && detail["key"]["name"] == name
            && detail["resource_version"] == version
    });
    let told = greffier.wait(&format!("who made version {version} of {name}"), |event| {
        resolved(event) && event["detail"]["observation"] == observed["seq"]
    });
    let detail = &told["detail"];
    assert_eq!((&detail["verdict"], &detail["more"]), (&"Exact".into(), &0.into()), "{told}");
    let claims = detail["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 1, "{told}");
    let text = |field: &str| claims[0][field].as_str().unwrap().to_owned();
    (text("who"), text("acting_as"), text("credential"))
}

/// A greffier that keeps one ConfigMap in the namespace, and reads the audit log.
fn greffier() -> Greffier {
    let plane = ControlPlane::shared();
    let log = plane.audit_log();
    let greffier = Greffier::on(plane).configure(&format!("[audit]\nfile = \"{}\"", log.display()));
    let root = application("kept", &greffier.repo.url(), "app", NS, KEPT);
    let greffier = greffier.root(&root);
    greffier.repo.write("app/kept.yaml", &config_map("kept", "git"));
    let commit = greffier.repo.push("begin");
    greffier.start();
    greffier.wait_synced("kept", &commit);
    kubectl("bob", &["create", "configmap", "victim", "--from-literal=key=0"]);
    greffier
}

/// The audit id of greffier's own first write to the kept ConfigMap.
fn own_audit_id(greffier: &Greffier) -> String {
    let intent = greffier.wait("greffier's own intent", |event| {
        let writes = &event["detail"]["writes"];
        event["kind"] == "apply.intent" && writes[0]["key"]["name"] == "kept"
    });
    let info = greffier.json(&["ledger", "info", "-o", "json"]);
    format!("{}-{}-0", info["ledger_id"].as_str().unwrap(), intent["seq"])
}

/// Goal: whatever a client says of itself, the one who is named is the one whom the API server
/// authenticated, and no other at any strength that counts.
/// Method: alice forges everything that a client can choose; at the end every exact or unique
/// name in the namespace is held against who did it.
#[test]
fn no_forgery_leads_to_a_wrong_name() {
    let greffier = greffier();
    let mut truth: BTreeMap<String, &str> = BTreeMap::from([(version("victim"), "bob")]);
    let alice = token("alice");
    let plain = |who: &str| (who.to_owned(), String::new(), String::new());

    let agent = ["User-Agent: greffier/0.1.0".to_owned()];
    let mut by_alice = vec![curl(&alice, "victim", "agent", &agent)];
    by_alice.push(patched("alice", "manager", &["--field-manager=greffier"]));
    let manifest = greffier.path("forged.yaml");
    fs::write(&manifest, config_map("victim", "applied")).unwrap();
    let forced = ["apply", "--server-side", "--force-conflicts", "--field-manager=greffier", "-f"];
    kubectl("alice", &[&forced[..], &[manifest.to_str().unwrap()]].concat());
    by_alice.push(version("victim"));
    let id = own_audit_id(&greffier);
    let copied = [format!("Audit-ID: {id}"), agent[0].clone()];
    by_alice.push(curl(&alice, "victim", "audit id", &copied));
    for version in &by_alice {
        assert_eq!(told(&greffier, "victim", version), plain("alice"), "version {version}");
        truth.insert(version.clone(), "alice");
    }

    // Somebody who asks for what is there already changed nothing.
    let (twice, again) = (patched("alice", "twice", &[]), patched("bob", "twice", &[]));
    assert_eq!(twice, again);
    assert_eq!(told(&greffier, "victim", &twice), plain("alice"));
    truth.insert(twice, "alice");

    for n in 0..12 {
        let who = if n % 2 == 0 { "alice" } else { "bob" };
        let manager = format!("--field-manager=manager-{n}");
        let version = patched(who, &format!("manager {n}"), &[&manager]);
        assert_eq!(told(&greffier, "victim", &version), plain(who), "manager {n}");
        truth.insert(version, who);
    }

    let as_bob = patched("alice", "as bob", &["--as=bob", "--as-group=greffier-test:admins"]);
    let expected = ("alice".to_owned(), "bob".to_owned(), String::new());
    assert_eq!(told(&greffier, "victim", &as_bob), expected, "both are named");
    truth.insert(as_bob, "alice");

    // Without field managers it is not told when the last write was: others are waited for.
    let reset = r#"{"metadata":{"managedFields":[{}]},"data":{"key":"reset"}}"#;
    kubectl("alice", &["patch", VICTIM, "--type=merge", "-p", reset]);
    let bare = version("victim");
    assert_eq!(told(&greffier, "victim", &bare), plain("alice"), "no managers");
    truth.insert(bare, "alice");

    // greffier's own object, changed with greffier's own audit id and name.
    let drift = curl(&alice, "kept", "by hand", &copied);
    assert_eq!(told(&greffier, "kept", &drift), plain("alice"));
    truth.insert(drift, "alice");
    only_the_truth(&greffier, &truth);
}

/// Every exact or unique name is the one who did it.
fn only_the_truth(greffier: &Greffier, truth: &BTreeMap<String, &str>) {
    let events = greffier.json(&["log", "--all", "-n", "10000000", "-o", "json"]);
    let events = events.as_array().unwrap();
    let mut named = 0;
    for event in events.iter().filter(|event| resolved(event)) {
        let detail = &event["detail"];
        let strong = ["Exact", "Unique"].iter().any(|verdict| detail["verdict"] == *verdict);
        let about = ["victim", "kept"].iter().any(|name| detail["key"]["name"] == *name);
        if !strong || !about {
            continue;
        }
        let observed = events.iter().find(|other| other["seq"] == detail["observation"]).unwrap();
        let version = observed["detail"]["resource_version"].as_str().unwrap();
        let who = truth.get(version).unwrap_or_else(|| panic!("nobody did {event}"));
        assert_eq!(detail["claims"][0]["who"], *who, "{event}");
        named += 1;
    }
    assert!(named >= 20, "{named}");
}

/// Goal: of a token that several hold it is known which token it was, and not more.
#[test]
fn a_shared_token_is_a_credential_and_nobody() {
    let plane = ControlPlane::shared();
    let log = plane.audit_log();
    let greffier = Greffier::on(plane).configure(&format!("[audit]\nfile = \"{}\"", log.display()));
    greffier.start();
    // A namespace of its own would need a server of its own: the account lives beside the tests.
    plane.kubectl_ok("admin", &["create", "serviceaccount", "shared", "-n", "default"]);
    let binding = ["create", "clusterrolebinding", "shared", "--clusterrole=cluster-admin"];
    let subject = ["--serviceaccount=default:shared"];
    plane.kubectl_ok("admin", &[&binding[..], &subject].concat());
    let token = plane.kubectl_ok("admin", &["create", "token", "shared", "-n", "default"]);
    let make = |name: &str| {
        let server = plane.server();
        let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
        run(Command::new("curl").args(["-sS", "-k", "-f", "-X", "POST", "--data", &body]).args([
            "-H",
            &format!("Authorization: Bearer {}", token.trim()),
            "-H",
            "Content-Type: application/json",
            "-H",
            &format!("User-Agent: {name}"),
            &format!("{server}/api/v1/namespaces/default/configmaps"),
        ]));
        let told = greffier.wait(&format!("who made {name}"), |event| {
            event["kind"] == "attribution.resolved" && event["detail"]["key"]["name"] == name
        });
        assert_eq!(told["detail"]["verdict"], "Exact", "{told}");
        let claim = told["detail"]["claims"][0].clone();
        assert_eq!(claim["who"], "system:serviceaccount:default:shared", "{told}");
        claim["credential"].as_str().unwrap().to_owned()
    };
    let (first, second) = (make("shared-carol"), make("shared-dave"));
    assert!(first.starts_with("JTI="), "{first}");
    assert_eq!(first, second, "two people, one credential");
}

/// Goal: the author that a commit states is a claim of whoever pushed it; the write is greffier's.
#[test]
fn a_forged_author_of_a_commit_did_not_write_to_the_cluster() {
    let ns = "forgery-git";
    let plane = ControlPlane::shared();
    let log = plane.audit_log();
    let greffier = Greffier::on(plane).configure(&format!("[audit]\nfile = \"{}\"", log.display()));
    let root = application("forged", &greffier.repo.url(), "app", ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.repo.write("app/a.yaml", &config_map("a", "1"));
    let begun = greffier.repo.push("begin");
    greffier.start();
    greffier.wait_synced("forged", &begun);
    greffier.repo.write("app/a.yaml", &config_map("a", "2"));
    run(git(&greffier.repo.work).args(["add", "-A"]));
    run(git(&greffier.repo.work)
        .env("GIT_AUTHOR_NAME", "bob")
        .env("GIT_AUTHOR_EMAIL", "bob@example.org")
        .args(["commit", "-q", "-m", "not by bob"]));
    run(git(&greffier.repo.work).args(["push", "-q", "origin", "main"]));
    greffier.wait_synced("forged", &greffier.repo.head());
    // Something by somebody else, so that what comes before it is decided.
    let args = ["-n", ns, "create", "configmap", "after", "--from-literal=a=1"];
    plane.kubectl_ok("alice", &args);
    greffier.wait("what alice did", |event| {
        event["kind"] == "attribution.resolved" && event["detail"]["key"]["name"] == "after"
    });
    let events = greffier.json(&["log", "--all", "-n", "10000000", "-o", "json"]);
    for event in events.as_array().unwrap() {
        let of = event["detail"]["key"]["namespace"] == ns;
        if event["kind"] == "attribution.resolved" && of {
            assert_ne!(event["detail"]["key"]["name"], "a", "own writes need no event: {event}");
            assert_ne!(event["detail"]["claims"][0]["who"], "bob", "{event}");
        }
    }
    let commit = greffier.wait("the commit", |event| {
        event["kind"] == "git.commit" && event["summary"].as_str().unwrap().contains("not by bob")
    });
    assert!(commit["actor"].as_str().unwrap().contains("git-author:bob"), "{commit}");
}
