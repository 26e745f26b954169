//! What the ledger has of an object: a manifest with what was held laid over it, or what was seen.
//!
//! What was wanted of an object at an instant is what was rendered then *and* the fields that
//! people held: the daemon lays them over the manifest before it is sent, and so does this. Laid
//! together they are a manifest that no render had; it is recorded with what brings it back.

use std::sync::Arc;

use serde_json::Value;

use super::super::book::Book;
use super::NotRestorable;
use crate::cluster::{Stored, lay_held};
use crate::ledger::Blob;
use crate::ledger::event::{DesiredObject, HeldFields};
use crate::model::{BlobAddr, Digest, ObjectKey, Seq, canonical_json};

/// A recorded object.
pub(super) struct Doc {
    pub(super) value: Value,
    /// What the blob at `addr` has.
    pub(super) bytes: Arc<[u8]>,
    pub(super) addr: BlobAddr,
    pub(super) of_manifest: bool,
    /// What the ledger does not have yet: the blob, and the digest of the manifest.
    pub(super) laid: Option<(Blob, Digest)>,
}

impl Doc {
    /// The object that was wanted, as it was with what was held of it.
    pub(super) fn object(&self, wanted: &DesiredObject) -> DesiredObject {
        let Some((blob, digest)) = &self.laid else { return wanted.clone() };
        let replicas = self.value.pointer("/spec/replicas").and_then(Value::as_u64);
        DesiredObject {
            manifest: blob.addr,
            digest: *digest,
            replicas: replicas.and_then(|replicas| u32::try_from(replicas).ok()),
            ..wanted.clone()
        }
    }

    /// What has to be recorded with what names it.
    pub(super) fn into_blobs(self) -> Vec<Blob> {
        self.laid.into_iter().map(|(blob, _)| blob).collect()
    }
}

/// A manifest with what people held laid over it.
pub(super) fn manifest(
    book: &dyn Book,
    key: &ObjectKey,
    addr: BlobAddr,
    held: &[(Seq, HeldFields)],
) -> Result<Doc, NotRestorable> {
    let lost = |why: String| NotRestorable::Blob { key: key.clone().into(), why };
    let bytes = book.blob(addr).map_err(|e| lost(format!("its manifest {addr}: {e}")))?;
    let unread = |_| lost(format!("its manifest {addr} cannot be read"));
    let rendered: Value = serde_json::from_slice(&bytes).map_err(unread)?;
    let mut value = rendered.clone();
    for (seq, held) in held {
        let of = format!("hold #{seq}, which was part of it");
        let saved = book.blob(held.saved);
        let saved = saved.map_err(|e| lost(format!("{of}, names {}: {e}", held.saved)))?;
        lay_held(&mut value, held, &saved).map_err(|why| {
            let why = format!("{of}, cannot be laid over its manifest: {why}");
            NotRestorable::Held { key: key.clone().into(), why }
        })?;
    }
    if value == rendered {
        return Ok(Doc { value, bytes, addr, of_manifest: true, laid: None });
    }
    let bytes = canonical_json(&value);
    // Security: the values of a Secret are recorded under the ledger's key only.
    let (blob, digest) = match key.is_secret() {
        true => {
            book.sealed(&bytes)?.ok_or_else(|| lost("the ledger's key is not at hand".into()))?
        }
        false => (Blob::plain(bytes.clone(), Some(addr)), Digest::of(&bytes)),
    };
    let (addr, bytes) = (blob.addr, bytes.into());
    Ok(Doc { value, bytes, addr, of_manifest: true, laid: Some((blob, digest)) })
}

/// An object as it was seen.
pub(super) fn observed(
    book: &dyn Book,
    key: &ObjectKey,
    addr: BlobAddr,
) -> Result<Doc, NotRestorable> {
    let blob = |why: String| NotRestorable::Blob { key: key.clone().into(), why };
    let bytes = book.blob(addr).map_err(|e| blob(format!("what was seen, {addr}: {e}")))?;
    let stored = Stored::from_stored(&bytes);
    let value = stored.map_err(|_| blob(format!("what was seen, {addr}, cannot be read")))?.object;
    Ok(Doc { value, bytes, addr, of_manifest: false, laid: None })
}
