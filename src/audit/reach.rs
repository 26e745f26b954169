//! Which fields a request can have set, by its body alone.
//!
//! A record does not say of which type a patch is. What is told here is therefore never too
//! little: a list in a patch may be merged into what is there or may replace it, so the whole
//! list counts; a number in a JSON patch may be the index of an item or the name of a field, so
//! both count. Whoever asks "can this request have made that change?" gets no wrong "no".

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ledger::event::AuditReach;

/// Bound: more paths than this say no more than that nothing is known.
const PATHS_MAX: usize = 256;
/// Bound: bytes of all paths together.
const PATHS_BYTES_MAX: usize = 16 * 1024;
/// Bound: the API server accepts no deeper JSON.
const DEPTH_MAX: usize = 64;
/// Bound: how many readings of one JSON pointer are told apart.
const READINGS_MAX: usize = 8;

/// The reach of a patch with this body.
pub(super) fn of_patch(body: &Value) -> AuditReach {
    let mut paths = Paths::default();
    let understood = match body {
        Value::Array(operations) => operations.iter().all(|op| paths.operation(op)),
        Value::Object(fields) => !fields.is_empty() && paths.merge(body, "", 0),
        _ => false,
    };
    // They name the object, and change nothing.
    paths.found.retain(|path| path != ".apiVersion" && path != ".kind");
    if !understood || paths.found.is_empty() {
        return AuditReach::Unknown;
    }
    if paths.found.contains("") {
        return AuditReach::Whole;
    }
    let is_text = |field: &str| body.get(field).is_some_and(Value::is_string);
    let found = paths.found.into_iter().collect();
    if is_text("apiVersion") && is_text("kind") {
        // An apply always has both. A merge patch that has both loses nothing by this.
        AuditReach::Applied(found)
    } else {
        AuditReach::Fields(found)
    }
}

#[derive(Default)]
struct Paths {
    found: BTreeSet<String>,
    bytes: usize,
}

impl Paths {
    /// Adds a path; says whether there was room.
    fn add(&mut self, path: String) -> bool {
        let bytes = path.len();
        if self.found.insert(path) {
            self.bytes += bytes;
        }
        self.found.len() <= PATHS_MAX && self.bytes <= PATHS_BYTES_MAX
    }

    /// The leaves of a merge patch, a strategic merge patch or an apply.
    fn merge(&mut self, value: &Value, path: &str, depth: usize) -> bool {
        let Value::Object(fields) = value else { return self.add(path.to_owned()) };
        if depth >= DEPTH_MAX {
            return false;
        }
        if fields.is_empty() {
            return self.add(path.to_owned());
        }
        fields.iter().all(|(name, value)| {
            // Directives of strategic merge patches. In another patch such a name is a field,
            // and the paths only say too much.
            match name.split_once('/') {
                _ if name == "$patch" && value == "merge" => true,
                _ if name == "$patch" || name == "$retainKeys" => self.add(path.to_owned()),
                Some(("$setElementOrder" | "$deleteFromPrimitiveList", list)) => {
                    self.add(format!("{path}{}", step(list)))
                }
                _ => self.merge(value, &format!("{path}{}", step(name)), depth + 1),
            }
        })
    }

    /// What one operation of a JSON patch can change.
    fn operation(&mut self, operation: &Value) -> bool {
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        match (text("op"), text("path"), text("from")) {
            (Some("test"), Some(_), _) => true,
            (Some("add" | "remove" | "replace" | "copy"), Some(path), _) => self.pointer(path),
            (Some("move"), Some(path), Some(from)) => self.pointer(path) && self.pointer(from),
            _ => false,
        }
    }

    /// Every reading of a JSON pointer.
    fn pointer(&mut self, pointer: &str) -> bool {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return false;
        }
        let mut readings = vec![String::new()];
        for part in pointer.split('/').skip(1).take(DEPTH_MAX) {
            let name = step(&part.replace("~1", "/").replace("~0", "~"));
            let indexed =
                part == "-" || !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let items = if indexed { readings.clone() } else { Vec::new() };
            readings.iter_mut().for_each(|path| path.push_str(&name));
            readings.extend(items.into_iter().map(|path| path + "[]"));
            if readings.len() > READINGS_MAX {
                return false;
            }
        }
        readings.into_iter().all(|path| self.add(path))
    }
}

/// One step of a path, as `cluster::compare` writes it.
fn step(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(plain) {
        format!(".{name}")
    } else {
        format!("[{name}]")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: &Value) -> Vec<String> {
        match of_patch(body) {
            AuditReach::Fields(paths) => paths,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn merge_patches_reach_their_leaves_and_whole_lists() {
        let body = json!({
            "metadata": {"labels": {"m": null}, "annotations": {"a.b/c": "1"}},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x"}]}}},
            "data": {},
        });
        assert_eq!(
            fields(&body),
            [
                ".data",
                ".metadata.annotations[a.b/c]",
                ".metadata.labels.m",
                ".spec.template.spec.containers"
            ]
        );
    }

    #[test]
    fn strategic_directives_are_no_fields() {
        for (body, expected) in [
            (json!({"spec": {"$patch": "replace", "a": 1}}), vec![".spec", ".spec.a"]),
            (json!({"spec": {"$patch": "merge", "a": 1}}), vec![".spec.a"]),
            (json!({"spec": {"$retainKeys": ["type"], "a": 1}}), vec![".spec", ".spec.a"]),
            (json!({"spec": {"$setElementOrder/ports": [{"port": 1}]}}), vec![".spec.ports"]),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
                vec![".metadata.finalizers"],
            ),
        ] {
            assert_eq!(fields(&body), expected, "{body}");
        }
        assert_eq!(of_patch(&json!({"$patch": "delete"})), AuditReach::Whole);
    }

    #[test]
    fn json_patches_reach_their_paths_in_every_reading() {
        let body = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "add", "path": "/metadata/annotations/x.y~1z~0", "value": "1"},
            {"op": "replace", "path": "/spec/containers/0/image", "value": "x"},
            {"op": "add", "path": "/spec/tolerations/-", "value": {}},
            {"op": "move", "from": "/spec/a", "path": "/spec/b"},
        ]);
        assert_eq!(
            fields(&body),
            [
                ".metadata.annotations[x.y/z~]",
                ".spec.a",
                ".spec.b",
                ".spec.containers.0.image",
                ".spec.containers[].image",
                ".spec.tolerations.-",
                ".spec.tolerations[]",
            ]
        );
        assert_eq!(
            of_patch(&json!([{"op": "replace", "path": "", "value": {}}])),
            AuditReach::Whole
        );
    }

    #[test]
    fn an_apply_may_have_removed_more() {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"k": "v"}});
        let expected = [".data.k", ".metadata.name"].map(str::to_owned).to_vec();
        assert_eq!(of_patch(&body), AuditReach::Applied(expected));
    }

    #[test]
    fn what_is_not_understood_or_too_much_is_unknown() {
        let many: serde_json::Map<_, _> = (0..257).map(|n| (format!("k{n}"), json!(n))).collect();
        let long: serde_json::Map<_, _> =
            (0..20).map(|n| (format!("{n}{}", "x".repeat(1_000)), json!(n))).collect();
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({"a": deep});
        }
        for body in [
            json!(null),
            json!("text"),
            json!({}),
            json!([]),
            json!([{"op": "smash", "path": "/a"}]),
            json!([{"op": "add", "path": "a"}]),
            json!([{"op": "add", "path": "/1/2/3/4"}]),
            json!([3]),
            Value::Object(many),
            Value::Object(long),
            deep,
        ] {
            assert_eq!(of_patch(&body), AuditReach::Unknown, "{body:.60}");
        }
    }
}
