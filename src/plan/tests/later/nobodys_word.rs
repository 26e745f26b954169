//! An apply of this ledger to an object that bears a later write is nobody's word: what may have been
//! rolled back goes on waiting for a person, whatever was written meanwhile.

use super::let_go::{NEW, again, asked, differs, goes, old_copy, rule, shows, synced, waits};
use super::{A, B, found, gated};
use crate::ledger::event::{AppHeldV1, DriftKind};
use crate::model::Timestamp;
use crate::replay::testing::{Given, key, name, object, writes};

/// `old_copy`, where Git says of A what the later greffier wrote, and wants NEW, which that one made:
/// both were applied since, which changed nothing.
fn applied() -> (Given, Timestamp) {
    let (mut given, at) = old_copy();
    shows(&mut given, NEW, at);
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1), object(NEW, 1)]);
    given.advances("other");
    let latest = given.world.own_writes.latest;
    given.syncs("web");
    let owned = |text: &str| given.world.owned.get(&key(text)).map(|owned| owned.applied);
    let desired = &given.world.apps[&name("web")].desired.as_ref().unwrap().objects;
    for text in [A, NEW] {
        assert_eq!(owned(text), Some(desired[&key(text)].digest), "{text} was applied");
    }
    assert_eq!(given.world.own_writes.latest, latest, "no time of this ledger's was stated");
    assert!(given.finishes("web"));
    (given, at)
}

/// What becomes of `text` of `web` when Git has it otherwise, or drops it: what waits, and what goes.
fn said(given: &Given, text: &str, drops: bool) -> (Vec<String>, Vec<String>) {
    let mut given = given.clone();
    given.push(8);
    let content = |of: &str, now| object(of, if of == text { 9 } else { now });
    let mut objects = vec![content(A, 2), content(B, 1), content(NEW, 1)];
    objects.retain(|object| !drops || object.key != key(text));
    given.renders("web", objects);
    given.advances("other");
    differs(&mut given);
    let plan = given.plan("web");
    (gated(&plan), writes(&plan))
}

#[test]
fn an_apply_that_changes_nothing_lets_nothing_go() {
    let (given, at) = applied();
    let restarted = again(&given, A, at);
    for given in [&given, &restarted] {
        assert!(given.world.old_copy().is_some());
        for text in [A, NEW] {
            assert!(given.world.shows_later(&key(text)), "{text}");
            assert_eq!(said(given, text, false), waits(text));
            assert_eq!(said(given, text, true), (vec![format!("prune {text}")], Vec::new()));
        }
    }
}

#[test]
fn a_person_lets_go_what_was_applied_and_is_as_it_was() {
    let (mut given, at) = applied();
    synced(&mut given, "web", &[NEW]);
    assert_eq!(said(&given, A, false), waits(A), "it was not asked for");
    synced(&mut given, "web", &[]);
    assert_eq!(given.world.old_copy(), None);
    for text in [A, NEW] {
        assert_eq!(said(&given, text, false), goes(text));
    }
    // One more apply that changes nothing makes it no sign again at the next start.
    let mut others = given.clone();
    others.push(3);
    others.renders("web", vec![object(A, 3), object(B, 1), object(NEW, 1)]);
    others.advances("other");
    let intent = others.intends("web");
    let mut result = others.answer(&others.world.intents[&intent].writes[&0].write.clone());
    if let crate::ledger::event::WriteResult::Applied(applied) = &mut result {
        applied.changed = false;
        applied.notes.written = Some(at);
    }
    others.all_end(intent, &result);
    for given in [given, others] {
        let again = again(&given, A, at);
        assert_eq!(again.world.old_copy(), None);
        assert_eq!(said(&again, A, false), goes(A));
    }
}

#[test]
fn what_is_put_back_meanwhile_ends_no_later_write() {
    let (mut given, at) = applied();
    found(&mut given, A, DriftKind::Drift, None);
    assert_eq!(given.writes("web"), [format!("heal {A}")], "somebody's edit");
    given.syncs("web");
    assert!(given.finishes("web"));
    for given in [&given, &again(&given, A, at)] {
        assert_eq!(said(given, A, false), waits(A));
    }
}

#[test]
fn what_a_person_had_changed_is_this_ledgers_own() {
    // An approval, whatever becomes of the rest.
    let (mut given, _) = asked();
    given.approves("web");
    let intent = given.intends("web");
    given.carries_out(intent);
    let shown = |given: &Given| [A, B].map(|text| given.world.shows_later(&key(text)));
    assert_eq!(shown(&given), [false, true]);
    // A sync that was asked for when that was decided.
    let (mut given, _) = asked();
    given.requests("web", false, &[]);
    let intent = given.intends("web");
    given.carries_out(intent);
    assert_eq!(shown(&given), [false, true]);
    // A rollback of a person's, and none of a rule's.
    for by_rule in [false, true] {
        let (mut given, _) = old_copy();
        let mut then = given.clone();
        then.push(2);
        then.renders("web", vec![object(A, 2), object(B, 1)]);
        let automatic = by_rule.then(|| Box::new(rule(&given)));
        given.event(AppHeldV1 { automatic, ..given.rollback("web", &then.world) });
        differs(&mut given);
        if by_rule {
            given.approves("web");
            assert_eq!(given.writes("web"), [format!("update {A}")]);
            continue;
        }
        let intent = given.intends("web");
        given.carries_out(intent);
        assert_eq!(shown(&given), [false, false], "and B shows none");
    }
}

#[test]
fn a_word_counts_for_what_was_decided_and_seen_when_it_was_given() {
    // It was on its way already.
    let (mut given, at) = applied();
    found(&mut given, A, DriftKind::Drift, None);
    let intent = given.intends("web");
    given.requests("web", false, &[]);
    given.carries_out(intent);
    assert!(given.world.shows_later(&key(A)));
    // It was written later still, by the other one, after the word.
    let (mut given, _) = applied();
    given.requests("web", false, &[]);
    shows(&mut given, A, at.plus_ms(1_000));
    found(&mut given, A, DriftKind::Drift, None);
    let intent = given.intends("web");
    given.carries_out(intent);
    assert!(given.world.shows_later(&key(A)));
    // It was given before the start.
    let (mut given, _) = applied();
    given.requests("web", false, &[]);
    let mut given = again(&given, A, at);
    found(&mut given, A, DriftKind::Drift, None);
    let intent = given.intends("web");
    given.carries_out(intent);
    assert!(given.world.shows_later(&key(A)));
}

#[test]
fn what_has_changed_since_the_dry_run_is_not_written_unasked() {
    let (mut given, asked) = super::start::said_otherwise();
    given.previews("web", &asked, crate::ledger::event::Preview::Same);
    let plan = given.plan("web");
    let update = plan.writes.iter().find(|write| write.key == key(A)).unwrap().clone();
    let withdrawn = |given: &Given| crate::plan::withdrawn(&given.world, &name("web"), &update);
    assert_eq!(withdrawn(&given), None);
    given.sees(A);
    assert!(withdrawn(&given).is_some(), "the apply may change something now");
}
