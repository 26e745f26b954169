//! Changes of which it is not known yet who made them, while records of the API server may still
//! tell: who looks for somebody's changes may be looking for these.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::object_at::last_state;
use super::patch::between;
use super::search::{Filter, is_kind};
use super::who;
use crate::attribution::WAIT_MS;
use crate::ledger::event::Event;
use crate::ledger::{self, Recorded};
use crate::model::{Seq, Timestamp};

/// Bound: how many of the last events are looked at.
const LOOKED_AT_MAX: u64 = 2_048;
/// How many events are read at a time.
const CHUNK: u64 = 1_024;
/// The kinds of events that name whoever made a change, as far as that is known.
const NAMING: [&str; 4] =
    ["object.observed", "object.gone", "drift.detected", "attribution.resolved"];

/// Changes of which it is not known yet who made them. It goes over the wire as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unattributed {
    /// How many.
    pub changes: usize,
    /// The event that shows the first of them.
    pub first: u64,
    /// When that was recorded.
    pub since: String,
    /// Whether there may be more: not all that may still be told of was looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// The changes that a search for somebody cannot tell of yet, because nobody knows who made them;
/// `None` = it tells of all. `now` is the time of the clock.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn unattributed(
    book: &dyn Book,
    filter: &Filter,
    now: Timestamp,
) -> Result<Option<Unattributed>, ledger::Error> {
    let asked = |name: &&str| filter.kinds.iter().any(|kind| is_kind(name, kind));
    let by_name = filter.kinds.is_empty() || NAMING.iter().any(asked);
    if filter.actor.is_none() || !by_name {
        return Ok(None);
    }
    let of_anybody = Filter { actor: None, kinds: Vec::new(), noise: true, ..filter.clone() };
    let last = filter.before.map_or(book.head(), |before| Seq(before.0.saturating_sub(1)));
    let (mut to, mut looked) = (last.min(book.head()), 0);
    let (mut open, mut found) = (BTreeSet::new(), Unattributed::default());
    while to > filter.after {
        if looked >= LOOKED_AT_MAX {
            found.more = true;
            break;
        }
        let from = Seq(to.0.saturating_sub(CHUNK).max(filter.after.0) + 1);
        let events = book.range(from, to)?;
        looked += events.len() as u64;
        let waits = |recorded: &Recorded| now.ms_since(recorded.envelope.recorded) < WAIT_MS;
        let over = events.first().is_none_or(|first| !waits(first));
        for recorded in events.into_iter().rev().filter(|recorded| waits(recorded)) {
            let Some(shown) = shown(book, &recorded)? else { continue };
            let wanted = |filter: &Filter| filter.take(book, recorded.clone()).is_some();
            if open.contains(&shown) || who::is_told(book, shown)? || !wanted(&of_anybody) {
                continue;
            }
            if !wanted(&Filter { noise: true, ..filter.clone() }) && is_open(book, shown)? {
                open.insert(shown);
            }
        }
        if over {
            break;
        }
        to = Seq(from.0 - 1);
    }
    let Some(first) = open.first() else { return Ok(None) };
    let since = book.get(*first)?.map(|recorded| recorded.envelope.recorded.to_string());
    (found.changes, found.first) = (open.len(), first.0);
    found.since = since.unwrap_or_default();
    Ok(Some(found))
}

/// The observation that shows the change which an event tells of.
fn shown(book: &dyn Book, recorded: &Recorded) -> Result<Option<Seq>, ledger::Error> {
    match &recorded.event {
        Some(Event::ObjectObserved(_) | Event::ObjectGone(_)) => Ok(Some(recorded.seq())),
        Some(Event::DriftDetected(body)) => who::changed_in(book, body),
        _ => Ok(None),
    }
}

/// Whether it may still turn out who made what an observation shows, of whom nothing is said yet.
fn is_open(book: &dyn Book, observation: Seq) -> Result<bool, ledger::Error> {
    let Some(recorded) = book.get(observation)? else { return Ok(false) };
    let changed = match &recorded.event {
        Some(Event::ObjectGone(_)) => true,
        Some(Event::ObjectObserved(body)) => {
            let before = last_state(book, &body.key, Seq(observation.0.saturating_sub(1)))?;
            let after = last_state(book, &body.key, observation)?;
            let patch = between(book, &body.key, before.as_ref(), after.as_ref())?;
            // Requests that change a status alone are not recorded.
            let counts = |path: &str| path != ".status" && !path.starts_with(".status.");
            patch.is_some_and(|patch| {
                patch.fields.is_empty() || patch.fields.iter().any(|field| counts(&field.path))
            })
        }
        _ => false,
    };
    Ok(changed && who::who(book, observation, None)?.is_some_and(|who| who.own.is_none()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ledger::event::{ActorClaim, AttributionResolvedV1, AuditGapSuspectedV1, Verdict};
    use crate::query::fixture::{Story, key};
    use crate::query::search::newest;

    const MAP: &str = "ConfigMap/prod/mine";

    fn map(value: &str, status: u32) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"},
            "data": {"k": value}, "status": {"n": status}})
    }

    fn resolved(observation: Seq, who: &str) -> AttributionResolvedV1 {
        AttributionResolvedV1 {
            observation,
            key: key(MAP),
            verdict: Verdict::Exact,
            claims: vec![ActorClaim { who: who.into(), ..ActorClaim::default() }],
            more: 0,
            fields: vec![],
            causes: vec![],
            drift: None,
            replaces: None,
            was: None,
            counts: true,
            waiting: false,
            why: String::new(),
        }
    }

    /// Goal: a change that nobody is named for yet is counted for whoever looks for somebody, until
    /// it is told or given up; nothing is guessed, and what cannot be told any more is not counted.
    #[test]
    fn what_is_not_attributed_yet_is_counted_for_who_looks_for_somebody() {
        let mut story = Story::told();
        let by = |actor: &str| Filter {
            actor: Some(actor.into()),
            object: Some(key(MAP)),
            ..Filter::default()
        };
        let open = |story: &Story, filter: &Filter| {
            let last = story.ledger.get(story.ledger.head()).unwrap().unwrap();
            let now = last.envelope.recorded;
            unattributed(&story.ledger, filter, now)
                .unwrap()
                .map(|found| (found.changes, found.first))
        };
        assert_eq!(open(&story, &by("alice")), None);
        let made = story.observed(&key(MAP), &map("1", 1), "u", "");
        let edited = story.observed(&key(MAP), &map("2", 1), "u", "");
        story.observed(&key(MAP), &map("2", 2), "u", "");
        assert_eq!(open(&story, &by("alice")), Some((2, made.0)), "a status is nobody's request");
        assert_eq!(
            open(&story, &Filter { actor: None, ..by("") }),
            None,
            "who asks for all has all"
        );
        let kinds = vec!["sync".to_owned()];
        assert_eq!(open(&story, &Filter { kinds, ..by("alice") }), None);
        let kinds = vec!["object".to_owned()];
        assert_eq!(open(&story, &Filter { kinds, ..by("alice") }), Some((2, made.0)));
        let object = Some(key("ConfigMap/prod/other"));
        assert_eq!(open(&story, &Filter { object, ..by("alice") }), None);
        assert_eq!(open(&story, &Filter { after: made, ..by("alice") }), Some((1, edited.0)));

        story.event(resolved(edited, "alice"));
        assert_eq!(open(&story, &by("alice")), Some((1, made.0)), "it is told of, and shown");
        assert_eq!(open(&story, &by("bob")), Some((1, made.0)), "it is somebody else's");
        let (why, waited_ms) = (String::new(), 1);
        story.event(AuditGapSuspectedV1 { observation: made, key: key(MAP), waited_ms, why });
        assert_eq!(open(&story, &by("alice")), None, "nobody will tell");
        let again = story.observed(&key(MAP), &map("3", 2), "u", "");
        let recorded = story.ledger.get(again).unwrap().unwrap().envelope.recorded;
        let late = recorded.plus_ms(WAIT_MS);
        assert!(unattributed(&story.ledger, &by("alice"), recorded).unwrap().is_some());
        assert_eq!(unattributed(&story.ledger, &by("alice"), late).unwrap(), None);
        assert_eq!(newest(&story.ledger, &by("alice"), 9).unwrap().len(), 2, "with its telling");
        story.ledger.shutdown();
    }
}
