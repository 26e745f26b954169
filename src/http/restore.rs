//! Bringing back one object, or one field of it.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State as Having};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::api::{FromPeer, Given, after};
use super::brought::Asked;
use super::error::Error;
use super::peer::Peer;
use super::server::State;
use super::{dto, hold};
use crate::command::{self, Command, Decision, Restored};
use crate::ledger::Blob;
use crate::ledger::event::{BackTo, Event, FieldChange, RestoreEndedV1, RestoreResult};
use crate::model::{ObjectKey, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::describe::field_change;
use crate::query::instant::About;
use crate::query::restore::{self, NotRestorable, Now, Then, Wish};
use crate::query::rollback::HoldPlan;
use crate::replay::World;

/// How long a request waits for what it had written to have ended: longer than it may take.
const ENDED_MAX: Duration = Duration::from_secs(15);
/// What an autoscaler sets.
const REPLICAS: &str = ".spec.replicas";

impl From<NotRestorable> for Error {
    fn from(error: NotRestorable) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        let (status, code) = match error {
            NotRestorable::Ledger(error) => return error.into(),
            NotRestorable::Subject(error) => return error.into(),
            NotRestorable::NoObject(_)
            | NotRestorable::Application(_)
            | NotRestorable::NoField { .. } => (StatusCode::BAD_REQUEST, "bad_request"),
            NotRestorable::Same { .. } => (StatusCode::CONFLICT, "same_already"),
            _ => (StatusCode::CONFLICT, "not_restorable"),
        };
        Self::new(status, code, message, hint)
    }
}

/// What is about to be recorded, and what a person is shown of it.
pub(super) struct Asking {
    pub(super) restored: Restored,
    pub(super) blobs: Vec<Blob>,
    pub(super) from: BackTo,
    pub(super) until: Option<Timestamp>,
    pub(super) reason: String,
    /// What is known of the plan beside what is decided.
    pub(super) shown: HoldPlan,
    /// Whether what is missing is left as it is.
    pub(super) partial: bool,
    pub(super) plan: bool,
}

/// Shows what would come back, or brings it back.
pub(super) async fn restore(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::RestoreBody>,
) -> Result<Response, Error> {
    let Json(asked) = body?;
    if asked.plan {
        state.seen().await;
    }
    let until = after(&asked.period)?;
    let namespace = Some(asked.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let about = About::named(&asked.subject, namespace.as_deref());
    let about = state.about(about).await;
    let at = state.asked_at(Some(&asked.to), about).await?;
    let at = at.ok_or_else(|| Error::bad_request("say to which instant: `to`"))?;
    let subject = asked.subject.clone();
    let named = state.read_at(Some(&at), move |world, _| {
        let key = restore::key_of(world, &subject, namespace.as_deref())?;
        let then = Then::of(world, &key);
        Ok::<_, NotRestorable>((key, then))
    });
    let (key, then) = named.await??;
    let (of, wanted) = (key.clone(), then.wanted.as_ref().map(|(app, _)| app.clone()));
    let now = state.read(move |world, compared| {
        (Now::of(world, &of, wanted.as_ref()), world.clone(), compared.clone())
    });
    let (now, world, compared) = now.await?;
    let field = Some(asked.field.clone()).filter(|field| !field.is_empty());
    let wish = Wish { key: key.clone(), at: at.clone(), field, live: asked.live };
    let ledger = state.ledger.clone();
    let prepared = state.blocking(move || {
        let since = restore::since(&ledger, &wish.key, wish.at.seq)?;
        Ok::<_, NotRestorable>((restore::prepare(&ledger, &wish, &then, &now)?, since))
    });
    let (prepared, since) = prepared.await??;
    if !asked.field.is_empty() {
        not_scaled(&world, &key, &prepared.fields)?;
    }
    let subject = match asked.field.as_str() {
        "" => key.to_string(),
        field => format!("{key} {field}"),
    };
    let shown = HoldPlan {
        subject,
        to: at.seq.0,
        at: at.time.to_string(),
        said: if asked.said.is_empty() { asked.to } else { asked.said },
        fields: prepared.fields.iter().map(field_change).collect(),
        notes: prepared.notes,
        since,
        ..HoldPlan::default()
    };
    let asking = Asking {
        restored: prepared.restored,
        blobs: prepared.blobs,
        from: BackTo::Instant(at.seq),
        until,
        reason: asked.reason,
        shown,
        partial: false,
        plan: asked.plan,
    };
    finish(&state, peer, (world, compared), asking).await
}

/// Refuses to bring back nothing but the replicas of what an autoscaler scales, however that was
/// asked for: they would not be written while it is there.
fn not_scaled(world: &World, key: &ObjectKey, fields: &[FieldChange]) -> Result<(), Error> {
    let replicas = !fields.is_empty() && fields.iter().all(|field| field.path == REPLICAS);
    let Some(scaler) = world.autoscaler_of(key).filter(|_| replicas) else { return Ok(()) };
    let message = format!("{REPLICAS} of {key} is not restored: {scaler} sets it");
    let hint = format!("change {scaler} in Git (minReplicas), or restore that");
    Err(Error::new(StatusCode::CONFLICT, "not_restorable", message, hint))
}

/// Shows what would be done, or does it, and says what came of it.
pub(super) async fn finish(
    state: &State,
    peer: Peer,
    (world, compared): (World, Compared),
    asking: Asking,
) -> Result<Response, Error> {
    let Asking { restored, blobs, from, until, reason, shown, partial, plan } = asking;
    let command = Command::Restore { restored, from, until, reason };
    let event = match command::decide(&world, Timestamp::now(), &command)? {
        Decision::Record(event) => event,
        Decision::AlreadySo(seq) => {
            let undo = format!("greffier release '#{seq}'");
            let done = dto::Accepted { seq: seq.0, already: true, undo, next: Vec::new() };
            return Ok(Json(done).into_response());
        }
    };
    let (found, how) = match &*event {
        Event::RestoreIntended(body) => {
            let beside = body.writes.iter().any(|write| write.beside.is_some());
            (restore::plan_of(body), if beside { "beside" } else { "written" })
        }
        Event::SyncRequested(_) => {
            (hold::shown(state, world, compared, &event).await?.plan, "synced")
        }
        _ => (hold::shown(state, world, compared, &event).await?.plan, "held"),
    };
    let notes = found.notes.iter().chain(&shown.notes).cloned().collect();
    let missing = found.missing.clone();
    let found = HoldPlan {
        subject: shown.subject,
        undoes: shown.undoes,
        to: shown.to,
        at: shown.at,
        said: shown.said,
        fields: shown.fields,
        since: shown.since,
        conflicts: shown.conflicts,
        missing: found.missing.into_iter().chain(shown.missing).collect(),
        notes,
        how: how.to_owned(),
        ..found
    };
    if plan {
        return Ok(Json(found).into_response());
    }
    let missing = if partial { &missing } else { &found.missing };
    if !missing.is_empty() {
        let (message, hint) = ("not all of it can be restored", "nothing was written");
        let refused = Error::new(StatusCode::CONFLICT, "not_restorable", message, hint);
        return Err(refused.because(missing.clone()));
    }
    let asked = Asked::by(&event).filter(|_| found.restrained.is_empty());
    let decision = Decision::Record(event);
    let seq = command::execute_with(&state.ledger, peer.actor(), decision, blobs).await?;
    let undo = match how {
        "synced" => String::new(),
        _ => format!("greffier undo '#{seq}'"),
    };
    if let Some(asked) = asked {
        asked.written(state, seq).await?;
    }
    let next = match how {
        "written" | "beside" => ended(state, seq).await?,
        _ => vec![found.summary()],
    };
    Ok(Json(dto::Accepted { seq: seq.0, already: false, undo, next }).into_response())
}

/// How the writes of a restore ended, once they have.
async fn ended(state: &State, restore: Seq) -> Result<Vec<String>, Error> {
    let mut folded = state.folded();
    let over = async {
        loop {
            let open = state.read(move |world, _| world.restores.contains_key(&restore));
            // The daemon folds what it records itself; when it stops, nobody waits any more.
            if !open.await? || folded.changed().await.is_err() {
                return Ok::<_, Error>(());
            }
        }
    };
    let unknown = || {
        let hint = format!("`greffier show '#{restore}'` says so once it is");
        let message = "it is not known yet whether it was restored";
        Error::new(StatusCode::CONFLICT, "restore_failed", message, hint)
    };
    tokio::time::timeout(ENDED_MAX, over).await.map_err(|_| unknown())??;
    let ledger = state.ledger.clone();
    let found = state.blocking(move || {
        let last = ledger.head();
        let mut results = Vec::new();
        for recorded in crate::query::Book::range(&ledger, restore, last)? {
            if let Some(Event::RestoreEnded(body)) = &recorded.event
                && body.restore == restore
            {
                results.extend(told(body));
            }
        }
        Ok::<_, crate::ledger::Error>(results)
    });
    let found = found.await??;
    if found.is_empty() {
        return Err(unknown());
    }
    let failed: Vec<String> =
        found.iter().filter(|(made, _)| !made).map(|(_, text)| text.clone()).collect();
    if !failed.is_empty() {
        let (message, hint) = ("not all of it was restored", format!("recorded as #{restore}"));
        let error = Error::new(StatusCode::CONFLICT, "restore_failed", message, hint);
        return Err(error.because(failed));
    }
    Ok(found.into_iter().map(|(_, text)| text).collect())
}

/// What came of each write, and whether it was made.
fn told(body: &RestoreEndedV1) -> impl Iterator<Item = (bool, String)> + '_ {
    body.objects.iter().zip(&body.results).filter_map(|(key, (_, result))| match result {
        RestoreResult::Made { .. } => Some((true, format!("{key} is restored"))),
        RestoreResult::NotSent(why) | RestoreResult::Refused(why) => {
            Some((false, format!("{key} is not restored: {why}")))
        }
        // What became of it is told by a later one.
        RestoreResult::Unknown(_) => None,
    })
}
