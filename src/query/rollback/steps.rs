//! What becomes of each object by a plan: what is compared, written, left, or not known yet.

use std::collections::{BTreeMap, BTreeSet};

use super::super::planned::{NotDone, Step};
use super::goes::going_later;
use crate::ledger::event::Verb;
use crate::model::{AppName, ObjectKey};
use crate::plan::{Assessment, Plan, Status};

/// The objects that are compared before anything is decided about them.
pub(super) fn compared(planned: &Plan) -> Vec<&ObjectKey> {
    let compare = planned.compare.iter().map(|comparison| &comparison.key);
    compare.chain(planned.dry_runs.iter().map(|dry_run| &dry_run.key)).collect()
}

/// The writes of now, those that an approval allows, and those that come when these are done.
pub(super) fn steps(planned: &Plan) -> Vec<Step> {
    let gated = planned.gate.iter().flat_map(|gated| &gated.writes);
    let writes: BTreeMap<&ObjectKey, _> =
        planned.writes.iter().chain(gated).map(|write| (&write.key, write)).collect();
    let objects = planned.objects.iter();
    let step = |object: &Assessment| {
        let (verb, reason) = match writes.get(&object.key) {
            Some(write) => (write.verb, write.reason.clone()),
            None => (later(object)?, object.why.clone()),
        };
        let (verb, object) = (verb.as_str().to_owned(), object.key.to_string());
        Some(Step { verb, object, reason })
    };
    objects.filter_map(step).collect()
}

/// What is done to an object once what it waits for has passed.
fn later(object: &Assessment) -> Option<Verb> {
    if !object.blocked || !object.waits_for_progress || object.key.is_application() {
        return None;
    }
    Some(match object.status {
        Status::Missing => Verb::Create,
        Status::Changed => Verb::Update,
        Status::Drifted | Status::OwnershipLost => Verb::Heal,
        Status::Extra => Verb::Prune,
        _ => return None,
    })
}

/// What differs and is not written.
pub(super) fn not_done(planned: &Plan, steps: &[Step]) -> Vec<NotDone> {
    let done: BTreeSet<&str> = steps.iter().map(|step| step.object.as_str()).collect();
    let compare = compared(planned);
    let gated = planned.gate.iter().flat_map(|gated| &gated.apps);
    let apps: BTreeSet<&str> = planned
        .declare
        .iter()
        .map(|(child, _)| child.as_str())
        .chain(planned.remove.iter().map(|(child, _)| child.as_str()))
        .chain(gated.map(AppName::as_str))
        .collect();
    let left = planned.objects.iter().filter(|object| {
        let differs = object.status.differs() || object.status == Status::Held;
        let is_app = object.key.is_application() && apps.contains(object.key.name())
            || going_later(object).is_some();
        let known =
            done.contains(object.key.to_string().as_str()) || compare.contains(&&object.key);
        differs && !object.why.is_empty() && !is_app && !known && !is_unseen(object)
    });
    left.map(left_out).collect()
}

/// What is decided about once it is known whether it is there.
pub(super) fn unseen(planned: &Plan) -> Vec<NotDone> {
    planned.objects.iter().filter(|object| is_unseen(object)).map(left_out).collect()
}

fn is_unseen(object: &Assessment) -> bool {
    object.status == Status::Unknown && object.blocked && object.waits_for_progress
}

fn left_out(object: &Assessment) -> NotDone {
    NotDone {
        object: object.key.to_string(),
        sync: object.status.as_str().to_owned(),
        why: object.why.clone(),
    }
}
