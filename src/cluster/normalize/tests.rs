use super::*;

/// A keyed digest for tests: enough to show that the key takes part.
pub(in crate::cluster) struct TestKey(pub(in crate::cluster) &'static str);

impl SecretDigest for TestKey {
    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of(&[self.0.as_bytes(), bytes].concat())
    }
}

fn normalized(raw: &Value) -> Normalised {
    normalize(raw, &TestKey("key")).unwrap()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "prod", "uid": "u-1", "resourceVersion": "10",
            "generation": 2, "labels": {"app": "web"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                OWNER_ANNOTATION: "shop",
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u-8"},
                {"apiVersion": "x.io/v1", "kind": "Shop", "name": "s", "uid": "u-9", "controller": true},
            ],
            "managedFields": [
                {"manager": "greffier", "operation": "Apply", "apiVersion": "apps/v1",
                 "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}},
                {"manager": "kube-controller-manager", "operation": "Update",
                 "apiVersion": "apps/v1", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:replicas": {}}}},
            ],
        },
        "spec": {"replicas": 1},
        "status": {"replicas": 1},
    })
}

#[test]
fn what_changes_on_its_own_is_dropped() {
    let normalised = normalized(&deployment());
    assert_eq!(
        normalised.object,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "prod", "labels": {"app": "web"},
                "annotations": {OWNER_ANNOTATION: "shop"},
                "ownerReferences": deployment()["metadata"]["ownerReferences"],
            },
            "spec": {"replicas": 1},
        })
    );
    assert_eq!(normalised.key.to_string(), "Deployment.apps/prod/web");
    assert_eq!((normalised.version.as_str(), normalised.uid.as_str()), ("v1", "u-1"));
    assert_eq!((normalised.resource_version.as_str(), normalised.generation), ("10", 2));
    assert_eq!(normalised.claimed_by, "shop");
    assert_eq!(
        normalised.controller,
        Some((GroupKind::new("x.io", "Shop"), "s".into(), "u-9".into()))
    );
    assert!(!normalised.deleting);
    assert_eq!(normalised.managers()[1].subresource, "status");
    assert_eq!(normalised.fields[0].stamp.time, Some(Timestamp(1_795_428_000_000_000_000)));
}

#[test]
fn only_real_changes_change_the_digests() {
    let before = normalized(&deployment());
    let change = |pointer: &str, value: Value| {
        let mut raw = deployment();
        *raw.pointer_mut(pointer).unwrap() = value;
        normalized(&raw)
    };
    for (pointer, value) in [
        ("/status/replicas", json!(7)),
        ("/metadata/resourceVersion", json!("11")),
        ("/metadata/generation", json!(3)),
        ("/metadata/managedFields/0/time", json!("2026-11-23T11:00:00Z")),
        ("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", json!("x")),
    ] {
        let after = change(pointer, value);
        assert_eq!((after.digest, after.owned), (before.digest, before.owned), "{pointer}");
    }
    let foreign = change("/spec/replicas", json!(7));
    assert_ne!(foreign.digest, before.digest);
    assert_eq!(foreign.owned, before.owned);
    let owned = change("/metadata/labels/app", json!("x"));
    assert_ne!(owned.owned, before.owned);
}

#[test]
fn an_object_without_an_own_entry_has_no_owned_digest() {
    for (field, value) in
        [("manager", "kubectl"), ("operation", "Update"), ("subresource", "scale")]
    {
        let mut raw = deployment();
        raw["metadata"]["managedFields"][0][field] = json!(value);
        assert_eq!(normalized(&raw).owned, None, "{field}");
    }
}

#[test]
fn a_status_is_kept_beside_the_object() {
    let mut raw = deployment();
    raw["status"] = json!({"readyReplicas": 2, "observedGeneration": 1});
    let normalised = normalized(&raw);
    let kept = normalised.status_bytes().map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(kept.as_deref(), Some("{\"observedGeneration\":1,\"readyReplicas\":2}"));
    let stored = String::from_utf8(normalised.stored_bytes()).unwrap();
    assert!(!stored.contains("readyReplicas"), "{stored}");
    let mut moved = raw.clone();
    moved["status"]["readyReplicas"] = json!(1);
    assert_eq!(normalized(&moved).digest, normalised.digest, "it moves on its own");
    for none in [json!({}), json!(null), json!({"long": "x".repeat(STATUS_BYTES_MAX)})] {
        raw["status"] = none;
        assert_eq!(normalized(&raw).status_bytes(), None);
    }
}

#[test]
fn no_value_of_a_secret_remains() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "a",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary-1"}},
        "data": {"password": "canary-2", "empty": ""}, "stringData": {"token": "canary-3"},
    });
    let normalised = normalized(&secret);
    let stored = String::from_utf8(normalised.stored_bytes()).unwrap();
    assert!(!stored.contains("canary"), "{stored}");
    assert!(stored.contains("\"password\":\"hmac:"), "{stored}");
    assert!(!format!("{normalised:?}").contains("canary"));

    let other_key = normalize(&secret, &TestKey("other")).unwrap();
    assert_ne!(other_key.digest, normalised.digest, "the digests are keyed");
    let mut elsewhere = secret.clone();
    elsewhere["metadata"]["namespace"] = json!("b");
    assert_ne!(
        normalized(&elsewhere).object["data"]["password"],
        normalised.object["data"]["password"],
        "equal values in two Secrets do not show as equal"
    );
    let mut broken = secret;
    broken["data"] = json!("canary-4");
    let stored = String::from_utf8(normalized(&broken).stored_bytes()).unwrap();
    assert!(!stored.contains("canary"), "{stored}");
}

#[test]
fn copies_of_a_secret_in_its_annotations_are_sealed() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "annotations": {
            "objectset.rio.cattle.io/applied": "canary-1",
            "kapp.k14s.io/original": "canary-2",
            "kubectl.kubernetes.io/last-applied-configuration": "canary-3",
            "argocd.argoproj.io/tracking-id": "web:/Secret:a/db",
            OWNER_ANNOTATION: "web",
        }},
    });
    let normalised = normalized(&secret);
    let stored = String::from_utf8(normalised.stored_bytes()).unwrap();
    assert!(!stored.contains("canary"), "{stored}");
    assert!(stored.contains("\"kapp.k14s.io/original\":\"hmac:"), "{stored}");
    assert!(stored.contains("web:/Secret:a/db") && normalised.claimed_by == "web");
    let mut map = secret;
    map["kind"] = json!("ConfigMap");
    let stored = String::from_utf8(normalized(&map).stored_bytes()).unwrap();
    assert!(stored.contains("canary-1"), "only Secrets are secret: {stored}");
}

#[test]
fn what_is_stored_is_canonical() {
    let mut raw = deployment();
    raw["metadata"]["managedFields"][1]["manager"] = json!("a \"name\"\n😀");
    for raw in [raw, json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}})] {
        let bytes = normalized(&raw).stored_bytes();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(bytes, canonical_json(&read));
    }
}

#[test]
fn a_kind_called_secret_in_another_group_is_not_a_secret() {
    let raw = json!({"apiVersion": "x.io/v1", "kind": "Secret",
        "metadata": {"name": "a"}, "data": {"k": "v"}});
    assert_eq!(normalized(&raw).object["data"], json!({"k": "v"}));
}

#[test]
fn stored_objects_read_back_as_they_were() {
    let normalised = normalized(&deployment());
    let stored = Stored::from_stored(&normalised.stored_bytes()).unwrap();
    assert_eq!(stored, normalised.stored());
    assert!(stored.own().is_some());
    for bytes in [&b""[..], b"{}", b"{\"object\":1,\"fields\":2}", b"\xff"] {
        assert!(Stored::from_stored(bytes).is_err());
    }
}

#[test]
fn malformed_answers_are_errors_and_malformed_fields_are_absent() {
    for raw in [json!(null), json!({}), json!({"apiVersion": "v1", "kind": "Pod"})] {
        assert!(normalize(&raw, &TestKey("key")).is_err());
    }
    let raw = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a",
        "managedFields": [1, {"fieldsV1": 3}], "ownerReferences": {}, "annotations": 4,
        "generation": "x"}});
    let normalised = normalized(&raw);
    assert_eq!((normalised.generation, normalised.fields.len()), (0, 2));
}

#[test]
fn fields_named_in_another_version_are_noticed() {
    let mut raw = deployment();
    assert_eq!(normalized(&raw).owned_in_other_version(), None);
    raw["metadata"]["managedFields"][0]["apiVersion"] = json!("apps/v1beta1");
    assert_eq!(normalized(&raw).owned_in_other_version(), Some("v1beta1"));
}
