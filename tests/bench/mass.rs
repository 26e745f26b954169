//! Many objects: how soon they are there, what that costs, and what keeping them costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Handle;

use crate::manifests::{bare, mixed, write};
use crate::probe;
use crate::report::{Figure, Report, Unit};
use crate::serve::{Daemon, Home};
use crate::site::{LIMIT, Site, application, pause, settle};
use crate::witness::Depth;

/// How many refreshes one sample is the mean of: CPU time is counted in hundredths of a second.
const REFRESHES: u32 = 20;
const REFRESH_GAP: Duration = Duration::from_millis(200);
/// How long idling is watched.
const IDLE: Duration = Duration::from_secs(60);

/// 1 000 objects, and everything that is asked of a daemon that keeps them.
pub(crate) fn thousand(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let aims = ["within 1.3 × bare loop + 0.5 s", "under 1.5 s", "under 50 MiB"];
    let (daemon, home) = deploy(&site, report, (1_000, 3), aims)?;
    refresh(&site, &daemon, &home, report)?;
    idle(&daemon, report)
}

/// 5 000 objects.
pub(crate) fn five_thousand(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let aims = ["linear in the above", "", "under 80 MiB"];
    deploy(&site, report, (5_000, 1), aims).map(drop)
}

/// What is measured of each round, in seconds.
#[derive(Default)]
struct Times {
    bare: Vec<f64>,
    took: Vec<f64>,
    ready: Vec<f64>,
    cpu_there: Vec<f64>,
    cpu_settled: Vec<f64>,
}

/// In each round the bare loop on an empty cluster, then the same by greffier on another one. The
/// last greffier keeps running.
fn deploy(
    site: &Site,
    report: &mut Report,
    (count, rounds): (usize, usize),
    aims: [&str; 3],
) -> Result<(Daemon, Home)> {
    let manifests = mixed(count);
    let repository = site.repository("mass")?;
    write(&repository, "mass", &manifests)?;
    repository.commit("begin")?;
    repository.push()?;
    let root = application("mass", &repository.url(), "mass");
    let mut times = Times::default();
    let mut running = None;
    for round in 0..rounds {
        if running.take().is_some() {
            site.plane.wipe();
        }
        times.bare.push(bare(&site.admin, "bench-mass", &manifests)?.total.as_secs_f64());
        site.plane.wipe();
        let home = site.home(&format!("mass-home-{round}"), std::slice::from_ref(&root))?;
        running = Some((once(site, &home, count, &mut times)?, home));
    }
    let (daemon, home) = running.context("no round was run")?;
    let [aim, cpu_aim, memory_aim] = aims;
    report.add(
        Figure::new(format!("empty cluster → {count} objects"), Unit::Seconds, times.took)
            .aim(aim)
            .beside("bare loop at 8", Unit::Seconds, times.bare)
            .beside("process start → first answer", Unit::Seconds, times.ready),
    );
    let what = format!("own CPU for those {count}, until nothing more is to be done");
    report.add(Figure::new(what, Unit::Seconds, times.cpu_settled).aim(cpu_aim).beside(
        "until the last object was there",
        Unit::Seconds,
        times.cpu_there,
    ));
    memory(&daemon, &home, report, count, memory_aim)?;
    Ok((daemon, home))
}

/// One round of greffier, from the start of the process to rest.
fn once(site: &Site, home: &Home, count: usize, times: &mut Times) -> Result<Daemon> {
    let witness = site.watch("bench-mass", Depth::Names)?;
    let begun = Instant::now();
    let daemon = Daemon::start(home)?;
    let at = witness.wait(LIMIT, "all objects", |seen| {
        // Asked after every change: the log is only read when there can be enough.
        let enough = seen.objects.len() >= count;
        enough.then(|| seen.reached(0, count, |s| s.id.name.starts_with("item-"))).flatten()
    })?;
    times.cpu_there.push(probe::cpu_seconds(daemon.pid()));
    times.cpu_settled.push(settle(&daemon)?);
    times.took.push(at.saturating_duration_since(begun).as_secs_f64());
    times.ready.push(daemon.ready_after.as_secs_f64());
    Ok(daemon)
}

fn memory(
    daemon: &Daemon,
    home: &Home,
    report: &mut Report,
    count: usize,
    aim: &str,
) -> Result<()> {
    pause(Duration::from_secs(5))?;
    let ledger = crate::site::directory_bytes(&home.data_dir())?;
    report.add(
        Figure::new(
            format!("memory (PSS), idle, {count} objects"),
            Unit::Bytes,
            vec![bytes(probe::pss_bytes(daemon.pid()))],
        )
        .aim(aim)
        .beside("data directory", Unit::Bytes, vec![bytes(ledger)]),
    );
    Ok(())
}

/// Asks for a refresh again and again while nothing has changed.
fn refresh(site: &Site, daemon: &Daemon, home: &Home, report: &mut Report) -> Result<()> {
    let before = (probe::cpu_seconds(daemon.pid()), probe::cpu_seconds(site.apiserver()));
    let begun = Instant::now();
    for _ in 0..REFRESHES {
        let (status, body) = home.request("POST", "/api/v1/repos/refresh", "{}")?;
        ensure!(status < 300, "a refresh was refused: {status} {body}");
        pause(REFRESH_GAP)?;
    }
    let span = begun.elapsed();
    let after = (probe::cpu_seconds(daemon.pid()), probe::cpu_seconds(site.apiserver()));
    pause(span)?;
    let rest = probe::cpu_seconds(site.apiserver()) - after.1;
    let each = |cpu: f64| vec![cpu / f64::from(REFRESHES)];
    report.add(
        Figure::new(
            "refresh of 1000 objects, nothing changed: own CPU",
            Unit::Seconds,
            each(after.0 - before.0),
        )
        .aim("under 0.02 s")
        .beside("API server's CPU meanwhile", Unit::Seconds, each(after.1 - before.1))
        .beside("API server's CPU in the same time without", Unit::Seconds, each(rest)),
    );
    Ok(())
}

fn idle(daemon: &Daemon, report: &mut Report) -> Result<()> {
    let before = probe::cpu_seconds(daemon.pid());
    pause(IDLE)?;
    let spent = probe::cpu_seconds(daemon.pid()) - before;
    report.add(
        Figure::new("idle CPU per minute, 1000 objects", Unit::Seconds, vec![spent])
            .aim("under 0.05 s"),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn bytes(count: u64) -> f64 {
    count as f64
}
