//! What events make of the world, in one statement per test. What is decided from it is tested
//! beside the planner.

use serde_json::json;

use super::testing::{
    Given, REPO, application, auto, cascading, child, commit, key, name, object, objects,
};
use super::{CountedFor, LiveObject, Repo, Resolved, Touched, World, rv_older};
use crate::ledger::event::{
    AppDeclaredV1, ClusterIdentifiedV1, DeadlineReachedV1, DriftDetectedV1, DriftKind, Event,
    FetchFailedV1, FetchRecoveredV1, Health, IntentSettledV1, KindListedV1, Learned, ObjectGoneV1,
    ObjectObservedV1, Origin, OutcomeRecordedV1, RefMovedV1, RenderFailedV1, SyncFinishedV1,
    SyncRequestedV1, WatchGapV1, WriteResult,
};
use crate::model::{CommitId, GroupKind, Seq, Timestamp};

mod answers;
mod clock;
mod counts;
mod meanwhile;
mod renders;

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

/// `web` creates A; the write is under way.
fn creating() -> (Given, Seq) {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let intent = given.intends("web");
    (given, intent)
}

// --- observations and answers, in any order

#[test]
fn an_echo_from_before_our_own_write_is_dropped() {
    let (mut given, intent) = creating();
    let early = given.observation(A);
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let WriteResult::Applied(mut applied) = given.answer(&write) else { panic!("not applied") };
    applied.uid.clone_from(&early.uid);
    given.all_end(intent, &WriteResult::Applied(applied.clone()));
    let after_answer = given.world.live[&key(A)].clone();
    assert_eq!(given.event(early), Touched::nothing());
    assert_eq!(given.world.live[&key(A)], LiveObject { shown: true, ..after_answer });
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn the_watch_may_be_quicker_than_the_answer() {
    let (mut given, intent) = creating();
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.shows(&key(A), &answer);
    assert_eq!(given.writes("web"), [""; 0], "nothing is judged while an intent is open");
    given.all_end(intent, &answer);
    let live = &given.world.live[&key(A)];
    assert!(!live.answered, "the observation says more than the answer");
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), plan.compare.len()), (0, 0));
    assert!(given.finishes("web"));
}

#[test]
fn an_object_that_no_watch_ever_showed_is_gone_when_a_newer_list_does_not_show_it() {
    let (mut given, intent) = creating();
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.all_end(intent, &answer);
    let WriteResult::Applied(applied) = answer else { panic!("not applied") };
    let listed = |resource_version: String| {
        let kind = GroupKind::new("", "ConfigMap");
        KindListedV1 { kind, objects: 0, resource_version, named: Vec::new() }
    };
    let version: u64 = applied.resource_version.parse().unwrap();
    given.event(listed((version - 1).to_string()));
    assert!(given.world.live.contains_key(&key(A)), "the list is older than the answer");
    given.event(listed((version + 1).to_string()));
    assert!(!given.world.live.contains_key(&key(A)));
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
}

#[test]
fn an_observation_of_an_earlier_object_of_the_name_is_dropped() {
    let mut given = Given::synced(objects(&[A]));
    let late = ObjectObservedV1 { deleting: true, ..given.observation(A) };
    given.loses(A);
    given.follows("web");
    let ours = given.world.live[&key(A)].clone();
    assert_ne!(ours.uid, late.uid);
    let gone = ObjectGoneV1 { key: key(A), uid: late.uid.clone(), learned: Learned::Watched };
    given.event(late);
    given.event(gone);
    assert_eq!(given.world.live[&key(A)], ours);
}

#[test]
fn before_the_first_list_an_older_resource_version_is_believed() {
    // The cluster was restored from a backup while the daemon was away.
    let mut given = Given::synced(objects(&[A]));
    let old = ObjectObservedV1 { resource_version: "1".into(), ..given.observation(A) };
    given.event(old.clone());
    assert_ne!(given.world.live[&key(A)].resource_version, "1");
    given.starts(false);
    given.event(old);
    assert_eq!(given.world.live[&key(A)].resource_version, "1");
}

#[test]
fn after_a_gap_an_older_resource_version_is_believed() {
    // The cluster was restored from a backup while the daemon ran: the watch broke, and what is
    // listed then is older than what is known.
    let mut given = Given::synced(objects(&[A]));
    let old = |given: &mut Given, version: &str| {
        let resource_version = version.to_owned();
        let observed = ObjectObservedV1 { resource_version, ..given.observation(A) };
        given.event(observed);
        given.world.live[&key(A)].resource_version.clone()
    };
    let kind = |kind: &str| GroupKind::new("", kind);
    let reason = || "the API server went back in time".to_owned();
    assert_ne!(old(&mut given, "1"), "1");
    given.event(WatchGapV1 { kind: kind("Secret"), reason: reason(), refused: false });
    assert_ne!(old(&mut given, "2"), "2", "the gap of another kind says nothing");
    given.event(WatchGapV1 { kind: kind("ConfigMap"), reason: reason(), refused: false });
    assert_eq!(old(&mut given, "5"), "5");
    assert_eq!(old(&mut given, "4"), "5", "from there on they are in order again");
    let plan = given.plan("web");
    assert_eq!(plan.compare.len(), 1, "it is not as it was applied: {:?}", plan.objects);
}

#[test]
fn an_answer_after_a_gap_counts_although_its_resource_version_is_older() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let intent = given.intends("web");
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let WriteResult::Applied(mut applied) = given.answer(&write) else { panic!("not applied") };
    let gap = WatchGapV1 {
        kind: GroupKind::new("", "ConfigMap"),
        reason: "expired".into(),
        refused: false,
    };
    given.event(gap);
    applied.resource_version = "7".into();
    given.all_end(intent, &WriteResult::Applied(applied));
    assert_eq!(given.world.live[&key(A)].resource_version, "7");
    // An answer of before the restore that is recorded after it does not outlive the next one.
    for (number, version) in [(3, "900"), (4, "8")] {
        given.push(number);
        given.renders("web", vec![object(A, number)]);
        let intent = given.intends("web");
        let write = given.world.intents[&intent].writes[&0].write.clone();
        let WriteResult::Applied(mut applied) = given.answer(&write) else { panic!("not applied") };
        applied.resource_version = version.into();
        given.all_end(intent, &WriteResult::Applied(applied));
        assert_eq!(given.world.live[&key(A)].resource_version, version);
    }
}

#[test]
fn nothing_is_known_of_another_cluster() {
    let mut given = Given::synced(objects(&[A]));
    let identified = |uid: &str| ClusterIdentifiedV1 {
        uid: uid.into(),
        version: "v1.36.3".into(),
        server: "https://api".into(),
    };
    given.event(identified("one"));
    assert_eq!(given.event(identified("one")), Touched::nothing());
    assert!(!given.world.cluster.listed.is_empty());
    assert_eq!(given.event(identified("two")), Touched::all());
    assert!(given.world.cluster.listed.is_empty());
}

#[test]
fn an_object_that_went_before_the_answer_to_its_write_came_does_not_come_back() {
    let (mut given, intent) = creating();
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.shows(&key(A), &answer);
    given.loses(A);
    given.all_end(intent, &answer);
    assert!(!given.world.live.contains_key(&key(A)));
    let plan = given.plan("web");
    assert_eq!(plan.deleted, [key(A)], "somebody deleted it");
}

#[test]
fn an_answer_keeps_what_only_observations_tell() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let intent = given.intends("web");
    let write = given.world.intents[&intent].writes[&0].write.clone();
    let answer = given.answer(&write);
    given.all_end(intent, &answer);
    let live = &given.world.live[&key(A)];
    assert_eq!((live.health, live.answered), (Health::Healthy, true));
}

#[test]
fn a_comparison_that_ends_after_its_object_was_written_again_is_forgotten() {
    let mut given = Given::synced(objects(&[A]));
    given.sees(A);
    let observation = given.world.live[&key(A)].seq;
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Drift,
        fields: Vec::new(),
        places: Vec::new(),
        managers: Vec::new(),
        observation,
        mask: crate::model::Digest::default(),
        saved: None,
        later: None,
    });
    assert!(given.world.apps[&name("web")].drift.is_empty());
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn what_was_healed_before_a_revision_is_not_counted_as_its_work() {
    let mut given = Given::synced(objects(&[A]));
    given.world.apps.get_mut(&name("web")).unwrap().counts = (0, 3, 0);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.world.apps[&name("web")].counts, (0, 0, 0));
}

#[test]
fn a_request_that_came_after_the_decision_is_not_ended_by_it() {
    let mut given = Given::synced(objects(&[A]));
    let request = |prune| SyncRequestedV1 {
        app: name("web"),
        prune,
        only: Vec::new(),
        reason: String::new(),
    };
    given.event(request(false));
    let decided = given.seq();
    given.event(request(true));
    let ended = SyncFinishedV1 {
        app: name("web"),
        commit: commit(1),
        succeeded: true,
        message: String::new(),
        counts: (0, 0, 0),
        request: Some(decided),
        approval: None,
    };
    given.event(ended);
    let left = given.world.apps[&name("web")].request.as_ref();
    assert!(left.is_some_and(|request| request.prune && request.seq > decided));
}

#[test]
fn resource_versions_are_ordered_as_numbers_or_not_at_all() {
    for (a, b, older) in [
        ("9", "10", true),
        ("10", "9", false),
        ("7", "7", false),
        ("a", "b", false),
        ("", "1", false),
    ] {
        assert_eq!(rv_older(a, b), older, "{a} {b}");
    }
}

// --- restarts

#[test]
fn a_restart_knows_nothing_of_absence() {
    let mut given = Given::synced(objects(&[A]));
    given.starts_without_git(false);
    assert!(given.world.cluster.listed.is_empty());
    assert!(given.world.live.contains_key(&key(A)), "what was seen is still the best guess");
    assert_eq!(given.world.started, given.seq());
}

#[test]
fn intents_of_an_earlier_run_are_orphans_until_they_are_settled() {
    let (mut given, intent) = creating();
    given.starts(false);
    given.lists_everything();
    assert!(given.world.intents[&intent].orphaned);
    assert_eq!(given.writes("web"), [""; 0]);
    let settled = |results| IntentSettledV1 { app: name("web"), intent, results };
    given.event(settled(vec![(0, WriteResult::Unknown("still".into()))]));
    assert!(given.world.intents[&intent].writes[&0].unknown.is_some());
    given.event(settled(vec![(0, WriteResult::NotSent("it is not there".into()))]));
    assert!(given.world.intents.is_empty() && given.world.in_flight.is_empty());
    given.after_ms(1_000);
    assert_eq!(given.writes("web"), [format!("create {A}")]);
}

#[test]
fn an_intent_ends_by_the_clock_that_recorded_it() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let ahead = DeadlineReachedV1 { deadline: given.now().plus_ms(9_000) };
    given.event(ahead);
    let intent = given.intends("web");
    let (recorded, now) = (given.events.last().unwrap().1, given.now());
    assert!(now.ms_since(recorded) > 8_000, "the clock was set back");
    assert_eq!(given.world.intents[&intent].deadline, recorded.plus_ms(10_000));
}

#[test]
fn outcomes_of_unknown_intents_and_writes_change_nothing() {
    let (mut given, intent) = creating();
    let before = given.world.clone();
    let results = vec![(7, WriteResult::Deleted)];
    for intent in [intent, Seq(1)] {
        given.event(OutcomeRecordedV1 { app: name("web"), intent, results: results.clone() });
    }
    assert_eq!((&given.world.intents, &given.world.live), (&before.intents, &before.live));
}

#[test]
fn an_intent_ends_write_by_write() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, B]));
    let intent = given.intends("web");
    let outcome = |index, result| OutcomeRecordedV1 {
        app: name("web"),
        intent,
        results: vec![(index, result)],
    };
    given.event(outcome(1, WriteResult::Unknown("cut off".into())));
    given.event(outcome(0, WriteResult::Failed("timeout".into())));
    assert_eq!(given.world.in_flight.len(), 1);
    assert!(given.world.intents[&intent].writes[&1].unknown.is_some());
    given.event(outcome(1, WriteResult::NotSent("settled".into())));
    assert!(given.world.intents.is_empty());
}

// --- what has to be rendered

#[test]
fn a_commit_over_many_applications_wakes_the_waiting_once() {
    let mut given = Given::cluster();
    let apps = ["api", "db", "web"];
    for app in apps {
        given.declares(&application(app, auto()), Origin::Config);
        let texts = ["a", "b"].map(|object| format!("ConfigMap/prod/{app}-{object}"));
        given.renders(app, texts.iter().map(|text| object(text, 1)).collect());
        given.syncs(app);
    }
    let moved = given.push(2);
    assert_eq!(moved.apps, apps.map(name).into());
    // `db` drops an object and has to wait for the others; each wakes only itself.
    let dropped = vec![object("ConfigMap/prod/db-a", 1)];
    assert_eq!(given.renders("db", dropped), Touched::app(&name("db")));
    assert_eq!(given.advances("api"), Touched::app(&name("api")));
    let last = given.advances("web");
    assert_eq!(last.apps, ["db", "web"].map(name).into());
    assert!(!last.all);
}

#[test]
fn a_render_wakes_those_who_share_its_objects() {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    let shared = given.renders("api", objects(&[A]));
    assert!(shared.apps.contains(&name("web")));
    given.push(2);
    let left = given.renders("web", objects(&[B]));
    assert!(left.apps.contains(&name("api")), "it may have the object now");
    assert!(given.renders("web", objects(&[B, "Namespace/stage"])).all);
}

#[test]
fn an_object_wakes_those_who_want_or_own_it() {
    let mut given = Given::synced(objects(&[A]));
    assert_eq!(given.sees(A), Touched::app(&name("web")));
    assert_eq!(given.sees("ConfigMap/prod/other"), Touched::nothing());
    assert!(given.sees("Namespace/new").all);
    assert_eq!(given.sees("Namespace/new"), Touched::nothing(), "it was there already");
}

// --- definitions

#[test]
fn a_definition_that_cannot_be_read_leaves_the_former_in_force() {
    let mut given = Given::app("web", auto());
    let before = given.world.apps.clone();
    for manifest in ["{", "{}", r#"{"kind": "Application"}"#] {
        let manifest = manifest.as_bytes().to_vec();
        let origin = Origin::Config;
        given.event(AppDeclaredV1 { app: name("web"), manifest, origin });
    }
    assert_eq!(given.world.apps, before);
}

#[test]
fn events_about_unknown_applications_change_nothing() {
    let mut given = Given::cluster();
    let before = given.world.clone();
    let (app, only, reason) = (name("ghost"), Vec::new(), String::new());
    given.event(SyncRequestedV1 { app, prune: true, only, reason });
    given.renders("ghost", objects(&[A]));
    given.advances("ghost");
    given.removes("ghost", true, Origin::Operator);
    given.removes("ghost", false, Origin::Operator);
    assert_eq!((&given.world.apps, &given.world.owned), (&before.apps, &before.owned));
    assert!(given.world.wanted_by.is_empty());
}

#[test]
fn removal_of_a_tree_follows_the_finalizers() {
    let mut given = Given::app("root", auto());
    let (kept, taken) = (application("kept", auto()), cascading("taken", auto()));
    given.renders("root", vec![child(&cascading("middle", auto()))]);
    given.syncs("root");
    given.renders("middle", vec![child(&kept), child(&taken)]);
    given.syncs("middle");
    let middle = name("middle");
    let goes = given.world.cascade(&middle);
    assert_eq!(goes.into_iter().collect::<Vec<_>>(), [&name("middle"), &name("taken")]);
    assert!(given.world.cascade(&name("kept")).is_empty());
    assert_eq!(given.world.removal_count(&middle), 2);
}

// --- bounds and time

#[test]
fn the_number_of_remembered_commits_is_bounded() {
    let mut given = Given::synced(objects(&[B]));
    for n in 2..200 {
        given.push(n);
        given.renders("web", objects(if n % 2 == 0 { &[A, B] } else { &[B] }));
        given.syncs("web");
    }
    assert_eq!(given.world.deletions.len(), 64);
    assert!(given.world.deletions.contains_key(&CountedFor::Commit(commit(199))));
}

#[test]
fn time_never_goes_back() {
    let mut world = World::default();
    let (late, early) = (Timestamp::from_seconds(100), Timestamp::from_seconds(91));
    let deadline = Timestamp::from_seconds(200);
    let recovered = Event::from(FetchRecoveredV1 { repo: REPO.into() });
    world.apply(Seq(1), late, &recovered);
    world.apply(Seq(2), early, &recovered);
    assert_eq!(world.now, late);
    world.apply(Seq(3), late, &DeadlineReachedV1 { deadline }.into());
    assert_eq!(world.now, deadline, "a deadline that was reached is past");
}
