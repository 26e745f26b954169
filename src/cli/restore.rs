//! `restore`: one object, or one field of it, back as it was; `undo`: one event. Shown first.

use super::args::{RestoreArgs, UndoArgs};
use super::asker::Context;
use super::at;
use super::change::{accepted, asked};
use super::error::{Error, Exit};
use super::rollback::{Found, print, restorable, tell};
use crate::http::dto;
use crate::query::rollback::HoldPlan;

/// What shows whether it was recorded.
const LOG: &str = "greffier log -n 20";

/// Runs `restore`.
pub(super) async fn run(context: &Context, args: RestoreArgs) -> Result<(), Error> {
    let RestoreArgs { object, namespace, to, field, live, plan, period, reason, yes } = args;
    let instant = at::parse(&to)?.or_end().to_string();
    let period = period.map(|period| period.to_string()).unwrap_or_default();
    let client = context.daemon().await?;
    let ask = dto::RestoreBody {
        subject: object.clone(),
        namespace: namespace.unwrap_or_default(),
        to: instant,
        said: to,
        field: field.unwrap_or_default(),
        live,
        plan: true,
        period,
        reason,
    };
    let found: Found = client.post("restore", &ask).await?;
    let shown = match found {
        Found::Plan(shown) => shown,
        Found::Already(done) => return accepted(context, &done, &format!("{object} is held")),
    };
    if plan {
        print(context, &shown)?;
        return restorable(&shown);
    }
    tell(context, &shown, yes);
    restorable(&shown)?;
    // What was shown, and nothing else.
    let to = format!("#{}", shown.to);
    if !yes {
        let field =
            if ask.field.is_empty() { String::new() } else { format!(" --field '{}'", ask.field) };
        let again = format!("greffier restore {object} --to '{to}'{field} --yes");
        asked("restored", &again)?;
    }
    let body = dto::RestoreBody { to, plan: false, ..ask };
    let done: Result<dto::Accepted, _> = client.post("restore", &body).await;
    let done = done.map_err(|error| Error::unanswered(error, LOG))?;
    accepted(context, &done, &format!("{} goes back to #{}", shown.subject, shown.to))
}

/// Runs `undo`.
pub(super) async fn undo(context: &Context, args: UndoArgs) -> Result<(), Error> {
    let UndoArgs { event, plan, partial, reason, yes } = args;
    let client = context.daemon().await?;
    let ask = dto::UndoBody { event: event.0, plan: true, partial, reason };
    let found: Found = client.post("undo", &ask).await?;
    let shown = match found {
        Found::Plan(shown) => shown,
        Found::Already(done) => return accepted(context, &done, &format!("#{event} is undone")),
    };
    if plan {
        print(context, &shown)?;
        return undoable(&shown, partial);
    }
    tell(context, &shown, yes);
    undoable(&shown, partial)?;
    if !yes {
        let partial = if partial { " --partial" } else { "" };
        asked("undone", &format!("greffier undo '#{event}'{partial} --yes"))?;
    }
    let body = dto::UndoBody { plan: false, ..ask };
    let done: Result<dto::Accepted, _> = client.post("undo", &body).await;
    let done = done.map_err(|error| Error::unanswered(error, LOG))?;
    accepted(context, &done, &format!("#{event} is undone"))
}

/// Refuses what cannot be undone as a whole, unless that is asked for.
fn undoable(shown: &HoldPlan, partial: bool) -> Result<(), Error> {
    let empty = shown.how == "nothing of it";
    if shown.conflicts.is_empty() && shown.missing.is_empty() || partial && !empty {
        return Ok(());
    }
    let all = shown.conflicts.iter().chain(&shown.missing).cloned();
    let error = Error::new(Exit::Refused, "not all of it can be undone").each(all);
    Err(match empty {
        true => error.hint("nothing was written"),
        false => {
            error.hint("nothing was written; --partial leaves that as it is, and undoes the rest")
        }
    })
}
