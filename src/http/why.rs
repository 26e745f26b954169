//! `GET /why`: why something is as it is.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use serde::Deserialize;

use super::error::Error;
use super::server::State;
use crate::plan::Compared;
use crate::query::instant::About;
use crate::query::why::{Subject, Why, gather};
use crate::replay::World;

/// What is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// `APP` or `KIND[.group]/[NAMESPACE/]NAME`.
    subject: String,
    /// The namespace, where the subject does not say it.
    namespace: Option<String>,
    /// The instant; now when not given.
    at: Option<String>,
}

pub(super) async fn why(
    Having(state): Having<State>,
    asked: Result<Query<WhyQuery>, QueryRejection>,
) -> Result<Json<Why>, Error> {
    let Query(WhyQuery { subject, namespace, at }) = asked?;
    let about = About::app(&subject);
    let at = state.asked_at(at.as_deref(), about).await?;
    let subject = Subject::parse(&subject, namespace.as_deref())?;
    let limits = state.limits.clone();
    let reader =
        move |world: &World, compared: &Compared| gather(world, compared, &limits, &subject);
    let pending = state.read_at(at.as_ref(), reader).await??;
    Ok(Json(state.book_at(at.as_ref(), move |book| pending.read(book)).await??))
}
