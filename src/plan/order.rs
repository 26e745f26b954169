//! In which order objects are written: by sync wave, then by kind, then by name.
//!
//! What others cannot be created without comes before them whatever its own wave says: a
//! Namespace, and a CustomResourceDefinition, is pulled forward to the wave of its first user, as
//! in Argo CD. Otherwise the user would wait for it, and it for the wave of the user, for ever.

use std::collections::BTreeMap;

use crate::ledger::event::DesiredObject;
use crate::model::ObjectKey;
use crate::replay::Desired;

/// Kinds in the order in which they are applied (Argo CD's sync order; see
/// `docs/architecture.md`). A Namespace or CustomResourceDefinition comes before everything of
/// the same wave, because other objects need it to exist.
const KINDS: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// The rank of an object's kind; what is not listed (custom resources) comes last.
#[must_use]
pub fn kind_rank(key: &ObjectKey) -> usize {
    KINDS.iter().position(|kind| *kind == key.kind()).unwrap_or(KINDS.len())
}

/// The objects in the order in which they are applied, each with the wave that it is applied in.
pub(super) fn in_order(desired: &Desired) -> Vec<(i32, &DesiredObject)> {
    let objects = desired.objects.values();
    let mut objects: Vec<(i32, &DesiredObject)> = if desired.several_waves {
        let first_users = first_users(desired);
        objects.map(|object| (wave(object, &first_users), object)).collect()
    } else {
        objects.map(|object| (object.wave, object)).collect()
    };
    objects.sort_by_cached_key(|(wave, object)| (*wave, kind_rank(&object.key)));
    objects
}

/// What objects need to be there: a namespace, or a kind of a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Needed<'a> {
    Namespace(&'a str),
    Group(&'a str),
}

/// The lowest wave of the objects that need something.
fn first_users(desired: &Desired) -> BTreeMap<Needed<'_>, i32> {
    let mut first = BTreeMap::new();
    for object in desired.objects.values() {
        let key = &object.key;
        let needed = [Needed::Namespace(key.namespace()), Needed::Group(key.group())];
        for needed in needed {
            let wave = first.entry(needed).or_insert(object.wave);
            *wave = object.wave.min(*wave);
        }
    }
    first
}

/// The wave of an object: its own, or that of its first user if that is earlier. Of a definition
/// the name tells the group and not the kind: all of a group come before its first object.
fn wave(object: &DesiredObject, first_users: &BTreeMap<Needed<'_>, i32>) -> i32 {
    let key = &object.key;
    let offered = if key.is("", "Namespace") {
        Some(Needed::Namespace(key.name()))
    } else if key.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        key.name().split_once('.').map(|(_, group)| Needed::Group(group))
    } else {
        None
    };
    let first = offered.and_then(|offered| first_users.get(&offered));
    first.map_or(object.wave, |first| object.wave.min(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::{Given, auto, name, object};

    /// The order of `(object, wave)`, as `wave object`.
    fn order(objects: &[(&str, i32)]) -> Vec<String> {
        let mut given = Given::app("web", auto());
        let waved = |(text, wave): &(&str, i32)| DesiredObject { wave: *wave, ..object(text, 1) };
        given.renders("web", objects.iter().map(waved).collect());
        let desired = given.world.apps[&name("web")].desired.as_ref().unwrap();
        let order = in_order(desired).into_iter();
        order.map(|(wave, object)| format!("{wave} {}", object.key)).collect()
    }

    #[test]
    fn what_others_need_comes_in_the_wave_of_its_first_user_at_the_latest() {
        let definition = "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org";
        let check = |objects: &[(&str, i32)], expected: &[&str]| {
            assert_eq!(order(objects), expected, "{objects:?}");
        };
        check(
            &[("Namespace/stage", 2), ("ConfigMap/stage/a", 0), ("ConfigMap/stage/b", 1)],
            &["0 Namespace/stage", "0 ConfigMap/stage/a", "1 ConfigMap/stage/b"],
        );
        check(
            &[
                (definition, 3),
                ("Widget.example.org/prod/w", -1),
                ("Gadget.example.com/prod/g", -2),
            ],
            &[
                "-2 Gadget.example.com/prod/g",
                &format!("-1 {definition}"),
                "-1 Widget.example.org/prod/w",
            ],
        );
        // An earlier one stays where it is, and so does one that nobody needs.
        check(
            &[("Namespace/stage", -1), ("Namespace/else", 1), ("ConfigMap/stage/a", 0)],
            &["-1 Namespace/stage", "0 ConfigMap/stage/a", "1 Namespace/else"],
        );
    }

    #[test]
    fn namespaces_and_definitions_come_first_and_custom_resources_last() {
        let rank = |kind: &str| kind_rank(&ObjectKey::new("", kind, "", "x"));
        assert!(rank("Namespace") < rank("CustomResourceDefinition"));
        assert!(rank("CustomResourceDefinition") < rank("ConfigMap"));
        assert!(rank("ServiceAccount") < rank("Deployment"));
        assert!(rank("APIService") < rank("Widget"));
    }
}
