//! The fields of an object one by one, and where two versions of it differ. Pure.
//!
//! A *leaf* is what has nothing below it that is told apart: a scalar, an empty map or list, or
//! something atomic. A *place* is the edges of a field set that lead to it. Items of a list with
//! keys are found by their keys, so that their order says nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::parts::Part;
use super::schema::{Schema, Shape, Spot};

/// The edges of a field set that lead somewhere.
pub(super) type Place = Vec<String>;

/// A leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf<'v> {
    pub(super) place: Place,
    pub(super) value: &'v Value,
    /// Whether an item on the way is told by its position only.
    pub(super) by_position: bool,
}

/// A leaf that differs: `None` = it is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change<'v> {
    pub(super) place: Place,
    pub(super) was: Option<&'v Value>,
    pub(super) now: Option<&'v Value>,
}

/// The leaves of an object in its own order.
pub(super) fn leaves<'v>(schema: &Schema, object: &'v Value) -> Vec<Leaf<'v>> {
    let mut walk = Walk::default();
    walk.leaves(schema.top(), object);
    walk.leaves
}

/// The leaves in which two versions of an object differ: what [`changes_of`] finds in parts.
#[cfg(test)]
pub(super) fn changes<'v>(schema: &Schema, was: &'v Value, now: &'v Value) -> Vec<Change<'v>> {
    let mut walk = Walk::default();
    walk.differ(schema.top(), was, now);
    walk.changes
}

/// The leaves in which a part of two versions differs.
pub(super) fn changes_of<'v>(schema: &Schema, part: &'v Part) -> Vec<Change<'v>> {
    let mut walk = Walk::default();
    let (was, now) = (part.was.as_deref(), part.now.as_deref());
    let Some((last, above)) = part.place.split_last() else {
        walk.both(schema.top(), was, now);
        return walk.changes;
    };
    let name = |edge: &'v String| edge.strip_prefix("f:").unwrap_or(edge);
    let spot = above.iter().fold(schema.top(), |spot, edge| spot.field(name(edge)));
    walk.place = above.to_vec();
    walk.pair(spot.field(name(last)), last.clone(), was, now);
    walk.changes
}

/// What a place leads to.
pub(super) fn at<'v>(schema: &Schema, object: &'v Value, place: &[String]) -> Option<&'v Value> {
    fn down<'v>(spot: Spot<'_>, value: &'v Value, place: &[String]) -> Option<&'v Value> {
        let Some((edge, rest)) = place.split_first() else { return Some(value) };
        match value {
            Value::Object(map) => {
                let name = edge.strip_prefix("f:")?;
                down(spot.field(name), map.get(name)?, rest)
            }
            Value::Array(items) => {
                let edges = spot.edges(items, &spot.shape(value));
                let index = edges.iter().position(|known| known == edge)?;
                down(spot.item(), items.get(index)?, rest)
            }
            _ => None,
        }
    }
    down(schema.top(), object, place)
}

/// Whether nothing below the value is told apart.
fn is_leaf(spot: Spot<'_>, value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty() || spot.shape(value) == Shape::Atomic,
        Value::Array(items) => items.is_empty() || spot.shape(value) == Shape::Atomic,
        _ => true,
    }
}

#[derive(Default)]
struct Walk<'v> {
    place: Place,
    /// How many edges on the way are positions.
    positions: usize,
    leaves: Vec<Leaf<'v>>,
    changes: Vec<Change<'v>>,
}

impl<'v> Walk<'v> {
    /// Goes along an edge, for as long as `walk` takes.
    fn enter(&mut self, edge: String, walk: impl FnOnce(&mut Self)) {
        let position = usize::from(edge.starts_with("i:"));
        self.positions += position;
        self.place.push(edge);
        walk(self);
        self.place.pop();
        self.positions -= position;
    }

    fn leaves(&mut self, spot: Spot<'_>, value: &'v Value) {
        match value {
            _ if is_leaf(spot, value) => {
                let (place, by_position) = (self.place.clone(), self.positions > 0);
                self.leaves.push(Leaf { place, value, by_position });
            }
            Value::Object(map) => {
                for (name, below) in map {
                    self.enter(format!("f:{name}"), |walk| walk.leaves(spot.field(name), below));
                }
            }
            Value::Array(items) => {
                let edges = spot.edges(items, &spot.shape(value));
                for (edge, below) in edges.into_iter().zip(items) {
                    self.enter(edge, |walk| walk.leaves(spot.item(), below));
                }
            }
            _ => {}
        }
    }

    fn differ(&mut self, spot: Spot<'_>, was: &'v Value, now: &'v Value) {
        if was == now {
            return;
        }
        match (was, now) {
            _ if is_leaf(spot, was) && is_leaf(spot, now) => {
                let place = self.place.clone();
                self.changes.push(Change { place, was: Some(was), now: Some(now) });
            }
            _ if is_leaf(spot, was) || is_leaf(spot, now) => {
                self.all(spot, was, |leaf| (Some(leaf), None));
                self.all(spot, now, |leaf| (None, Some(leaf)));
            }
            (Value::Object(before), Value::Object(after)) => {
                for (name, value) in before {
                    let edge = format!("f:{name}");
                    self.pair(spot.field(name), edge, Some(value), after.get(name));
                }
                for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                    self.pair(spot.field(name), format!("f:{name}"), None, Some(value));
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                let edges_before = spot.edges(before, &spot.shape(was));
                let edges_after = spot.edges(after, &spot.shape(now));
                let mut found: BTreeMap<&String, &Value> = edges_after.iter().zip(after).collect();
                for (edge, value) in edges_before.iter().zip(before) {
                    self.pair(spot.item(), edge.clone(), Some(value), found.remove(edge));
                }
                for (edge, value) in found {
                    self.pair(spot.item(), edge.clone(), None, Some(value));
                }
            }
            // A map became a list, or the other way round.
            _ => {
                self.all(spot, was, |leaf| (Some(leaf), None));
                self.all(spot, now, |leaf| (None, Some(leaf)));
            }
        }
    }

    fn pair(
        &mut self,
        spot: Spot<'_>,
        edge: String,
        was: Option<&'v Value>,
        now: Option<&'v Value>,
    ) {
        self.enter(edge, |walk| walk.both(spot, was, now));
    }

    fn both(&mut self, spot: Spot<'_>, was: Option<&'v Value>, now: Option<&'v Value>) {
        match (was, now) {
            (Some(was), Some(now)) => self.differ(spot, was, now),
            (Some(was), None) => self.all(spot, was, |leaf| (Some(leaf), None)),
            (None, Some(now)) => self.all(spot, now, |leaf| (None, Some(leaf))),
            (None, None) => {}
        }
    }

    /// Every leaf below is a change.
    fn all(
        &mut self,
        spot: Spot<'_>,
        value: &'v Value,
        sides: fn(&'v Value) -> (Option<&'v Value>, Option<&'v Value>),
    ) {
        let mut below = Walk { place: std::mem::take(&mut self.place), ..Walk::default() };
        below.leaves(spot, value);
        self.place = below.place;
        self.changes.extend(below.leaves.into_iter().map(|leaf| {
            let (was, now) = sides(leaf.value);
            Change { place: leaf.place, was, now }
        }));
    }
}
