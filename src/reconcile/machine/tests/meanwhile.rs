//! What others record between a decision and its record.

use super::*;
use crate::ledger::event::{AppHeldV1, PausedV1};

#[test]
fn a_pause_that_was_recorded_before_the_intent_withdraws_its_writes() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.hold = vec!["append"];
    sim.runs();
    // Decided, and not recorded yet: whoever pauses now is told that it is paused.
    let web = || name("web");
    sim.happens(|given| {
        let (until, reason) = (None, String::new());
        given.event(PausedV1 { app: web(), until, reason });
    });
    sim.releases();
    assert!(!sim.live(A) && !sim.live(B));
    assert_eq!((sim.count("apply.intent"), sim.count("apply.outcome")), (1, 1));
    assert!(sim.given.world.intents.is_empty() && sim.given.world.in_flight.is_empty());
    sim.happens(|given| {
        given.event(ResumedV1 { app: web(), expired: false });
    });
    sim.runs();
    assert!(sim.live(A) && sim.live(B), "what was withdrawn is decided anew");
}

#[test]
fn a_freeze_that_was_recorded_before_the_intent_withdraws_its_writes() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| {
        given.event(FrozenV1 { until: None, reason: String::new() });
    });
    sim.releases();
    assert!(!sim.live(A) && sim.given.world.intents.is_empty());
    sim.happens(|given| {
        given.event(UnfrozenV1 { expired: false });
    });
    sim.runs();
    assert!(sim.live(A), "what was withdrawn is decided anew");
}

#[test]
fn what_was_intended_is_not_sent_to_another_cluster_and_only_unknown_health_is_told() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.hold = vec!["append"];
    sim.runs();
    let mut doubt = Seq::ZERO;
    sim.happens(|given| {
        given.identified("one");
        doubt = given.replaced("two");
        given.lists_everything();
        given.sees("Namespace/prod");
    });
    sim.releases();
    assert!(!sim.live(A) && !sim.live(B));
    assert_eq!((sim.count("apply.intent"), sim.count("apply.outcome")), (1, 1));
    assert_eq!((sim.count("plan.gated"), sim.count("drift.detected")), (0, 0));
    assert_eq!(sim.app("web").health, Health::Unknown);
    sim.happens(|given| {
        given.accepts(doubt);
    });
    sim.runs();
    assert!(sim.live(A) && sim.live(B), "the accepted one is written to");
}

/// Goal: what a person ended by time ends while the cluster is in doubt as well: what would follow from
/// accepting it is what does follow. Nothing is written before.
#[test]
fn what_runs_out_while_the_cluster_is_in_doubt_ends() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.happens(|given| drop(given.identified("one")));
    sim.at(2, "web", vec![object(A, 2), object(B, 2)]);
    sim.runs();
    let then = sim.given.world.clone();
    sim.push(2);
    sim.runs();
    let mut doubt = Seq::ZERO;
    sim.happens(|given| {
        let until = Some(given.now().plus_ms(60_000));
        given.event(AppHeldV1 { until, ..given.rollback("web", &then) });
        given.event(PausedV1 { app: name("web"), until, reason: String::new() });
        given.event(FrozenV1 { until, reason: String::new() });
        doubt = given.replaced("two");
        given.lists_everything();
        given.sees("Namespace/prod");
    });
    sim.runs();
    let ends = |sim: &Sim| {
        ["hold.app-ended", "operator.resume", "operator.unfreeze"].map(|kind| sim.count(kind))
    };
    assert_eq!(ends(&sim), [0, 0, 0]);
    let deadline = sim.machine.deadline().unwrap();
    let touched = sim.given.after_ms(deadline.ms_since(sim.given.now()));
    sim.machine.touch(touched);
    sim.runs();
    assert_eq!(ends(&sim), [1, 1, 1], "{:?}", sim.told);
    let web = sim.app("web");
    assert!(!web.is_held() && web.paused.is_none() && sim.given.world.frozen.is_none());
    assert_eq!(
        sim.app("web").desired.as_ref().unwrap().objects[&key(A)].digest,
        object(A, 2).digest
    );
    assert!(!sim.live(A) && !sim.live(B), "nothing is written");
    // Once, and not at every look.
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(ends(&sim), [1, 1, 1]);
    sim.happens(|given| drop(given.accepts(doubt)));
    sim.runs();
    assert!(sim.live(A) && sim.live(B), "the accepted one gets what Git says");
    assert_eq!(sim.given.world.owned[&key(A)].applied, object(A, 2).digest);
}

#[test]
fn an_object_that_is_wanted_again_before_the_intent_is_recorded_is_not_deleted() {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.at(2, "web", objects(&[A]));
    sim.runs();
    sim.push(2);
    sim.hold = vec!["append"];
    sim.runs();
    let uid = sim.given.world.live[&key(B)].uid.clone();
    sim.happens(|given| {
        given.push(3);
        given.renders("web", objects(&[A, B]));
    });
    sim.at(3, "web", objects(&[A, B]));
    sim.releases();
    assert_eq!(sim.given.world.live[&key(B)].uid, uid);
    assert_eq!(sim.app("web").counts.2, 0);
}

#[test]
fn a_write_whose_manifest_was_replaced_before_its_intent_was_recorded_is_withdrawn() {
    let mut sim = Sim::web(auto(), vec![object(A, 1)]);
    sim.at(2, "web", vec![object(A, 2)]);
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| {
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
    });
    sim.releases();
    let applied = sim.given.world.owned[&key(A)].applied;
    assert_eq!(applied, object(A, 2).digest);
    assert_eq!(sim.count("apply.intent"), 2);
    assert!(sim.given.world.owned[&key(A)].keep.is_empty(), "what restrains it is known");
}

#[test]
fn the_writes_of_an_intent_of_a_removed_application_are_withdrawn() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| given.removes("web", false, Origin::Config));
    sim.releases();
    assert!(!sim.live(A));
    assert!(sim.given.world.intents.is_empty());
}

#[test]
fn a_gate_whose_base_moved_before_it_was_recorded_is_announced_again_when_it_comes_back() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", maps(2));
    let fifth = key(&crate::replay::testing::map(4));
    let before = given.world.live[&fifth].clone();
    let mut other = given.clone();
    given.gates("web");
    other.sees(&fifth.to_string());
    let Some((.., Event::PlanGated(decided))) = given.events.last().cloned() else { panic!() };
    other.event(decided);
    other.world.live.insert(fifth, before);
    // What was recorded in time stands; what was not is announced once more, and then stands.
    let announced = |given: &Given| {
        let commands = Machine::new(given.limits.clone()).decide(&given.world, &given.compared);
        let drafts = commands.into_iter().filter_map(|command| match command {
            Command::Append(drafts) => Some(drafts),
            _ => None,
        });
        drafts.flatten().filter(|draft| matches!(draft.event, Event::PlanGated(_))).count()
    };
    assert_eq!((announced(&given), announced(&other)), (0, 1));
    other.gates("web");
    assert_eq!(announced(&other), 0);
    other.approves("web");
    assert_eq!(other.writes("web").len(), 3);
}

#[test]
fn an_application_that_is_defined_anew_while_its_removal_ends_stays() {
    let web = || crate::replay::testing::cascading("web", auto());
    let mut sim = Sim::new(Given::cluster());
    sim.happens(|given| {
        given.declares(&web(), Origin::Operator);
        given.removes("web", true, Origin::Operator);
    });
    sim.hold = vec!["append"];
    sim.runs();
    sim.happens(|given| given.declares(&web(), Origin::Operator));
    sim.releases();
    assert_eq!(sim.count("app.removed"), 1);
    assert!(!sim.app("web").removing);
}

#[test]
fn only_what_is_being_written_can_be_looked_at_later() {
    let mut sim = Sim::web(auto(), objects(&[A]));
    assert!(!sim.machine.only_written(&sim.given.world), "nothing was ever looked at");
    sim.hold = vec!["execute"];
    sim.runs();
    let of = |app: &str| Touched { apps: [name(app)].into(), ..Touched::default() };
    sim.machine.touch(of("web"));
    assert!(sim.machine.only_written(&sim.given.world));
    sim.machine.touch(of("other"));
    assert!(!sim.machine.only_written(&sim.given.world));
    sim.releases();
    sim.machine.touch(of("web"));
    assert!(!sim.machine.only_written(&sim.given.world), "what was written is judged at once");
}
