//! What an event brought about, one step on.

use super::super::super::book::Book;
use super::{ChainLink, Walk};
use crate::ledger::event::{CommitRecordedV1, Event};
use crate::ledger::{self, Recorded};
use crate::model::{CommitId, ObjectKey, Seq};

/// How many events after it are searched: nothing lists what an event caused.
const EVENTS_AFTER: u64 = 2_000;
/// How many events are read at a time.
const CHUNK: u64 = 500;
/// How many consequences are told.
const TOLD_MAX: usize = 20;

/// What directly follows from an event, and what was cut off.
pub(in crate::query::why) fn consequences(
    book: &dyn Book,
    of: &Recorded,
) -> Result<(Vec<ChainLink>, Vec<String>), ledger::Error> {
    let last = Seq((of.seq().0 + EVENTS_AFTER).min(book.head().0));
    let mut walk = Walk::new(book);
    let mut from = of.seq().next();
    'search: while from <= last {
        let to = Seq((from.0 + CHUNK - 1).min(last.0));
        for recorded in book.range(from, to)? {
            if !follows(&recorded, of) {
                continue;
            }
            if walk.links.len() == TOLD_MAX {
                walk.bounds.insert(format!("the first {TOLD_MAX} consequences are told"));
                break 'search;
            }
            let link = walk.link(&recorded, None)?;
            walk.links.push(link);
        }
        from = to.next();
    }
    if last < book.head() {
        let what = format!("consequences are looked for in the {EVENTS_AFTER} events after it");
        walk.bounds.insert(what);
    }
    Ok(walk.ends())
}

/// Whether an event names another as what it follows from.
fn follows(recorded: &Recorded, of: &Recorded) -> bool {
    let seq = of.seq();
    if recorded.envelope.causes.contains(&seq) {
        return true;
    }
    let commit = match &of.event {
        Some(Event::CommitRecorded(CommitRecordedV1 { commit, .. })) => Some(commit),
        Some(Event::RefMoved(body)) => body.new.as_ref(),
        _ => None,
    };
    let moved = matches!(of.event, Some(Event::RefMoved(_)));
    let is = |other: &CommitId| commit == Some(other);
    match &recorded.event {
        Some(Event::OutcomeRecorded(body)) => body.intent == seq,
        Some(Event::IntentSettled(body)) => body.intent == seq,
        Some(Event::IntentRecorded(body)) => {
            body.writes.iter().any(|write| write.holds.contains(&seq))
        }
        Some(Event::DriftDetected(body)) => {
            let others = matches!(&of.event, Some(event) if is_of_another(event, &body.key));
            body.observation == seq && !others
        }
        Some(Event::AttributionResolved(body)) => {
            let evidence = body.claims.iter().any(|claim| claim.evidence.contains(&seq));
            body.observation == seq || body.causes.contains(&seq) || evidence
        }
        Some(Event::AuditGapSuspected(body)) => body.observation == seq,
        Some(Event::HoldBegun(body)) => body.from.seq() == seq,
        Some(Event::HoldEnded(body)) => body.holds.contains(&seq),
        Some(Event::RestoreIntended(body)) => body.from.seq() == seq,
        Some(Event::RestoreEnded(body)) => body.restore == seq,
        Some(Event::PushIntended(body)) => body.hold == seq,
        Some(Event::PushEnded(body)) => body.push == seq,
        Some(Event::AppHeld(body)) => body.desired.seq == seq,
        Some(Event::AppHoldEnded(body)) => body.hold == seq || body.holds.contains(&seq),
        Some(Event::SyncFinished(body)) => [body.request, body.approval].contains(&Some(seq)),
        Some(Event::PlanApproved(body)) => match &of.event {
            Some(Event::PlanGated(gated)) => gated.plan == body.plan,
            _ => false,
        },
        Some(Event::RefMoved(body)) => !moved && body.new.as_ref().is_some_and(is),
        Some(Event::RenderSucceeded(body)) => {
            body.declared == seq || body.revisions.iter().any(|revision| is(&revision.commit))
        }
        Some(Event::RevisionAdvanced(body)) => {
            body.declared == seq || body.revisions.iter().any(|revision| is(&revision.commit))
        }
        Some(Event::RenderFailed(body)) => {
            body.declared == seq || body.commits.iter().flatten().any(is)
        }
        _ => false,
    }
}

/// Whether an event is about an object that is not this one. A deletion is found at whatever was
/// recorded last.
fn is_of_another(event: &Event, key: &ObjectKey) -> bool {
    match event {
        Event::ObjectObserved(body) => body.key != *key,
        Event::ObjectGone(body) => body.key != *key,
        _ => false,
    }
}
