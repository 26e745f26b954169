//! What may have the objects that leave an application.
//!
//! An object that leaves one application and enters another must not be deleted in between. What
//! another application is known to want is not deleted anyway; here is what is *not* known: what
//! an application would have by a definition or a revision that came with what drops the objects,
//! or after it, and that nobody has rendered. What was not known before stops nobody: the objects
//! were elsewhere then.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::application::{App, Desired};
use super::deletions::CountedFor;
use super::world::World;
use crate::ledger::event::{DesiredObject, Origin};
use crate::model::{AppName, CommitId, ObjectKey, Seq};

/// Bound: of how many definitions in a row that nobody rendered it is remembered what asked for
/// them.
const ASKED_BY_MAX: usize = 16;

/// What dropped a child application out of what its parent renders to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The event with which that took force.
    pub seq: Seq,
    /// The commit that was rendered.
    pub commit: CommitId,
}

/// Who may have what leaves an application, because nobody knows what it would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayHave<'w> {
    /// The application stopped rendering with the commit that dropped the objects, or after it.
    Fails {
        /// The application.
        app: &'w AppName,
        /// Whether that was after it.
        later: bool,
    },
    /// The application was defined by that commit, or after it, and was not rendered since.
    Unrendered(&'w AppName),
    /// An Application that is not defined as what is in force says.
    Undefined {
        /// The application that renders it.
        parent: &'w AppName,
        /// The Application.
        key: &'w ObjectKey,
        /// Why it cannot be defined; `None` = it could be.
        why: Option<String>,
    },
}

impl fmt::Display for MayHave<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails { app, later: false } => write!(
                f,
                "application {app} does not render since the commit that dropped it, and may have it"
            ),
            Self::Fails { app, later: true } => write!(
                f,
                "application {app} does not render since a commit after the one that dropped it, \
                 and may have it"
            ),
            Self::Unrendered(app) => write!(
                f,
                "application {app} was never rendered since the commit that dropped it, and may \
                 have it"
            ),
            Self::Undefined { parent, key, why: Some(why) } => write!(
                f,
                "Application/{} of {parent} cannot be defined ({why}), and may have it",
                key.name()
            ),
            Self::Undefined { parent, key, why: None } => {
                write!(f, "Application/{} of {parent} is not defined, and may have it", key.name())
            }
        }
    }
}

impl MayHave<'_> {
    /// Whether it passes by itself: what is in force is defined without anybody's word.
    #[must_use]
    pub fn passes(&self, world: &World) -> bool {
        let Self::Undefined { parent, key, why: None } = self else { return false };
        let Some(parent) = world.apps.get(*parent) else { return false };
        let in_force =
            parent.desired.as_ref().is_some_and(|desired| desired.objects.contains_key(*key));
        in_force && parent.may_define(world.now)
    }
}

/// What takes objects out of an application.
struct Drop<'w> {
    /// The commit that asks for it.
    commit: &'w CommitId,
    /// What dropped the application itself, and when.
    parent: Option<(&'w AppName, Seq)>,
}

impl App {
    /// Why the child application that `object` is cannot be defined at all.
    #[must_use]
    pub fn why_undefinable(&self, object: &DesiredObject) -> Option<String> {
        let Ok(child) = object.key.name().parse::<AppName>() else {
            return Some(format!("`{}` is no application name", object.key.name()));
        };
        // An Application is no Secret: its digest is that of its manifest, which is declared.
        let (refused, error) = self.refused.get(&child)?;
        (*refused == object.digest).then(|| error.clone())
    }
}

impl Desired {
    /// What drops the children that it does not have, when it takes force with the event `seq`.
    /// What a hold drops was shown with the hold, and was not there at its instant.
    fn drops(&self, seq: Seq) -> Option<Dropped> {
        let held = matches!(self.counted, Some(CountedFor::Rollback(_) | CountedFor::ByRule(_)));
        (!held).then(|| Dropped { seq, commit: self.rendered.clone() })
    }
}

impl World {
    /// The commits that asked for the definitions of an application since it was rendered, with
    /// the one that asks for the definition which comes from there now.
    pub(super) fn asked_by(&self, name: &AppName, origin: &Origin) -> Vec<CommitId> {
        let former = self.apps.get(name).filter(|app| app.is_unrendered());
        let mut commits = former.map(|app| app.asked_by.clone()).unwrap_or_default();
        let parent = if let Origin::Parent(parent) = origin { self.apps.get(parent) } else { None };
        let commit = parent.and_then(App::rendered);
        commits.retain(|known| Some(known) != commit);
        commits.extend(commit.cloned());
        let over = commits.len().saturating_sub(ASKED_BY_MAX);
        commits.drain(..over);
        commits
    }

    /// What may have the objects that leave `app`, whether it drops them or is removed itself,
    /// because nobody knows what it would have since the commit that dropped them. What was not
    /// known before stops nobody, and neither does what leaves Git itself, nor anybody whom a
    /// person overrules. `defining` is what the application is about to define.
    #[must_use]
    pub fn may_have_what_left<'w>(
        &'w self,
        name: &'w AppName,
        app: &'w App,
        defining: &[(AppName, Vec<u8>)],
    ) -> Option<MayHave<'w>> {
        let dropped = self.dropping(app)?;
        let overruled = app.request.as_ref().filter(|request| request.prune);
        let lets = |known: Seq| overruled.is_some_and(|request| known <= request.seq);
        let mut others = self.apps.iter();
        let fails = others.find_map(|(other, state)| {
            let problem = self.render_problem(state).filter(|_| !state.spec.skip)?;
            let later = !problem.since.iter().flatten().any(|commit| commit == dropped.commit);
            let is_later = || self.is_later(other, problem.first, &dropped);
            let waits = (!later || (!state.is_unrendered() && is_later()))
                && !lets(problem.seq)
                && !self.is_leaving(other)
                && !self.is_of_hold(state);
            waits.then_some(MayHave::Fails { app: other, later })
        });
        if fails.is_some() {
            return fails;
        }
        // What a hold drops was not there at its instant, whoever has it now.
        if app.is_held() || (app.removing && dropped.parent.is_none()) {
            return None;
        }
        let mut others = self.apps.iter();
        let unrendered = others.find(|(other, state)| {
            let same = state.asked_by.contains(dropped.commit);
            state.is_unrendered()
                && (same || self.is_later(other, state.declared, &dropped))
                && !lets(state.declared)
                && !self.is_leaving(other)
                && !self.is_of_hold(state)
        });
        if let Some((other, _)) = unrendered {
            return Some(MayHave::Unrendered(other));
        }
        let parents = [(!app.removing).then_some(name), app.origin.parent()].into_iter().flatten();
        parents
            .filter_map(|parent| Some((parent, self.apps.get(parent)?)))
            .filter(|(_, parent)| app.removing || parent.rendered() == Some(dropped.commit))
            .find_map(|(name, parent)| self.undefined(name, parent, defining, &lets))
            .or_else(|| self.not_defined_yet(app, defining, &lets))
    }

    /// An Application that another application would define and does not yet: it is held, paused,
    /// synced by hand, or waits itself. One commit may move objects there, and further commits
    /// may come by meanwhile, so when it was asked for first says nothing. Only who follows a
    /// repository of what drops the objects can have been asked by the same commit.
    fn not_defined_yet<'w>(
        &'w self,
        app: &App,
        defining: &[(AppName, Vec<u8>)],
        lets: &dyn Fn(Seq) -> bool,
    ) -> Option<MayHave<'w>> {
        let by = app.origin.parent().filter(|_| app.removing);
        let by = by.and_then(|parent| self.apps.get(parent)).unwrap_or(app);
        let shares = |other: &App| {
            other.spec.sources.iter().any(|own| by.spec.sources.iter().any(|s| s.repo == own.repo))
        };
        let mut others = self.apps.iter().filter(|(_, other)| !other.removing && shares(other));
        others.find_map(|(name, other)| {
            let waits = other.proposed.as_ref().map(|proposed| &proposed.desired);
            let asked = waits.or(other.desired.as_ref()).filter(|asked| !lets(asked.seq))?;
            let mut children = asked.objects.values().filter(|o| o.key.is_application());
            let child = children.find(|object| {
                let about_to = || defining.iter().any(|(c, _)| c.as_str() == object.key.name());
                other.why_undefinable(object).is_none()
                    && self.waits_for_its_definition(name, object)
                    && !about_to()
            })?;
            Some(MayHave::Undefined { parent: name, key: &child.key, why: None })
        })
    }

    /// What takes objects out of `app`, if anything does.
    fn dropping<'w>(&'w self, app: &'w App) -> Option<Drop<'w>> {
        let parent = app.origin.parent().filter(|_| app.removing);
        if let Some((parent, dropped)) = parent.zip(app.dropped.as_ref()) {
            return Some(Drop { commit: &dropped.commit, parent: Some((parent, dropped.seq)) });
        }
        let by = parent.and_then(|parent| self.apps.get(parent)).unwrap_or(app);
        Some(Drop { commit: by.rendered()?, parent: None })
    }

    /// Whether what is known of `other` since `seq` came after a parent had dropped an
    /// application, and below that very parent: whoever mends a rename that failed may name
    /// another heir.
    fn is_later(&self, other: &AppName, seq: Seq, dropped: &Drop<'_>) -> bool {
        let Some((parent, since)) = dropped.parent else { return false };
        let mut next = self.apps.get(other).and_then(|other| other.origin.parent());
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..self.apps.len() {
            let Some(above) = next.filter(|_| since <= seq) else { return false };
            if above == parent {
                return true;
            }
            next = self.apps.get(above).and_then(|above| above.origin.parent());
        }
        false
    }

    /// An Application in what is in force of `parent` that is not defined as that says.
    fn undefined<'w>(
        &'w self,
        name: &'w AppName,
        parent: &'w App,
        defining: &[(AppName, Vec<u8>)],
        lets: &dyn Fn(Seq) -> bool,
    ) -> Option<MayHave<'w>> {
        let desired = parent.desired.as_ref()?;
        if parent.removing || lets(desired.seq) {
            return None;
        }
        let mut children = desired.objects.values().filter(|object| object.key.is_application());
        children.find_map(|object| {
            let why = parent.why_undefinable(object);
            let key = &object.key;
            let about_to = || defining.iter().any(|(child, _)| child.as_str() == key.name());
            let waits = || self.waits_for_its_definition(name, object) && !about_to();
            (why.is_some() || waits()).then_some(MayHave::Undefined { parent: name, key, why })
        })
    }

    /// Whether the child application is not there as `object` defines it, and nobody else defines
    /// it.
    fn waits_for_its_definition(&self, parent: &AppName, object: &DesiredObject) -> bool {
        let Ok(child) = object.key.name().parse::<AppName>() else { return true };
        let Some(known) = self.apps.get(&child) else { return true };
        let elsewhere = match known.origin.parent() {
            Some(other) if other == parent => false,
            Some(other) => self.apps.get(other).is_some_and(|other| other.defines(&child)),
            None => true,
        };
        !elsewhere && (known.removing || known.manifest != object.digest)
    }

    /// Notes which children of `parent` its new render drops, and which it has again.
    pub(super) fn note_dropped(
        &mut self,
        parent: &AppName,
        left: &[ObjectKey],
        entered: &[ObjectKey],
    ) {
        let desired = self.apps.get(parent).and_then(|parent| parent.desired.as_ref());
        let dropped = desired.and_then(|desired| desired.drops(self.seq));
        let origin = Origin::Parent(parent.clone());
        let left = left.iter().map(|key| (key, dropped.as_ref()));
        let entered = entered.iter().map(|key| (key, None));
        for (key, dropped) in left.chain(entered).filter(|(key, _)| key.is_application()) {
            let child = key.name().parse::<AppName>().ok();
            let child = child.and_then(|child| self.apps.get_mut(&child));
            if let Some(child) = child.filter(|child| child.origin == origin) {
                child.dropped = dropped.cloned();
            }
        }
    }

    /// Whether it is a hold that defines the application, and not Git: it has what the hold says.
    fn is_of_hold(&self, app: &App) -> bool {
        let parent = app.origin.parent().and_then(|parent| self.apps.get(parent));
        let hold = parent.and_then(|parent| parent.hold.as_ref());
        hold.is_some_and(|hold| hold.seq < app.declared)
    }

    /// Whether the application is being removed, or what defined it, or that has left Git.
    fn is_leaving(&self, name: &AppName) -> bool {
        let mut name = name;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..self.apps.len() {
            let Some(app) = self.apps.get(name).filter(|app| !app.removing) else { return true };
            let Origin::Parent(parent) = &app.origin else { return false };
            if !self.apps.get(parent).is_some_and(|parent| parent.defines(name)) {
                return true;
            }
            name = parent;
        }
        false
    }
}
