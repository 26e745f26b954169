//! Reading a ledger without a daemon: segments only, never sled, no lock, nothing written.
//!
//! It may be used while a daemon writes: it sees what was durable when it was opened. Where the
//! places of blobs are needed, an index of its own is built in memory, once.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::disk::{Disk, FileDisk};
use super::error::Error;
use super::frame::Recorded;
use super::handle::check_key;
use super::index::fill;
use super::info::{Info, Sizes};
use super::key;
use super::load::{Torn, load};
use super::memory_store::MemoryStore;
use super::reader::{Events, Places, Reader};
use super::repair::damage_in_the_middle;
use super::room::Room;
use super::seal::Sealer;
use super::segment::{Cursor, Segments};
use super::shared::Counts;
use super::store::{BlobPlace, Position, Store, SubjectKey};
use super::verify::{self, Verified};
use super::witness::Witnesses;
use crate::model::{AppName, BlobAddr, CommitId, Digest, ObjectKey, Seq, Timestamp};

/// The index that an archive builds when it is first asked for something that needs one.
struct LazyIndex {
    segments: Arc<Segments>,
    store: OnceLock<MemoryStore>,
}

impl LazyIndex {
    fn store(&self) -> &MemoryStore {
        self.store.get_or_init(|| {
            let store = MemoryStore::default();
            fill(&store, &self.segments);
            store
        })
    }
}

impl Places for LazyIndex {
    fn blob_place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        self.store().blob(addr).map_err(|error| Error::Index(Arc::new(error)))
    }
}

/// A ledger that is open for reading only.
pub struct Archive {
    reader: Arc<Reader>,
    index: Arc<LazyIndex>,
    ledger: Uuid,
    head: (Seq, Digest),
    counts: Counts,
    key: Option<[u8; 8]>,
    torn: Option<Torn>,
    shortened: Option<Error>,
}

impl Archive {
    /// Opens the ledger in `dir`. Without its key, sealed blobs cannot be read.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no ledger; [`Error::KeyWrong`] and its kin;
    /// [`Error::Corrupt`] when the segments do not follow each other.
    pub fn open(dir: &Path, key_file: Option<&Path>) -> Result<Self, Error> {
        let segments = dir.join("segments");
        if !segments.is_dir() {
            return Err(Error::Missing(dir.to_owned()));
        }
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::read_only(segments, dir.join("aside")));
        let witnesses = Witnesses::list(dir);
        let loaded = load(&disk)?;
        if let Some(torn) = &loaded.torn
            && let Some(damage) = damage_in_the_middle(&disk, torn)?
        {
            loaded.segments.note_damage(&damage);
        }
        let all = loaded.segments.all();
        // Damage that is known says better why it ends here.
        let last = all.last().filter(|_| loaded.segments.damage().is_none());
        let shortened = last.and_then(|last| {
            witnesses.shortened(loaded.end.seq, loaded.segments.describe(last), last.end())
        });
        if let Some(damage) = &shortened {
            loaded.segments.note_damage(damage);
        }
        let first = all.first().ok_or_else(|| Error::Missing(dir.to_owned()))?;
        let sealer = key_file.map(|path| open_key(path, &first.header)).transpose()?;
        let index =
            Arc::new(LazyIndex { segments: loaded.segments.clone(), store: OnceLock::new() });
        let places = index.clone();
        let key = sealer.as_ref().map(|sealer| sealer.fingerprint());
        Ok(Self {
            reader: Arc::new(Reader::new(loaded.segments.clone(), places, sealer)),
            index,
            ledger: first.header.ledger,
            head: (loaded.end.seq, loaded.end.hash),
            counts: Counts { blobs: loaded.totals.1, newest: loaded.end.time_max },
            key,
            torn: loaded.torn,
            shortened,
        })
    }

    /// What follows the last record that can be read: file, offset, and what is wrong. A writer
    /// that is in the middle of an append leaves such an end for a moment, a crash until the
    /// ledger is opened for writing; anything else is damage.
    #[must_use]
    pub fn torn_end(&self) -> Option<String> {
        let torn = self.torn.as_ref()?;
        let Torn { name, offset, bytes, what } = torn;
        Some(format!("{name} at offset {offset}: {what}; {bytes} bytes cannot be read"))
    }

    /// The first damage that was met: what stands behind it is not told. An end that an interrupted
    /// append left is none.
    #[must_use]
    pub fn damage(&self) -> Option<Error> {
        self.reader.segments.damage()
    }

    /// What tells that the files once had more events than now: their end is missing. A start records
    /// that, and freezes.
    #[must_use]
    pub fn shortened(&self) -> Option<&Error> {
        self.shortened.as_ref()
    }

    /// Whether there is room for a daemon to open the ledger, of whose file system `reserve` bytes
    /// must stay free.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`] when it cannot be measured.
    pub fn room(&self, reserve: u64) -> Result<(), Error> {
        Room::new(self.reader.segments.disk().clone(), reserve).for_index()
    }

    /// The last durable event when the archive was opened.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head.0
    }

    /// The ledger's identity.
    #[must_use]
    pub fn ledger_id(&self) -> Uuid {
        self.ledger
    }

    /// The event at `seq`; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is damaged; [`Error::Io`] when it cannot be read.
    pub fn get(&self, seq: Seq) -> Result<Option<Arc<Recorded>>, Error> {
        let mut damage = None;
        for event in self.range(seq, seq) {
            match event {
                Ok(recorded) => return Ok(Some(recorded)),
                // Damage before it does not matter to it.
                Err(error) => damage = Some(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// The events `from..=to`, in order. After [`Error::Corrupt`] it goes on with the undamaged
    /// rest.
    #[must_use]
    pub fn range(&self, from: Seq, to: Seq) -> Events {
        let (from, to) = (from.max(Seq(1)), to.min(self.head.0));
        Events::new(self.reader.clone(), self.cursor(from), from, to)
    }

    fn cursor(&self, from: Seq) -> Cursor {
        // An index that is there anyway saves reading what comes before.
        let entry = self.index.store.get().and_then(|store| store.event(from).ok().flatten());
        match (entry, self.reader.segments.holding(from)) {
            (Some(entry), Some(segment)) => {
                let at = Position { segment: segment.header.first, offset: entry.offset };
                Cursor::at(self.reader.segments.clone(), at)
            }
            _ => self.reader.cursor(from),
        }
    }

    /// The events about an object after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.index.store().found(SubjectKey::object(key), after, limit)
    }

    /// The events about an application after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_app(&self, app: &AppName, after: Seq, limit: usize) -> Vec<Seq> {
        self.index.store().found(SubjectKey::app(app.as_str()), after, limit)
    }

    /// The events about a commit after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_commit(&self, commit: &CommitId, after: Seq, limit: usize) -> Vec<Seq> {
        self.index.store().found(SubjectKey::commit(commit.as_str()), after, limit)
    }

    /// The events after `after` that `key` finds, in order, at most `limit`.
    #[must_use]
    pub fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.index.store().found(key, after, limit)
    }

    /// The events before `before` that `key` finds, the last one first, at most `limit`.
    #[must_use]
    pub fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        self.index.store().found_before(key, before, limit)
    }

    /// The last event that was recorded at or before `time`; zero when none was.
    #[must_use]
    pub fn at_time(&self, time: Timestamp) -> Seq {
        self.index.store().last_at(time)
    }

    /// What digests under the ledger's key; `None` = it was opened without the key.
    #[must_use]
    pub fn seal(&self) -> Option<&Sealer> {
        self.reader.sealer()
    }

    /// The plaintext of a blob.
    ///
    /// # Errors
    /// [`Error::NoBlob`]; [`Error::Sealed`] when it needs the key; [`Error::Corrupt`].
    pub fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, Error> {
        self.reader.blob(addr)
    }

    /// Whether a blob is in the ledger.
    #[must_use]
    pub fn has_blob(&self, addr: BlobAddr) -> bool {
        self.reader.place(addr).is_ok_and(|place| place.is_some())
    }

    /// What the ledger has and takes.
    #[must_use]
    pub fn info(&self) -> Info {
        let sizes = Sizes::default();
        Info::gather(self.ledger, &self.reader, self.head, self.counts, self.key, sizes)
    }

    /// Reads everything and checks everything.
    #[must_use]
    pub fn verify(&self) -> Verified {
        let mut verified = verify::verify(&self.reader, self.head.0, None);
        verified.problems.extend(self.shortened.clone());
        verified
    }
}

fn open_key(path: &Path, header: &super::record::Header) -> Result<Arc<Sealer>, Error> {
    let sealer = Sealer::new(&key::read(path)?);
    check_key(path, &sealer, Some(header))?;
    Ok(Arc::new(sealer))
}
