//! The span of a report.

use super::super::book::Book;
use super::super::coverage::Moment;
use super::super::instant::{self, About};
use crate::ledger;
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, Instant, Seq, Timestamp};

/// A span of the ledger: the events after `from` up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
}

/// Why there is no such report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An instant that stands for nothing.
    #[error(transparent)]
    Instant(#[from] instant::Error),
    /// It would begin after its end.
    #[error("the report would begin at {from}, after its end at {to}")]
    Order {
        /// The beginning.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
    /// It would begin later than now.
    #[error("the report would begin at {0}, which is in the future")]
    Future(Timestamp),
    /// The ledger has nothing about the application.
    #[error("the ledger has nothing about an application `{0}`")]
    UnknownApp(String),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Instant(error) => error.hint(),
            Self::Order { .. } => "--from is the earlier one".to_owned(),
            Self::Future(_) => "only what happened can be reported".to_owned(),
            Self::UnknownApp(_) => "`greffier get apps` lists them".to_owned(),
            Self::Ledger(_) => String::new(),
        }
    }
}

/// Finds the span between two instants. A time before the ledger begins stands for its beginning.
///
/// # Errors
/// See [`Error`].
pub fn span(
    book: &dyn Book,
    from: &Instant,
    to: &Instant,
    app: Option<&AppName>,
    now: Timestamp,
) -> Result<Span, Error> {
    if let Some(app) = app
        && book.find(SubjectKey::app(app.as_str()), Seq::ZERO, 1).is_empty()
    {
        return Err(Error::UnknownApp(app.to_string()));
    }
    let about = About { app: app.cloned(), object: None };
    let Span { from, to } = moments(book, (from, to), &about, now)?;
    // By event first: where the clock was set back, a later one may have an earlier time.
    if from > to {
        return Err(Error::Order { from: from.time, to: to.time });
    }
    Ok(Span { from, to })
}

/// Finds the ends of a span in whichever order they are. A time before the ledger begins stands
/// for its beginning.
///
/// # Errors
/// See [`Error`].
pub fn moments(
    book: &dyn Book,
    (from, to): (&Instant, &Instant),
    about: &About,
    now: Timestamp,
) -> Result<Span, Error> {
    let from = match from {
        Instant::Time(time) | Instant::Day { begins: time, .. } if *time > now => {
            return Err(Error::Future(*time));
        }
        // What was recorded at this very time belongs to the span.
        Instant::Time(time) | Instant::Day { begins: time, .. } => {
            Moment { seq: book.at_time(Timestamp(time.0.saturating_sub(1))), time: *time }
        }
        other => {
            let at = instant::resolve(book, other, about, now)?;
            Moment { seq: at.seq, time: at.time }
        }
    };
    let to = instant::resolve(book, to, about, now)?;
    let to = Moment { seq: to.seq, time: to.time };
    Ok(Span { from, to })
}
