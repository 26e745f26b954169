//! Turns an object as the API server returns it into the form that the ledger records.
//!
//! The normalised object is the object without what changes on its own: `status` (kept beside
//! it), resource version, generation, uid, field ownership (kept beside it), kubectl's copy of the last
//! manifest and leader-election annotations. Defaults stay, because a baseline is measured
//! against what the API server made of a manifest.
//!
//! Security: values of a Secret, and its annotations but for a few, are replaced by keyed digests
//! here, and this is the only way of an object from the API server to the ledger.
//!
//! This module does not compare (see [`compare`](super::compare)) and does no I/O.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::autoscaler::scales;
use super::gitops::managed_by;
use super::project::project_beside;
use super::pulled::pulled;
use crate::health;
use crate::ledger::event::{Health, ManagerStamp, PulledImage};
use crate::model::{
    Digest, GroupKind, ObjectKey, Protection, Timestamp, canonical_json, put_canonical_string,
};
use crate::plan::secret::is_annotation_recorded;

pub use crate::model::FIELD_MANAGER;

/// The annotation that names the application an object belongs to.
pub const OWNER_ANNOTATION: &str = "greffier.dev/application";

/// The most field managers that are kept of one object. The API server folds all but ten
/// `Update` entries into one, so that only a hostile object comes near.
const MANAGERS_MAX: usize = 256;

/// The largest `status` that is kept. Those of nodes are the largest that are usual: they list the
/// images that a node has.
const STATUS_BYTES_MAX: usize = 32 * 1024;

/// Fields of `metadata` that change without the object changing, or that are kept elsewhere.
const METADATA_NOISE: [&str; 5] =
    ["managedFields", "resourceVersion", "generation", "selfLink", "uid"];

/// Annotations that repeat the whole manifest or change every few seconds.
const ANNOTATION_NOISE: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "control-plane.alpha.kubernetes.io/leader",
];

/// Digests values that must not be recorded, under the ledger's key.
pub trait SecretDigest: Send + Sync {
    /// Returns a keyed digest of `bytes`: equal bytes give equal digests, and without the key
    /// nothing about them can be guessed.
    fn digest(&self, bytes: &[u8]) -> Digest;
}

/// What is wrong with an answer or a stored object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server sent something that is not an object.
    #[error("an object of the API server has no `{field}`")]
    NotAnObject {
        /// The field that every object has.
        field: &'static str,
    },
    /// A stored object cannot be read back.
    #[error("a stored object cannot be read")]
    Stored(#[source] serde_json::Error),
}

/// One managedFields entry: who, and which fields.
#[derive(Debug, Clone, PartialEq)]
pub struct ManagerFields {
    /// Who, how and when, with the digest of the field set.
    pub stamp: ManagerStamp,
    /// The version whose field names the set uses, e.g. `apps/v1`.
    pub api_version: String,
    /// The field set.
    pub fields_v1: Value,
}

impl ManagerFields {
    /// Whether this is what greffier applied.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.stamp.is_own()
    }
}

/// Whether an entry of managedFields is that of what greffier applied. A client that calls itself
/// greffier and does not apply has an entry of its own.
#[must_use]
pub fn is_own(manager: &str, operation: &str, subresource: &str) -> bool {
    manager == FIELD_MANAGER && operation == "Apply" && subresource.is_empty()
}

/// An object as the ledger records it.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalised {
    /// Its key.
    pub key: ObjectKey,
    /// The version it was read in, without the group.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its generation; 0 where it has none.
    pub generation: i64,
    /// The object without what changes on its own.
    pub object: Value,
    /// Its field managers, in the order of the object.
    pub fields: Vec<ManagerFields>,
    /// The digest of `object`.
    pub digest: Digest,
    /// The digest of the fields that greffier owns; `None` when it owns none.
    pub owned: Option<Digest>,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// The controlling owner, if it has one: kind, name, uid.
    pub controller: Option<(GroupKind, String, String)>,
    /// Whether its deletion was requested.
    pub deleting: bool,
    /// The application whose ownership annotation it bears; empty when none.
    pub claimed_by: String,
    /// What its annotations say about its removal.
    pub protection: Protection,
    /// The other GitOps manager that it shows, in words; empty when none.
    pub managed_by: String,
    /// The object whose replicas belong to it, where it is an autoscaler.
    pub scales: Option<ObjectKey>,
    /// The images that its containers run, where it is a pod.
    pub images: Vec<PulledImage>,
    /// Its `status`; null where it has none.
    status: Value,
    /// `object` as canonical JSON: what was digested is what is stored, written once.
    object_json: Vec<u8>,
    /// The field set of each of `fields`, likewise.
    fields_json: Vec<Vec<u8>>,
}

impl Normalised {
    /// The same with another object, for comparisons: its digests stay those of the whole one.
    #[must_use]
    pub(super) fn comparing(&self, object: Value) -> Self {
        Self { object_json: canonical_json(&object), object, ..self.clone() }
    }

    /// The blob that the ledger keeps: canonical JSON of the object and its field managers.
    #[must_use]
    pub fn stored_bytes(&self) -> Vec<u8> {
        let sets: usize = self.fields_json.iter().map(|json| json.len() + 160).sum();
        let mut bytes = Vec::with_capacity(self.object_json.len() + sets + 32);
        bytes.extend_from_slice(b"{\"fields\":[");
        for (index, (entry, json)) in self.fields.iter().zip(&self.fields_json).enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            put_fields(&mut bytes, entry, json);
        }
        bytes.extend_from_slice(b"],\"object\":");
        bytes.extend_from_slice(&self.object_json);
        bytes.push(b'}');
        bytes
    }

    /// The blob of its `status`: canonical JSON. `None` where there is none, or more than
    /// [`STATUS_BYTES_MAX`].
    #[must_use]
    pub fn status_bytes(&self) -> Option<Vec<u8>> {
        let told = self.status.as_object().is_some_and(|status| !status.is_empty());
        let bytes = told.then(|| canonical_json(&self.status))?;
        (bytes.len() <= STATUS_BYTES_MAX).then_some(bytes)
    }

    /// What [`stored_bytes`](Self::stored_bytes) holds, without the detour.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored { object: self.object.clone(), fields: self.fields.clone() }
    }

    /// The field managers without their field sets, as events list them.
    #[must_use]
    pub fn managers(&self) -> Vec<ManagerStamp> {
        self.fields.iter().map(|entry| entry.stamp.clone()).collect()
    }

    /// The version in which greffier's own fields are named, when it is not the version that the
    /// object was read in: its projection would then miss fields that have other names.
    #[must_use]
    pub fn owned_in_other_version(&self) -> Option<&str> {
        let own = self.fields.iter().find(|entry| entry.is_own())?;
        let version = own.api_version.rsplit('/').next().unwrap_or_default();
        (version != self.version && !version.is_empty()).then_some(version)
    }
}

/// A normalised object read back from its blob.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The object without what changes on its own.
    pub object: Value,
    /// Its field managers.
    pub fields: Vec<ManagerFields>,
}

impl Stored {
    /// Reads what [`Normalised::stored_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a blob.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, Error> {
        let file: StoredFile = serde_json::from_slice(bytes).map_err(Error::Stored)?;
        let fields = file.fields.into_iter().map(ManagerFields::from).collect();
        Ok(Self { object: file.object, fields })
    }

    /// The entry of what greffier applied.
    #[must_use]
    pub fn own(&self) -> Option<&ManagerFields> {
        self.fields.iter().find(|entry| entry.is_own())
    }

    /// Whether this is a core Secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        is_secret(&self.object)
    }
}

#[derive(Deserialize)]
struct StoredFile {
    object: Value,
    fields: Vec<StoredFields>,
}

/// The JSON form of a [`ManagerFields`]. The digest is derived, not stored. Times are whole
/// seconds, as the API server has them: larger numbers do not survive canonical JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredFields {
    manager: String,
    operation: String,
    subresource: String,
    time: Option<i64>,
    api_version: String,
    fields_v1: Value,
}

/// Writes an entry as [`StoredFields`] reads it; names are in canonical order.
fn put_fields(bytes: &mut Vec<u8>, entry: &ManagerFields, fields_json: &[u8]) {
    let ManagerFields { stamp, api_version, .. } = entry;
    bytes.extend_from_slice(b"{\"apiVersion\":");
    put_canonical_string(bytes, api_version);
    bytes.extend_from_slice(b",\"fieldsV1\":");
    bytes.extend_from_slice(fields_json);
    for (name, text) in [
        (&b",\"manager\":"[..], &stamp.manager),
        (b",\"operation\":", &stamp.operation),
        (b",\"subresource\":", &stamp.subresource),
    ] {
        bytes.extend_from_slice(name);
        put_canonical_string(bytes, text);
    }
    let time = stamp.time.map(|time| time.0.div_euclid(1_000_000_000).to_string());
    bytes.extend_from_slice(b",\"time\":");
    bytes.extend_from_slice(time.as_deref().unwrap_or("null").as_bytes());
    bytes.push(b'}');
}

impl From<StoredFields> for ManagerFields {
    fn from(stored: StoredFields) -> Self {
        let stamp = ManagerStamp {
            manager: stored.manager,
            operation: stored.operation,
            subresource: stored.subresource,
            time: stored.time.map(Timestamp::from_seconds),
            fields: Digest::of(&canonical_json(&stored.fields_v1)),
        };
        Self { stamp, api_version: stored.api_version, fields_v1: stored.fields_v1 }
    }
}

/// Normalises an object of the API server that is needed further.
///
/// # Errors
/// See [`normalize_owned`].
pub fn normalize(raw: &Value, sealer: &dyn SecretDigest) -> Result<Normalised, Error> {
    normalize_owned(raw.clone(), sealer)
}

/// Normalises an object of the API server; what is kept of it is not copied.
///
/// # Errors
/// When `raw` has no `apiVersion`, `kind` or name. Whatever else is missing or malformed is
/// taken as absent.
pub fn normalize_owned(mut raw: Value, sealer: &dyn SecretDigest) -> Result<Normalised, Error> {
    let text = |pointer: &str| raw.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let required = |pointer: &str, field| match text(pointer) {
        "" => Err(Error::NotAnObject { field }),
        found => Ok(found),
    };
    let api_version = required("/apiVersion", "apiVersion")?;
    let kind = required("/kind", "kind")?;
    let name = required("/metadata/name", "metadata.name")?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let key = ObjectKey::new(group, kind, text("/metadata/namespace"), name);
    let version = version.to_owned();
    let uid = text("/metadata/uid").to_owned();
    let resource_version = text("/metadata/resourceVersion").to_owned();
    let generation = raw.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    let deletion = raw.pointer("/metadata/deletionTimestamp");
    let deleting = deletion.is_some_and(|time| !time.is_null());
    let controller = controller(&raw);
    let managed_by = managed_by(&raw, &key);
    let scales = scales(&raw, &key);
    let images = pulled(&raw, &key);
    let (health, health_message) = health::assess(&raw);
    let (fields, fields_json) = managers(&mut raw);
    let status = raw.get_mut("status").map(Value::take).unwrap_or_default();
    let object = strip(raw, &key, sealer);
    let object_json = canonical_json(&object);
    Ok(Normalised {
        version,
        uid,
        resource_version,
        generation,
        digest: Digest::of(&object_json),
        owned: owned(&object, &fields),
        health,
        health_message,
        controller,
        deleting,
        claimed_by: object
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(OWNER_ANNOTATION)?.as_str())
            .unwrap_or_default()
            .to_owned(),
        protection: Protection::of(object.pointer("/metadata/annotations")),
        managed_by,
        scales,
        images,
        key,
        object,
        fields,
        status,
        object_json,
        fields_json,
    })
}

/// The digest of what greffier's own entry projects.
fn owned(object: &Value, fields: &[ManagerFields]) -> Option<Digest> {
    let own = fields.iter().find(|entry| entry.is_own())?;
    let others: Vec<_> =
        fields.iter().filter(|entry| !entry.is_own()).map(|entry| &entry.fields_v1).collect();
    Some(Digest::of(&canonical_json(&project_beside(object, &own.fields_v1, &others))))
}

/// Drops what is not kept.
fn strip(mut raw: Value, key: &ObjectKey, sealer: &dyn SecretDigest) -> Value {
    let Some(object) = raw.as_object_mut() else { return raw };
    object.retain(|field, _| field != "status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        strip_metadata(metadata);
    }
    if key.is_secret() {
        for field in ["data", "stringData"] {
            if let Some(values) = object.get_mut(field) {
                *values = seal(values, field, key, sealer);
            }
        }
        if let Some(annotations) = object.get_mut("metadata").and_then(|m| m.get_mut("annotations"))
        {
            seal_annotations(annotations, key, sealer);
        }
    }
    raw
}

fn strip_metadata(metadata: &mut Map<String, Value>) {
    metadata.retain(|field, _| !METADATA_NOISE.contains(&field.as_str()));
    let Some(annotations) = metadata.get_mut("annotations") else { return };
    let is_empty = match annotations.as_object_mut() {
        Some(annotations) => {
            annotations.retain(|name, _| !ANNOTATION_NOISE.contains(&name.as_str()));
            annotations.is_empty()
        }
        None => true,
    };
    if is_empty {
        metadata.retain(|field, _| field != "annotations");
    }
}

/// Replaces the annotations of a Secret by digests, but for those that are known to tell nothing
/// of its values: deployers keep whole copies of what they applied in annotations of their own.
fn seal_annotations(annotations: &mut Value, key: &ObjectKey, sealer: &dyn SecretDigest) {
    for (name, value) in annotations.as_object_mut().into_iter().flatten() {
        if !is_annotation_recorded(name) {
            *value = sealed("annotations", name, value, key, sealer);
        }
    }
}

/// Replaces every value by its digest.
fn seal(values: &Value, field: &str, key: &ObjectKey, sealer: &dyn SecretDigest) -> Value {
    match values {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), sealed(field, name, value, key, sealer)))
            .collect(),
        Value::Null => Value::Null,
        // Not what a Secret has here, and all the more to be hidden.
        other => sealed(field, "", other, key, sealer),
    }
}

/// The digest of a value. The place is digested with it, so that equal passwords in two Secrets do
/// not show as equal.
fn sealed(
    field: &str,
    name: &str,
    value: &Value,
    key: &ObjectKey,
    sealer: &dyn SecretDigest,
) -> Value {
    // `stringData` is the same value before encoding; it never comes back from the server.
    let bytes =
        value.as_str().map_or_else(|| canonical_json(value), |text| text.as_bytes().to_vec());
    let place = format!("{}/{}\0{field}\0{name}\0", key.namespace(), key.name());
    let digest = sealer.digest(&[place.as_bytes(), &bytes].concat());
    Value::String(format!("hmac:{digest}"))
}

/// Takes the managers out of the object; with each field set as canonical JSON.
fn managers(raw: &mut Value) -> (Vec<ManagerFields>, Vec<Vec<u8>>) {
    let entries = raw.pointer_mut("/metadata/managedFields").map(Value::take);
    let Some(Value::Array(entries)) = entries else { return (Vec::new(), Vec::new()) };
    entries.into_iter().take(MANAGERS_MAX).map(manager).unzip()
}

fn manager(mut entry: Value) -> (ManagerFields, Vec<u8>) {
    let fields_v1 = entry.get_mut("fieldsV1").map_or_else(|| json!({}), Value::take);
    let json = canonical_json(&fields_v1);
    let text =
        |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let stamp = ManagerStamp {
        manager: text("manager"),
        operation: text("operation"),
        subresource: text("subresource"),
        time: Timestamp::parse_rfc3339(&text("time")),
        fields: Digest::of(&json),
    };
    (ManagerFields { stamp, api_version: text("apiVersion"), fields_v1 }, json)
}

fn controller(raw: &Value) -> Option<(GroupKind, String, String)> {
    let owners = raw.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    Some((GroupKind::new(group, text("kind")), text("name").to_owned(), text("uid").to_owned()))
}

/// Whether a normalised object is a core Secret.
pub(super) fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str).is_some_and(|v| !v.contains('/'))
}

#[cfg(test)]
pub(super) mod tests;
