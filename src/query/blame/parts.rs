//! The parts in which two versions of an object differ, found without reading what is the same.
//! Pure.
//!
//! Versions are kept as canonical JSON, so what is the same has the same bytes. Most of an object
//! stays as it is from version to version; reading all of it was most of what blame took.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Place;
use super::schema::{Schema, Shape, Spot};

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
    was: &RawValue,
    now: &RawValue,
) -> Result<Vec<Part>, serde_json::Error> {
    let mut found = Vec::new();
    compare(schema.top(), &mut Place::new(), Some(was), Some(now), &mut found)?;
    Ok(found)
}

fn compare(
    spot: Spot<'_>,
    place: &mut Place,
    was: Option<&RawValue>,
    now: Option<&RawValue>,
    found: &mut Vec<Part>,
) -> Result<(), serde_json::Error> {
    if was.map(RawValue::get) == now.map(RawValue::get) {
        return Ok(());
    }
    if place.len() < LEVELS
        && let (Some(before), Some(after)) = (map(spot, was)?, map(spot, now)?)
    {
        let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
        let added = added.map(|(name, now)| (name, None, Some(*now)));
        let kept = before.iter().map(|(name, was)| (name, Some(*was), after.get(name).copied()));
        for (name, was, now) in kept.chain(added) {
            place.push(format!("f:{name}"));
            compare(spot.field(name), place, was, now, found)?;
            place.pop();
        }
        return Ok(());
    }
    let read = |raw: Option<&RawValue>| raw.map(|raw| serde_json::from_str(raw.get())).transpose();
    found.push(Part { place: place.clone(), was: read(was)?, now: read(now)? });
    Ok(())
}

/// The fields of a map whose fields are told apart.
fn map<'v>(
    spot: Spot<'_>,
    raw: Option<&'v RawValue>,
) -> Result<Option<BTreeMap<String, &'v RawValue>>, serde_json::Error> {
    let granular = spot.shape_of_map() == Shape::Granular;
    let Some(raw) = raw.filter(|raw| granular && raw.get().starts_with('{')) else {
        return Ok(None);
    };
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
    // An empty one is a leaf.
    Ok(Some(fields).filter(|fields| !fields.is_empty()))
}
