//! Two applications of one namespace, replayed one after the other onto a real API server.

use serde_json::Value;

use crate::cluster::{ControlPlane, Options};
use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::recovery::{jsonpath, onto, target};

const NS: &str = "shared";
const OWNER: &str = ".metadata.annotations.greffier\\.dev/application";

fn plane() -> ControlPlane {
    ControlPlane::start_with(Options { kwok: false, ..Options::default() })
}

/// A ledger that knows two applications, each of which makes the namespace; and an instant at which
/// `one` did not have all of it.
fn sharing() -> (Greffier, String) {
    let burned = plane();
    let greffier = Greffier::on(&burned);
    greffier.repo.write("one/cm.yaml", &config_map("one", "1"));
    greffier.repo.write("two/cm.yaml", &config_map("two", "1"));
    let commit = greffier.repo.push("both");
    let url = greffier.repo.url();
    let greffier = greffier
        .root(&application("one", &url, "one", NS, KEPT))
        .root(&application("two", &url, "two", NS, KEPT));
    greffier.start().wait_synced("one", &commit);
    greffier.wait_synced("two", &commit);
    let then = format!("#{}", greffier.seq());
    let commit = greffier.repo.write("one/more.yaml", &config_map("more", "1")).push("more");
    greffier.wait_synced("one", &commit);
    assert_eq!(greffier.stop(), Some(0));
    (greffier, then)
}

/// Replays what is asked for; it ends well.
fn replayed(greffier: &Greffier, new: &[String; 2], more: &[&str]) -> Value {
    let args = [more, &["--yes", "-o", "json"]].concat();
    let (report, said) = greffier.cli_ends(0, &onto(new, &args));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verified"], true, "{said}");
    report
}

fn counted(report: &Value) -> (&Value, &Value, &Value) {
    (&report["written"], &report["found"], &report["now"])
}

/// Goal: whoever brings back one application first can bring back the others of its namespace, and
/// everything, afterwards; what somebody changed meanwhile is in the way by name.
#[test]
fn applications_of_one_namespace_come_back_one_after_the_other() {
    let (greffier, then) = sharing();
    let fresh = plane();
    let new = target(&fresh);
    let (plan, _) = greffier.cli_ends(0, &onto(&new, &["--app", "two", "--plan", "-o", "json"]));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    let steps: Vec<_> = steps.map(|step| (&step["object"], &step["app"])).collect();
    let cm = format!("ConfigMap/{NS}/two");
    assert_eq!(
        steps,
        [(&format!("Namespace/{NS}").into(), &"two".into()), (&cm.as_str().into(), &"two".into())]
    );
    let second = replayed(&greffier, &new, &["--app", "two"]);
    assert_eq!(counted(&second), (&2.into(), &0.into(), &2.into()), "{second}");

    let first = replayed(&greffier, &new, &["--app", "one"]);
    assert_eq!(counted(&first), (&3.into(), &1.into(), &2.into()), "{first}");
    let namespace = ["namespace", NS];
    assert_eq!(jsonpath(&fresh, &namespace, OWNER), "two", "it stays as it was written");
    greffier.cli_ends(0, &onto(&new, &["--verify"]));
    let all = replayed(&greffier, &new, &[]);
    assert_eq!(counted(&all), (&4.into(), &4.into(), &0.into()), "{all}");

    // Another instant: what is there of a former one is in the way.
    let at = ["--app", "one", "--at", &then, "--yes"];
    let (_, said) = greffier.cli_ends(6, &onto(&new, &at));
    let wrote = format!(
        "ConfigMap/{NS}/more: replay #{} wrote it, and this one does not have it",
        all["recovery"]
    );
    assert!(said.contains(&wrote) && !said.contains(&format!("\n  ConfigMap/{NS}/one")), "{said}");

    let edit = ["patch", "cm", "two", "-n", NS, "-p", r#"{"data":{"key":"hand"}}"#];
    fresh.kubectl_ok("alice", &edit);
    let (_, said) = greffier.cli_ends(6, &onto(&new, &["--app", "two", "--yes"]));
    let wrote = format!("{cm}: replay #{} wrote it", all["recovery"]);
    assert!(said.contains(&wrote) && said.contains(".data.key"), "{said}");
    assert!(!said.contains(&format!("Namespace/{NS}:")), "{said}");
    assert_eq!(jsonpath(&fresh, &["-n", NS, "cm", "two"], ".data.key"), "hand");
}
