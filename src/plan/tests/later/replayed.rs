//! What a replay onto another cluster says of writes that this ledger does not know of.

use super::start::{in_an_hour, shows};
use super::{A, B};
use crate::ledger::event::{
    Event, RecoveryBegunV1, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult,
};
use crate::model::{Digest, Timestamp};
use crate::replay::testing::{Given, key, objects};

/// The ledger is replayed onto the cluster of this uid, and it takes a while.
fn replays(given: &mut Given, uid: &str) {
    given.event(RecoveryBegunV1 {
        uid: uid.into(),
        server: "https://other".into(),
        version: "v1.36.3".into(),
        to: given.seq(),
        at: given.now(),
        apps: Vec::new(),
        live: false,
        unowned: false,
        partial: false,
        objects: 1,
        plan: Digest::default(),
        lost: Vec::new(),
    });
    let recovery = given.seq();
    given.after_ms(600_000);
    given.event(RecoveryIntentV1 { recovery, writes: Vec::new() });
    let intent = given.seq();
    given.after_ms(600_000);
    let results: Vec<(u32, RecoveryResult)> = Vec::new();
    given.event(Event::from(RecoveryOutcomeV1 { recovery, intent, results }));
}

/// `web` with A and B; an hour later the greffier that this ledger is a copy of changed A, and some
/// time after that the copy is replayed onto another cluster.
fn copy() -> (Given, Timestamp) {
    let mut given = Given::app("web", crate::replay::testing::auto());
    given.identified("kept");
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    let at = in_an_hour(&given);
    given.after_ms(7_200_000);
    replays(&mut given, "other");
    (given, at)
}

#[test]
fn what_was_written_to_another_cluster_hides_no_later_write_to_the_kept_one() {
    let (mut given, at) = copy();
    shows(&mut given, A, at, "Apply");
    assert!(given.world.shows_later(&key(A)) && given.world.old_copy().is_some());
}

#[test]
fn what_a_replay_wrote_is_no_sign_once_its_target_answers() {
    let (mut given, _) = copy();
    // It went on for longer than the cluster has been known.
    replays(&mut given, "other");
    let (end, doubt) = (given.now(), given.replaced("other"));
    shows(&mut given, A, end, "Apply");
    given.accepts(doubt);
    assert!(!given.world.shows_later(&key(A)) && given.world.old_copy().is_none());
}

#[test]
fn what_was_written_after_a_failover_hides_no_later_write_to_the_former_cluster() {
    let (mut given, at) = copy();
    let doubt = given.replaced("other");
    given.accepts(doubt);
    given.after_ms(600_000);
    // It writes there.
    given.world.own_writes.latest = Some(given.now());
    let back = given.replaced("kept");
    shows(&mut given, A, at, "Apply");
    given.accepts(back);
    assert!(given.world.shows_later(&key(A)) && given.world.old_copy().is_some());
}
