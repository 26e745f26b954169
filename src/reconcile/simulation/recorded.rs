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

/// An event in one line.
pub(super) fn shown(event: &Event) -> String {
    let mut text = format!("{event:?}");
    if let Event::RenderSucceeded(body) = event {
        let keys: Vec<String> = body.objects.iter().map(|o| o.key.to_string()).collect();
        text = format!("RenderSucceeded({} {} {keys:?})", body.app, body.revision.commit.short());
    }
    if let Event::ObjectObserved(body) = event {
        text = format!(
            "ObjectObserved({} {} version {} deleting {})",
            body.key, body.uid, body.resource_version, body.deleting
        );
    }
    text.chars().take(400).collect()
}
