//! What waits because nobody knows whether another application has it.

use super::*;
use crate::replay::testing::cascading;

/// `root` defined `old` with A; commit 2 defines `new` in its place.
fn renamed(new: &str, repo: &str) -> Given {
    let mut given = Given::app("root", auto());
    given.limits.app_percent_max = 100;
    given.renders("root", vec![child(&cascading("old", auto()))]);
    while given.follows("root") {}
    given.renders("old", objects(&[A]));
    given.syncs("old");
    given.push(2);
    let mut new = cascading(new, auto());
    new["spec"]["source"]["repoURL"] = json!(repo);
    given.renders("root", vec![child(&new)]);
    given.advances("old");
    given.syncs("root");
    given
}

fn commands(why: &Why) -> Vec<&str> {
    why.can_do.iter().map(|advice| advice.command.as_str()).collect()
}

#[test]
fn what_may_be_of_an_application_that_is_not_rendered_says_which_and_what_to_do() {
    let mut given = renamed("new", "/srv/other.git");
    given.event(FetchFailedV1 { repo: "/srv/other.git".into(), error: "not found".into() });
    let why = asks(&given, "old");
    let text = "application new was never rendered since the commit that dropped it, and may have";
    assert!(why.objects.iter().any(|object| object.why.contains(text)), "{why:#?}");
    let told = commands(&why);
    for command in ["greffier why new", "greffier sync old --prune"] {
        assert!(told.contains(&command), "{command}: {told:?}");
    }
}

#[test]
fn what_may_be_of_an_application_that_cannot_be_defined_says_whose_and_what_to_do() {
    let given = renamed("newY", REPO);
    let why = asks(&given, "root");
    let text = "waits: Application/newY of root cannot be defined (`newY` is no application name)";
    assert!(why.objects.iter().any(|object| object.why.contains(text)), "{why:#?}");
    let told = commands(&why);
    for command in ["greffier why root", "greffier sync root --prune"] {
        assert!(told.contains(&command), "{command}: {told:?}");
    }
    assert!(
        why.can_do.iter().any(|advice| advice.what.contains("let Application.argoproj.io/old"))
    );
}
