//! From the request to bring an earlier state back to the last object applied: of an application,
//! and of a whole cluster that burned, under the same address or onto another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::manifests::{bare, config_map, mixed, name, write};
use crate::report::{Figure, Report, Unit};
use crate::serve::{Daemon, Home};
use crate::site::{LIMIT, Site, application, pause, settle};
use crate::witness::{Depth, Witness};

const OBJECTS: usize = 50;
const ROUNDS: usize = 20;
/// How many objects the cluster had that burned.
const BURNT: usize = 600;

/// 50 ConfigMaps rolled back and released again and again, without Git; the bare loop of the same
/// applies in between.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("rollback")?;
    let maps = |value: &str| -> Vec<Value> {
        (0..OBJECTS).map(|index| config_map(&name(index), value)).collect()
    };
    let push = |value: &str| {
        write(&repository, "rollback", &maps(value))?;
        repository.commit(value)?;
        repository.push()
    };
    push("one")?;
    let root = application("rollback", &repository.url(), "rollback");
    let home = site.home("rollback-home", &[root])?;
    let witness = site.watch("bench-rollback", Depth::Whole)?;
    let daemon = Daemon::start(&home)?;
    all(&witness, 0, "one")?;
    settle(&daemon)?;
    let then = head(&home)?;
    let from = witness.now();
    push("two")?;
    all(&witness, from, "two")?;
    settle(&daemon)?;
    away(&repository.url())?;

    let (mut took, mut alone) = (Vec::new(), Vec::new());
    bare(&site.admin, "bench-bare", &maps("two"))?;
    for round in 0..ROUNDS {
        alone.push(bare(&site.admin, "bench-bare", &maps(&round.to_string()))?.total.as_secs_f64());
        let (from, begun) = (witness.now(), Instant::now());
        ask(&home, "apps/rollback/rollback", &json!({"to": format!("#{then}")}))?;
        let at = all(&witness, from, "one")?;
        took.push(at.saturating_duration_since(begun).as_secs_f64());
        let from = witness.now();
        ask(&home, "release", &json!({"subject": "rollback"}))?;
        all(&witness, from, "two")?;
        pause(Duration::from_millis(250))?;
    }
    report.add(
        Figure::new("rollback of 50 objects, request → last object applied", Unit::Seconds, took)
            .aim("p50 within 1.3 × bare")
            .beside("the 50 bare applies at 8", Unit::Seconds, alone),
    );
    Ok(())
}

/// 600 objects on a control plane whose store is wiped, and Git is away: from the acceptance of the
/// new cluster to the last object.
pub(crate) fn burn(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let (home, daemon, manifests) = kept(&site, "burn")?;

    site.plane.wipe();
    let alone = bare(&site.admin, "bench-bare", &manifests)?.total.as_secs_f64();
    let shown = loop {
        let (status, body) = home.request("POST", "/api/v1/cluster/accept", r#"{"plan": true}"#)?;
        if status == 200 {
            break serde_json::from_str::<Value>(&body)?;
        }
        pause(Duration::from_millis(100))?;
    };
    settle(&daemon)?;
    let witness = site.watch("bench-burn", Depth::Names)?;
    let (from, begun) = (witness.now(), Instant::now());
    let cluster = &shown["cluster"];
    let accept = json!({"uid": cluster["uid"], "doubt": cluster["doubt"]["seq"]});
    ask(&home, "cluster/accept", &accept)?;
    let at = there(&witness, from)?;
    let took = at.saturating_duration_since(begun).as_secs_f64();
    report.add(
        Figure::new("burnt cluster accepted → its 600 objects again", Unit::Seconds, vec![took])
            .aim("within 1.3 × bare")
            .beside("bare loop at 8", Unit::Seconds, vec![alone]),
    );
    Ok(())
}

/// 600 objects from the ledger alone onto a control plane that has nothing: the whole of
/// `greffier replay`, with its plan and its verification.
pub(crate) fn replay(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let (home, daemon, manifests) = kept(&site, "replay")?;
    drop(daemon);

    let fresh = Site::open(runtime)?;
    let alone = bare(&fresh.admin, "bench-bare", &manifests)?.total.as_secs_f64();
    let witness = fresh.watch("bench-replay", Depth::Names)?;
    let kubeconfig = fresh.plane.kubeconfig("greffier");
    let context = current_context(&std::fs::read_to_string(&kubeconfig)?)?;
    let kubeconfig = kubeconfig.to_str().context("the path of the kubeconfig is no UTF-8")?;
    let (from, begun) = (witness.now(), Instant::now());
    home.run_ok(&["replay", "--to", &context, "--kubeconfig", kubeconfig, "--yes"])?;
    let ended = begun.elapsed().as_secs_f64();
    let took = there(&witness, from)?.saturating_duration_since(begun).as_secs_f64();
    report.add(
        Figure::new(
            "replay of 600 objects, command → last object applied",
            Unit::Seconds,
            vec![took],
        )
        .beside("bare loop at 8", Unit::Seconds, vec![alone]),
    );
    report.add(
        Figure::new("the same, command → its end, verified", Unit::Seconds, vec![ended]).beside(
            "bare loop at 8",
            Unit::Seconds,
            vec![alone],
        ),
    );
    Ok(())
}

/// A greffier that keeps the 600 objects, and has nothing but its ledger from here on: Git is away.
fn kept(site: &Site, name: &str) -> Result<(Home, Daemon, Vec<Value>)> {
    let repository = site.repository(name)?;
    let manifests = mixed(BURNT);
    write(&repository, name, &manifests)?;
    repository.commit("begin")?;
    repository.push()?;
    let home = site.home(&format!("{name}-home"), &[application(name, &repository.url(), name)])?;
    let witness = site.watch(&format!("bench-{name}"), Depth::Names)?;
    let daemon = Daemon::start(&home)?;
    there(&witness, 0)?;
    settle(&daemon)?;
    away(&repository.url())?;
    Ok((home, daemon, manifests))
}

fn current_context(kubeconfig: &str) -> Result<String> {
    let line = kubeconfig.lines().find_map(|line| line.strip_prefix("current-context: "));
    Ok(line.context("the kubeconfig has no current context")?.trim().trim_matches('"').to_owned())
}

/// When every object had this value.
fn all(witness: &Witness, from: usize, value: &str) -> Result<Instant> {
    witness.wait(LIMIT, "all objects", |seen| {
        seen.reached(from, OBJECTS, |s| {
            s.id.name.starts_with("item-") && s.object["data"]["value"] == value
        })
    })
}

/// When every object was there.
fn there(witness: &Witness, from: usize) -> Result<Instant> {
    witness.wait(LIMIT, "all objects", |seen| {
        // Asked after every change: the log is only read when there can be enough.
        let enough = seen.objects.len() >= BURNT;
        enough.then(|| seen.reached(from, BURNT, |s| s.id.name.starts_with("item-"))).flatten()
    })
}

/// What is brought back must come from the ledger.
fn away(url: &str) -> Result<()> {
    std::fs::rename(url, format!("{url}.away")).with_context(|| format!("cannot move {url}"))
}

fn head(home: &Home) -> Result<u64> {
    let (status, body) = home.request("GET", "/api/v1/ledger", "")?;
    ensure!(status == 200, "the ledger was not shown: {status} {body}");
    let ledger: Value = serde_json::from_str(&body)?;
    ledger["head"]["seq"].as_u64().or(ledger["head"].as_u64()).context("no head")
}

fn ask(home: &Home, path: &str, body: &Value) -> Result<()> {
    let (status, answer) = home.request("POST", &format!("/api/v1/{path}"), &body.to_string())?;
    ensure!(status == 200, "refused: {status} {answer}");
    Ok(())
}
