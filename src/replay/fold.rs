//! The fold: how each event changes the world.
//!
//! Every event is considered by name: the match has no wildcard, so that a new event cannot be
//! forgotten here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::application::{
    App, Approval, Desired, Drift, Gate, Proposed, RenderProblem, SyncSummary,
};
use super::attributed::Attributed;
use super::deletions::gate_hash;
use super::git::may_name;
use super::hold::{Hold, why_not_kept};
use super::proposed::proposal_base;
use super::world::{Touched, World};
use super::writes::retry_at;
use crate::config::{people_of, rollback_of};
use crate::ledger::event::{
    AppDeclaredV1, AppRefusedV1, AppRemovedV1, ConfigLoadedV1, DesiredObject, DriftDetectedV1,
    DriftKind, Event, Origin, PlanApprovedV1, PlanGatedV1, RefMovedV1, RemovalAwaitedV1,
    RenderFailedV1, RenderSucceededV1, RenderVariedV1, SyncFinishedV1, WritesSuspendedV1,
};
use crate::model::{AppName, AppSpec, Digest, ObjectKey, Seq, Timestamp};

impl World {
    /// Folds one event in and returns what it may have changed the plan of.
    ///
    /// Ordering: events must come in the order of their sequence numbers, without gaps.
    pub fn apply(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        self.seq = seq;
        let set_back = self.follow_clock(recorded);
        let later = self.own_writes.later.len();
        let touched = self.fold(seq, recorded, event);
        // What waits beside an object that greffier wrote later may be of another application.
        let fewer = self.own_writes.later.len() < later;
        if set_back || fewer || self.may_end_waits(event) {
            Touched::all()
        } else {
            let mut touched = touched.and(self.waited_for(event));
            touched.apps.extend(self.gated_above(&touched));
            touched
        }
    }

    /// What people call an instant, and what another cluster is given, decide nothing.
    fn fold(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        use Event::{RecoveryBegun, RecoveryIntent, RecoveryOutcome};
        match event {
            Event::LedgerCreated(_)
            | Event::HistoryImported(_)
            | Event::Marked(_)
            | Event::RecoveryFinished(_)
            | Event::RecoveryAbandoned(_)
            | Event::DaemonStopped(_) => Touched::nothing(),
            Event::LedgerRepaired(body) => self.ledger_repaired(body.possibly_acknowledged),
            Event::CommitRecorded(body) => self.arrived(&body.commit),
            Event::PushIntended(_) | Event::PushEnded(_) => self.pushed(seq, recorded, event),
            Event::ConfigLoaded(body) => self.config_loaded(body),
            Event::DaemonStarted(body) => self.daemon_started(seq, body.observe),
            Event::HistoryRewritten(body) => self.history_rewritten(seq, body),
            Event::RefMoved(body) => self.ref_moved(body),
            Event::FetchFailed(body) => self.fetch_failed(body),
            Event::FetchRecovered(_) | Event::FetchUnchanged(_) => self.heard(event),
            Event::AppDeclared(body) => self.app_declared(seq, body),
            Event::AppRemoved(body) => self.app_removed(body),
            Event::AppRefused(body) => self.app_refused(body),
            Event::RenderSucceeded(body) => self.render_succeeded(seq, body),
            Event::RevisionAdvanced(body) => self.revision_advanced(body),
            Event::RenderFailed(body) => self.render_failed(seq, body),
            Event::ProgramsFound(body) => self.programs_found(body),
            Event::RenderVaried(body) => self.render_varied(body),
            Event::AppHealthChanged(body) => self.health_changed(seq, body),
            Event::ObjectHealthChanged(body) => self.object_health_changed(body),
            Event::PlanGated(body) => self.plan_gated(seq, body),
            Event::GateLapsed(body) => self.with_app(&body.app, |app| app.lapse()),
            Event::PlanApproved(body) => self.plan_approved(seq, body),
            Event::RemovalAwaited(_) | Event::WritesSuspended(_) => self.waiting(event),
            Event::DriftDetected(body) => self.drift_detected(seq, body),
            Event::ContestNamed(_) | Event::ContestEnded(_) => self.contest(seq, event),
            Event::ReplicasLeft(body) => self.replicas_left(body),
            Event::ObjectPreviewed(body) => self.object_previewed(seq, body),
            Event::IgnoreChecked(_) | Event::IgnoreFailed(_) => self.ignoring(seq, event),
            Event::IntentRecorded(body) => self.intent_recorded(seq, recorded, body),
            Event::OutcomeRecorded(body) => self.outcome_recorded(seq, body),
            Event::IntentSettled(body) => self.intent_settled(seq, body),
            Event::SyncFinished(body) => self.sync_finished(seq, body),
            Event::ClusterIdentified(_)
            | Event::ClusterReplaced(_)
            | Event::ClusterReverted(_)
            | Event::ClusterAccepted(_) => self.identity(seq, event),
            Event::ClusterLost(_) | Event::ClusterFound(_) => self.reached(event),
            Event::WatchGap(body) => self.watch_gap(seq, body),
            Event::KindsServed(body) => self.kinds_served(body),
            Event::ObjectObserved(body) => self.object_observed(seq, recorded, body),
            Event::ObjectGone(body) => self.object_gone(body),
            Event::KindListed(body) => self.kind_listed(body),
            Event::AuditReceived(_)
            | Event::AuditRead(_)
            | Event::AuditTroubled(_)
            | Event::AttributionResolved(_)
            | Event::AuditGapSuspected(_) => self.audited(seq, recorded, event),
            RecoveryBegun(_) | RecoveryIntent(_) | RecoveryOutcome(_) => self.replay(seq, event),
            Event::DeadlineReached(body) => self.deadline_reached(body.deadline),
            Event::SyncRequested(_)
            | Event::Paused(_)
            | Event::Resumed(_)
            | Event::Frozen(_)
            | Event::Unfrozen(_)
            | Event::HoldBegun(_)
            | Event::HoldEnded(_) => self.decided(seq, event),
            Event::AppHeld(_) | Event::AppHoldEnded(_) => self.app_hold(seq, event),
            Event::AutoRollbackRefused(body) => self.rollback_refused(seq, body),
            Event::RestoreIntended(_) | Event::RestoreEnded(_) => self.once(seq, recorded, event),
        }
    }

    /// What is written once, because nobody's application has it.
    fn once(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        match event {
            Event::RestoreIntended(body) => self.restore_intended(seq, recorded, body),
            Event::RestoreEnded(body) => self.restore_ended(body),
            _ => Touched::nothing(),
        }
    }

    pub(super) fn writes_suspended(&mut self, body: &WritesSuspendedV1) -> Touched {
        self.with_app(&body.app, |app| app.suspended.clone_from(&body.reasons))
    }

    fn config_loaded(&mut self, body: &ConfigLoadedV1) -> Touched {
        self.config = Digest::of(body.toml.as_bytes());
        self.people = people_of(&body.toml);
        self.rollback = rollback_of(&body.toml);
        Touched::nothing()
    }

    pub(super) fn with_app(&mut self, name: &AppName, change: impl FnOnce(&mut App)) -> Touched {
        match self.apps.get_mut(name) {
            Some(app) => {
                change(app);
                Touched::app(name)
            }
            None => Touched::nothing(),
        }
    }

    fn daemon_started(&mut self, seq: Seq, observe: bool) -> Touched {
        self.started = seq;
        self.observe = observe;
        let _ = self.settle_sign();
        self.attributed = Attributed::default();
        // What an earlier run knew of absence is stale until every kind is listed again.
        self.cluster.begin(seq);
        self.cluster.lost = None;
        // This run's observer is told of what was observed; of an answer alone it knows nothing.
        for live in self.live.values_mut() {
            live.shown = !live.answered;
        }
        for intent in self.intents.values_mut() {
            intent.orphaned = true;
        }
        self.orphan_restores();
        self.orphan_pushes();
        // What the machine was at fault for may have been mended with the restart.
        let problems = self.apps.values_mut().filter_map(|app| app.render_problem.as_mut());
        for problem in problems.filter(|problem| problem.transient) {
            problem.next = Some(self.now);
        }
        Touched::all()
    }

    fn ref_moved(&mut self, body: &RefMovedV1) -> Touched {
        let mut sources = self.apps.values().flat_map(|app| &app.spec.sources);
        let is_followed = sources.any(|s| s.repo == body.repo && may_name(&s.revision, &body.name));
        let repo = self.repos.entry(body.repo.clone()).or_default();
        let first = repo.told(self.seq, self.started, true);
        repo.gone.remove(&body.name);
        match &body.new {
            Some(commit) => drop(repo.refs.insert(body.name.clone(), commit.clone())),
            None => {
                let left = repo.refs.remove(&body.name).filter(|_| is_followed);
                repo.gone.extend(left.map(|commit| (body.name.clone(), commit)));
            }
        }
        let touched = self.apps_of_repo(&body.repo);
        for name in &touched.apps {
            self.forget_solved_problem(name);
            self.forget_undone_rewrite(name, &body.repo, &body.name);
        }
        let touched = touched.and(self.caught_up());
        if first { Touched::all() } else { touched }
    }

    /// A ref that moved back to what was rendered last leaves nothing to be rendered.
    fn forget_solved_problem(&mut self, name: &AppName) {
        let app = self.apps.get(name).filter(|app| app.render_problem.is_some());
        let Some(app) = app else { return };
        let Some(desired) = app.of_git().filter(|d| d.declared == app.declared) else { return };
        let back = self.wanted(app).is_some_and(|wanted| desired.stands_for(&wanted));
        if back && let Some(app) = self.apps.get_mut(name) {
            app.render_problem = None;
        }
    }

    fn app_declared(&mut self, seq: Seq, body: &AppDeclaredV1) -> Touched {
        let Ok(manifest) = serde_json::from_slice(&body.manifest) else {
            return Touched::nothing();
        };
        // Whoever appends the event has parsed the same bytes; a definition that this version
        // cannot read leaves the former one in force.
        let Ok(spec) = AppSpec::parse(&manifest) else { return Touched::nothing() };
        let digest = Digest::of(&body.manifest);
        self.count_definition(body, digest);
        self.left.remove(&body.app);
        let arrival = self.note_entering(seq, &body.app, &body.origin);
        let asked_by = self.asked_by(&body.app, &body.origin);
        let app = match self.apps.entry(body.app.clone()) {
            Entry::Occupied(known) => {
                let app = known.into_mut();
                if app.spec.retry != spec.retry {
                    // What was given up under another policy is tried under this one.
                    app.attempts.retain(|_, attempt| attempt.next.is_some());
                }
                if app.spec.sources != spec.sources {
                    // Whoever names another source asks for what it says.
                    app.rewritten = None;
                }
                app.spec = spec;
                app.manifest = digest;
                app.origin = body.origin.clone();
                app.declared = seq;
                app
            }
            Entry::Vacant(new) => new.insert(App::new(spec, digest, body.origin.clone(), seq)),
        };
        (app.asked_by, app.dropped) = (asked_by, None);
        app.arrival = arrival.unwrap_or_else(|| std::mem::take(&mut app.arrival));
        if std::mem::take(&mut app.removing) {
            self.want_all(&body.app);
            self.gather_all(&body.app);
        }
        // The parent's view of its child changed as well.
        Touched::all()
    }

    fn app_refused(&mut self, body: &AppRefusedV1) -> Touched {
        let (Origin::Parent(parent), Ok(child)) = (&body.origin, body.app.parse::<AppName>())
        else {
            return Touched::nothing();
        };
        let _ = self.with_app(parent, |app| {
            let objects = app.desired.iter().flat_map(|desired| desired.objects.values());
            let mut manifests = objects.filter(|object| is_child(object, &body.app));
            if let Some(manifest) = manifests.next().and_then(|object| object.application.as_ref())
            {
                app.refused.insert(child, (Digest::of(manifest), body.error.clone()));
            }
        });
        // What is below the child waited for its new definition, and so may what leaves others.
        Touched::all()
    }

    fn app_removed(&mut self, body: &AppRemovedV1) -> Touched {
        let known = self.apps.get(&body.app).map(|app| app.declared);
        if body.declared.is_some() && body.declared != known {
            // Somebody defined it anew, and was told so.
            return Touched::app(&body.app);
        }
        let held = self.apps.get(&body.app).filter(|app| app.is_held());
        let stays = held.is_some_and(|app| !self.hold_goes_above(&body.app, app));
        if stays && matches!(body.origin, Origin::Parent(_)) {
            // Somebody held it meanwhile: it goes when it is released.
            return Touched::all();
        }
        self.count_child_gone(body);
        if body.cascade && self.apps.contains_key(&body.app) {
            self.unwant_all(&body.app);
            if let Some(app) = self.apps.get_mut(&body.app) {
                app.removing = true;
                app.hold = None;
                app.proposed = None;
                app.attempts.clear();
            }
            self.pass_on(&body.app);
            self.cast_off_all(&body.app);
            self.count_removal(body);
        } else {
            self.note_left(body);
            self.unwant_all(&body.app);
            // Whoever removes an application without its objects lets go of them. Of one that
            // takes its objects along, what another wants goes on to that one.
            if self.apps.get(&body.app).is_some_and(|app| app.removing) {
                self.bequeath(&body.app);
            }
            self.cast_off_all(&body.app);
            self.apps.remove(&body.app);
            self.disown_all(&body.app);
        }
        Touched::all()
    }

    /// The objects of a removed child count as deletions of what removed it, but for those that are
    /// another's now.
    fn count_removal(&mut self, body: &AppRemovedV1) {
        let Origin::Parent(parent) = &body.origin else { return };
        let desired = self.apps.get(parent).and_then(|parent| parent.desired.as_ref());
        if let Some(counted) = desired.map(Desired::counted_for) {
            self.count_deletions(&counted, self.owned_count(&body.app));
            self.note_went(&body.app, &counted);
        }
    }

    fn render_succeeded(&mut self, seq: Seq, body: &RenderSucceededV1) -> Touched {
        let Some(app) = self.rendered_app(&body.app, body.declared) else {
            return Touched::nothing();
        };
        app.render_problem = None;
        app.remember_render(body.inputs, seq);
        app.rewritten.take_if(|rewrite| body.restores.contains(&rewrite.dropped));
        let mut new = Desired::of(seq, body);
        let others = self.met_programs(&body.made_with);
        let causes = self.causes_to_ask(&body.app, &new);
        if causes.is_empty() {
            let held = self.apps.get(&body.app).filter(|app| app.is_held());
            if let Some(held) = held.and_then(|app| app.desired.as_ref()) {
                // Git says what is held, and what is left of that is still to be done.
                new.counted.clone_from(&held.counted);
                new.deleted.clone_from(&held.deleted);
            }
            return self.take_force(&body.app, new).and(others);
        }
        if let Some(app) = self.apps.get_mut(&body.app) {
            app.proposed = Some(Box::new(Proposed { desired: new, causes }));
        }
        let mut touched = self.caught_up().and(others);
        touched.apps.insert(body.app.clone());
        touched
    }

    /// From here on `new` is what the application wants.
    pub(super) fn take_force(&mut self, name: &AppName, mut new: Desired) -> Touched {
        self.gives_way(name, &new);
        self.count_entered(name);
        let Some(app) = self.apps.get_mut(name) else { return Touched::nothing() };
        app.lay_over(&mut new);
        let objects = &new.objects;
        // A manifest that changed deserves a new try at once.
        app.attempts.retain(|key, attempt| match objects.get(key) {
            Some(object) => object.digest == attempt.digest,
            None => attempt.digest.is_zero(),
        });
        app.proposed = None;
        app.released = None;
        app.rewritten = None;
        if !app.desired.as_ref().is_some_and(|former| former.asks_for_the_same(&new)) {
            app.counts = (0, 0, 0);
        }
        app.drift.retain(|key, _| objects.contains_key(key));
        app.rivals.retain(|key, _| objects.contains_key(key));
        let unwanted = |hold: &mut Hold| !objects.contains_key(hold.of.key());
        let cast_off = app.holds.extract_if(.., unwanted).collect();
        app.previews.retain(|key, preview| {
            objects.get(key).is_some_and(|object| object.digest == preview.digest)
        });
        app.unwell.retain(|key, _| objects.contains_key(key));
        let counted =
            |key: &ObjectKey| objects.get(key).is_some_and(|object| object.replicas.is_some());
        app.replicas_left.retain(|(key, _)| counted(key));
        app.ignore_failures.retain(|key, _| objects.contains_key(key));
        app.refused.retain(|child, _| objects.values().any(|o| is_child(o, child.as_str())));
        let (left, entered) = changed_keys(app.desired.as_ref(), &new);
        app.desired = Some(new);
        self.note_dropped(name, &left, &entered);
        for key in &left {
            self.unwant(key, name);
        }
        for key in &entered {
            self.want(key, name);
            self.gather_holds(key);
        }
        self.cast_off(name, cast_off);
        let mut touched = self.caught_up();
        touched.apps.insert(name.clone());
        for key in left.iter().chain(&entered) {
            // Others wait for their namespaces and kinds, whoever brings them.
            touched.all |= key.is("", "Namespace") || key.group() == "apiextensions.k8s.io";
            touched.apps.extend(self.wanted_by.get(key).into_iter().flatten().cloned());
            touched.apps.extend(self.owned.get(key).map(|owned| owned.app.clone()));
            // A child that is not defined any more waits for nothing of its parent.
            touched.apps.extend(key.child());
        }
        self.note_arrivals(name, entered);
        self.own_what_was_brought(name);
        self.disown_absent(name);
        self.give_back(name);
        touched
    }

    /// The application that a render was for, unless its definition was replaced or removed
    /// meanwhile: then the render says nothing about what is wanted now.
    pub(super) fn rendered_app(&mut self, name: &AppName, declared: Seq) -> Option<&mut App> {
        self.apps.get_mut(name).filter(|app| app.declared == declared && !app.removing)
    }

    fn render_varied(&mut self, body: &RenderVariedV1) -> Touched {
        self.with_app(&body.app, |app| app.varies.clone_from(&body.fields))
    }

    fn render_failed(&mut self, seq: Seq, body: &RenderFailedV1) -> Touched {
        let now = self.now;
        let Some(app) = self.rendered_app(&body.app, body.declared) else {
            return Touched::nothing();
        };
        let former = app.render_problem.as_ref();
        let same = |former: &&RenderProblem| {
            former.declared == body.declared && former.commits == body.commits
        };
        let failures = former.filter(same).map_or(0, |former| former.failures).saturating_add(1);
        let since = former.map_or(&body.commits, |former| &former.since).clone();
        let first = former.map_or(seq, |former| former.first);
        app.render_problem = Some(RenderProblem {
            seq,
            declared: body.declared,
            commit: body.commit.clone(),
            commits: body.commits.clone(),
            since,
            first,
            error: body.error.clone(),
            transient: body.transient,
            failures,
            next: body.transient.then(|| retry_at(now, failures)),
        });
        let mut touched = self.caught_up();
        touched.apps.insert(body.app.clone());
        touched
    }

    fn plan_gated(&mut self, seq: Seq, body: &PlanGatedV1) -> Touched {
        // An approval covers what the person was shown. When that has moved on already, this gate
        // covers nothing: what is planned now is gated anew, also if it is the same again.
        let mut bases = self.gate_bases(&body.app, &body.writes, &body.apps);
        bases.extend(body.render.map(proposal_base));
        let current = gate_hash(&body.app, &bases) == body.plan;
        let old_copy = current && self.asks_as_old_copy(body);
        self.with_app(&body.app, |app| {
            let render = app.desired.as_ref().map(|desired| desired.seq);
            if let Some(request) = &mut app.request {
                request.render = request.render.or(render);
            }
            app.lapse();
            // What comes back is what waits.
            app.lapsed.retain(|plan| *plan != body.plan);
            app.gate = Some(Gate {
                seq,
                plan: body.plan,
                reasons: body.reasons.clone(),
                writes: body.writes.iter().map(|w| (w.verb, w.key.clone())).collect(),
                apps: body.apps.clone(),
                bases: if current { bases } else { BTreeSet::new() },
                render: body.render.filter(|_| current),
                old_copy,
            });
        })
    }

    fn plan_approved(&mut self, seq: Seq, body: &PlanApprovedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        // An approval of anything but what is gated now came too late.
        let Some(gate) = app.gate.take_if(|gate| gate.plan == body.plan) else {
            return Touched::app(&body.app);
        };
        let old_copy = gate.old_copy.then_some(gate.seq);
        app.approved = Some(Approval { seq, plan: body.plan, old_copy });
        app.approved_bases = gate.bases;
        let proposed = app.proposed.take_if(|p| Some(p.desired.inputs) == gate.render);
        match proposed {
            Some(proposed) => {
                // Whoever asked for the sync asked for what is approved now.
                if let Some(request) = &mut app.request {
                    request.render = request.render.and(Some(proposed.desired.seq));
                }
                self.take_force(&body.app, proposed.desired)
            }
            None => Touched::app(&body.app),
        }
    }

    pub(super) fn removal_awaited(&mut self, body: &RemovalAwaitedV1) -> Touched {
        let now = self.now;
        self.with_app(&body.app, |app| {
            let former = std::mem::take(&mut app.awaits);
            let since = |key: &ObjectKey| former.get(key).copied().unwrap_or(now);
            app.awaits = body.objects.iter().map(|key| (key.clone(), since(key))).collect();
        })
    }

    fn drift_detected(&mut self, seq: Seq, body: &DriftDetectedV1) -> Touched {
        // The comparison ended after the object was written again: what it judged is no more.
        let state = self.live.get(&body.key).zip(self.owned.get(&body.key));
        let written = state.is_some_and(|(live, owned)| {
            live.object == owned.object && live.seq > body.observation
        });
        if written && body.kind != DriftKind::Deleted {
            return Touched::app(&body.app);
        }
        let now = self.now;
        self.with_app(&body.app, |app| {
            app.ignore_failures.remove(&body.key);
            if matches!(body.kind, DriftKind::Drift | DriftKind::Deleted)
                && app.attempts.get(&body.key).is_some_and(|attempt| attempt.next.is_none())
            {
                // A failed sync ends no healing: another change by somebody deserves other tries.
                app.attempts.remove(&body.key);
            }
            app.flipped(seq, now, body);
            if body.kind == DriftKind::None {
                app.drift.remove(&body.key);
                return;
            }
            let drift = Drift {
                seq,
                observation: body.observation,
                mask: body.mask,
                kind: body.kind,
                fields: body.fields.clone(),
                managers: body.managers.iter().map(|m| m.manager.clone()).collect(),
                may_be_kept: why_not_kept(body).is_none(),
                later: body.later,
            };
            app.drift.insert(body.key.clone(), drift);
        });
        let app = self.apps.get(&body.app);
        match app.and_then(|app| self.later_write(app, &body.key)) {
            Some(at) if self.note_sign(&body.key, at) => Touched::all(),
            _ if self.shows_later(&body.key) => Touched::all(),
            _ => Touched::app(&body.app),
        }
    }

    fn sync_finished(&mut self, seq: Seq, body: &SyncFinishedV1) -> Touched {
        let at = self.now;
        let lets_go = self.lets_go(body);
        let touched = self.with_app(&body.app, |app| {
            app.counts = (0, 0, 0);
            // A request that came between the decision and its record is another one.
            if app.request.as_ref().map(|request| request.seq) == body.request {
                app.request = None;
            }
            // And so is an approval. What was approved and is not done is approved.
            let same = app.approved.map(|approval| approval.seq) == body.approval;
            if same && (body.succeeded || app.attempts.is_empty()) {
                app.approved = None;
                app.approved_bases.clear();
            }
            app.last_sync = Some(SyncSummary {
                seq,
                commit: body.commit.clone(),
                succeeded: body.succeeded,
                message: body.message.clone(),
                at,
            });
        });
        if lets_go { Touched::all() } else { touched }
    }

    fn deadline_reached(&mut self, deadline: Timestamp) -> Touched {
        // The event says that the time has come, whatever clock recorded it.
        self.now = self.now.max(deadline);
        let now = self.now;
        if self.frozen.as_ref().is_some_and(|freeze| !freeze.holds(now)) {
            return Touched::all();
        }
        let due = self.apps.iter().filter(|(_, app)| app.deadlines().any(|at| at <= now));
        Touched { apps: due.map(|(name, _)| name.clone()).collect(), all: false }
    }
}

/// Whether the object defines the child application `name`.
fn is_child(object: &DesiredObject, name: &str) -> bool {
    object.key.is_application() && object.key.name() == name
}

/// Whether some of the objects wait for others.
pub(super) fn several_waves(objects: &BTreeMap<ObjectKey, DesiredObject>) -> bool {
    let mut waves = objects.values().map(|object| object.wave);
    let first = waves.next();
    waves.any(|wave| Some(wave) != first)
}

/// The objects that left and that entered an application with a render.
fn changed_keys(former: Option<&Desired>, new: &Desired) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
    let former = former.map(|former| &former.objects);
    let left = former.into_iter().flat_map(|objects| objects.keys());
    let left = left.filter(|key| !new.objects.contains_key(*key)).cloned().collect();
    let known = |key: &&ObjectKey| former.is_some_and(|objects| objects.contains_key(*key));
    let entered = new.objects.keys().filter(|key| !known(key)).cloned().collect();
    (left, entered)
}
