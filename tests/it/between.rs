//! What changed between two instants on a real API server: `diff`, `log -p` and `blame` name the
//! same people, and the right ones.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::keep::namespace;

const APP: &str = "between-web";

/// A greffier that reads the audit log, knows who alice is, and keeps a ConfigMap.
fn audited(ns: &str) -> Greffier {
    let log = ControlPlane::shared().audit_log();
    let toml = format!(
        "[audit]\nfile = \"{}\"\n[[person]]\nname = \"Alice Martin\"\nkubernetes = [\"alice\"]\n",
        log.display()
    );
    let greffier = Greffier::new().configure(&toml);
    greffier.repo.write("web/c.yaml", &config_map("settings", "1"));
    let commit = greffier.repo.push("first");
    let root = application(APP, &greffier.repo.url(), "web", ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(APP, &commit);
    greffier
}

/// Does something to a ConfigMap as a user, and waits until greffier knows that they did.
fn does(greffier: &Greffier, user: &str, ns: &str, name: &str, args: &[&str]) {
    let before = greffier.seq();
    ControlPlane::shared().kubectl_ok(user, &[&["-n", ns], args].concat());
    let told = greffier.wait_after(before, &format!("who did {args:?}"), |event| {
        let key = &event["detail"]["key"];
        event["kind"] == "attribution.resolved"
            && (&key["namespace"], &key["name"]) == (&ns.into(), &name.into())
    });
    let detail = &told["detail"];
    let said = (&detail["verdict"], &detail["claims"][0]["who"]);
    assert_eq!(said, (&"Exact".into(), &user.into()), "{told}");
}

/// Both patch the same object with the same tool: nothing but the audit tells them apart.
fn patches(greffier: &Greffier, user: &str, ns: &str, patch: &str) {
    let args = ["patch", "configmap/settings", "--type=merge", "-p", patch];
    does(greffier, user, ns, "settings", &args);
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Who changed which fields of an object: one line a cause.
fn groups(object: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let groups = object["groups"].as_array().unwrap().iter().map(|group| {
        let fields = group["fields"].as_array().unwrap().iter();
        let fields: Vec<String> = fields.map(|field| text(&field["path"])).collect();
        let (by, commit) = (strings(&group["by"]).join(","), text(&group["commit"]));
        let line = format!("{by} {} {commit} {}", text(&group["strength"]), fields.join(" "));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    groups.collect()
}

/// The objects that differ, by name, of those that this test is about.
fn differ(greffier: &Greffier, subject: &[&str], range: [&str; 2]) -> BTreeMap<String, Value> {
    let [from, to] = range;
    let args = ["--from", from, "--to", to, "--exit-code", "never", "-o", "json"];
    let found = greffier.json(&[&["diff"], subject, &args].concat());
    let objects = found["objects"].as_array().unwrap().iter();
    let named = objects.map(|object| {
        let key = object["object"].as_str().unwrap();
        (key.rsplit('/').next().unwrap().to_owned(), object.clone())
    });
    // What controllers put into every namespace may come at any time.
    named.filter(|(name, _)| name != "kube-root-ca.crt" && name != "default").collect()
}

/// The rows of a log that changed something: who did, and what. Where the watch shows a write of
/// greffier before its answer is recorded, the row has the field managers of that second: claims.
fn logged(greffier: &Greffier, object: &str, range: [&str; 2]) -> Vec<String> {
    let [from, to] = range;
    let args = ["log", object, "-p", "--from", from, "--to", to, "-o", "json"];
    let rows = greffier.json(&args);
    let rows = rows.as_array().unwrap().iter();
    let line = |row: &Value| {
        // The answer to a write changes nothing any more where the watch came before it.
        let patch = row["patches"].as_array()?.iter().find(|patch| patch["object"] == object)?;
        let parties = row["parties"].as_array().unwrap().iter();
        let known =
            parties.filter(|party| party["claimed"] == false || party["name"] == "greffier");
        let who: Vec<&str> = known.map(|party| party["name"].as_str().unwrap()).collect();
        let fields = patch["fields"].as_array().unwrap().iter();
        let fields: Vec<&str> = fields.map(|field| field["path"].as_str().unwrap()).collect();
        let change = patch["change"].as_str().unwrap();
        Some([&[who.join(",").as_str(), change], &fields[..]].concat().join(" "))
    };
    rows.filter_map(line).collect()
}

/// Every field of a difference is blamed on whom the difference names.
fn blame_agrees(greffier: &Greffier, object: &Value, to: &str) {
    let key = object["object"].as_str().unwrap();
    let blame = greffier.json(&["blame", key, "--at", to, "-o", "json"]);
    for group in object["groups"].as_array().unwrap() {
        for field in group["fields"].as_array().unwrap() {
            let fields = blame["fields"].as_array().unwrap();
            let deed = &fields.iter().find(|found| found["path"] == field["path"]).unwrap()["set"];
            let who = &deed["who"];
            assert_eq!(who["name"], group["by"][0], "{field}: {deed}");
            assert_eq!(who["strength"], group["strength"], "{field}: {deed}");
            let commit = deed["git"]["commit"].as_str().unwrap_or_default();
            assert_eq!(commit, group["commit"].as_str().unwrap(), "{field}: {deed}");
        }
    }
}

/// Goal: between two instants everybody is named for what they changed, by the audit log, each
/// cause once, and `diff`, `log -p` and `blame` say the same, with a daemon and without one.
/// Method: alice and bob patch one object with the same tool, a value of alice's is changed by
/// bob, a commit is pushed and applied, and bob deletes what alice made.
#[test]
fn whoever_changed_something_between_two_instants_is_named_for_it() {
    let ns = namespace("between");
    let greffier = audited(&ns);
    let create = ["create", "configmap", "doomed", "--from-literal=key=a"];
    does(&greffier, "alice", &ns, "doomed", &create);
    let from = format!("#{}", greffier.seq());

    patches(&greffier, "alice", &ns, r#"{"data":{"alpha":"1","both":"1"}}"#);
    patches(&greffier, "bob", &ns, r#"{"data":{"beta":"1","both":"2"}}"#);
    greffier.repo.write("web/c.yaml", &config_map("settings", "2"));
    greffier.repo.write("web/n.yaml", &config_map("second", "1"));
    let commit = greffier.repo.push("second");
    greffier.wait_synced(APP, &commit);
    does(&greffier, "bob", &ns, "doomed", &["delete", "configmap", "doomed"]);
    let to = format!("#{}", greffier.seq());
    let range = [from.as_str(), to.as_str()];

    let key = |name: &str| format!("ConfigMap/{ns}/{name}");
    let expected = [
        "alice exact .data.alpha".to_owned(),
        "bob exact .data.beta .data.both".to_owned(),
        format!("greffier exact {commit} .data.key"),
    ];
    let all = differ(&greffier, &["-n", &ns], range);
    assert_eq!(all.keys().collect::<Vec<_>>(), ["doomed", "second", "settings"]);
    assert_eq!(groups(&all["settings"]), expected);
    assert_eq!(
        (&all["doomed"]["change"], &all["second"]["change"]),
        (&"gone".into(), &"appeared".into())
    );
    assert_eq!(groups(&all["doomed"]), ["bob exact"]);
    assert_eq!(groups(&all["second"]), [format!("greffier exact {commit}")]);
    let of_app = differ(&greffier, &[APP], range);
    assert_eq!(of_app.keys().collect::<Vec<_>>(), ["second", "settings"], "doomed is nobody's");
    assert_eq!(of_app["settings"], all["settings"]);
    let one = differ(&greffier, &[&key("settings")], range);
    assert_eq!(one["settings"], all["settings"]);
    let (text, _) = greffier.cli_ends(1, &["diff", "-n", &ns, "--from", &from, "--to", &to]);
    let alices = "changed by Alice Martin (alice) (audit, exact) (#";
    for part in [alices, "changed by bob (audit, exact) (#", "removed by bob (audit, exact) (#"] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }

    let rows = logged(&greffier, &key("settings"), range);
    let expected = [
        "alice changed .data.alpha .data.both",
        "bob changed .data.beta .data.both",
        "greffier changed .data.key",
    ];
    assert_eq!(rows, expected);
    assert_eq!(logged(&greffier, &key("doomed"), range), ["bob gone"]);
    let args = ["log", &key("settings"), "-p", "--from", &from, "--to", &to];
    let (text, _) = greffier.cli_ends(0, &args);
    assert!(text.contains(", by alice (audit, exact)"), "{text}");

    blame_agrees(&greffier, &all["settings"], &to);
    let gone = greffier.json(&["blame", &key("doomed"), "--at", &to, "-o", "json"]);
    let deletion = &gone["gone"]["who"];
    assert_eq!((&deletion["name"], &deletion["strength"]), (&"bob".into(), &"exact".into()));
    assert_eq!(gone["begun"]["who"]["name"], "alice", "{gone}");

    assert_eq!(greffier.stop(), Some(0));
    assert_eq!(differ(&greffier, &["-n", &ns], range), all);
    assert_eq!(logged(&greffier, &key("settings"), range), expected);
    blame_agrees(&greffier, &all["settings"], &to);
}
