//! Rollbacks that nobody asks for.

use super::*;
use crate::ledger::event::{
    AppHeldV1, AutoRollbackRefusedV1, DriftKind, HoldEnd, PausedV1, ResumedV1, RollbackCause,
};
use Health::{Degraded, Healthy, Progressing};

const C: &str = "ConfigMap/prod/c";
const D: &str = "ConfigMap/prod/d";

/// `web` with a rule, which is healthy at commit 1.
fn ruled(rule: &str, policy: Value) -> Sim {
    let mut given = Given::cluster();
    let mut manifest = application("web", policy);
    manifest["metadata"]["annotations"] = json!({"greffier.dev/rollback": rule});
    given.declares(&manifest, Origin::Config);
    let mut sim = Sim::new(given);
    sim.at(1, "web", vec![object(A, 1)]);
    sim.runs();
    sim
}

fn well(rule: &str) -> Sim {
    let sim = ruled(rule, auto());
    assert_eq!(sim.app("web").health, Healthy);
    sim
}

/// `web` is pushed, and A is as well as that from when it is applied.
fn pushes(sim: &mut Sim, number: u64, objects: Vec<DesiredObject>, health: Health) {
    sim.at(number, "web", objects);
    sim.given.health.insert(key(A), health);
    sim.push(number);
    sim.runs();
}

/// A turns.
fn turns(sim: &mut Sim, health: Health) {
    sim.happens(|given| {
        given.health.insert(key(A), health);
        given.sees(A);
    });
    sim.runs();
}

fn passes(sim: &mut Sim, ms: u64) {
    let touched = sim.given.after_ms(ms);
    sim.machine.touch(touched);
    sim.runs();
}

fn applied(sim: &Sim) -> Digest {
    sim.given.world.owned[&key(A)].applied
}

fn held(sim: &Sim) -> Vec<AppHeldV1> {
    let held = sim.given.events.iter().filter_map(|(.., event)| match event {
        Event::AppHeld(body) => Some(body.clone()),
        _ => None,
    });
    held.collect()
}

fn ended(sim: &Sim) -> Vec<HoldEnd> {
    let ended = sim.given.events.iter().filter_map(|(.., event)| match event {
        Event::AppHoldEnded(body) => Some(body.end),
        _ => None,
    });
    ended.collect()
}

fn refused(sim: &Sim) -> Vec<AutoRollbackRefusedV1> {
    let refused = sim.given.events.iter().filter_map(|(.., event)| match event {
        Event::AutoRollbackRefused(body) => Some(body.clone()),
        _ => None,
    });
    refused.collect()
}

/// Goal: an instant at which somebody had changed something, and nothing had put it back, was not as
/// Git says, however healthy it was.
#[test]
fn what_was_not_as_git_says_is_not_gone_back_to() {
    let mut sim = ruled("degraded", json!({"automated": {"prune": true}}));
    sim.happens(|given| {
        given.sees(A);
        given.finds("web", A, DriftKind::Drift);
    });
    sim.runs();
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    assert_eq!((held(&sim).len(), refused(&sim).len()), (0, 1), "{:?}", sim.told);
    assert!(refused(&sim)[0].reasons[0].contains("was Healthy and as Git says"));
}

#[test]
fn a_revision_that_turns_degraded_gives_way_to_the_last_that_was_well() {
    let mut sim = well("degraded");
    let before = sim.given.seq();
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    let all = held(&sim);
    assert_eq!(all.len(), 1, "{:?}", sim.told);
    let from = all[0].automatic.as_ref().unwrap();
    assert_eq!((from.why, &from.commit), (RollbackCause::Degraded, &commit(2)));
    let told = sim.given.events.iter().find(|(seq, ..)| Some(*seq) == from.health).unwrap();
    assert!(matches!(&told.2, Event::AppHealthChanged(body) if body.now == Degraded), "{told:?}");
    // The instant is the last at which it was well: before the new render took force.
    assert!(all[0].to >= before && all[0].to < from.render, "{} {before}", all[0].to);
    assert_eq!(all[0].desired.revision.commit, commit(1));
    assert!(all[0].reason.contains("turned Degraded"), "{}", all[0].reason);
    assert_eq!(applied(&sim), object(A, 1).digest);
    assert!(sim.app("web").is_held());
    assert_eq!(sim.given.world.rollbacks, 1);
    // What is held is Degraded as well, and turns again: nothing goes back and forth.
    for health in [Healthy, Degraded, Progressing, Degraded] {
        turns(&mut sim, health);
    }
    passes(&mut sim, 600_000);
    assert_eq!((held(&sim).len(), refused(&sim).len(), ended(&sim).len()), (1, 0, 0));
    sim.told.clear();
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.told, [""; 0], "nothing is told twice");
}

#[test]
fn without_a_rule_nothing_is_rolled_back() {
    for rule in ["off", "not-healthy"] {
        let mut sim = well(rule);
        pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
        assert_eq!((held(&sim).len(), applied(&sim)), (0, object(A, 2).digest), "{rule}");
    }
}

#[test]
fn the_next_push_is_tried_and_goes_back_to_the_same_where_it_is_no_better() {
    let mut sim = well("degraded");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    turns(&mut sim, Healthy);
    pushes(&mut sim, 3, vec![object(A, 3)], Degraded);
    assert_eq!(ended(&sim), [HoldEnd::NewerInGit]);
    assert_eq!((held(&sim).len(), applied(&sim)), (2, object(A, 1).digest));
    turns(&mut sim, Healthy);
    pushes(&mut sim, 4, vec![object(A, 4)], Healthy);
    assert_eq!(ended(&sim), [HoldEnd::NewerInGit; 2]);
    assert_eq!((held(&sim).len(), applied(&sim)), (2, object(A, 4).digest));
    // That one is what the next goes back to.
    pushes(&mut sim, 5, vec![object(A, 5)], Degraded);
    assert_eq!((held(&sim).len(), applied(&sim)), (3, object(A, 4).digest));
}

#[test]
fn the_hold_lasts_until_git_says_something_else_or_the_same_as_it_holds() {
    let mut sim = well("degraded");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    // A commit that changes nothing of it, and one that renders to the same.
    sim.push(3);
    sim.runs();
    pushes(&mut sim, 4, vec![object(A, 2)], Degraded);
    assert_eq!((ended(&sim).len(), applied(&sim)), (0, object(A, 1).digest));
    sim.told.clear();
    pushes(&mut sim, 5, vec![object(A, 1)], Healthy);
    assert_eq!((ended(&sim), sim.told("apply.intent")), (vec![HoldEnd::SameAsGit], 0));
}

#[test]
fn what_was_rolled_back_from_is_not_again_when_somebody_releases_it() {
    let mut sim = well("degraded,not-healthy");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    let hold = sim.app("web").hold.as_ref().unwrap().seq;
    turns(&mut sim, Healthy);
    sim.given.health.insert(key(A), Degraded);
    sim.happens(|given| given.lets_go("web", hold));
    sim.runs();
    passes(&mut sim, 600_000);
    assert_eq!(sim.app("web").health, Degraded);
    assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 2).digest));
    assert_eq!(refused(&sim).len(), 1, "it is said, and once");
}

/// Goal: whoever relies on the rule is told where it does nothing, because Git brings again what was
/// rolled back from.
#[test]
fn a_bad_revision_that_comes_again_stays_and_that_is_said() {
    let mut sim = well("degraded,not-healthy");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    pushes(&mut sim, 3, vec![object(A, 1)], Healthy);
    assert_eq!((ended(&sim), refused(&sim).len()), (vec![HoldEnd::SameAsGit], 0));
    turns(&mut sim, Healthy);
    pushes(&mut sim, 4, vec![object(A, 2)], Degraded);
    passes(&mut sim, 600_000);
    assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 2).digest));
    let refused = refused(&sim);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].reasons[0].contains("rolled back from before"), "{refused:?}");
    // Another one is tried as ever.
    turns(&mut sim, Healthy);
    pushes(&mut sim, 5, vec![object(A, 1)], Healthy);
    pushes(&mut sim, 6, vec![object(A, 3)], Degraded);
    assert_eq!((held(&sim).len(), applied(&sim)), (2, object(A, 1).digest));
}

/// Goal: what was rolled back from, and is in force again because somebody released it, is nothing
/// to go back to: neither for the moment in which it is written and not looked at yet, nor because
/// it was Healthy for a while and then was not.
#[test]
fn what_was_rolled_back_from_and_released_is_not_gone_back_to() {
    for healthy_first in [false, true] {
        let mut sim = well("degraded,not-healthy,within=60s");
        pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
        let hold = sim.app("web").hold.as_ref().unwrap().seq;
        turns(&mut sim, Healthy);
        let again = if healthy_first { Healthy } else { Progressing };
        sim.given.health.insert(key(A), again);
        sim.happens(|given| given.lets_go("web", hold));
        sim.runs();
        turns(&mut sim, Degraded);
        assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 2).digest));
        pushes(&mut sim, 3, vec![object(A, 3)], Progressing);
        turns(&mut sim, Degraded);
        assert_eq!((held(&sim).len(), applied(&sim)), (2, object(A, 1).digest), "{healthy_first}");
    }
    // Released, and the next push comes before anything of it is written.
    let mut sim = well("degraded");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    let hold = sim.app("web").hold.as_ref().unwrap().seq;
    turns(&mut sim, Healthy);
    sim.hold = vec!["execute"];
    sim.happens(|given| given.lets_go("web", hold));
    sim.runs();
    sim.at(3, "web", vec![object(A, 3)]);
    sim.push(3);
    sim.runs();
    let last = sim.app("web").trials.well.as_ref().unwrap();
    assert_eq!(last.desired.revision.commit, commit(1), "nothing of 2 was there");
    // Once it was well for as long as a trial takes, it is.
    let mut sim = well("degraded,within=60s");
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    let hold = sim.app("web").hold.as_ref().unwrap().seq;
    sim.given.health.insert(key(A), Healthy);
    sim.happens(|given| given.lets_go("web", hold));
    sim.runs();
    passes(&mut sim, 61_000);
    turns(&mut sim, Degraded);
    pushes(&mut sim, 3, vec![object(A, 3)], Progressing);
    turns(&mut sim, Degraded);
    assert_eq!((held(&sim).len(), applied(&sim)), (2, object(A, 2).digest));
}

/// Goal: what a person holds and what was not rolled back from are no better for it.
#[test]
fn what_stays_for_another_reason_is_well_after_its_trial_only() {
    let mut sim = well("degraded,not-healthy,within=60s");
    let first = sim.given.world.clone();
    pushes(&mut sim, 2, vec![object(A, 2)], Healthy);
    passes(&mut sim, 61_000);
    // A person holds what is not well any more.
    sim.happens(|given| {
        given.rolls_back("web", &first);
    });
    sim.runs();
    turns(&mut sim, Degraded);
    let hold = sim.app("web").hold.as_ref().unwrap().seq;
    sim.at(3, "web", vec![object(A, 3)]);
    sim.push(3);
    sim.runs();
    sim.given.health.insert(key(A), Progressing);
    sim.happens(|given| given.lets_go("web", hold));
    sim.runs();
    turns(&mut sim, Degraded);
    let last = held(&sim).pop().unwrap();
    assert!(last.automatic.is_some(), "{:?}", sim.told);
    assert_eq!(applied(&sim), object(A, 2).digest, "what was held was not well");
}

#[test]
fn what_is_not_healthy_in_time_gives_way_and_what_degrades_later_does_not() {
    let mut sim = well("degraded,not-healthy,within=60s");
    pushes(&mut sim, 2, vec![object(A, 2)], Progressing);
    let left = sim.machine.deadline().unwrap().ms_since(sim.given.now());
    assert!((50_000..=60_000).contains(&left), "{left}");
    passes(&mut sim, left - 2);
    assert_eq!(held(&sim).len(), 0);
    passes(&mut sim, 10);
    let all = held(&sim);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].automatic.as_ref().unwrap().why, RollbackCause::NotHealthy);
    assert_eq!(applied(&sim), object(A, 1).digest);
    turns(&mut sim, Healthy);
    // In time, and unwell after its time.
    pushes(&mut sim, 3, vec![object(A, 3)], Progressing);
    passes(&mut sim, 30_000);
    turns(&mut sim, Healthy);
    passes(&mut sim, 40_000);
    for health in [Progressing, Degraded] {
        turns(&mut sim, health);
        passes(&mut sim, 70_000);
    }
    assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 3).digest));
    assert_eq!(sim.machine.deadline(), None);
}

#[test]
fn what_was_healthy_for_a_moment_only_is_not_gone_back_to() {
    let mut sim = well("not-healthy,within=60s");
    pushes(&mut sim, 2, vec![object(A, 2)], Healthy);
    turns(&mut sim, Degraded);
    pushes(&mut sim, 3, vec![object(A, 3)], Progressing);
    passes(&mut sim, 61_000);
    assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 1).digest));
    // What had passed its trial counts, however it fares when the next comes.
    let mut sim = well("not-healthy,within=60s");
    pushes(&mut sim, 2, vec![object(A, 2)], Healthy);
    passes(&mut sim, 61_000);
    turns(&mut sim, Degraded);
    pushes(&mut sim, 3, vec![object(A, 3)], Progressing);
    passes(&mut sim, 61_000);
    assert_eq!((held(&sim).len(), applied(&sim)), (1, object(A, 2).digest));
}

#[test]
fn it_is_refused_once_where_nothing_was_well_or_deletions_would_wait() {
    let mut given = Given::cluster();
    given.health.insert(key(A), Degraded);
    let mut manifest = application("web", auto());
    manifest["metadata"]["annotations"] = json!({"greffier.dev/rollback": "degraded"});
    given.declares(&manifest, Origin::Config);
    let mut sim = Sim::new(given);
    sim.at(1, "web", vec![object(A, 1)]);
    sim.runs();
    turns(&mut sim, Progressing);
    pushes(&mut sim, 2, vec![object(A, 2)], Degraded);
    turns(&mut sim, Progressing);
    turns(&mut sim, Degraded);
    let all = refused(&sim);
    assert_eq!((all.len(), held(&sim).len()), (1, 0));
    assert!(all[0].reasons[0].contains("no earlier render"), "{:?}", all[0].reasons);
    assert_eq!(sim.app("web").trials.refused.as_ref().unwrap().reasons, all[0].reasons);

    let mut sim = well("degraded");
    let more = vec![object(A, 2), object(B, 1), object(C, 1), object(D, 1)];
    pushes(&mut sim, 2, more, Degraded);
    turns(&mut sim, Progressing);
    turns(&mut sim, Degraded);
    let all = refused(&sim);
    assert_eq!((all.len(), held(&sim).len()), (1, 0), "{:?}", sim.told);
    assert!(all[0].reasons[0].contains("deletions would wait"), "{:?}", all[0].reasons);
    assert_eq!((applied(&sim), sim.live(D)), (object(A, 2).digest, true));
    assert_eq!(sim.given.world.rollbacks_refused, 1);
}

#[test]
fn nobody_is_rolled_back_while_it_is_paused_and_what_was_seen_before_a_start_is_seen_anew() {
    let mut sim = well("degraded");
    sim.hold = vec!["execute"];
    sim.at(2, "web", vec![object(A, 2)]);
    sim.push(2);
    sim.runs();
    sim.given.health.insert(key(A), Degraded);
    sim.happens(|given| {
        given.event(PausedV1 { app: name("web"), until: None, reason: String::new() });
    });
    sim.hold.clear();
    turns(&mut sim, Degraded);
    assert_eq!((sim.app("web").health, held(&sim).len()), (Degraded, 0));
    passes(&mut sim, 60_000);
    sim.happens(|given| {
        given.event(ResumedV1 { app: name("web"), expired: false });
        given.starts(false);
    });
    sim.held.clear();
    sim.machine = Machine::new(sim.given.limits.clone());
    sim.runs();
    assert_eq!(held(&sim).len(), 0, "nothing is listed yet");
    sim.happens(|given| {
        given.sees(A);
        given.lists_everything();
    });
    sim.runs();
    let all = held(&sim);
    assert_eq!(all.len(), 1);
    // For how long it was paused since says nothing of the revision.
    let reason = &all[0].reason;
    assert!(reason.contains("turned Degraded 0 s after its first write"), "{reason}");
}

#[test]
fn an_application_without_prune_keeps_what_a_bad_revision_brought() {
    let mut sim = ruled("degraded", json!({"automated": {"selfHeal": true}}));
    pushes(&mut sim, 2, vec![object(A, 2), object(B, 1)], Degraded);
    assert_eq!((held(&sim).len(), applied(&sim), sim.live(B)), (1, object(A, 1).digest, true));
    let mut sim = well("degraded");
    pushes(&mut sim, 2, vec![object(A, 2), object(B, 1)], Degraded);
    assert_eq!((held(&sim).len(), applied(&sim), sim.live(B)), (1, object(A, 1).digest, false));
}

/// Goal: what a revision was in another cluster is no reason to go back from it: neither while that
/// one answers nor after it was accepted.
#[test]
fn a_trial_ends_with_its_cluster() {
    let mut sim = well("not-healthy,within=60s");
    sim.happens(|given| drop(given.identified("one")));
    pushes(&mut sim, 2, vec![object(A, 2)], Progressing);
    let mut doubt = Seq(0);
    sim.happens(|given| {
        doubt = given.replaced("two");
        given.lists_everything();
        given.sees("Namespace/prod");
    });
    sim.runs();
    passes(&mut sim, 61_000);
    assert_eq!((held(&sim).len(), refused(&sim).len()), (0, 0), "in doubt");
    sim.happens(|given| drop(given.accepts(doubt)));
    sim.runs();
    passes(&mut sim, 61_000);
    assert_eq!((held(&sim).len(), refused(&sim).len()), (0, 0), "accepted");
    assert_eq!(applied(&sim), object(A, 2).digest, "what Git says was made there");
    assert_eq!(sim.app("web").health, Progressing);
}
