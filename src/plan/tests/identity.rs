//! Another cluster answers, or the one that is kept at an earlier time.

use crate::ledger::event::{
    DriftDetectedV1, DriftKind, Event, FieldChange, Health, IgnoreFailedV1, IntentSettledV1,
    KindListedV1, Learned, ManagerStamp, ObjectGoneV1, ObjectPreviewedV1, OutcomeRecordedV1,
    PlanGatedV1, Preview, ReplicasLeftV1, Verb, Write, WriteResult,
};
use crate::model::{Digest, PlanHash};
use crate::plan::{Status, Sync, Violation, check, withdrawn};
use crate::replay::Revisions;
use crate::replay::testing::{Given, key, name, object, objects, said, writes};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const C: &str = "ConfigMap/prod/c";
const NS: &str = "Namespace/prod";

/// `web` with two objects, synced to the cluster `one`.
fn synced() -> Given {
    let mut given = Given::synced(objects(&[A, B]));
    given.identified("one");
    given
}

/// The cluster `two` answers, and was listed: there is nothing but the namespace.
fn replaced() -> (Given, crate::model::Seq) {
    let mut given = synced();
    let doubt = given.replaced("two");
    given.lists_everything();
    given.sees(NS);
    (given, doubt)
}

#[test]
fn nothing_is_written_to_another_cluster_and_what_is_absent_was_not_deleted() {
    let mut given = synced();
    let listed = given.clone();
    given.replaced("two");
    for moment in ["nothing is listed", "everything is listed"] {
        let plan = given.plan("web");
        assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::Unknown), "{moment}");
        assert_eq!((plan.health, plan.deleted.len()), (Health::Unknown, 0), "{moment}");
        assert!(plan.compare.is_empty() && plan.dry_runs.is_empty() && plan.gate.is_none());
        let a = said(&plan, A);
        assert_eq!((a.status, a.health), (Status::Unknown, Health::Unknown));
        assert!(a.why.contains("two instead of one"), "{}", a.why);
        assert!(plan.permission.why_not.contains("greffier cluster"), "{plan:#?}");
        given.lists_everything();
    }
    // A render that drops an object prunes nothing, and a person's sync does not help.
    given.push(2);
    given.renders("web", objects(&[A]));
    given.requests("web", true, &[]);
    given.sees(B);
    assert_eq!(given.writes("web"), [""; 0]);
    assert!(given.world.owned.contains_key(&key(B)), "what was applied stays known");
    // The rule is judged apart from the plan.
    let mut forged = listed.plan("web");
    forged.writes = vec![Write::plain(Verb::Update, key(A), "v1", "")];
    assert_eq!(check(&listed.world, &forged), []);
    assert_eq!(
        check(&given.world, &forged),
        [Violation::WritesToStranger(key(A))],
        "whatever permits it"
    );
}

#[test]
fn an_accepted_cluster_gets_everything_anew_and_nothing_of_it_is_pruned() {
    let (mut given, doubt) = replaced();
    given.push(2);
    given.renders("web", objects(&[A]));
    // Somebody put there what the former cluster had.
    given.sees(B);
    given.accepts(doubt);
    assert!(given.world.cluster.doubt().is_none());
    let identity = &given.world.cluster.identity;
    assert_eq!((&*identity.kept, &*identity.formers[0].uid), ("two", "one"));
    assert_eq!(given.writes("web"), [format!("create {A}")]);
    assert!(given.world.owned.is_empty(), "nothing was applied to it");
    given.syncs("web");
    assert!(given.finishes("web"));
    given.push(3);
    given.renders("web", vec![]);
    let mut forged = given.plan("web");
    forged.gate = None;
    let owned = given.world.owned[&key(A)].clone();
    let prune = |key, owned: &crate::replay::Owned| Write {
        precondition: Some((owned.uid.clone(), owned.resource_version.clone())),
        ..Write::plain(Verb::Prune, key, "v1", "")
    };
    forged.writes = vec![prune(key(A), &owned)];
    assert_eq!(check(&given.world, &forged), [], "that it applied itself it may remove");
    // An ownership of the former cluster is none, whoever forgot to forget it.
    given.world.owned.get_mut(&key(A)).unwrap().seq = identity_of(&given).until;
    assert_eq!(check(&given.world, &forged), [Violation::PrunesFormer(key(A))]);
}

fn identity_of(given: &Given) -> crate::replay::Former {
    given.world.cluster.identity.formers.last().unwrap().clone()
}

#[test]
fn tries_contests_and_differences_of_the_former_cluster_are_forgotten() {
    let mut given = synced();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1)]);
    given.tries("web", &WriteResult::Refused("no".into()));
    given.sees(B);
    given.finds("web", B, DriftKind::Drift);
    let doubt = given.replaced("two");
    given.lists_everything();
    given.sees(NS);
    given.accepts(doubt);
    let app = &given.world.apps[&name("web")];
    assert!(app.attempts.is_empty() && app.drift.is_empty() && app.rivals.is_empty());
    assert_eq!(given.writes("web"), [format!("create {A}"), format!("create {B}")]);
}

#[test]
fn only_what_was_shown_is_accepted() {
    let (mut given, doubt) = replaced();
    given.replaced("three");
    given.lists_everything();
    assert_eq!(given.accepts(doubt), Default::default(), "the cluster changed again meanwhile");
    assert!(given.world.cluster.doubt().is_some());
    assert_eq!(given.writes("web"), [""; 0]);
    let doubt = given.world.cluster.doubt().unwrap().seq();
    given.accepts(doubt);
    assert_eq!(given.world.cluster.identity.kept, "three");
}

#[test]
fn the_kept_cluster_that_answers_again_is_as_it_was_left() {
    let (mut given, _) = replaced();
    let former = synced().world;
    given.identified("one");
    assert!(given.world.cluster.doubt().is_none() && given.world.live.is_empty());
    assert_eq!(given.writes("web"), [""; 0], "nothing is listed yet");
    for text in [NS, A, B] {
        given.shows_as_in(&former, text);
    }
    given.lists_everything();
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.sync), (0, Sync::Synced), "{:#?}", plan.objects);
    // It may be pruned: it was applied there.
    given.push(2);
    given.renders("web", objects(&[A]));
    assert_eq!(given.writes("web"), [format!("prune {B}")]);
}

#[test]
fn what_went_while_another_cluster_answered_is_not_owned_for_ever() {
    let (mut given, _) = replaced();
    let former = synced().world;
    given.identified("one");
    given.push(2);
    given.renders("web", objects(&[A]));
    assert!(given.world.owned.contains_key(&key(B)), "it may be there");
    given.shows_as_in(&former, A);
    given.lists_everything();
    assert!(!given.world.owned.contains_key(&key(B)), "it is not");
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn a_cluster_that_was_set_back_waits_and_keeps_what_is_the_same_object() {
    let mut given = synced();
    let before = given.world.clone();
    given.push(2);
    given.renders("web", vec![object(A, 2), object(B, 1), object("ConfigMap/prod/c", 1)]);
    given.syncs("web");
    let doubt = given.reverted();
    // The backup is of before: `c` was not there, and `b` was another object.
    given.shows_as_in(&before, NS);
    given.shows_as_in(&before, A);
    given.sees(B);
    given.lists_everything();
    let plan = given.plan("web");
    assert_eq!((writes(&plan).len(), plan.deleted.len()), (0, 0));
    assert!(said(&plan, A).why.contains("restored from a backup"), "{}", said(&plan, A).why);
    given.accepts(doubt);
    assert_eq!(given.world.cluster.identity.kept, "one");
    let owned: Vec<_> = given.world.owned.keys().cloned().collect();
    assert_eq!(owned, [key(A)], "the others are not what was applied");
    let plan = given.plan("web");
    assert_eq!(plan.deleted, [], "nobody deleted it");
    assert!(writes(&plan).contains(&format!("update {A}")), "{:?}", writes(&plan));
    assert!(writes(&plan).contains(&"create ConfigMap/prod/c".to_owned()), "{:?}", writes(&plan));
    assert!(said(&plan, A).why.contains("backup"), "{}", said(&plan, A).why);
    given.syncs("web");
    assert!(given.finishes("web"));
}

#[test]
fn that_it_was_set_back_stays_in_doubt_whoever_answers_in_between() {
    let mut given = synced();
    let doubt = given.reverted();
    given.replaced("two");
    given.identified("one");
    assert_eq!(given.world.cluster.doubt().unwrap().seq(), doubt);
    given.lists_everything();
    assert_eq!(given.writes("web"), [""; 0]);
}

#[test]
fn what_was_under_way_is_not_taken_for_made_or_undone() {
    let mut given = synced();
    given.push(2);
    given.renders("web", vec![object(A, 2)]);
    let intent = given.intends("web");
    let open = given.world.intents[&intent].clone();
    let verbs: Vec<_> = open.writes.values().map(|open| open.write.verb).collect();
    assert_eq!(verbs, [Verb::Update, Verb::Prune]);
    let answer = given.answer(&open.writes[&0].write);
    given.replaced("two");
    for open in open.writes.values() {
        assert!(withdrawn(&given.world, &name("web"), &open.write).is_some());
    }
    let before = given.world.owned.clone();
    let results = vec![(0, answer), (1, WriteResult::AlreadyGone)];
    let app = name("web");
    given.event(OutcomeRecordedV1 { app, intent, results });
    assert!(given.world.intents.is_empty() && given.world.in_flight.is_empty());
    assert!(given.world.live.is_empty(), "it is not known to be there");
    let said = |owned: &crate::replay::Owned| (owned.uid.clone(), owned.applied, owned.seq);
    let (before, now): (Vec<_>, Vec<_>) =
        (before.values().map(said).collect(), given.world.owned.values().map(said).collect());
    assert_eq!(now, before);
    // What goes in the other cluster says nothing either.
    given.sees(B);
    let uid = given.world.live[&key(B)].uid.clone();
    given.event(Event::from(ObjectGoneV1 { key: key(B), uid, learned: Learned::Watched }));
    assert!(given.world.owned.contains_key(&key(B)));
}

#[test]
fn what_another_cluster_does_not_show_is_no_failed_try() {
    for doubt in [false, true] {
        let mut given = synced();
        given.push(2);
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        let intent = given.intends("web");
        let (app, lost) = (name("web"), WriteResult::Unknown("the connection broke".into()));
        let results = vec![(0, lost)];
        given.event(OutcomeRecordedV1 { app: app.clone(), intent, results });
        if doubt {
            given.replaced("two");
        }
        let results = vec![(0, WriteResult::NotSent("it is not there".into()))];
        given.event(IntentSettledV1 { app: app.clone(), intent, results });
        assert_eq!(given.world.apps[&app].attempts.is_empty(), doubt);
    }
}

/// Goal: when the kept cluster answers again, a list that began before a write does not take away
/// the proof that greffier made it.
#[test]
fn a_list_that_is_older_than_a_write_disowns_nothing() {
    for (listed, owned) in [("1", true), ("1000000", false)] {
        let mut given = synced();
        given.push(2);
        given.renders("web", objects(&[A]));
        given.replaced("two");
        given.identified("one");
        given.event(KindListedV1 {
            kind: key(B).group_kind(),
            objects: 0,
            resource_version: listed.into(),
            named: Vec::new(),
        });
        assert_eq!(given.world.owned.contains_key(&key(B)), owned, "listed at {listed}");
    }
}

/// `web`, with everything that can be known of how its objects fared.
fn fared() -> Given {
    let mut given = Given::synced(objects(&[A, B, C]));
    given.identified("one");
    given.push(2);
    given.renders("web", objects(&[A, B]));
    given.intends("web");
    given.sees(B);
    let observation = given.world.live[&key(B)].seq;
    let change = |path: &str| (path.to_owned(), "2".to_owned(), "3".to_owned());
    let (path, was, now) = change(".data.key");
    let by = ManagerStamp {
        manager: "mallory".into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: None,
        fields: Digest::default(),
    };
    given.event(DriftDetectedV1 {
        app: name("web"),
        key: key(B),
        kind: DriftKind::Drift,
        fields: vec![FieldChange { path, was, now }],
        places: Vec::new(),
        managers: vec![by],
        mask: Digest::default(),
        observation,
        saved: None,
        later: None,
    });
    let (digest, live) = (object(A, 1).digest, given.world.live[&key(A)].clone());
    let (app, mask) = (name("web"), Digest::default());
    given.event(ObjectPreviewedV1 {
        app: app.clone(),
        key: key(A),
        digest,
        uid: live.uid,
        live: live.digest,
        mask,
        result: Preview::Same,
    });
    let (error, transient, live) = ("endless".to_owned(), false, live.digest);
    given.event(IgnoreFailedV1 { app: app.clone(), key: key(A), mask, live, error, transient });
    let autoscaler = key("HorizontalPodAutoscaler.autoscaling/prod/scaler");
    given.event(ReplicasLeftV1 { app: app.clone(), key: key(A), autoscaler });
    given.event(PlanGatedV1 {
        app,
        plan: PlanHash(Digest::of(b"plan").0),
        reasons: Vec::new(),
        writes: Vec::new(),
        apps: Vec::new(),
        render: None,
        commit: None,
    });
    given
}

/// What of it is known, by name.
fn known(given: &Given) -> Vec<&'static str> {
    let app = &given.world.apps[&name("web")];
    let desired = app.desired.as_ref().unwrap();
    let all = [
        ("rivals", !app.rivals.is_empty()),
        ("drift", !app.drift.is_empty()),
        ("previews", !app.previews.is_empty()),
        ("what could not be ignored", !app.ignore_failures.is_empty()),
        ("replicas that were left", !app.replicas_left.is_empty()),
        ("a gate", app.gate.is_some()),
        ("deletions that were begun", !desired.deleted.is_empty()),
        ("deletions of a commit", !given.world.deletions.is_empty()),
    ];
    all.into_iter().filter_map(|(what, known)| known.then_some(what)).collect()
}

#[test]
fn how_objects_fared_in_a_former_cluster_says_nothing_about_the_next() {
    let before = fared();
    assert_eq!(known(&before).len(), 8, "{:?}", known(&before));
    for replaced in [true, false] {
        let mut given = before.clone();
        let doubt = if replaced { given.replaced("two") } else { given.reverted() };
        given.lists_everything();
        assert_eq!(known(&given).len(), 8, "nobody has accepted it");
        given.accepts(doubt);
        assert_eq!(known(&given), [""; 0], "replaced: {replaced}");
    }
}

#[test]
fn how_far_the_kept_cluster_was_seen_is_known_again_when_it_is_back() {
    let mut given = synced();
    let seen = |given: &Given| given.world.cluster.identity.revisions.beyond(0);
    let before = seen(&given);
    assert_ne!(before, []);
    given.replaced("two");
    assert_eq!(seen(&given), [], "nothing was seen of this one");
    given.identified("one");
    assert_eq!(seen(&given), before);
    given.reverted();
    assert_eq!(seen(&given), [], "what was seen is no more");
}

#[test]
fn the_highest_revision_counts_in_whatever_order_they_are_seen() {
    let (kind, mut revisions) = (key(A).group_kind(), Revisions::default());
    for revision in ["40", "30", "no number"] {
        revisions.note(&kind, revision);
    }
    assert_eq!(revisions.beyond(39), [(kind, 40)]);
    assert_eq!(revisions.beyond(40), [], "it is not beyond itself");
}
