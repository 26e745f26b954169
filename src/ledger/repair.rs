//! What is done at the start about what a crash, a full disk or a failing disk left behind.
//!
//! The rules, in the order in which they are applied (docs/ledger-format.md states them for
//! people):
//!
//! 1. An undecodable end of the last segment is copied aside, then cut, and reported as possibly
//!    acknowledged. When undamaged events that were acknowledged stand behind the damage, it is no
//!    torn end: opening fails and names the place.
//! 2. A store that is behind is brought up to date. One that is damaged, panics, disagrees with
//!    the segments or was marked is set aside and rebuilt.
//! 3. A store that is ahead of the segments shows that events were lost: their frames are
//!    salvaged into a file, then the store is set aside and rebuilt.
//!
//! Every repair but the routine catching up becomes a `LedgerRepaired` event.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::disk::Disk;
use super::error::Error;
use super::event::LedgerRepairedV1;
use super::index::{CatchUpError, catch_up, fill};
use super::load::{Loaded, Torn};
use super::record::{self, Record};
use super::segment::{Cursor, Segments};
use super::sled_store::SledStore;
use super::store::{self, Position, Store, Watermark};
use super::unrecorded::Unrecorded;
use super::writer::GROUP_BYTES_MAX;
use crate::model::{Seq, Timestamp};

/// What is known about acknowledgements from outside the segments: the end of what the store was
/// given, which it is given only after `fdatasync`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Acknowledged(pub(super) Seq);

/// Puts an undecodable end of the last segment aside, if there is one.
pub(super) fn set_torn_aside(
    disk: &Arc<dyn Disk>,
    loaded: &mut Loaded,
    acknowledged: Acknowledged,
    unrecorded: &mut Unrecorded,
) -> Result<(), Error> {
    let Some(torn) = &loaded.torn else { return Ok(()) };
    let failed = |operation| {
        let path = disk.describe(&torn.name);
        move |error| Error::io(operation, path, error)
    };
    let file = disk.open(&torn.name).map_err(failed("open"))?;
    let bytes = bytes_of(disk, torn)?;
    refuse_damage_in_the_middle(disk, torn, &bytes, acknowledged)?;
    let name = format!("{}-{:08x}", torn.name, torn.offset);
    let kept = disk.keep_aside(&name, &bytes).map_err(failed("keep a copy of"))?;
    // It was the record of the next event, or of a blob that this names.
    let known = was_whole(torn, &bytes).then(|| loaded.end.seq.next());
    unrecorded.note(of_torn(disk, torn, kept), known)?;
    if torn.offset == 0 {
        disk.remove(&torn.name).and_then(|()| disk.sync_names()).map_err(failed("remove"))?;
    } else {
        file.cut(torn.offset).and_then(|()| file.sync()).map_err(failed("cut"))?;
    }
    loaded.torn = None;
    Ok(())
}

fn of_torn(disk: &Arc<dyn Disk>, torn: &Torn, kept: String) -> LedgerRepairedV1 {
    let Torn { offset, bytes, what, .. } = torn;
    LedgerRepairedV1 {
        what: format!(
            "{} ended in {bytes} bytes at offset {offset} that are no record ({what}); \
             they were set aside",
            disk.describe(&torn.name)
        ),
        kept,
        // A segment whose header was not whole never had a record.
        possibly_acknowledged: torn.offset > 0,
    }
}

/// How many zeros in a row, at the edge of a sector, are a part of it that was never written.
const HOLE_BYTES: usize = 32;
const SECTOR_BYTES: u64 = 512;

/// Whether the end that cannot be read is a record that was written whole and changed since, which
/// no crash leaves: one that was acknowledged is lost then. After a kill a record is cut short, and
/// after power loss it may have holes.
fn was_whole(torn: &Torn, bytes: &[u8]) -> bool {
    let Ok(Some(total)) = record::record_bytes(bytes) else { return false };
    // No writer makes a record without a body: a file that grew and was not written ends in zeros.
    let whole = torn.offset > 0 && total > record::PREFIX_BYTES;
    let Some(record) = bytes.get(..total).filter(|_| whole) else { return false };
    let changed = matches!(record::parse(record), Err(record::Error::Checksum));
    changed && !has_hole(record, torn.offset)
}

/// Whether a sector, or the part of one that the record takes, is empty.
fn has_hole(record: &[u8], offset: u64) -> bool {
    let into = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).unwrap_or(usize::MAX);
    let (first, rest) = record.split_at(into.min(record.len()));
    let mut parts = std::iter::once(first).chain(rest.chunks(SECTOR_BYTES as usize));
    parts.any(|part| part.len() >= HOLE_BYTES && part.iter().all(|byte| *byte == 0))
}

/// Damage with undamaged events behind it is no torn end, unless they can all be of the one group
/// that a crash interrupted.
fn refuse_damage_in_the_middle(
    disk: &Arc<dyn Disk>,
    torn: &Torn,
    bytes: &[u8],
    Acknowledged(acknowledged): Acknowledged,
) -> Result<(), Error> {
    let too_many = bytes.len() > GROUP_BYTES_MAX;
    match events_in(bytes).find(|seq| *seq <= acknowledged || too_many) {
        Some(seq) => Err(damage(disk, torn, seq)),
        None => Ok(()),
    }
}

/// Damage in the middle, as far as the segments alone tell: the undamaged events behind it can all
/// be of the one group that a crash interrupted, which is seen when the ledger is opened for
/// writing.
pub(super) fn damage_in_the_middle(
    disk: &Arc<dyn Disk>,
    torn: &Torn,
) -> Result<Option<Error>, Error> {
    let bytes = bytes_of(disk, torn)?;
    Ok(events_in(&bytes).next().map(|seq| damage(disk, torn, seq)))
}

fn damage(disk: &Arc<dyn Disk>, torn: &Torn, behind: Seq) -> Error {
    let what = format!("{}; event {behind} behind it is undamaged", torn.what);
    Error::Corrupt { file: disk.describe(&torn.name), offset: torn.offset, what }
}

/// What follows the last record that can be read.
fn bytes_of(disk: &Arc<dyn Disk>, torn: &Torn) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::io("read", disk.describe(&torn.name), error);
    let mut bytes = vec![0; usize::try_from(torn.bytes).unwrap_or(usize::MAX)];
    let file = disk.open(&torn.name).map_err(failed)?;
    let read = file.read_at(&mut bytes, torn.offset).map_err(failed)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The undamaged events among other bytes.
fn events_in(mut rest: &[u8]) -> impl Iterator<Item = Seq> {
    std::iter::from_fn(move || {
        while let Some(skip) = record::resync(rest) {
            rest = &rest[skip..];
            if let Ok((Record::Event(event), _)) = record::parse(rest) {
                return Some(event.envelope.seq);
            }
        }
        None
    })
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it was found wrong while it was in use")]
    Marked,
    #[error("it was missing")]
    Missing,
    #[error("it does not match the segments")]
    Disagrees,
    #[error("it has events up to {0}, the segments end at {1}")]
    Ahead(Seq, Seq),
    #[error("it failed: {0}")]
    Failed(store::Error),
}

/// The files of the index in a ledger's directory.
pub(super) struct IndexFiles {
    directory: PathBuf,
    cache_bytes: u64,
}

impl IndexFiles {
    pub(super) fn new(directory: PathBuf, cache_bytes: u64) -> Self {
        Self { directory, cache_bytes }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("sled")
    }

    /// The marker that has the store set aside at the next start.
    pub(super) fn suspect(&self) -> PathBuf {
        self.directory.join("sled.suspect")
    }

    /// What the store knows to have been acknowledged, as far as it can be asked.
    pub(super) fn acknowledged(&self, ledger: Uuid) -> Acknowledged {
        if !self.path().exists() {
            return Acknowledged::default();
        }
        let store = SledStore::open(&self.path(), self.cache_bytes, ledger);
        let watermark = store.and_then(|store| {
            let head = store.head();
            store.close();
            head
        });
        Acknowledged(watermark.map(|watermark| watermark.seq).unwrap_or_default())
    }

    /// Opens the store and brings it up to date, or sets it aside and rebuilds it.
    pub(super) fn open(
        &self,
        disk: &Arc<dyn Disk>,
        loaded: &Loaded,
        ledger: Uuid,
        unrecorded: &mut Unrecorded,
    ) -> Result<SledStore, Error> {
        let why = match self.try_open(loaded, ledger) {
            Ok(store) => return Ok(store),
            // It is not to blame, and another one would find no more room.
            Err(Unusable::Failed(error)) if error.is_full() => {
                return Err(Error::Index(Arc::new(error)));
            }
            Err(why) => why,
        };
        let kept = self.salvage(disk, loaded, ledger, &why)?;
        let aside = self.path().exists().then(|| self.aside(loaded.end.seq));
        let unremarkable = matches!(why, Unusable::Missing) && loaded.end.seq == Seq::ZERO;
        if !unremarkable {
            let mut what = format!("the index was rebuilt from the segments: {why}");
            if let Some(aside) = &aside {
                what.push_str(&format!("; it was set aside as {}", aside.display()));
            }
            // An index without any segment also shows that there were events.
            let ahead = matches!(why, Unusable::Ahead(..)) || loaded.end.seq == Seq::ZERO;
            let repair = LedgerRepairedV1 { what, kept, possibly_acknowledged: ahead };
            let known = match why {
                Unusable::Ahead(head, _) => head,
                _ => loaded.end.seq.next(),
            };
            unrecorded.note(repair, ahead.then_some(known))?;
        }
        self.set_aside(aside)?;
        self.rebuild(loaded, ledger)
    }

    fn try_open(&self, loaded: &Loaded, ledger: Uuid) -> Result<SledStore, Unusable> {
        if self.suspect().exists() {
            return Err(Unusable::Marked);
        }
        if !self.path().exists() {
            return Err(Unusable::Missing);
        }
        let store =
            SledStore::open(&self.path(), self.cache_bytes, ledger).map_err(Unusable::Failed)?;
        let checked = check(&store, loaded);
        if checked.is_err() {
            store.close();
        }
        checked.map(|()| store)
    }

    /// Keeps what only the store has left of lost events.
    fn salvage(
        &self,
        disk: &Arc<dyn Disk>,
        loaded: &Loaded,
        ledger: Uuid,
        why: &Unusable,
    ) -> Result<String, Error> {
        let Unusable::Ahead(..) = why else { return Ok(String::new()) };
        let frames = SledStore::open(&self.path(), self.cache_bytes, ledger).map(|store| {
            let frames = store.frames_after(loaded.end.seq);
            store.close();
            frames
        });
        let mut bytes = Vec::new();
        for frame in frames.unwrap_or_default() {
            let length = u16::try_from(frame.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&frame);
        }
        let name = format!("{:016x}.frames", loaded.end.seq.next().0);
        let path = self.directory.join("aside").join(&name).display().to_string();
        disk.keep_aside(&name, &bytes).map_err(|error| Error::io("write", path, error))
    }

    /// Where a store is set aside when the segments end with `end`: the same after a kill that came
    /// before the renaming, so that it is told of once.
    fn aside(&self, end: Seq) -> PathBuf {
        let name = format!("sled.damaged-{:016x}", end.0);
        let paths = (1..).map(|n| match n {
            1 => self.directory.join(&name),
            n => self.directory.join(format!("{name}-{n}")),
        });
        paths.into_iter().find(|path| !path.exists()).unwrap_or_default()
    }

    /// Renames the store's directory, if there is one.
    fn set_aside(&self, aside: Option<PathBuf>) -> Result<(), Error> {
        let path = self.path();
        if let Some(aside) = aside {
            let renamed = fs::rename(&path, &aside);
            renamed.map_err(|error| Error::io("rename", path.display().to_string(), error))?;
        }
        match fs::remove_file(self.suspect()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", self.suspect().display().to_string(), error))
            }
            _ => Ok(()),
        }
    }

    fn rebuild(&self, loaded: &Loaded, ledger: Uuid) -> Result<SledStore, Error> {
        let index = |source| Error::Index(Arc::new(source));
        let store = SledStore::open(&self.path(), self.cache_bytes, ledger).map_err(index)?;
        fill(&store, &loaded.segments);
        // Damage in a sealed segment: nothing may be appended after events that are not known.
        if let Some(damage) = loaded.segments.damage() {
            return Err(damage);
        }
        store.sync().map_err(index)?;
        Ok(store)
    }
}

/// Compares the store with the segments and brings it up to date.
fn check(store: &SledStore, loaded: &Loaded) -> Result<(), Unusable> {
    let watermark = store.watermark().map_err(Unusable::Failed)?;
    let head = store.head().map_err(Unusable::Failed)?.seq.max(watermark.seq);
    if head > loaded.end.seq {
        return Err(Unusable::Ahead(head, loaded.end.seq));
    }
    let (mut cursor, mut time_max) = resume(store, &loaded.segments, &watermark)?;
    catch_up(store, &mut cursor, &mut time_max).map_err(|error| match error {
        CatchUpError::Store(error) => Unusable::Failed(error),
        // What the store says about the segments leads nowhere; rebuilding meets real damage.
        CatchUpError::Segments(_) => Unusable::Disagrees,
    })?;
    let reached = store.watermark().map_err(Unusable::Failed)?;
    let whole = reached.seq == loaded.end.seq && reached.hash == loaded.end.hash;
    if whole { Ok(()) } else { Err(Unusable::Disagrees) }
}

/// A cursor that goes on after a watermark and expects what must follow it.
fn resume(
    store: &SledStore,
    segments: &Arc<Segments>,
    watermark: &Watermark,
) -> Result<(Cursor, Timestamp), Unusable> {
    if watermark.seq == Seq::ZERO {
        return Ok((Cursor::at_start(segments.clone()), Timestamp(i64::MIN)));
    }
    let segment = segments.starting(watermark.end.segment).ok_or(Unusable::Disagrees)?;
    if watermark.end.offset > segment.end() {
        return Err(Unusable::Disagrees);
    }
    let entry = store.event(watermark.seq).map_err(Unusable::Failed)?.ok_or(Unusable::Disagrees)?;
    check_place(segments, watermark, entry.offset)?;
    let time_max = entry.time_max;
    let mut cursor = Cursor::at(segments.clone(), watermark.end);
    cursor.expect(watermark.seq.next(), watermark.hash);
    Ok((cursor, time_max))
}

/// Checks that the event of a watermark stands where the store says, with the hash that it says.
fn check_place(
    segments: &Arc<Segments>,
    watermark: &Watermark,
    offset: u64,
) -> Result<(), Unusable> {
    let segment = segments.holding(watermark.seq).ok_or(Unusable::Disagrees)?;
    let at = Position { segment: segment.header.first, offset };
    let mut cursor = Cursor::at(segments.clone(), at);
    match cursor.next() {
        Ok(Some(found)) => match found.record {
            Record::Event(event) if event.envelope.hash == watermark.hash => Ok(()),
            _ => Err(Unusable::Disagrees),
        },
        _ => Err(Unusable::Disagrees),
    }
}
