//! Projects an object onto a field set: the values of exactly the fields that a manager owns.
//!
//! A field set is the `fieldsV1` of a managedFields entry: a tree whose edges are `f:name` (a
//! field), `k:{"name":"web"}` (a list item by its keys), `v:"x"` (a member of a set), `i:0` (an
//! item by position), and whose `.` says that the node itself is owned. An empty node is a leaf:
//! the whole value below it is owned.
//!
//! The projection is a tree of the same shape: fields appear under their name, list items under
//! their edge (`k:…`, `v:…`, `i:…`), so that the order of a keyed list does not matter and items
//! of other managers leave no trace. What is absent in the object is absent in the projection.
//!
//! This module knows nothing of types or schemas. It is pure, and bytes from an API server never
//! make it panic: edges that cannot be read own nothing.

use serde_json::{Map, Value};

/// The edge that says that a node itself is owned, not only what is below it.
pub(crate) const SELF: &str = ".";

/// One edge of a field set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step<'a> {
    /// A field of a map.
    Field(&'a str),
    /// An item of a list, by the values of its key fields.
    Key(Map<String, Value>),
    /// A member of a set.
    Member(Value),
    /// An item of a list, by position.
    Index(usize),
    /// The order of the items of a list that tell themselves apart. No field set has this edge:
    /// it is greffier's own, for what differs in that alone.
    Order,
}

/// The edge that leads to the order of a list.
pub(crate) const ORDER: &str = "o:";

impl<'a> Step<'a> {
    /// Reads an edge; `None` for `.` and for what cannot be read.
    pub(crate) fn parse(edge: &'a str) -> Option<Self> {
        let (kind, rest) = edge.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest)),
            "k" => serde_json::from_str(rest).ok().map(Self::Key),
            "v" => serde_json::from_str(rest).ok().map(Self::Member),
            "i" => rest.parse().ok().map(Self::Index),
            "o" if rest.is_empty() => Some(Self::Order),
            _ => None,
        }
    }

    /// The name under which the projection holds what this edge leads to.
    fn name(&self, edge: &'a str) -> &'a str {
        match self {
            Self::Field(name) => name,
            _ => edge,
        }
    }

    /// What this edge leads to. More than one value where a list has several items with equal
    /// keys, which the API server tolerates in objects written without server-side apply.
    pub(super) fn follow<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => map.get(*name).into_iter().collect(),
            (Self::Key(keys), Value::Array(items)) => items
                .iter()
                .filter(|item| keys.iter().all(|(name, key)| item.get(name) == Some(key)))
                .collect(),
            (Self::Member(member), Value::Array(items)) => {
                items.iter().filter(|item| *item == member).collect()
            }
            (Self::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
            (Self::Order, Value::Array(_)) => vec![value],
            _ => Vec::new(),
        }
    }

    /// The first value that this edge leads to.
    pub(crate) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.follow(value).into_iter().next()
    }
}

/// Returns the values of the fields that `fields_v1` names; an empty map when it names none.
#[must_use]
pub fn project(object: &Value, fields_v1: &Value) -> Value {
    project_beside(object, fields_v1, &[])
}

/// As [`project`], for a manager that is not alone.
///
/// A leaf owns the whole value below it. That is right for atomic values, and wrong for a map
/// that was applied empty (`resources: {}`): its later content belongs to others. The field sets
/// of the others tell the two apart, because nobody can own a part of an atomic value: where one
/// of `others` owns something below a leaf, only the leaf's existence is projected.
#[must_use]
pub fn project_beside(object: &Value, fields_v1: &Value, others: &[&Value]) -> Value {
    let others: Vec<_> = others.iter().filter_map(|other| other.as_object()).collect();
    match fields_v1.as_object() {
        Some(fields) if !fields.is_empty() => node(object, fields, &others),
        _ => Value::Object(Map::new()),
    }
}

fn node(value: &Value, fields: &Map<String, Value>, others: &[&Map<String, Value>]) -> Value {
    let shared = || others.iter().any(|other| other.keys().any(|edge| edge != SELF));
    if fields.is_empty() {
        return if shared() { existence(value) } else { value.clone() };
    }
    let mut projected = Map::new();
    let mut edges = 0_usize;
    let mut beside = Vec::new();
    for (edge, below) in fields {
        let (Some(step), Some(below)) = (Step::parse(edge), below.as_object()) else { continue };
        edges += 1;
        beside.clear();
        beside.extend(others.iter().filter_map(|other| other.get(edge)?.as_object()));
        // Fields, which are most of all edges, lead to one value at the most.
        if let (Step::Field(name), Value::Object(map)) = (&step, value) {
            let child = map.get(*name).map(|child| node(child, below, &beside));
            projected.extend(child.map(|child| ((*name).to_owned(), child)));
            continue;
        }
        let mut found: Vec<_> =
            step.follow(value).into_iter().map(|child| node(child, below, &beside)).collect();
        match found.len() {
            0 => {}
            1 => projected.extend(found.pop().map(|one| (step.name(edge).to_owned(), one))),
            _ => {
                projected.insert(step.name(edge).to_owned(), Value::Array(found));
            }
        }
    }
    match value {
        Value::Object(_) | Value::Array(_) if edges > 0 => Value::Object(projected),
        // Only the node itself is owned, or the value is no longer a map or list at all, which
        // must show as a difference.
        _ => existence(value),
    }
}

/// The value without its content: an empty map or list, a scalar as it is.
fn existence(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        scalar => scalar.clone(),
    }
}

/// Whether `wider` owns everything that `narrower` owns below `edges` and that is not excused.
pub(crate) fn covers_except(
    wider: &Value,
    narrower: &Value,
    edges: &mut Vec<String>,
    excused: &dyn Fn(&[String]) -> bool,
) -> bool {
    let Some(narrower) = narrower.as_object() else { return false };
    let empty = Map::new();
    let wider_map = wider.as_object();
    if wider_map.is_some_and(Map::is_empty) && !edges.is_empty() {
        // A leaf owns itself and all below it.
        return true;
    }
    if narrower.is_empty() {
        return wider_map.is_some() || excused(edges);
    }
    narrower.iter().all(|(edge, below)| {
        let theirs = wider_map.unwrap_or(&empty).get(edge).unwrap_or(&Value::Null);
        if edge == SELF {
            return theirs.is_object() || excused(edges);
        }
        edges.push(edge.clone());
        let covered = covers_except(theirs, below, edges, excused);
        edges.pop();
        covered
    })
}

/// Whether the field set owns the place that `edges` lead to, or an atomic value around it.
pub(crate) fn holds(fields_v1: &Value, edges: &[String]) -> bool {
    let mut fields = fields_v1;
    for (depth, edge) in edges.iter().enumerate() {
        match fields.get(edge) {
            Some(below) => fields = below,
            None => return depth > 0 && fields.as_object().is_some_and(Map::is_empty),
        }
    }
    true
}

/// Turns a projection, or a part of one, into plain JSON: list items back into lists.
pub(crate) fn plain(projected: &Value) -> Value {
    let listed = |edge: &String| !matches!(Step::parse(edge), None | Some(Step::Field(_)));
    match projected {
        Value::Object(map) if !map.is_empty() && map.keys().all(listed) => {
            Value::Array(map.values().map(plain).collect())
        }
        Value::Object(map) => {
            Value::Object(map.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"labels": {"app": "web", "team": "a"}, "finalizers": ["x", "y"]},
            "spec": {
                "replicas": 3,
                "containers": [
                    {"name": "web", "image": "w:1", "args": ["-a"], "resources": {"limits": {"cpu": "1"}}},
                    {"name": "log", "image": "l:1"},
                ],
            },
        })
    }

    #[test]
    fn each_kind_of_edge_selects_its_value() {
        let table = [
            (json!({"f:spec": {"f:replicas": {}}}), json!({"spec": {"replicas": 3}})),
            (
                json!({"f:metadata": {"f:labels": {"f:app": {}}}}),
                json!({"metadata": {"labels": {"app": "web"}}}),
            ),
            (json!({"f:metadata": {"f:labels": {".": {}}}}), json!({"metadata": {"labels": {}}})),
            (
                json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:args": {}}}}}),
                json!({"spec": {"containers": {"k:{\"name\":\"web\"}": {"args": ["-a"]}}}}),
            ),
            (
                json!({"f:metadata": {"f:finalizers": {"v:\"y\"": {}}}}),
                json!({"metadata": {"finalizers": {"v:\"y\"": "y"}}}),
            ),
            (
                json!({"f:metadata": {"f:finalizers": {"i:0": {}}}}),
                json!({"metadata": {"finalizers": {"i:0": "x"}}}),
            ),
            (
                json!({"f:spec": {"f:containers": {"k:{\"name\":\"gone\"}": {"f:image": {}}}}}),
                json!({"spec": {"containers": {}}}),
            ),
            (json!({"f:spec": {"f:replicas": {"f:below": {}}}}), json!({"spec": {"replicas": 3}})),
            (json!({"f:absent": {"f:replicas": {}}}), json!({})),
            (json!({"k:not json": {}, "?": {}, "f:spec": 1}), json!({})),
            (json!({}), json!({})),
            (json!(null), json!({})),
        ];
        for (fields, expected) in table {
            assert_eq!(project(&pod(), &fields), expected, "{fields}");
        }
    }

    #[test]
    fn the_order_of_a_keyed_list_does_not_matter() {
        let fields = json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {"f:image": {}}, "k:{\"name\":\"log\"}": {"f:image": {}}}}});
        let mut turned = pod();
        turned["spec"]["containers"].as_array_mut().unwrap().reverse();
        assert_eq!(project(&turned, &fields), project(&pod(), &fields));
    }

    #[test]
    fn items_with_equal_keys_are_all_projected() {
        let object = json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]});
        let fields = json!({"f:env": {"k:{\"name\":\"A\"}": {"f:value": {}}}});
        assert_eq!(
            project(&object, &fields),
            json!({"env": {"k:{\"name\":\"A\"}": [{"value": "1"}, {"value": "2"}]}})
        );
    }

    #[test]
    fn a_map_applied_empty_is_told_from_an_atomic_value_by_its_other_owners() {
        let leaf =
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:resources": {}}}}});
        let below = json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {"f:resources": {"f:limits": {"f:cpu": {}}}}}}});
        let resources = |projected: Value| {
            projected["spec"]["containers"]["k:{\"name\":\"web\"}"]["resources"].clone()
        };
        assert_eq!(resources(project(&pod(), &leaf)), json!({"limits": {"cpu": "1"}}));
        assert_eq!(resources(project_beside(&pod(), &leaf, &[&below])), json!({}));
        assert_eq!(
            resources(project_beside(&pod(), &leaf, &[&leaf])),
            json!({"limits": {"cpu": "1"}}),
            "two owners of one atomic value own all of it"
        );
    }

    #[test]
    fn covering_and_holding_follow_leaves_upwards() {
        let wide = json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}});
        let covers = |wider: &Value, narrower: &Value| {
            covers_except(wider, narrower, &mut Vec::new(), &|_| false)
        };
        assert!(covers(&wide, &json!({"f:a": {"f:b": {}}})));
        assert!(covers(&wide, &json!({"f:a": {"f:b": {"f:deeper": {}}}})));
        assert!(!covers(&wide, &json!({"f:a": {"f:d": {}}})));
        assert!(!covers(&json!(null), &wide));
        let path = |edges: &[&str]| edges.iter().map(|edge| (*edge).to_owned()).collect::<Vec<_>>();
        assert!(holds(&wide, &path(&["f:a", "f:b"])));
        assert!(holds(&wide, &path(&["f:a", "f:b", "f:deeper"])), "an atomic value around it");
        assert!(!holds(&wide, &path(&["f:a", "f:d"])));
        assert!(!holds(&json!({}), &path(&["f:a"])), "an empty field set owns nothing");
    }

    #[test]
    fn plain_turns_keyed_items_back_into_lists() {
        let projected =
            json!({"env": {"k:{\"name\":\"A\"}": {"name": "A"}}, "set": {"v:1": 1}, "map": {}});
        assert_eq!(plain(&projected), json!({"env": [{"name": "A"}], "set": [1], "map": {}}));
    }

    /// A field set that owns all of `value`: what the API server records for a first apply.
    pub(crate) fn owning(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                map.iter().map(|(name, value)| (format!("f:{name}"), owning(value))).collect()
            }
            Value::Array(items) if items.iter().all(|item| item.get("name").is_some()) => items
                .iter()
                .map(|item| (format!("k:{}", json!({"name": item["name"]})), owning(item)))
                .collect(),
            _ => json!({}),
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-z]{1,3}", inner.clone(), 1..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
                prop::collection::btree_map("[a-z]{1,3}", inner, 1..3).prop_map(|items| items
                    .into_iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect()),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-z]{1,3}", json_value(), 1..5)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// Adds a foreign field to every map, and a foreign item to every keyed list.
    fn with_foreign_fields(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut map: Map<_, _> = map
                    .iter()
                    .map(|(name, value)| (name.clone(), with_foreign_fields(value)))
                    .collect();
                map.insert("FOREIGN".into(), json!(1));
                Value::Object(map)
            }
            Value::Array(items) => {
                let mut items: Vec<_> = items.iter().map(with_foreign_fields).collect();
                items.insert(0, json!({"name": "FOREIGN"}));
                Value::Array(items)
            }
            other => other.clone(),
        }
    }

    /// Changes one scalar, chosen by `choice`; `None` when there is none.
    fn with_one_change(value: &mut Value, choice: &mut usize) -> bool {
        match value {
            Value::Object(map) => map
                .iter_mut()
                .filter(|(name, _)| *name != "name")
                .any(|(_, value)| with_one_change(value, choice)),
            Value::Array(items) => items.iter_mut().any(|item| with_one_change(item, choice)),
            scalar if *choice == 0 => {
                *scalar = json!("CHANGED");
                true
            }
            _ => {
                *choice -= 1;
                false
            }
        }
    }

    proptest! {
        #[test]
        fn foreign_fields_never_change_a_projection(object in object()) {
            let fields = owning(&object);
            prop_assert_eq!(project(&with_foreign_fields(&object), &fields), project(&object, &fields));
        }

        #[test]
        fn any_changed_owned_value_changes_the_projection(object in object(), choice in 0_usize..6) {
            let fields = owning(&object);
            let mut edited = object.clone();
            if with_one_change(&mut edited, &mut choice.clone()) {
                prop_assert_ne!(project(&edited, &fields), project(&object, &fields));
            }
        }

        #[test]
        fn arbitrary_field_sets_do_not_panic(object in json_value(), fields in json_value()) {
            let projected = project(&object, &fields);
            plain(&projected);
        }
    }
}
