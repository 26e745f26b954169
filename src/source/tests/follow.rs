//! Hints and the service, awaited with a deadline that only a failure reaches.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{Handle, Service, SourceInput, Watcher};
use super::*;

/// Long enough for a loaded machine; a test that passes never waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

/// A running service on one repository, whose polls never come.
struct Running {
    inputs: mpsc::Receiver<SourceInput>,
    handle: Handle,
    cancel: CancellationToken,
    service: JoinHandle<()>,
}

impl Running {
    async fn on(fixture: &Fixture, known: Known) -> Self {
        let options = Options { poll_interval: Duration::from_secs(86_400), ..fixture.options() };
        let running = Self::with(options);
        running.handle.track(fixture.url(), known, Known::new()).await;
        running
    }

    fn with(options: Options) -> Self {
        let (sender, inputs) = mpsc::channel(1);
        let service = Service::new(options, sender);
        let handle = service.handle();
        let cancel = CancellationToken::new();
        let service = tokio::spawn(service.run(cancel.clone()));
        Self { inputs, handle, cancel, service }
    }

    async fn next(&mut self) -> SourceInput {
        soon(self.inputs.recv()).await.unwrap()
    }

    /// The next fetch, which is recorded.
    async fn fetched(&mut self) -> Fetched {
        match self.next().await {
            SourceInput::Fetched { fetched, ack, .. } => {
                ack.recorded();
                fetched
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn end(self) {
        self.cancel.cancel();
        soon(self.service).await.unwrap();
    }
}

#[tokio::test]
async fn a_push_gives_a_hint_wherever_the_refs_are() {
    let (fixture, _) = Fixture::with_commit();
    let watcher = Watcher::new().unwrap();
    let hints = watcher.watch(&fixture.url()).unwrap();
    fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.push(["main"]);
    soon(hints.changed()).await;
    // A branch in a folder that did not exist when the watch was set.
    fixture.push(["main:refs/heads/team/topic"]);
    soon(hints.changed()).await;
    git(&fixture.bare(), ["pack-refs", "--all"]);
    soon(hints.changed()).await;
    // A repository with a work tree, and a worktree of it.
    let work = watcher.watch(&fixture.work().display().to_string()).unwrap();
    fixture.git(["worktree", "add", "-q", "../tree"]);
    let tree = watcher.watch(&fixture.root.path().join("tree").display().to_string()).unwrap();
    fixture.commit("a.yaml", "a: 3\n", "third");
    soon(work.changed()).await;
    soon(tree.changed()).await;
}

#[tokio::test]
async fn hints_survive_that_the_repository_is_deleted_and_made_again() {
    let (fixture, _) = Fixture::with_commit();
    let watcher = Watcher::new().unwrap();
    let hints = watcher.watch(&fixture.url()).unwrap();
    std::fs::remove_dir_all(fixture.bare()).unwrap();
    soon(hints.changed()).await;
    hints.arm();
    fixture.make_bare();
    soon(hints.changed()).await;
    // Hints about what was made may still be on their way: arm until a push is noticed by itself.
    hints.arm();
    fixture.push(["main"]);
    soon(hints.changed()).await;
}

#[tokio::test]
async fn two_repositories_in_one_folder_do_not_disturb_each_other() {
    let (one, _) = Fixture::with_commit();
    let watcher = Watcher::new().unwrap();
    let hints = watcher.watch(&one.url()).unwrap();
    let work = watcher.watch(&one.work().display().to_string()).unwrap();
    drop(work);
    one.commit("a.yaml", "a: 2\n", "second");
    one.push(["main"]);
    soon(hints.changed()).await;
}

#[tokio::test]
async fn the_service_fetches_on_a_push_without_being_asked() {
    let (fixture, _) = Fixture::with_commit();
    let mut running = Running::on(&fixture, Known::new()).await;
    assert_eq!(outline(&running.fetched().await)[0], "commit first");
    let second = fixture.commit("a.yaml", "a: 2\n", "second");
    fixture.push(["main"]);
    let fetched = running.fetched().await;
    assert_eq!((outline(&fetched)[0].as_str(), outline(&fetched).len()), ("commit second", 3));
    assert_eq!(fetched.refs["HEAD"], second);
    running.end().await;
}

#[tokio::test]
async fn asked_it_answers_although_nothing_changed() {
    let (fixture, _) = Fixture::with_commit();
    let known = fetch(&fixture.mirror(), &Known::new()).refs;
    let mut running = Running::on(&fixture, known).await;
    assert_eq!(outline(&running.fetched().await), [""; 0]);
    running.handle.refresh(fixture.url()).await;
    assert_eq!(outline(&running.fetched().await), [""; 0]);
    running.handle.refresh_all().await;
    assert_eq!(outline(&running.fetched().await), [""; 0]);
    running.end().await;
}

#[tokio::test]
async fn what_was_not_recorded_is_found_again() {
    let (fixture, _) = Fixture::with_commit();
    let mut running = Running::on(&fixture, Known::new()).await;
    let first = match running.next().await {
        SourceInput::Fetched { fetched, ack, .. } => {
            drop(ack);
            fetched
        }
        other => panic!("unexpected {other:?}"),
    };
    running.handle.refresh(fixture.url()).await;
    assert_eq!(running.fetched().await, first);
    running.handle.refresh(fixture.url()).await;
    assert_eq!(outline(&running.fetched().await), [""; 0]);
    running.end().await;
}

#[tokio::test]
async fn a_failure_is_reported_once_and_its_end_too() {
    let (fixture, _) = Fixture::with_commit();
    let mut running = Running::on(&fixture, Known::new()).await;
    running.fetched().await;
    let away = fixture.root.path().join("away");
    std::fs::rename(fixture.bare(), &away).unwrap();
    match running.next().await {
        SourceInput::Failed { error, .. } => {
            assert!(matches!(error, Error::NotARepository { .. }), "{error:?}");
        }
        other => panic!("unexpected {other:?}"),
    }
    // Asked again it fails again, for the same cause: nothing is said until it is back.
    running.handle.refresh(fixture.url()).await;
    // What was pushed meanwhile is told with it, in one: Git has not answered before.
    let pushed = fixture.commit("b.yaml", "b: 1\n", "meanwhile");
    fixture.git(["push", "-q", away.to_str().unwrap(), "HEAD:main"]);
    std::fs::rename(&away, fixture.bare()).unwrap();
    running.handle.refresh(fixture.url()).await;
    match running.next().await {
        SourceInput::Fetched { url, fetched, recovered, ack } => {
            assert_eq!((url, recovered), (fixture.url().to_owned(), true));
            assert_eq!(fetched.refs.get("refs/heads/main"), Some(&pushed));
            assert!(!fetched.events.is_empty());
            ack.recorded();
        }
        other => panic!("unexpected {other:?}"),
    }
    running.end().await;
}

#[tokio::test]
async fn a_repository_that_is_deleted_and_made_again_is_followed_again() {
    let (fixture, first) = Fixture::with_commit();
    let mut running = Running::on(&fixture, Known::new()).await;
    running.fetched().await;
    std::fs::remove_dir_all(fixture.bare()).unwrap();
    assert!(matches!(running.next().await, SourceInput::Failed { .. }));
    fixture.make_bare();
    fixture.git(["checkout", "-q", "--orphan", "fresh"]);
    let fresh = fixture.commit("b.yaml", "b: 1\n", "fresh");
    fixture.push(["fresh:main"]);
    // Half-made states may be seen on the way; in the end the new history is there.
    let mut lines = Vec::new();
    let refs = loop {
        if let SourceInput::Fetched { fetched, ack, .. } = running.next().await {
            ack.recorded();
            lines.extend(outline(&fetched));
            if fetched.refs.get("HEAD") == Some(&fresh) {
                break fetched.refs;
            }
        }
    };
    assert_eq!(refs["refs/heads/main"], fresh);
    assert!(lines.iter().any(|line| line == "commit fresh"), "{lines:?}");
    assert!(fixture.mirror().tree(&first, ".").is_ok(), "the old commit stays readable");
    // And pushes are noticed as before.
    let more = fixture.commit("b.yaml", "b: 2\n", "more");
    fixture.push(["fresh:main"]);
    while running.fetched().await.refs["HEAD"] != more {}
    running.end().await;
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_reported_and_harms_nobody_else() {
    let (fixture, head) = Fixture::with_commit();
    let mut running = Running::with(fixture.options());
    running.handle.track("https://example.org/x.git", Known::new(), Known::new()).await;
    match running.next().await {
        SourceInput::Failed { url, error } => {
            assert_eq!(url, "https://example.org/x.git");
            assert!(matches!(error, Error::UnsupportedTransport { .. }), "{error:?}");
        }
        other => panic!("unexpected {other:?}"),
    }
    running.handle.track(fixture.url(), Known::new(), Known::new()).await;
    assert_eq!(running.fetched().await.refs["HEAD"], head);
    running.handle.untrack(fixture.url()).await;
    running.end().await;
}

#[tokio::test]
async fn polling_alone_finds_a_push_too() {
    let (fixture, _) = Fixture::with_commit();
    let options = Options { poll_interval: Duration::from_millis(1), ..fixture.options() };
    let (sender, mut inputs) = mpsc::channel(1);
    let service = Service::new(options, sender).without_hints();
    let handle = service.handle();
    let cancel = CancellationToken::new();
    let service = tokio::spawn(service.run(cancel.clone()));
    handle.track(fixture.url(), Known::new(), Known::new()).await;
    let mut found = Vec::new();
    for _ in 0..2 {
        match soon(inputs.recv()).await.unwrap() {
            SourceInput::Fetched { fetched, ack, .. } => {
                ack.recorded();
                found.push(outline(&fetched)[0].clone());
            }
            other => panic!("unexpected {other:?}"),
        }
        if found.len() == 1 {
            fixture.commit("a.yaml", "a: 2\n", "second");
            fixture.push(["main"]);
        }
    }
    assert_eq!(found, ["commit first", "commit second"]);
    cancel.cancel();
    soon(service).await.unwrap();
}
