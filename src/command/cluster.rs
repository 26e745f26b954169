//! Which cluster is kept.

use super::{Decision, Error};
use crate::ledger::event::ClusterAcceptedV1;
use crate::model::Seq;
use crate::query::cluster::unlisted;
use crate::replay::World;

/// Why the cluster that answers cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The cluster that answers is the one that is kept.
    #[error(
        "there is nothing to accept: the cluster that answers is the one that is kept ({kept})"
    )]
    NoDoubt {
        /// Its uid; empty = none was identified yet.
        kept: String,
    },
    /// The cluster changed since it was shown.
    #[error("the cluster has changed since it was shown: {uid} answers, in doubt since #{seq}")]
    OtherDoubt {
        /// The uid of the one that answers now.
        uid: String,
        /// The event that told of it.
        seq: Seq,
    },
    /// The cluster was not seen whole yet.
    #[error("what would follow is not known yet: {0}")]
    NotSeen(String),
}

/// The cluster that answers becomes the one that is kept, if it still is what the person was
/// shown: the cluster `uid`, in doubt since the event `doubt`.
pub(super) fn accept(
    world: &World,
    uid: &str,
    doubt: Seq,
    reason: String,
) -> Result<Decision, Error> {
    let Some(now) = world.cluster.doubt() else {
        return Err(NotAccepted::NoDoubt { kept: world.cluster.identity.kept.clone() }.into());
    };
    if now.seq() != doubt || world.cluster.uid != uid {
        let (uid, seq) = (world.cluster.uid.clone(), now.seq());
        return Err(NotAccepted::OtherDoubt { uid, seq }.into());
    }
    if let Some(error) = &world.cluster.lost {
        return Err(
            NotAccepted::NotSeen(format!("the API server cannot be reached: {error}")).into()
        );
    }
    if world.cluster.kinds.is_empty() {
        return Err(NotAccepted::NotSeen("what it serves is not known yet".to_owned()).into());
    }
    if let Some(kinds) = unlisted(world) {
        return Err(NotAccepted::NotSeen(format!("not listed yet: {kinds}")).into());
    }
    let uid = uid.to_owned();
    Ok(Decision::record(ClusterAcceptedV1 { uid, doubt, reason }))
}
