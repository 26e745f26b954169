//! What cannot be written although the application wants it.
//!
//! It may stand in the place of what the same revision drops: a Deployment under another name, an
//! ExternalSecret for a Secret. So what is dropped stays until it is written, whatever that waits for
//! (an earlier wave, a definition, a namespace, another try), or until a person says so.

use super::super::prune::{stays_beside, stays_while};
use super::super::unseen::Unseen;
use super::{Assessed, Assessment, Judge, Status};
use crate::ledger::event::{DesiredObject, Health, Verb};
use crate::model::{GroupKind, ObjectKey, Seq};
use crate::replay::{may_be_in_the_way, not_written};

/// What an application wants, is not there as it is wanted, and holds back what is to go.
#[derive(Default)]
pub(in crate::plan) struct Beside {
    /// The first object that is not written, the first that holds back all of what is to go, and
    /// all of them that people hold.
    pub(in crate::plan) unwritten: Vec<Unwritten>,
    /// The first that is not there and healthy, where what is to go goes last (`PruneLast=true`).
    pub(in crate::plan) undone: Option<ObjectKey>,
}

/// An object that is not written.
pub(in crate::plan) struct Unwritten {
    key: ObjectKey,
    why: String,
    may_pass: bool,
    /// What is to go of this kind is not held back: it waits for a wave that may wait for that.
    frees: Option<GroupKind>,
}

/// What later waves wait for.
pub(super) struct Barrier {
    pub(super) wave: i32,
    pub(super) why: String,
    pub(super) may_pass: bool,
    /// The kind of what was refused because of one that is there: another of its kind may be that.
    frees: Option<GroupKind>,
}

impl Beside {
    /// What holds back an object that is to go, because it is not written itself.
    pub(in crate::plan) fn holds_back(&self, key: &ObjectKey) -> Option<&Unwritten> {
        let kind = key.group_kind();
        self.unwritten.iter().find(|other| other.frees.as_ref() != Some(&kind))
    }
}

impl Unwritten {
    /// What is said of it, and whether it may pass.
    pub(in crate::plan) fn said(&self) -> (String, bool) {
        let Self { key, why, may_pass, .. } = self;
        (not_written(key, why), *may_pass)
    }
}

impl Assessed {
    /// Notes whether the object that was assessed last holds back what is to go.
    pub(super) fn note_beside(
        &mut self,
        judge: &Judge<'_>,
        object: &DesiredObject,
        barred: Option<&Barrier>,
    ) {
        let Some(last) = self.objects.last() else { return };
        let beside = &mut self.beside;
        let done = last.is_done() && last.health != Health::Suspended;
        if judge.app.spec.prune_last && beside.undone.is_none() && !done {
            beside.undone = Some(object.key.clone());
        }
        let frees = barred.and_then(|barrier| barrier.frees.as_ref());
        let told = |other: &Unwritten| other.frees.is_none() || other.frees.as_ref() == frees;
        let is_told =
            beside.unwritten.iter().any(told) && judge.holds(&object.key).next().is_none();
        if let Some((why, may_pass)) = judge.unwritten(object, last).filter(|_| !is_told) {
            let (key, frees) = (object.key.clone(), frees.cloned());
            beside.unwritten.push(Unwritten { key, why, may_pass, frees });
        }
    }

    /// Leaves what a person keeps away as long as what the same word brings back is not written.
    pub(super) fn leave_beside(&mut self, judge: &Judge<'_>) {
        let unwritten = &self.beside.unwritten;
        if unwritten.is_empty() {
            return;
        }
        let objects = &mut self.objects;
        self.writes.retain(|write| {
            let stays = || stays_beside(judge.world, judge.app, write);
            let with = |other: &&Unwritten| {
                judge.holds(&other.key).any(|seq| judge.holds(&write.key).any(|of| of == seq))
            };
            let other = unwritten.iter().find(with);
            let Some(other) = other.filter(|_| write.verb == Verb::Prune && stays()) else {
                return true;
            };
            let (what, may_pass) = other.said();
            for object in objects.iter_mut().filter(|object| object.key == write.key) {
                object.block(stays_while(&what, judge.name, &write.key), may_pass);
            }
            false
        });
    }
}

impl Judge<'_> {
    /// An object that later waves wait for, of which this was found.
    pub(super) fn barrier(&self, wave: i32, object: &DesiredObject, found: &Assessment) -> Barrier {
        Barrier {
            wave,
            why: format!("wave {wave} waits for {}", object.key),
            may_pass: !found.blocked || found.waits_for_progress,
            frees: self.is_in_the_way(object).then(|| object.key.group_kind()),
        }
    }

    /// The events that began what people hold of an object.
    fn holds<'k>(&'k self, key: &'k ObjectKey) -> impl Iterator<Item = Seq> + 'k {
        self.app.holds_of(key, self.world.now).map(|hold| hold.seq)
    }

    /// Why the object is not written, of which this was found, and whether that may pass.
    fn unwritten(&self, object: &DesiredObject, found: &Assessment) -> Option<(String, bool)> {
        let key = &object.key;
        let owned = self.world.owned.get(key).filter(|owned| owned.app == *self.name);
        if owned.is_some_and(|owned| owned.applied == object.digest) {
            return None;
        }
        if self.world.in_flight.contains_key(key) {
            return Some(("a write is under way".to_owned(), true));
        }
        let waits = match found.status {
            Status::Missing | Status::Changed | Status::OnHold => found.blocked,
            // What can never be seen holds nothing back.
            Status::Unknown => Unseen::of(self.world, key).is_none_or(|unseen| unseen.may_pass),
            _ => false,
        };
        let may_pass = !found.blocked || found.waits_for_progress;
        (waits && !self.is_in_the_way(object)).then(|| (found.why.clone(), may_pass))
    }

    /// Whether the object may have been refused because of one that is there.
    pub(super) fn is_in_the_way(&self, object: &DesiredObject) -> bool {
        self.app.failed(object).is_some_and(|attempt| may_be_in_the_way(&attempt.error))
    }
}
