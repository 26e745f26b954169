//! What an API server does with writes, as far as greffier's decisions rest on it.
//!
//! One suite for two subjects: the simulation's fake (`reconcile::simulation`) and a real API
//! server behind the real connection (`tests/it/cluster_contract.rs`). What is compared is what
//! greffier sees: digests, owned fields, uids, resource versions, error classes; not bytes.

use greffier::cluster::{
    AppliedObject, ApplyRequest, Class, DeleteRequest, DeleteResult, Error, Normalised, Propagation,
};
use greffier::model::ObjectKey;
use serde_json::{Value, json};

/// An API server under test.
pub(crate) trait Subject {
    /// A namespace that is there and that no other case uses.
    fn namespace(&mut self) -> String;
    /// Greffier applies.
    fn apply(&mut self, request: &ApplyRequest) -> Result<AppliedObject, Error>;
    /// Greffier deletes.
    fn delete(&mut self, request: &DeleteRequest) -> Result<DeleteResult, Error>;
    /// Greffier reads.
    fn get(&mut self, key: &ObjectKey) -> Option<Value>;
    /// Another applies by server-side apply, by force.
    fn apply_as(&mut self, manager: &str, key: &ObjectKey, manifest: &Value);
    /// Another sends a JSON merge patch.
    fn merge_as(&mut self, manager: &str, key: &ObjectKey, patch: &Value);
    /// A person deletes, in the background.
    fn remove(&mut self, key: &ObjectKey);
    /// Waits until the controllers of the cluster have let the object go.
    fn until_gone(&mut self, key: &ObjectKey);
    /// What greffier makes of an object.
    fn normalise(&self, raw: &Value) -> Normalised;
}

/// What is said, and how it is tried.
pub(crate) type Case = (&'static str, fn(&mut dyn Subject));

/// Every case.
pub(crate) const CASES: &[Case] = &[
    ("an apply creates and owns exactly what it says", creates),
    ("the same apply again changes nothing", same_again),
    ("a field that an apply drops is removed unless another owns it", drops),
    ("force takes fields over and without it there is a conflict", conflicts),
    ("an edit takes the fields that it changes", edits),
    ("a field that others add is theirs", additions),
    ("a field that others remove is nobody's until it is applied again", removals),
    ("ownership that was cleared comes back with an apply", disowned),
    ("a delete is bound to what was looked at", bound_deletes),
    ("a finalizer keeps an object and a new one has a new uid", finalizers),
    ("a foreground delete ends", foreground),
    ("the generation counts changes of the specification", generations),
    ("nothing is created in a namespace that is not there", no_namespace),
];

fn map_key(subject: &mut dyn Subject) -> ObjectKey {
    ObjectKey::new("", "ConfigMap", subject.namespace(), "c")
}

fn map(key: &ObjectKey, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": key.name(), "namespace": key.namespace(), "labels": {"team": "a"}},
        "data": data})
}

fn request(key: &ObjectKey, manifest: Value) -> ApplyRequest {
    ApplyRequest {
        key: key.clone(),
        version: "v1".into(),
        manifest,
        audit_id: String::new(),
        force: true,
        validate: true,
        known: None,
        uid: None,
    }
}

fn apply(subject: &mut dyn Subject, key: &ObjectKey, data: Value) -> Normalised {
    let applied = subject.apply(&request(key, map(key, data))).expect("the apply is taken");
    subject.normalise(&applied.raw)
}

fn seen(subject: &mut dyn Subject, key: &ObjectKey) -> Normalised {
    let raw = subject.get(key).expect("the object is there");
    subject.normalise(&raw)
}

fn deletion(object: &Normalised, propagation: Propagation) -> DeleteRequest {
    DeleteRequest {
        key: object.key.clone(),
        version: object.version.clone(),
        uid: object.uid.clone(),
        resource_version: object.resource_version.clone(),
        propagation,
        audit_id: String::new(),
    }
}

/// The paths that greffier owns, as `f:data/f:k`.
fn owned(object: &Normalised) -> Vec<String> {
    fn walk(fields: &Value, path: &str, found: &mut Vec<String>) {
        let below: Vec<_> =
            fields.as_object().into_iter().flatten().filter(|(edge, _)| *edge != ".").collect();
        if below.is_empty() && !path.is_empty() {
            found.push(path.to_owned());
        }
        for (edge, deeper) in below {
            let path = if path.is_empty() { edge.clone() } else { format!("{path}/{edge}") };
            walk(deeper, &path, found);
        }
    }
    let mut found = Vec::new();
    for entry in object.fields.iter().filter(|entry| entry.is_own()) {
        walk(&entry.fields_v1, "", &mut found);
    }
    found.sort();
    found
}

fn creates(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let applied = subject.apply(&request(&key, map(&key, json!({"k": "1"})))).unwrap();
    assert!(applied.created && applied.changed == Some(true));
    let object = subject.normalise(&applied.raw);
    assert_eq!(owned(&object), ["f:data/f:k", "f:metadata/f:labels/f:team"]);
    assert!(!object.uid.is_empty() && !object.deleting);
    let again = seen(subject, &key);
    assert_eq!((again.digest, again.owned), (object.digest, object.owned));
    assert_eq!(again.resource_version, object.resource_version);
}

fn same_again(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1"}));
    let known = Some(first.resource_version.clone());
    let again = ApplyRequest { known, ..request(&key, map(&key, json!({"k": "1"}))) };
    let again = subject.apply(&again).unwrap();
    assert_eq!((again.created, again.changed), (false, Some(false)));
    assert_eq!(subject.normalise(&again.raw).resource_version, first.resource_version);
}

fn drops(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1", "shared": "1", "own": "1"}));
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": key.name(), "namespace": key.namespace()}, "data": {"shared": "1"}});
    subject.apply_as("other", &key, &theirs);
    let object = apply(subject, &key, json!({"k": "1"}));
    assert_eq!(object.object["data"], json!({"k": "1", "shared": "1"}));
    assert_eq!(owned(&object), ["f:data/f:k", "f:metadata/f:labels/f:team"]);
    assert_eq!(object.uid, first.uid);
    assert_ne!(object.resource_version, first.resource_version);
}

fn conflicts(subject: &mut dyn Subject) {
    let key = map_key(subject);
    apply(subject, &key, json!({"k": "1"}));
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": key.name(), "namespace": key.namespace()}, "data": {"k": "theirs"}});
    subject.apply_as("other", &key, &theirs);
    let taken = seen(subject, &key);
    assert_eq!(owned(&taken), ["f:metadata/f:labels/f:team"]);
    let gentle = ApplyRequest { force: false, ..request(&key, map(&key, json!({"k": "1"}))) };
    let refused = subject.apply(&gentle).map(|_| ()).unwrap_err();
    assert_eq!(refused.class(), Class::Conflict, "{refused}");
    let back = apply(subject, &key, json!({"k": "1"}));
    assert_eq!(back.object["data"], json!({"k": "1"}));
    assert_eq!(owned(&back), ["f:data/f:k", "f:metadata/f:labels/f:team"]);
}

fn edits(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1", "l": "1"}));
    subject.merge_as("kubectl-edit", &key, &json!({"data": {"k": "2"}}));
    let edited = seen(subject, &key);
    assert_eq!(owned(&edited), ["f:data/f:l", "f:metadata/f:labels/f:team"]);
    assert_ne!((edited.digest, edited.owned), (first.digest, first.owned));
    assert_eq!(edited.uid, first.uid);
    let back = apply(subject, &key, json!({"k": "1", "l": "1"}));
    assert_eq!((back.digest, back.owned), (first.digest, first.owned));
}

fn additions(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1"}));
    subject.merge_as("kubectl-edit", &key, &json!({"data": {"more": "1"}}));
    let more = seen(subject, &key);
    assert_eq!(more.owned, first.owned);
    assert_ne!(more.digest, first.digest);
    let again = apply(subject, &key, json!({"k": "1"}));
    assert_eq!(again.object["data"], json!({"k": "1", "more": "1"}));
    assert_eq!(again.resource_version, more.resource_version, "there was nothing to change");
}

fn removals(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1", "l": "1"}));
    subject.merge_as("kubectl-edit", &key, &json!({"data": {"k": null}}));
    let without = seen(subject, &key);
    assert_eq!(without.object["data"], json!({"l": "1"}));
    assert_eq!(owned(&without), ["f:data/f:l", "f:metadata/f:labels/f:team"]);
    let back = apply(subject, &key, json!({"k": "1", "l": "1"}));
    assert_eq!((back.digest, back.owned), (first.digest, first.owned));
}

fn disowned(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1"}));
    subject.merge_as("kubectl-edit", &key, &json!({"metadata": {"managedFields": [{}]}}));
    let nobodys = seen(subject, &key);
    assert_eq!((nobodys.owned, nobodys.digest), (None, first.digest));
    let back = apply(subject, &key, json!({"k": "1"}));
    assert_eq!((back.digest, back.owned), (first.digest, first.owned));
}

fn bound_deletes(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1"}));
    subject.merge_as("kubectl-edit", &key, &json!({"data": {"more": "1"}}));
    let second = seen(subject, &key);
    let background = |object: &Normalised| deletion(object, Propagation::Background);
    let stale = subject.delete(&background(&first)).unwrap_err();
    assert_eq!(stale.class(), Class::Conflict, "{stale}");
    let stranger = DeleteRequest { uid: "another".into(), ..background(&second) };
    let stranger = subject.delete(&stranger).unwrap_err();
    assert_eq!(stranger.class(), Class::Conflict, "{stranger}");
    assert!(!seen(subject, &key).deleting);
    assert_eq!(subject.delete(&background(&second)).unwrap(), DeleteResult::Deleted);
    assert_eq!(subject.get(&key), None);
    assert_eq!(subject.delete(&background(&second)).unwrap(), DeleteResult::AlreadyGone);
}

fn finalizers(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let first = apply(subject, &key, json!({"k": "1"}));
    let kept = json!({"metadata": {"finalizers": ["example.org/slow"]}});
    subject.merge_as("controller", &key, &kept);
    let kept = seen(subject, &key);
    let request = deletion(&kept, Propagation::Background);
    assert_eq!(subject.delete(&request).unwrap(), DeleteResult::Deleted);
    let deleting = seen(subject, &key);
    assert!(deleting.deleting && deleting.uid == first.uid);
    assert_ne!(deleting.resource_version, kept.resource_version);
    subject.merge_as("controller", &key, &json!({"metadata": {"finalizers": null}}));
    subject.until_gone(&key);
    let second = apply(subject, &key, json!({"k": "1"}));
    assert_ne!(second.uid, first.uid);
    subject.remove(&key);
    assert_eq!(subject.get(&key), None);
}

fn foreground(subject: &mut dyn Subject) {
    let key = map_key(subject);
    let object = apply(subject, &key, json!({"k": "1"}));
    let request = deletion(&object, Propagation::Foreground);
    assert_eq!(subject.delete(&request).unwrap(), DeleteResult::Deleted);
    subject.until_gone(&key);
}

fn generations(subject: &mut dyn Subject) {
    let key = ObjectKey::new("apps", "Deployment", subject.namespace(), "d");
    let manifest = |replicas: u32, label: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": key.name(), "namespace": key.namespace(), "labels": {"l": label}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "c"}]}}}})
    };
    let mut apply = |replicas, label| {
        let applied = subject.apply(&request(&key, manifest(replicas, label))).unwrap();
        subject.normalise(&applied.raw).generation
    };
    assert_eq!([apply(0, "x"), apply(0, "y"), apply(1, "y")], [1, 1, 2]);
}

fn no_namespace(subject: &mut dyn Subject) {
    let key = ObjectKey::new("", "ConfigMap", "not-there", "c");
    let refused = subject.apply(&request(&key, map(&key, json!({})))).map(|_| ()).unwrap_err();
    assert_eq!(refused.class(), Class::NamespaceMissing, "{refused}");
}
