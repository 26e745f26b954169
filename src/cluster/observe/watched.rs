//! What of a kind is watched: all its objects, or some by name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::discover::{base, encoded};
use crate::ledger::event::ServedKind;
use crate::model::{GroupKind, ObjectKey};

/// A kind, and which of its objects count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) served: ServedKind,
    /// Only these, by namespace and name; empty = all. What is excluded is watched by name where
    /// somebody wants objects of it.
    only: BTreeSet<(String, String)>,
}

impl Watched {
    /// All objects of a kind.
    pub(super) fn whole(served: ServedKind) -> Self {
        Self { served, only: BTreeSet::new() }
    }

    /// What is watched of the kinds that are served, when `named` are wanted whatever is excluded.
    pub(super) fn of(
        kinds: &BTreeMap<GroupKind, ServedKind>,
        named: &BTreeSet<ObjectKey>,
    ) -> BTreeMap<GroupKind, Self> {
        let whole = kinds.values().filter(|served| served.watched).cloned().map(Self::whole);
        let mut watched: BTreeMap<_, _> =
            whole.map(|watched| (watched.served.kind.clone(), watched)).collect();
        for key in named {
            let kind = key.group_kind();
            let Some(served) = kinds.get(&kind) else { continue };
            if !served.watched && served.watchable {
                let watched = watched.entry(kind).or_insert_with(|| Self::whole(served.clone()));
                watched.only.insert((key.namespace().to_owned(), key.name().to_owned()));
            }
        }
        watched
    }

    /// Whether an object of the kind counts.
    pub(super) fn counts(&self, namespace: &str, name: &str) -> bool {
        self.only.is_empty() || self.only.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// The same for an object as it is read.
    pub(super) fn counts_raw(&self, object: &Value) -> bool {
        let text = |field| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
        self.counts(text("/metadata/namespace"), text("/metadata/name"))
    }

    /// What is asked for by name; empty = every object.
    pub(super) fn named(&self) -> Vec<ObjectKey> {
        let kind = &self.served.kind;
        let key = |(namespace, name): &(String, String)| {
            ObjectKey::new(&kind.group, &kind.kind, namespace, name)
        };
        self.only.iter().map(key).collect()
    }

    /// The path and the first parameters of a question about what is watched: no more is asked
    /// for than a path and one field selector can leave out.
    pub(super) fn question(&self) -> String {
        let base = base(&self.served.kind.group, &self.served.version);
        let plural = &self.served.plural;
        let namespaces: BTreeSet<_> = self.only.iter().map(|(namespace, _)| namespace).collect();
        let path = match namespaces.first() {
            Some(namespace) if namespaces.len() == 1 && !namespace.is_empty() => {
                format!("{base}/namespaces/{}/{plural}", encoded(namespace))
            }
            _ => format!("{base}/{plural}"),
        };
        match self.only.first() {
            Some((_, name)) if self.only.len() == 1 => {
                format!("{path}?fieldSelector=metadata.name%3D{}&", encoded(name))
            }
            _ => format!("{path}?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    fn served(watched: bool, watchable: bool) -> ServedKind {
        let kind = GroupKind::new("x.io", "Thing");
        let (version, plural, scope) = ("v1".into(), "things".into(), Scope::Namespaced);
        ServedKind { kind, version, plural, scope, watched, watchable }
    }

    fn watched(served: &ServedKind, named: &[(&str, &str)]) -> Option<Watched> {
        let named = named.iter().map(|(ns, name)| ObjectKey::new("x.io", "Thing", *ns, *name));
        let kinds = BTreeMap::from([(served.kind.clone(), served.clone())]);
        Watched::of(&kinds, &named.collect()).remove(&served.kind)
    }

    #[test]
    fn what_is_excluded_is_watched_by_name_and_nothing_else_of_it() {
        let excluded = served(false, true);
        assert_eq!(watched(&excluded, &[]), None);
        assert_eq!(watched(&served(false, false), &[("a", "one")]), None);
        let whole = watched(&served(true, true), &[("a", "one")]).unwrap();
        assert!(whole.counts("b", "two") && whole.named().is_empty());
        let some = watched(&excluded, &[("a", "one"), ("b", "two")]).unwrap();
        assert!(some.counts("a", "one") && !some.counts("a", "two"));
        assert_eq!(some.named().len(), 2);
    }

    #[test]
    fn no_more_is_asked_for_than_can_be_left_out() {
        for (named, question) in [
            (
                vec![("a", "one")],
                "/apis/x.io/v1/namespaces/a/things?fieldSelector=metadata.name%3Done&",
            ),
            (vec![("a", "one"), ("a", "two")], "/apis/x.io/v1/namespaces/a/things?"),
            (vec![("a", "one"), ("b", "one")], "/apis/x.io/v1/things?"),
            (vec![("", "one")], "/apis/x.io/v1/things?fieldSelector=metadata.name%3Done&"),
        ] {
            assert_eq!(watched(&served(false, true), &named).unwrap().question(), question);
        }
        assert_eq!(Watched::whole(served(true, true)).question(), "/apis/x.io/v1/things?");
    }
}
