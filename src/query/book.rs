//! What a query needs of the ledger, whether a daemon has it open or not.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::search::Filter;
use crate::ledger::event::{Event, IntentRecordedV1};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Archive, Blob, Ends, Ledger, Recorded};
use crate::model::{AppName, BlobAddr, CommitId, Digest, ObjectKey, Seq, Timestamp};

/// Reads events and blobs. Blocking: callers in async code move to a blocking thread.
pub trait Book: Send + Sync {
    /// The position of the last event.
    fn head(&self) -> Seq;

    /// The event at `seq`, if there is one.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    fn get(&self, seq: Seq) -> Result<Option<Arc<Recorded>>, ledger::Error>;

    /// The events from `from` to `to`, both included, in order, as far as there are any.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    fn range(&self, from: Seq, to: Seq) -> Result<Vec<Arc<Recorded>>, ledger::Error>;

    /// The content of a blob.
    ///
    /// # Errors
    /// What the ledger says about a blob that cannot be read.
    fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, ledger::Error>;

    /// The last event that was recorded at or before `time`; zero when none was. Where the clock
    /// jumped back, later events count from the time before the jump.
    fn at_time(&self, time: Timestamp) -> Seq;

    /// The events after `after` that `key` finds, in order, at most `limit`.
    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq>;

    /// The events before `before` that `key` finds, the last one first, at most `limit`.
    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq>;

    /// The positions after `filter.after` that an index gives for the filter, ascending: a
    /// superset of what matches. `None` = no index fits, so the events are read one by one.
    fn candidates(&self, filter: &Filter) -> Option<Vec<Seq>> {
        let _ = filter;
        None
    }

    /// The positions of the events about an object after `after`, ascending, at most `limit`.
    /// Outcomes are not among them: they name their objects through the intent.
    fn of_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq>;

    /// The positions of the events about an application after `after`, ascending, at most `limit`.
    fn of_app(&self, app: &AppName, after: Seq, limit: usize) -> Vec<Seq>;

    /// A Secret's manifest with its values replaced by digests, as observed Secrets have them.
    /// `None` = the key is not at hand, so values cannot be compared.
    fn masked(&self, manifest: &Value) -> Option<Value> {
        let _ = manifest;
        None
    }

    /// A blob of what is secret, and the digest that it is known by. `None` = the key is not at hand.
    ///
    /// # Errors
    /// When it cannot be sealed.
    fn sealed(&self, bytes: &[u8]) -> Result<Option<(Blob, Digest)>, ledger::Error> {
        let _ = bytes;
        Ok(None)
    }

    /// The intent that an outcome ends; [`as_intent`] opens it. Shared, because an intent may list
    /// hundreds of writes and each of its outcomes asks for it.
    fn intent_of(&self, event: &Event) -> Option<Arc<Recorded>> {
        let seq = match event {
            Event::OutcomeRecorded(body) => body.intent,
            Event::IntentSettled(body) => body.intent,
            _ => return None,
        };
        self.get(seq).ok()?
    }

    /// The events that tell how the writes of an intent ended, in order; [`Ends`] opens them.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    fn ends_of(&self, intent: Seq) -> Result<Vec<Arc<Recorded>>, ledger::Error> {
        let found = self.find(SubjectKey::topic(&Topic::Intent(intent)), intent, usize::MAX);
        let read = found.into_iter().filter_map(|seq| self.get(seq).transpose());
        let ends = |recorded: &Arc<Recorded>| {
            Ends::in_event(recorded).is_some_and(|ends| ends.intent == intent)
        };
        read.filter(|recorded| recorded.as_ref().map_or(true, ends)).collect()
    }
}

/// Reads the content of a blob that is a recorded object.
///
/// # Errors
/// When it is none.
pub(super) fn read<'b, T: Deserialize<'b>>(
    addr: BlobAddr,
    bytes: &'b [u8],
) -> Result<T, ledger::Error> {
    serde_json::from_slice(bytes)
        .map_err(|source| ledger::Error::Unreadable { addr, source: Arc::new(source) })
}

/// The content of a blob; `None` where the ledger has lost it (see `ledger::salvage`): what is
/// told of many things goes on without it.
///
/// # Errors
/// Whatever else keeps it from being read.
pub(super) fn kept(book: &dyn Book, addr: BlobAddr) -> Result<Option<Arc<[u8]>>, ledger::Error> {
    match book.blob(addr) {
        Err(ledger::Error::NoBlob(_)) => Ok(None),
        read => read.map(Some),
    }
}

/// The intent that an event is.
#[must_use]
pub fn as_intent(recorded: &Recorded) -> Option<&IntentRecordedV1> {
    match &recorded.event {
        Some(Event::IntentRecorded(body)) => Some(body),
        _ => None,
    }
}

macro_rules! book {
    ($ledger:ty { $($own:item)* }) => {
        impl Book for $ledger {
            fn head(&self) -> Seq {
                <$ledger>::head(self)
            }

            fn get(&self, seq: Seq) -> Result<Option<Arc<Recorded>>, ledger::Error> {
                <$ledger>::get(self, seq)
            }

            fn range(&self, from: Seq, to: Seq) -> Result<Vec<Arc<Recorded>>, ledger::Error> {
                let to = to.min(self.head());
                // A cursor past the head would wait for the event to come.
                if from > to { Ok(Vec::new()) } else { <$ledger>::range(self, from, to).collect() }
            }

            fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, ledger::Error> {
                <$ledger>::blob(self, addr)
            }

            fn at_time(&self, time: Timestamp) -> Seq {
                <$ledger>::at_time(self, time)
            }

            fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
                <$ledger>::find(self, key, after, limit)
            }

            fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
                <$ledger>::find_before(self, key, before, limit)
            }

            fn candidates(&self, filter: &Filter) -> Option<Vec<Seq>> {
                let all = usize::MAX;
                if let Some(object) = &filter.object {
                    return Some(with_ends(self, self.by_object(object, filter.after, all)));
                }
                if let Some(app) = &filter.app {
                    let app: AppName = app.parse().ok()?;
                    return Some(self.by_app(&app, filter.after, all));
                }
                let commit: CommitId = filter.commit.as_ref()?.parse().ok()?;
                Some(self.by_commit(&commit, filter.after, all))
            }

            fn of_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq> {
                self.by_object(key, after, limit)
            }

            fn of_app(&self, app: &AppName, after: Seq, limit: usize) -> Vec<Seq> {
                self.by_app(app, after, limit)
            }

            $($own)*
        }
    };
}

book!(Ledger {
    fn masked(&self, manifest: &Value) -> Option<Value> {
        crate::cluster::normalize(manifest, self).ok().map(|normalised| normalised.object)
    }

    fn sealed(&self, bytes: &[u8]) -> Result<Option<(Blob, Digest)>, ledger::Error> {
        let seal = self.seal();
        Ok(Some((seal.blob_sealed(bytes)?, seal.digest(bytes))))
    }
});
book!(Archive {
    fn masked(&self, manifest: &Value) -> Option<Value> {
        let normalised = crate::cluster::normalize(manifest, self.seal()?);
        normalised.ok().map(|normalised| normalised.object)
    }
});

/// Adds the events that end the intents among `found`: they name their objects through those.
fn with_ends(book: &dyn Book, mut found: Vec<Seq>) -> Vec<Seq> {
    for index in 0..found.len() {
        let ends = SubjectKey::topic(&Topic::Intent(found[index]));
        found.extend(book.find(ends, found[index], usize::MAX));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::Options;
    use crate::ledger::event::{
        IntentSettledV1, OutcomeRecordedV1, PausedV1, Verb, Write, WriteResult,
    };
    use crate::query::diff::{SECRET, fields};
    use crate::query::fixture::{Story, key, name};

    #[test]
    fn the_ends_of_an_intent_are_found_however_much_was_recorded_in_between() {
        let mut story = Story::empty();
        let writes = ["ConfigMap/prod/a", "ConfigMap/prod/b"]
            .map(|object| Write::plain(Verb::Update, key(object), "v1", "Git changed"));
        let (app, writes, timeout_ms) = (name("web"), writes.to_vec(), 10_000);
        let intent = IntentRecordedV1 { app: app.clone(), writes, commit: None, timeout_ms };
        let [first, second] = [story.event(intent.clone()), story.event(intent)];
        for _ in 0..600 {
            story.event(PausedV1 { app: app.clone(), until: None, reason: String::new() });
        }
        let unknown = vec![(0, WriteResult::Unknown("timeout".into()))];
        let deleted = vec![(1, WriteResult::Deleted)];
        let results = [unknown, vec![(0, WriteResult::Deleted)]].concat();
        let told = |intent, results| OutcomeRecordedV1 { app: app.clone(), intent, results };
        let other = story.event(told(second, deleted));
        let outcome = story.event(told(first, results.clone()));
        let settled = story.event(IntentSettledV1 { app: app.clone(), intent: first, results });

        let book = &story.ledger;
        let seqs = |intent| -> Vec<Seq> {
            book.ends_of(intent).unwrap().iter().map(|event| event.seq()).collect()
        };
        assert_eq!((seqs(first), seqs(second)), (vec![outcome, settled], vec![other]));
        let ends = book.ends_of(first).unwrap();
        let answered = |event: &Arc<Recorded>| Ends::in_event(event).unwrap().answered;
        assert_eq!(ends.iter().map(answered).collect::<Vec<_>>(), [true, false]);

        let intended = book.get(second).unwrap().unwrap();
        let ended = book.get(other).unwrap().unwrap();
        let about = |object: &str| {
            let (ends, object) = (Ends::in_event(&ended).unwrap(), key(object));
            ends.about(as_intent(&intended).unwrap(), &object).count()
        };
        assert_eq!((about("ConfigMap/prod/a"), about("ConfigMap/prod/b")), (0, 1));
        let filter = Filter { object: Some(key("ConfigMap/prod/b")), ..Filter::default() };
        let found = Book::candidates(book, &filter).unwrap();
        assert_eq!(found, [first, second, other, outcome, settled]);
    }

    #[test]
    fn with_the_key_an_archive_compares_secrets_and_shows_no_value() {
        let dir = tempfile::tempdir().unwrap();
        let (files, key) = (dir.path().join("ledger"), dir.path().join("key"));
        let options = Options { free_bytes_reserve: 0, ..Options::new(&files, &key) };
        let (ledger, _) = Ledger::open(options).unwrap();
        let secret = |value: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": value, "b": "Yg=="},
                "metadata": {"name": "s", "namespace": "n", "annotations": {"copy": value}}})
        };
        let live = Book::masked(&ledger, &secret("b25l")).unwrap();
        ledger.shutdown();
        let name = ObjectKey::new("", "Secret", "n", "s");
        for key in [None, Some(key.as_path())] {
            let archive = Archive::open(&files, key).unwrap();
            assert_eq!(fields(&archive, &name, &secret("b25l"), &live), []);
            let found = fields(&archive, &name, &secret("aHVudGVyMg=="), &live);
            assert_eq!(found.iter().any(|field| field.path == ".data.a"), key.is_some());
            assert!(found.iter().all(|field| field.was == SECRET && field.now == SECRET));
        }
    }
}
