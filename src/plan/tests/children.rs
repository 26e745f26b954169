//! Applications that applications define.

use serde_json::{Value, json};

use super::super::{Status, Sync};
use crate::command::tree::{Asked, Member, release_tree, roll_back_tree};
use crate::ledger::event::{
    AppHealthChangedV1, AppHoldEndedV1, AppRefusedV1, DesiredObject, FetchFailedV1, FrozenV1,
    Health, HoldEnd, Origin, PausedV1,
};
use crate::query::instant::At;
use crate::replay::testing::{
    Given, application, auto, cascading, child, hold, key, name, object, objects, said, writes,
};

const WEB: &str = "Application.argoproj.io/argocd/web";
const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn root(manifests: &[Value]) -> Given {
    let mut given = Given::app("root", auto());
    given.renders("root", manifests.iter().map(child).collect());
    given
}

#[test]
fn a_parent_defines_and_redefines_its_children() {
    let mut given = root(&[application("web", auto())]);
    let plan = given.plan("root");
    assert_eq!((plan.declare.len(), plan.writes.len(), plan.finished), (1, 0, None));
    given.syncs("root");
    assert_eq!(given.world.apps[&name("web")].origin, Origin::Parent(name("root")));
    assert_eq!(given.plan("root").sync, Sync::Synced);

    given.push(2);
    given.renders("root", vec![child(&application("web", json!({})))]);
    assert_eq!(given.plan("root").declare[0].0, name("web"));
    given.follows("root");
    assert_eq!(given.world.apps[&name("web")].spec.automated, None);
    assert_eq!(given.plan("root").declare, []);
}

#[test]
fn a_manual_or_paused_parent_defines_nothing() {
    let mut given = Given::app("root", json!({}));
    given.renders("root", vec![child(&application("web", auto()))]);
    let plan = given.plan("root");
    assert_eq!(plan.declare, []);
    assert!(said(&plan, WEB).why.contains("synced by hand"));
    given.requests("root", false, &[A]);
    assert!(said(&given.plan("root"), WEB).why.contains("asked for other objects"));
    given.requests("root", false, &[]);
    assert_eq!(given.plan("root").declare.len(), 1);
}

#[test]
fn an_observer_defines_children_to_plan_them() {
    let mut given = root(&[application("web", auto())]);
    given.starts(true);
    assert_eq!(given.plan("root").declare.len(), 1);
}

#[test]
fn a_frozen_daemon_defines_children_to_plan_them_unless_their_parent_is_paused() {
    let mut given = root(&[application("web", auto())]);
    given.event(FrozenV1 { until: None, reason: String::new() });
    assert_eq!(given.plan("root").declare.len(), 1);
    given.event(PausedV1 { app: name("root"), until: None, reason: String::new() });
    assert_eq!(given.plan("root").declare, []);
}

#[test]
fn a_restraint_of_the_parent_or_of_the_child_holds_its_definition() {
    let mut restrained = application("root", auto());
    restrained["spec"]["project"] = json!("payments");
    let mut given = Given::cluster();
    given.declares(&restrained, Origin::Config);
    given.renders("root", vec![child(&application("web", auto()))]);
    let plan = given.plan("root");
    assert_eq!((plan.declare.len(), said(&plan, WEB).status), (0, Status::Held));
    assert!(plan.suspended[0].starts_with(&format!("create {WEB}: project payments")), "{plan:?}");

    let hook = DesiredObject {
        holds: vec![hold("hook", true, true, true)],
        ..child(&application("web", auto()))
    };
    let mut given = Given::app("root", auto());
    given.renders("root", vec![hook]);
    assert_eq!(given.plan("root").declare, []);
}

#[test]
fn a_refused_child_is_not_tried_again_until_it_changes() {
    let mut given = root(&[application("web", auto())]);
    let error = "`spec.source` is missing".to_owned();
    let origin = Origin::Parent(name("root"));
    given.event(AppRefusedV1 { app: "web".into(), error: error.clone(), origin });
    let plan = given.plan("root");
    assert_eq!((plan.declare.len(), said(&plan, WEB).why.as_str()), (0, error.as_str()));
    assert!(!given.finishes("root"));
    given.push(2);
    given.renders("root", vec![child(&application("web", json!({})))]);
    assert_eq!(given.plan("root").declare.len(), 1);
}

#[test]
fn a_child_that_is_defined_elsewhere_stays_there_and_is_reported() {
    for origin in [Origin::Config, Origin::Operator, Origin::Parent(name("other"))] {
        let mut given = Given::cluster();
        given.declares(&application("other", auto()), Origin::Config);
        given.renders("other", vec![child(&application("web", json!({})))]);
        given.declares(&application("root", auto()), Origin::Config);
        given.renders("root", vec![child(&application("web", auto()))]);
        given.declares(&application("web", json!({})), origin.clone());
        let plan = given.plan("root");
        assert_eq!((plan.declare.len(), said(&plan, WEB).status), (0, Status::Foreign));
        assert_eq!(plan.sync, Sync::OutOfSync, "{origin:?}");
        // Dropping it from Git removes nothing either.
        given.push(2);
        given.renders("root", Vec::new());
        assert_eq!(given.plan("root").remove, [], "{origin:?}");
    }
}

/// Goal: an application that the configuration does not name any more is whose Git defines it.
#[test]
fn a_child_that_the_configuration_no_longer_names_is_defined_by_git() {
    let mut given = Given::cluster();
    given.declares(&application("root", auto()), Origin::Config);
    given.declares(&application("web", auto()), Origin::Config);
    given.renders("root", vec![child(&application("web", json!({})))]);
    assert_eq!(given.plan("root").declare.len(), 0);
    given.declares(&application("web", auto()), Origin::Unconfigured);
    assert_eq!(given.plan("root").declare.len(), 1);
}

#[test]
fn an_application_may_contain_itself() {
    let itself = application("root", auto());
    let mut given = root(&[itself]);
    let plan = given.plan("root");
    assert_eq!((plan.declare.len(), plan.sync), (0, Sync::Synced));
    given.renders("root", vec![child(&application("root", json!({})))]);
    assert_eq!(given.plan("root").sync, Sync::OutOfSync, "who started it decides what it is");
}

#[test]
fn a_child_that_left_git_is_removed_as_its_finalizer_says() {
    for (manifest, cascade) in
        [(application("web", auto()), false), (cascading("web", auto()), true)]
    {
        let mut given = root(&[manifest, application("api", auto()), application("etc", auto())]);
        given.syncs("root");
        for app in ["web", "api", "etc"] {
            given.renders(app, Vec::new());
        }
        given.push(2);
        let kept = ["api", "etc"].map(|name| child(&application(name, auto())));
        given.renders("root", kept.to_vec());
        assert_eq!(given.plan("root").remove, [], "not before everybody caught up");
        for app in ["web", "api"] {
            given.advances(app);
        }
        let touched = given.advances("etc");
        assert!(touched.apps.contains(&name("root")), "the last to catch up wakes the parent");
        assert_eq!(given.plan("root").remove, [(name("web"), cascade)]);
    }
}

#[test]
fn children_are_removed_only_where_pruning_is_permitted() {
    let mut given = root(&[application("web", auto())]);
    given.syncs("root");
    given.renders("web", Vec::new());
    given.redeclares(&application("root", json!({"automated": {"allowEmpty": true}})));
    given.push(2);
    given.advances("web");
    given.renders("root", Vec::new());
    let plan = given.plan("root");
    assert_eq!(plan.remove, []);
    let removed = "Application.argoproj.io/web";
    assert!(said(&plan, removed).why.contains("automated policy"), "{plan:?}");
    assert!(plan.finished.unwrap().succeeded);
}

#[test]
fn a_child_whose_manifest_forbids_its_removal_stays() {
    let mut kept = application("web", auto());
    let options = json!({"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"});
    kept["metadata"]["annotations"] = options;
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&kept), object(A, 1)]);
    given.syncs("root");
    given.renders("web", Vec::new());
    given.push(2);
    given.advances("web");
    given.renders("root", objects(&[A]));
    let plan = given.plan("root");
    assert_eq!((plan.remove.len(), plan.gate.is_none()), (0, true));
    let removed = said(&plan, "Application.argoproj.io/web");
    assert_eq!((removed.status, plan.suspended.len()), (Status::Kept, 0));
    assert!(removed.why.ends_with("annotation sync-options Prune=false"), "{}", removed.why);
    // It does not keep its parent from going either.
    given.removes("root", true, Origin::Config);
    given.syncs("root");
    assert!(!given.world.apps.contains_key(&name("root")));
    assert!(given.world.apps.contains_key(&name("web")));
}

#[test]
fn a_parent_goes_after_its_children() {
    let mut given = root(&[cascading("web", auto())]);
    given.syncs("root");
    given.renders("web", objects(&[A]));
    given.syncs("web");
    given.removes("root", true, Origin::Config);
    assert_eq!(given.plan("root").remove, [(name("web"), true)]);
    given.follows("root");
    assert!(!given.plan("root").removed);
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
    given.syncs("web");
    assert!(given.plan("root").removed);
}

#[test]
fn a_removed_child_that_comes_back_is_defined_again() {
    let mut given = root(&[cascading("web", auto())]);
    given.syncs("root");
    given.renders("web", objects(&[A]));
    given.syncs("web");
    given.removes("web", true, Origin::Operator);
    assert_eq!(given.plan("root").declare.len(), 1, "Git still has it");
    given.follows("root");
    assert_eq!(writes(&given.plan("web")), [""; 0]);
}

#[test]
fn a_parent_rests_on_the_health_of_its_children() {
    let mut given = root(&[application("web", auto())]);
    assert_eq!(given.plan("root").health, Health::Missing);
    given.syncs("root");
    let (was, now, message) = (Health::Unknown, Health::Degraded, "crash".to_owned());
    let touched = given.event(AppHealthChangedV1 { app: name("web"), was, now, message });
    assert!(touched.apps.contains(&name("root")));
    let plan = given.plan("root");
    assert_eq!((plan.health, said(&plan, WEB).health_message.as_str()), (now, "crash"));
}

#[test]
fn a_child_in_a_later_wave_waits() {
    let later = DesiredObject { wave: 1, ..child(&application("web", auto())) };
    let mut given = Given::app("root", auto());
    given.health.insert(key(A), Health::Progressing);
    given.renders("root", vec![later, object(A, 1)]);
    assert_eq!(given.plan("root").declare, []);
    given.syncs("root");
    assert!(said(&given.plan("root"), WEB).why.contains("wave 0 waits for"));
}

/// `root` and `web`, held as a tree for a minute; meanwhile a bad commit came, and Git has pinned
/// `web` away from it.
fn pinned_away() -> Given {
    let mut given = root(&[application("web", auto())]);
    while given.follows("root") {}
    given.renders("web", vec![object(A, 1)]);
    given.syncs("web");
    let then = given.world.clone();
    given.push(2);
    given.advances("root");
    given.renders("web", vec![object(A, 2)]);
    given.syncs("web");
    let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
    let until = Some(given.now().plus_ms(60_000));
    let how = Asked { to, said: String::new(), until, reason: String::new() };
    let members = Member::of(&then, "root");
    let held = roll_back_tree(&given.world, given.now(), "root", &members, &how).unwrap();
    for event in held.events {
        given.event(event);
    }
    given.syncs("web");
    given.push(3);
    let mut pinned = application("web", auto());
    pinned["spec"]["source"]["targetRevision"] = "v1".into();
    given.renders("root", vec![child(&pinned)]);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given
}

/// Goal: what a child asked for by a definition that its parent is about to replace is not written
/// any more: a release does not deploy the commit that Git has pinned the child away from, whichever
/// of both holds ends first. What others undo is put back meanwhile.
#[test]
fn nothing_new_is_written_by_a_definition_that_is_about_to_be_replaced() {
    let ends = |given: &Given, app: &str| {
        let hold = given.world.apps[&name(app)].hold.as_ref().unwrap().seq;
        AppHoldEndedV1 { app: name(app), hold, end: HoldEnd::Expired, holds: Vec::new() }
    };
    for released in [true, false] {
        let mut given = pinned_away();
        if released {
            for event in release_tree(&given.world, "root").unwrap() {
                given.event(event);
            }
        } else {
            given.after_ms(61_000);
            let end = ends(&given, "web");
            given.event(end);
        }
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [""; 0], "{plan:#?}");
        let why = "waits until application root has defined web anew";
        assert_eq!((&*said(&plan, A).why, &*said(&plan, B).why), (why, why));
        assert_eq!(plan.finished, None);
        if !released {
            let end = ends(&given, "root");
            given.event(end);
            assert_eq!(given.writes("web"), [""; 0]);
        }
        given.loses(A);
        given.follows("root");
        assert_eq!(given.world.apps[&name("web")].spec.sources[0].revision, "v1");
        // What is put back is what is in force; nothing of it that is new is written.
        assert_eq!(
            said(&given.plan("web"), B).why,
            "waits until its present definition is rendered"
        );
        assert_eq!(given.writes("web"), [""; 0]);
        given.fails_to_render("web");
        assert_eq!(given.writes("web"), [""; 0]);
        given.renders("web", vec![object(A, 1)]);
        assert_eq!(given.writes("web"), [format!("create {A}")]);
    }
}

/// Goal: a parent that may not define its child by itself does not stop it, and neither does one
/// whose definition of it was refused.
#[test]
fn a_definition_that_does_not_come_by_itself_stops_nobody() {
    for how in ["paused", "manual", "refused"] {
        let mut given = root(&[application("web", auto())]);
        while given.follows("root") {}
        given.renders("web", vec![object(A, 1)]);
        given.syncs("web");
        given.push(2);
        let mut other = application("web", auto());
        other["spec"]["source"]["path"] = "elsewhere".into();
        given.renders("root", vec![child(&other)]);
        given.renders("web", vec![object(A, 2)]);
        assert_eq!(given.writes("web"), [""; 0], "{how}");
        match how {
            "paused" => drop(given.event(PausedV1 {
                app: name("root"),
                until: None,
                reason: String::new(),
            })),
            "manual" => given.redeclares(&application("root", json!({}))),
            _ => {
                let touched = given.event(AppRefusedV1 {
                    app: "web".into(),
                    origin: Origin::Parent(name("root")),
                    error: "no".into(),
                });
                // The child is planned again, and what is below it.
                assert!(touched.all, "{touched:?}");
            }
        }
        assert_eq!(given.writes("web"), [format!("update {A}")], "{how}");
    }
}

/// A root with `mid`, which has `web` with A; all are synced at commit 1.
fn three_levels() -> Given {
    let mut given = root(&[application("mid", auto())]);
    while given.follows("root") {}
    given.renders("mid", vec![child(&application("web", auto()))]);
    while given.follows("mid") {}
    given.renders("web", objects(&[A]));
    given.syncs("web");
    assert_eq!(given.writes("web"), [""; 0]);
    given
}

/// Goal: what one push changes is not written by a definition that the same push replaces, however
/// early the child is rendered, and through three levels. It goes on once that is known, or cannot
/// be known.
#[test]
fn what_a_push_changes_waits_until_the_push_is_known_to_what_defines_it() {
    let waits =
        |parent: &str| format!("waits until application {parent}, which defines it, is rendered");
    for how in ["unchanged", "not rendered", "redefined"] {
        let mut given = three_levels();
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        let plan = given.plan("web");
        assert_eq!((writes(&plan), &plan.finished), (Vec::<String>::new(), &None), "{how}");
        assert_eq!(said(&plan, A).why, waits("mid"));
        given.advances("mid");
        assert_eq!(said(&given.plan("web"), A).why, waits("root"), "{how}");
        let touched = match how {
            "unchanged" => given.advances("root"),
            "not rendered" => given.fails_to_render("root"),
            _ => {
                let mut other = application("mid", auto());
                other["spec"]["source"]["path"] = "elsewhere".into();
                given.renders("root", vec![child(&other)])
            }
        };
        assert!(touched.all || touched.apps.contains(&name("web")), "{how}: {touched:?}");
        if how == "redefined" {
            let told = said(&given.plan("web"), A).why.clone();
            assert_eq!(told, "waits until application root has defined mid anew");
            while given.follows("root") {}
            assert_eq!(said(&given.plan("web"), A).why, waits("mid"));
            let touched = given.renders("mid", vec![child(&application("web", auto()))]);
            assert!(touched.apps.contains(&name("web")), "{touched:?}");
        }
        assert_eq!(given.writes("web"), [format!("update {A}")], "{how}");
    }
}

/// Goal: what a parent that was itself defined anew says of its child is awaited also where it
/// follows another repository, until that is known to be out of reach.
#[test]
fn a_parent_that_moves_to_another_repository_is_awaited_until_that_fails() {
    let mut given = three_levels();
    given.push(2);
    let mut other = application("mid", auto());
    other["spec"]["source"]["repoURL"] = "/srv/other.git".into();
    given.renders("root", vec![child(&other)]);
    while given.follows("root") {}
    given.renders("web", vec![object(A, 2)]);
    let why = "waits until application mid, which defines it, is rendered";
    assert_eq!(said(&given.plan("web"), A).why, why);
    let failed = FetchFailedV1 { repo: "/srv/other.git".into(), error: "not found".into() };
    let touched = given.event(failed);
    assert!(touched.all || touched.apps.contains(&name("web")), "{touched:?}");
    assert_eq!(given.writes("web"), [format!("update {A}")]);
}

/// Goal: what is undone is put back at once whatever is being rendered, and nobody waits for a
/// parent that may not define it, that is held, or that takes no part in the push.
#[test]
fn a_push_that_says_nothing_of_a_definition_stops_nobody() {
    for how in ["drift", "paused", "held", "another repository", "itself"] {
        let mut given = root(&[application("web", auto())]);
        while given.follows("root") {}
        given.renders("web", vec![object(A, 1), object(B, 1)]);
        given.syncs("web");
        let then = given.world.clone();
        match how {
            "paused" => {
                given.event(PausedV1 { app: name("root"), until: None, reason: String::new() });
            }
            "held" => drop(given.rolls_back("root", &then)),
            "another repository" => {
                let mut other = application("root", auto());
                other["spec"]["source"]["repoURL"] = "/srv/other.git".into();
                given.redeclares(&other);
            }
            "itself" => given.declares(&application("web", auto()), Origin::Parent(name("web"))),
            _ => {}
        }
        given.push(2);
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        if how == "drift" {
            given.loses(B);
            assert_eq!(given.writes("web"), [format!("create {B}")]);
        } else {
            assert_eq!(given.writes("web"), [format!("update {A}")], "{how}");
        }
    }
}

/// Goal: what Git dropped gets nothing that is new while its removal waits, not even what a release
/// lets loose; what is undone is put back. A person may ask for it, and where it stays anyway it is
/// followed as before.
#[test]
fn what_git_dropped_gets_nothing_new_while_its_removal_waits() {
    for how in ["gated", "asked for", "stays", "root prunes nothing", "root is paused"] {
        let mut web = cascading("web", auto());
        if how == "stays" {
            web["metadata"]["annotations"] =
                json!({"argocd.argoproj.io/sync-options": "Prune=false"});
        }
        let mut given = root(&[web]);
        while given.follows("root") {}
        given.renders("web", vec![object(A, 1), object(B, 1)]);
        given.syncs("web");
        given.push(2);
        given.renders("root", Vec::new());
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        match how {
            "asked for" => given.requests("web", false, &[]),
            "root prunes nothing" => {
                given.redeclares(&application("root", json!({"automated": {}})));
            }
            "root is paused" => {
                let pause = PausedV1 { app: name("root"), until: None, reason: String::new() };
                assert!(given.event(pause).all, "it may go on");
            }
            _ => {}
        }
        let plan = given.plan("web");
        if how == "gated" {
            assert!(given.plan("root").gate.is_some());
            assert_eq!(writes(&plan), [""; 0]);
            let why = "waits: application root does not define web any more";
            assert_eq!((said(&plan, A).why.as_str(), &plan.finished), (why, &None));
            given.loses(B);
            assert_eq!(given.writes("web"), [format!("create {B}")]);
        } else {
            assert_eq!(writes(&plan), [format!("update {A}")], "{how}");
        }
    }
}
