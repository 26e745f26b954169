//! What each rule takes out of a manifest, and what it leaves.

use serde_json::{Value, json};

use super::{object, with};
use crate::recovery::candidate::{Candidate, Source};
use crate::recovery::rules::{RULES, sanitise};

/// A rule, an observed object, and what the rule leaves of it.
type Case = (&'static str, Value, Value);

fn core(kind: &str, more: Value) -> Value {
    with(object("v1", kind, "prod", "x"), more)
}

fn annotated(kind: &str, name: &str, spec: Value) -> Value {
    core(kind, json!({"metadata": {"annotations": {name: "x", "own": "kept"}}, "spec": spec}))
}

/// One observed object per rule, with what the rule takes out of it and what it leaves.
fn cases() -> Vec<Case> {
    [of_servers(), of_volumes(), of_controllers()].concat()
}

fn of_servers() -> Vec<Case> {
    vec![
        ("status", core("ConfigMap", json!({"status": {"a": 1}})), core("ConfigMap", json!({}))),
        (
            "server-metadata",
            core(
                "ConfigMap",
                json!({"metadata": {"uid": "u", "resourceVersion": "1", "generation": 1,
                    "creationTimestamp": "t", "deletionTimestamp": "t", "selfLink": "/x",
                    "deletionGracePeriodSeconds": 0, "managedFields": [], "labels": {"a": "b"}}}),
            ),
            core("ConfigMap", json!({"metadata": {"labels": {"a": "b"}}})),
        ),
        (
            "client-annotations",
            annotated("ConfigMap", "deployment.kubernetes.io/revision", json!({})),
            core("ConfigMap", json!({"metadata": {"annotations": {"own": "kept"}}, "spec": {}})),
        ),
        (
            "namespace-finalizers",
            with(
                object("v1", "Namespace", "", "x"),
                json!({"spec": {"finalizers": ["kubernetes"]}}),
            ),
            with(object("v1", "Namespace", "", "x"), json!({"spec": {}})),
        ),
        (
            "service-address",
            core(
                "Service",
                json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                "healthCheckNodePort": 30000, "type": "LoadBalancer"}}),
            ),
            core("Service", json!({"spec": {"type": "LoadBalancer"}})),
        ),
        (
            "service-node-port",
            core("Service", json!({"spec": {"ports": [{"port": 80, "nodePort": 30080}]}})),
            core("Service", json!({"spec": {"ports": [{"port": 80}]}})),
        ),
    ]
}

fn of_volumes() -> Vec<Case> {
    vec![
        (
            "claim-binding",
            annotated(
                "PersistentVolumeClaim",
                "pv.kubernetes.io/bind-completed",
                json!({"volumeName": "pv-1", "storageClassName": "fast"}),
            ),
            core(
                "PersistentVolumeClaim",
                json!({"metadata": {"annotations": {"own": "kept"}},
                "spec": {"storageClassName": "fast"}}),
            ),
        ),
        (
            "volume-claim",
            with(
                object("v1", "PersistentVolume", "", "x"),
                json!({"spec": {"claimRef":
                {"name": "c", "namespace": "prod", "uid": "u", "resourceVersion": "1"}}}),
            ),
            with(
                object("v1", "PersistentVolume", "", "x"),
                json!({"spec": {"claimRef": {"name": "c", "namespace": "prod"}}}),
            ),
        ),
        (
            "pod-node",
            core(
                "Pod",
                json!({"spec": {"nodeName": "n", "volumes": [{"name": "kube-api-access-1"},
                {"name": "own"}], "containers": [{"name": "c", "volumeMounts":
                [{"name": "kube-api-access-1"}, {"name": "own"}]}]}}),
            ),
            core(
                "Pod",
                json!({"spec": {"volumes": [{"name": "own"}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "own"}]}]}}),
            ),
        ),
    ]
}

fn of_controllers() -> Vec<Case> {
    vec![
        (
            "job-identity",
            with(
                object("batch/v1", "Job", "prod", "x"),
                json!({"spec": {"selector": {"matchLabels":
                {"batch.kubernetes.io/controller-uid": "u"}}, "template": {"metadata": {"labels":
                {"controller-uid": "u", "job-name": "x", "own": "kept"}}}}}),
            ),
            with(
                object("batch/v1", "Job", "prod", "x"),
                json!({"spec": {"template": {"metadata": {"labels": {"own": "kept"}}}}}),
            ),
        ),
        (
            "account-tokens",
            core("ServiceAccount", json!({"secrets": [{"name": "t"}], "imagePullSecrets": []})),
            core("ServiceAccount", json!({"imagePullSecrets": []})),
        ),
        (
            "aggregated-rules",
            with(
                object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "x"),
                json!({"aggregationRule": {"a": []}, "rules": [{"verbs": ["get"]}]}),
            ),
            with(
                object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "x"),
                json!({"aggregationRule": {"a": []}}),
            ),
        ),
        (
            "injected-ca",
            with(
                object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "x"),
                json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "a/b"}},
                    "webhooks": [{"clientConfig": {"caBundle": "b2xk", "url": "https://x"}}]}),
            ),
            with(
                object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "x"),
                json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "a/b"}},
                    "webhooks": [{"clientConfig": {"url": "https://x"}}]}),
            ),
        ),
    ]
}

#[test]
fn every_rule_takes_out_what_it_says_and_nothing_else() {
    let cases = cases();
    let named: Vec<&str> = cases.iter().map(|(rule, ..)| *rule).collect();
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(named, rules, "each rule has its case");
    for (rule, given, expected) in cases {
        let candidate = Candidate::observed(given.clone());
        let mut manifest = given;
        let used = sanitise(&candidate.key, Source::Observed, None, &mut manifest);
        assert_eq!(used, [rule], "{manifest}");
        assert_eq!(manifest, expected, "{rule}");
        let again = sanitise(&candidate.key, Source::Observed, None, &mut manifest);
        assert_eq!(again, [""; 0], "{rule}: nothing is left of it");
    }
}

#[test]
fn what_git_says_stays() {
    let touched: Vec<&str> = cases()
        .into_iter()
        .filter_map(|(rule, given, _)| {
            let candidate = Candidate::wanted(given);
            let mut manifest = candidate.manifest.clone();
            let used = sanitise(&candidate.key, Source::Wanted, None, &mut manifest);
            (!used.is_empty()).then_some(rule)
        })
        .collect();
    // Whatever Git gives an aggregated role, a controller puts its rules together.
    let of_servers = [
        "status",
        "server-metadata",
        "namespace-finalizers",
        "claim-binding",
        "volume-claim",
        "aggregated-rules",
    ];
    assert_eq!(touched, of_servers);
    // A volume that Git names is a wish; one that a controller bound to is not.
    let claim = with(
        object("v1", "PersistentVolumeClaim", "prod", "x"),
        json!({"spec": {"volumeName": "v"}}),
    );
    let key = Candidate::wanted(claim.clone()).key;
    let mut manifest = claim.clone();
    assert_eq!(sanitise(&key, Source::Wanted, None, &mut manifest), [""; 0]);
    assert_eq!(manifest, claim);
    let headless =
        with(object("v1", "Service", "prod", "x"), json!({"spec": {"clusterIP": "None"}}));
    let mut manifest = headless.clone();
    let key = Candidate::observed(headless.clone()).key;
    assert_eq!(sanitise(&key, Source::Observed, None, &mut manifest), [""; 0]);
    assert_eq!(manifest, headless, "a headless Service stays headless");
}

#[test]
fn of_observed_finalizers_those_stay_that_git_names() {
    let finalizers = |list: Value| {
        with(object("v1", "ConfigMap", "prod", "x"), json!({"metadata": {"finalizers": list}}))
    };
    let observed = finalizers(json!(["git.example.org/a", "controller.example.org/b"]));
    let wanted = finalizers(json!(["git.example.org/a"]));
    let key = Candidate::observed(observed.clone()).key;
    let mut manifest = observed.clone();
    assert_eq!(sanitise(&key, Source::Observed, Some(&wanted), &mut manifest), ["finalizers"]);
    assert_eq!(manifest, wanted);
    let mut manifest = observed;
    sanitise(&key, Source::Observed, None, &mut manifest);
    assert_eq!(manifest, object("v1", "ConfigMap", "prod", "x"));
}

#[test]
fn of_what_was_observed_that_stays_that_git_names() {
    let service = |spec: Value| with(object("v1", "Service", "prod", "x"), json!({"spec": spec}));
    let claim =
        |spec: Value| annotated("PersistentVolumeClaim", "pv.kubernetes.io/bind-completed", spec);
    let git_claim = core("PersistentVolumeClaim", json!({"spec": {"volumeName": "wish"}}));
    let job = |labels: Value| {
        with(
            object("batch/v1", "Job", "prod", "x"),
            json!({"spec": {"template": {"metadata": {"labels": labels}, "spec": {}}}}),
        )
    };
    let bare =
        with(object("batch/v1", "Job", "prod", "x"), json!({"spec": {"template": {"spec": {}}}}));
    let ports = |node: [u16; 2]| {
        json!([{"name": "a", "port": 80, "protocol": "TCP", "nodePort": node[0]},
            {"name": "b", "port": 81, "protocol": "TCP", "nodePort": node[1]}])
    };
    let cases = [
        (
            "the address, and a port of two",
            service(
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": ports([1, 2])}),
            ),
            service(
                json!({"clusterIP": "10.0.0.1", "ports": [{"name": "b", "port": 81, "nodePort": 2},
                {"name": "a", "port": 80}]}),
            ),
            service(
                json!({"clusterIP": "10.0.0.1", "ports": [{"name": "a", "port": 80, "protocol": "TCP"},
                {"name": "b", "port": 81, "protocol": "TCP", "nodePort": 2}]}),
            ),
            &["service-address", "service-node-port"][..],
        ),
        (
            "a port without a name",
            service(json!({"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1}]})),
            service(json!({"ports": [{"port": 80, "nodePort": 1}]})),
            service(json!({"ports": [{"port": 80, "protocol": "TCP", "nodePort": 1}]})),
            &[],
        ),
        (
            "the volume of a claim",
            claim(json!({"volumeName": "wish"})),
            git_claim,
            core(
                "PersistentVolumeClaim",
                json!({"metadata": {"annotations": {"own": "kept"}}, "spec": {"volumeName": "wish"}}),
            ),
            &["claim-binding"],
        ),
        (
            "nothing that the API server sets",
            job(json!({"job-name": "x", "controller-uid": "u"})),
            bare.clone(),
            bare,
            &["job-identity"],
        ),
    ];
    for (what, mut manifest, git, left, rules) in cases {
        let key = Candidate::observed(manifest.clone()).key;
        let used = sanitise(&key, Source::Observed, Some(&git), &mut manifest);
        assert_eq!((used.as_slice(), manifest), (rules, left), "{what}");
    }
}
