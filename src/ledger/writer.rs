//! The one writer: drains its queue, links a group of batches into the chain, appends it to the
//! segment log with one write and one `fdatasync`, and only then answers.
//!
//! Ordering: sequence numbers are given, published and acknowledged in one order.
//! Durability: an answer is sent only after `fdatasync` returned. A failed `fdatasync` is never
//! tried again, because the kernel may have dropped the pages that it could not write: the writer
//! is poisoned until the ledger is opened again. Damage that readers meet behind it does not stop
//! it: what it links to is the end, which it knows.
//! Bound: a group ends at [`GROUP_BYTES_MAX`]; the queue is bounded by its maker.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::disk::Disk;
use super::draft::{Batch, Draft};
use super::error::Error;
use super::frame::{CAUSES_MAX, Envelope, Recorded, valid_at};
use super::index::{Group, Written};
use super::prepare::{Packing, Prepared, PreparedBlob, PreparedEvent, Preparer};
use super::record::{
    BLOB_OVERHEAD_BYTES, BlobCodec, BlobRecord, Footer, HEADER_BYTES, Header, put_blob, put_event,
    put_footer,
};
use super::segment::Segment;
use super::shared::{Head, Shared};
use super::store::{BlobPlace, EventEntry, Position, Watermark};
use crate::model::{BlobAddr, Digest, Seq, Timestamp};

/// Beyond this many bytes of drafts and blobs a group takes no further batch: a larger group
/// gains nothing per event and makes the first waiter wait longer.
pub(super) const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a draft is taken to weigh when a group is measured, in bytes.
const DRAFT_BYTES_GUESS: usize = 1024;

/// A batch that waits to be appended.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) answer: Answer,
}

/// Where the outcome of an append goes.
type Answer = oneshot::Sender<Result<Vec<Seq>, Error>>;

/// The end of the chain, and what the open segment has.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChainEnd {
    pub(super) seq: Seq,
    pub(super) hash: Digest,
    pub(super) time_max: Timestamp,
    /// Events in the segment that is written to.
    pub(super) events: u64,
    /// Blobs in the segment that is written to.
    pub(super) blobs: u64,
}

/// What the writer needs beside the shared state.
pub(super) struct Limits {
    pub(super) segment_bytes_max: u64,
    pub(super) free_bytes_reserve: u64,
}

/// A group on its way to the disk.
struct Linked {
    bytes: Vec<u8>,
    end: ChainEnd,
    events: Vec<Written>,
    blobs: Vec<(BlobAddr, BlobPlace)>,
    /// Where the blobs of the group are.
    places: HashMap<BlobAddr, Position>,
    answers: Vec<(Answer, Vec<Seq>)>,
}

/// The writer; owned by its thread.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    index: SyncSender<Group>,
    preparer: Preparer,
    limits: Limits,
    segment: Arc<Segment>,
    end: ChainEnd,
    /// Events that must come before any other, and had no room yet.
    owed: Vec<Draft>,
    poisoned: Option<Error>,
}

impl Writer {
    /// A writer that goes on at `end`, in `segment`. `owed` is what it appends before anything
    /// else, as soon as it can.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        index: SyncSender<Group>,
        limits: Limits,
        (segment, end): (Arc<Segment>, ChainEnd),
        owed: Vec<Draft>,
    ) -> Self {
        let preparer = Preparer::new(shared.reader.clone());
        Self { disk, shared, index, preparer, limits, segment, end, owed, poisoned: None }
    }

    /// The body of the writer's thread: works until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut weight = weigh(&first.batch);
            let mut group = vec![first];
            while weight < GROUP_BYTES_MAX {
                let Ok(next) = queue.try_recv() else { break };
                weight += weigh(&next.batch);
                group.push(next);
            }
            self.commit(group);
        }
    }

    /// Appends what is owed, if anything is.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let (answer, mut answered) = oneshot::channel();
        // An empty batch: `commit` puts what is owed before it.
        self.commit(vec![Request { batch: Batch::default(), answer }]);
        answered.try_recv().unwrap_or(Err(Error::Closed)).map(|_| ())
    }

    fn commit(&mut self, requests: Vec<Request>) {
        if let Err(error) = self.ready() {
            for request in requests {
                // A waiter that is gone needs no answer, here and below.
                let _gone = request.answer.send(Err(error.clone()));
            }
            return;
        }
        let start = self.segment.end();
        let mut linked = self.link(requests, start);
        let written = self.write(&linked.bytes, start);
        self.preparer.end_group(written.is_ok());
        match written {
            Ok(()) => {
                let group = self.publish(&mut linked, start);
                for (answer, seqs) in linked.answers {
                    let _gone = answer.send(Ok(seqs));
                }
                // The index ends after the writer; if it died, queries say so.
                let _ended = self.index.send(group);
                self.rotate_when_full();
            }
            Err(error) => {
                for (answer, _) in linked.answers {
                    let _gone = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Makes sure that there is an open segment and nothing forbids writing.
    fn ready(&mut self) -> Result<(), Error> {
        if let Some(poisoned) = &self.poisoned {
            return Err(poisoned.clone());
        }
        if self.segment.footer().is_some() {
            self.open_next_segment()?;
        }
        Ok(())
    }

    fn link(&mut self, requests: Vec<Request>, start: u64) -> Linked {
        let mut linked = Linked {
            bytes: Vec::new(),
            end: self.end,
            events: Vec::new(),
            blobs: Vec::new(),
            places: HashMap::new(),
            answers: Vec::with_capacity(requests.len()),
        };
        if !self.owed.is_empty() {
            // What is owed is greffier's own and always within the limits.
            if let Ok(prepared) = self.preparer.prepare(Batch::from(self.owed.clone())) {
                self.link_batch(&mut linked, prepared, start);
            }
        }
        for request in requests {
            match self.preparer.prepare(request.batch) {
                Ok(prepared) => {
                    let seqs = self.link_batch(&mut linked, prepared, start);
                    linked.answers.push((request.answer, seqs));
                }
                Err(error) => {
                    let _gone = request.answer.send(Err(error));
                }
            }
        }
        linked
    }

    fn link_batch(&self, linked: &mut Linked, prepared: Prepared, start: u64) -> Vec<Seq> {
        let segment = self.segment.header.first;
        for blob in &prepared.blobs {
            let at = Position { segment, offset: start + linked.bytes.len() as u64 };
            put_prepared(linked, blob);
            linked.places.insert(blob.addr, at);
            linked.blobs.push((blob.addr, BlobPlace { at, step: blob.step }));
            linked.end.blobs += 1;
        }
        let cluster = self.shared.cluster();
        let link = |event| {
            let offset = start + linked.bytes.len() as u64;
            let written = link_event(&mut linked.bytes, &mut linked.end, event, cluster, offset);
            let seq = written.recorded.seq();
            linked.events.push(written);
            seq
        };
        prepared.events.into_iter().map(link).collect()
    }

    /// Writes and syncs `bytes` at `start`, the end of the open segment.
    fn write(&mut self, bytes: &[u8], start: u64) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.check_reserve(bytes.len() as u64)?;
        if let Err(error) = self.segment.file.write_at(bytes, start) {
            return Err(self.mend(error, start));
        }
        self.sync("fdatasync of the open segment")?;
        self.segment.set_end(start + bytes.len() as u64);
        Ok(())
    }

    fn check_reserve(&self, bytes: u64) -> Result<(), Error> {
        let free = self.disk.free_bytes();
        let free = free.map_err(|error| Error::io("measure", self.name(), error))?;
        let reserve = self.limits.free_bytes_reserve;
        if free < reserve.saturating_add(bytes) {
            Err(Error::Full { free, reserve })
        } else {
            Ok(())
        }
    }

    /// After a failed write: removes the part of the group that may have been written. None of it
    /// was acknowledged.
    fn mend(&mut self, error: io::Error, start: u64) -> Error {
        if let Err(cut) = self.segment.file.cut(start) {
            return self.poison("removing a half-written group", cut);
        }
        if error.kind() == io::ErrorKind::StorageFull
            || error.kind() == io::ErrorKind::QuotaExceeded
        {
            let free = self.disk.free_bytes().unwrap_or(0);
            return Error::Full { free, reserve: self.limits.free_bytes_reserve };
        }
        Error::io("write", self.name(), error)
    }

    fn sync(&mut self, what: &str) -> Result<(), Error> {
        self.segment.file.sync().map_err(|error| self.poison(what, error))
    }

    fn poison(&mut self, what: &str, source: io::Error) -> Error {
        tracing::error!(error = %source, file = %self.name(), "{what} failed; nothing more is written");
        let error = Error::Poisoned { what: format!("{what} failed"), source: Arc::new(source) };
        self.poisoned.get_or_insert(error).clone()
    }

    fn name(&self) -> String {
        self.disk.describe(&self.segment.name)
    }

    /// Lets everyone see a group that is durable; returns it for the index.
    fn publish(&mut self, linked: &mut Linked, start: u64) -> Group {
        self.owed.clear();
        self.end = linked.end;
        let end = Position {
            segment: self.segment.header.first,
            offset: start + linked.bytes.len() as u64,
        };
        let watermark = Watermark { seq: self.end.seq, hash: self.end.hash, end };
        let blobs = std::mem::take(&mut linked.blobs);
        let events = std::mem::take(&mut linked.events);
        self.shared.index.expect_blobs(&blobs);
        let head = Head { seq: self.end.seq, hash: self.end.hash, closed: false };
        let weights = events.iter().map(|written| {
            (written.recorded.clone(), written.recorded.envelope.payload.len as usize)
        });
        self.shared.publish(head, weights, self.end.time_max, blobs.len() as u64);
        Group { events, blobs, watermark }
    }

    /// Seals the open segment when it is full. Failing to is no failure of any append: it is
    /// tried again after the next one.
    fn rotate_when_full(&mut self) {
        // A segment is named by its first event, so one without any cannot be followed.
        if self.segment.end() < self.limits.segment_bytes_max || self.end.events == 0 {
            return;
        }
        let outcome = self.seal_segment().and_then(|()| self.open_next_segment());
        if let Err(error) = outcome {
            tracing::warn!(%error, "the full segment cannot be sealed yet");
        }
    }

    fn seal_segment(&mut self) -> Result<(), Error> {
        let footer = Footer {
            last: self.end.seq,
            hash: self.end.hash,
            events: self.end.events,
            blobs: self.end.blobs,
            time_max: self.end.time_max,
        };
        let mut bytes = Vec::new();
        put_footer(&mut bytes, &footer);
        self.write(&bytes, self.segment.end())?;
        self.segment.set_footer(footer);
        Ok(())
    }

    fn open_next_segment(&mut self) -> Result<(), Error> {
        self.check_reserve(HEADER_BYTES as u64)?;
        let header = Header {
            first: self.end.seq.next(),
            prev: self.end.hash,
            ..self.segment.header.clone()
        };
        let segment = create_segment(self.disk.as_ref(), header)?;
        self.shared.reader.segments.push(segment.clone());
        self.segment = segment;
        (self.end.events, self.end.blobs) = (0, 0);
        Ok(())
    }
}

impl Drop for Writer {
    /// However the writer ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.shared.publish_closed();
    }
}

/// Makes a segment file with `header`, durable with its name.
pub(super) fn create_segment(disk: &dyn Disk, header: Header) -> Result<Arc<Segment>, Error> {
    let name = Segment::name_of(header.first);
    let fill = |file: &dyn super::disk::File| {
        file.write_at(&header.encode(), 0)?;
        file.sync()?;
        disk.sync_names()
    };
    let created = disk.create(&name).and_then(|file| {
        let filled = fill(file.as_ref());
        if filled.is_err() {
            // Nothing was recorded in it; the next try needs the name.
            let _left_over = disk.remove(&name);
        }
        filled.map(|()| file)
    });
    let file = created.map_err(|error| Error::io("create", disk.describe(&name), error))?;
    Ok(Arc::new(Segment::new(name, header, file, HEADER_BYTES as u64)))
}

fn weigh(batch: &Batch) -> usize {
    let blobs = batch.blobs.iter().map(|blob| blob.bytes().len() + BLOB_OVERHEAD_BYTES);
    blobs.sum::<usize>() + batch.drafts.len() * DRAFT_BYTES_GUESS
}

fn put_prepared(linked: &mut Linked, blob: &PreparedBlob) {
    let PreparedBlob { addr, packing, step, len, content } = blob;
    let codec = match packing {
        Packing::Alone(codec) => *codec,
        Packing::Against(base, at) => {
            let at = at.or_else(|| linked.places.get(base).copied());
            BlobCodec::ZstdBase(at.expect("a base is durable or was linked before"))
        }
    };
    let record = BlobRecord { addr: *addr, codec, step: *step, len: *len, content };
    put_blob(&mut linked.bytes, &record);
}

/// Gives an event its position, puts its record into `out` and moves the end of the chain.
fn link_event(
    out: &mut Vec<u8>,
    end: &mut ChainEnd,
    event: PreparedEvent,
    cluster: Uuid,
    offset: u64,
) -> Written {
    let PreparedEvent { draft, actor, seal, schema, stored, payload } = event;
    let recorded = Timestamp::now();
    let id = Uuid::now_v7();
    let mut causes = draft.causes;
    causes.truncate(CAUSES_MAX);
    let mut envelope = Envelope {
        seq: end.seq.next(),
        id,
        cluster,
        correlation: if draft.correlation.is_nil() { id } else { draft.correlation },
        causes,
        actor,
        recorded,
        valid: draft.valid.unwrap_or(valid_at(recorded)),
        prev: end.hash,
        hash: Digest::default(),
        kind: draft.event.code(),
        schema,
        payload: seal,
        stored,
    };
    let frame = envelope.seal().expect("the causes were truncated to what a frame can name");
    put_event(out, &frame, stored, &payload);
    *end = ChainEnd {
        seq: envelope.seq,
        hash: envelope.hash,
        time_max: end.time_max.max(recorded),
        events: end.events + 1,
        blobs: end.blobs,
    };
    let entry = EventEntry { offset, time_max: end.time_max, frame };
    let recorded = Recorded { envelope, actor: draft.actor, event: Some(draft.event) };
    Written { recorded: Arc::new(recorded), entry }
}
