use super::*;
use crate::command::{self, Command, Decision, NotAccepted, decide};
use crate::ledger::event::ObjectObservedV1;
use crate::model::{Digest, GroupKind, Seq};
use crate::replay::testing::{
    Given, application, auto, cascading, child, key, name, object, objects,
};

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

const C: &str = "ConfigMap/prod/c";
const R: &str = "ConfigMap/prod/r";

/// The cluster is restored as it was in `then`; returns the doubt.
fn restored(given: &mut Given, then: &World) -> Seq {
    let doubt = given.reverted();
    given.lists_everything();
    for key in then.live.keys() {
        given.shows_as_in(then, &key.to_string());
    }
    doubt
}

fn shown(given: &Given, doubt: Seq) -> Accepting {
    let body = accepted(given, doubt);
    accepting(given.world.clone(), &given.compared, &given.limits, &body)
}

fn of<'s>(shown: &'s Accepting, app: &str) -> &'s AppAfter {
    shown.apps.iter().find(|row| row.app == app).unwrap()
}

fn fates(row: &AppAfter) -> Vec<(&str, &str)> {
    row.objects.iter().map(|object| (&*object.fate, &*object.object)).collect()
}

/// `root` with `top`, which has A and the application `low` that has B, and with `left`, which leaves
/// C behind. The world as it was backed up is returned.
fn tree() -> (Given, World) {
    let (top, left) = (cascading("top", auto()), application("left", auto()));
    let mut given = Given::app("root", auto());
    given.identified("one");
    given.renders("root", vec![child(&top), child(&left), object(R, 1)]);
    while given.follows("root") {}
    given.renders("top", vec![child(&cascading("low", auto())), object(A, 1)]);
    while given.follows("top") {}
    given.renders("low", vec![object(B, 1)]);
    given.syncs("low");
    given.renders("left", vec![object(C, 1)]);
    given.syncs("left");
    let then = given.world.clone();
    (given, then)
}

/// Git has all of the tree as it was, at its newest commit.
fn goes_on(given: &mut Given, number: u64) {
    given.push(number);
    for app in ["root", "top", "low", "left"] {
        given.advances(app);
    }
}

/// Goal: what goes with applications that Git dropped while the cluster was in doubt is counted and
/// named as removed, with what is below them, and nothing else is told of it. And that is what follows.
#[test]
fn what_goes_with_applications_that_git_dropped_is_shown_as_removed() {
    let (mut given, then) = tree();
    goes_on(&mut given, 2);
    let doubt = restored(&mut given, &then);
    // B would be written over otherwise.
    given.push(3);
    given.renders("root", vec![object(R, 1)]);
    given.renders("top", vec![child(&cascading("low", auto())), object(A, 1)]);
    given.renders("low", vec![object(B, 2), object("ConfigMap/prod/new", 1)]);
    given.renders("left", vec![object(C, 2)]);
    given.limits.app_percent_max = 100;
    let shown = shown(&given, doubt);
    assert_eq!(
        fates(of(&shown, "root")),
        [("remove", "Application.argoproj.io/left"), ("remove", "Application.argoproj.io/top")]
    );
    assert_eq!(fates(of(&shown, "top")), [("remove", A)]);
    assert_eq!(fates(of(&shown, "low")), [("remove", B)]);
    assert_eq!(fates(of(&shown, "left")), [("other", C)]);
    for app in ["top", "low", "left"] {
        let row = of(&shown, app);
        assert!(row.goes && row.restrained.starts_with("it goes"), "{row:#?}");
        assert_eq!((row.create, row.update, row.same), (0, 0, 0), "{row:#?}");
    }
    let gone: Vec<String> = shown.gone.iter().map(Gone::text).collect();
    assert_eq!(
        gone,
        [
            "left: 1 object of it LEFT BEHIND, which nobody has from then on",
            "top, and 2 objects with it"
        ]
    );
    assert_eq!(shown.left, [C]);
    assert_eq!(shown.summary(), "1 as Git says, 1 left as they are; 4 objects REMOVED");
    given.accepts(doubt);
    for app in ["root", "top", "low", "top", "root"] {
        given.follows(app);
    }
    let left: Vec<String> = given.world.live.keys().map(ToString::to_string).collect();
    assert_eq!(left.iter().filter(|key| key.starts_with("ConfigMap")).collect::<Vec<_>>(), [C, R]);
}

/// Goal: what waits for a person with the removal of an application is neither removed nor written.
#[test]
fn what_goes_only_when_a_person_lets_it_waits() {
    let (mut given, then) = tree();
    goes_on(&mut given, 2);
    let doubt = restored(&mut given, &then);
    given.push(3);
    given.renders("root", vec![child(&application("left", auto())), object(R, 1)]);
    given.renders("top", vec![child(&cascading("low", auto())), object(A, 2)]);
    given.renders("low", vec![object(B, 2)]);
    given.advances("left");
    given.limits.app_percent_max = 1;
    given.limits.app_objects_min = 0;
    let shown = shown(&given, doubt);
    let root = of(&shown, "root");
    assert_eq!((root.gated, root.remove), (1, 0), "{root:#?}");
    assert_eq!(fates(of(&shown, "top")), [("gated", A)]);
    assert_eq!(fates(of(&shown, "low")), [("gated", B)]);
    assert!(of(&shown, "low").restrained.contains("approved"), "{shown:#?}");
    assert_eq!(shown.summary(), "3 as Git says, 3 waiting for approval; nothing is removed");
}

/// Goal: an object of an application that goes which another one has then is that one's: told with what
/// is written of it.
#[test]
fn what_passes_to_another_application_is_told_with_that() {
    let (mut given, then) = tree();
    goes_on(&mut given, 2);
    let doubt = restored(&mut given, &then);
    given.push(3);
    given.renders("root", vec![child(&application("left", auto())), object(R, 1)]);
    given.advances("top");
    given.advances("low");
    given.renders("left", vec![object(C, 1), object(B, 2)]);
    let shown = shown(&given, doubt);
    assert_eq!(fates(of(&shown, "top")), [("remove", A)]);
    assert_eq!(fates(of(&shown, "low")), []);
    assert_eq!(fates(of(&shown, "left")), [("write", B)], "{shown:#?}");
    assert!(shown.gone[0].text().ends_with("STAYS and passes to left"), "{shown:#?}");
}

/// Goal: of applications that come, that are defined otherwise or that are not rendered yet it is said
/// that what they write is not known, and not that nothing is removed.
#[test]
fn what_is_not_known_yet_is_said_to_be_so() {
    let (mut given, then) = tree();
    goes_on(&mut given, 2);
    let doubt = restored(&mut given, &then);
    let mut top = cascading("top", auto());
    top["spec"]["source"]["path"] = "elsewhere".into();
    given.push(3);
    let new = cascading("new", auto());
    given.renders(
        "root",
        vec![child(&top), child(&new), child(&application("left", auto())), object(R, 1)],
    );
    given.advances("top");
    given.advances("left");
    let shown = shown(&given, doubt);
    let root = of(&shown, "root");
    assert_eq!((root.define, root.update), (2, 0), "{root:#?}");
    assert!(of(&shown, "new").not_known.starts_with("it comes"), "{shown:#?}");
    assert!(of(&shown, "top").not_known.contains("otherwise"), "{shown:#?}");
    assert!(of(&shown, "low").not_known.contains("not rendered yet"), "{shown:#?}");
    assert_eq!(of(&shown, "left").not_known, "");
    let said = shown.summary();
    let unknown = "of 3 applications it is not known yet what is written and removed";
    assert!(said.contains("2 applications to be defined"), "{said}");
    assert!(said.ends_with(unknown), "{said}");
}

/// Goal: what a person agreed to has a name, which changes with what is written or removed, by Git or by
/// the cluster, and with nothing else.
#[test]
fn what_was_shown_has_a_name_that_changes_with_what_is_done() {
    let (mut given, then) = tree();
    goes_on(&mut given, 2);
    given.renders("low", vec![object(B, 2)]);
    given.syncs("low");
    let doubt = restored(&mut given, &then);
    let first = shown(&given, doubt).hash;
    assert_eq!(fates(of(&shown(&given, doubt), "low")), [("write", B)]);
    // A commit that changes nothing, and an object of nobody.
    goes_on(&mut given, 3);
    given.sees("ConfigMap/prod/foreign");
    assert_eq!(shown(&given, doubt).hash, first);
    // Another version of what is written.
    given.renders("low", vec![object(B, 3)]);
    let second = shown(&given, doubt).hash;
    assert_ne!(second, first);
    // Another application goes, in Git; and something comes back, in the cluster.
    given.renders("root", vec![child(&cascading("top", auto())), object(R, 1)]);
    let third = shown(&given, doubt).hash;
    given.loses(A);
    let fourth = shown(&given, doubt).hash;
    let all = BTreeSet::from([first, second, third, fourth]);
    assert_eq!(all.len(), 4, "{all:?}");
}
