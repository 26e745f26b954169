//! How an object ended, and by whom: answers and what the watch tells come in any order.

use serde_json::Value;

use super::super::UNKNOWN;
use super::ledger::{Told, WEB, deployment, greffier};
use crate::ledger::event::*;
use crate::model::Seq;
use crate::query::fixture::{commit, name};

impl Told {
    fn goes(&mut self, uid: &str) -> Seq {
        let (key, uid) = (self.key.clone(), uid.to_owned());
        self.story.event(ObjectGoneV1 { key, uid, learned: Learned::Watched })
    }

    /// greffier is about to delete what is live.
    fn deletes(&mut self) -> Seq {
        self.intends(Verb::Prune, Seq(1), &Value::Null, commit('a'))
    }

    fn is_deleted(&mut self, intent: Seq) {
        let results = vec![(0, WriteResult::Deleted)];
        self.story.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    }

    /// By which verb of greffier it ended, if by one, and how well that is known.
    fn end(&self) -> (u64, Option<String>, String) {
        let gone = self.blame().gone.unwrap();
        (gone.seq, gone.who.write.map(|write| write.verb), gone.who.strength)
    }
}

fn made() -> Told {
    let mut told = Told::new(WEB);
    told.watches(10, &deployment(2, "app:v1"), &[]);
    told
}

#[test]
fn the_answer_to_a_deletion_may_come_after_the_end() {
    let mut told = made();
    let intent = told.deletes();
    let gone = told.goes("u1");
    assert_eq!(told.end(), (gone.0, None, UNKNOWN.to_owned()));
    told.is_deleted(intent);
    assert_eq!(told.end(), (gone.0, Some("prune".to_owned()), "exact".to_owned()));
}

#[test]
fn the_deletion_of_one_object_is_not_that_of_the_next_with_its_name() {
    let mut told = made();
    let intent = told.deletes();
    told.goes("u1");
    let wanted = deployment(2, "app:v1");
    told.sees(Learned::Watched, ("u2", 20), &wanted, &[]);
    told.is_deleted(intent);
    let gone = told.goes("u2");
    assert_eq!(told.end(), (gone.0, None, UNKNOWN.to_owned()), "a person did that");
    // Nor where the answer came before the new one.
    let mut told = made();
    let intent = told.deletes();
    told.is_deleted(intent);
    told.sees(Learned::Watched, ("u2", 20), &wanted, &[]);
    let gone = told.goes("u2");
    assert_eq!(told.end(), (gone.0, None, UNKNOWN.to_owned()));
}

#[test]
fn that_it_is_being_deleted_does_not_tell_by_whom() {
    let mut told = made();
    let intent = told.deletes();
    let results = vec![(0, WriteResult::Deleted)];
    told.story.event(IntentSettledV1 { app: name("web"), intent, results });
    let gone = told.goes("u1");
    assert_eq!(told.end(), (gone.0, None, UNKNOWN.to_owned()));
}

#[test]
fn an_answer_after_the_end_raises_nobody_from_the_dead() {
    let mut told = made();
    let wanted = deployment(3, "app:v1");
    let render = told.renders('a', 1, &wanted, "web/d.yaml:1");
    let intent = told.intends(Verb::Update, render, &wanted, commit('a'));
    let gone = told.goes("u1");
    told.ends(intent, 11, &wanted, &[greffier()]);
    let blame = told.blame();
    assert_eq!(blame.gone.map(|gone| gone.seq), Some(gone.0));
    assert_eq!(blame.versions, 2);
    // What the watch shows after the end is there again.
    told.watches(12, &wanted, &[greffier()]);
    assert_eq!(told.blame().gone, None);
}
