//! Comparing an object with what was applied to it, and recording what was found.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::execute;
use super::masking::{self, Problem};
use crate::cluster::{self, SecretDigest, Stored, normalize};
use crate::ledger::event::{DriftDetectedV1, DriftKind, FieldChange, IgnoreFailedV1};
use crate::ledger::{self, Draft, Ledger};
use crate::model::{Actor, AppName, BlobAddr, Scheme};
use crate::plan::Comparison;
use crate::replay::Drift;

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    app: AppName,
    comparison: Comparison,
) -> Result<Done, ledger::Error> {
    let _permit = permits.acquire_owned().await;
    let baseline = recorded(&parts.ledger, comparison.baseline)?;
    let observed = recorded(&parts.ledger, comparison.observed)?;
    let sent = || execute::plain_manifest(&parts, &app, Some(comparison.manifest)).ok();
    let mut found = compare(&parts.ledger, &comparison, (&baseline, &observed), sent);
    // What is ignored can only make less of a difference.
    if found.kind != DriftKind::None && !comparison.mask.is_empty() {
        match masked(&parts, &app, &comparison, (&baseline, &observed)).await {
            Ok(masked) => found = masked.unwrap_or(found),
            Err(problem) => return unknown(&parts, app, comparison, problem).await,
        }
    }
    let draft = {
        let view = parts.read();
        let known = view.world.apps.get(&app).and_then(|state| state.drift.get(&comparison.key));
        news(&app, &comparison, known, found)
    };
    let nothing_new = draft.is_none();
    if let Some(draft) = draft {
        parts.ledger.append(draft).await?;
    }
    let judged = (comparison.observation, comparison.mask.digest());
    Ok(Done::Compared { app, key: comparison.key, judged, nothing_new })
}

/// What was recorded of an object; nothing where that is damaged, which is no reason to let the
/// cluster go.
fn recorded(ledger: &Ledger, addr: BlobAddr) -> Result<Arc<[u8]>, ledger::Error> {
    match ledger.blob(addr) {
        Err(error) if error.is_of_reading() => {
            tracing::warn!(%error, "an object is not compared with what was recorded of it");
            Ok(Arc::default())
        }
        read => read,
    }
}

/// Records that it is not known what is ignored.
async fn unknown(
    parts: &Parts,
    app: AppName,
    comparison: Comparison,
    problem: Problem,
) -> Result<Done, ledger::Error> {
    let (key, mask) = (comparison.key, comparison.mask.digest());
    let failed = IgnoreFailedV1 {
        app: app.clone(),
        key: key.clone(),
        mask,
        live: comparison.live,
        error: problem.text,
        transient: problem.transient,
    };
    parts.ledger.append(Draft::new(failed).caused_by(comparison.observation)).await?;
    let judged = (comparison.observation, mask);
    Ok(Done::Compared { app, key, judged, nothing_new: false })
}

/// Compares without what is ignored; `None` when what was recorded cannot be read.
async fn masked(
    parts: &Parts,
    app: &AppName,
    comparison: &Comparison,
    (baseline, observed): (&[u8], &[u8]),
) -> Result<Option<cluster::Comparison>, Problem> {
    let (Ok(baseline), Ok(observed)) =
        (Stored::from_stored(baseline), Stored::from_stored(observed))
    else {
        return Ok(None);
    };
    let (sandbox, mask) = (&parts.tools.sandbox, &comparison.mask);
    let sides = [&baseline.object, &observed.object];
    let [was, now] = masking::masked(sandbox, mask, &observed.fields, sides).await?;
    if !(comparison.replaced || baseline.own().is_none()) {
        return Ok(Some(cluster::compare_masked((&baseline, &was), (&observed, &now), mask)));
    }
    let sent = execute::plain_manifest(parts, app, Some(comparison.manifest)).ok();
    let Some(sent) = sent.and_then(|sent| normalize(&sent, &parts.ledger).ok()) else {
        return Ok(None);
    };
    let [of_sent] = masking::masked(sandbox, mask, &observed.fields, [&sent.object]).await?;
    let compared =
        cluster::compare_replaced_masked((&sent, &of_sent), (&baseline, &was), (&observed, &now));
    Ok(Some(compared))
}

/// What was found, if it is news: what is found again with every change of status is told once.
pub(super) fn news(
    app: &AppName,
    comparison: &Comparison,
    known: Option<&Drift>,
    found: cluster::Comparison,
) -> Option<Draft> {
    let nothing_new = match known {
        None => found.kind == DriftKind::None,
        Some(known) => {
            known.kind == found.kind && known.fields == found.fields && known.later == found.later
        }
    };
    if nothing_new {
        return None;
    }
    let claims = found.managers.iter().map(|m| (Scheme::FieldManager, m.manager.clone()));
    let actor = claims.fold(Actor::default(), |mut actor, (scheme, value)| {
        actor.claims.push(crate::model::Claim { scheme, value, strength: 2 });
        actor
    });
    let drift = DriftDetectedV1 {
        app: app.clone(),
        key: comparison.key.clone(),
        kind: found.kind,
        fields: found.fields,
        places: found.places,
        managers: found.managers,
        observation: comparison.observation,
        mask: comparison.mask.digest(),
        saved: Some(comparison.observed),
        later: found.later,
    };
    Some(Draft::new(drift).by(actor).caused_by(comparison.observation))
}

/// Compares two recorded objects; `sent` is the manifest that the first came of.
pub(super) fn compare(
    sealer: &dyn SecretDigest,
    comparison: &Comparison,
    (baseline, observed): (&[u8], &[u8]),
    sent: impl FnOnce() -> Option<Value>,
) -> cluster::Comparison {
    match (Stored::from_stored(baseline), Stored::from_stored(observed)) {
        (Ok(baseline), Ok(observed)) if comparison.replaced || baseline.own().is_none() => {
            match sent().and_then(|sent| normalize(&sent, sealer).ok()) {
                Some(sent) => cluster::compare_replaced(&sent, &baseline, &observed),
                None => unreadable(),
            }
        }
        (Ok(baseline), Ok(observed)) => cluster::compare(&baseline, &observed),
        _ => unreadable(),
    }
}

/// What was recorded cannot be read, by this version or at all: to put Git's version back is safe, to say
/// "no drift" would be a guess.
fn unreadable() -> cluster::Comparison {
    cluster::Comparison {
        kind: DriftKind::Drift,
        fields: vec![FieldChange {
            path: ".".into(),
            was: String::new(),
            now: "(the recorded object cannot be read)".into(),
        }],
        ..cluster::Comparison::default()
    }
}
