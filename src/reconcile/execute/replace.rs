//! Replacing an object as a whole, or creating it.
//!
//! The request is bound to the object that the decision was about: it is read once more, and what
//! changed since is not written over.

use serde_json::Value;

use super::{About, OUT_OF_TIME, applied, failure, manifest, with_live};
use crate::cluster::{ReplaceRequest, normalize};
use crate::ledger::Blob;
use crate::ledger::event::{Write, WriteResult};
use crate::reconcile::driver::Parts;

pub(super) async fn run(
    parts: &Parts,
    about: &About,
    write: &Write,
    audit_id: String,
) -> (WriteResult, Option<Blob>) {
    let manifest = match manifest(parts, &about.app, write) {
        Ok(manifest) => manifest,
        Err(why) => return (WriteResult::Refused(why), None),
    };
    let live = match parts.cluster.get(&write.key, &write.version).await {
        Ok(live) => live,
        Err(error) => return (failure(&error), None),
    };
    if !is_as_decided(parts, write, live.as_ref()) {
        let why = format!("replace {}: the object has changed meanwhile", write.key);
        let result = if live.is_none() { WriteResult::Gone } else { WriteResult::Failed };
        return (result(why), None);
    }
    let manifest = match live.as_ref().filter(|_| !write.respect.is_empty()) {
        Some(live) => match with_live(parts, &about.app, write, &manifest, live).await {
            Ok(manifest) => manifest,
            Err(result) => return (result, None),
        },
        None => manifest,
    };
    let text = |object: &Value| {
        object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned)
    };
    let request = ReplaceRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        manifest,
        resource_version: live.as_ref().and_then(text),
        validate: write.validate,
        audit_id,
    };
    let Some(connection) = about.further(parts) else {
        return (WriteResult::NotSent(OUT_OF_TIME.into()), None);
    };
    match connection.replace(&request, false).await {
        Ok(raw) => {
            let changed = text(&raw) != request.resource_version;
            let base = parts.read().world.live.get(&write.key).map(|live| live.object);
            applied(parts, raw, changed, base, Some(&request.manifest))
        }
        Err(error) => (failure(&error), None),
    }
}

/// Whether the object is the one that the world knows, apart from its status.
fn is_as_decided(parts: &Parts, write: &Write, live: Option<&Value>) -> bool {
    let view = parts.read();
    let (known, live) = match (view.world.live.get(&write.key), live) {
        (None, None) => return true,
        (Some(known), Some(live)) => (known, live),
        _ => return false,
    };
    let Ok(live) = normalize(live, &parts.ledger) else { return false };
    // In another version the same object looks otherwise.
    known.uid == live.uid && (known.version != live.version || known.digest == live.digest)
}
