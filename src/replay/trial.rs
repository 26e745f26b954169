//! Revisions on trial, and what an application goes back to by itself.
//!
//! A render that asks for something else than the one before is on trial from its first write on,
//! for as long as the rule says ([`RollbackRule`]). Turns the application Degraded meanwhile, or is
//! it not Healthy at the end, then it is held at what was well last ([`Well`]): a render that was
//! Healthy and as Git says when another took its place, or that had passed its own trial.
//!
//! It happens once for a render, never while somebody holds the application, and never to what is
//! in force: so nothing goes back and forth. What Git says meanwhile is tried again
//! (`HoldEnd::NewerInGit`), and what was rolled back from is not, also after a release. What stays
//! whatever becomes of it has its trial all the same: to have been Healthy for a moment is not to
//! have been well.
//!
//! Known limits: what degrades after its trial is nobody's push, and is left alone; and when the
//! first render is bad there is nothing to go back to, which is said.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::application::{App, Desired, Drift};
use super::proposed::same_objects;
use super::world::{Touched, World};
use crate::ledger::event::{
    AppHealthChangedV1, AutoRollback, AutoRollbackRefusedV1, DriftKind, Health, RollbackCause,
    Verb, Write,
};
use crate::model::{AppName, Digest, RollbackRule, Seq, Timestamp};

/// A render that was well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Well {
    /// The last event at which it was.
    pub to: Seq,
    /// When that was.
    pub at: Timestamp,
    /// The render.
    pub desired: Desired,
}

/// A render on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The render.
    pub render: Seq,
    /// When its first write was intended, and when the trial ends; `None` = none was yet.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The event by which the application turned Degraded within its time, and when that was.
    pub degraded: Option<(Seq, Timestamp)>,
    /// Whether it stays, however it fares: that it is rolled back was refused, or it is held.
    pub stays: bool,
    /// Whether it was rolled back from before: then it is not a second time, which is said.
    pub again: bool,
}

/// A rollback by itself that was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The event.
    pub seq: Seq,
    /// Why.
    pub reasons: Vec<String>,
}

/// What is known of how the renders of an application fared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// The last render that was well and is not in force.
    pub well: Option<Box<Well>>,
    /// When what is in force took force: what ended before says nothing of it.
    since: Seq,
    /// When what is in force was well after its trial, where it is not any more.
    passed: Option<(Seq, Timestamp)>,
    /// What is in force and on trial.
    pub trial: Option<Trial>,
    /// What the render asked for that was rolled back from last.
    rolled_back: Option<Digest>,
    /// Why the render in force was not rolled back from.
    pub refused: Option<Refusal>,
}

impl Trials {
    /// What is in force stays, however it fares.
    pub(super) fn stays(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.stays = true;
        }
    }

    /// When a trial ends.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(self.trial.as_ref()?.span?.1)
    }

    /// The clock was set back: what is on trial has been since now at the latest.
    pub(super) fn last_at_most(&mut self, now: Timestamp) {
        if let Some(trial) = &mut self.trial {
            trial.span = trial
                .span
                .map(|(since, ends)| (since.min(now), ends.min(now.plus_ms(ends.ms_since(since)))));
        }
    }
}

impl App {
    /// Whether every object is as the render in force says, and healthy.
    fn is_well(&self) -> bool {
        let synced = self.last_sync.as_ref().zip(self.desired.as_ref());
        // A render that is in force again, after a hold, is older than the last sync of what was
        // held.
        let began = |now: &Desired| now.seq.max(self.trials.since);
        let synced = synced.is_some_and(|(last, now)| last.succeeded && last.seq > began(now));
        // What somebody changed since, and nothing put back, is not as the render says.
        let changed = |drift: &Drift| matches!(drift.kind, DriftKind::Drift | DriftKind::Deleted);
        synced && self.health == Health::Healthy && !self.drift.values().any(changed)
    }
}

/// What a render asks for.
#[must_use]
pub fn asked_for(desired: &Desired) -> Digest {
    let mut hash = Sha256::new();
    for (key, object) in &desired.objects {
        hash.update(key.to_string());
        hash.update([0]);
        hash.update(object.digest.0);
    }
    Digest(hash.finalize().into())
}

impl World {
    /// When the application is rolled back by itself.
    #[must_use]
    pub fn rollback_rule(&self, app: &App) -> RollbackRule {
        app.spec.rollback.unwrap_or(self.rollback)
    }

    /// A render is about to take force.
    pub(super) fn gives_way(&mut self, name: &AppName, new: &Desired) {
        let (seq, now) = (self.seq, self.now);
        let Some(app) = self.apps.get(name) else { return };
        // What people hold of its objects is neither's.
        let Some(former) = app.unheld().map(Cow::into_owned) else { return };
        if same_objects(&former, new) {
            return;
        }
        let rule = self.rollback_rule(app);
        let last = Some((Seq(seq.0.saturating_sub(1)), now)).filter(|_| app.is_well());
        let well = last.or(app.trials.passed).filter(|_| rule.is_on());
        let well = well.map(|(to, at)| Box::new(Well { to, at, desired: former }));
        let Some(app) = self.apps.get_mut(name) else { return };
        let trials = &mut app.trials;
        let well = if rule.is_on() { well.or(trials.well.take()) } else { None };
        let again = trials.rolled_back == Some(asked_for(new));
        let trial = Trial { render: new.seq, span: None, degraded: None, stays: false, again };
        let (trial, rolled_back) = (rule.is_on().then_some(trial), trials.rolled_back);
        *trials = Trials { well, since: seq, trial, rolled_back, ..Trials::default() };
    }

    /// Writes of an application are intended.
    pub(super) fn tries(&mut self, name: &AppName, writes: &[Write]) {
        let now = self.now;
        let deploys = |write: &Write| {
            use Verb::{Adopt, Create, Prune, Recreate, Update};
            matches!(write.verb, Create | Update | Adopt | Recreate | Prune)
        };
        if !writes.iter().any(deploys) {
            return;
        }
        let within = self.apps.get(name).map(|app| self.rollback_rule(app).within_ms);
        let trial = self.apps.get_mut(name).and_then(|app| app.trials.trial.as_mut());
        if let Some((trial, within)) = trial.zip(within) {
            trial.span.get_or_insert((now, now.plus_ms(within)));
        }
    }

    /// The health of an application is about to change.
    pub(super) fn fares(&mut self, seq: Seq, body: &AppHealthChangedV1) {
        let now = self.now;
        let Some(app) = self.apps.get(&body.app) else { return };
        let ends = app.trials.deadline();
        let (over, well) = (ends.is_some_and(|ends| ends <= now), app.is_well());
        let healthy = app.health == Health::Healthy;
        let Some(app) = self.apps.get_mut(&body.app) else { return };
        let trials = &mut app.trials;
        // It was Healthy when its time ended, and until now.
        trials.trial.take_if(|_| over && healthy);
        if well && trials.trial.is_none() {
            trials.passed = Some((Seq(seq.0.saturating_sub(1)), now));
        }
        if let Some(trial) = trials.trial.as_mut().filter(|trial| trial.span.is_some()) {
            let degraded = body.now == Health::Degraded;
            trial.degraded =
                if degraded && !over { trial.degraded.or(Some((seq, now))) } else { None };
        }
    }

    /// What is in force was rolled back from, by itself.
    pub(super) fn rolled_back(&mut self, name: &AppName, from: Option<&AutoRollback>) {
        let Some(app) = self.apps.get_mut(name) else { return };
        app.trials.stays();
        if let Some(from) = from {
            app.trials.rolled_back = Some(from.asked);
            self.rollbacks += 1;
        }
    }

    /// What is in force stays, whatever the rule says.
    pub(super) fn rollback_refused(&mut self, seq: Seq, body: &AutoRollbackRefusedV1) -> Touched {
        self.rollbacks_refused += 1;
        self.with_app(&body.app, |app| {
            app.trials.stays();
            app.trials.refused = Some(Refusal { seq, reasons: body.reasons.clone() });
        })
    }

    /// Why the application is to be rolled back by itself now; `None` = it is not.
    #[must_use]
    pub fn why_rolled_back(&self, app: &App) -> Option<AutoRollback> {
        let rule = self.rollback_rule(app);
        let (desired, trial) = (app.desired.as_ref()?, app.trials.trial.as_ref()?);
        let (since, ends) = trial.span?;
        let nobody = self.observe
            || self.freeze().is_some()
            || self.cluster.lost.is_some()
            || self.cluster.doubt().is_some()
            || app.spec.skip
            || app.removing
            || app.is_held()
            || app.is_paused(self.now);
        // What was seen before a restart says nothing about now.
        let unseen = desired.objects.keys().any(|key| self.cluster.will_be_known(key));
        if nobody || unseen || trial.stays || trial.render != desired.seq {
            return None;
        }
        // What keeps it from being rolled back for a time says nothing of when it turned.
        let degraded = trial.degraded.filter(|_| rule.degraded && app.health == Health::Degraded);
        let (why, at) = if let Some((_, at)) = degraded {
            (RollbackCause::Degraded, at)
        } else if rule.not_healthy && ends <= self.now && app.health != Health::Healthy {
            (RollbackCause::NotHealthy, self.now)
        } else {
            return None;
        };
        Some(AutoRollback {
            why,
            render: desired.seq,
            commit: desired.revision.commit.clone(),
            asked: asked_for(&*app.unheld()?),
            health: trial.degraded.map(|(seq, _)| seq),
            message: app.health_message.clone(),
            after_ms: at.ms_since(since),
        })
    }
}
