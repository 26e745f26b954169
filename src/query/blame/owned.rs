//! Who owns the fields of one stored version of an object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::Pattern;
use crate::cluster::field_set::FieldSet;
use crate::cluster::is_own;

/// The places that each field manager owns.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct Owned(Vec<Entry>);

/// One field manager.
#[derive(Debug, Clone)]
struct Entry {
    manager: String,
    /// Whether it is what greffier applied.
    is_own: bool,
    leaves: Vec<Vec<String>>,
}

impl Owned {
    /// Of an object as the ledger keeps it: see `cluster::normalize`.
    pub(in crate::query) fn of(stored: &Value) -> Self {
        let fields = stored.get("fields").and_then(Value::as_array);
        let owned = fields.into_iter().flatten().map(|entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let (manager, subresource) = (text("manager"), text("subresource"));
            let leaves = entry.get("fieldsV1").map(|set| FieldSet::parse(set).leaves());
            Entry {
                manager: manager.to_owned(),
                is_own: is_own(manager, text("operation"), subresource),
                leaves: leaves.unwrap_or_default(),
            }
        });
        Self(owned.collect())
    }

    /// The managers that own the field at `path`, something in it, or the whole that it is a part
    /// of.
    pub(in crate::query) fn managers(&self, path: &str) -> BTreeSet<&str> {
        self.owning(path).into_iter().map(|entry| entry.manager.as_str()).collect()
    }

    /// Whether greffier applied the field at `path`, something in it, or the whole.
    pub(in crate::query) fn is_own(&self, path: &str) -> bool {
        self.owning(path).iter().any(|entry| entry.is_own)
    }

    fn owning(&self, path: &str) -> Vec<&Entry> {
        let Some(pattern) = Pattern::parse(path) else { return Vec::new() };
        let owns = |entry: &&Entry| entry.leaves.iter().any(|leaf| pattern.meets(leaf));
        self.0.iter().filter(owns).collect()
    }
}
