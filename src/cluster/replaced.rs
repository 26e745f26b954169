//! Decides how an object differs that greffier replaced as a whole (design §8.1, row 9). Pure.
//!
//! Nothing in the object says which fields are greffier's: the manifest does. The values at the
//! manifest's paths are compared as the API server returned them from the write, so that defaults
//! and what admission changed are no drift. What others added elsewhere is not looked at: the
//! next replacement removes it.

use serde_json::Value;

use super::compare::{Comparison, later};
use super::normalize::{FIELD_MANAGER, Normalised, Stored};
use crate::ledger::event::{DriftKind, FieldChange, ManagerStamp};
use crate::model::{ObjectKey, Timestamp};
use crate::plan::diff::{exact, list_key};
use crate::plan::secret::hide;

/// How deep a manifest is followed.
const DEPTH_MAX: usize = 100;

/// Compares what was recorded after the write with what was observed, at the paths of `sent`.
#[must_use]
pub fn compare_replaced(sent: &Normalised, baseline: &Stored, observed: &Stored) -> Comparison {
    let expected = at_paths(&sent.object, &baseline.object, 0);
    let fields: Vec<_> = exact(&expected, &observed.object)
        .into_iter()
        .map(|change| shown(change, &sent.key))
        .collect();
    if fields.is_empty() {
        return Comparison { kind: DriftKind::None, fields, ..Comparison::default() };
    }
    let managers = since(baseline, observed);
    let later = later(written(baseline), written(observed));
    Comparison { kind: DriftKind::Drift, fields, places: Vec::new(), managers, later }
}

/// When greffier replaced an object last, by the object's own word.
fn written(object: &Stored) -> Option<Timestamp> {
    let stamps = object.fields.iter().map(|entry| &entry.stamp);
    let own = stamps.filter(|stamp| {
        stamp.manager == FIELD_MANAGER
            && stamp.operation == "Update"
            && stamp.subresource.is_empty()
    });
    own.filter_map(|stamp| stamp.time).max()
}

/// The values of `recorded` at the paths that `sent` names.
fn at_paths(sent: &Value, recorded: &Value, depth: usize) -> Value {
    match (sent, recorded) {
        _ if depth > DEPTH_MAX => recorded.clone(),
        (Value::Object(sent), Value::Object(recorded)) => {
            let both = sent.iter().filter_map(|(name, value)| {
                Some((name.clone(), at_paths(value, recorded.get(name)?, depth + 1)))
            });
            Value::Object(both.collect())
        }
        (Value::Array(sent), Value::Array(recorded)) => match list_key(sent) {
            Some(key) => {
                // In the order in which they were recorded: admission may have another than the
                // manifest.
                let entries = recorded.iter().filter_map(|found| {
                    let value = sent.iter().find(|entry| entry.get(key) == found.get(key))?;
                    Some(at_paths(value, found, depth + 1))
                });
                Value::Array(entries.collect())
            }
            None => Value::Array(recorded.clone()),
        },
        (_, recorded) => recorded.clone(),
    }
}

/// The change as drift: from what was recorded to what is there.
fn shown(change: FieldChange, key: &ObjectKey) -> FieldChange {
    hide(key, FieldChange { was: change.now, now: change.was, path: change.path })
}

/// The managers of the object itself that came or changed since.
fn since(baseline: &Stored, observed: &Stored) -> Vec<ManagerStamp> {
    let known = |stamp: &ManagerStamp| baseline.fields.iter().any(|entry| entry.stamp == *stamp);
    let stamps = observed.fields.iter().map(|entry| &entry.stamp);
    stamps.filter(|stamp| stamp.subresource.is_empty() && !known(stamp)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::normalize::normalize;
    use super::super::normalize::tests::TestKey;
    use super::*;

    fn found(
        kind: &str,
        sent: Value,
        recorded: Value,
        observed: Value,
    ) -> (DriftKind, Vec<String>) {
        let object = |mut body: Value| {
            body["apiVersion"] = json!("v1");
            body["kind"] = json!(kind);
            body["metadata"] = json!({"name": "x"});
            normalize(&body, &TestKey("key")).unwrap()
        };
        let comparison =
            compare_replaced(&object(sent), &object(recorded).stored(), &object(observed).stored());
        let fields = comparison.fields.iter();
        (comparison.kind, fields.map(|f| format!("{} {} {}", f.path, f.was, f.now)).collect())
    }

    #[test]
    fn only_the_paths_of_the_manifest_count_and_their_admitted_values() {
        let sent = json!({"spec": {"size": 1, "ports": [{"name": "a", "port": 1}]}});
        let recorded = json!({"spec": {"size": 2, "default": true,
            "ports": [{"name": "a", "port": 1, "protocol": "TCP"}]}});
        let mut observed = recorded.clone();
        observed["spec"]["default"] = json!(false);
        observed["spec"]["ports"].as_array_mut().unwrap().push(json!({"name": "b", "port": 2}));
        assert_eq!(
            found("Widget", sent.clone(), recorded.clone(), observed.clone()),
            (DriftKind::None, vec![])
        );
        observed["spec"]["size"] = json!("2");
        observed["spec"]["ports"][0]["port"] = json!(9);
        assert_eq!(
            found("Widget", sent, recorded, observed),
            (
                DriftKind::Drift,
                vec![".spec.size 2 \"2\"".into(), ".spec.ports[name=a].port 1 9".into()]
            )
        );
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        let data = |value: &str| json!({"data": {"a": value}});
        assert_eq!(
            found("Secret", data("YQ=="), data("YQ=="), data("Yg==")).1,
            [".data.a (secret) (secret)"]
        );
    }
}
