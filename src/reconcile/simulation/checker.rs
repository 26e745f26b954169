//! What must hold whatever happens, judged from the events and from what reached the API server.
//!
//! Shares no code with the planner, the machine or the folds: it keeps its own small idea of who
//! wants what, who may write, and who applied which object.

mod holds;

use std::collections::{BTreeMap, BTreeSet};

use self::holds::{Hold, restored};
use super::jobs::{Action, Done, Id, Reply};
use crate::ledger::event::{
    AppHeldV1, AppHoldEndedV1, Event, Origin, RenderSucceededV1, Verb, Write, WriteResult,
};
use crate::model::{AppName, BlobAddr, Digest, ObjectKey, Seq, Timestamp};

/// Kinds whose deletion always asks.
const PROTECTED: &[&str] = &["Namespace", "PersistentVolumeClaim"];

#[derive(Default)]
struct App {
    declared: Seq,
    removing: bool,
    paused: Option<Option<Timestamp>>,
    /// What is in force, with the manifests.
    wants: BTreeMap<ObjectKey, BlobAddr>,
    /// The hold of the whole application, and what Git says meanwhile.
    held: Option<(Seq, BTreeMap<ObjectKey, BlobAddr>)>,
    /// Whatever it ever wanted.
    ever: BTreeMap<ObjectKey, BTreeSet<Digest>>,
    gated: Option<String>,
    /// The approval that is in force.
    approved: Option<Seq>,
}

struct Intent {
    app: AppName,
    /// Whether its application was being removed when it was recorded.
    removing: bool,
    writes: Vec<Write>,
    /// Writes that must not be sent, and why.
    forbidden: BTreeMap<u32, String>,
    /// Writes of what its application has not wanted since it was recorded.
    unwanted: BTreeMap<u32, String>,
    /// The freeze, and the pause of its application, that it was recorded in, until they end.
    frozen: Option<Option<Timestamp>>,
    paused: Option<Option<Timestamp>>,
    /// Writes that were decided with other holds than there were then, until those change.
    held: BTreeSet<u32>,
    sent: BTreeSet<u32>,
    ended: BTreeSet<u32>,
    unknown: BTreeSet<u32>,
}

impl App {
    /// Why it does not want what the write sends; `restored` is what somebody holds of the object
    /// as a whole.
    fn why_unwanted(&self, write: &Write, restored: Option<&BlobAddr>) -> Option<String> {
        if write.verb == Verb::Prune {
            return None;
        }
        match restored.or(self.wants.get(&write.key)) {
            Some(manifest)
                if restored.is_some() && write.manifest.is_some_and(|m| m != *manifest) =>
            {
                Some("it is not as somebody brought it back")
            }
            Some(manifest) if !self.removing && write.manifest.is_none_or(|m| m == *manifest) => {
                None
            }
            Some(_) if !self.removing && self.held.is_some() => Some("it is not what is held"),
            Some(_) if !self.removing => Some("it is not what Git says"),
            _ => Some("the application does not want it"),
        }
        .map(ToOwned::to_owned)
    }
}

impl Intent {
    /// The objects whose writes have not ended.
    fn open(&self) -> impl Iterator<Item = &ObjectKey> {
        let writes = (0_u32..).zip(&self.writes);
        writes.filter(|(index, _)| !self.ended.contains(index)).map(|(_, write)| &write.key)
    }
}

/// An object before a request reached the API server, and whether anything is different now.
pub(super) struct Was<'a> {
    pub(super) uid: Option<&'a str>,
    pub(super) effect: bool,
    /// What its annotation says about its removal.
    pub(super) options: &'a str,
}

/// The judge.
#[derive(Default)]
pub(super) struct Checker {
    now: Timestamp,
    observe: bool,
    frozen: Option<Option<Timestamp>>,
    apps: BTreeMap<AppName, App>,
    /// Applications that ever had children: their objects count with their children's.
    parents: BTreeSet<AppName>,
    intents: BTreeMap<Seq, Intent>,
    holds: Vec<Hold>,
    /// Who applied the object with this uid last.
    applied_by: BTreeMap<String, (AppName, ObjectKey)>,
    /// Objects that were let go on purpose: their application was removed without its objects.
    orphans: BTreeSet<String>,
    /// Objects that are in the cluster and that nobody may prune.
    pub(super) kept: BTreeSet<String>,
    /// Objects that requests were applied to.
    touched: BTreeMap<Id, String>,
    /// Objects of which an event says that something was applied to them.
    proven: BTreeSet<String>,
    /// Which cluster is kept and which one answers, and the event that put it in doubt.
    kept_cluster: String,
    answers: String,
    doubt: Option<Seq>,
    reverted: Option<Seq>,
    /// What was found wrong first.
    pub(super) wrong: Option<String>,
    /// How many requests had an effect.
    pub(super) effects: usize,
    /// How many holds people began.
    pub(super) kept_by_people: usize,
    /// How many applications people rolled back.
    pub(super) rolled_back: usize,
    /// How many objects people brought back.
    pub(super) brought: usize,
    /// How many trees people rolled back.
    pub(super) trees: usize,
    /// How many requests were sent.
    pub(super) sent: usize,
}

impl Checker {
    pub(super) fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// An event became durable.
    pub(super) fn event(&mut self, seq: Seq, now: Timestamp, event: &Event) {
        self.now = self.now.max(now);
        match event {
            Event::DaemonStarted(body) => self.observe = body.observe,
            Event::AppDeclared(body) => {
                let app = self.apps.entry(body.app.clone()).or_default();
                app.declared = seq;
                app.removing = false;
                if let Origin::Parent(parent) = &body.origin {
                    self.parents.insert(parent.clone());
                }
            }
            Event::AppRemoved(body) => {
                let held = self.apps.get(&body.app).is_some_and(|app| app.held.is_some());
                if held && matches!(body.origin, Origin::Parent(_)) {
                    return;
                }
                self.removed(&body.app, body.cascade);
            }
            Event::RenderSucceeded(body) => self.rendered(body),
            Event::AppHeld(body) => self.app_held(seq, body),
            Event::AppHoldEnded(body) => self.app_hold_ended(body),
            Event::Paused(body) => self.with(&body.app, |app| app.paused = Some(body.until)),
            Event::Resumed(body) => {
                self.with(&body.app, |app| app.paused = None);
                let intents = self.intents.values_mut().filter(|intent| intent.app == body.app);
                intents.for_each(|intent| intent.paused = None);
            }
            Event::Frozen(body) => self.frozen = Some(body.until),
            Event::Unfrozen(_) => {
                self.frozen = None;
                self.intents.values_mut().for_each(|intent| intent.frozen = None);
            }
            Event::HoldBegun(body) => self.hold(seq, body),
            Event::HoldEnded(body) => {
                self.hold_ended(body);
                self.wants_changed(&body.app);
                self.holds_changed(&body.app);
            }
            Event::PlanGated(body) => self.with(&body.app, |app| {
                app.gated = Some(body.plan.to_string());
                app.approved = None;
            }),
            Event::PlanApproved(body) => self.with(&body.app, |app| {
                let same = app.gated.take() == Some(body.plan.to_string());
                app.approved = same.then_some(seq).or(app.approved);
            }),
            Event::GateLapsed(body) => self.with(&body.app, |app| app.gated = None),
            // An approval that came after the sync was decided is not about it.
            Event::SyncFinished(body) => self.with(&body.app, |app| {
                app.approved.take_if(|approval| Some(*approval) == body.approval);
            }),
            Event::ClusterIdentified(_)
            | Event::ClusterReplaced(_)
            | Event::ClusterReverted(_)
            | Event::ClusterAccepted(_) => self.identity(seq, event),
            Event::IntentRecorded(body) => self.intent(seq, &body.app, &body.writes),
            Event::OutcomeRecorded(body) => self.results(body.intent, &body.results, false),
            Event::IntentSettled(body) => self.results(body.intent, &body.results, true),
            _ => {}
        }
    }

    /// Which cluster it is. What is under way when that changes is never sent.
    fn identity(&mut self, seq: Seq, event: &Event) {
        match event {
            Event::ClusterIdentified(body) => {
                if self.kept_cluster.is_empty() {
                    self.kept_cluster.clone_from(&body.uid);
                }
                self.answers.clone_from(&body.uid);
                self.doubt = self.reverted;
            }
            Event::ClusterReplaced(body) => {
                self.answers.clone_from(&body.uid);
                self.doubt = Some(seq);
            }
            Event::ClusterReverted(body) => {
                self.answers.clone_from(&body.uid);
                self.doubt = Some(seq);
                if body.uid == self.kept_cluster {
                    self.reverted = Some(seq);
                }
            }
            Event::ClusterAccepted(body) if self.doubt == Some(body.doubt) => {
                if self.answers != self.kept_cluster {
                    // What greffier applied to another cluster than the former is nobody's there.
                    self.orphans.extend(self.applied_by.keys().cloned());
                }
                self.kept_cluster.clone_from(&self.answers);
                (self.doubt, self.reverted) = (None, None);
                return;
            }
            _ => return,
        }
        let open = self.intents.values_mut();
        for intent in open.filter(|intent| intent.ended.len() < intent.writes.len()) {
            for index in (0_u32..).take(intent.writes.len()) {
                let why = "it was intended for another cluster, or an earlier life of it";
                intent.forbidden.entry(index).or_insert_with(|| why.to_owned());
            }
        }
    }

    fn with(&mut self, name: &AppName, change: impl FnOnce(&mut App)) {
        if let Some(app) = self.apps.get_mut(name) {
            change(app);
        }
    }

    fn rendered(&mut self, body: &RenderSucceededV1) {
        let Some(app) = self.apps.get_mut(&body.app) else { return };
        if app.declared != body.declared || app.removing {
            return;
        }
        let wants = body.objects.iter().map(|o| (o.key.clone(), o.manifest)).collect();
        match &mut app.held {
            Some((_, git)) => *git = wants,
            None => app.wants = wants,
        }
        for object in &body.objects {
            app.ever.entry(object.key.clone()).or_default().insert(object.digest);
        }
        self.wants_changed(&body.app);
    }

    fn app_held(&mut self, seq: Seq, body: &AppHeldV1) {
        let Some(app) = self.apps.get_mut(&body.app).filter(|app| !app.removing) else { return };
        self.rolled_back += 1;
        let wants = body.desired.objects.iter().map(|o| (o.key.clone(), o.manifest)).collect();
        let former = std::mem::replace(&mut app.wants, wants);
        let git = app.held.take().map_or(former, |(_, git)| git);
        app.held = Some((seq, git));
        self.wants_changed(&body.app);
    }

    fn app_hold_ended(&mut self, body: &AppHoldEndedV1) {
        let Some(app) = self.apps.get_mut(&body.app) else { return };
        let Some((_, git)) = app.held.take_if(|(hold, _)| *hold == body.hold) else { return };
        app.wants = git;
        self.holds.retain(|hold| !body.holds.contains(&hold.seq));
        self.wants_changed(&body.app);
        self.holds_changed(&body.app);
    }

    /// A write that was decided before what is wanted changed and changed back is wanted again when
    /// it is sent.
    fn wants_changed(&mut self, name: &AppName) {
        self.holds_pass();
        let Some(app) = self.apps.get(name) else { return };
        let restored = restored(&self.holds, name);
        for intent in self.intents.values_mut().filter(|intent| intent.app == *name) {
            let writes = &intent.writes;
            intent.unwanted.retain(|index, _| {
                let write = writes.get(*index as usize);
                let why = |write: &Write| app.why_unwanted(write, restored.get(&write.key));
                write.and_then(why).is_some()
            });
        }
    }

    fn removed(&mut self, name: &AppName, cascade: bool) {
        if cascade {
            self.with(name, |app| {
                app.removing = true;
                app.held = None;
            });
            self.holds_pass();
            return;
        }
        // Of an application that takes its objects along, what another wants is left to that one.
        let removing = self.apps.remove(name).is_some_and(|app| app.removing);
        self.holds_pass();
        if removing {
            return;
        }
        let theirs = self.applied_by.iter().filter(|(_, (app, _))| app == name);
        let left: Vec<String> = theirs.map(|(uid, _)| uid.clone()).collect();
        self.orphans.extend(left);
    }

    fn intent(&mut self, seq: Seq, name: &AppName, writes: &[Write]) {
        let indexed = (0_u32..).zip(writes);
        let forbidden = indexed
            .filter_map(|(index, write)| self.forbids(name, write, writes).map(|why| (index, why)));
        let restored = restored(&self.holds, name);
        let unwanted = (0_u32..).zip(writes).filter_map(|(index, write)| {
            let restored = restored.get(&write.key);
            Some((index, self.apps.get(name)?.why_unwanted(write, restored)?))
        });
        let indexed = (0_u32..).zip(writes);
        let held = indexed.filter(|(_, write)| self.is_held_otherwise(name, write));
        let intent = Intent {
            held: held.map(|(index, _)| index).collect(),
            app: name.clone(),
            removing: self.apps.get(name).is_some_and(|app| app.removing),
            writes: writes.to_vec(),
            forbidden: forbidden.collect(),
            unwanted: unwanted.collect(),
            frozen: self.frozen,
            paused: self.apps.get(name).and_then(|app| app.paused),
            sent: BTreeSet::new(),
            ended: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        self.intents.insert(seq, intent);
    }

    /// Why the write must not be sent by what was known when its intent became durable.
    fn forbids(&self, name: &AppName, write: &Write, together: &[Write]) -> Option<String> {
        if self.observe {
            return Some("greffier only observes".into());
        }
        if self.doubt.is_some() {
            return Some("which cluster is kept is in doubt".into());
        }
        let Some(app) = self.apps.get(name) else { return Some("no such application".into()) };
        let busy = self.intents.iter().find(|(_, other)| {
            (0_u32..)
                .zip(&other.writes)
                .any(|(index, open)| open.key == write.key && !other.ended.contains(&index))
        });
        if let Some((seq, _)) = busy {
            return Some(format!("intent {seq} is open on the same object"));
        }
        if write.verb != Verb::Prune {
            return None;
        }
        self.forbids_prune(name, app, write, together)
    }

    fn forbids_prune(
        &self,
        name: &AppName,
        app: &App,
        write: &Write,
        together: &[Write],
    ) -> Option<String> {
        let key = &write.key;
        let mut holds = self.holds.iter();
        let away = holds.any(|hold| hold.absence && hold.app == *name && hold.key == *key);
        if !away && self.apps.values().any(|app| !app.removing && app.wants.contains_key(key)) {
            return Some("an application wants it".into());
        }
        let lives = |app: &AppName| self.apps.get(app).is_some_and(|app| !app.removing);
        let brought = |hold: &Hold| hold.object.is_some() && hold.key == *key && lives(&hold.app);
        if !away && self.holds.iter().any(brought) {
            return Some("somebody brought it back and holds it so".into());
        }
        if !app.ever.contains_key(key) {
            return Some("it was never in a render of the application".into());
        }
        let Some((uid, version)) = &write.precondition else {
            return Some("the delete is bound to nothing".into());
        };
        if uid.is_empty() || version.is_empty() {
            return Some("the delete is bound to half an identity".into());
        }
        if !self.applied_by.contains_key(uid) {
            return Some("greffier never applied that object".into());
        }
        if app.removing || app.approved.is_some() {
            return None;
        }
        if PROTECTED.contains(&key.kind()) {
            return Some("its kind needs an approval".into());
        }
        let prunes = together.iter().filter(|write| write.verb == Verb::Prune).count();
        // What an application has given to others, and what its children have, counts as left.
        // So does what is being written: it is judged when that has ended. And so does what stays
        // because its annotation says so: it is an object of the application as any other.
        let brought = self.holds.iter().filter(|hold| hold.object.is_some());
        let wanted = self.apps.values().flat_map(|app| app.wants.keys());
        let wanted = wanted.chain(brought.map(|hold| &hold.key));
        let kept = self.kept.iter().filter_map(|uid| self.applied_by.get(uid));
        let kept = kept.filter(|(app, _)| app == name).map(|(_, key)| key);
        let left: BTreeSet<_> =
            wanted.chain(kept).chain(self.intents.values().flat_map(Intent::open)).collect();
        let left = left.len();
        let alone = !self.parents.contains(name);
        (alone && prunes >= 3 && prunes > left)
            .then(|| format!("{prunes} prunes beside {left} objects"))
    }

    fn results(&mut self, seq: Seq, results: &[(u32, WriteResult)], settled: bool) {
        let Some(intent) = self.intents.get_mut(&seq) else {
            return self.fail(format!("results of {seq}, which is no intent"));
        };
        let mut wrong = None;
        for (index, result) in results {
            if matches!(result, WriteResult::Unknown(_)) {
                intent.unknown.insert(*index);
            } else if !intent.ended.insert(*index) {
                wrong = Some(format!("write {seq}-{index} ended twice"));
            }
            if let WriteResult::Applied(applied) = result {
                self.proven.insert(applied.uid.clone());
            }
            // Somebody changed what it applied before that could be seen: nothing proves it.
            let unseen =
                settled && matches!(result, WriteResult::NotSent(_) | WriteResult::Another(_));
            if unseen
                && let Some(uid) = self.touched.get(&(seq, *index))
                && !self.proven.contains(uid)
            {
                self.orphans.insert(uid.clone());
            }
            let sent = intent.sent.contains(index);
            let done = matches!(result, WriteResult::Applied(_) | WriteResult::Deleted);
            if done && !sent && !settled {
                wrong = Some(format!("write {seq}-{index} was done and never sent"));
            }
        }
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    /// A request is being sent.
    pub(super) fn sends(&mut self, (seq, index): Id, action: &Action) {
        self.sent += 1;
        let Some(intent) = self.intents.get_mut(&seq) else {
            return self.fail(format!("request {seq}-{index} has no intent"));
        };
        let mut wrong = Vec::new();
        if !intent.sent.insert(index) {
            wrong.push("is sent twice".to_owned());
        }
        if intent.ended.contains(&index) {
            wrong.push("is sent after it ended".to_owned());
        }
        let fits = intent.writes.get(index as usize).is_some_and(|write| {
            let fits = match action {
                Action::Delete(..) => write.verb == Verb::Prune,
                Action::TakeOver { .. } => write.verb == Verb::TakeOver,
                Action::Apply(_) => write.verb != Verb::Prune && write.verb != Verb::TakeOver,
            };
            fits && write.key == *action.key()
        });
        if !fits {
            wrong.push("is not what its intent says".to_owned());
        }
        wrong.extend(intent.forbidden.get(&index).cloned());
        wrong.extend(intent.unwanted.get(&index).cloned());
        // What is over when the request is sent has been waited for.
        let now = self.now;
        let lasts = |until: Option<Option<Timestamp>>| {
            until.is_some_and(|until| until.is_none_or(|until| until > now))
        };
        if lasts(intent.frozen) {
            wrong.push("greffier is frozen".to_owned());
        }
        if intent.held.contains(&index) {
            wrong.push("what is held of the object is something else".to_owned());
        }
        if lasts(intent.paused) {
            wrong.push("the application is paused".to_owned());
        }
        if !wrong.is_empty() {
            let key = action.key().clone();
            self.fail(format!("request {seq}-{index} ({key}): {}", wrong.join("; ")));
        }
    }

    /// A request reached the API server.
    pub(super) fn reached(
        &mut self,
        (seq, index): Id,
        action: &Action,
        reply: &Reply,
        Was { uid, effect, options }: Was<'_>,
    ) {
        let Some(intent) = self.intents.get(&seq) else { return };
        let (app, ended) = (intent.app.clone(), intent.ended.contains(&index));
        let kept = if intent.removing { "Delete=false" } else { "Prune=false" };
        let is_kept = options.split(',').any(|option| option == kept);
        if ended && effect {
            self.fail(format!("request {seq}-{index} had an effect after it was settled"));
        }
        self.effects += usize::from(effect);
        let lives = self.apps.contains_key(&app);
        match reply {
            Ok(Done::Applied(object)) => {
                let uid = object.raw["metadata"]["uid"].as_str().unwrap_or_default();
                self.touched.insert((seq, index), uid.to_owned());
                if lives {
                    self.orphans.remove(uid);
                } else {
                    self.orphans.insert(uid.to_owned());
                }
                self.applied_by.insert(uid.to_owned(), (app, action.key().clone()));
            }
            Ok(Done::Deleted(_)) => {
                if uid.is_some_and(|uid| !self.applied_by.contains_key(uid)) {
                    self.fail(format!("{} was deleted and never applied", action.key()));
                }
                if effect && is_kept {
                    self.fail(format!("{} was deleted and says {options}", action.key()));
                }
            }
            Ok(Done::TakenOver { .. } | Done::Missing(_)) | Err(_) => {}
        }
    }

    /// Somebody erased who owns what of an object.
    pub(super) fn lets_go(&mut self, uid: &str) {
        self.orphans.insert(uid.to_owned());
    }

    // --- at the end

    /// Every write has an end.
    pub(super) fn all_settled(&mut self) {
        let open = self.intents.iter().find_map(|(seq, intent)| {
            let mut indexes = (0_u32..).take(intent.writes.len());
            indexes
                .find(|index| !intent.ended.contains(index))
                .map(|index| format!("{seq}-{index}"))
        });
        if let Some(open) = open {
            self.fail(format!("write {open} has no end"));
        }
    }

    /// Whether the object may still be there though nobody wants it.
    pub(super) fn may_stay(&self, uid: &str) -> bool {
        !self.applied_by.contains_key(uid) || self.orphans.contains(uid)
    }
}
