//! In which order objects are replayed: by stage, owners before what they own, by sync wave, by
//! kind, by name.
//!
//! Stages are about what the API server needs to take an object at all, and about what would be in
//! the way: admission comes last, because a webhook whose workload is not there yet refuses
//! everything that it matches, and quotas before it, because what was there before a quota was made
//! may be more than it lets. The level of Pod Security that a Namespace enforces comes with the
//! Namespace: no Pod may come up meanwhile that it forbids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{GroupKind, ObjectKey};
use crate::plan::kind_rank;

/// What is replayed together; the next stage begins when the former was written and, where it
/// matters, is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// CustomResourceDefinitions: waited for until they are established.
    Definitions,
    /// Namespaces.
    Namespaces,
    /// Service accounts and RBAC.
    Access,
    /// What workloads are configured with.
    Configuration,
    /// Services, before the workloads that find each other by them.
    Services,
    /// Workloads.
    Workloads,
    /// Everything else: custom resources, ingresses, autoscalers.
    Rest,
    /// APIServices.
    Apis,
    /// Objects of kinds that those serve.
    Aggregated,
    /// Quotas, after everything that they count: what was there before them stays over them.
    Quotas,
    /// Admission webhooks and policies.
    Admission,
}

impl Stage {
    /// The stage of a kind, as far as the kind alone tells.
    #[must_use]
    pub fn of(kind: &GroupKind) -> Self {
        let GroupKind { group, kind } = kind;
        match (group.as_str(), kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Definitions,
            ("", "Namespace") => Self::Namespaces,
            ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => Self::Access,
            (
                "",
                "ConfigMap"
                | "Secret"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                // It changes what comes after it, beside what it refuses.
                | "LimitRange",
            )
            | (
                "scheduling.k8s.io"
                | "storage.k8s.io"
                | "node.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "networking.k8s.io",
                "PriorityClass"
                | "StorageClass"
                | "VolumeAttributesClass"
                | "CSIDriver"
                | "RuntimeClass"
                | "FlowSchema"
                | "PriorityLevelConfiguration"
                | "IngressClass"
                | "NetworkPolicy",
            ) => Self::Configuration,
            ("", "Service" | "Endpoints") | ("discovery.k8s.io", "EndpointSlice") => Self::Services,
            ("", "Pod" | "ReplicationController" | "PodTemplate")
            | ("apps", _)
            | ("batch", "Job" | "CronJob") => Self::Workloads,
            ("apiregistration.k8s.io", "APIService") => Self::Apis,
            ("", "ResourceQuota") => Self::Quotas,
            ("admissionregistration.k8s.io", _) => Self::Admission,
            _ => Self::Rest,
        }
    }

    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Namespaces => "namespaces",
            Self::Access => "access",
            Self::Configuration => "configuration",
            Self::Services => "services",
            Self::Workloads => "workloads",
            Self::Rest => "rest",
            Self::Apis => "apis",
            Self::Aggregated => "aggregated",
            Self::Quotas => "quotas",
            Self::Admission => "admission",
        }
    }
}

/// Where an object stands in the order. What has the same place is written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The stage.
    pub stage: Stage,
    /// How many owners of the same stage come before it, one after the other.
    pub depth: u32,
    /// The sync wave.
    pub wave: i32,
    /// The rank of its kind.
    pub rank: usize,
}

/// What is to be put in order.
pub struct Placed<'a> {
    /// The object.
    pub key: &'a ObjectKey,
    /// The group and version that it is written in.
    pub api: (&'a str, &'a str),
    /// Its sync wave.
    pub wave: i32,
    /// Its manifest.
    pub manifest: &'a Value,
    /// The objects of the plan that own it, by their positions.
    pub owners: Vec<usize>,
}

/// The place of each object. Owners in a circle stop at a bound: such references are not real.
#[must_use]
pub fn places(objects: &[Placed<'_>]) -> Vec<Place> {
    let aggregated = aggregated(objects);
    let mut places: Vec<Place> = objects
        .iter()
        .map(|object| {
            let stage = match Stage::of(&object.key.group_kind()) {
                Stage::Rest if aggregated.contains_key(&object.api) => Stage::Aggregated,
                stage => stage,
            };
            Place { stage, depth: 0, wave: object.wave, rank: kind_rank(object.key) }
        })
        .collect();
    // Bound: no chain of owners is longer than there are objects, and none that makes sense is
    // longer than this.
    for _ in 0..objects.len().min(OWNERS_MAX) {
        let mut moved = false;
        for (index, object) in objects.iter().enumerate() {
            for owner in &object.owners {
                let owner = places[*owner];
                let own = &mut places[index];
                let depth = if owner.stage >= own.stage { owner.depth + 1 } else { 0 };
                let next = (own.stage.max(owner.stage), own.depth.max(depth));
                moved |= next != (own.stage, own.depth);
                (own.stage, own.depth) = next;
            }
        }
        if !moved {
            break;
        }
    }
    places
}

/// Bound: how long a chain of owners is followed.
const OWNERS_MAX: usize = 32;

/// The group versions that an APIService of the plan serves with a program of the cluster.
fn aggregated<'a>(objects: &[Placed<'a>]) -> BTreeMap<(&'a str, &'a str), ()> {
    let services = objects.iter().filter(|object| object.key.kind() == "APIService");
    let served = services.filter_map(|object| {
        let spec = object.manifest.get("spec")?;
        spec.get("service").filter(|service| !service.is_null())?;
        Some(((spec.get("group")?.as_str()?, spec.get("version")?.as_str()?), ()))
    });
    served.collect()
}
