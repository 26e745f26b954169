//! HorizontalPodAutoscalers on the real API server (design §8): the replicas of what one scales
//! belong to it. The control plane has no autoscaling controller; the tests write as it would,
//! through the scale subresource.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, deployment, until};
use crate::keep::{kept, live};

const IMAGE: &str = ".spec.template.spec.containers[0].image";
const REPLICAS: &str = ".spec.replicas";

/// An autoscaler of the Deployment `web`.
const HPA: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: scaler
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 9
";

/// Sets the replicas as the autoscaling controller does.
fn scale(ns: &str, replicas: u32) {
    let patch = format!("{{\"spec\": {{\"replicas\": {replicas}}}}}");
    let manager = "kube-controller-manager";
    let args = ["patch", "deploy/web", "-n", ns, "--subresource=scale", "--type=merge"];
    let more = ["--field-manager", manager, "-p", &patch];
    ControlPlane::shared().kubectl_ok("alice", &[args.as_slice(), &more].concat());
}

/// Waits until greffier has seen the Deployment as it is, by a label that is put on it after
/// everything else: what was decided before it was decided with the rest known.
fn seen(greffier: &Greffier, ns: &str, label: &str) {
    let label_arg = format!("{label}=1");
    let args = ["label", "deploy/web", "-n", ns, &label_arg, "--overwrite"];
    ControlPlane::shared().kubectl_ok("alice", &args);
    greffier.wait("the addition", |event| {
        event["kind"] == "drift.detected"
            && event["detail"]["kind"] == "Addition"
            && event["detail"]["fields"].to_string().contains(label)
    });
}

fn without_replicas(image: &str) -> String {
    deployment("web", image, 2).replace("  replicas: 2\n", "")
}

/// How many events of `kind` there are of an application.
fn count(greffier: &Greffier, app: &str, kind: &str) -> usize {
    let events = greffier.json(&["log", app, "--all", "-n", "1000", "-o", "json"]);
    let events = events["events"].as_array().or(events.as_array()).unwrap().clone();
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[test]
fn an_autoscaler_and_greffier_do_not_take_turns_and_its_end_brings_git_back() {
    let files = [("web/d.yaml", &*deployment("web", "app:v1", 2)), ("web/h.yaml", HPA)];
    let (greffier, app, ns) = kept("hpa", &files);
    let left = greffier.wait_kind("replicas.left", &app);
    let summary = left["summary"].as_str().unwrap();
    assert!(summary.contains("remove `replicas`") && summary.contains("scaler"), "{summary}");
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "deploy/web", REPLICAS), "2", "what is not there is made as Git says");

    for (replicas, label) in
        [(5, "first"), (3, "second"), (6, "third"), (4, "fourth"), (7, "fifth")]
    {
        scale(&ns, replicas);
        seen(&greffier, &ns, label);
        assert_eq!(live(&ns, "deploy/web", REPLICAS), replicas.to_string());
    }
    // A push that changes something else leaves them, and so does a heal.
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 2));
    let commit = greffier.repo.push("v2");
    greffier.wait_synced(&app, &commit);
    let now = || (live(&ns, "deploy/web", IMAGE), live(&ns, "deploy/web", REPLICAS));
    assert_eq!(now(), ("app:v2".into(), "7".into()));
    let hand = ["set", "image", "deploy/web", "main=app:hand", "-n", &ns];
    ControlPlane::shared().kubectl_ok("alice", &hand);
    until("it is healed", || (live(&ns, "deploy/web", IMAGE) == "app:v2").then_some(()));
    assert_eq!(now(), ("app:v2".into(), "7".into()));

    let (why, _) = greffier.cli_ends(0, &["why", &format!("Deployment.apps/{ns}/web")]);
    let whose = format!("replicas belong to HorizontalPodAutoscaler.autoscaling/{ns}/scaler");
    assert!(why.contains(&whose) && why.contains("remove `replicas`"), "{why}");
    let (_, notes) = greffier.cli_ends(0, &["diff", &app]);
    assert!(notes.contains(&whose), "{notes}");
    assert_eq!(count(&greffier, &app, "replicas.left"), 1);
    let drifted = |event: &Value| {
        event["kind"] == "drift.detected"
            && event["detail"]["fields"].to_string().contains(REPLICAS)
    };
    let events = greffier.json(&["log", &app, "--all", "-n", "1000", "-o", "json"]);
    let events = events["events"].as_array().or(events.as_array()).unwrap().clone();
    assert!(!events.iter().any(drifted), "{events:#?}");

    // Written with the live value last, and so as it was applied: it is Git's again all the same.
    greffier.repo.remove("web/h.yaml");
    greffier.repo.push("no autoscaler");
    until("Git's number is back", || (live(&ns, "deploy/web", REPLICAS) == "2").then_some(()));
    scale(&ns, 8);
    until("it is healed", || (live(&ns, "deploy/web", REPLICAS) == "2").then_some(()));
    assert_eq!(count(&greffier, &app, "contest.named"), 0);
}

#[test]
fn replicas_that_left_git_on_advice_stay_when_the_autoscaler_goes_too() {
    let (greffier, app, ns) =
        kept("hpa-advice", &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    let placed = HPA.replace("name: scaler", &format!("name: scaler\n  namespace: {ns}"));
    cluster.apply("alice", &placed);
    greffier.wait_kind("replicas.left", &app);
    let push = |image: &str, manifest: &str| {
        greffier.repo.write("web/d.yaml", manifest);
        let commit = greffier.repo.push(image);
        greffier.wait_synced(&app, &commit);
        assert_eq!(live(&ns, "deploy/web", IMAGE), image);
        live(&ns, "deploy/web", REPLICAS)
    };
    // Nobody but greffier owns them: an apply without them would set the default, 1.
    assert_eq!(push("app:v2", &without_replicas("app:v2")), "2");
    cluster.kubectl_ok("alice", &["delete", "hpa", "scaler", "-n", &ns]);
    greffier.wait("the end of the autoscaler", |event| {
        event["kind"] == "object.gone"
            && event["detail"]["key"]["namespace"] == *ns
            && event["detail"]["key"]["name"] == "scaler"
    });
    assert_eq!(push("app:v3", &without_replicas("app:v3")), "2");
    // Once somebody else set them, greffier does not claim them again.
    scale(&ns, 5);
    assert_eq!(push("app:v4", &without_replicas("app:v4")), "5");
    let owned =
        live(&ns, "deploy/web", ".metadata.managedFields[?(@.manager==\"greffier\")].fieldsV1");
    assert!(owned.contains("f:template") && !owned.contains("f:replicas"), "{owned}");
}

/// Goal: the commit that brings an autoscaler and takes the replicas out of the manifest does not scale
/// the Deployment to 1 before the autoscaler is there, and neither does the same by a release.
#[test]
fn replicas_stay_when_they_leave_git_together_with_the_coming_of_an_autoscaler() {
    let (greffier, app, ns) = kept("hpa-comes", &[("web/d.yaml", &deployment("web", "app:v1", 4))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let then = format!("#{}", greffier.seq());
    greffier.repo.write("web/d.yaml", &without_replicas("app:v1"));
    greffier.repo.write("web/h.yaml", HPA);
    greffier.wait_synced(&app, &greffier.repo.push("autoscaled"));
    assert_eq!(live(&ns, "deploy/web", REPLICAS), "4");
    greffier.wait("the autoscaler", |event| {
        event["kind"] == "object.observed"
            && event["detail"]["key"]["kind"] == "HorizontalPodAutoscaler"
            && event["detail"]["key"]["namespace"] == *ns
    });
    // Whose the replicas are now brings them back, or nobody.
    let object = format!("Deployment.apps/{ns}/web");
    // However the field is written.
    for field in ["spec.replicas", ".spec['replicas']"] {
        greffier.cli_ends(6, &["restore", &object, "--field", field, "--to", &then, "--yes"]);
    }
    let field = ["restore", &object, "--field", ".spec.replicas", "--to", &then, "--yes"];
    let (_, refused) = greffier.cli_ends(6, &field);
    assert!(refused.contains("scaler sets it"), "{refused}");
    greffier.cli_ends(0, &["rollback", &app, "--to", &then, "--yes"]);
    greffier.cli_ends(0, &["release", &app, "--yes"]);
    until("the autoscaler is back", || {
        (live(&ns, "hpa/scaler", ".spec.maxReplicas") == "9").then_some(())
    });
    until("it is synced", || {
        let (apps, _) = greffier.cli_ends(0, &["get", "apps", &app]);
        apps.contains("Synced").then_some(())
    });
    assert_eq!(live(&ns, "deploy/web", REPLICAS), "4");
}

#[test]
fn what_is_adopted_and_scaled_already_keeps_its_replicas() {
    let (ns, app) = (crate::keep::namespace("hpa-adopt"), "hpa-adopt-web".to_owned());
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["create", "namespace", &ns]);
    let placed = |manifest: &str| {
        manifest.replacen("metadata:\n", &format!("metadata:\n  namespace: {ns}\n"), 1)
    };
    cluster.apply("alice", &placed(&deployment("web", "app:v1", 2)));
    cluster.apply("alice", &placed(HPA));
    scale(&ns, 6);
    let greffier = Greffier::new();
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 3));
    greffier.repo.push("first");
    let root =
        crate::daemon::application(&app, &greffier.repo.url(), "web", &ns, crate::daemon::KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(live(&ns, "deploy/web", IMAGE), "app:v2");
    assert_eq!(live(&ns, "deploy/web", REPLICAS), "6");
    // What went on while nobody looked is the autoscaler's too.
    assert_eq!(greffier.stop(), Some(0));
    scale(&ns, 8);
    greffier.start();
    seen(&greffier, &ns, "looked");
    assert_eq!(live(&ns, "deploy/web", REPLICAS), "8");
}
