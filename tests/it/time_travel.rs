//! The past on a real API server: what it was then, with a daemon and without one, and what is
//! said where nobody watched.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, config_map, until};
use crate::keep::kept;

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  \
                      password: hunter2\n";

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

fn shown(greffier: &Greffier, object: &str, at: &str) -> Value {
    greffier.json(&["show", object, "--at", at, "-o", "json"])
}

fn value(shown: &Value) -> &str {
    shown["state"]["manifest"]["data"]["key"].as_str().unwrap_or_else(|| panic!("{shown}"))
}

/// Every question that knows an instant, as JSON.
fn questions<'a>(app: &'a str, object: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["status"],
        vec!["get", "apps"],
        vec!["get", "repos"],
        vec!["get", "resources", "--app", app],
        vec!["show", app],
        vec!["show", object],
        vec!["tree", app],
        vec!["why", app],
        vec!["why", object],
        vec!["blame", object],
        vec!["render", app],
        vec!["log", app],
    ]
}

fn answers(greffier: &Greffier, app: &str, object: &str, at: &str) -> Vec<(String, Value)> {
    let asked = questions(app, object).into_iter().map(|question| {
        let all = [&question[..], &["--at", at, "-o", "json"]].concat();
        (question.join(" "), greffier.json(&all))
    });
    asked.collect()
}

#[test]
fn the_past_is_shown_as_it_was_with_a_daemon_and_without_one() {
    let files = [("web/c.yaml", config_map("one", "1")), ("web/s.yaml", SECRET.to_owned())];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let (greffier, app, ns) = kept("past", &files);
    let (object, first) = (format!("ConfigMap/{ns}/one"), greffier.repo.head());
    let synced = seq(&greffier.wait_synced(&app, &first));
    greffier.cli_ends(0, &["mark", "first", "--reason", "change 12"]);
    let after_first = now();
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let second = greffier.repo.push("second");
    let again = seq(&greffier.wait_synced(&app, &second));
    until("the watch has told of the second version", || {
        let shown = shown(&greffier, &object, "@");
        (value(&shown) == "2" && shown["state"]["learned"] == "watched").then_some(())
    });

    let position = format!("#{synced}");
    let commit = format!("git:{first}");
    for at in ["mark:first", &position, &after_first, &commit, &commit[..14], "@-"] {
        let shown = shown(&greffier, &object, at);
        assert_eq!((value(&shown), &shown["certainty"]), ("1", &"exact".into()), "{at}: {shown}");
    }
    for at in ["@", "git:main", "now"] {
        assert_eq!(value(&shown(&greffier, &object, at)), "2", "{at}");
    }
    assert!(seq(&greffier.json(&["show", &format!("#{again}"), "-o", "json"])) == again);
    let commit_at = |at: &str| {
        let app = greffier.json(&["show", &app, "--at", at, "-o", "json"]);
        app["commit"].as_str().unwrap().to_owned()
    };
    assert_eq!((commit_at(&position), commit_at("@")), (first.clone(), second));
    let (marks, _) = greffier.cli_ends(0, &["get", "marks"]);
    assert!(marks.contains("first") && marks.contains("change 12"), "{marks}");
    // What is said, and with which exit code.
    let (_, said) = greffier.cli_ends(0, &["diff", &app, "--at", &position]);
    assert!(said.contains(&format!("event #{synced}")), "{said}");
    let (_, said) = greffier.cli_ends(0, &["get", "apps", "-q", "--at", "mark:first"]);
    assert_eq!(said, "");

    between(&greffier, &app, &ns, (synced, again));
    let with = answers(&greffier, &app, &object, &position);
    for (question, answer) in &with {
        let text = answer.to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{question}: {text}");
    }
    let (_, log) = with.last().unwrap();
    let rows = log.as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| seq(row) <= synced), "{log}");
    let rendered = &with.iter().find(|(question, _)| question.starts_with("render")).unwrap().1;
    let manifests = rendered["objects"].as_array().unwrap().iter();
    let values: Vec<&Value> = manifests.map(|o| &o["manifest"]["data"]["key"]).collect();
    assert!(values.contains(&&"1".into()), "{rendered}");
    wrong_input(&greffier, &app);

    assert_eq!(greffier.stop(), Some(0));
    let without = answers(&greffier, &app, &object, &position);
    for ((question, with), (_, without)) in with.iter().zip(&without) {
        assert_eq!(with, without, "{question}");
    }
    assert_eq!(value(&shown(&greffier, &object, "@-")), "1");
    let (from, to) = (format!("#{synced}"), format!("#{again}"));
    for subject in [&app, &object] {
        let (text, _) = greffier.cli_ends(1, &["diff", subject, "--from", &from, "--to", &to]);
        assert!(text.contains("+\"2\"") && text.contains("applied by greffier"), "{text}");
    }
    let secret = shown(&greffier, &format!("Secret/{ns}/login"), "@");
    assert!(secret.to_string().contains("(secret)"), "{secret}");
}

/// What changed, asked for in every way; the same without a daemon.
fn between(greffier: &Greffier, app: &str, ns: &str, (first, second): (u64, u64)) {
    let object = format!("ConfigMap/{ns}/one");
    let (from, to) = (format!("#{first}"), format!("#{second}"));
    let subjects = [vec![app], vec![&object], vec!["-n", ns]];
    for subject in &subjects {
        let args = [&["diff"], &subject[..], &["--from", &from, "--to", &to]].concat();
        let (text, said) = greffier.cli_ends(1, &args);
        for part in [".data.key", "-\"1\"", "+\"2\"", "applied by greffier", &object] {
            assert!(text.contains(part), "{subject:?}: {part} is not in {text}");
        }
        assert!(said.contains(&format!("event #{first}")), "{said}");
        let same = [&["diff"], &subject[..], &["--from", &to, "--to", &to]].concat();
        assert_eq!(greffier.cli_ends(0, &same).0, "", "{subject:?}");
        let never = [&args[..], &["--exit-code", "never"]].concat();
        greffier.cli_ends(0, &never);
    }
    let (text, _) = greffier.cli_ends(1, &["diff", app, "--from", &from, "--rev", "main"]);
    assert!(text.contains("+\"2\""), "{text}");
    assert_eq!(greffier.cli_ends(0, &["diff", app, "--from", &to, "--rev", "main"]).0, "");
    assert_eq!(greffier.cli_ends(0, &["diff", app, app]).0, "", "it does not differ from itself");
    let rows = |args: &[&str]| {
        let all = [&["log", &object, "-o", "json"], args].concat();
        greffier.json(&all).as_array().unwrap().clone()
    };
    let changed = rows(&["--field", "data.key", "-p", "--from", &from]);
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["patches"][0]["fields"][0]["now"], "\"2\"");
    let seq = seq(&changed[0]);
    assert!(first < seq && seq <= second + 1, "{changed:?}");
    assert_eq!(rows(&["--field", "data.other"]), Vec::<Value>::new());
    let (text, _) = greffier.cli_ends(0, &["log", &object, "-p", "--from", &from, "--reverse"]);
    assert!(text.contains("@@ .data.key @@"), "{text}");
    let (text, _) = greffier.cli_ends(0, &["show", &format!("#{seq}")]);
    assert!(text.contains("+\"2\""), "{text}");
    let kinds = greffier.json(&["log", app, "--object-kind", "secret", "-o", "json", "--to", &to]);
    let kinds = kinds.as_array().unwrap().clone();
    assert!(
        !kinds.is_empty() && kinds.iter().all(|row| row["objects"].to_string().contains("Secret"))
    );
    let never = ["log", app, "--object-kind", "deploy", "--to", &to, "-o", "json"];
    assert_eq!(greffier.json(&never), serde_json::json!([]), "known, and without events");
    for (args, part) in [
        (vec!["diff", app, "--to", "2h"], "--to needs --from"),
        (vec!["diff", app, "--from", &to, "--to", &from], "comes after"),
        (vec!["diff", "--from", &from], "name an application"),
        (vec!["diff", "nobody", "--from", &from], "there is no application"),
        (vec!["diff", app, "nobody"], "there is no application"),
        (vec!["diff", app, "--from", &from, "--at", "@"], "--to says up to when"),
        (vec!["log", "--field", "data.key"], "a field of everything"),
        (vec!["log", "nobody"], "there is no application `nobody`"),
        (vec!["log", "--app", "nobody", "-o", "json"], "there is no application `nobody`"),
        (vec!["log", "--object-kind", "secrt"], "did you mean Secret"),
    ] {
        let (_, stderr) = greffier.cli_ends(2, &args);
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    }
}

fn wrong_input(greffier: &Greffier, app: &str) {
    for (args, part) in [
        (vec!["status", "--at", "2199-01-01T00:00:00Z"], "in the future"),
        (vec!["status", "--at", "2001-01-01"], "the ledger begins at"),
        (vec!["status", "--at", "#99999999"], "the ledger ends at"),
        (vec!["status", "--at", "soon"], "is no instant"),
        (vec!["status", "--at", "mark:firts"], "did you mean first?"),
        (vec!["status", "--at", "git:nowhere"], "no recorded commit"),
        (vec!["status", "--at", "e0000000000001"], "no event has an id"),
        (vec!["sync", app, "--at", "2h"], "the past cannot be changed"),
        (vec!["mark", "x", "--at", "2h"], "the past cannot be changed"),
        (vec!["log", "-f", "--at", "2h"], "nothing comes to the past"),
        (vec!["diff", app, "--rev", "main", "--at", "2h"], "another revision"),
        (vec!["show", app, "--as-known-at", "@"], "--as-known-at is for objects"),
        (vec!["show", "ConfigMap/x/never", "--at", "@"], "nothing had been recorded"),
        (vec!["mark", "no name"], "is no name for an instant"),
        (vec!["mark", "x", "2199-01-01"], "in the future"),
    ] {
        let (stdout, stderr) = greffier.cli_ends(2, &args);
        assert!(stderr.contains(part), "{args:?}: {stderr}");
        assert!(stdout.is_empty(), "{args:?}: {stdout}");
    }
    let (_, short) = greffier.cli_ends(2, &["status", "--at", "019"]);
    assert!(short.contains("hint:"), "{short}");
}

#[test]
fn what_happens_while_greffier_is_stopped_is_told_as_not_known() {
    let (greffier, app, ns) = kept("past-gap", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let cluster = ControlPlane::shared();
    let create = |name: &str| {
        cluster.kubectl_ok("alice", &["create", "cm", name, "-n", &ns, "--from-literal=key=a"]);
    };
    let last = greffier.seq();
    create("changed");
    greffier.wait_after(last, "the new ConfigMap", |event| {
        event["kind"] == "object.observed" && event["detail"]["key"]["name"] == "changed"
    });
    // No audit is read here: what is left is what the object says of itself.
    let object = format!("ConfigMap/{ns}/changed");
    let (text, _) = greffier.cli_ends(1, &["diff", &object, "--from", &format!("#{last}")]);
    assert!(text.contains("(not in the cluster)"), "{text}");
    assert!(text.contains("kubectl-create (field manager, claimed)"), "{text}");
    let before = now();
    assert_eq!(greffier.stop(), Some(0));
    create("ghost");
    cluster.kubectl_ok("alice", &["delete", "cm", "ghost", "-n", &ns]);
    cluster.kubectl_ok("alice", &["delete", "cm", "changed", "-n", &ns]);
    let within = now();
    // Without a daemon nothing tells when it will be watched again.
    let ghost = format!("ConfigMap/{ns}/ghost");
    let (text, said) = greffier.cli_ends(0, &["show", &ghost, "--at", &within]);
    assert!(text.contains("gap:") && text.contains("greffier was stopped"), "{text}");
    assert!(said.contains("not watched"), "{said}");
    let last = greffier.seq();
    greffier.start();
    let listed = |event: &Value| {
        event["kind"] == "cluster.listed" && event["detail"]["kind"]["kind"] == "ConfigMap"
    };
    greffier.wait_after(last, "the list of ConfigMaps", listed);
    let after = now();

    for (at, certainty) in [(&before, "exact"), (&within, "gap"), (&after, "exact")] {
        let args = ["show", &ghost, "--at", at, "-o", "json"];
        if certainty == "exact" {
            let (_, said) = greffier.cli_ends(2, &args);
            assert!(said.contains("nothing had been recorded"), "{said}");
            continue;
        }
        let found = greffier.json(&args);
        assert_eq!(found["certainty"], certainty, "{found}");
        assert!(found["state"].is_null() && found["at"]["unwatched"][0]["lossy"] == true);
    }
    let changed = format!("ConfigMap/{ns}/changed");
    let at = |at: &str| shown(&greffier, &changed, at);
    assert_eq!((&at(&before)["certainty"], value(&at(&before))), (&"exact".into(), "a"));
    let found = at(&within);
    assert_eq!(found["certainty"], "interval", "{found}");
    assert_eq!(
        (&found["state"]["present"], &found["next"]["present"]),
        (&true.into(), &false.into())
    );
    let known = greffier.json(&["show", &changed, "--as-known-at", &within, "-o", "json"]);
    assert_eq!(known["certainty"], "gap", "nothing was known of it then: {known}");
    assert_eq!(at(&after)["state"]["present"], false);
    let one = shown(&greffier, &format!("ConfigMap/{ns}/one"), &within);
    assert_eq!((&one["certainty"], value(&one)), (&"gap".into(), "1"));
    // What was not watched is said whichever end of a log comes first.
    for order in [&[][..], &["--reverse"]] {
        let (_, said) = greffier.cli_ends(0, &[&["log", &changed], order].concat());
        assert!(said.contains("greffier was stopped"), "{order:?}: {said}");
    }
    let (_, said) = greffier.cli_ends(0, &["get", "apps", "--at", &within]);
    assert!(said.contains("not watched from") && said.contains("greffier was stopped"), "{said}");
}
