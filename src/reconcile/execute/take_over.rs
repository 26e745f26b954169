//! Taking fields over from the managers that wrote an object before greffier.
//!
//! Nothing but who owns which fields is changed, and only of the object that was looked at: values
//! that somebody changed meanwhile must not become what drift is measured against.

use super::{applied, failure};
use crate::cluster::{self, Normalised, TransferRequest, normalize};
use crate::ledger::Blob;
use crate::ledger::event::{Write, WriteResult};
use crate::reconcile::driver::Parts;

pub(super) async fn run(
    parts: &Parts,
    write: &Write,
    audit_id: String,
) -> (WriteResult, Option<Blob>) {
    let changed = || {
        let why = format!("take over the fields of {}: it has changed meanwhile", write.key);
        (WriteResult::Failed(why), None)
    };
    let raw = match parts.cluster.get(&write.key, &write.version).await {
        Ok(Some(raw)) => raw,
        Ok(None) => return changed(),
        Err(error) => return (failure(&error), None),
    };
    let live = match normalize(&raw, &parts.ledger) {
        Ok(live) => live,
        Err(error) => return (WriteResult::Refused(error.to_string()), None),
    };
    if !is_as_applied(parts, write, &live) {
        return changed();
    }
    let Some(transfer) = cluster::transfer(&raw, &live.fields) else {
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
    match parts.cluster.take_over(&request).await {
        Ok(raw) => with_surplus(applied(parts, raw, false, None, None), surplus),
        Err(error) => (failure(&error), None),
    }
}

/// Whether greffier's fields have the values that it applied.
fn is_as_applied(parts: &Parts, write: &Write, live: &Normalised) -> bool {
    let view = parts.read();
    let uid = write.precondition.as_ref().map(|(uid, _)| uid);
    view.world.owned.get(&write.key).is_some_and(|owned| {
        owned.uid == live.uid && Some(&live.uid) == uid && live.owned == Some(owned.baseline)
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
pub(in crate::reconcile) fn is_done(live: &Normalised) -> bool {
    live.owned.is_some() && cluster::co_owners(&live.fields).is_empty()
}
