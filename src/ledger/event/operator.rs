//! What people ask for, and what time brings.

use serde::{Deserialize, Serialize};

use crate::model::{AppName, ObjectKey, Seq, Timestamp};

/// A deadline that the ledger itself implies was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineReachedV1 {
    /// The deadline.
    pub deadline: Timestamp,
}

/// A person asked for a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequestedV1 {
    /// The application.
    pub app: AppName,
    /// Whether objects that left Git are removed.
    pub prune: bool,
    /// Only these objects; empty = all.
    pub only: Vec<ObjectKey>,
    /// Why, if they said.
    pub reason: String,
}

/// A person paused an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedV1 {
    /// The application.
    pub app: AppName,
    /// When the pause ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
}

/// A person froze the daemon: nothing is written for any application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenV1 {
    /// When the freeze ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
}

/// A freeze ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfrozenV1 {
    /// Whether it expired, rather than a person ending it.
    pub expired: bool,
}

/// A pause ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedV1 {
    /// The application.
    pub app: AppName,
    /// Whether it expired, rather than a person ending it.
    pub expired: bool,
}

/// A person gave an instant a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedV1 {
    /// The name. A later mark of the same name takes its place.
    pub name: String,
    /// The last event of the instant.
    pub seq: Seq,
    /// The time that was meant.
    pub time: Timestamp,
    /// Why, if they said.
    pub reason: String,
}
