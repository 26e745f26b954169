//! The contract of a store: the place of every event and blob in the segment log, and the
//! indexes by object, application, commit, topic and time.
//!
//! A store holds nothing that the segments do not hold. It follows them in order, knows up to
//! where it has come (its [`Watermark`]), and may be dropped and rebuilt at any time. What it must
//! promise:
//!
//! - [`Store::apply`] is all or nothing, watermark included, and repeating it changes nothing.
//! - After `apply` returns, every read shows it.
//! - After [`Store::sync`] returns, what was applied before survives power loss. Of what came
//!   later the watermark tells, after a crash, what did.
//! - Nothing is ever removed.
//!
//! It does not promise that its content is undamaged: readers check what they find against the
//! segments.

use sha2::{Digest as _, Sha256};

use super::subjects::{Subjects, Topic};
use crate::model::{BlobAddr, Digest, ObjectKey, Seq, Timestamp};

/// Why a store cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine reported an error.
    #[error("the index {operation} failed")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine panicked, as sled does on damaged files.
    #[error("the index {operation} panicked: {message}")]
    Panicked {
        /// What was tried.
        operation: &'static str,
        /// What the panic said.
        message: String,
    },
    /// An entry is not in the form that it was written in, or contradicts the segments.
    #[error("the index entry for {0} is damaged")]
    Damaged(String),
    /// The store was closed.
    #[error("the index is closed")]
    Closed,
}

/// What finds an event: the kind of subject and the first half of the SHA-256 of its text. The
/// other half would double the index; that two texts share this half is not to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey(pub [u8; 17]);

/// How many digits of a commit's id find it.
pub const COMMIT_PREFIX: usize = 7;

impl SubjectKey {
    fn new(tag: u8, text: &str) -> Self {
        let mut key = [tag; 17];
        key[1..].copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
        Self(key)
    }

    /// The key of an object.
    #[must_use]
    pub fn object(key: &ObjectKey) -> Self {
        Self::new(b'o', &key.to_string())
    }

    /// The key of an application.
    #[must_use]
    pub fn app(app: &str) -> Self {
        Self::new(b'a', app)
    }

    /// The key of a commit.
    #[must_use]
    pub fn commit(commit: &str) -> Self {
        Self::new(b'c', commit)
    }

    /// The key of all commits whose ids begin with these digits, of which there must be
    /// [`COMMIT_PREFIX`] or more.
    #[must_use]
    pub fn commit_prefix(digits: &str) -> Option<Self> {
        digits.get(..COMMIT_PREFIX).map(|digits| Self::new(b'p', digits))
    }

    /// The key of a topic.
    #[must_use]
    pub fn topic(topic: &Topic) -> Self {
        match topic {
            Topic::Marks => Self::new(b'm', ""),
            Topic::Watching => Self::new(b'w', ""),
            Topic::Identity => Self::new(b'x', ""),
            Topic::Kinds => Self::new(b'k', ""),
            Topic::Kind(kind) => Self::new(b'k', &kind.to_string()),
            Topic::Ref(name) => Self::new(b'r', name),
            Topic::Written(key) => Self::new(b'd', &key.to_string()),
            Topic::WrittenIn(namespace) => Self::new(b'n', namespace),
            Topic::Intent(seq) => Self::new(b'i', &seq.0.to_string()),
            Topic::Shown(seq) => Self::new(b's', &seq.0.to_string()),
            Topic::Recoveries => Self::new(b'v', ""),
            Topic::Brought(uid) => Self::new(b'v', uid),
            Topic::Image(name) => Self::new(b'g', name),
        }
    }

    /// The keys of everything that an event is about, each once.
    #[must_use]
    pub fn of(subjects: &Subjects) -> Vec<Self> {
        let objects = subjects.objects.iter().map(Self::object);
        let apps = subjects.apps.iter().map(|app| Self::app(app.as_str()));
        let commits = subjects.commits.iter().map(|commit| Self::commit(commit.as_str()));
        let prefixes =
            subjects.commits.iter().filter_map(|commit| Self::commit_prefix(commit.as_str()));
        let topics = subjects.topics.iter().map(Self::topic);
        let mut keys: Vec<Self> =
            objects.chain(apps).chain(commits).chain(prefixes).chain(topics).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// A position in the segment log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The first sequence number of the segment.
    pub segment: Seq,
    /// The offset in its file, in bytes.
    pub offset: u64,
}

/// Where a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPlace {
    /// Its record.
    pub at: Position,
    /// How many versions stand between it and the last that was stored whole.
    pub step: u8,
}

/// What a store keeps of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEntry {
    /// The offset of its record in the segment that its sequence number belongs to.
    pub offset: u64,
    /// The latest recorded time of any event up to this one: clocks may jump back, this does not.
    pub time_max: Timestamp,
    /// Its frame, kept for salvage; a store may drop it.
    pub frame: Vec<u8>,
}

/// Up to where a store has followed the segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The last event.
    pub seq: Seq,
    /// The hash of its frame.
    pub hash: Digest,
    /// The end of the last record: events and blobs before it are applied.
    pub end: Position,
}

/// What is applied at once.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Events with what finds them, in order.
    pub events: Vec<(Seq, EventEntry, Vec<SubjectKey>)>,
    /// Blobs.
    pub blobs: Vec<(BlobAddr, BlobPlace)>,
    /// The watermark after them.
    pub watermark: Watermark,
}

impl Changes {
    /// What is not already covered by `watermark`.
    pub(super) fn after(&self, watermark: &Watermark) -> Self {
        let new_event = |(seq, _, _): &&(Seq, EventEntry, Vec<SubjectKey>)| *seq > watermark.seq;
        let new_blob = |(_, place): &&(BlobAddr, BlobPlace)| place.at >= watermark.end;
        Self {
            events: self.events.iter().filter(new_event).cloned().collect(),
            blobs: self.blobs.iter().filter(new_blob).copied().collect(),
            watermark: self.watermark,
        }
    }
}

/// A store; see the module's text for what it promises.
pub trait Store: Send + Sync {
    /// Applies `changes`, all or nothing.
    ///
    /// # Errors
    /// When the engine fails; the store is then not to be used further.
    fn apply(&self, changes: &Changes) -> Result<(), Error>;
    /// Hands over to the engine what several calls of [`Store::apply`] have left for it, all or
    /// nothing. Readers find what was applied without it.
    ///
    /// # Errors
    /// When the engine fails; the store is then not to be used further.
    fn hand_over(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Up to where the store has come.
    ///
    /// # Errors
    /// When the engine fails or the entry is damaged.
    fn watermark(&self) -> Result<Watermark, Error>;
    /// The entry of an event.
    ///
    /// # Errors
    /// When the engine fails or the entry is damaged.
    fn event(&self, seq: Seq) -> Result<Option<EventEntry>, Error>;
    /// Where a blob is.
    ///
    /// # Errors
    /// When the engine fails or the entry is damaged.
    fn blob(&self, addr: BlobAddr) -> Result<Option<BlobPlace>, Error>;
    /// The events after `after` that `key` finds, in order, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails or an entry is damaged.
    fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Result<Vec<Seq>, Error>;
    /// The events before `before` that `key` finds, the last one first, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails or an entry is damaged.
    fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Result<Vec<Seq>, Error>;
    /// Makes what was applied survive power loss, as far as the engine can.
    ///
    /// # Errors
    /// When the engine fails.
    fn sync(&self) -> Result<(), Error>;
    /// How many bytes it takes on disk.
    fn bytes_on_disk(&self) -> u64;
    /// Lets go of its files; every later call fails.
    fn close(&self) {}

    /// The last event that was recorded at or before `time`; zero when none was. Where a clock
    /// jumped back, events recorded after the jump count from the time before it.
    ///
    /// # Errors
    /// When the engine fails or an entry is damaged or missing.
    fn at_time(&self, time: Timestamp) -> Result<Seq, Error> {
        // Invariant: every event up to `low` was recorded by then, none after `high` was.
        let (mut low, mut high) = (0, self.watermark()?.seq.0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let entry = self.event(Seq(middle))?;
            let entry = entry.ok_or_else(|| Error::Damaged(format!("event {middle}")))?;
            if entry.time_max <= time { low = middle } else { high = middle - 1 }
        }
        Ok(Seq(low))
    }
}
