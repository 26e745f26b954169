//! Asking the API server what an apply would change, and recording its answer.
//!
//! A dry run changes nothing and needs no intent. It is asked once per manifest and live object:
//! the answer is an event, and plans are made from it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::execute;
use super::masking::{self, Problem};
use crate::cluster::{self, ApplyRequest, Class, Normalised, ReplaceRequest, Stored, normalize};
use crate::ledger::event::{IgnoreFailedV1, Method, ObjectPreviewedV1, Preview};
use crate::ledger::{self, Draft};
use crate::model::AppName;
use crate::plan::DryRun;

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    app: AppName,
    dry_run: DryRun,
) -> Result<Done, ledger::Error> {
    let _permit = permits.acquire_owned().await;
    let (key, live) = (dry_run.key.clone(), dry_run.live);
    let draft = match ask(&parts, &app, &dry_run).await? {
        Ok(result) => Draft::new(ObjectPreviewedV1 {
            app: app.clone(),
            key: key.clone(),
            digest: dry_run.digest,
            uid: dry_run.uid,
            live,
            mask: dry_run.mask_digest,
            result,
        }),
        Err(problem) => Draft::new(IgnoreFailedV1 {
            app: app.clone(),
            key: key.clone(),
            mask: dry_run.mask.digest(),
            live,
            error: problem.text,
            transient: problem.transient,
        }),
    };
    parts.ledger.append(draft).await?;
    Ok(Done::Previewed { app, key })
}

/// What the API server says, unless it is not known what is ignored.
async fn ask(
    parts: &Parts,
    app: &AppName,
    dry_run: &DryRun,
) -> Result<Result<Preview, Problem>, ledger::Error> {
    let manifest = execute::plain_manifest(parts, app, Some(dry_run.manifest))
        .and_then(|plain| execute::held(parts, &dry_run.key, &dry_run.holds, plain));
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Ok(Preview::Refused(why))),
    };
    let manifest = match respecting(parts, app, dry_run, manifest).await {
        Ok(Ok(manifest)) => manifest,
        Ok(Err(unasked)) => return Ok(Ok(unasked)),
        Err(problem) => return Ok(Err(problem)),
    };
    let answer = match sent(parts, dry_run, manifest).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Ok(unanswered(&error))),
    };
    let would_be = match normalize(&answer, &parts.ledger) {
        Ok(would_be) => would_be,
        Err(error) => return Ok(Ok(Preview::Refused(error.to_string()))),
    };
    let live = match observed(parts, dry_run, &would_be).await? {
        Ok(live) => live,
        Err(unknown) => return Ok(Ok(unknown)),
    };
    let (sandbox, sides) = (&parts.tools.sandbox, [&live.object, &would_be.object]);
    let masked = masking::masked(sandbox, &dry_run.mask, &live.fields, sides).await;
    Ok(masked.map(|[of_live, of_would_be]| {
        let fields = cluster::preview_masked((&live, &of_live), (&would_be, &of_would_be));
        if fields.is_empty() { Preview::Same } else { Preview::Changes(fields) }
    }))
}

fn unanswered(error: &cluster::Error) -> Preview {
    match error.class() {
        Class::Refused | Class::NoApply => Preview::Refused(error.chain()),
        _ => Preview::Failed(error.chain()),
    }
}

/// The manifest as the write would send it: with the live value of what is ignored, where that is
/// asked for.
async fn respecting(
    parts: &Parts,
    app: &AppName,
    dry_run: &DryRun,
    manifest: Value,
) -> Result<Result<Value, Preview>, Problem> {
    if dry_run.respect.is_empty() {
        return Ok(Ok(manifest));
    }
    let raw = match parts.cluster.get(&dry_run.key, &dry_run.version).await {
        Ok(Some(raw)) => raw,
        Ok(None) => return Ok(Err(Preview::Failed("the object is gone".into()))),
        Err(error) => return Ok(Err(unanswered(&error))),
    };
    let (sandbox, mask) = (&parts.tools.sandbox, &dry_run.respect);
    let manifest = masking::respecting(sandbox, &parts.ledger, mask, &manifest, &raw).await?;
    Ok(Ok(execute::claim(manifest, app).unwrap_or_default()))
}

/// Sends the manifest as the write would, without effect.
async fn sent(parts: &Parts, dry_run: &DryRun, manifest: Value) -> Result<Value, cluster::Error> {
    let (key, version) = (dry_run.key.clone(), dry_run.version.clone());
    let (validate, audit_id) = (dry_run.validate, String::new());
    if dry_run.method == Method::Apply {
        let (force, known, uid) = (true, None, None);
        let request =
            ApplyRequest { key, version, manifest, audit_id, force, validate, known, uid };
        return parts.cluster.dry_run(&request).await;
    }
    let live = parts.cluster.get(&key, &version).await?;
    let resource_version = live
        .as_ref()
        .and_then(|live| Some(live.pointer("/metadata/resourceVersion")?.as_str()?.to_owned()));
    let request = ReplaceRequest { key, version, manifest, resource_version, validate, audit_id };
    parts.cluster.replace(&request, true).await
}

/// The live object in the version of the answer: as observed, or read once more when it was
/// observed in another, in which the same fields may have other names.
async fn observed(
    parts: &Parts,
    dry_run: &DryRun,
    would_be: &Normalised,
) -> Result<Result<Stored, Preview>, ledger::Error> {
    let recorded = match parts.ledger.blob(dry_run.observed) {
        Err(error) if !error.is_of_reading() => return Err(error),
        recorded => recorded.ok(),
    };
    let same = |live: &Stored| live.object.get("apiVersion") == would_be.object.get("apiVersion");
    let stored = recorded.and_then(|bytes| Stored::from_stored(&bytes).ok());
    if let Some(live) = stored.filter(same) {
        return Ok(Ok(live));
    }
    let read = match parts.cluster.get(&dry_run.key, &dry_run.version).await {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(Err(Preview::Failed("the object is gone".into()))),
        Err(error) => return Ok(Err(Preview::Failed(error.chain()))),
    };
    let normalised = normalize(&read, &parts.ledger);
    Ok(normalised.map(|live| live.stored()).map_err(|error| Preview::Refused(error.to_string())))
}
