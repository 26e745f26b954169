//! One object back as it was, and one event undone, on a real API server.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, kept_with, live, namespace};

fn observed<'a>(ns: &'a str, name: &'a str, version: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| {
        let detail = &event["detail"];
        event["kind"] == "object.observed"
            && detail["key"]["namespace"] == ns
            && detail["key"]["name"] == name
            && (version.is_empty() || detail["resource_version"] == version)
    }
}

/// Somebody writes to an object; returns the event that shows it.
fn edits(greffier: &Greffier, ns: &str, name: &str, data: &str) -> u64 {
    let object = format!("cm/{name}");
    let patch = format!(r#"{{"data":{data}}}"#);
    let args = ["patch", &object, "-n", ns, "--type=merge", "-p", &patch];
    ControlPlane::shared().kubectl_ok("alice", &args);
    let version = live(ns, &object, ".metadata.resourceVersion");
    let shown = greffier.wait("the edit", observed(ns, name, &version));
    shown["seq"].as_u64().unwrap()
}

fn seq_of(printed: &str) -> u64 {
    let digits: String = printed
        .split("event #")
        .nth(1)
        .unwrap_or_else(|| panic!("no event: {printed}"))
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// `web` whose second commit changed `a` and dropped `b`; with the event before it.
fn moved_on(name: &str) -> (Greffier, String, String, u64) {
    let files =
        [("web/a.yaml", &*config_map("a", "one")), ("web/b.yaml", &*config_map("b", "one"))];
    let (greffier, app, ns) = kept(name, &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let then = greffier.seq();
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    greffier.repo.remove("web/b.yaml");
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    until("b is pruned", || live(&ns, "cm/b", ".data.key").is_empty().then_some(()));
    (greffier, app, ns, then)
}

#[test]
fn what_was_pruned_comes_back_and_stays_through_pushes_and_restarts_until_it_is_released() {
    let (greffier, app, ns, then) = moved_on("undelete");
    let (to, object) = (format!("#{then}"), format!("ConfigMap/{ns}/b"));
    let plan = greffier.json(&["restore", &object, "--to", &to, "--plan", "-o", "json"]);
    assert_eq!(plan["counts"], serde_json::json!({"create": 1}), "{plan}");
    assert_eq!((&plan["how"], &plan["app"]), (&"held".into(), &app.as_str().into()));
    let (_, asked) = greffier.cli_ends(6, &["restore", &object, "--to", &to]);
    assert!(asked.contains("nobody is there to be asked") && asked.contains("Git does not have"));
    assert_eq!(live(&ns, "cm/b", ".data.key"), "");

    let args = ["restore", &object, "--to", &to, "--yes", "--reason", "pruned by mistake"];
    let (done, said) = greffier.cli_ends(0, &args);
    let hold = seq_of(&done);
    assert!(said.contains(&format!("greffier undo '#{hold}'")), "{said}");
    assert_eq!(live(&ns, "cm/b", ".data.key"), "one", "it is there when the command ends");
    let began = greffier.wait_kind("hold.begun", &app);
    assert!(began["summary"].as_str().unwrap().contains("RESTORED"), "{began}");
    // Deleted by hand it is put back, as everything that is wanted.
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/b", "-n", &ns]);
    until("b is healed", || (live(&ns, "cm/b", ".data.key") == "one").then_some(()));
    greffier.kill().start();
    greffier.repo.write("web/a.yaml", &config_map("a", "three"));
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);
    assert_eq!(live(&ns, "cm/b", ".data.key"), "one");
    // Loud everywhere.
    for verb in [vec!["status"], vec!["tree", &app], vec!["why", &app]] {
        let (said, _) = greffier.cli_ends(0, &verb);
        assert!(said.contains(&format!("#{then}")), "{verb:?}: {said}");
    }
    let apps = greffier.json(&["get", "apps", "-o", "json"]);
    assert_eq!(apps[0]["sync"], "OutOfSync", "{apps}");
    let plan = greffier.json(&["release", &object, "--plan", "-o", "json"]);
    assert_eq!(plan["counts"], serde_json::json!({"prune": 1}), "{plan}");
    greffier.cli_ends(0, &["release", &object, "--yes"]);
    until("b is pruned", || live(&ns, "cm/b", ".data.key").is_empty().then_some(()));
}

#[test]
fn a_field_goes_back_and_the_rest_follows_git_and_a_hold_of_all_ends_when_git_says_the_same() {
    let (greffier, app, ns, then) = moved_on("restorefield");
    let (to, object) = (format!("#{then}"), format!("ConfigMap/{ns}/a"));
    let args = ["restore", &object, "--to", &to, "--field", ".data.key", "--yes"];
    let (done, _) = greffier.cli_ends(0, &args);
    until("the field is as it was", || (live(&ns, "cm/a", ".data.key") == "one").then_some(()));
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: \"two\"\n  other: \"new\"\n";
    greffier.repo.write("web/a.yaml", other);
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);
    until("the rest follows Git", || (live(&ns, "cm/a", ".data.other") == "new").then_some(()));
    assert_eq!(live(&ns, "cm/a", ".data.key"), "one");
    for (field, code, what) in [
        (".data.none", 2, "no field"),
        (".data.key", 6, "hold"),
        (".metadata.name", 6, "is as it was"),
    ] {
        let args = ["restore", &object, "--to", &to, "--field", field, "--yes"];
        let output = greffier.cli(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let already = String::from_utf8_lossy(&output.stdout).contains("already so");
        let refused = output.status.code() == Some(code) && said.contains(what);
        assert!(refused || (already && field == ".data.key"), "{field}: {output:?}");
    }
    greffier.cli_ends(0, &["undo", &format!("#{}", seq_of(&done)), "--yes"]);
    until("Git is followed", || (live(&ns, "cm/a", ".data.key") == "two").then_some(()));

    // All of it, and Git says the same at last.
    greffier.cli_ends(0, &["restore", &object, "--to", &to, "--yes"]);
    until("all is as it was", || {
        let now = (live(&ns, "cm/a", ".data.key"), live(&ns, "cm/a", ".data.other"));
        (now == ("one".to_owned(), String::new())).then_some(())
    });
    let before = greffier.seq();
    greffier.repo.write("web/a.yaml", &config_map("a", "one"));
    greffier.repo.push("as it was");
    let ended = greffier.wait_after(before, "the end", |event| event["kind"] == "hold.ended");
    assert_eq!(ended["detail"]["end"], "SameAsGit", "{ended}");
}

#[test]
fn a_sync_is_undone_unless_something_came_since_and_that_is_named() {
    let data = |k: &str, l: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: {k:?}\n  l: {l:?}\n"
        )
    };
    let (greffier, app, ns) = kept("undosync", &[("web/a.yaml", &data("1", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.write("web/a.yaml", &data("2", "2"));
    greffier.repo.write("web/c.yaml", &config_map("c", "new"));
    let second = greffier.repo.push("second");
    let synced = greffier.wait_synced(&app, &second);
    let sync = format!("#{}", synced["seq"].as_u64().unwrap());
    greffier.repo.write("web/a.yaml", &data("2", "3"));
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);

    let (_, refused) = greffier.cli_ends(6, &["undo", &sync, "--yes"]);
    for part in [".data.l", "\"3\"", "\"2\"", &third[..7], "Ada", "--partial"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let why: Vec<&str> = refused.lines().filter(|line| line.starts_with("caused by")).collect();
    assert!(!why.is_empty(), "{refused}");
    assert!(!why.iter().any(|why| why.contains(".data.k ")), "that one is no conflict: {why:?}");
    assert_eq!(live(&ns, "cm/a", ".data.k"), "2", "nothing was written");
    let held = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(0), "{held}");

    let (done, _) = greffier.cli_ends(0, &["undo", &sync, "--yes", "--partial"]);
    until("what can be is undone", || {
        let now = ["k", "l"].map(|key| live(&ns, "cm/a", &format!(".data.{key}")));
        let gone = live(&ns, "cm/c", ".metadata.name").is_empty();
        (now == ["1", "3"] && gone).then_some(())
    });
    // The undo is undone.
    let undo = format!("#{}", seq_of(&done));
    greffier.cli_ends(0, &["undo", &undo, "--yes"]);
    until("it is done again", || {
        let back = live(&ns, "cm/a", ".data.k") == "2" && live(&ns, "cm/c", ".data.key") == "new";
        back.then_some(())
    });
    let (_, over) = greffier.cli_ends(6, &["undo", &undo, "--yes"]);
    assert!(over.contains("over already"), "{over}");
    // A commit's effect is the same; and what has no inverse says so.
    let commit = greffier.wait("the commit", |event| {
        event["kind"] == "git.commit" && event["detail"]["commit"] == *third
    });
    let commit = format!("#{}", commit["seq"].as_u64().unwrap());
    greffier.cli_ends(0, &["undo", &commit, "--yes"]);
    until("the commit is undone", || (live(&ns, "cm/a", ".data.l") == "2").then_some(()));
    let (_, refused) = greffier.cli_ends(6, &["undo", "#1", "--yes"]);
    assert!(refused.contains("changed nothing by itself"), "{refused}");
    let (_, refused) = greffier.cli_ends(2, &["undo", "#999999", "--yes"]);
    assert!(refused.contains("there is no event"), "{refused}");
}

#[test]
fn an_edit_of_what_no_application_has_goes_back_and_what_was_deleted_comes_back() {
    let (greffier, app, ns) = kept("undoedit", &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    let literal = "--from-literal=k=1";
    cluster.kubectl_ok("alice", &["create", "configmap", "other", "-n", &ns, literal]);
    greffier.wait("it is seen", observed(&ns, "other", ""));
    let edit = edits(&greffier, &ns, "other", r#"{"k":"2","added":"x"}"#);
    let event = format!("#{edit}");
    let plan = greffier.json(&["undo", &event, "--plan", "-o", "json"]);
    assert_eq!((&plan["how"], plan["fields"].as_array().unwrap().len()), (&"written".into(), 2));
    assert_eq!(live(&ns, "cm/other", ".data.k"), "2", "nothing is done");
    let (done, said) = greffier.cli_ends(0, &["undo", &event, "--yes"]);
    assert!(done.contains("is restored"), "{done}");
    let undo = seq_of(&done);
    assert!(said.contains(&format!("greffier undo '#{undo}'")), "{said}");
    let data = || ["k", "added"].map(|key| live(&ns, "cm/other", &format!(".data.{key}")));
    assert_eq!(data(), ["1", ""], "what was added is gone");
    let version = live(&ns, "cm/other", ".metadata.resourceVersion");
    greffier.wait("it is seen", observed(&ns, "other", &version));
    greffier.cli_ends(0, &["undo", &format!("#{undo}"), "--yes"]);
    assert_eq!(data(), ["2", "x"], "the undo is undone");

    // A later edit of one of the fields is not written over.
    edits(&greffier, &ns, "other", r#"{"k":"3"}"#);
    let (_, refused) = greffier.cli_ends(6, &["undo", &event, "--yes"]);
    assert!(refused.contains(".data.k") && refused.contains("\"3\""), "{refused}");
    assert_eq!(data(), ["3", "x"]);

    // Deleted by anyone, it comes back, without what the cluster assigns.
    let uid = live(&ns, "cm/other", ".metadata.uid");
    let then = format!("#{}", greffier.seq());
    cluster.kubectl_ok("alice", &["delete", "cm/other", "-n", &ns]);
    let gone = greffier.wait("it is gone", |event| {
        event["kind"] == "object.gone" && event["detail"]["uid"] == uid.as_str()
    });
    let gone = format!("#{}", gone["seq"].as_u64().unwrap());
    greffier.cli_ends(0, &["undo", &gone, "--yes"]);
    assert_eq!(data(), ["3", "x"]);
    assert_ne!(live(&ns, "cm/other", ".metadata.uid"), uid);
    let ended = greffier.wait("the end", |event| {
        event["kind"] == "restore.ended" && event["summary"].as_str().unwrap().contains("restored")
    });
    assert!(ended["causes"].as_array().is_some_and(|causes| !causes.is_empty()), "{ended}");
    let (_, same) =
        greffier.cli_ends(6, &["restore", "cm/other", "-n", &ns, "--to", &then, "--yes"]);
    assert!(same.contains("is as it was"), "{same}");
}

#[test]
fn a_deletion_that_was_healed_is_over_and_what_git_said_since_is_in_the_way() {
    let files =
        [("web/a.yaml", &*config_map("a", "one")), ("web/b.yaml", &*config_map("b", "one"))];
    let (greffier, app, ns) = kept("undogone", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let uid = live(&ns, "cm/a", ".metadata.uid");
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/a", "-n", &ns]);
    let gone = greffier.wait("it is gone", |event| {
        event["kind"] == "object.gone" && event["detail"]["uid"] == uid.as_str()
    });
    let gone = format!("#{}", gone["seq"].as_u64().unwrap());
    until("a is healed", || (live(&ns, "cm/a", ".data.key") == "one").then_some(()));
    until("it is over", || {
        let output = greffier.cli(&["undo", &gone, "--plan"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code() == Some(6) && said.contains("over already")).then_some(())
    });
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    let (plan, _) = greffier.cli_ends(6, &["undo", &gone, "--plan"]);
    assert!(plan.contains("CONFLICTS") && plan.contains(&second[..7]), "{plan}");
    for flag in [None, Some("--partial")] {
        let args: Vec<&str> = ["undo", &gone, "--yes"].into_iter().chain(flag).collect();
        let (_, refused) = greffier.cli_ends(6, &args);
        assert!(refused.contains(&second[..7]), "{refused}");
    }
    assert_eq!(live(&ns, "cm/a", ".data.key"), "two", "no later commit is written over");
    greffier.repo.remove("web/a.yaml");
    let third = greffier.repo.push("third");
    greffier.wait_synced(&app, &third);
    let (_, refused) = greffier.cli_ends(6, &["undo", &gone, "--yes"]);
    assert!(refused.contains("has dropped it") && refused.contains(&third[..7]), "{refused}");

    // The commit dropped it, and another brings it in again: neither is undone any more.
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let fourth = greffier.repo.push("fourth");
    greffier.wait_synced(&app, &fourth);
    greffier.repo.remove("web/a.yaml");
    let fifth = greffier.repo.push("fifth");
    greffier.wait_synced(&app, &fifth);
    let commit = |id: &str| {
        let found = greffier.wait("the commit", |event| {
            event["kind"] == "git.commit" && event["detail"]["commit"] == *id
        });
        format!("#{}", found["seq"].as_u64().unwrap())
    };
    let (plan, _) = greffier.cli_ends(6, &["undo", &commit(&third), "--partial", "--plan"]);
    assert!(plan.contains("has dropped it") && plan.contains(&fifth[..7]), "{plan}");
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let sixth = greffier.repo.push("sixth");
    greffier.wait_synced(&app, &sixth);
    let (plan, _) = greffier.cli_ends(6, &["undo", &commit(&fourth), "--partial", "--plan"]);
    assert!(plan.contains("brought it in again") && plan.contains(&sixth[..7]), "{plan}");
}

/// Goal: a change by hand that greffier healed as far as Git says it is undone as far as it stands,
/// and what was put back is told. The undo is undone in turn, and a pause forbids both.
#[test]
fn what_git_says_nothing_of_is_undone_after_the_rest_was_healed() {
    let (greffier, app, ns) = kept("undopart", &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let patch = r#"{"data":{"key":"hand","added":"x"}}"#;
    let patch = ["patch", "cm/a", "-n", &ns, "--type=merge", "-p", patch];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    let drift = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["kind"] == "Drift"
    });
    let drift = format!("#{}", drift["seq"].as_u64().unwrap());
    let data = || ["key", "added"].map(|key| live(&ns, "cm/a", &format!(".data.{key}")));
    until("Git's field is healed", || (data() == ["one", "x"]).then_some(()));
    let plan = until("that is known", || {
        let output = greffier.cli(&["undo", &drift, "--plan", "-o", "json"]);
        let plan = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        (plan["how"] == "beside").then_some(plan)
    });
    let texts = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let only = |name: &str, what: &str| {
        let told = texts(name);
        told.len() == 1 && told[0].as_str().unwrap().contains(what)
    };
    assert!(only("fields", ".data.added") && only("notes", ".data.key: it was put back"), "{plan}");
    greffier.cli_ends(0, &["pause", &app]);
    let (_, refused) = greffier.cli_ends(6, &["undo", &drift, "--yes"]);
    assert!(refused.contains("is paused"), "{refused}");
    greffier.cli_ends(0, &["resume", &app]);
    let (done, said) = greffier.cli_ends(0, &["undo", &drift, "--yes"]);
    assert!(said.contains("Git says nothing of it"), "{said}");
    assert_eq!(data(), ["one", ""]);
    let version = live(&ns, "cm/a", ".metadata.resourceVersion");
    greffier.wait("it is seen", observed(&ns, "a", &version));
    let (_, over) = greffier.cli_ends(6, &["undo", &drift, "--yes"]);
    assert!(over.contains("over already"), "{over}");

    greffier.cli_ends(0, &["undo", &format!("#{}", seq_of(&done)), "--yes"]);
    assert_eq!(data(), ["one", "x"], "the undo is undone");
}

/// The segment files and the configuration: no value of a Secret is in any of them, nor in what
/// was printed.
fn nowhere(dir: &Path, value: &str) {
    let mut dirs = vec![dir.join("data"), dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.starts_with("infra") {
                dirs.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                let found = bytes.windows(value.len()).any(|part| part == value.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[test]
fn a_secret_comes_back_from_its_sealed_manifest_and_never_from_what_was_seen() {
    let value = "canary-undo-hunter2";
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {value}\n"
        )
    };
    let files = [("web/a.yaml", &*config_map("a", "one")), ("web/s.yaml", &*secret(value))];
    let (greffier, app, ns) = kept("undosecret", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    let to = format!("#{}", greffier.seq());
    greffier.repo.write("web/s.yaml", &secret("other"));
    let second = greffier.repo.push("another");
    greffier.wait_synced(&app, &second);
    let object = format!("Secret/{ns}/s");
    let before = live(&ns, "secret/s", ".data.password");
    let (plan, said) = greffier.cli_ends(0, &["restore", &object, "--to", &to, "--plan"]);
    assert!(!format!("{plan}{said}").contains(value), "{plan}{said}");
    let (_, refused) = greffier.cli_ends(6, &["restore", &object, "--to", &to, "--live", "--yes"]);
    assert!(refused.contains("recorded nowhere"), "{refused}");
    let (out, err) = greffier.cli_ends(0, &["restore", &object, "--to", &to, "--yes"]);
    assert!(!format!("{out}{err}").contains(value));
    until("it is as it was", || (live(&ns, "secret/s", ".data.password") != before).then_some(()));
    // Nobody's Secret was only seen.
    let cluster = ControlPlane::shared();
    let literal = format!("--from-literal=password={value}");
    cluster.kubectl_ok("alice", &["create", "secret", "generic", "mine", "-n", &ns, &literal]);
    greffier.wait("it is seen", observed(&ns, "mine", ""));
    let then = format!("#{}", greffier.seq());
    cluster.kubectl_ok("alice", &["delete", "secret/mine", "-n", &ns]);
    let gone = greffier.wait("it is gone", |event| {
        event["kind"] == "object.gone" && event["detail"]["key"]["name"] == "mine"
    });
    let mine = format!("Secret/{ns}/mine");
    let (_, refused) = greffier.cli_ends(6, &["restore", &mine, "--to", &then, "--yes"]);
    assert!(refused.contains("recorded nowhere"), "{refused}");
    let gone = format!("#{}", gone["seq"].as_u64().unwrap());
    let (_, refused) = greffier.cli_ends(6, &["undo", &gone, "--yes"]);
    assert!(refused.contains("recorded nowhere"), "{refused}");
    greffier.stop();
    nowhere(greffier.dir.path(), value);
}

#[test]
fn decisions_are_undone_and_what_is_refused_says_exactly_why() {
    let policy = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) =
        kept_with("undomanual", policy, &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_kind("render.succeeded", &app);
    greffier.cli_ends(0, &["sync", &app]);
    let (done, _) = greffier.cli_ends(0, &["pause", &app, "--reason", "incident"]);
    let pause = format!("#{}", seq_of(&done));
    let (done, _) = greffier.cli_ends(0, &["undo", &pause, "--yes"]);
    let resumed = format!("#{}", seq_of(&done));
    let (_, over) = greffier.cli_ends(6, &["undo", &pause, "--yes"]);
    assert!(over.contains("the pause") && over.contains("over already"), "{over}");
    greffier.cli_ends(0, &["undo", &resumed, "--yes"]);
    let paused = greffier.json(&["log", &app, "--kind", "operator.pause", "-o", "json"]);
    let reasons: Vec<_> = paused.as_array().unwrap().iter().collect();
    assert_eq!(reasons.len(), 2, "{paused}");
    assert!(reasons.iter().all(|event| event["detail"]["reason"] == "incident"), "{paused}");
    greffier.cli_ends(0, &["resume", &app]);

    // An edit of an object that Git has is put back, once: nobody heals here.
    let patch = r#"{"data":{"key":"edited"}}"#;
    let cluster = ControlPlane::shared();
    cluster.kubectl_ok("alice", &["patch", "cm/a", "-n", &ns, "--type=merge", "-p", patch]);
    let drift = greffier.wait_kind("drift.detected", &app);
    let drift = format!("#{}", drift["seq"].as_u64().unwrap());
    greffier.cli_ends(0, &["undo", &drift, "--yes"]);
    until("it is put back", || (live(&ns, "cm/a", ".data.key") == "one").then_some(()));
    let held = greffier.json(&["log", "--kind", "hold", "-o", "json"]);
    assert_eq!(held.as_array().map(Vec::len), Some(0), "Git says it: nothing is held: {held}");
    until("it is known to be over", || {
        let (code, said) = {
            let output = greffier.cli(&["undo", &drift, "--yes"]);
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        (code == Some(6) && said.contains("over already")).then_some(())
    });
    let then = format!("#{}", greffier.seq());
    greffier.cli_ends(0, &["freeze"]);
    let object = format!("ConfigMap/{ns}/a");
    // What an application has goes back when that is over.
    let (said, _) = greffier.cli_ends(0, &["restore", &object, "--to", &then, "--yes"]);
    assert!(said.contains("recorded as event"), "{said}");
    for (args, code, what) in [
        (vec!["restore", &app, "--to", &then, "--yes"], 2, "is an application"),
        (vec!["restore", "#3", "--to", &then, "--yes"], 2, "is no object"),
        (vec!["restore", "ConfigMap/nowhere/x", "--to", &then, "--yes"], 6, "neither wanted nor"),
        (vec!["restore", &object, "--to", "mark:none", "--yes"], 2, "there is no mark"),
        (vec!["--at", &then, "undo", &drift, "--yes"], 2, "changes something"),
    ] {
        let (_, said) = greffier.cli_ends(code, &args);
        assert!(said.contains(what), "{args:?}: {said}");
    }
}

/// Goal: an instant at which a person kept fields brings them back, although Git says what it said.
#[test]
fn what_was_kept_at_an_instant_comes_back_though_git_says_the_same() {
    let (greffier, app, ns) = kept("restorekept", &[("web/a.yaml", &config_map("a", "one"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    edits(&greffier, &ns, "a", r#"{"key":"kept"}"#);
    let drift = greffier.wait_kind("drift.detected", &app);
    let drift = format!("#{}", drift["seq"].as_u64().unwrap());
    greffier.cli_ends(0, &["keep", &drift]);
    until("it is kept", || (live(&ns, "cm/a", ".data.key") == "kept").then_some(()));
    let (to, object) = (format!("#{}", greffier.seq()), format!("ConfigMap/{ns}/a"));
    let plan = greffier.json(&["release", &object, "--plan", "-o", "json"]);
    assert_eq!(plan["ends"][0]["held"], serde_json::json!([".data.key"]), "{plan}");
    let (told, _) = greffier.cli_ends(0, &["release", &object, "--plan"]);
    assert!(told.contains("holds of objects that END with it") && told.contains(".data.key"));
    greffier.cli_ends(0, &["release", &object, "--yes"]);
    until("Git is followed", || (live(&ns, "cm/a", ".data.key") == "one").then_some(()));

    let field = ["restore", &object, "--field", ".data.key", "--to", &to, "--yes"];
    let (done, _) = greffier.cli_ends(0, &field);
    until("the field is as it was kept", || {
        (live(&ns, "cm/a", ".data.key") == "kept").then_some(())
    });
    greffier.cli_ends(0, &["release", &format!("#{}", seq_of(&done)), "--yes"]);
    until("Git is followed again", || (live(&ns, "cm/a", ".data.key") == "one").then_some(()));
    greffier.cli_ends(0, &["restore", &object, "--to", &to, "--yes"]);
    until("all of it is as it was", || (live(&ns, "cm/a", ".data.key") == "kept").then_some(()));
    greffier.stop();
}

/// Goal: a key that somebody added to a Secret goes without any value being known, as its plan says.
#[test]
fn a_key_that_was_added_to_a_secret_goes() {
    let value = "canary-undo-added-hunter2";
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: one\n";
    let (greffier, app, ns) = kept("undoadded", &[("web/s.yaml", secret)]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let password = live(&ns, "secret/s", ".data.password");
    let patch = format!(r#"{{"stringData":{{"extra":"{value}"}}}}"#);
    let args = ["patch", "secret/s", "-n", &ns, "--type=merge", "-p", &patch];
    ControlPlane::shared().kubectl_ok("alice", &args);
    let drift = greffier.wait_kind("drift.detected", &app);
    let drift = format!("#{}", drift["seq"].as_u64().unwrap());
    let (plan, _) = greffier.cli_ends(0, &["undo", &drift, "--plan"]);
    assert!(plan.contains(".data.extra"), "{plan}");
    let (out, err) = greffier.cli_ends(0, &["undo", &drift, "--yes"]);
    assert!(!format!("{plan}{out}{err}").contains(value));
    assert_eq!(live(&ns, "secret/s", ".data.extra"), "");
    assert_eq!(live(&ns, "secret/s", ".data.password"), password);
    greffier.stop();
    nowhere(greffier.dir.path(), value);
}

/// Goal: of an application that is gone, what a sync had made does not come back or go, and what
/// somebody changed since is not written over.
#[test]
fn what_an_application_did_that_is_gone_is_undone_as_far_as_nothing_came_since() {
    let namespace = namespace("undoremoved");
    let (web, ns) = ("undoremoved-web", namespace.as_str());
    let greffier = Greffier::new();
    greffier.repo.write("web/a.yaml", &config_map("a", "one")).write("apps/x.yaml", "# none");
    let first = greffier.repo.push("first");
    let url = greffier.repo.url();
    let greffier = greffier.root(&application("undoremoved-root", &url, "apps", ns, KEPT));
    let file = greffier.path("web-app.yaml");
    fs::write(&file, application(web, &url, "web", ns, KEPT)).unwrap();
    greffier.start();
    greffier.cli_ends(0, &["app", "add", "-f", file.to_str().unwrap()]);
    greffier.wait_synced(web, &first);
    greffier.repo.write("web/a.yaml", &config_map("a", "two"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(web, &second);
    let synced = |commit: &str| {
        let found = greffier.wait("the end of a sync", |event| {
            let detail = &event["detail"];
            event["kind"] == "sync.finished" && detail["app"] == web && detail["commit"] == *commit
        });
        format!("#{}", found["seq"].as_u64().unwrap())
    };
    let (made, changed) = (synced(&first), synced(&second));
    greffier.cli_ends(0, &["app", "remove", web, "--orphan"]);
    greffier.wait_kind("app.removed", web);
    let (_, refused) = greffier.cli_ends(6, &["undo", &made, "--yes"]);
    assert!(refused.contains("is left to be undone"), "{refused}");
    let value = || live(ns, "cm/a", ".data.key");
    assert_eq!(value(), "two");
    edits(&greffier, ns, "a", r#"{"key":"hand"}"#);
    let (_, refused) = greffier.cli_ends(6, &["undo", &changed, "--yes"]);
    assert!(refused.contains("it was changed since"), "{refused}");
    assert_eq!(value(), "hand", "no later change is written over");
    edits(&greffier, ns, "a", r#"{"key":"two"}"#);
    greffier.cli_ends(0, &["undo", &changed, "--yes"]);
    until("it is as before", || (value() == "one").then_some(()));
}

/// Goal: what comes back as it was applied is not said to be the whole object where others had set
/// something of it.
#[test]
fn what_others_had_set_of_what_was_pruned_is_named() {
    let files =
        [("web/a.yaml", &*config_map("a", "one")), ("web/b.yaml", &*config_map("b", "one"))];
    let (greffier, app, ns) = kept("undobeside", &files);
    greffier.wait_synced(&app, &greffier.repo.head());
    edits(&greffier, &ns, "b", r#"{"beside":"alice"}"#);
    let then = greffier.seq();
    greffier.repo.remove("web/b.yaml");
    let second = greffier.repo.push("second");
    let synced = greffier.wait_synced(&app, &second);
    let (event, object) = (format!("#{}", synced["seq"]), format!("ConfigMap/{ns}/b"));
    let to = format!("#{then}");
    for asked in [&["undo", &event, "--plan"][..], &["restore", &object, "--to", &to, "--plan"]] {
        let (plan, _) = greffier.cli_ends(0, asked);
        let named = "not with it: 1 field that others had set: .data.beside (kubectl-patch)";
        assert!(plan.contains(named), "{plan}");
    }
    // And that is how it is had with them.
    let (plan, _) = greffier.cli_ends(0, &["restore", &object, "--to", &to, "--live", "--plan"]);
    assert!(!plan.contains("not with it"), "{plan}");
}
