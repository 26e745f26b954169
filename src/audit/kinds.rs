//! Which kinds there are, by the names of their resources, and of which writes are recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{GroupKind, ObjectKey, Scope};
use crate::replay::World;

/// What is needed of the world to understand a record, copied: no lock is held meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// By group and resource: the kind, and where its objects live.
    resources: BTreeMap<(String, String), (GroupKind, Scope)>,
    /// The kinds that are not watched.
    excluded: BTreeSet<GroupKind>,
    /// Objects of them that are watched all the same, because an application has them.
    named: BTreeSet<ObjectKey>,
}

impl Kinds {
    /// What the world knows.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut kinds = Self { named: world.cluster.named.clone(), ..Self::default() };
        for served in world.cluster.kinds.values() {
            let resource = (served.kind.group.clone(), served.plural.clone());
            kinds.resources.insert(resource, (served.kind.clone(), served.scope));
            if !served.watched {
                kinds.excluded.insert(served.kind.clone());
            }
        }
        kinds
    }

    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The kind of a resource.
    #[must_use]
    pub fn of_resource(&self, group: &str, plural: &str) -> Option<(&GroupKind, Scope)> {
        let resource = (group.to_owned(), plural.to_owned());
        self.resources.get(&resource).map(|(kind, scope)| (kind, *scope))
    }

    /// Whether writes to the object are recorded: those to what is observed.
    #[must_use]
    pub fn is_kept(&self, key: &ObjectKey) -> bool {
        !self.excluded.contains(&key.group_kind()) || self.named.contains(key)
    }
}
