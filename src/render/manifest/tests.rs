use serde_json::json;

use super::*;

fn collect_in(namespace: &str, values: Vec<Value>) -> Result<Collected, Error> {
    let scopes = BTreeMap::new();
    collect_with(namespace, &scopes, values)
}

fn collect_with(
    namespace: &str,
    scopes: &BTreeMap<GroupKind, Scope>,
    values: Vec<Value>,
) -> Result<Collected, Error> {
    let items = values.into_iter().enumerate();
    let items = items.map(|(index, value)| Item { origin: format!("a.yaml:{}", index + 1), value });
    collect(vec![items.collect()], Target { namespace, scopes }).map_err(|(_, error)| error)
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn with(mut value: Value, pointer: &str, field: &str, new: Value) -> Value {
    value.pointer_mut(pointer).unwrap()[field] = new;
    value
}

fn keys(collected: &Collected) -> Vec<String> {
    collected.objects.iter().map(|object| object.key.to_string()).collect()
}

#[track_caller]
fn refused(value: Value) -> String {
    collect_in("prod", vec![value]).unwrap_err().to_string()
}

#[test]
fn objects_come_out_sorted_and_once() {
    let found = collect_in("prod", vec![config_map("b"), config_map("a")]).unwrap();
    assert_eq!(keys(&found), ["ConfigMap/prod/a", "ConfigMap/prod/b"]);
    assert_eq!(found.objects[0].origin, "a.yaml:2");
    let twice = collect_in("prod", vec![config_map("a"), config_map("b"), config_map("a")]);
    assert_eq!(
        twice.unwrap_err().to_string(),
        "a.yaml:3: ConfigMap/prod/a: is defined twice, first at a.yaml:1"
    );
    // One object in two versions is one object.
    let hpa = |version: &str| {
        json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
               "metadata": {"name": "a"}})
    };
    assert!(collect_in("prod", vec![hpa("v1"), hpa("v2")]).is_err());
}

#[test]
fn documents_that_are_no_objects_are_named() {
    for (value, expected) in [
        (json!([1]), "a.yaml:1: a list, not a Kubernetes object"),
        (json!("text"), "a.yaml:1: text, not a Kubernetes object"),
        (
            json!({"kind": "ConfigMap", "metadata": {"name": "a"}}),
            "a.yaml:1: ConfigMap/a: `apiVersion` is missing",
        ),
        (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), "a.yaml:1: a: `kind` is missing"),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            "a.yaml:1: ConfigMap: `metadata` is missing",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": null}),
            "a.yaml:1: ConfigMap: `metadata` is missing",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
            "a.yaml:1: ConfigMap: `metadata.name` is missing",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 123}}),
            "a.yaml:1: ConfigMap: `metadata.name` is a number, not text (quote it)",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../x"}}),
            "a.yaml:1: ConfigMap/../x: `metadata.name` is `../x`, which cannot be a name",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": true}}),
            "a.yaml:1: ConfigMap/a: `metadata.namespace` is a boolean, not text (quote it)",
        ),
        (
            json!({"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "a"}}),
            "a.yaml:1: ConfigMap/a: `apiVersion` is a number, not text (quote it)",
        ),
        (
            json!({"apiVersion": "apps/v1/x", "kind": "Deployment", "metadata": {"name": "a"}}),
            "a.yaml:1: Deployment/a: `apiVersion` is `apps/v1/x`, not `version` or `group/version`",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Config/Map", "metadata": {"name": "a"}}),
            "a.yaml:1: Config/Map/a: `kind` is `Config/Map`, which has more than letters and digits",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}),
            "a.yaml:1: Pod: `metadata.generateName` without `metadata.name` is for hooks only",
        ),
    ] {
        assert_eq!(refused(value), expected);
    }
}

#[test]
fn lists_are_unpacked_typed_and_untyped() {
    let list = |api: &str, kind: &str, items: Value| json!({"apiVersion": api, "kind": kind, "items": items});
    let nested =
        list("v1", "List", json!([list("v1", "List", json!([config_map("a")])), config_map("b")]));
    let found = collect_in("prod", vec![nested]).unwrap();
    assert_eq!(keys(&found), ["ConfigMap/prod/a", "ConfigMap/prod/b"]);
    assert_eq!(found.objects[0].origin, "a.yaml:1 (item 1) (item 1)");
    let typed = list("apps/v1", "DeploymentList", json!([{"metadata": {"name": "a"}}]));
    let found = collect_in("prod", vec![typed]).unwrap();
    assert_eq!(keys(&found), ["Deployment.apps/prod/a"]);
    assert_eq!(found.objects[0].manifest["apiVersion"], "apps/v1");
    for empty in [json!([]), Value::Null] {
        assert!(collect_in("prod", vec![list("v1", "List", empty)]).unwrap().objects.is_empty());
    }
    // A kind that happens to end so is an object.
    let object = json!({"apiVersion": "x.io/v1", "kind": "AllowList", "metadata": {"name": "a"}, "spec": {}});
    assert_eq!(keys(&collect_in("prod", vec![object]).unwrap()), ["AllowList.x.io/prod/a"]);
    let missing = list("v1", "List", json!([{"metadata": {"name": "a"}}]));
    assert_eq!(refused(missing), "a.yaml:1 (item 1): a: `apiVersion` is missing");
    let deep = (0..6).fold(config_map("a"), |inner, _| list("v1", "List", json!([inner])));
    assert!(refused(deep).contains("lists nested more than 4 deep"));
}

#[test]
fn namespaces_are_filled_by_scope() {
    let object = |api: &str, kind: &str, namespace: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a", "namespace": namespace}});
    let check = |target: &str, value: Value, expected: &str, in_manifest: Value| {
        let found = collect_in(target, vec![value]).unwrap();
        assert_eq!(keys(&found), [expected]);
        let metadata = found.objects[0].manifest["metadata"].as_object().unwrap();
        assert_eq!(metadata.get("namespace").cloned().unwrap_or_default(), in_manifest);
    };
    check("prod", object("v1", "ConfigMap", Value::Null), "ConfigMap/prod/a", json!("prod"));
    check("prod", object("v1", "ConfigMap", json!("")), "ConfigMap/prod/a", json!("prod"));
    check("prod", object("v1", "ConfigMap", json!("own")), "ConfigMap/own/a", json!("own"));
    check("", object("v1", "ConfigMap", Value::Null), "ConfigMap/default/a", json!("default"));
    check("prod", object("v1", "Namespace", json!("stray")), "Namespace/a", Value::Null);
    check(
        "prod",
        object("rbac.authorization.k8s.io/v1", "ClusterRole", Value::Null),
        "ClusterRole.rbac.authorization.k8s.io/a",
        Value::Null,
    );
}

#[test]
fn scopes_come_from_the_cluster_then_from_the_same_render_then_from_the_built_in_table() {
    let kind = |kind: &str| GroupKind::new("x.io", kind);
    let object =
        |kind: &str| json!({"apiVersion": "x.io/v1", "kind": kind, "metadata": {"name": "a"}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rings.x.io"},
        "spec": {"group": "x.io", "scope": "Cluster", "names": {"kind": "Ring"}}});
    // The definition may stand after its use.
    let found = collect_in("prod", vec![object("Ring"), definition.clone()]).unwrap();
    assert_eq!(keys(&found)[1], "Ring.x.io/a");
    assert!(found.unknown_kinds.is_empty());
    let found = collect_in("prod", vec![object("Ring"), object("Ding")]).unwrap();
    assert_eq!(found.unknown_kinds, [kind("Ding"), kind("Ring")]);
    let scopes =
        BTreeMap::from([(kind("Ring"), Scope::Namespaced), (kind("Ding"), Scope::Cluster)]);
    let found =
        collect_with("prod", &scopes, vec![object("Ring"), object("Ding"), definition]).unwrap();
    assert_eq!(keys(&found)[1..], ["Ding.x.io/a", "Ring.x.io/prod/a"]);
    // This cluster serves no definitions: their scope is a guess.
    assert_eq!(found.unknown_kinds.len(), 1);
}

#[test]
fn what_the_api_server_writes_is_left_out() {
    let exported = json!({
        "apiVersion": "v1", "kind": "Service", "spec": {"a": null, "selector": {}},
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "selfLink": "/x", "managedFields": [],
            "labels": null, "annotations": {"a": "b", "empty": null}, "finalizers": []},
        "status": {"loadBalancer": {}}, "data": null});
    let found = collect_in("prod", vec![exported]).unwrap();
    let expected = json!({
        "apiVersion": "v1", "kind": "Service", "spec": {"a": null, "selector": {}},
        "metadata": {"name": "a", "annotations": {"a": "b"}, "finalizers": [], "namespace": "prod"}});
    assert_eq!(found.objects[0].manifest, expected);
}

#[test]
fn labels_and_annotations_must_be_text() {
    for (field, value, expected) in [
        ("labels", json!({"app": 1}), "`metadata.labels[app]` is a number, not text (quote it)"),
        (
            "annotations",
            json!({"x/y": true}),
            "`metadata.annotations[x/y]` is a boolean, not text (quote it)",
        ),
        ("labels", json!([]), "`metadata.labels` is a list, not a mapping"),
    ] {
        let error = refused(with(config_map("a"), "/metadata", field, value));
        assert_eq!(error, format!("a.yaml:1: ConfigMap/a: {expected}"));
    }
}

#[test]
fn string_data_of_a_secret_is_folded_into_data() {
    let secret = |body: Value| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
        for (field, value) in body.as_object().unwrap() {
            secret[field] = value.clone();
        }
        secret
    };
    let folded = |body: Value| {
        let found = collect_in("prod", vec![secret(body)]).unwrap();
        let manifest = found.objects[0].manifest.clone();
        assert!(manifest.get("stringData").is_none());
        manifest.get("data").cloned()
    };
    let both = json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "zß", "c": ""}});
    assert_eq!(folded(both), Some(json!({"a": "eA==", "b": "esOf", "c": ""})));
    assert_eq!(folded(json!({"stringData": {"a": null}})), Some(json!({"a": ""})));
    assert_eq!(folded(json!({"type": "Opaque"})), None);
    for body in [json!({"stringData": {"pin": 4711}}), json!({"data": {"pin": 4711}})] {
        let error = refused(secret(body));
        assert!(error.contains("[pin]` is a number"), "{error}");
        assert!(!error.contains("4711"), "a secret is not quoted: {error}");
    }
    // Only the core Secret is one.
    let other = json!({"apiVersion": "x.io/v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"a": "b"}});
    let found = collect_in("prod", vec![other]).unwrap();
    assert_eq!(found.objects[0].manifest["stringData"], json!({"a": "b"}));
}

fn annotated(annotations: &[(&str, &str)]) -> Value {
    let annotations: Map<String, Value> =
        annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    with(config_map("a"), "/metadata", "annotations", Value::Object(annotations))
}

/// The holds as `what:cup` with the letters of the writes that are suspended.
fn holds(annotations: &[(&str, &str)]) -> Vec<String> {
    let found = collect_in("prod", vec![annotated(annotations)]).unwrap();
    let holds = found.objects[0].holds.iter();
    holds
        .map(|hold| {
            let letter =
                |held: bool, letter: &str| if held { letter.to_owned() } else { String::new() };
            let (c, u, p) =
                (letter(hold.create, "c"), letter(hold.update, "u"), letter(hold.prune, "p"));
            format!("{}:{c}{u}{p}", hold.what)
        })
        .collect()
}

/// Goal: what a controller puts together is nothing that Git says: it is neither applied nor compared,
/// and whoever wrote something there is told.
#[test]
fn the_rules_of_an_aggregated_role_are_left_out() {
    let role = |api: &str, kind: &str, body: Value| {
        let mut role = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}});
        role.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let found = collect_in("", vec![role]).unwrap();
        let rules = found.objects[0].manifest.get("rules").cloned();
        (rules, found.warnings.iter().filter(|warning| warning.contains("left out")).count())
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let by = json!({"clusterRoleSelectors": [{"matchLabels": {"agg": "true"}}]});
    let some = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    for (rules, warned) in [(json!([]), 0), (Value::Null, 0), (some.clone(), 1)] {
        let body = json!({"aggregationRule": by, "rules": rules});
        assert_eq!(role(rbac, "ClusterRole", body), (None, warned));
    }
    let body = json!({"aggregationRule": null, "rules": some});
    assert_eq!(role(rbac, "ClusterRole", body), (Some(some.clone()), 0));
    let body = json!({"aggregationRule": by, "rules": some});
    assert_eq!(role("x.io/v1", "ClusterRole", body), (Some(some), 0));
}

#[test]
fn annotations_that_restrain_writes_suspend_exactly_those() {
    const HOOK: &str = "argocd.argoproj.io/hook";
    const OPTIONS: &str = "argocd.argoproj.io/sync-options";
    for (annotations, expected) in [
        (vec![], vec![]),
        (vec![(HOOK, "PreSync")], vec!["hook PreSync:cup"]),
        (vec![(HOOK, "PreSync, PostSync")], vec!["hook PreSync,PostSync:cup"]),
        (vec![(HOOK, "Skip")], vec!["hook Skip:cup"]),
        (vec![("helm.sh/hook", "pre-install,pre-upgrade")], vec!["hook PreSync:cup"]),
        (vec![("helm.sh/hook", "post-upgrade, test")], vec!["hook PostSync:cup"]),
        (vec![("helm.sh/hook", "pre-delete")], vec!["hook PreDelete:cup"]),
        (vec![("helm.sh/hook", "crd-install")], vec![]),
        (vec![("helm.sh/hook", "pre-install"), (HOOK, "Sync")], vec!["hook Sync:cup"]),
        (vec![(OPTIONS, "Prune=false , Replace=true,Force=true")], vec![]),
        (vec![(OPTIONS, "Delete=confirm, Prune=confirm")], vec![]),
        (
            vec![(
                OPTIONS,
                "ServerSideApply=true,Validate=false,SkipDryRunOnMissingResource=true,PruneLast=true",
            )],
            vec![],
        ),
        (vec![("helm.sh/resource-policy", "keep")], vec![]),
        (vec![("argocd.argoproj.io/compare-options", "IgnoreExtraneous")], vec![]),
    ] {
        assert_eq!(holds(&annotations), expected, "{annotations:?}");
    }
}

#[test]
fn annotations_that_are_not_known_are_warnings() {
    for (name, value, expected) in [
        (
            "argocd.argoproj.io/sync-options",
            "ApplyOnly=true",
            "sync option `ApplyOnly=true` is not known: ignored",
        ),
        (
            "argocd.argoproj.io/sync-options",
            "ServerSideApply=false",
            "sync option `ServerSideApply=false`: server-side apply is used",
        ),
        ("helm.sh/resource-policy", "drop", "helm.sh/resource-policy `drop` is not known: ignored"),
    ] {
        let found = collect_in("prod", vec![annotated(&[(name, value)])]).unwrap();
        assert_eq!(found.warnings, [format!("a.yaml:1: ConfigMap/a: {expected}")]);
        assert!(found.objects[0].holds.is_empty());
    }
}

#[test]
fn test_and_rollback_hooks_are_left_out() {
    for hook in ["test", "test-success", "pre-rollback,post-rollback"] {
        let found = collect_in("prod", vec![annotated(&[("helm.sh/hook", hook)])]).unwrap();
        assert!(found.objects.is_empty());
        assert_eq!(
            found.warnings,
            [format!("a.yaml:1: ConfigMap/a: helm hook {hook} is left out")]
        );
    }
}

#[test]
fn hooks_may_have_generated_names() {
    let hook = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {
        "generateName": "migrate-", "annotations": {"argocd.argoproj.io/hook": "PreSync"}}});
    let found = collect_in("prod", vec![hook]).unwrap();
    assert_eq!(keys(&found), ["Job.batch/prod/migrate-presync"]);
    assert!(found.objects[0].holds[0].create);
}

#[test]
fn waves_are_whole_numbers() {
    let wave = |name: &str, value: &str| {
        collect_in("prod", vec![annotated(&[(name, value)])]).map(|found| found.objects[0].wave)
    };
    assert_eq!(wave("argocd.argoproj.io/sync-wave", "-5"), Ok(-5));
    assert_eq!(wave("helm.sh/hook-weight", "3"), Ok(3));
    assert_eq!(
        wave("argocd.argoproj.io/sync-wave", "first").unwrap_err().to_string(),
        "a.yaml:1: ConfigMap/a: `metadata.annotations[argocd.argoproj.io/sync-wave]` is `first`, not a whole number"
    );
    assert!(wave("argocd.argoproj.io/sync-wave", "99999999999").is_err());
}

#[test]
fn replicas_and_applications_are_noticed() {
    let deployment = |replicas: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "a"}, "spec": {"replicas": replicas}})
    };
    for (replicas, expected) in
        [(json!(3), Some(3)), (json!(0), Some(0)), (json!("3"), None), (json!(-1), None)]
    {
        let found = collect_in("prod", vec![deployment(replicas)]).unwrap();
        assert_eq!(found.objects[0].replicas, expected);
        assert!(!found.objects[0].is_application);
    }
    let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "a", "namespace": "argocd"}, "spec": {}});
    assert!(collect_in("prod", vec![application]).unwrap().objects[0].is_application);
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let large = |bytes: usize| with(config_map("a"), "", "data", json!({"x": "x".repeat(bytes)}));
    assert!(collect_in("prod", vec![large(1_500_000)]).is_ok());
    let error = refused(large(1_600_000));
    assert!(error.starts_with("a.yaml:1: ConfigMap/a: 16000"), "{error}");
    let many = vec![config_map("a"); OBJECTS_MAX + 1];
    let error = collect_in("prod", many).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyObjects);
    let mut warnings = vec![String::new(); WARNINGS_MAX + 5];
    cap(&mut warnings);
    assert_eq!(warnings.last().unwrap(), "5 more warnings are left out");
}
