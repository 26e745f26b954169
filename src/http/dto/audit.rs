//! What is told of the API server's audit.

use serde::{Deserialize, Serialize};

/// A source of audit records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// A file's path, or `webhook`.
    pub source: String,
    /// How many records were read.
    pub records: u64,
    /// How many of them are recorded: requests that wrote to what is observed.
    pub recorded: u64,
    /// How many had been recorded before.
    pub duplicates: u64,
    /// How many wrote to something whose kind was not known, and are not recorded.
    pub unknown: u64,
    /// Up to which byte the file was read.
    pub offset: u64,
    /// The end of the newest request that was read, by the API server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// When it was last recorded how far was read; absent while nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
    /// Why it cannot be read, while it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The last trouble besides, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub troubled: Option<String>,
}

/// How well changes by others than greffier are known, since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// By the record of the very version.
    pub exact: u64,
    /// By the only request that can have made it.
    pub unique: u64,
    /// Several can have made it.
    pub ambiguous: u64,
    /// Nothing but what objects say of themselves.
    pub unknown: u64,
}
