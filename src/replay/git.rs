//! What is known of Git: the refs of each repository, and what a revision resolves to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::CommitId;

/// A repository as last fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// Its refs by full name, and `HEAD`.
    pub refs: BTreeMap<String, CommitId>,
    /// Where refs were that are gone and that applications follow.
    pub gone: BTreeMap<String, CommitId>,
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
        match named(&self.refs, revision) {
            Some(commit) => Resolved::Commit(commit.clone()),
            None if self.fetched => Resolved::Unknown,
            None => Resolved::NotFetched,
        }
    }

    /// Where `revision` was, if nothing is there now.
    #[must_use]
    pub(super) fn was(&self, revision: &str) -> Option<&CommitId> {
        let gone = self.resolve(revision) == Resolved::Unknown;
        named(&self.gone, revision).filter(|_| gone)
    }
}

/// The ref that a revision names.
fn named<'a>(refs: &'a BTreeMap<String, CommitId>, revision: &str) -> Option<&'a CommitId> {
    let found = refs.get(revision);
    let found = found.or_else(|| refs.get(&format!("refs/heads/{revision}")));
    found.or_else(|| refs.get(&format!("refs/tags/{revision}")))
}

/// Whether `revision` may name the ref.
pub(super) fn may_name(revision: &str, name: &str) -> bool {
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
    revision == name || short == Some(revision)
}
