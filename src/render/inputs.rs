//! What a render depends on, as a digest: the same digest, the same objects.
//!
//! Everything that is read counts: the folders of the source, the values wherever they are, the
//! specification, the program's version and, for programs, what the cluster serves. In doubt the
//! whole repository counts, which only makes renders more frequent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::engine::{Error, Input, detect};
use super::tools::Tools;
use super::variables::Named;
use super::{FileKind, directory, files, helm, kustomize};
use crate::ledger::event::KUBERNETES;
use crate::model::{CommitId, Digest, Helm, Kustomize, Source, Tool};

/// The version of this renderer's own rules: how documents become objects, which annotations are
/// understood and how. It changes whenever the same documents would give other objects.
pub const RULES: u32 = 4;

/// The whole repository.
const TOP: &str = "";

/// The folders of the source's repository that hold everything that its render reads, values
/// excepted.
#[must_use]
pub fn roots(input: &Input<'_>) -> Vec<String> {
    if input.source.lends_only {
        return Vec::new();
    }
    // What does not render has no folders; then any commit may mend it.
    try_roots(input).ok().flatten().unwrap_or_else(|| vec![TOP.to_owned()])
}

/// `None` = the render may read anything.
fn try_roots(input: &Input<'_>) -> Result<Option<Vec<String>>, Error> {
    let path = files::join(TOP, &input.source.path)?;
    let folders = match detect(input, &path)? {
        Tool::Kustomize(overrides) => {
            let roots = kustomize::roots(input.files, &path, &overrides)?;
            roots.folders.into_iter().map(|(from, _)| from).collect()
        }
        Tool::Helm(_) => {
            let folder = directory::folder(input.files, &path)?;
            if !helm::stays_inside(input.files, &folder) {
                return Ok(None);
            }
            vec![folder]
        }
        Tool::Directory(_) | Tool::Detect | Tool::Unsupported(_) => {
            vec![directory::folder(input.files, &path)?]
        }
    };
    for folder in &folders {
        let listed = input.files.list(folder, true)?;
        if listed.iter().any(|file| file.kind == FileKind::Symlink) {
            return Ok(None);
        }
    }
    Ok(Some(folders))
}

/// A file or folder that a render reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The name under which its repository is lent; `None` = it is the source's own.
    pub lent: Option<String>,
    /// Its path from the top of the repository.
    pub path: String,
}

/// The files and folders that the render of a source reads, as far as they can be named: its own
/// folder, those of the kustomizations that it leads to, and its value files. Nothing for a source
/// that only lends.
#[must_use]
pub fn reads(input: &Input<'_>) -> Vec<Read> {
    if input.source.lends_only {
        return Vec::new();
    }
    let path = files::join(TOP, &input.source.path).unwrap_or_default();
    let own = |path: String| Read { lent: None, path };
    let mut reads: Vec<Read> = match try_roots(input) {
        Ok(Some(folders)) => folders.into_iter().map(own).collect(),
        // It may read anything: its folder is what can be named.
        _ => vec![own(directory::folder(input.files, &path).unwrap_or_else(|_| path.clone()))],
    };
    if let Ok(Tool::Helm(helm)) = detect(input, &path) {
        let places = helm::value_places(input, &path, &helm).unwrap_or_default();
        reads.extend(places.into_iter().map(|(lent, path)| Read { lent, path }));
    }
    reads
}

/// What renders depend on, as digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// Of everything: the same digest, the same objects.
    pub all: Digest,
    /// Of what comes from Git and the definition of the application alone, without versions of
    /// programs and without what the cluster is: the same digest, and nobody asked for a change.
    pub sources: Digest,
}

/// The digests of everything that the sources' render depends on. `trees` are the trees of each
/// source's [`roots`].
///
/// Scopes do not count: render again when a kind in
/// [`Rendered::unknown_kinds`](super::Rendered::unknown_kinds) comes to be served.
#[must_use]
pub fn inputs_digest(tools: &Tools, inputs: &[Input<'_>], trees: &[Vec<CommitId>]) -> Inputs {
    let (mut all, mut sources) = (Vec::new(), Vec::new());
    for (input, trees) in inputs.iter().zip(trees).filter(|(input, _)| !input.source.lends_only) {
        let trees: Vec<&str> = trees.iter().map(CommitId::as_str).collect();
        let (said, around) = depends(tools, input);
        let said = json!([trees, definition(input.source), said]);
        all.push(json!([said, around]));
        sources.push(said);
    }
    let app = inputs.first().map(|input| (input.app.name.as_str(), &input.app.namespace));
    // Lists of plain values: the order and form of the bytes are fixed by these lines.
    Inputs {
        all: Digest::of(json!([RULES, app, all]).to_string().as_bytes()),
        sources: Digest::of(json!([app, sources]).to_string().as_bytes()),
    }
}

/// What an Application says of a source. Its form is part of digests that are recorded; what files
/// override of it is among the files.
fn definition(source: &Source) -> Value {
    json!({
        "repo": source.repo,
        "path": source.path,
        "revision": source.revision,
        "tool": source.tool,
        "lends": source.lends,
        "lends_only": source.lends_only,
    })
}

/// How greffier's own rules are named among what a render was made with.
const OWN_RULES: &str = "greffier's rules";

/// Everything beside the sources that the render depends on and that has a version: names and
/// versions, sorted. Two renders of the same sources differ only if one of these does, or what
/// the cluster serves.
#[must_use]
pub fn made_with(tools: &Tools, inputs: &[Input<'_>]) -> Vec<(String, String)> {
    let mut found = BTreeMap::from([(OWN_RULES.to_owned(), RULES.to_string())]);
    let mut note = |program: &str, version: Option<String>| {
        found.insert(program.to_owned(), version.unwrap_or_default());
    };
    for input in inputs.iter().filter(|input| !input.source.lends_only) {
        let path = files::join(TOP, &input.source.path).unwrap_or_default();
        match detect(input, &path) {
            Ok(Tool::Helm(helm)) => {
                note("helm", version_of(tools, "helm"));
                if helm.kube_version.is_none() || named_by_chart(&helm).kube_version {
                    note(KUBERNETES, Some(input.kube_version.to_owned()));
                }
            }
            Ok(Tool::Kustomize(overrides)) => {
                note("kustomize", version_of(tools, "kustomize"));
                if named_by_kustomization(&overrides).kube_version {
                    note(KUBERNETES, Some(input.kube_version.to_owned()));
                }
            }
            Ok(Tool::Directory(_) | Tool::Detect | Tool::Unsupported(_)) | Err(_) => {}
        }
    }
    found.into_iter().collect()
}

/// The version of something that [`made_with`] names, as it is now; `None` for what cannot be
/// asked here.
#[must_use]
pub fn version_of(tools: &Tools, program: &str) -> Option<String> {
    let version = match program {
        OWN_RULES => return Some(RULES.to_string()),
        "helm" => helm::helm_version(tools).ok()?,
        "kustomize" => kustomize::kustomize_version(tools).ok()?,
        _ => return None,
    };
    // Programs are told with their names.
    let bare = version.strip_prefix(program).map(str::trim_start);
    Some(bare.map_or_else(|| version.clone(), str::to_owned))
}

/// What the variables of an Application's overrides stand for.
fn named_by_kustomization(overrides: &Kustomize) -> Named {
    let values = overrides.common_labels.iter().chain(&overrides.common_annotations);
    Named::of(overrides.images.iter().chain(values.map(|(_, value)| value)))
}

/// What the variables of an Application's parameters and value files stand for.
fn named_by_chart(helm: &Helm) -> Named {
    let parameters = helm.parameters.iter().map(|parameter| &parameter.value);
    let files = helm.file_parameters.iter().map(|(_, file)| file);
    Named::of(parameters.chain(files).chain(&helm.value_files))
}

/// What the render of a source depends on beyond its folders and its specification: what Git says
/// elsewhere, and the programs and the cluster.
fn depends(tools: &Tools, input: &Input<'_>) -> (Value, Value) {
    let path = files::join(TOP, &input.source.path).unwrap_or_default();
    // Without its program a source does not render either, and says so.
    match detect(input, &path) {
        Ok(Tool::Helm(helm)) => {
            let version = helm::helm_version(tools).unwrap_or_default();
            // Values that cannot be had do not render; the commit that mends them is another.
            let values = helm::values_digest(input, &path, &helm);
            let values = values.map_or_else(|_| input.commit.to_string(), |d| d.to_string());
            let named = named_by_chart(&helm);
            let said = match named.commit {
                true => json!([values, input.commit.as_str()]),
                false => json!(values),
            };
            // What the Application says itself is in its specification.
            let told = |own: bool, named: bool| !own || named;
            let kube_version = told(helm.kube_version.is_some(), named.kube_version);
            let api_versions = told(!helm.api_versions.is_empty(), named.api_versions);
            let kube_version = kube_version.then_some(input.kube_version);
            let api_versions = api_versions.then_some(input.api_versions);
            (said, json!([version, kube_version, api_versions]))
        }
        Ok(Tool::Kustomize(overrides)) => {
            let version = kustomize::kustomize_version(tools).unwrap_or_default();
            let named = named_by_kustomization(&overrides);
            let commit = named.commit.then_some(input.commit.as_str());
            let kube_version = named.kube_version.then_some(input.kube_version);
            let api_versions = named.api_versions.then_some(input.api_versions);
            (json!(commit), json!([version, kube_version, api_versions]))
        }
        Ok(Tool::Directory(_) | Tool::Detect | Tool::Unsupported(_)) | Err(_) => {
            (Value::Null, Value::Null)
        }
    }
}
