//! Who owns the fields of one stored version of an object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::Pattern;
use crate::cluster::field_set::FieldSet;

/// The places that each field manager owns.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct Owned(Vec<(String, Vec<Vec<String>>)>);

impl Owned {
    /// Of an object as the ledger keeps it: see `cluster::normalize`.
    pub(in crate::query) fn of(stored: &Value) -> Self {
        let fields = stored.get("fields").and_then(Value::as_array);
        let owned = fields.into_iter().flatten().map(|entry| {
            let manager = entry.get("manager").and_then(Value::as_str).unwrap_or_default();
            let leaves = entry.get("fieldsV1").map(|set| FieldSet::parse(set).leaves());
            (manager.to_owned(), leaves.unwrap_or_default())
        });
        Self(owned.collect())
    }

    /// The managers that own the field at `path`, something in it, or the whole that it is a part
    /// of.
    pub(in crate::query) fn managers(&self, path: &str) -> BTreeSet<&str> {
        let Some(pattern) = Pattern::parse(path) else { return BTreeSet::new() };
        let owning =
            self.0.iter().filter(|(_, leaves)| leaves.iter().any(|leaf| pattern.meets(leaf)));
        owning.map(|(manager, _)| manager.as_str()).collect()
    }
}
