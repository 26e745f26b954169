//! `GET /coverage`: what was not watched, of an object or at all, between two instants.

use axum::Json;
use axum::extract::{Query, State as Having};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::api::{Answer, Asked};
use super::dto;
use super::error::Error;
use super::past::unwatched;
use super::server::State;
use crate::model::{Instant, ObjectKey, Timestamp};
use crate::query::Book;
use crate::query::coverage::{self, Scope};
use crate::query::report::{self, span};

/// Of what, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CoverageQuery {
    object: Option<String>,
    from: String,
    to: String,
}

pub(super) async fn coverage(
    Having(state): Having<State>,
    asked: Asked<CoverageQuery>,
) -> Answer<Vec<dto::Unwatched>> {
    let Query(CoverageQuery { object, from, to }) = asked?;
    let object = object.filter(|object| !object.is_empty());
    let object = object.map(|object| object.parse::<ObjectKey>()).transpose();
    let object = object.map_err(|error| Error::bad_request(error.to_string()))?;
    let now = Timestamp::now();
    let from = Instant::parse(&from, now, &TimeZone::UTC)?.or_begin();
    let to = Instant::parse(&to, now, &TimeZone::UTC)?.or_end();
    let ledger = state.ledger.clone();
    let found = state.blocking(move || coverage_dto(&ledger, object.as_ref(), &from, &to, now));
    Ok(Json(found.await??))
}

/// What was not watched, of an object or at all, between two instants.
///
/// # Errors
/// See [`report::Error`].
pub fn coverage_dto(
    book: &dyn Book,
    object: Option<&ObjectKey>,
    from: &Instant,
    to: &Instant,
    now: Timestamp,
) -> Result<Vec<dto::Unwatched>, report::Error> {
    let span = span(book, from, to, None, now)?;
    let scope = object.map_or(Scope::All, |key| Scope::Object(key.clone()));
    let spans = coverage::read(book, &scope, span.from, span.to)?;
    Ok(spans.iter().map(unwatched).collect())
}
