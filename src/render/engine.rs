//! From sources at commits to objects: which tool renders, and what comes out.
//!
//! Blocking; callers are in `spawn_blocking`. Does not fetch anything, does not know the ledger
//! or the cluster beyond what [`Input`] says. One application that does not render is one
//! [`Error`]; it touches nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::{self, FileKind, Files, FilesError};
use super::manifest::{self, Collected, RenderedObject, Target};
use super::tools::Tools;
use super::{directory, helm, kustomize, overrides, process, scratch, yaml};
use crate::model::{AppSpec, CommitId, GroupKind, Scope, Source, Tool, with_causes};

/// What one render may use in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// The bytes of all files together (what the mirror allows for one source).
    pub(super) source_bytes_max: u64,
    /// The documents of all files together, empty ones included.
    pub(super) documents_max: usize,
    /// The values of all documents together, aliases resolved.
    pub(super) memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes_max: 64 << 20, documents_max: 100_000, memory_bytes_max: 256 << 20 }
    }
}

/// What the renderer is given.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The application.
    pub app: &'a AppSpec,
    /// The source of it that is rendered.
    pub source: &'a Source,
    /// The files of the source's repository at `commit`.
    pub files: &'a dyn Files,
    /// The files of the repositories that sources lend, by the names they are lent under.
    pub lent: &'a BTreeMap<String, &'a dyn Files>,
    /// The commit, for messages.
    pub commit: &'a CommitId,
    /// What the cluster serves; empty when unknown.
    pub scopes: &'a BTreeMap<GroupKind, Scope>,
    /// The Kubernetes version, e.g. `1.36.3`; empty when unknown.
    pub kube_version: &'a str,
    /// The API versions that the cluster serves: `apps/v1` and `apps/v1/Deployment`.
    pub api_versions: &'a [String],
    /// A folder for temporary files; each render makes its own in it and removes it again.
    pub scratch: &'a Path,
}

/// What an application renders to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The objects, sorted by key, each key once.
    pub objects: Vec<RenderedObject>,
    /// What rendered: `directory` or `helm v4.0.1`.
    pub tool: String,
    /// What a person should know and what does not stop anything.
    pub warnings: Vec<String>,
    /// Kinds that neither the cluster nor the render defines, so that their scope is a guess.
    pub unknown_kinds: Vec<GroupKind>,
}

/// Why a source could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that greffier does not render yet.
    #[error("{what} is not rendered yet")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A file could not be had.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The source's path is a file.
    #[error("`{path}` is not a folder")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// The files are too large together.
    #[error("the manifests are larger than {max} bytes together")]
    SourceTooLarge {
        /// The limit.
        max: u64,
    },
    /// A file that Argo CD renders and greffier does not.
    #[error(
        "`{file}` is Jsonnet, which is not rendered: leave it out with `directory.exclude`, or \
         commit what it renders to as YAML"
    )]
    Jsonnet {
        /// The file, from the top of the repository.
        file: String,
    },
    /// A folder that Argo CD reads and greffier does not have.
    #[error(
        "`{path}` is a submodule, whose files are not fetched: leave it out with \
         `directory.exclude: '{below}/*'`, put them into the repository, or give them a source of \
         their own"
    )]
    Submodule {
        /// The folder, from the top of the repository.
        path: String,
        /// The folder, from the source's path.
        below: String,
    },
    /// A glob of the directory source cannot be read.
    #[error("the pattern `{pattern}` is not a glob")]
    Glob {
        /// The pattern.
        pattern: String,
        /// The cause.
        source: globset::Error,
    },
    /// A file is not valid YAML or JSON.
    #[error("{file}:{line}:{column}: {problem}")]
    Syntax {
        /// The file, from the top of the repository.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong.
        problem: yaml::Problem,
    },
    /// A file that overrides the Application's source cannot be read, or does not.
    #[error("{file}: {problem}")]
    Override {
        /// The file, from the top of the repository.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A document is no acceptable object.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The chart could not be rendered.
    #[error(transparent)]
    Helm(#[from] helm::Error),
    /// The kustomization could not be rendered.
    #[error(transparent)]
    Kustomize(#[from] kustomize::Error),
    /// The inputs could not be laid out for the program.
    #[error(transparent)]
    Scratch(#[from] scratch::Error),
    /// The program does not say which version it is.
    #[error("`{}` does not say its version", program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
    },
    /// The program could not be run.
    #[error(transparent)]
    Process(#[from] process::Error),
}

impl Error {
    /// Whether the same input may render another time: the machine was at fault, not the source.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Files(error) => matches!(error, FilesError::Unreadable { .. }),
            Self::Scratch(error) => error.is_transient(),
            Self::Process(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The error with its causes and with whatever its program said, values included: for the
    /// person on whose machine it ran, never to be recorded.
    #[must_use]
    pub fn whole(&self) -> String {
        match self {
            Self::Helm(helm::Error::Refused { path, message }) => {
                format!("chart `{path}`: {}", message.whole())
            }
            Self::Kustomize(kustomize::Error::Refused { path, message }) => {
                format!("kustomization `{path}`: {}", message.whole())
            }
            error => with_causes(error),
        }
    }
}

/// Why an application could not be rendered, and which of its sources is to blame.
#[derive(Debug)]
pub struct Failed {
    /// The source's place in the application, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub error: Error,
}

/// Renders the sources of one application. Of an object that several have, the last one's is
/// taken.
///
/// # Errors
/// The first problem, naming file and line where there is one.
pub fn render(tools: &Tools, inputs: &[Input<'_>]) -> Result<Rendered, Failed> {
    let limits = Limits::default();
    let (mut documents, mut warnings) = (Vec::new(), Vec::new());
    let mut programs: Vec<String> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let read = read(tools, input, &limits).map_err(|error| Failed { index, error })?;
        documents.push(read.items);
        warnings.extend(read.warnings);
        if !read.tool.is_empty() && !programs.contains(&read.tool) {
            programs.push(read.tool);
        }
    }
    let Some(first) = inputs.first() else { return Ok(Rendered::default()) };
    let target = Target { namespace: &first.app.namespace, scopes: first.scopes };
    let collected = manifest::collect(documents, target);
    let Collected { objects, warnings: more, unknown_kinds } =
        collected.map_err(|(index, error)| Failed { index, error: error.into() })?;
    warnings.extend(more);
    manifest::cap(&mut warnings);
    Ok(Rendered { objects, tool: programs.join(", "), warnings, unknown_kinds })
}

/// What one source gives.
struct Read {
    items: Vec<manifest::Item>,
    warnings: Vec<String>,
    tool: String,
}

fn read(tools: &Tools, input: &Input<'_>, limits: &Limits) -> Result<Read, Error> {
    if input.source.lends_only {
        return Ok(Read { items: Vec::new(), warnings: Vec::new(), tool: String::new() });
    }
    let path = files::join("", &input.source.path)?;
    match detect(input, &path)? {
        Tool::Directory(source) => {
            let directory::Documents { items, warnings } =
                directory::read(input.files, &path, &source, limits)?;
            Ok(Read { items, warnings, tool: "directory".to_owned() })
        }
        Tool::Helm(helm) => {
            let helm::Output { items, warnings, tool } =
                helm::render(tools, input, &path, &helm, limits)?;
            Ok(Read { items, warnings, tool })
        }
        Tool::Kustomize(overrides) => {
            let kustomize::Output { items, warnings, tool } =
                kustomize::render(tools, input, &path, &overrides, limits)?;
            Ok(Read { items, warnings, tool })
        }
        Tool::Unsupported(what) => Err(Error::Unsupported { what }),
        Tool::Detect => Err(Error::Unsupported { what: format!("`{path}`") }),
    }
}

/// Which tool renders: what the Application says with what files in the source's folder override
/// of it, or else what the other files say.
pub(super) fn detect(input: &Input<'_>, path: &str) -> Result<Tool, Error> {
    if let Tool::Unsupported(_) = &input.source.tool {
        return Ok(input.source.tool.clone());
    }
    let folder = directory::folder(input.files, path)?;
    let said = overrides::tool(input, &folder)?;
    if said != Tool::Detect {
        return Ok(said);
    }
    let listed = input.files.list(&folder, false)?;
    let has = |name: &str| {
        listed.iter().any(|file| file.path == name && file.kind != FileKind::Submodule)
    };
    if has(helm::CHART_FILE) {
        return Ok(Tool::Helm(crate::model::Helm::default()));
    }
    if kustomize::FILE_NAMES.iter().any(|name| has(name)) {
        return Ok(Tool::Kustomize(crate::model::Kustomize::default()));
    }
    Ok(Tool::Directory(crate::model::DirectorySource::default()))
}

#[cfg(test)]
mod tests;
