//! Tests of the library against real programs. One binary, so that they share one control plane.

mod cluster_api;
#[path = "../support/cluster.rs"]
mod support_cluster;
