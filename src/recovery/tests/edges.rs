//! Where each rule ends: what looks like what it is about, and is not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{choose, crd, input, keys, losses, object, planned, with};
use crate::model::GroupKind;
use crate::recovery::candidate::{Candidate, Source};
use crate::recovery::lost::{Loss, LossKind};
use crate::recovery::plan::{Input, plan};
use crate::recovery::rules::sanitise;
use crate::recovery::skips;
use crate::recovery::versions::{Choice, Serving};

/// What is left of an observed object, and by which rules.
fn cleaned(observed: Value) -> (Value, Vec<&'static str>) {
    let key = Candidate::observed(observed.clone()).key;
    let mut manifest = observed;
    let used = sanitise(&key, Source::Observed, None, &mut manifest);
    (manifest, used)
}

fn stays(observed: Value) {
    assert_eq!(cleaned(observed.clone()), (observed, Vec::new()));
}

fn annotated(object: Value, name: &str) -> Value {
    with(object, json!({"metadata": {"annotations": {name: "prod/x"}}}))
}

#[test]
fn what_somebody_chose_himself_is_no_trace_of_the_former_cluster() {
    let job = |spec: Value| with(object("batch/v1", "Job", "prod", "x"), json!({"spec": spec}));
    let selector = json!({"matchLabels": {"own": "x"}});
    stays(job(json!({"manualSelector": true, "selector": selector, "template": {}})));
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "x");
    stays(with(role, json!({"rules": [{"verbs": ["get"]}]})));
    let widget = object("example.org/v1", "Widget", "prod", "x");
    stays(with(
        widget,
        json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": [], "finalizers": ["own"],
            "ports": [{"nodePort": 1}], "nodeName": "n", "volumeName": "v"}}),
    ));
    let hooks = object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "x");
    stays(with(hooks, json!({"webhooks": [{"clientConfig": {"caBundle": "b2xk"}}]})));
}

#[test]
fn an_injected_authority_goes_wherever_it_is() {
    let inject = "cert-manager.io/inject-ca-from";
    let service = annotated(object("apiregistration.k8s.io/v1", "APIService", "", "x"), inject);
    let (left, used) = cleaned(with(service, json!({"spec": {"caBundle": "b2xk", "group": "g"}})));
    assert_eq!((&left["spec"], used.as_slice()), (&json!({"group": "g"}), &["injected-ca"][..]));
    let definition = annotated(crd("example.org", "Widget", &["v1"]), inject);
    let config = json!({"webhook": {"clientConfig": {"caBundle": "b2xk", "url": "https://x"}}});
    let (left, _) = cleaned(with(definition, json!({"spec": {"conversion": config}})));
    let config = &left["spec"]["conversion"]["webhook"]["clientConfig"];
    assert_eq!(config, &json!({"url": "https://x"}));
}

#[test]
fn every_trace_that_a_rule_names_goes() {
    for name in [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "control-plane.alpha.kubernetes.io/leader",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
    ] {
        let plain = object("v1", "ConfigMap", "prod", "x");
        let (left, used) = cleaned(annotated(plain.clone(), name));
        assert_eq!((left, used), (plain, vec!["client-annotations"]), "{name}");
    }
    for name in [
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    ] {
        let plain = object("v1", "PersistentVolumeClaim", "prod", "x");
        let (left, used) = cleaned(annotated(plain.clone(), name));
        assert_eq!((left, used), (plain, vec!["claim-binding"]), "{name}");
    }
    let job = object("batch/v1", "Job", "prod", "x");
    let labels = json!({"controller-uid": "u", "job-name": "x", "own": "kept"});
    let (left, _) = cleaned(with(job, json!({"metadata": {"labels": labels}})));
    assert_eq!(left["metadata"]["labels"], json!({"own": "kept"}));
    let mounts = json!([{"name": "kube-api-access-1"}, {"name": "own"}]);
    let spec = json!({"initContainers": [{"name": "c", "volumeMounts": mounts}]});
    let (left, _) = cleaned(with(object("v1", "Pod", "prod", "x"), json!({"spec": spec})));
    let mounts = &left["spec"]["initContainers"][0]["volumeMounts"];
    assert_eq!(mounts, &json!([{"name": "own"}]));
}

#[test]
fn what_only_looks_made_by_the_cluster_is_replayed() {
    let rule = |value: Value| skips::of_observed(&Candidate::observed(value));
    let schema = || object("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "", "x");
    assert_eq!(
        rule(annotated(schema(), "apf.kubernetes.io/autoupdate-spec")),
        Some("cluster-made")
    );
    assert_eq!(rule(schema()), None, "somebody's own");
    let role = |name: &str| object("rbac.authorization.k8s.io/v1", "ClusterRole", "", name);
    assert_eq!((rule(role("system:x")), rule(role("x"))), (Some("cluster-made"), None));
    let secret = |kind: &str| with(object("v1", "Secret", "prod", "s"), json!({"type": kind}));
    assert_eq!(rule(secret("bootstrap.kubernetes.io/token")), Some("bookkeeping"));
    let pod = with(object("v1", "Pod", "prod", "p"), json!({"status": {"phase": "Failed"}}));
    assert_eq!(rule(pod), Some("finished-pod"));
    // By the key alone.
    let by_key = |value: Value| skips::by_key(&Candidate::observed(value).key);
    assert_eq!(by_key(object("v1", "Namespace", "", "default")), Some("cluster-made"));
    assert_eq!(by_key(object("v1", "Namespace", "", "prod")), None);
}

#[test]
fn a_namespace_that_every_cluster_has_is_not_missed() {
    let made = planned(vec![
        object("v1", "ConfigMap", "default", "a"),
        object("v1", "ConfigMap", "kube-system", "b"),
        object("v1", "ConfigMap", "prod", "c"),
    ]);
    assert_eq!(losses(&made, LossKind::NoNamespace), ["ConfigMap/prod/c"]);
    let ca = object("v1", "ConfigMap", "prod", "kube-root-ca.crt");
    let asked = Input { unowned: true, ..input(Vec::new(), vec![ca]) };
    assert_eq!(keys(&plan(asked, Serving::unknown())), [""; 0], "every namespace gets its own");
}

#[test]
fn volumes_and_addresses_are_told_of_where_there_are_any() {
    let made = planned(vec![
        object("v1", "PersistentVolume", "", "disk"),
        with(object("v1", "Service", "default", "s"), json!({"spec": {"type": "ClusterIP"}})),
        object("batch/v1", "Job", "default", "once"),
    ]);
    assert_eq!(losses(&made, LossKind::VolumeData), ["PersistentVolume/disk"]);
    assert_eq!(losses(&made, LossKind::Address), [""; 0]);
    let notes = &made.shown.notes;
    assert!(notes.iter().any(|note| note.starts_with("Jobs run again")), "{notes:?}");
    assert!(planned(Vec::new()).shown.notes.is_empty());
}

#[test]
fn the_key_of_an_issuer_is_where_the_issuer_looks_for_it() {
    let issuer = |kind: &str, namespace: &str| {
        let spec = json!({"spec": {"ca": {"secretName": "ca"}}});
        with(object("cert-manager.io/v1", kind, namespace, "own"), spec)
    };
    let lost = |issuer: Value, namespace: &str| {
        let secret = object("v1", "Secret", namespace, "ca");
        losses(&planned(vec![issuer, secret]), LossKind::ControllerKey).len()
    };
    assert_eq!(lost(issuer("Issuer", "default"), "default"), 0);
    assert_eq!(lost(issuer("Issuer", "default"), "kube-system"), 1, "not its own namespace");
    assert_eq!(lost(issuer("ClusterIssuer", ""), "kube-system"), 0, "where cert-manager runs");
}

#[test]
fn sealed_secrets_can_be_opened_where_git_has_their_key() {
    let label = json!({"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}});
    let key = with(object("v1", "Secret", "default", "key1"), json!({"metadata": label}));
    let sealed = object("bitnami.com/v1alpha1", "SealedSecret", "default", "sealed");
    let lost = |key: Candidate| {
        let candidates = vec![Candidate::wanted(sealed.clone()), key];
        let made = plan(Input { candidates, ..Input::default() }, Serving::unknown());
        losses(&made, LossKind::ControllerKey).len()
    };
    assert_eq!(lost(Candidate::wanted(key.clone())), 0);
    assert_eq!(lost(Candidate::observed(key)), 1, "of an observed one there are digests only");
}

/// An APIService of `example.org`, served by a program of the cluster or by the API server itself.
fn api_service(by_program: bool) -> Value {
    let mut spec = json!({"group": "example.org", "version": "v1"});
    if by_program {
        spec["service"] = json!({"name": "s", "namespace": "default"});
    }
    let service = object("apiregistration.k8s.io/v1", "APIService", "", "v1.example.org");
    with(service, json!({"spec": spec}))
}

#[test]
fn an_api_that_a_program_serves_is_there_once_the_program_is() {
    let widget = || object("example.org/v1", "Widget", "default", "w");
    let stages = |by_program: bool| {
        let made = planned(vec![api_service(by_program), widget()]);
        made.shown.stages.iter().map(|(stage, _)| stage.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (stages(true), stages(false)),
        (vec!["apis".into(), "aggregated".into()], vec!["rest".into(), "apis".into()])
    );
    let refused = |by_program: bool, more: &[(&str, &str)]| {
        let served = [("apiregistration.k8s.io", "APIService")];
        let served = served.iter().chain(more);
        let served = served.map(|(group, kind)| (GroupKind::new(*group, *kind), "v1".to_owned()));
        let wanted = input(vec![api_service(by_program), widget()], Vec::new());
        losses(&plan(wanted, Serving::of(served)), LossKind::NotServed).len()
    };
    assert_eq!(refused(true, &[]), 0, "which kinds it serves only it knows");
    assert_eq!(refused(false, &[]), 1);
    assert_eq!(refused(true, &[("example.org", "Gadget")]), 1, "it is there, and has it not");
}

#[test]
fn what_only_a_secret_tells_is_no_part_of_what_tells_plans_apart() {
    let secret = |value: &str| {
        with(object("v1", "Secret", "default", "s"), json!({"data": {"password": value}}))
    };
    let digest = |manifest: Value| planned(vec![manifest]).shown.digest;
    assert_eq!(digest(secret("b25l")), digest(secret("dHdv")));
    let config = |value: &str| {
        with(object("v1", "ConfigMap", "default", "c"), json!({"data": {"key": value}}))
    };
    assert_ne!(digest(config("one")), digest(config("two")));
}

#[test]
fn of_single_applications_nobody_asks_what_else_there_is() {
    let wanted = vec![object("v1", "ConfigMap", "default", "a")];
    let others = || vec![object("v1", "PersistentVolumeClaim", "default", "data")];
    let all = plan(input(wanted.clone(), others()), Serving::unknown());
    assert_eq!((all.shown.later.len(), all.shown.lost.len()), (1, 1));
    let one = Input { apps: vec!["web".into()], ..input(wanted, others()) };
    let one = plan(one, Serving::unknown());
    assert_eq!((one.shown.later.len(), one.shown.lost.len()), (0, 0));
}

#[test]
fn a_version_is_taken_where_it_is_served_and_means_the_same() {
    let definition = with(
        crd("example.org", "Widget", &[]),
        json!({"spec": {"versions": [{"name": "v1", "served": false}, {"name": "v2", "served": true}]}}),
    );
    let mut serving = Serving::of([]);
    serving.add_definition(&definition);
    let widget = |version: &str| {
        let manifest = object(&format!("example.org/{version}"), "Widget", "prod", "w");
        let candidate = Candidate::wanted(manifest.clone());
        serving.choose(&candidate.key, version, &manifest, &BTreeSet::new())
    };
    assert_eq!(widget("v2"), Choice::Same);
    assert!(matches!(widget("v1"), Choice::Not(_)), "it is stored, and not served");

    let to = |version: &str| Choice::Mapped(version.to_owned());
    let of = |api: &str, kind: &str, more: Value| with(object(api, kind, "prod", "x"), more);
    let slice = |more: Value| {
        let manifest = of("discovery.k8s.io/v1beta1", "EndpointSlice", more);
        choose(&[("discovery.k8s.io", "EndpointSlice", "v1")], &manifest)
    };
    assert_eq!(slice(json!({"endpoints": [{"addresses": ["10.0.0.1"]}]})), to("v1"));
    let topology = slice(json!({"endpoints": [{"topology": {"zone": "a"}}]}));
    assert!(matches!(topology, Choice::Not(why) if why.contains("topology")));
    let level = |spec: Value| {
        let (group, kind) = ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration");
        let manifest = of(&format!("{group}/v1beta3"), kind, json!({"spec": spec}));
        choose(&[(group, kind, "v1")], &manifest)
    };
    assert_eq!(level(json!({"limited": {"nominalConcurrencyShares": 5}})), to("v1"));
    assert_eq!(level(json!({"type": "Exempt"})), to("v1"));
    assert!(matches!(level(json!({"limited": {}})), Choice::Not(why) if why.contains("default")));
    let revision = of("apps/v1beta2", "ControllerRevision", json!({}));
    assert_eq!(choose(&[("apps", "ControllerRevision", "v1")], &revision), to("v1"));
    // The newer one that means the same is not served either.
    let job = of("batch/v1beta1", "CronJob", json!({}));
    assert!(matches!(choose(&[("batch", "CronJob", "v2")], &job), Choice::Not(_)));
}

#[test]
fn what_a_lost_definition_defined_does_not_come_back_either() {
    let lost = Loss::new(
        LossKind::BlobMissing,
        "CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org",
        "its manifest is not in the ledger",
    );
    let manifests = || {
        vec![
            object("example.org/v1", "Widget", "default", "w"),
            crd("example.org", "Gadget", &["v1"]),
            object("example.org/v1", "Gadget", "default", "g"),
            object("other.org/v1", "Widget", "default", "o"),
        ]
    };
    let asked = Input { lost: vec![lost.clone()], ..input(manifests(), Vec::new()) };
    let made = plan(asked, Serving::unknown());
    assert_eq!(losses(&made, LossKind::NotServed), ["Widget.example.org/default/w"]);
    assert_eq!(losses(&made, LossKind::BlobMissing), [lost.subject.as_str()]);
    assert_eq!(losses(&planned(manifests()), LossKind::NotServed), [""; 0], "nothing is lost");
    // A cluster that has the definition from somebody else serves it.
    let served =
        ["Widget", "Gadget"].map(|kind| (GroupKind::new("example.org", kind), "v1".into()));
    let other = (GroupKind::new("other.org", "Widget"), "v1".into());
    let definition = GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition");
    let serving = Serving::of(served.into_iter().chain([other, (definition, "v1".into())]));
    let asked = Input { lost: vec![lost], ..input(manifests(), Vec::new()) };
    assert_eq!(losses(&plan(asked, serving), LossKind::NotServed), [""; 0]);
}
