//! The sandbox of the programs that render.
//!
//! A template is code, and so is the program that runs it. Neither needs the network, the ledger
//! or somebody else's files, so neither gets them. greffier executes itself again as a helper
//! ([`helper`]), the helper gives up what it may do for good, and then becomes the program:
//!
//! ```text
//! daemon ──exec──▶ greffier (helper) ──▶ limits, Landlock, seccomp ──exec──▶ helm
//! ```
//!
//! What is left: to read its inputs, itself and the system's libraries; to write into its
//! temporary folder; threads, time and memory up to a limit. What is refused: every other file,
//! every socket but unconnected Unix ones, other processes (to start, to signal, to trace), and
//! everything that would loosen this again.
//!
//! Owns what is allowed and how it is enforced. Does not own time and output, which `process`
//! bounds from outside. Invariant: the helper executes nothing unless the system calls are
//! filtered; without Landlock (Linux before 5.13) files are not confined, which [`check`] says.

mod calls;
mod check;
mod files;
pub mod helper;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::jq;

pub use check::{Strength, check};

/// The hidden first argument that makes greffier the helper.
pub const HELPER_ARGUMENT: &str = "sandbox-exec";

/// The hidden first argument that makes greffier one of its own programs where the sandbox is
/// switched off.
pub const OWN_ARGUMENT: &str = "own-program";

/// This very program, also when its file was replaced since.
const OWN_FILE: &str = "/proc/self/exe";

/// The helper's exit code when the program could not be confined or executed. Together with
/// [`HELPER_MESSAGE`] it tells the helper's failure from the program's.
pub(super) const HELPER_FAILED: i32 = 125;

/// What the helper's message begins with.
pub(super) const HELPER_MESSAGE: &str = "greffier-sandbox: ";

/// Bound: the memory that a program may allocate, in bytes. `helm` needs some 100 MiB for the
/// largest charts.
pub(super) const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Bound: the largest file that a program may write, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bound: how many files a program may have open.
const OPEN_FILES_MAX: u64 = 1_024;

/// Whether programs are confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// They are not: they can read what the daemon can read, and reach the network.
    Off,
    /// They are.
    On {
        /// The greffier to execute as the helper.
        helper: PathBuf,
        /// What programs may read and execute beyond themselves and the system's libraries.
        read: Vec<PathBuf>,
    },
}

impl Sandbox {
    /// The sandbox with this very program as its helper, also when its file was replaced since.
    #[must_use]
    pub fn on(read: Vec<PathBuf>) -> Self {
        Self::On { helper: PathBuf::from(OWN_FILE), read }
    }
}

/// What one run may do. Travels to the helper as JSON in an argument; holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Policy {
    /// The process that asks for it: when it ends, so does the program.
    parent: u32,
    /// May be read.
    read: Vec<PathBuf>,
    /// May be read and executed.
    execute: Vec<PathBuf>,
    /// May be read and written.
    write: Vec<PathBuf>,
    /// The CPU time that may be used, in seconds.
    cpu_seconds: u64,
    /// The memory that may be allocated, in bytes.
    memory_bytes: u64,
}

/// What a run needs of the file system besides its program.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs<'a> {
    /// The folder of its inputs.
    pub(super) read: Option<&'a Path>,
    /// The folder that it may write into.
    pub(super) write: Option<&'a Path>,
    /// The CPU time that it may use, in seconds; `None` = as long as it may take.
    pub(super) cpu_seconds: Option<u64>,
    /// The memory that it may allocate, in bytes; `None` = [`MEMORY_BYTES_MAX`].
    pub(super) memory_bytes: Option<u64>,
}

/// The programs that are greffier itself: what the helper does instead of executing something.
const OWN_PROGRAMS: [&str; 2] = [check::PROGRAM, jq::PROGRAM];

/// The program and the arguments that run `program` inside the sandbox.
///
/// # Errors
/// A path that is no text, which the helper could not be told.
pub(super) fn wrap(
    sandbox: &Sandbox,
    program: &Path,
    needs: Needs<'_>,
    cpu_seconds: u64,
    arguments: &[OsString],
) -> std::io::Result<(PathBuf, Vec<OsString>)> {
    let own = program.to_str().is_some_and(|program| OWN_PROGRAMS.contains(&program));
    let Sandbox::On { helper, read } = sandbox else {
        return Ok(if own {
            (PathBuf::from(OWN_FILE), vec![OWN_ARGUMENT.into(), program.into()])
        } else {
            (program.to_owned(), arguments.to_vec())
        });
    };
    let mut execute = read.clone();
    if !own {
        // The rule is about the file, not about the links that lead to it.
        execute.push(program.canonicalize()?);
    }
    let policy = Policy {
        parent: std::process::id(),
        read: needs.read.map(Path::to_owned).into_iter().collect(),
        execute,
        write: needs.write.map(Path::to_owned).into_iter().collect(),
        cpu_seconds,
        memory_bytes: needs.memory_bytes.unwrap_or(MEMORY_BYTES_MAX),
    };
    let policy = serde_json::to_string(&policy)?;
    let mut all = vec![HELPER_ARGUMENT.into(), policy.into(), program.into()];
    all.extend_from_slice(arguments);
    Ok((helper.clone(), all))
}
