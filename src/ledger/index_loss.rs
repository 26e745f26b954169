//! What a ledger must survive of its index: gone, damaged, foreign, ahead, failing or lying while in
//! use. The answers must be right each time, and nothing of the ledger itself may be lost.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::contract::OnFiles;
use super::event::Event;
use super::memory_disk::MemoryDisk;
use super::memory_store::MemoryStore;
use super::recovery::{
    SEGMENT_BYTES, all, assert_whole, batch, filled, key, segment_files, with_index,
};
use super::samples::object;
use super::store::{self, Store};
use super::{Ledger, Recorded};
use crate::model::{BlobAddr, Seq};

/// The reopened ledger has everything, and says that its index was rebuilt.
fn assert_rebuilt(files: &OnFiles, events: &[Arc<Recorded>], what: &str) {
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert_eq!(report.repairs.len(), 1, "{what}");
    let now = all(&ledger);
    assert_eq!(now[..events.len()], *events, "{what}");
    assert!(matches!(now[events.len()].event, Some(Event::LedgerRepaired(_))), "{what}");
    let expected: Vec<Seq> = events
        .iter()
        .filter(|r| matches!(r.event, Some(Event::ObjectObserved(_))))
        .map(|r| r.seq())
        .collect();
    assert_eq!(ledger.by_object(&object(), Seq::ZERO, 1000), expected, "{what}");
    assert_whole(&ledger);
    ledger.shutdown();
}

#[test]
fn a_deleted_index_is_rebuilt() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let events = with_index(&files);
    fs::remove_dir_all(files.dir().join("sled")).unwrap();
    assert_rebuilt(&files, &events, "deleted");
    // Rebuilt once, not for ever.
    assert!(Ledger::open(files.options()).unwrap().1.repairs.is_empty());
}

#[test]
fn an_index_that_is_no_database_is_set_aside_and_rebuilt() {
    let files = OnFiles::new();
    let events = with_index(&files);
    fs::remove_dir_all(files.dir().join("sled")).unwrap();
    fs::write(files.dir().join("sled"), b"not a directory").unwrap();
    assert_rebuilt(&files, &events, "a file instead of a directory");
    let aside = fs::read_dir(files.dir()).unwrap().map(|e| e.unwrap().file_name());
    let aside = aside.filter(|name| name.to_string_lossy().starts_with("sled.damaged-"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn an_index_of_another_ledger_is_set_aside_and_rebuilt() {
    let (files, others) = (OnFiles::new(), OnFiles::new());
    let events = with_index(&files);
    with_index(&others);
    fs::remove_dir_all(files.dir().join("sled")).unwrap();
    fs::rename(others.dir().join("sled"), files.dir().join("sled")).unwrap();
    assert_rebuilt(&files, &events, "another ledger's");
}

/// Copies a directory of files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn whatever_happens_to_the_index_files_nothing_is_lost_and_answers_stay_right() {
    // sled may or may not notice damage; the ledger's answers must be right either way.
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let events = with_index(&files);
    let pristine = tempfile::tempdir().unwrap();
    copy(&files.dir(), pristine.path());
    let database = files.dir().join("sled/db");
    let size = fs::metadata(&database).unwrap().len() as usize;
    let used = fs::read(&database).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    let expected: Vec<Seq> = events
        .iter()
        .filter(|r| matches!(r.event, Some(Event::ObjectObserved(_))))
        .map(|r| r.seq())
        .collect();
    for case in 0..24_usize {
        fs::remove_dir_all(files.dir()).unwrap();
        copy(pristine.path(), &files.dir());
        let mut bytes = fs::read(&database).unwrap();
        if case % 3 == 0 {
            bytes.truncate(size * case / 24);
        } else {
            bytes[used * case / 24] ^= 1 << (case % 8);
        }
        fs::write(&database, bytes).unwrap();
        let ledger = files.open();
        assert_eq!(all(&ledger)[..events.len()], events, "case {case}");
        for event in &events {
            assert_eq!(ledger.get(event.seq()).unwrap().as_ref(), Some(event), "case {case}");
        }
        assert_eq!(ledger.by_object(&object(), Seq::ZERO, 1000), expected, "case {case}");
        ledger.append_blocking(batch(77)).unwrap();
        ledger.shutdown();
    }
}

/// A store that works until it is told not to.
#[derive(Default)]
struct Unreliable {
    store: MemoryStore,
    mode: std::sync::atomic::AtomicU8,
    /// Hears of what is handed over.
    heard: Mutex<Option<mpsc::Sender<()>>>,
}

const FAILS: u8 = 1;
const FORGETS: u8 = 2;
const MISLEADS: u8 = 3;

impl Unreliable {
    fn set(&self, mode: u8) {
        self.mode.store(mode, std::sync::atomic::Ordering::SeqCst);
    }

    fn mode(&self) -> u8 {
        self.mode.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), store::Error> {
        let failed = store::Error::Engine { operation: "test", source: std::io::Error::other("x") };
        if self.mode() == FAILS { Err(failed) } else { Ok(()) }
    }
}

impl Store for Unreliable {
    fn apply(&self, changes: &store::Changes) -> Result<(), store::Error> {
        self.check()?;
        self.store.apply(changes)
    }

    fn watermark(&self) -> Result<store::Watermark, store::Error> {
        self.check()?;
        self.store.watermark()
    }

    fn event(&self, seq: Seq) -> Result<Option<store::EventEntry>, store::Error> {
        self.check()?;
        let entry = self.store.event(seq)?.filter(|_| self.mode() != FORGETS);
        let misled = |entry: store::EventEntry| store::EventEntry { offset: 83, ..entry };
        Ok(if self.mode() == MISLEADS { entry.map(misled) } else { entry })
    }

    fn blob(&self, addr: BlobAddr) -> Result<Option<store::BlobPlace>, store::Error> {
        self.check()?;
        let place = self.store.blob(addr)?.filter(|_| self.mode() != FORGETS);
        let misled = |place: store::BlobPlace| store::BlobPlace {
            at: store::Position { offset: 83, ..place.at },
            ..place
        };
        Ok(if self.mode() == MISLEADS { place.map(misled) } else { place })
    }

    fn find(
        &self,
        key: store::SubjectKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, store::Error> {
        self.check()?;
        self.store.find(key, after, limit)
    }

    fn find_before(
        &self,
        key: store::SubjectKey,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, store::Error> {
        self.check()?;
        self.store.find_before(key, before, limit)
    }

    fn hand_over(&self) -> Result<(), store::Error> {
        if let Some(heard) = &*self.heard.lock().unwrap() {
            let _ = heard.send(());
        }
        self.check()
    }

    fn sync(&self) -> Result<(), store::Error> {
        self.check()
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}

#[test]
fn what_was_applied_is_handed_over_without_another_group() {
    let (disk, events) = filled(10);
    let unreliable = Arc::new(Unreliable::default());
    let opened = Ledger::on_memory(disk, &key(), SEGMENT_BYTES, unreliable.clone());
    let ledger = opened.unwrap().0;
    let (heard, hears) = mpsc::channel();
    *unreliable.heard.lock().unwrap() = Some(heard);
    ledger.append_blocking(batch(1)).unwrap();
    assert_eq!(hears.recv_timeout(Duration::from_secs(60)), Ok(()));
    // What fails then is noticed as elsewhere.
    unreliable.set(FAILS);
    assert_eq!(all(&ledger)[..events.len()], events);
    assert!(ledger.info().index_replaced);
    ledger.shutdown();
}

#[test]
fn an_index_that_fails_or_lies_while_the_ledger_runs_is_replaced() {
    for mode in [FAILS, FORGETS, MISLEADS] {
        let (disk, events) = filled(10);
        let unreliable = Arc::new(Unreliable::default());
        let opened = Ledger::on_memory(disk, &key(), SEGMENT_BYTES, unreliable.clone());
        let ledger = opened.unwrap().0;
        unreliable.set(mode);
        for event in &events {
            assert_eq!(ledger.get(event.seq()).unwrap().as_ref(), Some(event), "mode {mode}");
        }
        assert_eq!(all(&ledger), events);
        assert!(ledger.info().index_replaced, "mode {mode}");
        assert_whole(&ledger);
        let time = events[9].envelope.recorded;
        let until = events.iter().rev().find(|event| event.envelope.recorded <= time).unwrap();
        assert_eq!(ledger.at_time(time), until.seq());
        let before = ledger.by_object(&object(), Seq::ZERO, 1000);
        let new = ledger.append_blocking(batch(50)).unwrap();
        let after = ledger.by_object(&object(), Seq::ZERO, 1000);
        let key = store::SubjectKey::object(&object());
        let backwards = ledger.find_before(key, Seq(u64::MAX), 1000);
        assert!(backwards.iter().rev().eq(&after), "{backwards:?}");
        assert_eq!(after, [before, vec![new[0]]].concat());
    }
}

#[test]
fn an_index_that_fails_on_a_write_still_shows_that_write() {
    let unreliable = Arc::new(Unreliable::default());
    let opened =
        Ledger::on_memory(MemoryDisk::default(), &key(), SEGMENT_BYTES, unreliable.clone());
    let ledger = opened.unwrap().0;
    unreliable.set(FAILS);
    let seqs = ledger.append_blocking(batch(1)).unwrap();
    assert_eq!(ledger.by_object(&object(), Seq::ZERO, 1000), [seqs[0]]);
    assert_whole(&ledger);
}

#[test]
fn an_index_that_failed_is_set_aside_at_the_next_start() {
    let files = OnFiles::new();
    let events = with_index(&files);
    fs::write(files.dir().join("sled.suspect"), "").unwrap();
    assert_rebuilt(&files, &events, "marked");
    assert!(!files.dir().join("sled.suspect").exists());
}

#[test]
fn an_index_that_is_ahead_of_the_segments_is_salvaged() {
    let files = OnFiles::new();
    let events = with_index(&files);
    // The segment loses its last events, as a disk that lied about fdatasync would lose them.
    let segment = segment_files(&files.dir()).pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.repairs.iter().all(|repair| repair.possibly_acknowledged));
    assert_eq!(report.repairs.len(), 2, "a torn tail and an index ahead of it");
    let kept = all(&ledger).len() - 3;
    assert_eq!(all(&ledger)[..kept], events[..kept]);
    // What people decided may be among what is lost.
    let last = all(&ledger).pop().unwrap();
    assert!(report.lost && matches!(last.event, Some(Event::Frozen(_))), "{last:?}");
    let salvage = fs::read(&report.repairs[1].kept).unwrap();
    let mut rest = salvage.as_slice();
    for lost in &events[kept..] {
        let (length, tail) = rest.split_first_chunk::<2>().unwrap();
        let (frame, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        assert_eq!(super::frame::leaf_hash(frame), lost.envelope.hash);
        rest = tail;
    }
    assert!(rest.is_empty());
    assert_whole(&ledger);
}

#[test]
fn segments_that_are_gone_while_the_index_is_there_are_reported_as_loss() {
    let files = OnFiles::new();
    with_index(&files);
    fs::remove_dir_all(files.dir().join("segments")).unwrap();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.created && report.repairs[0].possibly_acknowledged);
    assert!(report.lost);
    assert_eq!(ledger.head(), Seq(3));
}
