//! Objects whose replicas belong to a HorizontalPodAutoscaler: neither compared nor written.

use serde_json::json;

use super::super::{Plan, Status, check, withdrawn};
use crate::ledger::event::{
    DesiredObject, DriftKind, ObjectObservedV1, Preview, ReplicasLeftV1, Verb, WatchGapV1, Write,
};
use crate::model::{GroupKind, Mask, REPLICAS};
use crate::replay::Touched;
use crate::replay::testing::{Given, auto, key, name, object, said, writes};

const WEB: &str = "Deployment.apps/prod/web";
const HPA: &str = "HorizontalPodAutoscaler.autoscaling/prod/scaler";

/// The Deployment of which Git says so many replicas, if any.
fn web(content: u64, replicas: Option<u32>) -> DesiredObject {
    DesiredObject { replicas, ..object(WEB, content) }
}

/// A synced application with a Deployment, in a cluster that has autoscalers.
fn deployed(replicas: Option<u32>) -> Given {
    let mut given = Given::app("web", auto());
    given.serves(&[GroupKind::autoscaler()]);
    given.lists_everything();
    given.renders("web", vec![web(1, replicas)]);
    given.syncs("web");
    given
}

/// An autoscaler is seen that scales `target`.
fn scales(given: &mut Given, autoscaler: &str, target: &str) -> Touched {
    let observation = given.observation(autoscaler);
    given.event(ObjectObservedV1 { scales: Some(Box::new(key(target))), ..observation })
}

/// The same, synced before it came.
fn scaled(replicas: Option<u32>) -> Given {
    let mut given = deployed(replicas);
    scales(&mut given, HPA, WEB);
    given
}

fn only_write(plan: &Plan) -> Write {
    let [write] = plan.writes.as_slice() else { panic!("{plan:#?}") };
    write.clone()
}

fn replicas() -> Mask {
    Mask::default().and(REPLICAS)
}

#[test]
fn replicas_of_a_scaled_object_are_not_compared() {
    let mut given = deployed(Some(2));
    given.sees(WEB);
    assert_eq!(given.plan("web").compare[0].mask, Mask::default());
    scales(&mut given, HPA, WEB);
    assert_eq!(given.plan("web").compare[0].mask, replicas());
    given.finds("web", WEB, DriftKind::None);
    given.follows("web");
    let plan = given.plan("web");
    let web = said(&plan, WEB);
    assert_eq!((writes(&plan).len(), web.status), (0, Status::Synced));
    assert!(web.why.contains(&format!("replicas belong to {HPA}")), "{}", web.why);
}

#[test]
fn a_drift_that_was_found_before_the_autoscaler_came_is_judged_anew() {
    let mut given = deployed(Some(2));
    given.sees(WEB);
    given.finds("web", WEB, DriftKind::Drift);
    assert_eq!(given.writes("web"), [format!("heal {WEB}")]);
    scales(&mut given, HPA, WEB);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.compare.len()), (0, 1));
}

#[test]
fn every_write_to_a_scaled_object_that_is_there_leaves_its_replicas() {
    let mut given = scaled(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(3))]);
    let update = only_write(&given.plan("web"));
    assert_eq!((update.verb, &update.respect), (Verb::Update, &replicas()));
    given.renders("web", vec![web(1, Some(2))]);
    for (kind, verb) in [(DriftKind::Drift, Verb::Heal), (DriftKind::OwnershipLost, Verb::Reclaim)]
    {
        given.sees(WEB);
        given.finds("web", WEB, kind);
        let write = only_write(&given.plan("web"));
        assert_eq!((write.verb, &write.respect), (verb, &replicas()));
    }
    // What is not there has no replicas that could be left.
    given.loses(WEB);
    let create = only_write(&given.plan("web"));
    assert_eq!((create.verb, &create.respect), (Verb::Create, &Mask::default()));
    // A plan that would set them is refused, whoever made it.
    scales(&mut given, HPA, WEB);
    given.sees(WEB);
    let mut plan = Plan { writes: vec![update], ..given.plan("web") };
    assert_eq!(check(&given.world, &plan), []);
    plan.writes[0].respect = Mask::default();
    assert_eq!(check(&given.world, &plan).len(), 1);
}

#[test]
fn only_the_object_that_is_scaled_is_left_alone() {
    let mut given = deployed(Some(2));
    scales(&mut given, HPA, "StatefulSet.apps/prod/web");
    scales(&mut given, "HorizontalPodAutoscaler.autoscaling/other/scaler", WEB);
    scales(&mut given, "ConfigMap/prod/scaler", WEB);
    // The last of an ordered range, and another kind behind it.
    scales(&mut given, "HorizontalPodAutoscaler.autoscaling/prod/zz", "Deployment.apps/prod/wet");
    given.sees(WEB);
    assert_eq!(given.plan("web").compare[0].mask, Mask::default());
    scales(&mut given, "HorizontalPodAutoscaler.autoscaling/prod/zz", WEB);
    assert_eq!(given.plan("web").compare[0].mask, replicas());
}

#[test]
fn whoever_wants_the_target_is_planned_again_when_its_autoscaler_comes_changes_or_goes() {
    let mut given = deployed(Some(2));
    assert_eq!(scales(&mut given, HPA, WEB), Touched::app(&name("web")));
    assert_eq!(scales(&mut given, HPA, WEB), Touched::nothing(), "its status moved");
    let other = "Deployment.apps/prod/other";
    assert_eq!(scales(&mut given, HPA, other), Touched::app(&name("web")));
    assert_eq!(scales(&mut given, HPA, other), Touched::nothing());
    assert_eq!(scales(&mut given, HPA, WEB), Touched::app(&name("web")));
    let uid = given.world.live[&key(HPA)].uid.clone();
    let learned = crate::ledger::event::Learned::Watched;
    let gone = crate::ledger::event::ObjectGoneV1 { key: key(HPA), uid, learned };
    assert_eq!(given.event(gone), Touched::app(&name("web")));
}

#[test]
fn the_same_object_that_scales_another_is_a_change() {
    let mut given = deployed(Some(2));
    // The answer to our own write says nothing of what it scales; its echo does.
    let seen = given.observation(HPA);
    given.event(seen.clone());
    let touched = given.event(ObjectObservedV1 { scales: Some(Box::new(key(WEB))), ..seen });
    assert_eq!(touched, Touched::app(&name("web")));
}

#[test]
fn replicas_from_git_are_healed_again_when_the_autoscaler_goes() {
    // It drifted meanwhile: that is found when it is compared again.
    let mut given = scaled(Some(2));
    given.sees(WEB);
    given.follows("web");
    assert_eq!(given.plan("web").compare, []);
    given.loses(HPA);
    assert_eq!(given.plan("web").compare[0].mask, Mask::default());
    // It was written meanwhile with the live value, which is the baseline now.
    let mut given = scaled(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(2))]);
    given.syncs("web");
    assert_eq!(given.writes("web"), [""; 0]);
    given.loses(HPA);
    let write = only_write(&given.plan("web"));
    assert_eq!((write.verb, write.respect), (Verb::Heal, Mask::default()));
    given.syncs("web");
    assert_eq!(
        (given.writes("web").len(), said(&given.plan("web"), WEB).status),
        (0, Status::Synced)
    );
}

#[test]
fn who_may_not_heal_is_told_only_when_the_replicas_differ() {
    let mut given = scaled(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(2))]);
    given.syncs("web");
    given.redeclares(&crate::replay::testing::application("web", json!({"automated": {}})));
    given.loses(HPA);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.dry_runs.len()), (0, 1));
    let asked = plan.dry_runs[0].clone();
    given.previews("web", &asked, Preview::Same);
    assert_eq!(said(&given.plan("web"), WEB).status, Status::Synced);
}

#[test]
fn replicas_that_git_does_not_name_stay_left_while_greffier_may_own_them() {
    let mut given = scaled(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(2))]);
    given.syncs("web");
    // Git follows the advice, and then the autoscaler goes: an apply without replicas would set
    // them to the default.
    given.push(3);
    given.renders("web", vec![web(3, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, replicas());
    given.syncs("web");
    given.loses(HPA);
    assert_eq!(given.writes("web"), [""; 0]);
    given.push(4);
    given.renders("web", vec![web(4, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, replicas());
    given.syncs("web");
    given.sees(WEB);
    assert_eq!(given.plan("web").compare[0].mask, replicas());
    // Git names them again: then they are Git's.
    given.push(5);
    given.renders("web", vec![web(5, Some(2))]);
    assert_eq!(only_write(&given.plan("web")).respect, Mask::default());
}

/// Goal: who brings an autoscaler takes the replicas out of the manifest in the same commit, and the
/// autoscaler is not there yet when that is written: the Deployment is not scaled to 1.
#[test]
fn replicas_that_leave_git_before_an_autoscaler_is_there_stay_as_they_are() {
    let mut given = deployed(Some(4));
    given.push(2);
    given.renders("web", vec![web(2, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, replicas());
    given.syncs("web");
    // Nobody has them from then on, until Git names them again.
    given.sees(WEB);
    assert_eq!(given.plan("web").compare[0].mask, replicas());
    given.follows("web");
    scales(&mut given, HPA, WEB);
    given.push(3);
    given.renders("web", vec![web(3, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, replicas());
    given.syncs("web");
    given.push(4);
    given.renders("web", vec![web(4, Some(2))]);
    given.loses(HPA);
    assert_eq!(only_write(&given.plan("web")).respect, Mask::default());
    // What Git never named is nobody's, and a kind of which the default is not known is as Git says.
    let mut given = deployed(None);
    given.push(2);
    given.renders("web", vec![web(2, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, Mask::default());
    let other = |content, replicas| DesiredObject {
        replicas,
        ..object("Widget.example.org/prod/web", content)
    };
    let mut given = Given::app("web", auto());
    given.serves(&[GroupKind::new("example.org", "Widget")]);
    given.lists_everything();
    given.renders("web", vec![other(1, Some(4))]);
    given.syncs("web");
    given.push(2);
    given.renders("web", vec![other(2, None)]);
    assert_eq!(only_write(&given.plan("web")).respect, Mask::default());
}

#[test]
fn nothing_is_judged_while_there_may_be_autoscalers_that_are_not_known() {
    let mut given = deployed(Some(2));
    given.sees(WEB);
    given.finds("web", WEB, DriftKind::Drift);
    given.starts(false);
    for kind in given.world.cluster.kinds.keys().cloned().collect::<Vec<_>>() {
        if kind != GroupKind::autoscaler() {
            given.lists(kind);
        }
    }
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, WEB).status), (0, Status::Unknown));
    given.lists(GroupKind::autoscaler());
    assert_eq!(given.writes("web"), [format!("heal {WEB}")]);
    // Without replicas there is nothing to wait for.
    let mut given = deployed(None);
    given.sees(WEB);
    given.finds("web", WEB, DriftKind::Drift);
    given.starts(false);
    let reason = "the server is busy".to_owned();
    given.event(WatchGapV1 { kind: GroupKind::autoscaler(), reason, refused: false });
    for kind in given.world.cluster.kinds.keys().cloned().collect::<Vec<_>>() {
        if kind != GroupKind::autoscaler() {
            given.lists(kind);
        }
    }
    assert_eq!(given.writes("web"), [format!("heal {WEB}")]);
}

#[test]
fn an_intent_that_came_before_the_autoscaler_is_withdrawn() {
    let mut given = deployed(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(2))]);
    let write = only_write(&given.plan("web"));
    assert_eq!(withdrawn(&given.world, &name("web"), &write), None);
    scales(&mut given, HPA, WEB);
    let why = withdrawn(&given.world, &name("web"), &write);
    assert_eq!(why, Some("an autoscaler scales the object now"));
}

#[test]
fn zero_replicas_that_are_not_written_are_no_deletion() {
    let mut given = scaled(Some(2));
    given.push(2);
    given.renders("web", vec![web(2, Some(0))]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.gate), (vec![format!("update {WEB}")], None));
    let app = &given.world.apps[&name("web")];
    assert!(!given.world.is_deletion(app, &plan.writes[0]));
}

#[test]
fn it_is_told_once_and_again_when_git_names_them_again() {
    let untold = |given: &Given| {
        let app = &given.world.apps[&name("web")];
        given.world.replicas_untold(app).map(|(key, by)| (key.clone(), by.clone())).next()
    };
    let mut given = deployed(Some(2));
    assert_eq!(untold(&given), None);
    scales(&mut given, HPA, WEB);
    let (target, autoscaler) = untold(&given).unwrap();
    assert_eq!((target.clone(), autoscaler.clone()), (key(WEB), key(HPA)));
    given.event(ReplicasLeftV1 { app: name("web"), key: target, autoscaler });
    assert_eq!(untold(&given), None);
    given.loses(HPA);
    scales(&mut given, HPA, WEB);
    assert_eq!(untold(&given), None, "the same again");
    given.push(2);
    given.renders("web", vec![web(2, None)]);
    assert_eq!(untold(&given), None, "Git does not name them");
    given.push(3);
    given.renders("web", vec![web(3, Some(2))]);
    assert_eq!(untold(&given), Some((key(WEB), key(HPA))));
}
