//! Rendering an application at a commit, and recording what came of it.
//!
//! The job reads the commit from the mirror, renders it, and appends one event: the objects, or
//! that nothing changed, or why it failed. Whatever fails, the last good desired state stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::variation;
use crate::ledger::event::{
    DesiredObject, ObjectHold, ObjectOptions, RenderFailedV1, RenderSucceededV1, RenderVariedV1,
    RevisionAdvancedV1, RevisionRef, ServedKind,
};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{
    AppName, AppSpec, CommitId, Digest, GroupKind, ObjectKey, Scope, Seq, Tool, canonical_json,
    with_causes,
};
use crate::plan::CREATE_NAMESPACE;
use crate::render::{self, Content, FileKind, Files, FilesError, Input, ListedFile, Rendered};
use crate::replay::App;
use crate::source::{self, Browser, Limits, Mirror};

/// What a render works from, copied out of the world.
struct Job {
    declared: Seq,
    spec: AppSpec,
    inputs: Option<Digest>,
    scopes: BTreeMap<GroupKind, Scope>,
    kube_version: String,
    api_versions: Vec<String>,
}

/// The inputs of the last render, if it is still good for the same inputs: not when the scope of
/// a kind was a guess and can be known now.
fn known_inputs(state: &App, kinds: &BTreeMap<GroupKind, ServedKind>) -> Option<Digest> {
    let desired = state.desired.as_ref()?;
    let guessed = desired.unknown_kinds.iter().any(|kind| kinds.contains_key(kind));
    (!guessed).then_some(desired.inputs)
}

/// How a render ended.
enum Ended {
    Same(RevisionRef),
    New { revision: RevisionRef, inputs: Digest, rendered: Rendered, may_vary: bool },
    Failed(String),
}

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    app: AppName,
    commit: CommitId,
) -> Result<Done, ledger::Error> {
    let _permit = permits.acquire_owned().await;
    let Some(job) = Job::of(&parts, &app) else { return Ok(Done::Rendered(app)) };
    let declared = job.declared;
    let worker = (parts.clone(), app.clone(), commit.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let (parts, app, commit) = worker;
        let ended = job.render(&parts, &app, &commit);
        (job, ended)
    });
    let mut again = None;
    let batch = match ended.await {
        Ok((job, ended)) => {
            let first = First::of(&ended);
            let batch = record(&parts, &app, commit.clone(), &job, ended);
            again = first.map(|first| (job, first, commit));
            batch
        }
        Err(_) => {
            let error = "BUG: the renderer panicked".to_owned();
            let (app, commit) = (app.clone(), Some(commit));
            Draft::new(RenderFailedV1 { app, declared, commit, error }).into()
        }
    };
    parts.ledger.append(batch).await?;
    if let Some((job, first, commit)) = again {
        compare_again(&parts, &app, commit, job, first).await?;
    }
    Ok(Done::Rendered(app))
}

/// What a render gave that was just recorded.
struct First {
    inputs: Digest,
    /// The objects, where another render may give others.
    objects: Option<Vec<render::RenderedObject>>,
}

impl First {
    fn of(ended: &Ended) -> Option<Self> {
        match ended {
            Ended::New { inputs, rendered, may_vary, .. } => {
                Some(Self { inputs: *inputs, objects: may_vary.then(|| rendered.objects.clone()) })
            }
            Ended::Same(_) | Ended::Failed(_) => None,
        }
    }
}

/// Renders the same once more and records in which fields it differs, unless that is known. What
/// was recorded first stays.
async fn compare_again(
    parts: &Parts,
    app: &AppName,
    commit: CommitId,
    mut job: Job,
    first: First,
) -> Result<(), ledger::Error> {
    let known = parts.read().world.apps.get(app).map(|state| state.varies.clone());
    let declared = job.declared;
    let fields = match first.objects {
        None => Vec::new(),
        Some(objects) => {
            let worker = (parts.clone(), app.clone());
            job.inputs = None;
            let second =
                tokio::task::spawn_blocking(move || job.render(&worker.0, &worker.1, &commit));
            match second.await {
                Ok(Ended::New { inputs, rendered, .. }) if inputs == first.inputs => {
                    variation::differences(&objects, &rendered.objects)
                }
                // It cannot be told: the cluster has come to serve other kinds, or it failed.
                _ => return Ok(()),
            }
        }
    };
    if known.is_none_or(|known| known == fields) {
        return Ok(());
    }
    let varied = RenderVariedV1 { app: app.clone(), declared, inputs: first.inputs, fields };
    parts.ledger.append(Draft::new(varied)).await?;
    Ok(())
}

impl Job {
    fn of(parts: &Parts, app: &AppName) -> Option<Self> {
        let view = parts.read();
        let state = view.world.apps.get(app)?;
        let kinds = &view.world.cluster.kinds;
        let mut api_versions: Vec<String> = kinds
            .values()
            .flat_map(|served| {
                let group = &served.kind.group;
                let api = match group.as_str() {
                    "" => served.version.clone(),
                    group => format!("{group}/{}", served.version),
                };
                [format!("{api}/{}", served.kind.kind), api]
            })
            .collect();
        api_versions.sort();
        api_versions.dedup();
        Some(Self {
            declared: state.declared,
            spec: state.spec.clone(),
            inputs: known_inputs(state, kinds),
            scopes: kinds.iter().map(|(kind, served)| (kind.clone(), served.scope)).collect(),
            kube_version: view.world.cluster.version.clone(),
            api_versions,
        })
    }

    fn render(&self, parts: &Parts, app: &AppName, commit: &CommitId) -> Ended {
        match self.try_render(parts, app, commit) {
            Ok(ended) => ended,
            Err(error) => Ended::Failed(error),
        }
    }

    fn try_render(&self, parts: &Parts, app: &AppName, commit: &CommitId) -> Result<Ended, String> {
        let [source] = self.spec.sources.as_slice() else {
            return Err("several sources (`spec.sources`) are not rendered yet".into());
        };
        let text = |error: &dyn std::error::Error| with_causes(error);
        let mirror = Mirror::open(&parts.mirrors, &source.repo).map_err(|e| text(&e))?;
        let tree = mirror.tree(commit, &source.path).map_err(|e| text(&e))?;
        let whole = mirror.tree(commit, ".").map_err(|e| text(&e))?;
        let browser = mirror.browse(commit, Limits::default()).map_err(|e| text(&e))?;
        let files = CommitFiles { browser };
        let inside = stays_inside(&files, &source.path, &source.tool);
        let scratch = parts.scratch.join(app.as_str());
        let input = Input {
            app: &self.spec,
            source,
            files: &files,
            commit,
            scopes: &self.scopes,
            kube_version: &self.kube_version,
            api_versions: &self.api_versions,
            scratch: &scratch,
        };
        let inputs = self.inputs(&input, if inside { &tree } else { &whole }, &parts.tools);
        let revision = RevisionRef { repo: source.repo.clone(), commit: commit.clone(), tree };
        if self.inputs == Some(inputs) {
            return Ok(Ended::Same(revision));
        }
        let rendered = render::render(&parts.tools, &input).map_err(|e| text(&e))?;
        let may_vary =
            rendered.tool.starts_with("helm") && variation::may_vary(&files, &source.path);
        Ok(Ended::New { revision, inputs, rendered, may_vary })
    }

    /// Digests everything that the recorded objects depend on: what the renderer reads, and the
    /// namespace that is added to it.
    fn inputs(&self, input: &Input<'_>, tree: &CommitId, tools: &render::Tools) -> Digest {
        // Without helm a chart does not render either, and says so.
        let helm = render::helm_version(tools).unwrap_or_default();
        let namespace = json!([
            self.spec.create_namespace,
            self.spec.namespace_labels,
            self.spec.namespace_annotations,
        ]);
        let mut bytes = input.digest(tree, &helm).0.to_vec();
        bytes.extend(namespace.to_string().into_bytes());
        Digest::of(&bytes)
    }
}

/// Whether a source reads nothing outside its own folder, so that the folder's tree is the whole
/// of its input. In doubt it does: then every commit renders it anew, which is only slower.
fn stays_inside(files: &CommitFiles, path: &str, tool: &Tool) -> bool {
    let leads_out = |file: &String| file.starts_with('/') || file.contains("..");
    if let Tool::Helm(helm) = tool
        && (helm.value_files.iter().any(leads_out)
            || helm.file_parameters.iter().any(|(_, file)| leads_out(file)))
    {
        return false;
    }
    let folder = path.trim_matches('/');
    let folder = if folder == "." { "" } else { folder };
    let Ok(listed) = files.list(folder, true) else { return false };
    if listed.iter().any(|file| file.kind == FileKind::Symlink) {
        return false;
    }
    let charts = listed.iter().filter(|file| file.path.ends_with("Chart.yaml"));
    for chart in charts {
        match files.read(&format!("{folder}/{}", chart.path)) {
            Ok(Some(Content::Bytes(bytes))) => {
                let local = bytes.windows(7).any(|window| window == b"file://");
                if local {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

fn record(parts: &Parts, app: &AppName, commit: CommitId, job: &Job, ended: Ended) -> Batch {
    let declared = job.declared;
    match ended {
        Ended::Same(revision) => {
            Draft::new(RevisionAdvancedV1 { app: app.clone(), declared, revision }).into()
        }
        Ended::Failed(error) => {
            let (app, commit) = (app.clone(), Some(commit));
            Draft::new(RenderFailedV1 { app, declared, commit, error }).into()
        }
        Ended::New { revision, inputs, rendered, .. } => {
            match succeeded(parts, app, job, revision, inputs, rendered) {
                Ok(batch) => batch,
                Err(error) => {
                    let (app, commit) = (app.clone(), Some(commit));
                    Draft::new(RenderFailedV1 { app, declared, commit, error }).into()
                }
            }
        }
    }
}

fn succeeded(
    parts: &Parts,
    app: &AppName,
    job: &Job,
    revision: RevisionRef,
    inputs: Digest,
    rendered: Rendered,
) -> Result<Batch, String> {
    let mut batch = Batch::default();
    let mut objects = Vec::with_capacity(rendered.objects.len() + 1);
    let former: BTreeMap<ObjectKey, crate::model::BlobAddr> = {
        let view = parts.read();
        let desired = view.world.apps.get(app).and_then(|state| state.desired.as_ref());
        let objects = desired.into_iter().flat_map(|desired| &desired.objects);
        objects.map(|(key, object)| (key.clone(), object.manifest)).collect()
    };
    let mut rendered_objects = rendered.objects;
    rendered_objects.extend(namespace(&job.spec, &rendered_objects));
    for object in rendered_objects {
        let bytes = canonical_json(&object.manifest);
        let seal = parts.ledger.seal();
        let (blob, digest) = if object.key.is_secret() {
            let blob = seal.blob_sealed(&bytes).map_err(|error| with_causes(&error))?;
            (blob, seal.digest(&bytes))
        } else {
            let base = former.get(&object.key).copied();
            (Blob::plain(bytes.clone(), base), Digest::of(&bytes))
        };
        let application = object.key.is_application().then_some(bytes);
        objects.push(DesiredObject {
            key: object.key,
            version: object.version,
            manifest: blob.addr,
            digest,
            wave: object.wave,
            replicas: object.replicas,
            origin: object.origin,
            holds: object.holds,
            options: object.options,
            application,
        });
        batch.blobs.push(blob);
    }
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    batch.drafts.push(Draft::new(RenderSucceededV1 {
        app: app.clone(),
        declared: job.declared,
        revision,
        inputs,
        tool: rendered.tool,
        objects,
        warnings: rendered.warnings,
        unknown_kinds: rendered.unknown_kinds,
    }));
    Ok(batch)
}

/// The destination namespace, where it is to be created and the source does not define it.
fn namespace(spec: &AppSpec, objects: &[render::RenderedObject]) -> Option<render::RenderedObject> {
    let key = ObjectKey::new("", "Namespace", "", &spec.namespace);
    let defined = objects.iter().any(|object| object.key == key);
    if !spec.create_namespace || spec.namespace.is_empty() || defined {
        return None;
    }
    let map = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect()
    };
    let mut manifest = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": spec.namespace },
    });
    if !spec.namespace_labels.is_empty() {
        manifest["metadata"]["labels"] = map(&spec.namespace_labels);
    }
    if !spec.namespace_annotations.is_empty() {
        manifest["metadata"]["annotations"] = map(&spec.namespace_annotations);
    }
    let wave = objects.iter().map(|object| object.wave).min().unwrap_or(0);
    Some(render::RenderedObject {
        key,
        version: "v1".into(),
        manifest,
        wave,
        replicas: None,
        origin: CREATE_NAMESPACE.into(),
        holds: vec![ObjectHold {
            what: CREATE_NAMESPACE.into(),
            create: false,
            update: false,
            prune: true,
        }],
        options: ObjectOptions::default(),
        is_application: false,
    })
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
