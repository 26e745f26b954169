//! The mirror of one repository: a bare Git repository in the data directory.
//!
//! It is made from the original by fetching and is complete in itself: no object is borrowed.
//! One fetch at a time writes to it, held by a lock file; readers need no lock, because objects
//! are only ever added. It is not fsynced: after a power cut what is missing is fetched again.
//!
//! Invariant: refs move only after every object they need is there and the events that follow
//! from the move were derived.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::browse::Browser;
use super::error::Error;
use super::history::{Difference, Failure};
use super::layout::{Layout, Lock, open_isolated};
use super::location::{Location, redact};
use super::options::{Limits, Options};
use super::refs::{Refs, object_id, read_all};
use super::signer::Signers;
use super::transport;
use super::tree::{Reader, Tree};
use crate::ledger::event::Event;
use crate::model::{CommitId, Digest};

/// From how many packs on they are made into one. Every lookup may have to ask each of them, and
/// every fetch adds one.
const PACKS_MAX: usize = 50;
/// How long a fetch waits for the lock, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(2);

/// A bare mirror of one repository.
///
/// Every method blocks: call them from a thread that may. Cheap to open; keeps no file open.
#[derive(Debug)]
pub struct Mirror {
    options: Options,
    /// The URL as applications name it, as events have it.
    url: String,
    /// The same without a password, as messages have it.
    repo: String,
    location: Location,
    layout: Layout,
}

/// What a fetch found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Every branch, tag (peeled) and `HEAD` that leads to a commit, by full name.
    pub refs: BTreeMap<String, CommitId>,
    /// What must be recorded, in this order: commits (parents before children), where an imported
    /// history begins, rewrites, ref moves. Empty when nothing moved.
    pub events: Vec<Event>,
}

impl Mirror {
    /// Opens the mirror of the repository at `url`, making an empty one if there is none. Nothing
    /// is fetched, and the repository need not be reachable.
    ///
    /// # Errors
    /// [`Error::UnsupportedTransport`] or [`Error::InvalidUrl`] for the URL, [`Error::Io`] when
    /// the directory cannot be made.
    pub fn open(options: &Options, url: &str) -> Result<Self, Error> {
        let mirror = Self::named(options, url)?;
        match mirror.lock() {
            // Busy: another fetch has it, so it is there and in order.
            Ok(_) | Err(Error::Busy { .. }) => Ok(mirror),
            Err(error) => Err(error),
        }
    }

    /// Opens the mirror of the repository at `url` to be read, if there is one. Nothing is made,
    /// locked or fetched.
    ///
    /// # Errors
    /// [`Error::UnsupportedTransport`] or [`Error::InvalidUrl`].
    pub fn find(options: &Options, url: &str) -> Result<Option<Self>, Error> {
        let mirror = Self::named(options, url)?;
        Ok(mirror.layout.dir().is_dir().then_some(mirror))
    }

    fn named(options: &Options, url: &str) -> Result<Self, Error> {
        let location = Location::parse(url)?;
        let name = Digest::of(url.as_bytes()).to_string();
        Ok(Self {
            options: options.clone(),
            url: url.to_owned(),
            repo: redact(url),
            location,
            layout: Layout::new(&options.dir, &name[..32]),
        })
    }

    /// The URL as applications name it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory of the mirror.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// Fetches all branches and tags and derives what must be recorded.
    ///
    /// `known` is the refs as the ledger has them (as a previous [`Fetched::refs`]); empty means
    /// that the repository was never recorded, and imports its newest commits. Commits that a ref
    /// of `known` has left stay reachable in the mirror. `gone` is where refs were last that are gone
    /// by now: one that comes back somewhere else is a rewrite. A repository without refs is no
    /// error.
    ///
    /// A mirror that turns out to be damaged is set aside and made anew.
    ///
    /// Calling it again with the same `known` gives the same events, so that a crash before they
    /// were recorded loses none.
    ///
    /// # Errors
    /// See [`Error`]; what went wrong on the other side carries what it said.
    pub fn fetch(
        &self,
        known: &BTreeMap<String, CommitId>,
        gone: &BTreeMap<String, CommitId>,
        cancel: &AtomicBool,
    ) -> Result<Fetched, Error> {
        match self.fetch_once(known, gone, cancel) {
            // The damage is noted: the second try begins with an empty mirror.
            Err(Error::MirrorDamaged { .. }) => self.fetch_once(known, gone, cancel),
            result => result,
        }
    }

    fn fetch_once(
        &self,
        known: &BTreeMap<String, CommitId>,
        gone: &BTreeMap<String, CommitId>,
        cancel: &AtomicBool,
    ) -> Result<Fetched, Error> {
        let _lock = self.lock_for_fetch(cancel)?;
        let mirror = self.repository()?;
        let refs = match self.unmoved(&mirror)? {
            Some(refs) => refs,
            None => {
                let fetched = transport::fetch(&transport::Request {
                    repo: &self.repo,
                    location: &self.location,
                    mirror: &mirror,
                    timeout: self.options.fetch_timeout,
                    cancel,
                });
                fetched.map_err(|error| self.whose_fault(&mirror, error))?
            }
        };
        let now = refs.commits(&mirror).map_err(|source| self.damaged("refs", source))?;
        let difference = Difference {
            mirror: &mirror,
            repo: &self.url,
            known,
            gone,
            now: &now,
            import_max: self.options.history_commits_max,
            follow: self.options.follow_rewrites.contains(&self.url),
            signers: Signers {
                allowed: self.options.allowed_signers.as_deref(),
                dir: &self.options.dir,
            },
            cancel,
        };
        let consequences = difference.consequences().map_err(|failure| match failure {
            Failure::Cancelled => Error::Cancelled { repo: self.repo.clone() },
            Failure::Damaged(source) => self.damaged("history", source),
        })?;
        refs.write_to(&mirror, &consequences.left)
            .map_err(|source| Error::UpdateRefs { repo: self.repo.clone(), source })?;
        Ok(Fetched { refs: now, events: consequences.events })
    }

    /// Tidies the mirror where it has grown: many small packs become one. Meant to run after a
    /// fetch was answered. Nothing is removed that anything could refer to.
    ///
    /// # Errors
    /// [`Error::Busy`] while a fetch runs, [`Error::Program`] when git cannot be run.
    pub fn maintain(&self) -> Result<(), Error> {
        let _lock = self.lock()?;
        if self.layout.packs() < PACKS_MAX {
            return Ok(());
        }
        transport::repack(&self.repo, self.layout.dir(), self.options.fetch_timeout)
    }

    /// The commit that `revision` names: `HEAD` or nothing (the remote's `HEAD` as last fetched),
    /// a branch, a tag (peeled), a full ref name, or a commit id, also abbreviated to at least
    /// four digits. A branch wins over a tag of the same name, and a name over an id.
    ///
    /// # Errors
    /// [`Error::UnknownRevision`] with similar names, [`Error::AmbiguousRevision`].
    pub fn resolve(&self, revision: &str) -> Result<CommitId, Error> {
        let mirror = self.repository()?;
        super::revision::resolve(&mirror, &self.repo, revision)
            .unwrap_or_else(|source| Err(self.damaged("refs", source)))
    }

    /// Whether the history of `tip` contains `commit`.
    ///
    /// # Errors
    /// [`Error::MirrorDamaged`].
    pub fn contains(&self, tip: &CommitId, commit: &CommitId) -> Result<bool, Error> {
        let mirror = self.repository()?;
        let (Some(tip), Some(commit)) = (object_id(tip), object_id(commit)) else {
            return Ok(false);
        };
        super::history::contains(&mirror, tip, commit)
            .map_err(|source| self.damaged("history", source))
    }

    /// The id of the tree at `path` of `commit`: the identity of a folder's content. `.` is the
    /// whole repository. Symbolic links on the way are followed inside the repository.
    ///
    /// What links inside the folder point to outside it is not part of this identity: see
    /// [`Tree::outside`].
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::NoSuchPath`], [`Error::PathEscape`].
    pub fn tree(&self, commit: &CommitId, path: &str) -> Result<CommitId, Error> {
        self.reader(commit, &Limits::default(), |reader| reader.tree_id(path))
    }

    /// Every file below `path` of `commit`, in order of path, symbolic links as such.
    ///
    /// # Errors
    /// As [`Self::tree`], and one for each limit, naming the file. Sizes are checked before
    /// anything is loaded.
    pub fn read(&self, commit: &CommitId, path: &str, limits: &Limits) -> Result<Tree, Error> {
        self.reader(commit, limits, |reader| reader.read(path, false))
    }

    /// As [`Self::read`], with every symbolic link replaced by what it leads to. A link may lead
    /// anywhere in the repository.
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::SymlinkEscape`], [`Error::SymlinkLoop`],
    /// [`Error::SymlinkDangling`].
    pub fn read_resolved(
        &self,
        commit: &CommitId,
        path: &str,
        limits: &Limits,
    ) -> Result<Tree, Error> {
        self.reader(commit, limits, |reader| reader.read(path, true))
    }

    /// Writes the folder `path` of `commit` to the directory `to`, which must not exist or be
    /// empty. Symbolic links become what they lead to, so that nothing that reads the directory
    /// can be led out of it; submodules become empty directories.
    ///
    /// # Errors
    /// As [`Self::read_resolved`], and [`Error::Io`]. What was written until then stays.
    pub fn export(
        &self,
        commit: &CommitId,
        path: &str,
        to: &Path,
        limits: &Limits,
    ) -> Result<(), Error> {
        self.reader(commit, limits, |reader| reader.export(path, to))
    }

    /// Opens `commit` to be looked at file by file.
    ///
    /// # Errors
    /// The mirror cannot be opened.
    pub fn browse(&self, commit: &CommitId, limits: Limits) -> Result<Browser, Error> {
        let mirror = self.repository()?;
        Ok(Browser { mirror, repo: self.repo.clone(), commit: commit.clone(), limits })
    }

    /// The URL without a password, as messages have it.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    fn reader<T>(
        &self,
        commit: &CommitId,
        limits: &Limits,
        read: impl FnOnce(&Reader<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mirror = self.repository()?;
        let result =
            Reader::new(&mirror, &self.repo, commit, limits).and_then(|reader| read(&reader));
        if let Err(Error::MirrorDamaged { .. }) = &result {
            self.layout.mark_damaged();
        }
        result
    }

    /// The remote's refs, when reading them directly shows that the mirror has all of them as
    /// they are. `None` when something moved or cannot be read: then the transport decides, and
    /// gives the error if there is one.
    fn unmoved(&self, mirror: &gix::Repository) -> Result<Option<Refs>, Error> {
        let Location::Local(path) = &self.location else { return Ok(None) };
        if !path.exists() {
            return Err(Error::NotARepository { repo: self.repo.clone(), path: path.clone() });
        }
        let Ok(original) = open_isolated(path) else {
            tracing::debug!(repo = self.repo, "not readable directly, asking upload-pack");
            return Ok(None);
        };
        let Ok(there) = Refs::of_repository(&original) else { return Ok(None) };
        let here = Refs::of_repository(mirror).map_err(|source| self.damaged("refs", source))?;
        let same = there == here && there.targets().all(|id| mirror.has_object(id));
        Ok(same.then_some(there))
    }

    /// A fetch also reads the mirror: when that is what failed, says so instead of `error`.
    fn whose_fault(&self, mirror: &gix::Repository, error: Error) -> Error {
        if !matches!(error, Error::Fetch { .. }) {
            return error;
        }
        read_all(mirror).map_or_else(|source| self.damaged("refs", source), |()| error)
    }

    pub(super) fn repository(&self) -> Result<gix::Repository, Error> {
        open_isolated(self.layout.dir()).map_err(|source| self.damaged("its configuration", source))
    }

    /// Takes the lock that a fetch holds, and with it makes the mirror usable.
    fn lock(&self) -> Result<Lock, Error> {
        match self.layout.lock() {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(Error::Busy { repo: self.repo.clone() }),
            Err((action, path, source)) => {
                Err(Error::Io { repo: self.repo.clone(), action, path, source })
            }
        }
    }

    /// As [`Mirror::lock`], but waits for a lock that is held only for a moment, as by
    /// [`Mirror::open`]: a fetch that gave up at once would be reported as failed and come late.
    fn lock_for_fetch(&self, cancel: &AtomicBool) -> Result<Lock, Error> {
        let begun = Instant::now();
        loop {
            match self.lock() {
                Err(Error::Busy { .. })
                    if begun.elapsed() < LOCK_WAIT && !cancel.load(Ordering::Relaxed) =>
                {
                    std::thread::sleep(LOCK_POLL);
                }
                result => return result,
            }
        }
    }

    /// The error for a mirror that cannot be read, noted so that the next fetch makes a new one.
    pub(super) fn damaged(&self, what: &str, source: gix::Error) -> Error {
        self.layout.mark_damaged();
        Error::MirrorDamaged { repo: self.repo.clone(), what: what.to_owned(), source }
    }
}
