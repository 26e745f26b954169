//! Turns an object as the API server returns it into the form that the ledger records.
//!
//! The normalised object is the object without what changes on its own: `status`, resource
//! version, generation, uid, field ownership (kept beside it), kubectl's copy of the last
//! manifest and leader-election annotations. Defaults stay, because a baseline is measured
//! against what the API server made of a manifest.
//!
//! Security: values of a Secret are replaced by keyed digests here, and this is the only way from
//! an answer of the API server to the ledger.
//!
//! This module does not compare (see [`compare`](super::compare)) and does no I/O.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::project::project_beside;
use crate::health;
use crate::ledger::event::{Health, ManagerStamp};
use crate::model::{Digest, GroupKind, ObjectKey, Protection, Timestamp, canonical_json};

/// The field manager of every write of greffier.
pub const FIELD_MANAGER: &str = "greffier";

/// The annotation that names the application an object belongs to.
pub const OWNER_ANNOTATION: &str = "greffier.dev/application";

/// The most field managers that are kept of one object. The API server folds all but ten
/// `Update` entries into one, so that only a hostile object comes near.
const MANAGERS_MAX: usize = 256;

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
        self.stamp.manager == FIELD_MANAGER
            && self.stamp.operation == "Apply"
            && self.stamp.subresource.is_empty()
    }
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
}

impl Normalised {
    /// The blob that the ledger keeps: canonical JSON of the object and its field managers.
    #[must_use]
    pub fn stored_bytes(&self) -> Vec<u8> {
        canonical_json(&json!({
            "object": self.object,
            "fields": self.fields.iter().map(StoredFields::from).collect::<Vec<_>>(),
        }))
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

/// The JSON form of a [`ManagerFields`]. The digest is derived, not stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredFields {
    manager: String,
    operation: String,
    subresource: String,
    time: Option<i64>,
    api_version: String,
    fields_v1: Value,
}

impl From<&ManagerFields> for StoredFields {
    fn from(entry: &ManagerFields) -> Self {
        Self {
            manager: entry.stamp.manager.clone(),
            operation: entry.stamp.operation.clone(),
            subresource: entry.stamp.subresource.clone(),
            // Whole seconds, as the API server has them: larger numbers do not survive
            // canonical JSON.
            time: entry.stamp.time.map(|time| time.0.div_euclid(1_000_000_000)),
            api_version: entry.api_version.clone(),
            fields_v1: entry.fields_v1.clone(),
        }
    }
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

/// Normalises an object of the API server.
///
/// # Errors
/// When `raw` has no `apiVersion`, `kind` or name. Whatever else is missing or malformed is
/// taken as absent.
pub fn normalize(raw: &Value, sealer: &dyn SecretDigest) -> Result<Normalised, Error> {
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
    let object = strip(raw, &key, sealer);
    let fields = managers(raw);
    let (health, health_message) = health::assess(raw);
    Ok(Normalised {
        version: version.to_owned(),
        uid: text("/metadata/uid").to_owned(),
        resource_version: text("/metadata/resourceVersion").to_owned(),
        generation: raw.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
        digest: Digest::of(&canonical_json(&object)),
        owned: owned(&object, &fields),
        health,
        health_message,
        controller: controller(raw),
        deleting: raw.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()),
        claimed_by: object
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(OWNER_ANNOTATION)?.as_str())
            .unwrap_or_default()
            .to_owned(),
        protection: Protection::of(object.pointer("/metadata/annotations")),
        key,
        object,
        fields,
    })
}

/// The digest of what greffier's own entry projects.
fn owned(object: &Value, fields: &[ManagerFields]) -> Option<Digest> {
    let own = fields.iter().find(|entry| entry.is_own())?;
    let others: Vec<_> =
        fields.iter().filter(|entry| !entry.is_own()).map(|entry| &entry.fields_v1).collect();
    Some(Digest::of(&canonical_json(&project_beside(object, &own.fields_v1, &others))))
}

/// Copies what is kept. Nothing that is dropped is ever cloned: it is most of the object.
fn strip(raw: &Value, key: &ObjectKey, sealer: &dyn SecretDigest) -> Value {
    let mut object = Map::new();
    for (field, value) in raw.as_object().into_iter().flatten() {
        let kept = match field.as_str() {
            "status" => continue,
            "metadata" => strip_metadata(value),
            "data" | "stringData" if key.is_secret() => seal(value, field, key, sealer),
            _ => value.clone(),
        };
        object.insert(field.clone(), kept);
    }
    Value::Object(object)
}

fn strip_metadata(metadata: &Value) -> Value {
    let mut kept = Map::new();
    for (field, value) in metadata.as_object().into_iter().flatten() {
        if METADATA_NOISE.contains(&field.as_str()) {
            continue;
        }
        if field != "annotations" {
            kept.insert(field.clone(), value.clone());
            continue;
        }
        let annotations: Map<_, _> = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !ANNOTATION_NOISE.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !annotations.is_empty() {
            kept.insert(field.clone(), Value::Object(annotations));
        }
    }
    Value::Object(kept)
}

/// Replaces every value by its digest. The place is digested with it, so that equal passwords in
/// two Secrets do not show as equal.
fn seal(values: &Value, field: &str, key: &ObjectKey, sealer: &dyn SecretDigest) -> Value {
    let digest = |name: &str, value: &Value| {
        // `stringData` is the same value before encoding; it never comes back from the server.
        let bytes =
            value.as_str().map_or_else(|| canonical_json(value), |text| text.as_bytes().to_vec());
        let place = format!("{}/{}\0{field}\0{name}\0", key.namespace, key.name);
        let digest = sealer.digest(&[place.as_bytes(), &bytes].concat());
        Value::String(format!("hmac:{digest}"))
    };
    match values {
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), digest(name, value))).collect()
        }
        Value::Null => Value::Null,
        // Not what a Secret has here, and all the more to be hidden.
        other => digest("", other),
    }
}

fn managers(raw: &Value) -> Vec<ManagerFields> {
    let entries = raw.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, field: &str| {
        entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    entries
        .into_iter()
        .flatten()
        .take(MANAGERS_MAX)
        .map(|entry| {
            let fields_v1 = entry.get("fieldsV1").cloned().unwrap_or_else(|| json!({}));
            let stamp = ManagerStamp {
                manager: text(entry, "manager"),
                operation: text(entry, "operation"),
                subresource: text(entry, "subresource"),
                time: Timestamp::parse_rfc3339(&text(entry, "time")),
                fields: Digest::of(&canonical_json(&fields_v1)),
            };
            ManagerFields { stamp, api_version: text(entry, "apiVersion"), fields_v1 }
        })
        .collect()
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
pub(super) mod tests {
    use super::*;

    /// A keyed digest for tests: enough to show that the key takes part.
    pub(in crate::cluster) struct TestKey(pub(in crate::cluster) &'static str);

    impl SecretDigest for TestKey {
        fn digest(&self, bytes: &[u8]) -> Digest {
            Digest::of(&[self.0.as_bytes(), bytes].concat())
        }
    }

    fn normalized(raw: &Value) -> Normalised {
        normalize(raw, &TestKey("key")).unwrap()
    }

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "prod", "uid": "u-1", "resourceVersion": "10",
                "generation": 2, "labels": {"app": "web"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    OWNER_ANNOTATION: "shop",
                },
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u-8"},
                    {"apiVersion": "x.io/v1", "kind": "Shop", "name": "s", "uid": "u-9", "controller": true},
                ],
                "managedFields": [
                    {"manager": "greffier", "operation": "Apply", "apiVersion": "apps/v1",
                     "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1",
                     "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}},
                    {"manager": "kube-controller-manager", "operation": "Update",
                     "apiVersion": "apps/v1", "subresource": "status",
                     "fieldsV1": {"f:status": {"f:replicas": {}}}},
                ],
            },
            "spec": {"replicas": 1},
            "status": {"replicas": 1},
        })
    }

    #[test]
    fn what_changes_on_its_own_is_dropped() {
        let normalised = normalized(&deployment());
        assert_eq!(
            normalised.object,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {
                    "name": "web", "namespace": "prod", "labels": {"app": "web"},
                    "annotations": {OWNER_ANNOTATION: "shop"},
                    "ownerReferences": deployment()["metadata"]["ownerReferences"],
                },
                "spec": {"replicas": 1},
            })
        );
        assert_eq!(normalised.key.to_string(), "Deployment.apps/prod/web");
        assert_eq!((normalised.version.as_str(), normalised.uid.as_str()), ("v1", "u-1"));
        assert_eq!((normalised.resource_version.as_str(), normalised.generation), ("10", 2));
        assert_eq!(normalised.claimed_by, "shop");
        assert_eq!(
            normalised.controller,
            Some((GroupKind::new("x.io", "Shop"), "s".into(), "u-9".into()))
        );
        assert!(!normalised.deleting);
        assert_eq!(normalised.managers()[1].subresource, "status");
        assert_eq!(normalised.fields[0].stamp.time, Some(Timestamp(1_795_428_000_000_000_000)));
    }

    #[test]
    fn only_real_changes_change_the_digests() {
        let before = normalized(&deployment());
        let change = |pointer: &str, value: Value| {
            let mut raw = deployment();
            *raw.pointer_mut(pointer).unwrap() = value;
            normalized(&raw)
        };
        for (pointer, value) in [
            ("/status/replicas", json!(7)),
            ("/metadata/resourceVersion", json!("11")),
            ("/metadata/generation", json!(3)),
            ("/metadata/managedFields/0/time", json!("2026-11-23T11:00:00Z")),
            ("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", json!("x")),
        ] {
            let after = change(pointer, value);
            assert_eq!((after.digest, after.owned), (before.digest, before.owned), "{pointer}");
        }
        let foreign = change("/spec/replicas", json!(7));
        assert_ne!(foreign.digest, before.digest);
        assert_eq!(foreign.owned, before.owned);
        let owned = change("/metadata/labels/app", json!("x"));
        assert_ne!(owned.owned, before.owned);
    }

    #[test]
    fn an_object_without_an_own_entry_has_no_owned_digest() {
        for (field, value) in
            [("manager", "kubectl"), ("operation", "Update"), ("subresource", "scale")]
        {
            let mut raw = deployment();
            raw["metadata"]["managedFields"][0][field] = json!(value);
            assert_eq!(normalized(&raw).owned, None, "{field}");
        }
    }

    #[test]
    fn no_value_of_a_secret_remains() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "a",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary-1"}},
            "data": {"password": "canary-2", "empty": ""}, "stringData": {"token": "canary-3"},
        });
        let normalised = normalized(&secret);
        let stored = String::from_utf8(normalised.stored_bytes()).unwrap();
        assert!(!stored.contains("canary"), "{stored}");
        assert!(stored.contains("\"password\":\"hmac:"), "{stored}");
        assert!(!format!("{normalised:?}").contains("canary"));

        let other_key = normalize(&secret, &TestKey("other")).unwrap();
        assert_ne!(other_key.digest, normalised.digest, "the digests are keyed");
        let mut elsewhere = secret.clone();
        elsewhere["metadata"]["namespace"] = json!("b");
        assert_ne!(
            normalized(&elsewhere).object["data"]["password"],
            normalised.object["data"]["password"],
            "equal values in two Secrets do not show as equal"
        );
        let mut broken = secret;
        broken["data"] = json!("canary-4");
        let stored = String::from_utf8(normalized(&broken).stored_bytes()).unwrap();
        assert!(!stored.contains("canary"), "{stored}");
    }

    #[test]
    fn a_kind_called_secret_in_another_group_is_not_a_secret() {
        let raw = json!({"apiVersion": "x.io/v1", "kind": "Secret",
            "metadata": {"name": "a"}, "data": {"k": "v"}});
        assert_eq!(normalized(&raw).object["data"], json!({"k": "v"}));
    }

    #[test]
    fn stored_objects_read_back_as_they_were() {
        let normalised = normalized(&deployment());
        let stored = Stored::from_stored(&normalised.stored_bytes()).unwrap();
        assert_eq!(stored, normalised.stored());
        assert!(stored.own().is_some());
        for bytes in [&b""[..], b"{}", b"{\"object\":1,\"fields\":2}", b"\xff"] {
            assert!(Stored::from_stored(bytes).is_err());
        }
    }

    #[test]
    fn malformed_answers_are_errors_and_malformed_fields_are_absent() {
        for raw in [json!(null), json!({}), json!({"apiVersion": "v1", "kind": "Pod"})] {
            assert!(normalize(&raw, &TestKey("key")).is_err());
        }
        let raw = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a",
            "managedFields": [1, {"fieldsV1": 3}], "ownerReferences": {}, "annotations": 4,
            "generation": "x"}});
        let normalised = normalized(&raw);
        assert_eq!((normalised.generation, normalised.fields.len()), (0, 2));
    }

    #[test]
    fn fields_named_in_another_version_are_noticed() {
        let mut raw = deployment();
        assert_eq!(normalized(&raw).owned_in_other_version(), None);
        raw["metadata"]["managedFields"][0]["apiVersion"] = json!("apps/v1beta1");
        assert_eq!(normalized(&raw).owned_in_other_version(), Some("v1beta1"));
    }
}
