//! What a report comes to, folded from its pages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Asked, Change, Class, Page};
use crate::ledger::Recorded;
use crate::ledger::event::{AuditTrouble, Event};
use crate::query::describe::trouble_text;

/// How many names are counted one by one.
const NAMES_MAX: usize = 500;
/// Where the rest are counted.
const OTHERS: &str = "(others)";
/// How many troubles with the audit, and events of suspected gaps, are told one by one.
const TROUBLES_MAX: usize = 100;

/// Something was wrong with the records of the API server's audit, or was right again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The event.
    pub seq: u64,
    /// When it was recorded.
    pub time: String,
    /// Whether it is the end of an earlier one.
    pub over: bool,
    /// What, in words.
    pub what: String,
}

/// What was heard of the API server's audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// How many records of requests were read.
    pub records: u64,
    /// Changes that no record explains (`audit.gap-suspected`).
    pub gaps: u64,
    /// The first of these events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gap_events: Vec<u64>,
    /// What was wrong with the records, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

impl Audit {
    pub(super) fn hear(&mut self, asked: &Asked<'_>, recorded: &Recorded) {
        let seq = recorded.seq().0;
        match &recorded.event {
            Some(Event::AuditRead(body)) => {
                self.records = self.records.saturating_add(body.records);
            }
            Some(Event::AuditGapSuspected(body))
                if asked.namespace.is_none_or(|wanted| body.key.namespace() == wanted) =>
            {
                self.gaps += 1;
                if self.gap_events.len() < TROUBLES_MAX {
                    self.gap_events.push(seq);
                }
            }
            Some(Event::AuditTroubled(body)) if self.troubles.len() < TROUBLES_MAX => {
                self.troubles.push(Trouble {
                    seq,
                    time: recorded.envelope.recorded.to_string(),
                    over: body.trouble == AuditTrouble::Over,
                    what: trouble_text(body),
                });
            }
            _ => {}
        }
    }

    fn add(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.gaps += other.gaps;
        let room = |len: usize| TROUBLES_MAX.saturating_sub(len);
        let events = other.gap_events.iter().take(room(self.gap_events.len()));
        self.gap_events.extend(events);
        let troubles = other.troubles.iter().take(room(self.troubles.len()));
        self.troubles.extend(troubles.cloned());
    }
}

/// What a report comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All rows.
    pub rows: u64,
    /// Objects that were changed, by greffier or by others.
    pub changes: u64,
    /// These by how well it is known who did it.
    pub by_strength: BTreeMap<String, u64>,
    /// These by who did it; who cannot be told apart is one entry.
    pub by_whom: BTreeMap<String, u64>,
    /// These by application; empty = of none.
    pub by_app: BTreeMap<String, u64>,
    /// Syncs and renders that failed.
    pub failed_syncs: u64,
    /// Writes that failed or were refused.
    pub failed_writes: u64,
    /// Drifts that were found.
    pub drifts: u64,
    /// Drifts that were put back.
    pub put_back: u64,
    /// Objects that were pruned.
    pub prunes: u64,
    /// Plans that waited for a person.
    pub gates: u64,
    /// Plans that a person approved.
    pub approvals: u64,
    /// Pauses of an application.
    pub pauses: u64,
    /// Freezes of the whole daemon.
    pub freezes: u64,
    /// Holds of a change made by hand.
    pub holds: u64,
    /// Refs whose history was rewritten.
    pub force_pushes: u64,
    /// How often another cluster answered than the one that is kept, or that one set back.
    #[serde(default)]
    pub cluster_doubts: u64,
    /// Objects that were written to another cluster.
    #[serde(default)]
    pub replayed: u64,
    /// Objects that were to be, of which it failed or is not recorded.
    #[serde(default)]
    pub not_replayed: u64,
    /// The API server's audit.
    pub audit: Audit,
}

impl Summary {
    /// Adds a page.
    pub fn add(&mut self, page: &Page) {
        self.audit.add(&page.audit);
        page.changes.iter().for_each(|row| self.row(row));
    }

    fn row(&mut self, row: &Change) {
        self.rows += 1;
        match (row.class, row.kind.as_str()) {
            (Class::Change, _) if row.failed => self.failed_writes += 1,
            (Class::Change, _) => self.change(row),
            (Class::Replay, "recovery.outcome" | "recovery.intent") if row.failed => {
                self.not_replayed += 1;
            }
            (Class::Replay, "recovery.outcome") => self.replayed += 1,
            (Class::Cluster, _) => self.cluster_doubts += 1,
            (Class::Sync, _) => self.failed_syncs += u64::from(row.failed),
            (_, "drift.detected") => self.drifts += 1,
            (_, "plan.gated") => self.gates += 1,
            (_, "plan.approved") => self.approvals += 1,
            (_, "operator.pause") => self.pauses += 1,
            (_, "operator.freeze") => self.freezes += 1,
            (_, "hold.begun" | "hold.app-begun") => self.holds += 1,
            (_, "git.history-rewritten") => self.force_pushes += 1,
            _ => {}
        }
    }

    fn change(&mut self, row: &Change) {
        self.changes += 1;
        count(&mut self.by_strength, &row.strength);
        let names: Vec<String> = row.who.iter().map(super::Party::text).collect();
        let whom = if names.is_empty() { "unknown".to_owned() } else { names.join(" or ") };
        count(&mut self.by_whom, &whom);
        count(&mut self.by_app, &row.app);
        match row.verb.as_str() {
            "put back" => self.put_back += 1,
            "pruned" => self.prunes += 1,
            _ => {}
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    let known = counts.contains_key(name) || counts.len() < NAMES_MAX;
    *counts.entry(if known { name } else { OTHERS }.to_owned()).or_default() += 1;
}
