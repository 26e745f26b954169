//! The past as a Kubernetes API: `/at/INSTANT/…`, for kubectl and other clients.
//!
//! What was not watched at the instant is told in `Warning` headers (RFC 9111 §5.5 of old, which
//! Kubernetes clients print).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State as Having};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Json, Router};
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::server::State;
use super::token::Token;
use crate::ledger;
use crate::query::coverage::{self, Cause, Moment, Scope, Unwatched};
use crate::query::instant::{About, At};
use crate::query::kubernetes::{Answer, Past, Refusal, Request};
use crate::query::text::clean;
use crate::query::{AsOf, Book};

/// Bound: how long a request body may be, in bytes: a question whether something is allowed.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bound: how many warnings an answer carries.
const WARNINGS_MAX: usize = 5;
/// Bound: how many watches are open at once, apart from the streams of the API.
const WATCHES_MAX: usize = 16;
/// Bound: how long a silent watch is kept open when the client says no time.
const SILENCE_MAX: Duration = Duration::from_secs(30 * 60);

/// The past at `/at/INSTANT/…`, for whoever shows the token, if there is one.
pub fn past_api(state: State, token: Option<Token>, cancel: CancellationToken) -> Router {
    let state = apart(state, cancel);
    let guard = move |request: axum::extract::Request, next: Next| {
        let token = token.clone();
        async move {
            match token.map_or(Ok(()), |token| token.check(request.headers())) {
                Ok(()) => next.run(request).await,
                Err(_) => refused(&Refusal::unauthorized("this is not the token of the past")),
            }
        }
    };
    Router::new()
        .route("/at/{instant}/{*rest}", any(past))
        .fallback(|| async { refused(&Refusal::unknown("paths begin with /at/INSTANT/")) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(guard))
        .with_state(state)
}

/// The state with watches that are bounded and ended by themselves.
fn apart(mut state: State, cancel: CancellationToken) -> State {
    state.streams = Arc::new(Semaphore::new(WATCHES_MAX));
    state.cancel = cancel;
    state
}

/// Answers any request below `/at/INSTANT/`.
async fn past(
    Having(state): Having<State>,
    Path((instant, rest)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    (method, headers): (Method, HeaderMap),
    body: Bytes,
) -> Response {
    let at = match state.asked_at(Some(&instant), About::default()).await {
        Ok(Some(at)) => at,
        Ok(None) => return refused(&Refusal::bad("say when: /at/INSTANT/…")),
        Err(error) => return no_instant(&of_error(error), &rest),
    };
    let world = match state.world_at(at.seq).await {
        Ok(world) => world,
        Err(error) => return refused(&of_error(error)),
    };
    let ledger = state.ledger.clone();
    let answered = state.blocking(move || {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let request = Request {
            method: method.as_str(),
            path: &format!("/{rest}"),
            query: &query,
            accept: accept.unwrap_or_default(),
            body: &body,
        };
        let book = AsOf::new(&ledger, at.seq);
        let past = Past { world: &world, book: &book, at: at.time };
        // What came later tells that greffier was not running then.
        (past.answer(&request), warnings(&ledger, &at, &past, request.path))
    });
    let (answer, warnings) = match answered.await {
        Ok(answered) => answered,
        Err(error) => return refused(&of_error(error)),
    };
    let mut response = match answer {
        Ok(Answer::Document(document)) => Json(document).into_response(),
        Ok(Answer::Silence(seconds)) => silence(&state, seconds).await,
        // That something is absent is worth as much as the watching was whole.
        Err(refusal) => refused(&refusal),
    };
    for warning in warnings {
        response.headers_mut().append(header::WARNING, warning);
    }
    response
}

fn refused(refusal: &Refusal) -> Response {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, Json(refusal.body())).into_response()
}

/// No such instant. Kubernetes clients begin with discovery, and of its errors they show nothing
/// that a Status says; what a 406 says in plain text they show as it is.
fn no_instant(refusal: &Refusal, rest: &str) -> Response {
    if matches!(rest, "api" | "apis") {
        return (StatusCode::NOT_ACCEPTABLE, refusal.message().to_owned()).into_response();
    }
    refused(refusal)
}

fn of_error(error: Error) -> Refusal {
    let Error { message, hint, .. } = error;
    let text = if hint.is_empty() { message } else { format!("{message} ({hint})") };
    Refusal::bad(text)
}

/// What was not watched at the instant of the kind that is asked for.
fn warnings(book: &dyn Book, at: &At, past: &Past<'_>, path: &str) -> Vec<HeaderValue> {
    let Some(kind) = past.kind_at(path) else { return Vec::new() };
    let moment = Moment { seq: at.seq, time: at.time };
    let scope = Scope::Kinds(vec![kind]);
    let spans = match coverage::read(book, &scope, moment, moment) {
        Ok(spans) => spans,
        Err(error) => return header_of(&unknown(&error)).into_iter().collect(),
    };
    let mut told: Vec<_> = spans.iter().filter(|span| span.cause != Cause::Excluded).collect();
    told.sort_by_key(|span| !span.lossy);
    let words = |span: &Unwatched| match span.lossy {
        true => span.what(),
        false => format!("what changed was seen late: {}", span.what()),
    };
    told.into_iter().take(WARNINGS_MAX).filter_map(|span| header_of(&words(span))).collect()
}

fn unknown(error: &ledger::Error) -> String {
    format!("what was not watched is not known: {error}")
}

/// `299` is any persistent warning; the text is a quoted string of visible characters.
fn header_of(text: &str) -> Option<HeaderValue> {
    let visible: String =
        clean(text).chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let quoted = visible.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{quoted}\"")).ok()
}

/// A watch that says nothing: nothing happens any more at an instant.
async fn silence(state: &State, seconds: Option<u64>) -> Response {
    let Ok(permit) = state.streams.clone().try_acquire_owned() else {
        let refusal = Refusal::busy("too many watches are open");
        return refused(&refusal);
    };
    let wait = seconds.map_or(SILENCE_MAX, Duration::from_secs).min(SILENCE_MAX);
    let cancel = state.cancel.clone();
    let end = async move {
        let _permit = permit;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cancel.cancelled() => {}
        }
        None
    };
    let nothing = futures::stream::once(end)
        .filter_map(|nothing: Option<Result<Bytes, std::convert::Infallible>>| async { nothing });
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, Body::from_stream(nothing)).into_response()
}

#[cfg(test)]
mod tests;
