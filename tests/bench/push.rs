//! From `git push` to the change in the API server, and back by `git revert`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Handle;

use crate::manifests::{bare_loop, config_map, deployment, write};
use crate::report::{Figure, Report, Unit};
use crate::repository::Repository;
use crate::serve::Daemon;
use crate::site::{LIMIT, Site, application, helm as helm_program, pause, settle};
use crate::witness::{Depth, Witness};

/// How often each push is measured.
const PUSHES: usize = 40;
/// How often a revert is measured.
const REVERTS: usize = 20;
/// Between two pushes, so that each finds greffier at rest.
const REST: Duration = Duration::from_millis(250);

/// Times of pushes: to the event, and of `git push` alone.
#[derive(Default)]
struct Times {
    seen: Vec<f64>,
    push: Vec<f64>,
}

/// Directory of YAML: push to changed, and revert to v1 back.
pub(crate) fn plain(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("plain")?;
    let mut manifests = vec![config_map("item", "start"), deployment("web", 1)];
    manifests.extend((0..8).map(|index| config_map(&format!("other-{index}"), "same")));
    write(&repository, "plain", &manifests)?;
    repository.commit("begin")?;
    repository.push()?;
    let home = site.home("plain-home", &[application("plain", &repository.url(), "plain")])?;
    let witness = site.watch("bench-plain", Depth::Whole)?;
    let daemon = Daemon::start(&home)?;
    wait_for(&witness, 0, "start")?;
    settle(&daemon)?;

    let change = |value: &str| write(&repository, "plain", &[config_map("item", value)]);
    let times = pushes(&repository, &witness, change)?;
    let bare: Vec<_> = (0..PUSHES).map(|n| config_map("item", &format!("bare {n}"))).collect();
    let bare = bare_loop(&site.admin, "bench-bare", &bare, 1)?;
    report.add(
        Figure::new("push → changed in the API server, plain YAML", Unit::Seconds, times.seen)
            .aim("p50 under 0.10 s")
            .beside("git push alone", Unit::Seconds, times.push)
            .beside("one bare apply", Unit::Seconds, bare.each),
    );

    let mut times = Times::default();
    for number in 0..REVERTS {
        write(&repository, "plain", &[config_map("item", &format!("bad {number}"))])?;
        repository.commit("a bad one")?;
        timed_push(&repository, &witness, &format!("bad {number}"), &mut Times::default())?;
        repository.git(&["revert", "--no-edit", "HEAD"])?;
        timed_push(&repository, &witness, &format!("v{}", PUSHES - 1), &mut times)?;
    }
    report.add(
        Figure::new("`git revert` pushed → v1 back", Unit::Seconds, times.seen)
            .aim("under 0.10 s")
            .beside("git push alone", Unit::Seconds, times.push),
    );
    Ok(())
}

/// Helm chart: push to changed, beside the renderer's own time.
pub(crate) fn helm(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("chart")?;
    repository.write("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n")?;
    let template = |manifest: serde_json::Value| {
        format!("{manifest:#}\n").replace("VALUE", "{{ .Values.value }}")
    };
    let item = template(config_map("item", "VALUE"));
    repository.write("chart/templates/item.yaml", &item)?;
    repository.write("chart/templates/web.yaml", &template(deployment("web", 1)))?;
    let change = |value: &str| repository.write("chart/values.yaml", &format!("value: {value}\n"));
    change("start")?;
    repository.commit("begin")?;
    repository.push()?;
    let root = application("chart", &repository.url(), "chart");
    let root = root.replace("    directory:\n      recurse: true\n", "");
    let home = site.home("chart-home", &[root])?;
    let witness = site.watch("bench-chart", Depth::Whole)?;
    let daemon = Daemon::start(&home)?;
    wait_for(&witness, 0, "start")?;
    settle(&daemon)?;

    let times = pushes(&repository, &witness, change)?;
    let chart = repository.work().join("chart");
    let alone = (0..PUSHES).map(|_| template_alone(&chart)).collect::<Result<Vec<f64>>>()?;
    report.add(
        Figure::new("push → changed in the API server, Helm chart", Unit::Seconds, times.seen)
            .aim("`helm template` + 0.10 s")
            .beside("helm template alone", Unit::Seconds, alone)
            .beside("git push alone", Unit::Seconds, times.push),
    );
    Ok(())
}

/// Returns how long Helm takes to render a chart, as a process of its own.
pub(crate) fn template_alone(chart: &Path) -> Result<f64> {
    let begun = Instant::now();
    let output = Command::new(helm_program())
        .args(["template", "chart"])
        .arg(chart)
        .output()
        .context("cannot run helm")?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "helm template failed");
    Ok(took)
}

/// Changes, commits and pushes again and again; each change is a value `vN` of ConfigMap `item`.
fn pushes(
    repository: &Repository,
    witness: &Witness,
    change: impl Fn(&str) -> Result<()>,
) -> Result<Times> {
    let mut times = Times::default();
    for number in 0..PUSHES {
        let value = format!("v{number}");
        change(&value)?;
        repository.commit(&value)?;
        timed_push(repository, witness, &value, &mut times)?;
    }
    Ok(times)
}

fn timed_push(
    repository: &Repository,
    witness: &Witness,
    value: &str,
    times: &mut Times,
) -> Result<()> {
    let from = witness.now();
    let push = repository.push()?;
    let at = wait_for(witness, from, value)?;
    times.seen.push(at.saturating_duration_since(push.begun).as_secs_f64());
    times.push.push(push.took.as_secs_f64());
    pause(REST)
}

/// Waits until ConfigMap `item` has a value; returns when it was seen.
fn wait_for(witness: &Witness, from: usize, value: &str) -> Result<Instant> {
    let what = format!("ConfigMap item with value {value}");
    let seen = witness.find(from, LIMIT, &what, |sighting| {
        sighting.id.name == "item" && sighting.object["data"]["value"] == value
    })?;
    Ok(seen.at)
}
