//! Each write on the real API server is correct and explained: the rows of design §8.1.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};
use crate::keep::{live, namespace};

/// The policy of an application that is synced by hand.
const MANUAL: &str = "{}";

/// A greffier with one application on folder `web` in a namespace that exists; not started.
fn prepared(name: &str, policy: &str, files: &[(&str, &str)]) -> (Greffier, String, String) {
    let ns = namespace(name);
    let app = format!("{name}-web");
    ControlPlane::shared().kubectl_ok("alice", &["create", "namespace", &ns]);
    let greffier = Greffier::new();
    for (path, content) in files {
        greffier.repo.write(path, content);
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, policy);
    (greffier.root(&root), app, ns)
}

/// The manifest of a namespaced object with its namespace.
fn placed(manifest: &str, namespace: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1)
}

/// What is known of an object of an application: its state and why.
fn resource(greffier: &Greffier, app: &str, name: &str) -> (String, String) {
    let resources = greffier.json(&["get", "resources", "--app", app, "-o", "json"]);
    let resources = resources["items"].as_array().or(resources.as_array()).unwrap().clone();
    let found = resources.iter().find(|r| r["object"].as_str().is_some_and(|o| o.ends_with(name)));
    let text = |field: &str| found.map_or("", |r| r[field].as_str().unwrap()).to_owned();
    (text("sync"), text("why"))
}

fn previews(greffier: &Greffier, app: &str) -> usize {
    let events = greffier.json(&["log", app, "--all", "--kind", "object.previewed", "-o", "json"]);
    events.to_string().matches("\"object.previewed\"").count()
}

fn of<'a>(kind: &'a str, app: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event["kind"] == kind && event["detail"]["app"] == app
}

#[test]
fn an_object_that_is_as_git_says_is_synced_although_greffier_never_applied_it() {
    let (greffier, app, ns) = prepared(
        "unapplied",
        MANUAL,
        &[
            ("web/same.yaml", &config_map("same", "1")),
            ("web/other.yaml", &config_map("other", "2")),
        ],
    );
    let cluster = ControlPlane::shared();
    for (name, value) in [("same", "1"), ("other", "1")] {
        cluster.apply("alice", &placed(&config_map(name, value), &ns));
    }
    greffier.start();
    until("both are compared", || {
        let same = resource(&greffier, &app, "same");
        let other = resource(&greffier, &app, "other");
        (same.0 == "Synced" && other.0 == "OutOfSync").then_some(())
    });
    assert!(resource(&greffier, &app, "other").1.contains(".data.key"), "the field is named");
    let (diff, _) = greffier.cli_ends(1, &["diff", &app]);
    assert!(diff.contains(".data.key") && !diff.contains("same"), "{diff}");
    assert_eq!(previews(&greffier, &app), 2);
    // Seen again without a change of content, nothing is asked again; changed, it is.
    cluster.kubectl_ok("alice", &["label", "cm/same", "-n", &ns, "a=b"]);
    greffier.wait("the second look", |event| {
        of("object.previewed", &app)(event)
            && event["detail"]["key"]["name"] == "same"
            && previews(&greffier, &app) == 3
    });
    let intents = greffier.json(&["log", &app, "--all", "--kind", "apply.intent", "-o", "json"]);
    assert!(!intents.to_string().contains("apply.intent\""), "nothing was written: {intents}");
}

#[test]
fn a_dry_run_that_is_refused_leaves_it_unknown_with_the_reason() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  clusterIP: 10.0.0.77\n  ports: [{port: 80}]\n";
    let (greffier, app, ns) = prepared("refused-dry", MANUAL, &[("web/s.yaml", service)]);
    ControlPlane::shared()
        .kubectl_ok("alice", &["create", "service", "clusterip", "s", "--tcp=80", "-n", &ns]);
    greffier.start();
    let event = greffier.wait("the answer", of("object.previewed", &app));
    assert!(event["summary"].as_str().unwrap().contains("cannot be compared"), "{event}");
    until("it is unknown", || {
        let (sync, why) = resource(&greffier, &app, "/s");
        (sync == "Unknown" && why.contains("clusterIP")).then_some(())
    });
}

#[test]
fn what_is_there_already_is_adopted_quietly_by_an_automated_application() {
    let (greffier, app, ns) = prepared("adopted", KEPT, &[("web/c.yaml", &config_map("one", "1"))]);
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["create", "configmap", "one", "--from-literal=key=1", "-n", &ns]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let intent = greffier.wait("the intent", of("apply.intent", &app));
    assert_eq!(intent["detail"]["writes"][0]["verb"], "Adopt", "{intent}");
    let managers = live(&ns, "cm/one", ".metadata.managedFields[*].manager");
    assert!(managers.contains("greffier"), "{managers}");
    assert_eq!(previews(&greffier, &app), 1);
}

/// Which verbs were written, in order.
fn verbs(greffier: &Greffier, app: &str) -> Vec<String> {
    let intents = greffier.json(&["log", app, "--all", "--kind", "apply.intent", "-o", "json"]);
    let events = intents["items"].as_array().or(intents.as_array()).unwrap().clone();
    let mut found: Vec<(u64, String)> = Vec::new();
    for event in events {
        for write in event["detail"]["writes"].as_array().unwrap() {
            let verb = write["verb"].as_str().unwrap().to_owned();
            found.push((event["seq"].as_u64().unwrap(), verb));
        }
    }
    found.sort_by_key(|(seq, _)| *seq);
    found.into_iter().map(|(_, verb)| verb).collect()
}

fn pair(name: &str, a: &str, b: Option<&str>) -> String {
    let b = b.map_or_else(String::new, |b| format!("  b: {b:?}\n"));
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: {a:?}\n{b}")
}

/// `one` with `a` and `b` was made by somebody; Git says the same, then drops `b`.
fn dropped_after_adoption(name: &str, make: impl Fn(&str)) -> (Greffier, String) {
    let files = pair("one", "1", Some("2"));
    let (greffier, app, ns) = prepared(name, KEPT, &[("web/c.yaml", &files)]);
    make(&ns);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/one", ".data.b"), "2");
    greffier.repo.write("web/c.yaml", &pair("one", "1", None));
    let commit = greffier.repo.push("drop b");
    greffier.wait_synced(&app, &commit);
    (greffier, ns)
}

#[test]
fn what_leaves_git_goes_although_kubectl_applied_it_first() {
    let manifest = pair("one", "1", Some("2"));
    let (greffier, ns) = dropped_after_adoption("take-csa", |ns| {
        ControlPlane::shared().apply("alice", &placed(&manifest, ns));
    });
    assert_eq!(live(&ns, "cm/one", ".data.b"), "");
    let managers = live(&ns, "cm/one", ".metadata.managedFields[*].manager");
    assert_eq!(managers, "greffier");
    // The first update takes away the copy of its manifest that kubectl keeps in an annotation.
    assert_eq!(verbs(&greffier, "take-csa-web"), ["Adopt", "TakeOver", "Update", "Update"]);
}

#[test]
fn what_leaves_git_goes_although_it_was_created_by_hand() {
    let (greffier, ns) = dropped_after_adoption("take-create", |ns| {
        let args =
            ["create", "configmap", "one", "--from-literal=a=1", "--from-literal=b=2", "-n", ns];
        ControlPlane::shared().kubectl_ok("alice", &args);
    });
    assert_eq!(live(&ns, "cm/one", ".data.b"), "");
    assert!(verbs(&greffier, "take-create-web").contains(&"TakeOver".to_owned()));
}

/// Applies a manifest with server-side apply as some manager.
fn apply_as(greffier: &Greffier, manager: &str, manifest: &str) {
    let path = greffier.path(&format!("{manager}.yaml"));
    std::fs::write(&path, manifest).unwrap();
    ControlPlane::shared().kubectl_ok(
        "alice",
        &["apply", "--server-side", "--field-manager", manager, "-f", path.to_str().unwrap()],
    );
}

#[test]
fn what_argo_cd_applied_is_taken_over_and_its_mark_stays_with_it() {
    let (greffier, app, ns) =
        prepared("take-argo", KEPT, &[("web/c.yaml", &pair("one", "1", None))]);
    let id = "take-argo-web:/ConfigMap:x/one";
    let marked = placed(&pair("one", "1", Some("2")), &ns).replacen(
        "metadata:\n",
        &format!("metadata:\n  annotations:\n    argocd.argoproj.io/tracking-id: {id}\n"),
        1,
    );
    apply_as(&greffier, "argocd-controller", &marked);
    greffier.start();
    // The object shows another GitOps manager.
    greffier.wait_kind("plan.gated", &app);
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let preview = greffier.wait("the dry run", of("object.previewed", &app));
    assert!(preview["summary"].as_str().unwrap().contains(".data.b"), "announced: {preview}");
    assert_eq!(live(&ns, "cm/one", ".data.b"), "", "Git does not have it");
    let mark = live(&ns, "cm/one", ".metadata.annotations.argocd\\.argoproj\\.io/tracking-id");
    assert_eq!(mark, id);
    assert_eq!(verbs(&greffier, &app), ["Adopt", "TakeOver", "Update"]);
}

#[test]
fn what_an_operator_owns_too_stays_and_is_named() {
    let (greffier, app, ns) =
        prepared("take-none", KEPT, &[("web/c.yaml", &pair("one", "1", Some("2")))]);
    apply_as(&greffier, "my-operator", &placed(&pair("one", "1", Some("2")), &ns));
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/c.yaml", &pair("one", "1", None));
    let commit = greffier.repo.push("drop b");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.b"), "2");
    assert_eq!(verbs(&greffier, &app), ["Adopt", "Update"]);
    let (_, why) = resource(&greffier, &app, "one");
    assert!(why.contains(".data.b (also of my-operator)"), "{why}");
}

#[test]
fn what_admission_changed_is_recorded_and_is_no_drift() {
    let (greffier, app, ns) =
        prepared("admitted", KEPT, &[("web/c.yaml", &pair("one", "sent", None))]);
    let cluster = ControlPlane::shared();
    let policy = format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {ns}}}
spec:
  reinvocationPolicy: Never
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}
    resourceRules:
      - apiGroups: ['']
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [configmaps]
  mutations:
    - patchType: JSONPatch
      jsonPatch:
        expression: '[JSONPatch{{op: \"replace\", path: \"/data/a\", value: \"admitted\"}}]'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {ns}}}
spec: {{policyName: {ns}}}
"
    );
    cluster.apply("admin", &policy);
    // A policy is in force some time after it was made.
    until("the policy is in force", || {
        let out = cluster.kubectl_ok(
            "admin",
            &[
                "create",
                "configmap",
                "probe",
                "--from-literal=a=x",
                "-n",
                &ns,
                "--dry-run=server",
                "-o",
                "jsonpath={.data.a}",
            ],
        );
        (out == "admitted").then_some(())
    });
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/one", ".data.a"), "admitted");
    let (sync, why) = resource(&greffier, &app, "one");
    assert_eq!(sync, "Synced", "{why}");
    assert!(why.contains("admitted differently: .data.a"), "{why}");
    let outcome = greffier.wait("the outcome", |event| {
        of("apply.outcome", &app)(event) && event["summary"].to_string().contains("admitted diff")
    });
    assert!(outcome["summary"].as_str().unwrap().contains("\"sent\" → \"admitted\""), "{outcome}");
    let (_, notes) = greffier.cli_ends(0, &["diff", &app]);
    assert!(notes.contains("admitted differently"), "{notes}");
    // A change of another field is drift and is put back; what was admitted is not fought over.
    cluster.kubectl_ok("alice", &["label", "cm/one", "-n", &ns, "greffier.dev/none=x"]);
    cluster.kubectl_ok(
        "alice",
        &["annotate", "cm/one", "-n", &ns, "--overwrite", "greffier.dev/application=other"],
    );
    greffier.wait("the drift", of("drift.detected", &app));
    until("it is put back", || {
        let mark = live(&ns, "cm/one", ".metadata.annotations.greffier\\.dev/application");
        (mark == app).then_some(())
    });
    assert_eq!(verbs(&greffier, &app), ["Create", "Heal"]);
}

fn replaced(name: &str, value: &str, options: &str) -> String {
    config_map(name, value).replacen(
        "metadata:\n",
        &format!("metadata:\n  annotations:\n    argocd.argoproj.io/sync-options: {options}\n"),
        1,
    )
}

#[test]
fn a_replaced_object_has_nothing_but_what_git_says_and_its_drift_is_put_back() {
    let (greffier, app, ns) =
        prepared("replace", KEPT, &[("web/c.yaml", &replaced("one", "1", "Replace=true"))]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let uid = live(&ns, "cm/one", ".metadata.uid");
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["label", "cm/one", "-n", &ns, "added=x"]);
    greffier.repo.write("web/c.yaml", &replaced("one", "2", "Replace=true"));
    let commit = greffier.repo.push("another value");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
    assert_eq!(live(&ns, "cm/one", ".metadata.labels"), "", "not in Git");
    assert_eq!(live(&ns, "cm/one", ".metadata.uid"), uid);
    let managers = live(&ns, "cm/one", ".metadata.managedFields[*].operation");
    assert!(!managers.contains("Apply"), "{managers}");
    cluster.kubectl_ok(
        "alice",
        &["patch", "cm/one", "-n", &ns, "--type=merge", "-p", r#"{"data":{"key":"by-hand"}}"#],
    );
    let event = greffier.wait("the drift", of("drift.detected", &app));
    assert_eq!(event["detail"]["fields"][0]["path"], ".data.key", "{event}");
    until("it is put back", || (live(&ns, "cm/one", ".data.key") == "2").then_some(()));
}

#[test]
fn replace_with_force_makes_the_object_anew() {
    let options = "Replace=true,Force=true";
    let (greffier, app, ns) =
        prepared("recreate", KEPT, &[("web/c.yaml", &replaced("one", "1", options))]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let uid = live(&ns, "cm/one", ".metadata.uid");
    greffier.repo.write("web/c.yaml", &replaced("one", "2", options));
    let commit = greffier.repo.push("another value");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
    assert_ne!(live(&ns, "cm/one", ".metadata.uid"), uid);
    assert_eq!(verbs(&greffier, &app), ["Create", "Recreate", "Create"]);

    // What is to come is asked about first: nothing is deleted for what is then refused.
    let uid = live(&ns, "cm/one", ".metadata.uid");
    let wrong = replaced("one", "3", options).replace("\ndata:", "\nimmutable: never\ndata:");
    greffier.repo.write("web/c.yaml", &wrong);
    let commit = greffier.repo.push("a mistake");
    let ended = greffier.wait(&commit, |event| {
        of("sync.finished", &app)(event) && event["detail"]["commit"] == commit.as_str()
    });
    assert!(ended["summary"].as_str().unwrap().contains("was not deleted"), "{ended}");
    assert_eq!(live(&ns, "cm/one", ".metadata.uid"), uid);
    // A Secret, of which the API server's text is withheld.
    let secret = |value: &str| {
        let text = replaced("one", value, options).replace("ConfigMap", "Secret");
        text.replace("\ndata:", "\nstringData:")
    };
    greffier.repo.write("web/c.yaml", &replaced("one", "3", options));
    greffier.repo.write("web/s.yaml", &secret("a"));
    greffier.wait_synced(&app, &greffier.repo.push("mended"));
    let was = live(&ns, "secret/one", ".metadata.uid");
    assert_ne!(live(&ns, "cm/one", ".metadata.uid"), uid);
    greffier.repo.write("web/s.yaml", &secret("b"));
    greffier.wait_synced(&app, &greffier.repo.push("another secret"));
    assert_ne!(live(&ns, "secret/one", ".metadata.uid"), was);
}

#[test]
fn a_key_that_leaves_string_data_leaves_the_secret() {
    let secret = |keys: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n{keys}")
    };
    let (greffier, app, ns) =
        prepared("string-data", KEPT, &[("web/s.yaml", &secret("  a: one\n  b: two\n"))]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "secret/s", ".data.b"), "dHdv");
    greffier.repo.write("web/s.yaml", &secret("  a: one\n"));
    let commit = greffier.repo.push("drop b");
    greffier.wait_synced(&app, &commit);
    assert_eq!(
        (live(&ns, "secret/s", ".data.a"), live(&ns, "secret/s", ".data.b")),
        ("b25l".into(), String::new())
    );
}

#[test]
fn a_chart_that_draws_random_values_is_named_once_and_its_first_render_stays() {
    let secret = "apiVersion: v1
kind: Secret
metadata:
  name: s
data:
  password: {{ randAlphaNum 12 | b64enc }}
  fixed: eA==
";
    let chart = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
    let (greffier, app, ns) =
        prepared("varies", KEPT, &[("web/Chart.yaml", chart), ("web/templates/s.yaml", secret)]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    let event = greffier.wait("the notice", of("render.varied", &app));
    let fields = event["detail"]["fields"].to_string();
    assert!(fields.contains(".data.password") && !fields.contains("fixed"), "{event}");
    // A first render may come before it is known what the cluster serves, which is an input too.
    greffier.repo.write("elsewhere/c.yaml", "a: 1\n");
    let commit = greffier.repo.push("elsewhere");
    greffier.wait("a revision", |event| {
        (of("render.unchanged", &app)(event) || of("sync.finished", &app)(event))
            && event["detail"].to_string().contains(&commit)
    });
    let password = live(&ns, "secret/s", ".data.password");
    greffier.repo.write("elsewhere/c.yaml", "a: 2\n");
    let commit = greffier.repo.push("elsewhere again");
    greffier.wait("the commit", |event| {
        of("render.unchanged", &app)(event)
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    assert_eq!(live(&ns, "secret/s", ".data.password"), password, "the first render stays");
    assert_eq!(greffier.stop(), Some(0));
    greffier.start();
    greffier.repo.write("web/values.yaml", "other: 1\n");
    let commit = greffier.repo.push("the chart changes");
    greffier.wait("the render", |event| {
        of("render.succeeded", &app)(event)
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    greffier.wait_synced(&app, &commit);
    assert_ne!(live(&ns, "secret/s", ".data.password"), password, "other inputs, another value");
    let told = greffier.json(&["log", &app, "--all", "--kind", "render.varied", "-o", "json"]);
    assert_eq!(told.to_string().matches("NOT DETERMINISTIC").count(), 1, "{told}");
}

#[test]
fn the_echoes_of_our_own_writes_are_never_taken_for_drift() {
    let image = |n: usize| deployment("web", &format!("app:v{n}"), 2);
    let (greffier, app, ns) = prepared("echo", KEPT, &[("web/d.yaml", &image(0))]);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    // Each write is made while the controllers answer to the one before.
    let mut last = String::new();
    for n in 1..=12 {
        greffier.repo.write("web/d.yaml", &image(n));
        last = greffier.repo.push(&format!("image {n}"));
        greffier.wait("the write", |event| {
            of("apply.outcome", &app)(event) && event["commit"] == last.as_str()
                || of("sync.finished", &app)(event) && event["detail"]["commit"] == last.as_str()
        });
    }
    greffier.wait_synced(&app, &last);
    assert_eq!(live(&ns, "deploy/web", ".spec.template.spec.containers[0].image"), "app:v12");
    let drifts = greffier.json(&["log", &app, "--all", "--kind", "drift.detected", "-o", "json"]);
    assert!(!drifts.to_string().contains("drift.detected\""), "{drifts}");
    assert!(verbs(&greffier, &app).iter().all(|verb| verb == "Create" || verb == "Update"));
}
