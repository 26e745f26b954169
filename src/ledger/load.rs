//! Finds the segments of a ledger and where they end.
//!
//! Sealed segments are checked by their headers and footers: that they are there, follow each
//! other, and belong to one ledger. The last segment is read whole, since a crash may have torn
//! its end. Nothing is changed here: what to do about a torn end is decided by `ledger::repair`.

use std::sync::Arc;

use super::disk::Disk;
use super::error::Error;
use super::record::{Footer, HEADER_BYTES, Header, Record};
use super::segment::{Cursor, Segment, Segments};
use super::writer::ChainEnd;
use crate::model::{Digest, Seq, Timestamp};

/// What was found behind the last undamaged record of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Torn {
    /// The segment file.
    pub(super) name: String,
    /// Where the undecodable bytes begin. Zero when not even the header is whole.
    pub(super) offset: u64,
    /// How many there are.
    pub(super) bytes: u64,
    /// What is wrong with them.
    pub(super) what: String,
}

/// The segments of a ledger as they were found.
pub(super) struct Loaded {
    /// All segments with a whole header, each readable up to its last undamaged record.
    pub(super) segments: Arc<Segments>,
    /// The end of the chain; the counts are those of the last segment.
    pub(super) end: ChainEnd,
    /// Events and blobs in all segments.
    pub(super) totals: (u64, u64),
    /// What follows the end, if anything does.
    pub(super) torn: Option<Torn>,
}

/// Finds the segments on `disk`.
pub(super) fn load(disk: &Arc<dyn Disk>) -> Result<Loaded, Error> {
    let listed = disk.names().map_err(|error| Error::io("list", disk.describe(""), error))?;
    let names: Vec<String> =
        listed.into_iter().filter(|name| Segment::first_of(name).is_some()).collect();
    let mut segments = Vec::new();
    let mut torn = None;
    for (index, name) in names.iter().enumerate() {
        match open_segment(disk.as_ref(), name)? {
            Opened::Whole(segment) => segments.push(Arc::new(segment)),
            // The header is durable before anything is written after it.
            Opened::NoHeader(bytes) if index + 1 == names.len() && bytes <= HEADER_BYTES as u64 => {
                let what = "the segment header is incomplete".to_owned();
                torn = Some(Torn { name: name.clone(), offset: 0, bytes, what });
            }
            Opened::NoHeader(_) => {
                let what = "the segment header is damaged".to_owned();
                return Err(Error::Corrupt { file: disk.describe(name), offset: 0, what });
            }
        }
    }
    let (before_last, totals) = check_sealed(disk.as_ref(), &segments)?;
    let set = Arc::new(Segments::new(disk.clone(), segments.clone()));
    let Some(last) = segments.last() else {
        return Ok(Loaded { segments: set, end: before_last, totals, torn });
    };
    let (end, torn_end) = scan_last(&set, last, before_last)?;
    // A next segment exists only once the last whole one is sealed.
    if torn.is_some() && last.footer().is_none() {
        return Err(set.corrupt(last, last.end(), "the footer is missing"));
    }
    let totals = (totals.0 + end.events, totals.1 + end.blobs);
    Ok(Loaded { segments: set, end, totals, torn: torn.or(torn_end) })
}

enum Opened {
    Whole(Segment),
    /// How long the file is.
    NoHeader(u64),
}

fn open_segment(disk: &dyn Disk, name: &str) -> Result<Opened, Error> {
    let failed = |error| Error::io("read", disk.describe(name), error);
    let file = disk.open(name).map_err(failed)?;
    let length = file.bytes().map_err(failed)?;
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    match Header::decode(&bytes[..read]) {
        Ok(header) if Segment::name_of(header.first) == name => {
            Ok(Opened::Whole(Segment::new(name.to_owned(), header, file, length)))
        }
        _ => Ok(Opened::NoHeader(length)),
    }
}

/// Checks that the segments follow each other. Returns the end of the last but one, and the
/// events and blobs up to it.
fn check_sealed(
    disk: &dyn Disk,
    segments: &[Arc<Segment>],
) -> Result<(ChainEnd, (u64, u64)), Error> {
    let time_max = Timestamp(i64::MIN);
    let mut end =
        ChainEnd { seq: Seq::ZERO, hash: Digest::default(), time_max, events: 0, blobs: 0 };
    let mut totals = (0, 0);
    for (index, segment) in segments.iter().enumerate() {
        let corrupt = |offset, what: &str| Error::Corrupt {
            file: disk.describe(&segment.name),
            offset,
            what: what.to_owned(),
        };
        let header = &segment.header;
        if header.first != end.seq.next() || header.prev != end.hash {
            return Err(corrupt(0, "the segment does not follow from the one before it"));
        }
        if header.ledger != segments[0].header.ledger || header.key != segments[0].header.key {
            return Err(corrupt(0, "the segment belongs to another ledger"));
        }
        if index + 1 == segments.len() {
            break;
        }
        let footer = segment.read_footer(segment.end());
        let footer =
            footer.map_err(|error| Error::io("read", disk.describe(&segment.name), error))?;
        let footer = footer.ok_or_else(|| corrupt(segment.end(), "the footer is missing"))?;
        segment.set_footer(footer);
        totals = (totals.0 + footer.events, totals.1 + footer.blobs);
        end = end_of(&footer);
    }
    Ok((end, totals))
}

fn end_of(footer: &Footer) -> ChainEnd {
    let Footer { last, hash, time_max, .. } = *footer;
    ChainEnd { seq: last, hash, time_max, events: 0, blobs: 0 }
}

/// Reads the last segment up to its first damage; lets readers see that much of it.
fn scan_last(
    set: &Arc<Segments>,
    last: &Arc<Segment>,
    mut end: ChainEnd,
) -> Result<(ChainEnd, Option<Torn>), Error> {
    let length = last.end();
    let mut cursor = Cursor::at_segment(set.clone(), Some(last.clone()));
    let what = loop {
        match cursor.next() {
            Ok(Some(found)) => match &found.record {
                Record::Event(event) => {
                    end.seq = event.envelope.seq;
                    end.hash = event.envelope.hash;
                    end.time_max = end.time_max.max(event.envelope.recorded);
                    end.events += 1;
                }
                Record::Blob(_) => end.blobs += 1,
                Record::Footer(_) | Record::Void => {}
            },
            Ok(None) => break None,
            Err(Error::Corrupt { what, .. }) => break Some(what),
            Err(error) => return Err(error),
        }
    };
    let Some(what) = what else {
        let footer = last.read_footer(length);
        let footer = footer.map_err(|error| Error::io("read", set.describe(last), error))?;
        if let Some(footer) = footer {
            last.set_footer(footer);
        }
        return Ok((end, None));
    };
    let offset = cursor.position().offset;
    last.set_end(offset);
    let torn = Torn { name: last.name.clone(), offset, bytes: length - offset, what };
    Ok((end, Some(torn)))
}
