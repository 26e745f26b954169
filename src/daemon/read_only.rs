//! While the disk is full nothing can be recorded, so nothing is decided and nothing is written.
//! What is recorded already can still be asked for. It is so as well when the daemon is started
//! while the disk is full.
//!
//! What was under way when the disk became full is found out as after a crash: intents without an
//! outcome are settled by what the cluster shows, kinds are listed again, repositories fetched.

use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::wiring::{self, Tasks};
use super::{lifecycle, options};
use crate::cluster::Connection;
use crate::config::Config;
use crate::ledger::event::DaemonStoppedV1;
use crate::ledger::{self, Archive, Draft, Ledger};
use crate::model::{Seq, Timestamp, with_causes};

/// What is said where there was no room a moment ago.
const NO_ROOM: ledger::Error = ledger::Error::Full { free: 0, reserve: 0 };
/// How often the file system is asked for room: nothing says when there is some.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often opening a ledger is tried that cannot even be read without room.
const OPEN_EVERY: Duration = Duration::from_secs(5);

/// A ledger that is open.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    /// What is said where there is no room: it can be read only.
    pub(super) full: Option<ledger::Error>,
    /// Whether its index is in memory for want of room: it is to be opened again.
    pub(super) in_memory: bool,
}

/// Opens the ledger. Where there is no room it can be read, or, where a crash left what has to be
/// set aside first, is waited for; `None` = a signal came meanwhile.
///
/// # Errors
/// What else keeps it from being opened; and a new ledger needs room.
pub(super) async fn open(config: &Config) -> Result<Option<Opened>> {
    let cancel = CancellationToken::new();
    let mut said = false;
    loop {
        let options = options::ledger(config);
        let error = match tokio::task::spawn_blocking(move || Ledger::open(options)).await? {
            Ok((ledger, report)) => {
                for warning in &report.warnings {
                    tracing::warn!("{warning}");
                }
                // Room that has come since is found at once by whoever waits for it.
                let full = report.full.then(|| ledger.room().err().unwrap_or(NO_ROOM));
                return Ok(Some(Opened { ledger, full, in_memory: report.full }));
            }
            Err(error) if error.is_full() && has_events(config) => error,
            Err(error) => return Err(error.into()),
        };
        if !std::mem::replace(&mut said, true) {
            tracing::error!(
                cause = with_causes(&error),
                data_dir = %config.data_dir.display(),
                "WAITING for room: the ledger cannot be opened before; nothing is recorded and \
                 nothing is written to the cluster"
            );
        }
        tokio::select! {
            _ = lifecycle::on_signal(cancel.clone())? => {}
            () = tokio::time::sleep(OPEN_EVERY) => continue,
        }
        return Ok(None);
    }
}

/// Whether there is a ledger to be kept, rather than one to be made.
fn has_events(config: &Config) -> bool {
    Archive::open(&config.ledger_dir(), None).is_ok_and(|archive| archive.head() > Seq::ZERO)
}

/// Whether the daemon stopped because its disk is full, which ends by itself.
pub(super) fn is_full(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<ledger::Error>());
    causes.any(|cause| matches!(cause, ledger::Error::Full { .. }))
}

/// Answers questions until there is room (`None`) or a signal comes (its name).
///
/// # Errors
/// The ledger cannot be read, or the API cannot be served.
pub(super) async fn serve(
    config: &Config,
    ledger: &Ledger,
    full: &anyhow::Error,
) -> Result<Option<&'static str>> {
    tracing::error!(
        cause = format!("{full:#}"),
        data_dir = %config.data_dir.display(),
        "READ-ONLY: nothing is recorded and nothing is written to the cluster until there is room"
    );
    let world = wiring::replay(ledger).await?;
    let connection = Connection::connect(&options::cluster(config)?).await?;
    let (parts, _tracked) = wiring::parts(config, ledger, connection, world);
    let cancel = CancellationToken::new();
    let mut tasks = Tasks::new(cancel.clone());
    let why = format!(
        "{}; make room on the file system of {}, then it goes on by itself",
        full.root_cause(),
        config.data_dir.display()
    );
    // Whoever finds it up may end it.
    let signalled = lifecycle::on_signal(cancel.clone())?;
    wiring::start_http(config, &mut tasks, &parts, (None, Some(why)), &cancel).await?;
    lifecycle::ready();
    let ended = tokio::select! {
        signal = signalled => Ok(Some(signal)),
        failed = tasks.first_failure() => Err(failed),
        () = room(ledger) => Ok(None),
    };
    cancel.cancel();
    tasks.stop().await?;
    ended
}

/// Records that nothing was recorded since then, and why: the gap is a gap of the history.
pub(super) async fn record(ledger: &Ledger, since: Timestamp, full: &anyhow::Error) {
    tracing::info!("there is room again; recording goes on as after a restart");
    let reason = format!("read-only from {since} on: {}", full.root_cause());
    if let Err(error) = ledger.append(Draft::new(DaemonStoppedV1 { reason })).await {
        tracing::warn!(%error, "the gap could not be recorded yet; the next start shows it");
    }
}

/// Waits until an append would find room.
async fn room(ledger: &Ledger) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match ledger.room() {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "still read-only"),
        }
    }
}
