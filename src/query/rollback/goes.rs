//! Applications that go with a rollback or a release, and what becomes of their objects.

use std::collections::BTreeSet;

use super::{HoldPlan, Pending};
use crate::ledger::event::Origin;
use crate::model::AppName;
use crate::plan::{Assessment, Compared, Limits, Plan, plan};
use crate::query::children::{Gone, going, gone};
pub(super) use crate::query::children::{deletes_later, going_later, without};
use crate::replay::{App, World};

/// What is said of an application that is defined otherwise.
const MOVED: &str = "it gets another source with this: what is written and what is PRUNED is known \
                     once that is rendered";

/// The applications that go, and what becomes of each, in `world` as it is then.
pub(super) fn goes(world: &World, planned: &Plan) -> (Vec<AppName>, Vec<Gone>) {
    let mut going: BTreeSet<AppName> = going(planned).into_iter().cloned().collect();
    // What goes once everything else is rendered goes, too.
    going.extend(planned.objects.iter().filter_map(going_later));
    let told = gone(world, &going);
    (going.into_iter().collect(), told)
}

/// What is said of an application that goes unless another one turns out to have its objects.
pub(super) fn once_known(object: &Assessment) -> Option<String> {
    let app = going_later(object)?;
    Some(format!("{app} {}; what no other application has by then goes with it", object.why))
}

impl Pending {
    /// What the end of the hold of `name` lets its parent do in `world`, as it is then: an
    /// application that Git dropped while it was held goes, and what is of it.
    pub(super) fn goes_by_parent(
        &mut self,
        world: &World,
        (name, app): (&AppName, &App),
        limits: &Limits,
        compared: &Compared,
    ) {
        let Origin::Parent(parent) = &app.origin else { return };
        if app.is_held() {
            return;
        }
        let Some(planned) = plan(world, parent, limits, compared) else { return };
        let (going, told) = goes(world, &planned);
        if !going.contains(name) {
            return;
        }
        let HoldPlan { remove, goes, gone, exceeds, asks, notes, .. } = &mut self.plan;
        remove.push(name.to_string());
        gone.extend(told.into_iter().filter(|gone| gone.app == name.as_str()));
        *goes = gone.iter().map(Gone::text).collect();
        if let Some(gated) = planned.gate.filter(|gated| gated.apps.contains(name)) {
            *exceeds = gated.reasons.into_iter().map(|reason| reason.what).collect();
            parent.as_str().clone_into(asks);
            notes.push(format!("what exceeds waits for `greffier approve {parent}`"));
        }
        notes.push(format!("afterwards `greffier why {name}` says how it is had back"));
        self.going.push(name.clone());
    }

    /// Nothing is written for an application that goes.
    pub(super) fn is_removed(&mut self) {
        for open in &mut self.plan.under_way {
            "its application goes".clone_into(&mut open.then);
        }
        self.writes_nothing();
        self.approval = None;
        let HoldPlan { app, exceeds, asks, approves, notes, .. } = &mut self.plan;
        approves.clear();
        // What it would delete itself goes with it, by the word of what defined it.
        if asks.is_empty() {
            exceeds.clear();
        }
        notes.push(format!("Git does not have {app} any more: it goes"));
    }

    /// Of an application that gets another source with the same release, what it asked for by the
    /// old one is not what is done.
    pub(super) fn is_moved(&mut self) {
        self.writes_nothing();
        self.manifests.clear();
        MOVED.clone_into(&mut self.plan.not_known);
    }

    fn writes_nothing(&mut self) {
        let HoldPlan { steps, counts, compare, unseen, not_done, .. } = &mut self.plan;
        steps.clear();
        counts.clear();
        compare.clear();
        unseen.clear();
        not_done.clear();
    }

    /// The way back to what is held, where something goes that Git does not have.
    pub(super) fn way_back(&mut self, to: u64) {
        let app = &self.plan.app;
        // What goes by its parent's word does not come back by its own.
        if self.going.iter().any(|going| going.as_str() != app) {
            self.plan.notes.push(format!(
                "Git does not have what goes; afterwards `greffier rollback {app} --tree --to \
                 '#{to}'` has it back as it is held now"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MOVED;
    use super::{HoldPlan, World};
    use crate::command::tree::{Asked, Member, release_tree, roll_back_tree};
    use crate::ledger::event::{AppHoldEndedV1, Event, HoldEnd};
    use crate::model::Seq;
    use crate::query::children::Passes;
    use crate::query::instant::At;
    use crate::query::rollback::{gather, gather_tree};
    use crate::replay::testing::{Given, application, auto, cascading, child, maps, name, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    /// The events that take `root` and what is below it back to `then`.
    fn back_to(given: &Given, then: &World) -> Vec<Event> {
        let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
        let how = Asked { to, said: String::new(), until: None, reason: String::new() };
        let members = Member::of(then, "root");
        roll_back_tree(&given.world, given.now(), "root", &members, &how).unwrap().events
    }

    /// What is shown of each application before these are recorded.
    fn plans(given: &Given, events: &[Event]) -> Vec<HoldPlan> {
        let Given { world, compared, limits, .. } = given;
        let pending = gather_tree(world.clone(), compared, limits, events);
        pending.into_iter().map(|(_, pending)| pending.plan).collect()
    }

    /// Goal: where the same objects are another application's then, they are said to pass to it,
    /// whichever of the two goes, and what is written of them is shown with the one that has them.
    #[test]
    fn objects_of_a_renamed_application_pass_to_the_other() {
        let (old, new) = (cascading("old", auto()), cascading("new", auto()));
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&old)]);
        while given.follows("root") {}
        given.renders("old", vec![object(A, 1)]);
        given.syncs("old");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&new)]);
        while given.follows("root") {}
        given.renders("new", vec![object(A, 2), object(B, 2)]);
        given.advances("old");
        // What goes waits for what comes, and what comes for what goes.
        for app in ["root", "old", "new", "root", "old", "new"] {
            given.syncs(app);
        }
        let owner = &given.world.owned[&A.parse().unwrap()].app;
        assert_eq!(owner.as_str(), "new", "{:#?} {:#?}", given.plan("root"), given.plan("new"));
        assert!(!given.world.apps.keys().any(|app| app.as_str() == "old"));
        let back = back_to(&given, &then);
        let plans = plans(&given, &back);
        let of = |app: &str| plans.iter().find(|plan| plan.app == app).unwrap();
        let told = "new, and 1 object with it; 1 object of it STAYS and passes to old";
        assert_eq!(of("root").goes, [told]);
        assert_eq!(of("root").gone[0].deletes, [B]);
        let passes = Passes { object: A.into(), to: "old".into() };
        assert_eq!(of("root").gone[0].passes, [passes]);
        let written: Vec<_> =
            of("old").steps.iter().map(|step| (&*step.verb, &*step.object)).collect();
        assert_eq!(written, [("update", A)], "{:#?}", of("old"));
        assert!(of("old").not_done.is_empty(), "{:#?}", of("old"));
    }

    /// Goal: what a release takes along, and what it leaves nobody's, is said before, with the way
    /// back, and nothing is shown to be written for what goes.
    #[test]
    fn a_release_says_what_goes_with_it_and_what_is_left() {
        let (left, along) = (application("left", auto()), cascading("along", auto()));
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&left), child(&along)]);
        while given.follows("root") {}
        given.renders("left", vec![object(A, 1)]);
        given.syncs("left");
        given.renders("along", vec![object(B, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&left), child(&along), object("ConfigMap/prod/c", 1)]);
        given.syncs("root");
        given.renders("left", vec![object(A, 2)]);
        given.syncs("left");
        given.renders("along", vec![object(B, 2)]);
        given.syncs("along");
        let held = back_to(&given, &then);
        for event in held {
            given.event(event);
        }
        while given.follows("root") {}
        given.syncs("left");
        given.syncs("along");
        // Git goes on without them.
        given.push(3);
        given.renders("root", vec![object("ConfigMap/prod/c", 1)]);
        given.renders("left", vec![object(A, 3)]);
        given.renders("along", vec![object(B, 3)]);
        let events = release_tree(&given.world, "root").unwrap();
        let plans = plans(&given, &events);
        let root = plans.iter().find(|plan| plan.app == "root").unwrap();
        let goes = [
            "along, and 1 object with it",
            "left: 1 object of it LEFT BEHIND, which nobody has from then on",
        ];
        assert_eq!(root.goes, goes, "{root:#?}");
        assert_eq!(
            (&root.gone[0].deletes, &root.gone[1].leaves),
            (&vec![B.into()], &vec![A.into()])
        );
        let back = format!("`greffier rollback root --tree --to '#{}'`", then.seq);
        assert!(root.notes.iter().any(|note| note.contains(&back)), "{:?}", root.notes);
        for plan in plans.iter().filter(|plan| plan.app != "root") {
            assert!(plan.steps.is_empty() && plan.counts.is_empty(), "{plan:#?}");
            assert!(plan.notes[0].contains("it goes"), "{plan:#?}");
        }
    }

    /// Goal: what a child asked for by a source that it loses with the release is not told as what
    /// is done; it is said that what is done is not known.
    #[test]
    fn of_a_child_that_gets_another_source_it_is_said_that_nothing_is_known() {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&cascading("along", auto()))]);
        while given.follows("root") {}
        given.renders("along", vec![object(A, 1), object(B, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        let held = back_to(&given, &then);
        for event in held {
            given.event(event);
        }
        given.push(2);
        let mut other = cascading("along", auto());
        other["spec"]["source"]["path"] = "elsewhere".into();
        given.renders("root", vec![child(&other)]);
        given.renders("along", vec![object(A, 2), object(B, 1)]);
        let events = release_tree(&given.world, "root").unwrap();
        let plans = plans(&given, &events);
        let of = |app: &str| plans.iter().find(|plan| plan.app == app).unwrap();
        assert_eq!(
            (&of("root").define, &of("root").moved),
            (&vec!["along".into()], &vec!["along".into()])
        );
        assert!(of("along").steps.is_empty(), "{:#?}", of("along"));
        assert_eq!(of("along").not_known, MOVED);
        assert_eq!(of("along").summary(), "not known yet");
    }

    /// Goal: what a rollback of a tree does to a child whose definition goes back with it is known:
    /// the child is held at what was in force. Here Git had moved it to another namespace.
    #[test]
    fn of_a_child_that_goes_back_with_another_definition_everything_is_said() {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&cascading("along", auto()))]);
        while given.follows("root") {}
        given.renders("along", vec![object(A, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        given.push(2);
        let mut other = cascading("along", auto());
        other["spec"]["destination"]["namespace"] = "elsewhere".into();
        given.renders("root", vec![child(&other)]);
        while given.follows("root") {}
        given.renders("along", vec![object(B, 2)]);
        given.syncs("along");
        let back = back_to(&given, &then);
        let plans = plans(&given, &back);
        let of = |app: &str| plans.iter().find(|plan| plan.app == app).unwrap();
        let steps: Vec<_> =
            of("along").steps.iter().map(|step| (&*step.verb, &*step.object)).collect();
        assert_eq!(steps, [("create", A), ("prune", B)], "{:#?}", of("along"));
        assert_eq!(of("along").not_known, "");
        let root = of("root");
        assert_eq!((root.moved.len(), &root.define), (0, &vec!["along".into()]), "{root:#?}");
    }

    /// Goal: an application that a rollback defines again is not rendered yet, and that keeps
    /// nothing of what is held with it from going: what exceeds is shown, and allowed with it.
    #[test]
    fn what_is_defined_again_hides_nothing_that_goes_with_the_same_rollback() {
        let [one, two] = ["one", "two"].map(|name| cascading(name, auto()));
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&one), child(&two)]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        given.renders("two", vec![object("ConfigMap/prod/c", 1)]);
        given.syncs("two");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&one)]);
        given.renders("one", vec![object(A, 1), object(B, 2)]);
        given.advances("two");
        for app in ["one", "root", "two", "root"] {
            given.syncs(app);
        }
        while given.follows("root") {}
        assert!(!given.world.apps.contains_key(&name("two")));
        given.limits.app_percent_max = 1;
        given.limits.app_objects_min = 0;
        let back = back_to(&given, &then);
        let Given { world, compared, limits, .. } = given;
        let mut pending = gather_tree(world, &compared, &limits, &back);
        let at = pending.iter().position(|(app, _)| app.as_str() == "one").unwrap();
        let one = pending.remove(at).1;
        let steps: Vec<_> =
            one.plan.steps.iter().map(|step| (&*step.verb, &*step.object, &*step.reason)).collect();
        let why = "it was not there at the instant that is held";
        assert_eq!(steps, [("prune", B, why)], "{:#?}", one.plan);
        assert!(one.approval.is_some() && !one.plan.exceeds.is_empty(), "{:#?}", one.plan);
    }

    /// `root` with the child `along`, which is held at its first revision, and which Git drops then.
    fn dropped_while_held() -> (Given, Seq) {
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&cascading("along", auto()))]);
        while given.follows("root") {}
        given.renders("along", vec![object(A, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        given.push(2);
        given.advances("root");
        given.renders("along", vec![object(A, 2)]);
        given.syncs("along");
        let hold = given.rolls_back("along", &then);
        given.syncs("along");
        given.push(3);
        given.renders("root", vec![object(B, 1)]);
        given.renders("along", vec![object(A, 3)]);
        given.syncs("root");
        assert!(given.world.apps.contains_key(&name("along")), "the hold keeps it");
        (given, hold)
    }

    /// Goal: the release of what Git dropped meanwhile is shown as what it is, a deletion, although
    /// it is the parent that deletes; alone, and as a tree.
    #[test]
    fn the_release_of_what_git_dropped_is_shown_to_delete_it() {
        let (given, hold) = dropped_while_held();
        let end = HoldEnd::Released;
        let event = AppHoldEndedV1 { app: name("along"), hold, end, holds: Vec::new() }.into();
        let Given { world, compared, limits, .. } = given.clone();
        let alone = gather(world, &compared, &limits, &name("along"), &event).unwrap().plan;
        let events = release_tree(&given.world, "along").unwrap();
        let Given { world, compared, limits, .. } = given.clone();
        let tree = gather_tree(world, &compared, &limits, &events).remove(0).1.plan;
        for plan in [alone, tree] {
            assert_eq!(plan.goes, ["along, and 1 object with it"]);
            assert_eq!(plan.gone[0].deletes, [A]);
            assert_eq!((plan.summary(), plan.steps.len()), ("remove 1 application".into(), 0));
            assert!(plan.notes.iter().any(|note| note.contains("it goes")), "{:?}", plan.notes);
            let back = "`greffier why along` says how it is had back";
            assert!(plan.notes.iter().any(|note| note.contains(back)), "{:?}", plan.notes);
            assert!(!plan.notes.iter().any(|note| note.contains("rollback along")));
        }
        // And that is what happens.
        let mut given = given;
        given.event(event);
        given.syncs("root");
        given.syncs("along");
        assert!(!given.world.owned.contains_key(&A.parse().unwrap()));
    }

    /// Goal: a release that defines an application, which may have what leaves others, does not
    /// hide what it deletes: the application that Git dropped and the object that left another.
    #[test]
    fn what_waits_for_a_definition_of_the_same_release_is_shown_to_go() {
        let [kept, mid, along] = ["kept", "mid", "along"].map(|name| cascading(name, auto()));
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&kept), child(&mid), child(&along)]);
        while given.follows("root") {}
        given.renders("kept", vec![object(A, 1), object("ConfigMap/prod/c", 1)]);
        given.syncs("kept");
        given.renders("mid", Vec::new());
        given.syncs("mid");
        given.renders("along", vec![object(B, 1)]);
        given.syncs("along");
        let then = given.world.clone();
        given.push(2);
        for app in ["root", "kept", "mid", "along"] {
            given.advances(app);
            given.syncs(app);
        }
        let held = back_to(&given, &then);
        for event in held {
            given.event(event);
        }
        given.push(3);
        given.renders("root", vec![child(&kept), child(&mid)]);
        given.renders("mid", vec![child(&cascading("more", auto()))]);
        given.renders("kept", vec![object(A, 1)]);
        given.renders("along", vec![object(B, 1)]);
        let events = release_tree(&given.world, "root").unwrap();
        let plans = plans(&given, &events);
        let of = |app: &str| plans.iter().find(|plan| plan.app == app).unwrap();
        let (root, kept) = (of("root"), of("kept"));
        assert_eq!(
            (&of("mid").define, &root.remove),
            (&vec!["more".into()], &vec!["along".into()])
        );
        assert_eq!(root.goes, ["along, and 1 object with it"], "{root:#?}");
        assert!(root.not_done.is_empty(), "{root:#?}");
        let why = "along waits: Application/more of mid is not defined, and may have it; what no";
        assert!(root.notes.iter().any(|note| note.starts_with(why)), "{:#?}", root.notes);
        for plan in [root, kept] {
            let judged = plan.notes.iter().any(|note| note.starts_with("whether the deletions"));
            assert!(judged, "{:#?}", plan.notes);
        }
        let steps = kept.steps.iter().map(|step| (&*step.verb, &*step.object, &*step.reason));
        let why = "waits: Application/more of mid is not defined, and may have it";
        assert_eq!(steps.collect::<Vec<_>>(), [("prune", "ConfigMap/prod/c", why)], "{kept:#?}");
        // And that is what happens once it is defined and rendered.
        for event in events {
            given.event(event);
        }
        while given.follows("mid") {}
        given.renders("more", Vec::new());
        for app in ["root", "kept", "along"] {
            given.syncs(app);
        }
        let owned: Vec<String> = given.world.owned.keys().map(ToString::to_string).collect();
        assert_eq!(owned, [A]);
    }

    /// Goal: where the removal asks for an approval, the plan says so and where.
    #[test]
    fn a_removal_that_a_release_allows_and_that_exceeds_is_said_to_wait() {
        let (mut given, hold) = dropped_while_held();
        given.limits.app_percent_max = 1;
        given.limits.app_objects_min = 0;
        given.limits.all_objects_max = 0;
        let end = HoldEnd::Released;
        let event = AppHoldEndedV1 { app: name("along"), hold, end, holds: Vec::new() }.into();
        let Given { world, compared, limits, .. } = given;
        let plan = gather(world, &compared, &limits, &name("along"), &event).unwrap().plan;
        assert!(!plan.exceeds.is_empty(), "{plan:#?}");
        let waits = "what exceeds waits for `greffier approve root`";
        assert!(plan.notes.iter().any(|note| note == waits), "{:?}", plan.notes);
        assert_eq!((plan.remove, plan.asks.as_str()), (vec!["along".to_owned()], "root"));
    }

    /// Goal: what the application would have to ask for itself is asked about where its parent
    /// removes it, and said to wait there.
    #[test]
    fn what_would_wait_in_what_goes_waits_where_that_is_removed() {
        let (mut given, _) = dropped_while_held();
        given.push(4);
        given.renders("root", [vec![object(B, 1)], maps(9)].concat());
        given.renders("along", vec![object("ConfigMap/prod/c", 1)]);
        given.syncs("root");
        given.requests("along", false, &[]);
        given.limits.app_percent_max = 60;
        given.limits.app_objects_min = 0;
        given.limits.all_objects_max = 100;
        let events = release_tree(&given.world, "along").unwrap();
        let Given { mut world, compared, limits, .. } = given;
        let plan = gather_tree(world.clone(), &compared, &limits, &events).remove(0).1.plan;
        for event in &events {
            let _ = world.apply(world.seq.next(), world.now, event);
        }
        let own = crate::plan::plan(&world, &name("along"), &limits, &compared).unwrap();
        assert!(own.gate.is_some(), "it would ask itself: {own:#?}");
        let what = "would remove application along, where it waits: would delete 1 of 1 objects \
                    of along (limit 60 %)";
        assert_eq!(
            (plan.exceeds, &*plan.asks, &*plan.approves),
            (vec![what.to_owned()], "root", "")
        );
        assert_eq!(plan.gone[0].deletes, [A]);
    }
}
