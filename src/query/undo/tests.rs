use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::effects::{Effect, Judged, Present, judge};
use super::*;
use crate::ledger::Blob;
use crate::ledger::event::{
    BackTo, DesiredObject, HoldEnd, HoldEndedV1, MarkedV1, OutcomeRecordedV1, ResumedV1,
    UnfrozenV1, Write,
};
use crate::model::{Digest, Timestamp};
use crate::query::fixture::{Story, canonical, key, name};
use crate::query::restore::{Now, Seen};

const MAP: &str = "ConfigMap/prod/a";

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn wanted(story: &mut Story, data: Value) -> DesiredObject {
    let manifest = map(data);
    story.blob(&manifest);
    let bytes = canonical(&manifest);
    DesiredObject {
        manifest: Blob::plain(bytes.clone(), None).addr,
        digest: Digest::of(&bytes),
        ..crate::replay::testing::object(MAP, 1)
    }
}

fn present(wanted: Option<&DesiredObject>) -> Present {
    Present { wanted: wanted.cloned(), live: wanted.is_some(), owned: true, ..Present::default() }
}

/// What is judged of one effect.
fn judged(
    story: &Story,
    before: Option<&DesiredObject>,
    after: Option<&DesiredObject>,
    present: Present,
) -> Judged {
    let effect = Effect { key: key(MAP), before: before.cloned(), after: after.cloned() };
    let present = BTreeMap::from([(key(MAP), present)]);
    let ends = (Seq::ZERO, story.ledger.head());
    judge(&story.ledger, &name("web"), ends, &[effect], &present).unwrap()
}

/// Goal: a field goes back where it is what the event made of it; where it is not, it is named with
/// both values; and what the event did not touch stays as it is.
#[test]
fn fields_go_back_and_what_came_since_is_a_conflict() {
    let mut story = Story::told();
    let before = wanted(&mut story, json!({"k": "1", "l": "1", "m": "1"}));
    let after = wanted(&mut story, json!({"k": "2", "l": "2", "m": "1"}));
    let later = wanted(&mut story, json!({"k": "2", "l": "3", "m": "9"}));
    let clean = judged(&story, Some(&before), Some(&after), present(Some(&after)));
    let [HoldOf::Fields(held)] = clean.parts.as_slice() else { panic!("{clean:?}") };
    assert_eq!((held.places.len(), held.saved, held.of_manifest), (2, before.manifest, true));
    assert_eq!(clean.conflicts, [] as [String; 0]);

    let moved = judged(&story, Some(&before), Some(&after), present(Some(&later)));
    let [HoldOf::Fields(held)] = moved.parts.as_slice() else { panic!("{moved:?}") };
    assert_eq!(held.fields[0].path, ".data.k");
    assert_eq!(moved.conflicts.len(), 1, "{moved:?}");
    let conflict = &moved.conflicts[0];
    assert!(conflict.contains(".data.l") && conflict.contains("\"3\""), "{conflict}");

    let by_hand =
        Present { drift: Some((Seq(3), vec![".data.k".into()])), ..present(Some(&after)) };
    let edited = judged(&story, Some(&before), Some(&after), by_hand);
    assert!(edited.conflicts[0].contains("by hand since, #3"), "{edited:?}");
    let [HoldOf::Fields(held)] = edited.parts.as_slice() else { panic!("{edited:?}") };
    assert_eq!(held.fields[0].path, ".data.l", "the other field goes back");

    let back = judged(&story, Some(&before), Some(&after), present(Some(&before)));
    assert!(back.parts.is_empty() && back.conflicts.is_empty(), "{back:?}");
    let gone = judged(&story, Some(&before), Some(&after), present(None));
    assert!(gone.conflicts[0].contains("has it no more"), "{gone:?}");
    story.ledger.shutdown();
}

#[test]
fn what_was_removed_comes_back_and_what_was_made_goes_unless_it_changed() {
    let mut story = Story::told();
    let one = wanted(&mut story, json!({"k": "1"}));
    let two = wanted(&mut story, json!({"k": "2"}));
    let removed = judged(&story, Some(&one), None, present(None));
    assert!(matches!(removed.parts.as_slice(), [HoldOf::Object(held)] if held.object == one));
    let anew = Present { live: true, owned: false, ..Present::default() };
    let anew = judged(&story, Some(&one), None, anew);
    assert!(anew.conflicts[0].contains("made it anew") && anew.parts.is_empty(), "{anew:?}");
    let again = judged(&story, Some(&one), None, present(Some(&one)));
    assert!(again.conflicts.is_empty() && again.parts.is_empty(), "{again:?}");
    let otherwise = judged(&story, Some(&one), None, present(Some(&two)));
    assert!(otherwise.conflicts[0].contains("otherwise"), "{otherwise:?}");

    let made = judged(&story, None, Some(&one), present(Some(&one)));
    assert_eq!(made.parts, [HoldOf::Absence(key(MAP))]);
    let changed = judged(&story, None, Some(&one), present(Some(&two)));
    assert!(changed.parts.is_empty() && !changed.conflicts.is_empty(), "{changed:?}");
    let gone = judged(&story, None, Some(&one), present(None));
    assert!(gone.parts.is_empty() && gone.conflicts.is_empty(), "{gone:?}");

    let other = Present { other: Some(name("shop")), ..present(None) };
    let other = judged(&story, Some(&one), None, other);
    assert!(other.conflicts[0].contains("application shop has it"), "{other:?}");
    let cart = DesiredObject { key: key("Application.argoproj.io/cart"), ..one.clone() };
    for (defined, hint) in
        [(true, "`greffier rollback cart`"), (false, "`greffier rollback web --tree --to '#1'")]
    {
        let present = Present { defined, ..present(None) };
        let present = BTreeMap::from([(cart.key.clone(), present)]);
        let effects = [Effect { key: cart.key.clone(), before: Some(cart.clone()), after: None }];
        let ends = (Seq(1), story.ledger.head());
        let judged = judge(&story.ledger, &name("web"), ends, &effects, &present).unwrap();
        assert!(judged.conflicts[0].contains(hint), "{judged:?}");
    }
    let held = Present { holds: vec![Seq(5)], ..present(Some(&two)) };
    let held = judged(&story, Some(&one), Some(&two), held);
    assert!(held.conflicts[0].contains("hold #5"), "{held:?}");
    let lost = crate::replay::testing::object(MAP, 77);
    let lost = judged(&story, Some(&lost), None, present(None));
    assert!(lost.missing[0].contains("its manifest") && lost.parts.is_empty(), "{lost:?}");
    story.ledger.shutdown();
}

fn seen(story: &mut Story, object: &Value) -> (Seq, Seen) {
    let seq = story.observed(&key(MAP), object, "u", "");
    let stored = json!({"object": object, "fields": []});
    let seen = Seen {
        object: Blob::plain(canonical(&stored), None).addr,
        version: "v1".into(),
        uid: "u".into(),
        digest: Digest::of(&canonical(object)),
    };
    (seq, seen)
}

fn nobodys(seen: Seen) -> Now {
    Now { app: None, wanted: None, seen: Some(seen), known: true, served: true }
}

/// Goal: an edit of what nobody has goes back, the undo of the undo brings it again, and a later
/// edit is not written over.
#[test]
fn an_edit_goes_back_and_forth_and_a_later_one_is_a_conflict() {
    let mut story = Story::told();
    let (_, first) = seen(&mut story, &map(json!({"k": "1", "l": "1"})));
    let (edited, second) = seen(&mut story, &map(json!({"k": "2", "l": "1", "m": "1"})));
    let recorded = story.ledger.get(edited).unwrap().unwrap();
    let What::Edits(edits) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    assert_eq!((&edits[0].before, &edits[0].after), (&Some(first), &Some(second.clone())));
    let back = edit::judge(&story.ledger, edited, &edits, &[nobodys(second.clone())]).unwrap();
    let write = &back.writes[0];
    assert_eq!((write.verb, write.places.len()), (Verb::Update, 2));
    assert_eq!(write.found, Some(("u".to_owned(), second.digest)));

    // It is written: that is undone in turn.
    let (from, reason) = (BackTo::Undone(edited), String::new());
    let body = crate::ledger::event::RestoreIntendedV1 {
        writes: back.writes.clone(),
        from,
        timeout_ms: 1,
        reason,
    };
    let restore = story.event(body);
    let (_, third) = seen(&mut story, &map(json!({"k": "1", "l": "1"})));
    story.event(crate::ledger::event::RestoreEndedV1 {
        restore,
        objects: vec![key(MAP)],
        results: vec![(
            0,
            crate::ledger::event::RestoreResult::Made {
                uid: "u".into(),
                resource_version: "20".into(),
            },
        )],
        settled: false,
    });
    let recorded = story.ledger.get(restore).unwrap().unwrap();
    let What::Edits(edits) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    assert_eq!(edits[0].before, Some(second));
    let again = edit::judge(&story.ledger, restore, &edits, &[nobodys(third)]).unwrap();
    assert_eq!(again.writes[0].places, back.writes[0].places);
    assert_eq!(again.writes[0].fields[0].now, back.writes[0].fields[0].was);

    let (_, later) = seen(&mut story, &map(json!({"k": "7", "l": "1"})));
    let conflict = edit::judge(&story.ledger, restore, &edits, &[nobodys(later)]).unwrap();
    assert!(conflict.conflicts[0].contains(".data.k"), "{conflict:?}");
    assert_eq!(conflict.writes[0].places, [["f:data", "f:m"].map(str::to_owned).to_vec()]);
    let owned = Now { app: Some(name("web")), ..Now::default() };
    let owned = edit::judge(&story.ledger, restore, &edits, &[owned]).unwrap();
    assert!(owned.writes.is_empty() && owned.conflicts[0].contains("web has it"), "{owned:?}");
    story.ledger.shutdown();
}

#[test]
fn what_a_person_decided_is_taken_back_and_done_again() {
    let mut story = Story::told();
    let undoes = |story: &Story, seq: Seq| {
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        what(&story.ledger, &recorded)
    };
    let (app, until, reason) = (name("web"), Some(Timestamp(9)), "incident".to_owned());
    let pause = PausedV1 { app: app.clone(), until, reason: reason.clone() };
    let paused = story.event(pause.clone());
    assert_eq!(undoes(&story, paused).unwrap(), What::Resume(app.clone()));
    let resumed = story.event(ResumedV1 { app: app.clone(), expired: false });
    assert_eq!(undoes(&story, resumed).unwrap(), What::Pause(pause));
    let freeze = FrozenV1 { until: None, reason: reason.clone() };
    let frozen = story.event(freeze.clone());
    assert_eq!(undoes(&story, frozen).unwrap(), What::Unfreeze);
    let thawed = story.event(UnfrozenV1 { expired: false });
    assert_eq!(undoes(&story, thawed).unwrap(), What::Freeze(freeze));

    let of = vec![HoldOf::Absence(key(MAP)), HoldOf::Absence(key("ConfigMap/prod/b"))];
    let from = BackTo::Instant(Seq(1));
    let begun = HoldBegunV1 { app: app.clone(), of, from, until: None, reason };
    let hold = story.event(begun.clone());
    assert_eq!(undoes(&story, hold).unwrap(), What::Release(hold));
    let objects = vec![key(MAP)];
    let ended =
        HoldEndedV1 { app: app.clone(), objects, holds: vec![hold], end: HoldEnd::Released };
    let ended = story.event(ended);
    let What::HoldAgain(_, again) = undoes(&story, ended).unwrap() else { panic!() };
    assert_eq!(again.of, begun.of[..1], "what was released and nothing else");

    let mark = MarkedV1 { name: "m".into(), seq: hold, time: Timestamp(0), reason: String::new() };
    let mark = story.event(mark);
    let refused = undoes(&story, mark).unwrap_err();
    assert!(refused.to_string().contains("gives an instant a name"), "{refused}");
    story.ledger.shutdown();
}

#[test]
fn writes_and_renders_and_commits_lead_to_what_they_changed() {
    let story = Story::told();
    let book = &story.ledger;
    let all = crate::query::Book::range(book, Seq(1), book.head()).unwrap();
    let of = |kind: &str| {
        let found = all
            .iter()
            .find(|recorded| recorded.event.as_ref().is_some_and(|event| event.name() == kind));
        found.unwrap().clone()
    };
    let intent = of("apply.intent");
    let What::Effects(span) = what(book, &intent).unwrap() else { panic!() };
    assert_eq!((span.from, span.keys.as_ref().unwrap().len()), (Seq(intent.seq().0 - 1), 3));
    let What::Effects(outcome) = what(book, &of("apply.outcome")).unwrap() else { panic!() };
    assert_eq!(outcome, span);
    // Of several events that tell of one intent, each stands for what it tells.
    let mut story = story;
    let map = key("ConfigMap/prod/old");
    let applied = |object: char| crate::ledger::event::Applied {
        uid: object.to_string(),
        resource_version: "11".into(),
        baseline: Digest::of(b"baseline"),
        object: Blob::plain(b"{}".to_vec(), None).addr,
        changed: true,
        digest: Digest::of(b"live"),
        managers: Digest::default(),
        health: crate::ledger::event::Health::Healthy,
        health_message: String::new(),
        protection: crate::model::Protection::default(),
        notes: Box::default(),
    };
    let write = |key: &ObjectKey| Write::plain(Verb::Update, key.clone(), "v1", "changed");
    let (app, commit) = (name("web"), None);
    let writes = vec![write(&key("Secret/prod/web")), write(&map)];
    let intent = story.event(IntentRecordedV1 { app, writes, commit, timeout_ms: 1 });
    let ends = [(0, 'a'), (1, 'b')].map(|(index, object)| {
        let results = vec![(index, WriteResult::Applied(applied(object)))];
        story.event(OutcomeRecordedV1 { app: name("web"), intent, results })
    });
    let recorded = story.ledger.get(ends[1]).unwrap().unwrap();
    let What::Effects(span) = what(&story.ledger, &recorded).unwrap() else { panic!() };
    let expected = (Seq(intent.0 - 1), ends[1], Some(BTreeSet::from([map])));
    assert_eq!((span.from, span.to, span.keys), expected);
    let book = &story.ledger;
    let drift = of("drift.detected");
    assert!(matches!(what(book, &drift).unwrap(), What::PutBack(_, seq) if seq == drift.seq()));
    // Two renders are of the one commit.
    let refused = what(book, &of("git.commit")).unwrap_err();
    assert!(refused.hint().contains("greffier undo '#"), "{refused}: {}", refused.hint());
    let refused = what(book, &of("daemon.started")).unwrap_err();
    assert!(matches!(refused, NotUndone::Cannot { .. }), "{refused}");
    story.ledger.shutdown();
}
