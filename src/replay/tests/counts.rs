//! What is counted for the end of a sync.

use super::super::testing::{Given, application, auto, child, name, object, objects};
use super::{A, B};
use crate::ledger::event::{DriftKind, Verb, WriteResult};

fn counts(given: &Given, app: &str) -> (u32, u32, u32) {
    given.world.apps[&name(app)].counts
}

/// Goal: the numbers of a sync are those of what it did, not of what was put back before it.
#[test]
fn what_is_put_back_between_two_syncs_counts_for_neither() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    assert_eq!(counts(&given, "web"), (2, 0, 0));
    assert!(given.finishes("web"));
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    assert_eq!(given.plan("web").writes[0].verb, Verb::Heal);
    given.syncs("web");
    given.loses(B);
    given.syncs("web");
    assert_eq!(counts(&given, "web"), (0, 0, 0));
    given.requests("web", false, &[]);
    assert!(given.finishes("web"));
    // Of somebody who asks for it, it is what was asked for.
    let mut by_hand = Given::app("web", serde_json::json!({}));
    by_hand.renders("web", objects(&[A]));
    by_hand.requests("web", false, &[]);
    by_hand.syncs("web");
    assert!(by_hand.finishes("web"));
    by_hand.sees(A);
    by_hand.finds("web", A, DriftKind::Drift);
    by_hand.requests("web", false, &[]);
    by_hand.syncs("web");
    assert_eq!(counts(&by_hand, "web"), (0, 1, 0));
}

/// Goal: a render that asks for the same, as when Git says what is held, takes no numbers away.
#[test]
fn a_render_that_asks_for_the_same_leaves_what_was_counted() {
    let mut given = Given::synced(vec![object(A, 1)]);
    given.push(2);
    given.renders("web", vec![object(A, 1), object(B, 1)]);
    given.syncs("web");
    assert_eq!(counts(&given, "web"), (1, 0, 0));
    given.push(3);
    given.renders("web", vec![object(A, 1), object(B, 1)]);
    assert_eq!(counts(&given, "web"), (1, 0, 0));
    given.push(4);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert_eq!(counts(&given, "web"), (0, 0, 0));
}

/// Goal: applications are objects of the one above them.
#[test]
fn applications_that_are_defined_and_removed_count_for_the_one_above() {
    let mut given = Given::app("root", auto());
    let (one, two) = (application("one", auto()), application("two", auto()));
    given.renders("root", vec![child(&one), child(&two)]);
    while given.follows("root") {}
    assert_eq!(counts(&given, "root"), (2, 0, 0));
    for app in ["one", "two"] {
        given.renders(app, Vec::new());
    }
    given.push(2);
    let other = application("one", serde_json::json!({}));
    given.renders("root", vec![child(&other)]);
    given.advances("two");
    while given.follows("root") {}
    given.advances("one");
    while given.follows("root") {}
    assert_eq!(counts(&given, "root"), (0, 1, 1));
}

/// Goal: what is deleted to be made anew, and what was gone already, was not removed.
#[test]
fn only_what_was_removed_counts_as_pruned() {
    let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
    given.push(2);
    given.renders("web", vec![object(A, 1)]);
    let mut gone = given.clone();
    let intent = gone.intends("web");
    gone.all_end(intent, &WriteResult::AlreadyGone);
    assert_eq!(counts(&gone, "web"), (0, 0, 0));
    given.syncs("web");
    assert_eq!(counts(&given, "web"), (0, 0, 1));
}
