//! What is not replayed, by rules that each have a name: what the cluster or its controllers make
//! by themselves, and what lives and dies with one cluster.
//!
//! What Git wants is replayed whatever it is; these rules are for what was observed only, except
//! where they say otherwise.

use serde_json::Value;

use super::candidate::Candidate;
use crate::model::ObjectKey;

/// Namespaces of the cluster itself.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Every rule: its name, and what it leaves out.
pub const SKIPS: &[(&str, &str)] = &[
    (APPLICATION, "an Application: the ledger has its definition, the cluster needs none"),
    (HELD_ABSENT, "an object that a person keeps away (`greffier keep`)"),
    (REMOVING, "an object of an application that is being removed"),
    (SHARED, "an object that another application owns and replays"),
    (CONTROLLED, "an object that its controller makes again"),
    (DELETING, "an object that was being deleted"),
    (SYSTEM, "an object in a namespace of the cluster itself"),
    (CLUSTER_MADE, "an object that every cluster makes by itself"),
    (
        TRANSIENT,
        "an object that lives and dies with one cluster: nodes, leases, events and the like",
    ),
    (TOKEN, "a token of a service account: a new cluster does not know it"),
    (FINISHED, "a pod that has ended"),
    (BOOKKEEPING, "the bookkeeping of a tool about a former cluster"),
];

/// An Application.
pub const APPLICATION: &str = "application";
/// Kept away by a person.
pub const HELD_ABSENT: &str = "held-absent";
/// Of an application that is being removed.
pub const REMOVING: &str = "removing";
/// Another application's.
pub const SHARED: &str = "shared";
/// Made by a controller.
pub const CONTROLLED: &str = "controlled";
/// Being deleted.
pub const DELETING: &str = "deleting";
const SYSTEM: &str = "system-namespace";
const CLUSTER_MADE: &str = "cluster-made";
const TRANSIENT: &str = "transient-kind";
const TOKEN: &str = "service-account-token";
const FINISHED: &str = "finished-pod";
const BOOKKEEPING: &str = "bookkeeping";

/// What a rule leaves out.
#[must_use]
pub fn what(rule: &str) -> &'static str {
    SKIPS.iter().find(|(name, _)| *name == rule).map_or("", |(_, what)| what)
}

/// Whether the key alone says that nobody replays the object.
#[must_use]
pub fn by_key(key: &ObjectKey) -> Option<&'static str> {
    let group = key.group();
    let transient = matches!(
        (group, key.kind()),
        ("", "Node" | "Event" | "ComponentStatus" | "Binding" | "Endpoints")
            | ("apps", "ControllerRevision")
            | ("networking.k8s.io", "IPAddress" | "ServiceCIDR")
            | ("storage.k8s.io", "CSINode" | "VolumeAttachment" | "CSIStorageCapacity")
            | (
                "coordination.k8s.io"
                    | "events.k8s.io"
                    | "metrics.k8s.io"
                    | "discovery.k8s.io"
                    | "certificates.k8s.io"
                    | "internal.apiserver.k8s.io"
                    | "authentication.k8s.io"
                    | "authorization.k8s.io",
                _,
            )
            | ("resource.k8s.io", "ResourceSlice")
    );
    if transient {
        return Some(TRANSIENT);
    }
    if is_in_system(key) {
        return Some(SYSTEM);
    }
    is_made_by_name(key).then_some(CLUSTER_MADE)
}

/// Why an observed object is not replayed.
#[must_use]
pub fn of_observed(candidate: &Candidate) -> Option<&'static str> {
    let key = &candidate.key;
    if key.is_application() {
        return Some(APPLICATION);
    }
    if let Some(rule) = by_key(key) {
        return Some(rule);
    }
    if is_made_by_cluster(key, &candidate.manifest) {
        return Some(CLUSTER_MADE);
    }
    let kind = candidate.text("/type");
    if key.is_secret() && kind == "kubernetes.io/service-account-token" {
        return Some(TOKEN);
    }
    if key.is_secret() && matches!(kind, "helm.sh/release.v1" | "bootstrap.kubernetes.io/token") {
        return Some(BOOKKEEPING);
    }
    let phase = candidate.text("/status/phase");
    (key.is("", "Pod") && matches!(phase, "Succeeded" | "Failed")).then_some(FINISHED)
}

fn is_in_system(key: &ObjectKey) -> bool {
    SYSTEM_NAMESPACES.contains(&key.namespace())
}

fn is_made_by_name(key: &ObjectKey) -> bool {
    match (key.group(), key.kind(), key.name()) {
        ("", "Namespace", name) => name == "default" || SYSTEM_NAMESPACES.contains(&name),
        ("", "ServiceAccount", "default") | ("", "ConfigMap", "kube-root-ca.crt") => true,
        ("", "Service", "kubernetes") => key.namespace() == "default",
        ("scheduling.k8s.io", "PriorityClass", name) => name.starts_with("system-"),
        _ => false,
    }
}

/// Whether a cluster has an object by itself, so that finding it says nothing about whether
/// somebody uses the cluster.
#[must_use]
pub fn is_made_by_cluster(key: &ObjectKey, live: &Value) -> bool {
    let marked = |map: &str, name: &str| {
        live.pointer(map).and_then(|map| map.get(name)).is_some_and(|value| !value.is_null())
    };
    let (labels, annotations) = ("/metadata/labels", "/metadata/annotations");
    is_made_by_name(key)
        || marked(labels, "kubernetes.io/bootstrapping")
        || marked(labels, "kube-aggregator.kubernetes.io/automanaged")
        || (key.group() == "flowcontrol.apiserver.k8s.io"
            && marked(annotations, "apf.kubernetes.io/autoupdate-spec"))
        || (key.group() == "rbac.authorization.k8s.io" && key.name().starts_with("system:"))
}
