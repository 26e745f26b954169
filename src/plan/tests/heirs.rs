//! Objects that may be on their way to an application that nobody has rendered, or that cannot be
//! defined at all: a rename whose other half does not work, and an object that moves.

use serde_json::{Value, json};

use crate::ledger::event::{
    AppRefusedV1, DesiredObject, FetchFailedV1, FetchRecoveredV1, Origin, PausedV1, RefMovedV1,
    RenderFailedV1,
};
use crate::plan::{Status, Violation, check};
use crate::replay::testing::{
    Given, application, auto, cascading, child, commit, key, name, object, objects, said, writes,
};

const A: &str = "ConfigMap/prod/a";
const B: &str = "ConfigMap/prod/b";
const OF_API: &str = "ConfigMap/prod/api";
const OF_ROOT: &str = "ConfigMap/prod/root";
const OTHER: &str = "/srv/other.git";

/// `root` with `old`, which has A, and `api`; all of it synced at commit 1.
fn before() -> Given {
    let mut given = Given::app("root", auto());
    given.limits.app_percent_max = 100;
    given.renders("root", root(&[cascading("old", auto()), cascading("api", auto())], 1));
    while given.follows("root") {}
    given.renders("old", objects(&[A]));
    given.renders("api", objects(&[OF_API]));
    for app in ["root", "old", "api"] {
        given.syncs(app);
    }
    given
}

/// What `root` renders to, with an object of its own.
fn root(children: &[Value], content: u64) -> Vec<DesiredObject> {
    children.iter().map(child).chain([object(OF_ROOT, content)]).collect()
}

fn of_branch(app: &str, branch: &str) -> Value {
    let mut manifest = cascading(app, auto());
    manifest["spec"]["source"]["targetRevision"] = json!(branch);
    manifest
}

fn of_repo(app: &str) -> Value {
    let mut manifest = cascading(app, auto());
    manifest["spec"]["source"]["repoURL"] = json!(OTHER);
    manifest
}

fn skipped(app: &str) -> Value {
    let mut manifest = cascading(app, auto());
    manifest["metadata"]["annotations"] = json!({"argocd.argoproj.io/skip-reconcile": "true"});
    manifest
}

/// Commit `n` has these children of `root`, which does what it says.
fn pushes(given: &mut Given, n: u64, children: &[Value]) {
    given.push(n);
    given.renders("root", root(children, n));
    for app in ["old", "api", "mid", "tenant"] {
        if given.world.apps.get(&name(app)).is_some_and(|app| !app.removing) {
            given.advances(app);
        }
    }
    while given.follows("root") {}
}

/// A definition that names a branch which does not exist.
fn has_no_branch(given: &mut Given, app: &str) {
    let (declared, error) = (given.declared(app), "release: no such revision".into());
    let (app, commits) = (name(app), vec![None]);
    given.event(RenderFailedV1 { app, declared, commit: None, commits, transient: false, error });
}

fn has_no_repo(given: &mut Given) {
    given.event(FetchFailedV1 { repo: OTHER.into(), error: "not found".into() });
}

fn branch_is_pushed(given: &mut Given, n: u64) {
    let (name, new) = ("refs/heads/release".into(), Some(commit(n)));
    given.event(RefMovedV1 { repo: crate::replay::testing::REPO.into(), name, old: None, new });
}

/// Why `old`, which is being removed, waits.
fn why(given: &Given) -> String {
    assert!(given.world.apps[&name("old")].removing);
    assert_eq!(given.writes("old"), [""; 0]);
    said(&given.plan("old"), A).why.clone()
}

fn never_rendered(app: &str) -> String {
    format!(
        "waits: application {app} was never rendered since the commit that dropped it, and may \
         have it"
    )
}

type Names = fn(&mut Given);

/// The definitions under another name that nobody can render, and how that is found out.
fn unrenderable() -> [(Value, Names); 3] {
    [
        (of_branch("new", "release"), |given| has_no_branch(given, "new")),
        (of_repo("new"), has_no_repo),
        (skipped("new"), |_| {}),
    ]
}

#[test]
fn a_rename_whose_new_definition_is_not_rendered_keeps_the_objects() {
    for (new, happens) in unrenderable() {
        let mut given = before();
        pushes(&mut given, 2, &[new.clone(), cascading("api", auto())]);
        happens(&mut given);
        assert_eq!(why(&given), never_rendered("new"), "{new}");
        // A later commit of the parent that is about something else lets nothing go.
        for n in 3..5 {
            pushes(&mut given, n, &[new.clone(), cascading("api", auto())]);
            happens(&mut given);
            assert_eq!(why(&given), never_rendered("new"), "{new}");
        }
        // The daemon that starts anew does not either.
        given.starts(false);
        given.lists_everything();
        assert_eq!(why(&given), never_rendered("new"), "{new}");
        // A person knows better.
        given.requests("old", true, &[]);
        assert_eq!(given.writes("old"), [format!("prune {A}")], "{new}");
    }
}

#[test]
fn what_a_rename_kept_passes_to_the_new_application_once_that_is_rendered() {
    let mut given = before();
    let uid = given.world.live[&key(A)].uid.clone();
    pushes(&mut given, 2, &[of_branch("new", "main"), cascading("api", auto())]);
    let mut first = given.clone();
    // Nothing is known of it yet, and will be in a moment.
    assert_eq!(why(&first), "waits until application new is rendered");
    first.renders("new", objects(&[A]));
    let mut later = given;
    pushes(&mut later, 3, &[of_branch("new", "release"), cascading("api", auto())]);
    has_no_branch(&mut later, "new");
    assert_eq!(why(&later), never_rendered("new"));
    branch_is_pushed(&mut later, 3);
    assert_eq!(why(&later), "waits until application new is rendered");
    let touched = later.renders("new", objects(&[A]));
    assert!(touched.all || touched.apps.contains(&name("old")), "{touched:?}");
    for mut given in [first, later] {
        given.syncs("old");
        assert!(!given.world.apps.contains_key(&name("old")));
        given.syncs("new");
        let (owned, live) = (&given.world.owned[&key(A)], &given.world.live[&key(A)]);
        assert_eq!((&owned.app, &live.uid), (&name("new"), &uid));
    }
}

#[test]
fn what_is_nowhere_goes_once_that_is_known() {
    let ends: [Names; 3] = [
        // It is rendered, and has something else.
        |given| {
            branch_is_pushed(given, 2);
            given.renders("new", objects(&[B]));
        },
        // It leaves Git.
        |given| pushes(given, 3, &[cascading("api", auto())]),
        // It is defined otherwise, and rendered.
        |given| {
            pushes(given, 3, &[cascading("new", auto()), cascading("api", auto())]);
            given.renders("new", objects(&[B]));
        },
    ];
    for end in ends {
        let mut given = before();
        pushes(&mut given, 2, &[of_branch("new", "release"), cascading("api", auto())]);
        has_no_branch(&mut given, "new");
        assert_eq!(why(&given), never_rendered("new"));
        end(&mut given);
        if given.world.apps.contains_key(&name("new")) {
            // What it has instead comes first.
            given.syncs("new");
        }
        assert_eq!(given.writes("old"), [format!("prune {A}")]);
    }
}

#[test]
fn whoever_mends_a_rename_with_another_that_is_not_rendered_loses_nothing() {
    let mut given = before();
    pushes(&mut given, 2, &[of_branch("new", "release"), cascading("api", auto())]);
    has_no_branch(&mut given, "new");
    // Under a third name, …
    let mut named = given.clone();
    pushes(&mut named, 3, &[of_branch("third", "next"), cascading("api", auto())]);
    has_no_branch(&mut named, "third");
    assert_eq!(why(&named), never_rendered("third"));
    // …below another application that came with it, …
    pushes(&mut given, 3, &[cascading("mid", auto()), cascading("api", auto())]);
    given.renders("mid", vec![child(&of_branch("leaf", "next"))]);
    while given.follows("mid") {}
    has_no_branch(&mut given, "leaf");
    assert_eq!(why(&given), never_rendered("leaf"));
    // …or in one that is there and does not render with it.
    pushes(&mut given, 4, &[cascading("api", auto())]);
    given.fails_to_render("api");
    let later = "waits: application api does not render since a commit after the one that dropped \
                 it, and may have it";
    assert_eq!(why(&given), later);
    given.requests("old", true, &[]);
    assert_eq!(given.writes("old"), [format!("prune {A}")]);
}

#[test]
fn a_later_commit_of_the_parent_does_not_let_go_what_does_not_render_since() {
    let mut given = before();
    given.push(2);
    given.renders("root", root(&[cascading("api", auto())], 2));
    given.advances("old");
    given.fails_to_render("api");
    given.removes("old", true, Origin::Parent(name("root")));
    let with_it = "waits: application api does not render since the commit that dropped it, and \
                   may have it";
    assert_eq!(why(&given), with_it);
    given.push(3);
    given.renders("root", root(&[cascading("api", auto())], 3));
    given.fails_to_render("api");
    assert_eq!(why(&given), with_it);
}

#[test]
fn an_older_definition_that_was_never_rendered_and_one_of_others_stop_nobody() {
    for (new, happens) in unrenderable() {
        let mut given = before();
        let all = [new.clone(), cascading("old", auto()), cascading("api", auto())];
        pushes(&mut given, 2, &all);
        happens(&mut given);
        given.declares(&application("tenant", auto()), Origin::Config);
        given.renders("tenant", objects(&[B]));
        given.syncs("tenant");
        pushes(&mut given, 3, &[new.clone(), cascading("api", auto())]);
        happens(&mut given);
        assert_eq!(given.writes("old"), [format!("prune {A}")], "{new}");
        // What another parent defines with another commit later is not about it.
        given.push(4);
        given.renders("tenant", vec![object(B, 1), child(&skipped("theirs"))]);
        while given.follows("tenant") {}
        for app in ["root", "api"] {
            given.advances(app);
        }
        happens(&mut given);
        assert!(given.world.apps.contains_key(&name("theirs")));
        assert_eq!(given.writes("old"), [format!("prune {A}")], "{new}");
    }
}

#[test]
fn an_object_that_moves_waits_for_what_the_same_commit_redefines() {
    let redefined: [(Value, Names); 3] = [
        (of_branch("api", "release"), |given| has_no_branch(given, "api")),
        (of_repo("api"), has_no_repo),
        (skipped("api"), |_| {}),
    ];
    for (api, happens) in redefined {
        let mut given = before();
        given.renders("old", objects(&[A, B]));
        given.syncs("old");
        given.push(2);
        given.renders("root", root(&[cascading("old", auto()), api.clone()], 2));
        while given.follows("root") {}
        happens(&mut given);
        given.renders("old", objects(&[B]));
        assert_eq!(said(&given.plan("old"), A).why, never_rendered("api"), "{api}");
        assert_eq!(given.writes("old"), [""; 0]);
        // Neither a later commit nor another definition that is not rendered lets it go.
        given.push(3);
        let again = of_branch("api", "next");
        given.renders("root", root(&[cascading("old", auto()), again], 3));
        while given.follows("root") {}
        has_no_branch(&mut given, "api");
        given.advances("old");
        assert_eq!(said(&given.plan("old"), A).why, never_rendered("api"), "{api}");
        // What the application drops by itself with another commit goes, as ever.
        let mut dropped = given.clone();
        dropped.push(4);
        dropped.advances("root");
        dropped.renders("old", vec![object(B, 4)]);
        has_no_branch(&mut dropped, "api");
        assert!(dropped.writes("old").contains(&format!("prune {A}")), "{api}");
        given.requests("old", true, &[]);
        assert_eq!(given.writes("old"), [format!("prune {A}")], "{api}");
    }
}

// --- Applications that are not defined

fn undefined(of: &str) -> String {
    format!("waits: Application/newY of {of} cannot be defined (`newY` is no application name), ")
        + "and may have it"
}

#[test]
fn a_rename_to_what_is_no_name_removes_nothing() {
    let mut given = before();
    given.push(2);
    given.renders("root", root(&[cascading("newY", auto()), cascading("api", auto())], 2));
    for app in ["old", "api"] {
        given.advances(app);
    }
    given.syncs("root");
    let plan = given.plan("root");
    let old = said(&plan, "Application.argoproj.io/old");
    assert_eq!((old.status, old.why.clone()), (Status::Extra, undefined("root")));
    assert!(!given.finishes("root") && !given.world.apps[&name("old")].removing);
    // A later commit that mends nothing changes nothing; one that mends it shows where A is.
    let mut mended = given.clone();
    pushes(&mut given, 3, &[cascading("newY", auto()), cascading("api", auto())]);
    assert_eq!(given.plan("root").remove, []);
    pushes(&mut mended, 3, &[cascading("new", auto()), cascading("api", auto())]);
    mended.renders("new", objects(&[A]));
    for app in ["root", "old", "new"] {
        mended.syncs(app);
    }
    assert_eq!(mended.world.owned[&key(A)].app, name("new"));
    // A person lets the application go, and then its objects.
    given.requests("root", true, &[]);
    while given.follows("root") {}
    assert_eq!(why(&given), undefined("root"));
    given.requests("old", true, &[]);
    assert_eq!(given.writes("old"), [format!("prune {A}")]);
}

#[test]
fn a_rename_to_a_definition_that_is_refused_keeps_the_objects() {
    let mut given = before();
    given.push(2);
    given.renders("root", root(&[cascading("new", auto()), cascading("api", auto())], 2));
    for app in ["old", "api"] {
        given.advances(app);
    }
    // The plan defines the one and removes the other at once.
    let plan = given.plan("root");
    assert_eq!((plan.declare.len(), plan.remove.len()), (1, 1));
    given.removes("old", true, Origin::Parent(name("root")));
    assert_eq!(why(&given), "waits: Application/new of root is not defined, and may have it");
    let (error, origin) = ("`spec.source` is missing".into(), Origin::Parent(name("root")));
    given.event(AppRefusedV1 { app: "new".into(), error, origin });
    let refused = "waits: Application/new of root cannot be defined (`spec.source` is missing), \
                   and may have it";
    assert_eq!(why(&given), refused);
    pushes(&mut given, 3, &[cascading("api", auto())]);
    assert_eq!(given.writes("old"), [format!("prune {A}")]);
}

#[test]
fn an_object_that_moves_to_what_is_no_name_waits_as_well() {
    let mut given = before();
    given.renders("old", objects(&[A, B]));
    given.syncs("old");
    given.push(2);
    let children = [cascading("old", auto()), cascading("api", auto()), cascading("newY", auto())];
    given.renders("root", root(&children, 2));
    given.advances("api");
    given.renders("old", objects(&[B]));
    given.syncs("root");
    assert_eq!(said(&given.plan("old"), A).why, undefined("root"));
    // Another commit of `old` alone is about something else.
    given.push(3);
    for app in ["root", "api"] {
        given.advances(app);
    }
    given.renders("old", vec![object(B, 3)]);
    assert!(given.writes("old").contains(&format!("prune {A}")));
}

// --- holds, and what comes back

#[test]
fn what_a_hold_drops_does_not_wait_for_what_came_with_what_it_holds() {
    let mut given = before();
    let all = [cascading("old", auto()), cascading("api", auto()), of_branch("new", "release")];
    given.push(2);
    given.renders("root", root(&all, 2));
    while given.follows("root") {}
    has_no_branch(&mut given, "new");
    given.renders("old", vec![object(A, 2)]);
    given.advances("api");
    given.syncs("old");
    let then = given.world.clone();
    given.push(3);
    given.renders("old", vec![object(A, 2), object(B, 3)]);
    for app in ["root", "api"] {
        given.advances(app);
    }
    given.syncs("old");
    given.rolls_back("old", &then);
    // What was asked for with it is over, and the policy does it.
    given.after_ms(3_600_001);
    given.world.apps.get_mut(&name("old")).unwrap().request = None;
    assert_eq!(given.writes("old"), [format!("prune {B}")]);
}

#[test]
fn what_dropped_a_child_is_forgotten_when_its_parent_has_it_again() {
    let mut given = before();
    let dropped = |given: &Given| given.world.apps[&name("old")].dropped.clone();
    given.push(2);
    given.renders("root", root(&[cascading("api", auto())], 2));
    let known = dropped(&given).unwrap();
    assert_eq!((known.seq, known.commit), (given.seq(), commit(2)));
    given.push(3);
    given.renders("root", root(&[cascading("old", auto()), cascading("api", auto())], 3));
    assert_eq!(dropped(&given), None);
}

// --- the check

#[test]
fn a_plan_that_prunes_what_a_new_definition_may_have_breaks_a_rule() {
    let mut given = before();
    let mut free = given.clone();
    free.removes("old", true, Origin::Parent(name("root")));
    let forged = free.plan("old").writes;
    assert_eq!(forged.len(), 1);
    pushes(&mut given, 2, &[of_repo("new"), cascading("api", auto())]);
    has_no_repo(&mut given);
    let mut plan = given.plan("old");
    plan.writes = forged;
    let broken = Violation::PrunesUnsettled(key(A), name("new"));
    assert_eq!(check(&given.world, &plan), [broken]);
    given.requests("old", true, &[]);
    assert_eq!(check(&given.world, &plan), []);
    given.event(FetchRecoveredV1 { repo: OTHER.into() });
}

/// Goal: an object that moves to an application which is not defined yet, because what defines it is
/// held, paused or synced by hand, stays, over further commits too. It goes once that is defined and
/// does not have it.
#[test]
fn an_object_stays_that_may_be_of_an_application_which_waits_to_be_defined() {
    for how in ["held", "paused", "manual"] {
        let mut given = Given::app("web", auto());
        given.limits.app_percent_max = 100;
        given.renders("web", objects(&[A, B]));
        given.syncs("web");
        let policy = if how == "manual" { json!({}) } else { auto() };
        given.declares(&application("root", policy), Origin::Config);
        given.renders("root", Vec::new());
        while given.follows("root") {}
        let then = given.world.clone();
        match how {
            "held" => drop(given.rolls_back("root", &then)),
            "paused" => {
                given.event(PausedV1 { app: name("root"), until: None, reason: String::new() });
            }
            _ => {}
        }
        given.push(2);
        given.renders("web", objects(&[B]));
        given.renders("root", vec![child(&application("new", auto()))]);
        let plan = given.plan("web");
        assert_eq!(writes(&plan), [""; 0], "{how}");
        let why = "waits: Application/new of root is not defined, and may have it";
        assert_eq!(said(&plan, A).why, why, "{how}");
        given.push(3);
        given.renders("web", vec![object(B, 2)]);
        given.advances("root");
        assert_eq!(given.writes("web"), [format!("update {B}")], "{how}");
        // A person may say that it goes.
        let mut said_so = given.clone();
        said_so.requests("web", true, &[]);
        assert!(said_so.writes("web").contains(&format!("prune {A}")), "{how}");
        given.declares(&application("new", auto()), Origin::Parent(name("root")));
        given.renders("new", Vec::new());
        assert!(given.writes("web").contains(&format!("prune {A}")), "{how}");
    }
}
