mod causes;

use serde_json::{Value, json};

use super::*;
use crate::ledger::event::{
    Applied, Health, IntentRecordedV1, IntentSettledV1, Learned, ObjectGoneV1, ObjectObservedV1,
    OutcomeRecordedV1, Verb, Write,
};
use crate::ledger::{Blob, Draft};
use crate::model::{Actor, Claim, Digest, Protection};
use crate::query::fixture::{Story, canonical, commit, key, name};
use crate::query::past::world_at;
use crate::query::search::Filter;

fn web() -> ObjectKey {
    key("Deployment.apps/prod/web")
}

fn diff(story: &Story, of: &Of, from: Seq, to: Seq) -> Vec<ObjectBetween> {
    let inventory = |seq| inventory(&world_at(&story.ledger, seq, false).unwrap(), of);
    compare((&story.ledger, &[]), (&inventory(from), &inventory(to)), (from, to)).unwrap()
}

/// What became of `web`, as its groups: the cause, the strength and the fields.
fn groups(story: &Story, from: Seq, to: Seq) -> Vec<(String, String, Vec<String>)> {
    told(story, &[], from, to)
}

fn told(
    story: &Story,
    people: &[PersonConfig],
    from: Seq,
    to: Seq,
) -> Vec<(String, String, Vec<String>)> {
    let found = object((&story.ledger, people), &web(), (from, to)).unwrap();
    let groups = found.into_iter().flat_map(|found| found.groups);
    groups
        .map(|group| {
            let paths = group.fields.into_iter().map(|field| field.path).collect();
            (group.cause, group.strength, paths)
        })
        .collect()
}

fn object_with(replicas: u32, image: &str, paused: bool) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"replicas": replicas, "paused": paused,
            "template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

/// Who owns what: `(manager, field of spec)`.
fn owned(by: &[(&str, &str)]) -> Value {
    let entry = |(manager, field): &(&str, &str)| {
        let operation = if *manager == "greffier" { "Apply" } else { "Update" };
        json!({"manager": manager, "operation": operation, "subresource": "", "time": null,
            "fieldsV1": {"f:spec": {(format!("f:{field}")): {}}}})
    };
    by.iter().map(entry).collect()
}

/// The watch shows a version; `managers` changed it, as it says of itself.
fn seen(story: &mut Story, object: &Value, version: &str, managers: &[&str]) -> Seq {
    let live = json!({"object": object, "fields": []});
    story.blob(&live);
    let body = ObjectObservedV1 {
        digest: Digest::of(&canonical(object)),
        object: Blob::plain(canonical(&live), None).addr,
        ..ObjectObservedV1::plain(web(), &format!("uid-{}", web()), version)
    };
    let claim = |name: &&str| Claim {
        scheme: Scheme::FieldManager,
        value: (*name).to_owned(),
        strength: 2,
    };
    let actor = Actor { claims: managers.iter().map(claim).collect() };
    story.add(Draft::new(body).by(actor))
}

/// The audit says who.
fn resolved(story: &mut Story, observation: Seq, verdict: Verdict, who: &[&str]) -> Seq {
    let claim = |who: &&str| ActorClaim { who: (*who).to_owned(), ..ActorClaim::default() };
    story.event(AttributionResolvedV1 {
        observation,
        key: web(),
        verdict,
        claims: who.iter().map(claim).collect(),
        more: 0,
        fields: vec![],
        causes: vec![],
        drift: None,
        replaces: None,
        was: None,
        counts: true,
        waiting: false,
        why: String::new(),
    })
}

/// greffier writes, and is answered with a version.
fn wrote(story: &mut Story, object: &Value, fields: &Value, version: &str, changed: bool) -> Seq {
    let live = json!({"object": object, "fields": fields});
    story.blob(&live);
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: vec![Write::plain(Verb::Update, web(), "v1", "Git changed")],
        commit: Some(commit('c')),
        timeout_ms: 10_000,
    });
    let applied = Applied {
        uid: format!("uid-{}", web()),
        resource_version: version.into(),
        baseline: Digest::of(b"baseline"),
        object: Blob::plain(canonical(&live), None).addr,
        changed,
        digest: Digest::of(&canonical(object)),
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    };
    let results = vec![(0, WriteResult::Applied(applied))];
    story.event(OutcomeRecordedV1 { app: name("web"), intent, results })
}

#[test]
fn what_changed_is_told_with_what_made_it() {
    let mut story = Story::told();
    let (web, app) = (web(), Of::App(name("web")));
    let (begin, head) = (Seq(1), story.ledger.head());
    let all = diff(&story, &app, begin, head);
    let made = all.iter().find(|object| object.object.contains("Secret")).unwrap();
    assert_eq!(made.change, "appeared");
    let cause = &made.groups[0];
    assert!(cause.cause.contains("commit aaaaaaaaaa applied by greffier"), "{cause:?}");
    // Who made it is not who changed it last: both are told.
    let both = groups(&story, begin, head);
    assert!(both[0].0.contains("applied by greffier") && both.len() == 2, "{both:?}");
    assert!(both[1].0.contains("not known"), "{both:?}");
    let applied = Seq(story.world.live[&web].seq.0 - 1);
    let all = diff(&story, &app, applied, head);
    assert_eq!(all.len(), 1, "{all:?}");
    let group = &all[0].groups[0];
    assert_eq!(group.fields[0].path, ".spec.replicas");
    assert_eq!(group.events, [story.world.live[&web].seq.0]);
    assert_eq!((group.cause.as_str(), group.by.len()), ("changed, by whom is not known", 0));
    // Changed and changed back is no difference.
    let uid = format!("uid-{web}");
    let two = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod"}, "spec": {"replicas": 2}});
    story.observed(&web, &two, &uid, "");
    assert_eq!(diff(&story, &app, applied, story.ledger.head()), []);
    let namespace = Of::Namespace("prod".into());
    assert!(
        diff(&story, &namespace, applied, story.ledger.head())
            .iter()
            .all(|object| { object.object.contains("ReplicaSet") && object.change == "appeared" })
    );
}

/// Goal: fields are told by what changed each of them last, with the user that the audit names as
/// is known now, and with a claim, labelled, where nothing else tells.
#[test]
fn fields_are_grouped_by_their_causes() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let first = seen(&mut story, &object_with(3, "a:1", false), "31", &["kubectl"]);
    let second = seen(&mut story, &object_with(3, "a:2", true), "32", &["kubectl"]);
    let to = seen(&mut story, &object_with(3, "a:2", true), "33", &["helm"]);
    let image = ".spec.template.spec.containers[name=web].image".to_owned();
    let paused = ".spec.paused".to_owned();
    let replicas = ".spec.replicas".to_owned();
    // Nothing but the object itself tells: one claim, one group.
    let claimed = groups(&story, from, to);
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert_eq!(claimed[0].0, "changed by kubectl (field manager, claimed)");
    assert_eq!((claimed[0].1.as_str(), claimed[0].2.len()), ("field-manager", 3));
    // It is found out after the later instant.
    resolved(&mut story, first, Verdict::Exact, &["alice"]);
    resolved(&mut story, second, Verdict::Ambiguous, &["bob", "carol"]);
    assert_eq!(
        groups(&story, from, to),
        [
            ("changed by alice (audit, exact)".into(), "exact".into(), vec![replicas.clone()]),
            (
                "changed by bob or carol (audit, ambiguous)".into(),
                "ambiguous".into(),
                vec![paused.clone(), image.clone()]
            ),
        ]
    );
    // The last word counts, and names a person where it is written down whose the user is.
    resolved(&mut story, second, Verdict::Unique, &["alice"]);
    let alice = PersonConfig {
        name: "Alice Martin".into(),
        kubernetes: vec!["alice".into(), "kubectl".into()],
        ..PersonConfig::default()
    };
    let people = [alice];
    let named = told(&story, &people, from, to);
    assert_eq!(named[0].0, "changed by Alice Martin (alice) (audit, exact)");
    assert_eq!(named[1].0, "changed by Alice Martin (alice) (audit, unique)");
    // A field manager is nobody's name, also where it is spelt like one.
    let last = seen(&mut story, &object_with(9, "a:2", true), "34", &["kubectl"]);
    let claimed = told(&story, &people, to, last);
    assert_eq!(claimed[0].0, "changed by kubectl (field manager, claimed)");
}

/// Goal: greffier is not said to have changed what its answer only shows.
#[test]
fn an_answer_to_a_write_names_greffier_for_its_own_fields_only() {
    let mut story = Story::told();
    let fields = owned(&[("greffier", "template"), ("kubectl-scale", "replicas")]);
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let to = wrote(&mut story, &object_with(7, "a:2", false), &fields, "31", true);
    let found = groups(&story, from, to);
    assert_eq!(found.len(), 2, "{found:?}");
    let of = |field: &str| found.iter().find(|group| group.2[0].contains(field)).unwrap();
    assert!(of("image").0.starts_with("commit cccccccccc applied by greffier"), "{found:?}");
    let scaled = "changed by kubectl-scale (field manager, claimed)";
    assert!(of("replicas").0.starts_with(scaled), "{found:?}");
    assert_eq!(of("replicas").1, "field-manager");
    // Who calls himself greffier is not greffier.
    let mut forged = owned(&[("greffier", "template"), ("mallory", "replicas")]);
    forged[1]["manager"] = json!("greffier");
    let mut other = Story::told();
    let from = seen(&mut other, &object_with(2, "a:1", false), "30", &[]);
    let to = wrote(&mut other, &object_with(7, "a:2", false), &forged, "31", true);
    let claimed = groups(&other, from, to);
    let of = |field: &str| claimed.iter().find(|group| group.2[0].contains(field)).unwrap();
    assert!(of("replicas").0.starts_with("changed by greffier (field manager, claimed)"));
    assert!(of("image").0.starts_with("commit cccccccccc applied by greffier"), "{claimed:?}");
    // A write that changed nothing shows what somebody else just did.
    let shown = wrote(&mut story, &object_with(8, "a:2", false), &fields, "32", false);
    let found = groups(&story, to, shown);
    assert_eq!((found.len(), found[0].1.as_str()), (1, "unknown"), "{found:?}");
    let echo = seen(&mut story, &object_with(8, "a:2", false), "32", &["kubectl-scale"]);
    resolved(&mut story, echo, Verdict::Exact, &["bob"]);
    assert_eq!(groups(&story, to, shown)[0].0, "changed by bob (audit, exact)");
}

/// Goal: greffier deleted what it was answered that it deleted; that it was seen to be deleted
/// later is no answer.
#[test]
fn a_deletion_is_greffiers_when_it_was_answered() {
    let ends = |answered: bool| {
        let mut story = Story::told();
        let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
        let uid = format!("uid-{}", web());
        let prune = Write {
            precondition: Some((uid.clone(), "30".into())),
            ..Write::plain(Verb::Prune, web(), "v1", "it left Git")
        };
        let (app, writes) = (name("web"), vec![prune]);
        let intent = IntentRecordedV1 { app, writes, commit: None, timeout_ms: 10_000 };
        let intent = story.event(intent);
        let (app, results) = (name("web"), vec![(0, WriteResult::Deleted)]);
        if answered {
            story.event(OutcomeRecordedV1 { app, intent, results });
        } else {
            story.event(IntentSettledV1 { app, intent, results });
        }
        let gone = ObjectGoneV1 { key: web(), uid, learned: Learned::Watched };
        let to = story.event(gone);
        groups(&story, from, to).remove(0).0
    };
    assert!(ends(true).starts_with("applied by greffier"), "{}", ends(true));
    assert!(ends(false).contains("not known"), "{}", ends(false));
}

/// Goal: `--field` finds what changed the field, and nothing else, of any object of an event.
#[test]
fn a_field_finds_the_events_that_changed_it() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    let scaled = seen(&mut story, &object_with(3, "a:1", false), "31", &[]);
    let upgraded = seen(&mut story, &object_with(3, "a:2", false), "32", &[]);
    let find = |story: &Story, field: &str| {
        let filter = Filter {
            object: Some(web()),
            field: Some(field.to_owned()),
            after: from,
            ..Filter::default()
        };
        let found = crate::query::search::newest(&story.ledger, &filter, 50).unwrap();
        found.iter().map(|found| found.recorded.seq()).collect::<Vec<_>>()
    };
    assert_eq!(find(&story, "spec.replicas"), [scaled]);
    assert_eq!(find(&story, ".spec.template"), [upgraded]);
    assert_eq!(find(&story, "spec"), [scaled, upgraded]);
    assert_eq!(find(&story, "spec.rep"), []);
    // One answer tells of more objects than are shown.
    let live = json!({"object": object_with(4, "a:2", false), "fields": []});
    story.blob(&live);
    let other = |index: usize| key(&format!("ConfigMap/prod/other-{index:02}"));
    let keys: Vec<_> = (0..25).map(other).chain([web()]).collect();
    let write = |key: &ObjectKey| Write::plain(Verb::Update, key.clone(), "v1", "Git changed");
    let intent = story.event(IntentRecordedV1 {
        app: name("web"),
        writes: keys.iter().map(write).collect(),
        commit: None,
        timeout_ms: 10_000,
    });
    let applied = |key: &ObjectKey| {
        WriteResult::Applied(Applied {
            uid: format!("uid-{key}"),
            resource_version: "40".into(),
            baseline: Digest::of(b"baseline"),
            object: Blob::plain(canonical(&live), None).addr,
            changed: true,
            digest: Digest::of(b"d"),
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            notes: Box::default(),
        })
    };
    let results = (0..).zip(keys.iter().map(applied)).collect();
    let outcome = story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    assert_eq!(find(&story, "spec.replicas"), [scaled, outcome]);
}

/// An object with `many` fields of a value, and one that comes after them.
fn with_many(many: u32, value: u32, last: u32) -> Value {
    let mut object = object_with(2, "a:1", false);
    let spec = object["spec"].as_object_mut().unwrap();
    spec.extend((0..many).map(|number| (format!("f{number:03}"), json!(value))));
    spec.insert("last".into(), json!(last));
    object
}

/// Goal: where a change is too large to be compared as a whole, nobody is named for it.
#[test]
fn a_change_of_too_many_fields_makes_no_older_change_the_last_one() {
    let mut story = Story::told();
    let from = seen(&mut story, &with_many(150, 0, 0), "30", &[]);
    let alice = seen(&mut story, &with_many(150, 0, 1), "31", &["alice"]);
    let bob = seen(&mut story, &with_many(150, 1, 2), "32", &["bob"]);
    let part = groups(&story, alice, bob);
    assert_eq!((part.len(), part[0].2.len()), (1, 100), "{part:?}");
    let told = object((&story.ledger, &[]), &web(), (alice, bob)).unwrap().unwrap();
    assert!(told.cut, "more changed than is told");
    let back = seen(&mut story, &with_many(150, 0, 2), "33", &["carol"]);
    let found = object((&story.ledger, &[]), &web(), (from, back)).unwrap().unwrap();
    assert!(!found.cut);
    let [group] = &found.groups[..] else { panic!("{found:?}") };
    assert_eq!((group.fields[0].path.as_str(), group.by.len()), (".spec.last", 0));
    let why = format!("by whom is not known: #{back} changed more fields than are compared");
    assert_eq!((&group.cause, group.strength.as_str()), (&why, "unknown"));
    let to = seen(&mut story, &with_many(150, 0, 3), "34", &["dave"]);
    assert!(groups(&story, from, to)[0].0.starts_with("changed by dave"));
    // Whoever looks for what changed the field finds everything that may have.
    let filter = Filter {
        object: Some(web()),
        field: Some(".spec.last".into()),
        after: from,
        ..Filter::default()
    };
    let events = crate::query::search::newest(&story.ledger, &filter, 50).unwrap();
    let events: Vec<Seq> = events.iter().map(|found| found.recorded.seq()).collect();
    assert_eq!(events, [alice, bob, back, to]);
}

/// Goal: of very many events the last ones are read, and nobody among them is named for what
/// lies further back.
#[test]
fn what_lies_too_far_back_is_said_to_be_not_looked_at() {
    let mut story = Story::told();
    let from = seen(&mut story, &object_with(2, "a:1", false), "30", &[]);
    seen(&mut story, &object_with(3, "a:1", false), "31", &["alice"]);
    let sample = resolved(&mut story, from, Verdict::Unknown, &[]);
    let sample = story.ledger.get(sample).unwrap().unwrap().event.clone().unwrap();
    let drafts = vec![Draft::new(sample); WITHIN_MAX];
    story.add(crate::ledger::Batch { blobs: Vec::new(), drafts });
    let to = seen(&mut story, &object_with(3, "a:2", false), "32", &["bob"]);
    let found = groups(&story, from, to);
    let of = |field: &str| found.iter().find(|group| group.2[0].contains(field)).unwrap();
    assert_eq!(of("replicas").0, format!("by whom is not known: {TOO_MANY}"));
    assert!(of("image").0.starts_with("changed by bob"), "{found:?}");
}
