//! Finding events: filters, the newest that match, the next that match.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::book::{Book, as_intent};
use super::describe::{Described, describe};
use super::patch;
use super::people::{self, Party};
use super::text::near_names;
use super::who::{attributed, deleted_by, told};
use super::why::{SubjectError, kind_named};
use crate::config::PersonConfig;
use crate::ledger::event::Event;
use crate::ledger::{self, Recorded};
use crate::model::{Instant, InstantError, ObjectKey, Seq, Timestamp};
use crate::replay::World;

/// How many events are read at a time.
const CHUNK_EVENTS: u64 = 1_024;

/// Which events are wanted. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// After this position.
    pub after: Seq,
    /// Before this position; `None` = up to the head.
    pub before: Option<Seq>,
    /// Recorded at or after this time.
    pub since: Option<Timestamp>,
    /// One of these kinds, e.g. `drift.detected`, or all kinds of an area, e.g. `drift`.
    pub kinds: Vec<String>,
    /// About this application.
    pub app: Option<String>,
    /// About this object.
    pub object: Option<ObjectKey>,
    /// By somebody whose name contains this, in any case of letters: that of a credential, or that
    /// of the person whose it was then.
    pub actor: Option<String>,
    /// Who is behind which credential; only asked for with `actor`.
    pub people: Vec<PersonConfig>,
    /// About a commit whose id begins like this.
    pub commit: Option<String>,
    /// About an object of this kind: `Deployment` or `Deployment.apps`, in any case of letters.
    pub object_kind: Option<String>,
    /// Which changed this field of an object, or something below or above it.
    pub field: Option<String>,
    /// Also events that are only of use to somebody who looks for exactly them.
    pub noise: bool,
}

/// No event has this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no event kind `{kind}`")]
pub struct UnknownKind {
    /// What was given.
    pub kind: String,
    /// Kinds that look like it.
    pub near: Vec<String>,
}

/// An event that was found, with its words.
#[derive(Debug, Clone)]
pub struct Found {
    /// The event.
    pub recorded: Arc<Recorded>,
    /// Its words.
    pub described: Described,
}

impl Filter {
    /// Checks the kinds.
    ///
    /// # Errors
    /// A kind that no event has, with the ones that look like it.
    pub fn check(&self) -> Result<(), UnknownKind> {
        for kind in &self.kinds {
            if !Event::KINDS.iter().any(|(_, name, _)| is_kind(name, kind)) {
                let names = Event::KINDS.iter().map(|(_, name, _)| *name);
                return Err(UnknownKind { kind: kind.clone(), near: near_names(kind, names) });
            }
        }
        Ok(())
    }

    /// Describes the event if it is wanted.
    #[must_use]
    pub fn take(&self, book: &dyn Book, recorded: Arc<Recorded>) -> Option<Found> {
        let seq = recorded.seq();
        let outside = seq <= self.after || self.before.is_some_and(|before| seq >= before);
        if outside || !self.wants_kind(&recorded) {
            return None;
        }
        if self.since.is_some_and(|since| recorded.envelope.recorded < since) {
            return None;
        }
        let intent = recorded.event.as_ref().and_then(|event| book.intent_of(event));
        let described = describe(&recorded, intent.as_deref().and_then(as_intent));
        let mut described = told(book, &recorded, described);
        if described.noise && self.is_deletion_by(book, &recorded) {
            described.noise = false;
        }
        if !self.wants(&described) {
            return None;
        }
        let described = attributed(book, &recorded, described);
        let wanted = self.wants_actor(&recorded, &described) && self.changed(book, &recorded);
        wanted.then_some(Found { recorded, described })
    }

    /// Whether only so much is looked through that every event can be compared with the one
    /// before it.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.object.is_some() || self.app.is_some()
    }

    /// Whether the event changed the field that is asked about.
    fn changed(&self, book: &dyn Book, recorded: &Recorded) -> bool {
        let Some(field) = &self.field else { return true };
        // What cannot be read is told by whoever reads it on its own.
        patch::changed(book, recorded, self.object.as_ref(), field).unwrap_or_default()
    }

    fn wants_kind(&self, recorded: &Recorded) -> bool {
        let name = recorded.event.as_ref().map_or("unknown", Event::name);
        self.kinds.is_empty() || self.kinds.iter().any(|kind| is_kind(name, kind))
    }

    fn wants(&self, described: &Described) -> bool {
        // Who asks for a kind or an object wants all there is.
        let narrow = self.object.is_some() || self.field.is_some() || self.object_kind.is_some();
        let noise = self.noise || !self.kinds.is_empty() || narrow;
        if described.noise && !noise {
            return false;
        }
        if self.app.as_ref().is_some_and(|app| *app != described.app) {
            return false;
        }
        if self.object.as_ref().is_some_and(|object| !described.objects.contains(object)) {
            return false;
        }
        if let Some(kind) = &self.object_kind {
            let of = |key: &ObjectKey| {
                kind.eq_ignore_ascii_case(key.kind())
                    || kind.eq_ignore_ascii_case(&key.group_kind().to_string())
            };
            if !described.objects.iter().any(of) {
                return false;
            }
        }
        if let Some(prefix) = &self.commit
            && !described.commit.as_ref().is_some_and(|c| c.as_str().starts_with(prefix.as_str()))
        {
            return false;
        }
        true
    }

    /// Whether it shows that somebody who is asked about deleted what no drift tells of.
    fn is_deletion_by(&self, book: &dyn Book, recorded: &Recorded) -> bool {
        let Some(actor) = &self.actor else { return false };
        // What cannot be read is told by whoever reads it on its own.
        let Some((verdict, claims)) = deleted_by(book, recorded).unwrap_or_default() else {
            return false;
        };
        let at = recorded.envelope.recorded;
        people::of_change(&self.people, verdict, &claims, at).iter().any(|p| is_of(p, actor))
    }

    fn wants_actor(&self, recorded: &Recorded, described: &Described) -> bool {
        self.actor.as_ref().is_none_or(|actor| {
            let recorded_by = recorded.actor.to_string();
            let mut names = described.by.iter().chain([&recorded_by]);
            names.any(|name| is_named(name, actor)) || self.is_by_person(recorded, described, actor)
        })
    }

    fn is_by_person(&self, recorded: &Recorded, described: &Described, wanted: &str) -> bool {
        if self.people.is_empty() {
            return false;
        }
        let at = recorded.envelope.recorded;
        let known = people::of_event(recorded, described.known.as_ref());
        let recorded_by = people::of_actor(&[], &recorded.actor, at);
        known.into_iter().chain(recorded_by).any(|mut party| {
            party.name(&self.people, at);
            party.person.is_some_and(|person| is_named(&person, wanted))
        })
    }
}

/// Whether somebody, or the person behind them, is called so.
fn is_of(party: &Party, wanted: &str) -> bool {
    let names = [Some(&party.name), Some(&party.acting_as), party.person.as_ref()];
    names.into_iter().flatten().any(|name| is_named(name, wanted))
}

/// Whether a name contains what is asked for, in any case of letters.
fn is_named(name: &str, wanted: &str) -> bool {
    name.to_lowercase().contains(&wanted.to_lowercase())
}

/// Whether the kind `name` is meant by `wanted`: the kind itself or its area.
pub(super) fn is_kind(name: &str, wanted: &str) -> bool {
    name == wanted
        || name.strip_prefix(wanted.trim_end_matches('.')).is_some_and(|rest| rest.starts_with('.'))
}

/// Reads a time as any instant is read, a day as its beginning; `None` = it is an instant, and no
/// time.
///
/// # Errors
/// What is no instant.
pub fn since(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Timestamp>, InstantError> {
    Ok(match Instant::parse(text, now, zone)?.or_begin() {
        Instant::Time(time) => Some(time),
        Instant::Now => Some(now),
        _ => None,
    })
}

impl Filter {
    /// Reads the kind of object by any of its names; why it names none, where it names none that
    /// the cluster serves.
    pub fn name_kind(&mut self, world: &World) -> Option<SubjectError> {
        match kind_named(world, self.object_kind.as_deref()?) {
            Ok(kind) => {
                self.object_kind = Some(kind);
                None
            }
            Err(unknown) => Some(unknown),
        }
    }

    /// Whether anything is recorded of objects of the kind that is asked about.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn has_kind(&self, book: &dyn Book) -> Result<bool, ledger::Error> {
        let of_kind =
            Self { object_kind: self.object_kind.clone(), noise: true, ..Self::default() };
        Ok(!newest(book, &of_kind, 1)?.is_empty())
    }
}

/// The newest `limit` events that match, oldest first.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn newest(book: &dyn Book, filter: &Filter, limit: usize) -> Result<Vec<Found>, ledger::Error> {
    let mut found = Vec::new();
    if let Some(candidates) = book.candidates(filter) {
        for seq in candidates.into_iter().rev() {
            let Some(recorded) = book.get(seq)? else { continue };
            found.extend(filter.take(book, recorded));
            if found.len() >= limit {
                break;
            }
        }
        found.reverse();
        return Ok(found);
    }
    let last = filter.before.map(|before| Seq(before.0.saturating_sub(1)));
    let mut to = last.map_or(book.head(), |last| last.min(book.head()));
    while to > filter.after && found.len() < limit {
        let from = Seq(to.0.saturating_sub(CHUNK_EVENTS).max(filter.after.0) + 1);
        let events = book.range(from, to)?;
        let too_old = events
            .first()
            .is_some_and(|first| filter.since.is_some_and(|since| first.envelope.recorded < since));
        found.extend(events.into_iter().rev().filter_map(|recorded| filter.take(book, recorded)));
        to = Seq(from.0 - 1);
        if too_old {
            break;
        }
    }
    found.truncate(limit);
    found.reverse();
    Ok(found)
}

/// The next `limit` events after `filter.after` that match, and the position up to which the
/// ledger was searched: the cursor of the next page.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn next(
    book: &dyn Book,
    filter: &Filter,
    limit: usize,
) -> Result<(Vec<Found>, Seq), ledger::Error> {
    let head = book.head();
    let mut found = Vec::new();
    if let Some(candidates) = book.candidates(filter) {
        for seq in candidates {
            let Some(recorded) = book.get(seq)? else { continue };
            found.extend(filter.take(book, recorded));
            if found.len() >= limit {
                return Ok((found, seq));
            }
        }
        return Ok((found, head));
    }
    let mut cursor = filter.after;
    while cursor < head {
        let to = Seq((cursor.0 + CHUNK_EVENTS).min(head.0));
        for recorded in book.range(cursor.next(), to)? {
            let seq = recorded.seq();
            found.extend(filter.take(book, recorded));
            if found.len() >= limit {
                return Ok((found, seq));
            }
        }
        cursor = to;
    }
    Ok((found, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{ActorClaim, AttributionResolvedV1, Learned, ObjectGoneV1, Verdict};
    use crate::ledger::samples::sample_events;
    use crate::query::fixture::{Story, key};

    /// Goal: whoever is asked about by their own name is found under every credential that is
    /// written down as theirs for that time, and under no other.
    #[test]
    fn a_person_is_found_by_their_own_name() {
        let mut story = Story::told();
        let asked = story.sync_requested();
        let gone = ObjectGoneV1 {
            key: key("ConfigMap/prod/theirs"),
            uid: "u".into(),
            learned: Learned::Watched,
        };
        let gone = story.event(gone);
        let sample = sample_events().into_iter().find_map(|event| match event {
            Event::AttributionResolved(body) => Some(body),
            _ => None,
        });
        let claim = ActorClaim { who: "oidc:am".into(), ..ActorClaim::default() };
        story.event(AttributionResolvedV1 {
            observation: gone,
            verdict: Verdict::Exact,
            claims: vec![claim],
            drift: None,
            ..sample.unwrap()
        });
        let person = PersonConfig {
            name: "Alice Martin".into(),
            kubernetes: vec!["oidc:am".into()],
            os: vec!["alice".into()],
            git: vec!["alice@example.org".into()],
            ..PersonConfig::default()
        };
        let found = |person: PersonConfig| {
            let (actor, people) = (Some("alice martin".into()), vec![person]);
            let filter = Filter { actor, people, ..Filter::default() };
            let found = newest(&story.ledger, &filter, 99).unwrap();
            found.iter().map(|found| found.recorded.seq()).collect::<Vec<_>>()
        };
        let all = found(person.clone());
        assert!(all.contains(&asked) && all.contains(&gone), "{all:?}");
        assert_eq!(found(PersonConfig { os: Vec::new(), ..person.clone() }), [gone]);
        assert_eq!(found(PersonConfig { until: "2001-01-01".into(), ..person.clone() }), []);
        assert_eq!(found(PersonConfig { name: "Bob".into(), ..person }), []);
    }
}
