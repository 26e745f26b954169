//! Why something is as it is: what is written or not and why, what comes next, what a person can
//! do, and how it came to this.
//!
//! The reasons are those of the plan ([`crate::plan::plan`]), the same that the daemon follows,
//! so the answer cannot differ from what the daemon does. Facts of the world say only which
//! command would help; what happened is read from the ledger ([`history`]).
//!
//! [`gather`] works under the world's lock and does no I/O; [`Pending::read`] reads the ledger
//! afterwards. Texts are returned as they are: whoever prints them makes them safe.

mod advice;
mod chain;
mod event;
mod held;
mod history;
mod named;
mod object;
mod reasons;
mod removed;
mod roots;
mod subject;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use held::HELD_AT;

use super::apps::AppView;
use super::blame::{self, Mirrored};
use super::book::Book;
use super::text::{clip, list};
use crate::ledger;
use crate::model::{AppName, CommitId, ObjectKey, Seq};
use crate::plan::{Compared, Limits};
use crate::replay::World;

pub use chain::{BEFORE, ChainLink, Claim, RECORDED};
pub(super) use history::describe_commit;
pub use named::{Naming, kind_named, named_of, naming};
pub(crate) use subject::short_names;
pub use subject::{Found, Subject, SubjectError};
pub(super) use subject::{is_excluded, near};

/// Bound: how many objects of an application are told one by one; the reasons count them all.
const OBJECTS_MAX: usize = 100;
/// How many objects a reason names.
const NAMED_MAX: usize = 3;
/// How long a headline's reason may be, in characters.
const HEADLINE_CHARS_MAX: usize = 200;
/// How long a note in a table may be, in characters.
const NOTE_CHARS_MAX: usize = 100;

/// The answer. It goes over the wire as it is: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The application's name, the object's key, or the event (`#1234`).
    pub subject: String,
    /// The application; empty when none wants or owns the object.
    pub app: String,
    /// The last event that the answer knows of.
    pub seq: u64,
    /// The answer in one line.
    pub headline: String,
    /// Whether it is as Git says; empty when no application wants it.
    pub sync: String,
    /// Its health; empty when it is not in the cluster and nothing wants it.
    pub health: String,
    /// What the health rests on.
    pub health_message: String,
    /// What Git says, and who said so.
    pub git: Option<Commit>,
    /// Why it is so, the most important reason first.
    pub reasons: Vec<Reason>,
    /// The objects about which there is something to say, at most 100.
    pub objects: Vec<ObjectWhy>,
    /// What happens next.
    pub next: Vec<Next>,
    /// What a person can do.
    pub can_do: Vec<Advice>,
    /// How it came to this, newest first: the last thing that happened and what caused it.
    pub history: Vec<Link>,
    /// From what is asked about back to whoever brought it about: each link is followed by what
    /// it follows from, one deeper.
    #[serde(default)]
    pub chain: Vec<ChainLink>,
    /// Of an event: what it directly brought about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<ChainLink>,
    /// What was cut off, because the work for an answer is bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<String>,
}

/// What Git says, and who said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The repository.
    pub repo: String,
    /// Branch, tag or commit as the Application says.
    pub revision: String,
    /// The commit.
    pub commit: String,
    /// The first line of its message; empty when the commit is not in the ledger.
    pub subject: String,
    /// Who wrote it, as it states.
    pub author: String,
    /// When, as it states.
    pub time: String,
}

/// A reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub text: String,
    /// The event that brought it about, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// Why one object is as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectWhy {
    /// Its key.
    pub object: String,
    /// What greffier does about it: a stable word.
    pub doing: String,
    /// Whether it is as Git says.
    pub sync: String,
    /// Its health.
    pub health: String,
    /// What the health rests on.
    pub health_message: String,
    /// Why, and why nothing is done where nothing is done.
    pub why: String,
    /// What happens to it next.
    pub next: String,
    /// When that is, where it is a matter of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What others changed, and who, where something is changed now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// The last write that was about to be made to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Link>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Link>,
}

/// What others changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The event.
    pub seq: u64,
    /// The fields: path, what it was, what it is.
    pub fields: Vec<String>,
    /// The field managers, as far as known: claims, not proof.
    pub by: Vec<String>,
    /// By whom it is, in words, as the log says it.
    #[serde(default)]
    pub whom: String,
}

/// What happens next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// When, where it is a matter of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What.
    pub what: String,
}

/// What a person can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What it brings about.
    pub what: String,
    /// The exact command; empty when it is no command.
    pub command: String,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its position.
    pub seq: u64,
    /// When it was recorded.
    pub time: String,
    /// Its kind.
    pub kind: String,
    /// One line for people.
    pub summary: String,
    /// Who did it, as far as recorded.
    pub by: Vec<String>,
    /// The commands that would keep what it tells of, where it tells of a change by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

/// An answer without what the ledger adds to it.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    why: Why,
    /// The object that was asked for.
    object: Option<ObjectKey>,
    /// The objects of `why.objects`, in their order.
    keys: Vec<ObjectKey>,
    app: Option<AppName>,
    commit: Option<CommitId>,
    /// What Git says of the object otherwise than the hold of its application.
    instead: Option<held::Instead>,
    /// What brought the present state about, where nothing was ever written.
    begin: Vec<Seq>,
    /// What an unknown name may have meant.
    near: Vec<String>,
    /// Whether the kind of the object is excluded from watching.
    excluded: bool,
    /// Where the chains begin.
    roots: Vec<roots::Root>,
    /// The field that was asked for, and its path.
    field: Option<(blame::Pending, String)>,
    /// The event that was asked for.
    event: Option<Seq>,
    /// An application that is not there, or not any more.
    removed: Option<Box<removed::Asked>>,
}

impl Pending {
    /// The answer without its history.
    #[must_use]
    pub fn why(&self) -> &Why {
        &self.why
    }

    /// Asks about one field of the object.
    ///
    /// # Errors
    /// When the subject is no object, or `path` no path.
    pub fn with_field(
        mut self,
        world: &World,
        subject: &Subject,
        path: Option<&str>,
    ) -> Result<Self, Error> {
        if let Some(path) = path {
            let pending = blame::gather(world, subject, Some(path))?;
            self.field = Some((pending, path.to_owned()));
        }
        Ok(self)
    }
}

/// Works out everything that the world says about the subject. Does no I/O.
///
/// # Errors
/// When nothing, or several things, are known by the name.
pub fn gather(
    world: &World,
    compared: &Compared,
    limits: &Limits,
    subject: &Subject,
) -> Result<Pending, SubjectError> {
    let found = match subject.find(world) {
        Err(SubjectError::App(unknown)) => return removed::asked(world, unknown),
        found => found?,
    };
    match found {
        subject::Found::App(name) => {
            let view = super::app(world, compared, limits, name.as_str())?;
            Ok(of_app(world, &view))
        }
        subject::Found::Object(key, Some(name)) => {
            let view = super::app(world, compared, limits, name.as_str())?;
            Ok(object::of_object(world, &view, &key))
        }
        subject::Found::Object(key, None) => Ok(object::of_nobodys(world, &key)),
        subject::Found::Event(seq) => Ok(event::asked(world, seq)),
    }
}

/// The single most important reason why an application is not as Git says and well; empty when it
/// is both.
#[must_use]
pub fn note(world: &World, view: &AppView<'_>) -> String {
    let reasons = reasons::of_app(world, view);
    let first = reasons.iter().find(|reason| reason.code != reasons::AS_GIT_SAYS);
    first.map_or_else(String::new, |reason| clip(&reason.text, NOTE_CHARS_MAX))
}

fn of_app(world: &World, view: &AppView<'_>) -> Pending {
    let reasons = reasons::of_app(world, view);
    let plan = &view.plan;
    let (sync, health) = (plan.sync.as_str(), plan.health.as_str());
    let notable: Vec<_> = object::notable(view).take(OBJECTS_MAX).collect();
    let judge = object::Judge::new(world, view);
    let objects = notable.iter().map(|object| object::told(world, view, &judge, object)).collect();
    let keys = notable.iter().map(|object| object.key.clone()).collect();
    let why = Why {
        subject: view.name.to_string(),
        app: view.name.to_string(),
        seq: world.seq.0,
        headline: headline(&format!("{} is {sync} and {health}", view.name), &reasons),
        sync: sync.to_owned(),
        health: health.to_owned(),
        health_message: plan.health_message.clone(),
        git: git(view),
        next: reasons::next(world, view),
        can_do: advice::of_app(world, view),
        reasons,
        objects,
        ..Why::default()
    };
    Pending {
        roots: roots::of_app(world, view, &why.reasons),
        why,
        keys,
        app: Some(view.name.clone()),
        commit: commit(view).cloned(),
        begin: begin(view),
        ..Pending::default()
    }
}

/// What the present state of an application begins with: its last sync, problem or render.
fn begin(view: &AppView<'_>) -> Vec<Seq> {
    let app = view.app;
    let problem = app.render_problem.as_ref().map(|problem| problem.seq);
    let gate = app.gate.as_ref().map(|gate| gate.seq);
    let pause = app.paused.as_ref().map(|pause| pause.seq);
    let sync = app.last_sync.as_ref().map(|sync| sync.seq);
    let render = app.desired.as_ref().map(|desired| desired.seq);
    let hold = app.hold.as_ref().map(|hold| hold.seq);
    let found = [hold, problem, gate, pause, sync, render, Some(app.declared)];
    found.into_iter().flatten().collect()
}

/// The commit of Git that was rendered last: while the application is held, the one that waits.
pub(super) fn commit<'v>(view: &AppView<'v>) -> Option<&'v CommitId> {
    view.app.of_git().map(|desired| &desired.revision.commit)
}

pub(super) fn git(view: &AppView<'_>) -> Option<Commit> {
    let source = view.app.spec.sources.first()?;
    let commit = commit(view).map(ToString::to_string).unwrap_or_default();
    let (repo, revision) = (source.repo.clone(), source.revision.clone());
    Some(Commit { repo, revision, commit, ..Commit::default() })
}

/// What is so, and the first reason for it.
fn headline(what: &str, reasons: &[Reason]) -> String {
    match reasons.first() {
        Some(reason) => format!("{what}: {}", clip(&reason.text, HEADLINE_CHARS_MAX)),
        None => what.to_owned(),
    }
}

/// `3 objects (A, B, C and 1 more)`, or the one object.
fn named<'a>(keys: impl ExactSizeIterator<Item = &'a ObjectKey>) -> String {
    let count = keys.len();
    let names = list(keys.map(ToString::to_string), NAMED_MAX);
    if count == 1 { names } else { format!("{count} objects ({names})") }
}

impl Pending {
    /// Adds what the ledger says: who committed what, the last writes, and the chains of causes.
    /// Files are looked up in `mirrored`.
    ///
    /// # Errors
    /// [`SubjectError::Unknown`] when neither the world nor the ledger knows the object,
    /// [`Error::Field`] when it has no such field, and what the ledger says about a record that
    /// cannot be read.
    pub fn read(mut self, book: &dyn Book, mirrored: &dyn Mirrored) -> Result<Why, Error> {
        if let Some(seq) = self.event {
            return event::read(self.why, seq, book);
        }
        if let Some(removed) = self.removed {
            return removed::read(self.why, *removed, book);
        }
        let field = match self.field.take() {
            None => None,
            Some((pending, path)) => Some((pending.read(book, mirrored)?, path)),
        };
        let (roots, object) = (std::mem::take(&mut self.roots), self.object.clone());
        let mut why = history::read(self, book)?;
        let of = object.as_ref().zip(field.as_ref().map(|(blame, _)| blame));
        (why.chain, why.bounds) = roots::read(book, &roots, of)?;
        if let Some((blame, path)) = &field {
            why.headline = roots::field_headline(blame, path);
        }
        Ok(why)
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question names nothing, or several things.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The object has no such field.
    #[error(transparent)]
    Field(#[from] blame::Error),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}
