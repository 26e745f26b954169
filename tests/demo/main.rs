//! The demo: greffier's main job, played on a terminal and verified as it goes.
//!
//! `make demo` plays the story and stays up until Ctrl-C; `make demo ONCE=1` ends after it, with
//! status 0 only if every step was seen in the API server by an independent watch. It drives the
//! real program from outside: `greffier serve` as a process, the command line, `git push`, and
//! `kubectl`. With `KUBECONFIG` set it uses that cluster and namespaces that begin with
//! `greffier-demo-`; otherwise it brings up a control plane of its own.
//!
//! Nothing is left behind: every process ends and every directory goes with [`stage::Stage`],
//! also on Ctrl-C and on a panic.

mod stage;
mod story;
mod terminal;

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/repository.rs"]
mod repository;
#[path = "../support/serve.rs"]
mod serve;
#[path = "../support/witness.rs"]
mod witness;

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::witness::INTERRUPTED;

/// What the shell expects of a program that was interrupted.
const STATUS_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = match arguments.as_slice() {
        [] => false,
        [flag] if flag == "--once" => true,
        _ => {
            Terminal::new().error("usage: demo [--once]");
            return ExitCode::from(2);
        }
    };
    match play(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if INTERRUPTED.load(Ordering::Relaxed) => ExitCode::from(STATUS_INTERRUPTED),
        Err(error) => {
            Terminal::new().error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn play(once: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    catch_signals(&runtime)?;
    let mut stage = Stage::set(runtime.handle())?;
    let played = story::tell(&mut stage).and_then(|()| stage.daemon_is_up());
    if played.is_err() && !INTERRUPTED.load(Ordering::Relaxed) {
        stage.show_daemon_log();
    }
    played?;
    if !once {
        stage.stay_up()?;
    }
    stage.clear();
    Ok(())
}

/// Turns every usual way to end a program into one flag, so that cleaning up is always done.
fn catch_signals(runtime: &Runtime) -> Result<()> {
    let _entered = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut stream = signal(kind).context("cannot listen to signals")?;
        runtime.spawn(async move {
            while stream.recv().await.is_some() {
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    }
    Ok(())
}
