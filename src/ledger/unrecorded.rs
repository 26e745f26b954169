//! Repairs that are being made and are not recorded yet.
//!
//! What a repair changes is changed before it can be recorded: the chain's end must be known first.
//! A kill in between, or no room for the record, would lose that events were lost, and with it the
//! freeze. So each repair is written down before it is made, in a file beside the segments, and
//! stands there until it is recorded.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::sync_directory;
use super::error::Error;
use super::event::LedgerRepairedV1;
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
    after: u64,
    /// Whether acknowledged events are known to be lost.
    lost: bool,
    repairs: Vec<LedgerRepairedV1>,
}

impl Noted {
    /// How many events record it: the repairs and, with what is lost, a freeze.
    fn events(&self) -> u64 {
        self.repairs.len() as u64 + u64::from(self.lost)
    }
}

impl Unrecorded {
    /// What an earlier start noted for the ledger in `dir` and did not record, which ends with
    /// event `end` now.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and cannot be read.
    pub(super) fn resume(dir: &Path, end: Seq) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let failed = |error| Error::io("read", path.display().to_string(), error);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let earlier: Option<Noted> = serde_json::from_slice(&bytes).ok();
        let earlier = earlier.filter(|noted| end.0 < noted.after + noted.events());
        let noted = earlier.unwrap_or_default();
        Ok(Self { path: Some(path), noted: Noted { after: end.0, ..noted } })
    }

    /// Whether acknowledged events are known to be lost.
    pub(super) fn lost(&self) -> bool {
        self.noted.lost
    }

    /// The repairs, oldest first.
    pub(super) fn repairs(&self) -> &[LedgerRepairedV1] {
        &self.noted.repairs
    }

    /// Notes a repair that is about to be made, and whether it shows that acknowledged events are
    /// lost.
    ///
    /// Durability: when it returns, the note survives power loss.
    ///
    /// # Errors
    /// [`Error::Io`]; the repair must not be made then.
    pub(super) fn note(&mut self, repair: LedgerRepairedV1, lost: bool) -> Result<(), Error> {
        self.noted.lost |= lost;
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

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repair(what: &str) -> LedgerRepairedV1 {
        let (what, kept) = (what.to_owned(), String::new());
        LedgerRepairedV1 { what, kept, possibly_acknowledged: true }
    }

    /// Goal: a repair is owed until the events that record it are all there, and noted once.
    #[test]
    fn what_was_noted_is_owed_until_it_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let resume = |end| Unrecorded::resume(dir.path(), Seq(end)).unwrap();
        let mut first = resume(7);
        assert!(first.repairs().is_empty() && !first.lost());
        first.note(repair("cut"), false).unwrap();
        first.note(repair("index"), true).unwrap();
        let mut again = resume(7);
        again.note(repair("index"), false).unwrap();
        assert!(again.lost());
        assert_eq!(again.repairs(), [repair("cut"), repair("index")]);
        // Two repairs and the freeze: events 8, 9 and 10.
        assert!(resume(9).lost());
        assert!(!resume(10).lost() && resume(10).repairs().is_empty());
        again.recorded();
        assert!(!resume(7).lost());
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(resume(7).repairs().is_empty());
    }
}
