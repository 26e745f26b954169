//! Reconciliation: from the ledger to the cluster and back into the ledger.
//!
//! [`machine`] decides and is pure; [`driver`] folds the ledger's tail, asks the machine and
//! carries out what it says; the other modules are its hands. The order is always the same:
//! an intent becomes durable, the write is sent, the outcome becomes durable.

mod attribute;
mod compare_job;
mod driver;
mod execute;
mod failpoint;
mod git_back;
mod linger;
pub mod machine;
mod masking;
mod opened;
mod preview_job;
mod programs_job;
mod push_job;
mod record;
pub mod recovery;
mod render_job;
mod rest;
mod restore_job;
mod roll_back;
mod settle;
#[cfg(test)]
mod simulation;
mod trial;
mod variation;

pub use attribute::attribute;
pub use driver::{Driver, Parts, View};
pub use git_back::{BackCommit, GitBack, GitBackError, There, Wish, prepare};
pub use record::{record_cluster, record_sources};
pub use trial::{Definition, Trial, TrialError, trial};
