//! What a person protects of an application, when its objects pass to another in Git.

use serde_json::Value;

use super::super::{Status, withdrawn};
use crate::ledger::event::{PausedV1, ResumedV1};
use crate::replay::Touched;
use crate::replay::testing::{
    Given, application, auto, cascading, child, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const C: &str = "ConfigMap/prod/c";
const D: &str = "ConfigMap/prod/d";
const E: &str = "ConfigMap/prod/e";
const WEB: &str = "Application.argoproj.io/web";

/// A root whose children do what they do by themselves: `web` with A and B and `api` with E, synced.
pub(super) fn tree(manifest: fn(&str, Value) -> Value) -> Given {
    let mut given = Given::app("root", auto());
    let children = ["web", "api"].map(|app| child(&manifest(app, auto())));
    given.renders("root", children.to_vec());
    given.syncs("root");
    given.renders("web", objects(&[A, B]));
    given.renders("api", objects(&[E]));
    given.syncs("web");
    given.syncs("api");
    given
}

/// A push renames `web` to `shop`; nothing of it is rendered yet but what the root says.
fn renames(given: &mut Given, number: u64, manifest: fn(&str, Value) -> Value) {
    given.push(number);
    let mut shop = manifest("shop", auto());
    shop["spec"]["source"]["path"] = "web".into();
    given.renders("root", vec![child(&manifest("api", auto())), child(&shop)]);
    given.follows("root");
    given.advances("api");
}

fn pauses(given: &mut Given, app: &str) -> Touched {
    given.event(PausedV1 { app: name(app), until: None, reason: String::new() })
}

fn resumes(given: &mut Given, app: &str) -> Touched {
    given.event(ResumedV1 { app: name(app), expired: false })
}

/// Everybody does what is to be done, until nobody has anything to do.
fn settles(given: &mut Given) {
    for _ in 0..5 {
        for app in given.world.apps.keys().cloned().collect::<Vec<_>>() {
            if given.world.apps.contains_key(&app) {
                given.syncs(app.as_str());
            }
        }
    }
}

/// Goal: nobody writes over what is of a paused application, whoever has it in Git since, and whoever
/// is rendered first.
#[test]
fn what_moves_out_of_a_paused_application_waits_until_it_is_resumed() {
    for first in ["web", "api"] {
        for deleted in ["not", "before", "after"] {
            let mut given = tree(application);
            pauses(&mut given, "web");
            if deleted == "before" {
                given.loses(A);
            }
            given.push(2);
            given.advances("root");
            let mut renders = [("web", objects(&[B])), ("api", vec![object(A, 2), object(E, 1)])];
            renders.sort_by_key(|(app, _)| *app != first);
            let [former, latter] = renders;
            given.renders(former.0, former.1);
            if deleted == "after" {
                given.loses(A);
            }
            given.renders(latter.0, latter.1);
            let plan = given.plan("api");
            let how = format!("{first} is rendered first, {deleted} deleted");
            assert_eq!(writes(&plan), [""; 0], "{how}");
            let told = said(&plan, A);
            assert_eq!(told.why, "waits: application web, which has it, is paused", "{how}");
            let there = deleted == "not";
            let status = if there { Status::Changed } else { Status::Missing };
            assert_eq!((told.status, &plan.finished), (status, &None), "{how}");
            assert!(resumes(&mut given, "web").all, "whoever waits is looked at again");
            let write = if there { "update" } else { "create" };
            assert_eq!(given.writes("api"), [format!("{write} {A}")], "{how}");
            settles(&mut given);
            assert_eq!(given.world.owned[&key(A)].app, name("api"), "{how}");
        }
    }
}

/// Goal: a rename of a paused application waits for the person who paused it.
#[test]
fn a_rename_of_a_paused_application_waits_until_it_is_resumed() {
    for manifest in [application as fn(&str, Value) -> Value, cascading] {
        let mut given = tree(manifest);
        pauses(&mut given, "web");
        renames(&mut given, 2, manifest);
        given.advances("web");
        given.renders("shop", vec![object(A, 2), object(B, 1)]);
        let plan = given.plan("root");
        assert_eq!((plan.remove.len(), &plan.finished), (0, &None));
        assert_eq!(said(&plan, WEB).why, "waits until it is resumed: it is paused");
        settles(&mut given);
        assert_eq!(given.world.owned[&key(A)].applied, object(A, 1).digest);
        let uid = given.world.live[&key(A)].uid.clone();
        resumes(&mut given, "web");
        settles(&mut given);
        assert!(!given.world.apps.contains_key(&name("web")));
        let owned = &given.world.owned[&key(A)];
        assert_eq!((&owned.app, owned.applied), (&name("shop"), object(A, 2).digest));
        assert_eq!(given.world.live[&key(A)].uid, uid);
    }
}

#[test]
fn a_pause_withdraws_what_another_application_was_about_to_write() {
    let mut given = tree(application);
    given.push(2);
    given.advances("root");
    given.renders("web", objects(&[B]));
    given.renders("api", vec![object(A, 2), object(E, 1)]);
    let write = given.plan("api").writes.remove(0);
    assert_eq!(withdrawn(&given.world, &name("api"), &write), None);
    pauses(&mut given, "web");
    let why = withdrawn(&given.world, &name("api"), &write);
    assert_eq!(why, Some("the application that has the object was paused"));
}

/// `web` of the tree had C at commit 2, and was rolled back to before it; since then it is held.
fn rolled_back(manifest: fn(&str, Value) -> Value) -> Given {
    let mut given = tree(manifest);
    let then = given.world.clone();
    given.push(2);
    given.advances("root");
    given.advances("api");
    given.renders("web", objects(&[A, B, C]));
    given.syncs("web");
    given.rolls_back("web", &then);
    given.syncs("web");
    assert!(!given.world.live.contains_key(&key(C)), "the rollback removed it");
    given
}

/// Goal: what a rollback took away does not come back under another name before the release, nor what
/// is new since; and nothing else waits.
#[test]
fn a_rename_brings_back_nothing_that_a_rollback_removed_before_the_release() {
    for manifest in [application as fn(&str, Value) -> Value, cascading] {
        let mut given = rolled_back(manifest);
        let hold = given.world.apps[&name("web")].hold.as_ref().unwrap().seq;
        renames(&mut given, 3, manifest);
        let released = "waits for the release of application web: what waits for that has it";
        given.renders("shop", objects(&[A, B, C]));
        assert_eq!(said(&given.plan("shop"), C).why, released);
        given.renders("web", objects(&[A, B, C]));
        settles(&mut given);
        let plan = given.plan("shop");
        assert_eq!((writes(&plan), &plan.finished), (Vec::<String>::new(), &None));
        assert_eq!(
            (said(&plan, C).why.as_str(), said(&plan, C).status),
            (released, Status::Missing)
        );

        // What is new since may be of both, until both are rendered.
        given.push(4);
        given.advances("root");
        given.advances("api");
        given.renders("shop", objects(&[A, B, C, D, "ConfigMap/prod/own"]));
        let why = "waits until application web, which is held, is rendered";
        assert_eq!(said(&given.plan("shop"), D).why, why);
        assert!(given.renders("web", objects(&[A, B, C, D])).all);
        assert_eq!(said(&given.plan("shop"), D).why, released);
        assert_eq!(given.writes("shop"), ["create ConfigMap/prod/own"], "that is of no other");

        given.lets_go("web", hold);
        settles(&mut given);
        assert!(!given.world.apps.contains_key(&name("web")));
        for text in [C, D] {
            assert_eq!(given.world.owned[&key(text)].app, name("shop"));
            assert!(given.world.live.contains_key(&key(text)));
        }
    }
}

/// Goal: what an application applied itself is its own, and what is held is what a person asked for.
#[test]
fn what_an_application_has_itself_waits_for_no_release_of_another() {
    let mut given = tree(application);
    given.push(2);
    given.advances("root");
    given.renders("api", objects(&[C, E]));
    given.syncs("api");
    let then = given.world.clone();
    given.renders("web", objects(&[A, B, C, D]));
    given.syncs("web");
    let mut without = given.rollback("web", &then);
    without.desired.objects = objects(&[A, B]);
    given.event(without);
    given.syncs("web");
    assert!(given.world.apps[&name("web")].proposes(&key(C)));
    given.loses(C);
    assert_eq!(given.writes("api"), [format!("create {C}")]);
    // D came to `api` as well, and is held there.
    let mut with = given.rollback("api", &given.world);
    with.desired.objects = objects(&[C, D, E]);
    given.syncs("api");
    given.event(with);
    assert_eq!(given.writes("api"), [format!("create {D}")]);
}
