//! What tags of images stood for, on a real API server. Nodes are played: the test tells what a
//! kubelet would.

use serde_json::{Value, json};

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, deployment, until};
use crate::keep::{kept, live};

const IMAGE: &str = ".spec.template.spec.containers[0].image";

fn digest(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(64))
}

/// The pod that runs the image under this label and is not on its way out.
fn pod(ns: &str, app: &str, image: &str) -> String {
    until("the pod runs", || {
        let label = format!("app={app}");
        let args = ["get", "pods", "-n", ns, "-l", &label, "-o", "json"];
        let pods: Value =
            serde_json::from_str(&ControlPlane::shared().kubectl_ok("admin", &args)).unwrap();
        let runs = |pod: &&Value| {
            pod["spec"]["containers"][0]["image"] == image
                && pod["status"]["phase"] == "Running"
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let pod = pods["items"].as_array()?.iter().find(runs)?;
        Some(pod["metadata"]["name"].as_str()?.to_owned())
    })
}

/// The node says which image the container runs; returns the event that shows it.
fn pulled(greffier: &Greffier, ns: &str, pod: &str, id: &str) -> u64 {
    let status = json!({"status": {"containerStatuses": [{
        "name": "main", "image": "as the node likes", "imageID": id, "ready": true, "started": true,
        "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }]}})
    .to_string();
    let args =
        ["patch", "pod", pod, "-n", ns, "--subresource=status", "--type=merge", "-p", &status];
    ControlPlane::shared().kubectl_ok("admin", &args);
    let shown = greffier.wait("the image is seen", |event| {
        event["kind"] == "object.observed"
            && event["detail"]["key"]["namespace"] == ns
            && event["detail"]["key"]["name"] == pod
            && event["detail"]["images"][0]["id"] == id
    });
    shown["seq"].as_u64().unwrap()
}

/// Somebody else runs an image.
fn bare_pod(ns: &str, name: &str, image: &str) {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {ns}, labels: {{app: {name}}}}}\n\
         spec: {{containers: [{{name: main, image: {image}}}]}}\n"
    );
    ControlPlane::shared().apply("alice", &manifest);
}

/// What a command says, on both of its outputs.
fn said(greffier: &Greffier, code: i32, args: &[&str]) -> String {
    let (out, err) = greffier.cli_ends(code, args);
    out + &err
}

fn says_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
}

#[test]
fn a_moved_tag_is_told_and_a_pinned_rollback_runs_what_ran_then_until_it_is_released() {
    let (greffier, app, ns) = kept("pins", &[("web/d.yaml", &deployment("web", "shop:v1", 1))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let first = pod(&ns, "web", "shop:v1");
    let (a, b) = (digest('a'), digest('b'));
    // Another image under the same verdict is seen as well.
    pulled(&greffier, &ns, &first, &format!("docker.io/library/shop@{b}"));
    let then = pulled(&greffier, &ns, &first, &format!("docker.io/library/shop@{a}"));
    greffier.repo.write("web/d.yaml", &deployment("web", "shop:v2", 1));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    bare_pod(&ns, "other", "shop:v1");
    let other = pod(&ns, "other", "shop:v1");
    pulled(&greffier, &ns, &other, &format!("docker-pullable://shop@{b}"));

    let to = format!("#{then}");
    let plan = greffier.json(&["rollback", &app, "--to", &to, "--plan", "-o", "json"]);
    let image = &plan["images"][0];
    assert_eq!((&image["state"], &image["image"]), (&json!("moved"), &json!("shop:v1")), "{plan}");
    assert_eq!(image["was"][0]["digest"], a.as_str(), "{plan}");
    assert_eq!(image["was"][0]["pod"], format!("{ns}/{first}"), "{plan}");
    assert_eq!(image["latest"]["digest"], b.as_str(), "{plan}");
    let text = said(&greffier, 0, &["rollback", &app, "--to", &to, "--plan"]);
    says_all(&text, &["images by tag", "shop:v1: MOVED", "--pin-digests"]);
    let back = ["restore", "deploy/web", "-n", &ns, "--to", &to, "--plan"];
    says_all(&said(&greffier, 0, &back), &["shop:v1: MOVED"]);

    let pinned = format!("shop:v1@{a}");
    let args = ["rollback", &app, "--to", &to, "--pin-digests", "--yes"];
    says_all(&said(&greffier, 0, &args), &["pinned to sha256:aaaaaaaaaaaa"]);
    assert_eq!(live(&ns, "deploy/web", IMAGE), pinned);
    let begun = greffier.wait_kind("hold.app-begun", &app);
    says_all(begun["summary"].as_str().unwrap(), &["IMAGES PINNED: shop:v1@sha256:a"]);
    let again: Value = greffier.json(&[&args[..], &["-o", "json"]].concat());
    assert_eq!(again["already"], true, "{again}");

    // It is the hold's through a restart, an edit and a push, and everybody says so.
    greffier.kill().start();
    let edit =
        r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:1"}]"#;
    ControlPlane::shared()
        .kubectl_ok("alice", &["patch", "deploy/web", "-n", &ns, "--type=json", "-p", edit]);
    until("the edit is put back", || (live(&ns, "deploy/web", IMAGE) == pinned).then_some(()));
    greffier.repo.write("web/d.yaml", &deployment("web", "shop:v3", 1));
    let third = greffier.repo.push("third");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded" && event["detail"]["revision"]["commit"] == *third
    });
    says_all(&said(&greffier, 0, &["status"]), &["1 image by digest"]);
    let why = said(&greffier, 0, &["why", &app]);
    says_all(&why, &["1 image by digest, which Git names by tag"]);
    let notes = said(&greffier, 0, &["diff", &app]);
    says_all(&notes, &[&format!("{pinned}: hold #"), "and Git by its tag"]);
    let place = ".spec.template.spec.containers[name=main].image";
    let blame = greffier.json(&["blame", "deploy/web", "-n", &ns, "--field", place, "-o", "json"]);
    says_all(
        &blame.to_string(),
        &["not in Git: hold #", "names shop:v1 by what its pods ran as of"],
    );
    assert_eq!(live(&ns, "deploy/web", IMAGE), pinned);

    greffier.cli_ends(0, &["release", &app, "--yes"]);
    greffier.wait_synced(&app, &third);
    assert_eq!(live(&ns, "deploy/web", IMAGE), "shop:v3");
}

#[test]
fn what_cannot_be_pinned_is_refused_by_name_and_a_tag_alone_can_be_taken_back() {
    let files = [
        ("web/d.yaml", &*deployment("web", "shop:latest", 1)),
        ("web/e.yaml", &*deployment("dark", "dark:1", 0)),
    ];
    let (greffier, app, ns) = kept("unpinned", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let first = pod(&ns, "web", "shop:latest");
    let (a, b) = (digest('a'), digest('b'));
    let then = pulled(&greffier, &ns, &first, &format!("shop@{a}"));
    // Nothing changes in Git: the tag moves, and the pod is made anew.
    ControlPlane::shared().kubectl_ok("admin", &["delete", "pod", &first, "-n", &ns, "--now"]);
    let next = until("another pod", || {
        let next = pod(&ns, "web", "shop:latest");
        (next != first).then_some(next)
    });
    pulled(&greffier, &ns, &next, &format!("shop@{b}"));

    let to = format!("#{then}");
    let refused = said(&greffier, 6, &["rollback", &app, "--to", &to, "--yes"]);
    says_all(&refused, &["nothing is to be held", "--pin-digests brings back what ran then"]);
    let pin = ["rollback", &app, "--to", &to, "--pin-digests"];
    for more in ["--plan", "--yes"] {
        let refused = said(&greffier, 6, &[&pin[..], &[more]].concat());
        let dark = format!("{app}: Deployment.apps/{ns}/dark main: dark:1: no pod of it");
        says_all(&refused, &["not every image can be named", &dark, "--partial"]);
        let causes = || refused.lines().filter(|line| line.starts_with("caused by:"));
        assert!(causes().count() > 0, "{refused}");
        assert!(!causes().any(|line| line.contains("shop:latest")), "{refused}");
    }
    let held = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(0), "{held}");

    for tree in [None, Some("--tree")] {
        let more = tree.into_iter().chain(["--partial", "--yes"]).collect::<Vec<_>>();
        greffier.cli_ends(0, &[&pin[..], &more].concat());
        assert_eq!(live(&ns, "deploy/web", IMAGE), format!("shop:latest@{a}"), "{tree:?}");
        assert_eq!(live(&ns, "deploy/dark", IMAGE), "dark:1");
        let release = ["release", &*app, "--yes"].into_iter().chain(tree).collect::<Vec<_>>();
        greffier.cli_ends(0, &release);
        until("Git is followed", || {
            (live(&ns, "deploy/web", IMAGE) == "shop:latest").then_some(())
        });
    }
}
