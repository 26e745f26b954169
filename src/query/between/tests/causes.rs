//! Whose a change is, and what it is of: where one is easily taken for another.

use super::*;
use crate::ledger::event::KindListedV1;
use crate::query::patch;

/// The watch shows an object of that uid.
fn shown(story: &mut Story, object: &Value, (uid, version): (&str, &str), manager: &str) -> Seq {
    let live = json!({"object": object, "fields": []});
    story.blob(&live);
    let body = ObjectObservedV1 {
        digest: Digest::of(&canonical(object)),
        object: Blob::plain(canonical(&live), None).addr,
        ..ObjectObservedV1::plain(web(), uid, version)
    };
    let (scheme, value) = (Scheme::FieldManager, manager.to_owned());
    let claims = vec![Claim { scheme, value, strength: 2 }];
    story.add(Draft::new(body).by(Actor { claims }))
}

fn gone(story: &mut Story) -> Seq {
    let uid = format!("uid-{}", web());
    story.event(ObjectGoneV1 { key: web(), uid, learned: Learned::Watched })
}

fn intended(story: &mut Story, method: Method) -> Seq {
    let write = Write { method, ..Write::plain(Verb::Update, web(), "v1", "Git changed") };
    let (app, writes, commit) = (name("web"), vec![write], Some(commit('c')));
    story.event(IntentRecordedV1 { app, writes, commit, timeout_ms: 10_000 })
}

/// The answer to that, with a version and who owns which field of `spec`.
fn answer(
    object: &Value,
    owners: &[(&str, &str)],
    (uid, version): (&str, &str),
) -> (Blob, Applied) {
    let live = json!({"object": object, "fields": owned(owners)});
    let blob = Blob::plain(canonical(&live), None);
    let applied = Applied {
        uid: uid.into(),
        resource_version: version.into(),
        baseline: Digest::of(b"baseline"),
        object: blob.addr,
        changed: true,
        digest: Digest::of(&canonical(object)),
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    };
    (blob, applied)
}

fn answered(story: &mut Story, intent: Seq, (blob, applied): (Blob, Applied)) -> Seq {
    let results = vec![(0, WriteResult::Applied(applied))];
    let body = OutcomeRecordedV1 { app: name("web"), intent, results };
    story.add(crate::ledger::Batch { blobs: vec![blob], drafts: vec![Draft::new(body)] })
}

fn uid() -> String {
    format!("uid-{}", web())
}

/// The object without `spec.paused`.
fn without_paused(replicas: u32, image: &str) -> Value {
    let mut object = object_with(replicas, image, false);
    object["spec"].as_object_mut().unwrap().remove("paused");
    object
}

const GREFFIERS: &str = "commit cccccccccc applied by greffier";

#[test]
fn an_app_has_what_it_applied_and_a_namespace_has_its_own() {
    let story = Story::told();
    let of_app = inventory(&story.world, &Of::App(name("web")));
    assert!(
        of_app.contains_key(&key("ConfigMap/prod/old")),
        "it left Git and is there: {of_app:?}"
    );
    assert!(!of_app.contains_key(&key("ReplicaSet.apps/prod/web-1")), "{of_app:?}");
    let of_namespace = inventory(&story.world, &Of::Namespace("prod".into()));
    assert!(of_namespace.keys().all(|key| key.namespace() == "prod") && of_namespace.len() > 1);
}

/// Goal: who made an object anew gave it all its fields, and who made the one before did nothing.
#[test]
fn what_was_made_anew_is_whoever_made_its() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let first = gone(&mut story);
    shown(&mut story, &object_with(3, "a:1", false), ("second", "31"), "alice");
    story.event(ObjectGoneV1 { key: web(), uid: "second".into(), learned: Learned::Watched });
    let to = shown(&mut story, &object_with(4, "a:1", false), ("third", "32"), "bob");
    let found = object((&story.ledger, &[]), &web(), (from, to)).unwrap().unwrap();
    assert_eq!((found.change.as_str(), found.groups.len()), ("made anew", 1), "{found:?}");
    assert!(found.groups[0].cause.starts_with("changed by bob"), "{found:?}");
    assert_eq!(found.groups[0].fields[0].path, ".spec.replicas");
    let appeared = groups(&story, first, to);
    assert_eq!(appeared.len(), 1, "alice's is gone: {appeared:?}");
    assert!(appeared[0].0.starts_with("changed by bob"), "{appeared:?}");
    // The very same again is another object all the same.
    let again = shown(&mut story, &object_with(4, "a:1", false), ("fourth", "33"), "carol");
    let found = object((&story.ledger, &[]), &web(), (to, again)).unwrap().unwrap();
    assert_eq!((found.change.as_str(), found.groups[0].fields.len()), ("made anew", 0));
    assert!(found.groups[0].cause.starts_with("changed by carol"), "{found:?}");
    // Of what greffier made anew all is greffier's.
    let intent = intended(&mut story, Method::Apply);
    let owners = [("mallory", "replicas"), ("greffier", "template")];
    let anew = answer(&object_with(9, "a:2", false), &owners, ("fifth", "34"));
    let last = answered(&mut story, intent, anew);
    let found = groups(&story, again, last);
    assert_eq!((found.len(), found[0].2.len()), (1, 2), "{found:?}");
    assert!(found[0].0.starts_with(GREFFIERS), "{found:?}");
}

/// Goal: one cause of many changes is told once, with the first and the last of its events and
/// its commit.
#[test]
fn a_cause_is_told_once_from_its_first_event_to_its_last() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let first = seen(&mut story, &object_with(2, "a:1", true), "31", &["kubectl"]);
    seen(&mut story, &object_with(3, "a:1", true), "32", &["kubectl"]);
    let to = seen(&mut story, &object_with(3, "a:2", true), "33", &["kubectl"]);
    let found = object((&story.ledger, &[]), &web(), (from, to)).unwrap().unwrap();
    assert_eq!((found.groups.len(), found.groups[0].fields.len()), (1, 3), "{found:?}");
    assert_eq!(found.groups[0].events, [first.0, to.0]);
    let intent = intended(&mut story, Method::Apply);
    let last = answer(&object_with(3, "a:3", true), &[("greffier", "template")], (&uid(), "34"));
    let last = answered(&mut story, intent, last);
    // What was sent before the earlier instant is answered after it; what comes later counts not.
    let after = seen(&mut story, &object_with(8, "a:9", true), "35", &["mallory"]);
    gone(&mut story);
    for from in [to, intent] {
        let found = object((&story.ledger, &[]), &web(), (from, last)).unwrap().unwrap();
        assert_eq!(found.groups.len(), 1, "{found:?}");
        let group = &found.groups[0];
        assert!(group.cause.starts_with(GREFFIERS), "{found:?}");
        assert_eq!((&group.commit, &group.events), (&commit('c').to_string(), &vec![last.0]));
    }
    let found = object((&story.ledger, &[]), &web(), (last, after)).unwrap().unwrap();
    assert!(found.groups.iter().all(|group| group.cause.starts_with("changed by mallory")));
}

/// Goal: a field that greffier's answer shows no longer was greffier's where it owned it; who took
/// away what another owned, or nobody, is not known; and what replaces everything owns everything.
#[test]
fn who_removed_a_field_is_told_by_who_owned_it() {
    let removed = |owner: Option<&str>, method: Method| {
        let mut story = Story::told();
        let intent = intended(&mut story, Method::Apply);
        let owners: Vec<(&str, &str)> = owner
            .map(|owner| (owner, "paused"))
            .into_iter()
            .chain([("greffier", "template")])
            .collect();
        let first = answer(&object_with(2, "a:1", true), &owners, (&uid(), "30"));
        let from = answered(&mut story, intent, first);
        let intent = intended(&mut story, method);
        let owners = [("greffier", "template")];
        let second = answer(&without_paused(2, "a:2"), &owners, (&uid(), "31"));
        let to = answered(&mut story, intent, second);
        let found = object((&story.ledger, &[]), &web(), (from, to)).unwrap().unwrap();
        let of = |path: &str| {
            let has = |group: &&Group| group.fields.iter().any(|field| field.path.contains(path));
            found.groups.iter().find(has).unwrap().clone()
        };
        assert!(of("image").cause.starts_with(GREFFIERS), "{found:?}");
        of("paused")
    };
    assert!(removed(Some("greffier"), Method::Apply).cause.starts_with(GREFFIERS));
    for owner in [Some("mallory"), None] {
        let group = removed(owner, Method::Apply);
        assert!(group.cause.starts_with("changed, by whom is not known; first seen"), "{group:?}");
        assert_eq!((group.strength.as_str(), group.by.len()), ("unknown", 0), "{group:?}");
    }
    assert!(removed(Some("mallory"), Method::Replace).cause.starts_with(GREFFIERS));
}

/// Goal: whom the audit names surely comes before greffier's own answer, and nobody else does;
/// what the audit could not tell hides nothing, and names nobody.
#[test]
fn whom_the_audit_names_surely_comes_first() {
    for (verdict, expected) in [
        (Verdict::Exact, "changed by bob (audit, exact)"),
        (Verdict::Unique, "changed by bob (audit, unique)"),
        (Verdict::Ambiguous, GREFFIERS),
    ] {
        let mut story = Story::told();
        let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
        let intent = intended(&mut story, Method::Apply);
        let made =
            answer(&object_with(2, "a:2", false), &[("greffier", "template")], (&uid(), "31"));
        let to = answered(&mut story, intent, made);
        let echo = seen(&mut story, &object_with(2, "a:2", false), "31", &["greffier"]);
        resolved(&mut story, echo, verdict, &["bob"]);
        let found = groups(&story, from, to);
        assert!(found[0].0.starts_with(expected), "{verdict:?}: {found:?}");
    }
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let to = seen(&mut story, &object_with(3, "a:1", false), "31", &["kubectl"]);
    resolved(&mut story, to, Verdict::Unknown, &[]);
    let claimed = "changed by kubectl (field manager, claimed)";
    assert_eq!(groups(&story, from, to)[0].0, claimed);
    // The same version is shown twice: what is known of either counts.
    let echo = seen(&mut story, &object_with(3, "a:1", false), "31", &["kubectl"]);
    let said = resolved(&mut story, echo, Verdict::Exact, &["bob"]);
    assert_eq!(groups(&story, from, to)[0].0, "changed by bob (audit, exact)");
    let said = story.ledger.get(said).unwrap().unwrap().event.clone();
    let Some(Event::AttributionResolved(said)) = said else { panic!() };
    story.event(AttributionResolvedV1 { verdict: Verdict::Ambiguous, more: 2, ..said.clone() });
    let several = "changed by bob or 2 more (audit, ambiguous)";
    assert_eq!(groups(&story, from, to)[0].0, several);
    story.event(AttributionResolvedV1 { verdict: Verdict::Unknown, ..said });
    let found = object((&story.ledger, &[]), &web(), (from, to)).unwrap().unwrap();
    let group = &found.groups[0];
    assert_eq!((group.strength.as_str(), group.by.len()), ("unknown", 0), "{group:?}");
}

/// Goal: that a list does not show what greffier was answered is nobody's doing that is known.
#[test]
fn what_a_list_does_not_show_is_gone_by_nobody_who_is_known() {
    let mut story = Story::told();
    gone(&mut story);
    let intent = intended(&mut story, Method::Apply);
    let made = answer(&object_with(2, "a:2", false), &[("greffier", "template")], ("fresh", "31"));
    let from = answered(&mut story, intent, made);
    let (kind, resource_version) = (web().group_kind(), String::from("40"));
    let to = story.event(KindListedV1 { kind, objects: 0, resource_version, named: Vec::new() });
    let found = object((&story.ledger, &[]), &web(), (from, to)).unwrap().unwrap();
    assert_eq!((found.change.as_str(), found.groups.len()), ("gone", 1), "{found:?}");
    assert_eq!(found.groups[0].cause, format!("by whom is not known: {UNTOLD}"));
}

/// Goal: of very many changes the last ones are looked at, and nobody among them is named for an
/// earlier one.
#[test]
fn the_last_of_many_changes_is_not_named_for_all_of_them() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    seen(&mut story, &object_with(3, "a:1", false), "31", &["alice"]);
    let mut to = from;
    for number in 0..STEPS_MAX {
        let image = if number % 2 == 0 { "a:2" } else { "a:3" };
        to = seen(&mut story, &object_with(3, image, false), &(32 + number).to_string(), &["bob"]);
    }
    let found = groups(&story, from, to);
    let of = |field: &str| found.iter().find(|group| group.2[0].contains(field)).unwrap();
    assert_eq!(of("replicas").0, format!("by whom is not known: {TOO_MANY}"));
    assert!(of("image").0.starts_with("changed by bob"), "{found:?}");
}

/// Goal: an event tells what it changed of its own objects, of at most 20; who asks about one
/// object is not told of another's field.
#[test]
fn an_event_tells_of_its_own_objects() {
    let mut story = Story::told();
    seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let of = |story: &Story, seq: Seq| {
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        patch::of_event(&story.ledger, &recorded).unwrap()
    };
    let end = gone(&mut story);
    assert_eq!(of(&story, end)[0].change, "gone");
    let other = |index: usize| key(&format!("ConfigMap/prod/other-{index:02}"));
    let keys: Vec<ObjectKey> = (0..25).map(other).collect();
    let write = |key: &ObjectKey| Write::plain(Verb::Create, key.clone(), "v1", "Git changed");
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: keys.iter().map(write).collect(),
        commit: None,
        timeout_ms: 10_000,
    });
    let (blob, made) = answer(&object_with(4, "a:2", false), &[], ("", "40"));
    let results = (0..).zip(&keys).map(|(index, key)| {
        (index, WriteResult::Applied(Applied { uid: format!("uid-{key}"), ..made.clone() }))
    });
    let body = IntentSettledV1 { app: name("web"), intent, results: results.collect() };
    let settled =
        story.add(crate::ledger::Batch { blobs: vec![blob], drafts: vec![Draft::new(body)] });
    let told = of(&story, settled);
    assert!(told.iter().all(|patch| patch.change == "appeared"), "{told:?}");
    assert_eq!(told.len(), 20);
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: keys.iter().take(2).map(write).collect(),
        commit: None,
        timeout_ms: 10_000,
    });
    let changed = |key: &ObjectKey, replicas: u32, version: &str| {
        let uid = format!("uid-{key}");
        answer(&object_with(replicas, "a:2", false), &[], (&uid, version))
    };
    // One is scaled, the other is not.
    let ((first, one), (second, two)) = (changed(&keys[0], 5, "41"), changed(&keys[1], 4, "42"));
    let results = vec![(0, WriteResult::Applied(one)), (1, WriteResult::Applied(two))];
    let body = OutcomeRecordedV1 { app: name("web"), intent, results };
    let blobs = vec![first, second];
    let outcome = story.add(crate::ledger::Batch { blobs, drafts: vec![Draft::new(body)] });
    let recorded = story.ledger.get(outcome).unwrap().unwrap();
    let scaled = |key: &ObjectKey| {
        patch::changed(&story.ledger, &recorded, Some(key), "spec.replicas").unwrap()
    };
    assert_eq!((scaled(&keys[0]), scaled(&keys[1])), (true, false));
}

/// Goal: `@-` of an object is before the answer to greffier's write, where the watch shows the
/// very version that was answered; otherwise before what the watch shows.
#[test]
fn back_of_an_object_is_before_the_answer_that_the_watch_repeats() {
    for (version, before_answer) in [("31", true), ("32", false)] {
        let mut story = Story::told();
        seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
        let intent = intended(&mut story, Method::Apply);
        let made = answer(&object_with(2, "a:2", false), &[], (&uid(), "31"));
        let answered = answered(&mut story, intent, made);
        let replicas = if before_answer { 2 } else { 7 };
        let echo = seen(&mut story, &object_with(replicas, "a:2", false), version, &["bob"]);
        let about = crate::query::instant::About::object(&web());
        let now = Timestamp::now();
        let back = crate::model::Instant::Back(1);
        let at = crate::query::instant::resolve(&story.ledger, &back, &about, now).unwrap();
        let change = if before_answer { answered } else { echo };
        assert_eq!(at.seq.next(), change, "{version}");
    }
}

/// Goal: that a field is owned by somebody else now is no change of the object.
#[test]
fn other_field_managers_alone_are_no_change() {
    let mut story = Story::told();
    let object = object_with(2, "a:1", false);
    let from = seen(&mut story, &object, "30", &[]);
    let intent = intended(&mut story, Method::Apply);
    let made = answer(&object, &[("greffier", "template")], (&uid(), "31"));
    let to = answered(&mut story, intent, made);
    assert_eq!(groups(&story, from, to), []);
    let recorded = story.ledger.get(to).unwrap().unwrap();
    assert_eq!(patch::of_event(&story.ledger, &recorded).unwrap(), []);
}
