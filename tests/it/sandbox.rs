//! Programs that render and try to get out: first the helper alone, then in the real daemon.
//!
//! The program that misbehaves is a `helm` written in bash, whose builtins can open files and
//! sockets without starting anything. What it does is in the file `behaviour` of its chart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::daemon::{Greffier, KEPT, application, config_map};
use crate::keep::{live, namespace};

/// What bash needs beside itself, which programs that render do not.
const SHELL: [&str; 2] = ["/bin", "/usr/bin"];

/// Runs a bash script as a program in the sandbox that may write into `write`.
fn confined(script: &str, write: &Path) -> Output {
    let policy = json!({"parent": std::process::id(), "read": [], "execute": SHELL,
        "write": [write], "cpu_seconds": 20, "memory_bytes": 2_147_483_648_u64});
    let mut helper = Command::new(env!("CARGO_BIN_EXE_greffier"));
    helper.args(["sandbox-exec", &policy.to_string(), "/bin/bash", "-c", script]);
    helper.env_clear().current_dir("/").output().unwrap()
}

#[test]
fn the_sandbox_holds_against_everything_that_its_check_tries() {
    let greffier = Greffier::new();
    let version = greffier.json(&["version", "-o", "json"]);
    // `greffier version` tries sockets of seven kinds, processes, signals, limits and files.
    assert_eq!(version["sandbox"], "files and system calls");
    let off = Greffier::new().configure("[tools]\nsandbox = \"off\"");
    let version = off.json(&["version", "-o", "json"]);
    assert!(version["sandbox"].as_str().unwrap().starts_with("off"), "{version}");
}

#[test]
fn a_confined_program_reaches_nothing_but_its_own_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (dir.path().join("own"), dir.path().join("other"));
    fs::create_dir(&own).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("ledger.key"), "secret").unwrap();
    std::os::unix::fs::symlink(other.join("ledger.key"), own.join("link")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(other.join("socket")).unwrap();
    let (own_path, other_path) = (own.display(), other.display());
    let refused = |script: &str, word: &str| {
        let output = confined(script, &own);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "`{script}` succeeded");
        assert!(stderr.contains(word), "`{script}` says {stderr}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("secret"), "{script}");
    };
    // The same program may do what it is for.
    let fine =
        confined(&format!("echo fine > {own_path}/x && read y < {own_path}/x && echo $y"), &own);
    assert_eq!(String::from_utf8_lossy(&fine.stdout), "fine\n", "{fine:?}");
    let denied = "Permission denied";
    refused("read x < /etc/passwd; exit $?", denied);
    refused(&format!("read x < {other_path}/ledger.key && echo $x"), denied);
    refused(&format!("read x < {own_path}/link && echo $x"), denied);
    refused(&format!("read x < {own_path}/../other/ledger.key && echo $x"), denied);
    refused(&format!("echo x > {other_path}/new"), denied);
    refused(&format!("echo x >> {other_path}/ledger.key"), denied);
    refused("read x < /proc/1/environ", denied);
    refused("exec 3<>/dev/tcp/127.0.0.1/80", "Operation not permitted");
    refused("exec 3<>/dev/udp/127.0.0.1/53", "Operation not permitted");
    refused(&format!("kill -KILL {}", std::process::id()), "Operation not permitted");
    refused("bomb() { bomb | bomb & }; bomb; wait; exit 1", "fork");
    refused("echo $(echo a process); exit 1", "fork");
    refused("ulimit -v unlimited; ulimit -f unlimited", "cannot modify limit");
    refused("x=0123456789abcdef; while :; do x=$x$x; done", "cannot allocate");
    drop(socket);
    assert_eq!(fs::read_to_string(other.join("ledger.key")).unwrap(), "secret");
    assert!(!other.join("new").exists());
}

#[test]
fn a_program_whose_sandbox_cannot_be_had_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("ran");
    let policy = json!({"parent": 1, "read": [], "execute": SHELL, "write": [dir.path()],
        "cpu_seconds": 20, "memory_bytes": 2_147_483_648_u64});
    let script = format!("echo > {}", marker.display());
    let mut helper = Command::new(env!("CARGO_BIN_EXE_greffier"));
    // Its parent is not the process that it is told to stay with.
    let output = helper
        .args(["sandbox-exec", &policy.to_string(), "/bin/bash", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("greffier-sandbox: greffier ended"), "{stderr}");
    assert!(!marker.exists());
}

/// A `helm` that does what its chart tells it to.
fn rogue(dir: &Path) -> PathBuf {
    let program = dir.join("rogue-helm");
    let script = "#!/bin/bash
if [ \"$1\" = version ]; then echo v4.9.9; exit; fi
chart=${!#}
read -r behaviour < \"$chart/behaviour\"
echo '{}'
eval \"$behaviour\" || exit 1
";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn a_renderer_that_misbehaves_fails_its_own_application_and_no_other() {
    let ns = namespace("rogue");
    let greffier = Greffier::new();
    let key = greffier.path("ledger.key");
    let helm = rogue(greffier.dir.path());
    let mut greffier = greffier.configure(&format!(
        "[tools]\nhelm = {helm:?}\nkustomize = \"/nowhere\"\nsandbox_read = {SHELL:?}\n\
         timeout = \"20s\"\noutput_bytes_max = 1000000\n"
    ));
    let behaviours = [
        ("key", format!("read x < {}", key.display()), "ledger.key: Permission denied"),
        ("other", "read x < /etc/passwd".to_owned(), "/etc/passwd: Permission denied"),
        ("write", format!("echo > {}/x", greffier.dir.path().display()), "Permission denied"),
        ("tcp", "exec 3<>/dev/tcp/127.0.0.1/80".to_owned(), "Operation not permitted"),
        ("fork", "bomb() { bomb | bomb; }; bomb".to_owned(), "fork"),
        ("output", "while :; do echo 0123456789; done".to_owned(), "wrote more than 1000000 bytes"),
        ("time", "while :; do :; done".to_owned(), "took longer than 20 s"),
    ];
    for (name, behaviour, _) in &behaviours {
        let chart = format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n");
        greffier.repo.write(&format!("{name}/Chart.yaml"), &chart);
        greffier.repo.write(&format!("{name}/behaviour"), &format!("{behaviour}\n"));
        let app = format!("rogue-{name}");
        let root = application(&app, &greffier.repo.url(), name, &ns, KEPT);
        greffier = greffier.root(&root);
    }
    greffier.repo.write("good/c.yaml", &config_map("good", "1"));
    let commit = greffier.repo.push("first");
    let root = application("rogue-good", &greffier.repo.url(), "good", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("rogue-good", &commit);
    for (name, behaviour, word) in &behaviours {
        let failed = greffier.wait_kind("render.failed", &format!("rogue-{name}"));
        let error = failed["detail"]["error"].as_str().unwrap();
        assert!(error.contains(word), "{behaviour}: {error}");
    }
}

#[test]
fn a_real_chart_renders_in_the_sandbox() {
    let ns = namespace("sandboxed");
    let greffier = Greffier::new();
    greffier.repo.write("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n");
    greffier.repo.write("web/templates/c.yaml", &config_map("chart", "{{ .Release.Name }}"));
    let commit = greffier.repo.push("first");
    let root = application("sandboxed-web", &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced("sandboxed-web", &commit);
    assert_eq!(live(&ns, "cm/chart", ".data.key"), "sandboxed-web");
    assert!(greffier.log_tail().contains("sandbox: files and system calls"));
}
