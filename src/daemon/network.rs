//! What is listened for over the network: its address, its identity, and the token of clients.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;

use super::wiring::Tasks;
use crate::config::ListenConfig;
use crate::http::listen::{Listener, Refused, Tls};
use crate::http::{self, Token};

/// Listens as configured, with the token that clients must show; `None` where it is not. `key` is
/// the table of the configuration.
///
/// # Errors
/// A file is not usable, or the address cannot be had.
pub(super) async fn listen(
    config: &ListenConfig,
    key: &str,
    refused: Refused,
) -> Result<Option<(Listener, Option<Token>)>> {
    let Some(address) = config.listen else { return Ok(None) };
    let token = config.token_file.as_deref().map(|file| token(file, key)).transpose()?;
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            let (cert, key) = (cert.clone(), key.clone());
            Some(Tls { cert, key, client_ca: config.client_ca.clone() })
        }
        _ => None,
    };
    let listener = Listener::bind(address, tls.as_ref(), refused).await;
    let listener = listener.with_context(|| format!("configuration key `{key}`"))?;
    tracing::info!(%address, tls = tls.is_some(), "listening for `{key}`");
    Ok(Some((listener, token)))
}

/// The token in a file, without the white space around it.
fn token(file: &Path, key: &str) -> Result<Token> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| {
        format!("configuration key `{key}.token_file`: cannot read {}", file.display())
    })?;
    match text.trim() {
        "" => bail!("configuration key `{key}.token_file`: {} is empty", file.display()),
        token => Ok(Token::new(token)),
    }
}

/// Offers the past as a Kubernetes API, where that is configured.
///
/// # Errors
/// It is configured and cannot be listened for.
pub(super) async fn offer_past(
    config: &ListenConfig,
    tasks: &mut Tasks,
    state: &http::State,
    cancel: &CancellationToken,
) -> Result<()> {
    let refused = |what: String| tracing::info!(what, "a client of the past was turned away");
    let listening = listen(config, "past", std::sync::Arc::new(refused)).await?;
    let Some((listener, token)) = listening else { return Ok(()) };
    let router = http::past_api(state.clone(), token, cancel.clone());
    let stopping = cancel.clone();
    tasks.spawn("past API", async move {
        listener.serve(router, stopping).await;
        Ok(())
    });
    Ok(())
}
