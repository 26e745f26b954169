//! What may be written for an application: what its policy permits, and what a person asked for
//! beside it.

use super::{FROZEN, SKIPPED, doubted};
use crate::model::{ObjectKey, Seq};
use crate::replay::{App, World};

/// Whether greffier may write for an application at all, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Creations and updates, of some objects at least.
    pub apply: bool,
    /// Putting drift back, of some objects at least.
    pub heal: bool,
    /// Removing what left Git, some objects at least.
    pub prune: bool,
    /// Writing what a person decided to hold.
    pub hold: bool,
    /// Why not, where something is not permitted.
    pub why_not: String,
    policy: Policy,
    asked: Option<Asked>,
}

/// What is permitted without anybody asking, for every object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Policy {
    apply: bool,
    heal: bool,
    prune: bool,
}

/// What a request permits beside the policy: each object once. It is no policy of its own,
/// however long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    seq: Seq,
    prune: bool,
    /// Only these objects; empty = all.
    only: Vec<ObjectKey>,
}

impl Asked {
    fn covers(&self, key: &ObjectKey) -> bool {
        self.only.is_empty() || self.only.contains(key)
    }
}

impl Permission {
    fn none(why_not: impl Into<String>) -> Self {
        Self::by(Policy::default(), why_not)
    }

    fn by(policy: Policy, why_not: impl Into<String>) -> Self {
        let Policy { apply, heal, prune } = policy;
        Self { apply, heal, prune, hold: false, why_not: why_not.into(), policy, asked: None }
    }

    pub(super) fn of(world: &World, app: &App) -> Self {
        if world.observe {
            return Self::none("greffier only observes (--observe)");
        }
        if let Some(why) = doubted::why(world) {
            return Self::none(why);
        }
        if world.freeze().is_some() {
            return Self::none(FROZEN);
        }
        if app.spec.skip {
            return Self::none(SKIPPED);
        }
        if let Some(error) = &world.cluster.lost {
            return Self::none(format!("the API server cannot be reached: {error}"));
        }
        if app.is_paused(world.now) {
            return Self::none("the application is paused");
        }
        if app.removing {
            // Whoever removed the application asked for its objects to go, whatever its policy
            // says about what leaves Git.
            let prune = Policy { prune: true, ..Policy::default() };
            return Self::by(prune, "the application is being removed");
        }
        let by_policy = match app.spec.automated {
            Some(automated) => {
                let (heal, prune) = (automated.self_heal, automated.prune);
                let policy = Policy { apply: true, heal, prune };
                Self::by(policy, "the automated policy does not include it")
            }
            None => Self::none("the application is synced by hand (no `automated` policy)"),
        };
        Self { hold: true, ..by_policy }.with_request(world, app)
    }

    fn with_request(self, world: &World, app: &App) -> Self {
        let Some(request) = app.asked(world.now) else { return self };
        let asked = Asked { seq: request.seq, prune: request.prune, only: request.only.clone() };
        Self {
            apply: true,
            heal: true,
            prune: self.prune || request.prune,
            asked: Some(asked),
            ..self
        }
    }

    /// Whether a person asked for the object to be as Git says, and it was not written since.
    /// `written` is the event of its last write.
    pub(super) fn is_asked(&self, key: &ObjectKey, written: Option<Seq>) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| asked.covers(key) && written < Some(asked.seq))
    }

    /// Whether the object may be created or updated.
    pub(super) fn applies(&self, key: &ObjectKey, written: Option<Seq>) -> bool {
        self.policy.apply || self.is_asked(key, written)
    }

    /// Whether drift of the object may be put back.
    pub(super) fn heals(&self, key: &ObjectKey, written: Option<Seq>) -> bool {
        self.policy.heal || self.is_asked(key, written)
    }

    /// Whether the policy applies and a render that came after a drift puts it back.
    pub(super) fn follows_git(&self) -> bool {
        self.policy.apply
    }

    /// Whether the object may be removed once it left Git.
    pub(super) fn prunes(&self, key: &ObjectKey) -> bool {
        self.policy.prune
            || self.asked.as_ref().is_some_and(|asked| asked.prune && asked.covers(key))
    }

    /// Why the object is not written to, where it is not.
    pub(super) fn why_not(&self, key: &ObjectKey) -> &str {
        match &self.asked {
            Some(asked) if !asked.covers(key) && !self.policy.apply => {
                "the sync was asked for other objects"
            }
            Some(_) if !self.policy.apply => "the sync that was asked for has written it already",
            _ => &self.why_not,
        }
    }

    /// Why the object is not removed, where it is not.
    pub(super) fn why_not_pruned(&self, key: &ObjectKey) -> &str {
        match &self.asked {
            Some(asked) if !asked.covers(key) => "the sync was asked for other objects",
            Some(asked) if !asked.prune => "--prune was not given",
            _ => &self.why_not,
        }
    }
}
