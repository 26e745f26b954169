//! One object as of an instant, from the index: no world is folded for it.
//!
//! What an object was is what was seen of it last, or what the answer to greffier's own write
//! said, whichever is newer. Where greffier wrote about then, the few events that bear on it are
//! folded as the world folds them ([`crate::replay`]), so that both say the same. How certain that is depends on whether the object was watched then:
//!
//! - *exact*: it was watched.
//! - *interval*: it was not; later it was found changed, so it changed at some time in between.
//! - *gap*: it was not, and nothing tells whether it was something else in between.
//!
//! Where a time is asked for in which it was not watched and what was found later had been so
//! already by then, as the object's own field managers state, that is the answer (*as known
//! now*): an interval all the same, because they could have been followed by more changes.

use std::sync::Arc;

use super::anew;
use super::book::{Book, as_intent};
use super::coverage::{self, Moment, Scope, Unwatched};
use super::instant::{At, backwards, forwards};
use super::past;
use crate::ledger::event::{Event, Health, Learned};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{Basis, BlobAddr, ObjectKey, Seq, Timestamp, ValidTime};
use crate::replay::World;

/// For how long before what was seen an intent is looked for that may still have been open then,
/// in milliseconds: longer than any request is carried out.
const OPEN_MS_MAX: u64 = 3_600_000;
/// Bound: how many intents before an instant are looked at. What a watch tells late is some
/// seconds late; nobody writes that often meanwhile.
const INTENTS_MAX: usize = 8;

/// What an object was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The event that says so.
    pub seq: Seq,
    /// When that was recorded.
    pub recorded: Timestamp,
    /// When it was true, as far as known.
    pub valid: ValidTime,
    /// How it was learnt.
    pub learned: Learned,
    /// Its uid.
    pub uid: String,
    /// Its resource version; empty for what is gone.
    pub resource_version: String,
    /// The object; `None` = it was gone.
    pub live: Option<Live>,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The normalised object with its field ownership.
    pub object: BlobAddr,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// Whether its deletion had been requested.
    pub deleting: bool,
}

/// How certain an answer about the past is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It was watched then.
    Exact,
    /// It was not watched then, and changed at some time in between.
    Interval,
    /// It was not watched then, and nothing tells what it was.
    Gap,
}

impl Certainty {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Interval => "interval",
            Self::Gap => "gap",
        }
    }
}

/// An object as of an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAt {
    /// What it was; `None` = nothing was recorded of it by then.
    pub state: Option<State>,
    /// How certain that is.
    pub certainty: Certainty,
    /// What it was found to be after a time in which it was not watched, where it had changed.
    pub next: Option<State>,
    /// The span around the instant in which it was not watched.
    pub unwatched: Option<Unwatched>,
    /// Where nothing was seen of it in the cluster as it is then, and something was before: since
    /// when it is another one, and what was seen last, in words.
    pub former: Option<String>,
}

/// What is known of an object as of `at`, by all that `book` has.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn object_at(book: &dyn Book, key: &ObjectKey, at: &At) -> Result<ObjectAt, ledger::Error> {
    let state = last_state(book, key, at.seq)?;
    let moment = Moment { seq: at.seq, time: at.time };
    let former = if state.is_none() { former(book, key, at.seq)? } else { None };
    let spans = coverage::read(book, &Scope::Object(key.clone()), moment, moment)?;
    // What loses something comes before what is only late.
    let Some(span) = spans.into_iter().max_by_key(|span| span.lossy) else {
        let (certainty, next, unwatched) = (Certainty::Exact, None, None);
        return Ok(ObjectAt { state, certainty, next, unwatched, former });
    };
    let end = span.to.map_or(book.head(), |to| to.seq);
    let next = first_state(book, key, (at.seq, end))?;
    let certainty = match (&next, span.lossy) {
        (Some(_), _) => Certainty::Interval,
        (None, true) => Certainty::Gap,
        (None, false) => Certainty::Exact,
    };
    let earlier = next.as_ref().filter(|next| {
        let ValidTime { lo, hi, basis } = next.valid;
        at.timed && basis == Basis::ManagedFields && lo >= span.from.time && hi <= at.time
    });
    let state = earlier.cloned().or(state);
    Ok(ObjectAt { state, certainty, next, unwatched: Some(span), former })
}

/// What was seen of an object last before the cluster was another one, that it was gone included.
fn former(book: &dyn Book, key: &ObjectKey, last: Seq) -> Result<Option<String>, ledger::Error> {
    let Some(anew) = anew::told(book, last)? else { return Ok(None) };
    let before = last_state(book, key, Seq(anew.seq.0 - 1))?;
    Ok(before.map(|state| match &state.live {
        Some(_) => format!("{}; before that it was seen last at #{}", anew.text, state.seq),
        None => format!("{}; before that it was gone since #{}", anew.text, state.seq),
    }))
}

impl State {
    /// What `recorded` says, without the object.
    fn new(recorded: &Recorded, learned: Learned, uid: &str, resource_version: &str) -> Self {
        Self {
            seq: recorded.seq(),
            recorded: recorded.envelope.recorded,
            valid: recorded.envelope.valid,
            learned,
            uid: uid.to_owned(),
            resource_version: resource_version.to_owned(),
            live: None,
        }
    }
}

/// What an event says that an object is.
fn state_of(recorded: &Recorded, key: &ObjectKey) -> Option<State> {
    let new = |learned, uid: &str, version: &str| State::new(recorded, learned, uid, version);
    match recorded.event.as_ref()? {
        Event::ObjectObserved(body) if body.key == *key => {
            let live = Live {
                object: body.object,
                health: body.health,
                health_message: body.health_message.clone(),
                deleting: body.deleting,
            };
            let live = Some(live);
            Some(State { live, ..new(body.learned, &body.uid, &body.resource_version) })
        }
        Event::ObjectGone(body) if body.key == *key => Some(new(body.learned, &body.uid, "")),
        _ => None,
    }
}

/// The first thing that was seen of an object after one event, up to another.
fn first_state(
    book: &dyn Book,
    key: &ObjectKey,
    (after, last): (Seq, Seq),
) -> Result<Option<State>, ledger::Error> {
    let found = forwards(book, SubjectKey::object(key), after, |recorded| {
        if recorded.seq() > last {
            return Some(None);
        }
        state_of(recorded, key).map(Some)
    })?;
    Ok(found.flatten())
}

/// The newest thing that is known of an object by event `last`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn last_state(
    book: &dyn Book,
    key: &ObjectKey,
    last: Seq,
) -> Result<Option<State>, ledger::Error> {
    let life = anew::since(book, last)?;
    let state = last_state_of_any(book, key, last)?;
    // What was seen of another cluster, or of this one before it was set back, says nothing.
    Ok(state.filter(|state| state.seq > life))
}

fn last_state_of_any(
    book: &dyn Book,
    key: &ObjectKey,
    last: Seq,
) -> Result<Option<State>, ledger::Error> {
    let seen = last_seen(book, key, last.next())?;
    let since = seen.as_ref().map(|seen| seen.recorded);
    // Where greffier wrote nothing lately, what was seen last is all there is.
    match first_intent(book, key, last, since)? {
        None => Ok(seen),
        Some(first) => folded(book, key, (first, last), seen),
    }
}

/// The newest thing that was seen of an object before an event.
fn last_seen(
    book: &dyn Book,
    key: &ObjectKey,
    before: Seq,
) -> Result<Option<State>, ledger::Error> {
    backwards(book, SubjectKey::object(key), before, |recorded| state_of(recorded, key))
}

/// The first of the intents by `last` that may still have been open when the object was seen last.
fn first_intent(
    book: &dyn Book,
    key: &ObjectKey,
    last: Seq,
    seen: Option<Timestamp>,
) -> Result<Option<Seq>, ledger::Error> {
    let written = SubjectKey::topic(&Topic::Written(key.clone()));
    let mut first = None;
    for seq in book.find_before(written, last.next(), INTENTS_MAX) {
        let Some(recorded) = book.get(seq)? else { continue };
        if seen.is_some_and(|seen| seen.ms_since(recorded.envelope.recorded) > OPEN_MS_MAX) {
            break;
        }
        first = Some(seq);
    }
    Ok(first)
}

/// Folds what may bear on an object from the first of greffier's own intents on, as the world
/// does it: the answer to a write and what a watch says of it come in any order.
fn folded(
    book: &dyn Book,
    key: &ObjectKey,
    (first, last): (Seq, Seq),
    seen: Option<State>,
) -> Result<Option<State>, ledger::Error> {
    let first = last_seen(book, key, first)?.map_or(first, |before| before.seq);
    let mut events = Vec::new();
    forwards(book, SubjectKey::object(key), Seq(first.0 - 1), |recorded| {
        if recorded.seq() > last {
            return Some(());
        }
        let tells = matches!(
            recorded.event,
            Some(Event::ObjectObserved(_) | Event::ObjectGone(_) | Event::IntentRecorded(_))
        );
        if tells {
            events.push(Arc::new(recorded.clone()));
        }
        None
    })?;
    let intents = events.iter().filter(|event| as_intent(event).is_some());
    for intent in intents.map(|event| event.seq()).collect::<Vec<_>>() {
        events.extend(book.ends_of(intent)?.into_iter().filter(|end| end.seq() <= last));
    }
    for topic in [Topic::Watching, Topic::Kind(key.group_kind())] {
        forwards(book, SubjectKey::topic(&topic), first, |recorded| {
            if recorded.seq() > last {
                return Some(());
            }
            // What is served says nothing about one object, and takes long to fold.
            if !matches!(recorded.event, Some(Event::KindsServed(_))) {
                events.push(Arc::new(recorded.clone()));
            }
            None
        })?;
    }
    events.sort_by_key(|event| event.seq());
    events.dedup_by_key(|event| event.seq());
    let (mut world, mut turn) = (World::default(), None);
    for event in &events {
        let before = world.live.contains_key(key);
        past::fold(&mut world, event);
        if before && !world.live.contains_key(key) {
            turn = Some(Arc::clone(event));
        }
    }
    let Some(live) = world.live.get(key) else {
        let gone = turn.map(|event| State::new(&event, Learned::Answered, "", ""));
        // Its going is told by the event that says so; a list may say it by not showing it.
        return Ok(seen.filter(|seen| seen.live.is_none()).or(gone));
    };
    let said = events.iter().find(|event| event.seq() == live.seq);
    Ok(said.map(|event| {
        let learned = match &event.event {
            Some(Event::ObjectObserved(body)) => body.learned,
            _ => Learned::Answered,
        };
        State {
            live: Some(Live {
                object: live.object,
                health: live.health,
                health_message: live.health_message.clone(),
                deleting: live.deleting,
            }),
            ..State::new(event, learned, &live.uid, &live.resource_version)
        }
    }))
}

#[cfg(test)]
mod tests;
