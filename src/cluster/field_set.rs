//! Field sets as sets: union, intersection, difference, and the places they name. Pure.
//!
//! The JSON form (`fieldsV1`) says of a node that it is a member by `.` where it has children and
//! by being empty where it has none. Here every node says so itself, which makes the operations
//! plain. What cannot be read owns nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::project::SELF;

/// How deep a field set is followed. Bound: far deeper than any schema; the API server's own
/// limit on nesting is below it.
const DEPTH_MAX: usize = 128;

/// A set of fields of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the place itself is in the set.
    member: bool,
    below: BTreeMap<String, Self>,
}

impl FieldSet {
    /// Reads a `fieldsV1`.
    pub(crate) fn parse(fields_v1: &Value) -> Self {
        let mut set = Self::read(fields_v1, 0);
        // The object as a whole is never owned.
        set.member = false;
        set
    }

    fn read(fields: &Value, depth: usize) -> Self {
        let Some(fields) = fields.as_object().filter(|_| depth < DEPTH_MAX) else {
            return Self::default();
        };
        let below = fields.iter().filter(|(edge, _)| *edge != SELF);
        Self {
            member: fields.is_empty() || fields.contains_key(SELF),
            below: below
                .map(|(edge, deeper)| (edge.clone(), Self::read(deeper, depth + 1)))
                .collect(),
        }
    }

    /// The `fieldsV1` that says the same.
    pub(crate) fn to_fields_v1(&self) -> Value {
        let mut fields = Map::new();
        if self.member && !self.below.is_empty() {
            fields.insert(SELF.to_owned(), Value::Object(Map::new()));
        }
        for (edge, deeper) in &self.below {
            fields.insert(edge.clone(), deeper.to_fields_v1());
        }
        Value::Object(fields)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(Self::is_empty)
    }

    /// What is in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut below = self.below.clone();
        for (edge, theirs) in &other.below {
            let joined = below.get(edge).map(|ours| ours.union(theirs));
            below.insert(edge.clone(), joined.unwrap_or_else(|| theirs.clone()));
        }
        Self { member: self.member || other.member, below }
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.keep(other, |ours, theirs| ours && theirs, |_| Self::default())
    }

    /// What is in this and not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        self.keep(other, |ours, theirs| ours && !theirs, Clone::clone)
    }

    fn keep(&self, other: &Self, member: fn(bool, bool) -> bool, alone: fn(&Self) -> Self) -> Self {
        let below = self.below.iter().map(|(edge, ours)| {
            let kept = match other.below.get(edge) {
                Some(theirs) => ours.keep(theirs, member, alone),
                None => alone(ours),
            };
            (edge.clone(), kept)
        });
        Self {
            member: member(self.member, other.member),
            below: below.filter(|(_, kept)| !kept.is_empty()).collect(),
        }
    }

    /// The set without the maps and lists that it has something below: owning them says no more
    /// than owning what is in them. List items stay.
    pub(crate) fn contents(&self) -> Self {
        let below = self.below.iter().map(|(edge, deeper)| {
            let item = !edge.starts_with("f:");
            let member = deeper.member && (item || deeper.below.is_empty());
            (edge.clone(), Self { member, ..deeper.contents() })
        });
        Self { member: self.member, below: below.collect() }
    }

    /// Takes the place that `edges` lead to, with all below it, out of the set.
    pub(crate) fn remove(&mut self, edges: &[&str]) {
        match edges {
            [] => {}
            [edge] => {
                self.below.remove(*edge);
            }
            [edge, rest @ ..] => {
                if let Some(below) = self.below.get_mut(*edge) {
                    below.remove(rest);
                }
            }
        }
    }

    /// Whether the place that `edges` lead to, or something in it, is in the set.
    pub(crate) fn reaches(&self, edges: &[String]) -> bool {
        let mut set = self;
        for edge in edges {
            let Some(below) = set.below.get(edge) else { return false };
            set = below;
        }
        true
    }

    /// The places that the set names, the outermost only: a list item that is a member stands for
    /// everything in it.
    pub(crate) fn places(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    /// The places that nothing of the set is below.
    pub(crate) fn leaves(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        self.gather(&mut Vec::new(), &mut found);
        found
    }

    fn gather(&self, edges: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if self.member && self.below.is_empty() {
            found.push(edges.clone());
        }
        for (edge, deeper) in &self.below {
            edges.push(edge.clone());
            deeper.gather(edges, found);
            edges.pop();
        }
    }

    fn collect(&self, edges: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let item = edges.last().is_some_and(|edge| !edge.starts_with("f:"));
        if self.member && (item || self.below.is_empty()) {
            found.push(edges.clone());
            return;
        }
        for (edge, deeper) in &self.below {
            edges.push(edge.clone());
            deeper.collect(edges, found);
            edges.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> FieldSet {
        FieldSet::parse(&value)
    }

    #[test]
    fn sets_are_combined_place_by_place() {
        let a = set(
            json!({"f:data": {"f:x": {}, "f:y": {}}, "f:l": {"k:{\"n\":1}": {".": {}, "f:n": {}}}}),
        );
        let b = set(json!({"f:data": {".": {}, "f:y": {}, "f:z": {}}}));
        assert_eq!(a.intersection(&b).to_fields_v1(), json!({"f:data": {"f:y": {}}}));
        assert_eq!(
            a.without(&b).to_fields_v1(),
            json!({"f:data": {"f:x": {}}, "f:l": {"k:{\"n\":1}": {".": {}, "f:n": {}}}})
        );
        assert_eq!(
            a.union(&b).to_fields_v1()["f:data"],
            json!({".": {}, "f:x": {}, "f:y": {}, "f:z": {}})
        );
    }

    #[test]
    fn a_leaf_and_what_is_below_it_are_told_apart() {
        let leaf = set(json!({"f:resources": {}}));
        let below = set(json!({"f:resources": {"f:limits": {}}}));
        assert!(leaf.intersection(&below).is_empty());
        assert_eq!(
            leaf.union(&below).to_fields_v1(),
            json!({"f:resources": {".": {}, "f:limits": {}}})
        );
    }

    #[test]
    fn contents_are_told_from_what_contains_them() {
        let theirs = set(
            json!({"f:data": {".": {}, "f:x": {}}, "f:l": {".": {}, "k:{\"n\":1}": {".": {}}}}),
        );
        let ours = set(json!({"f:data": {"f:x": {}}}));
        assert_eq!(
            theirs.contents().without(&ours.contents()).to_fields_v1(),
            json!({"f:l": {"k:{\"n\":1}": {}}})
        );
    }

    #[test]
    fn places_are_the_outermost() {
        let places =
            set(json!({"f:a": {".": {}, "f:b": {}}, "f:l": {"k:{\"n\":1}": {".": {}, "f:n": {}}}}))
                .places();
        let text: Vec<_> = places.iter().map(|edges| edges.join("/")).collect();
        assert_eq!(text, ["f:a/f:b", "f:l/k:{\"n\":1}"]);
    }

    #[test]
    fn a_place_is_taken_out() {
        let mut a = set(json!({"f:m": {"f:x": {}, "f:y": {}}}));
        a.remove(&["f:m", "f:x"]);
        a.remove(&["f:absent", "f:x"]);
        assert_eq!(a.to_fields_v1(), json!({"f:m": {"f:y": {}}}));
    }

    fn any_set() -> impl Strategy<Value = FieldSet> {
        let leaf = Just(json!({}));
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::btree_map("(f:[a-d]|\\.)", inner, 1..4).prop_map(|map| {
                let fields = map.into_iter().map(|(edge, deeper)| {
                    let deeper = if edge == SELF { json!({}) } else { deeper };
                    (edge, deeper)
                });
                Value::Object(fields.collect())
            })
        });
        tree.prop_map(|value| FieldSet::parse(&value))
    }

    proptest! {
        #[test]
        fn the_laws_of_sets_hold(a in any_set(), b in any_set()) {
            prop_assert_eq!(FieldSet::parse(&a.to_fields_v1()), a.clone());
            prop_assert!(a.without(&b).intersection(&b).is_empty());
            prop_assert_eq!(a.without(&b).union(&a.intersection(&b)), a.union(&FieldSet::default()));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        }
    }
}
