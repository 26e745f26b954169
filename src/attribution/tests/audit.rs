//! What records prove.

use super::*;
use crate::ledger::event::FieldSource;

#[test]
fn the_record_of_the_very_version_is_exact_whatever_comes_first() {
    let mut story = Story::new();
    story.known(10);
    let seen = story.see(11, &[".spec.replicas"]);
    assert_eq!(story.who(seen), None, "nothing is said before it is known");
    let evidence = story.patched("alice", 11, &[".spec.replicas"]);
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
    assert_eq!(story.resolved(seen).unwrap().claims[0].evidence, [evidence]);

    story.later(60);
    story.patched("bob", 12, &[".spec.paused"]);
    story.read_to(0);
    let seen = story.see(12, &[".spec.paused"]);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["bob"]));
    assert_eq!(story.said.len(), 2, "each once");
}

#[test]
fn without_answers_the_only_request_is_unique_once_the_records_have_passed() {
    let mut story = Story::new();
    story.known(10);
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.patched_unseen("bob", &[".metadata.labels.x"]);
    story.read_to(4);
    assert_eq!(story.who(seen), None, "another may still be recorded");
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Unique, &["alice"]));
    assert!(story.resolved(seen).unwrap().waiting);
}

#[test]
fn several_requests_are_all_named() {
    let mut story = Story::new();
    story.known(10);
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.patched_unseen("bob", &[".spec"]);
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice", "bob"]));
}

#[test]
fn changes_and_requests_are_matched_in_their_order() {
    let mut story = Story::new();
    story.known(10);
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    let mut seen = Vec::new();
    for (version, user) in [(11, "alice"), (12, "bob"), (13, "alice"), (14, "carol")] {
        story.at += 1;
        story.patched_unseen(user, &[".spec.replicas"]);
        seen.push((story.see(version, &[".spec.replicas"]), user));
    }
    story.read_to(6);
    for (seen, user) in seen {
        assert_eq!(story.who(seen), is(Verdict::Unique, &[user]), "#{seen}");
    }
}

#[test]
fn impersonation_credential_and_pod_are_told() {
    let mut story = Story::new();
    story.known(10);
    let seen = story.see(11, &[".spec.replicas"]);
    story.record(|body| {
        let user = AuditUser {
            name: "system:serviceaccount:prod:deployer".into(),
            credential: "JTI=7".into(),
            pod: "prod/deployer-0".into(),
            ..AuditUser::default()
        };
        *body = AuditReceivedV1 {
            user: user.into(),
            impersonated: Some(AuditUser { name: "alice".into(), ..AuditUser::default() }.into()),
            resource_version: "11".into(),
            ..body.clone()
        };
    });
    story.read_to(0);
    let claim = &story.resolved(seen).unwrap().claims[0];
    let told = (claim.who.as_str(), claim.acting_as.as_str());
    assert_eq!(told, ("system:serviceaccount:prod:deployer", "alice"));
    assert_eq!((claim.credential.as_str(), claim.pod.as_str()), ("JTI=7", "prod/deployer-0"));
}

#[test]
fn what_the_request_does_not_name_was_set_by_admission() {
    let mut story = Story::new();
    story.known(10);
    let seen = story.see(11, &[".spec.replicas", ".metadata.labels.injected"]);
    story.record(|body| {
        body.resource_version = "11".into();
        body.webhooks = vec!["hooks/inject".into()];
    });
    story.read_to(0);
    let body = story.resolved(seen).unwrap();
    assert_eq!(body.verdict, Verdict::Exact);
    let source = |path: &str| {
        let field = body.fields.iter().find(|field| field.path == path);
        field.unwrap().source.clone()
    };
    let webhook = FieldSource::Admission(vec!["hooks/inject".into()]);
    assert_eq!(source(".metadata.labels.injected"), webhook);
    assert_eq!(source(".spec.replicas"), FieldSource::Request);
}

#[test]
fn without_a_record_a_gap_is_suspected_once_after_the_wait() {
    let mut story = Story::new();
    story.known(10);
    let seen = story.see(11, &[".spec.replicas"]);
    story.read_to(60);
    let deadline = story.machine.deadline().unwrap();
    assert_eq!(deadline, Timestamp::from_seconds(story.at).plus_ms(WAIT_MS));
    story.later(599);
    assert_eq!(story.gaps(), 0);
    story.later(1);
    assert_eq!((story.gaps(), story.who(seen)), (1, None));
    story.later(1_000);
    story.read_to(0);
    assert_eq!((story.gaps(), story.machine.deadline()), (1, None));
}

#[test]
fn without_records_nothing_waits_and_nothing_is_missed() {
    let mut story = Story::unaudited();
    story.known(10);
    let managers = sets(&[".spec.replicas"]);
    let managers =
        Change { managers: vec![crate::ledger::event::ActorClaim::default()], ..managers };
    story.observe(seen(11), managers);
    assert_eq!((story.said.len(), story.machine.deadline()), (0, None));
    story.later(10_000);
    assert_eq!(story.said.len(), 0);
}

#[test]
fn changes_of_status_are_no_gap() {
    let mut story = Story::new();
    story.known(10);
    // Health alone.
    story.observe(ObjectObservedV1 { digest: seen(10).digest, ..seen(11) }, Change::default());
    assert_eq!(story.machine.deadline(), None);
    // An annotation that the deployment controller writes with the status.
    let revision = sets(&[".metadata.annotations[deployment.kubernetes.io/revision]"]);
    story.observe(seen(12), Change { status: true, ..revision });
    story.later(700);
    assert!(story.said.is_empty(), "{:?}", story.said);
}

#[test]
fn an_object_that_is_new_was_made_by_who_created_it() {
    let mut story = Story::new();
    story.record(|body| {
        name(body, "alice");
        body.verb = "create".into();
        body.resource_version = "11".into();
        body.reach = AuditReach::Whole;
    });
    // Somebody who read it and changed nothing.
    story.patched("bob", 11, &[".spec.replicas"]);
    story.read_to(0);
    let seen = story.observe(ObjectObservedV1 { added: true, ..seen(11) }, Change::default());
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
}

/// Goal: it is known who put a Pod on its Node, which the API server does not note.
#[test]
fn a_binding_explains_the_node_of_a_pod() {
    let mut story = Story::new();
    story.later(100);
    story.known(10);
    let managers = vec![stamp("kube-controller-manager", 900)];
    let seen = ObjectObservedV1 { managers, ..seen(11) };
    let bound = story.observe(seen, sets(&[".spec.nodeName"]));
    story.record(|body| {
        name(body, "system:kube-scheduler");
        (body.verb, body.subresource, body.code) = ("create".into(), "binding".into(), 201);
        body.reach = AuditReach::Fields(vec![".spec.nodeName".into()]);
    });
    story.read_to(6);
    assert_eq!(story.who(bound), is(Verdict::Unique, &["system:kube-scheduler"]));
}

#[test]
fn scaling_explains_the_replicas_alone() {
    for (paths, expected) in [
        (&[".spec.replicas"][..], is(Verdict::Exact, &["alice"])),
        (&[".spec.replicas", ".spec.paused"][..], None),
    ] {
        let mut story = Story::new();
        story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
        story.later(100);
        story.known(10);
        // The API server notes scaling without a time.
        let scaled =
            ManagerStamp { subresource: "scale".into(), time: None, ..stamp("kubectl-edit", 0) };
        let managers = vec![scaled, stamp("kube-controller-manager", 1_050)];
        let seen = story.observe(ObjectObservedV1 { managers, ..seen(11) }, sets(paths));
        story.record(|body| {
            name(body, "alice");
            body.subresource = "scale".into();
            body.resource_version = "11".into();
            body.reach = AuditReach::Whole;
        });
        story.read_to(0);
        assert_eq!(story.who(seen), None, "another of the same time is waited for");
        story.read_to(6);
        assert_eq!(story.who(seen), expected, "{paths:?}");
    }
}
