//! Health by status conditions: the kstatus conventions, and kinds with conditions of their own.
//!
//! Pure; a condition that is malformed is no condition.

use serde_json::Value;

use super::{Verdict, degraded, healthy, progressing, unseen, waiting_for_controller, word};

/// A status condition.
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
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
    let found = all.iter().find(|one| word(one, "/type") == kind)?;
    Some(Condition {
        status: word(found, "/status"),
        reason: word(found, "/reason"),
        message: word(found, "/message"),
    })
}

/// Kinds that greffier does not know, by the conventions of kstatus.
pub(super) fn conventional(object: &Value) -> Verdict {
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

pub(super) fn autoscaler(object: &Value) -> Verdict {
    let able = condition(object, "AbleToScale");
    let active = condition(object, "ScalingActive");
    if let Some(able) = able.as_ref().filter(|able| able.is_false()) {
        return degraded(able.words("unable to scale"));
    }
    // Scaled to zero by hand is a choice, not a fault.
    let faulty = |active: &&Condition<'_>| active.is_false() && active.reason != "ScalingDisabled";
    if let Some(active) = active.as_ref().filter(faulty) {
        return degraded(active.words("scaling is not active"));
    }
    if able.is_some() || active.is_some() { healthy() } else { progressing("waiting to autoscale") }
}
