//! Writes that fail: when they are tried again, and when not.

use serde_json::json;

use crate::ledger::event::{
    ClusterFoundV1, ClusterLostV1, DriftKind, IntentSettledV1, WriteResult,
};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn waiting() -> Given {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given
}

/// Fails the planned write and returns how long the next try waits; `None` = for ever.
fn fail(given: &mut Given, result: &WriteResult) -> Option<u64> {
    given.tries("web", result);
    let plan = given.plan("web");
    assert_eq!(plan.writes, [], "not at once");
    let wait = plan.deadline.map(|deadline| deadline.ms_since(given.now()));
    if let Some(wait) = wait {
        given.after_ms(wait - 2);
        assert_eq!(given.writes("web"), [""; 0], "not before its time");
        given.after_ms(1);
        assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
    }
    wait
}

#[test]
fn what_may_pass_is_tried_again_at_growing_intervals_for_ever() {
    let mut given = waiting();
    let waits: Vec<_> =
        (0..9).map(|_| fail(&mut given, &WriteResult::Failed("timeout".into()))).collect();
    let wanted = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(|seconds| Some(seconds * 1_000));
    assert_eq!(waits, wanted);
}

#[test]
fn what_was_refused_is_tried_again_five_times() {
    let mut given = waiting();
    let waits: Vec<_> =
        (0..5).map(|_| fail(&mut given, &WriteResult::Refused("immutable".into()))).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80].map(|s| Some(s * 1_000)));
    assert_eq!(fail(&mut given, &WriteResult::Refused("immutable".into())), None);
    assert_eq!(said(&given.plan("web"), A).why, "immutable");
    given.after_ms(3_600_000);
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn what_the_cluster_does_not_show_is_a_failed_try_and_is_told() {
    let mut given = waiting();
    for wait in [1_000, 2_000, 4_000] {
        let intent = given.intends("web");
        given.all_end(intent, &WriteResult::Unknown("no answer within 10 s".into()));
        let results = vec![(0, WriteResult::NotSent("the object is not there".into()))];
        given.event(IntentSettledV1 { app: name("web"), intent, results });
        let plan = given.plan("web");
        let deadline = plan.deadline.map(|deadline| deadline.ms_since(given.now()));
        assert_eq!((plan.writes.len(), deadline), (0, Some(wait)));
        assert_eq!(said(&plan, A).why, "no answer within 10 s; the object is not there");
        assert!(said(&plan, A).blocked);
        given.after_ms(wait);
    }
    let intent = given.intends("web");
    given.all_end(intent, &WriteResult::NotSent("the daemon stopped".into()));
    assert_eq!(given.writes("web"), [format!("create {A}")], "what was never sent did not fail");
    let intent = given.intends("web");
    given.starts(false);
    given.lists_everything();
    let results = vec![(0, WriteResult::NotSent("the object is not there".into()))];
    given.event(IntentSettledV1 { app: name("web"), intent, results });
    assert_eq!(given.writes("web"), [format!("create {A}")], "nor did what may never have been");
}

#[test]
fn a_changed_manifest_or_a_request_begins_anew() {
    type Begin = fn(&mut Given);
    let begin: [Begin; 2] = [
        |given| {
            given.push(2);
            given.renders("web", vec![object(A, 2)]);
        },
        |given| given.requests("web", false, &[]),
    ];
    for begin in begin {
        let mut given = waiting();
        while fail(&mut given, &WriteResult::Refused("immutable".into())).is_some() {}
        given.push(2);
        given.advances("web");
        assert_eq!(given.writes("web"), [""; 0], "the same manifest is refused again");
        begin(&mut given);
        assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
        given.tries("web", &WriteResult::Refused("immutable".into()));
        assert_eq!(given.world.apps[&name("web")].attempts[&key(A)].failures, 1);
    }
}

#[test]
fn an_api_server_that_comes_back_ends_the_waiting() {
    let mut given = waiting();
    given.tries("web", &WriteResult::Failed("connection refused".into()));
    given.event(ClusterLostV1 { error: "connection refused".into() });
    given.event(ClusterFoundV1 {});
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
    // What was refused for good stays refused.
    while fail(&mut given, &WriteResult::Refused("immutable".into())).is_some() {}
    given.event(ClusterFoundV1 {});
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn a_refused_object_is_reported_and_its_siblings_are_applied() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, B]));
    let intent = given.intends("web");
    let writes = given.world.intents[&intent].writes.clone();
    let answer = given.answer(&writes[&1].write);
    let refused = WriteResult::Refused("immutable".into());
    given.event(crate::ledger::event::OutcomeRecordedV1 {
        app: name("web"),
        intent,
        results: vec![(0, refused.clone()), (1, answer.clone())],
    });
    given.shows(&key(B), &answer);
    let finished = given.plan("web").finished.unwrap();
    assert!(!finished.succeeded && finished.message.contains("immutable"), "{finished:?}");
    assert!(!given.finishes("web"));
    // Refused again, it is the same end; applied at last, it is another.
    given.after_ms(5_000);
    given.tries("web", &refused);
    assert_eq!(given.plan("web").finished.unwrap(), finished);
    given.after_ms(10_000);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn a_write_that_may_pass_does_not_end_a_request() {
    let mut given = waiting();
    given.redeclares(&application("web", json!({})));
    given.requests("web", false, &[]);
    given.tries("web", &WriteResult::Failed("timeout".into()));
    assert_eq!(given.plan("web").finished, None);
    given.after_ms(1_000);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn a_write_that_was_not_sent_is_sent_without_waiting() {
    let mut given = waiting();
    given.tries("web", &WriteResult::NotSent("the daemon stopped".into()));
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
    assert!(given.world.apps[&name("web")].attempts.is_empty());
}

#[test]
fn a_failure_of_an_older_manifest_does_not_hold_what_comes_after() {
    // A commit changes the object, and another drops it, while a write is under way.
    for next in [vec![object(A, 2)], objects(&[B])] {
        let mut given = Given::synced(objects(&[A, B]));
        given.push(2);
        given.renders("web", vec![object(A, 9), object(B, 1)]);
        let intent = given.intends("web");
        given.push(3);
        given.renders("web", [next, objects(&[B])].concat());
        given.all_end(intent, &WriteResult::Refused("immutable".into()));
        assert_eq!(given.writes("web").len(), 1);
    }
}

fn waiting_with(retry: serde_json::Value) -> Given {
    let mut policy = auto();
    policy["retry"] = retry;
    let mut given = waiting();
    given.redeclares(&application("web", policy));
    given
}

#[test]
fn the_application_says_how_often_and_after_how_long() {
    let refused = || WriteResult::Refused("immutable".into());
    let backoff = json!({"duration": "30s", "factor": 3, "maxDuration": "2m"});
    let mut given = waiting_with(json!({"limit": 3, "backoff": backoff}));
    let waits: Vec<_> = (0..4).map(|_| fail(&mut given, &refused())).collect();
    assert_eq!(waits, [Some(30_000), Some(90_000), Some(120_000), None]);
    let mut given = waiting_with(json!({"limit": 0}));
    assert_eq!(fail(&mut given, &refused()), None);
    // What may pass does not count.
    let mut given = waiting_with(json!({"limit": 0}));
    assert_eq!(fail(&mut given, &WriteResult::Failed("timeout".into())), Some(1_000));
    let mut given = waiting_with(json!({"limit": 1}));
    fail(&mut given, &WriteResult::Failed("timeout".into()));
    fail(&mut given, &WriteResult::Failed("timeout".into()));
    assert_eq!(fail(&mut given, &refused()), Some(5_000));
    assert_eq!(fail(&mut given, &refused()), None);
    // Another policy tries what was given up.
    let mut given = waiting_with(json!({"limit": 0}));
    fail(&mut given, &refused());
    given.redeclares(&application("web", auto()));
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
}

#[test]
fn a_sync_by_hand_is_tried_once_where_nothing_else_is_said() {
    let mut given = waiting();
    given.redeclares(&application("web", json!({})));
    given.requests("web", false, &[]);
    given.tries("web", &WriteResult::Refused("immutable".into()));
    let until = given.world.apps[&name("web")].request.as_ref().map(|request| request.until);
    assert_eq!(given.plan("web").deadline, until, "nothing but the end of the request");
    assert!(!given.finishes("web"), "and the request has ended");
}

#[test]
fn a_failed_sync_ends_no_healing() {
    let mut given = Given::synced(objects(&[A]));
    let drifts = |given: &mut Given| {
        given.sees(A);
        given.finds("web", A, DriftKind::Drift);
    };
    drifts(&mut given);
    for _ in 0..6 {
        given.tries("web", &WriteResult::Refused("a webhook".into()));
        given.after_ms(180_000);
    }
    assert_eq!(given.writes("web"), [""; 0], "given up");
    drifts(&mut given);
    assert_eq!(given.writes("web"), [format!("heal {A}")], "changed anew");
}

#[test]
fn a_write_says_what_the_try_before_it_ended_with() {
    let mut given = waiting();
    assert_eq!(given.plan("web").writes[0].failed_before, "");
    given.tries("web", &WriteResult::Refused("immutable".into()));
    given.after_ms(5_000);
    assert_eq!(given.plan("web").writes[0].failed_before, "immutable");
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.plan("web").writes[0].failed_before, "", "another manifest");
}
