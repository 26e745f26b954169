//! What would be done about applications now, what would not and why, and what waits for a person.
//!
//! The plan is the one that the daemon follows ([`crate::plan::plan`]). [`gather`] and [`waiting`]
//! work under the world's lock and do no I/O; [`Pending::read`] then adds from the ledger who
//! committed what and what is in the objects that would go. Texts are returned as they are.

mod holding;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::apps::{self, AppView, NamedPlan, UnknownApp};
use super::book::Book;
use super::children::{self, Come, Gone};
use super::why::{Commit, commit, describe_commit, git};
use crate::ledger;
use crate::ledger::event::{Event, GateReason, Verb, Write};
use crate::model::{AppName, BlobAddr, CommitId, ObjectKey, Seq};
use crate::plan::{Compared, Limits, NOT_THERE_THEN, Status};
use crate::replay::{App, Approval, Gate, World};

/// What would be done about an application. It goes over the wire as it is: fields are added,
/// never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The application.
    pub app: String,
    /// The last event that the plan knows of.
    pub seq: u64,
    /// What Git says, and who said so.
    pub git: Option<Commit>,
    /// Whether it is as Git says.
    pub sync: String,
    /// Its health.
    pub health: String,
    /// Whether there is anything to do: now, once something was compared, or after an approval.
    pub to_do: bool,
    /// Why nothing may be written at all; empty where it may.
    pub restrained: String,
    /// The writes that are made now, in this order.
    pub writes: Vec<Step>,
    /// Applications that are defined or redefined now.
    pub define: Vec<String>,
    /// Applications that are removed now.
    pub remove: Vec<String>,
    /// What becomes of each application that is removed, now or once that is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
    /// What is known of each application that is defined and was not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub come: Vec<Come>,
    /// Objects that are compared first, with what was applied or by a dry run.
    pub compare: Vec<String>,
    /// What waits for approval.
    pub gate: Option<Waits>,
    /// What suspends writes, by name.
    pub suspended: Vec<String>,
    /// What differs and is not written now, and why.
    pub not_done: Vec<NotDone>,
    /// When time alone changes the plan; empty when it does not.
    pub deadline: String,
}

/// A write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub verb: String,
    /// To which object.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// An object that is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDone {
    /// The object.
    pub object: String,
    /// How it is.
    pub sync: String,
    /// Why nothing is done about it.
    pub why: String,
}

/// A plan, or part of one, that waits for a person, or that one has approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The application.
    pub app: String,
    /// What an approval names.
    pub plan: String,
    /// The event that approved it; `None` while it waits.
    pub approved: Option<u64>,
    /// Why it waits.
    pub reasons: Vec<String>,
    /// The commit that asks for it, and who made it, as far as known.
    pub git: Option<Commit>,
    /// What waits.
    pub items: Vec<Item>,
    /// What becomes of each application whose removal waits, object by object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
}

/// One thing that waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What would be done.
    pub verb: String,
    /// The object.
    pub object: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why; empty when not known.
    pub reason: String,
    /// When it was created, as it states; empty when not known.
    pub created: String,
    /// What it holds, as far as known: objects, keys, replicas, storage.
    pub holds: String,
}

/// What waits, without what the ledger adds.
#[derive(Debug, Clone, Default)]
struct PendingGate {
    waits: Waits,
    commit: Option<CommitId>,
    /// The event that tells of it, where it was recorded.
    recorded: Option<Seq>,
    /// The live object of each item.
    blobs: Vec<Option<BlobAddr>>,
}

/// An answer without what the ledger adds.
#[derive(Debug, Clone, Default)]
pub struct Pending(Vec<PendingPlan>);

/// The plan of one application, without what the ledger adds.
#[derive(Debug, Clone, Default)]
struct PendingPlan {
    planned: Planned,
    commit: Option<CommitId>,
    gate: Option<PendingGate>,
    /// The applications that come.
    coming: Vec<AppName>,
}

/// What waits of one application, without what the ledger adds.
#[derive(Debug, Clone, Default)]
pub struct PendingWaits(PendingGate);

/// The plans of the named applications; of all, when none is named.
///
/// # Errors
/// [`UnknownApp`] for the first name that no application has.
pub fn gather(
    world: &World,
    compared: &Compared,
    limits: &Limits,
    names: &[String],
) -> Result<Pending, UnknownApp> {
    let views = if names.is_empty() {
        apps::apps(world, compared, limits)
    } else {
        let views = names.iter().map(|name| apps::app(world, compared, limits, name));
        views.collect::<Result<_, _>>()?
    };
    let planned = views.iter().map(|view| {
        let gate = view.plan.gate.as_ref().map(|gated| {
            let hash = gated.hash.to_string();
            let mut gate = PendingGate::new(view.name, view.app, hash);
            gate.tell(world, &gated.reasons, &gated.writes, &gated.apps);
            gate
        });
        let coming = children::coming(world, &view.plan);
        PendingPlan { planned: planned(world, view), commit: commit(view).cloned(), gate, coming }
    });
    Ok(Pending(planned.collect()))
}

/// The plan of `app` that a hash, or the beginning of one, names; whatever waits, when it is
/// empty.
#[must_use]
pub fn waiting(world: &World, name: &AppName, app: &App, named: NamedPlan<'_>) -> PendingWaits {
    match named {
        NamedPlan::Approved(Approval { seq, plan, .. }) => {
            let mut gate = PendingGate::new(name, app, plan.to_string());
            gate.waits.approved = Some(seq.0);
            PendingWaits(gate)
        }
        NamedPlan::Waits(Gate { seq, plan, reasons, writes, apps, .. }) => {
            let mut gate = PendingGate::new(name, app, plan.to_string());
            gate.recorded = Some(*seq);
            gate.waits.reasons = reasons.iter().map(|reason| reason.what.clone()).collect();
            for (verb, key) in writes {
                gate.item(world, *verb, key, "");
            }
            gate.removals(world, apps);
            PendingWaits(gate)
        }
    }
}

fn planned(world: &World, view: &AppView<'_>) -> Planned {
    let plan = &view.plan;
    let step = |write: &Write| Step {
        verb: write.verb.as_str().to_owned(),
        object: write.key.to_string(),
        reason: write.reason.clone(),
    };
    let gated = plan.gate.iter().flat_map(|gated| &gated.writes).map(|write| &write.key);
    let doing: Vec<&ObjectKey> = plan.writes.iter().map(|w| &w.key).chain(gated).collect();
    let compared = plan.compare.iter().map(|comparison| &comparison.key);
    let compared = compared.chain(plan.dry_runs.iter().map(|dry_run| &dry_run.key));
    let compare: Vec<&ObjectKey> = compared.collect();
    let not_done = plan.objects.iter().filter(|object| {
        let left = object.status.differs() || object.status == Status::Held;
        left && !object.why.is_empty()
            && !doing.contains(&&object.key)
            && !compare.contains(&&object.key)
    });
    let now = !plan.writes.is_empty() || !plan.declare.is_empty() || !plan.remove.is_empty();
    let permission = &plan.permission;
    let may = permission.apply || permission.prune;
    Planned {
        app: view.name.to_string(),
        seq: world.seq.0,
        git: git(view),
        sync: plan.sync.as_str().to_owned(),
        health: plan.health.as_str().to_owned(),
        to_do: now || plan.gate.is_some() || !compare.is_empty() || world.render_pending(view.app),
        restrained: if may { String::new() } else { permission.why_not.clone() },
        writes: plan.writes.iter().map(step).collect(),
        define: plan.declare.iter().map(|(name, _)| name.to_string()).collect(),
        remove: plan.remove.iter().map(|(name, _)| name.to_string()).collect(),
        gone: children::all_gone(world, plan),
        come: Vec::new(),
        compare: compare.iter().map(ToString::to_string).collect(),
        gate: None,
        suspended: plan.suspended.clone(),
        not_done: not_done
            .map(|object| NotDone {
                object: object.key.to_string(),
                sync: object.status.as_str().to_owned(),
                why: object.why.clone(),
            })
            .collect(),
        deadline: plan.deadline.map(|at| at.to_string()).unwrap_or_default(),
    }
}

impl PendingGate {
    fn new(name: &AppName, app: &App, plan: String) -> Self {
        let commit = app.judged().map(|newest| newest.revision.commit.clone());
        let source = app.spec.sources.first();
        let git = source.zip(commit.as_ref()).map(|(source, commit)| Commit {
            repo: source.repo.clone(),
            revision: source.revision.clone(),
            commit: commit.to_string(),
            ..Commit::default()
        });
        let waits = Waits { app: name.to_string(), plan, git, ..Waits::default() };
        Self { waits, commit, ..Self::default() }
    }

    fn tell(&mut self, world: &World, reasons: &[GateReason], writes: &[Write], apps: &[AppName]) {
        self.waits.reasons = reasons.iter().map(|reason| reason.what.clone()).collect();
        for write in writes {
            self.item(world, write.verb, &write.key, &write.reason);
        }
        self.removals(world, apps);
    }

    fn item(&mut self, world: &World, verb: Verb, key: &ObjectKey, reason: &str) {
        self.blobs.push(world.live.get(key).map(|live| live.object));
        self.waits.items.push(Item {
            verb: verb.as_str().to_owned(),
            object: key.to_string(),
            kind: key.group_kind().to_string(),
            namespace: key.namespace().to_owned(),
            name: key.name().to_owned(),
            reason: reason.to_owned(),
            created: String::new(),
            holds: holding::objects(world, key),
        });
    }

    /// The removals wait together, and what goes with each depends on the others.
    fn removals<'a>(&mut self, world: &World, apps: impl IntoIterator<Item = &'a AppName> + Clone) {
        self.waits.gone = children::gone(world, apps.clone());
        for (at, child) in apps.into_iter().enumerate() {
            self.removal(world, child, at);
        }
    }

    /// The removal of an application, of which `at` tells what goes.
    fn removal(&mut self, world: &World, child: &AppName, at: usize) {
        self.blobs.push(None);
        let key = ObjectKey::application(child);
        let parent = world.apps.get(child).and_then(|app| world.apps.get(app.origin.parent()?));
        let held = parent.and_then(|parent| world.hold_behind(parent));
        self.waits.items.push(Item {
            verb: "remove".to_owned(),
            object: key.to_string(),
            kind: "Application".to_owned(),
            name: child.to_string(),
            reason: match held {
                Some(_) => NOT_THERE_THEN.to_owned(),
                None => "its definition left Git".to_owned(),
            },
            holds: self.waits.gone.get(at).map(holding::application).unwrap_or_default(),
            ..Item::default()
        });
    }

    fn read(self, book: &dyn Book) -> Result<Waits, ledger::Error> {
        let Self { mut waits, mut commit, recorded, blobs } = self;
        let recorded = recorded.map(|seq| book.get(seq)).transpose()?.flatten();
        if let Some(Event::PlanGated(body)) = recorded.as_ref().and_then(|r| r.event.as_ref()) {
            commit = body.commit.clone().or(commit);
            for (item, write) in waits.items.iter_mut().zip(&body.writes) {
                item.reason.clone_from(&write.reason);
            }
        }
        if let (Some(git), Some(commit)) = (&mut waits.git, &commit) {
            git.commit = commit.to_string();
            describe_commit(book, git, commit)?;
        }
        for (item, blob) in waits.items.iter_mut().zip(blobs) {
            // What cannot be read is not known; that keeps nobody from deciding.
            if let Some(bytes) = blob.and_then(|addr| book.blob(addr).ok()) {
                holding::describe(item, &bytes);
            }
        }
        Ok(waits)
    }
}

impl Pending {
    /// Adds what the ledger says.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn read(self, book: &dyn Book) -> Result<Vec<Planned>, ledger::Error> {
        let plans = self.0.into_iter().map(|pending| {
            let PendingPlan { mut planned, commit, gate, coming } = pending;
            planned.come = children::come(book, &coming, Seq(planned.seq))?;
            if let (Some(git), Some(commit)) = (&mut planned.git, &commit) {
                describe_commit(book, git, commit)?;
            }
            planned.gate = gate.map(|gate| gate.read(book)).transpose()?;
            Ok(planned)
        });
        plans.collect()
    }
}

impl PendingWaits {
    /// Adds what the ledger says.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn read(self, book: &dyn Book) -> Result<Waits, ledger::Error> {
        self.0.read(book)
    }
}
