//! The cluster burns, and the ledger rebuilds it on a new one: 600 objects, killed three times.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, until};
use crate::estate::{NAMESPACES, guard, in_namespace, owned, wide};

/// The context of every kubeconfig of a control plane.
pub(crate) fn context(kubeconfig: &Path) -> String {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("current-context: "));
    line.unwrap_or_else(|| panic!("{text}")).trim().trim_matches('"').to_owned()
}

/// `greffier replay` onto a control plane.
pub(crate) fn onto<'a>(target: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["replay", "--to", &target[0], "--kubeconfig", &target[1]];
    args.extend(more);
    args
}

pub(crate) fn target(cluster: &ControlPlane) -> [String; 2] {
    let kubeconfig = cluster.kubeconfig("greffier");
    [context(&kubeconfig), kubeconfig.to_str().unwrap().to_owned()]
}

/// A value of an object; empty when the object has none.
pub(crate) fn jsonpath(cluster: &ControlPlane, object: &[&str], path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    let args: Vec<&str> = ["get"].iter().chain(object).copied().chain(["-o", &path]).collect();
    cluster.kubectl_ok("admin", &args)
}

/// The events that nobody but a replay records.
fn recorded(greffier: &Greffier) -> Vec<Value> {
    let all = greffier.json(&["log", "--kind", "recovery", "--all", "-n", "100000", "-o", "json"]);
    let mut all = all.as_array().unwrap().clone();
    all.sort_by_key(|event| event["seq"].as_u64());
    all
}

/// A greffier whose ledger knows an estate, and the YAML of it.
fn recorded_estate(cluster: &ControlPlane) -> (Greffier, String) {
    let greffier = Greffier::on(cluster);
    greffier.repo.write("estate/wide.yaml", &wide());
    for ns in NAMESPACES {
        greffier.repo.write(&format!("estate/{ns}.yaml"), &in_namespace(ns));
    }
    greffier.repo.write("guard/none.yaml", "");
    let first = greffier.repo.push("the estate");
    let estate = application("estate", &greffier.repo.url(), "estate", "estate-0", KEPT);
    let guards = application("guard", &greffier.repo.url(), "guard", "estate-0", KEPT);
    let greffier = greffier.root(&estate).root(&guards);
    greffier.start();
    greffier.wait_synced("estate", &first);
    // What owns and what admission calls come when what they need is there.
    let uid = |object: &[&str]| jsonpath(cluster, object, ".metadata.uid");
    let deployment = uid(&["-n", "estate-0", "deployment", "deployment-0"]);
    let gadget = uid(&["gadget", "gadget-0"]);
    let owned = owned("of-deployment", ("apps/v1", "Deployment", "deployment-0"), &deployment)
        + &owned("of-gadget", ("example.org/v1", "Gadget", "gadget-0"), &gadget);
    greffier.repo.write("estate/owned.yaml", &owned);
    greffier.repo.write("guard/webhooks.yaml", &guard());
    let second = greffier.repo.push("owners and webhooks");
    greffier.wait_synced("estate", &second);
    greffier.wait_synced("guard", &second);
    let mut yaml = wide();
    NAMESPACES.iter().for_each(|ns| yaml.push_str(&in_namespace(ns)));
    yaml.push_str(&guard());
    (greffier, yaml)
}

/// Kills a replay when it comes to a point for the Nth time.
pub(crate) fn killed(greffier: &Greffier, args: &[&str], point: &str) {
    let output = greffier.command(args).env("GREFFIER_FAILPOINT", point).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(9), "{point}: {:?}\n{said}", output.status);
}

/// Without the key every Secret is named, and nothing is written.
fn needs_the_key(greffier: &Greffier, fresh: &ControlPlane, new: &[String; 2]) {
    let (key, away) = (greffier.path("ledger.key"), greffier.path("key.away"));
    fs::rename(&key, &away).unwrap();
    let (_, said) = greffier.cli_ends(6, &onto(new, &["--yes"]));
    let named = said.lines().filter(|line| line.contains("the ledger's key is not there"));
    let secrets = named.filter(|line| line.trim_start().starts_with("Secret/estate-")).count();
    assert_eq!(secrets, 60, "{said}");
    let (_, said) = greffier.cli_ends(6, &onto(new, &["--yes", "--partial"]));
    assert!(said.contains("without the ledger's key nothing is replayed"), "{said}");
    fs::rename(&away, &key).unwrap();
    let there = fresh.kubectl_ok("admin", &["get", "namespaces", "-o", "name"]);
    assert!(!there.contains("estate"), "{there}");
    assert_eq!(recorded(greffier).len(), 0);
}

#[test]
fn six_hundred_objects_come_back_through_three_kills() {
    let burned = ControlPlane::start();
    let (greffier, yaml) = recorded_estate(&burned);
    let fresh = ControlPlane::start();
    let (old, new) = (target(&burned), target(&fresh));

    // Onto the cluster that is kept nothing is written, with the daemon and without.
    let (_, said) = greffier.cli_ends(6, &onto(&old, &["--yes"]));
    assert!(said.contains("the daemon keeps this very cluster"), "{said}");
    let doctor = greffier.cli(&["doctor", "--recovery", "-o", "json"]);
    assert_eq!(doctor.status.code(), Some(1), "volumes do not come back");
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(doctor["plan"]["missing"], serde_json::json!([]), "{doctor}");
    greffier.stop();
    let (_, said) = greffier.cli_ends(6, &onto(&old, &["--yes"]));
    assert!(said.contains("the cluster that this ledger keeps"), "{said}");
    assert!(said.contains("ConfigMap/estate-0/configmap-7"), "every object is listed: {said}");
    assert_eq!(recorded(&greffier).len(), 0);
    drop(burned);

    needs_the_key(&greffier, &fresh, &new);

    // The same without a daemon and without the cluster.
    let (plan, _) = greffier.cli_ends(0, &onto(&new, &["--plan", "-o", "json"]));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let objects = plan["objects"].as_u64().unwrap();
    assert_eq!(doctor["plan"]["digest"], plan["digest"], "the doctor and the replay agree");
    let steps = plan["steps"].as_array().unwrap();
    let kind =
        |step: &Value| step["object"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let kinds: std::collections::BTreeSet<String> = steps.iter().map(kind).collect();
    assert!(objects >= 600 && kinds.len() >= 30, "{objects} objects of {} kinds", kinds.len());
    let volumes = plan["lost"].as_array().unwrap();
    assert_eq!(volumes.iter().filter(|loss| loss["kind"] == "volume-data").count(), 18);

    // Killed before a request, behind an intent, and behind an answer.
    killed(&greffier, &onto(&new, &["--yes"]), "sending:200");
    let (_, said) = greffier.cli_ends(6, &onto(&new, &["--yes"]));
    assert!(said.contains("has not ended") && said.contains("--resume"), "{said}");
    // Meanwhile somebody makes an object that is still to come.
    let theirs = ["-n", "estate-3", "configmap", "configmap-59"];
    let make = ["create", "-n", "estate-3", "configmap", "configmap-59", "--from-literal=key=mine"];
    fresh.kubectl_ok("alice", &make);
    killed(&greffier, &onto(&new, &["--resume", "--yes"]), "answered:90");
    killed(&greffier, &onto(&new, &["--resume", "--yes"]), "intended:9");
    let (report, _) = greffier.cli_ends(8, &onto(&new, &["--resume", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["verified"], &report["differs"]), (&false.into(), &serde_json::json!([])));
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0]["object"], "ConfigMap/estate-3/configmap-59");
    assert!(failed[0]["why"].as_str().unwrap().contains("somebody else made"), "{report}");
    assert_eq!(jsonpath(&fresh, &theirs, ".data.key"), "mine", "it is left alone");
    fresh.kubectl_ok("alice", &["delete", "-n", "estate-3", "configmap", "configmap-59"]);
    let (report, _) = greffier.cli_ends(0, &onto(&new, &["--resume", "--yes", "-o", "json"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["written"].as_u64(), Some(objects));
    assert!(report["found"].as_u64().unwrap() > 0, "what a kill left behind is found: {report}");
    assert_eq!(report["lost"].as_array().map(Vec::len), Some(volumes.len()));

    came_back(&greffier, &fresh, &yaml);
    // What is there is compared again, and a change is found.
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    let edit = ["patch", "cm", "configmap-7", "-n", "estate-1", "-p", r#"{"data":{"key":"x"}}"#];
    fresh.kubectl_ok("alice", &edit);
    let (differs, _) = greffier.cli_ends(1, &onto(&new, &["--verify"]));
    assert!(differs.contains("ConfigMap/estate-1/configmap-7"), "{differs}");
    assert!(differs.contains(".data.key"), "{differs}");
    let (_, said) = greffier.cli_ends(6, &onto(&new, &["--yes"]));
    assert!(said.contains("is not empty") && said.contains("Namespace/estate-3"), "{said}");
    let (_, said) = greffier.cli_ends(6, &onto(&new, &["--resume", "--yes"]));
    assert!(said.contains("has ended"), "{said}");
}

/// To apply manifests once more would change nothing, as kubectl sees it.
pub(crate) fn nothing_differs(greffier: &Greffier, fresh: &ControlPlane, yaml: &str) {
    let file = greffier.path("all.yaml");
    fs::write(&file, yaml).unwrap();
    let diff = fresh
        .kubectl("admin")
        .args(["diff", "--server-side", "--force-conflicts", "--field-manager=oracle", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    let (told, errors) =
        (String::from_utf8_lossy(&diff.stdout), String::from_utf8_lossy(&diff.stderr));
    assert_eq!(diff.status.code(), Some(0), "{told}\n{errors}");
}

/// What the API server itself says of it.
fn came_back(greffier: &Greffier, fresh: &ControlPlane, yaml: &str) {
    nothing_differs(greffier, fresh, yaml);
    let secret = ["-n", "estate-2", "secret", "secret-0"];
    assert_eq!(jsonpath(fresh, &secret, ".data.password"), "Y29ycmVjdA==");
    // Owners have their new uids: the garbage collector would have removed what names an old one.
    for (name, owner) in [
        ("of-deployment", ["-n", "estate-0", "deployment", "deployment-0"].as_slice()),
        ("of-gadget", &["gadget", "gadget-0"]),
    ] {
        let config = ["-n", "estate-0", "cm", name];
        let named = jsonpath(fresh, &config, ".metadata.ownerReferences[0].uid");
        assert_eq!(named, jsonpath(fresh, owner, ".metadata.uid"), "{name}");
    }
    let kept = ["-n", "estate-3", "widget", "widget-0"];
    assert_eq!(jsonpath(fresh, &kept, ".metadata.finalizers[0]"), "example.org/keep");
    // The controllers went on from there.
    until("a Deployment is available", || {
        let deployment = ["-n", "estate-1", "deployment", "deployment-2"];
        (jsonpath(fresh, &deployment, ".status.availableReplicas") == "1").then_some(())
    });
    // Webhooks are in force only now.
    let widget = "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: new, namespace: estate-0, labels: {guarded: 'true'}}\nspec: {size: 1}\n";
    let file = greffier.path("widget.yaml");
    fs::write(&file, widget).unwrap();
    let refused = fresh.kubectl("admin").args(["create", "-f"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("failed calling webhook"), "{said}");
    in_order(greffier);
}

/// Every write was recorded before it was sent, and nothing was written twice.
fn in_order(greffier: &Greffier) {
    let events = recorded(greffier);
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).cloned().collect();
    let (begun, ended): (Vec<Value>, Vec<Value>) = (of("recovery.begun"), of("recovery.finished"));
    assert_eq!((begun.len(), ended.len()), (1, 2));
    assert!(begun[0]["actor"].as_str().unwrap().starts_with("os-user:"), "{}", begun[0]);
    assert_eq!(
        (&ended[0]["detail"]["verified"], &ended[1]["detail"]["verified"]),
        (&false.into(), &true.into())
    );
    let (mut intended, mut written) = (std::collections::BTreeMap::new(), 0);
    for event in &events {
        let detail = &event["detail"];
        if event["kind"] == "recovery.intent" {
            intended.insert(event["seq"].as_u64().unwrap(), detail["writes"].clone());
        }
        for result in detail["results"].as_array().into_iter().flatten() {
            let intent = detail["intent"].as_u64().unwrap();
            let key = &intended[&intent][result[0].as_u64().unwrap() as usize]["key"];
            if key["name"] == "configmap-59" && result[1]["Left"].is_string() {
                continue;
            }
            assert!(result[1]["Written"].is_object(), "{key}: {result}");
            assert_eq!(result[1]["Written"]["tries"], 1, "{key}: {result}");
            written += 1;
        }
    }
    assert_eq!(written, begun[0]["detail"]["objects"].as_u64().unwrap(), "each object once");
}
