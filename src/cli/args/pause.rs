//! Flags of `pause` and `freeze`.

use clap::Args;

use crate::config::Period;

/// For how long, and why.
#[derive(Debug, Args)]
pub(in crate::cli) struct Until {
    /// When to go on without being told.
    #[arg(long = "for", value_name = "DURATION")]
    pub(in crate::cli) period: Option<Period>,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
}
