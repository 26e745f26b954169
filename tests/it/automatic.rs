//! A bad revision on a real API server, and a rule that rolls it back.

use serde_json::Value;

use crate::daemon::{Greffier, KEPT, application, deployment, until};
use crate::keep::{live, namespace};

const IMAGE: &str = ".spec.template.spec.containers[0].image";

/// A Deployment whose Pods no node takes, and which is late soon.
fn bad() -> String {
    let spec = "spec:\n  progressDeadlineSeconds: 1\n";
    let pods = "    spec:\n      nodeSelector: {nobody: has-it}\n";
    let good = deployment("web", "app:bad", 1);
    good.replacen("spec:\n", spec, 1).replacen("    spec:\n", pods, 1)
}

fn turns<'a>(app: &'a str, health: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| {
        event["kind"] == "app.health"
            && event["detail"]["app"] == app
            && event["detail"]["now"] == health
    }
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

#[test]
fn a_revision_that_turns_degraded_is_rolled_back_and_the_next_one_is_tried() {
    let (app, ns) = ("automatic", namespace("automatic"));
    let greffier = Greffier::new();
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v1", 1));
    let first = greffier.repo.push("first");
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let rule = "  annotations:\n    greffier.dev/rollback: degraded,within=10m\nspec:\n";
    let greffier = greffier.root(&root.replacen("spec:\n", rule, 1));
    greffier.start();
    greffier.wait_synced(app, &first);
    let well = greffier.wait("it is healthy", turns(app, "Healthy"));

    greffier.repo.write("web/d.yaml", &bad());
    let bad = greffier.repo.push("a bad image");
    let held = greffier.wait_after(seq(&well), "the rollback", |event| {
        event["kind"] == "hold.app-begun" && event["detail"]["app"] == app
    });
    let (detail, said) = (&held["detail"], held["summary"].as_str().unwrap());
    assert_eq!(detail["automatic"]["why"], "Degraded", "{held:#}");
    assert_eq!(detail["automatic"]["commit"], bad.as_str());
    assert_eq!(detail["desired"]["revision"]["commit"], first.as_str());
    assert!(said.starts_with("ROLLED BACK BY ITSELF"), "{said}");
    assert!(said.contains("timed out progressing"), "{said}");
    until("the image is the former one", || {
        (live(&ns, "deploy/web", IMAGE) == "app:v1").then_some(())
    });
    greffier.wait_after(seq(&held), "it is healthy again", turns(app, "Healthy"));

    greffier.kill().start();
    let status = greffier.json(&["status", "-o", "json"]);
    assert_eq!(status["held"][0]["app"], app, "{status}");
    assert!(status["held"][0]["reason"].as_str().unwrap().contains("turned Degraded"), "{status}");
    let (why, _) = greffier.cli_ends(0, &["why", app]);
    assert!(why.contains("ROLLED BACK BY ITSELF"), "{why}");
    let chain = greffier.json(&["why", &format!("#{}", held["seq"]), "-o", "json"]);
    let kinds: Vec<&str> = chain["chain"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|link| link["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"app.health") && kinds.contains(&"render.succeeded"), "{chain:#}");

    greffier.repo.write("web/d.yaml", &deployment("web", "app:v3", 1));
    let fixed = greffier.repo.push("fixed");
    let ended = greffier.wait_after(seq(&held), "the end of the hold", |event| {
        event["kind"] == "hold.app-ended" && event["detail"]["app"] == app
    });
    assert_eq!(ended["detail"]["end"], "NewerInGit", "{ended:#}");
    greffier.wait_after(seq(&ended), "the fix is healthy", turns(app, "Healthy"));
    assert_eq!(live(&ns, "deploy/web", IMAGE), "app:v3");
    greffier.wait_synced(app, &fixed);
    let held = greffier.json(&["log", "--all", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(2), "held once, and ended: {held:#}");
}
