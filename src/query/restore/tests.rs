use serde_json::json;

use super::*;
use crate::ledger::event::HoldOf;
use crate::model::Timestamp;
use crate::query::fixture::{Story, canonical, key, name};

const MAP: &str = "ConfigMap/prod/a";
const SECRET: &str = "Secret/prod/s";

fn wish(object: &str, field: Option<&str>, live: bool) -> Wish {
    let at = At { seq: Seq(7), time: Timestamp(0), timed: false, what: String::new() };
    Wish { key: key(object), at, field: field.map(str::to_owned), live }
}

fn map(data: Value) -> Value {
    let metadata = json!({"name": "a", "namespace": "prod"});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
}

fn desired(story: &mut Story, object: &str, manifest: &Value) -> DesiredObject {
    story.blob(manifest);
    let bytes = canonical(manifest);
    DesiredObject {
        manifest: Blob::plain(bytes.clone(), None).addr,
        digest: Digest::of(&bytes),
        ..crate::replay::testing::object(object, 1)
    }
}

fn seen(story: &mut Story, object: &Value) -> Seen {
    let stored = json!({"object": object, "fields": []});
    story.blob(&stored);
    Seen {
        object: Blob::plain(canonical(&stored), None).addr,
        version: "v1".into(),
        uid: "u".into(),
        digest: Digest::of(&canonical(object)),
    }
}

fn now(app: Option<&str>, wanted: Option<DesiredObject>, seen: Option<Seen>) -> Now {
    Now { app: app.map(name), wanted, seen, known: true, served: true, ..Now::default() }
}

#[test]
fn what_an_application_wanted_comes_back_as_a_whole_or_by_a_field() {
    let mut story = Story::empty();
    let was = desired(&mut story, MAP, &map(json!({"k": "1", "l": "1"})));
    let is = desired(&mut story, MAP, &map(json!({"k": "2", "l": "1"})));
    let then = Then { wanted: Some((name("web"), was.clone())), ..Then::default() };
    let present = now(Some("web"), Some(is.clone()), None);
    let whole = prepare(&story.ledger, &wish(MAP, None, false), &then, &present).unwrap();
    let Restored::Held(app, of) = &whole.restored else { panic!("{whole:?}") };
    assert_eq!(*app, name("web"));
    assert!(matches!(&of[0], HoldOf::Object(held) if held.object == was && !held.seen));
    assert_eq!((whole.fields.len(), &*whole.fields[0].now), (1, "\"1\""));

    let field = prepare(&story.ledger, &wish(MAP, Some(".data.k"), false), &then, &present);
    let Restored::Held(_, of) = field.unwrap().restored else { panic!() };
    let HoldOf::Fields(held) = &of[0] else { panic!("{of:?}") };
    assert_eq!((held.saved, held.of_manifest), (was.manifest, true));
    assert_eq!(held.places, [["f:data", "f:k"].map(str::to_owned).to_vec()]);
    let asked = |field: &str, present: &Now| {
        prepare(&story.ledger, &wish(MAP, Some(field), false), &then, present).unwrap_err()
    };
    assert!(matches!(asked(".data.l", &present), NotRestorable::Same { .. }));
    assert!(matches!(asked(".data.none", &present), NotRestorable::NoField { .. }));
    assert!(matches!(asked("..", &present), NotRestorable::NoField { .. }));
    let gone = now(Some("web"), None, None);
    assert!(matches!(asked(".data.k", &gone), NotRestorable::NotNow(_)));
    let back = prepare(&story.ledger, &wish(MAP, None, false), &then, &gone).unwrap();
    assert!(back.notes[0].contains("Git does not have it"), "{back:?}");
    story.ledger.shutdown();
}

#[test]
fn what_is_missing_is_named_and_what_was_only_seen_is_not_taken_for_wanted() {
    let mut story = Story::empty();
    let lost = crate::replay::testing::object(MAP, 9);
    let then = Then { wanted: Some((name("web"), lost.clone())), ..Then::default() };
    let present = now(Some("web"), None, None);
    let refused = |then: &Then, present: &Now, live: bool| {
        prepare(&story.ledger, &wish(MAP, None, live), then, present).unwrap_err()
    };
    let blob = refused(&then, &present, false);
    assert!(blob.to_string().contains(&lost.manifest.to_string()), "{blob}");
    assert!(matches!(refused(&Then::default(), &present, false), NotRestorable::NotThere { .. }));
    assert!(matches!(refused(&then, &present, true), NotRestorable::NotSeen { .. }));
    let observed = seen(&mut story, &map(json!({"k": "1"})));
    let then = Then { seen: Some(observed), ..Then::default() };
    let refused = |present: &Now| {
        prepare(&story.ledger, &wish(MAP, None, false), &then, present).unwrap_err()
    };
    assert!(matches!(refused(&present), NotRestorable::NotWanted { .. }));
    let unknown = Now { known: false, ..now(None, None, None) };
    assert!(matches!(refused(&unknown), NotRestorable::Unknown(_)));
    let unserved = Now { served: false, ..now(None, None, None) };
    assert!(matches!(refused(&unserved), NotRestorable::NotServed(_)));
    let homeless = refused(&Now { homeless: true, ..now(None, None, None) });
    assert!(homeless.to_string().ends_with("namespace `prod` is not there"), "{homeless}");
    assert!(homeless.hint().contains("restore Namespace/prod"), "{}", homeless.hint());
    // As it was seen it becomes a manifest of its own.
    let prepared = prepare(&story.ledger, &wish(MAP, None, true), &then, &present).unwrap();
    assert_eq!(prepared.blobs.len(), 1);
    assert!(matches!(&prepared.restored, Restored::Held(_, of)
        if matches!(&of[0], HoldOf::Object(held) if held.seen)));
    story.ledger.shutdown();
}

#[test]
fn what_nobody_has_is_written_over_exactly_what_was_shown() {
    let mut story = Story::empty();
    let was = seen(&mut story, &map(json!({"k": "1"})));
    let is = seen(&mut story, &map(json!({"k": "2", "m": "1"})));
    let then = Then { seen: Some(was.clone()), ..Then::default() };
    let write = |field: Option<&str>, present: Option<Seen>| {
        let present = now(None, None, present);
        let prepared = prepare(&story.ledger, &wish(MAP, field, false), &then, &present)?;
        let Restored::Written(mut writes) = prepared.restored else { panic!() };
        Ok::<_, NotRestorable>(writes.remove(0))
    };
    let made = write(None, None).unwrap();
    assert_eq!((made.verb, made.found, made.saved), (Verb::Create, None, Some(was.object)));
    let whole = write(None, Some(is.clone())).unwrap();
    assert_eq!((whole.verb, whole.found), (Verb::Update, Some(("u".to_owned(), is.digest))));
    assert_eq!((whole.places.len(), whole.fields.len()), (0, 2));
    let field = write(Some(".data.m"), Some(is)).unwrap();
    assert_eq!(field.places.len(), 1);
    assert_eq!(&*field.fields[0].now, "", "it is taken away");
    assert!(matches!(write(None, Some(was)), Err(NotRestorable::Same { .. })));
    story.ledger.shutdown();
}

#[test]
fn of_a_secret_that_was_only_seen_nothing_comes_back_but_what_is_no_value() {
    let mut story = Story::empty();
    let metadata = |team: &str| json!({"name": "s", "namespace": "prod", "labels": {"team": team}});
    let secret = |team: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(team),
            "data": {"password": value}})
    };
    let was = seen(&mut story, &secret("a", "hmac:00"));
    let is = seen(&mut story, &secret("b", "hmac:11"));
    let then = Then { seen: Some(was), ..Then::default() };
    let present = now(None, None, Some(is));
    let asked =
        |field: Option<&str>| prepare(&story.ledger, &wish(SECRET, field, true), &then, &present);
    for refused in [None, Some(".data.password"), Some(".metadata.annotations.a")] {
        let refused = asked(refused).unwrap_err();
        assert!(matches!(refused, NotRestorable::Secret(_)), "{refused}");
        assert!(refused.to_string().contains("recorded nowhere"));
    }
    assert!(asked(Some(".metadata.labels.team")).is_ok());
    // What was wanted is read from its manifest, and its values are told to nobody.
    let wanted = desired(&mut story, SECRET, &secret("a", "aHVudGVyMg=="));
    let later = desired(&mut story, SECRET, &secret("a", "b3RoZXI="));
    let then = Then { wanted: Some((name("web"), wanted)), ..Then::default() };
    let present = now(Some("web"), Some(later), None);
    for field in [None, Some(".data.password")] {
        let found = prepare(&story.ledger, &wish(SECRET, field, false), &then, &present).unwrap();
        assert!(!format!("{found:?}").contains("aHVudGVyMg"), "{found:?}");
        assert_eq!(found.fields[0].now, crate::plan::secret::SECRET);
    }
    story.ledger.shutdown();
}

/// Fields that an object was given with `value`, as a person holds them.
fn held(story: &mut Story, object: &str, place: [&str; 2], value: &Value) -> (Seq, HeldFields) {
    story.blob(value);
    let saved = Blob::plain(canonical(value), None).addr;
    let places = vec![place.map(str::to_owned).to_vec()];
    let (key, fields) = (key(object), Vec::new());
    (Seq(5), HeldFields { key, saved, of_manifest: true, places, fields })
}

/// Goal: what was wanted at an instant is what was rendered with what people held then, also where
/// Git says now what it said then; and what is compared with is what is wanted now.
#[test]
fn what_people_held_then_comes_back_and_is_no_same() {
    let mut story = Story::empty();
    let git = desired(&mut story, MAP, &map(json!({"k": "1", "l": "1"})));
    let kept = map(json!({"k": "9", "l": "1"}));
    let hold = held(&mut story, MAP, ["f:data", "f:k"], &map(json!({"k": "9"})));
    let wanted = Some((name("web"), git.clone()));
    let then = Then { wanted: wanted.clone(), held: vec![hold.clone()], ..Then::default() };
    let released = now(Some("web"), Some(git.clone()), None);
    let asked = |field: Option<&str>, then: &Then, now: &Now| {
        prepare(&story.ledger, &wish(MAP, field, false), then, now)
    };
    let whole = asked(None, &then, &released).unwrap();
    let Restored::Held(_, of) = &whole.restored else { panic!("{whole:?}") };
    let HoldOf::Object(back) = &of[0] else { panic!("{of:?}") };
    assert_eq!(back.object.digest, Digest::of(&canonical(&kept)));
    assert_eq!((whole.blobs.len(), whole.blobs[0].addr), (1, back.object.manifest));
    assert_eq!((whole.fields.len(), &*whole.fields[0].now), (1, "\"9\""));
    let field = asked(Some(".data.k"), &then, &released).unwrap();
    let Restored::Held(_, of) = &field.restored else { panic!("{field:?}") };
    let HoldOf::Fields(back) = &of[0] else { panic!("{of:?}") };
    assert_eq!((back.saved, back.of_manifest), (field.blobs[0].addr, true));
    assert_eq!((&*back.fields[0].was, &*back.fields[0].now), ("\"1\"", "\"9\""));
    let other = asked(Some(".data.l"), &then, &released).unwrap_err();
    assert!(matches!(other, NotRestorable::Same { .. }), "{other}");

    // Held now, and not then.
    let holds = vec![hold.0];
    let holding = Now { held: vec![hold.clone()], holds, ..released.clone() };
    let before = Then { wanted, ..Then::default() };
    let field = asked(Some(".data.k"), &before, &holding).unwrap();
    assert_eq!((&*field.fields[0].was, &*field.fields[0].now), ("\"9\"", "\"1\""));
    let whole = asked(None, &before, &holding).unwrap();
    assert_eq!(whole.fields.len(), 1);
    assert_eq!(whole.notes, ["hold #5 of it ends: this takes its place"]);
    for field in [None, Some(".data.l")] {
        let same = asked(field, &then, &holding).unwrap_err();
        assert!(same.to_string().contains("what is wanted"), "{same}");
    }
    // The field that is held so may be held anew, over what Git says.
    let again = asked(Some(".data.k"), &then, &holding).unwrap();
    assert_eq!((&*again.fields[0].was, &*again.fields[0].now), ("\"1\"", "\"9\""));
    // An object that was kept away was not wanted, whatever Git said.
    let away = Then { away: Some(Seq(6)), ..before };
    let away = asked(None, &away, &released).unwrap_err();
    assert!(away.to_string().contains("kept away at #7, by hold #6"), "{away}");
    // What is held and is not in the ledger, or has no place, is named.
    let lost = HeldFields { saved: git.manifest, of_manifest: false, ..hold.1.clone() };
    let lost = Then { held: vec![(Seq(5), lost)], ..then.clone() };
    let refused = asked(None, &lost, &released).unwrap_err();
    assert!(refused.to_string().contains("hold #5"), "{refused}");
    let missing = HeldFields { saved: crate::replay::testing::object(MAP, 9).manifest, ..hold.1 };
    let missing = Then { held: vec![(Seq(5), missing)], ..then };
    let refused = asked(None, &missing, &released).unwrap_err();
    assert!(matches!(refused, NotRestorable::Blob { .. }), "{refused}");
    story.ledger.shutdown();
}

#[test]
fn what_was_held_of_a_secret_comes_back_sealed() {
    let mut story = Story::empty();
    let secret = |value: &str| {
        let metadata = json!({"name": "s", "namespace": "prod"});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"p": value}})
    };
    let git = desired(&mut story, SECRET, &secret("b3RoZXI="));
    let hold = held(&mut story, SECRET, ["f:data", "f:p"], &secret("aHVudGVyMg=="));
    let wanted = Some((name("web"), git.clone()));
    let then = Then { wanted, held: vec![hold], ..Then::default() };
    let released = now(Some("web"), Some(git), None);
    for field in [None, Some(".data.p")] {
        let asked = wish(SECRET, field, false);
        let found = prepare(&story.ledger, &asked, &then, &released).unwrap();
        assert_eq!(found.fields[0].now, crate::plan::secret::SECRET);
        let sealed = found.blobs[0].addr;
        let bytes = canonical(&secret("aHVudGVyMg=="));
        let (same, digest) = super::super::Book::sealed(&story.ledger, &bytes).unwrap().unwrap();
        assert_eq!(sealed, same.addr);
        assert_ne!(sealed, Blob::plain(bytes, None).addr, "it is not recorded in clear");
        let Restored::Held(_, of) = found.restored else { panic!() };
        if let HoldOf::Object(held) = &of[0] {
            assert_eq!(held.object.digest, digest);
        }
    }
    story.ledger.shutdown();
}

#[test]
fn what_is_held_is_read_with_what_is_wanted() {
    use crate::ledger::event::{BackTo, HoldBegunV1, HoldEnd, HoldEndedV1};
    use crate::replay::testing::{Given, object};
    let mut given = Given::synced(vec![object(MAP, 1)]);
    let (key, app) = (key(MAP), name("web"));
    let then = |given: &Given| Then::of(&given.world, &key);
    assert_eq!((then(&given).held, then(&given).away), (Vec::new(), None));
    let (saved, of_manifest) = (object(MAP, 1).manifest, true);
    let places = vec![vec!["f:data".to_owned(), "f:k".to_owned()]];
    let fields = HeldFields { key: key.clone(), saved, of_manifest, places, fields: Vec::new() };
    let begins = |given: &mut Given, of: HoldOf| {
        let (app, of, from) = (name("web"), vec![of], BackTo::Instant(Seq(1)));
        given.event(HoldBegunV1 { app, of, from, until: None, reason: String::new() });
        given.seq()
    };
    let hold = begins(&mut given, HoldOf::Fields(fields.clone()));
    assert_eq!(then(&given).held, [(hold, fields.clone())]);
    assert_eq!(Now::of(&given.world, &key, None).held, [(hold, fields)]);
    let (objects, holds) = (vec![key.clone()], vec![hold]);
    given.event(HoldEndedV1 { app, objects, holds, end: HoldEnd::Released });
    assert_eq!(then(&given).held, Vec::new());
    let away = begins(&mut given, HoldOf::Absence(key.clone()));
    assert_eq!(then(&given).away, Some(away));
}
