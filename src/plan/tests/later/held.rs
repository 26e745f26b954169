//! An application that is held is as a person has said; in an old copy of the ledger another word of a
//! person has to say so again, and has to be carried out.

use super::let_go::{NEW, again, shows, starts, synced};
use super::start::{fails, in_an_hour};
use super::{A, B, gated};
use crate::ledger::event::{Origin, PlanApprovedV1, SyncFinishedV1};
use crate::model::Timestamp;
use crate::replay::testing::{Given, application, auto, commit, key, name, object, objects};

const C: &str = "ConfigMap/prod/c";

/// `web`, held with A and B since before the start, and `other` with C; nothing shows yet that the
/// ledger is an old copy.
fn held() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("other", auto()), Origin::Config);
    given.renders("other", objects(&[C]));
    given.syncs("other");
    let then = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given.advances("other");
    given.syncs("web");
    given.rolls_back("web", &then);
    given.syncs("web");
    assert!(given.finishes("web"));
    given
}

/// `held`, where A shows a later write, Git is heard, and somebody deleted B.
fn old_copy() -> (Given, Timestamp) {
    let mut given = held();
    starts(&mut given);
    let at = in_an_hour(&given);
    shows(&mut given, A, at);
    given.syncs("web");
    assert!(waits(&given, "web") && !waits(&given, "other"));
    given.loses(B);
    assert_eq!(gated(&given.plan("web")), [format!("create {B}")]);
    (given, at)
}

/// Whether what the application wants is known from an old copy alone.
fn waits(given: &Given, app: &str) -> bool {
    given.world.is_of_old_copy(&given.world.apps[&name(app)])
}

/// What becomes of B when somebody deletes it: what waits, and what is written.
fn deleted(given: &Given) -> (Vec<String>, Vec<String>) {
    let mut given = given.clone();
    given.loses(B);
    (gated(&given.plan("web")), given.writes("web"))
}

fn asked() -> (Vec<String>, Vec<String>) {
    (vec![format!("create {B}")], Vec::new())
}

fn made() -> (Vec<String>, Vec<String>) {
    (Vec::new(), vec![format!("create {B}")])
}

/// The writes are made, and the sync ends well.
fn ends(given: &mut Given) {
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn an_approval_of_what_waits_says_that_the_hold_is_right() {
    let (mut given, at) = old_copy();
    given.approves("web");
    given.syncs("web");
    assert!(waits(&given, "web"), "it has not ended");
    assert!(given.finishes("web"));
    assert_eq!((given.world.old_copy(), deleted(&given)), (None, made()));
    // It lasts, and a later write is another question.
    let restarted = again(&given, A, at);
    assert_eq!((restarted.world.old_copy(), deleted(&restarted)), (None, made()));
    let later = again(&given, A, at.plus_ms(1_000));
    assert_eq!(deleted(&later), asked());
}

#[test]
fn a_sync_of_all_of_it_says_so_as_well() {
    let (mut given, _) = old_copy();
    given.sees(B);
    given.syncs("web");
    let mut only = given.clone();
    synced(&mut only, "web", &[A]);
    assert!(waits(&only, "web"), "it was asked for one object");
    synced(&mut given, "web", &[]);
    assert_eq!((given.world.old_copy(), deleted(&given)), (None, made()));
}

#[test]
fn no_word_about_anything_else_says_so() {
    // One that was not carried out.
    let (given, _) = old_copy();
    let mut failed = given.clone();
    failed.approves("web");
    let approval = failed.world.apps[&name("web")].approved.map(|approval| approval.seq);
    failed.event(SyncFinishedV1 {
        app: name("web"),
        commit: commit(1),
        succeeded: false,
        message: "no".into(),
        counts: (0, 0, 0),
        request: None,
        approval,
    });
    failed.sees(B);
    assert!(waits(&failed, "web") && deleted(&failed) == asked());
    // One from before what shows it now was seen.
    let (given, at) = old_copy();
    let mut newer = given.clone();
    let plan = newer.gates("web").plan;
    shows(&mut newer, NEW, at.plus_ms(1_000));
    newer.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    ends(&mut newer);
    assert!(waits(&newer, "web") && deleted(&newer) == asked());
    // One from before the start.
    let (mut before, at) = old_copy();
    before.approves("web");
    starts(&mut before);
    shows(&mut before, A, at);
    ends(&mut before);
    assert!(waits(&before, "web") && deleted(&before) == asked());
}

#[test]
fn the_hold_is_right_whatever_git_says_and_only_that_of_the_application() {
    let mut given = held();
    given.starts_without_git(false);
    given.lists_everything();
    fails(&mut given);
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at);
    given.loses(B);
    given.loses(C);
    let mut other = given.clone();
    other.approves("other");
    other.syncs("other");
    assert!(other.finishes("other"));
    assert!(waits(&other, "web") && waits(&other, "other"), "Git may say something else of it");
    given.approves("web");
    ends(&mut given);
    assert!(given.world.old_copy().is_some() && given.world.shows_later(&key(NEW)));
    assert_eq!((waits(&given, "web"), waits(&given, "other")), (false, true));
    assert_eq!(deleted(&given), made());
}
