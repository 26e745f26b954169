//! Files that Argo CD reads and greffier does not: they are refused by name, and what they held
//! does not seem to have left Git.

use crate::daemon::{config_map, until};
use crate::keep::{kept, live};

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
