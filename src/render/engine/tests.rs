use serde_json::json;

use super::super::files::{Content, MemoryFiles};
use super::super::inputs::{inputs_digest, roots};
use super::super::sandbox::Sandbox;
use super::*;
use crate::model::{DirectorySource, Helm, HelmParameter, Kustomize};

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
            lent: const { &BTreeMap::new() },
            commit: &self.commit,
            scopes,
            kube_version: "1.36.3",
            api_versions: &[],
            scratch: Path::new("/nonexistent"),
        }
    }

    fn render(&self) -> Result<Rendered, Error> {
        render(&no_tools(), &[self.input(&BTreeMap::new())]).map_err(|failed| failed.error)
    }
}

fn no_tools() -> Tools {
    Tools::new("/nonexistent/helm", "/nonexistent/kustomize", Sandbox::Off)
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
    check(Tool::Detect, &[manifest, kustomization], "could not start `/nonexistent/kustomize`");
    check(Tool::Unsupported("Jsonnet".into()), &[manifest], "Jsonnet is not rendered yet");
    check(Tool::Detect, &[("other/a.yaml", CONFIG_MAP)], "`apps` does not exist in the repository");
}

/// Goal: what `.argocd-source.yaml` says decides, and what is wrong with it is told with its name.
#[test]
fn files_beside_the_manifests_override_the_source() {
    let check = |tool: Tool, files: &[(&str, &str)], expected: &str| {
        let rendered = Fixture::new(tool, files).render();
        let found = match rendered {
            Ok(rendered) => {
                assert_eq!(rendered.warnings, [""; 0], "{files:?}");
                let objects = rendered.objects.iter();
                objects.map(|object| object.key.to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expected), "{found}, not {expected}");
    };
    let top = ("apps/a.yaml", CONFIG_MAP);
    let below = CONFIG_MAP.replace("name: a", "name: b");
    let below = ("apps/sub/b.yaml", below.as_str());
    let all = ("apps/.argocd-source.yaml", "directory: {recurse: true}");
    let (one, two) = ("ConfigMap/prod/a", "ConfigMap/prod/a ConfigMap/prod/b");
    check(Tool::Detect, &[top, below, all], two);
    // The one of the application comes after it; others are not meant.
    let mine = ("apps/.argocd-source-web.yaml", "directory: {exclude: 'sub/*'}");
    check(Tool::Detect, &[top, below, all, mine], one);
    let other = ("apps/.argocd-source-shop.yaml", "directory: {exclude: 'a.yaml'}");
    check(Tool::Detect, &[top, below, all, other], two);
    let nested = ("apps/sub/.argocd-source.yaml", "directory: {exclude: 'a.yaml'}");
    check(Tool::Detect, &[top, below, all, nested], two);
    let folder = ("apps/.argocd-source.yaml/x.yaml", "directory: {recurse: true}");
    check(Tool::Detect, &[top, below, folder], one);
    check(Tool::Detect, &[top, ("apps/.argocd-source.yaml", "# nothing\n")], one);
    // In a namespace of its own the application has another name.
    let home = ("apps/.argocd-source-team_web.yaml", "directory: {exclude: 'b*'}");
    let mut fixture = Fixture::new(Tool::Detect, &[top, mine, home]);
    let exclude = |fixture: &Fixture| match detect(&fixture.input(&BTreeMap::new()), "apps") {
        Ok(Tool::Directory(directory)) => directory.exclude,
        other => panic!("{other:?}"),
    };
    assert_eq!(exclude(&fixture), "sub/*");
    fixture.app.home = "team".into();
    assert_eq!(exclude(&fixture), "b*");
    // It may choose the tool.
    let helm = ("apps/.argocd-source.yaml", "helm: {releaseName: x}");
    check(Tool::Detect, &[top, helm], "could not start `/nonexistent/helm`");
    let wrong = |text: &str, problem: &str| {
        let file = ("apps/.argocd-source.yaml", text);
        let expected = format!("apps/.argocd-source.yaml: {problem}");
        check(Tool::Detect, &[top, file], &expected);
    };
    wrong("directory: {recurse: yes please}", "`directory.recurse` is a string, not `true`");
    wrong("- a", "is a list, not an object");
    wrong("a: 1\n---\nb: 1\n", "holds 2 documents, not one");
    wrong("a: [", "");
    wrong("helm: {a: 1, a: 2}", "");
    let plugin = ("apps/.argocd-source.yaml", "plugin: {name: x}");
    check(Tool::Detect, &[top, plugin], "a config management plugin is not rendered yet");
}

#[test]
fn of_an_object_in_two_sources_the_last_is_taken_with_a_warning() {
    let text = |value: &str| format!("{CONFIG_MAP}data: {{key: {value}}}\n");
    let first = Fixture::new(Tool::Detect, &[("apps/a.yaml", &text("one"))]);
    let other = CONFIG_MAP.replace("name: a", "name: b");
    let files = [("apps/x.yaml", text("two")), ("apps/y.yaml", other)];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let second = Fixture::new(Tool::Detect, &files);
    let scopes = BTreeMap::new();
    let inputs = [first.input(&scopes), second.input(&scopes)];
    let rendered = render(&no_tools(), &inputs).unwrap();
    let keys: Vec<_> = rendered.objects.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(keys, ["ConfigMap/prod/a", "ConfigMap/prod/b"]);
    assert_eq!(rendered.objects[0].manifest["data"]["key"], "two");
    assert_eq!(rendered.objects[0].origin, "apps/x.yaml:1");
    let warning = "ConfigMap/prod/a: is in source 1 (apps/a.yaml:1) and in source 2 \
                   (apps/x.yaml:1): the last one is taken";
    assert_eq!(rendered.warnings, [warning]);
    // Twice in one source stays an error, and names the source.
    let twice =
        Fixture::new(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP), ("apps/b.yaml", CONFIG_MAP)]);
    let failed = render(&no_tools(), &[first.input(&scopes), twice.input(&scopes)]).unwrap_err();
    assert_eq!(failed.index, 1);
}

#[test]
fn a_source_that_only_lends_files_has_no_objects() {
    let mut fixture = Fixture::new(Tool::Detect, &[("apps/a.yaml", "not: [valid")]);
    fixture.source.lends_only = true;
    assert_eq!(fixture.render().unwrap().objects.len(), 0);
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
    let other: CommitId = "2222222222222222222222222222222222222222".parse().unwrap();
    let of = |input: &Input<'_>, tree: &CommitId| {
        inputs_digest(&no_tools(), &[*input], &[vec![tree.clone()]]).all
    };
    let mut fixture = Fixture::new(Tool::Helm(Helm::default()), &[("apps/Chart.yaml", "name: x")]);
    let first = of(&fixture.input(&scopes), &tree);
    assert_eq!(first, of(&fixture.input(&scopes), &tree));
    assert_ne!(first, of(&fixture.input(&scopes), &other));
    let apis = ["apps/v1".to_owned()];
    let input = Input { api_versions: &apis, ..fixture.input(&scopes) };
    assert_ne!(first, of(&input, &tree));
    let input = Input { kube_version: "1.37.0", ..fixture.input(&scopes) };
    assert_ne!(first, of(&input, &tree));
    // Nothing is the same when a value file changes, wherever it is.
    let values = |content: &str| {
        let helm = Helm { value_files: vec!["/env/prod.yaml".into()], ..Helm::default() };
        let files = [("apps/Chart.yaml", "name: x"), ("env/prod.yaml", content)];
        let fixture = Fixture::new(Tool::Helm(helm), &files);
        of(&fixture.input(&BTreeMap::new()), &tree)
    };
    assert_eq!(values("a: 1"), values("a: 1"));
    assert_ne!(values("a: 1"), values("a: 2"));
    fixture.app.namespace = "other".into();
    assert_ne!(first, of(&fixture.input(&scopes), &tree));
    // A directory does not depend on the cluster.
    fixture.source.tool = Tool::Directory(DirectorySource::default());
    let directory = of(&fixture.input(&scopes), &tree);
    let input = Input { kube_version: "1.37.0", ..fixture.input(&scopes) };
    assert_eq!(directory, of(&input, &tree));
}

/// Goal: what a variable stands for is an input of the render, and nothing else becomes one.
#[test]
fn what_variables_stand_for_counts() {
    let tree: CommitId = "1111111111111111111111111111111111111111".parse().unwrap();
    let parameter = |value: &str| Helm {
        parameters: vec![HelmParameter {
            name: "a".into(),
            value: value.into(),
            force_string: false,
        }],
        ..Helm::default()
    };
    let named = |value: &str| Helm {
        file_parameters: vec![("a".into(), "x".into())],
        value_files: vec![value.into()],
        ignore_missing_value_files: true,
        ..Helm::default()
    };
    let images = |image: &str| Kustomize { images: vec![image.into()], ..Kustomize::default() };
    let chart = ("apps/Chart.yaml", "name: x");
    let kustomization = ("apps/kustomization.yaml", "resources: []");
    // Of the commit, the version of Kubernetes and what it serves, those that count.
    let check = |tool: Tool, expected: [bool; 3]| {
        let fixture = Fixture::new(tool.clone(), &[chart, kustomization]);
        let scopes = BTreeMap::new();
        let input = fixture.input(&scopes);
        let of = |input: &Input<'_>| inputs_digest(&no_tools(), &[*input], &[vec![tree.clone()]]);
        let first = of(&input);
        let commit = of(&Input { commit: &tree, ..input });
        let version = of(&Input { kube_version: "1.37.0", ..input });
        let apis = of(&Input { api_versions: &["apps/v1".to_owned()], ..input });
        let found = [&commit, &version, &apis].map(|other| other.all != first.all);
        assert_eq!(found, expected, "{tool:?}");
        // Of these only the commit is something that Git says.
        let found = [&commit, &version, &apis].map(|other| other.sources != first.sources);
        assert_eq!(found, [expected[0], false, false], "{tool:?}");
    };
    let own = |helm: Helm| Helm {
        kube_version: Some("1.30.0".into()),
        api_versions: vec!["v1".into()],
        ..helm
    };
    check(Tool::Helm(own(parameter("${ARGOCD_APP_REVISION_SHORT}"))), [true, false, false]);
    check(Tool::Helm(own(parameter("$ARGOCD_APP_NAME"))), [false, false, false]);
    check(Tool::Helm(own(parameter("$KUBE_VERSION"))), [false, true, false]);
    check(Tool::Helm(own(parameter("$KUBE_API_VERSIONS"))), [false, false, true]);
    check(Tool::Helm(parameter("1")), [false, true, true]);
    check(Tool::Helm(own(named("env/$ARGOCD_APP_REVISION.yaml"))), [true, false, false]);
    check(Tool::Kustomize(images("a:$ARGOCD_APP_REVISION")), [true, false, false]);
    // What a file in Git makes of it counts.
    let text = "helm: {parameters: [{name: a, value: $ARGOCD_APP_REVISION}]}";
    let files = [chart, ("apps/.argocd-source-web.yaml", text)];
    let fixture = Fixture::new(Tool::Helm(own(parameter("1"))), &files);
    let scopes = BTreeMap::new();
    let input = fixture.input(&scopes);
    let of = |input: &Input<'_>| inputs_digest(&no_tools(), &[*input], &[vec![tree.clone()]]);
    assert_ne!(of(&input), of(&Input { commit: &tree, ..input }));
    check(Tool::Kustomize(images("a:$KUBE_VERSION")), [false, true, false]);
    check(Tool::Kustomize(images("a:1")), [false, false, false]);
}

#[test]
fn a_render_depends_on_the_folders_that_it_reads() {
    let check = |tool: Tool, files: &[(&str, &str)], expected: &[&str]| {
        let fixture = Fixture::new(tool, files);
        assert_eq!(roots(&fixture.input(&BTreeMap::new())), expected, "{files:?}");
    };
    check(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP), ("x/y", "")], &["apps"]);
    check(Tool::Detect, &[("apps/Chart.yaml", "name: web")], &["apps"]);
    let local = "dependencies: [{name: db, repository: 'file://../db'}]";
    check(Tool::Detect, &[("apps/Chart.yaml", local)], &[""]);
    let bases = "resources: [../base, own.yaml]\ncomponents: [parts/a]\n";
    check(
        Tool::Detect,
        &[
            ("apps/kustomization.yaml", bases),
            ("apps/own.yaml", CONFIG_MAP),
            ("apps/parts/a/kustomization.yaml", "kind: Component\nresources: [../../../deep]\n"),
            ("base/kustomization.yaml", "resources: []"),
            ("deep/kustomization.yaml", "resources: []"),
        ],
        &["apps", "base", "deep"],
    );
    // Files that override are among them, wherever they are.
    let over = ("apps/.argocd-source.yaml", "directory: {recurse: true}");
    check(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP), over], &["apps"]);
    let over = ("apps/.argocd-source.yaml", "kustomize: {components: [../part]}");
    let component = ("part/kustomization.yaml", "kind: Component\n");
    let kustomization = ("apps/kustomization.yaml", "resources: []");
    check(Tool::Detect, &[kustomization, component, over], &["apps", "part"]);
    // What does not render depends on everything.
    check(Tool::Detect, &[("apps/a.yaml", CONFIG_MAP), ("apps/.argocd-source.yaml", "[")], &[""]);
    check(Tool::Detect, &[("apps/kustomization.yaml", "resources: [../gone]")], &[""]);
}
