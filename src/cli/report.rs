//! `report audit`: evidence of a span for somebody who has never seen greffier.
//!
//! The rows are read twice, page by page: once to count them, because the summary comes first,
//! and once to write them. Everything is as known at one event, so both readings are the same.

mod csv;
mod html;
mod json;
mod table;
mod words;

#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::{fs, process};

use jiff::tz::TimeZone;

use super::args::{Format, ReportArgs};
use super::asker::{Asker, Context};
use super::error::{Error, Exit};
use super::output::say;
use crate::http::dto::ReportHead;
use crate::model::{AppName, Instant, Timestamp};
use crate::query::report::{self, Change, Summary};
use crate::query::text::count;

/// Which report is asked for.
#[derive(Debug, Clone)]
pub(super) struct ReportOf {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) app: Option<AppName>,
    pub(super) namespace: String,
}

/// A way to write a report.
trait Form {
    fn begin(&mut self, out: &mut dyn Write, head: &ReportHead, all: &Summary) -> io::Result<()>;
    fn row(&mut self, out: &mut dyn Write, row: &Change) -> io::Result<()>;
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

fn form(format: Format) -> Result<Box<dyn Form>, Error> {
    Ok(match format {
        Format::Table | Format::Wide => Box::new(table::Table { zone: TimeZone::system() }),
        Format::Json => Box::new(json::Document::default()),
        Format::Jsonl => Box::new(json::Lines),
        Format::Csv => Box::new(csv::Csv),
        Format::Html => Box::new(html::Page { zone: TimeZone::system() }),
        Format::Yaml | Format::Name => {
            return Err(Error::usage("a report is not written as yaml or name")
                .hint("-o table, json, jsonl, csv or html"));
        }
    })
}

/// Runs `report audit`.
pub(super) async fn audit(context: &Context, args: ReportArgs) -> Result<(), Error> {
    let mut form = form(context.global.output)?;
    let wanted = wanted(&args, Timestamp::now(), &TimeZone::system())?;
    let asker = context.asker().await?;
    let head = asker.report_head(&wanted).await?;
    let mut target = Target::open(args.out.as_deref())?;
    let summary = summary(&asker, &head).await?;
    if !context.global.quiet {
        let zone = TimeZone::system();
        say(&words::span(&head, &zone));
        let notes = words::coverage(&head, &summary, &zone);
        notes.iter().for_each(|note| say(&format!("note: {note}")));
    }
    let written = write(&asker, &head, &summary, form.as_mut(), &mut target).await;
    match written.and_then(|()| target.finish()) {
        Ok(()) => {}
        // Whoever reads has read enough.
        Err(Failure::Io(error))
            if args.out.is_none() && error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Failure::Io(error)) => return Err(unwritable(args.out.as_deref(), &error)),
        Err(Failure::Asked(error)) => return Err(error),
    }
    if let Some(out) = args.out.as_deref().filter(|_| !context.global.quiet) {
        let rows = usize::try_from(summary.rows).unwrap_or(usize::MAX);
        say(&format!("{} written to {}", count(rows, "row"), out.display()));
    }
    Ok(())
}

/// What is asked for, of the instants as they are given in this zone.
fn wanted(args: &ReportArgs, now: Timestamp, zone: &TimeZone) -> Result<ReportOf, Error> {
    let from = Instant::parse(&args.from, now, zone)?.or_begin();
    let to = match args.to.as_deref().map(|to| Instant::parse(to, now, zone)).transpose()? {
        None => Instant::Now,
        // A day that has not ended is reported as far as it has come.
        Some(Instant::Day { ends, .. }) if ends == now => Instant::Now,
        Some(to) => to.or_end(),
    };
    let app = args.app.as_deref().map(str::parse).transpose();
    let app = app.map_err(|error| Error::usage(format!("{error}")))?;
    Ok(ReportOf { from, to, app, namespace: args.namespace.clone().unwrap_or_default() })
}

async fn summary(asker: &Asker, head: &ReportHead) -> Result<Summary, Error> {
    let (mut summary, mut after) = (Summary::default(), Some(head.after));
    while let Some(next) = after {
        let page = asker.report_page(head, next).await?;
        summary.add(&page);
        after = page.next;
    }
    Ok(summary)
}

/// Why a report was not written to its end.
enum Failure {
    Io(io::Error),
    Asked(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn write(
    asker: &Asker,
    head: &ReportHead,
    summary: &Summary,
    form: &mut dyn Form,
    target: &mut Target,
) -> Result<(), Failure> {
    form.begin(&mut target.out, head, summary)?;
    let mut after = Some(head.after);
    while let Some(next) = after {
        let page = asker.report_page(head, next).await.map_err(Failure::Asked)?;
        for row in &page.changes {
            form.row(&mut target.out, row)?;
        }
        after = page.next;
    }
    form.end(&mut target.out)?;
    Ok(())
}

/// Where a report goes. A file appears under its name when it is whole.
struct Target {
    out: BufWriter<Box<dyn Write>>,
    /// The file that is written, and the one that it becomes.
    part: Option<(PathBuf, PathBuf)>,
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { out: BufWriter::new(Box::new(io::stdout())), part: None });
        };
        let failed = |error| unwritable(Some(path), &error);
        let special = fs::metadata(path).is_ok_and(|found| !found.is_file());
        if special {
            let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
            return Ok(Self { out: BufWriter::new(Box::new(file)), part: None });
        }
        let Some(name) = path.file_name() else {
            return Err(Error::usage(format!("{} names no file", path.display())));
        };
        let mut part = name.to_owned();
        part.push(format!(".{}.part", process::id()));
        let part = path.with_file_name(part);
        let file = fs::File::create_new(&part).map_err(failed)?;
        let out = BufWriter::new(Box::new(file) as Box<dyn Write>);
        Ok(Self { out, part: Some((part, path.to_owned())) })
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        if let Some((part, path)) = &self.part {
            fs::File::open(part)?.sync_all()?;
            fs::rename(part, path)?;
            self.part = None;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.part {
            // Half a report is of use to nobody; what cannot be removed bears its own name.
            let _ = fs::remove_file(part);
        }
    }
}

fn unwritable(path: Option<&Path>, error: &io::Error) -> Error {
    let what = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    Error::new(Exit::Usage, format!("the report cannot be written to {what}"))
        .because(error)
        .hint("name a file in a directory that you may write to, with --out")
}

impl From<report::Error> for Error {
    fn from(error: report::Error) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            report::Error::Instant(error) => error.into(),
            report::Error::Ledger(error) => error.into(),
            _ => Self::usage(message).hint(hint),
        }
    }
}
