//! The chain of `greffier why` on a real API server: from a field, a deletion or an event back to
//! the person, with a daemon and without.

use std::process::Command;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, run, until};

const REPLICAS: &[&str] = &["why", "Deployment/web", "--field", ".spec.replicas"];
const ADA: &str = "Ada <ada@example.org>";

/// A greffier that reads the audit, with a kept application of `web/`.
fn kept(app: &str, files: &[(&str, String)]) -> (Greffier, String) {
    let plane = ControlPlane::shared();
    let audit = format!("[audit]\nfile = \"{}\"", plane.audit_log().display());
    let greffier = Greffier::on(plane).configure(&audit);
    for (path, text) in files {
        greffier.repo.write(path, text);
    }
    let commit = greffier.repo.push("first");
    let root = application(app, &greffier.repo.url(), "web", app, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(app, &commit);
    (greffier, commit)
}

fn why(greffier: &Greffier, ns: &str, args: &[&str]) -> Value {
    greffier.json(&[args, &["-n", ns, "-o", "json"]].concat())
}

fn chain(why: &Value) -> &[Value] {
    why["chain"].as_array().unwrap()
}

fn find<'v>(why: &'v Value, kind: &str) -> Option<&'v Value> {
    chain(why).iter().find(|link| link["kind"] == kind)
}

/// What the drift is that was put back. The heal may have an observation of its own before that:
/// the watch may show it before it is answered.
fn found(why: &Value) -> Option<&Value> {
    let mut links = chain(why).iter().skip_while(|link| link["kind"] != "drift.detected");
    links.find(|link| link["kind"] == "object.observed")
}

#[track_caller]
fn link<'v>(why: &'v Value, kind: &str) -> &'v Value {
    find(why, kind).unwrap_or_else(|| panic!("no {kind} in {why:#}"))
}

/// The name and the strength of a link's first claim.
fn first(link: &Value) -> (&str, &str) {
    let claim = &link["who"][0];
    (claim["name"].as_str().unwrap_or_default(), claim["strength"].as_str().unwrap_or_default())
}

/// What belongs to a change that alice made.
fn is_alices(link: &Value) -> bool {
    first(link) == ("alice", "exact")
}

/// A write elsewhere: its record tells how far the records were read.
fn tick(ns: &str) {
    let plane = ControlPlane::shared();
    plane.kubectl_ok("bob", &["-n", ns, "create", "configmap", "tick"]);
    plane.kubectl_ok("bob", &["-n", ns, "delete", "configmap", "tick"]);
}

#[test]
fn a_field_leads_to_the_commit_and_a_heal_to_whose_change_it_ended() {
    let ns = "chain-field";
    let (greffier, _) = kept(ns, &[("web/d.yaml", deployment("web", "app:v1", 1))]);
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v1", 2));
    let second = greffier.repo.push("two of them");
    greffier.wait_synced(ns, &second);
    let answer = until("two replicas", || {
        let answer = why(&greffier, ns, REPLICAS);
        answer["headline"].as_str().unwrap().ends_with(".spec.replicas is 2").then_some(answer)
    });
    let kinds =
        ["apply.outcome", "apply.intent", "render.succeeded", "git.commit", "git.ref-moved"];
    for kind in kinds {
        let seq = format!("#{}", link(&answer, kind)["seq"]);
        greffier.cli_ends(0, &["show", &seq]);
    }
    let commit = link(&answer, "git.commit");
    assert!(commit["what"].as_str().unwrap().contains("two of them"), "{commit}");
    let people: Vec<(&str, &str)> = commit["who"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| (claim["role"].as_str().unwrap(), claim["name"].as_str().unwrap()))
        .collect();
    let expected =
        [("author", ADA), ("committer", ADA), ("signer", "unknown"), ("pusher", "unknown")];
    assert_eq!(people, expected);
    assert!(chain(&answer)[0]["what"].as_str().unwrap().contains("web/d.yaml:"), "{answer:#}");
    let before = format!("#{}", greffier.seq());

    let plane = ControlPlane::shared();
    plane.kubectl_ok("alice", &["-n", ns, "scale", "deploy/web", "--replicas=5"]);
    let healed = until("it is put back, and alice named", || {
        tick(ns);
        let answer = why(&greffier, ns, REPLICAS);
        is_alices(found(&answer)?).then_some(answer)
    });
    assert!(chain(&healed)[0]["what"].as_str().unwrap().contains("is 2, was 5"), "{healed:#}");
    let commit = link(&healed, "git.commit");
    assert!(commit["what"].as_str().unwrap().contains("two of them"), "{commit}");
    let evidence = found(&healed).unwrap()["who"][0]["evidence"].as_array().unwrap();
    assert!(evidence.len() >= 2, "the attribution and the record: {healed:#}");
    // For people.
    let (text, _) = greffier.cli_ends(0, &[REPLICAS, &["-n", ns]].concat());
    for part in ["the chain", "user: alice (exact)", "author: Ada", "pusher: unknown"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // An event, and what it brought about.
    let drift = format!("#{}", link(&healed, "drift.detected")["seq"]);
    let told = greffier.json(&["why", &drift, "-o", "json"]);
    assert!(is_alices(found(&told).unwrap()), "{told:#}");
    let after = told["consequences"].as_array().unwrap();
    assert!(after.iter().any(|link| link["kind"] == "apply.intent"), "{told:#}");
    // As it was before alice came, and without a daemon.
    let then = why(&greffier, ns, &[REPLICAS, &["--at", &before]].concat());
    assert_eq!((find(&then, "drift.detected"), &then["chain"]), (None, &answer["chain"]));
    let healed = why(&greffier, ns, REPLICAS);
    greffier.stop();
    assert_eq!(why(&greffier, ns, REPLICAS)["chain"], healed["chain"]);
    assert_eq!(why(&greffier, ns, &["why", &drift])["chain"], told["chain"]);
    wrong(&greffier, ns);
    greffier.start();
    wrong(&greffier, ns);
}

/// What is asked wrongly ends with 2 and says what was meant.
fn wrong(greffier: &Greffier, ns: &str) {
    for (args, hint) in [
        (["Deployment/web", "--field", ".spec.replica"], "did you mean .spec.replicas?"),
        (["Deployment/web", "--field", "a..b"], ".spec.replicas"),
        ([ns, "--field", ".spec"], "greffier tree"),
        (["#4000000000", "-n", ns], "the last is #"),
        (["#none", "-n", ns], "#1234"),
    ] {
        let more: &[&str] = if args[1] == "-n" { &[] } else { &["-n", ns] };
        let (_, error) = greffier.cli_ends(2, &[&["why"], args.as_slice(), more].concat());
        assert!(error.contains(hint), "{args:?}: {error}");
    }
}

#[test]
fn what_the_garbage_collector_removed_leads_to_who_deleted_the_owner() {
    let ns = "chain-gone";
    let (greffier, _) = kept(ns, &[("web/d.yaml", deployment("web", "app:v1", 1))]);
    let set = greffier.wait("its ReplicaSet", |event| {
        let key = &event["detail"]["key"];
        event["kind"] == "object.observed" && key["kind"] == "ReplicaSet" && key["namespace"] == ns
    });
    let set = set["detail"]["key"]["name"].as_str().unwrap().to_owned();
    let plane = ControlPlane::shared();
    plane.kubectl_ok("alice", &["-n", ns, "delete", "deploy/web"]);
    let gone = greffier.wait("the ReplicaSet is gone", |event| {
        event["kind"] == "object.gone" && event["detail"]["key"]["name"] == set.as_str()
    });
    let gone = format!("#{}", gone["seq"]);
    let told = until("who removed it", || {
        tick(ns);
        let told = greffier.json(&["why", &gone, "-o", "json"]);
        chain(&told).iter().skip(1).any(is_alices).then_some(told)
    });
    let (collector, strength) = first(&chain(&told)[0]);
    assert!(collector.ends_with(":generic-garbage-collector"), "{told:#}");
    assert!(["exact", "unique"].contains(&strength), "{told:#}");
    let owner = chain(&told).iter().find(|link| is_alices(link)).unwrap();
    assert!(
        owner["what"].as_str().unwrap().contains(&format!("Deployment.apps/{ns}/web")),
        "{owner}"
    );
    // Its Pod went with it: that is one step further, also by its name.
    let pod = greffier.wait("its Pod is gone", |event| {
        let key = &event["detail"]["key"];
        let of_it = key["name"].as_str().is_some_and(|name| name.starts_with(&format!("{set}-")));
        event["kind"] == "object.gone" && key["kind"] == "Pod" && of_it
    });
    let pod = format!("Pod/{ns}/{}", pod["detail"]["key"]["name"].as_str().unwrap());
    until("who removed the Pod", || {
        tick(ns);
        let told = greffier.json(&["why", &pod, "-o", "json"]);
        let depth = |of: &dyn Fn(&Value) -> bool| {
            chain(&told).iter().find(|link| of(link)).map(|link| link["depth"].as_u64().unwrap())
        };
        let collected = depth(&|link| first(link).0.ends_with(":generic-garbage-collector"))?;
        let alice = depth(&is_alices)?;
        (alice >= collected + 2).then_some(())
    });
}

#[test]
fn a_gated_prune_leads_to_the_commit_and_to_who_approved_it() {
    let ns = "chain-gate";
    let names = ["a", "b", "c", "d"];
    let files = names.map(|name| (format!("web/{name}.yaml"), config_map(name, "1")));
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let (greffier, _) = kept(ns, &files);
    for name in &names[1..] {
        greffier.repo.remove(&format!("web/{name}.yaml"));
    }
    greffier.repo.push("remove most of it");
    greffier.wait_kind("plan.gated", ns);
    let waits = greffier.json(&["why", ns, "-o", "json"]);
    assert_eq!(link(&waits, "plan.gated")["depth"], 1, "{waits:#}");
    assert!(link(&waits, "git.commit")["what"].as_str().unwrap().contains("remove most of it"));
    greffier.cli_ends(0, &["approve", ns, "--yes", "--reason", "change 12"]);
    let gone = greffier.wait("b is gone", |event| {
        let key = &event["detail"]["key"];
        event["kind"] == "object.gone" && key["name"] == "b" && key["namespace"] == ns
    });
    // A commit later the one that dropped it is still named.
    greffier.repo.write("web/a.yaml", &config_map("a", "2"));
    let third = greffier.repo.push("more");
    greffier.wait_synced(ns, &third);
    let told = greffier.json(&["why", &format!("ConfigMap/{ns}/b"), "-o", "json"]);
    let ended = link(&told, "object.gone");
    assert_eq!((&ended["seq"], first(ended)), (&gone["seq"], ("greffier", "exact")));
    assert!(link(&told, "apply.intent")["what"].as_str().unwrap().contains("to prune"), "{told:#}");
    let commit = link(&told, "git.commit");
    assert!(commit["what"].as_str().unwrap().contains("remove most of it"), "{commit}");
    let approved = link(&told, "plan.approved");
    let me = run(Command::new("id").arg("-un"));
    assert_eq!(first(approved), (me.trim(), "exact"), "{approved}");
    assert!(approved["what"].as_str().unwrap().contains("change 12"), "{approved}");
    greffier.stop();
    let files = greffier.json(&["why", &format!("ConfigMap/{ns}/b"), "-o", "json"]);
    assert_eq!(files["chain"], told["chain"]);
}
