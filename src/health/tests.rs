use serde_json::json;

use super::*;

#[track_caller]
fn check(object: Value, health: Health, message: &str) {
    assert_eq!(assess(&object), (health, message.to_owned()), "{object}");
}

/// An object with generation 2 whose controller has seen it.
fn seen(api_version: &str, kind: &str, spec: Value, mut status: Value) -> Value {
    if status.get("observedGeneration").is_none() {
        status["observedGeneration"] = json!(2);
    }
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2},
        "spec": spec, "status": status})
}

fn with_conditions(api_version: &str, kind: &str, conditions: Value) -> Value {
    seen(api_version, kind, json!({}), json!({"conditions": conditions}))
}

use Health::{Degraded, Healthy, Progressing, Suspended, Unknown};

#[test]
fn deployments_are_judged_by_their_counters() {
    let three = json!({"replicas": 3});
    for (spec, status, health, message) in [
        (&three, json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}), Healthy, ""),
        (
            &three,
            json!({"replicas": 3, "updatedReplicas": 2}),
            Progressing,
            "2 of 3 replicas are updated",
        ),
        (
            &three,
            json!({"replicas": 4, "updatedReplicas": 3}),
            Progressing,
            "1 old replicas are still there",
        ),
        (
            &three,
            json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 1}),
            Progressing,
            "1 of 3 replicas are available",
        ),
        (
            &three,
            json!({"observedGeneration": 1}),
            Progressing,
            "waiting for the controller to see the change",
        ),
        (
            &three,
            json!({"observedGeneration": null}),
            Progressing,
            "waiting for the controller to see the change",
        ),
        (&json!({"replicas": 0}), json!({}), Healthy, ""),
        (&json!({}), json!({}), Progressing, "0 of 1 replicas are updated"),
        (&json!({"paused": true}), json!({}), Suspended, "paused"),
        (
            &three,
            json!({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}]}),
            Degraded,
            "too late",
        ),
    ] {
        check(seen("apps/v1", "Deployment", spec.clone(), status), health, message);
    }
    check(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0}}),
        Progressing,
        "waiting for the controller to see the change",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, one row per rule")]
fn replica_sets_stateful_sets_and_daemon_sets_are_judged_by_their_counters() {
    let two = json!({"replicas": 2});
    let table = [
        ("ReplicaSet", two.clone(), json!({"availableReplicas": 2}), Healthy, ""),
        (
            "ReplicaSet",
            two.clone(),
            json!({"availableReplicas": 1}),
            Progressing,
            "1 of 2 replicas are available",
        ),
        (
            "ReplicaSet",
            two.clone(),
            json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]}),
            Degraded,
            "FailedCreate",
        ),
        (
            "StatefulSet",
            two.clone(),
            json!({"readyReplicas": 1}),
            Progressing,
            "1 of 2 replicas are ready",
        ),
        (
            "StatefulSet",
            two.clone(),
            json!({"readyReplicas": 2, "updateRevision": "b", "currentRevision": "a", "updatedReplicas": 1}),
            Progressing,
            "1 of 2 replicas are updated",
        ),
        (
            "StatefulSet",
            two,
            json!({"readyReplicas": 2, "updateRevision": "a", "currentRevision": "a"}),
            Healthy,
            "",
        ),
        (
            "StatefulSet",
            json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
            json!({"readyReplicas": 2, "updateRevision": "b"}),
            Healthy,
            "",
        ),
        (
            "StatefulSet",
            json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
            json!({"readyReplicas": 3, "updatedReplicas": 1}),
            Progressing,
            "1 of 2 replicas above the partition are updated",
        ),
        (
            "StatefulSet",
            json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
            json!({"readyReplicas": 3, "updatedReplicas": 2, "updateRevision": "b"}),
            Healthy,
            "",
        ),
        (
            "DaemonSet",
            json!({}),
            json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 1}),
            Progressing,
            "1 of 2 pods are updated",
        ),
        (
            "DaemonSet",
            json!({}),
            json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}),
            Progressing,
            "1 of 2 pods are available",
        ),
        (
            "DaemonSet",
            json!({}),
            json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}),
            Healthy,
            "",
        ),
        (
            "DaemonSet",
            json!({"updateStrategy": {"type": "OnDelete"}}),
            json!({"desiredNumberScheduled": 2}),
            Healthy,
            "",
        ),
        (
            "DaemonSet",
            json!({}),
            json!({"observedGeneration": 1}),
            Progressing,
            "waiting for the controller to see the change",
        ),
    ];
    for (kind, spec, status, health, message) in table {
        check(seen("apps/v1", kind, spec, status), health, message);
    }
}

#[test]
fn pods_are_judged_by_phase_and_containers() {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let waiting = |reason: &str| json!([{"name": "web", "state": {"waiting": {"reason": reason, "message": "back-off 10s"}}}]);
    let table = [
        (json!({}), json!({"phase": "Running", "conditions": ready}), Healthy, ""),
        (json!({}), json!({"phase": "Running"}), Progressing, "not ready"),
        (
            json!({}),
            json!({"phase": "Running", "containerStatuses": waiting("CrashLoopBackOff")}),
            Degraded,
            "container web: CrashLoopBackOff",
        ),
        (
            json!({}),
            json!({"phase": "Pending", "containerStatuses": waiting("ErrImagePull")}),
            Degraded,
            "container web: ErrImagePull",
        ),
        (
            json!({}),
            json!({"phase": "Pending", "initContainerStatuses": waiting("CreateContainerConfigError")}),
            Degraded,
            "container web: CreateContainerConfigError",
        ),
        (
            json!({}),
            json!({"phase": "Pending", "containerStatuses": waiting("ContainerCreating")}),
            Progressing,
            "container web: ContainerCreating",
        ),
        (
            json!({}),
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "no nodes"}]}),
            Progressing,
            "no nodes",
        ),
        (json!({}), json!({}), Progressing, "pending"),
        (
            json!({"restartPolicy": "Never"}),
            json!({"phase": "Pending", "containerStatuses": waiting("ErrImagePull")}),
            Progressing,
            "container web: ErrImagePull",
        ),
        (
            json!({"restartPolicy": "Never"}),
            json!({"phase": "Running", "conditions": ready}),
            Progressing,
            "running",
        ),
        (json!({"restartPolicy": "Never"}), json!({"phase": "Succeeded"}), Healthy, ""),
        (json!({}), json!({"phase": "Failed", "reason": "Evicted"}), Degraded, "Evicted"),
        (
            json!({}),
            json!({"phase": "Failed", "containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
            Degraded,
            "container web: OOMKilled, exit code 137",
        ),
        (json!({}), json!({"phase": "Failed"}), Degraded, "failed"),
        (
            json!({}),
            json!({"phase": "Running", "containerStatuses": [{"name": "web", "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
            Degraded,
            "container web restarted and is not ready: exit code 1",
        ),
        (json!({}), json!({"phase": "Strange"}), Unknown, "phase Strange"),
    ];
    for (spec, status, health, message) in table {
        check(seen("v1", "Pod", spec, status), health, message);
    }
}

#[test]
fn jobs_claims_namespaces_and_load_balancers() {
    let condition =
        |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "message": kind}]});
    let address = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}});
    let balancer = json!({"type": "LoadBalancer"});
    let wait = "waiting for a load balancer address";
    let table = [
        ("batch/v1", "Job", json!({}), json!({}), Progressing, "running"),
        ("batch/v1", "Job", json!({}), condition("Complete"), Healthy, ""),
        ("batch/v1", "Job", json!({}), condition("Failed"), Degraded, "Failed"),
        ("batch/v1", "Job", json!({}), condition("Suspended"), Suspended, "suspended"),
        ("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Bound"}), Healthy, ""),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({"phase": "Pending"}),
            Progressing,
            "waiting to be bound",
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({"phase": "Lost"}),
            Degraded,
            "the bound volume is lost",
        ),
        ("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "New"}), Unknown, "phase New"),
        ("v1", "Namespace", json!({}), json!({"phase": "Active"}), Healthy, ""),
        ("v1", "Namespace", json!({}), json!({"phase": "Terminating"}), Progressing, "terminating"),
        ("v1", "Service", json!({"type": "ClusterIP"}), json!({}), Healthy, ""),
        ("v1", "Service", balancer.clone(), json!({}), Progressing, wait),
        ("v1", "Service", balancer, address.clone(), Healthy, ""),
        ("networking.k8s.io/v1", "Ingress", json!({}), json!({}), Progressing, wait),
        ("networking.k8s.io/v1", "Ingress", json!({}), address, Healthy, ""),
    ];
    for (version, kind, spec, status, health, message) in table {
        check(seen(version, kind, spec, status), health, message);
    }
}

#[test]
fn definitions_and_api_services_have_conditions_of_their_own() {
    let (crd, api) = ("CustomResourceDefinition", "APIService");
    let (extensions, registration) = ("apiextensions.k8s.io/v1", "apiregistration.k8s.io/v1");
    let one = |kind: &str, status: &str, reason: &str| json!([{"type": kind, "status": status, "reason": reason, "message": ""}]);
    let table = [
        (extensions, crd, json!([]), Progressing, "not established yet"),
        (extensions, crd, one("Established", "True", ""), Healthy, ""),
        (
            extensions,
            crd,
            one("Established", "False", "Installing"),
            Progressing,
            "not established yet",
        ),
        (
            extensions,
            crd,
            one("NamesAccepted", "False", "ListKindConflict"),
            Degraded,
            "ListKindConflict",
        ),
        (registration, api, json!([]), Progressing, "waiting to be looked at"),
        (registration, api, one("Available", "True", ""), Healthy, ""),
        (
            registration,
            api,
            one("Available", "False", "MissingEndpoints"),
            Progressing,
            "MissingEndpoints",
        ),
        (
            extensions,
            crd,
            one("Terminating", "True", "InstancesRemain"),
            Progressing,
            "InstancesRemain",
        ),
    ];
    for (version, kind, conditions, health, message) in table {
        check(with_conditions(version, kind, conditions), health, message);
    }
}

#[test]
fn other_kinds_follow_the_conventions_of_kstatus() {
    let one = |kind: &str, status: &str| json!([{"type": kind, "status": status, "message": kind}]);
    for (conditions, health, message) in [
        (json!([]), Healthy, ""),
        (one("Ready", "True"), Healthy, ""),
        (one("Ready", "False"), Progressing, "Ready"),
        (one("Ready", "Unknown"), Progressing, "Ready"),
        (one("Stalled", "True"), Degraded, "Stalled"),
        (one("Stalled", "False"), Healthy, ""),
        (one("Reconciling", "True"), Progressing, "Reconciling"),
        (json!({"not": "a list"}), Healthy, ""),
        (json!([1, {"type": 2}]), Healthy, ""),
    ] {
        check(with_conditions("x.io/v1", "Shop", conditions), health, message);
    }
    let stale = seen("x.io/v1", "Shop", json!({}), json!({"observedGeneration": 1}));
    check(stale, Progressing, "waiting for the controller to see the change");
    check(json!({"apiVersion": "v1", "kind": "ConfigMap"}), Healthy, "");
    check(json!("nonsense"), Healthy, "");
}

#[test]
fn whatever_is_being_deleted_is_progressing() {
    let mut pod = seen("v1", "Pod", json!({}), json!({"phase": "Failed"}));
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T10:00:00Z");
    check(pod, Progressing, "deleting");
}

#[test]
fn long_messages_are_cut_between_characters() {
    let conditions = json!([{"type": "Ready", "status": "False", "message": "é".repeat(4_000)}]);
    let (_, message) = assess(&with_conditions("x.io/v1", "Shop", conditions));
    assert!(message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
    assert!(message.ends_with('…'));
}

/// The conditions of an autoscaler in the order in which the controller lists them.
fn autoscaler_conditions(able: (&str, &str), active: (&str, &str), limited: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": ""});
    json!([
        condition("AbleToScale", able.0, able.1),
        condition("ScalingActive", active.0, active.1),
        condition("ScalingLimited", limited, "DesiredWithinRange"),
    ])
}

#[test]
fn autoscalers_of_every_version_are_judged_by_the_first_condition_that_decides() {
    let able = ("True", "ReadyForNewScale");
    let good = ("True", "ValidMetricFound");
    let table = [
        (json!([]), Progressing, "waiting to autoscale"),
        (autoscaler_conditions(able, good, "False"), Healthy, ""),
        (autoscaler_conditions(able, ("False", "FailedGetResourceMetric"), "False"), Healthy, ""),
        (autoscaler_conditions(able, ("False", "ScalingDisabled"), "False"), Healthy, ""),
        (
            autoscaler_conditions(("False", "FailedGetScale"), good, "True"),
            Degraded,
            "FailedGetScale",
        ),
        (
            autoscaler_conditions(("False", "FailedUpdateScale"), good, "True"),
            Degraded,
            "FailedUpdateScale",
        ),
        (
            autoscaler_conditions(("False", "Backoff"), ("False", "InvalidSelector"), "False"),
            Degraded,
            "InvalidSelector",
        ),
        (
            autoscaler_conditions(("False", "Backoff"), good, "False"),
            Progressing,
            "waiting to autoscale",
        ),
    ];
    for (conditions, health, message) in table {
        let v2 = with_conditions("autoscaling/v2", "HorizontalPodAutoscaler", conditions.clone());
        check(v2, health, message);
        let v1 = json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "x", "annotations": {
                "autoscaling.alpha.kubernetes.io/conditions": conditions.to_string(),
            }},
            "status": {"currentReplicas": 1, "desiredReplicas": 1},
        });
        check(v1, health, message);
    }
    let broken = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": "no json"}},
    });
    check(broken, Progressing, "waiting to autoscale");
}

#[test]
fn cron_jobs_are_judged_by_their_last_run() {
    let (early, late) = ("2026-11-23T10:00:00Z", "2026-11-23T10:00:07Z");
    let running = json!([{"kind": "Job", "name": "x-1"}]);
    let table = [
        (json!({"suspend": true}), json!({}), Suspended, "suspended"),
        (json!({}), json!({}), Healthy, "not scheduled yet"),
        (json!({}), json!({"lastScheduleTime": early}), Healthy, "no job has succeeded yet"),
        (
            json!({}),
            json!({"lastScheduleTime": late, "lastSuccessfulTime": early, "active": running}),
            Healthy,
            "a job is running",
        ),
        (
            json!({}),
            json!({"lastScheduleTime": late, "lastSuccessfulTime": early}),
            Degraded,
            "the last job did not succeed",
        ),
        (
            json!({"suspend": false}),
            json!({"lastScheduleTime": early, "lastSuccessfulTime": late, "active": []}),
            Healthy,
            "",
        ),
    ];
    for (spec, status, health, message) in table {
        check(seen("batch/v1", "CronJob", spec, status), health, message);
    }
    let new = json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {}});
    check(new, Progressing, "waiting to be looked at");
}

#[test]
fn workflows_are_judged_by_their_phase() {
    for (status, health, message) in [
        (json!({}), Progressing, "running"),
        (json!({"phase": "Running", "message": "step 2"}), Progressing, "step 2"),
        (json!({"phase": "Succeeded"}), Healthy, ""),
        (json!({"phase": "Failed", "message": "child failed"}), Degraded, "child failed"),
        (json!({"phase": "Error"}), Degraded, "failed"),
        (json!({"phase": "Odd"}), Unknown, "phase Odd"),
    ] {
        check(seen("argoproj.io/v1alpha1", "Workflow", json!({}), status), health, message);
    }
}

#[test]
fn rollouts_are_judged_by_strategy_and_counters() {
    let canary = json!({"replicas": 2, "strategy": {"canary": {}}});
    let blue_green = json!({"replicas": 2, "strategy": {"blueGreen": {}}});
    let done = |more: Value| {
        let mut status = json!({
            "observedGeneration": "2", "currentPodHash": "b", "stableRS": "b", "replicas": 2,
            "updatedReplicas": 2, "availableReplicas": 2,
        });
        for (field, value) in more.as_object().unwrap() {
            status[field] = value.clone();
        }
        status
    };
    let wait = "waiting for the controller to see the change";
    let condition = |kind: &str, reason: &str| json!({"conditions": [{"type": kind, "reason": reason, "message": ""}]});
    let table = [
        (&canary, done(json!({})), Healthy, ""),
        (&canary, done(json!({"observedGeneration": "1"})), Progressing, wait),
        (&canary, done(json!({"currentPodHash": ""})), Progressing, wait),
        (&canary, done(condition("InvalidSpec", "Bad")), Degraded, "Bad"),
        (&canary, done(condition("Progressing", "RolloutAborted")), Degraded, "RolloutAborted"),
        (
            &canary,
            done(json!({"pauseConditions": [{"reason": "CanaryPauseStep"}]})),
            Suspended,
            "paused",
        ),
        (&canary, done(json!({"updatedReplicas": 1})), Progressing, "1 of 2 replicas are updated"),
        (
            &canary,
            done(json!({"availableReplicas": 1})),
            Progressing,
            "1 of 2 replicas are available",
        ),
        (&canary, done(json!({"replicas": 3})), Progressing, "1 old replicas are still there"),
        (&canary, done(json!({"stableRS": "a"})), Progressing, "the steps are not finished"),
        (&blue_green, done(json!({"blueGreen": {"activeSelector": "b"}})), Healthy, ""),
        (
            &blue_green,
            done(json!({"blueGreen": {"activeSelector": "a"}})),
            Progressing,
            "the active service still points to the old version",
        ),
        (
            &blue_green,
            done(json!({"stableRS": "a", "blueGreen": {"activeSelector": "b"}})),
            Progressing,
            "waiting for the analysis",
        ),
    ];
    for (spec, status, health, message) in table {
        check(seen("argoproj.io/v1alpha1", "Rollout", spec.clone(), status), health, message);
    }
}

#[test]
fn an_object_that_asks_not_to_be_judged_is_healthy() {
    let mut pod = seen("v1", "Pod", json!({}), json!({"phase": "Failed"}));
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T10:00:00Z");
    pod["metadata"]["annotations"] = json!({"argocd.argoproj.io/ignore-healthcheck": "true"});
    check(pod.clone(), Healthy, "not judged: argocd.argoproj.io/ignore-healthcheck");
    pod["metadata"]["annotations"] = json!({"argocd.argoproj.io/ignore-healthcheck": "false"});
    check(pod, Progressing, "deleting");
}

#[test]
fn a_pod_may_ask_to_be_judged_as_one_that_runs_for_ever() {
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let mut pod = seen("v1", "Pod", json!({"restartPolicy": "Never"}), ready);
    check(pod.clone(), Progressing, "running");
    pod["metadata"]["annotations"] = json!({"argocd.argoproj.io/ignore-restart-policy": "true"});
    check(pod, Healthy, "");
}

#[test]
fn a_controller_that_a_person_stopped_is_suspended() {
    let stopped = seen(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        json!({"suspend": true}),
        json!({}),
    );
    check(stopped, Suspended, "suspended");
}
