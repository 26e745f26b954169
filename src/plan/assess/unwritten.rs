//! What cannot be written although the application wants it.
//!
//! It may stand in the place of what the same revision drops: a Deployment under another name, an
//! ExternalSecret for a Secret. So what is dropped stays until it is there, or a person says so.

use super::{Assessed, Judge, Need, Status};
use crate::ledger::event::DesiredObject;
use crate::model::ObjectKey;
use crate::replay::World;

/// What an application wants, is not there as it is wanted, and holds back what is to go.
#[derive(Default)]
pub(in crate::plan) struct Beside {
    /// The first object that is not written, why, and whether that may pass.
    pub(in crate::plan) unwritten: Option<(ObjectKey, String, bool)>,
    /// The first that is not there and healthy, where what is to go goes last (`PruneLast=true`).
    pub(in crate::plan) undone: Option<ObjectKey>,
}

impl Assessed {
    /// Notes whether the object that was assessed last holds back what is to go.
    pub(super) fn note_beside(&mut self, judge: &Judge<'_>, object: &DesiredObject) {
        let Some(last) = self.objects.last() else { return };
        let beside = &mut self.beside;
        if judge.app.spec.prune_last && beside.undone.is_none() && !last.is_done() {
            beside.undone = Some(object.key.clone());
        }
        let waits = last.blocked && matches!(last.status, Status::Missing | Status::Changed);
        if beside.unwritten.is_none() && (waits || last.status == Status::InFlight) {
            let found = judge.unwritten(object);
            beside.unwritten = found.map(|(why, passes)| (object.key.clone(), why, passes));
        }
    }
}

impl Judge<'_> {
    /// Why the object is not written, other than that something else comes first, and whether that
    /// may pass.
    fn unwritten(&self, object: &DesiredObject) -> Option<(String, bool)> {
        let (key, kind) = (&object.key, object.key.group_kind());
        let World { cluster, owned, in_flight, .. } = self.world;
        if in_flight.contains_key(key) {
            let is_new = owned.get(key).is_none_or(|owned| owned.applied != object.digest);
            return is_new.then(|| ("a write is under way".to_owned(), true));
        }
        if !cluster.kinds.is_empty() && !cluster.kinds.contains_key(&kind) {
            let why = format!("{} {kind}", super::NOT_SERVED);
            return Some((why, self.is_definition_wanted(&kind)));
        }
        if let Some(Need::Wait { why, progress, .. }) = self.namespace_wait(key, &kind) {
            return Some((why, progress));
        }
        let attempt = self.app.attempts.get(key)?;
        let ours = attempt.digest == object.digest && !may_be_in_the_way(&attempt.error);
        ours.then(|| (attempt.error.clone(), !attempt.refused))
    }
}

/// What is said of something that is there already, or of a quota that is used up. No name, and no
/// path of a field, has a space in it.
const IN_THE_WAY: [&str; 3] = [" is already ", " already exists", "exceeded quota: "];

/// Whether an API server, or a webhook, may have refused an object because of one that is there: a
/// port or an address that is allocated, a host that is defined, a quota that is used up. What goes
/// may be just that.
#[must_use]
pub fn may_be_in_the_way(error: &str) -> bool {
    IN_THE_WAY.iter().any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_told_from_what_is_called_so() {
        for (error, expected) in [
            (
                "spec.ports[0].nodePort: Invalid value: 31555: provided port is already allocated",
                true,
            ),
            (
                "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: provided IP is already allocated",
                true,
            ),
            (
                "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1",
                true,
            ),
            ("host \"x\" and path \"/\" is already defined in ingress prod/shop", true),
            ("configmaps \"a\" already exists", true),
            (
                "(team-quota/quota-api; apps/v1, Kind=Deployment): .spec.quota: field not declared",
                false,
            ),
            (
                "Deployment.apps \"is-already-there\" is invalid: spec.quota.already: Required value",
                false,
            ),
        ] {
            assert_eq!(may_be_in_the_way(error), expected, "{error}");
        }
    }
}
