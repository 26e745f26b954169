//! Objects whose replicas belong to an autoscaler.
//!
//! A HorizontalPodAutoscaler sets `spec.replicas` of the object that it scales. While one is there
//! the field is nobody's drift, and the live value is sent back with every write that is made for
//! another reason, as if `ignoreDifferences` and `RespectIgnoreDifferences=true` said so: greffier
//! and an autoscaler never take turns. What is not there yet is created as Git says.
//!
//! Where Git says nothing of the replicas any more, they stay left alone before an autoscaler comes
//! and after it has gone, as long as greffier may own them: an apply without them would set them to
//! the default, and whoever brings an autoscaler takes them out of the manifest in the same commit.

use super::application::App;
use super::world::{Touched, World};
use crate::ledger::event::ReplicasLeftV1;
use crate::model::{GroupKind, Mask, ObjectKey, REPLICAS};

/// Whether the API server sets the replicas of the kind to 1 where nobody names them.
fn has_one_by_default(key: &ObjectKey) -> bool {
    matches!(
        (key.group(), key.kind()),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController")
    )
}

impl World {
    /// The autoscaler that the replicas of an object belong to, if there is one.
    #[must_use]
    pub fn autoscaler_of(&self, key: &ObjectKey) -> Option<&ObjectKey> {
        if key.namespace().is_empty() {
            return None;
        }
        let kind = GroupKind::autoscaler();
        let from = ObjectKey::new(kind.group, kind.kind, key.namespace(), "");
        let there = self.live.range(from..);
        let mut there = there
            .take_while(|(other, _)| other.is_autoscaler() && other.namespace() == key.namespace());
        there.find(|(_, live)| live.scales.as_deref() == Some(key)).map(|(other, _)| other)
    }

    /// Whether there may be autoscalers that are not known yet.
    #[must_use]
    pub fn may_be_autoscaled(&self) -> bool {
        let kind = GroupKind::autoscaler();
        let served = self.cluster.kinds.get(&kind);
        served.is_some_and(|served| served.watched) && !self.cluster.is_listed(&kind)
    }

    /// Whether Git's replicas of the object are not written over those that are there.
    fn leaves_replicas(&self, app: &App, key: &ObjectKey) -> bool {
        if self.autoscaler_of(key).is_some() {
            return true;
        }
        let left = self.owned.get(key).is_some_and(|owned| {
            owned.respected.has(REPLICAS) || owned.replicas.is_some() && has_one_by_default(key)
        });
        let desired = app.desired.as_ref().and_then(|desired| desired.objects.get(key));
        left && desired.is_some_and(|object| object.replicas.is_none())
    }

    /// What of an object is left out of comparisons: what the application ignores, and replicas
    /// that belong to an autoscaler.
    #[must_use]
    pub fn ignored(&self, app: &App, key: &ObjectKey) -> Mask {
        let mask = if app.spec.ignore.is_empty() { Mask::default() } else { app.spec.mask(key) };
        if self.leaves_replicas(app, key) { mask.and(REPLICAS) } else { mask }
    }

    /// That of which the live value is sent back with a write.
    #[must_use]
    pub fn respected(&self, app: &App, key: &ObjectKey) -> Mask {
        if app.spec.respect_ignore {
            return self.ignored(app, key);
        }
        let mask = Mask::default();
        if self.leaves_replicas(app, key) { mask.and(REPLICAS) } else { mask }
    }

    /// The objects of an application that Git says the replicas of and that an autoscaler scales,
    /// with the autoscaler, as far as that is not told yet.
    pub fn replicas_untold<'a>(
        &'a self,
        app: &'a App,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a ObjectKey)> {
        let desired = app.desired.iter().filter(|_| !app.removing && !app.spec.skip);
        let objects = desired.flat_map(|desired| desired.objects.values());
        let counted = objects.filter(|object| object.replicas.is_some());
        counted.filter_map(|object| {
            let autoscaler = self.autoscaler_of(&object.key)?;
            let told = app.replicas_left.iter();
            let told = told.filter(|(key, _)| *key == object.key).any(|(_, by)| by == autoscaler);
            (!told).then_some((&object.key, autoscaler))
        })
    }

    pub(super) fn replicas_left(&mut self, body: &ReplicasLeftV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        // Bound: what is there is remembered, not everything that ever was.
        let live = &self.live;
        app.replicas_left.retain(|(key, by)| *key != body.key || live.contains_key(by));
        app.replicas_left.insert((body.key.clone(), body.autoscaler.clone()));
        Touched::nothing()
    }

    /// The applications that an object matters to because of what it scales, or scaled.
    pub(super) fn touched_by_scaling<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a ObjectKey>,
    ) -> Touched {
        let mut touched = Touched::nothing();
        for target in targets {
            touched.apps.extend(self.wanted_by.get(target).into_iter().flatten().cloned());
        }
        touched
    }
}
