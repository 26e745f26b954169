//! What Git says now does not render, or cannot be fetched.

use serde_json::json;

use crate::ledger::event::{FetchFailedV1, FetchRecoveredV1};
use crate::plan::{Finished, Sync};
use crate::replay::testing::{Given, REPO, auto, name, objects};

const A: &str = "ConfigMap/prod/a";

fn ended(given: &Given) -> Option<(bool, String)> {
    let finished = given.plan("web").finished;
    finished.map(|Finished { succeeded, message }| (succeeded, message))
}

#[test]
fn a_revision_that_does_not_render_is_not_as_git_says() {
    for policy in [auto(), json!({})] {
        let mut given = Given::app("web", policy);
        given.renders("web", objects(&[A]));
        given.requests("web", false, &[]);
        given.syncs("web");
        given.finishes("web");
        assert_eq!(given.plan("web").sync, Sync::Synced);
        given.push(2);
        given.fails_to_render("web");
        given.requests("web", false, &[]);
        // The request renders it once more.
        assert_eq!(ended(&given), None);
        given.fails_to_render("web");
        let plan = given.plan("web");
        assert_eq!(plan.sync, Sync::Unknown);
        let message = "the newest revision does not render: web.yaml:3: bad";
        assert_eq!(ended(&given), Some((false, message.to_owned())));
        given.finishes("web");
        assert!(given.world.apps[&name("web")].request.is_none());
        // What is in force is kept all the same, and the next good revision is as Git says.
        given.loses(A);
        given.requests("web", false, &[]);
        given.fails_to_render("web");
        assert_eq!(given.writes("web"), [format!("create {A}")]);
        given.syncs("web");
        given.push(3);
        given.renders("web", objects(&[A]));
        assert_eq!(given.plan("web").sync, Sync::Synced);
        assert_eq!(ended(&given).map(|(succeeded, _)| succeeded), Some(true));
    }
}

#[test]
fn what_may_render_in_a_moment_ends_a_request_only_when_it_has_failed_for_a_while() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.requests("web", false, &[]);
    for _ in 0..3 {
        given.fails_to_render_by("web", true);
        assert_eq!((ended(&given), given.plan("web").sync), (None, Sync::Unknown));
    }
    given.fails_to_render_by("web", true);
    let (succeeded, message) = ended(&given).unwrap();
    assert!(!succeeded && message.ends_with("; it is tried again"), "{message}");
}

#[test]
fn a_request_does_not_succeed_while_its_repository_cannot_be_fetched() {
    let mut given = Given::synced(objects(&[A]));
    given.event(FetchFailedV1 { repo: REPO.into(), error: "no route to host".into() });
    assert_eq!(given.plan("web").sync, Sync::Synced, "as Git said last");
    assert_eq!(ended(&given).map(|(succeeded, _)| succeeded), Some(true));
    given.requests("web", false, &[]);
    let message = format!("repository {REPO} cannot be fetched: no route to host");
    assert_eq!(ended(&given), Some((false, message)));
    given.event(FetchRecoveredV1 { repo: REPO.into() });
    assert_eq!(ended(&given).map(|(succeeded, _)| succeeded), Some(true));
}
