//! The chain from what is asked about back to whoever brought it about.
//!
//! Each link is an event (`greffier show '#N'` opens it) and says how sure it is that it belongs
//! there: mostly because the ledger names it as a cause (`recorded`), or as well as it is known
//! who made a change. What only came before is said to have come before.
//!
//! A walk goes down the causes of an event ([`causes`]), names people ([`people`]), and ends at
//! what has no cause in the ledger: a commit, a person's command, a change by somebody else. All
//! work is bounded; where a bound cut something off, the answer says so ([`Walk::bounds`]).

mod after;
mod before;
mod causes;
mod dropped;
mod field;
mod people;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::book::Book;
use super::super::who;
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::model::{ObjectKey, Seq};

use self::causes::Cause;

pub(super) use self::after::consequences;
pub(super) use self::before::Unwell;
pub(super) use self::field::{of_field, value};

/// How many links a chain has at most.
const LINKS_MAX: usize = 48;
/// How many earlier events about an application or an object are looked at for one of them.
const LOOKED_AT_MAX: usize = 2_000;
/// How many positions are looked up at a time.
const LOOKED_UP: usize = 64;

/// The ledger names it as a cause, or the link tells of an event itself.
pub const RECORDED: &str = "recorded";
/// It came before; whether it is the cause is not known.
pub const BEFORE: &str = "before";

/// A link of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// The event; none where what it tells of is in no event.
    pub seq: Option<u64>,
    /// The event's kind, or `field`, `state`, `gap`, `before`, `unknown`.
    pub kind: String,
    /// When it was recorded; empty where it is no event.
    pub time: String,
    /// What it is, in one line.
    pub what: String,
    /// Who did it: every claim with its strength.
    pub who: Vec<Claim>,
    /// `recorded`, `exact`, `unique`, `ambiguous`, `claimed`, `before` or `unknown`.
    pub certainty: String,
    /// How far it is from what was asked about: it explains the last link above it that has a
    /// smaller depth.
    pub depth: usize,
}

/// Somebody who did it, or may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// As what: `user` (of the API server), `field manager`, `operator` (of this machine),
    /// `author`, `committer`, `signer`, `pusher` or `greffier`.
    pub role: String,
    /// The name; `unknown` where it is not known.
    pub name: String,
    /// `exact`, `unique`, `ambiguous`, `claimed` or `unknown`.
    pub strength: String,
    /// The events that it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<u64>,
    /// What else is to be said; empty when nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl ChainLink {
    /// What is in no event.
    fn told(kind: &str, what: impl Into<String>, certainty: &str) -> Self {
        let (kind, certainty) = (kind.to_owned(), certainty.to_owned());
        Self { kind, what: what.into(), certainty, ..Self::default() }
    }

    fn of(recorded: &Recorded, what: String) -> Self {
        Self {
            seq: Some(recorded.seq().0),
            kind: recorded.event.as_ref().map_or("unknown", Event::name).to_owned(),
            time: recorded.envelope.recorded.to_string(),
            what,
            certainty: RECORDED.to_owned(),
            ..Self::default()
        }
    }
}

/// A walk down the causes.
pub(super) struct Walk<'b> {
    book: &'b dyn Book,
    links: Vec<ChainLink>,
    seen: BTreeSet<Seq>,
    bounds: BTreeSet<String>,
}

/// What is still to be told.
struct Open {
    cause: Cause,
    depth: usize,
}

impl<'b> Walk<'b> {
    pub(super) fn new(book: &'b dyn Book) -> Self {
        Self { book, links: Vec::new(), seen: BTreeSet::new(), bounds: BTreeSet::new() }
    }

    /// The links, and what was cut off.
    pub(super) fn ends(self) -> (Vec<ChainLink>, Vec<String>) {
        (self.links, self.bounds.into_iter().collect())
    }

    /// Adds what is asked about itself, and the event that shows it. Events below it are told at
    /// depth 1.
    pub(super) fn head(&mut self, what: &str, seq: Seq) {
        let link = ChainLink::told("state", what, RECORDED);
        self.links.push(ChainLink { seq: Some(seq.0), ..link });
    }

    /// Before this is everything that is known.
    pub(super) fn now(&self) -> Seq {
        self.book.head().next()
    }

    /// Tells of an event and of what caused it, as far as it concerns the object.
    pub(super) fn event(
        &mut self,
        seq: Seq,
        key: Option<&ObjectKey>,
        depth: usize,
    ) -> Result<(), ledger::Error> {
        self.causes_of(Cause::event(seq, key.cloned()), depth)
    }

    fn causes_of(&mut self, first: Cause, depth: usize) -> Result<(), ledger::Error> {
        let mut open = vec![Open { cause: first, depth }];
        while let Some(Open { cause, depth }) = open.pop() {
            if self.links.len() >= LINKS_MAX {
                self.bounds.insert(format!("the chain is cut at {LINKS_MAX} links"));
                break;
            }
            let (seq, key, commit, certainty, last) = match cause {
                Cause::Told(link) => {
                    self.links.push(ChainLink { depth, ..*link });
                    continue;
                }
                Cause::Event { seq, key, commit, certainty, last } => {
                    (seq, key, commit, certainty, last)
                }
            };
            if !self.seen.insert(seq) {
                continue;
            }
            let Some(recorded) = self.book.get(seq)? else {
                let what = format!("#{seq} is not in this ledger: what it says is not known");
                self.links.push(ChainLink { depth, ..ChainLink::told("unknown", what, "unknown") });
                continue;
            };
            let key = key.or_else(|| about(&recorded));
            let mut link = self.link(&recorded, key.as_ref())?;
            if let Some(certainty) = certainty {
                link.certainty = certainty.to_owned();
            }
            self.links.push(ChainLink { depth, ..link });
            if !last {
                let causes = self.causes(&recorded, key.as_ref(), commit)?;
                let below = causes.into_iter().rev();
                open.extend(below.map(|cause| Open { cause, depth: depth + 1 }));
            }
        }
        Ok(())
    }

    /// An event with who did it.
    fn link(
        &mut self,
        recorded: &Recorded,
        key: Option<&ObjectKey>,
    ) -> Result<ChainLink, ledger::Error> {
        let mut link = ChainLink::of(recorded, words(self.book, recorded, key));
        let people = self.people(recorded)?;
        link.who = people.claims;
        if let Some(certainty) = people.certainty {
            link.certainty = certainty.to_owned();
        }
        if !people.note.is_empty() {
            link.what = format!("{}; {}", link.what, people.note);
        }
        Ok(link)
    }

    /// The last event before `before` that `index` finds and `wanted` takes.
    pub(super) fn last<T>(
        &mut self,
        index: SubjectKey,
        before: Seq,
        mut wanted: impl FnMut(&Recorded) -> Option<T>,
    ) -> Result<Option<T>, ledger::Error> {
        let (mut before, mut looked_at) = (before, 0);
        while looked_at < LOOKED_AT_MAX {
            let found = self.book.find_before(index, before, LOOKED_UP);
            let Some(first) = found.last() else { return Ok(None) };
            (before, looked_at) = (*first, looked_at + found.len());
            for seq in found {
                let recorded = self.book.get(seq)?;
                if let Some(taken) = recorded.as_deref().and_then(&mut wanted) {
                    return Ok(Some(taken));
                }
            }
        }
        self.bounds.insert(format!(
            "earlier events are looked at {LOOKED_AT_MAX} at most about one object or application"
        ));
        Ok(None)
    }
}

/// The object that an event is about, where it is about one.
fn about(recorded: &Recorded) -> Option<ObjectKey> {
    match recorded.event.as_ref()? {
        Event::ObjectObserved(body) => Some(body.key.clone()),
        Event::ObjectGone(body) => Some(body.key.clone()),
        Event::DriftDetected(body) => Some(body.key.clone()),
        Event::AttributionResolved(body) => Some(body.key.clone()),
        Event::AuditGapSuspected(body) => Some(body.key.clone()),
        Event::ObjectHealthChanged(body) => Some(body.key.clone()),
        Event::HoldBegun(body) => match body.of.as_slice() {
            [of] => Some(of.key().clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The words for an event, as far as it concerns the object.
fn words(book: &dyn Book, recorded: &Recorded, key: Option<&ObjectKey>) -> String {
    let described = who::described(book, recorded);
    let what = match (&recorded.event, key) {
        (Some(Event::IntentRecorded(body)), Some(key)) => {
            let write = body.writes.iter().find(|write| write.key == *key);
            write.map(|write| format!("to {} {key}: {}", write.verb.as_str(), write.reason))
        }
        (Some(Event::RenderSucceeded(body)), _) => {
            let made_with =
                body.made_with.iter().map(|(name, version)| format!("{name} {version}"));
            let with: Vec<String> = made_with.collect();
            let with =
                if with.is_empty() { String::new() } else { format!(", {}", with.join(", ")) };
            Some(format!("{}; inputs {}{with}", described.summary, body.inputs.short()))
        }
        _ => None,
    };
    let what = what.unwrap_or(described.summary);
    if described.app.is_empty() { what } else { format!("{}: {what}", described.app) }
}
