//! Which images the containers of a pod run.
//!
//! The name is the one of the pod's own `spec`: what a node repeats of it in the status may be
//! another name of the same image. Ephemeral containers are left out: no manifest has them.

use serde_json::Value;

use crate::ledger::event::PulledImage;
use crate::model::ObjectKey;

/// The containers of a pod, and what its node says of them.
const CONTAINERS: [(&str, &str); 2] = [
    ("/spec/initContainers", "/status/initContainerStatuses"),
    ("/spec/containers", "/status/containerStatuses"),
];
/// Bound: how many are recorded of one pod, and how long a name may be. What exceeds it is not
/// recorded, so that nothing is known of it.
const IMAGES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 1_024;

/// The images that a pod's containers run, in the order of the pod; nothing of any other object.
pub(super) fn pulled(raw: &Value, key: &ObjectKey) -> Vec<PulledImage> {
    if !key.is("", "Pod") {
        return Vec::new();
    }
    let list = |pointer| raw.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let found = CONTAINERS.into_iter().flat_map(|(containers, statuses)| {
        list(containers).filter_map(move |container| {
            let name = text(container, "name")?;
            let status = list(statuses).find(|status| text(status, "name") == Some(name))?;
            Some(PulledImage {
                container: name.to_owned(),
                image: text(container, "image")?.to_owned(),
                id: text(status, "imageID")?.to_owned(),
            })
        })
    });
    found.take(IMAGES_MAX).collect()
}

/// A text that says something and is not too long.
fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    let text = value.get(field)?.as_str()?;
    (1..=NAME_BYTES_MAX).contains(&text.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_known_by_the_name_that_the_pod_gives_it_once_its_node_has_said_what_it_is() {
        let pod = json!({
            "spec": {"initContainers": [{"name": "init", "image": "init:1"}],
                "containers": [{"name": "main", "image": "shop:v1"}, {"name": "late", "image": "late:1"}],
                "ephemeralContainers": [{"name": "debug", "image": "debug:1"}]},
            "status": {
                "initContainerStatuses": [{"name": "init", "image": "init:1", "imageID": "init@sha256:1"}],
                "containerStatuses": [{"name": "late", "image": "late:1", "imageID": ""},
                    {"name": "main", "image": "docker.io/library/shop:v1", "imageID": "shop@sha256:2"}],
                "ephemeralContainerStatuses": [{"name": "debug", "image": "debug:1", "imageID": "d@sha256:3"}]},
        });
        let found = pulled(&pod, &ObjectKey::new("", "Pod", "n", "p"));
        let said: Vec<_> = found.iter().map(|p| (&*p.container, &*p.image, &*p.id)).collect();
        assert_eq!(
            said,
            [("init", "init:1", "init@sha256:1"), ("main", "shop:v1", "shop@sha256:2")]
        );
        assert_eq!(pulled(&pod, &ObjectKey::new("", "PodTemplate", "n", "p")), []);
    }
}
