//! What the API server refuses, on the real API server: tried again as the application says, told
//! once, and no obstacle to its siblings.

use crate::daemon::{Greffier, application, config_map, until};
use crate::keep::{live, namespace};

const POLICY: &str = r#"{"automated": {"prune": true, "selfHeal": true},
    "syncOptions": ["CreateNamespace=true"],
    "retry": {"limit": 2, "backoff": {"duration": "1s", "factor": 1}}}"#;

#[test]
fn a_refused_object_is_tried_as_often_as_it_says_and_told_once() {
    let (app, ns) = ("retry-web".to_owned(), namespace("retry"));
    let greffier = Greffier::new();
    let service = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\nspec: {spec}\n")
    };
    greffier.repo.write("web/good.yaml", &config_map("good", "1"));
    greffier.repo.write("web/bad.yaml", &service("{ports: [{port: 0}]}"));
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, POLICY);
    let greffier = greffier.root(&root);
    greffier.start();
    let ended = greffier.wait("the end of the sync", |event| {
        event["kind"] == "sync.finished" && event["detail"]["app"] == app.as_str()
    });
    assert_eq!(ended["detail"]["succeeded"], false, "{ended}");
    assert_eq!(live(&ns, "cm/good", ".data.key"), "1", "its sibling is applied");
    let told = until("it is given up", || {
        let (told, _) = greffier.cli_ends(0, &["why", &app]);
        told.contains("failed 3 times").then_some(told)
    });
    assert!(told.contains("spec.ports"), "{told}");
    let lines = |all: &[&str]| {
        let args = [&["log", app.as_str(), "-n", "1000", "-o", "json"], all].concat();
        let events = greffier.json(&args);
        let events = events["items"].as_array().or(events.as_array()).unwrap().clone();
        events.iter().filter(|e| e["summary"].as_str().unwrap().contains("REFUSED")).count()
    };
    assert_eq!((lines(&["--all"]), lines(&[])), (3, 1));
    greffier.repo.write("web/bad.yaml", &service("{ports: [{port: 80}]}"));
    let commit = greffier.repo.push("a port");
    greffier.wait_synced(&app, &commit);
}
