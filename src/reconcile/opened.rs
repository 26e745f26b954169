//! The sources of an application, opened at their commits: what a render reads and depends on.
//!
//! Blocking; knows mirrors and the renderer, not the ledger. Used by the render job, which
//! records what comes of it, and by previews, which record nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::driver::Parts;
use super::variation;
use crate::ledger::event::{RevisionRef, ServedKind};
use crate::model::{AppSpec, CommitId, Digest, GroupKind, Scope, Source, with_causes};
use crate::render::{
    self, Content, Failed, FileKind, Files, FilesError, Input, Inputs, ListedFile,
};
use crate::render::{Rendered, Tools};
use crate::replay::World;
use crate::source::{self, Browser, Limits, Mirror};

/// What the cluster tells a renderer.
#[derive(Debug, Clone, Default)]
pub(super) struct Served {
    pub(super) scopes: BTreeMap<GroupKind, Scope>,
    pub(super) kube_version: String,
    pub(super) api_versions: Vec<String>,
}

impl Served {
    pub(super) fn of(world: &World) -> Self {
        let kinds = &world.cluster.kinds;
        let mut api_versions: Vec<String> = kinds.values().flat_map(api_versions).collect();
        api_versions.sort();
        api_versions.dedup();
        Self {
            scopes: kinds.iter().map(|(kind, served)| (kind.clone(), served.scope)).collect(),
            kube_version: world.cluster.version.clone(),
            api_versions,
        }
    }
}

fn api_versions(served: &ServedKind) -> [String; 2] {
    let group = &served.kind.group;
    let api = match group.as_str() {
        "" => served.version.clone(),
        group => format!("{group}/{}", served.version),
    };
    [format!("{api}/{}", served.kind.kind), api]
}

/// Why an application cannot be rendered.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// The source that is to blame, from 0.
    pub(super) index: usize,
    /// What is wrong, with the source where there are several.
    pub(super) text: String,
    /// Whether another try may succeed: the machine was at fault, not the source.
    pub(super) transient: bool,
}

impl Problem {
    /// The same with the source that it is about, where the application has several.
    fn about(mut self, spec: &AppSpec) -> Self {
        if let (true, Some(source)) = (spec.sources.len() > 1, spec.sources.get(self.index)) {
            let Source { repo, path, .. } = source;
            self.text = format!("source {} ({repo}, {path}): {}", self.index + 1, self.text);
        }
        self
    }
}

struct OpenedSource {
    source: Source,
    commit: CommitId,
    /// The tree of the source's path.
    tree: CommitId,
    mirror: Mirror,
    files: CommitFiles,
}

/// The sources of an application, each at its commit.
pub(super) struct Opened<'a> {
    spec: &'a AppSpec,
    sources: Vec<OpenedSource>,
}

impl<'a> Opened<'a> {
    /// Opens the mirrors of `spec`'s sources at `commits`, one for each.
    pub(super) fn open(
        mirrors: &source::Options,
        spec: &'a AppSpec,
        commits: &[CommitId],
    ) -> Result<Self, Problem> {
        let mut sources = Vec::with_capacity(commits.len());
        for (index, (source, commit)) in spec.sources.iter().zip(commits).enumerate() {
            let opened = open(mirrors, source, commit).map_err(|error| {
                let (text, transient) = (with_causes(&error), error.is_transient());
                Problem { index, text, transient }.about(spec)
            })?;
            sources.push(opened);
        }
        Ok(Self { spec, sources })
    }

    /// What is rendered: every source in its order.
    pub(super) fn revisions(&self) -> Vec<RevisionRef> {
        let sources = self.sources.iter();
        sources
            .map(|opened| RevisionRef {
                repo: opened.source.repo.clone(),
                commit: opened.commit.clone(),
                tree: opened.tree.clone(),
            })
            .collect()
    }

    /// Hands the renderer's inputs to `work`.
    fn with_inputs<R>(
        &self,
        served: &Served,
        scratch: &Path,
        work: impl FnOnce(&[Input<'_>]) -> R,
    ) -> R {
        let lent = self.sources.iter().filter_map(|opened| {
            let name = opened.source.lends.clone()?;
            Some((name, &opened.files as &dyn Files))
        });
        let lent: BTreeMap<String, &dyn Files> = lent.collect();
        let inputs = self.sources.iter().map(|opened| Input {
            app: self.spec,
            source: &opened.source,
            files: &opened.files,
            lent: &lent,
            commit: &opened.commit,
            scopes: &served.scopes,
            kube_version: &served.kube_version,
            api_versions: &served.api_versions,
            scratch,
        });
        work(&inputs.collect::<Vec<_>>())
    }

    /// Digests everything that the recorded objects depend on: what the renderer reads, and the
    /// namespace that is added to it.
    pub(super) fn digest(&self, served: &Served, tools: &Tools) -> Result<Inputs, Problem> {
        let rendered = self.with_inputs(served, Path::new(""), |inputs| {
            let trees = inputs.iter().zip(&self.sources).enumerate();
            let trees = trees.map(|(index, (input, opened))| {
                let folders = render::roots(input).into_iter();
                let trees = folders.map(|folder| {
                    let folder = if folder.is_empty() { "." } else { &folder };
                    opened.mirror.tree(&opened.commit, folder)
                });
                trees.collect::<Result<Vec<_>, _>>().map_err(|error| {
                    let (text, transient) = (with_causes(&error), error.is_transient());
                    Problem { index, text, transient }.about(self.spec)
                })
            });
            let trees = trees.collect::<Result<Vec<_>, _>>()?;
            Ok(render::inputs_digest(tools, inputs, &trees))
        })?;
        let namespace = json!([
            self.spec.create_namespace,
            self.spec.namespace_labels,
            self.spec.namespace_annotations,
        ]);
        let with = |digest: Digest| {
            let mut bytes = digest.0.to_vec();
            bytes.extend(namespace.to_string().into_bytes());
            Digest::of(&bytes)
        };
        Ok(Inputs { all: with(rendered.all), sources: with(rendered.sources) })
    }

    /// The files and folders that the render reads, each with the index of the source in whose
    /// repository it is.
    pub(super) fn reads(&self, served: &Served) -> Vec<(usize, String)> {
        self.with_inputs(served, Path::new(""), |inputs| {
            let mut reads = Vec::new();
            for (index, input) in inputs.iter().enumerate() {
                for read in render::reads(input) {
                    let lends = |lent: &String| {
                        self.sources.iter().position(|s| s.source.lends.as_ref() == Some(lent))
                    };
                    let of = read.lent.as_ref().map_or(Some(index), lends);
                    reads.extend(of.map(|of| (of, read.path)));
                }
            }
            reads
        })
    }

    /// What has a version and the recorded objects depend on.
    pub(super) fn made_with(&self, served: &Served, tools: &Tools) -> Vec<(String, String)> {
        self.with_inputs(served, Path::new(""), |inputs| render::made_with(tools, inputs))
    }

    /// Whether the history of one of the sources contains `commit` of `repo`. What cannot be
    /// read is not known to.
    pub(super) fn contains(&self, repo: &str, commit: &CommitId) -> bool {
        let mut of_repo = self.sources.iter().filter(|opened| opened.source.repo == repo);
        of_repo.any(|opened| opened.mirror.contains(&opened.commit, commit).unwrap_or(false))
    }

    /// Whether the charts among the sources may render differently each time.
    pub(super) fn may_vary(&self) -> bool {
        let mut sources = self.sources.iter().filter(|opened| !opened.source.lends_only);
        sources.any(|opened| variation::may_vary(&opened.files, &opened.source.path))
    }

    /// Renders the application.
    pub(super) fn render(
        &self,
        served: &Served,
        tools: &Tools,
        scratch: &Path,
    ) -> Result<Rendered, Problem> {
        let rendered = self.with_inputs(served, scratch, |inputs| render::render(tools, inputs));
        rendered.map_err(|Failed { index, error }| {
            let (text, transient) = (with_causes(&error), error.is_transient());
            Problem { index, text, transient }.about(self.spec)
        })
    }
}

fn open(
    mirrors: &source::Options,
    source: &Source,
    commit: &CommitId,
) -> Result<OpenedSource, source::Error> {
    let mirror = Mirror::open(mirrors, &source.repo)?;
    let tree = mirror.tree(commit, &source.path)?;
    let files = CommitFiles { browser: mirror.browse(commit, Limits::default())? };
    let (source, commit) = (source.clone(), commit.clone());
    Ok(OpenedSource { source, commit, tree, mirror, files })
}

/// The folder for temporary files of an application's renders.
pub(super) fn scratch(parts: &Parts, spec: &AppSpec) -> std::path::PathBuf {
    parts.scratch.join(spec.name.as_str())
}

/// The mirror's files as the renderer wants them.
struct CommitFiles {
    browser: Browser,
}

impl Files for CommitFiles {
    fn list(&self, folder: &str, deep: bool) -> Result<Vec<ListedFile>, FilesError> {
        let listed = self.browser.list(folder, deep).map_err(|e| refused(folder, &e))?;
        let listed = listed.ok_or_else(|| FilesError::Absent { path: folder.to_owned() })?;
        let kind = |kind| match kind {
            source::FileKind::Regular => FileKind::Regular,
            source::FileKind::Symlink => FileKind::Symlink,
            source::FileKind::Submodule => FileKind::Submodule,
        };
        Ok(listed.into_iter().map(|(path, k)| ListedFile { path, kind: kind(k) }).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Content>, FilesError> {
        let content = self.browser.read(path).map_err(|e| refused(path, &e))?;
        Ok(content.map(|content| match content {
            source::Content::Bytes(bytes) => Content::Bytes(bytes),
            source::Content::Symlink(target) => Content::Symlink(target),
            source::Content::Submodule => Content::Submodule,
        }))
    }
}

fn refused(path: &str, error: &source::Error) -> FilesError {
    let (path, reason) = (path.to_owned(), with_causes(error));
    if error.is_transient() {
        FilesError::Unreadable { path, reason }
    } else {
        FilesError::Refused { path, reason }
    }
}
