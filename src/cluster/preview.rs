//! What an apply would change, from the answer of a dry run (design §8.1, row 4). Pure.
//!
//! The annotation that names the application is left out of the comparison: it is greffier's own,
//! and every first apply adds it.

use serde_json::Value;

use super::normalize::{Normalised, OWNER_ANNOTATION, Stored};
use super::transfer::would_remove;
use crate::ledger::event::FieldChange;
use crate::plan::diff::{CHANGES_MAX, changes};
use crate::plan::secret::hide;

/// Lists the fields of `live` that would change to become `would_be`, and those that adoption
/// would remove after it; empty when none would. Values of Secrets do not leave here.
#[must_use]
pub fn preview(live: &Stored, would_be: &Normalised) -> Vec<FieldChange> {
    let mut found = changes(&comparable(&live.object), &comparable(&would_be.object));
    for removed in would_remove(would_be) {
        if found.len() < CHANGES_MAX && found.iter().all(|change| change.path != removed.path) {
            found.push(removed);
        }
    }
    found.into_iter().map(|change| hide(&would_be.key, change)).collect()
}

/// The object without greffier's own mark.
fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return object;
    };
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.remove(OWNER_ANNOTATION);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::normalize::normalize;
    use super::super::normalize::tests::TestKey;
    use super::*;

    fn found(live: &Value, would_be: &Value) -> Vec<(String, String, String)> {
        let normalised = |value| normalize(value, &TestKey("key")).unwrap();
        preview(&normalised(live).stored(), &normalised(would_be))
            .into_iter()
            .map(|change| (change.path, change.was, change.now))
            .collect()
    }

    #[test]
    fn what_the_apply_itself_always_changes_is_no_change() {
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "c", "resourceVersion": "7", "generation": 1}});
        let mut would_be = live.clone();
        would_be["metadata"] = json!({"name": "c", "resourceVersion": "7", "generation": 2,
            "managedFields": [{"manager": "greffier", "operation": "Apply"}],
            "annotations": {OWNER_ANNOTATION: "web"}});
        assert_eq!(found(&live, &would_be), []);
        would_be["data"]["a"] = json!("2");
        assert_eq!(found(&live, &would_be), [(".data.a".into(), "\"1\"".into(), "\"2\"".into())]);
    }

    #[test]
    fn of_a_secret_only_the_keys_are_named() {
        let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
        let changes = found(
            &secret(json!({"a": "Y2FuYXJ5", "b": "Yg=="})),
            &secret(json!({"a": "b3RoZXI="})),
        );
        let hidden = String::from("(secret)");
        assert_eq!(
            changes,
            [
                (".data.a".into(), hidden.clone(), hidden.clone()),
                (".data.b".into(), hidden, String::new()),
            ]
        );
    }
}
