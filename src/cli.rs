//! The command line.
//!
//! Verbs talk to the daemon over its socket. Without a daemon, verbs that read fold the ledger's
//! files themselves and say so; verbs that change something end with exit code 3.
//!
//! Rules: data goes to standard output, talk to standard error; a closed pipe is no error; text
//! of others is made safe for a terminal; colour is never the only signal. Exit codes: 0 same or
//! done, 1 differs, 2 usage or configuration, 3 unreachable, 4 forbidden, 5 timeout, 6 refused by
//! a guard, 7 ledger damaged, 8 partial failure.
//!
//! Nothing here knows the daemon's parts: `main` hands in what `serve` runs.

mod approve;
mod arena;
mod args;
mod asker;
mod at;
mod between;
mod blame;
mod change;
mod children;
mod cluster;
mod doctor;
mod error;
mod files;
mod follow;
mod log;
mod mark;
mod named;
mod output;
mod people;
mod plan;
mod read;
mod replay;
mod report;
mod restore;
mod rollback;
mod run;
mod salvage;
mod settings;
mod show;
mod table;
mod trial;
mod verify;
mod why;
mod yaml;

#[cfg(test)]
mod tests;

pub use error::{Error, Exit};
pub use run::{Serve, main};
