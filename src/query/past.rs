//! The past: a ledger that ends earlier, and the world that it folds to.
//!
//! The world as of an event is folded from the nearest earlier snapshot. Snapshots are derived:
//! where there is none for a long stretch, one is left behind for the next question.

use std::sync::Arc;

use serde_json::Value;

use super::book::Book;
use super::search::Filter;
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Ledger, Recorded, codec};
use crate::model::{AppName, BlobAddr, ObjectKey, Seq, Timestamp};
use crate::replay::{VERSION, World};

/// The name of the world's snapshots.
const NAME: &str = "world";
/// After how many events a new snapshot is worth its cost: folding 50 000 events takes about as
/// long as reading a snapshot of a large world.
pub const EVENTS_BETWEEN: u64 = 50_000;

/// A ledger as it was: nothing after `last` is in it.
#[derive(Clone, Copy)]
pub struct AsOf<'a> {
    book: &'a dyn Book,
    last: Seq,
}

impl<'a> AsOf<'a> {
    /// `book` up to `last`.
    #[must_use]
    pub fn new(book: &'a dyn Book, last: Seq) -> Self {
        Self { book, last: last.min(book.head()) }
    }
}

impl Book for AsOf<'_> {
    fn head(&self) -> Seq {
        self.last
    }

    fn get(&self, seq: Seq) -> Result<Option<Arc<Recorded>>, ledger::Error> {
        if seq > self.last { Ok(None) } else { self.book.get(seq) }
    }

    fn range(&self, from: Seq, to: Seq) -> Result<Vec<Arc<Recorded>>, ledger::Error> {
        let to = to.min(self.last);
        if from > to { Ok(Vec::new()) } else { self.book.range(from, to) }
    }

    fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, ledger::Error> {
        self.book.blob(addr)
    }

    fn at_time(&self, time: Timestamp) -> Seq {
        self.book.at_time(time).min(self.last)
    }

    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        let mut found = self.book.find(key, after, limit);
        found.retain(|seq| *seq <= self.last);
        found
    }

    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        self.book.find_before(key, before.min(self.last.next()), limit)
    }

    fn candidates(&self, filter: &Filter) -> Option<Vec<Seq>> {
        let mut found = self.book.candidates(filter)?;
        found.retain(|seq| *seq <= self.last);
        Some(found)
    }

    fn of_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        let mut found = self.book.of_object(key, after, limit);
        found.retain(|seq| *seq <= self.last);
        found
    }

    fn of_app(&self, app: &AppName, after: Seq, limit: usize) -> Vec<Seq> {
        let mut found = self.book.of_app(app, after, limit);
        found.retain(|seq| *seq <= self.last);
        found
    }

    fn masked(&self, manifest: &Value) -> Option<Value> {
        self.book.masked(manifest)
    }
}

/// The world as of event `last`. Where no snapshot is near, `leave` has some left behind on the
/// way. Blocking, and as long as the way from the snapshot is.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn world_at(ledger: &Ledger, last: Seq, leave: bool) -> Result<World, ledger::Error> {
    let mut world = load(ledger, last).unwrap_or_default();
    let last = last.min(ledger.head());
    while world.seq < last {
        let to = Seq((world.seq.0 / EVENTS_BETWEEN + 1) * EVENTS_BETWEEN);
        let whole = to <= last && to.0 - world.seq.0 >= EVENTS_BETWEEN / 2;
        catch_up(ledger, &mut world, to.min(last))?;
        if leave && whole {
            save(ledger, &world);
        }
    }
    Ok(world)
}

/// Folds what the ledger has beyond the world, up to event `last`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn catch_up(ledger: &Ledger, world: &mut World, last: Seq) -> Result<(), ledger::Error> {
    if world.seq < last {
        for recorded in ledger.range(world.seq.next(), last).by_nobody() {
            fold(world, &*recorded?);
        }
        // The rest is there and does not end the ledger: a damaged record was told as an error.
        world.seq = world.seq.max(last.min(ledger.head()));
    }
    Ok(())
}

/// Folds one event into a world. One of a kind that this version does not know says nothing.
pub fn fold(world: &mut World, recorded: &Recorded) {
    let (seq, at) = (recorded.envelope.seq, recorded.envelope.recorded);
    match &recorded.event {
        Some(event) => drop(world.apply(seq, at, event)),
        None => world.seq = seq,
    }
}

fn load(ledger: &Ledger, last: Seq) -> Option<World> {
    let (seq, _, bytes) = ledger.load_snapshot(NAME, VERSION, last)?;
    match codec::decode_projection(&bytes) {
        Ok(world) => Some(world),
        Err(error) => {
            tracing::warn!(%error, %seq, "a snapshot cannot be read; the world is folded anew");
            None
        }
    }
}

/// Saves the world. A failure costs the next start some time and is only logged.
pub fn save(ledger: &Ledger, world: &World) {
    if world.seq == Seq::ZERO {
        return;
    }
    let saved = ledger.get(world.seq).map_err(|error| error.to_string()).and_then(|recorded| {
        let recorded = recorded.ok_or("the event is not there")?;
        let bytes = codec::encode_projection(world).map_err(|error| error.to_string())?;
        ledger
            .save_snapshot(NAME, VERSION, (world.seq, recorded.envelope.hash), &bytes)
            .map_err(|error| error.to_string())
    });
    if let Err(error) = saved {
        tracing::warn!(error, seq = %world.seq, "no snapshot was saved");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Options;
    use crate::ledger::draft::Draft;
    use crate::ledger::event::DeadlineReachedV1;
    use crate::query::fixture::Story;

    #[test]
    fn every_prefix_of_the_ledger_folds_to_the_world_that_it_was() {
        let told = Story::told();
        let mut world = World::default();
        for seq in 1..=told.ledger.head().0 {
            let recorded = told.ledger.get(Seq(seq)).unwrap().unwrap();
            fold(&mut world, &recorded);
            assert!(world_at(&told.ledger, Seq(seq), true).unwrap() == world, "as of {seq}");
            let book = AsOf::new(&told.ledger, Seq(seq));
            assert_eq!(book.head(), Seq(seq));
            assert_eq!(book.range(Seq(1), Seq(u64::MAX)).unwrap().len() as u64, seq);
            assert!(book.get(Seq(seq + 1)).unwrap().is_none());
        }
    }

    #[test]
    fn snapshots_that_are_left_behind_change_nothing_but_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (files, key) = (dir.path().join("ledger"), dir.path().join("key"));
        let options = Options { free_bytes_reserve: 0, ..Options::new(&files, &key) };
        let ledger = Ledger::open(options).unwrap().0;
        let deadline = |n: i64| Draft::new(DeadlineReachedV1 { deadline: Timestamp(n) });
        let count = i64::try_from(2 * EVENTS_BETWEEN + 10).unwrap();
        for from in (0..count).step_by(10_000) {
            let drafts: Vec<Draft> = (from..(from + 10_000).min(count)).map(deadline).collect();
            ledger.append_blocking(drafts).unwrap();
        }
        let last = Seq(2 * EVENTS_BETWEEN + 5);
        let plain = world_at(&ledger, last, false).unwrap();
        assert!(ledger.load_snapshot(NAME, VERSION, last).is_none(), "nothing was left behind");
        assert!(world_at(&ledger, last, true).unwrap() == plain);
        let left = |last| ledger.load_snapshot(NAME, VERSION, last).map(|(seq, ..)| seq.0);
        assert_eq!(left(last), Some(2 * EVENTS_BETWEEN));
        assert_eq!(left(Seq(2 * EVENTS_BETWEEN - 1)), Some(EVENTS_BETWEEN));
        assert_eq!(left(Seq(EVENTS_BETWEEN - 1)), None);
        assert!(world_at(&ledger, last, true).unwrap() == plain, "from a snapshot it is the same");
        assert_eq!(plain.seq, last);
        ledger.shutdown();
    }
}
