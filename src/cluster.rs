//! The cluster as greffier sees and changes it: one connection, discovery, writes, watches.
//!
//! This is the only module that imports `kube`. It turns what the API server says into plain
//! values ([`Normalised`], [`ServedKind`](crate::ledger::event::ServedKind)) and carries out single
//! writes; it never decides what to write, never touches the ledger and never keeps an object:
//! between two observations of an object only digests are held.
//!
//! Invariants: a Secret's values leave [`normalize`] as keyed digests only, and no error text
//! quotes them; every request has a deadline; an answer whose fate is not known is
//! [`Class::Unknown`], never "failed".

pub mod compare;
mod connection;
mod discover;
pub mod normalize;
pub mod observe;
mod preview;
pub mod project;
mod request;
mod write;

pub use compare::{Comparison, compare};
pub use connection::{Connection, Identity, Options};
pub use discover::{Discovered, KindPattern};
pub use normalize::{
    FIELD_MANAGER, ManagerFields, Normalised, OWNER_ANNOTATION, SecretDigest, Stored, normalize,
};
pub use observe::{ClusterInput, Fingerprint, Known, Observation, Observer};
pub use preview::preview;
pub use project::project;
pub use request::{Class, Error};
pub use write::{AppliedObject, ApplyRequest, DeleteRequest, DeleteResult, Propagation};
