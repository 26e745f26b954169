//! What is to be rendered, and when.

use super::*;

#[test]
fn what_is_pending_follows_refs_definitions_and_problems() {
    let pending = |given: &Given| given.world.render_pending(&given.world.apps[&name("web")]);
    let mut given = Given::app("web", auto());
    assert!(pending(&given), "never rendered");
    given.renders("web", objects(&[A]));
    assert!(!pending(&given));
    given.push(2);
    assert!(pending(&given), "a commit");
    given.advances("web");
    assert!(!pending(&given));
    given.declares(&application("web", json!({})), Origin::Config);
    assert!(pending(&given), "another definition");
    given.fails_to_render("web");
    assert!(!pending(&given), "the same would fail again");
    given.declares(&application("web", auto()), Origin::Config);
    assert!(pending(&given), "the definition may have been what was wrong");
    given.renders("web", objects(&[A]));
    let gone =
        RefMovedV1 { repo: REPO.into(), name: "refs/heads/main".into(), old: None, new: None };
    given.event(gone);
    assert!(pending(&given), "the branch is gone, which has to be said");
    let error = "no such branch".to_owned();
    let declared = given.world.apps[&name("web")].declared;
    given.event(RenderFailedV1 {
        app: name("web"),
        declared,
        commit: None,
        commits: vec![None],
        transient: false,
        error,
    });
    assert!(!pending(&given));
    assert!(given.world.apps[&name("web")].desired.is_some(), "the last good render stays");
}

#[test]
fn a_render_that_the_machine_spoiled_is_tried_again_at_growing_intervals() {
    let pending = |given: &Given| given.world.render_pending(&given.world.apps[&name("web")]);
    let mut given = Given::app("web", auto());
    for wait in [1_000, 2_000, 4_000] {
        given.fails_to_render_by("web", true);
        assert!(!pending(&given), "not at once");
        let deadline = given.plan("web").deadline.map(|at| at.ms_since(given.now()));
        assert_eq!(deadline, Some(wait));
        let touched = given.after_ms(wait);
        assert!(touched.apps.contains(&name("web")) && pending(&given), "{touched:?}");
    }
    // A person, or a restart that may have mended it, does not wait.
    type Begin = fn(&mut Given);
    let begin: [Begin; 2] =
        [|given| given.requests("web", false, &[]), |given| given.starts(false)];
    for begin in begin {
        given.fails_to_render_by("web", true);
        assert!(!pending(&given));
        begin(&mut given);
        assert!(pending(&given));
    }
    given.world.apps.get_mut(&name("web")).unwrap().request = None;
    // What is wrong in Git is rendered again when somebody asks, and else when Git changes.
    given.fails_to_render("web");
    assert!(!pending(&given) && given.plan("web").deadline.is_none());
    given.starts(false);
    assert!(!pending(&given));
    given.requests("web", false, &[]);
    assert!(pending(&given));
    given.push(2);
    given.fails_to_render_by("web", true);
    assert_eq!(given.world.apps[&name("web")].render_problem.as_ref().unwrap().failures, 1);
}

#[test]
fn a_render_of_a_definition_that_was_replaced_meanwhile_does_not_count() {
    type End = fn(&mut Given);
    let ends: [End; 3] = [
        |given| {
            given.renders("web", objects(&[B]));
        },
        |given| {
            given.advances("web");
        },
        |given| {
            given.fails_to_render("web");
        },
    ];
    for end in ends {
        let mut given = Given::synced(objects(&[A]));
        given.push(2);
        let mut job = given.clone();
        end(&mut job);
        let ended = job.events.pop().unwrap().2;
        given.declares(&application("web", json!({"automated": {}})), Origin::Config);
        let before = given.world.apps.clone();
        given.event(ended);
        assert_eq!(given.world.apps, before);
        assert_eq!(given.world.behind(), Some(&name("web")));
    }
}

#[test]
fn a_guessed_scope_is_looked_up_once_the_kind_is_served() {
    let widget = GroupKind::new("example.org", "Widget");
    let mut given = Given::app("web", auto());
    given.renders("web", objects(&["Widget.example.org/prod/w"]));
    let Some((.., Event::RenderSucceeded(mut render))) = given.events.pop() else { panic!() };
    render.unknown_kinds = vec![widget.clone()];
    given.event(render);
    assert_eq!(given.world.behind(), None);
    given.serves(&[widget]);
    assert_eq!(given.world.behind(), Some(&name("web")));
}

#[test]
fn an_unfetched_repository_holds_others_until_it_fails() {
    let mut given = Given::nothing();
    given.declares(&application("web", auto()), Origin::Config);
    assert_eq!(given.world.behind(), Some(&name("web")));
    given.event(FetchFailedV1 { repo: REPO.into(), error: "not found".into() });
    assert_eq!(given.world.behind(), None);
    assert!(given.event(FetchRecoveredV1 { repo: REPO.into() }).all);
    assert_eq!(given.world.repos[REPO].error, None);
}

#[test]
fn revisions_resolve_as_git_does() {
    let id = |n| commit(n);
    let refs = [
        ("HEAD", 1),
        ("refs/heads/main", 1),
        ("refs/heads/v1", 2),
        ("refs/tags/v1", 3),
        ("refs/tags/v2", 4),
    ];
    let refs = refs.map(|(name, n)| (name.to_owned(), id(n))).into();
    let repo = Repo { refs, fetched: true, ..Repo::default() };
    let commit = |n| Resolved::Commit(id(n));
    let whole: CommitId = id(9);
    for (revision, resolved) in [
        ("HEAD", commit(1)),
        ("main", commit(1)),
        ("v1", commit(2)),
        ("v2", commit(4)),
        ("refs/tags/v1", commit(3)),
        (whole.as_str(), commit(9)),
        ("nowhere", Resolved::Unknown),
    ] {
        assert_eq!(repo.resolve(revision), resolved, "{revision}");
    }
    assert_eq!(Repo::default().resolve("main"), Resolved::NotFetched);
}

// --- who is looked at again
