//! Child applications: defined by the parent that has them first, until it lets go of them.

use super::{Judge, Need, Status};
use crate::ledger::event::{DesiredObject, Origin};
use crate::model::AppName;
use crate::replay::App;

impl Judge<'_> {
    /// What the definition of a child application needs.
    pub(super) fn need_of_application(&self, object: &DesiredObject) -> Need {
        let undefinable = self.app.why_undefinable(object);
        let (Ok(child), None) = (object.key.name().parse::<AppName>(), &undefinable) else {
            let why = undefinable.unwrap_or_default();
            return Need::Wait { status: Status::Missing, why, progress: false };
        };
        // An Application is no Secret: its digest is that of its manifest, which is declared.
        let digest = object.digest;
        let Some(known) = self.world.apps.get(&child) else {
            return match self.held_elsewhere(&object.key) {
                Some(why) => Need::Wait { status: Status::Missing, why, progress: true },
                None => Need::Declare(child),
            };
        };
        if child == *self.name && known.manifest == digest {
            return Need::Nothing(Status::Synced, "the application defines itself".into());
        }
        if known.origin != Origin::Parent(self.name.clone()) {
            if self.is_given_up(&child, known) {
                return Need::Declare(child);
            }
            let why = "the application is defined elsewhere, and was defined there first";
            return Need::Nothing(Status::Foreign, why.into());
        }
        if known.manifest != digest || known.removing {
            return Need::Declare(child);
        }
        Need::Nothing(Status::Synced, String::new())
    }

    /// Whether what defines the child has let go of it, and no other parent comes before this one.
    fn is_given_up(&self, child: &AppName, known: &App) -> bool {
        let parent = match &known.origin {
            Origin::Parent(parent) => Some(parent),
            Origin::Unconfigured => None,
            Origin::Config | Origin::Operator => return false,
        };
        if child == self.name {
            return false;
        }
        let apps = &self.world.apps;
        let given_up = parent.and_then(|parent| apps.get(parent)).is_none_or(|parent| {
            let knows = parent.desired.is_some() && !self.world.render_pending(parent);
            parent.removing || (knows && !parent.defines(child))
        });
        let earlier = |(name, app): (&AppName, &App)| {
            Some(name) != parent
                && name != child
                && app.declared < self.app.declared
                && app.defines(child)
        };
        given_up && !apps.iter().any(earlier)
    }

    /// Whether a child application may be defined. That is no write to the cluster: it is allowed
    /// wherever applying is, and to a daemon that only observes or is frozen, so that it can plan
    /// the children.
    pub(super) fn may_define(&self, object: &DesiredObject) -> bool {
        let paused = self.app.is_paused(self.world.now) || self.app.removing || self.app.spec.skip;
        let frozen = self.world.freeze().is_some() && !paused;
        let planning = (self.world.observe || frozen) && self.app.spec.automated.is_some();
        self.permission.applies(&object.key, None) || planning
    }
}
