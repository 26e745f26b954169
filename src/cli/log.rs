//! `log`: what happened.

use super::args::{Format, LogArgs};
use super::asker::{Context, Wanted};
use super::error::Error;
use super::table::local_time;
use super::{at, between, output};
use crate::http::dto;
use crate::model::{AppName, Instant, ObjectKey, Seq};
use crate::query::describe::{Tone, style};
use crate::query::instant::About;
use crate::query::people::Party;
use crate::query::text::{clean, near_names};

/// What a subject of `log` or `show` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    App(String),
    Object(ObjectKey),
    Event(Seq),
}

impl Subject {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with('#') {
            let seq = text.parse().map_err(|error| Error::usage(format!("{error}")))?;
            return Ok(Self::Event(seq));
        }
        if text.contains('/') {
            let key = text.parse().map_err(|error| Error::usage(format!("{error}")))?;
            return Ok(Self::Object(key));
        }
        let app: Result<AppName, _> = text.parse();
        let hint =
            "name an application, an object (Kind.group/namespace/name) or an event (#number)";
        app.map(|app| Self::App(app.to_string()))
            .map_err(|error| Error::usage(format!("{error}")).hint(hint))
    }
}

/// Runs `log`.
pub(super) async fn run(context: &Context, args: LogArgs) -> Result<(), Error> {
    let format = context.global.output;
    let mut wanted = Wanted {
        kinds: args.kind.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect(),
        app: args.app,
        object: args.object.map(|object| object.to_string()),
        actor: args.actor,
        commit: args.commit,
        since: args.since,
        from: args.from.as_deref().map(at::parse).transpose()?.map(Instant::or_begin),
        to: args.to.as_deref().map(at::parse).transpose()?.map(Instant::or_end),
        object_kind: args.object_kind,
        field: args.field,
        patch: args.patch,
        all: args.all,
    };
    let named = args.subject.as_deref().or(wanted.app.as_deref());
    let about = About::named(named.unwrap_or_default(), None);
    let asker = context.asker_about(about).await?;
    match args.subject.as_deref().map(Subject::parse).transpose()? {
        None => {}
        Some(Subject::App(app)) => wanted.app = Some(app),
        Some(Subject::Object(key)) => wanted.object = Some(key.to_string()),
        Some(Subject::Event(seq)) => {
            let row = asker.event(seq).await?;
            return output::print(&rows(&[row], format));
        }
    }
    let (mut found, head) = asker.newest(&wanted, args.lines).await?;
    if found.is_empty()
        && let Some(app) = &wanted.app
    {
        unknown_app(&asker.apps().await?, app, context.global.quiet);
    }
    let object = wanted.object.as_deref().and_then(|object| object.parse().ok());
    if let (Some(first), true) = (found.first(), wanted.object.is_some() || wanted.app.is_some()) {
        let span = (Instant::Event(Seq(first.seq)), Instant::Event(Seq(head)));
        at::covered(&asker, object.as_ref(), span, context.global.quiet).await?;
    }
    if args.reverse {
        found.reverse();
    }
    if !args.follow {
        return output::print(&rows(&found, format));
    }
    let client = asker.client()?;
    let after = head.to_string();
    let mut stream = client.stream(&wanted.query(&[("after", &after)])).await?;
    // Rows of a stream are printed one by one: a list cannot be closed while it grows.
    let format = if format == Format::Json { Format::Jsonl } else { format };
    if !output::print_open(&rows(&found, format)) {
        return Ok(());
    }
    while let Some(row) = stream.next().await? {
        if !output::print_open(&rows(&[row], format)) {
            return Ok(());
        }
    }
    output::say("the daemon ended the stream");
    Ok(())
}

/// An application without events is often a slip of the pen; a removed one has events.
fn unknown_app(apps: &[dto::App], wanted: &str, quiet: bool) {
    if quiet || apps.iter().any(|app| app.name == wanted) {
        return;
    }
    let near = near_names(wanted, apps.iter().map(|app| app.name.as_str()));
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!(": did you mean {}?", near.join(", "))
    };
    output::say(&format!("note: there is no application `{wanted}`{hint}"));
}

/// Rows in `format`.
pub(super) fn rows(rows: &[dto::Event], format: Format) -> String {
    let name = |row: &dto::Event| format!("#{}", row.seq);
    let lines = |rows: &[dto::Event], wide: bool| rows.iter().map(|row| line(row, wide)).collect();
    output::list(rows, format, lines, name)
}

fn line(row: &dto::Event, wide: bool) -> String {
    let tone = match row.tone.as_str() {
        "good" => Tone::Good,
        "warn" => Tone::Warn,
        "bad" => Tone::Bad,
        _ => Tone::Plain,
    };
    let style = style(tone);
    let app = if row.app.is_empty() { "-" } else { &row.app };
    let extra = if wide {
        let causes: Vec<String> = row.causes.iter().map(|cause| format!("#{cause}")).collect();
        let who: Vec<String> = row.parties.iter().map(Party::text).collect();
        let (who, causes) = (who.join(", "), causes.join(","));
        format!("  [{who}; {} {} {causes}]", row.actor, row.correlation)
    } else {
        String::new()
    };
    let keep = match row.keep.as_slice() {
        [] => String::new(),
        keep => format!("{:>8}to keep it: {}\n", "", clean(&keep.join(" or "))),
    };
    let patches = patches(row);
    format!(
        "{:>6}  {}  {:<19}  {:<14}  {style}{}{style:#}{}\n{keep}{patches}",
        format!("#{}", row.seq),
        local_time(&row.time),
        row.kind,
        clean(app),
        clean(&row.summary),
        clean(&extra),
    )
}

/// What an event changed of its objects, as lines.
fn patches(row: &dto::Event) -> String {
    let mut out = String::new();
    for patch in &row.patches {
        out.push_str(&format!("        {} {}\n", clean(&patch.object), patch.change));
        between::fields(&patch.fields, &mut out);
        if patch.cut {
            out.push_str(between::MORE_FIELDS);
        }
    }
    out
}
