//! Observes the cluster: lists and watches every kind that is watched, and by name what is wanted of
//! the others, and says what changed.
//!
//! One task per kind lists, then watches from there; a conductor keeps the set of tasks in step
//! with what the API server serves, and notices when the API server goes away and comes back.
//! What is held in memory of an object is its name, its uid and one digest.
//!
//! ```text
//!   conductor ── discovery, heartbeat ──▶ Identified, Kinds, Lost, Found
//!       │ starts, stops
//!       ├── task of a kind ── list, watch ──▶ Object, Gone, Listed, Gap
//!       └── …
//! ```
//!
//! Ordering: what is said about one object, and about one kind, is in the order in which it
//! happened. `Kinds` precedes the first word about a kind, and the last word about its objects
//! precedes the `Kinds` without it.
//!
//! This module does not write anywhere, and does not judge: whether an observation is an echo of
//! greffier's own write is the reader's business.

mod conductor;
mod identity;
mod kind;
mod known;
mod reach;
mod stream;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::conductor::Conductor;
pub use self::known::{Fingerprint, Known};
use super::connection::{Connection, Identity, Options};
use super::discover::Discovered;
use super::normalize::{Normalised, SecretDigest};
use crate::ledger::event::Learned;
use crate::model::{GroupKind, ObjectKey, Timestamp};

/// An object in a state that differs from the last one that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The object.
    pub normalised: Normalised,
    /// Whether it was not there before.
    pub added: bool,
    /// How this was learnt.
    pub learned: Learned,
}

/// What shows that a cluster is behind what was observed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The kind whose revision shows it.
    pub kind: GroupKind,
    /// The highest revision of the kind that was observed.
    pub observed: u64,
    /// The revision that the API server states.
    pub revision: u64,
}

/// What the observer says.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterInput {
    /// Which cluster this is became known, or it is another one than before.
    Identified(Identity),
    /// The cluster is behind what was observed of it: it was restored from a backup.
    Reverted(Identity, Behind),
    /// What the API server serves became known or changed. A kind whose group is broken, or that
    /// has just disappeared from discovery, stays until its absence is certain.
    Kinds(Discovered),
    /// An object appeared or changed.
    Object(Box<Observation>),
    /// An object is gone.
    Gone {
        /// Its key.
        key: ObjectKey,
        /// Its uid.
        uid: String,
        /// `Watched` as it happened, or `Listed` when a list no longer shows it.
        learned: Learned,
        /// For `Listed`: when it was certainly still there, if that is known.
        last_seen: Option<Timestamp>,
    },
    /// Every object of a kind has been listed, and all of them have been sent.
    Listed {
        /// The kind.
        kind: GroupKind,
        /// How many objects there are.
        objects: u64,
        /// The resource version of the list.
        resource_version: String,
        /// What was asked for by name, where the kind is not watched; empty = every object.
        named: Vec<ObjectKey>,
    },
    /// Changes of a kind may have been missed, or cannot be seen.
    Gap {
        /// The kind.
        kind: GroupKind,
        /// Why.
        reason: String,
        /// Whether the API server refuses to show the kind.
        refused: bool,
    },
    /// The API server cannot be reached. Said once per outage.
    Lost {
        /// Why.
        error: String,
    },
    /// The API server can be reached again.
    Found,
}

/// Observes a cluster until it is cancelled.
pub struct Observer {
    conductor: Conductor,
}

impl Observer {
    /// Prepares to observe. `known` is what the ledger already has, so that a restart does not
    /// say it again; `sealer` digests the values of Secrets.
    #[must_use]
    pub fn new(
        connection: Connection,
        options: &Options,
        known: Known,
        sealer: Arc<dyn SecretDigest>,
    ) -> Self {
        Self { conductor: Conductor::new(connection, options.page_size, known, sealer) }
    }

    /// The same, watching these objects by name where their kind is not watched. Nothing is left
    /// out of `named` again while this runs: what was looked for once stays known.
    #[must_use]
    pub fn naming(mut self, named: watch::Receiver<BTreeSet<ObjectKey>>) -> Self {
        self.conductor.named = Some(named);
        self
    }

    /// Observes until `cancel` is cancelled or the receiver of `tx` is dropped.
    ///
    /// The API server being away, forbidden kinds and broken groups are said and outlasted; none
    /// of them ends this. When the channel is full, everything waits.
    pub async fn run(self, tx: mpsc::Sender<ClusterInput>, cancel: CancellationToken) {
        self.conductor.run(tx, cancel).await;
    }
}
