//! With which definition an application had a commit.
//!
//! A commit of a tree's repository may change an application (its files) and its definition (which is
//! a file of its parent). The application gets the commit as it is defined until then, and its parent
//! defines it anew: what the commit asks for is only what it renders to after that.

use std::collections::{BTreeMap, BTreeSet};

use super::super::book::Book;
use super::{backwards, forwards};
use crate::ledger::event::{DesiredObject, Event, Origin};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, Digest, Seq};

/// Bound: how many parents are looked at, each of the one before.
const PARENTS_MAX: usize = 8;

/// From where on an application had a commit as that defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Had {
    /// Nothing says that the commit defines it otherwise than before.
    Always,
    /// From this render on.
    From(Seq),
    /// It never did: the commit changes its definition, and was applied to it as it was before.
    Never,
    /// It never did, although the commit changes nothing of its definition: what was to be changed
    /// of that before was not in force yet.
    Before,
    /// It is not known: its parent follows the same repository, and never had the commit.
    Unknown,
}

/// A render of the commit, or a commit that changed nothing of one.
#[derive(Debug, Clone, Copy)]
struct Stand {
    seq: Seq,
    /// The definition that it was made with.
    declared: Seq,
    /// `None` for a render.
    advanced: Option<Digest>,
}

/// From where on an application had a commit as that defines it.
pub(super) fn had(book: &dyn Book, app: &AppName, commit: &CommitId) -> Result<Had, ledger::Error> {
    let stands = stands(book, commit)?;
    let Some(first) = stands.get(app).and_then(|of_app| of_app.first()).copied() else {
        return Ok(Had::Always);
    };
    let (defines, had_above) = defining(book, app, &stands, PARENTS_MAX)?;
    if defines.is_empty() {
        let of_parent = match parent(book, first.declared)? {
            Some(parent) if !stands.contains_key(&parent) => follows(book, &parent, commit)?,
            _ => false,
        };
        return Ok(if of_parent && !had_above { Had::Unknown } else { Had::Always });
    }
    let right = rightly(book, app, &stands, &defines)?;
    if let Some(stand) = right.first() {
        return Ok(Had::From(stand.seq));
    }
    for parent in parents(book, app)? {
        let Some(of_parent) = stands.get(&parent).and_then(|of_parent| of_parent.first()) else {
            continue;
        };
        let seq = Seq(of_parent.seq.0.saturating_sub(1));
        let before = Stand { seq, advanced: None, ..*of_parent };
        if definition(book, &parent, before, app)?.is_some_and(|was| defines.contains(&was)) {
            return Ok(Had::Before);
        }
    }
    Ok(Had::Never)
}

/// What is recorded of renders of the commit, application by application, in order.
fn stands(
    book: &dyn Book,
    commit: &CommitId,
) -> Result<BTreeMap<AppName, Vec<Stand>>, ledger::Error> {
    let mut found: BTreeMap<AppName, Vec<Stand>> = BTreeMap::new();
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        let (app, declared, revisions, advanced) = match recorded.event.as_ref()? {
            Event::RenderSucceeded(body) => (&body.app, body.declared, &body.revisions, None),
            Event::RevisionAdvanced(body) => {
                (&body.app, body.declared, &body.revisions, Some(body.inputs))
            }
            _ => return None,
        };
        if revisions.iter().any(|revision| revision.commit == *commit) {
            let stand = Stand { seq: recorded.seq(), declared, advanced };
            found.entry(app.clone()).or_default().push(stand);
        }
        None::<()>
    })?;
    Ok(found)
}

/// How the commit defines an application, by what its parents made of that; and whether one of them
/// had the commit.
fn defining(
    book: &dyn Book,
    app: &AppName,
    stands: &BTreeMap<AppName, Vec<Stand>>,
    parents_max: usize,
) -> Result<(BTreeSet<Vec<u8>>, bool), ledger::Error> {
    let (mut defines, mut had) = (BTreeSet::new(), false);
    if parents_max == 0 {
        return Ok((defines, had));
    }
    for parent in parents(book, app)? {
        let Some(of_parent) = stands.get(&parent).filter(|_| parent != *app) else { continue };
        had = true;
        // The parent may itself be defined by the commit.
        let (above, _) = defining(book, &parent, stands, parents_max - 1)?;
        let right = match above.is_empty() {
            true => of_parent.clone(),
            false => rightly(book, &parent, stands, &above)?,
        };
        for stand in right {
            defines.extend(definition(book, &parent, stand, app)?);
        }
    }
    Ok((defines, had))
}

/// The renders of an application that were made with one of these definitions.
fn rightly(
    book: &dyn Book,
    app: &AppName,
    stands: &BTreeMap<AppName, Vec<Stand>>,
    defines: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Stand>, ledger::Error> {
    let mut right = Vec::new();
    for stand in stands.get(app).into_iter().flatten() {
        let recorded = book.get(stand.declared)?;
        let event = recorded.as_ref().and_then(|recorded| recorded.event.as_ref());
        if let Some(Event::AppDeclared(body)) = event
            && defines.contains(&body.manifest)
        {
            right.push(*stand);
        }
    }
    Ok(right)
}

/// The applications that ever defined this one.
fn parents(book: &dyn Book, app: &AppName) -> Result<BTreeSet<AppName>, ledger::Error> {
    let mut found = BTreeSet::new();
    forwards(book, SubjectKey::app(app.as_str()), Seq::ZERO, |recorded| {
        if let Some(Event::AppDeclared(body)) = &recorded.event
            && body.app == *app
            && let Origin::Parent(parent) = &body.origin
        {
            found.insert(parent.clone());
        }
        None::<()>
    })?;
    Ok(found)
}

/// The application that defined another with this event.
fn parent(book: &dyn Book, declared: Seq) -> Result<Option<AppName>, ledger::Error> {
    let recorded = book.get(declared)?;
    Ok(match recorded.as_ref().and_then(|recorded| recorded.event.as_ref()) {
        Some(Event::AppDeclared(body)) => body.origin.parent().cloned(),
        _ => None,
    })
}

/// How a parent defines `app` with a render, or with the one that a commit changed nothing of.
fn definition(
    book: &dyn Book,
    parent: &AppName,
    stand: Stand,
    app: &AppName,
) -> Result<Option<Vec<u8>>, ledger::Error> {
    let of = |objects: &[DesiredObject]| {
        let mut objects = objects.iter();
        let is_it = |object: &&DesiredObject| {
            object.key.is_application() && object.key.name() == app.as_str()
        };
        objects.find(is_it).and_then(|object| object.application.clone())
    };
    let is_it = |recorded: &Recorded| match &recorded.event {
        Some(Event::RenderSucceeded(body)) if body.app == *parent => {
            let same = stand.advanced.is_none_or(|inputs| inputs == body.inputs);
            same.then(|| of(&body.objects))
        }
        _ => None,
    };
    let found = backwards(book, SubjectKey::app(parent.as_str()), stand.seq.next(), is_it)?;
    Ok(found.flatten())
}

/// Whether an application has rendered anything of a repository that the commit is of.
fn follows(book: &dyn Book, app: &AppName, commit: &CommitId) -> Result<bool, ledger::Error> {
    let mut repos = BTreeSet::new();
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        match recorded.event.as_ref()? {
            Event::CommitRecorded(body) => repos.insert(body.repo.clone()),
            Event::RefMoved(body) => repos.insert(body.repo.clone()),
            _ => return None,
        };
        None::<()>
    })?;
    let of = super::commit::follows(book, std::slice::from_ref(app))?;
    Ok(of.iter().any(|repo| repos.contains(repo)))
}
