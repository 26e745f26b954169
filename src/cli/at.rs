//! Instants on the command line: which verbs know them, and what people are told of one.

use jiff::tz::TimeZone;

use super::args::{ClusterArgs, Format, Get, Verb};
use super::asker::Asker;
use super::error::Error;
use super::output::say;
use crate::http::dto;
use crate::model::{Instant, InstantError, Timestamp};
use crate::query::instant::{self, About};
use crate::query::text::clean;

/// How many spans in which something was not watched are told of.
const SPANS_MAX: usize = 5;

impl From<InstantError> for Error {
    fn from(error: InstantError) -> Self {
        Self::usage(error.to_string()).hint(InstantError::HINT)
    }
}

impl From<instant::Error> for Error {
    fn from(error: instant::Error) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            instant::Error::Ledger(error) => error.into(),
            _ => Self::usage(message).hint(hint),
        }
    }
}

/// Reads an instant; days and clock times are those of this user's time zone.
pub(super) fn parse(text: &str) -> Result<Instant, Error> {
    Ok(Instant::parse(text, Timestamp::now(), &TimeZone::system())?)
}

/// Refuses a format that only reports have.
pub(super) fn check_format(format: Format, verb: &Verb) -> Result<(), Error> {
    match (format, verb) {
        (_, Verb::Report(_)) => Ok(()),
        (Format::Csv | Format::Html, _) => {
            Err(Error::usage("only reports are written as csv or html")
                .hint("greffier report audit --from yesterday -o html --out report.html"))
        }
        _ => Ok(()),
    }
}

/// Refuses an instant where it means nothing.
pub(super) fn check(verb: &Verb) -> Result<(), Error> {
    let refused = |what: &str| {
        Err(Error::usage(format!("--at does not go with {what}")).hint(
            "it goes with status, get, cluster, show, why, blame, tree, diff, plan, render, doctor, \
             replay and log",
        ))
    };
    match verb {
        Verb::Status
        | Verb::Show { .. }
        | Verb::Why { .. }
        | Verb::Blame(_)
        | Verb::Tree { .. }
        | Verb::Cluster(ClusterArgs { verb: None })
        | Verb::Plan { .. }
        | Verb::Doctor(_)
        | Verb::Replay(_)
        | Verb::Render { rev: None, .. } => Ok(()),
        Verb::Diff(args) if args.from.is_some() => refused("--from: --to says up to when"),
        Verb::Diff(args) if args.rev.is_none() && args.local.is_none() => Ok(()),
        Verb::Get(Get::Marks) => refused("get marks: names are in force until they are given anew"),
        Verb::Log(args) | Verb::Get(Get::Events(args)) if args.follow => {
            refused("--follow: nothing comes to the past")
        }
        Verb::Log(_) | Verb::Get(_) => Ok(()),
        Verb::Diff(_) | Verb::Render { .. } => {
            refused("another revision: it is rendered now, against the present")
        }
        Verb::Report(_) => refused("a report: it has --from and --to"),
        Verb::Ledger(_)
        | Verb::Serve(_)
        | Verb::Config(_)
        | Verb::Version
        | Verb::Completion { .. } => refused("this verb: it is not about the past"),
        Verb::Sync(_)
        | Verb::Approve(_)
        | Verb::Pause { .. }
        | Verb::Resume { .. }
        | Verb::Freeze(_)
        | Verb::Unfreeze
        | Verb::Keep(_)
        | Verb::Rollback(_)
        | Verb::Restore(_)
        | Verb::Undo(_)
        | Verb::Release(_)
        | Verb::Refresh { .. }
        | Verb::Mark { .. }
        | Verb::Cluster(_)
        | Verb::App(_) => refused("a verb that changes something: the past cannot be changed"),
    }
}

/// A time with its zone: `2026-11-20 14:00:00 +01:00 (Europe/Paris)`.
pub(super) fn zoned(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else { return time.to_owned() };
    let zoned = time.to_zoned(TimeZone::system());
    let named = zoned.time_zone().iana_name().map(|name| format!(" ({name})"));
    format!("{}{}", zoned.strftime("%Y-%m-%d %H:%M:%S %:z"), named.unwrap_or_default())
}

/// Says which instant it is, and what was not watched then.
pub(super) fn tell(at: &dto::Instant) {
    let what = if at.what.is_empty() { String::new() } else { format!(": {}", clean(&at.what)) };
    say(&format!("as of {}, event #{}{what}", zoned(&at.time), at.seq));
    unwatched(&at.unwatched);
}

/// An answer with what was not watched of what it is about.
#[derive(serde::Serialize)]
pub(super) struct Covered<'a, T: serde::Serialize> {
    #[serde(flatten)]
    pub(super) of: &'a T,
    pub(super) coverage: &'a [dto::Unwatched],
}

/// Asks what was not watched of an object, or at all, from an instant on up to another, and says
/// it.
pub(super) async fn covered(
    asker: &Asker,
    about: &About,
    (from, to): (Instant, Instant),
    quiet: bool,
) -> Result<Vec<dto::Unwatched>, Error> {
    let spans = asker.coverage(about, (&from, &to)).await?;
    if !quiet {
        unwatched(&spans);
    }
    Ok(spans)
}

/// Says what was not watched. What is never watched goes without saying where everything is
/// asked about.
pub(super) fn unwatched(spans: &[dto::Unwatched]) {
    let told = |span: &&dto::Unwatched| span.cause != "excluded" || span.kinds.is_empty();
    for span in spans.iter().filter(told).take(SPANS_MAX) {
        say(&format!("note: {}", span_text(span)));
    }
    if spans.iter().filter(told).count() > SPANS_MAX {
        say("note: and more that was not watched; -o json lists all of it");
    }
}

/// A span in words.
pub(super) fn span_text(span: &dto::Unwatched) -> String {
    let from = match span.from.as_str() {
        "" => "from before the ledger begins".to_owned(),
        from => format!("from {} (#{})", zoned(from), span.from_seq),
    };
    let to = match (&span.to, span.to_seq) {
        (Some(to), Some(seq)) => format!("to {} (#{seq})", zoned(to)),
        _ => "until now".to_owned(),
    };
    let word = if span.lossy { "not watched" } else { "seen late" };
    format!("{word} {from} {to}: {}", clean(&span.what))
}
