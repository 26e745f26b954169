//! `approve`: lets a plan that waits go on, after it was shown as a whole.

use std::io::IsTerminal as _;

use super::args::{ApproveArgs, Format};
use super::asker::Context;
use super::change::accepted;
use super::error::{Error, Exit};
use super::output;
use super::plan::waits_text;
use super::read::short;
use crate::http::{Client, dto, query_string};
use crate::query::planned::Waits;

/// Runs `approve`.
pub(super) async fn run(context: &Context, args: ApproveArgs) -> Result<(), Error> {
    let client = context.daemon().await?;
    let query = query_string(&[("plan", args.plan.as_deref().unwrap_or_default())]);
    let waits: Waits = client.get(&Client::app_path(&args.app, "gate"), &query).await?;
    let what = format!("plan {} of {} is approved", short(&waits.plan), args.app);
    if let Some(seq) = waits.approved {
        let done = dto::Accepted { seq, already: true, undo: String::new(), next: Vec::new() };
        return accepted(context, &done, &what);
    }
    if context.global.output == Format::Table && (!context.global.quiet || !args.yes) {
        output::say(waits_text(&waits).trim_end());
    }
    if !args.yes {
        confirm(&args, &waits)?;
    }
    // What was shown, and nothing else.
    let body = dto::ApproveBody { plan: waits.plan, reason: args.reason };
    let done: dto::Accepted = client.post(&Client::app_path(&args.app, "approve"), &body).await?;
    accepted(context, &done, &what)
}

fn confirm(args: &ApproveArgs, waits: &Waits) -> Result<(), Error> {
    let refused = |why: &str| Error::new(Exit::Refused, why.to_owned());
    if !std::io::stdin().is_terminal() {
        // Whoever names the plan has seen it.
        if args.plan.is_some() {
            return Ok(());
        }
        return Err(refused("not approved: nobody is there to be asked").hint(format!(
            "greffier approve {} {}",
            args.app,
            short(&waits.plan)
        )));
    }
    output::say("type `yes` to approve:");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_err() || answer.trim() != "yes" {
        return Err(refused("not approved"));
    }
    Ok(())
}
