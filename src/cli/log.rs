//! `log`: what happened.

use jiff::tz::TimeZone;

use super::args::{Format, LogArgs};
use super::asker::{Asker, Context, Wanted};
use super::error::Error;
use super::table::local_time;
use super::{at, between, output};
use crate::http::dto;
use crate::model::{AppName, Instant, ObjectKey, Seq, Timestamp};
use crate::query::describe::{Tone, style};
use crate::query::instant::About;
use crate::query::people::Party;
use crate::query::search;
use crate::query::text::{clean, count, near_names};
use crate::query::unattributed::Unattributed;

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
        since: args.since.as_deref().map(since).transpose()?,
        from: args.from.as_deref().map(at::parse).transpose()?.map(Instant::or_begin),
        to: args.to.as_deref().map(at::parse).transpose()?.map(Instant::or_end),
        object_kind: args.object_kind,
        field: args.field,
        patch: args.patch,
        all: args.all,
    };
    let asker = context.asker_about(about(args.subject.as_deref(), &wanted)).await?;
    match args.subject.as_deref().map(Subject::parse).transpose()? {
        None => {}
        Some(Subject::App(app)) => wanted.app = Some(app),
        Some(Subject::Object(key)) => wanted.object = Some(key.to_string()),
        Some(Subject::Event(seq)) => {
            let row = asker.event(seq, None).await?;
            return output::print(&rows(&[row], format));
        }
    }
    let unknown = whole(&asker, &mut wanted).await?;
    let (mut found, head, unattributed) = asker.newest(&wanted, args.lines).await?;
    if let Some(open) = unattributed.filter(|_| !context.global.quiet) {
        output::say(&missing(&open));
    }
    let unheard = match &wanted.app {
        Some(app) if found.is_empty() => unheard_of(&asker, app).await?,
        _ => None,
    };
    if let Some(error) = unheard.as_ref().filter(|_| args.follow && !context.global.quiet) {
        output::say(&format!("note: {}", error.message));
    }
    let about = about(None, &wanted);
    if unheard.is_none() && about != About::default() {
        let at = context.global.at.as_deref().map(at::parse).transpose()?.map(Instant::or_end);
        let first = found.first().map(|row| row.seq);
        let span = interval(&wanted, at, (first, found.len() >= args.lines));
        at::covered(&asker, &about, span, context.global.quiet).await?;
    }
    // What may come is waited for.
    if let Some(error) = unknown.or(unheard).filter(|_| !args.follow && found.is_empty()) {
        return Err(error);
    }
    if args.reverse {
        found.reverse();
    }
    if !args.follow {
        return output::print(&rows(&found, format));
    }
    let after = head.to_string();
    let mut stream = asker.client()?.stream(&wanted.query(&[("after", &after)])).await?;
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

/// That changes are not listed which may be whose that is asked for.
fn missing(open: &Unattributed) -> String {
    let changes = count(open.changes, "change");
    let are = if open.changes == 1 { "is" } else { "are" };
    let more = if open.more { " or more" } else { "" };
    format!(
        "note: {changes}{more} since {} (#{}) {are} not attributed yet, and may be missing here: audit \
         records may still tell",
        local_time(&open.since),
        open.first
    )
}

/// Reads what `--since` says: a time of this user's time zone.
fn since(text: &str) -> Result<Timestamp, Error> {
    search::since(text, Timestamp::now(), &TimeZone::system())?.ok_or_else(|| {
        Error::usage(format!("`{text}` is no time")).hint("--from takes every instant")
    })
}

/// Finds the whole key of the object that is asked about; says where nothing is recorded of it.
async fn whole(asker: &Asker, wanted: &mut Wanted) -> Result<Option<Error>, Error> {
    let Some(object) = &wanted.object else { return Ok(None) };
    let key: ObjectKey = object.parse().map_err(|error| Error::usage(format!("{error}")))?;
    let meant = asker.named(&key).await?;
    wanted.object = Some(meant.key.to_string());
    Ok(meant.unknown)
}

/// What is asked about, which is what `@-` and commits are about.
fn about(subject: Option<&str>, wanted: &Wanted) -> About {
    let app = wanted.app.as_deref();
    About::named(subject.or(wanted.object.as_deref()).or(app).unwrap_or_default(), None)
}

/// The interval that was asked for, as far as it was looked through: `first` is the first event
/// that was found, `full` whether no more of them may be shown.
fn interval(
    wanted: &Wanted,
    at: Option<Instant>,
    (first, full): (Option<u64>, bool),
) -> (Instant, Instant) {
    let asked = wanted.from.clone().or(wanted.since.map(Instant::Time));
    let shown = first.map(|seq| Instant::Event(Seq(seq)));
    let from = match (asked, shown) {
        // What is before the first of as many as there may be was not looked at.
        (_, Some(shown)) if full => shown,
        (Some(asked), _) => asked,
        (None, Some(shown)) => shown,
        (None, None) => Instant::Event(Seq(1)),
    };
    (from, wanted.to.clone().or(at).unwrap_or(Instant::Now))
}

/// That nothing was ever recorded of an application, and there is none: often a slip of the pen. A
/// removed one has events.
async fn unheard_of(asker: &Asker, app: &str) -> Result<Option<Error>, Error> {
    let apps = asker.apps().await?;
    if apps.iter().any(|known| known.name == app) {
        return Ok(None);
    }
    let wanted = Wanted { app: Some(app.to_owned()), all: true, ..Wanted::default() };
    if !asker.newest(&wanted, 1).await?.0.is_empty() {
        return Ok(None);
    }
    let hint = match near_names(app, apps.iter().map(|app| app.name.as_str())).as_slice() {
        [] => "`greffier get apps` lists them".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Ok(Some(Error::usage(format!("there is no application `{app}`")).hint(hint)))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the interval is the one that was asked for, and with neither bounds nor rows all
    /// that is recorded.
    #[test]
    fn the_interval_is_what_was_asked_for() {
        let (event, time) = (|seq| Instant::Event(Seq(seq)), Instant::Time(Timestamp(7)));
        let bounds = Wanted { from: Some(event(3)), to: Some(event(9)), ..Wanted::default() };
        let none = Wanted::default();
        for (wanted, at, found, expected) in [
            (&none, None, (None, false), (event(1), Instant::Now)),
            (&none, None, (Some(5), false), (event(5), Instant::Now)),
            (&none, Some(time.clone()), (None, false), (event(1), time.clone())),
            (&bounds, None, (None, false), (event(3), event(9))),
            (&bounds, Some(time), (Some(5), false), (event(3), event(9))),
            (&bounds, None, (Some(5), true), (event(5), event(9))),
        ] {
            assert_eq!(interval(wanted, at, found), expected);
        }
        let since = Wanted { since: Some(Timestamp(7)), ..Wanted::default() };
        assert_eq!(interval(&since, None, (None, false)).0, Instant::Time(Timestamp(7)));
    }

    /// Goal: an application of which nothing was ever recorded is a slip of the pen; one that is
    /// there, or was, is not.
    #[tokio::test]
    async fn an_application_that_was_never_heard_of_is_told_from_one_that_is_gone() {
        use crate::http::tests::Daemon;
        use crate::ledger::event::{AppRemovedV1, Origin};
        use crate::query::fixture::{Story, name};

        let mut story = Story::told();
        story.event(AppRemovedV1 {
            app: name("gone"),
            origin: Origin::Operator,
            cascade: false,
            declared: None,
            orphans: Vec::new(),
        });
        let daemon = Daemon::start(story).await;
        let asker = Asker::Daemon(daemon.client.clone(), super::super::asker::At::default());
        for known in ["web", "gone"] {
            assert!(unheard_of(&asker, known).await.unwrap().is_none(), "{known}");
        }
        let error = unheard_of(&asker, "wbe").await.unwrap().unwrap();
        assert_eq!(error.hints, ["did you mean web?"]);
        assert_eq!(error.message, "there is no application `wbe`");
    }

    /// Goal: `@-` is about the object or the application, however it is named.
    #[test]
    fn what_is_asked_about_is_known_however_it_is_named() {
        let key: ObjectKey = "ConfigMap/prod/web".parse().unwrap();
        let object = Wanted { object: Some(key.to_string()), ..Wanted::default() };
        let app = Wanted { app: Some("web".into()), ..Wanted::default() };
        assert_eq!(about(None, &object), About::object(&key));
        assert_eq!(about(None, &app), About::app("web"));
        assert_eq!(about(Some("web"), &Wanted::default()), About::app("web"));
        assert_eq!(about(Some("ConfigMap/prod/web"), &app), About::object(&key));
        assert_eq!(about(Some("#5"), &Wanted::default()), About::default());
    }
}
