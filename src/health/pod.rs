//! Health of a Pod: its phase, and what its containers wait for.
//!
//! Messages name the container and the kubelet's reason, never the kubelet's text: that contains
//! back-off times that change at every try.

use serde_json::Value;

use super::conditions::condition;
use super::{Verdict, annotation, degraded, healthy, number, progressing, word};

/// The annotation of a Pod that is judged as one that runs for ever, whatever it says.
const IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";

pub(super) fn pod(object: &Value) -> Verdict {
    let always = matches!(word(object, "/spec/restartPolicy"), "Always" | "")
        || annotation(object, IGNORE_RESTART_POLICY) == "true";
    if always && let Some(failing) = failing_container(object) {
        return degraded(failing);
    }
    match word(object, "/status/phase") {
        "Succeeded" => healthy(),
        "Failed" => degraded(why_failed(object)),
        "Running" if always => running(object),
        // A pod that is meant to end has not ended yet.
        "Running" => progressing("running"),
        "Pending" | "" => progressing(why_pending(object)),
        other => (crate::ledger::event::Health::Unknown, format!("phase {other}")),
    }
}

fn running(object: &Value) -> Verdict {
    if condition(object, "Ready").is_some_and(|ready| ready.is_true()) {
        return healthy();
    }
    let restarted = containers(object).find(|one| one.pointer("/lastState/terminated").is_some());
    match restarted {
        Some(container) => degraded(format!(
            "container {} restarted and is not ready: {}",
            word(container, "/name"),
            ending(container, "/lastState/terminated")
        )),
        None => progressing("not ready"),
    }
}

/// The first container that waits because of a fault, with the reason.
fn failing_container(object: &Value) -> Option<String> {
    containers(object).find_map(|container| {
        let reason = word(container, "/state/waiting/reason");
        let fault =
            reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff");
        fault.then(|| format!("container {}: {reason}", word(container, "/name")))
    })
}

fn why_failed(object: &Value) -> String {
    let reason = word(object, "/status/reason");
    if !reason.is_empty() {
        return reason.to_owned();
    }
    let failed = containers(object).find(|one| {
        one.pointer("/state/terminated").is_some() && number(one, "/state/terminated/exitCode") != 0
    });
    match failed {
        Some(one) => {
            format!("container {}: {}", word(one, "/name"), ending(one, "/state/terminated"))
        }
        None => "failed".into(),
    }
}

fn why_pending(object: &Value) -> String {
    let waiting = containers(object).find_map(|container| {
        let reason = word(container, "/state/waiting/reason");
        (!reason.is_empty()).then(|| format!("container {}: {reason}", word(container, "/name")))
    });
    let unscheduled = || {
        let scheduled = condition(object, "PodScheduled")?;
        (scheduled.status == "False").then(|| scheduled.words("not scheduled"))
    };
    waiting.or_else(unscheduled).unwrap_or_else(|| "pending".into())
}

fn ending(container: &Value, pointer: &str) -> String {
    let code = number(container, &format!("{pointer}/exitCode"));
    match word(container, &format!("{pointer}/reason")) {
        "" | "Error" => format!("exit code {code}"),
        reason => format!("{reason}, exit code {code}"),
    }
}

fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| object.pointer(pointer)?.as_array())
        .flatten()
}
