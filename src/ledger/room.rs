//! How much room the file system must have, and whether it has.

use std::io::ErrorKind;
use std::sync::Arc;

use super::disk::Disk;
use super::error::Error;
use super::store;
use super::writer::GROUP_BYTES_MAX;

/// How much must be free for the index to be opened, unless the reserve is less: sled writes when it
/// is opened, and on a full file system cannot even be read. Bound: what is gathered for a run, and
/// a few of sled's segments.
const INDEX_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The file system, and how many of its bytes must stay free.
pub(super) struct Room {
    disk: Arc<dyn Disk>,
    reserve: u64,
}

impl Room {
    pub(super) fn new(disk: Arc<dyn Disk>, reserve: u64) -> Self {
        Self { disk, reserve }
    }

    /// Whether there is room for what an append may need.
    pub(super) fn for_append(&self) -> Result<(), Error> {
        self.has(self.append_bytes())
    }

    /// Whether there is room for the index to be opened. Where there is room for an append there is.
    pub(super) fn for_index(&self) -> Result<(), Error> {
        self.has(self.append_bytes().min(INDEX_BYTES_MIN))
    }

    fn append_bytes(&self) -> u64 {
        self.reserve.saturating_add(GROUP_BYTES_MAX as u64)
    }

    fn has(&self, needed: u64) -> Result<(), Error> {
        let free = self.disk.free_bytes();
        let free = free.map_err(|error| Error::io("measure", self.disk.describe(""), error))?;
        if free < needed { Err(Error::Full { free, reserve: self.reserve }) } else { Ok(()) }
    }
}

impl Error {
    /// Whether the file system has no room, so that it may succeed by itself later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_full(source),
            Self::Index(source) => source.is_full(),
            _ => false,
        }
    }
}

impl store::Error {
    /// Whether the file system has no room.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Engine { source, .. } if is_full(source))
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
