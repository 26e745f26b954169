//! Which object a HorizontalPodAutoscaler scales. Pure.

use serde_json::Value;

use crate::model::ObjectKey;

/// The object whose replicas belong to the object `key`; `None` where it is no autoscaler. The
/// target is named in the same place in every version of the API, and lives in the namespace of
/// its autoscaler.
pub(super) fn scales(raw: &Value, key: &ObjectKey) -> Option<ObjectKey> {
    if !key.is_autoscaler() {
        return None;
    }
    let target = raw.pointer("/spec/scaleTargetRef")?;
    let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let target = ObjectKey::new(group, text("kind"), key.namespace(), text("name"));
    (!target.kind().is_empty() && !target.name().is_empty()).then_some(target)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_target_is_read_in_every_version_and_of_autoscalers_alone() {
        let raw = |target: Value| json!({"spec": {"scaleTargetRef": target}});
        let of = |key: &str, target| scales(&raw(target), &key.parse().unwrap());
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let hpa = "HorizontalPodAutoscaler.autoscaling/prod/web";
        let target = of(hpa, web.clone()).unwrap();
        assert_eq!(target, "Deployment.apps/prod/web".parse().unwrap());
        let core = json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "old"});
        assert_eq!(of(hpa, core).unwrap().to_string(), "ReplicationController/prod/old");
        assert_eq!(of("HorizontalPodAutoscaler.example.com/prod/web", web.clone()), None);
        assert_eq!(of("Widget.autoscaling/prod/web", web), None);
        for broken in [json!({"kind": "Deployment"}), json!({"name": "web"}), json!([])] {
            assert_eq!(of(hpa, broken), None);
        }
        assert_eq!(scales(&json!({}), &hpa.parse().unwrap()), None);
    }
}
