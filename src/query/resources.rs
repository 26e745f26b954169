//! Objects: those an application wants or owns, and those that are live.

use super::apps::AppView;
use crate::ledger::event::Health;
use crate::model::{ObjectKey, Timestamp};
use crate::replay::World;

/// Which objects are wanted. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceFilter {
    /// In this namespace.
    pub namespace: Option<String>,
    /// Of this kind: `Deployment` or `Deployment.apps`, in any case of letters.
    pub kind: Option<String>,
    /// Owned or wanted by this application.
    pub app: Option<String>,
}

/// An object as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its key.
    pub key: ObjectKey,
    /// The version it was last read in; empty when it is not in the cluster.
    pub version: String,
    /// The application that owns or wants it; empty when none does.
    pub app: String,
    /// Whether it is as Git says; empty when no application wants it.
    pub sync: &'static str,
    /// Why, and why nothing is done where nothing is done.
    pub why: String,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// When it was last seen to change.
    pub seen: Option<Timestamp>,
}

impl ResourceFilter {
    fn wants(&self, key: &ObjectKey) -> bool {
        let kind = |wanted: &String| {
            wanted.eq_ignore_ascii_case(key.kind())
                || wanted.eq_ignore_ascii_case(&key.group_kind().to_string())
        };
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace())
            && self.kind.as_ref().is_none_or(kind)
    }
}

/// The objects that an application wants or still owns, in order of their keys.
#[must_use]
pub fn app_resources(world: &World, view: &AppView<'_>) -> Vec<Resource> {
    let objects = view.plan.objects.iter();
    objects
        .map(|object| {
            let live = world.live.get(&object.key);
            Resource {
                key: object.key.clone(),
                version: live.map(|live| live.version.clone()).unwrap_or_default(),
                app: view.name.to_string(),
                sync: object.status.as_str(),
                why: object.why.clone(),
                health: object.health,
                health_message: object.health_message.clone(),
                seen: live.map(|live| live.seen),
            }
        })
        .collect()
}

/// The live objects that match, in order of their keys; with `filter.app`, the objects of that
/// application among `views`, whether live or not.
#[must_use]
pub fn resources(world: &World, views: &[AppView<'_>], filter: &ResourceFilter) -> Vec<Resource> {
    let of_apps = views
        .iter()
        .filter(|view| filter.app.as_ref().is_none_or(|app| app == view.name.as_str()))
        .flat_map(|view| app_resources(world, view))
        .filter(|resource| filter.wants(&resource.key));
    let mut found: Vec<Resource> = of_apps.collect();
    if filter.app.is_none() {
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.dedup_by(|a, b| a.key == b.key);
        let known: std::collections::BTreeSet<ObjectKey> =
            found.iter().map(|resource| resource.key.clone()).collect();
        let others =
            world.live.iter().filter(|(key, _)| filter.wants(key) && !known.contains(*key));
        found.extend(others.map(|(key, live)| Resource {
            key: key.clone(),
            version: live.version.clone(),
            app: String::new(),
            sync: "",
            why: String::new(),
            health: live.health,
            health_message: live.health_message.clone(),
            seen: Some(live.seen),
        }));
        found.sort_by(|a, b| a.key.cmp(&b.key));
    }
    found
}
