//! What a ledger must notice when its end is missing: the newest file is gone, or was cut at a record,
//! and nothing that is left is damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::contract::{OnFiles, pause};
use super::event::Event;
use super::memory_disk::MemoryDisk;
use super::memory_store::MemoryStore;
use super::recovery::{SEGMENT_BYTES, all, assert_whole, batch, filled, key, segment_files};
use super::{Archive, Draft, Error, Ledger, Options, Salvage};
use crate::model::{Actor, Seq};

/// A ledger of some files, whose last one is gone; it has a snapshot of its last event.
fn beheaded() -> (OnFiles, Seq) {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..20 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.append_blocking(Draft::new(pause("last"))).unwrap();
    ledger.save_snapshot("world", 1, ledger.head_hash(), b"what was").unwrap();
    let head = ledger.head();
    ledger.shutdown();
    fs::remove_file(segment_files(&files.dir()).pop().unwrap()).unwrap();
    (files, head)
}

fn is_frozen(ledger: &Ledger) -> bool {
    let last = all(ledger).pop().unwrap();
    matches!(last.event, Some(Event::Frozen(_)))
}

/// Goal: a missing newest file is noticed by whoever only reads, by a check, by a salvage and by a
/// start, also without the index, which otherwise knows; it is told and recorded once.
#[test]
fn a_missing_newest_file_shows_by_the_snapshots() {
    let (files, head) = beheaded();
    let archive = Archive::open(&files.dir(), Some(&files.key())).unwrap();
    let told = archive.damage().unwrap().to_string();
    assert!(told.contains(&format!("was made of event {head}")), "{told}");
    let verified = archive.verify();
    assert_eq!(verified.problems.len(), 1, "{:?}", verified.problems);
    let salvage = Salvage::scan(&files.dir()).unwrap();
    assert_eq!(salvage.found.cut.as_ref().map(|cut| cut.place.to_string()), Some(told));
    drop(salvage);

    fs::remove_dir_all(files.dir().join("sled")).unwrap();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.lost && is_frozen(&ledger), "{report:?}");
    let [index, end] = &report.repairs[..] else { panic!("{report:?}") };
    assert!(!index.possibly_acknowledged && end.possibly_acknowledged);
    assert!(std::path::Path::new(&end.kept).is_file(), "{}", end.kept);
    // What is made from now on is kept again.
    ledger.save_snapshot("world", 1, ledger.head_hash(), b"what is").unwrap();
    ledger.shutdown();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.repairs.is_empty() && !report.lost, "{report:?}");
    assert_eq!(ledger.load_snapshot("world", 1, Seq(u64::MAX)).unwrap().2, b"what is");
    assert_whole(&ledger);
    let archive = Archive::open(&files.dir(), None).unwrap();
    assert!(archive.damage().is_none() && archive.verify().is_whole());
}

/// Goal: a salvaged ledger whose end was missing is frozen; a damaged snapshot is no witness.
#[test]
fn a_salvaged_ledger_whose_end_is_missing_is_frozen() {
    let (files, _) = beheaded();
    let into = OnFiles::with_segments(SEGMENT_BYTES);
    fs::copy(files.key(), into.key()).unwrap();
    let salvage = Salvage::scan(&files.dir()).unwrap();
    salvage.write(into.options(), Actor::os_user("ada")).unwrap();
    drop(salvage);
    assert!(is_frozen(&into.open()));

    for entry in fs::read_dir(files.dir().join("snapshots")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[60] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    assert!(!Salvage::scan(&files.dir()).unwrap().found.is_damaged());
    assert!(Archive::open(&files.dir(), None).unwrap().damage().is_none());
}

/// A ledger of which only the index knows that the newest file is missing, and that no start can
/// repair: a file in the middle is damaged. Two tried. With that file and what it was, and the newest.
struct Tried {
    files: OnFiles,
    middle: (PathBuf, Vec<u8>),
    newest: (PathBuf, Vec<u8>),
}

fn tried() -> Tried {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..20 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.append_blocking(Draft::new(pause("last"))).unwrap();
    ledger.shutdown();
    let path = segment_files(&files.dir()).pop().unwrap();
    let newest = (path.clone(), fs::read(&path).unwrap());
    fs::remove_file(path).unwrap();
    let path = segment_files(&files.dir()).remove(1);
    let middle = (path.clone(), fs::read(&path).unwrap());
    let mut damaged = middle.1.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(path, damaged).unwrap();
    for _ in 0..2 {
        let refused = Ledger::open(files.options()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");
    }
    Tried { files, middle, newest }
}

/// Goal: a start that found that events are lost, and ended before it could record that, does not
/// make the next one forget it; whole files that are brought back have lost nothing, and an older
/// copy has.
#[test]
fn a_start_that_ends_before_it_records_what_is_lost_is_remembered() {
    for (brought, lost) in [("the middle", true), ("both", false), ("an older copy", true)] {
        let Tried { files, middle, newest } = tried();
        fs::write(&middle.0, &middle.1).unwrap();
        let older = match brought {
            "both" => newest.1.len(),
            _ => newest.1.len() - 3,
        };
        if brought != "the middle" {
            fs::write(&newest.0, &newest.1[..older]).unwrap();
        }
        let (ledger, report) = Ledger::open(files.options()).unwrap();
        assert_eq!((report.lost, is_frozen(&ledger)), (lost, lost), "{brought}: {report:?}");
        assert_whole(&ledger);
        ledger.shutdown();
        let (_, report) = Ledger::open(files.options()).unwrap();
        assert!(report.repairs.is_empty() && !report.lost, "{brought}: {report:?}");
    }
}

/// Goal: a start without room, which can record nothing, forgets nothing of what it found.
#[test]
fn a_start_without_room_leaves_what_tells_of_lost_events() {
    let (files, _) = beheaded();
    fs::remove_dir_all(files.dir().join("sled")).unwrap();
    let full = Options { free_bytes_reserve: u64::MAX / 2, ..files.options() };
    let (ledger, report) = Ledger::open(full).unwrap();
    assert!(report.lost && !is_frozen(&ledger), "{report:?}");
    ledger.shutdown();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.lost && is_frozen(&ledger), "{report:?}");
}

/// Goal: a file that grew and was never written, as some file systems leave one after power loss,
/// ends in zeros: nothing is lost with them, however many.
#[test]
fn zeros_behind_the_last_record_lose_nothing() {
    let (disk, events) = filled(3);
    let name = super::disk::Disk::names(&disk).unwrap().pop().unwrap();
    for zeros in (1..40).chain([500, 512, 4096]) {
        let left: MemoryDisk = disk.fork();
        left.edit(&name, |bytes| bytes.resize(bytes.len() + zeros, 0));
        let store = Arc::new(MemoryStore::default());
        let (ledger, report) = Ledger::on_memory(left, &key(), SEGMENT_BYTES, store).unwrap();
        assert!(!report.lost, "{zeros}");
        assert_eq!(report.repairs.len(), 1, "{zeros}");
        assert_eq!(all(&ledger)[..events.len()], events, "{zeros}");
    }
}

/// Goal: an end that no start calls a loss is none for a salvage either, however short.
#[test]
fn an_end_that_was_only_begun_is_no_damage_to_be_salvaged() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..3 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.shutdown();
    let newest = segment_files(&files.dir()).pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    for more in 1..20 {
        let mut bytes = whole.clone();
        bytes.resize(whole.len() + more, 0);
        fs::write(&newest, bytes).unwrap();
        let salvage = Salvage::scan(&files.dir()).unwrap();
        assert!(!salvage.found.is_damaged(), "{more}: {:?}", salvage.found);
    }
}
