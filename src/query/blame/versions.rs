//! The versions of an object, from the ledger.
//!
//! A version is told of by an observation, by the answer to greffier's own write, or by both: the
//! answer and what the watch says of it later (same uid, same resource version) are one. They come
//! over different connections; what the watch tells of the time before an answer is put before it.

use std::collections::BTreeMap;

use super::super::book::Book;
use super::super::search::Filter;
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::{
    Applied, Event, IntentRecordedV1, Learned, ManagerStamp, ObjectObservedV1, Write, WriteResult,
};
use crate::model::{AppName, BlobAddr, CommitId, Digest, ObjectKey, Seq, Timestamp};
use crate::replay::rv_older;

/// Bound: how many versions back what the watch says is still looked for.
const ECHO_BEHIND_MAX: usize = 64;

/// A write of greffier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Own {
    /// The application.
    pub(super) app: AppName,
    /// The intent.
    pub(super) intent: Seq,
    /// What the intent follows from, the render first.
    pub(super) causes: Vec<Seq>,
    /// The commit that was in force.
    pub(super) commit: Option<CommitId>,
    /// What was written.
    pub(super) write: Write,
}

/// A state in which the object was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    /// The event that told of it first.
    pub(super) seq: Seq,
    /// Every event that told of it.
    pub(super) told_by: Vec<Seq>,
    /// When that was recorded.
    pub(super) time: Timestamp,
    pub(super) uid: String,
    pub(super) resource_version: String,
    /// How it was learnt.
    pub(super) learned: Learned,
    /// The object with its field ownership.
    pub(super) object: BlobAddr,
    /// The digest of the object alone.
    pub(super) digest: Digest,
    /// The field managers as the event lists them; `None` = they are in the object only.
    pub(super) stamps: Option<Vec<ManagerStamp>>,
    /// The write that made it, where greffier did.
    pub(super) own: Option<Own>,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gone {
    pub(super) seq: Seq,
    pub(super) time: Timestamp,
    pub(super) learned: Learned,
    /// The write that removed it, where greffier did.
    pub(super) own: Option<Own>,
}

/// Everything with one uid.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Life {
    pub(super) versions: Vec<Version>,
    pub(super) gone: Option<Gone>,
}

/// The lives of an object up to an event, in order.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(super) fn read(
    book: &dyn Book,
    key: &ObjectKey,
    until: Seq,
) -> Result<Vec<Life>, ledger::Error> {
    let filter = Filter { object: Some(key.clone()), noise: true, ..Filter::default() };
    let mut reading = Reading { key, lives: Vec::new(), open: BTreeMap::new(), deleted: None };
    let candidates = book.candidates(&filter).unwrap_or_default();
    for seq in candidates.into_iter().take_while(|seq| *seq <= until) {
        if let Some(recorded) = book.get(seq)? {
            reading.event(&recorded);
        }
    }
    reading.lives.retain(|life| !life.versions.is_empty());
    Ok(reading.lives)
}

struct Reading<'k> {
    key: &'k ObjectKey,
    lives: Vec<Life>,
    /// Writes whose end is not known yet.
    open: BTreeMap<(Seq, u32), Own>,
    /// The deletion that was answered last.
    deleted: Option<Own>,
}

impl Reading<'_> {
    fn event(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Some(Event::ObjectObserved(body)) if body.key == *self.key => {
                self.version(observed(recorded, body), true);
            }
            Some(Event::ObjectGone(body)) if body.key == *self.key => {
                let own = self.deleted.take();
                let learned = body.learned;
                self.gone(
                    &body.uid,
                    Gone { seq: recorded.seq(), time: recorded.envelope.recorded, learned, own },
                );
            }
            Some(Event::IntentRecorded(body)) => self.intent(recorded, body),
            Some(Event::OutcomeRecorded(body)) => self.ends(recorded, body.intent, &body.results),
            Some(Event::IntentSettled(body)) => self.ends(recorded, body.intent, &body.results),
            _ => {}
        }
    }

    fn intent(&mut self, recorded: &Recorded, body: &IntentRecordedV1) {
        let writes = (0_u32..).zip(&body.writes).filter(|(_, write)| write.key == *self.key);
        for (index, write) in writes {
            let (app, intent) = (body.app.clone(), recorded.seq());
            let causes = recorded.envelope.causes.clone();
            let (commit, write) = (body.commit.clone(), write.clone());
            self.open.insert((intent, index), Own { app, intent, causes, commit, write });
        }
    }

    fn ends(&mut self, recorded: &Recorded, intent: Seq, results: &[(u32, WriteResult)]) {
        for (index, result) in results {
            // The fate of a write may be told twice: as not known, and when it was settled.
            let Some(own) = self.open.get(&(intent, *index)).cloned() else { continue };
            match result {
                WriteResult::Applied(applied) => {
                    self.version(answered(recorded, applied, own), false);
                }
                WriteResult::Deleted => self.deleted = Some(own),
                _ => {}
            }
        }
    }

    fn version(&mut self, version: Version, shown: bool) {
        let known = self.lives.iter_mut().rev().find(|life| life.uid() == version.uid);
        let Some(life) = known else {
            self.deleted = None;
            self.lives.push(Life { versions: vec![version], gone: None });
            return;
        };
        let same = |known: &&mut Version| known.resource_version == version.resource_version;
        if let Some(known) = life.versions.iter_mut().rev().take(ECHO_BEHIND_MAX).find(same) {
            known.told_by.push(version.seq);
            known.stamps = known.stamps.take().or(version.stamps);
            known.own = known.own.take().or(version.own);
            return;
        }
        // What the watch tells later than the answers to the writes after it.
        let later = |known: &&Version| {
            shown
                && known.learned == Learned::Answered
                && rv_older(&version.resource_version, &known.resource_version)
        };
        let behind = life.versions.iter().rev().take_while(later).count();
        life.versions.insert(life.versions.len() - behind, version);
        life.gone = None;
    }

    fn gone(&mut self, uid: &str, gone: Gone) {
        if let Some(life) = self.lives.iter_mut().rev().find(|life| life.uid() == uid) {
            life.gone = Some(gone);
        }
    }
}

impl Life {
    /// Its uid; a life has at least one version.
    pub(super) fn uid(&self) -> &str {
        self.versions.first().map_or("", |version| &version.uid)
    }
}

fn observed(recorded: &Recorded, body: &ObjectObservedV1) -> Version {
    Version {
        seq: recorded.seq(),
        told_by: vec![recorded.seq()],
        time: recorded.envelope.recorded,
        uid: body.uid.clone(),
        resource_version: body.resource_version.clone(),
        learned: body.learned,
        object: body.object,
        digest: body.digest,
        stamps: Some(body.managers.clone()),
        own: None,
    }
}

fn answered(recorded: &Recorded, applied: &Applied, own: Own) -> Version {
    Version {
        seq: recorded.seq(),
        told_by: vec![recorded.seq()],
        time: recorded.envelope.recorded,
        uid: applied.uid.clone(),
        resource_version: applied.resource_version.clone(),
        learned: Learned::Answered,
        object: applied.object,
        digest: applied.digest,
        stamps: None,
        // What changed nothing made no version.
        own: applied.changed.then_some(own),
    }
}
