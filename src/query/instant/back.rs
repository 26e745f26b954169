//! Right before the last changes of a subject: `@-`.
//!
//! Of an object what it is to be counts: its status, and what a controller notes of it there, is
//! none. Where greffier wrote it, the change begins with what asks for the write: right before it
//! something else was wanted, and there.

use std::cell::OnceCell;

use serde_json::Value;

use super::super::book::{Book, as_intent};
use super::super::object_at::last_state;
use super::{About, At, Error, backwards, position};
use crate::ledger::event::{Event, HoldOf, Learned, Verb, WriteResult};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{AppName, BlobAddr, CommitId, Digest, ObjectKey, Seq};

/// How many intents before a change are looked at for the one that made it.
const INTENTS_MAX: usize = 4;
/// Bound: how many events between what asks for a write and its end are looked at.
const BETWEEN_MAX: usize = 256;
/// What the controller of Deployments notes of its own work.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Bound: how many events of a subject are looked at for its changes.
const EVENTS_MAX: usize = 20_000;

/// Right before the last changes of what is asked about.
pub(super) fn back(book: &dyn Book, about: &About, count: u32) -> Result<At, Error> {
    back_within(book, about, count, EVENTS_MAX)
}

fn back_within(book: &dyn Book, about: &About, count: u32, most: usize) -> Result<At, Error> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let (subject, found) = match about {
        About { object: Some(key), .. } => {
            let found = match change_of_object(book, key, (wanted, most))? {
                Looked::Found(seq) => Looked::Found(begins(book, key, seq)?),
                other => other,
            };
            (key.to_string(), found)
        }
        About { app: Some(app), .. } => {
            (format!("application {app}"), change_of_app(book, app, (wanted, most))?)
        }
        _ => {
            let head = book.head().0;
            let found = head.checked_sub(u64::from(count)).map(|seq| Seq(seq + 1));
            let has = usize::try_from(head).unwrap_or(usize::MAX);
            ("the ledger".to_owned(), found.map_or(Looked::All { has }, Looked::Found))
        }
    };
    match found {
        Looked::Found(change) if change.0 > 1 => {
            position(book, Seq(change.0 - 1), format!("right before #{change}"))
        }
        // Nothing is before the very first event.
        Looked::Found(_) => Err(Error::NoChange { subject, has: wanted.saturating_sub(1) }),
        Looked::All { has } => Err(Error::NoChange { subject, has }),
        Looked::Enough { has } => Err(Error::NoRecentChange { subject, has, looked: most }),
    }
}

/// What came of looking for a change.
enum Looked {
    /// The event that made it.
    Found(Seq),
    /// There are only so many.
    All { has: usize },
    /// There are only so many among the events that were looked at.
    Enough { has: usize },
}

fn change_of_app(
    book: &dyn Book,
    app: &AppName,
    (wanted, most): (usize, usize),
) -> Result<Looked, ledger::Error> {
    let (mut changes, mut looked) = (Changes::default(), 0);
    let found = backwards(book, SubjectKey::app(app.as_str()), book.head().next(), |recorded| {
        looked += 1;
        changes.note(recorded, app);
        match changes.sure.get(wanted.saturating_sub(1)) {
            Some(seq) if wanted > 0 => Some(Looked::Found(*seq)),
            _ => (looked >= most).then_some(Looked::Enough { has: changes.sure.len() }),
        }
    })?;
    changes.settle();
    let found = found.or_else(|| {
        let last = changes.sure.get(wanted.checked_sub(1)?)?;
        Some(Looked::Found(*last))
    });
    Ok(found.unwrap_or(Looked::All { has: changes.sure.len() }))
}

/// The changes of an application, the newest first.
#[derive(Default)]
struct Changes {
    sure: Vec<Seq>,
    /// Those that may be part of an earlier one: a commit that changes the definition as well is
    /// rendered with the former definition first, and that is never applied.
    open: Vec<Seq>,
    /// The render among them, with its commits and its definition.
    render: Option<(Vec<CommitId>, Seq)>,
}

impl Changes {
    fn note(&mut self, recorded: &Recorded, app: &AppName) {
        let Some(event) = &recorded.event else { return };
        if let Event::RenderSucceeded(body) = event
            && body.app == *app
        {
            let commits: Vec<CommitId> =
                body.revisions.iter().map(|revision| revision.commit.clone()).collect();
            let render = (commits, body.declared);
            let of_former = self
                .render
                .as_ref()
                .is_some_and(|(commits, declared)| *commits == render.0 && *declared != render.1);
            if of_former {
                self.open.clear();
            } else {
                self.settle();
            }
            (self.open, self.render) = (vec![recorded.seq()], Some(render));
        } else if changes_app(recorded, app) {
            let defines = matches!(event, Event::AppDeclared(_)) && self.render.is_some();
            if !defines {
                self.settle();
            }
            self.open.push(recorded.seq());
        } else if self.render.as_ref().is_some_and(|(commits, _)| acts(event, app, commits)) {
            self.settle();
        }
    }

    /// What was in force before the open ones was acted on.
    fn settle(&mut self) {
        self.sure.append(&mut self.open);
        self.render = None;
    }
}

/// Whether something was done of these commits.
fn acts(event: &Event, app: &AppName, commits: &[CommitId]) -> bool {
    let of = |commit: Option<&CommitId>| commit.is_some_and(|commit| commits.contains(commit));
    match event {
        Event::IntentRecorded(body) => body.app == *app && of(body.commit.as_ref()),
        Event::SyncFinished(body) => body.app == *app && of(Some(&body.commit)),
        _ => false,
    }
}

/// Whether the event changes what an application is to be.
fn changes_app(recorded: &Recorded, app: &AppName) -> bool {
    match &recorded.event {
        Some(Event::AppDeclared(body)) => body.app == *app,
        Some(Event::AppRemoved(body)) => body.app == *app,
        Some(Event::RenderSucceeded(body)) => body.app == *app,
        Some(Event::RevisionAdvanced(body)) => body.app == *app,
        Some(Event::AppHeld(body)) => body.app == *app,
        Some(Event::AppHoldEnded(body)) => body.app == *app,
        _ => false,
    }
}

/// What an observation shows of an object.
struct Shown {
    digest: Digest,
    object: BlobAddr,
    deleting: bool,
    uid: String,
    /// What the object is to be, once it was read.
    content: OnceCell<Value>,
}

impl Shown {
    /// What an event says of an object; `None` = nothing.
    fn of(recorded: &Recorded) -> Option<Option<Self>> {
        match recorded.event.as_ref()? {
            Event::ObjectObserved(body) => Some(Some(Self {
                digest: body.digest,
                object: body.object,
                deleting: body.deleting,
                uid: body.uid.clone(),
                content: OnceCell::new(),
            })),
            Event::ObjectGone(_) => Some(None),
            _ => None,
        }
    }

    fn content(&self, book: &dyn Book) -> &Value {
        self.content.get_or_init(|| content(book, self.object))
    }

    fn is_like(&self, other: &Self, book: &dyn Book) -> bool {
        (self.deleting, &self.uid) == (other.deleting, &other.uid)
            && (self.digest == other.digest || self.content(book) == other.content(book))
    }
}

/// Whether two states of an object are the same, apart from its status.
fn same(book: &dyn Book, first: Option<&Shown>, second: Option<&Shown>) -> bool {
    match (first, second) {
        (Some(first), Some(second)) => first.is_like(second, book),
        (first, second) => first.is_none() && second.is_none(),
    }
}

/// What an object is to be. One that cannot be read is like itself only.
fn content(book: &dyn Book, addr: BlobAddr) -> Value {
    let stored = book.blob(addr).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let object = stored.and_then(|mut stored: Value| stored.get_mut("object").map(Value::take));
    let Some(mut object) = object else { return Value::String(addr.to_string()) };
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let left = annotations.map(|annotations| {
            annotations.remove(REVISION);
            annotations.len()
        });
        if left == Some(0) {
            metadata.remove("annotations");
        }
    }
    object
}

/// The `wanted`-last event with which an object became another than it was. What changed its
/// status only is none.
fn change_of_object(
    book: &dyn Book,
    key: &ObjectKey,
    (wanted, most): (usize, usize),
) -> Result<Looked, ledger::Error> {
    let (mut has, mut looked, mut later) = (0, 0, None::<(Seq, Option<Shown>)>);
    let found = backwards(book, SubjectKey::object(key), book.head().next(), |recorded| {
        looked += 1;
        let enough = (looked >= most).then_some(Looked::Enough { has });
        let Some(state) = Shown::of(recorded) else { return enough };
        let change =
            later.as_ref().filter(|(_, known)| !same(book, known.as_ref(), state.as_ref()));
        let change = change.map(|(seq, _)| *seq);
        later = Some((recorded.seq(), state));
        has += usize::from(change.is_some());
        match change.filter(|_| has == wanted) {
            Some(seq) => Some(Looked::Found(seq)),
            None => enough.map(|_| Looked::Enough { has }),
        }
    })?;
    Ok(match (found, later) {
        (Some(found), _) => found,
        // Its first appearance is a change, too.
        (None, Some((first, Some(_)))) if has + 1 == wanted => Looked::Found(first),
        (None, Some((_, Some(_)))) => Looked::All { has: has + 1 },
        (None, _) => Looked::All { has },
    })
}

/// The event with which a change began that the watch told at `seq`.
fn begins(book: &dyn Book, key: &ObjectKey, seq: Seq) -> Result<Seq, ledger::Error> {
    let known = known_since(book, key, seq)?;
    let asked = match own(book, key, seq)? {
        Some((intent, app)) => asked_for(book, key, &app, (intent, seq))?,
        None => None,
    };
    Ok(asked.unwrap_or(known))
}

/// The intent of greffier that made a change, where Git or a person asked for it.
fn own(
    book: &dyn Book,
    key: &ObjectKey,
    seq: Seq,
) -> Result<Option<(Seq, AppName)>, ledger::Error> {
    let Some(told) = book.get(seq)? else { return Ok(None) };
    let made = |result: &WriteResult| match (&told.event, result) {
        (Some(Event::ObjectObserved(body)), WriteResult::Applied(applied)) => {
            applied.changed
                && (&applied.uid, &applied.resource_version) == (&body.uid, &body.resource_version)
        }
        (Some(Event::ObjectObserved(body)), WriteResult::Deleted) => body.deleting,
        (Some(Event::ObjectGone(_)), WriteResult::Deleted) => true,
        _ => false,
    };
    let by_wish = |verb: Verb| {
        matches!(verb, Verb::Create | Verb::Update | Verb::Adopt | Verb::Recreate | Verb::Prune)
    };
    let written = SubjectKey::topic(&Topic::Written(key.clone()));
    for seq in book.find_before(written, seq, INTENTS_MAX) {
        let Some(recorded) = book.get(seq)? else { continue };
        let Some(intent) = as_intent(&recorded) else { continue };
        for end in book.ends_of(seq)? {
            let mut ends = Ends::in_event(&end).into_iter().flat_map(|e| e.about(intent, key));
            if let Some((write, _)) = ends.find(|(_, result)| made(result)) {
                return Ok(by_wish(write.verb).then(|| (seq, intent.app.clone())));
            }
        }
    }
    Ok(None)
}

/// What asks for a write: the first of the renders that want the object as the last one does, or
/// the decision that came since. `None` where the object was another in between.
fn asked_for(
    book: &dyn Book,
    key: &ObjectKey,
    app: &AppName,
    (intent, told): (Seq, Seq),
) -> Result<Option<Seq>, ledger::Error> {
    let (mut asked, mut wanted, mut looked) = (None, None::<Option<Digest>>, 0);
    backwards(book, SubjectKey::app(app.as_str()), intent, |recorded| {
        looked += 1;
        match &recorded.event {
            Some(Event::RenderSucceeded(body)) if body.app == *app => {
                let of = body.objects.iter().find(|object| object.key == *key);
                let of = of.map(|object| object.digest);
                if *wanted.get_or_insert(of) != of {
                    return Some(());
                }
                asked = Some(recorded.seq());
            }
            Some(event) if decides(event, app, key) => {
                asked.get_or_insert(recorded.seq());
                return Some(());
            }
            _ => {}
        }
        (looked >= EVENTS_MAX).then_some(())
    })?;
    let Some(asked) = asked else { return Ok(None) };
    let is_one = |first: Option<&Shown>, second: Option<&Shown>| same(book, first, second);
    let last = |before| backwards(book, SubjectKey::object(key), before, Shown::of);
    let was = last(asked)?.flatten();
    for seq in book.find(SubjectKey::object(key), asked, BETWEEN_MAX) {
        if seq >= told {
            return Ok(Some(asked));
        }
        let state = book.get(seq)?.as_deref().and_then(Shown::of);
        if state.is_some_and(|state| !is_one(was.as_ref(), state.as_ref())) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Whether an event is a decision about what is wanted of an object.
fn decides(event: &Event, app: &AppName, key: &ObjectKey) -> bool {
    match event {
        Event::AppDeclared(body) => body.app == *app,
        Event::AppRemoved(body) => body.app == *app,
        Event::AppHeld(body) => body.app == *app,
        Event::AppHoldEnded(body) => body.app == *app,
        Event::HoldBegun(body) => body.of.iter().map(HoldOf::key).any(|of| of == key),
        Event::HoldEnded(body) => body.objects.contains(key),
        _ => false,
    }
}

/// Since which event the state is known that the watch told at `seq`: the answer to greffier's
/// own write comes before.
fn known_since(book: &dyn Book, key: &ObjectKey, seq: Seq) -> Result<Seq, ledger::Error> {
    let state = |seq| last_state(book, key, seq);
    let (Some(told), Some(before)) = (state(seq)?, state(Seq(seq.0 - 1))?) else { return Ok(seq) };
    let same = told.live.is_some()
        && before.learned == Learned::Answered
        && (&told.uid, &told.resource_version) == (&before.uid, &before.resource_version);
    Ok(if same { before.seq } else { seq })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::fixture::{Story, key, name};

    /// Goal: a subject of very many events is not read from end to end, and what was not looked
    /// at is not said to be no change.
    #[test]
    fn a_long_history_is_looked_through_up_to_a_bound() {
        let mut story = Story::told();
        let set = key("ReplicaSet.apps/prod/web-1");
        let same = serde_json::json!({"kind": "ReplicaSet"});
        for _ in 0..5 {
            story.observed(&set, &same, "rs-1", "");
        }
        let object = About::object(&set);
        let back = |about: &About, count, most| {
            let found = back_within(&story.ledger, about, count, most);
            found.map(|at| at.seq.0).map_err(|error| error.to_string())
        };
        let bounded = back(&object, 1, 4).unwrap_err();
        assert!(bounded.contains("changed 0 times among its last 4 events"), "{bounded}");
        assert!(back(&object, 1, 100).is_ok());
        let app = About { app: Some(name("web")), object: None };
        let bounded = back(&app, 1, 1).unwrap_err();
        assert!(bounded.contains("among its last 1 events"), "{bounded}");
        assert!(back(&app, 1, 100).is_ok());
        let all = back(&app, 99, 1_000).unwrap_err();
        assert!(all.contains("only"), "{all}");
    }
}
