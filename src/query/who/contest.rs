//! Who disagrees with greffier, where the object itself does not say: by the change that made it a
//! contest.

use super::super::book::Book;
use super::super::describe::Described;
use super::super::instant::backwards;
use super::of_drift;
use crate::ledger;
use crate::ledger::event::{ContestNamedV1, DriftDetectedV1, DriftKind, Event};
use crate::ledger::store::SubjectKey;
use crate::model::Seq;
use crate::replay::{OWNERSHIP, RIVAL_UNKNOWN, WHOLE_OBJECT};

/// Who it is with whom a contest is that an event names or begins, in words; `None` = nothing
/// tells.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn rival(book: &dyn Book, seq: Seq) -> Result<Option<String>, ledger::Error> {
    let recorded = book.get(seq)?;
    let drift = match recorded.as_ref().and_then(|recorded| recorded.event.as_ref()) {
        Some(Event::ContestNamed(body)) => drift(book, seq, body)?,
        Some(Event::DriftDetected(_)) => Some(seq),
        _ => None,
    };
    let Some(drift) = drift else { return Ok(None) };
    let whom = of_drift(book, drift)?;
    Ok((whom != "unknown").then_some(whom))
}

/// The change that made it a contest.
fn drift(book: &dyn Book, named: Seq, body: &ContestNamedV1) -> Result<Option<Seq>, ledger::Error> {
    let is_of_path = |drift: &DriftDetectedV1| match drift.kind {
        DriftKind::Deleted => body.path == WHOLE_OBJECT,
        DriftKind::OwnershipLost => body.path == OWNERSHIP,
        _ => drift.fields.iter().any(|field| field.path == body.path),
    };
    backwards(book, SubjectKey::object(&body.key), named, |earlier| match &earlier.event {
        Some(Event::DriftDetected(drift)) if drift.key == body.key && is_of_path(drift) => {
            Some(earlier.seq())
        }
        _ => None,
    })
}

/// The words for a contest, with whom it is as is known by now.
pub(super) fn named(
    book: &dyn Book,
    seq: Seq,
    body: &ContestNamedV1,
    described: Described,
) -> Described {
    if !body.manager.is_empty() {
        return described;
    }
    // What cannot be read is told when it is asked for by itself.
    let Some(rival) = rival(book, seq).ok().flatten() else { return described };
    let summary = described.summary.replacen(RIVAL_UNKNOWN, &rival, 1);
    let by = described.by.into_iter();
    let by = by.map(|name| if name == RIVAL_UNKNOWN { rival.clone() } else { name }).collect();
    Described { summary, by, ..described }
}
