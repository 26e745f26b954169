//! Sources against repositories made by the real `git`.

mod fetch;
mod follow;
mod push;
mod read;
mod signed;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use super::{Error, Fetched, Mirror, Options};
use crate::ledger::event::{CommitRecordedV1, Event};
use crate::model::CommitId;

/// A bare repository, a clone to work in, and a place for mirrors.
struct Fixture {
    root: TempDir,
}

impl Fixture {
    /// A bare repository without any commit.
    fn new() -> Self {
        let fixture = Self { root: tempfile::tempdir().unwrap() };
        fixture.make_bare();
        git(fixture.root.path(), ["clone", "-q", "bare.git", "work"]);
        fixture
    }

    /// One with a commit on `main`.
    fn with_commit() -> (Self, CommitId) {
        let fixture = Self::new();
        let commit = fixture.commit("a.yaml", "a: 1\n", "first");
        fixture.push(["main"]);
        (fixture, commit)
    }

    fn make_bare(&self) {
        git(self.root.path(), ["init", "-q", "--bare", "-b", "main", "bare.git"]);
    }

    fn bare(&self) -> PathBuf {
        self.root.path().join("bare.git")
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    fn options(&self) -> Options {
        Options::new(self.root.path().join("mirrors"))
    }

    fn mirror(&self) -> Mirror {
        Mirror::open(&self.options(), &self.url()).unwrap()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.work().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    fn commit(&self, path: &str, content: &str, message: &str) -> CommitId {
        self.write(path, content);
        self.commit_all(message)
    }

    fn commit_all(&self, message: &str) -> CommitId {
        git(&self.work(), ["add", "-A"]);
        git(&self.work(), ["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    fn head(&self) -> CommitId {
        git(&self.work(), ["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn git<const N: usize>(&self, arguments: [&str; N]) -> String {
        git(&self.work(), arguments)
    }

    fn push<const N: usize>(&self, arguments: [&str; N]) {
        let all = ["push", "-q", "origin"].into_iter().chain(arguments);
        git(&self.work(), all);
    }
}

/// Runs git with nothing of the host's configuration, and returns what it printed.
fn git<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs([("GIT_AUTHOR_NAME", "Alice Ä"), ("GIT_AUTHOR_EMAIL", "alice@example.org")])
        .envs([("GIT_COMMITTER_NAME", "Bob"), ("GIT_COMMITTER_EMAIL", "bob@example.org")])
        .env("GIT_AUTHOR_DATE", "1700000000 +0100")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

type Known = BTreeMap<String, CommitId>;

fn fetch(mirror: &Mirror, known: &Known) -> Fetched {
    mirror.fetch(known, &Known::new(), &AtomicBool::new(false)).unwrap()
}

fn fetch_error(mirror: &Mirror, known: &Known) -> Error {
    mirror.fetch(known, &Known::new(), &AtomicBool::new(false)).unwrap_err()
}

/// The events as one word or line each, which is what the tests compare.
fn outline(fetched: &Fetched) -> Vec<String> {
    let short = |id: &Option<CommitId>| {
        id.as_ref().map_or_else(|| "none".to_owned(), |id| id.short().to_owned())
    };
    let line = |event: &Event| match event {
        Event::CommitRecorded(commit) => format!("commit {}", commit.message.trim()),
        Event::HistoryImported(import) => {
            format!("imported {} {} {}", import.name, import.commits, import.begins_at.len())
        }
        Event::HistoryRewritten(rewrite) => {
            format!("rewritten {} {} {}", rewrite.name, rewrite.dropped.len(), rewrite.same_tree)
        }
        Event::RefMoved(moved) => {
            format!("moved {} {} {}", moved.name, short(&moved.old), short(&moved.new))
        }
        other => panic!("unexpected event {other:?}"),
    };
    fetched.events.iter().map(line).collect()
}

fn commits(fetched: &Fetched) -> Vec<&CommitRecordedV1> {
    let commit = |event: &'_ Event| matches!(event, Event::CommitRecorded(_));
    fetched
        .events
        .iter()
        .filter(|event| commit(event))
        .map(|event| match event {
            Event::CommitRecorded(commit) => commit,
            other => panic!("unexpected event {other:?}"),
        })
        .collect()
}
