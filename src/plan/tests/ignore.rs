//! What is ignored, and what is done while it is not known what is ignored.

use serde_json::{Value, json};

use super::super::{Status, Sync};
use crate::ledger::event::{
    DriftKind, IgnoreCheckedV1, IgnoreFailedV1, ManagerStamp, ObjectObservedV1, Origin, Preview,
    Write,
};
use crate::model::{BlobAddr, Digest};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn with_rules(policy: Value, rules: Value) -> Value {
    let mut manifest = application("web", policy);
    manifest["spec"]["ignoreDifferences"] = rules;
    manifest
}

fn pointers() -> Value {
    json!([{"kind": "ConfigMap", "name": "a", "jsonPointers": ["/data/x"]}])
}

fn expressions() -> Value {
    json!([{"kind": "ConfigMap", "name": "a", "jqPathExpressions": [".data.x"]}])
}

/// An application that is synced and ignores something of `a`.
fn ignoring(policy: Value, rules: Value) -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.redeclares(&with_rules(policy, rules));
    given
}

#[test]
fn a_comparison_is_told_what_to_ignore() {
    let mut given = ignoring(auto(), pointers());
    given.sees(A);
    given.sees(B);
    let plan = given.plan("web");
    let masks: Vec<_> = plan.compare.iter().map(|one| one.mask.pointers.clone()).collect();
    assert_eq!(masks, [vec!["/data/x".to_owned()], vec![]]);
    assert_eq!(plan.compare[0].live, given.world.live[&key(A)].digest);
}

#[test]
fn another_rule_compares_anew_what_was_compared() {
    for kind in [DriftKind::None, DriftKind::Drift, DriftKind::Addition] {
        let mut given = ignoring(auto(), pointers());
        given.sees(A);
        if kind == DriftKind::None {
            given.compared.insert(key(A), (given.seq(), given.mask("web", A)));
        } else {
            given.finds("web", A, kind);
        }
        assert_eq!(given.plan("web").compare, [], "{kind:?}");
        let other = json!([{"kind": "ConfigMap", "jsonPointers": ["/data/y"]}]);
        given.redeclares(&with_rules(auto(), other));
        let plan = given.plan("web");
        assert_eq!((plan.compare.len(), writes(&plan).len()), (1, 0), "{kind:?}");
        given.redeclares(&with_rules(auto(), pointers()));
        assert_eq!(given.plan("web").compare, [], "{kind:?}: as it was");
    }
}

fn planned(given: &Given) -> Write {
    let [write] = given.plan("web").writes.try_into().unwrap();
    write
}

#[test]
fn the_live_value_is_sent_back_only_where_that_is_asked_for_and_there_is_one() {
    let mut respecting = auto();
    respecting["syncOptions"] = json!(["RespectIgnoreDifferences=true"]);
    for (policy, respected) in [(auto(), false), (respecting, true)] {
        let mut given = ignoring(policy.clone(), pointers());
        given.push(2);
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        assert_eq!(planned(&given).respect.is_empty(), !respected, "an update");
        given.renders("web", objects(&[A, B]));
        given.sees(A);
        given.finds("web", A, DriftKind::Drift);
        assert_eq!(planned(&given).respect.is_empty(), !respected, "a heal");
        given.loses(A);
        let write = planned(&given);
        assert!(write.respect.is_empty() && write.verb.as_str() == "create");
    }
}

#[test]
fn an_expression_that_cannot_be_read_suspends_the_writes_to_what_it_selects() {
    let mut given = ignoring(auto(), expressions());
    let problems = vec![(".data.x".to_owned(), "cannot be read: expected term".to_owned())];
    given.event(IgnoreCheckedV1 { app: name("web"), problems });
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 2)]);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {B}")]);
    assert_eq!(said(&plan, A).status, Status::Held);
    let what = "ignoreDifferences: jqPathExpressions `.data.x` cannot be read: expected term";
    assert_eq!(plan.suspended, [format!("update {A}: {what}")]);
    // What is not there is created all the same.
    given.loses(A);
    assert!(given.writes("web").contains(&format!("create {A}")));
    given.event(IgnoreCheckedV1 { app: name("web"), problems: Vec::new() });
    assert_eq!(given.plan("web").suspended, [""; 0]);
}

fn fails(given: &mut Given, transient: bool) {
    let comparison = given.plan("web").compare[0].clone();
    given.event(IgnoreFailedV1 {
        app: name("web"),
        key: comparison.key,
        mask: comparison.mask.digest(),
        live: comparison.live,
        error: "did not end".into(),
        transient,
    });
}

#[test]
fn an_object_of_which_it_is_not_known_what_is_ignored_is_neither_judged_nor_written() {
    let mut given = ignoring(auto(), expressions());
    given.sees(A);
    fails(&mut given, false);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.compare.len(), plan.sync), (0, 0, Sync::Unknown));
    assert_eq!(plan.suspended, [format!("update {A}: ignoreDifferences: did not end")]);
    let finished = plan.finished.clone().unwrap();
    assert!(!finished.succeeded && finished.message.contains("did not end"), "{finished:?}");
    assert_eq!(plan.deadline, None, "an endless expression is not tried again and again");
    // Seen again as it is, it is not tried again; changed, it is; and when a person asks.
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    assert_eq!((given.writes("web").len(), said(&given.plan("web"), A).status), (0, Status::Held));
    given.renders("web", objects(&[A, B]));
    given.requests("web", false, &[]);
    assert_eq!(given.plan("web").compare.len(), 1);
    fails(&mut given, false);
    assert_eq!(given.plan("web").compare, []);
    given.sees(A);
    assert_eq!(given.plan("web").compare.len(), 1);
    given.finds("web", A, DriftKind::Drift);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
}

#[test]
fn what_could_not_be_asked_is_asked_again() {
    let mut given = ignoring(auto(), expressions());
    given.sees(A);
    for wait in [1_000, 2_000, 4_000] {
        fails(&mut given, true);
        let plan = given.plan("web");
        assert_eq!((plan.compare.len(), plan.finished.clone()), (0, None));
        assert_eq!(plan.deadline.unwrap().ms_since(given.now()), wait);
        given.after_ms(wait);
    }
}

#[test]
fn a_preview_is_asked_again_when_the_rule_changes() {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A]));
    given.sees(A);
    let asked = given.plan("web").dry_runs[0].clone();
    given.previews("web", &asked, Preview::Same);
    assert_eq!(given.plan("web").sync, Sync::Synced);
    given.redeclares(&with_rules(json!({}), pointers()));
    let asked = given.plan("web").dry_runs[0].clone();
    assert_eq!((asked.mask.pointers.len(), asked.respect.is_empty()), (1, true));
    given.previews("web", &asked, Preview::Same);
    assert_eq!(given.plan("web").sync, Sync::Synced);
}

#[test]
fn a_preview_is_asked_again_when_other_fields_are_left_to_managers() {
    let managers = json!([{"kind": "ConfigMap", "managedFieldsManagers": ["tuner"]}]);
    for (rules, again) in [(managers, 1), (pointers(), 0)] {
        let mut given = Given::cluster();
        given.declares(&with_rules(json!({}), rules), Origin::Config);
        given.renders("web", objects(&[A]));
        let seen = given.observation(A);
        given.event(seen.clone());
        let asked = given.plan("web").dry_runs[0].clone();
        given.previews("web", &asked, Preview::Same);
        assert_eq!(given.plan("web").dry_runs, []);
        // The object is the same, and somebody else owns what.
        let stamp = ManagerStamp {
            manager: "tuner".into(),
            operation: "Update".into(),
            subresource: String::new(),
            time: None,
            fields: Digest::of(b"fields"),
        };
        let object = BlobAddr::of(b"with other managers");
        given.event(ObjectObservedV1 { managers: vec![stamp], object, ..seen });
        assert_eq!(given.plan("web").dry_runs.len(), again);
    }
}

#[test]
fn another_rule_is_tried_where_the_one_before_failed() {
    let mut given = ignoring(auto(), expressions());
    given.sees(A);
    fails(&mut given, false);
    assert_eq!((given.plan("web").compare.len(), given.plan("web").sync), (0, Sync::Unknown));
    let other = json!([{"kind": "ConfigMap", "name": "a", "jqPathExpressions": [".data.y"]}]);
    given.redeclares(&with_rules(auto(), other));
    assert_eq!(given.plan("web").compare.len(), 1);
}
