//! Applications that go with a rollback or a release, and what becomes of their objects.

use std::collections::BTreeSet;

use super::{HoldPlan, Pending};
use crate::ledger::event::AppRemovedV1;
use crate::model::AppName;
use crate::plan::{Plan, Status};
use crate::query::children::{Gone, going, gone, with_below};
use crate::replay::World;

/// The applications that go, and what becomes of each, in `world` as it is then.
pub(super) fn goes(world: &World, planned: &Plan) -> (Vec<AppName>, Vec<Gone>) {
    let mut going: BTreeSet<AppName> = going(planned).into_iter().cloned().collect();
    // What goes once everything else is rendered goes, too.
    going.extend(planned.objects.iter().filter_map(|object| {
        let waits = object.status == Status::Extra && object.blocked && object.waits_for_progress;
        if waits && object.key.is_application() { object.key.name().parse().ok() } else { None }
    }));
    let told = gone(world, &going);
    (going.into_iter().collect(), told)
}

/// The world once these applications have gone, with those below them: what others want of their
/// objects is those others' from then on.
pub(super) fn without(world: &World, going: &[AppName]) -> World {
    let mut after = world.clone();
    for name in with_below(world, going) {
        let Some(app) = after.apps.get(&name) else { continue };
        let removed = AppRemovedV1 {
            cascade: app.spec.removals.cascade.is_some(),
            origin: app.origin.clone(),
            declared: Some(app.declared),
            orphans: Vec::new(),
            app: name,
        };
        let (seq, now) = (after.seq.next(), after.now);
        let _ = after.apply(seq, now, &removed.into());
    }
    after
}

impl Pending {
    /// Nothing is written for an application that goes.
    pub(super) fn is_removed(&mut self) {
        let HoldPlan { app, steps, counts, compare, under_way, not_done, notes, .. } =
            &mut self.plan;
        for open in under_way {
            "its application goes".clone_into(&mut open.then);
        }
        steps.clear();
        counts.clear();
        compare.clear();
        not_done.clear();
        notes.push(format!("Git does not have {app} any more: it goes"));
    }

    /// The way back to what is held, where something goes that Git does not have.
    pub(super) fn way_back(&mut self, to: u64) {
        if !self.going.is_empty() {
            let app = &self.plan.app;
            self.plan.notes.push(format!(
                "Git does not have what goes; afterwards `greffier rollback {app} --tree --to \
                 '#{to}'` has it back as it is held now"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::tree::{Asked, Member, release_tree, roll_back_tree};
    use crate::query::children::Passes;
    use crate::query::instant::At;
    use crate::query::rollback::gather_tree;
    use crate::replay::testing::{Given, application, auto, cascading, child, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

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
        let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
        let how = Asked { to, said: String::new(), until: None, reason: String::new() };
        let members = Member::of(&then, "root");
        let back = roll_back_tree(&given.world, given.now(), "root", &members, &how).unwrap();
        let Given { world, compared, limits, .. } = given;
        let pending = gather_tree(world, &compared, &limits, &back.events);
        let plans: Vec<_> = pending.into_iter().map(|(_, pending)| pending.plan).collect();
        let of = |app: &str| plans.iter().find(|plan| plan.app == app).unwrap();
        let told = "new, and 1 object with it; 1 object of it STAY and pass to old";
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
        let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
        let how = Asked { to, said: String::new(), until: None, reason: String::new() };
        let members = Member::of(&then, "root");
        let held = roll_back_tree(&given.world, given.now(), "root", &members, &how).unwrap();
        for event in held.events {
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
        let Given { world, compared, limits, .. } = given;
        let pending = gather_tree(world, &compared, &limits, &events);
        let plans: Vec<_> = pending.into_iter().map(|(_, pending)| pending.plan).collect();
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
}
