//! A root Application over a Helm folder: to the objects of all its children, and one more file.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Handle;

use crate::manifests::{config_map, deployment, write};
use crate::report::{Figure, Report, Unit};
use crate::repository::Repository;
use crate::serve::Daemon;
use crate::site::{LIMIT, Site, application, pause, settle};
use crate::witness::{Depth, Witness};

/// How often the whole tree is made, each time by a fresh greffier in namespaces of its own.
const ROUNDS: usize = 5;
/// How many further files are pushed, one at a time, in the last round.
const FURTHER: usize = 10;
const CHILDREN: usize = 4;
/// Between two pushes.
const REST: Duration = Duration::from_millis(500);

/// Root Application to the objects of all children; a further file to its objects.
pub(crate) fn measure(runtime: &Handle, report: &mut Report) -> Result<()> {
    let site = Site::open(runtime)?;
    let paths = ["/api/v1/configmaps", "/apis/apps/v1/deployments"].map(str::to_owned);
    let (mut all, mut further, mut push) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let repository = fill(&site, round)?;
        let home = site.home(&format!("tree-home-{round}"), &[])?;
        let witness = Witness::start(&site.admin, &paths, Depth::Names)?;
        let daemon = Daemon::start(&home)?;
        settle(&daemon)?;
        let from = witness.now();
        let begun = std::time::Instant::now();
        let (status, body) = home.request("POST", "/api/v1/apps", &root(&repository, round))?;
        ensure!(status < 300, "the root Application was refused: {status} {body}");
        let at = witness.wait(LIMIT, "the objects of all children", |seen| {
            let ours = |namespace: &str| namespace.starts_with(&format!("bench-t{round}-"));
            let new = seen.log[from..].iter().filter(|sighting| {
                ours(&sighting.id.namespace) && sighting.id.name.starts_with("item")
            });
            let mut ids: Vec<_> = new.map(|sighting| &sighting.id).collect();
            ids.sort();
            ids.dedup();
            (ids.len() == CHILDREN * 2).then(|| seen.last_at()).flatten()
        })?;
        all.push(at.saturating_duration_since(begun).as_secs_f64());
        settle(&daemon)?;
        if round + 1 < ROUNDS {
            continue;
        }
        for number in 0..FURTHER {
            let child = CHILDREN + number;
            add_child(&repository, round, child)?;
            repository.commit("one more")?;
            let from = witness.now();
            let pushed = repository.push()?;
            let namespace = format!("bench-t{round}-{child}");
            let mut found = pushed.begun;
            for resource in ["configmaps", "deployments"] {
                let seen = witness.find(from, LIMIT, "the objects of one more file", |s| {
                    s.id.namespace == namespace && s.id.name == "item" && s.id.resource == resource
                })?;
                found = found.max(seen.at);
            }
            further.push(found.saturating_duration_since(pushed.begun).as_secs_f64());
            push.push(pushed.took.as_secs_f64());
            pause(REST)?;
        }
    }
    report.add(
        Figure::new(
            "root Application (Helm folder) → objects of all 4 children",
            Unit::Seconds,
            all,
        )
        .aim("under 0.6 s"),
    );
    report.add(
        Figure::new("fifth file pushed → deployed", Unit::Seconds, further)
            .aim("under 0.3 s")
            .beside("git push alone", Unit::Seconds, push),
    );
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
