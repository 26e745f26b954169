//! Flags of `replay` and `doctor`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Period;
use crate::model::{AppName, Seq};

/// The number of an event, with or without its sign.
fn event(text: &str) -> Result<Seq, String> {
    let number = text.strip_prefix('#').unwrap_or(text);
    number.parse().map_err(|_| format!("{text:?} is no number of an event, such as 41"))
}

/// Flags of `replay`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// The context of the kubeconfig that names the empty cluster.
    #[arg(long, value_name = "CONTEXT", required_unless_present = "abandon")]
    pub(in crate::cli) to: Option<String>,
    /// The kubeconfig; that of the configuration when not given.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) kubeconfig: Option<PathBuf>,
    /// Only this application, with the namespaces and definitions that it needs; may be given
    /// several times.
    #[arg(long = "app", value_name = "APP")]
    pub(in crate::cli) apps: Vec<AppName>,
    /// As it was observed, rather than as the applications wanted it.
    #[arg(long)]
    pub(in crate::cli) live: bool,
    /// Also what no application wants, as it was observed.
    #[arg(long, conflicts_with = "apps")]
    pub(in crate::cli) include_unowned: bool,
    /// Leave out what the ledger should have and has not, and what the cluster does not serve.
    #[arg(long)]
    pub(in crate::cli) partial: bool,
    /// Say what would be written, in which order, and what would not come back; write nothing.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// Go on with a replay that did not end, or is not verified; what is there is looked at before
    /// it is written.
    #[arg(long, conflicts_with_all = ["plan", "apps", "live", "include_unowned", "partial"])]
    pub(in crate::cli) resume: bool,
    /// Only compare what the last replay wrote with what is there; exits with 1 when it differs.
    #[arg(long, conflicts_with_all = ["plan", "resume", "apps", "live", "include_unowned", "partial"])]
    pub(in crate::cli) verify: bool,
    /// End for good the replay that this event began, so that another may begin; what it wrote
    /// stays. The target need not answer.
    #[arg(long, value_name = "EVENT", value_parser = event, conflicts_with_all = ["to", "kubeconfig",
        "plan", "resume", "verify", "apps", "live", "include_unowned", "partial"])]
    pub(in crate::cli) abandon: Option<Seq>,
    /// Why it is abandoned; recorded.
    #[arg(long, requires = "abandon", default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
    /// For how long definitions and what admission calls may take to be ready, each time.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(in crate::cli) wait: Period,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
}

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
