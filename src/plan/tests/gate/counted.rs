//! What deletions count for: a commit, a rollback, a release.

use super::*;
use crate::ledger::event::{AppHeldV1, AppHoldEndedV1, AutoRollback, HoldEnd, RollbackCause};
use crate::model::Seq;
use crate::replay::testing::commit;
use crate::replay::{CountedFor, World};

/// `n` Secrets of content 1.
fn secrets(n: usize) -> Vec<DesiredObject> {
    (0..n).map(|n| object(&format!("Secret/prod/s{n:04}"), 1)).collect()
}

/// `web` and `api` with so many objects of 200 at the next commit, which is done where it is not
/// asked about.
fn commits(given: &mut Given, number: u64, (web, api): (usize, usize)) {
    given.push(number);
    given.advances("root");
    given.renders("web", maps(web));
    given.renders("api", secrets(api));
    given.syncs("api");
    given.syncs("web");
}

/// Two applications of 200 objects each, beside the one that is their root.
fn two() -> Given {
    let mut given = Given::synced(maps(200));
    given.declares(&application("api", auto()), Origin::Config);
    given.declares(&application("root", auto()), Origin::Config);
    given.renders("root", objects(&["ConfigMap/prod/of-root"]));
    given.renders("api", secrets(200));
    given.syncs("api");
    given.syncs("root");
    given
}

/// All three go back in one batch.
fn tree(given: &mut Given, then: &World) -> [Seq; 3] {
    ["root", "api", "web"].map(|app| {
        let event = AppHeldV1 { tree: Some(name("root")), ..given.rollback(app, then) };
        given.event(event);
        given.seq()
    })
}

#[test]
fn rollbacks_and_releases_are_judged_each_by_itself() {
    // Forth and back again between what has 200 objects and what has 240, more than fifty in all.
    for (first, second) in [(200, 240), (240, 200)] {
        let mut given = Given::synced(maps(first));
        let then = given.world.clone();
        given.push(2);
        given.renders("web", maps(second));
        given.syncs("web");
        for _ in 0..3 {
            let hold = given.rolls_back("web", &then);
            assert_eq!((reasons(&given.plan("web")), given.writes("web").len()), (vec![], 40));
            given.syncs("web");
            given.lets_go("web", hold);
            assert_eq!((reasons(&given.plan("web")), given.writes("web").len()), (vec![], 40));
            given.syncs("web");
        }
        // One that deletes too much waits as ever, and so does a release.
        given.push(3);
        given.renders("web", maps(300));
        given.syncs("web");
        given.rolls_back("web", &then);
        let what = format!("would delete {} objects for one rollback (limit 50)", 300 - first);
        assert_eq!(reasons(&given.plan("web")), [what]);
    }
}

#[test]
fn the_deletions_of_one_rollback_of_a_tree_and_of_its_release_add_up() {
    let mut given = two();
    commits(&mut given, 2, (240, 240));
    let then = given.world.clone();
    // Each is a commit of its own: neither asks anybody.
    commits(&mut given, 3, (200, 240));
    commits(&mut given, 4, (200, 200));
    assert_eq!([given.plan("web").gate, given.plan("api").gate], [None, None]);
    let holds = tree(&mut given, &then);
    given.syncs("api");
    given.syncs("web");
    for (app, hold) in ["root", "api", "web"].into_iter().zip(holds) {
        given.lets_go(app, hold);
    }
    assert_eq!(given.plan("api").gate, None);
    let what = ["would delete 80 objects for one release (limit 50)"];
    assert_eq!(reasons(&given.plan("web")), what);
    given.syncs("api");
    assert_eq!(reasons(&given.plan("web")), what, "whatever is done already");

    let mut given = two();
    let then = given.world.clone();
    commits(&mut given, 2, (240, 240));
    tree(&mut given, &then);
    let what = ["would delete 80 objects for one rollback (limit 50)"];
    assert_eq!(reasons(&given.plan("web")), what);
    given.syncs("api");
    assert_eq!(reasons(&given.plan("web")), what, "whatever is done already");
}

#[test]
fn a_hold_and_its_release_let_no_more_of_a_commit_pass() {
    let gated = ["would delete 80 objects for one commit (limit 50)"];
    // What waited when it was held waits when it is released.
    let mut given = two();
    let then = given.world.clone();
    commits(&mut given, 2, (160, 160));
    assert_eq!(reasons(&given.plan("web")), gated);
    for record in [false, true] {
        let mut given = given.clone();
        if record {
            given.gates("web");
        }
        let hold = given.rolls_back("web", &then);
        given.lets_go("web", hold);
        assert_eq!(reasons(&given.plan("web")), gated);
    }
    // What came while it was held is one commit's, here and elsewhere.
    let mut given = two();
    let then = given.world.clone();
    commits(&mut given, 2, (201, 200));
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    commits(&mut given, 3, (160, 160));
    given.lets_go("web", hold);
    assert_eq!(reasons(&given.plan("web")), gated);
}

#[test]
fn rollbacks_by_rule_from_one_commit_add_up() {
    let mut given = two();
    let then = given.world.clone();
    commits(&mut given, 2, (240, 240));
    let from = AutoRollback {
        why: RollbackCause::Degraded,
        render: Seq(1),
        commit: commit(2),
        asked: crate::model::Digest::default(),
        health: None,
        message: String::new(),
        after_ms: 0,
    };
    for app in ["api", "web"] {
        let automatic = Some(Box::new(from.clone()));
        given.event(AppHeldV1 { automatic, ..given.rollback(app, &then) });
    }
    assert_eq!(given.plan("api").gate, None);
    let what = ["would delete 80 objects for the rollbacks from one commit (limit 50)"];
    assert_eq!(reasons(&given.plan("web")), what);
}

#[test]
fn what_is_left_of_a_rollback_counts_for_it_when_git_says_the_same() {
    let mut given = two();
    let then = given.world.clone();
    commits(&mut given, 2, (240, 240));
    let hold = given.rolls_back("web", &then);
    given.push(3);
    given.renders("web", maps(200));
    let (app, end, holds) = (name("web"), HoldEnd::SameAsGit, Vec::new());
    given.event(AppHoldEndedV1 { app, hold, end, holds });
    let counted = given.world.apps[&name("web")].desired.as_ref().unwrap().counted_for();
    assert_eq!(counted, CountedFor::Rollback(hold));
}
