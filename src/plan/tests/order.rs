//! What comes first: namespaces, waves, and the first of two applications.

use serde_json::json;

use super::super::{CREATE_NAMESPACE, Status, Sync};
use crate::ledger::event::{DesiredObject, DriftKind, Health, ObjectHold, Origin};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const STAGE: &str = "Namespace/stage";
const IN_STAGE: &str = "ConfigMap/stage/a";

fn created_namespace() -> DesiredObject {
    let what = CREATE_NAMESPACE.to_owned();
    let holds = vec![ObjectHold { what: what.clone(), create: false, update: false, prune: true }];
    DesiredObject { origin: what, holds, ..object(STAGE, 1) }
}

fn waved(text: &str, wave: i32) -> DesiredObject {
    DesiredObject { wave, ..object(text, 1) }
}

#[test]
fn a_missing_namespace_holds_its_objects_and_says_so() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, IN_STAGE]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["create ConfigMap/prod/a"]);
    let why = "namespace stage does not exist and no application creates it";
    assert_eq!(said(&plan, IN_STAGE).why, why);
    given.syncs("web");
    assert!(!given.finishes("web"));
    assert!(given.sees(STAGE).all, "whoever waits for it is looked at again");
    assert_eq!(given.writes("web"), ["create ConfigMap/stage/a"]);
}

#[test]
fn a_namespace_of_the_same_application_comes_first() {
    for namespace in [object(STAGE, 1), created_namespace()] {
        let mut given = Given::app("web", auto());
        given.renders("web", vec![object(IN_STAGE, 1), namespace]);
        let plan = given.plan("web");
        assert_eq!(writes(&plan), ["create Namespace/stage"]);
        assert_eq!(said(&plan, IN_STAGE).why, "namespace stage comes first");
        given.follows("web");
        assert_eq!(given.writes("web"), ["create ConfigMap/stage/a"]);
    }
}

#[test]
fn a_namespace_of_a_later_wave_is_created_for_its_first_user() {
    let mut given = Given::app("web", auto());
    given.renders("web", vec![waved(IN_STAGE, 0), waved(A, 1), waved(STAGE, 2)]);
    assert_eq!(given.writes("web"), [format!("create {STAGE}")]);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn a_namespace_of_another_application_is_waited_for() {
    let mut given = Given::app("web", auto());
    given.declares(&application("base", auto()), Origin::Config);
    given.renders("web", objects(&[IN_STAGE]));
    given.renders("base", objects(&[STAGE]));
    let plan = given.plan("web");
    assert_eq!(said(&plan, IN_STAGE).why, "namespace stage is not created yet");
    assert_eq!(plan.finished, None);
    let intent = given.intends("base");
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    assert!(given.all_end(intent, &answer).all, "whoever waits for it is looked at again");
    assert_eq!(given.writes("web"), ["create ConfigMap/stage/a"]);
}

#[test]
fn an_unlisted_namespace_that_is_wanted_still_comes_first() {
    let mut given = Given::app("web", auto());
    given.starts(false);
    given.lists(key(A).group_kind());
    given.renders("web", vec![object(IN_STAGE, 1), created_namespace()]);
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn nothing_is_written_into_a_namespace_that_is_being_deleted() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.sees_deleting("Namespace/prod");
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!(said(&plan, A).why, "namespace prod is being deleted");
    assert_eq!(plan.finished, None, "it may pass");
}

#[test]
fn a_namespace_asked_for_by_option_is_created_once_and_never_changed_or_pruned() {
    let mut given = Given::app("web", auto());
    given.sees(STAGE);
    given.renders("web", vec![created_namespace(), object(IN_STAGE, 1)]);
    assert_eq!(given.writes("web"), ["create ConfigMap/stage/a"], "it is there already");

    let mut given = Given::app("web", auto());
    given.renders("web", vec![created_namespace(), object(A, 1)]);
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[A]));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.gate.is_none()), (0, true));
    assert_eq!((said(&plan, STAGE).status, plan.sync), (Status::Kept, Sync::Synced));
    assert!(said(&plan, STAGE).why.contains(CREATE_NAMESPACE), "{plan:?}");
}

#[test]
fn two_applications_may_both_ask_for_their_namespace() {
    let mut given = Given::app("web", auto());
    given.declares(&application("api", auto()), Origin::Config);
    for app in ["web", "api"] {
        given.renders(app, vec![created_namespace()]);
    }
    assert_eq!(given.writes("web"), ["create Namespace/stage"]);
    assert_eq!((given.writes("api").len(), given.plan("api").finished), (0, None));
    given.syncs("web");
    assert!(given.finishes("api"));
}

#[test]
fn a_wave_waits_until_the_one_before_it_is_healthy() {
    let (first, second, third) = ("ConfigMap/prod/z", A, "ConfigMap/prod/b");
    let mut given = Given::app("web", auto());
    given.health.insert(key(first), Health::Progressing);
    given.renders("web", vec![waved(first, -1), waved(second, 0), waved(third, 5)]);
    given.syncs("web");
    let plan = given.plan("web");
    assert_eq!(said(&plan, second).why, format!("wave -1 waits for {first}"));
    assert!(!given.world.live.contains_key(&key(second)));
    assert_eq!(plan.finished, None);

    given.health.clear();
    given.sees(first);
    given.finds("web", first, DriftKind::Addition);
    assert_eq!(given.writes("web"), [format!("create {second}")], "one wave at a time");
    given.syncs("web");
    assert!(given.finishes("web") && given.world.live.contains_key(&key(third)));
}

#[test]
fn the_answer_to_a_write_does_not_end_its_wave() {
    let (first, second) = (A, "ConfigMap/prod/b");
    let mut given = Given::app("web", auto());
    given.renders("web", vec![waved(first, 0), waved(second, 1)]);
    given.syncs("web");
    given.push(2);
    let next = |text, wave| DesiredObject { wave, ..object(text, 2) };
    given.renders("web", vec![next(first, 0), next(second, 1)]);
    let intent = given.intends("web");
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.all_end(intent, &answer);
    assert_eq!(given.writes("web"), [""; 0], "its health is not known yet");
    given.shows(&key(first), &answer);
    assert_eq!(given.writes("web"), [format!("update {second}")]);
}

#[test]
fn a_held_object_does_not_hold_the_next_wave() {
    let held = DesiredObject {
        holds: vec![crate::replay::testing::hold("hook", true, true, true)],
        ..waved("ConfigMap/prod/hook", -1)
    };
    let mut given = Given::app("web", auto());
    given.renders("web", vec![held, waved(A, 0)]);
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
}

#[test]
fn what_somebody_undid_is_put_back_whatever_wave_waits() {
    let (first, edited, deleted) = (A, "ConfigMap/prod/b", "ConfigMap/prod/c");
    let mut given = Given::app("web", auto());
    given.renders("web", vec![waved(first, 0), waved(edited, 1), waved(deleted, 1)]);
    given.syncs("web");
    given.health.insert(key(first), Health::Degraded);
    given.sees(first);
    given.finds("web", first, DriftKind::Addition);
    given.sees(edited);
    given.finds("web", edited, DriftKind::Drift);
    given.loses(deleted);
    assert_eq!(given.writes("web"), [format!("heal {edited}"), format!("create {deleted}")]);
}

#[test]
fn within_a_wave_the_order_is_by_kind_then_by_name() {
    let mut given = Given::app("web", auto());
    given.sees(STAGE);
    let texts =
        ["Deployment.apps/stage/a", "ConfigMap/stage/b", "Secret/prod/z", "ConfigMap/prod/a"];
    given.renders("web", objects(&texts));
    let order =
        ["Secret/prod/z", "ConfigMap/prod/a", "ConfigMap/stage/b", "Deployment.apps/stage/a"];
    assert_eq!(given.writes("web"), order.map(|text| format!("create {text}")));
}

#[test]
fn of_two_applications_the_first_keeps_an_object_and_the_second_reports() {
    let mut given = Given::app("web", auto());
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", vec![object(A, 7)]);
    given.renders("web", vec![object(A, 1)]);
    // Nobody owns it yet: the first by definition, not by name and not by render.
    for _ in 0..2 {
        let plan = given.plan("api");
        assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Foreign));
        assert_eq!(said(&plan, A).why, "application web has it too, and had it first");
        let finished = plan.finished.unwrap();
        assert_eq!((finished.succeeded, plan.sync), (true, Sync::OutOfSync));
        assert_eq!(finished.message, "1 objects are of other applications");
        given.syncs("web");
        assert_eq!(given.world.owned[&key(A)].app, name("web"));
    }
    // When the owner lets go of it, it is one of the others that gets it.
    let mut left = given.clone();
    left.declares(&application("etc", auto()), Origin::Config);
    left.renders("etc", vec![object(A, 3)]);
    left.renders("web", Vec::new());
    assert_eq!((left.writes("api").len(), left.writes("etc").len()), (1, 0));
    // Neither a new definition of the owner nor a new render of the other changes that.
    given.redeclares(&application("web", json!({"automated": {"prune": true}})));
    given.renders("api", vec![object(A, 8)]);
    assert_eq!((given.writes("api").len(), given.writes("web").len()), (0, 0));
}
