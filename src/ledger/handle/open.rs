//! How a ledger is opened: what is read, what is repaired and in which order, and what is owed to be
//! recorded of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Inner, Ledger, OpenReport, Options, QUEUE_BATCHES_MAX};
use crate::ledger::disk::{Disk, FileDisk};
use crate::ledger::draft::Draft;
use crate::ledger::error::Error;
use crate::ledger::event::{FrozenV1, LedgerCreatedV1, LedgerRepairedV1};
use crate::ledger::index::{Index, LAG_GROUPS_MAX, fill};
use crate::ledger::key;
use crate::ledger::load::{Loaded, load};
use crate::ledger::lock::Lock;
use crate::ledger::memory_disk::MemoryDisk;
use crate::ledger::memory_store::MemoryStore;
use crate::ledger::reader::Reader;
use crate::ledger::record::Header;
use crate::ledger::repair::{Acknowledged, IndexFiles, set_torn_aside};
use crate::ledger::room::Room;
use crate::ledger::seal::{KeyBytes, Sealer};
use crate::ledger::segment::Segment;
use crate::ledger::shared::{Counts, Head, Shared};
use crate::ledger::store::Store;
use crate::ledger::unrecorded::Unrecorded;
use crate::ledger::witness::{self, Witnesses};
use crate::ledger::writer::{Limits, Writer, create_segment};
use crate::model::{Digest, Seq};

/// The parts from which a ledger is assembled.
struct Parts {
    disk: Arc<dyn Disk>,
    loaded: Loaded,
    sealer: Arc<Sealer>,
    ledger: Uuid,
    store: Arc<dyn Store>,
    suspect: Option<PathBuf>,
    limits: Limits,
    owed: Vec<Draft>,
    lock: Option<Lock>,
    snapshots: Option<PathBuf>,
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
        let mut unrecorded = Unrecorded::resume(dir, &loaded.segments, loaded.end.seq)?;
        if loaded.torn.is_some() {
            set_torn_aside(&disk, &mut loaded, index.acknowledged(ledger), &mut unrecorded)?;
        }
        let full = report.full;
        let store = open_index(&index, &disk, &loaded, (ledger, full), &mut unrecorded)?;
        let witnesses = Witnesses::list(dir);
        let witnessed = witnesses.repair(dir, loaded.end.seq);
        report.lost = unrecorded.lost() || witnessed.is_some();
        report.repairs = unrecorded.repairs().iter().cloned().chain(witnessed).collect();
        let end = loaded.end.seq;
        report.created = end == Seq::ZERO;
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
            snapshots: Some(witness::directory(dir)),
            loaded,
        })?;
        // Without room nothing is: then all of it is found again when it is opened again.
        let recorded = ledger.head() > end;
        if recorded {
            witnesses.set_aside(dir, end);
        }
        if recorded || (report.repairs.is_empty() && !full) {
            unrecorded.recorded();
        }
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
    pub(in crate::ledger) fn on_memory(
        disk: MemoryDisk,
        key: &KeyBytes,
        segment_bytes_max: u64,
        store: Arc<dyn Store>,
    ) -> Result<(Self, OpenReport), Error> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let mut loaded = load(&disk)?;
        let mut report = OpenReport::default();
        let mut unrecorded = Unrecorded::default();
        set_torn_aside(&disk, &mut loaded, Acknowledged::default(), &mut unrecorded)?;
        report.lost = unrecorded.lost();
        report.repairs = unrecorded.repairs().to_vec();
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
    unrecorded: &mut Unrecorded,
) -> Result<Arc<dyn Store>, Error> {
    if full {
        let memory = MemoryStore::default();
        // Nothing is recorded on top of it, so damage is only noted.
        fill(&memory, &loaded.segments);
        return Ok(Arc::new(memory));
    }
    Ok(Arc::new(files.open(disk, loaded, ledger, unrecorded)?))
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
pub(in crate::ledger) fn check_key(
    path: &Path,
    sealer: &Sealer,
    first: Option<&Header>,
) -> Result<(), Error> {
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
pub(in crate::ledger) fn refuse_key_inside(dir: &Path, key: &Path) -> Result<(), Error> {
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
