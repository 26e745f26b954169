//! Which files may be opened: a Landlock ruleset.
//!
//! What no rule names is refused, also through links and whatever the user is, root included.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

use super::Policy;

/// The newest ABI whose rights are asked for. Kernels that know less enforce less.
const NEWEST: ABI = ABI::V6;

/// Where programs find the libraries that they are linked with, and time zones.
const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// Devices that hold nothing.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// Confines this thread and what it executes. `false` = this kernel has no Landlock.
///
/// # Errors
/// The kernel has it and refuses the ruleset.
pub(super) fn confine(policy: &Policy) -> Result<bool, RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let execute: BitFlags<AccessFs> = read | AccessFs::Execute;
    // No devices, sockets, pipes or links: nothing in the folder means anything outside it.
    let write = read
        | make_bitflags!(AccessFs::{
            WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
        });
    let device = make_bitflags!(AccessFs::{ReadFile | WriteFile});
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(LIBRARIES, execute))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(&policy.read, read))?
        .add_rules(path_beneath_rules(&policy.execute, execute))?
        .add_rules(path_beneath_rules(&policy.write, write))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
