//! Charts through the real `helm`, which is `GREFFIER_HELM` or what tests/cluster/build.sh makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use super::super::engine::{Rendered, render as render_source};
use super::super::files::{Content, MemoryFiles};
use super::super::sandbox::Sandbox;
use super::*;
use crate::model::{AppSpec, CommitId, HelmParameter, Source, Tool};

/// The real program.
fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        if let Some(helm) = std::env::var_os("GREFFIER_HELM") {
            return helm.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
        let built = std::process::Command::new("bash").arg(script).output().unwrap();
        let folder = String::from_utf8(built.stdout).unwrap();
        assert!(
            built.status.success(),
            "helm is missing: set GREFFIER_HELM to the program, or let tests/cluster/build.sh \
             build it ({})",
            String::from_utf8_lossy(&built.stderr)
        );
        Path::new(folder.lines().last().unwrap_or_default()).join("helm")
    })
}

/// A repository with a chart in `charts/web`, and the application that renders it.
struct Fixture {
    files: BTreeMap<String, Content>,
    helm: Helm,
    scratch: tempfile::TempDir,
    tools: Tools,
}

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";

/// One object whose data are the given lines of a template.
fn config_map(data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{{{ .Release.Name }}}}\ndata:\n  {data}\n"
    )
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut fixture = Self {
            files: BTreeMap::new(),
            helm: Helm::default(),
            scratch: tempfile::tempdir().unwrap(),
            tools: Tools::new(helm(), "/nowhere", Sandbox::Off),
        };
        fixture.put("charts/web/Chart.yaml", CHART);
        for (path, text) in files {
            fixture.put(path, text);
        }
        fixture
    }

    fn put(&mut self, path: &str, text: &str) {
        let content = match text.strip_prefix("-> ") {
            Some(target) => Content::Symlink(target.to_owned()),
            None => Content::Bytes(text.as_bytes().to_vec()),
        };
        self.files.insert(path.to_owned(), content);
    }

    fn render(&self) -> Result<Rendered, RenderError> {
        self.render_with(&BTreeMap::new())
    }

    fn render_with(&self, lent: &BTreeMap<String, &dyn Files>) -> Result<Rendered, RenderError> {
        let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop"}, "spec": {
                "source": {"repoURL": "r", "path": "charts/web"},
                "destination": {"namespace": "prod"}}});
        let app = AppSpec::parse(&app).unwrap();
        let source = Source { tool: Tool::Helm(self.helm.clone()), ..app.sources[0].clone() };
        let commit: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
        let rendered = render_source(
            &self.tools,
            &[Input {
                app: &app,
                source: &source,
                files: &MemoryFiles(self.files.clone()),
                lent,
                commit: &commit,
                scopes: &BTreeMap::new(),
                kube_version: "1.36.3",
                api_versions: &["x.io/v1".to_owned(), "x.io/v1/Ring".to_owned()],
                scratch: self.scratch.path(),
            }],
        );
        let left: Vec<_> = std::fs::read_dir(self.scratch.path()).unwrap().collect();
        assert!(left.is_empty(), "temporary files stay behind: {left:?}");
        rendered.map_err(|failed| failed.error)
    }

    #[track_caller]
    fn data(&self) -> serde_json::Value {
        let rendered = self.render().unwrap_or_else(|error| panic!("{error}"));
        rendered.objects[0].manifest["data"].clone()
    }

    #[track_caller]
    fn error(&self) -> String {
        let error = self.render().unwrap_err().to_string();
        let scratch = self.scratch.path().to_string_lossy().into_owned();
        assert!(!error.contains(&scratch), "a temporary folder is named: {error}");
        error
    }
}

#[test]
fn a_chart_is_told_release_namespace_and_cluster() {
    let template = config_map(
        "release: {{ .Release.Name }}\n  namespace: {{ .Release.Namespace }}\n  \
         version: {{ .Capabilities.KubeVersion.Version }}\n  \
         ring: {{ .Capabilities.APIVersions.Has \"x.io/v1/Ring\" | quote }}\n  \
         own: {{ .Capabilities.APIVersions.Has \"own/v1\" | quote }}",
    );
    let mut fixture = Fixture::new(&[("charts/web/templates/a.yaml", &template)]);
    let rendered = fixture.render().unwrap();
    assert!(rendered.tool.starts_with("helm v4."), "{}", rendered.tool);
    assert_eq!(rendered.objects[0].key.to_string(), "ConfigMap/prod/shop");
    assert_eq!(rendered.objects[0].origin, "charts/web/templates/a.yaml");
    assert_eq!(
        rendered.objects[0].manifest["data"],
        json!({"release": "shop", "namespace": "prod", "version": "v1.36.3", "ring": "true", "own": "false"})
    );
    fixture.helm = Helm {
        release_name: Some("other".into()),
        namespace: Some("elsewhere".into()),
        kube_version: Some("1.30.0".into()),
        api_versions: vec!["own/v1".into()],
        ..Helm::default()
    };
    assert_eq!(
        fixture.data(),
        json!({"release": "other", "namespace": "elsewhere", "version": "v1.30.0", "ring": "false", "own": "true"})
    );
}

#[test]
fn values_win_in_the_order_of_argo() {
    let template = config_map(
        "a: {{ .Values.a | quote }}\n  b: {{ .Values.b | quote }}\n  c: {{ .Values.c | quote }}\n  \
         d: {{ .Values.d | quote }}\n  e: {{ .Values.e | quote }}\n  f: {{ .Values.f | quote }}\n  \
         kind: {{ kindOf .Values.e }} {{ kindOf .Values.d }}\n  list: {{ .Values.list | toJson | quote }}",
    );
    let mut fixture = Fixture::new(&[
        ("charts/web/templates/a.yaml", &template),
        ("charts/web/values.yaml", "{a: chart, b: chart, c: chart, d: chart, e: chart, f: chart}"),
        ("charts/web/env/one, two.yaml", "{b: first, c: first, d: first, e: first, f: first}"),
        ("common/last.yaml", "{c: last, d: last, e: last, f: last}"),
        ("charts/web/files/f.txt", "from, file"),
    ]);
    let parameter = |name: &str, value: &str, force_string| HelmParameter {
        name: name.into(),
        value: value.into(),
        force_string,
    };
    fixture.helm = Helm {
        value_files: vec!["env/*.yaml".into(), "/common/last.yaml".into()],
        values: Some("{\"d\": \"inline\", \"e\": \"inline\", \"f\": \"inline\"}".into()),
        parameters: vec![
            parameter("d", "1", false),
            parameter("e", "1,2", true),
            parameter("list", "{x,y}", false),
        ],
        file_parameters: vec![("f".into(), "files/f.txt".into())],
        ..Helm::default()
    };
    assert_eq!(
        fixture.data(),
        json!({"a": "chart", "b": "first", "c": "last", "d": "1", "e": "1,2", "f": "from, file",
               "kind": "string int64", "list": "[\"x\",\"y\"]"})
    );
}

/// Goal: what Argo CD puts into parameters and the names of files is there, and nowhere else.
#[test]
fn variables_are_replaced_where_argo_cd_replaces_them() {
    let template = config_map(
        "a: {{ .Values.a | quote }}\n  b: {{ .Values.b | quote }}\n  c: {{ .Values.c | quote }}\n  \
         d: {{ .Values.d | quote }}\n  e: {{ .Values.e | quote }}\n  kind: {{ kindOf .Values.b }}",
    );
    let mut fixture = Fixture::new(&[
        ("charts/web/templates/a.yaml", &template),
        ("charts/web/shop.yaml", "{d: $ARGOCD_APP_NAME}"),
        ("charts/web/prod.txt", "$ARGOCD_APP_NAME"),
    ]);
    let parameter = |name: &str, value: &str, force_string| HelmParameter {
        name: name.into(),
        value: value.into(),
        force_string,
    };
    fixture.helm = Helm {
        value_files: vec!["${ARGOCD_APP_NAME}.yaml".into()],
        values: Some("{c: $ARGOCD_APP_NAME}".into()),
        parameters: vec![
            parameter("a", "$ARGOCD_APP_NAME-${ARGOCD_APP_REVISION_SHORT_8}", false),
            parameter("b", "$ARGOCD_APP_REVISION_SHORT", true),
        ],
        file_parameters: vec![("e".into(), "$ARGOCD_APP_NAMESPACE.txt".into())],
        ..Helm::default()
    };
    let literal = "$ARGOCD_APP_NAME";
    assert_eq!(
        fixture.data(),
        json!({"a": "shop-01234567", "b": "0123456", "c": literal, "d": literal, "e": literal,
               "kind": "string"})
    );
}

#[test]
fn value_files_through_links_stay_in_the_repository() {
    let template = config_map("a: {{ .Values.a }}");
    let mut fixture = Fixture::new(&[
        ("charts/web/templates/a.yaml", &template),
        ("charts/web/linked.yaml", "-> ../../common/a.yaml"),
        ("charts/web/out.yaml", "-> ../../../etc/passwd"),
        ("common/a.yaml", "a: common"),
    ]);
    fixture.files.remove("charts/web/out.yaml");
    fixture.helm.value_files = vec!["linked.yaml".into()];
    assert_eq!(fixture.data(), json!({"a": "common"}));
    fixture.put("charts/web/out.yaml", "-> ../../../etc/passwd");
    assert_eq!(fixture.error(), "`charts/web/out.yaml` leads out of the repository");
}

#[test]
fn failures_name_chart_template_and_line() {
    let mut fixture = Fixture::new(&[]);
    let mut check = |template: &str, expected: &[&str]| {
        fixture.put("charts/web/templates/a.yaml", template);
        let error = fixture.error();
        for expected in expected {
            assert!(error.contains(expected), "{error}");
        }
        assert!(!error.contains('\n') && !error.contains("--debug"), "{error}");
    };
    check(
        "a: {{ .Values.a.b.c }}",
        &["chart `charts/web`: ", "web/templates/a.yaml:1:", "nil pointer"],
    );
    check("a:\n  {{ fail \"no image\" }}", &["web/templates/a.yaml:2:", "no image"]);
    check("a: {{", &["web/templates/a.yaml:1", "unclosed action"]);
    check("a: 1\n b: [\n", &["web/templates/a.yaml", "line 2"]);
    check(
        "apiVersion: v1\nkind: ConfigMap\n",
        &["charts/web/templates/a.yaml: ConfigMap: `metadata` is missing"],
    );
}

#[test]
fn failures_in_values_name_the_file() {
    let mut fixture =
        Fixture::new(&[("env/bad.yaml", "a: ["), ("charts/web/templates/a.yaml", "")]);
    fixture.helm.value_files = vec!["../../env/bad.yaml".into()];
    let error = fixture.error();
    assert!(error.contains("failed to parse env/bad.yaml"), "{error}");
    fixture.helm = Helm { values: Some("a: [".into()), ..Helm::default() };
    let error = fixture.error();
    assert!(error.contains("failed to parse the Application's helm values"), "{error}");
    fixture.helm = Helm::default();
    fixture.put("charts/web/values.schema.json", r#"{"required": ["image"]}"#);
    let error = fixture.error();
    assert!(error.contains("missing property 'image'"), "{error}");
    fixture.helm.skip_schema_validation = true;
    assert!(fixture.render().is_ok());
    fixture.helm = Helm::default();
    fixture.put("charts/web/values.schema.json", r#"{"$ref": "https://example.org/schema.json"}"#);
    let error = fixture.error();
    assert!(error.contains("connection refused"), "nothing is fetched: {error}");
}

#[test]
fn definitions_come_with_the_chart_unless_skipped_and_tests_do_not() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
        metadata: {name: rings.x.io}\nspec: {group: x.io, scope: Cluster, names: {kind: Ring}}\n";
    let hook = |kind: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {kind}\n  annotations: {{helm.sh/hook: {kind}}}\n"
        )
    };
    let mut fixture = Fixture::new(&[
        ("charts/web/crds/ring.yaml", definition),
        (
            "charts/web/templates/ring.yaml",
            "apiVersion: x.io/v1\nkind: Ring\nmetadata: {name: one}\n",
        ),
        ("charts/web/templates/test.yaml", &hook("test")),
        ("charts/web/templates/pre.yaml", &hook("pre-install")),
    ]);
    let keys = |rendered: Rendered| -> Vec<String> {
        rendered.objects.iter().map(|object| object.key.to_string()).collect()
    };
    let rendered = fixture.render().unwrap();
    assert_eq!(rendered.warnings, Vec::<String>::new());
    let definition = rendered.objects.iter().find(|object| object.origin.contains("crds"));
    assert_eq!(definition.unwrap().origin, "charts/web/crds/ring.yaml");
    let expected = [
        "Pod/prod/pre-install",
        "CustomResourceDefinition.apiextensions.k8s.io/rings.x.io",
        "Ring.x.io/one",
    ];
    assert_eq!(keys(rendered), expected);
    fixture.helm.skip_crds = true;
    assert_eq!(keys(fixture.render().unwrap()), ["Pod/prod/pre-install", "Ring.x.io/prod/one"]);
}

const DEPENDENT: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n\
    - {name: db, version: 1.0.0, repository: \"file://../db\"}\n";
const DB: &str = "apiVersion: v2\nname: db\nversion: 1.0.0\ndependencies:\n\
    - {name: base, version: 1.0.0, repository: \"file://../../lib/base\"}\n";
const BASE: &str = "apiVersion: v2\nname: base\nversion: 1.0.0\n";

#[test]
fn charts_in_the_repository_are_found_for_dependents() {
    let named =
        |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let mut fixture = Fixture::new(&[
        ("charts/web/Chart.yaml", DEPENDENT),
        ("charts/web/templates/a.yaml", &named("web")),
        ("charts/db/Chart.yaml", DB),
        ("charts/db/templates/a.yaml", &named("db")),
        ("lib/base/Chart.yaml", BASE),
        ("lib/base/templates/a.yaml", &named("base")),
    ]);
    let origins = |fixture: &Fixture| -> Vec<String> {
        fixture.render().unwrap().objects.into_iter().map(|object| object.origin).collect()
    };
    assert_eq!(
        origins(&fixture),
        [
            "charts/web/charts/db/charts/base/templates/a.yaml",
            "charts/web/charts/db/templates/a.yaml",
            "charts/web/templates/a.yaml",
        ]
    );
    // A vendored chart is used as it is, and its own dependencies are found too.
    fixture.put("charts/web/charts/db/Chart.yaml", &DB.replace("../../lib", "../../../../lib"));
    fixture.files.remove("charts/db/Chart.yaml");
    assert_eq!(
        origins(&fixture),
        ["charts/web/charts/db/charts/base/templates/a.yaml", "charts/web/templates/a.yaml"]
    );
}

#[test]
fn a_dependency_that_is_not_there_is_named() {
    let check = |repository: &str, expected: &str| {
        let chart = DEPENDENT.replace("file://../db", repository);
        let fixture = Fixture::new(&[("charts/web/Chart.yaml", &chart), ("charts/x.yaml", "a: 1")]);
        let error = fixture.error();
        assert!(error.contains("`charts/web` depends on the chart `db`"), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    check(
        "https://charts.example.org",
        "from `https://charts.example.org`, which is not in its charts/",
    );
    check("", "from nowhere");
    check("file://../db", "`file://../db` is no folder of the repository");
    check("file://../../../db", "leads out of the repository");
    check("file:///srv/db", "leads out of the repository");
}

/// Goal: a chart does not lose what it has in a submodule without a word.
#[test]
fn a_submodule_of_a_chart_is_named() {
    let template = config_map("a: b");
    let mut fixture = Fixture::new(&[("charts/web/templates/a.yaml", &template)]);
    let of_parent = |fixture: &mut Fixture, path: &str| {
        fixture.files.insert(path.to_owned(), Content::Submodule);
        let error = fixture.error();
        fixture.files.remove(path);
        error
    };
    for path in ["charts/web/charts/db", "charts/web/templates/more"] {
        let error = of_parent(&mut fixture, path);
        assert!(error.starts_with(&format!("`{path}` is a submodule")), "{error}");
    }
    fixture.put("charts/web/templates/b.yaml", "-> ../../../sub/b.yaml");
    let error = of_parent(&mut fixture, "sub");
    let expected = "`charts/web/templates/b.yaml` leads into the submodule `sub`";
    assert!(error.starts_with(expected), "{error}");
    fixture.files.remove("charts/web/templates/b.yaml");
    fixture.helm.value_files = vec!["/sub/values.yaml".into()];
    let error = of_parent(&mut fixture, "sub");
    assert!(error.starts_with("`sub/values.yaml` leads into the submodule `sub`"), "{error}");
    fixture.helm.value_files.clear();
    // Beside the chart it is nobody's.
    fixture.files.insert("charts/other".to_owned(), Content::Submodule);
    assert_eq!(fixture.data(), json!({"a": "b"}));
}

#[test]
fn charts_that_depend_on_themselves_are_refused() {
    let chart = "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n\
        - {name: again, version: 0.1.0, repository: \"file://.\"}\n";
    let error = Fixture::new(&[("charts/web/Chart.yaml", chart)]).error();
    assert!(error.contains("8 levels of charts in charts"), "{error}");
}

#[test]
fn a_folder_without_a_chart_is_refused() {
    let mut fixture = Fixture::new(&[("charts/web/a.yaml", "a: 1")]);
    fixture.files.remove("charts/web/Chart.yaml");
    assert_eq!(fixture.error(), "`charts/web` is no Helm chart: it has no Chart.yaml");
    fixture.put("charts/web/Chart.yaml", "name: [");
    assert!(fixture.error().starts_with("charts/web/Chart.yaml:"), "{}", fixture.error());
}

#[test]
fn a_template_that_runs_away_is_stopped() {
    let mut fixture =
        Fixture::new(&[("charts/web/templates/a.yaml", "{{ range until 1000000 }}# x\n{{ end }}")]);
    fixture.tools.output_bytes_max = 100_000;
    let error = fixture.error();
    assert!(error.contains("wrote more than 100000 bytes"), "{error}");
    let endless = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}";
    fixture.put("charts/web/templates/a.yaml", endless);
    // The version is known by now, so the deadline is the template's alone.
    fixture.tools.timeout = Duration::from_millis(500);
    let error = fixture.render().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("longer than"), "{error}");
}

#[test]
fn names_are_never_read_as_options() {
    let mut fixture = Fixture::new(&[("charts/web/templates/a.yaml", &config_map("a: b"))]);
    fixture.helm.release_name = Some("--debug".into());
    let error = fixture.error();
    assert!(error.contains("release name \"--debug\""), "{error}");
}

#[test]
fn the_chart_that_helm_creates_renders_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let created = std::process::Command::new(helm())
        .args(["create", "web"])
        .current_dir(&folder)
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert!(created.status.success());
    let mut fixture = Fixture::new(&[]);
    let mut folders = vec![folder.path().join("web")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
            fixture.put(&format!("charts/{name}"), &std::fs::read_to_string(&path).unwrap());
        }
    }
    let rendered = fixture.render().unwrap();
    let keys: Vec<String> = rendered.objects.iter().map(|o| o.key.to_string()).collect();
    let expected =
        ["Service/prod/shop-web", "ServiceAccount/prod/shop-web", "Deployment.apps/prod/shop-web"];
    assert_eq!(keys, expected);
    assert_eq!(rendered.warnings, Vec::<String>::new());
    assert_eq!(rendered.objects[2].replicas, Some(1));
}

#[test]
fn links_in_a_chart_become_files() {
    let fixture = Fixture::new(&[
        ("charts/web/templates", "-> ../../shared/templates"),
        ("charts/web/values.yaml", "-> ../../shared/values.yaml"),
        ("shared/templates/a.yaml", &config_map("a: {{ .Values.a }}")),
        ("shared/values.yaml", "a: shared"),
    ]);
    assert_eq!(fixture.data(), json!({"a": "shared"}));
}

#[test]
fn the_version_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("helm");
    let calls = folder.path().join("calls");
    let script = format!("#!/bin/sh\necho x >> {}\necho v4.9.9+g123\n", calls.display());
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let tools = Tools::new(&program, "/nowhere", Sandbox::Off);
    for _ in 0..3 {
        assert_eq!(helm_version(&tools).unwrap(), "helm v4.9.9");
    }
    assert_eq!(std::fs::read_to_string(calls).unwrap(), "x\n");
}
