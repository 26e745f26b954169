//! The audit report on a real API server: who changed what, and what nobody saw.

use std::fs;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::namespace;

/// A greffier that reads the audit log, knows who alice is, and keeps a ConfigMap.
fn audited(app: &str, ns: &str) -> Greffier {
    let log = ControlPlane::shared().audit_log();
    let toml = format!(
        "[audit]\nfile = \"{}\"\n[[person]]\nname = \"Alice Martin\"\nkubernetes = [\"alice\"]\n",
        log.display()
    );
    let greffier = Greffier::new().configure(&toml);
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    let root = application(app, &greffier.repo.url(), "web", ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier
}

/// Waits until it is known that `user` made a change of the object that is recorded after `after`.
/// What a list shows is known when the records have passed it: something is written meanwhile.
fn attributed(greffier: &Greffier, after: u64, ns: &str, name: &str, user: &str) {
    let plane = ControlPlane::shared();
    let tick = format!("tick-{ns}");
    let asked = ["log", "--all", "--kind", "attribution", "-n", "10000", "-o", "json"];
    until(&format!("{user} is known to have changed {name}"), || {
        plane.kubectl_ok("admin", &["create", "configmap", &tick]);
        plane.kubectl_ok("admin", &["delete", "configmap", &tick]);
        let events = greffier.json(&asked);
        let of_this = |event: &&Value| {
            let detail = &event["detail"];
            event["seq"].as_u64() > Some(after)
                && (&detail["key"]["name"], &detail["key"]["namespace"])
                    == (&name.into(), &ns.into())
                && detail["claims"][0]["who"] == user
        };
        events.as_array().unwrap().iter().find(of_this).map(|_| ())
    });
}

fn texts<'a>(row: &'a Value, field: &str) -> Vec<&'a str> {
    let names = row[field].as_array().unwrap().iter();
    names.map(|party| party["name"].as_str().unwrap()).collect()
}

/// Verb, who and strength of each row about the object.
fn told(report: &Value, object: &str) -> Vec<String> {
    let rows = report["changes"].as_array().unwrap().iter().filter(|row| row["object"] == object);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.map(|row| {
        let who = &row["who"][0];
        let (verb, strength) = (text(&row["verb"]), text(&row["strength"]));
        format!("{verb} {} [{}] {strength}", text(&who["name"]), text(&who["person"]))
    })
    .collect()
}

/// The HTML page names people and credentials, and says first what was not watched.
fn page_names_them(greffier: &Greffier, asked: &[&str]) {
    let page = greffier.path("report.html");
    let out = [asked, &["-o", "html", "--out", page.to_str().unwrap()]].concat();
    let (_, said) = greffier.cli_ends(0, &out);
    assert!(said.contains("note: not watched") && said.contains("greffier was stopped"), "{said}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Alice Martin (alice)") && html.contains("credential bob"), "{html}");
}

/// Goal: an auditor is told who changed what, with the person where one is written down, why, how
/// well it is known, and what happened while nobody watched; the same with a daemon and without.
/// Method: alice edits by hand, a commit is pushed, a person syncs with a reason, and bob deletes
/// while the daemon is stopped.
/// The changes of a namespace and of no object at all. Who changed what elsewhere in the same
/// cluster may be found out from one report to the next.
fn about<'v>(ns: &str, report: &'v Value) -> Vec<&'v Value> {
    let rows = report["changes"].as_array().unwrap().iter();
    let concerned = |object: &str| object.is_empty() || object.contains(&format!("/{ns}/"));
    rows.filter(|row| concerned(row["object"].as_str().unwrap())).collect()
}

#[test]
fn a_report_names_who_changed_what_and_what_nobody_saw() {
    let (app, ns) = ("report-web", namespace("report"));
    let plane = ControlPlane::shared();
    let greffier = audited(app, &ns);
    greffier.wait_synced(app, &greffier.repo.head());
    plane.kubectl_ok("bob", &["-n", &ns, "create", "configmap", "mine", "--from-literal=a=1"]);
    attributed(&greffier, 0, &ns, "mine", "bob");

    let patch = r#"{"data":{"key":"by hand"}}"#;
    plane.kubectl_ok("alice", &["-n", &ns, "patch", "cm/one", "--type=merge", "-p", patch]);
    attributed(&greffier, 0, &ns, "one", "alice");
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let commit = greffier.repo.push("second");
    greffier.wait_synced(app, &commit);
    greffier.cli_ends(0, &["sync", app, "--reason", "release 7"]);

    let before = greffier.seq();
    greffier.stop();
    plane.kubectl_ok("bob", &["-n", &ns, "delete", "configmap", "mine"]);
    greffier.start();
    attributed(&greffier, before, &ns, "mine", "bob");

    let to = format!("#{}", greffier.seq());
    let asked = ["report", "audit", "--from", "2020-01-01", "--to", &to];
    let report = greffier.json(&[&asked[..], &["-o", "json"]].concat());
    assert_eq!(report["schema"], "greffier.report.audit/1");
    assert_eq!(
        told(&report, &format!("ConfigMap/{ns}/one")),
        [
            "created greffier [] exact",
            "changed alice [Alice Martin] exact",
            "drift found alice [Alice Martin] exact",
            "put back greffier [] exact",
            "updated greffier [] exact",
        ]
    );
    let mine = told(&report, &format!("ConfigMap/{ns}/mine"));
    assert_eq!(mine[0], "created bob [] exact");
    assert!(mine[1].starts_with("deleted bob [] ") && mine.len() == 2, "{mine:?}");
    let rows = report["changes"].as_array().unwrap();
    let row = |wanted: &dyn Fn(&Value) -> bool| rows.iter().find(|row| wanted(row)).unwrap();
    // Other tests change other objects of the same cluster.
    let one = format!("ConfigMap/{ns}/one");
    let by_alice = |row: &Value| texts(row, "who") == ["alice"] && row["class"] == "change";
    let edit = row(&|row| by_alice(row) && row["object"] == one.as_str());
    assert_eq!(edit["fields"][0]["path"], ".data.key");
    assert_eq!(
        (&edit["fields"][0]["was"], &edit["fields"][0]["now"]),
        (&"\"1\"".into(), &"\"by hand\"".into())
    );
    assert!(edit["evidence"].as_array().unwrap().len() >= 3, "{edit}");
    let updated = row(&|row| row["verb"] == "updated" && row["app"] == app);
    assert_eq!(updated["commit"]["id"], commit.as_str());
    assert_eq!(updated["commit"]["author"]["claimed"], true, "{updated}");
    assert_eq!(row(&|row| row["verb"] == "sync requested")["why"], "release 7");
    let gone =
        row(&|row| row["verb"] == "deleted" && row["object"] == format!("ConfigMap/{ns}/mine"));
    assert_ne!(gone["not_before"], "", "when it was deleted is an interval: {gone}");
    let coverage = report["coverage"].as_array().unwrap();
    assert!(coverage.iter().any(|span| span["cause"] == "stopped"), "{coverage:?}");
    assert!(report["summary"]["audit"]["records"].as_u64() > Some(0), "{}", report["summary"]);
    let shown = greffier.json(&["show", to.as_str(), "-o", "json"]);
    assert_eq!(shown["hash"], report["head"]["last_hash"], "the hash can be checked");

    page_names_them(&greffier, &asked);
    refused(&greffier, &to);
    answers(&greffier, &ns, edit["seq"].as_u64().unwrap());
    greffier.stop();
    answers(&greffier, &ns, edit["seq"].as_u64().unwrap());
    let without = greffier.json(&[&asked[..], &["-o", "json"]].concat());
    assert_eq!(about(&ns, &without), about(&ns, &report), "with and without a daemon");
    assert_eq!(without["head"]["last_hash"], report["head"]["last_hash"]);
    refused(&greffier, &to);
    let (csv, _) = greffier.cli_ends(0, &[&asked[..], &["-o", "csv"]].concat());
    assert!(csv.lines().any(|line| line.contains("Alice Martin (alice)")), "{csv}");
}

/// Every answer about a subject names the person beside the credential, and says first what was
/// not watched of it.
fn answers(greffier: &Greffier, ns: &str, edit: u64) {
    let (text, _) = greffier.cli_ends(0, &["show", &format!("#{edit}")]);
    assert!(text.contains("Alice Martin (alice)"), "{text}");
    let one = format!("ConfigMap/{ns}/one");
    let (log, said) = greffier.cli_ends(0, &["log", &one, "--actor", "alice", "-o", "wide"]);
    assert!(log.contains("[Alice Martin (alice); "), "{log}");
    assert!(said.contains("note: not watched") && said.contains("greffier was stopped"), "{said}");
    // Also where nothing is found, which is an error: of the interval that was asked for.
    let none = format!("ConfigMap/{ns}/none");
    let (_, said) = greffier.cli_ends(2, &["log", &none]);
    assert!(said.contains("greffier was stopped"), "{said}");
    assert!(said.contains(&format!("nothing is known of {none}")), "{said}");
    let then = format!("#{edit}");
    for bounds in [&["--from", &then, "--to", &then][..], &["--from", &then, "--at", &then]] {
        let (_, said) = greffier.cli_ends(2, &[&["log", &none][..], bounds].concat());
        assert!(!said.contains("greffier was stopped"), "{bounds:?}: {said}");
    }
    let rows = greffier.json(&["log", &one, "-o", "json"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["seq"] == edit).unwrap();
    assert_eq!(row["parties"][0]["person"], "Alice Martin", "{row}");
    assert_eq!((&row["parties"][0]["name"], &row["by"][0]), (&"alice".into(), &"alice".into()));
    for verb in ["blame", "show"] {
        let answer = greffier.json(&[verb, &one, "-o", "json"]);
        let coverage = answer["coverage"].as_array().unwrap_or_else(|| panic!("{verb}: {answer}"));
        assert!(coverage.iter().any(|span| span["cause"] == "stopped"), "{verb}: {coverage:?}");
        let (_, said) = greffier.cli_ends(0, &[verb, &one]);
        assert!(said.contains("greffier was stopped"), "{verb}: {said}");
    }
}

/// What cannot be meant is refused with a reason and a hint, and no file is left behind.
fn refused(greffier: &Greffier, to: &str) {
    let future = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let nowhere = greffier.path("no/such/report.csv");
    let nowhere = nowhere.to_str().unwrap();
    for (args, expected) in [
        (vec!["--from", to, "--to", "#2"], "after its end"),
        (vec!["--from", "2h", "--to", &future], "future"),
        (vec!["--from", &future], "future"),
        (vec!["--from", "2h", "--app", "nope"], "nothing about an application"),
        (vec!["--from", "2h", "-o", "yaml"], "not written as yaml"),
        (vec!["--from", "2h", "-o", "csv", "--out", nowhere], "cannot be written"),
        (vec!["--from", "gibberish"], "is no instant"),
        (vec!["--from", "2h", "--at", "1h"], "--at does not go with"),
    ] {
        let all = [vec!["report", "audit"], args].concat();
        let (_, said) = greffier.cli_ends(2, &all);
        assert!(said.contains(expected) && said.contains("hint"), "{all:?}: {said}");
    }
    let (_, said) = greffier.cli_ends(2, &["get", "apps", "-o", "csv"]);
    assert!(said.contains("only reports"), "{said}");
}

/// Goal: people are listed with the time for which they are, as of any instant.
#[test]
fn people_are_listed_as_the_configuration_said_then() {
    let entry = "[[person]]\nname = \"Bob\"\nos = [\"bob\"]\nuntil = \"2026-06-30\"\n";
    let greffier = Greffier::new().configure(entry);
    greffier.start();
    let people = greffier.json(&["get", "people", "-o", "json"]);
    assert_eq!((&people[0]["name"], &people[0]["until"]), (&"Bob".into(), &"2026-06-30".into()));
    let (table, _) = greffier.cli_ends(0, &["get", "people"]);
    assert!(table.contains("Bob") && table.contains("always"), "{table}");
    let at_first = greffier.json(&["get", "people", "--at", "#1", "-o", "json"]);
    assert_eq!(at_first, serde_json::json!([]), "the configuration was not loaded yet");
    greffier.stop();
    assert_eq!(greffier.json(&["get", "people", "-o", "json"]), people);
}
