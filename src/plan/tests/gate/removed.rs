//! Removed applications count with what they have.

use super::*;

/// `root` has `children`, each with `size` objects of its own, all synced.
fn family(children: &[&str], size: usize, cascade: bool) -> Given {
    let manifest = |name: &str| {
        if cascade { cascading(name, auto()) } else { application(name, auto()) }
    };
    let mut given = Given::app("root", auto());
    given.renders("root", children.iter().map(|name| child(&manifest(name))).collect());
    given.syncs("root");
    for name in children {
        let objects = (0..size).map(|n| object(&format!("ConfigMap/prod/{name}-{n}"), 1));
        given.renders(name, objects.collect());
        given.syncs(name);
    }
    given
}

/// Commit 2 drops all children but `keeps`.
fn drop_children(given: &mut Given, keeps: &[&str]) {
    given.push(2);
    let apps: Vec<_> = given.world.apps.keys().map(ToString::to_string).collect();
    for app in apps.iter().filter(|app| *app != "root") {
        given.advances(app);
    }
    let former = given.world.apps[&name("root")].desired.clone().unwrap().objects;
    let kept = former.into_values().filter(|object| keeps.contains(&object.key.name()));
    given.renders("root", kept.collect());
}

#[test]
fn removed_applications_count_their_objects() {
    let mut given = family(&["a", "b", "c"], 10, true);
    drop_children(&mut given, &["a", "b"]);
    let plan = given.plan("root");
    assert_eq!((plan.gate, plan.remove.len()), (None, 1), "11 of 33");
    drop_children(&mut given, &["a"]);
    let plan = given.plan("root");
    assert_eq!(reasons(&plan), ["would delete 22 of 33 objects of root (limit 50 %)"]);
    let gate = plan.gate.unwrap();
    assert_eq!((gate.apps, plan.remove.len()), (vec![name("b"), name("c")], 0));
    given.approves("root");
    assert_eq!(given.plan("root").remove.len(), 2);
}

#[test]
fn an_approved_removal_lapses_when_the_application_grows() {
    let mut given = family(&["a", "b"], 4, true);
    drop_children(&mut given, &[]);
    given.approves("root");
    assert_eq!(given.plan("root").gate, None);
    let more = (0..5).map(|n| object(&format!("ConfigMap/prod/b-{n}"), 1));
    given.renders("b", more.collect());
    // What Git dropped grows by a person's word alone.
    given.requests("b", false, &[]);
    given.syncs("b");
    assert!(given.plan("root").gate.is_some());
}

#[test]
fn what_several_parents_remove_with_one_commit_is_counted_together() {
    let mut given = family(&["a", "b", "c"], 30, true);
    let parents = [("second", ["x", "y", "z"]), ("third", ["p", "q", "r"])];
    for (parent, children) in parents {
        given.declares(&application(parent, auto()), Origin::Config);
        given.renders(parent, children.map(|name| child(&cascading(name, auto()))).to_vec());
        given.syncs(parent);
        for name in children {
            let objects = (0..30).map(|n| object(&format!("ConfigMap/prod/{name}-{n}"), 1));
            given.renders(name, objects.collect());
            given.syncs(name);
        }
    }
    drop_children(&mut given, &["a", "b"]);
    for (parent, children) in parents {
        let kept = children[1..].iter().map(|name| child(&cascading(name, auto())));
        given.renders(parent, kept.collect());
    }
    assert_eq!(given.plan("root").gate, None);
    let what = "would delete 62 objects for one commit (limit 50)";
    assert_eq!(reasons(&given.plan("second")), [what]);
    // What waits already is not counted again.
    given.gates("second");
    assert_eq!(reasons(&given.plan("third")), [what]);
}

#[test]
fn protected_objects_of_removed_applications_count() {
    for (cascade, waits) in [(true, true), (false, false)] {
        let mut given = family(&["a", "b", "c"], 1, cascade);
        given.renders("c", objects(&[STAGE]));
        given.syncs("c");
        drop_children(&mut given, &["a", "b"]);
        let protected = reasons(&given.plan("root")).iter().any(|what| what.contains(STAGE));
        assert_eq!(protected, waits, "cascade: {cascade}");
    }
}

#[test]
fn applications_below_a_removed_one_count_too() {
    let mut given = family(&["a", "b", "middle"], 2, true);
    let leaf = child(&cascading("leaf", auto()));
    given.renders("middle", vec![leaf]);
    given.syncs("middle");
    given.renders("leaf", (0..60).map(|n| object(&format!("Secret/prod/{n}"), 1)).collect());
    given.syncs("leaf");
    given.syncs("middle");
    drop_children(&mut given, &["a", "b"]);
    let plan = given.plan("root");
    assert!(
        reasons(&plan).contains(&"would delete 62 objects for one commit (limit 50)"),
        "{:?}",
        reasons(&plan)
    );
    // Approved, everything goes without another question.
    given.approves("root");
    given.syncs("root");
    for app in ["middle", "leaf", "middle"] {
        given.syncs(app);
    }
    assert!(!given.world.apps.contains_key(&name("middle")));
    assert!(!given.world.live.keys().any(|key| key.kind() == "Secret"));
    assert!(given.world.live.contains_key(&key("ConfigMap/prod/a-0")));
}

#[test]
fn the_objects_of_a_removed_application_count_for_its_commit() {
    let mut given = family(&["a", "b", "c"], 40, true);
    drop_children(&mut given, &["a", "b"]);
    given.syncs("root");
    assert!(given.world.apps[&name("c")].removing);
    // Eleven more in a sibling make more than fifty.
    given.renders("a", (0..29).map(|n| object(&format!("ConfigMap/prod/a-{n}"), 1)).collect());
    let what = "would delete 51 objects for one commit (limit 50)";
    assert_eq!(reasons(&given.plan("a")), [what]);
    given.syncs("c");
    assert_eq!(reasons(&given.plan("a")), [what], "and count once");
}

#[test]
fn what_a_removed_application_keeps_does_not_wait() {
    let mut given = family(&["a", "b", "c"], 1, true);
    given.renders("c", vec![created_namespace(), object("ConfigMap/prod/c-0", 1)]);
    given.syncs("c");
    drop_children(&mut given, &["a", "b"]);
    let plan = given.plan("root");
    assert_eq!((reasons(&plan), plan.remove.len()), (vec![], 1));
}
