//! Trees that go back over what was renamed, and rollbacks of trees on top of each other.

use super::*;
use crate::model::ObjectKey;
use crate::query::rollback::{HoldPlan, gather_tree};
use crate::replay::testing::key;

/// The applications of a chain below the root, by their number.
const CHAIN: [&str; 3] = ["p", "m", LEAF];

/// What each application of a chain `depth` deep, which is called so, renders to at the end.
fn of_chain(depth: usize, app: &str, second: bool) -> Vec<DesiredObject> {
    let names = &CHAIN[CHAIN.len() - depth..];
    let base = app.trim_end_matches('2');
    let at = names.iter().position(|name| *name == base).unwrap();
    match names.get(at + 1) {
        Some(below) if app == base && !second => vec![child(&cascading(below, auto()))],
        Some(below) => vec![child(&cascading(&format!("{below}2"), auto()))],
        None if second => vec![object(A, 1), object(B, 1)],
        None => vec![object(A, 1)],
    }
}

/// A chain below the root, of which every application then gets another name, and the last one then
/// gets another object. With the world before.
fn renamed_all(depth: usize) -> (Given, World) {
    let top = CHAIN[CHAIN.len() - depth];
    let mut given = Given::app("root", auto());
    given.renders("root", root_with(&[cascading(top, auto())]));
    settles(&mut given, &|app| of_chain(depth, app, false));
    let then = given.world.clone();
    given.push(2);
    given.renders("root", root_with(&[cascading(&format!("{top}2"), auto())]));
    settles(&mut given, &|app| match app.ends_with('2') {
        true => of_chain(depth, app, false).into_iter().map(second_name).collect(),
        false => of_chain(depth, app, true),
    });
    given.push(3);
    given.advances("root");
    settles(&mut given, &|app| of_chain(depth, app, true));
    assert!(!given.world.apps.contains_key(&name(top)), "{:#?}", given.plan("root"));
    assert_eq!(given.world.owned[&B.parse().unwrap()].app, name("leaf2"));
    (given, then)
}

/// The same object, and of an application the one of another name.
fn second_name(object: DesiredObject) -> DesiredObject {
    match object.key.child() {
        Some(app) if !app.as_str().ends_with('2') => child(&cascading(&format!("{app}2"), auto())),
        _ => object,
    }
}

/// What is shown of each application before the tree goes back to `then`.
fn shown(given: &Given, then: &World) -> Vec<HoldPlan> {
    let members = Member::of(then, "root");
    let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked(then)).unwrap();
    let Given { world, compared, limits, .. } = given;
    let pending = gather_tree(world.clone(), compared, limits, &tree.events);
    pending.into_iter().map(|(_, pending)| pending.plan).collect()
}

fn owner(given: &Given, key: &str) -> Option<String> {
    given.world.owned.get(&key.parse().unwrap()).map(|owned| owned.app.to_string())
}

/// Goal: what came after the instant goes, as the plan says, however much of what is above it was
/// renamed: that what is held with it has it in Git, and waits for the release, keeps nothing.
#[test]
fn what_came_since_goes_although_everything_above_it_was_renamed() {
    for depth in 1..=CHAIN.len() {
        let (mut given, then) = renamed_all(depth);
        let plans = shown(&given, &then);
        let deletes = plans.iter().flat_map(|plan| &plan.gone).flat_map(|gone| &gone.deletes);
        assert_eq!(deletes.collect::<Vec<_>>(), [B], "{depth}");
        rolls_back(&mut given, &then);
        // What Git says of what is held again has the very object.
        settles(&mut given, &|app| of_chain(depth, app, true));
        assert!(given.world.apps[&name(LEAF)].proposes(&B.parse().unwrap()), "{depth}");
        assert_eq!(owner(&given, B), None, "{depth}: {:#?}", given.plan("leaf2"));
        assert_eq!(owner(&given, A).as_deref(), Some(LEAF), "{depth}");
        assert!(!given.world.apps.keys().any(|app| app.as_str().ends_with('2')), "{depth}");
    }
}

/// Goal: what stays because another application, which a person holds by itself, has it in Git says
/// how that ends.
#[test]
fn what_stays_for_what_waits_names_the_way_out() {
    let mut given = Given::app("root", auto());
    let (one, two) = (cascading("one", auto()), cascading("two", auto()));
    given.renders("root", root_with(&[one, two.clone()]));
    settles(&mut given, &|app| vec![object(if app == "one" { A } else { B }, 1)]);
    let then = given.world.clone();
    given.rolls_back("one", &then);
    given.push(2);
    given.renders("root", root_with(&[cascading("one", auto())]));
    settles(&mut given, &|_| objects(&[A, B]));
    let plan = given.plan("two");
    let why = &said(&plan, B).why;
    assert!(why.ends_with("and waits itself (greffier release one ends that)"), "{why}");
}

/// `root` with `b` (and what is above it); then Git names that `b2`, and then another revision of it
/// is bad. With the worlds between.
fn three_versions(depth: usize) -> (Given, World, World) {
    let (mut given, v1) = renamed_all(depth);
    let v2 = given.world.clone();
    given.push(4);
    given.advances("root");
    settles(&mut given, &|app| bad(depth, app));
    (given, v1, v2)
}

fn bad(depth: usize, app: &str) -> Vec<DesiredObject> {
    let objects = of_chain(depth, app, true).into_iter();
    objects.map(|it| if it.key == key(A) { object(A, 3) } else { it }).collect()
}

/// Goal: the rollback of a tree takes the place of an earlier one of it also where that had brought an
/// application back which is not there at the new instant: its hold goes with it, and what the plan
/// says is what is done.
#[test]
fn what_only_the_rollback_that_is_replaced_held_goes_with_it() {
    for depth in 1..=CHAIN.len() {
        let (mut given, v1, v2) = three_versions(depth);
        rolls_back(&mut given, &v1);
        settles(&mut given, &|app| bad(depth, app));
        assert_eq!((owner(&given, A).as_deref(), owner(&given, B)), (Some(LEAF), None));
        let plans = shown(&given, &v2);
        let top = CHAIN[CHAIN.len() - depth];
        let root = plans.iter().find(|plan| plan.app == "root").unwrap();
        let goes = format!("{top}; 1 object of it STAYS and passes to leaf2");
        assert_eq!(root.goes, [goes], "{root:#?}");
        let hold = given.world.apps[&name(top)].hold.as_ref().unwrap().seq;
        let ends = format!("hold #{hold} of {top} ends: this takes the place of what began it");
        assert!(root.notes.contains(&ends), "{:#?}", root.notes);
        assert!(plans.iter().all(|plan| plan.not_done.is_empty()), "{plans:#?}");
        rolls_back(&mut given, &v2);
        settles(&mut given, &|app| bad(depth, app));
        let all: Vec<&str> = given.world.apps.keys().map(AppName::as_str).collect();
        assert!(!all.contains(&LEAF) && all.contains(&"leaf2"), "{depth}: {all:?}");
        for text in [A, B] {
            let owned = &given.world.owned[&key(text)];
            assert_eq!((owned.app.as_str(), owned.applied), ("leaf2", object(text, 1).digest));
        }
    }
}

/// Goal: an application that somebody holds by itself, or as the root of a tree of its own, stays where
/// the tree goes back to before it: who held it releases it.
#[test]
fn what_a_person_holds_by_itself_stays_until_it_is_released() {
    for root in [None, Some(name(LEAF))] {
        let (mut given, v1, v2) = three_versions(1);
        rolls_back(&mut given, &v1);
        settles(&mut given, &|app| bad(1, app));
        given.event(AppHeldV1 { tree: root.clone(), ..given.rollback(LEAF, &v1) });
        rolls_back(&mut given, &v2);
        settles(&mut given, &|app| bad(1, app));
        assert!(given.world.apps[&name(LEAF)].is_held(), "{root:?}");
        let told =
            said(&given.plan("root"), &ObjectKey::application(&name(LEAF)).to_string()).clone();
        assert!(told.blocked && told.why.contains("waits for its release"), "{told:?}");
        // A removal that was decided before counts for nothing.
        given.removes(LEAF, true, Origin::Parent(name("root")));
        assert!(given.world.apps[&name(LEAF)].is_held(), "{root:?}");
    }
}

/// Goal: a rollback of the parent alone is no word about what a tree holds, and neither is Git's.
#[test]
fn what_a_tree_holds_stays_where_no_later_tree_has_its_parent_otherwise() {
    let (mut given, v1, v2) = three_versions(1);
    rolls_back(&mut given, &v1);
    settles(&mut given, &|app| bad(1, app));
    given.event(given.rollback("root", &v2));
    settles(&mut given, &|app| bad(1, app));
    assert!(given.world.apps[&name(LEAF)].is_held());
    let hold = given.world.apps[&name("root")].hold.as_ref().unwrap().seq;
    given.lets_go("root", hold);
    settles(&mut given, &|app| bad(1, app));
    assert!(given.world.apps[&name(LEAF)].is_held());
}
