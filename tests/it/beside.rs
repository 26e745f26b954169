//! What leaves Git beside what cannot be written, on a real API server.

use crate::daemon::{Greffier, config_map, deployment, until};
use crate::keep::{kept, live};

const NAME: &str = ".metadata.name";

/// The sync of a revision ended badly, and says this.
fn ends_badly(greffier: &Greffier, app: &str, commit: &str, says: &str) {
    let ended = greffier.wait(commit, |event| {
        event["kind"] == "sync.finished"
            && event["detail"]["commit"] == commit
            && event["detail"]["app"] == app
    });
    assert_eq!(ended["detail"]["succeeded"], false, "{ended}");
    assert!(ended["summary"].as_str().unwrap().contains(says), "{ended}");
}

/// Goal: a rename with a mistake in it is no outage. What it was called before stays until what it is
/// called now is there, or a person says that it goes; what stands in the way of the other goes.
#[test]
fn what_a_mistake_would_replace_stays() {
    let shop = deployment("shop", "shop:1", 1);
    let port = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: NodePort, \
             selector: {{app: shop}}, ports: [{{port: 80, nodePort: 31555}}]}}\n"
        )
    };
    let files = [("web/shop.yaml", &*shop), ("web/a.yaml", &*config_map("a", "1"))];
    let (greffier, app, ns) = kept("beside", &files);
    greffier.repo.write("web/door.yaml", &port("door"));
    let commit = greffier.repo.push("with a door");
    greffier.wait_synced(&app, &commit);

    let renamed = deployment("shop-web", "shop:1", 1);
    greffier.repo.write("web/shop.yaml", &renamed.replace("replicas:", "replica:"));
    let mistaken = greffier.repo.push("renamed, and mistyped");
    ends_badly(&greffier, &app, &mistaken, "which may stand in its place, is not written");
    assert_eq!(live(&ns, "deploy/shop", NAME), "shop");
    let (why, _) = greffier.cli_ends(0, &["why", "deploy/shop", "-n", &ns]);
    assert!(why.contains("--prune --only Deployment.apps/"), "{why}");

    greffier.repo.write("web/shop.yaml", &renamed);
    let mended = greffier.repo.push("mended");
    greffier.wait_synced(&app, &mended);
    assert_eq!(
        (live(&ns, "deploy/shop", NAME), live(&ns, "deploy/shop-web", NAME)),
        ("".into(), "shop-web".into())
    );

    // A port that is allocated is free when what has it is gone.
    greffier.repo.remove("web/door.yaml").write("web/gate.yaml", &port("gate"));
    let door = greffier.repo.push("the door is called otherwise");
    until("the gate has the port", || (live(&ns, "svc/gate", NAME) == "gate").then_some(()));
    greffier.wait_synced(&app, &door);

    // What the cluster does not know may come for it.
    let rollout = "apiVersion: beside.example.org/v1\nkind: Rollout\nmetadata: {name: shop}\n";
    greffier.repo.write("web/shop.yaml", rollout);
    let unserved = greffier.repo.push("another kind");
    ends_badly(&greffier, &app, &unserved, "the cluster does not serve the kind");
    assert_eq!(live(&ns, "deploy/shop-web", NAME), "shop-web");
    let only = format!("Deployment.apps/{ns}/shop-web");
    greffier.cli_ends(0, &["sync", &app, "--prune", "--only", &only, "--no-wait"]);
    until("a person has said that it goes", || {
        live(&ns, "deploy/shop-web", NAME).is_empty().then_some(())
    });
}
