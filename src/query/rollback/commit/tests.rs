//! What a commit asked for of each application of a tree.

use serde_json::json;

use super::*;
use crate::command::tree::{Asked, Member, roll_back_tree};
use crate::command::{Error as Refused, Then};
use crate::ledger::Ledger;
use crate::ledger::event::{
    DesiredObject, RefMovedV1, RenderSucceededV1, RevisionRef, SyncFinishedV1,
};
use crate::model::{Digest, Timestamp};
use crate::query::fixture::Story;
use crate::query::recovery::{Stands, of_commit, unsettled};
use crate::replay::testing::{Given, REPO, application, auto, child, commit, key, name, object};

const OTHER: &str = "/srv/other.git";

/// The object of an application.
fn of(app: &str) -> String {
    format!("ConfigMap/prod/{app}")
}

fn moved(given: &mut Given, repo: &str, number: u64) {
    let main = "refs/heads/main".to_owned();
    let old = given.world.repos.get(repo).and_then(|repo| repo.refs.get(&main).cloned());
    given.event(RefMovedV1 { repo: repo.into(), name: main, old, new: Some(commit(number)) });
}

/// An application renders a commit, `main` of its own repository wherever that is now.
fn renders(given: &mut Given, app: &str, repo: &str, number: u64) {
    let revision = RevisionRef { repo: repo.into(), commit: commit(number), tree: commit(number) };
    let inputs = Digest::of(format!("{app} {number}").as_bytes());
    given.event(RenderSucceededV1 {
        app: name(app),
        declared: given.declared(app),
        inputs,
        sources: inputs,
        revisions: vec![revision.clone()],
        revision,
        tool: "test".into(),
        made_with: Vec::new(),
        restores: Vec::new(),
        objects: vec![object(&of(app), number)],
        warnings: Vec::new(),
        unknown_kinds: Vec::new(),
        reused: None,
    });
}

/// `root` with five applications below it; commits 1 to 3 came, and changed nothing of `root`'s
/// own. With what each made of commit 2.
fn told() -> Given {
    let mut given = Given::app("root", auto());
    let mut other = application("other", auto());
    other["spec"]["source"]["repoURL"] = json!(OTHER);
    let mine = ["bad", "late", "slow", "web"].map(|app| child(&application(app, auto())));
    let children: Vec<DesiredObject> = mine.into_iter().chain([child(&other)]).collect();
    given.renders("root", children);
    while given.follows("root") {}
    moved(&mut given, OTHER, 11);
    renders(&mut given, "other", OTHER, 11);
    for app in ["bad", "late", "slow", "web"] {
        renders(&mut given, app, REPO, 1);
    }
    // `root` has the commit before anything below it does.
    moved(&mut given, REPO, 2);
    given.advances("root");
    renders(&mut given, "web", REPO, 2);
    given.fails_to_render("bad");
    moved(&mut given, OTHER, 12);
    renders(&mut given, "other", OTHER, 12);
    moved(&mut given, REPO, 3);
    given.advances("root");
    for app in ["web", "slow"] {
        renders(&mut given, app, REPO, 3);
    }
    // It was on its way already.
    renders(&mut given, "late", REPO, 2);
    for app in ["bad", "late"] {
        renders(&mut given, app, REPO, 3);
    }
    moved(&mut given, OTHER, 13);
    renders(&mut given, "other", OTHER, 13);
    given
}

/// The events in a ledger, in the same places: its first one takes that of the first.
fn recorded(given: &Given) -> Ledger {
    let mut story = Story::empty();
    for (seq, _, event) in given.events.iter().skip(1) {
        assert_eq!(story.event(event.clone()), *seq);
    }
    story.ledger
}

fn world_at(given: &Given, last: Seq) -> World {
    let mut world = World::default();
    for (seq, recorded, event) in given.events.iter().filter(|(seq, ..)| *seq <= last) {
        world.apply(*seq, *recorded, event);
    }
    world
}

fn members(given: &Given, number: u64) -> (OfCommit, Vec<Member>) {
    let ledger = recorded(given);
    let root = name("root");
    let found = OfCommit::find(&ledger, &root, commit(number).as_str(), ledger.head()).unwrap();
    let world = world_at(given, found.at.seq);
    let members = Member::of_commit(&ledger, &world, "root", &found).unwrap();
    ledger.shutdown();
    (found, members)
}

/// Which commit's object a member goes back to.
fn back(members: &[Member], app: &str) -> Option<u64> {
    let member = members.iter().find(|member| member.app == name(app)).unwrap();
    let Then::Wanted(desired) = &member.then else { return None };
    let digest = desired.objects[&key(&of(app))].digest;
    (1..20).find(|number| object(&of(app), *number).digest == digest)
}

/// Goal: each application goes back to what the very commit asked for of it, although no instant
/// has that of all of them; what is not known of one is said, and refused.
#[test]
fn a_commit_stands_for_what_it_asked_for_of_each_application() {
    let given = told();
    let (found, members) = members(&given, 2);
    let left = given
        .events
        .iter()
        .find(|(.., event)| matches!(event, Event::RefMoved(body) if body.new == Some(commit(3))));
    assert_eq!(found.at.seq.0, left.unwrap().0.0 - 1, "the last before the repository went on");
    assert_eq!(back(&members, "web"), Some(2));
    assert_eq!(back(&members, "late"), Some(2), "although it came to it late");
    assert_eq!(back(&members, "bad"), Some(1), "what was in force at it");
    assert_eq!(back(&members, "other"), Some(12), "what was in force when all had settled");
    let note = |app: &str| {
        let member = members.iter().find(|member| member.app == name(app)).unwrap();
        member.note.clone()
    };
    assert!(note("bad").contains("did not render at commit"), "{}", note("bad"));
    assert!(note("other").contains("is not of what it follows"), "{}", note("other"));
    assert_eq!((note("web"), note("root")), (String::new(), String::new()));
    let slow = members.iter().find(|member| member.app == name("slow")).unwrap();
    let unknown = |why: &str| why.contains("was never rendered for it");
    assert!(matches!(&slow.then, Then::Unknown(why) if unknown(why)), "{slow:?}");

    let to = found.at.clone();
    let asked = Asked { to, said: "git:2".into(), until: None, reason: String::new() };
    let tree = roll_back_tree(&given.world, given.now(), "root", &members, &asked).unwrap();
    assert_eq!(tree.left.len(), 1);
    assert!(tree.left[0].starts_with("slow: ") && unknown(&tree.left[0]), "{:?}", tree.left);
    let told: Vec<&str> = tree.notes.iter().map(|(app, _)| app.as_str()).collect();
    assert_eq!(told, ["bad", "other"]);
}

/// Goal: the newest commit is settled at the last event that counts; one that came twice, at the
/// end of its first stay.
#[test]
fn the_newest_commit_and_one_that_came_twice() {
    let mut given = told();
    assert_eq!(members(&given, 3).0.at.seq, given.seq());
    moved(&mut given, REPO, 2);
    given.advances("root");
    renders(&mut given, "web", REPO, 2);
    moved(&mut given, REPO, 4);
    assert_eq!(members(&given, 2).0.at.seq, members(&told(), 2).0.at.seq);
    let ledger = recorded(&given);
    let never = OfCommit::find(&ledger, &name("root"), commit(9).as_str(), ledger.head());
    assert!(matches!(never, Err(Error::NeverApplied { .. })), "{never:?}");
    let bounded = OfCommit::find(&ledger, &name("root"), commit(3).as_str(), Seq(3)).unwrap();
    assert!(bounded.at.seq > Seq(3), "never before the root itself had it");
    ledger.shutdown();
}

/// Goal: the root is refused when what a commit asked for of it is not known.
#[test]
fn a_root_of_which_nothing_is_known_is_refused() {
    let given = told();
    let (found, mut members) = members(&given, 2);
    members[0].then = Then::Unknown("its render is not recorded".into());
    let asked = Asked { to: found.at, said: "git:2".into(), until: None, reason: String::new() };
    let refused = roll_back_tree(&given.world, Timestamp(0), "root", &members, &asked);
    assert!(matches!(refused, Err(Refused::NothingThen { .. })), "{refused:?}");
}

/// Goal: a replay of a commit is of the instant at which everything had come to it; where a part of it
/// never had, that is named. Of single applications it is their own.
#[test]
fn a_replay_of_a_commit_is_of_when_all_had_come_to_it() {
    let mut given = told();
    let mut syncs = |app: &str| {
        let samples = crate::ledger::samples::sample_events().into_iter();
        let mut sample = samples.filter_map(|event| match event {
            Event::SyncFinished(body) => Some(body),
            _ => None,
        });
        let (app, commit, succeeded) = (name(app), commit(2), true);
        given.event(SyncFinishedV1 { app, commit, succeeded, ..sample.next().unwrap() });
        given.seq()
    };
    let (web, late) = (syncs("web"), syncs("late"));
    let ledger = recorded(&given);
    let at = |apps: &[&str], number| {
        let apps: Vec<AppName> = apps.iter().map(|app| name(app)).collect();
        let found = of_commit(&ledger, &given.world, &apps, commit(number).as_str()).unwrap();
        let Stands::At(at) = found else { panic!("{found:?}") };
        at.seq
    };
    let waits = |seq| {
        let world = world_at(&given, seq);
        unsettled(&world).into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(at(&[], 2), members(&given, 2).0.at.seq);
    assert_eq!(waits(at(&[], 2)), [name("late"), name("slow")]);
    assert_eq!(waits(at(&[], 3)), []);
    assert_eq!((at(&["web"], 2), at(&["late"], 2)), (web, late));
    let apps = [name("web"), name("late")];
    let apart = of_commit(&ledger, &given.world, &apps, commit(2).as_str()).unwrap();
    assert!(matches!(&apart, Stands::Apart(of) if of.len() == 2), "{apart:?}");
    let never = of_commit(&ledger, &given.world, &[], commit(9).as_str());
    assert!(matches!(never, Err(Error::NeverApplied { .. })), "{never:?}");
    let nothing = of_commit(&ledger, &World::default(), &[], commit(2).as_str());
    assert!(matches!(nothing, Err(Error::UnknownCommit(_))), "no application: {nothing:?}");
    ledger.shutdown();
}
