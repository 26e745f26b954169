//! The bytes of a segment file: its header and its records. Pure: bytes in, values out.
//!
//! A segment is a header followed by records until the end of the file; a sealed one ends with a
//! footer record. All numbers are big-endian.
//!
//! ```text
//! header, 80 bytes                        record
//!   0  8  magic "GrefSeg\0"                 0  4  length of the body
//!   8  2  format, 0                         4  4  crc32c of length, type and body
//!  10  2  zero                              8  1  type: 1 event, 2 blob, 3 footer, 4 void
//!  12 16  ledger id                         9  .  body
//!  28  8  sequence number of its first event
//!  36 32  hash of the frame before it     footer body, 64 bytes
//!  68  8  fingerprint of the ledger's key   0  8  last sequence number
//!  76  4  crc32c of the 76 bytes above      8 32  hash of its frame
//!                                          40  8  events in the segment
//! event body                               48  8  blobs in the segment
//!   0  1  0 payload dropped, 1 inline      56  8  latest recorded time up to here
//!   1  1  codec: 0 raw, 1 zstd
//!   2  4  stored length of the payload   blob body
//!   6  2  length of the frame              0 32  address
//!   8  .  frame, then payload             32  1  codec: 0 raw, 1 zstd, 2 zstd with the base
//!                                                as dictionary, 3 sealed
//!                                         33  1  step: versions since a whole one
//!                                         34  .  plaintext length; codec 2 only: the first
//!                                                event of the base's segment, and the offset
//!                                                of its record there; each as a number of
//!                                                variable length (`ledger::number`)
//!                                          .  .  content
//! ```
//!
//! A void stands where salvage found bytes that could not be read, so that what is behind them
//! keeps its place; its body is zeros.
//!
//! A base is named by its place, which spares a search for each; that it is the right one shows in
//! the plaintext, which must have the address.
//!
//! Invariant: every byte of a segment is under a checksum, the length field included, so a single
//! flipped byte anywhere is found.

use uuid::Uuid;

use super::codec::PAYLOAD_BYTES_MAX;
use super::frame::{Codec, Envelope, FRAME_MAGIC, Stored};
use super::number::{NUMBER_BYTES_MAX, put_number, take_number};
use super::store::Position;
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

/// The version of the segment layout that this module writes and reads.
pub const FORMAT: u16 = 0;
/// The length of a segment header in bytes.
pub const HEADER_BYTES: usize = 80;
/// The length of a record before its body, in bytes.
pub const PREFIX_BYTES: usize = 9;
/// How long the plaintext of a blob may be, in bytes.
pub const BLOB_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long the body of a record may be, in bytes: the longest payload or blob and what stands
/// before it. A length field above it is damage, not a reason to allocate.
pub const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 128 * 1024;

/// What is wrong with the undamaged header of a segment that another greffier wrote.
pub const UNKNOWN_FORMAT: &str = "is of a format that this greffier does not know";

const SEGMENT_MAGIC: [u8; 8] = *b"GrefSeg\0";
const TYPE_EVENT: u8 = 1;
const TYPE_BLOB: u8 = 2;
const TYPE_FOOTER: u8 = 3;
const TYPE_VOID: u8 = 4;
const EVENT_FIXED_BYTES: usize = 8;
const BLOB_FIXED_BYTES: usize = 34;
const FOOTER_BYTES: usize = 64;

/// What is wrong with the bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The header is not that of a segment of this format.
    #[error("the segment header {0}")]
    Header(&'static str),
    /// The file ends within a record.
    #[error("the file ends within a record")]
    Short,
    /// The checksum does not fit, so some byte of the record changed.
    #[error("the record's checksum does not fit")]
    Checksum,
    /// The length field is beyond what any writer makes.
    #[error("the record claims {0} bytes")]
    Length(usize),
    /// The checksum fits but the body makes no sense: no writer made it.
    #[error("the record's {0} is out of range")]
    Body(&'static str),
    /// The frame in an event record is not one.
    #[error("the record's frame is not valid")]
    Frame(#[source] super::frame::Error),
}

/// The first bytes of a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The ledger that it belongs to.
    pub ledger: Uuid,
    /// The sequence number of its first event.
    pub first: Seq,
    /// The hash of the frame before its first event; zero in the first segment.
    pub prev: Digest,
    /// Tells whether a key is this ledger's key, without telling the key.
    pub key: [u8; 8],
}

impl Header {
    /// Encodes the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(self.ledger.as_bytes());
        out.extend_from_slice(&self.first.0.to_be_bytes());
        out.extend_from_slice(&self.prev.0);
        out.extend_from_slice(&self.key);
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Decodes the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error::Header`] when it is short, damaged or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let short = || Error::Header("is incomplete");
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let mut rest = Fields(header.as_slice());
        if rest.array::<8>().ok_or_else(short)? != SEGMENT_MAGIC {
            return Err(Error::Header("does not begin with its magic number"));
        }
        let format = rest.array::<2>().ok_or_else(short)?;
        let zero = rest.array::<2>().ok_or_else(short)?;
        let decoded = Self {
            ledger: Uuid::from_bytes(rest.array().ok_or_else(short)?),
            first: Seq(rest.u64().ok_or_else(short)?),
            prev: Digest(rest.array().ok_or_else(short)?),
            key: rest.array().ok_or_else(short)?,
        };
        let checksum = rest.array::<4>().ok_or_else(short)?;
        if u32::from_be_bytes(checksum) != crc32c::crc32c(&header[..HEADER_BYTES - 4]) {
            return Err(Error::Header("is damaged: its checksum does not fit"));
        }
        // After the checksum: another format is then what its writer meant.
        if u16::from_be_bytes(format) != FORMAT || zero != [0, 0] {
            return Err(Error::Header(UNKNOWN_FORMAT));
        }
        Ok(decoded)
    }
}

/// How a blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobCodec {
    /// As it is.
    Raw,
    /// zstd.
    Zstd,
    /// zstd with the blob whose record stands there as dictionary.
    ZstdBase(Position),
    /// Sealed under the ledger's key: nonce, then XChaCha20-Poly1305 ciphertext.
    Sealed,
}

/// A blob record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRecord<'a> {
    /// Its address.
    pub addr: BlobAddr,
    /// How it is stored.
    pub codec: BlobCodec,
    /// How many versions stand between it and the last that was stored whole.
    pub step: u8,
    /// The length of the plaintext in bytes.
    pub len: u32,
    /// The content as stored.
    pub content: &'a [u8],
}

/// An event record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// The decoded frame.
    pub envelope: Envelope,
    /// The frame.
    pub frame: &'a [u8],
    /// The payload as stored.
    pub payload: &'a [u8],
}

/// The record that ends a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// The last event.
    pub last: Seq,
    /// The hash of its frame.
    pub hash: Digest,
    /// How many events the segment has.
    pub events: u64,
    /// How many blobs the segment has.
    pub blobs: u64,
    /// The latest recorded time of any event up to here.
    pub time_max: Timestamp,
}

/// How long a footer record is, in bytes.
pub const FOOTER_RECORD_BYTES: usize = PREFIX_BYTES + FOOTER_BYTES;

/// A record of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one step of a scan; a box would allocate for each record read"
)]
pub enum Record<'a> {
    /// An event.
    Event(EventRecord<'a>),
    /// A blob.
    Blob(BlobRecord<'a>),
    /// The end of a sealed segment.
    Footer(Footer),
    /// What salvage put in place of bytes that could not be read.
    Void,
}

/// Appends a record to `out`: room for its length and checksum, its type, what `body` writes, and
/// then the length and checksum.
fn put(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.push(kind);
    body(out);
    // Bound: every caller's body is far below 4 GiB (BODY_BYTES_MAX, enforced by the writer).
    let length = u32::try_from(out.len() - start - PREFIX_BYTES).unwrap_or(u32::MAX).to_be_bytes();
    let checksum = checksum(length, &out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_be_bytes());
}

fn checksum(length: [u8; 4], type_and_body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), type_and_body)
}

/// Appends an event record.
pub fn put_event(out: &mut Vec<u8>, frame: &[u8], stored: Stored, payload: &[u8]) {
    put(out, TYPE_EVENT, |out| {
        let (place, codec, len) = match stored {
            Stored::Dropped => (0, 0, 0),
            Stored::Inline { codec: Codec::Raw, len } => (1, 0, len),
            Stored::Inline { codec: Codec::Zstd, len } => (1, 1, len),
        };
        out.extend_from_slice(&[place, codec]);
        out.extend_from_slice(&len.to_be_bytes());
        // Bound: a frame has at most 8 causes and so is far below 65 535 bytes.
        out.extend_from_slice(&u16::try_from(frame.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(frame);
        out.extend_from_slice(payload);
    });
}

/// Appends a blob record.
pub fn put_blob(out: &mut Vec<u8>, blob: &BlobRecord<'_>) {
    put(out, TYPE_BLOB, |out| {
        out.extend_from_slice(&blob.addr.0);
        let (codec, base) = match blob.codec {
            BlobCodec::Raw => (0, None),
            BlobCodec::Zstd => (1, None),
            BlobCodec::ZstdBase(base) => (2, Some(base)),
            BlobCodec::Sealed => (3, None),
        };
        out.extend_from_slice(&[codec, blob.step]);
        put_number(out, blob.len.into());
        if let Some(base) = base {
            put_number(out, base.segment.0);
            put_number(out, base.offset);
        }
        out.extend_from_slice(blob.content);
    });
}

/// Appends a footer record.
pub fn put_footer(out: &mut Vec<u8>, footer: &Footer) {
    put(out, TYPE_FOOTER, |out| {
        out.extend_from_slice(&footer.last.0.to_be_bytes());
        out.extend_from_slice(&footer.hash.0);
        out.extend_from_slice(&footer.events.to_be_bytes());
        out.extend_from_slice(&footer.blobs.to_be_bytes());
        out.extend_from_slice(&footer.time_max.0.to_be_bytes());
    });
}

/// Appends a void of `bytes` in all, which must be at least [`PREFIX_BYTES`] and at most
/// [`BODY_BYTES_MAX`].
pub fn put_void(out: &mut Vec<u8>, bytes: usize) {
    put(out, TYPE_VOID, |out| out.resize(out.len() + bytes.saturating_sub(PREFIX_BYTES), 0));
}

/// How many bytes the record that begins with `prefix` takes in all; `None` when there are too
/// few bytes to tell.
///
/// # Errors
/// [`Error::Length`] when it claims more than any writer makes.
pub fn record_bytes(prefix: &[u8]) -> Result<Option<usize>, Error> {
    let Some(length) = prefix.first_chunk::<4>() else { return Ok(None) };
    let body = u32::from_be_bytes(*length) as usize;
    if body > BODY_BYTES_MAX { Err(Error::Length(body)) } else { Ok(Some(PREFIX_BYTES + body)) }
}

/// Whether the record claims to be a void.
#[must_use]
pub fn says_void(record: &[u8]) -> bool {
    record.get(PREFIX_BYTES - 1) == Some(&TYPE_VOID)
}

/// Reads the record at the start of `bytes`; also says how many bytes it takes.
///
/// # Errors
/// [`Error::Short`] when `bytes` end before it does; another [`Error`] when it is damaged.
pub fn parse(bytes: &[u8]) -> Result<(Record<'_>, usize), Error> {
    let total = record_bytes(bytes)?.ok_or(Error::Short)?;
    let bytes = bytes.get(..total).ok_or(Error::Short)?;
    let mut rest = Fields(bytes);
    let length = rest.array::<4>().ok_or(Error::Short)?;
    let stated = u32::from_be_bytes(rest.array().ok_or(Error::Short)?);
    if checksum(length, rest.0) != stated {
        return Err(Error::Checksum);
    }
    let [kind] = rest.array().ok_or(Error::Short)?;
    let record = match kind {
        TYPE_EVENT => Record::Event(parse_event(rest)?),
        TYPE_BLOB => Record::Blob(parse_blob(rest)?),
        TYPE_FOOTER => Record::Footer(parse_footer(rest)?),
        TYPE_VOID => Record::Void,
        _ => return Err(Error::Body("type")),
    };
    Ok((record, total))
}

fn parse_event(mut rest: Fields<'_>) -> Result<EventRecord<'_>, Error> {
    let [place, codec] = rest.array().ok_or(Error::Body("length"))?;
    let len = rest.u32().ok_or(Error::Body("length"))?;
    let frame_len = rest.array().map(u16::from_be_bytes).ok_or(Error::Body("length"))?;
    let (frame, payload) =
        rest.0.split_at_checked(usize::from(frame_len)).ok_or(Error::Body("frame length"))?;
    let stored = match (place, codec) {
        (0, 0) => Stored::Dropped,
        (1, 0) => Stored::Inline { codec: Codec::Raw, len },
        (1, 1) => Stored::Inline { codec: Codec::Zstd, len },
        _ => return Err(Error::Body("payload location")),
    };
    if payload.len() != len as usize {
        return Err(Error::Body("payload length"));
    }
    let envelope = Envelope::decode(frame, stored).map_err(Error::Frame)?;
    Ok(EventRecord { envelope, frame, payload })
}

fn parse_blob(mut rest: Fields<'_>) -> Result<BlobRecord<'_>, Error> {
    let addr = BlobAddr(rest.array().ok_or(Error::Body("length"))?);
    let [code, step] = rest.array().ok_or(Error::Body("length"))?;
    let len = rest.number().ok_or(Error::Body("length"))?;
    let len = u32::try_from(len).ok().filter(|len| *len as usize <= BLOB_BYTES_MAX);
    let len = len.ok_or(Error::Body("blob length"))?;
    let codec = match code {
        0 => BlobCodec::Raw,
        1 => BlobCodec::Zstd,
        2 => BlobCodec::ZstdBase(rest.position().ok_or(Error::Body("length"))?),
        3 => BlobCodec::Sealed,
        _ => return Err(Error::Body("blob codec")),
    };
    Ok(BlobRecord { addr, codec, step, len, content: rest.0 })
}

fn parse_footer(mut rest: Fields<'_>) -> Result<Footer, Error> {
    let footer = (|| {
        Some(Footer {
            last: Seq(rest.u64()?),
            hash: Digest(rest.array()?),
            events: rest.u64()?,
            blobs: rest.u64()?,
            time_max: Timestamp(rest.array().map(i64::from_be_bytes)?),
        })
    })();
    footer.filter(|_| rest.0.is_empty()).ok_or(Error::Body("footer length"))
}

/// Where, after damage at the start of `bytes`, the next undamaged record begins: at the place
/// that the damaged record's own length points to, else at the next event or blob.
#[must_use]
pub fn resync(bytes: &[u8]) -> Option<usize> {
    let stated = record_bytes(bytes).ok().flatten();
    if let Some(at) = stated
        && bytes.get(at..).is_some_and(|rest| parse(rest).is_ok())
    {
        return Some(at);
    }
    (1..bytes.len()).find(|at| {
        let rest = &bytes[*at..];
        may_begin_record(rest) && parse(rest).is_ok()
    })
}

/// Whether `bytes` may begin with an event or a blob: spares the checksum at almost every place.
fn may_begin_record(bytes: &[u8]) -> bool {
    match bytes.get(PREFIX_BYTES - 1) {
        Some(&TYPE_EVENT) => {
            let frame = bytes.get(PREFIX_BYTES + EVENT_FIXED_BYTES..);
            frame.is_some_and(|frame| frame.starts_with(FRAME_MAGIC.as_slice()))
        }
        Some(&TYPE_BLOB) => bytes.get(PREFIX_BYTES + 32).is_some_and(|codec| *codec <= 3),
        _ => false,
    }
}

/// The unread fields of a body.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        take_number(&mut self.0)
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position { segment: Seq(self.number()?), offset: self.number()? })
    }
}

/// How many bytes a blob's record takes beside its content, at most.
pub const BLOB_OVERHEAD_BYTES: usize = PREFIX_BYTES + BLOB_FIXED_BYTES + 3 * NUMBER_BYTES_MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::frame::{PayloadSeal, valid_at};

    fn event_bytes(payload: &[u8], stored: Stored) -> (Envelope, Vec<u8>) {
        let (recorded, id) = (Timestamp(5), Uuid::from_u128(6));
        let mut envelope = Envelope {
            seq: Seq(7),
            id,
            cluster: Uuid::from_u128(8),
            correlation: id,
            causes: vec![Seq(3)],
            actor: BlobAddr([9; 32]),
            recorded,
            valid: valid_at(recorded),
            prev: Digest([1; 32]),
            hash: Digest::default(),
            kind: 0x0510,
            schema: 1,
            payload: PayloadSeal::of(payload, [2; 16]),
            stored,
        };
        let frame = envelope.seal().unwrap();
        let mut bytes = Vec::new();
        put_event(&mut bytes, &frame, stored, payload);
        (envelope, bytes)
    }

    fn inline(payload: &[u8]) -> Stored {
        Stored::Inline { codec: Codec::Raw, len: u32::try_from(payload.len()).unwrap() }
    }

    proptest! {
        #[test]
        fn event_records_come_back(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let (envelope, bytes) = event_bytes(&payload, inline(&payload));
            let (record, length) = parse(&bytes).unwrap();
            prop_assert_eq!(length, bytes.len());
            let Record::Event(event) = record else { panic!("an event was put") };
            prop_assert_eq!(event.envelope, envelope);
            prop_assert_eq!(event.payload, payload);
        }

        #[test]
        fn blob_records_come_back(
            addr in any::<[u8; 32]>(), base in any::<(u64, u64)>(), codec in 0..4, step in any::<u8>(),
            content in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let codec = match codec {
                0 => BlobCodec::Raw,
                1 => BlobCodec::Zstd,
                2 => BlobCodec::ZstdBase(Position { segment: Seq(base.0), offset: base.1 }),
                _ => BlobCodec::Sealed,
            };
            let blob = BlobRecord { addr: BlobAddr(addr), codec, step, len: 77, content: &content };
            let mut bytes = Vec::new();
            put_blob(&mut bytes, &blob);
            prop_assert!(bytes.len() <= BLOB_OVERHEAD_BYTES + content.len());
            prop_assert_eq!(parse(&bytes).unwrap(), (Record::Blob(blob), bytes.len()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
            let _ = resync(&bytes);
            let _ = Header::decode(&bytes);
        }

        #[test]
        fn bodies_under_a_right_checksum_never_panic(
            kind in 0..5_u8, body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = Vec::new();
            put(&mut bytes, kind, |out| out.extend_from_slice(&body));
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn headers_and_footers_come_back() {
        let header = Header {
            ledger: Uuid::from_u128(1),
            first: Seq(2),
            prev: Digest([3; 32]),
            key: [4; 8],
        };
        assert_eq!(header.encode().len(), HEADER_BYTES);
        assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        let time_max = Timestamp(i64::MIN);
        let footer = Footer { last: Seq(5), hash: Digest([6; 32]), events: 7, blobs: 8, time_max };
        let mut bytes = Vec::new();
        put_footer(&mut bytes, &footer);
        assert_eq!(bytes.len(), FOOTER_RECORD_BYTES);
        assert_eq!(parse(&bytes).unwrap(), (Record::Footer(footer), bytes.len()));
    }

    #[test]
    fn a_header_of_another_format_says_so() {
        let header =
            Header { ledger: Uuid::nil(), first: Seq(1), prev: Digest::default(), key: [0; 8] };
        let mut bytes = header.encode();
        bytes[9] = 1;
        let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]).to_be_bytes();
        bytes[HEADER_BYTES - 4..].copy_from_slice(&checksum);
        let error = Header::decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("format that this greffier does not know"));
    }

    #[test]
    fn reading_goes_on_behind_damage() {
        let (_, first) = event_bytes(b"first", inline(b"first"));
        let (_, second) = event_bytes(b"second", inline(b"second"));
        for at in 0..first.len() {
            let mut bytes = [first.clone(), second.clone()].concat();
            bytes[at] ^= 0x80;
            assert_eq!(resync(&bytes), Some(first.len()), "damage at {at}");
        }
    }
}
