//! `GET /plan`: what would be done now; `GET /apps/{name}/gate`: what an approval would allow.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as Having};
use serde::Deserialize;

use super::error::Error;
use super::server::State;
use crate::plan::Compared;
use crate::query::instant::About;
use crate::query::planned::{self, Planned, Waits};
use crate::query::{self, AppView};
use crate::replay::World;

/// Which applications are asked about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PlanQuery {
    /// Comma-separated names; all when empty.
    app: String,
    /// The instant; now when not given.
    at: Option<String>,
}

pub(super) async fn plan(
    Having(state): Having<State>,
    asked: Result<Query<PlanQuery>, QueryRejection>,
) -> Result<Json<Vec<Planned>>, Error> {
    let Query(PlanQuery { app, at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::app(&app)).await?;
    let names: Vec<String> =
        app.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if at.is_none() {
        state.seen().await;
    }
    let limits = state.limits.clone();
    let reader =
        move |world: &World, compared: &Compared| planned::gather(world, compared, &limits, &names);
    let pending = state.read_at(at.as_ref(), reader).await??;
    Ok(Json(state.book_at(at.as_ref(), move |book| pending.read(book)).await??))
}

/// Which plan is asked about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GateQuery {
    /// Its hash or the beginning of it; whatever waits when empty.
    plan: String,
}

pub(super) async fn gate(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Result<Query<GateQuery>, QueryRejection>,
) -> Result<Json<Waits>, Error> {
    let Query(GateQuery { plan }) = asked?;
    let limits = state.limits.clone();
    let gathered = state.read(move |world, compared| {
        let AppView { name, app, .. } = query::app(world, compared, &limits, &name)?;
        let named = query::plan_named(world, (name, app), &plan)?;
        Ok::<_, Error>(planned::waiting(world, name, app, named))
    });
    let pending = gathered.await??;
    let ledger = state.ledger.clone();
    Ok(Json(state.blocking(move || pending.read(&ledger)).await??))
}
