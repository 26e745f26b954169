//! The past on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A span in which something was not watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwatched {
    /// Since when; empty = since before the ledger begins.
    pub from: String,
    /// The last event before it.
    pub from_seq: u64,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The event that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_seq: Option<u64>,
    /// Which kinds; empty = everything that was asked about.
    pub kinds: Vec<String>,
    /// Why, as a stable word: `begins`, `stopped`, `not_running`, `read_only`, `gap`, `refused`,
    /// `excluded`, `other_cluster` or `lost`.
    pub cause: String,
    /// Why, in words.
    pub what: String,
    /// Whether something may have happened in it that nobody will ever tell of; otherwise it was
    /// only seen late.
    pub lossy: bool,
}

/// The object that a name means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its whole key.
    pub object: String,
    /// That nothing is recorded of it; absent where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// What to do about that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// What an instant stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// The last event that counts.
    pub seq: u64,
    /// The time: the one that was meant, or when the event was recorded.
    pub time: String,
    /// Whether a time was meant rather than an event.
    pub timed: bool,
    /// What was named, where that is neither a time nor an event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// `exact`, or `gap` where something that was asked about was not watched.
    pub certainty: String,
    /// What was not watched then.
    pub unwatched: Vec<Unwatched>,
}

/// An object as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectState {
    /// Whether it was there.
    pub present: bool,
    /// The event that says so.
    pub seq: u64,
    /// When that was recorded.
    pub recorded: String,
    /// When it was true, as far as known: not before.
    pub valid_from: String,
    /// Not after.
    pub valid_to: String,
    /// How it was learnt: `watched`, `listed` or `answered`.
    pub learned: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version; empty when it was gone.
    pub resource_version: String,
    /// Its health; empty when it was gone.
    pub health: String,
    /// What the health rests on.
    pub health_message: String,
    /// Whether its deletion had been requested.
    pub deleting: bool,
    /// The object, of a Secret without its values; absent when it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
}

/// An object as of an instant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectAt {
    /// Its key.
    pub object: String,
    /// The instant.
    pub at: Instant,
    /// `exact`: it was watched then. `interval`: it was not, and was found changed afterwards.
    /// `gap`: it was not, and nothing tells what it was.
    pub certainty: String,
    /// What it was; absent when nothing had been recorded of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ObjectState>,
    /// What it was found to be after the time in which it was not watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ObjectState>,
    /// Where nothing was seen of it in the cluster as it is then, and something was before: since
    /// when it is another one, and what was seen last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub former: String,
}

/// The name of an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The name.
    pub name: String,
    /// The last event of the instant.
    pub seq: u64,
    /// Its time.
    pub time: String,
    /// Who gave it the name.
    pub by: String,
    /// Why, if they said.
    pub reason: String,
    /// The event that says so.
    pub event: u64,
}

/// The body of `POST marks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarkBody {
    /// The name.
    pub name: String,
    /// The instant; now when empty. Clock times without an offset are in UTC.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// What changed between two instants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The earlier one.
    pub from: Instant,
    /// The later one.
    pub to: Instant,
    /// What was not watched in between: what changed then is told, but not who changed it.
    pub unwatched: Vec<Unwatched>,
    /// The objects that differ, in order of their keys.
    pub objects: Vec<crate::query::between::ObjectBetween>,
}
