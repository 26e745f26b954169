//! `why`: why something is as it is.

use std::fmt::Write as _;

use anstyle::Style;

use super::asker::Context;
use super::error::Error;
use super::output;
use super::table::local_time;
use crate::query::instant::About;
use crate::query::text::{clean, clip};
use crate::query::why::{
    Advice, ChainLink, Claim, Commit, Link, Next, ObjectWhy, RECORDED, Reason, Why,
};

/// How long one line about an event may be, in characters.
const SUMMARY_CHARS_MAX: usize = 160;
/// How many objects are told one by one to people; the rest is in the reasons.
const OBJECTS_SHOWN: usize = 10;

/// Runs `why`.
pub(super) async fn run(
    context: &Context,
    subject: &str,
    namespace: Option<&str>,
    field: Option<&str>,
) -> Result<(), Error> {
    let why = context
        .asker_about(About::named(subject, namespace))
        .await?
        .why(subject, namespace, field)
        .await?;
    output::print(&output::one(&why, context.global.output, text, |why| why.subject.clone()))
}

/// The answer for people: what is so, why, what comes next, what can be done, how it came to it.
pub(super) fn text(why: &Why) -> String {
    let mut out = String::new();
    let bold = Style::new().bold();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{bold}{}{bold:#}", clean(&why.headline));
    if !why.app.is_empty() && why.app != why.subject {
        let _ = writeln!(out, "  application {}", clean(&why.app));
    }
    if let Some(git) = &why.git {
        let _ = writeln!(out, "  {}", clean(&commit(git)));
    }
    section(&mut out, "because", why.reasons.iter().map(reason));
    let single = why.objects.len() == 1 && why.objects[0].object == why.subject;
    if single {
        section(&mut out, "last write", writes(&why.objects[0]));
    } else {
        let more = why.objects.len().saturating_sub(OBJECTS_SHOWN);
        let told = why.objects.iter().take(OBJECTS_SHOWN).flat_map(object);
        let rest = (more > 0).then(|| format!("and {more} more: -o json tells of each"));
        section(&mut out, "objects", told.chain(rest));
    }
    section(
        &mut out,
        "the chain (each link because of the ones below it)",
        why.chain.iter().flat_map(chained),
    );
    section(&mut out, "what it brought about", why.consequences.iter().flat_map(chained));
    section(&mut out, "next", why.next.iter().map(next));
    let width = why.can_do.iter().map(|advice| advice.what.chars().count());
    let width = width.max().unwrap_or(0).min(60);
    section(&mut out, "what you can do", why.can_do.iter().map(|a| advice(a, width)));
    section(&mut out, "how it came to this (newest first)", why.history.iter().map(link));
    section(&mut out, "cut off", why.bounds.iter().cloned());
    out
}

fn section(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for line in lines {
        let _ = writeln!(out, "  {}", clean(&line));
    }
}

pub(super) fn commit(git: &Commit) -> String {
    let short = git.commit.get(..10).unwrap_or(&git.commit);
    let mut text = match short {
        "" => format!("Git: nothing rendered yet of {}", git.repo),
        _ => format!("Git: {short} of {}", git.repo),
    };
    let _ = write!(text, " ({})", git.revision);
    if !git.subject.is_empty() {
        let (subject, author) = (&git.subject, &git.author);
        let _ = write!(text, " \"{subject}\" by {author}, {}", local_time(&git.time));
    }
    text
}

fn reason(reason: &Reason) -> String {
    match reason.seq {
        Some(seq) => format!("{} (#{seq})", reason.text),
        None => reason.text.clone(),
    }
}

/// The lines about one object among others.
fn object(told: &ObjectWhy) -> Vec<String> {
    let mut lines = vec![format!("{}  {}, {}", told.object, told.sync, told.health)];
    let mut line = |text: String| lines.push(format!("  {text}"));
    if !told.why.is_empty() {
        line(told.why.clone());
    }
    if let Some(drift) = &told.drift {
        let by = if drift.by.is_empty() { "unknown".to_owned() } else { drift.by.join(", ") };
        line(format!("{} by {by} (#{})", drift.fields.join(", "), drift.seq));
    }
    if !told.health_message.is_empty() {
        line(format!("health: {}", told.health_message));
    }
    if told.doing != "as_git_says" {
        line(format!("next: {}", when(told.at.as_deref(), &told.next)));
    }
    lines
}

fn writes(told: &ObjectWhy) -> Vec<String> {
    [&told.intent, &told.outcome].into_iter().flatten().map(link).collect()
}

fn when(at: Option<&str>, what: &str) -> String {
    match at {
        Some(at) => format!("at {}: {what}", local_time(at)),
        None => what.to_owned(),
    }
}

fn next(next: &Next) -> String {
    when(next.at.as_deref(), &next.what)
}

fn advice(advice: &Advice, width: usize) -> String {
    match advice.command.as_str() {
        "" => advice.what.clone(),
        command => format!("{:<width$}  {command}", advice.what),
    }
}

fn link(link: &Link) -> String {
    let seq = format!("#{}", link.seq);
    let summary = clip(&link.summary, SUMMARY_CHARS_MAX);
    format!("{seq:>6}  {}  {:<16}  {summary}", local_time(&link.time), link.kind)
}

/// The lines of a link of the chain: what, and below it who.
fn chained(link: &ChainLink) -> Vec<String> {
    let indent = "  ".repeat(link.depth);
    let seq = link.seq.map_or_else(String::new, |seq| format!("#{seq}  "));
    let time = match link.time.as_str() {
        "" => String::new(),
        time => format!("{}  ", local_time(time)),
    };
    let kind = match link.kind.as_str() {
        "field" | "state" | "before" => String::new(),
        kind => format!("{kind}  "),
    };
    let what = clip(&link.what, SUMMARY_CHARS_MAX);
    let certainty = match link.certainty.as_str() {
        RECORDED => String::new(),
        certainty => format!("  ({certainty})"),
    };
    let mut lines = vec![format!("{indent}{seq}{time}{kind}{what}{certainty}")];
    // What greffier did needs no name.
    let people = link.who.iter().filter(|claim| claim.role != "greffier");
    lines.extend(people.map(|claim| format!("{indent}    {}", who(claim))));
    lines
}

fn who(claim: &Claim) -> String {
    let mut text = match claim.strength.as_str() {
        "unknown" => format!("{}: unknown", claim.role),
        strength => {
            format!("{}: {} ({strength})", claim.role, clip(&claim.name, SUMMARY_CHARS_MAX))
        }
    };
    if !claim.note.is_empty() {
        let _ = write!(text, ", {}", clip(&claim.note, SUMMARY_CHARS_MAX));
    }
    if !claim.evidence.is_empty() {
        let evidence: Vec<String> = claim.evidence.iter().map(|seq| format!("#{seq}")).collect();
        let _ = write!(text, "; see {}", evidence.join(", "));
    }
    text
}
