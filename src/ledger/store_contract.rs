//! What every store must do: one suite, run on sled and in memory.

use uuid::Uuid;

use super::memory_store::MemoryStore;
use super::sled_store::SledStore;
use super::store::{BlobPlace, Changes, EventEntry, Position, Store, SubjectKey, Watermark};
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

const CACHE_BYTES: u64 = 1024 * 1024;

fn on_both(check: impl Fn(&dyn Store)) {
    check(&MemoryStore::default());
    let dir = tempfile::tempdir().unwrap();
    check(&SledStore::open(&dir.path().join("sled"), CACHE_BYTES, Uuid::nil()).unwrap());
}

fn subject(n: u64) -> SubjectKey {
    SubjectKey::app(&format!("app-{n}"))
}

/// Events `from..=to`; event `n` is about app `n % 3`, and clocks stand still for ten events.
fn changes(from: u64, to: u64) -> Changes {
    let events = (from..=to).map(|n| {
        let time_max = Timestamp(i64::try_from(n / 10 * 100).unwrap());
        let entry = EventEntry { offset: n * 1000, time_max, frame: vec![1; 20] };
        (Seq(n), entry, vec![subject(n % 3), SubjectKey::commit("c")])
    });
    let place = |n| BlobPlace {
        at: Position { segment: Seq(1), offset: n * 1000 + 500 },
        step: u8::try_from(n % 17).unwrap(),
    };
    Changes {
        events: events.collect(),
        blobs: (from..=to).map(|n| (BlobAddr([u8::try_from(n).unwrap(); 32]), place(n))).collect(),
        watermark: Watermark {
            seq: Seq(to),
            hash: Digest([7; 32]),
            end: Position { segment: Seq(1), offset: to * 1000 + 999 },
        },
    }
}

#[test]
fn a_new_store_has_nothing() {
    on_both(|store| {
        assert_eq!(store.watermark().unwrap(), Watermark::default());
        assert_eq!(store.event(Seq(1)).unwrap(), None);
        assert_eq!(store.blob(BlobAddr([1; 32])).unwrap(), None);
        assert!(store.find(subject(1), Seq::ZERO, 10).unwrap().is_empty());
        assert!(store.find_before(subject(1), Seq(u64::MAX), 10).unwrap().is_empty());
        assert_eq!(store.at_time(Timestamp(5)).unwrap(), Seq::ZERO);
    });
}

#[test]
fn what_was_applied_is_found_and_applying_it_again_changes_nothing() {
    on_both(|store| {
        for (from, to) in [(1, 20), (21, 50), (51, 60), (40, 60)] {
            store.apply(&changes(from, to)).unwrap();
            // A store on disk keeps in another form what was synced.
            if to != 60 {
                store.sync().unwrap();
            }
        }
        assert_eq!(store.watermark().unwrap(), changes(40, 60).watermark);
        for (seq, entry, _) in changes(1, 60).events {
            let found = store.event(seq).unwrap().unwrap();
            assert_eq!((found.offset, found.time_max), (entry.offset, entry.time_max));
        }
        for (addr, place) in changes(1, 60).blobs {
            assert_eq!(store.blob(addr).unwrap(), Some(place));
        }
        let thirds: Vec<Seq> = (1..=60).filter(|n| n % 3 == 1).map(Seq).collect();
        assert_eq!(store.find(subject(1), Seq::ZERO, 100).unwrap(), thirds);
        assert_eq!(store.find(subject(1), Seq(7), 2).unwrap(), [Seq(10), Seq(13)]);
        assert_eq!(store.find(SubjectKey::commit("c"), Seq(59), 9).unwrap(), [Seq(60)]);
        assert!(store.find(SubjectKey::app("c"), Seq::ZERO, 9).unwrap().is_empty());
        let backwards: Vec<Seq> = thirds.iter().rev().copied().collect();
        let before = |seq, limit| store.find_before(subject(1), Seq(seq), limit).unwrap();
        for last in 0..=62 {
            let expected: Vec<Seq> = backwards.iter().filter(|seq| seq.0 < last).copied().collect();
            assert_eq!(before(last, 100), expected, "before {last}");
            assert_eq!(before(last, 2), expected[..expected.len().min(2)], "two before {last}");
        }
        assert_eq!(before(u64::MAX, 1), [Seq(58)]);
        assert!(store.find_before(SubjectKey::app("c"), Seq(60), 9).unwrap().is_empty());
        assert_eq!(store.event(Seq(61)).unwrap(), None);
        store.sync().unwrap();
    });
}

#[test]
fn an_instant_is_found_where_clocks_stood_still() {
    on_both(|store| {
        store.apply(&changes(1, 60)).unwrap();
        let last_at = |time| store.at_time(Timestamp(time)).unwrap().0;
        assert_eq!((last_at(-1), last_at(0), last_at(99)), (0, 9, 9));
        assert_eq!((last_at(100), last_at(599), last_at(600)), (19, 59, 60));
    });
}

#[test]
fn a_sled_store_is_the_same_after_it_was_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sled");
    let store = SledStore::open(&path, CACHE_BYTES, Uuid::nil()).unwrap();
    store.apply(&changes(1, 60)).unwrap();
    store.sync().unwrap();
    store.close();
    assert!(store.watermark().is_err(), "a closed store answers nothing");
    let store = SledStore::open(&path, CACHE_BYTES, Uuid::nil()).unwrap();
    assert_eq!(store.watermark().unwrap(), changes(1, 60).watermark);
    assert_eq!(store.head().unwrap(), changes(1, 60).watermark);
    store.close();
    assert!(SledStore::open(&path, CACHE_BYTES, Uuid::max()).is_err(), "another ledger's");
}

#[test]
fn sled_has_the_head_once_it_is_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sled");
    for (handed, to) in [(false, 20), (true, 60)] {
        let store = SledStore::open(&path, CACHE_BYTES, Uuid::nil()).unwrap();
        store.apply(&changes(1, to)).unwrap();
        assert_eq!(store.watermark().unwrap().seq, Seq(to), "readers have it at once");
        if handed {
            store.hand_over().unwrap();
        }
        store.close();
        let store = SledStore::open(&path, CACHE_BYTES, Uuid::nil()).unwrap();
        assert_eq!(store.head().unwrap().seq, Seq(if handed { to } else { 0 }));
        store.close();
    }
}
