//! What an object says of itself, and the answers to greffier's writes, prove little.

use serde_json::json;

use super::super::{Blame, CLAIMED, EXACT, UNIQUE, UNKNOWN, Who};
use super::ledger::{
    IMAGE, Manager, REPLICAS, Told, WEB, deployment, greffier_at, own_fields, replicas_of, resolved,
};
use crate::ledger::event::*;
use crate::model::Seq;
use crate::query::fixture::{commit, name};

fn named(who: &Who) -> (&str, &str) {
    (&who.name, &who.strength)
}

/// Created by greffier in version 10, with one more write on its way.
fn created(verb: Verb) -> (Told, Seq) {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    told.applies(Verb::Create, render, 10, &wanted);
    let intent = told.intends(verb, render, &wanted, commit('a'));
    (told, intent)
}

#[test]
fn an_apply_that_changed_nothing_and_is_answered_with_anothers_version_wrote_nothing() {
    let wanted = deployment(2, "app:v1");
    let (mut told, intent) = created(Verb::Heal);
    let scale = replicas_of("kubectl-scale", 3);
    told.ends(intent, 11, &wanted, &[greffier_at(10), scale.clone()]);
    let set = told.field(REPLICAS).set;
    assert_eq!((named(&set.who), set.git), (("kubectl-scale", CLAIMED), None));
    // What others take from what greffier applied is no write of greffier either.
    let (mut told, intent) = created(Verb::Heal);
    let mut less = own_fields();
    less["f:spec"].as_object_mut().unwrap().shift_remove("f:replicas");
    let less = ("greffier", "Apply", 10, less);
    let mut paused = deployment(2, "app:v1");
    paused["spec"]["paused"] = json!(true);
    told.ends(intent, 11, &paused, &[less, scale.clone()]);
    assert_eq!(named(&told.field(".spec.paused").set.who), (UNKNOWN, UNKNOWN));
    // It wrote where its entry is of another time.
    let (mut told, intent) = created(Verb::Heal);
    told.ends(intent, 11, &paused, &[greffier_at(11), scale]);
    assert_eq!(named(&told.field(".spec.paused").set.who), ("greffier", EXACT));
    // Within the second its entry is the same: nobody else changes what it alone owns.
    let (mut told, intent) = created(Verb::Heal);
    told.ends(intent, 11, &deployment(3, "app:v1"), &[greffier_at(10)]);
    assert_eq!(named(&told.field(REPLICAS).set.who), ("greffier", EXACT));
}

#[test]
fn what_the_audit_says_surely_is_more_than_an_answer() {
    let wanted = deployment(3, "app:v1");
    let (mut told, intent) = created(Verb::Heal);
    told.ends(intent, 11, &wanted, &[greffier_at(11)]);
    let echo = told.watches(11, &wanted, &[greffier_at(11)]);
    resolved(&mut told, echo, Verdict::Ambiguous, &["alice", "bob"]);
    assert_eq!(named(&told.field(REPLICAS).set.who), ("greffier", EXACT));
    resolved(&mut told, echo, Verdict::Unique, &["alice"]);
    assert_eq!(named(&told.field(REPLICAS).set.who), ("alice", UNIQUE));
    let mut less = deployment(3, "app:v1");
    less["spec"].as_object_mut().unwrap().shift_remove("replicas");
    let again = told.intends(Verb::Update, Seq(1), &deployment(2, "app:v1"), commit('a'));
    told.ends(again, 12, &less, &[greffier_at(12)]);
    let echo = told.watches(12, &less, &[greffier_at(12)]);
    resolved(&mut told, echo, Verdict::Exact, &["bob"]);
    assert_eq!(named(&told.blame().removed[0].removed.who), ("bob", EXACT));
    // The end, and the beginning.
    let prune = told.intends(Verb::Prune, Seq(1), &json!(null), commit('a'));
    let results = vec![(0, WriteResult::Deleted)];
    told.story.event(OutcomeRecordedV1 { app: name("web"), intent: prune, results });
    let (key, learned) = (told.key.clone(), Learned::Watched);
    let gone = told.story.event(ObjectGoneV1 { key, uid: "u1".into(), learned });
    let ended = |blame: Blame| blame.gone.unwrap().who;
    assert_eq!(named(&ended(told.blame())), ("greffier", EXACT));
    resolved(&mut told, gone, Verdict::Exact, &["carol"]);
    assert_eq!(named(&ended(told.blame())), ("carol", EXACT));
    assert_eq!(named(&told.blame().begun.who), ("greffier", EXACT));
    let echo = told.watches(10, &deployment(2, "app:v1"), &[greffier_at(10)]);
    resolved(&mut told, echo, Verdict::Unique, &["dave"]);
    assert_eq!(named(&told.blame().begun.who), ("dave", UNIQUE));
}

#[test]
fn who_wrote_to_an_object_first_did_not_create_it() {
    let mut told = Told::new(WEB);
    let wanted = deployment(2, "app:v1");
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    told.applies(Verb::Adopt, render, 10, &wanted);
    let begun = told.blame().begun;
    assert_eq!((named(&begun.who), begun.after), ((UNKNOWN, UNKNOWN), Some(0)));
    assert_eq!(named(&told.field(REPLICAS).set.who), ("greffier", EXACT));
    // Nor did whoever changed what had been there before it was seen.
    for (added, expected) in
        [(false, ((UNKNOWN, UNKNOWN), Some(0))), (true, (("alice", EXACT), None))]
    {
        let mut told = Told::new(WEB);
        let seen = told.shows(added, 10, &wanted);
        resolved(&mut told, seen, Verdict::Exact, &["alice"]);
        let begun = told.blame().begun;
        assert_eq!((named(&begun.who), begun.after), expected);
    }
}

#[test]
fn a_manager_that_writes_by_several_versions_of_the_api_owns_all_of_it() {
    let mut told = Told::new(WEB);
    let image = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {"f:image": {}}}}}}});
    // By what the events list, and by what the object has.
    for version in 10..12_u32 {
        let entries = [replicas_of("hpa", 2), ("hpa", "Update", 1, image.clone())];
        told.watches(u64::from(version), &deployment(version, "app:v1"), &entries);
        for field in [REPLICAS, IMAGE] {
            assert_eq!(told.field(field).owners, ["hpa"], "{version} {field}");
        }
    }
    assert_eq!(named(&told.field(REPLICAS).set.who), ("hpa", CLAIMED));
}

#[test]
fn who_calls_himself_greffier_is_not_greffier() {
    let forged = |time| -> Manager<'static> { replicas_of("greffier", time) };
    let applied = |time| ("greffier", "Apply", time, json!({"f:spec": {"f:template": {}}}));
    let (mut told, intent) = created(Verb::Heal);
    told.ends(intent, 11, &deployment(7, "app:v1"), &[applied(11), forged(11)]);
    let field = told.field(REPLICAS);
    assert_eq!(named(&field.set.who), ("greffier", CLAIMED));
    assert_eq!((field.set.who.write, field.owners), (None, vec!["greffier".to_owned()]));
    // Nor is he whose field is removed.
    let (mut told, intent) = created(Verb::Heal);
    told.watches(11, &deployment(7, "app:v1"), &[applied(10), forged(11)]);
    let mut less = deployment(7, "app:v1");
    less["spec"].as_object_mut().unwrap().shift_remove("replicas");
    told.ends(intent, 12, &less, &[applied(12)]);
    assert_eq!(named(&told.blame().removed[0].removed.who), (UNKNOWN, UNKNOWN));
}

#[test]
fn the_owner_that_an_object_names_is_compared_as_a_manager_and_not_as_a_text() {
    let wanted = deployment(2, "app:v1");
    // A takeover writes no field, so that what was set before stays set.
    let (mut told, intent) = created(Verb::TakeOver);
    told.ends(intent, 11, &wanted, &[("greffier", "Update", 11, own_fields())]);
    assert_eq!(told.field(REPLICAS).conflict, "the object names greffier as its owner");
    let mut told = Told::new(WEB);
    told.watches(10, &wanted, &[("helm", "Apply", 1, own_fields())]);
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    let intent = told.intends(Verb::TakeOver, render, &wanted, commit('a'));
    let other = ("helm (apply)", "Update", 11, own_fields());
    told.ends(intent, 11, &wanted, &[("greffier", "Apply", 11, json!({})), other]);
    let field = told.field(REPLICAS);
    assert_eq!(named(&field.set.who), ("helm (apply)", CLAIMED));
    assert_eq!(field.conflict, "the object names helm (apply) as its owner");
}
