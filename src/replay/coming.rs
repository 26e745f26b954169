//! What comes in the place of what goes, in other applications.
//!
//! Whoever renames an application often renames its objects with it: the names of a Helm chart are
//! those of its release. Then one application goes and another comes, here or below another parent;
//! or an application has itself what an application below it had, or the other way round. What goes
//! stays until what comes is written, as within one application (`plan/assess/unwritten.rs`), or
//! until a person says so.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::application::App;
use super::deletions::CountedFor;
use super::in_the_way::may_be_in_the_way;
use super::world::{Touched, World};
use crate::ledger::event::{CREATE_NAMESPACE, DesiredObject};
use crate::model::{AppName, GroupKind, ObjectKey, Source};

/// With which word an application came or goes, and what else came with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// What its parent stood for when the application came.
    pub came: Option<CountedFor>,
    /// The same when it began to go, and when what had come with that went again.
    pub went: BTreeSet<CountedFor>,
    /// The objects that it wants since something of it, or below it, has to go.
    pub objects: BTreeSet<ObjectKey>,
}

/// What is not written of what comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coming(Vec<Unwritten>);

/// An object, or an application, that is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// What is said of it.
    pub what: String,
    /// Whether it may pass.
    pub may_pass: bool,
    /// What goes of these kinds is not held back: it waits for a wave that may wait for that.
    frees: BTreeSet<GroupKind>,
}

impl Coming {
    /// What holds back an object that is to go.
    #[must_use]
    pub fn holds_back(&self, key: &ObjectKey) -> Option<&Unwritten> {
        let kind = key.group_kind();
        self.0.iter().find(|unwritten| !unwritten.frees.contains(&kind))
    }

    /// Notes what is not written, unless others hold back as much. Returns whether it holds back
    /// everything.
    fn note(&mut self, unwritten: Unwritten) -> bool {
        let all = unwritten.frees.is_empty();
        if self.0.iter().all(|other| !other.frees.is_subset(&unwritten.frees)) {
            self.0.push(unwritten);
        }
        all
    }
}

/// What is said of an object that is not written beside what is to go.
#[must_use]
pub fn not_written(what: impl Display, why: &str) -> String {
    format!("{what}, which may stand in its place, is not written: {why}")
}

impl World {
    /// What is not written of what came while `app`, which is being removed, had to go: of the
    /// applications that came below the same parent, of those that came with the same word elsewhere
    /// and are of the same files, and of the parent's own.
    #[must_use]
    pub fn unwritten_for(&self, app: &App) -> Coming {
        let mut coming = Coming::default();
        let Some((going, name, parent)) = self.removed_by(app) else { return coming };
        let mut apps = entered(parent);
        let went = &going.last().unwrap_or(&app).arrival.went;
        apps.extend(self.apps.iter().filter_map(|(name, other)| {
            let came = other.arrival.came.as_ref().is_some_and(|came| went.contains(came));
            let heir = came && !other.removing && going.iter().any(|app| is_of_same(app, other));
            heir.then_some(name)
        }));
        if !self.note_unwritten(apps, &mut coming) {
            let own = parent.desired.iter().flat_map(|desired| desired.objects.values());
            let own = own.filter(|object| parent.arrival.objects.contains(&object.key));
            self.note_objects((name, parent), own, &mut coming);
        }
        coming
    }

    /// What is not written of the applications that came below `app` while something of its own had
    /// to go.
    #[must_use]
    pub fn unwritten_below(&self, app: &App) -> Coming {
        let mut coming = Coming::default();
        self.note_unwritten(entered(app), &mut coming);
        coming
    }

    /// `app` with those that it goes with, from below, and the one that does not define the last of
    /// them any more.
    fn removed_by<'w>(&'w self, app: &'w App) -> Option<(Vec<&'w App>, &'w AppName, &'w App)> {
        let mut going = vec![app];
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            let (name, parent) = self.apps.get_key_value(going.last()?.origin.parent()?)?;
            if !parent.removing {
                return Some((going, name, parent));
            }
            going.push(parent);
        }
        None
    }

    /// `app`, which came with one word, goes with another: what went with the first waits for what
    /// comes with the second.
    pub(super) fn note_went(&mut self, app: &AppName, counted: &CountedFor) {
        let Some(gone) = self.apps.get_mut(app) else { return };
        gone.arrival.went.insert(counted.clone());
        let Some(came) = gone.arrival.came.clone() else { return };
        for other in self.apps.values_mut().filter(|other| other.removing) {
            if other.arrival.went.contains(&came) {
                other.arrival.went.insert(counted.clone());
            }
        }
    }

    /// Those that have something to remove, once everything is written that they wait for.
    pub(super) fn waited_for_by_what_goes(&self, app: &AppName) -> Touched {
        let mut touched = Touched::nothing();
        let going = || self.apps.iter().filter(|(_, app)| app.removing);
        if going().any(|(_, app)| self.unwritten_for(app).0.is_empty()) {
            touched.apps.extend(going().map(|(name, _)| name.clone()));
        }
        let (mut app, mut seen) = (self.apps.get(app), BTreeSet::new());
        while let Some(parent) = app.and_then(|app| app.origin.parent()) {
            app = self.apps.get(parent).filter(|_| seen.insert(parent));
            let waits = app.filter(|_| self.extras_of(parent).next().is_some()).map(entered);
            if waits.is_some_and(|apps| !apps.is_empty()) {
                touched.apps.insert(parent.clone());
            }
        }
        touched
    }

    /// Notes what is not written of these applications and of those that they bring. Returns whether
    /// that holds back everything.
    fn note_unwritten<'w>(&'w self, mut open: Vec<&'w AppName>, coming: &mut Coming) -> bool {
        let mut seen: BTreeSet<&AppName> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some(app) = self.apps.get(name).filter(|app| !app.removing && seen.insert(name))
            else {
                continue;
            };
            let Some(desired) = &app.desired else {
                let what =
                    format!("application {name}, which may stand in its place, is not rendered");
                let (may_pass, frees) = (app.render_problem.is_none(), BTreeSet::new());
                return coming.note(Unwritten { what, may_pass, frees });
            };
            let below = desired.objects.keys().filter_map(ObjectKey::child);
            let below = below.filter_map(|child| self.apps.get_key_value(&child));
            open.extend(below.filter(|(_, of)| of.origin.parent() == Some(name)).map(|(n, _)| n));
            if self.note_objects((name, app), desired.objects.values(), coming) {
                return true;
            }
        }
        false
    }

    fn note_objects<'w>(
        &self,
        (name, app): (&AppName, &App),
        objects: impl Iterator<Item = &'w DesiredObject> + Clone,
        coming: &mut Coming,
    ) -> bool {
        let refused = objects.clone().filter(|object| app.is_in_the_way(object));
        let refused: Vec<(i32, GroupKind)> =
            refused.map(|object| (object.wave, object.key.group_kind())).collect();
        for object in objects.filter(|object| !object.key.is_application()) {
            let Some((why, may_pass)) = self.why_unwritten((name, app), object) else { continue };
            let what = not_written(format!("{} of application {name}", object.key), &why);
            let earlier = refused.iter().filter(|(wave, _)| *wave < object.wave);
            let frees = match app.failed(object) {
                Some(_) => BTreeSet::new(),
                None => earlier.map(|(_, kind)| kind.clone()).collect(),
            };
            if coming.note(Unwritten { what, may_pass, frees }) {
                return true;
            }
        }
        false
    }

    /// Why an object that an application wants is not written, and whether that may pass; `None` = it
    /// is, or it never will be.
    fn why_unwritten(
        &self,
        (name, app): (&AppName, &App),
        object: &DesiredObject,
    ) -> Option<(String, bool)> {
        let key = &object.key;
        let mut wanting = self.wanted_by.get(key).into_iter().flatten();
        let written = match self.owned.get(key) {
            Some(owned) if owned.app == *name => owned.applied == object.digest,
            // It goes from one to the other, or stays with whoever has it.
            Some(_) => true,
            None if wanting.any(|other| other != name) => true,
            None => object.origin == CREATE_NAMESPACE && self.live.contains_key(key),
        };
        let restrained = app.spec.restraints.iter().any(|restraint| restraint.holds_all());
        let suspended = restrained || !object.holds.is_empty();
        let held = app.is_kept_away(key, self.now) || app.is_held_as_it_was(key);
        if written || suspended || held || self.is_never_seen(key) || app.is_in_the_way(object) {
            return None;
        }
        match app.failed(object) {
            Some(attempt) => Some((attempt.error.clone(), !attempt.refused)),
            None if app.is_paused(self.now) => Some(("the application is paused".into(), false)),
            None if app.spec.automated.is_none() => Some(("it is synced by hand".into(), false)),
            None => Some(("it waits".into(), true)),
        }
    }

    /// Whether nobody can see objects of the kind.
    fn is_never_seen(&self, key: &ObjectKey) -> bool {
        let (cluster, kind) = (&self.cluster, key.group_kind());
        let unwatchable = cluster.kinds.get(&kind).is_some_and(|served| !served.watchable);
        !cluster.is_known(key) && (unwatchable || cluster.refused.contains_key(&kind))
    }
}

impl App {
    /// Whether an object was refused because of one that is there, as it seems.
    fn is_in_the_way(&self, object: &DesiredObject) -> bool {
        self.failed(object).is_some_and(|attempt| may_be_in_the_way(&attempt.error))
    }
}

/// Whether both are rendered from the same place: whoever moves an application and gives it another
/// name leaves its files where they are.
fn is_of_same(one: &App, other: &App) -> bool {
    let place = |source: &Source| (source.repo.clone(), source.path.clone());
    let mut sources = one.spec.sources.iter().filter(|source| !source.lends_only);
    sources.any(|source| other.spec.sources.iter().any(|of| place(of) == place(source)))
}

/// The applications that came below one while something had to go.
fn entered(parent: &App) -> Vec<&AppName> {
    parent.entered_children.keys().filter(|child| parent.defines(child)).collect()
}
