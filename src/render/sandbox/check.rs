//! Whether the sandbox holds, found out by trying to get out of it.
//!
//! Runs in the helper, confined like any program, and tries what a program must not do. What
//! counts is what the kernel answers here and now, not what it should answer by its version.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Resource, Rlimit, getppid, setrlimit, test_kill_process};
use serde::{Deserialize, Serialize};

use super::{Needs, Sandbox};
use crate::render::process::{self, Task};

/// What the helper is asked to execute when it is to check itself.
pub(super) const PROGRAM: &str = "greffier:check";

/// How long a check may take. It takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How much the sandbox holds here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// It is switched off.
    Off,
    /// No network and no other processes, but every file that the daemon may read.
    CallsOnly,
    /// All of it.
    Full,
}

impl Strength {
    /// What it means, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off: programs that render can do what the daemon can do",
            Self::CallsOnly => {
                "system calls only: this kernel has no Landlock, so programs that render can read \
                 what the daemon can read"
            }
            Self::Full => "files and system calls",
        }
    }
}

/// What the helper found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    /// Whether the kernel took the ruleset for files.
    landlock: bool,
    /// What a filter of system calls should have refused and did not.
    calls: Vec<String>,
    /// What the ruleset for files should have refused and did not.
    files: Vec<String>,
}

/// Finds out what the sandbox is worth on this machine.
///
/// # Errors
/// It cannot be entered, or does not hold: programs are not run then.
pub fn check(sandbox: &Sandbox) -> Result<Strength, process::Error> {
    let Sandbox::On { helper, .. } = sandbox else { return Ok(Strength::Off) };
    let refused = |reason: String| process::Error::Sandbox { program: helper.clone(), reason };
    let finished = process::run(&Task {
        program: Path::new(PROGRAM),
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: Path::new("/"),
        timeout: TIMEOUT,
        output_bytes_max: 64 << 10,
        sandbox,
        needs: Needs::default(),
        input: None,
    })?;
    if let Some(failure) = finished.failure {
        return Err(refused(format!("its check ended with {failure}")));
    }
    let found: Found = serde_json::from_slice(&finished.stdout)
        .map_err(|_| refused("its check gave no answer".to_owned()))?;
    let files = found.files.first().filter(|_| found.landlock);
    match (files.or(found.calls.first()), found.landlock) {
        (Some(what), _) => Err(refused(format!("it does not keep a program from {what}"))),
        (None, true) => Ok(Strength::Full),
        (None, false) => Ok(Strength::CallsOnly),
    }
}

/// The helper's side: tries everything and prints what was possible.
pub(super) fn answer(landlock: bool) -> ExitCode {
    let possible = |tried: Vec<(&str, bool)>| {
        let possible = tried.into_iter().filter(|(_, possible)| *possible);
        possible.map(|(what, _)| what.to_owned()).collect()
    };
    let found = Found { landlock, calls: possible(calls()), files: possible(files()) };
    let text = serde_json::to_string(&found).unwrap_or_default();
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The system calls that a program must not make, and whether it can.
fn calls() -> Vec<(&'static str, bool)> {
    let opens = |family, kind| socket(family, kind, None).is_ok();
    let limit = Rlimit { current: Some(64), maximum: Some(64) };
    vec![
        ("opening an IPv4 stream socket", opens(AddressFamily::INET, SocketType::STREAM)),
        ("opening an IPv4 datagram socket", opens(AddressFamily::INET, SocketType::DGRAM)),
        ("opening an IPv6 stream socket", opens(AddressFamily::INET6, SocketType::STREAM)),
        ("opening an IPv6 datagram socket", opens(AddressFamily::INET6, SocketType::DGRAM)),
        ("opening a netlink socket", opens(AddressFamily::NETLINK, SocketType::RAW)),
        ("opening a packet socket", opens(AddressFamily::PACKET, SocketType::RAW)),
        ("opening a vsock socket", opens(AddressFamily::VSOCK, SocketType::STREAM)),
        ("connecting a Unix socket", connects()),
        ("starting a process", Command::new("/proc/self/exe").spawn().is_ok()),
        ("signalling its parent", getppid().is_some_and(|p| test_kill_process(p).is_ok())),
        ("changing its limits", setrlimit(Resource::Nofile, limit).is_ok()),
    ]
}

/// What a program must not do with files, and whether it can.
fn files() -> Vec<(&'static str, bool)> {
    let temporary = std::env::temp_dir().join(format!("greffier-check-{}", std::process::id()));
    vec![
        ("listing a folder", fs::read_dir("/etc").is_ok()),
        ("reading a file", File::open("/etc/passwd").is_ok()),
        ("writing a file", write(temporary)),
    ]
}

/// A refusal to connect because nobody is there is no refusal of the sandbox.
fn connects() -> bool {
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect("/nowhere"));
    !connected.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn write(path: PathBuf) -> bool {
    let written = File::create_new(&path).is_ok();
    if written {
        let _ = fs::remove_file(path);
    }
    written
}
