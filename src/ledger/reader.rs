//! Turns records into events and blobs: payloads are unpacked and checked against their hash,
//! actors are looked up, blobs are put together from their bases and opened.
//!
//! It does not know who keeps the places of blobs ([`Places`]): the daemon's index, or the one
//! that an archive builds for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codec;
use super::compress::inflate;
use super::error::Error;
use super::frame::{Codec, Envelope, Recorded, Stored};
use super::record::{self, BlobCodec, BlobRecord, EventRecord, HEADER_BYTES, Record};
use super::seal::Sealer;
use super::segment::{Cursor, Segments};
use super::store::{BlobPlace, Position};
use crate::model::{Actor, BlobAddr, Seq};

/// How many versions follow a whole one before the next that is stored whole; of the form 2ⁿ - 1.
pub(super) const STEP_MAX: u8 = 31;
/// Bound: how many bases are read for a blob. With [`base_step`] it is one for each bit that is set
/// in its step; what was stored before went on from each version to its predecessor, sixteen times.
const BASES_MAX: u8 = 20;
/// How many bytes of blobs are kept in memory. Enough for the bases of a burst of observations.
const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many actors are kept in memory: a team, its robots and its field managers.
const ACTORS_MAX: usize = 4096;

/// The step of the version that the version with this step is stored against: the lowest bit that
/// is set is cleared. So of 32 versions one is whole, and none needs more than five others.
pub(super) fn base_step(step: u8) -> u8 {
    step & step.wrapping_sub(1)
}

/// Knows where blobs are.
pub(super) trait Places: Send + Sync {
    /// The place of a blob; `None` when there is no such blob.
    fn blob_place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error>;

    /// The place of a blob that some event names: when it seems not to be there, a closer look
    /// is worth reading the ledger.
    fn named_blob_place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        self.blob_place(addr)
    }
}

/// Recently used blobs; the oldest are dropped first.
#[derive(Default)]
struct Cache {
    blobs: HashMap<BlobAddr, Arc<[u8]>>,
    order: VecDeque<BlobAddr>,
    bytes: usize,
}

impl Cache {
    fn put(&mut self, addr: BlobAddr, bytes: Arc<[u8]>) {
        if bytes.len() > CACHE_BYTES_MAX / 8 || self.blobs.contains_key(&addr) {
            return;
        }
        self.bytes += bytes.len();
        self.blobs.insert(addr, bytes);
        self.order.push_back(addr);
        while self.bytes > CACHE_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(bytes) = self.blobs.remove(&oldest) {
                self.bytes -= bytes.len();
            }
        }
    }
}

/// Reads events and blobs.
pub(super) struct Reader {
    pub(super) segments: Arc<Segments>,
    places: Arc<dyn Places>,
    sealer: Option<Arc<Sealer>>,
    cache: Mutex<Cache>,
    actors: Mutex<HashMap<BlobAddr, Actor>>,
}

/// Nothing panics while one of these locks is held, so their content is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    pub(super) fn new(
        segments: Arc<Segments>,
        places: Arc<dyn Places>,
        sealer: Option<Arc<Sealer>>,
    ) -> Self {
        let (cache, actors) = (Mutex::default(), Mutex::default());
        Self { segments, places, sealer, cache, actors }
    }

    /// What digests and seals, where the key is at hand.
    pub(super) fn sealer(&self) -> Option<&Sealer> {
        self.sealer.as_deref()
    }

    /// The event of a record that stands at `at`.
    pub(super) fn decode(&self, at: Position, event: &EventRecord<'_>) -> Result<Recorded, Error> {
        let actor = self.actor(event.envelope.actor)?;
        self.decode_by(actor, at, event)
    }

    fn decode_by(
        &self,
        actor: Actor,
        at: Position,
        event: &EventRecord<'_>,
    ) -> Result<Recorded, Error> {
        let envelope = event.envelope.clone();
        let Some(plain) = self.payload(at, &envelope, event.payload)? else {
            return Ok(Recorded { envelope, actor, event: None });
        };
        let body = codec::decode_event(envelope.kind, envelope.schema, &plain)
            .map_err(|source| Error::Decode { seq: envelope.seq, source: Arc::new(source) })?;
        Ok(Recorded { envelope, actor, event: body })
    }

    /// The plaintext of a payload, checked; `None` when it was dropped.
    pub(super) fn payload(
        &self,
        at: Position,
        envelope: &Envelope,
        stored: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let len = envelope.payload.len as usize;
        let plain = match envelope.stored {
            Stored::Dropped => return Ok(None),
            Stored::Inline { codec: Codec::Raw, .. } => Some(stored.to_vec()),
            Stored::Inline { codec: Codec::Zstd, .. } if len <= codec::PAYLOAD_BYTES_MAX => {
                inflate(stored, &[], len)
            }
            Stored::Inline { codec: Codec::Zstd, .. } => None,
        };
        plain.filter(|plain| envelope.payload.matches(plain)).map(Some).ok_or_else(|| {
            self.corrupt(at, format!("the payload of event {} is not what it was", envelope.seq))
        })
    }

    fn corrupt(&self, at: Position, what: impl ToString) -> Error {
        match self.segments.starting(at.segment) {
            Some(segment) => self.segments.corrupt(&segment, at.offset, what),
            None => Error::Corrupt {
                file: format!("segment {:016x}", at.segment.0),
                offset: at.offset,
                what: "there is no such segment".to_owned(),
            },
        }
    }

    fn actor(&self, addr: BlobAddr) -> Result<Actor, Error> {
        if addr.is_zero() {
            return Ok(Actor::greffier());
        }
        if let Some(actor) = lock(&self.actors).get(&addr) {
            return Ok(actor.clone());
        }
        let bytes = self.blob(addr)?;
        let actor = codec::decode_actor(&bytes)
            .map_err(|source| Error::Decode { seq: Seq::ZERO, source: Arc::new(source) })?;
        self.remember_actor(addr, &actor);
        Ok(actor)
    }

    /// Spares the look-up of an actor.
    pub(super) fn remember_actor(&self, addr: BlobAddr, actor: &Actor) {
        let mut actors = lock(&self.actors);
        if actors.len() >= ACTORS_MAX {
            actors.clear();
        }
        actors.insert(addr, actor.clone());
    }

    /// Spares the reading of a blob in clear.
    pub(super) fn remember(&self, addr: BlobAddr, bytes: Arc<[u8]>) {
        lock(&self.cache).put(addr, bytes);
    }

    /// The place of a blob.
    pub(super) fn place(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error> {
        self.places.blob_place(addr)
    }

    /// The plaintext of a blob, checked against its address.
    pub(super) fn blob(&self, addr: BlobAddr) -> Result<Arc<[u8]>, Error> {
        if let Some(bytes) = self.cached(addr) {
            return Ok(bytes);
        }
        let place = self.places.named_blob_place(addr)?.ok_or(Error::NoBlob(addr))?;
        let bytes = self.record_bytes(place.at)?;
        let blob = self.blob_record(&bytes, place.at)?;
        if blob.addr != addr {
            return Err(self.corrupt(place.at, "another blob was expected here"));
        }
        self.unpacked(&blob, place.at, BASES_MAX)
    }

    /// Whether the record of a blob is where it was looked for, damaged or not: what is wrong with
    /// it is not who said where it is.
    pub(super) fn is_in_place(&self, addr: BlobAddr) -> bool {
        let Ok(Some(place)) = self.places.blob_place(addr) else { return false };
        let whole = self.record_bytes(place.at).is_ok_and(|bytes| match record::parse(&bytes) {
            Ok((Record::Blob(blob), _)) => blob.addr == addr,
            _ => false,
        });
        // Of damaged bytes only their place in the file tells whether a record begins there.
        whole || self.is_damaged_at(place.at)
    }

    /// Whether reading the segment in order meets damage at `at`, or before it.
    fn is_damaged_at(&self, at: Position) -> bool {
        let segment = self.segments.starting(at.segment);
        let mut cursor = Cursor::at_segment(self.segments.clone(), segment);
        while cursor.position().segment == at.segment && cursor.position().offset <= at.offset {
            match cursor.next() {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(error) => return matches!(error, Error::Corrupt { .. }),
            }
        }
        false
    }

    fn cached(&self, addr: BlobAddr) -> Option<Arc<[u8]>> {
        lock(&self.cache).blobs.get(&addr).cloned()
    }

    /// The plaintext of the blob whose record stands at `at`.
    fn blob_at(&self, at: Position, bases_left: u8) -> Result<Arc<[u8]>, Error> {
        let bytes = self.record_bytes(at)?;
        let blob = self.blob_record(&bytes, at)?;
        match self.cached(blob.addr) {
            Some(bytes) => Ok(bytes),
            None => self.unpacked(&blob, at, bases_left),
        }
    }

    fn blob_record<'b>(&self, bytes: &'b [u8], at: Position) -> Result<BlobRecord<'b>, Error> {
        match record::parse(bytes).map_err(|error| self.corrupt(at, error))? {
            (Record::Blob(blob), _) => Ok(blob),
            _ => Err(self.corrupt(at, "a blob was expected here")),
        }
    }

    fn unpacked(
        &self,
        blob: &BlobRecord<'_>,
        at: Position,
        bases_left: u8,
    ) -> Result<Arc<[u8]>, Error> {
        let len = blob.len as usize;
        let plain = match blob.codec {
            BlobCodec::Raw => Some(blob.content.to_vec()),
            BlobCodec::Zstd => inflate(blob.content, &[], len),
            BlobCodec::ZstdBase(base) => {
                let left = bases_left.checked_sub(1);
                let left = left.ok_or_else(|| self.corrupt(at, "too many bases"))?;
                inflate(blob.content, &self.blob_at(base, left)?, len)
            }
            BlobCodec::Sealed => {
                let sealer = self.sealer.as_ref().ok_or(Error::Sealed(blob.addr))?;
                let opened = sealer.open(blob.addr, blob.content);
                let opened = opened.ok_or_else(|| self.corrupt(at, "the sealed blob"))?;
                // Security: what was sealed is not kept in clear longer than its reader keeps it.
                return Ok(opened.into());
            }
        };
        let right = plain.filter(|plain| BlobAddr::of(plain) == blob.addr);
        let plain = right.ok_or_else(|| self.corrupt(at, "the blob is not what it was"))?;
        let plain: Arc<[u8]> = plain.into();
        self.remember(blob.addr, plain.clone());
        Ok(plain)
    }

    /// What a blob is stored against; `None` = nothing.
    pub(super) fn base_of(&self, at: Position) -> Result<Option<(BlobAddr, BlobPlace)>, Error> {
        let bytes = self.record_bytes(at)?;
        let BlobCodec::ZstdBase(base) = self.blob_record(&bytes, at)?.codec else {
            return Ok(None);
        };
        let bytes = self.record_bytes(base)?;
        let found = self.blob_record(&bytes, base)?;
        Ok(Some((found.addr, BlobPlace { at: base, step: found.step })))
    }

    /// The bytes of the record at `at`.
    pub(super) fn record_bytes(&self, at: Position) -> Result<Vec<u8>, Error> {
        let segment = self
            .segments
            .starting(at.segment)
            .ok_or_else(|| self.corrupt(at, "there is no such segment"))?;
        let read = |buffer: &mut [u8], offset| {
            let count = segment.file.read_at(buffer, offset);
            count.map_err(|error| Error::io("read", self.segments.describe(&segment), error))
        };
        if at.offset < HEADER_BYTES as u64 || at.offset >= segment.end() {
            return Err(self.corrupt(at, "the index points outside the segment"));
        }
        // One read is enough for nearly every record.
        let mut bytes = vec![0; 4096];
        let count = read(&mut bytes, at.offset)?;
        bytes.truncate(count);
        let total = record::record_bytes(&bytes)
            .and_then(|total| total.ok_or(record::Error::Short))
            .map_err(|error| self.corrupt(at, error))?;
        if total > bytes.len() {
            bytes.resize(total, 0);
            if read(&mut bytes, at.offset)? < total {
                return Err(self.corrupt(at, record::Error::Short));
            }
        }
        bytes.truncate(total);
        Ok(bytes)
    }

    /// The event at `at`, which must be event `seq`.
    pub(super) fn event(&self, seq: Seq, at: Position) -> Result<Recorded, Error> {
        let bytes = self.record_bytes(at)?;
        match record::parse(&bytes).map_err(|error| self.corrupt(at, error))? {
            (Record::Event(event), _) if event.envelope.seq == seq => self.decode(at, &event),
            _ => Err(self.corrupt(at, format!("event {seq} was expected here"))),
        }
    }

    /// A cursor that reads from the segment that holds `seq`.
    pub(super) fn cursor(&self, seq: Seq) -> Cursor {
        Cursor::at_segment(self.segments.clone(), self.segments.holding(seq.max(Seq(1))))
    }
}

/// Events in order, from a sequence number on, up to another.
///
/// After [`Error::Corrupt`] it goes on with the next undamaged record; after any other error it
/// ends.
pub struct Events {
    reader: Arc<Reader>,
    cursor: Cursor,
    from: Seq,
    to: Seq,
    ended: bool,
    /// Whether it is read who each event is by.
    actors: bool,
}

impl Events {
    /// The events `from..=to` that `cursor`, which stands at or before `from`, will meet.
    pub(super) fn new(reader: Arc<Reader>, cursor: Cursor, from: Seq, to: Seq) -> Self {
        Self { reader, cursor, from, to, ended: from > to, actors: true }
    }

    /// The same without who they are by: each is by nobody. An actor is recorded once, with its first
    /// event, and damage there would make every later event of it unreadable; whoever folds events
    /// does not need it.
    #[must_use]
    pub fn by_nobody(self) -> Self {
        Self { actors: false, ..self }
    }

    /// The next event, as `pick` makes it of the record.
    fn step<T>(
        &mut self,
        pick: impl Fn(&Reader, Position, &EventRecord<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.cursor.skip_damage()?;
        while let Some(found) = self.cursor.next()? {
            let Record::Event(event) = &found.record else { continue };
            if event.envelope.seq > self.to {
                return Ok(None);
            }
            if event.envelope.seq >= self.from {
                let last = event.envelope.seq == self.to;
                let picked = pick(&self.reader, found.at, event);
                self.ended |= last;
                return picked.map(Some);
            }
        }
        Ok(None)
    }

    /// As [`Iterator::next`], but only the frames: several times faster, since payloads are
    /// neither unpacked nor decoded. The chain is checked all the same.
    pub fn next_envelope(&mut self) -> Option<Result<Envelope, Error>> {
        self.advance(|_, _, event| Ok(event.envelope.clone()))
    }

    fn advance<T>(
        &mut self,
        pick: impl Fn(&Reader, Position, &EventRecord<'_>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.ended {
            return None;
        }
        match self.step(pick) {
            Ok(Some(item)) => Some(Ok(item)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.reader.segments.note_damage(&error);
                self.ended |= !matches!(error, Error::Corrupt { .. } | Error::Decode { .. });
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<Arc<Recorded>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let actors = self.actors;
        self.advance(|reader, at, event| {
            let decoded = match actors {
                true => reader.decode(at, event),
                false => reader.decode_by(Actor::default(), at, event),
            };
            decoded.map(Arc::new)
        })
    }
}
