//! Which folders a kustomization reads.
//!
//! Kustomize reads files in or below the folder of a kustomization, and other kustomizations
//! anywhere. So the folder of every kustomization that the first one leads to is all that is
//! read, and all that decides whether a render is the same as before.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::{Error, FILE_NAMES, parse, unreadable};
use crate::model::Kustomize;
use crate::render::engine::Error as RenderError;
use crate::render::files::{self, Files, FilesError, Target};

/// Bound: the most kustomizations that one may lead to. Large estates have some hundred.
const ROOTS_MAX: usize = 1_000;

/// The fields that name kustomizations or files.
const BASES: &[&str] = &["resources", "bases", "components"];
/// The fields that name files, or folders of them, or hold text instead.
const PLUGINS: &[&str] = &["generators", "transformers", "validators"];

/// Everything that a kustomization reads.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::render) struct Roots {
    /// The folder of the first kustomization.
    pub(in crate::render) first: String,
    /// Its file.
    pub(in crate::render) file: String,
    /// The folders to copy: from where, and under which path they are named. None lies in
    /// another.
    pub(in crate::render) folders: Vec<(String, String)>,
}

/// Follows the kustomization in the folder `path` to everything that it reads.
///
/// # Errors
/// It, or one that it leads to, is missing, remote, unreadable or leads out of the repository.
pub(in crate::render) fn roots(
    repository: &dyn Files,
    path: &str,
    overrides: &Kustomize,
) -> Result<Roots, RenderError> {
    let first = crate::render::directory::folder(repository, path)?;
    let mut walk = Walk { files: repository, seen: BTreeMap::new(), queue: VecDeque::new() };
    walk.enter(&first, &first);
    let mut first_file = None;
    while let Some((from, to)) = walk.queue.pop_front() {
        if walk.seen.len() > ROOTS_MAX {
            return Err(Error::TooMany { path: first, max: ROOTS_MAX }.into());
        }
        let (file, description) = walk.description(&from, &to)?;
        walk.entries(&to, &file, &description)?;
        if first_file.is_none() {
            walk.components(&to, &file, overrides)?;
            first_file = Some(file);
        }
    }
    let file = first_file.unwrap_or_default();
    let mut folders: Vec<(String, String)> = Vec::new();
    // In order of their paths, so that a folder comes before what lies in it.
    for (to, from) in walk.seen {
        if !folders.iter().any(|(_, above)| is_inside(&to, above)) {
            folders.push((from, to));
        }
    }
    Ok(Roots { first, file, folders })
}

fn is_inside(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path == folder
        || path.strip_prefix(folder).is_some_and(|p| p.starts_with('/'))
}

struct Walk<'a> {
    files: &'a dyn Files,
    /// The folders, by the path that names them: where links lead.
    seen: BTreeMap<String, String>,
    queue: VecDeque<(String, String)>,
}

impl Walk<'_> {
    fn enter(&mut self, from: &str, to: &str) {
        if self.seen.insert(to.to_owned(), from.to_owned()).is_none() {
            self.queue.push_back((from.to_owned(), to.to_owned()));
        }
    }

    /// The kustomization of a folder, and its file by the path that names it.
    fn description(&self, from: &str, to: &str) -> Result<(String, Value), RenderError> {
        for name in FILE_NAMES {
            let path = files::join(from, name).map_err(unreadable)?;
            if let Target::File(bytes) = files::follow(self.files, &path).map_err(unreadable)? {
                let file = files::join(to, name).map_err(unreadable)?;
                let description = parse(&file, &bytes)?;
                return Ok((file, description));
            }
        }
        Err(Error::NotAKustomization { path: to.to_owned() }.into())
    }

    fn entries(
        &mut self,
        folder: &str,
        file: &str,
        description: &Value,
    ) -> Result<(), RenderError> {
        let list = |field: &&str| description.get(*field).and_then(Value::as_array);
        for entry in BASES.iter().filter_map(list).flatten().filter_map(Value::as_str) {
            if !self.entry(folder, file, entry)? {
                let (file, entry) = (file.to_owned(), entry.to_owned());
                return Err(if is_remote(&entry) {
                    Error::Remote { file, entry }.into()
                } else {
                    Error::Missing { file, entry }.into()
                });
            }
        }
        for entry in PLUGINS.iter().filter_map(list).flatten().filter_map(Value::as_str) {
            // Text in place; what is not there is Kustomize's to report.
            if !entry.contains('\n') && !self.entry(folder, file, entry)? && is_remote(entry) {
                let (file, entry) = (file.to_owned(), entry.to_owned());
                return Err(Error::Remote { file, entry }.into());
            }
        }
        Ok(())
    }

    fn components(
        &mut self,
        folder: &str,
        file: &str,
        overrides: &Kustomize,
    ) -> Result<(), RenderError> {
        for entry in &overrides.components {
            if !self.entry(folder, file, entry)? && !overrides.ignore_missing_components {
                let (file, entry) = (file.to_owned(), entry.clone());
                return Err(if is_remote(&entry) {
                    Error::Remote { file, entry }.into()
                } else {
                    Error::Missing { file, entry }.into()
                });
            }
        }
        Ok(())
    }

    /// Notes what an entry leads to; `false` when that is nothing in the repository.
    fn entry(&mut self, folder: &str, file: &str, entry: &str) -> Result<bool, RenderError> {
        let bad = |error: &FilesError| Error::Bad {
            file: file.to_owned(),
            entry: entry.to_owned(),
            reason: error.to_string(),
        };
        if entry.starts_with('/') {
            let reason = FilesError::Escape { path: entry.to_owned() };
            return Err(bad(&reason).into());
        }
        let to = match files::join(folder, entry) {
            Ok(to) => to,
            Err(_) if is_remote(entry) => return Ok(false),
            Err(error) => return Err(bad(&error).into()),
        };
        match files::follow(self.files, &to) {
            Ok(Target::Folder(from)) => {
                self.enter(&from, &to);
                Ok(true)
            }
            Ok(Target::File(_)) => Ok(true),
            Ok(Target::Absent) => Ok(false),
            Err(error @ FilesError::Unreadable { .. }) => Err(error.into()),
            Err(error) => Err(bad(&error).into()),
        }
    }
}

/// Whether Kustomize would fetch it: a URL, an scp-like address, or `host/path`.
fn is_remote(entry: &str) -> bool {
    let host = entry.split('/').next().unwrap_or_default();
    let marked = ["://", "?ref=", "?version=", ".git//"].iter().any(|mark| entry.contains(mark));
    let scheme = ["git@", "git::", "gh:"].iter().any(|scheme| entry.starts_with(scheme));
    let hosted = entry.contains('/') && host.contains('.') && !host.starts_with('.');
    marked || scheme || hosted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kustomize_would_fetch_is_told_from_what_is_missing() {
        for entry in [
            "https://example.org/base.yaml",
            "github.com/org/repo/base?ref=v1",
            "git@example.org:org/repo.git",
            "git::https://example.org/repo",
            "ssh://git@example.org/repo.git//base",
            "example.org/org/repo",
        ] {
            assert!(is_remote(entry), "{entry}");
        }
        for entry in ["../base", "./base", "deployment.yaml", "sub/deployment.yaml", "base"] {
            assert!(!is_remote(entry), "{entry}");
        }
    }
}
