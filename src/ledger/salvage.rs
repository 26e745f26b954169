//! Makes a ledger of what can still be read of a damaged one.
//!
//! The damaged ledger is only read. What is taken over keeps its bytes and its place, because blobs
//! are found, and stored against each other, by place:
//!
//! - A damaged *blob* costs that blob and those that are stored against it. A void takes its place;
//!   every event stays, since the chain of the events around it proves that none is missing.
//! - A damaged *event* ends the chain: whatever is derived by replay would be wrong without it, so
//!   nothing behind it is taken. So does an event whose actor was in a blob that is lost.
//! - A damaged header or footer of a segment is made again from what it says of others.
//!
//! What the new ledger does not have is recorded in it as its first new event. Where events are
//! lost, what people held, paused and froze may be among them: the new ledger is frozen until a
//! person has looked.

mod scan;
#[cfg(test)]
mod tests;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::disk::{Disk, File, FileDisk, sync_directory};
use super::draft::Draft;
use super::error::Error;
use super::event::{FrozenV1, LedgerRepairedV1};
use super::handle::{Ledger, Options, check_key, refuse_key_inside};
use super::key;
use super::lock::Lock;
use super::record::{BODY_BYTES_MAX, Footer, HEADER_BYTES, Header, PREFIX_BYTES};
use super::record::{put_footer, put_void};
use super::seal::Sealer;
use super::witness::Witnesses;
use crate::model::{Actor, Seq, Timestamp};

/// How much is copied at once, in bytes.
const COPY_BYTES: usize = 1024 * 1024;

/// What can be taken over from a damaged ledger.
pub struct Salvage {
    disk: Arc<dyn Disk>,
    parts: Vec<Part>,
    /// Held for as long as the files must not change.
    _lock: Option<Lock>,
    from: PathBuf,
    /// What is kept and what is lost.
    pub found: Findings,
}

/// What is kept and what is lost of a damaged ledger.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The last event that is kept.
    pub last: Seq,
    /// Every damaged place, in order; of what is stored against a lost blob, too.
    pub places: Vec<Error>,
    /// How many bytes of blobs are lost before the end.
    pub void_bytes: u64,
    /// Where the chain of events ends too early, if it does.
    pub cut: Option<Cut>,
}

/// Where the chain of events ends too early.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The place, and what is wrong there.
    pub place: Error,
    /// How many events behind it could be read and are not taken.
    pub behind: u64,
    /// The last of them.
    pub newest: Seq,
    /// What people decided among them, as far as it can be read: nobody but them can decide it
    /// again. At most 1 000.
    pub decisions: Vec<Decision>,
}

/// What a person decided, in an event that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The event.
    pub seq: Seq,
    /// When it was recorded.
    pub at: Timestamp,
    /// Its kind.
    pub kind: &'static str,
    /// What it says, as JSON.
    pub body: Value,
}

/// The part of the new ledger that is taken from one segment.
struct Part {
    name: String,
    header: Header,
    file: Arc<dyn File>,
    pieces: Vec<Piece>,
    footer: Option<Footer>,
}

/// A range of a segment, and whether it can be read.
struct Piece {
    range: Range<u64>,
    void: bool,
}

impl Salvage {
    /// Reads the ledger in `dir`, which no daemon may have open.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none; [`Error::Locked`] names the process that has it open;
    /// [`Error::Corrupt`] when not even the first event can be read, or when it was written by a
    /// newer greffier; [`Error::Io`] when the disk does not give its bytes: copy what
    /// it gives elsewhere first.
    pub fn scan(dir: &Path) -> Result<Self, Error> {
        let segments = dir.join("segments");
        if !segments.is_dir() {
            return Err(Error::Missing(dir.to_owned()));
        }
        let lock = lock_unless_read_only(dir)?;
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::read_only(segments, dir.join("aside")));
        let witnesses = Witnesses::list(dir);
        let (parts, mut found) = scan::scan(&disk)?;
        if found.last == Seq::ZERO {
            return Err(found.cut.map_or_else(|| Error::Missing(dir.to_owned()), |cut| cut.place));
        }
        if let (None, Some(last)) = (&found.cut, parts.last()) {
            let end = last.file.bytes();
            let end = end.map_err(|error| Error::io("read", disk.describe(&last.name), error))?;
            let shortened = witnesses.shortened(found.last, disk.describe(&last.name), end);
            found.cut = shortened.map(Cut::at);
        }
        Ok(Self { disk, parts, _lock: lock, from: dir.to_owned(), found })
    }

    /// Makes the new ledger in `options.dir`, which must not be there or be empty, and records in
    /// it what it lacks and, where events are lost, a freeze by `by`. Returns the number of the
    /// first of these events.
    ///
    /// Durability: when it returns, the new ledger survives power loss. Until then it has another
    /// name ([`unfinished`]), so whatever ends it before that leaves nothing in `options.dir`.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; the `Key…` errors, before anything is written; [`Error::Io`].
    pub fn write(&self, options: Options, by: Actor) -> Result<Seq, Error> {
        let into = options.dir.clone();
        // A kill on the way must not leave what looks like a ledger and lacks its freeze.
        let dir = unfinished(&into);
        for dir in [&into, &dir] {
            if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(Error::NotEmpty(dir.clone()));
            }
        }
        self.check_key(&options)?;
        let failed = |error| Error::io("create", dir.display().to_string(), error);
        let disk = FileDisk::create(dir.join("segments"), dir.join("aside")).map_err(failed)?;
        copy(&self.parts, &self.disk, &disk)?;
        let (ledger, _) = Ledger::open(Options { dir: dir.clone(), ..options })?;
        let freeze = self.found.cut.as_ref().map(|_| self.freeze());
        let freeze = freeze.map(|freeze| Draft::new(freeze).by(by));
        let drafts: Vec<Draft> = [Draft::new(self.record())].into_iter().chain(freeze).collect();
        let recorded = ledger.append_blocking(drafts);
        ledger.shutdown();
        let recorded = recorded?;
        put_in_place(&dir, &into)
            .map_err(|error| Error::io("rename", dir.display().to_string(), error))?;
        Ok(recorded.first().copied().unwrap_or_default())
    }

    fn check_key(&self, options: &Options) -> Result<(), Error> {
        refuse_key_inside(&options.dir, options.key.path())?;
        let sealer = Sealer::new(&key::load(&options.key, false)?.key);
        check_key(options.key.path(), &sealer, self.parts.first().map(|part| &part.header))
    }

    /// Nobody knows what people decided in the events that are lost.
    fn freeze(&self) -> FrozenV1 {
        let last = self.found.last;
        let reason = format!(
            "salvaged from a damaged ledger: what people decided after event {last} is lost"
        );
        FrozenV1 { until: None, reason }
    }

    /// What is recorded of it.
    fn record(&self) -> LedgerRepairedV1 {
        let from = self.from.display();
        let mut what = format!("the ledger was salvaged from {from}");
        let Findings { last, places, void_bytes, cut } = &self.found;
        match cut {
            None => {}
            Some(Cut { place, behind: 0, .. }) => {
                what.push_str(&format!("; it ends with event {last}: {place}"));
            }
            Some(Cut { place, behind, newest, .. }) => what.push_str(&format!(
                "; it ends with event {last}: {place}; {behind} undamaged events behind that, the \
                 last of them {newest}, were left there",
            )),
        }
        if *void_bytes > 0 {
            let count = places.len();
            what.push_str(&format!("; {void_bytes} bytes of blobs in {count} places are lost"));
        }
        let possibly_acknowledged = cut.is_some();
        LedgerRepairedV1 { what, kept: from.to_string(), possibly_acknowledged }
    }
}

impl Cut {
    /// One behind which nothing was looked for yet.
    fn at(place: Error) -> Self {
        Self { place, behind: 0, newest: Seq::ZERO, decisions: Vec::new() }
    }
}

impl Findings {
    /// Whether anything is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.cut.is_some() || !self.places.is_empty()
    }
}

/// Where a new ledger is made before it is whole.
#[must_use]
pub fn unfinished(into: &Path) -> PathBuf {
    // Without a slash at its end.
    let mut name = into.components().as_path().as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

fn put_in_place(from: &Path, into: &Path) -> std::io::Result<()> {
    // An empty directory of that name is replaced.
    fs::rename(from, into)?;
    sync_directory(std::path::absolute(into)?.parent().unwrap_or(into))
}

/// Keeps a daemon from writing meanwhile. On a file system that is read-only nobody writes.
fn lock_unless_read_only(dir: &Path) -> Result<Option<Lock>, Error> {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match Lock::acquire(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(Error::Io { source, .. })
            if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Copies `parts` to `to`. The first header is written last: a copy that is not whole is no ledger.
fn copy(parts: &[Part], from: &Arc<dyn Disk>, to: &dyn Disk) -> Result<(), Error> {
    let mut files = Vec::with_capacity(parts.len());
    for part in parts {
        let failed = |error| Error::io("write", to.describe(&part.name), error);
        let file = to.create(&part.name).map_err(failed)?;
        copy_part(part, from, file.as_ref(), failed)?;
        if !files.is_empty() {
            file.write_at(&part.header.encode(), 0).map_err(failed)?;
        }
        file.sync().map_err(failed)?;
        files.push(file);
    }
    to.sync_names().map_err(|error| Error::io("sync", to.describe(""), error))?;
    for (file, part) in files.iter().zip(parts).take(1) {
        let written = file.write_at(&part.header.encode(), 0).and_then(|()| file.sync());
        written.map_err(|error| Error::io("write", to.describe(&part.name), error))?;
    }
    Ok(())
}

fn copy_part(
    part: &Part,
    from: &Arc<dyn Disk>,
    to: &dyn File,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<(), Error> {
    let mut end = HEADER_BYTES as u64;
    for Piece { range, void } in &part.pieces {
        end = range.end;
        if *void {
            let bytes = voids(range.end - range.start);
            to.write_at(&bytes, range.start).map_err(&failed)?;
            continue;
        }
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let mut bytes = vec![0; left.min(COPY_BYTES)];
            let read = part.file.read_at(&mut bytes, at);
            let read = read.map_err(|error| Error::io("read", from.describe(&part.name), error))?;
            if read < bytes.len() {
                let what = "the file became shorter".to_owned();
                return Err(Error::Corrupt { file: from.describe(&part.name), offset: at, what });
            }
            to.write_at(&bytes, at).map_err(&failed)?;
            at += read as u64;
        }
    }
    if let Some(footer) = &part.footer {
        let mut bytes = Vec::new();
        put_footer(&mut bytes, footer);
        to.write_at(&bytes, end).map_err(failed)?;
    }
    Ok(())
}

/// Void records that take `bytes` in all.
fn voids(bytes: u64) -> Vec<u8> {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(left);
    while left > BODY_BYTES_MAX {
        // What is left must have room for a record.
        put_void(&mut out, BODY_BYTES_MAX - PREFIX_BYTES);
        left -= BODY_BYTES_MAX - PREFIX_BYTES;
    }
    put_void(&mut out, left);
    out
}
