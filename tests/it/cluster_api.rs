//! The cluster module against a real API server.
//!
//! Every row of design §8.1 that is decided without a dry run has its test here, with kubectl as
//! the other hand; so has what the API server answers to writes that it does not take.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that calls them")]

mod observe;

use std::sync::Arc;
use std::time::Duration;

use greffier::cluster::{
    ApplyRequest, Class, Comparison, Connection, DeleteRequest, DeleteResult, Error, Options,
    Propagation, SecretDigest, Stored, compare, normalize,
};
use greffier::ledger::event::DriftKind;
use greffier::model::{Digest, ObjectKey};
use serde_json::{Value, json};

use crate::cluster::ControlPlane;

/// A keyed digest with a key that is of no interest.
pub(crate) struct Key;

impl SecretDigest for Key {
    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of(&[b"a key", bytes].concat())
    }
}

pub(crate) fn sealer() -> Arc<dyn SecretDigest> {
    Arc::new(Key)
}

pub(crate) fn options(plane: &ControlPlane, user: &str) -> Options {
    Options { kubeconfig: Some(plane.kubeconfig(user)), ..Options::default() }
}

pub(crate) async fn connect(plane: &ControlPlane, user: &str) -> Connection {
    Connection::connect(&options(plane, user)).await.unwrap()
}

pub(crate) fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    ObjectKey::new(group, kind, namespace, name)
}

/// An apply request for a manifest of version `v1` of its group.
pub(crate) fn apply_of(manifest: Value) -> ApplyRequest {
    let text =
        |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApplyRequest {
        key: ObjectKey::new(
            group,
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        ),
        version: version.to_owned(),
        audit_id: String::new(),
        force: true,
        validate: true,
        known: None,
        uid: None,
        manifest,
    }
}

pub(crate) async fn make_namespace(connection: &Connection, name: &str) {
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    connection.apply(&apply_of(manifest)).await.unwrap();
}

pub(crate) fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// One object under greffier's hand, with its baseline.
struct Kept {
    connection: Connection,
    request: ApplyRequest,
    baseline: Stored,
    plane: &'static ControlPlane,
}

impl Kept {
    async fn apply(manifest: Value) -> Self {
        let plane = ControlPlane::shared();
        let connection = connect(plane, "greffier").await;
        make_namespace(&connection, manifest["metadata"]["namespace"].as_str().unwrap()).await;
        let request = apply_of(manifest);
        let applied = connection.apply(&request).await.unwrap();
        let baseline = normalize(&applied.raw, &Key).unwrap().stored();
        Self { connection, request, baseline, plane }
    }

    /// Applies again and takes what is returned as the baseline.
    async fn heal(&mut self) {
        let applied = self.connection.apply(&self.request).await.unwrap();
        self.baseline = normalize(&applied.raw, &Key).unwrap().stored();
    }

    async fn compare(&self) -> Comparison {
        let raw = self.connection.get(&self.request.key, &self.request.version).await.unwrap();
        let observed = normalize(&raw.unwrap(), &Key).unwrap();
        // As the ledger hands them over.
        let observed = Stored::from_stored(&observed.stored_bytes()).unwrap();
        compare(&self.baseline, &observed)
    }

    /// Runs kubectl as alice on the object's kind and name.
    fn alice(&self, verb: &[&str], rest: &[&str]) {
        let object =
            format!("{}/{}", self.request.key.kind().to_lowercase(), self.request.key.name());
        let namespace = self.request.key.namespace();
        let args = [&["-n", namespace], verb, &[object.as_str()], rest].concat();
        self.plane.kubectl_ok("alice", &args);
    }
}

fn deployment(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, "labels": {"app": "web", "tier": "back"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "example.test/web:1", "args": ["-a", "-b"],
                    "env": [{"name": "A", "value": "1"}],
                    "resources": {},
                }]},
            },
        },
    })
}

fn paths(comparison: &Comparison) -> Vec<&str> {
    comparison.fields.iter().map(|field| field.path.as_str()).collect()
}

fn managers(comparison: &Comparison) -> Vec<String> {
    let named = |stamp: &greffier::ledger::event::ManagerStamp| {
        [stamp.manager.as_str(), stamp.subresource.as_str()].join("/")
    };
    comparison.managers.iter().map(named).collect()
}

const ARGS_PATCH: &str =
    r#"[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["-q"]}]"#;
const RESET_PATCH: &str = r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]"#;

/// kubectl's verb, the arguments after the object, the path that differs, and who is named.
type Edit<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_owned_fields_are_drift_with_path_and_manager() {
    let mut kept = Kept::apply(deployment("drift")).await;
    let web = ".spec.template.spec.containers[name=web]";
    let (image, args, env) =
        (format!("{web}.image"), format!("{web}.args"), format!("{web}.env[name=A]"));
    let table: [Edit<'_>; 6] = [
        (&["label"], &["tier=x", "--overwrite"], ".metadata.labels.tier", &["kubectl-label/"]),
        (&["label"], &["tier-"], ".metadata.labels.tier", &[]),
        (&["scale"], &["--replicas=3"], ".spec.replicas", &["kubectl/scale"]),
        (&["set", "image"], &["web=example.test/web:2"], &image, &["kubectl-set/"]),
        (&["patch"], &["--type=json", "-p", ARGS_PATCH], &args, &["kubectl-patch/"]),
        (&["set", "env"], &["A-"], &env, &[]),
    ];
    for (verb, rest, path, expected) in table {
        assert_eq!(kept.compare().await.kind, DriftKind::None, "before {verb:?} {rest:?}");
        kept.alice(verb, rest);
        let comparison = kept.compare().await;
        assert_eq!(comparison.kind, DriftKind::Drift, "{verb:?} {rest:?}: {comparison:?}");
        assert_eq!(paths(&comparison), [path]);
        assert_eq!(managers(&comparison), expected, "{verb:?} {rest:?}");
        kept.heal().await;
    }
    assert_eq!(kept.compare().await.kind, DriftKind::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_values_by_others_are_nothing_and_reset_ownership_is_not_drift() {
    let mut manifest = deployment("equal");
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"limits": {"cpu": "1"}});
    let kept = Kept::apply(manifest).await;
    // The same amount in other words.
    kept.alice(&["set", "resources"], &["--limits=cpu=1000m"]);
    assert_eq!(kept.compare().await.kind, DriftKind::None);

    let path = kept.plane.dir().join("equal.json");
    std::fs::write(&path, kept.request.manifest.to_string()).unwrap();
    let file = path.display().to_string();
    kept.plane
        .kubectl_ok("alice", &["apply", "--server-side", "--field-manager=alice", "-f", &file]);
    assert_eq!(kept.compare().await.kind, DriftKind::None, "alice owns the same values too");

    kept.alice(&["patch"], &["--type=json", "-p", RESET_PATCH]);
    let comparison = kept.compare().await;
    assert_eq!((comparison.kind, comparison.fields.len()), (DriftKind::OwnershipLost, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_add_is_announced_and_what_controllers_add_is_not() {
    let kept = Kept::apply(deployment("addition")).await;
    kept.plane.kubectl_ok("bob", &["-n", "addition", "rollout", "status", "deployment/web"]);
    let quiet = kept.compare().await;
    assert_eq!(quiet.kind, DriftKind::None, "the revision annotation is a controller's: {quiet:?}");

    kept.alice(&["label"], &["team=a"]);
    kept.alice(&["set", "env"], &["B=2"]);
    kept.alice(&["set", "resources"], &["--limits=cpu=1"]);
    let comparison = kept.compare().await;
    assert_eq!(comparison.kind, DriftKind::Addition, "{comparison:?}");
    let mut paths = paths(&comparison);
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            ".metadata.labels.team",
            ".spec.template.spec.containers[name=web].env[name=B]",
            ".spec.template.spec.containers[name=web].resources.limits.cpu",
        ]
    );
    assert_eq!(managers(&comparison), ["kubectl-label/", "kubectl-set/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_value_of_a_secret_is_never_shown() {
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "db", "namespace": "secrets"}, "data": {"password": "Y2FuYXJ5"}});
    let kept = Kept::apply(manifest.clone()).await;
    assert_eq!(kept.compare().await.kind, DriftKind::None);
    kept.alice(&["patch"], &["-p", r#"{"stringData":{"password":"canary-2"}}"#]);
    let comparison = kept.compare().await;
    assert_eq!((comparison.kind, paths(&comparison)), (DriftKind::Drift, vec![".data.password"]));
    let shown = format!("{comparison:?}");
    assert!(shown.contains("(secret ") && !shown.contains("canary") && !shown.contains("Y2Fu"));

    let mut wrong = manifest;
    wrong["data"]["password"] = json!(4_242_424_242_u64);
    let error = kept.connection.apply(&apply_of(wrong)).await.unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert!(!format!("{error:?} {}", error.chain()).contains("4242424242"), "{error:?}");
}

/// Goal: what is sent is what is stored, including characters that YAML reads otherwise; and each
/// answer says whether it changed anything.
#[tokio::test(flavor = "multi_thread")]
async fn applies_say_what_they_did_and_carry_their_audit_id() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "apply").await;
    let text = "a\u{85}b\u{2028}c\u{2029}d\u{feff}e\u{7f}f 😀 \"q\" \\ \t\n é <<: &x *y";
    let mut request = apply_of(config_map("apply", "odd", json!({"text": text, "plain": "1"})));
    request.audit_id = "0192-greffier-test-7-0".into();
    let dry = connection.dry_run(&request).await.unwrap();
    assert_eq!(dry["data"]["text"], text);
    assert_eq!(connection.get(&request.key, "v1").await.unwrap(), None, "a dry run does nothing");

    let applied = connection.apply(&request).await.unwrap();
    assert_eq!((applied.created, applied.changed), (true, Some(true)));
    assert_eq!(applied.raw["data"]["text"], text);
    let version = applied.raw["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    request.known = Some(version);
    let again = connection.apply(&request).await.unwrap();
    assert_eq!((again.created, again.changed), (false, Some(false)));
    request.manifest["data"]["plain"] = json!("2");
    assert_eq!(connection.apply(&request).await.unwrap().changed, Some(true));

    let log = std::fs::read_to_string(plane.audit_log()).unwrap();
    let seen = log.lines().filter(|line| line.contains("\"auditID\":\"0192-greffier-test-7-0\""));
    assert!(seen.count() >= 4, "the audit log joins the request to its intent");
}

async fn refused(connection: &Connection, manifest: Value) -> Error {
    connection.apply(&apply_of(manifest)).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "refusals").await;

    let mut web = deployment("refusals");
    connection.apply(&apply_of(web.clone())).await.unwrap();
    web["spec"]["selector"]["matchLabels"] = json!({"app": "web", "other": "x"});
    web["spec"]["template"]["metadata"]["labels"]["other"] = json!("x");
    let error = refused(&connection, web).await;
    assert_eq!(error.class(), Class::Refused);
    assert!(error.to_string().contains("field is immutable"), "{error}");
    assert!(error.to_string().starts_with("apply Deployment.apps/refusals/web: "), "{error}");

    let map = |namespace: &str| config_map(namespace, "a", json!({}));
    let mut unknown = map("refusals");
    unknown["spek"] = json!(1);
    assert_eq!(refused(&connection, unknown).await.class(), Class::Refused);

    let error = refused(&connect(plane, "limited").await, map("refusals")).await;
    assert!(error.is_forbidden() && error.to_string().contains("limited"), "{error}");

    let error = refused(&connection, map("no-such-namespace")).await;
    assert_eq!(error.class(), Class::NamespaceMissing, "{error}");

    for api_version in ["example.test/v1", "apps/v9", "v1"] {
        let shop = json!({"apiVersion": api_version, "kind": "Shop",
            "metadata": {"name": "a", "namespace": "refusals"}});
        let error = refused(&connection, shop).await;
        assert_eq!(error.class(), Class::NotServed, "{error}");
    }
    assert_eq!(
        connection.get(&key("ConfigMap", "no-such-namespace", "a"), "v1").await.unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_on_its_way_out_takes_nothing_new() {
    let plane = ControlPlane::shared();
    let connection = connect(plane, "greffier").await;
    make_namespace(&connection, "leaving").await;
    let mut holder = config_map("leaving", "holder", json!({}));
    holder["metadata"]["finalizers"] = json!(["example.test/hold"]);
    connection.apply(&apply_of(holder)).await.unwrap();
    plane.kubectl_ok("admin", &["delete", "namespace", "leaving", "--wait=false"]);

    let error = refused(&connection, config_map("leaving", "new", json!({}))).await;
    assert_eq!(error.class(), Class::NamespaceTerminating, "{error}");
    assert!(error.to_string().contains("`leaving`"), "{error}");
    plane.kubectl_ok(
        "admin",
        &[
            "-n",
            "leaving",
            "patch",
            "configmap/holder",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_is_bound_to_the_object_that_was_looked_at() {
    let connection = connect(ControlPlane::shared(), "greffier").await;
    make_namespace(&connection, "deletes").await;
    let applied = connection.apply(&apply_of(config_map("deletes", "a", json!({})))).await.unwrap();
    let object = normalize(&applied.raw, &Key).unwrap();
    let request = DeleteRequest {
        key: object.key.clone(),
        version: "v1".into(),
        uid: object.uid.clone(),
        resource_version: object.resource_version.clone(),
        // In the foreground it would stay until the garbage collector has looked at it.
        propagation: Propagation::Background,
        audit_id: "delete-1".into(),
    };
    let other = DeleteRequest { uid: "another".into(), ..request.clone() };
    assert_eq!(connection.delete(&other).await.unwrap_err().class(), Class::Conflict);
    connection.apply(&apply_of(config_map("deletes", "a", json!({"x": "1"})))).await.unwrap();
    assert_eq!(connection.delete(&request).await.unwrap_err().class(), Class::Conflict);
    let present = DeleteRequest { resource_version: String::new(), ..request };
    assert_eq!(connection.delete(&present).await.unwrap(), DeleteResult::Deleted);
    assert_eq!(connection.delete(&present).await.unwrap(), DeleteResult::AlreadyGone);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_identity_describe_the_cluster() {
    let connection = connect(ControlPlane::shared(), "greffier").await;
    let identity = connection.identify().await.unwrap();
    assert!(identity.uid.len() == 36 && identity.version.starts_with("v1."), "{identity:?}");
    assert!(identity.server.starts_with("https://127.0.0.1:"), "{identity:?}");
    let discovered = connection.discover().await.unwrap();
    assert_eq!(discovered.broken_groups, Vec::<String>::new());
    let find = |kind: &str, group: &str| {
        let served = discovered.kinds.iter().find(|k| k.kind.kind == kind && k.kind.group == group);
        served.map(|served| (served.version.as_str(), served.plural.as_str(), served.watched))
    };
    assert_eq!(find("Deployment", "apps"), Some(("v1", "deployments", true)));
    assert_eq!(
        find("HorizontalPodAutoscaler", "autoscaling"),
        Some(("v2", "horizontalpodautoscalers", true))
    );
    assert_eq!(find("Lease", "coordination.k8s.io"), Some(("v1", "leases", false)));
    assert_eq!(find("SubjectAccessReview", "authorization.k8s.io"), None);
}

/// Goal: nothing that a kubeconfig names is run (CVE-2022-24817). Method: a plugin that would
/// leave a file.
#[tokio::test]
async fn credential_plugins_are_refused_and_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mark) = (dir.path().join("kubeconfig"), dir.path().join("was-run"));
    let user = |auth: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {auth}}}]\n"
        )
    };
    let exec = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: ['{}'], interactiveMode: Never}}}}",
        mark.display()
    );
    for (auth, named) in [
        (exec.as_str(), "the program `touch`"),
        ("{auth-provider: {name: gcp, config: {cmd-path: touch}}}", "`gcp`"),
    ] {
        std::fs::write(&path, user(auth)).unwrap();
        let options = Options { kubeconfig: Some(path.clone()), ..Options::default() };
        let error = Connection::connect(&options).await.unwrap_err();
        assert!(matches!(error, Error::CredentialPlugin { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
    assert!(!mark.exists());

    for broken in ["", "{", "kind: Config\ncurrent-context: absent\n", "\u{0}"] {
        std::fs::write(&path, broken).unwrap();
        let options = Options { kubeconfig: Some(path.clone()), ..Options::default() };
        let error = Connection::connect(&options).await.unwrap_err();
        assert!(error.to_string().contains("kubeconfig"), "{error}");
    }
}

#[tokio::test]
async fn an_absent_api_server_is_a_passing_failure_and_nothing_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    // Port 1 is reserved and nobody listens there.
    std::fs::write(
        &path,
        "{apiVersion: v1, kind: Config, current-context: c, \
          clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], \
          contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}",
    )
    .unwrap();
    let options = Options {
        kubeconfig: Some(path),
        request_timeout: Duration::from_secs(5),
        ..Options::default()
    };
    let connection = Connection::connect(&options).await.unwrap();
    let error = connection.apply(&apply_of(config_map("a", "b", json!({})))).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(
        error.chain().contains("127.0.0.1:1") && error.chain().contains("refused"),
        "{}",
        error.chain()
    );
}
