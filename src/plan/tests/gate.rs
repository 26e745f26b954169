//! The gate: which deletions wait for a person, and what an approval covers.

mod carried;
mod counted;
mod removed;

use serde_json::json;

use super::super::{CREATE_NAMESPACE, Plan};
use crate::ledger::event::{
    DesiredObject, FieldChange, GateLapsedV1, ObjectOptions, Origin, OutcomeRecordedV1, PausedV1,
    PlanApprovedV1, Preview, Verb, WatchGapV1, WriteResult,
};
use crate::replay::testing::{
    Given, application, auto, cascading, child, hold, key, map, maps, name, object, objects, writes,
};

const STAGE: &str = "Namespace/stage";

/// `web` had `had` ConfigMaps applied; commit 2 keeps the first `keeps` of them.
fn shrunk(had: usize, keeps: usize) -> Given {
    let mut given = Given::synced(maps(had));
    given.push(2);
    given.renders("web", maps(keeps));
    given
}

fn reasons(plan: &Plan) -> Vec<&str> {
    let gate = plan.gate.as_ref();
    gate.into_iter().flat_map(|gate| &gate.reasons).map(|reason| reason.what.as_str()).collect()
}

#[test]
fn more_than_half_and_at_least_three_deletions_wait() {
    // Objects before, objects after, whether it waits.
    for (had, keeps, waits) in [
        (5, 2, true),
        (3, 1, false),
        (6, 3, false),
        (7, 3, true),
        (100, 60, false),
        (4, 1, true),
        (2, 1, false),
    ] {
        let given = shrunk(had, keeps);
        let plan = given.plan("web");
        assert_eq!(plan.gate.is_some(), waits, "{had} to {keeps}: {:?}", reasons(&plan));
        let made = plan.writes.iter().filter(|write| write.verb == Verb::Prune).count();
        assert_eq!(made, if waits { 0 } else { had - keeps }, "{had} to {keeps}");
        if waits {
            let count = had - keeps;
            let what = format!("would delete {count} of {had} objects of web (limit 50 %)");
            assert_eq!(reasons(&plan), [what]);
            assert!(!plan.finished.unwrap().succeeded);
        }
    }
}

#[test]
fn what_somebody_replaced_is_no_object_of_the_application_any_more() {
    let mut given = Given::synced(maps(6));
    given.push(2);
    // Another of its name is there: three of the five that are left would go.
    given.loses(&map(5));
    given.sees(&map(5));
    given.renders("web", maps(2));
    assert_eq!(reasons(&given.plan("web")), ["would delete 3 of 5 objects of web (limit 50 %)"]);
}

/// The first five of `maps` under other names.
fn renamed() -> Vec<DesiredObject> {
    maps(11).split_off(5)
}

#[test]
fn what_is_made_while_deletions_wait_does_not_let_them_pass() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", renamed());
    let reason = ["would delete 5 of 5 objects of web (limit 50 %)"];
    assert_eq!(reasons(&given.plan("web")), reason);
    given.gates("web");
    let creations = given.intends("web");
    given.carries_out(creations);
    assert_eq!(given.world.owned.len(), 11);
    assert_eq!(reasons(&given.plan("web")), reason, "6 new objects are no reason");
    // Nor does the next push make them one.
    given.push(3);
    given.renders("web", renamed());
    assert_eq!(reasons(&given.plan("web")), reason);
    // One of the new ones goes with the others.
    given.push(4);
    given.renders("web", renamed().split_off(1));
    let more = ["would delete 6 of 6 objects of web (limit 50 %)"];
    assert_eq!(reasons(&given.plan("web")), more);
    // What is let go of in Git after all is judged by everything that is there from then on.
    let mut back = given.clone();
    back.push(5);
    back.renders("web", maps(11));
    assert!(back.plan("web").gate.is_none());
    let (app, plan) = (name("web"), back.world.apps[&name("web")].gate.clone().unwrap().plan);
    back.event(GateLapsedV1 { app, plan });
    back.push(6);
    back.renders("web", maps(11).split_off(5));
    assert_eq!(reasons(&back.plan("web")), [""; 0], "5 of 11");
}

#[test]
fn what_waits_is_judged_over_later_commits_by_what_was_there_before_the_first() {
    let reason = ["would delete 5 of 5 objects of web (limit 50 %)"];
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", renamed());
    let plan = given.gates("web").plan;
    given.syncs("web");
    // Something else of the push comes first, and while it does nothing waits at the gate.
    given.push(3);
    given.event(GateLapsedV1 { app: name("web"), plan });
    given.renders("web", [renamed(), objects(&["Secret/prod/s"])].concat());
    assert_eq!(reasons(&given.plan("web")), reason);

    // Nor does it where nothing has been asked yet, because something else was waited for.
    let mut given = Given::synced(maps(5));
    given.push(2);
    let mut waves = renamed();
    waves.last_mut().unwrap().wave = 5;
    given.renders("web", waves.clone());
    let creations = given.intends("web");
    given.carries_out(creations);
    given.push(3);
    waves.last_mut().unwrap().wave = 0;
    given.renders("web", waves);
    given.syncs("web");
    assert_eq!(reasons(&given.plan("web")), reason);
    // Once it is gone, the next render counts everything.
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    given.push(4);
    given.renders("web", renamed().split_off(3));
    assert_eq!(reasons(&given.plan("web")), [""; 0], "3 of 6");
}

#[test]
fn deletions_in_several_steps_are_judged_as_a_whole() {
    let mut given = Given::synced(maps(8));
    given.push(2);
    given.renders("web", maps(11));
    let creations = given.intends("web");
    given.push(3);
    given.renders("web", maps(4));
    // Half of the objects go…
    assert!(given.plan("web").gate.is_none());
    let deletions = given.intends("web");
    given.carries_out(deletions);
    // …and then it turns out that there are three more.
    given.carries_out(creations);
    assert_eq!(reasons(&given.plan("web")), ["would delete 7 of 11 objects of web (limit 50 %)"]);
    // What did not happen does not count.
    let gate = given.gates("web");
    assert_eq!(gate.writes.len(), 3);
    given.push(4);
    given.renders("web", maps(4));
    assert_eq!(reasons(&given.plan("web")), [""; 0], "another render asks for three of seven");
}

#[test]
fn deletions_of_kinds_that_are_not_listed_yet_count() {
    let mut given = Given::synced([maps(5), objects(&["Secret/prod/s"])].concat());
    given.push(2);
    given.renders("web", maps(2));
    given.starts(false);
    for text in [STAGE, &map(0)] {
        given.lists(key(text).group_kind());
    }
    for kind in given.world.cluster.kinds.keys().cloned().collect::<Vec<_>>() {
        given.event(WatchGapV1 { kind, reason: "busy".into(), refused: false });
    }
    let plan = given.plan("web");
    assert_eq!(reasons(&plan), ["would delete 4 of 6 objects of web (limit 50 %)"]);
    assert_eq!(writes(&plan), [""; 0]);
}

#[test]
fn more_than_fifty_deletions_for_one_commit_wait() {
    assert_eq!(reasons(&shrunk(200, 150).plan("web")), [""; 0]);
    let plan = shrunk(200, 149).plan("web");
    assert_eq!(reasons(&plan), ["would delete 51 objects for one commit (limit 50)"]);
}

/// Two applications of 100 objects each, of which the next commit drops `web` and `api` many.
fn two_shrunk(web: usize, api: usize) -> Given {
    let mut given = Given::synced(maps(100));
    given.declares(&application("api", auto()), Origin::Config);
    let of_api = |keeps: usize| {
        (0..keeps).map(|n| object(&format!("Secret/prod/s{n:04}"), 1)).collect::<Vec<_>>()
    };
    given.renders("api", of_api(100));
    given.syncs("api");
    given.push(2);
    given.renders("web", maps(100 - web));
    given.renders("api", of_api(100 - api));
    given
}

#[test]
fn deletions_are_counted_over_all_applications_of_a_commit() {
    // Planned one after the other, and both before either begins.
    let mut given = two_shrunk(40, 40);
    assert_eq!(given.plan("api").gate, None);
    let together = "would delete 80 objects for one commit (limit 50)";
    assert_eq!(reasons(&given.plan("web")), [together]);
    let intent = given.intends("api");
    assert_eq!(reasons(&given.plan("web")), [together]);
    given.carries_out(intent);
    assert_eq!(reasons(&given.plan("web")), [together]);
    // What is gated in one application does not hold the other.
    let mut given = two_shrunk(10, 60);
    assert_eq!(
        given.plan("web").gate,
        None,
        "nor what will be, so that nothing waits for a moment"
    );
    given.gates("api");
    assert_eq!(given.plan("web").gate, None);
    // A later commit that changes nothing changes nothing about it…
    let mut given = two_shrunk(10, 45);
    given.syncs("api");
    given.push(3);
    given.advances("api");
    given.advances("web");
    let together = "would delete 55 objects for one commit (limit 50)";
    assert_eq!(reasons(&given.plan("web")), [together]);
    // …and what is deleted after it counts for the commit that asked for it.
    let mut given = two_shrunk(10, 45);
    given.push(3);
    given.advances("api");
    given.advances("web");
    given.syncs("api");
    assert_eq!(reasons(&given.plan("web")), [together]);
    // One that asks for something else starts anew.
    given.push(4);
    given.renders("web", maps(89));
    assert_eq!(given.plan("web").gate, None);
}

#[test]
fn a_deletion_that_is_tried_again_counts_once() {
    let mut given = shrunk(200, 160);
    for _ in 0..3 {
        given.tries("web", &WriteResult::Failed("conflict".into()));
        given.after_ms(60_000);
    }
    assert_eq!(given.plan("web").gate, None);
}

#[test]
fn what_holds_other_things_waits_whatever_the_number() {
    let protected = [
        STAGE,
        "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org",
        "PersistentVolume/disk",
        "PersistentVolumeClaim/prod/disk",
    ];
    for text in protected {
        let mut had = maps(10);
        had.push(object(text, 1));
        let mut given = Given::synced(had);
        given.push(2);
        given.renders("web", maps(10));
        let what = format!("would delete {text}, and with it what it holds");
        assert_eq!(reasons(&given.plan("web")), [what]);
    }
}

#[test]
fn limits_are_configuration() {
    let mut given = shrunk(5, 2);
    given.limits.app_percent_max = 60;
    assert_eq!(given.plan("web").gate, None);
    given.limits.kinds = vec!["ConfigMap".into()];
    assert_eq!(reasons(&given.plan("web")).len(), 3);
}

#[test]
fn emptying_an_application_waits_unless_it_is_allowed() {
    for had in [1, 2] {
        let mut given = shrunk(had, 0);
        assert_eq!(reasons(&given.plan("web")), ["would empty web (allowEmpty is not set)"]);
        let policy = json!({"automated": {"prune": true, "allowEmpty": true}});
        given.redeclares(&application("web", policy));
        let plan = given.plan("web");
        assert_eq!((plan.writes.len(), plan.gate), (had, None));
    }
    // What is allowed to be empty is not allowed to lose much at once.
    let mut given = shrunk(3, 0);
    let policy = json!({"automated": {"prune": true, "allowEmpty": true}});
    given.redeclares(&application("web", policy));
    assert_eq!(reasons(&given.plan("web")), ["would delete 3 of 3 objects of web (limit 50 %)"]);
}

/// The namespace that `CreateNamespace=true` adds to a render.
fn created_namespace() -> DesiredObject {
    DesiredObject {
        origin: CREATE_NAMESPACE.into(),
        holds: vec![hold(CREATE_NAMESPACE, false, false, true)],
        ..object(STAGE, 1)
    }
}

#[test]
fn the_namespace_that_comes_with_an_option_does_not_make_an_application_full() {
    let mut given = Given::synced(vec![created_namespace(), object(&map(0), 1)]);
    given.push(2);
    given.renders("web", vec![created_namespace()]);
    assert_eq!(reasons(&given.plan("web")), ["would empty web (allowEmpty is not set)"]);
}

#[test]
fn scaling_to_zero_counts_as_a_deletion() {
    let deployment = |n: usize, replicas| DesiredObject {
        replicas: Some(replicas),
        ..object(&format!("Deployment.apps/prod/d{n}"), u64::from(replicas))
    };
    let mut given = Given::synced((0..4).map(|n| deployment(n, 2)).collect());
    given.push(2);
    let scaled = |n: usize| if n < 3 { 0 } else { 3 };
    given.renders("web", (0..4).map(|n| deployment(n, scaled(n))).collect());
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["update Deployment.apps/prod/d3"], "scaling up goes on");
    assert_eq!(reasons(&plan), ["would delete 3 of 4 objects of web (limit 50 %)"]);
    given.approves("web");
    assert_eq!(given.writes("web").len(), 4);
}

#[test]
fn what_several_applications_stop_or_recreate_with_one_commit_is_counted_together() {
    let forced = ObjectOptions { replace: Some(true), force: Some(true), validate: None };
    let stopped = |app: &str, n: usize, content: u64| DesiredObject {
        replicas: Some(if content == 1 { 2 } else { 0 }),
        ..object(&format!("Deployment.apps/prod/{app}{n}"), content)
    };
    let recreated = |app: &str, n: usize, content: u64| DesiredObject {
        options: forced,
        ..object(&format!("ConfigMap/prod/{app}{n}"), content)
    };
    type Kind<'k> = &'k dyn Fn(&str, usize, u64) -> DesiredObject;
    for make in [&stopped as Kind<'_>, &recreated as Kind<'_>] {
        let all = |app: &str, changed: usize| {
            let content = |n| if n < changed { 2 } else { 1 };
            (0..100).map(|n| make(app, n, content(n))).collect::<Vec<_>>()
        };
        let mut given = Given::synced(all("web", 0));
        given.declares(&application("api", auto()), Origin::Config);
        given.renders("api", all("api", 0));
        given.syncs("api");
        given.push(2);
        given.renders("web", all("web", 30));
        given.renders("api", all("api", 30));
        assert_eq!(given.plan("api").gate, None);
        let together = "would delete 60 objects for one commit (limit 50)";
        assert_eq!(reasons(&given.plan("web")), [together]);
    }
}

#[test]
fn adopting_what_runs_in_order_to_stop_it_counts_as_a_deletion() {
    let deployment = |n: usize| format!("Deployment.apps/prod/d{n}");
    for (was, waits) in [("2", true), ("0", false)] {
        let mut given = Given::app("web", auto());
        (0..3).for_each(|n| drop(given.sees(&deployment(n))));
        let zero = |n| DesiredObject { replicas: Some(0), ..object(&deployment(n), 1) };
        given.renders("web", (0..3).map(zero).collect());
        for asked in given.plan("web").dry_runs {
            let path = ".spec.replicas".to_owned();
            let change = FieldChange { path, was: was.into(), now: "0".into() };
            given.previews("web", &asked, Preview::Changes(vec![change]));
        }
        let plan = given.plan("web");
        assert_eq!((plan.gate.is_some(), plan.writes.is_empty()), (waits, waits), "{was}");
        if waits {
            assert_eq!(reasons(&plan), ["would delete 3 of 3 objects of web (limit 50 %)"]);
            given.approves("web");
            assert_eq!(given.writes("web").len(), 3);
        }
    }
}

#[test]
fn creates_and_updates_go_on_beside_a_gated_prune() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", vec![object(&map(0), 2), object("ConfigMap/prod/new", 1)]);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["update ConfigMap/prod/m0000", "create ConfigMap/prod/new"]);
    assert_eq!(plan.gate.as_ref().unwrap().writes.len(), 4);
    assert_eq!(plan.finished, None);
    given.syncs("web");
    assert!(!given.finishes("web"), "the rest waits");
    assert_eq!(given.world.live.len(), 7, "nothing was deleted");
}

#[test]
fn an_approval_lets_exactly_the_approved_plan_pass() {
    let mut given = shrunk(5, 2);
    given.approves("web");
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), plan.gate), (3, None));
    assert_eq!(given.world.apps[&name("web")].gate, None, "nothing waits any more");
    given.syncs("web");
    assert!(given.finishes("web"));
    // The next one has to be asked for again.
    given.push(3);
    given.renders("web", maps(7));
    given.syncs("web");
    given.push(4);
    given.renders("web", maps(2));
    assert!(given.plan("web").gate.is_some());
}

#[test]
fn an_approval_of_something_else_changes_nothing() {
    let mut given = shrunk(5, 2);
    let gated = given.gates("web");
    let mut plan = gated.plan;
    plan.0[0] ^= 1;
    given.event(PlanApprovedV1 { app: name("web"), plan, reason: String::new() });
    assert_eq!(given.plan("web").gate.unwrap().hash, gated.plan);
}

#[test]
fn an_approval_lapses_when_its_base_changes() {
    type Change = fn(&mut Given);
    let changes: [(&str, Change); 3] = [
        ("one more deletion", |given| {
            given.push(3);
            given.renders("web", maps(1));
        }),
        ("an object that is to go was changed", |given| {
            given.sees(&map(4));
        }),
        ("another object in the place of one", |given| {
            given.loses(&map(4));
            given.push(3);
            given.renders("web", maps(5));
            given.syncs("web");
            given.push(4);
            given.renders("web", maps(2));
        }),
    ];
    for (what, change) in changes {
        let mut given = shrunk(5, 2);
        given.approves("web");
        change(&mut given);
        let plan = given.plan("web");
        assert_eq!((plan.writes.len(), plan.gate.is_some()), (0, true), "{what}");
    }
}

#[test]
fn an_approval_that_lapsed_does_not_come_back() {
    let mut given = shrunk(5, 2);
    given.approves("web");
    let approved = given.plan("web").writes.len();
    given.push(3);
    given.renders("web", maps(1));
    given.gates("web");
    given.push(4);
    given.renders("web", maps(2));
    assert_eq!((approved, given.writes("web").len()), (3, 0));
}

#[test]
fn an_approval_covers_the_rest_when_a_part_is_done() {
    // An intent lists a part only, one of its deletions fails, and the rest is still approved.
    let mut given = shrunk(200, 100);
    given.approves("web");
    let mut writes = given.plan("web").writes;
    writes.truncate(60);
    let commit = given.world.apps[&name("web")].commit().cloned();
    given.event(crate::ledger::event::IntentRecordedV1 {
        app: name("web"),
        writes,
        commit,
        timeout_ms: 10_000,
    });
    let intent = given.seq();
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), plan.gate), (40, None));
    given.all_end(intent, &WriteResult::Failed("conflict".into()));
    given.after_ms(60_000);
    let plan = given.plan("web");
    assert_eq!((plan.writes.len(), plan.gate), (100, None));
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn a_gate_that_was_overtaken_before_it_was_recorded_cannot_be_approved() {
    let mut given = shrunk(5, 2);
    let gate = given.plan("web").gate.unwrap();
    given.sees(&map(4));
    given.event(crate::ledger::event::PlanGatedV1 {
        app: name("web"),
        plan: gate.hash,
        reasons: gate.reasons,
        writes: gate.writes,
        apps: gate.apps,
        render: gate.render,
        commit: None,
    });
    given.event(PlanApprovedV1 { app: name("web"), plan: gate.hash, reason: String::new() });
    assert!(given.plan("web").gate.is_some());
}

#[test]
fn a_request_lasts_until_somebody_decided_about_its_gate() {
    let mut given = shrunk(5, 2);
    given.redeclares(&application("web", json!({})));
    given.requests("web", true, &[]);
    assert_eq!(given.plan("web").finished, None, "the request is what permits to prune");
    given.approves("web");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert_eq!(given.world.apps[&name("web")].request, None);
}

// --- applications as objects

#[test]
fn what_is_left_of_an_approved_plan_after_a_refusal_is_approved() {
    let mut given = Given::synced(maps(5));
    given.push(2);
    given.renders("web", maps(2));
    given.approves("web");
    let intent = given.intends("web");
    let refused = WriteResult::Refused("the policy webhook says no".into());
    let writes = given.world.intents[&intent].writes.clone();
    let results = writes.iter().map(|(index, open)| {
        let refuses = open.write.key == key(&map(4));
        (*index, if refuses { refused.clone() } else { WriteResult::Deleted })
    });
    let (app, results) = (name("web"), results.collect());
    given.event(OutcomeRecordedV1 { app, intent, results });
    for text in [map(2), map(3)] {
        given.loses(&text);
    }
    assert!(!given.finishes("web"));
    given.after_ms(3_600_000);
    assert_eq!(given.writes("web"), [format!("prune {}", map(4))], "it is tried as approved");
    given.syncs("web");
    assert!(given.finishes("web"));
    assert!(given.world.apps[&name("web")].approved_bases.is_empty());
}
