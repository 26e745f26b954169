//! Rendering an application at a commit of each source, and recording what came of it.
//!
//! The job reads the commits from the mirrors, renders them, and appends one event: the objects,
//! or that nothing changed, or why it failed. Inputs that were rendered before are not rendered
//! again: the recorded objects are taken. Whatever fails, the last good desired state stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::opened::{self, Opened, Problem, Served};
use super::{failpoint, variation};
use crate::ledger::event::{
    DesiredObject, Event, IgnoreCheckedV1, ObjectHold, ObjectOptions, RenderFailedV1,
    RenderSucceededV1, RenderVariedV1, RevisionAdvancedV1, RevisionRef, ServedKind,
};
use crate::ledger::{self, Batch, Blob, Draft};
use crate::model::{
    AppName, AppSpec, BlobAddr, CommitId, Digest, GroupKind, ObjectKey, Seq, canonical_json,
    with_causes,
};
use crate::plan::CREATE_NAMESPACE;
use crate::render::{self, Inputs, Rendered};
use crate::replay::{App, Rewrite};

/// What a render works from, copied out of the world.
struct Job {
    app: AppName,
    declared: Seq,
    spec: AppSpec,
    commits: Vec<CommitId>,
    /// What the last render stands for.
    former: Vec<RevisionRef>,
    inputs: Option<Digest>,
    /// Earlier renders by their inputs.
    renders: Vec<(Digest, Seq)>,
    /// The applied commit that a rewritten history dropped.
    rewritten: Option<Rewrite>,
    served: Served,
}

/// The inputs of the last render, if it is still good for the same inputs: not when the scope of
/// a kind was a guess and can be known now.
fn known_inputs(state: &App, kinds: &BTreeMap<GroupKind, ServedKind>) -> Option<Digest> {
    let desired = state.of_git()?;
    let guessed = desired.unknown_kinds.iter().any(|kind| kinds.contains_key(kind));
    (!guessed).then_some(desired.inputs)
}

/// What is rendered, and what with.
struct From {
    revisions: Vec<RevisionRef>,
    made_with: Vec<(String, String)>,
    /// Dropped commits that the sources contain again.
    restores: Vec<CommitId>,
}

/// How a render ended.
enum Ended {
    Same { from: From, inputs: Digest },
    Again { from: From, seq: Seq, earlier: Box<RenderSucceededV1> },
    New { from: From, inputs: Inputs, rendered: Rendered, may_vary: bool },
    Failed(Problem),
}

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    app: AppName,
    commits: Vec<CommitId>,
) -> Result<Done, ledger::Error> {
    let _permit = permits.acquire_owned().await;
    let Some(job) = Job::of(&parts, &app, commits) else { return Ok(Done::Rendered(app)) };
    let job = Arc::new(job);
    let worker = (parts.clone(), Arc::clone(&job));
    let ended = tokio::task::spawn_blocking(move || {
        let (parts, job) = worker;
        job.render(&parts).unwrap_or_else(Ended::Failed)
    });
    let mut first = None;
    let mut batch = match ended.await {
        Ok(ended) => {
            first = First::of(&ended);
            job.record(&parts, ended)
        }
        Err(_) => {
            let text = "BUG: the renderer panicked".to_owned();
            job.failed(Problem { index: 0, text, transient: false })
        }
    };
    batch.drafts.extend(checked(&parts, &job).await);
    failpoint::reach(failpoint::RENDERED);
    match parts.ledger.append(batch).await {
        Ok(_) => {}
        // One application that is too large for the ledger fails alone, as every other error of
        // its render does.
        Err(error) if error.is_of_the_batch() => {
            parts.ledger.append(job.failed(unrecorded(&error))).await?;
            first = None;
        }
        Err(error) => return Err(error),
    }
    if let Some(first) = first {
        compare_again(&parts, job, first).await?;
    }
    Ok(Done::Rendered(app))
}

/// Which jq expressions of the definition cannot be read, if those are others than before. A
/// definition is rendered as soon as it is known, so they are named then.
async fn checked(parts: &Parts, job: &Arc<Job>) -> Option<Draft> {
    let known = {
        let view = parts.read();
        let state = view.world.apps.get(&job.app)?;
        state.ignore_problems.clone()
    };
    let (sandbox, expressions) = (parts.tools.sandbox.clone(), job.spec.expressions());
    let found = tokio::task::spawn_blocking(move || render::jq::check(&sandbox, &expressions));
    // What could not be checked is found out when it is needed.
    let found = found.await.ok()?.ok()?;
    let problems: Vec<_> = found.into_iter().map(|one| (one.expression, one.what)).collect();
    (problems != known).then(|| Draft::new(IgnoreCheckedV1 { app: job.app.clone(), problems }))
}

fn unrecorded(error: &ledger::Error) -> Problem {
    let text = format!("what it renders to is too large to be recorded: {}", with_causes(error));
    Problem { index: 0, text, transient: false }
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
            Ended::New { inputs, rendered, may_vary, .. } => Some(Self {
                inputs: inputs.all,
                objects: may_vary.then(|| rendered.objects.clone()),
            }),
            Ended::Same { .. } | Ended::Again { .. } | Ended::Failed(_) => None,
        }
    }
}

/// Renders the same once more and records in which fields it differs, unless that is known. What
/// was recorded first stays.
async fn compare_again(parts: &Parts, job: Arc<Job>, first: First) -> Result<(), ledger::Error> {
    let known = parts.read().world.apps.get(&job.app).map(|state| state.varies.clone());
    let fields = match first.objects {
        None => Vec::new(),
        Some(objects) => {
            let worker = (parts.clone(), Arc::clone(&job));
            let second = tokio::task::spawn_blocking(move || worker.1.render_anew(&worker.0));
            match second.await {
                Ok(Ok((inputs, rendered))) if inputs.all == first.inputs => {
                    variation::differences(&objects, &rendered.objects)
                }
                // It cannot be told: the program was replaced, or it failed.
                _ => return Ok(()),
            }
        }
    };
    if known.is_none_or(|known| known == fields) {
        return Ok(());
    }
    let (app, declared) = (job.app.clone(), job.declared);
    let varied = RenderVariedV1 { app, declared, inputs: first.inputs, fields };
    parts.ledger.append(Draft::new(varied)).await?;
    Ok(())
}

impl Job {
    fn of(parts: &Parts, app: &AppName, commits: Vec<CommitId>) -> Option<Self> {
        let view = parts.read();
        let state = view.world.apps.get(app)?;
        let desired = state.of_git();
        Some(Self {
            app: app.clone(),
            declared: state.declared,
            spec: state.spec.clone(),
            commits,
            former: desired.map(|desired| desired.revisions.clone()).unwrap_or_default(),
            inputs: known_inputs(state, &view.world.cluster.kinds),
            renders: state.renders.clone(),
            rewritten: state.rewritten.clone(),
            served: Served::of(&view.world),
        })
    }

    fn render(&self, parts: &Parts) -> Result<Ended, Problem> {
        let opened = Opened::open(&parts.mirrors, &self.spec, &self.commits)?;
        let inputs = opened.digest(&self.served, &parts.tools)?;
        let dropped = self.rewritten.iter();
        let restores = dropped.filter(|rewrite| opened.contains(&rewrite.repo, &rewrite.dropped));
        let from = From {
            revisions: opened.revisions(),
            made_with: opened.made_with(&self.served, &parts.tools),
            restores: restores.map(|rewrite| rewrite.dropped.clone()).collect(),
        };
        if self.inputs == Some(inputs.all) {
            return Ok(Ended::Same { from, inputs: inputs.all });
        }
        if let Some((seq, earlier)) = self.earlier(parts, inputs.all) {
            return Ok(Ended::Again { from, seq, earlier });
        }
        let scratch = opened::scratch(parts, &self.spec);
        let rendered = opened.render(&self.served, &parts.tools, &scratch)?;
        let may_vary = rendered.tool.contains("helm") && opened.may_vary();
        Ok(Ended::New { from, inputs, rendered, may_vary })
    }

    /// Renders whatever is known of the same inputs.
    fn render_anew(&self, parts: &Parts) -> Result<(Inputs, Rendered), Problem> {
        let opened = Opened::open(&parts.mirrors, &self.spec, &self.commits)?;
        let inputs = opened.digest(&self.served, &parts.tools)?;
        let scratch = opened::scratch(parts, &self.spec);
        Ok((inputs, opened.render(&self.served, &parts.tools, &scratch)?))
    }

    /// The recorded render of the same inputs, if there is one that is still good. What cannot be
    /// read is rendered again.
    fn earlier(&self, parts: &Parts, inputs: Digest) -> Option<(Seq, Box<RenderSucceededV1>)> {
        let (_, seq) = self.renders.iter().find(|(known, _)| *known == inputs)?;
        let recorded = parts.ledger.get(*seq).ok().flatten()?;
        let Some(Event::RenderSucceeded(body)) = &recorded.event else { return None };
        let guessed = body.unknown_kinds.iter().any(|kind| self.served.scopes.contains_key(kind));
        let good = body.app == self.app && body.inputs == inputs && !guessed;
        let whole = || body.objects.iter().all(|object| parts.ledger.has_blob(object.manifest));
        (good && whole()).then(|| (*seq, Box::new(body.clone())))
    }

    /// The source that brought something new, or else the first with manifests.
    fn moved(&self, revisions: &[RevisionRef]) -> Option<RevisionRef> {
        let known = |index: usize| self.former.get(index).map(|former| &former.commit);
        let moved = revisions.iter().enumerate();
        let moved =
            moved.filter(|(index, new)| known(*index).is_some_and(|old| *old != new.commit));
        let own = revisions.iter().zip(&self.spec.sources).find(|(_, source)| !source.lends_only);
        moved.map(|(_, new)| new).next().or(own.map(|(own, _)| own)).cloned()
    }

    fn failed(&self, problem: Problem) -> Batch {
        let commit = self.commits.get(problem.index).or(self.commits.first()).cloned();
        Draft::new(RenderFailedV1 {
            app: self.app.clone(),
            declared: self.declared,
            commit,
            commits: self.commits.iter().cloned().map(Some).collect(),
            transient: problem.transient,
            error: problem.text,
        })
        .into()
    }

    fn record(&self, parts: &Parts, ended: Ended) -> Batch {
        let (app, declared) = (self.app.clone(), self.declared);
        let unnamed = || {
            let text = "BUG: an application without sources".to_owned();
            self.failed(Problem { index: 0, text, transient: false })
        };
        match ended {
            Ended::Failed(problem) => self.failed(problem),
            Ended::Same { from, inputs } => match self.moved(&from.revisions) {
                Some(revision) => {
                    let From { revisions, made_with, .. } = from;
                    Draft::new(RevisionAdvancedV1 {
                        app,
                        declared,
                        revision,
                        revisions,
                        inputs,
                        made_with,
                    })
                    .into()
                }
                None => unnamed(),
            },
            Ended::Again { from, seq, earlier } => match self.moved(&from.revisions) {
                Some(revision) => {
                    let From { revisions, made_with, restores } = from;
                    let reused = Some(earlier.reused.unwrap_or(seq));
                    let body = RenderSucceededV1 {
                        app,
                        declared,
                        revision,
                        revisions,
                        made_with,
                        restores,
                        reused,
                        ..*earlier
                    };
                    Draft::new(body).caused_by(seq).into()
                }
                None => unnamed(),
            },
            Ended::New { from, inputs, rendered, .. } => match self.moved(&from.revisions) {
                Some(revision) => {
                    let recorded = self.succeeded(parts, revision, from, inputs, rendered);
                    recorded.unwrap_or_else(|text| {
                        self.failed(Problem { index: 0, text, transient: true })
                    })
                }
                None => unnamed(),
            },
        }
    }

    fn succeeded(
        &self,
        parts: &Parts,
        revision: RevisionRef,
        from: From,
        inputs: Inputs,
        rendered: Rendered,
    ) -> Result<Batch, String> {
        let mut batch = Batch::default();
        let mut objects = Vec::with_capacity(rendered.objects.len() + 1);
        let former: BTreeMap<ObjectKey, BlobAddr> = {
            let view = parts.read();
            let desired = view.world.apps.get(&self.app).and_then(|state| state.desired.as_ref());
            let objects = desired.into_iter().flat_map(|desired| &desired.objects);
            objects.map(|(key, object)| (key.clone(), object.manifest)).collect()
        };
        for object in with_namespace(&self.spec, rendered.objects) {
            let base = former.get(&object.key).copied();
            let (object, blob) = desired(parts, object, base)?;
            objects.push(object);
            batch.blobs.push(blob);
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        batch.drafts.push(Draft::new(RenderSucceededV1 {
            app: self.app.clone(),
            declared: self.declared,
            revision,
            revisions: from.revisions,
            inputs: inputs.all,
            sources: inputs.sources,
            tool: rendered.tool,
            made_with: from.made_with,
            restores: from.restores,
            objects,
            warnings: rendered.warnings,
            unknown_kinds: rendered.unknown_kinds,
            reused: None,
        }));
        Ok(batch)
    }
}

/// The digest by which a manifest is known.
pub(super) fn digest_of(parts: &Parts, object: &render::RenderedObject) -> Digest {
    let bytes = canonical_json(&object.manifest);
    match object.key.is_secret() {
        true => parts.ledger.seal().digest(&bytes),
        false => Digest::of(&bytes),
    }
}

/// The object as it is recorded, and its manifest.
fn desired(
    parts: &Parts,
    object: render::RenderedObject,
    base: Option<BlobAddr>,
) -> Result<(DesiredObject, Blob), String> {
    let bytes = canonical_json(&object.manifest);
    let seal = parts.ledger.seal();
    let (blob, digest) = if object.key.is_secret() {
        let blob = seal.blob_sealed(&bytes).map_err(|error| with_causes(&error))?;
        (blob, seal.digest(&bytes))
    } else {
        (Blob::plain(bytes.clone(), base), Digest::of(&bytes))
    };
    let application = object.key.is_application().then_some(bytes);
    let desired = DesiredObject {
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
    };
    Ok((desired, blob))
}

/// The objects with the destination namespace, where that is to be created.
pub(super) fn with_namespace(
    spec: &AppSpec,
    mut objects: Vec<render::RenderedObject>,
) -> Vec<render::RenderedObject> {
    objects.extend(namespace(spec, &objects));
    objects
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
