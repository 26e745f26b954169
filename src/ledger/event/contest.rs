//! What is told of programs that disagree with Git.

use serde::{Deserialize, Serialize};

use crate::model::{AppName, ObjectKey};

/// Greffier and somebody else change the same path back and forth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestNamedV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The path, as drift names it.
    pub path: String,
    /// The other field manager; empty = unknown.
    pub manager: String,
    /// How long the path waits until it is put back, in milliseconds; three times as long each
    /// time from now on.
    pub wait_ms: u32,
}

/// Nothing happened in a contest for so long that it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestEndedV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The path.
    pub path: String,
    /// The other field manager; empty = unknown.
    pub manager: String,
}

/// Git says how many replicas an object has, and an autoscaler sets them: they are left to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasLeftV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The autoscaler.
    pub autoscaler: ObjectKey,
}
