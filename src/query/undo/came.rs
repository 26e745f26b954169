//! What Git said of objects after an event, through every application that had them since.
//!
//! An object that leaves one application and enters another is not dropped: whoever renames an
//! application decides nothing about its objects.

use std::collections::{BTreeMap, BTreeSet};

use super::super::book::Book;
use super::super::instant::forwards;
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, CommitId, Digest, ObjectKey, Seq};

/// A render of a later commit, or the removal of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
struct By {
    seq: Seq,
    commit: Option<CommitId>,
}

impl By {
    fn told(&self, book: &dyn Book) -> Result<String, ledger::Error> {
        let Some(commit) = &self.commit else { return Ok(format!("; since #{}", self.seq)) };
        let (commit, by) = (commit.short(), super::author(book, commit)?);
        Ok(format!("; since commit {commit}{by}, #{}", self.seq))
    }
}

/// What Git said of an object after an event; nothing, where it was always as the event left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// The first render that has it otherwise than the event left it.
    otherwise: Option<By>,
    /// The last render that brought it in or dropped it, and whether it brought it in.
    turned: Option<(By, bool)>,
}

impl Came {
    /// What made it otherwise first, in words; empty = nothing.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn otherwise(&self, book: &dyn Book) -> Result<String, ledger::Error> {
        self.otherwise.as_ref().map_or_else(|| Ok(String::new()), |by| by.told(book))
    }

    /// What brought it in or dropped it last, in words.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn turned(&self, book: &dyn Book) -> Result<Option<String>, ledger::Error> {
        let Some((by, brought)) = &self.turned else { return Ok(None) };
        let what = if *brought { "Git has brought it in again" } else { "Git has dropped it" };
        Ok(Some(format!("{what}{}", by.told(book)?)))
    }
}

/// Whose an object was when an event made something of it, and whose it is now.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The application of then.
    pub then: &'a AppName,
    /// The application of now.
    pub now: &'a AppName,
}

/// What an application asked for from an event on.
struct Said<'a> {
    app: &'a AppName,
    by: By,
    objects: BTreeMap<ObjectKey, Digest>,
}

/// What is found out of one object, event by event.
struct Course<'a> {
    key: &'a ObjectKey,
    left: Option<Digest>,
    /// The applications that have it.
    having: BTreeSet<&'a AppName>,
    /// Who dropped it last, while nobody has it.
    gap: Option<(&'a AppName, By)>,
    came: Came,
}

/// What Git said of objects after event `after`, which left them so: the digest of what is wanted,
/// `None` = nothing.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn of_git(
    book: &dyn Book,
    whose: Whose<'_>,
    after: Seq,
    left: &BTreeMap<ObjectKey, Option<Digest>>,
) -> Result<BTreeMap<ObjectKey, Came>, ledger::Error> {
    let mut apps = BTreeSet::from([whose.then.clone(), whose.now.clone()]);
    for key in left.keys() {
        forwards(book, SubjectKey::object(key), after, |recorded| {
            if let Some(Event::IntentRecorded(body)) = &recorded.event
                && body.writes.iter().any(|write| write.key == *key)
            {
                apps.insert(body.app.clone());
            }
            None::<()>
        })?;
    }
    let mut all = Vec::new();
    for app in &apps {
        forwards(book, SubjectKey::app(app.as_str()), after, |recorded| {
            // What is defined anew under its name goes on with what it has.
            let all_of = app != whose.now || !matches!(recorded.event, Some(Event::AppRemoved(_)));
            all.extend(said(app, recorded, left).filter(|_| all_of));
            None::<()>
        })?;
    }
    all.sort_by_key(|said| said.by.seq);
    let course = |(key, left): (_, &Option<Digest>)| {
        let having = left.iter().map(|_| whose.then).collect();
        Course { key, left: *left, having, gap: None, came: Came::default() }
    };
    let mut courses: Vec<Course<'_>> = left.iter().map(course).collect();
    for said in &all {
        for course in &mut courses {
            course.go_on(book, said)?;
        }
    }
    let ended = |course: Course<'_>| (course.key.clone(), course.end(whose.now));
    Ok(courses.into_iter().map(ended).collect())
}

/// What an event says that an application asks for of `left`.
fn said<'a>(
    app: &'a AppName,
    recorded: &Recorded,
    left: &BTreeMap<ObjectKey, Option<Digest>>,
) -> Option<Said<'a>> {
    let seq = recorded.seq();
    match &recorded.event {
        Some(Event::RenderSucceeded(body)) if body.app == *app => {
            let ours = body.objects.iter().filter(|object| left.contains_key(&object.key));
            let objects = ours.map(|object| (object.key.clone(), object.digest)).collect();
            Some(Said { app, by: By { seq, commit: Some(body.revision.commit.clone()) }, objects })
        }
        Some(Event::AppRemoved(body)) if body.app == *app => {
            Some(Said { app, by: By { seq, commit: None }, objects: BTreeMap::new() })
        }
        _ => None,
    }
}

impl<'a> Course<'a> {
    fn go_on(&mut self, book: &dyn Book, said: &Said<'a>) -> Result<(), ledger::Error> {
        let Some(digest) = said.objects.get(self.key) else {
            if self.having.remove(said.app) && self.having.is_empty() {
                self.gap = Some((said.app, said.by.clone()));
            }
            return Ok(());
        };
        let entered = self.having.is_empty();
        self.having.insert(said.app);
        if let Some((former, dropped)) = self.gap.take() {
            let passed =
                former != said.app && !went_between(book, self.key, (dropped.seq, said.by.seq))?;
            if !passed {
                self.came.otherwise.get_or_insert(dropped);
                self.came.turned = Some((said.by.clone(), true));
            }
        } else if entered {
            self.came.turned = Some((said.by.clone(), true));
        }
        if Some(*digest) != self.left {
            self.came.otherwise.get_or_insert_with(|| said.by.clone());
        }
        Ok(())
    }

    /// What came of it. What another application than that of `now` dropped last has passed on.
    fn end(self, now: &AppName) -> Came {
        let Self { gap, mut came, .. } = self;
        if let Some((_, dropped)) = gap.filter(|(former, _)| *former == now) {
            came.otherwise.get_or_insert_with(|| dropped.clone());
            came.turned = Some((dropped, false));
        }
        came
    }
}

/// Whether the object went between two events: what another application has of its name is
/// another one.
fn went_between(
    book: &dyn Book,
    key: &ObjectKey,
    (after, before): (Seq, Seq),
) -> Result<bool, ledger::Error> {
    let found = forwards(book, SubjectKey::object(key), after, |recorded| match &recorded.event {
        _ if recorded.seq() > before => Some(false),
        Some(Event::ObjectGone(body)) if body.key == *key => Some(true),
        _ => None,
    })?;
    Ok(found == Some(true))
}
