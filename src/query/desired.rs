//! What an application was to be, as recorded: no Git and no renderer is needed for it.
//!
//! Security: of a Secret only what names and describes it is told.

use serde_json::Value;

use std::collections::BTreeMap;

use super::apps::AppView;
use super::book::Book;
use super::diff::{AppDiff, ObjectDiff, Side};
use crate::ledger;
use crate::model::{BlobAddr, CommitId, ObjectKey, Seq};
use crate::plan::diff::changes;
use crate::plan::secret::shown;
use crate::replay::World;

/// An object that was to be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredManifest {
    /// Its key.
    pub key: ObjectKey,
    /// Its sync wave.
    pub wave: i32,
    /// The file that it came from, as far as known.
    pub origin: String,
    /// Its manifest; never with a Secret's values.
    pub manifest: Value,
}

/// What an application was to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// The commit of each of its sources.
    pub commits: Vec<CommitId>,
    /// Where it was taken from, in words.
    pub tool: String,
    /// The objects, in order of their keys.
    pub objects: Vec<DesiredManifest>,
    /// What cannot be told, and why.
    pub unknown: Vec<String>,
}

/// An object whose manifest is still to be read.
#[derive(Debug, Clone)]
struct Entry {
    key: ObjectKey,
    wave: i32,
    origin: String,
    manifest: BlobAddr,
}

/// What [`Pending::read`] reads.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    render: Option<Seq>,
    commits: Vec<CommitId>,
    entries: Vec<Entry>,
}

/// Gathers what was to be. Does no I/O.
#[must_use]
pub fn desired(_: &World, view: &AppView<'_>) -> Pending {
    let Some(desired) = &view.app.desired else { return Pending::default() };
    let entries = desired.objects.values().map(|object| Entry {
        key: object.key.clone(),
        wave: object.wave,
        origin: object.origin.clone(),
        manifest: object.manifest,
    });
    Pending {
        render: Some(desired.seq),
        commits: desired.revisions.iter().map(|revision| revision.commit.clone()).collect(),
        entries: entries.collect(),
    }
}

impl Pending {
    /// Reads the manifests.
    ///
    /// # Errors
    /// What the ledger says about a blob that cannot be read, except that a sealed one without a
    /// key at hand is reported as unknown.
    pub fn read(self, book: &dyn Book) -> Result<Desired, ledger::Error> {
        let mut found = Desired { commits: self.commits, ..Desired::default() };
        match self.render {
            Some(seq) => found.tool = format!("as recorded by #{seq}"),
            None => {
                found.tool = "as recorded".to_owned();
                found.unknown.push("nothing had been rendered by then".to_owned());
            }
        }
        for Entry { key, wave, origin, manifest } in self.entries {
            let bytes = match book.blob(manifest) {
                Ok(bytes) => bytes,
                Err(error @ (ledger::Error::Sealed(_) | ledger::Error::NoBlob(_))) => {
                    found.unknown.push(format!("{key}: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(manifest) => {
                    let manifest = shown(&key, manifest);
                    found.objects.push(DesiredManifest { key, wave, origin, manifest });
                }
                Err(_) => found.unknown.push(format!("{key}: its manifest cannot be read")),
            }
        }
        Ok(found)
    }
}

/// How what two are to be differs: `missing` is what the first has not, `extra` what the second
/// has not, `was` the first and `now` the second. Objects of different applications are the same
/// when kind and name are, whatever their namespaces.
#[must_use]
pub fn two(first: &Desired, second: &Desired, same_app: bool) -> AppDiff {
    let (one, two) = (by_name(first, same_app), by_name(second, same_app));
    let mut names: Vec<&ObjectKey> = one.keys().chain(two.keys()).collect();
    names.sort();
    names.dedup();
    let mut diff = AppDiff::default();
    diff.unknown.extend(first.unknown.iter().chain(&second.unknown).cloned());
    for name in names {
        let push = |key: &ObjectKey, side, fields| ObjectDiff {
            key: key.clone(),
            side,
            fields,
            why: String::new(),
            hold: None,
        };
        match (one.get(name), two.get(name)) {
            (Some(one), None) => diff.objects.push(push(&one.key, Side::Extra, Vec::new())),
            (None, Some(two)) => diff.objects.push(push(&two.key, Side::Missing, Vec::new())),
            (Some(one), Some(two)) => {
                if one.key.is_secret() {
                    diff.unknown
                        .push(format!("{}: the values of Secrets are not compared", one.key));
                }
                let mut fields = changes(&one.manifest, &two.manifest);
                fields.retain(|field| same_app || field.path != ".metadata.namespace");
                if !fields.is_empty() {
                    diff.objects.push(push(&two.key, Side::Changed, fields));
                }
            }
            (None, None) => {}
        }
    }
    diff
}

/// Objects by what tells them apart; without their namespaces where that is enough.
fn by_name(desired: &Desired, whole: bool) -> BTreeMap<ObjectKey, &DesiredManifest> {
    let bare = |key: &ObjectKey| ObjectKey::new(key.group(), key.kind(), "", key.name());
    let mut found = BTreeMap::new();
    for object in &desired.objects {
        let key = bare(&object.key);
        let taken = found.contains_key(&key);
        found.insert(if whole || taken { object.key.clone() } else { key }, object);
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wants(objects: &[(&str, &str, u32)]) -> Desired {
        let objects = objects.iter().map(|(key, namespace, replicas)| DesiredManifest {
            key: key.parse().unwrap(),
            wave: 0,
            origin: String::new(),
            manifest: json!({"metadata": {"namespace": namespace}, "spec": {"replicas": replicas}}),
        });
        Desired { objects: objects.collect(), ..Desired::default() }
    }

    #[test]
    fn two_applications_differ_in_what_they_want_and_not_in_their_namespaces() {
        let prod =
            wants(&[("Deployment.apps/prod/web", "prod", 5), ("ConfigMap/prod/a", "prod", 1)]);
        let test =
            wants(&[("Deployment.apps/test/web", "test", 2), ("ConfigMap/test/b", "test", 1)]);
        let diff = two(&prod, &test, false);
        let told: Vec<_> = diff.objects.iter().map(|o| (o.key.to_string(), o.side)).collect();
        assert_eq!(
            told,
            [
                ("ConfigMap/prod/a".to_owned(), Side::Extra),
                ("ConfigMap/test/b".to_owned(), Side::Missing),
                ("Deployment.apps/test/web".to_owned(), Side::Changed),
            ]
        );
        let fields = &diff.objects[2].fields;
        assert_eq!((fields.len(), &*fields[0].was, &*fields[0].now), (1, "5", "2"));
        assert_eq!(two(&prod, &prod, true).objects, []);
        assert_eq!(two(&prod, &test, true).objects.len(), 4, "of one application keys are whole");
        let both = wants(&[("ConfigMap/a/x", "a", 1), ("ConfigMap/b/x", "b", 1)]);
        assert_eq!(by_name(&both, false).len(), 2);
    }
}
