//! greffier's own writes.

use super::*;

fn intend(story: &mut Story, verb: Verb) -> Seq {
    let mut write = Write::plain(verb, web(), "v1", "because");
    write.precondition = Some(("u".into(), "10".into()));
    let body = IntentRecordedV1 {
        app: samples::app(),
        writes: vec![write],
        commit: None,
        timeout_ms: 1_000,
    };
    story.fold(&body.into())
}

fn applied(version: u64) -> WriteResult {
    WriteResult::Applied(Applied {
        uid: "u".into(),
        resource_version: version.to_string(),
        baseline: Digest::default(),
        object: BlobAddr::of(&version.to_be_bytes()),
        changed: true,
        digest: Digest::of(&version.to_be_bytes()),
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    })
}

fn end(story: &mut Story, intent: Seq, result: WriteResult) {
    let body = OutcomeRecordedV1 { app: samples::app(), intent, results: vec![(0, result)] };
    story.fold(&body.into());
    story.settle();
}

fn own_version(version: u64, at: i64) -> ObjectObservedV1 {
    ObjectObservedV1 {
        managers: vec![stamp("kubectl-edit", 1), stamp("greffier", at)],
        ..seen(version)
    }
}

#[test]
fn own_writes_need_no_event_in_either_order() {
    for observed_first in [false, true] {
        let mut story = Story::new();
        story.known(10);
        let intent = intend(&mut story, Verb::Update);
        if observed_first {
            story.observe(own_version(11, 2), sets(&[".spec.x"]));
            end(&mut story, intent, applied(11));
        } else {
            end(&mut story, intent, applied(11));
            story.observe(own_version(11, 2), sets(&[".spec.x"]));
        }
        story.later(1_000);
        assert!(story.said.is_empty(), "{:?}", story.said);
    }
}

/// Goal: greffier's apply changed nothing because nothing of its own had changed, and its answer
/// shows the version that somebody else had just made. It is theirs.
#[test]
fn an_answer_that_shows_somebody_elses_version_is_no_proof() {
    let mut story = Story::new();
    story.known(10);
    let intent = intend(&mut story, Verb::Update);
    end(&mut story, intent, applied(11));
    let seen = story.see(11, &[".metadata.labels.x"]);
    story.patched("alice", 11, &[".metadata.labels.x"]);
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
}

#[test]
fn the_audit_id_of_an_own_write_is_a_claim() {
    let mut story = Story::new();
    story.known(10);
    let seen = story.see(11, &[".spec.replicas"]);
    let evil = format!("{LEDGER}-1-0");
    story.record(|body| {
        name(body, "mallory");
        body.audit_id = evil.clone();
        body.resource_version = "11".into();
    });
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["mallory"]));
}

#[test]
fn a_copied_audit_id_leads_nobody_astray_where_answers_are_not_recorded() {
    let mut story = Story::new();
    story.known(10);
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    story.patched_unseen("alice", &[".spec.replicas"]);
    let drift = story.see(11, &[".spec.replicas"]);
    story.at += 1;
    let intent = intend(&mut story, Verb::Heal);
    let id = format!("{LEDGER}-{intent}-0");
    story.record(|body| {
        name(body, "greffier");
        body.level = AuditLevel::Metadata;
        body.audit_id = id.clone();
        body.reach = AuditReach::Unknown;
    });
    end(&mut story, intent, applied(12));
    story.observe(own_version(12, 2), Change { own: true, ..sets(&[".spec.replicas"]) });
    story.at += 1;
    story.record(|body| {
        name(body, "mallory");
        body.level = AuditLevel::Metadata;
        body.audit_id = id.clone();
        body.reach = AuditReach::Unknown;
    });
    let again = story.observe(own_version(13, 2), sets(&[".spec.replicas"]));
    story.read_to(6);
    assert_eq!(story.who(drift), is(Verdict::Unique, &["alice"]));
    assert_eq!(story.who(again), is(Verdict::Unique, &["mallory"]));
}

#[test]
fn what_was_settled_by_looking_proves_nothing() {
    let mut story = Story::new();
    story.known(10);
    let intent = intend(&mut story, Verb::Update);
    let seen = story.see(11, &[".spec.replicas"]);
    let results = vec![(0, applied(11))];
    let body = crate::ledger::event::IntentSettledV1 { app: samples::app(), intent, results };
    story.fold(&body.into());
    story.settle();
    story.patched("alice", 11, &[".spec.replicas"]);
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
}

/// Goal: after a start the answer to a write, which the ledger knows, is not observed again.
#[test]
fn what_follows_an_answer_that_was_never_observed_is_compared_with_it() {
    let mut story = Story::new();
    story.known(10);
    let intent = intend(&mut story, Verb::Update);
    end(&mut story, intent, applied(11));
    let body = seen(12);
    let compared = story.machine.compares(&body).unwrap();
    assert_eq!(compared.0, BlobAddr::of(&11_u64.to_be_bytes()));
}

#[test]
fn five_thousand_own_creations_add_nothing_to_the_ledger() {
    let mut story = Story::new();
    for n in 0..5_000 {
        let key = ObjectKey::new("", "ConfigMap", "prod", format!("m{n}"));
        let write = Write::plain(Verb::Create, key.clone(), "v1", "");
        let body = IntentRecordedV1 {
            app: samples::app(),
            writes: vec![write],
            commit: None,
            timeout_ms: 1_000,
        };
        let intent = story.fold(&body.into());
        let WriteResult::Applied(answer) = applied(n) else { unreachable!() };
        let answer = Applied { uid: format!("u{n}"), ..answer };
        end(&mut story, intent, WriteResult::Applied(answer));
        let body = ObjectObservedV1 { key, uid: format!("u{n}"), added: true, ..seen(n) };
        story.observe(body, Change::default());
    }
    story.later(1_000);
    assert!(story.said.is_empty(), "no gap is suspected: {:?}", story.said.first());
    assert_eq!(story.machine.observed.len(), 0, "and nothing is kept");
}
