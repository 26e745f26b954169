//! What one commit asked for of a tree of applications.
//!
//! Applications render a commit one after the other: when the root has it, those below it still
//! have the commit before. So what a commit asked for is looked up for each of them by itself, in
//! what the ledger recorded about that commit, and not at one instant.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, AppSpec, CommitId, Seq};
use crate::query::book::Book;
use crate::query::instant::{About, At, Error, applied_first, backwards, forwards};
use crate::replay::{Desired, World, may_name};

/// A commit of the repository of a tree's root.
#[derive(Debug, Clone)]
pub struct OfCommit {
    /// The commit.
    pub commit: CommitId,
    /// The last event before the root's repository went on from it, when the tree had settled on
    /// it; the last one of all while it has not gone on.
    pub at: At,
    /// The repository and the revision by which the root follows it.
    follows: (String, String),
    /// What is recorded of the commit, application by application, in order.
    stands: BTreeMap<AppName, Vec<Stand>>,
}

/// What became of the commit in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    seq: Seq,
    declared: Seq,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Rendered,
    /// It changed nothing of what the render reads.
    Advanced,
    Failed,
}

/// What a commit asked for of an application.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// This.
    Rendered(Box<Desired>),
    /// What was in force when the tree had settled on it, and why that.
    InForce(String),
    /// It is not known, and why.
    Unknown(String),
}

impl OfCommit {
    /// Finds the commit that the root had from a revision first. `by` = the last event that counts.
    ///
    /// # Errors
    /// As an instant of the root that is a commit.
    pub fn find(book: &dyn Book, root: &AppName, name: &str, by: Seq) -> Result<Self, Error> {
        let (commit, first) = applied_first(book, &About::app(root.as_str()), name)?;
        let stands = stands(book, &commit)?;
        let mut of_root = stands.get(root).into_iter().flatten();
        let rendered = of_root.find(|stand| stand.how != How::Failed);
        let follows = match rendered {
            Some(stand) => source(book, stand.declared, &commit)?,
            None => None,
        };
        let follows = follows.unwrap_or_default();
        let known = rendered.map_or(first.seq, |stand| stand.seq);
        let end = match left(book, &commit, &follows, known)? {
            Some(left) => Seq(left.0.saturating_sub(1)),
            None => by,
        };
        let seq = end.max(first.seq);
        let recorded = book.get(seq)?;
        let time = recorded.map_or(first.time, |recorded| recorded.envelope.recorded);
        let what = format!("when the tree had settled on commit {}", commit.short());
        Ok(Self { commit, at: At { seq, time, timed: false, what }, follows, stands })
    }

    /// What the commit asked for of an application that is defined like this. `world` is the one as
    /// of [`at`](Self::at).
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn wanted(
        &self,
        book: &dyn Book,
        world: &World,
        (app, spec): (&AppName, &AppSpec),
    ) -> Result<Wanted, ledger::Error> {
        let (commit, last) = (self.commit.short(), self.at.seq);
        let stands = self.stands.get(app).map(Vec::as_slice).unwrap_or_default();
        let good = |stand: &&Stand| stand.how != How::Failed;
        let then = stands.iter().rev().filter(good).find(|stand| stand.seq <= last);
        // It may have come to it when the root's repository had gone on already; not by another
        // definition.
        let late = stands.iter().filter(good).find(|stand| stand.declared <= last);
        if let Some(stand) = then.or(late) {
            return Ok(match desired(book, app, *stand)? {
                Some(desired) => Wanted::Rendered(Box::new(desired)),
                None => Wanted::Unknown(format!("its render of commit {commit} is not recorded")),
            });
        }
        if !stands.is_empty() {
            return Ok(Wanted::InForce(format!(
                "it did not render at commit {commit}: what was in force then"
            )));
        }
        if !self.is_followed(world, spec) {
            return Ok(Wanted::InForce(format!(
                "commit {commit} is not of what it follows: what was in force at #{last}"
            )));
        }
        Ok(Wanted::Unknown(format!(
            "commit {commit} was never rendered for it, so what that asked for is not known"
        )))
    }

    /// Whether the application follows what the root does.
    fn is_followed(&self, world: &World, spec: &AppSpec) -> bool {
        let (repo, revision) = &self.follows;
        let Some(known) = world.repos.get(repo) else { return false };
        spec.sources.iter().filter(|source| source.repo == *repo).any(|source| {
            source.revision == *revision
                || known.resolve(&source.revision) == known.resolve(revision)
        })
    }
}

/// What is recorded of a commit, application by application.
fn stands(
    book: &dyn Book,
    commit: &CommitId,
) -> Result<BTreeMap<AppName, Vec<Stand>>, ledger::Error> {
    let mut found: BTreeMap<AppName, Vec<Stand>> = BTreeMap::new();
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        let (app, declared, how) = match recorded.event.as_ref()? {
            Event::RenderSucceeded(body) => (&body.app, body.declared, How::Rendered),
            Event::RevisionAdvanced(body) => (&body.app, body.declared, How::Advanced),
            Event::RenderFailed(body) => (&body.app, body.declared, How::Failed),
            _ => return None,
        };
        let stand = Stand { seq: recorded.seq(), declared, how };
        found.entry(app.clone()).or_default().push(stand);
        None::<()>
    })?;
    Ok(found)
}

/// The repository and the revision of the source that had the commit.
fn source(
    book: &dyn Book,
    declared: Seq,
    commit: &CommitId,
) -> Result<Option<(String, String)>, ledger::Error> {
    let Some(recorded) = book.get(declared)? else { return Ok(None) };
    let Some(Event::AppDeclared(body)) = &recorded.event else { return Ok(None) };
    let manifest = serde_json::from_slice(&body.manifest).unwrap_or_default();
    let Ok(spec) = AppSpec::parse(&manifest) else { return Ok(None) };
    let mut repos: BTreeSet<String> = BTreeSet::new();
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        let repo = match recorded.event.as_ref()? {
            Event::CommitRecorded(body) => &body.repo,
            Event::RefMoved(body) => &body.repo,
            _ => return None,
        };
        repos.insert(repo.clone());
        None::<()>
    })?;
    let mut sources = spec.sources.into_iter();
    let found = sources.find(|source| repos.contains(&source.repo));
    Ok(found.map(|source| (source.repo, source.revision)))
}

/// The event with which what the root follows went on from the commit that it rendered by `known`.
fn left(
    book: &dyn Book,
    commit: &CommitId,
    (repo, revision): &(String, String),
    known: Seq,
) -> Result<Option<Seq>, ledger::Error> {
    let mut left = None;
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        let Some(Event::RefMoved(body)) = &recorded.event else { return None };
        if body.repo != *repo || !may_name(revision, &body.name) {
            return None;
        }
        if body.new.as_ref() == Some(commit) && recorded.seq() <= known {
            // It came to it, perhaps once more.
            left = None;
        } else if body.old.as_ref() == Some(commit) {
            left = left.or(Some(recorded.seq()));
        }
        None::<()>
    })?;
    Ok(left)
}

/// What an application wanted with a render, or where a commit changed nothing of one.
fn desired(book: &dyn Book, app: &AppName, stand: Stand) -> Result<Option<Desired>, ledger::Error> {
    let Some(recorded) = book.get(stand.seq)? else { return Ok(None) };
    let body = match &recorded.event {
        Some(Event::RenderSucceeded(body)) => return Ok(Some(Desired::of(stand.seq, body))),
        Some(Event::RevisionAdvanced(body)) => body,
        _ => return Ok(None),
    };
    let is_it = |recorded: &Recorded| match &recorded.event {
        Some(Event::RenderSucceeded(render)) => {
            let same = render.app == *app && render.inputs == body.inputs;
            same.then(|| Desired::of(recorded.seq(), render))
        }
        _ => None,
    };
    let render = backwards(book, SubjectKey::app(app.as_str()), stand.seq, is_it)?;
    Ok(render.map(|mut desired| {
        desired.advance(body);
        desired
    }))
}

#[cfg(test)]
mod tests;
