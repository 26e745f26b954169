use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cluster::normalize::{normalize, tests::TestKey};

/// A Deployment as an apply returns it; `edit` is what happened to it since.
fn object(edit: impl FnOnce(&mut Value)) -> Stored {
    let mut raw = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "prod",
            "labels": {"app": "web", "app.kubernetes.io/name": "web"},
            "managedFields": [{
                "manager": "greffier", "operation": "Apply", "apiVersion": "apps/v1",
                "time": "2026-11-23T10:00:00Z",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}, "f:app.kubernetes.io/name": {}}},
                    "f:spec": {
                        "f:replicas": {},
                        "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {
                            ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
                            "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                        }}}},
                    },
                },
            }],
        },
        "spec": {
            "replicas": 2, "revisionHistoryLimit": 10,
            "template": {"spec": {"containers": [{
                "name": "web", "image": "web:1", "args": ["-v"], "resources": {},
                "env": [{"name": "A", "value": "1"}],
            }]}},
        },
    });
    edit(&mut raw);
    normalize(&raw, &TestKey("key")).unwrap().stored()
}

fn container(raw: &mut Value) -> &mut Value {
    &mut raw["spec"]["template"]["spec"]["containers"][0]
}

/// Adds a managedFields entry.
fn by(raw: &mut Value, manager: &str, subresource: &str, fields: Value) {
    raw["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": manager, "operation": "Update", "apiVersion": "apps/v1",
        "subresource": subresource, "time": "2026-11-23T11:00:00Z", "fieldsV1": fields,
    }));
}

/// Removes something from greffier's own entry, as an edit by another manager does.
fn disown(raw: &mut Value, pointer: &str, edge: &str) {
    let own = raw["metadata"]["managedFields"][0]["fieldsV1"].pointer_mut(pointer).unwrap();
    own.as_object_mut().unwrap().remove(edge).unwrap();
}

fn lines(comparison: &Comparison) -> Vec<String> {
    let line = |field: &FieldChange| format!("{} {} -> {}", field.path, field.was, field.now);
    comparison.fields.iter().map(line).collect()
}

#[track_caller]
fn check(observed: &Stored, kind: DriftKind, fields: &[&str], managers: &[&str]) {
    let comparison = compare(&object(|_| {}), observed);
    assert_eq!(
        (comparison.kind, lines(&comparison)),
        (kind, fields.iter().map(|f| (*f).to_owned()).collect())
    );
    let named: Vec<_> = comparison.managers.iter().map(|stamp| stamp.manager.as_str()).collect();
    assert_eq!(named, managers);
}

#[test]
fn the_same_object_does_not_differ() {
    check(&object(|_| {}), DriftKind::None, &[], &[]);
}

#[test]
fn an_edited_field_is_drift_and_names_its_new_owner() {
    let observed = object(|raw| {
        raw["spec"]["replicas"] = json!(5);
        disown(raw, "/f:spec", "f:replicas");
        by(raw, "kubectl", "scale", json!({"f:spec": {"f:replicas": {}}}));
        by(raw, "bystander", "", json!({"f:metadata": {"f:labels": {"f:other": {}}}}));
    });
    check(&observed, DriftKind::Drift, &[".spec.replicas 2 -> 5"], &["kubectl"]);
}

#[test]
fn list_items_are_named_by_their_keys() {
    let observed = object(|raw| {
        container(raw)["image"] = json!("web:2");
        container(raw)["args"] = json!(["-q"]);
        container(raw)["env"] = json!([]);
    });
    let web = ".spec.template.spec.containers[name=web]";
    check(
        &observed,
        DriftKind::Drift,
        &[
            &format!("{web}.image \"web:1\" -> \"web:2\""),
            &format!("{web}.args [\"-v\"] -> [\"-q\"]"),
            &format!("{web}.env[name=A] {{\"name\":\"A\",\"value\":\"1\"}} -> "),
        ],
        &[],
    );
}

#[test]
fn removed_labels_are_drift_leaf_by_leaf_and_nobody_is_named() {
    let observed = object(|raw| {
        raw["metadata"].as_object_mut().unwrap().remove("labels");
        by(raw, "kubectl-edit", "", json!({"f:metadata": {"f:annotations": {"f:note": {}}}}));
    });
    check(
        &observed,
        DriftKind::Drift,
        &[
            ".metadata.labels.app \"web\" -> ",
            ".metadata.labels[app.kubernetes.io/name] \"web\" -> ",
        ],
        &[],
    );
}

#[test]
fn lost_ownership_of_right_values_is_not_drift() {
    let observed = object(|raw| disown(raw, "/f:spec", "f:replicas"));
    check(&observed, DriftKind::OwnershipLost, &[], &[]);
    let observed = object(|raw| raw["metadata"]["managedFields"] = json!([]));
    check(&observed, DriftKind::OwnershipLost, &[], &[]);
    let observed = object(|raw| raw["metadata"]["managedFields"][0]["fieldsV1"] = json!({}));
    check(&observed, DriftKind::OwnershipLost, &[], &[]);
}

#[test]
fn the_same_value_owned_by_others_too_is_nothing() {
    let observed = object(|raw| by(raw, "kubectl", "", json!({"f:spec": {"f:replicas": {}}})));
    check(&observed, DriftKind::None, &[], &[]);
}

#[test]
fn what_greffier_dropped_and_owns_again_is_drift() {
    // The cluster was restored to a time when the manifest still had the label.
    let observed = object(|raw| {
        raw["metadata"]["labels"]["team"] = json!("t0");
        let own = &mut raw["metadata"]["managedFields"][0]["fieldsV1"];
        own["f:metadata"]["f:labels"]["f:team"] = json!({});
    });
    check(&observed, DriftKind::Drift, &[r#".metadata.labels.team  -> "t0""#], &[]);
    // The value may be there anyway, in another's name or as a default.
    let observed = object(|raw| {
        raw["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:revisionHistoryLimit"] =
            json!({});
    });
    check(&observed, DriftKind::Drift, &[".spec.revisionHistoryLimit  -> 10"], &[]);
}

#[test]
fn what_people_add_is_an_addition() {
    let observed = object(|raw| {
        raw["metadata"]["labels"]["team"] = json!("a");
        container(raw)["env"].as_array_mut().unwrap().push(json!({"name": "B", "value": "2"}));
        raw["spec"]["revisionHistoryLimit"] = json!(3);
        by(
            raw,
            "kubectl-edit",
            "",
            json!({
                "f:metadata": {"f:labels": {"f:team": {}}, "f:annotations": {"f:gone": {}}},
                "f:spec": {"f:revisionHistoryLimit": {}, "f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"web\"}": {"f:env": {
                        "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}}}}}}}},
            }),
        );
    });
    check(
        &observed,
        DriftKind::Addition,
        &[
            ".metadata.labels.team  -> \"a\"",
            ".spec.revisionHistoryLimit 10 -> 3",
            ".spec.template.spec.containers[name=web].env[name=B]  -> {\"name\":\"B\",\"value\":\"2\"}",
        ],
        &["kubectl-edit"],
    );
}

#[test]
fn what_the_cluster_itself_adds_is_not_announced() {
    for manager in ["kube-controller-manager", "kubelet", "deployment-controller", "x-operator"] {
        let observed = object(|raw| {
            raw["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "2"});
            by(
                raw,
                manager,
                "",
                json!({"f:metadata": {"f:annotations": {
                ".": {}, "f:deployment.kubernetes.io/revision": {}}}}),
            );
        });
        check(&observed, DriftKind::None, &[], &[]);
    }
    let observed = object(|raw| by(raw, "alice", "status", json!({"f:spec": {"f:paused": {}}})));
    check(&observed, DriftKind::None, &[], &[]);
}

#[test]
fn filling_a_map_that_was_applied_empty_is_an_addition() {
    let observed = object(|raw| {
        container(raw)["resources"] = json!({"limits": {"cpu": "1"}});
        by(
            raw,
            "kubectl-set",
            "",
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {"f:resources": {"f:limits": {"f:cpu": {}}}}}}}}}),
        );
    });
    let path = ".spec.template.spec.containers[name=web].resources.limits.cpu  -> \"1\"";
    check(&observed, DriftKind::Addition, &[path], &["kubectl-set"]);
}

#[test]
fn drift_hides_additions_until_it_is_healed() {
    let observed = object(|raw| {
        raw["spec"]["replicas"] = json!(5);
        raw["metadata"]["labels"]["team"] = json!("a");
        by(
            raw,
            "edit",
            "",
            json!({"f:metadata": {"f:labels": {"f:team": {}}}, "f:spec": {"f:replicas": {}}}),
        );
    });
    check(&observed, DriftKind::Drift, &[".spec.replicas 2 -> 5"], &["edit"]);
}

#[test]
fn secret_values_are_never_shown() {
    let secret = |data: Value| {
        let raw = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db",
            "managedFields": [{"manager": "greffier", "operation": "Apply", "apiVersion": "v1",
                "fieldsV1": {"f:data": {".": {}, "f:password": {}}, "f:type": {}}}]},
            "data": data, "type": "Opaque"});
        normalize(&raw, &TestKey("key")).unwrap().stored()
    };
    let baseline = secret(json!({"password": "canary-1"}));
    let changed = compare(&baseline, &secret(json!({"password": "canary-2"})));
    assert_eq!(changed.kind, DriftKind::Drift);
    let field = &changed.fields[0];
    assert_eq!(field.path, ".data.password");
    assert!(field.was.starts_with("(secret ") && field.was.len() == 21, "{field:?}");
    assert_ne!(field.was, field.now);
    let removed = compare(&baseline, &secret(json!({})));
    assert_eq!(removed.fields[0].now, "");
    assert!(!format!("{changed:?}{removed:?}").contains("canary"));
}

#[test]
fn the_list_of_fields_and_their_texts_are_bounded() {
    let long = "é".repeat(VALUE_BYTES_MAX);
    let fields: Map<_, _> = (0..FIELDS_MAX + 20).map(|n| (format!("f:k{n}"), json!({}))).collect();
    let raw = |value: &str| {
        let data: Map<_, _> =
            (0..FIELDS_MAX + 20).map(|n| (format!("k{n}"), json!(value))).collect();
        let raw = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c",
            "managedFields": [{"manager": "greffier", "operation": "Apply", "apiVersion": "v1",
                "fieldsV1": {"f:data": fields}}]}, "data": data});
        normalize(&raw, &TestKey("key")).unwrap().stored()
    };
    let comparison = compare(&raw("x"), &raw(&long));
    assert_eq!(comparison.fields.len(), FIELDS_MAX);
    assert!(comparison.fields[0].now.len() <= VALUE_BYTES_MAX + '…'.len_utf8());
}

#[test]
fn a_baseline_without_own_fields_shows_additions_only() {
    let baseline = object(|raw| raw["metadata"]["managedFields"] = json!([]));
    let observed = object(|raw| {
        raw["metadata"]["managedFields"] = json!([]);
        raw["spec"]["replicas"] = json!(9);
        by(raw, "alice", "", json!({"f:spec": {"f:replicas": {}}}));
    });
    let comparison = compare(&baseline, &observed);
    assert_eq!(comparison.kind, DriftKind::Addition);
    assert_eq!(lines(&comparison), [".spec.replicas 2 -> 9"]);
}

proptest! {
    #[test]
    fn drift_is_found_exactly_when_an_owned_value_differs(
        replicas in 1..4_u32, image in "web:[12]", limit in 9..12_u32, team in proptest::option::of("[ab]"),
    ) {
        let observed = object(|raw| {
            raw["spec"]["replicas"] = json!(replicas);
            raw["spec"]["revisionHistoryLimit"] = json!(limit);
            container(raw)["image"] = json!(image);
            if let Some(team) = &team {
                raw["metadata"]["labels"]["team"] = json!(team);
            }
        });
        let comparison = compare(&object(|_| {}), &observed);
        let changed = usize::from(replicas != 2) + usize::from(image != "web:1");
        prop_assert_eq!(comparison.kind == DriftKind::Drift, changed > 0);
        prop_assert_eq!(comparison.fields.len(), changed);
    }

    #[test]
    fn hostile_ownership_does_not_panic(fields in "[a-z:.{}\"0-9]{0,20}", text in "[a-z]{0,5}") {
        let observed = object(|raw| {
            by(raw, &text, "", json!({fields.clone(): {fields.clone(): text.clone()}}));
            by(raw, &text, "", json!(fields.clone()));
        });
        let _ = compare(&object(|_| {}), &observed);
        let _ = compare(&observed, &object(|_| {}));
    }
}

#[test]
fn a_later_apply_of_greffier_is_told_by_its_time() {
    let changed = |time: Option<&str>, by_greffier: bool| {
        let observed = object(|raw| {
            container(raw)["image"] = json!("web:2");
            raw["metadata"]["managedFields"][0]["time"] = json!(time);
            if !by_greffier {
                disown(
                    raw,
                    "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"web\"}",
                    "f:image",
                );
                by(raw, "kubectl-edit", "", json!({"f:spec": {}}));
            }
        });
        let found = compare(&object(|_| {}), &observed);
        assert_eq!(found.kind, DriftKind::Drift);
        found.later
    };
    let at = |text| Timestamp::parse_rfc3339(text);
    assert_eq!(changed(Some("2026-11-23T10:00:01Z"), true), at("2026-11-23T10:00:01Z"));
    // It is the write that the baseline is of, or one before it, as in a cluster that was restored.
    for time in [Some("2026-11-23T10:00:00Z"), Some("2026-11-23T09:00:00Z"), None] {
        assert_eq!(changed(time, true), None, "{time:?}");
    }
    // An edit by somebody else does not move the time of greffier's own entry.
    assert_eq!(changed(Some("2026-11-23T10:00:00Z"), false), None);
}

/// Goal: items that greffier applied in one order and that follow each other in another one are
/// drift; items of others between them, or one that went, are no change of the order.
#[test]
fn another_order_of_own_items_is_drift() {
    let listed = |names: &[&str]| {
        object(|raw| {
            let item = |name: &&str| json!({"name": name, "image": "x"});
            let items: Vec<_> = names.iter().map(item).collect();
            raw["spec"]["template"]["spec"]["initContainers"] = json!(items);
            let own = &mut raw["metadata"]["managedFields"][0]["fieldsV1"];
            let own = &mut own["f:spec"]["f:template"]["f:spec"]["f:initContainers"];
            for name in ["migrate", "fetch"] {
                own[format!("k:{{\"name\":\"{name}\"}}")] = json!({".": {}, "f:name": {}});
            }
        })
    };
    let before = listed(&["migrate", "fetch"]);
    let found = compare(&before, &listed(&["fetch", "migrate"]));
    assert_eq!(found.kind, DriftKind::Drift);
    let line = ".spec.template.spec.initContainers[order] [\"migrate\",\"fetch\"] -> \
                [\"fetch\",\"migrate\"]";
    assert_eq!(lines(&found), [line]);
    assert_eq!(found.places[0].last().map(String::as_str), Some("o:"));
    let beside = compare(&before, &listed(&["sidecar", "migrate", "other", "fetch"]));
    assert_eq!(beside.kind, DriftKind::None, "{beside:?}");
    let gone = compare(&before, &listed(&["fetch"]));
    assert_eq!(lines(&gone).len(), 1, "{gone:?}");
}
