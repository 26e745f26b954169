//! Kustomizations through the real `kustomize`, which is `GREFFIER_KUSTOMIZE` or what
//! tests/cluster/build.sh makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::model::{AppSpec, CommitId};
use crate::render::files::{Content, MemoryFiles};
use crate::render::{Input, Rendered, Sandbox, Tools, render};

/// The real program.
fn kustomize() -> &'static Path {
    static KUSTOMIZE: OnceLock<PathBuf> = OnceLock::new();
    KUSTOMIZE.get_or_init(|| {
        if let Some(kustomize) = std::env::var_os("GREFFIER_KUSTOMIZE") {
            return kustomize.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
        let built = std::process::Command::new("bash").arg(script).output().unwrap();
        let folder = String::from_utf8(built.stdout).unwrap();
        assert!(
            built.status.success(),
            "kustomize is missing: set GREFFIER_KUSTOMIZE to the program, or let \
             tests/cluster/build.sh build it ({})",
            String::from_utf8_lossy(&built.stderr)
        );
        Path::new(folder.lines().last().unwrap_or_default()).join("kustomize")
    })
}

const BASE: &str = "resources: [deployment.yaml, service.yaml]\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
    replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    \
    metadata: {labels: {app: web}}\n    spec:\n      containers:\n        \
    - {name: main, image: 'shop/web:1.0'}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  \
    selector: {app: web}\n  ports: [{port: 80}]\n";

/// A base, and an overlay in `apps/prod` with these files besides.
fn repository(overlay: &str, more: &[(&str, &str)]) -> MemoryFiles {
    let files = [
        ("base/kustomization.yaml", BASE),
        ("base/deployment.yaml", DEPLOYMENT),
        ("base/service.yaml", SERVICE),
        ("apps/prod/kustomization.yaml", overlay),
    ];
    let files = files.iter().chain(more);
    let content = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    MemoryFiles(files.map(|(path, text)| ((*path).to_owned(), content(text))).collect())
}

fn build(files: &MemoryFiles, overrides: Value) -> Result<Rendered, String> {
    let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop"}, "spec": {
            "source": {"repoURL": "r", "path": "apps/prod", "kustomize": overrides},
            "destination": {"namespace": "prod"}}});
    let app = AppSpec::parse(&app).unwrap();
    let commit: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let input = Input {
        app: &app,
        source: &app.sources[0],
        files,
        lent: &BTreeMap::new(),
        commit: &commit,
        scopes: &BTreeMap::new(),
        kube_version: "1.36.3",
        api_versions: &[],
        scratch: scratch.path(),
    };
    let tools = Tools::new("/nowhere", kustomize(), Sandbox::Off);
    let rendered = render(&tools, &[input]).map_err(|failed| failed.error.to_string());
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "temporary files stay behind: {left:?}");
    if let Err(error) = &rendered {
        let scratch = scratch.path().to_string_lossy().into_owned();
        assert!(!error.contains(&scratch), "a temporary folder is named: {error}");
    }
    rendered
}

const OVERLAY: &str = "resources: [../../base]\nnamePrefix: own-\n";

#[test]
fn an_overlay_is_built_with_its_bases() {
    let rendered = build(&repository(OVERLAY, &[]), json!({})).unwrap();
    let keys: Vec<String> = rendered.objects.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(keys, ["Service/prod/own-web", "Deployment.apps/prod/own-web"]);
    assert!(rendered.tool.starts_with("kustomize v5."), "{}", rendered.tool);
    assert!(rendered.objects[0].origin.starts_with("apps/prod/kustomization.yaml"));
}

#[test]
fn what_the_application_overrides_is_applied_as_argo_cd_does_it() {
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n\
                     commonAnnotations: {component: 'yes'}\n";
    let overlay = format!("{OVERLAY}patches:\n  - path: own.yaml\n");
    let own = "apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {own: patch}}\n";
    let files = repository(
        &overlay,
        &[("apps/prod/own.yaml", own), ("apps/part/kustomization.yaml", component)],
    );
    let overrides = json!({
        "namePrefix": "pre-", "nameSuffix": "-post",
        "images": ["shop/web=registry.example.org/web:2.0"],
        "replicas": [{"name": "web", "count": 3}],
        "commonLabels": {"team": "${ARGOCD_APP_NAME}"}, "labelWithoutSelector": true,
        "commonAnnotations": {"note": "a: b"},
        "namespace": "elsewhere",
        "patches": [{"target": {"kind": "Deployment"},
                     "patch": "- {op: add, path: /spec/paused, value: true}"}],
        "components": ["../part", "../gone"], "ignoreMissingComponents": true,
    });
    let rendered = build(&files, overrides).unwrap();
    let keys: Vec<String> = rendered.objects.iter().map(|object| object.key.to_string()).collect();
    // The inline prefix replaces the overlay's, as `kustomize edit set nameprefix` does.
    assert_eq!(keys, ["Service/elsewhere/pre-web-post", "Deployment.apps/elsewhere/pre-web-post"]);
    let (service, deployment) = (&rendered.objects[0].manifest, &rendered.objects[1].manifest);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.org/web:2.0");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["paused"], true);
    assert_eq!(deployment["metadata"]["labels"]["team"], "shop");
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], json!({"app": "web"}));
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(*annotations, json!({"component": "yes", "note": "a: b", "own": "patch"}));
}

#[test]
fn a_label_that_is_there_is_replaced_only_by_force() {
    let overlay = format!("{OVERLAY}commonLabels: {{team: a}}\n");
    let files = repository(&overlay, &[]);
    let overrides = json!({"commonLabels": {"team": "b"}});
    let error = build(&files, overrides).unwrap_err();
    assert!(error.contains("kustomization `apps/prod`") && error.contains("team"), "{error}");
    let overrides = json!({"commonLabels": {"team": "b"}, "forceCommonLabels": true});
    let rendered = build(&files, overrides).unwrap();
    assert_eq!(rendered.objects[0].manifest["metadata"]["labels"]["team"], "b");
}

#[test]
fn what_is_not_in_the_repository_is_named() {
    let check = |overlay: &str, expected: &str| {
        let error = build(&repository(overlay, &[]), json!({})).unwrap_err();
        assert!(error.contains(expected), "{overlay}: {error}");
    };
    let remote = "`github.com/org/repo//base?ref=v1` is remote";
    check("resources: ['github.com/org/repo//base?ref=v1']", remote);
    check("resources: ['https://example.org/x.yaml']", "`https://example.org/x.yaml` is remote");
    check("components: ['git@example.org:a/b.git']", "`git@example.org:a/b.git` is remote");
    check("resources: [gone.yaml]", "kustomization.yaml: `gone.yaml` does not exist");
    check("resources: [../../../../etc]", "leads out of the repository");
    check("resources: [/etc/passwd]", "leads out of the repository");
    check("resources: [../../base\n", "apps/prod/kustomization.yaml:1:12: ");
    let missing = build(&repository(OVERLAY, &[]), json!({"components": ["../gone"]}));
    assert!(missing.unwrap_err().contains("`../gone` does not exist"));
}

/// Goal: what a kustomization has in a submodule is missed by name, and what it does not use is
/// not.
#[test]
fn what_is_in_a_submodule_is_named() {
    let check = |overlay: &str, overrides: Value| {
        let mut files = repository(overlay, &[]);
        files.0.insert("apps/prod/sub".to_owned(), Content::Submodule);
        build(&files, overrides)
    };
    let refused = |overlay: &str, overrides: Value, expected: &str| {
        let error = check(overlay, overrides).unwrap_err();
        assert!(error.contains(expected), "{overlay}: {error}");
    };
    let is = "`apps/prod/sub` is a submodule, whose files are not fetched";
    let leads = "leads into the submodule `apps/prod/sub`, whose files are not fetched";
    refused("resources: [sub]", json!({}), is);
    refused("resources: [sub/base, sub/x.yaml]", json!({}), leads);
    refused("transformers: [sub/x.yaml]", json!({}), leads);
    refused(OVERLAY, json!({"components": ["sub"], "ignoreMissingComponents": true}), is);
    let generated = "configMapGenerator: [{name: a, files: [sub/x.txt]}]";
    refused(generated, json!({}), leads);
    refused(&format!("{OVERLAY}patches: [{{path: sub/p.yaml}}]"), json!({}), leads);
    let rendered = check(OVERLAY, json!({})).unwrap();
    assert_eq!(rendered.warnings, ["apps/prod/sub: a submodule, ignored"]);
}

#[test]
fn the_load_restrictor_stays_strict() {
    let overlay = "resources: [../../base/deployment.yaml]\n";
    let error = build(&repository(overlay, &[]), json!({})).unwrap_err();
    assert!(error.contains("kustomization `apps/prod`"), "{error}");
}

#[test]
fn bases_that_lead_to_each_other_are_refused() {
    let files = repository(
        "resources: [../other]\n",
        &[("apps/other/kustomization.yaml", "resources: [../prod]\n")],
    );
    let error = build(&files, json!({})).unwrap_err();
    assert!(error.contains("cycle"), "{error}");
}
