//! A ledger that is damaged before its end. Read without a daemon: every answer says so, and ends
//! with exit code 7. With a daemon that runs: it says so by itself, and goes on.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{kept, live, namespace};

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

/// Text that no compression makes short, so that a file of the ledger is soon full.
fn noise(bytes: usize) -> String {
    let step = |n: &u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let numbers = std::iter::successors(Some(1_u64), step).skip(1);
    numbers.map(|n| format!("{:06x}", n >> 40)).take(bytes / 6).collect()
}

/// A ledger with a sealed file, of a daemon that has stopped: its namespace, its application and its
/// files.
fn sealed(name: &str) -> (Greffier, String, String, Vec<PathBuf>) {
    let (ns, app) = (namespace(name), format!("{name}-web"));
    let greffier = Greffier::new();
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    // Whoever learns who made what reads back at the start.
    let audited = ControlPlane::shared().audit_log();
    let settings =
        format!("[ledger]\nsegment_bytes_max = 65536\n[audit]\nfile = \"{}\"", audited.display());
    let greffier = greffier.configure(&settings).root(&root);
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.write("web/big.yaml", &config_map("big", &noise(120_000)));
    greffier.repo.push("first");
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    assert_eq!(greffier.stop(), Some(0));
    let segments = greffier.path("data").join("ledger/segments");
    let mut files: Vec<_> = fs::read_dir(&segments).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 1, "the first file is sealed: {files:?}");
    (greffier, ns, app, files)
}

/// Goal: an operator hears of damage in an old event from the daemon that runs on, while there may
/// still be a copy, and not at the upgrade whose start needs that event.
#[test]
fn a_daemon_on_a_ledger_with_an_old_damaged_event_says_so_and_goes_on() {
    let (greffier, ns, app, files) = sealed("olddamage");
    let app = app.as_str();
    let whole = fs::read(&files[0]).unwrap();
    let mut bytes = whole.clone();
    bytes[400] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let (_, told) = greffier.cli_ends(7, &["ledger", "verify"]);
    assert!(told.contains("a start without a snapshot"), "{told}");

    greffier.start();
    let status = until("status tells of the damage", || {
        let status = greffier.json(&["status", "-o", "json"]);
        (status["wholeness"]["damage"].as_array()?.len() == 1).then_some(status)
    });
    let file = files[0].to_str().unwrap();
    assert!(status["wholeness"]["damage"][0].as_str().unwrap().contains(file), "{status}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("DAMAGED") && status.contains(file), "{status}");
    assert!(status.contains("goes on") && status.contains("before you upgrade"), "{status}");
    let (doctor, _) = greffier.cli_ends(1, &["doctor", "--recovery"]);
    assert!(doctor.contains("nothing of it: the ledger is DAMAGED"), "{doctor}");
    assert!(doctor.contains(file) && doctor.contains("salvage --plan"), "{doctor}");
    let log = until("the log tells of it", || {
        let log = fs::read_to_string(greffier.path("log")).unwrap();
        log.contains("DAMAGED LEDGER").then_some(log)
    });
    assert!(log.contains(file), "{log}");

    // What has to read it fails, which is no reason to let the cluster go.
    let (_, told) = greffier.cli_ends(7, &["log", "--all", "-n", "100000"]);
    assert!(told.contains("the ledger is damaged"), "{told}");
    let patch = ["patch", "cm/one", "-n", &ns, "--type", "merge", "-p", r#"{"data":{"key":"2"}}"#];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    until("it is put back", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
    greffier.repo.write("web/c.yaml", &config_map("one", "3")).push("second");
    until("the push is deployed", || (live(&ns, "cm/one", ".data.key") == "3").then_some(()));
    let second = greffier.repo.head();
    until("that is recorded", || {
        let (log, _) = greffier.cli_ends(0, &["log", app, "-n", "1", "-o", "json"]);
        log.contains(&second).then_some(())
    });
    assert_eq!(greffier.stop(), Some(0), "{}", greffier.log_tail());

    // A start that has nothing but the events needs all of them.
    let snapshots = greffier.path("data").join("ledger/snapshots");
    fs::rename(&snapshots, greffier.path("snapshots")).unwrap();
    greffier.cli_ends(7, &["serve"]);

    // A copy of the file fits what came since.
    fs::write(&files[0], whole).unwrap();
    greffier.cli_ends(0, &["ledger", "verify"]);
    greffier.start();
    greffier.wait_synced(app, &second);
    let status: Value = until("it was checked", || {
        let status = greffier.json(&["status", "-o", "json"]);
        status["wholeness"]["checked"].is_u64().then_some(status)
    });
    assert_eq!(status["wholeness"]["damage"], serde_json::json!([]), "{status}");
    let (doctor, _) = {
        let output = greffier.cli(&["doctor", "--recovery"]);
        (String::from_utf8(output.stdout).unwrap(), output.status)
    };
    assert!(doctor.contains("and checked ("), "{doctor}");
    assert_eq!(greffier.stop(), Some(0), "{}", greffier.log_tail());
}

/// Goal: the cluster is kept although nothing of what was recorded of an object can be read. Method:
/// every record of the sealed file is damaged, and what is in it is changed by hand and in Git.
#[test]
fn what_cannot_be_read_of_an_object_is_no_reason_to_let_it_go() {
    let (greffier, ns, app, files) = sealed("unreadable");
    // Whoever finds it up may stop it.
    greffier.start();
    assert_eq!(greffier.stop(), Some(0));
    // The last event before a stop, of which the snapshot is, may be the last of its file.
    assert!(files.len() > 2, "{files:?}");
    for file in &files[..files.len() - 2] {
        let mut bytes = fs::read(file).unwrap();
        // A file without its last bytes is none, and the first events say whose ledger it is.
        let records = bytes.len() / 4..bytes.len() - 2_000;
        bytes[records].iter_mut().step_by(40).for_each(|byte| *byte ^= 1);
        fs::write(file, bytes).unwrap();
    }
    greffier.start();
    for key in ["one", "big"] {
        let object = format!("cm/{key}");
        let patch =
            ["patch", &object, "-n", &ns, "--type", "merge", "-p", r#"{"data":{"key":"2"}}"#];
        ControlPlane::shared().kubectl_ok("alice", &patch);
    }
    ControlPlane::shared().kubectl_ok("alice", &["delete", "cm/big", "-n", &ns]);
    greffier.repo.write("web/c.yaml", &config_map("one", "3"));
    greffier.repo.write("web/big.yaml", &config_map("big", "4")).push("second");
    until("the push is deployed", || {
        let (one, big) = (live(&ns, "cm/one", ".data.key"), live(&ns, "cm/big", ".data.key"));
        (one == "3" && big == "4").then_some(())
    });
    until("it is synced", || {
        let app = greffier.json(&["get", "apps", &app, "-o", "json"]);
        (app[0]["sync"] == "Synced").then_some(())
    });
    assert_eq!(greffier.stop(), Some(0), "{}", greffier.log_tail());
}
