//! `GET /cluster`: which cluster is kept; `POST /cluster/accept`: keep the one that answers.

use axum::Json;
use axum::extract::{ConnectInfo, Query, State as Having};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::api::{Answer, Asked, FromPeer, Given, carry_out};
use super::dto;
use super::error::Error;
use super::past::AtQuery;
use super::server::State;
use crate::command::{self, Command, Decision};
use crate::ledger::event::Event;
use crate::model::{Seq, Timestamp};
use crate::query::cluster::{Known, accepting, known};
use crate::query::instant::About;

/// What is said where Git, or the cluster, went on since a person was shown what would follow.
const LAPSED: &str = "what would be written and removed is not what was shown any more";
const LAPSED_HINT: &str = "nothing was written; `greffier cluster accept` shows it as it is now";

pub(super) async fn show(Having(state): Having<State>, asked: Asked<AtQuery>) -> Answer<Known> {
    let Query(AtQuery { at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::default()).await?;
    Ok(Json(state.read_at(at.as_ref(), |world, _| known(world)).await?))
}

/// Shows what would follow, or records it.
pub(super) async fn accept(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::AcceptBody>,
) -> Result<Response, Error> {
    let Json(dto::AcceptBody { uid, doubt, plan, hash, reason }) = body?;
    if !plan && hash.is_empty() {
        let command = Command::AcceptCluster { uid, doubt: Seq(doubt), reason };
        return Ok(carry_out(&state, peer, command).await?.into_response());
    }
    let decided = state.read(move |world, compared| {
        let (uid, doubt) = if plan {
            // Whatever is in doubt now is what is shown.
            let doubt = world.cluster.doubt().map(|doubt| doubt.seq()).unwrap_or_default();
            (world.cluster.uid.clone(), doubt)
        } else {
            (uid, Seq(doubt))
        };
        let command = Command::AcceptCluster { uid, doubt, reason };
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, world.clone(), compared.clone()))
    });
    let (decision, world, compared) = decided.await??;
    let accepted = match &decision {
        Decision::Record(event) => match &**event {
            Event::ClusterAccepted(body) => body.clone(),
            _ => return Err(Error::internal("an acceptance that is none")),
        },
        Decision::AlreadySo(_) => return Err(Error::internal("an acceptance that is none")),
    };
    let limits = state.limits.clone();
    let shown = state.blocking(move || accepting(world, &compared, &limits, &accepted)).await?;
    if plan {
        return Ok(Json(shown).into_response());
    }
    if shown.hash != hash {
        return Err(Error::new(StatusCode::CONFLICT, "plan_lapsed", LAPSED, LAPSED_HINT));
    }
    let seq = command::execute(&state.ledger, peer.actor(), decision).await?;
    let done = dto::Accepted { seq: seq.0, already: false, undo: String::new(), next: Vec::new() };
    Ok(Json(done).into_response())
}
