//! What must not lead to a wrong name.

use super::*;
use crate::ledger::event::{ClusterReplacedV1, DaemonStartedV1, WatchGapV1};

/// A story in which records are known since long ago, and the object was seen then.
fn long_since() -> Story {
    let mut story = Story::new();
    story.record(|body| body.key = "ConfigMap/prod/other".parse().unwrap());
    story.later(100);
    story.known(10);
    story
}

fn restart(story: &mut Story) {
    let body = DaemonStartedV1 { version: "0".into(), observe: false, pid: 1 };
    story.fold(&body.into());
}

fn listed(version: u64) -> ObjectObservedV1 {
    ObjectObservedV1 { learned: Learned::Listed, ..seen(version) }
}

/// Goal: a list shows what two people did while nobody watched. The record of the last version
/// explains the last change only.
#[test]
fn a_version_that_folds_changes_of_several_is_nobodys_exactly() {
    let mut story = long_since();
    story.later(100);
    restart(&mut story);
    story.later(300);
    story.patched("alice", 11, &[".spec.replicas"]);
    story.at += 1;
    story.patched("bob", 12, &[".spec.paused"]);
    let seen = story.observe(listed(12), sets(&[".spec.replicas", ".spec.paused"]));
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice", "bob"]));
}

#[test]
fn a_listed_version_is_exact_if_nothing_else_came_between() {
    for (paths, expected) in [
        (&[".spec.replicas"][..], is(Verdict::Exact, &["alice"])),
        (&[".spec.replicas", ".metadata.labels.x"][..], is(Verdict::Unique, &["alice"])),
    ] {
        let mut story = long_since();
        restart(&mut story);
        story.later(300);
        story.patched("alice", 11, &[".spec.replicas"]);
        let seen = story.observe(listed(11), sets(paths));
        assert_eq!(story.who(seen), None, "whether there were others is not known yet");
        story.read_to(6);
        assert_eq!(story.who(seen), expected);
    }
}

#[test]
fn after_a_gap_a_whole_object_explains_nothing_alone() {
    let mut story = long_since();
    let reason = "expired".to_owned();
    story.fold(&WatchGapV1 { kind: web().group_kind(), reason, refused: false }.into());
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.record(|body| {
        name(body, "bob");
        body.verb = "update".into();
        body.resource_version = "12".into();
        body.reach = AuditReach::Whole;
    });
    let seen = story.observe(listed(12), sets(&[".spec.replicas"]));
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice", "bob"]));
}

/// Goal: a request that changed nothing is answered with the version that somebody else made.
#[test]
fn a_request_that_changed_nothing_is_not_taken_for_the_one_that_did() {
    // Of other fields.
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched("bob", 11, &[".metadata.labels.x"]);
    story.read_to(6);
    assert_eq!(story.who(seen), None);
    // Of the same, later.
    story.patched("alice", 11, &[".spec.replicas"]);
    story.at += 1;
    story.patched("bob", 11, &[".spec.replicas"]);
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
    // At the same time.
    let seen = story.see(12, &[".spec.replicas"]);
    story.patched("alice", 12, &[".spec.replicas"]);
    story.patched("bob", 12, &[".spec.replicas"]);
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice", "bob"]));
}

/// `user` patches the replicas and is answered with version 11.
fn patched_ms_later(story: &mut Story, user: &str, manager: &str, ms: i64) {
    story.record(|body| {
        name(body, user);
        body.resource_version = "11".into();
        body.field_manager = manager.into();
        body.reach = AuditReach::Fields(vec![".spec.replicas".into()]);
        body.received = Timestamp(body.received.0 + ms * 1_000_000);
        body.completed = Timestamp(body.completed.0 + ms * 1_000_000);
    });
}

/// Goal: of a change whose author's record is missing nobody is named who came when the last
/// write, as the API server noted it, was over.
#[test]
fn a_request_after_the_last_write_changed_nothing() {
    for (noted, expected) in [(true, None), (false, is(Verdict::Exact, &["bob"]))] {
        let mut story = long_since();
        let alice = story.at;
        story.at += 60;
        story.patched("bob", 11, &[".spec.replicas"]);
        let at = if noted { alice } else { story.at - 1 };
        let body = ObjectObservedV1 { managers: vec![stamp("kubectl-edit", at)], ..seen(11) };
        let seen = story.observe(body, sets(&[".spec.replicas"]));
        story.read_to(6);
        assert_eq!(story.who(seen), expected, "the manager's time is alice's: {noted}");
    }
}

/// Goal: where the API server did not note the write of a request, somebody else's of the same
/// second is waited for; so where it notes none at all.
#[test]
fn a_request_of_the_same_second_waits_for_the_one_that_wrote() {
    let managed = vec![stamp("kubectl-edit", 1)];
    for (manager, managers) in [("kubectl-label", managed), ("kubectl-edit", Vec::new())] {
        let mut story = long_since();
        let body = ObjectObservedV1 { managers, ..seen(11) };
        let seen = story.observe(body, sets(&[".spec.replicas"]));
        patched_ms_later(&mut story, "bob", manager, 15);
        story.read_to(4);
        assert_eq!(story.who(seen), None, "{manager}");
        story.patched("alice", 11, &[".spec.replicas"]);
        story.read_to(6);
        assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]), "{manager}");
    }
}

/// Goal: two changes and one request: it made one of them, and nobody knows which.
#[test]
fn one_request_does_not_explain_two_changes() {
    let mut story = long_since();
    let first = story.see(11, &[".spec.replicas"]);
    let second = story.see(12, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.read_to(6);
    for seen in [first, second] {
        assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice"]));
    }
}

/// Goal: the API server notes no time where something was only taken away, and a client can write
/// any time: neither hides who did it.
#[test]
fn what_is_not_noted_hides_nobody() {
    let removed = Change { removed: sets(&[".spec.replicas"]).set, ..Change::default() };
    for (at, change) in [(1_050, removed), (9_999, sets(&[".spec.replicas"]))] {
        let mut story = long_since();
        let body = ObjectObservedV1 { managers: vec![stamp("kubectl-edit", at)], ..seen(11) };
        let seen = story.observe(body, change);
        story.patched("alice", 11, &[".spec.replicas"]);
        story.read_to(6);
        assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]), "{at}");
    }
}

#[test]
fn a_whole_object_that_changed_nothing_waits_for_the_one_that_did() {
    let mut story = long_since();
    let update = |user: &'static str, at: i64| {
        move |body: &mut AuditReceivedV1| {
            name(body, user);
            body.verb = "update".into();
            body.resource_version = "11".into();
            body.reach = AuditReach::Whole;
            body.received = Timestamp(body.received.0 + at * 1_000_000);
            body.completed = Timestamp(body.completed.0 + at * 1_000_000);
        }
    };
    let seen = story.see(11, &[".spec.replicas"]);
    story.record(update("bob", 50));
    story.read_to(1);
    assert_eq!(story.who(seen), None);
    story.record(update("alice", 0));
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
}

#[test]
fn a_record_that_comes_late_corrects_and_both_views_stay() {
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    patched_ms_later(&mut story, "bob", "kubectl-edit", 15);
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["bob"]));
    let first = story.said[0].0;
    story.patched("alice", 11, &[".spec.replicas"]);
    story.read_to(0);
    assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
    assert_eq!(story.resolved(seen).unwrap().replaces, Some(first));
}

#[test]
fn nothing_is_unique_where_records_may_be_lost_or_are_not_at_hand() {
    let troubled = AuditTroubledV1 {
        source: "f".into(),
        trouble: AuditTrouble::Truncated,
        what: "shorter".into(),
        count: 0,
    };
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    // He made a later version, as his answer shows.
    story.patched("bob", 12, &[".spec.replicas"]);
    story.fold(&troubled.into());
    story.read_to(6);
    assert_eq!(story.who(seen), None);
    story.later(600);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice"]));
    let body = story.resolved(seen).unwrap();
    assert!(body.why.contains("may have been lost") && !body.waiting, "{}", body.why);
}

#[test]
fn refusals_of_forged_posts_spoil_nothing() {
    let refused = AuditTroubledV1 {
        source: "webhook".into(),
        trouble: AuditTrouble::Refused,
        what: "no token".into(),
        count: 1,
    };
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.fold(&refused.into());
    story.read_to(6);
    assert_eq!(story.who(seen), is(Verdict::Unique, &["alice"]));
}

/// Goal: the API server drops records of its webhook when it has too many. What is exact needs no
/// others; nothing is unique.
#[test]
fn a_webhook_may_lose_records() {
    let mut story = long_since();
    story.machine.reading.passed = Timestamp::default();
    let told = story.see(11, &[".spec.replicas"]);
    let waits = story.see(12, &[".spec.paused"]);
    story.patched("alice", 11, &[".spec.replicas"]);
    story.patched_unseen("bob", &[".spec.paused"]);
    let read = AuditReadV1 { source: "webhook".into(), ..story.reading(story.at + 10) };
    story.fold(&read.into());
    story.settle();
    assert_eq!(story.who(told), is(Verdict::Exact, &["alice"]));
    assert_eq!(story.who(waits), None);
}

/// Goal: the file is that of one API server; the other sends its records by the webhook.
#[test]
fn with_two_sources_nothing_is_unique_that_only_one_of_them_passed() {
    for webhook_first in [true, false] {
        let mut story = long_since();
        story.machine.reading.both = true;
        let seen = story.see(11, &[".spec.replicas"]);
        story.patched_unseen("alice", &[".spec.replicas"]);
        for webhook in [webhook_first, !webhook_first] {
            assert_eq!(story.who(seen), None);
            let mut read = story.reading(story.at + 6);
            if webhook {
                read.source = WEBHOOK.into();
            }
            story.fold(&read.into());
            story.settle();
        }
        assert_eq!(story.who(seen), is(Verdict::Unique, &["alice"]));
    }
    let mut story = long_since();
    story.machine.reading.both = true;
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    story.read_to(6);
    story.later(600);
    assert_eq!(story.who(seen), is(Verdict::Ambiguous, &["alice"]));
    let why = &story.resolved(seen).unwrap().why;
    assert!(why.starts_with("the webhook sent records up to "), "{why}");
}

/// Goal: an idle API server writes nothing newer; when the end of its log is seen long enough
/// after, nothing is missing.
#[test]
fn the_end_of_a_quiet_log_says_that_nothing_more_comes() {
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    story.patched_unseen("alice", &[".spec.replicas"]);
    for (seconds, expected) in [(39, None), (40, is(Verdict::Unique, &["alice"]))] {
        let end = Some(Timestamp::from_seconds(story.at + seconds));
        let read = AuditReadV1 { end, ..story.reading(story.at) };
        story.fold(&read.into());
        story.settle();
        assert_eq!(story.who(seen), expected, "{seconds}");
    }
}

/// Goal: a request that was carried out after the change was seen did not make it.
#[test]
fn the_future_explains_nothing() {
    let mut story = long_since();
    let seen = story.see(11, &[".spec.replicas"]);
    story.at += 10;
    story.patched("bob", 11, &[".spec.replicas"]);
    story.patched_unseen("carol", &[".spec.replicas"]);
    story.read_to(6);
    assert_eq!(story.who(seen), None);
}

#[test]
fn what_is_dropped_for_lack_of_room_is_unknown_with_the_reason() {
    let mut story = Story::new();
    for n in 0..=OBSERVED_MAX {
        let key = ObjectKey::new("", "ConfigMap", "prod", format!("m{n}"));
        story.machine.learn(&key, None);
        let body = ObjectObservedV1 { key, uid: format!("u{n}"), added: true, ..seen(1) };
        story.fold(&body.into());
    }
    story.settle();
    assert_eq!(story.said.len(), 1);
    let first = story.resolved(Seq(2)).unwrap();
    assert_eq!((first.verdict, first.claims.len()), (Verdict::Unknown, 0));
    assert!(first.why.contains("too many"), "{}", first.why);
}

/// Goal: the records of the time before a stop are read after it, however long it was: what waited
/// then waits for them, over more stops too.
#[test]
fn what_waited_before_a_stop_waits_for_the_records_that_are_read_after_it() {
    for read in [true, false] {
        let mut story = long_since();
        let (seen, then) = (story.see(11, &[".spec.replicas"]), story.at);
        for _ in 0..2 {
            story.at += 1_200;
            restart(&mut story);
            story.later(60);
            assert_eq!((story.who(seen), story.gaps()), (None, 0));
        }
        if read {
            let now = std::mem::replace(&mut story.at, then);
            story.patched("alice", 11, &[".spec.replicas"]);
            story.at = now;
            story.read_to(0);
            assert_eq!(story.who(seen), is(Verdict::Exact, &["alice"]));
        }
        let ends = Timestamp::from_seconds(story.at + 540);
        assert_eq!(story.machine.deadline(), (!read).then_some(ends));
        story.later(540);
        assert_eq!(story.gaps(), usize::from(!read));
    }
}

/// Goal: what a list shows of a cluster that came in the place of another was made by nobody at that
/// time: the records that were read are not to explain it. What changes there afterwards is.
#[test]
fn what_another_cluster_has_is_no_gap() {
    for another in [true, false] {
        let mut story = long_since();
        restart(&mut story);
        if another {
            let of = |uid: &str| uid.to_owned();
            let body = ClusterReplacedV1 {
                kept: of("a"),
                uid: of("b"),
                version: of("v1.36.3"),
                server: of("https://b"),
            };
            story.fold(&body.into());
        }
        let managers = Vec::new();
        let other = ObjectObservedV1 { uid: "w".into(), managers, ..listed(7) };
        let seen = story.observe(other, sets(&[]));
        story.read_to(60);
        story.later(600);
        assert_eq!((story.who(seen), story.gaps()), (None, usize::from(!another)));
        story.observe(
            ObjectObservedV1 { uid: "w".into(), learned: Learned::Listed, ..super::seen(8) },
            sets(&[".spec.replicas"]),
        );
        story.read_to(60);
        story.later(600);
        assert_eq!(story.gaps(), 1 + usize::from(!another), "it changed since");
    }
}

/// Goal: after a restart nothing is said twice, and what waited goes on.
#[test]
fn a_machine_that_folds_the_same_events_again_goes_on_where_it_was() {
    let mut story = long_since();
    let told = story.see(11, &[".spec.replicas"]);
    story.patched("alice", 11, &[".spec.replicas"]);
    story.read_to(0);
    let waiting = story.see(12, &[".spec.paused"]);
    assert_eq!(story.said.len(), 1);

    let mut again = long_since();
    again.observe(seen(11), sets(&[".spec.replicas"]));
    again.patched("alice", 11, &[".spec.replicas"]);
    again.machine.dirty.clear();
    let read = again.reading(again.at);
    again.fold(&read.into());
    again.machine.dirty.clear();
    let said = story.said[0].1.clone();
    assert_eq!(again.fold(&said), story.said[0].0, "the same numbers");
    again.machine.learn(&web(), Some(Prior::of_observed(Timestamp::default(), &seen(11))));
    assert_eq!(again.see(12, &[".spec.paused"]), waiting);
    again.patched("bob", 12, &[".spec.paused"]);
    again.read_to(0);
    assert_eq!(again.said.len(), 1);
    assert_eq!((again.who(told), again.who(waiting)), (None, is(Verdict::Exact, &["bob"])));
}
