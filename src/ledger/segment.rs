//! The segment files of a ledger: the set of them, and cursors that read records in order.
//!
//! Readers never look past a segment's `end`, which the writer moves only after `fdatasync`; so
//! nothing is read that could still be lost. A cursor checks everything that it passes: checksums,
//! the sequence without gaps, and each frame's `prev` against the frame before it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::damage::Known;
use super::disk::{Disk, File};
use super::error::Error;
use super::record::{self, FOOTER_RECORD_BYTES, Footer, HEADER_BYTES, Header, Record};
use super::store::Position;
use crate::model::{Digest, Seq};

/// How much is read at once, in bytes: large enough that the system call is lost in the noise.
const WINDOW_BYTES: usize = 256 * 1024;

/// One segment file.
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) header: Header,
    pub(super) file: Arc<dyn File>,
    /// Durability: everything before it survives power loss.
    end: AtomicU64,
    footer: OnceLock<Footer>,
}

impl Segment {
    pub(super) fn new(name: String, header: Header, file: Arc<dyn File>, end: u64) -> Self {
        Self { name, header, file, end: AtomicU64::new(end), footer: OnceLock::new() }
    }

    /// The name of the segment whose first event is `first`.
    pub(super) fn name_of(first: Seq) -> String {
        format!("{:016x}.seg", first.0)
    }

    /// The first event of the segment with this name.
    pub(super) fn first_of(name: &str) -> Option<Seq> {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Seq).filter(|seq| Self::name_of(*seq) == name)
    }

    /// Up to where it may be read.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Lets readers read up to `end`.
    pub(super) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// The footer, when the segment is sealed.
    pub(super) fn footer(&self) -> Option<&Footer> {
        self.footer.get()
    }

    pub(super) fn set_footer(&self, footer: Footer) {
        // Only the writer seals, and it seals a segment once.
        let _already = self.footer.set(footer);
    }

    /// The footer as the end of the file has it.
    pub(super) fn read_footer(&self, length: u64) -> std::io::Result<Option<Footer>> {
        let Some(at) = length.checked_sub(FOOTER_RECORD_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; FOOTER_RECORD_BYTES];
        if at < HEADER_BYTES as u64 || self.file.read_at(&mut bytes, at)? < bytes.len() {
            return Ok(None);
        }
        match record::parse(&bytes) {
            Ok((Record::Footer(footer), FOOTER_RECORD_BYTES)) => Ok(Some(footer)),
            _ => Ok(None),
        }
    }

    fn start(&self) -> Position {
        Position { segment: self.header.first, offset: HEADER_BYTES as u64 }
    }
}

/// All segments of a ledger, in order.
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    list: RwLock<Vec<Arc<Segment>>>,
    /// What is known of damage.
    pub(super) known: Known,
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>, list: Vec<Arc<Segment>>) -> Self {
        Self { disk, list: RwLock::new(list), known: Known::new() }
    }

    /// All of them now.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the segment that follows.
    pub(super) fn push(&self, segment: Arc<Segment>) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    /// The last segment that begins at or before `seq`: the one that an event is in.
    pub(super) fn holding(&self, seq: Seq) -> Option<Arc<Segment>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let after = list.partition_point(|segment| segment.header.first <= seq);
        list.get(after.checked_sub(1)?).cloned()
    }

    /// The segment that begins with `first`.
    pub(super) fn starting(&self, first: Seq) -> Option<Arc<Segment>> {
        self.holding(first).filter(|segment| segment.header.first == first)
    }

    /// The segment after the one that begins with `first`.
    fn following(&self, first: Seq) -> Option<Arc<Segment>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.get(list.partition_point(|segment| segment.header.first <= first)).cloned()
    }

    /// Where the files are.
    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The file of a segment, for a person.
    pub(super) fn describe(&self, segment: &Segment) -> String {
        self.disk.describe(&segment.name)
    }

    /// Notes that a reader met damage.
    pub(super) fn note_damage(&self, error: &Error) {
        if matches!(error, Error::Corrupt { .. }) {
            self.known.note(error);
        }
    }

    /// The first damage that is known.
    pub(super) fn damage(&self) -> Option<Error> {
        self.known.first()
    }

    /// Damage in `segment`.
    pub(super) fn corrupt(&self, segment: &Segment, offset: u64, what: impl ToString) -> Error {
        Error::Corrupt { file: self.describe(segment), offset, what: what.to_string() }
    }
}

/// A record and where it stands.
pub(super) struct Found<'a> {
    pub(super) at: Position,
    /// The offset after it.
    pub(super) end: u64,
    pub(super) record: Record<'a>,
}

/// Reads records in order, from segment to segment.
pub(super) struct Cursor {
    segments: Arc<Segments>,
    segment: Option<Arc<Segment>>,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
    expected: Option<Seq>,
    prev: Option<Digest>,
    /// Whether the record at the offset was found damaged.
    damaged: bool,
}

impl Cursor {
    /// A cursor at the first record of the first segment.
    pub(super) fn at_start(segments: Arc<Segments>) -> Self {
        let first = segments.all().first().cloned();
        Self::at_segment(segments, first)
    }

    /// A cursor at the first record of `segment`.
    pub(super) fn at_segment(segments: Arc<Segments>, segment: Option<Arc<Segment>>) -> Self {
        let mut cursor = Self {
            segments,
            segment: None,
            offset: 0,
            window: Vec::new(),
            window_at: 0,
            expected: None,
            prev: None,
            damaged: false,
        };
        cursor.enter(segment);
        cursor
    }

    /// A cursor at `position`, which must be the beginning of a record. Nothing is expected of
    /// the first event.
    pub(super) fn at(segments: Arc<Segments>, position: Position) -> Self {
        let segment = segments.starting(position.segment);
        let mut cursor = Self::at_segment(segments, segment);
        if position != cursor.position() {
            cursor.offset = position.offset;
            (cursor.expected, cursor.prev) = (None, None);
        }
        cursor
    }

    /// What the next event must be: its number and the hash of the frame before it.
    pub(super) fn expect(&mut self, seq: Seq, prev: Digest) {
        (self.expected, self.prev) = (Some(seq), Some(prev));
    }

    /// Whether the next event may be this one, with the frame before it having this hash.
    pub(super) fn expects(&self, seq: Seq, prev: Digest) -> bool {
        self.expected.is_none_or(|expected| expected == seq)
            && self.prev.is_none_or(|expected| expected == prev)
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> Position {
        let segment = self.segment.as_ref().map_or(Seq::ZERO, |segment| segment.header.first);
        Position { segment, offset: self.offset }
    }

    fn enter(&mut self, segment: Option<Arc<Segment>>) {
        if let Some(segment) = &segment {
            self.offset = segment.start().offset;
            self.expected = Some(segment.header.first);
            self.prev = Some(segment.header.prev);
        }
        self.segment = segment;
        self.window.clear();
    }

    /// The next event or blob; `None` at the end of what is durable. Later calls see what has
    /// become durable since.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the place; [`Cursor::skip_damage`] goes on after it.
    pub(super) fn next(&mut self) -> Result<Option<Found<'_>>, Error> {
        // Until the record has proved to be whole and in its place.
        self.damaged = true;
        let loaded = self.load()?;
        // Where `load` found a record there is a segment.
        let (Some(range), Some(segment)) = (loaded, &self.segment) else {
            self.damaged = false;
            return Ok(None);
        };
        let offset = self.offset;
        let bytes = &self.window[range];
        let (record, total) = record::parse(bytes)
            .map_err(|error| self.segments.corrupt(segment, offset, describe(&error)))?;
        if let Record::Event(event) = &record {
            let envelope = &event.envelope;
            if self.expected.is_some_and(|expected| expected != envelope.seq) {
                let what = format!("event {} stands out of sequence", envelope.seq);
                return Err(self.segments.corrupt(segment, offset, what));
            }
            if self.prev.is_some_and(|prev| prev != envelope.prev) {
                let what = format!("event {} does not follow from the one before it", envelope.seq);
                return Err(self.segments.corrupt(segment, offset, what));
            }
            self.expected = Some(envelope.seq.next());
            self.prev = Some(envelope.hash);
        }
        self.offset += total as u64;
        self.damaged = false;
        let at = Position { segment: segment.header.first, offset };
        Ok(Some(Found { at, end: self.offset, record }))
    }

    /// Brings the next event or blob record into the window, passing footers, voids and segment
    /// ends.
    fn load(&mut self) -> Result<Option<Range<usize>>, Error> {
        loop {
            let Some(segment) = self.segment.clone() else { return Ok(None) };
            let end = segment.end();
            if self.offset >= end {
                let Some(next) = self.segments.following(segment.header.first) else {
                    return Ok(None);
                };
                self.enter(Some(next));
                continue;
            }
            let range = self.fill(&segment, end, record::PREFIX_BYTES)?;
            let total = record::record_bytes(&self.window[range])
                .and_then(|total| total.ok_or(record::Error::Short))
                .map_err(|error| self.segments.corrupt(&segment, self.offset, error))?;
            let range = self.fill(&segment, end, total)?;
            if is_passed(&self.window[range.clone()]) {
                self.offset += total as u64;
                continue;
            }
            return Ok(Some(range));
        }
    }

    /// Makes the window hold `count` bytes at the offset.
    fn fill(&mut self, segment: &Segment, end: u64, count: usize) -> Result<Range<usize>, Error> {
        let have = self.window_at..self.window_at + self.window.len() as u64;
        if !have.contains(&self.offset) || have.end - self.offset < count as u64 {
            let left = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            self.window.resize(count.max(WINDOW_BYTES).min(left), 0);
            self.window_at = self.offset;
            let read = segment.file.read_at(&mut self.window, self.offset);
            let read =
                read.map_err(|error| Error::io("read", self.segments.describe(segment), error))?;
            self.window.truncate(read);
        }
        // The window begins at or before the offset, see above.
        let start = usize::try_from(self.offset - self.window_at).unwrap_or(usize::MAX);
        if self.window.len().saturating_sub(start) < count {
            return Err(self.segments.corrupt(segment, self.offset, record::Error::Short));
        }
        Ok(start..start + count)
    }

    /// After damage at the offset, goes to the next undamaged record or to the next segment, and
    /// expects nothing of the first event there. Otherwise it does nothing.
    pub(super) fn skip_damage(&mut self) -> Result<(), Error> {
        let Some(segment) = self.segment.clone().filter(|_| self.damaged) else { return Ok(()) };
        let left = segment.end().saturating_sub(self.offset);
        let mut rest = vec![0; usize::try_from(left).unwrap_or(usize::MAX)];
        let read = segment.file.read_at(&mut rest, self.offset);
        let read =
            read.map_err(|error| Error::io("read", self.segments.describe(&segment), error))?;
        // A record that is whole in itself but out of sequence is passed as it is.
        let whole = record::parse(&rest[..read]).map(|(_, total)| total).ok();
        match whole.or_else(|| record::resync(&rest[..read])) {
            Some(skip) => self.offset += skip as u64,
            None => self.offset = segment.end(),
        }
        (self.expected, self.prev) = (None, None);
        self.damaged = false;
        Ok(())
    }
}

/// Whether an undamaged record is neither event nor blob, without looking at those.
fn is_passed(record: &[u8]) -> bool {
    let of_them = record.len() == FOOTER_RECORD_BYTES || record::says_void(record);
    of_them && matches!(record::parse(record), Ok((Record::Footer(_) | Record::Void, _)))
}

/// An error of a record with its cause, in one line.
fn describe(error: &record::Error) -> String {
    match error {
        record::Error::Frame(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}
