//! A greffier under test: a repository, a configuration, the real daemon, and its event log.
//!
//! Tests wait for events, not for time: a follower reads `greffier log -f` and
//! [`Greffier::wait`] returns the first event that a test is looking for, or fails with what was
//! seen instead.

#![allow(dead_code, reason = "each test binary uses a part of the harness")]

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{ControlPlane, tool_dir};

/// How long anything may take that should take well under a second. Bound: generous, because the
/// machine may be building something else; a test that needs it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A bare repository with a working clone.
pub(crate) struct Repo {
    pub(crate) bare: PathBuf,
    pub(crate) work: PathBuf,
}

impl Repo {
    /// Makes `NAME.git` and its clone in `dir`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let repo = Self { bare: dir.join(format!("{name}.git")), work: dir.join(name) };
        let bare = repo.bare.to_str().unwrap();
        run(git(dir).args(["init", "-q", "--bare", "-b", "main", bare]));
        run(git(dir).args(["init", "-q", "-b", "main", repo.work.to_str().unwrap()]));
        run(git(&repo.work).args(["remote", "add", "origin", bare]));
        repo
    }

    /// Writes a file of the working tree.
    pub(crate) fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.work.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Removes a file or folder of the working tree.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.work.join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        self
    }

    /// Commits everything without pushing; returns the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        run(git(&self.work).args(["add", "-A"]));
        run(git(&self.work).args(["commit", "-q", "--allow-empty", "-m", message]));
        self.head()
    }

    /// Commits everything and pushes; returns the commit.
    pub(crate) fn push(&self, message: &str) -> String {
        let commit = self.commit(message);
        run(git(&self.work).args(["push", "-q", "origin", "main"]));
        commit
    }

    /// Runs git in the working tree.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        run(git(&self.work).args(args))
    }

    pub(crate) fn head(&self) -> String {
        run(git(&self.work).args(["rev-parse", "HEAD"])).trim().to_owned()
    }

    /// The URL that Applications use.
    pub(crate) fn url(&self) -> String {
        self.bare.to_str().unwrap().to_owned()
    }
}

/// `git` that knows no configuration but its own.
pub(crate) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Ada")
            .env(format!("GIT_{role}_EMAIL"), "ada@example.org");
    }
    command
}

/// Runs a command that must succeed; returns its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// An Application manifest. `policy` is the `syncPolicy` as JSON.
pub(crate) fn application(
    name: &str,
    repo: &str,
    path: &str,
    namespace: &str,
    policy: &str,
) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd
spec:
  project: default
  source:
    repoURL: {repo}
    targetRevision: main
    path: {path}
  destination:
    server: https://kubernetes.default.svc
    namespace: {namespace}
  syncPolicy: {policy}
"
    )
}

/// The policy of an application that is kept as Git says.
pub(crate) const KEPT: &str =
    r#"{"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]}"#;

/// A ConfigMap manifest.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value:?}\n")
}

/// A Deployment manifest.
pub(crate) fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
        - name: main
          image: {image}
"
    )
}

/// A greffier with a directory of its own. Everything is stopped and removed on drop.
pub(crate) struct Greffier {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) repo: Repo,
    pub(crate) kubeconfig: PathBuf,
    extra: String,
    roots: Vec<PathBuf>,
    running: RefCell<Option<Running>>,
    /// Further variables of the daemon's environment.
    pub(crate) environment: RefCell<Vec<(String, String)>>,
}

struct Running {
    daemon: Child,
    follower: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Greffier {
    /// A greffier on the shared control plane; nothing runs yet.
    pub(crate) fn new() -> Self {
        Self::on(ControlPlane::shared())
    }

    /// A greffier on this control plane.
    pub(crate) fn on(cluster: &ControlPlane) -> Self {
        let dir = tempfile::Builder::new().prefix("greffier-test-").tempdir().unwrap();
        let repo = Repo::new(dir.path(), "infra");
        let kubeconfig = cluster.kubeconfig("greffier");
        let running = RefCell::new(None);
        let environment = RefCell::default();
        Self {
            dir,
            repo,
            kubeconfig,
            extra: String::new(),
            roots: Vec::new(),
            running,
            environment,
        }
    }

    /// Adds lines to the configuration file.
    pub(crate) fn configure(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self
    }

    /// Connects as another user of the control plane.
    pub(crate) fn connecting_as(mut self, kubeconfig: PathBuf) -> Self {
        self.kubeconfig = kubeconfig;
        self
    }

    /// Adds a root Application.
    pub(crate) fn root(mut self, manifest: &str) -> Self {
        let file = self.dir.path().join(format!("root-{}.yaml", self.roots.len()));
        fs::write(&file, manifest).unwrap();
        self.roots.push(file);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> PathBuf {
        let path = self.path("greffier.toml");
        let dir = self.dir.path().display();
        let mut toml = format!(
            "data_dir = \"{dir}/data\"\nsocket = \"{dir}/greffier.sock\"\nkey_file = \"{dir}/ledger.key\"\n"
        );
        // Top-level keys come before the first table.
        let (top, tables) = match self.extra.find("\n[").map(|at| at + 1) {
            _ if self.extra.starts_with('[') => ("", self.extra.as_str()),
            Some(at) => self.extra.split_at(at),
            None => (self.extra.as_str(), ""),
        };
        toml.push_str(top);
        let cluster = format!("[cluster]\nkubeconfig = \"{}\"\n", self.kubeconfig.display());
        if tables.contains("[cluster]\n") {
            toml.push_str(&tables.replace("[cluster]\n", &cluster));
        } else {
            toml.push_str(tables);
            toml.push_str(&cluster);
        }
        if !self.extra.contains("[git]") {
            // What is tested is the hint, unless a test says otherwise.
            toml.push_str("[git]\npoll_interval = \"1h\"\n");
        }
        if !self.extra.contains("[tools]") {
            toml.push_str(&format!("[tools]\nhelm = \"{}\"\n", tool_dir().join("helm").display()));
        }
        for root in &self.roots {
            toml.push_str(&format!("[[app]]\nfile = \"{}\"\n", root.display()));
        }
        // Whoever was started a moment ago may be reading it: it is never seen half written.
        if fs::read_to_string(&path).ok().as_ref() != Some(&toml) {
            let new = self.path("greffier.toml.new");
            fs::write(&new, toml).unwrap();
            fs::rename(&new, &path).unwrap();
        }
        path
    }

    /// The greffier command with this configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greffier"));
        command.arg("--config").arg(self.config()).args(args);
        command.stdin(Stdio::null()).env_remove("KUBECONFIG");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must end with `code`; returns standard output and standard error.
    pub(crate) fn cli_ends(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.cli(args);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "greffier {args:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// Runs a command that must succeed and print JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let (stdout, _) = self.cli_ends(0, args);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&self) -> &Self {
        self.start_with(&[])
    }

    /// Starts the daemon with further arguments and waits until it answers.
    pub(crate) fn start_with(&self, args: &[&str]) -> &Self {
        let daemon = self.spawn(args);
        let mut running =
            Running { daemon, follower: never(), events: mpsc::channel().1, seen: Vec::new() };
        let socket = self.path("greffier.sock");
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if let Some(status) = running.daemon.try_wait().unwrap() {
                panic!("the daemon ended: {status}\n{}", self.log_tail());
            }
            assert!(started.elapsed() < DEADLINE, "no daemon answers\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.follow(&mut running);
        *self.running.borrow_mut() = Some(running);
        self
    }

    /// Starts the daemon and returns without waiting.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut all = vec!["serve"];
        all.extend(args);
        let mut command = self.command(&all);
        command.envs(self.environment.borrow().iter().cloned());
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Follows the log anew, from its beginning: the daemon ended the stream.
    pub(crate) fn follow_again(&self) {
        let mut running = self.running.borrow_mut();
        let running = running.as_mut().expect("the daemon runs");
        let _ = running.follower.wait();
        running.seen.clear();
        self.follow(running);
    }

    fn follow(&self, running: &mut Running) {
        // What it says when it ends too early is shown with the daemon's own words.
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut follower = self
            .command(&["log", "--all", "-f", "-n", "100000", "-o", "jsonl"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        let (sender, events) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        running.follower = follower;
        running.events = events;
    }

    /// Waits for the first event that `wanted` accepts, among those seen and those to come.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_after(0, what, wanted)
    }

    /// Waits for the first event after sequence number `after` that `wanted` accepts.
    pub(crate) fn wait_after(
        &self,
        after: u64,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut running = self.running.borrow_mut();
        let running = running.as_mut().expect("the daemon runs");
        let wanted = |event: &Value| event["seq"].as_u64().unwrap() > after && wanted(event);
        if let Some(event) = running.seen.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            match running.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    let found = wanted(&event);
                    running.seen.push(event.clone());
                    if found {
                        return event;
                    }
                }
                Err(error) => {
                    let why = match error {
                        RecvTimeoutError::Timeout => "did not happen in time",
                        RecvTimeoutError::Disconnected => "cannot happen: the daemon is gone",
                    };
                    let told: Vec<_> = running.seen.iter().rev().take(25).map(summary).collect();
                    panic!(
                        "{what} {why}; last events, newest first:\n{}\n{}",
                        told.join("\n"),
                        self.log_tail()
                    );
                }
            }
        }
    }

    /// Waits until `condition` gives something, for as long as something is being recorded: much
    /// work on a busy machine is waited for, and what never comes ends once nothing goes on any
    /// more. It is asked again when something was recorded, not all the time.
    pub(crate) fn while_busy<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let mut last = Instant::now();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            let mut running = self.running.borrow_mut();
            let running = running.as_mut().expect("the daemon runs");
            // What changed without a word, or while it was asked, is seen with the next look.
            match running.events.recv_timeout(Duration::from_millis(500)) {
                Ok(event) => {
                    running.seen.push(event);
                    running.seen.extend(running.events.try_iter());
                    last = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{what}: cannot happen: the daemon is gone\n{}", self.log_tail())
                }
            }
            let told: Vec<_> = running.seen.iter().rev().take(25).map(summary).collect();
            let told = told.join("\n");
            assert!(
                last.elapsed() < DEADLINE,
                "{what}: nothing goes on any more; last events, newest first:\n{told}"
            );
        }
    }

    /// The last sequence number that was seen.
    pub(crate) fn seq(&self) -> u64 {
        let info = self.json(&["ledger", "info", "-o", "json"]);
        info["head"]["seq"].as_u64().or(info["head"].as_u64()).unwrap_or_else(|| panic!("{info}"))
    }

    /// Waits until an application's sync ended well for `commit`.
    pub(crate) fn wait_synced(&self, app: &str, commit: &str) -> Value {
        self.wait(&format!("the sync of {app} to {commit}"), |event| {
            event["kind"] == "sync.finished"
                && event["detail"]["app"] == app
                && event["detail"]["commit"] == commit
                && event["detail"]["succeeded"] == true
        })
    }

    /// Waits for an event of `kind` about `app`.
    pub(crate) fn wait_kind(&self, kind: &str, app: &str) -> Value {
        self.wait(&format!("{kind} of {app}"), |event| {
            event["kind"] == kind && event["detail"]["app"] == app
        })
    }

    /// Kills the daemon with SIGKILL.
    pub(crate) fn kill(&self) -> &Self {
        if let Some(mut running) = self.running.borrow_mut().take() {
            let _ = running.daemon.kill();
            let _ = running.daemon.wait();
            let _ = running.follower.kill();
            let _ = running.follower.wait();
        }
        self
    }

    /// Starts the daemon, which is to die by itself, and waits until it has. Says whether a
    /// signal killed it.
    pub(crate) fn start_to_die(&self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let mut daemon = self.spawn(&[]);
        let status = until("the daemon dies", || daemon.try_wait().unwrap());
        status.signal().is_some()
    }

    /// Stops the daemon in order and returns its exit code.
    pub(crate) fn stop(&self) -> Option<i32> {
        let mut running = self.running.borrow_mut().take().expect("the daemon runs");
        let pid = running.daemon.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]));
        let status = running.daemon.wait().unwrap();
        let _ = running.follower.kill();
        let _ = running.follower.wait();
        status.code()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.borrow().as_ref().expect("the daemon runs").daemon.id()
    }

    /// The end of the daemon's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Greffier {
    fn drop(&mut self) {
        self.kill();
    }
}

fn summary(event: &Value) -> String {
    format!("{} {} {}", event["seq"], event["kind"].as_str().unwrap_or(""), event["summary"])
}

/// A process that has ended already, to stand where one will be.
fn never() -> Child {
    Command::new("true").spawn().unwrap()
}

/// Waits until `condition` gives something, asking again every few milliseconds.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
