//! Making a commit: paths of a commit go back to what another one has there.
//!
//! Only objects are written, and every one of them is named by its content, so that making the
//! same again changes nothing. No ref of the mirror moves: what was made is reachable once the
//! repository has it and is fetched.
//!
//! Nothing is followed: a path that leads through a symbolic link is refused, because what is
//! written would be somewhere else than what is read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use gix::bstr::{BStr, BString};
use gix::diff::tree::recorder::Change;
use gix::diff::tree::{Recorder, Visit};
use gix::objs::tree::{Entry, EntryKind, EntryMode};
use gix::objs::{Commit, TreeRefIter};
use gix::{ObjectId, Repository};

use super::error::Error;
use super::mirror::Mirror;
use super::options::Limits;
use super::refs::{commit_id, object_id};
use super::tree::Reader;
use crate::ledger::event::Signature;
use crate::model::CommitId;

/// How many changed files are compared line by line.
const FILES_MAX: usize = 200;
/// How many differences are looked at.
const DIFFERENCES_MAX: usize = 100_000;
/// The largest file that is compared line by line, in bytes.
const COMPARED_BYTES_MAX: u64 = 1 << 20;
/// How much of a subject or of a name is told, in characters.
const HEADLINE_CHARS_MAX: usize = 100;

/// A path that goes back to what a commit has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Relative to the top of the repository; empty = all of it.
    pub path: String,
    /// The commit.
    pub then: CommitId,
}

/// What stood at a path, and what stands there now: the ids of trees or files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The path.
    pub path: String,
    /// What stood there; `None` = nothing did.
    pub was: Option<CommitId>,
    /// What stands there; `None` = nothing does.
    pub now: Option<CommitId>,
}

/// A file that is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Relative to the top of the repository.
    pub path: String,
    /// `A` for one that is new, `D` for one that is gone, `M` for one that differs.
    pub how: char,
    /// How many lines are new and how many are gone; `None` = it was not compared by lines.
    pub lines: Option<(usize, usize)>,
}

/// A tree that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The tree of the commit that it was made from.
    pub from: CommitId,
    /// The tree.
    pub tree: CommitId,
    /// The paths.
    pub paths: Vec<Put>,
    /// The files that differ, in order, as many as are looked at.
    pub files: Vec<ChangedFile>,
    /// How many differ in all.
    pub files_total: usize,
}

/// A commit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// Its tree.
    pub tree: CommitId,
    /// Its parent.
    pub parent: CommitId,
    /// Who wrote it.
    pub author: Signature,
    /// Who commits it.
    pub committer: Signature,
    /// The whole message.
    pub message: String,
}

impl Mirror {
    /// The tree of `base` in which every path of `back` is what its commit has there; everything
    /// else stays byte by byte.
    ///
    /// # Errors
    /// A commit that is not there, a path through a link or out of the repository, damage.
    pub fn put_back(&self, base: &CommitId, back: &[Back]) -> Result<Made, Error> {
        let mirror = self.repository()?;
        let limits = Limits::default();
        let from = Reader::new(&mirror, self.repo(), base, &limits)?.root;
        let (mut root, mut paths) = (Some(from), Vec::new());
        for Back { path, then } in back {
            let names = names(self.repo(), path)?;
            let path = names.join("/");
            let then = Reader::new(&mirror, self.repo(), then, &limits)?;
            let found = self.standing(&then, &names)?;
            let base = Reader::new(&mirror, self.repo(), base, &limits)?;
            let was = self.standing(&base, &names)?;
            root = put(&mirror, root, &names, found).map_err(|error| match error {
                NotPut::NoFolder => self.through_a_link(&path),
                NotPut::Damaged(source) => self.damaged(&path, source),
            })?;
            let id = |entry: Option<(ObjectId, EntryMode)>| entry.map(|(id, _)| commit_id(id));
            paths.push(Put { path, was: id(was), now: id(found) });
        }
        let damaged = |source| self.damaged("what was written", source);
        let root = match root {
            Some(root) => root,
            None => write_tree(&mirror, Vec::new()).map_err(damaged)?,
        };
        let (files, files_total) = changed(&mirror, from, root).map_err(damaged)?;
        Ok(Made { from: commit_id(from), tree: commit_id(root), paths, files, files_total })
    }

    /// What stands at a path of a commit: the id of a tree or of a file.
    ///
    /// # Errors
    /// As [`Self::put_back`].
    pub fn standing_at(&self, commit: &CommitId, path: &str) -> Result<Option<CommitId>, Error> {
        let (mirror, limits) = (self.repository()?, Limits::default());
        let reader = Reader::new(&mirror, self.repo(), commit, &limits)?;
        let found = self.standing(&reader, &names(self.repo(), path)?)?;
        Ok(found.map(|(id, _)| commit_id(id)))
    }

    /// Writes a commit; returns its id.
    ///
    /// # Errors
    /// [`Error::MirrorDamaged`] when it cannot be written.
    pub fn write_commit(&self, new: &NewCommit) -> Result<CommitId, Error> {
        let mirror = self.repository()?;
        let missing = |id: &CommitId| Error::NoSuchCommit {
            repo: self.repo().to_owned(),
            commit: id.clone(),
        };
        let tree = object_id(&new.tree).ok_or_else(|| missing(&new.tree))?;
        let parent = object_id(&new.parent).ok_or_else(|| missing(&new.parent))?;
        let commit = Commit {
            tree,
            parents: std::iter::once(parent).collect(),
            author: signature(&new.author),
            committer: signature(&new.committer),
            encoding: None,
            message: new.message.clone().into(),
            extra_headers: Vec::new(),
        };
        let written = mirror.write_object(&commit).map(gix::Id::detach);
        Ok(commit_id(written.map_err(|source| self.damaged("a new commit", source))?))
    }

    /// A commit as people tell it from others: its id, its subject, and who it says wrote it.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`] and [`Error::MirrorDamaged`].
    pub fn headline(&self, commit: &CommitId) -> Result<String, Error> {
        let mirror = self.repository()?;
        let missing =
            || Error::NoSuchCommit { repo: self.repo().to_owned(), commit: commit.clone() };
        let id = object_id(commit).ok_or_else(missing)?;
        let damaged = |source| self.damaged("a commit", source);
        let object = mirror.find_commit(id).map_err(damaged)?;
        let found = object.decode().map_err(damaged)?;
        let author = super::history::signature(found.author());
        let by = format!("{} <{}>", author.name, author.email);
        let message = found.message.to_string();
        let subject = message.trim().lines().next().unwrap_or_default();
        let plain = |text: &str| -> String {
            text.replace(char::is_control, "?").chars().take(HEADLINE_CHARS_MAX).collect()
        };
        Ok(format!("{} \"{}\" by {}", commit.short(), plain(subject), plain(&by)))
    }

    /// What stands at a path, where no link is on the way.
    fn standing(
        &self,
        reader: &Reader<'_>,
        names: &[&str],
    ) -> Result<Option<(ObjectId, EntryMode)>, Error> {
        let mut way = String::new();
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                way.push('/');
            }
            way.push_str(name);
            match reader.entry(&way)? {
                Some((_, EntryKind::Link)) => return Err(self.through_a_link(&names.join("/"))),
                Some(_) => {}
                None => return Ok(None),
            }
        }
        Ok(reader.entry(&way)?.map(|(id, kind)| (id, kind.into())))
    }

    fn through_a_link(&self, path: &str) -> Error {
        Error::ThroughALink { repo: self.repo().to_owned(), path: path.to_owned() }
    }
}

/// The names of a path; none for the top.
fn names<'p>(repo: &str, path: &'p str) -> Result<Vec<&'p str>, Error> {
    let names: Vec<&str> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    match names.contains(&"..") {
        false => Ok(names),
        true => Err(Error::PathEscape { repo: repo.to_owned(), path: path.to_owned() }),
    }
}

/// Why something cannot be put at a path.
enum NotPut {
    /// A file stands where a folder is needed.
    NoFolder,
    Damaged(gix::Error),
}

impl From<gix::Error> for NotPut {
    fn from(error: gix::Error) -> Self {
        Self::Damaged(error)
    }
}

/// The tree with `entry` at the path `names`; `None` when nothing is left in it.
fn put(
    mirror: &Repository,
    tree: Option<ObjectId>,
    names: &[&str],
    entry: Option<(ObjectId, EntryMode)>,
) -> Result<Option<ObjectId>, NotPut> {
    let Some((name, below)) = names.split_first() else {
        return match entry {
            Some((id, mode)) if mode.is_tree() => Ok(Some(id)),
            Some(_) => Err(NotPut::NoFolder),
            None => Ok(None),
        };
    };
    let mut entries = match tree {
        Some(tree) => entries(mirror, tree)?,
        None => Vec::new(),
    };
    let known = entries.iter().position(|entry| entry.filename == *name);
    let here = known.map(|index| entries.remove(index));
    let new = match below.is_empty() {
        true => entry,
        false => {
            let tree = match &here {
                Some(here) if here.mode.is_tree() => Some(here.oid),
                // Nothing is below it, and nothing is to be.
                Some(_) if entry.is_none() => return Ok(tree),
                Some(_) => return Err(NotPut::NoFolder),
                None => None,
            };
            let mode = EntryKind::Tree.into();
            put(mirror, tree, below, entry)?.map(|tree| (tree, mode))
        }
    };
    entries.extend(new.map(|(oid, mode)| Entry { mode, filename: BString::from(*name), oid }));
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(write_tree(mirror, entries)?))
}

fn entries(mirror: &Repository, tree: ObjectId) -> Result<Vec<Entry>, gix::Error> {
    let tree = mirror.find_tree(tree)?;
    let mut entries = Vec::new();
    for entry in tree.iter() {
        let entry = entry?;
        let (mode, filename) = (entry.mode(), entry.filename().to_owned());
        entries.push(Entry { mode, filename, oid: entry.object_id() });
    }
    Ok(entries)
}

fn write_tree(mirror: &Repository, mut entries: Vec<Entry>) -> Result<ObjectId, gix::Error> {
    entries.sort();
    Ok(mirror.write_object(&gix::objs::Tree { entries })?.detach())
}

fn signature(of: &Signature) -> gix::actor::Signature {
    // A line of a commit: what would end it is left out.
    let plain = |text: &str| text.replace(['\n', '\0', '<', '>'], "");
    gix::actor::Signature {
        name: plain(&of.name).into(),
        email: plain(&of.email).into(),
        time: gix::date::Time { seconds: of.time.0.div_euclid(1_000_000_000), offset: 0 },
    }
}

/// Records differences until there are too many of them: a few crafted trees can unfold to billions.
#[derive(Default)]
struct Bounded {
    recorder: Recorder,
    visited: usize,
}

impl Visit for Bounded {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.recorder.pop_front_tracked_path_and_set_current();
    }

    fn push_back_tracked_path_component(&mut self, component: &BStr) {
        self.recorder.push_back_tracked_path_component(component);
    }

    fn push_path_component(&mut self, component: &BStr) {
        self.recorder.push_path_component(component);
    }

    fn pop_path_component(&mut self) {
        self.recorder.pop_path_component();
    }

    fn visit(&mut self, change: gix::diff::tree::visit::Change) -> ControlFlow<()> {
        self.visited += 1;
        match self.visited > DIFFERENCES_MAX {
            true => ControlFlow::Break(()),
            false => self.recorder.visit(change),
        }
    }
}

/// The files that differ between two trees.
fn changed(
    mirror: &Repository,
    old: ObjectId,
    new: ObjectId,
) -> Result<(Vec<ChangedFile>, usize), gix::Error> {
    let (old, new) = (mirror.find_tree(old)?, mirror.find_tree(new)?);
    let entries = |data| TreeRefIter::from_bytes(data, mirror.object_hash());
    let mut state = gix::diff::tree::State::default();
    let mut found = Bounded::default();
    match gix::diff::tree(
        entries(&old.data),
        entries(&new.data),
        &mut state,
        &mirror.objects,
        &mut found,
    ) {
        Ok(()) | Err(gix::diff::tree::Error::Cancelled) => {}
        Err(gix::diff::tree::Error::Failure(error)) => return Err(error),
    }
    let mut files = Vec::new();
    for change in found.recorder.records {
        let (path, how, old, new, mode) = match change {
            Change::Addition { path, oid, entry_mode, .. } => {
                (path, 'A', None, Some(oid), entry_mode)
            }
            Change::Deletion { path, oid, entry_mode, .. } => {
                (path, 'D', Some(oid), None, entry_mode)
            }
            Change::Modification { path, previous_oid, oid, entry_mode, .. } => {
                (path, 'M', Some(previous_oid), Some(oid), entry_mode)
            }
        };
        if !mode.is_tree() {
            files.push((path.to_string(), how, old, new));
        }
    }
    files.sort();
    let total = files.iter().map(|(path, ..)| path).collect::<BTreeSet<_>>().len();
    let shown = files.into_iter().take(FILES_MAX).map(|(path, how, old, new)| {
        Ok(ChangedFile { path, how, lines: lines(mirror, old, new)? })
    });
    Ok((shown.collect::<Result<_, gix::Error>>()?, total))
}

/// How many lines are new and how many are gone; `None` for what is no text, or too large.
fn lines(
    mirror: &Repository,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
) -> Result<Option<(usize, usize)>, gix::Error> {
    let mut texts = [String::new(), String::new()];
    for (text, id) in texts.iter_mut().zip([old, new]) {
        let Some(id) = id else { continue };
        // A commit of another repository is not here.
        let Some(header) = mirror.try_find_header(id)? else { return Ok(None) };
        if header.kind() != gix::object::Kind::Blob || header.size() > COMPARED_BYTES_MAX {
            return Ok(None);
        }
        match String::from_utf8(mirror.find_object(id)?.data.clone()) {
            Ok(read) if !read.contains('\0') => *text = read,
            _ => return Ok(None),
        }
    }
    let diff = similar::TextDiff::from_lines(texts[0].as_str(), texts[1].as_str());
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    Ok(Some((count(similar::ChangeTag::Insert), count(similar::ChangeTag::Delete))))
}
