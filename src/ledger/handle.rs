//! The handle that everyone holds: open, append, subscribe, read.
//!
//! It composes the parts and decides nothing itself: the writer orders, the segments keep, the
//! index finds. The twin in memory is the same code on a disk and a store in memory.

mod check;
mod lookup;
mod open;

pub use check::Check;
pub(in crate::ledger) use open::{check_key, refuse_key_inside};

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::draft::Batch;
use super::error::Error;
use super::event::LedgerRepairedV1;
use super::frame::Recorded;
use super::info::{Info, Sizes};
use super::key::KeySource;
use super::lock::Lock;
use super::reader::Events;
use super::room::Room;
use super::seal::Sealer;
use super::shared::{Shared, Tail};
use super::store;
use super::verify::{self, Verified};
use super::writer::Request;
use crate::model::{BlobAddr, Digest, Seq};

/// How many batches may wait for the writer. Further ones wait outside the queue.
const QUEUE_BATCHES_MAX: usize = 64;
const MIB: u64 = 1024 * 1024;

/// How to open a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory of the ledger; made when missing.
    pub dir: PathBuf,
    /// Where its key comes from.
    pub key: KeySource,
    /// From this many bytes on a segment is sealed and the next one begun.
    pub segment_bytes_max: u64,
    /// How many bytes must stay free on the file system. Below it appends fail with
    /// [`Error::Full`], before the file system itself is full: sled could not even be read then.
    pub free_bytes_reserve: u64,
    /// How much sled may cache, in bytes.
    pub sled_cache_bytes: u64,
}

impl Options {
    /// The defaults: segments of 64 MiB, a reserve of 256 MiB, a cache of 64 MiB, and the key in
    /// `key_file`, which must lie outside `dir` and is made with a new ledger.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            key: KeySource::File(key_file.into()),
            segment_bytes_max: 64 * MIB,
            free_bytes_reserve: 256 * MIB,
            sled_cache_bytes: 64 * MIB,
        }
    }
}

/// What opening a ledger found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The ledger is new.
    pub created: bool,
    /// It is new, and its key was there already.
    pub key_found: bool,
    /// What was put right. Each is a `LedgerRepaired` event, too.
    pub repairs: Vec<LedgerRepairedV1>,
    /// What the operator should be told.
    pub warnings: Vec<String>,
    /// Events that were acknowledged are known to be lost. What people decided may be among them,
    /// so the ledger is frozen until somebody has looked.
    pub lost: bool,
    /// There is no room for the index: one in memory answers, and nothing can be recorded. When
    /// there is room it is to be opened again.
    pub full: bool,
}

/// A ledger that is open for writing. Clones are the same ledger.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Lock>>,
    snapshots: Option<PathBuf>,
    room: Room,
}

/// What these locks protect is only ever taken or replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Appends a batch; returns the sequence numbers of its events, in order.
    ///
    /// Durability: when it returns, the events and the blobs they name survive power loss.
    /// Ordering: the events of a batch are contiguous; batches get their numbers in the order in
    /// which they are acknowledged. After a crash an unacknowledged batch may be there in part,
    /// blobs and events up to some point.
    /// Cancel safety: once it was polled, the batch may be appended although nobody waits.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`] and [`Error::Encode`] leave the ledger usable;
    /// [`Error::Poisoned`] forbids writing until it is opened again;
    /// [`Error::Closed`] after [`Ledger::close`].
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<Vec<Seq>, Error> {
        let queue = lock(&self.inner.queue).clone().ok_or(Error::Closed)?;
        let (answer, answered) = oneshot::channel();
        let request = Request { batch: batch.into(), answer };
        queue.send(request).await.map_err(|_| Error::Closed)?;
        drop(queue);
        answered.await.map_err(|_| Error::Closed)?
    }

    /// As [`Ledger::append`], for callers that may block.
    ///
    /// # Errors
    /// Those of [`Ledger::append`].
    pub fn append_blocking(&self, batch: impl Into<Batch>) -> Result<Vec<Seq>, Error> {
        futures::executor::block_on(self.append(batch))
    }

    /// Whether there is room for what an append may need.
    ///
    /// # Errors
    /// [`Error::Full`] when there is not; [`Error::Io`] when the file system does not say.
    pub fn room(&self) -> Result<(), Error> {
        self.inner.room.for_append()
    }

    /// The last durable event.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.inner.shared.head().seq
    }

    /// The last durable event and the hash of its frame.
    #[must_use]
    pub fn head_hash(&self) -> (Seq, Digest) {
        let head = self.inner.shared.head();
        (head.seq, head.hash)
    }

    /// The ledger's identity.
    #[must_use]
    pub fn ledger_id(&self) -> Uuid {
        self.inner.shared.ledger
    }

    /// Sets the cluster that events are about from now on.
    pub fn set_cluster(&self, cluster: Uuid) {
        self.inner.shared.set_cluster(cluster);
    }

    /// All events after `after`, as they become durable.
    #[must_use]
    pub fn subscribe(&self, after: Seq) -> Tail {
        Tail::new(self.inner.shared.clone(), after)
    }

    /// The event at `seq`; `None` when there is none yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is damaged; [`Error::Io`] when it cannot be read.
    pub fn get(&self, seq: Seq) -> Result<Option<Arc<Recorded>>, Error> {
        let shared = &self.inner.shared;
        if seq == Seq::ZERO || seq > shared.head().seq {
            return Ok(None);
        }
        if let Some(recorded) = shared.recent(seq) {
            return Ok(Some(recorded));
        }
        let placed = shared.index.event(seq).map(|at| shared.reader.event(seq, at));
        if let Some(Ok(recorded)) = placed {
            return Ok(Some(Arc::new(recorded)));
        }
        // Either the index or the segment is damaged: reading in order tells which.
        let mut found = Ok(None);
        for event in Events::new(shared.reader.clone(), shared.reader.cursor(seq), seq, seq) {
            found = event.map(Some);
            if found.is_ok() {
                shared.index.replace(&store::Error::Damaged(format!("event {seq}")));
                break;
            }
        }
        found
    }

    /// The events `from..=to` as far as they are durable, in order, read from the segments.
    #[must_use]
    pub fn range(&self, from: Seq, to: Seq) -> Events {
        let shared = &self.inner.shared;
        let (from, to) = (from.max(Seq(1)), to.min(shared.head().seq));
        Events::new(shared.reader.clone(), shared.cursor(from), from, to)
    }

    /// The plaintext of a blob. For addresses that events name: one that is nowhere costs reading
    /// the whole ledger; [`Ledger::has_blob`] does not.
    ///
    /// # Errors
    /// [`Error::NoBlob`], or [`Error::Corrupt`] when it or one of its bases is damaged.
    pub fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, Error> {
        let shared = &self.inner.shared;
        match shared.reader.blob(addr) {
            // What is damaged is damaged whatever the index is.
            Err(error @ Error::Corrupt { .. }) if shared.reader.is_in_place(addr) => {
                shared.reader.segments.note_damage(&error);
                Err(error)
            }
            Err(Error::Corrupt { what, .. }) if !shared.index.is_replaced() => {
                // A damaged index points anywhere; one built anew points at the blob.
                shared.index.replace(&store::Error::Damaged(format!("blob {addr} ({what})")));
                let again = shared.reader.blob(addr);
                again.inspect_err(|error| shared.reader.segments.note_damage(error))
            }
            other => other,
        }
    }

    /// Whether a blob is in the ledger.
    #[must_use]
    pub fn has_blob(&self, addr: BlobAddr) -> bool {
        self.inner.shared.reader.place(addr).is_ok_and(|place| place.is_some())
    }

    /// What digests and seals under the ledger's key.
    #[must_use]
    pub fn seal(&self) -> &Sealer {
        &self.inner.shared.sealer
    }

    /// What the ledger has and takes.
    #[must_use]
    pub fn info(&self) -> Info {
        let shared = &self.inner.shared;
        let sizes = Sizes {
            sled_bytes: shared.index.bytes_on_disk(),
            watermark: shared.index.watermark().seq,
            index_replaced: shared.index.is_replaced(),
        };
        let (head, counts) = (shared.head(), shared.counts());
        let key = Some(shared.sealer.fingerprint());
        Info::gather(shared.ledger, &shared.reader, (head.seq, head.hash), counts, key, sizes)
    }

    /// Whether `seq` is in the chain with this frame hash.
    #[must_use]
    pub fn contains(&self, seq: Seq, hash: Digest) -> bool {
        if seq == Seq::ZERO {
            return hash.is_zero();
        }
        self.get(seq).is_ok_and(|found| found.is_some_and(|event| event.envelope.hash == hash))
    }

    /// Reads everything and checks everything: checksums, chain, payload hashes, blobs, and the
    /// index against the segments. Takes as long as reading the whole ledger.
    #[must_use]
    pub fn verify(&self) -> Verified {
        let shared = &self.inner.shared;
        let head = shared.head().seq;
        let place = |seq| shared.index.event(seq);
        verify::verify(&shared.reader, head, Some(&place))
    }

    /// As [`Ledger::shutdown`], without blocking the caller's thread.
    pub async fn close(self) {
        if tokio::runtime::Handle::try_current().is_ok() {
            // It fails only when the runtime is shutting down or the closure panics.
            let _joined = tokio::task::spawn_blocking(move || self.shutdown()).await;
        } else {
            self.shutdown();
        }
    }

    /// Takes no more batches, appends those that wait, makes the index durable, and releases the
    /// lock. Later appends fail with [`Error::Closed`]; reading goes on.
    pub fn shutdown(&self) {
        self.inner.stop();
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({} at {})", self.ledger_id(), self.head())
    }
}

impl Inner {
    fn stop(&self) {
        drop(lock(&self.queue).take());
        // The writer ends when its queue is empty and every sender is gone, then the index.
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
        drop(lock(&self.lock).take());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
