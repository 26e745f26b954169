//! From an accepted edit by somebody else to the object put back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::runtime::Handle;

use crate::manifests::{bare_loop, config_map, name, path, write};
use crate::report::{Figure, Report, Unit};
use crate::serve::Daemon;
use crate::site::{LIMIT, Site, application, pause, settle};
use crate::witness::{Api, Depth, Witness};

/// How many objects are edited, each for the first time.
const OBJECTS: usize = 40;
/// How many edits follow each other on objects that were edited once already…
const AGAIN: usize = 10;
/// …so many of one object: with the first one less than the flips that make a contest.
const AGAIN_EACH: usize = 2;
/// Between two edits of different objects.
const REST: Duration = Duration::from_millis(250);

/// Hand edits of ConfigMaps by another user.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let repository = site.repository("drift")?;
    let manifests: Vec<_> = (0..OBJECTS).map(|index| config_map(&name(index), "git")).collect();
    write(&repository, "drift", &manifests)?;
    repository.commit("begin")?;
    repository.push()?;
    let home = site.home("drift-home", &[application("drift", &repository.url(), "drift")])?;
    let witness = site.watch("bench-drift", Depth::Whole)?;
    let daemon = Daemon::start(&home)?;
    witness.wait(LIMIT, "all objects", |seen| {
        let ours = seen.objects.keys().filter(|id| id.name.starts_with("item-"));
        (ours.count() == OBJECTS).then_some(())
    })?;
    settle(&daemon)?;

    let mut first = Vec::new();
    for index in 0..OBJECTS {
        first.push(edit(&site.alice, &witness, &name(index), "by hand")?);
        pause(REST)?;
    }
    let bare = bare_loop(&site.admin, "bench-bare", &manifests, 1)?;
    report.add(
        Figure::new("hand edit → put back, first time", Unit::Seconds, first)
            .aim("p50 under 0.03 s")
            .beside("one bare apply", Unit::Seconds, bare.each.clone()),
    );

    let mut again = Vec::new();
    for number in 0..AGAIN {
        let item = name(number / AGAIN_EACH);
        again.push(edit(&site.alice, &witness, &item, &format!("again {number}"))?);
    }
    report.add(
        Figure::new("the same object edited again and again", Unit::Seconds, again)
            .aim("p50 under 0.05 s")
            .beside("one bare apply", Unit::Seconds, bare.each),
    );
    Ok(())
}

/// Edits an object and returns how long it took until it was put back. The edit counts as
/// accepted when its answer or its event arrives, whichever is first.
fn edit(api: &Api, witness: &Witness, name: &str, value: &str) -> Result<f64> {
    let from = witness.now();
    let manifest = config_map(name, value);
    api.merge(&path("bench-drift", &manifest)?, &json!({"data": {"value": value}}))?;
    let answered = Instant::now();
    let edited = witness.find(from, LIMIT, "the edit", |sighting| {
        sighting.id.name == name && sighting.object["data"]["value"] == value
    })?;
    let back = witness.find(from, LIMIT, "the object put back", |sighting| {
        sighting.id.name == name
            && sighting.at > edited.at
            && sighting.object["data"]["value"] == "git"
    })?;
    Ok(back.at.saturating_duration_since(edited.at.min(answered)).as_secs_f64())
}
