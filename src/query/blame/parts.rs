//! The parts in which two versions of an object differ, found without reading what is the same.
//! Pure.
//!
//! Versions are kept as canonical JSON, so what is the same has the same bytes. Most of an object
//! stays as it is from version to version; reading all of it was most of what blame took.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::Place;
use super::schema::{Schema, Shape, Spot};
use super::stored::{Node, Stored};

/// How many levels of maps are compared field by field; what differs further below is read. To
/// tell the fields of a map apart, the bytes of all of it are gone through once more.
const LEVELS: usize = 2;

/// A part that differs: `None` = it is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// The edges that lead to it.
    pub(super) place: Place,
    pub(super) was: Option<Value>,
    pub(super) now: Option<Value>,
}

/// The parts in which two versions differ, none within another.
///
/// # Errors
/// One of them is no JSON.
pub(super) fn parts(
    schema: &Schema,
    was: &Stored,
    now: &Stored,
) -> Result<Vec<Part>, serde_json::Error> {
    let mut comparing = Comparing { was, now, place: Place::new(), found: Vec::new() };
    comparing.pair(schema.top(), Some(was.object()), Some(now.object()))?;
    Ok(comparing.found)
}

struct Comparing<'s> {
    was: &'s Stored,
    now: &'s Stored,
    place: Place,
    found: Vec<Part>,
}

impl<'s> Comparing<'s> {
    fn pair(
        &mut self,
        spot: Spot<'_>,
        was: Option<&'s Node>,
        now: Option<&'s Node>,
    ) -> Result<(), serde_json::Error> {
        let (before, after) = (self.was, self.now);
        if was.map(|node| before.bytes(node)) == now.map(|node| after.bytes(node)) {
            return Ok(());
        }
        if let Some((was, now)) = was.zip(now)
            && self.place.len() < LEVELS
            && spot.shape_of_map() == Shape::Granular
        {
            let (was, now) = (before.fields(was)?, after.fields(now)?);
            // What has no fields is a leaf.
            if !was.is_empty() && !now.is_empty() {
                return self.fields(spot, was, now);
            }
        }
        let read = |stored: &Stored, node: Option<&Node>| {
            node.map(|node| serde_json::from_slice(stored.bytes(node))).transpose()
        };
        let (was, now) = (read(before, was)?, read(after, now)?);
        self.found.push(Part { place: self.place.clone(), was, now });
        Ok(())
    }

    fn fields(
        &mut self,
        spot: Spot<'_>,
        was: &'s BTreeMap<String, Node>,
        now: &'s BTreeMap<String, Node>,
    ) -> Result<(), serde_json::Error> {
        let added = now.iter().filter(|(name, _)| !was.contains_key(*name));
        let added = added.map(|(name, node)| (name, None, Some(node)));
        let kept = was.iter().map(|(name, node)| (name, Some(node), now.get(name)));
        for (name, was, now) in kept.chain(added) {
            self.place.push(format!("f:{name}"));
            self.pair(spot.field(name), was, now)?;
            self.place.pop();
        }
        Ok(())
    }
}
