//! Verbs and flags of `ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LedgerVerb {
    /// Show what the ledger has and takes.
    #[command(after_help = "Example: greffier ledger info -o json")]
    Info,
    /// Check every record; exits with 7 when something is damaged.
    #[command(after_help = "Example: greffier ledger verify -o json")]
    Verify,
    /// Make a ledger of what can still be read of this one, which is damaged; exits with 8 when
    /// events are lost.
    ///
    /// The damaged one is only read. Damaged contents cost those contents only; at a damaged event
    /// the new ledger ends, because what is replayed without it would be wrong, and is frozen until
    /// somebody has looked. No daemon may run.
    #[command(after_help = "Example: greffier ledger salvage --plan\n         \
                            greffier ledger salvage /var/lib/greffier/salvaged")]
    Salvage(SalvageArgs),
}

/// Where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct SalvageArgs {
    /// The directory of the new ledger, which must not be there yet.
    #[arg(required_unless_present = "plan")]
    pub(in crate::cli) into: Option<PathBuf>,
    /// Only say what would be kept and what is lost.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
}
