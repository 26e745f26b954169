//! Flags of `cluster`.

use clap::{Args, Subcommand};

/// What of `cluster`; which cluster it is, when nothing is given.
#[derive(Debug, Args)]
pub(in crate::cli) struct ClusterArgs {
    #[command(subcommand)]
    pub(in crate::cli) verb: Option<ClusterVerb>,
}

/// What about the cluster.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterVerb {
    /// Keep the cluster that answers from here on: another one than before, or one that was
    /// restored from a backup. Until then nothing is written to it.
    #[command(
        after_help = "Examples:\n  greffier cluster accept --plan\n  greffier cluster accept --reason 'rebuilt after the fire'"
    )]
    Accept {
        /// Say what would follow and do nothing.
        #[arg(long)]
        plan: bool,
        /// Why; recorded.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}
