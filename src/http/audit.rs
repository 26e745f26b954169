//! The receiver for the API server's audit webhook.
//!
//! It takes an `EventList` of `audit.k8s.io/v1` by `POST /audit` and answers 200 when what it
//! says is durable in the ledger; whoever gets another answer may send it again.
//!
//! Security: who is not known gets no further than the head of the request. A sender is known
//! by a certificate, which the listener checks, by a token, or by both, as configured. What is
//! refused is recorded, at most once a minute, with how often; never what was sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::token::{Token, Unknown};
use crate::audit::record::{Malformed, Record, understand};
use crate::audit::{Intake, Position};
use crate::ledger;
use crate::ledger::event::AuditTrouble;

/// The name of the source.
pub const SOURCE: &str = "webhook";
/// Bound: how long a post may be, in bytes. The API server sends 400 records at once unless it is
/// told otherwise, as docs/audit.md says.
pub const POST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bound: how many posts are read at once; they are in memory.
const POSTS_MAX: usize = 4;
const TOO_LARGE: &str = "a post of more than 16 MiB";
/// How often it is recorded that something was refused…
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// …and that records came that said nothing worth recording.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Receives audit records.
#[derive(Clone)]
pub struct Receiver {
    intake: Intake,
    /// The token that senders must show.
    token: Option<Token>,
    posts: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    read: Arc<Mutex<Option<Instant>>>,
}

impl Receiver {
    /// `token` is what senders must show, if they must; `refusals` takes what is refused, here and
    /// by the listener.
    #[must_use]
    pub fn new(intake: Intake, token: Option<Token>, refusals: Arc<Refusals>) -> Self {
        Self {
            intake,
            token,
            posts: Arc::new(Semaphore::new(POSTS_MAX)),
            refusals,
            read: Arc::default(),
        }
    }

    /// What is served.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/audit", post(receive))
            .fallback(|| async { (StatusCode::NOT_FOUND, "records are taken by POST /audit\n") })
            .with_state(self.clone())
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        token.check(headers).map_err(|unknown| match unknown {
            Unknown::Missing => Refusal::new(StatusCode::UNAUTHORIZED, "a post without a token"),
            Unknown::Wrong => Refusal::new(StatusCode::FORBIDDEN, "a post with a wrong token"),
        })
    }

    async fn take(&self, body: Vec<u8>) -> Result<(), Refusal> {
        let kinds = self.intake.kinds();
        if kinds.is_empty() {
            let what = "the kinds of the cluster are not known yet";
            return Err(Refusal {
                counts: false,
                ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what)
            });
        }
        let read =
            tokio::task::spawn_blocking(move || -> Option<Vec<Result<Record, Malformed>>> {
                let list: Value = serde_json::from_slice(&body).ok()?;
                let is =
                    |field: &str, text: &str| list.get(field).is_some_and(|value| value == text);
                let items = list.get("items").and_then(Value::as_array);
                let items = items
                    .filter(|_| is("kind", "EventList") && is("apiVersion", "audit.k8s.io/v1"));
                items.map(|items| items.iter().map(|event| understand(event, &kinds)).collect())
            });
        let records = read.await.ok().flatten().ok_or(Refusal::new(
            StatusCode::BAD_REQUEST,
            "a post that is no EventList of audit.k8s.io/v1",
        ))?;
        let due = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let due = read.is_none_or(|at| at.elapsed() >= READ_EVERY);
            if due {
                *read = Some(Instant::now());
            }
            due
        };
        let taken = self.intake.take(SOURCE, records, Position::default(), due).await;
        taken.map(|_| ()).map_err(|error| {
            tracing::warn!(%error, "audit records could not be recorded");
            let what = "the ledger does not take it";
            Refusal { counts: false, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what) }
        })
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Body) -> Response {
    let done = async {
        receiver.check(&headers)?;
        // The semaphore is never closed; without a permit the memory is merely not bounded.
        let permit = Arc::clone(&receiver.posts).acquire_owned().await;
        let body = read(body).await?;
        // A sender that goes away does not leave half of a batch taken.
        let taking = receiver.clone();
        let taken = tokio::spawn(async move {
            let _permit = permit;
            taking.take(body).await
        });
        let what = "taking the records failed";
        let failed = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what);
        taken.await.unwrap_or(Err(Refusal { counts: false, ..failed }))
    };
    match done.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
                receiver.refusals.lost();
            } else if refusal.counts {
                receiver.refusals.note(refusal.what.to_owned());
            }
            (refusal.status, format!("{}\n", refusal.what)).into_response()
        }
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut parts, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(part) = parts.next().await {
        let broken = Refusal::new(StatusCode::BAD_REQUEST, "a post that broke off");
        let part = part.map_err(|_| broken)?;
        if bytes.len() + part.len() > POST_BYTES_MAX {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Why a post was not taken.
struct Refusal {
    status: StatusCode,
    what: &'static str,
    /// Whether it is the sender's fault.
    counts: bool,
}

impl Refusal {
    fn new(status: StatusCode, what: &'static str) -> Self {
        Self { status, what, counts: true }
    }
}

/// What was refused and is not recorded yet.
#[derive(Debug, Default)]
pub struct Refusals {
    owed: Mutex<Owed>,
    came: Notify,
}

#[derive(Debug, Clone, Default)]
struct Owed {
    /// How often something was refused, and what it was last.
    refused: (u64, String),
    /// How many posts of a known sender were too large: their records are lost.
    lost: u64,
}

impl Owed {
    fn told(self) -> Vec<(AuditTrouble, String, u64)> {
        let (count, last) = self.refused;
        let what = if count == 1 { last } else { format!("{count} times, lately {last}") };
        let posts = |count| format!("{count} times {TOO_LARGE}, repetitions counted");
        let lost = if self.lost == 1 { TOO_LARGE.to_owned() } else { posts(self.lost) };
        let told = [(AuditTrouble::Refused, what, count), (AuditTrouble::Lost, lost, self.lost)];
        told.into_iter().filter(|(_, _, count)| *count > 0).collect()
    }
}

impl Refusals {
    /// Something was refused.
    pub fn note(&self, what: String) {
        self.owe(|owed| owed.refused = (owed.refused.0 + 1, what));
    }

    /// A post was refused that the API server sends again as it is, and then drops.
    fn lost(&self) {
        self.owe(|owed| owed.lost += 1);
    }

    fn owe(&self, add: impl FnOnce(&mut Owed)) {
        add(&mut self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        self.came.notify_one();
    }

    /// Records what is refused until `cancel`: the first at once, then at most once a minute.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn record(
        &self,
        intake: Intake,
        cancel: CancellationToken,
    ) -> Result<(), ledger::Error> {
        loop {
            tokio::select! {
                () = self.came.notified() => {}
                () = cancel.cancelled() => return Ok(()),
            }
            let owed =
                std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
            for (trouble, what, count) in owed.told() {
                intake.trouble(SOURCE, trouble, what, count).await?;
            }
            tokio::select! {
                () = tokio::time::sleep(REFUSED_EVERY) => {}
                () = cancel.cancelled() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
