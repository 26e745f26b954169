//! Verbs that change something: `sync`, `pause`, `freeze`, `refresh`, `app` and so on.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::args::{AppVerb, KeepArgs, SyncArgs, Until};
use super::asker::Context;
use super::children;
use super::error::{Error, Exit};
use super::follow::{self, Ended};
use super::{output, rollback};
use crate::command;
use crate::http::{Client, dto};
use crate::model::AppSpec;
use crate::query::text::{clean, count};

/// Bound: how long a manifest may be, in bytes; also the API's limit.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// Says what was recorded, and how to undo it.
pub(super) fn accepted(
    context: &Context,
    accepted: &dto::Accepted,
    what: &str,
) -> Result<(), Error> {
    accepted_with(context, accepted, accepted, what)
}

/// The same of what has more to it, for programs.
pub(super) fn accepted_with(
    context: &Context,
    all: &impl Serialize,
    accepted: &dto::Accepted,
    what: &str,
) -> Result<(), Error> {
    let text = || {
        let already =
            if accepted.already { "already so, since event" } else { "recorded as event" };
        let next = accepted.next.iter().map(|next| format!("  {}\n", clean(next)));
        format!("{what}: {already} #{}\n{}", accepted.seq, next.collect::<String>())
    };
    let name = format!("#{}", accepted.seq);
    let text = output::one(all, context.global.output, |_| text(), |_| name);
    output::print(&text)?;
    if !accepted.undo.is_empty() && !context.global.quiet {
        output::say(&format!("to undo it: {}", accepted.undo));
    }
    Ok(())
}

/// Runs `pause`.
pub(super) async fn pause(
    context: &Context,
    app: &str,
    Until { period, reason }: Until,
) -> Result<(), Error> {
    let client = context.daemon().await?;
    let period = period.map(|period| period.to_string()).unwrap_or_default();
    let body = json!({"for": period, "reason": reason});
    let done: dto::Accepted = client.post(&Client::app_path(app, "pause"), &body).await?;
    accepted(context, &done, &format!("{app} is paused"))
}

/// Runs `resume`.
pub(super) async fn resume(context: &Context, app: &str) -> Result<(), Error> {
    let client = context.daemon().await?;
    let done: dto::Accepted = client.post(&Client::app_path(app, "resume"), &json!({})).await?;
    accepted(context, &done, &format!("{app} goes on"))
}

/// Runs `freeze`.
pub(super) async fn freeze(
    context: &Context,
    Until { period, reason }: Until,
) -> Result<(), Error> {
    let client = context.daemon().await?;
    let period = period.map(|period| period.to_string()).unwrap_or_default();
    let body = json!({"for": period, "reason": reason});
    let done: dto::Accepted = client.post("freeze", &body).await?;
    accepted(context, &done, "greffier is frozen: nothing is written")
}

/// Runs `unfreeze`.
pub(super) async fn unfreeze(context: &Context) -> Result<(), Error> {
    let client = context.daemon().await?;
    let done: dto::Accepted = client.post("unfreeze", &json!({})).await?;
    accepted(context, &done, "greffier goes on")
}

/// Runs `keep`.
pub(super) async fn keep(context: &Context, args: KeepArgs) -> Result<(), Error> {
    let KeepArgs { event, plan, period, reason } = args;
    let client = context.daemon().await?;
    let period = period.map(|period| period.to_string()).unwrap_or_default();
    let body = dto::KeepBody { event: event.0, period, reason, plan };
    if plan {
        return rollback::print(context, &client.post("keep", &body).await?);
    }
    let done: dto::Accepted = client.post("keep", &body).await?;
    accepted(context, &done, &format!("what event {event} tells of is kept"))
}

/// Runs `refresh`.
pub(super) async fn refresh(context: &Context, repo: Option<&str>) -> Result<(), Error> {
    let client = context.daemon().await?;
    let body = json!({"repo": repo.unwrap_or_default()});
    let _: serde_json::Value = client.post("repos/refresh", &body).await?;
    if !context.global.quiet {
        output::say("the daemon looks now; `greffier log -f` shows what it finds");
    }
    Ok(())
}

/// Runs `app`.
pub(super) async fn app(context: &Context, verb: AppVerb) -> Result<(), Error> {
    match verb {
        AppVerb::Add { file } => {
            let bytes = read(&file)?;
            let wrong = |error: &dyn std::error::Error| {
                let text = format!("{} defines no application", file.display());
                Error::usage(text)
                    .because(error)
                    .hint("expected one argoproj.io/v1alpha1 Application")
            };
            let manifest = command::read_manifest(&bytes).map_err(|error| wrong(&error))?;
            let spec = AppSpec::parse(&manifest).map_err(|error| wrong(&error))?;
            if !context.global.quiet {
                for warning in &spec.warnings {
                    output::say(&format!("warning: {}", clean(warning)));
                }
                for restraint in &spec.restraints {
                    let what = clean(restraint.what()).into_owned();
                    output::say(&format!(
                        "warning: suspends writes, because it is not honoured yet: {what}"
                    ));
                }
            }
            let client = context.daemon().await?;
            let done: dto::Accepted = client.post("apps", &manifest).await?;
            accepted(context, &done, &format!("{} is defined", spec.name))
        }
        AppVerb::Remove { app, cascade, orphan, yes } => {
            let client = context.daemon().await?;
            if cascade && !yes {
                let found: dto::App = client.get(&Client::app_path(&app, ""), "").await?;
                let size = count(found.objects, "object");
                output::say(&format!("{app} has {size}; what nothing protects is deleted"));
                asked("removed", &format!("greffier app remove {app} --cascade --yes"))?;
            }
            let query = match (cascade, orphan) {
                (true, _) => "cascade=true",
                (false, true) => "cascade=false",
                (false, false) => "",
            };
            let done: dto::Accepted = client.delete(&Client::app_path(&app, ""), query).await?;
            let objects =
                if cascade { "when its objects are gone" } else { "its objects are left" };
            accepted(context, &done, &format!("{app} is removed, {objects}"))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let limit = MANIFEST_BYTES_MAX + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|source| {
        Error::usage(format!("cannot read {}", file.display())).because(&source)
    })?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(Error::usage(format!("{} is longer than 1 MiB", file.display())));
    }
    Ok(bytes)
}

/// Runs `sync`.
pub(super) async fn sync(context: &Context, args: SyncArgs) -> Result<(), Error> {
    let client = context.daemon().await?;
    let only: Vec<String> = args.only.iter().map(ToString::to_string).collect();
    let body =
        dto::SyncBody { prune: args.prune, only, reason: args.reason, dry_run: args.dry_run };
    if args.dry_run {
        return dry_run(context, &client, &args.apps, &body).await;
    }
    // An unknown name stops everything before anything is recorded.
    let mut known = Vec::new();
    for app in &args.apps {
        let found: dto::App = client.get(&Client::app_path(app, ""), "").await?;
        known.push((app, found.removing));
    }
    let mut asked = Vec::new();
    for (app, goes) in known {
        let done: dto::Accepted = client.post(&Client::app_path(app, "sync"), &body).await?;
        accepted(context, &done, &format!("sync of {app} requested"))?;
        asked.push((app, (done.seq, goes)));
    }
    if args.no_wait {
        return Ok(());
    }
    let wait = context.global.timeout.map_or(follow::SYNC_WAIT, Duration::from);
    let (mut partial, mut gated) = (Vec::new(), Vec::new());
    for (app, request) in asked {
        match follow::sync(&client, app, request, wait, context.global.quiet).await? {
            Ended::Complete => {}
            Ended::Partial => partial.push(app.as_str()),
            Ended::Gated => gated.push(app.as_str()),
        }
    }
    if !partial.is_empty() {
        return Err(Error::new(Exit::Partial, format!("not complete: {}", partial.join(", ")))
            .hint(format!("`greffier show {}` says why", partial[0])));
    }
    if !gated.is_empty() {
        return Err(Error::new(Exit::Refused, format!("waits for approval: {}", gated.join(", ")))
            .hint(format!("`greffier approve {}` shows what waits", gated[0])));
    }
    Ok(())
}

async fn dry_run(
    context: &Context,
    client: &Client,
    apps: &[String],
    body: &dto::SyncBody,
) -> Result<(), Error> {
    let mut plans = Vec::new();
    for app in apps {
        let plan: dto::DryRun = client.post(&Client::app_path(app, "sync"), body).await?;
        plans.push(plan);
    }
    let text = |plans: &[dto::DryRun], _: bool| plans.iter().map(plan_text).collect();
    output::print(&output::list(&plans, context.global.output, text, |plan| plan.app.clone()))
}

fn plan_text(plan: &dto::DryRun) -> String {
    let mut lines = vec![format!("{}: {}", plan.app, count(plan.writes.len(), "write"))];
    lines.extend(plan.writes.iter().map(write_text));
    lines.extend(plan.declare.iter().map(|app| format!("  define application {app}")));
    lines.extend(plan.remove.iter().map(|app| format!("  remove application {app}")));
    let children = children::objects_of(&plan.come, &plan.gone);
    if !children.is_empty() {
        lines.push("with these applications:".to_owned());
        lines.extend(children.iter().map(|line| format!("  {line}")));
    }
    if let Some(gate) = &plan.gate {
        lines.push("would wait for approval, because it".to_owned());
        lines.extend(gate.reasons.iter().map(|reason| format!("  {reason}")));
        lines.extend(gate.writes.iter().map(write_text));
    }
    if !plan.not_done.is_empty() {
        lines.push("not done:".to_owned());
        lines.extend(plan.not_done.iter().map(|note| format!("  {}", note.what)));
    }
    lines.iter().map(|line| format!("{}\n", clean(line))).collect()
}

fn write_text(write: &dto::Write) -> String {
    let why = if write.reason.is_empty() { String::new() } else { format!(": {}", write.reason) };
    format!("  {} {}{why}", write.verb, write.object)
}

/// Asks the person at the terminal; `done` is what is not done without a `yes`.
pub(super) fn asked(done: &str, without: &str) -> Result<(), Error> {
    let refused = |why: String| Error::new(Exit::Refused, why);
    if !std::io::stdin().is_terminal() {
        let why = format!("not {done}: nobody is there to be asked");
        return Err(refused(why).hint(without));
    }
    output::say("type `yes` to go on:");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_err() || answer.trim() != "yes" {
        return Err(refused(format!("not {done}")));
    }
    Ok(())
}
