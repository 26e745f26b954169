//! Who wrote what, as the API server's audit tells it.
//!
//! [`record`] and [`reach`] understand records; they decide and are pure. [`Tail`] reads the log
//! file, [`Intake`] records what came from wherever it came, once. The receiver for the API
//! server's webhook is in `http`.
//!
//! Nothing here says who made a change: that is found by holding these events against what was
//! observed.

mod file;
mod follow;
mod intake;
mod kinds;
mod reach;
pub mod record;

pub use file::{Chunk, FileId, Tail, Trouble};
pub use follow::{Follower, follow};
pub use intake::{Intake, Position, Tally};
pub use kinds::Kinds;
