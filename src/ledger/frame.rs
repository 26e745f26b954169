//! The frame of an event: everything but its body, in a byte layout written by hand.
//!
//! The frame is the leaf of the hash chain and of the later hash tree. It commits to the
//! *plaintext* of the payload by a salted hash, and to nothing about how the payload is stored:
//! payloads may be recompressed, sealed or dropped without touching a proof. How a payload is
//! stored stands beside the frame, in the event record ([`Stored`], see `ledger::record`).
//!
//! All numbers are big-endian. Offsets in bytes:
//!
//! ```text
//!   0  4  magic "GrEv"            34  8  recorded time, ns since 1970
//!   4  1  frame version, 0        42 32  hash of the previous frame (zero for the first)
//!   5  1  flags                   74  4  plaintext length of the payload
//!   6  2  event kind              78 16  salt
//!   8  2  schema                  94 32  SHA-256(salt || plaintext payload)
//!  10  8  sequence number        126  1  number of causes, at most 8
//!  18 16  event id (UUIDv7)      127 8n  causes
//! then, each only when its flag is set:
//!   flag 1  16  cluster id               absent = nil, not known yet
//!   flag 2  16  correlation id           absent = the event's own id
//!   flag 4  32  actor blob               absent = greffier itself
//!   flag 8  17  valid time: lo, hi, basis  absent = the recorded time
//! ```
//!
//! Invariant: one envelope has exactly one encoding, so the hash of a frame identifies it: a
//! field that equals its absent form is never written, and decoding refuses one that is.
//! This module is pure: no clock, no randomness, no I/O.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::event::Event;
use crate::model::{Actor, Basis, BlobAddr, Digest, Seq, Timestamp, ValidTime};

/// How many causes an event may name.
pub const CAUSES_MAX: usize = 8;
/// How long a frame may be, in bytes: the limit of a C2SP tile entry.
pub const FRAME_BYTES_MAX: usize = 65_535;
/// The first bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"GrEv";
/// The version of the frame layout that this module writes and reads.
pub const FRAME_VERSION: u8 = 0;

const FLAG_CLUSTER: u8 = 1;
const FLAG_CORRELATION: u8 = 2;
const FLAG_ACTOR: u8 = 4;
const FLAG_VALID: u8 = 8;
/// The prefix of a leaf in RFC 6962.
const LEAF_PREFIX: [u8; 1] = [0];

/// Bytes that are not a frame of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They end before the frame does.
    #[error("the frame ends early")]
    Short,
    /// They go on after the frame has ended.
    #[error("the frame is followed by {0} further bytes")]
    Trailing(usize),
    /// They do not begin like a frame.
    #[error("the frame does not begin with its magic number")]
    Magic,
    /// The layout is of a version that this greffier does not know.
    #[error("frame version {0} is not known")]
    Version(u8),
    /// A field has a value that no writer makes.
    #[error("the frame's {0} is out of range")]
    Field(&'static str),
}

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Raw,
    /// zstd.
    Zstd,
}

/// Where and how a payload is stored. Not part of the frame, so it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Right after the frame.
    Inline {
        /// How it is compressed.
        codec: Codec,
        /// How many bytes it takes.
        len: u32,
    },
    /// It was dropped by retention; its hash remains.
    Dropped,
}

/// What the payload of an event must be, whatever its stored form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadSeal {
    /// The plaintext's length in bytes.
    pub len: u32,
    /// Random bytes that keep the hash from confirming a guess at a short payload.
    pub salt: [u8; 16],
    /// SHA-256(salt || plaintext).
    pub hash: Digest,
}

impl PayloadSeal {
    /// Seals `plaintext` under `salt`.
    #[must_use]
    pub fn of(plaintext: &[u8], salt: [u8; 16]) -> Self {
        let hash = Sha256::new().chain_update(salt).chain_update(plaintext).finalize();
        // Bound: the codec refuses payloads over 32 MiB, far below 4 GiB.
        let len = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
        Self { len, salt, hash: Digest(hash.into()) }
    }

    /// Whether `plaintext` is what was sealed.
    #[must_use]
    pub fn matches(&self, plaintext: &[u8]) -> bool {
        Self::of(plaintext, self.salt) == *self
    }
}

/// The frame of an event, decoded, with its hash and how its payload is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its position.
    pub seq: Seq,
    /// Its identity, also outside this ledger.
    pub id: Uuid,
    /// The cluster it is about; nil until known.
    pub cluster: Uuid,
    /// What belongs to one push, one command, one run.
    pub correlation: Uuid,
    /// The events it directly follows from, at most [`CAUSES_MAX`].
    pub causes: Vec<Seq>,
    /// The blob that names who did it; zero = greffier itself.
    pub actor: BlobAddr,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// When it was true in the world.
    pub valid: ValidTime,
    /// The hash of the previous frame; zero for the first.
    pub prev: Digest,
    /// SHA-256(0x00 || frame), the RFC 6962 leaf. Computed, not stored.
    pub hash: Digest,
    /// The code of the event kind.
    pub kind: u16,
    /// The schema of the body.
    pub schema: u16,
    /// What the payload must be.
    pub payload: PayloadSeal,
    /// How the payload is stored. Not covered by `hash`.
    pub stored: Stored,
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its frame.
    pub envelope: Envelope,
    /// Who did it.
    pub actor: Actor,
    /// What happened. `None` = a kind or schema that this greffier does not know, or a payload
    /// that retention dropped: the chain still verifies.
    pub event: Option<Event>,
}

impl Recorded {
    /// The event's position.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.envelope.seq
    }
}

/// The RFC 6962 leaf hash of a frame.
#[must_use]
pub fn leaf_hash(frame: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(LEAF_PREFIX).chain_update(frame).finalize().into())
}

/// The valid time of an event about which nothing better is known.
#[must_use]
pub fn valid_at(recorded: Timestamp) -> ValidTime {
    ValidTime { lo: recorded, hi: recorded, basis: Basis::Recorded }
}

impl Envelope {
    /// Encodes the frame and sets `hash` to its hash. `stored` and the previous `hash` have no
    /// part in it.
    ///
    /// # Errors
    /// [`Error::Field`] when there are more than [`CAUSES_MAX`] causes.
    pub fn seal(&mut self) -> Result<Vec<u8>, Error> {
        let frame = self.encode()?;
        self.hash = leaf_hash(&frame);
        Ok(frame)
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        if self.causes.len() > CAUSES_MAX {
            return Err(Error::Field("number of causes"));
        }
        let flags = self.flags();
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&FRAME_MAGIC);
        out.extend_from_slice(&[FRAME_VERSION, flags]);
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&self.schema.to_be_bytes());
        out.extend_from_slice(&self.seq.0.to_be_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.recorded.0.to_be_bytes());
        out.extend_from_slice(&self.prev.0);
        out.extend_from_slice(&self.payload.len.to_be_bytes());
        out.extend_from_slice(&self.payload.salt);
        out.extend_from_slice(&self.payload.hash.0);
        out.push(u8::try_from(self.causes.len()).map_err(|_| Error::Field("number of causes"))?);
        for cause in &self.causes {
            out.extend_from_slice(&cause.0.to_be_bytes());
        }
        if flags & FLAG_CLUSTER != 0 {
            out.extend_from_slice(self.cluster.as_bytes());
        }
        if flags & FLAG_CORRELATION != 0 {
            out.extend_from_slice(self.correlation.as_bytes());
        }
        if flags & FLAG_ACTOR != 0 {
            out.extend_from_slice(&self.actor.0);
        }
        if flags & FLAG_VALID != 0 {
            out.extend_from_slice(&self.valid.lo.0.to_be_bytes());
            out.extend_from_slice(&self.valid.hi.0.to_be_bytes());
            out.push(self.valid.basis.code());
        }
        Ok(out)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if !self.cluster.is_nil() {
            flags |= FLAG_CLUSTER;
        }
        if self.correlation != self.id {
            flags |= FLAG_CORRELATION;
        }
        if !self.actor.is_zero() {
            flags |= FLAG_ACTOR;
        }
        if self.valid != valid_at(self.recorded) {
            flags |= FLAG_VALID;
        }
        flags
    }

    /// Decodes a frame whose payload is stored as `stored` says.
    ///
    /// # Errors
    /// An [`Error`] for bytes that no writer of this version makes.
    pub fn decode(frame: &[u8], stored: Stored) -> Result<Self, Error> {
        let mut bytes = Bytes(frame);
        if bytes.array::<4>()? != FRAME_MAGIC {
            return Err(Error::Magic);
        }
        let [version, flags] = bytes.array()?;
        if version != FRAME_VERSION {
            return Err(Error::Version(version));
        }
        let kind = bytes.u16()?;
        let schema = bytes.u16()?;
        let seq = Seq(bytes.u64()?);
        let id = Uuid::from_bytes(bytes.array()?);
        let recorded = bytes.timestamp()?;
        let prev = Digest(bytes.array()?);
        let payload = PayloadSeal {
            len: u32::from_be_bytes(bytes.array()?),
            salt: bytes.array()?,
            hash: Digest(bytes.array()?),
        };
        let causes = bytes.causes()?;
        let cluster = bytes.when(flags & FLAG_CLUSTER, Uuid::nil(), Bytes::uuid)?;
        let correlation = bytes.when(flags & FLAG_CORRELATION, id, Bytes::uuid)?;
        let actor = bytes.when(flags & FLAG_ACTOR, BlobAddr::default(), Bytes::addr)?;
        let valid = bytes.when(flags & FLAG_VALID, valid_at(recorded), Bytes::valid)?;
        if !bytes.0.is_empty() {
            return Err(Error::Trailing(bytes.0.len()));
        }
        let envelope = Self {
            seq,
            id,
            cluster,
            correlation,
            causes,
            actor,
            recorded,
            valid,
            prev,
            hash: leaf_hash(frame),
            kind,
            schema,
            payload,
            stored,
        };
        // One envelope, one encoding: also refuses flags that this version does not know.
        if envelope.flags() == flags { Ok(envelope) } else { Err(Error::Field("flags")) }
    }
}

/// The rest of a frame that is being decoded.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Error::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    fn timestamp(&mut self) -> Result<Timestamp, Error> {
        self.array().map(i64::from_be_bytes).map(Timestamp)
    }

    fn uuid(&mut self) -> Result<Uuid, Error> {
        self.array().map(Uuid::from_bytes)
    }

    fn addr(&mut self) -> Result<BlobAddr, Error> {
        self.array().map(BlobAddr)
    }

    fn valid(&mut self) -> Result<ValidTime, Error> {
        let lo = self.timestamp()?;
        let hi = self.timestamp()?;
        let [code] = self.array()?;
        let basis = Basis::from_code(code).ok_or(Error::Field("basis of the valid time"))?;
        Ok(ValidTime { lo, hi, basis })
    }

    fn causes(&mut self) -> Result<Vec<Seq>, Error> {
        let [count] = self.array()?;
        if usize::from(count) > CAUSES_MAX {
            return Err(Error::Field("number of causes"));
        }
        (0..count).map(|_| self.u64().map(Seq)).collect()
    }

    fn when<T>(
        &mut self,
        flag: u8,
        absent: T,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if flag == 0 { Ok(absent) } else { read(self) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored() -> Stored {
        Stored::Inline { codec: Codec::Raw, len: 3 }
    }

    prop_compose! {
        fn envelopes()(
            seq in any::<u64>(), id in any::<u128>(), cluster in prop_oneof![Just(0), any::<u128>()],
            correlation in prop::option::of(any::<u128>()),
            causes in prop::collection::vec(any::<u64>(), 0..=CAUSES_MAX),
            actor in prop_oneof![Just([0; 32]), any::<[u8; 32]>()],
            recorded in any::<i64>(), valid in prop::option::of((any::<i64>(), any::<i64>(), 0u8..5)),
            prev in any::<[u8; 32]>(), kind in any::<u16>(), schema in any::<u16>(),
            payload in prop::collection::vec(any::<u8>(), 0..64), salt in any::<[u8; 16]>(),
        ) -> Envelope {
            let recorded = Timestamp(recorded);
            Envelope {
                seq: Seq(seq),
                id: Uuid::from_u128(id),
                cluster: Uuid::from_u128(cluster),
                correlation: Uuid::from_u128(correlation.unwrap_or(id)),
                causes: causes.into_iter().map(Seq).collect(),
                actor: BlobAddr(actor),
                recorded,
                valid: valid.map_or(valid_at(recorded), |(lo, hi, basis)| ValidTime {
                    lo: Timestamp(lo), hi: Timestamp(hi), basis: Basis::from_code(basis).unwrap(),
                }),
                prev: Digest(prev),
                hash: Digest::default(),
                kind,
                schema,
                payload: PayloadSeal::of(&payload, salt),
                stored: stored(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_decoded_frame_is_what_was_encoded(mut envelope in envelopes()) {
            let frame = envelope.seal().unwrap();
            prop_assert!(frame.len() <= FRAME_BYTES_MAX);
            prop_assert_eq!(Envelope::decode(&frame, stored()).unwrap(), envelope);
        }

        #[test]
        fn a_frame_with_one_changed_byte_never_has_the_same_hash(
            mut envelope in envelopes(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let mut frame = envelope.seal().unwrap();
            let at = at.index(frame.len());
            frame[at] ^= flip;
            if let Ok(other) = Envelope::decode(&frame, stored()) {
                prop_assert_ne!(other.hash, envelope.hash);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::decode(&bytes, stored());
            let mut framed = FRAME_MAGIC.to_vec();
            framed.push(FRAME_VERSION);
            framed.extend(bytes);
            let _ = Envelope::decode(&framed, stored());
        }

        #[test]
        fn every_cut_frame_is_refused(mut envelope in envelopes(), cut in any::<prop::sample::Index>()) {
            let frame = envelope.seal().unwrap();
            prop_assert!(Envelope::decode(&frame[..cut.index(frame.len())], stored()).is_err());
        }
    }

    #[test]
    fn a_payload_seal_depends_on_salt_and_content() {
        let seal = PayloadSeal::of(b"replicas: 3", [7; 16]);
        assert!(seal.matches(b"replicas: 3"));
        assert!(!seal.matches(b"replicas: 4"));
        assert_ne!(seal.hash, PayloadSeal::of(b"replicas: 3", [8; 16]).hash);
    }
}
