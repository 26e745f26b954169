//! From a source at a commit to objects: which tool renders, and what comes out.
//!
//! Blocking; callers are in `spawn_blocking`. Does not fetch anything, does not know the ledger
//! or the cluster beyond what [`Input`] says. One application that does not render is one
//! [`Error`]; it touches nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::files::{self, FileKind, Files, FilesError};
use super::manifest::{self, Collected, RenderedObject, Target};
use super::sandbox::Sandbox;
use super::{directory, helm, process, yaml};
use crate::model::{AppSpec, CommitId, Digest, GroupKind, Scope, Source, Tool};

/// The names under which Kustomize looks for its file.
const KUSTOMIZATION_NAMES: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The programs that render, and what they may use.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The `helm` program, by its absolute path.
    pub helm: PathBuf,
    /// The `kustomize` program, by its absolute path.
    pub kustomize: PathBuf,
    /// What they are confined to.
    pub sandbox: Sandbox,
    /// How long one run may take.
    pub timeout: Duration,
    /// How much one run may write.
    pub output_bytes_max: u64,
    /// How many renders may run at once.
    pub parallel: usize,
    /// The version that each program gave, and which file gave it.
    versions: Arc<Mutex<BTreeMap<PathBuf, (FileStamp, String)>>>,
}

/// What changes when a program is replaced.
type FileStamp = (u64, Option<SystemTime>);

impl Tools {
    /// The programs with the default limits: 90 s, as Argo CD has it, 64 MiB, which is some
    /// thirty times the largest chart output seen, and one render for each processor.
    pub fn new(helm: impl Into<PathBuf>, kustomize: impl Into<PathBuf>, sandbox: Sandbox) -> Self {
        Self {
            helm: helm.into(),
            kustomize: kustomize.into(),
            sandbox,
            timeout: Duration::from_secs(90),
            output_bytes_max: 64 << 20,
            parallel: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            versions: Arc::default(),
        }
    }

    /// The version that this very program gave before.
    pub(super) fn known_version(&self, program: &Path) -> Option<String> {
        let stamp = stamp(program)?;
        let known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(program).filter(|(known, _)| *known == stamp);
        known.map(|(_, version)| version.clone())
    }

    pub(super) fn remember_version(&self, program: &Path, version: &str) {
        let Some(stamp) = stamp(program) else { return };
        let mut known = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(program.to_owned(), (stamp, version.to_owned()));
    }
}

fn stamp(program: &Path) -> Option<FileStamp> {
    let metadata = std::fs::metadata(program).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

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

impl Input<'_> {
    /// The digest of every input: `tree` identifies the files that are read, `tool` is what
    /// [`helm_version`](super::helm_version) says (for directories it changes nothing).
    ///
    /// What the cluster serves counts only for charts, which may ask for it. Scopes do not count:
    /// render again when a kind in [`Rendered::unknown_kinds`] comes to be served.
    #[must_use]
    pub fn digest(&self, tree: &CommitId, tool: &str) -> Digest {
        let uses_cluster = !matches!(self.source.tool, Tool::Directory(_));
        let cluster = uses_cluster.then_some((tool, self.kube_version, self.api_versions));
        // A tuple of plain values: the order and form of the bytes are fixed by this line.
        let inputs = json!([
            1, // the version of this renderer's own rules
            tree.as_str(),
            self.app.name.as_str(),
            self.app.namespace,
            self.source,
            cluster,
        ]);
        Digest::of(inputs.to_string().as_bytes())
    }
}

/// What a source renders to.
#[derive(Debug, Clone, PartialEq)]
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
    /// A document is no acceptable object.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The chart could not be rendered.
    #[error(transparent)]
    Helm(#[from] helm::Error),
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
            Self::Helm(error) => error.is_transient(),
            Self::Process(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Renders one source.
///
/// # Errors
/// The first problem, naming file and line where there is one.
pub fn render(tools: &Tools, input: &Input<'_>) -> Result<Rendered, Error> {
    if input.app.sources.len() > 1 {
        return Err(Error::Unsupported { what: "an application with several sources".into() });
    }
    let limits = Limits::default();
    let path = files::join("", &input.source.path)?;
    let (items, mut warnings, tool) = match detect(input, &path)? {
        Tool::Directory(source) => {
            let documents = directory::read(input.files, &path, &source, &limits)?;
            (documents.items, documents.warnings, "directory".to_owned())
        }
        Tool::Helm(helm) => {
            let output = helm::render(tools, input, &path, &helm, &limits)?;
            (output.items, output.warnings, output.tool)
        }
        Tool::Unsupported(what) => return Err(Error::Unsupported { what }),
        Tool::Detect => return Err(Error::Unsupported { what: format!("`{path}`") }),
    };
    let target = Target { namespace: &input.app.namespace, scopes: input.scopes };
    let Collected { objects, warnings: more, unknown_kinds } = manifest::collect(items, target)?;
    warnings.extend(more);
    manifest::cap(&mut warnings);
    Ok(Rendered { objects, tool, warnings, unknown_kinds })
}

/// Which tool renders: what the manifest says, or else what the files say.
fn detect(input: &Input<'_>, path: &str) -> Result<Tool, Error> {
    if input.source.tool != Tool::Detect {
        return Ok(input.source.tool.clone());
    }
    let folder = directory::folder(input.files, path)?;
    let listed = input.files.list(&folder, false)?;
    let has = |name: &str| {
        listed.iter().any(|file| file.path == name && file.kind != FileKind::Submodule)
    };
    if has(helm::CHART_FILE) {
        return Ok(Tool::Helm(crate::model::Helm::default()));
    }
    if let Some(name) = KUSTOMIZATION_NAMES.iter().find(|name| has(name)) {
        let file = files::join(&folder, name)?;
        return Ok(Tool::Unsupported(format!("Kustomize (`{file}`)")));
    }
    Ok(Tool::Directory(crate::model::DirectorySource::default()))
}

#[cfg(test)]
mod tests;
