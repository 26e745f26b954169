//! The audit report: every change of a span, who made it and how well that is known.
//!
//! A report is read in pages ([`page`]), each of which reads a bounded stretch of the ledger, so
//! that a month of events never has to fit into memory; [`Summary`] is folded from the same
//! pages. Everything is as known at one event: whoever asks gives a [`Book`] that ends there.
//!
//! What greffier wrote is told once, by the outcome of the write; what others changed, by the
//! observation that shows it. Changes of nothing but an object's status are left out.
//!
//! Texts are as they were recorded: whoever prints them makes them safe. Security: of a Secret
//! the names of its keys are told, never a value or a digest of one.

mod brought;
mod gather;
mod objects;
mod others;
mod set_back;
mod span;
mod summary;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::people::Party;
use super::signer::Signer;
use crate::config::PersonConfig;
use crate::model::AppName;

pub use gather::page;
pub use span::{Error, Span, moments, span};
pub use summary::{Audit, Summary, Trouble};

/// The name and version of the JSON document: fields are added, never renamed.
pub const SCHEMA: &str = "greffier.report.audit/1";

/// What is asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The ledger, up to the event as of which everything is told.
    pub book: &'a dyn Book,
    /// Who is behind which credential.
    pub people: &'a [PersonConfig],
    /// Only this application.
    pub app: Option<&'a AppName>,
    /// Only objects in this namespace.
    pub namespace: Option<&'a str>,
}

/// What a row tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An object of the cluster was changed, or greffier tried to.
    #[default]
    Change,
    /// Drift, or a contest, was found.
    Drift,
    /// A sync or a render ended.
    Sync,
    /// A plan waits for a person, or was approved.
    Gate,
    /// A person decided something.
    Decision,
    /// A ref of a repository moved.
    Git,
    /// The ledger itself was repaired.
    Ledger,
    /// Another cluster answered than the one that is kept, or that one as it was before.
    Cluster,
    /// Another cluster was written to.
    Replay,
}

impl Class {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Drift => "drift",
            Self::Sync => "sync",
            Self::Gate => "gate",
            Self::Decision => "decision",
            Self::Git => "git",
            Self::Ledger => "ledger",
            Self::Cluster => "cluster",
            Self::Replay => "replay",
        }
    }
}

/// A field that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its path.
    pub path: String,
    /// What it was, as JSON; empty = absent; of a Secret `(secret)`.
    pub was: String,
    /// What it is, as JSON; empty = absent; of a Secret `(secret)`.
    pub now: String,
}

/// The commit that a change goes back to. Each of the four is an answer of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// Who it says wrote it; absent when the commit is not in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Party>,
    /// Who it says committed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Party>,
    /// Who signed it, in words.
    pub signer: String,
    /// The same in parts.
    #[serde(default)]
    pub signature: Signer,
    /// Who pushed it: `unknown`, no forge tells.
    pub pusher: String,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The event that tells of it.
    pub seq: u64,
    /// When that was recorded: it had happened by then.
    pub time: String,
    /// Not before this, where it was found out later and only an interval is known; empty = it
    /// was seen as it happened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_before: String,
    /// The kind of the event.
    pub kind: String,
    /// What the row tells of.
    pub class: Class,
    /// The application; empty when it belongs to none.
    pub app: String,
    /// The object; empty when it is about none.
    pub object: String,
    /// What was done, as a word.
    pub verb: String,
    /// What changed, from what to what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Whether more fields changed than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_fields: bool,
    /// What happened in words, where fields do not tell it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Who; of several that can have been it, all. Empty = unknown.
    pub who: Vec<Party>,
    /// How well that is known: `exact`, `unique`, `ambiguous`, `field-manager` or `unknown`.
    pub strength: String,
    /// Why it is not known better.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doubt: String,
    /// The events that it rests on.
    pub evidence: Vec<u64>,
    /// Why it was done: the reason of the plan or of the person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who asked greffier for it, where a person did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<Party>,
    /// The commit behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// How it ended.
    pub outcome: String,
    /// Whether it failed.
    pub failed: bool,
}

/// A stretch of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The rows, in the order of the ledger.
    pub changes: Vec<Change>,
    /// What was heard of the API server's audit in it.
    pub audit: Audit,
    /// The event after which the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
