//! Which commit brought a value: merged branches, commits that are put back, several sources.

use serde_json::Value;

use super::super::FromGit;
use super::ledger::{IMAGE, Told, WEB, deployment};
use crate::ledger::event::*;
use crate::model::{Seq, Timestamp};
use crate::query::fixture::commit;

const FILE: &str = "web/d.yaml";

impl Told {
    pub(super) fn commits(
        &mut self,
        digit: char,
        parents: impl IntoIterator<Item = char>,
        changed: &[&str],
    ) {
        let who = |name: &str| Signature {
            name: name.into(),
            email: format!("{name}@example.org"),
            time: Timestamp::from_seconds(1_700_000_000),
        };
        self.story.event(CommitRecordedV1 {
            repo: "/srv/infra.git".into(),
            commit: commit(digit),
            tree: commit(digit),
            parents: parents.into_iter().map(commit).collect(),
            author: who("ada"),
            committer: who("linus"),
            message: format!("change {digit}\n\nmore"),
            changed: changed.iter().map(|path| (*path).to_owned()).collect(),
            changed_total: changed.len() as u64,
            signature: None,
        });
    }
}

/// A render of commits, each of a source of its own.
fn renders(told: &mut Told, commits: &[char], manifest: &Value) -> Seq {
    let seq = told.renders(commits[0], 1, manifest, "web/d.yaml:1");
    let recorded = told.story.ledger.get(seq).unwrap().unwrap();
    let Some(Event::RenderSucceeded(mut body)) = recorded.event.clone() else { panic!() };
    let revision = |(index, digit): (usize, &char)| RevisionRef {
        repo: format!("/srv/{index}.git"),
        commit: commit(*digit),
        ..body.revision.clone()
    };
    body.revisions = commits.iter().enumerate().map(revision).collect();
    told.story.event(body)
}

/// Where the image comes from that was rendered from `after` and not from `before`.
fn image(told: &mut Told, before: &[char], after: &[char]) -> FromGit {
    let (one, two) = (deployment(2, "app:v1"), deployment(2, "app:v2"));
    let render = renders(told, before, &one);
    told.applies(Verb::Create, render, 10, &one);
    let render = renders(told, after, &two);
    told.applies(Verb::Update, render, 11, &two);
    told.field(IMAGE).set.git.unwrap()
}

/// `0` to `a` to the merge `c`, which brings `b` from before `a`.
fn merged() -> Told {
    let mut told = Told::new(WEB);
    told.commits('0', None, &[FILE]);
    told.commits('a', Some('0'), &[FILE]);
    told.commits('b', Some('0'), &[FILE]);
    told.commits('c', ['a', 'b'], &["README.md"]);
    told
}

#[test]
fn a_merge_brings_what_the_render_before_had_not_in_its_history() {
    let git = image(&mut merged(), &['a'], &['c']);
    assert_eq!(git.commit, commit('b').as_str());
    assert!(git.note.starts_with("line unknown"), "{}", git.note);
    // The branch was merged once more than it was rendered.
    let mut told = merged();
    told.commits('d', ['c', 'b'], &["README.md"]);
    let git = image(&mut told, &['c'], &['d']);
    assert_eq!(git.commit, commit('d').as_str());
    // Where the branch began is not in the ledger.
    let mut told = Told::new(WEB);
    told.commits('b', Some('0'), &[FILE]);
    told.commits('c', ['a', 'b'], &["README.md"]);
    let git = image(&mut told, &['a'], &['c']);
    assert_eq!(git.commit, commit('c').as_str());
    assert!(git.note.starts_with("the history before it is not in the ledger"), "{}", git.note);
}

#[test]
fn a_commit_that_is_put_back_is_not_the_one_that_brought_the_value() {
    for before in ['a', 'c'] {
        let git = image(&mut merged(), &[before], &['0']);
        assert_eq!(git.commit, "");
        assert!(git.note.starts_with("which commit is not known: one that had"), "{}", git.note);
    }
}

#[test]
fn of_several_sources_the_one_that_moved_is_named_and_else_none() {
    let git = image(&mut merged(), &['b', '0'], &['b', 'a']);
    assert_eq!((git.commit.as_str(), git.repo.as_str()), (commit('a').as_str(), "/srv/1.git"));
    for after in [&['a', 'b'][..], &['a'], &['a', '0', '0']] {
        let git = image(&mut merged(), &['0', '0'], after);
        assert_eq!(git.commit, "", "{after:?}");
        assert!(git.note.starts_with("which commit is not known: several"), "{}", git.note);
    }
    let mut told = merged();
    let wanted = deployment(2, "app:v1");
    let render = renders(&mut told, &['a', 'b'], &wanted);
    told.applies(Verb::Create, render, 10, &wanted);
    let git = told.field(IMAGE).set.git.unwrap();
    assert_eq!(git.commit, "");
    assert!(git.note.starts_with("as old as the first render, or older"), "{}", git.note);
}
