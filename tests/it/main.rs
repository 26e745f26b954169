//! Tests that need the outside world: processes that are killed, real files, a real API server.

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/daemon.rs"]
mod daemon;

mod crash;
mod faults;
mod gate;
mod input;
mod keep;
