//! From a push that deletes half of an application's files to the last object gone.

use anyhow::Result;
use tokio::runtime::Handle;

use crate::manifests::{bare, bare_delete, config_map, name, write};
use crate::report::{Figure, Report, Unit};
use crate::serve::Daemon;
use crate::site::{LIMIT, Site, application, settle};
use crate::witness::{Change, Depth};

/// The default gate lets exactly half of an application go, and 50 objects for one commit.
const OBJECTS: usize = 100;
const DELETED: usize = 50;
const ROUNDS: usize = 5;

/// 50 of 100 files deleted and pushed; default gate limits, nothing is approved beforehand.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("prune")?;
    let manifests: Vec<_> = (0..OBJECTS).map(|index| config_map(&name(index), "1")).collect();
    write(&repository, "prune", &manifests)?;
    repository.commit("begin")?;
    repository.push()?;
    let home = site.home("prune-home", &[application("prune", &repository.url(), "prune")])?;
    let witness = site.watch("bench-prune", Depth::Names)?;
    let daemon = Daemon::start(&home)?;
    let (mut gone, mut push) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round > 0 {
            write(&repository, "prune", &manifests)?;
            repository.commit("all of them again")?;
            repository.push()?;
        }
        witness.wait(LIMIT, "all objects", |seen| {
            let ours = seen.objects.keys().filter(|id| id.name.starts_with("item-"));
            (ours.count() == OBJECTS).then_some(())
        })?;
        settle(&daemon)?;
        for index in 0..DELETED {
            std::fs::remove_file(repository.work().join(format!("prune/{}.yaml", name(index))))?;
        }
        repository.commit("half of them")?;
        let from = witness.now();
        let pushed = repository.push()?;
        let at = witness.wait(LIMIT, "50 objects deleted", |seen| {
            seen.reached(from, DELETED, |sighting| sighting.change == Change::Deleted)
        })?;
        gone.push(at.saturating_duration_since(pushed.begun).as_secs_f64());
        push.push(pushed.took.as_secs_f64());
    }
    let half = &manifests[..DELETED];
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        bare(&site.admin, "bench-bare", half)?;
        alone.push(bare_delete(&site.admin, "bench-bare", half)?.total.as_secs_f64());
    }
    report.add(
        Figure::new("50 of 100 files deleted → gone", Unit::Seconds, gone)
            .aim("under 0.4 s")
            .beside("git push alone", Unit::Seconds, push)
            .beside("50 bare deletes at 8", Unit::Seconds, alone),
    );
    Ok(())
}
