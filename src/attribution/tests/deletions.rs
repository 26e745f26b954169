//! Who deleted, and why.

use super::*;

fn gone(key: ObjectKey, uid: &str) -> ObjectGoneV1 {
    ObjectGoneV1 { key, uid: uid.into(), learned: Learned::Watched }
}

fn deleted(story: &mut Story, user: &str, key: &ObjectKey, uid: &str) -> Seq {
    story.record(|body| {
        name(body, user);
        body.verb = "delete".into();
        body.key = key.clone();
        body.uid = uid.into();
        body.reach = AuditReach::Whole;
    })
}

fn disappear(story: &mut Story, key: &ObjectKey, uid: &str) -> Seq {
    let seq = story.fold(&gone(key.clone(), uid).into());
    story.settle();
    seq
}

#[test]
fn the_request_that_names_the_uid_deleted_it() {
    let mut story = Story::new();
    story.known(10);
    deleted(&mut story, "bob", &web(), "earlier");
    deleted(&mut story, "alice", &web(), "u");
    story.read_to(0);
    let seen = disappear(&mut story, &web(), "u");
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
}

#[test]
fn two_who_were_told_that_they_deleted_it_are_both_named() {
    let mut story = Story::new();
    story.known(10);
    deleted(&mut story, "alice", &web(), "u");
    deleted(&mut story, "bob", &web(), "u");
    story.read_to(0);
    let seen = disappear(&mut story, &web(), "u");
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice", "bob"]));
}

/// Goal: the request for a deletion and its end are two changes.
#[test]
fn a_deletion_that_finalizers_delay_has_two_parts() {
    let mut story = Story::new();
    story.later(100);
    story.known(10);
    story.record(|body| {
        name(body, "alice");
        body.verb = "delete".into();
        body.resource_version = "11".into();
        body.reach = AuditReach::Whole;
    });
    story.read_to(0);
    let deleting = ObjectObservedV1 { deleting: true, ..seen(11) };
    let asked = story.observe(deleting, Change::default());
    assert_eq!(story.who(asked), is(Verdict::Exact, &["alice"]));
    story.at += 60;
    story.patched("some-controller", 12, &[".metadata.finalizers"]);
    let ended = disappear(&mut story, &web(), "u");
    story.read_to(6);
    assert_eq!(story.who(ended), is(Verdict::Unique, &["some-controller"]));
    assert_eq!(story.resolved(ended).unwrap().causes, [asked]);
}

/// Goal: no gap where the kubelet ends the grace period of a Pod, whose answer shows the version in
/// which it was removed.
#[test]
fn a_deletion_without_grace_is_seen_twice_and_is_one_request() {
    let mut story = Story::new();
    story.later(100);
    story.known(10);
    let request = |story: &mut Story, user: &str, version: u64| {
        story.record(|body| {
            name(body, user);
            body.verb = "delete".into();
            body.resource_version = version.to_string();
            body.reach = AuditReach::Whole;
        })
    };
    request(&mut story, "alice", 11);
    story.read_to(0);
    let deleting = |version| ObjectObservedV1 { deleting: true, ..seen(version) };
    let asked = story.observe(deleting(11), Change::default());
    story.at += 5;
    request(&mut story, "kubelet", 13);
    let grace = [".metadata.deletionGracePeriodSeconds", ".metadata.deletionTimestamp"];
    let ended = story.observe(deleting(12), sets(&grace));
    let gone = disappear(&mut story, &web(), "u");
    story.read_to(6);
    assert_eq!(story.who(asked), is(Verdict::Exact, &["alice"]));
    assert_eq!(story.who(ended), is(Verdict::Unique, &["kubelet"]));
    assert_eq!(story.who(gone), is(Verdict::Unique, &["kubelet"]));
    story.later(3_600);
    assert_eq!(story.gaps(), 0);
}

#[test]
fn a_collection_is_deleted_with_all_that_is_in_it() {
    let mut story = Story::new();
    story.known(10);
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    story.record(|body| {
        name(body, "alice");
        body.level = AuditLevel::Metadata;
        body.verb = "deletecollection".into();
        body.key = web().named("");
        body.uid = String::new();
        body.reach = AuditReach::Whole;
    });
    let seen = disappear(&mut story, &web(), "u");
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Unique, &["alice"]));
}

/// Goal: the garbage collector deleted, and the cause is the deletion of the owner, whichever is
/// seen first.
#[test]
fn what_is_collected_has_the_deletion_of_its_owner_as_its_cause() {
    const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
    for owner_first in [true, false] {
        let mut story = Story::new();
        story.known(10);
        let pod: ObjectKey = "Pod/prod/web-1".parse().unwrap();
        let owner = (GroupKind::new("apps", "Deployment"), "web".to_owned(), "u".to_owned());
        let body = ObjectObservedV1 {
            key: pod.clone(),
            uid: "p".into(),
            controller: Some(owner),
            ..seen(5)
        };
        let prior = Prior::of_observed(Timestamp::from_seconds(1), &body);
        story.machine.learn(&pod, Some(prior));
        deleted(&mut story, "alice", &web(), "u");
        deleted(&mut story, COLLECTOR, &pod, "p");
        story.read_to(0);
        let mut cause = Seq::ZERO;
        if owner_first {
            cause = disappear(&mut story, &web(), "u");
        }
        let collected = disappear(&mut story, &pod, "p");
        if !owner_first {
            cause = disappear(&mut story, &web(), "u");
        }
        assert_eq!(story.who(collected), is(Verdict::Exact, &[COLLECTOR]));
        let body = story.resolved(collected).unwrap();
        assert_eq!((body.causes.as_slice(), body.replaces.is_some()), (&[cause][..], !owner_first));
        assert_eq!(story.who(cause), is(Verdict::Exact, &["alice"]));
    }
}

#[test]
fn what_goes_with_its_namespace_has_that_as_its_cause() {
    let mut story = Story::new();
    story.known(10);
    let namespace: ObjectKey = "Namespace/prod".parse().unwrap();
    let prior = ObjectObservedV1 { key: namespace.clone(), uid: "ns".into(), ..seen(3) };
    let prior = Prior::of_observed(Timestamp::from_seconds(1), &prior);
    story.machine.learn(&namespace, Some(prior));
    let deleting = ObjectObservedV1 { key: namespace, uid: "ns".into(), deleting: true, ..seen(4) };
    let cause = story.observe(deleting, Change::default());
    let controller = "system:serviceaccount:kube-system:namespace-controller";
    deleted(&mut story, controller, &web(), "u");
    story.read_to(0);
    let seen = disappear(&mut story, &web(), "u");
    assert_eq!(story.resolved(seen).unwrap().causes, [cause]);
}

/// greffier is about to delete the object.
fn prunes(story: &mut Story) -> Seq {
    let precondition = Some(("u".into(), "10".into()));
    let write = Write { precondition, ..Write::plain(Verb::Prune, web(), "v1", "") };
    let (app, writes) = (samples::app(), vec![write]);
    story.fold(&IntentRecordedV1 { app, writes, commit: None, timeout_ms: 1_000 }.into())
}

#[test]
fn what_greffier_deleted_needs_no_event_unless_somebody_else_did_too() {
    for (rival, late) in [(false, false), (true, false), (true, true)] {
        let mut story = Story::new();
        story.known(10);
        let intent = prunes(&mut story);
        if rival && !late {
            deleted(&mut story, "alice", &web(), "u");
        }
        let results = vec![(0, WriteResult::Deleted)];
        story.fold(&OutcomeRecordedV1 { app: samples::app(), intent, results }.into());
        let seen = disappear(&mut story, &web(), "u");
        let told = usize::from(rival && !late);
        assert_eq!((story.said.len(), story.machine.deadline()), (told, None));
        if late {
            deleted(&mut story, "alice", &web(), "u");
        }
        story.read_to(6);
        let expected = if rival { is(Verdict::Exact, &["alice"]) } else { None };
        assert_eq!(story.who(seen), expected);
    }
}

/// Goal: where answers are not recorded, the record of greffier's own deletion proves no more than
/// that of somebody else's.
#[test]
fn who_deletes_with_greffier_is_named_beside_it() {
    let mut story = Story::new();
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    story.known(10);
    let intent = prunes(&mut story);
    let results = vec![(0, WriteResult::Deleted)];
    story.fold(&OutcomeRecordedV1 { app: samples::app(), intent, results }.into());
    let seen = disappear(&mut story, &web(), "u");
    for (user, id) in [("greffier", format!("{LEDGER}-{intent}-0")), ("alice", "a".to_owned())] {
        assert_eq!(story.who(seen), None);
        story.record(|body| {
            name(body, user);
            (body.audit_id, body.verb) = (id, "delete".into());
            (body.level, body.uid) = (AuditLevel::Metadata, String::new());
            body.reach = AuditReach::Whole;
        });
        story.settle();
    }
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["greffier", "alice"]));
}
