//! Where a manifest names images.

use serde_json::Value;

use super::reference::is_by_tag;
use crate::model::ObjectKey;

/// Where the pods of a kind are described.
const PODS: [(&str, &str, &str); 9] = [
    ("", "Pod", "/spec"),
    ("", "ReplicationController", "/spec/template/spec"),
    ("apps", "Deployment", "/spec/template/spec"),
    ("apps", "StatefulSet", "/spec/template/spec"),
    ("apps", "DaemonSet", "/spec/template/spec"),
    ("apps", "ReplicaSet", "/spec/template/spec"),
    ("batch", "Job", "/spec/template/spec"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ("argoproj.io", "Rollout", "/spec/template/spec"),
];
/// Ephemeral containers are made by people, and no manifest has them.
const LISTS: [&str; 2] = ["initContainers", "containers"];

/// An image that a manifest names by a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The container; empty where it has no name.
    pub(super) container: String,
    /// The image.
    pub(super) image: String,
    /// Where its name is; `None` = where pods of the kind are described is not known.
    pub(super) place: Option<String>,
}

/// The images that a manifest names by tags, in its order.
pub(super) fn named(key: &ObjectKey, manifest: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    let known = PODS.iter().find(|(group, kind, _)| key.is(group, kind));
    match known {
        Some((.., pods)) => {
            let Some(spec) = manifest.pointer(pods) else { return found };
            for list in LISTS {
                let place = |index| Some(format!("{pods}/{list}/{index}/image"));
                images(spec.get(list), place, &mut found);
            }
        }
        None => anywhere(manifest, &mut found),
    }
    found
}

fn images(
    containers: Option<&Value>,
    place: impl Fn(usize) -> Option<String>,
    found: &mut Vec<Named>,
) {
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    for (index, container) in containers.enumerate() {
        let text = |field| container.get(field).and_then(Value::as_str).unwrap_or_default();
        let image = text("image");
        if is_by_tag(image) {
            let (container, image) = (text("name").to_owned(), image.to_owned());
            found.push(Named { container, image, place: place(index) });
        }
    }
}

/// What looks like containers in an object of a kind that is not known.
fn anywhere(value: &Value, found: &mut Vec<Named>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if LISTS.contains(&name.as_str()) {
                    images(Some(value), |_| None, found);
                }
                anywhere(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| anywhere(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_found_where_the_pods_of_a_kind_are_described() {
        let pod = json!({
            "initContainers": [{"name": "init", "image": "init:1"}],
            "containers": [{"name": "proxy", "image": "proxy@sha256:00"}, {"name": "main", "image": "shop"}],
            "ephemeralContainers": [{"name": "debug", "image": "debug:1"}],
        });
        for (key, manifest, place) in [
            ("Pod/n/w", json!({"spec": pod}), "/spec"),
            (
                "Deployment.apps/n/w",
                json!({"spec": {"template": {"spec": pod}}}),
                "/spec/template/spec",
            ),
            ("Job.batch/n/w", json!({"spec": {"template": {"spec": pod}}}), "/spec/template/spec"),
            (
                "CronJob.batch/n/w",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
                "/spec/jobTemplate/spec/template/spec",
            ),
        ] {
            let found = named(&key.parse().unwrap(), &manifest);
            let said: Vec<_> = found.iter().map(|n| (&*n.container, &*n.image)).collect();
            assert_eq!(said, [("init", "init:1"), ("main", "shop")], "{key}");
            assert_eq!(found[1].place, Some(format!("{place}/containers/1/image")));
            let at = manifest.pointer(found[1].place.as_ref().unwrap());
            assert_eq!(at, Some(&json!("shop")), "{key}");
        }
        let widget = json!({"spec": {"deep": [{"containers": [{"name": "w", "image": "w:1"}]}]}});
        let found = named(&"Widget.example.org/n/w".parse().unwrap(), &widget);
        assert_eq!((found.len(), &found[0].place), (1, &None));
        assert_eq!(named(&"Deployment.apps/n/w".parse().unwrap(), &widget), []);
    }
}
