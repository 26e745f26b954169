//! What leaves Git beside what cannot be written: it stays, for that may stand in its place.

use serde_json::json;

use crate::ledger::event::{
    BackTo, DesiredObject, FieldChange, HeldObject, HoldBegunV1, HoldOf, OutcomeRecordedV1,
    Preview, WriteResult,
};
use crate::model::Seq;
use crate::plan::{Plan, stays_beside};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const C: &str = "ConfigMap/prod/c";

/// `web` has A and C; Git has renamed A to `new`.
fn renamed(new: &str) -> Given {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, C]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[C, new]));
    given
}

/// The create ends like this, and the executor has left out the prune for it.
fn ends(given: &mut Given, result: WriteResult) {
    assert_eq!(given.writes("web"), [format!("create {B}"), format!("prune {A}")]);
    let intent = given.intends("web");
    let unsent = WriteResult::NotSent("something beside it was not written".into());
    let results = vec![(0, result), (1, unsent)];
    given.event(OutcomeRecordedV1 { app: name("web"), intent, results });
}

fn stays(plan: &Plan, why: &str) {
    let said = said(plan, A);
    assert!(said.blocked && said.why.contains(why), "{}", said.why);
    assert_eq!(writes(plan), [""; 0]);
}

#[test]
fn what_goes_stays_while_what_comes_with_it_is_refused() {
    let mut given = renamed(B);
    ends(&mut given, WriteResult::Refused("422: no such field".into()));
    let plan = given.plan("web");
    stays(&plan, "it left Git; it stays while ConfigMap/prod/b, which may stand in its place");
    let finished = plan.finished.unwrap();
    assert!(!finished.succeeded && finished.message.contains("422: no such field"));

    // A person may say that this very object goes; of everything, or another, that says nothing.
    let asked = |only: &[&str]| {
        let mut given = given.clone();
        given.requests("web", true, only);
        let app = &given.world.apps[&name("web")];
        let plan = given.plan("web");
        let prune = plan.writes.iter().find(|write| write.key == key(A)).unwrap();
        stays_beside(&given.world, app, prune)
    };
    // The create is tried again, and the executor asks when it has been.
    assert_eq!([asked(&[]), asked(&[C]), asked(&[A])], [true, true, false]);

    // Mended in Git, it goes with the same plan.
    given.push(3);
    given.renders("web", vec![object(C, 1), object(B, 2)]);
    assert_eq!(given.writes("web"), [format!("create {B}"), format!("prune {A}")]);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn what_may_pass_is_waited_for() {
    let mut given = renamed(B);
    ends(&mut given, WriteResult::Failed("timeout".into()));
    let plan = given.plan("web");
    stays(&plan, "timeout");
    assert_eq!(plan.finished, None);
    given.after_ms(1_000);
    given.syncs("web");
    assert!(given.finishes("web") && !given.world.live.contains_key(&key(A)));

    let mut given = renamed(B);
    ends(&mut given, WriteResult::Unknown("no answer".into()));
    stays(&given.plan("web"), "a write is under way");
}

#[test]
fn what_may_be_in_the_way_goes() {
    for error in ["provided port is already allocated", "exceeded quota: small"] {
        let mut given = renamed(B);
        ends(&mut given, WriteResult::Refused(error.into()));
        assert_eq!(given.writes("web"), [format!("prune {A}")], "{error}");
    }
}

/// Goal: nothing goes for the sake of what is then not tried again.
#[test]
fn what_was_refused_for_what_is_there_is_tried_again_once_that_is_gone() {
    for gone in [false, true] {
        // By hand, and with no further try.
        let mut given = Given::app("web", json!({}));
        given.requests("web", false, &[]);
        given.renders("web", objects(&[A, C]));
        given.syncs("web");
        assert!(given.finishes("web"));
        given.push(2);
        given.renders("web", objects(&[C, B]));
        given.requests("web", true, &[]);
        ends(&mut given, WriteResult::Refused("exceeded quota: small".into()));
        given.after_ms(600_000);
        assert_eq!(given.writes("web"), [format!("prune {A}")]);
        let intent = given.intends("web");
        let result = if gone { WriteResult::AlreadyGone } else { WriteResult::Deleted };
        given.event(OutcomeRecordedV1 { app: name("web"), intent, results: vec![(0, result)] });
        if !gone {
            let plan = given.plan("web");
            assert_eq!((writes(&plan), plan.finished), (Vec::new(), None), "it is on its way out");
            given.loses(A);
        }
        assert_eq!(given.writes("web"), [format!("create {B}")]);
    }
}

#[test]
fn what_goes_stays_while_what_comes_with_it_cannot_be_written_at_all() {
    let unserved = "Rollout.example.org/prod/b";
    stays(&renamed(unserved).plan("web"), "the cluster does not serve the kind");
    let nowhere = "ConfigMap/nowhere/b";
    stays(&renamed(nowhere).plan("web"), "namespace nowhere does not exist");
    // What is removed as a whole wants nothing.
    let mut given = renamed(unserved);
    given.removes("web", true, crate::ledger::event::Origin::Config);
    assert_eq!(given.writes("web"), [format!("prune {A}"), format!("prune {C}")]);
}

#[test]
fn with_prune_last_what_goes_waits_until_everything_else_is_there_and_healthy() {
    let policy = json!({"automated": {"prune": true}, "syncOptions": ["PruneLast=true"]});
    let mut given = Given::app("web", auto());
    given.redeclares(&application("web", policy));
    given.renders("web", objects(&[A, C]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[C, B]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("create {B}")]);
    assert!(said(&plan, A).why.contains("is not there and healthy (PruneLast)"));
    let intent = given.intends("web");
    given.carries_out(intent);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    // At once for a person who asks for it.
    given.push(3);
    given.renders("web", vec![object(C, 1), object(B, 2)]);
    given.requests("web", true, &[A]);
    assert!(given.writes("web").contains(&format!("prune {A}")));
}

#[test]
fn what_is_rolled_back_stays_until_what_comes_back_is_written() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, C]));
    given.syncs("web");
    let then = given.world.clone();
    given.push(2);
    given.renders("web", objects(&[C, B]));
    given.syncs("web");
    given.rolls_back("web", &then);
    assert_eq!(given.writes("web"), [format!("create {A}"), format!("prune {B}")]);
    let intent = given.intends("web");
    let unsent = WriteResult::NotSent("something beside it was not written".into());
    let results = vec![(0, WriteResult::Failed("no webhook".into())), (1, unsent)];
    given.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    let said = said(&plan, B);
    assert!(said.blocked && said.why.contains("stays while ConfigMap/prod/a"), "{}", said.why);
    given.after_ms(1_000);
    given.syncs("web");
    assert!(given.world.live.contains_key(&key(A)) && !given.world.live.contains_key(&key(B)));
}

#[test]
fn what_an_undo_takes_away_stays_until_what_it_brings_back_is_written() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[B, C]));
    given.syncs("web");
    let undo = |given: &mut Given, of: Vec<HoldOf>| {
        let (app, from, reason) = (name("web"), BackTo::Drift(Seq(1)), String::new());
        given.event(HoldBegunV1 { app, of, from, until: None, reason });
    };
    // By itself it is taken away whatever else is refused.
    let mut alone = given.clone();
    alone.push(2);
    alone.renders("web", vec![object(B, 1), object(C, 1), object("Rollout.example.org/prod/r", 1)]);
    undo(&mut alone, vec![HoldOf::Absence(key(B))]);
    assert_eq!(alone.writes("web"), [format!("prune {B}")]);

    let held = HoldOf::Object(Box::new(HeldObject { object: object(A, 1), seen: false }));
    undo(&mut given, vec![HoldOf::Absence(key(B)), held]);
    assert_eq!(given.writes("web"), [format!("create {A}"), format!("prune {B}")]);
    let intent = given.intends("web");
    let unsent = WriteResult::NotSent("something beside it was not written".into());
    let results = vec![(0, WriteResult::Refused("by a policy".into())), (1, unsent)];
    given.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert!(said(&plan, B).why.contains("stays while ConfigMap/prod/a"), "{plan:#?}");
    given.requests("web", true, &[B]);
    assert_eq!(given.writes("web"), [format!("create {A}"), format!("prune {B}")]);
}

#[test]
fn what_goes_stays_while_what_comes_with_it_waits_for_an_earlier_wave() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, C]));
    given.syncs("web");
    given.push(2);
    let late = DesiredObject { wave: 5, ..object(B, 1) };
    given.renders("web", vec![object(C, 2), late]);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {C}")]);
    assert!(said(&plan, A).why.contains("wave 0 waits for ConfigMap/prod/c"), "{plan:#?}");
    let intent = given.intends("web");
    given.carries_out(intent);
    assert_eq!(given.writes("web"), [format!("create {B}"), format!("prune {A}")]);
}

#[test]
fn a_wave_that_waits_for_what_is_in_the_way_lets_go_of_what_may_be_that() {
    let (d, e) = ("Service/prod/d", "Service/prod/e");
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, C, d]));
    given.syncs("web");
    given.push(2);
    let late = |object: DesiredObject| DesiredObject { wave: 5, ..object };
    given.renders("web", vec![object(B, 1), late(object(C, 2)), late(object(e, 1))]);
    assert_eq!(given.writes("web"), [format!("create {B}")]);
    let intent = given.intends("web");
    let refused = WriteResult::Refused("exceeded quota: small".into());
    let outcome = OutcomeRecordedV1 { app: name("web"), intent, results: vec![(0, refused)] };
    given.event(outcome);
    // What is of another kind is no reason for the refusal.
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("prune {A}")]);
    assert!(said(&plan, d).why.contains("wave 0 waits for ConfigMap/prod/b"), "{plan:#?}");
    let intent = given.intends("web");
    given.carries_out(intent);
    given.after_ms(60_000);
    given.syncs("web");
    assert!(given.finishes("web") && !given.world.live.contains_key(&key(d)));
}

#[test]
fn what_goes_stays_while_what_comes_with_it_waits_for_a_person() {
    let mut given = renamed(B);
    given.sees_managed(B, "Argo CD");
    let asked = given.plan("web").dry_runs.remove(0);
    assert_eq!(given.writes("web"), [""; 0], "it is not known yet what would become of the other");
    let field = FieldChange { path: ".data.k".into(), was: "1".into(), now: "2".into() };
    given.previews("web", &asked, Preview::Changes(vec![field]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!(plan.gate.as_ref().unwrap().writes.len(), 1);
    assert!(said(&plan, A).why.contains("waits: ConfigMap/prod/b, which may stand"), "{plan:#?}");
    given.approves("web");
    assert_eq!(given.writes("web").last(), Some(&format!("prune {A}")));
}
