//! The form in which a manifest is compared, recorded and applied. Pure.
//!
//! What the API server writes itself is left out (`status`, and in `metadata` the creation time,
//! managed fields, resource version, uid, generation and self link): an exported manifest must
//! not look different from the hand-written one. A null in `metadata` or at the top level is left
//! out, because templates write `labels:` with nothing below it. **Deeper nulls stay**: in a
//! custom resource a null may mean something, and server-side apply drops the others itself.
//! Empty maps and lists stay everywhere. A Secret's `stringData` is folded into `data`, because a
//! key that is later removed from `stringData` would survive in the cluster. The `rules` of a
//! ClusterRole with an `aggregationRule` are left out: kube-controller-manager puts them together
//! from other roles, and whoever applies his own empties the role until it has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Problem, type_name};
use crate::model::ObjectKey;

/// What the API server writes into `metadata`.
const SERVER_FIELDS: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Cleans `metadata` and checks that labels and annotations are text, which the rest relies on.
///
/// # Errors
/// `metadata`, labels or annotations have the wrong type.
pub(super) fn metadata(manifest: &mut Map<String, Value>) -> Result<(), Problem> {
    manifest.retain(|_, value| !value.is_null());
    let metadata = match manifest.get_mut("metadata") {
        None => return Err(Problem::Missing { field: "metadata" }),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => return Err(wrong_type("metadata", other, "a mapping")),
    };
    metadata.retain(|field, value| !value.is_null() && !SERVER_FIELDS.contains(&field.as_str()));
    for field in ["labels", "annotations"] {
        let path = format!("metadata.{field}");
        match metadata.get_mut(field) {
            None => {}
            Some(Value::Object(map)) => texts(map, &path)?,
            Some(other) => return Err(wrong_type(&path, other, "a mapping")),
        }
    }
    Ok(())
}

/// Leaves out `status` and folds a Secret's `stringData` into its `data`.
///
/// # Errors
/// A Secret whose data is no mapping of texts.
pub(super) fn body(key: &ObjectKey, manifest: &mut Map<String, Value>) -> Result<(), Problem> {
    manifest.shift_remove("status");
    if key.is_secret() { secret(manifest) } else { Ok(()) }
}

/// Leaves out the rules of a ClusterRole that are put together from others (`aggregated-rules`);
/// whether there were any.
pub(super) fn aggregated_rules(key: &ObjectKey, manifest: &mut Map<String, Value>) -> bool {
    if !key.is("rbac.authorization.k8s.io", "ClusterRole")
        || !manifest.contains_key("aggregationRule")
    {
        return false;
    }
    let rules = manifest.shift_remove("rules");
    rules.is_some_and(|rules| rules.as_array().is_none_or(|rules| !rules.is_empty()))
}

/// Checks that every value is text and leaves out nulls.
fn texts(map: &mut Map<String, Value>, path: &str) -> Result<(), Problem> {
    map.retain(|_, value| !value.is_null());
    match map.iter().find(|(_, value)| !value.is_string()) {
        None => Ok(()),
        Some((key, value)) => Err(wrong_type(&format!("{path}[{key}]"), value, "text (quote it)")),
    }
}

/// Security: errors name the key, never the value.
fn secret(manifest: &mut Map<String, Value>) -> Result<(), Problem> {
    let mut data = take_texts(manifest, "data")?.unwrap_or_default();
    let Some(string_data) = take_texts(manifest, "stringData")? else {
        if !data.is_empty() {
            manifest.insert("data".to_owned(), Value::Object(data));
        }
        return Ok(());
    };
    for (key, value) in string_data {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key, Value::String(encoded));
    }
    manifest.insert("data".to_owned(), Value::Object(data));
    Ok(())
}

/// A mapping of texts; null stands for the empty text, as the API server reads it.
fn take_texts(
    manifest: &mut Map<String, Value>,
    field: &str,
) -> Result<Option<Map<String, Value>>, Problem> {
    match manifest.shift_remove(field) {
        None => Ok(None),
        Some(Value::Object(mut map)) => {
            for (key, value) in &mut map {
                match value {
                    Value::String(_) => {}
                    Value::Null => *value = Value::String(String::new()),
                    other => {
                        let path = format!("{field}[{key}]");
                        return Err(wrong_type(&path, other, "text (quote it)"));
                    }
                }
            }
            Ok(Some(map))
        }
        Some(other) => Err(wrong_type(field, &other, "a mapping")),
    }
}

fn wrong_type(field: &str, found: &Value, expected: &'static str) -> Problem {
    Problem::WrongType { field: field.to_owned(), found: type_name(found), expected }
}
