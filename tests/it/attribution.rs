//! Who changed what, from the hands of people to the ledger, on a real API server.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map, deployment, until};

/// How many Deployments and how many ConfigMaps people change.
const OBJECTS: usize = 5;

/// A change that somebody made.
struct Act {
    user: String,
    /// The object's version after it; the largest where it was gone.
    version: u64,
    /// The field manager that the tool states; empty for a deletion, which has none.
    manager: &'static str,
}

/// The field manager that kubectl states with a subcommand.
fn manager_of(args: &[&str]) -> &'static str {
    match args[0] {
        "apply" if args.contains(&"--server-side") => "kubectl",
        "apply" => "kubectl-client-side-apply",
        "scale" => "kubectl",
        "patch" => "kubectl-patch",
        "label" => "kubectl-label",
        "annotate" => "kubectl-annotate",
        "set" => "kubectl-set",
        "edit" => "kubectl-edit",
        "rollout" => "kubectl-rollout",
        "delete" => "",
        other => panic!("which manager is that of kubectl {other}?"),
    }
}

/// People who change things, and what they did: the changes of each object, in order.
struct People<'a> {
    plane: &'a ControlPlane,
    dir: PathBuf,
    ns: String,
    done: RefCell<BTreeMap<String, Vec<Act>>>,
}

impl<'a> People<'a> {
    fn new(plane: &'a ControlPlane, greffier: &Greffier, ns: &str) -> Self {
        plane.kubectl_ok("admin", &["create", "namespace", ns]);
        let (dir, done) = (greffier.dir.path().to_owned(), RefCell::default());
        Self { plane, dir, ns: ns.to_owned(), done }
    }

    /// Notes that a user changed an object.
    fn note(&self, user: &str, object: &str, manager: &'static str) {
        let path = "jsonpath={.metadata.resourceVersion}";
        let args = ["-n", &self.ns, "get", object, "--ignore-not-found", "-o", path];
        let version = self.plane.kubectl_ok("admin", &args);
        let version = version.trim().parse().unwrap_or(u64::MAX);
        let act = Act { user: user.to_owned(), version, manager };
        self.done.borrow_mut().entry(object.to_owned()).or_default().push(act);
    }

    fn act(&self, user: &str, object: &str, args: &[&str]) {
        self.plane.kubectl_ok(user, &[&["-n", self.ns.as_str()], args].concat());
        self.note(user, object, manager_of(args));
    }

    fn apply(&self, user: &str, object: &str, manifest: &str, args: &[&str]) {
        let file = self.dir.join("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        let file = file.to_str().unwrap().to_owned();
        self.act(user, object, &[&["apply", "-f", &file], args].concat());
    }

    /// `kubectl edit`, with an editor that replaces a text.
    fn edit(&self, user: &str, object: &str, from: &str, to: &str) {
        let editor = self.dir.join("editor.sh");
        fs::write(&editor, format!("#!/bin/sh\nsed -i 's|{from}|{to}|' \"$1\"\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.plane.kubectl(user);
        command.env("KUBE_EDITOR", &editor).args(["-n", &self.ns, "edit", object]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        self.note(user, object, manager_of(&["edit"]));
    }

    fn patch(&self, user: &str, object: &str, kind: &str, patch: &str) {
        self.act(user, object, &["patch", object, "--type", kind, "-p", patch]);
    }

    /// Everything that people do to a Deployment.
    fn work_on_deployment(&self, n: usize) {
        let name = format!("web{n}");
        let object = format!("deployment/{name}");
        let object = object.as_str();
        let manifest = |image: &str| deployment(&name, image, 1);
        let [a, b] = if n.is_multiple_of(2) { ["alice", "bob"] } else { ["bob", "alice"] };
        self.apply(a, object, &manifest("example.test/web:1"), &[]);
        self.act(b, object, &["scale", object, "--replicas=2"]);
        self.patch(a, object, "merge", r#"{"spec":{"minReadySeconds":1}}"#);
        let json = r#"[{"op":"add","path":"/spec/revisionHistoryLimit","value":3}]"#;
        self.patch(b, object, "json", json);
        let strategic = r#"{"spec":{"template":{"spec":{"containers":
            [{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}"#;
        self.patch(a, object, "strategic", strategic);
        self.act(b, object, &["label", object, "team=red"]);
        self.act(a, object, &["annotate", object, "note=one"]);
        self.act(b, object, &["set", "image", object, "main=example.test/web:2"]);
        self.edit(a, object, "note: one", "note: two");
        let applied = manifest("example.test/web:3");
        self.apply(b, object, &applied, &["--server-side", "--force-conflicts"]);
        self.act(a, object, &["rollout", "pause", object]);
        self.act(b, object, &["label", object, "team-"]);
        self.act(a, object, &["delete", object, "--wait=false"]);
    }

    /// Everything that people do to a ConfigMap.
    fn work_on_map(&self, n: usize) {
        let name = format!("conf{n}");
        let object = format!("configmap/{name}");
        let object = object.as_str();
        let [a, b] = if n.is_multiple_of(2) { ["alice", "bob"] } else { ["bob", "alice"] };
        self.apply(a, object, &config_map(&name, "1"), &[]);
        self.patch(b, object, "merge", r#"{"data":{"a.conf":"1"}}"#);
        self.patch(a, object, "json", r#"[{"op":"replace","path":"/data/a.conf","value":"2"}]"#);
        self.act(b, object, &["label", object, "team=red"]);
        self.edit(a, object, "team: red", "team: blue");
        let applied = config_map(&name, "2");
        self.apply(b, object, &applied, &["--server-side", "--force-conflicts"]);
        self.apply(a, object, &config_map(&name, "3"), &[]);
        self.act(b, object, &["delete", object]);
    }

    fn work(&self) -> usize {
        for n in 0..OBJECTS {
            self.work_on_deployment(n);
            self.work_on_map(n);
        }
        self.done.borrow().values().map(Vec::len).sum()
    }

    /// Writes until the records have passed all that was done.
    fn pass(&self, greffier: &Greffier) {
        let from = greffier.seq();
        let last = |events: &[Value]| {
            let of = |event: &&Value| {
                let seq = event["seq"].as_u64().unwrap();
                let in_ns = event["detail"]["key"]["namespace"] == self.ns.as_str();
                seq <= from && event["kind"] == "object.observed" && in_ns
            };
            events.iter().rev().find(of).map(|event| event["time"].as_str().unwrap().to_owned())
        };
        until("the records have passed", || {
            tick(self.plane, &self.ns);
            let events = log(greffier);
            let newest = events.iter().rev().find(|event| event["kind"] == "audit.read")?;
            let newest = newest["detail"]["newest"].as_i64()?;
            let done: jiff::Timestamp = last(&events)?.parse().unwrap();
            (newest > i64::try_from(done.as_nanosecond()).unwrap() + 6_000_000_000).then_some(())
        });
    }
}

/// A write elsewhere: its record tells how far the records were read.
fn tick(plane: &ControlPlane, ns: &str) {
    let name = format!("tick-{ns}");
    plane.kubectl_ok("bob", &["create", "configmap", &name]);
    plane.kubectl_ok("bob", &["delete", "configmap", &name]);
}

fn log(greffier: &Greffier) -> Vec<Value> {
    let events = greffier.json(&["log", "--all", "-n", "10000000", "-o", "json"]);
    events.as_array().unwrap().clone()
}

/// How the changes of a namespace were attributed.
#[derive(Debug, Default)]
struct Numbers {
    /// By verdict.
    verdicts: BTreeMap<String, usize>,
    /// Of what people did: how many were named at exact or unique strength.
    named: usize,
    done: usize,
}

impl Numbers {
    fn share(&self) -> f64 {
        100.0 * self.named as f64 / self.done as f64
    }
}

/// Holds what the ledger says against what people did. Whoever is named at exact or unique strength
/// for a version must be who acted between the version that was there before and the one after;
/// anything else is a wrong name.
fn judged(greffier: &Greffier, people: &People<'_>) -> Numbers {
    let mut last: BTreeMap<u64, Value> = BTreeMap::new();
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    for event in log(greffier) {
        let detail = &event["detail"];
        if let Some(version) = detail["resource_version"].as_str() {
            versions.insert(event["seq"].as_u64().unwrap(), version.parse().unwrap_or(u64::MAX));
        }
        let of = detail["key"]["namespace"] == people.ns.as_str() && detail["counts"] == true;
        if event["kind"] == "attribution.resolved" && of {
            last.insert(detail["observation"].as_u64().unwrap(), detail.clone());
        }
    }
    let mut numbers = Numbers::default();
    let done = people.done.borrow();
    let mut named: BTreeSet<(String, usize)> = BTreeSet::new();
    for (observation, body) in &last {
        let verdict = body["verdict"].as_str().unwrap();
        *numbers.verdicts.entry(verdict.to_owned()).or_default() += 1;
        if verdict != "Exact" && verdict != "Unique" {
            continue;
        }
        let claims = body["claims"].as_array().unwrap();
        assert_eq!(claims.len(), 1, "{body}");
        let who = claims[0]["who"].as_str().unwrap();
        let key = &body["key"];
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        let object = format!("{}/{}", text("kind").to_lowercase(), text("name"));
        if who != "alice" && who != "bob" {
            continue;
        }
        let acts = done.get(&object).unwrap_or_else(|| panic!("people did not touch it: {body}"));
        // An end has no version: it was the last that was done.
        let version = versions.get(observation).copied().unwrap_or(u64::MAX);
        let at = acts.iter().position(|act| act.version >= version);
        let at = at.unwrap_or_else(|| panic!("nobody did anything then: {body}"));
        assert_eq!(acts[at].user, who, "{body}");
        named.insert((object, at));
    }
    numbers.named = named.len();
    numbers.done = done.values().map(Vec::len).sum();
    numbers
}

/// What the claims of field managers are worth where nothing else is known: of the changes of
/// people, how many observations claim the tool that made them, and it alone.
#[derive(Debug, Default)]
struct Worth {
    alone: usize,
    among: usize,
    other: usize,
    none: usize,
}

fn worth(greffier: &Greffier, people: &People<'_>) -> Worth {
    let mut by: BTreeMap<(String, u64), Vec<String>> = BTreeMap::new();
    for event in log(greffier).iter().filter(|event| event["kind"] == "object.observed") {
        let (detail, key) = (&event["detail"], &event["detail"]["key"]);
        if key["namespace"] != people.ns.as_str() {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let object = format!("{}/{}", text(&key["kind"]).to_lowercase(), text(&key["name"]));
        let version = text(&detail["resource_version"]).parse().unwrap();
        let claims = event["by"].as_array().unwrap().iter().map(text).collect();
        by.insert((object, version), claims);
    }
    let mut worth = Worth::default();
    for (object, acts) in &*people.done.borrow() {
        for act in acts {
            let claims = by.get(&(object.clone(), act.version)).map_or(&[][..], Vec::as_slice);
            let told = claims.iter().any(|claim| claim == act.manager);
            match claims.len() {
                0 => worth.none += 1,
                1 if told => worth.alone += 1,
                _ if told => worth.among += 1,
                _ => worth.other += 1,
            }
        }
    }
    worth
}

/// Lets people work, and reads what is known of it once so many of 100 changes are attributed.
fn run(plane: &ControlPlane, audit: bool, ns: &str, least: f64) -> (Greffier, Numbers, Worth) {
    let mut greffier = Greffier::on(plane);
    if audit {
        let log = plane.audit_log();
        greffier = greffier.configure(&format!("[audit]\nfile = \"{}\"", log.display()));
    }
    greffier.start();
    let people = People::new(plane, &greffier, ns);
    let done = people.work();
    assert!(done >= 100, "{done}");
    if audit {
        people.pass(&greffier);
    } else {
        let gone = format!("conf{}", OBJECTS - 1);
        greffier.wait("the last deletion", |event| {
            event["kind"] == "object.gone" && event["detail"]["key"]["name"] == gone.as_str()
        });
    }
    // What rests on the records having passed is said after they have.
    let numbers = until(&format!("{least} % are attributed"), || {
        Some(judged(&greffier, &people)).filter(|numbers| numbers.share() >= least)
    });
    let worth = worth(&greffier, &people);
    #[allow(clippy::print_stderr, reason = "the numbers are to be seen")]
    {
        eprintln!(
            "{ns}: {:.1} % of {} changes by people named: {:?}",
            numbers.share(),
            numbers.done,
            numbers.verdicts
        );
        if !audit {
            eprintln!("{ns}: what observations claim: {worth:?}");
        }
    }
    (greffier, numbers, worth)
}

/// Goal: with records of whole answers, at least 99 of 100 changes by people are attributed
/// exactly or uniquely, whatever they did it with, and nobody is named who did not do it.
/// Method: 105 changes by alice and bob with twelve ways of kubectl, while the controllers work.
#[test]
fn changes_are_attributed_where_answers_are_recorded() {
    run(ControlPlane::shared(), true, "who-answers", 99.0);
}

/// Goal: the same without bodies, and without an audit: less is known, and nothing wrong is said.
#[test]
fn changes_are_attributed_as_far_as_less_is_recorded() {
    let options = Options { audit_level: "Metadata", ..Options::default() };
    let plane = ControlPlane::start_with(options);
    let (greffier, _, _) = run(&plane, true, "who-metadata", 40.0);
    greffier.stop();
    let (greffier, numbers, worth) = run(&plane, false, "who-managers", 0.0);
    assert_eq!((numbers.named, numbers.verdicts.len()), (0, 0), "{numbers:?}");
    let events = log(&greffier);
    let none = events.iter().all(|event| event["kind"] != "audit.gap-suspected");
    assert!(none, "without an audit nothing is missing");
    // Deletions bear no claim, and controllers write in the same second.
    assert!(worth.alone + worth.among > numbers.done / 2, "{worth:?}");
}

/// greffier put it back: known by its outcome, and leading on to the commit and its people.
fn heal_is_own(greffier: &Greffier, drift: &Value, commit: &str) {
    let heal = greffier.wait_after(drift["seq"].as_u64().unwrap(), "the heal", |event| {
        event["kind"] == "apply.outcome"
    });
    let echo = greffier.wait_after(drift["seq"].as_u64().unwrap(), "its echo", |event| {
        event["kind"] == "object.observed" && event["detail"]["key"]["name"] == "web"
    });
    let echo = greffier.json(&["show", &format!("#{}", echo["seq"]), "-o", "json"]);
    let own = &echo["who"]["own"];
    assert_eq!((&own["outcome"], &own["commit"]), (&heal["seq"], &commit.into()), "{echo}");
    let people = ["author", "committer", "signer", "pusher"].map(|role| own[role].clone());
    let ada = "Ada <ada@example.org>";
    assert_eq!(people, [ada, ada, "nobody: not signed", "unknown"], "four answers: {echo}");
}

/// Goal: greffier's own writes need no event; who drifted them is named; a restart says nothing
/// twice and goes on with what waited.
#[test]
fn a_drift_is_somebodys_and_a_heal_is_greffiers() {
    let plane = ControlPlane::shared();
    let audit = plane.audit_log();
    let greffier =
        Greffier::on(plane).configure(&format!("[audit]\nfile = \"{}\"", audit.display()));
    let ns = "who-drift";
    let greffier = {
        let root = application("drifting", &greffier.repo.url(), "app", ns, KEPT);
        greffier.root(&root)
    };
    greffier.repo.write("app/web.yaml", &config_map("web", "git"));
    let commit = greffier.repo.push("begin");
    greffier.start();
    greffier.wait_synced("drifting", &commit);
    let patch = |user: &str, value: &str| {
        let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
        let args = ["-n", ns, "patch", "configmap/web", "--type=merge", "-p", &patch];
        plane.kubectl_ok(user, &args);
    };
    patch("alice", "by hand");
    let drift = greffier.wait("the drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["kind"] == "Drift"
    });
    let resolved = |event: &Value, observation: &Value| {
        event["kind"] == "attribution.resolved" && event["detail"]["observation"] == *observation
    };
    let observation = drift["detail"]["observation"].clone();
    let told = greffier.wait("who did it", |event| resolved(event, &observation));
    assert_eq!(told["detail"]["verdict"], "Exact", "{told}");
    assert_eq!(told["detail"]["claims"][0]["who"], "alice", "{told}");
    // It is shown with the drift from then on, found by the name, and told on the terminal.
    let event = format!("#{}", drift["seq"]);
    let (shown, _) = greffier.cli_ends(0, &["show", &event]);
    let named = ["by alice (audit, exact)", "who          exact", "alice, as #"];
    assert!(named.iter().all(|text| shown.contains(text)), "{shown}");
    let (found, _) = greffier.cli_ends(0, &["log", "--actor", "alice", "--kind", "drift"]);
    assert!(found.contains("DRIFT DETECTED"), "{found}");
    until("the terminal names her", || {
        let terminal = fs::read_to_string(greffier.path("log")).unwrap();
        terminal.contains("by alice (audit, exact)").then_some(())
    });
    heal_is_own(&greffier, &drift, &commit);
    greffier.stop();
    patch("bob", "while away");
    greffier.start();
    // Who did it may be known before it is called a drift.
    let after = told["seq"].as_u64().max(drift["seq"].as_u64()).unwrap();
    let again = greffier.wait_after(after, "the other drift", |event| {
        event["kind"] == "drift.detected" && event["detail"]["kind"] == "Drift"
    });
    let while_away = again["detail"]["observation"].clone();
    // That nothing else came between is known when the records have passed its time.
    let bobs = until("who did that", || {
        tick(plane, ns);
        log(&greffier).into_iter().find(|event| resolved(event, &while_away))
    });
    assert_eq!(bobs["detail"]["claims"][0]["who"], "bob", "{bobs}");
    assert_eq!(bobs["detail"]["verdict"], "Exact", "{bobs}");
    let said = log(&greffier);
    let about: Vec<_> = said.iter().filter(|event| resolved(event, &observation)).collect();
    assert_eq!(about.len(), 1, "said once, also after a restart: {about:?}");
    let own = said.iter().filter(|event| {
        let detail = &event["detail"];
        event["kind"] == "attribution.resolved"
            && detail["key"]["namespace"] == ns
            && detail["claims"][0]["who"] == "greffier"
    });
    assert_eq!(own.count(), 0, "own writes are known by their outcomes");
}

/// Goal: who changed a field is known whatever its name: one with a dot stands in brackets, and is
/// written with quotes in one place and without them in another. What she added can be undone.
#[test]
fn a_drift_of_a_name_with_dots_is_somebodys() {
    let plane = ControlPlane::shared();
    let audit = plane.audit_log();
    let greffier =
        Greffier::on(plane).configure(&format!("[audit]\nfile = \"{}\"", audit.display()));
    let ns = "who-dots";
    let root = application("dotted", &greffier.repo.url(), "app", ns, KEPT);
    let greffier = greffier.root(&root);
    let map = config_map("dots", "git").replace("key:", "app.properties:");
    greffier.repo.write("app/dots.yaml", &map);
    let commit = greffier.repo.push("begin");
    greffier.start();
    greffier.wait_synced("dotted", &commit);
    for (name, kind) in [("app.properties", "Drift"), ("hand.x", "Addition")] {
        let patch = format!(r#"{{"data":{{"{name}":"by hand"}}}}"#);
        let args = ["-n", ns, "patch", "configmap/dots", "--type=merge", "-p", &patch];
        plane.kubectl_ok("alice", &args);
        let drift = greffier.wait(name, |event| {
            event["kind"] == "drift.detected" && event["detail"]["kind"] == kind
        });
        let observation = drift["detail"]["observation"].clone();
        let told = until("who did it", || {
            tick(plane, ns);
            log(&greffier).into_iter().find(|event| {
                event["kind"] == "attribution.resolved"
                    && event["detail"]["observation"] == observation
            })
        });
        assert_eq!(told["detail"]["claims"][0]["who"], "alice", "{told}");
        let event = format!("#{}", drift["seq"]);
        let (shown, _) = greffier.cli_ends(0, &["show", &event]);
        assert!(shown.contains("by alice (audit, exact)"), "{shown}");
        let (found, _) = greffier.cli_ends(0, &["log", "--actor", "alice", "--kind", "drift"]);
        assert!(found.contains(&format!("[{name}]")), "{found}");
        if kind == "Addition" {
            let (plan, _) = greffier.cli_ends(0, &["undo", &event, "--plan"]);
            assert!(plan.contains("hand.x"), "{plan}");
        }
    }
}
