//! What is told of the removal of applications that waits for a person.

use super::*;
use crate::query::children::Passes;
use crate::query::fixture::Story;
use crate::query::plan_named;
use crate::replay::testing::{Given, application, auto, cascading, child, maps, name, object};

const LEFT: &str = "Secret/prod/left";

/// `root` has `a` with six objects and `left` with one, which it leaves behind. Then Git names `a`
/// `b`, which wants two of them, and drops `left`; that waits.
fn renamed() -> Given {
    let (a, left) = (cascading("a", auto()), application("left", auto()));
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&a), child(&left)]);
    while given.follows("root") {}
    given.renders("a", maps(6));
    given.syncs("a");
    given.renders("left", vec![object(LEFT, 1)]);
    given.syncs("left");
    given.push(2);
    given.advances("a");
    given.advances("left");
    given.renders("root", vec![child(&cascading("b", auto()))]);
    while given.follows("root") {}
    given.renders("b", maps(2));
    given.gates("root");
    given
}

/// Goal: whoever is to approve the removal of applications is told each object that goes with it,
/// passes to another or is left, as the plan tells it; and the number is of those that go.
#[test]
fn every_object_of_a_removal_that_waits_is_named() {
    let Given { world, compared, limits, .. } = renamed();
    // What nobody recorded is told without what the ledger would add.
    let ledger = Story::empty().ledger;
    let (root, app) = world.apps.get_key_value(&name("root")).unwrap();
    let named = plan_named(&world, (root, app), "").unwrap();
    let waits = waiting(&world, root, app, named).read(&ledger).unwrap();
    let objects = |range: std::ops::Range<usize>| {
        maps(range.end).split_off(range.start).into_iter().map(|object| object.key.to_string())
    };
    let passes = objects(0..2).map(|object| Passes { object, to: "b".into() });
    let gone = [
        Gone {
            app: "a".into(),
            deletes: objects(2..6).collect(),
            passes: passes.collect(),
            ..Gone::default()
        },
        Gone { app: "left".into(), leaves: vec![LEFT.into()], ..Gone::default() },
    ];
    assert_eq!(waits.gone, gone);
    let holds: Vec<_> = waits.items.iter().map(|item| (&*item.name, &*item.holds)).collect();
    assert_eq!(holds, [("a", "4 objects"), ("left", "its objects are left")]);
    // The plan says the same of what waits.
    let names = ["root".to_owned()];
    let gathered = gather(&world, &compared, &limits, &names).unwrap();
    let plan = gathered.read(&ledger).unwrap().remove(0);
    assert_eq!(plan.gone, gone);
    let gate = plan.gate.unwrap();
    assert_eq!((gate.gone, gate.items), (waits.gone, waits.items));
    ledger.shutdown();
}
