//! Health by status conditions: the kstatus conventions, and kinds with conditions of their own.
//!
//! Pure; a condition that is malformed is no condition.

use serde_json::Value;

use super::{
    Verdict, annotation, degraded, healthy, is_set, progressing, suspended, unseen,
    waiting_for_controller, word,
};

/// Where `autoscaling/v1` keeps conditions, as JSON.
const AUTOSCALER_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// A status condition.
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    message: &'a str,
}

impl<'a> Condition<'a> {
    fn of(value: &'a Value) -> Self {
        Self {
            status: word(value, "/status"),
            reason: word(value, "/reason"),
            message: word(value, "/message"),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }

    fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// What it says, or else its reason, or else `fallback`.
    pub(super) fn words(&self, fallback: &str) -> String {
        let said = if self.message.is_empty() { self.reason } else { self.message };
        if said.is_empty() { fallback.to_owned() } else { said.to_owned() }
    }
}

/// The condition of this type, if the object has it.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    all.iter().find(|one| word(one, "/type") == kind).map(Condition::of)
}

/// Kinds that greffier does not know, by the conventions of kstatus; `spec.suspend` is what Flux
/// and others call it when a person stopped the controller.
pub(super) fn conventional(object: &Value) -> Verdict {
    if is_set(object, "/spec/suspend") {
        return suspended("suspended");
    }
    if unseen(object) {
        return waiting_for_controller();
    }
    if let Some(stalled) = condition(object, "Stalled").filter(Condition::is_true) {
        return degraded(stalled.words("stalled"));
    }
    if let Some(reconciling) = condition(object, "Reconciling").filter(Condition::is_true) {
        return progressing(reconciling.words("reconciling"));
    }
    match condition(object, "Ready") {
        Some(ready) if !ready.is_true() => progressing(ready.words("not ready")),
        _ => healthy(),
    }
}

pub(super) fn definition(object: &Value) -> Verdict {
    if let Some(ending) = condition(object, "Terminating").filter(Condition::is_true) {
        return progressing(ending.words("terminating"));
    }
    if let Some(names) = condition(object, "NamesAccepted").filter(Condition::is_false) {
        return degraded(names.words("its names are not accepted"));
    }
    match condition(object, "Established") {
        Some(established) if established.is_true() => healthy(),
        _ => progressing("not established yet"),
    }
}

pub(super) fn api_service(object: &Value) -> Verdict {
    match condition(object, "Available") {
        Some(available) if available.is_true() => healthy(),
        Some(available) => progressing(available.words("not available")),
        None => progressing("waiting to be looked at"),
    }
}

/// The first condition that decides, in the order in which the controller lists them, as Argo CD
/// does it: being unable to scale comes before a metric that is missing.
pub(super) fn autoscaler(object: &Value) -> Verdict {
    let listed = object.pointer("/status/conditions").and_then(Value::as_array).cloned();
    let conditions = listed.unwrap_or_else(|| {
        serde_json::from_str(annotation(object, AUTOSCALER_CONDITIONS)).unwrap_or_default()
    });
    for value in &conditions {
        let condition = Condition::of(value);
        match (word(value, "/type"), condition.reason) {
            ("AbleToScale", "FailedGetScale" | "FailedUpdateScale")
            | ("ScalingActive", "FailedGetResourceMetric" | "InvalidSelector") => {
                return degraded(condition.words("unable to scale"));
            }
            ("AbleToScale" | "ScalingLimited", _) if condition.is_true() => return healthy(),
            _ => {}
        }
    }
    progressing("waiting to autoscale")
}
