//! The HTTP API, served over a Unix socket.
//!
//! [`serve`] answers questions from the world and the ledger, and takes commands through
//! [`crate::command`]. The kernel says who is at the other end of the socket; that user is the
//! actor of what they command. Who may connect at all is decided by the modes of the socket and
//! its directory ([`bind`]).
//!
//! [`dto`] is the wire: structs of its own, kept stable, converted by hand. [`Client`] is the
//! other end, used by the command line.
//!
//! Invariants: request bodies and pages are bounded; a request sees at least every event that was
//! durable when it came in; nothing here writes to the ledger but through [`crate::command`] and,
//! of audit records, [`crate::audit::Intake`].

mod api;
pub mod audit;
mod between;
mod blame;
mod brought;
mod client;
mod cluster;
mod convert;
mod coverage;
pub mod dto;
mod error;
mod git_back;
mod hold;
mod kubernetes;
pub mod listen;
mod metrics;
mod named;
mod overview;
mod past;
mod peer;
mod people;
mod plan;
mod recovery;
mod report;
mod restore;
mod server;
mod stream;
mod token;
mod tree;
mod trial;
mod undo;
mod who;
mod why;

#[cfg(test)]
pub(crate) mod tests;

pub use between::{about_of, between_dto};
pub use client::{Client, Error as ClientError, EventStream, query_string};
pub use convert::{
    app as app_dto, diff as diff_dto, dry_run as dry_run_dto, ledger as ledger_dto,
    resource as resource_dto, row, status as status_dto, tree as tree_dto, with_actors,
};
pub use coverage::coverage_dto;
pub use kubernetes::past_api;
pub use overview::completed;
pub use past::{instant_dto, marks_dto, object_dto, patched};
pub use peer::local_user;
pub use recovery::{Fresh, recovery_dto};
pub use report::head_dto as report_head_dto;
pub use server::{BindError, Control, Facts, State, bind, serve};
pub use token::Token;
pub use trial::rendered as rendered_dto;
pub use who::{not_yet, one as event};
