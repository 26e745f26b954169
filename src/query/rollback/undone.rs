//! What a plan leaves undone, and not what was so before and stays so whatever the plan does: what
//! other holds keep, what other applications have.

use std::collections::BTreeMap;

use super::Pending;
use crate::model::{AppName, Digest, ObjectKey};
use crate::plan::{Compared, Limits, Plan, plan};
use crate::replay::{App, World};

/// What was so before.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// What was said of each object.
    objects: BTreeMap<ObjectKey, String>,
    /// What was wanted.
    wanted: BTreeMap<ObjectKey, Digest>,
}

impl Before {
    /// Of an application in `world`; nothing of one that is not there.
    pub(super) fn of(world: &World, name: &AppName, limits: &Limits, compared: &Compared) -> Self {
        let planned = plan(world, name, limits, compared);
        let objects = planned.map(|Plan { objects, .. }| objects).unwrap_or_default();
        let objects = objects.into_iter().map(|object| (object.key, object.why));
        let app = world.apps.get(name);
        Self { objects: objects.collect(), wanted: app.map(wanted).unwrap_or_default() }
    }

    /// Whether it is neither otherwise than before nor wanted otherwise.
    fn is_so(&self, now: &BTreeMap<ObjectKey, Digest>, key: &ObjectKey, why: &str) -> bool {
        let same = self.objects.get(key).is_some_and(|before| before == why);
        same && self.wanted.get(key) == now.get(key)
    }
}

fn wanted(app: &App) -> BTreeMap<ObjectKey, Digest> {
    let objects = app.desired.iter().flat_map(|desired| desired.objects.values());
    objects.map(|object| (object.key.clone(), object.digest)).collect()
}

impl Pending {
    /// Leaves out of what is not done what this has nothing to do with; `app` is as it is once the
    /// plan is decided on.
    pub(super) fn since(&mut self, before: &Before, app: &App) {
        let now = wanted(app);
        self.plan.not_done.retain(|left| {
            let key: Option<ObjectKey> = left.object.parse().ok();
            key.is_none_or(|key| !before.is_so(&now, &key, &left.why))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather;
    use crate::ledger::event::{BackTo, Event, HoldBegunV1, HoldOf};
    use crate::model::Seq;
    use crate::replay::testing::{Given, name, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    /// Goal: a hold of another object that is as it is to be is nothing that a rollback leaves
    /// undone, and one that keeps the rollback from what it wants is.
    #[test]
    fn only_what_a_rollback_wants_and_leaves_is_not_done() {
        let not_done = |then_has_b: bool| -> Vec<String> {
            let mut given = Given::synced(vec![object(A, 1)]);
            if then_has_b {
                given.renders("web", vec![object(A, 1), object(B, 1)]);
                given.syncs("web");
            } else {
                given.renders("web", vec![object(A, 1), object(B, 2)]);
                given.syncs("web");
            }
            let then = given.world.clone();
            given.push(2);
            given.renders("web", vec![object(A, 2), object(B, 2)]);
            given.syncs("web");
            given.event(HoldBegunV1 {
                app: name("web"),
                of: vec![HoldOf::Absence(B.parse().unwrap())],
                from: BackTo::Instant(Seq(1)),
                until: None,
                reason: String::new(),
            });
            given.syncs("web");
            let event: Event = given.rollback("web", &then).into();
            let Given { world, compared, limits, .. } = given;
            let pending = gather(world, &compared, &limits, &name("web"), &event).unwrap();
            pending.plan.not_done.iter().map(|left| left.object.clone()).collect()
        };
        assert_eq!(not_done(false), [""; 0], "B is kept away as before, and wanted as before");
        assert_eq!(not_done(true), [B], "B was another then, and stays away");
    }
}
