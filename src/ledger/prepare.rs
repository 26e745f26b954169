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
use super::store::{BlobPlace, Position};
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

/// How a blob is to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Packing {
    /// Without another blob.
    Alone(BlobCodec),
    /// Against a blob that is durable, or whose place the group decides.
    Against(BlobAddr, Option<Position>),
}

/// A blob that needs only its place.
pub(super) struct PreparedBlob {
    pub(super) addr: BlobAddr,
    pub(super) packing: Packing,
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
        let base = match prepared.packing {
            Packing::Against(base, _) => Some(base),
            Packing::Alone(_) => None,
        };
        self.pending.insert(blob.addr, Pending { step: prepared.step, base, plain });
        Some(prepared)
    }

    fn compressed(&self, blob: &Blob) -> PreparedBlob {
        let base = blob.base().and_then(|before| self.usable_base(before));
        let raw = || (Packing::Alone(BlobCodec::Raw), 0, blob.bytes().to_vec());
        let (packing, step, content) = match base {
            Some(base) => match deflate(blob.bytes(), &base.bytes) {
                Some(content) => (Packing::Against(base.addr, base.at), base.step, content),
                None => raw(),
            },
            None => match deflate(blob.bytes(), &[]) {
                Some(content) => (Packing::Alone(BlobCodec::Zstd), 0, content),
                None => raw(),
            },
        };
        PreparedBlob { addr: blob.addr, packing, step, len: length(blob.bytes().len()), content }
    }

    /// What the version after `before` is to be stored against; `None` = it is to be stored whole.
    fn usable_base(&self, before: BlobAddr) -> Option<Base> {
        let (mut addr, mut known) = (before, self.known(before)?);
        let step = known.step.checked_add(1).filter(|step| *step <= STEP_MAX)?;
        // The bases of the version before have every step that can be wanted.
        while known.step > base_step(step) {
            let (next, its) = self.base_of(&known)?;
            // It goes down, also where records are damaged.
            (addr, known) = (next, Some(its).filter(|its| its.step < known.step)?);
        }
        let bytes = match self.pending.get(&addr) {
            Some(pending) => pending.plain.clone()?,
            None => self.reader.blob(addr).ok()?,
        };
        let usable = !bytes.is_empty() && bytes.len() <= BASE_BYTES_MAX;
        usable.then_some(Base { addr, at: known.at, step, bytes })
    }

    fn known(&self, addr: BlobAddr) -> Option<Known> {
        match self.pending.get(&addr) {
            Some(pending) => Some(Known { step: pending.step, at: None, base: pending.base }),
            None => self.reader.place(addr).ok().flatten().map(Known::durable),
        }
    }

    fn base_of(&self, known: &Known) -> Option<(BlobAddr, Known)> {
        match known.at {
            Some(at) => {
                let (addr, place) = self.reader.base_of(at).ok().flatten()?;
                Some((addr, Known::durable(place)))
            }
            None => known.base.and_then(|base| Some((base, self.known(base)?))),
        }
    }
}

/// What a version is to be stored against.
struct Base {
    addr: BlobAddr,
    /// Where it is; `None` = in this group.
    at: Option<Position>,
    /// The step of the version that is stored against it.
    step: u8,
    bytes: Arc<[u8]>,
}

/// A version that may serve as base.
struct Known {
    step: u8,
    /// Where it is; `None` = in this group.
    at: Option<Position>,
    /// What it is stored against, where that is at hand.
    base: Option<BlobAddr>,
}

impl Known {
    fn durable(place: BlobPlace) -> Self {
        Self { step: place.step, at: Some(place.at), base: None }
    }
}

fn sealed(blob: &Blob) -> PreparedBlob {
    let len = length(blob.bytes().len().saturating_sub(SEAL_OVERHEAD_BYTES));
    let content = blob.bytes().to_vec();
    let packing = Packing::Alone(BlobCodec::Sealed);
    PreparedBlob { addr: blob.addr, packing, step: 0, len, content }
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
