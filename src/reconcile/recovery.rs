//! Replaying a plan onto a target: recorded first, written once, resumed after a kill, verified.
//!
//! The plan is [`crate::recovery`]'s. Here the target is asked what it serves and has
//! ([`target`]), every batch of writes becomes a durable intent before it is sent ([`run`]), and
//! what is there in the end is compared with what was sent ([`verify`]).
//!
//! Nothing that is there already is overwritten: writes are applied without force, so that a
//! field that somebody else has set otherwise refuses them; and after a crash the target is asked
//! before anything is written again.

mod ready;
mod run;
mod target;
mod verify;
mod write;

pub use run::{NotRecorded, Recorder, Replay, ReplayError};
pub use target::{Found, Served, remains, serving, survey};
pub use verify::{Differing, verify};
