//! What the writer, its readers and its subscribers share: the head, recent events, counts.
//!
//! Ordering: a group is put into the ring before the head moves, so whoever sees a head finds
//! what it stands for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;
use uuid::Uuid;

use super::error::Error;
use super::frame::Recorded;
use super::index::Index;
use super::reader::{Events, Reader};
use super::seal::Sealer;
use super::segment::Cursor;
use crate::model::{Digest, Seq, Timestamp};

/// How many recent events are kept in memory for subscribers.
const RING_EVENTS_MAX: usize = 4096;
/// How many bytes of recent events are kept in memory, by the length of their bodies.
const RING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many events a subscriber is given at once.
pub(super) const TAIL_EVENTS_MAX: usize = 1024;
/// Beyond this many bytes of bodies a subscriber that is behind is given no further event at once.
const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The end of the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) hash: Digest,
    /// Nothing will follow.
    pub(super) closed: bool,
}

/// The last events, oldest first, with what they weigh.
#[derive(Default)]
struct Ring {
    events: VecDeque<(Arc<Recorded>, usize)>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, recorded: Arc<Recorded>, weight: usize) {
        self.bytes += weight;
        self.events.push_back((recorded, weight));
        while self.events.len() > RING_EVENTS_MAX
            || (self.bytes > RING_BYTES_MAX && self.events.len() > 1)
        {
            if let Some((_, weight)) = self.events.pop_front() {
                self.bytes -= weight;
            }
        }
    }

    /// The index of the event after `seq`, when the ring has it.
    fn index_after(&self, seq: Seq) -> Option<usize> {
        let (oldest, _) = self.events.front()?;
        let index = usize::try_from(seq.next().0.checked_sub(oldest.seq().0)?).ok()?;
        (index < self.events.len()).then_some(index)
    }
}

/// Totals since the ledger was created.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) blobs: u64,
    pub(super) newest: Timestamp,
}

/// What the parts of an open ledger share.
pub(super) struct Shared {
    pub(super) ledger: Uuid,
    pub(super) sealer: Arc<Sealer>,
    pub(super) reader: Arc<Reader>,
    pub(super) index: Arc<Index>,
    head: watch::Sender<Head>,
    ring: RwLock<Ring>,
    cluster: Mutex<Uuid>,
    counts: Mutex<Counts>,
}

/// What these locks protect is whole at every statement, so it is whole after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        ledger: Uuid,
        sealer: Arc<Sealer>,
        reader: Arc<Reader>,
        index: Arc<Index>,
        head: Head,
        counts: Counts,
    ) -> Self {
        Self {
            ledger,
            sealer,
            reader,
            index,
            head: watch::Sender::new(head),
            ring: RwLock::default(),
            cluster: Mutex::new(Uuid::nil()),
            counts: Mutex::new(counts),
        }
    }

    pub(super) fn head(&self) -> Head {
        *self.head.borrow()
    }

    pub(super) fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    pub(super) fn cluster(&self) -> Uuid {
        *lock(&self.cluster)
    }

    pub(super) fn set_cluster(&self, cluster: Uuid) {
        *lock(&self.cluster) = cluster;
    }

    /// Publishes a durable group and moves the head.
    pub(super) fn publish(
        &self,
        head: Head,
        events: impl Iterator<Item = (Arc<Recorded>, usize)>,
        newest: Timestamp,
        blobs: u64,
    ) {
        {
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            for (recorded, weight) in events {
                ring.push(recorded, weight);
            }
        }
        {
            let mut counts = lock(&self.counts);
            counts.newest = newest;
            counts.blobs += blobs;
        }
        self.head.send_replace(head);
    }

    /// Says that nothing will follow.
    pub(super) fn publish_closed(&self) {
        self.head.send_modify(|head| head.closed = true);
    }

    /// A recent event, if the ring still has it.
    pub(super) fn recent(&self, seq: Seq) -> Option<Arc<Recorded>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let index = ring.index_after(Seq(seq.0.checked_sub(1)?))?;
        ring.events.get(index).map(|(recorded, _)| recorded.clone())
    }

    /// The events right after `after`, if the ring still has the first of them.
    fn recent_after(&self, after: Seq) -> Option<Vec<Arc<Recorded>>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let index = ring.index_after(after)?;
        let events = ring.events.range(index..).take(TAIL_EVENTS_MAX);
        Some(events.map(|(recorded, _)| recorded.clone()).collect())
    }

    /// A cursor at or before event `from`.
    pub(super) fn cursor(&self, from: Seq) -> Cursor {
        let segments = &self.reader.segments;
        let start = segments.holding(from).filter(|segment| segment.header.first < from);
        // The index would wait for an event that may never come.
        let start = start.filter(|_| from <= self.head().seq);
        // In the middle of a segment the index saves reading what comes before.
        match start.and_then(|_| self.index.event(from)) {
            Some(position) => Cursor::at(segments.clone(), position),
            None => self.reader.cursor(from),
        }
    }
}

/// All events after a sequence number, in order, as they become durable: without gaps, without
/// duplicates.
pub struct Tail {
    shared: Arc<Shared>,
    head: watch::Receiver<Head>,
    after: Seq,
    /// The end of the ledger when the last batch was taken.
    aim: Seq,
    /// Reads the segments while the tail is behind what is kept in memory.
    behind: Option<Events>,
}

impl Tail {
    pub(super) fn new(shared: Arc<Shared>, after: Seq) -> Self {
        let head = shared.head.subscribe();
        Self { shared, head, after, aim: after, behind: None }
    }

    /// The last event that was returned.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.after
    }

    /// The end of the ledger when the last batch was taken. It is later than [`Tail::position`] where
    /// that batch was cut, perhaps in the middle of what was appended as one.
    #[must_use]
    pub fn aim(&self) -> Seq {
        self.aim.max(self.after)
    }

    /// The next events, at least one and at most 1 024; waits until there are any.
    ///
    /// Cancel safety: when it is dropped, the next call returns what this one would have.
    ///
    /// # Errors
    /// [`Error::Closed`] when the ledger was closed and everything in it was returned;
    /// [`Error::Corrupt`] when an event cannot be read: the tail does not skip it, a projection
    /// must not silently miss an event.
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<Recorded>>, Error> {
        loop {
            let head = *self.head.borrow_and_update();
            if head.seq > self.after {
                let batch = self.take(head.seq)?;
                if let Some(last) = batch.last() {
                    self.after = last.seq();
                    return Ok(batch);
                }
            }
            if head.closed || self.head.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    /// What is there now after the last returned event, at most 1 024 events; may be empty.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when an event cannot be read.
    pub fn ready_batch(&mut self) -> Result<Vec<Arc<Recorded>>, Error> {
        let head = *self.head.borrow_and_update();
        if head.seq <= self.after {
            return Ok(Vec::new());
        }
        let batch = self.take(head.seq)?;
        if let Some(last) = batch.last() {
            self.after = last.seq();
        }
        Ok(batch)
    }

    fn take(&mut self, head: Seq) -> Result<Vec<Arc<Recorded>>, Error> {
        self.aim = head;
        if let Some(batch) = self.shared.recent_after(self.after) {
            self.behind = None;
            return Ok(batch);
        }
        // Blocking, but bounded: a batch is some milliseconds of reading from the page cache,
        // and it happens only at the start and to a subscriber that was left far behind.
        let (shared, from) = (&self.shared, self.after.next());
        let events = self.behind.get_or_insert_with(|| {
            Events::new(shared.reader.clone(), shared.cursor(from), from, Seq(u64::MAX))
        });
        let (mut batch, mut bytes): (Vec<Arc<Recorded>>, usize) = (Vec::new(), 0);
        while batch.len() < TAIL_EVENTS_MAX
            && bytes < TAIL_BYTES_MAX
            && batch.last().is_none_or(|last| last.seq() < head)
        {
            match events.next() {
                Some(Ok(recorded)) => {
                    bytes += recorded.envelope.payload.len as usize;
                    batch.push(recorded);
                }
                Some(Err(error)) => {
                    self.behind = None;
                    return if batch.is_empty() { Err(error) } else { Ok(batch) };
                }
                None => {
                    self.behind = None;
                    break;
                }
            }
        }
        Ok(batch)
    }
}
