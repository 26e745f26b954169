//! Whose the fields are, where the API server does not say it as usual.

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};
use crate::proxy::{Fault, Proxy};

/// The verbs of the writes that were intended for `app`.
fn verbs(greffier: &Greffier, app: &str) -> Vec<String> {
    let events = greffier.json(&["log", "--all", "-n", "100000", "-o", "json"]);
    let intents = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "apply.intent" && event["detail"]["app"] == app);
    let writes = intents.flat_map(|event| event["detail"]["writes"].as_array().unwrap());
    writes.map(|write| write["verb"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn ownership_that_somebody_cleared_is_reclaimed_quietly() {
    let two = config_map("one", "1") + "  more: x\n";
    let (greffier, app, ns) = kept("reclaim", &[("web/c.yaml", &two)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let reset = r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]"#;
    let patch = ["patch", "cm/one", "-n", &ns, "--type=json", "-p", reset];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    until("it is greffier's again", || {
        let managers = live(&ns, "cm/one", ".metadata.managedFields[*].manager");
        managers.contains("greffier").then_some(())
    });
    until("it is recorded", || {
        verbs(&greffier, &app).contains(&"Reclaim".to_owned()).then_some(())
    });
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    let drifts = greffier.json(&["log", "--all", "-n", "100000", "-o", "json"]);
    let drifts = drifts.as_array().unwrap().iter();
    let kinds: Vec<String> = drifts
        .filter(|event| event["kind"] == "drift.detected")
        .map(|event| event["detail"]["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["OwnershipLost"], "no value differs");
    // The API server put the fields under a manager of its own. They are greffier's all the same:
    // what leaves Git goes.
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    let second = greffier.repo.push("one key less");
    greffier.wait_synced(&app, &second);
    assert_eq!(live(&ns, "cm/one", ".data"), r#"{"key":"1"}"#);
}

#[test]
fn where_an_api_knows_no_server_side_apply_objects_are_replaced_and_kept_all_the_same() {
    // The proxy makes of the API server one that refuses to apply ConfigMaps, as aggregated ones do.
    let proxy = Proxy::start(&ControlPlane::shared().kubeconfig("greffier"));
    proxy.rule("PATCH", "/configmaps/", usize::MAX, Fault::Refuse(415, None));
    let (app, ns) = ("noapply-web", namespace("noapply"));
    let greffier = Greffier::new().connecting_as(proxy.kubeconfig());
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(app, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(app, &second);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
    let edit =
        ["patch", "cm/one", "-n", &ns, "--type=merge", "-p", r#"{"data":{"key":"by-hand"}}"#];
    ControlPlane::shared().kubectl_ok("alice", &edit);
    let drift = greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    assert_eq!(drift["detail"]["fields"][0]["path"], ".data.key", "{drift}");
    until("it is put back", || (live(&ns, "cm/one", ".data.key") == "2").then_some(()));
    let operations = live(&ns, "cm/one", ".metadata.managedFields[*].operation");
    assert!(!operations.contains("Apply"), "{operations}");
    let removed = greffier.repo.remove("web/c.yaml").write("web/d.yaml", &config_map("two", "1"));
    let third = removed.push("third");
    greffier.wait_synced(app, &third);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "", "what leaves Git goes");
}
