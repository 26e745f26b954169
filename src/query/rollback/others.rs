//! What the end of a hold lets other applications write: those that want what the released one has,
//! because Git moved it to them, or renamed the application, while it was held.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::planned::{NotDone, Step};
use super::super::text::count;
use super::goes::without;
use super::{compared as compares, not_done, steps};
use crate::model::{AppName, ObjectKey};
use crate::plan::{Compared, Limits, plan};
use crate::replay::World;

/// What another application writes then, and does not now. It goes over the wire as it is: fields
/// are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The application.
    pub app: String,
    /// The writes, those that come later included.
    pub steps: Vec<Step>,
    /// Objects that are compared first: what is written of them is known then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<String>,
    /// What it has from then on, differs, and is not written, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_done: Vec<NotDone>,
}

/// What other applications would do before something is folded.
pub(super) struct Others {
    /// What the applications have that are about to be released.
    keys: BTreeSet<ObjectKey>,
    before: BTreeMap<AppName, Other>,
}

impl Others {
    /// Those that want something of what `released` have, in `world` as it is now.
    pub(super) fn of<'a>(
        world: &World,
        released: impl Iterator<Item = &'a AppName> + Clone,
        limits: &Limits,
        compared: &Compared,
    ) -> Self {
        let apps = released.clone().filter_map(|name| Some((name, world.apps.get(name)?)));
        let keys = apps.flat_map(|(name, app)| {
            let desired = app.desired.iter().flat_map(|desired| desired.objects.keys());
            desired.chain(world.owned_by(name).map(|(key, _)| key)).cloned()
        });
        let keys: BTreeSet<ObjectKey> = keys.filter(|key| !key.is_application()).collect();
        let wants = keys.iter().filter_map(|key| world.wanted_by.get(key)).flatten();
        let others: BTreeSet<&AppName> =
            wants.filter(|name| !released.clone().any(|other| other == *name)).collect();
        let other =
            |name: &AppName| Some((name.clone(), other(world, name, (limits, compared), &keys)?));
        let before = others.into_iter().filter_map(other).collect();
        Self { keys, before }
    }

    /// What they do in `world` that they did not before, once these applications are gone, too.
    pub(super) fn once_gone(
        &self,
        world: &World,
        going: &[AppName],
        limits: &Limits,
        compared: &Compared,
    ) -> Vec<Other> {
        if self.before.is_empty() {
            return Vec::new();
        }
        let without = (!going.is_empty()).then(|| without(world, going));
        let world = without.as_ref().unwrap_or(world);
        let more = |(name, before): (&AppName, &Other)| {
            let mut now = other(world, name, (limits, compared), &self.keys)?;
            now.steps.retain(|step| !before.steps.contains(step));
            now.compare.retain(|key| !before.compare.contains(key));
            now.not_done.retain(|left| !before.not_done.contains(left));
            let none = now.steps.is_empty() && now.compare.is_empty() && now.not_done.is_empty();
            (!none).then_some(now)
        };
        self.before.iter().filter_map(more).collect()
    }
}

/// How much it is, in words.
pub(super) fn count_of(others: &[Other]) -> Option<String> {
    let steps: usize = others.iter().map(|other| other.steps.len()).sum();
    let compare: usize = others.iter().map(|other| other.compare.len()).sum();
    let whose = if others.len() == 1 { "another application" } else { "other applications" };
    match (steps, compare) {
        (0, 0) => None,
        (0, n) => Some(format!("compare {n} of {whose} first")),
        (n, _) => Some(format!("{} of {whose}", count(n, "write"))),
    }
}

fn other(
    world: &World,
    name: &AppName,
    (limits, compared): (&Limits, &Compared),
    keys: &BTreeSet<ObjectKey>,
) -> Option<Other> {
    let planned = plan(world, name, limits, compared)?;
    let steps = steps(&planned);
    let mut not_done = not_done(&planned, &steps);
    let keys: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    not_done.retain(|left| keys.contains(&left.object));
    let compare = compares(&planned).iter().map(ToString::to_string).collect();
    Some(Other { app: name.to_string(), steps, compare, not_done })
}

impl Other {
    /// What it does, line by line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let app = &self.app;
        let step = move |step: &Step| {
            format!("{} {} of application {app}: {}", step.verb, step.object, step.reason)
        };
        let compare = move |object: &String| {
            format!(
                "{object} of application {app} is compared first: what is written is known then"
            )
        };
        let left = move |left: &NotDone| {
            format!("{} of application {app} differs and is not written: {}", left.object, left.why)
        };
        let steps = self.steps.iter().map(step);
        steps.chain(self.compare.iter().map(compare)).chain(self.not_done.iter().map(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tree::release_tree;
    use crate::ledger::event::{AppHoldEndedV1, HoldEnd, Origin};
    use crate::model::Seq;
    use crate::query::rollback::{HoldPlan, gather, gather_tree};
    use crate::replay::testing::{
        Given, application, auto, cascading, child, name, object, objects,
    };

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    /// What the release of `app` alone says, and that of its tree.
    fn released(given: &Given, app: &str, hold: Seq) -> [HoldPlan; 2] {
        let end = HoldEnd::Released;
        let event = AppHoldEndedV1 { app: name(app), hold, end, holds: Vec::new() }.into();
        let Given { world, compared, limits, .. } = given.clone();
        let alone = gather(world, &compared, &limits, &name(app), &event).unwrap().plan;
        let events = release_tree(&given.world, app).unwrap();
        let Given { world, compared, limits, .. } = given.clone();
        [alone, gather_tree(world, &compared, &limits, &events).remove(0).1.plan]
    }

    fn told(plan: &HoldPlan) -> Vec<(String, String, String)> {
        let steps = |other: &Other| {
            let step = |step: &Step| (other.app.clone(), step.verb.clone(), step.object.clone());
            other.steps.iter().map(step).collect::<Vec<_>>()
        };
        plan.others.iter().flat_map(steps).collect()
    }

    fn written(app: &str, object: &str) -> (String, String, String) {
        (app.to_owned(), "update".to_owned(), object.to_owned())
    }

    /// Goal: what moved in Git while its application was held is written by the other once that is
    /// released, and the plan says so; what the other does anyway is not because of it.
    #[test]
    fn a_release_says_what_another_application_then_writes() {
        let mut given = Given::cluster();
        given.declares(&application("web", auto()), Origin::Config);
        given.declares(&application("shop", auto()), Origin::Config);
        given.renders("web", vec![object(A, 1), object(B, 1)]);
        given.renders("shop", objects(&["ConfigMap/prod/s"]));
        given.syncs("web");
        given.syncs("shop");
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        given.advances("shop");
        given.syncs("web");
        let hold = given.rolls_back("web", &then);
        given.syncs("web");
        given.push(3);
        given.renders("web", vec![object(B, 1)]);
        given.renders("shop", vec![object("ConfigMap/prod/s", 1), object(A, 2)]);
        given.syncs("shop");
        assert_eq!(given.world.owned[&A.parse().unwrap()].app, name("web"), "the hold keeps it");
        for plan in released(&given, "web", hold) {
            assert_eq!(told(&plan), [written("shop", A)], "{plan:#?}");
            assert_eq!(plan.summary(), "1 write of another application");
            let line =
                format!("update {A} of application shop: it moved here from application web");
            assert_eq!(plan.others[0].lines().collect::<Vec<_>>(), [line]);
        }
        given.event(AppHoldEndedV1 {
            app: name("web"),
            hold,
            end: HoldEnd::Released,
            holds: Vec::new(),
        });
        assert_eq!(given.writes("shop"), [format!("update {A}")], "and so it is");
    }

    /// Goal: the same of an application that Git renamed while it was held: what passes is shown
    /// with what its heir makes of it.
    #[test]
    fn a_release_of_what_was_renamed_says_what_the_heir_writes() {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&cascading("old", auto()))]);
        while given.follows("root") {}
        given.renders("old", vec![object(A, 1), object(B, 1)]);
        given.syncs("old");
        let then = given.world.clone();
        given.push(2);
        given.advances("root");
        given.renders("old", vec![object(A, 2), object(B, 1)]);
        given.syncs("old");
        let hold = given.rolls_back("old", &then);
        given.syncs("old");
        given.push(3);
        given.renders("root", vec![child(&cascading("new", auto()))]);
        while given.follows("root") {}
        given.renders("old", vec![object(A, 2), object(B, 1)]);
        given.renders("new", vec![object(A, 2), object(B, 1)]);
        for app in ["root", "new", "root", "new"] {
            given.syncs(app);
        }
        assert_eq!(given.world.owned[&A.parse().unwrap()].app, name("old"), "the hold keeps it");
        for plan in released(&given, "old", hold) {
            assert_eq!(plan.gone[0].passes.len(), 2, "{plan:#?}");
            assert_eq!(told(&plan), [written("new", A), written("new", B)], "{plan:#?}");
            let summary = plan.summary();
            assert_eq!(summary, "remove 1 application, 2 writes of another application");
        }
    }
}
