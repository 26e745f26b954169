//! Plain values that every layer shares: ids, object keys, applications, actors, instants.
//!
//! Nothing here does I/O, reads a clock or is async. Types that can be confused are newtypes with
//! a fallible parse and a `Display`; both forms are stable, because people copy them.

mod actor;
mod app;
mod canonical;
mod error;
mod id;
mod instant;
mod manager;
mod object;
mod removal;
mod time;

pub use actor::{Actor, Claim, Scheme};
pub use app::{
    AppError, AppName, AppSpec, Automated, DirectorySource, Helm, HelmParameter, IgnoreRule,
    Kustomize, Mask, REPLICAS, Restraint, Retry, RollbackRule, Selection, Source, Tool,
};
pub use canonical::{canonical_json, put_canonical_string};
pub use error::with_causes;
pub use id::{BlobAddr, CommitId, Digest, ParseIdError, PlanHash, Seq};
pub use instant::{Instant, InstantError};
pub use manager::{BEFORE_FIRST_APPLY, BESIDE_MANAGER, FIELD_MANAGER, is_by_hand};
pub use object::{GroupKind, ObjectKey, Scope};
pub use removal::{Cascade, DELETION_APPROVED, Protection, Removal, Removals, Ruling, Stance};
pub use time::{Basis, Timestamp, ValidTime};
