use serde_json::json;

use super::super::normalize::normalize;
use super::super::normalize::tests::TestKey;
use super::*;
use crate::ledger::event::DriftKind;

fn pointers(pointers: &[&str]) -> Mask {
    Mask { pointers: pointers.iter().map(|p| (*p).to_owned()).collect(), ..Mask::default() }
}

fn managers(names: &[&str]) -> Mask {
    Mask { managers: names.iter().map(|n| (*n).to_owned()).collect(), ..Mask::default() }
}

fn paths(paths: Value) -> Vec<Vec<Value>> {
    serde_json::from_value(paths).unwrap()
}

fn left(object: &Value, mask: &Mask, found: Value) -> Value {
    let masked = Masked::of(object, &[], mask, &paths(found)).unwrap();
    without(object, &masked)
}

#[test]
fn pointers_lead_to_fields_and_items() {
    let object = json!({"a": {"b/c": 1, "d~e": 2}, "l": [{"x": 1}, {"x": 2}, {"x": 3}]});
    let mask =
        pointers(&["/a/b~1c", "/a/d~0e", "/l/0", "/l/1/x", "/l/9", "/l/x", "/none/at/all", ""]);
    assert_eq!(left(&object, &mask, json!([])), json!({"a": {}, "l": [{}, {"x": 3}]}));
}

#[test]
fn paths_of_jq_lead_to_fields_items_and_slices() {
    let object = json!({"a": {"b": 1}, "l": [1, 2, 3, 4, 5]});
    let none = Mask::default();
    for (found, expected) in [
        (json!([["a", "b"]]), json!({"a": {}, "l": [1, 2, 3, 4, 5]})),
        (json!([["l", 0], ["l", 1]]), json!({"a": {"b": 1}, "l": [3, 4, 5]})),
        (json!([["l", -1]]), json!({"a": {"b": 1}, "l": [1, 2, 3, 4]})),
        (json!([["l", {"start": 1, "end": -1}]]), json!({"a": {"b": 1}, "l": [1, 5]})),
        (json!([["l", {"start": null, "end": 2}]]), json!({"a": {"b": 1}, "l": [3, 4, 5]})),
        (json!([["none", "b"], ["l", "b"], ["a", 0], ["l", 9]]), object.clone()),
    ] {
        assert_eq!(left(&object, &none, found.clone()), expected, "{found}");
    }
    for (found, expected) in
        [(json!([[]]), Unusable::Whole), (json!([["l", true]]), Unusable::Step)]
    {
        assert_eq!(Masked::of(&object, &[], &none, &paths(found)), Err(expected));
    }
}

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
           "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn deployment(replicas: i64, image: &str, entries: &[Value]) -> Stored {
    let raw = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "managedFields": entries},
        "spec": {"replicas": replicas, "containers": [
            {"name": "log", "image": "log"}, {"name": "web", "image": image}]}});
    normalize(&raw, &TestKey("key")).unwrap().stored()
}

fn own(replicas: bool, image: bool) -> Value {
    let mut fields = json!({"f:spec": {"f:containers": {
        "k:{\"name\":\"log\"}": {".": {}, "f:image": {}, "f:name": {}},
        "k:{\"name\":\"web\"}": {".": {}, "f:name": {}}}}});
    if replicas {
        fields["f:spec"]["f:replicas"] = json!({});
    }
    if image {
        fields["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"]["f:image"] = json!({});
    }
    entry("greffier", "Apply", fields)
}

fn found(
    was: &Stored,
    now: &Stored,
    mask: &Mask,
    was_at: Value,
    now_at: Value,
) -> (DriftKind, Vec<String>) {
    let places = |object: &Stored, found: Value| {
        Masked::of(&object.object, &now.fields, mask, &paths(found)).unwrap()
    };
    let (was_masked, now_masked) = (places(was, was_at), places(now, now_at));
    let compared = compare_masked((was, &was_masked), (now, &now_masked), mask);
    (compared.kind, compared.fields.into_iter().map(|field| field.path).collect())
}

#[test]
fn an_ignored_field_is_no_drift_and_neither_is_the_loss_of_its_ownership() {
    let was = deployment(2, "web:1", &[own(true, true)]);
    let scaled = entry("scaler", "Update", json!({"f:spec": {"f:replicas": {}}}));
    let now = deployment(5, "web:1", &[own(false, true), scaled]);
    let none = || json!([]);
    let drift = (DriftKind::Drift, vec![".spec.replicas".to_owned()]);
    assert_eq!(found(&was, &now, &Mask::default(), none(), none()), drift);
    let calm = (DriftKind::None, Vec::new());
    assert_eq!(found(&was, &now, &pointers(&["/spec/replicas"]), none(), none()), calm);
    assert_eq!(found(&was, &now, &managers(&["scaler"]), none(), none()), calm);
    assert_eq!(found(&was, &now, &managers(&["other"]), none(), none()), drift);
    // The same value taken over by force is no loss that matters either.
    let same = deployment(2, "web:1", &[own(false, true)]);
    assert_eq!(found(&was, &same, &pointers(&["/spec/replicas"]), none(), none()), calm);
    assert_eq!(found(&was, &same, &Mask::default(), none(), none()).0, DriftKind::OwnershipLost);
    let lost = deployment(5, "web:1", &[own(false, false)]);
    let mask = pointers(&["/spec/replicas"]);
    assert_eq!(found(&was, &lost, &mask, none(), none()).0, DriftKind::OwnershipLost, "the image");
}

#[test]
fn the_field_of_a_list_item_is_ignored_wherever_the_item_is() {
    let was = deployment(2, "web:1", &[own(true, true)]);
    let mut now = deployment(2, "web:2", &[own(true, false)]);
    let containers = now.object["spec"]["containers"].as_array_mut().unwrap();
    containers.insert(0, json!({"name": "sidecar"}));
    let mask = Mask { jq: vec!["…".into()], ..Mask::default() };
    let at = |index: usize| json!([["spec", "containers", index, "image"]]);
    assert_eq!(found(&was, &now, &mask, at(1), at(2)), (DriftKind::None, Vec::new()));
    assert_eq!(found(&was, &now, &mask, json!([]), json!([])).0, DriftKind::Drift);
}

#[test]
fn what_a_manager_adds_whose_fields_are_left_to_it_is_not_announced() {
    let was = deployment(2, "web:1", &[own(true, true)]);
    let added = entry(
        "helper",
        "Update",
        json!({"f:metadata": {"f:labels": {"f:x": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"side\"}": {".": {}, "f:name": {}}}}}),
    );
    let mut now = deployment(2, "web:1", &[own(true, true), added]);
    now.object["metadata"]["labels"] = json!({"x": "1"});
    now.object["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "side"}));
    let none = || json!([]);
    assert_eq!(found(&was, &now, &managers(&["helper"]), none(), none()).0, DriftKind::None);
    let (kind, fields) = found(&was, &now, &pointers(&["/metadata/labels"]), none(), none());
    assert_eq!((kind, fields.len()), (DriftKind::Addition, 1), "{fields:?}");
}

#[test]
fn a_part_of_a_value_that_is_owned_as_a_whole_may_be_ignored() {
    let object = |team: &str, entries: &[Value]| {
        let raw = json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x",
            "managedFields": entries}, "spec": {"selector": {"team": team, "app": "web"}}});
        normalize(&raw, &TestKey("key")).unwrap().stored()
    };
    let fields = json!({"f:spec": {"f:selector": {}}});
    let was = object("a", &[entry("greffier", "Apply", fields.clone())]);
    let now = object("b", &[entry("other", "Update", fields)]);
    let mask = pointers(&["/spec/selector/team"]);
    assert_eq!(found(&was, &now, &mask, json!([]), json!([])).0, DriftKind::None);
    assert_eq!(found(&was, &now, &Mask::default(), json!([]), json!([])).0, DriftKind::Drift);
}

fn sent(manifest: &Value, live: &Value, mask: &Mask) -> Value {
    let masked = |object: &Value| Masked::of(object, &[], mask, &[]).unwrap();
    with_live((manifest, &masked(manifest)), (live, &masked(live)))
}

#[test]
fn the_live_value_of_what_is_ignored_is_sent() {
    let manifest = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"},
        "spec": {"replicas": 1, "size": 1, "l": [{"name": "a", "v": 1}, {"name": "b", "v": 1}],
                 "gone": true}});
    let live = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "uid": "u",
        "annotations": {"note": "kept", "other": "1"}},
        "spec": {"replicas": 7, "size": 2, "l": [{"name": "c", "v": 9}, {"name": "b", "v": 5, "w": 5}]}});
    let mask = pointers(&[
        "/spec/replicas",
        "/spec/gone",
        "/spec/l/1/v",
        "/spec/l/0",
        "/metadata/annotations/note",
        "/metadata/labels/none",
    ]);
    assert_eq!(
        sent(&manifest, &live, &mask),
        json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "annotations": {"note": "kept"}},
            "spec": {"replicas": 7, "size": 1,
                     "l": [{"name": "c", "v": 9}, {"name": "b", "v": 5}]}}),
        "pointers mean positions, and each side has its own"
    );
    assert_eq!(sent(&manifest, &live, &Mask::default()), manifest);
}

#[test]
fn what_names_an_object_is_never_ignored() {
    let manifest = json!({"apiVersion": "v1", "kind": "X",
        "metadata": {"name": "x", "namespace": "n", "labels": {"a": "1"}}});
    let raw = json!({"apiVersion": "v1", "kind": "X", "status": {"ready": true},
        "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7",
                     "managedFields": [], "creationTimestamp": "t", "labels": {"a": "2"}}});
    let live = sendable(&raw);
    for mask in [
        pointers(&["/metadata"]),
        pointers(&[
            "/apiVersion",
            "/kind",
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/labels",
        ]),
    ] {
        let mut expected = manifest.clone();
        expected["metadata"]["labels"]["a"] = json!("2");
        assert_eq!(sent(&manifest, &live, &mask), expected);
    }
}

#[test]
fn an_ignored_item_stays_where_the_manifest_has_it() {
    let object = |list: Value| json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "l": list});
    let sends = |git: Value, at_git: Value, live: Value, at_live: Value| {
        let (git, live) = (object(git), object(live));
        let masked = |object: &Value, found: Value| {
            Masked::of(object, &[], &Mask::default(), &paths(found)).unwrap()
        };
        let of = (masked(&git, at_git), masked(&live, at_live));
        with_live((&git, &of.0), (&live, &of.1))["l"].clone()
    };
    let item = |name: &str, v: i64| json!({"name": name, "v": v});
    let at = |indices: &[usize]| json!(indices.iter().map(|i| json!(["l", i])).collect::<Vec<_>>());
    // Keyed: `$(HOST)` is expanded from what comes before.
    assert_eq!(
        sends(
            json!([item("host", 1), item("url", 1)]),
            at(&[0]),
            json!([item("url", 2), item("host", 9)]),
            at(&[1])
        ),
        json!([item("host", 9), item("url", 1)])
    );
    // Atomic: by position.
    assert_eq!(
        sends(json!(["a", "b", "c"]), at(&[1]), json!(["a", "x", "c"]), at(&[1])),
        json!(["a", "x", "c"])
    );
    assert_eq!(
        sends(json!(["a", "b", "c"]), at(&[1]), json!(["b", "a", "c"]), at(&[1])),
        json!(["a", "a", "c"])
    );
    // What Git does not have goes behind what it follows in the cluster.
    assert_eq!(
        sends(
            json!([item("a", 1), item("b", 1)]),
            at(&[]),
            json!([item("x", 1), item("a", 1), item("y", 1), item("z", 1), item("b", 1)]),
            at(&[0, 2, 3])
        ),
        json!([item("x", 1), item("a", 1), item("y", 1), item("z", 1), item("b", 1)])
    );
    assert_eq!(
        sends(json!(["-v1", "b", "-v2"]), at(&[0, 2]), json!(["-v3", "b"]), at(&[0])),
        json!(["-v3", "b"])
    );
    assert_eq!(
        sends(json!(["y", "a"]), at(&[0]), json!(["x", "a", "y"]), at(&[0, 2])),
        json!(["x", "y", "a"]),
        "equal ones are the same one"
    );
    // In an item that only its position tells, what is ignored is that position's.
    let deep = json!([["l", 0], ["l", 1, "v"]]);
    assert_eq!(
        sends(
            json!([{"v": 1}, {"v": 1, "w": 1}]),
            deep.clone(),
            json!([{"v": 5}, {"v": 6, "w": 6}]),
            deep
        ),
        json!([{"v": 5}, {"w": 1, "v": 6}])
    );
}
