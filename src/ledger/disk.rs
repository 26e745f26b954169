//! The files below the segment log, as the ledger sees them: a flat set of named files that grow
//! at their end, and what makes them durable.
//!
//! It knows nothing of what is in the files. There are two of it: [`FileDisk`] on a directory, and
//! the in-memory twin in `ledger::memory_disk`, which can also fill up, fail and lose power.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file.
pub(super) trait File: Send + Sync {
    /// Its length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. Durability: none before [`File::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything that was written survive power loss.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `bytes`. Only for what was never acknowledged or was kept aside.
    fn cut(&self, bytes: u64) -> io::Result<()>;
}

/// A set of named files.
pub(super) trait Disk: Send + Sync {
    /// The names of all files, in order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Makes a new, empty file. Durability: its name needs [`Disk::sync_names`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Makes creations and removals survive power loss.
    fn sync_names(&self) -> io::Result<()>;
    /// Removes a file. Only for one that was kept aside.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Durably keeps `bytes` under a new name that begins with `name`, outside the set; returns
    /// where, for a person.
    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String>;
    /// How many bytes may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// The name of a file for a person.
    fn describe(&self, name: &str) -> String;
}

/// A directory of segment files, with a directory for what is kept aside next to it.
#[derive(Debug)]
pub(super) struct FileDisk {
    directory: PathBuf,
    aside: PathBuf,
    writable: bool,
}

impl FileDisk {
    /// The files in `directory`; both directories are made, readable by their owner only, because
    /// manifests may contain what is not for everybody.
    pub(super) fn create(directory: PathBuf, aside: PathBuf) -> io::Result<Self> {
        create_directories(&directory)?;
        Ok(Self { directory, aside, writable: true })
    }

    /// The files in `directory`, for reading only.
    pub(super) fn read_only(directory: PathBuf, aside: PathBuf) -> Self {
        Self { directory, aside, writable: false }
    }
}

/// Makes a directory and what is missing above it, for their owner only.
/// Durability: they survive power loss.
pub(super) fn create_directories(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(sync_directory)
}

/// Makes the entries of a directory survive power loss.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Writes a file that appears whole, and durable, or not at all; only its owner may read it.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

impl Disk for FileDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.directory.join(name);
        let file = fs::OpenOptions::new().read(true).write(self.writable).open(path)?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(self.directory.join(name))?))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn keep_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        create_directories(&self.aside)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        // Bound: as many tries as things were ever kept aside under this name.
        let mut number = 0_u64;
        loop {
            let path = self.aside.join(format!("{name}.{number}"));
            match options.open(&path) {
                Ok(file) => {
                    file.write_all_at(bytes, 0)?;
                    file.sync_all()?;
                    sync_directory(&self.aside)?;
                    return Ok(path.display().to_string());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn describe(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl File for fs::File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match std::os::unix::fs::FileExt::read_at(
                self,
                &mut buffer[filled..],
                offset + filled as u64,
            ) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}
