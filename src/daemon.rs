//! The daemon: composes every part and keeps it running until it is told to stop.
//!
//! Start: lock and open the ledger (repairs are events), fold the world from the newest snapshot,
//! record the start and the configuration, then watch, fetch, decide and serve. Stop: no new
//! decision, writes under way get their outcomes recorded, a snapshot is saved, the ledger is
//! closed. `kill -9` at any point is safe too; an orderly stop only makes the next start quicker.
//!
//! Meanwhile the ledger is read again, for damage ([`wholeness`]). A full disk stops everything that records; what is recorded is served on ([`read_only`]), and
//! when there is room the daemon starts again, within its process.

mod auditing;
mod lifecycle;
mod narrate;
mod network;
mod options;
mod read_only;
mod wholeness;
mod wiring;

pub use wiring::{ServeOptions, run};
