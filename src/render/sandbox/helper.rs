//! The helper: gives up what it may do and becomes the program.
//!
//! Runs in a process of its own with one thread, because what it gives up is given up by the
//! thread that asks. Ordering: limits, then the files, then the system calls, because each step
//! takes away what the steps before it needed.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::{
    FILE_BYTES_MAX, HELPER_FAILED, HELPER_MESSAGE, OPEN_FILES_MAX, Policy, calls, check, files,
};
use crate::render::jq;

/// Why a program was not executed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the helper was started in a way that it does not know")]
    Arguments,
    #[error("greffier ended while the program was being started")]
    Orphaned,
    #[error("the limits cannot be set")]
    Limits(#[source] rustix::io::Errno),
    #[error("the files cannot be confined")]
    Files(#[source] landlock::RulesetError),
    #[error(transparent)]
    Calls(#[from] calls::Error),
    #[error("cannot execute `{}`", program.display())]
    Execute { program: PathBuf, source: io::Error },
}

/// Runs the helper with the arguments after [`HELPER_ARGUMENT`](super::HELPER_ARGUMENT): the
/// policy, the program and its arguments. Returns only when the program was not executed.
///
/// Must be called on the only thread of its process.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = match become_program(arguments.into_iter()) {
        Ok(code) => return code,
        Err(error) => error,
    };
    let mut text = format!("{HELPER_MESSAGE}{error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // Nobody is left to be told about a closed pipe.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(HELPER_FAILED.unsigned_abs() as u8)
}

/// Runs one of greffier's own programs without a sandbox: the argument after
/// [`OWN_ARGUMENT`](super::OWN_ARGUMENT) names it.
#[must_use]
pub fn own_program(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match arguments.next() {
        Some(program) if program == jq::PROGRAM => jq::answer(),
        _ => ExitCode::FAILURE,
    }
}

fn become_program(mut arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Error> {
    let policy = arguments.next().and_then(|policy| policy.into_string().ok());
    let policy = policy.and_then(|policy| serde_json::from_str::<Policy>(&policy).ok());
    let policy = policy.ok_or(Error::Arguments)?;
    let program = PathBuf::from(arguments.next().ok_or(Error::Arguments)?);
    stay_with(policy.parent)?;
    limit(&policy).map_err(Error::Limits)?;
    drop_capabilities();
    let confined = files::confine(&policy).map_err(Error::Files)?;
    calls::confine()?;
    if program.as_os_str() == check::PROGRAM {
        return Ok(check::answer(confined));
    }
    if program.as_os_str() == jq::PROGRAM {
        return Ok(jq::answer());
    }
    let source = Command::new(&program).args(arguments).exec();
    Err(Error::Execute { program, source })
}

/// Ends this process when the one that asked for it ends, however that happens.
fn stay_with(parent: u32) -> Result<(), Error> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Error::Limits)?;
    // It may have ended before that: then nobody waits for what is rendered.
    let now = getppid().and_then(|now| u32::try_from(now.as_raw_pid()).ok());
    if now == Some(parent) { Ok(()) } else { Err(Error::Orphaned) }
}

fn limit(policy: &Policy) -> Result<(), rustix::io::Errno> {
    for (resource, maximum) in [
        (Resource::Data, policy.memory_bytes),
        (Resource::Cpu, policy.cpu_seconds),
        (Resource::Fsize, FILE_BYTES_MAX),
        (Resource::Nofile, OPEN_FILES_MAX),
        (Resource::Core, 0),
    ] {
        // A limit that is tighter already stays; who may not raise it is not meant to.
        let now = rustix::process::getrlimit(resource);
        let within = |value: u64| now.maximum.map_or(value, |now| now.min(value));
        // At the hard limit of CPU time the kernel kills without saying why.
        let grace = u64::from(resource == Resource::Cpu);
        let hard = within(maximum.saturating_add(grace));
        setrlimit(resource, Rlimit { current: Some(within(maximum)), maximum: Some(hard) })?;
    }
    Ok(())
}

/// A daemon that runs as root hands on none of root's powers. Without `CAP_SETPCAP` there are
/// none to hand on: the program gains nothing by being executed (no new privileges).
fn drop_capabilities() {
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
}
