//! What the simulation looks up in what was recorded, and what nobody may prune.

use std::collections::BTreeSet;

use super::daemon::Sim;
use super::outside::options;
use crate::ledger::event::{DriftDetectedV1, Event};
use crate::model::Seq;

impl Sim {
    pub(super) fn event(&self, seq: Seq) -> Option<&Event> {
        let index = usize::try_from(seq.0).unwrap().checked_sub(1)?;
        self.events.get(index).map(|(_, event)| event)
    }

    /// The drifts that were recorded, newest last.
    pub(super) fn drifts(&self) -> Vec<(Seq, DriftDetectedV1)> {
        let events = (1..).map(Seq).zip(&self.events);
        let drifts = events.filter_map(|(seq, (_, event))| match event {
            Event::DriftDetected(body) => Some((seq, body.clone())),
            _ => None,
        });
        drifts.collect()
    }

    /// The uids of the objects that their annotations keep from being pruned.
    pub(super) fn kept(&self) -> BTreeSet<String> {
        let keys = self.cluster.keys().into_iter();
        let kept = keys.filter(|key| {
            let live = self.cluster.get(key).unwrap_or_default();
            options(&live).contains("Prune=false")
        });
        kept.filter_map(|key| self.cluster.uid(&key)).collect()
    }
}
