//! What the health of an application rests on.

use serde_json::json;

use super::super::Sync;
use crate::ledger::event::{
    AppHealthChangedV1, DesiredObject, FetchFailedV1, Health, Origin, Preview,
};
use crate::plan::CREATE_NAMESPACE;
use crate::replay::testing::{Given, application, auto, child, hold, key, name, object, objects};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

#[test]
fn the_order_of_health_is_that_of_argo_cd() {
    use Health::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
    let order = [Healthy, Suspended, Progressing, Missing, Degraded, Unknown];
    assert!(order.is_sorted());
    for (index, worse) in order.iter().enumerate().filter(|(_, health)| **health != Missing) {
        for better in order[..index].iter().filter(|health| **health != Missing) {
            let mut given = Given::app("web", auto());
            given.health.insert(key(A), *worse);
            given.health.insert(key(B), *better);
            given.renders("web", objects(&[A, B]));
            given.syncs("web");
            let plan = given.plan("web");
            assert_eq!(plan.health, *worse, "{worse:?} beside {better:?}");
            assert_eq!(plan.health_message, format!("{A}: as reported"));
        }
    }
}

#[test]
fn an_application_without_objects_is_healthy() {
    let mut given = Given::app("web", auto());
    assert_eq!(given.plan("web").health, Health::Unknown, "nothing is rendered yet");
    given.renders("web", Vec::new());
    assert_eq!(given.plan("web").health, Health::Healthy);
}

#[test]
fn missing_is_an_application_of_which_nothing_is_there() {
    let mut given = Given::app("web", json!({}));
    let namespace =
        DesiredObject { origin: CREATE_NAMESPACE.into(), ..object("Namespace/prod", 1) };
    given.renders("web", vec![namespace, object(A, 1), object(B, 1)]);
    let plan = given.plan("web");
    assert_eq!((plan.health, plan.sync), (Health::Missing, Sync::OutOfSync));
    assert_eq!(plan.health_message, format!("{A}: not in the cluster"));
    // That some of it is missing is what `OutOfSync` says.
    given.sees(B);
    // It was never applied: a dry run tells whether it is as Git says.
    for dry_run in given.plan("web").dry_runs {
        given.previews("web", &dry_run, Preview::Same);
    }
    let plan = given.plan("web");
    assert_eq!((plan.health, plan.sync), (Health::Healthy, Sync::OutOfSync));
}

#[test]
fn what_was_never_looked_at_is_unknown_rather_than_missing() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.starts(false);
    assert_eq!(given.plan("web").health, Health::Unknown);
    given.lists_everything();
    assert_eq!(given.plan("web").health, Health::Missing);
}

#[test]
fn hooks_do_not_count_and_what_waits_to_be_pruned_does() {
    let mut given = Given::app("web", json!({"automated": {}}));
    given.health.insert(key(A), Health::Degraded);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    let hook = DesiredObject { holds: vec![hold("hook", true, true, true)], ..object(A, 1) };
    given.push(2);
    given.renders("web", vec![hook, object(B, 1)]);
    assert_eq!(given.plan("web").health, Health::Healthy);
    given.push(3);
    given.renders("web", objects(&[B]));
    assert_eq!(given.plan("web").health, Health::Degraded, "it is there and nobody removes it");
    given.sees_deleting(A);
    assert_eq!(given.plan("web").health, Health::Healthy);
}

#[test]
fn an_application_that_defines_itself_does_not_keep_its_own_health_up() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("root", auto())), object(A, 1)]);
    given.syncs("root");
    let (was, now) = (Health::Healthy, Health::Degraded);
    given.event(AppHealthChangedV1 { app: name("root"), was, now, message: "crash".into() });
    assert_eq!(given.plan("root").health, Health::Healthy);
}

#[test]
fn a_child_that_begins_is_progressing_and_one_that_cannot_is_unknown() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("web", auto())), object(A, 1)]);
    given.syncs("root");
    let plan = given.plan("root");
    assert_eq!(plan.health, Health::Progressing);
    assert!(plan.health_message.ends_with("web: not rendered yet"), "{}", plan.health_message);
    given.fails_to_render("web");
    assert_eq!(given.plan("root").health, Health::Unknown);
}

#[test]
fn a_child_whose_repository_cannot_be_fetched_never_begins() {
    let mut given = Given::app("root", auto());
    let mut elsewhere = application("api", auto());
    elsewhere["spec"]["source"]["repoURL"] = json!("/srv/other.git");
    given.declares(&elsewhere, Origin::Parent(name("root")));
    given.renders("root", vec![child(&elsewhere), object(A, 1)]);
    assert_eq!(given.plan("root").health, Health::Progressing);
    given.event(FetchFailedV1 { repo: "/srv/other.git".into(), error: "gone".into() });
    assert_eq!(given.plan("root").health, Health::Unknown);
}
