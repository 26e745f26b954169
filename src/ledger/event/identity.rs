//! Which cluster is kept.

use serde::{Deserialize, Serialize};

use crate::model::{GroupKind, Seq};

/// Another cluster answers under the address of the one that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReplacedV1 {
    /// The uid of the cluster that is kept.
    pub kept: String,
    /// The uid of the one that answers.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Its address.
    pub server: String,
}

/// The cluster that is kept is behind what was observed of it: it was restored from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRevertedV1 {
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Its address.
    pub server: String,
    /// The kind whose revision shows it.
    pub kind: GroupKind,
    /// The highest revision of the kind that was observed before.
    pub observed: u64,
    /// The revision that the API server states now.
    pub revision: u64,
}

/// A person said that the cluster that answers is the one to be kept from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAcceptedV1 {
    /// Its uid.
    pub uid: String,
    /// The event that told of it, which is what the person was shown.
    pub doubt: Seq,
    /// Why.
    pub reason: String,
}
