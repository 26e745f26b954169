//! What is known of the shape of a kind's fields: which lists have keys, which are sets, what is
//! atomic. Pure.
//!
//! The knowledge comes from the objects themselves: a field set has `k:` edges below a list with
//! keys and `v:` edges below a set, and ends at what is atomic. It is gathered over all versions,
//! because a version may have lost its field managers. A part of an atomic value is nobody's, so
//! what is owned in part in one version is atomic in none. Where no version tells, a table knows
//! the kinds of Kubernetes; lists of other kinds are then told by position.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::cluster::project::{SELF, Step};
use crate::model::canonical_json;

/// How what a place holds is told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each field, or what each field holds, by itself.
    Granular,
    /// Items of a list by the values of these fields.
    Keyed(Vec<String>),
    /// Members of a set by their value.
    Set,
    /// As a whole.
    Atomic,
    /// Items by their position, because nothing better is known.
    ByPosition,
}

/// Lists of Kubernetes' own kinds whose items have keys, by the name of the list.
const KEYED: &[(&str, &[&str])] = &[
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("matchConditions", &["name"]),
    ("ownerReferences", &["uid"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("secrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
    ("webhooks", &["name"]),
];
/// Its sets.
const SETS: &[&str] = &["finalizers", "podCIDRs"];
/// Its maps that are atomic.
const ATOMIC_MAPS: &[&str] = &[
    "configMapKeyRef",
    "fieldRef",
    "labelSelector",
    "nodeSelector",
    "resourceFieldRef",
    "secretKeyRef",
    "selector",
];
/// The keys of items that have a default in Kubernetes' own kinds.
const KEY_DEFAULTS: &[(&str, &str)] = &[("protocol", "TCP")];

/// What is known of one place. Everything below a list is known of all its items alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    keys: Option<Vec<String>>,
    set: bool,
    /// Somebody owned a field below it.
    granular: bool,
    /// Somebody owned it as a whole while it held something.
    whole: bool,
    fields: BTreeMap<String, Self>,
    items: Option<Box<Self>>,
}

/// What is known of the fields of objects of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Schema {
    root: Known,
    /// Whether the kind is one of Kubernetes' own.
    builtin: bool,
    /// Whether something was owned as a whole while it held nothing: what it is will show when it
    /// holds something, also where its owners stay the same.
    unsure: bool,
}

/// A place in an object, with what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'s> {
    known: Option<&'s Known>,
    builtin: bool,
    /// The name of the field that leads here; empty at the top and for items.
    name: &'s str,
}

impl Schema {
    /// Of the kinds of an API group nothing is known but what the table says.
    pub(super) fn of_group(group: &str) -> Self {
        let builtin = !group.contains('.') || group.ends_with(".k8s.io");
        Self { root: Known::default(), builtin, unsure: false }
    }

    /// Learns from an object and the field set of one of its managers.
    pub(super) fn learn(&mut self, object: &Value, fields_v1: &Value) {
        if let Some(fields) = fields_v1.as_object() {
            let empty = self.root.learn(object, fields);
            self.root.whole = false;
            // The empty maps of Kubernetes' own kinds are granular.
            self.unsure |= empty.list || empty.map && !self.builtin;
        }
    }

    /// Whether every version may teach something, also with field sets that are known.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// The object as a whole.
    pub(super) fn top(&self) -> Spot<'_> {
        Spot { known: Some(&self.root), builtin: self.builtin, name: "" }
    }
}

/// What was owned as a whole while it held nothing.
#[derive(Default)]
struct Empty {
    list: bool,
    map: bool,
}

impl Known {
    fn learn(&mut self, value: &Value, fields: &Map<String, Value>) -> Empty {
        let mut empty = Empty::default();
        if fields.keys().all(|edge| edge == SELF) {
            // `.` alone is the place without what it holds.
            let leaf = fields.is_empty();
            match value {
                Value::Array(items) if items.is_empty() => empty.list = leaf,
                Value::Object(map) if map.is_empty() => empty.map = leaf,
                Value::Array(_) | Value::Object(_) => self.whole |= leaf,
                _ => {}
            }
            return empty;
        }
        for (edge, below) in fields {
            let (Some(step), Some(below)) = (Step::parse(edge), below.as_object()) else {
                continue;
            };
            let deeper = step.first(value).unwrap_or(&Value::Null);
            let found = match step {
                Step::Field(name) => {
                    self.granular = true;
                    self.fields.entry(name.to_owned()).or_default().learn(deeper, below)
                }
                Step::Key(keys) => {
                    let mut names: Vec<String> = keys.into_iter().map(|(name, _)| name).collect();
                    names.sort();
                    self.keys = Some(names);
                    self.items.get_or_insert_default().learn(deeper, below)
                }
                Step::Member(_) => {
                    self.set = true;
                    Empty::default()
                }
                Step::Index(_) => self.items.get_or_insert_default().learn(deeper, below),
                Step::Order => continue,
            };
            empty.list |= found.list;
            empty.map |= found.map;
        }
        empty
    }
}

impl<'s> Spot<'s> {
    /// How what the place holds is told apart.
    pub(super) fn shape(&self, value: &Value) -> Shape {
        match value {
            Value::Object(_) => self.shape_of_map(),
            Value::Array(items) => self.shape_of_list(items),
            _ => Shape::Granular,
        }
    }

    /// The same of a map, whatever it holds.
    pub(super) fn shape_of_map(&self) -> Shape {
        let atomic = self.known.is_some_and(|known| known.whole && !known.granular)
            || (self.is_unknown() && self.builtin && ATOMIC_MAPS.contains(&self.name));
        if atomic { Shape::Atomic } else { Shape::Granular }
    }

    fn is_unknown(&self) -> bool {
        self.known.is_none_or(|known| !known.whole && !known.granular)
    }

    fn shape_of_list(&self, items: &[Value]) -> Shape {
        match self.known {
            Some(Known { keys: Some(keys), .. }) => return Shape::Keyed(keys.clone()),
            Some(known) if known.set => return Shape::Set,
            Some(known) if known.whole => return Shape::Atomic,
            _ => {}
        }
        if !self.builtin {
            return Shape::ByPosition;
        }
        let keyed = |keys: &[&str]| Shape::Keyed(keys.iter().map(|key| (*key).into()).collect());
        let have = |key: &str| items.iter().all(|item| item.get(key).is_some());
        if let Some((_, keys)) = KEYED.iter().find(|(name, _)| *name == self.name) {
            return keyed(keys);
        }
        match self.name {
            "ports" if have("containerPort") => keyed(&["containerPort", "protocol"]),
            // Those of a Service; those of an EndpointSlice or a NetworkPolicy are atomic.
            "ports" if have("targetPort") => keyed(&["port", "protocol"]),
            name if SETS.contains(&name) => Shape::Set,
            // As the API server takes a list of which no schema says otherwise.
            _ => Shape::Atomic,
        }
    }

    /// A field of what the place holds.
    pub(super) fn field(&self, name: &'s str) -> Spot<'s> {
        Spot {
            known: self.known.and_then(|known| known.fields.get(name)),
            // The metadata of every kind is Kubernetes' own.
            builtin: self.builtin || (self.name.is_empty() && name == "metadata"),
            name,
        }
    }

    /// Any item of what the place holds.
    pub(super) fn item(&self) -> Spot<'s> {
        let known = self.known.and_then(|known| known.items.as_deref());
        Spot { known, builtin: self.builtin, name: "" }
    }

    /// The edge that leads to each item, each once; an item that its keys do not tell apart from
    /// one before it is told by its position.
    pub(super) fn edges(&self, items: &[Value], shape: &Shape) -> Vec<String> {
        let mut edges: Vec<String> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let edge = match shape {
                Shape::Keyed(keys) => self.key_of(item, keys).map(|keys| format!("k:{keys}")),
                Shape::Set => Some(format!("v:{}", canonical(item))),
                _ => None,
            };
            let edge = edge.filter(|edge| !edges.contains(edge));
            edges.push(edge.unwrap_or_else(|| format!("i:{index}")));
        }
        edges
    }

    fn key_of(&self, item: &Value, keys: &[String]) -> Option<String> {
        let mut found = Map::new();
        for name in keys {
            let default = || {
                let known = KEY_DEFAULTS.iter().find(|(key, _)| self.builtin && key == name);
                known.map(|(_, default)| Value::from(*default))
            };
            found.insert(name.clone(), item.get(name).cloned().or_else(default)?);
        }
        Some(canonical(&Value::Object(found)))
    }
}

fn canonical(value: &Value) -> String {
    String::from_utf8(canonical_json(value)).unwrap_or_default()
}
