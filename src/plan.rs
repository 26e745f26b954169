//! What to do about an application, and why, decided from the world alone.
//!
//! [`plan`] is a pure function: no I/O, no clock, no randomness. The plan is fully decided: the
//! executor has no meaningful choice left. It also says what is *not* done and why, because that
//! is what people ask. [`check`] re-verifies any plan against the rules that must never be
//! broken, separately from the code that built it.

mod assess;
mod check;
pub mod diff;
mod doubted;
mod gate;
mod health;
mod order;
mod permission;
mod prune;
mod redefined;
pub mod secret;
mod shared;
mod unrendered;
mod unseen;

use std::collections::BTreeMap;

pub use assess::{Assessment, CONTEST, NOT_SERVED, Status};
pub use check::{Violation, check, withdrawn};
pub use gate::{Gated, Limits};
pub use order::kind_rank;
pub use permission::Permission;
pub use prune::{NOT_THERE_THEN, stays_beside, stays_while};

use crate::ledger::event::{Health, Method, Write};
use crate::model::{AppName, BlobAddr, Digest, Mask, ObjectKey, Seq, Timestamp};
use crate::replay::{App, World};

pub use crate::ledger::event::CREATE_NAMESPACE;

/// Why nothing is done for an application that is skipped.
const SKIPPED: &str = "annotation argocd.argoproj.io/skip-reconcile: greffier leaves it alone";
/// Why nothing is written for any application while greffier is frozen.
pub const FROZEN: &str = "greffier is frozen";

/// Whether an application is as Git says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Every object is as desired.
    Synced,
    /// Something differs.
    OutOfSync,
    /// Nothing is known to compare with.
    Unknown,
    /// Nobody looks: the Application says so.
    Skipped,
}

impl Sync {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::OutOfSync => "OutOfSync",
            Self::Unknown => "Unknown",
            Self::Skipped => "Skipped",
        }
    }
}

/// A comparison that must be made before an object can be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The object.
    pub key: ObjectKey,
    /// The object as our apply returned it.
    pub baseline: BlobAddr,
    /// The object as observed.
    pub observed: BlobAddr,
    /// The observation.
    pub observation: Seq,
    /// The manifest that was applied.
    pub manifest: BlobAddr,
    /// Whether it was applied by replacing the object: then nothing says which fields are
    /// greffier's but the manifest.
    pub replaced: bool,
    /// The digest of the live object, without status and field ownership.
    pub live: Digest,
    /// What is ignored.
    pub mask: Mask,
}

/// A question to the API server that must be asked before an object can be judged: what would
/// applying make of it?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// The manifest.
    pub manifest: BlobAddr,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The uid of the live object.
    pub uid: String,
    /// The digest of the live object.
    pub live: Digest,
    /// The live object as observed.
    pub observed: BlobAddr,
    /// How the manifest would be sent.
    pub method: Method,
    /// Whether the API server refuses what it does not know.
    pub validate: bool,
    /// What is ignored.
    pub mask: Mask,
    /// What tells what is ignored from what was ignored when it was asked before.
    pub mask_digest: Digest,
    /// That of which the live value would be sent back.
    pub respect: Mask,
    /// The holds that would be laid over the manifest, by the events that began them.
    pub holds: Vec<Seq>,
}

/// Comparisons that were made and found nothing, by object: the observation they judged, and the
/// digest of what they ignored. They can be made again at any time with the same result, so they
/// need not be recorded.
pub type Compared = BTreeMap<ObjectKey, (Seq, Digest)>;

/// How everything that a revision asks for ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Whether every object is as desired.
    pub succeeded: bool,
    /// What happened, in words that stay the same while nothing changes.
    pub message: String,
}

/// What to do about one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The application.
    pub app: AppName,
    /// The position of the ledger that it was decided from.
    pub base: Seq,
    /// Writes to be made now, in this order.
    pub writes: Vec<Write>,
    /// Child applications to define or redefine: name and manifest.
    pub declare: Vec<(AppName, Vec<u8>)>,
    /// Child applications to remove, and whether their objects go with them.
    pub remove: Vec<(AppName, bool)>,
    /// The part that waits for a person.
    pub gate: Option<Gated>,
    /// Comparisons to be made.
    pub compare: Vec<Comparison>,
    /// Dry runs to be made.
    pub dry_runs: Vec<DryRun>,
    /// Objects that somebody deleted and nobody has announced yet.
    pub deleted: Vec<ObjectKey>,
    /// Every object with its state and the reason for it.
    pub objects: Vec<Assessment>,
    /// Writes that something suspends, by name.
    pub suspended: Vec<String>,
    /// Everything whose removal asks for a confirmation, confirmed or not, in order.
    pub awaits: Vec<ObjectKey>,
    /// Whether the application is as Git says.
    pub sync: Sync,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// When to look again, if time alone can change the plan.
    pub deadline: Option<Timestamp>,
    /// How the revision ended, once it has.
    pub finished: Option<Finished>,
    /// Whether the application was being removed and nothing of it is left.
    pub removed: bool,
    /// Whether, and for what, greffier may write for the application.
    pub permission: Permission,
}

/// Decides what to do about `name`; `None` when there is no such application.
#[must_use]
pub fn plan(world: &World, name: &AppName, limits: &Limits, compared: &Compared) -> Option<Plan> {
    let app = world.apps.get(name)?;
    let permission = Permission::of(world, app);
    let mut plan = Plan::nothing(world, name, app, permission.clone());
    if app.spec.skip {
        return Some(plan);
    }
    if let Some(doubted) = doubted::plan(world, name, app, &permission) {
        return Some(doubted);
    }
    let assessed = assess::Assessed::of(world, name, app, &permission, compared);
    let beside = (assessed.declare.as_slice(), &assessed.beside);
    let pruned = prune::prunes(world, name, app, &permission, beside);
    plan.writes = assessed.writes;
    plan.declare = assessed.declare;
    plan.compare = assessed.compare;
    plan.dry_runs = assessed.dry_runs;
    plan.deleted = assessed.deleted;
    plan.objects = assessed.objects;
    plan.suspended = assessed.suspended;
    plan.remove = pruned.remove;
    plan.awaits = pruned.awaits;
    plan.removed = pruned.nothing_left;
    plan.suspended.extend(pruned.suspended);
    plan.objects.extend(pruned.objects);
    gate::gate(world, name, app, limits, &mut plan, pruned.writes, pruned.asks);
    prune::wave_by_wave(world, &mut plan, &pruned.stays);
    shared::stop(app, &mut plan);
    plan.awaits.sort();
    plan.objects.sort_by(|a, b| a.key.cmp(&b.key));
    plan.suspended.sort();
    plan.suspended.dedup();
    plan.sync = sync(world, app, &plan);
    (plan.health, plan.health_message) = health::health(world, app, &plan);
    plan.finished = finished(world, app, &permission, &plan);
    Some(plan)
}

impl Plan {
    /// A plan that does nothing: the application is left alone, and its health is as last known.
    fn nothing(world: &World, name: &AppName, app: &App, permission: Permission) -> Self {
        Self {
            app: name.clone(),
            base: world.seq,
            writes: Vec::new(),
            declare: Vec::new(),
            remove: Vec::new(),
            gate: None,
            compare: Vec::new(),
            dry_runs: Vec::new(),
            deleted: Vec::new(),
            objects: Vec::new(),
            suspended: Vec::new(),
            awaits: Vec::new(),
            sync: Sync::Skipped,
            health: app.health,
            health_message: app.health_message.clone(),
            deadline: deadline(world, app),
            finished: None,
            removed: false,
            permission,
        }
    }
}

/// The next time at which time alone changes the plan.
fn deadline(world: &World, app: &App) -> Option<Timestamp> {
    app.deadlines().filter(|at| *at > world.now).min()
}

fn sync(world: &World, app: &App, plan: &Plan) -> Sync {
    // While an application is held, what Git says now is not asked for.
    let unknown = !app.is_held() && world.render_problem(app).is_some();
    if app.desired.is_none() && !app.removing || unknown {
        return Sync::Unknown;
    }
    // What Git says now waits, and is something else.
    let mut sync = if waits_otherwise(app) { Sync::OutOfSync } else { Sync::Synced };
    for object in &plan.objects {
        match object.status {
            Status::Synced | Status::Held => {}
            Status::InFlight if !is_unwritten(world, app, &object.key) => {}
            Status::Unknown => return Sync::Unknown,
            Status::Missing
            | Status::Changed
            | Status::Drifted
            | Status::OwnershipLost
            | Status::Foreign
            | Status::Extra
            | Status::OnHold
            | Status::InFlight
            | Status::Kept => {
                if object.counted {
                    sync = Sync::OutOfSync;
                }
            }
        }
    }
    sync
}

/// Whether what waits asks for something else than what is in force: while an application is held,
/// also what asks for the same waits for the release.
fn waits_otherwise(app: &App) -> bool {
    let Some(waits) = &app.proposed else { return false };
    let same = || app.unheld().is_some_and(|held| held.asks_for_the_same(&waits.desired));
    !app.is_held() || !same()
}

/// Whether a write is under way that brings what Git says: until it is answered the object is as it
/// was before, as far as anybody knows.
fn is_unwritten(world: &World, app: &App, key: &ObjectKey) -> bool {
    let wanted = app.desired.as_ref().and_then(|desired| desired.objects.get(key));
    let applied = world.owned.get(key).map(|owned| owned.applied);
    let differs = match wanted {
        Some(wanted) => applied != Some(wanted.digest),
        None => applied.is_some(),
    };
    world.in_flight.contains_key(key) && differs
}

/// Whether the revision has ended, well or not.
fn finished(world: &World, app: &App, permission: &Permission, plan: &Plan) -> Option<Finished> {
    app.desired.as_ref()?;
    // A request does not last because something hangs.
    let over = app.request.as_ref().and_then(|request| app.why_over(request, world.now));
    let unfinished = || {
        let message = format!("the sync that was asked for ends unfinished: {}", over?);
        Some(Finished { succeeded: false, message })
    };
    let busy = !plan.writes.is_empty()
        || !plan.compare.is_empty()
        || !plan.dry_runs.is_empty()
        || !plan.declare.is_empty()
        || !plan.remove.is_empty()
        || plan.objects.iter().any(|object| object.status == Status::InFlight)
        || !app.is_held() && world.render_pending(app)
        || unrendered::may_render_yet(world, app)
        || !permission.apply;
    if busy {
        return unfinished();
    }
    if let Some(ended) = unrendered::ended(world, app) {
        return Some(ended);
    }
    if let Some(message) = shared::found(app, plan) {
        return Some(Finished { succeeded: false, message });
    }
    let problems: Vec<String> = plan
        .objects
        .iter()
        .filter(|object| object.blocked)
        .map(|object| format!("{}: {}", object.key, object.why))
        .collect();
    if let Some(gated) = &plan.gate {
        if app.request.is_some() {
            // The request is what permits to prune: it lasts until somebody has decided.
            return unfinished();
        }
        let reasons: Vec<_> = gated.reasons.iter().map(|reason| reason.what.as_str()).collect();
        let message = format!("waits for approval: {}", reasons.join("; "));
        return Some(Finished { succeeded: false, message });
    }
    if problems.is_empty() {
        return Some(Finished { succeeded: true, message: left_message(app, plan) });
    }
    let waits = plan.objects.iter().any(|object| object.blocked && object.waits_for_progress);
    if waits {
        return unfinished();
    }
    let shown: Vec<_> = problems.iter().take(5).map(String::as_str).collect();
    let more = problems.len().saturating_sub(shown.len());
    let suffix = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some(Finished { succeeded: false, message: format!("{}{suffix}", shown.join("; ")) })
}

/// What is left as it is by a revision that ended well.
fn left_message(app: &App, plan: &Plan) -> String {
    let differing = plan.objects.iter().filter(|object| object.counted && object.status.differs());
    let (foreign, left): (Vec<_>, Vec<_>) =
        differing.partition(|object| object.status == Status::Foreign);
    let (held, left): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|object| object.status == Status::OnHold);
    let mut parts = Vec::new();
    if !left.is_empty() {
        parts.push(format!("{} objects differ and are left as they are by policy", left.len()));
    }
    if !foreign.is_empty() {
        parts.push(format!("{} objects are of other applications", foreign.len()));
    }
    if !held.is_empty() {
        parts.push(format!("of {} objects a person holds something", held.len()));
    }
    match (parts.is_empty(), &app.hold) {
        (false, _) => parts.join("; "),
        (true, None) => "every object is as Git says".to_owned(),
        (true, Some(hold)) => {
            format!("every object is as at #{}, where hold #{} holds it", hold.to.0, hold.seq.0)
        }
    }
}

#[cfg(test)]
mod tests;
