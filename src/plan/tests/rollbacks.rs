//! What a person holds as it was at an earlier instant.

use serde_json::json;

use super::super::{Status, Sync};
use crate::ledger::event::{
    AppHeldV1, AppHoldEndedV1, AutoRollback, BackTo, DriftKind, HeldFields, HistoryRewrittenV1,
    HoldBegunV1, HoldEnd, HoldOf, Origin, RollbackCause,
};
use crate::model::{BlobAddr, CommitId};
use crate::replay::testing::{
    Given, REPO, application, auto, cascading, child, commit, key, map, maps, name, object,
    objects, said, writes,
};
use crate::replay::{App, Cause, World, asked_for};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const C: &str = "ConfigMap/prod/c";
const D: &str = "ConfigMap/prod/d";
const WEB: &str = "Application.argoproj.io/web";

/// `web` had A and B at commit 1; commit 2 changed A, dropped B and brought C. With the world as
/// it was in between.
fn moved_on(policy: serde_json::Value) -> (Given, World) {
    let mut given = Given::app("web", policy);
    given.renders("web", objects(&[A, B]));
    given.requests("web", true, &[]);
    given.syncs("web");
    given.finishes("web");
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(C, 1)]);
    given.requests("web", true, &[]);
    given.syncs("web");
    given.finishes("web");
    (given, then)
}

/// Both commits of [`moved_on`] are dropped for a third.
fn rewrites(given: &mut Given) {
    given.event(HistoryRewrittenV1 {
        repo: REPO.into(),
        name: "refs/heads/main".into(),
        old: commit(2),
        new: commit(3),
        dropped: vec![commit(1), commit(2)],
        same_tree: false,
        follow: false,
    });
}

fn web(given: &Given) -> &App {
    &given.world.apps[&name("web")]
}

fn waits(given: &Given) -> Option<&CommitId> {
    web(given).proposed.as_ref().map(|waits| &waits.desired.revision.commit)
}

#[test]
fn what_was_in_force_then_is_in_force_again_and_is_kept() {
    let (mut given, then) = moved_on(auto());
    let hold = given.rolls_back("web", &then);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {A}"), format!("create {B}"), format!("prune {C}")]);
    assert!(said(&plan, C).why.contains("the instant that is held"), "{plan:#?}");
    assert_eq!(plan.writes[0].reason, "it is held as it was");
    assert_eq!((web(&given).commit(), waits(&given)), (Some(&commit(1)), Some(&commit(2))));
    given.syncs("web");
    let finished = given.plan("web").finished.unwrap();
    let held = format!("every object is as at #{}, where hold #{} holds it", then.seq, hold);
    assert_eq!((finished.succeeded, finished.message), (true, held));
    assert!(given.finishes("web"));
    // It is not as Git says, and nothing waits for an approval.
    let plan = given.plan("web");
    assert_eq!((plan.sync, writes(&plan).len(), plan.gate), (Sync::OutOfSync, 0, None));
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    let heal = given.plan("web").writes;
    assert_eq!((heal.len(), heal[0].digest), (1, object(A, 1).digest));
    assert_eq!(given.world.why_hold_over(web(&given)), None);
}

/// Goal: what was there at the instant is not removed because the application did not have it: it was
/// nobody's, or another application's.
#[test]
fn what_was_there_then_and_came_to_it_since_stays() {
    let mut given = Given::synced(objects(&[A]));
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&[B]));
    given.syncs("api");
    given.sees(C);
    let then = given.world.clone();
    // B moves here from `api`, C was made by hand, and D is new.
    given.push(2);
    given.renders("api", Vec::new());
    given.renders("web", objects(&[A, B, C, D]));
    given.syncs("web");
    given.syncs("api");
    assert_eq!(given.world.owned[&key(B)].app, name("web"));
    // What is made again because somebody deleted it is as old as it was.
    given.loses(B);
    given.syncs("web");
    assert!(given.world.live.contains_key(&key(B)));
    let mut shown = given.clone();
    given.rolls_back("web", &then);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("prune {D}")]);
    for stays in [B, C] {
        let said = said(&plan, stays);
        assert!(
            said.status == Status::Kept && said.why.contains("there at the instant"),
            "{plan:#?}"
        );
    }
    given.syncs("web");
    assert!(given.finishes("web"), "{:?}", given.plan("web").finished);
    // At a later instant they are its own.
    let now = shown.world.clone();
    shown.push(3);
    shown.advances("api");
    shown.renders("web", objects(&[A, B, C, D, map(7).as_str()]));
    shown.syncs("web");
    shown.rolls_back("web", &now);
    assert_eq!(shown.writes("web"), [format!("prune {}", map(7))], "{:#?}", shown.plan("web"));
    // And what Git drops goes, whoever made it.
    let mut given = Given::app("web", auto());
    given.sees(C);
    given.renders("web", objects(&[A, C]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[A]));
    assert_eq!(given.writes("web"), [format!("prune {C}")]);
}

/// Goal: what a rollback takes over stays when it is released: Git never said that it is to go.
#[test]
fn what_a_rollback_found_and_took_over_is_given_back() {
    let (mut given, then) = moved_on(auto());
    given.sees(B);
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    assert_eq!(given.world.owned[&key(B)].app, name("web"));
    given.lets_go("web", hold);
    assert_eq!(given.writes("web"), [format!("update {A}"), format!("create {C}")]);
    assert!(!given.world.owned.contains_key(&key(B)));
    // A second rollback takes its place, with it or without it.
    for second in [1, 2] {
        let (mut given, then) = moved_on(auto());
        let now = given.world.clone();
        given.sees(B);
        given.rolls_back("web", &then);
        given.syncs("web");
        let other = given.rolls_back("web", if second == 1 { &then } else { &now });
        assert_eq!(given.world.owned.contains_key(&key(B)), second == 1);
        given.syncs("web");
        given.lets_go("web", other);
        assert!(!given.world.owned.contains_key(&key(B)), "{second}");
    }
    // What Git says may have to wait, and takes force later.
    let (mut given, then) = moved_on(auto());
    given.sees(B);
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    rewrites(&mut given);
    given.push(3);
    given.renders("web", vec![object(A, 3)]);
    given.lets_go("web", hold);
    assert_eq!(given.writes("web"), [""; 0]);
    given.gates("web");
    given.approves("web");
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // What it made itself goes with it.
    let (mut given, then) = moved_on(auto());
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    given.lets_go("web", hold);
    assert!(given.writes("web").contains(&format!("prune {B}")), "{:?}", given.writes("web"));
}

/// Goal: an application that goes because what defines it is held takes with it what it made since,
/// and nothing that was there.
#[test]
fn an_application_that_was_not_there_then_leaves_what_was() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("old", auto()))]);
    given.syncs("root");
    given.renders("old", objects(&[A]));
    given.syncs("old");
    given.sees(C);
    let then = given.world.clone();
    given.push(2);
    given.renders("root", vec![child(&cascading("new", auto()))]);
    given.syncs("root");
    given.renders("new", objects(&[A, B, C]));
    given.syncs("new");
    let tree = Some(name("root"));
    given.event(AppHeldV1 { tree: tree.clone(), ..given.rollback("root", &then) });
    given.event(AppHeldV1 { tree, ..given.rollback("old", &then) });
    // What Git has of the one that is held waits for the release, and holds nothing back.
    given.renders("old", objects(&[A, B]));
    given.removes("new", true, Origin::Parent(name("root")));
    assert_eq!(given.writes("new"), [format!("prune {B}")], "{:#?}", given.plan("new"));
}

#[test]
fn what_git_says_meanwhile_is_rendered_and_waits_and_a_release_puts_it_in_force() {
    let (mut given, then) = moved_on(auto());
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    given.push(3);
    assert!(given.world.render_pending(web(&given)));
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    assert!(!given.world.render_pending(web(&given)));
    assert_eq!((given.world.behind(), waits(&given)), (None, Some(&commit(3))));
    assert_eq!(given.writes("web"), [""; 0]);
    // A commit that changes nothing of it is noted on what waits.
    given.push(4);
    given.advances("web");
    assert_eq!((waits(&given), web(&given).commit()), (Some(&commit(4)), Some(&commit(1))));
    assert!(!given.world.render_pending(web(&given)));
    given.lets_go("web", hold);
    assert!(!web(&given).is_held() && web(&given).proposed.is_none());
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    given.syncs("web");
    assert_eq!((given.plan("web").sync, web(&given).commit()), (Sync::Synced, Some(&commit(4))));
}

#[test]
fn git_that_does_not_render_stops_nothing_of_a_rollback() {
    let (mut given, then) = moved_on(auto());
    given.push(3);
    given.fails_to_render("web");
    let hold = given.rolls_back("web", &then);
    let all = [format!("update {A}"), format!("create {B}"), format!("prune {C}")];
    assert_eq!(given.writes("web"), all);
    given.syncs("web");
    assert!(given.finishes("web"), "{:?}", given.plan("web").finished);
    assert_eq!(given.plan("web").sync, Sync::OutOfSync);
    given.lets_go("web", hold);
    assert_eq!(given.plan("web").sync, Sync::Unknown);
}

#[test]
fn an_application_that_is_synced_by_hand_is_rolled_back_once() {
    let (mut given, then) = moved_on(json!({}));
    let hold = given.rolls_back("web", &then);
    assert_eq!(given.writes("web").len(), 3, "with what is to go");
    given.syncs("web");
    assert!(given.finishes("web"));
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    assert_eq!(given.writes("web"), [""; 0], "nobody asked for that");
    given.lets_go("web", hold);
    assert_eq!((web(&given).commit(), given.writes("web").len()), (Some(&commit(2)), 0));
}

#[test]
fn a_release_takes_back_what_was_asked_for_with_the_rollback() {
    let (mut given, then) = moved_on(json!({}));
    let hold = given.rolls_back("web", &then);
    given.lets_go("web", hold);
    assert_eq!((web(&given).request.as_ref(), given.writes("web").len()), (None, 0));
    assert_eq!(said(&given.plan("web"), C).status, Status::Synced);
}

#[test]
fn deletions_beyond_the_limits_wait_unless_they_were_shown_and_allowed() {
    let mut given = Given::synced(maps(2));
    let then = given.world.clone();
    given.push(2);
    given.renders("web", maps(8));
    given.syncs("web");
    let shown = given.rollback_with_approval("web", &then);
    let mut unasked = given.clone();
    unasked.event(AppHeldV1 { approves: None, ..shown.clone() });
    let plan = unasked.plan("web");
    assert_eq!((plan.writes.len(), plan.gate.map(|gate| gate.writes.len())), (0, Some(6)));
    // What moved on since it was shown is not allowed.
    let mut late = given.clone();
    late.sees(&map(7));
    late.event(shown.clone());
    assert!(late.plan("web").gate.is_some());
    given.event(shown);
    assert_eq!((given.plan("web").gate, given.plan("web").writes.len()), (None, 6));
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(web(&given).approved.is_none() && web(&given).approved_bases.is_empty());
}

#[test]
fn another_definition_leaves_the_hold_and_what_is_held() {
    let (mut given, then) = moved_on(auto());
    given.rolls_back("web", &then);
    given.syncs("web");
    given.declares(&application("web", json!({"automated": {}})), Origin::Config);
    assert!(web(&given).is_held() && given.world.render_pending(web(&given)));
    given.renders("web", vec![object(A, 2), object(C, 1)]);
    assert_eq!((given.writes("web").len(), web(&given).commit()), (0, Some(&commit(1))));
    assert!(web(&given).is_held());
}

#[test]
fn what_defines_it_removes_it_when_it_is_released() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("web", auto()))]);
    given.syncs("root");
    given.renders("web", objects(&[A]));
    given.syncs("web");
    let then = given.world.clone();
    given.push(2);
    given.advances("root");
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    given.push(3);
    given.renders("root", Vec::new());
    given.advances("web");
    let plan = given.plan("root");
    assert_eq!((plan.remove.len(), plan.gate.as_ref().map(|gate| gate.apps.len())), (0, None));
    let told = said(&plan, WEB);
    assert!(told.blocked && told.why.contains(&format!("hold #{hold}")), "{told:?}");
    // A removal that was decided before the hold was known counts for nothing.
    given.removes("web", false, Origin::Parent(name("root")));
    assert!(web(&given).is_held());
    given.lets_go("web", hold);
    let plan = given.plan("root");
    let waits = plan.gate.map_or(plan.remove.len(), |gate| gate.apps.len());
    assert_eq!(waits, 1, "it goes, if somebody allows that nothing is left");
    // A person who removes it decides so.
    let hold = given.rolls_back("web", &then);
    assert_eq!(web(&given).hold.as_ref().map(|held| held.seq), Some(hold));
    given.removes("web", true, Origin::Operator);
    assert!(!web(&given).is_held() && web(&given).removing);
}

#[test]
fn a_hold_is_over_when_its_time_is_or_when_git_says_the_same() {
    let (mut given, then) = moved_on(auto());
    let over = |given: &Given| given.world.why_hold_over(web(given));
    let until = Some(given.now().plus_ms(60_000));
    given.event(AppHeldV1 { until, ..given.rollback("web", &then) });
    let hold = given.seq();
    given.syncs("web");
    given.finishes("web");
    assert_eq!((over(&given), given.plan("web").deadline), (None, until));
    let mut expired = given.clone();
    assert!(expired.after_ms(60_000).apps.contains(&name("web")));
    assert_eq!(over(&expired), Some(HoldEnd::Expired));
    // A revert in Git: the same objects.
    given.push(3);
    given.renders("web", objects(&[A, B]));
    assert_eq!(over(&given), Some(HoldEnd::SameAsGit));
    assert_eq!(given.writes("web"), [""; 0]);
    given.lets_go("web", hold);
    assert_eq!((over(&given), given.plan("web").sync), (None, Sync::Synced));
    assert_eq!(web(&given).commit(), Some(&commit(3)));
}

/// Goal: a rule decides, somebody rolls the application back before that is recorded, and what that
/// person holds stays: also while it is the rule's turn.
#[test]
fn a_rule_never_takes_the_place_of_what_a_person_holds() {
    let (mut given, then) = moved_on(auto());
    let render = web(&given).desired.as_ref().unwrap().clone();
    let from = AutoRollback {
        why: RollbackCause::Degraded,
        render: render.seq,
        commit: render.revision.commit.clone(),
        asked: asked_for(&render),
        health: None,
        message: String::new(),
        after_ms: 1,
    };
    let decided = AppHeldV1 {
        automatic: Some(Box::new(from)),
        reason: "by rule".into(),
        ..given.rollback("web", &then)
    };
    let mut alone = given.clone();
    alone.event(decided.clone());
    assert!(web(&alone).hold.as_ref().unwrap().automatic.is_some());
    let hold = given.rolls_back("web", &then);
    let before = given.world.apps.clone();
    given.event(decided);
    assert_eq!(web(&given).hold.as_ref().unwrap().seq, hold);
    assert_eq!((&given.world.apps, given.world.rollbacks), (&before, 0));
}

/// Goal: a part of a tree of which Git says what is held is as Git says, although the commit waits
/// for the release of the tree.
#[test]
fn what_git_says_the_same_of_a_held_tree_is_synced() {
    let (mut given, _) = moved_on(auto());
    let then = given.world.clone();
    given.event(AppHeldV1 { tree: Some(name("root")), ..given.rollback("web", &then) });
    given.syncs("web");
    assert!(web(&given).is_held() && waits(&given) == Some(&commit(2)));
    assert_eq!(given.plan("web").sync, Sync::Synced);
    given.push(3);
    given.renders("web", vec![object(A, 3)]);
    assert_eq!(given.plan("web").sync, Sync::OutOfSync, "Git says something else");
}

#[test]
fn what_is_left_of_a_rollback_is_done_when_git_says_the_same_before_it_is() {
    // Nothing is applied here but what somebody asks for.
    let (mut given, then) = moved_on(json!({}));
    let hold = given.rolls_back("web", &then);
    let writes = given.writes("web");
    assert!(!writes.is_empty());
    given.push(3);
    given.renders("web", objects(&[A, B]));
    assert_eq!(given.world.why_hold_over(web(&given)), Some(HoldEnd::SameAsGit));
    let ends = |given: &Given, end: HoldEnd| {
        let mut given = given.clone();
        given.event(AppHoldEndedV1 { app: name("web"), hold, end, holds: Vec::new() });
        given
    };
    assert_eq!(ends(&given, HoldEnd::SameAsGit).writes("web"), writes);
    assert_eq!(ends(&given, HoldEnd::Released).writes("web"), [""; 0], "nobody asked for Git's");
}

#[test]
fn another_rollback_takes_the_place_of_the_first_and_git_still_waits() {
    let (mut given, then) = moved_on(auto());
    let second = given.world.clone();
    given.push(3);
    given.renders("web", vec![object(A, 3)]);
    given.syncs("web");
    let first = given.rolls_back("web", &then);
    given.syncs("web");
    let other = given.rolls_back("web", &second);
    assert_eq!((web(&given).commit(), waits(&given)), (Some(&commit(2)), Some(&commit(3))));
    let causes = &web(&given).proposed.as_ref().unwrap().causes;
    assert_eq!(*causes, [Cause::Held(other)]);
    given.lets_go("web", first);
    assert!(web(&given).is_held(), "that hold is no more");
    given.lets_go("web", other);
    assert_eq!(web(&given).commit(), Some(&commit(3)));
}

#[test]
fn what_a_rewritten_history_dropped_is_asked_about_when_it_is_released() {
    let (mut given, then) = moved_on(auto());
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    given.finishes("web");
    rewrites(&mut given);
    given.push(3);
    given.renders("web", vec![object(A, 3)]);
    assert_eq!(given.plan("web").gate, None, "it waits for the release");
    given.lets_go("web", hold);
    let plan = given.plan("web");
    let reasons = &plan.gate.as_ref().unwrap().reasons;
    assert!(reasons[0].what.contains("was rewritten and dropped commit"), "{reasons:?}");
    assert_eq!((writes(&plan).len(), web(&given).commit()), (0, Some(&commit(1))));
}

#[test]
fn what_people_keep_of_its_objects_is_kept_on() {
    let (mut given, then) = moved_on(auto());
    let held = HeldFields {
        key: key(A),
        saved: BlobAddr([9; 32]),
        of_manifest: false,
        places: vec![vec!["f:data".into(), "f:k".into()]],
        fields: Vec::new(),
    };
    let (app, of, until) = (name("web"), vec![HoldOf::Fields(held)], None);
    let kept =
        HoldBegunV1 { app, of, from: BackTo::Drift(given.seq()), until, reason: String::new() };
    given.event(kept);
    let keep = given.seq();
    given.syncs("web");
    given.rolls_back("web", &then);
    let plan = given.plan("web");
    let write = plan.writes.iter().find(|write| write.key == key(A)).unwrap();
    assert_eq!((write.holds.as_slice(), write.digest), ([keep].as_slice(), object(A, 1).digest));
}
