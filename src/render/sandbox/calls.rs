//! Which system calls may be made: seccomp filters.
//!
//! The filters name what is refused, because what Go and the C library need is theirs to decide
//! and changes with them; what could lead out of the sandbox is known and changes rarely. On
//! x86-64 each call is refused under its x32 number too.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The bit that marks a call of the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Calls that x32 has under numbers of its own: `execveat` is allowed, these are not.
#[cfg(target_arch = "x86_64")]
const X32_OWN: &[i64] =
    &[521 /* ptrace */, 528 /* kexec_load */, 539, 540 /* process_vm_* */];

/// Refused whatever their arguments.
const NEVER: &[c_long] = &[
    // Sockets that reach somebody. Unix ones too: the daemon's own lies in the file system.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Does what other calls do, past this filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_perf_event_open,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_mknodat,
    // Keys, programs in the kernel, and what has been a way out before.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_personality,
    // The machine as a whole.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // The limits were set before.
    libc::SYS_setrlimit,
];

/// Older calls that newer architectures never had.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[c_long] = &[];

/// Why the system calls are not filtered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The filter cannot be made, e.g. for this processor.
    #[error("the filter of system calls cannot be made")]
    Filter(#[source] seccompiler::BackendError),
    /// The kernel does not take it.
    #[error("this system does not filter system calls")]
    Apply(#[source] seccompiler::Error),
}

/// Filters the system calls of this thread and of what it executes.
///
/// # Errors
/// The filter cannot be made or is refused: then nothing is filtered, or only a part.
pub(super) fn confine() -> Result<(), Error> {
    let own = std::process::id();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    apply(rules(own).map_err(Error::Filter)?, refused)?;
    // The C library makes a thread with `clone3` and, when that does not exist, with `clone`,
    // whose flags a filter can see.
    let mut absent = Rules::new();
    add(&mut absent, libc::SYS_clone3, Vec::new());
    apply(absent, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))
}

fn apply(rules: Rules, action: SeccompAction) -> Result<(), Error> {
    let arch = std::env::consts::ARCH.try_into().map_err(Error::Filter)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(Error::Filter)?;
    apply_filter(&program).map_err(Error::Apply)
}

fn rules(own: u32) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    for call in NEVER.iter().chain(NEVER_OLD) {
        add(&mut rules, *call, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    for call in X32_OWN {
        rules.insert(X32 | call, Vec::new());
    }
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    add(&mut rules, libc::SYS_socket, vec![all(&[(0, Op::Ne, unix)])?]);
    add(&mut rules, libc::SYS_socketpair, vec![all(&[(0, Op::Ne, unix)])?]);
    // Threads yes, processes no: nothing to multiply, nothing to leave behind.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    add(&mut rules, libc::SYS_clone, vec![all(&[(0, Op::MaskedEq(thread), 0)])?]);
    // Signals to itself only: Go pre-empts its threads with them.
    let group = u64::from(own.wrapping_neg());
    let own = u64::from(own);
    let others = all(&[(0, Op::Ne, own), (0, Op::Ne, 0), (0, Op::Ne, group)])?;
    add(&mut rules, libc::SYS_kill, vec![others]);
    add(&mut rules, libc::SYS_tgkill, vec![all(&[(0, Op::Ne, own)])?]);
    add(&mut rules, libc::SYS_tkill, vec![all(&[(0, Op::Ne, own)])?]);
    // The limits may be read, not changed: the third argument is what to change them to.
    add(&mut rules, libc::SYS_prlimit64, vec![not_null(2)?]);
    Ok(rules)
}

/// A rule that holds when all of its conditions on 32-bit arguments hold.
fn all(conditions: &[(u8, Op, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = conditions.iter().cloned();
    let conditions =
        conditions.map(|(index, op, value)| SeccompCondition::new(index, Len::Dword, op, value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn not_null(index: u8) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, Len::Qword, Op::Ne, 0)?])
}

/// Adds a call under all its numbers. No rules = whatever its arguments.
fn add(rules: &mut Rules, call: c_long, chain: Vec<SeccompRule>) {
    #[cfg(target_arch = "x86_64")]
    rules.insert(X32 | call, chain.clone());
    rules.insert(call, chain);
}
