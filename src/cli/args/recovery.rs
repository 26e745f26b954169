//! Flags of `doctor`.

use clap::Args;

use crate::model::AppName;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// What a replay of the ledger onto an empty cluster would bring back, and what not. Reads
    /// only.
    #[arg(long, required = true)]
    pub(in crate::cli) recovery: bool,
    /// Only of this application; may be given several times.
    #[arg(long = "app", value_name = "APP")]
    pub(in crate::cli) apps: Vec<AppName>,
    /// As it was observed, rather than as the applications wanted it.
    #[arg(long)]
    pub(in crate::cli) live: bool,
    /// Also what no application wants, as it was observed.
    #[arg(long, conflicts_with = "apps")]
    pub(in crate::cli) include_unowned: bool,
}
