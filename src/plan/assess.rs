//! Judging each desired object: is it as Git says, and if not, what is to be done about it?

mod autoscaled;
mod child;
mod contested;
mod elsewhere;
mod held;
mod ignored;
mod method;
mod namespace;
mod settled;
mod unapplied;
mod unwritten;

pub(super) use method::recreates;
pub(super) use unwritten::Beside;

use self::unwritten::Barrier;
use super::order::in_order;
use super::unseen::Unseen;
use super::{CREATE_NAMESPACE, Compared, Comparison, DryRun, Permission, redefined};
use crate::ledger::event::{DesiredObject, DriftKind, Health, Method, Verb, Write};
use crate::model::{AppName, GroupKind, ObjectKey, Restraint};
use crate::replay::{App, Attempt, LiveObject, Owned, World, may_be_in_the_way};

/// The state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As Git says.
    Synced,
    /// Wanted and not in the cluster.
    Missing,
    /// Git moved on, or greffier never applied it.
    Changed,
    /// Somebody changed or deleted it.
    Drifted,
    /// The values are right, the ownership is lost.
    OwnershipLost,
    /// Another application owns it.
    Foreign,
    /// Owned and no longer wanted.
    Extra,
    /// Owned and no longer wanted, and something that people said keeps it.
    Kept,
    /// A write to it, or a comparison, is under way.
    InFlight,
    /// A person holds something of it, against Git.
    OnHold,
    /// Not written, because something that is not honoured yet restrains it.
    Held,
    /// The cluster's state is not known.
    Unknown,
}

impl Status {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::Missing => "Missing",
            Self::Changed => "OutOfSync",
            Self::Drifted => "Drifted",
            Self::OwnershipLost => "OwnershipLost",
            Self::Foreign => "OwnedByOther",
            Self::Extra => "Extra",
            Self::Kept => "Kept",
            Self::InFlight => "InFlight",
            Self::OnHold => "OnHold",
            Self::Held => "Suspended",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether the object differs from what Git says.
    #[must_use]
    pub fn differs(self) -> bool {
        !matches!(self, Self::Synced | Self::InFlight | Self::Held)
    }
}

/// One object's state and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The object.
    pub key: ObjectKey,
    /// Its state.
    pub status: Status,
    /// Why, and why nothing is done where nothing is done.
    pub why: String,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// Whether the revision cannot end well because of it.
    pub blocked: bool,
    /// Whether what blocks it may pass without a person: then the revision has not ended.
    pub waits_for_progress: bool,
    /// Whether its state makes its application differ from Git, where it differs.
    pub counted: bool,
}

/// Everything that the desired objects ask for.
#[derive(Default)]
pub(super) struct Assessed {
    pub(super) writes: Vec<Write>,
    pub(super) declare: Vec<(AppName, Vec<u8>)>,
    pub(super) compare: Vec<Comparison>,
    pub(super) dry_runs: Vec<DryRun>,
    pub(super) deleted: Vec<ObjectKey>,
    pub(super) objects: Vec<Assessment>,
    pub(super) suspended: Vec<String>,
    /// What holds back what is to go.
    pub(super) beside: Beside,
}

/// What one object needs.
enum Need {
    Nothing(Status, String),
    Compare(Comparison),
    DryRun(DryRun),
    Write {
        verb: Verb,
        status: Status,
        reason: String,
    },
    Declare(AppName),
    Wait {
        status: Status,
        why: String,
        progress: bool,
    },
    /// It is not known what of the object is to be ignored.
    Unknown(ignored::Unknown),
}

impl Need {
    /// What is needed while an earlier wave is not done: what somebody undid is put back at
    /// once, what is new waits.
    fn after(self, why: &str, progress: bool) -> Self {
        let status = match self {
            Self::Write {
                verb: Verb::Create | Verb::Update | Verb::Adopt | Verb::Recreate,
                status,
                ..
            } if status != Status::Drifted => status,
            Self::Declare(_) => Status::Missing,
            need => return need,
        };
        Self::Wait { status, why: why.to_owned(), progress }
    }
}

impl Assessed {
    pub(super) fn of(
        world: &World,
        name: &AppName,
        app: &App,
        permission: &Permission,
        compared: &Compared,
    ) -> Self {
        let mut assessed = Self::default();
        let Some(desired) = app.desired.as_ref().filter(|_| !app.removing) else {
            return assessed;
        };
        let judge = Judge { world, name, app, permission, compared };
        let redefined = redefined::why(world, name, app);
        let mut barrier: Option<Barrier> = None;
        for (wave, object) in in_order(desired) {
            let mut need = judge.need(object);
            // What a person holds of it was asked for by no definition.
            if let Some(why) = redefined.as_ref().filter(|_| !judge.is_hold_due(object)) {
                need = need.after(why, true);
            }
            let barred = barrier.as_ref().filter(|barrier| barrier.wave < wave);
            if let Some(barrier) = barred.filter(|_| !judge.is_hold_due(object)) {
                need = need.after(&barrier.why, barrier.may_pass);
            }
            assessed.take(&judge, object, need);
            assessed.note_beside(&judge, object, barred);
            if desired.several_waves
                && barrier.is_none()
                && let Some(last) = assessed.objects.last()
                && !(last.is_done() && judge.is_observed(object))
            {
                barrier = Some(judge.barrier(wave, object, last));
            }
        }
        assessed.leave_beside(&judge);
        assessed
    }

    fn take(&mut self, judge: &Judge<'_>, object: &DesiredObject, need: Need) {
        let (health, health_message) = judge.health(object);
        let mut assessment = Assessment {
            key: object.key.clone(),
            status: Status::Synced,
            why: String::new(),
            health,
            health_message,
            blocked: false,
            waits_for_progress: false,
            counted: true,
        };
        match need {
            Need::Nothing(status, why) => {
                assessment.blocked = status == Status::Foreign && judge.app.spec.fail_on_shared;
                (assessment.status, assessment.why) = (status, why);
            }
            Need::Compare(comparison) => {
                self.compare.push(comparison);
                assessment.status = Status::InFlight;
                assessment.why =
                    judge.beside_holds(&object.key, "being compared with what was applied");
            }
            Need::DryRun(dry_run) => {
                self.dry_runs.push(dry_run);
                assessment.status = Status::Unknown;
                assessment.why = "being compared with Git by a dry run".into();
            }
            Need::Declare(child) => {
                self.declare(judge, object, &mut assessment, child);
            }
            Need::Wait { status, why, progress } => {
                let is_unseen = status == Status::Unknown && !progress;
                if is_unseen || why.starts_with(NOT_SERVED) {
                    self.suspended.push(format!("{}: {why}", object.key));
                }
                assessment.status = status;
                assessment.block(why, progress);
            }
            Need::Unknown(ignored::Unknown { why, may_pass }) => {
                self.suspended.push(format!("update {}: {why}", object.key));
                assessment.status = Status::Unknown;
                assessment.block(format!("not compared and not written: {why}"), may_pass);
            }
            Need::Write { verb, status, reason } => {
                self.write(judge, object, &mut assessment, verb, status, reason);
            }
        }
        self.objects.push(assessment);
    }

    /// A child application is to be defined: it is, or it is said why not.
    fn declare(
        &mut self,
        judge: &Judge<'_>,
        object: &DesiredObject,
        assessment: &mut Assessment,
        child: AppName,
    ) {
        assessment.status = Status::Changed;
        let known = judge.world.apps.contains_key(&child);
        let verb = if known { Verb::Update } else { Verb::Create };
        if let Some(what) = judge.hold(object, verb) {
            self.suspended.push(format!("{} {}: {what}", verb.as_str(), object.key));
            assessment.status = Status::Held;
            assessment.why = format!("not defined: {what} is not honoured yet");
        } else if judge.may_define(object) {
            assessment.why = "the application is defined or redefined".into();
            self.declare.push((child, object.application.clone().unwrap_or_default()));
        } else {
            let why = judge.permission.why_not(&object.key);
            assessment.why = format!("not defined: {why}");
        }
    }

    /// A write is wanted: it is made, or it is said why not.
    fn write(
        &mut self,
        judge: &Judge<'_>,
        object: &DesiredObject,
        assessment: &mut Assessment,
        verb: Verb,
        status: Status,
        reason: String,
    ) {
        assessment.status = status;
        if judge.is_new_deletion(object, status) {
            self.deleted.push(object.key.clone());
        }
        if let Some(what) = judge.hold(object, verb) {
            self.suspended.push(format!("{} {}: {what}", verb.as_str(), object.key));
            assessment.status = Status::Held;
            assessment.why = format!("not written: {what} is not honoured yet");
            return;
        }
        if let Some(ignored::Unknown { why, .. }) = judge.restrains(&object.key, verb) {
            self.suspended.push(format!("{} {}: {why}", verb.as_str(), object.key));
            assessment.status = Status::Held;
            assessment.why = format!("not written: {why}");
            return;
        }
        if !judge.permits(object, verb, status) {
            let why = judge.permission.why_not(&object.key);
            assessment.why = format!("{reason}; not written: {why}");
            return;
        }
        let write = judge.write(object, verb, reason);
        if let Some((why, progress)) = judge.retry_wait(&write) {
            assessment.block(why, progress);
            return;
        }
        if let Some(why) = judge.contest_wait(object, status) {
            assessment.block(why, true);
            return;
        }
        assessment.why.clone_from(&write.reason);
        self.writes.push(write);
    }
}

impl Assessment {
    /// Notes that the revision cannot end well because of the object, and whether that may pass.
    pub(super) fn block(&mut self, why: String, may_pass: bool) {
        self.why = why;
        self.blocked = true;
        self.waits_for_progress = may_pass;
    }

    /// Whether later waves may go on past this object.
    fn is_done(&self) -> bool {
        match self.status {
            Status::Synced => self.health == Health::Healthy || self.health == Health::Suspended,
            Status::Held => true,
            Status::OnHold => {
                matches!(self.health, Health::Healthy | Health::Suspended)
            }
            _ => false,
        }
    }
}

/// How a wait begins for an object that somebody else keeps changing.
pub const CONTEST: &str = "contest with";
/// How a wait begins that ends when the cluster serves the kind.
pub const NOT_SERVED: &str = "the cluster does not serve the kind";

/// Why an object is adopted.
const UNAPPLIED: &str = "it exists and greffier has not applied it yet";

struct Judge<'a> {
    world: &'a World,
    name: &'a AppName,
    app: &'a App,
    permission: &'a Permission,
    compared: &'a Compared,
}

impl Judge<'_> {
    fn need(&self, object: &DesiredObject) -> Need {
        let key = &object.key;
        if key.is_application() {
            return self.need_of_application(object);
        }
        let kind = key.group_kind();
        if self.world.cluster.kinds.is_empty() {
            let why = "what the cluster serves is not known yet".into();
            return Need::Wait { status: Status::Unknown, why, progress: true };
        }
        if !self.world.cluster.kinds.contains_key(&kind) {
            let why = format!("{NOT_SERVED} {kind}");
            let progress = self.is_definition_wanted(&kind);
            return Need::Wait { status: Status::Missing, why, progress };
        }
        if let Some(Unseen { why, may_pass: progress }) = Unseen::of(self.world, key) {
            return Need::Wait { status: Status::Unknown, why, progress };
        }
        if self.world.in_flight.contains_key(key) {
            let why = self.beside_holds(key, "a write is under way");
            return Need::Nothing(Status::InFlight, why);
        }
        let live = self.world.live.get(key);
        if object.origin == CREATE_NAMESPACE && live.is_some() {
            return Need::Nothing(Status::Synced, String::new());
        }
        if let Some(wait) = self.namespace_wait(key, &kind) {
            return wait;
        }
        if let Some(wait) = self.autoscaler_wait(object, live) {
            return wait;
        }
        let owned = self.world.owned.get(key);
        if let Some(need) = self.need_of_others(object, owned) {
            return need;
        }
        if self.app.is_kept_away(key, self.world.now) {
            return self.need_of_absent(object, owned, live);
        }
        match (owned.filter(|owned| owned.app == *self.name), live) {
            (Some(owned), Some(live)) => {
                self.kept(object, owned, self.need_of_known(object, owned, live))
            }
            (Some(owned), None) if owned.applied == object.digest => Need::Write {
                verb: Verb::Create,
                status: Status::Drifted,
                reason: "somebody deleted it".into(),
            },
            (_, None) => Need::Write {
                verb: Verb::Create,
                status: Status::Missing,
                reason: self.because(object, self.missing()),
            },
            (None, Some(live)) if live.deleting => being_deleted(),
            (None, Some(live)) => {
                let moved = owned.map(|o| format!("it moved here from application {}", o.app));
                let verb = if moved.is_some() { Verb::Update } else { Verb::Adopt };
                let reason = self.because(object, moved.as_deref().unwrap_or(UNAPPLIED));
                self.need_of_unapplied(object, live, verb, &reason)
            }
        }
    }

    fn need_of_known(&self, object: &DesiredObject, owned: &Owned, live: &LiveObject) -> Need {
        match self.need_by_comparison(object, owned, live) {
            Need::Nothing(Status::Synced, why) => self
                .given_back(object, owned, live)
                .unwrap_or_else(|| self.need_of_settled(object, owned, why)),
            need => need,
        }
    }

    fn need_by_comparison(&self, object: &DesiredObject, owned: &Owned, live: &LiveObject) -> Need {
        let write =
            |verb, status, reason: &str| Need::Write { verb, status, reason: reason.into() };
        if live.deleting {
            return being_deleted();
        }
        if owned.applied != object.digest {
            let (verb, reason) = self.verb_of_change(object, owned, live);
            return self.need_of_unapplied(object, live, verb, &self.because(object, reason));
        }
        if let Some(need) = self.need_of_held(object, owned, live) {
            return need;
        }
        if live.uid != owned.uid {
            if self.is_to_be_announced(object, live) {
                return self.comparison(object, owned, live);
            }
            return write(
                Verb::Heal,
                Status::Drifted,
                "somebody replaced it by another of its name",
            );
        }
        if live.object == owned.object {
            return Need::Nothing(Status::Synced, String::new());
        }
        let known = self.known_drift(object, live);
        if let Some(Some(drift)) = known {
            return match drift.kind {
                DriftKind::Drift | DriftKind::Deleted => {
                    write(Verb::Heal, Status::Drifted, self.changed_by(&object.key))
                }
                DriftKind::OwnershipLost => write(
                    Verb::Reclaim,
                    Status::OwnershipLost,
                    "the values are right and the field ownership was lost",
                ),
                DriftKind::Addition => self.need_of_added(object, drift),
                DriftKind::None => Need::Nothing(Status::Synced, String::new()),
            };
        }
        if known.is_some() {
            return Need::Nothing(Status::Synced, String::new());
        }
        self.comparison(object, owned, live)
    }

    fn comparison(&self, object: &DesiredObject, owned: &Owned, live: &LiveObject) -> Need {
        let mask = self.mask(&object.key);
        if let Some(unknown) = self.not_understood(&object.key, &mask) {
            return Need::Unknown(unknown);
        }
        Need::Compare(Comparison {
            key: object.key.clone(),
            baseline: owned.object,
            observed: live.object,
            observation: live.seq,
            manifest: object.manifest,
            replaced: self.method(object) == Method::Replace,
            live: live.digest,
            mask,
        })
    }

    /// Whether some application brings definitions of the kind's group: then the cluster may
    /// serve the kind soon.
    fn is_definition_wanted(&self, kind: &GroupKind) -> bool {
        let suffix = format!(".{}", kind.group);
        let (group, definition) = ("apiextensions.k8s.io", "CustomResourceDefinition");
        let from = ObjectKey::new(group, definition, "", "");
        let definitions = self.world.wanted_by.range(from..);
        let mut names = definitions
            .map(|(key, _)| key)
            .take_while(|key| key.is(group, definition))
            .map(|key| key.name());
        !kind.group.is_empty() && names.any(|name| name.ends_with(&suffix))
    }

    /// Whether the cluster was seen with the object as it is wanted: the answer to our own write
    /// says nothing about health.
    fn is_observed(&self, object: &DesiredObject) -> bool {
        let live = self.world.live.get(&object.key);
        live.is_none_or(|live| !live.answered)
    }

    /// What suspends the write `verb` to the object.
    fn hold(&self, object: &DesiredObject, verb: Verb) -> Option<String> {
        let restraint = |restraint: &&Restraint| match verb {
            Verb::Create => restraint.holds_all(),
            Verb::Update
            | Verb::Heal
            | Verb::Reclaim
            | Verb::Adopt
            | Verb::TakeOver
            | Verb::Recreate => restraint.holds_update(&object.key),
            Verb::Prune => restraint.holds_all(),
        };
        let of_app = self.app.spec.restraints.iter().find(restraint).map(Restraint::what);
        let of_object = object.holds.iter().find(|hold| match verb {
            Verb::Create => hold.create,
            Verb::Update
            | Verb::Heal
            | Verb::Reclaim
            | Verb::Adopt
            | Verb::TakeOver
            | Verb::Recreate => hold.update,
            Verb::Prune => hold.prune,
        });
        of_app.or(of_object.map(|hold| hold.what.as_str())).map(str::to_owned)
    }

    /// Whether the policy, or a person's request, covers the write.
    fn permits(&self, object: &DesiredObject, verb: Verb, status: Status) -> bool {
        self.permits_hold(object, verb) || self.policy_permits(object, verb, status)
    }

    /// The same, whatever a person holds.
    fn policy_permits(&self, object: &DesiredObject, verb: Verb, status: Status) -> bool {
        let written = self.written(&object.key);
        if status == Status::Drifted || verb == Verb::Heal {
            // A new revision puts back what drifted before it, as in Argo CD.
            let rendered = self.app.desired.as_ref().map(|desired| desired.seq);
            let drifted = self.drifted_at(object);
            return self.permission.heals(&object.key, written)
                || (self.permission.follows_git() && drifted.is_some() && drifted < rendered);
        }
        self.permission.applies(&object.key, written)
    }

    /// Whether an earlier try failed and the next has to wait, and whether the revision waits for
    /// it: what the API server refused for good is tried again, but ends the revision.
    fn retry_wait(&self, write: &Write) -> Option<(String, bool)> {
        let attempt = self.app.attempts.get(&write.key)?;
        if attempt.digest != write.digest {
            return None;
        }
        match attempt.next {
            Some(next) if next <= self.world.now => None,
            _ => Some((attempt.error.clone(), !attempt.refused || self.goes_out_of(attempt))),
        }
    }

    /// Whether what the object may have been refused for is being deleted.
    fn goes_out_of(&self, attempt: &Attempt) -> bool {
        may_be_in_the_way(&attempt.error)
            && self.world.extras_of(self.name).any(|(_, _, live)| live.deleting)
    }

    fn health(&self, object: &DesiredObject) -> (Health, String) {
        if object.key.is_application() {
            let child =
                object.key.name().parse().ok().and_then(|n: AppName| self.world.apps.get(&n));
            return match child {
                Some(child) => (child.health, child.health_message.clone()),
                None => (Health::Missing, "not defined yet".into()),
            };
        }
        let kept_away = self.app.is_kept_away(&object.key, self.world.now);
        match self.world.live.get(&object.key) {
            Some(live) => (live.health, live.health_message.clone()),
            None if kept_away => (Health::Suspended, "kept away by a hold".into()),
            None => (Health::Missing, "not in the cluster".into()),
        }
    }
}

fn being_deleted() -> Need {
    let why = "it is being deleted; it is created again when it is gone".into();
    Need::Wait { status: Status::Drifted, why, progress: true }
}
