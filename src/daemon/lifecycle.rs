//! Signals and readiness.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels on SIGTERM or SIGINT; a second signal ends the process at once.
pub(super) async fn on_signal(cancel: CancellationToken) -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = cancel.cancelled() => return Ok("stopped"),
    };
    cancel.cancel();
    Ok(name)
}

/// Tells systemd that the daemon is ready; does nothing elsewhere.
pub(super) fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
