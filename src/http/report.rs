//! `GET /report/audit`: what a report is about; `GET /report/audit/changes`: its rows, in pages.

use axum::Json;
use axum::extract::{Query, State as Having};
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::api::{Answer, Asked};
use super::dto;
use super::error::Error;
use super::past::unwatched;
use super::server::State;
use crate::ledger;
use crate::model::{AppName, Instant, Seq, Timestamp};
use crate::query::coverage::{self, Scope};
use crate::query::report::{self, Page};
use crate::query::{AsOf, Book};

/// Bound: how many rows a page has.
const ROWS_MAX: usize = 500;

/// Which report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadQuery {
    from: String,
    to: String,
    app: Option<String>,
    namespace: Option<String>,
}

/// Which of its rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangesQuery {
    after: u64,
    last: u64,
    head: u64,
    app: Option<String>,
    namespace: Option<String>,
    limit: Option<usize>,
}

fn app(name: Option<String>) -> Result<Option<AppName>, Error> {
    let name = name.filter(|name| !name.is_empty());
    name.map(|name| name.parse())
        .transpose()
        .map_err(|error| Error::bad_request(format!("{error}")))
}

pub(super) async fn head(
    Having(state): Having<State>,
    asked: Asked<HeadQuery>,
) -> Answer<dto::ReportHead> {
    let Query(HeadQuery { from, to, app: name, namespace }) = asked?;
    let (name, now) = (app(name)?, Timestamp::now());
    let from = Instant::parse(&from, now, &TimeZone::UTC)?.or_begin();
    let to = Instant::parse(&to, now, &TimeZone::UTC)?.or_end();
    let ledger = state.ledger.clone();
    let id = ledger.ledger_id().to_string();
    let head = state.blocking(move || {
        let span = report::span(&ledger, &from, &to, name.as_ref(), now)?;
        Ok::<_, report::Error>(dto::ReportHead {
            ledger: id,
            app: name.map(|name| name.to_string()).unwrap_or_default(),
            namespace: namespace.unwrap_or_default(),
            ..head_dto(&ledger, &span)?
        })
    });
    Ok(Json(head.await??))
}

pub(super) async fn changes(
    Having(state): Having<State>,
    asked: Asked<ChangesQuery>,
) -> Answer<Page> {
    let Query(ChangesQuery { after, last, head, app: name, namespace, limit }) = asked?;
    let name = app(name)?;
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let people = state.read(|world, _| world.people.clone()).await?;
    let ledger = state.ledger.clone();
    let rows = limit.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
    let page = state.blocking(move || {
        let asked = report::Asked {
            book: &AsOf::new(&ledger, Seq(head)),
            people: &people,
            app: name.as_ref(),
            namespace: namespace.as_deref(),
        };
        report::page(&asked, Seq(after), Seq(last), rows)
    });
    Ok(Json(page.await??))
}

/// What a report of a span is about; whoever knows which ledger and what is left out adds it.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn head_dto(book: &dyn Book, span: &report::Span) -> Result<dto::ReportHead, ledger::Error> {
    let head = book.head();
    let get = |seq| Ok::<_, ledger::Error>(book.get(seq)?.map(|found| found.envelope.clone()));
    let (first, last, now) = (get(Seq(1))?, get(span.to.seq)?, get(head)?);
    let spans = coverage::read(book, &Scope::All, span.from, span.to)?;
    Ok(dto::ReportHead {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        from: span.from.time.to_string(),
        to: span.to.time.to_string(),
        after: span.from.seq.0,
        last: span.to.seq.0,
        last_hash: last.map(|last| last.hash.to_string()).unwrap_or_default(),
        begins: first.map(|first| first.recorded.to_string()).unwrap_or_default(),
        head: head.0,
        head_time: now.as_ref().map(|now| now.recorded.to_string()).unwrap_or_default(),
        head_hash: now.map(|now| now.hash.to_string()).unwrap_or_default(),
        coverage: spans.iter().map(unwatched).collect(),
        ..dto::ReportHead::default()
    })
}

impl From<report::Error> for Error {
    fn from(error: report::Error) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            report::Error::Instant(error) => error.into(),
            report::Error::Ledger(error) => error.into(),
            report::Error::UnknownApp(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_app", message, hint)
            }
            report::Error::Order { .. } | report::Error::Future(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad_span", message, hint)
            }
        }
    }
}
