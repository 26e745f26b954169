//! A real Kubernetes control plane for tests, the demo and the benchmarks.
//!
//! [`ControlPlane`] owns one supervisor process (`control-plane up`, see `tests/cluster`), which
//! in turn owns etcd, the API server, the controllers and kwok's two nodes. Tests share one
//! through [`ControlPlane::shared`] and work in namespaces of their own; a test that stops, pauses
//! or wipes the cluster starts one for itself.
//!
//! Nothing outlives the process that started it, however that process ends: the supervisor stops
//! everything and removes its directory when its standard input closes. With `GREFFIER_KEEP` set
//! the directory, with the logs of every program, stays.
//!
//! The code is blocking and uses the standard library and `serde_json` only, so that any target
//! can include the file.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

/// Longer than the supervisor's own limit of 90 s, so that its explanation arrives first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const LOG_TAIL_BYTES: usize = 6_000;

/// What a control plane is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How much of each change the audit log records: `None`, `Metadata`, `Request` or
    /// `RequestResponse`. Bodies of Secrets are never in it.
    pub(crate) audit_level: &'static str,
    /// A whole audit policy (YAML) to use instead.
    pub(crate) audit_policy: Option<String>,
    /// Whether two nodes are played, on which pods run at once.
    pub(crate) kwok: bool,
    /// Further flags of the API server: another version that it behaves as, versions that it
    /// serves.
    pub(crate) api_server: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        let (audit_level, api_server) = ("RequestResponse", Vec::new());
        Self { audit_level, audit_policy: None, kwok: true, api_server }
    }
}

/// Returns the directory with `helm`, `kustomize`, `kubectl` and the rest, building it first if
/// this machine has not done so yet (minutes).
pub(crate) fn tool_dir() -> &'static Path {
    try_tool_dir().unwrap_or_else(|error| panic!("{error}"))
}

fn try_tool_dir() -> Result<&'static Path, String> {
    static TOOL_DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TOOL_DIR.get_or_init(build_tools).as_deref().map_err(Clone::clone)
}

fn build_tools() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
    let output = Command::new("bash")
        .arg(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit()) // A build takes minutes: let people see it.
        .output()
        .map_err(|error| format!("cannot run {}: {error}", script.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last() {
        Some(dir) if output.status.success() => Ok(PathBuf::from(dir)),
        _ => Err(format!("{} failed ({}); its output is above", script.display(), output.status)),
    }
}

/// One running control plane; dropping it stops it.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    dir: PathBuf,
    server: String,
    tools: &'static Path,
    supervisor: Mutex<Supervisor>,
}

impl ControlPlane {
    /// Starts a control plane with the default options and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a control plane and waits until it is ready. Panics with the logs if it cannot.
    pub(crate) fn start_with(options: Options) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a control plane, or says why it cannot, with the end of the log concerned.
    pub(crate) fn try_start(options: Options) -> Result<Self, String> {
        let tools = try_tool_dir()?;
        let dir = new_directory()?;
        let mut supervisor = Supervisor::spawn(tools, &dir, &options)?;
        let ready = supervisor.answer("start")?;
        let Some(server) = ready["server"].as_str() else {
            return Err(format!("the control plane said something unexpected: {ready}"));
        };
        Ok(Self { server: server.to_owned(), dir, tools, supervisor: Mutex::new(supervisor) })
    }

    /// Returns the control plane that all tests of this process share, starting it first.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Returns the API server's address, `https://127.0.0.1:PORT`.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Returns the directory with the kubeconfigs and logs.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the kubeconfig of `admin`, `greffier`, `alice` or `bob`, who may do everything, or
    /// of `limited`, who may do nothing.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.dir.join(format!("{user}.kubeconfig"));
        assert!(path.exists(), "the control plane has no user {user:?}");
        path
    }

    /// Returns the path of `helm`, `kustomize` or `kubectl`.
    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        let path = self.tools.join(name);
        assert!(path.exists(), "there is no program {name:?} in {}", self.tools.display());
        path
    }

    /// Returns the API server's audit log, one JSON event a line.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// Returns a kubectl command that acts as `user`.
    pub(crate) fn kubectl(&self, user: &str) -> Command {
        let mut command = Command::new(self.bin("kubectl"));
        command
            .env("KUBECONFIG", self.kubeconfig(user))
            .env("KUBERC", "off")
            // The usual cache is found by port, which some other run may have had.
            .env("KUBECACHEDIR", self.kubectl_cache());
        command
    }

    /// Runs kubectl as `user` and returns its output. Panics with its errors if it fails.
    pub(crate) fn kubectl_ok(&self, user: &str, args: &[&str]) -> String {
        finish(self.kubectl(user).args(args).stdin(Stdio::null()), args)
    }

    /// Applies a manifest as `user` and returns kubectl's output. Panics if it fails.
    pub(crate) fn apply(&self, user: &str, manifest: &str) -> String {
        let path = self.dir.join(format!("manifest-{}.yaml", next_number()));
        fs::write(&path, manifest).unwrap_or_else(|e| panic!("cannot write a manifest: {e}"));
        let output = finish(self.kubectl(user).args(["apply", "-f"]).arg(&path), &["apply"]);
        let _ = fs::remove_file(&path);
        output
    }

    /// Kills the API server; etcd and the controllers stay.
    pub(crate) fn stop_apiserver(&self) {
        self.command("stop-apiserver");
    }

    /// Starts the API server again at the same address and waits until it is ready. The
    /// controllers start anew with it, so that no back-off of theirs delays the test.
    pub(crate) fn start_apiserver(&self) {
        self.command("start-apiserver");
    }

    /// Stops the API server in its tracks: connections stay open and nothing answers.
    pub(crate) fn pause_apiserver(&self) {
        self.command("pause-apiserver");
    }

    /// Lets a paused API server go on.
    pub(crate) fn resume_apiserver(&self) {
        self.command("resume-apiserver");
    }

    /// Puts a fresh cluster in the place of this one: same address and users, no objects.
    pub(crate) fn wipe(&self) {
        self.command("wipe");
        let _ = fs::remove_dir_all(self.kubectl_cache());
    }

    /// Copies the objects, for [`restore`](Self::restore); the control plane restarts.
    pub(crate) fn save(&self) {
        self.command("save");
    }

    /// Puts the copy that was saved last in the place of the objects, as from a backup.
    pub(crate) fn restore(&self) {
        self.command("restore");
        let _ = fs::remove_dir_all(self.kubectl_cache());
    }

    /// Returns the process id of each program that runs now.
    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        self.lock().pids.clone()
    }

    /// Returns the memory of all programs together, shared pages counted once.
    pub(crate) fn pss_bytes(&self) -> u64 {
        self.pids().values().map(|pid| pss_bytes(*pid)).sum()
    }

    fn command(&self, name: &str) {
        if let Err(error) = self.lock().command(name) {
            panic!("{error}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Supervisor> {
        // A test that panicked in the middle of a command must not fail the others.
        self.supervisor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn kubectl_cache(&self) -> PathBuf {
        self.dir.join("kubectl-cache")
    }
}

/// The supervisor process and the two pipes to it.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Ends when the supervisor has ended.
    lines: Receiver<String>,
    pids: BTreeMap<String, u32>,
    dir: PathBuf,
}

impl Supervisor {
    fn spawn(tools: &Path, dir: &Path, options: &Options) -> Result<Self, String> {
        let describe =
            |error| format!("cannot start the control plane in {}: {error}", dir.display());
        let log = fs::File::create(dir.join("control-plane.log")).map_err(describe)?;
        let mut command = Command::new(tools.join("control-plane"));
        command.arg("up").arg("--dir").arg(dir);
        command.arg(format!("--audit-level={}", options.audit_level));
        command.arg(format!("--kwok={}", options.kwok));
        command.arg(format!("--remove-dir={}", !keep_directories()));
        command.args(options.api_server.iter().map(|flag| format!("--apiserver-flag={flag}")));
        if let Some(policy) = &options.audit_policy {
            let path = dir.join("audit-policy-given.yaml");
            fs::write(&path, policy).map_err(describe)?;
            command.arg("--audit-policy").arg(path);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(describe)?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, pids: BTreeMap::new(), dir: dir.to_owned() })
    }

    fn command(&mut self, name: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().expect("standard input is open until drop");
        if let Err(error) = writeln!(stdin, "{name}") {
            return Err(self.failure(name, &format!("it does not listen: {error}")));
        }
        let answer = self.answer(name)?;
        if answer["ok"] == true {
            return Ok(());
        }
        Err(self.failure(name, answer["error"].as_str().unwrap_or("it did not say why")))
    }

    /// Waits for the supervisor's next line, which names the programs that run after it.
    fn answer(&mut self, command: &str) -> Result<Value, String> {
        let line = self.lines.recv_timeout(ANSWER_TIMEOUT).map_err(|error| {
            let reason = match error {
                RecvTimeoutError::Timeout => format!("no answer within {ANSWER_TIMEOUT:?}"),
                RecvTimeoutError::Disconnected => "the supervisor ended".to_owned(),
            };
            self.failure(command, &reason)
        })?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| self.failure(command, &format!("{error} in {line:?}")))?;
        self.pids = answer["pids"].as_object().map(pids_of).unwrap_or_default();
        Ok(answer)
    }

    fn failure(&self, command: &str, reason: &str) -> String {
        let mut message = format!("control plane: {command}: {reason}");
        let log = fs::read(self.dir.join("control-plane.log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]);
        if !tail.trim().is_empty() {
            let _ = write!(message, "\n{}", tail.trim());
        }
        message
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stdin = None;
        while self.lines.recv_timeout(STOP_TIMEOUT).is_ok() {}
        // The supervisor has ended, or never will; its children end with it either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !keep_directories() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn keep_directories() -> bool {
    std::env::var_os("GREFFIER_KEEP").is_some()
}

fn new_directory() -> Result<PathBuf, String> {
    let name = format!("greffier-cluster-{}-{}", std::process::id(), next_number());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    Ok(dir)
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn finish(command: &mut Command, args: &[&str]) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run kubectl: {error}"));
    assert!(
        output.status.success(),
        "kubectl {} failed ({}): {}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pids_of(object: &serde_json::Map<String, Value>) -> BTreeMap<String, u32> {
    let pid = |value: &Value| value.as_u64().and_then(|pid| u32::try_from(pid).ok());
    object.iter().filter_map(|(name, value)| Some((name.clone(), pid(value)?))).collect()
}

/// Returns the proportional set size of one process, 0 when it has ended.
fn pss_bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|word| word.parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.test/web:1}]}
"#;

    const JOB: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: once, image: example.test/once:1}]}
"#;

    /// Returns the user names that the audit log gives to writes of one object.
    fn writers(plane: &ControlPlane, resource: &str, name: &str) -> Vec<String> {
        let log = fs::read_to_string(plane.audit_log()).unwrap();
        log.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| {
                let object = &event["objectRef"];
                object["resource"] == resource && object["name"] == name
            })
            .filter_map(|event| Some(event["user"]["username"].as_str()?.to_owned()))
            .collect()
    }

    /// Goal: what the other tests rely on. Method: a second control plane beside the shared one,
    /// used as people would, and then gone without a trace.
    #[test]
    fn control_plane_runs_workloads_names_people_and_leaves_nothing() {
        let shared = ControlPlane::shared();
        let plane = ControlPlane::start();
        assert_ne!(shared.server(), plane.server());

        plane.apply("alice", DEPLOYMENT);
        plane.apply("bob", JOB);
        plane.kubectl_ok("alice", &["wait", "--for=condition=Available", "deployment/web"]);
        plane.kubectl_ok("bob", &["wait", "--for=condition=Complete", "job/once"]);
        assert!(writers(&plane, "deployments", "web").contains(&"alice".to_owned()));
        assert!(writers(&plane, "jobs", "once").contains(&"bob".to_owned()));

        let refused = plane.kubectl("limited").args(["get", "deployment"]).output().unwrap();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"));
        let other = shared.kubectl_ok("admin", &["get", "deployment", "--ignore-not-found"]);
        assert_eq!(other, "", "the two control planes share objects");

        assert!(plane.pss_bytes() > 0);
        let (pids, dir) = (plane.pids(), plane.dir().to_owned());
        assert_eq!(pids.len(), 6, "{pids:?}");
        drop(plane);
        for (name, pid) in pids {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{name} is still running");
        }
        assert!(keep_directories() || !dir.exists());
    }

    /// Goal: a control plane comes back from everything that a test does to it.
    #[test]
    fn control_plane_survives_outages_and_wipes() {
        let plane = ControlPlane::start();
        plane.apply("alice", DEPLOYMENT);
        plane.kubectl_ok("alice", &["wait", "--for=condition=Available", "deployment/web"]);

        plane.pause_apiserver();
        plane.resume_apiserver();
        plane.stop_apiserver();
        plane.start_apiserver();
        let scale = ["scale", "deployment/web", "--replicas=3"];
        plane.kubectl_ok("alice", &scale);
        let ready = "--for=jsonpath={.status.readyReplicas}=3";
        plane.kubectl_ok("alice", &["wait", ready, "deployment/web", "--timeout=60s"]);

        plane.wipe();
        assert_eq!(plane.kubectl_ok("bob", &["get", "deployment", "--ignore-not-found"]), "");
        plane.apply("bob", DEPLOYMENT);
        plane.kubectl_ok("bob", &["wait", "--for=condition=Available", "deployment/web"]);
    }

    #[test]
    fn control_plane_says_why_it_cannot_start() {
        let options = Options { audit_policy: Some("kind: Nonsense".into()), ..Options::default() };
        let error = ControlPlane::try_start(options).unwrap_err();
        assert!(error.contains("kube-apiserver ended unexpectedly"), "{error}");
        assert!(error.contains("Nonsense"), "{error}");
    }
}
