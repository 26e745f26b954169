//! What only the ledger tells of for an overview.

use std::collections::BTreeSet;

use super::book::Book;
use super::instant::backwards;
use crate::ledger;
use crate::ledger::event::Event;
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::model::{Seq, Timestamp};

/// Bound: how many events of replays are looked at for those that have not ended.
const EVENTS_MAX: usize = 10_000;

/// A replay onto another cluster that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The event that began it.
    pub seq: Seq,
    /// When.
    pub begun: Timestamp,
    /// The target's address.
    pub server: String,
    /// How many objects it writes.
    pub objects: u32,
    /// Of how many it is recorded how their write ended.
    pub ended: usize,
}

/// The replays that have not ended. One that began again onto the same target took the place of
/// those before it.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn unfinished(book: &dyn Book) -> Result<Vec<Unfinished>, ledger::Error> {
    let (mut over, mut ended, mut found) = (BTreeSet::new(), Vec::new(), Vec::new());
    let mut targets = BTreeSet::new();
    let topic = SubjectKey::topic(&Topic::Recoveries);
    for seq in book.find_before(topic, book.head().next(), EVENTS_MAX) {
        let Some(recorded) = book.get(seq)? else { continue };
        match &recorded.event {
            Some(Event::RecoveryFinished(body)) => {
                over.insert(body.recovery);
            }
            Some(Event::RecoveryAbandoned(body)) => {
                over.insert(body.recovery);
            }
            Some(Event::RecoveryOutcome(body)) => ended.push((body.recovery, body.results.len())),
            Some(Event::RecoveryBegun(body)) if targets.insert(body.uid.clone()) => {
                if over.contains(&seq) {
                    continue;
                }
                let of = ended.iter().filter(|(recovery, _)| *recovery == seq);
                found.push(Unfinished {
                    seq,
                    begun: recorded.envelope.recorded,
                    server: body.server.clone(),
                    objects: body.objects,
                    ended: of.map(|(_, results)| results).sum(),
                });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Since which event, and when, the API server cannot be reached; `None` = it can.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn lost_since(book: &dyn Book) -> Result<Option<(Seq, Timestamp)>, ledger::Error> {
    let mut lost = None;
    let topic = SubjectKey::topic(&Topic::Watching);
    backwards(book, topic, book.head().next(), |recorded| match &recorded.event {
        Some(Event::ClusterLost(_)) => {
            lost = Some((recorded.seq(), recorded.envelope.recorded));
            None
        }
        Some(Event::ClusterFound(_) | Event::DaemonStarted(_)) => Some(()),
        _ => None,
    })?;
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{
        ClusterFoundV1, ClusterLostV1, RecoveryAbandonedV1, RecoveryBegunV1, RecoveryFinishedV1,
        RecoveryOutcomeV1, RecoveryResult,
    };
    use crate::ledger::samples::sample_events;
    use crate::query::fixture::Story;

    #[test]
    fn the_first_loss_counts_until_the_api_server_is_found() {
        let mut story = Story::told();
        assert_eq!(lost_since(&story.ledger).unwrap(), None);
        let first = story.event(ClusterLostV1 { error: "refused".into() });
        story.event(ClusterLostV1 { error: "refused again".into() });
        assert_eq!(lost_since(&story.ledger).unwrap().unwrap().0, first);
        story.event(ClusterFoundV1 {});
        assert_eq!(lost_since(&story.ledger).unwrap(), None);
    }

    #[test]
    fn a_replay_that_has_not_ended_is_told_of_until_it_has() {
        let mut story = Story::told();
        assert_eq!(unfinished(&story.ledger).unwrap(), []);
        let sample =
            |name: &str| sample_events().into_iter().find(|event| event.name() == name).unwrap();
        let Event::RecoveryBegun(begun) = sample("recovery.begun") else { panic!() };
        let Event::RecoveryFinished(finished) = sample("recovery.finished") else { panic!() };
        let first = story.event(begun.clone());
        let other = story.event(RecoveryBegunV1 { uid: "another".into(), ..begun.clone() });
        let failed = (0, RecoveryResult::Refused("no".into()));
        let results = vec![failed];
        story.event(RecoveryOutcomeV1 { recovery: first, intent: first, results });
        let seqs = |story: &Story| -> Vec<(Seq, usize)> {
            let found = unfinished(&story.ledger).unwrap();
            found.iter().map(|replay| (replay.seq, replay.ended)).collect()
        };
        assert_eq!(seqs(&story), [(other, 0), (first, 1)]);
        story.event(RecoveryFinishedV1 { recovery: first, ..finished.clone() });
        assert_eq!(seqs(&story), [(other, 0)]);
        // Begun anew onto the same target: the former counts no more.
        let again = story.event(RecoveryBegunV1 { uid: "another".into(), ..begun.clone() });
        assert_eq!(seqs(&story), [(again, 0)]);
        story.event(RecoveryFinishedV1 { recovery: again, ..finished });
        assert_eq!(seqs(&story), []);
        // A person may end one.
        let third = story.event(RecoveryBegunV1 { uid: "third".into(), ..begun });
        assert_eq!(seqs(&story), [(third, 0)]);
        let (uid, reason) = ("third".into(), String::new());
        story.event(RecoveryAbandonedV1 { recovery: third, uid, written: 0, reason });
        assert_eq!(seqs(&story), []);
    }
}
