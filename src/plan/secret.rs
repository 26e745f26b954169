//! What of a Secret may be shown: which keys it has, and what names and describes it.
//!
//! Every text that leaves greffier and may quote a Secret passes through here: what drifted, what
//! an apply would change or admission has changed, what a person is shown as a difference or as a
//! manifest.
//!
//! Security: what is not known to be harmless counts as a value. Annotations are values: tools
//! keep copies of whole objects in them.

use serde_json::Value;

use crate::ledger::event::FieldChange;
use crate::model::ObjectKey;

/// Why a value of a Secret that was only observed cannot be written, and the way out.
pub const RECORDED_NOWHERE: &str = "of a Secret that was only observed, the values are recorded \
     nowhere: set the value anew from where it comes from";
/// What stands for a Secret's value.
pub const SECRET: &str = "(secret)";
/// Fields of a Secret that are shown.
const OPEN: &[&str] = &["apiVersion", "kind", "type", "immutable"];
/// Fields of its metadata that are shown.
const OPEN_METADATA: &[&str] =
    &["name", "generateName", "namespace", "labels", "finalizers", "ownerReferences"];
/// Annotations of a Secret that are recorded as they are, by the beginnings of their names: they
/// are known to tell nothing of its values. They are not shown.
const ANNOTATIONS_RECORDED: [&str; 7] = [
    "greffier.dev/",
    "argocd.argoproj.io/",
    "helm.sh/",
    "meta.helm.sh/",
    "kubernetes.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
];

/// Whether an annotation of a Secret is recorded as it is, rather than as a digest.
#[must_use]
pub fn is_annotation_recorded(name: &str) -> bool {
    ANNOTATIONS_RECORDED.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the values of a Secret at the place that the edges of a field set lead to are recorded
/// as they are.
#[must_use]
pub fn is_recorded(place: &[String]) -> bool {
    let mut fields = place.iter().map(|edge| edge.strip_prefix("f:").unwrap_or_default());
    let (field, below, name) = (fields.next().unwrap_or_default(), fields.next(), fields.next());
    let annotation = field == "metadata" && below == Some("annotations");
    is_open(field, below) || (annotation && name.is_some_and(is_annotation_recorded))
}

/// Whether the values of a Secret's field may be shown; `below` is the field in it.
#[must_use]
pub fn is_open(field: &str, below: Option<&str>) -> bool {
    match (field, below) {
        ("metadata", Some(below)) => OPEN_METADATA.contains(&below),
        (field, _) => OPEN.contains(&field),
    }
}

/// The change as it may be shown; of an object that is no Secret it is left as it is.
#[must_use]
pub fn hide(key: &ObjectKey, change: FieldChange) -> FieldChange {
    let (field, below) = first_fields(&change.path);
    if is_open(field, below) || !key.is_secret() {
        return change;
    }
    let hidden = |text: String| if text.is_empty() { text } else { SECRET.to_owned() };
    FieldChange { was: hidden(change.was), now: hidden(change.now), path: change.path }
}

/// The first two fields of a path, as far as they have plain names.
fn first_fields(path: &str) -> (&str, Option<&str>) {
    let rest = path.strip_prefix('.').unwrap_or_default();
    let mut fields = rest.split('[').next().unwrap_or_default().split('.');
    (fields.next().unwrap_or_default(), fields.next())
}

/// A manifest as it may be shown.
#[must_use]
pub fn shown(key: &ObjectKey, mut manifest: Value) -> Value {
    if !key.is_secret() {
        return manifest;
    }
    for (field, value) in manifest.as_object_mut().into_iter().flatten() {
        match (field.as_str(), value) {
            ("metadata", Value::Object(metadata)) => {
                let closed =
                    metadata.iter_mut().filter(|(name, _)| !is_open("metadata", Some(name)));
                closed.for_each(|(_, value)| empty(value));
            }
            (field, value) if !is_open(field, None) => empty(value),
            _ => {}
        }
    }
    manifest
}

/// Leaves the names in a map, and nothing else.
fn empty(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            map.iter_mut().for_each(|(_, value)| *value = Value::String(SECRET.to_owned()));
        }
        other => *other = Value::String(SECRET.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::new("", kind, "prod", "a")
    }

    #[test]
    fn only_what_names_and_describes_a_secret_is_shown() {
        let change = |path: &str| FieldChange {
            path: path.to_owned(),
            was: String::new(),
            now: "hunter2".to_owned(),
        };
        for open in [".type", ".immutable", ".metadata.labels.a", ".metadata.labels[\"a/b\"]"] {
            assert_eq!(hide(&key("Secret"), change(open)), change(open), "{open}");
        }
        for closed in [
            ".data.a",
            ".data",
            ".data[\"a.b\"]",
            ".stringData.a",
            ".metadata.annotations",
            ".metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]",
            ".metadata",
            ".",
            ".typed",
            "[\"type.x\"]",
            "",
        ] {
            let hidden = hide(&key("Secret"), change(closed));
            assert_eq!((hidden.now.as_str(), hidden.was.as_str()), (SECRET, ""), "{closed}");
            assert_eq!(hide(&key("ConfigMap"), change(closed)), change(closed), "{closed}");
        }
    }

    #[test]
    fn a_shown_secret_has_keys_and_no_values() {
        let secret = json!({
            "kind": "Secret", "type": "Opaque",
            "data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}, "more": ["hunter2"],
            "metadata": {"name": "a", "labels": {"l": "v"}, "annotations": {"copy": "hunter2"}},
        });
        let shown = shown(&key("Secret"), secret.clone());
        assert_eq!(
            shown,
            json!({
                "kind": "Secret", "type": "Opaque",
                "data": {"a": SECRET}, "stringData": {"b": SECRET}, "more": SECRET,
                "metadata": {"name": "a", "labels": {"l": "v"}, "annotations": {"copy": SECRET}},
            })
        );
        assert_eq!(super::shown(&key("ConfigMap"), secret.clone()), secret);
    }
}
