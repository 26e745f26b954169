//! `plan`: what would be done now, what would not and why, and what waits for a person.

use std::fmt::Write as _;

use anstyle::Style;

use super::asker::Context;
use super::children;
use super::error::{Error, Exit};
use super::output;
use super::read::short;
use super::table::{age, local_time, table};
use super::why::commit;
use crate::query::instant::About;
use crate::query::planned::{Item, Planned, Waits};
use crate::query::text::{clean, count};

/// How many objects are named one by one to people.
const NAMED_MAX: usize = 50;

/// Runs `plan`.
pub(super) async fn run(context: &Context, apps: &[String]) -> Result<(), Error> {
    let about = About::app(apps.first().map(String::as_str).unwrap_or_default());
    let plans = context.asker_about(about).await?.plan(apps).await?;
    let text = |plans: &[Planned], _: bool| {
        let texts: Vec<_> = plans.iter().map(text).collect();
        texts.join("\n")
    };
    let name = |plan: &Planned| plan.app.clone();
    output::print(&output::list(&plans, context.global.output, text, name))?;
    if plans.iter().any(|plan| plan.to_do) { Err(Error::new(Exit::Differs, "")) } else { Ok(()) }
}

/// One application's plan for people.
pub(super) fn text(plan: &Planned) -> String {
    let mut out = String::new();
    let bold = Style::new().bold();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{bold}{}{bold:#} is {} and {}",
        clean(&plan.app),
        clean(&plan.sync),
        clean(&plan.health)
    );
    if let Some(git) = &plan.git {
        let _ = writeln!(out, "  {}", clean(&commit(git)));
    }
    if !plan.restrained.is_empty() {
        let _ = writeln!(out, "  nothing is written: {}", clean(&plan.restrained));
    }
    let reason =
        |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let writes = plan.writes.iter();
    let now = writes.map(|step| format!("{} {}{}", step.verb, step.object, reason(&step.reason)));
    let now = now.chain(plan.define.iter().map(|app| format!("define application {app}")));
    let now = now.chain(plan.remove.iter().map(|app| format!("remove application {app}")));
    section(&mut out, "done now", now.collect());
    for (title, lines) in [
        ("with applications that are defined", children::objects_of(&plan.come, &[])),
        ("with applications that are removed", children::objects_of(&[], &plan.gone)),
    ] {
        whole_section(&mut out, title, &lines);
    }
    section(&mut out, "compared first", plan.compare.clone());
    if let Some(gate) = &plan.gate {
        let waits = waits_text(gate);
        let lines = waits.lines().map(|line| format!("  {line}\n"));
        out.extend(lines);
        let _ = writeln!(out, "  to allow it: greffier approve {} {}", gate.app, short(&gate.plan));
    }
    section(&mut out, "suspended", plan.suspended.clone());
    let left = plan.not_done.iter();
    let left = left.map(|object| format!("{} ({}): {}", object.object, object.sync, object.why));
    section(&mut out, "not done", left.collect());
    if !plan.deadline.is_empty() {
        let _ = writeln!(out, "  looked at again at {}", local_time(&plan.deadline));
    }
    if !plan.to_do {
        let _ = writeln!(out, "  nothing to do");
    }
    out
}

fn section(out: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {title}:");
    let more = lines.len().saturating_sub(NAMED_MAX);
    for line in lines.iter().take(NAMED_MAX) {
        let _ = writeln!(out, "    {}", clean(line));
    }
    if more > 0 {
        let _ = writeln!(out, "    and {more} more: -o json tells of each");
    }
}

/// One whose lines are all told: whoever lets something go has to be able to see what.
fn whole_section(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "  {title}:");
    }
    for line in lines {
        let _ = writeln!(out, "    {}", clean(line));
    }
}

/// The same with every object of the applications whose removal waits: a plan names those with the
/// others that go.
pub(super) fn waits_whole(waits: &Waits) -> String {
    let mut out = waits_text(waits);
    let lines = children::objects_of(&[], &waits.gone);
    whole_section(&mut out, "with applications that are removed", &lines);
    out
}

/// Everything that waits, why, and who asked for it.
pub(super) fn waits_text(waits: &Waits) -> String {
    let mut out = String::new();
    let (plan, app) = (short(&waits.plan), clean(&waits.app));
    let _ = writeln!(out, "plan {plan} of {app} waits because it");
    for reason in &waits.reasons {
        let _ = writeln!(out, "  {}", clean(reason));
    }
    if let Some(git) = &waits.git {
        let _ = writeln!(out, "{}", clean(&commit(git)));
    }
    let _ = writeln!(out, "what waits: {}", count(waits.items.len(), "write"));
    let header = ["VERB", "KIND", "NAMESPACE", "NAME", "AGE", "HOLDS", "WHY"];
    let row = |item: &Item| {
        let text = |text: &String| text.clone();
        let cells = [&item.verb, &item.kind, &item.namespace, &item.name].map(text);
        let rest = [age(&item.created), text(&item.holds), text(&item.reason)];
        cells.into_iter().chain(rest).collect::<Vec<_>>()
    };
    // All of it: whoever approves has to be able to see what.
    out.push_str(&table(&header, waits.items.iter().map(row)));
    out
}
