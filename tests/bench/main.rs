//! The benchmarks: each row of design §12 that exists yet, by its definitions.
//!
//! They drive the real program from outside, against a real control plane, and take their times
//! from an independent watch: from just before `git push`, the start of the process or the
//! accepted edit, to the event. Memory is the proportional set size of all greffier processes.
//! Beside each figure stands the bare loop or the physical limit, measured in the same run. The
//! ledger's own figures use the library.
//!
//! Nothing is asserted: `make bench` prints a table and writes `target/bench.json`.

mod audit;
mod blame;
mod edit;
mod ledger;
mod manifests;
mod mass;
mod open;
mod past;
mod prune;
mod push;
mod report;
mod rollback;
mod site;
mod tree;

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/probe.rs"]
mod probe;
#[path = "../support/repository.rs"]
mod repository;
#[path = "../support/serve.rs"]
mod serve;
#[path = "../support/witness.rs"]
mod witness;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{Handle, Runtime};

use crate::report::Report;
use crate::witness::INTERRUPTED;

type Group = (&'static str, fn(&Handle, &mut Report) -> Result<()>);

/// The groups in the order in which they run, by the names that `ONLY` takes.
const GROUPS: [Group; 14] = [
    ("ledger", ledger::measure),
    ("blame", blame::measure),
    ("push", push::plain),
    ("helm", push::helm),
    ("drift", edit::measure),
    ("tree", tree::measure),
    ("prune", prune::measure),
    ("rollback", rollback::measure),
    ("burn", rollback::burn),
    ("replay", rollback::replay),
    ("thousand", mass::thousand),
    ("five-thousand", mass::five_thousand),
    ("open", open::measure),
    ("audit", audit::measure),
];

fn main() -> ExitCode {
    let mut err = anstream::stderr();
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(err, "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let chosen = choose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    catch_interrupt(&runtime);
    let begun = greffier::model::Timestamp::now().to_string();
    let mut report = Report::new(probe::machine(), begun);
    let mut err = anstream::stderr();
    for (name, measure) in GROUPS.into_iter().filter(|(name, _)| chosen.contains(name)) {
        let _ = writeln!(err, "{name} (load {})", probe::load());
        if let Err(error) = measure(runtime.handle(), &mut report) {
            let _ = writeln!(err, "  not measured: {error:#}");
            report.failed(name, &error);
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            break;
        }
    }
    let _ = writeln!(anstream::stdout(), "{}", report.markdown());
    let path = target_dir()?.join("bench.json");
    std::fs::write(&path, format!("{:#}\n", report.json()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let _ = writeln!(err, "raw samples: {}", path.display());
    Ok(report.is_whole())
}

/// Reads `--only a,b`; everything without it.
fn choose() -> Result<Vec<&'static str>> {
    let names = GROUPS.map(|(name, _)| name);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = match arguments.as_slice() {
        [] => return Ok(names.to_vec()),
        [flag, list] if flag == "--only" => list.split(','),
        _ => bail!("usage: bench [--only {}]", names.join(",")),
    };
    let find = |wanted: &str| {
        let found = names.iter().find(|name| **name == wanted).copied();
        found.with_context(|| format!("there is no {wanted:?}; there are {}", names.join(", ")))
    };
    wanted.map(find).collect()
}

/// Returns the target directory that this program was built into.
fn target_dir() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let dir = here.ancestors().nth(3).context("this program is not in a target directory")?;
    Ok(dir.to_owned())
}

fn catch_interrupt(runtime: &Runtime) {
    runtime.spawn(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
}
