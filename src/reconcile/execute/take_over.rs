//! Taking fields over from the managers that wrote an object before greffier.
//!
//! Nothing but who owns which fields is changed, and only of the object that was looked at: values
//! that somebody changed meanwhile must not become what drift is measured against.

use super::{About, OUT_OF_TIME, applied, failure};
use crate::cluster::{self, Masked, Normalised, Stored, TransferRequest, normalize};
use crate::ledger::Blob;
use crate::ledger::event::{DriftKind, Write, WriteResult};
use crate::model::Mask;
use crate::reconcile::driver::Parts;
use crate::reconcile::masking;
use crate::replay::Owned;

pub(super) async fn run(
    parts: &Parts,
    about: &About,
    write: &Write,
    audit_id: String,
) -> (WriteResult, Option<Blob>) {
    let why = || format!("take over the fields of {}: it has changed meanwhile", write.key);
    let changed = || (WriteResult::Failed(why()), None);
    let raw = match parts.cluster.get(&write.key, &write.version).await {
        Ok(Some(raw)) => raw,
        Ok(None) => return (WriteResult::Gone(why()), None),
        Err(error) => return (failure(&error), None),
    };
    let live = match normalize(&raw, &parts.ledger) {
        Ok(live) => live,
        Err(error) => return (WriteResult::Refused(error.to_string()), None),
    };
    if !is_as_applied(parts, write, &live).await {
        return changed();
    }
    let ignored = match ignored(parts, write, &live).await {
        Ok(ignored) => ignored,
        Err(result) => return (result, None),
    };
    let strict = ignored.as_ref().map(|ignored| (&live.object, ignored));
    let Some(transfer) = cluster::transfer(&raw, &live.fields, strict) else {
        // Whoever owned them gave them up: there is nothing left to take.
        return applied(parts, raw, false, None, None);
    };
    let surplus = transfer.surplus;
    let request = TransferRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        transfer,
        resource_version: live.resource_version,
        audit_id,
    };
    let Some(connection) = about.further(parts) else {
        return (WriteResult::NotSent(OUT_OF_TIME.into()), None);
    };
    match connection.take_over(&request).await {
        Ok(raw) => with_surplus(applied(parts, raw, false, None, None), surplus),
        Err(error) => (failure(&error), None),
    }
}

/// What of the object stays with people, where the rest of what they added goes.
async fn ignored(
    parts: &Parts,
    write: &Write,
    live: &Normalised,
) -> Result<Option<Masked>, WriteResult> {
    if !write.strict {
        return Ok(None);
    }
    let mask = mask(parts, write);
    let masked = masking::masked(&parts.tools.sandbox, &mask, &live.fields, [&live.object]).await;
    masked.map(|[masked]| Some(masked)).map_err(|problem| WriteResult::Failed(problem.text))
}

fn mask(parts: &Parts, write: &Write) -> Mask {
    let view = parts.read();
    let owned = view.world.owned.get(&write.key);
    let app = owned.and_then(|owned| view.world.apps.get(&owned.app));
    app.map(|app| view.world.ignored(app, &write.key)).unwrap_or_default()
}

/// Whether greffier's fields have the values that it applied, apart from what is ignored.
async fn is_as_applied(parts: &Parts, write: &Write, live: &Normalised) -> bool {
    let mask = mask(parts, write);
    let applied = {
        let view = parts.read();
        let uid = write.precondition.as_ref().map(|(uid, _)| uid);
        let owned = view.world.owned.get(&write.key);
        let same = |owned: &&Owned| owned.uid == live.uid && Some(&live.uid) == uid;
        let Some(owned) = owned.filter(same) else { return false };
        if live.owned == Some(owned.baseline) {
            return true;
        }
        owned.object
    };
    if mask.is_empty() {
        return false;
    }
    let applied = parts.ledger.blob(applied).ok();
    let Some(applied) = applied.and_then(|bytes| Stored::from_stored(&bytes).ok()) else {
        return false;
    };
    let live = live.stored();
    let (sandbox, sides) = (&parts.tools.sandbox, [&applied.object, &live.object]);
    let masked = masking::masked(sandbox, &mask, &live.fields, sides).await;
    masked.is_ok_and(|[was, now]| {
        let found = cluster::compare_masked((&applied, &was), (&live, &now), &mask);
        matches!(found.kind, DriftKind::None | DriftKind::Addition)
    })
}

/// Notes that fields were taken over that the next apply removes.
pub(in crate::reconcile) fn with_surplus(
    (mut result, blob): (WriteResult, Option<Blob>),
    surplus: bool,
) -> (WriteResult, Option<Blob>) {
    if let WriteResult::Applied(applied) = &mut result {
        applied.notes.surplus = surplus;
    }
    (result, blob)
}

/// Whether nothing is left to be taken over, so that a takeover whose fate is not known was done.
pub(in crate::reconcile) fn is_done(live: &Normalised, strict: bool) -> bool {
    live.owned.is_some()
        && cluster::co_owners(&live.fields).is_empty()
        && (!strict || cluster::by_hand(live).is_empty())
}
