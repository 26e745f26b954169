//! Objects that may be on their way to an application that does not render.

use serde_json::json;

use crate::ledger::event::Origin;
use crate::plan::Status;
use crate::replay::testing::{
    Given, application, auto, cascading, child, key, name, object, objects, said,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const OF_API: &str = "ConfigMap/prod/api";

/// `web` with A and B, and `api`, synced; the next commit takes A out of `web`.
fn dropped() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&[OF_API]));
    given.syncs("api");
    given.push(2);
    given.renders("web", objects(&[B]));
    given
}

#[test]
fn what_left_waits_for_an_application_that_stopped_rendering_with_the_same_commit() {
    let mut given = dropped();
    given.fails_to_render("api");
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), said(&plan, A).status), (0, Status::Extra));
    let why = "waits: application api does not render since the commit that dropped it, and may \
               have it";
    assert_eq!(said(&plan, A).why, why);
    assert!(!given.finishes("web"), "it is told that it waits for a person");
    // A later commit that mends nothing lets nothing go either…
    given.push(3);
    given.advances("web");
    given.fails_to_render("api");
    assert_eq!(given.writes("web"), [""; 0]);
    // …one that mends it shows where the object is.
    let mut moved = given.clone();
    moved.push(4);
    moved.advances("web");
    let touched = moved.renders("api", objects(&[OF_API, A]));
    assert!(touched.all || touched.apps.contains(&name("web")), "{touched:?}");
    let uid = moved.world.live[&key(A)].uid.clone();
    moved.syncs("web");
    moved.syncs("api");
    assert_eq!(
        (&moved.world.owned[&key(A)].app, &moved.world.live[&key(A)].uid),
        (&name("api"), &uid)
    );
    // Or that it is nowhere; or the application goes, or a person knows better.
    type End = fn(&mut Given);
    let ends: [End; 4] = [
        |given| {
            given.push(4);
            given.advances("web");
            given.renders("api", objects(&[OF_API]));
        },
        |given| given.removes("api", false, Origin::Config),
        |given| given.requests("web", true, &[]),
        // Another render of `web` asks for what it asks for by itself.
        |given| {
            given.push(4);
            given.renders("web", vec![object(B, 4)]);
            given.fails_to_render("api");
        },
    ];
    for end in ends {
        let mut given = given.clone();
        end(&mut given);
        assert!(given.writes("web").contains(&format!("prune {A}")), "{:?}", given.plan("web"));
    }
}

#[test]
fn what_never_rendered_or_did_not_before_stops_nobody() {
    let mut given = Given::synced(objects(&[A, B]));
    given.declares(&application("api", auto()), Origin::Config);
    given.fails_to_render("api");
    given.push(2);
    given.renders("web", objects(&[B]));
    given.fails_to_render("api");
    assert_eq!(given.writes("web"), [format!("prune {A}")]);
}

#[test]
fn what_the_machine_spoiled_is_waited_for_and_not_for_ever() {
    let mut given = dropped();
    let mut waited = 0;
    let touched = loop {
        let touched = given.fails_to_render_by("api", true);
        if said(&given.plan("web"), A).why != "waits until application api is rendered" {
            break touched;
        }
        assert_eq!(given.writes("web"), [""; 0]);
        waited += 1;
    };
    assert_eq!(waited, 7);
    assert!(touched.apps.contains(&name("web")));
    // From here on it is like any other that does not render.
    assert!(said(&given.plan("web"), A).why.starts_with("waits: application api"));
    given.push(3);
    given.renders("web", vec![object(B, 3)]);
    for _ in 0..8 {
        given.fails_to_render_by("api", true);
    }
    assert_eq!(given.writes("web"), [format!("update {B}"), format!("prune {A}")]);
}

#[test]
fn an_application_that_leaves_git_with_its_folder_does_not_stop_its_own_removal() {
    // root defines mid, mid defines leaf; one commit deletes all of it but root.
    let (mid, leaf) = (cascading("mid", auto()), cascading("leaf", auto()));
    let mut given = Given::app("root", auto());
    given.limits.app_percent_max = 100;
    given.redeclares(&application(
        "root",
        json!({"automated": {"prune": true, "allowEmpty": true}}),
    ));
    given.renders("root", vec![child(&mid)]);
    given.declares(&mid, Origin::Parent(name("root")));
    given.renders("mid", vec![child(&leaf)]);
    given.declares(&leaf, Origin::Parent(name("mid")));
    given.renders("leaf", objects(&[A]));
    given.syncs("leaf");
    given.push(2);
    given.renders("root", Vec::new());
    given.fails_to_render("mid");
    given.fails_to_render("leaf");
    assert_eq!(given.plan("root").remove, [(name("mid"), true)]);
    given.removes("mid", true, Origin::Parent(name("root")));
    assert_eq!(given.plan("mid").remove, [(name("leaf"), true)]);
    given.removes("leaf", true, Origin::Parent(name("mid")));
    assert_eq!(given.writes("leaf"), [format!("prune {A}")]);
}

#[test]
fn what_a_removed_child_had_may_be_on_its_way_too() {
    let web = cascading("web", auto());
    let mut given = Given::app("root", json!({"automated": {"prune": true, "allowEmpty": true}}));
    given.limits.app_percent_max = 100;
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("api", objects(&[OF_API]));
    given.renders("root", vec![child(&web)]);
    given.declares(&web, Origin::Parent(name("root")));
    given.renders("web", objects(&[A]));
    for app in ["api", "web"] {
        given.syncs(app);
    }
    given.push(2);
    given.renders("root", Vec::new());
    given.advances("web");
    given.fails_to_render("api");
    assert_eq!(given.plan("root").remove, [], "its definition may be there as well");
    given.removes("web", true, Origin::Parent(name("root")));
    assert_eq!(given.writes("web"), [""; 0]);
    given.push(3);
    given.advances("root");
    given.renders("api", objects(&[OF_API, A]));
    given.syncs("web");
    assert!(given.world.live.contains_key(&key(A)));
}
