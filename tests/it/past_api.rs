//! The past as a Kubernetes API, asked by the real kubectl.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::{ControlPlane, tool_dir};
use crate::daemon::{Greffier, KEPT, application, deployment};
use crate::keep::namespace;

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client of the past.
struct Client {
    kubeconfig: std::path::PathBuf,
    cache: std::path::PathBuf,
    server: String,
}

impl Client {
    fn new(greffier: &Greffier, port: u16, token: &str) -> Self {
        let kubeconfig = greffier.path(&format!("past-{token}.kubeconfig"));
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: past\ncontexts:
- {{name: past, context: {{cluster: past, user: past}}}}\nclusters:
- {{name: past, cluster: {{certificate-authority: \"{}/ca.crt\"}}}}
users:\n- {{name: past, user: {{token: {token}}}}}\n",
            tls.display()
        );
        fs::write(&kubeconfig, config).unwrap();
        let cache = greffier.path("kubectl-cache");
        Self { kubeconfig, cache, server: format!("https://127.0.0.1:{port}") }
    }

    fn run(&self, at: &str, args: &[&str]) -> Output {
        let mut command = Command::new(tool_dir().join("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache);
        command.arg("--server").arg(format!("{}/at/{at}", self.server)).args(args);
        command.stdin(Stdio::null()).env_remove("KUBECONFIG").output().unwrap()
    }

    /// Standard output and standard error of what must succeed.
    fn ok(&self, at: &str, args: &[&str]) -> (String, String) {
        let output = self.run(at, args);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "kubectl {args:?} at {at}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    fn json(&self, at: &str, args: &[&str]) -> Value {
        let (stdout, _) = self.ok(at, &[args, &["-o", "json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
    }

    /// Standard error of what must fail.
    fn fails(&self, at: &str, args: &[&str]) -> String {
        let output = self.run(at, args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "kubectl {args:?} at {at} succeeded\n{stderr}");
        stderr
    }
}

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {word: canary}\n";

/// A greffier that has deployed an application, and offers the past; with the namespace.
fn offering(port: u16) -> (Greffier, String) {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let (namespace, greffier) = (namespace("past-api"), Greffier::new());
    greffier.repo.write("web/a.yaml", &deployment("web", "web:1", 2));
    greffier.repo.write("web/s.yaml", SECRET);
    greffier.repo.push("first");
    let token = greffier.path("token");
    fs::write(&token, "t0ken\n").unwrap();
    let root = application("past-api", &greffier.repo.url(), "web", &namespace, KEPT);
    let greffier = greffier.root(&root).configure(&format!(
        "[past]\nlisten = \"127.0.0.1:{port}\"\ntls_cert = \"{0}/server.crt\"
tls_key = \"{0}/server.key\"\ntoken_file = \"{1}\"",
        tls.display(),
        token.display()
    ));
    greffier.start();
    greffier.wait_synced("past-api", &greffier.repo.head());
    (greffier, namespace)
}

/// Goal: kubectl lists, gets, selects and watches what was there at an instant; it writes nothing;
/// Secrets show no value; what was not watched is a warning; strangers are turned away.
#[test]
fn kubectl_browses_the_past() {
    let port = free_port();
    let (greffier, ns) = offering(port);
    let kubectl = |args: &[&str]| {
        ControlPlane::shared().kubectl_ok("alice", &[args, &["-n", &ns]].concat());
    };
    let seen = |kind: &str, name: &str| {
        // Other tests have objects of the same name in the same cluster.
        let (kind, name, ns) = (kind.to_owned(), name.to_owned(), ns.clone());
        greffier.wait("a ConfigMap", move |event| {
            let key = &event["detail"]["key"];
            event["kind"] == kind.as_str()
                && key["kind"] == "ConfigMap"
                && key["namespace"] == ns.as_str()
                && key["name"] == name.as_str()
        });
    };
    kubectl(&["create", "cm", "one"]);
    seen("object.observed", "one");
    greffier.cli_ends(0, &["mark", "before"]);
    let before = greffier.seq();
    kubectl(&["create", "cm", "two"]);
    kubectl(&["delete", "cm", "one"]);
    seen("object.gone", "one");
    let client = Client::new(&greffier, port, "t0ken");
    let in_ns = |args: &[&'static str]| [args, &["-n", ns.as_str()]].concat().to_vec();
    let names = |at: &str, args: &[&str]| -> Vec<String> {
        let (stdout, _) = client.ok(at, &[args, &["-o", "name"]].concat());
        stdout.lines().map(str::to_owned).filter(|name| !name.contains("kube-root-ca")).collect()
    };
    assert_eq!(names("mark:before", &in_ns(&["get", "cm"])), ["configmap/one"]);
    assert!(!names("@", &in_ns(&["get", "cm"])).contains(&"configmap/one".to_owned()));
    let seq = format!("seq:{before}");
    let web = client.json(&seq, &in_ns(&["get", "deploy", "web"]));
    assert_eq!(web["spec"]["replicas"], 2);
    let (table, _) = client.ok(&seq, &in_ns(&["get", "deployments"]));
    assert!(table.contains("REPLICAS") && table.contains("HEALTH"), "{table}");
    let (all, _) = client.ok(&seq, &in_ns(&["get", "all"]));
    assert!(all.contains("deployment.apps/web"), "{all}");
    let secret = client.json(&seq, &in_ns(&["get", "secret", "key"]));
    assert_eq!(secret["data"], serde_json::json!({"word": ""}));
    let selected = in_ns(&["get", "cm", "-l", "none=such"]);
    assert_eq!(names("mark:before", &selected), Vec::<String>::new());
    the_status_is_that_of_then(&greffier, &client, &ns);
    let (silent, _) =
        client.ok(&seq, &in_ns(&["get", "cm", "--watch-only", "--request-timeout=1s"]));
    assert_eq!(silent, "");
    let (can, _) = client.ok(&seq, &["auth", "can-i", "list", "pods"]);
    assert_eq!(can.trim(), "yes");
    for (at, args, expected) in [
        (seq.as_str(), in_ns(&["delete", "cm", "one"]), "the past cannot be changed"),
        (&seq, in_ns(&["label", "cm", "one", "a=b"]), "the past cannot be changed"),
        (&seq, in_ns(&["get", "cm", "three"]), "configmaps \"three\" not found"),
        (&seq, in_ns(&["get", "leases"]), "leases"),
        ("seq:99999999", in_ns(&["get", "cm"]), "99999999"),
        ("someday", in_ns(&["get", "cm"]), "someday"),
    ] {
        let said = client.fails(at, &args);
        assert!(said.contains(expected), "{at} {args:?}: {said}");
    }
    what_a_stop_hid_is_warned_of(&greffier, &client, &ns);
    let stranger = Client::new(&greffier, port, "other");
    let said = stranger.fails(&seq, &in_ns(&["get", "cm"]));
    assert!(said.contains("logged in") || said.contains("Unauthorized"), "{said}");
}

/// Clients that make their own columns, as k9s does, show what was ready then.
fn the_status_is_that_of_then(greffier: &Greffier, client: &Client, ns: &str) {
    let healthy = |kind: &'static str| {
        let event = greffier.wait("a healthy object", |event| {
            let detail = &event["detail"];
            event["kind"] == "object.observed"
                && detail["key"]["kind"] == kind
                && detail["key"]["namespace"] == ns
                && detail["health"] == "Healthy"
        });
        format!("seq:{}", event["seq"])
    };
    let at = healthy("Deployment");
    let web = client.json(&at, &["get", "deploy", "web", "-n", ns]);
    assert_eq!(
        (&web["status"]["replicas"], &web["status"]["readyReplicas"]),
        (&2.into(), &2.into())
    );
    let (table, _) = client.ok(&at, &["get", "deploy", "-n", ns]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[..4], ["web", "2", "2", "Healthy"], "{table}");
    let pods = client.json(&healthy("Pod"), &["get", "pods", "-n", ns]);
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    assert!(pods["items"].as_array().unwrap().iter().any(running), "{pods}");
}

/// What changed while greffier was stopped: what is listed and what is absent then is doubtful.
fn what_a_stop_hid_is_warned_of(greffier: &Greffier, client: &Client, ns: &str) {
    let kubectl = |args: &[&str]| {
        ControlPlane::shared().kubectl_ok("alice", &[args, &["-n", ns]].concat());
    };
    assert_eq!(greffier.stop(), Some(0));
    kubectl(&["create", "cm", "unseen"]);
    kubectl(&["delete", "cm", "unseen"]);
    greffier.start();
    kubectl(&["create", "cm", "four"]);
    greffier.wait("a ConfigMap", |event| {
        event["kind"] == "object.observed" && event["detail"]["key"]["name"] == "four"
    });
    let (stops, _) = greffier.cli_ends(0, &["log", "--kind", "daemon.stopped", "-o", "jsonl"]);
    let stop: Value = serde_json::from_str(stops.lines().last().unwrap()).unwrap();
    let gap = format!("seq:{}", stop["seq"].as_u64().unwrap() + 1);
    let (_, said) = client.ok(&gap, &["get", "cm", "-n", ns]);
    assert!(said.contains("Warning: ") && said.contains("greffier was stopped"), "{said}");
    let said = client.fails(&gap, &["get", "cm", "unseen", "-n", ns]);
    assert!(said.contains("Warning: ") && said.contains("greffier was stopped"), "{said}");
    assert!(said.contains("not found"), "{said}");
    let (_, said) = client.ok("@", &["get", "cm", "-n", ns]);
    assert!(!said.contains("greffier was stopped"), "{said}");
}
