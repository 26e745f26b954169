//! Signals and readiness.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels on SIGTERM or SIGINT, from the call on: a signal that comes before the future is polled
/// first is not lost, and does not end the process as it would by default. Until then nobody acts
/// on it, so call it when that is soon.
///
/// # Errors
/// The handlers cannot be installed.
pub(super) fn on_signal(
    cancel: CancellationToken,
) -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = cancel.cancelled() => return "stopped",
        };
        cancel.cancel();
        name
    })
}

/// Tells systemd that the daemon is ready; does nothing elsewhere.
pub(super) fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
