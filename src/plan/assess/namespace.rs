//! Namespaces come before what is in them.

use super::{Judge, Need, Status};
use crate::model::{GroupKind, ObjectKey};

impl Judge<'_> {
    /// Whether the object's namespace has to come first.
    pub(super) fn namespace_wait(&self, key: &ObjectKey, kind: &GroupKind) -> Option<Need> {
        let kind_of_namespaces = &GroupKind::new("", "Namespace");
        if key.namespace().is_empty() || kind == kind_of_namespaces {
            return None;
        }
        let namespace = ObjectKey::new("", "Namespace", "", key.namespace());
        let wanted = self.world.wanted_by.contains_key(&namespace);
        let (why, progress) = match self.world.live.get(&namespace) {
            Some(live) if live.deleting => ("is being deleted", true),
            Some(_) => return None,
            None if self.app.wants(&namespace) => ("comes first", true),
            None if wanted => ("is not created yet", true),
            // A daemon that may not list namespaces does not know: the API server will say.
            None if !self.world.cluster.is_listed(kind_of_namespaces) => return None,
            None => ("does not exist and no application creates it", false),
        };
        let why = format!("namespace {} {why}", key.namespace());
        Some(Need::Wait { status: Status::Missing, why, progress })
    }
}
