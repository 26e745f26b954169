//! Field differences between a manifest and a live object, for people.
//!
//! Only what the manifest says is compared: fields that the API server defaulted or others added
//! are not differences. Whether an object *drifted* is decided elsewhere, from field ownership.
//!
//! People are not bothered with quantities that the API server spells its own way. What a
//! decision rests on is compared exactly: `"1.10"` is not `"1.1"`.

use serde_json::{Map, Value};

use crate::ledger::event::FieldChange;

/// How many differences are listed.
pub const CHANGES_MAX: usize = 100;
/// How deep a manifest may be nested before comparison stops.
const DEPTH_MAX: usize = 100;
/// The keys by which Kubernetes tells list entries apart, in order of preference.
const LIST_KEYS: &[&str] = &["name", "containerPort", "port", "key", "type", "ip", "mountPath"];
/// Fields whose values, or the values below which, are quantities.
const QUANTITIES: &[&str] =
    &["resources", "limits", "requests", "capacity", "hard", "storage", "sizeLimit"];
/// Fields below which every value is somebody's own text.
const TEXTS: &[&str] = &["metadata", "data", "stringData", "binaryData"];

/// When two scalars are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sameness {
    /// When they are equal, here and below.
    Exact,
    /// When they are equal; below some fields are quantities.
    Equal,
    /// When they are equal, or are the same quantity.
    Quantity,
}

impl Sameness {
    fn below(self, field: &str) -> Self {
        match self {
            Self::Equal if QUANTITIES.contains(&field) => Self::Quantity,
            Self::Equal if TEXTS.contains(&field) => Self::Exact,
            same => same,
        }
    }

    fn holds(self, a: &Value, b: &Value) -> bool {
        a == b || (self == Self::Quantity && quantity(a).is_some_and(|a| quantity(b) == Some(a)))
    }
}

/// Lists where `live` differs from what `desired` says, at most [`CHANGES_MAX`], for people: the
/// same quantity in another spelling is no difference.
#[must_use]
pub fn diff(desired: &Value, live: &Value) -> Vec<FieldChange> {
    differences(desired, live, Sameness::Equal, true)
}

/// The same without regard to what values mean, for what is decided or recorded.
#[must_use]
pub fn exact(desired: &Value, live: &Value) -> Vec<FieldChange> {
    differences(desired, live, Sameness::Exact, true)
}

fn differences(desired: &Value, live: &Value, same: Sameness, ordered: bool) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk(desired, Some(live), &mut Place::new(same, ordered), &mut changes);
    changes
}

/// Where a comparison is.
struct Place {
    path: String,
    depth: usize,
    same: Sameness,
    /// Whether the order counts of list entries that are told apart by a key.
    ordered: bool,
}

impl Place {
    fn new(same: Sameness, ordered: bool) -> Self {
        Self { path: String::new(), depth: 0, same, ordered }
    }

    /// Goes one step deeper, for as long as `walk` takes.
    fn enter(&mut self, step: &str, same: Sameness, walk: impl FnOnce(&mut Self)) {
        let (length, outer) = (self.path.len(), self.same);
        self.path.push_str(step);
        (self.depth, self.same) = (self.depth + 1, same);
        walk(self);
        (self.depth, self.same) = (self.depth - 1, outer);
        self.path.truncate(length);
    }
}

/// Lists where two whole objects differ, at most [`CHANGES_MAX`]: `was` is `before`, `now` is
/// `after`. Objects that differ in a way that has no path give one change of the whole.
#[must_use]
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    if before == after {
        return Vec::new();
    }
    let mut found = exact(after, before);
    for gone in exact(before, after).into_iter().filter(|change| change.was.is_empty()) {
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

/// Whether `live` has exactly everything that `desired` says, in whatever order.
#[must_use]
pub fn contains(live: &Value, desired: &Value) -> bool {
    differences(desired, live, Sameness::Exact, false).is_empty()
}

fn walk(desired: &Value, live: Option<&Value>, place: &mut Place, changes: &mut Vec<FieldChange>) {
    if changes.len() >= CHANGES_MAX || place.depth > DEPTH_MAX {
        return;
    }
    match (desired, live) {
        (Value::Object(wanted), Some(Value::Object(found))) => {
            walk_object(wanted, found, place, changes);
        }
        (Value::Array(wanted), Some(Value::Array(found))) => {
            walk_list(wanted, found, place, changes);
        }
        (wanted, Some(found)) if place.same.holds(wanted, found) => {}
        // An empty map or list in a manifest says nothing that its absence does not say.
        (Value::Object(wanted), None) if wanted.is_empty() => {}
        (Value::Array(wanted), None) if wanted.is_empty() => {}
        (Value::Null, _) => {}
        (wanted, found) => changes.push(FieldChange {
            path: if place.path.is_empty() { ".".to_owned() } else { place.path.clone() },
            was: found.map(Value::to_string).unwrap_or_default(),
            now: wanted.to_string(),
        }),
    }
}

fn walk_object(
    wanted: &Map<String, Value>,
    found: &Map<String, Value>,
    place: &mut Place,
    changes: &mut Vec<FieldChange>,
) {
    for (key, value) in wanted {
        let step = if key.contains(['.', '/']) { format!("[{key:?}]") } else { format!(".{key}") };
        let same = place.same.below(key);
        place.enter(&step, same, |place| walk(value, found.get(key), place, changes));
    }
}

fn walk_list(wanted: &[Value], found: &[Value], place: &mut Place, changes: &mut Vec<FieldChange>) {
    let key = list_key(wanted);
    for (index, value) in wanted.iter().enumerate() {
        let (step, counterpart) = match key {
            Some(key) => {
                let id = &value[key];
                let step = format!("[{key}={}]", id.as_str().unwrap_or(&id.to_string()));
                (step, found.iter().find(|entry| entry.get(key) == Some(id)))
            }
            None => (format!("[{index}]"), found.get(index)),
        };
        let same = place.same;
        place.enter(&step, same, |place| walk(value, counterpart, place, changes));
    }
    if let Some(key) = key.filter(|_| place.ordered) {
        walk_order(key, wanted, found, place, changes);
    }
    if key.is_none() && found.len() > wanted.len() {
        for (index, value) in found.iter().enumerate().skip(wanted.len()) {
            let path = format!("{}[{index}]", place.path);
            changes.push(FieldChange { path, was: value.to_string(), now: String::new() });
        }
    }
}

/// Of what both lists have, the order; where others are between them does not matter.
fn walk_order(
    key: &str,
    wanted: &[Value],
    found: &[Value],
    place: &Place,
    changes: &mut Vec<FieldChange>,
) {
    let both = |one: &[Value], other: &[Value]| -> Vec<Value> {
        let there = |id: &&Value| other.iter().any(|entry| entry.get(key) == Some(*id));
        one.iter().filter_map(|entry| entry.get(key)).filter(there).cloned().collect()
    };
    let (wanted, found) = (both(wanted, found), both(found, wanted));
    if wanted != found && changes.len() < CHANGES_MAX {
        let [was, now] = [found, wanted].map(|order| Value::Array(order).to_string());
        changes.push(FieldChange { path: format!("{}[order]", place.path), was, now });
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
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit());
    if !plain || whole.len() > 15 || fraction.len() > 3 || whole.is_empty() {
        return None;
    }
    let fraction_value: i128 = format!("{fraction:0<3}").parse().ok()?;
    let whole: i128 = whole.parse().ok()?;
    Some(sign * (whole * factor + fraction_value * factor / 1_000))
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
        assert_eq!(paths(desired, live), [".c[name=b].image", ".c[order]"]);
    }

    #[test]
    fn another_order_of_entries_is_a_difference_of_its_own() {
        let list = |names: &[&str]| -> Value {
            json!({"env": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()})
        };
        let found = diff(&list(&["a", "b"]), &list(&["b", "x", "a"]));
        let line = |c: &FieldChange| format!("{} {} {}", c.path, c.was, c.now);
        let wanted = [".env[order] [\"b\",\"a\"] [\"a\",\"b\"]"];
        assert_eq!(found.iter().map(line).collect::<Vec<_>>(), wanted);
        assert!(diff(&list(&["a", "b"]), &list(&["x", "a", "y", "b"])).is_empty());
        assert!(contains(&list(&["b", "a"]), &list(&["a", "b"])), "nothing is missing");
        assert_eq!(changes(&list(&["a", "b"]), &list(&["b", "a"])).len(), 1);
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
    fn equal_quantities_are_equal_for_people_where_quantities_are() {
        let same = |a: &Value, b: &Value| Sameness::Quantity.holds(a, b);
        for (a, b) in [("1000m", "1"), ("1Gi", "1024Mi"), ("0.5", "500m"), ("2k", "2000")] {
            assert!(same(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(same(&json!(1), &json!("1")), "the API server makes a string of a bare number");
        for (a, b) in [("1Gi", "1G"), ("v1", "v2"), ("-0.5", "0.5"), ("-1", "1"), ("--1", "1")] {
            assert!(!same(&json!(a), &json!(b)), "{a} {b}");
        }
        let limits = |cpu: &str| json!({"spec": {"c": [{"name": "a", "resources": {"limits": {"cpu": cpu}}}]}});
        assert_eq!(paths(limits("1000m"), limits("1")), [""; 0]);
        assert_eq!(exact(&limits("1000m"), &limits("1")).len(), 1);
    }

    #[test]
    fn a_version_is_no_quantity() {
        for (a, b) in [
            (json!("1.10"), json!("1.1")),
            (json!("80"), json!(80)),
            (json!("1k"), json!("1000")),
            (json!("1.0"), json!("1")),
        ] {
            for key in ["data", "metadata", "spec"] {
                let object = |value: &Value| json!({key: {"v": value, "limits": {"v": value}}});
                let found = paths(object(&a), object(&b));
                let wanted = if key == "spec" { 1 } else { 2 };
                assert_eq!(found.len(), wanted, "{key} {a} {b}: {found:?}");
                assert!(!contains(&object(&a), &object(&b)), "{a} {b}");
                assert_eq!(changes(&object(&a), &object(&b)).len(), 2, "{a} {b}");
            }
        }
    }
}
