//! The files of a mirror: making them, locking them, and putting right what a crash left.
//!
//! ```text
//! <dir>/<name>.git       the mirror, a bare repository; usable when it has a HEAD
//! <dir>/<name>.lock      held while it is written to; outside, because the mirror may be replaced
//! <dir>/<name>.damaged   the last mirror that was found damaged, kept for a person to look at
//! ```
//!
//! Invariant: whoever holds a [`Lock`] has a usable mirror without leftovers of a killed writer.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// In the mirror: there when a reader met damage, so that the next writer begins anew.
const DAMAGE_FILE: &str = "greffier.damaged";
/// How many folders deep refs are looked through for leftovers; ref names are not deeper in life.
const REF_DEPTH_MAX: usize = 32;
/// A repository with an empty history, no reflogs, and nothing that git would do by itself.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfilemode = true\n\
                      \tlogAllRefUpdates = false\n[gc]\n\tauto = 0\n";

/// What failed, on which path, and why.
pub(super) type Failed = (&'static str, PathBuf, io::Error);

/// The right to write to a mirror; given back when dropped, or by the system when the process
/// dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Unlocks by name: closing is not enough while a child process that is just being started
    /// has a copy of the file.
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.0, FlockOperation::Unlock) {
            tracing::debug!(%error, "mirror is unlocked by closing");
        }
    }
}

/// Where the files of a mirror are.
#[derive(Debug)]
pub(super) struct Layout {
    git: PathBuf,
    lock: PathBuf,
    damaged: PathBuf,
}

impl Layout {
    /// The files of the mirror `name` in `dir`.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        let at = |extension: &str| dir.join(format!("{name}.{extension}"));
        Self { git: at("git"), lock: at("lock"), damaged: at("damaged") }
    }

    /// The mirror's directory.
    pub(super) fn dir(&self) -> &Path {
        &self.git
    }

    /// Takes the lock, and makes the mirror usable. `None` when another holds it.
    ///
    /// # Errors
    /// What could not be done to which file.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Failed> {
        if let Some(parent) = self.lock.parent() {
            fs::create_dir_all(parent).map_err(failed("create", parent))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.lock)
            .map_err(failed("open", &self.lock))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed("lock", &self.lock)(errno.into())),
        }
        self.make_sound()?;
        Ok(Some(Lock(file)))
    }

    /// Notes that the mirror is damaged. Losing the note only means meeting the damage again.
    pub(super) fn mark_damaged(&self) {
        if let Err(error) = fs::write(self.git.join(DAMAGE_FILE), b"") {
            tracing::warn!(mirror = %self.git.display(), %error, "cannot note that a mirror is damaged");
        }
    }

    /// How many packs the mirror has; 0 when that cannot be read.
    pub(super) fn packs(&self) -> usize {
        let is_pack = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|e| e == "pack");
        fs::read_dir(self.git.join("objects/pack"))
            .map_or(0, |entries| entries.flatten().filter(is_pack).count())
    }

    fn make_sound(&self) -> Result<(), Failed> {
        let head = self.git.join("HEAD");
        let unusable = || head.exists() && open_isolated(&self.git).is_err();
        if self.git.join(DAMAGE_FILE).exists() || unusable() {
            self.set_aside()?;
        }
        if head.exists() { self.remove_leftovers() } else { self.create() }
    }

    /// Moves a damaged mirror away; only the last one is kept.
    fn set_aside(&self) -> Result<(), Failed> {
        tracing::warn!(kept = %self.damaged.display(), "a damaged mirror is set aside and made anew");
        match fs::remove_dir_all(&self.damaged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &self.damaged)(error));
            }
            Ok(()) | Err(_) => {}
        }
        fs::rename(&self.git, &self.damaged).map_err(failed("set aside", &self.git))
    }

    /// Makes an empty bare repository. `HEAD` comes last: its presence says that the rest is
    /// there.
    fn create(&self) -> Result<(), Failed> {
        for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
            let path = self.git.join(folder);
            fs::create_dir_all(&path).map_err(failed("create", &path))?;
        }
        for (name, content) in [("config", CONFIG), ("HEAD", "ref: refs/heads/main\n")] {
            let path = self.git.join(name);
            fs::write(&path, content).map_err(failed("write", &path))?;
        }
        Ok(())
    }

    /// Removes the locks of refs and the half-written packs of a writer that was killed. Only
    /// the holder of the lock writes, so nothing of them is in use.
    fn remove_leftovers(&self) -> Result<(), Failed> {
        for name in ["HEAD.lock", "packed-refs.lock", "config.lock"] {
            remove(&self.git.join(name))?;
        }
        remove_locks(&self.git.join("refs"), REF_DEPTH_MAX)?;
        let packs = self.git.join("objects/pack");
        for entry in fs::read_dir(&packs).map_err(failed("read", &packs))?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let complete = name.starts_with("pack-") && !name.ends_with(".keep");
            if !complete && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Opens the repository at `path` without reading any configuration but its own.
///
/// # Errors
/// When there is no repository, or it cannot be read.
pub(super) fn open_isolated(path: &Path) -> Result<gix::Repository, gix::Error> {
    gix::open_opts(path, gix::open::Options::isolated())
}

fn remove_locks(folder: &Path, depth: usize) -> Result<(), Failed> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))?.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => remove_locks(&path, depth - 1)?,
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|e| e == "lock") => {
                remove(&path)?;
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failed> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |error| (action, path, error)
}
