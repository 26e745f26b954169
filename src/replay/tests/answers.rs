//! What the answer to our own write tells beside the observations around it.

use super::{A, creating};
use crate::ledger::event::{Applied, KindListedV1, ObjectObservedV1, WatchGapV1, WriteResult};
use crate::model::GroupKind;
use crate::plan::Status;
use crate::replay::testing::{Given, key, object, objects, said};

/// The object as the write left it, observed `later` versions afterwards.
fn echo(given: &mut Given, applied: &Applied, later: i64) -> ObjectObservedV1 {
    let version: i64 = applied.resource_version.parse().unwrap();
    ObjectObservedV1 {
        uid: applied.uid.clone(),
        resource_version: (version + later).to_string(),
        digest: applied.digest,
        owned: Some(applied.baseline),
        object: applied.object,
        health: applied.health,
        health_message: applied.health_message.clone(),
        ..given.observation(A)
    }
}

/// A was created, and what was recorded of that is a version of later: people were quicker.
fn answered() -> (Given, Applied) {
    let (mut given, intent) = creating();
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.all_end(intent, &answer);
    let WriteResult::Applied(applied) = answer else { panic!("not applied") };
    (given, applied)
}

/// The kind is listed, and nothing is told of A.
fn list(given: &mut Given) {
    let (kind, resource_version) = (GroupKind::new("", "ConfigMap"), "99999".into());
    given.event(KindListedV1 { kind, objects: 1, resource_version, named: Vec::new() });
}

#[test]
fn what_a_watch_showed_before_the_answer_is_not_gone_when_nothing_more_is_told_of_it() {
    // The observer told of the object as it was just before, which is the same but for its
    // status: it has nothing to tell of the version that the answer is about.
    let (mut given, applied) = answered();
    let early = echo(&mut given, &applied, -1);
    given.event(early);
    let live = given.world.live[&key(A)].clone();
    assert!(!live.answered && live.resource_version == applied.resource_version);
    list(&mut given);
    assert_eq!(said(&given.plan("web"), A).status, Status::Synced);

    // It told of another state: the one of the answer is still to come, but the object is there.
    let (mut given, applied) = answered();
    let early = ObjectObservedV1 { digest: Default::default(), ..echo(&mut given, &applied, -1) };
    given.event(early);
    list(&mut given);
    assert!(given.world.live[&key(A)].answered);

    // A new run's observer tells of it, or it is gone.
    given.starts(false);
    list(&mut given);
    assert!(!given.world.live.contains_key(&key(A)));
}

#[test]
fn an_answer_that_changes_nothing_is_as_good_as_observed() {
    for (later, changes) in [(0, false), (3, false), (3, true)] {
        let (mut given, mut applied) = answered();
        let echo = echo(&mut given, &applied, 0);
        given.event(echo);
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        let intent = given.intends("web");
        let version: u64 = applied.resource_version.parse().unwrap();
        applied.resource_version = (version + later).to_string();
        if changes {
            applied.digest = Default::default();
        }
        given.all_end(intent, &WriteResult::Applied(applied));
        assert_eq!(given.world.live[&key(A)].answered, changes, "{later} versions later");
        list(&mut given);
        assert!(given.world.live.contains_key(&key(A)));
    }
}

#[test]
fn an_answer_is_newer_than_what_was_known_when_it_was_asked() {
    // The cluster was restored, and the watch has not noticed yet.
    for asked_first in [false, true] {
        let mut given = Given::synced(objects(&[A]));
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        if !asked_first {
            given.sees(A);
        }
        let intent = given.intends("web");
        if asked_first {
            given.sees(A);
        }
        let seen = given.world.live[&key(A)].resource_version.clone();
        let write = given.world.intents[&intent].writes[&0].write.clone();
        let WriteResult::Applied(mut applied) = given.answer(&write) else { panic!("not applied") };
        applied.resource_version = "7".into();
        given.all_end(intent, &WriteResult::Applied(applied));
        let known = given.world.live[&key(A)].resource_version.clone();
        assert_eq!(known, if asked_first { seen } else { "7".into() });
        assert_eq!(given.writes("web").len(), 0, "nothing is written again and again");
    }
}

#[test]
fn an_answer_does_not_take_a_deletion_back() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let intent = given.intends("web");
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let early = given.observation(A);
    let answer = given.answer(&write);
    // The deletion is seen before the answer is, or after it.
    let mut other = given.clone();
    for (given, seen_first) in [(&mut given, true), (&mut other, false)] {
        let seen = ObjectObservedV1 { deleting: true, ..early.clone() };
        if seen_first {
            given.event(seen.clone());
        }
        given.all_end(intent, &answer);
        if !seen_first {
            given.event(seen);
        }
        assert!(given.world.live[&key(A)].deleting, "seen first: {seen_first}");
    }
}

#[test]
fn what_only_an_answer_told_of_is_gone_when_a_restored_cluster_does_not_list_it() {
    let list = |given: &mut Given| {
        let (kind, resource_version) = (GroupKind::new("", "ConfigMap"), "1".into());
        given.event(KindListedV1 { kind, objects: 0, resource_version, named: Vec::new() });
    };
    // An older list may have begun before the write, also when a gap was recorded in between.
    let (mut given, _) = answered();
    list(&mut given);
    let (kind, reason) = (GroupKind::new("", "ConfigMap"), "back in time".into());
    given.event(WatchGapV1 { kind, reason, refused: false });
    list(&mut given);
    assert!(given.world.live.contains_key(&key(A)));
    // One of the next run did not.
    given.starts(false);
    list(&mut given);
    assert!(!given.world.live.contains_key(&key(A)));
    assert_eq!(said(&given.plan("web"), A).status, Status::Drifted);
}

#[test]
fn what_only_an_answer_told_of_is_gone_when_a_look_does_not_show_it() {
    let gone = WriteResult::Gone("it is another object".into());
    for shown in [false, true] {
        let (mut given, _) = answered();
        if shown {
            given.sees(A);
        }
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        let intent = given.intends("web");
        given.all_end(intent, &gone);
        // A watch that has shown it says by itself that it went.
        assert_eq!(given.world.live.contains_key(&key(A)), shown);
        let attempt = given.world.apps[&"web".parse().unwrap()].attempts.get(&key(A));
        assert_eq!(attempt.is_some(), shown, "what is waited for is not tried without end");
        let status = said(&given.plan("web"), A).status;
        assert_eq!(status == Status::Missing, !shown, "{status:?}");
    }
}
