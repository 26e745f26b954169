//! What changed last before something turned unwell: by time only, and said so.

use std::collections::BTreeSet;

use super::{BEFORE, Cause, ChainLink, Walk};
use crate::ledger::event::{DriftKind, Event, Health, WriteResult};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};

/// How far back is looked, in events and in time.
const EVENTS_BEFORE: u64 = 2_000;
const MS_BEFORE: u64 = 30 * 60 * 1_000;
/// How many of the last changes are told.
const CHANGES_MAX: usize = 5;
/// How many unwell objects are told one by one.
const UNWELL_MAX: usize = 5;

/// What is unwell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query::why) struct Unwell {
    /// The application.
    pub(in crate::query::why) app: AppName,
    /// The objects that are unwell.
    pub(in crate::query::why) objects: Vec<ObjectKey>,
    /// The objects of the application.
    pub(in crate::query::why) tree: BTreeSet<ObjectKey>,
}

impl Walk<'_> {
    /// Tells since when it is so, and what changed before.
    pub(in crate::query::why) fn unwell(&mut self, unwell: &Unwell) -> Result<(), ledger::Error> {
        let mut first: Option<(Seq, Timestamp)> = None;
        let now = self.now();
        for key in unwell.objects.iter().take(UNWELL_MAX) {
            let turn =
                self.last(SubjectKey::object(key), now, |recorded| match &recorded.event {
                    Some(Event::ObjectHealthChanged(body)) if body.key == *key => {
                        Some((body.now != Health::Healthy).then(|| at(recorded)))
                    }
                    _ => None,
                })?;
            match turn.flatten() {
                Some((seq, time)) => {
                    self.causes_of(Cause::last(seq), 0)?;
                    first = Some(first.map_or((seq, time), |known| known.min((seq, time))));
                }
                None => self.untold(key),
            }
        }
        if first.is_none() {
            let app = &unwell.app;
            let turn =
                self.last(SubjectKey::app(app.as_str()), now, |recorded| match &recorded.event {
                    Some(Event::AppHealthChanged(body)) if body.app == *app => {
                        Some((body.now != Health::Healthy).then(|| at(recorded)))
                    }
                    _ => None,
                })?;
            if let Some((seq, _)) = turn.flatten() {
                self.causes_of(Cause::last(seq), 0)?;
            }
            first = turn.flatten();
        }
        let Some((seq, time)) = first else { return Ok(()) };
        self.changes_before(unwell, seq, time)
    }

    fn untold(&mut self, key: &ObjectKey) {
        let what = format!("{key} is unwell; since when is not recorded");
        self.links.push(ChainLink::told("state", what, "unknown"));
    }

    fn changes_before(
        &mut self,
        unwell: &Unwell,
        turn: Seq,
        time: Timestamp,
    ) -> Result<(), ledger::Error> {
        let from = Seq(turn.0.saturating_sub(EVENTS_BEFORE).max(1));
        let events = self.book.range(from, Seq(turn.0.saturating_sub(1)))?;
        let near = |recorded: &&std::sync::Arc<Recorded>| {
            time.ms_since(recorded.envelope.recorded) <= MS_BEFORE
        };
        let found =
            events.iter().rev().take_while(near).filter(|recorded| {
                recorded.event.as_ref().is_some_and(|event| unwell.concerns(event))
            });
        let found: Vec<Seq> = found.take(CHANGES_MAX).map(|recorded| recorded.seq()).collect();
        let (minutes, which) =
            (MS_BEFORE / 60_000, if found.is_empty() { "no" } else { "the last" });
        let what = format!(
            "{which} changes of its objects within {minutes} minutes and {EVENTS_BEFORE} events \
             before #{turn}: what came before need not be the cause"
        );
        self.links.push(ChainLink::told("before", what, BEFORE));
        for seq in found {
            self.causes_of(Cause::before(seq), 1)?;
        }
        Ok(())
    }
}

impl Unwell {
    /// Whether an event changed something of the application.
    fn concerns(&self, event: &Event) -> bool {
        let changed = |result: &WriteResult| match result {
            WriteResult::Applied(applied) => applied.changed,
            WriteResult::Deleted => true,
            _ => false,
        };
        match event {
            Event::OutcomeRecorded(body) => {
                body.app == self.app && body.results.iter().any(|(_, result)| changed(result))
            }
            Event::DriftDetected(body) => {
                let by_others = [DriftKind::Drift, DriftKind::Deleted, DriftKind::Addition];
                body.app == self.app && by_others.contains(&body.kind)
            }
            Event::ObjectGone(body) => self.tree.contains(&body.key),
            Event::AppDeclared(body) => body.app == self.app,
            Event::HoldBegun(body) => body.app == self.app,
            Event::HoldEnded(body) => body.app == self.app,
            Event::AppHeld(body) => body.app == self.app,
            Event::AppHoldEnded(body) => body.app == self.app,
            _ => false,
        }
    }
}

fn at(recorded: &Recorded) -> (Seq, Timestamp) {
    (recorded.seq(), recorded.envelope.recorded)
}
