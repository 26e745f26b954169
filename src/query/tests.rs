//! Answers about a recorded history.

use super::describe::{describe, line, of_event};
use super::diff::Side;
use super::fixture::{Story, key, name};
use super::search::{Filter, newest, next};
use super::*;
use crate::ledger::event::*;
use crate::ledger::samples::sample_events;
use crate::model::{Actor, AppName, ObjectKey, PlanHash, Seq};
use crate::replay::Approval;

fn summary(event: impl Into<Event>) -> String {
    of_event(&event.into(), &Actor::os_user("alice"), None).summary
}

#[test]
fn every_event_has_a_line_of_its_own() {
    for event in sample_events() {
        let described = of_event(&event, &Actor::greffier(), None);
        assert_ne!(described.summary, event.name(), "no words for {}", event.name());
        assert!(!described.summary.is_empty());
        assert!(!described.summary.chars().any(char::is_control), "{}", described.summary);
    }
}

#[test]
fn a_drift_names_object_field_values_and_manager() {
    let story = Story::told();
    let seq = story.world.apps[&name("web")].drift[&key("Deployment.apps/prod/web")].seq;
    let recorded = story.ledger.get(seq).unwrap().unwrap();
    let described = describe(&recorded, None);
    assert_eq!(
        described.summary,
        "DRIFT DETECTED Deployment.apps/prod/web .spec.replicas 2 → 5 by kubectl-scale (field manager, claimed)"
    );
    assert_eq!(described.by, ["kubectl-scale"]);
    let line = line(&recorded, None, false).unwrap();
    let keep = format!("to keep it: greffier keep {} --for 8h or greffier pause web", seq.0);
    assert!(line.ends_with(&keep), "{line}");
}

#[test]
fn an_outcome_names_its_objects_through_its_intent() {
    let story = Story::told();
    let filter = Filter { kinds: vec!["apply.outcome".into()], ..Filter::default() };
    let found = newest(&story.ledger, &filter, 1).unwrap();
    assert_eq!(
        found[0].described.summary,
        "created Deployment.apps/prod/web, ConfigMap/prod/old, Secret/prod/web"
    );
}

#[test]
fn words_of_others_cannot_drive_the_terminal() {
    let error = "boom\u{1b}[2J\nnext line".to_owned();
    let text = summary(FetchFailedV1 { repo: "/r".into(), error });
    assert_eq!(text, "r: FETCH FAILED: boom\\u{1b}[2J\\nnext line");
}

#[test]
fn operators_are_named_with_their_reason() {
    let body = PausedV1 { app: name("web"), until: None, reason: "incident 7".into() };
    assert_eq!(summary(body), "PAUSED by os-user:alice: incident 7");
}

#[test]
fn the_newest_events_come_oldest_first_and_noise_is_left_out() {
    let story = Story::told();
    let found = newest(&story.ledger, &Filter::default(), 2).unwrap();
    let kinds: Vec<_> = found.iter().map(|f| f.recorded.event.as_ref().unwrap().name()).collect();
    assert_eq!(kinds, ["render.succeeded", "drift.detected"]);
    let all = Filter { noise: true, ..Filter::default() };
    let found = newest(&story.ledger, &all, usize::MAX).unwrap();
    assert_eq!(found.len() as u64, story.ledger.head().0);
}

#[test]
fn filters_find_by_object_actor_commit_and_kind() {
    let mut story = Story::told();
    let asked = story.sync_requested();
    let count = |filter: Filter| newest(&story.ledger, &filter, 100).unwrap().len();
    let object = Filter { object: Some(key("ConfigMap/prod/old")), ..Filter::default() };
    assert_eq!(count(object), 2, "its intent and its outcome");
    assert_eq!(count(Filter { actor: Some("KUBECTL".into()), ..Filter::default() }), 1);
    let actor =
        Filter { actor: Some("alice".into()), app: Some("web".into()), ..Filter::default() };
    assert_eq!(newest(&story.ledger, &actor, 9).unwrap()[0].recorded.seq(), asked);
    assert!(count(Filter { commit: Some("aaaa".into()), ..Filter::default() }) >= 4);
    assert_eq!(count(Filter { kinds: vec!["drift".into()], ..Filter::default() }), 1);
    assert_eq!(count(Filter { kinds: vec!["dri".into()], ..Filter::default() }), 0);
}

#[test]
fn an_unknown_kind_is_refused_with_near_ones() {
    let filter = Filter { kinds: vec!["drift.detect".into()], ..Filter::default() };
    assert_eq!(filter.check().unwrap_err().near, ["drift.detected"]);
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let story = Story::told();
    let mut filter = Filter { noise: true, ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let (page, cursor) = next(&story.ledger, &filter, 3).unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|found| found.recorded.seq()));
        filter.after = cursor;
    }
    let all: Vec<Seq> = (1..=story.ledger.head().0).map(Seq).collect();
    assert_eq!(seen, all);
}

#[test]
fn the_diff_tells_changed_missing_and_extra_objects_and_hides_secrets() {
    let story = Story::told();
    let view = app(&story.world, &story.compared, &story.limits, "web").unwrap();
    let diff = diff::gather(&story.world, &view)
        .read(&story.ledger, &crate::render::Sandbox::Off)
        .unwrap();
    let told: Vec<_> = diff.objects.iter().map(|o| (o.key.to_string(), o.side)).collect();
    assert_eq!(
        told,
        [
            ("ConfigMap/prod/old".to_owned(), Side::Extra),
            ("ConfigMap/prod/web".to_owned(), Side::Missing),
            ("Secret/prod/web".to_owned(), Side::Changed),
            ("Deployment.apps/prod/web".to_owned(), Side::Changed),
        ]
    );
    let field = &diff.objects[2].fields[0];
    assert_eq!(field.path, ".data.password");
    assert_eq!((field.was.as_str(), field.now.as_str()), (diff::SECRET, diff::SECRET));
    let field = &diff.objects[3].fields[0];
    assert_eq!((field.was.as_str(), field.now.as_str()), ("5", "2"));
}

#[test]
fn a_secrets_keys_are_told_and_its_values_are_not() {
    let copy = "kubectl.kubernetes.io/last-applied-configuration";
    let manifest = serde_json::json!({
        "kind": "Secret", "data": {"new": "aHVudGVyMg=="},
        "metadata": {"annotations": {copy: "aHVudGVyMg==", "same": "x"}},
    });
    let live = serde_json::json!({
        "kind": "Secret", "data": {}, "metadata": {"annotations": {"same": "hmac:1"}},
    });
    let key = ObjectKey::new("", "Secret", "prod", "web");
    let fields = diff::fields(&Story::empty().ledger, &key, &manifest, &live);
    let told: Vec<_> = fields.iter().map(|f| (f.path.as_str(), f.now.as_str())).collect();
    let place = format!(".metadata.annotations[{copy:?}]");
    assert_eq!(told, [(".data.new", diff::SECRET), (place.as_str(), diff::SECRET)]);
}

#[test]
fn the_tree_goes_from_applications_to_owned_objects() {
    let story = Story::told();
    let view = app(&story.world, &story.compared, &story.limits, "root").unwrap();
    let root = tree(&story.world, &story.compared, &story.limits, &view);
    let NodeKind::App(child) = &root.children[0].kind else { panic!("no application") };
    assert_eq!(child.as_str(), "web");
    let web = root.children[0].children.iter();
    let deployment = web.clone().find(|node| !node.children.is_empty()).unwrap();
    assert_eq!(deployment.children[0].kind, NodeKind::Object(key("ReplicaSet.apps/prod/web-1")));
}

#[test]
fn an_unknown_application_comes_with_near_names() {
    let story = Story::told();
    let error = app(&story.world, &story.compared, &story.limits, "wbe").unwrap_err();
    assert_eq!(error.near, ["web"]);
}

#[test]
fn a_gate_is_named_by_a_prefix_that_is_long_enough() {
    let mut story = Story::told();
    let web = name("web");
    fn named<'s>(story: &'s Story, app: &AppName, given: &str) -> Result<NamedPlan<'s>, GateError> {
        plan_named(&story.world, (app, &story.world.apps[app]), given)
    }
    let nothing = named(&story, &web, "abab").unwrap_err();
    assert!(matches!(nothing, GateError::Nothing { .. }));
    let plan = story.gated();
    let whatever = named(&story, &web, "").unwrap();
    assert!(matches!(whatever, NamedPlan::Waits(gate) if gate.plan == plan));
    assert_eq!(named(&story, &web, &plan.short()).unwrap(), whatever);
    assert!(matches!(named(&story, &web, "ab"), Err(GateError::Prefix { .. })));
    assert!(matches!(named(&story, &web, "abXX"), Err(GateError::Prefix { .. })));
    assert!(matches!(named(&story, &web, "1234"), Err(GateError::Other { .. })));
    // Another application's plan is not a part of this one's.
    match named(&story, &name("root"), &plan.short()) {
        Err(GateError::OfOther { of, .. }) => assert_eq!(of, "web"),
        other => panic!("{other:?}"),
    }
    // Where no plan is named, only what is above it is of any use to whoever asks.
    assert!(matches!(named(&story, &name("root"), ""), Err(GateError::Nothing { .. })));
    let mut above = Story::told();
    above.event(PlanGatedV1 {
        app: name("root"),
        plan: PlanHash([0xcd; 32]),
        reasons: Vec::new(),
        writes: Vec::new(),
        apps: vec![web.clone()],
        render: None,
        commit: None,
    });
    let error = named(&above, &web, "").unwrap_err();
    let said = "nothing of `web` waits for approval by itself: what waits is of `root`";
    assert_eq!(
        (error.to_string(), error),
        (said.into(), GateError::Above { app: "web".into(), of: "root".into() })
    );
    // What was approved is approved already; what lapsed is not what would be done now.
    let approved = PlanApprovedV1 { app: web.clone(), plan, reason: String::new() };
    let seq = story.event(approved.clone());
    let found = named(&story, &web, &plan.short()).unwrap();
    assert_eq!(found, NamedPlan::Approved(Approval { seq, plan, old_copy: None }));
    let command = crate::command::Command::Approve {
        app: "web".into(),
        plan: plan.short(),
        reason: String::new(),
    };
    let again = crate::command::decide(&story.world, story.world.now, &command).unwrap();
    assert_eq!(again, crate::command::Decision::AlreadySo(seq));
    story.event(GateLapsedV1 { app: web.clone(), plan });
    let lapsed = named(&story, &web, &plan.short()).unwrap_err();
    assert!(matches!(lapsed, GateError::Lapsed { another: false, .. }), "{lapsed}");
    assert!(matches!(named(&story, &web, ""), Err(GateError::Nothing { .. })));
    // It comes back as it was.
    story.gated();
    assert!(matches!(named(&story, &web, &plan.short()), Ok(NamedPlan::Waits(_))));
}

#[test]
fn what_waits_is_told_with_what_it_holds_and_who_asked_for_it() {
    let mut story = Story::told();
    story.gated();
    let view = app(&story.world, &story.compared, &story.limits, "web").unwrap();
    let named = plan_named(&story.world, (view.name, view.app), "").unwrap();
    let waits = planned::waiting(&story.world, view.name, view.app, named);
    let waits = waits.read(&story.ledger).unwrap();
    assert_eq!(waits.git.unwrap().subject, "Scale web to two");
    let old = waits.items.iter().find(|item| item.name == "old").unwrap();
    assert_eq!((old.verb.as_str(), old.namespace.as_str()), ("prune", "prod"));
}

#[test]
fn a_dry_run_changes_nothing() {
    let story = Story::told();
    let before = story.world.clone();
    let plan = dry_run(&story.world, &story.compared, &story.limits, "web", true, vec![]).unwrap();
    assert!(!plan.writes.is_empty());
    assert_eq!(story.world, before);
}

#[test]
fn resources_of_the_cluster_and_of_one_application() {
    let story = Story::told();
    let views = apps(&story.world, &story.compared, &story.limits);
    let all = resources(&story.world, &views, &ResourceFilter::default());
    assert!(all.iter().any(|r| r.key == key("ReplicaSet.apps/prod/web-1") && r.app.is_empty()));
    let filter = ResourceFilter {
        app: Some("web".into()),
        kind: Some("configmap".into()),
        ..ResourceFilter::default()
    };
    let of_web = resources(&story.world, &views, &filter);
    assert_eq!(of_web.len(), 2);
    let filter = ResourceFilter { namespace: Some("none".into()), ..ResourceFilter::default() };
    assert!(resources(&story.world, &views, &filter).is_empty());
}

#[test]
fn a_gate_counts_what_waits_and_names_the_command() {
    let mut story = Story::told();
    story.gated();
    let filter = Filter { kinds: vec!["plan.gated".into()], ..Filter::default() };
    let found = newest(&story.ledger, &filter, 1).unwrap();
    let text = &found[0].described.summary;
    assert!(text.starts_with("GATED 1 write waits: would delete 3 of 3 objects"), "{text}");
    assert!(text.ends_with("to allow it: greffier approve web abababababab"), "{text}");
}
