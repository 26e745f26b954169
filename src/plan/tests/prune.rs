//! What is removed, and everything that keeps an object from being removed.

use serde_json::json;

use super::super::Status;
use crate::ledger::event::{
    FetchFailedV1, IntentRecordedV1, ObjectGoneV1, Origin, RefMovedV1, Verb, WriteResult,
};
use crate::replay::testing::{
    Given, REPO, application, auto, commit, key, name, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

/// `web` had A and B applied; commit 2 drops A.
fn dropped() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.push(2);
    given.renders("web", objects(&[B]));
    given
}

/// Two synced applications: `web` with A and B, `api` with nothing yet.
fn pair() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&["ConfigMap/prod/api"]));
    given.syncs("api");
    given
}

#[test]
fn what_left_git_is_pruned_bound_to_what_was_seen() {
    let mut given = dropped();
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("prune {A}")]);
    let live = &given.world.live[&key(A)];
    let bound = (live.uid.clone(), live.resource_version.clone());
    assert_eq!(plan.writes[0].precondition, Some(bound));
    given.syncs("web");
    assert!(!given.world.owned.contains_key(&key(A)));
    assert!(given.finishes("web"));
}

#[test]
fn nothing_is_pruned_without_the_prune_flag() {
    let mut given = dropped();
    given.redeclares(&application("web", json!({"automated": {"selfHeal": true}})));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Extra));
    assert!(plan.finished.unwrap().succeeded, "left by policy");
    given.requests("web", true, &[]);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn an_object_that_greffier_did_not_apply_is_never_pruned() {
    let mut given = Given::synced(objects(&[B]));
    given.sees(A);
    given.push(2);
    given.renders("web", objects(&[A, B]));
    given.renders("web", objects(&[B]));
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn an_object_replaced_by_another_of_its_name_is_not_pruned() {
    let mut given = dropped();
    let mut replacement = given.observation(A);
    replacement.uid = "somebody else's".into();
    given.event(replacement);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Kept));
}

#[test]
fn nothing_is_pruned_while_any_render_is_pending() {
    let mut given = pair();
    given.push(2);
    given.renders("web", objects(&[B]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!(said(&plan, A).why, "waits until application api is rendered");
    assert_eq!(plan.finished, None, "the revision has not ended");
    // However the other ends, who waited for it is looked at again.
    type End = fn(&mut Given) -> crate::replay::Touched;
    let ends: [End; 2] = [
        |given| given.advances("api"),
        |given| given.renders("api", objects(&["ConfigMap/prod/api"])),
    ];
    for end in ends {
        let mut given = given.clone();
        let touched = end(&mut given);
        assert!(touched.all || touched.apps.contains(&name("web")), "{touched:?}");
        assert_eq!(given.writes("web"), [format!("prune {A}")]);
    }
}

#[test]
fn a_repository_that_was_never_fetched_is_waited_for_until_it_fails() {
    let mut given = dropped();
    let mut manifest = application("api", auto());
    manifest["spec"]["source"]["repoURL"] = json!("/srv/other.git");
    given.declares(&manifest, Origin::Config);
    assert_eq!(given.writes("web"), [""; 0], "the object may be on its way there");
    let error = "no such repository".to_owned();
    let touched = given.event(FetchFailedV1 { repo: "/srv/other.git".into(), error });
    assert!(touched.all);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn an_object_that_moves_to_another_application_is_transferred_in_either_order() {
    for first in ["web", "api"] {
        let mut given = pair();
        given.push(2);
        let mut renders = [("web", objects(&[B])), ("api", objects(&["ConfigMap/prod/api", A]))];
        renders.sort_by_key(|(app, _)| *app != first);
        for (app, objects) in renders {
            given.renders(app, objects);
            given.plan("web").writes.iter().for_each(|w| assert_ne!(w.verb, Verb::Prune));
        }
        let uid = given.world.live[&key(A)].uid.clone();
        assert_eq!(given.writes("api"), [format!("update {A}")], "{first} first");
        given.syncs("web");
        given.syncs("api");
        given.syncs("web");
        assert_eq!(given.world.owned[&key(A)].app, name("api"));
        assert_eq!(given.world.live[&key(A)].uid, uid, "it was never deleted");
        // The former owner has nothing to say any more.
        assert!(!given.plan("web").objects.iter().any(|object| object.key == key(A)));
    }
}

#[test]
fn an_object_that_another_application_wants_too_outlives_its_owner() {
    let mut given = pair();
    given.push(2);
    given.renders("api", objects(&["ConfigMap/prod/api", A]));
    given.advances("web");
    assert_eq!(said(&given.plan("api"), A).status, Status::Foreign);
    given.push(3);
    given.renders("web", objects(&[B]));
    given.advances("api");
    assert_eq!(given.writes("web"), [""; 0]);
    assert_eq!(given.writes("api"), [format!("update {A}")]);
}

#[test]
fn nothing_is_pruned_while_the_newest_revision_does_not_render() {
    let mut given = dropped();
    given.push(3);
    given.fails_to_render("web");
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert!(said(&plan, A).why.contains("web.yaml:3: bad"), "{plan:?}");
    // What is wanted is kept as it was: the last good state stays in force.
    given.loses(B);
    assert_eq!(given.writes("web"), [format!("create {B}")]);
}

#[test]
fn a_ref_that_moves_back_to_what_was_rendered_ends_the_problem() {
    let mut given = dropped();
    given.push(3);
    given.fails_to_render("web");
    given.push(2);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    // The same for a ref that was deleted and comes back.
    let deleted =
        |new| RefMovedV1 { repo: REPO.into(), name: "refs/heads/main".into(), old: None, new };
    given.event(deleted(None));
    assert!(given.world.render_pending(&given.world.apps[&name("web")]));
    given.event(deleted(Some(commit(2))));
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn a_namespace_whose_manifest_is_not_known_any_more_is_kept() {
    // A newer render is recorded between the decision and the intent: whether the namespace came
    // with an option is not known any more.
    const STAGE: &str = "Namespace/stage";
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[STAGE, A, B]));
    let decided = given.plan("web").writes;
    given.push(2);
    given.renders("web", objects(&[B]));
    given.event(IntentRecordedV1 {
        app: name("web"),
        writes: decided,
        commit: Some(commit(1)),
        timeout_ms: 10_000,
    });
    given.carries_out(given.seq());
    let plan = given.plan("web");
    assert_eq!(
        (writes(&plan), said(&plan, STAGE).status),
        (vec![format!("prune {A}")], Status::Kept)
    );
    given.push(3);
    given.renders("web", objects(&[STAGE, A, B]));
    given.syncs("web");
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn an_object_that_leaves_git_while_it_is_being_created_is_pruned_afterwards() {
    let mut given = Given::synced(objects(&[B]));
    given.push(2);
    given.renders("web", objects(&[A, B]));
    let intent = given.intends("web");
    given.push(3);
    given.renders("web", objects(&[B]));
    assert_eq!(given.writes("web"), [""; 0]);
    given.carries_out(intent);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn dependents_are_pruned_before_what_they_depend_on() {
    let texts = ["Secret/prod/s", "ConfigMap/prod/c", "Service/prod/s", "Deployment.apps/prod/d"];
    let mut given = Given::synced(objects(&texts));
    given.limits.app_percent_max = 100;
    given
        .redeclares(&application("web", json!({"automated": {"prune": true, "allowEmpty": true}})));
    given.push(2);
    given.renders("web", Vec::new());
    let mut order = texts.map(|text| format!("prune {text}"));
    order.reverse();
    assert_eq!(given.writes("web"), order);
}

#[test]
fn a_deletion_that_failed_is_no_success_and_keeps_the_request() {
    let mut given = dropped();
    given.redeclares(&application("web", json!({})));
    given.requests("web", true, &[]);
    given.tries("web", &WriteResult::Failed("conflict".into()));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), &plan.finished), (0, &None));
    assert_eq!(said(&plan, A).why, "conflict");
    given.after_ms(1_000);
    given.tries("web", &WriteResult::Refused("forbidden".into()));
    assert!(!given.finishes("web"));
}

#[test]
fn an_object_that_is_gone_already_is_forgotten() {
    let mut given = dropped();
    given.tries("web", &WriteResult::AlreadyGone);
    assert!(!given.world.live.contains_key(&key(A)) && !given.world.owned.contains_key(&key(A)));
    assert_eq!(given.writes("web"), [""; 0]);
    assert!(given.finishes("web"));
}

#[test]
fn a_deletion_says_nothing_about_a_new_object_of_the_name() {
    for result in [WriteResult::Deleted, WriteResult::AlreadyGone] {
        let mut given = dropped();
        let intent = given.intends("web");
        let mut other = given.observation(A);
        given.event(ObjectGoneV1 {
            key: key(A),
            uid: other.uid,
            learned: crate::ledger::event::Learned::Watched,
        });
        other = given.observation(A);
        given.event(other);
        given.all_end(intent, &result);
        assert!(!given.world.live[&key(A)].deleting, "{result:?}");
        assert_eq!(given.writes("web"), [""; 0], "{result:?}");
    }
}

// --- the removal of applications

#[test]
fn an_application_without_the_finalizer_leaves_its_objects() {
    let mut given = Given::synced(objects(&[A, B]));
    given.removes("web", false, Origin::Config);
    assert!(given.world.apps.is_empty() && given.world.owned.is_empty());
    assert!(given.world.live.contains_key(&key(A)));
    // Defined again without A, it takes B over and knows nothing of A.
    given.declares(&application("web", auto()), Origin::Config);
    given.renders("web", objects(&[B]));
    given.syncs("web");
    assert!(given.world.owned.contains_key(&key(B)) && !given.world.owned.contains_key(&key(A)));
}

#[test]
fn a_write_that_ends_after_the_application_is_gone_owns_nothing() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let intent = given.intends("web");
    given.removes("web", false, Origin::Config);
    given.carries_out(intent);
    assert!(given.world.owned.is_empty() && given.world.in_flight.is_empty());
}

#[test]
fn an_application_with_the_finalizer_takes_its_objects_along_whatever_its_policy() {
    for policy in [auto(), json!({}), json!({"automated": {"prune": false}})] {
        let mut given = Given::synced(objects(&[A, B, "Namespace/stage"]));
        given.redeclares(&application("web", policy.clone()));
        given.removes("web", true, Origin::Config);
        let wanted = [B, A, "Namespace/stage"].map(|text| format!("prune {text}"));
        let mut made = given.writes("web");
        made[..2].sort_by(|a, b| b.cmp(a));
        assert_eq!(made, wanted, "{policy}");
        assert!(!given.plan("web").removed);
        given.syncs("web");
        assert!(given.world.apps.is_empty() && given.world.owned.is_empty(), "{policy}");
    }
}

#[test]
fn a_removal_goes_on_while_the_newest_revision_does_not_render() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.fails_to_render("web");
    given.removes("web", true, Origin::Config);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn a_removal_ends_only_when_everything_is_gone() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", objects(&[A, B]));
    let creation = given.intends("web");
    given.removes("web", true, Origin::Config);
    let deletion = given.intends("web");
    given.all_end(deletion, &WriteResult::Deleted);
    given.loses(A);
    assert!(!given.plan("web").removed, "a creation is under way");
    given.carries_out(creation);
    given.tries("web", &WriteResult::Deleted);
    assert!(!given.plan("web").removed, "finalizers of the object may take their time");
    given.loses(B);
    assert!(given.plan("web").removed);
}

#[test]
fn an_object_of_a_removed_application_may_be_taken_over() {
    let mut given = pair();
    given.push(2);
    given.removes("web", true, Origin::Config);
    assert_eq!(given.writes("web"), [""; 0], "api is not rendered yet");
    given.renders("api", objects(&["ConfigMap/prod/api", A]));
    assert_eq!(given.writes("web"), [format!("prune {B}")]);
    assert_eq!(given.writes("api"), [format!("update {A}")]);
}

#[test]
fn an_application_defined_again_while_it_is_removed_keeps_what_is_left() {
    let mut given = Given::synced(objects(&[A, B]));
    given.removes("web", true, Origin::Config);
    given.declares(&application("web", auto()), Origin::Config);
    assert_eq!(given.writes("web"), [""; 0]);
    given.advances("web");
    assert_eq!(given.writes("web"), [""; 0]);
    assert!(given.finishes("web"));
}

#[test]
fn a_render_that_ends_after_the_removal_changes_nothing() {
    let mut given = Given::synced(objects(&[A]));
    given.removes("web", true, Origin::Config);
    given.renders("web", objects(&[A]));
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}
