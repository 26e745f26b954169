//! What was recorded of a cluster of one minor version comes back on the next one, on real API
//! servers: written in the versions that it serves, or named. The older one is the same program,
//! which behaves as 1.35 and serves beta versions that 1.36 does not serve by itself.

use std::fs;

use serde_json::{Value, json};

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application};
use crate::recovery::{jsonpath, nothing_differs, onto, target};

const NS: &str = "older";

/// 1.35 has MutatingAdmissionPolicies in v1beta1 only. The program of 1.36 asks for them in v1
/// before it takes a request, so it must not carry them out.
const OLDER: [&str; 4] = [
    "--emulated-version=1.35",
    "--runtime-config=api/beta=true",
    "--feature-gates=MutatingAdmissionPolicy=true,ClusterTrustBundle=true",
    "--disable-admission-plugins=MutatingAdmissionPolicy",
];

fn plane(api_server: &[&'static str]) -> ControlPlane {
    let api_server = api_server.to_vec();
    ControlPlane::start_with(Options { kwok: false, api_server, ..Options::default() })
}

/// What is the same in both.
const SAME: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: older}
data: {key: value}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: older}
data: {password: Y29ycmVjdA==}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: older}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'example.test/web:1'}]}
";

/// What is in v1beta1 there and in v1 here, with the same fields.
const MAPPED: &str = "
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicy
metadata: {name: older}
spec:
  failurePolicy: Ignore
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules: [{apiGroups: [example.org], apiVersions: [v1], operations: [CREATE], resources: [widgets]}]
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[JSONPatch{op: \"add\", path: \"/spec/size\", value: 1}]'}
---
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicyBinding
metadata: {name: older}
spec: {policyName: older}
---
apiVersion: networking.k8s.io/v1beta1
kind: ServiceCIDR
metadata: {name: older}
spec: {cidrs: [10.97.0.0/24]}
---
apiVersion: storage.k8s.io/v1beta1
kind: VolumeAttributesClass
metadata: {name: older}
driverName: example.org
parameters: {iops: '100'}
";

/// What is not served here, or not known to mean the same.
fn named(authority: &str) -> String {
    let authority: String = authority.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "
apiVersion: certificates.k8s.io/v1beta1
kind: ClusterTrustBundle
metadata: {{name: older}}
spec:
  trustBundle: |
{authority}---
apiVersion: resource.k8s.io/v1beta1
kind: DeviceClass
metadata: {{name: older}}
spec: {{selectors: [{{cel: {{expression: 'device.driver == \"example.org\"'}}}}]}}
"
    )
}

#[test]
fn what_one_minor_version_had_comes_back_on_the_next() {
    let older = plane(&OLDER);
    let greffier = Greffier::on(&older);
    let authority = fs::read_to_string(older.dir().join("ca.crt")).unwrap();
    greffier.repo.write("web/same.yaml", SAME).write("web/mapped.yaml", MAPPED);
    let commit = greffier.repo.write("web/named.yaml", &named(&authority)).push("all of it");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &commit);
    greffier.stop();
    drop(older);
    let fresh = plane(&[]);
    let new = target(&fresh);

    // Two things cannot be written there, and each is named with why.
    let (plan, said) = greffier.cli_ends(6, &onto(&new, &["--plan", "-o", "json"]));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let missing = plan["missing"].as_array().unwrap();
    let missing: Vec<_> = missing.iter().map(|loss| (&loss["kind"], &loss["subject"])).collect();
    let (bundle, class) =
        ("ClusterTrustBundle.certificates.k8s.io/older", "DeviceClass.resource.k8s.io/older");
    let not_served = json!("not-served");
    let expected = [(&not_served, &json!(bundle)), (&not_served, &json!(class))];
    assert_eq!(missing, expected, "{plan}");
    for why in [
        format!("{bundle}: the cluster does not serve ClusterTrustBundle.certificates.k8s.io"),
        format!("{class}: the cluster serves DeviceClass.resource.k8s.io in v1 and not in v1beta1"),
    ] {
        assert!(said.contains(&why), "{why}: {said}");
    }
    let mapped = [
        "MutatingAdmissionPolicy.admissionregistration.k8s.io/older",
        "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io/older",
        "ServiceCIDR.networking.k8s.io/older",
        "VolumeAttributesClass.storage.k8s.io/older",
    ];
    let notes = plan["notes"].as_array().unwrap().iter().filter_map(Value::as_str);
    let mut notes: Vec<&str> = notes.filter(|note| note.contains("recorded in")).collect();
    notes.sort_unstable();
    let expected = mapped.map(|key| format!("{key}: written in v1, recorded in v1beta1"));
    assert_eq!(notes, expected);

    // Everything else is there, as the API server itself says.
    let (report, _) = greffier.cli_ends(8, &onto(&new, &["--partial", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let nothing = json!([]);
    assert_eq!((&report["failed"], &report["differs"]), (&nothing, &nothing), "{report}");
    assert_eq!((&report["verified"], &report["written"]), (&true.into(), &8.into()), "{report}");
    assert_eq!(report["missing"], plan["missing"]);
    nothing_differs(&greffier, &fresh, &format!("{SAME}---{}", MAPPED.replace("v1beta1", "v1")));
    let policy = jsonpath(&fresh, &["mutatingadmissionpolicy", "older"], ".apiVersion");
    assert_eq!(policy, "admissionregistration.k8s.io/v1");
}
