//! The gate: deletions are judged by their blast radius before they are made.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};
use crate::keep::{kept, kept_with, live, namespace};

fn files(count: usize) -> Vec<(String, String)> {
    (0..count).map(|n| (format!("web/c{n}.yaml"), config_map(&format!("c{n}"), "1"))).collect()
}

/// A greffier that keeps `app` on folder `path`, configured by `toml`, before it starts.
fn prepared(toml: &str, name: &str, apps: &[(&str, &str)]) -> (Greffier, String) {
    let ns = namespace(name);
    let mut greffier = Greffier::new().configure(toml);
    for (app, path) in apps {
        let manifest = application(app, &greffier.repo.url(), path, &ns, KEPT);
        greffier = greffier.root(&manifest);
    }
    (greffier, ns)
}

/// Waits for the gate of `app` and returns its reasons.
fn gated(greffier: &Greffier, app: &str) -> (Value, Vec<String>) {
    let event = greffier.wait_kind("plan.gated", app);
    let reasons = event["detail"]["reasons"].as_array().unwrap();
    let reasons = reasons.iter().map(|reason| reason["what"].as_str().unwrap().to_owned());
    let reasons = reasons.collect();
    (event, reasons)
}

fn maps(prefix: &str, count: usize) -> String {
    let maps = (0..count).map(|n| config_map(&format!("{prefix}{n}"), "1"));
    maps.collect::<Vec<_>>().join("---\n")
}

#[test]
fn up_to_half_of_an_application_may_go_and_more_waits() {
    // With its namespace the application has eight objects.
    let (greffier, app, ns) = kept("half", &[("web/all.yaml", &maps("c", 7))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/all.yaml", &maps("c", 3));
    let commit = greffier.repo.push("drop half");
    greffier.wait_synced(&app, &commit);
    until("half is gone", || live(&ns, "cm/c3", ".metadata.name").is_empty().then_some(()));
    greffier.repo.write("web/all.yaml", &config_map("other", "1"));
    greffier.repo.push("drop three of four");
    let (_, reasons) = gated(&greffier, &app);
    assert_eq!(reasons, [format!("would delete 3 of 4 objects of {app} (limit 50 %)")]);
    until("the new object", || (live(&ns, "cm/other", ".data.key") == "1").then_some(()));
    assert_eq!(live(&ns, "cm/c0", ".data.key"), "1");
}

#[test]
fn more_than_fifty_deletions_of_one_commit_over_all_applications_wait() {
    let apps = [("fifty-a", "a"), ("fifty-b", "b")];
    let (greffier, ns) = prepared("", "fifty", &apps);
    greffier.repo.write("a/all.yaml", &maps("a", 60)).write("b/all.yaml", &maps("b", 60));
    let first = greffier.repo.push("first");
    greffier.start();
    apps.iter().for_each(|(app, _)| drop(greffier.wait_synced(app, &first)));
    greffier.repo.write("a/all.yaml", &maps("a", 34)).write("b/all.yaml", &maps("b", 34));
    let second = greffier.repo.push("drop 26 of each");
    greffier.wait_synced("fifty-a", &second);
    let (_, reasons) = gated(&greffier, "fifty-b");
    assert_eq!(reasons, ["would delete 52 objects for one commit (limit 50)"]);
    until("what is within the limit is gone", || {
        live(&ns, "cm/a59", ".metadata.name").is_empty().then_some(())
    });
    assert_eq!(live(&ns, "cm/b59", ".data.key"), "1");
}

/// One object of each kind that holds others.
fn protected(held: &str, group: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {held}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets, singular: widget}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object}}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {volume}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  storageClassName: none
  hostPath: {{path: /nowhere}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: claim}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: nothing
  resources: {{requests: {{storage: 1Gi}}}}
"
    )
}

#[test]
fn namespaces_definitions_volumes_and_claims_wait_whatever_their_number() {
    let held = format!("{}-held", namespace("kinds"));
    let volume = format!("volume-{held}");
    let group = "gatekinds.example.org";
    let protected = protected(&held, group, &volume);
    let files = [("web/maps.yaml", maps("c", 12)), ("web/protected.yaml", protected)];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let (greffier, app, ns) = kept("kinds", &files);
    let claim = format!("PersistentVolumeClaim/{ns}/claim");
    until("the claim is there", || {
        live(&ns, "pvc/claim", ".metadata.name").eq("claim").then_some(())
    });
    until("the definition is there", || {
        let found = live(&ns, &format!("crd/widgets.{group}"), ".metadata.name");
        found.starts_with("widgets").then_some(())
    });
    greffier.repo.remove("web/protected.yaml");
    greffier.repo.push("drop what holds other things");
    let (_, reasons) = gated(&greffier, &app);
    let definition = format!("CustomResourceDefinition.apiextensions.k8s.io/widgets.{group}");
    let namespace = format!("Namespace/{held}");
    let volume_key = format!("PersistentVolume/{volume}");
    for key in [&namespace, &definition, &volume_key, &claim] {
        let what = format!("would delete {key}, and with it what it holds");
        assert!(reasons.contains(&what), "{key}: {reasons:?}");
    }
    let objects = [
        format!("ns/{held}"),
        format!("crd/widgets.{group}"),
        format!("pv/{volume}"),
        "pvc/claim".into(),
    ];
    let going = |object: &String| {
        live(&ns, object, ".metadata.name").is_empty()
            || !live(&ns, object, ".metadata.deletionTimestamp").is_empty()
    };
    assert!(!objects.iter().any(going));
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("what was approved goes", || objects.iter().all(going).then_some(()));
}

#[test]
fn an_application_may_be_emptied_where_allow_empty_says_so() {
    let policy = r#"{"automated": {"prune": true, "allowEmpty": true},
        "syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) =
        kept_with("allowed", policy, &[("web/a.yaml", &config_map("a", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/a.yaml").write("web/.keep", "");
    greffier.repo.push("empty");
    until("it is empty", || live(&ns, "cm/a", ".metadata.name").is_empty().then_some(()));
}

#[test]
fn recreations_count_as_deletions() {
    let forced = |value: &str| {
        let options = "metadata:\n  annotations:\n    argocd.argoproj.io/sync-options: Replace=true,Force=true\n";
        let maps =
            (0..4).map(|n| config_map(&format!("c{n}"), value).replacen("metadata:\n", options, 1));
        maps.collect::<Vec<_>>().join("---\n")
    };
    let (greffier, app, ns) = kept("recreated", &[("web/all.yaml", &forced("1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let uids = || live(&ns, "cm", ".items[*].metadata.uid");
    let before = uids();
    greffier.repo.write("web/all.yaml", &forced("2"));
    let commit = greffier.repo.push("recreate all four");
    let (event, reasons) = gated(&greffier, &app);
    assert_eq!(reasons, [format!("would delete 4 of 5 objects of {app} (limit 50 %)")]);
    assert_eq!(event["detail"]["writes"][0]["verb"], "Recreate");
    assert_eq!((uids(), live(&ns, "cm/c0", ".data.key")), (before.clone(), "1".to_owned()));
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/c0", ".data.key"), "2");
    assert_ne!(uids(), before, "they are other objects now");
}

#[test]
fn scaling_to_zero_counts_as_a_deletion() {
    let file = |n: usize| format!("web/d{n}.yaml");
    let files: Vec<_> =
        (0..4).map(|n| (file(n), deployment(&format!("d{n}"), "app:v1", 1))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let (greffier, app, ns) = kept("zero", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    for n in 0..4 {
        let replicas = if n < 3 { 0 } else { 2 };
        greffier.repo.write(&file(n), &deployment(&format!("d{n}"), "app:v1", replicas));
    }
    let commit = greffier.repo.push("stop nearly everything");
    let (_, reasons) = gated(&greffier, &app);
    assert_eq!(reasons, [format!("would delete 3 of 5 objects of {app} (limit 50 %)")]);
    let replicas = |n: usize| live(&ns, &format!("deploy/d{n}"), ".spec.replicas");
    until("the other one is scaled", || (replicas(3) == "2").then_some(()));
    assert_eq!(replicas(0), "1");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    greffier.wait_synced(&app, &commit);
    assert_eq!(replicas(0), "0");
}

/// Before the removal of an application is approved, each object that goes with it is named, to
/// people and to programs; and whoever asks about that application is told where it waits.
fn names_what_goes(greffier: &Greffier, ns: &str) {
    let (_, shown) = greffier.cli_ends(6, &["approve", "whole-root"]);
    let (told, _) = greffier.cli_ends(6, &["approve", "whole-root", "-o", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["gone"][0]["deletes"].as_array().map(Vec::len), Some(6), "{told:#}");
    for n in 0..6 {
        let object = format!("ConfigMap/{ns}/big{n}");
        assert!(shown.contains(&object), "{object}: {shown}");
        assert_eq!(told["gone"][0]["deletes"][n], object.as_str());
    }
    let (_, refused) = greffier.cli_ends(6, &["approve", "whole-big", "--yes"]);
    for words in ["what waits is of `whole-root`", "greffier approve whole-root"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
}

#[test]
fn the_removal_of_a_whole_application_counts_its_objects() {
    let (greffier, ns) = prepared("", "whole", &[]);
    let finalizer = "metadata:\n  finalizers: [resources-finalizer.argocd.argoproj.io]\n";
    let child = |name: &str| {
        let manifest = application(name, &greffier.repo.url(), name, &ns, KEPT);
        manifest.replacen("metadata:\n", finalizer, 1)
    };
    greffier.repo.write("apps/big.yaml", &child("whole-big"));
    greffier.repo.write("apps/small.yaml", &child("whole-small"));
    greffier.repo.write("whole-big/all.yaml", &maps("big", 6));
    greffier.repo.write("whole-small/all.yaml", &maps("small", 1));
    let first = greffier.repo.push("first");
    let root = application("whole-root", &greffier.repo.url(), "apps", "argocd", KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    for app in ["whole-big", "whole-small"] {
        greffier.wait_synced(app, &first);
    }
    greffier.repo.remove("apps/big.yaml");
    greffier.repo.push("remove the big one");
    let (event, reasons) = gated(&greffier, "whole-root");
    assert!(reasons[0].contains("objects of whole-root"), "{reasons:?}");
    assert_eq!(event["detail"]["apps"], serde_json::json!(["whole-big"]));
    assert_eq!(live(&ns, "cm/big0", ".data.key"), "1");
    names_what_goes(&greffier, &ns);
    greffier.cli_ends(0, &["approve", "whole-root", "--yes"]);
    until("its objects are gone", || {
        live(&ns, "cm/big0", ".metadata.name").is_empty().then_some(())
    });
    assert_eq!(live(&ns, "cm/small0", ".data.key"), "1");
}

#[test]
fn how_much_may_go_is_configuration() {
    let toml = "[gate]\napp_percent_max = 10\napp_objects_min = 1\n";
    let (greffier, ns) = prepared(toml, "numbers", &[("numbers", "web")]);
    greffier.repo.write("web/all.yaml", &maps("c", 7));
    let first = greffier.repo.push("first");
    greffier.start();
    greffier.wait_synced("numbers", &first);
    greffier.repo.write("web/all.yaml", &maps("c", 6));
    greffier.repo.push("drop one");
    let (_, reasons) = gated(&greffier, "numbers");
    assert_eq!(reasons, ["would delete 1 of 8 objects of numbers (limit 10 %)"]);
    assert_eq!(live(&ns, "cm/c6", ".data.key"), "1");
}

#[test]
fn an_object_that_enters_another_application_with_the_same_commit_is_no_deletion() {
    let apps = [("move-a", "a"), ("move-b", "b")];
    let (greffier, ns) = prepared("", "move", &apps);
    greffier.repo.write("a/all.yaml", &maps("c", 5)).write("b/own.yaml", &maps("b", 1));
    let first = greffier.repo.push("first");
    greffier.start();
    apps.iter().for_each(|(app, _)| drop(greffier.wait_synced(app, &first)));
    let uids = || live(&ns, "cm", ".items[*].metadata.uid");
    let before = uids();
    greffier.repo.remove("a/all.yaml").write("a/own.yaml", &maps("a", 1));
    greffier.repo.write("b/all.yaml", &maps("c", 5));
    let second = greffier.repo.push("move all of them");
    apps.iter().for_each(|(app, _)| drop(greffier.wait_synced(app, &second)));
    for uid in before.split_whitespace() {
        assert!(uids().contains(uid), "the objects are the same ones");
    }
    let claimed = live(&ns, "cm/c0", r".metadata.annotations.greffier\.dev/application");
    assert_eq!(claimed, "move-b");
    let gates = greffier.json(&["log", "--kind", "plan.gated", "-o", "json"]);
    assert_eq!(gates.as_array().map(Vec::len), Some(0), "{gates}");
}

#[test]
fn first_contact_with_the_objects_of_another_gitops_manager_waits_for_approval() {
    let (greffier, ns) = prepared("", "contact", &[("contact", "web")]);
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("admin", &["create", "namespace", &ns]);
    let with = |name: &str, metadata: &str| {
        let manifest = config_map(name, "theirs").replacen("metadata:\n", metadata, 1);
        manifest.replacen("  name:", &format!("  namespace: {ns}\n  name:"), 1)
    };
    let tracked = |name: &str, id: &str| {
        let id = format!("shop:/ConfigMap:{ns}/{id}");
        with(
            name,
            &format!("metadata:\n  annotations: {{argocd.argoproj.io/tracking-id: '{id}'}}\n"),
        )
    };
    let flux = "metadata:\n  labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}\n";
    let theirs =
        [tracked("tracked", "tracked"), tracked("copied", "other"), with("labelled", flux)];
    for manifest in &theirs {
        cluster.apply("admin", manifest);
    }
    let file = greffier.path("applied.yaml");
    std::fs::write(&file, with("owned", "metadata:\n")).unwrap();
    let file = file.to_str().unwrap();
    let manager = "--field-manager=argocd-controller";
    cluster.kubectl_ok("admin", &["apply", "--server-side", manager, "-f", file]);
    for name in ["tracked", "copied", "labelled", "owned", "fresh"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "ours"));
    }
    let commit = greffier.repo.push("first");
    greffier.start();
    let (event, reasons) = gated(&greffier, "contact");
    let told = reasons.join("; ");
    for manager in [
        "Argo CD (application shop)",
        "Argo CD (argocd-controller)",
        "Flux (Kustomization flux-system/apps)",
    ] {
        assert!(told.contains(manager), "{told}");
    }
    assert_eq!(event["detail"]["writes"].as_array().unwrap().len(), 3, "{event}");
    // The rest goes on: what is new, and what was copied with somebody's tracking id.
    let value = |name: &str| live(&ns, &format!("cm/{name}"), ".data.key");
    until("the rest is written", || {
        (value("fresh") == "ours" && value("copied") == "ours").then_some(())
    });
    for name in ["tracked", "labelled", "owned"] {
        assert_eq!(value(name), "theirs", "{name}");
    }
    greffier.cli_ends(0, &["approve", "contact", "--yes"]);
    greffier.wait_synced("contact", &commit);
    for name in ["tracked", "labelled", "owned"] {
        assert_eq!(value(name), "ours", "{name}");
    }
    let id = live(&ns, "cm/tracked", r".metadata.annotations.argocd\.argoproj\.io/tracking-id");
    assert_eq!(id, format!("shop:/ConfigMap:{ns}/tracked"), "their mark stays theirs");
    // What is greffier's own now is healed without another question.
    cluster.kubectl_ok(
        "alice",
        &["patch", "cm/tracked", "-n", &ns, "--type=merge", "-p", r#"{"data":{"key":"edited"}}"#],
    );
    until("it is healed", || (value("tracked") == "ours").then_some(()));
}

#[test]
fn an_approval_names_what_was_shown_and_lapses_when_that_changes() {
    let apps = [("lapse-a", "a"), ("lapse-b", "b")];
    let (greffier, ns) = prepared("", "lapse", &apps);
    greffier.repo.write("a/all.yaml", &maps("a", 9)).write("b/all.yaml", &maps("b", 1));
    let first = greffier.repo.push("first");
    greffier.start();
    apps.iter().for_each(|(app, _)| drop(greffier.wait_synced(app, &first)));
    greffier.cli_ends(0, &["plan"]);
    greffier.repo.write("a/all.yaml", &maps("a", 1));
    greffier.repo.push("drop nearly everything");
    let (gate, _) = gated(&greffier, "lapse-a");
    let old = gate["detail"]["plan"].as_str().unwrap().to_owned();
    // The whole of it is shown, and by whom it was asked for.
    let (out, _) = greffier.cli_ends(1, &["plan", "lapse-a"]);
    for told in ["would delete 8 of", "drop nearly everything", "Ada", "a8", "1 key", "approve"] {
        assert!(out.contains(told), "{told}: {out}");
    }
    let (_, shown) = greffier.cli_ends(6, &["approve", "lapse-a"]);
    for told in ["would delete 8 of", "drop nearly everything", "Ada", "a8", "1 key"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let plans = greffier.cli(&["plan", "lapse-a", "lapse-b", "-o", "json"]);
    let plans: Value = serde_json::from_slice(&plans.stdout).unwrap();
    assert_eq!((&plans[0]["to_do"], &plans[1]["to_do"]), (&true.into(), &false.into()));
    assert_eq!(plans[0]["gate"]["plan"], old.as_str());
    // Not this application's, not any plan.
    let (_, refused) = greffier.cli_ends(6, &["approve", "lapse-b", &old[..12]]);
    assert!(refused.contains("is one of `lapse-a`"), "{refused}");
    greffier.cli_ends(6, &["approve", "lapse-a", "0123456789ab"]);
    // Something that would go is changed: what was shown is no more.
    let edit = r#"{"data":{"key":"precious"}}"#;
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["patch", "cm/a8", "-n", &ns, "--type=merge", "-p", edit]);
    let seq = gate["seq"].as_u64().unwrap();
    let anew = greffier.wait_after(seq, "another gate", |event| event["kind"] == "plan.gated");
    let (_, refused) = greffier.cli_ends(6, &["approve", "lapse-a", &old[..12]]);
    assert!(refused.contains("has lapsed"), "{refused}");
    assert_eq!(live(&ns, "cm/a7", ".data.key"), "1");
    // Whoever names a plan has seen it.
    let new = anew["detail"]["plan"].as_str().unwrap();
    greffier.cli_ends(0, &["approve", "lapse-a", &new[..6], "--reason", "seen"]);
    until("it is gone", || live(&ns, "cm/a8", ".metadata.name").is_empty().then_some(()));
}

#[test]
fn a_commit_that_would_delete_everything_waits_and_its_approval_carries_it_out() {
    let files = files(4);
    let refs: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (greffier, app, ns) = kept("gate", &refs);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web");
    greffier.repo.write("web/new.yaml", &config_map("new", "1"));
    let commit = greffier.repo.push("delete everything");
    let gated = greffier.wait_kind("plan.gated", &app);
    assert_eq!(gated["detail"]["writes"].as_array().unwrap().len(), 4);
    // What is not a deletion goes on.
    until("the new object is there", || (live(&ns, "cm/new", ".data.key") == "1").then_some(()));
    for n in 0..4 {
        assert_eq!(live(&ns, &format!("cm/c{n}"), ".data.key"), "1", "c{n} must not be deleted");
    }
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("greffier approve"), "{status}");
    let (_, refused) = greffier.cli_ends(6, &["approve", &app, "ffffffff", "--yes"]);
    assert!(refused.contains("error:"), "{refused}");
    greffier.cli_ends(6, &["approve", &app]);
    greffier.cli_ends(0, &["approve", &app, "--yes", "--reason", "spring cleaning"]);
    until("everything is gone", || {
        live(&ns, "cm", ".items[*].metadata.name")
            .split(' ')
            .all(|name| !name.starts_with('c'))
            .then_some(())
    });
    greffier.wait_synced(&app, &commit);
    greffier.cli_ends(6, &["approve", &app, "--yes"]);
}

#[test]
fn an_empty_repository_folder_deletes_nothing() {
    let (greffier, app, ns) = kept("empty", &[("web/a.yaml", &config_map("a", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/a.yaml");
    greffier.repo.write("web/.keep", "");
    greffier.repo.push("empty");
    let gated = greffier.wait_kind("plan.gated", &app);
    assert!(gated["detail"]["reasons"].to_string().contains("allowEmpty"), "{gated}");
    assert_eq!(live(&ns, "cm/a", ".data.key"), "1");
    // Git says otherwise again: the gate lapses by itself.
    greffier.repo.write("web/a.yaml", &config_map("a", "2"));
    let commit = greffier.repo.push("back");
    greffier.wait_synced(&app, &commit);
    greffier.wait_kind("plan.lapsed", &app);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "2");
}

#[test]
fn children_that_leave_git_keep_their_objects_unless_their_finalizer_says_otherwise() {
    let greffier = Greffier::new();
    let (url, ns) = (greffier.repo.url(), namespace("children"));
    let plain = application("children-plain", &url, "plain", &ns, KEPT);
    let finalizer = "metadata:\n  finalizers: [resources-finalizer.argocd.argoproj.io]\n";
    let cascading = application("children-cascade", &url, "cascade", &ns, KEPT).replacen(
        "metadata:\n",
        finalizer,
        1,
    );
    let stays = |n: u32| application(&format!("children-stays{n}"), &url, "stays", &ns, r#"{}"#);
    greffier.repo.write("apps/plain.yaml", &plain).write("apps/cascade.yaml", &cascading);
    for n in 0..6 {
        greffier.repo.write(&format!("apps/stays{n}.yaml"), &stays(n));
    }
    greffier.repo.write("plain/c.yaml", &config_map("plain", "1"));
    greffier.repo.write("cascade/c.yaml", &config_map("cascade", "1"));
    greffier.repo.write("stays/c.yaml", &config_map("stays", "1"));
    let first = greffier.repo.push("first");
    let greffier = greffier.root(&application("children-root", &url, "apps", "argocd", KEPT));
    greffier.start();
    greffier.wait_synced("children-plain", &first);
    greffier.wait_synced("children-cascade", &first);
    greffier.repo.remove("apps/plain.yaml").remove("apps/cascade.yaml");
    greffier.repo.push("remove two children");
    until("the cascading child's object is gone", || {
        live(&ns, "cm/cascade", ".data.key").is_empty().then_some(())
    });
    greffier.wait_kind("app.removed", "children-plain");
    assert_eq!(live(&ns, "cm/plain", ".data.key"), "1");
}

#[test]
fn a_sync_by_hand_that_meets_the_gate_says_so_instead_of_waiting() {
    let files = files(4);
    let refs: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let manual = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) = kept_with("gatesync", manual, &refs);
    greffier.wait_kind("render.succeeded", &app);
    greffier.cli_ends(0, &["sync", &app]);
    for n in 0..4 {
        greffier.repo.remove(&format!("web/c{n}.yaml"));
    }
    greffier.repo.write("web/new.yaml", &config_map("new", "1"));
    let commit = greffier.repo.push("remove most");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    let (_, stderr) = greffier.cli_ends(6, &["sync", &app, "--prune"]);
    assert!(stderr.contains("approve"), "{stderr}");
    assert_eq!(live(&ns, "cm/c0", ".data.key"), "1");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("c0 is gone", || live(&ns, "cm/c0", ".data.key").is_empty().then_some(()));
}
