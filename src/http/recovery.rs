//! `GET /recovery`: what a replay onto an empty cluster would bring back, and what not.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use serde::Deserialize;

use super::dto;
use super::error::Error;
use super::server::State;
use crate::ledger;
use crate::model::{AppName, BlobAddr, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::Book;
use crate::query::instant::About;
use crate::query::recovery::{Asked, Pending, gather, last_observed};
use crate::recovery::{Serving, plan};
use crate::replay::World;

/// What is asked about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RecoveryQuery {
    /// Comma-separated names; all when empty.
    app: String,
    /// Whether what was observed is meant, rather than what was wanted.
    live: bool,
    /// Whether also what no application owns.
    unowned: bool,
    /// The instant; now when not given.
    at: Option<String>,
}

pub(super) async fn recovery(
    Having(state): Having<State>,
    asked: Result<Query<RecoveryQuery>, QueryRejection>,
) -> Result<Json<dto::Recovery>, Error> {
    let Query(RecoveryQuery { app, live, unowned, at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::default()).await?;
    let names = app.split(',').filter(|name| !name.is_empty());
    let apps = names
        .map(|name| name.parse::<AppName>().map_err(|error| Error::bad_request(error.to_string())));
    let asked = Asked { apps: apps.collect::<Result<_, _>>()?, live, unowned };
    let reader = move |world: &World, _: &Compared| {
        let pending = gather(world, &asked)?;
        Ok::<_, Error>((pending, Fresh::of(world)))
    };
    let (pending, fresh) = state.read_at(at.as_ref(), reader).await??;
    let ledger = state.ledger.clone();
    let answer = state.book_at(at.as_ref(), move |book| {
        recovery_dto(pending, fresh, book, |addr| ledger.has_blob(addr))
    });
    Ok(Json(answer.await??))
}

/// How fresh what is known of the cluster is.
pub struct Fresh {
    observed: Option<(Seq, Timestamp)>,
    lost: Option<String>,
}

impl Fresh {
    /// What a world says of it.
    #[must_use]
    pub fn of(world: &World) -> Self {
        Self { observed: last_observed(world), lost: world.cluster.lost.clone() }
    }
}

/// The answer for people and programs.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn recovery_dto(
    pending: Pending,
    fresh: Fresh,
    book: &dyn Book,
    has: impl Fn(BlobAddr) -> bool,
) -> Result<dto::Recovery, ledger::Error> {
    let input = pending.read(book, has)?;
    Ok(dto::Recovery {
        plan: plan(input, Serving::unknown()).shown,
        observed: fresh.observed.map_or(0, |(seq, _)| seq.0),
        observed_at: fresh.observed.map(|(_, at)| at.to_string()).unwrap_or_default(),
        cluster_lost: fresh.lost.unwrap_or_default(),
    })
}
