//! Applications that applications define: who defines whom, and what waits for what.

use std::collections::BTreeSet;

use super::application::App;
use super::world::{Touched, World};
use crate::ledger::event::{Event, Origin};
use crate::model::{AppName, ObjectKey, Timestamp};

impl App {
    /// Whether its render contains the child application.
    #[must_use]
    pub fn defines(&self, child: &AppName) -> bool {
        !self.removing && self.desired.as_ref().is_some_and(|desired| desired.defines(child))
    }

    /// The children that its render contains: those that can be named.
    pub fn defined(&self) -> impl Iterator<Item = AppName> {
        let desired = self.desired.iter().filter(|_| !self.removing);
        desired.flat_map(|desired| desired.objects.keys()).filter_map(ObjectKey::child)
    }

    /// Whether it defines its children by itself at `now`.
    #[must_use]
    pub fn may_define(&self, now: Timestamp) -> bool {
        let idle = self.removing || self.spec.skip || self.is_paused(now);
        !idle && self.spec.automated.is_some()
    }

    /// Whether what is in force was rendered from a former definition: nobody has asked for it
    /// since. The present one may not render.
    #[must_use]
    pub fn is_of_former(&self) -> bool {
        self.desired.as_ref().is_some_and(|desired| desired.declared != self.declared)
    }

    /// Whether nobody knows what the present definition comes to. What a hold keeps in force says
    /// nothing of that.
    pub(super) fn is_unrendered(&self) -> bool {
        self.newest().is_none_or(|newest| newest.declared != self.declared)
    }
}

impl World {
    /// The applications that `parent` declared.
    pub fn children<'a>(&'a self, parent: &'a AppName) -> impl Iterator<Item = &'a AppName> {
        self.apps.iter().filter_map(move |(name, app)| match &app.origin {
            Origin::Parent(declared_by) if declared_by == parent => Some(name),
            _ => None,
        })
    }

    /// The applications that wait until every other has caught up with its repository, once
    /// that is so: those with something to remove.
    pub(super) fn caught_up(&self) -> Touched {
        if self.behind().is_some() {
            return Touched::nothing();
        }
        let mut touched = Touched::nothing();
        touched.apps.extend(self.apps_with_extras().cloned());
        touched.apps.extend(self.apps.values().filter_map(|app| app.origin.parent().cloned()));
        touched
    }

    /// The applications above those which are touched, where they wait for a person before they remove
    /// any: why they do is told from what is below.
    pub(super) fn gated_above(&self, touched: &Touched) -> Vec<AppName> {
        let (mut above, mut seen) = (Vec::new(), BTreeSet::new());
        for name in &touched.apps {
            let mut app = self.apps.get(name);
            while let Some(parent) = app.and_then(|app| app.origin.parent()) {
                app = self.apps.get(parent).filter(|_| seen.insert(parent));
                let removes = |app: &&App| app.gate.as_ref().is_some_and(|g| !g.apps.is_empty());
                above.extend(app.filter(removes).map(|_| parent.clone()));
            }
        }
        above
    }

    /// Everything below what has just been rendered, or cannot be: it may have waited for what
    /// defines it. And what goes, once what comes in its place is written.
    pub(super) fn waited_for(&self, event: &Event) -> Touched {
        let mut above: Vec<AppName> = match event {
            Event::RenderSucceeded(body) => vec![body.app.clone()],
            Event::RevisionAdvanced(body) => vec![body.app.clone()],
            Event::RenderFailed(body) => vec![body.app.clone()],
            Event::FetchFailed(body) => self.apps_of_repo(&body.repo).apps.into_iter().collect(),
            Event::OutcomeRecorded(body) => return self.waited_for_by_what_goes(&body.app),
            Event::IntentSettled(body) => return self.waited_for_by_what_goes(&body.app),
            _ => return Touched::nothing(),
        };
        let rendered = above.iter().map(|app| self.waited_for_by_what_goes(app));
        let mut touched = rendered.fold(Touched::nothing(), Touched::and);
        while let Some(name) = above.pop() {
            // Each once, also where applications are in a circle.
            let Some(app) = self.apps.get(&name) else { continue };
            above.extend(app.defined().filter(|child| touched.apps.insert(child.clone())));
        }
        touched
    }
}
