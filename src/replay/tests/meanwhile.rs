//! What people decide while greffier ends what was before it.

use crate::ledger::event::{
    AppRemovedV1, FrozenV1, Origin, PausedV1, PlanApprovedV1, ResumedV1, SyncFinishedV1, UnfrozenV1,
};
use crate::replay::testing::{Given, application, auto, cascading, maps, name};

const HOUR: u64 = 3_600_000;

#[test]
fn what_has_run_out_does_not_end_what_was_begun_meanwhile() {
    let mut given = Given::app("web", auto());
    let begin = |given: &mut Given| {
        let until = Some(given.now().plus_ms(HOUR));
        let (app, reason) = (name("web"), String::new());
        given.event(PausedV1 { app, until, reason: reason.clone() });
        given.event(FrozenV1 { until, reason });
    };
    let run_out = |given: &mut Given| {
        given.event(ResumedV1 { app: name("web"), expired: true });
        given.event(UnfrozenV1 { expired: true });
    };
    let stopped = |given: &Given| {
        let world = &given.world;
        (world.apps[&name("web")].is_paused(world.now), world.freeze().is_some())
    };
    begin(&mut given);
    given.after_ms(2 * HOUR);
    // Decided to have run out, and begun again before that is recorded.
    begin(&mut given);
    run_out(&mut given);
    assert_eq!(stopped(&given), (true, true));
    // What did run out is cleared away, and a person ends what holds.
    given.after_ms(2 * HOUR);
    run_out(&mut given);
    assert!(given.world.frozen.is_none() && given.world.apps[&name("web")].paused.is_none());
    begin(&mut given);
    given.event(ResumedV1 { app: name("web"), expired: false });
    given.event(UnfrozenV1 { expired: false });
    assert_eq!(stopped(&given), (false, false));
}

#[test]
fn what_is_defined_anew_is_not_removed_by_the_end_of_what_was() {
    let mut given = Given::cluster();
    given.declares(&cascading("web", auto()), Origin::Operator);
    given.removes("web", true, Origin::Operator);
    let (app, origin, orphans) = (name("web"), Origin::Operator, Vec::new());
    let declared = Some(given.declared("web"));
    let end = AppRemovedV1 { app, cascade: false, origin, declared, orphans };
    given.declares(&application("web", auto()), Origin::Operator);
    given.event(end.clone());
    assert!(!given.world.apps[&name("web")].removing);
    given.event(AppRemovedV1 { declared: Some(given.declared("web")), ..end });
    assert!(given.world.apps.is_empty());
}

#[test]
fn an_approval_is_not_spent_by_the_end_of_a_sync_that_knew_nothing_of_it() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", maps(2));
    let gate = given.gates("web");
    let finished = given.plan("web").finished.unwrap();
    let ends = |given: &Given, approval| SyncFinishedV1 {
        app: name("web"),
        commit: given.world.apps[&name("web")].commit().unwrap().clone(),
        succeeded: finished.succeeded,
        message: finished.message.clone(),
        counts: (0, 0, 0),
        request: None,
        approval,
    };
    given.event(PlanApprovedV1 { app: name("web"), plan: gate.plan, reason: String::new() });
    let before = ends(&given, None);
    given.event(before);
    assert_eq!(given.writes("web").len(), 3);
    let approval = given.world.apps[&name("web")].approved.map(|approval| approval.seq);
    let after = ends(&given, approval);
    given.event(after);
    assert!(given.world.apps[&name("web")].approved_bases.is_empty());
}
