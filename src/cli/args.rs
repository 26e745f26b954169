//! Verbs and flags.

mod cluster;
mod ledger;
mod pause;
mod recovery;
mod rollback;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use cluster::{ClusterArgs, ClusterVerb};
pub(super) use ledger::{LedgerVerb, SalvageArgs};
pub(super) use pause::Until;
pub(super) use recovery::{DoctorArgs, ReplayArgs};
pub(super) use rollback::{Hooks, KeepArgs, ReleaseArgs, RestoreArgs, RollbackArgs, UndoArgs};

use crate::config::Period;
use crate::model::ObjectKey;

/// Keeps a Kubernetes cluster as Git says, and remembers everything that happened.
#[derive(Debug, Parser)]
#[command(name = "greffier", version, propagate_version = true, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Read this configuration file instead of the usual ones.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(super) config: Option<PathBuf>,
    /// The daemon's socket.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(super) socket: Option<PathBuf>,
    /// The data directory, for reading without a daemon.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(super) data_dir: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, help_heading = "Global options")]
    pub(super) output: Format,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, help_heading = "Global options")]
    pub(super) color: Color,
    /// How long to wait: for an answer (30s), for a sync to finish (5m).
    #[arg(long, global = true, value_name = "DURATION", help_heading = "Global options")]
    pub(super) timeout: Option<Period>,
    /// As of an instant: a time (RFC 3339, `yesterday 14:00`, 2h), a day, an event (#1234), a
    /// commit (git:main), a mark (mark:NAME), or @- for before the subject's last change.
    #[arg(long, global = true, value_name = "INSTANT", help_heading = "Global options")]
    pub(super) at: Option<String>,
    /// Say less on standard error.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people.
    Table,
    /// More columns.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// YAML.
    Yaml,
    /// Names only, one a line.
    Name,
    /// Comma-separated values; reports only.
    Csv,
    /// One HTML file; reports only.
    Html,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, as `NO_COLOR` and `CLICOLOR_FORCE` say.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon.
    #[command(after_help = "Example: greffier serve --config greffier.toml")]
    Serve(ServeArgs),
    /// Show everything on one screen.
    #[command(after_help = "Example: greffier status")]
    Status,
    /// List applications, objects, repositories or events.
    #[command(after_help = "Example: greffier get resources --app web -o wide")]
    #[command(subcommand)]
    Get(Get),
    /// Show everything known about an application, an object or an event.
    #[command(
        after_help = "Examples:\n  greffier show web\n  greffier show Deployment.apps/prod/web --at 'yesterday 14:00'\n  greffier show '#1234'"
    )]
    Show {
        /// An application, an object (Kind[.group]/[namespace/]name) or an event (#number).
        subject: String,
        /// The namespace of the object, where the subject does not say it.
        #[arg(short, long)]
        namespace: Option<String>,
        /// Of an object or an event: what was known at this instant, not what was found later.
        #[arg(long, value_name = "INSTANT")]
        as_known_at: Option<String>,
    },
    /// Explain why an application, an object, a field or an event is as it is, who brought it
    /// about, and what can be done.
    #[command(
        after_help = "Examples:\n  greffier why web\n  greffier why Deployment/web -n prod\n  greffier why Deployment/web -n prod --field .spec.replicas\n  greffier why '#1234' -o json"
    )]
    Why {
        /// An application, an object (Kind[.group]/[namespace/]name) or an event (#number).
        subject: String,
        /// The namespace of the object, where the subject does not say it.
        #[arg(short, long)]
        namespace: Option<String>,
        /// Why this field of the object is what it is, e.g. `.spec.replicas`.
        #[arg(long, value_name = "PATH")]
        field: Option<String>,
    },
    /// Show who set each field of an object, when, and from which commit.
    #[command(
        after_help = "Examples:\n  greffier blame deploy/web -n prod\n  greffier blame deploy/web -n prod --field '.spec.template.spec.containers[name=web].image'\n  greffier blame Service/prod/web --removed"
    )]
    Blame(BlameArgs),
    /// Show an application's children, objects and what those own.
    #[command(after_help = "Example: greffier tree root")]
    Tree {
        /// The application.
        app: String,
    },
    /// Show how the cluster differs from Git, or from itself at another time; exits with 1 when it does.
    ///
    /// While an application is held, what is held is compared and not what Git says: that is what
    /// `greffier release APP --plan` shows.
    #[command(
        after_help = "Examples:\n  greffier diff web\n  greffier diff web --rev feature/x\n  greffier diff web --local ./apps/web\n  greffier diff web --from yesterday\n  greffier diff Deployment.apps/prod/web --from @-\n  greffier diff -n prod --from mark:before-upgrade --to 2h\n  greffier diff web-test web-prod"
    )]
    Diff(DiffArgs),
    /// Show what an application renders to; Secrets without their values.
    #[command(
        after_help = "Examples:\n  greffier render web\n  greffier render web --rev v1.4.0 -o yaml"
    )]
    Render {
        /// The application.
        app: String,
        /// The branch, tag or commit; what is wanted now when not given.
        #[arg(long, value_name = "REVISION")]
        rev: Option<String>,
    },
    /// Apply what Git says now.
    #[command(after_help = "Example: greffier sync web --prune --reason 'release 1.4'")]
    Sync(SyncArgs),
    /// Show what would be done now, what would not and why; exits with 1 when there is something to do.
    #[command(after_help = "Examples:\n  greffier plan\n  greffier plan web -o json")]
    Plan {
        /// The applications; all when none is given.
        #[arg(value_name = "APP")]
        apps: Vec<String>,
    },
    /// Show the whole of a plan that waits for approval, and let it go on.
    #[command(
        after_help = "Example: greffier approve web 1a2b3c4d5e6f --reason 'moved to another repository'"
    )]
    Approve(ApproveArgs),
    /// Stop writing for an application.
    #[command(after_help = "Example: greffier pause web --for 2h --reason 'incident 7'")]
    Pause {
        /// The application.
        app: String,
        #[command(flatten)]
        until: Until,
    },
    /// Go on writing for a paused application.
    #[command(after_help = "Example: greffier resume web")]
    Resume {
        /// The application.
        app: String,
    },
    /// Stop writing for every application: record, render and plan only.
    #[command(after_help = "Example: greffier freeze --for 2h --reason 'cluster upgrade'")]
    Freeze(Until),
    /// Go on writing after a freeze.
    #[command(after_help = "Example: greffier unfreeze")]
    Unfreeze,
    /// Write back what somebody changed by hand, and hold it against Git.
    #[command(
        after_help = "Examples:\n  greffier keep 1234 --for 8h --reason 'until the fix is in Git'\n  greffier keep '#1234'"
    )]
    Keep(KeepArgs),
    /// Bring back what was in force of an application at an earlier instant, and hold it there.
    #[command(
        after_help = "Examples:\n  greffier rollback web --to 'yesterday 14:00' --plan\n  greffier rollback web --to git:v1.4.0 --for 2h --reason 'incident 7'\n  greffier rollback root --tree --to 'yesterday 14:00'\n  greffier rollback web --to last-healthy --yes\n  greffier rollback web --to 2h --pin-digests --plan"
    )]
    Rollback(RollbackArgs),
    /// Bring back one object, or one field of it, as it was at an earlier instant.
    #[command(
        after_help = "Examples:\n  greffier restore ConfigMap/prod/shop --to 'yesterday 14:00' --plan\n  greffier restore Deployment/web -n prod --to @- --field .spec.replicas --for 2h\n  greffier restore Secret/prod/shop --to git:v1.4.0 --reason 'deleted by mistake' --yes"
    )]
    Restore(RestoreArgs),
    /// Undo one event: what it changed goes back, unless something else came since.
    #[command(
        after_help = "Examples:\n  greffier undo '#1234' --plan\n  greffier undo 1234 --reason 'wrong window' --yes\n  greffier undo '#1234' --partial"
    )]
    Undo(UndoArgs),
    /// Follow Git again where something is kept or held.
    #[command(
        after_help = "Examples:\n  greffier release web --plan\n  greffier release web\n  greffier release root --tree\n  greffier release Deployment/web -n prod\n  greffier release 1234"
    )]
    Release(ReleaseArgs),
    /// Show which cluster is kept, and keep another one.
    #[command(after_help = "Examples:\n  greffier cluster\n  greffier cluster accept --plan")]
    Cluster(ClusterArgs),
    /// Look at repositories now.
    #[command(after_help = "Example: greffier refresh")]
    Refresh {
        /// The repository as Applications name it; all when not given.
        repo: Option<String>,
    },
    /// Give an instant a name: mark:NAME then stands for it.
    #[command(
        after_help = "Examples:\n  greffier mark before-upgrade --reason 'change 12'\n  greffier mark last-good 'yesterday 14:00'"
    )]
    Mark {
        /// The name; one that is taken moves.
        name: String,
        /// The instant; now when not given.
        instant: Option<String>,
        /// Why; recorded.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Show what happened, with who did it and why.
    #[command(
        after_help = "Examples:\n  greffier log -f\n  greffier log web --since 2h\n  greffier log Deployment.apps/prod/web --actor kubectl"
    )]
    Log(Box<LogArgs>),
    /// Write a report of what happened in a span of time.
    #[command(
        after_help = "Example: greffier report audit --from 2026-11-01 --to 2026-11-30 -o html --out november.html"
    )]
    #[command(subcommand)]
    Report(ReportVerb),
    /// Rebuild an empty cluster from the ledger and its key; exits with 8 when not all of it is there.
    #[command(
        after_help = "Examples:\n  greffier replay --to new --plan\n  greffier replay --to new --at mark:before-the-fire --yes\n  greffier replay --to new --resume\n  greffier replay --abandon 41 --reason 'the wrong instant'"
    )]
    Replay(Box<ReplayArgs>),
    /// Say what would not return if the cluster burned now; exits with 1 when something would not.
    #[command(
        after_help = "Examples:\n  greffier doctor --recovery\n  greffier doctor --recovery --at 'yesterday 14:00' -o json"
    )]
    Doctor(DoctorArgs),
    /// Define applications.
    #[command(after_help = "Example: greffier app add -f root.yaml")]
    #[command(subcommand)]
    App(AppVerb),
    /// Look after the ledger.
    #[command(after_help = "Example: greffier ledger verify")]
    #[command(subcommand)]
    Ledger(LedgerVerb),
    /// Show the configuration.
    #[command(after_help = "Example: greffier config show --origin")]
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Show the version.
    #[command(after_help = "Example: greffier version -o json")]
    Version,
    /// Print a completion script.
    #[command(after_help = "Example: greffier completion bash > /etc/bash_completion.d/greffier")]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Record and plan, but write nothing to the cluster.
    #[arg(long)]
    pub(super) observe: bool,
    /// The kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig.
    #[arg(long)]
    pub(super) context: Option<String>,
    /// An Application manifest to keep; may be given several times.
    #[arg(long = "app", value_name = "FILE")]
    pub(super) apps: Vec<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or filters such as greffier=debug.
    #[arg(long, env = "GREFFIER_LOG_LEVEL", hide_env_values = true, default_value = "info")]
    pub(super) log_level: String,
    /// How to log.
    #[arg(long, env = "GREFFIER_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to list.
#[derive(Debug, Subcommand)]
pub(super) enum Get {
    /// Applications.
    #[command(after_help = "Example: greffier get apps -o wide", visible_alias = "app")]
    Apps {
        /// Only these.
        names: Vec<String>,
    },
    /// Objects.
    #[command(after_help = "Example: greffier get resources --kind Deployment -n prod")]
    Resources {
        /// Only of this application: also what is missing.
        #[arg(long)]
        app: Option<String>,
        /// Only in this namespace.
        #[arg(short, long)]
        namespace: Option<String>,
        /// Only of this kind, e.g. Deployment or Deployment.apps.
        #[arg(short, long)]
        kind: Option<String>,
    },
    /// Repositories.
    #[command(after_help = "Example: greffier get repos")]
    Repos,
    /// Names of instants.
    #[command(after_help = "Example: greffier get marks")]
    Marks,
    /// People: who is behind which credential, and when.
    #[command(
        after_help = "Example: greffier get people --at 'yesterday 14:00'",
        visible_alias = "person"
    )]
    People,
    /// Events: the same as `log`.
    #[command(after_help = "Example: greffier get events --app web -n 20")]
    Events(Box<LogArgs>),
}

/// Whether a difference changes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExitCodeRule {
    /// 1 when it differs.
    Auto,
    /// 0 also when it differs.
    Never,
}

/// Flags of `sync`.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// The applications.
    #[arg(required = true, value_name = "APP")]
    pub(super) apps: Vec<String>,
    /// Also remove what left Git.
    #[arg(long)]
    pub(super) prune: bool,
    /// Only this object (Kind.group/namespace/name, or in short: cm/web); may be given several times.
    #[arg(long, value_name = "OBJECT")]
    pub(super) only: Vec<ObjectKey>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// Wait until it has finished (the default).
    #[arg(long, conflicts_with = "no_wait")]
    pub(super) wait: bool,
    /// Return as soon as the request is recorded.
    #[arg(long)]
    pub(super) no_wait: bool,
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The application; between instants also an object (Kind.group/namespace/name).
    pub(super) subject: Option<String>,
    /// Another application: how what it wants differs from what the first wants.
    #[arg(value_name = "APP")]
    pub(super) other: Option<String>,
    /// Between instants: everything in this namespace, or the namespace of the object.
    #[arg(short, long)]
    pub(super) namespace: Option<String>,
    /// How the cluster differs from this instant on; of a day its beginning.
    #[arg(long, value_name = "INSTANT")]
    pub(super) from: Option<String>,
    /// Up to this instant; now when not given.
    #[arg(long, value_name = "INSTANT")]
    pub(super) to: Option<String>,
    /// What syncing this branch, tag or commit would change; with --from, since what was wanted then.
    #[arg(long, value_name = "REVISION", conflicts_with = "local")]
    pub(super) rev: Option<String>,
    /// What would change if this folder were the application's in Git; rendered here.
    #[arg(long, value_name = "DIR")]
    pub(super) local: Option<PathBuf>,
    /// Whether a difference changes the exit code.
    #[arg(long, value_enum, default_value_t = ExitCodeRule::Auto)]
    pub(super) exit_code: ExitCodeRule,
}

/// Flags of `approve`.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The application.
    pub(super) app: String,
    /// The plan's hash, or at least four digits of it; what waits now when not given. Without a
    /// terminal it takes the place of the confirmation.
    pub(super) plan: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Why; recorded.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
}

/// Flags of `blame`.
#[derive(Debug, Args)]
pub(super) struct BlameArgs {
    /// An object (Kind[.group]/[namespace/]name); kinds also by kubectl's short names.
    pub(super) subject: String,
    /// The namespace of the object, where the subject does not say it.
    #[arg(short, long)]
    pub(super) namespace: Option<String>,
    /// Only this field and what is in it, e.g. .spec.replicas.
    #[arg(long, value_name = "PATH")]
    pub(super) field: Option<String>,
    /// Since when each value has been what it is, instead of who wrote it last.
    #[arg(long)]
    pub(super) introduced: bool,
    /// The fields that are no longer there, and who removed them.
    #[arg(long)]
    pub(super) removed: bool,
}

/// Flags of `log`.
#[derive(Debug, Clone, Args)]
pub(super) struct LogArgs {
    /// An application, an object (Kind[.group]/[namespace/]name) or an event (#number).
    pub(super) subject: Option<String>,
    /// Go on as events come.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only this kind, e.g. drift.detected, or area, e.g. drift; may be given several times.
    #[arg(short, long)]
    pub(super) kind: Vec<String>,
    /// Only by somebody whose name contains this: that of a credential or of a person (`get people`).
    #[arg(long)]
    pub(super) actor: Option<String>,
    /// Only about this application.
    #[arg(long)]
    pub(super) app: Option<String>,
    /// Only about this object.
    #[arg(long)]
    pub(super) object: Option<ObjectKey>,
    /// Only about commits whose id begins like this.
    #[arg(long)]
    pub(super) commit: Option<String>,
    /// Only since a time, a day (2026-11-20), or so long ago (2h).
    #[arg(long)]
    pub(super) since: Option<String>,
    /// Only from this instant on; of a day its beginning.
    #[arg(long, value_name = "INSTANT", conflicts_with = "since")]
    pub(super) from: Option<String>,
    /// Only up to this instant; of a day its end.
    #[arg(long, value_name = "INSTANT", conflicts_with = "follow")]
    pub(super) to: Option<String>,
    /// Only about objects of this kind, e.g. Deployment or Deployment.apps.
    #[arg(long, value_name = "KIND")]
    pub(super) object_kind: Option<String>,
    /// Only what changed this field, e.g. spec.replicas, or something below or above it.
    #[arg(long, value_name = "PATH")]
    pub(super) field: Option<String>,
    /// Also which fields changed.
    #[arg(short, long)]
    pub(super) patch: bool,
    /// The newest first.
    #[arg(long, conflicts_with = "follow")]
    pub(super) reverse: bool,
    /// At most so many.
    #[arg(short = 'n', long = "lines", default_value_t = 50)]
    pub(super) lines: usize,
    /// Also observations, listings and other events of little interest.
    #[arg(long)]
    pub(super) all: bool,
}

/// Which report.
#[derive(Debug, Subcommand)]
pub(super) enum ReportVerb {
    /// Every change, who made it and how well that is known, for somebody who does not know
    /// greffier.
    #[command(
        after_help = "Examples:\n  greffier report audit --from 2026-11-01 --to 2026-11-30 -o html --out november.html\n  greffier report audit --from yesterday --app web -o csv"
    )]
    Audit(ReportArgs),
}

/// Flags of `report audit`.
#[derive(Debug, Clone, Args)]
pub(super) struct ReportArgs {
    /// The beginning: an instant as for --at; of a day its first moment.
    #[arg(long, value_name = "INSTANT")]
    pub(super) from: String,
    /// The end; of a day its last moment. Now when not given.
    #[arg(long, value_name = "INSTANT")]
    pub(super) to: Option<String>,
    /// Only what belongs to this application.
    #[arg(long)]
    pub(super) app: Option<String>,
    /// Only objects in this namespace.
    #[arg(short, long)]
    pub(super) namespace: Option<String>,
    /// Write to this file instead of standard output; it appears when it is whole.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// What to do with an application's definition.
#[derive(Debug, Subcommand)]
pub(super) enum AppVerb {
    /// Define an application, or define it differently.
    #[command(after_help = "Example: greffier app add -f root.yaml")]
    Add {
        /// The Application manifest (YAML or JSON); `-` = standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Stop managing an application. Without its finalizer its objects are left as they are.
    #[command(after_help = "Example: greffier app remove root --orphan")]
    Remove {
        /// The application.
        app: String,
        /// Delete its objects first, but not what `Delete=false` or Helm's `keep` protects.
        #[arg(long, conflicts_with = "orphan")]
        cascade: bool,
        /// Leave its objects, whatever its finalizer says.
        #[arg(long)]
        orphan: bool,
        /// Do not ask before objects are deleted.
        #[arg(short, long)]
        yes: bool,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Show the values in force, as TOML.
    #[command(after_help = "Example: greffier config show --origin")]
    Show {
        /// Also say where each value came from.
        #[arg(long)]
        origin: bool,
    },
}
