//! Objects that somebody else keeps changing: when they are put back.

use super::{CONTEST, Judge, Status};
use crate::ledger::event::{DesiredObject, DriftKind, Verb};
use crate::model::{ObjectKey, Seq};
use crate::replay::{Drift, LiveObject, WHOLE_OBJECT};

impl Judge<'_> {
    /// Why an object that drifted is not put back yet: somebody else keeps changing it. What a
    /// person asks for does not wait.
    pub(super) fn contest_wait(&self, object: &DesiredObject, status: Status) -> Option<String> {
        let put_back = matches!(status, Status::Drifted | Status::OwnershipLost);
        let asked = self.permission.is_asked(&object.key, self.written(&object.key));
        if !put_back || asked {
            return None;
        }
        if self.is_new_deletion(object, status) && self.was_deleted_lately(object) {
            return Some("its deletion is recorded first".to_owned());
        }
        let (rival, contest) = self.app.waits_in_contest(&object.key)?;
        (contest.heals > self.world.now).then(|| {
            let at = contest.heals;
            format!("{CONTEST} {} over {}: put back at {at}", rival.who(), rival.path)
        })
    }

    /// How a drift came about, as far as it tells.
    pub(super) fn changed_by(&self, key: &ObjectKey) -> &'static str {
        if self.world.later_write(self.app, key).is_some() {
            "greffier wrote to it after the last write that this ledger knows of"
        } else {
            "somebody changed fields that greffier applied"
        }
    }

    /// How the object, as it is, differs from what was applied, if that was found out: `Some(None)`
    /// = it does not.
    pub(super) fn known_drift(
        &self,
        object: &DesiredObject,
        live: &LiveObject,
    ) -> Option<Option<&Drift>> {
        let drift = self.app.drift.get(&object.key);
        let ignored = self.mask(&object.key).digest();
        // Compared again with the same result, which is told once.
        let compared = self.compared.get(&object.key) == Some(&(live.seq, ignored));
        let current = |drift: &Drift| {
            drift.kind == DriftKind::Deleted
                || (drift.observation == live.seq && drift.mask == ignored)
        };
        (compared || drift.is_some_and(current)).then_some(drift)
    }

    /// Whether another object of the name, which is not put back, was not compared yet: nobody would
    /// ever say what is otherwise in it, only that the former one was deleted.
    pub(super) fn is_to_be_announced(&self, object: &DesiredObject, live: &LiveObject) -> bool {
        let known = self.known_drift(object, live);
        let said = known.is_some_and(|drift| drift.is_none_or(|d| d.kind != DriftKind::Deleted));
        !said && !self.permits(object, Verb::Heal, Status::Drifted)
    }

    /// When somebody changed, deleted or replaced the object, as far as recorded.
    pub(super) fn drifted_at(&self, object: &DesiredObject) -> Option<Seq> {
        let drift = self.app.drift.get(&object.key).map(|drift| drift.seq);
        let live = self.world.live.get(&object.key);
        let owned = self.world.owned.get(&object.key);
        let replaced = live.zip(owned).filter(|(live, owned)| live.uid != owned.uid);
        drift.or(replaced.map(|(live, _)| live.seq))
    }

    /// Whether somebody deleted the object and it was not announced yet.
    pub(super) fn is_new_deletion(&self, object: &DesiredObject, status: Status) -> bool {
        let deleted = status == Status::Drifted && !self.world.live.contains_key(&object.key);
        let announced = self.app.drift.get(&object.key);
        deleted && announced.is_none_or(|drift| drift.kind != DriftKind::Deleted)
    }

    /// Whether the deletion may make it a contest: then it has to be counted first.
    fn was_deleted_lately(&self, object: &DesiredObject) -> bool {
        let rivals = self.app.rivals.get(&object.key).into_iter().flatten();
        rivals.into_iter().any(|rival| rival.path == WHOLE_OBJECT)
    }
}
