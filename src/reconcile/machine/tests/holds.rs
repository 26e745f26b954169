//! Applications that people hold as they were.

use super::*;
use crate::ledger::event::{AppHeldV1, HoldEnd};

/// `web` at commit 2, rolled back to commit 1 for a minute.
fn held() -> Sim {
    let mut sim = Sim::web(auto(), objects(&[A, B]));
    sim.at(2, "web", vec![object(A, 2)]);
    sim.runs();
    let then = sim.given.world.clone();
    sim.push(2);
    sim.runs();
    assert!(!sim.live(B));
    sim.told.clear();
    sim.happens(|given| {
        let until = Some(given.now().plus_ms(60_000));
        given.event(AppHeldV1 { until, ..given.rollback("web", &then) });
    });
    sim.runs();
    assert!(sim.live(B));
    assert_eq!(sim.told("sync.finished"), 1);
    sim
}

fn applied(sim: &Sim) -> Digest {
    sim.given.world.owned[&key(A)].applied
}

fn ended(sim: &Sim) -> Vec<HoldEnd> {
    let ended = sim.given.events.iter().filter_map(|(.., event)| match event {
        Event::AppHoldEnded(body) => Some(body.end),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_push_is_rendered_once_and_nothing_is_written_until_the_hold_expires() {
    let mut sim = held();
    sim.at(3, "web", vec![object(A, 3)]);
    sim.push(3);
    sim.runs();
    assert_eq!((sim.count("render.succeeded"), sim.told("apply.intent")), (1, 0));
    assert_eq!(applied(&sim), object(A, 1).digest);
    let deadline = sim.machine.deadline().unwrap();
    let ms = deadline.ms_since(sim.given.now());
    assert!((50_000..60_000).contains(&ms), "{ms}");
    let touched = sim.given.after_ms(ms);
    sim.machine.touch(touched);
    sim.runs();
    assert_eq!(ended(&sim), [HoldEnd::Expired]);
    assert_eq!((applied(&sim), sim.live(B)), (object(A, 3).digest, false));
    sim.told.clear();
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.told, [""; 0], "nothing is told twice");
}

#[test]
fn the_hold_ends_when_git_says_what_it_holds_and_nothing_is_written_for_that() {
    let mut sim = held();
    sim.told.clear();
    sim.at(3, "web", objects(&[A, B]));
    sim.push(3);
    sim.runs();
    assert_eq!(ended(&sim), [HoldEnd::SameAsGit]);
    assert_eq!(sim.told, ["render.succeeded", "hold.app-ended", "sync.finished"]);
    assert_eq!(sim.app("web").commit(), Some(&commit(3)));
    sim.at(4, "web", vec![object(A, 4)]);
    sim.push(4);
    sim.runs();
    assert_eq!(applied(&sim), object(A, 4).digest);
}

#[test]
fn what_is_done_while_it_is_held_is_done_because_of_the_hold() {
    let sim = held();
    let hold = sim.app("web").hold.as_ref().unwrap().seq;
    let render = sim.app("web").desired.as_ref().unwrap().seq;
    let mut given = sim.given.clone();
    given.loses(A);
    let plan = given.plan("web");
    let causes = asked::causes(&given.world, &given.world.apps[&name("web")], &plan.writes);
    assert_eq!(causes[..2], [render, hold]);
}
