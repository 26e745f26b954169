//! Talking to a repository: the `git upload-pack` process at the other end, and a fetch over it.
//!
//! The process is started here and not by gix, for three reasons: its error output is kept for
//! the message, a deadline can end it while gix waits for it, and it runs with an environment of
//! our own, so that neither the host's Git configuration nor who owns the directory matters.
//!
//! Bound: a watchdog ends the process at the deadline or on cancellation, whatever it is doing.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;
use gix::remote::{Direction, fetch::Tags, ref_map};

use super::Error;
use super::location::Location;
use super::refs::{Refs, STAGED_SPECS, TooMany};

/// How much of the other side's error output is kept: the last lines of a failure fit.
const SAID_BYTES_MAX: usize = 4096;
/// How long to wait for the error output after the process ended. A helper of `ssh` may keep it
/// open for ever.
const SAID_WAIT: Duration = Duration::from_millis(200);
/// How often the watchdog looks at the cancellation flag while a fetch runs.
const WATCHDOG_INTERVAL: Duration = Duration::from_millis(20);

/// What a fetch over a transport needs to know.
pub(super) struct Request<'a> {
    /// The repository, as messages name it.
    pub(super) repo: &'a str,
    /// Where it is.
    pub(super) location: &'a Location,
    /// The mirror that receives the objects.
    pub(super) mirror: &'a gix::Repository,
    /// When to give up.
    pub(super) timeout: Duration,
    /// Set by whoever wants it to end.
    pub(super) cancel: &'a AtomicBool,
}

/// Brings every object that branches and tags need into the mirror, and returns the remote's refs.
///
/// The mirror's own refs are left as they are: moving them is the caller's, who also keeps the
/// old tips.
///
/// # Errors
/// [`Error::Program`], [`Error::TimedOut`], [`Error::Cancelled`], [`Error::TooManyRefs`] or
/// [`Error::Fetch`] with what the other side said.
pub(super) fn fetch(request: &Request<'_>) -> Result<Refs, Error> {
    let (mut command, program) = command(request.location);
    let mut child = command.spawn().map_err(|source| Error::Program {
        repo: request.repo.to_owned(),
        program,
        source,
    })?;
    let said = child.stderr.take().map(capture);
    let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
        let source = io::Error::other("its standard streams are not pipes");
        return Err(Error::Program { repo: request.repo.to_owned(), program, source });
    };
    let interrupt = AtomicBool::new(false);
    let (result, ended) = std::thread::scope(|scope| {
        let (done, watched) = channel::<()>();
        let (child, interrupt) = (&child, &interrupt);
        let (timeout, cancel) = (request.timeout, request.cancel);
        let watchdog = scope.spawn(move || {
            let ended = watch(&watched, timeout, cancel);
            if ended != Ended::ByItself {
                interrupt.store(true, Ordering::Relaxed);
                kill_group(child);
            }
            ended
        });
        let result = exchange(request, stdout, stdin, interrupt);
        drop(done);
        (result, watchdog.join().unwrap_or(Ended::ByItself))
    });
    // Only now: the watchdog may signal the process group, so its id must stay taken until here.
    kill_group(&child);
    let waited = child.wait();
    tracing::trace!(repo = request.repo, ?waited, "upload-pack ended");
    let failure = match result {
        Ok(refs) => return refs.map_err(|TooMany(limit)| too_many(request, limit)),
        Err(failure) => failure,
    };
    let said = said.map(collect).unwrap_or_default();
    let repo = request.repo.to_owned();
    Err(match ended {
        Ended::Cancelled => Error::Cancelled { repo },
        Ended::TimedOut => Error::TimedOut { repo, seconds: request.timeout.as_secs(), said },
        Ended::ByItself => Error::Fetch { repo, said, source: failure },
    })
}

fn too_many(request: &Request<'_>, limit: usize) -> Error {
    Error::TooManyRefs { repo: request.repo.to_owned(), limit }
}

/// Makes one pack of all in the mirror at `dir`, unreachable objects included.
///
/// # Errors
/// [`Error::Program`] when git cannot be run, or fails, or takes longer than `timeout`.
pub(super) fn repack(repo: &str, dir: &Path, timeout: Duration) -> Result<(), Error> {
    let failed = |source| Error::Program { repo: repo.to_owned(), program: "git repack", source };
    let mut command = Command::new("git");
    command.env_clear().arg("--git-dir").arg(dir);
    command.args(["-c", "safe.directory=*", "repack", "-a", "-d", "-k", "-q"]);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(io::Error::other(status.to_string()))),
            None if Instant::now() < deadline => std::thread::sleep(WATCHDOG_INTERVAL),
            None => {
                kill_group(&child);
                child.wait().map_err(failed)?;
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

/// The program that serves the repository at `location`, ready to be started.
fn command(location: &Location) -> (Command, &'static str) {
    let (mut command, program) = match location {
        Location::Local(path) => {
            let mut command = Command::new("git");
            // Whoever configured this repository as a source trusts its directory; upload-pack
            // runs no hook of it, so another owner is no danger.
            command.args(["-c", "safe.directory=*", "upload-pack"]);
            command.arg(path);
            command.env_clear();
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
            command.env("GIT_NO_LAZY_FETCH", "1");
            (command, "git")
        }
        Location::Ssh { destination, port, path } => {
            let mut command = Command::new("ssh");
            command.env_clear();
            command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
            command.args(["-o", "SendEnv=GIT_PROTOCOL"]);
            if let Some(port) = port {
                command.arg("-p").arg(port.to_string());
            }
            command.arg("--").arg(destination);
            command.arg(format!("git-upload-pack {}", quote(path)));
            (command, "ssh")
        }
    };
    pass_environment(&mut command);
    command.env("GIT_PROTOCOL", "version=2");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    (command, program)
}

/// What a program that reaches other machines needs of our environment, and nothing else.
pub(super) fn pass_environment(command: &mut Command) {
    for name in ["PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
}

/// Quotes `text` for the shell at the other end.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('!', r"'\!'"))
}

/// Speaks the protocol: refs first, then what is missing.
fn exchange(
    request: &Request<'_>,
    stdout: ChildStdout,
    stdin: ChildStdin,
    interrupt: &AtomicBool,
) -> Result<Result<Refs, TooMany>, gix::Error> {
    let no_host: Option<(String, Option<u16>)> = None;
    let connection = Connection::new(
        stdout,
        stdin,
        Protocol::V2,
        "/greffier",
        no_host,
        ConnectMode::Process,
        false,
    );
    // The URL only names the remote inside gix: the connection is already made.
    let remote = request
        .mirror
        .remote_at_without_url_rewrite("file:///greffier")?
        .with_refspecs(STAGED_SPECS, Direction::Fetch)?
        .with_fetch_tags(Tags::None);
    // HEAD is an extra: an empty repository has none, and that is not an error.
    let head = gix::refspec::parse("HEAD".into(), gix::refspec::parse::Operation::Fetch)?;
    let options =
        ref_map::Options { extra_refspecs: vec![head.to_owned()], ..ref_map::Options::default() };
    let prepared = remote
        .to_connection_with_transport(connection)
        .prepare_fetch(gix::progress::Discard, options)?;
    let refs = match Refs::from_remote(&prepared.ref_map().remote_refs) {
        Ok(refs) => refs,
        Err(too_many) => return Ok(Err(too_many)),
    };
    if refs.targets().all(|id| request.mirror.has_object(id)) {
        return Ok(Ok(refs));
    }
    refs.clear_stage(request.mirror)?;
    let outcome = prepared.receive(gix::progress::Discard, interrupt)?;
    if let gix::remote::fetch::Status::Change { write_pack_bundle, .. } = outcome.status
        && let Some(keep) = write_pack_bundle.keep_path
    {
        // Nothing collects garbage in a mirror while it is locked, so the marker is not needed.
        if let Err(error) = std::fs::remove_file(&keep) {
            tracing::debug!(path = %keep.display(), %error, "pack marker stays");
        }
    }
    Ok(Ok(refs))
}

/// How the watched process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ByItself,
    Cancelled,
    TimedOut,
}

/// Waits for the deadline or for being asked to end, until `watched` is closed.
pub(super) fn watch(watched: &Receiver<()>, timeout: Duration, cancel: &AtomicBool) -> Ended {
    let begun = Instant::now();
    loop {
        match watched.recv_timeout(WATCHDOG_INTERVAL) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ended::ByItself,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cancel.load(Ordering::Relaxed) {
            return Ended::Cancelled;
        }
        if begun.elapsed() >= timeout {
            return Ended::TimedOut;
        }
    }
}

/// Kills the process and what it started. It is its own group, so nothing else is hit.
pub(super) fn kill_group(child: &Child) {
    let group = rustix::process::Pid::from_child(child);
    if let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL) {
        tracing::trace!(%error, "process group already gone");
    }
}

/// Reads the error output to its end on a thread, keeping the last part.
pub(super) fn capture(mut stderr: ChildStderr) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let name = "greffier-git-stderr".to_owned();
    let reader = std::thread::Builder::new().name(name).spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0u8; 1024];
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            kept.drain(..kept.len().saturating_sub(SAID_BYTES_MAX));
        }
        // The receiver is gone when the fetch succeeded.
        sender.send(kept).ok();
    });
    if let Err(error) = reader {
        tracing::debug!(%error, "error output of upload-pack is not read");
    }
    receiver
}

/// What was captured, as one line for a message.
fn collect(receiver: Receiver<Vec<u8>>) -> String {
    collect_lines(receiver).join("; ")
}

/// What was captured, line by line: plain text.
pub(super) fn collect_lines(receiver: Receiver<Vec<u8>>) -> Vec<String> {
    let bytes = receiver.recv_timeout(SAID_WAIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(|line| plain(line.trim()));
    lines.filter(|line| !line.is_empty()).collect()
}

/// `text` without what would move a cursor or colour a terminal.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            // A control sequence: parameters, and one letter that ends it.
            while characters.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            characters.next_if(|c| matches!(c, '@'..='~'));
        } else {
            plain.push(if character.is_control() { '?' } else { character });
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_for_the_shell_at_the_other_end() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("a'; rm -rf $HOME"), r"'a'\''; rm -rf $HOME'");
        assert_eq!(quote("a!b"), r"'a'\!'b'");
    }

    #[test]
    fn what_the_other_side_says_moves_no_cursor() {
        assert_eq!(plain("\u{1b}[1;31mprotected\u{1b}[0m \u{7}x\u{1b}]0;t"), "protected ?x?]0;t");
    }

    #[test]
    fn a_repository_of_another_owner_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("git")
            .args(["init", "-q", "--bare"])
            .arg(directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(status.success());
        let (mut command, _) = command(&Location::Local(directory.path().to_owned()));
        // Makes git behave as if the directory belonged to somebody else.
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1").stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.stdout.starts_with(b"000eversion 2"), "{output:?}");
    }

    #[test]
    fn ssh_gets_host_port_and_quoted_path_and_no_shell_of_ours() {
        let location = Location::parse("ssh://git@example.org:2222/a b").unwrap();
        let (command, program) = command(&location);
        let arguments: Vec<_> = command.get_args().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(program, "ssh");
        let tail = &arguments[arguments.len() - 5..];
        assert_eq!(tail, ["-p", "2222", "--", "git@example.org", "git-upload-pack '/a b'"]);
    }
}
