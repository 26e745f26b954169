//! Flags of `rollback`, `restore`, `undo` and `release`.

use clap::{Args, ValueEnum};

use crate::config::Period;
use crate::model::Seq;

/// What becomes of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Hooks {
    /// They are run.
    Run,
    /// They are left out.
    Skip,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RollbackArgs {
    /// The application.
    #[arg(value_name = "APP")]
    pub(in crate::cli) app: String,
    /// The instant to go back to: a time (RFC 3339, `yesterday 14:00`, 2h), an event (#1234), a
    /// commit (git:COMMIT), a mark (mark:NAME), @- for before the application's last change, or
    /// last-healthy: when it was last Healthy and Synced, held by nobody, and asked for something
    /// else than now; the plan says which later instants were passed over.
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) to: String,
    /// Say what would be done and do nothing; exits with 6 when not all of it can be done.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// With every application below it, as all of them were: those that are gone are defined again.
    /// To a commit of the application's repository they go back to what it asked for of each.
    #[arg(long)]
    pub(in crate::cli) tree: bool,
    /// Where not all of it can be restored, pinned or put into Git: leave that as it is now, or by
    /// its tag, and do the rest.
    #[arg(long)]
    pub(in crate::cli) partial: bool,
    /// Name images by the digests that pods ran then, and keep their tags; refused where that is
    /// not known of every image, unless with --partial.
    #[arg(long)]
    pub(in crate::cli) pin_digests: bool,
    /// What becomes of hooks that are among the objects. greffier runs none, so that `run` is
    /// refused; at a terminal it is asked for.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(in crate::cli) hooks: Option<Hooks>,
    /// When to follow Git again without being told.
    #[arg(long = "for", value_name = "DURATION")]
    pub(in crate::cli) period: Option<Period>,
    /// Also put it into Git: a commit that has the application's files as they were, pushed to the
    /// branch that is followed, never by force. The hold ends by itself when Git says the same.
    /// With the repository away it is held all the same, and exits with 8.
    #[arg(long, conflicts_with_all = ["tree", "pin_digests"])]
    pub(in crate::cli) git: bool,
    /// With --git: push to a branch of this name instead, for a merge request: a new one, or one
    /// that greffier made for this application before. The hold stays until it is merged.
    #[arg(long, requires = "git", value_name = "NAME")]
    pub(in crate::cli) branch: Option<String>,
    /// With --git: who the commit says wrote it; you, as the configuration names you in Git.
    #[arg(long, requires = "git", value_name = "NAME <MAIL>")]
    pub(in crate::cli) author: Option<String>,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
    /// Do not ask; what exceeds the limits of deletions is allowed with it.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Return as soon as it is recorded.
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
}

/// Flags of `keep`.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeepArgs {
    /// The drift.detected event that tells of the change; `greffier log --kind drift` lists them.
    pub(in crate::cli) event: Seq,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// When to follow Git again without being told.
    #[arg(long = "for", value_name = "DURATION")]
    pub(in crate::cli) period: Option<Period>,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
}

/// Flags of `release`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReleaseArgs {
    /// An application, an object (Kind[.group]/[namespace/]name), or the event of the hold or of
    /// the drift that it keeps.
    pub(in crate::cli) subject: String,
    /// The namespace of the object, where the subject does not say it.
    #[arg(short, long)]
    pub(in crate::cli) namespace: Option<String>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// The application with every one below it.
    #[arg(long)]
    pub(in crate::cli) tree: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
}

/// Flags of `restore`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The object: Kind[.group]/[namespace/]name.
    pub(in crate::cli) object: String,
    /// Its namespace, where the object does not say it.
    #[arg(short, long)]
    pub(in crate::cli) namespace: Option<String>,
    /// The instant: a time, an event, `@-`, a commit (git:NAME) or a mark (mark:NAME).
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) to: String,
    /// Only this field, e.g. `.spec.template.spec.containers[name=web].image`.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) field: Option<String>,
    /// As it was seen in the cluster then, rather than as an application wanted it.
    #[arg(long)]
    pub(in crate::cli) live: bool,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// When to follow Git again without being told.
    #[arg(long = "for", value_name = "DURATION")]
    pub(in crate::cli) period: Option<Period>,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
}

/// Flags of `undo`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UndoArgs {
    /// The event: a prune, a sync, a commit, a change by hand, a deletion, a hold, a pause…
    pub(in crate::cli) event: Seq,
    /// Say what would be done and do nothing; exits with 6 when not all of it can be undone.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
    /// Where something else came since: leave that as it is, and undo the rest.
    #[arg(long)]
    pub(in crate::cli) partial: bool,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) reason: String,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
}
