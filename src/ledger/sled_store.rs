//! The store in sled 0.34.7: the only file that imports it.
//!
//! sled is used so that none of its known faults can hurt: it is never
//! the only place of anything; one tree, so that a batch with its watermark is atomic; nothing is
//! ever removed; no background flusher, because `flush` is not an fsync on Linux, so `sync`
//! flushes and then syncs sled's file itself; every call is made under `catch_unwind`, because a
//! damaged file makes it panic.
//!
//! What is applied is gathered in memory and written as a *run* when there is enough of it: sled
//! costs much for each key and for each change of a page, so a run keeps hundreds of entries in a
//! value (see `ledger::run`) and writes each once. After a crash the watermark says up to where
//! runs were written, and the rest is applied again from the segments. Only the evidence of what
//! was acknowledged is written within some milliseconds: the head, and the last frames, for salvage.
//!
//! Keys and values, numbers big-endian:
//!
//! ```text
//! 'v'                             layout version(4) index version(4) ledger id(16)
//! 'w'                             seq(8) hash(32) segment(8) offset(8): the last run ends here
//! 'h'                             the same: the last event that was applied
//! 'f' slot(2)                     frames, each after its length(2); slots are used in turn
//! 'e' first seq(8)                places and times of up to 256 events
//! 's' subject(17) run's first seq(8)   events of the run about the subject
//! 't' table(4)                    filter of a table of blobs
//! 'b' table(4) bucket(1)          places of blobs
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use uuid::Uuid;

use super::frame::{Envelope, Stored};
use super::memory_store::MemoryStore;
use super::run::{
    CHUNK_EVENTS, Filter, decode_blob, decode_event, decode_seqs, encode_blobs, encode_events,
    encode_seqs,
};
use super::store::{BlobPlace, Changes, Error, EventEntry, Position, Store, SubjectKey, Watermark};
use super::subjects::INDEX_VERSION;
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

/// The version of the keys and values above.
const LAYOUT_VERSION: u32 = 3;
/// A run is written when this many events or blobs are gathered. Bound: about 3 MiB of memory, and
/// at the next start after a crash some tenths of a second.
const RUN_EVENTS: usize = 8192;
const RUN_BLOBS: usize = 16_384;
/// How many groups of frames are kept, and how many frames of each: what a disk that lied about
/// its last syncs may have lost.
const FRAME_SLOTS: u16 = 256;
const FRAMES_PER_SLOT: usize = 64;
/// How often, and after which pause, sled is opened again while its lock is taken.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A store in a sled directory.
pub(super) struct SledStore {
    /// `None` once closed: sled holds its lock on the directory until it is dropped.
    db: RwLock<Option<sled::Db>>,
    file: File,
    path: PathBuf,
    inner: RwLock<Inner>,
}

/// What is not, or not only, in sled.
struct Inner {
    /// What was applied since the last run.
    gathered: MemoryStore,
    /// The end of the last run.
    written: Watermark,
    /// The last event that was ever applied.
    head: Watermark,
    /// The filters of all tables of blobs.
    tables: Vec<Filter>,
    frame_slot: u16,
    /// The evidence of what was acknowledged that sled has not got yet.
    evidence: Option<sled::Batch>,
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
        let inner = Inner {
            gathered: MemoryStore::default(),
            written: Watermark::default(),
            head: Watermark::default(),
            tables: Vec::new(),
            frame_slot: 0,
            evidence: None,
        };
        let (db, inner) = (RwLock::new(Some(db)), RwLock::new(inner));
        let store = Self { db, file, path: path.to_owned(), inner };
        store.check_identity(ledger)?;
        let loaded = Inner {
            gathered: MemoryStore::default(),
            written: store.read_watermark(b"w")?,
            head: store.head()?,
            tables: store.read_filters()?,
            frame_slot: 0,
            evidence: None,
        };
        *store.inner_mut() = loaded;
        Ok(store)
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        // Its parts are only replaced as a whole, so it is whole after a panic.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn inner_mut(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
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

    /// The last event that was ever applied: it was acknowledged.
    pub(super) fn head(&self) -> Result<Watermark, Error> {
        self.read_watermark(b"h")
    }

    fn read_watermark(&self, key: &'static [u8]) -> Result<Watermark, Error> {
        match self.get(key)? {
            None => Ok(Watermark::default()),
            Some(value) => {
                decode_watermark(&value).ok_or_else(|| Error::Damaged("the watermark".to_owned()))
            }
        }
    }

    fn read_filters(&self) -> Result<Vec<Filter>, Error> {
        let (db, mut filters) = (self.db()?, Vec::new());
        while let Some(value) = contain("read", || db.get(table_key(filters.len())))? {
            let damaged = || Error::Damaged(format!("table {}", filters.len()));
            let filter = Filter::decode(&value).ok_or_else(damaged)?;
            filters.push(filter);
        }
        Ok(filters)
    }

    /// The frames of events after `after` that are still kept, in order, each once.
    pub(super) fn frames_after(&self, after: Seq) -> Vec<Vec<u8>> {
        let Ok(db) = self.db() else { return Vec::new() };
        let salvage = || {
            let mut frames = BTreeMap::new();
            for (_, value) in db.scan_prefix(b"f").map_while(Result::ok) {
                for frame in split_frames(&value) {
                    if let Ok(envelope) = Envelope::decode(frame, Stored::Dropped)
                        && envelope.seq > after
                    {
                        frames.insert(envelope.seq, frame.to_vec());
                    }
                }
            }
            Ok(frames.into_values().collect())
        };
        contain("salvage", salvage).unwrap_or_default()
    }

    /// Gives sled the evidence of what was acknowledged. For each call sled wakes all its threads,
    /// so that one for each group of a flood would cost more than the group.
    fn write_evidence(&self, inner: &mut Inner) -> Result<(), Error> {
        let Some(evidence) = inner.evidence.take() else { return Ok(()) };
        let db = self.db()?;
        contain("write", || db.apply_batch(evidence))
    }

    /// Writes what was gathered as a run. The watermark follows when the run is durable, so a
    /// watermark never promises what power loss can take.
    fn write_run(&self, inner: &mut Inner) -> Result<(), Error> {
        self.write_evidence(inner)?;
        let watermark = inner.gathered.watermark()?;
        if watermark.end <= inner.written.end {
            return Ok(());
        }
        let contents = inner.gathered.contents();
        let mut batch = sled::Batch::default();
        put_events(&mut batch, &contents.events);
        put_subjects(&mut batch, inner.written.seq.next(), &contents.subjects);
        let filter = put_blobs(&mut batch, inner.tables.len(), &contents.blobs);
        let db = self.db()?;
        contain("write", || db.apply_batch(batch))?;
        self.make_durable(&db)?;
        self.put(b"w", encode_watermark(&watermark))?;
        inner.tables.extend(filter);
        inner.written = watermark;
        inner.gathered = MemoryStore::default();
        Ok(())
    }

    fn make_durable(&self, db: &sled::Db) -> Result<(), Error> {
        contain("flush", || db.flush())?;
        self.file.sync_data().map_err(|source| Error::Engine { operation: "sync", source })
    }
}

fn put_events(batch: &mut sled::Batch, events: &[(Seq, u64, Timestamp)]) {
    for chunk in events.chunks(CHUNK_EVENTS) {
        let values: Vec<(u64, Timestamp)> = chunk.iter().map(|(_, o, t)| (*o, *t)).collect();
        if let Some((first, _, _)) = chunk.first() {
            batch.insert(event_key(*first).as_slice(), encode_events(&values));
        }
    }
}

fn put_subjects(batch: &mut sled::Batch, run: Seq, subjects: &[(SubjectKey, Seq)]) {
    for group in subjects.chunk_by(|(one, _), (other, _)| one == other) {
        let seqs: Vec<Seq> = group.iter().map(|(_, seq)| *seq).collect();
        if let Some((subject, _)) = group.first() {
            batch.insert(subject_key(*subject, run).as_slice(), encode_seqs(&seqs));
        }
    }
}

/// Adds a table of blobs to `batch`; returns its filter.
fn put_blobs(
    batch: &mut sled::Batch,
    table: usize,
    blobs: &[(BlobAddr, BlobPlace)],
) -> Option<Filter> {
    let filter = (!blobs.is_empty()).then(|| Filter::of(blobs.iter().map(|(addr, _)| *addr)))?;
    for bucket in
        blobs.chunk_by(|(one, _), (other, _)| filter.bucket(*one) == filter.bucket(*other))
    {
        if let Some((addr, _)) = bucket.first() {
            batch.insert(bucket_key(table, filter.bucket(*addr)).as_slice(), encode_blobs(bucket));
        }
    }
    batch.insert(table_key(table).as_slice(), filter.encode(blobs.len()));
    Some(filter)
}

/// The frames in the value of a slot.
fn split_frames(mut value: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = value.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        frames.push(frame);
        value = rest;
    }
    frames
}

fn event_key(seq: Seq) -> [u8; 9] {
    let mut key = [b'e'; 9];
    key[1..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Bound: tables have thousands of blobs, so their number is far below 2³².
fn table_key(table: usize) -> [u8; 5] {
    let mut key = [b't'; 5];
    key[1..].copy_from_slice(&u32::try_from(table).unwrap_or(u32::MAX).to_be_bytes());
    key
}

fn bucket_key(table: usize, bucket: u8) -> [u8; 6] {
    let mut key = [bucket; 6];
    key[..5].copy_from_slice(&table_key(table));
    key[0] = b'b';
    key
}

fn subject_key(subject: SubjectKey, seq: Seq) -> [u8; 26] {
    let mut key = [b's'; 26];
    key[1..18].copy_from_slice(&subject.0);
    key[18..].copy_from_slice(&seq.0.to_be_bytes());
    key
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
        let mut inner = self.inner_mut();
        // Repeating what a run already has changes nothing, so it is not gathered again.
        let fresh = changes.after(&inner.written);
        inner.gathered.apply(&fresh)?;
        let mut batch = inner.evidence.take().unwrap_or_default();
        // What is applied again after a crash does not take back what was acknowledged.
        if changes.watermark.end > inner.head.end {
            batch.insert(b"h", encode_watermark(&changes.watermark));
            inner.head = changes.watermark;
        }
        let skipped = changes.events.len().saturating_sub(FRAMES_PER_SLOT);
        let mut frames = Vec::new();
        for (_, entry, _) in &changes.events[skipped..] {
            let length = u16::try_from(entry.frame.len()).unwrap_or(u16::MAX);
            frames.extend_from_slice(&length.to_be_bytes());
            frames.extend_from_slice(&entry.frame);
        }
        if !frames.is_empty() {
            let [high, low] = inner.frame_slot.to_be_bytes();
            batch.insert(&[b'f', high, low], frames);
            inner.frame_slot = (inner.frame_slot + 1) % FRAME_SLOTS;
        }
        inner.evidence = Some(batch);
        let (events, blobs) = inner.gathered.counts();
        if events >= RUN_EVENTS || blobs >= RUN_BLOBS { self.write_run(&mut inner) } else { Ok(()) }
    }

    fn hand_over(&self) -> Result<(), Error> {
        self.write_evidence(&mut self.inner_mut())
    }

    fn watermark(&self) -> Result<Watermark, Error> {
        self.db()?;
        let inner = self.inner();
        let gathered = inner.gathered.watermark()?;
        Ok(if gathered.end > inner.written.end { gathered } else { inner.written })
    }

    fn event(&self, seq: Seq) -> Result<Option<EventEntry>, Error> {
        let (db, inner) = (self.db()?, self.inner());
        if let Some(entry) = inner.gathered.event(seq)? {
            return Ok(Some(entry));
        }
        if seq > inner.written.seq || seq == Seq::ZERO {
            return Ok(None);
        }
        let damaged = || Error::Damaged(format!("event {seq}"));
        let range = event_key(Seq(1))..=event_key(seq);
        let found = contain("read", || db.range(range).next_back().transpose())?;
        let (key, value) = found.ok_or_else(damaged)?;
        let first = key.last_chunk().map(|first| u64::from_be_bytes(*first)).ok_or_else(damaged)?;
        decode_event(&value, seq.0 - first).ok_or_else(damaged).map(Some)
    }

    fn blob(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        let (db, inner) = (self.db()?, self.inner());
        if let Some(place) = inner.gathered.blob(addr)? {
            return Ok(Some(place));
        }
        let damaged = || Error::Damaged(format!("blob {addr}"));
        let tables = inner.tables.iter().enumerate().rev();
        for (table, filter) in tables.filter(|(_, filter)| filter.may_have(addr)) {
            let key = bucket_key(table, filter.bucket(addr));
            // A bucket that would be empty is not there.
            let Some(value) = contain("read", || db.get(key))? else { continue };
            if let Some(place) = decode_blob(&value, addr).ok_or_else(damaged)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Result<Vec<Seq>, Error> {
        let (db, inner) = (self.db()?, self.inner());
        let damaged = || Error::Damaged("a subject".to_owned());
        let mut found: Vec<Seq> = Vec::new();
        // The run that `after` is in begins at or before it.
        let (first, last) = (subject_key(key, Seq::ZERO), subject_key(key, Seq(u64::MAX)));
        let begins = subject_key(key, after.next());
        let run = contain("read", || db.range(first..=begins).next_back().transpose())?;
        let from = run.map_or_else(|| begins.to_vec(), |(key, _)| key.to_vec());
        let mut entries = contain("read", || Ok(db.range(from..=last.to_vec())))?;
        while found.len() < limit {
            let next = contain("read", || entries.next().transpose())?;
            let Some((_, value)) = next else { break };
            for seq in decode_seqs(&value).ok_or_else(damaged)? {
                // After a crash runs may overlap; what is in both is the same.
                if seq > after && found.last().is_none_or(|last| seq > *last) {
                    found.push(seq);
                }
            }
        }
        let after = found.last().copied().unwrap_or(after).max(after);
        if found.len() < limit {
            found.extend(inner.gathered.found(key, after, limit - found.len()));
        }
        found.truncate(limit);
        Ok(found)
    }

    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Result<Vec<Seq>, Error> {
        let (db, inner) = (self.db()?, self.inner());
        let damaged = || Error::Damaged("a subject".to_owned());
        let mut found = inner.gathered.found_before(key, before, limit);
        // A run has only what comes after its first event; after a crash runs may overlap, and
        // what is in both is the same.
        let range = subject_key(key, Seq::ZERO)..subject_key(key, before);
        let mut entries = contain("read", || Ok(db.range(range)))?;
        while found.len() < limit {
            let next = contain("read", || entries.next_back().transpose())?;
            let Some((_, value)) = next else { break };
            for seq in decode_seqs(&value).ok_or_else(damaged)?.into_iter().rev() {
                if seq < before && found.last().is_none_or(|last| seq < *last) {
                    found.push(seq);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn sync(&self) -> Result<(), Error> {
        self.write_run(&mut self.inner_mut())?;
        self.make_durable(&self.db()?)
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
