//! The past: instants, the world as of one, objects as of one, and marks.
//!
//! A question with `at` is answered from a world of its own, folded beside the daemon's: the
//! daemon's locks are not held meanwhile. One world is folded at a time; the last one is kept for
//! a while, because pages of one list, and a person's questions, ask for the same again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Query, State as Having};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::api::{Answer, Asked, FromPeer, Given};
use super::dto;
use super::error::Error;
use super::server::State;
use crate::command::Command;
use crate::ledger::event::Learned;
use crate::ledger::{self, Ledger, Recorded};
use crate::model::{Instant, InstantError, ObjectKey, Seq, Timestamp};
use crate::plan::{Compared, secret};
use crate::query::coverage::{self, Cause, Moment, Scope, Unwatched};
use crate::query::instant::{self, About, At};
use crate::query::object_at::{self, Certainty};
use crate::query::patch;
use crate::query::search::Filter;
use crate::query::why::SubjectError;
use crate::query::{AsOf, Book, past};
use crate::replay::World;

/// How long a world of the past is kept after it was asked for last.
const KEPT: Duration = Duration::from_secs(60);

/// Worlds of the past.
pub(super) struct Past {
    /// Bound: one world is folded at a time.
    turn: Arc<Semaphore>,
    kept: Mutex<Option<Arc<World>>>,
}

impl Default for Past {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), kept: Mutex::default() }
    }
}

impl Past {
    fn find(&self, seq: Seq) -> Option<Arc<World>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|world| world.seq == seq)
    }

    fn keep(&self, world: Option<Arc<World>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = world;
    }

    /// Lets go of a world when it was not asked for in a while.
    fn forget_later(self: &Arc<Self>, world: &Arc<World>) {
        let (past, known) = (Arc::downgrade(self), Arc::downgrade(world));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT).await;
                let (Some(past), Some(known)) = (past.upgrade(), known.upgrade()) else { return };
                // Nobody but the cache and this task has it: it was not asked for just now.
                if Arc::strong_count(&known) <= 2 {
                    if past.find(known.seq).is_some_and(|kept| Arc::ptr_eq(&kept, &known)) {
                        past.keep(None);
                    }
                    return;
                }
            }
        });
    }
}

impl From<InstantError> for Error {
    fn from(error: InstantError) -> Self {
        Self { hint: InstantError::HINT.to_owned(), ..Self::bad_request(error.to_string()) }
    }
}

impl From<instant::Error> for Error {
    fn from(error: instant::Error) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            instant::Error::Ledger(error) => error.into(),
            _ => Self::new(axum::http::StatusCode::NOT_FOUND, "no_instant", message, hint),
        }
    }
}

impl State {
    /// What an instant stands for; `None` where none was given.
    pub(super) async fn asked_at(
        &self,
        given: Option<&str>,
        about: About,
    ) -> Result<Option<At>, Error> {
        match given.filter(|given| !given.is_empty()) {
            None => Ok(None),
            Some(given) => self.asked(given, about, Instant::or_end).await.map(Some),
        }
    }

    /// What an instant stands for; `end` takes the end of a day or its beginning.
    pub(super) async fn asked(
        &self,
        given: &str,
        about: About,
        end: fn(Instant) -> Instant,
    ) -> Result<At, Error> {
        let now = Timestamp::now();
        let named = end(Instant::parse(given, now, &TimeZone::UTC)?);
        let ledger = self.ledger.clone();
        let found = self.blocking(move || instant::resolve(&ledger, &named, &about, now));
        Ok(found.await??)
    }

    /// Narrows a search to what was recorded from an instant on, up to another; whoever is asked
    /// about may be named as a person.
    pub(super) async fn bounds(
        &self,
        mut filter: Filter,
        (from, to): (Option<&str>, Option<&str>),
    ) -> Result<Filter, Error> {
        if filter.actor.is_some() {
            filter.people = self.read(|world, _| world.people.clone()).await?;
        }
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let (from, to) = (given(from), given(to));
        let now = Timestamp::now();
        let parse = |text: String| Instant::parse(&text, now, &TimeZone::UTC);
        let (from, to) = (from.map(parse).transpose()?, to.map(parse).transpose()?);
        let ledger = self.ledger.clone();
        let bound = move || {
            instant::bound(&ledger, &mut filter, (from, to), now)?;
            Ok::<_, instant::Error>(filter)
        };
        Ok(self.blocking(bound).await??)
    }

    /// Reads the world as of an instant, or the present one where none is asked for.
    pub(super) async fn read_at<R: Send + 'static>(
        &self,
        at: Option<&At>,
        reader: impl FnOnce(&World, &Compared) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let Some(at) = at else { return self.read(reader).await };
        let world = self.world_at(at.seq).await?;
        self.blocking(move || reader(&world, &Compared::new())).await
    }

    /// The world as of an event, folded beside the daemon's.
    pub(super) async fn world_at(&self, seq: Seq) -> Result<Arc<World>, Error> {
        // The semaphore is never closed; without a permit worlds are merely not bounded.
        let turn = Arc::clone(&self.past.turn).acquire_owned().await;
        if let Some(world) = self.past.find(seq) {
            return Ok(world);
        }
        // The former one is let go of first: two of them would take twice the memory.
        self.past.keep(None);
        let (ledger, kept) = (self.ledger.clone(), Arc::clone(&self.past));
        // Whoever asked may be gone before it is folded: it is still the turn of this one, and
        // the next one finds it.
        let folded = self.blocking(move || {
            let _turn = turn;
            let world = Arc::new(past::world_at(&ledger, seq, true)?);
            kept.keep(Some(Arc::clone(&world)));
            kept.forget_later(&world);
            Ok::<_, ledger::Error>(world)
        });
        Ok(folded.await??)
    }

    /// Reads the kind of object that is asked about by any of its names; why it names none.
    pub(super) async fn of_kind(
        &self,
        mut filter: Filter,
    ) -> Result<(Filter, Option<SubjectError>), Error> {
        if filter.object_kind.is_none() {
            return Ok((filter, None));
        }
        let read = move |world: &World, _: &Compared| {
            let unknown = filter.name_kind(world);
            (filter, unknown)
        };
        self.read(read).await
    }

    /// Works with the ledger as of an instant on a blocking thread.
    pub(super) async fn book_at<R: Send + 'static>(
        &self,
        at: Option<&At>,
        work: impl FnOnce(&dyn Book) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (ledger, last) = (self.ledger.clone(), at.map(|at| at.seq));
        self.blocking(move || with_book(&ledger, last, work)).await
    }
}

fn with_book<R>(ledger: &Ledger, last: Option<Seq>, work: impl FnOnce(&dyn Book) -> R) -> R {
    match last {
        Some(last) => work(&AsOf::new(ledger, last)),
        None => work(ledger),
    }
}

/// An instant, and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AtQuery {
    pub(super) at: Option<String>,
}

/// An instant and what it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InstantQuery {
    at: Option<String>,
    app: Option<String>,
    object: Option<String>,
}

pub(super) async fn instant(
    Having(state): Having<State>,
    asked: Asked<InstantQuery>,
) -> Answer<dto::Instant> {
    let Query(InstantQuery { at, app, object }) = asked?;
    let object = object.map(|object| object.parse::<ObjectKey>()).transpose();
    let object = object.map_err(|error| Error::bad_request(error.to_string()))?;
    let about = About { app: app.and_then(|app| app.parse().ok()), object };
    let about = state.about(about).await;
    let scope = about.object.clone().map_or(Scope::All, Scope::Object);
    let at = state.asked_at(Some(at.as_deref().unwrap_or("@")), about).await?;
    let at = at.ok_or_else(|| Error::internal("an instant was not understood"))?;
    let ledger = state.ledger.clone();
    Ok(Json(state.blocking(move || instant_dto(&ledger, &at, &scope)).await??))
}

/// Which object, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectQuery {
    object: String,
    at: Option<String>,
    /// Only what was known then.
    #[serde(default)]
    as_known_at: Option<String>,
}

pub(super) async fn object(
    Having(state): Having<State>,
    asked: Asked<ObjectQuery>,
) -> Answer<dto::ObjectAt> {
    let Query(ObjectQuery { object, at, as_known_at }) = asked?;
    let key: ObjectKey = object.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    let key = state.named(key.clone()).await.unwrap_or(key);
    let about = About::object(&key);
    let known = state.asked_at(as_known_at.as_deref(), about.clone()).await?;
    let at = state.asked_at(at.as_deref(), about).await?;
    // What was known at an instant is about that instant, where no other is asked about.
    let at = at.or_else(|| known.clone());
    let at = at.ok_or_else(|| Error::bad_request("say when: `at`, or `as_known_at`"))?;
    let found = state.book_at(known.as_ref(), move |book| object_dto(book, &key, &at));
    Ok(Json(found.await??))
}

pub(super) async fn marks(Having(state): Having<State>) -> Answer<Vec<dto::Mark>> {
    let ledger = state.ledger.clone();
    Ok(Json(state.blocking(move || marks_dto(&ledger)).await??))
}

pub(super) async fn mark(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::MarkBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::MarkBody { name, at, reason }) = body?;
    let at = if at.is_empty() { "@" } else { &at };
    let at = state.asked_at(Some(at), About::default()).await?;
    let at = at.ok_or_else(|| Error::internal("an instant was not understood"))?;
    let stands = format!("it stands for #{} ({}), whatever comes later", at.seq, at.time);
    let command = Command::Mark { name, seq: at.seq, time: at.time, reason };
    let Json(mut done) = super::api::carry_out(&state, peer, command).await?;
    done.next.push(stands);
    Ok(Json(done))
}

pub(super) fn unwatched(span: &Unwatched) -> dto::Unwatched {
    let begins = span.from == Moment::default();
    dto::Unwatched {
        from: if begins { String::new() } else { span.from.time.to_string() },
        from_seq: span.from.seq.0,
        to: span.to.map(|to| to.time.to_string()),
        to_seq: span.to.map(|to| to.seq.0),
        kinds: span.kinds.iter().map(ToString::to_string).collect(),
        cause: span.cause.as_str().to_owned(),
        what: span.what(),
        lossy: span.lossy,
    }
}

/// An instant with what was not watched then.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn instant_dto(book: &dyn Book, at: &At, scope: &Scope) -> Result<dto::Instant, ledger::Error> {
    let moment = Moment { seq: at.seq, time: at.time };
    let spans = coverage::read(book, scope, moment, moment)?;
    // What is never watched is no gap of this instant.
    let gap = spans.iter().any(|span| {
        span.lossy && (span.cause != Cause::Excluded || matches!(scope, Scope::Object(_)))
    });
    Ok(with_spans(at, gap, &spans))
}

pub(super) fn with_spans(at: &At, gap: bool, spans: &[Unwatched]) -> dto::Instant {
    let certainty = if gap { Certainty::Gap } else { Certainty::Exact };
    dto::Instant {
        seq: at.seq.0,
        time: at.time.to_string(),
        timed: at.timed,
        what: at.what.clone(),
        certainty: certainty.as_str().to_owned(),
        unwatched: spans.iter().map(unwatched).collect(),
    }
}

/// An object as of an instant.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn object_dto(
    book: &dyn Book,
    key: &ObjectKey,
    at: &At,
) -> Result<dto::ObjectAt, ledger::Error> {
    let found = object_at::object_at(book, key, at)?;
    let spans: Vec<Unwatched> = found.unwatched.into_iter().collect();
    let instant = with_spans(at, found.certainty != Certainty::Exact, &spans);
    let certainty = found.certainty.as_str().to_owned();
    let state = |state: Option<object_at::State>| {
        state.map(|state| state_dto(book, key, state)).transpose()
    };
    Ok(dto::ObjectAt {
        object: key.to_string(),
        at: dto::Instant { certainty: certainty.clone(), ..instant },
        certainty,
        state: state(found.state)?,
        next: state(found.next)?,
        former: found.former.unwrap_or_default(),
    })
}

fn state_dto(
    book: &dyn Book,
    key: &ObjectKey,
    state: object_at::State,
) -> Result<dto::ObjectState, ledger::Error> {
    let manifest = match &state.live {
        Some(live) => {
            let stored = serde_json::from_slice::<Value>(&book.blob(live.object)?);
            // An observation is kept with its field managers beside it.
            let object = stored.ok().map(|stored| stored.get("object").cloned().unwrap_or(stored));
            object.map(|object| secret::shown(key, object))
        }
        None => None,
    };
    let learned = match state.learned {
        Learned::Watched => "watched",
        Learned::Listed => "listed",
        Learned::Answered => "answered",
    };
    let live = state.live.as_ref();
    Ok(dto::ObjectState {
        present: live.is_some(),
        seq: state.seq.0,
        recorded: state.recorded.to_string(),
        valid_from: state.valid.lo.to_string(),
        valid_to: state.valid.hi.to_string(),
        learned: learned.to_owned(),
        uid: state.uid,
        resource_version: state.resource_version,
        health: live.map(|live| live.health.as_str().to_owned()).unwrap_or_default(),
        health_message: live.map(|live| live.health_message.clone()).unwrap_or_default(),
        deleting: live.is_some_and(|live| live.deleting),
        manifest,
    })
}

/// A row with what the event changed of its objects.
#[must_use]
pub fn patched(book: &dyn Book, recorded: &Recorded, mut row: dto::Event) -> dto::Event {
    // What cannot be read of an object does not keep its event from being told.
    row.patches = patch::of_event(book, recorded).unwrap_or_default();
    row
}

/// All marks in force, by name.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn marks_dto(book: &dyn Book) -> Result<Vec<dto::Mark>, ledger::Error> {
    let marks = instant::marks(book)?;
    marks
        .into_iter()
        .map(|(event, mark)| {
            let recorded = book.get(event)?;
            Ok(dto::Mark {
                name: mark.name,
                seq: mark.seq.0,
                time: mark.time.to_string(),
                by: recorded.map(|recorded| recorded.actor.to_string()).unwrap_or_default(),
                reason: mark.reason,
                event: event.0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
