//! What a difference between two instants says of commits is what blame says.

use super::super::super::between;
use super::ledger::{IMAGE, REPLICAS, Told, WEB, deployment, own_fields};
use crate::ledger::event::Verb;
use crate::model::Seq;
use crate::query::fixture::commit;

/// The commit and the cause of each field that differs.
fn told_of(told: &Told, from: Seq, to: Seq) -> Vec<(String, String, String)> {
    let found = between::object((&told.story.ledger, &[]), &told.key, (from, to)).unwrap();
    let groups = found.into_iter().flat_map(|found| found.groups);
    let of = |group: between::Group| {
        let (commit, cause) = (group.commit, group.cause);
        group.fields.into_iter().map(move |field| (field.path, commit.clone(), cause.clone()))
    };
    groups.flat_map(of).collect()
}

/// Goal: what was put back is told with the commit that its value comes from, and not with the one
/// that was in force; what was applied with the one of several that brought it.
#[test]
fn a_difference_names_the_commits_that_the_values_come_from() {
    let mut told = Told::new(WEB);
    told.commits('a', None, &["web/d.yaml"]);
    told.commits('b', Some('a'), &["web/d.yaml"]);
    told.commits('c', Some('b'), &["README.md"]);
    let (one, two) = (deployment(2, "app:v1"), deployment(2, "app:v2"));
    let render = told.renders('a', 1, &one, "web/d.yaml:1");
    let first = told.applies(Verb::Create, render, 10, &one);
    let render = told.renders('c', 1, &two, "web/d.yaml:1");
    let second = told.applies(Verb::Update, render, 11, &two);
    let applied = told_of(&told, first, second);
    assert_eq!((applied.len(), applied[0].0.as_str()), (1, IMAGE), "{applied:?}");
    assert_eq!(applied[0].1, commit('b').as_str());
    assert!(applied[0].2.starts_with("commit bbbbbbbbbb applied by greffier"), "{applied:?}");

    let by_hand = [("kubectl-edit", "Update", 5, own_fields())];
    let edit = told.watches(12, &deployment(7, "evil:v1"), &by_hand);
    let heal = told.applies(Verb::Heal, render, 13, &two);
    let healed = told_of(&told, edit, heal);
    let commits: Vec<_> = healed.iter().map(|(path, commit, _)| (&**path, &**commit)).collect();
    let (a, b) = (commit('a'), commit('b'));
    assert_eq!(commits, [(REPLICAS, a.as_str()), (IMAGE, b.as_str())]);
    assert!(healed[0].2.starts_with("commit aaaaaaaaaa put back by greffier"), "{healed:?}");
    for (path, named, _) in &healed {
        assert_eq!(&told.field(path).set.git.unwrap().commit, named, "as blame says");
    }
}
