//! What a person holds, against Git.

use serde_json::json;

use super::super::{Status, Sync, withdrawn};
use crate::ledger::event::{
    BackTo, DriftDetectedV1, DriftKind, FieldChange, FrozenV1, Health, HeldFields, HoldBegunV1,
    HoldEnd, HoldEndedV1, HoldOf, ManagerStamp, Origin, PausedV1, Preview, Verb, WriteResult,
};
use crate::model::{BlobAddr, Digest, Protection, Seq, Stance, Timestamp};
use crate::replay::testing::{Given, application, auto, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";

fn hold(given: &mut Given, drift: u64, of: HoldOf, until: Option<Timestamp>) -> Seq {
    let (app, reason) = (name("web"), "sale".to_owned());
    given.event(HoldBegunV1 { app, of: vec![of], from: BackTo::Drift(Seq(drift)), until, reason });
    given.seq()
}

fn fields() -> HoldOf {
    let field = FieldChange { path: ".data.k".into(), was: "1".into(), now: "9".into() };
    HoldOf::Fields(HeldFields {
        key: key(A),
        saved: BlobAddr([9; 32]),
        of_manifest: false,
        places: vec![vec!["f:data".into(), "f:k".into()]],
        fields: vec![field],
    })
}

fn keeps(given: &mut Given, until: Option<Timestamp>) -> Seq {
    hold(given, 1, fields(), until)
}

fn releases(given: &mut Given, hold: Seq) {
    let (app, objects) = (name("web"), vec![key(A)]);
    given.event(HoldEndedV1 { app, objects, holds: vec![hold], end: HoldEnd::Released });
}

#[test]
fn what_is_kept_is_written_once_is_no_drift_and_goes_back_when_it_is_released() {
    let mut given = Given::synced(objects(&[A, B]));
    let seq = keeps(&mut given, None);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["update ConfigMap/prod/a"]);
    assert_eq!(plan.writes[0].holds, [seq]);
    assert!(
        plan.writes[0].reason.starts_with(&format!("KEPT by hold #{}: .data.k 9: sale", seq.0))
    );
    let intent = given.intends("web");
    let told = said(&given.plan("web"), A).why.clone();
    assert!(told.starts_with("KEPT by hold") && told.ends_with("a write is under way"), "{told}");
    given.carries_out(intent);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::OutOfSync), "Git says otherwise");
    assert_eq!(said(&plan, A).status, Status::OnHold);
    assert_eq!(said(&plan, B).status, Status::Synced);
    let finished = plan.finished.unwrap();
    assert!(finished.succeeded && finished.message.contains("a person holds"), "{finished:?}");

    given.sees(A);
    let compared = given.plan("web");
    assert_eq!(said(&compared, A).status, Status::InFlight);
    assert!(said(&compared, A).why.starts_with("KEPT by hold"), "{compared:#?}");
    given.finds("web", A, DriftKind::Drift);
    let heal = given.plan("web").writes.remove(0);
    assert_eq!((heal.verb, heal.holds), (Verb::Heal, vec![seq]), "put back to what is kept");
    given.syncs("web");

    releases(&mut given, seq);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["update ConfigMap/prod/a"]);
    assert_eq!(
        (plan.writes[0].holds.len(), &*plan.writes[0].reason),
        (0, "what was held is released: back to Git")
    );
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
}

#[test]
fn a_hold_expires_at_its_time_and_not_before() {
    let mut given = Given::synced(objects(&[A]));
    let until = given.now().plus_ms(60_000);
    keeps(&mut given, Some(until));
    given.syncs("web");
    assert_eq!(given.plan("web").deadline, Some(until));
    let left = until.ms_since(given.now()) - 2;
    given.after_ms(left);
    assert_eq!(writes(&given.plan("web")), [""; 0]);
    let touched = given.after_ms(0);
    assert!(touched.apps.contains(&name("web")));
    assert_eq!(writes(&given.plan("web")), ["update ConfigMap/prod/a"]);
}

#[test]
fn a_new_revision_is_applied_with_what_is_kept_and_an_object_that_leaves_takes_its_holds() {
    let mut given = Given::synced(objects(&[A, B]));
    let seq = keeps(&mut given, None);
    given.syncs("web");
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    let write = given.plan("web").writes.remove(0);
    assert_eq!((write.verb, write.holds), (Verb::Update, vec![seq]));
    given.syncs("web");
    assert_eq!(said(&given.plan("web"), A).status, Status::OnHold);
    given.push(3);
    given.renders("web", objects(&[B]));
    assert_eq!(given.writes("web"), ["prune ConfigMap/prod/a"]);
    given.syncs("web");
    assert!(given.world.apps[&name("web")].holds.is_empty());
}

#[test]
fn a_keep_is_written_for_an_application_that_is_synced_by_hand_and_never_while_nothing_may_be() {
    let mut given = Given::app("web", json!({}));
    given.renders("web", objects(&[A]));
    given.requests("web", false, &[]);
    given.syncs("web");
    given.finishes("web");
    let seq = keeps(&mut given, None);
    assert_eq!(given.writes("web"), ["update ConfigMap/prod/a"], "a person asked for it");
    let mut frozen = given.clone();
    frozen.event(FrozenV1 { until: None, reason: String::new() });
    assert_eq!(frozen.writes("web"), [""; 0]);
    let mut paused = given.clone();
    paused.event(PausedV1 { app: name("web"), until: None, reason: String::new() });
    assert_eq!(paused.writes("web"), [""; 0]);
    given.syncs("web");
    releases(&mut given, seq);
    assert_eq!(given.writes("web"), [""; 0], "back to Git with the next sync");
    given.requests("web", false, &[]);
    given.syncs("web");
    assert_eq!(given.plan("web").sync, Sync::Synced);
}

#[test]
fn a_kept_deletion_keeps_the_object_away_and_deletes_only_what_greffier_made() {
    let mut given = Given::synced(objects(&[A, B]));
    let until = Some(given.now().plus_ms(60_000));
    hold(&mut given, 1, HoldOf::Absence(key(A)), until);
    let plan = given.plan("web");
    assert_eq!(writes(&plan), ["prune ConfigMap/prod/a"], "it was put back already");
    assert!(plan.writes[0].precondition.is_some());
    given.syncs("web");
    let plan = given.plan("web");
    let absent = said(&plan, A);
    assert_eq!((absent.status, absent.health), (Status::OnHold, Health::Suspended));
    assert_eq!((writes(&plan).len(), plan.deleted.len()), (0, 0));
    given.sees(A);
    let anew = given.plan("web");
    assert_eq!(writes(&anew), [""; 0], "somebody made it anew");
    assert!(said(&anew, A).why.contains("left as it is"), "{anew:?}");
    given.loses(A);
    given.after_ms(60_000);
    assert_eq!(given.writes("web"), ["create ConfigMap/prod/a"]);
}

#[test]
fn the_deletion_of_what_holds_others_waits_for_an_approval_even_when_it_is_kept() {
    let claim = "PersistentVolumeClaim/prod/data";
    let mut given = Given::synced(objects(&[A, B, claim]));
    hold(&mut given, 1, HoldOf::Absence(key(claim)), None);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.gate.map(|gate| gate.writes.len())), (0, Some(1)));
}

#[test]
fn what_is_decided_before_a_hold_is_withdrawn() {
    let mut given = Given::synced(objects(&[A]));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let write = given.plan("web").writes.remove(0);
    assert_eq!(withdrawn(&given.world, &name("web"), &write), None);
    keeps(&mut given, None);
    let why = withdrawn(&given.world, &name("web"), &write);
    assert!(why.is_some_and(|why| why.contains("holds")), "{why:?}");
}

#[test]
fn the_objects_of_a_removed_application_go_although_something_of_them_is_kept() {
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&[A]));
    given.syncs("web");
    keeps(&mut given, None);
    given.syncs("web");
    given.removes("web", true, Origin::Config);
    let write = given.plan("web").writes.remove(0);
    assert_eq!((write.verb, withdrawn(&given.world, &name("web"), &write)), (Verb::Prune, None));
}

#[test]
fn what_is_kept_and_what_is_left_live_are_both_in_every_write() {
    let mut given = Given::synced(objects(&[A]));
    let mut manifest = application("web", auto());
    manifest["spec"]["ignoreDifferences"] =
        json!([{"kind": "ConfigMap", "jsonPointers": ["/data/x"]}]);
    manifest["spec"]["syncPolicy"]["syncOptions"] = json!(["RespectIgnoreDifferences=true"]);
    given.redeclares(&manifest);
    let seq = keeps(&mut given, None);
    let both = |given: &Given, verb| {
        let [write] = given.plan("web").writes.try_into().unwrap();
        assert_eq!((write.verb, write.holds), (verb, vec![seq]));
        assert_eq!(write.respect.pointers, ["/data/x"]);
    };
    both(&given, Verb::Update);
    given.syncs("web");
    assert_eq!(said(&given.plan("web"), A).status, Status::OnHold);
    given.sees(A);
    given.finds("web", A, DriftKind::Drift);
    both(&given, Verb::Heal);
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    both(&given, Verb::Update);
    // What is gone is made as Git says, and as it is kept.
    given.loses(A);
    let [write] = given.plan("web").writes.try_into().unwrap();
    assert_eq!(
        (write.verb, write.holds, write.respect.is_empty()),
        (Verb::Create, vec![seq], true)
    );
}

#[test]
fn what_people_add_to_an_object_of_which_something_is_kept_goes_without_releasing_it() {
    let mut given = Given::synced(objects(&[A]));
    let mut manifest = application("web", auto());
    manifest["metadata"]["annotations"] = json!({"greffier.dev/strict": "true"});
    given.redeclares(&manifest);
    let seq = keeps(&mut given, None);
    given.syncs("web");
    given.sees(A);
    let stamp = ManagerStamp {
        manager: "kubectl-edit".into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::default(),
    };
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Addition,
        fields: vec![FieldChange { path: ".data.x".into(), was: String::new(), now: "1".into() }],
        places: Vec::new(),
        managers: vec![stamp],
        observation: given.world.live[&key(A)].seq,
        mask: Digest::default(),
        saved: None,
        later: None,
    });
    let [strip] = given.plan("web").writes.try_into().unwrap();
    assert_eq!((strip.verb, strip.strict, &strip.holds), (Verb::TakeOver, true, &vec![seq]));
    // The apply that takes the additions away is laid over with what is kept.
    let intent = given.intends("web");
    let WriteResult::Applied(mut applied) = given.answer(&strip) else { panic!("not applied") };
    applied.notes.surplus = true;
    given.all_end(intent, &WriteResult::Applied(applied));
    let [update] = given.plan("web").writes.try_into().unwrap();
    assert_eq!((update.verb, update.holds), (Verb::Update, vec![seq]));
    given.syncs("web");
    assert_eq!(said(&given.plan("web"), A).status, Status::OnHold);
}

#[test]
fn a_protected_object_that_leaves_git_stays_and_takes_its_holds_out_of_force() {
    let mut given = Given::app("web", auto());
    let stays = Protection { prune: Stance::Stays, ..Protection::default() };
    given.protected.insert(key(A), stays);
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    keeps(&mut given, None);
    given.syncs("web");
    assert_eq!(said(&given.plan("web"), A).status, Status::OnHold);
    given.push(2);
    given.renders("web", objects(&[B]));
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), said(&plan, A).status), (0, Status::Kept));
    assert!(given.world.apps[&name("web")].holds.is_empty());
    // Back in Git at once, it is kept as before. Once it is told that the hold ended, it follows Git.
    given.push(3);
    let mut again = given.clone();
    again.renders("web", vec![object(A, 3), object(B, 1)]);
    assert_eq!(again.plan("web").writes[0].holds.len(), 1);
    given.advances("web");
    let left: Vec<_> = given.world.left_for_good().cloned().collect();
    let ended = left.iter().map(|adrift| &adrift.hold);
    given.event(HoldEndedV1::of(name("web"), ended, HoldEnd::NewerInGit));
    given.renders("web", vec![object(A, 3), object(B, 1)]);
    let [write] = given.plan("web").writes.try_into().unwrap();
    assert_eq!((write.verb, write.holds.len()), (Verb::Update, 0));
}

#[test]
fn a_protected_object_that_is_kept_away_is_not_deleted() {
    for stance in [Stance::Stays, Stance::Asks] {
        let mut given = Given::app("web", auto());
        let protection = Protection { prune: stance, ..Protection::default() };
        given.protected.insert(key(A), protection);
        given.renders("web", objects(&[A, B]));
        given.syncs("web");
        hold(&mut given, 1, HoldOf::Absence(key(A)), None);
        let plan = given.plan("web");
        assert_eq!((writes(&plan).len(), &plan.gate), (0, &None), "{stance:?}");
        let why = &said(&plan, A).why;
        assert!(why.contains("left as it is"), "{stance:?}: {why}");
    }
}

/// `web` with the policy and its object applied.
fn applied(policy: serde_json::Value) -> Given {
    let mut given = Given::app("web", policy);
    given.renders("web", objects(&[A]));
    given.requests("web", false, &[]);
    given.syncs("web");
    given.finishes("web");
    given
}

/// The comparison finds that somebody changed the fields of A.
fn finds(given: &mut Given, paths: &[&str]) {
    let field =
        |path: &&str| FieldChange { path: (*path).into(), was: "1".into(), now: "9".into() };
    let observation = given.world.live[&key(A)].seq;
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(A),
        kind: DriftKind::Drift,
        fields: paths.iter().map(field).collect(),
        places: Vec::new(),
        managers: Vec::new(),
        observation,
        mask: given.mask("web", A),
        saved: None,
        later: None,
    });
}

#[test]
fn a_keep_rolls_nothing_out_that_nobody_synced() {
    let mut given = applied(json!({}));
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let seq = keeps(&mut given, None);
    let plan = given.plan("web");
    let held = plan.dry_runs.into_iter().next().unwrap();
    assert_eq!(plan.writes, []);
    given.previews("web", &held, Preview::Same);
    assert_eq!(given.writes("web"), [""; 0]);
    given.previews("web", &held, Preview::Changes(Vec::new()));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0]);
    let why = &said(&plan, A).why;
    assert!(why.contains("synced by hand") && why.contains("is not laid over it yet"), "{why}");
    given.requests("web", false, &[]);
    assert_eq!(given.plan("web").writes[0].holds, [seq]);
}

#[test]
fn a_keep_reverts_no_other_hand_edit_where_drift_is_left_alone() {
    for policy in [json!({}), json!({"automated": {"selfHeal": false}})] {
        let mut given = applied(policy);
        given.sees(A);
        finds(&mut given, &[".data.k", ".data.other"]);
        let seq = keeps(&mut given, None);
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [""; 0]);
        let assessed = said(&plan, A);
        assert_eq!(assessed.status, Status::Drifted);
        assert!(assessed.why.contains(".data.other"), "{}", assessed.why);
        let mut synced = given.clone();
        synced.requests("web", false, &[]);
        assert_eq!(synced.plan("web").writes[0].holds, [seq], "a sync puts the rest back");
        // Only what is held differs: nothing else is lost.
        given.sees(A);
        assert_eq!(given.plan("web").compare.len(), 1, "it is looked at first");
        finds(&mut given, &[".data.k"]);
        assert_eq!(given.writes("web"), ["update ConfigMap/prod/a"]);
    }
    let mut healed = applied(auto());
    healed.sees(A);
    finds(&mut healed, &[".data.k", ".data.other"]);
    keeps(&mut healed, None);
    assert_eq!(healed.writes("web"), ["update ConfigMap/prod/a"], "the rest is put back anyway");
}

/// Goal: what is kept and was brought to another cluster as it is kept does not differ there, although
/// greffier has not applied it there: the question is asked with what is kept, and again without.
#[test]
fn what_another_cluster_has_as_it_is_kept_does_not_differ() {
    let mut given = Given::synced(objects(&[A]));
    given.identified("one");
    let seq = keeps(&mut given, None);
    given.syncs("web");
    given.event(PausedV1 { app: name("web"), until: None, reason: String::new() });
    let doubt = given.replaced("two");
    given.lists_everything();
    given.sees("Namespace/prod");
    given.sees(A);
    given.accepts(doubt);
    let asked = given.plan("web").dry_runs.remove(0);
    assert_eq!(asked.holds, [seq]);
    given.previews("web", &asked, Preview::Same);
    let plan = given.plan("web");
    let told = said(&plan, A);
    assert_eq!((told.status, writes(&plan).len()), (Status::OnHold, 0), "{told:?}");
    assert!(told.why.starts_with("KEPT by hold"), "{told:?}");
    releases(&mut given, seq);
    let plain = given.plan("web").dry_runs.remove(0);
    assert_eq!(plain.holds, [Seq(0); 0]);
    assert_ne!(plain.mask_digest, asked.mask_digest);
}
