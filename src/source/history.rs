//! From moved refs to events: which commits are new, which were dropped, and what each changed.
//!
//! The comparison is between the refs that the ledger knows and the refs now; the mirror holds
//! the objects of both. Nothing is written here.
//!
//! Ordering: commits (parents before children), then where imported history begins, then
//! rewrites, then ref moves. Whoever records the events in this order never names a commit that
//! was not recorded before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::bstr::{BStr, ByteSlice as _};
use gix::diff::tree::visit::Change;
use gix::diff::tree::{Recorder, Visit};
use gix::objs::TreeRefIter;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use gix::{ObjectId, Repository};

use super::refs::{commit_id, kept, object_id};
use super::signer::Signers;
use crate::ledger::event::{
    CHANGED_PATHS_MAX, CommitRecordedV1, Event, HistoryImportedV1, HistoryRewrittenV1, RefMovedV1,
    Signature,
};
use crate::model::{CommitId, Timestamp};

/// How many commits one fetch after the first records. What is older than that is not in the
/// ledger, and the event that begins it says so. At 16 KiB of message each this is 80 MB at worst.
const NEW_COMMITS_MAX: usize = 5_000;
/// How many dropped commits a rewrite lists.
const DROPPED_MAX: usize = 200;
/// How many commits the beginning of an imported history lists.
const BEGINS_AT_MAX: usize = 1_000;
/// How many differences between a commit and its parent are looked at. A few crafted trees can
/// unfold to billions.
const CHANGES_VISITED_MAX: usize = 500_000;
/// How much of a commit's message is recorded, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// How much of an author's name or address, or of a path, is recorded, in bytes.
const NAME_BYTES_MAX: usize = 1 << 10;

/// Why the events could not be derived.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was asked to end.
    Cancelled,
    /// The mirror could not be read.
    Damaged(gix::Error),
}

impl From<gix::Error> for Failure {
    fn from(error: gix::Error) -> Self {
        Self::Damaged(error)
    }
}

/// The difference between what the ledger knows and what there is.
pub(super) struct Difference<'a> {
    /// The mirror.
    pub(super) mirror: &'a Repository,
    /// The repository, as applications name it.
    pub(super) repo: &'a str,
    /// The refs as the ledger knows them.
    pub(super) known: &'a BTreeMap<String, CommitId>,
    /// Where refs were that are gone: one that comes back is compared with that.
    pub(super) gone: &'a BTreeMap<String, CommitId>,
    /// The refs now.
    pub(super) now: &'a BTreeMap<String, CommitId>,
    /// How many commits a first import records.
    pub(super) import_max: usize,
    /// Whether a rewritten history is followed without asking.
    pub(super) follow: bool,
    /// What verifies the signatures of commits.
    pub(super) signers: Signers<'a>,
    /// Set by whoever wants it to end.
    pub(super) cancel: &'a AtomicBool,
}

/// What follows from a difference.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// What must be recorded, in this order.
    pub(super) events: Vec<Event>,
    /// Recorded tips that a ref has left: they must stay reachable.
    pub(super) left: Vec<ObjectId>,
}

impl Difference<'_> {
    /// Derives the events.
    ///
    /// # Errors
    /// [`Failure::Damaged`] when an object is missing or cannot be decoded,
    /// [`Failure::Cancelled`] when asked to end.
    pub(super) fn consequences(&self) -> Result<Consequences, Failure> {
        let mut consequences = Consequences::default();
        if self.known == self.now {
            return Ok(consequences);
        }
        self.commits(&mut consequences.events)?;
        let mut moves = Vec::new();
        let names: BTreeSet<&String> = self.known.keys().chain(self.now.keys()).collect();
        for name in names {
            let (old, new) = (self.known.get(name), self.now.get(name));
            if old == new {
                continue;
            }
            let before = old.or_else(|| self.gone.get(name));
            self.leave(name, before, new, &mut consequences)?;
            moves.push(Event::from(RefMovedV1 {
                repo: self.repo.to_owned(),
                name: name.clone(),
                old: old.cloned(),
                new: new.cloned(),
            }));
        }
        consequences.events.append(&mut moves);
        Ok(consequences)
    }

    /// Records every commit that is reachable from a tip now and was not before.
    fn commits(&self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let before: BTreeSet<_> = self.known.values().filter_map(object_id).collect();
        let tips: BTreeSet<_> = self.now.values().filter_map(object_id).collect();
        let tips: Vec<_> = tips.difference(&before).copied().collect();
        if tips.is_empty() {
            return Ok(());
        }
        let first = self.known.is_empty();
        let mut hidden: Vec<_> =
            before.into_iter().filter(|id| self.mirror.has_object(id)).collect();
        if !first {
            // Kept tips were recorded once: a branch put back to one is no new history.
            hidden.extend(kept(self.mirror)?);
        }
        let max = if first { self.import_max } else { NEW_COMMITS_MAX };
        let (selected, cut) = self.newest(tips, hidden, max)?;
        let mut state = gix::diff::tree::State::default();
        for (id, _) in parents_first(&selected) {
            self.check()?;
            events.push(Event::from(self.commit(*id, &mut state)?));
        }
        if first || cut {
            events.push(Event::from(self.imported(&selected, cut)));
        }
        Ok(())
    }

    /// The newest `max` commits reachable from `tips` and not from `hidden`, newest first, and
    /// whether there are more.
    fn newest(
        &self,
        tips: Vec<ObjectId>,
        hidden: Vec<ObjectId>,
        max: usize,
    ) -> Result<(Vec<Walked>, bool), Failure> {
        let walk = self
            .mirror
            .rev_walk(tips)
            .with_hidden(hidden)
            .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
            .all()?;
        let mut selected = Vec::new();
        for info in walk {
            self.check()?;
            let info = info?;
            if selected.len() == max {
                return Ok((selected, true));
            }
            selected.push((info.id, info.parent_ids.to_vec()));
        }
        Ok((selected, false))
    }

    /// States where the imported history begins.
    fn imported(&self, selected: &[Walked], cut: bool) -> HistoryImportedV1 {
        let present: HashSet<_> = selected.iter().map(|(id, _)| *id).collect();
        // In a shallow original parents are missing although nothing was cut off here.
        let missing = |parent: &ObjectId| {
            !present.contains(parent) && (cut || !self.mirror.has_object(parent))
        };
        let begins = |(_, parents): &&Walked| parents.iter().any(missing);
        // One event for all refs: it is filed under HEAD, or the first ref where there is none.
        let name = if self.now.contains_key("HEAD") { Some("HEAD") } else { None };
        let name = name.or_else(|| self.now.keys().next().map(String::as_str)).unwrap_or("HEAD");
        HistoryImportedV1 {
            repo: self.repo.to_owned(),
            name: name.to_owned(),
            commits: selected.len() as u64,
            begins_at: selected
                .iter()
                .filter(begins)
                .take(BEGINS_AT_MAX)
                .map(|(id, _)| commit_id(*id))
                .collect(),
        }
    }

    /// Notes that the ref `name` left `old`, when `new` does not descend from it.
    fn leave(
        &self,
        name: &str,
        old: Option<&CommitId>,
        new: Option<&CommitId>,
        consequences: &mut Consequences,
    ) -> Result<(), Failure> {
        // HEAD follows a branch; that it names another one is no rewrite.
        let (Some(old), false) = (old, name == "HEAD") else { return Ok(()) };
        let old_id = object_id(old).filter(|id| self.mirror.has_object(id));
        let Some(new) = new else {
            consequences.left.extend(old_id);
            return Ok(());
        };
        let Some(new_id) = object_id(new) else { return Ok(()) };
        // A tip that the mirror lost cannot be an ancestor of one whose history is complete.
        let Some(old_id) = old_id else {
            consequences.events.push(self.rewritten(name, old, new, vec![old.clone()], false));
            return Ok(());
        };
        let mut dropped = Vec::new();
        let walk = self.mirror.rev_walk([old_id]).with_hidden([new_id]).all()?;
        for info in walk.take(DROPPED_MAX) {
            self.check()?;
            dropped.push(commit_id(info?.id));
        }
        if dropped.is_empty() {
            return Ok(());
        }
        let tree = |id| Ok::<_, gix::Error>(self.mirror.find_commit(id)?.tree_id()?.detach());
        let same_tree = tree(old_id)? == tree(new_id)?;
        consequences.left.push(old_id);
        consequences.events.push(self.rewritten(name, old, new, dropped, same_tree));
        Ok(())
    }

    fn rewritten(
        &self,
        name: &str,
        old: &CommitId,
        new: &CommitId,
        dropped: Vec<CommitId>,
        same_tree: bool,
    ) -> Event {
        Event::from(HistoryRewrittenV1 {
            repo: self.repo.to_owned(),
            name: name.to_owned(),
            old: old.clone(),
            new: new.clone(),
            dropped,
            same_tree,
            follow: self.follow,
        })
    }

    /// The event of one commit.
    fn commit(
        &self,
        id: ObjectId,
        state: &mut gix::diff::tree::State,
    ) -> Result<CommitRecordedV1, gix::Error> {
        let object = self.mirror.find_commit(id)?;
        let commit = object.decode()?;
        let parents: Vec<_> = commit.parents().collect();
        // The first parent is missing where the original is shallow: as far as anyone can tell,
        // the commit adds everything.
        let parent = parents.first().copied().filter(|parent| self.mirror.has_object(parent));
        let (changed, changed_total) = changed_paths(self.mirror, state, parent, commit.tree())?;
        let committer = signature(commit.committer());
        let signed = self.signers.of(&object.data, committer.time);
        Ok(CommitRecordedV1 {
            repo: self.repo.to_owned(),
            commit: commit_id(id),
            tree: commit_id(commit.tree()),
            parents: parents.into_iter().map(commit_id).collect(),
            author: signature(commit.author()),
            committer,
            message: bounded(commit.message, MESSAGE_BYTES_MAX),
            changed,
            changed_total,
            signature: signed,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        if self.cancel.load(Ordering::Relaxed) { Err(Failure::Cancelled) } else { Ok(()) }
    }
}

/// Whether the history of `tip` contains `commit`.
pub(super) fn contains(
    mirror: &Repository,
    tip: ObjectId,
    commit: ObjectId,
) -> Result<bool, gix::Error> {
    // What is not there was collected, or never was.
    if !mirror.has_object(commit) {
        return Ok(false);
    }
    let beyond = mirror.rev_walk([commit]).with_hidden([tip]).all()?.next();
    Ok(beyond.transpose()?.is_none())
}

/// A commit with its parents.
type Walked = (ObjectId, Vec<ObjectId>);

/// Orders commits so that every parent that is among them comes before its children; otherwise
/// the oldest first. `newest_first` is the order in which the walk met them, which commit times
/// that lie can make wrong.
fn parents_first(newest_first: &[Walked]) -> Vec<&Walked> {
    let at: HashMap<_, _> =
        newest_first.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
    let mut done = vec![false; newest_first.len()];
    let mut ordered = Vec::with_capacity(newest_first.len());
    for start in (0..newest_first.len()).rev() {
        let mut stack = vec![start];
        while let Some(&index) = stack.last() {
            let waiting = newest_first[index]
                .1
                .iter()
                .filter_map(|parent| at.get(parent).copied())
                .find(|&parent| !done[parent]);
            match waiting {
                Some(parent) if !done[index] => stack.push(parent),
                _ => {
                    stack.pop();
                    if !std::mem::replace(&mut done[index], true) {
                        ordered.push(&newest_first[index]);
                    }
                }
            }
        }
    }
    ordered
}

/// The paths that differ between the tree of `parent` (nothing for a root commit) and `tree`,
/// sorted and at most [`CHANGED_PATHS_MAX`], and how many there are. Folders do not count, only
/// what is in them.
fn changed_paths(
    mirror: &Repository,
    state: &mut gix::diff::tree::State,
    parent: Option<ObjectId>,
    tree: ObjectId,
) -> Result<(Vec<String>, u64), gix::Error> {
    let old = match parent {
        Some(parent) => mirror.find_commit(parent)?.tree()?,
        None => mirror.empty_tree(),
    };
    let new = mirror.find_tree(tree)?;
    let entries = |data| TreeRefIter::from_bytes(data, mirror.object_hash());
    let mut changed = ChangedPaths::default();
    let objects = &mirror.objects;
    match gix::diff::tree(entries(&old.data), entries(&new.data), state, objects, &mut changed) {
        // Stopped at the bound: what was counted until then is said.
        Ok(()) | Err(gix::diff::tree::Error::Cancelled) => {}
        Err(gix::diff::tree::Error::Failure(error)) => return Err(error),
    }
    Ok((changed.paths.into_iter().collect(), changed.total))
}

/// Collects what a comparison of trees meets.
#[derive(Default)]
struct ChangedPaths {
    /// Keeps track of where the comparison is.
    place: Recorder,
    paths: BTreeSet<String>,
    total: u64,
    visited: usize,
}

impl Visit for ChangedPaths {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.place.pop_front_tracked_path_and_set_current();
    }

    fn push_back_tracked_path_component(&mut self, component: &BStr) {
        self.place.push_back_tracked_path_component(component);
    }

    fn push_path_component(&mut self, component: &BStr) {
        self.place.push_path_component(component);
    }

    fn pop_path_component(&mut self) {
        self.place.pop_path_component();
    }

    fn visit(&mut self, change: Change) -> ControlFlow<()> {
        self.visited += 1;
        if self.visited > CHANGES_VISITED_MAX {
            return ControlFlow::Break(());
        }
        if !change.entry_mode().is_tree() {
            self.total += 1;
            if self.paths.len() < CHANGED_PATHS_MAX {
                self.paths.insert(bounded(self.place.path(), NAME_BYTES_MAX));
            }
        }
        ControlFlow::Continue(())
    }
}

/// A signature line; what cannot be read of it is empty or zero, as it is only a statement.
pub(super) fn signature(line: Result<gix::actor::SignatureRef<'_>, gix::Error>) -> Signature {
    match line {
        Ok(line) => Signature {
            name: bounded(line.name, NAME_BYTES_MAX),
            email: bounded(line.email, NAME_BYTES_MAX),
            time: Timestamp::from_seconds(line.seconds()),
        },
        Err(_) => {
            Signature { name: String::new(), email: String::new(), time: Timestamp::default() }
        }
    }
}

/// `text` as UTF-8, cut where it is longer than `max` bytes.
fn bounded(text: &BStr, max: usize) -> String {
    let mut text = text.to_str_lossy().into_owned();
    if text.len() > max {
        let end = text.floor_char_boundary(max);
        text.truncate(end);
        text.push_str(" [cut]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ObjectId {
        ObjectId::from_bytes_or_panic(&[n; 20])
    }

    #[test]
    fn parents_come_first_even_when_commit_times_lie() {
        // 1 <- 2 <- 4, 1 <- 3 <- 4; met in an order in which the root comes before its child.
        let met = [
            (id(4), vec![id(2), id(3)]),
            (id(1), vec![id(9)]),
            (id(3), vec![id(1)]),
            (id(2), vec![id(1)]),
        ];
        let ordered: Vec<_> = parents_first(&met).iter().map(|(id, _)| *id).collect();
        assert_eq!(ordered, [id(1), id(2), id(3), id(4)]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = "é".repeat(10);
        assert_eq!(bounded(text.as_bytes().as_bstr(), 5), "éé [cut]");
        assert_eq!(bounded(b"a\xffb".as_bstr(), 10), "a\u{fffd}b");
    }
}
