//! How the writes of an intent ended, whichever event tells it.

use super::Recorded;
use super::event::{Event, IntentRecordedV1, Write, WriteResult};
use crate::model::{ObjectKey, Seq};

/// How writes of an intent ended, as an event tells it.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'r> {
    /// The intent.
    pub intent: Seq,
    /// By the position of the write in the intent.
    pub results: &'r [(u32, WriteResult)],
    /// Whether the API server answered so; otherwise it was concluded from what was seen later,
    /// which does not tell whose doing it was.
    pub answered: bool,
}

impl<'r> Ends<'r> {
    /// How an event tells that writes ended; `None` = it is about something else.
    #[must_use]
    pub fn in_event(recorded: &'r Recorded) -> Option<Self> {
        let (intent, results, answered) = match recorded.event.as_ref()? {
            Event::OutcomeRecorded(body) => (body.intent, &body.results, true),
            Event::IntentSettled(body) => (body.intent, &body.results, false),
            _ => return None,
        };
        Some(Self { intent, results, answered })
    }

    /// The ends of those writes of the intent that are about one object.
    pub fn about(
        self,
        intent: &'r IntentRecordedV1,
        key: &'r ObjectKey,
    ) -> impl Iterator<Item = (&'r Write, &'r WriteResult)> {
        let ends = self.results.iter().filter_map(|(index, result)| {
            let write = intent.writes.get(usize::try_from(*index).ok()?)?;
            Some((write, result))
        });
        ends.filter(move |(write, _)| write.key == *key)
    }
}
