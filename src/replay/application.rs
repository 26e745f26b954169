//! What is known of one application.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::coming::Arrival;
use super::contest::Rival;
use super::deletions::CountedFor;
use super::hold::Hold;
use super::ignore::IgnoreFailure;
use super::left::Released;
use super::rollback::AppHold;
use super::transfer::Dropped;
use super::trial::Trials;
use crate::ledger::event::{
    DesiredObject, DriftKind, FieldChange, GateReason, Health, Origin, Preview, RevisionRef, Verb,
};
use crate::model::{
    AppName, AppSpec, CommitId, Digest, GroupKind, ObjectKey, PlanHash, Protection, Removal,
    Ruling, Seq, Timestamp,
};

/// What an application's last good render says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The render event.
    pub seq: Seq,
    /// The definition that was rendered.
    pub declared: Seq,
    /// The commit it stands for; later than the rendered one when nothing changed since. Of
    /// several sources the one that moved last.
    pub revision: RevisionRef,
    /// The commit that it was rendered at, which asks for what it asks for. A later one that changes
    /// nothing moves `revision` alone.
    pub rendered: CommitId,
    /// The commits of every source, in order.
    pub revisions: Vec<RevisionRef>,
    /// The digest of every input.
    pub inputs: Digest,
    /// The digest of what Git and the definition say of them.
    pub sources: Digest,
    /// What has a version and the render depends on.
    pub made_with: Vec<(String, String)>,
    /// The objects.
    pub objects: BTreeMap<ObjectKey, DesiredObject>,
    /// Whether the objects are in more than one wave.
    pub several_waves: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Kinds whose scope was a guess.
    pub unknown_kinds: Vec<GroupKind>,
    /// Objects of the application whose deletion was begun since this render. What it asks for in
    /// several steps is judged as a whole.
    pub deleted: BTreeSet<ObjectKey>,
    /// What its deletions count for; `None` = the commit that it was rendered at.
    pub counted: Option<CountedFor>,
}

impl Desired {
    /// Whether it is what these commits of the sources render to.
    #[must_use]
    pub fn stands_for(&self, wanted: &[Option<CommitId>]) -> bool {
        let own = self.revisions.iter().map(|revision| Some(&revision.commit));
        own.eq(wanted.iter().map(Option::as_ref))
    }
}

/// A rewritten history dropped a commit that is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// The event.
    pub seq: Seq,
    /// The repository.
    pub repo: String,
    /// The ref.
    pub name: String,
    /// The commit whose render is in force.
    pub dropped: CommitId,
}

/// Why a render has to be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A rewritten history dropped what is applied.
    Rewritten(Rewrite),
    /// No commit is behind it: what, the version it had, the version it has.
    Versions(Vec<(String, String, String)>),
    /// A person holds the application as it was at an earlier instant: the event.
    Held(Seq),
}

/// A render that waits for a person before it takes the place of the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// What it says.
    pub desired: Desired,
    /// Why it waits.
    pub causes: Vec<Cause>,
}

/// Why the newest revision could not be rendered; the last good render stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderProblem {
    /// The event.
    pub seq: Seq,
    /// The definition that was rendered.
    pub declared: Seq,
    /// The commit, if the revision could be resolved.
    pub commit: Option<CommitId>,
    /// What was to be rendered: each source's commit, where its revision could be resolved.
    pub commits: Vec<Option<CommitId>>,
    /// The same of the first of the failures in a row: since then nobody knows what Git says.
    pub since: Vec<Option<CommitId>>,
    /// The event of that failure.
    pub first: Seq,
    /// The cause.
    pub error: String,
    /// Whether the machine was at fault, so that the same may render another time.
    pub transient: bool,
    /// How often the same failed in a row.
    pub failures: u32,
    /// When it is rendered again; `None` = not before something changes.
    pub next: Option<Timestamp>,
}

impl RenderProblem {
    /// Whether the machine was at fault so far, and has not been for long: what is rendered next may
    /// change what is wanted. A machine that stays at fault stops nobody for ever.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.transient && self.failures <= PASSING_FAILURES_MAX
    }

    /// Whether it is time to render the same again.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next.is_some_and(|next| next <= now)
    }
}

/// A pause of an application, or the freeze of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The event.
    pub seq: Seq,
    /// When it was recorded.
    pub made: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl Pause {
    pub(super) fn new(seq: Seq, made: Timestamp, until: Option<Timestamp>, reason: &str) -> Self {
        Self { seq, made, until, reason: reason.to_owned() }
    }

    /// Whether it is in force at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// A plan that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The event.
    pub seq: Seq,
    /// What an approval names.
    pub plan: PlanHash,
    /// Why it waits.
    pub reasons: Vec<GateReason>,
    /// What waits: verb and object.
    pub writes: Vec<(Verb, ObjectKey)>,
    /// Applications whose removal waits.
    pub apps: Vec<AppName>,
    /// What each deletion rests on; empty when that had moved on before the gate was recorded.
    pub bases: BTreeSet<Digest>,
    /// The inputs of the render that an approval puts in force.
    pub render: Option<Digest>,
    /// Whether it says that the ledger may be an old copy.
    pub old_copy: bool,
}

impl Gate {
    /// Whether an approval of it would allow nothing.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.bases.is_empty() && self.render.is_none()
    }
}

/// A plan that a person approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The event.
    pub seq: Seq,
    /// The plan.
    pub plan: PlanHash,
    /// The gate that was approved, if it said that the ledger may be an old copy.
    pub old_copy: Option<Seq>,
}

/// A sync that a person asked for and that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The event.
    pub seq: Seq,
    /// Whether objects that left Git are removed.
    pub prune: bool,
    /// Only these objects; empty = all.
    pub only: Vec<ObjectKey>,
    /// The render whose writes wait for approval since; `None` = none did. The request is good
    /// for no later one.
    pub render: Option<Seq>,
    /// When it ends if it could not be finished.
    pub until: Timestamp,
    /// Whether a rule asked, and no person did.
    pub by_rule: bool,
}

/// For how long a sync that a person asked for may go on, in ms. It permits what the policy does
/// not, so it must not last because something hangs.
const REQUEST_LASTS_MS: u64 = 3_600_000;

impl SyncRequest {
    /// A request of this event, made at `now`.
    #[must_use]
    pub fn new(seq: Seq, prune: bool, only: Vec<ObjectKey>, now: Timestamp) -> Self {
        let until = now.plus_ms(REQUEST_LASTS_MS);
        Self { seq, prune, only, render: None, until, by_rule: false }
    }

    /// No longer than that, from here on.
    pub(super) fn lasts_at_most(&mut self, now: Timestamp) {
        self.until = self.until.min(now.plus_ms(REQUEST_LASTS_MS));
    }
}

/// Failed tries to write one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// How many failed in a row.
    pub failures: u32,
    /// How many of them the API server refused for good: these the application has limited.
    pub refusals: u32,
    /// When the next may be made; `None` = not before something changes.
    pub next: Option<Timestamp>,
    /// What the last one ended with.
    pub error: String,
    /// The digest of the manifest that was tried; zero for a prune.
    pub digest: Digest,
    /// Whether the API server refused for good: the revision has ended, whatever is tried later.
    pub refused: bool,
}

/// How an object differs from what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The event.
    pub seq: Seq,
    /// The observation that it judges.
    pub observation: Seq,
    /// The digest of what was ignored.
    pub mask: Digest,
    /// What was found.
    pub kind: DriftKind,
    /// The fields.
    pub fields: Vec<FieldChange>,
    /// The managers that did it, as far as known.
    pub managers: Vec<String>,
    /// Whether it can be kept.
    pub may_be_kept: bool,
    /// When greffier wrote to the object last, where that is later than what it was compared with.
    pub later: Option<Timestamp>,
}

/// What an apply would make of an object that greffier has not applied as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previewed {
    /// The event.
    pub seq: Seq,
    /// The digest of the manifest that it is about.
    pub digest: Digest,
    /// The uid of the live object that it is about.
    pub uid: String,
    /// The digest of that object.
    pub live: Digest,
    /// The digest of what was ignored.
    pub mask: Digest,
    /// What the API server said.
    pub result: Preview,
    /// How often it could not be asked, in a row.
    pub failures: u32,
    /// When to ask again; `None` = not before something changes.
    pub next: Option<Timestamp>,
}

impl Previewed {
    /// Whether the API server said what would become of the object.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self.result, Preview::Same | Preview::Changes(_))
    }
}

/// How the last sync ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSummary {
    /// The event.
    pub seq: Seq,
    /// The commit.
    pub commit: CommitId,
    /// Whether every object was as desired.
    pub succeeded: bool,
    /// What happened.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its definition.
    pub spec: AppSpec,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Where the definition came from.
    pub origin: Origin,
    /// The event that defined it as it is.
    pub declared: Seq,
    /// The commits that asked for its definitions since the last one that was rendered, as far as
    /// a parent defines it.
    pub asked_by: Vec<CommitId>,
    /// What dropped it out of what its parent renders to, unless that was a hold.
    pub dropped: Option<Dropped>,
    /// What it renders to, as far as that is in force.
    pub desired: Option<Desired>,
    /// Its hold: what is in force is what was in force at an earlier instant.
    pub hold: Option<AppHold>,
    /// The release since which what Git says is in force, until Git says something else.
    pub released: Option<Released>,
    /// The first of the holds without a break that what is in force goes back to: what they found in
    /// the cluster is given back when something takes force that does not want it.
    pub lent: Option<Seq>,
    /// How its renders fared, and what it goes back to by itself.
    pub trials: Trials,
    /// The newest render, where it waits for a person.
    pub proposed: Option<Box<Proposed>>,
    /// The rewrite that dropped what is in force.
    pub rewritten: Option<Rewrite>,
    /// Why its newest revision does not render.
    pub render_problem: Option<RenderProblem>,
    /// Fields that came out differently when the same inputs were rendered twice.
    pub varies: Vec<(ObjectKey, String)>,
    /// Whether it is being removed with its objects.
    pub removing: bool,
    /// Its pause.
    pub paused: Option<Pause>,
    /// Its gate.
    pub gate: Option<Gate>,
    /// The objects that became its own while others had to go: those are judged by what the
    /// application had before, or what waits would pass as soon as the new ones are made. They count
    /// from the next render on that comes when nothing has to go any more.
    pub entered: BTreeSet<ObjectKey>,
    /// The children that came while others had to go, and when: of them counts what was there before.
    pub entered_children: BTreeMap<AppName, Seq>,
    /// With which word it came or goes.
    pub arrival: Arrival,
    /// The approval that is being carried out.
    pub approved: Option<Approval>,
    /// What the deletions of that plan rest on. A deletion that rests on the same is approved,
    /// also when others of the plan were made before it.
    pub approved_bases: BTreeSet<Digest>,
    /// The last plans that were gated or approved and lapsed before they were carried out, oldest
    /// first.
    pub lapsed: Vec<PlanHash>,
    /// The sync a person asked for.
    pub request: Option<SyncRequest>,
    /// Failed tries by object.
    pub attempts: BTreeMap<ObjectKey, Attempt>,
    /// Differences by object; objects without one are not listed.
    pub drift: BTreeMap<ObjectKey, Drift>,
    /// What people hold as it is, against Git, in the order in which it began.
    pub holds: Vec<Hold>,
    /// Who changes what greffier puts back, by object.
    pub rivals: BTreeMap<ObjectKey, Vec<Rival>>,
    /// What applying would change, by object, where greffier has not applied what is wanted.
    pub previews: BTreeMap<ObjectKey, Previewed>,
    /// jq expressions of `ignoreDifferences` that cannot be read, and what is wrong with them.
    pub ignore_problems: Vec<(String, String)>,
    /// Objects of which it could not be found out what is ignored.
    pub ignore_failures: BTreeMap<ObjectKey, IgnoreFailure>,
    /// Its health as last recorded.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// Objects that turned unwell and are not well again, as last recorded.
    pub unwell: BTreeMap<ObjectKey, Health>,
    /// What suspends writes, as last recorded.
    pub suspended: Vec<String>,
    /// How its last sync ended.
    pub last_sync: Option<SyncSummary>,
    /// Objects whose replicas are left to an autoscaler against what Git says, with the
    /// autoscaler, as told.
    pub replicas_left: BTreeSet<(ObjectKey, ObjectKey)>,
    /// Children whose definition was refused: the digest of the manifest and what is wrong.
    pub refused: BTreeMap<AppName, (Digest, String)>,
    /// Objects whose removal asks for a confirmation, and since when it is planned.
    pub awaits: BTreeMap<ObjectKey, Timestamp>,
    /// Objects created, changed and pruned since the last sync ended.
    pub counts: (u32, u32, u32),
    /// Earlier renders by their inputs, oldest first, so that a revert need not render again.
    pub renders: Vec<(Digest, Seq)>,
}

/// How often in a row the machine may be at fault for a render while others wait for it: with the
/// waits in between that is two minutes.
const PASSING_FAILURES_MAX: u32 = 7;
/// Bound: how many earlier renders of an application are remembered. A revert goes back a few
/// commits; the ledger has the rest.
const RENDERS_MAX: usize = 16;
/// Bound: how many lapsed plans are remembered, so that whoever names one is told so.
const LAPSED_MAX: usize = 8;

impl App {
    /// An application of which nothing but its definition is known.
    pub(super) fn new(spec: AppSpec, manifest: Digest, origin: Origin, declared: Seq) -> Self {
        Self {
            spec,
            manifest,
            origin,
            declared,
            asked_by: Vec::new(),
            dropped: None,
            desired: None,
            hold: None,
            released: None,
            lent: None,
            trials: Trials::default(),
            proposed: None,
            rewritten: None,
            render_problem: None,
            varies: Vec::new(),
            removing: false,
            paused: None,
            gate: None,
            entered: BTreeSet::new(),
            entered_children: BTreeMap::new(),
            arrival: Arrival::default(),
            approved: None,
            approved_bases: BTreeSet::new(),
            lapsed: Vec::new(),
            request: None,
            attempts: BTreeMap::new(),
            drift: BTreeMap::new(),
            holds: Vec::new(),
            rivals: BTreeMap::new(),
            previews: BTreeMap::new(),
            ignore_problems: Vec::new(),
            ignore_failures: BTreeMap::new(),
            health: Health::Unknown,
            health_message: String::new(),
            unwell: BTreeMap::new(),
            suspended: Vec::new(),
            last_sync: None,
            replicas_left: BTreeSet::new(),
            refused: BTreeMap::new(),
            awaits: BTreeMap::new(),
            counts: (0, 0, 0),
            renders: Vec::new(),
        }
    }

    /// Whatever waits for approval, or was approved and is not done, is no more.
    pub(super) fn lapse(&mut self) {
        let approved = self.approved.take().map(|approval| approval.plan);
        self.approved_bases.clear();
        let lapsed = approved.into_iter().chain(self.gate.take().map(|gate| gate.plan));
        for plan in lapsed {
            self.lapsed.retain(|known| *known != plan);
            self.lapsed.push(plan);
        }
        let over = self.lapsed.len().saturating_sub(LAPSED_MAX);
        self.lapsed.drain(..over);
    }

    /// Remembers a render by its inputs.
    pub(super) fn remember_render(&mut self, inputs: Digest, seq: Seq) {
        self.renders.retain(|(known, _)| *known != inputs);
        if self.renders.len() >= RENDERS_MAX {
            self.renders.remove(0);
        }
        self.renders.push((inputs, seq));
    }

    /// Whether its pause, if any, is in force at `now`.
    #[must_use]
    pub fn is_paused(&self, now: Timestamp) -> bool {
        self.paused.as_ref().is_some_and(|pause| pause.holds(now))
    }

    /// The times, past or to come, at which time alone changes something about it.
    pub fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        let retries = self.attempts.values().filter_map(|attempt| attempt.next);
        let pause = self.paused.as_ref().and_then(|pause| pause.until);
        let previews = self.previews.values().filter_map(|preview| preview.next);
        let ignored = self.ignore_failures.values().filter_map(|failure| failure.next);
        let contests = self.contest_deadlines();
        let held = self.hold.as_ref().and_then(|hold| hold.until);
        let holds = self.holds.iter().filter_map(|hold| hold.until).chain(held);
        let holds = holds.chain(self.trials.deadline());
        let render = self.render_problem.as_ref().and_then(|problem| problem.next);
        let request = self.request.as_ref().map(|request| request.until);
        retries
            .chain(request)
            .chain(pause)
            .chain(previews)
            .chain(ignored)
            .chain(contests)
            .chain(holds)
            .chain(render)
    }

    /// Why a request is over although it is not finished; `None` = it lasts.
    #[must_use]
    pub fn why_over(&self, request: &SyncRequest, now: Timestamp) -> Option<&'static str> {
        let desired = self.desired.as_ref().map(|desired| desired.seq);
        if request.render.is_some() && request.render != desired {
            return Some("a newer render took force while it waited for approval");
        }
        (request.until <= now).then_some("it could not be finished within an hour")
    }

    /// The sync that a person asked for, while it lasts.
    #[must_use]
    pub fn asked(&self, now: Timestamp) -> Option<&SyncRequest> {
        self.request.as_ref().filter(|request| self.why_over(request, now).is_none())
    }

    /// The newest render, whether it is in force or waits.
    #[must_use]
    pub fn newest(&self) -> Option<&Desired> {
        self.proposed.as_ref().map(|proposed| &proposed.desired).or(self.desired.as_ref())
    }

    /// Whether a render that waits contains `key`.
    #[must_use]
    pub fn proposes(&self, key: &ObjectKey) -> bool {
        let proposed = self.proposed.as_ref();
        proposed.is_some_and(|proposed| proposed.desired.objects.contains_key(key))
    }

    /// The commit that its desired state stands for.
    #[must_use]
    pub fn commit(&self) -> Option<&CommitId> {
        self.desired.as_ref().map(|desired| &desired.revision.commit)
    }

    /// The commit whose render is in force: what it deletes counts as this commit's doing.
    #[must_use]
    pub fn rendered(&self) -> Option<&CommitId> {
        self.desired.as_ref().map(|desired| &desired.rendered)
    }

    /// Why its objects go, where they go.
    #[must_use]
    pub fn removal(&self) -> Removal {
        if self.removing { Removal::Delete } else { Removal::Prune }
    }

    /// What its options and the object's own annotations say about removing the object now.
    #[must_use]
    pub fn ruling(&self, own: &Protection) -> Ruling {
        let removal = self.removal();
        own.ruling(removal, self.spec.removals.stance(removal))
    }

    /// Whether somebody confirmed the removal of the object on the Application, since it is
    /// planned. Argo CD counts in whole seconds, as people write them.
    #[must_use]
    pub fn is_confirmed(&self, key: &ObjectKey) -> bool {
        let planned = self.awaits.get(key).map(|at| at.0.div_euclid(1_000_000_000));
        let approved = self.spec.removals.approved.map(|at| at.0.div_euclid(1_000_000_000));
        planned.is_some_and(|planned| approved.is_some_and(|approved| approved >= planned))
    }

    /// Whether the desired state contains `key`.
    #[must_use]
    pub fn wants(&self, key: &ObjectKey) -> bool {
        !self.removing && self.desired.as_ref().is_some_and(|d| d.objects.contains_key(key))
    }
}
