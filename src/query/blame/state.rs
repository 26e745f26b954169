//! Who set which field last, since when it has been what it is, and who removed what is no
//! longer there: a fold over the versions of one object. Pure.
//!
//! A version is known by its number. Writing the value that is there already is writing: whoever
//! comes to own a field is its last writer, and since when the value has been the same is another
//! question. What was removed and comes back begins anew. An object that was made anew (another
//! uid) begins anew in everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

#[cfg(test)]
use super::fields::changes;
use super::fields::{Change, Place, changes_of, leaves};
use super::parts::Part;
use super::schema::Schema;
use crate::cluster::field_set::FieldSet;

/// A field manager as the API server tells them apart: name, operation, subresource.
pub(super) type Manager = (String, String, String);
/// Who owns which fields.
pub(super) type Owners = BTreeMap<Manager, Arc<FieldSet>>;

/// What is known of one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The version in which it was written last.
    pub(super) set: usize,
    /// The version since which it has had this value.
    pub(super) since: usize,
    /// The value before, where there was one.
    pub(super) previous: Option<Value>,
}

/// What is known of a leaf that is no longer there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tombstone {
    /// The version in which it was gone first.
    pub(super) removed: usize,
    /// The version in which it had been written last.
    pub(super) set: usize,
    /// The last value.
    pub(super) last: Value,
}

/// Everything known of the fields of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) entries: BTreeMap<Place, Entry>,
    pub(super) removed: BTreeMap<Place, Tombstone>,
}

impl State {
    /// The first version of an object: nothing before it counts.
    pub(super) fn begin(&mut self, schema: &Schema, version: usize, object: &Value) {
        self.removed.clear();
        let found = leaves(schema, object)
            .into_iter()
            .map(|leaf| (leaf.place, Entry { set: version, since: version, previous: None }));
        self.entries = found.collect();
    }

    /// The version after another of the same object: what [`Self::go_on_in`] says of parts.
    #[cfg(test)]
    pub(super) fn go_on(&mut self, schema: &Schema, version: usize, was: &Value, now: &Value) {
        self.take(version, changes(schema, was, now));
    }

    /// The version after another of the same object, by the parts that differ. Costs as much as
    /// they do.
    pub(super) fn go_on_in(&mut self, schema: &Schema, version: usize, parts: &[Part]) {
        for part in parts {
            self.take(version, changes_of(schema, part));
        }
    }

    fn take(&mut self, version: usize, changes: Vec<Change<'_>>) {
        for change in changes {
            let former = self.entries.remove(&change.place);
            let Some(_) = change.now else {
                let set = former.map_or(version, |entry| entry.set);
                let last = change.was.cloned().unwrap_or_default();
                self.removed.insert(change.place, Tombstone { removed: version, set, last });
                continue;
            };
            self.removed.remove(&change.place);
            let previous = change.was.cloned();
            self.entries.insert(change.place, Entry { set: version, since: version, previous });
        }
    }

    /// Whoever came to own a field with this version wrote it, whatever it was.
    pub(super) fn owned(&mut self, version: usize, before: &Owners, after: &Owners) {
        let nothing = Arc::new(FieldSet::default());
        for (manager, now) in after {
            let was = before.get(manager).unwrap_or(&nothing);
            if was == now {
                continue;
            }
            for place in now.without(was).leaves() {
                if let Some(entry) = self.entries.get_mut(&place) {
                    entry.set = version;
                }
            }
        }
    }
}
