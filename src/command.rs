//! The one path by which people's commands become events.
//!
//! A [`Command`] is checked against the world ([`decide`], pure) and then appended with the actor
//! who gave it ([`execute`]). Nothing here acts: whatever a command brings about, the reconciler
//! does because of the event. So a command is answered as soon as it is durable.
//!
//! Invariant: an event of a person carries that person as its actor and nobody else.

mod apps;
mod cluster;
mod hold;
pub mod push;
mod restore;
mod rollback;
pub mod tree;

pub use cluster::NotAccepted;
pub use hold::{can_be_laid, keeper};
pub use restore::{NotRestored, Restored, whose};
pub use rollback::{Then, leave};

use serde_json::Value;

use crate::cluster::Unlaid;
use crate::ledger::event::{
    BackTo, DriftDetectedV1, Event, FrozenV1, MarkedV1, PausedV1, PlanApprovedV1, ResumedV1,
    SyncRequestedV1, UnfrozenV1,
};
use crate::ledger::{self, Batch, Blob, Draft, Ledger};
use crate::model::{Actor, AppError, AppName, ObjectKey, Seq, Timestamp, with_causes};
use crate::query::instant::At;
use crate::query::why::SubjectError;
use crate::query::{GateError, NamedPlan, UnknownApp, plan_named, text::near_names};
use crate::replay::{App, NotKept, World};

/// How long a reason may be, in bytes.
pub const REASON_BYTES_MAX: usize = 2_000;
/// How long the name of an instant may be, in bytes.
pub const MARK_BYTES_MAX: usize = 100;
/// How many objects one sync may name.
pub const ONLY_MAX: usize = 1_000;

/// What a person wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Define an application, or define it differently.
    AddApp {
        /// The Application manifest.
        manifest: Value,
    },
    /// Stop managing an application.
    RemoveApp {
        /// The application.
        app: String,
        /// Whether its objects go with it; where nobody says, they are left, unless its finalizer
        /// asks for them to go: then somebody has to say.
        cascade: Option<bool>,
    },
    /// Apply the desired state now.
    Sync {
        /// The application.
        app: String,
        /// Whether objects that left Git are removed.
        prune: bool,
        /// Only these objects; empty = all.
        only: Vec<ObjectKey>,
        /// Why.
        reason: String,
    },
    /// Let a gated plan go on.
    Approve {
        /// The application.
        app: String,
        /// The plan's hash, or the beginning of it.
        plan: String,
        /// Why.
        reason: String,
    },
    /// Write nothing for an application until it is resumed.
    Pause {
        /// The application.
        app: String,
        /// When the pause ends by itself.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// End a pause.
    Resume {
        /// The application.
        app: String,
    },
    /// Write nothing for any application until it is unfrozen.
    Freeze {
        /// When the freeze ends by itself.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// End a freeze.
    Unfreeze,
    /// Write back what somebody changed by hand, and hold it.
    Keep {
        /// The event that tells of it.
        event: Seq,
        /// What it found, if it is a drift.
        drift: Option<Box<DriftDetectedV1>>,
        /// When the hold ends by itself.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Give an instant a name.
    Mark {
        /// The name.
        name: String,
        /// The last event of the instant.
        seq: Seq,
        /// Its time.
        time: Timestamp,
        /// Why.
        reason: String,
    },
    /// Bring back what was in force of an application at an earlier instant, and hold it there.
    Rollback {
        /// The application.
        app: String,
        /// The instant.
        to: At,
        /// How the person named it.
        said: String,
        /// What was in force then.
        then: Then,
        /// When the hold ends by itself.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Bring back objects or fields as they were.
    Restore {
        /// What, and how.
        restored: Restored,
        /// What it goes back to.
        from: BackTo,
        /// When a hold ends by itself.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Keep the cluster that answers from here on.
    AcceptCluster {
        /// Its uid, as it was shown.
        uid: String,
        /// The event that told that it is in doubt, as it was shown.
        doubt: Seq,
        /// Why.
        reason: String,
    },
    /// End holds: what they held follows Git again.
    Release {
        /// An application, an object, or the event of a hold or of the drift that it keeps.
        subject: String,
        /// The namespace of the object, where the subject does not say it.
        namespace: Option<String>,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No application has this name.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    /// The manifest is no Application.
    #[error(transparent)]
    Manifest(#[from] AppError),
    /// The approval names no plan that waits.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The application belongs to somebody else.
    #[error("application `{app}` is defined by {by}, and is changed there")]
    DefinedElsewhere {
        /// The application.
        app: AppName,
        /// Who defines it.
        by: String,
    },
    /// The application was of the tree then, and is somebody else's who keeps it.
    #[error("application `{app}` is defined by {by}, and is changed there")]
    TakenOver {
        /// The application.
        app: AppName,
        /// Who defines it.
        by: String,
        /// The application of the tree that defined it, or the first above that is there now.
        above: AppName,
        /// The application above both, whose tree has it then as now.
        both: Option<AppName>,
        /// The last event of the instant.
        to: Seq,
    },
    /// The application's finalizer would take its objects along, and nobody said so.
    #[error(
        "application `{app}` has a finalizer that would delete {objects} of its objects with it"
    )]
    SayWhich {
        /// The application.
        app: AppName,
        /// How many objects would go.
        objects: usize,
    },
    /// The application is not paused.
    #[error("application `{0}` is not paused")]
    NotPaused(AppName),
    /// Greffier is not frozen.
    #[error("greffier is not frozen")]
    NotFrozen,
    /// The event tells of no drift.
    #[error("event {0} tells of no drift")]
    NoDrift(Seq),
    /// What the event tells of cannot be kept.
    #[error("what event {event} tells of cannot be kept: {why}")]
    NotKept {
        /// The event.
        event: Seq,
        /// Why.
        why: NotKept,
    },
    /// What the event tells of does not fit on the manifest that Git has now.
    #[error("what event {event} tells of cannot be kept: {why}")]
    NotLaid {
        /// The event.
        event: Seq,
        /// Why.
        why: Unlaid,
    },
    /// Keeping it would apply what nobody synced.
    #[error(
        "Git has changed {key} since it was applied, and keeping something of it would apply that: \
         application `{app}` is synced by hand"
    )]
    Unsynced {
        /// The application.
        app: AppName,
        /// The object.
        key: Box<ObjectKey>,
    },
    /// Keeping it would put back what was changed by hand later.
    #[error(
        "{key} was changed by hand beside it, and keeping that alone would put back {}: application \
         `{app}` leaves drift as it is",
        .paths.join(", ")
    )]
    ChangedBeside {
        /// The application.
        app: AppName,
        /// The object.
        key: Box<ObjectKey>,
        /// The event that tells of everything.
        drift: Seq,
        /// What else was changed.
        paths: Vec<String>,
    },
    /// The object is not the application's any more.
    #[error("application `{app}` has {key} no more")]
    Left {
        /// The application.
        app: AppName,
        /// The object.
        key: Box<ObjectKey>,
    },
    /// Greffier is frozen, and a rollback is to be done now.
    #[error("greffier is frozen: nothing is written for any application")]
    Frozen,
    /// The Application says that it is to be left alone.
    #[error("application `{0}` is left alone: its skip-reconcile annotation says so")]
    LeftAlone(AppName),
    /// The application goes.
    #[error("application `{0}` is being removed")]
    BeingRemoved(AppName),
    /// The application was not there.
    #[error("application `{app}` was not there at #{seq} ({time})")]
    NotThen {
        /// The application.
        app: AppName,
        /// The instant.
        seq: Seq,
        /// Its time.
        time: Timestamp,
    },
    /// Nothing of the application was wanted.
    #[error("nothing of application `{app}` was in force at #{seq} ({time})")]
    NothingThen {
        /// The application.
        app: AppName,
        /// The instant.
        seq: Seq,
        /// Its time.
        time: Timestamp,
    },
    /// Git says what was in force then.
    #[error("Git says of application `{app}` what was in force at #{seq}: nothing is to be held")]
    AsThen {
        /// The application.
        app: AppName,
        /// The instant.
        seq: Seq,
        /// Whether another hold keeps it from Git.
        held: bool,
    },
    /// Something is not brought back.
    #[error(transparent)]
    Restore(#[from] NotRestored),
    /// Nothing is held of the subject.
    #[error("nothing of {0} is held")]
    NothingHeld(String),
    /// The subject names nothing, or several things.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A named object is not the application's.
    #[error("application `{app}` has no object {key}")]
    UnknownObject {
        /// The application.
        app: AppName,
        /// The object.
        key: Box<ObjectKey>,
        /// Objects that look like it.
        near: Vec<String>,
    },
    /// It is no name.
    #[error("`{0}` is no name for an instant")]
    BadMark(String),
    /// The daemon only observes.
    #[error("the daemon only observes (--observe) and writes nothing to the cluster")]
    Observing,
    /// The cluster cannot be accepted.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// Something is larger than allowed.
    #[error("{what} is too long: at most {limit}")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// The end has passed already.
    #[error("the {what} would have ended at {at}")]
    Past {
        /// Of what.
        what: &'static str,
        /// The end.
        at: Timestamp,
    },
    /// The ledger did not take the event.
    #[error("the command could not be recorded")]
    Ledger(#[source] ledger::Error),
}

/// A text that is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no manifest: {problem}")]
pub struct ManifestError {
    /// What is wrong, with line and column where there are any.
    pub problem: String,
}

/// A name that an instant may have.
fn mark_name(name: &str) -> Result<String, Error> {
    let good = |c: char| c.is_alphanumeric() || "._-/+".contains(c);
    if name.is_empty() || name.len() > MARK_BYTES_MAX || !name.chars().all(good) {
        return Err(Error::BadMark(name.chars().take(MARK_BYTES_MAX).collect()));
    }
    Ok(name.to_owned())
}

/// Reads a manifest, YAML or JSON: one document.
///
/// # Errors
/// What is wrong, with line and column.
pub fn read_manifest(bytes: &[u8]) -> Result<Value, ManifestError> {
    crate::render::parse_one(bytes, "the manifest")
        .map_err(|error| ManifestError { problem: with_causes(&error) })
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This event.
    Record(Box<Event>),
    /// Nothing: it is so already, since this event.
    AlreadySo(Seq),
}

impl Decision {
    fn record(event: impl Into<Event>) -> Self {
        Self::Record(Box::new(event.into()))
    }
}

/// Checks `command` against the world at `now` and says which event it comes to.
///
/// # Errors
/// Every reason in [`Error`] but the ledger's.
pub fn decide(world: &World, now: Timestamp, command: &Command) -> Result<Decision, Error> {
    match command {
        Command::AddApp { manifest } => apps::add(world, manifest),
        Command::RemoveApp { app, cascade } => apps::remove(world, app, *cascade),
        Command::Sync { app, prune, only, reason } => sync(world, app, *prune, only, reason),
        Command::Approve { app, plan, reason } => {
            let (name, app) = find(world, app)?;
            if plan.is_empty() {
                return Err(GateError::Prefix { given: String::new() }.into());
            }
            let gate = match plan_named(world, (name, app), plan)? {
                NamedPlan::Approved(approval) => return Ok(Decision::AlreadySo(approval.seq)),
                NamedPlan::Waits(gate) => gate,
            };
            writable(world)?;
            let (plan, reason) = (gate.plan, bounded(reason)?);
            Ok(Decision::record(PlanApprovedV1 { app: name.clone(), plan, reason }))
        }
        Command::Pause { app, until, reason } => {
            let (name, _) = find(world, app)?;
            not_past("pause", *until, now)?;
            let (app, reason) = (name.clone(), bounded(reason)?);
            Ok(Decision::record(PausedV1 { app, until: *until, reason }))
        }
        Command::Resume { app } => {
            let (name, app) = find(world, app)?;
            if app.paused.is_none() {
                return Err(Error::NotPaused(name.clone()));
            }
            Ok(Decision::record(ResumedV1 { app: name.clone(), expired: false }))
        }
        Command::Freeze { until, reason } => {
            not_past("freeze", *until, now)?;
            Ok(Decision::record(FrozenV1 { until: *until, reason: bounded(reason)? }))
        }
        Command::Unfreeze if world.frozen.is_none() => Err(Error::NotFrozen),
        Command::Unfreeze => Ok(Decision::record(UnfrozenV1 { expired: false })),
        Command::Mark { name, seq, time, reason } => {
            let (name, reason) = (mark_name(name)?, bounded(reason)?);
            Ok(Decision::record(MarkedV1 { name, seq: *seq, time: *time, reason }))
        }
        Command::Keep { event, drift, until, reason } => {
            not_past("hold", *until, now)?;
            hold::keep(world, *event, drift.as_deref(), *until, &bounded(reason)?)
        }
        Command::Rollback { app, to, said, then, until, reason } => {
            not_past("hold", *until, now)?;
            let (name, state) = find(world, app)?;
            let (reason, said) = (bounded(reason)?, bounded(said)?);
            rollback::rollback(world, (name, state), (to, said), then, *until, reason)
        }
        Command::Restore { restored, from, until, reason } => {
            not_past("hold", *until, now)?;
            restore::restore(world, restored, *from, *until, bounded(reason)?)
        }
        Command::AcceptCluster { uid, doubt, reason } => {
            cluster::accept(world, uid, *doubt, bounded(reason)?)
        }
        Command::Release { subject, namespace } => {
            hold::release(world, subject, namespace.as_deref())
        }
    }
}

/// Appends the event that `decision` names, by `actor`; returns its position once it is durable.
///
/// # Errors
/// [`Error::Ledger`].
pub async fn execute(ledger: &Ledger, actor: Actor, decision: Decision) -> Result<Seq, Error> {
    execute_with(ledger, actor, decision, Vec::new()).await
}

/// The same with blobs that the event names.
///
/// # Errors
/// [`Error::Ledger`].
pub async fn execute_with(
    ledger: &Ledger,
    actor: Actor,
    decision: Decision,
    blobs: Vec<Blob>,
) -> Result<Seq, Error> {
    let event = match decision {
        Decision::AlreadySo(seq) => return Ok(seq),
        Decision::Record(event) => *event,
    };
    let drafts = vec![Draft::new(event).by(actor)];
    let seqs = ledger.append(Batch { blobs, drafts }).await.map_err(Error::Ledger)?;
    // One draft makes one event.
    seqs.first().copied().ok_or(Error::Ledger(ledger::Error::Closed))
}

/// Appends events by `actor` in one batch with the blobs that they name; returns their positions once they are durable.
///
/// # Errors
/// [`Error::Ledger`].
pub async fn execute_all(
    ledger: &Ledger,
    actor: Actor,
    events: Vec<Event>,
    blobs: Vec<Blob>,
) -> Result<Vec<Seq>, Error> {
    let drafts = events.into_iter().map(|event| Draft::new(event).by(actor.clone())).collect();
    ledger.append(Batch { blobs, drafts }).await.map_err(Error::Ledger)
}

fn find<'a>(world: &'a World, name: &str) -> Result<(&'a AppName, &'a App), Error> {
    let found = world.apps.iter().find(|(known, _)| known.as_str() == name);
    found.ok_or_else(|| {
        let near = near_names(name, world.apps.keys().map(AppName::as_str));
        Error::UnknownApp(UnknownApp { name: name.to_owned(), near })
    })
}

/// A person's reason, if it is of a length that is recorded.
///
/// # Errors
/// When it is longer.
pub fn bounded(reason: &str) -> Result<String, Error> {
    if reason.len() > REASON_BYTES_MAX {
        return Err(Error::TooLong {
            what: "the reason",
            limit: format!("{REASON_BYTES_MAX} bytes"),
        });
    }
    Ok(reason.to_owned())
}

fn not_past(what: &'static str, until: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    match until {
        Some(at) if at <= now => Err(Error::Past { what, at }),
        _ => Ok(()),
    }
}

fn writable(world: &World) -> Result<(), Error> {
    if world.observe { Err(Error::Observing) } else { Ok(()) }
}

fn sync(
    world: &World,
    app: &str,
    prune: bool,
    only: &[ObjectKey],
    reason: &str,
) -> Result<Decision, Error> {
    let (name, app) = find(world, app)?;
    writable(world)?;
    // Of these nothing comes, however long somebody waits.
    if app.spec.skip {
        return Err(Error::LeftAlone(name.clone()));
    }
    // What stays although it is to go may be let go of.
    if app.removing && !prune {
        return Err(Error::BeingRemoved(name.clone()));
    }
    if only.len() > ONLY_MAX {
        return Err(Error::TooLong {
            what: "the list of objects",
            limit: format!("{ONLY_MAX} objects"),
        });
    }
    for key in only {
        let owned = world.owned.get(key).is_some_and(|owned| owned.app == *name);
        if !owned && !app.wants(key) {
            let wanted = app.desired.iter().flat_map(|desired| desired.objects.keys());
            let candidates: Vec<String> = wanted.map(ToString::to_string).collect();
            let near = near_names(&key.to_string(), candidates.iter().map(String::as_str));
            return Err(Error::UnknownObject {
                app: name.clone(),
                key: Box::new(key.clone()),
                near,
            });
        }
    }
    let (app, only, reason) = (name.clone(), only.to_vec(), bounded(reason)?);
    Ok(Decision::record(SyncRequestedV1 { app, prune, only, reason }))
}

#[cfg(test)]
mod tests;
