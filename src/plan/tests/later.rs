//! A ledger that is an old copy does not put the cluster back: what a later greffier wrote waits
//! for Git or for a person.

mod held;
mod let_go;
mod lost;
mod nobodys_word;
mod open;
mod replayed;
mod start;

use super::super::{Plan, withdrawn};
use crate::ledger::event::{
    DriftDetectedV1, DriftKind, IntentSettledV1, ObjectObservedV1, WriteResult,
};
use crate::model::{Digest, Timestamp};
use crate::replay::testing::{Given, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

/// The object is seen, and compared with this result; `later` = greffier wrote it at that time.
fn found(given: &mut Given, text: &str, kind: DriftKind, later: Option<Timestamp>) {
    given.sees(text);
    drifts(given, text, kind, later);
}

fn drifts(given: &mut Given, text: &str, kind: DriftKind, later: Option<Timestamp>) {
    given.event(DriftDetectedV1 {
        app: given.world.owned[&key(text)].app.clone(),
        key: key(text),
        kind,
        fields: Vec::new(),
        places: Vec::new(),
        managers: Vec::new(),
        observation: given.world.live[&key(text)].seq,
        mask: Digest::default(),
        saved: None,
        later,
    });
}

fn gated(plan: &Plan) -> Vec<String> {
    let writes = plan.gate.iter().flat_map(|gate| &gate.writes);
    writes.map(|write| format!("{} {}", write.verb.as_str(), write.key)).collect()
}

fn reason(plan: &Plan) -> &str {
    plan.gate.as_ref().map_or("", |gate| &gate.reasons[0].what)
}

#[test]
fn what_greffier_wrote_later_is_not_put_back_unasked_and_the_rest_is() {
    for (kind, verb) in [(DriftKind::Drift, "heal"), (DriftKind::OwnershipLost, "reclaim")] {
        let mut given = Given::synced(objects(&[A, B]));
        let later = Some(given.now());
        found(&mut given, A, kind, later);
        found(&mut given, B, kind, None);
        let plan = given.plan("web");
        assert_eq!(gated(&plan), [format!("{verb} {A}")]);
        assert!(reason(&plan).contains(A) && reason(&plan).contains("old copy"), "{plan:?}");
        assert_eq!(writes(&plan), [format!("{verb} {B}")], "somebody else's edit is no sign");
    }
}

#[test]
fn a_person_who_approves_has_it_put_back_as_it_was_shown() {
    let mut given = Given::synced(objects(&[A, B]));
    let later = Some(given.now());
    found(&mut given, A, DriftKind::Drift, later);
    let why = "greffier wrote to it after the last write that this ledger knows of";
    assert_eq!(given.plan("web").gate.unwrap().writes[0].reason, why);
    given.approves("web");
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    // It was written once more: that is another question.
    found(&mut given, A, DriftKind::Drift, later.map(|at| at.plus_ms(5_000)));
    assert_eq!((given.writes("web").len(), gated(&given.plan("web")).len()), (0, 1));
    given.approves("web");
    given.syncs("web");
    assert_eq!(given.plan("web").gate, None);
}

#[test]
fn what_git_says_when_it_is_known_again_is_written_and_the_gate_lapses() {
    let mut given = Given::synced(objects(&[A, B]));
    let later = Some(given.now());
    found(&mut given, A, DriftKind::Drift, later);
    given.gates("web");
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let plan = given.plan("web");
    assert_eq!((writes(&plan), plan.gate), (vec![format!("update {A}")], None));
    given.syncs("web");
    assert!(given.finishes("web"));
    // From then on it is this ledger's own write.
    found(&mut given, A, DriftKind::Drift, None);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
}

#[test]
fn what_is_as_it_was_again_waits_no_more() {
    let mut given = Given::synced(objects(&[A]));
    let later = Some(given.now());
    found(&mut given, A, DriftKind::Drift, later);
    found(&mut given, A, DriftKind::None, later);
    assert_eq!((given.writes("web").len(), given.plan("web").gate), (0, None));
}

#[test]
fn what_a_later_greffier_may_have_removed_is_not_made_again_unasked() {
    let mut given = Given::synced(objects(&[A, B]));
    given.loses(B);
    assert_eq!(given.writes("web"), [format!("create {B}")], "nothing says that it is old");
    given.sees(A);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.compare.len()), (0, 1), "that may be a sign");
    assert!(said(&plan, B).why.contains("compared first"), "{}", said(&plan, B).why);
    let later = Some(given.now());
    drifts(&mut given, A, DriftKind::Drift, later);
    assert_eq!(gated(&given.plan("web")), [format!("heal {A}"), format!("create {B}")]);
    // What Git brings new is none of that.
    given.push(2);
    given.renders("web", vec![object(A, 1), object(B, 2)]);
    assert_eq!(given.writes("web"), [format!("create {B}")]);
}

#[test]
fn an_object_that_was_made_anew_as_greffier_is_anothers() {
    for own in [true, false] {
        let mut given = Given::synced(objects(&[A]));
        given.loses(A);
        let seen = given.observation(A);
        let owned = own.then(|| Digest::of(b"fields"));
        given.event(ObjectObservedV1 { owned, ..seen });
        let plan = given.plan("web");
        assert_eq!((gated(&plan).len(), writes(&plan).len()), if own { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn our_own_write_that_nobody_saw_is_no_other_greffiers() {
    let mut given = Given::synced(objects(&[A]));
    found(&mut given, A, DriftKind::Drift, None);
    let intent = given.intends("web");
    given.starts(false);
    given.lists_everything();
    let deadline = given.world.intents[&intent].deadline;
    // It was made, and somebody changed the object before anybody looked.
    let result = WriteResult::NotSent("the object is not as the write would have left it".into());
    given.event(IntentSettledV1 { app: name("web"), intent, results: vec![(0, result)] });
    found(&mut given, A, DriftKind::Drift, Some(deadline));
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    // What was written long after it could have been made was not it.
    found(&mut given, A, DriftKind::Drift, Some(deadline.plus_ms(61_000)));
    assert_eq!(gated(&given.plan("web")), [format!("heal {A}")]);
}

#[test]
fn an_intent_that_came_before_the_sign_is_withdrawn() {
    let mut given = Given::synced(objects(&[A, B]));
    given.loses(B);
    let [write] = given.plan("web").writes.try_into().unwrap();
    assert_eq!(withdrawn(&given.world, &name("web"), &write), None);
    let later = Some(given.now());
    found(&mut given, A, DriftKind::Drift, later);
    let why = "greffier wrote to the cluster later than this ledger knows of";
    assert_eq!(withdrawn(&given.world, &name("web"), &write), Some(why));
    given.approves("web");
    assert_eq!(withdrawn(&given.world, &name("web"), &write), None);
}

#[test]
fn a_person_who_syncs_is_asked_as_well() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.syncs("web");
    let later = Some(given.now());
    found(&mut given, A, DriftKind::Drift, later);
    given.requests("web", false, &[]);
    assert_eq!(gated(&given.plan("web")), [format!("heal {A}")]);
}
