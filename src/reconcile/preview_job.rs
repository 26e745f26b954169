//! Asking the API server what an apply would change, and recording its answer.
//!
//! A dry run changes nothing and needs no intent. It is asked once per manifest and live object:
//! the answer is an event, and plans are made from it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::execute;
use crate::cluster::{self, ApplyRequest, Class, Normalised, Stored, normalize};
use crate::ledger::event::{ObjectPreviewedV1, Preview};
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
    let request = ApplyRequest {
        key: dry_run.key.clone(),
        version: dry_run.version.clone(),
        manifest,
        audit_id: String::new(),
        force: true,
        known: None,
    };
    let answer = match parts.cluster.dry_run(&request).await {
        Ok(answer) => answer,
        Err(error) if error.class() == Class::Refused => {
            return Ok(Preview::Refused(error.chain()));
        }
        Err(error) => return Ok(Preview::Failed(error.chain())),
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
