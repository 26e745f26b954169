//! Who made a change.

use serde::{Deserialize, Serialize};

use crate::query::people::Party;
use crate::query::signer::Signer;

/// Who made the change that an event shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The observation that shows the change.
    pub observation: u64,
    /// `exact`, `unique`, `ambiguous`, `field-manager` or `unknown`.
    pub verdict: String,
    /// Who, strongest first.
    pub claims: Vec<Claim>,
    /// How many more can have made it who are not named.
    #[serde(default)]
    pub more: u32,
    /// The `attribution.resolved` that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<u64>,
    /// What brought it about in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<u64>,
    /// Why it is not known better.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The `audit.gap-suspected` about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<u64>,
    /// Fields that the request did not name, set by defaulting or admission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// greffier's own write, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnWrite>,
}

/// Somebody who made a change, or may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The name, with the user as whom it acted.
    pub who: String,
    /// The same with its scheme, and the person where one is written down.
    #[serde(default)]
    pub party: Party,
    /// Which credential it was; empty where that is not told.
    pub credential: String,
    /// The pod that a service account's token was issued to, or empty.
    pub pod: String,
    /// The request's verb.
    pub verb: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// The records that it rests on.
    pub evidence: Vec<u64>,
    /// From 0 to 5.
    pub strength: u8,
}

/// A write of greffier and what it goes back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrite {
    /// The application; empty = none: a person restored it.
    pub app: String,
    /// The intent.
    pub intent: u64,
    /// The outcome.
    pub outcome: u64,
    /// Why it was written.
    pub reason: String,
    /// The commit; empty when there is none.
    pub commit: String,
    /// Who the commit says wrote it: a claim.
    pub author: String,
    /// The same, with the person where one is written down; absent where there is no author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_party: Option<Party>,
    /// Who the commit says committed it: a claim.
    pub committer: String,
    /// The same, with the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer_party: Option<Party>,
    /// Who signed it, in words.
    pub signer: String,
    /// The same in parts, with the person.
    #[serde(default)]
    pub signature: Signer,
    /// Who pushed it: `unknown`, no forge tells.
    pub pusher: String,
}
