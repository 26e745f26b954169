//! From arguments to an exit code.

use std::ffi::OsString;
use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::pin::Pin;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use super::args::{Cli, Color, ConfigVerb, Format, Global, LogFormat, ReportVerb, ServeArgs, Verb};
use super::asker::Context;
use super::error::{Error, Exit};
use super::{
    approve, arena, at, between, blame, change, cluster, doctor, files, log, mark, output, plan,
    read, replay, report, restore, rollback, settings, show, trial, why,
};
use crate::config::{Config, Loaded, SandboxMode};
use crate::render::sandbox::{self, Sandbox};
use crate::telemetry;

/// What `serve` runs: the daemon, with its configuration and whether it may only observe.
pub type Serve = fn(Config, bool) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// Runs the command line of this process.
#[must_use]
pub fn main(serve: Serve) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Not verbs for people: the process is to become a program that renders, confined, or
    // evaluates jq expressions.
    match arguments.next() {
        Some(first) if first == sandbox::HELPER_ARGUMENT => {
            return sandbox::helper::main(arguments);
        }
        Some(first) if first == sandbox::OWN_ARGUMENT => {
            return sandbox::helper::own_program(arguments);
        }
        _ => {}
    }
    run(std::env::args_os(), serve)
}

/// Runs a command line.
fn run(arguments: impl IntoIterator<Item = OsString>, serve: Serve) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return parse_failed(&error),
    };
    choose_color(cli.global.color);
    match execute(cli, serve) {
        // What was answered was answered from a part of the ledger.
        Ok(()) if files::met_damage() => ExitCode::from(Exit::Ledger as u8),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.exit == Exit::Differs && files::met_damage() => {
            ExitCode::from(Exit::Ledger as u8)
        }
        Err(error) => {
            // A difference is an answer, not an error: it has no message.
            if !error.message.is_empty() {
                let _ = anstream::stderr().write_all(error.render().as_bytes());
            }
            ExitCode::from(error.exit as u8)
        }
    }
}

/// Help and version are answers; everything else is wrong usage.
fn parse_failed(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a closed pipe.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS }
}

fn choose_color(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

pub(super) fn execute(cli: Cli, serve: Serve) -> Result<(), Error> {
    at::check_format(cli.global.output, &cli.verb)?;
    if cli.global.at.is_some() {
        at::check(&cli.verb)?;
    }
    match cli.verb {
        Verb::Serve(args) => run_daemon(&cli.global, &args, serve),
        Verb::Version => version(&cli.global),
        Verb::Completion { shell } => completion(shell),
        Verb::Config(ConfigVerb::Show { origin }) => {
            show_config(&settings::load(&cli.global, None)?, cli.global.output, origin)
        }
        verb => {
            let loaded = settings::load(&cli.global, None)?;
            let context = Context { global: cli.global, loaded };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|source| {
                Error::new(Exit::Unreachable, "the async runtime cannot start").because(&source)
            })?;
            runtime.block_on(Box::pin(ask(&context, verb)))
        }
    }
}

async fn ask(context: &Context, verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Status => read::status(context).await,
        Verb::Get(what) => read::get(context, what).await,
        Verb::Show { subject, namespace, as_known_at } => {
            let subject = show::within(subject, namespace.as_deref());
            show::run(context, &subject, as_known_at.as_deref()).await
        }
        Verb::Why { subject, namespace, field } => {
            why::run(context, &subject, namespace.as_deref(), field.as_deref()).await
        }
        Verb::Blame(args) => blame::run(context, &args).await,
        Verb::Plan { apps } => plan::run(context, &apps).await,
        Verb::Tree { app } => read::tree(context, &app).await,
        Verb::Diff(args) => between::run(context, args).await,
        Verb::Render { app, rev } => trial::render(context, &app, rev.as_deref()).await,
        Verb::Sync(args) => change::sync(context, args).await,
        Verb::Approve(args) => approve::run(context, args).await,
        Verb::Pause { app, until } => change::pause(context, &app, until).await,
        Verb::Resume { app } => change::resume(context, &app).await,
        Verb::Freeze(until) => change::freeze(context, until).await,
        Verb::Unfreeze => change::unfreeze(context).await,
        Verb::Keep(args) => change::keep(context, args).await,
        Verb::Rollback(args) => rollback::run(context, args).await,
        Verb::Restore(args) => restore::run(context, args).await,
        Verb::Undo(args) => restore::undo(context, args).await,
        Verb::Release(args) => rollback::release(context, &args).await,
        Verb::Cluster(args) => cluster::run(context, args).await,
        Verb::Refresh { repo } => change::refresh(context, repo.as_deref()).await,
        Verb::Mark { name, instant, reason } => {
            mark::run(context, &name, instant.as_deref(), &reason).await
        }
        Verb::Log(args) => log::run(context, *args).await,
        Verb::Report(ReportVerb::Audit(args)) => report::audit(context, args).await,
        Verb::Replay(args) => replay::run(context, *args).await,
        Verb::Doctor(args) => doctor::run(context, args).await,
        Verb::App(verb) => change::app(context, verb).await,
        Verb::Ledger(verb) => read::ledger(context, verb).await,
        // These need no runtime and were answered before.
        Verb::Serve(_) | Verb::Version | Verb::Completion { .. } | Verb::Config(_) => Ok(()),
    }
}

fn run_daemon(global: &Global, args: &ServeArgs, serve: Serve) -> Result<(), Error> {
    let format = match args.log_format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let color = anstream::stderr().current_choice() != anstream::ColorChoice::Never
        && (std::io::stderr().is_terminal() || global.color == Color::Always);
    telemetry::init(&args.log_level, format, color).map_err(|error| {
        let hint = "use error, warn, info, debug or trace, or filters such as info,greffier=debug";
        Error::usage(error.to_string()).hint(hint)
    })?;
    arena::keep_one();
    let loaded = settings::load(global, Some(args))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|source| Error::usage("the async runtime cannot start").because(&source))?;
    Ok(runtime.block_on(serve(loaded.config, args.observe))?)
}

/// The version, and what the sandbox of the renderers is worth on this machine.
fn version(global: &Global) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let read = settings::load(global, None).map(|loaded| loaded.config.tools);
    let checked = match &read {
        Ok(tools) if tools.sandbox == SandboxMode::Off => sandbox::check(&Sandbox::Off),
        // A configuration that cannot be read does not keep the version from being told.
        Ok(_) | Err(_) => sandbox::check(&Sandbox::on(Vec::new())),
    };
    let sandbox = match checked {
        Ok(strength) => strength.as_str().to_owned(),
        Err(error) => format!("none: {error}"),
    };
    let value = serde_json::json!({
        "name": "greffier", "version": version, "ledger_format": 0, "sandbox": sandbox,
    });
    let text = format!("greffier {version}\nsandbox {sandbox}\n");
    output::print(&output::one(&value, global.output, |_| text.clone(), |_| version.to_owned()))
}

fn completion(shell: clap_complete::Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "greffier", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

fn show_config(loaded: &Loaded, format: Format, origin: bool) -> Result<(), Error> {
    let text = |config: &Config| {
        let mut text = config.to_toml();
        if origin {
            text.push_str("\n# set by (everything else is built in):\n");
            for (key, origin) in &loaded.origins {
                text.push_str(&format!("# {key}: {origin}\n"));
            }
        }
        text
    };
    output::print(&output::one(&loaded.config, format, text, |config| {
        config.data_dir.display().to_string()
    }))
}
