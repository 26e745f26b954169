//! The projection that everything else reads: the world as the ledger tells it.
//!
//! [`World`] is a pure fold over events. It has no I/O, no clock and no randomness: time is the
//! recorded time of the last event folded, so the same events give the same world, and the same
//! plan, on every machine. A world can be saved as a snapshot and folded on from there; deleting
//! snapshots changes start-up time and nothing else.

mod adrift;
mod application;
mod attributed;
mod audit;
mod autoscaled;
mod children;
mod clock;
mod cluster;
mod coming;
mod contest;
mod counts;
mod decisions;
mod deletions;
mod dispatch;
mod fold;
mod git;
mod health;
mod hold;
mod identity;
mod ignore;
mod in_the_way;
mod index;
mod later;
mod left;
mod let_go;
mod observed;
mod previews;
mod proposed;
mod push;
mod removals;
mod restore;
mod rollback;
mod stays;
mod transfer;
mod trial;
mod world;
mod writes;

pub use adrift::Adrift;
pub use application::{
    App, Approval, Attempt, Cause, Desired, Drift, Gate, Pause, Previewed, Proposed, RenderProblem,
    Rewrite, SyncRequest, SyncSummary,
};
pub use attributed::Attributed;
pub use audit::{AuditSource, AuditState, Mark as AuditMark};
pub use cluster::{ClusterState, LiveObject, OpenIntent, OpenWrite, Owned, rv_older};
pub use coming::{Coming, Unwritten, not_written};
pub use contest::{Contest, OWNERSHIP, RIVAL_UNKNOWN, Rival, WHOLE_OBJECT};
pub use deletions::{CountedFor, gate_hash};
pub use git::{Repo, Resolved, may_name};
pub use hold::{Hold, NotKept, why_not_kept};
pub use identity::{Doubt, Former, Identity, Other, Reverted, Revisions};
pub use ignore::IgnoreFailure;
pub use in_the_way::may_be_in_the_way;
pub use later::{Later, OwnWrites, Sign};
pub use left::{LeftBehind, Released};
pub use push::{HeldCommit, OpenPush};
pub use removals::{GoingCount, Removals};
pub use restore::OpenRestore;
pub use rollback::AppHold;
pub use stays::Stays;
pub use transfer::{Dropped, MayHave};
pub use trial::{Refusal, Trial, Trials, Well, asked_for};
pub use world::{Touched, VERSION, World};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
