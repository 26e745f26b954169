//! What changed between two recorded versions of an object, and what its field managers say of it.
//!
//! Paths are written as in audit records: `.spec.replicas`, `.data[web.conf]`, with `[]` for an
//! item of a list, whichever it is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::reach::is_below;
use crate::ledger::event::{ActorClaim, Verdict};
use crate::plan::diff::list_key;

/// The field manager of greffier's writes.
const OWN: &str = "greffier";
/// How many paths are listed. Bound: as many as a record of a request can name.
const PATHS_MAX: usize = 256;
/// How deep objects are compared. Bound: the API server accepts no deeper JSON.
const DEPTH_MAX: usize = 100;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Places whose value is new: every single one, never a map around it.
    pub set: BTreeSet<String>,
    /// Places that are gone, the outermost.
    pub removed: BTreeSet<String>,
    /// Whether there is more than is listed, or it is not known what changed.
    pub more: bool,
    /// Whether managers of the subresource `status`, whose requests are not recorded, claim all
    /// of it.
    pub status: bool,
    /// The field managers that changed and own a changed place.
    pub managers: Vec<ActorClaim>,
    /// Whether every place that is listed is, or was, one that greffier owns.
    pub own: bool,
}

impl Change {
    /// Compares two versions as the ledger keeps them (`cluster::normalize`). What cannot be read
    /// is a change that is not known.
    #[must_use]
    pub fn between(before: Option<&[u8]>, after: &[u8]) -> Self {
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        let (Some(before), Some(after)) = (before.and_then(read), read(after)) else {
            return Self { more: true, ..Self::default() };
        };
        let mut change = Self::default();
        change.walk(before.get("object"), after.get("object"), &mut String::new(), 0);
        change.hear(entries(&before), entries(&after));
        change
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty() && !self.more
    }

    /// Every place that is listed.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.set.iter().chain(&self.removed)
    }

    fn walk(&mut self, was: Option<&Value>, now: Option<&Value>, path: &mut String, depth: usize) {
        if was == now {
            return;
        }
        if depth > DEPTH_MAX || self.set.len() + self.removed.len() >= PATHS_MAX {
            self.more = true;
            return;
        }
        match (was, now) {
            (Some(Value::Object(was)), Some(Value::Object(now))) => {
                let names: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
                for name in names {
                    self.below(&step(name), was.get(name), now.get(name), path, depth);
                }
            }
            (Some(Value::Array(was)), Some(Value::Array(now))) => {
                self.items(was, now, path, depth);
            }
            (None, Some(Value::Object(fields))) if !fields.is_empty() => {
                for (name, value) in fields {
                    self.below(&step(name), None, Some(value), path, depth);
                }
            }
            (None, Some(Value::Array(items))) if !items.is_empty() => {
                for item in items {
                    self.below("[]", None, Some(item), path, depth);
                }
            }
            (_, Some(_)) => {
                self.set.insert(path.clone());
            }
            (_, None) => {
                self.removed.insert(path.clone());
            }
        }
    }

    fn below(
        &mut self,
        step: &str,
        was: Option<&Value>,
        now: Option<&Value>,
        path: &mut String,
        depth: usize,
    ) {
        let length = path.len();
        path.push_str(step);
        self.walk(was, now, path, depth + 1);
        path.truncate(length);
    }

    fn items(&mut self, was: &[Value], now: &[Value], path: &mut String, depth: usize) {
        let same_key = list_key(now).filter(|key| was.is_empty() || list_key(was) == Some(*key));
        match same_key {
            Some(key) => {
                let with = |items: &[Value], item: &Value| {
                    items.iter().find(|other| other.get(key) == item.get(key)).cloned()
                };
                for item in now {
                    self.below("[]", with(was, item).as_ref(), Some(item), path, depth);
                }
                for item in was.iter().filter(|item| with(now, item).is_none()) {
                    self.below("[]", Some(item), None, path, depth);
                }
                if was.len() == now.len() && now.iter().all(|item| was.contains(item)) {
                    // Another order.
                    self.set.insert(format!("{path}[]"));
                }
            }
            None if was.len() == now.len() => {
                for (was, now) in was.iter().zip(now) {
                    self.below("[]", Some(was), Some(now), path, depth);
                }
            }
            None => {
                self.set.insert(format!("{path}[]"));
            }
        }
    }

    /// What the managers say: those whose entry is new or other than before.
    fn hear(&mut self, was: &[Value], now: &[Value]) {
        let changed: Vec<&Value> = now.iter().filter(|entry| !was.contains(entry)).collect();
        let mut by_status = Owns::default();
        for entry in changed {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let owns = Owns::of(entry.get("fieldsV1"));
            if text("subresource") == "status" {
                by_status.add(entry.get("fieldsV1"));
            }
            if self.paths().any(|path| owns.holds(path)) {
                self.managers.push(ActorClaim {
                    who: text("manager").to_owned(),
                    verb: text("operation").to_owned(),
                    subresource: text("subresource").to_owned(),
                    strength: Verdict::FieldManager.strength(),
                    ..ActorClaim::default()
                });
            }
        }
        let own = |entries: &[Value]| {
            let mut owns = Owns::default();
            let entries = entries.iter().filter(|entry| entry.get("manager") == Some(&OWN.into()));
            entries.for_each(|entry| owns.add(entry.get("fieldsV1")));
            owns
        };
        let (had, has) = (own(was), own(now));
        self.own = !self.more
            && self.set.iter().all(|path| has.holds(path))
            && self.removed.iter().all(|path| had.touches(path));
        self.status = !self.set.is_empty()
            && !self.more
            && self.removed.is_empty()
            && self.managers.iter().all(|manager| manager.subresource == "status")
            && self.set.iter().all(|path| by_status.holds(path));
    }
}

fn entries(stored: &Value) -> &[Value] {
    stored.get("fields").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One step of a path, as people and audit records have it.
fn step(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let is_plain = !name.is_empty() && name.bytes().all(plain);
    if is_plain { format!(".{name}") } else { format!("[{name}]") }
}

/// The places that a field set owns.
#[derive(Default)]
struct Owns {
    /// With all that is below them.
    leaves: BTreeSet<String>,
    /// By themselves.
    members: BTreeSet<String>,
}

impl Owns {
    fn of(fields_v1: Option<&Value>) -> Self {
        let mut owns = Self::default();
        owns.add(fields_v1);
        owns
    }

    fn add(&mut self, fields_v1: Option<&Value>) {
        if let Some(fields) = fields_v1.and_then(Value::as_object) {
            self.read(fields, &mut String::new(), 0);
        }
    }

    fn read(&mut self, fields: &Map<String, Value>, path: &mut String, depth: usize) {
        if fields.is_empty() {
            self.leaves.insert(path.clone());
        }
        for (edge, deeper) in fields {
            let Some(deeper) = deeper.as_object().filter(|_| depth < DEPTH_MAX) else { continue };
            let step = match edge.split_once(':') {
                Some(("f", name)) => step(name),
                Some(("k" | "v" | "i", _)) => "[]".to_owned(),
                _ => {
                    self.members.insert(path.clone());
                    continue;
                }
            };
            let length = path.len();
            path.push_str(&step);
            self.read(deeper, path, depth + 1);
            path.truncate(length);
        }
    }

    /// Whether it owns the place, or all that was below it.
    fn touches(&self, path: &str) -> bool {
        self.holds(path) || self.leaves.iter().any(|leaf| is_below(leaf, path))
    }

    fn holds(&self, path: &str) -> bool {
        self.members.contains(path) || self.leaves.iter().any(|leaf| is_below(path, leaf))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn between(was: Value, now: Value) -> Change {
        let stored = |value: Value| {
            let fields = value.get("fields").cloned().unwrap_or(json!([]));
            json!({"fields": fields, "object": value["object"]}).to_string().into_bytes()
        };
        Change::between(Some(&stored(was)), &stored(now))
    }

    fn paths(was: Value, now: Value) -> (Vec<String>, Vec<String>) {
        let change = between(json!({"object": was}), json!({"object": now}));
        (change.set.into_iter().collect(), change.removed.into_iter().collect())
    }

    #[test]
    fn places_are_named_as_audit_records_name_them() {
        let was = json!({"data": {"a.conf": "1", "b": "1"}, "l": [{"name": "x", "v": 1}],
            "gone": {"deep": 1}, "args": ["a"]});
        let now = json!({"data": {"a.conf": "2", "b": "1", "c": {"d": 1, "e": [{"f": 1}]}},
            "l": [{"name": "y", "v": 3}, {"name": "x", "v": 2}], "args": ["a", "b"]});
        let (set, removed) = paths(was, now);
        assert_eq!(
            set,
            [".args[]", ".data.c.d", ".data.c.e[].f", ".data[a.conf]", ".l[].name", ".l[].v"]
        );
        assert_eq!(removed, [".gone"]);
        let turned = (
            json!({"l": [{"name": "a"}, {"name": "b"}]}),
            json!({"l": [{"name": "b"}, {"name": "a"}]}),
        );
        assert_eq!(paths(turned.0, turned.1).0, [".l[]"]);
        let same = json!({"l": [1]});
        assert!(between(json!({"object": same}), json!({"object": same})).is_empty());
    }

    #[test]
    fn too_much_or_unreadable_is_said_to_be_more() {
        let many: Map<_, _> = (0..400).map(|n| (format!("k{n}"), json!(n))).collect();
        assert!(between(json!({"object": {}}), json!({"object": many})).more);
        assert!(Change::between(None, b"{}").more);
        assert!(Change::between(Some(b"x"), b"{}").more);
    }

    fn entry(manager: &str, subresource: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "subresource": subresource,
            "time": 1, "fieldsV1": fields})
    }

    #[test]
    fn managers_that_changed_and_own_a_change_are_heard() {
        let sets = |path: &str| json!({"f:spec": {format!("f:{path}"): {}}});
        let old = entry("old", "", &sets("a"));
        let now = json!({"object": {"spec": {"a": 2, "b": 2}}, "fields": [
            old, entry("kubectl-edit", "", &sets("a")), entry("other", "", &sets("c"))]});
        let change = between(json!({"object": {"spec": {"a": 1, "b": 1}}, "fields": [old]}), now);
        let names: Vec<_> = change.managers.iter().map(|claim| claim.who.as_str()).collect();
        assert_eq!(names, ["kubectl-edit"]);
        assert!(!change.status);
    }

    #[test]
    fn what_status_managers_claim_entirely_is_theirs() {
        let fields = json!({"f:metadata": {"f:annotations": {".": {}, "f:d.io/revision": {}}}});
        let was = json!({"object": {"metadata": {"name": "x"}}});
        let now = |object: Value, subresource: &str| json!({"object": object, "fields": [entry("kcm", subresource, &fields)]});
        let revision = json!({"metadata": {"name": "x", "annotations": {"d.io/revision": "1"}}});
        assert!(between(was.clone(), now(revision.clone(), "status")).status);
        assert!(!between(was.clone(), now(revision.clone(), "")).status);
        let both = json!({"object": revision, "fields": [
            entry("kcm", "status", &fields), entry("kubectl", "", &fields)]});
        assert!(!between(was.clone(), both).status, "a person may have written it");
        let more =
            json!({"metadata": {"name": "x", "annotations": {"d.io/revision": "1"}}, "spec": 1});
        assert!(!between(was, now(more, "status")).status);
    }
}
