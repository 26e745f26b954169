//! How a later write of greffier is let go: by a person's word that is carried out, and for nothing
//! that this word was not about.

use super::start::{fails, in_an_hour, shows_of, unchanged};
use super::{A, B, drifts, found, gated};
use crate::ledger::event::{
    AppHeldV1, AutoRollback, DriftKind, FieldChange, Origin, PlanApprovedV1, Preview,
    RollbackCause, SyncFinishedV1,
};
use crate::model::{Digest, Timestamp};
use crate::replay::Touched;
use crate::replay::testing::{
    Given, application, auto, commit, key, name, object, objects, said, writes,
};

const C: &str = "ConfigMap/prod/c";
/// An object that this ledger does not know.
pub(super) const NEW: &str = "ConfigMap/prod/new";

/// The daemon starts, lists everything and hears of Git.
pub(super) fn starts(given: &mut Given) {
    given.starts_without_git(false);
    given.lists_everything();
    unchanged(given);
}

pub(super) fn shows(given: &mut Given, text: &str, at: Timestamp) {
    shows_of(given, text, at, "Apply", "web");
}

/// `web` with A and B, of which A is as wanted and shows a later write, and `other` with C. Git is
/// heard and says what it said.
pub(super) fn old_copy() -> (Given, Timestamp) {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("other", auto()), Origin::Config);
    given.renders("other", objects(&[C]));
    given.syncs("other");
    starts(&mut given);
    let at = in_an_hour(&given);
    shows(&mut given, A, at);
    given.syncs("web");
    assert!(given.world.old_copy().is_some() && given.world.shows_later(&key(A)));
    assert_eq!((gated(&given.plan("web")).len(), given.writes("web").len()), (0, 0));
    (given, at)
}

/// What `web` is asked to do about `text` when Git wants it otherwise: what waits, and what goes.
pub(super) fn changed(given: &Given, text: &str) -> (Vec<String>, Vec<String>) {
    let mut given = given.clone();
    given.push(9);
    let desired = given.world.apps[&name("web")].desired.as_ref().unwrap();
    let all: Vec<String> = desired.objects.keys().map(ToString::to_string).collect();
    let content = |other: &str| if other == text { 9 } else { 1 };
    given.renders("web", all.iter().map(|key| object(key, content(key))).collect());
    given.advances("other");
    differs(&mut given);
    let plan = given.plan("web");
    (gated(&plan), writes(&plan))
}

/// What is asked for by dry runs differs.
pub(super) fn differs(given: &mut Given) {
    for asked in given.plan("web").dry_runs {
        let field = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
        given.previews("web", &asked, Preview::Changes(vec![field]));
    }
}

pub(super) fn waits(text: &str) -> (Vec<String>, Vec<String>) {
    (vec![format!("update {text}")], Vec::new())
}

pub(super) fn goes(text: &str) -> (Vec<String>, Vec<String>) {
    (Vec::new(), vec![format!("update {text}")])
}

/// A person asks for a sync, and it ends well.
pub(super) fn synced(given: &mut Given, app: &str, only: &[&str]) {
    given.requests(app, false, only);
    given.syncs(app);
    assert!(given.finishes(app));
}

/// A sync that a person asked for ends well, whatever is planned.
fn ends(given: &mut Given) -> Touched {
    given.requests("web", false, &[]);
    let request = given.world.apps[&name("web")].request.as_ref().map(|request| request.seq);
    given.event(SyncFinishedV1 {
        app: name("web"),
        commit: commit(1),
        succeeded: true,
        message: String::new(),
        counts: (0, 0, 0),
        request,
        approval: None,
    })
}

/// The daemon starts again, and is told of what greffier wrote later as before.
pub(super) fn again(given: &Given, text: &str, at: Timestamp) -> Given {
    let mut given = given.clone();
    starts(&mut given);
    shows(&mut given, text, at);
    given.syncs("web");
    given
}

#[test]
fn what_a_person_has_synced_is_no_sign_after_another_start() {
    let (mut given, at) = old_copy();
    assert_eq!(changed(&given, A), waits(A));
    synced(&mut given, "web", &[]);
    assert_eq!(given.world.old_copy(), None);
    assert_eq!(changed(&given, A), goes(A));
    let mut again = again(&given, A, at);
    assert_eq!(again.world.old_copy(), None);
    assert_eq!(changed(&again, A), goes(A));
    // Somebody's edit is put back, and what somebody deleted beside it made again.
    drifts(&mut again, A, DriftKind::Drift, Some(at));
    again.loses(B);
    assert_eq!(again.world.old_copy(), None);
    assert_eq!(again.writes("web"), [format!("heal {A}"), format!("create {B}")]);
}

#[test]
fn a_still_later_write_is_a_sign_again() {
    let (mut given, at) = old_copy();
    synced(&mut given, "web", &[]);
    let later = at.plus_ms(1_000);
    let mut again = again(&given, A, later);
    assert_eq!(again.world.old_copy().map(|sign| (&sign.key, sign.at)), Some((&key(A), later)));
    assert_eq!(changed(&again, A), waits(A));
    // As it was before, it is what was let go.
    shows(&mut again, A, at);
    assert_eq!(changed(&again, A), waits(A), "nothing takes a later write back");
    // It is told by a comparison as well.
    starts(&mut given);
    found(&mut given, A, DriftKind::Drift, Some(later));
    assert_eq!(gated(&given.plan("web")), [format!("heal {A}")]);
}

#[test]
fn git_alone_lets_nothing_go() {
    let (mut given, at) = old_copy();
    assert!(given.finishes("web"), "a sync that nobody asked for");
    assert_eq!(changed(&given, A), waits(A));
    let mut again = again(&given, A, at);
    again.push(2);
    again.renders("web", vec![object(A, 1), object(B, 2)]);
    again.advances("other");
    again.syncs("web");
    assert!(again.finishes("web"));
    assert!(again.world.old_copy().is_some());
    assert_eq!(changed(&again, A).0, waits(A).0);
}

#[test]
fn a_word_lets_go_what_it_is_about_and_was_seen_before() {
    let waits_after = |given: &Given, at| {
        assert!(given.world.old_copy().is_some());
        assert_eq!(changed(given, A), waits(A));
        assert_eq!(changed(&again(given, A, at), A), waits(A));
    };
    // Another application's.
    let (mut given, at) = old_copy();
    synced(&mut given, "other", &[]);
    waits_after(&given, at);
    // Of other objects.
    synced(&mut given, "web", &[B]);
    waits_after(&given, at);
    synced(&mut given, "web", &[A]);
    assert_eq!(changed(&given, A), goes(A));
    // Told of once more, it is the same write.
    let (mut given, at) = old_copy();
    given.requests("web", false, &[]);
    shows(&mut given, A, at);
    given.syncs("web");
    assert!(given.finishes("web"));
    assert_eq!(changed(&given, A), goes(A));
    // Given before that write was seen.
    let (mut given, at) = old_copy();
    given.requests("web", false, &[]);
    shows(&mut given, A, at.plus_ms(1_000));
    given.syncs("web");
    assert!(given.finishes("web"));
    waits_after(&given, at.plus_ms(1_000));
    // Given before the start.
    let (mut given, at) = old_copy();
    given.requests("web", false, &[]);
    let mut given = again(&given, A, at);
    assert!(given.finishes("web"));
    waits_after(&given, at);
}

#[test]
fn a_word_counts_where_git_has_spoken_since_the_start() {
    let (given, at) = old_copy();
    let mut away = given.clone();
    away.starts_without_git(false);
    away.lists_everything();
    fails(&mut away);
    shows(&mut away, A, at);
    away.syncs("web");
    let mut heard = away.clone();
    unchanged(&mut heard);
    for (mut given, lets_go) in [(away, false), (heard, true)] {
        let then = given.world.clone();
        given.rolls_back("web", &then);
        given.syncs("web");
        assert!(given.finishes("web"));
        assert_eq!(!given.world.shows_later(&key(A)), lets_go, "what Git says is to be seen");
    }
    // What it says now was not rendered, or could not be fetched.
    let (given, _) = old_copy();
    let mut newer = given.clone();
    newer.push(2);
    ends(&mut newer);
    assert!(newer.world.shows_later(&key(A)));
    let mut failed = given.clone();
    fails(&mut failed);
    failed.requests("web", false, &[]);
    assert!(!failed.finishes("web"));
    assert!(failed.world.shows_later(&key(A)));
    let mut removed = given;
    removed.removes("web", true, Origin::Operator);
    ends(&mut removed);
    assert!(removed.world.shows_later(&key(A)));
    // So has Git about what defines it.
    let (mut given, _) = old_copy();
    let other = application("other", auto());
    given.world.apps.get_mut(&name("web")).unwrap().origin = Origin::Parent(name("other"));
    given.declares(&other, Origin::Config);
    given.requests("web", false, &[]);
    given.syncs("web");
    assert!(given.finishes("web"));
    given.advances("other");
    assert!(given.world.shows_later(&key(A)), "its definition was not rendered");
    synced(&mut given, "web", &[]);
    assert!(!given.world.shows_later(&key(A)));
}

#[test]
fn what_is_not_as_wanted_or_anothers_as_well_is_not_let_go() {
    // It differs, and the policy leaves it so.
    let (mut given, at) = old_copy();
    given.redeclares(&application("web", serde_json::json!({"automated": {}})));
    shows(&mut given, B, at);
    given.syncs("web");
    given.push(2);
    given.renders("web", vec![object(A, 1), object(B, 2)]);
    given.advances("other");
    // Somebody did that after the commit: it is not put back with it.
    drifts(&mut given, A, DriftKind::Drift, Some(at));
    differs(&mut given);
    assert_eq!(gated(&given.plan("web")), [format!("update {B}")]);
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(given.world.old_copy().is_some() && given.world.shows_later(&key(A)));
    // It was not written as it is wanted now, or is another object of that name.
    let (given, at) = old_copy();
    let mut newer = given.clone();
    newer.push(2);
    newer.renders("web", vec![object(A, 2), object(B, 1)]);
    ends(&mut newer);
    assert!(newer.world.shows_later(&key(A)));
    let mut anew = given.clone();
    anew.loses(A);
    shows(&mut anew, A, at);
    ends(&mut anew);
    assert!(anew.world.shows_later(&key(A)));
    // It is another's, says so, or another wants it.
    let mut theirs = given;
    theirs.world.owned.get_mut(&key(A)).unwrap().app = name("other");
    ends(&mut theirs);
    assert!(theirs.world.shows_later(&key(A)));
    let (mut given, at) = old_copy();
    shows_of(&mut given, A, at, "Apply", "other");
    given.syncs("web");
    synced(&mut given, "web", &[]);
    assert!(given.world.shows_later(&key(A)));
    shows_of(&mut given, A, at.plus_ms(1_000), "Apply", "web");
    shows_of(&mut given, A, at, "Apply", "other");
    assert_eq!(given.world.own_writes.later[&key(A)].at, at.plus_ms(1_000));
    let (mut given, _) = old_copy();
    given.push(2);
    given.renders("other", objects(&[A, C]));
    given.advances("web");
    synced(&mut given, "web", &[]);
    assert!(given.world.shows_later(&key(A)));
}

#[test]
fn what_nobody_wants_and_nobody_owns_goes_with_the_application_that_it_names() {
    let (mut given, at) = old_copy();
    shows(&mut given, NEW, at.plus_ms(1_000));
    let mut other = given.clone();
    synced(&mut other, "other", &[]);
    assert_eq!(other.world.own_writes.later.len(), 2);
    synced(&mut given, "web", &[A]);
    let sign = given.world.old_copy().map(|sign| &sign.key);
    assert_eq!(sign, Some(&key(NEW)), "it was not asked for");
    synced(&mut given, "web", &[]);
    assert_eq!(given.world.old_copy(), None);
}

#[test]
fn the_sign_is_one_that_is_left() {
    let (mut given, at) = old_copy();
    shows_of(&mut given, C, at.plus_ms(1_000), "Apply", "other");
    given.syncs("other");
    assert_eq!(given.world.old_copy().map(|sign| &sign.key), Some(&key(C)));
    synced(&mut given, "other", &[]);
    let sign = given.world.old_copy().unwrap();
    assert_eq!((&sign.key, sign.at), (&key(A), at), "C was let go");
    // An application that nobody has spoken of keeps it as well.
    let (mut given, at) = old_copy();
    given.declares(&application("third", auto()), Origin::Config);
    synced(&mut given, "web", &[]);
    assert!(given.world.old_copy().is_some());
    assert_eq!(changed(&given, A), goes(A));
    given.renders("third", Vec::new());
    let again = again(&given, A, at);
    assert_eq!(again.world.old_copy(), None, "it rests on nothing at the next start");
}

/// `old_copy`, where B shows a later write as well and Git wants A otherwise.
pub(super) fn asked() -> (Given, Timestamp) {
    let (mut given, at) = old_copy();
    shows(&mut given, B, at);
    given.syncs("web");
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given.advances("other");
    differs(&mut given);
    (given, at)
}

#[test]
fn what_a_person_approves_with_an_old_copy_in_mind_lets_go_the_rest() {
    let (mut given, at) = asked();
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert_eq!(given.world.old_copy(), None);
    let again = again(&given, B, at);
    assert_eq!(again.world.old_copy(), None);
    assert_eq!(changed(&again, B).0, [""; 0]);
    // What is written by this ledger is its own, and what is gone is forgotten.
    let mut given = again;
    assert_eq!(given.world.own_writes.let_go.len(), 1);
    given.loses(B);
    assert!(given.world.own_writes.let_go.is_empty());
}

#[test]
fn an_approval_covers_what_was_there_when_it_was_asked_for() {
    let (mut given, at) = asked();
    let plan = given.gates("web").plan;
    shows(&mut given, B, at.plus_ms(1_000));
    given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(given.world.shows_later(&key(B)), "it came after the gate");
    // What took force later was not shown either.
    let (mut given, _) = asked();
    given.approves("web");
    given.renders("web", vec![object(A, 1), object(B, 1), object(C, 1)]);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(given.world.shows_later(&key(B)));
    // Nor is what a person approved before the start a word about now.
    let (mut given, at) = asked();
    given.approves("web");
    let mut given = again(&given, B, at);
    assert!(given.finishes("web"));
    assert!(given.world.shows_later(&key(B)));
}

#[test]
fn an_approval_of_anything_else_lets_nothing_go() {
    // What another GitOps manager has is asked about for its own sake.
    let (mut given, at) = old_copy();
    shows(&mut given, NEW, at);
    given.sees_managed(NEW, "Argo CD");
    given.push(2);
    given.renders("web", objects(&[A, B, NEW]));
    given.advances("other");
    differs(&mut given);
    assert_eq!(gated(&given.plan("web")), [format!("adopt {NEW}")]);
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(given.world.shows_later(&key(A)) && given.world.shows_later(&key(NEW)));
}

/// What a rule rolls `web` back from.
pub(super) fn rule(given: &Given) -> AutoRollback {
    AutoRollback {
        why: RollbackCause::Degraded,
        render: given.world.apps[&name("web")].desired.as_ref().unwrap().seq,
        commit: commit(2),
        asked: Digest::default(),
        health: None,
        message: String::new(),
        after_ms: 0,
    }
}

#[test]
fn a_rollback_lets_go_where_a_person_asked_for_it() {
    for by_rule in [false, true] {
        let (mut given, _) = old_copy();
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object(A, 1), object(B, 2)]);
        given.advances("other");
        given.syncs("web");
        let automatic = by_rule.then(|| Box::new(rule(&given)));
        given.event(AppHeldV1 { automatic, ..given.rollback("web", &then) });
        given.syncs("web");
        assert!(given.finishes("web"));
        assert_eq!(given.world.shows_later(&key(A)), by_rule);
    }
}

#[test]
fn a_rule_does_not_write_over_a_later_write() {
    for by_rule in [false, true] {
        let (mut given, _) = old_copy();
        let mut then = given.clone();
        then.push(2);
        then.renders("web", vec![object(A, 2), object(B, 1)]);
        let automatic = by_rule.then(|| Box::new(rule(&given)));
        given.event(AppHeldV1 { automatic, ..given.rollback("web", &then.world) });
        differs(&mut given);
        let plan = given.plan("web");
        assert_eq!((gated(&plan), writes(&plan)), if by_rule { waits(A) } else { goes(A) });
    }
}

#[test]
fn deletions_wait_for_git_where_the_sign_is_of_an_earlier_run() {
    let (mut given, at) = old_copy();
    given.push(2);
    given.renders("web", objects(&[A]));
    given.advances("other");
    assert_eq!(gated(&given.plan("web")), [format!("prune {B}")]);
    given.starts_without_git(false);
    given.lists_everything();
    shows(&mut given, A, at);
    fails(&mut given);
    given.syncs("web");
    let plan = given.plan("web");
    assert_eq!((gated(&plan), writes(&plan)), (Vec::new(), Vec::new()));
    assert!(said(&plan, B).why.contains("could not be fetched since the start"), "{plan:?}");
    unchanged(&mut given);
    assert_eq!(gated(&given.plan("web")), [format!("prune {B}")]);
}

#[test]
fn what_a_comparison_alone_tells_is_let_go_as_well() {
    let mut given = Given::synced(objects(&[A, B]));
    given.after_ms(10_000);
    let at = given.now();
    found(&mut given, A, DriftKind::Addition, Some(at));
    given.loses(B);
    given.syncs("web");
    assert_eq!(gated(&given.plan("web")), [format!("create {B}")]);
    let mut again = given.clone();
    starts(&mut again);
    assert!(again.world.old_copy().is_some(), "it is not over with another start");
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert_eq!(given.world.old_copy(), None);
    given.loses(B);
    assert_eq!(given.writes("web"), [format!("create {B}")]);
}

#[test]
fn another_cluster_has_let_nothing_go() {
    let (mut given, _) = old_copy();
    given.identified("one");
    synced(&mut given, "web", &[]);
    assert!(!given.world.own_writes.let_go.is_empty());
    given.replaced("two");
    assert!(given.world.own_writes.let_go.is_empty());
    // Nor does a start beside another cluster end the sign of the kept one.
    let (mut given, _) = old_copy();
    given.identified("one");
    given.replaced("two");
    starts(&mut given);
    assert!(given.world.old_copy().is_some());
}

#[test]
fn others_look_again_when_a_write_is_let_go() {
    let (mut given, _) = old_copy();
    assert!(ends(&mut given).all);
    assert!(!ends(&mut given).all, "nothing more is let go");
    // So they do when the sign ends with it.
    let (mut given, _) = old_copy();
    given.loses(A);
    given.syncs("web");
    assert!(given.world.old_copy().is_some() && given.world.own_writes.later.is_empty());
    assert!(ends(&mut given).all);
    assert_eq!(given.world.old_copy(), None);
}
