//! What callers hand to the ledger: drafts of events, and the blobs that they name.
//!
//! A draft has no position, no time and no hash: the one writer gives it those. A blob is already
//! what will be stored, except for compression: secrets are sealed before they come here.

use uuid::Uuid;

use super::event::Event;
use crate::model::{Actor, BlobAddr, Seq, ValidTime};

/// An event that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What happened.
    pub event: Event,
    /// Who did it.
    pub actor: Actor,
    /// What it belongs to. Nil = a correlation of its own.
    pub correlation: Uuid,
    /// What it directly follows from; the first eight are kept.
    pub causes: Vec<Seq>,
    /// When it was true in the world; `None` = nothing better than the recorded time is known.
    pub valid: Option<ValidTime>,
}

impl Draft {
    /// An event that greffier itself brings about.
    pub fn new(event: impl Into<Event>) -> Self {
        Self {
            event: event.into(),
            actor: Actor::greffier(),
            correlation: Uuid::nil(),
            causes: Vec::new(),
            valid: None,
        }
    }

    /// Brought about by `actor`.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// Also follows from `cause`.
    #[must_use]
    pub fn caused_by(mut self, cause: Seq) -> Self {
        self.causes.push(cause);
        self
    }

    /// Belongs to `correlation`.
    #[must_use]
    pub fn correlated(self, correlation: Uuid) -> Self {
        Self { correlation, ..self }
    }

    /// Was true at `valid`.
    #[must_use]
    pub fn valid(self, valid: ValidTime) -> Self {
        Self { valid: Some(valid), ..self }
    }
}

/// Content that events name by its address.
///
/// Invariant: `addr` is the address of the content. The constructors keep it: [`Blob::plain`] and
/// `Sealer::blob_sealed`.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its address.
    pub addr: BlobAddr,
    /// The plaintext, or what sealing made of it.
    bytes: Vec<u8>,
    base: Option<BlobAddr>,
    sealed: bool,
}

impl Blob {
    /// A blob in clear. `base` is an earlier version of it, if there is one: a small change then
    /// costs little space. A base that is not in the ledger is no error, it only saves nothing.
    #[must_use]
    pub fn plain(bytes: Vec<u8>, base: Option<BlobAddr>) -> Self {
        Self { addr: BlobAddr::of(&bytes), bytes, base, sealed: false }
    }

    /// A blob that was sealed as `bytes` under the keyed address `addr`.
    pub(super) fn sealed(addr: BlobAddr, bytes: Vec<u8>) -> Self {
        Self { addr, bytes, base: None, sealed: true }
    }

    /// What is to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The earlier version that it is expected to resemble.
    #[must_use]
    pub fn base(&self) -> Option<BlobAddr> {
        self.base
    }

    /// Whether the content is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }
}

impl std::fmt::Debug for Blob {
    // Security: the content may be large or private; a log line needs neither.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Blob({}, {} bytes, sealed: {})",
            self.addr.short(),
            self.bytes.len(),
            self.sealed
        )
    }
}

/// What is appended together: contiguous, in this order, blobs first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Content that the events name. Durable before, or together with, the events.
    pub blobs: Vec<Blob>,
    /// The events.
    pub drafts: Vec<Draft>,
}

impl From<Draft> for Batch {
    fn from(draft: Draft) -> Self {
        Self { blobs: Vec::new(), drafts: vec![draft] }
    }
}

impl From<Vec<Draft>> for Batch {
    fn from(drafts: Vec<Draft>) -> Self {
        Self { blobs: Vec::new(), drafts }
    }
}
