//! Git sources: mirrors of the repositories that applications name, kept up to date.
//!
//! This module is the only one that imports gix and notify. It owns:
//!
//! - [`Mirror`]: a bare copy of one repository in the data directory. Fetching it yields the
//!   events that must be recorded; reading it never touches the repository it was made from, so
//!   that every recorded commit stays readable after a force-push or when that repository is gone.
//! - [`Watcher`]: hints that a local repository may have changed. A hint is never the truth; it
//!   only makes the next look happen now.
//! - [`Service`]: one task per repository that looks on a hint, by interval and on demand.
//!
//! It deliberately does not append to the ledger: events are returned, and a fetch begins from
//! the refs that the ledger knows, so that a crash between the two loses nothing. It verifies no
//! signatures and does not speak HTTP yet. It writes to a repository only where it is asked to push
//! one commit to one branch, and then never by force.
//!
//! Invariants: nothing of the host's Git configuration is read; no credential is passed in an
//! argument or kept in a URL; every child process has a deadline and its output a bound.

mod browse;
mod error;
mod history;
mod layout;
mod location;
mod mirror;
mod options;
mod push;
mod put;
mod refs;
mod revision;
mod service;
mod signer;
#[cfg(test)]
mod tests;
mod transport;
mod tree;
mod watch;

pub use browse::{Browser, FileKind};
pub use error::Error;
pub use location::redact;
pub use mirror::{Fetched, Mirror};
pub use options::{Limits, Options};
pub use push::{Followed, Pushed, branch_name};
pub use put::{Back, ChangedFile, Made, NewCommit, Put};
pub use service::{Ack, Handle, Service, SourceInput};
pub use tree::{Content, File, Tree};
pub use watch::{Hints, Watcher};
