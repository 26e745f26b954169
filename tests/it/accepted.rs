//! What a person agrees to who accepts a cluster: Git's side of it, too.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, until};

const NS: &str = "agreed";

fn values(plane: &ControlPlane) -> String {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.data.key} {end}";
    plane.kubectl_ok("admin", &["get", "cm", "-n", NS, "-l", "own=yes", "-o", path])
}

fn map(name: &str, value: &str) -> String {
    config_map(name, value).replace("metadata:\n", "metadata:\n  labels: {own: \"yes\"}\n")
}

/// What would follow, once the cluster was seen whole.
fn shown(greffier: &Greffier) -> Value {
    until("the cluster is seen whole", || {
        let output = greffier.cli(&["cluster", "accept", "--plan", "-o", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    })
}

/// Accepts what was shown, as a person does who was asked; the status, and the answer.
fn accept(greffier: &Greffier, shown: &Value) -> (String, String) {
    let cluster = &shown["cluster"];
    let body =
        json!({"uid": cluster["uid"], "doubt": cluster["doubt"]["seq"], "hash": shown["hash"]});
    let body = body.to_string();
    let mut stream = UnixStream::connect(greffier.path("greffier.sock")).unwrap();
    let head = "POST /api/v1/cluster/accept HTTP/1.1\r\nhost: greffier\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().to_owned(), answer)
}

/// Goal: an application that Git drops after a person was shown what would follow goes with nobody's
/// word but that of a person who was shown it. Method: a control plane is restored from a backup.
#[test]
fn what_git_drops_while_the_acceptance_is_asked_about_is_not_agreed_to() {
    let plane = ControlPlane::start_with(Options { kwok: false, ..Options::default() });
    let greffier = Greffier::on(&plane);
    for name in ["web", "oth"] {
        let app = application(name, &greffier.repo.url(), name, NS, KEPT);
        let finalizer =
            "  finalizers: [resources-finalizer.argocd.argoproj.io]\n  namespace: argocd\n";
        let app = app.replacen("  namespace: argocd\n", finalizer, 1);
        greffier.repo.write(&format!("root/{name}.yaml"), &app);
        greffier.repo.write(&format!("{name}/1.yaml"), &map(name, "1"));
    }
    let commit = greffier.repo.push("first");
    let root = application("estate", &greffier.repo.url(), "root", NS, KEPT);
    let greffier = greffier.root(&root);
    greffier.start().wait_synced("web", &commit);
    greffier.wait_synced("oth", &commit);
    plane.save();
    let commit = greffier.repo.write("web/1.yaml", &map("web", "2")).push("second");
    greffier.wait_synced("web", &commit);
    let before = greffier.seq();
    plane.restore();
    let doubt = greffier.wait_after(before, "the doubt", |e| e["kind"] == "cluster.reverted");
    let first = shown(&greffier);
    assert!(first["gone"].is_null(), "{first}");

    greffier.repo.remove("root/oth.yaml");
    greffier.repo.push("third");
    greffier.wait_after(doubt["seq"].as_u64().unwrap(), "the render of the root", |event| {
        event["kind"] == "render.succeeded" && event["detail"]["app"] == "estate"
    });
    let (status, answer) = accept(&greffier, &first);
    assert_eq!(status, "409", "{answer}");
    assert!(answer.contains("plan_lapsed"), "{answer}");
    assert_eq!(values(&plane), "oth=1 web=1 ");

    let second = until("everything is rendered", || {
        let now = shown(&greffier);
        let known = now["apps"].as_array().unwrap().iter().all(|app| app["not_known"].is_null());
        known.then_some(now)
    });
    let deletes = &second["gone"][0]["deletes"];
    assert_eq!(second["gone"][0]["app"], "oth", "{second}");
    assert!(deletes.as_array().unwrap().contains(&format!("ConfigMap/{NS}/oth").into()));
    let (text, _) = greffier.cli_ends(0, &["cluster", "accept", "--plan"]);
    let line = format!("ConfigMap/{NS}/oth");
    assert!(text.lines().any(|l| l.starts_with("remove ") && l.contains(&line)), "{text}");
    assert!(text.contains("REMOVED") && text.contains("GOES with what Git dropped: oth"), "{text}");
    assert!(!text.contains("nothing is removed"), "{text}");
    let (status, answer) = accept(&greffier, &second);
    assert_eq!(status, "200", "{answer}");
    until("what was agreed to is done", || (values(&plane) == "web=2 ").then_some(()));
}
