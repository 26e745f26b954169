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
    let then = Then { wanted: Some((name("web"), was.clone())), seen: None };
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
    let then = Then { wanted: Some((name("web"), lost.clone())), seen: None };
    let present = now(Some("web"), None, None);
    let refused = |then: &Then, present: &Now, live: bool| {
        prepare(&story.ledger, &wish(MAP, None, live), then, present).unwrap_err()
    };
    let blob = refused(&then, &present, false);
    assert!(blob.to_string().contains(&lost.manifest.to_string()), "{blob}");
    assert!(matches!(refused(&Then::default(), &present, false), NotRestorable::NotThere { .. }));
    assert!(matches!(refused(&then, &present, true), NotRestorable::NotSeen { .. }));
    let observed = seen(&mut story, &map(json!({"k": "1"})));
    let then = Then { wanted: None, seen: Some(observed) };
    let refused = |present: &Now| {
        prepare(&story.ledger, &wish(MAP, None, false), &then, present).unwrap_err()
    };
    assert!(matches!(refused(&present), NotRestorable::NotWanted { .. }));
    let unknown = Now { known: false, ..now(None, None, None) };
    assert!(matches!(refused(&unknown), NotRestorable::Unknown(_)));
    let unserved = Now { served: false, ..now(None, None, None) };
    assert!(matches!(refused(&unserved), NotRestorable::NotServed(_)));
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
    let then = Then { wanted: None, seen: Some(was.clone()) };
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
    let then = Then { wanted: None, seen: Some(was) };
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
    let then = Then { wanted: Some((name("web"), wanted)), seen: None };
    let present = now(Some("web"), Some(later), None);
    for field in [None, Some(".data.password")] {
        let found = prepare(&story.ledger, &wish(SECRET, field, false), &then, &present).unwrap();
        assert!(!format!("{found:?}").contains("aHVudGVyMg"), "{found:?}");
        assert_eq!(found.fields[0].now, crate::plan::secret::SECRET);
    }
    story.ledger.shutdown();
}
