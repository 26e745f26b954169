//! What a replay onto an empty cluster would bring back.

use serde::{Deserialize, Serialize};

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
}
