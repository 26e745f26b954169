//! What is replayed onto another cluster. None of it is about the cluster that the daemon keeps.

use serde::{Deserialize, Serialize};

use super::write::FieldChange;
use crate::model::{AppName, Digest, ObjectKey, Seq, Timestamp};

/// A person began to replay the ledger onto an empty cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryBegunV1 {
    /// The uid of the target's namespace `kube-system`.
    pub uid: String,
    /// The target's address.
    pub server: String,
    /// The target's version.
    pub version: String,
    /// The last event of the instant that is replayed.
    pub to: Seq,
    /// Its time.
    pub at: Timestamp,
    /// The applications; empty = all.
    pub apps: Vec<AppName>,
    /// Whether what was observed is replayed, rather than what was wanted.
    pub live: bool,
    /// Whether also what no application wants.
    pub unowned: bool,
    /// Whether what the ledger should have and has not was left out.
    pub partial: bool,
    /// How many objects are written.
    pub objects: u32,
    /// What tells the plan from another.
    pub plan: Digest,
    /// What does not come back: why and what.
    pub lost: Vec<(String, String)>,
}

/// An object that is about to be written to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryWrite {
    /// The object.
    pub key: ObjectKey,
    /// The version that it is written in.
    pub version: String,
    /// The application that owns it; empty = nobody's.
    pub app: String,
    /// The digest of what is sent, under the ledger's key.
    pub digest: Digest,
    /// The event of the render that wants it so; `None` = none does.
    pub render: Option<Seq>,
    /// The uid that it had; empty = it was never seen.
    pub former: String,
    /// The uid that the replay itself gave it before, where it was gone when the replay went on;
    /// empty = it is written for the first time.
    pub again: String,
}

/// Objects are about to be written to the target. Durable before anything is sent; each request's
/// `Audit-ID` is `<ledger>-<this event>-<index>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryIntentV1 {
    /// The event that began it.
    pub recovery: Seq,
    /// The objects.
    pub writes: Vec<RecoveryWrite>,
}

/// An object as the target has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Its uid there.
    pub uid: String,
    /// Its resource version after the write.
    pub resource_version: String,
    /// The time and the digest of the fields that it says greffier applied; `None` = it does not.
    /// Who changes them later leaves others.
    pub applied: Option<(Timestamp, Digest)>,
    /// Whether it was found as it was to be written, after a crash, rather than answered.
    pub found: bool,
    /// How many tries it took.
    pub tries: u32,
    /// Fields that came back otherwise than they were sent.
    pub admitted: Vec<FieldChange>,
}

/// How a write to the target ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryResult {
    /// It is there.
    Written(Recovered),
    /// The API server refused it for good.
    Refused(String),
    /// It failed, after how many tries.
    Failed(String, u32),
    /// Somebody else's object is in its place, or somebody changed it: it was left alone.
    Left(String),
}

/// How writes to the target ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryOutcomeV1 {
    /// The event that began it.
    pub recovery: Seq,
    /// The intent.
    pub intent: Seq,
    /// The results, by the position in the intent.
    pub results: Vec<(u32, RecoveryResult)>,
}

/// A replay ended: everything was written that could be, and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryFinishedV1 {
    /// The event that began it.
    pub recovery: Seq,
    /// The uid of the target's namespace `kube-system`.
    pub uid: String,
    /// How many objects are there.
    pub written: u32,
    /// Objects that are not, and why.
    pub failed: Vec<(ObjectKey, String)>,
    /// Objects that are there otherwise than they were written, and how.
    pub differs: Vec<(ObjectKey, String)>,
    /// Whether everything is there as it was written.
    pub verified: bool,
    /// How long it took from the command to the last answer, in milliseconds; of a replay that went
    /// on, the last time only. Zero = nothing was written then.
    pub milliseconds: u64,
}

/// A person ended a replay that was not verified: nobody goes on with it. What it wrote stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryAbandonedV1 {
    /// The event that began it.
    pub recovery: Seq,
    /// The uid of the target's namespace `kube-system`.
    pub uid: String,
    /// Of how many objects it is recorded that they were written.
    pub written: u32,
    /// Why, as the person says.
    pub reason: String,
}
