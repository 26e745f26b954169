//! Tests that need the outside world: processes that are killed, real files, a real API server.
//! One binary, so that they share one control plane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/cluster.rs"]
mod cluster;
mod cluster_api;
mod cluster_contract;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/estate.rs"]
mod estate;
#[path = "../support/proxy.rs"]
mod proxy;

mod accepted;
mod attribution;
mod audit;
mod auditing;
mod automatic;
mod autoscaled;
mod beside;
mod between;
mod blame;
mod chain;
mod combined;
mod crash;
mod damaged;
mod disk_full;
mod excluded;
mod failpoints;
mod faults;
mod forgery;
mod gate;
mod git_again;
mod git_back;
mod identity;
mod ignore;
mod images;
mod input;
mod keep;
mod kills;
mod numbers;
mod old_copy;
mod ordered;
mod ownership;
mod passed;
mod past_api;
mod people;
mod promises;
mod proposed;
mod protect;
mod recovery;
mod recovery_daemon;
mod recovery_gone;
mod recovery_live;
mod recovery_missing;
mod recovery_newer;
mod recovery_shared;
mod recovery_silent;
mod recovery_stays;
mod refused;
mod renamed;
mod render;
mod replaced;
mod report;
mod retry;
mod rollback;
mod sandbox;
mod signed;
mod status_moves;
mod strict;
mod time_travel;
mod tree;
mod tree_well;
mod trust_writes;
mod undo;
mod unread;
mod waiting;
mod weather;
mod why;
