//! Objects that no application has, or fields that Git says nothing of, and that a person brought
//! back as they were.
//!
//! Nobody would put them back against Git, so nothing is held: it is one write, whose intent is
//! the event itself.

use serde::{Deserialize, Serialize};

use super::hold::BackTo;
use super::write::{FieldChange, Verb};
use crate::model::{BlobAddr, Digest, ObjectKey, Seq};

/// One write that brings something back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreWrite {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// `Create`, `Update`, or `Prune` for what a restore had created and is undone.
    pub verb: Verb,
    /// The object as it is to be, or that has the values of the fields; `None` for a prune.
    pub saved: Option<BlobAddr>,
    /// Whether `saved` is a manifest, rather than an object as it was observed.
    pub of_manifest: bool,
    /// Where the fields are that go back; empty = all of it does.
    pub places: Vec<Vec<String>>,
    /// What goes back, for people: `was` as it is now, `now` as it is to be.
    pub fields: Vec<FieldChange>,
    /// The object that was decided about: its uid and the digest of its content. `None` = it must
    /// not be there.
    pub found: Option<(String, Digest)>,
    /// Where an application wants the object: the digest of the manifest that says nothing of the
    /// fields. It is written as long as that is what is wanted. `None` = no application wants it.
    pub beside: Option<Digest>,
}

/// A person brings back objects that no application has, or fields that Git says nothing of. The
/// writes are made once this is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreIntendedV1 {
    /// The writes.
    pub writes: Vec<RestoreWrite>,
    /// What it goes back to.
    pub from: BackTo,
    /// For how long the writes may be made, in ms.
    pub timeout_ms: u32,
    /// Why, if they said.
    pub reason: String,
}

/// How a write ended that brings something back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreResult {
    /// It was made.
    Made {
        /// The uid of the object.
        uid: String,
        /// Its resource version afterwards; empty where it is gone.
        resource_version: String,
    },
    /// It was not sent: why.
    NotSent(String),
    /// It was refused, or the object is not what was decided about any more: nothing was done.
    Refused(String),
    /// It is not known whether it was made.
    Unknown(String),
}

/// How the writes ended that bring something back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreEndedV1 {
    /// The event that intended them.
    pub restore: Seq,
    /// The objects, in the order of `results`.
    pub objects: Vec<ObjectKey>,
    /// How each ended, by its index.
    pub results: Vec<(u32, RestoreResult)>,
    /// Whether that was found out by looking at the cluster.
    pub settled: bool,
}
