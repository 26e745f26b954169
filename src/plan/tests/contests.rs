//! Contests: what is put back when, by recorded times.

use super::super::{CONTEST, Plan};
use crate::ledger::event::{
    ContestEndedV1, ContestNamedV1, DriftDetectedV1, DriftKind, FieldChange, ManagerStamp, Origin,
    WriteResult,
};
use crate::model::{Digest, Timestamp};
use crate::replay::Contest;
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const REPLICAS: &str = ".spec.replicas";

fn by(manager: &str) -> ManagerStamp {
    ManagerStamp {
        manager: manager.into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::of(manager.as_bytes()),
    }
}

/// Somebody changes paths of the object, which the comparison finds.
fn flip(given: &mut Given, manager: &str, paths: &[&str]) {
    flip_as(given, DriftKind::Drift, manager, paths);
}

fn flip_as(given: &mut Given, kind: DriftKind, manager: &str, paths: &[&str]) {
    given.sees(A);
    let observation = given.world.live[&key(A)].seq;
    let field = |path: &&str| FieldChange {
        path: (*path).to_owned(),
        was: "2".into(),
        now: given.seq().to_string(),
    };
    let fields = paths.iter().map(field).collect();
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind,
        fields,
        places: Vec::new(),
        managers: vec![by(manager)],
        mask: Digest::default(),
        observation,
        saved: None,
        later: None,
    });
}

fn heal(given: &mut Given) {
    assert_eq!(given.writes("web"), ["heal ConfigMap/prod/a"]);
    let intent = given.intends("web");
    given.carries_out(intent);
}

fn contest(given: &Given) -> Contest {
    let app = &given.world.apps[&name("web")];
    let (_, _, contest) = app.contests().next().expect("no contest");
    contest.clone()
}

fn contests(given: &Given) -> usize {
    given.world.apps[&name("web")].contests().count()
}

fn waits_until(plan: &Plan) -> Option<Timestamp> {
    assert_eq!(writes(plan), [""; 0], "{plan:?}");
    let said = said(plan, A);
    assert!(said.why.starts_with(CONTEST), "{said:?}");
    assert!(said.waits_for_progress && plan.finished.is_none(), "{plan:?}");
    plan.deadline
}

/// Three flips by `scaler`, each healed at once, and the fourth.
fn contested() -> Given {
    let mut given = Given::synced(objects(&[A]));
    for _ in 0..3 {
        flip(&mut given, "scaler", &[REPLICAS]);
        heal(&mut given);
        given.after_ms(10_000);
    }
    flip(&mut given, "scaler", &[REPLICAS]);
    given
}

#[test]
fn the_fourth_flip_within_a_minute_is_a_contest_and_each_waits_three_times_as_long() {
    let mut given = contested();
    for seconds in [2, 6, 18, 54, 162, 300, 300, 300] {
        let flipped = given.now();
        let until = waits_until(&given.plan("web"));
        assert_eq!(until, Some(flipped.plus_ms(seconds * 1_000)), "{seconds} s");
        // An event takes a millisecond here.
        given.after_ms(seconds * 1_000 - 2);
        assert_eq!(given.writes("web"), [""; 0], "a millisecond too early");
        given.after_ms(0);
        heal(&mut given);
        given.after_ms(1_000);
        flip(&mut given, "scaler", &[REPLICAS]);
    }
}

#[test]
fn flips_that_are_more_than_a_minute_apart_are_no_contest() {
    let mut given = Given::synced(objects(&[A]));
    for _ in 0..12 {
        flip(&mut given, "scaler", &[REPLICAS]);
        heal(&mut given);
        given.after_ms(20_001);
    }
    assert_eq!(contests(&given), 0);
}

#[test]
fn the_fourth_flip_at_the_end_of_the_minute_still_counts() {
    let mut given = Given::synced(objects(&[A]));
    flip(&mut given, "scaler", &[REPLICAS]);
    let first = given.now();
    heal(&mut given);
    for _ in 0..2 {
        flip(&mut given, "scaler", &[REPLICAS]);
        heal(&mut given);
    }
    // The comparison that finds it is recorded two events later.
    let left = first.plus_ms(60_000).ms_since(given.now()) - 3;
    given.after_ms(left);
    flip(&mut given, "scaler", &[REPLICAS]);
    assert_eq!((given.now(), contests(&given)), (first.plus_ms(60_000), 1));
}

#[test]
fn only_the_same_manager_and_the_same_path_count() {
    let mut given = Given::synced(objects(&[A]));
    for (manager, path) in [("a", ".x"), ("b", ".x"), ("a", ".y"), ("b", ".y"), ("a", ".x")] {
        flip(&mut given, manager, &[path]);
        heal(&mut given);
    }
    assert_eq!(contests(&given), 0);
}

#[test]
fn what_is_changed_again_before_it_is_put_back_is_no_flip() {
    let mut given = contested();
    let until = waits_until(&given.plan("web"));
    for _ in 0..5 {
        flip(&mut given, "scaler", &[REPLICAS]);
    }
    assert_eq!(waits_until(&given.plan("web")), until);
    assert_eq!(contest(&given).flips, 1);
}

#[test]
fn another_path_is_put_back_at_once_while_a_contest_waits() {
    let mut given = contested();
    waits_until(&given.plan("web"));
    flip(&mut given, "alice", &[REPLICAS, ".spec.paused"]);
    assert_eq!(given.writes("web"), ["heal ConfigMap/prod/a"]);
}

#[test]
fn ten_quiet_minutes_end_a_contest_and_not_one_second_less() {
    let mut given = contested();
    given.after_ms(2_000);
    heal(&mut given);
    let ends = contest(&given).ends();
    assert!(ends.ms_since(given.now()) > 599_000, "counted from when it was put back");
    given.after_ms(ends.ms_since(given.now()) - 3_000);
    flip(&mut given, "scaler", &[REPLICAS]);
    let flipped = given.now();
    assert_eq!(waits_until(&given.plan("web")), Some(flipped.plus_ms(6_000)), "it goes on");
    given.after_ms(6_000);
    heal(&mut given);
    let quiet = contest(&given).ends().ms_since(given.now());
    given.after_ms(quiet);
    flip(&mut given, "scaler", &[REPLICAS]);
    assert_eq!(given.writes("web"), ["heal ConfigMap/prod/a"], "everything begins anew");
    assert_eq!(contests(&given), 0);
}

#[test]
fn a_contest_is_named_and_ended_by_events_and_ends_only_when_it_is_over() {
    let mut given = contested();
    let (app, path, manager) = (name("web"), REPLICAS.to_owned(), "scaler".to_owned());
    given.event(ContestNamedV1 {
        app: app.clone(),
        key: key(A),
        path: path.clone(),
        manager: manager.clone(),
        wait_ms: 2_000,
    });
    assert_eq!(contest(&given).named, Some(given.seq()));
    let ended = ContestEndedV1 { app, key: key(A), path, manager };
    given.event(ended.clone());
    assert_eq!(contests(&given), 1, "an event that came too early ends nothing");
    let ends = contest(&given).ends();
    given.after_ms(ends.ms_since(given.now()));
    given.event(ended);
    assert_eq!(contests(&given), 0);
}

#[test]
fn deletions_are_flips_and_are_counted_before_they_are_undone() {
    let mut given = Given::synced(objects(&[A]));
    for number in 1..=4 {
        given.loses(A);
        let plan = given.plan("web");
        assert_eq!(plan.deleted, [key(A)]);
        // The first is undone in the decision that announces it, the others after it is known.
        assert_eq!(writes(&plan).len(), usize::from(number == 1), "{number}");
        given.finds("web", A, DriftKind::Deleted);
        if number < 4 {
            given.syncs("web");
        }
    }
    let flipped = given.now();
    assert_eq!(waits_until(&given.plan("web")), Some(flipped.plus_ms(2_000)));
}

#[test]
fn a_person_and_a_new_revision_do_not_wait_for_a_contest() {
    let mut given = contested();
    let mut asked = contested();
    asked.requests("web", false, &[]);
    assert_eq!(asked.writes("web"), ["heal ConfigMap/prod/a"]);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.writes("web"), ["update ConfigMap/prod/a"]);
}

#[test]
fn a_contest_holds_back_no_other_object() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, "ConfigMap/prod/b"]));
    given.syncs("web");
    for _ in 0..3 {
        flip(&mut given, "scaler", &[REPLICAS]);
        heal(&mut given);
    }
    flip(&mut given, "scaler", &[REPLICAS]);
    given.sees("ConfigMap/prod/b");
    given.finds("web", "ConfigMap/prod/b", DriftKind::Drift);
    assert_eq!(given.writes("web"), ["heal ConfigMap/prod/b"]);
}

#[test]
fn what_people_add_again_and_again_to_a_strict_application_is_a_contest() {
    let add = |given: &mut Given, manager: &str| {
        flip_as(given, DriftKind::Addition, manager, &[".metadata.labels.x"]);
    };
    for (strict, manager) in
        [("true", "kubectl-label"), ("true", "some-program"), ("false", "kubectl-label")]
    {
        let mut given = Given::cluster();
        let mut manifest = application("web", auto());
        manifest["metadata"]["annotations"] = serde_json::json!({"greffier.dev/strict": strict});
        given.declares(&manifest, Origin::Config);
        given.push(1);
        given.renders("web", objects(&[A]));
        given.syncs("web");
        let stripped = (strict, manager) == ("true", "kubectl-label");
        for _ in 0..3 {
            add(&mut given, manager);
            let written = given.plan("web").writes;
            assert_eq!(written.len(), usize::from(stripped), "{strict} {manager}");
            if let [strip] = written.as_slice() {
                let intent = given.intends("web");
                let WriteResult::Applied(mut taken) = given.answer(strip) else { panic!() };
                taken.notes.surplus = true;
                given.all_end(intent, &WriteResult::Applied(taken));
                assert_eq!(given.writes("web"), ["update ConfigMap/prod/a"]);
                given.syncs("web");
            }
        }
        add(&mut given, manager);
        assert_eq!(contests(&given), usize::from(stripped), "{strict} {manager}");
        if stripped {
            let until = given.now().plus_ms(2_000);
            assert_eq!(waits_until(&given.plan("web")), Some(until));
            given.after_ms(2_000);
            assert_eq!(given.writes("web"), ["take over ConfigMap/prod/a"]);
        }
    }
}
