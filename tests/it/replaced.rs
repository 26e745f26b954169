//! An object that somebody deleted and made anew where nothing is put back, on a real API server.

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, application, config_map, until};
use crate::keep::{live, namespace};

/// What Git changes is applied, and what people change stays.
const LEFT: &str = r#"{"automated": {"prune": true}, "syncOptions": ["CreateNamespace=true"]}"#;

/// Goal: that somebody deleted it is no longer the last word when it is there again: what is otherwise
/// in it is told, so are later changes, and they can be taken back.
#[test]
fn what_was_deleted_and_made_anew_is_told_as_it_is() {
    let (greffier, ns) = (Greffier::new(), namespace("replaced"));
    let root = application("replaced", &greffier.repo.url(), "web", &ns, LEFT);
    let greffier = greffier.root(&root);
    greffier.repo.write("web/cm.yaml", &config_map("cm", "git"));
    let first = greffier.repo.push("first");
    greffier.start().wait_synced("replaced", &first);
    let alice = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["-n", &ns]).collect();
        ControlPlane::shared().kubectl_ok("alice", &args);
    };
    alice(&["delete", "cm", "cm"]);
    let deleted = greffier.wait("the deletion", |event| {
        event["kind"] == "drift.detected" && event["detail"]["kind"] == "Deleted"
    });
    alice(&["create", "cm", "cm", "--from-literal=key=hand"]);
    let drifted = |after: u64, value: &str| {
        let event = greffier.wait_after(after, value, |event| {
            event["kind"] == "drift.detected" && event["detail"]["kind"] == "Drift"
        });
        assert!(event["summary"].as_str().unwrap().contains(value), "{event}");
        event["seq"].as_u64().unwrap()
    };
    let anew = drifted(deleted["seq"].as_u64().unwrap(), r#""git" → "hand""#);
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("hand") && !status.contains("deleted by"), "{status}");
    alice(&["patch", "cm", "cm", "--type=merge", "-p", r#"{"data":{"key":"later"}}"#]);
    let later = drifted(anew, r#""git" → "later""#);
    greffier.cli_ends(0, &["undo", &format!("#{later}"), "--yes"]);
    until("it is as Git says", || (live(&ns, "cm/cm", ".data.key") == "git").then_some(()));
}
