//! What a ledger must survive: power loss at any byte, a flipped bit anywhere, a truncated tail, a
//! full disk, a failing disk, a second process. What becomes of the index is in `index_loss`.
//!
//! Method: exhaustive over a small ledger wherever that is possible. On the disk in memory what
//! was written and what was synced are kept apart, so a missing `fdatasync` fails these tests,
//! which killing a process can never show.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::contract::{OnFiles, manifest, pause};
use super::event::Event;
use super::frame::{Codec, Envelope, PayloadSeal, Stored, valid_at};
use super::memory_disk::MemoryDisk;
use super::memory_store::MemoryStore;
use super::record;
use super::samples::{app, object, observed};
use super::seal::KeyBytes;
use super::{Archive, Batch, Blob, Draft, Error, Ledger, OpenReport, Recorded};
use crate::model::{Actor, BlobAddr, Digest, Seq, Timestamp};

pub(super) const SEGMENT_BYTES: u64 = 1500;

pub(super) fn key() -> KeyBytes {
    Zeroizing::new([7; 32])
}

fn open(disk: &MemoryDisk) -> Result<(Ledger, OpenReport), Error> {
    Ledger::on_memory(disk.clone(), &key(), SEGMENT_BYTES, Arc::new(MemoryStore::default()))
}

pub(super) fn all(ledger: &Ledger) -> Vec<Arc<Recorded>> {
    ledger.range(Seq(1), Seq(u64::MAX)).collect::<Result<_, _>>().unwrap()
}

/// A batch with an event, an actor and two blobs, one on top of the other.
pub(super) fn batch(n: usize) -> Batch {
    let base = Blob::plain(manifest(n), None);
    let blob = Blob::plain(manifest(n + 1000), Some(base.addr));
    let mut event = observed();
    event.object = blob.addr;
    let drafts = vec![
        Draft::new(event).by(Actor::os_user(format!("user{}", n % 3))),
        Draft::new(pause(&n.to_string())),
    ];
    Batch { blobs: vec![base, blob], drafts }
}

/// Blobs that events name are readable, and the chain is whole.
pub(super) fn assert_whole(ledger: &Ledger) {
    let verified = ledger.verify();
    assert!(verified.is_whole(), "{:?}", verified.problems);
    for recorded in all(ledger) {
        if let Some(Event::ObjectObserved(body)) = &recorded.event {
            ledger.blob(body.object).unwrap();
        }
    }
}

/// A disk with some segments, and its events.
pub(super) fn filled(batches: usize) -> (MemoryDisk, Vec<Arc<Recorded>>) {
    let disk = MemoryDisk::default();
    let (ledger, _) = open(&disk).unwrap();
    for n in 0..batches {
        ledger.append_blocking(batch(n)).unwrap();
    }
    let events = all(&ledger);
    ledger.shutdown();
    (disk, events)
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    super::disk::Disk::names(disk).unwrap()
}

fn length(disk: &MemoryDisk, name: &str) -> usize {
    let file = super::disk::Disk::open(disk, name).unwrap();
    usize::try_from(file.bytes().unwrap()).unwrap()
}

#[test]
fn power_loss_at_any_byte_of_a_group_loses_nothing_acknowledged() {
    // One group is written and its sync fails: nothing of it is acknowledged, and any part of it
    // may be on the disk.
    let (disk, acknowledged) = filled(2);
    let (ledger, _) = open(&disk).unwrap();
    disk.fail_syncs();
    let failed = ledger.append_blocking(batch(7));
    assert!(matches!(failed, Err(Error::Poisoned { .. })));
    let again = ledger.append_blocking(batch(8));
    assert!(
        matches!(again, Err(Error::Poisoned { .. })),
        "a failed fdatasync is never tried again"
    );
    assert_eq!(all(&ledger), acknowledged, "what is not durable is not shown");
    ledger.shutdown();

    let last = names(&disk).pop().unwrap();
    let unsynced = length(&disk, &last) - length(&disk.after_power_loss(0, None), &last);
    assert!(unsynced > 500);
    for torn in 0..=unsynced {
        let holes = [None, Some(0), Some(torn / 2), torn.checked_sub(1)];
        // Holes cost four times the time and matter at every place alike.
        for hole in holes.into_iter().take(if torn % 7 == 0 { 4 } else { 1 }) {
            let left = disk.after_power_loss(torn, hole);
            let (ledger, report) = open(&left).unwrap();
            let events = all(&ledger);
            assert_eq!(events[..acknowledged.len()], acknowledged, "torn at {torn}, {hole:?}");
            assert!(report.repairs.len() <= 1);
            assert_eq!(left.aside().len(), report.repairs.len());
            assert_eq!(events.len(), ledger.head().0 as usize);
            if torn % 50 == 0 {
                assert_whole(&ledger);
                ledger.append_blocking(batch(9)).unwrap();
                assert_whole(&ledger);
            }
        }
    }
}

#[test]
fn a_tail_cut_at_any_length_keeps_everything_before_the_cut() {
    let (disk, _) = filled(4);
    // The last segment gets two batches, wherever it begins.
    let roomy = Ledger::on_memory(disk.clone(), &key(), u64::MAX, Arc::new(MemoryStore::default()))
        .unwrap()
        .0;
    for n in 4..6 {
        roomy.append_blocking(batch(n)).unwrap();
    }
    let events = all(&roomy);
    roomy.shutdown();
    let last = names(&disk).pop().unwrap();
    let before = super::segment::Segment::first_of(&last).unwrap().0 as usize - 1;
    let mut kept_counts = Vec::new();
    for keep in 0..length(&disk, &last) {
        let cut = disk.fork();
        cut.edit(&last, |bytes| bytes.truncate(keep));
        let (ledger, report) = open(&cut).unwrap();
        // The repair itself is the last event, when there was one.
        let kept = ledger.head().0 as usize - report.repairs.len();
        assert_eq!(all(&ledger)[..kept], events[..kept]);
        assert!(kept >= before, "cut to {keep}");
        if let Some(repair) = report.repairs.first() {
            let last = all(&ledger).pop().unwrap();
            assert_eq!(last.event, Some(Event::LedgerRepaired(repair.clone())));
            assert_eq!(repair.possibly_acknowledged, keep > super::record::HEADER_BYTES);
        }
        kept_counts.push(kept);
    }
    assert!(kept_counts.is_sorted(), "a longer file never keeps less");
    assert_eq!(kept_counts.last().copied().map(|kept| kept + 1), Some(events.len()));
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_place_named() {
    let (disk, events) = filled(3);
    let names = names(&disk);
    assert!(names.len() >= 3);
    for name in &names {
        for at in 0..length(&disk, name) {
            let flipped = disk.fork();
            flipped.edit(name, |bytes| bytes[at] ^= 1 << (at % 8));
            match open(&flipped) {
                Ok((ledger, report)) => {
                    assert_eq!(report.repairs.len(), 1, "{name} {at}: nobody noticed");
                    assert!(Some(name) == names.last());
                    let kept = ledger.head().0 as usize - 1 - usize::from(report.lost);
                    assert_eq!(all(&ledger)[..kept], events[..kept]);
                    let (_, aside) = flipped.aside().pop().unwrap();
                    assert!(length(&disk, name) - aside.len() <= at, "{name} {at}");
                }
                Err(Error::Corrupt { file, .. }) => {
                    // A footer speaks for what follows, so its damage may show in the next file.
                    let follows = names.iter().skip_while(|n| *n != name).take(2);
                    assert!(follows.into_iter().any(|n| file.ends_with(n.as_str())), "{file} {at}");
                }
                Err(other) => panic!("{name} {at}: {other:?}"),
            }
        }
    }
}

/// No crash leaves a last record that is whole but for a bit: what people decided may be lost with
/// it. One that is cut short, or has an empty sector, is what a crash leaves.
#[test]
fn a_last_record_that_changed_leaves_the_ledger_frozen_and_a_torn_one_does_not() {
    let disk = MemoryDisk::default();
    let roomy = |disk: &MemoryDisk| {
        let store = Arc::new(MemoryStore::default());
        Ledger::on_memory(disk.clone(), &key(), u64::MAX, store).unwrap()
    };
    let (ledger, _) = roomy(&disk);
    let name = names(&disk).pop().unwrap();
    let start = length(&disk, &name);
    let why: String = (0..400_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    ledger.append_blocking(Draft::new(pause(&why))).unwrap();
    ledger.shutdown();
    let end = length(&disk, &name);
    let frozen = |edit: &dyn Fn(&mut Vec<u8>)| {
        let left = disk.fork();
        left.edit(&name, |bytes| edit(bytes));
        let (ledger, report) = roomy(&left);
        assert_eq!(report.repairs.len(), 1);
        let last = all(&ledger).pop().unwrap();
        assert_eq!(matches!(last.event, Some(Event::Frozen(_))), report.lost);
        report.lost
    };
    // Behind the length, which tells what is whole.
    for at in start + 4..end {
        assert!(frozen(&|bytes| bytes[at] ^= 4), "{at}");
        assert!(!frozen(&|bytes| bytes.truncate(at)), "{at}");
    }
    let sector = start.next_multiple_of(512);
    for hole in [sector..end, sector..sector + 512, sector + 512..end, start + 4..end] {
        assert!(!frozen(&|bytes| bytes[hole.clone()].fill(0)), "{hole:?}");
    }
}

#[test]
fn damage_in_front_of_acknowledged_events_is_no_torn_tail() {
    // The index knows what was acknowledged; the open segment is damaged in its middle.
    let files = OnFiles::new();
    let ledger = files.open();
    for n in 0..10 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.shutdown();
    let segment = segment_files(&files.dir()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let refused = Ledger::open(files.options()).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::Corrupt { file, offset, .. }
        if *file == segment.display().to_string() && *offset <= at as u64),
        "{refused:?}"
    );
    assert_eq!(fs::read(&segment).unwrap(), damaged, "nothing was cut");
    // Whoever only reads is told where it ends, and that more was recorded.
    let archive = Archive::open(&files.dir(), None).unwrap();
    assert!(archive.head() < Seq(10), "{}", archive.head());
    let damage = archive.damage().unwrap().to_string();
    assert!(damage.contains("behind it is undamaged"), "{damage}");
    assert_eq!(archive.info().damage, Some(damage));
    // An append that was interrupted leaves nothing behind its end.
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    let archive = Archive::open(&files.dir(), None).unwrap();
    assert!(archive.torn_end().is_some() && archive.damage().is_none());
    fs::write(&segment, whole).unwrap();
    assert_whole(&files.open());
}

pub(super) fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("segments")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The last events, oldest first.
fn recent(ledger: &Ledger, count: u64) -> Vec<Arc<Recorded>> {
    let from = Seq(ledger.head().0 + 1 - count);
    ledger.range(from, ledger.head()).collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_archive_reads_the_undamaged_rest_of_a_damaged_ledger() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..20 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    let events = all(&ledger);
    // A reader of the open ledger meets damage: it is named, and what comes is recorded.
    let sealed = segment_files(&files.dir()).remove(2);
    let copy = fs::read(&sealed).unwrap();
    let mut bytes = copy.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(&sealed, &bytes).unwrap();
    let damage = ledger.range(Seq(1), Seq(u64::MAX)).find_map(Result::err).unwrap();
    assert!(
        matches!(&damage, Error::Corrupt { file, .. } if *file == sealed.display().to_string())
    );
    ledger.append_blocking(batch(99)).unwrap();
    let events = events.into_iter().chain(recent(&ledger, 2)).collect::<Vec<_>>();
    assert!(!ledger.verify().is_whole());
    assert!(ledger.info().damage.is_some());
    ledger.shutdown();

    let archive = Archive::open(&files.dir(), Some(&files.key())).unwrap();
    let read: Vec<_> = archive.range(Seq(1), Seq(u64::MAX)).collect();
    let (whole, damaged): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    assert_eq!(damaged.len(), 1);
    assert!(whole.len() >= events.len() - 2);
    let first = whole[0].as_ref().unwrap();
    assert_eq!(*first, events[0]);
    assert_eq!(archive.get(archive.head()).unwrap().as_ref(), events.last());
    // A whole copy of the file fits what was recorded meanwhile.
    fs::write(&sealed, copy).unwrap();
    let ledger = files.open();
    assert_eq!(all(&ledger), events);
    assert_whole(&ledger);
}

/// Goal: a start folds what came after a snapshot although it is not readable any more who that is by:
/// an actor is recorded once, with its first event.
#[test]
fn events_are_folded_without_a_damaged_actor() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    let by_ada = |n: u64| Draft::new(pause(&n.to_string())).by(Actor::os_user("ada"));
    ledger.append_blocking(by_ada(0)).unwrap();
    for n in 0..20 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    ledger.append_blocking(by_ada(1)).unwrap();
    let (events, head) = (all(&ledger), ledger.head());
    ledger.shutdown();
    let first = segment_files(&files.dir()).remove(0);
    let mut bytes = fs::read(&first).unwrap();
    let at = bytes.windows(3).position(|window| window == b"ada").unwrap();
    bytes[at] ^= 1;
    fs::write(&first, &bytes).unwrap();

    let ledger = files.open();
    let last = || ledger.range(head, head);
    assert!(matches!(last().next(), Some(Err(Error::Corrupt { .. }))));
    let folded = last().by_nobody().next().unwrap().unwrap();
    let recorded = events.last().unwrap();
    assert_eq!((&folded.envelope, &folded.event), (&recorded.envelope, &recorded.event));
    assert_ne!(folded.actor, recorded.actor);
}

#[test]
fn an_archive_reads_what_the_ledger_wrote_with_and_without_the_key() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    let ledger = files.open();
    for n in 0..10 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    let secret = ledger.seal().blob_sealed(b"hunter2").unwrap();
    let addr = secret.addr;
    ledger.append_blocking(Batch { blobs: vec![secret], drafts: vec![] }).unwrap();
    let events = all(&ledger);

    // While the ledger is open for writing.
    let archive = Archive::open(&files.dir(), None).unwrap();
    let read: Vec<_> = archive.range(Seq(1), Seq(u64::MAX)).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, events);
    assert!(matches!(archive.blob(addr), Err(Error::Sealed(_))));
    let verified = archive.verify();
    assert!(verified.is_whole() && verified.sealed_unopened == 1);
    assert_eq!(
        archive.by_object(&object(), Seq::ZERO, 99),
        ledger.by_object(&object(), Seq::ZERO, 99)
    );
    assert_eq!(archive.by_app(&app(), Seq(5), 3), ledger.by_app(&app(), Seq(5), 3));
    assert_eq!(
        archive.at_time(events[7].envelope.recorded),
        ledger.at_time(events[7].envelope.recorded)
    );
    assert_eq!(archive.info().head_hash, ledger.info().head_hash);

    let archive = Archive::open(&files.dir(), Some(&files.key())).unwrap();
    assert_eq!(*archive.blob(addr).unwrap(), *b"hunter2");
    assert!(matches!(Archive::open(Path::new("/nonexistent"), None), Err(Error::Missing(_))));
}

#[test]
fn a_full_disk_refuses_appends_keeps_reading_and_recovers_by_itself() {
    for hidden in [false, true] {
        let (disk, mut expected) = filled(2);
        let (ledger, _) = open(&disk).unwrap();
        let (mut refused, mut accepted) = (0, 0);
        for room in (0..2500).step_by(13) {
            disk.set_capacity(Some(disk.used() + room), hidden);
            match ledger.append_blocking(batch(room as usize)) {
                Ok(seqs) => {
                    accepted += 1;
                    expected.extend(seqs.iter().map(|seq| ledger.get(*seq).unwrap().unwrap()));
                }
                Err(Error::Full { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(all(&ledger), expected);
        }
        assert!(refused > 20 && accepted > 20, "{refused} refused, {accepted} accepted");
        disk.set_capacity(None, false);
        ledger.append_blocking(batch(1)).unwrap();
        assert_whole(&ledger);
        ledger.shutdown();
        let (again, report) = open(&disk).unwrap();
        assert!(report.repairs.is_empty(), "{:?}", report.repairs);
        assert_whole(&again);
    }
}

#[test]
fn a_repair_that_has_no_room_is_recorded_as_soon_as_there_is() {
    let (disk, _) = filled(2);
    let last = names(&disk).pop().unwrap();
    let end = length(&disk, &last);
    disk.edit(&last, |bytes| bytes.truncate(end - 3));
    disk.set_capacity(Some(disk.used()), false);
    let (ledger, report) = open(&disk).unwrap();
    assert_eq!(report.repairs.len(), 1);
    let head = ledger.head();
    assert!(matches!(ledger.append_blocking(batch(1)), Err(Error::Full { .. })));
    disk.set_capacity(None, false);
    let seqs = ledger.append_blocking(batch(2)).unwrap();
    assert_eq!(seqs[0], head.next().next(), "the repair comes first");
    let repair = ledger.get(head.next()).unwrap().unwrap();
    assert!(matches!(repair.event, Some(Event::LedgerRepaired(_))));
}

#[test]
fn a_new_ledger_without_room_is_refused_and_leaves_nothing_behind() {
    let disk = MemoryDisk::default();
    disk.set_capacity(Some(100), false);
    assert!(matches!(open(&disk), Err(Error::Full { .. })));
    disk.set_capacity(None, false);
    let (ledger, report) = open(&disk).unwrap();
    assert!(report.created && report.repairs.is_empty());
    assert_eq!(ledger.head(), Seq(1));
}

/// Events in a ledger on files whose index is up to date.
pub(super) fn with_index(files: &OnFiles) -> Vec<Arc<Recorded>> {
    let ledger = files.open();
    for n in 0..30 {
        ledger.append_blocking(batch(n)).unwrap();
    }
    let events = all(&ledger);
    ledger.shutdown();
    events
}

#[test]
fn a_missing_or_foreign_segment_is_named() {
    let files = OnFiles::with_segments(SEGMENT_BYTES);
    with_index(&files);
    let segments = segment_files(&files.dir());
    let hidden = files.dir().join("hidden");
    fs::rename(&segments[1], &hidden).unwrap();
    let refused = Ledger::open(files.options()).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::Corrupt { file, .. } if *file == segments[2].display().to_string())
    );
    fs::rename(&hidden, &segments[1]).unwrap();
    // Files that are no segments are left alone.
    fs::write(files.dir().join("segments/README"), "notes").unwrap();
    assert_whole(&files.open());
}

#[test]
fn a_second_opening_is_refused_with_the_process_that_has_the_ledger() {
    let files = OnFiles::new();
    let ledger = files.open();
    let refused = Ledger::open(files.options()).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::Locked { pid, .. } if *pid == std::process::id().to_string())
    );
    drop(ledger);
    files.open();
}

#[test]
fn snapshots_of_another_chain_are_ignored() {
    let files = OnFiles::new();
    let ledger = files.open();
    ledger.append_blocking(batch(1)).unwrap();
    ledger.save_snapshot("live", 1, ledger.head_hash(), b"right").unwrap();
    let elsewhere = (ledger.head(), crate::model::Digest([1; 32]));
    ledger.append_blocking(batch(2)).unwrap();
    ledger.save_snapshot("desired", 1, elsewhere, b"wrong").unwrap();
    assert_eq!(ledger.load_snapshot("live", 1, Seq(u64::MAX)).unwrap().2, b"right");
    assert!(ledger.load_snapshot("desired", 1, Seq(u64::MAX)).is_none());
    assert!(ledger.load_snapshot("live", 2, Seq(u64::MAX)).is_none());
}

/// A disk whose only segment has these events: kind, body, how it is stored, recorded time.
fn crafted(events: &[(u16, &[u8], bool, i64)]) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let sealer = super::Sealer::new(&key());
    let (ledger, key) = (uuid::Uuid::from_u128(1), sealer.fingerprint());
    let header = record::Header { ledger, first: Seq(1), prev: Digest::default(), key };
    let segment = super::writer::create_segment(&disk, header).unwrap();
    let (mut bytes, mut prev) = (Vec::new(), Digest::default());
    for (seq, (kind, body, dropped, recorded)) in (1..).zip(events) {
        let inline = Stored::Inline { codec: Codec::Raw, len: u32::try_from(body.len()).unwrap() };
        let stored = if *dropped { Stored::Dropped } else { inline };
        let recorded = Timestamp(*recorded);
        let mut envelope = Envelope {
            seq: Seq(seq),
            id: uuid::Uuid::from_u128(u128::from(seq)),
            cluster: uuid::Uuid::nil(),
            correlation: uuid::Uuid::nil(),
            causes: vec![],
            actor: BlobAddr::default(),
            recorded,
            valid: valid_at(recorded),
            prev,
            hash: Digest::default(),
            kind: *kind,
            schema: 1,
            payload: PayloadSeal::of(body, [3; 16]),
            stored,
        };
        let frame = envelope.seal().unwrap();
        prev = envelope.hash;
        record::put_event(&mut bytes, &frame, stored, if *dropped { &[] } else { body });
    }
    segment.file.write_at(&bytes, record::HEADER_BYTES as u64).unwrap();
    segment.file.sync().unwrap();
    disk
}

#[test]
fn unknown_kinds_and_dropped_payloads_stay_in_the_chain() {
    let body = super::codec::encode_event(&pause("x")).unwrap();
    let known = pause("x").code();
    let disk = crafted(&[
        (known, &body, false, 1),
        (0x7777, b"from the future", false, 2),
        (known, &body, true, 3),
    ]);
    let (ledger, _) = open(&disk).unwrap();
    let events = all(&ledger);
    assert_eq!(events[0].event, Some(pause("x")));
    assert_eq!(events[1].event, None);
    assert_eq!(events[1].envelope.kind, 0x7777);
    assert_eq!(events[2].event, None);
    ledger.append_blocking(batch(1)).unwrap();
    assert_whole(&ledger);
}

#[test]
fn a_payload_that_is_not_what_was_hashed_is_refused() {
    // Right checksum, right frame, another body: what somebody does who mends the checksums.
    let body = super::codec::encode_event(&pause("x")).unwrap();
    let other = super::codec::encode_event(&pause("y")).unwrap();
    let disk = crafted(&[(pause("x").code(), &body, false, 1)]);
    let name = names(&disk).remove(0);
    disk.edit(&name, |bytes| {
        let at = bytes.windows(body.len()).position(|window| window == body).unwrap();
        bytes[at..at + other.len()].copy_from_slice(&other);
        let start = record::HEADER_BYTES;
        let body_crc = crc32c::crc32c(&bytes[start + 8..]);
        let crc = crc32c::crc32c_combine(
            crc32c::crc32c(&bytes[start..start + 4]),
            body_crc,
            bytes.len() - start - 8,
        );
        bytes[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
    });
    let (ledger, report) = open(&disk).unwrap();
    assert!(report.repairs.is_empty(), "the checksums fit");
    assert!(matches!(ledger.get(Seq(1)), Err(Error::Corrupt { .. })));
    assert!(!ledger.verify().is_whole());
    let mut check = ledger.check();
    while check.step(1) {}
    assert_eq!(ledger.wholeness().borrow().damage.len(), 1);
}

#[test]
fn instants_are_found_although_the_clock_jumped_back() {
    let body = super::codec::encode_event(&pause("x")).unwrap();
    let kind = pause("x").code();
    let times = [100, 200, 50, 60, 300];
    let disk = crafted(&times.map(|time| (kind, body.as_slice(), false, time)));
    let (ledger, _) = open(&disk).unwrap();
    let last_at = |time| ledger.at_time(Timestamp(time)).0;
    assert_eq!((last_at(99), last_at(100), last_at(199)), (0, 1, 1));
    // What was recorded after the jump is known from the time before it on.
    assert_eq!((last_at(200), last_at(299), last_at(300)), (4, 4, 5));
}
