//! The versions of an object, from the ledger.
//!
//! A version is told of by an observation, by the answer to greffier's own write, or by both: the
//! answer and what the watch says of it later (same uid, same resource version) are one. They come
//! over different connections; what the watch tells of the time before an answer is put before it.
//!
//! A cluster that is set back has the object as it was in an earlier version: what came after that
//! is no part of what it is now, and versions count from there again. Where another cluster was
//! kept for a while, what came before it goes on when the former one is back.

use std::collections::BTreeMap;

use super::super::book::Book;
use super::super::brought;
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::{
    Applied, AttributionResolvedV1, Event, IntentRecordedV1, Learned, ManagerStamp, Method,
    ObjectObservedV1, Write, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::model::{BlobAddr, CommitId, Digest, ObjectKey, Seq, Timestamp};
use crate::replay::rv_older;

/// Bound: how many versions back what the watch says is still looked for.
const ECHO_BEHIND_MAX: usize = 64;

/// A write of greffier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Own {
    /// The application; empty = none: a person restored it.
    pub(super) app: String,
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
    /// Whether the object was not there before, as far as who told of it knows.
    pub(super) added: bool,
    /// What the API server's audit says of who made it.
    pub(super) attributed: Option<Attributed>,
}

/// Who made a change, by the event that says so.
pub(super) type Attributed = (Seq, Box<AttributionResolvedV1>);

/// The end of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gone {
    pub(super) seq: Seq,
    pub(super) time: Timestamp,
    pub(super) learned: Learned,
    /// The write that removed it, where greffier did.
    pub(super) own: Option<Own>,
    /// What the API server's audit says of who did.
    pub(super) attributed: Option<Attributed>,
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
    let mut events = BTreeMap::new();
    for seq in book.of_object(key, Seq::ZERO, usize::MAX) {
        if seq > until {
            break;
        }
        events.extend(book.get(seq)?.map(|recorded| (seq, recorded)));
    }
    let intents = events.values().filter_map(|recorded| match &recorded.event {
        Some(Event::IntentRecorded(_)) => Some(recorded.seq()),
        _ => None,
    });
    for intent in intents.collect::<Vec<_>>() {
        let ends = book.ends_of(intent)?.into_iter();
        events.extend(ends.map(|end| (end.seq(), end)).filter(|(seq, _)| *seq <= until));
    }
    for seq in book.find(SubjectKey::topic(&Topic::Identity), Seq::ZERO, usize::MAX) {
        let recorded = book.get(seq)?.filter(|_| seq <= until);
        let begins =
            |event: &Event| matches!(event, Event::ClusterReverted(_) | Event::ClusterReplaced(_));
        let recorded = recorded.filter(|r| r.event.as_ref().is_some_and(begins));
        events.extend(recorded.map(|recorded| (seq, recorded)));
    }
    let mut reading = Reading::of(key);
    for recorded in events.values() {
        reading.event(recorded);
    }
    let mut lives = reading.lives();
    for life in &mut lives {
        brought(book, key, until, life)?;
    }
    Ok(lives)
}

/// Adds what no sync wrote: a replay, before the daemon saw the object first, or a person's restore.
fn brought(
    book: &dyn Book,
    key: &ObjectKey,
    until: Seq,
    life: &mut Life,
) -> Result<(), ledger::Error> {
    let uid = life.uid().to_owned();
    // Nearly everything was never replayed or restored, which the index tells at once.
    if !brought::is_any(book, &uid) {
        return Ok(());
    }
    for (number, version) in life.versions.iter_mut().enumerate() {
        if version.own.is_none() {
            let managers = version.stamps.as_deref().unwrap_or_default();
            let resource_version = &version.resource_version;
            let is_first = number == 0;
            let (uid, as_of) = (uid.as_str(), until);
            let made = brought::Version { key, uid, resource_version, managers, is_first, as_of };
            version.own = by_greffier(book, &made, &mut version.attributed)?;
        }
    }
    if let Some(gone) = life.gone.as_mut().filter(|gone| gone.own.is_none()) {
        // What a restore removed has no version any more.
        let (resource_version, managers, is_first) = ("", &[][..], false);
        let (uid, as_of) = (uid.as_str(), until);
        let made = brought::Version { key, uid, resource_version, managers, is_first, as_of };
        gone.own = by_greffier(book, &made, &mut gone.attributed)?;
    }
    Ok(())
}

/// The write that made a version, with what else is said of who did it.
fn by_greffier(
    book: &dyn Book,
    version: &brought::Version<'_>,
    attributed: &mut Option<Attributed>,
) -> Result<Option<Own>, ledger::Error> {
    let Some(made) = version.brought(book)? else { return Ok(None) };
    // A record of the very write names greffier, and no more.
    if let Some((_, told)) = attributed
        && made.is_told_by(book, &told.claims)?
    {
        *attributed = None;
    }
    let plain = Write::plain(made.verb, version.key.clone(), &made.version, &made.reason);
    // A restore sends the object as a whole, bound to the version before.
    let method = if made.app.is_some() { plain.method } else { Method::Replace };
    Ok(Some(Own {
        app: made.app.map(|app| app.to_string()).unwrap_or_default(),
        intent: made.intent,
        causes: made.render.into_iter().collect(),
        commit: made.commit,
        write: Write { manifest: made.manifest, method, ..plain },
    }))
}

struct Reading<'k> {
    key: &'k ObjectKey,
    lives: Vec<Life>,
    /// Writes whose end is not known yet.
    open: BTreeMap<(Seq, u32), Own>,
    /// The deletions that were answered, by the uid of what they were bound to.
    deleted: BTreeMap<String, Own>,
    /// By the observation.
    attributed: BTreeMap<Seq, Attributed>,
    /// Whether the cluster was set back since the object was seen.
    set_back: bool,
    /// Whether another cluster answered since the object was seen.
    replaced: bool,
}

impl<'k> Reading<'k> {
    fn of(key: &'k ObjectKey) -> Self {
        Self {
            key,
            lives: Vec::new(),
            open: BTreeMap::new(),
            deleted: BTreeMap::new(),
            attributed: BTreeMap::new(),
            set_back: false,
            replaced: false,
        }
    }

    fn event(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Some(Event::ObjectObserved(body)) if body.key == *self.key => {
                self.version(observed(recorded, body), true);
            }
            Some(Event::ObjectGone(body)) if body.key == *self.key => {
                let own = self.deleted.get(&body.uid).cloned();
                let learned = body.learned;
                self.gone(
                    &body.uid,
                    Gone {
                        seq: recorded.seq(),
                        time: recorded.envelope.recorded,
                        learned,
                        own,
                        attributed: None,
                    },
                );
            }
            Some(Event::AttributionResolved(body)) if body.key == *self.key => {
                // A later one corrects an earlier one.
                let resolved = (recorded.seq(), Box::new(body.clone()));
                self.attributed.insert(body.observation, resolved);
            }
            Some(Event::IntentRecorded(body)) => self.intent(recorded, body),
            Some(Event::OutcomeRecorded(body)) => {
                self.ends(recorded, body.intent, &body.results, true);
            }
            Some(Event::IntentSettled(body)) => {
                self.ends(recorded, body.intent, &body.results, false);
            }
            Some(Event::ClusterReverted(_)) => self.set_back = true,
            Some(Event::ClusterReplaced(_)) => self.replaced = true,
            _ => {}
        }
    }

    /// Forgets what came after the version in which the object is seen in a cluster that was set
    /// back: it was never so there.
    fn goes_back(&mut self, version: &Version) {
        let known = self.lives.iter().rposition(|life| life.uid() == version.uid);
        let Some(index) = known else { return };
        self.lives.truncate(index + 1);
        let Some(life) = self.lives.last_mut() else { return };
        life.gone = None;
        let at = &version.resource_version;
        match life.versions.iter().position(|known| known.resource_version == *at) {
            Some(index) => life.versions.truncate(index + 1),
            None => life.versions.retain(|known| !rv_older(at, &known.resource_version)),
        }
        if life.versions.is_empty() {
            self.lives.pop();
        }
    }

    /// Puts last the life of an object that is seen again in a cluster that was kept before another.
    fn goes_on(&mut self, version: &Version) {
        let known = self.lives.iter().rposition(|life| life.uid() == version.uid);
        if let Some(index) = known {
            let life = self.lives.remove(index);
            self.lives.push(life);
        }
    }

    /// The lives, with what is known of who made them.
    fn lives(mut self) -> Vec<Life> {
        self.lives.retain(|life| !life.versions.is_empty());
        for life in &mut self.lives {
            for version in &mut life.versions {
                let told = version.told_by.iter();
                version.attributed = told.filter_map(|seq| self.attributed.remove(seq)).next();
            }
            if let Some(gone) = &mut life.gone {
                gone.attributed = self.attributed.remove(&gone.seq);
            }
        }
        self.lives
    }

    fn intent(&mut self, recorded: &Recorded, body: &IntentRecordedV1) {
        let writes = (0_u32..).zip(&body.writes).filter(|(_, write)| write.key == *self.key);
        for (index, write) in writes {
            let (app, intent) = (body.app.to_string(), recorded.seq());
            let causes = recorded.envelope.causes.clone();
            let (commit, write) = (body.commit.clone(), write.clone());
            self.open.insert((intent, index), Own { app, intent, causes, commit, write });
        }
    }

    /// How writes ended: as they were answered, or as the cluster showed it later.
    fn ends(
        &mut self,
        recorded: &Recorded,
        intent: Seq,
        results: &[(u32, WriteResult)],
        is_answer: bool,
    ) {
        for (index, result) in results {
            // The fate of a write may be told twice: as not known, and when it was settled.
            let Some(own) = self.open.get(&(intent, *index)).cloned() else { continue };
            match result {
                WriteResult::Applied(applied) => {
                    self.version(answered(recorded, applied, own), false);
                }
                // That it is being deleted, seen later, does not tell who asked for it.
                WriteResult::Deleted if is_answer => self.deletes(own),
                _ => {}
            }
        }
    }

    /// The answer may come after what the watch tells of the end.
    fn deletes(&mut self, own: Own) {
        let Some((uid, _)) = own.write.precondition.clone() else { return };
        let life = self.lives.iter_mut().rev().find(|life| life.uid() == uid);
        if let Some(gone) = life.and_then(|life| life.gone.as_mut()) {
            gone.own.get_or_insert_with(|| own.clone());
        }
        self.deleted.insert(uid, own);
    }

    fn version(&mut self, version: Version, shown: bool) {
        if shown && std::mem::take(&mut self.set_back) {
            self.goes_back(&version);
        }
        if shown && std::mem::take(&mut self.replaced) {
            self.goes_on(&version);
        }
        let known = self.lives.iter_mut().rev().find(|life| life.uid() == version.uid);
        let Some(life) = known else {
            self.lives.push(Life { versions: vec![version], gone: None });
            return;
        };
        let same = |known: &&mut Version| known.resource_version == version.resource_version;
        if let Some(known) = life.versions.iter_mut().rev().take(ECHO_BEHIND_MAX).find(same) {
            known.told_by.push(version.seq);
            known.stamps = known.stamps.take().or(version.stamps);
            known.own = known.own.take().or(version.own);
            known.added |= version.added;
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
        // An answer may come after the end, and raises nobody from the dead.
        if shown {
            life.gone = None;
        }
    }

    fn gone(&mut self, uid: &str, gone: Gone) {
        if let Some(life) = self.lives.iter_mut().rev().find(|life| life.uid() == uid) {
            life.gone = Some(gone);
        }
    }
}

impl Life {
    /// The last event that told of it.
    pub(super) fn last(&self) -> Seq {
        let told = self.versions.iter().flat_map(|version| &version.told_by);
        told.max().copied().unwrap_or_default()
    }

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
        added: body.added,
        attributed: None,
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
        added: false,
        attributed: None,
    }
}
