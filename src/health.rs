//! Tells how an object fares, from the object alone.
//!
//! Built-in kinds follow the semantics that Argo CD publishes (docs/health.md lists the rules and
//! where they differ); every other kind is judged by the conditions that kstatus names (`Ready`,
//! `Reconciling`, `Stalled`, `observedGeneration`), and a kind without conditions is healthy as
//! soon as it exists. An object may ask not to be judged ([`IGNORE`]). Verdicts are recorded
//! together with [`RULES_VERSION`], so that a change of these rules can be told from a change in
//! the cluster.
//!
//! This module is pure. It does not look at other objects: what the children of an object say is
//! the reader's business. It never says `Missing`, because there is an object.

mod argo;
mod batch;
mod conditions;
mod pod;
mod workload;

use serde_json::Value;

use crate::ledger::event::Health;

/// The version of the rules. Raised whenever a verdict or its wording may change.
pub const RULES_VERSION: u16 = 2;

/// The annotation by which an object asks not to be judged: it counts as healthy, and nothing
/// waits for it.
pub const IGNORE: &str = "argocd.argoproj.io/ignore-healthcheck";

/// The longest message, in bytes. Conditions may carry any text.
const MESSAGE_BYTES_MAX: usize = 512;

/// A verdict with what it rests on.
type Verdict = (Health, String);

/// Returns the health of an object as the API server returns it, and what it rests on.
///
/// The message is for a person, names counts and reasons, and is empty where there is nothing to
/// say. Fields that are missing or malformed count as absent.
#[must_use]
pub fn assess(object: &Value) -> (Health, String) {
    let (health, mut message) = verdict(object);
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    (health, message)
}

fn verdict(object: &Value) -> Verdict {
    if annotation(object, IGNORE) == "true" {
        return (Health::Healthy, format!("not judged: {IGNORE}"));
    }
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return (Health::Progressing, "deleting".into());
    }
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    match (group, text("kind")) {
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "ReplicaSet") => workload::replica_set(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("batch", "Job") => batch::job(object),
        ("batch", "CronJob") => batch::cron_job(object),
        ("", "Pod") => pod::pod(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Namespace") => namespace(object),
        ("networking.k8s.io" | "extensions", "Ingress") => load_balanced(object),
        ("autoscaling", "HorizontalPodAutoscaler") => conditions::autoscaler(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => conditions::definition(object),
        ("apiregistration.k8s.io", "APIService") => conditions::api_service(object),
        ("argoproj.io", "Workflow") => argo::workflow(object),
        ("argoproj.io", "Rollout") => argo::rollout(object),
        _ => conditions::conventional(object),
    }
}

fn service(object: &Value) -> Verdict {
    match word(object, "/spec/type") {
        "LoadBalancer" => load_balanced(object),
        _ => healthy(),
    }
}

fn load_balanced(object: &Value) -> Verdict {
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    if addresses.is_some_and(|addresses| !addresses.is_empty()) {
        healthy()
    } else {
        progressing("waiting for a load balancer address")
    }
}

fn claim(object: &Value) -> Verdict {
    match word(object, "/status/phase") {
        "Bound" => healthy(),
        "Pending" | "" => progressing("waiting to be bound"),
        "Lost" => (Health::Degraded, "the bound volume is lost".into()),
        other => (Health::Unknown, format!("phase {other}")),
    }
}

fn namespace(object: &Value) -> Verdict {
    match word(object, "/status/phase") {
        "Terminating" => progressing("terminating"),
        _ => healthy(),
    }
}

/// A healthy object about which there is nothing to say.
fn healthy() -> Verdict {
    (Health::Healthy, String::new())
}

fn progressing(message: impl Into<String>) -> Verdict {
    (Health::Progressing, message.into())
}

fn degraded(message: impl Into<String>) -> Verdict {
    (Health::Degraded, message.into())
}

fn suspended(message: impl Into<String>) -> Verdict {
    (Health::Suspended, message.into())
}

/// Whether a field of the object is `true`.
fn is_set(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer) == Some(&Value::Bool(true))
}

/// An annotation of the object; empty when it does not have it.
fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    let annotations = object.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(name)?.as_str()).unwrap_or_default()
}

/// A string of the object; empty when it is not there.
fn word<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number of the object; 0 when it is not there.
fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Whether the controller has not yet seen the present specification.
fn unseen(object: &Value) -> bool {
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    observed.is_some_and(|observed| observed < number(object, "/metadata/generation"))
}

/// The verdict for a specification that its controller has not seen.
fn waiting_for_controller() -> Verdict {
    progressing("waiting for the controller to see the change")
}

#[cfg(test)]
mod tests;
