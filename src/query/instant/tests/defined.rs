//! `git:` of a commit that changes how an application is defined: the application gets it first as it is
//! defined until then.

use serde_json::{Value, json};

use super::super::{About, At, Error, resolve};
use crate::ledger::event::{
    IntentRecordedV1, PausedV1, RefMovedV1, RenderSucceededV1, ResumedV1, RevisionAdvancedV1,
    RevisionRef, SyncFinishedV1,
};
use crate::model::{Digest, Instant, Seq, Timestamp};
use crate::query::fixture::Story;
use crate::replay::testing::{Given, application, auto, child, commit, key, name, object};

const A: &str = "ConfigMap/prod/a";
const OTHER: &str = "/srv/other.git";

/// The definition of `web` with this colour.
fn web(color: &str) -> Value {
    let mut manifest = application("web", auto());
    manifest["spec"]["source"]["helm"] = json!({"parameters": [{"name": "c", "value": color}]});
    manifest
}

/// A tree at commit 1: `root` has `web`, which is red.
fn tree(policy: Value) -> Given {
    let mut given = Given::app("root", policy);
    given.renders("root", vec![child(&web("red"))]);
    if !given.world.apps.contains_key(&name("web")) {
        given.declares(&web("red"), crate::ledger::event::Origin::Parent(name("root")));
    }
    while given.follows("root") {}
    given.renders("web", vec![object(A, 1)]);
    given.syncs("web");
    assert!(given.finishes("web"));
    given
}

/// `root` renders the commit to this colour, and defines `web` so.
fn defines(given: &mut Given, color: &str) -> Seq {
    given.renders("root", vec![child(&web(color))]);
    while given.follows("root") {}
    given.declared("web")
}

/// `web` renders to this, and is synced, whatever becomes of what defines it: what is paused is
/// waited for by nobody.
fn synced(given: &mut Given, content: u64) -> Seq {
    let mut above: Vec<_> = given.world.apps.keys().cloned().collect();
    above.retain(|app| app.as_str() != "web");
    for app in &above {
        given.event(PausedV1 { app: app.clone(), until: None, reason: String::new() });
    }
    given.renders("web", vec![object(A, content)]);
    given.syncs("web");
    assert!(given.finishes("web"));
    let synced = given.seq();
    for app in above {
        given.event(ResumedV1 { app, expired: false });
    }
    synced
}

/// What the commit stands for, of the application and of its object.
fn at(given: &Given, number: u64) -> Result<At, Error> {
    let instant = Instant::Commit(commit(number).to_string());
    told(given, |story| {
        let asked = |about: &About| resolve(&story.ledger, &instant, about, Timestamp::now());
        let found = asked(&About::app("web"));
        let of_object = asked(&About::object(&key(A)));
        assert_eq!(found.as_ref().ok(), of_object.as_ref().ok());
        found
    })
}

/// Right before the last changes of the application.
fn back(given: &Given, count: u32) -> u64 {
    let asked = |story: &Story| {
        resolve(&story.ledger, &Instant::Back(count), &About::app("web"), Timestamp::now())
    };
    told(given, asked).unwrap().seq.0
}

/// What the ledger says that has the events.
fn told<T>(given: &Given, ask: impl FnOnce(&Story) -> T) -> T {
    // The first event of a ledger takes the place of the first of these.
    let mut story = Story::empty();
    for (seq, _, event) in given.events.iter().skip(1) {
        assert_eq!(story.event(event.clone()), *seq);
    }
    let found = ask(&story);
    story.ledger.shutdown();
    found
}

fn plainly(at: &At) -> bool {
    at.what.ends_with(", to application web")
}

#[test]
fn a_commit_that_defines_an_application_anew_stands_for_what_it_was_defined_as() {
    // It changes nothing of the files.
    let mut given = tree(auto());
    given.push(2);
    given.advances("web");
    let early = given.seq();
    defines(&mut given, "azure");
    let done = synced(&mut given, 2);
    given.push(3);
    given.advances("web");
    defines(&mut given, "bordeaux");
    let last = synced(&mut given, 3);
    let found = at(&given, 2).unwrap();
    assert_eq!(found.seq, done, "and not #{early}, at which it was red");
    assert!(plainly(&found), "{}", found.what);
    assert_eq!(at(&given, 3).unwrap().seq, last);

    // It changes them as well, and that was applied for a moment as it was defined before.
    for moment in [false, true] {
        let mut given = tree(auto());
        given.push(2);
        if moment {
            synced(&mut given, 2);
        } else {
            given.renders("web", vec![object(A, 2)]);
        }
        defines(&mut given, "azure");
        if !moment {
            // The sync of the render before ends only now.
            given.event(SyncFinishedV1 {
                app: name("web"),
                commit: commit(2),
                succeeded: true,
                message: String::new(),
                counts: (0, 1, 0),
                request: None,
                approval: None,
            });
        }
        let done = synced(&mut given, 4);
        assert_eq!(at(&given, 2).unwrap().seq, done, "{moment}");
    }
}

#[test]
fn a_commit_that_defines_nothing_anew_stands_for_when_it_was_applied_first() {
    // What the root has of it is known before or after.
    for first in [false, true] {
        let mut given = tree(auto());
        given.push(2);
        if first {
            given.advances("root");
        }
        let done = synced(&mut given, 2);
        if !first {
            given.renders("root", vec![child(&web("red"))]);
        }
        given.event(RevisionAdvancedV1 {
            app: name("web"),
            declared: given.declared("web"),
            revision: given.revision(),
            revisions: vec![given.revision()],
            inputs: Digest::of(b"again"),
            made_with: Vec::new(),
        });
        let found = at(&given, 2).unwrap();
        assert_eq!(found.seq, done);
        assert!(plainly(&found), "{}", found.what);
    }
    // It is of a repository that the root does not follow.
    let mut given = tree(auto());
    let main = "refs/heads/main".to_owned();
    given.event(RefMovedV1 { repo: OTHER.into(), name: main, old: None, new: Some(commit(8)) });
    let revision = RevisionRef { repo: OTHER.into(), commit: commit(8), tree: commit(8) };
    given.event(RevisionAdvancedV1 {
        app: name("web"),
        declared: given.declared("web"),
        revision: revision.clone(),
        revisions: vec![revision],
        inputs: Digest::of(b"other"),
        made_with: Vec::new(),
    });
    let found = at(&given, 8).unwrap();
    assert!(found.seq == given.seq() && plainly(&found), "{}", found.what);
}

/// Goal: a commit that came while the application was held, and changes nothing of what waits, was not
/// applied to what is held.
#[test]
fn what_came_while_it_was_held_was_not_applied() {
    let mut given = tree(auto());
    let then = given.world.clone();
    given.push(2);
    given.advances("root");
    synced(&mut given, 2);
    let hold = given.rolls_back("web", &then);
    given.syncs("web");
    given.push(3);
    given.advances("root");
    given.renders("web", vec![object(A, 3)]);
    given.push(4);
    given.advances("root");
    given.advances("web");
    for number in [3, 4] {
        let Err(Error::NeverApplied { other, .. }) = at(&given, number) else {
            panic!("{number} was applied")
        };
        assert_eq!(other.map(|(_, of)| of), Some(commit(2)), "the last one before it");
    }
    // Of what is in force it says what it said.
    given.lets_go("web", hold);
    given.syncs("web");
    assert!(given.finishes("web"));
    let applied = given.seq();
    assert_eq!(at(&given, 4).unwrap().seq, applied);
    given.push(5);
    given.advances("web");
    assert_eq!(at(&given, 5).unwrap().seq, given.seq());
}

#[test]
fn what_a_commit_defines_and_was_never_applied_is_no_instant() {
    let mut given = tree(auto());
    given.push(2);
    given.advances("web");
    let early = given.seq();
    defines(&mut given, "azure");
    // The repository went on before it was rendered so.
    given.push(3);
    given.advances("root");
    synced(&mut given, 3);
    let error = at(&given, 2).unwrap_err();
    assert!(matches!(&error, Error::OtherDefinition { at, .. } if *at == early), "{error:?}");
    assert!(error.to_string().contains("only as that was defined before it"), "{error}");
    assert!(error.hint().contains(&format!("#{early}")), "{}", error.hint());
}

#[test]
fn how_an_application_was_defined_is_said_where_that_is_not_how_the_commit_has_it() {
    // The root is synced by hand, and what an earlier commit changed waits.
    let mut given = tree(json!({}));
    given.push(2);
    given.advances("web");
    given.renders("root", vec![child(&web("azure"))]);
    assert!(matches!(at(&given, 2), Err(Error::OtherDefinition { .. })));
    given.push(3);
    given.advances("root");
    let done = synced(&mut given, 3);
    let found = at(&given, 3).unwrap();
    assert_eq!(found.seq, done);
    assert!(found.what.ends_with("was not in force yet"), "{}", found.what);

    // The root never looked at it.
    let mut given = tree(auto());
    given.push(2);
    let done = synced(&mut given, 2);
    given.push(3);
    given.advances("root");
    let found = at(&given, 2).unwrap();
    assert_eq!(found.seq, done);
    assert!(found.what.ends_with("how the commit defines it is not known"), "{}", found.what);
}

/// A parent is defined anew by the commit as well, and renders it twice.
#[test]
fn what_a_parent_made_of_a_commit_before_it_was_defined_by_it_is_not_counted() {
    let mid = |path: &str| {
        let mut manifest = application("mid", auto());
        manifest["spec"]["source"]["path"] = json!(path);
        manifest
    };
    let mut given = Given::app("top", auto());
    given.renders("top", vec![child(&mid("old"))]);
    while given.follows("top") {}
    given.renders("mid", vec![child(&web("red"))]);
    while given.follows("mid") {}
    given.renders("web", vec![object(A, 1)]);
    given.syncs("web");
    assert!(given.finishes("web"));
    given.push(2);
    given.event(rendered(&given, "mid", "old", vec![child(&web("pink"))]));
    while given.follows("mid") {}
    synced(&mut given, 2);
    given.renders("top", vec![child(&mid("new"))]);
    while given.follows("top") {}
    given.event(rendered(&given, "mid", "new", vec![child(&web("azure"))]));
    while given.follows("mid") {}
    let done = synced(&mut given, 3);
    assert_eq!(at(&given, 2).unwrap().seq, done);
}

/// A render with inputs of its own.
fn rendered(
    given: &Given,
    app: &str,
    inputs: &str,
    objects: Vec<crate::ledger::event::DesiredObject>,
) -> RenderSucceededV1 {
    let inputs = Digest::of(inputs.as_bytes());
    RenderSucceededV1 {
        app: name(app),
        declared: given.declared(app),
        inputs,
        sources: inputs,
        revisions: vec![given.revision()],
        revision: given.revision(),
        tool: "test".into(),
        made_with: Vec::new(),
        restores: Vec::new(),
        objects,
        warnings: Vec::new(),
        unknown_kinds: Vec::new(),
        reused: None,
    }
}

/// Goal: what was rendered with a former definition and never applied is nothing to go back to.
#[test]
fn what_no_commit_asked_for_is_not_what_was_before() {
    for acted in [false, true] {
        let mut given = tree(auto());
        let before = given.seq().0;
        given.push(2);
        given.renders("web", vec![object(A, 2)]);
        assert!(given.writes("web").is_empty(), "it waits for its definition");
        let former = given.seq().0;
        if acted {
            let commit = Some(commit(2));
            let (app, writes) = (name("web"), Vec::new());
            given.event(IntentRecordedV1 { app, writes, commit, timeout_ms: 1 });
        }
        defines(&mut given, "azure");
        let defined = given.seq().0;
        given.renders("web", vec![object(A, 3)]);
        given.syncs("web");
        assert!(given.finishes("web"));
        if acted {
            assert_eq!(
                (back(&given, 1), back(&given, 3)),
                (defined, former - 1),
                "somebody may know it"
            );
        } else {
            assert!((before..former).contains(&back(&given, 1)), "{} of {before}", back(&given, 1));
        }
        // A push that renders it again is a change by itself, and so is another definition alone.
        given.push(3);
        given.advances("root");
        let last = given.seq().0;
        given.renders("web", vec![object(A, 4)]);
        assert_eq!(back(&given, 1), last);
    }
}
