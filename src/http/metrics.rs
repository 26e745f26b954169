//! `GET /metrics`: numbers for Prometheus.

use axum::extract::State as Having;
use axum::http::header;
use axum::response::IntoResponse;

use super::error::Error;
use super::server::State;
use crate::model::Timestamp;
use crate::query::metrics::{Known, text, unwatched};

/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(Having(state): Having<State>) -> Result<impl IntoResponse, Error> {
    let known = state.read(|world, _| Known::of(world)).await?;
    let ledger = state.ledger.clone();
    let known = known.audited(|source| state.is_audited(source));
    let known = known.of_ledger(ledger.wholeness().borrow().clone());
    let made = move || {
        let unwatched = unwatched(&ledger)?;
        Ok::<_, crate::ledger::Error>(text(&known, &unwatched, Timestamp::now()))
    };
    let text = state.blocking(made).await??;
    Ok(([(header::CONTENT_TYPE, FORMAT)], text))
}
