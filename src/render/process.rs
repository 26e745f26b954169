//! The only place in the library that starts programs.
//!
//! A program runs in its own process group with a cleared environment, no shell, no input but what is given, a
//! deadline, a cap on its output and on its memory. However it ends (also by an error here), the
//! whole group is killed and the child is reaped, so nothing that a template starts outlives the
//! render. What the program may open and call is confined by [`sandbox`].
//!
//! Ordering: the child is reaped only after its group was killed. Until then its process id, and
//! with it the id of the group, cannot be given to somebody else.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::sandbox::{self, MEMORY_BYTES_MAX, Needs, Sandbox};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, prlimit, waitid,
};

/// How much of what a program says about its errors is kept; the rest is read and dropped.
const STDERR_BYTES_MAX: u64 = 256 << 10;

/// How long the pipes may stay open once the group is dead. Only a process that left the group
/// can hold them.
const PIPES_GRACE: Duration = Duration::from_secs(1);

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("could not start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It could not be confined, and so it was not run.
    #[error("`{}` was not run, because its sandbox cannot be had: {reason}", program.display())]
    Sandbox {
        /// The program.
        program: PathBuf,
        /// Why.
        reason: String,
    },
    /// It took too long and was killed.
    #[error("`{}` took longer than {seconds} s and was stopped", program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// It wrote too much and was killed.
    #[error("`{}` wrote more than {bytes} bytes and was stopped", program.display())]
    OutputTooLarge {
        /// The program.
        program: PathBuf,
        /// The limit.
        bytes: u64,
    },
    /// It was started, and then its output or its end could not be had.
    #[error("lost contact with `{}`", program.display())]
    Lost {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::OutputTooLarge { .. } | Self::Sandbox { .. })
    }
}

/// What is run.
#[derive(Debug)]
pub(super) struct Task<'a> {
    /// The program, by its absolute path: there is no search path.
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    /// The whole environment.
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) folder: &'a Path,
    pub(super) timeout: Duration,
    pub(super) output_bytes_max: u64,
    pub(super) sandbox: &'a Sandbox,
    pub(super) needs: Needs<'a>,
    /// What it reads from its standard input; `None` = it has none.
    pub(super) input: Option<&'a [u8]>,
}

impl Task<'_> {
    /// The CPU time that the program may use: all cores for as long as it may take. It ends what
    /// nobody waits for any more, so it need not be exact.
    fn cpu_seconds(&self) -> u64 {
        if let Some(seconds) = self.needs.cpu_seconds {
            return seconds;
        }
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        self.timeout.as_secs().saturating_add(1).saturating_mul(cores)
    }
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Finished {
    /// `None` = it succeeded; otherwise how it failed, in words.
    pub(super) failure: Option<String>,
    pub(super) stdout: Vec<u8>,
    /// At most [`STDERR_BYTES_MAX`] bytes of it.
    pub(super) stderr: String,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, does not end in time or writes too much. A program that ends with a
/// failure is not an error here: see [`Finished::failure`].
pub(super) fn run(task: &Task<'_>) -> Result<Finished, Error> {
    let deadline = Instant::now() + task.timeout;
    let start = |source| Error::Start { program: task.program.to_owned(), source };
    let (program, arguments) =
        sandbox::wrap(task.sandbox, task.program, task.needs, task.cpu_seconds(), &task.arguments)
            .map_err(start)?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(task.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(task.folder)
        .stdin(if task.input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let mut running = Running { child, reaped: false };
    if *task.sandbox == Sandbox::Off {
        // In the sandbox the program never runs without the limit.
        running.limit_memory().map_err(start)?;
    }
    if let Some(input) = task.input {
        running.feed(input.to_vec()).map_err(start)?;
    }
    let reports = running.report(task.output_bytes_max).map_err(start)?;
    let outcome = collect(task, &reports, deadline, &mut running);
    let status = running.stop();
    let (stdout, stderr) = outcome?;
    let status = status.map_err(|source| Error::Lost { program: task.program.into(), source })?;
    if status.code() == Some(sandbox::HELPER_FAILED)
        && let Some(reason) = stderr.strip_prefix(sandbox::HELPER_MESSAGE)
    {
        let reason = reason.trim_end().to_owned();
        return Err(Error::Sandbox { program: task.program.into(), reason });
    }
    Ok(Finished { failure: failure(status), stdout, stderr })
}

/// What the threads that wait for a child say, each once.
enum Report {
    Exited(io::Result<()>),
    Stdout(io::Result<Captured>),
    Stderr(io::Result<Captured>),
}

struct Captured {
    bytes: Vec<u8>,
    overflowed: bool,
}

/// A child that is alive or not yet reaped.
struct Running {
    child: Child,
    reaped: bool,
}

impl Running {
    fn limit_memory(&self) -> io::Result<()> {
        let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: Some(MEMORY_BYTES_MAX) };
        match prlimit(Some(self.pid()), Resource::Data, limit) {
            // It has ended already.
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the child's input beside everything else. A child that does not read it to its end
    /// has its reasons, and the thread ends with the child's group.
    fn feed(&mut self, input: Vec<u8>) -> io::Result<()> {
        let Some(mut pipe) = self.child.stdin.take() else { return Ok(()) };
        let write = move || drop(pipe.write_all(&input));
        thread::Builder::new().name("render-child".to_owned()).spawn(write).map(drop)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Starts the threads that read the child's output and wait for its end. They end by
    /// themselves when the child's group is gone.
    fn report(&mut self, output_bytes_max: u64) -> io::Result<Receiver<Report>> {
        // Bound: each of the three threads sends once.
        let (sender, reports) = sync_channel(3);
        let pid = self.pid();
        watch(&sender, move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let ended = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options));
            Report::Exited(ended.map(|_| ()).map_err(io::Error::from))
        })?;
        if let Some(stdout) = self.child.stdout.take() {
            watch(&sender, move || Report::Stdout(capture(stdout, output_bytes_max, true)))?;
        }
        if let Some(stderr) = self.child.stderr.take() {
            watch(&sender, move || Report::Stderr(capture(stderr, STDERR_BYTES_MAX, false)))?;
        }
        Ok(reports)
    }

    fn kill(&self) {
        // The group may be gone already; a failure leaves nothing that could be done.
        let _ = kill_process_group(self.pid(), Signal::KILL);
    }

    /// Kills the group and reaps the child.
    fn stop(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.stop();
        }
    }
}

fn watch(
    sender: &SyncSender<Report>,
    work: impl FnOnce() -> Report + Send + 'static,
) -> io::Result<()> {
    let sender = sender.clone();
    let thread = thread::Builder::new().name("render-child".to_owned());
    // The receiver may have given up: then nobody needs the report.
    thread.spawn(move || drop(sender.send(work()))).map(drop)
}

/// Reads a pipe to its end, keeping at most `bytes_max`. With `stop` the rest is not read.
fn capture(mut pipe: impl Read, bytes_max: u64, stop: bool) -> io::Result<Captured> {
    let mut bytes = Vec::new();
    pipe.by_ref().take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    let overflowed = bytes.len() as u64 > bytes_max;
    if overflowed {
        bytes.truncate(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        if !stop {
            io::copy(&mut pipe, &mut io::sink())?;
        }
    }
    Ok(Captured { bytes, overflowed })
}

/// Waits until the child has ended and its output is complete.
fn collect(
    task: &Task<'_>,
    reports: &Receiver<Report>,
    mut deadline: Instant,
    running: &mut Running,
) -> Result<(Vec<u8>, String), Error> {
    let program = || task.program.to_owned();
    let lost = |source| Error::Lost { program: program(), source };
    let (mut exited, mut stdout, mut stderr) = (false, None, None);
    loop {
        if let (true, Some(stdout), Some(stderr)) = (exited, &mut stdout, &stderr) {
            let stderr: &Vec<u8> = stderr;
            let stderr = String::from_utf8_lossy(stderr).into_owned();
            return Ok((std::mem::take(stdout), stderr));
        }
        match reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Report::Exited(result)) => {
                result.map_err(lost)?;
                exited = true;
                // What the program left behind holds the pipes open.
                running.kill();
                deadline = deadline.min(Instant::now() + PIPES_GRACE);
            }
            Ok(Report::Stdout(result)) => {
                let captured = result.map_err(lost)?;
                if captured.overflowed {
                    let bytes = task.output_bytes_max;
                    return Err(Error::OutputTooLarge { program: program(), bytes });
                }
                stdout = Some(captured.bytes);
            }
            Ok(Report::Stderr(result)) => stderr = Some(result.map_err(lost)?.bytes),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = task.timeout.as_secs();
                return Err(Error::Timeout { program: program(), seconds });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(lost(io::Error::other("its output was not read")));
            }
        }
    }
}

fn failure(status: ExitStatus) -> Option<String> {
    if status.success() {
        return None;
    }
    Some(match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(libc::SIGXCPU)) => "stopped: it used more CPU time than it may".to_owned(),
        (None, Some(libc::SIGXFSZ)) => "stopped: it wrote a larger file than it may".to_owned(),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration, output_bytes_max: u64) -> Result<Finished, Error> {
        run(&Task {
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GIVEN", "yes".into())],
            folder: Path::new("/"),
            timeout,
            output_bytes_max,
            sandbox: &Sandbox::Off,
            needs: Needs::default(),
            input: None,
        })
    }

    /// Long enough for a loaded machine; no test waits for it.
    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_failure_are_told() {
        let done = shell("echo out; echo err >&2; exit 3", AMPLE, 100).unwrap();
        assert_eq!(done.stdout, b"out\n");
        assert_eq!(done.stderr, "err\n");
        assert_eq!(done.failure.as_deref(), Some("exit code 3"));
        let killed = shell("kill -9 $$", AMPLE, 100).unwrap();
        assert_eq!(killed.failure.as_deref(), Some("killed by signal 9"));
    }

    #[test]
    fn the_environment_is_what_was_given_and_there_is_no_input() {
        let done = shell("/usr/bin/env; cat", AMPLE, 1000).unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(text.contains("GIVEN=yes\n"), "{text}");
        assert!(!text.contains("HOME=") && !text.contains("CARGO"), "{text}");
    }

    #[test]
    fn a_program_reads_the_input_that_it_is_given() {
        let program = |script: &'static str, input: &[u8]| {
            run(&Task {
                program: Path::new("/bin/sh"),
                arguments: vec!["-c".into(), script.into()],
                environment: Vec::new(),
                folder: Path::new("/"),
                timeout: AMPLE,
                output_bytes_max: 2 << 20,
                sandbox: &Sandbox::Off,
                needs: Needs::default(),
                input: Some(input),
            })
        };
        // More than a pipe holds, both ways at once; and more than anybody reads.
        let long = vec![b'x'; 1 << 20];
        assert_eq!(program("cat", &long).unwrap().stdout, long);
        assert_eq!(program("exit 0", &long).unwrap().stdout, b"");
    }

    #[test]
    fn a_program_that_writes_too_much_is_stopped() {
        let error = shell("while :; do echo 0123456789; done", AMPLE, 1000).unwrap_err();
        assert!(matches!(error, Error::OutputTooLarge { bytes: 1000, .. }), "{error}");
        let noisy = "i=0; while [ $i -lt 40000 ]; do echo 0123456789 >&2; i=$((i+1)); done";
        let done = shell(noisy, AMPLE, 10).unwrap();
        assert_eq!(done.stderr.len() as u64, STDERR_BYTES_MAX);
    }

    #[test]
    fn a_program_that_takes_too_long_is_stopped_with_all_it_started() {
        // The grandchild inherits the pipe: reading would not end if it lived on.
        let script = "sleep 1000 & echo $!; wait";
        let error = shell(script, Duration::from_millis(300), 1000).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }

    #[test]
    fn what_a_program_leaves_behind_is_stopped() {
        let done = shell("sleep 1000 & echo $!", AMPLE, 1000).unwrap();
        let pid: i32 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        // Killed, and reaped by init or still a zombie: never running.
        let deadline = Instant::now() + AMPLE;
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "the grandchild lives on");
            thread::yield_now();
        }
    }

    fn is_alive(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
        stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let task = Task {
            program: Path::new("/nowhere/helm"),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: Path::new("/"),
            timeout: AMPLE,
            output_bytes_max: 10,
            sandbox: &Sandbox::Off,
            needs: Needs::default(),
            input: None,
        };
        let error = run(&task).unwrap_err();
        assert_eq!(error.to_string(), "could not start `/nowhere/helm`");
        assert!(std::error::Error::source(&error).is_some());
    }
}
