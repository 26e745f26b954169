//! The exclusive lock on a ledger's directory: one writer, whatever happens.
//!
//! The lock is the kernel's (`flock`), so it cannot outlive its holder. The process id in the file
//! is only there to be named to whoever finds the ledger locked.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::error::Error;

/// The name of the lock file.
const LOCK_FILE: &str = "lock";
/// How much of a lock file is read, in bytes.
const PID_BYTES_MAX: u64 = 20;

/// Held while the ledger is open for writing.
#[derive(Debug)]
pub(super) struct Lock {
    /// Never read: the kernel unlocks it when it is dropped.
    _file: fs::File,
}

impl Lock {
    /// Locks `directory`, or says who holds it.
    pub(super) fn acquire(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(LOCK_FILE);
        let failed = |operation| {
            let path = path.display().to_string();
            move |error: io::Error| Error::io(operation, path, error)
        };
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = directory.display().to_string();
                return Err(Error::Locked { path, pid: holder(&mut file) });
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        let pid = format!("{}\n", std::process::id());
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()));
        match written {
            // The kernel's lock counts, and a full disk is no reason not to read.
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(failed("write")(error)),
            _ => Ok(Self { _file: file }),
        }
    }
}

/// The process id that the lock file names.
fn holder(file: &mut fs::File) -> String {
    let mut text = String::new();
    let read = file.take(PID_BYTES_MAX).read_to_string(&mut text);
    let digits = text.trim();
    if read.is_ok() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.to_owned()
    } else {
        "?".to_owned()
    }
}
