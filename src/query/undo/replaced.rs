//! The hold of an application that a rollback took the place of.

use std::collections::BTreeSet;

use super::super::book::Book;
use super::super::instant::backwards;
use crate::ledger;
use crate::ledger::event::{AppHeldV1, Event};
use crate::ledger::store::SubjectKey;
use crate::model::{AppName, Seq};

/// The hold that was in force when the one that event `seq` began took its place, with its event;
/// `None` = there was none. `first` is the first of the holds without a break.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn replaced(
    book: &dyn Book,
    app: &AppName,
    (first, seq): (Seq, Seq),
) -> Result<Option<(Seq, AppHeldV1)>, ledger::Error> {
    if first >= seq {
        return Ok(None);
    }
    let mut ended = BTreeSet::new();
    let found = backwards(book, SubjectKey::app(app.as_str()), seq, |recorded| {
        let at = recorded.seq();
        match &recorded.event {
            _ if at < first => Some(None),
            Some(Event::AppHoldEnded(body)) if body.app == *app => {
                ended.insert(body.hold);
                None
            }
            // A rule never takes the place of a hold: one that came later is in no force.
            Some(Event::AppHeld(body)) if body.app == *app => {
                let begins = body.automatic.is_none() || at == first;
                begins.then(|| Some((at, body.clone())).filter(|_| !ended.contains(&at)))
            }
            _ => None,
        }
    })?;
    Ok(found.flatten())
}
