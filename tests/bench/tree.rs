//! A root Application over a Helm folder: to the objects of all its children, and one more file.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Handle;

use crate::manifests::{config_map, deployment, write};
use crate::push::template_alone;
use crate::report::{Figure, Report, Unit};
use crate::repository::Repository;
use crate::serve::{Daemon, Home};
use crate::site::{LIMIT, Site, application, pause, settle};
use crate::witness::{Depth, Id, Witness};

/// How often the whole tree is made, each time by a fresh greffier in namespaces of its own.
const ROUNDS: usize = 5;
/// How many further files are pushed, one at a time, in the last round.
const FURTHER: usize = 10;
const CHILDREN: usize = 4;
/// What is watched; each child has one object of each.
const PATHS: [&str; 2] = ["/api/v1/configmaps", "/apis/apps/v1/deployments"];
/// Between two pushes.
const REST: Duration = Duration::from_millis(500);

/// What is measured, in seconds.
#[derive(Default)]
struct Times {
    all: Vec<f64>,
    templates: Vec<f64>,
    further: Vec<f64>,
    push: Vec<f64>,
    folder: Vec<f64>,
}

/// Root Application to the objects of all children; a further file to its objects.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let repository = fill(&site, round)?;
        let home = site.home(&format!("tree-home-{round}"), &[])?;
        let witness = Witness::start(&site.admin, &PATHS.map(str::to_owned), Depth::Names)?;
        let daemon = Daemon::start(&home)?;
        settle(&daemon)?;
        times.all.push(grow(&home, &witness, &root(&repository, round), round)?);
        settle(&daemon)?;
        let folder = template_alone(&repository.work().join("applications"))?;
        times.folder.push(folder);
        times.templates.push(folder + template_alone(&repository.work().join("children/0"))?);
        if round + 1 == ROUNDS {
            push_further(&repository, &witness, round, &mut times)?;
        }
    }
    let what = "root Application (Helm folder) → objects of all 4 children";
    report.add(Figure::new(what, Unit::Seconds, times.all).aim("under 0.6 s").beside(
        "the two helm templates alone",
        Unit::Seconds,
        times.templates,
    ));
    report.add(
        Figure::new("fifth file pushed → deployed", Unit::Seconds, times.further)
            .aim("under 0.3 s")
            .beside("git push alone", Unit::Seconds, times.push)
            .beside("helm template of the folder alone", Unit::Seconds, times.folder),
    );
    Ok(())
}

/// Adds the root Application; returns the time until every object of every child is there.
fn grow(home: &Home, witness: &Witness, root: &str, round: usize) -> Result<f64> {
    let from = witness.now();
    let begun = Instant::now();
    let (status, body) = home.request("POST", "/api/v1/apps", root)?;
    ensure!(status < 300, "the root Application was refused: {status} {body}");
    let namespaces = format!("bench-t{round}-");
    let at = witness.wait(LIMIT, "the objects of all children", |seen| {
        seen.reached(from, CHILDREN * PATHS.len(), |sighting| {
            sighting.id.namespace.starts_with(&namespaces) && sighting.id.name == "item"
        })
    })?;
    Ok(at.saturating_duration_since(begun).as_secs_f64())
}

/// Pushes one more file after the other.
fn push_further(
    repository: &Repository,
    witness: &Witness,
    round: usize,
    times: &mut Times,
) -> Result<()> {
    for child in CHILDREN..CHILDREN + FURTHER {
        add_child(repository, round, child)?;
        repository.commit("one more")?;
        let from = witness.now();
        let push = repository.push()?;
        let namespace = format!("bench-t{round}-{child}");
        let mut there = push.begun;
        for resource in ["configmaps", "deployments"] {
            let id = Id::new(resource, &namespace, "item");
            there = witness.find(from, LIMIT, &format!("{id:?}"), |s| s.id == id)?.at.max(there);
        }
        times.further.push(there.saturating_duration_since(push.begun).as_secs_f64());
        times.push.push(push.took.as_secs_f64());
        pause(REST)?;
    }
    Ok(())
}

/// Makes the repository: child 0 is a Helm chart, the others are directories of YAML.
fn fill(site: &Site, round: usize) -> Result<Repository> {
    let repository = site.repository(&format!("tree-{round}"))?;
    let chart = "apiVersion: v2\nname: applications\nversion: 1.0.0\n";
    repository.write("applications/Chart.yaml", chart)?;
    repository.write("applications/values.yaml", &format!("repo: {}\n", repository.url()))?;
    for child in 0..CHILDREN {
        add_child(&repository, round, child)?;
    }
    repository.commit("begin")?;
    repository.push()?;
    Ok(repository)
}

fn add_child(repository: &Repository, round: usize, child: usize) -> Result<()> {
    let name = format!("t{round}-{child}");
    let mut application = application(&name, "{{ .Values.repo }}", &format!("children/{child}"));
    let objects = [config_map("item", "1"), deployment("item", 1)];
    if child == 0 {
        application = application.replace("    directory:\n      recurse: true\n", "");
        repository
            .write("children/0/Chart.yaml", "apiVersion: v2\nname: zero\nversion: 1.0.0\n")?;
        let mut template = String::new();
        for object in objects {
            let _ = write!(template, "---\n{object:#}\n");
        }
        repository.write("children/0/templates/all.yaml", &template)?;
    } else {
        for (index, object) in objects.iter().enumerate() {
            write(repository, &format!("children/{child}/{index}"), std::slice::from_ref(object))?;
        }
    }
    repository.write(&format!("applications/templates/{name}.yaml"), &application)
}

fn root(repository: &Repository, round: usize) -> String {
    let root = application(&format!("t{round}"), &repository.url(), "applications");
    root.replace("    directory:\n      recurse: true\n", "")
}
