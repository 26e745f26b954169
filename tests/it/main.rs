//! Tests that need the outside world: processes that are killed, real files, a real API server.
//! One binary, so that they share one control plane.

mod cluster_api;
mod crash;
#[path = "../support/cluster.rs"]
mod support_cluster;
