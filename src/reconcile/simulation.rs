//! Deterministic simulation: everything that decides, driven through what can go wrong.
//!
//! The real folds, planner, reconcile machine, normalisation, comparison and settlement run
//! against a fake API server and a fake repository, in one thread, in memory, on a clock that
//! only the simulation moves. A seed decides every step: what is delivered when, which request
//! fails, is lost or arrives late, when the daemon dies, what people do to the cluster, to Git
//! and to greffier. Then the faults stop, and everything must come to rest exactly as Git says.
//!
//! [`checker`] judges, from the events and from what reached the API server alone; it shares no
//! code with the planner. What is not simulated: the ledger's files (`ledger::recovery`), HTTP
//! (`tests/it/proxy.rs`), rendering.
//!
//! `GREFFIER_SEED=n` runs one seed and prints its trace; `GREFFIER_SEEDS=n` and
//! `GREFFIER_SEED_FIRST=n` choose how many and from where on.

mod back;
mod checker;
mod cluster;
#[path = "../../tests/support/cluster_contract.rs"]
mod contract;
mod daemon;
mod git;
mod identity;
mod jobs;
mod observer;
mod outside;
mod random;
mod recorded;
mod story;
mod tests;
mod trees;
