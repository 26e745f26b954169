//! Decides how an observed object differs from what greffier applied (design §8.1, rows 1 to 3).
//!
//! The baseline is what an apply returned; its paths are the fields greffier owned in it. Values
//! are compared as JSON, which is enough: the baseline already is what the API server made of the
//! manifest, with its defaults and its spelling of quantities.
//!
//! This module is pure. It neither reads the ledger nor decides whether to heal. Values of
//! Secrets reach it as digests and leave it shortened.

use serde_json::{Map, Value};

use super::field_set::FieldSet;
use super::normalize::{ManagerFields, Stored};
use super::project::{ORDER, SELF, Step, covers_except, holds, plain, project, project_beside};
use crate::ledger::event::{DriftKind, FieldChange, ManagerStamp};
use crate::model::Timestamp;
use crate::plan::secret::{SECRET, is_open};

/// The most fields that are listed.
pub const FIELDS_MAX: usize = 100;
/// The longest text of one value; what exceeds it is cut and marked.
const VALUE_BYTES_MAX: usize = 2_048;
/// Hexadecimal digits shown of a Secret value's digest.
const SECRET_DIGITS: usize = 12;

/// Managers that are part of a cluster rather than people: what they add is not announced.
/// By name, as upstream binaries call themselves.
const CLUSTER_MANAGERS: [&str; 8] = [
    "cert-manager-cainjector",
    "cloud-controller-manager",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "kwok",
];
/// By the ends of names that controllers conventionally have.
const CLUSTER_MANAGER_ENDINGS: [&str; 3] = ["-controller", "-controller-manager", "-operator"];

/// How an object differs from what was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What was found. Never [`DriftKind::Deleted`]: there is an object.
    pub kind: DriftKind,
    /// The fields, at most 100.
    pub fields: Vec<FieldChange>,
    /// Where each of them is, as edges of a field set; empty where that is not known.
    pub places: Vec<Vec<String>>,
    /// The managers that changed since the baseline and own a changed field. Empty = unknown.
    pub managers: Vec<ManagerStamp>,
    /// When greffier applied last, by the observed object's own word, where that is later than
    /// the baseline.
    pub later: Option<Timestamp>,
}

/// One difference, with the edges that lead to it.
struct Change {
    edges: Vec<String>,
    field: FieldChange,
}

/// Compares what an apply returned with what was observed.
///
/// The first that holds decides: an owned value differs or is gone, or one that was dropped is
/// back (`Drift`), greffier lost the
/// ownership of fields whose values are right (`OwnershipLost`), somebody who is not a controller
/// of the cluster set a field that was not there or was a default (`Addition`), nothing (`None`).
/// A baseline without fields of greffier can only show additions.
#[must_use]
pub fn compare(baseline: &Stored, observed: &Stored) -> Comparison {
    judge(baseline, observed, &|_| false, &[])
}

/// The same, where the loss of some places does not matter, nor what some managers add.
pub(super) fn judge(
    baseline: &Stored,
    observed: &Stored,
    excused: &dyn Fn(&[String]) -> bool,
    unheard: &[String],
) -> Comparison {
    let applied = |object: &Stored| object.own()?.stamp.time;
    let later = later(applied(baseline), applied(observed));
    Comparison { later, ..judged(baseline, observed, excused, unheard) }
}

/// When greffier wrote last, where that is later than what is known.
pub(super) fn later(known: Option<Timestamp>, written: Option<Timestamp>) -> Option<Timestamp> {
    written.filter(|written| known.is_some_and(|known| *written > known))
}

fn judged(
    baseline: &Stored,
    observed: &Stored,
    excused: &dyn Fn(&[String]) -> bool,
    unheard: &[String],
) -> Comparison {
    let secret = observed.is_secret();
    if let Some(own) = baseline.own() {
        let drift = drift(baseline, observed, own, secret);
        if !drift.is_empty() {
            return found(DriftKind::Drift, drift, baseline, observed);
        }
        let back = came_back(own, observed, excused);
        if !back.is_empty() {
            return found(DriftKind::Drift, back, baseline, observed);
        }
        let now = observed.own().map_or(&Value::Null, |now| &now.fields_v1);
        if !covers_except(now, &own.fields_v1, &mut Vec::new(), excused) {
            return found(DriftKind::OwnershipLost, Vec::new(), baseline, observed);
        }
    }
    let additions = additions(baseline, observed, secret, unheard);
    let kind = if additions.is_empty() { DriftKind::None } else { DriftKind::Addition };
    found(kind, additions, baseline, observed)
}

fn found(kind: DriftKind, changes: Vec<Change>, was: &Stored, now: &Stored) -> Comparison {
    let managers = responsible(&changes, was, now);
    let (fields, places) = changes.into_iter().map(|change| (change.field, change.edges)).unzip();
    Comparison { kind, fields, places, managers, later: None }
}

/// The entries that appeared or changed since the baseline and own one of the changed places.
fn responsible(changes: &[Change], was: &Stored, now: &Stored) -> Vec<ManagerStamp> {
    let unchanged =
        |entry: &ManagerFields| was.fields.iter().any(|before| before.stamp == entry.stamp);
    now.fields
        .iter()
        .filter(|entry| !entry.is_own() && !unchanged(entry))
        .filter(|entry| changes.iter().any(|change| holds(&entry.fields_v1, &change.edges)))
        .map(|entry| entry.stamp.clone())
        .collect()
}

fn drift(was: &Stored, now: &Stored, own: &ManagerFields, secret: bool) -> Vec<Change> {
    // Both sides get the same idea of what is shared, or a map that was applied empty would
    // differ as soon as somebody fills it.
    let others: Vec<_> = was
        .fields
        .iter()
        .chain(&now.fields)
        .filter(|entry| !entry.is_own())
        .map(|entry| &entry.fields_v1)
        .collect();
    let before = project_beside(&was.object, &own.fields_v1, &others);
    let after = project_beside(&now.object, &own.fields_v1, &others);
    let mut changes = Changes::new(secret);
    changes.between(&own.fields_v1, Some(&before), Some(&after));
    // A projection has no order, and in a list of containers or variables it means something.
    changes.order(&own.fields_v1, &was.object, &now.object);
    changes.found
}

/// What greffier applied once, dropped since, and owns again: the cluster was restored to a time
/// before that, or somebody applied as greffier. Nobody else's entry would tell of it, and a value
/// that others had too stays when they let go of it.
fn came_back(
    own: &ManagerFields,
    now: &Stored,
    excused: &dyn Fn(&[String]) -> bool,
) -> Vec<Change> {
    let mut changes = Changes::new(now.is_secret());
    if let Some(entry) = now.own().filter(|entry| entry.stamp.fields != own.stamp.fields) {
        let more = FieldSet::parse(&entry.fields_v1).without(&FieldSet::parse(&own.fields_v1));
        if !more.is_empty() {
            changes.added(&more.to_fields_v1(), None, &now.object);
        }
    }
    changes.found.retain(|change| !excused(&change.edges));
    changes.found
}

fn additions(was: &Stored, now: &Stored, secret: bool, unheard: &[String]) -> Vec<Change> {
    let mut changes = Changes::new(secret);
    for entry in &now.fields {
        let person =
            entry.stamp.subresource.is_empty() && !is_cluster_manager(&entry.stamp.manager);
        if person && !entry.is_own() && !unheard.contains(&entry.stamp.manager) {
            changes.added(&entry.fields_v1, Some(&was.object), &now.object);
        }
    }
    changes.found
}

fn is_cluster_manager(manager: &str) -> bool {
    CLUSTER_MANAGERS.contains(&manager)
        || CLUSTER_MANAGER_ENDINGS.iter().any(|ending| manager.ends_with(ending))
}

/// Collects differences on a walk through a field set.
struct Changes {
    secret: bool,
    edges: Vec<String>,
    found: Vec<Change>,
}

impl Changes {
    fn new(secret: bool) -> Self {
        Self { secret, edges: Vec::new(), found: Vec::new() }
    }

    /// Records where two projections differ. Fields are followed to their leaves; an item of a
    /// list that came or went is one difference.
    fn between(&mut self, fields: &Value, was: Option<&Value>, now: Option<&Value>) {
        if was == now {
            return;
        }
        let below = fields.as_object().filter(|map| map.keys().any(|edge| edge != SELF));
        let item = self.edges.last().is_some_and(|edge| !edge.starts_with("f:"));
        let one_is_absent = was.is_none() || now.is_none();
        let walkable = |side: Option<&Value>| side.is_none_or(Value::is_object);
        match below {
            Some(below) if walkable(was) && walkable(now) && !(item && one_is_absent) => {
                for (edge, deeper) in below.iter().filter(|(edge, _)| *edge != SELF) {
                    let name = edge.strip_prefix("f:").unwrap_or(edge);
                    let side =
                        |value: Option<&'_ Value>| value.and_then(|value| value.get(name)).cloned();
                    let (was, now) = (side(was), side(now));
                    self.edges.push(edge.clone());
                    self.between(deeper, was.as_ref(), now.as_ref());
                    self.edges.pop();
                }
            }
            Some(_) => self.push(was, now),
            None => self.inside(was, now),
        }
    }

    /// Records where two atomic values differ: maps by their fields, all else as a whole.
    fn inside(&mut self, was: Option<&Value>, now: Option<&Value>) {
        let (Some(Value::Object(before)), Some(Value::Object(after))) = (was, now) else {
            return self.push(was, now);
        };
        let names: Vec<_> =
            before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).collect();
        for name in names {
            let (was, now) = (before.get(name), after.get(name));
            if was != now {
                self.edges.push(format!("f:{name}"));
                self.inside(was, now);
                self.edges.pop();
            }
        }
    }

    /// Records where the items that greffier has in a list follow each other otherwise. Where items
    /// of others are between them does not matter.
    fn order(&mut self, fields: &Value, was: &Value, now: &Value) {
        let Some(fields) = fields.as_object().filter(|_| was != now) else { return };
        if let (Value::Array(before), Value::Array(after)) = (was, now) {
            let (before, after) = ordered(fields, before, after);
            if before != after {
                self.edges.push(ORDER.to_owned());
                self.push(Some(&Value::Array(before)), Some(&Value::Array(after)));
                self.edges.pop();
            }
        }
        for (edge, below) in fields {
            let Some(step) = Step::parse(edge) else { continue };
            if let (Some(was), Some(now)) = (step.first(was), step.first(now)) {
                self.edges.push(edge.clone());
                self.order(below, was, now);
                self.edges.pop();
            }
        }
    }

    /// Records what a foreign field set owns and the baseline does not have, or has otherwise.
    fn added(&mut self, fields: &Value, was: Option<&Value>, now: &Value) {
        let Some(fields) = fields.as_object() else { return };
        let leaf = !fields.keys().any(|edge| edge != SELF);
        let item = self.edges.last().is_some_and(|edge| !edge.starts_with("f:"));
        match was {
            Some(was) if leaf => {
                let containers =
                    was.is_object() && now.is_object() || was.is_array() && now.is_array();
                let exists_only = fields.contains_key(SELF) && containers;
                if was != now && !exists_only {
                    self.push(Some(was), Some(now));
                }
            }
            None if leaf => self.push(None, Some(now)),
            None if item => {
                let part = project(now, &Value::Object(fields.clone()));
                self.push(None, Some(&part));
            }
            _ => self.added_below(fields, was, now),
        }
    }

    fn added_below(&mut self, fields: &Map<String, Value>, was: Option<&Value>, now: &Value) {
        for (edge, deeper) in fields {
            let Some(step) = Step::parse(edge) else { continue };
            // What is owned and not there is a stale entry, not an addition.
            let Some(now) = step.first(now) else { continue };
            let was = was.and_then(|was| step.first(was));
            self.edges.push(edge.clone());
            self.added(deeper, was, now);
            self.edges.pop();
        }
    }

    fn push(&mut self, was: Option<&Value>, now: Option<&Value>) {
        if self.found.len() >= FIELDS_MAX {
            return;
        }
        let mut fields = self.edges.iter().map(|edge| edge.strip_prefix("f:").unwrap_or(edge));
        let open = fields.next().is_some_and(|field| is_open(field, fields.next()));
        let sealed = self.secret && !open;
        let text = |value: Option<&Value>| value.map_or_else(String::new, |v| shown(v, sealed));
        let field = FieldChange { path: path(&self.edges), was: text(was), now: text(now) };
        // Two managers may own the same added field; it is one change.
        if !self.found.iter().any(|change| change.field == field) {
            self.found.push(Change { edges: self.edges.clone(), field });
        }
    }
}

/// What both lists have of the keyed items of a field set, as each has them one after another.
fn ordered(
    fields: &Map<String, Value>,
    before: &[Value],
    after: &[Value],
) -> (Vec<Value>, Vec<Value>) {
    let mut items = Vec::new();
    for edge in fields.keys() {
        let Some(Step::Key(keys)) = Step::parse(edge) else { continue };
        let at = |list: &[Value]| {
            list.iter().position(|item| keys.iter().all(|(name, key)| item.get(name) == Some(key)))
        };
        if let (Some(was), Some(now)) = (at(before), at(after)) {
            items.push((was, now, called(&keys)));
        }
    }
    let mut sorted = |by: fn(&(usize, usize, Value)) -> usize| {
        items.sort_by_key(by);
        items.iter().map(|(_, _, name)| name.clone()).collect()
    };
    (sorted(|item| item.0), sorted(|item| item.1))
}

/// What an item is called: its key, or all of them.
fn called(keys: &Map<String, Value>) -> Value {
    let mut values = keys.values();
    match (values.next(), values.next()) {
        (Some(key), None) => key.clone(),
        _ => Value::Object(keys.clone()),
    }
}

/// A value as people are shown it.
pub(super) fn shown(value: &Value, sealed: bool) -> String {
    if sealed {
        let digest = value.as_str().and_then(|text| text.strip_prefix("hmac:"));
        let digits = digest.and_then(|digest| digest.get(..SECRET_DIGITS));
        return digits.map_or_else(|| SECRET.into(), |digits| format!("(secret {digits})"));
    }
    let mut text = plain(value).to_string();
    if text.len() > VALUE_BYTES_MAX {
        let end = (0..=VALUE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Edges as people write a path: `.spec.containers[name=web].image`.
pub(crate) fn path(edges: &[String]) -> String {
    let mut path = String::new();
    for edge in edges {
        match Step::parse(edge) {
            Some(Step::Field(name)) if is_plain_name(name) => {
                path.push('.');
                path.push_str(name);
            }
            Some(Step::Field(name)) => path.push_str(&format!("[{name}]")),
            Some(Step::Key(keys)) => {
                let keys: Vec<_> =
                    keys.iter().map(|(name, key)| format!("{name}={}", bare(key))).collect();
                path.push_str(&format!("[{}]", keys.join(",")));
            }
            Some(Step::Member(member)) => path.push_str(&format!("[{}]", bare(&member))),
            Some(Step::Index(index)) => path.push_str(&format!("[{index}]")),
            Some(Step::Order) => path.push_str("[order]"),
            None => {}
        }
    }
    path
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
