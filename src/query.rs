//! Questions that people ask, answered from the world and the ledger. Read-only.
//!
//! Everything here takes a [`World`](crate::replay::World) (and, where events or manifests are
//! asked for, a [`Book`]) and returns plain values; nothing here knows whether a daemon is
//! running, so the HTTP API and a command line without a daemon give the same answers. Texts that
//! come from Git, the cluster or a person are made safe for a terminal where they become part of
//! a sentence ([`describe`]); plain fields are returned as they are.
//!
//! Security: values of Secrets are never part of an answer.

mod anew;
mod apps;
pub mod between;
pub mod blame;
pub mod book;
mod brought;
pub mod children;
pub mod cluster;
pub mod coverage;
pub mod describe;
pub mod desired;
pub mod diff;
mod future;
mod ignored;
pub mod images;
pub mod instant;
pub mod kubernetes;
pub mod metrics;
pub mod object_at;
pub mod overview;
pub mod past;
pub mod patch;
pub mod people;
pub mod planned;
pub mod recovery;
pub mod report;
mod resources;
pub mod restore;
pub mod rollback;
pub mod search;
pub mod signer;
mod status;
pub mod text;
mod tree;
pub mod trial;
pub mod unattributed;
pub mod undo;
pub mod who;
pub mod why;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use apps::{
    AppView, GateError, NamedPlan, UnknownApp, app, apps, dry_run, known, limits, plan_named,
};
pub use book::{Book, as_intent};
pub use future::because_of;
pub use past::AsOf;
pub use resources::{Resource, ResourceFilter, app_resources, resources};
pub use status::{PauseNote, ProblemNote, Status, contest_text, status};
pub use tree::{Node, NodeKind, tree};
