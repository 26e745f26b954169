//! The plan: what is written, in which order and version, what is taken out of it and left out.

mod edges;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::candidate::Candidate;
use super::lost::LossKind;
use super::plan::{Input, Plan, plan};
use super::skips::{self, SKIPS};
use super::versions::{Choice, Serving};
use crate::model::{GroupKind, ObjectKey};

fn object(api: &str, kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": api, "kind": kind, "metadata": metadata})
}

fn with(mut object: Value, more: Value) -> Value {
    for (field, value) in more.as_object().unwrap() {
        match (object.get_mut(field), value) {
            (Some(Value::Object(have)), Value::Object(more)) => have.extend(more.clone()),
            _ => object[field] = value.clone(),
        }
    }
    object
}

fn crd(group: &str, kind: &str, versions: &[&str]) -> Value {
    let name = format!("{}s.{group}", kind.to_lowercase());
    let versions: Vec<Value> =
        versions.iter().map(|name| json!({"name": name, "served": true})).collect();
    let spec = json!({"group": group, "names": {"kind": kind}, "versions": versions});
    with(
        object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", &name),
        json!({"spec": spec}),
    )
}

fn planned(wanted: Vec<Value>) -> Plan {
    let candidates = wanted.into_iter().map(Candidate::wanted).collect();
    plan(Input { candidates, ..Input::default() }, Serving::unknown())
}

fn keys(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.key.to_string()).collect()
}

fn losses(plan: &Plan, kind: LossKind) -> Vec<String> {
    let shown = &plan.shown;
    let all = shown.missing.iter().chain(&shown.lost).chain(&shown.later);
    all.filter(|loss| loss.kind == kind).map(|loss| loss.subject.clone()).collect()
}

#[test]
fn what_others_need_comes_first_and_what_may_refuse_them_last() {
    let core = |kind: &str, name: &str| object("v1", kind, "prod", name);
    let service = json!({"spec": {"group": "metrics.example.org", "version": "v1",
        "service": {"name": "m", "namespace": "prod"}}});
    let mut wanted = vec![
        object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "v"),
        object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", "p"),
        core("ResourceQuota", "few"),
        core("LimitRange", "small"),
        object("metrics.example.org/v1", "Scale", "prod", "s"),
        with(
            object("apiregistration.k8s.io/v1", "APIService", "", "v1.metrics.example.org"),
            service,
        ),
        object("example.org/v1", "Widget", "prod", "w"),
        object("autoscaling/v2", "HorizontalPodAutoscaler", "prod", "h"),
        object("batch/v1", "Job", "prod", "j"),
        object("apps/v1", "Deployment", "prod", "d"),
        core("Service", "svc"),
        core("PersistentVolumeClaim", "claim"),
        object("scheduling.k8s.io/v1", "PriorityClass", "", "high"),
        object("storage.k8s.io/v1", "StorageClass", "", "fast"),
        core("Secret", "secret"),
        core("ConfigMap", "config"),
        object("rbac.authorization.k8s.io/v1", "RoleBinding", "prod", "b"),
        object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "c"),
        core("ServiceAccount", "account"),
        object("v1", "Namespace", "", "prod"),
        crd("example.org", "Widget", &["v1"]),
    ];
    let stages = |plan: &Plan| -> Vec<(String, usize)> { plan.shown.stages.clone() };
    let expected: Vec<(String, usize)> = [
        ("definitions", 1),
        ("namespaces", 1),
        ("access", 3),
        ("configuration", 6),
        ("services", 1),
        ("workloads", 2),
        ("rest", 2),
        ("apis", 1),
        ("aggregated", 1),
        ("quotas", 1),
        ("admission", 2),
    ]
    .map(|(stage, count)| (stage.to_owned(), count))
    .into();
    let forward = planned(wanted.clone());
    assert_eq!(stages(&forward), expected);
    wanted.reverse();
    let backward = planned(wanted);
    assert_eq!(keys(&backward), keys(&forward), "the order does not depend on how it was given");
    assert_eq!(backward.shown.digest, forward.shown.digest);
    assert_eq!(losses(&forward, LossKind::NoNamespace), [""; 0]);
}

/// Goal: a namespace enforces from the beginning what it enforced, and which Pods that may refuse is
/// said.
#[test]
fn pods_that_their_namespace_may_refuse_are_named() {
    let namespace = |name: &str, level: &str| {
        let labels = json!({"labels": {"pod-security.kubernetes.io/enforce": level}});
        with(object("v1", "Namespace", "", name), json!({"metadata": labels}))
    };
    let pod = |namespace: &str| object("v1", "Pod", namespace, "bare");
    let made = planned(vec![
        namespace("strict", "restricted"),
        namespace("open", "privileged"),
        object("v1", "Namespace", "", "plain"),
        namespace("empty", "baseline"),
        pod("strict"),
        pod("open"),
        pod("plain"),
    ]);
    let notes: Vec<_> =
        made.shown.notes.iter().filter(|note| note.contains("Pod Security")).collect();
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(note.starts_with("Namespace strict enforces Pod Security (restricted)"), "{note}");
    assert!(note.ends_with(": Pod/strict/bare"), "{note}");
    let label = |step: &super::plan::Step| step.manifest["metadata"]["labels"].clone();
    let strict = made.steps.iter().find(|step| step.key.name() == "strict").unwrap();
    assert_eq!(label(strict)["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn sync_waves_order_within_a_stage_and_owners_before_all() {
    let config = |name: &str, wave: i32| Candidate {
        wave,
        ..Candidate::wanted(object("v1", "ConfigMap", "prod", name))
    };
    let owned = |name: &str, api: &str, kind: &str, owner: &str| {
        let owner = json!([{"apiVersion": api, "kind": kind, "name": owner, "uid": "old"}]);
        let config = object("v1", "ConfigMap", "prod", name);
        Candidate::wanted(with(config, json!({"metadata": {"ownerReferences": owner}})))
    };
    let candidates = vec![
        config("late", 5),
        config("early", -5),
        // Its owner is of a later stage, and comes first all the same.
        owned("a", "apps/v1", "Deployment", "web"),
        owned("b", "v1", "ConfigMap", "a"),
        owned("c", "v1", "Namespace", "prod"),
        owned("d", "example.org/v1", "Widget", "nobody"),
        Candidate::wanted(object("apps/v1", "Deployment", "prod", "web")),
        Candidate::wanted(object("v1", "Namespace", "", "prod")),
    ];
    let plan = plan(Input { candidates, ..Input::default() }, Serving::unknown());
    let expected = [
        "Namespace/prod",
        "ConfigMap/prod/early",
        "ConfigMap/prod/c",
        "ConfigMap/prod/d",
        "ConfigMap/prod/late",
        "Deployment.apps/prod/web",
        "ConfigMap/prod/a",
        "ConfigMap/prod/b",
    ];
    assert_eq!(keys(&plan), expected);
    assert_eq!(losses(&plan, LossKind::Owner), ["ConfigMap/prod/d"]);

    let step = |name: &str| plan.steps.iter().find(|step| step.key.name() == name).unwrap();
    assert!(step("d").manifest["metadata"].get("ownerReferences").is_none());
    let mut uids = BTreeMap::new();
    assert_eq!(step("a").with_owners(&uids), None, "its owner is not there yet");
    let web: ObjectKey = "Deployment.apps/prod/web".parse().unwrap();
    uids.insert(web, "new".to_owned());
    let manifest = step("a").with_owners(&uids).unwrap();
    assert_eq!(manifest["metadata"]["ownerReferences"][0]["uid"], "new");
}

#[test]
fn owners_in_a_circle_end() {
    let owned = |name: &str, owner: &str| {
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": "x"}]);
        let config = object("v1", "ConfigMap", "prod", name);
        with(config, json!({"metadata": {"ownerReferences": owner}}))
    };
    let plan = planned(vec![owned("a", "b"), owned("b", "a"), owned("own", "own")]);
    assert_eq!(plan.steps.len(), 3);
    assert_eq!(losses(&plan, LossKind::Owner), ["ConfigMap/prod/own"]);
}

#[test]
fn what_clusters_make_by_themselves_is_left_out_by_name() {
    let labelled =
        |value: Value, label: &str| with(value, json!({"metadata": {"labels": {label: "x"}}}));
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "view");
    let service = object("apiregistration.k8s.io/v1", "APIService", "", "v1.apps");
    let secret = |kind: &str| with(object("v1", "Secret", "prod", "s"), json!({"type": kind}));
    let pod =
        |phase: &str| with(object("v1", "Pod", "prod", "p"), json!({"status": {"phase": phase}}));
    let rule = |value: Value| skips::of_observed(&Candidate::observed(value));
    for (value, expected) in [
        (object("v1", "ConfigMap", "prod", "kube-root-ca.crt"), Some("cluster-made")),
        (object("v1", "ServiceAccount", "prod", "default"), Some("cluster-made")),
        (object("v1", "Service", "default", "kubernetes"), Some("cluster-made")),
        (object("v1", "Namespace", "", "default"), Some("cluster-made")),
        (
            object("scheduling.k8s.io/v1", "PriorityClass", "", "system-node-critical"),
            Some("cluster-made"),
        ),
        (labelled(role.clone(), "kubernetes.io/bootstrapping"), Some("cluster-made")),
        (labelled(service, "kube-aggregator.kubernetes.io/automanaged"), Some("cluster-made")),
        (object("v1", "ConfigMap", "kube-system", "coredns"), Some("system-namespace")),
        (object("v1", "Node", "", "n"), Some("transient-kind")),
        (object("coordination.k8s.io/v1", "Lease", "prod", "l"), Some("transient-kind")),
        (object("discovery.k8s.io/v1", "EndpointSlice", "prod", "e"), Some("transient-kind")),
        (secret("kubernetes.io/service-account-token"), Some("service-account-token")),
        (secret("helm.sh/release.v1"), Some("bookkeeping")),
        (pod("Succeeded"), Some("finished-pod")),
        (object("argoproj.io/v1alpha1", "Application", "argocd", "a"), Some("application")),
        (pod("Running"), None),
        (role, None),
        (secret("Opaque"), None),
        (object("v1", "Service", "prod", "kubernetes"), None),
        (object("v1", "Namespace", "", "prod"), None),
    ] {
        assert_eq!(rule(value.clone()), expected, "{value}");
        if let Some(rule) = expected {
            assert!(SKIPS.iter().any(|(name, _)| *name == rule), "{rule} is explained");
        }
    }
}

fn input(wanted: Vec<Value>, others: Vec<Value>) -> Input {
    Input {
        candidates: wanted.into_iter().map(Candidate::wanted).collect(),
        others: others.into_iter().map(Candidate::observed).collect(),
        ..Input::default()
    }
}

#[test]
fn what_no_application_wants_comes_when_it_is_needed_or_asked_for() {
    let wanted = || vec![object("example.org/v1", "Widget", "prod", "w")];
    let others = || {
        vec![
            object("v1", "Namespace", "", "prod"),
            object("v1", "Namespace", "", "other"),
            crd("example.org", "Widget", &["v1"]),
            crd("example.org", "Gadget", &["v1"]),
            object("v1", "ConfigMap", "other", "by-hand"),
            object("v1", "PersistentVolumeClaim", "other", "data"),
            object("v1", "Secret", "other", "by-hand"),
        ]
    };
    let needed = plan(input(wanted(), others()), Serving::unknown());
    let pulled =
        ["CustomResourceDefinition.apiextensions.k8s.io/widgets.example.org", "Namespace/prod"];
    assert_eq!(keys(&needed)[..2], pulled);
    assert_eq!(needed.steps.len(), 3);
    assert_eq!(losses(&needed, LossKind::Unowned).len(), 4);
    assert_eq!(losses(&needed, LossKind::VolumeData), ["PersistentVolumeClaim/other/data"]);
    assert!(needed.shown.notes[0].contains("Namespace/prod"), "{:?}", needed.shown.notes);
    let all = plan(Input { unowned: true, ..input(wanted(), others()) }, Serving::unknown());
    assert_eq!(all.steps.len(), 7, "{:?}", keys(&all));
    assert_eq!(losses(&all, LossKind::Unowned), [""; 0]);
    assert_eq!(losses(&all, LossKind::VolumeData).len(), 1, "a claim is told of once");
    for made in [&needed, &all] {
        assert_eq!(losses(made, LossKind::ObservedSecret), ["Secret/other/by-hand"]);
        assert!(!made.shown.returns());
    }
    let without = plan(input(wanted(), Vec::new()), Serving::unknown());
    assert_eq!(losses(&without, LossKind::NoNamespace), ["Widget.example.org/prod/w"]);
}

#[test]
fn what_left_git_is_named_with_its_data_unless_it_is_asked_for_or_needed() {
    let others = || {
        let kinds = [("PersistentVolumeClaim", "prod"), ("Namespace", ""), ("Secret", "prod")];
        let observed = kinds.map(|(kind, namespace)| {
            let name = if namespace.is_empty() { "prod" } else { "data" };
            let object = Candidate::observed(object("v1", kind, namespace, name));
            Candidate { left: Some("it left Git".into()), ..object }
        });
        observed.to_vec()
    };
    let made = |unowned| {
        let candidates = vec![Candidate::wanted(object("v1", "ConfigMap", "prod", "a"))];
        let input = Input { candidates, others: others(), unowned, ..Input::default() };
        plan(input, Serving::unknown())
    };
    let (by_itself, asked) = (made(false), made(true));
    let claim = "PersistentVolumeClaim/prod/data";
    assert_eq!(keys(&by_itself), ["Namespace/prod", "ConfigMap/prod/a"]);
    assert_eq!(losses(&by_itself, LossKind::LeftGit), [claim, "Secret/prod/data"]);
    assert_eq!(keys(&asked).len(), 3);
    assert_eq!(losses(&asked, LossKind::LeftGit), ["Secret/prod/data"]);
    for made in [by_itself, asked] {
        assert_eq!(losses(&made, LossKind::VolumeData), [claim], "told of once");
        assert!(!made.shown.returns());
    }
}

/// Goal: what stays until something else is written is not without its namespace.
#[test]
fn what_stays_brings_the_namespace_that_it_needs() {
    let others = [("Namespace", ""), ("ConfigMap", "prod")].map(|(kind, namespace)| {
        let name = if namespace.is_empty() { "prod" } else { "old" };
        Candidate::observed(object("v1", kind, namespace, name))
    });
    let [namespace, old] = others;
    let (app, left) = ("web".to_owned(), Some("it left Git: it stays".to_owned()));
    let old = Candidate { app, left, stays: true, ..old };
    let others = vec![namespace, old];
    let made = plan(Input { others, ..Input::default() }, Serving::unknown());
    assert_eq!(keys(&made), ["Namespace/prod", "ConfigMap/prod/old"]);
    assert_eq!(losses(&made, LossKind::NoNamespace), [""; 0]);
    assert_eq!(made.steps[1].app, "web");
}

#[test]
fn what_is_left_out_is_named_and_counts_no_more() {
    let others =
        vec![object("v1", "Namespace", "", "other"), object("v1", "ConfigMap", "other", "by-hand")];
    let asked = Input { unowned: true, ..input(Vec::new(), others) };
    let mut made = plan(asked, Serving::unknown());
    let digest = made.shown.digest.clone();
    made.leave(&BTreeSet::from([ObjectKey::new("", "Namespace", "", "other")]));
    assert_eq!(keys(&made), ["ConfigMap/other/by-hand"]);
    assert_eq!((made.shown.objects, made.shown.stages.len()), (1, 1));
    assert_ne!(made.shown.digest, digest);
    assert!(made.shown.notes[0].ends_with("Namespace/other"), "{:?}", made.shown.notes);
}

#[test]
fn keys_that_controllers_keep_are_named() {
    let issuer = |name: &str, spec: Value| {
        with(object("cert-manager.io/v1", "Issuer", "prod", name), json!({"spec": spec}))
    };
    let acme = json!({"acme": {"privateKeySecretRef": {"name": "account"}}});
    let wanted = vec![
        issuer("acme", acme),
        issuer("own", json!({"ca": {"secretName": "ca"}})),
        object("v1", "Secret", "prod", "ca"),
        object("bitnami.com/v1alpha1", "SealedSecret", "prod", "sealed"),
        object("v1", "Namespace", "", "prod"),
    ];
    let label = json!({"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}});
    let key = with(object("v1", "Secret", "sealed-secrets", "key1"), json!({"metadata": label}));
    let made = plan(input(wanted, vec![key]), Serving::unknown());
    let keys = losses(&made, LossKind::ControllerKey);
    let expected = [
        "Issuer.cert-manager.io/prod/acme",
        "SealedSecret.bitnami.com/prod/sealed",
        "Secret/sealed-secrets/key1",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn what_an_object_does_not_bring_back_is_said() {
    let inject = json!({"annotations": {"cert-manager.io/inject-ca-from": "prod/web"}});
    let webhook =
        object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "v");
    let made = planned(vec![
        object("v1", "Namespace", "", "prod"),
        object("v1", "PersistentVolumeClaim", "prod", "data"),
        with(object("v1", "Service", "prod", "lb"), json!({"spec": {"type": "LoadBalancer"}})),
        with(webhook, json!({"metadata": inject})),
    ]);
    assert_eq!(losses(&made, LossKind::VolumeData), ["PersistentVolumeClaim/prod/data"]);
    assert_eq!(losses(&made, LossKind::Address), ["Service/prod/lb"]);
    let ca = losses(&made, LossKind::InjectedCa);
    assert_eq!(ca, ["ValidatingWebhookConfiguration.admissionregistration.k8s.io/v"]);
    assert_eq!(
        (made.shown.lost.len(), made.shown.later.len(), made.shown.missing.len()),
        (1, 2, 0)
    );
}

fn choose(served: &[(&str, &str, &str)], manifest: &Value) -> Choice {
    let served = served
        .iter()
        .map(|(group, kind, version)| (GroupKind::new(*group, *kind), (*version).to_owned()));
    let candidate = Candidate::wanted(manifest.clone());
    Serving::of(served).choose(&candidate.key, &candidate.version, manifest, &BTreeSet::new())
}

#[test]
fn removed_versions_are_mapped_where_their_fields_mean_the_same() {
    let mapped = |group: &str, kind: &str, from: &str, to: &str, more: Value| {
        let manifest = with(object(&format!("{group}/{from}"), kind, "prod", "x"), more);
        let newer = choose(&[(group, kind, to)], &manifest);
        let both = choose(&[(group, kind, to), (group, kind, from)], &manifest);
        assert_eq!(both, Choice::Same, "what is served stays");
        newer
    };
    let to = |version: &str| Choice::Mapped(version.to_owned());
    let none = || json!({});
    let hpa = "HorizontalPodAutoscaler";
    assert_eq!(mapped("autoscaling", hpa, "v2beta2", "v2", none()), to("v2"));
    assert_eq!(mapped("batch", "CronJob", "v1beta1", "v1", none()), to("v1"));
    let rbac = "rbac.authorization.k8s.io";
    assert_eq!(mapped(rbac, "ClusterRole", "v1beta1", "v1", none()), to("v1"));
    assert_eq!(mapped("storage.k8s.io", "CSIDriver", "v1beta1", "v1", none()), to("v1"));
    let selected = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(
        mapped("policy", "PodDisruptionBudget", "v1beta1", "v1", selected.clone()),
        to("v1")
    );
    assert_eq!(mapped("apps", "Deployment", "v1beta2", "v1", selected), to("v1"));

    let refused = |choice: Choice, what: &str| match choice {
        Choice::Not(why) => assert!(why.contains(what), "{why}"),
        other => panic!("{other:?}"),
    };
    let empty = json!({"spec": {"selector": {}}});
    let budget = mapped("policy", "PodDisruptionBudget", "v1beta1", "v1", empty);
    refused(budget, "every pod in v1");
    refused(mapped("apps", "Deployment", "v1beta2", "v1", none()), "wants spec.selector");
    let ingress = mapped("networking.k8s.io", "Ingress", "v1beta1", "v1", none());
    refused(ingress, "renamed the fields of backends");
    refused(mapped("autoscaling", hpa, "v2beta1", "v2", none()), "targets of metrics");
    refused(mapped("example.org", "Widget", "v1", "v2", none()), "is not known");
    let webhook = "ValidatingWebhookConfiguration";
    let hooks = json!({"webhooks": [{"name": "x"}]});
    let admission = "admissionregistration.k8s.io";
    refused(mapped(admission, webhook, "v1beta1", "v1", hooks), "sideEffects");
    let hooks = json!({"webhooks": [{"sideEffects": "None", "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore", "matchPolicy": "Exact", "timeoutSeconds": 5}]});
    assert_eq!(mapped(admission, webhook, "v1beta1", "v1", hooks), to("v1"));
    let policy = object("policy/v1beta1", "PodSecurityPolicy", "", "x");
    refused(choose(&[], &policy), "removed in 1.25");
    refused(
        choose(&[], &object("example.org/v1", "Widget", "prod", "x")),
        "nothing replayed defines it",
    );
}

#[test]
fn a_kind_that_the_plan_itself_brings_is_served() {
    let wanted = vec![
        crd("example.org", "Widget", &["v1", "v2"]),
        object("example.org/v2", "Widget", "prod", "w"),
        object("example.org/v3", "Widget", "prod", "x"),
        object("batch/v1beta1", "CronJob", "prod", "c"),
        object("v1", "Namespace", "", "prod"),
    ];
    let served = [
        ("", "Namespace", "v1"),
        ("batch", "CronJob", "v1"),
        ("apiextensions.k8s.io", "CustomResourceDefinition", "v1"),
    ];
    let served =
        served.map(|(group, kind, version)| (GroupKind::new(group, kind), version.to_owned()));
    let made = plan(input(wanted, Vec::new()), Serving::of(served));
    assert_eq!(losses(&made, LossKind::NotServed), ["Widget.example.org/prod/x"]);
    let job = made.steps.iter().find(|step| step.key.kind() == "CronJob").unwrap();
    assert_eq!((job.version.as_str(), &job.manifest["apiVersion"]), ("v1", &json!("batch/v1")));
    assert_eq!(job.mapped.as_deref(), Some("v1beta1"));
    assert!(made.shown.notes.iter().any(|note| note.contains("written in v1")));
}
