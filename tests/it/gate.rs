//! The gate: deletions are judged by their blast radius before they are made.

use crate::daemon::{KEPT, config_map, until};
use crate::keep::{kept, live};

fn files(count: usize) -> Vec<(String, String)> {
    (0..count).map(|n| (format!("web/c{n}.yaml"), config_map(&format!("c{n}"), "1"))).collect()
}

#[test]
fn a_commit_that_would_delete_everything_waits_and_its_approval_carries_it_out() {
    let files = files(4);
    let refs: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (greffier, app, ns) = kept("gate", &refs);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web");
    greffier.repo.write("web/new.yaml", &config_map("new", "1"));
    greffier.repo.push("delete everything");
    let gated = greffier.wait_kind("plan.gated", &app);
    assert_eq!(gated["detail"]["writes"].as_array().unwrap().len(), 4);
    // What is not a deletion goes on.
    until("the new object is there", || (live(&ns, "cm/new", ".data.key") == "1").then_some(()));
    for n in 0..4 {
        assert_eq!(live(&ns, &format!("cm/c{n}"), ".data.key"), "1", "c{n} must not be deleted");
    }
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("greffier approve"), "{status}");
    let (_, refused) = greffier.cli_ends(6, &["approve", &app, "ffffffff", "--yes"]);
    assert!(refused.contains("error:"), "{refused}");
    greffier.cli_ends(6, &["approve", &app]);
    greffier.cli_ends(0, &["approve", &app, "--yes", "--reason", "spring cleaning"]);
    until("everything is gone", || {
        live(&ns, "cm", ".items[*].metadata.name")
            .split(' ')
            .all(|name| !name.starts_with('c'))
            .then_some(())
    });
    greffier.cli_ends(6, &["approve", &app, "--yes"]);
}

#[test]
fn an_empty_repository_folder_deletes_nothing() {
    let (greffier, app, ns) = kept("empty", &[("web/a.yaml", &config_map("a", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.repo.remove("web/a.yaml");
    greffier.repo.write("web/.keep", "");
    greffier.repo.push("empty");
    let gated = greffier.wait_kind("plan.gated", &app);
    assert!(gated["detail"]["reasons"].to_string().contains("allowEmpty"), "{gated}");
    assert_eq!(live(&ns, "cm/a", ".data.key"), "1");
    // Git says otherwise again: the gate lapses by itself.
    greffier.repo.write("web/a.yaml", &config_map("a", "2"));
    let commit = greffier.repo.push("back");
    greffier.wait_synced(&app, &commit);
    greffier.wait_kind("plan.lapsed", &app);
    assert_eq!(live(&ns, "cm/a", ".data.key"), "2");
}

#[test]
fn children_that_leave_git_keep_their_objects_unless_their_finalizer_says_otherwise() {
    use crate::daemon::{Greffier, application};
    use crate::keep::namespace;
    let greffier = Greffier::new();
    let (url, ns) = (greffier.repo.url(), namespace("children"));
    let plain = application("children-plain", &url, "plain", &ns, KEPT);
    let finalizer = "metadata:\n  finalizers: [resources-finalizer.argocd.argoproj.io]\n";
    let cascading = application("children-cascade", &url, "cascade", &ns, KEPT).replacen(
        "metadata:\n",
        finalizer,
        1,
    );
    let stays = |n: u32| application(&format!("children-stays{n}"), &url, "stays", &ns, r#"{}"#);
    greffier.repo.write("apps/plain.yaml", &plain).write("apps/cascade.yaml", &cascading);
    for n in 0..6 {
        greffier.repo.write(&format!("apps/stays{n}.yaml"), &stays(n));
    }
    greffier.repo.write("plain/c.yaml", &config_map("plain", "1"));
    greffier.repo.write("cascade/c.yaml", &config_map("cascade", "1"));
    greffier.repo.write("stays/c.yaml", &config_map("stays", "1"));
    let first = greffier.repo.push("first");
    let greffier = greffier.root(&application("children-root", &url, "apps", "argocd", KEPT));
    greffier.start();
    greffier.wait_synced("children-plain", &first);
    greffier.wait_synced("children-cascade", &first);
    greffier.repo.remove("apps/plain.yaml").remove("apps/cascade.yaml");
    greffier.repo.push("remove two children");
    until("the cascading child's object is gone", || {
        live(&ns, "cm/cascade", ".data.key").is_empty().then_some(())
    });
    greffier.wait_kind("app.removed", "children-plain");
    assert_eq!(live(&ns, "cm/plain", ".data.key"), "1");
}

#[test]
fn a_sync_by_hand_that_meets_the_gate_says_so_instead_of_waiting() {
    use crate::keep::kept_with;
    let files = files(4);
    let refs: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let manual = r#"{"syncOptions": ["CreateNamespace=true"]}"#;
    let (greffier, app, ns) = kept_with("gatesync", manual, &refs);
    greffier.wait_kind("render.succeeded", &app);
    greffier.cli_ends(0, &["sync", &app]);
    for n in 0..4 {
        greffier.repo.remove(&format!("web/c{n}.yaml"));
    }
    greffier.repo.write("web/new.yaml", &config_map("new", "1"));
    let commit = greffier.repo.push("remove most");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    let (_, stderr) = greffier.cli_ends(6, &["sync", &app, "--prune"]);
    assert!(stderr.contains("approve"), "{stderr}");
    assert_eq!(live(&ns, "cm/c0", ".data.key"), "1");
    greffier.cli_ends(0, &["approve", &app, "--yes"]);
    until("c0 is gone", || live(&ns, "cm/c0", ".data.key").is_empty().then_some(()));
}
