//! While the disk is full nothing can be recorded, so nothing is decided and nothing is written.
//! What is recorded already can still be asked for.
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
use crate::ledger::{self, Draft, Ledger};
use crate::model::Timestamp;

/// How often the file system is asked for room: nothing says when there is some.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
        "READ-ONLY: nothing is recorded and nothing is written to the cluster until there is room"
    );
    let world = wiring::replay(ledger).await?;
    let connection = Connection::connect(&options::cluster(config)?).await?;
    let (parts, _tracked) = wiring::parts(config, ledger, connection, world);
    let cancel = CancellationToken::new();
    let mut tasks = Tasks::new(cancel.clone());
    let why = full.root_cause().to_string();
    wiring::start_http(config, &mut tasks, &parts, (None, Some(why)), &cancel).await?;
    lifecycle::ready();
    let ended = tokio::select! {
        signal = lifecycle::on_signal(cancel.clone()) => Ok(Some(signal?)),
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
