//! What is taken out of a manifest before it is written to another cluster, by rules that each
//! have a name. A plan says which rules touched which object.
//!
//! What Git says stays, except for what no client may set: a clusterIP in Git is somebody's wish,
//! an observed one that Git does not name is the former cluster's. Pure.

use serde_json::{Map, Value};

use super::candidate::Source;
use crate::model::ObjectKey;

/// A rule.
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it takes out.
    pub what: &'static str,
    /// Whether it is for what was observed only.
    pub observed: bool,
    apply: fn(&ObjectKey, &mut Value) -> bool,
}

/// Every rule, in the order in which they are applied.
pub const RULES: &[Rule] = &[
    rule("status", "status: the cluster writes it", false, status),
    rule(
        "server-metadata",
        "uid, resourceVersion, generation, timestamps, managedFields and selfLink: each API server \
         gives its own",
        false,
        server_metadata,
    ),
    rule(
        "client-annotations",
        "copies of former manifests and revisions in annotations",
        true,
        client_annotations,
    ),
    rule(
        "namespace-finalizers",
        "spec.finalizers of a Namespace: the API server sets them",
        false,
        namespace_finalizers,
    ),
    rule(
        "service-address",
        "clusterIP, clusterIPs and healthCheckNodePort that the former cluster gave a Service; a \
         headless one stays headless",
        true,
        service_address,
    ),
    rule(
        "service-node-port",
        "nodePorts that the former cluster gave a Service; those that Git names stay",
        true,
        service_node_port,
    ),
    rule(
        "claim-binding",
        "the volume that a PersistentVolumeClaim was bound to, and the annotations that say so",
        false,
        claim_binding,
    ),
    rule(
        "volume-claim",
        "uid and resourceVersion of the claim that a PersistentVolume is for: it is bound to the \
         new claim of that name",
        false,
        volume_claim,
    ),
    rule(
        "pod-node",
        "the node that a Pod ran on, and the token volume that the API server adds",
        true,
        pod_node,
    ),
    rule("job-identity", "selector and labels with the former uid of a Job", true, job_identity),
    rule("account-tokens", "the tokens that a ServiceAccount lists", true, account_tokens),
    rule(
        "aggregated-rules",
        "rules of a ClusterRole that are put together from others: kube-controller-manager does it",
        false,
        aggregated_rules,
    ),
    rule(
        "injected-ca",
        "a caBundle that somebody puts in: the authority behind it may be a new one",
        true,
        injected_ca,
    ),
];

const fn rule(
    id: &'static str,
    what: &'static str,
    observed: bool,
    apply: fn(&ObjectKey, &mut Value) -> bool,
) -> Rule {
    Rule { id, what, observed, apply }
}

/// The rule about finalizers, which needs to know what Git wants.
pub const FINALIZERS: (&str, &str) =
    ("finalizers", "finalizers that Git does not name: whoever set them sets them again");
/// The rule about owners, which needs to know what else is replayed.
pub const OWNERS: (&str, &str) =
    ("owners", "uids of owners: those of the new objects, or no owner where it is not replayed");

/// What a rule takes out.
#[must_use]
pub fn what(id: &str) -> &'static str {
    let own = [FINALIZERS, OWNERS];
    let plain = RULES.iter().map(|rule| (rule.id, rule.what));
    plain.chain(own).find(|(name, _)| *name == id).map_or("", |(_, what)| what)
}

/// Annotations of Kubernetes that say where an injected authority comes from.
const INJECTED_CA: [&str; 5] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
    "operator.knative.dev/inject-cabundle",
];

/// Takes out what may not be written; returns the rules that took something.
pub fn sanitise(
    key: &ObjectKey,
    source: Source,
    wanted: Option<&Value>,
    manifest: &mut Value,
) -> Vec<&'static str> {
    let mut used = Vec::new();
    let wanted_rules = || RULES.iter().filter(|rule| !rule.observed);
    let named = wanted.filter(|_| source == Source::Observed).cloned().map(|mut named| {
        wanted_rules().for_each(|rule| {
            (rule.apply)(key, &mut named);
        });
        named
    });
    for rule in RULES.iter().filter(|rule| !rule.observed || source == Source::Observed) {
        let before = named.is_some().then(|| manifest.clone());
        if !(rule.apply)(key, manifest) {
            continue;
        }
        if let (Some(named), Some(before)) = (&named, &before) {
            put_back(before, named, manifest);
        }
        if before.is_none_or(|before| before != *manifest) {
            used.push(rule.id);
        }
    }
    if source == Source::Observed && finalizers(wanted, manifest) {
        used.push(FINALIZERS.0);
    }
    tidy(manifest);
    used
}

/// Who injects the authority of an object, if somebody does: the annotation.
#[must_use]
pub fn injected_from(manifest: &Value) -> Option<&'static str> {
    let annotations = manifest.pointer("/metadata/annotations")?.as_object()?;
    INJECTED_CA.into_iter().find(|name| annotations.contains_key(*name))
}

/// Puts back what a rule took out of `before` and Git names, as Git has it: it was never only the
/// former cluster's, and what is immutable could never become so again.
fn put_back(before: &Value, named: &Value, manifest: &mut Value) {
    match (before, named, manifest) {
        (Value::Object(before), Value::Object(named), Value::Object(manifest)) => {
            for (name, wish) in named {
                let Some(before) = before.get(name) else { continue };
                match manifest.get_mut(name) {
                    Some(left) => put_back(before, wish, left),
                    None => {
                        manifest.insert(name.clone(), wish.clone());
                    }
                }
            }
        }
        // No rule changes the order; one that drops whole items drops what Git cannot name.
        (Value::Array(before), Value::Array(named), Value::Array(left))
            if before.len() == left.len() =>
        {
            for (before, left) in before.iter().zip(left) {
                let mut wishes = named.iter().filter(|wish| is_same_item(before, wish));
                if let Some(wish) = wishes.next() {
                    put_back(before, wish, left);
                }
            }
        }
        _ => {}
    }
}

/// Whether two items of a list are one: by name, or as the ports of a Service.
fn is_same_item(a: &Value, b: &Value) -> bool {
    let protocol = |item: &Value| item["protocol"].as_str().unwrap_or("TCP").to_owned();
    match (a.get("name"), b.get("name")) {
        (Some(a), Some(b)) => a == b,
        _ => {
            a.get("port").is_some() && a.get("port") == b.get("port") && protocol(a) == protocol(b)
        }
    }
}

/// The map at a place.
fn at<'m>(manifest: &'m mut Value, pointer: &str) -> Option<&'m mut Map<String, Value>> {
    manifest.pointer_mut(pointer)?.as_object_mut()
}

/// Removes fields of the map at a place; says whether there was one.
fn remove(manifest: &mut Value, pointer: &str, fields: &[&str]) -> bool {
    let Some(map) = at(manifest, pointer) else { return false };
    let before = map.len();
    map.retain(|name, _| !fields.contains(&name.as_str()));
    map.len() < before
}

fn status(_: &ObjectKey, manifest: &mut Value) -> bool {
    remove(manifest, "", &["status"])
}

fn server_metadata(_: &ObjectKey, manifest: &mut Value) -> bool {
    let fields = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    ];
    remove(manifest, "/metadata", &fields)
}

fn client_annotations(_: &ObjectKey, manifest: &mut Value) -> bool {
    let fields = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "control-plane.alpha.kubernetes.io/leader",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
    ];
    remove(manifest, "/metadata/annotations", &fields)
}

fn namespace_finalizers(key: &ObjectKey, manifest: &mut Value) -> bool {
    key.is("", "Namespace") && remove(manifest, "/spec", &["finalizers"])
}

fn service_address(key: &ObjectKey, manifest: &mut Value) -> bool {
    let headless = manifest.pointer("/spec/clusterIP").is_some_and(|ip| ip == "None");
    let mut fields = vec!["healthCheckNodePort"];
    if !headless {
        fields.extend(["clusterIP", "clusterIPs"]);
    }
    key.is("", "Service") && remove(manifest, "/spec", &fields)
}

fn service_node_port(key: &ObjectKey, manifest: &mut Value) -> bool {
    if !key.is("", "Service") {
        return false;
    }
    let ports = manifest.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    let ports = ports.into_iter().flatten().filter_map(Value::as_object_mut);
    ports.filter_map(|port| port.remove("nodePort")).count() > 0
}

fn claim_binding(key: &ObjectKey, manifest: &mut Value) -> bool {
    if !key.is("", "PersistentVolumeClaim") {
        return false;
    }
    let bound = remove(
        manifest,
        "/metadata/annotations",
        &[
            "pv.kubernetes.io/bind-completed",
            "pv.kubernetes.io/bound-by-controller",
            "volume.kubernetes.io/selected-node",
            "volume.kubernetes.io/storage-provisioner",
            "volume.beta.kubernetes.io/storage-provisioner",
        ],
    );
    // A volume that the claim was bound to by a controller; one that Git names is a wish.
    if bound {
        remove(manifest, "/spec", &["volumeName"]);
    }
    bound
}

fn volume_claim(key: &ObjectKey, manifest: &mut Value) -> bool {
    key.is("", "PersistentVolume")
        && remove(manifest, "/spec/claimRef", &["uid", "resourceVersion"])
}

fn pod_node(key: &ObjectKey, manifest: &mut Value) -> bool {
    if !key.is("", "Pod") {
        return false;
    }
    const TOKEN: &str = "kube-api-access-";
    let named = |value: &Value| {
        value.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(TOKEN))
    };
    let mut found = remove(manifest, "/spec", &["nodeName"]);
    let mut drop_token = |list: Option<&mut Value>| {
        let Some(list) = list.and_then(Value::as_array_mut) else { return };
        let before = list.len();
        list.retain(|value| !named(value));
        found |= list.len() < before;
    };
    drop_token(manifest.pointer_mut("/spec/volumes"));
    for containers in ["/spec/containers", "/spec/initContainers"] {
        let containers = manifest.pointer_mut(containers).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            drop_token(container.get_mut("volumeMounts"));
        }
    }
    found
}

fn job_identity(key: &ObjectKey, manifest: &mut Value) -> bool {
    let manual = manifest.pointer("/spec/manualSelector").is_some_and(|manual| manual == true);
    if !key.is("batch", "Job") || manual {
        return false;
    }
    let labels = [
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
    ];
    let selector = remove(manifest, "/spec", &["selector"]);
    let own = remove(manifest, "/metadata/labels", &labels);
    let found = remove(manifest, "/spec/template/metadata/labels", &labels) | selector | own;
    // Nothing is left to own of what the API server puts there again: it may not be taken away.
    for (above, name) in [("/spec/template/metadata", "labels"), ("/spec/template", "metadata")] {
        let Some(map) = at(manifest, above) else { continue };
        if map.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
            map.remove(name);
        }
    }
    found
}

fn account_tokens(key: &ObjectKey, manifest: &mut Value) -> bool {
    key.is("", "ServiceAccount") && remove(manifest, "", &["secrets"])
}

fn aggregated_rules(key: &ObjectKey, manifest: &mut Value) -> bool {
    let aggregated = manifest.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    key.is("rbac.authorization.k8s.io", "ClusterRole")
        && aggregated
        && remove(manifest, "", &["rules"])
}

fn injected_ca(_: &ObjectKey, manifest: &mut Value) -> bool {
    if injected_from(manifest).is_none() {
        return false;
    }
    let mut found = remove(manifest, "/spec", &["caBundle"]);
    found |= remove(manifest, "/spec/conversion/webhook/clientConfig", &["caBundle"]);
    let webhooks = manifest.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        found |= remove(webhook, "/clientConfig", &["caBundle"]);
    }
    found
}

/// Keeps the finalizers that Git names.
fn finalizers(wanted: Option<&Value>, manifest: &mut Value) -> bool {
    let named = wanted.and_then(|wanted| wanted.pointer("/metadata/finalizers")?.as_array());
    let named = named.cloned().unwrap_or_default();
    let list = manifest.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut);
    let Some(list) = list else { return false };
    let before = list.len();
    list.retain(|finalizer| named.contains(finalizer));
    list.len() < before
}

/// Removes what the rules left empty.
fn tidy(manifest: &mut Value) {
    let Some(metadata) = at(manifest, "/metadata") else { return };
    metadata.retain(|name, value| {
        let may_be_empty = !matches!(name.as_str(), "annotations" | "labels" | "finalizers");
        let map = value.as_object().is_some_and(Map::is_empty);
        let list = value.as_array().is_some_and(Vec::is_empty);
        may_be_empty || !(map || list)
    });
}
