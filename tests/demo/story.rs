//! The story, step by step. Each step does something, waits until the witness sees its effect in
//! the API server, and says how long that took. Nothing here believes greffier: what it says is
//! shown, what the witness saw decides.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::stage::{PREFIX, Stage, copy};
use crate::witness::{Change, Id, Sighting};

/// How long each effect may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long nothing must happen before "nothing happened" is believed.
const STILL: Duration = Duration::from_secs(2);
/// How many lines of the log are shown at the end.
const LOG_LINES: &str = "25";

type Step = (&'static str, fn(&mut Stage) -> Result<()>);

const STEPS: [Step; 7] = [
    ("A root Application brings four children", children_appear),
    ("A fifth file is pushed", fifth_file_is_deployed),
    ("Somebody scales a Deployment by hand", hand_edit_is_put_back),
    ("A bad image is pushed, and reverted", revert_brings_v1_back),
    ("A file is removed", removed_file_is_pruned),
    ("A commit would delete everything", mass_deletion_is_gated),
    ("The ledger has all of it", log_tells_everything),
];

/// Plays every step; the error names the one that was not verified.
pub(crate) fn tell(stage: &mut Stage) -> Result<()> {
    for (index, (title, step)) in STEPS.into_iter().enumerate() {
        stage.terminal.heading(index + 1, title);
        step(stage).with_context(|| format!("step {} ({title})", index + 1))?;
        stage.show_events();
    }
    stage.terminal.title("every step was verified against the API server");
    Ok(())
}

/// What the first commit renders to, by resource, namespace suffix and name.
const FIRST_OBJECTS: [(&str, &str, &str); 11] = [
    ("deployments", "shop", "shop"),
    ("services", "shop", "shop"),
    ("configmaps", "shop", "shop"),
    ("deployments", "api", "api"),
    ("services", "api", "api"),
    ("configmaps", "settings", "colours"),
    ("configmaps", "settings", "flags"),
    ("configmaps", "settings", "limits"),
    ("configmaps", "settings", "regions"),
    ("configmaps", "docs", "menu"),
    ("configmaps", "docs", "pages"),
];

fn id(resource: &str, app: &str, name: &str) -> Id {
    Id::new(resource, &format!("{PREFIX}-{app}"), name)
}

fn children_appear(stage: &mut Stage) -> Result<()> {
    let root = stage.dir().join("root.yaml");
    fs::write(&root, root_application(&stage.repository.url()))?;
    stage.terminal.note("applications/ is a Helm folder; it renders shop (a chart), api, settings");
    stage.terminal.note("and docs (directories of YAML).");
    stage.terminal.command("greffier app add -f root.yaml");
    let begun = Instant::now();
    stage.home.run_ok(&["app", "add", "-f", &root.to_string_lossy()])?;
    let wanted: Vec<Id> = FIRST_OBJECTS.iter().map(|(r, app, name)| id(r, app, name)).collect();
    let at = stage.witness.wait(LIMIT, "the objects of all four children", |seen| {
        seen.reached(0, wanted.len(), |sighting| wanted.contains(&sighting.id))
    })?;
    let what = format!("the {} objects of all 4 children are there", wanted.len());
    stage.terminal.seen(&what, at.saturating_duration_since(begun));

    let deployment = id("deployments", "api", "api");
    let healthy = stage.witness.find(0, LIMIT, "Deployment api available", |sighting| {
        sighting.id == deployment && is_available(&sighting.object, 2)
    })?;
    let after = healthy.at.saturating_duration_since(begun);
    stage.terminal.seen("Deployment api has its 2 pods available", after);
    stage.recorded(LIMIT, "application api is Healthy", |row| {
        row["kind"] == "app.health" && row["app"] == "api" && mentions(row, "Healthy")
    })?;
    Ok(())
}

fn fifth_file_is_deployed(stage: &mut Stage) -> Result<()> {
    copy("fifth", stage.repository.work())?;
    stage.terminal.command("git add applications/templates/metrics.yaml apps/metrics");
    stage.repository.commit("Measure what the shop does")?;
    stage.terminal.command("git push");
    let from = stage.witness.now();
    let push = stage.repository.push()?;
    let metrics = id("deployments", "metrics", "metrics");
    let seen = stage.witness.find(from, LIMIT, "Deployment metrics", |s| s.id == metrics)?;
    let after = seen.at.saturating_duration_since(push.begun);
    stage.terminal.seen("Deployment metrics is there (git push included)", after);
    Ok(())
}

fn hand_edit_is_put_back(stage: &mut Stage) -> Result<()> {
    let namespace = format!("{PREFIX}-shop");
    let (user, who) = if stage.has_people() { ("alice", "alice") } else { ("admin", "you") };
    stage.terminal.command(&format!(
        "kubectl -n {namespace} scale deployment/shop --replicas=5   # as {who}"
    ));
    let from = stage.witness.now();
    let args = ["-n", &namespace, "scale", "deployment/shop", "--replicas=5"];
    stage.kubectl(user, &args)?;
    let shop = id("deployments", "shop", "shop");
    let replicas = |s: &Sighting, n: u64| s.id == shop && s.object["spec"]["replicas"] == n;
    let edited = stage.witness.find(from, LIMIT, "the edit (5 replicas)", |s| replicas(s, 5))?;
    let back = stage
        .witness
        .find(from, LIMIT, "2 replicas again", |s| s.at > edited.at && replicas(s, 2))?;
    let row = stage.recorded(LIMIT, "drift of Deployment shop", |row| {
        row["kind"] == "drift.detected" && mentions(row, "replicas")
    })?;
    stage.terminal.alert(row["summary"].as_str().unwrap_or_default());
    let keep: Vec<&str> = row["keep"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|command| command.as_str())
        .collect();
    ensure!(!keep.is_empty(), "the drift notice does not say how to keep the change: {row}");
    stage.terminal.note(&format!("to keep it: {}", keep.join(" or ")));
    ensure!(mentions(&row, "kubectl"), "the drift notice does not name the field manager: {row}");
    let after = back.at.saturating_duration_since(edited.at);
    stage.terminal.seen("put back to 2 replicas (from the edit on the watch)", after);
    Ok(())
}

fn revert_brings_v1_back(stage: &mut Stage) -> Result<()> {
    let shop = id("deployments", "shop", "shop");
    let image = |s: &Sighting, tag: &str| {
        let containers = &s.object["spec"]["template"]["spec"]["containers"];
        s.id == shop && containers[0]["image"] == format!("nginx:{tag}")
    };
    stage.repository.replace("charts/shop/values.yaml", "\"1.29\"", "\"1.92-typo\"")?;
    stage.repository.commit("Use the new nginx")?;
    stage.terminal.command("git commit -am 'Use the new nginx' && git push");
    let from = stage.witness.now();
    let push = stage.repository.push()?;
    let bad = stage.witness.find(from, LIMIT, "image 1.92-typo", |s| image(s, "1.92-typo"))?;
    let after = bad.at.saturating_duration_since(push.begun);
    stage.terminal.seen("nginx:1.92-typo is deployed (Helm chart)", after);

    stage.repository.git(&["revert", "--no-edit", "HEAD"])?;
    stage.terminal.command("git revert --no-edit HEAD && git push");
    let from = stage.witness.now();
    let push = stage.repository.push()?;
    let good = stage.witness.find(from, LIMIT, "image 1.29 again", |s| image(s, "1.29"))?;
    stage.terminal.seen("nginx:1.29 is back", good.at.saturating_duration_since(push.begun));
    Ok(())
}

fn removed_file_is_pruned(stage: &mut Stage) -> Result<()> {
    stage.repository.git(&["rm", "--quiet", "apps/settings/flags.yaml"])?;
    stage.repository.commit("The flags are not used any more")?;
    stage.terminal.command("git rm apps/settings/flags.yaml && git commit && git push");
    let from = stage.witness.now();
    let push = stage.repository.push()?;
    let flags = id("configmaps", "settings", "flags");
    let gone = stage.witness.find(from, LIMIT, "ConfigMap flags deleted", |s| {
        s.id == flags && s.change == Change::Deleted
    })?;
    stage.terminal.seen("ConfigMap flags is gone", gone.at.saturating_duration_since(push.begun));
    let left = stage.witness.read(|seen| {
        let settings = seen.objects.keys().filter(|id| id.namespace == flags.namespace);
        settings.filter(|id| id.resource == "configmaps" && !is_made_by_kubernetes(id)).count()
    });
    ensure!(left == 3, "of the four ConfigMaps of settings {left} are left instead of 3");
    stage.terminal.verified("its three siblings are still there");
    Ok(())
}

fn mass_deletion_is_gated(stage: &mut Stage) -> Result<()> {
    let before = objects(stage)?;
    stage.repository.git(&["rm", "--quiet", "-r", "applications/templates"])?;
    stage.repository.commit("Clean up")?;
    stage
        .terminal
        .command("git rm -r applications/templates && git commit -m 'Clean up' && git push");
    let from = stage.witness.now();
    let push = stage.repository.push()?;
    let row = stage.recorded(LIMIT, "the gate", |row| row["kind"] == "plan.gated")?;
    stage.terminal.alert(row["summary"].as_str().unwrap_or_default());
    stage.terminal.seen("gated (nothing has been deleted)", push.begun.elapsed());
    if let Ok(deleted) = stage.witness.find(from, STILL, "a deletion", |s| {
        s.change == Change::Deleted && s.id.namespace.starts_with(PREFIX)
    }) {
        bail!("{:?} was deleted without approval", deleted.id);
    }
    let after = objects(stage)?;
    ensure!(before == after, "the objects are not the same: {before:?}, now {after:?}");
    let count: usize = after.values().sum();
    stage.terminal.verified(&format!("{STILL:?} later all {count} objects are still there"));
    stage.terminal.command("greffier status");
    let status = stage.home.run_ok(&["status"])?;
    stage.terminal.quote_whole(&status);
    ensure!(status.contains("approve"), "greffier status does not say how to approve the plan");
    Ok(())
}

fn log_tells_everything(stage: &mut Stage) -> Result<()> {
    let told = stage.home.run_ok(&["log", "--all", "-o", "jsonl", "-n", "5000"])?;
    let rows: Vec<Value> =
        told.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("log -o jsonl")?;
    for kind in ["git.commit", "apply.outcome", "drift.detected", "plan.gated", "sync.finished"] {
        ensure!(rows.iter().any(|row| row["kind"] == kind), "the log has no {kind}");
    }
    let verb = |verb: &str| rows.iter().filter(|row| mentions(row, verb)).count();
    stage.terminal.verified(&format!(
        "{} events so far: {} commits, {} observations of objects",
        rows.len(),
        rows.iter().filter(|row| row["kind"] == "git.commit").count(),
        rows.iter().filter(|row| row["kind"] == "object.observed").count(),
    ));
    ensure!(verb("Use the new nginx") > 0, "the log does not name the bad commit");
    stage.terminal.command(&format!("greffier log -n {LOG_LINES}"));
    let log = stage.home.run_ok(&["log", "-n", LOG_LINES])?;
    stage.terminal.quote(&log);
    Ok(())
}

/// Asks the API server anew how many objects of which kind the demo has.
fn objects(stage: &Stage) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for path in ["/apis/apps/v1/deployments", "/api/v1/configmaps", "/api/v1/services"] {
        let list = stage.api.get(path)?.with_context(|| format!("{path} is not served"))?;
        let items = list["items"].as_array().into_iter().flatten();
        let ours = items.filter(|item| {
            let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
            let id = Id::new("", text("namespace"), text("name"));
            id.namespace.starts_with(PREFIX) && !is_made_by_kubernetes(&id)
        });
        counts.insert(path.to_owned(), ours.count());
    }
    Ok(counts)
}

/// Whether Kubernetes puts the object into every namespace by itself.
fn is_made_by_kubernetes(id: &Id) -> bool {
    id.name == "kube-root-ca.crt"
}

fn is_available(deployment: &Value, replicas: u64) -> bool {
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["availableReplicas"] == replicas
        && status["updatedReplicas"] == replicas
}

fn mentions(row: &Value, word: &str) -> bool {
    row["summary"].as_str().is_some_and(|summary| summary.contains(word))
}

fn root_application(repository: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: root
spec:
  project: default
  source:
    repoURL: {repository}
    targetRevision: main
    path: applications
  destination:
    server: https://kubernetes.default.svc
    namespace: {PREFIX}-root
  syncPolicy:
    automated:
      prune: true
      selfHeal: true
"
    )
}
