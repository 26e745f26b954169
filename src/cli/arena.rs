//! One arena for the C library's allocator.
//!
//! glibc gives threads that allocate at the same time arenas of their own and keeps what is freed
//! in each of them. greffier moves what it works on from thread to thread, so most of that is
//! memory that nobody uses: see docs/adr/0007. How many arenas there are can be said only before
//! the program begins, so the daemon executes itself once more.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What glibc reads it from. Other C libraries do not know it.
const VARIABLE: &str = "MALLOC_ARENA_MAX";

/// Executes this program again, in the same process, with one arena; returns if somebody has said
/// how many there are to be, or where it cannot be done, which costs memory only.
pub(super) fn keep_one() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let error = again.args(arguments).env(VARIABLE, "1").exec();
    tracing::debug!(%error, "the allocator keeps as many arenas as it likes");
}
