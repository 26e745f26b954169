//! What a replay onto an empty cluster would bring back, and what it records through a daemon.

use serde::{Deserialize, Serialize};

use super::Wholeness;
use crate::ledger::event::{
    Event, RecoveryAbandonedV1, RecoveryBegunV1, RecoveryFinishedV1, RecoveryIntentV1,
    RecoveryOutcomeV1,
};
use crate::recovery::Shown;

/// What a replay would bring back, and how fresh that is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The plan, onto a cluster that serves what the recorded one did.
    pub plan: Shown,
    /// The last event that tells of an object of the cluster; zero when none does.
    pub observed: u64,
    /// Its time; empty when none does.
    pub observed_at: String,
    /// Why the cluster cannot be reached, while it cannot.
    pub cluster_lost: String,
    /// How whole the ledger is; absent where its files were read, which is told by failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wholeness: Option<Wholeness>,
}

/// The body of `POST recovery`: what `greffier replay` has the daemon record, because a ledger has
/// one writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryRecord {
    /// It begins.
    Begun(RecoveryBegunV1),
    /// Objects are about to be written.
    Intent(RecoveryIntentV1),
    /// How that ended.
    Outcome(RecoveryOutcomeV1),
    /// It has ended.
    Finished(RecoveryFinishedV1),
    /// A person ended it.
    Abandoned(RecoveryAbandonedV1),
}

impl RecoveryRecord {
    /// The record of an event; `None` where it is none of a replay.
    #[must_use]
    pub fn of(event: Event) -> Option<Self> {
        match event {
            Event::RecoveryBegun(body) => Some(Self::Begun(body)),
            Event::RecoveryIntent(body) => Some(Self::Intent(body)),
            Event::RecoveryOutcome(body) => Some(Self::Outcome(body)),
            Event::RecoveryFinished(body) => Some(Self::Finished(body)),
            Event::RecoveryAbandoned(body) => Some(Self::Abandoned(body)),
            _ => None,
        }
    }
}

/// Where something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The event.
    pub seq: u64,
}

/// A replay onto another cluster that was begun and has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The event that began it.
    pub seq: u64,
    /// When.
    pub begun: String,
    /// The target's address.
    pub server: String,
    /// How many objects it writes.
    pub objects: u32,
    /// Of how many it is recorded how their write ended.
    pub ended: usize,
}

/// That the ledger is an old copy, or another greffier writes to the same cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldCopy {
    /// The object that shows it.
    pub object: String,
    /// When greffier wrote it, by the object's own word.
    pub written: String,
    /// The event that shows it.
    pub seq: u64,
    /// Applications of which neither Git nor a person has said since what they are to be.
    pub waits: Vec<String>,
}
