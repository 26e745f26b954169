//! The order of items that tell themselves apart, on a real API server.

use crate::cluster::ControlPlane;
use crate::daemon::until;
use crate::keep::{kept, live};

const INIT: &str = ".spec.template.spec.initContainers[*].name";
const ENV: &str = ".spec.template.spec.containers[0].env[*].name";

/// A Deployment with these init containers and variables.
fn manifest(init: &[&str], env: &[&str]) -> String {
    let init: String =
        init.iter().map(|name| format!("      - {{name: {name}, image: \"x:1\"}}\n")).collect();
    let env: String =
        env.iter().map(|name| format!("        - {{name: {name}, value: a}}\n")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 1\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: \
         web}}}}\n    spec:\n      initContainers:\n{init}      containers:\n      - name: web\n        \
         image: app:v1\n        env:\n{env}"
    )
}

/// Goal: init containers run in their order and a variable may only use those before it, so
/// another order is drift: it is announced and put back. What a restore of one item brings back
/// is where it was.
#[test]
fn another_order_is_put_back_and_an_item_comes_back_where_it_was() {
    let whole = manifest(&["migrate", "fetch"], &["HOST", "PORT", "URL"]);
    let (greffier, app, ns) = kept("ordered", &[("web/d.yaml", &whole)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let then = greffier.seq();
    let alice = |reversed: &str, list: &str| {
        let patch = format!(r#"[{{"op":"replace","path":"{list}","value":{reversed}}}]"#);
        let args = ["patch", "deploy/web", "-n", &ns, "--type=json", "-p", &patch];
        ControlPlane::shared().kubectl_ok("alice", &args);
    };
    let init = r#"[{"name":"fetch","image":"x:1"},{"name":"migrate","image":"x:1"}]"#;
    alice(init, "/spec/template/spec/initContainers");
    let drift = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["key"]["name"] == "web"
    });
    let field = &drift["detail"]["fields"][0];
    assert_eq!(field["path"], ".spec.template.spec.initContainers[order]", "{drift}");
    let becomes = |path: &str, names: &str| {
        until(&format!("{path} is {names}"), || {
            (live(&ns, "deploy/web", path) == names).then_some(())
        });
    };
    becomes(INIT, "migrate fetch");

    greffier.repo.write("web/d.yaml", &manifest(&["fetch"], &["HOST", "URL"]));
    let second = greffier.repo.push("without one of each");
    greffier.wait_synced(&app, &second);
    becomes(INIT, "fetch");
    let (to, object) = (format!("#{then}"), "Deployment/web");
    for field in [
        ".spec.template.spec.initContainers[name=migrate]",
        ".spec.template.spec.containers[name=web].env[name=PORT]",
    ] {
        let args = ["restore", object, "-n", &ns, "--to", &to, "--field", field, "--yes"];
        greffier.cli_ends(0, &args);
    }
    becomes(INIT, "migrate fetch");
    becomes(ENV, "HOST PORT URL");
}
