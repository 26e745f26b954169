//! Removed applications count with what they have.

use super::*;
use crate::replay::Touched;
use crate::replay::testing::said;

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

/// Goal: what is left behind counts, because nobody has it any more; it is not said to be deleted,
/// and of several it is said how many are what.
#[test]
fn what_is_left_behind_counts_and_is_not_said_to_be_deleted() {
    let mut given = family(&["a", "b", "c"], 4, false);
    drop_children(&mut given, &["a"]);
    let left = "would remove 2 applications and leave behind 8 objects: 10 of 15 objects of root \
                (limit 50 %)";
    assert_eq!(reasons(&given.plan("root")), [left]);
    // Nor where it is too much for one commit, here and in an application that comes first.
    given.limits.all_objects_max = 9;
    let left = [
        left,
        "would remove 2 applications and leave behind 8 objects: 10 objects for one commit (limit 9)",
    ];
    assert_eq!(reasons(&given.plan("root")), left);
    given.approves("root");
    let before = given.world.live.len();
    given.syncs("root");
    assert!(!given.world.apps.contains_key(&name("b")));
    assert_eq!((given.world.live.len(), given.world.deletions.len()), (before, 0), "all stay");

    // What another one has from then on is not left behind.
    let mut given = other_name(false);
    given.follows("root");
    given.renders("b", had(2));
    let some = "would remove 1 application and leave behind 3 objects: 4 of 6 objects of root \
                (limit 50 %)";
    assert_eq!(reasons(&given.plan("root")), [some]);

    // Beside what goes with another application.
    let mut given = family(&["a", "b"], 2, false);
    let along = child(&cascading("along", auto()));
    let former = given.world.apps[&name("root")].desired.clone().unwrap().objects;
    given.renders("root", former.into_values().chain([along]).collect());
    while given.follows("root") {}
    given.renders("along", objects(&["Secret/prod/s"]));
    given.syncs("along");
    drop_children(&mut given, &["a"]);
    let both = "would delete 2 objects, remove 1 application and leave behind 2 objects: 5 of 8 \
                objects of root (limit 50 %)";
    assert_eq!(reasons(&given.plan("root")), [both]);
}

/// Goal: what another application leaves behind for the same commit is said so as well.
#[test]
fn what_other_parents_leave_behind_is_not_said_to_be_deleted() {
    let mut given = family(&["a", "b", "c"], 30, false);
    given.declares(&application("second", auto()), Origin::Config);
    let of_second = |names: &[&str]| {
        names.iter().map(|name| child(&cascading(name, auto()))).collect::<Vec<_>>()
    };
    given.renders("second", of_second(&["x", "y", "z"]));
    given.syncs("second");
    for name in ["x", "y", "z"] {
        let objects = (0..30).map(|n| object(&format!("ConfigMap/prod/{name}-{n}"), 1));
        given.renders(name, objects.collect());
        given.syncs(name);
    }
    drop_children(&mut given, &["a", "b"]);
    given.renders("second", of_second(&["x", "y"]));
    let what = "would delete 31 objects, remove 1 application and leave behind 30 objects: 62 \
                objects for one commit (limit 50)";
    assert_eq!(reasons(&given.plan("second")), [what]);
}

#[test]
fn what_comes_in_the_place_of_removed_applications_does_not_let_them_pass() {
    let mut given = family(&["a", "b", "c"], 2, true);
    drop_children(&mut given, &["a"]);
    let former = given.world.apps[&name("root")].desired.clone().unwrap().objects;
    let coming = ["d", "e"].map(|name| child(&cascading(name, auto())));
    given.renders("root", former.into_values().chain(coming).collect());
    while given.follows("root") {}
    for child in ["d", "e"] {
        let objects = (0..3).map(|n| object(&format!("ConfigMap/prod/{child}-{n}"), 1));
        given.renders(child, objects.collect());
        given.syncs(child);
    }
    let reason = ["would delete 6 of 9 objects of root (limit 50 %)"];
    assert_eq!(reasons(&given.plan("root")), reason);
}

/// `a` of three is renamed to `d`, and its objects with it.
fn renamed_with_its_objects() -> Given {
    let mut given = family(&["a", "b", "c"], 2, true);
    drop_children(&mut given, &["b", "c"]);
    let former = given.world.apps[&name("root")].desired.clone().unwrap().objects;
    let coming = [child(&cascading("d", auto()))];
    given.renders("root", former.into_values().chain(coming).collect());
    while given.follows("root") {}
    given.renders("d", objects(&["ConfigMap/prod/d-0", "ConfigMap/prod/d-1"]));
    given
}

/// The writes of an application are answered, from `refused` on with a refusal. What has to be looked
/// at again?
fn answered(given: &mut Given, app: &str, refused: usize) -> Touched {
    let intent = given.intends(app);
    let open = given.world.intents[&intent].clone();
    let mut results = Vec::new();
    for (n, (index, open)) in open.writes.iter().enumerate() {
        let result = match n < refused {
            true => given.answer(&open.write),
            false => WriteResult::Refused("by a policy".into()),
        };
        results.push((*index, result));
    }
    given.event(OutcomeRecordedV1 { app: name(app), intent, results })
}

/// What is to go of the application that has another name now, and why it does not.
fn going(given: &Given) -> (Vec<String>, String) {
    let plan = given.plan("a");
    let why = said(&plan, "ConfigMap/prod/a-0").why.clone();
    (writes(&plan), why)
}

#[test]
fn an_application_stays_until_what_comes_in_its_place_is_written() {
    let all = ["prune ConfigMap/prod/a-0", "prune ConfigMap/prod/a-1"];
    let mut given = renamed_with_its_objects();
    assert!(given.world.apps[&name("a")].removing);
    let (goes, why) = going(&given);
    assert_eq!(goes, [""; 0]);
    assert!(why.contains("it stays while ConfigMap/prod/d-0 of application d"), "{why}");

    // One of its objects is written, the other is refused.
    answered(&mut given, "d", 1);
    let (goes, why) = going(&given);
    assert_eq!(goes, [""; 0]);
    assert!(why.contains("ConfigMap/prod/d-1 of") && why.contains("by a policy"), "{why}");

    // A person may say that one of them goes.
    let mut asked = given.clone();
    asked.requests("a", true, &["ConfigMap/prod/a-1"]);
    assert_eq!(going(&asked).0, all[1..]);

    // Mended in Git, they go when that is written.
    given.push(3);
    for app in ["b", "c", "root"] {
        given.advances(app);
    }
    given.renders("d", vec![object("ConfigMap/prod/d-0", 1), object("ConfigMap/prod/d-1", 2)]);
    assert_eq!(going(&given).0, [""; 0]);
    let touched = answered(&mut given, "d", 1);
    assert!(touched.all || touched.apps.contains(&name("a")), "it waits for this");
    assert_eq!(going(&given).0, all);
}

#[test]
fn what_is_renamed_below_another_application_is_waited_for_as_well() {
    let mut given = renamed_with_its_objects();
    given.renders("d", vec![child(&cascading("leaf", auto()))]);
    while given.follows("d") {}
    assert!(going(&given).1.contains("leaf"), "{}", going(&given).1);
    given.renders("leaf", objects(&["ConfigMap/prod/leaf"]));
    let why = going(&given).1;
    assert!(why.contains("ConfigMap/prod/leaf of application leaf"), "{why}");
    let touched = answered(&mut given, "leaf", 1);
    assert!(touched.all || touched.apps.contains(&name("a")));
    assert_eq!(going(&given).0.len(), 2);
}

#[test]
fn an_application_that_is_kept_is_no_reason_to_count_without_what_comes_later() {
    let mut given = Given::app("root", auto());
    let mut kept = cascading("kept", auto());
    kept["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-options": "Prune=false"});
    given.renders("root", vec![child(&kept)]);
    given.syncs("root");
    given.push(2);
    given.renders("root", vec![child(&cascading("late", auto()))]);
    while given.follows("root") {}
    let root = &given.world.apps[&name("root")];
    assert!(given.world.apps.contains_key(&name("kept")) && root.entered_children.is_empty());
}

#[test]
fn what_renamed_applications_pass_on_still_counts() {
    let children = ["a", "b", "c"];
    let mut given = family(&children, 5, true);
    drop_children(&mut given, &[]);
    let coming = ["d", "e", "f"].map(|name| child(&cascading(name, auto())));
    given.renders("root", coming.to_vec());
    while given.follows("root") {}
    for (former, heir) in children.iter().zip(["d", "e", "f"]) {
        let objects = (0..5).map(|n| object(&format!("ConfigMap/prod/{former}-{n}"), 1));
        given.renders(heir, objects.collect());
        given.syncs(heir);
    }
    let plan = given.plan("root");
    assert_eq!((reasons(&plan), plan.remove.len()), (vec![], 3), "three names of 18");
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

/// The first `n` objects of `a`.
fn had(n: usize) -> Vec<DesiredObject> {
    (0..n).map(|n| object(&format!("ConfigMap/prod/a-{n}"), 1)).collect()
}

/// `a` with five objects, which Git names `b` with commit 2.
fn other_name(cascade: bool) -> Given {
    let mut given = family(&["a"], 5, cascade);
    given.push(2);
    let b = if cascade { cascading("b", auto()) } else { application("b", auto()) };
    given.renders("root", vec![child(&b)]);
    given.advances("a");
    given
}

#[test]
fn what_a_renamed_application_leaves_to_the_other_is_no_deletion() {
    for cascade in [true, false] {
        let mut given = other_name(cascade);
        let uid = |given: &Given, n: usize| {
            given.world.live[&key(&format!("ConfigMap/prod/a-{n}"))].uid.clone()
        };
        let uids: Vec<String> = (0..5).map(|n| uid(&given, n)).collect();
        // Before the other is rendered nothing is known, neither where it is only to be defined…
        let plan = given.plan("root");
        assert_eq!((plan.declare.len(), plan.remove.len(), plan.gate), (1, 0, None));
        given.follows("root");
        // …nor where it is.
        let plan = given.plan("root");
        assert_eq!((plan.remove.len(), plan.gate), (0, None));
        given.renders("b", had(5));
        let plan = given.plan("root");
        assert_eq!((reasons(&plan), plan.remove.len()), (vec![], 1), "cascade: {cascade}");
        for app in ["root", "a", "b", "root"] {
            given.syncs(app);
        }
        assert!(!given.world.apps.contains_key(&name("a")));
        let now: Vec<String> = (0..5).map(|n| uid(&given, n)).collect();
        assert_eq!(now, uids, "cascade: {cascade}");
        assert!(given.world.owned.values().all(|owned| owned.app == name("b")));
        assert_eq!((given.world.owned.len(), given.world.deletions.len()), (5, 0));
    }
}

#[test]
fn what_the_other_does_not_want_counts_and_what_it_wants_no_more_is_asked_about() {
    let mut given = other_name(true);
    given.follows("root");
    given.renders("b", had(1));
    // The application, and four of its objects.
    let what = "would delete 5 of 6 objects of root (limit 50 %)";
    assert_eq!(reasons(&given.plan("root")), [what]);
    given.approves("root");
    assert_eq!(given.plan("root").remove.len(), 1);
    given.push(3);
    given.advances("a");
    given.advances("root");
    given.renders("b", objects(&["Secret/prod/b"]));
    let plan = given.plan("root");
    let what = "would delete 6 of 6 objects of root (limit 50 %)";
    assert_eq!((reasons(&plan), plan.remove.len()), (vec![what], 0), "nobody approved all of it");
    // Of kinds that always wait, too, what the other one wants does not go.
    given.limits.kinds = vec!["ConfigMap".into()];
    given.renders("b", had(4));
    let what = "would delete ConfigMap/prod/a-4, and with it what it holds";
    assert_eq!(reasons(&given.plan("root")), [what]);
}

#[test]
fn what_goes_as_well_has_nothing_from_then_on() {
    let mut given = other_name(true);
    given.follows("root");
    given.renders("b", had(5));
    given.push(3);
    given.renders("root", objects(&["Secret/prod/own"]));
    given.advances("a");
    given.advances("b");
    let what = "would delete 7 of 7 objects of root (limit 50 %)";
    assert_eq!(reasons(&given.plan("root")), [what]);
}

#[test]
fn what_is_below_a_renamed_application_is_no_deletion_where_the_other_defines_it() {
    let mut given = family(&["middle"], 0, true);
    let leaf = child(&cascading("leaf", auto()));
    given.renders("middle", vec![leaf.clone()]);
    given.syncs("middle");
    given.renders("leaf", had(5));
    given.syncs("leaf");
    given.push(2);
    given.renders("root", vec![child(&cascading("other", auto()))]);
    given.follows("root");
    given.advances("middle");
    given.advances("leaf");
    for (renders, asked) in [
        (vec![leaf], vec![]),
        (objects(&["Secret/prod/s"]), vec!["would delete 7 of 7 objects of root (limit 50 %)"]),
    ] {
        let mut given = given.clone();
        given.renders("other", renders);
        let plan = given.plan("root");
        assert_eq!((reasons(&plan), plan.remove.len()), (asked.clone(), 1 - asked.len()));
    }
}

/// Goal: what was not counted, because another application has it, is judged by that one as soon
/// as the removal has begun, however long it takes.
#[test]
fn what_is_passed_on_does_not_go_with_the_removed_application_later() {
    let mut given = other_name(true);
    given.follows("root");
    given.renders("b", had(4));
    given.event(PausedV1 { app: name("b"), until: None, reason: String::new() });
    assert_eq!(reasons(&given.plan("root")), [""; 0], "two of six");
    given.follows("root");
    let counted: u32 = given.world.deletions.values().map(|(_, count)| count).sum();
    assert_eq!(counted, 1);
    given.push(3);
    given.advances("root");
    given.renders("b", had(0));
    assert_eq!(given.writes("a"), ["prune ConfigMap/prod/a-4"]);
    assert_eq!(given.writes("b"), [""; 0], "it is paused");
}
