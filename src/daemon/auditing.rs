//! Records what the API server's audit tells, from where the configuration says.

use std::sync::Arc;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::network::listen;
use super::wiring::Tasks;
use crate::audit::{self, Follower, Intake, Kinds};
use crate::config::{Config, ListenConfig};
use crate::http::audit::{Receiver, Refusals};
use crate::reconcile::Parts;

/// Follows the log, and listens for the webhook.
///
/// # Errors
/// The webhook is configured and cannot be listened for. A log that cannot be read is none: it
/// may come.
pub(super) async fn start(
    config: &Config,
    tasks: &mut Tasks,
    parts: &Parts,
    cancel: &CancellationToken,
) -> Result<()> {
    let state = parts.read().world.audit.clone();
    let follower = config.audit.file.as_ref().map(|file| Follower::new(file, &state));
    let knowing = parts.clone();
    let kinds = move || Kinds::of(&knowing.read().world);
    let intake = Intake::new(parts.ledger.clone(), kinds, state);
    if let Some(follower) = follower {
        let (following, mut folded) = (intake.clone(), parts.folded.subscribe());
        let cancel = cancel.clone();
        tasks.spawn("audit log", async move {
            // Without the kinds, nothing that is read is understood.
            while following.kinds().is_empty() {
                tokio::select! {
                    changed = folded.changed() => changed?,
                    () = cancel.cancelled() => return Ok(()),
                }
            }
            Ok(audit::follow(follower, following, cancel).await?)
        });
    }
    receive(&config.audit.webhook, tasks, intake, cancel).await
}

async fn receive(
    config: &ListenConfig,
    tasks: &mut Tasks,
    intake: Intake,
    cancel: &CancellationToken,
) -> Result<()> {
    let refusals: Arc<Refusals> = Arc::default();
    let noting = Arc::clone(&refusals);
    let refused = Arc::new(move |what| noting.note(what));
    let Some((listener, token)) = listen(config, "audit.webhook", refused).await? else {
        return Ok(());
    };
    let receiver = Receiver::new(intake.clone(), token, Arc::clone(&refusals));
    let stopping = cancel.clone();
    tasks.spawn("audit webhook", async move {
        listener.serve(receiver.router(), stopping).await;
        Ok(())
    });
    let stopping = cancel.clone();
    tasks.spawn("audit refusals", async move { Ok(refusals.record(intake, stopping).await?) });
    Ok(())
}
