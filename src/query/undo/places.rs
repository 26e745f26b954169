//! Where two versions of an object differ, as places that can be laid over another version. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{ORDER, value_at};
use crate::plan::diff::list_key;

/// How deep an object may be nested before what is below counts as one value.
const DEPTH_MAX: usize = 100;
/// What names an object is the same in every version of it.
const NAMES: [&[&str]; 4] =
    [&["f:apiVersion"], &["f:kind"], &["f:metadata", "f:name"], &["f:metadata", "f:namespace"]];

/// The places at which `after` differs from `before`: the edges of a field set that lead to each.
/// A list whose items nothing but their position tells apart is one value.
#[must_use]
pub fn places(before: &Value, after: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(Some(before), Some(after), &mut Vec::new(), &mut found);
    found.retain(|place| !NAMES.iter().any(|name| place.iter().eq(name.iter())));
    found
}

/// The places within one that `after` has and `before` has not, down to what is no map; the place
/// itself where it is not such a one.
#[must_use]
pub(super) fn leaves(after: &Value, before: &Value, place: Vec<String>) -> Vec<Vec<String>> {
    let (was, is) = (value_at(before, &place), value_at(after, &place));
    let (None, Some(Value::Object(fields))) = (was, is) else { return vec![place] };
    // An item of a list is there or it is not.
    let item = place.last().is_some_and(|edge| !edge.starts_with("f:"));
    if item || fields.is_empty() || place.len() >= DEPTH_MAX {
        return vec![place];
    }
    let below = |name: &String| [place.clone(), vec![format!("f:{name}")]].concat();
    fields.keys().flat_map(|name| leaves(after, before, below(name))).collect()
}

fn walk(
    before: Option<&Value>,
    after: Option<&Value>,
    place: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(was)), Some(Value::Object(is))) if place.len() < DEPTH_MAX => {
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for name in names {
                place.push(format!("f:{name}"));
                walk(was.get(name), is.get(name), place, found);
                place.pop();
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) if place.len() < DEPTH_MAX => {
            let Some(key) = list_key(was).filter(|key| list_key(is) == Some(key)) else {
                found.push(place.clone());
                return;
            };
            let listed = found.len();
            for id in was.iter().chain(is).filter_map(|item| item.get(key)) {
                let item =
                    |items: &'_ [Value]| items.iter().position(|item| item.get(key) == Some(id));
                let edge = format!("k:{}", serde_json::json!({ key: id }));
                if found[listed..].iter().any(|known| known.get(place.len()) == Some(&edge)) {
                    continue;
                }
                let (one, two) = (item(was), item(is));
                place.push(edge);
                walk(one.map(|at| &was[at]), two.map(|at| &is[at]), place, found);
                place.pop();
            }
            if order(was, is, key) != order(is, was, key) {
                place.push(ORDER.to_owned());
                found.push(place.clone());
                place.pop();
            }
        }
        _ => found.push(place.clone()),
    }
}

/// The items of a list that another has, too, one after another.
fn order<'v>(items: &'v [Value], other: &[Value], key: &str) -> Vec<&'v Value> {
    let there = |id: &&Value| other.iter().any(|item| item.get(key) == Some(*id));
    items.iter().filter_map(|item| item.get(key)).filter(there).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::lay;

    fn texts(before: &Value, after: &Value) -> Vec<String> {
        places(before, after).iter().map(|place| crate::cluster::compare::path(place)).collect()
    }

    #[test]
    fn each_field_is_a_place_and_a_list_without_keys_is_one() {
        let before = json!({"kind": "A", "metadata": {"name": "a", "labels": {"x": "1"}},
            "data": {"a": "1", "b": "2"}, "spec": {"args": ["-a", "-b"],
            "containers": [{"name": "web", "image": "1"}, {"name": "log", "image": "1"}]}});
        let after = json!({"kind": "A", "metadata": {"name": "b", "labels": {"x": "1", "y": "2"}},
            "data": {"a": "9"}, "spec": {"args": ["-a"],
            "containers": [{"name": "log", "image": "1"}, {"name": "web", "image": "2"},
                {"name": "new", "image": "1"}]}});
        assert_eq!(
            texts(&before, &after),
            [
                ".data.a",
                ".data.b",
                ".metadata.labels.y",
                ".spec.args",
                ".spec.containers[name=web].image",
                ".spec.containers[name=new]",
                ".spec.containers[order]"
            ]
        );
        assert_eq!(texts(&before, &before), [] as [String; 0]);
    }

    #[test]
    fn what_was_added_is_told_down_to_its_fields_and_an_item_as_one() {
        let before = json!({"metadata": {"name": "a"}, "spec": {"c": [{"name": "x", "v": 1}]}});
        let after = json!({"metadata": {"name": "a", "annotations": {"x": "1", "y": "2"}},
            "spec": {"c": [{"name": "x", "v": 2}, {"name": "n", "v": 1}], "empty": {}}});
        let found = places(&before, &after);
        let found = found.into_iter().flat_map(|place| leaves(&after, &before, place));
        let texts: Vec<_> = found.map(|place| crate::cluster::compare::path(&place)).collect();
        assert_eq!(
            texts,
            [
                ".metadata.annotations.x",
                ".metadata.annotations.y",
                ".spec.c[name=x].v",
                ".spec.c[name=n]",
                ".spec.empty"
            ]
        );
    }

    #[test]
    fn what_is_laid_over_what_came_after_is_what_was_before() {
        let before = json!({"apiVersion": "v1", "data": {"a": "1", "b": "2"},
            "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}], "l": [1, 2]}});
        let after = json!({"apiVersion": "v1", "data": {"a": "9", "c": "3"},
            "spec": {"ports": [{"name": "a", "port": 7}, {"name": "c", "port": 3}], "l": [2]}});
        let mut laid = after.clone();
        lay(&mut laid, &before, &places(&before, &after)).unwrap();
        assert_eq!(places(&before, &laid), [] as [Vec<String>; 0], "{laid}");
        lay(&mut laid, &after, &places(&before, &after)).unwrap();
        assert_eq!(places(&after, &laid), [] as [Vec<String>; 0], "and back: {laid}");
    }
}
