//! What of `ignoreDifferences` is not understood.

use serde::{Deserialize, Serialize};

use crate::model::{AppName, Digest, ObjectKey};

/// The jq expressions of an application were checked, and other ones than before cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreCheckedV1 {
    /// The application.
    pub app: AppName,
    /// Expressions that cannot be read, and what is wrong with them; empty = all can.
    pub problems: Vec<(String, String)>,
}

/// What is ignored of an object could not be found out, so it was neither compared nor judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreFailedV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The digest of the mask that was to be applied.
    pub mask: Digest,
    /// The digest of the live object, without status and field ownership.
    pub live: Digest,
    /// The cause. Never a value of the object.
    pub error: String,
    /// Whether the machine was at fault and not the expression, so that another try may succeed.
    pub transient: bool,
}
