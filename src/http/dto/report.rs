//! The audit report on the wire.

use serde::{Deserialize, Serialize};

use super::Unwatched;

/// What a report is about, and what the ledger was then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportHead {
    /// The ledger's id.
    pub ledger: String,
    /// The version of greffier that made the report.
    pub version: String,
    /// The beginning.
    pub from: String,
    /// The end.
    pub to: String,
    /// The last event before the beginning; 0 when the ledger begins in it.
    pub after: u64,
    /// The last event of the span.
    pub last: u64,
    /// The hash of that event; empty when the ledger was empty then.
    pub last_hash: String,
    /// When the first event of the ledger was recorded.
    pub begins: String,
    /// The last event of the ledger when the report was made: everything is told as known then.
    pub head: u64,
    /// When that was recorded.
    pub head_time: String,
    /// Its hash.
    pub head_hash: String,
    /// Only this application; empty = all.
    pub app: String,
    /// Only objects in this namespace; empty = all.
    pub namespace: String,
    /// What was not watched in the span.
    pub coverage: Vec<Unwatched>,
}
