//! The temporary folder of one render: what is written into it, how much, and what it was before.
//!
//! Removed when dropped. Invariant: names in it are made here or checked here, so nothing is
//! written outside it; only regular files and folders are written.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::engine::Limits;

/// The most files that the inputs of one render may have.
const FILES_MAX: usize = 20_000;

/// The folder in it that programs may write into; they only read the rest.
const TEMPORARY: &str = "tmp";

/// Distinguishes the renders of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Why the inputs could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are too large together.
    #[error("the inputs of `{path}` are larger than {what}")]
    TooLarge {
        /// The folder that is rendered.
        path: String,
        /// The limit that was exceeded.
        what: &'static str,
    },
    /// The temporary folder could not be written.
    #[error("could not write the temporary folder")]
    Write(#[source] io::Error),
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Write(_))
    }
}

/// The temporary folder of one render.
pub(super) struct Scratch {
    folder: PathBuf,
    /// What stands for the folder of inputs in messages: where it is in the repository.
    path: String,
    bytes_left: u64,
    files_left: usize,
    /// Temporary file and what it is called in the repository or the Application.
    names: Vec<(PathBuf, String)>,
}

impl Scratch {
    pub(super) fn create(parent: &Path, path: &str, limits: &Limits) -> Result<Self, Error> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("render-{}-{number}", std::process::id()));
        // What an earlier process of the same id left behind, if it was killed.
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Write(source));
            }
            _ => {}
        }
        // Security: values may be secret, so nobody else may look in.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let created = created.and_then(|()| DirBuilder::new().create(folder.join(TEMPORARY)));
        created.map_err(Error::Write)?;
        Ok(Self {
            folder,
            path: path.to_owned(),
            bytes_left: limits.source_bytes_max,
            files_left: FILES_MAX,
            names: Vec::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that programs may write into.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join(TEMPORARY)
    }

    /// The folder of what was copied from the repository.
    pub(super) fn inputs(&self) -> PathBuf {
        self.folder.join("inputs")
    }

    /// Writes a file below the folder of inputs. `relative` has no `.`, `..` or empty parts.
    pub(super) fn write_input(&mut self, relative: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut path = self.inputs();
        path.extend(relative.split('/'));
        self.write(&path, bytes)
    }

    /// Writes a file that messages shall call `name`, and returns where it is.
    pub(super) fn write_named(&mut self, bytes: &[u8], name: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("input-{}", self.names.len()));
        self.write(&path, bytes)?;
        self.names.push((path.clone(), name.to_owned()));
        Ok(path)
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let too_large = |what| Error::TooLarge { path: self.path.clone(), what };
        let files_left = self.files_left.checked_sub(1);
        let bytes_left = self.bytes_left.checked_sub(bytes.len() as u64);
        self.files_left = files_left.ok_or_else(|| too_large("20000 files"))?;
        self.bytes_left = bytes_left.ok_or_else(|| too_large("64 MiB"))?;
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| fs::write(path, bytes));
        written.map_err(Error::Write)
    }

    /// A message of the program in words of the repository.
    pub(super) fn readable(&self, message: &str) -> String {
        let mut message = message.to_owned();
        // Backwards, because `input-1` is a part of `input-10`.
        for (path, name) in self.names.iter().rev() {
            message = message.replace(&*path.to_string_lossy(), name);
        }
        let top = if self.path.is_empty() { "." } else { &self.path };
        let message = message.replace(&*self.inputs().to_string_lossy(), top);
        message.replace(&format!("{}/", self.folder.to_string_lossy()), "")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed with the whole scratch folder when the daemon starts.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
