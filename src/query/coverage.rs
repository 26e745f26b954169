//! What was not watched, and when.
//!
//! An answer about the past is worth as much as the watching was whole: while greffier was not
//! running, while a watch was interrupted, or before a kind was listed, an object may have come
//! and gone, or been something else, without anybody seeing it. [`Watching`] is a pure fold over
//! the events that tell of this; [`read`] gives it what the ledger has about a span.
//!
//! Of a time in which the API server could not be reached nothing is lost by itself: the watch
//! goes on from where it was, and where it cannot, a gap is recorded. What happened is then only
//! seen late ([`Unwatched::lossy`] is false).

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::instant::backwards;
use crate::ledger;
use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::model::{GroupKind, ObjectKey, Seq, Timestamp};

/// How many positions are looked up at a time.
const CHUNK: usize = 256;
/// How many kinds a sentence names before it counts the rest.
const KINDS_NAMED_MAX: usize = 5;

/// A place in history: after an event, at a time. Ordered so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The last event.
    pub seq: Seq,
    /// The time: that of the event, or a later one before the next event.
    pub time: Timestamp,
}

/// Why something was not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The ledger begins later, or greffier had not listed it yet.
    Begins,
    /// greffier was stopped.
    Stopped,
    /// greffier did not run and had not been stopped in order.
    NotRunning,
    /// Nothing could be recorded.
    ReadOnly,
    /// The watch was interrupted.
    Gap,
    /// The API server refused to show it.
    Refused,
    /// It is excluded from watching.
    Excluded,
    /// It was another cluster.
    OtherCluster,
    /// The cluster was restored from a backup.
    SetBack,
    /// The API server could not be reached.
    Lost,
}

impl Cause {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Stopped => "stopped",
            Self::NotRunning => "not_running",
            Self::ReadOnly => "read_only",
            Self::Gap => "gap",
            Self::Refused => "refused",
            Self::Excluded => "excluded",
            Self::OtherCluster => "other_cluster",
            Self::SetBack => "set_back",
            Self::Lost => "lost",
        }
    }
}

/// A span in which something was not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwatched {
    /// Since when.
    pub from: Moment,
    /// Until when everything was seen again; `None` = it still is not, as far as is known.
    pub to: Option<Moment>,
    /// Which kinds; empty = everything that was asked about.
    pub kinds: Vec<GroupKind>,
    /// Why.
    pub cause: Cause,
    /// Why in particular; empty = there is no more to say.
    pub why: String,
    /// Whether something may have happened that nobody will ever tell of.
    pub lossy: bool,
}

impl Unwatched {
    /// Whether `moment` lies in it. At its very ends everything was known.
    #[must_use]
    pub fn contains(&self, moment: Moment) -> bool {
        self.from < moment && self.to.is_none_or(|to| moment < to)
    }

    fn overlaps(&self, from: Moment, to: Moment) -> bool {
        self.from < to && self.to.is_none_or(|end| from < end)
    }

    /// What it is, in words, without its times.
    #[must_use]
    pub fn what(&self) -> String {
        let why = |words: &str| match self.why.as_str() {
            "" => words.to_owned(),
            why => format!("{words}: {why}"),
        };
        let what = match self.cause {
            Cause::Begins => "it was not yet listed".to_owned(),
            Cause::Stopped => why("greffier was stopped"),
            Cause::NotRunning => "greffier was not running, as far as its ledger tells".to_owned(),
            Cause::ReadOnly => why("nothing could be recorded"),
            Cause::Gap => why("the watch was interrupted"),
            Cause::Refused => why("the API server refused to show it"),
            Cause::Excluded => "it is excluded from watching".to_owned(),
            Cause::OtherCluster => "it was another cluster".to_owned(),
            Cause::SetBack => "the cluster was restored from a backup".to_owned(),
            Cause::Lost => why("the API server could not be reached"),
        };
        match self.kinds.len() {
            0 => what,
            n => {
                let kinds = self.kinds.iter().map(ToString::to_string);
                let named: Vec<String> = kinds.take(KINDS_NAMED_MAX).collect();
                let more = match n.saturating_sub(KINDS_NAMED_MAX) {
                    0 => String::new(),
                    more => format!(" and {more} more kinds"),
                };
                format!("{}{more}: {what}", named.join(", "))
            }
        }
    }
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is served.
    All,
    /// These kinds.
    Kinds(Vec<GroupKind>),
    /// One object, which may be watched by name where its kind is not.
    Object(ObjectKey),
}

impl Scope {
    fn kinds(&self) -> Vec<GroupKind> {
        match self {
            Self::All => Vec::new(),
            Self::Kinds(kinds) => kinds.clone(),
            Self::Object(key) => vec![key.group_kind()],
        }
    }
}

/// Since when and why a kind is not watched.
#[derive(Debug, Clone)]
struct Blind {
    from: Moment,
    cause: Cause,
    why: String,
}

/// The fold: give it the events in order, then take what it found.
#[derive(Debug)]
pub struct Watching {
    scope: Scope,
    kinds: BTreeMap<GroupKind, Option<Blind>>,
    /// Since when nothing is watched at all: then what is served later was not either.
    down: Option<Blind>,
    lost: Option<Blind>,
    cluster: String,
    /// Whether the object that is asked about is watched by its name.
    named: bool,
    found: Vec<(GroupKind, Unwatched)>,
    reach: Vec<Unwatched>,
}

impl Watching {
    /// Begins with nothing listed.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let begins = Blind { from: Moment::default(), cause: Cause::Begins, why: String::new() };
        let kinds = scope.kinds().into_iter().map(|kind| (kind, Some(begins.clone()))).collect();
        Self {
            scope,
            kinds,
            down: Some(begins),
            lost: None,
            cluster: String::new(),
            named: false,
            found: Vec::new(),
            reach: Vec::new(),
        }
    }

    /// Begins with everything watched.
    #[must_use]
    pub fn whole(scope: Scope) -> Self {
        let kinds = scope.kinds().into_iter().map(|kind| (kind, None)).collect();
        Self { kinds, down: None, ..Self::new(scope) }
    }

    /// Takes the next event. `before` is the last thing that was recorded before greffier
    /// stopped or started, where the event says that it did.
    pub fn push(&mut self, at: Moment, before: Moment, event: &Event) {
        match event {
            Event::DaemonStopped(body) => {
                let full = body.reason.starts_with("read-only");
                let (from, cause) =
                    if full { (before, Cause::ReadOnly) } else { (at, Cause::Stopped) };
                self.all_blind(&Blind { from, cause, why: body.reason.clone() });
                self.end_lost(at);
            }
            Event::DaemonStarted(_) => {
                let (from, cause) = (before, Cause::NotRunning);
                self.all_blind(&Blind { from, cause, why: String::new() });
                self.end_lost(at);
            }
            Event::ClusterIdentified(body) => self.answers(at, &body.uid),
            Event::ClusterReplaced(body) => self.answers(at, &body.uid),
            Event::ClusterReverted(body) => {
                let (from, cause, why) = (at, Cause::SetBack, String::new());
                self.all_blind(&Blind { from, cause, why });
                self.cluster.clone_from(&body.uid);
            }
            Event::ClusterLost(body) => {
                let (from, cause, why) = (at, Cause::Lost, body.error.clone());
                self.lost.get_or_insert(Blind { from, cause, why });
            }
            Event::ClusterFound(_) => self.end_lost(at),
            Event::KindsServed(body) => {
                let served = body.kinds.iter().filter(|served| served.watchable);
                let served: BTreeMap<_, _> = served.map(|s| (&s.kind, s.watched)).collect();
                self.served(at, &served, &body.broken_groups);
            }
            Event::KindListed(body) => {
                let whole = body.named.is_empty();
                let named = match &self.scope {
                    Scope::Object(key) => body.named.contains(key),
                    _ => false,
                };
                self.named |= named;
                if whole || named {
                    self.seen(&body.kind, at);
                }
            }
            Event::WatchGap(body) => {
                let cause = if body.refused { Cause::Refused } else { Cause::Gap };
                let blind = Blind { from: at, cause, why: body.reason.clone() };
                if let Some(kind) = self.kinds.get_mut(&body.kind) {
                    match kind {
                        Some(known) if body.refused => {
                            (known.cause, known.why) = (cause, blind.why);
                        }
                        Some(_) => {}
                        None => *kind = Some(blind),
                    }
                }
            }
            _ => {}
        }
    }

    /// Nothing that was seen of one cluster is of another.
    fn answers(&mut self, at: Moment, uid: &String) {
        if !self.cluster.is_empty() && self.cluster != *uid {
            let (from, cause, why) = (at, Cause::OtherCluster, String::new());
            self.all_blind(&Blind { from, cause, why });
        }
        self.cluster.clone_from(uid);
    }

    fn all_blind(&mut self, blind: &Blind) {
        for kind in self.kinds.values_mut().filter(|kind| kind.is_none()) {
            *kind = Some(blind.clone());
        }
        self.down.get_or_insert_with(|| blind.clone());
        self.named = false;
    }

    fn end_lost(&mut self, at: Moment) {
        if let Some(blind) = self.lost.take() {
            self.reach.push(unwatched(blind, Some(at), false));
        }
    }

    fn served(&mut self, at: Moment, served: &BTreeMap<&GroupKind, bool>, broken: &[String]) {
        if self.scope == Scope::All {
            let begins = Blind { from: at, cause: Cause::Begins, why: String::new() };
            // What is told of for the first time since nothing was watched was not either.
            let begins = self.down.as_ref().unwrap_or(&begins);
            for kind in served.keys().filter(|kind| !broken.contains(&kind.group)) {
                self.kinds.entry((*kind).clone()).or_insert_with(|| Some(begins.clone()));
            }
        }
        self.down = None;
        let mut gone = Vec::new();
        for (kind, state) in &mut self.kinds {
            match (served.get(kind), state) {
                (Some(false), Some(blind)) => blind.cause = Cause::Excluded,
                (Some(false), state @ None) if !self.named => {
                    let (cause, why) = (Cause::Excluded, String::new());
                    *state = Some(Blind { from: at, cause, why });
                }
                (Some(true), Some(blind)) if blind.cause == Cause::Excluded => {
                    blind.cause = Cause::Begins;
                }
                (None, _) if !broken.contains(&kind.group) => gone.push(kind.clone()),
                _ => {}
            }
        }
        for kind in gone {
            // Of a kind that is not served nothing can happen.
            self.seen(&kind, at);
            if self.scope == Scope::All {
                self.kinds.remove(&kind);
            }
        }
    }

    fn seen(&mut self, kind: &GroupKind, at: Moment) {
        let blind = self.kinds.get_mut(kind).and_then(Option::take);
        if let Some(blind) = blind {
            self.found.push((kind.clone(), unwatched(blind, Some(at), true)));
        }
    }

    /// Whether something is not watched that was not at `moment` either.
    #[must_use]
    pub fn is_blind_since(&self, moment: Moment) -> bool {
        let since = |blind: &Blind| blind.from < moment;
        let excluded = |blind: &Blind| blind.cause == Cause::Excluded;
        self.down.as_ref().is_some_and(since)
            || self.lost.as_ref().is_some_and(since)
            || self.kinds.values().flatten().any(|blind| since(blind) && !excluded(blind))
    }

    /// What was not watched between the two moments, in order; kinds that share a reason are told
    /// together.
    #[must_use]
    pub fn between(mut self, from: Moment, to: Moment) -> Vec<Unwatched> {
        let kinds = std::mem::take(&mut self.kinds);
        let count = kinds.len();
        for (kind, blind) in kinds {
            if let Some(blind) = blind {
                self.found.push((kind, unwatched(blind, None, true)));
            }
        }
        if count == 0
            && let Some(down) = self.down.take()
        {
            self.reach.push(unwatched(down, None, true));
        }
        if let Some(lost) = self.lost.take() {
            self.reach.push(unwatched(lost, None, false));
        }
        let mut grouped: BTreeMap<(Moment, Cause, String), Unwatched> = BTreeMap::new();
        for (kind, span) in self.found {
            let group = (span.from, span.cause, span.why.clone());
            let known = grouped.entry(group).or_insert_with(|| span.clone());
            // The latest end is that of all.
            known.to = known.to.zip(span.to).map(|(a, b)| a.max(b));
            known.kinds.push(kind);
        }
        let asked = self.scope.kinds().len();
        let mut all: Vec<Unwatched> = grouped.into_values().chain(self.reach).collect();
        for span in &mut all {
            span.kinds.sort();
            span.kinds.dedup();
            let everything = match self.scope {
                Scope::All => count > 1 && span.kinds.len() >= count,
                _ => span.kinds.len() >= asked,
            };
            if everything {
                span.kinds.clear();
            }
        }
        all.retain(|span| span.overlaps(from, to));
        all.sort_by_key(|span| (span.from, span.cause));
        all
    }
}

fn unwatched(blind: Blind, to: Option<Moment>, lossy: bool) -> Unwatched {
    let Blind { from, cause, why } = blind;
    Unwatched { from, to, kinds: Vec::new(), cause, why, lossy }
}

/// The events of a topic, in order.
struct Cursor<'a> {
    book: &'a dyn Book,
    key: SubjectKey,
    after: Seq,
    ready: VecDeque<Seq>,
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn new(book: &'a dyn Book, topic: &Topic, after: Seq) -> Self {
        let key = SubjectKey::topic(topic);
        Self { book, key, after, ready: VecDeque::new(), ended: false }
    }

    fn peek(&mut self) -> Option<Seq> {
        if self.ready.is_empty() && !self.ended {
            let found = self.book.find(self.key, self.after, CHUNK);
            self.ended = found.len() < CHUNK;
            self.after = found.last().copied().unwrap_or(self.after);
            self.ready.extend(found);
        }
        self.ready.front().copied()
    }
}

/// What was not watched of `scope` between two moments, as far as `book` knows.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn read(
    book: &dyn Book,
    scope: &Scope,
    from: Moment,
    to: Moment,
) -> Result<Vec<Unwatched>, ledger::Error> {
    let anchor = match known_since(book, scope, from.seq)? {
        Some(seq) => anchor(book, seq)?,
        None => None,
    };
    let mut watching = match anchor {
        Some(_) => Watching::whole(scope.clone()),
        None => Watching::new(scope.clone()),
    };
    let after = anchor.map_or(Seq::ZERO, |anchor| Seq(anchor.0 - 1));
    let mut topics = match scope {
        Scope::All => vec![Topic::Kinds],
        scope => scope.kinds().into_iter().map(Topic::Kind).collect(),
    };
    topics.push(Topic::Watching);
    let mut cursors: Vec<Cursor<'_>> =
        topics.iter().map(|topic| Cursor::new(book, topic, after)).collect();
    loop {
        let next = cursors
            .iter_mut()
            .enumerate()
            .filter_map(|(index, cursor)| Some((cursor.peek()?, index)))
            .min();
        let Some((seq, index)) = next else { break };
        let later = seq > to.seq && !watching.is_blind_since(to);
        cursors[index].ready.pop_front();
        let Some(recorded) = book.get(seq)? else { continue };
        let Some(event) = &recorded.event else { continue };
        let at = Moment { seq, time: recorded.envelope.recorded };
        let bounded = matches!(event, Event::DaemonStarted(_) | Event::DaemonStopped(_));
        if later && !bounded {
            break;
        }
        let before = if bounded { before(book, seq)? } else { at };
        // That greffier was not running is known only when it starts again.
        if later && before >= to {
            break;
        }
        watching.push(at, before, event);
    }
    Ok(watching.between(from, to))
}

/// The oldest of the newest lists of each kind of `scope` up to `seq`: what came before it says
/// nothing about `seq` any more. `None` = of some kind there is no list.
fn known_since(book: &dyn Book, scope: &Scope, seq: Seq) -> Result<Option<Seq>, ledger::Error> {
    let kinds = match scope {
        Scope::All => {
            let key = SubjectKey::topic(&Topic::Watching);
            let served = backwards(book, key, seq.next(), |recorded| match &recorded.event {
                Some(Event::KindsServed(body)) => {
                    let watched = body.kinds.iter().filter(|kind| kind.watchable && kind.watched);
                    Some(watched.map(|served| served.kind.clone()).collect())
                }
                _ => None,
            });
            served?.unwrap_or_default()
        }
        scope => scope.kinds(),
    };
    let mut since = None::<Seq>;
    for kind in kinds {
        let key = SubjectKey::topic(&Topic::Kind(kind));
        let listed = backwards(book, key, seq.next(), |recorded| match &recorded.event {
            Some(Event::KindListed(body)) => {
                let named = matches!(scope, Scope::Object(key) if body.named.contains(key));
                (body.named.is_empty() || named).then(|| recorded.seq())
            }
            _ => None,
        })?;
        let Some(listed) = listed else { return Ok(None) };
        since = Some(since.map_or(listed, |since| since.min(listed)));
    }
    Ok(since)
}

/// From where on what was watched at `seq` is told: the last stop before the last start.
fn anchor(book: &dyn Book, seq: Seq) -> Result<Option<Seq>, ledger::Error> {
    let key = SubjectKey::topic(&Topic::Watching);
    let (mut before, mut started) = (seq.next(), None);
    loop {
        let found = book.find_before(key, before, CHUNK);
        for seq in &found {
            let recorded = book.get(*seq)?;
            match recorded.as_ref().and_then(|recorded| recorded.event.as_ref()) {
                Some(Event::DaemonStopped(_)) if started.is_some() => return Ok(Some(*seq)),
                Some(_) if started.is_some() => return Ok(started),
                Some(Event::DaemonStarted(_)) => started = Some(*seq),
                _ => {}
            }
        }
        match found.last() {
            Some(last) => before = *last,
            // The very first start: what came before it is the beginning.
            None => return Ok(None),
        }
    }
}

/// The last thing that was recorded before `seq`, apart from what opening the ledger records.
fn before(book: &dyn Book, seq: Seq) -> Result<Moment, ledger::Error> {
    let mut at = seq.0;
    while at > 1 {
        at -= 1;
        let Some(recorded) = book.get(Seq(at))? else { continue };
        let opening = matches!(
            recorded.event,
            Some(Event::LedgerRepaired(_) | Event::LedgerCreated(_) | Event::DaemonStopped(_))
        );
        if !opening {
            return Ok(Moment { seq: Seq(at), time: recorded.envelope.recorded });
        }
    }
    Ok(Moment::default())
}

#[cfg(test)]
mod tests;
