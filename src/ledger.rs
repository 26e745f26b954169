//! The ledger: a totally ordered, hash-linked sequence of events and the blobs they name.
//!
//! One writer, two stores. The *segment log* (plain append-only files) is the redo log, the
//! evidence, the backup and the transport; *sled* holds derived indexes and answers queries, and
//! can be dropped at any time.
//!
//! ```text
//!  append ─▶ queue ─▶ writer: prepare ▸ link ▸ write ▸ fdatasync ─▶ answer
//!                       │                              │
//!                       │ segments/0000000000000001.seg│──▶ ring ─▶ head ─▶ Tail (subscribers)
//!                       │ segments/00000000000004d2.seg└──▶ index thread ─▶ sled
//!                       ▼
//!            range, Archive, rebuild                    get, blob, by_object, at_time …
//! ```
//!
//! Invariants:
//! - An append is acknowledged only when it would survive power loss.
//! - Whatever sled holds can be rebuilt from the segments, and a test does so.
//! - Sequence numbers begin at 1 and have no gaps; each frame names the hash of the one before.
//! - Bytes that cannot be read are set aside or named, never silently dropped, never cut without
//!   a copy. Damage before the end is looked for while a daemon runs, and hinders no append.
//! - A Secret's content is sealed before it comes here.
//!
//! What it does not do: it decides nothing, knows no projections, and removes nothing.

pub mod codec;
pub mod draft;
pub mod event;
pub mod frame;
pub mod record;
pub mod snapshot;
pub mod store;
pub mod subjects;

mod archive;
mod compress;
mod damage;
mod disk;
mod ends;
mod error;
mod handle;
mod index;
mod info;
mod key;
mod load;
mod lock;
mod memory_disk;
mod memory_store;
mod number;
mod prepare;
mod reader;
mod repair;
mod room;
mod run;
mod salvage;
mod seal;
mod segment;
mod shared;
mod sled_store;
mod unrecorded;
mod verify;
mod witness;
mod writer;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod index_loss;
#[cfg(test)]
mod lost_end;
#[cfg(test)]
mod recovery;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod store_contract;

pub use archive::Archive;
pub use damage::{DAMAGE_HINT, DAMAGE_MEANS, Wholeness};
pub use draft::{Batch, Blob, Draft};
pub use ends::Ends;
pub use error::Error;
pub use event::Event;
pub use frame::{Envelope, Recorded};
pub use handle::{Check, Ledger, OpenReport, Options};
pub use info::Info;
pub use key::KeySource;
pub use reader::Events;
pub use record::BLOB_BYTES_MAX;
pub use salvage::{Cut, Decision, Findings, Salvage, unfinished};
pub use seal::Sealer;
pub use shared::Tail;
pub use verify::Verified;
