//! Looking around in one commit, file by file, following nothing.
//!
//! A renderer that needs three files of a large repository reads three files. What a link means
//! is the renderer's business; here it is a link.

use std::collections::VecDeque;

use gix::bstr::ByteSlice as _;
use gix::object::tree::EntryKind;

use super::Error;
use super::options::Limits;
use super::tree::{Content, Reader};
use crate::model::CommitId;

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// One commit of a mirror, to be looked at.
pub struct Browser {
    pub(super) mirror: gix::Repository,
    pub(super) repo: String,
    pub(super) commit: CommitId,
    pub(super) limits: Limits,
}

impl Browser {
    /// The files in `folder` (empty = the top) by path relative to it, in order; with `deep` also
    /// those in the folders below. `None` when there is no such folder.
    ///
    /// # Errors
    /// A limit, a name that no file can have, damage.
    pub fn list(&self, folder: &str, deep: bool) -> Result<Option<Vec<(String, FileKind)>>, Error> {
        let reader = Reader::new(&self.mirror, &self.repo, &self.commit, &self.limits)?;
        let Some((id, EntryKind::Tree)) = reader.entry(folder)? else { return Ok(None) };
        let mut found = Vec::new();
        let mut folders = VecDeque::from([(String::new(), id, 0)]);
        let mut visited = 0;
        while let Some((prefix, id, depth)) = folders.pop_front() {
            reader.bound(folder, &prefix, depth, visited)?;
            let damaged = |source| reader.damaged(&format!("{folder}/{prefix}"), source);
            let tree = self.mirror.find_tree(id).map_err(damaged)?;
            for entry in tree.iter() {
                let entry = entry.map_err(|source| reader.damaged(folder, source))?;
                visited += 1;
                let path = format!("{prefix}{}", reader.file_name(&prefix, entry.filename())?);
                match entry.kind() {
                    EntryKind::Tree if deep => {
                        folders.push_back((format!("{path}/"), entry.object_id(), depth + 1));
                    }
                    EntryKind::Tree => {}
                    EntryKind::Blob | EntryKind::BlobExecutable => {
                        found.push((path, FileKind::Regular));
                    }
                    EntryKind::Link => found.push((path, FileKind::Symlink)),
                    EntryKind::Commit => found.push((path, FileKind::Submodule)),
                }
            }
        }
        reader.bound(folder, "", 0, visited)?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(found))
    }

    /// The file at `path`; `None` when there is none, or a folder.
    ///
    /// # Errors
    /// The file is larger than the limit (checked before it is loaded), damage.
    pub fn read(&self, path: &str) -> Result<Option<Content>, Error> {
        let reader = Reader::new(&self.mirror, &self.repo, &self.commit, &self.limits)?;
        Ok(match reader.entry(path)? {
            None | Some((_, EntryKind::Tree)) => None,
            Some((_, EntryKind::Commit)) => Some(Content::Submodule),
            Some((id, EntryKind::Link)) => Some(Content::Symlink(reader.target(path, id)?)),
            Some((id, EntryKind::Blob | EntryKind::BlobExecutable)) => {
                reader.check_size(path, id)?;
                Some(Content::Bytes(reader.load(path, id)?))
            }
        })
    }
}

impl Reader<'_> {
    /// What is at `path`, nothing followed; the top for an empty path.
    pub(super) fn entry(&self, path: &str) -> Result<Option<(gix::ObjectId, EntryKind)>, Error> {
        let mut here = (self.root, EntryKind::Tree);
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if here.1 != EntryKind::Tree {
                return Ok(None);
            }
            let tree = self.mirror.find_tree(here.0);
            let tree = tree.map_err(|source| self.damaged(path, source))?;
            let Some(entry) = tree.find_entry(name.as_bytes()) else { return Ok(None) };
            here = (entry.object_id(), entry.kind());
        }
        Ok(Some(here))
    }

    fn check_size(&self, path: &str, id: gix::ObjectId) -> Result<(), Error> {
        let header = self.mirror.find_header(id).map_err(|source| self.damaged(path, source))?;
        let (bytes, limit) = (header.size(), self.limits.file_bytes_max);
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::FileTooLarge { repo: self.repo.to_owned(), path: path.to_owned(), bytes, limit })
    }

    fn bound(&self, folder: &str, prefix: &str, depth: usize, visited: usize) -> Result<(), Error> {
        let repo = self.repo.to_owned();
        if depth > self.limits.depth_max {
            let (path, limit) = (format!("{folder}/{prefix}"), self.limits.depth_max);
            return Err(Error::TooDeep { repo, path, limit });
        }
        if visited > self.limits.files_max {
            let (path, limit) = (folder.to_owned(), self.limits.files_max);
            return Err(Error::TooManyFiles { repo, path, limit });
        }
        Ok(())
    }

    /// A name in a tree, which must be one that a file can have.
    fn file_name(&self, prefix: &str, name: &gix::bstr::BStr) -> Result<String, Error> {
        let Ok(text) = name.to_str() else {
            let path = format!("{prefix}{}", name.to_str_lossy());
            return Err(Error::PathNotUtf8 { repo: self.repo.to_owned(), path });
        };
        let unsafe_name = matches!(text, "" | "." | "..")
            || text.eq_ignore_ascii_case(".git")
            || text.contains(['/', '\0']);
        if unsafe_name {
            let path = format!("{prefix}{text}");
            return Err(Error::UnsafeName { repo: self.repo.to_owned(), path });
        }
        Ok(text.to_owned())
    }
}
