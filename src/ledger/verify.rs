//! Reads a whole ledger and checks all of it.

use std::sync::Arc;

use super::error::Error;
use super::reader::Reader;
use super::record::{BlobCodec, Record};
use super::segment::Cursor;
use super::store::Position;
use crate::model::{BlobAddr, Seq};

/// How many problems are listed; a ledger with more is known to be bad.
const PROBLEMS_MAX: usize = 100;

/// What a complete check found.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many events were checked.
    pub events: u64,
    /// How many blobs were checked.
    pub blobs: u64,
    /// How many sealed blobs could not be opened because there is no key.
    pub sealed_unopened: u64,
    /// How many bytes of plaintext were hashed.
    pub bytes: u64,
    /// What is wrong, at most 100 findings. Empty = everything is as it was written.
    pub problems: Vec<Error>,
}

impl Verified {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    fn note(&mut self, error: Error) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(error);
        }
    }
}

/// Checks every record up to `head`, and, with `place`, that the index has every event in its
/// place.
pub(super) fn verify(
    reader: &Arc<Reader>,
    head: Seq,
    place: Option<&dyn Fn(Seq) -> Option<Position>>,
) -> Verified {
    let mut verified = Verified::default();
    let mut cursor = Cursor::at_start(reader.segments.clone());
    let mut last = Seq::ZERO;
    // Blobs may stand behind the last event; what a writer adds meanwhile is left out.
    while verified.problems.len() < PROBLEMS_MAX {
        match cursor.next() {
            Ok(Some(found)) => match &found.record {
                Record::Event(event) if event.envelope.seq > head => break,
                Record::Event(event) => {
                    last = event.envelope.seq;
                    if let Err(error) = reader.decode(found.at, event) {
                        verified.note(error);
                    }
                    if place.is_some_and(|place| place(last) != Some(found.at)) {
                        let source = super::store::Error::Damaged(format!("event {last}"));
                        verified.note(Error::Index(Arc::new(source)));
                    }
                    verified.events += 1;
                    verified.bytes += u64::from(event.envelope.payload.len);
                }
                Record::Blob(blob) => check_blob(reader, blob.addr, blob.codec, &mut verified),
                Record::Footer(_) | Record::Void => {}
            },
            Ok(None) => break,
            Err(error) => {
                let corrupt = matches!(error, Error::Corrupt { .. });
                reader.segments.note_damage(&error);
                verified.note(error);
                if !corrupt || cursor.skip_damage().is_err() {
                    break;
                }
            }
        }
    }
    if last < head && verified.problems.is_empty() {
        let what = format!("the chain ends at event {last}, it should end at {head}");
        verified.note(Error::Corrupt { file: "segments".to_owned(), offset: 0, what });
    }
    verified
}

fn check_blob(reader: &Reader, addr: BlobAddr, codec: BlobCodec, verified: &mut Verified) {
    match reader.blob(addr) {
        Ok(bytes) => verified.bytes += bytes.len() as u64,
        Err(Error::Sealed(_)) if codec == BlobCodec::Sealed => verified.sealed_unopened += 1,
        Err(error) => verified.note(error),
    }
    verified.blobs += 1;
}
