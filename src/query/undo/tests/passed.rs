//! What passed from one application to another since.

use super::super::effects::{self, There};
use super::super::heir;
use super::*;
use crate::ledger::event::{Applied, Health, IntentRecordedV1};
use crate::model::Protection;
use crate::replay::testing::{Given, application, auto, cascading, object, objects};

/// What is judged of a change of `MAP` by `web` that ended with event `to`, now that `shop` has it.
fn judged_of_shop(
    story: &Story,
    to: Seq,
    (before, after): (Option<&DesiredObject>, Option<&DesiredObject>),
    now: &DesiredObject,
) -> Judged {
    let (web, shop) = (name("web"), name("shop"));
    let effect =
        Effect { key: key(MAP), before: before.cloned(), after: after.cloned(), found: None };
    let present = BTreeMap::from([(key(MAP), present(Some(now)))]);
    let whose = Whose { then: &web, now: &shop };
    judge(&story.ledger, whose, (super::super::before(to), to), &[effect], &present).unwrap()
}

fn removed(story: &mut Story, app: &str) {
    let (app, origin) = (name(app), Origin::Parent(name("root")));
    story.event(AppRemovedV1 { app, cascade: true, origin, declared: None, orphans: vec![] });
}

fn gone(story: &mut Story) {
    story.event(ObjectGoneV1 { key: key(MAP), uid: "u".into(), learned: Learned::Watched });
}

/// Goal: who renames an application, or moves an object to another, decides nothing about what an
/// earlier event did: a field goes back, and what it made goes, with the application of now. A
/// later change there is a conflict, and so is what went in between.
#[test]
fn what_passed_to_another_application_goes_back_there() {
    for renamed in [true, false] {
        let mut story = Story::told();
        let one = wanted(&mut story, json!({"k": "1"}));
        let two = wanted(&mut story, json!({"k": "2"}));
        let three = wanted(&mut story, json!({"k": "3"}));
        let made = pushed(&mut story, 'c', &[&two]);
        if renamed {
            removed(&mut story, "web");
        } else {
            pushed(&mut story, 'd', &[]);
        }
        // It passes on again, by an application that is gone since.
        pushed_by(&mut story, "cart", 'd', &[&two]);
        let write = Write::plain(Verb::Update, key(MAP), "v1", "it moved here");
        let (app, commit) = (name("cart"), None);
        story.event(IntentRecordedV1 { app, writes: vec![write], commit, timeout_ms: 1 });
        pushed_by(&mut story, "shop", 'd', &[&two]);
        removed(&mut story, "cart");
        let changed = judged_of_shop(&story, made, (Some(&one), Some(&two)), &two);
        assert_eq!(changed.conflicts, [""; 0], "renamed: {renamed}");
        let [HoldOf::Fields(held)] = changed.parts.as_slice() else { panic!("{changed:?}") };
        assert_eq!((held.places.len(), held.saved), (1, one.manifest));
        let goes = judged_of_shop(&story, made, (None, Some(&two)), &two);
        assert_eq!((goes.parts, goes.conflicts.len()), (vec![HoldOf::Absence(key(MAP))], 0));

        let later = pushed_by(&mut story, "shop", 'e', &[&three]);
        let changed = judged_of_shop(&story, made, (Some(&one), Some(&two)), &three);
        assert!(changed.parts.is_empty() && names(&changed.conflicts, later, 'e'), "{changed:?}");
        // Dropped there, and brought in again.
        pushed_by(&mut story, "shop", 'f', &[]);
        let again = pushed_by(&mut story, "shop", '1', &[&two]);
        let changed = judged_of_shop(&story, made, (Some(&one), Some(&two)), &two);
        assert!(changed.parts.is_empty() && names(&changed.conflicts, again, '1'), "{changed:?}");
        story.ledger.shutdown();
    }
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let two = wanted(&mut story, json!({"k": "2"}));
    let made = pushed(&mut story, 'c', &[&two]);
    pushed(&mut story, 'd', &[]);
    gone(&mut story);
    let anew = pushed_by(&mut story, "shop", 'e', &[&two]);
    let changed = judged_of_shop(&story, made, (Some(&one), Some(&two)), &two);
    assert!(changed.parts.is_empty() && names(&changed.conflicts, anew, 'e'), "{changed:?}");
    story.ledger.shutdown();
}

/// Goal: who has an object now is the application that wants it, the former one first, or has it
/// still; what a removed application had left to it is no object of nobody's.
#[test]
fn the_heir_is_who_wants_it_or_has_it() {
    const A: &str = "ConfigMap/prod/a";
    let (web, shop) = (name("web"), name("shop"));
    let mut given = Given::cluster();
    given.declares(&cascading("web", auto()), Origin::Config);
    given.declares(&application("shop", auto()), Origin::Config);
    given.renders("web", objects(&[A]));
    given.renders("shop", objects(&["ConfigMap/prod/s"]));
    given.syncs("web");
    given.syncs("shop");
    let heir = |given: &Given| heir::heir(&given.world, &web, &key(A));
    assert_eq!(heir(&given), Some(web.clone()));
    given.push(2);
    given.renders("shop", vec![object("ConfigMap/prod/s", 1), object(A, 1)]);
    assert_eq!(heir(&given), Some(web.clone()), "both want it");
    let present = Present::of(&given.world, &web, &key(A));
    assert_eq!(present.other, Some(shop.clone()));
    let there = |given: &Given| effects::there(&given.world, &[key(A)]).remove(&key(A));
    assert!(matches!(there(&given), Some(There::Of(app, _)) if app == web));
    given.renders("web", objects(&[]));
    assert_eq!(heir(&given), Some(shop.clone()), "before it has applied it");
    assert_eq!(Present::of(&given.world, &shop, &key(A)).other, None);
    given.removes("web", true, Origin::Config);
    given.syncs("web");
    assert_eq!(heir(&given), Some(shop.clone()));
    given.syncs("shop");
    given.renders("shop", vec![]);
    assert_eq!(heir(&given), Some(shop), "until it is pruned");
}

/// Goal: what a removed application left to another goes back to what it had applied, and what
/// changed nothing is not said to be nobody's; what greffier deleted was not its any more.
#[test]
fn what_a_removed_application_left_is_what_it_had_applied() {
    let mut story = Story::told();
    let theirs = wanted(&mut story, json!({"k": "1"}));
    let ours = wanted(&mut story, json!({"k": "2"}));
    pushed_by(&mut story, "shop", '1', &[&theirs]);
    let wrote = |story: &mut Story, verb: Verb, result: WriteResult| {
        let plain = Write::plain(verb, key(MAP), "v1", "changed");
        let write = Write { digest: theirs.digest, manifest: Some(theirs.manifest), ..plain };
        let (app, commit) = (name("shop"), None);
        let intent = IntentRecordedV1 { app, writes: vec![write], commit, timeout_ms: 1 };
        let intent = story.event(intent);
        let results = vec![(0, result)];
        story.event(OutcomeRecordedV1 { app: name("shop"), intent, results })
    };
    let applied = Applied {
        uid: "one".into(),
        resource_version: "11".into(),
        baseline: Digest::of(b"baseline"),
        object: Blob::plain(b"{}".to_vec(), None).addr,
        changed: true,
        digest: Digest::of(b"live"),
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    };
    let at = wrote(&mut story, Verb::Update, WriteResult::Applied(applied));
    removed(&mut story, "shop");
    let there = BTreeMap::from([(key(MAP), There::Left("one".into()))]);
    let found = |story: &Story, at: Seq| {
        let effect = Effect { key: key(MAP), before: None, after: Some(ours.clone()), found: None };
        let (mut all, missing) = effects::found(&story.ledger, vec![effect], &there, at).unwrap();
        assert_eq!(missing, [""; 0]);
        all.remove(0)
    };
    assert_eq!(found(&story, story.ledger.head()).before, Some(theirs.clone()));
    let before = found(&story, Seq(at.0 - 1));
    assert_eq!((before.before, before.found), (None, Some("one".to_owned())), "not yet applied");
    let head = wrote(&mut story, Verb::Prune, WriteResult::Deleted);
    assert_eq!(found(&story, head).found, Some("one".to_owned()));
    story.ledger.shutdown();
}

#[test]
fn of_several_applications_one_goes_back_and_the_others_are_named() {
    let span = Span { app: name("web"), from: Seq(6), to: Seq(7), keys: None };
    let absent = |objects: &[&str]| Judged {
        parts: objects.iter().map(|object| HoldOf::Absence(key(object))).collect(),
        fields: objects.iter().map(|object| format!("{object} goes")).collect(),
        ..Judged::default()
    };
    let (b, c) = ("ConfigMap/prod/b", "ConfigMap/prod/c");
    let all = vec![(name("cart"), absent(&[MAP])), (name("shop"), absent(&[b, c]))];
    let (app, found) = heir::of_one(&span, all.clone());
    assert_eq!((app, found.parts.len(), found.fields.len()), (name("shop"), 2, 2));
    assert_eq!(found.notes, ["application shop has now what application web had then"]);
    let way = format!("`greffier restore {MAP} --to '#6' --plan`");
    assert!(found.conflicts[0].contains("application cart has it now"), "{found:?}");
    assert!(found.conflicts[0].contains(&way) && found.conflicts.len() == 1, "{found:?}");
    // The one that did it first.
    let (app, found) = heir::of_one(&span, [all, vec![(name("web"), absent(&[b]))]].concat());
    assert_eq!((app, found.conflicts.len()), (name("web"), 3));
}
