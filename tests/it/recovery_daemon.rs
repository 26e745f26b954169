//! The cluster burns while the daemon runs: the ledger is replayed all the same, the daemon records
//! it, and keeps the new cluster from then on, to which it has nothing to write.

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::recovery::{jsonpath, killed, onto, target};

const NS: &str = "burnt";

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: correct}
";

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

fn burnt() -> (Greffier, String) {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    for n in 0..6 {
        let name = format!("web/{n}.yaml");
        greffier.repo.write(&name, &config_map(&format!("cm-{n}"), "1"));
    }
    let commit = greffier.repo.write("web/secret.yaml", SECRET).push("first");
    let web = application("web", &greffier.repo.url(), "web", NS, KEPT);
    let greffier = greffier.root(&web);
    greffier.start().wait_synced("web", &commit);
    drop(burned);
    greffier.wait("the cluster is lost", |event| event["kind"] == "cluster.lost");
    (greffier, commit)
}

/// Name and version of everything that was replayed, as the API server has it.
fn versions(cluster: &ControlPlane) -> String {
    let path = "range .items[*]}{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end";
    let within = jsonpath(cluster, &["-n", NS, "configmaps,secrets"], path);
    within + &jsonpath(cluster, &["namespace", NS], ".metadata.resourceVersion")
}

fn recorded(greffier: &Greffier, kind: &str) -> Vec<Value> {
    let args = ["log", "--kind", kind, "--all", "-n", "1000", "-o", "json"];
    greffier.json(&args).as_array().unwrap().clone()
}

/// What the replay wrote is greffier's own, of the commit that was replayed, for whoever began it.
fn replayed_by_greffier(greffier: &Greffier, commit: &str) {
    let web = ["cm/cm-0", "-n", NS, "--field", ".data.key", "-o", "json"];
    let blame = greffier.json(&[&["blame"], &web[..]].concat());
    let (who, from) = (&blame["fields"][0]["set"]["who"], &blame["fields"][0]["set"]["git"]);
    assert_eq!((&who["name"], &who["strength"]), (&"greffier".into(), &"exact".into()), "{blame}");
    assert!(who["write"]["reason"].as_str().unwrap().starts_with("replayed as at #"), "{blame}");
    assert_eq!(from["commit"], *commit, "{blame}");
    let begun = recorded(greffier, "recovery.begun");
    let (text, _) = greffier.cli_ends(0, &["why", "cm/cm-0", "-n", NS, "--field", ".data.key"]);
    assert!(text.contains(&format!("#{}", begun[0]["seq"])), "{text}");
    assert!(text.contains(&commit[..7]) && text.contains("os-user:"), "{text}");
    let (shown, _) =
        greffier.cli_ends(0, &["show", &format!("#{}", blame["fields"][0]["set"]["seq"])]);
    assert!(shown.contains("replayed as at #") && shown.contains("exact"), "{shown}");
}

#[test]
fn the_daemon_that_still_runs_records_the_replay_and_then_keeps_the_new_cluster() {
    let (greffier, commit) = burnt();
    let fresh = plane();
    let new = target(&fresh);

    // Killed on the way: what is recorded is with the daemon, which goes on. No ConfigMap is sent by
    // then: of what is only found afterwards nobody knows for sure who wrote it.
    killed(&greffier, &onto(&new, &["--yes"]), "sending:3");
    greffier.wait("the intent", |event| event["kind"] == "recovery.intent");
    let (_, said) = greffier.cli_ends(6, &onto(&new, &["--yes"]));
    assert!(said.contains("has not ended") && said.contains("--resume"), "{said}");
    let report = greffier.json(&onto(&new, &["--resume", "--yes", "-o", "json"]));
    assert_eq!((&report["verified"], &report["written"]), (&true.into(), &8.into()), "{report}");
    greffier.wait("its end", |event| event["kind"] == "recovery.finished");
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    let (begun, ended) =
        (recorded(&greffier, "recovery.begun"), recorded(&greffier, "recovery.finished"));
    assert_eq!((begun.len(), ended.len()), (1, 1));
    assert!(begun[0]["actor"].as_str().unwrap().starts_with("os-user:"), "{}", begun[0]);
    let password = ["-n", NS, "secret", "password"];
    assert_eq!(jsonpath(&fresh, &password, ".data.password"), "Y29ycmVjdA==");

    // The daemon is pointed at the new cluster, which is accepted.
    assert_eq!(greffier.stop(), Some(0));
    let before = versions(&fresh);
    let audit = format!("[audit]\nfile = \"{}\"", fresh.audit_log().display());
    let greffier = greffier.connecting_as(fresh.kubeconfig("greffier")).configure(&audit);
    greffier.start();
    greffier.wait("another cluster", |event| event["kind"] == "cluster.replaced");
    let accepted = greffier.seq();
    until("the cluster is seen whole", || {
        let output = greffier.cli(&["cluster", "accept", "--reason", "rebuilt", "--yes"]);
        output.status.success().then_some(())
    });
    greffier.wait_after(accepted, "the sync", |event| {
        event["kind"] == "sync.finished"
            && event["detail"]["commit"] == *commit
            && event["detail"]["succeeded"] == true
    });
    // It has become greffier's own, and nothing of it was written.
    assert_eq!(versions(&fresh), before);
    for outcome in recorded(&greffier, "apply.outcome") {
        let results = outcome["detail"]["results"].as_array().unwrap().clone();
        let changed = results.iter().any(|result| result[1]["Applied"]["changed"] == true);
        assert!(!changed || outcome["seq"].as_u64() < Some(accepted), "{outcome}");
    }
    // The records of the replay's own requests name greffier, and take nothing away.
    greffier.wait_after(accepted, "who wrote it", |event| {
        event["kind"] == "attribution.resolved" && event["detail"]["key"]["namespace"] == NS
    });
    replayed_by_greffier(&greffier, &commit);
    // From here on Git is followed there, deletions included.
    let newer = greffier.repo.write("web/0.yaml", &config_map("cm-0", "2")).remove("web/1.yaml");
    let newer = newer.push("newer");
    greffier.wait_synced("web", &newer);
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "cm-0"], ".data.key"), "2");
    until("it is pruned", || {
        let left = fresh.kubectl_ok("admin", &["get", "cm", "-n", NS, "-o", "name"]);
        (!left.contains("cm-1\n")).then_some(())
    });
}
