//! Which events an intent follows from: the render, the person who holds it, approved or asked,
//! the drift.

use crate::ledger::event::{Verb, Write};
use crate::ledger::frame::CAUSES_MAX;
use crate::model::Seq;
use crate::replay::{App, World};

/// What the writes follow from, the render first.
pub(super) fn causes(world: &World, app: &App, writes: &[Write]) -> Vec<Seq> {
    let rendered = app.desired.as_ref().map(|desired| desired.seq);
    // Whatever is done while it is held is done because of that, and so is what goes with it because
    // of the hold of what is above it.
    let held = world.hold_behind(app).map(|hold| hold.seq);
    let approved = app.approved.map(|approval| approval.seq).filter(|seq| Some(*seq) != held);
    // What greffier does by itself, nobody asked for.
    let asked =
        app.asked(world.now).filter(|_| writes.iter().any(|write| !is_unasked(app, write.verb)));
    let asked = asked.map(|request| request.seq).filter(|seq| Some(*seq) != held);
    let drifted = writes.iter().filter(|write| write.verb == Verb::Heal);
    let drifted = drifted.filter_map(|write| Some(app.drift.get(&write.key)?.seq));
    let found = [rendered, held, approved, asked].into_iter().flatten().chain(drifted);
    found.take(CAUSES_MAX).collect()
}

/// Whether the application's policy has such writes made without a request.
fn is_unasked(app: &App, verb: Verb) -> bool {
    let Some(policy) = app.spec.automated else { return false };
    match verb {
        Verb::Prune => policy.prune,
        Verb::Heal | Verb::Reclaim => policy.self_heal,
        Verb::Create | Verb::Update | Verb::Adopt | Verb::TakeOver | Verb::Recreate => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::children::removed;
    use super::super::intent;
    use super::*;
    use crate::ledger::event::{Event, Origin};
    use crate::replay::testing::{Given, auto, cascading, child, name, objects};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    fn caused(given: &Given) -> Vec<Seq> {
        let (app, plan) = (&given.world.apps[&name("web")], given.plan("web"));
        assert!(!plan.writes.is_empty(), "{:#?}", plan.objects);
        causes(&given.world, app, &plan.writes)
    }

    /// Goal: what goes because of a rollback follows from that, and is no commit's doing: the
    /// application, what is below it, and the objects of both.
    #[test]
    fn what_goes_with_a_rollback_follows_from_it_at_any_depth() {
        let mut given = Given::app("root", auto());
        given.renders("root", Vec::new());
        given.syncs("root");
        let then = given.world.clone();
        given.push(2);
        given.renders("root", vec![child(&cascading("mid", auto()))]);
        while given.follows("root") {}
        given.renders("mid", vec![child(&cascading("web", auto()))]);
        while given.follows("mid") {}
        given.renders("web", objects(&[A, B]));
        given.syncs("web");
        let hold = given.rolls_back("root", &then);
        for (parent, app) in [("root", "mid"), ("mid", "web")] {
            let origin = Origin::Parent(name(parent));
            let draft = removed(&given.world, &name(app), &origin, true);
            assert_eq!(draft.causes, [hold], "{app}");
            given.removes(app, true, origin);
        }
        let (app, plan) = (&given.world.apps[&name("web")], given.plan("web"));
        let draft = intent(&given.world, (&plan.app, Some(app)), &plan.writes, 1);
        let Event::IntentRecorded(body) = &draft.event else { panic!("{draft:?}") };
        assert_eq!((body.writes.len(), body.commit.as_ref()), (2, None));
        assert!(draft.causes.contains(&hold), "{draft:?}");
        // What Git drops after a release follows from that.
        let mut given = Given::app("root", auto());
        given.renders("root", vec![child(&cascading("web", auto()))]);
        while given.follows("root") {}
        given.renders("web", objects(&[A]));
        given.syncs("web");
        let then = given.world.clone();
        given.push(2);
        let hold = given.rolls_back("root", &then);
        given.renders("root", Vec::new());
        given.advances("web");
        given.lets_go("root", hold);
        let (released, origin) = (given.seq(), Origin::Parent(name("root")));
        assert_eq!(removed(&given.world, &name("web"), &origin, true).causes, [released]);
    }

    /// Goal: a request is a cause of what would not be done without it, and of nothing else.
    #[test]
    fn a_request_is_a_cause_where_the_policy_would_not_have_done_it() {
        let begun = |policy| {
            let mut given = Given::app("web", policy);
            given.renders("web", objects(&[A, B]));
            given.requests("web", true, &[]);
            let request = given.seq();
            (given, request)
        };
        let (manual, request) = begun(json!({}));
        assert_eq!(caused(&manual)[1..], [request]);
        let (kept, _) = begun(auto());
        assert_eq!(caused(&kept).len(), 1, "the render alone");
        // What is applied by itself and not pruned by itself.
        let mut given = Given::app("web", json!({"automated": {"selfHeal": true}}));
        given.renders("web", objects(&[A, B]));
        given.syncs("web");
        given.push(2);
        given.renders("web", objects(&[A]));
        given.requests("web", true, &[]);
        let request = given.seq();
        let plan = given.plan("web");
        assert_eq!(plan.writes[0].verb, Verb::Prune);
        assert_eq!(caused(&given)[1..], [request]);
    }

    #[test]
    fn an_approval_is_a_cause_until_it_was_carried_out() {
        let mut given = Given::synced(objects(&[A, B]));
        given.push(2);
        given.renders("web", objects(&[]));
        given.approves("web");
        let approval = given.seq();
        assert_eq!(caused(&given)[1..], [approval]);
    }
}
