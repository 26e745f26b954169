//! The event stream: server-sent events whose id is the sequence number.
//!
//! A client that reconnects with `Last-Event-ID` goes on without a gap. Events that the filter
//! leaves out do not move the client's cursor, so after a quiet time it may be sent nothing and
//! still resume from where it was: nothing is lost, some is looked at again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Having};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;

use super::api::EventQuery;
use super::dto;
use super::error::Error;
use super::server::State;
use crate::ledger::{Recorded, Tail};
use crate::model::Seq;
use crate::query::search::Filter;

/// How often a comment keeps a quiet connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Following {
    state: State,
    tail: Tail,
    filter: Filter,
    asked: Arc<EventQuery>,
    ready: VecDeque<dto::Event>,
    // Held for as long as the stream lives.
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    Having(state): Having<State>,
    headers: HeaderMap,
    asked: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let Query(asked) = asked?;
    if asked.to.is_some() {
        return Err(Error::bad_request("a stream has no end"));
    }
    let filter = state.bounds(asked.filter()?, (asked.from.as_deref(), None)).await?;
    // A kind that is not served may come to be.
    let (mut filter, _) = state.of_kind(filter).await?;
    let from = filter.after;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    filter.after = match last.or(asked.after) {
        Some(after) => Seq(after),
        None if asked.from.is_some() => from,
        None => state.ledger.head(),
    };
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| {
        let message = "too many event streams are open";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message, "close some")
    })?;
    let tail = state.ledger.subscribe(filter.after);
    let following = Following {
        state,
        tail,
        filter,
        asked: Arc::new(asked),
        ready: VecDeque::new(),
        _permit: permit,
    };
    let events = unfold(following, |mut following| async move {
        let row = following.next().await?;
        let event = Event::default().id(row.seq.to_string()).event("event");
        // A row always has a JSON form: its keys are strings.
        let event = event.json_data(&row).unwrap_or_default();
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Following {
    /// The next row; `None` when the daemon stops or the ledger fails.
    async fn next(&mut self) -> Option<dto::Event> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(row);
            }
            let batch = tokio::select! {
                // Cancel safety: an event that was not returned is returned again.
                batch = self.tail.next_batch() => batch.ok()?,
                () = self.state.cancel.cancelled() => return None,
            };
            self.ready = self.rows(batch).await?;
        }
    }

    async fn rows(&self, batch: Vec<Arc<Recorded>>) -> Option<VecDeque<dto::Event>> {
        let (ledger, filter, asked) =
            (self.state.ledger.clone(), self.filter.clone(), Arc::clone(&self.asked));
        let rows = self.state.blocking(move || {
            let found = batch.into_iter().filter_map(|recorded| filter.take(&ledger, recorded));
            found.map(|found| asked.row(&ledger, found)).collect()
        });
        rows.await.ok()
    }
}
