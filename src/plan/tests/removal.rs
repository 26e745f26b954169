//! What people say about removals: options, annotations, finalizers, confirmations.

use serde_json::{Value, json};

use super::super::{Status, Sync};
use crate::ledger::event::{DesiredObject, Origin, Verb};
use crate::model::{DELETION_APPROVED, Protection, Stance, Timestamp};
use crate::replay::testing::{
    Given, application, auto, cascading, child, hold, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const C: &str = "ConfigMap/prod/c";

fn with_options(manifest: &Value, options: &[&str]) -> Value {
    let mut manifest = manifest.clone();
    manifest["spec"]["syncPolicy"]["syncOptions"] = json!(options);
    manifest
}

fn annotated(manifest: &Value, annotation: &str, value: &str) -> Value {
    let mut manifest = manifest.clone();
    manifest["metadata"]["annotations"][annotation] = json!(value);
    manifest
}

/// `web` had A, B and C applied, A with such annotations; commit 2 drops A.
fn dropped(own: Protection) -> Given {
    let mut given = Given::app("web", auto());
    given.protected.insert(key(A), own);
    given.renders("web", objects(&[A, B, C]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[B, C]));
    given
}

fn prune(stance: Stance) -> Protection {
    Protection { prune: stance, ..Protection::default() }
}

fn delete(stance: Stance) -> Protection {
    Protection { delete: stance, ..Protection::default() }
}

#[test]
fn what_prune_false_keeps_stays_and_says_so_and_returns_to_git() {
    let mut given = dropped(prune(Stance::Stays));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Kept));
    assert_eq!((plan.sync, plan.suspended.len()), (Sync::OutOfSync, 0));
    let why = "it is not in Git and stays: annotation sync-options Prune=false";
    assert_eq!(said(&plan, A).why, why);
    assert!(given.finishes("web"), "the revision ends well, as in Argo CD");
    // It is still greffier's, so that it follows Git again when it is back.
    given.push(3);
    given.renders("web", vec![object(A, 2), object(B, 1), object(C, 1)]);
    assert_eq!(given.writes("web"), [format!("update {A}")]);
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
}

#[test]
fn the_annotation_in_the_cluster_decides_whatever_was_applied() {
    // Somebody annotates the object by hand, after it left Git or before.
    let mut given = dropped(Protection::default());
    given.protected.insert(key(A), prune(Stance::Stays));
    given.sees(A);
    assert_eq!(said(&given.plan("web"), A).status, Status::Kept);
    // And takes it off again.
    given.protected.remove(&key(A));
    given.sees(A);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn the_applications_option_keeps_everything_but_what_says_otherwise() {
    let mut given = dropped(Protection::default());
    given.redeclares(&with_options(&application("web", auto()), &["Prune=false"]));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Kept));
    assert!(said(&plan, A).why.ends_with("the application's syncOption Prune=false"));
    given.protected.insert(key(A), prune(Stance::Goes));
    given.sees(A);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn what_is_extraneous_does_not_count_and_goes_only_when_asked_for() {
    let extraneous = Protection { extraneous: true, ..Protection::default() };
    let mut given = dropped(extraneous);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Extra));
    assert_eq!(plan.sync, Sync::Synced);
    assert_eq!(plan.finished.unwrap().message, "every object is as Git says");
    given.requests("web", true, &[]);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    // Kept and extraneous: nothing is said about the application at all.
    let given = dropped(Protection { extraneous: true, ..prune(Stance::Stays) });
    let plan = given.plan("web");
    assert_eq!((said(&plan, A).status, plan.sync), (Status::Kept, Sync::Synced));
}

#[test]
fn helms_keep_keeps_on_prune_and_on_removal() {
    let keep = Protection { keep: true, ..Protection::default() };
    let mut given = dropped(keep);
    assert_eq!(said(&given.plan("web"), A).status, Status::Kept);
    given.redeclares(&cascading("web", auto()));
    given.removes("web", true, Origin::Config);
    assert!(!given.writes("web").contains(&format!("prune {A}")));
    given.syncs("web");
    assert!(given.world.apps.is_empty() && given.world.live.contains_key(&key(A)));
}

#[test]
fn prune_and_delete_are_told_apart() {
    // Prune=false says nothing about the removal of the application, nor Delete=false about Git.
    let mut given = Given::app("web", auto());
    given.protected.insert(key(A), prune(Stance::Stays));
    given.protected.insert(key(B), delete(Stance::Stays));
    given.renders("web", objects(&[A, B, C]));
    given.syncs("web");
    let mut left_git = given.clone();
    left_git.push(2);
    left_git.renders("web", objects(&[C]));
    assert_eq!(left_git.writes("web"), [format!("prune {B}")]);
    given.removes("web", true, Origin::Config);
    assert_eq!(given.writes("web"), [format!("prune {A}"), format!("prune {C}")]);
    given.syncs("web");
    assert!(given.world.apps.is_empty() && given.world.owned.is_empty());
    assert!(given.world.live.contains_key(&key(B)), "it stays, and is nobody's");
}

#[test]
fn what_delete_false_keeps_does_not_keep_the_application_and_is_listed_as_left() {
    let manifest = with_options(&cascading("web", auto()), &["Delete=false"]);
    let mut given = Given::synced(objects(&[A, B]));
    given.redeclares(&manifest);
    given.protected.insert(key(B), delete(Stance::Goes));
    given.sees(B);
    given.finds("web", B, crate::ledger::event::DriftKind::None);
    given.removes("web", true, Origin::Config);
    assert_eq!(given.writes("web"), [format!("prune {B}")]);
    given.syncs("web");
    let removed = given.events.iter().rev().find_map(|(_, _, event)| match event {
        crate::ledger::event::Event::AppRemoved(body) => Some(body.clone()),
        _ => None,
    });
    assert_eq!(removed.unwrap().orphans, [key(A)]);
}

// --- confirmations

#[test]
fn what_asks_for_a_confirmation_waits_in_the_gate_until_it_is_approved() {
    let mut given = dropped(prune(Stance::Asks));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.awaits.clone()), (0, vec![key(A)]));
    let gate = plan.gate.unwrap();
    let what = format!("would delete {A}: annotation sync-options Prune=confirm");
    assert_eq!(gate.reasons[0].what, what);
    assert!(!plan.finished.unwrap().succeeded);
    given.awaits("web");
    given.approves("web");
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    given.syncs("web");
    assert!(given.world.apps[&name("web")].awaits.is_empty());
}

#[test]
fn a_confirmation_on_the_application_counts_from_when_the_deletion_was_planned() {
    let plain = application("web", auto());
    let confirmed = |at: Timestamp| annotated(&plain, DELETION_APPROVED, &at.to_string());
    let mut given = dropped(prune(Stance::Asks));
    let before = given.now();
    given.after_ms(5_000);
    // Not recorded yet: nobody can have been told.
    given.redeclares(&confirmed(given.now()));
    assert!(given.plan("web").gate.is_some());
    given.awaits("web");
    let planned = given.world.apps[&name("web")].awaits[&key(A)];
    for (at, goes) in [(before, false), (planned, true), (planned.plus_ms(60_000), true)] {
        let mut given = given.clone();
        given.redeclares(&confirmed(at));
        assert_eq!(given.writes("web").len(), usize::from(goes), "{at}");
        assert_eq!(given.plan("web").gate.is_some(), !goes, "{at}");
    }
    // People write whole seconds.
    let seconds = Timestamp::from_seconds(planned.0.div_euclid(1_000_000_000));
    given.redeclares(&confirmed(seconds));
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn what_is_planned_stays_planned_while_it_waits_for_other_things() {
    let mut given = dropped(prune(Stance::Asks));
    given.awaits("web");
    let planned = given.world.apps[&name("web")].awaits.clone();
    // A push, a render that fails, a pause, and the deletion under way.
    given.push(3);
    assert_eq!(given.plan("web").awaits, [key(A)]);
    given.fails_to_render("web");
    assert_eq!(given.plan("web").awaits, [key(A)]);
    given.push(2);
    given.approves("web");
    let intent = given.intends("web");
    assert_eq!(given.plan("web").awaits, [key(A)]);
    given.awaits("web");
    assert_eq!(given.world.apps[&name("web")].awaits, planned);
    given.carries_out(intent);
    assert_eq!(given.plan("web").awaits, []);
}

#[test]
fn only_what_is_to_go_asks() {
    let mut given = dropped(prune(Stance::Asks));
    given.redeclares(&application("web", json!({"automated": {}})));
    let plan = given.plan("web");
    assert_eq!((plan.awaits.len(), plan.gate), (0, None));
    given.requests("web", true, &[]);
    assert_eq!(given.plan("web").awaits, [key(A)]);
}

#[test]
fn an_option_asks_for_all_and_other_deletions_wait_with_them() {
    let mut given = Given::synced(objects(&[A, B, C, "ConfigMap/prod/d", "ConfigMap/prod/e"]));
    given.redeclares(&with_options(&application("web", auto()), &["Prune=confirm"]));
    given.protected.insert(key(B), prune(Stance::Goes));
    given.sees(B);
    given.push(2);
    given.renders("web", objects(&[C, "ConfigMap/prod/d", "ConfigMap/prod/e"]));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), &plan.awaits), (0, &vec![key(A)]));
    assert_eq!(plan.gate.unwrap().writes.len(), 2);
}

#[test]
fn the_removal_of_an_application_waits_for_what_asks() {
    let mut given = Given::app("web", auto());
    given.protected.insert(key(A), delete(Stance::Asks));
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    given.removes("web", true, Origin::Config);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.awaits.clone(), plan.removed), (0, vec![key(A)], false));
    let gate = plan.gate.unwrap();
    assert_eq!((gate.writes.len(), gate.reasons.len()), (2, 1), "everything waits, as in Argo CD");
    given.awaits("web");
    given.approves("web");
    assert_eq!(given.writes("web").len(), 2);
    given.syncs("web");
    assert!(given.world.apps.is_empty() && given.world.owned.is_empty());
}

#[test]
fn a_child_that_asks_waits_at_its_parent() {
    let asks =
        annotated(&application("web", auto()), "argocd.argoproj.io/sync-options", "Prune=confirm");
    let mut given = Given::app("root", auto());
    let rest = [application("api", auto()), application("etc", auto())];
    let all: Vec<DesiredObject> = [&asks, &rest[0], &rest[1]].map(child).to_vec();
    given.renders("root", all);
    given.syncs("root");
    for app in ["web", "api", "etc"] {
        given.renders(app, Vec::new());
    }
    given.push(2);
    given.renders("root", rest.iter().map(child).collect());
    for app in ["web", "api", "etc"] {
        given.advances(app);
    }
    let plan = given.plan("root");
    assert_eq!((plan.remove.len(), plan.awaits.len()), (0, 1));
    assert_eq!(plan.gate.unwrap().apps, [name("web")]);
    given.approves("root");
    assert_eq!(given.plan("root").remove, [(name("web"), false)]);
}

// --- waves

#[test]
fn the_highest_wave_goes_first_and_the_next_when_it_is_gone() {
    let wave = |wave| Protection { wave, ..Protection::default() };
    let mut given = Given::app("web", auto());
    given.protected.extend([(key(A), wave(-1)), (key(B), wave(2)), (key(C), wave(2))]);
    given.renders("web", objects(&[A, B, C]));
    given.syncs("web");
    given.removes("web", true, Origin::Config);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("prune {B}"), format!("prune {C}")]);
    assert_eq!(said(&plan, A).why, "waits until what is in wave 2 is gone");
    let intent = given.intends("web");
    given.all_end(intent, &crate::ledger::event::WriteResult::Deleted);
    given.loses(B);
    assert_eq!(given.writes("web"), [""; 0], "C is on its way");
    given.loses(C);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    given.syncs("web");
    assert!(given.world.apps.is_empty());
}

// --- finalizers, and what is left alone

#[test]
fn a_hook_that_would_have_to_run_suspends_the_removal_by_name() {
    let mut finalizer = cascading("web", auto());
    finalizer["metadata"]["finalizers"]
        .as_array_mut()
        .unwrap()
        .push(json!("pre-delete-finalizer.argocd.argoproj.io"));
    let hook = |phase: &str| DesiredObject {
        holds: vec![hold(&format!("hook {phase}"), true, true, true)],
        ..object("ConfigMap/prod/hook", 1)
    };
    let plain = cascading("web", auto());
    for (manifest, hook, what) in [
        (&finalizer, None, Some("finalizer pre-delete-finalizer.argocd.argoproj.io")),
        (&plain, Some(hook("PostDelete")), Some("hook PostDelete")),
        (&plain, Some(hook("PreSync")), None),
    ] {
        let mut given = Given::cluster();
        given.declares(manifest, Origin::Config);
        given.renders("web", objects(&[A]).into_iter().chain(hook).collect());
        given.syncs("web");
        given.removes("web", true, Origin::Config);
        let plan = given.plan("web");
        assert_eq!(writes(&plan).len(), usize::from(what.is_none()), "{what:?}");
        let Some(what) = what else { continue };
        assert!(!plan.removed && said(&plan, A).status == Status::Held);
        assert!(plan.suspended.contains(&format!("remove application web: {what}")), "{plan:?}");
    }
}

#[test]
fn an_application_that_is_skipped_is_left_alone_and_holds_nobody_up() {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&[C]));
    given.syncs("api");
    let skip = annotated(&application("web", auto()), "argocd.argoproj.io/skip-reconcile", "true");
    given.declares(&skip, Origin::Config);
    given.push(2);
    let health = given.world.apps[&name("web")].health;
    let pending = given.world.render_pending(&given.world.apps[&name("web")]);
    assert!(!pending, "it is not even rendered");
    // Neither drift nor a deletion is looked at.
    given.loses(A);
    given.sees(B);
    let plan = given.plan("web");
    assert_eq!((plan.sync, plan.objects.len(), plan.deleted.len()), (Sync::Skipped, 0, 0));
    assert_eq!((plan.writes.len(), plan.compare.len(), plan.removed), (0, 0, false));
    assert!(plan.permission.why_not.contains("skip-reconcile"));
    assert_eq!(plan.health, health, "as it was known last");
    // A request changes nothing, and others go on.
    given.requests("web", true, &[]);
    assert_eq!(given.writes("web"), [""; 0]);
    given.renders("api", objects(&["ConfigMap/prod/x"]));
    assert!(given.writes("api").contains(&format!("prune {C}")));
    // Removed with its finalizer, it waits, as in Argo CD.
    given.removes("web", true, Origin::Config);
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), plan.removed), (0, false));
    // Without the annotation it goes on where it was.
    given.declares(&application("web", auto()), Origin::Config);
    assert!(given.world.render_pending(&given.world.apps[&name("web")]));
}

#[test]
fn the_children_of_a_skipped_application_go_on() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("web", auto()))]);
    given.syncs("root");
    given.renders("web", objects(&[A]));
    let skip = annotated(&application("root", auto()), "argocd.argoproj.io/skip-reconcile", "true");
    given.declares(&skip, Origin::Config);
    assert_eq!(given.plan("root").sync, Sync::Skipped);
    assert_eq!(given.writes("web"), [format!("create {A}")]);
}

#[test]
fn a_write_that_is_recorded_as_its_application_is_skipped_is_withdrawn() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let write = given.plan("web").writes.remove(0);
    assert_eq!(super::super::withdrawn(&given.world, &name("web"), &write), None);
    let skip = annotated(&application("web", auto()), "argocd.argoproj.io/skip-reconcile", "true");
    given.declares(&skip, Origin::Config);
    assert!(super::super::withdrawn(&given.world, &name("web"), &write).is_some());
}

#[test]
fn a_deletion_that_is_recorded_as_its_object_is_protected_is_withdrawn() {
    let mut given = dropped(Protection::default());
    let write = given.plan("web").writes.remove(0);
    assert_eq!(write.verb, Verb::Prune);
    given.redeclares(&with_options(&application("web", auto()), &["Prune=false"]));
    let why = super::super::withdrawn(&given.world, &name("web"), &write);
    assert_eq!(why, Some("the object is protected now"));
}

#[test]
fn a_suspended_removal_goes_on_when_nothing_suspends_it() {
    let mut web = cascading("web", auto());
    web["spec"]["project"] = json!("payments");
    let mut given = Given::app("root", json!({"automated": {"prune": true, "allowEmpty": true}}));
    given.declares(&cascading("web", auto()), Origin::Operator);
    given.renders("web", objects(&[A]));
    given.renders("root", Vec::new());
    given.syncs("web");
    given.declares(&web, Origin::Operator);
    given.removes("web", true, Origin::Operator);
    let plan = given.plan("web");
    assert!(!plan.removed, "its objects are not given up");
    assert_eq!(plan.suspended.len(), 1, "{plan:#?}");
    given.declares(&cascading("web", auto()), Origin::Operator);
    given.removes("web", true, Origin::Operator);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}
