use super::super::files::{Content, MemoryFiles};
use super::*;
use crate::model::{DirectorySource, Helm};

/// A repository, an application and where it is rendered. Without `helm`: no test here runs it.
struct Fixture {
    files: MemoryFiles,
    app: AppSpec,
    source: Source,
    commit: CommitId,
}

impl Fixture {
    fn new(tool: Tool, files: &[(&str, &str)]) -> Self {
        let entry = |(path, text): &(&str, &str)| {
            ((*path).to_owned(), Content::Bytes(text.as_bytes().to_vec()))
        };
        let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web"}, "spec": {"source": {"repoURL": "r", "path": "apps"},
            "destination": {"namespace": "prod"}}});
        let app = AppSpec::parse(&app).unwrap();
        let source = Source { tool, ..app.sources[0].clone() };
        let commit = "0123456789012345678901234567890123456789".parse().unwrap();
        Self { files: MemoryFiles(files.iter().map(entry).collect()), app, source, commit }
    }

    fn input<'a>(&'a self, scopes: &'a BTreeMap<GroupKind, Scope>) -> Input<'a> {
        Input {
            app: &self.app,
            source: &self.source,
            files: &self.files,
            commit: &self.commit,
            scopes,
            kube_version: "1.36.3",
            api_versions: &[],
            scratch: Path::new("/nonexistent"),
        }
    }

    fn render(&self) -> Result<Rendered, Error> {
        render(
            &Tools::new("/nonexistent/helm", "/nonexistent/kustomize", Sandbox::Off),
            &self.input(&BTreeMap::new()),
        )
    }
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn a_directory_renders_to_objects_in_the_destination_namespace() {
    let rendered = Fixture::new(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP)]).render().unwrap();
    assert_eq!(rendered.tool, "directory");
    assert_eq!(rendered.objects[0].key.to_string(), "ConfigMap/prod/a");
    assert_eq!(rendered.objects[0].origin, "apps/a.yaml:1");
    let metadata = &rendered.objects[0].manifest["metadata"];
    assert_eq!(*metadata, json!({"name": "a", "namespace": "prod"}));
}

#[test]
fn the_tool_is_what_the_manifest_says_or_else_what_the_files_say() {
    let check = |tool: Tool, files: &[(&str, &str)], expected: &str| {
        let rendered = Fixture::new(tool, files).render();
        let found = rendered.map_or_else(|error| error.to_string(), |rendered| rendered.tool);
        assert!(found.starts_with(expected), "{found}, not {expected}");
    };
    let manifest = ("apps/a.yaml", CONFIG_MAP);
    let chart = ("apps/Chart.yaml", "name: web\n");
    let nested = ("apps/sub/Chart.yaml", "name: web\n");
    let kustomization = ("apps/kustomization.yml", "resources: []\n");
    let directory = Tool::Directory(DirectorySource::default());
    let no_helm = "could not start `/nonexistent/helm`";
    check(Tool::Detect, &[manifest], "directory");
    check(Tool::Detect, &[manifest, nested], "directory");
    check(Tool::Detect, &[manifest, chart], no_helm);
    check(directory, &[manifest, chart, kustomization], "directory");
    check(Tool::Helm(Helm::default()), &[manifest], no_helm);
    let unsupported = "Kustomize (`apps/kustomization.yml`) is not rendered yet";
    check(Tool::Detect, &[manifest, kustomization], unsupported);
    check(Tool::Unsupported("Jsonnet".into()), &[manifest], "Jsonnet is not rendered yet");
    check(Tool::Detect, &[("other/a.yaml", CONFIG_MAP)], "`apps` does not exist in the repository");
}

#[test]
fn several_sources_are_refused_by_name() {
    let mut fixture = Fixture::new(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP)]);
    fixture.app.sources.push(fixture.source.clone());
    let error = fixture.render().unwrap_err();
    assert_eq!(error.to_string(), "an application with several sources is not rendered yet");
    assert!(!error.is_transient());
}

#[test]
fn a_path_out_of_the_repository_is_refused() {
    let mut fixture = Fixture::new(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP)]);
    for (path, expected) in [("../x", None), ("./apps/", Some(1)), ("/apps", Some(1))] {
        fixture.source.path = path.to_owned();
        let found = fixture.render().ok().map(|rendered| rendered.objects.len());
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn the_digest_changes_with_every_input_that_counts() {
    let scopes = BTreeMap::new();
    let tree: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    let mut fixture = Fixture::new(Tool::Detect, &[]);
    let first = fixture.input(&scopes).digest(&tree, "helm v1");
    assert_eq!(first, fixture.input(&scopes).digest(&tree, "helm v1"));
    assert_ne!(first, fixture.input(&scopes).digest(&tree, "helm v2"));
    assert_ne!(first, fixture.input(&scopes).digest(&fixture.commit, "helm v1"));
    let apis = ["apps/v1".to_owned()];
    let input = Input { api_versions: &apis, ..fixture.input(&scopes) };
    assert_ne!(first, input.digest(&tree, "helm v1"));
    fixture.app.namespace = "other".into();
    assert_ne!(first, fixture.input(&scopes).digest(&tree, "helm v1"));
    // A directory does not depend on the tool or the cluster.
    fixture.source.tool = Tool::Directory(DirectorySource::default());
    let directory = fixture.input(&scopes).digest(&tree, "helm v1");
    assert_eq!(directory, fixture.input(&scopes).digest(&tree, "helm v2"));
}
