//! Repairs that are being made and are not recorded yet.
//!
//! What a repair changes is changed before it can be recorded: the chain's end must be known first.
//! A kill in between, or no room for the record, would lose that events were lost, and with it the
//! freeze. So each repair is written down before it is made, in a file beside the segments, and
//! stands there until it is recorded.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::write_whole;
use super::error::Error;
use super::event::{Event, LedgerRepairedV1};
use super::record::Record;
use super::segment::{Cursor, Segments};
use crate::model::Seq;

/// The file, in the ledger's directory.
const FILE: &str = "unrecorded.json";

/// What was repaired and must be recorded.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    /// `None` = a ledger in memory, which no kill leaves.
    path: Option<PathBuf>,
    noted: Noted,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    /// The last event when the repairs were made: what records them comes right after it.
    after: Seq,
    /// The last event that is known to have been acknowledged, where that is later: those in between
    /// are lost.
    known: Option<Seq>,
    repairs: Vec<LedgerRepairedV1>,
}

impl Noted {
    /// What follows from a note that is there and cannot be read: it may have told of lost events.
    fn unreadable(end: Seq, path: &Path, error: &serde_json::Error) -> Self {
        let path = path.display();
        let what = format!(
            "what an earlier start repaired is not known, and events may be lost: {path} cannot be \
             read: {error}"
        );
        let repair = LedgerRepairedV1 { what, kept: String::new(), possibly_acknowledged: true };
        Self { after: end, known: Some(end.next()), repairs: vec![repair] }
    }

    /// Whether it is still to be recorded in a ledger that ends with event `end` now.
    fn is_owed(&self, segments: &Segments, end: Seq) -> bool {
        let code = self.repairs.first().map(|repair| Event::from(repair.clone()).code());
        if end > self.after && code == kind_of(segments, self.after.next()) {
            // The repairs and, with what is lost, a freeze.
            let events = self.repairs.len() as u64 + u64::from(self.known.is_some());
            return end.0 < self.after.0 + events;
        }
        // Other files may have been brought back since: whole ones, or an older copy.
        end == self.after || self.known.is_some_and(|known| end < known)
    }
}

impl Unrecorded {
    /// What an earlier start noted for the ledger in `dir` and did not record, which has these
    /// segments now and ends with event `end`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and cannot be read.
    pub(super) fn resume(dir: &Path, segments: &Segments, end: Seq) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let failed = |error| Error::io("read", path.display().to_string(), error);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let noted = match serde_json::from_slice::<Noted>(&bytes) {
            _ if bytes.is_empty() => Noted::default(),
            Ok(noted) if noted.is_owed(segments, end) => noted,
            Ok(_) => Noted::default(),
            Err(error) => Noted::unreadable(end, &path, &error),
        };
        Ok(Self { path: Some(path), noted: Noted { after: end, ..noted } })
    }

    /// Whether acknowledged events are known to be lost.
    pub(super) fn lost(&self) -> bool {
        self.noted.known.is_some()
    }

    /// The repairs, oldest first.
    pub(super) fn repairs(&self) -> &[LedgerRepairedV1] {
        &self.noted.repairs
    }

    /// Notes a repair that is about to be made, and the last event that it shows to have been
    /// acknowledged, where that is lost.
    ///
    /// Durability: when it returns, the note survives power loss.
    ///
    /// # Errors
    /// [`Error::Io`]; the repair must not be made then.
    pub(super) fn note(
        &mut self,
        repair: LedgerRepairedV1,
        known: Option<Seq>,
    ) -> Result<(), Error> {
        self.noted.known = self.noted.known.max(known);
        // One that a kill kept from being made is made now.
        if !self.noted.repairs.contains(&repair) {
            self.noted.repairs.push(repair);
        }
        let Some(path) = &self.path else { return Ok(()) };
        let written = serde_json::to_vec(&self.noted).map_err(std::io::Error::from);
        let written = written.and_then(|bytes| write_whole(path, &bytes));
        written.map_err(|error| Error::io("write", path.display().to_string(), error))
    }

    /// Everything that was noted is recorded.
    pub(super) fn recorded(&self) {
        let Some(path) = self.path.as_ref().filter(|path| path.exists()) else { return };
        // If it stays, the next start sees from the chain that it was recorded.
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(%error, path = %path.display(), "a note of what was recorded stays");
        }
    }
}

/// The code of an event's kind, if the event can be read.
fn kind_of(segments: &Segments, seq: Seq) -> Option<u16> {
    let segment = segments.holding(seq)?;
    let alone = Segments::new(segments.disk().clone(), vec![segment.clone()]);
    let mut cursor = Cursor::at_segment(Arc::new(alone), Some(segment));
    while let Ok(Some(found)) = cursor.next() {
        match &found.record {
            Record::Event(event) if event.envelope.seq == seq => return Some(event.envelope.kind),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::memory_disk::MemoryDisk;
    use super::super::memory_store::MemoryStore;
    use super::super::recovery::{batch, key};
    use super::super::{Draft, Ledger};
    use super::*;

    fn repair(what: &str) -> LedgerRepairedV1 {
        let (what, kept) = (what.to_owned(), String::new());
        LedgerRepairedV1 { what, kept, possibly_acknowledged: true }
    }

    /// The files of a ledger of `events` events, which its disk has; those from `repairs` on are
    /// records of repairs.
    fn segments(events: u64, repairs: u64) -> Arc<Segments> {
        let disk = MemoryDisk::default();
        let store = Arc::new(MemoryStore::default());
        let (ledger, _) = Ledger::on_memory(disk.clone(), &key(), u64::MAX, store).unwrap();
        while ledger.head() < Seq(events) {
            let draft = match ledger.head().next() {
                next if next < Seq(repairs) => batch(1).drafts.remove(1),
                _ => Draft::new(repair("cut")),
            };
            ledger.append_blocking(draft).unwrap();
        }
        ledger.shutdown();
        let disk: Arc<dyn super::super::disk::Disk> = Arc::new(disk);
        super::super::load::load(&disk).unwrap().segments
    }

    /// Goal: a repair is owed until the events that record it are all there, and noted once.
    #[test]
    fn what_was_noted_is_owed_until_it_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let resume = |end, repairs| {
            Unrecorded::resume(dir.path(), &segments(end, repairs), Seq(end)).unwrap()
        };
        let mut first = resume(7, 99);
        assert!(first.repairs().is_empty() && !first.lost());
        first.note(repair("cut"), None).unwrap();
        first.note(repair("index"), Some(Seq(20))).unwrap();
        let mut again = resume(7, 99);
        again.note(repair("index"), None).unwrap();
        assert!(again.lost());
        assert_eq!(again.repairs(), [repair("cut"), repair("index")]);
        // Two repairs and the freeze: events 8, 9 and 10.
        assert!(resume(9, 8).lost());
        assert!(!resume(10, 8).lost() && resume(10, 8).repairs().is_empty());
        // Another copy of the files: whole, and one that lacks less.
        assert!(!resume(20, 99).lost() && resume(20, 99).repairs().is_empty());
        assert!(resume(19, 99).lost() && resume(3, 99).lost());
        again.recorded();
        assert!(!resume(7, 99).lost());
        // One that cannot be read may have told of a loss.
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(resume(7, 99).lost() && resume(7, 99).repairs().len() == 1);
    }
}
