//! Trees that go back and are released.

use serde_json::Value;

use super::*;
use crate::ledger::event::{DesiredObject, Verb};
use crate::model::Seq;
use crate::plan::Status;
use crate::query::children::gone;
use crate::replay::testing::{
    Given, application, auto, cascading, child, maps, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn asked(then: &World) -> Asked {
    let to = At { seq: then.seq, time: then.now, timed: false, what: String::new() };
    Asked { to, said: "then".into(), until: None, reason: "incident".into() }
}

/// `root` with the child `one`; later `one` is gone and `two` is there. With the world between.
fn moved_on() -> (Given, World) {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("one", auto()))]);
    while given.follows("root") {}
    given.renders("one", vec![object(A, 1)]);
    given.syncs("one");
    let then = given.world.clone();
    given.push(2);
    given.renders("root", vec![child(&application("two", auto()))]);
    given.advances("one");
    while given.follows("root") {}
    given.renders("two", vec![object(B, 2)]);
    while given.follows("root") {}
    assert!(!given.world.apps.contains_key(&name("one")), "it is removed");
    given.syncs("two");
    (given, then)
}

fn rolls_back(given: &mut Given, then: &World) -> Vec<&'static str> {
    let members = Member::of(then, "root");
    let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked(then));
    let kinds = tree.as_ref().unwrap().events.iter().map(Event::name).collect();
    for event in tree.unwrap().events {
        given.event(event);
    }
    kinds
}

/// Goal: a child that is gone is defined and held again in the same batch, one that was not
/// there goes, and the release brings Git's tree back.
#[test]
fn a_tree_goes_back_with_the_children_that_it_had_and_the_release_brings_gits() {
    let (mut given, then) = moved_on();
    let kinds = rolls_back(&mut given, &then);
    assert_eq!(kinds, ["hold.app-begun", "app.declared", "hold.app-begun"]);
    let one = &given.world.apps[&name("one")];
    assert_eq!(one.hold.as_ref().unwrap().tree, Some(name("root")));
    assert!(one.wants(&A.parse().unwrap()));
    // Git does not have its folder any more.
    given.fails_to_render("one");
    let plan = given.plan("root");
    assert_eq!(plan.remove.iter().map(|(app, _)| app.as_str()).collect::<Vec<_>>(), ["two"]);
    assert!(plan.declare.is_empty(), "it is as the held render defines it: {plan:?}");
    while given.follows("root") {}
    // Git goes on with another tree, and nothing of it takes force.
    given.push(3);
    given.renders("root", vec![child(&application("three", auto()))]);
    given.renders("one", vec![object(A, 3)]);
    while given.follows("root") {}
    assert!(!given.world.apps.contains_key(&name("three")));
    let one = given.world.apps[&name("one")].desired.as_ref().unwrap();
    assert_eq!(one.objects[&A.parse().unwrap()].digest, object(A, 1).digest);

    for event in release_tree(&given.world, "root").unwrap() {
        given.event(event);
    }
    assert!(!given.world.apps.values().any(App::is_held));
    while given.follows("root") {}
    assert!(given.world.apps.contains_key(&name("three")));
    assert!(!given.world.apps.contains_key(&name("one")), "Git does not have it");
    let nothing = release_tree(&given.world, "root");
    assert!(matches!(nothing, Err(Error::NothingHeld(_))), "{nothing:?}");
}

/// Goal: what Git says as it was is held too, for the next push may change it.
#[test]
fn a_member_that_is_as_it_was_is_held_with_the_others_and_does_not_end_by_itself() {
    let mut given = Given::app("root", auto());
    let web = application("web", auto());
    given.renders("root", vec![child(&web), object(B, 1)]);
    while given.follows("root") {}
    given.renders("web", vec![object(A, 1)]);
    given.syncs("web");
    let then = given.world.clone();
    given.push(2);
    given.renders("root", vec![child(&web), object(B, 2)]);
    given.syncs("root");
    given.advances("web");
    rolls_back(&mut given, &then);
    let app = &given.world.apps[&name("web")];
    assert!(app.is_held() && given.world.why_hold_over(app).is_none());
    given.push(3);
    given.renders("web", vec![object(A, 3)]);
    assert_eq!(writes(&given.plan("web")), [] as [String; 0]);
    assert_eq!(said(&given.plan("web"), A).status, Status::Synced);
    // The same again is so already.
    let members = Member::of(&then, "root");
    let again = roll_back_tree(&given.world, given.now(), "root", &members, &asked(&then));
    assert_eq!(again.unwrap().events, []);
}

#[test]
fn what_cannot_be_held_says_which_and_why() {
    let (mut given, then) = moved_on();
    let refused = |given: &Given, members: &[Member], root: &str| {
        let asked = asked(&then);
        roll_back_tree(&given.world, given.now(), root, members, &asked).unwrap_err()
    };
    let members = Member::of(&then, "root");
    assert!(matches!(refused(&given, &members, "nobody"), Error::UnknownApp(_)));
    let never = Member::of(&Given::cluster().world, "root");
    assert!(matches!(refused(&given, &never, "root"), Error::NotThen { .. }));
    given.declares(&application("one", auto()), Origin::Config);
    let elsewhere = refused(&given, &members, "root");
    assert!(elsewhere.to_string().contains("`one` is defined by the configuration"));
    let past = Asked { until: Some(Timestamp(1)), ..asked(&then) };
    let past = roll_back_tree(&given.world, given.now(), "root", &members, &past);
    assert!(matches!(past, Err(Error::Past { .. })), "{past:?}");
    assert_eq!(members[0].then, Then::of(&then, "root"));
    assert_eq!(then.seq, Seq(then.seq.0));
}

const LEAF: &str = "leaf";

/// What there is of its own in the root, so that what goes is not too much of it.
fn root_with(more: &[Value]) -> Vec<DesiredObject> {
    maps(9).into_iter().chain(more.iter().map(child)).collect()
}

/// All of it comes to rest; what has to be rendered anew is as `of` says.
fn settles(given: &mut Given, of: &dyn Fn(&str) -> Vec<DesiredObject>) {
    for _ in 0..40 {
        let names: Vec<String> = given.world.apps.keys().map(ToString::to_string).collect();
        let pending = names.iter().filter(|app| {
            let app = given.world.apps.get(&name(app));
            app.is_some_and(|app| given.world.render_pending(app))
        });
        let pending: Vec<&String> = pending.collect();
        for app in &pending {
            given.renders(app, of(app));
        }
        let mut did = !pending.is_empty();
        for app in &names {
            did |= given.world.apps.contains_key(&name(app)) && given.follows(app);
        }
        if !did {
            return;
        }
    }
    panic!("it never comes to rest: {:#?}", given.plan("root"));
}

/// Root, `mid` below it, and `leaf` below that; then Git names the middle one `mid2`. With the
/// world between.
fn renamed_in_the_middle() -> (Given, World) {
    let mut given = Given::app("root", auto());
    given.renders("root", root_with(&[cascading("mid", auto())]));
    settles(&mut given, &of_git);
    let then = given.world.clone();
    given.push(2);
    given.renders("root", root_with(&[cascading("mid2", auto())]));
    settles(&mut given, &of_git);
    assert!(!given.world.apps.contains_key(&name("mid")), "{:#?}", given.plan("root"));
    (given, then)
}

fn of_git(app: &str) -> Vec<DesiredObject> {
    match app {
        "leaf" => vec![object(A, 1), object(B, 1)],
        "mid" | "mid2" => vec![child(&cascading(LEAF, auto()))],
        app => panic!("{app} is rendered by hand"),
    }
}

fn parent_and_uids(given: &Given) -> (Origin, Vec<String>) {
    let uid = |key: &str| given.world.live[&key.parse().unwrap()].uid.clone();
    (given.world.apps[&name(LEAF)].origin.clone(), [A, B].map(uid).to_vec())
}

/// Goal: what an application that goes with the rollback defines now is its former parent's
/// again, without a deletion; and the same when the tree is released.
#[test]
fn what_a_renamed_application_defines_goes_back_with_the_tree_and_keeps_its_objects() {
    let (mut given, then) = renamed_in_the_middle();
    let (origin, uids) = parent_and_uids(&given);
    assert_eq!(origin, Origin::Parent(name("mid2")));
    let kinds = rolls_back(&mut given, &then);
    let (hold, define) = ("hold.app-begun", "app.declared");
    assert_eq!(kinds, [hold, define, hold, define, hold]);
    assert_eq!(parent_and_uids(&given), (Origin::Parent(name("mid")), uids.clone()));
    let gone: Vec<_> = gone(&given.world, [&name("mid2")]);
    assert_eq!((gone[0].deletes.len(), gone[0].leaves.len()), (0, 0), "{gone:?}");
    settles(&mut given, &of_git);
    assert!(!given.world.apps.contains_key(&name("mid2")), "{:#?}", given.plan("root"));
    assert_eq!(parent_and_uids(&given), (Origin::Parent(name("mid")), uids.clone()));
    assert!(given.world.apps.values().all(App::is_held));
    // The same again defines nothing once more.
    let members = Member::of(&then, "root");
    let again = roll_back_tree(&given.world, given.now(), "root", &members, &asked(&then));
    let events = again.unwrap().events;
    assert!(!events.iter().any(|event| matches!(event, Event::AppDeclared(_))), "{events:?}");

    for event in release_tree(&given.world, "root").unwrap() {
        given.event(event);
    }
    settles(&mut given, &of_git);
    assert!(!given.world.apps.contains_key(&name("mid")), "{:#?}", given.plan("root"));
    assert_eq!(parent_and_uids(&given), (Origin::Parent(name("mid2")), uids));
    assert!(!given.world.apps.values().any(App::is_held));
    let deleted = |event: &Event| match event {
        Event::IntentRecorded(body) => body.writes.iter().any(|w| w.verb == Verb::Prune),
        _ => false,
    };
    assert!(!given.events.iter().any(|(.., event)| deleted(event)));
}

/// Goal: a part of the tree that changed hands within the tree goes back to who had it; one that
/// somebody outside of the tree has stays there, and it is said what can be done.
#[test]
fn what_another_application_of_the_tree_has_now_goes_back_and_what_is_elsewhere_is_refused() {
    let mut given = Given::app("root", auto());
    given.declares(&application("other", auto()), Origin::Config);
    given.renders("other", objects(&["Secret/prod/s"]));
    let both = ["one", "two"].map(|app| cascading(app, auto()));
    given.renders("root", root_with(&both));
    given.syncs("root");
    given.renders("one", vec![child(&cascading(LEAF, auto()))]);
    given.renders("two", objects(&["Secret/prod/t"]));
    settles(&mut given, &of_git);
    let then = given.world.clone();
    let moves = |given: &Given, heir: &str| {
        let mut given = given.clone();
        given.push(2);
        for app in ["root", "other", "two"].iter().filter(|app| **app != heir) {
            given.advances(app);
        }
        given.renders("one", objects(&["Secret/prod/u"]));
        given.renders(heir, vec![child(&cascading(LEAF, auto()))]);
        given.follows(heir);
        given.advances(LEAF);
        assert_eq!(given.world.apps[&name(LEAF)].origin, Origin::Parent(name(heir)));
        given
    };
    let mut within = moves(&given, "two");
    rolls_back(&mut within, &then);
    assert_eq!(within.world.apps[&name(LEAF)].origin, Origin::Parent(name("one")));
    let outside = moves(&given, "other");
    let members = Member::of(&then, "root");
    let refused = roll_back_tree(&outside.world, outside.now(), "root", &members, &asked(&then));
    let above = match &refused {
        Err(Error::TakenOver { above, .. }) => above,
        other => panic!("{other:?}"),
    };
    assert_eq!(*above, name("one"));
    // What both are below has it then as now.
    let part = Member::of(&then, "one");
    let of_one =
        roll_back_tree(&moves(&given, "two").world, given.now(), "one", &part, &asked(&then));
    match of_one {
        Err(Error::TakenOver { both, .. }) => assert_eq!(both, Some(name("root"))),
        other => panic!("{other:?}"),
    }
    // And so is what is of an application that itself is not to go back.
    let mut kept = within.clone();
    let mut unknown = members;
    kept.declares(&cascading(LEAF, auto()), Origin::Parent(name("two")));
    let two = unknown.iter_mut().find(|member| member.app == name("two")).unwrap();
    two.then = Then::Unknown("it is not known".into());
    let refused = roll_back_tree(&kept.world, kept.now(), "root", &unknown, &asked(&then));
    assert!(matches!(refused, Err(Error::TakenOver { .. })), "{refused:?}");
}

/// Goal: what a tree drops goes with its objects, although what came with the tree was rendered
/// by nobody since it is defined.
#[test]
fn what_a_tree_drops_does_not_wait_for_what_comes_with_it() {
    let (one, two) = (cascading("one", auto()), cascading("two", auto()));
    let mut given = Given::app("root", auto());
    given.limits.app_percent_max = 100;
    given.renders("root", vec![child(&one)]);
    while given.follows("root") {}
    given.renders("one", vec![object(A, 1)]);
    given.syncs("one");
    let then = given.world.clone();
    given.push(2);
    given.renders("root", vec![child(&two)]);
    given.advances("one");
    while given.follows("root") {}
    given.renders("two", vec![object(A, 1), object(B, 2)]);
    for app in ["root", "one", "two"] {
        given.syncs(app);
    }
    assert!(!given.world.apps.contains_key(&name("one")));
    rolls_back(&mut given, &then);
    given.fails_to_render("one");
    let one = &given.world.apps[&name("one")];
    assert!(one.newest().is_some_and(|held| held.declared != one.declared));
    // What goes waits until what comes back is written, by whoever defines it.
    for app in ["root", "one", "two"] {
        given.syncs(app);
    }
    assert!(!given.world.apps.contains_key(&name("two")), "{:#?}", given.plan("two"));
    let (a, b) = (A.parse().unwrap(), B.parse().unwrap());
    assert_eq!(given.world.owned[&a].app, name("one"));
    assert!(!given.world.live.contains_key(&b));
}

/// Goal: what Git dropped goes on going while a tree is held: what the tree has again is known,
/// whatever Git says of it.
#[test]
fn what_git_dropped_does_not_wait_for_what_a_tree_has_again() {
    let own = |content| object("ConfigMap/prod/root", content);
    let (one, two) = (cascading("one", auto()), cascading("two", auto()));
    let mut given = Given::app("root", auto());
    given.limits.app_percent_max = 100;
    given.renders("root", vec![child(&one), own(1)]);
    while given.follows("root") {}
    given.renders("one", vec![object(A, 1)]);
    given.syncs("one");
    let then = given.world.clone();
    given.push(2);
    given.renders("root", vec![child(&one), child(&two), own(2)]);
    given.advances("one");
    while given.follows("root") {}
    given.renders("two", vec![object(B, 2)]);
    given.syncs("two");
    given.push(3);
    given.renders("root", vec![own(3)]);
    for app in ["one", "two"] {
        given.advances(app);
    }
    while given.follows("root") {}
    assert!(["one", "two"].iter().all(|app| given.world.apps[&name(app)].removing));
    rolls_back(&mut given, &then);
    given.fails_to_render("one");
    assert_eq!(writes(&given.plan("two")), [format!("prune {B}")]);
    assert!(!given.world.apps[&name("one")].removing);
}

/// Goal: a child that a person has set aside keeps the definition that does so where the tree
/// goes back to before it: by the definition of then it would be synced to Git's newest.
#[test]
fn a_child_that_is_set_aside_stays_set_aside() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&application("one", auto())), object(B, 1)]);
    while given.follows("root") {}
    given.renders("one", vec![object(A, 1)]);
    given.syncs("one");
    let then = given.world.clone();
    let mut aside = application("one", auto());
    aside["metadata"]["annotations"]["argocd.argoproj.io/skip-reconcile"] = "true".into();
    given.push(2);
    given.renders("root", vec![child(&aside), object(B, 2)]);
    while given.follows("root") {}
    assert!(given.world.apps[&name("one")].spec.skip);
    let members = Member::of(&then, "root");
    let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked(&then));
    let tree = tree.unwrap();
    assert_eq!(tree.left.len(), 1, "{:?}", tree.left);
    for event in tree.events {
        given.event(event);
    }
    while given.follows("root") {}
    assert!(given.world.apps[&name("one")].spec.skip, "it is set aside as before");
    let root = given.world.apps[&name("root")].desired.as_ref().unwrap();
    assert_eq!(root.objects[&B.parse().unwrap()].digest, object(B, 1).digest);
}

mod stacked;
