//! Files that Argo CD reads and greffier does not: they are refused by name, and what they held
//! does not seem to have left Git.

use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};

/// Goal: an object that moves from YAML to Jsonnet stays, until Git says that it goes.
#[test]
fn what_becomes_jsonnet_is_not_pruned() {
    let (stays, moves) = (config_map("stays", "1"), config_map("moves", "1"));
    let (greffier, app, ns) = kept("jsonnet", &[("web/a.yaml", &stays), ("web/b.yaml", &moves)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let json = r#"{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "moves"}}"#;
    let before = live(&ns, "cm/moves", ".metadata.uid");
    greffier.repo.remove("web/b.yaml").write("web/b.jsonnet", json);
    greffier.repo.push("as Jsonnet");
    let failed = greffier.wait_kind("render.failed", &app);
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.starts_with("`web/b.jsonnet` is Jsonnet"), "{error}");
    // What is pushed next goes on from what was in force: the object was there all the time.
    greffier.repo.remove("web/b.jsonnet").write("web/b.yaml", &config_map("moves", "2"));
    let commit = greffier.repo.push("as YAML");
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/moves", ".data.key"), "2");
    assert_eq!(live(&ns, "cm/moves", ".metadata.uid"), before);
    // Without the file it has left Git.
    greffier.repo.remove("web/b.yaml");
    let commit = greffier.repo.push("gone");
    greffier.wait_synced(&app, &commit);
    until("the object is gone", || live(&ns, "cm/moves", ".kind").is_empty().then_some(()));
}

/// Goal: objects whose folder becomes a submodule stay, and it is said what is missing.
#[test]
fn what_moves_into_a_submodule_is_not_pruned() {
    let ns = namespace("submodule");
    let greffier = Greffier::new();
    greffier.repo.write("web/a.yaml", &config_map("stays", "1"));
    greffier.repo.write("web/sub/b.yaml", &config_map("moves", "1"));
    let first = greffier.repo.push("first");
    let root = application("submodule-web", &greffier.repo.url(), "web", &ns, KEPT)
        .replace("    path: web\n", "    path: web\n    directory: {recurse: true}\n");
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("submodule-web", &first);
    let before = live(&ns, "cm/moves", ".metadata.uid");
    let submodule = format!("160000,{first},web/sub");
    greffier.repo.git(&["rm", "-r", "-q", "web/sub"]);
    greffier.repo.git(&["update-index", "--add", "--cacheinfo", &submodule]);
    greffier.repo.git(&["commit", "-q", "-m", "as a submodule"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    let failed = greffier.wait_kind("render.failed", "submodule-web");
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.starts_with("`web/sub` is a submodule, whose files are not fetched"), "{error}");
    greffier.repo.git(&["revert", "--no-edit", "HEAD"]);
    greffier.repo.write("web/sub/b.yaml", &config_map("moves", "2"));
    let commit = greffier.repo.push("with its files");
    greffier.wait_synced("submodule-web", &commit);
    assert_eq!(live(&ns, "cm/moves", ".data.key"), "2");
    assert_eq!(live(&ns, "cm/moves", ".metadata.uid"), before);
    // An application that is in the submodule as a whole is told the same.
    greffier.repo.git(&["rm", "-r", "-q", "web"]);
    let whole = format!("160000,{first},web");
    greffier.repo.git(&["update-index", "--add", "--cacheinfo", &whole]);
    greffier.repo.git(&["commit", "-q", "-m", "all of it"]);
    greffier.repo.git(&["push", "-q", "origin", "main"]);
    let commit = greffier.repo.head();
    let failed = greffier.wait("the other failure", |event| {
        event["kind"] == "render.failed" && event["detail"]["commit"] == commit
    });
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.contains("the folder `web` is in the submodule `web`"), "{error}");
    assert_eq!(live(&ns, "cm/moves", ".metadata.uid"), before);
}
