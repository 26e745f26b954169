//! The parts in which two versions of an object differ, found without reading what is the same.
//! Pure.
//!
//! Versions are kept as canonical JSON, so what is the same has the same bytes. Most of an object
//! stays as it is from version to version; reading all of it was most of what blame took.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::fields::Place;
use super::schema::{Schema, Shape, Spot};
use super::stored::{Bytes, Node, Stored};

/// How many levels of maps are compared field by field; what differs further below is read. To
/// tell the fields of a map apart, the bytes of all of it are gone through once more.
const LEVELS: usize = 2;

/// A part that differs: `None` = it is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// The edges that lead to it.
    pub(super) place: Place,
    pub(super) was: Option<Arc<Value>>,
    pub(super) now: Option<Arc<Value>>,
}

/// What was read last of each part that ever differed: what a part was is mostly what it became
/// when it differed before.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<Place, (Bytes, Arc<Value>)>);

impl Known {
    fn read(&self, place: &Place, bytes: &Bytes) -> Result<Arc<Value>, serde_json::Error> {
        match self.0.get(place) {
            Some((known, value)) if known.get() == bytes.get() => Ok(Arc::clone(value)),
            _ => serde_json::from_slice(bytes.get()).map(Arc::new),
        }
    }
}

/// The parts in which two versions differ, none within another.
///
/// # Errors
/// One of them is no JSON.
pub(super) fn parts(
    schema: &Schema,
    known: &mut Known,
    was: &Stored,
    now: &Stored,
) -> Result<Vec<Part>, serde_json::Error> {
    let found = compare(schema, (known, true), was, now);
    // Where what was taken for one value turned out to be several, all fields are looked for.
    found.or_else(|_| compare(schema, (known, false), &was.anew(), &now.anew()))
}

fn compare<'s>(
    schema: &Schema,
    (known, beside): (&'s mut Known, bool),
    was: &'s Stored,
    now: &'s Stored,
) -> Result<Vec<Part>, serde_json::Error> {
    let (place, found) = (Place::new(), Vec::new());
    let mut comparing = Comparing { known, beside, was, now, place, found };
    comparing.pair(schema.top(), Some(was.object()), Some(now.object()))?;
    Ok(comparing.found)
}

struct Comparing<'s> {
    known: &'s mut Known,
    /// Whether the fields of a version are looked for beside those of the one before.
    beside: bool,
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
            let was = before.fields(was)?;
            let now = match self.beside {
                true => after.fields_as(now, (before, was))?,
                false => after.fields(now)?,
            };
            // What has no fields is a leaf.
            if !was.is_empty() && !now.is_empty() {
                return self.fields(spot, was, now);
            }
        }
        let was = was.map(|node| self.known.read(&self.place, &before.part(node))).transpose()?;
        let now = now.map(|node| after.part(node));
        let value = now.as_ref().map(|now| self.known.read(&self.place, now)).transpose()?;
        if let Some(known) = now.zip(value.clone()) {
            self.known.0.insert(self.place.clone(), known);
        }
        self.found.push(Part { place: self.place.clone(), was, now: value });
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
