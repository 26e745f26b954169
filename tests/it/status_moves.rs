//! Objects whose status moves without a new verdict, as an autoscaler's metrics and a heartbeat
//! do: no observation is recorded of that, and they are deleted all the same.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, until};
use crate::keep::{kept, live};

/// A Service: nobody but this test writes its status.
fn service(name: &str, port: u32, options: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  annotations:\n    \
         argocd.argoproj.io/sync-options: {options}\nspec:\n  selector: {{app: {name}}}\n  \
         ports: [{{port: {port}}}]\n"
    )
}

/// Its status moves; returns its resource version then.
fn beat(namespace: &str, name: &str, reason: &str) -> String {
    let status = serde_json::json!({"status": {"conditions": [{
        "type": "Beat", "status": "True", "reason": reason, "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    ControlPlane::shared().kubectl_ok(
        "alice",
        &[
            "patch",
            "service",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ],
    );
    live(namespace, &format!("service/{name}"), ".metadata.resourceVersion")
}

/// The status moves in a way that is recorded, because its manager is new, and then in one that
/// is not.
fn moves_unseen(greffier: &Greffier, namespace: &str, name: &str) -> String {
    beat(namespace, name, "First");
    greffier.wait("the new manager is seen", |event| {
        let detail = &event["detail"];
        event["kind"] == "object.observed"
            && detail["key"]["name"] == name
            && detail["key"]["namespace"] == namespace
            && detail["key"]["kind"] == "Service"
            && detail["managers"].to_string().contains("\"status\"")
    });
    beat(namespace, name, "Second")
}

/// The resource version that the first write of this verb was decided with.
fn decided_with(greffier: &Greffier, app: &str, verb: &str) -> Value {
    let intent = greffier.wait("the intent", |event| {
        event["kind"] == "apply.intent"
            && event["detail"]["app"] == app
            && event["detail"]["writes"][0]["verb"] == verb
    });
    intent["detail"]["writes"][0]["precondition"][1].clone()
}

#[test]
fn an_object_whose_status_moves_is_pruned_and_made_anew() {
    let (greffier, app, ns) = kept(
        "beats",
        &[
            ("web/gone.yaml", &service("gone", 80, "Validate=true")),
            ("web/anew.yaml", &service("anew", 80, "Replace=true,Force=true")),
        ],
    );
    greffier.wait_synced(&app, &greffier.repo.head());

    let version = moves_unseen(&greffier, &ns, "gone");
    greffier.repo.remove("web/gone.yaml");
    let commit = greffier.repo.push("remove one");
    assert_ne!(decided_with(&greffier, &app, "Prune"), version.as_str(), "it moved unseen");
    greffier.wait_synced(&app, &commit);
    until("it is gone", || live(&ns, "service/gone", ".metadata.name").is_empty().then_some(()));

    let version = moves_unseen(&greffier, &ns, "anew");
    let uid = live(&ns, "service/anew", ".metadata.uid");
    greffier.repo.write("web/anew.yaml", &service("anew", 81, "Replace=true,Force=true"));
    let commit = greffier.repo.push("change the other");
    assert_ne!(decided_with(&greffier, &app, "Recreate"), version.as_str(), "it moved unseen");
    greffier.wait_synced(&app, &commit);
    assert_ne!(live(&ns, "service/anew", ".metadata.uid"), uid);
    assert_eq!(live(&ns, "service/anew", ".spec.ports[0].port"), "81");
}
