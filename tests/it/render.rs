//! What is rendered, how often, and what people are told about it, on the real chain.

use std::fs;
use std::process::Command;

use crate::cluster::tool_dir;
use crate::daemon::{Greffier, KEPT, Repo, application, config_map, deployment, run, until};
use crate::keep::{kept, live, namespace};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";

/// An Application with these sources (YAML flow, one per line).
pub(crate) fn several(name: &str, ns: &str, sources: &[String]) -> String {
    let sources: String = sources.iter().map(|source| format!("    - {source}\n")).collect();
    application(name, "unused", "unused", ns, KEPT)
        .replace("  source:\n    repoURL: unused\n    targetRevision: main\n    path: unused\n", "")
        .replace("  destination:", &format!("  sources:\n{sources}  destination:"))
}

pub(crate) fn tools(more: &str) -> String {
    let dir = tool_dir();
    let (helm, kustomize) = (dir.join("helm"), dir.join("kustomize"));
    format!("[tools]\nhelm = {helm:?}\nkustomize = {kustomize:?}\n{more}")
}

#[test]
fn an_overlay_with_inline_overrides_is_deployed() {
    let ns = namespace("kustomize");
    let greffier = Greffier::new().configure(&tools(""));
    greffier
        .repo
        .write("base/kustomization.yaml", "resources: [d.yaml]\n")
        .write("base/d.yaml", &deployment("web", "app:v1", 1))
        .write("prod/kustomization.yaml", "resources: [../base]\nnamePrefix: prod-\n");
    let commit = greffier.repo.push("first");
    let root = application("kustomize-web", &greffier.repo.url(), "prod", &ns, KEPT)
        .replace("    path: prod\n", "    path: prod\n    kustomize: {images: ['app=app:v2']}\n");
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("kustomize-web", &commit);
    let image = live(&ns, "deploy/prod-web", ".spec.template.spec.containers[0].image");
    assert_eq!(image, "app:v2");
    // A base outside the application's folder is one of its inputs.
    greffier.repo.write("base/d.yaml", &deployment("web", "app:v1", 2));
    let commit = greffier.repo.push("base");
    greffier.wait_synced("kustomize-web", &commit);
    assert_eq!(live(&ns, "deploy/prod-web", ".spec.replicas"), "2");
    greffier.repo.write("prod/kustomization.yaml", "resources: ['github.com/org/repo?ref=v1']\n");
    greffier.repo.push("remote");
    let failed = greffier.wait_kind("render.failed", "kustomize-web");
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.contains("`github.com/org/repo?ref=v1` is remote"), "{error}");
}

/// Goal: a parameter that is the commit is another at each push, also at one that touches nothing
/// that the application reads.
#[test]
fn a_parameter_that_names_the_commit_follows_every_push() {
    let ns = namespace("revision");
    let greffier = Greffier::new().configure(&tools(""));
    greffier.repo.write("web/Chart.yaml", CHART);
    let template = config_map("{{ .Values.name }}", "{{ .Values.revision }}");
    greffier.repo.write("web/templates/c.yaml", &template);
    let first = greffier.repo.push("chart");
    let own = "    path: web\n    helm:\n      parameters:\n        \
               - {name: name, value: cm-of-$ARGOCD_APP_NAME}\n        \
               - {name: revision, value: '${ARGOCD_APP_REVISION}', forceString: true}\n";
    let root = application("revision-web", &greffier.repo.url(), "web", &ns, KEPT)
        .replace("    path: web\n", own);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("revision-web", &first);
    assert_eq!(live(&ns, "cm/cm-of-revision-web", ".data.key"), first);
    greffier.repo.write("README", "elsewhere\n");
    let second = greffier.repo.push("elsewhere");
    greffier.wait_synced("revision-web", &second);
    assert_eq!(live(&ns, "cm/cm-of-revision-web", ".data.key"), second);
}

/// Goal: what Argo CD Image Updater commits is deployed, and a file of that kind that cannot be
/// meant so changes nothing.
#[test]
fn a_file_beside_the_chart_overrides_its_parameters() {
    let ns = namespace("overrides");
    let greffier = Greffier::new().configure(&tools(""));
    greffier.repo.write("web/Chart.yaml", CHART);
    greffier.repo.write("web/values.yaml", "tag: '1'\n");
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "{{ .Values.tag }}"));
    let first = greffier.repo.push("chart");
    let root = application("overrides-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("overrides-web", &first);
    let file = "web/.argocd-source-overrides-web.yaml";
    let text = "helm:\n  parameters:\n    - {name: tag, value: '1.10', forcestring: true}\n";
    greffier.repo.write(file, text);
    let commit = greffier.repo.push("build: automatic update of overrides-web");
    greffier.wait_synced("overrides-web", &commit);
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "1.10");
    greffier.repo.write(file, "helm: {parameters: {tag: '1.11'}}\n");
    greffier.repo.push("no list");
    let failed = greffier.wait_kind("render.failed", "overrides-web");
    let error = failed["detail"]["error"].as_str().unwrap();
    assert_eq!(error, format!("{file}: `helm.parameters` is an object, not a list"));
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "1.10");
    greffier.repo.remove(file);
    let commit = greffier.repo.push("as the chart says");
    greffier.wait_synced("overrides-web", &commit);
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "1");
}

#[test]
fn values_from_another_repository_are_followed_and_the_last_source_wins() {
    let ns = namespace("sources");
    let greffier = Greffier::new().configure(&tools(""));
    let env = Repo::new(greffier.dir.path(), "env");
    greffier.repo.write("web/Chart.yaml", CHART);
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "{{ .Values.color }}"));
    greffier.repo.write("extra/a.yaml", &config_map("shared", "first"));
    greffier.repo.push("chart");
    env.write("prod/values.yaml", "color: red\n");
    env.write("more/b.yaml", &config_map("shared", "last"));
    env.push("values");
    let source = |repo: &Repo, rest: &str| {
        format!("{{repoURL: {}, targetRevision: main, {rest}}}", repo.url())
    };
    let root = several(
        "sources-web",
        &ns,
        &[
            source(&greffier.repo, "path: web, helm: {valueFiles: ['$env/prod/values.yaml']}"),
            source(&greffier.repo, "path: extra"),
            source(&env, "path: more, ref: env"),
        ],
    );
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("sources-web", &greffier.repo.head());
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "red");
    assert_eq!(live(&ns, "cm/shared", ".data.key"), "last");
    let rendered = greffier.wait_kind("render.succeeded", "sources-web");
    assert_eq!(rendered["detail"]["revisions"].as_array().unwrap().len(), 3);
    let warning = rendered["detail"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the last one is taken"), "{warning}");
    // The other repository moves: the sync is known by its commit.
    env.write("prod/values.yaml", "color: blue\n");
    let commit = env.push("blue");
    greffier.wait_synced("sources-web", &commit);
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "blue");
    // What is wrong with one source names it, and the last good state stays.
    env.remove("prod/values.yaml");
    env.push("gone");
    let failed = greffier.wait_kind("render.failed", "sources-web");
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.starts_with("source 1 ("), "{error}");
    assert!(error.contains("`$env/prod/values.yaml` does not exist"), "{error}");
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "blue");
}

#[test]
fn a_revert_takes_the_recorded_objects_and_runs_no_program() {
    let ns = namespace("cache");
    let greffier = Greffier::new();
    let (helm, count) = (greffier.path("counting-helm"), greffier.path("count"));
    let real = tool_dir().join("helm");
    let script =
        format!("#!/bin/bash\necho $1 >> {}\nexec {} \"$@\"\n", count.display(), real.display());
    fs::write(&helm, script).unwrap();
    run(Command::new("chmod").arg("755").arg(&helm));
    // Counting writes where a sandboxed program may not.
    let greffier = greffier.configure(&format!("[tools]\nhelm = {helm:?}\nsandbox = \"off\"\n"));
    greffier.repo.write("web/Chart.yaml", CHART);
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "one"));
    let first = greffier.repo.push("one");
    // Other tests define kinds meanwhile, which a chart may ask for: this one does not.
    let own = "    path: web\n    helm: {kubeVersion: 1.36.0, apiVersions: [v1]}\n";
    let root = application("cache-web", &greffier.repo.url(), "web", &ns, KEPT)
        .replace("    path: web\n", own);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("cache-web", &first);
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "two"));
    let second = greffier.repo.push("two");
    greffier.wait_synced("cache-web", &second);
    // Its version may be asked for at any time.
    let runs =
        || fs::read_to_string(&count).unwrap().lines().filter(|it| *it == "template").count();
    let before = runs();
    assert_eq!(before, 2, "once a commit");
    greffier.repo.git(&["revert", "--no-edit", "HEAD"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    let reverted = greffier.repo.head();
    greffier.wait_synced("cache-web", &reverted);
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "one");
    assert_eq!(runs(), before, "helm was run again");
    let again = greffier.wait("the render of the revert", |event| {
        event["kind"] == "render.succeeded" && event["detail"]["revision"]["commit"] == reverted
    });
    assert!(again["detail"]["reused"].is_u64(), "{again}");
    // It is known after a restart, too.
    greffier.stop();
    greffier.start();
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "two"));
    let third = greffier.repo.push("two again");
    greffier.wait_synced("cache-web", &third);
    assert_eq!(runs(), before, "helm was run again after the restart");
}

#[test]
fn missing_inputs_of_a_chart_are_named() {
    let ns = namespace("missing");
    let greffier = Greffier::new();
    greffier.repo.write("nochart/values.yaml", "a: 1\n");
    greffier.repo.write("novalues/Chart.yaml", CHART);
    let dependency =
        "dependencies: [{name: db, version: 1.0.0, repository: 'https://charts.example.org'}]\n";
    greffier.repo.write("nodep/Chart.yaml", &format!("{CHART}{dependency}"));
    greffier.repo.push("first");
    let mut greffier = greffier;
    for (path, helm) in [
        ("nochart", "{releaseName: x}"),
        ("novalues", "{valueFiles: [env/prod.yaml]}"),
        ("nodep", "{releaseName: x}"),
    ] {
        let root = application(&format!("missing-{path}"), &greffier.repo.url(), path, &ns, KEPT)
            .replace(
                &format!("    path: {path}\n"),
                &format!("    path: {path}\n    helm: {helm}\n"),
            );
        greffier = greffier.root(&root);
    }
    greffier.start();
    for (path, expected) in [
        ("nochart", "`nochart` is no Helm chart: it has no Chart.yaml"),
        ("novalues", "the value file `env/prod.yaml` does not exist"),
        ("nodep", "`nodep` depends on the chart `db` from `https://charts.example.org`"),
    ] {
        let failed = greffier.wait_kind("render.failed", &format!("missing-{path}"));
        let error = failed["detail"]["error"].as_str().unwrap();
        assert!(error.starts_with(expected), "{error}");
        // When the programs were found only after that, it is rendered once more.
        until("status says so", || {
            let status = greffier.json(&["status", "-o", "json"]).to_string();
            status.contains(expected).then_some(())
        });
    }
}

#[test]
fn a_program_that_is_missing_is_named_once_with_its_cause() {
    let ns = namespace("notool");
    let greffier = Greffier::new().configure("[tools]\nhelm = \"/nowhere/helm\"\n");
    greffier.repo.write("web/Chart.yaml", CHART);
    greffier.repo.push("first");
    let root = application("notool-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    let failed = greffier.wait_kind("render.failed", "notool-web");
    let error = failed["detail"]["error"].as_str().unwrap();
    assert_eq!(error, "could not start `/nowhere/helm`: No such file or directory (os error 2)");
}

#[test]
fn people_see_what_a_revision_renders_to_without_secret_values() {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n";
    let (greffier, app, ns) =
        kept("show", &[("web/c.yaml", &config_map("one", "1")), ("web/s.yaml", secret)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.git(&["tag", "v1"]);
    greffier.repo.git(&["push", "-q", "origin", "v1"]);
    greffier.repo.git(&["checkout", "-q", "-b", "feature"]);
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    greffier.repo.write("web/d.yaml", &config_map("two", "1"));
    greffier.repo.remove("web/s.yaml");
    let feature = greffier.repo.commit("feature");
    greffier.repo.git(&["push", "-q", "origin", "feature"]);
    greffier.wait("the feature's commit", |event| {
        event["kind"] == "git.ref-moved" && event["detail"]["new"] == feature
    });
    let (yaml, _) = greffier.cli_ends(0, &["render", &app, "-o", "yaml"]);
    assert!(
        yaml.contains("password: (secret)") || yaml.contains("password: \"(secret)\""),
        "{yaml}"
    );
    assert!(!yaml.contains("hunter2") && !yaml.contains("aHVudGVyMg"), "{yaml}");
    let (names, _) = greffier.cli_ends(0, &["render", &app, "--rev", "feature", "-o", "name"]);
    assert!(names.contains(&format!("ConfigMap/{ns}/two")) && !names.contains("Secret"), "{names}");
    let (_, stderr) = greffier.cli_ends(2, &["render", &app, "--rev", "nowhere"]);
    assert!(stderr.contains("nowhere"), "{stderr}");
    // What would change if the branch were synced.
    let (diff, _) = greffier.cli_ends(1, &["diff", &app, "--rev", "feature"]);
    for word in ["cm", "two at feature", "(not in Git)", ".data.key", "it would be pruned"] {
        let word = if word == "cm" { "ConfigMap" } else { word };
        assert!(diff.contains(word), "`{word}` is not in: {diff}");
    }
    assert!(!diff.contains("hunter2"), "{diff}");
    let (same, _) = greffier.cli_ends(0, &["diff", &app, "--rev", "v1"]);
    assert_eq!(same, "");
    // Nothing of it was recorded as the application's desired state.
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
}

#[test]
fn a_working_tree_is_compared_before_it_is_pushed() {
    let ns = namespace("local");
    let greffier = Greffier::new();
    greffier.repo.write("apps/web/Chart.yaml", CHART);
    greffier.repo.write("apps/web/templates/c.yaml", &config_map("one", "{{ .Values.color }}"));
    greffier.repo.write("env/prod.yaml", "color: red\n");
    let commit = greffier.repo.push("first");
    let root = application("local-web", &greffier.repo.url(), "apps/web", &ns, KEPT).replace(
        "    path: apps/web\n",
        "    path: apps/web\n    helm: {valueFiles: [/env/prod.yaml]}\n",
    );
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("local-web", &commit);
    let folder = greffier.repo.work.join("apps/web");
    let folder = folder.to_str().unwrap();
    let (same, _) = greffier.cli_ends(0, &["diff", "local-web", "--local", folder]);
    assert_eq!(same, "");
    greffier.repo.write("env/prod.yaml", "color: blue\n");
    let (diff, _) = greffier.cli_ends(1, &["diff", "local-web", "--local", folder]);
    assert!(diff.contains("-\"red\"") && diff.contains("+\"blue\""), "{diff}");
    greffier.cli_ends(0, &["diff", "local-web", "--local", folder, "--exit-code", "never"]);
    greffier.repo.write("apps/web/templates/c.yaml", "a: {{ fail \"broken\" }}\n");
    let (_, stderr) = greffier.cli_ends(2, &["diff", "local-web", "--local", folder]);
    assert!(stderr.contains("broken"), "{stderr}");
    greffier.cli_ends(2, &["diff", "local-web", "--local", "/nowhere"]);
    until("nothing of it reached the cluster", || {
        (live(&ns, "cm/one", ".data.key") == "red").then_some(())
    });
}
