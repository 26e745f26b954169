//! `greffier blame` on a real API server: who set each field, and what is not known is said.

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, deployment, until};
use crate::keep::{kept, live};

const IMAGE: &str = ".spec.template.spec.containers[name=main].image";
const NOTE: &str = ".metadata.annotations[example.org/note]";
const TEAM: &str = ".metadata.labels.team";
const PASSWORD: &str = "hunter2-is-no-password";

fn blame(greffier: &Greffier, ns: &str, more: &[&str]) -> Value {
    greffier.json(&[&["blame", "deploy/web", "-n", ns, "-o", "json"], more].concat())
}

fn field(blame: &Value, path: &str) -> Option<Value> {
    blame["fields"].as_array().unwrap().iter().find(|field| field["path"] == path).cloned()
}

/// Asks until the object has the field with this value, and returns the field.
fn has(greffier: &Greffier, ns: &str, path: &str, value: &Value) -> Value {
    until(&format!("{path} is {value}"), || {
        field(&blame(greffier, ns, &[]), path).filter(|field| field["value"] == *value)
    })
}

fn kubectl(user: &str, ns: &str, args: &[&str]) {
    ControlPlane::shared().kubectl_ok(user, &[args, &["-n", ns]].concat());
}

fn secret() -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {PASSWORD}\n"
    )
}

#[test]
fn blame_names_who_set_each_field_the_commit_and_what_was_removed() {
    let files = [("web/d.yaml", deployment("web", "app:v1", 1)), ("web/s.yaml", secret())];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let (greffier, app, ns) = kept("blame", &files);
    let first = greffier.repo.head();
    greffier.wait_synced(&app, &first);
    greffier.repo.write("web/d.yaml", &deployment("web", "app:v2", 1));
    greffier.repo.push("version 2");
    let second = greffier.repo.head();
    greffier.wait_synced(&app, &second);
    has(&greffier, &ns, IMAGE, &"app:v2".into());

    // Different people set different fields; what greffier does not apply stays.
    kubectl("alice", &ns, &["annotate", "deploy/web", "example.org/note=by-alice"]);
    kubectl("bob", &ns, &["label", "deploy/web", "team=b"]);
    let note = has(&greffier, &ns, NOTE, &"by-alice".into());
    assert_eq!(note["set"]["who"]["name"], "kubectl-annotate", "{note}");
    assert_eq!(note["set"]["who"]["strength"], "claimed");
    assert_eq!(has(&greffier, &ns, TEAM, &"b".into())["set"]["who"]["name"], "kubectl-label");
    kubectl("bob", &ns, &["label", "deploy/web", "team-"]);
    let removed = until("the label is gone", || {
        let removed = blame(&greffier, &ns, &["--field", TEAM])["removed"].clone();
        removed.get(0).cloned()
    });
    assert_eq!((&removed["was"], &removed["path"]), (&Value::from("b"), &Value::from(TEAM)));
    assert_eq!(removed["set"]["who"]["name"], "kubectl-label", "{removed}");
    assert!(removed["removed"]["seq"].as_u64() > removed["set"]["seq"].as_u64());

    // What is healed is greffier's again, and the commit is the one that changed the field.
    kubectl("alice", &ns, &["set", "image", "deploy/web", "main=evil:v1"]);
    let healed = until("the image is put back", || {
        let image = field(&blame(&greffier, &ns, &[]), IMAGE)?;
        (image["value"] == "app:v2" && image["was"] == "evil:v1").then_some(image)
    });
    assert_eq!(healed["set"]["who"]["write"]["verb"], "heal", "{healed}");
    assert_eq!(healed["set"]["git"]["commit"], second.as_str(), "{healed}");
    assert_eq!(healed["set"]["git"]["file"], "web/d.yaml");
    let line = deployment("web", "app:v2", 1).lines().position(|line| line.contains("image:"));
    assert_eq!(healed["set"]["git"]["line"], line.unwrap() + 1, "{healed}");
    assert_eq!(healed["set"]["git"]["subject"], "version 2");
    let replicas = has(&greffier, &ns, ".spec.replicas", &1.into());
    assert_eq!(replicas["set"]["git"]["commit"], first.as_str(), "{replicas}");

    texts(&greffier, &ns);
    secrets(&greffier, &ns);
    without_a_daemon(&greffier, &ns);
    made_anew(&greffier, &ns);
}

/// What people read.
fn texts(greffier: &Greffier, ns: &str) {
    let (text, _) = greffier.cli_ends(0, &["blame", "deploy/web", "-n", ns]);
    let line = |end: &str| text.lines().find(|line| line.trim_end().ends_with(end)).unwrap();
    assert!(line("image: \"app:v2\"").contains("greffier (exact)"), "{text}");
    assert!(line("by-alice").contains("kubectl-annotate (claimed)"), "{text}");
    assert!(text.contains("no longer there: --removed lists them"), "{text}");
    let (wide, _) = greffier.cli_ends(0, &["blame", "deploy/web", "-n", ns, "-o", "wide"]);
    let row = wide.lines().find(|row| row.starts_with(IMAGE)).unwrap();
    assert!(row.contains("web/d.yaml") && row.contains("greffier"), "{row}");
    let (gone, _) = greffier.cli_ends(0, &["blame", "deploy/web", "-n", ns, "--removed"]);
    assert!(gone.lines().any(|row| row.starts_with(TEAM) && row.contains("unknown")), "{gone}");
    for (args, hint) in [
        (["deploy/wbe", "--field", "."], "did you mean"),
        (["deploy/web", "--field", ".spec.replica"], "did you mean .spec.replicas?"),
        (["deploy/web", "--field", "a..b"], ".spec.replicas"),
        (["blame-web", "--field", "."], "greffier tree blame-web"),
    ] {
        let all = [&["blame"], args.as_slice(), &["-n", ns]].concat();
        let (_, error) = greffier.cli_ends(2, &all);
        assert!(error.contains(hint), "{args:?}: {error}");
    }
}

/// Of a Secret the keys are told, and where they come from.
fn secrets(greffier: &Greffier, ns: &str) {
    let (text, _) = greffier.cli_ends(0, &["blame", "secret/s", "-n", ns, "-o", "json"]);
    assert!(!text.contains(PASSWORD) && !text.contains("hmac"), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let password = field(&answer, ".data.password").unwrap();
    assert_eq!(password["value"], "(secret)");
    assert_eq!(password["set"]["git"]["file"], "web/s.yaml", "{password}");
}

/// The same answer from the files; and what happens while no daemon runs lies between two events.
fn without_a_daemon(greffier: &Greffier, ns: &str) {
    let before = blame(greffier, ns, &[]);
    greffier.stop();
    let files = blame(greffier, ns, &[]);
    assert_eq!((&files["fields"], &files["removed"]), (&before["fields"], &before["removed"]));
    kubectl("bob", ns, &["annotate", "deploy/web", "example.org/gap=1"]);
    greffier.start();
    let gap = has(greffier, ns, ".metadata.annotations[example.org/gap]", &"1".into());
    let (after, seq) = (gap["set"]["after"].as_u64(), gap["set"]["seq"].as_u64());
    assert!(after.is_some_and(|after| after > 0) && after < seq, "{gap}");
    assert!(seq > before["seq"].as_u64(), "{gap}");
}

/// What is deleted and created again begins anew.
fn made_anew(greffier: &Greffier, ns: &str) {
    let uid = live(ns, "deploy/web", ".metadata.uid");
    kubectl("bob", ns, &["delete", "deploy/web"]);
    let anew = until("it is made anew", || {
        let anew = blame(greffier, ns, &[]);
        (anew["before"] == 1).then_some(anew)
    });
    assert_ne!(anew["uid"], uid.as_str());
    assert_eq!(field(&anew, NOTE), None, "the annotation was another object's");
    assert_eq!(anew["begun"]["who"]["write"]["verb"], "create", "{anew}");
    assert_eq!(anew["removed"], Value::Array(Vec::new()), "{anew}");
}
