//! Applications that go with a rollback or a release, and what becomes of their objects.

use super::{HoldPlan, Pending};
use crate::model::AppName;
use crate::plan::{Plan, Status};
use crate::query::children::{Gone, gone};
use crate::replay::World;

/// The applications that go, and what becomes of each, in `world` as it is then.
pub(super) fn goes(world: &World, planned: &Plan) -> (Vec<AppName>, Vec<Gone>) {
    let now = planned.remove.iter().map(|(child, _)| child);
    let gated = planned.gate.iter().flat_map(|gated| &gated.apps);
    let mut going: Vec<AppName> = now.chain(gated).cloned().collect();
    // What goes once everything else is rendered goes, too.
    going.extend(planned.objects.iter().filter_map(|object| {
        let waits = object.status == Status::Extra && object.blocked && object.waits_for_progress;
        if waits && object.key.is_application() { object.key.name().parse().ok() } else { None }
    }));
    going.sort();
    going.dedup();
    let told = going.iter().map(|child| gone(world, child)).collect();
    (going, told)
}

impl Pending {
    /// Nothing is written for an application that goes.
    pub(super) fn is_removed(&mut self) {
        let HoldPlan { app, steps, counts, compare, not_done, notes, .. } = &mut self.plan;
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
    use crate::query::instant::At;
    use crate::query::rollback::gather_tree;
    use crate::replay::testing::{Given, application, auto, cascading, child, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

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
