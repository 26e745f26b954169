//! The manifest with the live values of what is ignored, each where the manifest has it. Pure.
//!
//! The order of a list matters: a variable of an environment is expanded from those before it, and
//! arguments are told apart by nothing else.

use serde_json::{Map, Value};

use super::{Masked, Part, without};
use crate::plan::diff::list_key;

/// The manifest with the live values of what is ignored: an omitted field that greffier owns
/// would be removed, and then defaulted. What the live object does not have is left out. The
/// identity of the object is never ignored.
#[must_use]
pub fn with_live(
    (manifest, masked_manifest): (&Value, &Masked),
    (live, masked_live): (&Value, &Masked),
) -> Value {
    let mut sent = merged((manifest, masked_manifest), (live, masked_live));
    for field in ["apiVersion", "kind"] {
        sent[field] = manifest[field].clone();
    }
    for field in ["name", "namespace"] {
        if let Some(value) = manifest.pointer(&format!("/metadata/{field}")) {
            sent["metadata"][field] = value.clone();
        }
    }
    sent
}

/// A value and its ignored places.
type Side<'v> = (&'v Value, &'v Masked);

fn merged((git, git_masked): Side<'_>, (live, live_masked): Side<'_>) -> Value {
    match (git, live) {
        (Value::Object(git), Value::Object(live)) => {
            Value::Object(fields((git, git_masked), (live, live_masked)))
        }
        (Value::Array(git), Value::Array(live)) => {
            Value::Array(items((git, git_masked), (live, live_masked)))
        }
        _ => without(git, git_masked),
    }
}

fn fields(
    (git, git_masked): (&Map<String, Value>, &Masked),
    (live, live_masked): (&Map<String, Value>, &Masked),
) -> Map<String, Value> {
    let nothing = Masked::default();
    let below = |masked: &Masked, name: &str| {
        masked.below.get(&Part::Field(name.to_owned())).unwrap_or(&nothing).clone()
    };
    let mut sent = Map::new();
    for (name, value) in git {
        let (of_git, of_live) = (below(git_masked, name), below(live_masked, name));
        match live.get(name) {
            Some(live) if of_live.whole => sent.insert(name.clone(), live.clone()),
            _ if of_git.whole => None,
            Some(live) => sent.insert(name.clone(), merged((value, &of_git), (live, &of_live))),
            None => sent.insert(name.clone(), without(value, &of_git)),
        };
    }
    for (name, value) in live.iter().filter(|(name, _)| !git.contains_key(*name)) {
        let of_live = below(live_masked, name);
        if of_live.whole {
            sent.insert(name.clone(), value.clone());
        } else if let Value::Object(value) = value {
            let ignored = fields((&Map::new(), &nothing), (value, &of_live));
            if !ignored.is_empty() {
                sent.insert(name.clone(), Value::Object(ignored));
            }
        }
    }
    sent
}

/// The items of the manifest in their order. What is ignored as a whole has the value of its live
/// counterpart; what only the cluster has goes behind what it follows there.
fn items(
    (git, git_masked): (&[Value], &Masked),
    (live, live_masked): (&[Value], &Masked),
) -> Vec<Value> {
    let nothing = Masked::default();
    let at = |masked: &Masked, index: usize| {
        masked.below.get(&Part::Item(index)).unwrap_or(&nothing).clone()
    };
    let key = list_key(live);
    let counterparts = counterparts((git, git_masked), (live, live_masked), key);
    // Each item that is sent, with the live one that it is.
    let mut sent: Vec<(Option<usize>, Value)> = Vec::new();
    for (index, (value, counterpart)) in git.iter().zip(&counterparts).enumerate() {
        let of_git = at(git_masked, index);
        let live = counterpart.and_then(|at| Some((at, live.get(at)?)));
        match live.map(|(place, live)| (place, live, at(live_masked, place))) {
            Some((place, live, of_live)) if of_live.whole => {
                sent.push((Some(place), live.clone()));
            }
            _ if of_git.whole => {}
            Some((place, live, of_live)) => {
                sent.push((Some(place), merged((value, &of_git), (live, &of_live))));
            }
            None => sent.push((None, without(value, &of_git))),
        }
    }
    for (place, value) in live.iter().enumerate() {
        if !at(live_masked, place).whole || counterparts.contains(&Some(place)) {
            continue;
        }
        let before = |(of, _): &(Option<usize>, Value)| of.filter(|of| *of < place);
        let last = sent.iter().enumerate().filter_map(|(i, item)| Some((before(item)?, i))).max();
        sent.insert(last.map_or(0, |(_, index)| index + 1), (Some(place), value.clone()));
    }
    sent.into_iter().map(|(_, value)| value).collect()
}

/// Which item of the cluster each item of the manifest is. They are told apart by their key. Where
/// they have none, what is ignored is that which is equal, or else the next that is ignored; and
/// the rest is told by its position.
fn counterparts(
    (git, git_masked): (&[Value], &Masked),
    (live, live_masked): (&[Value], &Masked),
    key: Option<&str>,
) -> Vec<Option<usize>> {
    if let Some(key) = key {
        let same = |item: &Value| live.iter().position(|live| live.get(key) == item.get(key));
        return git.iter().map(same).collect();
    }
    let ignored = |masked: &Masked, index: usize| {
        masked.below.get(&Part::Item(index)).is_some_and(|below| below.whole)
    };
    let mut left: Vec<usize> = (0..live.len()).filter(|at| ignored(live_masked, *at)).collect();
    let mut found: Vec<Option<usize>> = git
        .iter()
        .enumerate()
        .map(|(index, item)| {
            if !ignored(git_masked, index) {
                return (index < live.len() && !ignored(live_masked, index)).then_some(index);
            }
            let equal = left.iter().position(|at| live.get(*at) == Some(item))?;
            Some(left.remove(equal))
        })
        .collect();
    let mut left = left.into_iter();
    for (index, counterpart) in found.iter_mut().enumerate() {
        if counterpart.is_none() && ignored(git_masked, index) {
            *counterpart = left.next();
        }
    }
    found
}
