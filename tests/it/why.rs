//! `greffier why` and health on a real API server: the answer is what the daemon does.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, application, config_map, deployment, until};
use crate::keep::{kept, kept_with, live, namespace};

/// The codes of the reasons, in order.
fn codes(why: &Value) -> Vec<&str> {
    let reasons = why["reasons"].as_array().unwrap().iter();
    reasons.map(|reason| reason["code"].as_str().unwrap()).collect()
}

fn commands(why: &Value) -> Vec<&str> {
    let advice = why["can_do"].as_array().unwrap().iter();
    advice.filter_map(|advice| advice["command"].as_str()).collect()
}

/// Asks until the answer has this reason, and returns it.
fn why(greffier: &Greffier, args: &[&str], code: &str) -> Value {
    let all = [&["why"], args, &["-o", "json"]].concat();
    until(&format!("why {args:?} says {code}"), || {
        let why = greffier.json(&all);
        codes(&why).contains(&code).then_some(why)
    })
}

#[test]
fn why_tells_of_a_manual_application_and_the_command_it_gives_works() {
    let files = [("web/c.yaml", config_map("one", "1"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let policy = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) = kept_with("why-manual", policy, &files);
    greffier.wait_kind("render.succeeded", &app);
    // Whether a sync would help is known once the cluster has been looked at.
    until("the difference is known", || {
        let (apps, _) = greffier.cli_ends(0, &["get", "apps", "-o", "json"]);
        apps.contains("OutOfSync").then_some(())
    });
    let answer = why(&greffier, &[&app], "manual");
    assert_eq!(answer["git"]["subject"], "first");
    assert!(answer["git"]["author"].as_str().unwrap().contains("ada@example.org"), "{answer}");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "");
    let command = format!("greffier sync {app}");
    assert!(commands(&answer).contains(&command.as_str()), "{answer}");
    greffier.cli_ends(0, &["sync", &app]);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    let answer = why(&greffier, &["configmap/one", "-n", &ns], "as_git_says");
    assert_eq!(answer["objects"][0]["outcome"]["kind"], "apply.outcome", "{answer}");
    let kinds: Vec<&str> = answer["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["kind"].as_str().unwrap())
        .collect();
    for kind in ["apply.intent", "render.succeeded", "git.ref-moved", "git.commit"] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
}

#[test]
fn why_tells_who_changed_what_while_nothing_may_be_put_back() {
    let (greffier, app, ns) =
        kept("why-paused", &[("web/d.yaml", &deployment("web", "app:v1", 2))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.cli_ends(0, &["pause", &app, "--for", "2h", "--reason", "incident 7"]);
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["scale", "deploy/web", "-n", &ns, "--replicas=5"]);
    // Between the observation and its comparison only the change itself is known.
    let answer = why(&greffier, &["deployment/web", "-n", &ns], "paused");
    assert!(codes(&answer).contains(&"changed_by"), "{answer}");
    let drift = &answer["objects"][0]["drift"];
    assert_eq!(drift["fields"][0], ".spec.replicas 2 → 5", "{answer}");
    assert!(drift["by"].to_string().contains("kubectl"), "{answer}");
    assert!(answer["next"][0]["at"].is_string(), "when the pause ends: {answer}");
    let resume = format!("greffier resume {app}");
    assert!(commands(&answer).contains(&resume.as_str()), "{answer}");
    let (text, _) = greffier.cli_ends(0, &["why", &app]);
    for part in ["incident 7", "what you can do", resume.as_str(), "how it came to this"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    greffier.cli_ends(0, &["resume", &app]);
    until("it is put back", || (live(&ns, "deploy/web", ".spec.replicas") == "2").then_some(()));
}

#[test]
fn why_tells_of_a_gate_a_broken_render_and_a_missing_namespace() {
    let ns = namespace("why-many");
    let greffier = Greffier::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "1"));
    }
    greffier.repo.write("lost/x.yaml", &config_map("x", "1"));
    greffier.repo.push("first");
    let url = greffier.repo.url();
    let bare = r#"{"automated": {"prune": true, "selfHeal": true}}"#;
    let kept = crate::daemon::KEPT;
    let nowhere = format!("{ns}-nowhere");
    let greffier = greffier
        .root(&application("why-gate", &url, "web", &ns, kept))
        .root(&application("why-lost", &url, "lost", &nowhere, bare));
    greffier.start();
    greffier.wait_synced("why-gate", &greffier.repo.head());

    let answer = why(&greffier, &["why-lost"], "blocked");
    let create = format!("kubectl create namespace {nowhere}");
    assert!(commands(&answer).contains(&create.as_str()), "{answer}");

    for name in &names[1..] {
        greffier.repo.remove(&format!("web/{name}.yaml"));
    }
    greffier.repo.push("remove most of it");
    let answer = why(&greffier, &["why-gate"], "gated");
    let approve = commands(&answer).into_iter().find(|c| c.starts_with("greffier approve"));
    let approve: Vec<&str> = approve.unwrap().split(' ').skip(1).collect();
    let answer = why(&greffier, &["ConfigMap/b", "-n", &ns], "gated");
    assert_eq!(answer["objects"][0]["doing"], "gated", "{answer}");
    // The command that is given is the one that helps.
    greffier.cli_ends(0, &[approve.as_slice(), &["--yes"]].concat());
    until("b is gone", || live(&ns, "cm/b", ".metadata.name").is_empty().then_some(()));

    greffier.repo.write("web/a.yaml", "apiVersion: v1\nkind: ConfigMap\n\tbroken\n");
    greffier.repo.push("broken");
    let answer = why(&greffier, &["why-gate"], "does_not_render");
    assert!(answer["reasons"][0]["text"].as_str().unwrap().contains("stays in force"), "{answer}");
    // The same answer without a daemon.
    greffier.stop();
    let answer = why(&greffier, &["why-gate"], "does_not_render");
    assert_eq!(answer["app"], "why-gate");
    // What is gone is told from the ledger; what never was is not found.
    let gone = format!("ConfigMap/{ns}/b");
    let answer = why(&greffier, &[&gone], "gone");
    assert!(answer["history"].to_string().contains("pruned"), "{answer}");
    greffier.cli_ends(2, &["why", "ConfigMap/never/was"]);
    greffier.cli_ends(2, &["why", "why-gaet"]);
}

#[test]
fn an_object_that_turns_degraded_is_told_and_again_when_it_is_well() {
    let quota = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    argocd.argoproj.io/ignore-healthcheck: \"true\"\nspec:\n  containers:\n    - name: main\n      image: app:v1\n";
    let job = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: nightly\nspec:\n  schedule: \"0 3 1 1 *\"\n  suspend: true\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers:\n            - name: main\n              image: app:v1\n";
    let (greffier, app, ns) = kept("why-health", &[("web/p.yaml", quota), ("web/j.yaml", job)]);
    let turned = |now: &'static str| {
        let app = app.clone();
        move |event: &Value| {
            event["kind"] == "object.health"
                && event["detail"]["app"] == app.as_str()
                && event["detail"]["key"]["name"] == "nightly"
                && event["detail"]["now"] == now
        }
    };
    let event = greffier.wait("the suspended CronJob", turned("Suspended"));
    assert!(event["summary"].as_str().unwrap().contains("turned Suspended"), "{event}");
    greffier.wait_synced(&app, &greffier.repo.head());
    // A Pod that is never scheduled does not count: it asks not to be judged.
    until("the application is as suspended as its CronJob", || {
        let why = greffier.json(&["why", &app, "-o", "json"]);
        (why["health"] == "Suspended").then_some(())
    });
    greffier.repo.write("web/j.yaml", &job.replace("suspend: true", "suspend: false"));
    greffier.repo.push("resume the job");
    greffier.wait("the CronJob is well again", turned("Healthy"));
    let log = greffier.json(&[
        "log",
        &format!("CronJob.batch/{ns}/nightly"),
        "--kind",
        "object.health",
        "-o",
        "json",
    ]);
    assert_eq!(log.as_array().map(Vec::len), Some(2), "{log}");
}
