//! Recovery by replay: from the ledger and its key alone onto an empty cluster.
//!
//! What is decided is pure and never asks a cluster (L1): [`candidate`] is what may be replayed,
//! [`skips`] and [`rules`] say what is left out of it and of each object, [`versions`] in which
//! API version it is written, [`order`] when, [`backends`] what has to answer first, [`lost`] what does not come back; [`plan`] puts
//! them together. What the ledger says of it is gathered by [`crate::query::recovery`].
//!
//! See `docs/recovery.md`.

pub mod backends;
pub mod candidate;
pub mod lost;
pub mod order;
pub mod plan;
pub mod progress;
pub mod rules;
pub mod skips;
pub mod versions;

#[cfg(test)]
mod tests;

pub use backends::Backends;
pub use candidate::{Candidate, Source};
pub use lost::{Loss, LossKind};
pub use order::Stage;
pub use plan::{Input, Plan, Shown, Skipped, Step, plan};
pub use versions::Serving;
