//! What is known of Git: the refs of each repository, and what a revision resolves to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::CommitId;

/// A repository as last fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// Its refs by full name, and `HEAD`.
    pub refs: BTreeMap<String, CommitId>,
    /// Why it cannot be fetched, while it cannot.
    pub error: Option<String>,
    /// Whether anything was ever fetched from it.
    pub fetched: bool,
}

/// What a revision stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// A commit.
    Commit(CommitId),
    /// Nothing that the repository has.
    Unknown,
    /// The repository was not fetched yet.
    NotFetched,
}

impl Repo {
    /// Resolves `revision` as Git does for a remote: `HEAD`, a branch, a tag, a full ref name, or
    /// a full commit id. A branch wins over a tag of the same name.
    #[must_use]
    pub fn resolve(&self, revision: &str) -> Resolved {
        if let Ok(commit) = revision.parse::<CommitId>() {
            return Resolved::Commit(commit);
        }
        // Asked for every application at every event about a render: a name that is not needed
        // is not put together.
        let found = self.refs.get(revision);
        let found = found.or_else(|| self.refs.get(&format!("refs/heads/{revision}")));
        match found.or_else(|| self.refs.get(&format!("refs/tags/{revision}"))) {
            Some(commit) => Resolved::Commit(commit.clone()),
            None if self.fetched => Resolved::Unknown,
            None => Resolved::NotFetched,
        }
    }
}
