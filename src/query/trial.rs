//! What would change if an application were synced to something else than it is: another
//! revision, or somebody's working tree.
//!
//! Compared is what the manifests say with the cluster as last observed; a field that the render
//! in force has and the new one has not counts as removed. What `ignoreDifferences` of the
//! definition in force ignores is left out.
//!
//! Security: of a Secret only the names of its keys are told, and whether a value differs.

use serde_json::Value;

use super::book::Book;
use super::diff::{AppDiff, ObjectDiff, Side, fields};
use super::ignored::{left_out, managers};
use crate::ledger;
use crate::ledger::event::{FieldChange, Origin};
use crate::model::{AppName, BlobAddr, Digest, Mask, ObjectKey, canonical_json};
use crate::plan::diff::diff;
use crate::plan::secret::hide;
pub use crate::plan::secret::shown;
use crate::render::Sandbox;
use crate::replay::World;

/// An object as it would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The object.
    pub key: ObjectKey,
    /// Its manifest.
    pub manifest: Value,
}

/// The manifests to compare, gathered under the world's lock; reading them comes after.
#[derive(Debug, Clone, Default)]
pub struct PendingTrial {
    entries: Vec<Entry>,
    done: Vec<ObjectDiff>,
}

#[derive(Debug, Clone)]
struct Entry {
    wanted: Wanted,
    live: BlobAddr,
    /// What the render in force says.
    former: Option<BlobAddr>,
    /// What is ignored.
    mask: Mask,
}

/// Gathers what [`PendingTrial::read`] compares. Does no I/O.
#[must_use]
pub fn gather(world: &World, app: &AppName, wanted: Vec<Wanted>) -> PendingTrial {
    let mut pending = PendingTrial::default();
    let Some(state) = world.apps.get(app) else { return pending };
    let prunes = state.spec.automated.is_some_and(|automated| automated.prune);
    let why = if prunes { "it would be pruned" } else { "it would stay: pruning is off" };
    let wants = |key: &ObjectKey| wanted.iter().any(|wanted| wanted.key == *key);
    for (key, _) in world.owned_by(app) {
        if !wants(key) && world.live.contains_key(key) {
            pending.push(key.clone(), Side::Extra, why);
        }
    }
    for child in world.children(app) {
        let key = ObjectKey::application(child);
        let kept = wanted.iter().any(|w| w.key.is_application() && w.key.name() == key.name());
        if !kept {
            pending.push(key, Side::Extra, why);
        }
    }
    let desired = state.desired.as_ref();
    for wanted in wanted {
        if wanted.key.is_application() {
            pending.application(world, app, &wanted);
            continue;
        }
        let former = desired.and_then(|desired| desired.objects.get(&wanted.key));
        match world.live.get(&wanted.key) {
            None => pending.push(wanted.key, Side::Missing, ""),
            Some(live) => {
                let (live, former) = (live.object, former.map(|former| former.manifest));
                let mask = world.ignored(state, &wanted.key);
                pending.entries.push(Entry { wanted, live, former, mask });
            }
        }
    }
    pending
}

impl PendingTrial {
    fn push(&mut self, key: ObjectKey, side: Side, why: &str) {
        self.done.push(ObjectDiff {
            key,
            side,
            fields: Vec::new(),
            why: why.to_owned(),
            hold: None,
        });
    }

    /// A child is greffier's own and has no live object: its definition is compared.
    fn application(&mut self, world: &World, parent: &AppName, wanted: &Wanted) {
        let known = world.apps.iter().find(|(name, _)| name.as_str() == wanted.key.name());
        match known {
            None => self.push(wanted.key.clone(), Side::Missing, ""),
            Some((_, child)) if child.origin != Origin::Parent(parent.clone()) => {
                self.push(wanted.key.clone(), Side::Changed, "it is defined elsewhere");
            }
            Some((_, child)) => {
                let same = Digest::of(&canonical_json(&wanted.manifest)) == child.manifest;
                if !same {
                    self.push(wanted.key.clone(), Side::Changed, "its definition would change");
                }
            }
        }
    }

    /// Reads the manifests and compares.
    ///
    /// # Errors
    /// What the ledger says about a blob that cannot be read.
    pub fn read(self, book: &dyn Book, sandbox: &Sandbox) -> Result<AppDiff, ledger::Error> {
        let mut result = AppDiff { objects: self.done, ..AppDiff::default() };
        for Entry { wanted, live, former, mask } in self.entries {
            let stored = book.blob(live)?;
            let Ok(live) = serde_json::from_slice::<Value>(&stored) else {
                let key = &wanted.key;
                result.unknown.push(format!("{key}: its recorded object cannot be read"));
                continue;
            };
            // An observation is kept with its field managers beside it.
            let live = live.get("object").unwrap_or(&live).clone();
            // A sealed manifest without the key says nothing about what is removed.
            let former = former.and_then(|former| book.blob(former).ok());
            let former = former.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let had = former.is_some();
            let (owners, Wanted { key, manifest }) = (managers(&stored), wanted);
            let objects = [manifest, live, former.unwrap_or_default()];
            let [manifest, live, former] = match left_out(sandbox, &mask, &owners, objects) {
                Ok(left) => left,
                Err(why) => {
                    result.unknown.push(format!("{key}: {why}"));
                    continue;
                }
            };
            let wanted = Wanted { key, manifest };
            let mut fields = fields(book, &wanted.key, &wanted.manifest, &live);
            if had {
                fields.extend(removed(&former, &wanted));
            }
            if !fields.is_empty() {
                let (key, side, why) = (wanted.key, Side::Changed, String::new());
                result.objects.push(ObjectDiff { key, side, fields, why, hold: None });
            }
        }
        result.objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(result)
    }
}

/// What the former manifest has and the wanted one has not.
fn removed(former: &Value, wanted: &Wanted) -> impl Iterator<Item = FieldChange> {
    let gone = diff(former, &wanted.manifest).into_iter().filter(|change| change.was.is_empty());
    gone.map(|change| {
        let change = FieldChange { path: change.path, was: change.now, now: String::new() };
        hide(&wanted.key, change)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::secret::SECRET;

    fn wanted(kind: &str, manifest: Value) -> Wanted {
        Wanted { key: ObjectKey::new("", kind, "prod", "a"), manifest }
    }

    #[test]
    fn fields_that_leave_are_named_and_secret_values_are_not() {
        let former = json!({"data": {"a": "1", "b": "hunter2"}});
        let new = json!({"data": {"a": "1"}});
        let change = |kind| removed(&former, &wanted(kind, new.clone())).collect::<Vec<_>>();
        let plain = change("ConfigMap");
        assert_eq!((plain.len(), plain[0].path.as_str()), (1, ".data.b"));
        assert_eq!((plain[0].was.as_str(), plain[0].now.as_str()), ("\"hunter2\"", ""));
        assert_eq!(change("Secret")[0].was, SECRET);
    }

    #[test]
    fn a_copy_of_a_secret_among_annotations_that_leave_is_not_shown() {
        let copy = "kubectl.kubernetes.io/last-applied-configuration";
        let former = json!({"metadata": {"name": "a", "annotations": {copy: "hunter2"}}});
        for new in [json!({"metadata": {"name": "a"}}), json!({})] {
            let gone: Vec<_> = removed(&former, &wanted("Secret", new)).collect();
            assert_eq!(gone.len(), 1, "{gone:?}");
            assert_eq!(gone[0].was, SECRET, "{gone:?}");
        }
    }
}
