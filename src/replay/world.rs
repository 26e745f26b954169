//! The world: everything that is known, at one position of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::adrift::Adrift;
use super::application::{App, Pause, RenderProblem};
use super::attributed::Attributed;
use super::audit::AuditState;
use super::cluster::{ClusterState, LiveObject, OpenIntent, Owned};
use super::deletions::CountedFor;
use super::git::{Repo, Resolved};
use super::later::OwnWrites;
use super::left::LeftBehind;
use super::push::OpenPush;
use super::restore::OpenRestore;
use super::rollback::AppHold;
use super::stays::Stays;
use crate::config::PersonConfig;
use crate::model::{AppName, CommitId, Digest, ObjectKey, RollbackRule, Seq, Timestamp};

/// The version of this projection. A snapshot of another version is not read.
pub const VERSION: u32 = 59;

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
    /// Who is behind which credential, as that configuration says.
    pub people: Vec<PersonConfig>,
    /// When applications are rolled back by themselves, as that configuration says.
    pub rollback: RollbackRule,
    /// How often that was done.
    pub rollbacks: u64,
    /// How often it was to be done and was not.
    pub rollbacks_refused: u64,
    /// The versions of the programs that render, and of greffier's own rules, as last found.
    pub programs: BTreeMap<String, String>,
    /// The cluster.
    pub cluster: ClusterState,
    /// Repositories by URL.
    pub repos: BTreeMap<String, Repo>,
    /// Applications.
    pub apps: BTreeMap<AppName, App>,
    /// Holds of objects that no application wants now, in the order in which they came to be so.
    pub adrift: Vec<Adrift>,
    /// Objects that were left when their application went because of a release.
    pub left: BTreeMap<AppName, LeftBehind>,
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
    /// What is known of the times of greffier's own writes.
    pub own_writes: OwnWrites,
    /// Intents without all their outcomes.
    pub intents: BTreeMap<Seq, OpenIntent>,
    /// Writes that bring back objects of no application and have not ended.
    pub restores: BTreeMap<Seq, OpenRestore>,
    /// What the replays onto another cluster brought and nobody has adopted. Boxed, because
    /// there is hardly ever anything, and futures hold whole worlds.
    pub replayed: Box<Stays>,
    /// Pushes that have not ended.
    pub pushes: BTreeMap<Seq, OpenPush>,
    /// Commits that greffier made and that are not fetched yet, with the event that intended them.
    pub made: BTreeMap<CommitId, Seq>,
    /// Objects with an open intent.
    pub in_flight: BTreeMap<ObjectKey, Seq>,
    /// What the API server's audit told of itself.
    pub audit: AuditState,
    /// How well changes are known since the running daemon started.
    pub attributed: Attributed,
    /// How many deletions were begun over all applications for what asked for them; the newest 64.
    pub deletions: BTreeMap<CountedFor, (Seq, u32)>,
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

    /// Whether the application is not where its repository is, or soon may be.
    fn is_behind(&self, app: &App) -> bool {
        self.render_pending(app) || self.render_problem(app).is_some_and(RenderProblem::is_passing)
    }

    /// Why the newest revision of an application does not render.
    #[must_use]
    pub fn render_problem<'a>(&self, app: &'a App) -> Option<&'a RenderProblem> {
        let problem = app.render_problem.as_ref();
        let problem = problem.filter(|p| p.declared == app.declared && !app.removing)?;
        self.wanted(app).is_some_and(|wanted| wanted == problem.commits).then_some(problem)
    }

    /// An application whose newest revision still has to be rendered, if there is one. Until
    /// there is none, an object that nobody wants may be on its way to another application.
    #[must_use]
    pub fn behind(&self) -> Option<&AppName> {
        self.apps.iter().find(|(_, app)| self.is_behind(app)).map(|(name, _)| name)
    }

    /// The same, for what a hold drops: it waits for none that is held with it. What Git says of
    /// that one takes no force before its release.
    #[must_use]
    pub fn behind_hold(&self, hold: &AppHold) -> Option<&AppName> {
        let with_it = |app: &App| {
            app.hold.as_ref().is_some_and(|other| hold.tree.is_some() && other.tree == hold.tree)
        };
        let mut apps = self.apps.iter();
        apps.find(|(_, app)| self.is_behind(app) && !with_it(app)).map(|(name, _)| name)
    }

    /// The live objects that a watch or a list has shown. What is known from the answer to our
    /// own write alone must be shown by the next list, or it is gone.
    pub fn observed(&self) -> impl Iterator<Item = (&ObjectKey, &LiveObject)> {
        self.live.iter().filter(|(_, live)| !live.answered)
    }
}
