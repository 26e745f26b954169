//! What every ledger must do, whatever it is kept on: one suite, run on files and in memory.

use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::event::{Event, PausedV1, ResumedV1};
use super::samples::{app, commit, object, observed, sample_events};
use super::{Batch, Blob, Draft, Error, KeySource, Ledger, Options, Recorded};
use crate::model::{Actor, BlobAddr, Seq, Timestamp};

/// A ledger on files that is opened again and again in one directory.
pub(super) struct OnFiles {
    dir: TempDir,
    segment_bytes_max: u64,
}

impl OnFiles {
    pub(super) fn new() -> Self {
        Self::with_segments(64 * 1024 * 1024)
    }

    pub(super) fn with_segments(segment_bytes_max: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes_max }
    }

    pub(super) fn dir(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger")
    }

    pub(super) fn key(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger.key")
    }

    pub(super) fn options(&self) -> Options {
        Options {
            segment_bytes_max: self.segment_bytes_max,
            free_bytes_reserve: 0,
            sled_cache_bytes: 1024 * 1024,
            ..Options::new(self.dir(), self.key())
        }
    }

    pub(super) fn open(&self) -> Ledger {
        Ledger::open(self.options()).unwrap().0
    }
}

fn on_both(check: impl Fn(&Ledger)) {
    let files = OnFiles::with_segments(4096);
    check(&files.open());
    check(&Ledger::in_memory());
}

pub(super) fn pause(reason: &str) -> Event {
    PausedV1 { app: app(), until: None, reason: reason.to_owned() }.into()
}

fn all(ledger: &Ledger) -> Vec<Arc<Recorded>> {
    ledger.range(Seq(1), Seq(u64::MAX)).collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_first_event_says_that_the_ledger_was_created() {
    on_both(|ledger| {
        assert_eq!(ledger.head(), Seq(1));
        let first = ledger.get(Seq(1)).unwrap().unwrap();
        assert!(matches!(first.event, Some(Event::LedgerCreated(_))));
        assert!(first.envelope.prev.is_zero());
        assert_eq!(ledger.get(Seq(2)).unwrap(), None);
        assert_eq!(ledger.get(Seq::ZERO).unwrap(), None);
    });
}

#[test]
fn events_come_back_as_they_were_appended_and_in_order() {
    on_both(|ledger| {
        let events = sample_events();
        let drafts: Vec<Draft> = events.iter().cloned().map(Draft::new).collect();
        let seqs = ledger.append_blocking(drafts).unwrap();
        let expected: Vec<Seq> = (2..2 + events.len() as u64).map(Seq).collect();
        assert_eq!(seqs, expected);
        let read: Vec<Event> = all(ledger)[1..].iter().map(|r| r.event.clone().unwrap()).collect();
        assert_eq!(read, events);
        for (seq, event) in seqs.iter().zip(&events) {
            assert_eq!(ledger.get(*seq).unwrap().unwrap().event.as_ref(), Some(event));
        }
    });
}

#[test]
fn what_a_draft_says_about_itself_is_kept() {
    on_both(|ledger| {
        let (cluster, correlation) = (Uuid::from_u128(5), Uuid::from_u128(6));
        ledger.set_cluster(cluster);
        let valid = crate::model::ValidTime {
            lo: Timestamp(1),
            hi: Timestamp(2),
            basis: crate::model::Basis::RelistGap,
        };
        let many = (1..=12).map(Seq);
        let draft = Draft::new(pause("x")).by(Actor::os_user("alice")).correlated(correlation);
        let draft = many.fold(draft.valid(valid), Draft::caused_by);
        let seq = ledger.append_blocking(draft).unwrap()[0];
        let plain = ledger.append_blocking(Draft::new(pause("y"))).unwrap()[0];
        for recorded in [ledger.get(seq).unwrap().unwrap(), all(ledger)[1].clone()] {
            assert_eq!(recorded.actor, Actor::os_user("alice"));
            assert_eq!(recorded.envelope.cluster, cluster);
            assert_eq!(recorded.envelope.correlation, correlation);
            assert_eq!(recorded.envelope.valid, valid);
            assert_eq!(recorded.envelope.causes, (1..=8).map(Seq).collect::<Vec<_>>());
        }
        let plain = ledger.get(plain).unwrap().unwrap();
        assert_eq!(plain.actor, Actor::greffier());
        assert_eq!(plain.envelope.correlation, plain.envelope.id);
        assert_eq!(plain.envelope.valid.lo, plain.envelope.recorded);
        assert_eq!(plain.envelope.prev, ledger.get(seq).unwrap().unwrap().envelope.hash);
    });
}

#[test]
fn concurrent_appends_are_contiguous_and_acknowledged_in_order() {
    on_both(|ledger| {
        std::thread::scope(|scope| {
            for writer in 0..8 {
                scope.spawn(move || {
                    let mut last = Seq::ZERO;
                    for batch in 0..20 {
                        let drafts: Vec<Draft> = (0..3)
                            .map(|n| Draft::new(pause(&format!("{writer}/{batch}/{n}"))))
                            .collect();
                        let seqs = ledger.append_blocking(drafts).unwrap();
                        assert!(seqs[0] > last && seqs[2].0 == seqs[0].0 + 2);
                        assert!(ledger.head() >= seqs[2]);
                        last = seqs[2];
                    }
                });
            }
        });
        assert_eq!(ledger.head(), Seq(1 + 8 * 20 * 3));
        assert!(ledger.verify().is_whole());
    });
}

#[test]
fn a_subscriber_sees_every_event_once_and_in_order_from_any_point() {
    on_both(|ledger| {
        for n in 0..5000 {
            if n % 500 == 0 {
                let drafts: Vec<Draft> =
                    (n..n + 500).map(|n| Draft::new(pause(&n.to_string()))).collect();
                ledger.append_blocking(drafts).unwrap();
            }
        }
        for after in [0, 1, 7, 904, 905, 906, 4990, 5000] {
            let mut tail = ledger.subscribe(Seq(after));
            let mut expected = after;
            while expected < ledger.head().0 {
                let batch = futures::executor::block_on(tail.next_batch()).unwrap();
                assert!(!batch.is_empty() && batch.len() <= 1024);
                assert_eq!(tail.aim(), ledger.head(), "also where the batch was cut");
                for recorded in batch {
                    expected += 1;
                    assert_eq!(recorded.seq(), Seq(expected));
                }
            }
            assert!(tail.ready_batch().unwrap().is_empty());
        }
    });
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken_and_told_when_the_ledger_closes() {
    let ledger = Ledger::in_memory();
    let mut tail = ledger.subscribe(ledger.head());
    let (batch, appended) =
        tokio::join!(tail.next_batch(), ledger.append(Draft::new(pause("now"))));
    assert_eq!(batch.unwrap()[0].seq(), appended.unwrap()[0]);
    ledger.append(Draft::new(pause("last"))).await.unwrap();
    ledger.close().await;
    assert_eq!(tail.next_batch().await.unwrap().len(), 1);
    assert!(matches!(tail.next_batch().await, Err(Error::Closed)));
}

#[test]
fn indexes_find_what_was_just_appended() {
    on_both(|ledger| {
        let mut drafts: Vec<Draft> = sample_events().into_iter().map(Draft::new).collect();
        drafts.extend((0..10).map(|_| Draft::new(observed())));
        let seqs = ledger.append_blocking(drafts.clone()).unwrap();
        let expect = |about: &dyn Fn(&super::subjects::Subjects) -> bool| -> Vec<Seq> {
            let subjects = drafts.iter().map(|d| super::subjects::subjects(&d.event));
            seqs.iter().zip(subjects).filter(|(_, s)| about(s)).map(|(seq, _)| *seq).collect()
        };
        let by_object = ledger.by_object(&object(), Seq::ZERO, 1000);
        assert_eq!(by_object, expect(&|s| s.objects.contains(&object())));
        assert!(by_object.len() >= 14);
        let by_app = ledger.by_app(&app(), Seq::ZERO, 1000);
        assert_eq!(by_app, expect(&|s| s.apps.contains(&app())));
        let by_commit = ledger.by_commit(&commit('a'), Seq::ZERO, 1000);
        assert_eq!(by_commit, expect(&|s| s.commits.contains(&commit('a'))));
        assert_eq!(ledger.by_object(&object(), by_object[2], 3), by_object[3..6]);
        assert!(ledger.by_app(&"other".parse().unwrap(), Seq::ZERO, 10).is_empty());
    });
}

#[test]
fn an_instant_finds_the_last_event_recorded_by_then() {
    on_both(|ledger| {
        for n in 0..50 {
            ledger.append_blocking(Draft::new(pause(&n.to_string()))).unwrap();
        }
        let events = all(ledger);
        for event in &events {
            let time = event.envelope.recorded;
            let expected = events.iter().rev().find(|e| e.envelope.recorded <= time).unwrap();
            assert_eq!(ledger.at_time(time), expected.seq());
        }
        assert_eq!(ledger.at_time(Timestamp(0)), Seq::ZERO);
        assert_eq!(ledger.at_time(Timestamp(i64::MAX)), ledger.head());
    });
}

/// JSON of some length that differs by `n`.
pub(super) fn manifest(n: usize) -> Vec<u8> {
    let labels: Vec<String> = (0..60_u64)
        .map(|k| format!("\"label-{k}\":\"{:x}\"", k.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    format!("{{{},\"replicas\":{n}}}", labels.join(",")).into_bytes()
}

#[test]
fn blobs_come_back_whatever_they_rest_on() {
    on_both(|ledger| {
        let mut base = None;
        let mut addrs = Vec::new();
        for n in 0..40 {
            let blob = Blob::plain(manifest(n), base);
            base = Some(blob.addr);
            addrs.push(blob.addr);
            let batch = Batch { blobs: vec![blob], drafts: vec![Draft::new(observed())] };
            ledger.append_blocking(batch).unwrap();
        }
        for (n, addr) in addrs.iter().enumerate() {
            assert_eq!(*ledger.blob(*addr).unwrap(), *manifest(n));
            assert!(ledger.has_blob(*addr));
        }
        for bytes in [vec![], vec![7], vec![0; 300_000]] {
            let blob = ledger.seal().blob_plain(bytes.clone(), Some(BlobAddr([9; 32])));
            let addr = blob.addr;
            ledger.append_blocking(Batch { blobs: vec![blob], drafts: vec![] }).unwrap();
            assert_eq!(*ledger.blob(addr).unwrap(), *bytes);
        }
        assert!(matches!(ledger.blob(BlobAddr([1; 32])), Err(Error::NoBlob(_))));
        assert!(ledger.verify().is_whole());
    });
}

#[test]
fn no_version_rests_on_more_than_five_others() {
    on_both(|ledger| {
        let (mut base, mut blobs) = (None, Vec::new());
        for n in 0..100 {
            let blob = Blob::plain(manifest(n), base);
            base = Some(blob.addr);
            blobs.push(blob);
        }
        let addrs: Vec<BlobAddr> = blobs.iter().map(|blob| blob.addr).collect();
        // One by one, as a cluster tells of them, and many at once.
        let mut blobs = blobs.into_iter();
        for count in [1, 2, 3, 30, 1, 40, 1, 1, 21] {
            let blobs = blobs.by_ref().take(count).collect();
            let batch = Batch { blobs, drafts: vec![Draft::new(observed())] };
            ledger.append_blocking(batch).unwrap();
        }
        for (n, addr) in addrs.iter().enumerate() {
            // Of each run of 32 the first is whole; from it on, one for every bit that is set.
            let step = u32::try_from(n % 32).unwrap();
            assert_eq!(ledger.bases_of(*addr).len(), step.count_ones() as usize, "version {n}");
            assert_eq!(*ledger.blob(*addr).unwrap(), *manifest(n));
        }
        assert!(ledger.verify().is_whole());
    });
}

#[test]
fn equal_blobs_are_stored_once() {
    on_both(|ledger| {
        let batch = || Batch {
            blobs: vec![
                Blob::plain(manifest(1), None),
                Blob::plain(manifest(1), None),
                ledger.seal().blob_sealed(b"secret").unwrap(),
                ledger.seal().blob_sealed(b"secret").unwrap(),
            ],
            drafts: vec![Draft::new(pause("x"))],
        };
        ledger.append_blocking(batch()).unwrap();
        ledger.append_blocking(batch()).unwrap();
        assert_eq!(ledger.info().blobs, 2);
        assert_eq!(ledger.verify().blobs, 2);
    });
}

#[test]
fn sealed_blobs_come_back_in_clear() {
    on_both(|ledger| {
        let blob = ledger.seal().blob_sealed(b"hunter2").unwrap();
        let addr = blob.addr;
        ledger.append_blocking(Batch { blobs: vec![blob], drafts: vec![] }).unwrap();
        assert_eq!(*ledger.blob(addr).unwrap(), *b"hunter2");
    });
}

#[test]
fn what_is_too_large_is_refused_and_the_ledger_goes_on() {
    on_both(|ledger| {
        let event = ResumedV1 { app: app(), expired: false };
        let drafts = vec![Draft::new(event); super::prepare::BATCH_EVENTS_MAX + 1];
        let head = ledger.head();
        assert!(matches!(ledger.append_blocking(drafts), Err(Error::TooLarge { .. })));
        let huge = "x".repeat(super::codec::PAYLOAD_BYTES_MAX + 1);
        let refused = ledger.append_blocking(Draft::new(pause(&huge)));
        assert!(matches!(refused, Err(Error::Encode { .. })));
        assert_eq!(ledger.head(), head);
        assert_eq!(ledger.append_blocking(Draft::new(pause("x"))).unwrap(), [head.next()]);
    });
}

#[test]
fn a_closed_ledger_takes_nothing_and_still_reads() {
    on_both(|ledger| {
        ledger.append_blocking(Draft::new(observed())).unwrap();
        ledger.shutdown();
        assert!(matches!(ledger.append_blocking(Draft::new(pause("x"))), Err(Error::Closed)));
        assert_eq!(all(ledger).len(), 2);
        assert_eq!(ledger.by_object(&object(), Seq::ZERO, 9), [Seq(2)]);
    });
}

#[test]
fn ranges_end_where_the_ledger_ends() {
    on_both(|ledger| {
        ledger.append_blocking(vec![Draft::new(pause("1")), Draft::new(pause("2"))]).unwrap();
        let seqs = |from, to| -> Vec<u64> {
            ledger.range(Seq(from), Seq(to)).map(|event| event.unwrap().seq().0).collect()
        };
        assert_eq!(seqs(0, u64::MAX), [1, 2, 3]);
        assert_eq!(seqs(2, 2), [2]);
        assert_eq!(seqs(3, 2), [0; 0]);
        assert_eq!(seqs(4, 9), [0; 0]);
    });
}

#[test]
fn an_empty_batch_is_acknowledged_with_nothing() {
    on_both(|ledger| {
        assert!(ledger.append_blocking(Batch::default()).unwrap().is_empty());
        assert_eq!(ledger.head(), Seq(1));
    });
}

#[test]
fn a_ledger_on_files_is_the_same_after_it_was_opened_again() {
    let files = OnFiles::with_segments(2048);
    let ledger = files.open();
    let blob = ledger.seal().blob_sealed(b"hunter2").unwrap();
    let (addr, id) = (blob.addr, ledger.ledger_id());
    let drafts = sample_events().into_iter().map(Draft::new).collect();
    ledger.append_blocking(Batch { blobs: vec![blob], drafts }).unwrap();
    for n in 0..50 {
        let draft = Draft::new(pause(&n.to_string())).by(Actor::os_user("bob"));
        ledger.append_blocking(draft).unwrap();
    }
    let (events, info) = (all(&ledger), ledger.info());
    let found = ledger.by_app(&app(), Seq::ZERO, 1000);
    assert!(info.segments > 5);
    ledger.shutdown();
    for _ in 0..3 {
        let (again, report) = Ledger::open(files.options()).unwrap();
        assert_eq!((report.created, report.repairs.len(), report.warnings.len()), (false, 0, 0));
        assert_eq!(all(&again), events);
        assert_eq!(again.ledger_id(), id);
        assert_eq!(*again.blob(addr).unwrap(), *b"hunter2");
        assert_eq!(again.by_app(&app(), Seq::ZERO, 1000), found);
        let now = again.info();
        assert_eq!((now.head, now.head_hash, now.blobs), (info.head, info.head_hash, info.blobs));
        assert!(again.verify().is_whole());
    }
}

/// Goal: whoever reads a new ledger whose key was there knows that another may be missing.
#[test]
fn a_ledger_that_is_made_beside_a_key_says_so() {
    let files = OnFiles::new();
    drop(files.open());
    std::fs::rename(files.dir(), files.dir().with_extension("away")).unwrap();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.created && report.warnings[0].contains("bring that one back"));
    assert!(!report.lost, "nobody knows that there was one");
    let events: Vec<_> = all(&ledger).iter().map(|recorded| recorded.event.clone()).collect();
    let [Some(Event::LedgerCreated(_)), Some(Event::LedgerRepaired(body))] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert!(body.possibly_acknowledged);
    drop(ledger);
    assert_eq!(files.open().head(), Seq(2), "once");
}

#[test]
fn a_new_key_is_announced_and_a_wrong_or_missing_one_refused() {
    let files = OnFiles::new();
    let (ledger, report) = Ledger::open(files.options()).unwrap();
    assert!(report.created && report.warnings[0].contains("keep a copy"));
    drop(ledger);
    let key = std::fs::read(files.key()).unwrap();
    std::fs::write(files.key(), format!("greffier-key-1 {}", "ab".repeat(32))).unwrap();
    assert!(matches!(Ledger::open(files.options()), Err(Error::KeyWrong { .. })));
    std::fs::remove_file(files.key()).unwrap();
    assert!(matches!(Ledger::open(files.options()), Err(Error::KeyMissing(_))));
    std::fs::write(files.key(), key).unwrap();
    assert!(Ledger::open(files.options()).is_ok());
    let inside = KeySource::File(files.dir().join("sub/../ledger.key"));
    let options = Options { key: inside, ..files.options() };
    assert!(matches!(Ledger::open(options), Err(Error::KeyInside(_))));
}
