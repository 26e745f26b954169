//! `GET /blame`: who set each field of an object.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use axum::http::StatusCode;
use serde::Deserialize;

use super::error::Error;
use super::server::State;
use crate::plan::Compared;
use crate::query::blame::{self, Blame, gather};
use crate::query::instant::About;
use crate::query::why::Subject;
use crate::replay::World;

/// What is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlameQuery {
    /// `KIND[.group]/[NAMESPACE/]NAME`.
    subject: String,
    /// The namespace, where the subject does not say it.
    namespace: Option<String>,
    /// Only this field and what is in it.
    field: Option<String>,
    /// The instant; now when not given.
    at: Option<String>,
}

pub(super) async fn blame(
    Having(state): Having<State>,
    asked: Result<Query<BlameQuery>, QueryRejection>,
) -> Result<Json<Blame>, Error> {
    let Query(BlameQuery { subject, namespace, field, at }) = asked?;
    let about = About::named(&subject, namespace.as_deref());
    let at = state.asked_at(at.as_deref(), state.about(about).await).await?;
    let subject = Subject::parse(&subject, namespace.as_deref())?;
    let reader = move |world: &World, _: &Compared| gather(world, &subject, field.as_deref());
    let pending = state.read_at(at.as_ref(), reader).await??;
    let mirrors = state.mirrors();
    Ok(Json(state.book_at(at.as_ref(), move |book| pending.read(book, &mirrors)).await??))
}

impl From<blame::Error> for Error {
    fn from(error: blame::Error) -> Self {
        use blame::Error as Blame;
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            Blame::Subject(error) => error.into(),
            Blame::Ledger(error) => error.into(),
            Blame::NotAnObject(_) | Blame::NotAPath(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad_subject", message, hint)
            }
            Blame::NoField { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown_field", message, hint)
            }
        }
    }
}
