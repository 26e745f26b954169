//! Objects that are there and were not applied as they are wanted.

use serde_json::json;

use super::super::{DryRun, Plan, Status, Sync};
use crate::ledger::event::{ClusterFoundV1, ClusterLostV1, FieldChange, Preview, WriteResult};
use crate::replay::testing::{Given, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";

/// `A` is in the cluster, and the application asks for it without having applied it.
fn there(policy: serde_json::Value) -> Given {
    let mut given = Given::app("web", policy);
    given.sees(A);
    given.renders("web", objects(&[A]));
    given
}

fn asked(plan: &Plan) -> DryRun {
    assert_eq!((writes(plan).len(), plan.dry_runs.len()), (0, 1), "{plan:#?}");
    plan.dry_runs[0].clone()
}

/// Answers what the plan asks for.
fn answers(given: &mut Given, result: Preview) -> Plan {
    let dry_run = asked(&given.plan("web"));
    given.previews("web", &dry_run, result);
    given.plan("web")
}

fn changes() -> Preview {
    let (path, was, now) = (".data.key".to_owned(), "1".to_owned(), "2".to_owned());
    Preview::Changes(vec![FieldChange { path, was, now }])
}

#[test]
fn nothing_is_said_of_an_object_before_the_api_server_was_asked() {
    for policy in [json!({}), auto()] {
        let given = there(policy);
        let plan = given.plan("web");
        let dry_run = asked(&plan);
        assert_eq!((plan.sync, said(&plan, A).status), (Sync::Unknown, Status::Unknown));
        assert_eq!(plan.finished, None);
        let live = &given.world.live[&key(A)];
        assert_eq!((dry_run.uid, dry_run.live), (live.uid.clone(), live.digest));
        assert_eq!(dry_run.observed, live.object);
    }
}

#[test]
fn the_answer_decides_for_an_application_that_is_synced_by_hand() {
    for (answer, status, sync, why) in [
        (Preview::Same, Status::Synced, Sync::Synced, "has not applied it"),
        (changes(), Status::Changed, Sync::OutOfSync, "differs in .data.key"),
        (Preview::Refused("by a webhook".into()), Status::Unknown, Sync::Unknown, "by a webhook"),
        (Preview::Failed("timeout".into()), Status::Unknown, Sync::Unknown, "timeout"),
    ] {
        let mut given = there(json!({}));
        let plan = answers(&mut given, answer);
        let object = said(&plan, A);
        assert_eq!((object.status, plan.sync), (status, sync), "{object:?}");
        assert!(object.why.contains(why), "{object:?}");
        assert_eq!((writes(&plan).len(), plan.dry_runs.len()), (0, 0), "asked once");
    }
}

#[test]
fn an_automated_application_adopts_after_the_answer() {
    for answer in [Preview::Same, changes(), Preview::Refused("by a webhook".into())] {
        let mut given = there(auto());
        let plan = answers(&mut given, answer.clone());
        assert_eq!(writes(&plan), [format!("adopt {A}")], "{answer:?}");
        let status = if answer == Preview::Same { Status::Synced } else { Status::Changed };
        assert_eq!(said(&plan, A).status, status);
        given.syncs("web");
        assert!(given.world.owned.contains_key(&key(A)));
        assert!(given.world.apps[&name("web")].previews.is_empty());
        assert_eq!(given.plan("web").sync, Sync::Synced);
    }
}

#[test]
fn a_live_object_that_changed_is_asked_about_again_and_its_status_is_not() {
    let mut given = there(json!({}));
    answers(&mut given, Preview::Same);
    let former = given.world.live[&key(A)].clone();
    // Only the resource version moves on, as with every change of status.
    let mut seen = given.observation(A);
    (seen.digest, seen.object) = (former.digest, former.object);
    given.event(seen);
    assert_eq!(given.plan("web").dry_runs, []);
    given.sees(A);
    asked(&given.plan("web"));
    answers(&mut given, Preview::Same);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    asked(&given.plan("web"));
}

#[test]
fn what_could_not_be_asked_is_asked_again_later() {
    let mut given = there(auto());
    let plan = answers(&mut given, Preview::Failed("timeout".into()));
    assert_eq!((plan.dry_runs.len(), plan.finished), (0, None));
    assert_eq!(plan.deadline, given.world.apps[&name("web")].previews[&key(A)].next);
    given.after_ms(1_000);
    answers(&mut given, Preview::Failed("timeout".into()));
    given.after_ms(1_000);
    assert_eq!(given.plan("web").dry_runs, [], "the second time it waits longer");
    given.event(ClusterLostV1 { error: "gone".into() });
    given.event(ClusterFoundV1 {});
    asked(&given.plan("web"));
    answers(&mut given, Preview::Refused("no".into()));
    given.tries("web", &WriteResult::Refused("no".into()));
    given.requests("web", false, &[]);
    asked(&given.plan("web"));
}

#[test]
fn while_the_api_server_is_away_nothing_is_asked() {
    let mut given = there(json!({}));
    given.event(ClusterLostV1 { error: "gone".into() });
    let plan = given.plan("web");
    assert_eq!((plan.dry_runs.len(), said(&plan, A).status), (0, Status::Unknown));
    assert!(said(&plan, A).why.contains("gone"));
}

#[test]
fn a_new_revision_is_applied_at_once_where_it_may_be_and_asked_about_where_not() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.dry_runs.len()), (vec![format!("update {A}")], 0));
    given.redeclares(&crate::replay::testing::application("web", json!({})));
    let plan = answers(&mut given, changes());
    assert_eq!(said(&plan, A).status, Status::Changed);
    given.requests("web", false, &[]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
}

/// Goal: while a write that brings what Git says is under way, the object is as it was before, and
/// nobody is told that it is in sync.
#[test]
fn what_is_being_written_is_not_in_sync_yet() {
    let mut given = Given::synced(objects(&[A]));
    assert_eq!(given.plan("web").sync, Sync::Synced);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    given.intends("web");
    let plan = given.plan("web");
    assert_eq!((said(&plan, A).status, plan.sync), (Status::InFlight, Sync::OutOfSync));
    given.starts(false);
    assert_ne!(given.plan("web").sync, Sync::Synced, "nor after a kill");
}
