//! The world: everything that is known, at one position of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::application::{App, Pause};
use super::cluster::{ClusterState, LiveObject, OpenIntent, Owned};
use super::git::{Repo, Resolved};
use crate::model::{AppName, CommitId, Digest, ObjectKey, Seq, Timestamp};

/// The version of this projection. A snapshot of another version is not read.
pub const VERSION: u32 = 18;

/// Everything that is known at one position of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The last event folded.
    pub seq: Seq,
    /// When it was recorded: the only "now" that decisions know.
    pub now: Timestamp,
    /// Whether the running daemon may only record and plan.
    pub observe: bool,
    /// The freeze: nothing is written for any application.
    pub frozen: Option<Pause>,
    /// When the running daemon started.
    pub started: Seq,
    /// The digest of the configuration in force.
    pub config: Digest,
    /// The versions of the programs that render, and of greffier's own rules, as last found.
    pub programs: BTreeMap<String, String>,
    /// The cluster.
    pub cluster: ClusterState,
    /// Repositories by URL.
    pub repos: BTreeMap<String, Repo>,
    /// Applications.
    pub apps: BTreeMap<AppName, App>,
    /// Live objects.
    pub live: BTreeMap<ObjectKey, LiveObject>,
    /// What greffier applied.
    pub owned: BTreeMap<ObjectKey, Owned>,
    /// The keys of `owned` by application. Derived, like `extras`: see `index.rs`.
    pub(super) owned_keys: BTreeMap<AppName, BTreeSet<ObjectKey>>,
    /// The keys of `owned` that no application wants, by the application that owns them.
    pub(super) extras: BTreeMap<AppName, BTreeSet<ObjectKey>>,
    /// Which applications want an object; almost always one.
    pub wanted_by: BTreeMap<ObjectKey, BTreeSet<AppName>>,
    /// Intents without all their outcomes.
    pub intents: BTreeMap<Seq, OpenIntent>,
    /// Objects with an open intent.
    pub in_flight: BTreeMap<ObjectKey, Seq>,
    /// How many deletions were begun for a commit over all applications, newest 64 commits.
    pub deletions: BTreeMap<CommitId, (Seq, u32)>,
}

/// What an event may have changed the plan of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// These applications.
    pub apps: BTreeSet<AppName>,
    /// Every application.
    pub all: bool,
}

impl Touched {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Every application.
    #[must_use]
    pub fn all() -> Self {
        Self { apps: BTreeSet::new(), all: true }
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.apps.extend(other.apps);
        self.all |= other.all;
        self
    }

    /// One application.
    #[must_use]
    pub fn app(app: &AppName) -> Self {
        Self { apps: BTreeSet::from([app.clone()]), all: false }
    }
}

impl World {
    /// What each source's revision resolves to now, in order.
    #[must_use]
    pub fn resolve(&self, app: &App) -> Vec<Resolved> {
        let sources = app.spec.sources.iter();
        sources
            .map(|source| match self.repos.get(&source.repo) {
                Some(repo) => repo.resolve(&source.revision),
                None => Resolved::NotFetched,
            })
            .collect()
    }

    /// The commit that each source stands for now, `None` where its revision does not exist.
    /// `None` in all while a repository was not fetched yet.
    #[must_use]
    pub fn wanted(&self, app: &App) -> Option<Vec<Option<CommitId>>> {
        let resolved = self.resolve(app).into_iter();
        resolved
            .map(|resolved| match resolved {
                Resolved::Commit(commit) => Some(Some(commit)),
                Resolved::Unknown => Some(None),
                Resolved::NotFetched => None,
            })
            .collect()
    }

    /// The freeze, while it is in force.
    #[must_use]
    pub fn freeze(&self) -> Option<&Pause> {
        self.frozen.as_ref().filter(|freeze| freeze.holds(self.now))
    }

    /// Whether the newest revision of `app` still has to be rendered.
    #[must_use]
    pub fn render_pending(&self, app: &App) -> bool {
        if app.removing || app.spec.skip {
            return false;
        }
        // A repository that cannot be fetched must not stop everybody else.
        let Some(wanted) = self.wanted(app) else { return self.may_be_fetched(app) };
        if let Some(problem) = &app.render_problem
            && problem.declared == app.declared
            && problem.commits == wanted
        {
            return problem.is_due(self.now);
        }
        match app.newest() {
            Some(desired) => {
                !desired.stands_for(&wanted)
                    || desired.declared != app.declared
                    || self.made_otherwise(desired)
                    || desired.unknown_kinds.iter().any(|k| self.cluster.kinds.contains_key(k))
            }
            None => true,
        }
    }

    /// Whether every repository that was not fetched yet may still be.
    fn may_be_fetched(&self, app: &App) -> bool {
        app.spec.sources.iter().all(|source| {
            self.repos.get(&source.repo).is_none_or(|repo| repo.fetched || repo.error.is_none())
        })
    }

    /// An application whose newest revision still has to be rendered, if there is one. Until
    /// there is none, an object that nobody wants may be on its way to another application.
    #[must_use]
    pub fn behind(&self) -> Option<&AppName> {
        self.apps.iter().find(|(_, app)| self.render_pending(app)).map(|(name, _)| name)
    }

    /// The live objects that a watch or a list has shown. What is known from the answer to our
    /// own write alone must be shown by the next list, or it is gone.
    pub fn observed(&self) -> impl Iterator<Item = (&ObjectKey, &LiveObject)> {
        self.live.iter().filter(|(_, live)| !live.answered)
    }

    /// The applications that `parent` declared.
    pub fn children<'a>(&'a self, parent: &'a AppName) -> impl Iterator<Item = &'a AppName> {
        use crate::ledger::event::Origin;
        self.apps.iter().filter_map(move |(name, app)| match &app.origin {
            Origin::Parent(declared_by) if declared_by == parent => Some(name),
            _ => None,
        })
    }
}
