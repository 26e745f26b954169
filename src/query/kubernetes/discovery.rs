//! Discovery: which groups, versions and resources there were.
//!
//! Source: `meta/v1` APIVersions, APIGroupList, APIGroup and APIResourceList. What is served is
//! what is recorded: kinds that were watched, each in the version in which it was read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::target::GroupVersion;
use crate::ledger::event::ServedKind;
use crate::model::{GroupKind, Scope};
use crate::query::why::short_names;

/// Kinds that `kubectl get all` lists.
const ALL: [(&str, &str); 10] = [
    ("", "Pod"),
    ("", "ReplicationController"),
    ("", "Service"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
];

/// The kinds that a cluster served, as far as they are recorded.
pub(super) struct Discovery<'a>(&'a BTreeMap<GroupKind, ServedKind>);

impl<'a> Discovery<'a> {
    pub(super) fn new(kinds: &'a BTreeMap<GroupKind, ServedKind>) -> Self {
        Self(kinds)
    }

    fn of_version(&self, of: &GroupVersion) -> impl Iterator<Item = &'a ServedKind> {
        let kinds = self.0.values().filter(|served| served.watched);
        kinds.filter(move |served| served.kind.group == of.group && served.version == of.version)
    }

    /// The kind that has this name in URLs.
    pub(super) fn find(&self, of: &GroupVersion, plural: &str) -> Option<&'a ServedKind> {
        self.of_version(of).find(|served| served.plural == plural)
    }

    /// Whether the kind was served, but is not recorded.
    pub(super) fn is_excluded(&self, of: &GroupVersion, plural: &str) -> bool {
        self.0.values().any(|served| {
            served.kind.group == of.group && served.plural == plural && !served.watched
        })
    }

    pub(super) fn core_versions(&self) -> Value {
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    }

    pub(super) fn groups(&self) -> Value {
        let mut names: Vec<&str> = self.0.keys().map(|kind| kind.group.as_str()).collect();
        names.dedup();
        let groups: Vec<Value> = names.into_iter().filter_map(|name| self.group(name)).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// One group; `None` when nothing of it is recorded.
    pub(super) fn group(&self, name: &str) -> Option<Value> {
        let kinds = self.0.values().filter(|served| served.watched && served.kind.group == name);
        let mut versions: Vec<&str> = kinds.map(|served| served.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        if name.is_empty() || versions.is_empty() {
            return None;
        }
        let version = |v: &&str| json!({"groupVersion": format!("{name}/{v}"), "version": v});
        Some(json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": name,
            "versions": versions.iter().map(version).collect::<Vec<_>>(),
            "preferredVersion": versions.last().map(version),
        }))
    }

    /// The resources of a version; `None` when nothing of it is recorded.
    pub(super) fn resources(&self, of: &GroupVersion) -> Option<Value> {
        let resources: Vec<Value> = self.of_version(of).map(resource).collect();
        if resources.is_empty() {
            return None;
        }
        let version = match of.group.as_str() {
            "" => of.version.clone(),
            group => format!("{group}/{}", of.version),
        };
        Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
            "resources": resources}))
    }
}

fn resource(served: &ServedKind) -> Value {
    let kind = &served.kind;
    let mut resource = json!({
        "name": served.plural,
        "singularName": kind.kind.to_lowercase(),
        "namespaced": served.scope == Scope::Namespaced,
        "kind": kind.kind,
        "verbs": ["get", "list", "watch"],
    });
    if ALL.contains(&(kind.group.as_str(), kind.kind.as_str())) {
        resource["categories"] = json!(["all"]);
    }
    let short: Vec<&str> = short_names(&kind.kind).collect();
    if !short.is_empty() {
        resource["shortNames"] = json!(short);
    }
    resource
}
