//! Whether a kind lives in a namespace: what the cluster serves, then what the custom resource
//! definitions of the same render say, then what every Kubernetes has built in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{GroupKind, Scope};

/// The groups that Kubernetes itself serves. Their kinds are namespaced unless listed below.
const BUILT_IN_GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The built-in kinds that live in the cluster as a whole.
const BUILT_IN_CLUSTER: &[(&str, &[&str])] = &[
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    (
        "authorization.k8s.io",
        &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"],
    ),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// What is known about scopes, and which kinds were asked for in vain.
pub(super) struct Scopes<'a> {
    served: &'a BTreeMap<GroupKind, Scope>,
    defined: BTreeMap<GroupKind, Scope>,
    unknown: BTreeSet<GroupKind>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new<'v>(
        served: &'a BTreeMap<GroupKind, Scope>,
        manifests: impl Iterator<Item = &'v Value>,
    ) -> Self {
        let defined = manifests.filter_map(definition).collect();
        Self { served, defined, unknown: BTreeSet::new() }
    }

    /// The scope of a kind. One that nobody knows is taken for namespaced, and remembered.
    pub(super) fn scope(&mut self, kind: &GroupKind) -> Scope {
        if let Some(scope) = self.served.get(kind).or_else(|| self.defined.get(kind)) {
            return *scope;
        }
        let built_in = built_in(kind);
        // A cluster that says what it serves and does not serve this: the scope is a guess.
        if !self.served.is_empty() || built_in.is_none() {
            self.unknown.insert(kind.clone());
        }
        built_in.unwrap_or(Scope::Namespaced)
    }

    /// The kinds whose scope was a guess.
    pub(super) fn unknown(self) -> Vec<GroupKind> {
        self.unknown.into_iter().collect()
    }
}

/// The kind that a custom resource definition defines.
fn definition(manifest: &Value) -> Option<(GroupKind, Scope)> {
    let api_version = manifest.get("apiVersion")?.as_str()?;
    let is_definition = api_version.starts_with("apiextensions.k8s.io/")
        && manifest.get("kind")?.as_str()? == "CustomResourceDefinition";
    if !is_definition {
        return None;
    }
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let scope = match text("/spec/scope") {
        Some("Cluster") => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    Some((GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?), scope))
}

fn built_in(kind: &GroupKind) -> Option<Scope> {
    if !BUILT_IN_GROUPS.contains(&kind.group.as_str()) {
        return None;
    }
    let cluster = BUILT_IN_CLUSTER.iter().find(|(group, _)| *group == kind.group);
    let listed = cluster.is_some_and(|(_, kinds)| kinds.contains(&kind.kind.as_str()));
    Some(if listed { Scope::Cluster } else { Scope::Namespaced })
}
