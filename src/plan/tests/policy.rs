//! Who may write at all, and what is suspended by name.

use serde_json::{Value, json};

use super::super::{Status, Sync};
use crate::ledger::event::{
    ClusterFoundV1, ClusterLostV1, DesiredObject, DriftKind, FrozenV1, Health, Origin, PausedV1,
    ResumedV1, UnfrozenV1,
};
use crate::model::{GroupKind, Restraint};
use crate::replay::testing::{
    Given, application, auto, hold, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

#[test]
fn a_manual_application_is_not_written_to_until_somebody_asks() {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!((plan.sync, plan.finished.clone()), (Sync::OutOfSync, None));
    assert!(said(&plan, A).why.contains("synced by hand"), "{plan:?}");

    given.requests("web", false, &[]);
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
    given.syncs("web");
    assert!(given.finishes("web"));

    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    assert_eq!(given.writes("web"), [""; 0], "the request was for once");
}

#[test]
fn switched_off_automation_is_no_automation() {
    let mut given = Given::app("web", json!({"automated": {"enabled": false, "prune": true}}));
    given.renders("web", objects(&[A]));
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn an_automated_application_creates_and_updates() {
    let mut given = Given::app("web", json!({"automated": {}}));
    given.renders("web", objects(&[A, B]));
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a", "create ConfigMap/prod/b"]);
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);

    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert_eq!(given.writes("web"), ["update ConfigMap/prod/a"]);
}

#[test]
fn an_object_that_is_there_already_is_applied_once() {
    let mut given = Given::app("web", auto());
    given.sees(A);
    given.renders("web", objects(&[A]));
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
    assert!(given.world.owned.contains_key(&key(A)));
}

#[test]
fn a_request_for_some_objects_leaves_the_others() {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A, B]));
    given.requests("web", true, &[B]);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["create ConfigMap/prod/b"]);
    assert!(said(&plan, A).why.contains("asked for other objects"), "{plan:?}");
}

#[test]
fn nothing_is_written_while_nothing_may_be() {
    type Case = (&'static str, fn(&mut Given), fn(&mut Given));
    let pause = |given: &mut Given| {
        given.event(PausedV1 { app: name("web"), until: None, reason: String::new() });
    };
    let freeze = |given: &mut Given| {
        given.event(FrozenV1 { until: None, reason: String::new() });
    };
    let cases: [Case; 4] = [
        ("only observes", |g| g.starts(true), |g| g.starts(false)),
        (
            "cannot be reached: timeout",
            |g| {
                g.event(ClusterLostV1 { error: "timeout".into() });
            },
            |g| {
                g.event(ClusterFoundV1 {});
            },
        ),
        ("paused", pause, |g| {
            g.event(ResumedV1 { app: name("web"), expired: false });
        }),
        ("greffier is frozen", freeze, |g| {
            g.event(UnfrozenV1 { expired: false });
        }),
    ];
    for (why, begin, end) in cases {
        let mut given = Given::app("web", auto());
        given.renders("web", objects(&[A]));
        begin(&mut given);
        given.lists_everything();
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [""; 0], "{why}");
        assert!(said(&plan, A).why.contains(why), "{why}: {plan:?}");
        assert_eq!(plan.finished, None, "{why}");
        end(&mut given);
        given.lists_everything();
        assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"], "{why}");
    }
}

#[test]
fn a_pause_holds_requests_too_and_ends_by_itself() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    let until = given.now().plus_ms(60_000);
    given.event(PausedV1 { app: name("web"), until: Some(until), reason: String::new() });
    given.requests("web", false, &[]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.deadline), (0, Some(until)));
    let touched = given.after_ms(60_000);
    assert!(touched.apps.contains(&name("web")), "the deadline is the application's");
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
}

#[test]
fn a_freeze_outlives_a_restart_holds_every_application_and_ends_by_itself() {
    let mut given = Given::app("web", auto());
    given.declares(&application("api", auto()), Origin::Config);
    given.renders("web", objects(&[A]));
    given.renders("api", objects(&[B]));
    let until = given.now().plus_ms(60_000);
    given.event(FrozenV1 { until: Some(until), reason: "upgrade".into() });
    given.starts(false);
    given.lists_everything();
    given.requests("web", false, &[]);
    assert_eq!((given.writes("web").len(), given.writes("api").len()), (0, 0));
    assert!(given.after_ms(60_000).all, "the end of a freeze concerns every application");
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
    assert_eq!(given.writes("api"), ["create ConfigMap/prod/b"]);
}

#[test]
fn an_observer_says_what_it_would_not_do() {
    let mut given = Given::cluster();
    given.starts(true);
    given.lists_everything();
    given.declares(&application("web", auto()), Origin::Config);
    given.renders("web", objects(&[A]));
    let plan = given.plan("web");
    assert_eq!((plan.sync, plan.health), (Sync::OutOfSync, Health::Missing));
    assert!(said(&plan, A).why.contains("only observes"));
}

#[test]
fn a_kind_that_is_not_served_waits_and_says_so() {
    let widget = GroupKind::new("example.org", "Widget");
    let text = "Widget.example.org/prod/w";
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A, text]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["create ConfigMap/prod/a"], "its siblings go on");
    let why = "the cluster does not serve the kind Widget.example.org";
    assert_eq!((said(&plan, text).status, said(&plan, text).why.as_str()), (Status::Missing, why));
    assert_eq!(plan.suspended, [format!("{text}: {why}")]);
    given.syncs("web");
    assert!(!given.finishes("web"), "it is told that the revision cannot end well");

    given.serves(std::slice::from_ref(&widget));
    let plan = given.plan("web");
    assert_eq!(said(&plan, text).status, Status::Unknown, "served and not listed");
    given.lists(widget);
    assert_eq!(given.writes("web"), [format!("create {text}")]);
}

#[test]
fn a_kind_whose_definition_is_on_its_way_does_not_end_the_revision() {
    let widget = GroupKind::new("example.org", "Widget");
    let definition = "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org";
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[definition, "Widget.example.org/prod/w"]));
    given.requests("web", false, &[]);
    given.syncs("web");
    assert_eq!(given.plan("web").finished, None, "the request would be lost");
    given.serves(std::slice::from_ref(&widget));
    given.lists(widget);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn what_is_not_listed_is_unknown_and_not_written() {
    let mut given = Given::synced(objects(&[A, B]));
    given.starts(false);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::Unknown));
    assert_eq!(said(&plan, A).status, Status::Unknown);
    assert_eq!(said(&plan, B).status, Status::Unknown, "nothing is pruned either");
    given.lists_everything();
    assert_eq!(given.writes("web"), ["update ConfigMap/prod/a", "prune ConfigMap/prod/b"]);
}

#[test]
fn a_group_whose_discovery_failed_serves_what_it_served() {
    use crate::ledger::event::KindsServedV1;
    let deployment = "Deployment.apps/prod/d";
    let mut given = Given::synced(objects(&[A, deployment]));
    let kinds = given.world.cluster.kinds.values();
    let kinds = kinds.filter(|served| served.kind.group != "apps").cloned().collect();
    given.event(KindsServedV1 { kinds, broken_groups: vec!["apps".into()] });
    assert!(given.world.live.contains_key(&key(deployment)));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, deployment).status), (0, Status::Synced));
}

#[test]
fn a_restraint_suspends_exactly_its_writes_by_name() {
    // Restraint, then whether creating, updating, healing and pruning are suspended.
    let spec = |spec: Value| {
        let mut manifest = application("web", auto());
        for (field, value) in spec.as_object().unwrap() {
            manifest["spec"][field] = value.clone();
        }
        manifest
    };
    let ignore = json!({"ignoreDifferences":
        [{"kind": "ConfigMap", "name": "old", "jsonPointers": ["data"]}]});
    let cases = [
        (json!({"project": "payments"}), [true; 4]),
        (json!({"destination": {"name": "elsewhere"}}), [true; 4]),
        (ignore, [false, true, false, false]),
    ];
    for (fields, suspended) in cases {
        check_suspended(&fields.to_string(), &spec(fields.clone()), &|object| object, suspended);
    }
}

#[test]
fn a_hold_of_an_object_suspends_exactly_its_writes_by_name() {
    let plain = application("web", auto());
    let cases = [
        // What was applied before it became a hook is pruned as what it was.
        ("hook", hold("hook", true, true, true), [true, true, true, false]),
        ("Replace=true", hold("Replace=true", false, true, false), [false, true, true, false]),
    ];
    for (what, hold, suspended) in cases {
        let held = |object: DesiredObject| DesiredObject { holds: vec![hold.clone()], ..object };
        check_suspended(what, &plain, &held, suspended);
    }
}

/// Plans a creation, an update, a heal and a prune under something that restrains them.
fn check_suspended(
    what: &str,
    manifest: &Value,
    held: &dyn Fn(DesiredObject) -> DesiredObject,
    suspended: [bool; 4],
) {
    let [new, old, drifted, gone] = ["new", "old", "drifted", "gone"].map(|name| {
        let text = format!("ConfigMap/prod/{name}");
        (text.clone(), text)
    });
    // Everything is applied before the restraint of the application comes.
    let last = held(object(&gone.0, 1));
    let never_applied = last.holds.iter().any(|hold| hold.create);
    let last = if never_applied { object(&gone.0, 1) } else { last };
    let mut given = Given::synced(vec![object(&old.0, 1), object(&drifted.0, 1), last]);
    given.redeclares(manifest);
    given.push(2);
    let next = vec![object(&new.0, 1), object(&old.0, 2), object(&drifted.0, 1)];
    given.renders("web", next.into_iter().map(held).collect());
    given.sees(&drifted.0);
    given.finds("web", &drifted.0, DriftKind::Drift);
    let plan = given.plan("web");
    let made = writes(&plan);
    let wanted = [("create", new.1), ("update", old.1), ("heal", drifted.1), ("prune", gone.1)];
    for ((verb, text), suspended) in wanted.iter().zip(suspended) {
        let write = format!("{verb} {text}");
        assert_eq!(made.contains(&write), !suspended, "{what}: {write}: {plan:#?}");
        let named = plan.suspended.iter().any(|said| said.starts_with(&write));
        assert_eq!(named, suspended, "{what}: {write}: {:?}", plan.suspended);
        if suspended {
            assert_eq!(said(&plan, text).status, Status::Held, "{what}: {write}");
        }
    }
}

#[test]
fn every_restraint_is_named_as_people_wrote_it() {
    let mut manifest = application("web", auto());
    manifest["spec"]["project"] = json!("payments");
    let mut given = Given::cluster();
    given.declares(&manifest, Origin::Config);
    given.renders("web", objects(&[A]));
    let what = given.world.apps[&name("web")].spec.restraints[0].clone();
    assert!(matches!(what, Restraint::All { .. }));
    assert_eq!(given.plan("web").suspended, [format!("create {A}: {}", what.what())]);
}

#[test]
fn a_finished_revision_is_told_once_per_commit_and_result() {
    let mut given = Given::synced(objects(&[A]));
    let first = given.plan("web").finished;
    assert!(given.finishes("web"));
    assert_eq!(given.plan("web").finished, first, "the words stay while nothing changes");
    let last = given.world.apps[&name("web")].last_sync.clone().unwrap();
    assert_eq!(Some(last.message), first.map(|finished| finished.message));
    assert_eq!(given.world.apps[&name("web")].counts, (0, 0, 0));
}

#[test]
fn health_is_the_worst_of_the_objects_and_says_whose() {
    let mut given = Given::app("web", auto());
    given.health.insert(key(B), Health::Degraded);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    let plan = given.plan("web");
    assert_eq!(plan.health, Health::Degraded);
    assert_eq!(plan.health_message, format!("{B}: as reported"));
}
