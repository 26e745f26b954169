//! What a person asked for is done once; it is no policy, however long it lasts.

use serde_json::json;

use super::super::Sync;
use crate::ledger::event::{DriftKind, FieldChange, Preview, Verb};
use crate::replay::testing::{Given, key, name, object, objects, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const ARGO: &str = "Argo CD (application shop)";
const HOUR_MS: u64 = 3_600_000;

/// `web`, which is synced by hand: a sync was asked for and waits, because Argo CD manages `B`.
fn waits_at_the_gate() -> Given {
    let mut given = Given::app("web", json!({}));
    given.sees_managed(B, ARGO);
    given.renders("web", objects(&[A, B]));
    given.requests("web", false, &[]);
    for asked in given.plan("web").dry_runs {
        let (path, was, now) = (".data.key".to_owned(), "1".to_owned(), "2".to_owned());
        given.previews("web", &asked, Preview::Changes(vec![FieldChange { path, was, now }]));
    }
    given.gates("web");
    given.syncs("web");
    assert!(given.plan("web").finished.is_none());
    given
}

#[test]
fn each_object_is_written_once() {
    let mut given = waits_at_the_gate();
    // What was written for the request is nobody's to put back any more.
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::OutOfSync));
    given.approves("web");
    assert_eq!(given.writes("web"), [format!("adopt {B}")]);
    given.syncs("web");
    assert!(given.finishes("web"));
    assert_eq!(given.world.apps[&name("web")].request, None);
}

#[test]
fn a_later_render_is_not_what_was_asked_for() {
    let mut given = waits_at_the_gate();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), &plan.gate), (0, &None));
    let message = plan.finished.unwrap().message;
    assert!(message.contains("a newer render took force"), "{message}");
    assert!(!given.finishes("web"));
    assert_eq!(given.world.apps[&name("web")].request, None);
    assert!(given.plan("web").finished.is_none(), "and nothing is left to end");
}

#[test]
fn until_something_waits_a_request_follows_git() {
    // `git push && greffier sync`: the request may be recorded before the commit is.
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A]));
    given.requests("web", false, &[]);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.writes("web"), [format!("create {A}")]);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn a_request_that_cannot_be_finished_ends_after_an_hour() {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A, B]));
    given.requests("web", false, &[]);
    given.syncs("web");
    assert!(given.finishes("web"));
    given.push(2);
    given.renders("web", objects(&[A]));
    given.requests("web", true, &[]);
    assert_eq!(given.writes("web"), [format!("prune {B}")]);
    // Its finalizer holds it: it neither goes nor does the sync end.
    given.sees_deleting(B);
    assert_eq!(given.plan("web").finished, None);
    assert!(given.plan("web").deadline.is_some());
    given.after_ms(HOUR_MS + 1);
    let message = given.plan("web").finished.unwrap().message;
    assert!(message.contains("within an hour"), "{message}");
    assert!(!given.finishes("web"));
    assert_eq!(given.plan("web").deadline, None);
}

#[test]
fn a_request_for_some_objects_restrains_no_policy() {
    let mut given = Given::synced(objects(&[A, B]));
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    given.requests("web", false, &[B]);
    let plan = given.plan("web");
    let healed = plan.writes.iter().find(|write| write.key == key(A));
    assert_eq!(healed.map(|write| write.verb), Some(Verb::Heal));
}
