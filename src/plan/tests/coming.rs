//! What comes in the place of what goes, in other applications: what goes stays until it is written.

use super::super::{Plan, Status};
use crate::ledger::event::{DesiredObject, Origin, OutcomeRecordedV1, WriteResult};
use crate::model::Protection;
use crate::replay::Touched;
use crate::replay::testing::{
    Given, auto, cascading, child, key, maps, name, object, objects, said, writes,
};

const OLD: &str = "ConfigMap/prod/old";
const NEW: &str = "ConfigMap/prod/new";

/// `parents` below `root`, of which the first has the application `a` with [`OLD`]; commit 2 is there.
fn family(parents: &[&str]) -> Given {
    let mut given = Given::app("root", auto());
    given.renders("root", parents.iter().map(|name| child(&cascading(name, auto()))).collect());
    given.syncs("root");
    for (n, parent) in parents.iter().enumerate() {
        let a = child(&cascading("a", auto()));
        let own = (0..9).map(|m| object(&format!("Secret/prod/{n}-{m}"), 1));
        given.renders(parent, own.chain((n == 0).then_some(a)).collect());
        given.syncs(parent);
    }
    given.renders("a", objects(&[OLD]));
    given.syncs("a");
    given.push(2);
    for app in ["root", "a"] {
        given.advances(app);
    }
    given
}

/// An application that is made of the files of `a`.
fn renamed(name: &str) -> DesiredObject {
    let mut manifest = cascading(name, auto());
    manifest["spec"]["source"]["path"] = "a".into();
    child(&manifest)
}

/// The same objects as before without `a`, and with `more`.
fn changes(given: &mut Given, parent: &str, more: Vec<DesiredObject>) {
    let former = given.world.apps[&name(parent)].desired.clone().unwrap().objects;
    let kept = former.into_values().filter(|object| object.key.name() != "a");
    given.renders(parent, kept.chain(more).collect());
}

/// Its writes are refused, or done. What has to be looked at again?
fn answered(given: &mut Given, app: &str, refused: Option<&str>) -> Touched {
    let intent = given.intends(app);
    let open = given.world.intents[&intent].clone();
    let mut results = Vec::new();
    for (index, open) in &open.writes {
        let result = match refused {
            Some(why) => WriteResult::Refused(why.into()),
            None => given.answer(&open.write),
        };
        results.push((*index, result));
    }
    given.event(OutcomeRecordedV1 { app: name(app), intent, results })
}

fn stays(plan: &Plan, for_what: &str) {
    let old = said(plan, OLD);
    assert_eq!((writes(plan), old.status), (Vec::new(), Status::Extra), "{plan:#?}");
    assert!(old.blocked && old.why.contains("it stays while"), "{}", old.why);
    assert!(old.why.contains(for_what), "{} for {for_what}", old.why);
}

#[test]
fn an_application_that_moves_below_another_parent_by_another_name_is_waited_for() {
    let mut given = family(&["t1", "t2"]);
    changes(&mut given, "t1", Vec::new());
    changes(&mut given, "t2", vec![renamed("b")]);
    while given.follows("t2") {}
    given.renders("b", objects(&[NEW]));
    while given.follows("t1") {}
    assert!(given.world.apps[&name("a")].removing);
    stays(&given.plan("a"), "ConfigMap/prod/new of application b");
    answered(&mut given, "b", Some("by a policy"));
    stays(&given.plan("a"), "by a policy");

    // Another name once more, with another commit, where it is now.
    given.push(3);
    for app in ["root", "t1", "b"] {
        given.advances(app);
    }
    let own = (0..9).map(|m| object(&format!("Secret/prod/1-{m}"), 1));
    given.renders("t2", own.chain([renamed("d")]).collect());
    given.follows("t2");
    given.renders("d", objects(&["ConfigMap/prod/newer"]));
    while given.follows("t2") {}
    given.follows("b");
    assert!(!given.world.apps.contains_key(&name("b")));
    stays(&given.plan("a"), "ConfigMap/prod/newer of application d");
    let touched = answered(&mut given, "d", None);
    assert!(touched.all || touched.apps.contains(&name("a")));
    assert_eq!(given.writes("a"), [format!("prune {OLD}")]);
}

#[test]
fn an_application_of_other_files_is_not_waited_for_elsewhere() {
    let mut given = family(&["t1", "t2"]);
    changes(&mut given, "t1", Vec::new());
    changes(&mut given, "t2", vec![child(&cascading("b", auto()))]);
    while given.follows("t2") {}
    given.renders("b", objects(&[NEW]));
    while given.follows("t1") {}
    answered(&mut given, "b", Some("by a policy"));
    assert_eq!(given.writes("a"), [format!("prune {OLD}")]);
}

#[test]
fn an_application_that_comes_with_another_commit_is_not_waited_for() {
    let mut given = family(&["t1", "t2"]);
    given.advances("t1");
    changes(&mut given, "t2", vec![renamed("b")]);
    while given.follows("t2") {}
    given.renders("b", objects(&[NEW]));
    answered(&mut given, "b", Some("by a policy"));
    given.push(3);
    for app in ["root", "a", "t2", "b"] {
        given.advances(app);
    }
    changes(&mut given, "t1", Vec::new());
    while given.follows("t1") {}
    assert_eq!(given.writes("a"), [format!("prune {OLD}")]);
}

#[test]
fn what_a_parent_has_itself_from_then_on_is_waited_for() {
    let mut given = family(&["t1"]);
    changes(&mut given, "t1", objects(&[NEW]));
    assert_eq!(given.plan("t1").remove, [(name("a"), true)]);
    given.removes("a", true, Origin::Parent(name("t1")));
    stays(&given.plan("a"), "ConfigMap/prod/new of application t1");
    answered(&mut given, "t1", Some("by a policy"));
    stays(&given.plan("a"), "by a policy");
    // What it had before and cannot be written now is something else.
    given.push(3);
    given.advances("root");
    let own = (0..8).map(|m| object(&format!("Secret/prod/0-{m}"), 1));
    given.renders("t1", own.chain([object("Secret/prod/0-8", 2), object(NEW, 2)]).collect());
    let intent = given.intends("t1");
    let open = given.world.intents[&intent].clone();
    let answers = open.writes.iter().map(|(index, open)| match open.write.key == key(NEW) {
        true => (*index, given.answer(&open.write)),
        false => (*index, WriteResult::Refused("by a policy".into())),
    });
    let results = answers.collect::<Vec<_>>();
    let touched = given.event(OutcomeRecordedV1 { app: name("t1"), intent, results });
    assert!(touched.all || touched.apps.contains(&name("a")));
    assert_eq!(given.writes("a"), [format!("prune {OLD}")]);
}

#[test]
fn what_an_application_leaves_to_one_below_it_is_waited_for() {
    let mut given = Given::app("root", auto());
    given.renders("root", maps(9).into_iter().chain(objects(&[OLD])).collect());
    given.syncs("root");
    given.push(2);
    given.renders("root", maps(9).into_iter().chain([child(&cascading("b", auto()))]).collect());
    given.follows("root");
    given.renders("b", objects(&[NEW]));
    stays(&given.plan("root"), "ConfigMap/prod/new of application b");
    answered(&mut given, "b", Some("by a policy"));
    let plan = given.plan("root");
    stays(&plan, "by a policy");
    assert!(said(&plan, OLD).why.contains("greffier sync root --prune --only ConfigMap/prod/old"));
    let mut asked = given.clone();
    asked.requests("root", true, &[OLD]);
    assert_eq!(asked.writes("root"), [format!("prune {OLD}")]);
    given.push(3);
    given.advances("root");
    given.renders("b", vec![object(NEW, 2)]);
    let touched = answered(&mut given, "b", None);
    assert!(touched.all || touched.apps.contains(&name("root")));
    assert_eq!(given.writes("root"), [format!("prune {OLD}")]);
}

/// Goal: a port that the old Service has and the new one waits for is given back, although what is in
/// later waves waits for the new one.
#[test]
fn what_may_be_in_the_way_of_another_application_goes_whatever_is_in_later_waves() {
    for within in [false, true] {
        let (port, late) = ("Service/prod/old", "Secret/prod/late");
        let mut given = Given::app("root", auto());
        let second = Protection { wave: 1, ..Protection::default() };
        given.protected.insert(key(OLD), second);
        let one = ["a", "c"].map(|name| child(&cascading(name, auto())));
        given.renders("root", one.to_vec());
        given.syncs("root");
        let others = (0..9).map(|m| object(&format!("Secret/prod/{m}"), 1));
        given.renders("c", others.collect());
        given.syncs("c");
        given.renders("a", objects(&[port, OLD]));
        given.syncs("a");
        given.push(2);
        for app in ["a", "c"] {
            given.advances(app);
        }
        let new = vec![object("Service/prod/new", 1), DesiredObject { wave: 1, ..object(late, 1) }];
        let app = if within {
            given.advances("root");
            given.renders("a", new);
            given.limits.app_objects_min = 99;
            "a"
        } else {
            let now = ["b", "c"].map(|name| child(&cascading(name, auto())));
            given.renders("root", now.to_vec());
            while given.follows("root") {}
            given.renders("b", new);
            "b"
        };
        answered(&mut given, app, Some("provided port is already allocated"));
        let plan = given.plan("a");
        assert_eq!(writes(&plan), [format!("prune {port}")], "within: {within}: {plan:#?}");
        assert!(said(&plan, OLD).why.contains("it stays while Secret/prod/late"));
    }
}

/// Goal: what is remembered of what came is bounded by what is wanted.
#[test]
fn what_came_and_left_again_is_forgotten() {
    let mut given = Given::app("web", serde_json::json!({"automated": {"prune": false}}));
    given.renders("web", objects(&[OLD]));
    given.syncs("web");
    for number in 2..5 {
        given.push(number);
        given.renders("web", objects(&[&format!("ConfigMap/prod/{number}")]));
        assert_eq!(given.world.apps[&name("web")].arrival.objects.len(), 1, "{number}");
    }
}
