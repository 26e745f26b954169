//! What happens to the ledger and the daemon.

use serde::{Deserialize, Serialize};

/// The ledger was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCreatedV1 {
    /// The version of greffier that created it.
    pub version: String,
}

/// The daemon opened the ledger for writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStartedV1 {
    /// Its version.
    pub version: String,
    /// Whether it may only record and plan.
    pub observe: bool,
    /// Its process id.
    pub pid: u32,
}

/// The daemon closed the ledger in order; or it goes on after a time in which it could record
/// nothing, which began when the reason says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStoppedV1 {
    /// Why.
    pub reason: String,
}

/// Something in the ledger's files was found damaged or behind and was put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRepairedV1 {
    /// What was wrong, where, and what was done. Damaged bytes are set aside, never cut.
    pub what: String,
    /// The file that keeps what was set aside; empty when nothing was.
    pub kept: String,
    /// Whether acknowledged events may be among what was set aside.
    pub possibly_acknowledged: bool,
}

/// The configuration in force changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigLoadedV1 {
    /// The effective configuration as TOML, without secrets.
    pub toml: String,
}
