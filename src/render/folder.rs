//! A folder of the machine as [`Files`]: somebody's working tree.
//!
//! Links are reported as links, never followed here; `.git` is not there. A folder with a `.git`
//! of its own is a submodule, as it is in the commit. Does not watch: a file
//! that changes while it is read is read as it happens to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Content, FileKind, Files, FilesError, ListedFile};

/// Bound: the largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Bound: the most files that one listing has.
const FILES_MAX: usize = 50_000;

/// The files below a folder.
#[derive(Debug, Clone)]
pub struct FolderFiles {
    top: PathBuf,
}

impl FolderFiles {
    /// The files below `top`, which stands for the top of a repository.
    #[must_use]
    pub fn new(top: impl Into<PathBuf>) -> Self {
        Self { top: top.into() }
    }

    /// The submodule that the path is, or is in.
    fn submodule<'p>(&self, path: &'p str) -> Option<&'p str> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        let mut above = ends.filter_map(|end| path.get(..end)).filter(|above| !above.is_empty());
        above.find(|above| is_repository(&self.top.join(above)))
    }

    fn walk(
        &self,
        folder: &Path,
        prefix: &str,
        deep: bool,
        into: &mut Vec<ListedFile>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is no text cannot be in a source either.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() && is_repository(&entry.path()) {
                into.push(ListedFile { path, kind: FileKind::Submodule });
            } else if kind.is_dir() {
                if deep && name != ".git" {
                    self.walk(&entry.path(), &format!("{path}/"), deep, into)?;
                }
            } else if kind.is_file() || kind.is_symlink() {
                let link = kind.is_symlink();
                let kind = if link { FileKind::Symlink } else { FileKind::Regular };
                into.push(ListedFile { path, kind });
            }
            if into.len() > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
        }
        Ok(())
    }
}

impl Files for FolderFiles {
    fn list(&self, folder: &str, deep: bool) -> Result<Vec<ListedFile>, FilesError> {
        let place = self.top.join(folder);
        let is_folder = fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder || self.submodule(folder).is_some() {
            return Err(FilesError::Absent { path: folder.to_owned() });
        }
        let mut files = Vec::new();
        self.walk(&place, "", deep, &mut files).map_err(|error| FilesError::Unreadable {
            path: folder.to_owned(),
            reason: error.to_string(),
        })?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn read(&self, path: &str) -> Result<Option<Content>, FilesError> {
        if let Some(submodule) = self.submodule(path) {
            return Ok((submodule == path).then_some(Content::Submodule));
        }
        let place = self.top.join(path);
        let unreadable = |error: io::Error| FilesError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&place).map_err(unreadable)?;
            return Ok(Some(Content::Symlink(target.to_string_lossy().into_owned())));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        if metadata.len() > FILE_BYTES_MAX {
            let reason = format!("larger than {FILE_BYTES_MAX} bytes");
            return Err(FilesError::Refused { path: path.to_owned(), reason });
        }
        fs::read(&place).map(Content::Bytes).map(Some).map_err(unreadable)
    }
}

/// Whether the folder is the working tree of a repository.
fn is_repository(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(".git")).is_ok()
}

/// A part of the path that is a file has nothing below it.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_tree_is_read_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join("a/b/x.yaml"), "x").unwrap();
        fs::write(dir.path().join(".git/config"), "x").unwrap();
        fs::create_dir_all(dir.path().join("a/sub/in")).unwrap();
        fs::write(dir.path().join("a/sub/.git"), "gitdir: elsewhere").unwrap();
        fs::write(dir.path().join("a/sub/in/y.yaml"), "y").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("a/link")).unwrap();
        let files = FolderFiles::new(dir.path());
        let paths = |folder, deep| -> Vec<String> {
            files.list(folder, deep).unwrap().into_iter().map(|file| file.path).collect()
        };
        assert_eq!(paths("", true), ["a/b/x.yaml", "a/link", "a/sub"]);
        assert_eq!(paths("a", false), ["link", "sub"]);
        assert_eq!(files.read("a/sub").unwrap(), Some(Content::Submodule));
        assert_eq!(files.read("a/sub/in/y.yaml").unwrap(), None);
        assert!(matches!(files.list("a/sub/in", true), Err(FilesError::Absent { .. })));
        assert_eq!(files.read("a/b/x.yaml").unwrap(), Some(Content::Bytes(b"x".to_vec())));
        assert_eq!(files.read("a/link").unwrap(), Some(Content::Symlink("/etc/passwd".into())));
        assert_eq!(files.read("a").unwrap(), None);
        assert_eq!(files.read("a/b/x.yaml/y").unwrap(), None);
        assert!(matches!(files.list("none", true), Err(FilesError::Absent { .. })));
    }
}
