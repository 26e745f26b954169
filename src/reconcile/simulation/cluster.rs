//! A fake API server: what greffier and people see of a real one, in memory.
//!
//! Objects are JSON with `managedFields`, so that the real normalisation and comparison read
//! them. Server-side apply, updates by others, uids, resource versions, generations, finalizers,
//! namespaces that take their objects with them. `contract` holds it to what the real one does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::observer::Key;
use crate::cluster::{
    AppliedObject, ApplyRequest, DeleteRequest, DeleteResult, Error, FIELD_MANAGER, Propagation,
    normalize, transfer,
};
use crate::model::{Digest, GroupKind, ObjectKey};

type Path = Vec<String>;

/// A value that the admission of this cluster refuses.
pub(super) const REFUSED: &str = "refused";
const FOREGROUND: &str = "foregroundDeletion";

/// Who owns which fields, and how.
#[derive(Clone, PartialEq)]
struct Entry {
    manager: String,
    operation: &'static str,
    fields: BTreeSet<Path>,
}

/// A stored object; field ownership beside it.
#[derive(Clone, PartialEq)]
struct Object {
    value: Value,
    entries: Vec<Entry>,
}

/// One change, as watches show it.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) key: ObjectKey,
    pub(super) deleted: bool,
    pub(super) object: Value,
}

/// The API server with its store.
#[derive(Default)]
pub(super) struct FakeCluster {
    objects: BTreeMap<ObjectKey, Object>,
    version: u64,
    uids: u64,
    /// Every change since the beginning, or since it was restored.
    pub(super) history: Vec<Change>,
    /// A copy of it, to be restored from: the objects and the version.
    copy: Option<(BTreeMap<ObjectKey, Object>, u64)>,
}

impl FakeCluster {
    /// An empty cluster whose uids begin here.
    pub(super) fn with_uids_from(uids: u64) -> Self {
        Self { uids, ..Self::default() }
    }

    // --- reading

    pub(super) fn get(&self, key: &ObjectKey) -> Option<Value> {
        self.objects.get(key).map(Object::shown)
    }

    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn uid(&self, key: &ObjectKey) -> Option<String> {
        let object = self.objects.get(key)?;
        object.value.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)
    }

    /// Every object of a kind, in order.
    pub(super) fn list(&self, kind: &GroupKind) -> Vec<Value> {
        let of_kind = self.objects.iter().filter(|(key, _)| key.group_kind() == *kind);
        of_kind.map(|(_, object)| object.shown()).collect()
    }

    /// The resource version of a list made now.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn is_deleting(&self, key: &ObjectKey) -> bool {
        self.objects.get(key).is_some_and(Object::is_deleting)
    }

    /// Copies everything.
    pub(super) fn save(&mut self) {
        self.copy = Some((self.objects.clone(), self.version));
    }

    /// Restores the copy, if there is one: everything since then has not been. Returns the uids
    /// of the objects that are back.
    pub(super) fn restore(&mut self) -> Option<Vec<String>> {
        let (objects, version) = self.copy.take()?;
        let now: BTreeSet<String> = self.keys().iter().filter_map(|key| self.uid(key)).collect();
        self.history.clear();
        (self.objects, self.version) = (objects, version);
        let back = self.keys().into_iter().filter_map(|key| self.uid(&key));
        Some(back.filter(|uid| !now.contains(uid)).collect())
    }

    // --- greffier's writes

    pub(super) fn apply(&mut self, request: &ApplyRequest) -> Result<AppliedObject, Error> {
        let subject = format!("apply {}", request.key);
        if request.uid.is_some() && request.uid != self.uid(&request.key) {
            let message = "it is another object".to_owned();
            return Err(Error::Conflict { subject, message });
        }
        let result = self.apply_as(FIELD_MANAGER, &request.key, &request.manifest, request.force);
        let (raw, created) = result.map_err(|refusal| refusal.about(subject))?;
        let now = raw.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let changed = match &request.known {
            _ if created => Some(true),
            Some(known) => Some(now != Some(known.as_str())),
            None => None,
        };
        Ok(AppliedObject { raw, created, changed })
    }

    /// Says what an apply would leave, without doing it.
    pub(super) fn dry_run(&mut self, key: &ObjectKey, manifest: &Value) -> Result<Value, Error> {
        let (object, version, uids) = (self.objects.get(key).cloned(), self.version, self.uids);
        let happened = self.history.len();
        let result = self.apply_as(FIELD_MANAGER, key, manifest, true);
        match object {
            Some(object) => self.objects.insert(key.clone(), object),
            None => self.objects.remove(key),
        };
        (self.version, self.uids) = (version, uids);
        self.history.truncate(happened);
        let result = result.map(|(raw, _)| raw);
        result.map_err(|refusal| refusal.about(format!("dry-run {key}")))
    }

    /// Makes greffier the owner of what earlier writers own, if its own fields are as it applied
    /// them. Returns the object, and whether there is something to be removed now.
    pub(super) fn take_over(
        &mut self,
        key: &ObjectKey,
        uid: &str,
        baseline: Digest,
    ) -> Result<(Value, bool), Error> {
        let (subject, message) = (format!("take over {key}"), "it has changed".to_owned());
        let Some(before) = self.objects.get(key).cloned() else {
            return Err(Error::Conflict { subject, message });
        };
        let raw = before.shown();
        let live = normalize(&raw, &Key).expect("the fake makes whole objects");
        if live.uid != uid || live.owned != Some(baseline) {
            return Err(Error::Conflict { subject, message });
        }
        let Some(transfer) = transfer(&raw, &live.fields, None) else { return Ok((raw, false)) };
        let mut object = before.clone();
        let entries = transfer.managed_fields.as_array().cloned().unwrap_or_default();
        object.entries = entries.iter().map(Entry::parse).collect();
        Ok((self.store(key, &before, object, false), transfer.surplus))
    }

    pub(super) fn delete(&mut self, request: &DeleteRequest) -> Result<DeleteResult, Error> {
        let subject = format!("delete {}", request.key);
        let Some(object) = self.objects.get(&request.key) else {
            return Ok(DeleteResult::AlreadyGone);
        };
        let has = |field: &str, wanted: &str| object.value["metadata"][field] == wanted;
        let version = &request.resource_version;
        if !has("uid", &request.uid) || !(version.is_empty() || has("resourceVersion", version)) {
            let message = "the precondition does not hold".to_owned();
            return Err(Error::Conflict { subject, message });
        }
        self.begin_deletion(&request.key, request.propagation == Propagation::Foreground);
        Ok(DeleteResult::Deleted)
    }

    // --- everybody's writes

    /// Server-side apply. Returns the object, and whether it was created.
    pub(super) fn apply_as(
        &mut self,
        manager: &str,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<(Value, bool), Refusal> {
        if manifest.to_string().contains(REFUSED) {
            return Err(Refusal::Invalid);
        }
        let wanted = leaves(manifest);
        let (mut object, created) = match self.objects.get(key) {
            Some(object) => (object.clone(), false),
            None => (self.newborn(key, manifest)?, true),
        };
        let before = object.clone();
        let taken: BTreeSet<Path> = wanted
            .iter()
            .filter(|(path, value)| get(&object.value, path) != Some(*value))
            .map(|(path, _)| path.clone())
            .collect();
        let others = object.entries.iter().filter(|entry| !entry.is(manager, "Apply"));
        if !force && others.clone().any(|entry| !entry.fields.is_disjoint(&taken)) {
            return Err(Refusal::Conflict);
        }
        for entry in object.entries.iter_mut().filter(|entry| !entry.is(manager, "Apply")) {
            entry.fields.retain(|path| !taken.contains(path));
        }
        let own = object.entry(manager, "Apply");
        let dropped: Vec<Path> =
            own.fields.iter().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        own.fields = wanted.keys().cloned().collect();
        for path in dropped {
            if !object.entries.iter().any(|entry| entry.fields.contains(&path)) {
                remove(&mut object.value, &path);
            }
        }
        for (path, value) in wanted {
            set(&mut object.value, &path, value);
        }
        Ok((self.store(key, &before, object, created), created))
    }

    /// Changes an object as `kubectl edit` does, or creates it.
    pub(super) fn update_as(&mut self, manager: &str, key: &ObjectKey, edit: impl Fn(&mut Value)) {
        let (mut object, created) = match self.objects.get(key) {
            Some(object) => (object.clone(), false),
            None => match self.newborn(key, &bare(key)) {
                Ok(object) => (object, true),
                Err(_) => return,
            },
        };
        let before = object.clone();
        let was = leaves(&object.value);
        edit(&mut object.value);
        let now = leaves(&object.value);
        let changed: BTreeSet<Path> = now
            .iter()
            .filter(|(path, v)| was.get(*path) != Some(*v))
            .map(|(p, _)| p.clone())
            .collect();
        for entry in &mut object.entries {
            entry.fields.retain(|path| now.contains_key(path) && !changed.contains(path));
        }
        object.entry(manager, "Update").fields.extend(changed);
        self.store(key, &before, object, created);
    }

    /// Clears who owns what, as anybody may.
    pub(super) fn disown(&mut self, key: &ObjectKey) {
        let Some(before) = self.objects.get(key).cloned() else { return };
        let object = Object { entries: Vec::new(), ..before.clone() };
        self.store(key, &before, object, false);
    }

    /// Deletes an object as `kubectl delete` does.
    pub(super) fn delete_as_a_person(&mut self, key: &ObjectKey) {
        self.begin_deletion(key, false);
    }

    /// Reports the status of what has one, and lets what waits for its finalizers go: one step
    /// of the cluster's own controllers. Returns whether there was anything to do.
    pub(super) fn control(&mut self) -> bool {
        let keys = self.keys();
        keys.iter().any(|key| self.report(key) || self.finish_deletion(key))
    }

    /// Status moves that mean nothing: counters and times, as autoscalers and heartbeats have.
    pub(super) fn beat(&mut self) {
        for key in self.keys().into_iter().filter(|key| key.kind() == "Deployment") {
            let before = self.objects[&key].clone();
            let mut object = before.clone();
            let beats = object.value["status"]["beats"].as_u64().unwrap_or(0);
            object.value["status"]["beats"] = json!(beats + 1);
            self.store(&key, &before, object, false);
        }
    }

    // --- within

    fn newborn(&mut self, key: &ObjectKey, manifest: &Value) -> Result<Object, Refusal> {
        if !key.namespace().is_empty() {
            let namespace = ObjectKey::new("", "Namespace", "", key.namespace());
            match self.objects.get(&namespace) {
                None => return Err(Refusal::NamespaceMissing(key.namespace().to_owned())),
                Some(namespace) if namespace.is_deleting() => {
                    return Err(Refusal::NamespaceTerminating(key.namespace().to_owned()));
                }
                Some(_) => {}
            }
        }
        self.uids += 1;
        let mut value = json!({
            "apiVersion": manifest["apiVersion"], "kind": key.kind(),
            "metadata": {"name": key.name(), "uid": format!("uid-{}", self.uids)},
        });
        if !key.namespace().is_empty() {
            value["metadata"]["namespace"] = json!(key.namespace());
        }
        Ok(Object { value, entries: Vec::new() })
    }

    /// Stores an object unless nothing changed, and shows it as it is now.
    fn store(
        &mut self,
        key: &ObjectKey,
        before: &Object,
        mut object: Object,
        created: bool,
    ) -> Value {
        object.entries.retain(|entry| !entry.fields.is_empty());
        if key.kind() == "Deployment" && object.value.pointer("/spec/replicas").is_none() {
            object.value["spec"]["replicas"] = json!(1);
        }
        if object == *before && !created {
            return object.shown();
        }
        self.version += 1;
        object.value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object.value.get("spec").is_some()
            && (created || object.value["spec"] != before.value["spec"])
        {
            let generation = object.value["metadata"]["generation"].as_i64().unwrap_or(0);
            object.value["metadata"]["generation"] = json!(generation + 1);
        }
        let shown = object.shown();
        self.objects.insert(key.clone(), object);
        self.happened(key, false, shown.clone());
        shown
    }

    fn happened(&mut self, key: &ObjectKey, deleted: bool, object: Value) {
        self.history.push(Change { key: key.clone(), deleted, object });
    }

    fn begin_deletion(&mut self, key: &ObjectKey, foreground: bool) {
        let Some(before) = self.objects.get(key).cloned() else { return };
        let mut object = before.clone();
        let mut finalizers: Vec<Value> = object.finalizers();
        if foreground && !finalizers.contains(&json!(FOREGROUND)) && !object.is_deleting() {
            finalizers.push(json!(FOREGROUND));
        }
        if finalizers.is_empty() && key.kind() != "Namespace" {
            return self.gone(key);
        }
        object.value["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:00:00Z");
        if !finalizers.is_empty() {
            object.value["metadata"]["finalizers"] = Value::Array(finalizers);
        }
        self.store(key, &before, object, false);
    }

    fn finish_deletion(&mut self, key: &ObjectKey) -> bool {
        if !self.is_deleting(key) {
            return false;
        }
        let inside: Vec<ObjectKey> =
            self.objects.keys().filter(|other| other.namespace() == key.name()).cloned().collect();
        if key.kind() == "Namespace" && !inside.is_empty() {
            return inside.iter().any(|inner| {
                let begun = !self.is_deleting(inner);
                self.begin_deletion(inner, false);
                begun
            });
        }
        self.gone(key);
        true
    }

    fn gone(&mut self, key: &ObjectKey) {
        let Some(mut object) = self.objects.remove(key) else { return };
        self.version += 1;
        object.value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let shown = object.shown();
        self.happened(key, true, shown);
    }

    fn report(&mut self, key: &ObjectKey) -> bool {
        let Some(before) = self.objects.get(key).cloned() else { return false };
        let bound = json!({"phase": "Bound"});
        if key.kind() == "PersistentVolumeClaim" && before.value["status"] != bound {
            let mut object = before.clone();
            object.value["status"] = bound;
            self.store(key, &before, object, false);
            return true;
        }
        if key.kind() != "Deployment" {
            return false;
        }
        let (generation, replicas) =
            (&before.value["metadata"]["generation"], &before.value["spec"]["replicas"]);
        let status = json!({
            "beats": before.value["status"]["beats"], "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
        });
        if before.value["status"] == status {
            return false;
        }
        let mut object = before.clone();
        object.value["status"] = status;
        self.store(key, &before, object, false);
        true
    }
}

impl Object {
    fn entry(&mut self, manager: &str, operation: &'static str) -> &mut Entry {
        let found = self.entries.iter().position(|entry| entry.is(manager, operation));
        let at = found.unwrap_or_else(|| {
            let manager = manager.to_owned();
            self.entries.push(Entry { manager, operation, fields: BTreeSet::new() });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }

    fn is_deleting(&self) -> bool {
        self.value.pointer("/metadata/deletionTimestamp").is_some()
    }

    fn finalizers(&self) -> Vec<Value> {
        self.value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
    }

    /// The object as the API server answers with it.
    fn shown(&self) -> Value {
        let mut value = self.value.clone();
        let entries = self.entries.iter().map(|entry| {
            json!({
                "manager": entry.manager, "operation": entry.operation,
                "apiVersion": value["apiVersion"], "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(&entry.fields),
            })
        });
        let entries: Value = entries.collect();
        value["metadata"]["managedFields"] = entries;
        value
    }
}

impl Entry {
    fn parse(entry: &Value) -> Self {
        let mut fields = BTreeSet::new();
        owned_paths(&entry["fieldsV1"], &mut Vec::new(), &mut fields);
        let operation = if entry["operation"] == "Apply" { "Apply" } else { "Update" };
        let manager = entry["manager"].as_str().unwrap_or_default().to_owned();
        Self { manager, operation, fields }
    }

    fn is(&self, manager: &str, operation: &str) -> bool {
        self.manager == manager && self.operation == operation
    }
}

/// Why a write is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Invalid,
    Conflict,
    NamespaceMissing(String),
    NamespaceTerminating(String),
}

impl Refusal {
    fn about(self, subject: String) -> Error {
        let message = "as the fake was told".to_owned();
        match self {
            Self::Invalid => {
                Error::Refused { subject, status: 422, reason: "Invalid".into(), message }
            }
            Self::Conflict => Error::Conflict { subject, message },
            Self::NamespaceMissing(namespace) => Error::NamespaceMissing { subject, namespace },
            Self::NamespaceTerminating(namespace) => {
                Error::NamespaceTerminating { subject, namespace }
            }
        }
    }
}

/// An object without content.
fn bare(key: &ObjectKey) -> Value {
    let version = if key.group().is_empty() { "v1".into() } else { format!("{}/v1", key.group()) };
    json!({"apiVersion": version})
}

/// Every field that managers can own, with its value.
fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    let Some(fields) = object.as_object() else { return found };
    for (name, value) in fields {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for part in ["labels", "annotations"] {
                    if let Some(value) = value.get(part) {
                        collect(value, &mut vec![name.clone(), part.into()], &mut found);
                    }
                }
            }
            _ => collect(value, &mut vec![name.clone()], &mut found),
        }
    }
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        leaf => {
            found.insert(path.clone(), leaf.clone());
        }
    }
}

fn get<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn set(value: &mut Value, path: &[String], leaf: Value) {
    let mut place = value;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name];
    }
    *place = leaf;
}

/// Removes a field, and the maps that are empty without it.
fn remove(value: &mut Value, path: &[String]) {
    let [name, rest @ ..] = path else { return };
    let Some(fields) = value.as_object_mut() else { return };
    if let Some(below) = fields.get_mut(name).filter(|_| !rest.is_empty()) {
        remove(below, rest);
    }
    let empty = fields.get(name).and_then(Value::as_object).is_some_and(Map::is_empty);
    if rest.is_empty() || empty {
        fields.remove(name);
    }
}

fn owned_paths(fields_v1: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    let below: Vec<_> =
        fields_v1.as_object().into_iter().flatten().filter(|(edge, _)| *edge != ".").collect();
    if below.is_empty() && !path.is_empty() {
        found.insert(path.clone());
    }
    for (edge, deeper) in below {
        path.push(edge.strip_prefix("f:").unwrap_or(edge).to_owned());
        owned_paths(deeper, path, found);
        path.pop();
    }
}

fn fields_v1(paths: &BTreeSet<Path>) -> Value {
    let mut fields = json!({});
    for path in paths {
        let path: Path = path.iter().map(|name| format!("f:{name}")).collect();
        set(&mut fields, &path, json!({}));
    }
    fields
}

/// The field set of whoever applies exactly `manifest`.
pub(super) fn owned_fields(manifest: &Value) -> Value {
    fields_v1(&leaves(manifest).into_keys().collect())
}

/// Whether `live` has every value of `manifest`.
pub(super) fn agrees(live: &Value, manifest: &Value) -> bool {
    leaves(manifest).iter().all(|(path, value)| get(live, path) == Some(value))
}
