//! What came after an event: whether what it left of an object was ever something else since, in
//! content or in presence, and which event is in the way of taking it back.
//!
//! What is now does not tell: what was dropped and brought in again is as the event left it, and
//! yet somebody decided about it since.

use std::collections::BTreeMap;

use super::super::book::Book;
use super::super::instant::forwards;
use super::super::restore::{Now, Then};
use super::super::who;
use super::came::{Came, Whose, of_git};
use crate::ledger;
use crate::ledger::event::{DriftDetectedV1, Event, FieldChange, ObjectGoneV1};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, Digest, ObjectKey, Seq};

/// What Git said of an object of one application after event `after`, which left it so.
fn of_one(
    book: &dyn Book,
    (app, key): (&AppName, &ObjectKey),
    after: Seq,
    left: Option<Digest>,
) -> Result<Came, ledger::Error> {
    let left = BTreeMap::from([(key.clone(), left)]);
    let came = of_git(book, Whose { then: app, now: app }, after, &left)?.remove(key);
    Ok(came.unwrap_or_default())
}

/// The last event after `after` that tells the end of an object of this name, of another than
/// `uid`: what went came back, and went again.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn went_again(
    book: &dyn Book,
    key: &ObjectKey,
    after: Seq,
    uid: &str,
) -> Result<Option<String>, ledger::Error> {
    let mut last = None;
    forwards(book, SubjectKey::object(key), after, |recorded| {
        if let Some(Event::ObjectGone(body)) = &recorded.event
            && body.key == *key
            && body.uid != uid
        {
            last = Some(recorded.seq());
        }
        None::<()>
    })?;
    let Some(seq) = last else { return Ok(None) };
    Ok(Some(format!("it came back since, and went again, #{seq}: {}", told(book, seq)?)))
}

/// What an event is, in a sentence.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn told(book: &dyn Book, seq: Seq) -> Result<String, ledger::Error> {
    let recorded = book.get(seq)?;
    Ok(recorded.map(|recorded| who::described(book, &recorded).summary).unwrap_or_default())
}

/// What is of the end of an object that an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It lasts: the object can come back.
    Lasts,
    /// It is over: the object is back as it was.
    Over,
    /// Something else came since.
    InTheWay(String),
}

/// Whether the end of an object that event `seq` tells lasts, and what came since otherwise. `then`
/// is what was of it before the event, `holds` is what people hold of it now.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn gone(
    book: &dyn Book,
    (seq, body): (Seq, &ObjectGoneV1),
    then: &Then,
    now: &Now,
    holds: &[Seq],
) -> Result<Gone, ledger::Error> {
    let key = &body.key;
    let Some((app, was)) = &then.wanted else {
        return match (&now.app, &now.wanted) {
            (Some(app), Some(_)) => {
                let came = of_one(book, (app, key), seq, None)?;
                let since = came.otherwise(book)?;
                Ok(Gone::InTheWay(format!("application {app} has it now{since}")))
            }
            _ => of_nobody(book, (seq, body), then, now),
        };
    };
    match &now.app {
        Some(other) if other != app => {
            return Ok(Gone::InTheWay(format!("application {other} has it now")));
        }
        Some(_) => {}
        None => {
            return match removed(book, app, seq)? {
                Some(why) => Ok(Gone::InTheWay(why)),
                None => of_nobody(book, (seq, body), then, now),
            };
        }
    }
    let came = of_one(book, (app, key), seq, Some(was.digest))?;
    let held = match holds.first() {
        Some(hold) => format!("; hold #{hold}: {}", told(book, *hold)?),
        None => String::new(),
    };
    let Some(is) = &now.wanted else {
        let plain = format!("application {app} has it no more{held}");
        return Ok(Gone::InTheWay(came.turned(book)?.unwrap_or(plain)));
    };
    if is.digest != was.digest {
        let back = if now.seen.is_some() { "it is there again, and " } else { "" };
        let since = came.otherwise(book)?;
        let why = match (since.is_empty(), held.is_empty()) {
            (true, true) => format!("application {app} wants it otherwise now"),
            (true, false) => format!("it is wanted otherwise now{held}"),
            (false, _) => format!("Git has changed it{since}"),
        };
        return Ok(Gone::InTheWay(format!("{back}{why}")));
    }
    if now.seen.is_some() {
        return Ok(Gone::Over);
    }
    let why = came.turned(book)?;
    let why = why.map_or_else(|| went_again(book, key, seq, &body.uid), |why| Ok(Some(why)))?;
    Ok(why.map_or(Gone::Lasts, Gone::InTheWay))
}

/// Of an object that no application has: it came back, or came back and went again.
fn of_nobody(
    book: &dyn Book,
    (seq, body): (Seq, &ObjectGoneV1),
    then: &Then,
    now: &Now,
) -> Result<Gone, ledger::Error> {
    match (&then.seen, &now.seen) {
        (Some(then), Some(now)) if then.digest == now.digest => Ok(Gone::Over),
        (_, Some(_)) => Ok(Gone::InTheWay(anew(book, &body.key, seq)?)),
        (_, None) => {
            let why = went_again(book, &body.key, seq, &body.uid)?;
            Ok(why.map_or(Gone::Lasts, Gone::InTheWay))
        }
    }
}

/// Somebody made an object of this name anew after an event.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn anew(book: &dyn Book, key: &ObjectKey, after: Seq) -> Result<String, ledger::Error> {
    let since = super::super::restore::since(book, key, after)?;
    let since = since.into_iter().map(|what| format!("; {what}")).collect::<String>();
    Ok(format!("somebody made it anew{since}"))
}

/// That the object was changed after an event, as far as that is known.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn changed(book: &dyn Book, key: &ObjectKey, after: Seq) -> Result<String, ledger::Error> {
    let since = super::super::restore::since(book, key, after)?;
    let since = since.into_iter().map(|what| format!("; {what}")).collect::<String>();
    Ok(format!("it was changed since{since}"))
}

/// The removal of an application after an event.
fn removed(book: &dyn Book, app: &AppName, after: Seq) -> Result<Option<String>, ledger::Error> {
    let found =
        forwards(book, SubjectKey::app(app.as_str()), after, |recorded| match &recorded.event {
            Some(Event::AppRemoved(body)) if body.app == *app => Some(recorded.seq()),
            _ => None,
        })?;
    Ok(found.map(|seq| format!("application {app}, which had it, was removed since, #{seq}")))
}

/// The fields of a drift that still differ, by the drift there is now, and those that were put back.
#[must_use]
pub fn lasting<'d>(
    drift: &'d DriftDetectedV1,
    later: &[FieldChange],
) -> (Vec<&'d FieldChange>, Vec<&'d FieldChange>) {
    let differs = |field: &&FieldChange| later.iter().any(|now| now.path == field.path);
    drift.fields.iter().partition(differs)
}

/// What somebody changed by hand since a drift: `later` is the drift there is now.
#[must_use]
pub fn by_hand(drift: &DriftDetectedV1, (seq, later): (Seq, &[FieldChange])) -> Vec<String> {
    let mut conflicts = Vec::new();
    for field in later {
        let at = format!("{} {}", drift.key, field.path);
        match drift.fields.iter().find(|ours| ours.path == field.path) {
            None => conflicts.push(format!("{at}: it was changed by hand as well, #{seq}")),
            Some(ours) if ours.now != field.now => {
                conflicts.push(format!("{at}: it was changed by hand again since, #{seq}"));
            }
            Some(_) => {}
        }
    }
    conflicts
}
