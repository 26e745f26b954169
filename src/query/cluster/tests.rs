use super::*;
use crate::command::{self, Command, Decision, NotAccepted, decide};
use crate::ledger::event::ObjectObservedV1;
use crate::model::{Digest, GroupKind, Seq};
use crate::replay::testing::{Given, key, name, object, objects};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn synced() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.identified("one");
    given
}

fn accept(given: &Given, uid: &str, doubt: Seq) -> Result<Decision, command::Error> {
    let command = Command::AcceptCluster { uid: uid.into(), doubt, reason: "why not".into() };
    decide(&given.world, given.now(), &command)
}

fn accepted(given: &Given, doubt: Seq) -> ClusterAcceptedV1 {
    let uid = given.world.cluster.uid.clone();
    let Decision::Record(event) = accept(given, &uid, doubt).unwrap() else { panic!() };
    let Event::ClusterAccepted(body) = *event else { panic!("{event:?}") };
    body
}

#[test]
fn which_cluster_is_kept_is_told_and_which_were() {
    let mut given = Given::nothing();
    assert_eq!(known(&given.world), Known::default());
    given.identified("one");
    let since = given.seq();
    let told = known(&given.world);
    assert_eq!((&*told.uid, &*told.kept, told.since), ("one", "one", since.0));
    assert!(told.doubt.is_none() && told.formers.is_empty() && !told.since_at.is_empty());
    let doubt = given.replaced("two");
    let told = known(&given.world);
    assert_eq!((&*told.uid, &*told.kept), ("two", "one"));
    let seen = told.doubt.unwrap();
    assert_eq!((seen.seq, &*seen.kind), (doubt.0, "replaced"));
    given.accepts(doubt);
    let told = known(&given.world);
    let former =
        Former { uid: "one".into(), since: since.0, until: doubt.0, accepted: given.seq().0 };
    assert_eq!((&*told.kept, told.doubt, told.formers), ("two", None, vec![former]));
}

#[test]
fn what_would_follow_is_shown_without_doing_it() {
    let mut given = synced();
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let doubt = given.replaced("two");
    given.lists_everything();
    given.sees("Namespace/prod");
    // Somebody made the one that left Git there, too.
    given.sees(B);
    let (before, body) = (given.world.clone(), accepted(&given, doubt));
    let shown = accepting(given.world.clone(), &given.compared, &given.limits, &body);
    assert_eq!((shown.forgotten, &*shown.cluster.uid), (2, "two"));
    let created =
        ObjectAfter { object: A.into(), fate: "create".into(), ..shown.apps[0].objects[0].clone() };
    let objects = vec![created];
    let web = AppAfter { app: "web".into(), create: 1, objects, ..AppAfter::default() };
    assert_eq!(shown.apps, [web]);
    assert_eq!(shown.summary(), "1 to be created; nothing is removed");
    assert_eq!(given.world, before);
    // And that is what follows.
    given.event(body);
    assert_eq!(given.writes("web"), [format!("create {A}")]);
}

/// Goal: what is here all the same is told from what is not, and what greffier applied once and no
/// application wants is named: nobody removes it.
#[test]
fn what_is_here_all_the_same_and_what_stays_for_nobody_is_named() {
    let mut given = synced();
    let doubt = given.replaced("two");
    given.lists_everything();
    for text in ["Namespace/prod", A, "ConfigMap/prod/foreign"] {
        given.sees(text);
    }
    let of_a_pod = (GroupKind::new("", "Pod"), "a-pod".to_owned(), "uid-pod".to_owned());
    for (name, controller) in [("pruned", None), ("descendant", Some(of_a_pod))] {
        let seen = given.observation(&format!("ConfigMap/prod/{name}"));
        given.event(ObjectObservedV1 { owned: Some(Digest::default()), controller, ..seen });
    }
    let body = accepted(&given, doubt);
    let shown = accepting(given.world.clone(), &given.compared, &given.limits, &body);
    assert_eq!((shown.forgotten, shown.here), (2, 1), "{shown:?}");
    assert_eq!(shown.left, ["ConfigMap/prod/pruned"]);
    // What had left Git on the former cluster, and came with a replay, is nobody's.
    given.world.owned.insert(key("ConfigMap/prod/foreign"), given.world.owned[&key(A)].clone());
    let shown = accepting(given.world, &given.compared, &given.limits, &body);
    assert_eq!((shown.forgotten, shown.here), (3, 1), "{shown:?}");
    assert_eq!(shown.left, ["ConfigMap/prod/foreign", "ConfigMap/prod/pruned"]);
}

#[test]
fn what_is_there_is_compared_and_what_may_not_be_written_is_said() {
    let mut given = synced();
    let doubt = given.replaced("two");
    given.lists_everything();
    given.sees("Namespace/prod");
    given.sees(A);
    given.world.apps.get_mut(&name("web")).unwrap().spec.automated = None;
    let body = accepted(&given, doubt);
    let shown = accepting(given.world.clone(), &given.compared, &given.limits, &body);
    let web = &shown.apps[0];
    assert_eq!((web.create, web.compare, web.remove), (1, 1, 0));
    assert!(web.restrained.contains("by hand"), "{web:?}");
}

#[test]
fn what_cannot_be_accepted_is_refused_with_the_reason() {
    let mut given = synced();
    let none = accept(&given, "one", Seq(1));
    assert!(
        matches!(none, Err(command::Error::NotAccepted(NotAccepted::NoDoubt { ref kept })) if kept == "one"),
        "{none:?}"
    );
    let shown = given.replaced("two");
    let unseen = accept(&given, "two", shown);
    let Err(command::Error::NotAccepted(NotAccepted::NotSeen(why))) = unseen else {
        panic!("{unseen:?}")
    };
    assert_eq!(why, "not listed yet: ConfigMap");
    given.lists_everything();
    accepted(&given, shown);
    // It changed again.
    let now = given.replaced("three");
    given.lists_everything();
    for (uid, doubt) in [("two", shown), ("two", now), ("three", shown)] {
        let other = accept(&given, uid, doubt);
        let is = matches!(&other, Err(command::Error::NotAccepted(NotAccepted::OtherDoubt { uid, seq })) if uid == "three" && *seq == now);
        assert!(is, "{other:?}");
    }
    let error = "timeout".to_owned();
    given.event(crate::ledger::event::ClusterLostV1 { error });
    let lost = accept(&given, "three", now);
    assert!(matches!(lost, Err(command::Error::NotAccepted(NotAccepted::NotSeen(_)))), "{lost:?}");
}
