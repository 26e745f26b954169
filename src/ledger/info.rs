//! What a ledger has and takes, for people.

use uuid::Uuid;

use super::reader::Reader;
use super::record::Record;
use super::shared::Counts;
use crate::model::{Digest, Seq, Timestamp};

/// What a ledger has and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its identity.
    pub ledger: Uuid,
    /// The last event.
    pub head: Seq,
    /// The hash of the last event's frame.
    pub head_hash: Digest,
    /// How many events it has.
    pub events: u64,
    /// How many blobs it has.
    pub blobs: u64,
    /// How many segment files it has.
    pub segments: u64,
    /// How many bytes the segments take.
    pub segment_bytes: u64,
    /// How many bytes the index takes; zero when it is not open.
    pub sled_bytes: u64,
    /// Up to where the index has come.
    pub watermark: Seq,
    /// The index failed; a copy in memory answers until the ledger is opened again.
    pub index_replaced: bool,
    /// When the first event was recorded.
    pub oldest: Option<Timestamp>,
    /// The latest recorded time of any event.
    pub newest: Option<Timestamp>,
    /// Tells the ledger's key from others, without telling it.
    pub key_fingerprint: Option<String>,
    /// The first damage that is known.
    pub damage: Option<String>,
    /// Up to which event the last complete check went, and when it ended; `None` = there was none
    /// since the ledger was opened.
    pub checked: Option<(Seq, Timestamp)>,
}

/// What only the index knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) sled_bytes: u64,
    pub(super) watermark: Seq,
    pub(super) index_replaced: bool,
}

impl Info {
    pub(super) fn gather(
        ledger: Uuid,
        reader: &Reader,
        (head, head_hash): (Seq, Digest),
        counts: Counts,
        key: Option<[u8; 8]>,
        sizes: Sizes,
    ) -> Self {
        let segments = reader.segments.all();
        Self {
            ledger,
            head,
            head_hash,
            events: head.0,
            blobs: counts.blobs,
            segments: segments.len() as u64,
            segment_bytes: segments.iter().map(|segment| segment.end()).sum(),
            sled_bytes: sizes.sled_bytes,
            watermark: sizes.watermark,
            index_replaced: sizes.index_replaced,
            oldest: oldest(reader),
            newest: (head > Seq::ZERO).then_some(counts.newest),
            key_fingerprint: key.map(hex::encode),
            damage: reader.segments.damage().map(|damage| damage.to_string()),
            checked: reader.segments.known.now().borrow().checked,
        }
    }
}

/// When the first event was recorded; `None` when there is none or it cannot be read.
fn oldest(reader: &Reader) -> Option<Timestamp> {
    let mut cursor = reader.cursor(Seq(1));
    loop {
        if let Record::Event(event) = cursor.next().ok()??.record {
            return Some(event.envelope.recorded);
        }
    }
}
