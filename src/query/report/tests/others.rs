//! What is told beside changes and syncs: which cluster it is, and what a person wrote elsewhere.

use super::super::gather::rows_of;
use super::*;
use crate::ledger::samples::sample_events;
use crate::model::GroupKind;

/// Kinds of events that are no rows: what they tell is told by another event, is no change and no
/// decision, or is in another part of the report.
const LEFT_OUT: [&str; 30] = [
    "ledger.created",
    "daemon.started",
    "daemon.stopped",
    "git.commit",
    "git.history-imported",
    "git.fetch-failed",
    "git.fetch-recovered",
    "git.fetch-unchanged",
    "render.succeeded",
    "render.unchanged",
    "render.varied",
    "app.health",
    "object.health",
    "object.previewed",
    "apply.intent",
    "contest.ended",
    "replicas.left",
    "ignore.checked",
    "ignore.failed",
    "render.programs",
    "cluster.identified",
    "cluster.lost",
    "cluster.found",
    "cluster.kinds",
    "cluster.listed",
    "watch.gap",
    "audit.received",
    "audit.read",
    "audit.troubled",
    "attribution.resolved",
];
const LEFT_OUT_TOO: [&str; 2] = ["audit.gap-suspected", "deadline.reached"];

/// Goal: whoever adds an event says whether an auditor is told of it: no decision is left out
/// because nobody thought of it.
#[test]
fn every_kind_of_event_is_told_or_is_left_out_by_name() {
    let told_by_others = ["apply.outcome", "apply.settled", "object.observed", "object.gone"];
    let story = Story::told();
    let book = &story.ledger;
    let template = book.get(Seq(1)).unwrap().unwrap();
    for event in sample_events() {
        let name = event.name();
        // What writes came to is told with the intent, which a sample alone has not.
        if told_by_others.contains(&name) || ["restore.ended", "recovery.outcome"].contains(&name) {
            continue;
        }
        let recorded = Recorded { event: Some(event), ..(*template).clone() };
        let asked = Asked { book, people: &[], app: None, namespace: None };
        let rows = rows_of(&asked, &recorded);
        let left_out = LEFT_OUT.iter().chain(&LEFT_OUT_TOO).any(|left| *left == name);
        // Some tell only where they begin something.
        let sometimes = ["plan.suspended", "removal.awaited", "git.ref-moved", "drift.detected"];
        if !sometimes.contains(&name) {
            assert_eq!(rows.is_empty(), left_out, "{name}: {rows:?}");
        }
    }
}

fn accepted(story: &mut Story, doubt: Seq) -> Seq {
    let (uid, reason) = ("c-1".to_owned(), "restored after the fire".to_owned());
    story.add(Draft::new(ClusterAcceptedV1 { uid, doubt, reason }).by(Actor::os_user("alice")))
}

fn reverted(story: &mut Story) -> Seq {
    story.event(ClusterRevertedV1 {
        uid: "c-1".into(),
        version: "v1.36.3".into(),
        server: "https://127.0.0.1:6443".into(),
        kind: GroupKind::new("", "ConfigMap"),
        observed: 30,
        revision: 20,
    })
}

/// Goal: that another cluster answered, and who said with what reason that it is kept, are told;
/// what is there as it was before is no change, and what went back is not somebody's creation.
#[test]
fn a_set_back_cluster_is_told_and_its_unchanged_objects_are_not() {
    let mut story = Story::told();
    let (same, older, new) =
        (key("ConfigMap/prod/same"), key("ConfigMap/prod/older"), key("ConfigMap/prod/new"));
    observed(&mut story, &same, &map("1"), 20, Learned::Watched);
    let first = observed(&mut story, &older, &map("1"), 21, Learned::Watched);
    observed(&mut story, &older, &map("2"), 30, Learned::Watched);
    let before = story.ledger.head();
    let doubt = reverted(&mut story);
    let by = accepted(&mut story, doubt);
    for (of, value, rv) in [(&same, "1", 20), (&older, "1", 21), (&new, "1", 1)] {
        observed(&mut story, of, &map(value), rv, Learned::Listed);
    }
    let uid = format!("uid-{}", key("ConfigMap/prod/old"));
    let gone = ObjectGoneV1 { key: key("ConfigMap/prod/old"), uid, learned: Learned::Listed };
    story.event(gone);
    let rows: Vec<Change> =
        all(&story.ledger, &alice()).into_iter().filter(|row| row.seq > before.0).collect();
    let told: Vec<String> = rows.iter().map(short).collect();
    assert_eq!(
        told,
        [
            "cluster set back||||greffier exact",
            "cluster accepted||||Alice Martin (alice) exact",
            "set back|ConfigMap/prod/older||.data.a \"2\">\"1\"| unknown",
            "created, or first seen|ConfigMap/prod/new||| unknown",
            "deleted|ConfigMap/prod/old|web|| unknown",
        ]
    );
    assert_eq!((rows[0].class, rows[0].failed), (Class::Cluster, true));
    assert_eq!((rows[1].seq, rows[1].why.as_str()), (by.0, "restored after the fire"));
    assert_eq!(rows[2].evidence, [rows[2].seq, first.0, doubt.0]);
    assert!(rows[4].doubt.contains(&format!("set back (#{doubt})")), "{}", rows[4].doubt);
    // Seen once, it changes as always.
    observed(&mut story, &same, &map("3"), 40, Learned::Watched);
    let last = all(&story.ledger, &[]).pop().unwrap();
    assert_eq!(short(&last), "changed|ConfigMap/prod/same||.data.a \"1\">\"3\"| unknown");
}

/// Goal: what a person wrote to another cluster is told object by object, with who asked for it,
/// and also that it is not known what became of a write.
#[test]
fn what_is_replayed_onto_another_cluster_is_told() {
    let mut story = Story::told();
    let before = story.ledger.head();
    let events = sample_events();
    let sample = |name: &str| events.iter().find(|event| event.name() == name).unwrap().clone();
    let by = |event: Event| Draft::new(event).by(Actor::os_user("alice"));
    let (Event::RecoveryBegun(begun), Event::RecoveryIntent(mut intent)) =
        (sample("recovery.begun"), sample("recovery.intent"))
    else {
        panic!("these are their samples")
    };
    let Event::RecoveryOutcome(mut outcome) = sample("recovery.outcome") else { panic!() };
    let recovery = story.add(by(Event::RecoveryBegun(begun)));
    let secret = RecoveryWrite { key: key("Secret/prod/web"), ..intent.writes[0].clone() };
    let lost = RecoveryWrite { key: key("ConfigMap/prod/lost"), ..intent.writes[0].clone() };
    (intent.recovery, intent.writes) = (recovery, vec![secret, intent.writes.remove(0), lost]);
    outcome.intent = story.add(by(Event::RecoveryIntent(intent)));
    outcome.recovery = recovery;
    outcome.results.truncate(2);
    let head = story.add(by(Event::RecoveryOutcome(outcome)));
    let (uid, reason) = ("c-2".to_owned(), "the wrong one".to_owned());
    let written = 1;
    let end = RecoveryAbandonedV1 { recovery, uid, written, reason };
    story.add(by(Event::RecoveryAbandoned(end)));
    let asked = Asked { book: &story.ledger, people: &alice(), app: None, namespace: None };
    let found = page(&asked, before, story.ledger.head(), usize::MAX).unwrap();
    let rows: Vec<(&str, &str, bool)> = found
        .changes
        .iter()
        .map(|row| (row.verb.as_str(), row.object.as_str(), row.failed))
        .collect();
    let object = crate::ledger::samples::object().to_string();
    assert_eq!(
        rows,
        [
            ("replay begun", "", false),
            ("to be written to another cluster", "ConfigMap/prod/lost", true),
            ("written to another cluster", "Secret/prod/web", false),
            ("not written", object.as_str(), true),
            ("replay abandoned", "", false),
        ]
    );
    let secret = &found.changes[2];
    assert_eq!(secret.asked_by[0].text(), "Alice Martin (alice)");
    assert_eq!((secret.seq, secret.app.as_str()), (head.0, "web"));
    assert!(secret.text.contains("https://10.0.0.2:6443"), "{}", secret.text);
    assert_eq!(found.changes[4].why, "the wrong one");
    let mut summary = Summary::default();
    summary.add(&found);
    assert_eq!((summary.changes, summary.replayed, summary.not_replayed), (0, 1, 2));
}

/// Goal: an object that a person brought back and that no application has is told as changed, by
/// how the write ended, once.
#[test]
fn what_a_person_brings_back_is_told_by_how_it_ended() {
    let mut story = Story::told();
    let of = key("ConfigMap/prod/mine");
    let intended = RestoreIntendedV1 {
        writes: vec![RestoreWrite {
            key: of.clone(),
            version: "v1".into(),
            verb: Verb::Create,
            saved: None,
            of_manifest: false,
            places: vec![],
            fields: vec![],
            found: None,
            beside: None,
        }],
        from: BackTo::Instant(Seq(3)),
        timeout_ms: 1,
        reason: "it was needed".into(),
    };
    let restore = story.add(Draft::new(intended).by(Actor::os_user("alice")));
    let ended = |result, settled| RestoreEndedV1 {
        restore,
        objects: vec![of.clone()],
        results: vec![(0, result)],
        settled,
    };
    let unknown = story.event(ended(RestoreResult::Unknown("reset".into()), false));
    let made = RestoreResult::Made { uid: "u".into(), resource_version: "9".into() };
    let end = story.event(ended(made, true));
    let asked = Asked { book: &story.ledger, people: &alice(), app: None, namespace: None };
    let told = |last| {
        let rows = page(&asked, restore, last, usize::MAX).unwrap().changes.into_iter();
        rows.map(|row| (row.verb, row.object, row.failed, row.asked_by.len(), row.why))
            .collect::<Vec<_>>()
    };
    let row = |verb: &str, failed| {
        (verb.to_owned(), of.to_string(), failed, 1, "it was needed".to_owned())
    };
    assert_eq!(told(unknown), [row("not restored", true)]);
    assert_eq!(told(end), [row("restored", false)]);
}
