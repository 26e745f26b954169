//! `GET /why`: why something is as it is.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use serde::Deserialize;

use super::error::Error;
use super::server::State;
use crate::query::why::{Subject, Why, gather};

/// What is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// `APP` or `KIND[.group]/[NAMESPACE/]NAME`.
    subject: String,
    /// The namespace, where the subject does not say it.
    namespace: Option<String>,
}

pub(super) async fn why(
    Having(state): Having<State>,
    asked: Result<Query<WhyQuery>, QueryRejection>,
) -> Result<Json<Why>, Error> {
    let Query(WhyQuery { subject, namespace }) = asked?;
    let subject = Subject::parse(&subject, namespace.as_deref())?;
    let limits = state.limits.clone();
    let gathered = state.read(move |world, compared| gather(world, compared, &limits, &subject));
    let pending = gathered.await??;
    let ledger = state.ledger.clone();
    Ok(Json(state.blocking(move || pending.read(&ledger)).await??))
}
