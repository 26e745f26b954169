//! Why the ledger could not do what it was asked to do.
//!
//! One type for the whole of the ledger's outer layer, because its parts share their causes: the
//! disk, damage, and the state of the writer. It is cheap to clone, since one failed group answers
//! many waiters.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{BlobAddr, Seq};

/// Why the ledger could not do what it was asked to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An operation on a file failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, e.g. `read`.
        operation: &'static str,
        /// On which file.
        path: String,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process has the ledger open for writing.
    #[error("the ledger {path} is in use by process {pid}")]
    Locked {
        /// The ledger's directory.
        path: String,
        /// The process, as the lock file names it; `?` when it does not.
        pid: String,
    },
    /// Bytes of the ledger changed or are missing. What has to read over them fails; the undamaged
    /// rest can still be read, and a ledger that is open goes on.
    #[error("the ledger is damaged: {file} at offset {offset}: {what}")]
    Corrupt {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The file system has no room but its reserve. Appends work again when there is room.
    #[error("the disk is full: {free} bytes are free, {reserve} must stay free")]
    Full {
        /// How many bytes are free.
        free: u64,
        /// How many must stay free after the append.
        reserve: u64,
    },
    /// An `fdatasync` or the mending of a failed write failed, so what is on the disk is not
    /// known. Nothing more is written until the ledger is opened again.
    #[error("the ledger takes no more events: {what}")]
    Poisoned {
        /// What failed.
        what: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
    /// A body or an actor has no encoding within the limits.
    #[error("event `{kind}` cannot be recorded")]
    Encode {
        /// The kind of the event.
        kind: &'static str,
        /// Why.
        #[source]
        source: Arc<super::codec::Error>,
    },
    /// Something that was to be appended exceeds a limit.
    #[error("{what} has {size}, the limit is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A body of a known kind cannot be decoded although its hash is right.
    #[error("the body of event {seq} cannot be decoded")]
    Decode {
        /// The event.
        seq: Seq,
        /// Why.
        #[source]
        source: Arc<super::codec::Error>,
    },
    /// No blob has this address.
    #[error("no blob has the address {0}")]
    NoBlob(BlobAddr),
    /// A recorded object is no JSON.
    #[error("the recorded object {addr} cannot be read")]
    Unreadable {
        /// Its address.
        addr: BlobAddr,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The blob is sealed and there is no key.
    #[error("blob {0} is sealed and the ledger was opened without its key")]
    Sealed(BlobAddr),
    /// The key file of an existing ledger is not there.
    #[error("the ledger's key file {0} is missing; put the backup of it back")]
    KeyMissing(PathBuf),
    /// The key file is not a key file.
    #[error("{0} is not a key of this ledger: expected `greffier-key-1` and 64 hexadecimal digits")]
    KeyFormat(PathBuf),
    /// The key is another ledger's.
    #[error("the key in {path} has the fingerprint {found}, this ledger's key has {expected}")]
    KeyWrong {
        /// The key file.
        path: PathBuf,
        /// The fingerprint of the key that was given.
        found: String,
        /// The fingerprint of the ledger's key.
        expected: String,
    },
    /// The key file would lie in the ledger's directory, and so in every copy of it.
    #[error("the key file {0} must lie outside the ledger's directory")]
    KeyInside(PathBuf),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// There is no ledger to read.
    #[error("there is no ledger in {0}")]
    Missing(PathBuf),
    /// The directory for a new ledger has something in it.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// An index could not answer, and nor could its replacement.
    #[error("the index of the ledger failed")]
    Index(#[source] Arc<super::store::Error>),
}

impl Error {
    /// Whether something that was recorded cannot be read: it is damaged, or the disk does not give it.
    /// Whoever needs it for an answer fails; whoever can do without goes on.
    #[must_use]
    pub fn is_of_reading(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. } | Self::Io { .. } | Self::Decode { .. } | Self::NoBlob(_)
        )
    }

    /// Whether what was to be appended is at fault: another batch would be taken.
    #[must_use]
    pub const fn is_of_the_batch(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Encode { .. })
    }

    /// An `Io` error.
    pub(super) fn io(operation: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation, path: path.into(), source: Arc::new(source) }
    }
}
