//! Hints that a local repository may have changed, from the file system.
//!
//! A hint is never the truth: it says "look now", and may be missing (network file systems,
//! exhausted limits, a folder that was replaced in a way that is not noticed) or superfluous.
//! Whoever uses it polls as well.
//!
//! What is watched of a repository: the folder of its refs with everything in it, the folder that
//! holds `HEAD` and `packed-refs`, and the nearest folder above that exists, so that a repository
//! that is deleted and made again is noticed. [`Hints::arm`] sets this up anew and must be called
//! before each look.
//!
//! Invariant: the notify thread takes only the lock of `routes`; whoever calls notify holds only
//! the lock of `armed`. So neither waits for the other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::Error;
use super::layout::open_isolated;
use super::location::Location;

/// What matters directly in a repository's folder.
const NAMES: [&str; 5] = ["HEAD", "packed-refs", "refs", "reftable", ".git"];

/// Watches local repositories. Cheap to clone; watching ends when the [`Hints`] are dropped.
#[derive(Debug, Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
}

/// Tells when one repository may have changed.
#[derive(Debug)]
pub struct Hints {
    id: u64,
    hint: Arc<Notify>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    routes: Arc<Mutex<Routes>>,
    armed: Mutex<Armed>,
}

/// Which events belong to which repository.
#[derive(Debug, Default)]
struct Routes {
    next: u64,
    by_id: BTreeMap<u64, Route>,
}

#[derive(Debug)]
struct Route {
    /// The repository as the URL names it.
    path: PathBuf,
    /// Where its refs are, as far as known.
    git_dirs: Vec<PathBuf>,
    /// Whether something that is watched was removed or moved, so that its watch is void.
    stale: bool,
    hint: Arc<Notify>,
}

/// What notify was told to watch.
#[derive(Debug)]
struct Armed {
    notify: RecommendedWatcher,
    /// Per repository: each folder with what it was when its watch was set.
    folders: BTreeMap<u64, BTreeMap<PathBuf, Identity>>,
    /// Whether it was reported that watches cannot be set.
    complained: bool,
}

/// Tells a folder from another one of the same name. Inode numbers alone are reused at once.
type Identity = (u64, u64, Option<SystemTime>);

impl Watcher {
    /// Starts watching nothing yet.
    ///
    /// # Errors
    /// [`Error::WatchUnavailable`] when the system has no more watchers to give.
    pub fn new() -> Result<Self, Error> {
        let routes = Arc::new(Mutex::new(Routes::default()));
        let seen = Arc::clone(&routes);
        let handler = move |event: notify::Result<notify::Event>| lock(&seen).dispatch(event);
        let notify = notify::recommended_watcher(handler)
            .map_err(|source| Error::WatchUnavailable { source })?;
        let armed = Armed { notify, folders: BTreeMap::new(), complained: false };
        Ok(Self { shared: Arc::new(Shared { routes, armed: Mutex::new(armed) }) })
    }

    /// Hints for the repository at `url`. There are none for one that is not local.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn watch(&self, url: &str) -> Result<Hints, Error> {
        let hint = Arc::new(Notify::new());
        let mut routes = lock(&self.shared.routes);
        let id = routes.next;
        routes.next += 1;
        if let Location::Local(path) = Location::parse(url)? {
            let route = Route { path, git_dirs: Vec::new(), stale: true, hint: Arc::clone(&hint) };
            routes.by_id.insert(id, route);
        }
        drop(routes);
        let hints = Hints { id, hint, shared: Arc::clone(&self.shared) };
        hints.arm();
        Ok(hints)
    }
}

impl Hints {
    /// Waits until the repository may have changed since the last call returned.
    ///
    /// Cancel safety: a hint that arrives while nobody waits is kept.
    pub async fn changed(&self) {
        self.hint.notified().await;
    }

    /// Sets the watches to what is there now. To be called before each look at the repository,
    /// so that every change after the look gives a hint. Blocks for a few system calls.
    pub fn arm(&self) {
        let mut armed = lock(&self.shared.armed);
        let Some((path, stale)) = lock(&self.shared.routes).begin(self.id) else { return };
        let git_dirs = git_dirs(&path);
        let wanted = wanted(&path, &git_dirs);
        // The route comes first: an event right after the watch is set must find it.
        if let Some(route) = lock(&self.shared.routes).by_id.get_mut(&self.id) {
            route.git_dirs = git_dirs;
        }
        armed.set(self.id, wanted, stale);
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        let mut armed = lock(&self.shared.armed);
        lock(&self.shared.routes).by_id.remove(&self.id);
        armed.set(self.id, BTreeMap::new(), false);
        armed.folders.remove(&self.id);
    }
}

impl Routes {
    /// The path of a repository and whether its watches are void, which they no longer are.
    fn begin(&mut self, id: u64) -> Option<(PathBuf, bool)> {
        let route = self.by_id.get_mut(&id)?;
        Some((route.path.clone(), std::mem::take(&mut route.stale)))
    }

    /// Gives a hint to every repository that an event may concern.
    fn dispatch(&mut self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.all(),
            Ok(event) => self.one(&event),
            Err(error) => {
                tracing::debug!(%error, "file notification failed");
                self.all();
            }
        }
    }

    /// Events were lost.
    fn all(&mut self) {
        for route in self.by_id.values_mut() {
            route.stale = true;
            route.hint.notify_one();
        }
    }

    fn one(&mut self, event: &notify::Event) {
        // Reading, our own included, is no change.
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let moved =
            matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        for route in self.by_id.values_mut() {
            if event.paths.iter().any(|path| route.concerns(path)) {
                route.stale |= moved;
                route.hint.notify_one();
            }
        }
    }
}

impl Route {
    /// Whether a change at `path` may be a change of refs, or of where the repository is.
    fn concerns(&self, path: &Path) -> bool {
        if path.extension().is_some_and(|extension| extension == "lock") {
            return false;
        }
        if self.path.starts_with(path) {
            return true;
        }
        let beside = [self.path.clone(), self.path.join(".git")];
        beside.iter().chain(&self.git_dirs).any(|git_dir| {
            let Ok(inside) = path.strip_prefix(git_dir) else { return false };
            let mut names = inside.iter();
            let Some(first) = names.next().and_then(|name| name.to_str()) else { return true };
            match names.next() {
                None => NAMES.contains(&first),
                Some(_) => first == "refs" || first == "reftable",
            }
        })
    }
}

impl Armed {
    /// Watches `wanted` for the repository `id`, and what it no longer wants no more.
    fn set(&mut self, id: u64, wanted: BTreeMap<PathBuf, RecursiveMode>, stale: bool) {
        let before = self.folders.remove(&id).unwrap_or_default();
        let mut now = BTreeMap::new();
        for (path, mode) in wanted {
            let Some(identity) = identity(&path) else { continue };
            // Watching a folder again is harmless and renews a void watch.
            if (stale || before.get(&path) != Some(&identity)) && !self.watch(&path, mode) {
                continue;
            }
            now.insert(path, identity);
        }
        let used = |path: &PathBuf| self.folders.values().any(|folders| folders.contains_key(path));
        let unused: Vec<_> =
            before.keys().filter(|path| !now.contains_key(*path) && !used(path)).collect();
        for path in unused {
            // A folder that was deleted is not watched any more.
            if let Err(error) = self.notify.unwatch(path) {
                tracing::trace!(path = %path.display(), %error, "was not watched");
            }
        }
        self.folders.insert(id, now);
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> bool {
        let Err(error) = self.notify.watch(path, mode) else { return true };
        let vanished = matches!(error.kind, notify::ErrorKind::PathNotFound);
        if !vanished && !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(path = %path.display(), %error, "cannot watch, relying on polling");
        }
        false
    }
}

/// Where the refs of the repository at `path` are: nowhere while there is none.
fn git_dirs(path: &Path) -> Vec<PathBuf> {
    let dot_git = path.join(".git");
    if dot_git.is_dir() {
        return vec![dot_git];
    }
    if path.join("HEAD").is_file() {
        return vec![path.to_owned()];
    }
    // A worktree: its `.git` is a file that names another place.
    match open_isolated(path) {
        Ok(repository) => vec![repository.git_dir().into(), repository.common_dir().into()],
        Err(_) => Vec::new(),
    }
}

/// The folders to watch for the repository at `path`.
fn wanted(path: &Path, git_dirs: &[PathBuf]) -> BTreeMap<PathBuf, RecursiveMode> {
    let mut wanted = BTreeMap::new();
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir());
    wanted.extend(existing.map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)));
    wanted.extend(path.parent().map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)));
    for git_dir in git_dirs {
        wanted.insert(git_dir.clone(), RecursiveMode::NonRecursive);
        wanted.insert(git_dir.join("refs"), RecursiveMode::Recursive);
        wanted.insert(git_dir.join("reftable"), RecursiveMode::NonRecursive);
    }
    wanted
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

/// The guarded value, also after a panic elsewhere: everything here is set anew by `arm`.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refs_and_the_way_to_them_concern_a_repository() {
        let route = Route {
            path: "/srv/infra".into(),
            git_dirs: vec!["/elsewhere/git".into()],
            stale: false,
            hint: Arc::new(Notify::new()),
        };
        for (path, expected) in [
            ("/srv/infra", true),
            ("/srv", true),
            ("/srv/other", false),
            ("/srv/infra/HEAD", true),
            ("/srv/infra/packed-refs", true),
            ("/srv/infra/packed-refs.lock", false),
            ("/srv/infra/refs/heads/main", true),
            ("/srv/infra/refs/heads/main.lock", false),
            ("/srv/infra/.git/refs/tags/v1", true),
            ("/srv/infra/.git/index", false),
            ("/srv/infra/.git", true),
            ("/srv/infra/app.yaml", false),
            ("/srv/infra/objects/ab", false),
            ("/elsewhere/git/refs/heads/a/b", true),
            ("/elsewhere/git/logs/HEAD", false),
        ] {
            assert_eq!(route.concerns(Path::new(path)), expected, "{path}");
        }
    }
}
