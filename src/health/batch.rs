//! Health of what runs to an end: Job, CronJob.

use serde_json::Value;

use super::conditions::{Condition, condition};
use super::{Verdict, degraded, healthy, is_set, progressing, suspended, word};
use crate::ledger::event::Health;
use crate::model::Timestamp;

pub(super) fn job(object: &Value) -> Verdict {
    if let Some(failed) = condition(object, "Failed").filter(Condition::is_true) {
        return degraded(failed.words("failed"));
    }
    if condition(object, "Complete").is_some_and(|complete| complete.is_true()) {
        return healthy();
    }
    if condition(object, "Suspended").is_some_and(|suspended| suspended.is_true()) {
        return suspended("suspended");
    }
    progressing("running")
}

/// A CronJob tells only when its last runs began and when one last succeeded. While one runs it
/// is not known how it will end, so a CronJob is never progressing: an application would be so
/// every few minutes.
pub(super) fn cron_job(object: &Value) -> Verdict {
    if is_set(object, "/spec/suspend") {
        return suspended("suspended");
    }
    let Some(status) = object.get("status") else { return progressing("waiting to be looked at") };
    let time = |pointer: &str| Timestamp::parse_rfc3339(word(object, pointer));
    let begun = time("/status/lastScheduleTime");
    let succeeded = time("/status/lastSuccessfulTime");
    let active = status.get("active").and_then(Value::as_array);
    let say = |message: &str| (Health::Healthy, message.to_owned());
    if active.is_some_and(|active| !active.is_empty()) {
        return say("a job is running");
    }
    match (begun, succeeded) {
        (None, _) => say("not scheduled yet"),
        (Some(_), None) => say("no job has succeeded yet"),
        (Some(begun), Some(succeeded)) if succeeded < begun => {
            degraded("the last job did not succeed")
        }
        (Some(_), Some(_)) => healthy(),
    }
}
