//! A fake repository: one branch, commits with folders.

use std::collections::BTreeMap;

use super::trees::Tree;
use crate::model::CommitId;
use crate::replay::testing::commit;

/// One commit: its parent, and what its folders say.
#[derive(Clone)]
struct Commit {
    parent: Option<CommitId>,
    trees: BTreeMap<String, Tree>,
}

/// The repository.
#[derive(Default)]
pub(super) struct FakeGit {
    commits: BTreeMap<CommitId, Commit>,
    count: u64,
    /// Where `main` points.
    pub(super) head: Option<CommitId>,
    /// Whether it can be fetched.
    pub(super) away: bool,
}

impl FakeGit {
    /// The folder of `app` at a commit; empty where there is none.
    pub(super) fn tree(&self, at: &CommitId, app: &str) -> Tree {
        let commit = self.commits.get(at);
        commit.and_then(|commit| commit.trees.get(app)).cloned().unwrap_or_else(Tree::empty)
    }

    /// The folder of `app` at the tip.
    pub(super) fn at_head(&self, app: &str) -> Tree {
        self.head.as_ref().map_or_else(Tree::empty, |head| self.tree(head, app))
    }

    /// Commits on top of the tip, and pushes.
    pub(super) fn push(&mut self, changes: impl IntoIterator<Item = (String, Tree)>) -> CommitId {
        let parent = self.head.clone();
        let former = parent.as_ref().and_then(|parent| self.commits.get(parent));
        let mut trees = former.map(|former| former.trees.clone()).unwrap_or_default();
        trees.extend(changes);
        self.count += 1;
        let id = commit(self.count);
        self.commits.insert(id.clone(), Commit { parent, trees });
        self.head = Some(id.clone());
        id
    }

    /// Moves the tip back to an earlier commit: what was pushed since is dropped.
    pub(super) fn rewind(&mut self) -> bool {
        let parent = self.head.as_ref().and_then(|head| self.commits[head].parent.clone());
        let moved = parent.is_some();
        self.head = parent.or(self.head.take());
        moved
    }

    /// The commits from `tip` back to the first, newest first.
    pub(super) fn ancestry(&self, tip: &CommitId) -> Vec<CommitId> {
        let mut found = vec![tip.clone()];
        while let Some(parent) = self.commits[&found[found.len() - 1]].parent.clone() {
            found.push(parent);
        }
        found
    }
}
