//! After a start: what rests on what was known before waits until it was looked at again, and for
//! longer where something shows that the ledger is an old copy.

use super::{A, B, drifts, found, gated, reason};
use crate::ledger::event::{
    DriftKind, FetchFailedV1, FetchRecoveredV1, FetchUnchangedV1, FieldChange, IntentSettledV1,
    KindsServedV1, LedgerRepairedV1, ManagerStamp, ObjectObservedV1, Origin, Preview, ServedKind,
    WatchGapV1, WriteResult,
};
use crate::model::{Digest, FIELD_MANAGER, Timestamp};
use crate::plan::{Violation, check, withdrawn};
use crate::replay::testing::{
    Given, REPO, application, auto, cascading, child, key, name, object, objects, said, writes,
};

const C: &str = "ConfigMap/prod/c";
const D: &str = "ConfigMap/prod/d";
const E: &str = "ConfigMap/prod/e";
/// An object that this ledger never applied.
const NEW: &str = "ConfigMap/prod/new";

/// `web`, synced, of which A was changed by somebody; and `other`, with E deleted by somebody and D
/// to be pruned: it left Git while the policy did not prune.
fn before() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    let manual = serde_json::json!({"automated": {"prune": false, "selfHeal": true}});
    given.declares(&application("other", manual), Origin::Config);
    given.renders("other", objects(&[C, D, E]));
    given.syncs("other");
    given.push(2);
    given.renders("other", objects(&[C, E]));
    given.advances("web");
    given.redeclares(&application("other", auto()));
    given.loses(E);
    found(&mut given, A, DriftKind::Drift, None);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    given
}

/// The daemon starts anew and lists everything; Git is not asked yet.
fn listed() -> Given {
    let mut given = before();
    given.starts_without_git(false);
    given.lists_everything();
    given
}

pub(super) fn unchanged(given: &mut Given) {
    given.event(FetchUnchangedV1 { repo: REPO.into() });
}

pub(super) fn fails(given: &mut Given) {
    given.event(FetchFailedV1 { repo: REPO.into(), error: "no route to host".into() });
}

/// An object that bears the name of `web` shows that greffier wrote it at that time.
pub(super) fn shows(given: &mut Given, text: &str, at: Timestamp, operation: &str) {
    shows_of(given, text, at, operation, "web");
}

pub(super) fn shows_of(given: &mut Given, text: &str, at: Timestamp, operation: &str, app: &str) {
    let stamp = ManagerStamp {
        manager: FIELD_MANAGER.into(),
        operation: operation.into(),
        subresource: String::new(),
        time: Some(at),
        fields: Digest::default(),
    };
    let seen = given.observation(text);
    given.event(ObjectObservedV1 { managers: vec![stamp], claimed_by: app.into(), ..seen });
}

pub(super) fn in_an_hour(given: &Given) -> Timestamp {
    given.now().plus_ms(3_600_000)
}

/// `listed`, where an object shows that greffier wrote later.
fn old_copy() -> Given {
    let mut given = listed();
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    given
}

#[test]
fn nothing_of_before_the_start_is_written_before_every_kind_was_seen_again() {
    let mut given = before();
    given.starts(false);
    let kinds: Vec<_> = given.world.cluster.kinds.keys().cloned().collect();
    let (last, first) = kinds.split_last().unwrap();
    first.iter().for_each(|kind| given.lists(kind.clone()));
    for app in ["web", "other"] {
        assert_eq!(given.writes(app), [""; 0], "what is not listed may show something");
        assert_eq!(given.plan(app).finished, None);
    }
    let why = said(&given.plan("other"), D).why.clone();
    assert!(why.ends_with("waits: 1 kinds are listed first, after the start"), "{why}");
    // What cannot be listed is waited for until that is said.
    let mut broken = given.clone();
    let gap = |refused| WatchGapV1 { kind: last.clone(), reason: "busy".into(), refused };
    assert!(given.event(gap(false)).all);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    // A kind of which nobody can be told anything is not waited for either.
    let served = |kind| ServedKind::plain(kind, "things");
    let kinds = first.iter().cloned().map(served).collect();
    broken.event(KindsServedV1 { kinds, broken_groups: vec![last.group.clone()] });
    assert!(broken.world.cluster.kinds.contains_key(last), "it is taken to be as before");
    assert_eq!(broken.writes("web"), [format!("heal {A}")]);
    // Later kinds are no news of before.
    given.serves(&[crate::model::GroupKind::new("x", "Late")]);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
}

#[test]
fn until_git_was_asked_nothing_but_what_somebody_changed_is_put_back() {
    let mut given = listed();
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    assert_eq!(given.writes("other"), [""; 0], "it may have left Git, or be back in it");
    let why = said(&given.plan("other"), E).why.clone();
    assert!(why.ends_with("/srv/infra.git is fetched first, after the start"), "{why}");
    unchanged(&mut given);
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
}

#[test]
fn where_git_cannot_be_asked_what_was_changed_is_healed_and_nothing_is_deleted() {
    let mut given = listed();
    fails(&mut given);
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    assert_eq!(given.writes("other"), [format!("create {E}")]);
    let plan = given.plan("other");
    assert!(plan.gate.is_none(), "nobody is asked: {:?}", plan.gate);
    let why = &said(&plan, D).why;
    assert!(why.contains("/srv/infra.git could not be fetched since the start"), "{why}");
    // The rule is judged apart from the plan.
    let mut forged = plan.clone();
    forged.writes = before().plan("other").writes;
    assert_eq!(check(&given.world, &forged), [Violation::PrunesUnheard(key(D))]);
    // A person may say that it goes nevertheless.
    let mut asked = given.clone();
    asked.requests("other", true, &[]);
    assert_eq!(asked.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    // What was asked for before the start is no word about now.
    asked.starts_without_git(false);
    asked.lists_everything();
    fails(&mut asked);
    assert_eq!(asked.writes("other"), [format!("create {E}")]);
    given.event(FetchRecoveredV1 { repo: REPO.into() });
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    // From then on it may be away.
    fails(&mut given);
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
}

#[test]
fn a_child_is_not_removed_while_git_cannot_be_asked() {
    let mut given = Given::app("root", auto());
    given.renders("root", vec![child(&cascading("web", auto())), object(A, 1)]);
    given.declares(&cascading("web", auto()), Origin::Parent(name("root")));
    given.syncs("root");
    given.push(2);
    given.renders("web", objects(&[B]));
    given.syncs("web");
    given.renders("root", objects(&[A]));
    let remove = |given: &Given| given.plan("root").remove.len() + usize::from(is_gated(given));
    assert_eq!(remove(&given), 1);
    given.starts_without_git(false);
    given.lists_everything();
    assert_eq!(remove(&given), 0);
    fails(&mut given);
    assert_eq!(remove(&given), 0);
    unchanged(&mut given);
    assert_eq!(remove(&given), 1);
}

fn is_gated(given: &Given) -> bool {
    given.plan("root").gate.is_some_and(|gate| !gate.apps.is_empty())
}

#[test]
fn what_greffier_wrote_and_nobody_has_shows_that_the_ledger_is_an_old_copy() {
    let mut given = old_copy();
    fails(&mut given);
    // Of all applications, whichever shows it: but what somebody changed is put back.
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
    let plan = given.plan("other");
    assert_eq!(writes(&plan), [""; 0]);
    assert_eq!(gated(&plan), [format!("create {E}"), format!("prune {D}")]);
    let reasons = &plan.gate.as_ref().unwrap().reasons;
    assert!(reasons.iter().all(|reason| reason.what.contains("old copy")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.what.contains(NEW)), "{reasons:?}");
    // A person decides.
    let mut approved = given.clone();
    approved.approves("other");
    assert_eq!(approved.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    // It is not forgotten with another start, at which nothing new is seen.
    given.starts_without_git(false);
    given.lists_everything();
    fails(&mut given);
    assert_eq!(gated(&given.plan("other")).len(), 2);
    // Git says the same as before: then that is what is wanted.
    given.event(FetchRecoveredV1 { repo: REPO.into() });
    assert_eq!(given.writes("other"), [format!("create {E}"), format!("prune {D}")]);
    fails(&mut given);
    assert_eq!(given.plan("other").gate, None, "it has said so");
}

#[test]
fn what_git_says_now_is_waited_for_without_asking_anybody() {
    let mut given = old_copy();
    given.push(3);
    let plan = given.plan("other");
    assert_eq!((writes(&plan).len(), plan.gate), (0, None), "it is being rendered");
    given.renders("other", vec![object(C, 3)]);
    given.advances("web");
    let plan = given.plan("other");
    assert_eq!((gated(&plan).len(), writes(&plan).len()), (0, 2), "{:?}", writes(&plan));
    // What does not render is no word: somebody has to decide about what was known before.
    let mut given = old_copy();
    given.push(3);
    given.fails_to_render_by("other", false);
    assert_eq!(gated(&given.plan("other")), [format!("create {E}")]);
}

#[test]
fn a_child_is_as_old_as_what_defines_it() {
    let mut given = Given::app("root", auto());
    let mut manifest = application("web", auto());
    manifest["spec"]["source"]["repoURL"] = serde_json::json!("/srv/web.git");
    given.renders("root", vec![child(&manifest)]);
    given.declares(&manifest, Origin::Parent(name("root")));
    given.event(crate::ledger::event::RefMovedV1 {
        repo: "/srv/web.git".into(),
        name: "refs/heads/main".into(),
        old: None,
        new: Some(crate::replay::testing::commit(1)),
    });
    given.renders("web", objects(&[A, B]));
    given.syncs("web");
    given.loses(B);
    given.starts_without_git(false);
    given.lists_everything();
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    given.event(FetchUnchangedV1 { repo: "/srv/web.git".into() });
    assert_eq!(gated(&given.plan("web")), [format!("create {B}")], "it may be defined otherwise");
    unchanged(&mut given);
    assert_eq!(given.writes("web"), [format!("create {B}")]);
}

#[test]
fn what_is_removed_and_what_is_held_waits_for_a_person_where_the_ledger_is_an_old_copy() {
    let mut given = Given::synced(objects(&[A, B]));
    given.removes("web", true, Origin::Operator);
    given.starts_without_git(false);
    given.lists_everything();
    assert_eq!(given.writes("web").len(), 2);
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    unchanged(&mut given);
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), gated(&plan).len()), (0, 2), "it may be defined again");
    given.approves("web");
    assert_eq!(given.writes("web").len(), 2);
}

#[test]
fn what_this_ledger_wrote_is_no_sign() {
    let sign = |given: &Given| given.world.old_copy().is_some();
    // It never wrote anything: it is no copy of one that did.
    let mut given = Given::app("web", auto());
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    assert!(!sign(&given));
    // Its last write, or an earlier one.
    let mut given = listed();
    let latest = given.world.own_writes.latest.unwrap();
    shows(&mut given, NEW, latest, "Apply");
    assert!(!sign(&given));
    // Somebody who calls himself greffier and does not apply.
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Update");
    assert!(!sign(&given));
    // Another greffier in the same cluster, which has other applications.
    shows_of(&mut given, NEW, at, "Apply", "theirs");
    shows_of(&mut given, NEW, at, "Apply", "");
    assert!(!sign(&given));
    // A write whose answer is on its way.
    unchanged(&mut given);
    let intent = given.intends("other");
    let deadline = given.world.intents[&intent].deadline;
    shows(&mut given, E, deadline, "Apply");
    assert!(!sign(&given));
    // One that nobody saw made may have been made by its deadline, and a minute of another clock.
    let results = (0..2).map(|index| (index, WriteResult::NotSent("it is not there".into())));
    let settled = IntentSettledV1 { app: name("other"), intent, results: results.collect() };
    given.event(settled);
    shows(&mut given, E, deadline.plus_ms(60_000), "Apply");
    assert!(!sign(&given));
    shows(&mut given, E, deadline.plus_ms(61_000), "Apply");
    assert!(sign(&given));
}

#[test]
fn an_old_copy_is_one_in_another_cluster_too_and_what_an_accepted_one_shows_is_a_sign() {
    let mut given = listed();
    given.identified("one");
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    let doubt = given.replaced("two");
    given.lists_everything();
    let mut fresh = given.clone();
    fresh.after_ms(7_200_000);
    fresh.accepts(doubt);
    let sign = |given: &Given| given.world.old_copy().map(|sign| sign.key.clone());
    assert_eq!(sign(&fresh), Some(key(NEW)), "the former one showed it");
    shows(&mut fresh, D, at.plus_ms(2_000), "Apply");
    assert_eq!(sign(&fresh), Some(key(NEW)), "it was there");
    // Nothing is made of what an old copy alone wants, until Git has spoken.
    let mut away = fresh.clone();
    fails(&mut away);
    away.sees("Namespace/prod");
    assert_eq!(away.writes("web"), [""; 0]);
    assert!(!gated(&away.plan("web")).is_empty(), "Git and people have said nothing");
    unchanged(&mut fresh);
    fresh.sees("Namespace/prod");
    assert_eq!((sign(&fresh).is_some(), fresh.writes("web").len()), (true, 2), "of other");
    fresh.renders("other", objects(&[C, E]));
    assert_eq!(fresh.writes("other").len(), 2);
    fresh.starts(false);
    assert_eq!(sign(&fresh), None, "nothing rests on it any more");

    // Another greffier went on in this one: whoever keeps it keeps what that one wrote.
    given.sees("Namespace/prod");
    shows(&mut given, C, at.plus_ms(1_000), "Apply");
    assert!(given.world.old_copy().is_none_or(|sign| sign.key != key(C)), "not accepted yet");
    // Yet another cluster shows nothing of this one.
    let mut other = given.clone();
    let again = other.replaced("three");
    other.lists_everything();
    other.accepts(again);
    assert_eq!(sign(&other), Some(key(NEW)));
    given.accepts(doubt);
    assert_eq!(given.world.old_copy().map(|sign| &sign.key), Some(&key(C)));
    fails(&mut given);
    assert_eq!(given.writes("other"), [""; 0]);
    assert!(!gated(&given.plan("other")).is_empty(), "Git and people have said nothing");
}

#[test]
fn what_was_intended_before_the_sign_is_withdrawn() {
    let mut given = listed();
    unchanged(&mut given);
    let plan = given.plan("other");
    let [create, prune] = &plan.writes[..] else { panic!("{plan:?}") };
    assert_eq!(withdrawn(&given.world, &name("other"), prune), None);
    fails(&mut given);
    let at = in_an_hour(&given);
    shows(&mut given, NEW, at, "Apply");
    // Git has said so: it is done whatever the ledger is.
    assert_eq!(withdrawn(&given.world, &name("other"), prune), None);
    // After a start nothing has been said.
    given.starts_without_git(false);
    shows(&mut given, NEW, at.plus_ms(1_000), "Apply");
    let why = Some("greffier wrote to the cluster later than this ledger knows of");
    for write in [create, prune] {
        assert_eq!(withdrawn(&given.world, &name("other"), write), why);
    }
}

#[test]
fn a_later_write_of_one_object_is_a_sign_for_all() {
    let mut given = listed();
    fails(&mut given);
    assert_eq!(given.writes("other"), [format!("create {E}")]);
    given.sees(B);
    let later = Some(given.now());
    drifts(&mut given, B, DriftKind::Drift, later);
    assert_eq!(gated(&given.plan("other")), [format!("create {E}"), format!("prune {D}")]);
    assert!(reason(&given.plan("web")).contains(B));
    assert_eq!(given.writes("web"), [format!("heal {A}")]);
}

/// `web` of an old copy, whose A a later greffier wrote; Git is heard and says something else of it.
pub(super) fn said_otherwise() -> (Given, crate::plan::DryRun) {
    let mut given = listed();
    unchanged(&mut given);
    given.syncs("web");
    given.syncs("other");
    let at = in_an_hour(&given);
    shows(&mut given, A, at, "Apply");
    assert!(given.world.shows_later(&key(A)));
    given.push(3);
    given.renders("web", vec![object(A, 3), object(B, 3)]);
    given.renders("other", objects(&[C, E]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {B}")], "what is there of A is asked for first");
    let [asked] = &plan.dry_runs[..] else { panic!("{plan:?}") };
    assert_eq!(asked.key, key(A));
    let asked = asked.clone();
    (given, asked)
}

#[test]
fn what_git_says_is_not_written_over_what_greffier_wrote_later() {
    // The later greffier had it as Git says: nothing is to be decided.
    let (mut same, asked) = said_otherwise();
    same.previews("web", &asked, Preview::Same);
    assert_eq!(same.plan("web").gate, None);
    same.syncs("web");
    assert!(same.world.shows_later(&key(A)), "a write that changes nothing is nobody's word");
    // It may have been rolled back, by a hold that the copy does not have.
    let (mut given, asked) = said_otherwise();
    let differing = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
    given.previews("web", &asked, Preview::Changes(vec![differing]));
    let plan = given.plan("web");
    assert_eq!(gated(&plan), [format!("update {A}")]);
    assert!(reason(&plan).contains("would change") && reason(&plan).contains("a rollback"));
    let intended = |given: &Given| given.writes("web").contains(&format!("update {A}"));
    assert!(!intended(&given));
    let forced = given.plan("web").gate.unwrap().writes[0].clone();
    let why = withdrawn(&given.world, &name("web"), &forced);
    assert!(why.is_some_and(|why| why.contains("later than this ledger knows of")), "{why:?}");
    // A person says that it goes.
    let mut approved = given.clone();
    approved.approves("web");
    assert!(intended(&approved));
    let mut asked = given.clone();
    asked.requests("web", false, &[]);
    assert!(intended(&asked));
    // What was asked for before the start is no word about now.
    asked.starts(false);
    asked.lists_everything();
    unchanged(&mut asked);
    assert!(!intended(&asked));
    // Another cluster shows nothing of this one.
    given.identified("one");
    given.replaced("two");
    assert!(!given.world.shows_later(&key(A)));
}

/// `other` was defined by `web`, which does not prune what it does not define any more.
fn stays_below_web(given: &mut Given) {
    given.world.apps.get_mut(&name("other")).unwrap().origin = Origin::Parent(name("web"));
    let web = given.world.apps.get_mut(&name("web")).unwrap();
    web.spec.automated.as_mut().unwrap().prune = false;
}

#[test]
fn nothing_is_made_beside_what_may_have_been_rolled_back() {
    let (mut given, _) = said_otherwise();
    // A commit that came after the copy made both; a rollback may have taken both away.
    given.push(4);
    given.renders("web", vec![object(A, 3), object(B, 3), object(NEW, 1)]);
    stays_below_web(&mut given);
    given.renders("other", objects(&[C, E, "ConfigMap/prod/newer"]));
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [format!("update {B}")], "what is there of A is asked for first");
    assert!(said(&plan, NEW).why.contains("compared first"), "{plan:?}");
    let asked = plan.dry_runs[0].clone();

    let mut same = given.clone();
    same.previews("web", &asked, Preview::Same);
    // Git may say by now what the rollback had gone back to.
    assert_eq!(gated(&same.plan("web")), [format!("create {NEW}")]);
    assert_eq!(same.writes("other"), ["create ConfigMap/prod/newer"]);
    let mut new = same.clone();
    new.declares(&application("newest", auto()), Origin::Parent(name("web")));
    new.renders("newest", objects(&["ConfigMap/prod/newest"]));
    assert_eq!(gated(&new.plan("newest")), ["create ConfigMap/prod/newest"], "new beside it");
    same.approves("web");
    assert!(same.writes("web").contains(&format!("create {NEW}")));

    let differing = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
    given.previews("web", &asked, Preview::Changes(vec![differing]));
    let plan = given.plan("web");
    assert_eq!(gated(&plan), [format!("update {A}"), format!("create {NEW}")]);
    let reasons = &plan.gate.as_ref().unwrap().reasons;
    assert!(
        reasons.iter().any(|reason| reason.what.contains("which had it as it is")),
        "{reasons:?}"
    );
    let create = plan.gate.unwrap().writes[1].clone();
    let why = withdrawn(&given.world, &name("web"), &create);
    assert!(why.is_some_and(|why| why.contains("later than this ledger knows of")), "{why:?}");
    assert_eq!(gated(&given.plan("other")), ["create ConfigMap/prod/newer"]);
    // What is in no tree with it is Git's word alone.
    let mut apart = given.clone();
    apart.world.apps.get_mut(&name("other")).unwrap().origin = Origin::Config;
    assert_eq!(apart.writes("other"), ["create ConfigMap/prod/newer"]);
    // A person says that it goes.
    given.approves("web");
    let goes = given.writes("web");
    assert!(goes.contains(&format!("update {A}")) && goes.contains(&format!("create {NEW}")));
}

/// Goal: a rollback may have kept what a commit after the copy dropped: it waits as what it made does.
#[test]
fn nothing_is_removed_beside_what_may_have_been_rolled_back() {
    let (mut given, _) = said_otherwise();
    given.push(4);
    given.renders("web", vec![object(A, 3)]);
    given.advances("other");
    let plan = given.plan("web");
    assert_eq!(writes(&plan), [""; 0], "what is there of A is asked for first");
    assert!(said(&plan, B).why.contains("being compared with Git"), "{plan:?}");
    let asked = plan.dry_runs[0].clone();
    let mut same = given.clone();
    same.previews("web", &asked, Preview::Same);
    // Git may say by now what the rollback had gone back to.
    assert_eq!(gated(&same.plan("web")), [format!("prune {B}")]);
    assert_eq!(writes(&same.plan("web")), [format!("update {A}")]);
    let differing = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
    given.previews("web", &asked, Preview::Changes(vec![differing]));
    let plan = given.plan("web");
    assert_eq!(gated(&plan), [format!("update {A}"), format!("prune {B}")]);
    given.approves("web");
    assert!(given.writes("web").contains(&format!("prune {B}")));
}

/// Goal: a ledger that lost its end may have written, although none of its writes is known.
#[test]
fn what_a_ledger_that_lost_its_end_may_have_written_is_a_sign() {
    for cut in [false, true] {
        let mut given = Given::app("web", auto());
        let (what, kept) = (String::new(), String::new());
        given.event(LedgerRepairedV1 { what, kept, possibly_acknowledged: cut });
        let at = in_an_hour(&given);
        given.renders("web", vec![object(A, 3)]);
        shows(&mut given, A, at, "Apply");
        assert_eq!(
            (given.world.shows_later(&key(A)), given.world.old_copy().is_some()),
            (cut, cut)
        );
    }
}

/// Goal: the ledger may be from before the application was added: its objects are listed first, and
/// what greffier wrote later is not written over once the application is known.
#[test]
fn what_greffier_wrote_for_an_application_that_is_not_known_yet_is_asked_about() {
    for later in [false, true] {
        let mut given = Given::synced(objects(&[B]));
        let at = in_an_hour(&given);
        shows_of(&mut given, A, at, "Apply", if later { "api" } else { "" });
        assert_eq!(given.world.old_copy(), None, "it may be another greffier's");
        given.declares(&application("api", auto()), Origin::Config);
        given.renders("api", vec![object(A, 3)]);
        let asked = given.plan("api").dry_runs[0].clone();
        let differing = FieldChange { path: ".data".into(), was: "1".into(), now: "2".into() };
        given.previews("api", &asked, Preview::Changes(vec![differing]));
        assert_eq!(given.plan("api").gate.is_some(), later, "{:?}", given.plan("api"));
        assert_eq!(given.writes("api").len(), usize::from(!later));
    }
}

#[test]
fn what_git_says_of_a_child_is_written_once_it_has_said_what_defines_it() {
    let mut given = listed();
    unchanged(&mut given);
    given.syncs("web");
    given.syncs("other");
    let at = in_an_hour(&given);
    shows(&mut given, A, at, "Apply");
    assert!(given.world.old_copy().is_some());
    stays_below_web(&mut given);
    given.push(3);
    given.renders("other", vec![object(C, 3), object(E, 0)]);
    let plan = given.plan("other");
    assert_eq!((writes(&plan), gated(&plan)), (Vec::new(), Vec::new()), "nobody has to be asked");
    assert!(said(&plan, C).why.contains("rendered first"), "{plan:?}");
    let touched = given.renders("web", objects(&[A, B]));
    assert!(touched.all, "the child waits for it");
    assert!(!given.world.is_of_old_copy(&given.world.apps[&name("other")]));
    assert!(given.writes("other").contains(&format!("update {C}")));
}
