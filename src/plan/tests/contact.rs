//! First contact with the objects of another GitOps manager waits for a person.

use super::super::Plan;
use crate::ledger::event::{DriftKind, FieldChange, PlanApprovedV1, Preview};
use crate::plan::withdrawn;
use crate::replay::testing::{Given, auto, key, name, object, objects, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const ARGO: &str = "Argo CD (application shop)";

/// `A` and `B` are there, Argo CD manages `A`, and `web` asks for both and for a third.
fn met() -> Given {
    let mut given = Given::app("web", auto());
    given.sees_managed(A, ARGO);
    given.sees(B);
    given.renders("web", objects(&[A, B, "ConfigMap/prod/c"]));
    answer(&mut given);
    given
}

fn answer(given: &mut Given) {
    for asked in given.plan("web").dry_runs {
        let (path, was, now) = (".data.key".to_owned(), "1".to_owned(), "2".to_owned());
        given.previews("web", &asked, Preview::Changes(vec![FieldChange { path, was, now }]));
    }
}

fn reasons(plan: &Plan) -> Vec<&str> {
    let gate = plan.gate.as_ref();
    gate.into_iter().flat_map(|gate| &gate.reasons).map(|reason| reason.what.as_str()).collect()
}

#[test]
fn the_adopting_write_waits_and_the_rest_goes_on() {
    let given = met();
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("adopt {B}"), "create ConfigMap/prod/c".to_owned()]);
    assert_eq!(reasons(&plan), [format!("would write to {A}, which {ARGO} manages")]);
}

#[test]
fn an_approval_covers_what_it_names_and_nothing_that_comes_later() {
    let mut given = met();
    given.approves("web");
    assert_eq!(given.plan("web").gate, None);
    given.syncs("web");
    assert!(given.finishes("web"));
    // It is greffier's own now, whatever marks it still bears.
    given.sees_managed(A, ARGO);
    given.finds("web", A, DriftKind::Drift);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    // Another object of the same manager is another question.
    given.syncs("web");
    given.push(2);
    given.sees_managed("ConfigMap/prod/d", ARGO);
    given.renders("web", objects(&[A, B, "ConfigMap/prod/c", "ConfigMap/prod/d"]));
    answer(&mut given);
    assert!(reasons(&given.plan("web"))[0].contains("ConfigMap/prod/d"));
}

#[test]
fn an_approval_lapses_when_the_object_changes() {
    let mut given = met();
    given.approves("web");
    given.sees_managed(A, ARGO);
    answer(&mut given);
    assert_eq!(reasons(&given.plan("web")).len(), 1);
}

#[test]
fn an_object_that_another_manager_put_in_the_place_of_ours_waits_too() {
    for changed in [false, true] {
        let mut given = Given::synced(objects(&[A, B]));
        given.loses(A);
        given.sees_managed(A, ARGO);
        if changed {
            given.push(2);
            given.renders("web", vec![object(A, 2), object(B, 1)]);
        }
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [""; 0], "{changed}");
        assert_eq!(reasons(&plan), [format!("would write to {A}, which {ARGO} manages")]);
    }
}

#[test]
fn many_objects_of_one_manager_are_one_reason() {
    let mut given = Given::app("web", auto());
    let names: Vec<String> = (0..5).map(|n| format!("ConfigMap/prod/{n}")).collect();
    names.iter().for_each(|text| given.sees_managed(text, ARGO));
    given.renders("web", names.iter().map(|text| object(text, 1)).collect());
    answer(&mut given);
    let what = "would write to 5 objects (ConfigMap/prod/0, ConfigMap/prod/1, ConfigMap/prod/2, \
        and 2 more), which Argo CD (application shop) manages";
    assert_eq!(reasons(&given.plan("web")), [what]);
}

#[test]
fn a_deletion_that_waits_beside_it_is_approved_with_it() {
    let mut given =
        Given::synced((0..4).map(|n| object(&format!("ConfigMap/prod/{n}"), 1)).collect());
    given.sees_managed(A, ARGO);
    given.push(2);
    given.renders("web", objects(&[A]));
    answer(&mut given);
    let plan = given.plan("web");
    assert_eq!((reasons(&plan).len(), writes(&plan).len()), (2, 0));
    given.approves("web");
    assert_eq!(given.writes("web").len(), 5);
}

#[test]
fn what_comes_under_another_manager_before_it_is_written_to_is_withdrawn() {
    let mut given = Given::app("web", auto());
    given.sees(A);
    given.renders("web", objects(&[A]));
    answer(&mut given);
    let write = given.plan("web").writes.remove(0);
    assert_eq!(withdrawn(&given.world, &name("web"), &write), None);
    given.sees_managed(A, ARGO);
    assert!(withdrawn(&given.world, &name("web"), &write).is_some());
    assert!(given.world.live.contains_key(&key(A)));
}

#[test]
fn a_hash_of_another_plan_approves_nothing() {
    let mut given = met();
    let mut plan = given.gates("web").plan;
    plan.0[0] ^= 1;
    given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    assert_eq!(reasons(&given.plan("web")).len(), 1);
}
