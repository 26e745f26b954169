//! Applications that a person holds as they were at an earlier instant.
//!
//! What was in force then is in force again, so that everything that is decided from it (writes,
//! drift, prunes, health) is decided as ever. What Git says meanwhile is rendered and recorded and
//! waits in `proposed`, with [`Cause::Held`] among its causes; it takes force when the hold ends,
//! unless something else has it asked about. A new definition of the application does not end the
//! hold, and what defines it cannot remove it before it is released.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::application::{App, Approval, Cause, Desired, Proposed, SyncRequest};
use super::cluster::Made;
use super::deletions::{CountedFor, gate_hash};
use super::fold::several_waves;
use super::proposed::same_objects;
use super::push::HeldCommit;
use super::trial::asked_for;
use super::world::{Touched, World};
use crate::ledger::event::{
    AppHeldV1, AppHoldEndedV1, AutoRollback, Event, HeldImage, HeldRender, HoldEnd,
};
use crate::model::{AppName, Digest, Seq, Timestamp};

/// The hold of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHold {
    /// The event that began it.
    pub seq: Seq,
    /// The application that is held with everything below it, this one included; `None` = this one
    /// alone is.
    pub tree: Option<AppName>,
    /// The event that began the rollback: of a tree, the one that holds its root.
    pub begun: Seq,
    /// What it took the place of, if all of that was done: what it asked for.
    pub gave_way: Option<Digest>,
    /// The last event of the instant that it is held at.
    pub to: Seq,
    /// The time of that instant.
    pub at: Timestamp,
    /// How the person named the instant.
    pub said: String,
    /// When it was recorded.
    pub made: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// The images that it names by their digests, as the manifests of then did not.
    pub pinned: Vec<String>,
    /// What its rule rolled it back from; `None` = a person holds it.
    pub automatic: Option<Box<AutoRollback>>,
    /// The commits that say the same in Git.
    pub commits: Vec<HeldCommit>,
    /// When a person said last that it is right, though the ledger may be an old copy: the event
    /// that showed what waits, or that asked for a sync. It was carried out.
    pub confirmed: Option<Seq>,
}

impl AppHold {
    /// Whether its time is not over at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// When a person said last what is to be, or a rule that began it.
    #[must_use]
    pub fn said_at(&self) -> Seq {
        self.confirmed.map_or(self.seq, |confirmed| confirmed.max(self.seq))
    }
}

/// Says what the deletions of `waits` count for once it takes force, because a hold ended.
///
/// What was in force and done before is there again because of the release, which is judged by
/// itself: what it deleted when it was new does not count once more. What came meanwhile, or was
/// not done when it gave way, deletes for its commit, together with what that deletes elsewhere.
fn counted_anew(waits: &mut Desired, (hold, end): (&AppHold, HoldEnd), held: Option<&Desired>) {
    match held {
        // What is left of the rollback is still to be done.
        Some(held) if end == HoldEnd::SameAsGit => {
            waits.counted.clone_from(&held.counted);
            waits.deleted.clone_from(&held.deleted);
        }
        _ if hold.gave_way == Some(asked_for(waits)) => {
            waits.counted = Some(CountedFor::Release(hold.begun));
            waits.deleted.clear();
        }
        _ => {}
    }
}

/// The images that are named by their digests, each once.
fn pinned(images: &[HeldImage]) -> Vec<String> {
    let pinned = images.iter().map(|image| &image.pinned).filter(|pinned| !pinned.is_empty());
    pinned.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

impl From<&HeldRender> for Desired {
    fn from(held: &HeldRender) -> Self {
        let objects = held.objects.iter().map(|object| (object.key.clone(), object.clone()));
        let objects = objects.collect();
        Self {
            seq: held.seq,
            declared: held.declared,
            several_waves: several_waves(&objects),
            revision: held.revision.clone(),
            rendered: held.rendered.clone(),
            revisions: held.revisions.clone(),
            inputs: held.inputs,
            sources: held.sources,
            made_with: held.made_with.clone(),
            objects,
            warnings: held.warnings.clone(),
            unknown_kinds: held.unknown_kinds.clone(),
            deleted: BTreeSet::new(),
            counted: None,
        }
    }
}

impl From<&Desired> for HeldRender {
    fn from(desired: &Desired) -> Self {
        Self {
            seq: desired.seq,
            declared: desired.declared,
            revision: desired.revision.clone(),
            rendered: desired.rendered.clone(),
            revisions: desired.revisions.clone(),
            inputs: desired.inputs,
            sources: desired.sources,
            made_with: desired.made_with.clone(),
            objects: desired.objects.values().cloned().collect(),
            warnings: desired.warnings.clone(),
            unknown_kinds: desired.unknown_kinds.clone(),
        }
    }
}

impl Desired {
    /// Whether it asks for the same objects as another render.
    #[must_use]
    pub fn asks_for_the_same(&self, other: &Self) -> bool {
        same_objects(self, other)
    }

    /// Whether it contains the child application.
    #[must_use]
    pub fn defines(&self, child: &AppName) -> bool {
        let mut keys = self.objects.keys();
        keys.any(|key| key.is_application() && key.name() == child.as_str())
    }
}

impl App {
    /// Whether a person holds it as it was at an earlier instant.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// What Git says, as it was rendered last: not what is in force while that is held.
    #[must_use]
    pub fn of_git(&self) -> Option<&Desired> {
        if self.is_held() { self.newest() } else { self.desired.as_ref() }
    }

    /// The render that is judged: the newest one, and what is in force while that is held.
    #[must_use]
    pub fn judged(&self) -> Option<&Desired> {
        self.asked_about().map(|proposed| &proposed.desired).or(self.desired.as_ref())
    }

    /// The render that waits for an approval. While the application is held, what Git says waits
    /// for its release instead.
    #[must_use]
    pub fn asked_about(&self) -> Option<&Proposed> {
        self.proposed.as_deref().filter(|_| !self.is_held())
    }
}

impl World {
    pub(super) fn app_hold(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::AppHeld(body) => self.app_held(seq, body),
            Event::AppHoldEnded(body) => self.app_hold_ended(body),
            // The fold's own match is the exhaustive one.
            _ => Touched::nothing(),
        }
    }

    fn app_held(&mut self, seq: Seq, body: &AppHeldV1) -> Touched {
        // A rule that decided before somebody held it never takes the place of that.
        let held = self.apps.get(&body.app).is_some_and(App::is_held);
        if held && body.automatic.is_some() {
            return Touched::app(&body.app);
        }
        let (now, begun) = (self.now, self.begun_at(seq, body));
        let gave_way = self.apps.get(&body.app).and_then(|app| match &app.hold {
            Some(former) => former.gave_way,
            None => self.asked_and_done(&body.app, app),
        });
        let known = self.apps.get_mut(&body.app).filter(|app| !app.removing);
        let Some(app) = known else { return Touched::nothing() };
        // What Git says, whether it was in force or waited already.
        let (former, lent) = (app.unheld().map(Cow::into_owned), app.lent.unwrap_or(seq));
        let waits = app
            .proposed
            .take()
            .or_else(|| former.map(|desired| Box::new(Proposed { desired, causes: Vec::new() })));
        let counted = Some(match &body.automatic {
            Some(from) => CountedFor::ByRule(from.commit.clone()),
            None => CountedFor::Rollback(begun),
        });
        let _ = self.take_force(&body.app, Desired { counted, ..Desired::from(&body.desired) });
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        app.lent = Some(lent);
        app.proposed = waits;
        if let Some(proposed) = &mut app.proposed {
            proposed.causes.retain(|cause| !matches!(cause, Cause::Held(_)));
            proposed.causes.push(Cause::Held(seq));
        }
        app.hold = Some(AppHold {
            seq,
            tree: body.tree.clone(),
            begun,
            gave_way,
            to: body.to,
            at: body.at,
            said: body.said.clone(),
            made: now,
            until: body.until,
            reason: body.reason.clone(),
            pinned: pinned(&body.images),
            automatic: body.automatic.clone(),
            commits: Vec::new(),
            confirmed: None,
        });
        // Whoever rolls back asks for it to be done once, whatever the policy says. A rule asks for
        // no more to be removed than the policy allows.
        let policy = app.spec.automated.is_some_and(|automated| automated.prune);
        let prune = body.automatic.is_none() || policy;
        app.attempts.clear();
        app.previews.retain(|_, preview| preview.is_answer());
        app.ignore_failures.clear();
        let request = SyncRequest::new(seq, prune, Vec::new(), now);
        app.request = Some(SyncRequest { by_rule: body.automatic.is_some(), ..request });
        app.lapse();
        self.rolled_back(&body.app, body.automatic.as_deref());
        if let Some(approved) = &body.approves {
            // What has moved on since it was shown is asked about.
            let bases = self.gate_bases(&body.app, &approved.writes, &approved.apps);
            let current = gate_hash(&body.app, &bases) == approved.plan;
            if let Some(app) = self.apps.get_mut(&body.app).filter(|_| current) {
                app.approved = Some(Approval { seq, plan: approved.plan, old_copy: None });
                app.approved_bases = bases;
            }
        }
        // What defines it, and whoever has its objects, has to look at them again.
        Touched::all()
    }

    /// The hold because of which something of `app` is to go, where it is not Git that dropped it: its
    /// own, or where it is removed that of the nearest application above it that stays. What defines
    /// it may be removed with it, for the same reason.
    #[must_use]
    pub fn hold_behind<'w>(&'w self, app: &'w App) -> Option<&'w AppHold> {
        self.that_stays(app)?.hold.as_ref()
    }

    /// The rollback, or the release, because of which what `app` does not define any more goes, where
    /// it is not Git alone that dropped it: the event.
    #[must_use]
    pub fn word_behind(&self, app: &App) -> Option<Seq> {
        let app = self.that_stays(app)?;
        let held = app.hold.as_ref().map(|hold| hold.seq);
        held.or_else(|| app.released.map(|released| released.seq))
    }

    /// The application itself, or where it is removed the nearest above it that stays.
    fn that_stays<'w>(&'w self, app: &'w App) -> Option<&'w App> {
        let mut app = app;
        // Bound: no chain of parents is longer, unless it is a circle.
        for _ in 0..=self.apps.len() {
            if !app.removing {
                return Some(app);
            }
            app = self.apps.get(app.origin.parent()?)?;
        }
        None
    }

    /// Whether the hold of an application that its parent does not define any more ends with that: a
    /// rollback of a tree began it, and a later one holds the parent, or what that goes with, as it
    /// was when the application was not there. What somebody holds by itself, or as the root of a
    /// tree, stays until it is released.
    #[must_use]
    pub fn hold_goes_above(&self, name: &AppName, app: &App) -> bool {
        let of_tree = |hold: &&AppHold| hold.tree.as_ref().is_some_and(|root| root != name);
        let Some(hold) = app.hold.as_ref().filter(of_tree) else { return false };
        let parent = app.origin.parent().and_then(|parent| self.apps.get(parent));
        let above = parent.and_then(|parent| self.hold_behind(parent));
        above.is_some_and(|above| above.tree.is_some() && above.seq > hold.seq)
    }

    /// The event that began the rollback which the hold is of: that of a tree holds its root first,
    /// or had held it so already.
    fn begun_at(&self, seq: Seq, body: &AppHeldV1) -> Seq {
        let root = body.tree.as_ref().filter(|root| **root != body.app);
        let root = root.and_then(|root| self.apps.get(root)?.hold.as_ref());
        let with = root.filter(|hold| hold.tree == body.tree && hold.to == body.to);
        with.map_or(seq, |hold| hold.begun)
    }

    fn app_hold_ended(&mut self, body: &AppHoldEndedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        // What ends is that hold, and not one that somebody began meanwhile.
        let Some(ended) = app.hold.take_if(|hold| hold.seq == body.hold) else {
            return Touched::app(&body.app);
        };
        // What Git says as well is Git's from here on.
        app.lent.take_if(|_| body.end == HoldEnd::SameAsGit);
        // Neither what was asked for with it nor what was allowed with it is about Git, unless Git
        // says the very same: then what is left of it is still to be done.
        if body.end == HoldEnd::SameAsGit {
            let waits = app.proposed.as_ref().map(|waits| waits.desired.seq);
            if let Some(request) = app.request.as_mut().filter(|r| r.seq == body.hold) {
                request.render = request.render.and(waits.or(request.render));
            }
        } else {
            app.request.take_if(|request| request.seq == body.hold);
            if app.approved.take_if(|approval| approval.seq == body.hold).is_some() {
                app.approved_bases.clear();
            }
        }
        let mut waits = app.proposed.take();
        if let Some(waits) = &mut waits {
            counted_anew(&mut waits.desired, (&ended, body.end), app.desired.as_ref());
        }
        self.end_holds(&body.app, |hold| body.holds.contains(&hold.seq));
        self.end_adrift(|hold| body.holds.contains(&hold.seq));
        self.note_release(&body.app, ended.to, body.end);
        if let Some(mut proposed) = waits {
            proposed.causes.retain(|cause| !matches!(cause, Cause::Held(_)));
            if proposed.causes.is_empty() {
                let _ = self.take_force(&body.app, proposed.desired);
                self.note_release(&body.app, ended.to, body.end);
            } else if let Some(app) = self.apps.get_mut(&body.app) {
                app.proposed = Some(proposed);
            }
        }
        Touched::all()
    }

    /// What holds found in the cluster and took over is nobody's again once something is in force that
    /// does not want it, Git's word or another hold: nobody ever said that it is to go.
    pub(super) fn give_back(&mut self, app: &AppName) {
        let Some(known) = self.apps.get_mut(app) else { return };
        let held = known.is_held();
        let Some(hold) = (if held { known.lent } else { known.lent.take() }) else { return };
        let since = |made: Made| matches!(made, Made::Found(at) if at > hold);
        let found = self.extras_of(app).filter(|(_, owned, _)| since(owned.made));
        for key in found.map(|(key, ..)| key.clone()).collect::<Vec<_>>() {
            self.disown(&key);
        }
    }

    /// Why the hold of an application is over; `None` = it lasts, or there is none.
    #[must_use]
    pub fn why_hold_over(&self, app: &App) -> Option<HoldEnd> {
        let hold = app.hold.as_ref()?;
        if !hold.holds(self.now) {
            return Some(HoldEnd::Expired);
        }
        // A part of a tree that is as Git says is so by chance: the next push may change it.
        if hold.tree.is_some() {
            return None;
        }
        let held = app.unheld()?;
        let same = match &app.proposed {
            Some(proposed) => {
                // Only Git's newest word counts.
                same_objects(&held, &proposed.desired) && !self.render_pending(app)
            }
            None => {
                let is_wanted = self.wanted(app).is_some_and(|wanted| held.stands_for(&wanted));
                is_wanted && held.declared == app.declared && !self.render_pending(app)
            }
        };
        if same {
            return Some(HoldEnd::SameAsGit);
        }
        let (from, waits) = (hold.automatic.as_ref()?, app.proposed.as_ref()?);
        let newer = asked_for(&waits.desired) != from.asked && !self.render_pending(app);
        newer.then_some(HoldEnd::NewerInGit)
    }
}
