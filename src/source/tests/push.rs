//! Commits that put paths back, and pushing them.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::ledger::event::Signature;
use crate::model::Timestamp;
use crate::source::{Back, Followed, Made, NewCommit, Pushed};

/// Two commits of `web` and `other` on `main`, mirrored.
fn two() -> (Fixture, Mirror, [CommitId; 2]) {
    let fixture = Fixture::new();
    fixture.write("web/a.yaml", "a: 1\n");
    fixture.write("web/deep/b.yaml", "b: 1\n");
    fixture.write("other/x.yaml", "x: 1\n");
    let first = fixture.commit_all("first");
    fixture.write("web/a.yaml", "a: 2\na: 3\n");
    std::fs::remove_file(fixture.work().join("web/deep/b.yaml")).unwrap();
    fixture.write("web/c.yaml", "c: 2\n");
    fixture.write("other/x.yaml", "x: 2\n");
    let second = fixture.commit_all("second");
    fixture.push(["main"]);
    let mirror = fixture.mirror();
    let _ = fetch(&mirror, &Known::new());
    (fixture, mirror, [first, second])
}

fn back(path: &str, then: &CommitId) -> Back {
    Back { path: path.into(), then: then.clone() }
}

fn commit(mirror: &Mirror, made: &Made, parent: &CommitId) -> CommitId {
    let who = |name: &str| Signature {
        name: name.into(),
        email: format!("{name}@example.org"),
        time: Timestamp::from_seconds(1_700_000_000),
    };
    let (tree, parent) = (made.tree.clone(), parent.clone());
    let (author, committer) = (who("alice"), who("greffier"));
    let message = "Revert web\n".to_owned();
    mirror.write_commit(&NewCommit { tree, parent, author, committer, message }).unwrap()
}

fn push(mirror: &Mirror, commit: &CommitId, branch: &str, creates: bool) -> Pushed {
    mirror.push(commit, branch, creates, &AtomicBool::new(false)).unwrap()
}

#[test]
fn a_folder_goes_back_and_everything_else_stays() {
    let (_fixture, mirror, [first, second]) = two();
    let made = mirror.put_back(&second, &[back("./web/", &first)]).unwrap();
    assert_eq!(made.paths[0].path, "web");
    assert_eq!(made.paths[0].now.as_ref(), Some(&mirror.tree(&first, "web").unwrap()));
    let files: Vec<_> = made.files.iter().map(|f| (f.how, &*f.path, f.lines.unwrap())).collect();
    let expected = [
        ('M', "web/a.yaml", (1, 2)),
        ('D', "web/c.yaml", (0, 1)),
        ('A', "web/deep/b.yaml", (1, 0)),
    ];
    assert_eq!(files, expected);
    let made = commit(&mirror, &made, &second);
    assert_eq!(mirror.tree(&made, "web").unwrap(), mirror.tree(&first, "web").unwrap());
    assert_eq!(mirror.tree(&made, "other").unwrap(), mirror.tree(&second, "other").unwrap());
}

#[test]
fn what_was_not_there_goes_and_an_emptied_folder_with_it() {
    let (_fixture, mirror, [first, second]) = two();
    let all = [back("web/deep", &second), back("web/a.yaml", &second), back("web/c.yaml", &first)];
    let made = mirror.put_back(&first, &all).unwrap();
    assert_eq!(made.paths[0].now, None);
    let made = commit(&mirror, &made, &first);
    assert_eq!(mirror.standing_at(&made, "web/deep").unwrap(), None);
    let a = |commit: &CommitId| mirror.standing_at(commit, "web/a.yaml").unwrap();
    assert_eq!(a(&made), a(&second));
    let same = mirror.put_back(&second, &[back("web", &second)]).unwrap();
    assert_eq!((&same.tree, same.files_total), (&same.from, 0));
    let top = mirror.put_back(&second, &[back(".", &first)]).unwrap();
    assert_eq!(top.tree, mirror.tree(&first, ".").unwrap());
}

#[test]
fn nothing_is_written_through_a_link_or_outside() {
    let (fixture, mirror, [first, _]) = two();
    std::os::unix::fs::symlink("web", fixture.work().join("link")).unwrap();
    let third = fixture.commit_all("a link");
    fixture.push(["main"]);
    let _ = fetch(&mirror, &Known::new());
    let refused = |path: &str| mirror.put_back(&third, &[back(path, &first)]).unwrap_err();
    assert!(matches!(refused("../web"), Error::PathEscape { .. }));
    let through = mirror.put_back(&third, &[back("link/a.yaml", &third)]).unwrap_err();
    assert!(matches!(through, Error::ThroughALink { .. }), "{through}");
}

#[test]
fn a_branch_is_moved_forwards_or_made_and_never_forced() {
    let (fixture, mirror, [first, second]) = two();
    let made = mirror.put_back(&second, &[back("web", &first)]).unwrap();
    let made = commit(&mirror, &made, &second);
    assert_eq!(push(&mirror, &made, "refs/heads/main", false), Pushed::Done);
    let at = |name: &str| git(&fixture.bare(), ["rev-parse", name]);
    assert_eq!(at("main"), made.to_string());
    assert_eq!(git(&fixture.bare(), ["log", "-1", "--format=%an %cn", "main"]), "alice greffier");
    assert_eq!(push(&mirror, &made, "refs/heads/main", false), Pushed::Done, "it is there");
    // A sibling would take it away.
    let other = mirror.put_back(&second, &[back("other", &first)]).unwrap();
    let other = commit(&mirror, &other, &second);
    let lost = push(&mirror, &other, "refs/heads/main", false);
    assert!(matches!(lost, Pushed::Overtaken(_)), "{lost:?}");
    assert_eq!(push(&mirror, &other, "refs/heads/new", true), Pushed::Done);
    // A descendant of what is there could be a fast-forward: a new branch is none.
    git(&fixture.bare(), ["branch", "old", second.as_str()]);
    let there = push(&mirror, &other, "refs/heads/old", true);
    assert!(matches!(there, Pushed::Overtaken(_)), "{there:?}");
    assert_eq!(at("main"), made.to_string());
    assert_eq!(at("old"), second.to_string());
}

#[test]
fn a_refusal_has_the_words_of_the_other_side_and_an_absent_one_is_unknown() {
    let (fixture, mirror, [first, second]) = two();
    let made = mirror.put_back(&second, &[back("web", &first)]).unwrap();
    let made = commit(&mirror, &made, &second);
    let hook = fixture.bare().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nprintf '\\033[1mno\\033[0m\\nreally\\n' >&2\nexit 1\n")
        .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = push(&mirror, &made, "refs/heads/main", false);
    assert_eq!(refused, Pushed::Refused("pre-receive hook declined: no; really".into()));
    std::fs::rename(fixture.bare(), fixture.root.path().join("away")).unwrap();
    let gone = push(&mirror, &made, "refs/heads/main", false);
    assert!(matches!(&gone, Pushed::NotSent(said) if said.contains("fatal")), "{gone:?}");
}

#[test]
fn what_a_revision_names_is_told_apart() {
    let (fixture, mirror, [first, _]) = two();
    fixture.git(["tag", "v1"]);
    fixture.push(["v1"]);
    let _ = fetch(&mirror, &Known::new());
    let named = |revision: &str| mirror.followed(revision).unwrap();
    let main = Followed::Branch("refs/heads/main".into());
    assert_eq!(
        (named("main"), named("HEAD"), named("refs/heads/main")),
        (main.clone(), main.clone(), main)
    );
    assert_eq!(named("v1"), Followed::Tag("refs/tags/v1".into()));
    assert_eq!((named(first.as_str()), named("nothing")), (Followed::Commit, Followed::Commit));
}
