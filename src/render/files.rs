//! What a renderer reads from: the files of one repository at one commit.
//!
//! Owns the contract ([`Files`]), an in-memory implementation ([`MemoryFiles`]), path arithmetic
//! that cannot leave the repository, and the following of symbolic links inside it. Does not
//! know Git.
//!
//! Invariant: paths are relative to the top of the repository, `/`-separated, without `.`, `..`
//! or empty parts; the top is the empty string. Nothing outside the repository is ever named.

use std::collections::{BTreeMap, VecDeque};

/// The most links that are followed for one path, as Linux bounds it.
const LINKS_MAX: usize = 40;

/// Why a file or folder could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// The folder is not in the repository at this commit.
    #[error("`{path}` does not exist in the repository at this commit")]
    Absent {
        /// The path.
        path: String,
    },
    /// It is refused: too large, not a readable name and the like. Trying again does not help.
    #[error("`{path}`: {reason}")]
    Refused {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The mirror could not be read. Trying again may help.
    #[error("could not read `{path}`: {reason}")]
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A path or the target of a link leads out of the repository.
    #[error("`{path}` leads out of the repository")]
    Escape {
        /// The path.
        path: String,
    },
    /// Links that lead to each other.
    #[error("`{path}`: more than {LINKS_MAX} links to follow")]
    LinkLoop {
        /// The path.
        path: String,
    },
    /// The path is or leads into a submodule, whose files are in another repository.
    #[error(
        "{}, whose files are not fetched: put them into the repository, or give them a source of \
         their own",
        of_submodule(path, submodule)
    )]
    Submodule {
        /// The path.
        path: String,
        /// The path of the submodule.
        submodule: String,
    },
}

fn of_submodule(path: &str, submodule: &str) -> String {
    match path == submodule {
        true => format!("`{path}` is a submodule"),
        false => format!("`{path}` leads into the submodule `{submodule}`"),
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    Bytes(Vec<u8>),
    /// A symbolic link, with its target as written.
    Symlink(String),
    /// A submodule.
    Submodule,
}

/// What a file is, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A submodule.
    Submodule,
}

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path relative to the folder.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

/// The files of one repository at one commit. Paths are relative to its top (see the module);
/// nothing is followed: a link is reported as a link.
///
/// An implementation bounds the size of a file before it loads it.
pub trait Files {
    /// The files in `folder`, and with `deep` also those in the folders below it.
    ///
    /// # Errors
    /// [`FilesError::Absent`] when there is no such folder; a limit; an unreadable mirror.
    fn list(&self, folder: &str, deep: bool) -> Result<Vec<ListedFile>, FilesError>;

    /// The file at `path`; `None` when there is none, or a folder.
    ///
    /// # Errors
    /// A limit; an unreadable mirror.
    fn read(&self, path: &str) -> Result<Option<Content>, FilesError>;
}

/// Files in memory, by their path from the top of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryFiles(pub BTreeMap<String, Content>);

impl Files for MemoryFiles {
    fn list(&self, folder: &str, deep: bool) -> Result<Vec<ListedFile>, FilesError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below =
            self.0.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let mut exists = folder.is_empty();
        let mut files = Vec::new();
        for (path, content) in below {
            exists = true;
            let path = &path[prefix.len()..];
            if deep || !path.contains('/') {
                let kind = match content {
                    Content::Bytes(_) => FileKind::Regular,
                    Content::Symlink(_) => FileKind::Symlink,
                    Content::Submodule => FileKind::Submodule,
                };
                files.push(ListedFile { path: path.to_owned(), kind });
            }
        }
        if exists { Ok(files) } else { Err(FilesError::Absent { path: folder.to_owned() }) }
    }

    fn read(&self, path: &str) -> Result<Option<Content>, FilesError> {
        Ok(self.0.get(path).cloned())
    }
}

/// `path` as seen from the folder `base`; a leading `/` means the top of the repository.
///
/// # Errors
/// [`FilesError::Escape`] when it leads out of the repository.
pub(super) fn join(base: &str, path: &str) -> Result<String, FilesError> {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { base };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| FilesError::Escape { path: path.to_owned() })?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The folder that `path` is in.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// What stands at a path once links are followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    File(Vec<u8>),
    /// The folder's own path.
    Folder(String),
    Absent,
}

/// Follows `path` to a file or folder, through links that stay in the repository.
///
/// # Errors
/// A link that leaves the repository, a loop, a submodule, an unreadable mirror.
pub(super) fn follow(files: &dyn Files, path: &str) -> Result<Target, FilesError> {
    if let Some(Content::Bytes(bytes)) = files.read(path)? {
        return Ok(Target::File(bytes));
    }
    let mut parts: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let mut here = String::new();
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            let escape = || FilesError::Escape { path: path.to_owned() };
            if here.is_empty() {
                return Err(escape());
            }
            here = parent(&here).to_owned();
            continue;
        }
        if part.is_empty() || part == "." {
            continue;
        }
        let next = join(&here, &part)?;
        match files.read(&next)? {
            Some(Content::Bytes(bytes)) if parts.is_empty() => return Ok(Target::File(bytes)),
            // A part of the path is a file: there is nothing below it.
            Some(Content::Bytes(_)) => return Ok(Target::Absent),
            Some(Content::Submodule) => {
                return Err(FilesError::Submodule { path: path.to_owned(), submodule: next });
            }
            Some(Content::Symlink(target)) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(FilesError::LinkLoop { path: path.to_owned() });
                }
                // An absolute link points into the machine's file system, not the repository.
                if target.starts_with('/') {
                    return Err(FilesError::Escape { path: path.to_owned() });
                }
                for part in target.rsplit('/') {
                    parts.push_front(part.to_owned());
                }
            }
            None => here = next,
        }
    }
    match files.list(&here, false) {
        Ok(_) => Ok(Target::Folder(here)),
        Err(FilesError::Absent { .. }) => Ok(Target::Absent),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(entries: &[(&str, &str)]) -> MemoryFiles {
        let content = |text: &str| match text.strip_prefix("-> ") {
            Some(target) => Content::Symlink(target.to_owned()),
            None => Content::Bytes(text.as_bytes().to_vec()),
        };
        MemoryFiles(
            entries.iter().map(|(path, text)| ((*path).to_owned(), content(text))).collect(),
        )
    }

    #[test]
    fn paths_are_joined_inside_the_repository_only() {
        for (base, path, expected) in [
            ("apps/web", "values.yaml", Some("apps/web/values.yaml")),
            ("apps/web", "./a//b", Some("apps/web/a/b")),
            ("apps/web", "../common.yaml", Some("apps/common.yaml")),
            ("apps/web", "../../top.yaml", Some("top.yaml")),
            ("apps/web", "../../../etc/passwd", None),
            ("apps/web", "/values/x.yaml", Some("values/x.yaml")),
            ("apps/web", "/../x", None),
            ("", ".", Some("")),
        ] {
            assert_eq!(join(base, path).ok().as_deref(), expected, "{base} + {path}");
        }
    }

    #[test]
    fn links_are_followed_inside_the_repository_only() {
        let files = repository(&[
            ("a/file.yaml", "a"),
            ("a/link.yaml", "-> file.yaml"),
            ("a/up.yaml", "-> ../b/real/x.yaml"),
            ("a/out.yaml", "-> ../../etc/passwd"),
            ("a/absolute.yaml", "-> /etc/passwd"),
            ("a/loop.yaml", "-> loop.yaml"),
            ("a/broken.yaml", "-> nothing.yaml"),
            ("a/folder", "-> ../b/real"),
            ("b/linked", "-> real"),
            ("a/sub.yaml", "-> ../b/sub/x.yaml"),
            ("b/real/x.yaml", "x"),
        ]);
        let mut files = files;
        files.0.insert("b/sub".to_owned(), Content::Submodule);
        let file = |text: &str| Ok(Target::File(text.as_bytes().to_vec()));
        let submodule =
            |path: &str| FilesError::Submodule { path: path.into(), submodule: "b/sub".into() };
        for (path, expected) in [
            ("a/file.yaml", file("a")),
            ("a/link.yaml", file("a")),
            ("a/up.yaml", file("x")),
            ("b/linked/x.yaml", file("x")),
            ("a/folder/x.yaml", file("x")),
            ("a/folder/../linked/x.yaml", file("x")),
            ("a/folder", Ok(Target::Folder("b/real".into()))),
            ("a/broken.yaml", Ok(Target::Absent)),
            ("a/file.yaml/x", Ok(Target::Absent)),
            ("a/out.yaml", Err(FilesError::Escape { path: "a/out.yaml".into() })),
            ("a/absolute.yaml", Err(FilesError::Escape { path: "a/absolute.yaml".into() })),
            ("a/loop.yaml", Err(FilesError::LinkLoop { path: "a/loop.yaml".into() })),
            ("b/sub", Err(submodule("b/sub"))),
            ("a/sub.yaml", Err(submodule("a/sub.yaml"))),
        ] {
            assert_eq!(follow(&files, path), expected, "{path}");
        }
    }

    #[test]
    fn folders_are_listed_shallow_or_deep() {
        let files = repository(&[("a/x", ""), ("a/b/y", "-> x"), ("ab/z", "")]);
        let paths = |deep| -> Vec<String> {
            files.list("a", deep).unwrap().into_iter().map(|file| file.path).collect()
        };
        assert_eq!(paths(false), ["x"]);
        assert_eq!(paths(true), ["b/y", "x"]);
        assert_eq!(files.list("c", true), Err(FilesError::Absent { path: "c".into() }));
    }
}
