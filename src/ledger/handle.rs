//! The handle that everyone holds: open, append, subscribe, read.
//!
//! It composes the parts and decides nothing itself: the writer orders, the segments keep, the
//! index finds. The twin in memory is the same code on a disk and a store in memory.

mod check;
mod lookup;

pub use check::Check;

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::disk::{Disk, FileDisk};
use super::draft::{Batch, Draft};
use super::error::Error;
use super::event::{FrozenV1, LedgerCreatedV1, LedgerRepairedV1};
use super::frame::Recorded;
use super::index::{Index, LAG_GROUPS_MAX, fill};
use super::info::{Info, Sizes};
use super::key::{self, KeySource};
use super::load::{Loaded, load};
use super::lock::Lock;
use super::memory_disk::MemoryDisk;
use super::memory_store::MemoryStore;
use super::reader::{Events, Reader};
use super::record::Header;
use super::repair::{IndexFiles, set_torn_aside, was_whole};
use super::room::Room;
use super::seal::{KeyBytes, Sealer};
use super::segment::Segment;
use super::shared::{Counts, Head, Shared, Tail};
use super::store::{self, Store};
use super::verify::{self, Verified};
use super::writer::{Limits, Request, Writer, create_segment};
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

/// The parts from which a ledger is assembled.
pub(super) struct Parts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) loaded: Loaded,
    pub(super) sealer: Arc<Sealer>,
    pub(super) ledger: Uuid,
    pub(super) store: Arc<dyn Store>,
    pub(super) suspect: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) owed: Vec<Draft>,
    pub(super) lock: Option<Lock>,
    pub(super) snapshots: Option<PathBuf>,
}

impl Ledger {
    /// Opens the ledger in `options.dir`, or makes it; takes its exclusive lock, repairs what a
    /// crash left (see `ledger::repair`) and starts the writer. Blocks; what takes long is only
    /// the rebuilding of a damaged index. Without room for the index (`OpenReport::full`) it can
    /// be read: sled is not touched then, which would break it.
    ///
    /// # Errors
    /// [`Error::Locked`] names the process that has it open; [`Error::Corrupt`] names the damaged
    /// place (an `Archive` still reads the rest); the `Key…` errors say what is wrong with the
    /// key; [`Error::Full`] when a new ledger has no room, or what a crash left cannot be set
    /// aside, see [`Error::is_full`].
    pub fn open(options: Options) -> Result<(Self, OpenReport), Error> {
        let dir = &options.dir;
        let failed = |error| Error::io("create", dir.display().to_string(), error);
        let disk = FileDisk::create(dir.join("segments"), dir.join("aside")).map_err(failed)?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        refuse_key_inside(dir, options.key.path())?;
        let held = Lock::acquire(dir)?;
        let mut loaded = load(&disk)?;
        let mut report = OpenReport::default();
        let first = loaded.segments.all().first().map(|segment| segment.header.clone());
        let sealer = open_key(&options, first.as_ref(), &mut report)?;
        let ledger = first.as_ref().map_or_else(Uuid::now_v7, |header| header.ledger);

        let index = IndexFiles::new(dir.clone(), options.sled_cache_bytes);
        let room = Room::new(disk.clone(), options.free_bytes_reserve).for_index();
        report.full = loaded.end.seq > Seq::ZERO && room.is_err();
        if report.full && loaded.torn.is_some() {
            room?;
        }
        if let Some(torn) = &loaded.torn {
            report.lost = was_whole(&disk, torn)?;
            let acknowledged = index.acknowledged(ledger);
            report.repairs.extend(set_torn_aside(&disk, &loaded, acknowledged)?);
            loaded.torn = None;
        }
        let (store, repairs) = open_index(&index, &disk, &loaded, (ledger, report.full))?;
        report.lost |= repairs.iter().any(|repair| repair.possibly_acknowledged);
        report.repairs.extend(repairs);
        report.created = loaded.end.seq == Seq::ZERO;
        let limits = Limits {
            segment_bytes_max: options.segment_bytes_max,
            free_bytes_reserve: options.free_bytes_reserve,
        };
        let ledger = Self::assemble(Parts {
            disk,
            sealer,
            ledger,
            store,
            suspect: Some(index.suspect()),
            limits,
            owed: owed(&report),
            lock: Some(held),
            snapshots: Some(dir.join("snapshots")),
            loaded,
        })?;
        Ok((ledger, report))
    }

    /// A ledger that is gone when its last handle is: the twin of a ledger on disk, under the
    /// same contract.
    ///
    /// # Panics
    /// When the system gives no random bytes or no threads: nothing could run then.
    #[must_use]
    pub fn in_memory() -> Self {
        let key = key::random().expect("a system without random bytes runs nothing");
        let store = Arc::new(MemoryStore::default());
        let opened = Self::on_memory(MemoryDisk::default(), &key, u64::MAX, store);
        opened.expect("a fresh disk in memory has no damage and endless room").0
    }

    /// Opens a ledger on a disk in memory, with an empty store.
    pub(super) fn on_memory(
        disk: MemoryDisk,
        key: &KeyBytes,
        segment_bytes_max: u64,
        store: Arc<dyn Store>,
    ) -> Result<(Self, OpenReport), Error> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let mut loaded = load(&disk)?;
        let mut report = OpenReport::default();
        let acknowledged = super::repair::Acknowledged::default();
        report.lost = loaded.torn.as_ref().map_or(Ok(false), |torn| was_whole(&disk, torn))?;
        report.repairs.extend(set_torn_aside(&disk, &loaded, acknowledged)?);
        loaded.torn = None;
        let first = loaded.segments.all().first().map(|segment| segment.header.ledger);
        fill(store.as_ref(), &loaded.segments);
        if let Some(damage) = loaded.segments.damage() {
            return Err(damage);
        }
        report.created = loaded.end.seq == Seq::ZERO;
        let ledger = Self::assemble(Parts {
            disk,
            sealer: Arc::new(Sealer::new(key)),
            ledger: first.unwrap_or_else(Uuid::now_v7),
            store,
            suspect: None,
            limits: Limits { segment_bytes_max, free_bytes_reserve: 0 },
            owed: owed(&report),
            lock: None,
            snapshots: None,
            loaded,
        })?;
        Ok((ledger, report))
    }

    fn assemble(parts: Parts) -> Result<Self, Error> {
        let Parts { disk, loaded, sealer, ledger, store, limits, .. } = parts;
        let segment = last_segment(disk.as_ref(), &loaded, ledger, &sealer)?;
        let watermark = store.watermark().map_err(|error| Error::Index(Arc::new(error)))?;
        let segments = loaded.segments.clone();
        let index = Arc::new(Index::new(store, watermark, segments.clone(), parts.suspect));
        let places = index.clone();
        let reader = Arc::new(Reader::new(segments, places, Some(sealer.clone())));
        let head = Head { seq: loaded.end.seq, hash: loaded.end.hash, closed: false };
        let counts = Counts { blobs: loaded.totals.1, newest: loaded.end.time_max };
        let shared = Arc::new(Shared::new(ledger, sealer, reader, index, head, counts));
        let (groups, followed) = sync_channel(LAG_GROUPS_MAX);
        let at = (segment, loaded.end);
        let room = Room::new(disk.clone(), limits.free_bytes_reserve);
        let mut writer = Writer::new(disk, shared.clone(), groups, limits, at, parts.owed);
        let follower = shared.clone();
        let index = spawn("ledger-index", move || follower.index.follow(&followed))?;
        match writer.settle() {
            Ok(()) => {}
            // It is owed until there is room; reading goes on. A new ledger is nothing yet.
            Err(Error::Full { .. }) if head.seq > Seq::ZERO => {}
            Err(error) => return Err(error),
        }
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES_MAX);
        let writer = spawn("ledger-writer", move || writer.run(requests))?;
        let inner = Inner {
            shared,
            queue: Mutex::new(Some(queue)),
            threads: Mutex::new(vec![writer, index]),
            lock: Mutex::new(parts.lock),
            snapshots: parts.snapshots,
            room,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

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

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| Error::io("start thread", name, error))
}

/// The index on disk; with `full` one in memory.
fn open_index(
    files: &IndexFiles,
    disk: &Arc<dyn Disk>,
    loaded: &Loaded,
    (ledger, full): (Uuid, bool),
) -> Result<(Arc<dyn Store>, Vec<LedgerRepairedV1>), Error> {
    if full {
        let memory = MemoryStore::default();
        // Nothing is recorded on top of it, so damage is only noted.
        fill(&memory, &loaded.segments);
        return Ok((Arc::new(memory), Vec::new()));
    }
    let (store, repairs) = files.open(disk, loaded, ledger)?;
    Ok((Arc::new(store), repairs))
}

/// What the writer must append before anything else.
fn owed(report: &OpenReport) -> Vec<Draft> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let created = report.created.then(|| Draft::new(LedgerCreatedV1 { version }));
    let missing = (report.key_found && !report.lost).then(|| {
        let what =
            "the key was there before this ledger: if another ledger had it, that is missing";
        let (what, kept) = (what.to_owned(), String::new());
        Draft::new(LedgerRepairedV1 { what, kept, possibly_acknowledged: true })
    });
    let freeze = report.lost.then(|| {
        let reason = "acknowledged events of the ledger were lost: see `greffier log --all \
                      --kind ledger.repaired`; what people decided in them is not known";
        Draft::new(FrozenV1 { until: None, reason: reason.to_owned() })
    });
    let repairs = report.repairs.iter().cloned().map(Draft::new);
    created.into_iter().chain(missing).chain(repairs).chain(freeze).collect()
}

/// The segment that is written to; the first one is made here.
fn last_segment(
    disk: &dyn Disk,
    loaded: &Loaded,
    ledger: Uuid,
    sealer: &Sealer,
) -> Result<Arc<Segment>, Error> {
    if let Some(last) = loaded.segments.all().last() {
        return Ok(last.clone());
    }
    let key = sealer.fingerprint();
    let header = Header { ledger, first: Seq(1), prev: Digest::default(), key };
    let segment = create_segment(disk, header)?;
    loaded.segments.push(segment.clone());
    Ok(segment)
}

fn open_key(
    options: &Options,
    first: Option<&Header>,
    report: &mut OpenReport,
) -> Result<Arc<Sealer>, Error> {
    let loaded = key::load(&options.key, first.is_none())?;
    let sealer = Sealer::new(&loaded.key);
    check_key(options.key.path(), &sealer, first)?;
    report.key_found = first.is_none() && !loaded.made;
    if report.key_found {
        report.warnings.push(format!(
            "a new ledger was made in {} for the key in {}, which was there: where another ledger \
             had that key, stop greffier and bring that one back, it knows what people decided",
            options.dir.display(),
            options.key.path().display()
        ));
    }
    if loaded.made {
        report.warnings.push(format!(
            "a new key was made in {}: keep a copy of it elsewhere, Secrets cannot be restored \
             without it",
            options.key.path().display()
        ));
    }
    Ok(Arc::new(sealer))
}

/// Refuses a key that is not the ledger's.
pub(super) fn check_key(path: &Path, sealer: &Sealer, first: Option<&Header>) -> Result<(), Error> {
    match first {
        Some(header) if header.key != sealer.fingerprint() => Err(Error::KeyWrong {
            path: path.to_owned(),
            found: hex::encode(sealer.fingerprint()),
            expected: hex::encode(header.key),
        }),
        _ => Ok(()),
    }
}

/// Security: a copy of the ledger's directory must not carry the key.
pub(super) fn refuse_key_inside(dir: &Path, key: &Path) -> Result<(), Error> {
    let absolute = |path: &Path| {
        let known = path.ancestors().find_map(|ancestor| {
            let real = ancestor.canonicalize().ok()?;
            Some(real.join(path.strip_prefix(ancestor).ok()?))
        });
        known.or_else(|| std::path::absolute(path).ok())
    };
    match (absolute(dir), absolute(key)) {
        (Some(dir), Some(absolute)) if absolute.starts_with(&dir) => {
            Err(Error::KeyInside(key.to_owned()))
        }
        _ => Ok(()),
    }
}
