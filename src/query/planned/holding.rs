//! What an object holds, so that whoever approves its deletion knows what goes with it.

use serde_json::Value;

use super::Item;
use crate::cluster::Stored;
use crate::model::ObjectKey;
use crate::query::children::Gone;
use crate::query::text::count;
use crate::replay::World;

/// The live objects that go with `key`: those in a namespace, those of a definition. What is not
/// watched is not known and not counted.
pub(super) fn objects(world: &World, key: &ObjectKey) -> String {
    if key.is("", "Namespace") {
        let inside = world.live.keys().filter(|other| other.namespace() == key.name()).count();
        return count(inside, "object");
    }
    if key.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        let (plural, group) = key.name().split_once('.').unwrap_or((key.name(), ""));
        let mut kinds = world.cluster.kinds.values();
        let kind = kinds.find(|served| served.plural == plural && served.kind.group == group);
        let Some(served) = kind else { return String::new() };
        let of_kind = world.live.keys().filter(|other| other.group_kind() == served.kind);
        return count(of_kind.count(), &served.kind.kind);
    }
    String::new()
}

/// The objects that go with an application that is removed. What stays, or passes to another, is no
/// part of them.
pub(super) fn application(gone: &Gone) -> String {
    match (gone.deletes.len(), gone.leaves.len()) {
        (0, 1..) => "its objects are left".to_owned(),
        (goes, _) => count(goes, "object"),
    }
}

/// Adds what the object itself tells.
pub(super) fn describe(item: &mut Item, stored: &[u8]) {
    let Ok(Stored { object, .. }) = Stored::from_stored(stored) else { return };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    item.created = text("/metadata/creationTimestamp").to_owned();
    if !item.holds.is_empty() {
        return;
    }
    let keys = |pointer: &str| {
        object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
    };
    item.holds = match item.kind.as_str() {
        "PersistentVolumeClaim" => text("/spec/resources/requests/storage").to_owned(),
        "PersistentVolume" => text("/spec/capacity/storage").to_owned(),
        "ConfigMap" | "Secret" => count(keys("/data") + keys("/binaryData"), "key"),
        _ => match object.pointer("/spec/replicas").and_then(Value::as_u64) {
            Some(replicas) => count(usize::try_from(replicas).unwrap_or(usize::MAX), "replica"),
            None => String::new(),
        },
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, object: Value) -> (String, String) {
        let mut item = Item { kind: kind.into(), ..Item::default() };
        let stored = json!({"object": object, "fields": []}).to_string();
        describe(&mut item, stored.as_bytes());
        (item.created, item.holds)
    }

    #[test]
    fn what_an_object_holds_is_told_in_its_own_terms() {
        for (kind, object, holds) in [
            (
                "PersistentVolumeClaim",
                json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
                "1Gi",
            ),
            ("PersistentVolume", json!({"spec": {"capacity": {"storage": "2Gi"}}}), "2Gi"),
            ("ConfigMap", json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}), "3 keys"),
            ("Secret", json!({"data": {"a": "hmac:x"}}), "1 key"),
            ("Deployment.apps", json!({"spec": {"replicas": 2}}), "2 replicas"),
            ("Service", json!({}), ""),
        ] {
            assert_eq!(told(kind, object).1, holds, "{kind}");
        }
        let at = "2026-11-25T10:00:00Z";
        assert_eq!(told("Service", json!({"metadata": {"creationTimestamp": at}})).0, at);
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        let mut item = Item::default();
        describe(&mut item, b"{");
        assert_eq!(item, Item::default());
    }
}
