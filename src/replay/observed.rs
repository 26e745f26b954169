//! How observations of the cluster change the world.
//!
//! Observations and the answers to our own writes come over different connections and in any
//! order. Resource versions put them in order; what is older than what is known is dropped.

use super::cluster::{LiveObject, rv_older};
use super::world::{Touched, World};
use crate::ledger::event::{
    KindListedV1, KindsServedV1, ManagerStamp, ObjectGoneV1, ObjectObservedV1, PulledImage,
    WatchGapV1,
};
use crate::model::{ObjectKey, Seq, Timestamp};

impl World {
    pub(super) fn cluster_lost(&mut self, error: &str) -> Touched {
        self.cluster.lost = Some(error.to_owned());
        Touched::nothing()
    }

    pub(super) fn cluster_found(&mut self) -> Touched {
        self.cluster.lost = None;
        // What failed while the API server was away deserves a try at once.
        for app in self.apps.values_mut() {
            app.attempts.retain(|_, attempt| attempt.next.is_none());
            app.previews.retain(|_, preview| preview.next.is_none());
        }
        Touched::all()
    }

    pub(super) fn kinds_served(&mut self, body: &KindsServedV1) -> Touched {
        // What a group serves whose discovery failed is not known: it is taken to be as before.
        self.cluster.kinds.retain(|kind, _| body.broken_groups.contains(&kind.group));
        for served in &body.kinds {
            self.cluster.kinds.insert(served.kind.clone(), served.clone());
        }
        self.cluster.broken_groups = body.broken_groups.iter().cloned().collect();
        let served = &self.cluster.kinds;
        self.cluster.listed.retain(|kind| served.contains_key(kind));
        self.cluster.named.retain(|key| served.contains_key(&key.group_kind()));
        self.cluster.refused.retain(|kind, _| served.contains_key(kind));
        // An object whose kind is gone is gone with it.
        self.live.retain(|key, _| served.contains_key(&key.group_kind()));
        self.cluster.see();
        Touched::all()
    }

    pub(super) fn kind_listed(&mut self, body: &KindListedV1) -> Touched {
        self.cluster.refused.remove(&body.kind);
        self.cluster.identity.revisions.note(&body.kind, &body.resource_version);
        if body.named.is_empty() {
            self.cluster.listed.insert(body.kind.clone());
        }
        self.cluster.see();
        self.cluster.named.extend(body.named.iter().cloned());
        let covers = |key: &ObjectKey| body.named.is_empty() || body.named.contains(key);
        // What is known from the answer to our own write only was never shown by a watch. If the
        // list is newer and has not shown it either, it is gone: nobody will say so. What a watch
        // has told of before is not told of again while nothing changes.
        // A list of this run began after the answers of the former, whatever its version: the
        // cluster may have been restored. Within a run it may have begun before the write, also
        // behind a gap: the observer's words are recorded later than they were true.
        let (listed, since) = (&body.resource_version, self.cluster.since);
        self.live.retain(|key, live| {
            !live.answered
                || live.shown
                || key.group_kind() != body.kind
                || !covers(key)
                || listed.is_empty()
                || (since < live.seq && rv_older(listed, &live.resource_version))
        });
        self.disown_unlisted(body, &covers);
        Touched::all()
    }

    pub(super) fn watch_gap(&mut self, seq: Seq, body: &WatchGapV1) -> Touched {
        self.cluster.interrupted.insert(body.kind.clone(), seq);
        if body.refused {
            // Whoever waits for objects of the kind waits in vain now.
            self.cluster.refused.insert(body.kind.clone(), body.reason.clone());
        }
        if self.cluster.see() || body.refused { Touched::all() } else { Touched::nothing() }
    }

    pub(super) fn object_observed(
        &mut self,
        seq: Seq,
        recorded: Timestamp,
        body: &ObjectObservedV1,
    ) -> Touched {
        self.cluster.identity.revisions.note(&body.key.group_kind(), &body.resource_version);
        if self.look_at_writer(body) {
            return self.object_seen(seq, recorded, body).and(Touched::all());
        }
        self.object_seen(seq, recorded, body)
    }

    fn object_seen(&mut self, seq: Seq, recorded: Timestamp, body: &ObjectObservedV1) -> Touched {
        let controller = body.controller.as_ref().map_or("", |(_, _, uid)| uid.as_str());
        let live = LiveObject {
            version: body.version.clone(),
            uid: body.uid.clone(),
            resource_version: body.resource_version.clone(),
            digest: body.digest,
            answered: false,
            shown: true,
            owned: body.owned,
            object: body.object,
            status: body.status,
            images: PulledImage::digest_of(&body.images).map(Box::new),
            managers: ManagerStamp::digest_of(&body.managers),
            health: body.health,
            health_message: body.health_message.clone(),
            controller: controller.to_owned(),
            protection: body.protection,
            managed_by: body.managed_by.as_str().into(),
            scales: body.scales.clone(),
            deleting: body.deleting,
            seq,
            seen: recorded,
        };
        // An echo of the time before our own write, or of an earlier object of the name.
        if self.live.get(&body.key).is_some_and(|known| {
            self.cluster.ordered_since(&body.key.group_kind()) < known.seq
                && rv_older(&live.resource_version, &known.resource_version)
        }) {
            return self.observed_late(&body.key, &live);
        }
        let (object, health, deleting) = (live.object, live.health, live.deleting);
        let former = self.live.insert(body.key.clone(), live);
        // The echo of our own write says what its answer said.
        let same = former.as_ref().is_some_and(|former| {
            former.uid == body.uid
                && former.object == object
                && former.health == health
                && former.deleting == deleting
                && former.scales == body.scales
                && !(former.answered && self.has_waves(&body.key))
        });
        if same {
            return Touched::nothing();
        }
        let mut touched = self.touched_by_object(&body.key, former.is_none());
        let scaled = former.as_ref().and_then(|former| former.scales.as_deref());
        let scales = body.scales.as_deref();
        if scaled != scales {
            let targets = scaled.into_iter().chain(scales);
            touched.apps.extend(self.touched_by_scaling(targets).apps);
        }
        touched
    }

    /// What an observation still tells that is older than the answer to our own write. If that
    /// changed nothing, nobody will tell of it: the answer has been observed.
    fn observed_late(&mut self, key: &ObjectKey, late: &LiveObject) -> Touched {
        let live = self.live.get_mut(key).filter(|live| live.uid == late.uid);
        let Some(live) = live else { return Touched::nothing() };
        let (answered, deleting) = (live.answered, live.deleting);
        live.shown = true;
        // Nothing takes a deletion back.
        live.deleting |= late.deleting;
        live.answered &= !live.says_the_same(late);
        if (live.answered, live.deleting) == (answered, deleting) {
            return Touched::nothing();
        }
        self.touched_by_object(key, false)
    }

    pub(super) fn object_gone(&mut self, body: &ObjectGoneV1) -> Touched {
        let intent = self.in_flight.get(&body.key);
        if let Some(intent) = intent.and_then(|seq| self.intents.get_mut(seq)) {
            // The answer to a write of ours may come after the watch showed it undone.
            for open in intent.writes.values_mut().filter(|open| open.write.key == body.key) {
                open.gone.clone_from(&body.uid);
            }
        }
        if self.live.get(&body.key).is_some_and(|live| live.uid != body.uid) {
            // The object that went is an earlier one of the same name.
            return Touched::nothing();
        }
        let former = self.live.remove(&body.key);
        self.own_writes.forget(&body.key);
        let mut touched = self.touched_by_object(&body.key, true);
        let owner = self.owned.get(&body.key).map(|owned| owned.app.clone());
        touched = touched.and(self.out_of_the_way(&body.key, owner.as_ref()));
        let scaled = former.as_ref().and_then(|former| former.scales.as_deref());
        touched.apps.extend(self.touched_by_scaling(scaled).apps);
        // Of another cluster it says nothing about the one that is kept.
        if !self.wanted_by.contains_key(&body.key) && self.cluster.doubt().is_none() {
            self.disown_gone(&body.key);
        }
        touched
    }

    /// Whether an application that wants the object waits with some of its objects for others.
    fn has_waves(&self, key: &ObjectKey) -> bool {
        let apps = self.wanted_by.get(key).into_iter().flatten();
        let mut desired = apps.filter_map(|app| self.apps.get(app)?.desired.as_ref());
        desired.any(|desired| desired.several_waves)
    }

    /// Which applications care about a live object. `appeared` says that it came or went.
    fn touched_by_object(&self, key: &ObjectKey, appeared: bool) -> Touched {
        if gates_others(key) && (appeared || self.wanted_by.contains_key(key)) {
            return Touched::all();
        }
        let mut touched = Touched::nothing();
        touched.apps.extend(self.wanted_by.get(key).into_iter().flatten().cloned());
        touched.apps.extend(self.owned.get(key).map(|owned| owned.app.clone()));
        touched
    }
}

/// Whether objects of other applications may wait for this one.
pub(super) fn gates_others(key: &ObjectKey) -> bool {
    key.is("", "Namespace") || key.is("apiextensions.k8s.io", "CustomResourceDefinition")
}
