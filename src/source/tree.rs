//! Reading a folder of a commit, without a checkout.
//!
//! A tree in a repository may contain anything: names that no file may have, links that lead
//! out, a file larger than memory, a few small trees that unfold to billions of folders. So
//! everything is first listed with its size from the objects' headers, within limits, and only
//! then loaded.
//!
//! Security: nothing outside the repository is ever read or named, and what is exported contains
//! no link.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use gix::bstr::{BStr, ByteSlice as _};
use gix::object::tree::EntryKind;
use gix::{ObjectId, Repository};

use super::Error;
use super::options::Limits;
use super::refs::{commit_id, object_id};
use crate::model::CommitId;

/// How many links are followed to reach one file, as in the kernel.
const LINKS_MAX: usize = 40;
/// The longest link target, as in the kernel.
const LINK_BYTES_MAX: u64 = 4096;

/// The files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// In order of path.
    pub files: Vec<File>,
    /// The paths in the repository, outside the folder, that links of it lead to. The folder's
    /// tree id says nothing about what is there.
    pub outside: BTreeSet<String>,
}

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the folder, with `/` between names.
    pub path: String,
    /// Whether it may be executed.
    pub executable: bool,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this target.
    Symlink(String),
    /// A commit of another repository, which is not fetched.
    Submodule,
}

/// Something in a listing.
struct Entry {
    path: String,
    id: ObjectId,
    kind: EntryKind,
}

/// A folder on the way from the repository's root: its name and tree.
#[derive(Clone)]
struct Folder {
    name: String,
    tree: ObjectId,
}

/// Where a path leads.
enum Place {
    /// To a folder: all folders from the root to it.
    Folder(Vec<Folder>),
    /// To a file, with its path in the repository.
    File { path: String, id: ObjectId, kind: EntryKind },
}

/// Why a path leads nowhere.
enum Lost {
    Missing,
    /// It is in the submodule with this path.
    Submodule(String),
    Outside,
    Circle,
    Failed(Error),
}

/// Reads one commit of a mirror.
pub(super) struct Reader<'a> {
    pub(super) mirror: &'a Repository,
    pub(super) repo: &'a str,
    commit: &'a CommitId,
    pub(super) root: ObjectId,
    pub(super) limits: &'a Limits,
}

/// A listing under way.
struct Listing {
    /// The folder as asked for, for messages.
    asked: String,
    /// Its path in the repository.
    base: String,
    resolve: bool,
    entries: Vec<Entry>,
    outside: BTreeSet<String>,
    visited: usize,
    bytes: u64,
}

impl<'a> Reader<'a> {
    /// A reader of `commit`.
    ///
    /// # Errors
    /// [`Error::NoSuchCommit`], [`Error::MirrorDamaged`].
    pub(super) fn new(
        mirror: &'a Repository,
        repo: &'a str,
        commit: &'a CommitId,
        limits: &'a Limits,
    ) -> Result<Self, Error> {
        let missing = || Error::NoSuchCommit { repo: repo.to_owned(), commit: commit.clone() };
        let id = object_id(commit).ok_or_else(missing)?;
        let damaged = |source| Error::MirrorDamaged {
            repo: repo.to_owned(),
            what: format!("commit {commit}"),
            source,
        };
        let object = mirror.try_find_object(id).map_err(damaged)?.ok_or_else(missing)?;
        let Ok(object) = object.try_into_commit() else { return Err(missing()) };
        let root = object.tree_id().map_err(damaged)?.detach();
        Ok(Self { mirror, repo, commit, root, limits })
    }

    /// The id of the tree of the folder `path`.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::PathEscape`] or damage.
    pub(super) fn tree_id(&self, path: &str) -> Result<CommitId, Error> {
        let folders = self.folder(path)?;
        Ok(commit_id(folders.last().map_or(self.root, |folder| folder.tree)))
    }

    /// The files below `path`; with `resolve`, links are replaced by what they lead to.
    ///
    /// # Errors
    /// See [`super::Mirror::read`] and [`super::Mirror::read_resolved`].
    pub(super) fn read(&self, path: &str, resolve: bool) -> Result<Tree, Error> {
        let listing = self.list(path, resolve)?;
        let mut files = Vec::with_capacity(listing.entries.len());
        for entry in listing.entries {
            let content = match entry.kind {
                EntryKind::Blob | EntryKind::BlobExecutable => {
                    Content::Bytes(self.load(&entry.path, entry.id)?)
                }
                EntryKind::Link => Content::Symlink(self.target(&entry.path, entry.id)?),
                EntryKind::Commit => Content::Submodule,
                // A listing contains no folders.
                EntryKind::Tree => continue,
            };
            let executable = entry.kind == EntryKind::BlobExecutable;
            files.push(File { path: entry.path, executable, content });
        }
        Ok(Tree { files, outside: listing.outside })
    }

    /// Writes the files below `path` to `to`, links resolved, one at a time.
    ///
    /// # Errors
    /// See [`super::Mirror::export`].
    pub(super) fn export(&self, path: &str, to: &Path) -> Result<(), Error> {
        let listing = self.list(path, true)?;
        let failed = |action, path: &Path, source| Error::Io {
            repo: self.repo.to_owned(),
            action,
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(to).map_err(|source| failed("create", to, source))?;
        for entry in listing.entries {
            let file = to.join(&entry.path);
            if entry.kind == EntryKind::Commit {
                fs::create_dir_all(&file).map_err(|source| failed("create", &file, source))?;
                continue;
            }
            let bytes = self.load(&entry.path, entry.id)?;
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(|source| failed("create", parent, source))?;
            }
            let mode = if entry.kind == EntryKind::BlobExecutable { 0o755 } else { 0o644 };
            // Security: `create_new` follows no link that somebody may have put there.
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&file)
                .and_then(|mut out| out.write_all(&bytes))
                .map_err(|source| failed("write", &file, source))?;
        }
        Ok(())
    }

    fn list(&self, path: &str, resolve: bool) -> Result<Listing, Error> {
        let folders = self.folder(path)?;
        let mut listing = Listing {
            asked: path.to_owned(),
            base: joined(&folders),
            resolve,
            entries: Vec::new(),
            outside: BTreeSet::new(),
            visited: 0,
            bytes: 0,
        };
        let mut active = vec![listing.base.clone()];
        self.walk(&mut listing, &folders, "", &mut active)?;
        listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// Lists what is in the last of `folders` under the name `prefix`. `active` is the paths of
    /// the folders that are being listed: a link back to one of them is a circle.
    fn walk(
        &self,
        listing: &mut Listing,
        folders: &[Folder],
        prefix: &str,
        active: &mut Vec<String>,
    ) -> Result<(), Error> {
        if active.len() > self.limits.depth_max {
            return Err(Error::TooDeep {
                repo: self.repo.to_owned(),
                path: shown(&listing.asked, prefix),
                limit: self.limits.depth_max,
            });
        }
        let tree = folders.last().map_or(self.root, |folder| folder.tree);
        let damaged = |source| self.damaged(&shown(&listing.asked, prefix), source);
        let tree = self.mirror.find_tree(tree).map_err(damaged)?;
        for child in tree.iter() {
            let child = child.map_err(|source| self.damaged(&listing.asked, source))?;
            let name = self.name(listing, prefix, child.filename())?;
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            self.count(listing)?;
            let kind = child.kind();
            match kind {
                EntryKind::Tree => {
                    let mut folders = folders.to_vec();
                    folders.push(Folder { name, tree: child.object_id() });
                    active.push(joined(&folders));
                    self.walk(listing, &folders, &path, active)?;
                    active.pop();
                }
                EntryKind::Link if listing.resolve => {
                    self.follow(listing, folders, path, child.object_id(), active)?;
                }
                EntryKind::Link | EntryKind::Blob | EntryKind::BlobExecutable => {
                    self.add(listing, path, child.object_id(), kind)?;
                }
                EntryKind::Commit => {
                    listing.entries.push(Entry { path, id: child.object_id(), kind });
                }
            }
        }
        Ok(())
    }

    /// Lists what the link `id`, which is in the last of `folders`, leads to, as `path`.
    fn follow(
        &self,
        listing: &mut Listing,
        folders: &[Folder],
        path: String,
        id: ObjectId,
        active: &mut Vec<String>,
    ) -> Result<(), Error> {
        let target = self.target(&path, id)?;
        let repo = self.repo.to_owned();
        let shown = shown(&listing.asked, &path);
        let place = match self.locate(folders.to_vec(), &target) {
            Ok(place) => place,
            Err(Lost::Missing | Lost::Submodule(_)) => {
                return Err(Error::SymlinkDangling { repo, path: shown, target });
            }
            Err(Lost::Outside) => return Err(Error::SymlinkEscape { repo, path: shown, target }),
            Err(Lost::Circle) => return Err(Error::SymlinkLoop { repo, path: shown, target }),
            Err(Lost::Failed(error)) => return Err(error),
        };
        match place {
            Place::File { path: real, id, kind } => {
                listing.note(&real);
                self.add(listing, path, id, kind)
            }
            Place::Folder(folders) => {
                let real = joined(&folders);
                if active.contains(&real) {
                    return Err(Error::SymlinkLoop { repo, path: shown, target });
                }
                listing.note(&real);
                active.push(real);
                self.walk(listing, &folders, &path, active)?;
                active.pop();
                Ok(())
            }
        }
    }

    /// Adds a file to the listing, within the limits.
    fn add(
        &self,
        listing: &mut Listing,
        path: String,
        id: ObjectId,
        kind: EntryKind,
    ) -> Result<(), Error> {
        if kind != EntryKind::Commit {
            let header = self.mirror.find_header(id).map_err(|e| self.damaged(&path, e))?;
            let bytes = header.size();
            if bytes > self.limits.file_bytes_max {
                return Err(Error::FileTooLarge {
                    repo: self.repo.to_owned(),
                    path: shown(&listing.asked, &path),
                    bytes,
                    limit: self.limits.file_bytes_max,
                });
            }
            listing.bytes = listing.bytes.saturating_add(bytes);
            if listing.bytes > self.limits.total_bytes_max {
                return Err(Error::TreeTooLarge {
                    repo: self.repo.to_owned(),
                    path: listing.asked.clone(),
                    limit: self.limits.total_bytes_max,
                });
            }
        }
        listing.entries.push(Entry { path, id, kind });
        Ok(())
    }

    /// Bound: counts every entry, folders too, so that trees that name each other many times end.
    fn count(&self, listing: &mut Listing) -> Result<(), Error> {
        listing.visited += 1;
        if listing.visited <= self.limits.files_max {
            return Ok(());
        }
        Err(Error::TooManyFiles {
            repo: self.repo.to_owned(),
            path: listing.asked.clone(),
            limit: self.limits.files_max,
        })
    }

    /// A name in a tree, which must be one that a file can have.
    fn name(&self, listing: &Listing, prefix: &str, name: &BStr) -> Result<String, Error> {
        let path = |name: &str| match prefix {
            "" => shown(&listing.asked, name),
            prefix => shown(&listing.asked, &format!("{prefix}/{name}")),
        };
        let Ok(text) = name.to_str() else {
            let path = path(&name.to_str_lossy());
            return Err(Error::PathNotUtf8 { repo: self.repo.to_owned(), path });
        };
        let unsafe_name = matches!(text, "" | "." | "..")
            || text.eq_ignore_ascii_case(".git")
            || text.contains(['/', '\0']);
        if unsafe_name {
            return Err(Error::UnsafeName { repo: self.repo.to_owned(), path: path(text) });
        }
        Ok(text.to_owned())
    }

    /// The folders from the root to `path`.
    fn folder(&self, path: &str) -> Result<Vec<Folder>, Error> {
        let (repo, path_text) = (self.repo.to_owned(), path.to_owned());
        if path.starts_with('/') {
            return Err(Error::PathEscape { repo, path: path_text });
        }
        match self.locate(Vec::new(), path) {
            Ok(Place::Folder(folders)) => Ok(folders),
            Ok(Place::File { path: submodule, kind: EntryKind::Commit, .. })
            | Err(Lost::Submodule(submodule)) => {
                Err(Error::Submodule { repo, path: path_text, submodule })
            }
            Ok(Place::File { .. }) | Err(Lost::Missing | Lost::Circle) => {
                Err(Error::NoSuchPath { repo, path: path_text, commit: self.commit.clone() })
            }
            Err(Lost::Outside) => Err(Error::PathEscape { repo, path: path_text }),
            Err(Lost::Failed(error)) => Err(error),
        }
    }

    /// Follows `path` from the last of `folders` (the root when there are none), links included,
    /// as the kernel would in a checkout.
    fn locate(&self, mut folders: Vec<Folder>, path: &str) -> Result<Place, Lost> {
        if path.starts_with('/') {
            return Err(Lost::Outside);
        }
        let mut names: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    folders.pop().ok_or(Lost::Outside)?;
                    continue;
                }
                _ => {}
            }
            let here = folders.last().map_or(self.root, |folder| folder.tree);
            let tree = self.mirror.find_tree(here);
            let tree = tree.map_err(|e| Lost::Failed(self.damaged(&joined(&folders), e)))?;
            let Some(entry) = tree.find_entry(name.as_bytes()) else {
                return Err(Lost::Missing);
            };
            let (id, kind) = (entry.object_id(), entry.kind());
            match kind {
                EntryKind::Tree => folders.push(Folder { name, tree: id }),
                EntryKind::Link => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Lost::Circle);
                    }
                    let target = self.target(&name, id).map_err(Lost::Failed)?;
                    if target.starts_with('/') {
                        return Err(Lost::Outside);
                    }
                    for part in target.rsplit('/') {
                        names.push_front(part.to_owned());
                    }
                }
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Commit => {
                    let folder = joined(&folders);
                    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    // `file/.` is an error for the kernel too.
                    if !names.is_empty() {
                        let inside = kind == EntryKind::Commit;
                        return Err(if inside { Lost::Submodule(path) } else { Lost::Missing });
                    }
                    return Ok(Place::File { path, id, kind });
                }
            }
        }
        Ok(Place::Folder(folders))
    }

    /// Where the link `id` points.
    pub(super) fn target(&self, path: &str, id: ObjectId) -> Result<String, Error> {
        let header = self.mirror.find_header(id).map_err(|e| self.damaged(path, e))?;
        if header.size() > LINK_BYTES_MAX {
            return Err(Error::FileTooLarge {
                repo: self.repo.to_owned(),
                path: path.to_owned(),
                bytes: header.size(),
                limit: LINK_BYTES_MAX,
            });
        }
        String::from_utf8(self.load(path, id)?)
            .map_err(|_| Error::PathNotUtf8 { repo: self.repo.to_owned(), path: path.to_owned() })
    }

    pub(super) fn load(&self, path: &str, id: ObjectId) -> Result<Vec<u8>, Error> {
        let blob = self.mirror.find_blob(id).map_err(|e| self.damaged(path, e))?;
        Ok(blob.detach().data)
    }

    pub(super) fn damaged(&self, path: &str, source: gix::Error) -> Error {
        let what = format!("`{path}` of commit {}", self.commit);
        Error::MirrorDamaged { repo: self.repo.to_owned(), what, source }
    }
}

impl Listing {
    /// Notes that a link led to `real`, a path in the repository.
    fn note(&mut self, real: &str) {
        let inside = self.base.is_empty()
            || real == self.base
            || real.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'));
        if !inside {
            self.outside.insert(real.to_owned());
        }
    }
}

/// The path of the last of `folders`, from the root.
fn joined(folders: &[Folder]) -> String {
    let names: Vec<_> = folders.iter().map(|folder| folder.name.as_str()).collect();
    names.join("/")
}

/// The path below `asked`, as a person would write it from the repository's root.
fn shown(asked: &str, path: &str) -> String {
    let asked = asked.trim_matches('/');
    match (asked, path) {
        ("" | ".", path) => path.to_owned(),
        (asked, "") => asked.to_owned(),
        (asked, path) => format!("{asked}/{path}"),
    }
}
