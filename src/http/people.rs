//! `GET /people`: who is behind which credential.

use axum::Json;
use axum::extract::{Query, State as Having};

use super::api::{Answer, Asked};
use super::past::AtQuery;
use super::server::State;
use crate::query::instant::About;
use crate::query::people::{Person, listed};

pub(super) async fn people(
    Having(state): Having<State>,
    asked: Asked<AtQuery>,
) -> Answer<Vec<Person>> {
    let Query(AtQuery { at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::default()).await?;
    Ok(Json(state.read_at(at.as_ref(), |world, _| listed(&world.people)).await?))
}
