//! No room: what is recorded is served, nothing is written, and all goes on when there is room.
//! And what is too large for the ledger: it fails alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, run, until};
use crate::keep::{live, namespace};

/// What other tests may take meanwhile must not fill the disk of this one.
const MARGIN_BYTES: u64 = 1 << 30;

fn free_bytes(dir: &Path) -> u64 {
    let told = run(Command::new("df").args(["--output=avail", "-B1", dir.to_str().unwrap()]));
    told.lines().nth(1).unwrap().trim().parse().unwrap()
}

/// Takes so much room that the reserve is broken; gives it back when the file is removed.
fn ballast(greffier: &Greffier) {
    let (file, bytes) = (greffier.path("ballast"), (2 * MARGIN_BYTES).to_string());
    run(Command::new("fallocate").args(["-l", &bytes, file.to_str().unwrap()]));
}

#[test]
fn a_full_disk_makes_it_read_only_until_there_is_room() {
    let (ns, app) = (namespace("full"), "full-web");
    let greffier = Greffier::new();
    let free = free_bytes(greffier.dir.path());
    let reserve = free.checked_sub(MARGIN_BYTES).expect("the test needs 3 GiB of disk");
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let settings = format!("[ledger]\nfree_bytes_reserve = {reserve}");
    let greffier = greffier.configure(&settings).root(&root);
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    greffier.start();
    greffier.wait_synced(app, &greffier.repo.head());

    ballast(&greffier);
    let patch = ["patch", "cm/one", "-n", &ns, "--type", "merge", "-p", r#"{"data":{"key":"2"}}"#];
    ControlPlane::shared().kubectl_ok("alice", &patch);
    let why = until("it is read-only", || {
        // Between the two ways of serving nobody answers for an instant.
        let output = greffier.cli(&["status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        status["daemon"]["read_only"].as_str().map(str::to_owned)
    });
    assert!(why.contains("the disk is full"), "{why}");
    let (status, _) = greffier.cli_ends(0, &["status"]);
    assert!(status.contains("READ-ONLY nothing is recorded"), "{status}");
    let (_, refused) = greffier.cli_ends(3, &["pause", app]);
    assert!(refused.contains("the disk is full"), "{refused}");
    let (shown, _) = greffier.cli_ends(0, &["show", app]);
    assert!(shown.contains(app), "{shown}");
    let second = greffier.repo.write("web/d.yaml", &config_map("two", "1")).push("second");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2", "nothing is healed without a record");

    std::fs::remove_file(greffier.path("ballast")).unwrap();
    until("it writes again", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
    greffier.follow_again();
    greffier.wait_synced(app, &second);
    greffier.wait("the gap", |event| {
        event["kind"] == "daemon.stopped" && event.to_string().contains("the disk is full")
    });
    greffier.wait("the drift", |event| event["kind"] == "drift.detected");
    let status = greffier.json(&["status", "-o", "json"]);
    assert!(status["daemon"]["read_only"].is_null(), "{status}");
    assert_eq!(greffier.stop(), Some(0), "{}", greffier.log_tail());
}

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it, which root may.
    fn mount(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let path = at.to_str().unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs", path]));
        Self(at)
    }

    /// Takes all of its room.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        assert!(free_bytes(&self.0) < 4096);
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever reads there may not have ended yet.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Goal: a daemon that was killed, or rebooted, while the disk is full is as read-only as one that
/// ran, breaks nothing, and goes on by itself.
#[test]
fn a_daemon_that_is_started_with_a_full_disk_is_read_only_until_there_is_room() {
    let (ns, app) = (namespace("fullstart"), "fullstart-web");
    let greffier = Greffier::new();
    let root = application(app, &greffier.repo.url(), "web", &ns, KEPT);
    let settings = "[ledger]\nfree_bytes_reserve = 20000000";
    let greffier = greffier.configure(settings).root(&root);
    // Unmounted before its directory is removed.
    let disk = SmallDisk::mount(greffier.path("data"));
    greffier.repo.write("web/c.yaml", &config_map("one", "1"));
    greffier.repo.push("first");
    greffier.start();
    greffier.wait_synced(app, &greffier.repo.head());
    greffier.kill();
    disk.fill();
    let patch = ["patch", "cm/one", "-n", &ns, "--type", "merge", "-p", r#"{"data":{"key":"2"}}"#];
    ControlPlane::shared().kubectl_ok("alice", &patch);

    // More than once, as a service manager would.
    for _ in 0..2 {
        greffier.start();
        let (status, _) = greffier.cli_ends(0, &["status"]);
        assert!(status.contains("READ-ONLY nothing is recorded"), "{status}");
        assert!(status.contains("the disk is full"), "{status}");
        assert!(status.contains(disk.0.to_str().unwrap()), "{status}");
        let (_, refused) = greffier.cli_ends(3, &["pause", app]);
        assert!(refused.contains("the disk is full"), "{refused}");
        greffier.wait_synced(app, &greffier.repo.head());
        greffier.kill();
    }
    greffier.start();
    let second = greffier.repo.write("web/d.yaml", &config_map("two", "1")).push("second");
    assert_eq!(live(&ns, "cm/one", ".data.key"), "2", "nothing is healed without a record");
    disk.make_room();
    until("it writes again", || (live(&ns, "cm/one", ".data.key") == "1").then_some(()));
    greffier.follow_again();
    greffier.wait_synced(app, &second);
    greffier.wait("the gap", |event| {
        event["kind"] == "daemon.stopped" && event.to_string().contains("read-only from")
    });
    let status = greffier.json(&["status", "-o", "json"]);
    assert!(status["daemon"]["read_only"].is_null(), "{status}");
    let info = greffier.json(&["ledger", "info", "-o", "json"]);
    assert!(info["index_bytes"].as_u64().unwrap() > 0, "the index is on disk again: {info}");
    let (repaired, _) =
        greffier.cli_ends(0, &["log", "--all", "--kind", "ledger.repaired", "-o", "json"]);
    assert_eq!(repaired.trim(), "[]", "the index was not to blame");

    // What a crash left cannot be set aside without room, and is not read over: it is waited for.
    greffier.kill();
    let segments = fs::read_dir(disk.0.join("ledger/segments")).unwrap();
    let last = segments.map(|entry| entry.unwrap().path()).max().unwrap();
    fs::File::options().append(true).open(&last).unwrap().write_all(&[0; 40]).unwrap();
    disk.fill();
    let mut waiting = greffier.spawn(&[]);
    until("it waits", || {
        let log = fs::read_to_string(greffier.path("log")).unwrap();
        log.contains("WAITING for room").then_some(())
    });
    assert!(waiting.try_wait().unwrap().is_none());
    disk.make_room();
    until("it runs", || {
        let output = greffier.cli(&["status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["daemon"]["pid"] == waiting.id()).then_some(())
    });
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    greffier.cli_ends(0, &["ledger", "verify"]);
}

#[test]
fn an_application_that_is_too_large_for_the_ledger_fails_alone() {
    let (ns, good, bad) = (namespace("toolarge"), "toolarge-good", "toolarge-bad");
    let greffier = Greffier::new();
    let url = greffier.repo.url();
    greffier.repo.write("good/c.yaml", &config_map("one", "1"));
    // The definitions of child applications are part of the render's event, 32 MiB at most.
    let long = format!("metadata:\n  annotations:\n    long: {}\n", "x".repeat(1_200_000));
    for n in 0..30 {
        let child = application(&format!("toolarge-{n}"), &url, "good", &ns, KEPT);
        let child = child.replacen("metadata:\n", &long, 1);
        greffier.repo.write(&format!("bad/{n}.yaml"), &child);
    }
    greffier.repo.push("first");
    let greffier = greffier
        .root(&application(bad, &url, "bad", &ns, KEPT))
        .root(&application(good, &url, "good", &ns, KEPT));
    greffier.start();
    let failed = greffier.wait_kind("render.failed", bad);
    let error = failed["detail"]["error"].as_str().unwrap();
    assert!(error.contains("too large to be recorded"), "{error}");
    greffier.wait_synced(good, &greffier.repo.head());
    assert_eq!(live(&ns, "cm/one", ".data.key"), "1");
    assert_eq!(greffier.stop(), Some(0), "{}", greffier.log_tail());
}
