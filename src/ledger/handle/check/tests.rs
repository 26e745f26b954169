//! Method: on the disk in memory the ledger and the check see the same bytes, so each bit can be
//! flipped under a ledger that is open, found, and flipped back.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::ledger::contract::OnFiles;
use crate::ledger::disk::Disk;
use crate::ledger::event::Event;
use crate::ledger::memory_disk::MemoryDisk;
use crate::ledger::memory_store::MemoryStore;
use crate::ledger::recovery::{
    SEGMENT_BYTES, all, assert_whole, batch, filled, key, segment_files,
};

/// A disk of some segments and the ledger that is open on it.
fn opened() -> (MemoryDisk, Ledger) {
    let (disk, _) = filled(6);
    let store = Arc::new(MemoryStore::default());
    let ledger = Ledger::on_memory(disk.clone(), &key(), SEGMENT_BYTES, store).unwrap().0;
    (disk, ledger)
}

/// Checks everything; the damaged places that are known then.
fn checked(ledger: &Ledger) -> Vec<String> {
    let mut check = ledger.check();
    while check.step(1_000) {}
    let known = ledger.wholeness().borrow().clone();
    assert_eq!(known.checked.unwrap().0, ledger.head());
    known.places()
}

#[test]
fn a_flipped_bit_anywhere_is_found_while_the_ledger_is_open_and_stops_no_append() {
    let (disk, ledger) = opened();
    assert!(ledger.wholeness().borrow().checked.is_none(), "nothing is read before it is asked");
    assert_eq!(checked(&ledger), [""; 0]);
    let names = disk.names().unwrap();
    assert!(names.len() >= 4);
    for name in &names {
        let bytes = disk.open(name).unwrap().bytes().unwrap();
        for at in 0..usize::try_from(bytes).unwrap() {
            let flip = || disk.edit(name, |bytes| bytes[at] ^= 1 << (at % 8));
            flip();
            let found = checked(&ledger);
            assert!(found.len() == 1 && found[0].contains(name.as_str()), "{name} {at}: {found:?}");
            if at % 500 == 0 {
                ledger.append_blocking(batch(at)).unwrap();
            }
            flip();
            assert_eq!(checked(&ledger), [""; 0], "{name} {at}");
        }
    }
    assert_whole(&ledger);
}

#[test]
fn a_file_that_is_gone_short_or_another_is_found() {
    let (disk, ledger) = opened();
    let names = disk.names().unwrap();
    let whole = disk.fork();
    let bytes = |name: &String| {
        let file = whole.open(name).unwrap();
        let mut bytes = vec![0; usize::try_from(file.bytes().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    let put = |name: &String, content: &[u8]| {
        if disk.open(name).is_err() {
            disk.create(name).unwrap();
        }
        disk.edit(name, |bytes| *bytes = content.to_vec());
    };
    disk.remove(&names[1]).unwrap();
    let found = checked(&ledger);
    assert!(found.len() == 1 && found[0].contains(&names[1]), "{found:?}");
    put(&names[1], &bytes(&names[1]));
    assert_eq!(checked(&ledger), [""; 0]);
    for content in [&bytes(&names[1])[..700], &bytes(&names[2]), b""] {
        put(&names[1], content);
        assert_eq!(checked(&ledger).len(), 1);
    }
    put(&names[1], &bytes(&names[1]));
    // Two at once are two places.
    for name in &names[..2] {
        disk.edit(name, |bytes| bytes[300] ^= 1);
    }
    assert_eq!(checked(&ledger).len(), 2);
}

#[test]
fn damage_is_known_as_soon_as_it_is_met_and_what_a_reader_meets_counts() {
    let (disk, ledger) = opened();
    let names = disk.names().unwrap();
    let known = ledger.wholeness();
    disk.edit(&names[0], |bytes| bytes[300] ^= 1);
    let mut check = ledger.check();
    while known.borrow().damage.is_empty() {
        assert!(check.step(1));
    }
    assert!(known.borrow().checked.is_none(), "the rest is still to be read");
    // Met while the check is elsewhere, in a file that it has read or has not.
    disk.edit(&names[1], |bytes| bytes[300] ^= 1);
    assert_eq!(ledger.range(Seq(1), ledger.head()).filter(Result::is_err).count(), 2);
    assert_eq!(known.borrow().damage.len(), 2);
    disk.edit(&names[1], |bytes| bytes[300] ^= 1);
    while check.step(1_000) {}
    assert_eq!(known.borrow().damage.len(), 2, "it was met after the check began");
    assert_eq!(checked(&ledger).len(), 1);
}

/// Goal: a read of a damaged blob costs that blob, not the index: without one the next start needs
/// every event, which the damage keeps from being read.
#[test]
fn a_damaged_blob_is_not_the_indexs_fault() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..20 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    let events = all(&ledger);
    let named = |recorded: &Arc<crate::ledger::Recorded>| match &recorded.event {
        Some(Event::ObjectObserved(body)) => Some(body.object),
        _ => None,
    };
    let blobs: Vec<_> = events.iter().filter_map(named).collect();
    ledger.shutdown();

    let sealed = segment_files(&files.dir()).remove(2);
    let whole = fs::read(&sealed).unwrap();
    let mut lost = 0;
    for at in (100..whole.len()).step_by(whole.len() / 8) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&sealed, &bytes).unwrap();
        let ledger = files.open();
        lost += blobs.iter().filter(|addr| ledger.blob(**addr).is_err()).count();
        assert!(!ledger.info().index_replaced, "{at}");
        ledger.append_blocking(batch(at)).unwrap();
        ledger.shutdown();
        assert!(!files.dir().join("sled.suspect").exists(), "{at}");
    }
    assert!(lost > 0);
    fs::write(&sealed, whole).unwrap();
    assert_whole(&files.open());
}
