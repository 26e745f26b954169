//! When a later write of greffier, which the ledger does not know of, is let go.
//!
//! A later write may have been a rollback, whose hold an old copy does not have. So Git's word alone
//! lets none go: it may be what was rolled back. A person's word does, once it is carried out. What
//! counts is, given since the daemon started:
//!
//! - a sync that the person asked for, of the objects that it was asked for;
//! - a rollback that the person asked for; none that a rule began;
//! - an approval of what said that the ledger may be an old copy; of no other gate, and of what was
//!   seen and in force before that gate was recorded.
//!
//! When such a sync has ended well, the application is as that person wants it, and Git's word of
//! it is known since the start, so that it was there to be seen. The objects of that application,
//! and of no other, which are as wanted and had shown their later write before the word was given
//! bear it rightly: it is let go up to its time, over restarts. A write later than that is another
//! question.
//!
//! What an application is held at is no word of Git's. So the same words, carried out, say as well
//! that the hold is right, where they are about all of the application, and were given when the hold
//! and the sign were known.
//!
//! An apply of this ledger is nobody's word. One that changes nothing leaves even the time of the
//! write before it, so that the object still bears the later write; one that does change the object
//! ends that only if a person's word asked for it: what is put back meanwhile (an edit, fields that
//! others took) is as Git has it, and Git may say what was rolled back.

use super::application::{App, Approval, SyncRequest};
use super::later::{Later, OwnWrites};
use super::world::World;
use crate::ledger::event::{DriftKind, ObjectObservedV1, Origin, PlanGatedV1, SyncFinishedV1};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};

/// What a person said, and of which objects.
struct Word {
    /// Where the person knew what there was to be seen.
    seq: Seq,
    /// Only these objects; empty = all.
    only: Vec<ObjectKey>,
}

impl Word {
    /// Whether it is about the object, and what that showed at `seen` could be known.
    fn is_about(&self, key: &ObjectKey, seen: Seq) -> bool {
        seen < self.seq && (self.only.is_empty() || self.only.contains(key))
    }
}

impl OwnWrites {
    /// Whether a write of greffier at that time was let go.
    #[must_use]
    pub fn is_let_go(&self, key: &ObjectKey, at: Timestamp) -> bool {
        self.let_go.get(key).is_some_and(|until| at <= *until)
    }

    /// The object is gone.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.later.remove(key);
        self.let_go.remove(key);
    }

    /// An apply of this ledger for `name` was answered, and the object states `written` since.
    /// `asked` says that it carried out a person's word.
    fn wrote(
        &mut self,
        (name, key): (&AppName, &ObjectKey),
        written: Option<Timestamp>,
        asked: bool,
    ) {
        let later = self.later.get(key).map(|later| later.at);
        let let_go = self.let_go.get(key).copied();
        // Nothing changed: the API server leaves the time of the write that did.
        if written.is_some() && (written == later || written == let_go) {
            return;
        }
        self.latest = self.latest.max(written);
        self.let_go.remove(key);
        if asked {
            self.later.remove(key);
        } else if let Some(later) = self.later.get_mut(key) {
            later.claimed_by = Some(name.clone());
        }
    }
}

impl SyncRequest {
    /// Whether a person asked for it since.
    pub(super) fn is_said_since(&self, since: Seq) -> bool {
        since < self.seq && !self.by_rule
    }
}

impl World {
    /// Notes that the object shows a later write.
    pub(super) fn note_later(&mut self, body: &ObjectObservedV1, at: Timestamp) {
        let claimed_by: Option<AppName> = body.claimed_by.parse().ok();
        let known = self.own_writes.later.get(&body.key);
        if known.is_none_or(|known| known.at < at || known.claimed_by != claimed_by) {
            let at = known.map_or(at, |known| known.at.max(at));
            let later = Later { at, seq: self.seq, claimed_by };
            self.own_writes.later.insert(body.key.clone(), later);
        }
    }

    /// A write of this ledger was made, as the answer to `intent` says.
    pub(super) fn wrote_at(
        &mut self,
        name: &AppName,
        key: &ObjectKey,
        (intent, written): (Seq, Option<Timestamp>),
    ) {
        let asked = self.is_asked_for(name, key, intent);
        self.own_writes.wrote((name, key), written, asked);
    }

    /// Whether what `intent` did to an object that shows a later write carried out a person's word,
    /// given when that was seen and before the intent.
    fn is_asked_for(&self, name: &AppName, key: &ObjectKey, intent: Seq) -> bool {
        let later = self.own_writes.later.get(key);
        let Some((app, later)) = self.apps.get(name).zip(later) else { return false };
        let request = app.asked(self.now).filter(|request| request.seq < intent);
        let approved = app.approved.filter(|approval| approval.seq < intent);
        let mut words = self.words(app, request, approved);
        let hold = app.hold.as_ref().filter(|hold| hold.automatic.is_none());
        let hold = hold.filter(|hold| self.started < hold.seq && hold.seq < intent);
        words.extend(hold.map(|hold| Word { seq: hold.seq, only: Vec::new() }));
        words.iter().any(|word| word.is_about(key, later.seq))
    }

    /// Whether something waits at the gate because the ledger may be an old copy, and the gate says
    /// so.
    pub(super) fn asks_as_old_copy(&self, body: &PlanGatedV1) -> bool {
        let Some(app) = self.apps.get(&body.app) else { return false };
        let mut writes = body.writes.iter();
        writes.any(|write| self.first_contact(write).is_none() && self.puts_back_older(app, write))
    }

    /// A sync ended: lets go what a person's word covers. Returns whether that changes what others
    /// wait for.
    pub(super) fn lets_go(&mut self, body: &SyncFinishedV1) -> bool {
        let Some(app) = self.apps.get(&body.app).filter(|_| body.succeeded) else { return false };
        let request = app.request.as_ref().filter(|request| Some(request.seq) == body.request);
        let approved = app.approved.filter(|approval| Some(approval.seq) == body.approval);
        let words = self.words(app, request, approved);
        let confirms = self.confirms(app, &words);
        let go = match self.is_git_known(app) && !words.is_empty() {
            true => self.covered(&body.app, app, &words),
            false if confirms.is_none() => return false,
            false => Vec::new(),
        };
        for (key, at) in &go {
            self.own_writes.later.remove(key);
            self.own_writes.let_go.insert(key.clone(), *at);
        }
        let app = self.apps.get_mut(&body.app);
        if let Some(hold) = app.and_then(|app| app.hold.as_mut()).filter(|_| confirms.is_some()) {
            hold.confirmed = confirms;
        }
        self.settle_sign() || !go.is_empty() || confirms.is_some()
    }

    /// What of `words` says that the hold is right, of what is known from an old copy alone: whoever
    /// said it knew of the hold and of the sign, and meant all of the application.
    fn confirms(&self, app: &App, words: &[Word]) -> Option<Seq> {
        let (hold, sign) = (app.hold.as_ref()?, self.old_copy()?);
        let known = hold.seq.max(sign.seq);
        let mut words = words.iter().filter(|word| word.only.is_empty() && known < word.seq);
        let unsaid = hold.said_at() <= sign.started;
        words.next().map(|word| word.seq).filter(|_| unsaid)
    }

    /// What of these people said since the start.
    fn words(
        &self,
        app: &App,
        request: Option<&SyncRequest>,
        approved: Option<Approval>,
    ) -> Vec<Word> {
        let request = request.filter(|request| request.is_said_since(self.started));
        let gate = approved.and_then(|approval| approval.old_copy);
        let request = request.map(|r| Word { seq: r.seq, only: r.only.clone() });
        // What took force since was not shown.
        let shown = |gate: &Seq| app.desired.as_ref().is_some_and(|desired| desired.seq < *gate);
        let gate = gate.filter(|gate| self.started < *gate).filter(shown);
        let approval = gate.map(|seq| Word { seq, only: Vec::new() });
        request.into_iter().chain(approval).collect()
    }

    /// Whether Git has said since the daemon started what the application is, and it is rendered; of
    /// what defines it as well.
    fn is_git_known(&self, app: &App) -> bool {
        let mut app = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            let is_known = app.of_git().is_some_and(|desired| {
                desired.declared == app.declared
                    && self.wanted(app).is_some_and(|wanted| desired.stands_for(&wanted))
            });
            if app.removing || !is_known || self.not_heard(app).is_some() {
                return false;
            }
            let Origin::Parent(parent) = &app.origin else { return true };
            let Some(parent) = self.apps.get(parent) else { return false };
            app = parent;
        }
        false
    }

    /// The later writes that `words` cover, with their times.
    fn covered(&self, name: &AppName, app: &App, words: &[Word]) -> Vec<(ObjectKey, Timestamp)> {
        let said = |key: &ObjectKey, seen| words.iter().any(|word| word.is_about(key, seen));
        let later = self.own_writes.later.iter();
        let later = later.filter(|(key, later)| {
            let claimed = later.claimed_by.as_ref().is_none_or(|claims| claims == name);
            said(key, later.seq) && claimed && self.bears_rightly(name, app, key)
        });
        // What is told by a comparison alone, beside what others added.
        let drift = app.drift.iter().filter(|(key, drift)| {
            said(key, drift.seq)
                && !self.shows_later(key)
                && self.later_write(app, key).is_some()
                && self.bears_rightly(name, app, key)
        });
        let drift = drift.filter_map(|(key, drift)| Some((key.clone(), drift.later?)));
        later.map(|(key, later)| (key.clone(), later.at)).chain(drift).collect()
    }

    /// Whether the object is the application's and no other's, and as it wants it: there as it was
    /// applied, or wanted and owned by nobody.
    fn bears_rightly(&self, name: &AppName, app: &App, key: &ObjectKey) -> bool {
        let mut wanted_by = self.wanted_by.get(key).into_iter().flatten();
        let owned = self.owned.get(key);
        if wanted_by.any(|other| other != name) || owned.is_some_and(|owned| owned.app != *name) {
            return false;
        }
        let desired = app.desired.as_ref().and_then(|desired| desired.objects.get(key));
        let (Some(object), Some(owned)) = (desired, owned) else {
            return desired.is_none() && owned.is_none();
        };
        let drifted = app.drift.get(key).is_some_and(|drift| drift.kind != DriftKind::Addition);
        owned.applied == object.digest
            && !drifted
            && self.live.get(key).is_some_and(|live| live.uid == owned.uid && !live.deleting)
    }

    /// The sign is over where nothing rests on it any more: no object shows a later write that was
    /// not let go, and of every application Git or a person has said since what it is to be. As long
    /// as objects show one, it is one of theirs. Returns whether it ended.
    pub(super) fn settle_sign(&mut self) -> bool {
        // What a cluster in doubt shows is no sign, and tells nothing of the kept one.
        if self.own_writes.sign.is_none() || self.cluster.doubt().is_some() {
            return false;
        }
        let of_ours = |key: &ObjectKey, later: &Later| {
            let named = later.claimed_by.as_ref().is_some_and(|app| self.apps.contains_key(app));
            named || self.owned.contains_key(key)
        };
        let later = self.own_writes.later.iter().filter(|(key, later)| of_ours(key, later));
        let later = later.map(|(key, later)| (later.at, key.clone(), later.seq));
        let drift = self.apps.values().flat_map(|app| {
            let later = |key| self.later_write(app, key);
            app.drift.iter().filter_map(move |(key, d)| Some((later(key)?, key.clone(), d.seq)))
        });
        let latest = later.chain(drift).max();
        let waits = self.apps.values().any(|app| self.is_of_old_copy(app));
        match (&mut self.own_writes.sign, latest) {
            (Some(sign), Some((at, key, seq))) => {
                (sign.at, sign.key, sign.seq) = (at, key, seq);
                false
            }
            (sign, None) if !waits => sign.take().is_some(),
            _ => false,
        }
    }
}
