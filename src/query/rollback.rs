//! What a rollback of an application would do, and what its release would.
//!
//! The plan is the one that the daemon follows once the event is folded. [`gather`] does no I/O;
//! [`Pending::read`] then looks whether everything that is wanted can be read from the ledger, who
//! made the commit, and what images that are named by tags stood for.

mod commit;
mod ends;
mod git;
mod goes;
mod healthy;
mod healthy_tree;
mod others;
mod steps;
mod tree;
mod under_way;
mod undone;

use std::collections::{BTreeMap, BTreeSet};

pub use commit::{OfCommit, Wanted};
pub use ends::HoldEnds;
pub use git::{CommitPlan, held_commit, hint_of, result_word};
pub use healthy::{Choice, LAST_HEALTHY, Next, Stretch, choose, stretches};
pub use healthy_tree::last_healthy_tree;
pub use others::Other;
use others::Others;
use serde::{Deserialize, Serialize};
use steps::{compared, not_done, steps, unseen};
pub use tree::{behind, gather_tree, held_by};
pub use under_way::UnderWay;
use undone::Before;

use super::book::Book;
use super::children::{self, Come, Gone};
use super::coverage::Moment;
use super::images::{ImageThen, Images, Pinned, Workload};
use super::planned::{NotDone, Step};
use super::text::count;
use super::why::{Commit, describe_commit};
use crate::ledger;
use crate::ledger::event::{
    AppHeldV1, DesiredObject, Event, HeldApproval, HoldBegunV1, HoldOf, Verb,
};
use crate::model::{AppName, BlobAddr, CommitId, ObjectKey, Seq, Timestamp};
use crate::plan::{Compared, Limits, Plan, plan};
use crate::replay::{App, Sign, World};

/// How a plan says that the application is held at that instant already: only commits are made.
pub const HELD_ALREADY: &str = "held already";
/// How a plan says that a hold ends, and what is held with it.
pub const RELEASED: &str = "released";
/// What is said of an application whose definition is another since then.
const OPTIONS_OF_NOW: &str =
    "the Application has changed since: its options of now hold, the objects of then";
/// What is said where deletions wait for something else first.
const JUDGED_LATER: &str =
    "whether the deletions that wait exceed what may be deleted unasked is known when they are due";
/// What a hook's annotation is called where it restrains an object.
const HOOK: &str = "hook ";

/// What a rollback or a release would do. It goes over the wire as it is: fields are added, never
/// renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlan {
    /// The application; empty where none has what is restored.
    pub app: String,
    /// What is restored, where it is not an application: an object, or a field of it.
    #[serde(default)]
    pub subject: String,
    /// The event that is undone; zero when none is.
    #[serde(default)]
    pub undoes: u64,
    /// How it is done: `held` against Git, `written` once, `beside` (written once, where Git says
    /// nothing), `synced` as Git says, or what else is done in words.
    #[serde(default)]
    pub how: String,
    /// The fields that change: path, what it is now, what it is to be.
    #[serde(default)]
    pub fields: Vec<String>,
    /// What became of it since then.
    #[serde(default)]
    pub since: Vec<String>,
    /// What is not undone because something else came since, and what.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// The last event of the instant that it is rolled back to; zero of a release.
    pub to: u64,
    /// The time of that instant; empty of a release.
    pub at: String,
    /// How the person named it.
    pub said: String,
    /// The commit of the root's repository that a tree goes back to; empty where no commit was
    /// named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit: String,
    /// The commit that is in force then, and who made it.
    pub git: Option<Commit>,
    /// The commit of Git that waits while the application is held; empty when none does.
    pub waits: String,
    /// How many objects it wants then.
    pub objects: usize,
    /// How many objects each verb is done to.
    pub counts: BTreeMap<String, usize>,
    /// The writes, those that come later included.
    pub steps: Vec<Step>,
    /// Applications that are defined or redefined.
    pub define: Vec<String>,
    /// Those of them that are there already and get another source or namespace, or are no longer
    /// set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
    /// Applications that are removed.
    pub remove: Vec<String>,
    /// What becomes of each application that goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goes: Vec<String>,
    /// The same, object by object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
    /// What is known of each application that is defined and was not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub come: Vec<Come>,
    /// The holds of objects that end with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<HoldEnds>,
    /// What other applications write then, because it ends a hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
    /// Objects that are compared first.
    pub compare: Vec<String>,
    /// Writes that are under way already, and what follows from each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way: Vec<UnderWay>,
    /// Objects of which it is not known yet whether they are there, and why: what is written of
    /// them is decided as soon as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<NotDone>,
    /// What differs and is not written, and why.
    pub not_done: Vec<NotDone>,
    /// Why it cannot be said what is written; empty where it can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_known: String,
    /// Why nothing may be written at all; empty where it may.
    pub restrained: String,
    /// Why some of it exceeds what may be deleted without asking.
    pub exceeds: Vec<String>,
    /// Whose approval that waits for; empty = its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asks: String,
    /// What a person who goes on allows with it: the hash of what exceeds; empty when nothing does.
    pub approves: String,
    /// What cannot be restored, and why.
    pub missing: Vec<String>,
    /// What is not restored although the rest is, and is left as it is now.
    #[serde(default)]
    pub left: Vec<String>,
    /// Hooks that are among the objects and are not run.
    pub hooks: Vec<String>,
    /// The images that what is written names by tags or, where images are to be named by their
    /// digests, that everything that is held does: what they stood for then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageThen>,
    /// Images that were to be named by their digests and cannot be, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpinned: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// When the hold ends by itself; empty when it does not.
    pub until: String,
    /// The commits that would say it in Git, where that is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitPlan>,
    /// Why no commit can be made now; empty where it can. What is held does not wait for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub not_pushed: String,
    /// Commits that are there already: on which branch, and since which event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushed_before: Vec<String>,
    /// What these commits do not put back, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_in_git: Vec<String>,
    /// What they change of other applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// The hash of what they put back where: nothing else is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commits_hash: String,
    /// The same of each application below it, where those go back or are released with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tree: Vec<HoldPlan>,
}

impl HoldPlan {
    /// Whether the object is applied, or may be once it was compared.
    fn writes(&self, key: &ObjectKey) -> bool {
        let object = key.to_string();
        let applied = |step: &Step| step.object == object && step.verb != Verb::Prune.as_str();
        self.steps.iter().any(applied) || self.compare.contains(&object)
    }

    /// How much is done: `update 3, prune 1`.
    #[must_use]
    pub fn summary(&self) -> String {
        if !self.not_known.is_empty() {
            return "not known yet".to_owned();
        }
        let verbs = self.counts.iter().map(|(verb, n)| format!("{verb} {n}"));
        let define = Some(self.define.len()).filter(|n| *n > 0);
        let define = define.map(|n| format!("define {}", count(n, "application")));
        let remove = Some(self.remove.len()).filter(|n| *n > 0);
        let remove = remove.map(|n| format!("remove {}", count(n, "application")));
        let compare = Some(self.compare.len()).filter(|n| *n > 0);
        let compare = compare.map(|n| format!("compare {n} first"));
        let open = Some(self.under_way.len()).filter(|n| *n > 0);
        let open = open.map(|n| format!("{} under way already", count(n, "write")));
        let others = others::count_of(&self.others);
        let unseen = Some(self.unseen.len()).filter(|n| *n > 0);
        let unseen = unseen.map(|n| format!("{} not known yet", count(n, "object")));
        let all = verbs.chain(define).chain(remove).chain(compare).chain(open).chain(others);
        let all = all.chain(unseen);
        let all: Vec<String> = all.collect();
        if all.is_empty() { "nothing to write".to_owned() } else { all.join(", ") }
    }
}

/// A plan with what the ledger adds.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The plan.
    pub plan: HoldPlan,
    /// What a person who goes on allows with it.
    pub approval: Option<HeldApproval>,
    /// The objects that cannot be restored.
    pub missing: Vec<ObjectKey>,
}

/// A plan without what the ledger adds.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    pub(crate) plan: HoldPlan,
    commit: Option<CommitId>,
    /// The applications that go.
    going: Vec<AppName>,
    /// The applications that come.
    coming: Vec<AppName>,
    /// What must be in the ledger.
    manifests: Vec<DesiredObject>,
    /// Of which images are told beside these.
    restored: Vec<DesiredObject>,
    /// The instant; its time is looked up where it is not known.
    to: Moment,
    rendered: Seq,
    /// What is known of images already.
    images: Option<Vec<ImageThen>>,
    approval: Option<HeldApproval>,
    unserved: Vec<ObjectKey>,
}

/// What would be done once `event`, which begins or ends a hold, is folded into `world`. `None`
/// when the application is not there.
#[must_use]
pub fn gather(
    mut world: World,
    compared: &Compared,
    limits: &Limits,
    name: &AppName,
    event: &Event,
) -> Option<Pending> {
    let (seq, now) = (world.seq.next(), world.now);
    let before = world.apps.get(name)?.clone();
    let so = Before::of(&world, name, limits, compared);
    let ends = matches!(event, Event::AppHoldEnded(_)).then_some(name);
    let others = Others::of(&world, ends.into_iter(), limits, compared);
    let _ = world.apply(seq, now, event);
    let app = world.apps.get(name)?;
    let planned = plan(&world, name, limits, compared)?;
    let mut pending = Pending::of(&world, name, app, &planned);
    match event {
        Event::AppHeld(body) => pending.held(&world, &before, app, body),
        Event::HoldBegun(body) => pending.parts(&world, body),
        Event::HoldEnded(body) => pending.only(&body.objects),
        Event::AppHoldEnded(_) => {
            pending.way_back(before.hold.as_ref().map_or(0, |hold| hold.to.0));
            pending.goes_by_parent(&world, (name, app), limits, compared);
            pending.plan.others = others.once_gone(&world, &pending.going, limits, compared);
            if pending.going.contains(name) {
                pending.is_removed();
            }
        }
        Event::SyncRequested(body) => pending.only(&body.only),
        _ => {}
    }
    pending.plan.ends = ends::ending(&before, event);
    pending.since(&so, app);
    pending.unnumbered(&[seq]);
    Some(pending)
}

impl Pending {
    fn of(world: &World, name: &AppName, app: &App, planned: &Plan) -> Self {
        let gated = planned.gate.as_ref();
        let may = planned.permission.apply || planned.permission.prune;
        let steps = steps(planned);
        let mut counts = BTreeMap::new();
        for step in &steps {
            *counts.entry(step.verb.clone()).or_default() += 1;
        }
        let (going, gone) = goes::goes(world, planned);
        let coming = children::coming(world, planned);
        let source = app.spec.sources.first();
        let commit = app.commit().cloned();
        let git = source.zip(commit.as_ref()).map(|(source, commit)| Commit {
            repo: source.repo.clone(),
            revision: source.revision.clone(),
            commit: commit.to_string(),
            ..Commit::default()
        });
        let plan = HoldPlan {
            app: name.to_string(),
            git,
            waits: match &app.proposed {
                Some(waits) => waits.desired.revision.commit.to_string(),
                None => String::new(),
            },
            objects: app.desired.as_ref().map_or(0, |desired| desired.objects.len()),
            counts,
            define: planned.declare.iter().map(|(child, _)| child.to_string()).collect(),
            moved: children::moved(world, planned).iter().map(ToString::to_string).collect(),
            remove: going.iter().map(ToString::to_string).collect(),
            goes: gone.iter().map(Gone::text).collect(),
            gone,
            compare: compared(planned).iter().map(ToString::to_string).collect(),
            under_way: under_way::under_way(world, name, app),
            unseen: unseen(planned),
            not_done: not_done(planned, &steps),
            restrained: if may { String::new() } else { planned.permission.why_not.clone() },
            exceeds: match gated {
                Some(gated) => gated.reasons.iter().map(|reason| reason.what.clone()).collect(),
                None => Vec::new(),
            },
            steps,
            ..HoldPlan::default()
        };
        let mut plan = plan;
        plan.notes.extend(world.old_copy().map(older));
        plan.notes.extend(planned.objects.iter().filter_map(goes::once_known));
        if planned.objects.iter().any(goes::deletes_later) {
            plan.notes.push(JUDGED_LATER.to_owned());
        }
        let approval = gated.filter(|gated| gated.render.is_none()).map(|gated| HeldApproval {
            plan: gated.hash,
            writes: gated.writes.clone(),
            apps: gated.apps.clone(),
        });
        Self { plan, commit, going, coming, approval, ..Self::default() }
    }

    /// What a rollback adds.
    fn held(&mut self, world: &World, before: &App, app: &App, body: &AppHeldV1) {
        let plan = &mut self.plan;
        plan.to = body.to.0;
        plan.at = body.at.to_string();
        plan.said.clone_from(&body.said);
        plan.until = body.until.map(|until| until.to_string()).unwrap_or_default();
        if let Some(approval) = &self.approval {
            plan.approves = approval.plan.to_string();
        }
        let objects = &body.desired.objects;
        for object in unserved(world, objects) {
            let kind = object.key.group_kind();
            plan.missing.push(format!("{}: the cluster does not serve {kind}", object.key));
            self.unserved.push(object.key.clone());
        }
        plan.hooks = objects.iter().flat_map(hooks).collect();
        if body.desired.declared != before.declared {
            plan.notes.push(OPTIONS_OF_NOW.to_owned());
        }
        if !app.holds.is_empty() {
            let kept = count(app.holds.len(), "hold");
            plan.notes.push(format!("{kept} of its objects (`greffier keep`) stay in force"));
        }
        if let Some(former) = &before.hold {
            plan.notes.push(ends::replaces(former, body.until));
        }
        let left = body.left.iter().map(|key| format!("{key}: it is not restored"));
        plan.left = left.collect();
        let kept = objects.iter().filter(|object| !object.key.is_application());
        self.manifests = kept.cloned().collect();
        self.to = Moment { seq: body.to, time: body.at };
        self.rendered = body.desired.seq;
    }

    /// What a hold of objects or fields adds.
    fn parts(&mut self, world: &World, body: &HoldBegunV1) {
        self.plan.until = body.until.map(|until| until.to_string()).unwrap_or_default();
        let held = body.of.iter().filter_map(|of| match of {
            HoldOf::Object(held) => Some(held),
            HoldOf::Fields(_) | HoldOf::Absence(_) => None,
        });
        let objects: Vec<DesiredObject> = held.clone().map(|held| held.object.clone()).collect();
        // What comes back as it was seen names what was seen.
        let wanted = held.filter(|held| !held.seen).map(|held| held.object.clone());
        self.restored = wanted.collect();
        self.to.seq = body.from.seq();
        self.rendered = body.from.seq();
        for object in unserved(world, &objects) {
            let kind = object.key.group_kind();
            self.plan.missing.push(format!("{}: the cluster does not serve {kind}", object.key));
            self.unserved.push(object.key.clone());
        }
        let hooks = objects.iter().flat_map(hooks);
        self.plan.hooks = hooks.collect();
        let keys: Vec<ObjectKey> = body.of.iter().map(|of| of.key().clone()).collect();
        self.only(&keys);
        if self.approval.is_some() {
            let app = &self.plan.app;
            self.plan.notes.push(format!("what exceeds waits for `greffier approve {app}`"));
        }
    }

    /// What is not done of other objects is not because of this.
    fn only(&mut self, keys: &[ObjectKey]) {
        let keys: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
        let kept = |left: &NotDone| keys.is_empty() || keys.contains(&left.object);
        self.plan.not_done.retain(kept);
        self.plan.unseen.retain(kept);
        self.plan.under_way.retain(|open| keys.is_empty() || keys.contains(&open.object));
    }

    /// Calls holds that are not begun yet by no number: which they get is not known.
    fn unnumbered(&mut self, seqs: &[Seq]) {
        let plan = &mut self.plan;
        let why = plan.not_done.iter_mut().map(|left| &mut left.why);
        let reasons = plan.steps.iter_mut().map(|step| &mut step.reason).chain(why);
        for text in reasons.chain(&mut plan.exceeds) {
            for seq in seqs.iter().rev() {
                *text = text.replace(&format!("hold #{seq}"), "this hold");
            }
        }
    }

    /// The same with what is known of images, and without the manifests that name them by their
    /// digests: they are recorded with what begins the hold.
    #[must_use]
    pub fn pinned(mut self, pinned: &Pinned) -> Self {
        let addrs = pinned.addrs();
        self.manifests.retain(|object| !addrs.contains(&object.manifest));
        self.images.clone_from(&pinned.images);
        self
    }

    /// Adds what the ledger says: who made the commit, which manifests cannot be read, and what
    /// images stood for.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn read(
        self,
        book: &dyn Book,
        has: impl Fn(BlobAddr) -> bool,
    ) -> Result<Shown, ledger::Error> {
        let Self { mut plan, commit, coming, manifests, restored, mut to, .. } = self;
        let mut missing = self.unserved;
        if let (Some(git), Some(commit)) = (&mut plan.git, &commit) {
            describe_commit(book, git, commit)?;
        }
        // Of a release or an undo there is no instant: what was there last is told.
        let by = if to.seq == Seq::ZERO { book.head() } else { to.seq };
        plan.come = children::come(book, &coming, by)?;
        if to.time == Timestamp::default() {
            let recorded = book.get(to.seq)?;
            to.time = recorded.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
        }
        let (mut images, mut told) = (Images::new(book, to), Vec::new());
        let mut tell = |plan: &HoldPlan, object: &DesiredObject, bytes: &[u8]| {
            if self.images.is_some() || !plan.writes(&object.key) {
                return Ok(());
            }
            let manifest = serde_json::from_slice(bytes).unwrap_or_default();
            let (key, digest, rendered) = (&object.key, object.digest, self.rendered);
            told.extend(images.of(&Workload { key, digest, rendered }, &manifest)?);
            Ok::<_, ledger::Error>(())
        };
        for object in manifests {
            let (key, addr) = (&object.key, object.manifest);
            let why = match has(addr).then(|| book.blob(addr)) {
                None => format!("{key}: its manifest {addr} is not in the ledger"),
                Some(Err(error)) => format!("{key}: its manifest cannot be read: {error}"),
                Some(Ok(bytes)) => {
                    tell(&plan, &object, &bytes)?;
                    continue;
                }
            };
            plan.missing.push(why);
            missing.push(object.key);
        }
        for object in restored {
            if let Ok(bytes) = book.blob(object.manifest) {
                tell(&plan, &object, &bytes)?;
            }
        }
        plan.images = self.images.unwrap_or(told);
        plan.missing.sort();
        missing.sort();
        missing.dedup();
        Ok(Shown { plan, approval: self.approval, missing })
    }
}

/// What a person who goes on has to know where the ledger may be an old copy.
fn older(sign: &Sign) -> String {
    format!(
        "the ledger may be an old copy: greffier wrote to {} at {}, later than it knows of; what \
         would put that back waits for approval, also where it is only found when it is compared",
        sign.key, sign.at
    )
}

/// The hooks that an object is.
fn hooks(object: &DesiredObject) -> impl Iterator<Item = String> + '_ {
    let hooks = object.holds.iter().filter(|hold| hold.what.starts_with(HOOK));
    hooks.map(move |hold| format!("{}: {}", object.key, hold.what))
}

/// Objects whose kind the cluster does not serve, nor will because of another of them.
fn unserved<'o>(world: &World, objects: &'o [DesiredObject]) -> Vec<&'o DesiredObject> {
    // Before anything is known of the cluster, nothing is missing.
    if world.cluster.kinds.is_empty() {
        return Vec::new();
    }
    let crds = objects.iter().filter(|o| o.key.is(CRD.0, CRD.1)).map(|o| o.key.name());
    let groups: BTreeSet<&str> = crds.filter_map(|name| Some(name.split_once('.')?.1)).collect();
    let kinds = &world.cluster.kinds;
    let unserved = objects.iter().filter(|object| {
        let served = kinds.contains_key(&object.key.group_kind());
        !served && !object.key.is_application() && !groups.contains(object.key.group())
    });
    unserved.collect()
}

const CRD: (&str, &str) = ("apiextensions.k8s.io", "CustomResourceDefinition");

#[cfg(test)]
mod tests;
