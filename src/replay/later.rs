//! What greffier wrote and this ledger does not know of.
//!
//! Every apply leaves its time in the object's own record of who owns which fields. Where that is
//! later than every write of this ledger, and the object is of an application that it knows,
//! another greffier wrote the object: one that went on from this ledger, which is then an old copy,
//! or one beside it that has the same applications. What this ledger would put back is
//! older than what is there.
//!
//! A write of this ledger that may have been made although nobody saw it is no other greffier's:
//! its time is bounded by the deadline of its intent.
//!
//! What is said by Git, or by a person, after the sign was seen counts whatever the ledger is a
//! copy of.
//!
//! Once a person has said what is to be, and it is so, a later write is let go: `let_go.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::application::{App, Previewed};
use super::cluster::OpenWrite;
use super::world::{Touched, World};
use crate::ledger::event::{Event, ManagerStamp, ObjectObservedV1, Origin, Preview, Verb, Write};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};

/// How much earlier than the daemon the API server may think that it is.
const CLOCKS_DIFFER_MS: u64 = 60_000;
/// How long after the deadline of its intent a write may still be made that an admission webhook has
/// changed, and so shows other values than were sent.
const CHANGED_ON_THE_WAY_MS: u64 = 5_000;
/// How many other clusters are remembered, those that were written to last. One that is forgotten is
/// judged as one that was never known: by the latest write to any.
const OTHERS_MAX: usize = 16;

/// What this ledger knows of the times of its own writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnWrites {
    /// The latest time that the answer to one of them stated, by the API server's clock.
    pub latest: Option<Timestamp>,
    /// Whether events may be lost: then it may have written although none of its writes is known.
    pub cut: bool,
    /// Until when what a replay wrote may have been made, or what was there was accepted.
    pub unseen: Timestamp,
    /// Until when a write that nobody saw made may have been made, by object: it says nothing of any
    /// other.
    pub unseen_of: BTreeMap<ObjectKey, Timestamp>,
    /// The same of other clusters, by uid: those that were kept before, and those that were replayed
    /// onto. What was written to one says nothing of another.
    pub others: BTreeMap<String, Written>,
    /// The replay that was begun last, and the uid of the cluster that it writes to.
    pub replay: Option<(Seq, String)>,
    /// What shows that greffier wrote later than that.
    pub sign: Option<Sign>,
    /// The same of a cluster of which it is in doubt whether it is the one to be kept.
    pub doubted: Option<Sign>,
    /// Every object of the cluster that answers that shows a write of greffier later than all of
    /// this ledger, until a person has let that go or this ledger has changed it at a person's word.
    pub later: BTreeMap<ObjectKey, Later>,
    /// Up to when writes of greffier that this ledger does not know of were let go, by object.
    pub let_go: BTreeMap<ObjectKey, Timestamp>,
}

/// What this ledger knows of the times of its writes to another cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// As of the kept one.
    pub latest: Option<Timestamp>,
    /// As of the kept one.
    pub unseen: Timestamp,
    /// The event that said so last.
    pub seq: Seq,
}

impl Written {
    fn until(&self) -> Timestamp {
        self.latest.unwrap_or_default().max(self.unseen.plus_ms(CLOCKS_DIFFER_MS))
    }
}

/// What an object shows of greffier that is later than all of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// When greffier wrote it, by the object's own word.
    pub at: Timestamp,
    /// The event that told of that first.
    pub seq: Seq,
    /// The application that the object names as its own.
    pub claimed_by: Option<AppName>,
}

/// A write of greffier that this ledger does not know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// The object that shows it.
    pub key: ObjectKey,
    /// When it was written, by the object's own word.
    pub at: Timestamp,
    /// The event that tells it.
    pub seq: Seq,
    /// The start of the daemon that saw it: what is said from there on is no copy.
    pub started: Seq,
}

impl OwnWrites {
    fn forget_others(&mut self) {
        while self.others.len() > OTHERS_MAX
            && let Some((uid, _)) = self.others.iter().min_by_key(|(_, of)| of.seq)
        {
            let uid = uid.clone();
            self.others.remove(&uid);
        }
    }
}

impl World {
    /// Up to when a write of greffier to the cluster that answers may be one of this ledger; `None` =
    /// it never wrote, and no write tells it anything.
    #[must_use]
    pub fn written_until(&self) -> Option<Timestamp> {
        let own = &self.own_writes;
        let wrote = own.latest.is_some() || own.others.values().any(|of| of.latest.is_some());
        if !wrote && !own.cut {
            return None;
        }
        let kept = Written { latest: own.latest, unseen: own.unseen, seq: self.seq }.until();
        let (uid, identity) = (&self.cluster.uid, &self.cluster.identity);
        Some(match own.others.get(uid) {
            _ if *uid == identity.kept => kept,
            Some(of) => of.until(),
            // Its objects may be copies of those of any.
            None => own.others.values().map(Written::until).max().unwrap_or_default().max(kept),
        })
    }

    /// What a replay writes is a write of this ledger to its target, and to no other cluster.
    pub(super) fn replay(&mut self, seq: Seq, event: &Event) -> Touched {
        self.note_what_stays(seq, event);
        let recovery = match event {
            Event::RecoveryBegun(body) => {
                self.own_writes.replay = Some((seq, body.uid.clone()));
                seq
            }
            Event::RecoveryIntent(body) => body.recovery,
            Event::RecoveryOutcome(body) => body.recovery,
            _ => return Touched::nothing(),
        };
        let target = self.own_writes.replay.as_ref().filter(|(begun, _)| *begun == recovery);
        if let Some((_, uid)) = target {
            let uid = uid.clone();
            if uid == self.cluster.identity.kept {
                self.may_have_written(self.now);
            } else {
                let of = self.own_writes.others.entry(uid).or_default();
                (of.unseen, of.seq) = (of.unseen.max(self.now), seq);
                self.own_writes.forget_others();
            }
        }
        Touched::nothing()
    }

    /// When greffier wrote to the object last, where this ledger does not know of that.
    #[must_use]
    pub fn later_write(&self, app: &App, key: &ObjectKey) -> Option<Timestamp> {
        let later = app.drift.get(key)?.later?;
        if self.own_writes.is_let_go(key, later) {
            return None;
        }
        let unseen = self.owned.get(key)?.unseen;
        unseen.is_none_or(|until| later > until.plus_ms(CLOCKS_DIFFER_MS)).then_some(later)
    }

    /// What shows that the ledger is an old copy.
    #[must_use]
    pub fn old_copy(&self) -> Option<&Sign> {
        self.own_writes.sign.as_ref()
    }

    /// Whether what the application wants is known from an old copy alone: neither Git nor a person
    /// has said so since.
    #[must_use]
    pub fn is_of_old_copy(&self, app: &App) -> bool {
        self.old_copy().is_some_and(|sign| !self.is_said_since(app, sign.started))
    }

    /// Whether what is in the cluster may be of a ledger that is lost as a whole: this one knows of
    /// no write, and its key was there before it.
    #[must_use]
    pub fn may_lack_everything(&self) -> bool {
        self.own_writes.cut && self.own_writes.latest.is_none()
    }

    /// Whether what the application wants was known before the running daemon started.
    #[must_use]
    pub fn wants_of_before(&self, app: &App) -> bool {
        match &app.hold {
            _ if app.removing => true,
            Some(hold) => hold.seq < self.started,
            None => app.desired.as_ref().is_some_and(|desired| desired.seq < self.started),
        }
    }

    /// A repository of the application that was neither fetched nor found unreachable since the
    /// daemon started.
    #[must_use]
    pub fn not_asked<'a>(&self, app: &'a App) -> Option<&'a str> {
        self.source_where(app, |asked, _| asked < self.started)
    }

    /// A repository of the application that could not be fetched since the daemon started.
    #[must_use]
    pub fn not_heard<'a>(&self, app: &'a App) -> Option<&'a str> {
        self.source_where(app, |_, heard| heard < self.started)
    }

    fn source_where<'a>(&self, app: &'a App, is: impl Fn(Seq, Seq) -> bool) -> Option<&'a str> {
        let repos = app.spec.sources.iter().map(|source| source.repo.as_str());
        let mut repos = repos.filter(|repo| {
            let (asked, heard) =
                self.repos.get(*repo).map_or_else(Default::default, |r| (r.asked, r.heard));
            is(asked, heard)
        });
        repos.next()
    }

    /// Whether Git said since `since` what the application wants and is, or a person did.
    fn is_said_since(&self, app: &App, since: Seq) -> bool {
        let mut app = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            if !self.is_wanted_since(app, since) {
                return false;
            }
            let Origin::Parent(parent) = &app.origin else { return true };
            let Some(parent) = self.apps.get(parent) else { return true };
            app = parent;
        }
        false
    }

    /// Whether what Git says now of something above the application is still to be rendered.
    #[must_use]
    pub fn is_pending_above(&self, app: &App) -> bool {
        let mut app = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            let Origin::Parent(parent) = &app.origin else { return false };
            let Some(parent) = self.apps.get(parent) else { return false };
            if self.render_pending(parent) {
                return true;
            }
            app = parent;
        }
        false
    }

    /// Whether the event says of one application, or of a repository, what may end the wait of
    /// others: for what an application that is held would have, or in a ledger that is an old copy.
    pub(super) fn may_end_waits(&self, event: &Event) -> bool {
        let rendered = match event {
            Event::RenderSucceeded(body) => Some(&body.app),
            Event::RevisionAdvanced(body) => Some(&body.app),
            Event::RenderFailed(body) => Some(&body.app),
            _ => None,
        };
        let of_held = rendered.and_then(|app| self.apps.get(app)).is_some_and(App::is_held);
        let of_copy = self.old_copy().is_some()
            && matches!(
                event,
                Event::RenderSucceeded(_)
                    | Event::RevisionAdvanced(_)
                    | Event::RenderFailed(_)
                    | Event::FetchUnchanged(_)
                    | Event::FetchRecovered(_)
                    | Event::FetchFailed(_)
                    | Event::RefMoved(_)
            );
        of_held || of_copy
    }

    fn is_wanted_since(&self, app: &App, since: Seq) -> bool {
        if app.removing {
            return false;
        }
        if let Some(hold) = &app.hold {
            return since < hold.said_at();
        }
        let Some(desired) = app.desired.as_ref() else { return false };
        self.source_where(app, |_, heard| heard < since).is_none()
            && desired.declared == app.declared
            && self.wanted(app).is_some_and(|wanted| desired.stands_for(&wanted))
    }

    /// The ledger was repaired, or made where another may have been; `cut` = acknowledged events may
    /// be lost.
    pub(super) fn ledger_repaired(&mut self, cut: bool) -> Touched {
        self.own_writes.cut |= cut;
        Touched::nothing()
    }

    /// A write of this ledger to the object may have been made until then.
    pub(super) fn may_have_written_to(&mut self, key: &ObjectKey, until: Timestamp) {
        let own = &mut self.own_writes;
        // What is known to have been written since bounds these as well.
        let latest = own.latest.unwrap_or_default();
        own.unseen_of.retain(|_, until| latest < until.plus_ms(CLOCKS_DIFFER_MS));
        let known = own.unseen_of.entry(key.clone()).or_default();
        *known = until.max(*known);
    }

    /// Up to when a write of greffier to the object may be one of this ledger; `None` as for
    /// [`World::written_until`].
    fn may_be_own_until(&self, key: &ObjectKey) -> Option<Timestamp> {
        let unseen = self.own_writes.unseen_of.get(key);
        let of_key = unseen.map(|until| until.plus_ms(CLOCKS_DIFFER_MS));
        self.written_until().map(|until| of_key.map_or(until, |of_key| until.max(of_key)))
    }

    /// Whether a write of the object is under way: its answer, or whoever finds out what became of
    /// it, says whether it was the one of `at`. Until then that is remembered.
    fn is_shown_in_flight(&mut self, key: &ObjectKey, at: Timestamp) -> bool {
        let Some(seq) = self.in_flight.get(key) else { return false };
        let writes = self.intents.get_mut(seq).into_iter().flat_map(|i| i.writes.values_mut());
        for open in writes.filter(|open| open.write.key == *key) {
            open.shown = open.shown.max(Some(at));
        }
        true
    }

    /// A write was not made, or nobody saw it: what the object showed instead, or, with `another`,
    /// what has other values than were sent, counts where it is no write of this ledger. Returns whether
    /// that is the first sign of a later greffier.
    pub(super) fn shows_another(
        &mut self,
        name: &AppName,
        open: &OpenWrite,
        deadline: Timestamp,
        another: Option<Timestamp>,
    ) -> bool {
        let explained = deadline.plus_ms(CLOCKS_DIFFER_MS);
        let late = open.shown.filter(|at| *at > explained);
        let changed = deadline.plus_ms(CHANGED_ON_THE_WAY_MS);
        let another = another.filter(|at| *at > changed);
        another.max(late).is_some_and(|at| self.note_another(name, &open.write.key, at))
    }

    fn note_another(&mut self, name: &AppName, key: &ObjectKey, at: Timestamp) -> bool {
        let own = self.may_be_own_until(key).is_none_or(|until| at <= until);
        if own || self.cluster.doubt().is_some() || self.own_writes.is_let_go(key, at) {
            return false;
        }
        let later = Later { at, seq: self.seq, claimed_by: Some(name.clone()) };
        self.own_writes.later.insert(key.clone(), later);
        self.note_sign(key, at)
    }

    /// A write of this ledger may have been made until then.
    pub(super) fn may_have_written(&mut self, until: Timestamp) {
        self.own_writes.unseen = self.own_writes.unseen.max(until);
    }

    /// The cluster that answers is the one to be kept. What this one shows is not said to be right
    /// by keeping it: whoever accepts a cluster with an old copy of the ledger wants it as it is.
    /// Where it shows nothing (it is empty, or older), a ledger that was known to be an old copy is
    /// none the less one: what the former cluster showed still says so.
    pub(super) fn accept_what_is_there(&mut self) {
        if let Some(doubted) = self.own_writes.doubted.take() {
            self.own_writes.sign = Some(doubted);
        }
        let (seq, identity) = (self.seq, &self.cluster.identity);
        if self.cluster.uid != identity.kept {
            let own = &mut self.own_writes;
            let of = own.others.remove(&self.cluster.uid).unwrap_or_default();
            let unseen = std::mem::take(&mut own.unseen_of).into_values().max();
            let unseen = own.unseen.max(unseen.unwrap_or_default());
            let former = Written { latest: own.latest, unseen, seq };
            (own.latest, own.unseen) = (of.latest, of.unseen);
            own.others.insert(identity.kept.clone(), former);
            own.forget_others();
        }
        self.may_have_written(self.now);
    }

    /// Nothing that was seen so far is of the cluster as it is.
    pub(super) fn forget_doubted(&mut self) {
        self.own_writes.doubted = None;
        self.own_writes.later.clear();
        self.own_writes.let_go.clear();
    }

    /// Whether the object shows a write of greffier that is later than all of this ledger. A ledger
    /// that never wrote anything is no copy of one that did, unless its end is lost.
    pub(super) fn look_at_writer(&mut self, body: &ObjectObservedV1) -> bool {
        let own = body.managers.iter().find(|stamp| stamp.is_own());
        let Some(at) = own.and_then(|stamp: &ManagerStamp| stamp.time) else { return false };
        if self.is_shown_in_flight(&body.key, at) {
            return false;
        }
        if self.may_be_own_until(&body.key).is_none_or(|until| at <= until)
            || self.own_writes.is_let_go(&body.key, at)
        {
            return false;
        }
        // What names an application is asked about also where that is only known later: this
        // ledger may be from before it was added.
        let known = self.is_of_this_ledger(body);
        if known || !body.claimed_by.is_empty() {
            self.note_later(body, at);
        }
        if !known {
            return false;
        }
        match self.cluster.doubt() {
            Some(_) => self.note_doubted(&body.key, at),
            None => self.note_sign(&body.key, at),
        }
    }

    /// Whether the object is of an application that this ledger knows: another greffier may have its
    /// own applications in the same cluster.
    fn is_of_this_ledger(&self, body: &ObjectObservedV1) -> bool {
        let known = |app: AppName| self.apps.contains_key(&app);
        self.owned.contains_key(&body.key) || body.claimed_by.parse().is_ok_and(known)
    }

    /// Notes the latest sign; whether it is the first.
    pub(super) fn note_sign(&mut self, key: &ObjectKey, at: Timestamp) -> bool {
        let former = self.own_writes.sign.as_ref();
        if former.is_some_and(|sign| sign.at >= at) {
            return false;
        }
        let first = former.is_none_or(|sign| sign.started < self.started);
        let (key, seq, started) = (key.clone(), self.seq, self.started);
        self.own_writes.sign = Some(Sign { key, at, seq, started });
        first
    }

    /// Notes the latest sign of a cluster that is in doubt: until it is accepted nothing is written.
    fn note_doubted(&mut self, key: &ObjectKey, at: Timestamp) -> bool {
        let former = self.own_writes.doubted.as_ref();
        if former.is_none_or(|sign| sign.at < at) {
            let (key, seq, started) = (key.clone(), self.seq, self.started);
            self.own_writes.doubted = Some(Sign { key, at, seq, started });
        }
        false
    }

    /// Whether the object was made anew, and as greffier, without this ledger knowing of it.
    fn is_anothers(&self, key: &ObjectKey) -> bool {
        let state = self.live.get(key).zip(self.owned.get(key));
        state.is_some_and(|(live, owned)| {
            live.uid != owned.uid && live.owned.is_some() && owned.unseen.is_none()
        })
    }

    /// Whether `write` would put back what is older than a write of greffier that this ledger
    /// does not know of. What Git asks for is no putting back.
    #[must_use]
    pub fn puts_back_older(&self, app: &App, write: &Write) -> bool {
        match write.verb {
            Verb::Heal | Verb::Reclaim | Verb::TakeOver => {
                self.later_write(app, &write.key).is_some() || self.is_anothers(&write.key)
            }
            // Whoever wrote later may have removed it, too.
            Verb::Create if self.makes_again_beside_later(app, write) => true,
            Verb::Create | Verb::Prune if self.stands_beside_otherwise(app) => true,
            // And may have been told something else since.
            Verb::Create | Verb::Update | Verb::Adopt | Verb::Recreate | Verb::Prune => {
                self.is_of_old_copy(app) || self.changes_later(app, write)
            }
        }
    }

    /// Whether `write` would change an object that shows a later write of greffier, and no person
    /// has spoken since: Git may have said what it says when that was written, and a person else
    /// (a rollback, which this ledger has lost).
    fn changes_later(&self, app: &App, write: &Write) -> bool {
        let live = self.live.get(&write.key).map(|live| live.digest);
        let same = |previewed: &Previewed| {
            previewed.digest == write.digest
                && Some(previewed.live) == live
                && previewed.result == Preview::Same
        };
        self.shows_later(&write.key)
            && !self.is_spoken_since_start(app)
            && !app.previews.get(&write.key).is_some_and(same)
    }

    /// Whether the object shows a write of greffier that is later than all of this ledger.
    #[must_use]
    pub fn shows_later(&self, key: &ObjectKey) -> bool {
        self.own_writes.later.contains_key(key)
    }

    /// Whether a person has said since the daemon started what the application is to be.
    fn is_spoken_since_start(&self, app: &App) -> bool {
        let asked = app.asked(self.now);
        let hold = app.hold.as_ref().filter(|hold| hold.automatic.is_none());
        asked.is_some_and(|request| request.is_said_since(self.started))
            || hold.is_some_and(|hold| self.started < hold.seq)
    }

    /// Whether something of the application shows a later write, whatever Git says of it, or
    /// something of the tree that it is in shows one and is wanted otherwise, as far as is known: that
    /// may have been a rollback, which removed as well what is not there, and kept what is. Git may
    /// say by now what the rollback had gone back to. So nothing is made or removed unasked. What is
    /// new in such a tree was not in what it may have gone back to.
    #[must_use]
    pub fn stands_beside_otherwise(&self, app: &App) -> bool {
        if self.own_writes.later.is_empty() || self.is_spoken_since_start(app) {
            return false;
        }
        let root = self.root(app);
        let is_new = !self.owned.values().any(|owned| self.is_app(&owned.app, app));
        self.own_writes.later.keys().any(|key| {
            let owner = self.owned.get(key).map(|owned| &owned.app);
            let apps = self.wanted_by.get(key).into_iter().flatten().chain(owner);
            let mut apps = apps.filter_map(|name| self.apps.get(name));
            apps.any(|of| {
                let same_tree = || {
                    let above = self.root(of);
                    above.is_some_and(|of| root.is_some_and(|root| std::ptr::eq(root, of)))
                };
                std::ptr::eq(of, app)
                    || ((is_new || self.is_wanted_otherwise(of, key)) && same_tree())
            })
        })
    }

    fn is_app(&self, name: &AppName, app: &App) -> bool {
        self.apps.get(name).is_some_and(|known| std::ptr::eq(known, app))
    }

    /// Whether what greffier wrote later is not as the application wants it, or not known to be,
    /// and no person has spoken since.
    fn is_wanted_otherwise(&self, app: &App, key: &ObjectKey) -> bool {
        let desired = app.desired.as_ref().filter(|_| !app.removing);
        let Some(object) = desired.and_then(|desired| desired.objects.get(key)) else {
            // It is to go.
            return self.owned.contains_key(key) && !self.is_spoken_since_start(app);
        };
        let applied = self.owned.get(key).is_some_and(|owned| owned.applied == object.digest);
        let same = match applied {
            true => self.later_write(app, key).is_none(),
            false => app.previews.get(key).is_some_and(|previewed| {
                previewed.digest == object.digest && previewed.result == Preview::Same
            }),
        };
        !same && !self.is_spoken_since_start(app)
    }

    /// The application at the top of the tree that `app` is in; `None` in a circle.
    fn root<'a>(&'a self, app: &'a App) -> Option<&'a App> {
        let mut app = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            let Origin::Parent(parent) = &app.origin else { return Some(app) };
            let Some(parent) = self.apps.get(parent) else { return Some(app) };
            app = parent;
        }
        None
    }

    /// Whether the application shows a later write, and `write` would make again what was applied.
    fn makes_again_beside_later(&self, app: &App, write: &Write) -> bool {
        let owned = self.owned.get(&write.key);
        owned.is_some_and(|owned| owned.applied == write.digest)
            && app.drift.keys().any(|key| self.later_write(app, key).is_some())
    }
}
