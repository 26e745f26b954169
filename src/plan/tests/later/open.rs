//! A copy that ends between an intent and its outcome: what a later greffier wrote is told from what
//! that intent may have done.

use super::start::{shows, unchanged};
use super::{A, B};
use crate::ledger::event::{IntentSettledV1, WriteResult};
use crate::model::{Seq, Timestamp};
use crate::replay::testing::{Given, key, name, object, objects, writes};

/// `web` was about to update A when the copy was made, and the daemon starts on it.
fn open() -> (Given, Seq) {
    let mut given = Given::synced(objects(&[A, B]));
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let intent = given.intends("web");
    given.starts_without_git(false);
    (given, intent)
}

fn settles(given: &mut Given, intent: Seq, result: WriteResult) {
    let app = name("web");
    given.event(IntentSettledV1 { app, intent, results: vec![(0, result)] });
}

fn deadline(given: &Given, intent: Seq) -> Timestamp {
    given.world.intents[&intent].deadline
}

/// Goal: an intent explains a write of its object until its deadline and a minute of another clock,
/// and none of any other object.
#[test]
fn an_open_intent_explains_no_write_after_its_deadline_and_none_of_another_object() {
    for (object, after, sign) in
        [(A, 60_000, false), (A, 61_000, true), (B, 1_000, true), (B, 60_000, true)]
    {
        for seen_first in [false, true] {
            let (mut given, intent) = open();
            let at = deadline(&given, intent).plus_ms(after);
            given.lists_everything();
            if seen_first {
                shows(&mut given, object, at, "Apply");
                let told = given.world.old_copy().is_some();
                assert!(!told || object == B, "what became of the write is found out first");
            }
            settles(&mut given, intent, WriteResult::NotSent("not as it would be".into()));
            if !seen_first {
                shows(&mut given, object, at, "Apply");
            }
            assert_eq!(given.world.old_copy().is_some(), sign, "{object} {after} {seen_first}");
            assert_eq!(given.world.shows_later(&key(object)), sign);
        }
    }
}

/// Goal: a write that an API server made long after its deadline, because it stood still, is this
/// ledger's own all the same.
#[test]
fn a_write_that_is_made_late_is_no_sign() {
    let (mut given, intent) = open();
    let at = deadline(&given, intent).plus_ms(600_000);
    given.lists_everything();
    shows(&mut given, A, at, "Apply");
    given.carries_out(intent);
    assert!(given.world.old_copy().is_none() && !given.world.shows_later(&key(A)));
}

/// Goal: where the object says that greffier wrote it otherwise than the intent would have, that is a
/// sign at once; where it is as greffier left it before, it is none.
#[test]
fn another_write_than_the_intents_is_a_sign_and_an_earlier_one_is_none() {
    let (given, intent) = open();
    let latest = given.world.own_writes.latest.unwrap();
    let deadline = deadline(&given, intent);
    // A webhook may have changed what was sent.
    let (soon, later) = (deadline.plus_ms(5_000), deadline.plus_ms(6_000));
    for (at, sign) in [(latest, false), (soon, false), (later, true)] {
        let mut given = given.clone();
        given.lists_everything();
        shows(&mut given, A, at, "Apply");
        assert!(given.world.old_copy().is_none(), "the intent may have done it");
        settles(&mut given, intent, WriteResult::Another(at));
        assert_eq!(given.world.old_copy().is_some(), sign);
        assert!(given.world.intents.is_empty());
        unchanged(&mut given);
        let plan = given.plan("web");
        assert_eq!((writes(&plan).is_empty(), plan.dry_runs.len()), (sign, usize::from(sign)));
    }
}
