//! Who made a change that was observed, as far as evidence tells.
//!
//! The observation itself names the field managers of the object: claims that any client can make.
//! What is recorded here is what the API server's audit adds to that, and when it adds nothing.
//! greffier's own writes need no such event: their outcomes name the object's uid and version.

use serde::{Deserialize, Serialize};

use crate::model::{ObjectKey, Seq};

/// How well it is known who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The API server's record of the request shows the very version that was observed.
    Exact,
    /// Exactly one recorded request can have made the change.
    Unique,
    /// Several requests can have made it, or it is not known that there was no other.
    Ambiguous,
    /// No request is known; the object names field managers, which is free text.
    FieldManager,
    /// Nothing is known.
    Unknown,
}

impl Verdict {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Unique => "unique",
            Self::Ambiguous => "ambiguous",
            Self::FieldManager => "field-manager",
            Self::Unknown => "unknown",
        }
    }

    /// How strong it is, from 0 (nothing) to 5 (authenticated and exactly joined).
    #[must_use]
    pub fn strength(self) -> u8 {
        match self {
            Self::Exact => 5,
            Self::Unique => 4,
            Self::Ambiguous => 3,
            Self::FieldManager => 2,
            Self::Unknown => 0,
        }
    }
}

/// Somebody who made a change, or may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorClaim {
    /// The user as the API server authenticated it; of a field manager, its name.
    pub who: String,
    /// The user as whom it acted; empty when it acted as itself.
    pub acting_as: String,
    /// Which credential it was; empty where it is not told. Whoever holds it is that user: of a
    /// shared token it does not say who.
    pub credential: String,
    /// Of a service account's token: the pod that it was issued to (`namespace/name`), or empty.
    pub pod: String,
    /// The verb of the request, e.g. `patch`; of a field manager, `Apply` or `Update`.
    pub verb: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// What it rests on: `audit.received` events; empty for a field manager.
    pub evidence: Vec<Seq>,
    /// How strong it is, from 0 to 5: see [`Verdict::strength`].
    pub strength: u8,
}

/// Where the value of a changed field comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldSource {
    /// The request names it.
    Request,
    /// The request does not name it: defaulted by the API server, or set by an admission plugin
    /// or one of these webhooks, which changed the request.
    Admission(Vec<String>),
}

/// A changed field and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRemark {
    /// Its path, with `[]` for an item of a list.
    pub path: String,
    /// Where its value comes from.
    pub source: FieldSource,
}

/// It became known who made a change, or that it cannot be known better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionResolvedV1 {
    /// The `object.observed` or `object.gone` that shows the change.
    pub observation: Seq,
    /// The object.
    pub key: ObjectKey,
    /// How well it is known.
    pub verdict: Verdict,
    /// Who, strongest first, at most 16.
    pub claims: Vec<ActorClaim>,
    /// How many further claims there are.
    pub more: u32,
    /// The changed fields and where they come from, where that is known; at most 64.
    pub fields: Vec<FieldRemark>,
    /// What brought it about in turn: of an object that the garbage collector or the namespace
    /// controller removed, the events that show the deletion of its owner or its namespace.
    pub causes: Vec<Seq>,
    /// The `drift.detected` that rests on the observation, if it was recorded before.
    pub drift: Option<Seq>,
    /// The earlier `attribution.resolved` of the same observation that this one corrects.
    pub replaces: Option<Seq>,
    /// The verdict that it corrects.
    pub was: Option<Verdict>,
    /// Whether it is a change of what the object should be, not only of who owns its fields, of
    /// its status, or the end of a deletion that was attributed before.
    pub counts: bool,
    /// Whether audit records may still tell more.
    pub waiting: bool,
    /// Why it is not known better; empty when it is exact.
    pub why: String,
}

/// No audit record explains a change that was observed, although audit records are read: some may
/// be missing, or the policy leaves some out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditGapSuspectedV1 {
    /// The `object.observed` or `object.gone` that shows the change.
    pub observation: Seq,
    /// The object.
    pub key: ObjectKey,
    /// For how long a record was waited for, in milliseconds.
    pub waited_ms: u64,
    /// What is known of the records of that time, for a person.
    pub why: String,
}
