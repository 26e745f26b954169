//! How fast the API server's audit log becomes events.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::report::{Figure, Report, Unit};
use crate::serve::{Daemon, Home};
use crate::site::{LIMIT, Site, pause};

/// How many requests that wrote are in the log.
const RECORDS: u64 = 20_000;
/// How long one is about, as the API server writes it with request and response.
const RECORD_BYTES: usize = 4_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A log that is there when the daemon starts to follow it.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let dir = site.dir.path().join("audit-home");
    let log = site.dir.path().join("audit.log");
    let settings = format!(
        "[cluster]\nkubeconfig = {:?}\n\n[audit]\nfile = {log:?}\n",
        site.plane.kubeconfig("greffier"),
    );
    let home = Home::create(&dir, &settings)?;
    let mut daemon = Daemon::start(&home)?;
    daemon.wait_until_listed()?;
    let mut text = String::new();
    for number in 0..RECORDS {
        writeln!(text, "{}", record(number))?;
    }
    // It comes at once, as after a time in which the daemon was stopped.
    let new = log.with_extension("new");
    fs::write(&new, &text)?;
    let before = segment_bytes(&home)?;
    let begun = Instant::now();
    fs::rename(&new, &log)?;
    let took = loop {
        let (_, body) = home.request("GET", "/api/v1/status", "")?;
        let status: Value = serde_json::from_str(&body).context("the status is not JSON")?;
        if status["audit"][0]["recorded"] == RECORDS {
            break begun.elapsed().as_secs_f64();
        }
        if begun.elapsed() > LIMIT {
            bail!("not recorded in time: {}", status["audit"]);
        }
        pause(LOOK_EVERY)?;
    };
    let bytes = text.len() as f64 / RECORDS as f64;
    report.add(
        Figure::new(
            format!("{RECORDS} audit records of {:.1} KB recorded, all together", bytes / 1_000.0),
            Unit::Seconds,
            vec![took],
        )
        .aim("at most 20 s (1 000 a second)"),
    );
    let grown = (segment_bytes(&home)? - before) / RECORDS as f64;
    report.add(Figure::new("ledger growth per audit record", Unit::Bytes, vec![grown]));
    Ok(())
}

fn segment_bytes(home: &Home) -> Result<f64> {
    let (_, body) = home.request("GET", "/api/v1/ledger", "")?;
    let ledger: Value = serde_json::from_str(&body).context("the ledger's info is not JSON")?;
    ledger["segment_bytes"].as_f64().context("the ledger's info has no size")
}

/// A patch of a Deployment as the API server tells of it.
fn record(number: u64) -> Value {
    let name = format!("web-{}", number % 500);
    let object = |version: u64| {
        json!({
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                "resourceVersion": version.to_string(), "generation": version,
                "labels": {"app": name, "team": "shop"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": format!("shop/web:{number}"),
                    "env": environment(number)}]}}},
        })
    };
    let second = number / 1_000;
    let at = |millis: u64| {
        format!(
            "2026-11-26T{:02}:{:02}:{:02}.{millis:03}000Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    };
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse",
        "auditID": format!("8f1c{number:08}-0000-4000-8000-000000000000"),
        "stage": "ResponseComplete",
        "requestURI": format!("/apis/apps/v1/namespaces/shop/deployments/{name}?fieldManager=kubectl-patch"),
        "verb": "patch",
        "user": {"username": "alice", "uid": "uid-2", "groups": ["system:authenticated"]},
        "sourceIPs": ["10.0.0.7"],
        "userAgent": "kubectl/v1.36.3 (linux/amd64) kubernetes/abcdef0",
        "objectRef": {"resource": "deployments", "namespace": "shop", "name": name,
            "apiGroup": "apps", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestObject": {"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": format!("shop/web:{number}")}]}}}},
        "responseObject": object(number + 1),
        "requestReceivedTimestamp": at(number % 1_000),
        "stageTimestamp": at(number % 1_000),
        "annotations": {"authorization.k8s.io/decision": "allow"},
    })
}

/// What makes a record as long as usual.
fn environment(number: u64) -> Vec<Value> {
    let one = |index: usize| json!({"name": format!("VARIABLE_{index:03}"), "value": format!("{:016x}", number ^ index as u64)});
    // Each is about 55 bytes, and the rest of a record about 1 300.
    (0..(RECORD_BYTES - 1_300) / 55).map(one).collect()
}
