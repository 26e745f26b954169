//! Trees that go back over what was renamed.

use super::*;
use crate::query::rollback::{HoldPlan, gather_tree};

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
