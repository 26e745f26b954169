//! What counts as a deletion or as a first contact, and what an approval of it rests on.
//!
//! A person approves writes by the hash of what each of them rests on: the object, as it is in
//! the cluster. The fold and the planner must agree on it to the byte, so it is worked out here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::application::{App, Desired};
use super::cluster::Owned;
use super::coming::Arrival;
use super::removals::Removals;
use super::trial::asked_for;
use super::world::World;
use crate::ledger::event::{DesiredObject, Origin, Preview, Verb, Write};
use crate::model::{
    AppName, CommitId, Digest, ObjectKey, PlanHash, REPLICAS, Removal, Ruling, Seq,
};

/// For how many commits, rollbacks and releases the number of deletions is remembered.
const DELETIONS_MAX: usize = 64;

/// What deletions count for: the one thing that asked for all of them, over all applications and
/// however many plans they take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CountedFor {
    /// What a commit asks for.
    Commit(CommitId),
    /// A person's rollback, by the event that began it: of a tree, the root's.
    Rollback(Seq),
    /// The rollbacks by rule from one commit.
    ByRule(CommitId),
    /// The end of the holds that a rollback began: what they had taken the place of is in force
    /// again.
    Release(Seq),
}

impl CountedFor {
    /// In words, after "50 objects".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Commit(_) => "for one commit",
            Self::Rollback(_) => "for one rollback",
            Self::ByRule(_) => "for the rollbacks from one commit",
            Self::Release(_) => "for one release",
        }
    }
}

impl Desired {
    /// What its deletions count for.
    #[must_use]
    pub fn counted_for(&self) -> CountedFor {
        let counted = self.counted.clone();
        counted.unwrap_or_else(|| CountedFor::Commit(self.rendered.clone()))
    }

    /// Whether the deletions of both count for the same.
    #[must_use]
    pub fn counts_with(&self, other: &Self) -> bool {
        match (&self.counted, &other.counted) {
            (None, None) => self.rendered == other.rendered,
            (own, other) => own == other,
        }
    }
}

impl World {
    /// Whether `write` counts as a deletion: a prune, a recreation, or a scaling to zero.
    #[must_use]
    pub fn is_deletion(&self, app: &App, write: &Write) -> bool {
        match write.verb {
            Verb::Prune | Verb::Recreate => true,
            Verb::Update => self.scales_to_zero(app, write),
            Verb::Adopt => adopts_to_zero(app, write),
            Verb::Create | Verb::Heal | Verb::Reclaim | Verb::TakeOver => false,
        }
    }

    fn scales_to_zero(&self, app: &App, write: &Write) -> bool {
        if write.respect.has(REPLICAS) {
            return false;
        }
        let proposed = app.proposed.iter().map(|proposed| &proposed.desired);
        let mut renders = app.desired.iter().chain(proposed);
        let zero = renders.any(|render| {
            let object = render.objects.get(&write.key);
            object.is_some_and(|object| object.digest == write.digest && object.replicas == Some(0))
        });
        let before = self.owned.get(&write.key).and_then(|owned| owned.replicas);
        zero && before.is_some_and(|n| n > 0)
    }

    /// Whether something keeps an object that greffier applied from being removed.
    #[must_use]
    pub fn stays(&self, key: &ObjectKey, owned: &Owned, removal: Removal) -> bool {
        let of_app = self.apps.get(&owned.app).map(|app| app.spec.removals.stance(removal));
        let own = self.live.get(key).map(|live| live.protection).unwrap_or_default();
        let ruling = own.ruling(removal, of_app.unwrap_or_default());
        !owned.keep.is_empty() || matches!(ruling, Ruling::Stays(_))
    }

    /// The objects that stay and that nobody wants or owns any more when `app` is removed now.
    #[must_use]
    pub fn orphans(&self, app: &AppName) -> Vec<ObjectKey> {
        let owned = self.owned_by(app).map(|(key, _)| key);
        let wanted = |key: &ObjectKey| {
            let apps = self.wanted_by.get(key).into_iter().flatten();
            apps.filter(|other| *other != app).count() > 0
        };
        owned.filter(|key| self.live.contains_key(*key) && !wanted(key)).cloned().collect()
    }

    /// The other GitOps manager of an object that `write` would touch for the first time: greffier
    /// never applied the object that is there.
    #[must_use]
    pub fn first_contact(&self, write: &Write) -> Option<&str> {
        let live = self.live.get(&write.key).filter(|live| !live.managed_by.is_empty())?;
        let known = self.owned.get(&write.key).is_some_and(|owned| owned.uid == live.uid);
        (!known).then_some(&*live.managed_by)
    }

    /// What a write that waits for approval rests on: the object as it is. A plain update or
    /// creation that waits with its render rests on what the render says alone.
    #[must_use]
    pub fn write_base(&self, app: &App, write: &Write) -> Digest {
        let mut hash = Fields::default();
        hash.field(write.verb.as_str().as_bytes());
        hash.field(write.key.to_string().as_bytes());
        hash.field(&write.digest.0);
        let plain = matches!(write.verb, Verb::Create | Verb::Update)
            && !self.is_deletion(app, write)
            && self.first_contact(write).is_none();
        if let Some(live) = self.live.get(&write.key).filter(|_| !plain) {
            hash.field(live.uid.as_bytes());
            hash.field(&live.digest.0);
        }
        for hold in &write.holds {
            hash.field(&hold.0.to_be_bytes());
        }
        Digest(hash.finish())
    }

    /// What the removal of an application rests on: everything that goes with it. What another one
    /// has from then on is no part of that, so that what it wants no more is asked about.
    fn removal_base<'a>(&'a self, removals: &Removals<'a>, app: &'a AppName) -> Digest {
        let mut hash = Fields::default();
        hash.field(app.as_str().as_bytes());
        for name in removals.cascade(app) {
            hash.field(name.as_str().as_bytes());
            let goes = self.owned_by(name).filter(|(key, _)| removals.heir(key).is_none());
            for (key, owned) in goes {
                hash.field(key.to_string().as_bytes());
                hash.field(owned.uid.as_bytes());
            }
        }
        Digest(hash.finish())
    }

    /// What the gated part of a plan rests on.
    #[must_use]
    pub fn gate_bases<'a>(
        &self,
        app: &AppName,
        writes: impl IntoIterator<Item = &'a Write>,
        apps: impl IntoIterator<Item = &'a AppName>,
    ) -> BTreeSet<Digest> {
        let Some(app) = self.apps.get(app) else { return BTreeSet::new() };
        let writes = writes.into_iter().map(|write| self.write_base(app, write));
        let apps: Vec<&AppName> = apps.into_iter().collect();
        let removals = self.removals(apps.iter().copied());
        writes.chain(apps.iter().map(|app| self.removal_base(&removals, app))).collect()
    }

    /// What an application asks for, if all of it is done: nothing that it has to write or to
    /// remove is left.
    pub(super) fn asked_and_done(&self, name: &AppName, app: &App) -> Option<Digest> {
        let desired = app.unheld()?;
        let applied = |object: &DesiredObject| {
            let owned = self.owned.get(&object.key);
            object.key.is_application()
                || owned.is_some_and(|owned| owned.app == *name && owned.applied == object.digest)
        };
        let goes =
            |(key, owned, _): (&ObjectKey, &Owned, _)| !self.stays(key, owned, Removal::Prune);
        let done = app.gate.is_none()
            && desired.objects.values().all(applied)
            && !self.extras_of(name).any(goes)
            && self.children(name).all(|child| app.defines(child));
        done.then(|| asked_for(&desired))
    }

    /// Whether something of an application has to go, now or when what it waits for has passed.
    fn has_to_let_go(&self, name: &AppName) -> bool {
        let Some(app) = self.apps.get(name) else { return false };
        let goes =
            |(key, owned, _): (&ObjectKey, &Owned, _)| !self.stays(key, owned, Removal::Prune);
        let defined: BTreeSet<AppName> = app.defined().collect();
        let leaves = |child: &AppName| {
            let own = self.apps.get(child).map(|child| child.spec.removals.own).unwrap_or_default();
            !defined.contains(child) && !matches!(app.ruling(&own), Ruling::Stays(_))
        };
        app.gate.is_some() || self.extras_of(name).any(goes) || self.children(name).any(leaves)
    }

    /// A render comes: what the last ones brought counts from here on, unless something of them has
    /// to go still.
    pub(super) fn count_entered(&mut self, name: &AppName) {
        if !self.has_to_let_go(name)
            && let Some(app) = self.apps.get_mut(name)
        {
            app.entered.clear();
            app.entered_children.clear();
            app.arrival.objects.clear();
        }
    }

    /// Notes what an application wants from here on, if something of it has to go.
    pub(super) fn note_arrivals(&mut self, name: &AppName, entered: Vec<ObjectKey>) {
        if self.has_to_let_go(name)
            && let Some(app) = self.apps.get_mut(name)
        {
            let wanted = app.desired.as_ref().map(|desired| &desired.objects);
            let wants = |key: &ObjectKey| wanted.is_some_and(|wanted| wanted.contains_key(key));
            app.arrival.objects.retain(wants);
            app.arrival.objects.extend(entered);
        }
    }

    /// Notes that a child comes while others of its parent have to go: they are judged without what
    /// it brings. Returns what it came with, where it was not there.
    pub(super) fn note_entering(
        &mut self,
        seq: Seq,
        child: &AppName,
        origin: &Origin,
    ) -> Option<Arrival> {
        let Origin::Parent(parent) = origin else { return None };
        let known = self.apps.get(child).is_some_and(|known| known.origin == *origin);
        if !known
            && self.has_to_let_go(parent)
            && let Some(parent) = self.apps.get_mut(parent)
        {
            parent.entered_children.insert(child.clone(), seq);
        }
        let new = self.apps.get(child).is_none_or(|child| child.removing);
        let came = self.apps.get(parent)?.desired.as_ref().map(Desired::counted_for);
        new.then(|| Arrival { came, ..Arrival::default() })
    }

    /// Counts deletions that are begun.
    pub(super) fn count_deletions(&mut self, counted: &CountedFor, count: usize) {
        if count == 0 {
            return;
        }
        let entry = self.deletions.entry(counted.clone()).or_insert((self.seq, 0));
        entry.1 = entry.1.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        while self.deletions.len() > DELETIONS_MAX {
            let oldest = self.deletions.iter().min_by_key(|(_, (seq, _))| *seq);
            let Some(oldest) = oldest.map(|(counted, _)| counted.clone()) else { break };
            self.deletions.remove(&oldest);
        }
    }

    /// Takes back the count of a deletion that did not happen: it will be tried again.
    pub(super) fn uncount_deletion(&mut self, counted: Option<&CountedFor>) {
        if let Some((_, count)) = counted.and_then(|counted| self.deletions.get_mut(counted)) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Whether the dry run said that adopting the object would stop what runs.
fn adopts_to_zero(app: &App, write: &Write) -> bool {
    let previewed = app.previews.get(&write.key).filter(|found| found.digest == write.digest);
    let Some(Preview::Changes(fields)) = previewed.map(|found| &found.result) else { return false };
    fields.iter().any(|field| {
        field.path == ".spec.replicas" && field.now == "0" && field.was.parse().is_ok_and(positive)
    })
}

fn positive(n: u32) -> bool {
    n > 0
}

/// The hash that an approval of the gated part of an application's plan names.
#[must_use]
pub fn gate_hash(app: &AppName, bases: &BTreeSet<Digest>) -> PlanHash {
    let mut hash = Fields::default();
    hash.field(app.as_str().as_bytes());
    for base in bases {
        hash.field(&base.0);
    }
    PlanHash(hash.finish())
}

/// A hash over fields, each with its length, so that no two lists of fields collide.
#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
