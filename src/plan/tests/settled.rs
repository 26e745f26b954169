//! What is left to be done after a first apply, and how objects are written.

use serde_json::json;

use super::super::check::Violation;
use super::super::{Limits, Status, Sync, check};
use crate::ledger::event::{
    ApplyNotes, DesiredObject, DriftDetectedV1, DriftKind, FieldChange, ManagerStamp, Method,
    ObjectOptions, Verb, WriteResult,
};
use crate::model::{Digest, Seq};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";

/// Carries out the one write that is planned, with these notes in its answer.
fn answers(given: &mut Given, notes: ApplyNotes) -> Seq {
    let write = given.plan("web").writes.remove(0);
    let intent = given.intends("web");
    let WriteResult::Applied(mut applied) = given.answer(&write) else { panic!("{write:?}") };
    applied.notes = Box::new(notes);
    let result = WriteResult::Applied(applied);
    given.all_end(intent, &result);
    given.shows(&write.key, &result);
    given.seq()
}

fn owners(names: &[&str]) -> ApplyNotes {
    let co_owners = names.iter().map(|name| (*name).to_owned()).collect();
    ApplyNotes { co_owners, ..ApplyNotes::default() }
}

/// `A` was there, is as Git says, and is adopted; the answer says that kubectl owns fields.
fn adopted() -> Given {
    adopted_by(Given::app("web", auto()))
}

fn adopted_by(mut given: Given) -> Given {
    given.sees(A);
    given.renders("web", objects(&[A]));
    let dry_run = given.plan("web").dry_runs.remove(0);
    given.previews("web", &dry_run, crate::ledger::event::Preview::Same);
    assert_eq!(given.writes("web"), [format!("adopt {A}")]);
    answers(&mut given, owners(&["kubectl-client-side-apply"]));
    given
}

#[test]
fn on_adoption_the_fields_of_earlier_writers_are_taken_over_and_the_surplus_is_removed() {
    let mut given = adopted();
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("take over {A}")]);
    assert_eq!((plan.sync, plan.finished.clone()), (Sync::Synced, None), "not ended before");
    assert!(plan.writes[0].precondition.is_some());
    assert_ne!(plan.writes[0].digest, given.world.owned[&key(A)].applied);
    answers(&mut given, ApplyNotes { surplus: true, ..owners(&["left-over"]) });
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    answers(&mut given, ApplyNotes::default());
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.sync), (vec![], Sync::Synced));
    assert!(plan.finished.unwrap().succeeded);
}

#[test]
fn a_sync_by_hand_finishes_what_it_adopts() {
    let mut given = Given::app("web", json!({}));
    given.requests("web", false, &[]);
    let mut given = adopted_by(given);
    assert_eq!(given.writes("web"), [format!("take over {A}")]);
    answers(&mut given, ApplyNotes { surplus: true, ..ApplyNotes::default() });
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    answers(&mut given, ApplyNotes::default());
    assert!(given.finishes("web"));
}

#[test]
fn who_writes_to_an_object_later_is_left_alone() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    answers(&mut given, owners(&["kubectl-client-side-apply"]));
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn a_takeover_that_fails_keeps_nobody_from_applying() {
    let mut given = adopted();
    given.tries("web", &WriteResult::Refused("forbidden".into()));
    assert_eq!(given.writes("web"), [""; 0]);
    assert!(said(&given.plan("web"), A).blocked);
    given.sees(A);
    given.finds("web", A, crate::ledger::event::DriftKind::Drift);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    answers(&mut given, owners(&["kubectl-client-side-apply"]));
    assert_eq!(given.writes("web"), [format!("take over {A}")], "still to be done");
}

#[test]
fn what_was_admitted_differently_and_what_stays_is_said_and_nothing_is_done() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let (path, was, now) = (".spec.size".to_owned(), "1".to_owned(), "2".to_owned());
    answers(
        &mut given,
        ApplyNotes {
            admitted: vec![FieldChange { path, was, now }],
            left: vec![(".data.b".into(), vec!["helm".into()])],
            ..ApplyNotes::default()
        },
    );
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.sync), (vec![], Sync::Synced));
    let why = &said(&plan, A).why;
    assert!(why.contains("admitted differently: .spec.size sent 1, admitted 2"), "{why}");
    assert!(why.contains(".data.b (also of helm)"), "{why}");
}

fn optional(text: &str, content: u64, replace: Option<bool>, force: Option<bool>) -> DesiredObject {
    let options = ObjectOptions { replace, force, validate: None };
    DesiredObject { options, ..object(text, content) }
}

#[test]
fn the_annotation_of_an_object_wins_over_the_option_of_its_application() {
    let replace = json!({"automated": {}, "syncOptions": ["Replace=true", "Validate=false"]});
    for (policy, own, method, validate) in [
        (auto(), None, Method::Apply, true),
        (auto(), Some(true), Method::Replace, true),
        (replace.clone(), None, Method::Replace, false),
        (replace, Some(false), Method::Apply, false),
    ] {
        let mut given = Given::app("web", policy);
        given.renders("web", vec![optional(A, 1, own, None)]);
        let write = given.plan("web").writes.remove(0);
        assert_eq!((write.method, write.validate), (method, validate));
    }
}

#[test]
fn an_api_without_server_side_apply_is_replaced_at_once_and_for_every_object() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.tries("web", &WriteResult::Unsupported("415".into()));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("create {A}")]);
    assert_eq!(plan.writes[0].method, Method::Replace);
    given.starts(false);
    given.serves(&[]);
    given.lists_everything();
    assert_eq!(given.plan("web").writes[0].method, Method::Apply, "asked anew by a new daemon");
}

#[test]
fn replace_with_force_deletes_and_creates_anew_and_counts_as_a_deletion() {
    let texts = [A, "ConfigMap/prod/b", "ConfigMap/prod/c", "ConfigMap/prod/d"];
    let forced = |content| -> Vec<DesiredObject> {
        texts.iter().map(|text| optional(text, content, Some(true), Some(true))).collect()
    };
    let mut given = Given::synced(forced(1));
    given.limits = Limits { app_percent_max: 100, ..Limits::default() };
    given.push(2);
    given.renders("web", forced(2));
    let plan = given.plan("web");
    let recreate: Vec<_> = texts.iter().map(|text| format!("recreate {text}")).collect();
    assert_eq!(writes(&plan), recreate);
    let mut unbound = plan.clone();
    unbound.writes[0].precondition = None;
    assert_eq!(check(&given.world, &unbound).len(), 1);
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
    assert_eq!(given.world.owned[&key(A)].applied, forced(2)[0].digest);

    given.limits = Limits::default();
    given.push(3);
    given.renders("web", forced(3));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!(plan.gate.unwrap().writes.len(), 4);
}

#[test]
fn what_somebody_put_in_its_place_is_not_deleted_to_be_created_anew() {
    let forced = |content| vec![optional(A, content, Some(true), Some(true))];
    let mut given = Given::synced(forced(1));
    given.redeclares(&application("web", json!({"automated": {}})));
    given.loses(A);
    given.sees(A);
    assert_ne!(given.world.live[&key(A)].uid, given.world.owned[&key(A)].uid);
    given.push(2);
    given.renders("web", forced(2));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {A}")]);
    let mut foreign = plan.clone();
    let live = &given.world.live[&key(A)];
    let bound = Some((live.uid.clone(), live.resource_version.clone()));
    (foreign.writes[0].verb, foreign.writes[0].precondition) = (Verb::Recreate, bound);
    assert_eq!(check(&given.world, &foreign), [Violation::PrunesUnowned(key(A))]);
}

#[test]
fn without_replace_force_recreates_nothing_and_neither_do_both_for_what_holds_others() {
    let namespace = "Namespace/prod";
    let make = |content| {
        vec![
            optional(A, content, None, Some(true)),
            optional(namespace, content, Some(true), Some(true)),
        ]
    };
    let mut given = Given::synced(make(1));
    given.push(2);
    given.renders("web", make(2));
    let mut found = given.writes("web");
    found.sort();
    assert_eq!(found, [format!("update {A}"), format!("update {namespace}")]);
}

#[test]
fn an_object_that_others_own_is_replaced_in_place() {
    let mut given = Given::app("web", auto());
    given.sees(A);
    given.renders("web", vec![optional(A, 1, Some(true), Some(true))]);
    let plan = given.plan("web");
    assert_eq!(plan.dry_runs[0].method, Method::Replace);
    let dry_run = plan.dry_runs[0].clone();
    given.previews("web", &dry_run, crate::ledger::event::Preview::Same);
    let plan = given.plan("web");
    assert_eq!((plan.writes[0].verb, plan.writes[0].method), (Verb::Adopt, Method::Replace));
    assert_eq!(said(&plan, A).status, Status::Synced);
    assert!(given.world.apps.contains_key(&name("web")));
}

/// A synced application, strict or not.
fn with_strictness(strict: &str) -> Given {
    let mut given = Given::synced(objects(&[A]));
    let mut manifest = application("web", auto());
    manifest["metadata"]["annotations"] = json!({"greffier.dev/strict": strict});
    given.redeclares(&manifest);
    given
}

/// Somebody adds a field with this manager, and the comparison finds it.
fn adds(given: &mut Given, manager: &str) {
    given.sees(A);
    let stamp = ManagerStamp {
        manager: manager.into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::default(),
    };
    let observation = given.world.live[&key(A)].seq;
    let now = "1".to_owned();
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Addition,
        fields: vec![FieldChange { path: ".data.x".into(), was: String::new(), now }],
        places: Vec::new(),
        managers: vec![stamp],
        observation,
        saved: None,
        later: None,
        mask: Digest::default(),
    });
}

#[test]
fn what_people_add_goes_where_the_application_is_strict() {
    let mut given = with_strictness("true");
    adds(&mut given, "kubectl-edit");
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.sync), (vec![format!("take over {A}")], Sync::OutOfSync));
    assert!(plan.writes[0].strict && plan.writes[0].reason.contains(".data.x by kubectl-edit"));
    answers(&mut given, ApplyNotes { surplus: true, ..ApplyNotes::default() });
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    // What was added before the apply was seen in its answer.
    let by_hand = vec![(".data.y".to_owned(), vec!["kubectl".to_owned()])];
    answers(&mut given, ApplyNotes { by_hand: by_hand.clone(), ..ApplyNotes::default() });
    assert_eq!(given.writes("web"), [format!("take over {A}")]);
    // It is done once: what cannot be taken over then is not tried for ever.
    answers(&mut given, ApplyNotes { by_hand, ..ApplyNotes::default() });
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.sync), (vec![], Sync::Synced));
}

#[test]
fn additions_stay_where_nobody_is_strict_and_where_a_program_made_them() {
    for (strict, manager) in [("false", "kubectl-edit"), ("true", "some-program")] {
        let mut given = with_strictness(strict);
        adds(&mut given, manager);
        let plan = given.plan("web");
        assert_eq!((writes(&plan), plan.sync), (vec![], Sync::Synced), "{strict} {manager}");
        let why = format!("ADDED BY HAND: .data.x by {manager}; left as it is");
        assert_eq!(said(&plan, A).why, why);
    }
}
