//! A clock that was ahead once, and is right again.

use crate::ledger::event::{
    BackTo, FetchRecoveredV1, FrozenV1, HoldBegunV1, HoldOf, PausedV1, WriteResult,
};
use crate::model::Timestamp;
use crate::replay::testing::{Given, REPO, auto, key, name, objects};
use crate::replay::{Touched, World};

const A: &str = "ConfigMap/prod/a";
const DAY: u64 = 86_400_000;

/// Something is recorded at this time.
fn at(world: &mut World, time: Timestamp) -> Touched {
    let seq = world.seq.next();
    world.apply(seq, time, &FetchRecoveredV1 { repo: REPO.into() }.into())
}

#[test]
fn what_failed_while_the_clock_was_ahead_is_tried_by_the_right_clock() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let right = given.now();
    given.after_ms(DAY);
    given.tries("web", &WriteResult::Failed("conflict".into()));
    given.fails_to_render_by("web", true);
    let world = &mut given.world;
    assert_eq!(at(world, right.plus_ms(5)), Touched::all());
    assert_eq!(world.now, right.plus_ms(5));
    let app = &world.apps[&name("web")];
    assert!(app.deadlines().all(|deadline| deadline <= world.now), "{app:#?}");
    assert!(world.render_pending(app));
    // By small steps it does not go back.
    let now = world.now;
    assert_ne!(at(world, Timestamp(now.0 - 9_000_000_000)), Touched::all());
    assert_eq!(world.now, now);
}

#[test]
fn a_pause_and_a_freeze_hold_as_long_as_was_asked_for_by_either_clock() {
    let mut given = Given::app("web", auto());
    let right = given.now();
    let begin = |given: &mut Given, now: Timestamp| {
        let until = Some(now.plus_ms(1_000));
        given.event(PausedV1 { app: name("web"), until, reason: String::new() });
        given.event(FrozenV1 { until, reason: String::new() });
        let (of, reason) = (vec![HoldOf::Absence(key(A))], String::new());
        let from = BackTo::Drift(given.seq());
        given.event(HoldBegunV1 { app: name("web"), of, from, until, reason });
    };
    let stopped = |world: &World| {
        let web = &world.apps[&name("web")];
        let held = web.is_kept_away(&key(A), world.now);
        (web.is_paused(world.now), world.freeze().is_some(), held)
    };
    // Begun by the wrong clock.
    given.after_ms(DAY);
    let wrong = given.now();
    begin(&mut given, wrong);
    let world = &mut given.world;
    at(world, right.plus_ms(10));
    assert_eq!(stopped(world), (true, true, true));
    at(world, right.plus_ms(2_000));
    assert_eq!(stopped(world), (false, false, false));
    // And by the right one, after the wrong one was believed.
    let until = Some(right.plus_ms(3_000));
    let seq = world.seq.next();
    world.apply(seq, right.plus_ms(2_001), &FrozenV1 { until, reason: String::new() }.into());
    assert!(world.freeze().is_some());
}
