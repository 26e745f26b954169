//! What people decide beside Git, on a real API server: freezes, contests, kept changes.

use crate::daemon::config_map;
use crate::keep::{kept, live};

#[test]
fn a_freeze_outlives_a_restart_and_nothing_is_written_until_it_ends() {
    let (greffier, app, ns) = kept("freeze", &[("web/c.yaml", &config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.cli_ends(0, &["freeze", "--reason", "cluster upgrade"]);
    greffier.stop();
    greffier.start();
    greffier.repo.write("web/c.yaml", &config_map("one", "2"));
    let commit = greffier.repo.push("while frozen");
    greffier.wait("the render", |event| {
        event["kind"] == "render.succeeded"
            && event["detail"]["revision"]["commit"] == commit.as_str()
    });
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("FROZEN") && status.contains("cluster upgrade"), "{status}");
    let (apps, _) = greffier.cli_ends(0, &["get", "apps"]);
    assert!(apps.contains("greffier is frozen"), "{apps}");
    let (why, _) = greffier.cli_ends(0, &["why", &app]);
    assert!(why.contains("frozen") && why.contains("greffier unfreeze"), "{why}");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    let unfrozen = greffier.json(&["unfreeze", "-o", "json"]);
    greffier.wait_synced(&app, &commit);
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2");
    let (log, _) = greffier.cli_ends(0, &["log", "--kind", "operator", "-o", "json"]);
    assert!(log.contains("cluster upgrade"), "{log}");
    let written = greffier.json(&["log", "--all", "--kind", "apply.intent", "-o", "json"]);
    let written = written.as_array().unwrap().iter().filter(|row| row["commit"] == commit.as_str());
    assert!(written.clone().count() > 0, "the second commit was applied");
    assert!(written.clone().all(|row| row["seq"].as_u64() > unfrozen["seq"].as_u64()));
}
