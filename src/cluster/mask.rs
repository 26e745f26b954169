//! What of an object `ignoreDifferences` ignores, and the two things done with it: it is left out
//! of comparisons on both sides, and with `RespectIgnoreDifferences=true` the live value is put
//! into what is sent. Pure.
//!
//! Pointers, jq paths and the fields of managers all come down to places in one object
//! ([`Masked`]): the same rule may mean other places in another object, so each side of a
//! comparison has its own. What jq expressions mean is found out by `render::jq`.

mod respect;

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{self, Comparison};
use super::field_set::FieldSet;
use super::normalize::{ManagerFields, Normalised, Stored};
use super::preview::preview;
use super::project::Step;
use super::replaced::compare_replaced;
use crate::ledger::event::FieldChange;
use crate::model::Mask;

pub use respect::with_live;

/// What the API server writes into `metadata` and refuses, or ignores, to be sent.
const METADATA_OF_SERVER: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// One step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A field of a map.
    Field(String),
    /// An item of a list.
    Item(usize),
}

/// A jq expression that means something that cannot be left out of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It means all of it.
    #[error("it means the whole object")]
    Whole,
    /// A step that is neither a field nor an item.
    #[error("it means something that is no field and no item of a list")]
    Step,
}

/// The ignored places of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masked {
    /// All of it is ignored.
    whole: bool,
    below: BTreeMap<Part, Self>,
}

impl Masked {
    /// The places in `object`. `fields` are the managers of the live object, whichever side of a
    /// comparison this is: what they own there is theirs. `paths` are those that the jq
    /// expressions of the mask mean in it, as jq writes paths.
    ///
    /// # Errors
    /// A path that cannot be left out.
    pub fn of(
        object: &Value,
        fields: &[ManagerFields],
        mask: &Mask,
        paths: &[Vec<Value>],
    ) -> Result<Self, Unusable> {
        let mut masked = Self::default();
        for pointer in &mask.pointers {
            masked.extend(pointed(object, pointer));
        }
        for path in paths {
            for place in from_jq(object, path)? {
                masked.insert(&place);
            }
        }
        for entry in fields.iter().filter(|entry| mask.managers.contains(&entry.stamp.manager)) {
            for edges in FieldSet::parse(&entry.fields_v1).leaves() {
                resolve(object, &edges).iter().for_each(|place| masked.insert(place));
            }
        }
        Ok(masked)
    }

    fn extend(&mut self, place: Option<Vec<Part>>) {
        if let Some(place) = place.filter(|place| !place.is_empty()) {
            self.insert(&place);
        }
    }

    fn insert(&mut self, place: &[Part]) {
        match place {
            [] => self.whole = true,
            [part, rest @ ..] => self.below.entry(part.clone()).or_default().insert(rest),
        }
    }

    /// Takes the places out of the object that they are of.
    pub fn remove_from(&self, object: &mut Value) {
        // Backwards, so that the positions of list items hold while items go.
        for (part, deeper) in self.below.iter().rev() {
            match (part, &mut *object) {
                (Part::Field(name), Value::Object(map)) if deeper.whole => {
                    map.shift_remove(name);
                }
                (Part::Item(index), Value::Array(items))
                    if deeper.whole && *index < items.len() =>
                {
                    items.remove(*index);
                }
                (Part::Field(name), Value::Object(map)) => {
                    map.get_mut(name).into_iter().for_each(|below| deeper.remove_from(below));
                }
                (Part::Item(index), Value::Array(items)) => {
                    items.get_mut(*index).into_iter().for_each(|below| deeper.remove_from(below));
                }
                _ => {}
            }
        }
    }

    /// The fields of a set that are not ignored in the object.
    pub(super) fn spared(&self, object: &Value, fields: &FieldSet) -> FieldSet {
        let mut spared = fields.clone();
        for edges in fields.leaves() {
            if resolve(object, &edges).iter().any(|place| self.touches(place)) {
                let edges: Vec<&str> = edges.iter().map(String::as_str).collect();
                spared.remove(&edges);
            }
        }
        spared
    }

    /// Whether the place, something around it or something in it is ignored.
    fn touches(&self, place: &[Part]) -> bool {
        match place {
            [] => self.whole || !self.below.is_empty(),
            [part, rest @ ..] => {
                self.whole || self.below.get(part).is_some_and(|deeper| deeper.touches(rest))
            }
        }
    }
}

/// The place that a JSON pointer leads to, if it is there.
fn pointed(object: &Value, pointer: &str) -> Option<Vec<Part>> {
    let mut value = object;
    let mut place = Vec::new();
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        let (below, part) = match value {
            Value::Object(map) => (map.get(&token)?, Part::Field(token)),
            Value::Array(items) => {
                let index: usize = token.parse().ok()?;
                (items.get(index)?, Part::Item(index))
            }
            _ => return None,
        };
        value = below;
        place.push(part);
    }
    Some(place)
}

/// The places that a path of jq leads to; none when it is not there.
fn from_jq(object: &Value, path: &[Value]) -> Result<Vec<Vec<Part>>, Unusable> {
    if path.is_empty() {
        return Err(Unusable::Whole);
    }
    let mut found: Vec<(Vec<Part>, &Value)> = vec![(Vec::new(), object)];
    for step in path {
        let mut deeper = Vec::new();
        for (place, value) in found {
            for (part, below) in steps(value, step)? {
                deeper.push(([place.as_slice(), &[part]].concat(), below));
            }
        }
        found = deeper;
    }
    Ok(found.into_iter().map(|(place, _)| place).collect())
}

/// Where one step of a jq path leads: a name, a position (from the end when negative), a slice.
fn steps<'v>(value: &'v Value, step: &Value) -> Result<Vec<(Part, &'v Value)>, Unusable> {
    let empty = Vec::new();
    let items = value.as_array().unwrap_or(&empty);
    let position = |number: i64| {
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if number < 0 { number.saturating_add(length) } else { number }
    };
    match step {
        Value::String(name) => {
            let below = value.as_object().and_then(|map| map.get(name));
            Ok(below.map(|below| (Part::Field(name.clone()), below)).into_iter().collect())
        }
        Value::Number(number) => {
            let index = number.as_i64().map(position).and_then(|index| usize::try_from(index).ok());
            let value = value.as_array();
            let item = index.and_then(|index| Some((Part::Item(index), value?.get(index)?)));
            Ok(item.into_iter().collect())
        }
        Value::Object(slice) => {
            let Value::Array(items) = value else { return Ok(Vec::new()) };
            let bound = |name: &str, absent: i64| match slice.get(name) {
                None | Some(Value::Null) => Ok(absent),
                Some(number) => number.as_i64().map(position).ok_or(Unusable::Step),
            };
            let (start, end) = (bound("start", 0)?, bound("end", i64::MAX)?);
            let within = |index: &usize| {
                i64::try_from(*index).is_ok_and(|index| start <= index && index < end)
            };
            let items = items.iter().enumerate().filter(|(index, _)| within(index));
            Ok(items.map(|(index, item)| (Part::Item(index), item)).collect())
        }
        _ => Err(Unusable::Step),
    }
}

/// The places that the edges of a field set lead to.
fn resolve(object: &Value, edges: &[String]) -> Vec<Vec<Part>> {
    let mut found: Vec<(Vec<Part>, &Value)> = vec![(Vec::new(), object)];
    for edge in edges {
        let Some(step) = Step::parse(edge) else { return Vec::new() };
        let mut deeper = Vec::new();
        for (place, value) in found {
            let reached: Vec<(Part, &Value)> = match (&step, value) {
                (Step::Field(name), Value::Object(map)) => {
                    let below = map.get(*name);
                    below
                        .map(|below| (Part::Field((*name).to_owned()), below))
                        .into_iter()
                        .collect()
                }
                (_, Value::Array(items)) => {
                    let wanted = step.follow(value);
                    let same = |item: &Value| wanted.iter().any(|one| std::ptr::eq(*one, item));
                    let items = items.iter().enumerate().filter(|(_, item)| same(item));
                    items.map(|(index, item)| (Part::Item(index), item)).collect()
                }
                _ => Vec::new(),
            };
            deeper.extend(
                reached.into_iter().map(|(part, v)| ([place.as_slice(), &[part]].concat(), v)),
            );
        }
        found = deeper;
    }
    found.into_iter().map(|(place, _)| place).collect()
}

/// An object without what is ignored in it.
#[must_use]
pub fn without(object: &Value, masked: &Masked) -> Value {
    let mut object = object.clone();
    masked.remove_from(&mut object);
    object
}

fn stored_without(object: &Stored, masked: &Masked) -> Stored {
    Stored { object: without(&object.object, masked), fields: object.fields.clone() }
}

/// Compares as [`compare`](super::compare()) does, without what is ignored on either side. Who
/// owns an ignored field does not matter either, nor what the managers add whose fields are left
/// to them.
#[must_use]
pub fn compare_masked(
    (baseline, masked_baseline): (&Stored, &Masked),
    (observed, masked_observed): (&Stored, &Masked),
    mask: &Mask,
) -> Comparison {
    let excused = |edges: &[String]| {
        let touches = |object: &Value, masked: &Masked| {
            resolve(object, edges).iter().any(|place| masked.touches(place))
        };
        touches(&baseline.object, masked_baseline) || touches(&observed.object, masked_observed)
    };
    let was = stored_without(baseline, masked_baseline);
    let now = stored_without(observed, masked_observed);
    compare::judge(&was, &now, &excused, &mask.managers)
}

/// Compares as [`compare_replaced`] does, without what is ignored on any side.
#[must_use]
pub fn compare_replaced_masked(
    (sent, masked_sent): (&Normalised, &Masked),
    (baseline, masked_baseline): (&Stored, &Masked),
    (observed, masked_observed): (&Stored, &Masked),
) -> Comparison {
    let sent = sent.comparing(without(&sent.object, masked_sent));
    let was = stored_without(baseline, masked_baseline);
    compare_replaced(&sent, &was, &stored_without(observed, masked_observed))
}

/// Lists what [`preview`] lists, without what is ignored on either side.
#[must_use]
pub fn preview_masked(
    (live, masked_live): (&Stored, &Masked),
    (would_be, masked_would_be): (&Normalised, &Masked),
) -> Vec<FieldChange> {
    let would_be = would_be.comparing(without(&would_be.object, masked_would_be));
    preview(&stored_without(live, masked_live), &would_be)
}

/// A live object as it might have been sent: without what the API server adds of its own.
#[must_use]
pub fn sendable(raw: &Value) -> Value {
    let mut object = raw.clone();
    let Some(fields) = object.as_object_mut() else { return object };
    fields.shift_remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in METADATA_OF_SERVER {
            metadata.shift_remove(field);
        }
    }
    object
}

#[cfg(test)]
mod tests;
