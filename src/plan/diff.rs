//! Field differences between a manifest and a live object, for people.
//!
//! Only what the manifest says is compared: fields that the API server defaulted or others added
//! are not differences. Whether an object *drifted* is decided elsewhere, from field ownership.

use serde_json::{Map, Value};

use crate::ledger::event::FieldChange;

/// How many differences are listed.
pub const CHANGES_MAX: usize = 100;
/// How deep a manifest may be nested before comparison stops.
const DEPTH_MAX: usize = 100;
/// The keys by which Kubernetes tells list entries apart, in order of preference.
const LIST_KEYS: &[&str] = &["name", "containerPort", "port", "key", "type", "ip", "mountPath"];

/// Lists where `live` differs from what `desired` says, at most [`CHANGES_MAX`].
#[must_use]
pub fn diff(desired: &Value, live: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk(desired, Some(live), &mut String::new(), 0, &mut changes);
    changes
}

/// Lists where two whole objects differ, at most [`CHANGES_MAX`]: `was` is `before`, `now` is
/// `after`. Objects that differ in a way that has no path (the order of keyed items) give one
/// change of the whole.
#[must_use]
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    if before == after {
        return Vec::new();
    }
    let mut found = diff(after, before);
    for gone in diff(before, after).into_iter().filter(|change| change.was.is_empty()) {
        let change = FieldChange { path: gone.path, was: gone.now, now: String::new() };
        if found.len() < CHANGES_MAX && !found.contains(&change) {
            found.push(change);
        }
    }
    if found.is_empty() {
        let (was, now) = ("(as it is)".to_owned(), "(other order or spelling)".to_owned());
        found.push(FieldChange { path: ".".to_owned(), was, now });
    }
    found
}

/// Whether `live` has everything that `desired` says.
#[must_use]
pub fn contains(live: &Value, desired: &Value) -> bool {
    diff(desired, live).is_empty()
}

fn walk(
    desired: &Value,
    live: Option<&Value>,
    path: &mut String,
    depth: usize,
    changes: &mut Vec<FieldChange>,
) {
    if changes.len() >= CHANGES_MAX || depth > DEPTH_MAX {
        return;
    }
    match (desired, live) {
        (Value::Object(wanted), Some(Value::Object(found))) => {
            walk_object(wanted, found, path, depth, changes);
        }
        (Value::Array(wanted), Some(Value::Array(found))) => {
            walk_list(wanted, found, path, depth, changes);
        }
        (wanted, Some(found)) if same_scalar(wanted, found) => {}
        // An empty map or list in a manifest says nothing that its absence does not say.
        (Value::Object(wanted), None) if wanted.is_empty() => {}
        (Value::Array(wanted), None) if wanted.is_empty() => {}
        (Value::Null, _) => {}
        (wanted, found) => changes.push(FieldChange {
            path: if path.is_empty() { ".".to_owned() } else { path.clone() },
            was: found.map(Value::to_string).unwrap_or_default(),
            now: wanted.to_string(),
        }),
    }
}

fn walk_object(
    wanted: &Map<String, Value>,
    found: &Map<String, Value>,
    path: &mut String,
    depth: usize,
    changes: &mut Vec<FieldChange>,
) {
    for (key, value) in wanted {
        let length = path.len();
        if key.contains(['.', '/']) {
            path.push_str(&format!("[{key:?}]"));
        } else {
            path.push('.');
            path.push_str(key);
        }
        walk(value, found.get(key), path, depth + 1, changes);
        path.truncate(length);
    }
}

fn walk_list(
    wanted: &[Value],
    found: &[Value],
    path: &mut String,
    depth: usize,
    changes: &mut Vec<FieldChange>,
) {
    let key = list_key(wanted);
    for (index, value) in wanted.iter().enumerate() {
        let length = path.len();
        let counterpart = match key {
            Some(key) => {
                let id = &value[key];
                path.push_str(&format!("[{key}={}]", id.as_str().unwrap_or(&id.to_string())));
                found.iter().find(|entry| entry.get(key) == Some(id))
            }
            None => {
                path.push_str(&format!("[{index}]"));
                found.get(index)
            }
        };
        walk(value, counterpart, path, depth + 1, changes);
        path.truncate(length);
    }
    if key.is_none() && found.len() > wanted.len() {
        for (index, value) in found.iter().enumerate().skip(wanted.len()) {
            let path = format!("{path}[{index}]");
            changes.push(FieldChange { path, was: value.to_string(), now: String::new() });
        }
    }
}

/// The field that tells the entries of a list apart, if one does.
pub(crate) fn list_key(entries: &[Value]) -> Option<&'static str> {
    let tells_apart = |key: &&&str| {
        let mut seen = Vec::with_capacity(entries.len());
        !entries.is_empty()
            && entries.iter().all(|entry| match entry.get(**key) {
                Some(id) if !seen.contains(&id) => {
                    seen.push(id);
                    true
                }
                _ => false,
            })
    };
    LIST_KEYS.iter().find(tells_apart).copied()
}

/// Whether two scalars mean the same: the API server writes quantities its own way.
fn same_scalar(a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    match (quantity(a), quantity(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// A number or a Kubernetes quantity in thousandths.
fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: i128 = match &text[digits.len()..] {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1_024_000,
        "Mi" => 1_024_000 << 10,
        "Gi" => 1_024_000 << 20,
        "Ti" => 1_024_000 << 30,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() > 15 || fraction.len() > 3 || whole.is_empty() {
        return None;
    }
    let fraction_value: i128 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole.parse::<i128>().ok()? * factor + fraction_value * factor / 1_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(desired: Value, live: Value) -> Vec<String> {
        diff(&desired, &live).into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let desired = json!({"spec": {"ports": [{"port": 80}]}, "data": {}});
        let live =
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}});
        assert_eq!(paths(desired, live), Vec::<String>::new());
    }

    #[test]
    fn list_entries_are_matched_by_their_key() {
        let desired = json!({"c": [{"name": "b", "image": "b:2"}, {"name": "a", "image": "a:1"}]});
        let live = json!({"c": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]});
        assert_eq!(paths(desired, live), [".c[name=b].image"]);
    }

    #[test]
    fn scalars_lists_and_absent_fields_differ() {
        assert_eq!(paths(json!({"a": {"b": 1}}), json!({"a": {}})), [".a.b"]);
        assert_eq!(paths(json!({"a": [1]}), json!({"a": [1, 2]})), [".a[1]"]);
        assert_eq!(paths(json!({"m": {"x/y": "1"}}), json!({"m": {"x/y": "2"}})), [".m[\"x/y\"]"]);
    }

    #[test]
    fn whole_objects_differ_in_what_either_has() {
        let before = json!({"a": 1, "gone": "x", "l": [{"name": "a"}, {"name": "b", "v": 1}]});
        let after = json!({"a": 2, "new": true, "l": [{"name": "b", "v": 2}]});
        let found: Vec<_> =
            changes(&before, &after).into_iter().map(|c| (c.path, c.was, c.now)).collect();
        let text = |path: &str, was: &str, now: &str| (path.into(), was.into(), now.into());
        assert_eq!(
            found,
            [
                text(".a", "1", "2"),
                text(".new", "", "true"),
                text(".l[name=b].v", "1", "2"),
                text(".gone", "\"x\"", ""),
                text(".l[name=a]", "{\"name\":\"a\"}", ""),
            ]
        );
        assert_eq!(changes(&before, &before), []);
        let turned = json!({"l": [{"name": "b"}, {"name": "a"}]});
        let kept = json!({"l": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(changes(&kept, &turned).len(), 1, "a change of order is a change");
    }

    #[test]
    fn equal_quantities_are_equal() {
        for (a, b) in [("1000m", "1"), ("1Gi", "1024Mi"), ("0.5", "500m"), ("2k", "2000")] {
            assert!(same_scalar(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(!same_scalar(&json!("1Gi"), &json!("1G")));
        assert!(!same_scalar(&json!("v1"), &json!("v2")));
    }
}
