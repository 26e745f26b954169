//! In which API version an object is written: the one it was recorded in, or another of the same
//! kind where the fields mean the same.
//!
//! Kubernetes removes versions. Where the newer one has the same fields the manifest is written in
//! it; where fields were renamed or mean something else, nobody rewrites it here: it is named with
//! the reason and not written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{GroupKind, ObjectKey};

/// Which versions a cluster serves of each kind, or will when the plan's definitions are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    kinds: BTreeMap<GroupKind, BTreeSet<String>>,
    /// Whether nothing is known of the cluster: everything is taken to be served as it was.
    unknown: bool,
}

/// How an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// As it was recorded.
    Same,
    /// In this version.
    Mapped(String),
    /// Not at all: why.
    Not(String),
}

impl Serving {
    /// What a cluster serves: kinds with a version.
    #[must_use]
    pub fn of(served: impl IntoIterator<Item = (GroupKind, String)>) -> Self {
        let mut serving = Self::default();
        for (kind, version) in served {
            serving.kinds.entry(kind).or_default().insert(version);
        }
        serving
    }

    /// No cluster was asked.
    #[must_use]
    pub fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Also what a CustomResourceDefinition brings.
    pub fn add_definition(&mut self, definition: &Value) {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else {
            return;
        };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        let served = versions.into_iter().flatten().filter(|version| version["served"] == true);
        for version in served.filter_map(|version| version.get("name")?.as_str()) {
            let kind = GroupKind::new(group, kind);
            self.kinds.entry(kind).or_default().insert(version.to_owned());
        }
    }

    /// Whether no cluster was asked, and nothing replayed defines a kind.
    #[must_use]
    pub fn is_undefined(&self, kind: &GroupKind) -> bool {
        self.unknown && !self.kinds.contains_key(kind)
    }

    /// Also everything that an APIService brings: which kinds these are, only it knows.
    fn is_aggregated(&self, group: &str, services: &BTreeSet<String>) -> bool {
        services.contains(group) && !self.kinds.keys().any(|kind| kind.group == group)
    }

    /// How an object is written; `services` are the groups of the plan's own APIServices.
    #[must_use]
    pub fn choose(
        &self,
        key: &ObjectKey,
        version: &str,
        manifest: &Value,
        services: &BTreeSet<String>,
    ) -> Choice {
        let kind = key.group_kind();
        if self.unknown || self.is_aggregated(key.group(), services) {
            return Choice::Same;
        }
        let Some(served) = self.kinds.get(&kind) else {
            return Choice::Not(match gone(&kind, version) {
                Some(why) => format!("the cluster does not serve {kind}: {why}"),
                None => {
                    format!("the cluster does not serve {kind}, and nothing replayed defines it")
                }
            });
        };
        if served.contains(version) {
            return Choice::Same;
        }
        let mut why = None;
        let known = SAFE.iter().filter(|row| row.matches(&kind, version));
        for row in known.filter(|row| served.contains(row.to)) {
            match (row.unless)(manifest) {
                None => return Choice::Mapped(row.to.to_owned()),
                Some(reason) => why = Some(reason.to_owned()),
            }
        }
        let why = why.or_else(|| gone(&kind, version).map(str::to_owned));
        let versions: Vec<&str> = served.iter().map(String::as_str).collect();
        let why = why.unwrap_or_else(|| "whether its fields mean the same is not known".to_owned());
        Choice::Not(format!(
            "the cluster serves {kind} in {} and not in {version}: {why}",
            versions.join(", ")
        ))
    }
}

/// A version whose manifests may be written in another.
struct Row {
    group: &'static str,
    /// `*` = every kind of the group.
    kind: &'static str,
    from: &'static str,
    to: &'static str,
    /// Why a manifest may not.
    unless: fn(&Value) -> Option<&'static str>,
}

impl Row {
    fn matches(&self, kind: &GroupKind, version: &str) -> bool {
        self.group == kind.group
            && (self.kind == "*" || self.kind == kind.kind)
            && self.from == version
    }
}

const fn row(
    group: &'static str,
    kind: &'static str,
    from: &'static str,
    to: &'static str,
    unless: fn(&Value) -> Option<&'static str>,
) -> Row {
    Row { group, kind, from, to, unless }
}

fn never(_: &Value) -> Option<&'static str> {
    None
}

/// Versions whose fields are the same, by the API's own deprecation guide.
const SAFE: &[Row] = &[
    row("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "v1beta1", "v1", never),
    row("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "v1beta1", "v1", never),
    row("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "v1beta1", "v1", never),
    row("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "v1beta1", "v1", never),
    row("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "v1beta1", "v1", webhook),
    row("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "v1beta1", "v1", webhook),
    row("apiregistration.k8s.io", "APIService", "v1beta1", "v1", never),
    row("apps", "*", "v1beta2", "v1", selector),
    row("autoscaling", "HorizontalPodAutoscaler", "v2beta2", "v2", never),
    row("batch", "CronJob", "v1beta1", "v1", never),
    row("coordination.k8s.io", "Lease", "v1beta1", "v1", never),
    row("discovery.k8s.io", "EndpointSlice", "v1beta1", "v1", topology),
    row("flowcontrol.apiserver.k8s.io", "FlowSchema", "v1beta3", "v1", never),
    row("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "v1beta3", "v1", shares),
    row("networking.k8s.io", "IngressClass", "v1beta1", "v1", never),
    row("networking.k8s.io", "IPAddress", "v1beta1", "v1", never),
    row("networking.k8s.io", "ServiceCIDR", "v1beta1", "v1", never),
    row("node.k8s.io", "RuntimeClass", "v1beta1", "v1", never),
    row("policy", "PodDisruptionBudget", "v1beta1", "v1", empty_selector),
    row("rbac.authorization.k8s.io", "*", "v1beta1", "v1", never),
    row("resource.k8s.io", "*", "v1beta2", "v1", never),
    row("scheduling.k8s.io", "PriorityClass", "v1beta1", "v1", never),
    row("storage.k8s.io", "StorageClass", "v1beta1", "v1", never),
    row("storage.k8s.io", "CSIDriver", "v1beta1", "v1", never),
    row("storage.k8s.io", "CSINode", "v1beta1", "v1", never),
    row("storage.k8s.io", "CSIStorageCapacity", "v1beta1", "v1", never),
    row("storage.k8s.io", "VolumeAttachment", "v1beta1", "v1", never),
    row("storage.k8s.io", "VolumeAttributesClass", "v1beta1", "v1", never),
];

fn webhook(manifest: &Value) -> Option<&'static str> {
    let webhooks = manifest.get("webhooks").and_then(Value::as_array);
    let complete = webhooks.into_iter().flatten().all(|webhook| {
        let effects = webhook.get("sideEffects").and_then(Value::as_str);
        let set = |field: &str| webhook.get(field).is_some_and(|value| !value.is_null());
        matches!(effects, Some("None" | "NoneOnDryRun"))
            && ["admissionReviewVersions", "failurePolicy", "matchPolicy", "timeoutSeconds"]
                .iter()
                .all(|field| set(field))
    });
    let why = "v1 wants sideEffects None or NoneOnDryRun, admissionReviewVersions, and has other \
               defaults for failurePolicy, matchPolicy and timeoutSeconds";
    (!complete).then_some(why)
}

fn selector(manifest: &Value) -> Option<&'static str> {
    let set = manifest.pointer("/spec/selector").is_some_and(|selector| !selector.is_null());
    (!set && manifest["kind"] != "ControllerRevision").then_some("v1 wants spec.selector")
}

fn topology(manifest: &Value) -> Option<&'static str> {
    let endpoints = manifest.get("endpoints").and_then(Value::as_array);
    let has = |endpoint: &Value| endpoint.get("topology").is_some();
    let has_topology = endpoints.is_some_and(|all| all.iter().any(has));
    has_topology.then_some("v1 has no endpoints[].topology")
}

fn shares(manifest: &Value) -> Option<&'static str> {
    let set = manifest.pointer("/spec/limited/nominalConcurrencyShares").is_some();
    let exempt = manifest.pointer("/spec/type").and_then(Value::as_str) == Some("Exempt");
    (!set && !exempt).then_some("v1 has another default for nominalConcurrencyShares")
}

fn empty_selector(manifest: &Value) -> Option<&'static str> {
    let selector = manifest.pointer("/spec/selector").and_then(Value::as_object);
    let given = |field: &str| {
        let value = selector.and_then(|selector| selector.get(field));
        value.is_some_and(|v| {
            v.as_object().is_some_and(|map| !map.is_empty())
                || v.as_array().is_some_and(|list| !list.is_empty())
        })
    };
    let some = given("matchLabels") || given("matchExpressions");
    (!some).then_some("an empty selector matches no pod in v1beta1 and every pod in v1")
}

/// Why a version that was removed cannot be written in another.
fn gone(kind: &GroupKind, version: &str) -> Option<&'static str> {
    Some(match (kind.group.as_str(), kind.kind.as_str(), version) {
        ("extensions", _, _) => {
            "the group `extensions` was removed; fields differ in its successors"
        }
        ("policy", "PodSecurityPolicy", _) => "it was removed in 1.25 without a successor",
        ("networking.k8s.io", "Ingress", "v1beta1") => {
            "v1 renamed the fields of backends and wants pathType"
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition", "v1beta1") => {
            "v1 wants a schema for every version"
        }
        ("autoscaling", "HorizontalPodAutoscaler", "v2beta1") => {
            "v2 describes the targets of metrics otherwise"
        }
        ("apps", _, "v1beta1") => "v1 has other defaults for selectors, history and strategy",
        ("flowcontrol.apiserver.k8s.io", _, "v1alpha1" | "v1beta1" | "v1beta2") => {
            "assuredConcurrencyShares was renamed"
        }
        ("node.k8s.io", "RuntimeClass", "v1alpha1") => "v1 has its fields in another place",
        ("resource.k8s.io", _, _) => "requests of devices are described otherwise",
        _ => return None,
    })
}
