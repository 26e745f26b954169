//! What the API server's audit tells, from the real API server's log to the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
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

/// Goal: the policy that is shipped records what greffier needs, and no secrets.
#[test]
fn the_shipped_policy_records_changes_and_no_secrets() {
    let policy = include_str!("../../docs/audit/policy.yaml");
    let options =
        Options { audit_policy: Some(policy.to_owned()), kwok: false, ..Options::default() };
    let plane = ControlPlane::start_with(options);
    let secret = "hunter2";
    let literal = format!("--from-literal=key={secret}");
    plane.kubectl_ok("alice", &["create", "secret", "generic", "quiet", &literal]);
    plane.kubectl_ok("alice", &["create", "configmap", "loud", "--from-literal=key=value"]);
    plane.kubectl_ok("alice", &["create", "serviceaccount", "robot"]);
    let token = plane.kubectl_ok("alice", &["create", "token", "robot"]);
    plane.kubectl_ok("alice", &["get", "configmap", "loud"]);
    plane.kubectl_ok("alice", &["delete", "configmap", "loud"]);
    let text = fs::read_to_string(plane.audit_log()).unwrap();
    for secret in [secret, "aHVudGVyMg", token.trim()] {
        assert!(!text.contains(secret), "a secret is in the log");
    }
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |verb: &str, resource: &str, name: &str| {
        let found = events.iter().find(|event| {
            let object = &event["objectRef"];
            let of = (&event["verb"], &object["resource"], &object["name"]);
            of == (&verb.into(), &resource.into(), &name.into())
        });
        found.unwrap_or_else(|| panic!("no {verb} of {resource} {name}"))
    };
    let loud = find("create", "configmaps", "loud");
    let metadata = &loud["responseObject"]["metadata"];
    assert!(metadata["resourceVersion"].is_string() && metadata["uid"].is_string(), "{loud}");
    assert!(metadata["managedFields"].is_null(), "{loud}");
    find("delete", "configmaps", "loud");
    let quiet = find("create", "secrets", "quiet");
    assert_eq!((&quiet["level"], &quiet["requestObject"]), (&"Metadata".into(), &Value::Null));
    for event in &events {
        let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
        let dull = ["events", "leases", "endpointslices", "tokenreviews"]
            .iter()
            .any(|resource| event["objectRef"]["resource"] == *resource);
        assert!(!reads && !dull && event["stage"] == "ResponseComplete", "{event}");
    }
}

/// A second API server on the shared cluster, with flags of its own. Ended on drop.
struct ApiServer {
    child: Child,
    server: String,
    log: PathBuf,
}

impl ApiServer {
    /// Starts it with the flags of the first; `webhook` is the kubeconfig for its audit.
    fn start(dir: &Path, webhook: &Path) -> Self {
        let plane = ControlPlane::shared();
        let pid = plane.pids()["kube-apiserver"];
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let line = String::from_utf8(line).unwrap();
        let own = ["--secure-port=", "--audit-log-path="];
        let flags = line.split('\0').skip(1).filter(|flag| !flag.is_empty());
        let flags = flags.filter(|flag| !own.iter().any(|own| flag.starts_with(own)));
        let (port, log) = (free_port(), dir.join("second.log"));
        let output = fs::File::create(dir.join("second.out")).unwrap();
        let child = Command::new(plane.bin("kube-apiserver"))
            .args(flags)
            .arg(format!("--secure-port={port}"))
            .arg(format!("--audit-log-path={}", log.display()))
            .arg(format!("--audit-webhook-config-file={}", webhook.display()))
            .arg("--audit-webhook-batch-max-wait=200ms")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut second = Self { child, server: format!("https://127.0.0.1:{port}"), log };
        until("the second API server", || {
            let ended = second.child.try_wait().unwrap();
            let said = fs::read_to_string(dir.join("second.out")).unwrap_or_default();
            assert!(ended.is_none(), "it ended: {said}");
            let mut ready = second.kubectl("alice", &["get", "--raw", "/readyz"]);
            ready.stderr(Stdio::null()).status().unwrap().success().then_some(())
        });
        second
    }

    fn kubectl(&self, user: &str, args: &[&str]) -> Command {
        let mut command = ControlPlane::shared().kubectl(user);
        command.arg(format!("--server={}", self.server)).args(args).stdout(Stdio::null());
        command
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Goal: the real API server's webhook is received over mutual TLS with a token, each request
/// once although the log tells of it as well; a sender without the token is refused and told.
#[test]
fn the_api_servers_webhook_is_received() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let tls = tls.display();
    let (greffier, port) = (Greffier::new(), free_port());
    let dir = greffier.dir.path().to_owned();
    fs::write(dir.join("token"), "t0ken\n").unwrap();
    let greffier = greffier.configure(&format!(
        "[audit]\nfile = \"{0}/later.log\"\n[audit.webhook]\nlisten = \"127.0.0.1:{port}\"
tls_cert = \"{tls}/server.crt\"\ntls_key = \"{tls}/server.key\"
client_ca = \"{tls}/ca.crt\"\ntoken_file = \"{0}/token\"",
        dir.display(),
    ));
    greffier.start();
    let config = |token: &str| {
        let path = dir.join(format!("webhook-{token}.yaml"));
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:
- {{name: c, context: {{cluster: g, user: u}}}}\nclusters:
- name: g
  cluster: {{server: \"https://127.0.0.1:{port}/audit\", certificate-authority: \"{tls}/ca.crt\"}}
users:
- name: u
  user: {{client-certificate: \"{tls}/client.crt\", client-key: \"{tls}/client.key\", token: {token}}}
"
        );
        fs::write(&path, config).unwrap();
        path
    };
    let ns = namespace("audit-webhook");
    let second = ApiServer::start(&dir, &config("t0ken"));
    let run = |args: &[&str]| {
        let status = second.kubectl("alice", &[&["-n", ns], args].concat()).status().unwrap();
        assert!(status.success(), "{args:?}");
    };
    run(&["create", "configmap", "web"]);
    run(&["label", "configmap", "web", "a=b"]);
    run(&["delete", "configmap", "web"]);
    let gone = greffier.wait("the deletion", |event| received(event, "alice", ns, "delete"));
    assert_eq!(gone["detail"]["key"]["name"], "web");
    let log = fs::read_to_string(&second.log).unwrap();
    drop(second);

    // The log tells of all that again, and of one request that the webhook did not bring.
    let line = log.lines().rfind(|line| line.contains("\"delete\"") && line.contains(ns)).unwrap();
    let mut further: Value = serde_json::from_str(line).unwrap();
    further["auditID"] = "further".into();
    fs::write(dir.join("new"), format!("{log}{further}\n")).unwrap();
    fs::rename(dir.join("new"), dir.join("later.log")).unwrap();
    greffier.wait("the further record", |event| event["detail"]["audit_id"] == "further");
    greffier.wait("what was known", |event| {
        let read = &event["detail"];
        event["kind"] == "audit.read" && read["duplicates"].as_u64().unwrap() >= 3
    });
    let alice = recorded(&greffier, ns).into_values().filter(|(_, user)| user == "alice");
    let mut verbs: Vec<String> = alice.map(|(verb, _)| verb).collect();
    verbs.sort();
    assert_eq!(verbs, ["create", "delete", "delete", "patch"], "each once");
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["audit"].as_array().unwrap().len(), 2, "{status}");

    let forger = ApiServer::start(&dir, &config("guess"));
    let status = forger.kubectl("bob", &["-n", ns, "create", "configmap", "web"]).status();
    assert!(status.unwrap().success());
    let told = greffier.wait("the refusal", |event| {
        event["kind"] == "audit.troubled" && event["detail"]["trouble"] == "Refused"
    });
    assert!(told["summary"].as_str().unwrap().contains("a post with a wrong token"), "{told}");
}
