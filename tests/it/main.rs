//! Tests that need the outside world: processes that are killed, real files, a real API server.
//! One binary, so that they share one control plane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/cluster.rs"]
mod cluster;
mod cluster_api;
#[path = "../support/daemon.rs"]
mod daemon;

mod crash;
mod faults;
mod gate;
mod input;
mod keep;
mod render;
mod sandbox;
mod trust_writes;
mod why;
