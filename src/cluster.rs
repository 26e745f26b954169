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

mod admitted;
mod autoscaler;
mod beside;
pub mod compare;
mod connection;
mod discover;
pub(crate) mod field_set;
mod gitops;
mod guard;
pub mod mask;
pub mod normalize;
pub mod observe;
mod overlay;
mod preview;
pub mod project;
mod pulled;
mod replaced;
mod request;
pub mod sanitize;
mod sights;
mod transfer;
mod write;

pub use admitted::admitted;
pub use beside::{is_kept_beside, part, set_beside};
pub use compare::{Comparison, compare};
pub use connection::{Connection, Identity, Options, UNDELIVERED_MAX};
pub use discover::{Discovered, KindPattern};
pub use guard::Kept;
pub use mask::{Masked, compare_masked, compare_replaced_masked, preview_masked};
pub use normalize::{
    FIELD_MANAGER, ManagerFields, Normalised, OWNER_ANNOTATION, SecretDigest, Stored, is_own,
    normalize, normalize_owned,
};
pub use observe::{Behind, ClusterInput, Fingerprint, Known, Observation, Observer};
pub(crate) use overlay::has_digest;
pub use overlay::{Unlaid, lay, lay_held, value_at};
pub use preview::preview;
pub(crate) use project::ORDER;
pub use project::project;
pub use replaced::compare_replaced;
pub use request::{Class, Error, NO_DRY_RUN};
pub use sights::{SIGHTS_MAX, Sight};
pub use transfer::{Transfer, by_hand, co_owners, left_behind, transfer};
pub use write::{
    AppliedObject, ApplyRequest, DeleteRequest, DeleteResult, Propagation, ReplaceRequest,
    TransferRequest,
};
