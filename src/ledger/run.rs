//! The values in which a store on disk keeps many entries together. Pure: entries in, bytes out.
//!
//! A database page holds few keys and costs space for each, so places of events, places of blobs
//! and the events of a subject are kept some hundreds to a value. Numbers are variable-length
//! (seven bits a byte, least significant first, the high bit says that more follow).
//!
//! ```text
//! events   for each, in order: offset and latest time, each less that of the event before
//! subject  for each event: its number less that of the one before
//! blobs    for each, in order of addresses: first 16 bytes of the address, segment, offset, step
//! filter   number of blobs(4) bucket bits(1), then the bits of a Bloom filter
//! ```
//!
//! Nothing panics on damaged values: decoding gives `None`, and the store is set aside.

use super::number::{put_number, take_number};
use super::store::{BlobPlace, EventEntry, Position};
use crate::model::{BlobAddr, Seq, Timestamp};

/// How many events one value holds.
pub(super) const CHUNK_EVENTS: usize = 256;
/// How many blobs one value holds on average, at most.
const BUCKET_BLOBS: usize = 256;
/// How much of an address is kept, in bytes: that two share so much is not to be expected, and a
/// record that is not the wanted one is told by the whole address in it.
const ADDR_BYTES: usize = 16;
/// Bits for each blob and probes for each look-up: one look-up in a hundred is in vain.
const FILTER_BITS_PER_BLOB: usize = 10;
const FILTER_PROBES: usize = 7;
const FILTER_HEADER_BYTES: usize = 5;

/// Places and times of consecutive events.
pub(super) fn encode_events(events: &[(u64, Timestamp)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(events.len() * 8);
    let mut before = (0_u64, 0_i64);
    for (offset, time) in events {
        // Wrapping: the first time may lie before 1970, and offsets begin anew with each segment;
        // the differences still come back.
        put_number(&mut out, offset.wrapping_sub(before.0));
        put_number(&mut out, time.0.wrapping_sub(before.1).cast_unsigned());
        before = (*offset, time.0);
    }
    out
}

/// The entry of the event at `index` in such a value; `None` when it has no such event.
pub(super) fn decode_event(mut bytes: &[u8], index: u64) -> Option<EventEntry> {
    let (mut offset, mut time) = (0_u64, 0_i64);
    for at in 0..=index {
        offset = offset.wrapping_add(take_number(&mut bytes)?);
        time = time.wrapping_add(take_number(&mut bytes)?.cast_signed());
        if at == index {
            return Some(EventEntry { offset, time_max: Timestamp(time), frame: Vec::new() });
        }
    }
    None
}

/// Events in ascending order.
pub(super) fn encode_seqs(seqs: &[Seq]) -> Vec<u8> {
    let mut out = Vec::with_capacity(seqs.len() * 2 + 4);
    let mut before = 0;
    for seq in seqs {
        put_number(&mut out, seq.0.wrapping_sub(before));
        before = seq.0;
    }
    out
}

/// The events in such a value; `None` when it is damaged.
pub(super) fn decode_seqs(mut bytes: &[u8]) -> Option<Vec<Seq>> {
    let (mut seqs, mut before) = (Vec::new(), 0_u64);
    while !bytes.is_empty() {
        before = before.wrapping_add(take_number(&mut bytes)?);
        seqs.push(Seq(before));
    }
    Some(seqs)
}

/// Which blobs a table of them has, and how the table is divided.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    bucket_bits: u8,
    bits: Vec<u8>,
}

impl Filter {
    /// The filter of a table with these blobs.
    pub(super) fn of(addrs: impl ExactSizeIterator<Item = BlobAddr>) -> Self {
        let count = addrs.len();
        let buckets = count.div_ceil(BUCKET_BLOBS).next_power_of_two().min(256);
        let bucket_bits = u8::try_from(buckets.trailing_zeros()).unwrap_or(8);
        let mut bits = vec![0; (count * FILTER_BITS_PER_BLOB).div_ceil(8).max(1)];
        for addr in addrs {
            for probe in probes(&addr, bits.len()) {
                bits[probe / 8] |= 1 << (probe % 8);
            }
        }
        Self { bucket_bits, bits }
    }

    /// Whether the table may have this blob; when it has, the answer is yes.
    pub(super) fn may_have(&self, addr: BlobAddr) -> bool {
        probes(&addr, self.bits.len()).all(|probe| self.bits[probe / 8] & (1 << (probe % 8)) != 0)
    }

    /// The bucket of the table that a blob is in.
    pub(super) fn bucket(&self, addr: BlobAddr) -> u8 {
        let [first, ..] = addr.0;
        u8::try_from(u16::from(first) >> (8 - self.bucket_bits)).unwrap_or(0)
    }

    pub(super) fn encode(&self, count: usize) -> Vec<u8> {
        let mut out = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        out.push(self.bucket_bits);
        out.extend_from_slice(&self.bits);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, bits) = bytes.split_at_checked(FILTER_HEADER_BYTES)?;
        let bucket_bits = *header.last().filter(|bits| **bits <= 8)?;
        (!bits.is_empty()).then(|| Self { bucket_bits, bits: bits.to_vec() })
    }
}

/// The bits of a filter that stand for a blob. Addresses are hashes, so their bytes serve.
fn probes(addr: &BlobAddr, filter_bytes: usize) -> impl Iterator<Item = usize> {
    let (words, _) = addr.0.as_chunks::<4>();
    let bits = filter_bytes * 8;
    words.iter().take(FILTER_PROBES).map(move |word| u32::from_be_bytes(*word) as usize % bits)
}

/// Places of blobs, which must be in order of their addresses.
pub(super) fn encode_blobs<'a>(
    blobs: impl IntoIterator<Item = &'a (BlobAddr, BlobPlace)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for (addr, place) in blobs {
        out.extend_from_slice(&addr.0[..ADDR_BYTES]);
        put_number(&mut out, place.at.segment.0);
        put_number(&mut out, place.at.offset);
        out.push(place.step);
    }
    out
}

/// The place of a blob in such a value: `None` when the value is damaged, `Some(None)` when it
/// does not have the blob.
pub(super) fn decode_blob(mut bytes: &[u8], addr: BlobAddr) -> Option<Option<BlobPlace>> {
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_at_checked(ADDR_BYTES)?;
        if *prefix > addr.0[..ADDR_BYTES] {
            return Some(None);
        }
        bytes = rest;
        let segment = Seq(take_number(&mut bytes)?);
        let offset = take_number(&mut bytes)?;
        let (step, rest) = bytes.split_first()?;
        bytes = rest;
        if *prefix == addr.0[..ADDR_BYTES] {
            let at = Position { segment, offset };
            return Some(Some(BlobPlace { at, step: *step }));
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_back(events in prop::collection::vec((any::<u64>(), any::<i64>()), 1..50)) {
            let events: Vec<_> = events.into_iter().map(|(o, t)| (o, Timestamp(t))).collect();
            let bytes = encode_events(&events);
            for (index, (offset, time_max)) in (0..).zip(&events) {
                let entry = decode_event(&bytes, index).unwrap();
                prop_assert_eq!((entry.offset, entry.time_max), (*offset, *time_max));
            }
            prop_assert!(decode_event(&bytes, events.len() as u64).is_none());
        }

        #[test]
        fn events_of_a_subject_come_back(seqs in prop::collection::btree_set(any::<u64>(), 0..50)) {
            let seqs: Vec<Seq> = seqs.into_iter().map(Seq).collect();
            prop_assert_eq!(decode_seqs(&encode_seqs(&seqs)), Some(seqs));
        }

        #[test]
        fn blobs_come_back_and_filters_never_deny_them(
            blobs in prop::collection::btree_map(any::<[u8; 32]>(), (any::<u64>(), any::<u64>(), any::<u8>()), 1..600),
            other in any::<[u8; 32]>(),
        ) {
            let blobs: Vec<_> = blobs.into_iter().map(|(addr, (segment, offset, step))| {
                (BlobAddr(addr), BlobPlace { at: Position { segment: Seq(segment), offset }, step })
            }).collect();
            let filter = Filter::of(blobs.iter().map(|(addr, _)| *addr));
            let filter = Filter::decode(&filter.encode(blobs.len())).unwrap();
            let bytes = encode_blobs(&blobs);
            for (addr, place) in &blobs {
                prop_assert!(filter.may_have(*addr));
                prop_assert_eq!(decode_blob(&bytes, *addr), Some(Some(*place)));
            }
            let known = blobs.iter().any(|(addr, _)| addr.0[..ADDR_BYTES] == other[..ADDR_BYTES]);
            prop_assert_eq!(decode_blob(&bytes, BlobAddr(other)).unwrap().is_some(), known);
        }

        #[test]
        fn arbitrary_values_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_event(&bytes, 3);
            let _ = decode_seqs(&bytes);
            let _ = decode_blob(&bytes, BlobAddr([1; 32]));
            if let Some(filter) = Filter::decode(&bytes) {
                let _ = (filter.may_have(BlobAddr([1; 32])), filter.bucket(BlobAddr([255; 32])));
            }
        }
    }

    #[test]
    fn filters_deny_most_of_what_is_not_there() {
        let addr = |n: u32| BlobAddr::of(&n.to_be_bytes());
        let filter = Filter::of((0..5000).map(addr));
        let wrong = (10_000..20_000).filter(|n| filter.may_have(addr(*n))).count();
        assert!(wrong < 300, "{wrong} of 10 000");
    }
}
