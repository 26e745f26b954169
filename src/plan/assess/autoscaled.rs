//! Objects whose replicas belong to an autoscaler, or did.

use super::{Judge, Need, Status};
use crate::ledger::event::{DesiredObject, Verb};
use crate::model::REPLICAS;
use crate::replay::{LiveObject, Owned};

/// Why an object that is there waits whose replicas Git names.
const NOT_LISTED: &str =
    "whether an autoscaler scales it is not known: HorizontalPodAutoscalers are not listed yet";

impl Judge<'_> {
    /// Whether an object that is there has to wait until its autoscaler would be known.
    pub(super) fn autoscaler_wait(
        &self,
        object: &DesiredObject,
        live: Option<&LiveObject>,
    ) -> Option<Need> {
        let owned = self.world.owned.get(&object.key);
        let left = owned.is_some_and(|owned| owned.respected.has(REPLICAS));
        let counted = object.replicas.is_some() || left;
        (live.is_some() && counted && self.world.may_be_autoscaled()).then(|| Need::Wait {
            status: Status::Unknown,
            why: NOT_LISTED.to_owned(),
            progress: true,
        })
    }

    /// Whose the replicas are, where that is not Git's.
    pub(super) fn replicas_said(&self, object: &DesiredObject) -> Option<String> {
        object.replicas?;
        let autoscaler = self.world.autoscaler_of(&object.key)?;
        Some(format!("replicas belong to {autoscaler}: Git's number is not written"))
    }

    /// What an object needs that is as it was applied: that was with live values in the place of
    /// Git's, and nothing says any more that those are not Git's.
    pub(super) fn given_back(
        &self,
        object: &DesiredObject,
        owned: &Owned,
        live: &LiveObject,
    ) -> Option<Need> {
        if owned.respected.is_empty() || self.mask(&object.key).covers(&owned.respected) {
            return None;
        }
        let reason = "what was left to others in the last write is Git's again";
        Some(self.need_of_unapplied(object, live, Verb::Heal, reason))
    }
}
