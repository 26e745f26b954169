use jiff::tz::TimeZone;

use super::*;
use crate::ledger::event::{
    Applied, Health, IntentRecordedV1, MarkedV1, ObjectGoneV1, ObjectObservedV1, OutcomeRecordedV1,
    RefMovedV1, SyncFinishedV1, Verb, Write, WriteResult,
};
use crate::ledger::{Blob, Draft};
use crate::model::{Digest, Protection};
use crate::query::fixture::{Story, canonical, commit, key, name};

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
    assert_eq!(of_root.what, "when commit aaaaaaaaaa was applied first, to application root");
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
    let (text, hint) = error(&story, "git:main");
    let both = "cccccccccc of /srv/infra.git";
    assert!(text.contains("several repositories") && text.contains(both), "{text}");
    assert!(hint.contains("ask about an application"), "{hint}");
    // Of refs of the same name that one counts which the application follows, wherever it is.
    for app in ["web", "root"] {
        let error = find(&story, "git:main", &About::app(app)).unwrap_err().to_string();
        assert!(error.contains(&format!("cccccccccc was never applied for application {app}")));
    }
    let done = story.event(SyncFinishedV1 { commit: commit('c'), ..finished("web", true) });
    assert_eq!(find(&story, "git:main", &About::app("web")).unwrap().seq, done);
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

#[test]
fn the_ends_of_an_instant_bound_a_search_and_widen_none() {
    let story = Story::told();
    let now = Timestamp::now();
    let parse = |text: &str| Instant::parse(text, now, &TimeZone::UTC).unwrap();
    let bounded = |from: Option<&str>, to: Option<&str>, mut filter: Filter| {
        let ends = (from.map(parse), to.map(parse));
        bound(&story.ledger, &mut filter, ends, now).map(|()| (filter.after.0, filter.before))
    };
    // What happened at the very event is wanted, at either end.
    let whole = bounded(Some("#5"), Some("#7"), Filter::default()).unwrap();
    assert_eq!(whole, (4, Some(Seq(8))));
    assert_eq!(bounded(Some("2001-01-01"), None, Filter::default()).unwrap(), (0, None));
    let narrow = Filter { after: Seq(6), before: Some(Seq(7)), ..Filter::default() };
    let kept = bounded(Some("#5"), Some("#9"), narrow).unwrap();
    assert_eq!(kept, (6, Some(Seq(7))));
    let at = Instant::Time(now);
    assert!(resolve(&story.ledger, &at, &About::default(), now).is_ok(), "now has come");
}

#[test]
fn a_ledger_with_little_in_it_says_how_little() {
    let mut story = Story::empty();
    assert!(error(&story, "@-").0.starts_with("the ledger changed"));
    let mark = |name: &str| {
        let (name, time) = (name.to_owned(), Timestamp(7));
        Draft::new(MarkedV1 { name, seq: Seq(1), time, reason: String::new() })
    };
    for name in ["alpha", "omega", "beta"] {
        story.add(mark(name));
    }
    let names: Vec<_> =
        marks(&story.ledger).unwrap().into_iter().map(|(_, mark)| mark.name).collect();
    assert_eq!(names, ["alpha", "beta", "omega"]);
    let found = find(&story, "mark:beta", &About::default()).unwrap();
    assert_eq!((found.seq, found.time), (Seq(1), Timestamp(7)), "the time that was meant");
}

#[test]
fn whatever_changes_what_an_app_is_to_be_counts_back() {
    use crate::ledger::event::{
        AppDeclaredV1, AppRemovedV1, Origin, RevisionAdvancedV1, RevisionRef,
    };
    let mut story = Story::told();
    let about = About::app("web");
    let back = |story: &Story| find(story, "@-", &about).unwrap().seq.0 + 1;
    let revision =
        RevisionRef { repo: "/srv/infra.git".into(), commit: commit('f'), tree: commit('b') };
    let declared = story.world.apps[&name("web")].declared;
    let advanced = story.event(RevisionAdvancedV1 {
        app: name("web"),
        declared,
        revision: revision.clone(),
        revisions: vec![revision],
        inputs: crate::model::Digest::of(b"inputs"),
        made_with: vec![],
    });
    assert_eq!(back(&story), advanced.0);
    // That commit stands for this, of this application.
    let full = format!("git:{}", commit('f'));
    assert_eq!(at(&story, &full), advanced.0);
    let of_root = find(&story, &full, &About::app("root")).unwrap_err().to_string();
    assert!(of_root.contains("never applied for application root"), "{of_root}");
    let manifest = crate::query::fixture::canonical(&crate::query::fixture::app_manifest("web"));
    let origin = Origin::Parent(name("root"));
    let declared = story.event(AppDeclaredV1 { app: name("web"), manifest, origin });
    assert_eq!(back(&story), declared.0);
    let removed = story.event(AppRemovedV1 {
        app: name("web"),
        cascade: false,
        origin: Origin::Operator,
        declared: None,
        orphans: vec![],
    });
    assert_eq!(back(&story), removed.0);
}

#[test]
fn a_commit_is_applied_by_its_own_first_intent_and_of_what_that_wrote() {
    use crate::ledger::event::{
        IntentRecordedV1, IntentSettledV1, OutcomeRecordedV1, Verb, Write, WriteResult,
    };
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let intended = |story: &mut Story, digit: char| {
        let writes = vec![Write::plain(Verb::Prune, web.clone(), "v1", "it left Git")];
        let (app, commit) = (name("web"), Some(commit(digit)));
        story.event(IntentRecordedV1 { app, writes, commit, timeout_ms: 10_000 })
    };
    let results = || vec![(0, WriteResult::Deleted)];
    let (first, other) = (intended(&mut story, 'e'), intended(&mut story, 'f'));
    let app = || name("web");
    story.event(OutcomeRecordedV1 { app: app(), intent: other, results: results() });
    let settled = story.event(IntentSettledV1 { app: app(), intent: first, results: results() });
    let again = intended(&mut story, 'e');
    story.event(OutcomeRecordedV1 { app: app(), intent: again, results: results() });
    let full = format!("git:{}", commit('e'));
    assert_eq!(at(&story, &full), settled.0);
    let asked = |about: &About| find(&story, &full, about).map(|at| at.seq);
    assert_eq!(asked(&About::object(&web)).unwrap(), settled);
    assert_eq!(asked(&About::app("web")).unwrap(), settled);
    for about in [About::object(&key("ConfigMap/prod/web")), About::app("root")] {
        let error = asked(&about).unwrap_err().to_string();
        assert!(error.contains("eeeeeeeeee was never applied"), "{error}");
    }
    // A tag is a name, too; and digits that no commit has are none's.
    let repo = "/srv/infra.git".into();
    let (old, new) = (None, Some(commit('e')));
    story.event(RefMovedV1 { repo, name: "refs/tags/v1".into(), old, new });
    assert_eq!(at(&story, "git:v1"), settled.0);
    assert!(error(&story, "git:eeeeeeeef").0.contains("no recorded commit"));
}

/// What greffier does to an object: the intent, its end, and what the watch shows of it.
fn writes(story: &mut Story, of: &ObjectKey, verb: Verb, object: &serde_json::Value) -> [u64; 3] {
    let (app, rv) = (name("web"), story.ledger.head().0.to_string());
    let writes = vec![Write::plain(verb, of.clone(), "v1", "Git changed")];
    let body =
        IntentRecordedV1 { app: app.clone(), writes, commit: Some(commit('a')), timeout_ms: 1 };
    let intent = story.event(body);
    let live = serde_json::json!({"object": object, "fields": []});
    story.blob(&live);
    let applied = Applied {
        uid: format!("uid-{of}"),
        resource_version: rv.clone(),
        baseline: Digest::default(),
        object: Blob::plain(canonical(&live), None).addr,
        changed: true,
        digest: Digest::of(&canonical(object)),
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    };
    let results = vec![(0, WriteResult::Applied(applied.clone()))];
    let outcome = story.event(OutcomeRecordedV1 { app, intent, results });
    let seen = story.event(ObjectObservedV1 {
        object: applied.object,
        digest: applied.digest,
        ..ObjectObservedV1::plain(of.clone(), &applied.uid, &rv)
    });
    [intent.0, outcome.0, seen.0]
}

/// Goal: right before Git's change of an object something else was wanted, and there; of what
/// somebody did to it, and of what put that back, right before it.
#[test]
fn a_change_that_git_asks_for_begins_with_what_asks_for_it() {
    let mut story = Story::told();
    let map = key("ConfigMap/prod/web");
    let about = About::object(&map);
    let back = |story: &Story, text: &str| find(story, text, &about).unwrap().seq;
    let data = |value: &str| serde_json::json!({"kind": "ConfigMap", "data": {"a": value}});
    let app = name("web");
    let render = story.world.apps[&app].desired.as_ref().unwrap().seq;
    writes(&mut story, &map, Verb::Create, &data("1"));
    assert_eq!(back(&story, "@-").next(), render);
    assert!(!recorded_world(&story, back(&story, "@-")).wanted_by.contains_key(&map));
    let by_hand = story.observed(&map, &data("2"), &format!("uid-{map}"), "");
    assert_eq!((back(&story, "@-").next(), back(&story, "@--").next()), (by_hand, render));
    let [intent, outcome, _] = writes(&mut story, &map, Verb::Heal, &data("1"));
    assert_eq!(back(&story, "@-"), Seq(intent), "{outcome}");
    assert_eq!(back(&story, "@--").next(), by_hand);
}

fn recorded_world(story: &Story, last: Seq) -> crate::replay::World {
    crate::query::past::world_at(&story.ledger, last, false).unwrap()
}

/// Goal: what only tells how an object fares is no change of it, nor what its controller notes.
#[test]
fn what_an_object_is_to_be_counts_back_and_not_how_it_fares() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let uid = format!("uid-{web}");
    let object = |replicas: u32, ready: u32, revision: &str| {
        serde_json::json!({"kind": "Deployment", "spec": {"replicas": replicas},
            "status": {"ready": ready}, "metadata": {"name": "web", "annotations":
                {"deployment.kubernetes.io/revision": revision}}})
    };
    let about = About::object(&web);
    let back = |story: &Story, text: &str| find(story, text, &about).unwrap().seq.next();
    story.observed(&web, &object(2, 2, "1"), &uid, "");
    let scaled = story.observed(&web, &object(5, 2, "1"), &uid, "");
    for (ready, revision) in [(3, "1"), (3, "2"), (5, "2")] {
        story.observed(&web, &object(5, ready, revision), &uid, "");
    }
    assert_eq!(back(&story, "@-"), scaled);
    let again = story.observed(&web, &object(2, 5, "2"), &uid, "");
    story.observed(&web, &object(2, 2, "2"), &uid, "");
    assert_eq!((back(&story, "@-"), back(&story, "@--")), (again, scaled));
}

mod commits;
mod defined;
