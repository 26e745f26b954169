use jiff::tz::TimeZone;

use super::*;
use crate::ledger::Draft;
use crate::ledger::event::{MarkedV1, ObjectGoneV1, RefMovedV1, SyncFinishedV1};
use crate::query::fixture::{Story, commit, key, name};

fn find(story: &Story, text: &str, about: &About) -> Result<At, Error> {
    let now = Timestamp::now();
    let instant = Instant::parse(text, now, &TimeZone::UTC).unwrap().or_end();
    resolve(&story.ledger, &instant, about, now)
}

fn at(story: &Story, text: &str) -> u64 {
    find(story, text, &About::default()).unwrap_or_else(|error| panic!("{text}: {error}")).seq.0
}

fn error(story: &Story, text: &str) -> (String, String) {
    let error = find(story, text, &About::default()).unwrap_err();
    (error.to_string(), error.hint())
}

fn recorded(story: &Story, seq: u64) -> std::sync::Arc<Recorded> {
    story.ledger.get(Seq(seq)).unwrap().unwrap()
}

#[test]
fn times_and_positions_are_found() {
    let story = Story::told();
    let head = story.ledger.head().0;
    for seq in 1..=head {
        let event = recorded(&story, seq);
        let found = find(&story, &format!("#{seq}"), &About::default()).unwrap();
        assert_eq!((found.seq.0, found.time, found.timed), (seq, event.envelope.recorded, false));
        let id = event.envelope.id.to_string();
        assert_eq!(at(&story, &id), seq, "{id}");
        assert_eq!(at(&story, &format!("e{}", &id.replace('-', "")[..30])), seq, "{id}");
    }
    let last = recorded(&story, head).envelope.recorded;
    let time = Instant::Time(last).to_string();
    let found = find(&story, &time, &About::default()).unwrap();
    assert_eq!((found.seq.0, found.time, found.timed), (head, last, true));
    assert_eq!(at(&story, "@"), head);
    assert_eq!((at(&story, "@-"), at(&story, "@-3")), (head - 1, head - 3));
}

#[test]
fn what_is_not_in_the_ledger_is_said_with_what_is() {
    let story = Story::told();
    let head = story.ledger.head();
    let (text, hint) = error(&story, "2001-01-01");
    assert!(text.contains("before the first event") && text.contains("begins at"), "{text}");
    assert!(hint.contains("#1"), "{hint}");
    let (text, hint) = error(&story, "2199-01-01T00:00:00Z");
    assert!(text.contains("in the future") && hint.contains(&format!("#{head}")), "{text} {hint}");
    let (text, hint) = error(&story, "#99999");
    assert!(text.contains(&format!("ends at #{head}")) && hint.contains("#1"), "{text} {hint}");
    let (text, _) = error(&story, "e0000000000001");
    assert!(text.contains("0000000000001"), "{text}");
    // All ids of this ledger begin with about the same time.
    let id = recorded(&story, 1).envelope.id.simple().to_string();
    let (text, hint) = error(&story, &id[..8]);
    assert!(text.contains("#1)") && text.contains("#2)"), "{text}");
    assert_eq!(hint, "give more digits");
}

#[test]
fn a_mark_stands_for_what_it_was_given_last() {
    let mut story = Story::told();
    let mark = |name: &str, seq| {
        let (name, time) = (name.to_owned(), Timestamp(7));
        Draft::new(MarkedV1 { name, seq: Seq(seq), time, reason: String::new() })
    };
    for (name, seq) in [("before-upgrade", 3), ("other", 4), ("before-upgrade", 5)] {
        story.add(mark(name, seq));
    }
    assert_eq!((at(&story, "mark:before-upgrade"), at(&story, "mark:other")), (5, 4));
    assert_eq!(marks(&story.ledger).unwrap().len(), 2);
    let (text, hint) = error(&story, "mark:before-upgrad");
    assert!(text.contains("before-upgrad") && hint.contains("before-upgrade?"), "{text} {hint}");
    assert!(error(&story, "mark:zzzzzzzzz").1.contains("get marks"));
}

#[test]
fn a_commit_stands_for_when_it_was_applied_first() {
    let mut story = Story::told();
    let finished = |app: &str, succeeded| SyncFinishedV1 {
        app: name(app),
        commit: commit('a'),
        succeeded,
        message: String::new(),
        counts: (1, 0, 0),
        request: None,
        approval: None,
    };
    // No sync has ended well: the first outcome of what was intended for it counts.
    let outcome = at(&story, "git:main");
    assert!(matches!(recorded(&story, outcome).event, Some(Event::OutcomeRecorded(_))));
    story.event(finished("web", false));
    assert_eq!(at(&story, "git:main"), outcome);
    let done = story.event(finished("web", true)).0;
    let later = story.event(finished("root", true)).0;
    let full = commit('a').to_string();
    for text in ["git:main", "git:refs/heads/main", "git:aaaaaaa", "git:AAAAAAAAAA"] {
        assert_eq!(at(&story, text), done, "{text}");
    }
    assert_eq!(at(&story, &format!("git:{full}")), done);
    let of_root = find(&story, "git:main", &About::app("root")).unwrap();
    assert_eq!(of_root.seq.0, later);
    assert!(of_root.what.contains("aaaaaaaaaa"), "{}", of_root.what);
    let moved = |repo: &str, to| RefMovedV1 {
        repo: repo.into(),
        name: "refs/heads/main".into(),
        old: None,
        new: Some(commit(to)),
    };
    story.event(moved("/srv/infra.git", 'c'));
    let (text, hint) = error(&story, "git:main");
    assert!(text.contains("cccccccccc was never applied") && hint.contains("seen first"), "{text}");
    story.event(moved("/srv/other.git", 'd'));
    assert!(error(&story, "git:main").0.contains("could be"));
    // Of refs of the same name those count that were applied to what is asked about.
    let of_web = SyncFinishedV1 { commit: commit('d'), ..finished("web", true) };
    let done = story.event(of_web);
    assert_eq!(find(&story, "git:main", &About::app("web")).unwrap().seq, done);
    let of_root = find(&story, "git:main", &About::app("root")).unwrap_err();
    assert!(of_root.to_string().contains("could be"), "{of_root}");
    for text in ["git:nowhere", "git:aaa", "git:fffffff"] {
        assert!(error(&story, text).0.contains("no recorded commit"), "{text}");
    }
    let near: crate::model::CommitId = format!("aaaaaaa{}", "b".repeat(33)).parse().unwrap();
    let near = RefMovedV1 { new: Some(near), name: "refs/x".into(), ..moved("/x", 'e') };
    story.event(near);
    let (text, hint) = error(&story, "git:aaaaaaa");
    assert!(text.contains("could be") && hint == "give more digits", "{text}");
}

#[test]
fn back_counts_the_changes_of_the_subject() {
    let mut story = Story::told();
    let set = key("ReplicaSet.apps/prod/web-1");
    let about = About::object(&set);
    let back = |story: &Story, text: &str| find(story, text, &about).map(|at| at.seq.0);
    let appeared = story.world.live[&set].seq.0;
    assert_eq!(back(&story, "@-").unwrap(), appeared - 1);
    let one = serde_json::json!({"kind": "ReplicaSet", "spec": {"replicas": 1}});
    let first = story.observed(&set, &one, "rs-1", "").0;
    // The same again, as when only the status changes: no change.
    story.observed(&set, &one, "rs-1", "");
    assert_eq!(back(&story, "@-").unwrap(), first - 1);
    assert_eq!(back(&story, "@--").unwrap(), appeared - 1);
    let (key, uid) = (set.clone(), "rs-1".to_owned());
    let learned = crate::ledger::event::Learned::Watched;
    let gone = story.event(ObjectGoneV1 { key, uid, learned }).0;
    assert_eq!(back(&story, "@-").unwrap(), gone - 1);
    assert_eq!(back(&story, "@-3").unwrap(), appeared - 1);
    let error = back(&story, "@-4").unwrap_err();
    assert!(error.to_string().contains("changed 3 times only"), "{error}");
    let of_app = find(&story, "@-", &About::app("web")).unwrap();
    let render = recorded(&story, of_app.seq.0 + 1);
    assert!(matches!(render.event, Some(Event::RenderSucceeded(_))), "{:?}", render.event);
}
