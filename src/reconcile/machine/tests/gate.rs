//! What waits at the gate is told once.

use super::*;

#[test]
fn a_gate_is_told_once_and_waits_for_its_approval() {
    let mut sim = Sim::web(auto(), maps(10));
    sim.at(2, "web", maps(2));
    sim.runs();
    sim.push(2);
    sim.runs();
    assert_eq!((sim.count("plan.gated"), sim.told("apply.intent")), (1, 1));
    assert!(sim.live(&map(9)));
    let plan = sim.app("web").gate.clone().unwrap().plan;
    sim.happens(|given| {
        given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    });
    sim.runs();
    assert!(!sim.live(&map(9)) && sim.live(&map(1)));
    assert_eq!((sim.count("plan.lapsed"), sim.told("plan.gated")), (0, 0));
    assert!(sim.app("web").last_sync.as_ref().unwrap().succeeded);
}

#[test]
fn an_approval_covers_all_intents_of_its_plan() {
    let mut sim = Sim::web(auto(), maps(700));
    sim.at(2, "web", maps(1));
    sim.runs();
    sim.push(2);
    sim.runs();
    let plan = sim.app("web").gate.clone().unwrap().plan;
    sim.happens(|given| {
        given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    });
    sim.runs();
    assert_eq!(sim.given.world.owned.len(), 1);
    assert_eq!(sim.told("plan.gated"), 1);
}

#[test]
fn a_gate_that_is_not_needed_any_more_lapses() {
    let mut sim = Sim::web(auto(), maps(10));
    sim.at(2, "web", maps(2));
    sim.at(3, "web", maps(10));
    sim.runs();
    for n in [2, 3] {
        sim.push(n);
        sim.runs();
    }
    assert_eq!((sim.app("web").gate.is_none(), sim.told("plan.lapsed")), (true, 1));
}

#[test]
fn what_waits_is_told_nothing_about_while_another_cluster_answers() {
    let mut sim = Sim::web(auto(), maps(10));
    sim.at(2, "web", maps(2));
    sim.happens(|given| {
        given.identified("one");
    });
    sim.runs();
    sim.push(2);
    sim.runs();
    let gate = sim.app("web").gate.clone();
    assert!(gate.is_some());
    sim.happens(|given| {
        given.replaced("two");
    });
    sim.runs();
    assert_eq!((sim.count("plan.lapsed"), &sim.app("web").gate), (0, &gate), "it is not over");
}
