//! In which order objects are written: by sync wave, then by kind, then by name.

use crate::model::ObjectKey;

/// Kinds in the order in which they are applied (Argo CD's sync order; see
/// `docs/architecture.md`). A Namespace or CustomResourceDefinition comes before everything of
/// the same wave, because other objects need it to exist.
const KINDS: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// The rank of an object's kind; what is not listed (custom resources) comes last.
#[must_use]
pub fn kind_rank(key: &ObjectKey) -> usize {
    KINDS.iter().position(|kind| *kind == key.kind).unwrap_or(KINDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_definitions_come_first_and_custom_resources_last() {
        let rank = |kind: &str| kind_rank(&ObjectKey::new("", kind, "", "x"));
        assert!(rank("Namespace") < rank("CustomResourceDefinition"));
        assert!(rank("CustomResourceDefinition") < rank("ConfigMap"));
        assert!(rank("ServiceAccount") < rank("Deployment"));
        assert!(rank("APIService") < rank("Widget"));
    }
}
