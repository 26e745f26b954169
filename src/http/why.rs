//! `GET /why`: why something is as it is, and who brought it about.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use serde::Deserialize;

use super::error::Error;
use super::server::State;
use crate::plan::Compared;
use crate::query::instant::About;
use crate::query::why::{self, Subject, Why, gather};
use crate::replay::World;

/// What is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// `APP`, `KIND[.group]/[NAMESPACE/]NAME` or `#EVENT`.
    subject: String,
    /// The namespace, where the subject does not say it.
    namespace: Option<String>,
    /// The field of the object, e.g. `.spec.replicas`.
    field: Option<String>,
    /// The instant; now when not given.
    at: Option<String>,
}

pub(super) async fn why(
    Having(state): Having<State>,
    asked: Result<Query<WhyQuery>, QueryRejection>,
) -> Result<Json<Why>, Error> {
    let Query(WhyQuery { subject, namespace, field, at }) = asked?;
    let about = state.about(About::named(&subject, namespace.as_deref())).await;
    let at = state.asked_at(at.as_deref(), about).await?;
    let subject = Subject::parse(&subject, namespace.as_deref())?;
    let limits = state.limits.clone();
    let reader = move |world: &World, compared: &Compared| {
        let pending = gather(world, compared, &limits, &subject)?;
        pending.with_field(world, &subject, field.as_deref())
    };
    let pending: Result<_, why::Error> = state.read_at(at.as_ref(), reader).await?;
    let (pending, mirrors) = (pending?, state.mirrors());
    Ok(Json(state.book_at(at.as_ref(), move |book| pending.read(book, &mirrors)).await??))
}
