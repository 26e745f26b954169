//! What is known of Git: the refs of each repository, and what a revision resolves to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use crate::ledger::event::FetchFailedV1;
use crate::model::{CommitId, Seq};

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
    /// The event that told last what came of fetching it.
    pub asked: Seq,
    /// The event that told last that it was fetched.
    pub heard: Seq,
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
    /// An event told that it was fetched, or that it could not be. Returns whether that is the first
    /// word since the daemon started.
    pub(super) fn told(&mut self, seq: Seq, started: Seq, fetched: bool) -> bool {
        let first = self.asked < started || (fetched && self.heard < started);
        self.asked = seq;
        if fetched {
            self.heard = seq;
            self.fetched = true;
        }
        first
    }

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

impl World {
    pub(super) fn fetch_recovered(&mut self, name: &str) -> Touched {
        let repo = self.repos.entry(name.to_owned()).or_default();
        repo.error = None;
        if repo.told(self.seq, self.started, true) {
            return Touched::all();
        }
        self.apps_of_repo(name)
    }

    pub(super) fn fetch_failed(&mut self, body: &FetchFailedV1) -> Touched {
        let repo = self.repos.entry(body.repo.clone()).or_default();
        repo.error = Some(body.error.clone());
        if repo.told(self.seq, self.started, false) {
            return Touched::all();
        }
        // Others may have been waiting for what this repository would say.
        if repo.fetched { Touched::nothing() } else { self.caught_up() }
    }

    pub(super) fn apps_of_repo(&self, repo: &str) -> Touched {
        let apps = self.apps.iter();
        let apps = apps.filter(|(_, app)| app.spec.sources.iter().any(|s| s.repo == repo));
        Touched { apps: apps.map(|(name, _)| name.clone()).collect(), all: false }
    }
}

/// The ref that a revision names.
fn named<'a>(refs: &'a BTreeMap<String, CommitId>, revision: &str) -> Option<&'a CommitId> {
    let found = refs.get(revision);
    let found = found.or_else(|| refs.get(&format!("refs/heads/{revision}")));
    found.or_else(|| refs.get(&format!("refs/tags/{revision}")))
}

/// Whether `revision` may name the ref.
#[must_use]
pub fn may_name(revision: &str, name: &str) -> bool {
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
    revision == name || short == Some(revision)
}
