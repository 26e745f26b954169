//! Keeps a store in step with the segments, and answers from it.
//!
//! A thread of its own applies what the writer has made durable, so that the store's work never
//! delays an acknowledgement of the group that it belongs to. Bound: at most [`LAG_GROUPS_MAX`]
//! groups wait; then the writer waits. Queries wait until the store has come to where the ledger
//! was when they were asked, so everyone reads their own writes.
//!
//! When the store fails or contradicts the segments, a store in memory is built from the segments
//! and takes its place until the ledger is opened again; a marker file makes sure that the failed
//! one is then set aside. Blobs that are durable but not yet applied are found in `recent`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::error::Error;
use super::frame::Recorded;
use super::memory_store::MemoryStore;
use super::reader::Places;
use super::record::Record;
use super::segment::{Cursor, Segments};
use super::store::{self, BlobPlace, Changes, EventEntry, Position, Store, SubjectKey, Watermark};
use super::subjects::subjects;
use super::{codec, compress};
use crate::ledger::frame::{Codec, Stored};
use crate::model::{BlobAddr, Seq, Timestamp};

/// How many groups may wait for the store.
pub(super) const LAG_GROUPS_MAX: usize = 64;
/// For how long what was applied is gathered before the store's engine is given it. Readers do not
/// wait for that.
const HAND_OVER: Duration = Duration::from_millis(25);
/// How many events are applied at once when the store is behind.
const CATCH_UP_EVENTS: usize = 1024;

/// An event as the writer hands it on.
pub(super) struct Written {
    pub(super) recorded: Arc<Recorded>,
    pub(super) entry: EventEntry,
}

/// A group that has become durable.
pub(super) struct Group {
    pub(super) events: Vec<Written>,
    pub(super) blobs: Vec<(BlobAddr, BlobPlace)>,
    pub(super) watermark: Watermark,
}

#[derive(Default)]
struct Progress {
    watermark: Watermark,
    stopped: bool,
}

/// The store and how far it has come.
pub(super) struct Index {
    store: Arc<dyn Store>,
    replacement: OnceLock<Arc<MemoryStore>>,
    /// Held while something is applied, so that a replacement is built from a standing point.
    applying: Mutex<()>,
    progress: Mutex<Progress>,
    advanced: Condvar,
    recent: RwLock<HashMap<BlobAddr, BlobPlace>>,
    segments: Arc<Segments>,
    suspect: Option<PathBuf>,
}

/// What these locks protect is only ever replaced as a whole, so it is whole after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    /// An index on a store that has caught up to `watermark`. `suspect` is the marker file that
    /// has a failed store set aside at the next start.
    pub(super) fn new(
        store: Arc<dyn Store>,
        watermark: Watermark,
        segments: Arc<Segments>,
        suspect: Option<PathBuf>,
    ) -> Self {
        Self {
            store,
            replacement: OnceLock::new(),
            applying: Mutex::new(()),
            progress: Mutex::new(Progress { watermark, stopped: false }),
            advanced: Condvar::new(),
            recent: RwLock::default(),
            segments,
            suspect,
        }
    }

    /// The body of the index's thread: applies groups until the writer is gone.
    pub(super) fn follow(&self, groups: &Receiver<Group>) {
        let _stopped = StoppedOnDrop(self);
        let mut due = None;
        while let Some(group) = next(groups, due) {
            if let Some(group) = group {
                self.apply(group);
                due.get_or_insert_with(|| Instant::now() + HAND_OVER);
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                due = None;
                self.hand_over();
            }
        }
        self.sync();
        self.store.close();
    }

    fn apply(&self, group: Group) {
        let changes = changes_of(&group);
        let failed = {
            let _applying = lock(&self.applying);
            match self.replacement.get() {
                Some(replacement) => replacement.apply(&changes),
                None => self.store.apply(&changes),
            }
            .err()
        };
        if let Some(error) = failed {
            self.replace(&error);
        }
        self.advance(changes.watermark);
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for (addr, _) in &changes.blobs {
            recent.remove(addr);
        }
    }

    fn advance(&self, watermark: Watermark) {
        let mut progress = lock(&self.progress);
        if watermark.end > progress.watermark.end {
            progress.watermark = watermark;
        }
        drop(progress);
        self.advanced.notify_all();
    }

    fn hand_over(&self) {
        if self.replacement.get().is_none()
            && let Err(error) = self.store.hand_over()
        {
            self.replace(&error);
        }
    }

    fn sync(&self) {
        if self.replacement.get().is_none()
            && let Err(error) = self.store.sync()
        {
            self.replace(&error);
        }
    }

    /// Up to where the store has come.
    pub(super) fn watermark(&self) -> Watermark {
        lock(&self.progress).watermark
    }

    /// Whether the store failed and another took its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.replacement.get().is_some()
    }

    /// How many bytes the store takes on disk.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.store.bytes_on_disk()
    }

    /// Makes blobs known that are durable and not yet applied.
    pub(super) fn expect_blobs(&self, blobs: &[(BlobAddr, BlobPlace)]) {
        self.recent.write().unwrap_or_else(PoisonError::into_inner).extend(blobs.iter().copied());
    }

    /// Waits until the store has come to `seq`. When nothing advances it any more, it is replaced.
    fn wait_for(&self, seq: Seq) {
        let mut progress = lock(&self.progress);
        while progress.watermark.seq < seq && !progress.stopped {
            progress = self.advanced.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        let behind = progress.watermark.seq < seq;
        drop(progress);
        if behind {
            self.replace(&store::Error::Closed);
        }
    }

    /// Builds a store in memory from the segments, which is used from then on.
    pub(super) fn replace(&self, why: &store::Error) -> Arc<MemoryStore> {
        let _applying = lock(&self.applying);
        if let Some(replacement) = self.replacement.get() {
            return replacement.clone();
        }
        if !matches!(why, store::Error::Closed) {
            self.mark_suspect(why);
        }
        let memory = Arc::new(MemoryStore::default());
        fill(memory.as_ref(), &self.segments);
        let replacement = self.replacement.get_or_init(|| memory).clone();
        if let Ok(watermark) = replacement.watermark() {
            self.advance(watermark);
        }
        replacement
    }

    fn mark_suspect(&self, why: &store::Error) {
        tracing::error!(
            error = %why,
            cause = std::error::Error::source(why).map(tracing::field::display),
            "the index failed; answering from a copy in memory until the ledger is opened again"
        );
        if let Some(marker) = &self.suspect
            && let Err(error) = std::fs::File::create(marker)
        {
            tracing::error!(%error, path = %marker.display(), "the failed index cannot be marked");
        }
    }

    /// The events up to `head` after `after` that `key` finds, at most `limit`.
    pub(super) fn find(&self, head: Seq, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.wait_for(head);
        let found = match self.replacement.get() {
            Some(replacement) => replacement.found(key, after, limit),
            None => match self.store.find(key, after, limit) {
                Ok(found) => found,
                Err(error) => self.replace(&error).found(key, after, limit),
            },
        };
        found.into_iter().take_while(|seq| *seq <= head).collect()
    }

    /// The events before `before` that `key` finds, the last one first, at most `limit`. Nothing
    /// after `head` may be asked for.
    pub(super) fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        self.wait_for(Seq(before.0.saturating_sub(1)));
        match self.replacement.get() {
            Some(replacement) => replacement.found_before(key, before, limit),
            None => match self.store.find_before(key, before, limit) {
                Ok(found) => found,
                Err(error) => self.replace(&error).found_before(key, before, limit),
            },
        }
    }

    /// The last event up to `head` recorded at or before `time`.
    pub(super) fn at_time(&self, head: Seq, time: Timestamp) -> Seq {
        self.wait_for(head);
        let found = match self.replacement.get() {
            Some(replacement) => replacement.last_at(time),
            None => match self.store.at_time(time) {
                Ok(found) => found,
                Err(error) => self.replace(&error).last_at(time),
            },
        };
        found.min(head)
    }

    /// Where event `seq` is; `None` when there is no such event.
    pub(super) fn event(&self, seq: Seq) -> Option<Position> {
        self.wait_for(seq);
        let entry = match self.replacement.get() {
            Some(replacement) => replacement.event(seq),
            None => self.store.event(seq),
        };
        let entry = match entry {
            Ok(Some(entry)) => entry,
            // The ledger has the event, so a store without it is damaged.
            Ok(None) => {
                let why = store::Error::Damaged(format!("event {seq}"));
                self.replace(&why).event(seq).ok().flatten()?
            }
            Err(error) => self.replace(&error).event(seq).ok().flatten()?,
        };
        let segment = self.segments.holding(seq)?;
        Some(Position { segment: segment.header.first, offset: entry.offset })
    }
}

impl Places for Index {
    fn blob_place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = recent.get(&addr) {
            return Ok(Some(*place));
        }
        drop(recent);
        let place = match self.replacement.get() {
            Some(replacement) => replacement.blob(addr),
            None => match self.store.blob(addr) {
                Ok(place) => Ok(place),
                Err(error) => self.replace(&error).blob(addr),
            },
        };
        place.map_err(|error| Error::Index(Arc::new(error)))
    }

    fn named_blob_place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        let place = self.blob_place(addr)?;
        if place.is_some() || self.is_replaced() || !is_in_segments(&self.segments, addr) {
            return Ok(place);
        }
        self.replace(&store::Error::Damaged(format!("blob {addr}")));
        self.blob_place(addr)
    }
}

/// Whether a blob is in the segments, by reading them.
fn is_in_segments(segments: &Arc<Segments>, addr: BlobAddr) -> bool {
    let mut cursor = Cursor::at_start(segments.clone());
    loop {
        match cursor.next() {
            Ok(Some(found)) => {
                if matches!(&found.record, Record::Blob(blob) if blob.addr == addr) {
                    return true;
                }
            }
            Ok(None) => return false,
            Err(error) => {
                segments.note_damage(&error);
                if cursor.skip_damage().is_err() {
                    return false;
                }
            }
        }
    }
}

/// However the index's thread ends, nobody waits for it in vain.
struct StoppedOnDrop<'a>(&'a Index);

impl Drop for StoppedOnDrop<'_> {
    fn drop(&mut self) {
        lock(&self.0.progress).stopped = true;
        self.0.advanced.notify_all();
    }
}

/// The next group, or `Some(None)` at the time `due`; `None` when there will be no other.
fn next(groups: &Receiver<Group>, due: Option<Instant>) -> Option<Option<Group>> {
    let Some(due) = due else { return groups.recv().ok().map(Some) };
    match groups.recv_timeout(due.saturating_duration_since(Instant::now())) {
        Ok(group) => Some(Some(group)),
        Err(RecvTimeoutError::Timeout) => Some(None),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

fn changes_of(group: &Group) -> Changes {
    let keys = |recorded: &Recorded| {
        recorded.event.as_ref().map(|event| SubjectKey::of(&subjects(event))).unwrap_or_default()
    };
    let events = group
        .events
        .iter()
        .map(|written| (written.recorded.seq(), written.entry.clone(), keys(&written.recorded)));
    Changes { events: events.collect(), blobs: group.blobs.clone(), watermark: group.watermark }
}

/// Fills an empty store from the segments, as far as they can be read.
pub(super) fn fill(store: &dyn Store, segments: &Arc<Segments>) {
    let mut cursor = Cursor::at_start(segments.clone());
    let mut time_max = Timestamp(i64::MIN);
    loop {
        match catch_up(store, &mut cursor, &mut time_max) {
            Ok(()) => return,
            Err(CatchUpError::Segments(error @ Error::Corrupt { .. })) => {
                segments.note_damage(&error);
                if cursor.skip_damage().is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Why a store could not be brought up to date.
#[derive(Debug)]
pub(super) enum CatchUpError {
    /// The store failed.
    Store(store::Error),
    /// The segments cannot be read.
    Segments(Error),
}

/// Applies everything from `cursor` to the end of what is durable. `time_max` is the latest
/// recorded time before it.
pub(super) fn catch_up(
    store: &dyn Store,
    cursor: &mut Cursor,
    time_max: &mut Timestamp,
) -> Result<(), CatchUpError> {
    let mut changes = Changes {
        watermark: store.watermark().map_err(CatchUpError::Store)?,
        ..Changes::default()
    };
    let flush = |changes: &mut Changes| {
        store.apply(changes).map_err(CatchUpError::Store)?;
        changes.events.clear();
        changes.blobs.clear();
        Ok(())
    };
    loop {
        let next = cursor.next();
        let found = match next {
            Ok(Some(found)) => found,
            // What was read before damage is kept.
            Ok(None) => return flush(&mut changes),
            Err(error) => {
                flush(&mut changes)?;
                return Err(CatchUpError::Segments(error));
            }
        };
        changes.watermark.end = Position { offset: found.end, ..found.at };
        match &found.record {
            Record::Event(event) => {
                let envelope = &event.envelope;
                *time_max = envelope.recorded.max(*time_max);
                let entry = EventEntry {
                    offset: found.at.offset,
                    time_max: *time_max,
                    frame: event.frame.to_vec(),
                };
                let keys = keys_of(
                    envelope.kind,
                    envelope.schema,
                    envelope.stored,
                    event.payload,
                    envelope.payload.len,
                );
                changes.watermark.seq = envelope.seq;
                changes.watermark.hash = envelope.hash;
                changes.events.push((envelope.seq, entry, keys));
            }
            Record::Blob(blob) => {
                changes.blobs.push((blob.addr, BlobPlace { at: found.at, step: blob.step }));
            }
            Record::Footer(_) | Record::Void => {}
        }
        if changes.events.len() + changes.blobs.len() >= CATCH_UP_EVENTS {
            flush(&mut changes)?;
        }
    }
}

/// What finds an event whose payload is stored as `payload`. A payload that cannot be read finds
/// nothing: reading the event reports it.
fn keys_of(kind: u16, schema: u16, stored: Stored, payload: &[u8], len: u32) -> Vec<SubjectKey> {
    let plain = match stored {
        Stored::Dropped => None,
        Stored::Inline { codec: Codec::Raw, .. } => Some(payload.to_vec()),
        Stored::Inline { codec: Codec::Zstd, .. } => Some(len as usize)
            .filter(|len| *len <= codec::PAYLOAD_BYTES_MAX)
            .and_then(|len| compress::inflate(payload, &[], len)),
    };
    let event = plain.and_then(|plain| codec::decode_event(kind, schema, &plain).ok().flatten());
    event.map(|event| SubjectKey::of(&subjects(&event))).unwrap_or_default()
}
