//! `git:` of what several applications have a repository of.

use super::*;
use crate::ledger::event::{DesiredObject, RenderSucceededV1, RevisionAdvancedV1, RevisionRef};

fn finished(app: &str, digit: char) -> SyncFinishedV1 {
    SyncFinishedV1 {
        app: name(app),
        commit: commit(digit),
        succeeded: true,
        message: String::new(),
        counts: (1, 0, 0),
        request: None,
        approval: None,
    }
}

fn revision(digit: char) -> RevisionRef {
    RevisionRef { repo: "/srv/infra.git".into(), commit: commit(digit), tree: commit('b') }
}

/// The commit changes nothing of what an application reads.
fn advanced(story: &mut Story, app: &str, digit: char) -> Seq {
    let state = &story.world.apps[&name(app)];
    let inputs = state.desired.as_ref().map_or(Digest::of(b"inputs"), |desired| desired.inputs);
    let (declared, revision) = (state.declared, revision(digit));
    story.event(RevisionAdvancedV1 {
        app: name(app),
        declared,
        revision: revision.clone(),
        revisions: vec![revision],
        inputs,
        made_with: vec![],
    })
}

/// An application renders a commit to these objects.
fn rendered(story: &mut Story, app: &str, digit: char, objects: &[&ObjectKey]) -> Seq {
    let state = &story.world.apps[&name(app)];
    let (declared, revision) = (state.declared, revision(digit));
    let known = story.world.apps[&name("web")].desired.as_ref().unwrap().seq;
    let known = recorded(story, known.0);
    let Some(Event::RenderSucceeded(known)) = &known.event else { panic!("it is a render") };
    let first = recorded(story, 16);
    let Some(Event::RenderSucceeded(first)) = &first.event else { panic!("it is a render") };
    let like = first.objects[0].clone();
    let objects = objects.iter().map(|key| DesiredObject { key: (*key).clone(), ..like.clone() });
    story.event(RenderSucceededV1 {
        app: name(app),
        declared,
        revision: revision.clone(),
        revisions: vec![revision],
        inputs: Digest::of(&[u8::try_from(digit).unwrap()]),
        objects: objects.collect(),
        ..known.clone()
    })
}

fn intended(story: &mut Story, app: &str, digit: char, of: &ObjectKey) {
    let writes = vec![Write::plain(Verb::Prune, of.clone(), "v1", "it left Git")];
    let (app, commit) = (name(app), Some(commit(digit)));
    let intent =
        story.event(IntentRecordedV1 { app: app.clone(), writes, commit, timeout_ms: 10_000 });
    let results = vec![(0, WriteResult::Deleted)];
    story.event(OutcomeRecordedV1 { app, intent, results });
}

/// Goal: in a repository that several applications share, the instant of a commit is that of the
/// application that has the object, and never another's, which had the commit earlier.
#[test]
fn a_commit_of_an_object_is_applied_when_its_own_application_has_it() {
    let mut story = Story::told();
    let web = key("Deployment.apps/prod/web");
    let others = advanced(&mut story, "root", 'c');
    let full = format!("git:{}", commit('c'));
    let asked = |story: &Story, about: &About| find(story, &full, about);
    for of in ["Deployment.apps/prod/web", "ReplicaSet.apps/prod/web-1"] {
        let error = asked(&story, &About::object(&key(of))).unwrap_err();
        let text = error.to_string();
        let names = format!("never applied for application web, which {of} belongs to");
        assert!(text.contains(&names), "{text}");
        assert!(error.hint().contains(&format!("#{others}")), "{}", error.hint());
    }
    let own = story.event(finished("web", 'c'));
    // What a ReplicaSet, or a pod, is of, its controller tells.
    for about in
        [About::object(&web), About::object(&key("ReplicaSet.apps/prod/web-1")), About::app("web")]
    {
        let found = asked(&story, &about).unwrap();
        assert_eq!(found.seq, own, "{about:?}");
        assert!(found.what.ends_with("to application web"), "{}", found.what);
    }
    // Of what is no application's the first of any counts, and is named.
    let found = asked(&story, &About::object(&key("Namespace/prod"))).unwrap();
    assert_eq!(found.seq, others);
    assert!(found.what.ends_with("to application root"), "{}", found.what);
}

/// Goal: whoever names a commit that was never applied is told of one that was, and not to take the
/// instant at which it was only seen: that is before anything of it.
#[test]
fn a_commit_that_was_never_applied_names_one_that_was() {
    let mut story = Story::told();
    let last = story.event(finished("web", 'a'));
    let seen = advanced(&mut story, "root", 'c');
    let hint = |story: &Story| {
        let full = format!("git:{}", commit('c'));
        find(story, &full, &About::app("web")).unwrap_err().hint()
    };
    let told = hint(&story);
    let before = format!("the last one before is git:{} (#{last})", commit('a').short());
    assert!(told.contains(&format!("seen first at #{seen}, with nothing of it applied")), "{told}");
    assert!(told.contains(&before), "{told}");
    let next = story.event(finished("web", 'd'));
    let told = hint(&story);
    let after = format!("the next one that was is git:{} (#{next})", commit('d').short());
    assert!(told.contains(&after), "{told}");
    let named = format!("git:{}", commit('d').short());
    assert_eq!(find(&story, &named, &About::app("web")).unwrap().seq, next, "and that works");
}

/// Goal: an object that went from one application to another is, at a commit, that one's which
/// had it then.
#[test]
fn an_object_that_moved_is_at_a_commit_its_application_of_then() {
    let mut story = Story::told();
    let moved = key("ConfigMap/prod/moved");
    let of_root = {
        rendered(&mut story, "root", 'c', &[&moved]);
        intended(&mut story, "root", 'c', &moved);
        story.event(finished("root", 'c'))
    };
    rendered(&mut story, "web", 'c', &[]);
    story.event(finished("web", 'c'));
    let kept = advanced(&mut story, "root", 'd');
    story.event(finished("web", 'd'));
    rendered(&mut story, "root", 'e', &[]);
    story.event(finished("root", 'e'));
    rendered(&mut story, "web", 'e', &[&moved]);
    intended(&mut story, "web", 'e', &moved);
    let of_web = story.event(finished("web", 'e'));
    let about = About::object(&moved);
    for (digit, at) in [('c', of_root), ('d', kept), ('e', of_web)] {
        let found = find(&story, &format!("git:{}", commit(digit)), &about).unwrap();
        assert_eq!(found.seq, at, "{digit}");
    }
    // Where none had it, the one counts that has it now.
    story.event(finished("root", 'f'));
    let last = story.event(finished("web", 'f'));
    let full = format!("git:{}", commit('f'));
    assert_eq!(find(&story, &full, &about).unwrap().seq, last);
    // Which of two is meant that both had it is not guessed.
    for app in ["root", "web"] {
        rendered(&mut story, app, '9', &[&moved]);
        story.event(finished(app, '9'));
    }
    let error = find(&story, &format!("git:{}", commit('9')), &about).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("several applications") && text.contains("root (#"), "{text}");
}

/// Goal: a branch of an object is that of the repository that its application follows.
#[test]
fn a_branch_of_an_object_is_that_of_its_applications_repository() {
    let mut story = Story::told();
    let other = RefMovedV1 {
        repo: "/srv/other.git".into(),
        name: "refs/heads/main".into(),
        old: None,
        new: Some(commit('d')),
    };
    story.event(other);
    story.event(finished("root", 'd'));
    let own = story.event(finished("web", 'a'));
    let about = About::object(&key("Deployment.apps/prod/web"));
    let found = find(&story, "git:main", &about).unwrap();
    assert_eq!(found.seq, own, "{}", found.what);
}
