//! Health of workloads: Deployment, ReplicaSet, StatefulSet, DaemonSet.
//!
//! A workload is judged by its own counters, not by its pods.

use serde_json::Value;

use super::conditions::{Condition, condition};
use super::{
    Verdict, degraded, healthy, is_set, number, progressing, suspended, unseen,
    waiting_for_controller, word,
};

/// Whether the controller has not reported on the present specification at all. Counters of an
/// object without `observedGeneration` are not its controller's.
fn unreported(object: &Value) -> bool {
    unseen(object) || object.pointer("/status/observedGeneration").and_then(Value::as_i64).is_none()
}

/// The replicas that are asked for; the API server's default is one.
fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

pub(super) fn deployment(object: &Value) -> Verdict {
    if is_set(object, "/spec/paused") {
        return suspended("paused");
    }
    if unreported(object) {
        return waiting_for_controller();
    }
    let late = condition(object, "Progressing");
    if let Some(late) = late.filter(|late| late.reason == "ProgressDeadlineExceeded") {
        return degraded(late.words("exceeded its progress deadline"));
    }
    let wanted = wanted(object);
    let updated = number(object, "/status/updatedReplicas");
    let all = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        progressing(format!("{updated} of {wanted} replicas are updated"))
    } else if all > updated {
        progressing(format!("{} old replicas are still there", all - updated))
    } else if available < updated {
        progressing(format!("{available} of {updated} replicas are available"))
    } else {
        healthy()
    }
}

pub(super) fn replica_set(object: &Value) -> Verdict {
    if unreported(object) {
        return waiting_for_controller();
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(Condition::is_true) {
        return degraded(failure.words("replicas cannot be created"));
    }
    let (wanted, available) = (wanted(object), number(object, "/status/availableReplicas"));
    if available < wanted {
        progressing(format!("{available} of {wanted} replicas are available"))
    } else {
        healthy()
    }
}

pub(super) fn stateful_set(object: &Value) -> Verdict {
    if unreported(object) {
        return waiting_for_controller();
    }
    let wanted = wanted(object);
    let ready = number(object, "/status/readyReplicas");
    let updated = number(object, "/status/updatedReplicas");
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    if word(object, "/spec/updateStrategy/type") == "OnDelete" {
        return healthy();
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if partition > 0 {
        let share = (wanted - partition).max(0);
        return if updated < share {
            progressing(format!("{updated} of {share} replicas above the partition are updated"))
        } else {
            healthy()
        };
    }
    if word(object, "/status/updateRevision") == word(object, "/status/currentRevision") {
        healthy()
    } else {
        progressing(format!("{updated} of {wanted} replicas are updated"))
    }
}

pub(super) fn daemon_set(object: &Value) -> Verdict {
    if unreported(object) {
        return waiting_for_controller();
    }
    if word(object, "/spec/updateStrategy/type") == "OnDelete" {
        return healthy();
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    if updated < wanted {
        progressing(format!("{updated} of {wanted} pods are updated"))
    } else if available < wanted {
        progressing(format!("{available} of {wanted} pods are available"))
    } else {
        healthy()
    }
}
