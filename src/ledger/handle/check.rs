//! Looks for damage while the ledger is open: in small steps, between which the caller rests.
//!
//! It reads what the next start would find: the files by their names, not through what is open. It
//! checks all that folding the ledger anew needs: that the files are there and follow each other,
//! every checksum, the chain, and that every event can be decoded. What it leaves out is the
//! content of blobs beyond their checksums, which `Ledger::verify` has.
//!
//! Bound: in memory there is one window of a cursor. After damage that leaves no next record to be
//! found at once, the rest of that file is passed over: one place tells that the file is damaged.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::Ledger;
use crate::ledger::damage::{PLACES_MAX, Wholeness};
use crate::ledger::error::Error;
use crate::ledger::record::{HEADER_BYTES, Header, Record};
use crate::ledger::segment::{Cursor, Segment, Segments};
use crate::ledger::shared::Shared;
use crate::model::Seq;

impl Ledger {
    /// A check of everything that is durable now.
    #[must_use]
    pub fn check(&self) -> Check {
        let shared = self.inner.shared.clone();
        let head = shared.head().seq;
        // What the writer adds meanwhile is left out.
        let all = shared.reader.segments.all();
        let left = all.into_iter().map(|segment| (segment.end(), segment)).collect();
        let before = shared.reader.segments.known.count();
        Check { shared, head, left, reading: None, found: Vec::new(), before }
    }

    /// What is known of how whole the ledger is, and when that changes.
    #[must_use]
    pub fn wholeness(&self) -> watch::Receiver<Wholeness> {
        self.inner.shared.reader.segments.known.now()
    }
}

/// A check of a ledger that is open.
pub struct Check {
    shared: Arc<Shared>,
    head: Seq,
    /// What is not read yet, each with its end.
    left: VecDeque<(u64, Arc<Segment>)>,
    reading: Option<(Arc<Segment>, Cursor)>,
    found: Vec<Error>,
    /// How many damaged places were known before.
    before: usize,
}

impl Check {
    /// Reads on for about `bytes`, blocking; whether there is more to read. What is damaged is
    /// known as soon as it is met.
    pub fn step(&mut self, bytes: u64) -> bool {
        let mut read = 0;
        while read < bytes {
            match self.read_one() {
                Some(count) => read += count,
                None => {
                    let known = &self.shared.reader.segments.known;
                    known.checked(self.head, &self.found, self.before);
                    return false;
                }
            }
        }
        true
    }

    /// Reads a record; how many bytes it has. `None` = there is nothing more.
    fn read_one(&mut self) -> Option<u64> {
        let Some((segment, cursor)) = &mut self.reading else {
            let (end, segment) = self.left.pop_front()?;
            match self.open(&segment, end) {
                Ok(cursor) => self.reading = Some((segment, cursor)),
                Err(error) => self.note(error),
            }
            return Some(HEADER_BYTES as u64);
        };
        let damage = match cursor.next() {
            Ok(Some(found)) => {
                let read = found.end - found.at.offset;
                if let Record::Event(event) = &found.record
                    && let Err(error) = self.shared.reader.decode(found.at, event)
                {
                    self.note(error);
                }
                return Some(read);
            }
            Ok(None) => {
                let next = self.left.front().map(|(_, next)| &next.header);
                let follows = next.is_none_or(|next| cursor.expects(next.first, next.prev));
                let what = "the next file does not follow from this one";
                (!follows).then(|| {
                    self.shared.reader.segments.corrupt(segment, cursor.position().offset, what)
                })
            }
            Err(error) => Some(error),
        };
        self.reading = None;
        damage.into_iter().for_each(|error| self.note(error));
        Some(0)
    }

    /// The file of a segment as it is now, up to `end`.
    fn open(&self, segment: &Segment, end: u64) -> Result<Cursor, Error> {
        let segments = &self.shared.reader.segments;
        let failed = |error| Error::io("read", segments.describe(segment), error);
        let file = segments.disk().open(&segment.name).map_err(failed)?;
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        if Header::decode(&bytes[..read]).ok().as_ref() != Some(&segment.header) {
            return Err(segments.corrupt(segment, 0, "the segment header is damaged"));
        }
        let length = file.bytes().map_err(failed)?;
        let of_disk =
            Arc::new(Segment::new(segment.name.clone(), segment.header.clone(), file, end));
        if segment.footer().is_some()
            && of_disk.read_footer(length).map_err(failed)?.as_ref() != segment.footer()
        {
            return Err(segments.corrupt(segment, length, "the footer is missing"));
        }
        let alone = Segments::new(segments.disk().clone(), vec![of_disk.clone()]);
        Ok(Cursor::at_segment(Arc::new(alone), Some(of_disk)))
    }

    fn note(&mut self, error: Error) {
        self.shared.reader.segments.known.note(&error);
        if self.found.len() < PLACES_MAX {
            self.found.push(error);
        }
    }
}

#[cfg(test)]
mod tests;
