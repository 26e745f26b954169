//! Finds what can be taken over: reads every segment in order, and decides at each event whether
//! all of what stands before it is accounted for.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Cut, Decision, Findings, Part, Piece};
use crate::ledger::codec::decode_event;
use crate::ledger::compress::inflate;
use crate::ledger::disk::{Disk, File};
use crate::ledger::error::Error;
use crate::ledger::event::Event;
use crate::ledger::frame::{Codec, Stored};
use crate::ledger::record::{
    self, BlobCodec, BlobRecord, EventRecord, FOOTER_RECORD_BYTES, Footer, HEADER_BYTES, Header,
    PREFIX_BYTES, Record,
};
use crate::ledger::segment::{Cursor, Segment, Segments};
use crate::ledger::store::Position;
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

/// How many decisions of people are told.
const DECISIONS_MAX: usize = 1_000;
/// Events in which people decide something that is in force until it is ended.
const DECIDES: [&str; 13] = [
    "app.declared",
    "app.removed",
    "cluster.accepted",
    "hold.app-begun",
    "hold.app-ended",
    "hold.begun",
    "hold.ended",
    "operator.freeze",
    "operator.mark",
    "operator.pause",
    "operator.resume",
    "operator.unfreeze",
    "plan.approved",
];

/// Reads the ledger on `disk`.
pub(super) fn scan(disk: &Arc<dyn Disk>) -> Result<(Vec<Part>, Findings), Error> {
    let names = disk.names().map_err(|error| Error::io("list", disk.describe(""), error))?;
    let names = names.into_iter().filter(|name| Segment::first_of(name).is_some());
    let files = names.map(|name| open(disk.as_ref(), name)).collect::<Result<Vec<_>, _>>()?;
    let Some(known) = files.iter().find_map(|file| file.header.as_ref().ok()) else {
        return match files.first() {
            Some(first) => Err(first.damaged(disk, "no segment has a whole header")),
            None => Ok((Vec::new(), Findings::default())),
        };
    };
    let newest = files.last().map(|file| file.name.clone()).unwrap_or_default();
    let mut scan = Scan::new(disk.clone(), known.clone(), newest);
    for file in &files {
        if scan.found.cut.is_some() {
            scan.count_behind(scan.cursor(file, &scan.header(file)?))?;
        } else {
            scan.file(file)?;
        }
    }
    scan.found.last = scan.last;
    Ok((scan.parts, scan.found))
}

/// A segment file as it was found.
struct Found {
    name: String,
    first: Seq,
    file: Arc<dyn File>,
    bytes: u64,
    header: Result<Header, record::Error>,
}

impl Found {
    fn damaged(&self, disk: &Arc<dyn Disk>, what: impl ToString) -> Error {
        Error::Corrupt { file: disk.describe(&self.name), offset: 0, what: what.to_string() }
    }
}

fn open(disk: &dyn Disk, name: String) -> Result<Found, Error> {
    let failed = |error| Error::io("read", disk.describe(&name), error);
    let file = disk.open(&name).map_err(failed)?;
    let bytes = file.bytes().map_err(failed)?;
    let mut head = [0; HEADER_BYTES];
    let read = file.read_at(&mut head, 0).map_err(failed)?;
    let first = Segment::first_of(&name).unwrap_or_default();
    let header = Header::decode(&head[..read]);
    let header = match header {
        Ok(header) if header.first != first => Err(record::Error::Header("is another file's")),
        header => header,
    };
    Ok(Found { name, first, file, bytes, header })
}

struct Scan {
    disk: Arc<dyn Disk>,
    /// A header of this ledger.
    known: Header,
    /// The name of the newest file.
    newest: String,
    last: Seq,
    hash: Digest,
    time_max: Timestamp,
    /// The blobs that are kept. A ledger has one record for each address.
    kept: HashSet<BlobAddr>,
    /// What cannot be read, by the first event of the segment.
    voids: Vec<(Seq, Range<u64>)>,
    /// What stands behind the last event that is kept, in the last part.
    pending: Pending,
    /// Events and blobs in the last part.
    counts: (u64, u64),
    parts: Vec<Part>,
    found: Findings,
}

/// What waits for an event that proves that nothing is missing before it.
#[derive(Default)]
struct Pending {
    pieces: Vec<Piece>,
    places: Vec<Error>,
    blobs: Vec<BlobAddr>,
}

impl Pending {
    fn is_void(&self, at: u64) -> bool {
        self.pieces.iter().any(|piece| piece.void && piece.range.contains(&at))
    }
}

impl Scan {
    fn new(disk: Arc<dyn Disk>, known: Header, newest: String) -> Self {
        Self {
            disk,
            known,
            newest,
            last: Seq::ZERO,
            hash: Digest::default(),
            time_max: Timestamp(i64::MIN),
            kept: HashSet::new(),
            voids: Vec::new(),
            pending: Pending::default(),
            counts: (0, 0),
            parts: Vec::new(),
            found: Findings::default(),
        }
    }

    /// The header of a file, or one that is made from what the chain before it says.
    fn header(&self, file: &Found) -> Result<Header, Error> {
        match &file.header {
            Ok(header) => Ok(header.clone()),
            Err(record::Error::Header(record::UNKNOWN_FORMAT)) => {
                Err(file.damaged(&self.disk, format!("the header {}", record::UNKNOWN_FORMAT)))
            }
            Err(_) => Ok(Header { first: file.first, prev: self.hash, ..self.known.clone() }),
        }
    }

    fn cursor(&self, file: &Found, header: &Header) -> Cursor {
        let segment =
            Segment::new(file.name.clone(), header.clone(), file.file.clone(), file.bytes);
        let segment = Arc::new(segment);
        let set = Arc::new(Segments::new(self.disk.clone(), vec![segment.clone()]));
        Cursor::at_segment(set, Some(segment))
    }

    /// Takes over what it can of a segment.
    fn file(&mut self, file: &Found) -> Result<(), Error> {
        // The header is durable before anything is written after it: it was just being made.
        if file.bytes < HEADER_BYTES as u64 && file.header.is_err() {
            return Ok(());
        }
        let header = self.header(file)?;
        let mut cursor = self.cursor(file, &header);
        let follows = header.first == self.last.next() && header.prev == self.hash;
        let of_this = header.ledger == self.known.ledger && header.key == self.known.key;
        if !(follows && of_this) {
            let what = "the segment does not follow from the one before it";
            return self.cut(file.damaged(&self.disk, what), cursor);
        }
        self.seal();
        if let Err(error) = &file.header {
            self.found.places.push(file.damaged(&self.disk, error));
        }
        self.parts.push(Part {
            name: file.name.clone(),
            header: header.clone(),
            file: file.file.clone(),
            pieces: Vec::new(),
            footer: None,
        });
        self.records(file, &header, &mut cursor)?;
        Ok(())
    }

    /// Reads the records of a segment.
    fn records(&mut self, file: &Found, header: &Header, cursor: &mut Cursor) -> Result<(), Error> {
        let mut reached = HEADER_BYTES as u64;
        loop {
            cursor.expect(self.last.next(), self.hash);
            let ended = match cursor.next() {
                Ok(Some(found)) => {
                    // With what the cursor passes: voids of a former salvage keep their place.
                    let range = reached..found.end;
                    reached = found.end;
                    match &found.record {
                        Record::Blob(blob) => self.blob(file, header.first, range, blob),
                        Record::Event(event) => self.event(file, range, event),
                        Record::Footer(_) | Record::Void => None,
                    }
                }
                Ok(None) => return Ok(()),
                Err(error @ Error::Corrupt { .. }) => {
                    let from = cursor.position().offset;
                    // The cursor may have passed a void right before.
                    let begin = reached.min(from);
                    let mut ends = self.is_out_of_sequence(file, from, &error)?;
                    if !ends {
                        cursor.skip_damage()?;
                        reached = cursor.position().offset;
                        ends = reached - begin < PREFIX_BYTES as u64;
                        // A record that was only begun.
                        if ends && file.name == self.newest && reached == file.bytes {
                            return Ok(());
                        }
                    }
                    if !ends {
                        self.pending.pieces.push(Piece { range: begin..reached, void: true });
                        self.pending.places.push(error);
                        continue;
                    }
                    Some(self.pending.places.first().cloned().unwrap_or(error))
                }
                Err(error) => return Err(error),
            };
            if let Some(place) = ended {
                return self.cut(place, self.cursor_after(file, header, cursor));
            }
        }
    }

    /// A cursor that goes on where another stands, and expects nothing.
    fn cursor_after(&self, file: &Found, header: &Header, cursor: &Cursor) -> Cursor {
        let segment =
            Segment::new(file.name.clone(), header.clone(), file.file.clone(), file.bytes);
        let set = Arc::new(Segments::new(self.disk.clone(), vec![Arc::new(segment)]));
        Cursor::at(set, cursor.position())
    }

    /// Whether the record at `from`, which was refused with `error`, is a whole event that stands
    /// out of sequence.
    fn is_out_of_sequence(&self, file: &Found, from: u64, error: &Error) -> Result<bool, Error> {
        let failed = |error| Error::io("read", self.disk.describe(&file.name), error);
        let mut prefix = [0; PREFIX_BYTES];
        let read = file.file.read_at(&mut prefix, from).map_err(failed)?;
        let Ok(Some(total)) = record::record_bytes(&prefix[..read]) else { return Ok(false) };
        let mut bytes = vec![0; total];
        let read = file.file.read_at(&mut bytes, from).map_err(failed)?;
        match record::parse(&bytes[..read]) {
            Ok(_) => Ok(true),
            // The checksum fits: this is no damage but what this greffier does not know.
            Err(record::Error::Body(_) | record::Error::Frame(_)) => Err(error.clone()),
            Err(_) => Ok(false),
        }
    }

    fn blob(
        &mut self,
        file: &Found,
        segment: Seq,
        range: Range<u64>,
        blob: &BlobRecord<'_>,
    ) -> Option<Error> {
        let void = match blob.codec {
            BlobCodec::ZstdBase(base) => self.is_void(segment, base),
            _ => false,
        };
        if void {
            let what = "the blob is stored against one that is lost".to_owned();
            let (name, offset) = (self.disk.describe(&file.name), range.start);
            self.pending.places.push(Error::Corrupt { file: name, offset, what });
        } else {
            self.pending.blobs.push(blob.addr);
        }
        self.pending.pieces.push(Piece { range, void });
        None
    }

    fn is_void(&self, segment: Seq, at: Position) -> bool {
        let known = self.voids.iter();
        let mut known = known.filter(|(first, _)| *first == at.segment);
        known.any(|(_, range)| range.contains(&at.offset))
            || (at.segment == segment && self.pending.is_void(at.offset))
    }

    /// An event in its place proves that nothing is missing before it. Returns why it cannot be
    /// kept all the same.
    fn event(&mut self, file: &Found, range: Range<u64>, event: &EventRecord<'_>) -> Option<Error> {
        let envelope = &event.envelope;
        let actor = envelope.actor;
        let known =
            actor.is_zero() || self.kept.contains(&actor) || self.pending.blobs.contains(&actor);
        if !known {
            let what =
                format!("the blob that says who brought about event {} is lost", envelope.seq);
            let (name, offset) = (self.disk.describe(&file.name), range.start);
            return Some(Error::Corrupt { file: name, offset, what });
        }
        self.pending.pieces.push(Piece { range, void: false });
        self.commit();
        self.last = envelope.seq;
        self.hash = envelope.hash;
        self.time_max = self.time_max.max(envelope.recorded);
        self.counts.0 += 1;
        None
    }

    /// Keeps what waited.
    fn commit(&mut self) {
        let Pending { pieces, places, blobs } = std::mem::take(&mut self.pending);
        let Some(part) = self.parts.last_mut() else { return };
        self.found.places.extend(places);
        self.counts.1 += blobs.len() as u64;
        self.kept.extend(blobs);
        for piece in pieces {
            if piece.void {
                self.found.void_bytes += piece.range.end - piece.range.start;
                self.voids.push((part.header.first, piece.range.clone()));
            }
            match part.pieces.last_mut() {
                Some(last) if last.void == piece.void => last.range.end = piece.range.end,
                _ => part.pieces.push(piece),
            }
        }
    }

    /// Ends the last part: a segment follows from it, so nothing of it is missing.
    fn seal(&mut self) {
        let last = self.pending.pieces.last();
        let of_footer = last.is_some_and(|piece| {
            piece.void && piece.range.end - piece.range.start == FOOTER_RECORD_BYTES as u64
        });
        self.commit();
        if of_footer {
            // It is made again: no content is lost with it.
            self.found.void_bytes -= FOOTER_RECORD_BYTES as u64;
        }
        let (events, blobs) = std::mem::take(&mut self.counts);
        let (last, hash, time_max) = (self.last, self.hash, self.time_max);
        if let Some(part) = self.parts.last_mut() {
            part.footer = Some(Footer { last, hash, events, blobs, time_max });
        }
    }

    /// Ends the chain, and counts what `behind` finds.
    fn cut(&mut self, place: Error, behind: Cursor) -> Result<(), Error> {
        self.pending = Pending::default();
        self.found.cut = Some(Cut::at(place));
        self.count_behind(behind)
    }

    fn count_behind(&mut self, mut cursor: Cursor) -> Result<(), Error> {
        loop {
            match cursor.next() {
                Ok(Some(found)) => {
                    if let (Record::Event(event), Some(cut)) = (&found.record, &mut self.found.cut)
                    {
                        cut.behind += 1;
                        cut.newest = cut.newest.max(event.envelope.seq);
                        if cut.decisions.len() < DECISIONS_MAX {
                            cut.decisions.extend(decision(event));
                        }
                    }
                }
                Ok(None) => return Ok(()),
                Err(Error::Corrupt { .. }) => cursor.skip_damage()?,
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a person decided in an event, if it is such a one and can be read.
fn decision(event: &EventRecord<'_>) -> Option<Decision> {
    let envelope = &event.envelope;
    let (_, kind, _) = Event::KINDS.iter().find(|(code, ..)| *code == envelope.kind)?;
    // What configuration, Git and rules declare and end is nobody's decision: greffier's own.
    if envelope.actor.is_zero() || !DECIDES.contains(kind) {
        return None;
    }
    let plain = match envelope.stored {
        Stored::Dropped => return None,
        Stored::Inline { codec: Codec::Raw, .. } => event.payload.to_vec(),
        Stored::Inline { codec: Codec::Zstd, .. } => {
            inflate(event.payload, &[], usize::try_from(envelope.payload.len).ok()?)?
        }
    };
    let body = decode_event(envelope.kind, envelope.schema, &plain).ok()??;
    let body = serde_json::to_value(&body).ok()?;
    Some(Decision { seq: envelope.seq, at: envelope.recorded, kind, body })
}
