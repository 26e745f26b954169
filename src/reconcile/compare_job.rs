//! Comparing an object with what was applied to it, and recording what was found.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::driver::{Done, Parts};
use super::execute;
use crate::cluster::{self, Stored, normalize};
use crate::ledger::event::{DriftDetectedV1, DriftKind, FieldChange};
use crate::ledger::{self, Draft};
use crate::model::{Actor, AppName, Scheme};
use crate::plan::Comparison;

pub(super) async fn run(
    parts: Parts,
    permits: Arc<Semaphore>,
    app: AppName,
    comparison: Comparison,
) -> Result<Done, ledger::Error> {
    let _permit = permits.acquire_owned().await;
    let found = compare(&parts, &app, &comparison)?;
    let known = {
        let view = parts.read();
        view.world.apps.get(&app).and_then(|state| state.drift.get(&comparison.key).cloned())
    };
    // What is found again with every change of status is told once.
    let nothing_new = match &known {
        None => found.kind == DriftKind::None,
        Some(known) => known.kind == found.kind && known.fields == found.fields,
    };
    if !nothing_new {
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
            managers: found.managers,
            observation: comparison.observation,
        };
        let draft = Draft::new(drift).by(actor).caused_by(comparison.observation);
        parts.ledger.append(draft).await?;
    }
    let (key, observation) = (comparison.key, comparison.observation);
    Ok(Done::Compared { app, key, observation, nothing_new })
}

fn compare(
    parts: &Parts,
    app: &AppName,
    comparison: &Comparison,
) -> Result<cluster::Comparison, ledger::Error> {
    let baseline = parts.ledger.blob(comparison.baseline)?;
    let observed = parts.ledger.blob(comparison.observed)?;
    let stored = (Stored::from_stored(&baseline), Stored::from_stored(&observed));
    Ok(match stored {
        (Ok(baseline), Ok(observed)) if comparison.replaced || baseline.own().is_none() => {
            let sent = execute::manifest(parts, app, Some(comparison.manifest)).ok();
            match sent.and_then(|sent| normalize(&sent, &parts.ledger).ok()) {
                Some(sent) => cluster::compare_replaced(&sent, &baseline, &observed),
                None => unreadable(),
            }
        }
        (Ok(baseline), Ok(observed)) => cluster::compare(&baseline, &observed),
        _ => unreadable(),
    })
}

/// What was recorded cannot be read by this version: to put Git's version back is safe, to say
/// "no drift" would be a guess.
fn unreadable() -> cluster::Comparison {
    cluster::Comparison {
        kind: DriftKind::Drift,
        fields: vec![FieldChange {
            path: ".".into(),
            was: String::new(),
            now: "(the recorded object cannot be read)".into(),
        }],
        managers: Vec::new(),
    }
}
