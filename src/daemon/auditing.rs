//! Records what the API server's audit tells, from where the configuration says.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;

use super::wiring::Tasks;
use crate::audit::{self, Follower, Intake, Kinds};
use crate::config::{Config, WebhookConfig};
use crate::http::audit::{Receiver, Refusals};
use crate::http::listen::{Listener, Tls};
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
    config: &WebhookConfig,
    tasks: &mut Tasks,
    intake: Intake,
    cancel: &CancellationToken,
) -> Result<()> {
    let Some(address) = config.listen else { return Ok(()) };
    let token = config.token_file.as_deref().map(token).transpose()?;
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (cert.clone(), key.clone());
            Some(Tls { cert, key, client_ca: config.client_ca.clone() })
        }
        _ => None,
    };
    let receiver = Receiver::new(intake.clone(), token.as_deref());
    let refusals = receiver.refusals();
    let noting: Arc<Refusals> = Arc::clone(&refusals);
    let refused = Arc::new(move |what| noting.note(what));
    let listener = Listener::bind(address, tls.as_ref(), refused).await;
    let listener = listener.context("configuration key `audit.webhook`")?;
    tracing::info!(%address, tls = tls.is_some(), "audit records are taken");
    let stopping = cancel.clone();
    tasks.spawn("audit webhook", async move {
        listener.serve(receiver.router(), stopping).await;
        Ok(())
    });
    let stopping = cancel.clone();
    tasks.spawn("audit refusals", async move { Ok(refusals.record(intake, stopping).await?) });
    Ok(())
}

/// The token in a file, without the white space around it.
fn token(file: &Path) -> Result<String> {
    let key = "configuration key `audit.webhook.token_file`";
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{key}: cannot read {}", file.display()))?;
    match text.trim() {
        "" => bail!("{key}: {} is empty", file.display()),
        token => Ok(token.to_owned()),
    }
}
