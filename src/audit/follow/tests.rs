use std::fs;
use std::io::Write as _;

use super::*;
use crate::audit::Kinds;
use crate::ledger::Ledger;
use crate::ledger::event::{Event, ServedKind};
use crate::model::{GroupKind, Seq};
use crate::replay::World;

struct Scene {
    dir: tempfile::TempDir,
    ledger: Ledger,
    intake: Intake,
    follower: Follower,
}

impl Scene {
    fn new() -> Self {
        let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::in_memory());
        let intake = Intake::new(ledger.clone(), Kinds::default, AuditState::default());
        let follower = Follower::new(&dir.path().join("audit.log"), &AuditState::default());
        Self { dir, ledger, intake, follower }
    }

    /// Writes a record that says nothing worth recording.
    fn write(&self, second: u32) {
        self.write_of("get", second);
    }

    fn write_of(&self, verb: &str, second: u32) {
        let line = format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"u"}},"responseStatus":{{"code":200}},"objectRef":{{"resource":"configmaps","namespace":"n","name":"c","apiVersion":"v1"}},"requestReceivedTimestamp":"2026-11-26T02:33:{second:02}Z","stageTimestamp":"2026-11-26T02:33:{second:02}Z"}}"#
        );
        let path = self.dir.path().join("audit.log");
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    async fn step(&mut self) {
        assert!(!self.follower.step(&self.intake).await.unwrap());
    }

    /// The events since `after`, in short.
    fn told(&self, after: Seq) -> Vec<String> {
        let events = self.ledger.range(after.next(), self.ledger.head());
        let short = events.map(|recorded| match recorded.unwrap().event.clone().unwrap() {
            Event::AuditRead(read) => format!("read {} at {}", read.records, read.offset),
            Event::AuditTroubled(body) => format!("{:?}", body.trouble),
            other => other.name().to_owned(),
        });
        short.collect()
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_once_it_is_no_rotation() {
    let mut scene = Scene::new();
    let before = scene.ledger.head();
    scene.step().await;
    assert!(scene.told(before).is_empty(), "it may only be rotated");
    scene.step().await;
    scene.step().await;
    assert_eq!(scene.told(before), ["Unreadable"]);
    scene.write(1);
    scene.step().await;
    let told = scene.told(before);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((told[1].as_str(), told[2].starts_with("read 1 at ")), ("Over", true));
}

/// Goal: when the API server falls silent after a request, it is recorded once that the end of its
/// log was seen, and when.
#[tokio::test]
async fn the_end_of_a_log_that_falls_silent_is_recorded_once() {
    let mut scene = Scene::new();
    let kind = GroupKind::new("", "ConfigMap");
    let served = ServedKind::plain(kind.clone(), "configmaps");
    let mut world = World::default();
    world.cluster.kinds.insert(kind, served);
    let kinds = move || Kinds::of(&world);
    scene.intake = Intake::new(scene.ledger.clone(), kinds, AuditState::default());
    scene.write_of("patch", 1);
    scene.step().await;
    let before = scene.ledger.head();
    scene.step().await;
    assert!(scene.told(before).is_empty(), "it was not silent for long");
    scene.follower.untold = Instant::now().checked_sub(QUIET);
    let looked = Timestamp::now();
    scene.step().await;
    scene.step().await;
    let told: Vec<_> = scene.ledger.range(before.next(), scene.ledger.head()).collect();
    assert_eq!(told.len(), 1);
    let Some(Event::AuditRead(read)) = told[0].as_ref().unwrap().event.clone() else { panic!() };
    assert!(read.end.is_some_and(|end| end >= looked), "{read:?}");
}

/// What says nothing costs an event a minute, also when nothing more comes.
#[tokio::test]
async fn how_far_was_read_is_recorded_once_in_a_while() {
    let mut scene = Scene::new();
    scene.write(1);
    let before = scene.ledger.head();
    scene.step().await;
    assert_eq!(scene.told(before).len(), 1, "what is read for the first time");
    let before = scene.ledger.head();
    scene.write(2);
    scene.step().await;
    scene.write(3);
    scene.step().await;
    assert!(scene.told(before).is_empty());
    scene.follower.since = Instant::now().checked_sub(READ_EVERY).unwrap();
    scene.step().await;
    let length = fs::metadata(scene.dir.path().join("audit.log")).unwrap().len();
    assert_eq!(scene.told(before), [format!("read 2 at {length}")]);
    scene.follower.since = Instant::now().checked_sub(READ_EVERY).unwrap();
    scene.step().await;
    assert_eq!(scene.told(before).len(), 1, "nothing came since");
}

/// Goal: a reader that panicked is replaced by one that reads everything, and once.
#[tokio::test]
async fn another_reader_goes_on_where_the_last_one_was() {
    let mut scene = Scene::new();
    let before = scene.ledger.head();
    scene.write(1);
    scene.follower.tail = Some(scene.follower.again());
    scene.step().await;
    scene.write(2);
    scene.follower.tail = Some(scene.follower.again());
    scene.follower.since = Instant::now().checked_sub(READ_EVERY).unwrap();
    scene.step().await;
    let length = fs::metadata(scene.dir.path().join("audit.log")).unwrap().len();
    let ends = [length / 2, length].map(|end| format!("read 1 at {end}"));
    assert_eq!(scene.told(before), ends);
    assert!(scene.follower.newest.is_some());
}

#[tokio::test]
async fn an_orderly_stop_records_how_far_was_read() {
    let mut scene = Scene::new();
    scene.write(1);
    scene.step().await;
    let before = scene.ledger.head();
    scene.follower.finish(&scene.intake).await.unwrap();
    assert!(scene.told(before).is_empty());
    scene.write(2);
    scene.step().await;
    scene.follower.finish(&scene.intake).await.unwrap();
    assert_eq!(scene.told(before).len(), 1);
}
