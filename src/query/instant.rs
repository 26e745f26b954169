//! What an instant stands for in a ledger.
//!
//! Everything is found through the indexes: nothing here reads the ledger from end to end. An
//! instant that is a time stands for all events that were recorded by then; every other for a
//! position. Whoever asks is told which, because the answers differ where something was seen
//! late (`query::object_at`).

mod back;
mod commit;
mod defined;

use std::collections::BTreeSet;

pub(super) use commit::applied_first;

use super::book::Book;
use super::search::Filter;
use super::text::near_names;
use crate::ledger::event::{Event, MarkedV1};
use crate::ledger::store::{COMMIT_PREFIX, SubjectKey};
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, Instant, ObjectKey, Seq, Timestamp};

/// How many positions are looked up at a time.
const CHUNK: usize = 64;
/// How many are looked up first: mostly it is the last event or the one before it.
const CHUNK_FIRST: usize = 4;
/// How many events are read at a time.
const RANGE: u64 = 1_024;
/// How many candidates an ambiguous beginning lists.
const CANDIDATES_MAX: usize = 5;
/// Bound: how many marks are read.
const MARKS_MAX: usize = 10_000;
/// How far the time in an event's id may be from its recorded time, in nanoseconds: both are
/// taken one after the other.
const ID_SLACK_NS: i64 = 2_000_000_000;

/// What an instant is asked about: `@-` and `git:` depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// An application.
    pub app: Option<AppName>,
    /// An object.
    pub object: Option<ObjectKey>,
}

impl About {
    /// An application, by a name that may be none.
    #[must_use]
    pub fn app(name: &str) -> Self {
        Self { app: name.parse().ok(), object: None }
    }

    /// An application or an object by its whole key, as far as the text names one.
    #[must_use]
    pub fn named(text: &str, namespace: Option<&str>) -> Self {
        match text.parse::<ObjectKey>() {
            Ok(mut key) => {
                if key.namespace().is_empty() {
                    let namespace = namespace.unwrap_or_default();
                    key = ObjectKey::new(key.group(), key.kind(), namespace, key.name());
                }
                Self { app: None, object: Some(key) }
            }
            Err(_) => Self::app(text),
        }
    }

    /// An object.
    #[must_use]
    pub fn object(key: &ObjectKey) -> Self {
        Self { app: None, object: Some(key.clone()) }
    }
}

/// A place in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The last event that counts.
    pub seq: Seq,
    /// The time: the one that was meant, or when the event was recorded.
    pub time: Timestamp,
    /// Whether a time was meant rather than a position.
    pub timed: bool,
    /// What was named, where that is neither a time nor an event: in words.
    pub what: String,
}

/// Why an instant stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is recorded yet.
    #[error("the ledger is empty: nothing is recorded yet")]
    Empty,
    /// It is before everything.
    #[error("{at} is before the first event: the ledger begins at {begins} (#1)")]
    Before {
        /// What was asked for.
        at: Timestamp,
        /// When the first event was recorded.
        begins: Timestamp,
    },
    /// It has not come yet.
    #[error("{at} is in the future: it is {now}")]
    Future {
        /// What was asked for.
        at: Timestamp,
        /// The time.
        now: Timestamp,
        /// The last event.
        last: Seq,
    },
    /// There is no such event.
    #[error("there is no event #{seq}: the ledger ends at #{last}")]
    NoEvent {
        /// What was asked for.
        seq: Seq,
        /// The last event.
        last: Seq,
    },
    /// No event's id begins so.
    #[error("no event has an id that begins with {0}")]
    NoId(String),
    /// Several events' ids begin so.
    #[error("several events have ids that begin with {digits}: {}", .candidates.join(", "))]
    AmbiguousId {
        /// What was given.
        digits: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// The subject did not change so often.
    #[error("{subject} changed {} only", times(*.has))]
    NoChange {
        /// What was asked about.
        subject: String,
        /// How often it changed.
        has: usize,
    },
    /// The subject did not change so often lately.
    #[error("{subject} changed {} among its last {looked} events", times(*.has))]
    NoRecentChange {
        /// What was asked about.
        subject: String,
        /// How often it changed.
        has: usize,
        /// How many events were looked at.
        looked: usize,
    },
    /// Nobody gave an instant this name.
    #[error("there is no mark `{name}`")]
    UnknownMark {
        /// What was given.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// Neither a commit nor a ref.
    #[error("no recorded commit or ref is named `{0}`")]
    UnknownCommit(String),
    /// Several commits.
    #[error("`{name}` could be {}", .candidates.join(", "))]
    AmbiguousCommit {
        /// What was given.
        name: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// Refs of several repositories.
    #[error("`{name}` is a branch or tag of several repositories: {}", .candidates.join(", "))]
    AmbiguousRef {
        /// What was given.
        name: String,
        /// Where it is in some of them.
        candidates: Vec<String>,
    },
    /// Several applications have the object.
    #[error(
        "commit {} was applied to several applications that {object} belonged to: {}",
        .commit.short(),
        .candidates.join(", ")
    )]
    SeveralApps {
        /// The commit.
        commit: CommitId,
        /// The object that is asked about.
        object: Box<ObjectKey>,
        /// The applications and when it was applied to each.
        candidates: Vec<String>,
    },
    /// A commit that was never applied.
    #[error("commit {} was never applied{}", .commit.short(), of(.apps, .object.as_deref()))]
    NeverApplied {
        /// The commit.
        commit: CommitId,
        /// For which applications; empty = for any.
        apps: Vec<AppName>,
        /// The object that is asked about, where they are those that have it.
        object: Option<Box<ObjectKey>>,
        /// When it was seen first.
        seen: Option<Seq>,
        /// Another that was applied, and when: the next one since it was seen, or else the last one
        /// before that.
        other: Option<(Seq, CommitId)>,
    },
    /// A commit that changes the definition of an application, and was applied to it only as that
    /// was defined before.
    #[error(
        "commit {} was applied to application {app} only as that was defined before it, at #{at}",
        .commit.short()
    )]
    OtherDefinition {
        /// The commit.
        commit: CommitId,
        /// The application.
        app: AppName,
        /// When it was applied so.
        at: Seq,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn of(apps: &[AppName], object: Option<&ObjectKey>) -> String {
    let named = apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
    let named = match apps {
        [] => return String::new(),
        [_] => format!(" for application {named}"),
        _ => format!(" for applications {named}"),
    };
    object.map_or_else(|| named.clone(), |key| format!("{named}, which {key} belongs to"))
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Empty | Self::Ledger(_) => String::new(),
            Self::Before { begins, .. } => format!("ask for {begins} or later, or for #1"),
            Self::Future { last, .. } => format!("the ledger ends at #{last}; `@` is now"),
            Self::NoEvent { last, .. } => format!("ask for an event from #1 to #{last}"),
            Self::NoId(_) => "`greffier show #NUMBER` prints the id of an event".to_owned(),
            Self::AmbiguousId { .. } | Self::AmbiguousCommit { .. } => {
                "give more digits".to_owned()
            }
            Self::AmbiguousRef { .. } => {
                "give the commit, or ask about an application that follows one of them".to_owned()
            }
            Self::SeveralApps { .. } => "give one of these events instead".to_owned(),
            Self::NoChange { .. } => "`greffier log SUBJECT` lists what happened".to_owned(),
            Self::NoRecentChange { .. } => {
                "those before are not looked at; give a time or an event".to_owned()
            }
            Self::UnknownMark { near, .. } if near.is_empty() => {
                "`greffier get marks` lists them; `greffier mark NAME` makes one".to_owned()
            }
            Self::UnknownMark { near, .. } => format!("did you mean {}?", near.join(", ")),
            Self::UnknownCommit(_) => format!(
                "give a branch or tag that was fetched, or at least {COMMIT_PREFIX} digits of a commit"
            ),
            Self::NeverApplied { seen: Some(seen), other: Some((at, other)), .. } => {
                let which = if at > seen { "the next one that was" } else { "the last one before" };
                format!(
                    "it was seen first at #{seen}, with nothing of it applied; {which} is git:{} \
                     (#{at})",
                    other.short()
                )
            }
            Self::NeverApplied { seen: Some(seen), .. } => format!(
                "it was seen first at #{seen}, with nothing of it applied; `greffier log --kind \
                 sync` lists what was"
            ),
            Self::OtherDefinition { app, at, .. } => format!(
                "#{at} stands for that; `greffier log {app}` lists what it was defined as, and when"
            ),
            Self::NeverApplied { .. } => "`greffier log --kind sync` lists what was".to_owned(),
        }
    }
}

/// Finds what the instant stands for. `now` is the time of the clock.
///
/// # Errors
/// See [`Error`].
pub fn resolve(
    book: &dyn Book,
    instant: &Instant,
    about: &About,
    now: Timestamp,
) -> Result<At, Error> {
    let head = book.head();
    if head == Seq::ZERO {
        return Err(Error::Empty);
    }
    match instant {
        Instant::Now => Ok(At { timed: true, time: now, ..position(book, head, String::new())? }),
        Instant::Time(at) | Instant::Day { ends: at, .. } => at_time(book, *at, now),
        Instant::Event(seq) if *seq == Seq::ZERO || *seq > head => {
            Err(Error::NoEvent { seq: *seq, last: head })
        }
        Instant::Event(seq) => position(book, *seq, String::new()),
        Instant::Id(digits) => position(book, by_id(book, digits)?, String::new()),
        Instant::Back(count) => back::back(book, about, *count),
        Instant::Commit(name) => Ok(commit::applied_first(book, about, name)?.1),
        Instant::Mark(name) => {
            let marks = marks(book)?;
            let found = marks.iter().find(|(_, mark)| mark.name == *name);
            let (_, mark) = found.ok_or_else(|| Error::UnknownMark {
                name: name.clone(),
                near: near_names(name, marks.iter().map(|(_, mark)| mark.name.as_str())),
            })?;
            let at = position(book, mark.seq.min(head), format!("mark {name}"))?;
            Ok(At { time: mark.time, ..at })
        }
    }
}

/// Narrows a search to what was recorded from an instant on, up to another. What is before the
/// first event bounds nothing.
///
/// # Errors
/// See [`Error`].
pub fn bound(
    book: &dyn Book,
    filter: &mut Filter,
    (from, to): (Option<Instant>, Option<Instant>),
    now: Timestamp,
) -> Result<(), Error> {
    let object = filter.object.clone();
    let app = filter.app.as_ref().and_then(|app| app.parse().ok());
    let about = About { app, object };
    if let Some(from) = from {
        let after = match resolve(book, &from.or_begin(), &about, now) {
            // What happened at the very instant is wanted.
            Ok(At { seq, timed: false, .. }) => Seq(seq.0 - 1),
            Ok(At { seq, .. }) => seq,
            Err(Error::Before { .. }) => Seq::ZERO,
            Err(error) => return Err(error),
        };
        filter.after = filter.after.max(after);
    }
    if let Some(to) = to {
        let last = resolve(book, &to.or_end(), &about, now)?.seq;
        filter.before = Some(filter.before.map_or(last.next(), |before| before.min(last.next())));
    }
    Ok(())
}

/// The position after `seq`.
fn position(book: &dyn Book, seq: Seq, what: String) -> Result<At, Error> {
    let recorded = book.get(seq)?.ok_or(Error::NoEvent { seq, last: book.head() })?;
    Ok(At { seq, time: recorded.envelope.recorded, timed: false, what })
}

fn at_time(book: &dyn Book, at: Timestamp, now: Timestamp) -> Result<At, Error> {
    if at > now {
        return Err(Error::Future { at, now, last: book.head() });
    }
    let seq = book.at_time(at);
    if seq == Seq::ZERO {
        let begins = position(book, Seq(1), String::new())?.time;
        return Err(Error::Before { at, begins });
    }
    Ok(At { seq, time: at, timed: true, what: String::new() })
}

/// The names of instants that are in force, by name: the last mark of each.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn marks(book: &dyn Book) -> Result<Vec<(Seq, MarkedV1)>, ledger::Error> {
    let key = SubjectKey::topic(&Topic::Marks);
    let (mut names, mut found) = (BTreeSet::new(), Vec::new());
    for seq in book.find_before(key, book.head().next(), MARKS_MAX) {
        if let Some(recorded) = book.get(seq)?
            && let Some(Event::Marked(mark)) = &recorded.event
            && names.insert(mark.name.clone())
        {
            found.push((seq, mark.clone()));
        }
    }
    found.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    Ok(found)
}

/// The event whose id begins with the digits. Ids begin with the time in milliseconds, so only
/// what was recorded about then is looked at. Where the clock jumped back between an event and
/// those before it, it is not found by its id.
fn by_id(book: &dyn Book, digits: &str) -> Result<Seq, Error> {
    let bound = |pad: char| {
        let padded: String = digits.chars().chain(std::iter::repeat(pad)).take(12).collect();
        let ms = i64::from_str_radix(&padded, 16).unwrap_or(i64::MAX);
        ms.saturating_mul(1_000_000)
    };
    let (first, last) = (bound('0') - ID_SLACK_NS, bound('f').saturating_add(ID_SLACK_NS));
    let (mut from, to) = (book.at_time(Timestamp(first)).next(), book.at_time(Timestamp(last)));
    let mut found: Vec<(Seq, String)> = Vec::new();
    while from <= to && found.len() < CANDIDATES_MAX {
        let end = Seq((from.0 + RANGE - 1).min(to.0));
        let ids = book.range(from, end)?.into_iter();
        let ids = ids.map(|event| (event.seq(), event.envelope.id.simple().to_string()));
        found.extend(ids.filter(|(_, id)| id.starts_with(digits)));
        from = end.next();
    }
    match found.as_slice() {
        [] => Err(Error::NoId(digits.to_owned())),
        [(seq, _)] => Ok(*seq),
        several => Err(Error::AmbiguousId {
            digits: digits.to_owned(),
            candidates: several
                .iter()
                .take(CANDIDATES_MAX)
                .map(|(seq, id)| format!("{id} (#{seq})"))
                .collect(),
        }),
    }
}

/// Goes through the events that `key` finds before `before`, the last one first, until `look`
/// returns something.
pub(super) fn backwards<T>(
    book: &dyn Book,
    key: SubjectKey,
    mut before: Seq,
    mut look: impl FnMut(&Recorded) -> Option<T>,
) -> Result<Option<T>, ledger::Error> {
    let mut limit = CHUNK_FIRST;
    loop {
        let found = book.find_before(key, before, limit);
        limit = CHUNK;
        for seq in &found {
            if let Some(recorded) = book.get(*seq)?
                && let Some(found) = look(&recorded)
            {
                return Ok(Some(found));
            }
        }
        match found.last() {
            Some(last) => before = *last,
            None => return Ok(None),
        }
    }
}

/// Goes through the events that `key` finds after `after`, in order, until `look` returns
/// something.
pub(super) fn forwards<T>(
    book: &dyn Book,
    key: SubjectKey,
    mut after: Seq,
    mut look: impl FnMut(&Recorded) -> Option<T>,
) -> Result<Option<T>, ledger::Error> {
    loop {
        let found = book.find(key, after, CHUNK);
        for seq in &found {
            if let Some(recorded) = book.get(*seq)?
                && let Some(found) = look(&recorded)
            {
                return Ok(Some(found));
            }
        }
        match found.last() {
            Some(last) => after = *last,
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
