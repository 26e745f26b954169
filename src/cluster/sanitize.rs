//! What of a recorded object is not sent when it is brought back: what the cluster assigns to each
//! object anew. Pure.
//!
//! Each rule has a name, by which people are told of it. On an object that is there the cluster's
//! values of now stay ([`carry`]); one that is made anew gets others.

use serde_json::{Map, Value};

use super::normalize::OWNER_ANNOTATION;

/// What the cluster assigns.
struct Rule {
    name: &'static str,
    /// Group and kind; `None` = of every kind.
    kind: Option<(&'static str, &'static str)>,
    path: &'static [&'static str],
}

const fn of_all(name: &'static str, path: &'static [&'static str]) -> Rule {
    Rule { name, kind: None, path }
}

const fn of(
    name: &'static str,
    kind: (&'static str, &'static str),
    path: &'static [&'static str],
) -> Rule {
    Rule { name, kind: Some(kind), path }
}

const SERVICE: (&str, &str) = ("", "Service");
const CLAIM: (&str, &str) = ("", "PersistentVolumeClaim");
const JOB: (&str, &str) = ("batch", "Job");

const RULES: &[Rule] = &[
    of_all("status", &["status"]),
    of_all("metadata", &["metadata", "uid"]),
    of_all("metadata", &["metadata", "resourceVersion"]),
    of_all("metadata", &["metadata", "generation"]),
    of_all("metadata", &["metadata", "creationTimestamp"]),
    of_all("metadata", &["metadata", "deletionTimestamp"]),
    of_all("metadata", &["metadata", "deletionGracePeriodSeconds"]),
    of_all("metadata", &["metadata", "selfLink"]),
    of_all("metadata", &["metadata", "managedFields"]),
    of_all("ownerReferences", &["metadata", "ownerReferences"]),
    of_all(
        "last-applied",
        &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
    ),
    of_all("leader", &["metadata", "annotations", "control-plane.alpha.kubernetes.io/leader"]),
    of_all("application", &["metadata", "annotations", OWNER_ANNOTATION]),
    of(
        "revision",
        ("apps", "Deployment"),
        &["metadata", "annotations", "deployment.kubernetes.io/revision"],
    ),
    of("clusterIP", SERVICE, &["spec", "clusterIP"]),
    of("clusterIP", SERVICE, &["spec", "clusterIPs"]),
    of("nodePort", SERVICE, &["spec", "healthCheckNodePort"]),
    of("volumeName", CLAIM, &["spec", "volumeName"]),
    of("volumeName", CLAIM, &["metadata", "annotations", "pv.kubernetes.io/bind-completed"]),
    of("volumeName", CLAIM, &["metadata", "annotations", "pv.kubernetes.io/bound-by-controller"]),
    of("volumeName", CLAIM, &["metadata", "annotations", "volume.kubernetes.io/selected-node"]),
    of("claimRef", ("", "PersistentVolume"), &["spec", "claimRef"]),
    of("nodeName", ("", "Pod"), &["spec", "nodeName"]),
    of("serviceAccountSecrets", ("", "ServiceAccount"), &["secrets"]),
    of("namespaceFinalizers", ("", "Namespace"), &["spec", "finalizers"]),
];

/// Labels and selectors by which a Job's controller tells its pods apart.
const CONTROLLER_UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

fn rules(object: &Value) -> impl Iterator<Item = &'static Rule> + use<> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    let kind = text("kind").to_owned();
    RULES
        .iter()
        .filter(move |rule| rule.kind.is_none_or(|of| of == (group.as_str(), kind.as_str())))
}

fn is(object: &Value, (group, kind): (&str, &str)) -> bool {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    text("kind") == kind && text("apiVersion").rsplit_once('/').map_or("", |(g, _)| g) == group
}

/// Takes out what the cluster assigns; returns the names of the rules that applied.
pub fn sanitize(object: &mut Value) -> Vec<&'static str> {
    let headless = object.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None");
    let mut applied = Vec::new();
    for rule in rules(object) {
        // That there is no address is no address that the cluster assigned.
        if rule.name == "clusterIP" && headless {
            continue;
        }
        if take(object, rule.path).is_some() {
            applied.push(rule.name);
        }
    }
    if is(object, SERVICE) && take_node_ports(object) {
        applied.push("nodePort");
    }
    if is(object, JOB) && take_controller_uid(object) {
        applied.push("controllerUid");
    }
    applied.dedup();
    applied
}

/// Gives `object`, which replaces `live`, what the cluster assigned to that.
pub fn carry(object: &mut Value, live: &Value) {
    sanitize(object);
    for rule in rules(live) {
        let assigned = rule.path.iter().try_fold(live, |value, name| value.get(name));
        if let Some(assigned) = assigned {
            put(object, rule.path, assigned.clone());
        }
    }
    if is(live, JOB) {
        // Neither can be changed once it is there.
        for path in [&["spec", "selector"][..], &["spec", "template"]] {
            let assigned = path.iter().try_fold(live, |value, name| value.get(name));
            if let Some(assigned) = assigned {
                put(object, path, assigned.clone());
            }
        }
    }
}

fn take(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let inside = above.iter().try_fold(object, |value, name| value.get_mut(name))?;
    inside.as_object_mut()?.shift_remove(*last)
}

fn put(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, above)) = path.split_last() else { return };
    let mut inside = object;
    for name in above {
        let Some(map) = inside.as_object_mut() else { return };
        inside = map.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(map) = inside.as_object_mut() {
        map.insert((*last).to_owned(), value);
    }
}

fn take_node_ports(object: &mut Value) -> bool {
    let ports = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    let ports = ports.into_iter().flatten().filter_map(Value::as_object_mut);
    ports.filter_map(|port| port.shift_remove("nodePort")).count() > 0
}

fn take_controller_uid(object: &mut Value) -> bool {
    if object.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return false;
    }
    let mut taken = take(object, &["spec", "selector"]).is_some();
    for labels in [&["metadata", "labels"][..], &["spec", "template", "metadata", "labels"]] {
        for name in CONTROLLER_UID {
            let path: Vec<&str> = labels.iter().copied().chain([name]).collect();
            taken |= take(object, &path).is_some();
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sanitized(mut object: Value) -> (Value, Vec<&'static str>) {
        let applied = sanitize(&mut object);
        (object, applied)
    }

    #[test]
    fn what_the_cluster_assigns_is_not_sent_and_each_rule_is_named() {
        let noisy = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "status": {},
            "metadata": {"name": "c", "uid": "u", "resourceVersion": "7", "generation": 2,
                "labels": {"l": "1"}, "creationTimestamp": "x", "finalizers": ["a/b"],
                "ownerReferences": [{"uid": "o"}],
                "annotations": {"greffier.dev/application": "web", "mine": "1"}}});
        let (sent, applied) = sanitized(noisy);
        assert_eq!(applied, ["status", "metadata", "ownerReferences", "application"]);
        assert_eq!(
            sent,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
                "metadata": {"name": "c", "labels": {"l": "1"}, "finalizers": ["a/b"],
                    "annotations": {"mine": "1"}}})
        );
        assert_eq!(sanitized(sent.clone()), (sent, vec![]));
        for (kind, spec, left, rules) in [
            (
                "v1 Service",
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                    "ports": [{"port": 80, "nodePort": 30_000}]}),
                json!({"ports": [{"port": 80}]}),
                vec!["clusterIP", "nodePort"],
            ),
            (
                "v1 Service",
                json!({"clusterIP": "None", "clusterIPs": ["None"]}),
                json!({"clusterIP": "None", "clusterIPs": ["None"]}),
                vec![],
            ),
            (
                "v1 PersistentVolumeClaim",
                json!({"volumeName": "pv-1", "storageClassName": "fast"}),
                json!({"storageClassName": "fast"}),
                vec!["volumeName"],
            ),
            ("v1 Pod", json!({"nodeName": "n"}), json!({}), vec!["nodeName"]),
            (
                "batch/v1 Job",
                json!({"selector": {"matchLabels": {"controller-uid": "x"}},
                    "template": {"metadata": {"labels": {"controller-uid": "x", "a": "b"}}}}),
                json!({"template": {"metadata": {"labels": {"a": "b"}}}}),
                vec!["controllerUid"],
            ),
            (
                "example.org/v1 Service",
                json!({"clusterIP": "10.0.0.1"}),
                json!({"clusterIP": "10.0.0.1"}),
                vec![],
            ),
        ] {
            let (version, name) = kind.split_once(' ').unwrap();
            let (sent, applied) =
                sanitized(json!({"apiVersion": version, "kind": name, "spec": spec}));
            assert_eq!((&sent["spec"], applied), (&left, rules), "{kind}");
        }
    }

    #[test]
    fn what_is_there_keeps_what_the_cluster_assigned_to_it() {
        let live = json!({"apiVersion": "v1", "kind": "Service", "status": {"a": 1},
            "metadata": {"name": "s", "uid": "u", "resourceVersion": "9",
                "annotations": {"greffier.dev/application": "web", "added": "1"}},
            "spec": {"clusterIP": "10.0.0.2", "type": "NodePort"}});
        let mut then = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "uid": "old"},
            "spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP"}});
        carry(&mut then, &live);
        assert_eq!(
            then,
            json!({"apiVersion": "v1", "kind": "Service", "status": {"a": 1},
                "metadata": {"name": "s", "uid": "u", "resourceVersion": "9",
                    "annotations": {"greffier.dev/application": "web"}},
                "spec": {"clusterIP": "10.0.0.2", "type": "ClusterIP"}})
        );
    }
}
