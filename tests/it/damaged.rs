//! A ledger that is damaged before its end, read without a daemon: every answer says so, and ends
//! with exit code 7.

use crate::daemon::config_map;
use crate::keep::kept;

#[test]
fn what_is_answered_from_half_a_ledger_says_so() {
    let (greffier, app, ns) = kept("damaged", &[("web/1.yaml", &*config_map("one", "1"))]);
    greffier.wait_synced(&app, &greffier.repo.head());
    let segments = greffier.path("data").join("ledger/segments");
    let segment = std::fs::read_dir(segments).unwrap().next().unwrap().unwrap().path();
    let half = usize::try_from(std::fs::metadata(&segment).unwrap().len()).unwrap();
    greffier.repo.write("web/1.yaml", &config_map("one", "2"));
    let second = greffier.repo.push("second");
    greffier.wait_synced(&app, &second);
    assert_eq!(greffier.stop(), Some(0));
    let asked = [
        &["status"][..],
        &["log"],
        &["log", "-o", "json", "--quiet"],
        &["get", "apps"],
        &["show", "cm/one", "-n", &ns],
        &["why", &app],
        &["report", "audit", "--from", "#1"],
        &["doctor", "--recovery"],
        &["ledger", "info"],
    ];
    for command in asked {
        // What others have in the shared cluster may not come back: that is an answer, too.
        let ended = greffier.cli(command);
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{command:?}");
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(!told.contains("DAMAGED"), "{command:?}: {told}");
    }
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[half + 60] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for command in asked {
        let (answer, told) = greffier.cli_ends(7, command);
        assert!(!answer.is_empty(), "{command:?} answers from what can be read");
        let says = |text: &str| told.contains(text);
        assert!(says("the ledger is DAMAGED") && says("answers end with event #"), "{told}");
        assert!(says("the daemon does not start on it"), "{command:?}: {told}");
    }
    let (_, told) = greffier.cli_ends(7, &["ledger", "verify"]);
    assert!(told.contains("bring back the newest copy"), "{told}");
    greffier.cli_ends(7, &["serve"]);
    let damaged = std::fs::read(&segment).unwrap();

    // Without a copy, greffier goes on with what can be read.
    let ledger = greffier.path("data").join("ledger");
    let into = greffier.path("salvaged");
    let into_text = into.to_str().unwrap();
    let plan = greffier.cli(&["ledger", "salvage", "--plan", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let (kept, lost) = (plan["last"].as_u64().unwrap(), !plan["cut"].is_null());
    assert!(kept > 0 && plan["recorded"].is_null() && !into.exists(), "{plan}");
    let exit = if lost { 8 } else { 0 };
    let (told, _) = greffier.cli_ends(exit, &["ledger", "salvage", into_text]);
    assert!(told.contains(&format!("SALVAGED events #1 to #{kept}")), "{told}");
    assert_eq!(std::fs::read(&segment).unwrap(), damaged, "the damaged one is only read");
    let (_, told) = greffier.cli_ends(2, &["ledger", "salvage", into_text]);
    assert!(told.contains("is not empty"), "{told}");
    std::fs::rename(&ledger, greffier.path("data").join("ledger.damaged")).unwrap();
    std::fs::rename(&into, &ledger).unwrap();
    greffier.cli_ends(0, &["ledger", "verify"]);
    let (_, told) = greffier.cli_ends(2, &["ledger", "salvage", into_text]);
    assert!(told.contains("nothing is damaged"), "{told}");
    greffier.start();
    if lost {
        // Nobody knows what was decided in the events that are lost.
        let (status, _) = greffier.cli_ends(0, &["status"]);
        assert!(status.contains("salvaged from a damaged ledger"), "{status}");
        greffier.cli_ends(0, &["unfreeze"]);
    }
    greffier.wait_synced(&app, &second);
    let (log, _) = greffier.cli_ends(0, &["log", "--all", "-o", "json", "-n", "500"]);
    assert!(log.contains("the ledger was salvaged from"), "{log}");
}
