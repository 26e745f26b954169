//! Documents to Kubernetes objects: lists unpacked, identity checked, namespace filled,
//! normalised, restraints read. Pure.
//!
//! Does not decide what is written: an annotation that restrains writes becomes an
//! [`ObjectHold`], and the planner honours it. Does not validate against schemas: that is the API
//! server's work, and its answer is about the cluster that counts.
//!
//! Invariant: the objects that leave here are sorted by key, unique, at most [`OBJECTS_MAX`] and
//! none larger than [`MANIFEST_BYTES_MAX`]. Errors name origin and field, never a value.

mod annotations;
mod normalise;
mod scope;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use serde_json::{Map, Value};

use self::scope::Scopes;
use crate::ledger::event::{ObjectHold, ObjectOptions};
use crate::model::{GroupKind, ObjectKey, Scope};

/// The most objects that one application may have. Fleets have hundreds; the bound keeps a
/// runaway template from filling the ledger.
pub(super) const OBJECTS_MAX: usize = 20_000;

/// The largest manifest, as JSON: what etcd accepts in one request (1.5 MiB).
pub(super) const MANIFEST_BYTES_MAX: u64 = 1_572_864;

/// How deep lists may stand in lists.
const LISTS_DEPTH_MAX: usize = 4;

/// The most warnings that one render gives; what is left out is counted.
const WARNINGS_MAX: usize = 100;

/// What is said of a ClusterRole with an `aggregationRule` that has rules of its own.
const AGGREGATED: &str = "its `rules` are left out: kube-controller-manager puts those of a \
                          ClusterRole with an `aggregationRule` together from others";

/// The namespace of a namespaced object for which nobody names one.
const NAMESPACE_DEFAULT: &str = "default";

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The document is a list or a scalar.
    #[error("{found}, not a Kubernetes object")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A field is missing or empty.
    #[error("`{field}` is missing")]
    Missing {
        /// The path of the field.
        field: &'static str,
    },
    /// A field has the wrong type.
    #[error("`{field}` is {found}, not {expected}")]
    WrongType {
        /// The path of the field.
        field: String,
        /// What it is.
        found: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The path of the field.
        field: String,
        /// Why it cannot be.
        reason: String,
    },
    /// The object has no name of its own.
    #[error("`metadata.generateName` without `metadata.name` is for hooks only")]
    GenerateName,
    /// Lists in lists in lists.
    #[error("lists nested more than {LISTS_DEPTH_MAX} deep")]
    ListsTooDeep,
    /// The manifest is larger than the API server accepts.
    #[error("{bytes} bytes as JSON, more than the {MANIFEST_BYTES_MAX} that an object may have")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Another document has the same key.
    #[error("is defined twice, first at {first}")]
    Duplicate {
        /// Where the first one is.
        first: String,
    },
    /// Too many objects.
    #[error("more than the {OBJECTS_MAX} objects that one application may have")]
    TooManyObjects,
}

/// A problem, whose it is and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {subject}{}{problem}", if .subject.is_empty() { "" } else { ": " })]
pub struct Error {
    /// The file and line, as far as known.
    pub origin: String,
    /// The object, as far as known: `Deployment.apps/prod/web`.
    pub subject: String,
    /// What is wrong.
    pub problem: Problem,
}

/// One object that a source renders to.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedObject {
    /// Its key; the namespace is filled in.
    pub key: ObjectKey,
    /// The version of its API group, e.g. `v1`.
    pub version: String,
    /// Its manifest, normalised (see the module `normalise`): what is applied.
    pub manifest: Value,
    /// Its sync wave.
    pub wave: i32,
    /// `spec.replicas`, where it is a number.
    pub replicas: Option<u32>,
    /// The file in the repository, with the line where it is known.
    pub origin: String,
    /// What its annotations restrain.
    pub holds: Vec<ObjectHold>,
    /// How it is written.
    pub options: ObjectOptions,
    /// Whether it is an `argoproj.io` Application.
    pub is_application: bool,
}

/// A document and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) origin: String,
    pub(super) value: Value,
}

/// What the objects are put into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The namespace of objects that name none; may be empty.
    pub(super) namespace: &'a str,
    /// What the cluster serves; empty when unknown.
    pub(super) scopes: &'a BTreeMap<GroupKind, Scope>,
}

/// Everything that documents come to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Collected {
    pub(super) objects: Vec<RenderedObject>,
    pub(super) warnings: Vec<String>,
    pub(super) unknown_kinds: Vec<GroupKind>,
}

/// Whether a document has anything of a Kubernetes object. A file in which no document has is
/// some other YAML file (`values.yaml`, CI) that happens to lie in the folder.
pub(super) fn looks_like_manifest(value: &Value) -> bool {
    ["apiVersion", "kind", "metadata"].iter().any(|field| value.get(field).is_some())
}

/// Turns the documents of each source into objects. An object of two sources is taken from the
/// last, with a warning, as in Argo CD.
///
/// # Errors
/// The first document that is no acceptable object, or an object that is there twice in one
/// source; with the index of the source.
pub(super) fn collect(
    sources: Vec<Vec<Item>>,
    target: Target<'_>,
) -> Result<Collected, (usize, Error)> {
    let mut single = Vec::new();
    // The source of each document: where the documents of the next one begin.
    let mut ends = Vec::with_capacity(sources.len());
    for (source, items) in sources.into_iter().enumerate() {
        for item in items {
            unpack(item, 0, &mut single).map_err(|error| (source, error))?;
        }
        ends.push(single.len());
    }
    let scopes = Scopes::new(target.scopes, single.iter().map(|item| &item.value));
    let mut collector =
        Collector { target, scopes, objects: BTreeMap::new(), warnings: Vec::new() };
    for (index, item) in single.into_iter().enumerate() {
        let source = ends.partition_point(|end| *end <= index);
        collector.add(source, item).map_err(|error| (source, error))?;
    }
    Ok(collector.finish())
}

/// Takes lists apart, typed and untyped. An item of a typed list may leave its kind out.
fn unpack(item: Item, depth: usize, into: &mut Vec<Item>) -> Result<(), Error> {
    let Item { origin, mut value } = item;
    let Some(kind) = list_kind(&value) else {
        if into.len() >= OBJECTS_MAX {
            return Err(Error { origin, subject: String::new(), problem: Problem::TooManyObjects });
        }
        into.push(Item { origin, value });
        return Ok(());
    };
    if depth >= LISTS_DEPTH_MAX {
        return Err(Error { origin, subject: String::new(), problem: Problem::ListsTooDeep });
    }
    let api_version = value.get("apiVersion").cloned();
    let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else { return Ok(()) };
    for (index, mut value) in items.into_iter().enumerate() {
        if let (Value::Object(map), false) = (&mut value, kind.is_empty()) {
            if let (false, Some(api_version)) = (map.contains_key("apiVersion"), &api_version) {
                map.insert("apiVersion".to_owned(), api_version.clone());
            }
            map.entry("kind").or_insert_with(|| Value::String(kind.clone()));
        }
        let origin = format!("{origin} (item {})", index + 1);
        unpack(Item { origin, value }, depth + 1, into)?;
    }
    Ok(())
}

/// The kind of a list's items, empty for an untyped list; `None` when the value is no list.
fn list_kind(value: &Value) -> Option<String> {
    let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
    let items = value.get("items");
    let is_list = match items {
        Some(Value::Array(_)) => true,
        // An empty list that was written as null; a custom resource would have a spec.
        Some(Value::Null) => value.get("spec").is_none(),
        None => kind.is_empty(),
        Some(_) => false,
    };
    is_list.then(|| kind.to_owned())
}

struct Collector<'a> {
    target: Target<'a>,
    scopes: Scopes<'a>,
    /// The objects, and the source of each.
    objects: BTreeMap<ObjectKey, (usize, RenderedObject)>,
    warnings: Vec<String>,
}

impl Collector<'_> {
    fn add(&mut self, source: usize, item: Item) -> Result<(), Error> {
        let Item { origin, value } = item;
        let subject = subject(&value);
        let fail = |problem| Error { origin: origin.clone(), subject: subject.clone(), problem };
        let Value::Object(mut manifest) = value else {
            return Err(fail(Problem::NotAnObject { found: type_name(&value) }));
        };
        let Kind { group, version, kind } = Kind::read(&manifest).map_err(&fail)?;
        normalise::metadata(&mut manifest).map_err(&fail)?;
        let notes = annotations::read(&manifest).map_err(&fail)?;
        for warning in notes.warnings {
            self.warnings.push(format!("{origin}: {subject}: {warning}"));
        }
        if notes.dropped {
            return Ok(());
        }
        let name = name(&manifest, notes.phase.as_deref()).map_err(&fail)?;
        let namespace = self.namespace(&group, &kind, &mut manifest).map_err(&fail)?;
        let key = ObjectKey::new(group, kind, namespace, name);
        normalise::body(&key, &mut manifest).map_err(&fail)?;
        if normalise::aggregated_rules(&key, &mut manifest) {
            self.warnings.push(format!("{origin}: {subject}: {AGGREGATED}"));
        }
        let manifest = Value::Object(manifest);
        let bytes = json_bytes(&manifest);
        if bytes > MANIFEST_BYTES_MAX {
            return Err(fail(Problem::TooLarge { bytes }));
        }
        let replicas = manifest.pointer("/spec/replicas").and_then(Value::as_u64);
        let object = RenderedObject {
            version,
            wave: notes.wave,
            replicas: replicas.and_then(|replicas| u32::try_from(replicas).ok()),
            is_application: key.is_application(),
            holds: notes.holds,
            options: notes.options,
            key,
            manifest,
            origin,
        };
        self.insert(source, object)
    }

    fn insert(&mut self, source: usize, object: RenderedObject) -> Result<(), Error> {
        match self.objects.entry(object.key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((source, object));
                Ok(())
            }
            Entry::Occupied(mut entry) => {
                let (first, known) = entry.get();
                if *first == source {
                    return Err(Error {
                        subject: object.key.to_string(),
                        origin: object.origin,
                        problem: Problem::Duplicate { first: known.origin.clone() },
                    });
                }
                self.warnings.push(format!(
                    "{}: is in source {} ({}) and in source {} ({}): the last one is taken",
                    object.key,
                    first + 1,
                    known.origin,
                    source + 1,
                    object.origin
                ));
                entry.insert((source, object));
                Ok(())
            }
        }
    }

    /// The namespace of an object: its own, the destination's or `default`; none for what lives
    /// in the cluster as a whole. The manifest is made to say the same.
    fn namespace(
        &mut self,
        group: &str,
        kind: &str,
        manifest: &mut Map<String, Value>,
    ) -> Result<String, Problem> {
        let scope = self.scopes.scope(&GroupKind::new(group, kind));
        let Some(Value::Object(metadata)) = manifest.get_mut("metadata") else {
            return Err(Problem::Missing { field: "metadata" });
        };
        if scope == Scope::Cluster {
            metadata.shift_remove("namespace");
            return Ok(String::new());
        }
        let own = match metadata.get("namespace") {
            None => "",
            Some(value) => text(value, "metadata.namespace")?,
        };
        let namespace = match (own, self.target.namespace) {
            ("", "") => NAMESPACE_DEFAULT,
            ("", destination) => destination,
            (own, _) => own,
        };
        path_segment(namespace, "metadata.namespace")?;
        let namespace = namespace.to_owned();
        metadata.insert("namespace".to_owned(), Value::String(namespace.clone()));
        Ok(namespace)
    }

    fn finish(self) -> Collected {
        let mut warnings = self.warnings;
        cap(&mut warnings);
        Collected {
            objects: self.objects.into_values().map(|(_, object)| object).collect(),
            warnings,
            unknown_kinds: self.scopes.unknown(),
        }
    }
}

/// Keeps the first [`WARNINGS_MAX`] warnings and says how many are left out.
pub(super) fn cap(warnings: &mut Vec<String>) {
    if warnings.len() > WARNINGS_MAX {
        let left_out = warnings.len() - WARNINGS_MAX;
        warnings.truncate(WARNINGS_MAX);
        warnings.push(format!("{left_out} more warnings are left out"));
    }
}

/// What an object is.
struct Kind {
    group: String,
    version: String,
    kind: String,
}

impl Kind {
    fn read(manifest: &Map<String, Value>) -> Result<Self, Problem> {
        let field = |field: &'static str| match manifest.get(field) {
            None | Some(Value::Null) => Err(Problem::Missing { field }),
            Some(value) => match text(value, field)? {
                "" => Err(Problem::Missing { field }),
                text => Ok(text),
            },
        };
        let (api_version, kind) = (field("apiVersion")?, field("kind")?);
        let (group, version) = match api_version.split_once('/') {
            None => ("", api_version),
            Some((group, version)) => (group, version),
        };
        let word = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if version.is_empty() || !word(group) || !word(version) {
            let reason = format!("is `{api_version}`, not `version` or `group/version`");
            return Err(Problem::Invalid { field: "apiVersion".into(), reason });
        }
        if !kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let reason = format!("is `{kind}`, which has more than letters and digits");
            return Err(Problem::Invalid { field: "kind".into(), reason });
        }
        Ok(Self { group: group.into(), version: version.into(), kind: kind.into() })
    }
}

/// The name of an object. A hook may have its name generated: it is then known by the prefix and
/// its phase, since the API server never sees it under this name.
fn name(manifest: &Map<String, Value>, phase: Option<&str>) -> Result<String, Problem> {
    let metadata = manifest.get("metadata").ok_or(Problem::Missing { field: "metadata" })?;
    if let Some(value) = metadata.get("name") {
        let name = text(value, "metadata.name")?;
        if !name.is_empty() {
            path_segment(name, "metadata.name")?;
            return Ok(name.to_owned());
        }
    }
    let Some(prefix) = metadata.get("generateName") else {
        return Err(Problem::Missing { field: "metadata.name" });
    };
    let prefix = text(prefix, "metadata.generateName")?;
    path_segment(prefix, "metadata.generateName")?;
    match phase {
        Some(phase) => Ok(format!("{prefix}{}", phase.to_ascii_lowercase())),
        None => Err(Problem::GenerateName),
    }
}

/// Names become parts of URLs: what would change the path is refused.
fn path_segment(name: &str, field: &str) -> Result<(), Problem> {
    let refused = name == "." || name == ".." || name.contains(['/', '%']);
    if refused || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let reason = format!("is `{}`, which cannot be a name", name.escape_debug());
        return Err(Problem::Invalid { field: field.to_owned(), reason });
    }
    Ok(())
}

fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str, Problem> {
    value.as_str().ok_or_else(|| Problem::WrongType {
        field: field.to_owned(),
        found: type_name(value),
        expected: "text (quote it)",
    })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// An object for people, as far as it can be named.
fn subject(value: &Value) -> String {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    match (kind, name) {
        ("", name) => name.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, name) => format!("{kind}/{name}"),
    }
}

/// The length of a value as JSON, without writing it anywhere.
fn json_bytes(value: &Value) -> u64 {
    struct Count(u64);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len() as u64);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail; if serialising a value ever could, the object would be too large.
    if serde_json::to_writer(&mut count, value).is_err() {
        return u64::MAX;
    }
    count.0
}

#[cfg(test)]
mod tests;
