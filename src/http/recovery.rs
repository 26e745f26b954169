//! `GET /recovery`: what a replay onto an empty cluster would bring back, and what not;
//! `POST /recovery`: what a replay has recorded while a daemon has the ledger.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State as Having};
use axum::http::StatusCode;
use serde::Deserialize;

use super::api::{Answer, FromPeer, Given};
use super::dto::{self, RecoveryRecord};
use super::error::Error;
use super::server::State;
use crate::command;
use crate::ledger::event::{Event, RecoveryBegunV1, RecoveryOutcomeV1};
use crate::ledger::{self, Draft, Ledger};
use crate::model::{AppName, BlobAddr, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::Book;
use crate::query::cluster;
use crate::query::instant::About;
use crate::query::recovery::{Asked, Pending, gather, last_observed, last_replay, of_daemon};
use crate::recovery::{Serving, plan, progress};
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
    let wholeness = Some(state.wholeness());
    Ok(Json(dto::Recovery { wholeness, ..answer.await?? }))
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
        wholeness: None,
    })
}

/// Records what a replay is about to do and what came of it. Whoever replays writes to the target
/// himself, with his own credentials; the daemon only keeps the register.
pub(super) async fn record(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<RecoveryRecord>,
) -> Answer<dto::Recorded> {
    let Json(record) = body?;
    if let RecoveryRecord::Begun(begun) = &record {
        let begun = begun.clone();
        state.read(move |world, _| not_its_own(world, &begun)).await??;
    }
    let ledger = state.ledger.clone();
    let judged = move || {
        let draft = judge(&ledger, record)?;
        Ok::<_, Error>(draft.by(peer.actor()))
    };
    let draft = state.blocking(judged).await??;
    let appended = state.ledger.append(draft).await?;
    Ok(Json(dto::Recorded { seq: appended.last().map_or(0, |seq| seq.0) }))
}

/// The cluster that the daemon writes to itself is no target.
fn not_its_own(world: &World, begun: &RecoveryBegunV1) -> Result<(), Error> {
    match of_daemon(&cluster::known(world), world.observe, &begun.uid) {
        Some(found) => Err(refused(&found.why, &found.hint)),
        None => Ok(()),
    }
}

/// What is recorded, if it is about a replay that the ledger knows of.
fn judge(ledger: &Ledger, record: RecoveryRecord) -> Result<Draft, Error> {
    let of = |seq: Seq| -> Result<Option<Event>, Error> {
        Ok(ledger.get(seq)?.and_then(|recorded| recorded.event.clone()))
    };
    let begun = |seq: Seq| match of(seq)? {
        Some(Event::RecoveryBegun(body)) => {
            let last = last_replay(ledger, &body.uid)?;
            match last.filter(|last| last.seq == seq && !last.is_over()) {
                Some(_) => Ok(()),
                None => Err(refused("that replay has ended, or another was begun since", "")),
            }
        }
        _ => Err(Error::bad_request(format!("event {seq} is no replay that was begun"))),
    };
    Ok(match record {
        RecoveryRecord::Begun(body) => {
            let former = last_replay(ledger, &body.uid)?;
            if let Some(found) = progress::refuse(former.as_ref(), false, &[]) {
                return Err(refused(&found.why, &found.hint));
            }
            Draft::new(body)
        }
        RecoveryRecord::Intent(body) => {
            begun(body.recovery)?;
            let cause = body.recovery;
            Draft::new(body).caused_by(cause)
        }
        RecoveryRecord::Outcome(body) => {
            begun(body.recovery)?;
            let writes = match of(body.intent)? {
                Some(Event::RecoveryIntent(intent)) if intent.recovery == body.recovery => {
                    intent.writes.len()
                }
                _ => return Err(not_intended(&body)),
            };
            let known = |index: u32| usize::try_from(index).is_ok_and(|index| index < writes);
            if !body.results.iter().all(|(index, _)| known(*index)) {
                return Err(not_intended(&body));
            }
            let cause = body.intent;
            Draft::new(body).caused_by(cause)
        }
        RecoveryRecord::Finished(body) => {
            begun(body.recovery)?;
            let cause = body.recovery;
            Draft::new(body).caused_by(cause)
        }
        RecoveryRecord::Abandoned(body) => {
            begun(body.recovery)?;
            command::bounded(&body.reason)?;
            let cause = body.recovery;
            Draft::new(body).caused_by(cause)
        }
    })
}

fn not_intended(body: &RecoveryOutcomeV1) -> Error {
    Error::bad_request(format!("event {} intended no such write of that replay", body.intent))
}

fn refused(message: &str, hint: &str) -> Error {
    Error::new(StatusCode::CONFLICT, "replay_refused", message, hint)
}

#[cfg(test)]
mod tests;
