//! `GET /coverage`: what was not watched, of an object or at all, between two instants.

use axum::Json;
use axum::extract::{Query, State as Having};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::api::{Answer, Asked};
use super::dto;
use super::error::Error;
use super::past::unwatched;
use super::server::State;
use crate::model::{Instant, ObjectKey, Seq, Timestamp};
use crate::query::Book;
use crate::query::coverage::{self, Moment, Scope};
use crate::query::instant::{About, resolve};
use crate::query::report::{self, Span, moments};

/// Of what, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CoverageQuery {
    object: Option<String>,
    /// What `@-` and commits are about, where no object is given.
    app: Option<String>,
    from: String,
    to: String,
    /// The event after which nothing is asked about any more.
    last: Option<u64>,
}

pub(super) async fn coverage(
    Having(state): Having<State>,
    asked: Asked<CoverageQuery>,
) -> Answer<Vec<dto::Unwatched>> {
    let Query(CoverageQuery { object, app, from, to, last }) = asked?;
    let object = object.filter(|object| !object.is_empty());
    let object = object.map(|object| object.parse::<ObjectKey>()).transpose();
    let object = object.map_err(|error| Error::bad_request(error.to_string()))?;
    let about = About { app: app.and_then(|app| app.parse().ok()), object };
    let (now, last) = (Timestamp::now(), last.map(Seq));
    let from = Instant::parse(&from, now, &TimeZone::UTC)?.or_begin();
    let to = Instant::parse(&to, now, &TimeZone::UTC)?.or_end();
    let ledger = state.ledger.clone();
    let found = state.blocking(move || coverage_dto(&ledger, &about, (&from, &to), last, now));
    Ok(Json(found.await??))
}

/// What was not watched, of an object or at all, between two instants; nothing where the second
/// comes before the first. What is after the event `last` does not count.
///
/// # Errors
/// See [`report::Error`].
pub fn coverage_dto(
    book: &dyn Book,
    about: &About,
    (from, to): (&Instant, &Instant),
    last: Option<Seq>,
    now: Timestamp,
) -> Result<Vec<dto::Unwatched>, report::Error> {
    let Span { from, mut to } = moments(book, (from, to), about, now)?;
    if let Some(last) = last.filter(|last| *last < to.seq) {
        let at = resolve(book, &Instant::Event(last), about, now)?;
        to = Moment { seq: at.seq, time: at.time };
    }
    if from.seq > to.seq {
        return Ok(Vec::new());
    }
    let scope = about.object.clone().map_or(Scope::All, Scope::Object);
    // Where the clock was set back, the same event is earlier.
    let spans = coverage::read(book, &scope, from, to.max(from))?;
    Ok(spans.iter().map(unwatched).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{DaemonStartedV1, DaemonStoppedV1};
    use crate::query::fixture::{Story, key};

    /// Goal: an interval is told whichever way its ends are named, and none that is empty is an
    /// error.
    #[test]
    fn an_interval_is_told_however_it_is_named() {
        let mut story = Story::told();
        let about = About::object(&key("ConfigMap/prod/none"));
        let before = story.ledger.head();
        let stop = story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
        let start = story.event(DaemonStartedV1 { version: "1".into(), observe: false, pid: 8 });
        let now = Timestamp::now();
        let event = Instant::Event;
        let causes = |from: Instant, to: Instant, last| {
            let found = coverage_dto(&story.ledger, &about, (&from, &to), last, now).unwrap();
            found.into_iter().map(|span| span.cause).collect::<Vec<_>>()
        };
        let whole = ["begins", "stopped"];
        assert_eq!(causes(Instant::Time(Timestamp(0)), Instant::Now, None), whole);
        assert_eq!(causes(event(Seq(1)), event(start), None), whole);
        assert_eq!(causes(event(Seq(1)), Instant::Now, Some(stop)), whole[..1]);
        assert_eq!(causes(event(before), event(stop), None), [""; 0]);
        assert_eq!(causes(event(stop), event(start), None), whole[1..]);
        assert_eq!(causes(event(start), event(stop), None), [""; 0]);
        assert_eq!(causes(event(start), event(start), Some(stop)), [""; 0]);
    }
}
