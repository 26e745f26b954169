//! What others do to objects, and what is done about it.

use serde_json::json;

use super::super::{Status, Sync};
use crate::ledger::event::{DriftKind, WriteResult};
use crate::model::Digest;
use crate::replay::testing::{Given, application, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

/// An application without self-heal, whose objects are applied.
fn lenient() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.redeclares(&application("web", json!({"automated": {"prune": true}})));
    given
}

#[test]
fn a_change_is_compared_before_it_is_judged() {
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    let plan = given.plan("web");
    let comparison = &plan.compare[0];
    assert_eq!((writes(&plan).len(), plan.compare.len()), (0, 1));
    assert_eq!(comparison.baseline, given.world.owned[&key(A)].object);
    assert_eq!(comparison.observed, given.world.live[&key(A)].object);
    assert_eq!(comparison.observation, given.seq());
    assert_eq!((said(&plan, A).status, plan.finished), (Status::InFlight, None));
}

#[test]
fn what_a_comparison_finds_decides() {
    let cases = [
        (DriftKind::Drift, vec![format!("heal {A}")], Status::Drifted),
        (DriftKind::OwnershipLost, vec![format!("reclaim {A}")], Status::OwnershipLost),
        (DriftKind::Addition, vec![], Status::Synced),
        (DriftKind::None, vec![], Status::Synced),
    ];
    for (kind, wanted, status) in cases {
        let mut given = Given::synced(objects(&[A]));
        given.sees(A);
        if kind == DriftKind::None {
            given.compared.insert(key(A), (given.seq(), Digest::default()));
        } else {
            given.finds("web", A, kind);
        }
        let plan = given.plan("web");
        assert_eq!((writes(&plan), said(&plan, A).status), (wanted, status), "{kind:?}");
        assert_eq!(plan.compare, [], "{kind:?}");
    }
}

#[test]
fn a_later_change_is_compared_anew() {
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    given.finds("web", A, DriftKind::Addition);
    given.sees(A);
    assert_eq!(given.plan("web").compare.len(), 1);
    given.finds("web", A, DriftKind::None);
    assert_eq!(given.world.apps[&name("web")].drift.len(), 0);
}

#[test]
fn drift_is_left_and_reported_without_self_heal() {
    let mut given = lenient();
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::OutOfSync));
    assert_eq!(said(&plan, A).status, Status::Drifted);
    let finished = plan.finished.unwrap();
    assert!(finished.succeeded && finished.message.contains("1 objects differ"), "{finished:?}");
}

#[test]
fn an_object_deleted_by_hand_is_announced_once_and_made_again_with_self_heal() {
    for (mut given, wanted) in
        [(Given::synced(objects(&[A, B])), vec![format!("create {A}")]), (lenient(), vec![])]
    {
        given.loses(A);
        let plan = given.plan("web");
        assert_eq!((writes(&plan), plan.deleted.as_slice()), (wanted.clone(), &[key(A)][..]));
        assert_eq!(said(&plan, A).status, Status::Drifted);
        given.finds("web", A, DriftKind::Deleted);
        let plan = given.plan("web");
        assert_eq!((writes(&plan), plan.deleted.len()), (wanted, 0));
    }
}

#[test]
fn a_new_revision_puts_back_what_drifted_before_it_without_self_heal() {
    type Undo = fn(&mut Given);
    let undone: [(&str, Undo); 3] = [
        ("heal", |given| {
            given.sees(A);
            given.finds("web", A, DriftKind::Drift);
        }),
        ("create", |given| {
            given.loses(A);
            given.finds("web", A, DriftKind::Deleted);
        }),
        ("heal", |given| {
            given.loses(A);
            given.sees(A);
        }),
    ];
    for (verb, undo) in undone {
        let mut given = lenient();
        undo(&mut given);
        assert_eq!(given.writes("web"), [""; 0], "{verb}");
        given.push(2);
        given.renders("web", vec![object(A, 1), object(B, 2)]);
        assert_eq!(given.writes("web"), [format!("{verb} {A}"), format!("update {B}")]);
        given.syncs("web");
        undo(&mut given);
        assert_eq!(given.writes("web"), [""; 0], "{verb}: later drift is left again");
    }
}

#[test]
fn an_object_replaced_by_another_of_its_name_is_taken_back() {
    let mut given = Given::synced(objects(&[A]));
    given.loses(A);
    given.sees(A);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("heal {A}")]);
    assert!(said(&plan, A).why.contains("changed") || said(&plan, A).why.contains("replaced"));
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
}

#[test]
fn an_object_that_was_replaced_and_is_left_is_compared_and_so_are_its_later_changes() {
    let mut given = lenient();
    given.loses(A);
    given.finds("web", A, DriftKind::Deleted);
    for _ in 0..2 {
        given.sees(A);
        assert_eq!(given.plan("web").compare.len(), 1, "nobody has said what is otherwise in it");
        given.finds("web", A, DriftKind::Drift);
        let plan = given.plan("web");
        assert_eq!((plan.compare.len(), writes(&plan).len()), (0, 0));
        assert!(said(&plan, A).why.starts_with("somebody replaced it"), "{plan:?}");
        assert_eq!(said(&plan, A).status, Status::Drifted);
    }
    // That nothing is otherwise in it does not make it what was applied.
    given.sees(A);
    given.finds("web", A, DriftKind::None);
    given.compared.insert(key(A), (given.world.live[&key(A)].seq, Digest::default()));
    let plan = given.plan("web");
    assert_eq!((plan.compare.len(), said(&plan, A).status), (0, Status::Drifted));
}

#[test]
fn what_is_being_deleted_is_waited_for() {
    let mut given = Given::synced(objects(&[A]));
    given.sees_deleting(A);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.finished), (0, None));
    given.loses(A);
    assert_eq!(given.writes("web"), [format!("create {A}")]);
}

#[test]
fn our_own_deletion_is_nobody_elses_doing() {
    // The object leaves Git, its deletion begins, and Git takes the object back.
    let mut given = lenient();
    given.push(2);
    given.renders("web", objects(&[B]));
    given.tries("web", &WriteResult::Deleted);
    given.push(3);
    given.renders("web", objects(&[A, B]));
    assert_eq!(given.writes("web"), [""; 0], "it is on its way out");
    given.loses(A);
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.deleted.len()), (vec![format!("create {A}")], 0));
    assert_eq!(said(&plan, A).status, Status::Missing);
}

#[test]
fn nothing_is_planned_for_an_object_with_an_open_intent() {
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    let intent = given.intends("web");
    given.sees(A);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.compare.len(), plan.finished.clone()), (0, 0, None));
    assert_eq!(said(&plan, A).status, Status::InFlight);
    given.carries_out(intent);
    assert_eq!(given.plan("web").sync, Sync::Synced);
}
