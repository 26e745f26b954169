//! What comes in the place of applications that go.
//!
//! Whoever renames an application often renames its objects with it: the names of a Helm chart are
//! those of its release. Then one application goes and another comes, and what goes stays until
//! what comes is written, as within one application (`plan/assess/unwritten.rs`), or until a person
//! says so.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::application::App;
use super::in_the_way::may_be_in_the_way;
use super::world::{Touched, World};
use crate::ledger::event::{CREATE_NAMESPACE, DesiredObject};
use crate::model::{AppName, ObjectKey};

/// What is said of an object that is not written beside what is to go.
#[must_use]
pub fn not_written(what: impl Display, why: &str) -> String {
    format!("{what}, which may stand in its place, is not written: {why}")
}

impl World {
    /// What is not written of the applications that came while `app`, which is being removed, had to
    /// go, and whether that may pass.
    #[must_use]
    pub fn unwritten_for(&self, app: &App) -> Option<(String, bool)> {
        // Bound: no chain of parents is longer, unless it is a circle.
        let mut app = app;
        for _ in 0..=self.apps.len() {
            app = self.apps.get(app.origin.parent()?)?;
            if !app.removing {
                return self.unwritten_of_coming(app);
            }
        }
        None
    }

    /// Those that are being removed, once everything above `app` is written that they wait for.
    pub(super) fn waited_for_by_those_that_go(&self, app: &AppName) -> Touched {
        let (mut touched, mut seen) = (Touched::nothing(), BTreeSet::new());
        if !self.apps.values().any(|app| app.removing) {
            return touched;
        }
        let mut app = self.apps.get(app);
        while let Some(parent) = app.and_then(|app| app.origin.parent()) {
            app = self.apps.get(parent).filter(|_| seen.insert(parent));
            let waits = app.filter(|parent| !parent.entered_children.is_empty());
            if waits.is_some_and(|parent| self.unwritten_of_coming(parent).is_none()) {
                let going = self.apps.iter().filter(|(_, app)| app.removing);
                touched.apps.extend(going.map(|(name, _)| name.clone()));
            }
        }
        touched
    }

    /// The first thing that is not written of what came below `parent` while others had to go.
    fn unwritten_of_coming(&self, parent: &App) -> Option<(String, bool)> {
        let coming = parent.entered_children.keys().filter(|child| parent.defines(child));
        let mut open: Vec<&AppName> = coming.collect();
        let mut seen: BTreeSet<&AppName> = open.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(app) = self.apps.get(name).filter(|app| !app.removing) else { continue };
            let Some(desired) = &app.desired else {
                let what = "which may stand in its place, is not rendered";
                return Some((format!("application {name}, {what}"), app.render_problem.is_none()));
            };
            for object in desired.objects.values() {
                let child = object.key.child();
                if let Some((child, of)) = child.and_then(|child| self.apps.get_key_value(&child)) {
                    let own = of.origin.parent() == Some(name);
                    open.extend(Some(child).filter(|child| own && seen.insert(child)));
                } else if let Some((why, may_pass)) = self.why_unwritten((name, app), object) {
                    let what = format!("{} of application {name}", object.key);
                    return Some((not_written(what, &why), may_pass));
                }
            }
        }
        None
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
        if written || suspended || held || self.is_never_seen(key) {
            return None;
        }
        match app.failed(object) {
            Some(attempt) if may_be_in_the_way(&attempt.error) => None,
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
