use serde_json::json;

use super::*;

fn app(spec: Value) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
           "metadata": {"name": "web"}, "spec": spec})
}

fn parse(spec: Value) -> AppSpec {
    AppSpec::parse(&app(spec)).unwrap()
}

#[test]
fn a_plain_application_is_read() {
    let spec = parse(json!({
        "project": "default",
        "source": {"repoURL": "/srv/infra.git", "path": "web", "targetRevision": "main"},
        "destination": {"server": IN_CLUSTER_SERVER, "namespace": "prod"},
        "syncPolicy": {"automated": {"prune": true, "selfHeal": true},
                       "syncOptions": ["CreateNamespace=true", "Retry=true"]}
    }));
    assert_eq!(spec.sources[0].path, "web");
    assert_eq!(spec.namespace, "prod");
    let automated = spec.automated.unwrap();
    assert!(automated.prune && automated.self_heal && !automated.allow_empty);
    assert!(spec.create_namespace && spec.restraints.is_empty());
    assert_eq!((spec.removals, spec.skip), (Removals::default(), false));
    assert_eq!(spec.warnings.len(), 1, "an unknown sync option is a warning");
}

#[test]
fn a_field_of_another_type_refuses_the_definition() {
    let refused = AppSpec::parse(&app(json!({"source": {"repoURL": "r", "targetRevision": 1.0}})));
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("`spec.source.targetRevision` is a number"), "{said}");
}

#[test]
fn automated_may_be_absent_or_switched_off() {
    let source = json!({"repoURL": "r"});
    assert_eq!(parse(json!({"source": source})).automated, None);
    let off = json!({"source": source, "syncPolicy": {"automated": {"enabled": false}}});
    assert_eq!(parse(off).automated, None);
}

#[test]
fn what_restrains_writes_and_is_not_honoured_is_named() {
    let key = ObjectKey::new("apps", "Deployment", "prod", "web");
    for (field, value) in [
        ("project", json!("payments")),
        ("destination", json!({"server": "https://elsewhere:6443"})),
        ("destination", json!({"name": "elsewhere"})),
    ] {
        let mut spec = json!({"source": {"repoURL": "r"}});
        spec[field] = value;
        assert!(parse(spec).restraints.iter().any(Restraint::holds_all), "{field}");
    }
    let ignore = parse(json!({"source": {"repoURL": "r"}, "ignoreDifferences":
        [{"group": "apps", "kind": "Deployment", "jsonPointers": ["spec/replicas"]}]}));
    assert!(ignore.restraints[0].holds_update(&key) && !ignore.restraints[0].holds_all());
    assert!(!ignore.restraints[0].holds_update(&ObjectKey::new("", "Service", "prod", "web")));
}

#[test]
fn skip_reconcile_is_true_as_argo_cd_takes_it() {
    for (value, skipped) in
        [("true", true), ("True", true), ("1", true), ("false", false), ("yes", false)]
    {
        let mut manifest = app(json!({"source": {"repoURL": "r"}}));
        manifest["metadata"]["annotations"] = json!({SKIP: value});
        let spec = AppSpec::parse(&manifest).unwrap();
        assert_eq!((spec.skip, spec.restraints.len()), (skipped, 0), "{value}");
    }
}

#[test]
fn how_objects_are_written_is_read() {
    let plain = parse(json!({"source": {"repoURL": "r"}}));
    assert_eq!((plain.replace, plain.force, plain.validate), (false, false, true));
    let spec = parse(json!({"source": {"repoURL": "r"}, "syncPolicy": {"syncOptions":
        ["Replace=true", "Force=true", "Validate=false", "ServerSideApply=true",
         "ClientSideApplyMigration=false"]}}));
    assert_eq!((spec.replace, spec.force, spec.validate), (true, true, false));
    assert_eq!(spec.restraints, []);
    assert!(!spec.warnings.iter().any(|warning| warning.contains("syncOption")));
    let off = parse(json!({"source": {"repoURL": "r"},
        "syncPolicy": {"syncOptions": ["ServerSideApply=false"]}}));
    assert!(off.warnings.iter().any(|w| w.contains("server-side apply is used")));
}

#[test]
fn values_object_wins_over_values() {
    let spec = parse(json!({"source": {"repoURL": "r", "helm": {
        "values": "a: 1", "valuesObject": {"a": 2}, "parameters": [{"name": "n", "value": "3"}]}}}));
    let Tool::Helm(helm) = &spec.sources[0].tool else { panic!("not Helm") };
    assert_eq!(helm.values.as_deref(), Some("{\"a\":2}"));
    assert_eq!(helm.parameters[0].value, "3");
}

#[test]
fn missing_fields_are_named() {
    let error = AppSpec::parse(&app(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "Application `web`: `spec.source` is missing");
}
