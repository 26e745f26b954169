//! Asking the API server what an apply would change, and recording its answer.
//!
//! A dry run changes nothing and needs no intent. It is asked once per manifest and live object:
//! the answer is an event, and plans are made from it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::execute;
use crate::cluster::{self, ApplyRequest, Class, Normalised, ReplaceRequest, Stored, normalize};
use crate::ledger::event::{Method, ObjectPreviewedV1, Preview};
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
    let result = ask(&parts, &app, &dry_run).await?;
    let DryRun { key, digest, uid, live, .. } = dry_run;
    let previewed =
        ObjectPreviewedV1 { app: app.clone(), key: key.clone(), digest, uid, live, result };
    parts.ledger.append(Draft::new(previewed)).await?;
    Ok(Done::Previewed { app, key })
}

async fn ask(parts: &Parts, app: &AppName, dry_run: &DryRun) -> Result<Preview, ledger::Error> {
    let manifest = match execute::manifest(parts, app, Some(dry_run.manifest)) {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Preview::Refused(why)),
    };
    let answer = match sent(parts, dry_run, manifest).await {
        Ok(answer) => answer,
        Err(error) => match error.class() {
            Class::Refused | Class::NoApply => return Ok(Preview::Refused(error.chain())),
            _ => return Ok(Preview::Failed(error.chain())),
        },
    };
    let would_be = match normalize(&answer, &parts.ledger) {
        Ok(would_be) => would_be,
        Err(error) => return Ok(Preview::Refused(error.to_string())),
    };
    let live = match observed(parts, dry_run, &would_be).await? {
        Ok(live) => live,
        Err(unknown) => return Ok(unknown),
    };
    let fields = cluster::preview(&live, &would_be);
    Ok(if fields.is_empty() { Preview::Same } else { Preview::Changes(fields) })
}

/// Sends the manifest as the write would, without effect.
async fn sent(parts: &Parts, dry_run: &DryRun, manifest: Value) -> Result<Value, cluster::Error> {
    let (key, version) = (dry_run.key.clone(), dry_run.version.clone());
    let (validate, audit_id) = (dry_run.validate, String::new());
    if dry_run.method == Method::Apply {
        let (force, known) = (true, None);
        let request = ApplyRequest { key, version, manifest, audit_id, force, validate, known };
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
    let stored = Stored::from_stored(&parts.ledger.blob(dry_run.observed)?);
    let same = |live: &Stored| live.object.get("apiVersion") == would_be.object.get("apiVersion");
    if let Ok(live) = stored
        && same(&live)
    {
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
