//! Turns a batch into what the writer links and writes: bodies encoded, compressed and salted,
//! blobs deduplicated and compressed against an earlier version.
//!
//! Nothing here depends on a sequence number, so nothing has to be redone when a group fails.

use std::collections::HashMap;
use std::sync::Arc;

use super::codec::{self, SCHEMA};
use super::compress::deflate;
use super::draft::{Batch, Blob, Draft};
use super::error::Error;
use super::frame::{Codec, PayloadSeal, Stored};
use super::reader::{Reader, STEP_MAX, base_step};
use super::record::{BLOB_BYTES_MAX, BlobCodec};
use super::seal::SEAL_OVERHEAD_BYTES;
use super::store::BlobPlace;
use crate::model::{Actor, BlobAddr};

/// How many events one batch may have: far more than the first list of a large cluster.
pub(super) const BATCH_EVENTS_MAX: usize = 65_536;
/// How many bytes of blobs one batch may have. Bound: with the queue it limits the memory that
/// waiting appends can take.
pub(super) const BATCH_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a base may be in bytes to serve as dictionary: it is read for every read of the blob.
const BASE_BYTES_MAX: usize = 1024 * 1024;

/// An event that needs only its position.
pub(super) struct PreparedEvent {
    pub(super) draft: Draft,
    pub(super) actor: BlobAddr,
    pub(super) seal: PayloadSeal,
    pub(super) schema: u16,
    pub(super) stored: Stored,
    pub(super) payload: Vec<u8>,
}

/// A blob that needs only its place.
pub(super) struct PreparedBlob {
    pub(super) addr: BlobAddr,
    pub(super) codec: BlobCodec,
    pub(super) step: u8,
    pub(super) len: u32,
    pub(super) content: Vec<u8>,
}

/// A batch that needs only its position. Blobs that the ledger has are left out.
pub(super) struct Prepared {
    pub(super) blobs: Vec<PreparedBlob>,
    pub(super) events: Vec<PreparedEvent>,
}

/// Prepares the batches of one group.
pub(super) struct Preparer {
    reader: Arc<Reader>,
    /// Blobs of this group.
    pending: HashMap<BlobAddr, Pending>,
}

/// A blob of a group that is not durable yet.
struct Pending {
    step: u8,
    /// What it is stored against.
    base: Option<BlobAddr>,
    /// Its plaintext, unless it is sealed.
    plain: Option<Arc<[u8]>>,
}

impl Preparer {
    pub(super) fn new(reader: Arc<Reader>) -> Self {
        Self { reader, pending: HashMap::new() }
    }

    /// Ends a group: when it became durable its blobs are kept at hand as bases.
    pub(super) fn end_group(&mut self, durable: bool) {
        for (addr, pending) in self.pending.drain() {
            if let Some(plain) = pending.plain.filter(|_| durable) {
                self.reader.remember(addr, plain);
            }
        }
    }

    /// Prepares a batch. When it fails, the group is as if the batch had never been.
    pub(super) fn prepare(&mut self, batch: Batch) -> Result<Prepared, Error> {
        check_limits(&batch)?;
        let mut actors = Vec::new();
        let events = encode(batch.drafts, &mut actors)?;
        // From here on nothing fails.
        let blobs = batch.blobs.into_iter().chain(actors);
        let blobs = blobs.filter_map(|blob| self.blob(&blob)).collect();
        Ok(Prepared { blobs, events })
    }

    /// A blob as it is to be stored; `None` when the ledger has it.
    fn blob(&mut self, blob: &Blob) -> Option<PreparedBlob> {
        let known = self.pending.contains_key(&blob.addr)
            || self.reader.place(blob.addr).is_ok_and(|place| place.is_some());
        if known {
            return None;
        }
        let prepared = if blob.is_sealed() { sealed(blob) } else { self.compressed(blob) };
        let plain = (!blob.is_sealed()).then(|| Arc::from(blob.bytes()));
        let base = match prepared.codec {
            BlobCodec::ZstdBase(base) => Some(base),
            _ => None,
        };
        self.pending.insert(blob.addr, Pending { step: prepared.step, base, plain });
        Some(prepared)
    }

    fn compressed(&self, blob: &Blob) -> PreparedBlob {
        let base = blob.base().and_then(|before| self.usable_base(before));
        let (codec, step, content) = match base {
            Some((base, step, bytes)) => match deflate(blob.bytes(), &bytes) {
                Some(content) => (BlobCodec::ZstdBase(base), step, content),
                None => (BlobCodec::Raw, 0, blob.bytes().to_vec()),
            },
            None => match deflate(blob.bytes(), &[]) {
                Some(content) => (BlobCodec::Zstd, 0, content),
                None => (BlobCodec::Raw, 0, blob.bytes().to_vec()),
            },
        };
        PreparedBlob { addr: blob.addr, codec, step, len: length(blob.bytes().len()), content }
    }

    /// What the version after `before` is to be stored against, with that version's step; `None` =
    /// it is to be stored whole.
    fn usable_base(&self, before: BlobAddr) -> Option<(BlobAddr, u8, Arc<[u8]>)> {
        let (mut base, mut known) = (before, self.known(before)?);
        let step = known.0.checked_add(1).filter(|step| *step <= STEP_MAX)?;
        // The bases of the version before have every step that can be wanted.
        while known.0 > base_step(step) {
            base = known.1.or_else(|| self.reader.base_of(self.place(base)?).ok().flatten())?;
            // It goes down, also where records are damaged.
            known = self.known(base).filter(|next| next.0 < known.0)?;
        }
        let bytes = match self.pending.get(&base) {
            Some(pending) => pending.plain.clone()?,
            None => self.reader.blob(base).ok()?,
        };
        let usable = !bytes.is_empty() && bytes.len() <= BASE_BYTES_MAX;
        usable.then_some((base, step, bytes))
    }

    /// The step of a version, and what it is stored against where that is at hand.
    fn known(&self, addr: BlobAddr) -> Option<(u8, Option<BlobAddr>)> {
        match self.pending.get(&addr) {
            Some(pending) => Some((pending.step, pending.base)),
            None => Some((self.place(addr)?.step, None)),
        }
    }

    fn place(&self, addr: BlobAddr) -> Option<BlobPlace> {
        self.reader.place(addr).ok().flatten()
    }
}

fn sealed(blob: &Blob) -> PreparedBlob {
    let len = length(blob.bytes().len().saturating_sub(SEAL_OVERHEAD_BYTES));
    let content = blob.bytes().to_vec();
    PreparedBlob { addr: blob.addr, codec: BlobCodec::Sealed, step: 0, len, content }
}

/// A length that was checked against a limit far below 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn check_limits(batch: &Batch) -> Result<(), Error> {
    let check = |what, size: usize, limit: usize| {
        let error = Error::TooLarge { what, size: size as u64, limit: limit as u64 };
        if size > limit { Err(error) } else { Ok(()) }
    };
    check("a batch's number of events", batch.drafts.len(), BATCH_EVENTS_MAX)?;
    check("a batch's number of blobs", batch.blobs.len(), BATCH_EVENTS_MAX)?;
    check("a batch's bytes", batch.blobs.iter().map(|b| b.bytes().len()).sum(), BATCH_BYTES_MAX)?;
    batch.blobs.iter().try_for_each(|b| check("a blob's bytes", b.bytes().len(), BLOB_BYTES_MAX))
}

/// Encodes events; adds the blobs of their actors to `actors`.
fn encode(drafts: Vec<Draft>, actors: &mut Vec<Blob>) -> Result<Vec<PreparedEvent>, Error> {
    let mut salts = vec![0; drafts.len() * 16];
    getrandom::fill(&mut salts).map_err(Error::Random)?;
    let (salts, _) = salts.as_chunks::<16>();
    drafts.into_iter().zip(salts).map(|(draft, salt)| encode_one(draft, *salt, actors)).collect()
}

fn encode_one(
    draft: Draft,
    salt: [u8; 16],
    actors: &mut Vec<Blob>,
) -> Result<PreparedEvent, Error> {
    let failed = |source| Error::Encode { kind: draft.event.name(), source: Arc::new(source) };
    let plain = codec::encode_event(&draft.event).map_err(failed)?;
    let actor = if draft.actor == Actor::greffier() {
        BlobAddr::default()
    } else {
        let blob = Blob::plain(codec::encode_actor(&draft.actor).map_err(failed)?, None);
        let addr = blob.addr;
        if actors.last().is_none_or(|last: &Blob| last.addr != addr) {
            actors.push(blob);
        }
        addr
    };
    let seal = PayloadSeal::of(&plain, salt);
    let (codec, payload) = match deflate(&plain, &[]) {
        Some(packed) => (Codec::Zstd, packed),
        None => (Codec::Raw, plain),
    };
    let stored = Stored::Inline { codec, len: length(payload.len()) };
    Ok(PreparedEvent { draft, actor, seal, schema: SCHEMA, stored, payload })
}
