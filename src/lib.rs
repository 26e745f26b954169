//! greffier: a GitOps daemon for Kubernetes with a memory.
//!
//! Every Git commit and every cluster observation is an append-only event in a ledger; desired
//! and live state are derived by replay, and reconciliation runs from that ledger. The modules
//! are declared in layer order; a module may use lower layers only (`tests/tidy.rs` holds it).
//!
//! ```text
//! L0 model, config            plain values: no I/O, no async
//! L1 ledger::{event, frame, codec}, health, replay, attribution, plan,
//!    recovery, reconcile::machine, audit::{record, reach, kinds}
//!                             pure functions of the ledger: no clock, no randomness
//! L2 ledger::store            the contract of a store
//! L3 ledger::*, source, render, cluster, audit
//!                             the outside world, each behind its own module
//! L4 reconcile, query         drive writes from the ledger; answer questions from it
//! L5 http, cli, telemetry     surfaces
//! L6 daemon                   composes everything
//! ```

pub mod config;
pub mod model;

pub mod attribution;
pub mod health;
pub mod ledger;
pub mod replay;

pub mod plan;
pub mod recovery;

pub mod audit;
pub mod cluster;
pub mod render;
pub mod source;

pub mod command;
pub mod query;
pub mod reconcile;

pub mod cli;
pub mod http;
pub mod telemetry;

pub mod daemon;

// What tests share with the binaries of `tests/` names the crate as they do.
#[cfg(test)]
extern crate self as greffier;
