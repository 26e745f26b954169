//! Keeping what somebody changed by hand, and letting go of it.

use axum::Json;
use axum::extract::{ConnectInfo, State as Having};

use super::api::{Answer, FromPeer, Given, after};
use super::dto;
use super::peer::Peer;
use super::server::State;
use crate::command::{self, Command, Decision};
use crate::ledger::event::Event;
use crate::model::{Seq, Timestamp};
use crate::query;

pub(super) async fn keep(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::KeepBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::KeepBody { event, period, reason }) = body?;
    let (until, event) = (after(&period)?, Seq(event));
    let ledger = state.ledger.clone();
    let recorded = state.blocking(move || ledger.get(event)).await??;
    let drift = recorded.and_then(|recorded| match &recorded.event {
        Some(Event::DriftDetected(body)) => Some(Box::new(body.clone())),
        _ => None,
    });
    if let Some(drift) = drift.clone() {
        let (app, key) = (drift.app.clone(), drift.key.clone());
        let manifest = state.read(move |world, _| {
            let desired = world.apps.get(&app)?.desired.as_ref()?;
            Some(desired.objects.get(&key)?.manifest)
        });
        if let Some(manifest) = manifest.await? {
            let ledger = state.ledger.clone();
            let laid =
                move || command::can_be_laid(event, &drift, manifest, |addr| ledger.blob(addr));
            state.blocking(laid).await??;
        }
    }
    carry_out(&state, peer, Command::Keep { event, drift, until, reason }).await
}

pub(super) async fn release(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::ReleaseBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::ReleaseBody { subject, namespace }) = body?;
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    carry_out(&state, peer, Command::Release { subject, namespace }).await
}

/// Checks and records the command, and says what happens because of it.
async fn carry_out(state: &State, peer: Peer, command: Command) -> Answer<dto::Accepted> {
    let keeps = matches!(command, Command::Keep { .. });
    let decided = state.read(move |world, compared| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, peer.actor(), world.clone(), compared.clone()))
    });
    let (decision, actor, world, compared) = decided.await??;
    let already = matches!(decision, Decision::AlreadySo(_));
    let event = match &decision {
        Decision::Record(event) => Some(event.clone()),
        Decision::AlreadySo(_) => None,
    };
    let seq = command::execute(&state.ledger, actor, decision).await?;
    let limits = state.limits.clone();
    let next = match event {
        Some(event) => {
            let told = move || query::because_of(world, &compared, &limits, seq, &event);
            state.blocking(told).await?
        }
        None => Vec::new(),
    };
    let undo = if keeps { format!("greffier release {}", seq.0) } else { String::new() };
    Ok(Json(dto::Accepted { seq: seq.0, already, undo, next }))
}
