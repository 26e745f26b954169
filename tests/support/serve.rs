//! The real greffier, driven from outside: `serve` as a child process, and the command line.

#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::witness::INTERRUPTED;

/// How long the daemon may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end in order before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often the socket is tried while the daemon starts.
const READY_POLL: Duration = Duration::from_millis(2);
/// How long no further kind must have been listed until all are taken to be…
const LISTED_QUIET: Duration = Duration::from_millis(500);
/// …and how often that is asked.
const LISTED_POLL: Duration = Duration::from_millis(50);
/// How long an answer over the socket may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How much of the daemon's log is shown when something failed.
const LOG_TAIL_LINES: usize = 25;

/// Returns the greffier program: `$GREFFIER_BIN`, or the one built beside this example.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("GREFFIER_BIN") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let program = here.parent().and_then(Path::parent).map(|dir| dir.join("greffier"));
    match program {
        Some(program) if program.is_file() => Ok(program),
        _ => {
            bail!("there is no greffier beside {}: run `make demo` or `make bench`", here.display())
        }
    }
}

/// Where one greffier lives: configuration, socket, key and data in a directory of its own.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    program: PathBuf,
    dir: PathBuf,
}

impl Home {
    /// Writes the configuration: the paths here, then `settings` (TOML).
    pub(crate) fn create(dir: &Path, settings: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let home = Self { program: program()?, dir: dir.to_owned() };
        let config = format!(
            "data_dir = {:?}\nsocket = {:?}\nkey_file = {:?}\n\n{settings}",
            home.data_dir(),
            home.socket(),
            dir.join("ledger.key"),
        );
        fs::write(home.config(), config).context("cannot write the configuration")?;
        Ok(home)
    }

    /// Returns the configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("greffier.toml")
    }

    /// Returns the data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Returns the daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("greffier.sock")
    }

    /// Returns the file that takes the daemon's output.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    /// Returns the directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the greffier program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Returns a greffier command with this home's configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--config").arg(self.config()).stdin(Stdio::null());
        command
    }

    /// Runs a greffier command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Output> {
        let output = self.command(args).output();
        output.with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// Runs a greffier command that must succeed and returns what it printed.
    pub(crate) fn run_ok(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("greffier {} failed ({}): {}", args.join(" "), output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sends one request over the socket and returns status and body. Costs no process.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: greffier\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        Ok((status.with_context(|| format!("not HTTP: {answer:.80}"))?, body))
    }

    /// Returns the last lines of the daemon's log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

/// A running `greffier serve`. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Daemon {
    home: Home,
    child: Child,
    /// From the start of the process to its first answer.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// Starts the daemon and waits until it answers on its socket.
    pub(crate) fn start(home: &Home) -> Result<Self> {
        let log = File::options().create(true).append(true).open(home.log());
        let log = log.with_context(|| format!("cannot open {}", home.log().display()))?;
        let begun = Instant::now();
        let child = home
            .command(&["serve"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", home.program.display()))?;
        let mut daemon = Self { home: home.clone(), child, ready_after: Duration::ZERO };
        daemon.wait_until_ready(begun)?;
        daemon.ready_after = begun.elapsed();
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, begun: Instant) -> Result<()> {
        while begun.elapsed() < READY_LIMIT {
            if matches!(self.home.request("GET", "/api/v1/status", ""), Ok((200, _))) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("greffier serve ended ({status}):\n{}", self.home.log_tail());
            }
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            std::thread::sleep(READY_POLL);
        }
        bail!("greffier serve did not answer within {READY_LIMIT:?}:\n{}", self.home.log_tail())
    }

    /// Waits until the daemon has listed the cluster: what it is asked then waits for nothing.
    pub(crate) fn wait_until_listed(&mut self) -> Result<()> {
        let begun = Instant::now();
        let (mut listed, mut since) = (0, Instant::now());
        while begun.elapsed() < READY_LIMIT {
            self.check()?;
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let (_, body) = self.home.request("GET", "/api/v1/status", "")?;
            let status: Value = serde_json::from_str(&body).context("the status is not JSON")?;
            let now = status["cluster"]["listed"].as_u64().unwrap_or_default();
            if now != listed {
                (listed, since) = (now, Instant::now());
            } else if listed > 0 && since.elapsed() > LISTED_QUIET {
                return Ok(());
            }
            std::thread::sleep(LISTED_POLL);
        }
        bail!("greffier has not listed the cluster within {READY_LIMIT:?}")
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if the daemon has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("greffier serve ended ({status}):\n{}", self.home.log_tail()),
        }
    }

    /// Ends the daemon in order and waits for it.
    pub(crate) fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(READY_POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The ledger as `greffier log -f` tells it: one row an event, in order.
pub(crate) struct Follower {
    child: Child,
    rows: Arc<(Mutex<VecDeque<Value>>, Condvar)>,
}

impl Follower {
    /// Follows the log from its beginning; `args` are further arguments of `greffier log`.
    pub(crate) fn start(home: &Home, args: &[&str]) -> Result<Self> {
        let mut all = vec!["log", "-f", "-o", "jsonl", "-n", "1000"];
        all.extend_from_slice(args);
        let mut child = home
            .command(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run greffier log -f")?;
        let stdout = child.stdout.take().context("greffier log -f has no output")?;
        let rows = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
        let shared = Arc::clone(&rows);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if let Ok(row) = serde_json::from_str(&line) {
                    shared.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(row);
                    shared.1.notify_all();
                }
            }
        });
        Ok(Self { child, rows })
    }

    /// Takes the rows that are there.
    pub(crate) fn take(&self) -> Vec<Value> {
        self.rows.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Waits for a row that `wanted` accepts; the rows stay.
    pub(crate) fn find(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + limit;
        let mut rows = self.rows.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(row) = rows.iter().find(|row| wanted(row)) {
                return Ok(row.clone());
            }
            if INTERRUPTED.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("greffier did not record within {limit:?}: {what}");
            }
            let wait = self.rows.1.wait_timeout(rows, left.min(Duration::from_millis(50)));
            rows = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
