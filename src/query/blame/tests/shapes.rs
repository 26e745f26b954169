//! What tells the items of a list apart, case by case.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fields::{at, changes, leaves};
use super::super::path;
use super::super::schema::Schema;
use super::super::state::{Owners, State};
use crate::cluster::field_set::FieldSet;

fn paths(schema: &Schema, object: &Value) -> Vec<String> {
    leaves(schema, object).iter().map(|leaf| path::text(&leaf.place)).collect()
}

fn changed(schema: &Schema, was: &Value, now: &Value) -> Vec<String> {
    changes(schema, was, now).iter().map(|change| path::text(&change.place)).collect()
}

#[test]
fn kinds_of_kubernetes_are_known_without_field_managers() {
    let schema = Schema::of_group("apps");
    let object = json!({"spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{
            "name": "web", "command": ["a", "b"], "env": [{"name": "A", "value": "1"}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "volumeMounts": [{"mountPath": "/x", "name": "v"}]}]}}}});
    let container = ".spec.template.spec.containers[name=web]";
    let below = |field: &str| format!("{container}.{field}");
    assert_eq!(
        paths(&schema, &object),
        [
            ".spec.selector".to_owned(),
            below("name"),
            below("command"),
            below("env[name=A].name"),
            below("env[name=A].value"),
            below("ports[containerPort=80,protocol=TCP].containerPort"),
            below("ports[containerPort=80,protocol=TCP].protocol"),
            below("volumeMounts[mountPath=/x].mountPath"),
            below("volumeMounts[mountPath=/x].name"),
        ]
    );
    // A manifest leaves the protocol to its default and is found all the same.
    let manifest = json!({"ports": [{"containerPort": 80, "name": "http"}]});
    let place = ["f:ports", r#"k:{"containerPort":80,"protocol":"TCP"}"#, "f:name"];
    let place: Vec<String> = place.iter().map(|edge| (*edge).to_owned()).collect();
    assert_eq!(at(&schema, &manifest, &place), Some(&json!("http")));
    let service = json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}});
    assert!(
        paths(&Schema::of_group(""), &service)[0].starts_with(".spec.ports[port=80,protocol=TCP]")
    );
    let slice = json!({"ports": [{"port": 80, "protocol": "TCP", "name": ""}]});
    assert_eq!(paths(&Schema::of_group("discovery.k8s.io"), &slice), [".ports"]);
}

#[test]
fn lists_of_other_kinds_are_told_by_position_until_field_sets_tell() {
    let mut schema = Schema::of_group("example.org");
    let object = json!({"metadata": {"finalizers": ["f"]}, "spec": {
        "rows": [{"id": "a", "v": 1}], "args": ["x"], "sel": {"m": 1}, "tags": ["t"]}});
    let found = leaves(&schema, &object);
    let by_position: Vec<String> =
        found.iter().filter(|l| l.by_position).map(|l| path::text(&l.place)).collect();
    assert_eq!(
        by_position,
        [".spec.rows[0].id", ".spec.rows[0].v", ".spec.args[0]", ".spec.tags[0]"]
    );
    assert_eq!(
        paths(&schema, &object)[0],
        ".metadata.finalizers[f]",
        "metadata is Kubernetes' own"
    );
    schema.learn(
        &object,
        &json!({"f:spec": {
        "f:rows": {".": {}, "k:{\"id\":\"a\"}": {".": {}, "f:id": {}, "f:v": {}}},
        "f:args": {}, "f:sel": {}, "f:tags": {"v:\"t\"": {}}}}),
    );
    assert_eq!(
        paths(&schema, &object)[1..],
        [".spec.rows[id=a].id", ".spec.rows[id=a].v", ".spec.args", ".spec.sel", ".spec.tags[t]"]
    );
}

#[test]
fn what_is_owned_in_part_is_not_atomic_whoever_applied_it_empty() {
    let mut schema = Schema::of_group("apps");
    let object = json!({"spec": {"resources": {"limits": {"cpu": "1"}}}});
    schema.learn(&object, &json!({"f:spec": {"f:resources": {}}}));
    assert_eq!(paths(&schema, &object), [".spec.resources"]);
    schema.learn(&object, &json!({"f:spec": {"f:resources": {"f:limits": {"f:cpu": {}}}}}));
    assert_eq!(paths(&schema, &object), [".spec.resources.limits.cpu"]);
}

#[test]
fn the_order_of_items_with_keys_says_nothing_and_that_of_an_atomic_list_does() {
    let schema = Schema::of_group("apps");
    let pod = |names: [&str; 2], args: Value| {
        let items: Vec<Value> = names.iter().map(|n| json!({"name": n, "args": args})).collect();
        json!({"containers": items})
    };
    let before = pod(["a", "b"], json!(["1", "2"]));
    assert_eq!(changed(&schema, &before, &pod(["b", "a"], json!(["1", "2"]))), [""; 0]);
    assert_eq!(
        changed(&schema, &before, &pod(["a", "b"], json!(["2", "1"]))),
        [".containers[name=a].args", ".containers[name=b].args"]
    );
}

#[test]
fn items_with_equal_keys_are_told_by_position() {
    let schema = Schema::of_group("apps");
    let object = json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]});
    let found = leaves(&schema, &object);
    assert_eq!(path::text(&found[2].place), ".env[1].name");
    assert_eq!((found[0].by_position, found[2].by_position), (false, true));
}

/// kubectl-blame#11: two managers may own a field, and the last one to write it is told although
/// the value stayed as it was.
#[test]
fn who_writes_what_is_there_already_is_the_last_writer_and_introduced_nothing() {
    let schema = Schema::of_group("apps");
    let owners = |managers: &[&str]| -> Owners {
        let set = FieldSet::parse(&json!({"f:spec": {"f:replicas": {}}}));
        let set = Arc::new(set);
        managers
            .iter()
            .map(|m| (((*m).to_owned(), "Apply".to_owned(), String::new()), Arc::clone(&set)))
            .collect()
    };
    let object = |replicas: u32| json!({"spec": {"replicas": replicas}});
    let mut state = State::default();
    state.begin(&schema, 0, &object(2));
    state.go_on(&schema, 1, &object(2), &object(3));
    state.go_on(&schema, 2, &object(3), &object(3));
    state.owned(2, &owners(&["a"]), &owners(&["a", "b"]));
    let entry = state.entries.values().next().unwrap();
    assert_eq!((entry.set, entry.since, entry.previous.as_ref()), (2, 1, Some(&json!(2))));
    // A → B → A: the value of before is another one than the one that is there.
    state.go_on(&schema, 3, &object(3), &object(2));
    let entry = state.entries.values().next().unwrap();
    assert_eq!((entry.set, entry.since), (3, 3));
}

#[test]
fn what_is_removed_and_comes_back_begins_anew() {
    let schema = Schema::of_group("");
    let object = |labels: Value| json!({"metadata": {"labels": labels}});
    let mut state = State::default();
    state.begin(&schema, 0, &object(json!({"a": "1", "b": "1"})));
    state.go_on(&schema, 1, &object(json!({"a": "1", "b": "1"})), &object(json!({"a": "1"})));
    let (place, tombstone) = state.removed.iter().next().unwrap();
    assert_eq!(path::text(place), ".metadata.labels.b");
    assert_eq!((tombstone.removed, tombstone.set, &tombstone.last), (1, 0, &json!("1")));
    state.go_on(&schema, 2, &object(json!({"a": "1"})), &object(json!({"a": "1", "b": "1"})));
    assert!(state.removed.is_empty());
    assert_eq!(state.entries.values().map(|entry| entry.since).collect::<Vec<_>>(), [0, 2]);
}
