//! Right before the last changes of a subject: `@-`.

use super::super::book::Book;
use super::super::object_at::last_state;
use super::{About, At, Error, backwards, position};
use crate::ledger::event::{Event, Learned};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, Digest, ObjectKey, Seq};

/// Bound: how many events of a subject are looked at for its changes.
const EVENTS_MAX: usize = 20_000;

/// Right before the last changes of what is asked about.
pub(super) fn back(book: &dyn Book, about: &About, count: u32) -> Result<At, Error> {
    back_within(book, about, count, EVENTS_MAX)
}

fn back_within(book: &dyn Book, about: &About, count: u32, most: usize) -> Result<At, Error> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let (subject, found) = match about {
        About { object: Some(key), .. } => {
            let found = match change_of_object(book, key, (wanted, most))? {
                Looked::Found(seq) => Looked::Found(known_since(book, key, seq)?),
                other => other,
            };
            (key.to_string(), found)
        }
        About { app: Some(app), .. } => {
            (format!("application {app}"), change_of_app(book, app, (wanted, most))?)
        }
        _ => {
            let head = book.head().0;
            let found = head.checked_sub(u64::from(count)).map(|seq| Seq(seq + 1));
            let has = usize::try_from(head).unwrap_or(usize::MAX);
            ("the ledger".to_owned(), found.map_or(Looked::All { has }, Looked::Found))
        }
    };
    match found {
        Looked::Found(change) if change.0 > 1 => {
            position(book, Seq(change.0 - 1), format!("right before #{change}"))
        }
        // Nothing is before the very first event.
        Looked::Found(_) => Err(Error::NoChange { subject, has: wanted.saturating_sub(1) }),
        Looked::All { has } => Err(Error::NoChange { subject, has }),
        Looked::Enough { has } => Err(Error::NoRecentChange { subject, has, looked: most }),
    }
}

/// What came of looking for a change.
enum Looked {
    /// The event that made it.
    Found(Seq),
    /// There are only so many.
    All { has: usize },
    /// There are only so many among the events that were looked at.
    Enough { has: usize },
}

fn change_of_app(
    book: &dyn Book,
    app: &AppName,
    (wanted, most): (usize, usize),
) -> Result<Looked, ledger::Error> {
    let (mut has, mut looked) = (0, 0);
    let found = backwards(book, SubjectKey::app(app.as_str()), book.head().next(), |recorded| {
        has += usize::from(changes_app(recorded, app));
        looked += 1;
        match has == wanted {
            true => Some(Looked::Found(recorded.seq())),
            false => (looked >= most).then_some(Looked::Enough { has }),
        }
    })?;
    Ok(found.unwrap_or(Looked::All { has }))
}

/// Whether the event changes what an application is to be.
fn changes_app(recorded: &Recorded, app: &AppName) -> bool {
    match &recorded.event {
        Some(Event::AppDeclared(body)) => body.app == *app,
        Some(Event::AppRemoved(body)) => body.app == *app,
        Some(Event::RenderSucceeded(body)) => body.app == *app,
        Some(Event::RevisionAdvanced(body)) => body.app == *app,
        Some(Event::AppHeld(body)) => body.app == *app,
        Some(Event::AppHoldEnded(body)) => body.app == *app,
        _ => false,
    }
}

/// The `wanted`-last event with which an object became another than it was. What changed its
/// status only is none.
fn change_of_object(
    book: &dyn Book,
    key: &ObjectKey,
    (wanted, most): (usize, usize),
) -> Result<Looked, ledger::Error> {
    let (mut has, mut looked, mut later) = (0, 0, None::<(Seq, Option<Digest>)>);
    let found = backwards(book, SubjectKey::object(key), book.head().next(), |recorded| {
        looked += 1;
        let enough = (looked >= most).then_some(Looked::Enough { has });
        let state = match &recorded.event {
            Some(Event::ObjectObserved(body)) => Some(body.digest),
            Some(Event::ObjectGone(_)) => None,
            _ => return enough,
        };
        let change = later.filter(|(_, known)| *known != state).map(|(seq, _)| seq);
        later = Some((recorded.seq(), state));
        has += usize::from(change.is_some());
        match change.filter(|_| has == wanted) {
            Some(seq) => Some(Looked::Found(seq)),
            None => enough.map(|_| Looked::Enough { has }),
        }
    })?;
    Ok(match (found, later) {
        (Some(found), _) => found,
        // Its first appearance is a change, too.
        (None, Some((first, Some(_)))) if has + 1 == wanted => Looked::Found(first),
        (None, Some((_, Some(_)))) => Looked::All { has: has + 1 },
        (None, _) => Looked::All { has },
    })
}

/// Since which event the state is known that the watch told at `seq`: the answer to greffier's
/// own write comes before.
fn known_since(book: &dyn Book, key: &ObjectKey, seq: Seq) -> Result<Seq, ledger::Error> {
    let state = |seq| last_state(book, key, seq);
    let (Some(told), Some(before)) = (state(seq)?, state(Seq(seq.0 - 1))?) else { return Ok(seq) };
    let same = told.live.is_some()
        && before.learned == Learned::Answered
        && (&told.uid, &told.resource_version) == (&before.uid, &before.resource_version);
    Ok(if same { before.seq } else { seq })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::fixture::{Story, key, name};

    /// Goal: a subject of very many events is not read from end to end, and what was not looked
    /// at is not said to be no change.
    #[test]
    fn a_long_history_is_looked_through_up_to_a_bound() {
        let mut story = Story::told();
        let set = key("ReplicaSet.apps/prod/web-1");
        let same = serde_json::json!({"kind": "ReplicaSet"});
        for _ in 0..5 {
            story.observed(&set, &same, "rs-1", "");
        }
        let object = About::object(&set);
        let back = |about: &About, count, most| {
            let found = back_within(&story.ledger, about, count, most);
            found.map(|at| at.seq.0).map_err(|error| error.to_string())
        };
        let bounded = back(&object, 1, 4).unwrap_err();
        assert!(bounded.contains("changed 0 times among its last 4 events"), "{bounded}");
        assert!(back(&object, 1, 100).is_ok());
        let app = About { app: Some(name("web")), object: None };
        let bounded = back(&app, 1, 1).unwrap_err();
        assert!(bounded.contains("among its last 1 events"), "{bounded}");
        assert!(back(&app, 1, 100).is_ok());
        let all = back(&app, 99, 1_000).unwrap_err();
        assert!(all.contains("only"), "{all}");
    }
}
