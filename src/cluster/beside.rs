//! What others set of an object beside what greffier applies, and how it stays theirs where greffier
//! writes the whole object: on another cluster, as it was observed.
//!
//! Server-side apply removes what its manager owned and names no more. So these fields are applied
//! once more by themselves, by a manager that never applies again ([`BESIDE_MANAGER`]): then they
//! stay when greffier applies what Git says. Pure.

use serde_json::{Map, Value, json};

use super::field_set::FieldSet;
use super::normalize::{ManagerFields, Stored};
use super::project::{SELF, Step};
use super::transfer::is_of_whole_manifests;
use crate::model::BESIDE_MANAGER;

/// The fields of an object that others than greffier own, that greffier does not, and that `wanted`
/// does not name, as a `fieldsV1`; `None` where there are none. What nobody owns is a default and
/// is set again by itself; what was applied as a whole manifest is not beside anything.
#[must_use]
pub fn set_beside(stored: &Stored, wanted: Option<&Value>) -> Option<Value> {
    let version = stored.object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let of_version = |entry: &&ManagerFields| entry.api_version == version;
    let others = stored.fields.iter().filter(of_version).filter(|entry| {
        !entry.is_own()
            && !is_of_whole_manifests(&entry.stamp)
            && entry.stamp.subresource != "status"
    });
    let mut theirs = FieldSet::default();
    for entry in others {
        theirs = theirs.union(&FieldSet::parse(&entry.fields_v1));
    }
    if let Some(own) = stored.own().filter(|own| own.api_version == version) {
        theirs = theirs.without(&FieldSet::parse(&own.fields_v1));
    }
    let mut theirs = theirs.contents();
    for place in theirs.leaves() {
        if wanted.is_some_and(|wanted| has(wanted, &place)) {
            let edges: Vec<&str> = place.iter().map(String::as_str).collect();
            theirs.remove(&edges);
        }
    }
    (!theirs.is_empty()).then(|| theirs.to_fields_v1())
}

fn has(object: &Value, place: &[String]) -> bool {
    let mut value = object;
    for edge in place {
        let Some(next) = Step::parse(edge).and_then(|step| step.first(value)) else { return false };
        value = next;
    }
    true
}

/// The part of a manifest that `fields_v1` names, as a manifest that can be applied by itself: list
/// items have their keys. `None` where the manifest has nothing of it.
#[must_use]
pub fn part(manifest: &Value, fields_v1: &Value) -> Option<Value> {
    let mut part = part_of(manifest, fields_v1.as_object().filter(|fields| !fields.is_empty())?)?;
    for name in ["apiVersion", "kind"] {
        part[name] = manifest.get(name)?.clone();
    }
    let mut metadata = part.get("metadata").cloned().unwrap_or_else(|| json!({}));
    for name in ["name", "namespace"] {
        if let Some(value) = manifest.pointer(&format!("/metadata/{name}")) {
            metadata[name] = value.clone();
        }
    }
    part["metadata"] = metadata;
    Some(part)
}

/// The part of a value that `fields` names; `None` where it has nothing of it. A list item has its
/// keys; one that nothing but its position tells is nobody's.
fn part_of(value: &Value, fields: &Map<String, Value>) -> Option<Value> {
    if fields.is_empty() {
        return Some(value.clone());
    }
    let (mut map, mut list) = (Map::new(), Vec::new());
    for (edge, below) in fields {
        let (Some(step), Some(below)) = (Step::parse(edge), below.as_object()) else { continue };
        let Some(found) = step.first(value).and_then(|child| part_of(child, below)) else {
            continue;
        };
        match step {
            Step::Field(name) => drop(map.insert(name.to_owned(), found)),
            Step::Key(mut keys) => {
                keys.extend(found.as_object().cloned().unwrap_or_default());
                list.push(Value::Object(keys));
            }
            Step::Member(member) => list.push(member),
            Step::Index(_) | Step::Order => {}
        }
    }
    match value {
        Value::Object(_) if !map.is_empty() => Some(Value::Object(map)),
        Value::Array(_) if !list.is_empty() => Some(Value::Array(list)),
        // Only the node itself is theirs.
        Value::Object(_) => fields.contains_key(SELF).then(|| json!({})),
        Value::Array(_) => fields.contains_key(SELF).then(|| json!([])),
        _ => None,
    }
}

/// Whether an object that was written shows that others' fields of it are not greffier's alone.
#[must_use]
pub fn is_kept_beside(live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| entry["manager"] == BESIDE_MANAGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::ManagerStamp;
    use crate::model::Digest;

    fn entry(manager: &str, operation: &str, fields_v1: Value) -> ManagerFields {
        ManagerFields {
            stamp: ManagerStamp {
                manager: manager.into(),
                operation: operation.into(),
                subresource: String::new(),
                time: None,
                fields: Digest([0; 32]),
            },
            api_version: "v1".into(),
            fields_v1,
        }
    }

    fn object() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "prod", "uid": "u",
                "labels": {"app": "web", "team": "blue"}},
            "spec": {"type": "ClusterIP", "selector": {"app": "web"},
                "ports": [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 81, "protocol": "TCP"}]},
        })
    }

    /// Goal: what a person put beside what Git says is found, and nothing of what Git says, of what
    /// nobody owns, and of what whole manifests were applied with.
    #[test]
    fn only_what_others_put_beside_is_found() {
        let own = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:selector": {}}});
        let hand = json!({"f:metadata": {"f:labels": {"f:team": {}, "f:app": {}}},
            "f:spec": {"f:selector": {}, "f:ports": {"k:{\"port\":81,\"protocol\":\"TCP\"}": {"f:name": {}}}}});
        let whole = json!({"f:spec": {"f:type": {}}});
        let stored = Stored {
            object: object(),
            fields: vec![
                entry("greffier", "Apply", own),
                entry("kubectl-label", "Update", hand),
                entry("kubectl-client-side-apply", "Update", whole),
            ],
        };
        let wanted = json!({"metadata": {"labels": {"app": "web"}}});
        let found = set_beside(&stored, Some(&wanted)).unwrap();
        let expected = json!({"f:metadata": {"f:labels": {"f:team": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":81,\"protocol\":\"TCP\"}": {"f:name": {}}}}});
        assert_eq!(found, expected);
        // What Git says by now, though somebody changed it by hand, is no addition.
        let says = json!({"metadata": {"labels": {"app": "web", "team": "red"}},
            "spec": {"ports": [{"port": 81, "protocol": "TCP", "name": "x"}]}});
        assert_eq!(set_beside(&stored, Some(&says)), None);
    }

    #[test]
    fn a_part_can_be_applied_by_itself() {
        let fields = json!({"f:metadata": {"f:labels": {"f:team": {}, "f:gone": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}}});
        let expected = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "prod", "labels": {"team": "blue"}},
            "spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}]},
        });
        assert_eq!(part(&object(), &fields), Some(expected));
        let gone = json!({"f:spec": {"f:clusterIP": {}}, "f:status": {"f:x": {}}});
        assert_eq!(part(&object(), &gone), None, "rules took it out");
        // A list item is theirs as a whole, also where nothing is in a map of it.
        let volume = json!({"name": "cache", "emptyDir": {}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"volumes": [volume, {"name": "other"}]}});
        let fields = json!({"f:spec": {"f:volumes": {
            "k:{\"name\":\"cache\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}});
        let found = part(&pod, &fields).unwrap();
        assert_eq!(found["spec"]["volumes"], json!([volume]));
    }
}
