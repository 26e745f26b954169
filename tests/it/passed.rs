//! What people protect of objects that pass from one application to another, on a real API server.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};
use crate::renamed::app;

/// Somebody writes `value` into a ConfigMap.
fn edits(ns: &str, name: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
    let args = ["patch", &format!("cm/{name}"), "-n", ns, "--type=merge", "-p", &patch];
    ControlPlane::shared().kubectl_ok("alice", &args);
}

fn becomes(ns: &str, name: &str, value: &str) {
    let object = format!("cm/{name}");
    until(&format!("{name} is {value:?}"), || {
        (live(ns, &object, ".data.key") == value).then_some(())
    });
}

/// Waits until an object of the application waits, and says so with `text`.
fn waits(greffier: &Greffier, app: &str, text: &str) {
    greffier.while_busy(text, || {
        let why = greffier.json(&["why", app, "-o", "json"]);
        let mut objects = why["objects"].as_array().expect("a list").iter();
        let said = |object: &Value| object["why"].as_str().is_some_and(|why| why.contains(text));
        objects.any(said).then_some(())
    });
}

/// The drift of an object.
fn drift(greffier: &Greffier, object: &str) -> u64 {
    let event = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["key"]["name"] == object
    });
    event["seq"].as_u64().unwrap()
}

/// The writes since `after`: application, object, and the holds that they were decided with.
fn writes(greffier: &Greffier, after: u64) -> Vec<(String, String, Vec<u64>)> {
    let args = ["log", "--all", "-n", "100000", "--kind", "apply.intent", "-o", "jsonl"];
    let (rows, _) = greffier.cli_ends(0, &args);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = rows.filter(|row| row["seq"].as_u64() > Some(after));
    let of = |row: Value| {
        let app = row["detail"]["app"].as_str().unwrap().to_owned();
        let all = row["detail"]["writes"].as_array().unwrap().clone();
        all.into_iter().map(move |write| {
            let holds =
                write["holds"].as_array().unwrap().iter().map(|hold| hold.as_u64().unwrap());
            (app.clone(), write["key"]["name"].as_str().unwrap().to_owned(), holds.collect())
        })
    };
    rows.flat_map(of).collect()
}

/// The holds in force, as `status` lists them: application, object and number.
fn held(greffier: &Greffier) -> Vec<(String, String, u64)> {
    let status = greffier.json(&["status", "-o", "json"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let holds = status["holds"].as_array().unwrap().iter();
    holds.map(|h| (text(&h["app"]), text(&h["object"]), h["seq"].as_u64().unwrap())).collect()
}

/// Goal: what people hold of objects (fields, an absence, a whole object) goes on when their
/// application is renamed: nothing is written over it, it is told of as ever, and it ends by their
/// word, under the new name.
#[test]
fn a_rename_goes_on_with_what_people_hold_until_they_release_it() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("passed"), format!("passed-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    let (root, old, new) = (named("root"), named("old"), named("new"));
    for name in ["field", "whole", "away"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "one"));
    }
    greffier.repo.write("root/web.yaml", &app(&greffier, (&old, "main"), &ns));
    let first = greffier.repo.push("one");
    let manifest = application(&root, &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start().wait_synced(&old, &first);
    let then = format!("#{}", greffier.seq());
    greffier.repo.write("web/whole.yaml", &config_map("whole", "two"));
    let second = greffier.repo.push("two");
    greffier.wait_synced(&old, &second);

    edits(&ns, "field", "hand");
    let edited = drift(&greffier, "field").to_string();
    greffier.cli_ends(0, &["keep", &edited, "--reason", "incident"]);
    becomes(&ns, "field", "hand");
    let whole = format!("ConfigMap/{ns}/whole");
    greffier.cli_ends(0, &["restore", &whole, "--to", &then, "--yes"]);
    becomes(&ns, "whole", "one");
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/away", "-n", &ns]);
    greffier.cli_ends(0, &["keep", &drift(&greffier, "away").to_string()]);
    becomes(&ns, "away", "");
    let before = greffier.seq();
    let holds = held(&greffier);
    assert_eq!(holds.iter().filter(|(app, ..)| *app == old).count(), 3, "{holds:?}");

    // Git says something else of each as well.
    for name in ["field", "whole", "away"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "three"));
    }
    greffier.repo.write("root/web.yaml", &app(&greffier, (&new, "main"), &ns));
    let third = greffier.repo.push("another name");
    greffier.wait_kind("app.removed", &old);
    greffier.wait_synced(&new, &third);
    greffier.while_busy("the former application is gone", || {
        let apps = greffier.json(&["get", "apps", "-o", "json"]).to_string();
        (!apps.contains(&*old)).then_some(())
    });
    let values = ["field", "whole", "away"].map(|n| live(&ns, &format!("cm/{n}"), ".data.key"));
    assert_eq!(values, ["hand", "one", ""]);
    let passed: Vec<_> =
        holds.into_iter().map(|(_, object, seq)| (new.clone(), object, seq)).collect();
    assert_eq!(held(&greffier), passed, "with the same numbers, under the new name");
    let over = writes(&greffier, before);
    let without = |(_, object, holds): &&(String, String, Vec<u64>)| {
        object == "away" || (["field", "whole"].contains(&&**object) && holds.len() != 1)
    };
    assert_eq!(over.iter().find(without), None);
    let (why, _) = greffier.cli_ends(0, &["why", &whole]);
    assert!(why.contains("KEPT by hold"), "{why}");

    greffier.cli_ends(0, &["release", &format!("ConfigMap/{ns}/field"), "--yes"]);
    becomes(&ns, "field", "three");
    let (.., hold) = passed.iter().find(|(_, object, _)| *object == whole).unwrap();
    greffier.cli_ends(0, &["undo", &format!("#{hold}"), "--yes"]);
    becomes(&ns, "whole", "three");
    greffier.cli_ends(0, &["release", &new, "--yes"]);
    becomes(&ns, "away", "three");
    assert_eq!(held(&greffier), []);
}

/// Goal: the hold of what leaves Git for good ends, and that is told.
#[test]
fn the_hold_of_what_leaves_git_for_good_ends_with_a_word() {
    let files = [
        ("web/field.yaml", &*config_map("field", "one")),
        ("web/own.yaml", &config_map("own", "one")),
    ];
    let (greffier, app, ns) = kept("passgone", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    edits(&ns, "field", "hand");
    greffier.cli_ends(0, &["keep", &drift(&greffier, "field").to_string()]);
    becomes(&ns, "field", "hand");
    greffier.repo.remove("web/field.yaml");
    greffier.repo.push("without it");
    let ended = greffier.wait("the end", |event| event["kind"] == "hold.ended");
    let told = ended["summary"].as_str().unwrap();
    assert!(told.contains("no application has it in Git any more"), "{ended}");
    becomes(&ns, "field", "");
    assert_eq!(held(&greffier), []);
}

/// Goal: a pause protects what its application has from every other, however Git moves it, until it
/// is resumed.
#[test]
fn what_a_paused_application_has_waits_whoever_has_it_in_git() {
    let greffier = Greffier::new();
    let (ns, prefix) = (namespace("passpaused"), format!("passpaused-{}", std::process::id()));
    let named = |name: &str| format!("{prefix}-{name}");
    let (root, old, new, other) = (named("root"), named("old"), named("new"), named("other"));
    greffier.repo.write("root/web.yaml", &app(&greffier, (&old, "main"), &ns));
    let beside = application(&other, &greffier.repo.url(), "beside", &ns, KEPT);
    greffier.repo.write("root/beside.yaml", &beside);
    greffier.repo.write("beside/own.yaml", &config_map("own", "one"));
    for name in ["moves", "stays"] {
        greffier.repo.write(&format!("web/{name}.yaml"), &config_map(name, "one"));
    }
    let first = greffier.repo.push("one");
    let manifest = application(&root, &greffier.repo.url(), "root", &ns, KEPT);
    let greffier = greffier.root(&manifest);
    greffier.start().wait_synced(&old, &first);
    greffier.wait_synced(&other, &first);
    greffier.cli_ends(0, &["pause", &old, "--reason", "incident"]);
    edits(&ns, "moves", "hand");
    edits(&ns, "stays", "hand");
    let before = greffier.seq();

    greffier.repo.git(&["mv", "web/moves.yaml", "beside/moves.yaml"]);
    greffier.repo.push("moved");
    let paused = format!("waits: application {old}, which has it, is paused");
    waits(&greffier, &other, &paused);
    greffier.repo.write("root/web.yaml", &app(&greffier, (&new, "main"), &ns));
    greffier.repo.write("web/stays.yaml", &config_map("stays", "two"));
    let last = greffier.repo.push("renamed");
    waits(&greffier, &root, "waits until it is resumed: it is paused");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["app"] == *new
            && event["detail"]["revision"]["commit"] == *last
    });
    waits(&greffier, &new, &format!("application {old} has it too"));
    let values = ["moves", "stays"].map(|name| live(&ns, &format!("cm/{name}"), ".data.key"));
    assert_eq!(values, ["hand", "hand"]);
    assert_eq!(writes(&greffier, before), []);

    greffier.cli_ends(0, &["resume", &old]);
    becomes(&ns, "moves", "one");
    becomes(&ns, "stays", "two");
    greffier.wait_synced(&new, &last);
    greffier.while_busy("the former application is gone", || {
        let apps = greffier.json(&["get", "apps", "-o", "json"]).to_string();
        (!apps.contains(&*old)).then_some(())
    });
}
