//! The in-memory store: the twin of the sled store, the index of a ledger that is read without a
//! daemon, and what takes sled's place when sled fails while the daemon runs.
//!
//! It drops the frames, which only salvage needs. Bound: about 100 bytes for each event and blob,
//! and 40 for each subject of an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::store::{BlobPlace, Changes, Error, EventEntry, Store, SubjectKey, Watermark};
use crate::model::{BlobAddr, Seq, Timestamp};

#[derive(Debug, Default)]
struct Inner {
    /// Offset and latest time. A map, because damage may leave gaps of any width.
    events: BTreeMap<Seq, (u64, Timestamp)>,
    blobs: HashMap<BlobAddr, BlobPlace>,
    subjects: BTreeSet<(SubjectKey, Seq)>,
    watermark: Watermark,
}

/// A store in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryStore(RwLock<Inner>);

/// All that a store has: events by number, blobs by address, subjects by key and event.
pub(super) struct Contents {
    pub(super) events: Vec<(Seq, u64, Timestamp)>,
    pub(super) blobs: Vec<(BlobAddr, BlobPlace)>,
    pub(super) subjects: Vec<(SubjectKey, Seq)>,
}

impl MemoryStore {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Nothing panics while the lock is held, so its content is whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events and blobs it has.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.read();
        (inner.events.len(), inner.blobs.len())
    }

    /// All that it has, in order.
    pub(super) fn contents(&self) -> Contents {
        let inner = self.read();
        let events = inner.events.iter().map(|(seq, (offset, time))| (*seq, *offset, *time));
        let mut blobs: Vec<_> = inner.blobs.iter().map(|(addr, place)| (*addr, *place)).collect();
        blobs.sort_unstable_by_key(|(addr, _)| *addr);
        let subjects = inner.subjects.iter().copied().collect();
        Contents { events: events.collect(), blobs, subjects }
    }

    /// [`Store::find`], which cannot fail here.
    pub(super) fn found(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        let inner = self.read();
        let range = inner.subjects.range((key, after.next())..=(key, Seq(u64::MAX)));
        range.take(limit).map(|(_, seq)| *seq).collect()
    }

    /// [`Store::find_before`], which cannot fail here.
    pub(super) fn found_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        let inner = self.read();
        let range = inner.subjects.range((key, Seq::ZERO)..(key, before));
        range.rev().take(limit).map(|(_, seq)| *seq).collect()
    }

    /// [`Store::at_time`], which cannot fail here.
    pub(super) fn last_at(&self, time: Timestamp) -> Seq {
        let inner = self.read();
        let until = inner.events.iter().take_while(|(_, (_, time_max))| *time_max <= time);
        until.last().map_or(Seq::ZERO, |(seq, _)| *seq)
    }
}

impl Store for MemoryStore {
    fn apply(&self, changes: &Changes) -> Result<(), Error> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (seq, entry, subjects) in &changes.events {
            inner.events.insert(*seq, (entry.offset, entry.time_max));
            inner.subjects.extend(subjects.iter().map(|key| (*key, *seq)));
        }
        inner.blobs.extend(changes.blobs.iter().copied());
        // It may be applied again what it already has, by the index that follows the writer.
        if changes.watermark.end >= inner.watermark.end {
            inner.watermark = changes.watermark;
        }
        Ok(())
    }

    fn watermark(&self) -> Result<Watermark, Error> {
        Ok(self.read().watermark)
    }

    fn event(&self, seq: Seq) -> Result<Option<EventEntry>, Error> {
        let inner = self.read();
        Ok(inner.events.get(&seq).map(|(offset, time_max)| EventEntry {
            offset: *offset,
            time_max: *time_max,
            frame: Vec::new(),
        }))
    }

    fn blob(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        Ok(self.read().blobs.get(&addr).copied())
    }

    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Result<Vec<Seq>, Error> {
        Ok(self.found(key, after, limit))
    }

    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Result<Vec<Seq>, Error> {
        Ok(self.found_before(key, before, limit))
    }

    fn at_time(&self, time: Timestamp) -> Result<Seq, Error> {
        Ok(self.last_at(time))
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}
