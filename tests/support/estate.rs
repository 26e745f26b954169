//! An estate of more than 600 objects of 40 kinds: what a recovery has to bring back.
//!
//! Plain YAML as it would lie in Git. Webhooks come apart: one of them refuses what it matches as
//! long as nobody answers for it, which is always.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::fmt::Write as _;

/// The namespaces.
pub(crate) const NAMESPACES: [&str; 4] = ["estate-0", "estate-1", "estate-2", "estate-3"];

/// Definitions, namespaces and everything else without a namespace: 24 objects of 15 kinds.
pub(crate) fn wide() -> String {
    let mut out = String::new();
    for name in NAMESPACES {
        put(&mut out, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}"));
    }
    out.push_str(&definition("Widget", "Namespaced"));
    out.push_str(&definition("Gadget", "Cluster"));
    for index in 0..3 {
        put(
            &mut out,
            &format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: estate-{index}}}\nrules:\n- {{apiGroups: [example.org], resources: [widgets], verbs: [get, list]}}"
            ),
        );
    }
    for index in 0..2 {
        put(
            &mut out,
            &format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: estate-{index}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: estate-{index}}}\nsubjects:\n- {{kind: ServiceAccount, name: account-0, namespace: estate-0}}"
            ),
        );
        put(
            &mut out,
            &format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: estate-{index}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  accessModes: [ReadWriteOnce]\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: none\n  hostPath: {{path: /tmp/estate-{index}}}"
            ),
        );
        put(
            &mut out,
            &format!(
                "apiVersion: example.org/v1\nkind: Gadget\nmetadata: {{name: gadget-{index}}}\nspec: {{size: {index}}}"
            ),
        );
    }
    for text in [
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: estate}\nprovisioner: kubernetes.io/no-provisioner\nvolumeBindingMode: WaitForFirstConsumer",
        "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: estate}\nvalue: 1000",
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: estate}\nspec: {controller: example.org/ingress}",
        "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: estate}\nhandler: estate",
        "apiVersion: storage.k8s.io/v1\nkind: CSIDriver\nmetadata: {name: estate.example.org}\nspec: {attachRequired: false}",
        "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: PriorityLevelConfiguration\nmetadata: {name: estate}\nspec:\n  type: Limited\n  limited: {nominalConcurrencyShares: 5, limitResponse: {type: Reject}}",
        "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: FlowSchema\nmetadata: {name: estate}\nspec:\n  priorityLevelConfiguration: {name: estate}\n  matchingPrecedence: 9000\n  rules:\n  - subjects: [{kind: User, user: {name: nobody}}]\n    resourceRules: [{apiGroups: [''], resources: [configmaps], verbs: [get], namespaces: ['*']}]",
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: estate}\nspec:\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules: [{apiGroups: [example.org], apiVersions: [v1], operations: [CREATE], resources: [widgets]}]\n  validations: [{expression: 'has(object.spec)'}]",
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: estate}\nspec: {policyName: estate, validationActions: [Deny]}",
    ] {
        put(&mut out, text);
    }
    out
}

/// What is in one namespace: 146 objects of 23 kinds.
pub(crate) fn in_namespace(ns: &str) -> String {
    configuration(ns) + &workloads(ns) + &others(ns)
}

/// Numbered objects of a kind; `body` is what follows name and namespace.
fn add(
    out: &mut String,
    ns: &str,
    api: &str,
    kind: &str,
    count: usize,
    body: &dyn Fn(usize) -> String,
) {
    for index in 0..count {
        let name = format!("{}-{index}", kind.to_lowercase());
        let body = body(index);
        let text = format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {ns}\n{body}"
        );
        put(out, text.trim_end());
    }
}

fn configuration(ns: &str) -> String {
    let mut out = String::new();
    let rbac = "rbac.authorization.k8s.io/v1";
    add(&mut out, ns, "v1", "ServiceAccount", 5, &|_| String::new());
    add(&mut out, ns, rbac, "Role", 3, &|_| {
        "rules:\n- {apiGroups: [''], resources: [configmaps], verbs: [get]}".into()
    });
    add(&mut out, ns, rbac, "RoleBinding", 3, &|index| {
        format!(
            "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: role-{index}}}\nsubjects:\n- {{kind: ServiceAccount, name: serviceaccount-{index}, namespace: {ns}}}"
        )
    });
    add(&mut out, ns, "v1", "ConfigMap", 60, &|index| match index {
        0 => "  finalizers: [example.org/keep]\ndata: {key: kept}".into(),
        _ => format!("data: {{key: '{index}', other: value}}"),
    });
    add(&mut out, ns, "v1", "Secret", 15, &|index| match index {
        0 => {
            "type: kubernetes.io/basic-auth\nstringData: {username: ada, password: correct}".into()
        }
        _ => format!("data: {{password: {}}}", ["b25l", "dHdv", "dGhyZWU="][index % 3]),
    });
    add(&mut out, ns, "v1", "PersistentVolumeClaim", 4, &|_| {
        "spec:\n  accessModes: [ReadWriteOnce]\n  storageClassName: estate\n  resources: {requests: {storage: 1Gi}}".into()
    });
    add(&mut out, ns, "v1", "ResourceQuota", 1, &|_| {
        "spec: {hard: {count/configmaps: '500'}}".into()
    });
    add(&mut out, ns, "v1", "LimitRange", 1, &|_| {
        "spec: {limits: [{type: Container, defaultRequest: {cpu: 2m}}]}".into()
    });
    add(&mut out, ns, "networking.k8s.io/v1", "NetworkPolicy", 4, &|index| {
        format!(
            "spec: {{podSelector: {{matchLabels: {{app: deployment-{index}}}}}, policyTypes: [Ingress]}}"
        )
    });
    add(&mut out, ns, "v1", "Service", 8, &|index| match index {
        0 => "spec: {clusterIP: None, selector: {app: statefulset-0}, ports: [{port: 80}]}".into(),
        1 => "spec: {type: NodePort, selector: {app: deployment-1}, ports: [{port: 80}]}".into(),
        _ => format!("spec: {{selector: {{app: deployment-{index}}}, ports: [{{port: 80}}]}}"),
    });
    out
}

fn workloads(ns: &str) -> String {
    let mut out = String::new();
    let pods = |name: &str| {
        format!(
            "  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers: [{{name: main, image: 'example.test/main:1', resources: {{requests: {{cpu: 1m, memory: 1Mi}}}}}}]\n"
        )
    };
    let workload = |name: &str, more: &str| {
        format!("spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n{more}{}", pods(name))
    };
    add(&mut out, ns, "apps/v1", "Deployment", 4, &|index| {
        workload(&format!("deployment-{index}"), "  replicas: 1\n")
    });
    add(&mut out, ns, "apps/v1", "StatefulSet", 2, &|index| {
        workload(&format!("statefulset-{index}"), "  replicas: 1\n  serviceName: service-0\n")
    });
    add(&mut out, ns, "apps/v1", "DaemonSet", 1, &|index| {
        workload(&format!("daemonset-{index}"), "")
    });
    add(&mut out, ns, "apps/v1", "ReplicaSet", 1, &|index| {
        workload(&format!("replicaset-{index}"), "  replicas: 1\n")
    });
    add(&mut out, ns, "v1", "ReplicationController", 1, &|index| {
        let name = format!("replicationcontroller-{index}");
        format!("spec:\n  replicas: 0\n  selector: {{app: {name}}}\n{}", pods(&name))
    });
    let job = "spec: {restartPolicy: Never, containers: [{name: main, image: 'example.test/job:1', resources: {requests: {cpu: 1m}}}]}";
    add(&mut out, ns, "batch/v1", "Job", 3, &|_| format!("spec: {{template: {{{job}}}}}"));
    add(&mut out, ns, "batch/v1", "CronJob", 2, &|_| {
        format!("spec: {{schedule: '0 3 1 1 *', jobTemplate: {{spec: {{template: {{{job}}}}}}}}}")
    });
    add(&mut out, ns, "v1", "Pod", 1, &|_| {
        "spec: {containers: [{name: main, image: 'example.test/pod:1', resources: {requests: {cpu: 1m}}}]}".into()
    });
    add(&mut out, ns, "v1", "PodTemplate", 1, &|_| {
        "template: {spec: {containers: [{name: main, image: 'example.test/pod:1'}]}}".into()
    });
    out
}

fn others(ns: &str) -> String {
    let mut out = String::new();
    add(&mut out, ns, "autoscaling/v2", "HorizontalPodAutoscaler", 2, &|index| {
        format!(
            "spec:\n  minReplicas: 1\n  maxReplicas: 3\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: deployment-{index}}}\n  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]"
        )
    });
    add(&mut out, ns, "policy/v1", "PodDisruptionBudget", 2, &|index| {
        format!("spec: {{minAvailable: 1, selector: {{matchLabels: {{app: deployment-{index}}}}}}}")
    });
    add(&mut out, ns, "networking.k8s.io/v1", "Ingress", 2, &|index| {
        format!(
            "spec:\n  ingressClassName: estate\n  rules: [{{host: h{index}.{ns}.example.org, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: service-2, port: {{number: 80}}}}}}}}]}}}}]"
        )
    });
    add(&mut out, ns, "example.org/v1", "Widget", 20, &|index| match index {
        0 => "  finalizers: [example.org/keep]\nspec: {size: 0}".into(),
        1..5 => format!("  labels: {{guarded: 'true'}}\nspec: {{size: {index}}}"),
        _ => format!("spec: {{size: {index}}}"),
    });
    out
}

/// Webhooks that nobody answers for: one that does not matter, one that refuses every new Widget
/// that is guarded.
pub(crate) fn guard() -> String {
    let mut out = String::new();
    for (kind, policy, matched, selector) in [
        (
            "MutatingWebhookConfiguration",
            "Ignore",
            "apiGroups: [''], resources: [configmaps]",
            "{}",
        ),
        (
            "ValidatingWebhookConfiguration",
            "Fail",
            "apiGroups: [example.org], resources: [widgets]",
            "{matchLabels: {guarded: 'true'}}",
        ),
    ] {
        put(
            &mut out,
            &format!(
                "apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}\nmetadata: {{name: estate}}\nwebhooks:\n- name: estate.example.org\n  clientConfig: {{url: 'https://127.0.0.1:1/'}}\n  failurePolicy: {policy}\n  sideEffects: None\n  timeoutSeconds: 1\n  admissionReviewVersions: [v1]\n  objectSelector: {selector}\n  rules: [{{{matched}, apiVersions: [v1], operations: [CREATE]}}]"
            ),
        );
    }
    out
}

/// A ConfigMap that another object owns.
pub(crate) fn owned(name: &str, owner: (&str, &str, &str), uid: &str) -> String {
    let (api, kind, owner) = owner;
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: estate-0\n  ownerReferences: [{{apiVersion: {api}, kind: {kind}, name: {owner}, uid: {uid}}}]\ndata: {{key: owned}}\n"
    )
}

fn put(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "---\n{text}");
}

fn definition(kind: &str, scope: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    format!(
        "---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.example.org}}
spec:
  group: example.org
  names: {{kind: {kind}, plural: {plural}, singular: {}, listKind: {kind}List}}
  scope: {scope}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}
",
        kind.to_lowercase()
    )
}
