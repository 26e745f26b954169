//! Health of kinds of the Argo projects: Workflow, Rollout. Applications are not judged here: they
//! are greffier's own, see `plan::health`.

use serde_json::Value;

use super::conditions::condition;
use super::{Verdict, degraded, healthy, is_set, number, progressing, suspended, word};
use crate::ledger::event::Health;

pub(super) fn workflow(object: &Value) -> Verdict {
    let message = word(object, "/status/message");
    match word(object, "/status/phase") {
        "" | "Pending" | "Running" => progressing(or(message, "running")),
        "Succeeded" => healthy(),
        "Failed" | "Error" => degraded(or(message, "failed")),
        other => (Health::Unknown, format!("phase {other}")),
    }
}

pub(super) fn rollout(object: &Value) -> Verdict {
    // Unlike elsewhere, the generation is text here.
    let observed = match object.pointer("/status/observedGeneration") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_i64(),
        None => None,
    };
    if observed != Some(number(object, "/metadata/generation")) {
        return super::waiting_for_controller();
    }
    if let Some(invalid) = condition(object, "InvalidSpec") {
        return degraded(invalid.words("the specification is invalid"));
    }
    let late = condition(object, "Progressing")
        .filter(|now| matches!(now.reason, "RolloutAborted" | "ProgressDeadlineExceeded"));
    if let Some(late) = late {
        return degraded(late.words("aborted"));
    }
    let pauses = object.pointer("/status/pauseConditions").and_then(Value::as_array);
    if is_set(object, "/spec/paused") || pauses.is_some_and(|pauses| !pauses.is_empty()) {
        return suspended("paused");
    }
    rolled_out(object)
}

fn rolled_out(object: &Value) -> Verdict {
    let current = word(object, "/status/currentPodHash");
    if current.is_empty() {
        return super::waiting_for_controller();
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let available = number(object, "/status/availableReplicas");
    let all = number(object, "/status/replicas");
    if updated < wanted {
        return progressing(format!("{updated} of {wanted} replicas are updated"));
    }
    if available < updated {
        return progressing(format!("{available} of {updated} replicas are available"));
    }
    let stable = or(word(object, "/status/stableRS"), word(object, "/status/canary/stableRS"));
    if object.pointer("/spec/strategy/blueGreen").is_some() {
        if word(object, "/status/blueGreen/activeSelector") != current {
            return progressing("the active service still points to the old version");
        }
        if !stable.is_empty() && stable != current {
            return progressing("waiting for the analysis");
        }
    } else if object.pointer("/spec/strategy/canary").is_some() {
        if all > updated {
            return progressing(format!("{} old replicas are still there", all - updated));
        }
        if stable != current {
            return progressing("the steps are not finished");
        }
    }
    healthy()
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
