use std::sync::Arc;

use super::super::contract::{OnFiles, manifest, pause};
use super::super::memory_disk::MemoryDisk;
use super::super::memory_store::MemoryStore;
use super::super::recovery::{SEGMENT_BYTES, all, batch, filled, key, segment_files};
use super::*;
use crate::ledger::event::{Event, ObjectObservedV1};
use crate::ledger::record::{Record, parse};
use crate::ledger::samples::observed;
use crate::ledger::{Batch, Blob, OpenReport, Recorded};
use crate::model::BlobAddr;

fn open(disk: &MemoryDisk) -> (Ledger, OpenReport) {
    let store = Arc::new(MemoryStore::default());
    Ledger::on_memory(disk.clone(), &key(), SEGMENT_BYTES, store).unwrap()
}

/// Salvages `disk`; the new disk, and what was found.
fn salvaged(disk: &MemoryDisk) -> (MemoryDisk, Findings) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (parts, found) = scan::scan(&disk).unwrap();
    let to = MemoryDisk::default();
    copy(&parts, &disk, &to).unwrap();
    (to, found)
}

fn alice() -> Actor {
    Actor::os_user("alice")
}

fn length(disk: &MemoryDisk, name: &str) -> u64 {
    disk.open(name).unwrap().bytes().unwrap()
}

/// What a byte of a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Header,
    Event,
    /// With the offset of its record.
    Blob(BlobAddr, u64),
    Footer,
}

fn what_is_at(disk: &MemoryDisk, name: &str, at: u64) -> Of {
    let mut bytes = vec![0; usize::try_from(length(disk, name)).unwrap()];
    disk.open(name).unwrap().read_at(&mut bytes, 0).unwrap();
    let mut offset = HEADER_BYTES;
    if (at as usize) < offset {
        return Of::Header;
    }
    loop {
        let (record, total) = parse(&bytes[offset..]).unwrap();
        if (at as usize) < offset + total {
            return match record {
                Record::Event(_) => Of::Event,
                Record::Blob(blob) => Of::Blob(blob.addr, offset as u64),
                Record::Footer(_) => Of::Footer,
                Record::Void => panic!("nothing was salvaged yet"),
            };
        }
        offset += total;
    }
}

/// How many blobs that `events` name are lost; the others are as they were.
fn lost_blobs(ledger: &Ledger, before: &Ledger, events: &[Arc<Recorded>]) -> usize {
    let mut lost = 0;
    for recorded in events {
        let Some(Event::ObjectObserved(body)) = &recorded.event else { continue };
        match ledger.blob(body.object) {
            Ok(bytes) => assert_eq!(bytes, before.blob(body.object).unwrap()),
            Err(Error::NoBlob(_)) => lost += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    lost
}

#[test]
fn a_flipped_bit_costs_no_more_than_what_it_hit() {
    let (disk, events) = filled(3);
    let (before, _) = open(&disk);
    let actors: Vec<BlobAddr> = events.iter().map(|event| event.envelope.actor).collect();
    let names = disk.names().unwrap();
    assert!(names.len() >= 3);
    let (mut whole, mut cuts, mut voids) = (0, 0, 0);
    for name in &names {
        for at in 0..length(&disk, name) {
            let flipped = disk.fork();
            flipped.edit(name, |bytes| bytes[at as usize] ^= 1 << (at % 8));
            let (to, found) = salvaged(&flipped);
            if found.last == Seq::ZERO {
                // Not even the first event is left.
                assert!(found.cut.is_some() && name == &names[0], "{name} {at}");
                continue;
            }
            let (ledger, report) = open(&to);
            assert_eq!(report.repairs, [], "{name} {at}");
            let kept = all(&ledger);
            assert_eq!(kept[..], events[..kept.len()], "{name} {at}");
            assert_eq!(found.last, ledger.head(), "{name} {at}");
            let verified = ledger.verify();
            assert!(verified.is_whole(), "{name} {at}: {:?}", verified.problems);
            let of = what_is_at(&disk, name, at);
            let at_the_end = name == names.last().unwrap() && !found.is_damaged();
            match of {
                Of::Event => assert!(found.cut.is_some() || at_the_end, "{name} {at}"),
                Of::Blob(addr, _) if actors.contains(&addr) => {
                    assert!(found.cut.is_some() || at_the_end, "{name} {at}");
                }
                _ if at_the_end => assert!(kept.len() + 2 >= events.len()),
                _ => assert!(found.cut.is_none(), "{name} {at} {of:?}: {found:?}"),
            }
            match &found.cut {
                Some(cut) => assert_eq!(
                    kept.len() + usize::try_from(cut.behind).unwrap() + 1,
                    events.len(),
                    "{name} {at}: {cut:?}"
                ),
                None if at_the_end => {}
                None => assert_eq!(kept.len(), events.len()),
            }
            let lost = lost_blobs(&ledger, &before, &kept);
            let hit = matches!(of, Of::Blob(..)) && found.cut.is_none() && !at_the_end;
            assert_eq!(lost, usize::from(hit), "{name} {at} {of:?}");
            assert_eq!(found.void_bytes > 0, hit, "{name} {at} {of:?}");
            ledger.append_blocking(batch(50)).unwrap();
            (whole, cuts, voids) = (
                whole + usize::from(found.cut.is_none() && !hit),
                cuts + usize::from(found.cut.is_some()),
                voids + usize::from(hit),
            );
        }
    }
    assert!(whole > 100 && cuts > 100 && voids > 100, "{whole} {cuts} {voids}");
}

/// The offsets of the blobs of a file that no actor is in, and what they are.
fn blobs_of(disk: &MemoryDisk, name: &str, events: &[Arc<Recorded>]) -> Vec<(BlobAddr, u64)> {
    let mut found = Vec::new();
    for at in 0..length(disk, name) {
        if let Of::Blob(addr, offset) = what_is_at(disk, name, at)
            && !events.iter().any(|event| event.envelope.actor == addr)
            && found.last() != Some(&(addr, offset))
        {
            found.push((addr, offset));
        }
    }
    found
}

#[test]
fn what_was_salvaged_can_be_salvaged_again() {
    let (disk, events) = filled(4);
    let names = disk.names().unwrap();
    let first = blobs_of(&disk, &names[0], &events);
    let flip = |disk: &MemoryDisk, name: &str, at: u64| {
        disk.edit(name, |bytes| bytes[at as usize + PREFIX_BYTES + 40] ^= 1);
    };
    flip(&disk, &names[0], first[0].1);
    let (once, found) = salvaged(&disk);
    assert_eq!((found.cut.is_none(), found.places.len()), (true, 2), "the one on top of it, too");
    assert!(found.places[1].to_string().contains("stored against one that is lost"));
    let again = blobs_of(&disk, &names[1], &events);
    flip(&once, &names[1], again.last().unwrap().1);
    let (twice, found) = salvaged(&once);
    assert_eq!((found.cut.is_none(), found.places.len()), (true, 1), "{found:?}");
    let (ledger, _) = open(&twice);
    assert_eq!(all(&ledger), events);
    assert!(ledger.verify().is_whole());
    // Content that was lost can be recorded again.
    ledger.append_blocking(batch(0)).unwrap();
    let [Some(again), ..] = all(&ledger)
        .iter()
        .rev()
        .take(2)
        .map(|event| match &event.event {
            Some(Event::ObjectObserved(body)) => Some(body.object),
            _ => None,
        })
        .rev()
        .collect::<Vec<_>>()[..]
    else {
        panic!("a batch begins with what was observed")
    };
    assert!(ledger.blob(again).is_ok());
}

#[test]
fn damage_right_behind_a_void_is_found_as_well() {
    let disk = MemoryDisk::default();
    let (ledger, _) = open(&disk);
    let blobs = [1, 2, 3].map(|n| Blob::plain(manifest(n), None));
    let seen = |blob: &Blob| ObjectObservedV1 { object: blob.addr, ..observed() };
    let drafts = blobs.iter().map(|blob| Draft::new(seen(blob))).collect();
    ledger.append_blocking(Batch { blobs: blobs.to_vec(), drafts }).unwrap();
    let events = all(&ledger);
    ledger.shutdown();
    let name = disk.names().unwrap().remove(0);
    let at = blobs_of(&disk, &name, &events);
    assert_eq!(at.len(), 3);
    let damaged = |disk: &MemoryDisk, n: usize| {
        disk.edit(&name, |bytes| bytes[at[n].1 as usize + PREFIX_BYTES + 40] ^= 1);
        salvaged(disk).0
    };
    let twice = damaged(&damaged(&disk, 0), 1);
    let (ledger, report) = open(&twice);
    assert_eq!((report.repairs, all(&ledger)), (Vec::new(), events));
    assert!(ledger.verify().is_whole());
    let lost = blobs.iter().filter(|blob| ledger.blob(blob.addr).is_err());
    assert_eq!(lost.count(), 2);
}

#[test]
fn a_void_of_any_length_keeps_the_place_of_what_is_behind_it() {
    for bytes in [PREFIX_BYTES, 100, BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 3 * BODY_BYTES_MAX] {
        let made = voids(bytes as u64);
        assert_eq!(made.len(), bytes);
        let mut rest = made.as_slice();
        while !rest.is_empty() {
            let (record, total) = parse(rest).unwrap();
            assert_eq!(record, Record::Void);
            rest = &rest[total..];
        }
    }
}

#[test]
fn where_a_segment_is_missing_the_ledger_ends() {
    let (disk, events) = filled(4);
    let names = disk.names().unwrap();
    disk.remove(&names[1]).unwrap();
    let (to, found) = salvaged(&disk);
    let cut = found.cut.unwrap();
    assert!(cut.place.to_string().contains("does not follow"), "{}", cut.place);
    let (ledger, _) = open(&to);
    let kept = all(&ledger);
    assert_eq!(kept[..], events[..kept.len()]);
    assert_eq!(cut.newest, events.last().unwrap().seq());
    assert!(cut.behind > 0 && kept.len() + (cut.behind as usize) < events.len());
}

#[test]
fn what_another_greffier_wrote_is_refused_not_taken_for_damage() {
    let (disk, _) = filled(2);
    let names = disk.names().unwrap();
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let disk = disk.fork();
        disk.edit(&names[0], |bytes| edit(bytes));
        let disk: Arc<dyn Disk> = Arc::new(disk);
        scan::scan(&disk).map(|_| ()).unwrap_err().to_string()
    };
    let format = edited(&|bytes| {
        bytes[9] = 1;
        let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    });
    assert!(format.contains("of a format that this greffier does not know"), "{format}");
    let record = edited(&|bytes| {
        let record = &mut bytes[HEADER_BYTES..];
        let total = crate::ledger::record::record_bytes(record).unwrap().unwrap();
        record[8] = 77;
        let length: [u8; 4] = record[..4].try_into().unwrap();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), &record[8..total]);
        record[4..8].copy_from_slice(&checksum.to_be_bytes());
    });
    assert!(record.contains("the record's type is out of range"), "{record}");
}

#[test]
fn a_copy_that_is_not_whole_is_no_ledger() {
    let (disk, _) = filled(4);
    let source: Arc<dyn Disk> = Arc::new(disk.clone());
    let (parts, _) = scan::scan(&source).unwrap();
    let whole = disk.used();
    for room in (0..whole).step_by(97) {
        let to = MemoryDisk::default();
        to.set_capacity(Some(room), false);
        copy(&parts, &source, &to).unwrap_err();
        to.set_capacity(None, false);
        assert_no_ledger(&to);
    }
    let to = MemoryDisk::default();
    to.fail_syncs();
    copy(&parts, &source, &to).unwrap_err();
    assert_no_ledger(&to);
}

/// Whether the process was killed or the power was lost.
fn assert_no_ledger(disk: &MemoryDisk) {
    for left in [disk.fork(), disk.clone()] {
        let store = Arc::new(MemoryStore::default());
        if let Ok((ledger, report)) = Ledger::on_memory(left, &key(), SEGMENT_BYTES, store) {
            assert!(report.created, "{}", ledger.head());
        }
    }
}

#[test]
fn the_new_ledger_says_what_it_lacks_and_the_old_one_is_as_it_was() {
    let files = OnFiles::new();
    let ledger = files.open();
    for n in 0..10 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.append_blocking(Draft::new(pause("mine")).by(alice())).unwrap();
    let into = files.dir().with_extension("salvaged");
    let options = || Options { dir: into.clone(), ..files.options() };
    let locked = Salvage::scan(&files.dir()).map(|_| ()).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. }), "{locked:?}");
    ledger.shutdown();
    assert!(!Salvage::scan(&files.dir()).unwrap().found.is_damaged());
    let segment = segment_files(&files.dir()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    // An event in front of the pause and of the last batches.
    let damage = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&segment, &bytes).unwrap();
        let salvage = Salvage::scan(&files.dir()).unwrap();
        salvage.found.cut.is_some().then_some((salvage, bytes))
    };
    let (salvage, bytes) = (whole.len() / 2..whole.len()).find_map(damage).unwrap();
    let last = salvage.found.last;
    assert!(last > Seq(1) && last < Seq(20), "{last}");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("something"), "").unwrap();
    let full = salvage.write(options(), alice()).unwrap_err();
    assert!(matches!(full, Error::NotEmpty(_)), "{full:?}");
    fs::remove_file(into.join("something")).unwrap();
    let wrong = files.dir().with_extension("wrong-key");
    fs::write(&wrong, format!("greffier-key-1 {}\n", "ab".repeat(32))).unwrap();
    let refused =
        salvage.write(Options { key: crate::ledger::KeySource::File(wrong), ..options() }, alice());
    assert!(refused.is_err());
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0, "nothing was written");

    // What a kill left on the way is never taken for the new ledger.
    let left = unfinished(&into.join(""));
    assert_eq!((left.parent(), left == into), (into.parent(), false));
    fs::create_dir_all(left.join("segments")).unwrap();
    let full = salvage.write(options(), alice()).unwrap_err();
    assert!(matches!(&full, Error::NotEmpty(dir) if *dir == left), "{full:?}");
    fs::remove_dir_all(&left).unwrap();

    let recorded = salvage.write(options(), alice()).unwrap();
    assert!(!left.exists(), "it has its name once it is whole");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
    let (ledger, report) = Ledger::open(options()).unwrap();
    assert_eq!(report.repairs, []);
    let event = ledger.get(recorded).unwrap().unwrap();
    let Some(Event::LedgerRepaired(body)) = &event.event else { panic!("{event:?}") };
    assert!(body.possibly_acknowledged);
    assert!(body.what.contains(&format!("it ends with event {last}")), "{}", body.what);
    // What people decided behind it is told, and nothing is written until they have looked.
    let decided = &salvage.found.cut.as_ref().unwrap().decisions;
    let pauses = decided.iter().filter(|decision| decision.kind == "operator.pause");
    let mine = pauses.filter(|decision| decision.body["reason"] == "mine");
    assert_eq!(mine.map(|decision| decision.seq).collect::<Vec<_>>(), [Seq(22)], "{decided:?}");
    let freeze = ledger.get(recorded.next()).unwrap().unwrap();
    assert_eq!(freeze.actor, alice());
    let Some(Event::Frozen(body)) = &freeze.event else { panic!("{freeze:?}") };
    assert!(body.until.is_none() && body.reason.contains(&last.to_string()));
    assert!(ledger.verify().is_whole());
}
