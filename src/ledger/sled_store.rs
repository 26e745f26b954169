//! The store in sled 0.34.7: the only file that imports it.
//!
//! sled is used so that none of its known faults can hurt: it is never
//! the only place of anything; one tree, so that a batch with its watermark is atomic; nothing is
//! ever removed; no background flusher, because `flush` is not an fsync on Linux, so `sync`
//! flushes and then syncs sled's file itself; every call is made under `catch_unwind`, because a
//! damaged file makes it panic.
//!
//! Keys and values, numbers big-endian:
//!
//! ```text
//! 'e' seq(8)                      offset(8) latest time(8) frame
//! 'b' address(32)                 segment(8) offset(8) depth(1)
//! 's' subject(17) seq(8)          nothing
//! 'w'                             seq(8) hash(32) segment(8) offset(8): the watermark
//! 'd'                             the same: a watermark that was synced
//! 'v'                             layout version(4) index version(4) ledger id(16)
//! ```

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::store::{BlobPlace, Changes, Error, EventEntry, Position, Store, SubjectKey, Watermark};
use super::subjects::INDEX_VERSION;
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

/// The version of the keys and values above.
const LAYOUT_VERSION: u32 = 1;
/// How many frames are salvaged at most from a store that is ahead of the segments: far more
/// than a group commit can lose.
const SALVAGE_FRAMES_MAX: usize = 1_000_000;

/// How often, and after which pause, sled is opened again while its lock is taken.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A store in a sled directory.
pub(super) struct SledStore {
    /// `None` once closed: sled holds its lock on the directory until it is dropped.
    db: RwLock<Option<sled::Db>>,
    file: File,
    path: PathBuf,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledStore({})", self.path.display())
    }
}

/// Runs `work`, turning sled's errors and panics into errors.
fn contain<T>(operation: &'static str, work: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    // Unwind safety: after a panic the store is set aside and never used again.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => Err(Error::Engine { operation, source }),
        Ok(Err(other)) => Err(Error::Engine { operation, source: io::Error::other(other) }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::Panicked { operation, message: text.unwrap_or("no message").to_owned() })
        }
    }
}

/// Opens sled. Whoever calls this holds the ledger's lock, so when sled's own lock is taken it is
/// by a store of this process that was closed a moment ago: sled's threads let go of it late.
fn open_patiently(path: &Path, cache_bytes: u64) -> Result<sled::Db, Error> {
    let open = || {
        sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open()
    };
    for _ in 0..LOCK_TRIES {
        match contain("open", open) {
            Err(Error::Engine { source, .. }) if source.to_string().contains("acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            result => return result,
        }
    }
    contain("open", open)
}

impl SledStore {
    /// Opens or makes the store of `ledger` in `path`.
    ///
    /// # Errors
    /// When sled refuses or panics, or the directory is another ledger's or of another layout.
    pub(super) fn open(path: &Path, cache_bytes: u64, ledger: Uuid) -> Result<Self, Error> {
        let db = open_patiently(path, cache_bytes)?;
        let file = File::open(path.join("db"))
            .map_err(|source| Error::Engine { operation: "open", source })?;
        let store = Self { db: RwLock::new(Some(db)), file, path: path.to_owned() };
        store.check_identity(ledger)?;
        Ok(store)
    }

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, Error> {
        let db = self.db()?;
        contain("read", || db.get(key))
    }

    fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        let db = self.db()?;
        contain("write", || db.insert(key, value)).map(|_| ())
    }

    fn db(&self) -> Result<sled::Db, Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or(Error::Closed)
    }

    fn check_identity(&self, ledger: Uuid) -> Result<(), Error> {
        let mut identity = LAYOUT_VERSION.to_be_bytes().to_vec();
        identity.extend_from_slice(&INDEX_VERSION.to_be_bytes());
        identity.extend_from_slice(ledger.as_bytes());
        let found = self.get(b"v")?;
        match found {
            Some(found) if *found == *identity => Ok(()),
            Some(_) => Err(Error::Damaged("this ledger and index version".to_owned())),
            None => self.put(b"v", identity),
        }
    }

    /// The watermark of the last [`Store::sync`]; what came after it may be incomplete after
    /// power loss and is applied again.
    pub(super) fn synced_watermark(&self) -> Result<Watermark, Error> {
        self.read_watermark(b"d")
    }

    fn read_watermark(&self, key: &'static [u8]) -> Result<Watermark, Error> {
        match self.get(key)? {
            None => Ok(Watermark::default()),
            Some(value) => {
                decode_watermark(&value).ok_or_else(|| Error::Damaged("the watermark".to_owned()))
            }
        }
    }

    /// The frames of the events after `after`, as far as they can be read.
    pub(super) fn frames_after(&self, after: Seq) -> Vec<Vec<u8>> {
        let Ok(db) = self.db() else { return Vec::new() };
        let salvage = || {
            let range = db.range(event_key(after.next()).as_slice()..=&event_key(Seq(u64::MAX)));
            let entries = range.map_while(Result::ok).take(SALVAGE_FRAMES_MAX);
            Ok(entries.filter_map(|(_, value)| Some(decode_event(&value)?.frame)).collect())
        };
        contain("salvage", salvage).unwrap_or_default()
    }
}

fn event_key(seq: Seq) -> [u8; 9] {
    let mut key = [b'e'; 9];
    key[1..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

fn blob_key(addr: BlobAddr) -> [u8; 33] {
    let mut key = [b'b'; 33];
    key[1..].copy_from_slice(&addr.0);
    key
}

fn subject_key(subject: SubjectKey, seq: Seq) -> [u8; 26] {
    let mut key = [b's'; 26];
    key[1..18].copy_from_slice(&subject.0);
    key[18..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

fn encode_event(entry: &EventEntry) -> Vec<u8> {
    let mut value = Vec::with_capacity(16 + entry.frame.len());
    value.extend_from_slice(&entry.offset.to_be_bytes());
    value.extend_from_slice(&entry.time_max.0.to_be_bytes());
    value.extend_from_slice(&entry.frame);
    value
}

fn decode_event(value: &[u8]) -> Option<EventEntry> {
    let (offset, rest) = value.split_first_chunk()?;
    let (time, frame) = rest.split_first_chunk()?;
    Some(EventEntry {
        offset: u64::from_be_bytes(*offset),
        time_max: Timestamp(i64::from_be_bytes(*time)),
        frame: frame.to_vec(),
    })
}

fn encode_position(position: Position) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&position.segment.0.to_be_bytes());
    value[8..].copy_from_slice(&position.offset.to_be_bytes());
    value
}

fn decode_position(value: &[u8]) -> Option<(Position, &[u8])> {
    let (segment, rest) = value.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let position = Position {
        segment: Seq(u64::from_be_bytes(*segment)),
        offset: u64::from_be_bytes(*offset),
    };
    Some((position, rest))
}

fn encode_watermark(watermark: &Watermark) -> Vec<u8> {
    let mut value = watermark.seq.0.to_be_bytes().to_vec();
    value.extend_from_slice(&watermark.hash.0);
    value.extend_from_slice(&encode_position(watermark.end));
    value
}

fn decode_watermark(value: &[u8]) -> Option<Watermark> {
    let (seq, rest) = value.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (end, rest) = decode_position(rest)?;
    let watermark = Watermark { seq: Seq(u64::from_be_bytes(*seq)), hash: Digest(*hash), end };
    rest.is_empty().then_some(watermark)
}

impl Store for SledStore {
    fn apply(&self, changes: &Changes) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (seq, entry, subjects) in &changes.events {
            batch.insert(event_key(*seq).as_slice(), encode_event(entry));
            for subject in subjects {
                batch.insert(subject_key(*subject, *seq).as_slice(), &[]);
            }
        }
        for (addr, place) in &changes.blobs {
            let mut value = encode_position(place.at).to_vec();
            value.push(place.depth);
            batch.insert(blob_key(*addr).as_slice(), value);
        }
        batch.insert(b"w", encode_watermark(&changes.watermark));
        let db = self.db()?;
        contain("write", || db.apply_batch(batch))
    }

    fn watermark(&self) -> Result<Watermark, Error> {
        self.read_watermark(b"w")
    }

    fn event(&self, seq: Seq) -> Result<Option<EventEntry>, Error> {
        let damaged = || Error::Damaged(format!("event {seq}"));
        match self.get(&event_key(seq))? {
            None => Ok(None),
            Some(value) => decode_event(&value).ok_or_else(damaged).map(Some),
        }
    }

    fn blob(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        let Some(value) = self.get(&blob_key(addr))? else {
            return Ok(None);
        };
        match decode_position(&value) {
            Some((at, [depth])) => Ok(Some(BlobPlace { at, depth: *depth })),
            _ => Err(Error::Damaged(format!("blob {addr}"))),
        }
    }

    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Result<Vec<Seq>, Error> {
        let db = self.db()?;
        contain("read", || {
            let range = subject_key(key, after.next())..=subject_key(key, Seq(u64::MAX));
            let mut found = Vec::new();
            for entry in db.range(range).take(limit) {
                let (key, _) = entry?;
                if let Some(seq) = key.last_chunk() {
                    found.push(Seq(u64::from_be_bytes(*seq)));
                }
            }
            Ok(found)
        })
    }

    fn sync(&self) -> Result<(), Error> {
        let (db, watermark) = (self.db()?, self.watermark()?);
        contain("flush", || db.flush())?;
        self.file.sync_data().map_err(|source| Error::Engine { operation: "sync", source })?;
        // Durable with the next sync only, which is on the safe side: more is applied again.
        self.put(b"d", encode_watermark(&watermark))?;
        contain("flush", || db.flush()).map(|_| ())
    }

    fn bytes_on_disk(&self) -> u64 {
        self.db().and_then(|db| contain("measure", || db.size_on_disk())).unwrap_or(0)
    }

    fn close(&self) {
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        // sled flushes when it is dropped, and may panic then like anywhere else.
        let _flushed = contain("close", || {
            drop(db);
            Ok(())
        });
    }
}
