//! What the handle finds: events by what they are about and by time, and snapshots.

use super::Ledger;
use crate::ledger::error::Error;
use crate::ledger::snapshot;
use crate::ledger::store::SubjectKey;
#[cfg(test)]
use crate::model::BlobAddr;
use crate::model::{AppName, CommitId, Digest, ObjectKey, Seq, Timestamp};

impl Ledger {
    /// What a blob is stored against, the nearest first.
    #[cfg(test)]
    pub(crate) fn bases_of(&self, addr: BlobAddr) -> Vec<BlobAddr> {
        let reader = &self.inner.shared.reader;
        let base = |addr: &BlobAddr| {
            let base = reader.base_of(reader.place(*addr).unwrap()?.at).unwrap()?;
            Some(base.0)
        };
        std::iter::successors(Some(addr), base).skip(1).collect()
    }

    /// The events about an object after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_object(&self, key: &ObjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.find(SubjectKey::object(key), after, limit)
    }

    /// The events about an application after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_app(&self, app: &AppName, after: Seq, limit: usize) -> Vec<Seq> {
        self.find(SubjectKey::app(app.as_str()), after, limit)
    }

    /// The events about a commit after `after`, in order, at most `limit`.
    #[must_use]
    pub fn by_commit(&self, commit: &CommitId, after: Seq, limit: usize) -> Vec<Seq> {
        self.find(SubjectKey::commit(commit.as_str()), after, limit)
    }

    /// The events after `after` that `key` finds, in order, at most `limit`.
    #[must_use]
    pub fn find(&self, key: SubjectKey, after: Seq, limit: usize) -> Vec<Seq> {
        self.inner.shared.index.find(self.head(), key, after, limit)
    }

    /// The events before `before` that `key` finds, the last one first, at most `limit`.
    #[must_use]
    pub fn find_before(&self, key: SubjectKey, before: Seq, limit: usize) -> Vec<Seq> {
        let before = before.min(self.head().next());
        self.inner.shared.index.find_before(key, before, limit)
    }

    /// The last event that was recorded at or before `time`; zero when none was. Where the clock
    /// jumped back, later events count from the time before the jump.
    #[must_use]
    pub fn at_time(&self, time: Timestamp) -> Seq {
        self.inner.shared.index.at_time(self.head(), time)
    }

    /// Saves a projection's value as of `seq`; a ledger in memory keeps none.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save_snapshot(
        &self,
        name: &str,
        version: u32,
        at: (Seq, Digest),
        bytes: &[u8],
    ) -> Result<(), Error> {
        let Some(dir) = &self.inner.snapshots else { return Ok(()) };
        snapshot::save(dir, name, version, at.0, at.1, bytes)
    }

    /// The newest snapshot at or before `last` that is undamaged and of this chain, if there is
    /// one.
    #[must_use]
    pub fn load_snapshot(
        &self,
        name: &str,
        version: u32,
        last: Seq,
    ) -> Option<(Seq, Digest, Vec<u8>)> {
        let dir = self.inner.snapshots.as_ref()?;
        let in_chain = |seq, hash| seq <= last && self.contains(seq, hash);
        snapshot::load_latest_where(dir, name, version, in_chain)
    }
}
