//! The exclusive lock on a ledger's directory: one writer, whatever happens.
//!
//! The lock is the kernel's (`flock`), so it outlives its holder by moments at the most: a program
//! that the holder was starting when it was killed has the descriptor until it executes itself. The
//! process id in the file is there to be named, and to tell that case from a holder that lives.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::error::Error;

/// The name of the lock file.
const LOCK_FILE: &str = "lock";
/// How much of a lock file is read, in bytes.
const PID_BYTES_MAX: u64 = 20;
/// How often a lock is tried that a process which has ended still seems to hold…
const LEFT_TRIES: u32 = 100;
/// …and how long to wait between two tries: 2 s in all. The kernel gives no event for it.
const LEFT_WAIT: Duration = Duration::from_millis(20);

/// Held while the ledger is open for writing.
#[derive(Debug)]
pub(super) struct Lock {
    /// Never read: the kernel unlocks it when it is dropped.
    _file: fs::File,
}

impl Lock {
    /// Locks `directory`, or says who holds it.
    pub(super) fn acquire(directory: &Path) -> Result<Self, Error> {
        Self::acquire_waiting(directory, || std::thread::sleep(LEFT_WAIT))
    }

    /// [`Self::acquire`], which calls `wait` between two tries.
    fn acquire_waiting(directory: &Path, mut wait: impl FnMut()) -> Result<Self, Error> {
        let path = directory.join(LOCK_FILE);
        let failed = |operation| {
            let path = path.display().to_string();
            move |error: io::Error| Error::io(operation, path, error)
        };
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open"))?;
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {
                    let pid = holder(&mut file).map_err(failed("read"))?;
                    if tries == LEFT_TRIES || !has_ended(&pid) {
                        let path = directory.display().to_string();
                        return Err(Error::Locked { path, pid });
                    }
                    wait();
                }
                Err(error) => return Err(failed("lock")(error.into())),
            }
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

/// The process id that the lock file names; `?` when it names none.
fn holder(file: &mut fs::File) -> io::Result<String> {
    file.rewind()?;
    let mut text = Vec::new();
    file.take(PID_BYTES_MAX).read_to_end(&mut text)?;
    let digits = text.trim_ascii();
    let is_pid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    Ok(if is_pid { String::from_utf8_lossy(digits).into_owned() } else { "?".to_owned() })
}

/// Whether there is no process `pid` (any more). Not known of one that is not named.
fn has_ended(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor that holds the lock, in a file that names `pid`.
    fn held_as(directory: &Path, pid: &str) -> fs::File {
        fs::write(directory.join(LOCK_FILE), format!("{pid}\n")).unwrap();
        let file = fs::File::open(directory.join(LOCK_FILE)).unwrap();
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file
    }

    /// The id of a process that was, and was waited for.
    fn ended() -> String {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id().to_string()
    }

    /// Goal: a start right after `kill -9` is not refused because of a program that the killed one
    /// was starting. Method: another descriptor of the lock goes while it is waited for.
    #[test]
    fn what_a_killed_holder_left_behind_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut left = Some(held_as(directory.path(), &ended()));
        let mut waits = 0;
        let lock = Lock::acquire_waiting(directory.path(), || {
            waits += 1;
            if waits == 3 {
                left = None;
            }
        });
        assert!(lock.is_ok(), "{lock:?}");
        assert_eq!(waits, 3);
        let pid = fs::read_to_string(directory.path().join(LOCK_FILE)).unwrap();
        assert_eq!(pid.trim(), std::process::id().to_string());
    }

    #[test]
    fn what_does_not_go_is_waited_for_so_long_and_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let pid = ended();
        let _left = held_as(directory.path(), &pid);
        let mut waits = 0;
        let refused = Lock::acquire_waiting(directory.path(), || waits += 1).unwrap_err();
        assert!(matches!(&refused, Error::Locked { pid: named, .. } if *named == pid));
        assert_eq!(waits, LEFT_TRIES - 1);
    }

    #[test]
    fn a_holder_that_lives_or_is_not_named_is_not_waited_for() {
        for pid in [std::process::id().to_string(), "?".to_owned(), String::new(), "x1".to_owned()]
        {
            let directory = tempfile::tempdir().unwrap();
            let _held = held_as(directory.path(), &pid);
            let refused = Lock::acquire_waiting(directory.path(), || panic!("it waits for {pid}"));
            assert!(matches!(refused, Err(Error::Locked { .. })), "{pid}: {refused:?}");
        }
    }
}
