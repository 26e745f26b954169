//! What of the cluster is not known, and whether it will be.

use crate::model::ObjectKey;
use crate::replay::World;

/// Why nothing is known about an object.
pub(super) struct Unseen {
    pub(super) why: String,
    /// Whether it passes by itself.
    pub(super) may_pass: bool,
}

impl Unseen {
    /// Why it is not known whether the object is in the cluster; `None` = it is known.
    pub(super) fn of(world: &World, key: &ObjectKey) -> Option<Self> {
        let (cluster, kind) = (&world.cluster, key.group_kind());
        if cluster.is_known(key) {
            return None;
        }
        let served = cluster.kinds.get(&kind);
        Some(if served.is_some_and(|served| !served.watchable) {
            let why = format!("the API server lets nobody watch {kind} objects");
            Self { why, may_pass: false }
        } else if let Some(reason) = cluster.refused.get(&kind) {
            Self { why: format!("{kind} objects cannot be seen: {reason}"), may_pass: false }
        } else {
            Self { why: format!("{kind} objects are not listed yet"), may_pass: true }
        })
    }
}
