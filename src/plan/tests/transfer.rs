//! Objects that leave one application and enter another, and objects that two have at once.

use serde_json::{Value, json};

use super::super::{Status, Sync};
use crate::ledger::event::{DesiredObject, Origin, Verb};
use crate::replay::testing::{
    Given, application, auto, cascading, child, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const OF_API: &str = "ConfigMap/prod/api";

/// Two synced applications: `web` with A and B, `api` with an object of its own.
fn pair(web: &Value, api: &Value) -> Given {
    let mut given = Given::cluster();
    given.declares(web, Origin::Config);
    given.declares(api, Origin::Config);
    given.renders("web", objects(&[A, B]));
    given.renders("api", objects(&[OF_API]));
    given.syncs("web");
    given.syncs("api");
    given
}

#[test]
fn an_object_that_moves_to_a_manual_application_is_left_until_that_is_synced() {
    for first in ["web", "api"] {
        let mut given = pair(&application("web", auto()), &application("api", json!({})));
        given.push(2);
        let mut renders = [("web", objects(&[B])), ("api", objects(&[OF_API, A]))];
        renders.sort_by_key(|(app, _)| *app != first);
        for (app, objects) in renders {
            given.renders(app, objects);
            assert!(given.plan("web").writes.iter().all(|write| write.verb != Verb::Prune));
        }
        given.syncs("web");
        given.syncs("api");
        let uid = given.world.live[&key(A)].uid.clone();
        // Even when its former owner goes, with everything that is its own.
        let mut removed = given.clone();
        removed.redeclares(&cascading("web", auto()));
        removed.removes("web", true, Origin::Config);
        assert_eq!(removed.writes("web"), [format!("prune {B}")]);
        removed.syncs("web");
        assert!(!removed.world.apps.contains_key(&name("web")));
        assert_eq!(removed.world.live[&key(A)].uid, uid);
        for mut given in [given, removed] {
            given.requests("api", false, &[]);
            let plan = given.plan("api");
            assert!(plan.writes.iter().any(|write| write.key == key(A)), "{first}: {plan:#?}");
            given.syncs("api");
            let (owned, live) = (&given.world.owned[&key(A)], &given.world.live[&key(A)]);
            assert_eq!((&owned.app, &live.uid), (&name("api"), &uid), "{first}");
        }
    }
}

#[test]
fn what_a_removed_application_left_to_another_goes_when_that_drops_it_unapplied() {
    let mut given = pair(&cascading("web", auto()), &application("api", json!({})));
    given.push(2);
    given.renders("api", vec![object(OF_API, 1), object(A, 2)]);
    given.removes("web", true, Origin::Config);
    given.syncs("web");
    assert!(!given.world.apps.contains_key(&name("web")));
    assert_eq!((given.world.owned[&key(A)].app.as_str(), given.writes("api").len()), ("api", 0));
    // Applied, it is as any other.
    let mut applied = given.clone();
    applied.requests("api", false, &[A]);
    let plan = applied.plan("api");
    assert_eq!(writes(&plan), [format!("update {A}")]);
    assert_eq!(plan.writes[0].reason, "it came from an application that was removed");
    applied.syncs("api");
    assert_eq!(applied.world.owned[&key(A)].applied, object(A, 2).digest);
    // Dropped before that, it is removed as whatever leaves Git.
    given.push(3);
    given.renders("api", objects(&[OF_API]));
    assert_eq!(said(&given.plan("api"), A).status, Status::Extra);
    given.requests("api", true, &[A]);
    assert_eq!(given.writes("api"), [format!("prune {A}")]);
    given.syncs("api");
    assert!(!given.world.live.contains_key(&key(A)));
}

#[test]
fn a_move_says_where_the_object_comes_from() {
    let mut given = pair(&application("web", auto()), &application("api", auto()));
    given.push(2);
    given.renders("web", objects(&[B]));
    given.renders("api", objects(&[OF_API, A]));
    let plan = given.plan("api");
    assert_eq!(writes(&plan), [format!("update {A}")]);
    assert_eq!(plan.writes[0].reason, "it moved here from application web");
}

#[test]
fn what_is_protected_and_moves_is_transferred_too() {
    use crate::model::{Protection, Stance};
    let own = Protection { prune: Stance::Asks, delete: Stance::Stays, ..Protection::default() };
    let mut given = Given::cluster();
    given.protected.insert(key(A), own);
    given.declares(&application("web", auto()), Origin::Config);
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("web", objects(&[A, B]));
    given.renders("api", objects(&[OF_API]));
    given.syncs("web");
    given.push(2);
    given.renders("web", objects(&[B]));
    given.renders("api", objects(&[OF_API, A]));
    let plan = given.plan("web");
    assert_eq!((plan.awaits.len(), plan.gate, plan.sync), (0, None, Sync::Synced));
    given.syncs("api");
    assert_eq!(given.world.owned[&key(A)].app, name("api"));
}

#[test]
fn an_object_of_two_stays_with_the_first_and_the_second_reports_it() {
    let mut given = pair(&application("web", auto()), &application("api", auto()));
    given.push(2);
    given.renders("api", vec![object(A, 7), object(OF_API, 2)]);
    given.advances("web");
    let plan = given.plan("api");
    assert_eq!(writes(&plan), [format!("update {OF_API}")], "everything else goes on");
    assert_eq!((said(&plan, A).status, plan.sync), (Status::Foreign, Sync::OutOfSync));
    given.syncs("api");
    assert_eq!(given.plan("api").finished.map(|finished| finished.succeeded), Some(true));
    // The first goes, with or without its objects: the second takes it over.
    for cascade in [false, true] {
        let mut given = given.clone();
        given.removes("web", cascade, Origin::Config);
        given.syncs("web");
        let uid = given.world.live[&key(A)].uid.clone();
        let verb = if cascade { "update" } else { "adopt" };
        given.syncs("api");
        let owned = &given.world.owned[&key(A)];
        assert_eq!((&owned.app, owned.applied), (&name("api"), object(A, 7).digest), "{verb}");
        assert_eq!(given.world.live[&key(A)].uid, uid, "{verb}");
    }
}

#[test]
fn a_shared_object_fails_the_sync_where_the_application_says_so() {
    let mut strict = application("api", auto());
    strict["spec"]["syncPolicy"]["syncOptions"] = json!(["FailOnSharedResource=true"]);
    let mut given = pair(&application("web", auto()), &strict);
    given.push(2);
    let new = "ConfigMap/prod/new";
    given.renders("api", objects(&[A, new]));
    given.advances("web");
    let plan = given.plan("api");
    // Nothing of it is written or pruned, as in Argo CD.
    assert_eq!((writes(&plan).len(), &plan.gate), (0, &None));
    let finished = plan.finished.clone().unwrap();
    assert!(!finished.succeeded && finished.message.contains("FailOnSharedResource"));
    assert!(finished.message.contains("application web has it too"), "{}", finished.message);
    assert!(said(&plan, new).why.contains("not written"), "{plan:#?}");
    // When the first gives it up, everything goes on.
    given.push(3);
    given.renders("web", objects(&[B]));
    given.advances("api");
    let mut made = given.writes("api");
    made.sort();
    let wanted = [format!("create {new}"), format!("prune {OF_API}"), format!("update {A}")];
    assert_eq!(made, wanted);
}

// --- child applications

/// Two parents, of which `one` defines `web` with its object A.
fn parents(other: &Value) -> Given {
    let mut given = Given::cluster();
    given.declares(&application("one", auto()), Origin::Config);
    given.declares(other, Origin::Config);
    given.renders("one", vec![child(&cascading("web", auto())), object(B, 1)]);
    given.renders("two", objects(&[OF_API]));
    given.syncs("one");
    given.syncs("two");
    given.renders("web", objects(&[A]));
    given.syncs("web");
    given
}

fn moves(given: &mut Given, first: &str) {
    given.push(2);
    let with_child: Vec<DesiredObject> = vec![child(&cascading("web", auto())), object(OF_API, 1)];
    let mut renders = [("one", objects(&[B])), ("two", with_child)];
    renders.sort_by_key(|(app, _)| *app != first);
    for (app, objects) in renders {
        given.renders(app, objects);
        assert_eq!(given.plan("one").remove, []);
    }
    given.advances("web");
}

#[test]
fn a_child_that_moves_to_another_parent_keeps_its_objects() {
    for first in ["one", "two"] {
        let mut given = parents(&application("two", auto()));
        let uid = given.world.live[&key(A)].uid.clone();
        moves(&mut given, first);
        assert_eq!(given.plan("one").remove, []);
        assert_eq!(given.plan("two").declare.len(), 1);
        given.syncs("two");
        given.renders("web", objects(&[A]));
        assert_eq!(given.world.apps[&name("web")].origin, Origin::Parent(name("two")));
        given.syncs("one");
        given.syncs("web");
        assert_eq!(given.world.live[&key(A)].uid, uid, "{first}");
        assert!(!given.plan("one").objects.iter().any(|object| object.key.is_application()));
    }
}

#[test]
fn a_child_that_moves_to_a_manual_parent_stays_until_that_is_synced() {
    let mut given = parents(&application("two", json!({})));
    moves(&mut given, "one");
    let plan = given.plan("one");
    let kept = said(&plan, "Application.argoproj.io/web");
    assert_eq!((plan.remove.len(), kept.status, plan.sync), (0, Status::Kept, Sync::Synced));
    assert!(kept.why.ends_with("application two defines it now"), "{}", kept.why);
    given.requests("two", false, &[]);
    assert_eq!(given.plan("two").declare.len(), 1);
}

#[test]
fn a_child_whose_parent_is_gone_may_be_defined_by_another() {
    let mut given = parents(&application("two", auto()));
    given.removes("one", false, Origin::Config);
    assert_eq!(given.world.apps[&name("web")].origin, Origin::Parent(name("one")));
    given.push(2);
    given.renders("two", vec![child(&cascading("web", auto()))]);
    assert_eq!(given.plan("two").declare.len(), 1);
}
