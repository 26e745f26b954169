//! The inverse of one event: what it comes to, what came since and is in the way, and why it
//! cannot be undone where it cannot.
//!
//! [`what`] says which kind of inverse an event has; [`effects`] and [`edit`] then judge field by
//! field what of it can be taken back.

pub mod came;
pub mod edit;
pub mod effects;
pub mod heir;
mod places;
mod replaced;
pub mod since;

use std::collections::BTreeSet;

pub use places::places;
pub use replaced::replaced;

use super::book::{Book, as_intent};
use super::instant::{backwards, forwards};
use crate::ledger::event::{
    AppHeldV1, DriftDetectedV1, DriftKind, Event, FrozenV1, HoldBegunV1, HoldOf, IntentRecordedV1,
    ObjectGoneV1, ObjectObservedV1, Origin, PausedV1, Verb, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{AppName, CommitId, ObjectKey, Seq};

use self::edit::Edit;

/// Bound: how many events are looked at for the one that a freeze began with.
const FREEZES_LOOKED_AT_MAX: u64 = 100_000;
/// Bound: how many events of an application or object are looked at.
const LOOKED_AT_MAX: usize = 20_000;

/// What the inverse of an event is.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The end of a hold.
    Release(Seq),
    /// The end of a pause.
    Resume(AppName),
    /// The end of a freeze.
    Unfreeze,
    /// The pause that was ended.
    Pause(PausedV1),
    /// The freeze that was ended.
    Freeze(FrozenV1),
    /// The holds that were ended.
    HoldAgain(AppName, HoldBegunV1),
    /// The hold of an application that was ended, and what is said of the holds of objects that ended
    /// with it.
    RollBackAgain(Box<AppHeldV1>, Vec<String>),
    /// What writes, or a render, made of the objects of an application goes back.
    Effects(Span),
    /// What somebody changed of an object that an application has is put back.
    PutBack(Box<DriftDetectedV1>, Seq),
    /// What became of objects goes back, unless an application has them.
    Edits(Vec<Edit>),
    /// An object comes back as it was before the event that tells its end.
    Undelete(ObjectGoneV1, Seq),
    /// The definition of an application that a person removed, with this manifest.
    Define(AppName, Vec<u8>),
}

/// What became of an application's objects, and between which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The application.
    pub app: AppName,
    /// The last event before.
    pub from: Seq,
    /// The last event of it.
    pub to: Seq,
    /// The objects that were written; `None` = what a render made of them all.
    pub keys: Option<BTreeSet<ObjectKey>>,
}

/// Why an event is not undone.
#[derive(Debug, thiserror::Error)]
pub enum NotUndone {
    /// There is no such event.
    #[error("there is no event #{}: the last one is #{}", .0.0, .1.0)]
    NoEvent(Seq, Seq),
    /// It says something and does nothing that could be taken back.
    #[error("#{} ({kind}) {why}", .seq.0)]
    Cannot {
        /// The event.
        seq: Seq,
        /// Its kind.
        kind: &'static str,
        /// Why not.
        why: &'static str,
        /// What does what may be meant.
        hint: String,
    },
    /// Nothing is left of it.
    #[error("nothing of what #{} did is left to be undone", .0.0)]
    Nothing(Seq),
    /// All that it did is that objects are another application's.
    #[error("all that #{} did is that application `{app}` has what another one had", .seq.0)]
    Passed {
        /// The event.
        seq: Seq,
        /// The application.
        app: AppName,
    },
    /// The application of which something was undone is not there any more.
    #[error("application `{app}`, which #{} was about, is gone since", .seq.0)]
    Gone {
        /// The event.
        seq: Seq,
        /// The application.
        app: AppName,
    },
    /// It is over already.
    #[error("{what} that #{} began is over already", .seq.0)]
    Over {
        /// The event.
        seq: Seq,
        /// What.
        what: &'static str,
    },
    /// A commit changed several applications, or none.
    #[error("commit {} {}", .commit.short(), several(.renders))]
    Commit {
        /// The commit.
        commit: CommitId,
        /// The renders of it, with their applications.
        renders: Vec<(AppName, Seq)>,
    },
    /// The render never took force.
    #[error("render #{} of application `{app}` is not in force: it waits, or another took its place", .seq.0)]
    NotInForce {
        /// The event.
        seq: Seq,
        /// The application.
        app: AppName,
    },
    /// What it made was not seen yet.
    #[error("{0} was not seen since it was written")]
    NotSeen(ObjectKey),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

fn several(renders: &[(AppName, Seq)]) -> String {
    if renders.is_empty() {
        return "changed nothing of any application".to_owned();
    }
    let names: Vec<String> = renders.iter().map(|(app, _)| app.to_string()).collect();
    format!("changed several applications: {}", names.join(", "))
}

impl NotUndone {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoEvent(..) => "`greffier log` lists them".to_owned(),
            Self::Cannot { hint, .. } => hint.clone(),
            Self::Nothing(seq) => format!("`greffier why '#{}'` says what it led to", seq.0),
            Self::Over { .. } => "`greffier status` lists what is in force".to_owned(),
            Self::Commit { renders, .. } if renders.is_empty() => {
                "`greffier log --kind render` lists what did".to_owned()
            }
            Self::Commit { renders, .. } => {
                let each = renders.iter().map(|(_, seq)| format!("`greffier undo '#{}'`", seq.0));
                format!("undo one of them: {}", each.collect::<Vec<_>>().join(", "))
            }
            Self::Passed { .. } => {
                "Git says whose objects are; undo what the former application did by its events"
                    .to_owned()
            }
            Self::Gone { app, .. } => format!("`greffier why {app}` says how it is had back"),
            Self::NotInForce { app, .. } => format!("`greffier why {app}` says what is"),
            Self::NotSeen(key) => format!("`greffier show {key}` says what is known of it"),
            Self::Ledger(_) => String::new(),
        }
    }
}

/// Which inverse the event has.
///
/// # Errors
/// [`NotUndone`]: exactly why it has none.
pub fn what(book: &dyn Book, recorded: &Recorded) -> Result<What, NotUndone> {
    let seq = recorded.seq();
    let Some(event) = &recorded.event else {
        let why = "is of a kind that this version does not know";
        return Err(NotUndone::Cannot { seq, kind: "unknown", why, hint: String::new() });
    };
    match event {
        Event::HoldBegun(_) | Event::AppHeld(_) => Ok(What::Release(seq)),
        Event::HoldEnded(body) => {
            let began = began(book, &body.holds, &body.objects)?;
            let began = began.ok_or(NotUndone::Nothing(seq))?;
            Ok(What::HoldAgain(body.app.clone(), began))
        }
        Event::AppHoldEnded(body) => match event_at(book, body.hold)? {
            Some(Event::AppHeld(held)) => {
                let lost = not_again(book, &body.holds, before(seq))?;
                Ok(What::RollBackAgain(Box::new(held), lost))
            }
            _ => Err(NotUndone::Nothing(seq)),
        },
        Event::Paused(body) => Ok(What::Resume(body.app.clone())),
        Event::Frozen(_) => Ok(What::Unfreeze),
        Event::Resumed(body) => paused(book, &body.app, seq).map(What::Pause),
        Event::Unfrozen(_) => frozen(book, seq).map(What::Freeze),
        Event::IntentRecorded(body) => of_intent(book, seq, body, None),
        Event::OutcomeRecorded(_) | Event::IntentSettled(_) => {
            let intent = book.intent_of(event).ok_or(NotUndone::Nothing(seq))?;
            let body = as_intent(&intent).ok_or(NotUndone::Nothing(seq))?;
            of_intent(book, intent.seq(), body, Some(seq))
        }
        Event::SyncFinished(body) => of_sync(book, &body.app, seq),
        Event::SyncRequested(body) => of_request(book, &body.app, seq),
        Event::RenderSucceeded(body) => Ok(What::Effects(of_render(&body.app, seq))),
        Event::CommitRecorded(body) => of_commit(book, &body.commit),
        Event::DriftDetected(body) => of_drift(book, seq, body),
        Event::ObjectObserved(body) => of_observation(book, seq, body),
        Event::ObjectGone(body) => of_end(book, seq, body),
        Event::AppRemoved(body) if body.origin == Origin::Operator => {
            defined(book, &body.app, seq)?.ok_or_else(|| cannot(seq, event))
        }
        Event::RestoreIntended(body) => edit::of_restore(book, seq, body).map(What::Edits),
        Event::RestoreEnded(body) => match event_at(book, body.restore)? {
            Some(Event::RestoreIntended(intended)) => {
                edit::of_restore(book, body.restore, &intended).map(What::Edits)
            }
            _ => Err(NotUndone::Nothing(seq)),
        },
        other => Err(cannot(seq, other)),
    }
}

/// Why an event has no inverse.
fn cannot(seq: Seq, event: &Event) -> NotUndone {
    let app =
        |app: &AppName, verb: &str| format!("`greffier {verb} {app}` does what is left to do");
    let (why, hint) = match event {
        Event::Marked(_) => (
            "gives an instant a name, and does nothing else",
            "a mark of the same name takes its place".to_owned(),
        ),
        Event::AppDeclared(body) => (
            "defines an application: its objects are more than one event",
            app(&body.app, "app remove"),
        ),
        Event::AppRemoved(body) => (
            "removed an application: its definition is needed again",
            match &body.origin {
                Origin::Parent(parent) => format!(
                    "put it back in Git, or `greffier rollback {parent} --tree --to '#{}'` has all \
                     of {parent} as it was before",
                    before(seq).0
                ),
                Origin::Config => "put it back into the configuration file".to_owned(),
                Origin::Operator | Origin::Unconfigured => {
                    format!("`greffier app add -f FILE` defines {} again", body.app)
                }
            },
        ),
        Event::PlanApproved(body) => (
            "let a plan go on, and what that did are other events",
            format!("`greffier log {} --kind apply` lists them", body.app),
        ),
        Event::PushIntended(_) | Event::PushEnded(_) => (
            "pushed a commit that puts a rollback into Git",
            "revert the commit in Git; `greffier release APP` ends the hold".to_owned(),
        ),
        Event::RefMoved(_) | Event::HistoryRewritten(_) | Event::HistoryImported(_) => (
            "is what a repository did",
            "revert it in Git, or undo what it came to: `greffier log --kind render`".to_owned(),
        ),
        _ => (
            "tells what was found or decided, and changed nothing by itself",
            format!("`greffier why '#{}'` says what it goes back to", seq.0),
        ),
    };
    NotUndone::Cannot { seq, kind: event.name(), why, hint }
}

fn event_at(book: &dyn Book, seq: Seq) -> Result<Option<Event>, ledger::Error> {
    Ok(book.get(seq)?.and_then(|recorded| recorded.event.clone()))
}

/// The definition that an application had when a person removed it.
fn defined(book: &dyn Book, app: &AppName, seq: Seq) -> Result<Option<What>, ledger::Error> {
    backwards(book, SubjectKey::app(app.as_str()), seq, |recorded| match &recorded.event {
        Some(Event::AppDeclared(body)) if body.app == *app => {
            Some(What::Define(app.clone(), body.manifest.clone()))
        }
        _ => None,
    })
}

/// What holds began that have ended, of these objects.
fn began(
    book: &dyn Book,
    holds: &[Seq],
    objects: &[ObjectKey],
) -> Result<Option<HoldBegunV1>, ledger::Error> {
    let mut found: Option<HoldBegunV1> = None;
    for seq in holds {
        let Some(Event::HoldBegun(mut body)) = event_at(book, *seq)? else { continue };
        body.of.retain(|of: &HoldOf| objects.contains(of.key()));
        match &mut found {
            Some(found) => {
                found.of.append(&mut body.of);
                found.until = found.until.max(body.until).filter(|_| body.until.is_some());
            }
            None => found = Some(body),
        }
    }
    Ok(found.filter(|found| !found.of.is_empty()))
}

/// What is said of the holds of objects that ended with the hold of their application: they are
/// not begun with it again. `at` is the last event at which they held.
fn not_again(book: &dyn Book, holds: &[Seq], at: Seq) -> Result<Vec<String>, ledger::Error> {
    let mut notes = Vec::new();
    for hold in holds {
        let Some(Event::HoldBegun(body)) = event_at(book, *hold)? else { continue };
        let note = |of: &HoldOf| {
            let key = of.key();
            format!(
                "hold #{hold} of {key} ended with it and does NOT come back: `greffier restore \
                 {key} --to '#{at}' --plan` shows how it was"
            )
        };
        notes.extend(body.of.iter().map(note));
    }
    Ok(notes)
}

/// The pause that an event ended.
fn paused(book: &dyn Book, app: &AppName, seq: Seq) -> Result<PausedV1, NotUndone> {
    let found =
        backwards(book, SubjectKey::app(app.as_str()), seq, |recorded| match &recorded.event {
            Some(Event::Paused(body)) if body.app == *app => Some(body.clone()),
            _ => None,
        })?;
    found.ok_or(NotUndone::Nothing(seq))
}

/// The freeze that an event ended: a freeze is about nothing that an index would find it by.
fn frozen(book: &dyn Book, seq: Seq) -> Result<FrozenV1, NotUndone> {
    let first = seq.0.saturating_sub(FREEZES_LOOKED_AT_MAX).max(1);
    for at in (first..seq.0).rev() {
        if let Some(Event::Frozen(body)) = event_at(book, Seq(at))? {
            return Ok(body);
        }
    }
    Err(NotUndone::Nothing(seq))
}

/// The last event before another.
#[must_use]
pub fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// The objects that the writes of an intent changed, and the last event that says so; `only` = as
/// far as this event does.
fn changed(
    book: &dyn Book,
    seq: Seq,
    body: &IntentRecordedV1,
    only: Option<Seq>,
) -> Result<(BTreeSet<ObjectKey>, Seq), ledger::Error> {
    let (mut keys, mut last) = (BTreeSet::new(), seq);
    let ends = book.ends_of(seq)?.into_iter();
    for ended in ends.filter(|ended| only.is_none_or(|only| ended.seq() == only)) {
        let Some(ends) = Ends::in_event(&ended) else { continue };
        for (index, result) in ends.results {
            let write = usize::try_from(*index).ok().and_then(|index| body.writes.get(index));
            let changed = match result {
                WriteResult::Applied(applied) => applied.changed,
                WriteResult::Deleted => true,
                _ => false,
            };
            if let Some(write) = write.filter(|_| changed) {
                keys.insert(write.key.clone());
                last = last.max(ended.seq());
            }
        }
    }
    Ok((keys, last))
}

/// What an intent came to; `only` = what this event says of it.
fn of_intent(
    book: &dyn Book,
    seq: Seq,
    body: &IntentRecordedV1,
    only: Option<Seq>,
) -> Result<What, NotUndone> {
    let (keys, to) = changed(book, seq, body, only)?;
    if keys.is_empty() {
        return Err(NotUndone::Nothing(only.unwrap_or(seq)));
    }
    let heals = |write: &&crate::ledger::event::Write| {
        keys.contains(&write.key) && !matches!(write.verb, Verb::Heal | Verb::Reclaim)
    };
    if body.writes.iter().find(heals).is_none() {
        let why = "put back what somebody had changed by hand";
        let hint = format!(
            "`greffier log {} --kind drift` lists it, and `greffier keep EVENT` brings it back",
            body.app
        );
        return Err(NotUndone::Cannot { seq, kind: "apply.intent", why, hint });
    }
    let (app, from) = (body.app.clone(), before(seq));
    Ok(What::Effects(Span { app, from, to, keys: Some(keys) }))
}

/// What the sync that ended with event `seq` wrote: since the one before had ended.
fn of_sync(book: &dyn Book, app: &AppName, seq: Seq) -> Result<What, NotUndone> {
    let (mut keys, mut first, mut looked) = (BTreeSet::new(), None, 0);
    let mut intents = Vec::new();
    backwards(book, SubjectKey::app(app.as_str()), seq, |recorded| {
        looked += 1;
        match &recorded.event {
            Some(Event::SyncFinished(body)) if body.app == *app => return Some(()),
            Some(Event::IntentRecorded(body)) if body.app == *app => {
                intents.push((recorded.seq(), body.clone()));
            }
            _ => {}
        }
        (looked >= LOOKED_AT_MAX).then_some(())
    })?;
    for (intent, body) in intents {
        let (written, _) = changed(book, intent, &body, None)?;
        if !written.is_empty() {
            first = Some(intent);
            keys.extend(written);
        }
    }
    let Some(first) = first else { return Err(NotUndone::Nothing(seq)) };
    let (app, from) = (app.clone(), before(first));
    Ok(What::Effects(Span { app, from, to: seq, keys: Some(keys) }))
}

/// What a sync wrote that a person asked for.
fn of_request(book: &dyn Book, app: &AppName, seq: Seq) -> Result<What, NotUndone> {
    let ended =
        forwards(book, SubjectKey::app(app.as_str()), seq, |recorded| match &recorded.event {
            Some(Event::SyncFinished(body)) if body.request == Some(seq) => Some(recorded.seq()),
            _ => None,
        })?;
    let Some(ended) = ended else {
        let why = "asked for a sync that has not ended";
        let hint = format!("`greffier log {app} -f` follows it");
        return Err(NotUndone::Cannot { seq, kind: "operator.sync", why, hint });
    };
    match of_sync(book, app, ended)? {
        What::Effects(span) => Ok(What::Effects(Span { from: span.from.max(before(seq)), ..span })),
        other => Ok(other),
    }
}

fn of_render(app: &AppName, seq: Seq) -> Span {
    Span { app: app.clone(), from: before(seq), to: seq, keys: None }
}

/// What a commit made of the one application that it changed something of.
fn of_commit(book: &dyn Book, commit: &CommitId) -> Result<What, NotUndone> {
    let mut renders = Vec::new();
    for seq in book.find(SubjectKey::commit(commit.as_str()), Seq::ZERO, LOOKED_AT_MAX) {
        if let Some(Event::RenderSucceeded(body)) = event_at(book, seq)?
            && body.revision.commit == *commit
        {
            renders.push((body.app, seq));
        }
    }
    match renders.as_slice() {
        [(app, seq)] => Ok(What::Effects(of_render(app, *seq))),
        _ => Err(NotUndone::Commit { commit: commit.clone(), renders }),
    }
}

fn of_drift(book: &dyn Book, seq: Seq, body: &DriftDetectedV1) -> Result<What, NotUndone> {
    match body.kind {
        DriftKind::Drift | DriftKind::Deleted => Ok(What::PutBack(Box::new(body.clone()), seq)),
        // Git says nothing about them: they go as they came.
        DriftKind::Addition => Ok(What::Edits(vec![edit_of(book, seq, body)?])),
        DriftKind::OwnershipLost | DriftKind::None => {
            let why = "changed no value";
            Err(NotUndone::Cannot { seq, kind: "drift.detected", why, hint: String::new() })
        }
    }
}

/// The change that a drift tells of, with what of it is no drift.
///
/// # Errors
/// [`NotUndone`], where no single change is known to be it.
pub fn edit_of(book: &dyn Book, seq: Seq, body: &DriftDetectedV1) -> Result<Edit, NotUndone> {
    let found = edit::of_drift(book, body)?;
    found.ok_or_else(|| NotUndone::Cannot {
        seq,
        kind: "drift.detected",
        why: "is of no single change that was seen, so that it is not known what came with it",
        hint: format!("`greffier log {} --kind object -p` lists what was changed", body.key),
    })
}

/// What somebody made of an object: a drift, where an application has it.
fn of_observation(book: &dyn Book, seq: Seq, body: &ObjectObservedV1) -> Result<What, NotUndone> {
    let drift =
        forwards(book, SubjectKey::object(&body.key), seq, |recorded| match &recorded.event {
            Some(Event::DriftDetected(drift))
                if drift.key == body.key && drift.observation == seq =>
            {
                Some(Some((recorded.seq(), drift.clone())))
            }
            Some(Event::ObjectObserved(_) | Event::ObjectGone(_)) => Some(None),
            _ => None,
        })?;
    if let Some((drift_seq, drift)) = drift.flatten() {
        return of_drift(book, drift_seq, &drift);
    }
    let edit = edit::of_observation(book, seq, body)?;
    if edit.before.is_none() {
        let why =
            "shows an object for the first time, and greffier deletes nothing that it did not make";
        let hint = format!("`kubectl delete` removes {}", body.key);
        return Err(NotUndone::Cannot { seq, kind: "object.observed", why, hint });
    }
    Ok(What::Edits(vec![edit]))
}

/// An object went: greffier pruned it, or somebody deleted it.
fn of_end(book: &dyn Book, seq: Seq, gone: &ObjectGoneV1) -> Result<What, NotUndone> {
    let (key, uid) = (&gone.key, gone.uid.as_str());
    let mut looked = 0;
    let intent = backwards(book, SubjectKey::object(key), seq, |recorded| {
        looked += 1;
        match &recorded.event {
            Some(Event::IntentRecorded(body)) => {
                let prunes = |write: &&crate::ledger::event::Write| {
                    let bound = write.precondition.as_ref().is_some_and(|(bound, _)| bound == uid);
                    write.key == *key && write.verb == Verb::Prune && bound
                };
                let pruned =
                    body.writes.iter().find(prunes).map(|_| (recorded.seq(), body.clone()));
                pruned.map(Some)
            }
            Some(Event::ObjectObserved(body)) if body.uid != uid => Some(None),
            _ => (looked >= LOOKED_AT_MAX).then_some(None),
        }
    })?;
    let Some((intent, body)) = intent.flatten() else {
        return Ok(What::Undelete(gone.clone(), seq));
    };
    match of_intent(book, intent, &body, None)? {
        What::Effects(span) => {
            Ok(What::Effects(Span { keys: Some(BTreeSet::from([key.clone()])), ..span }))
        }
        other => Ok(other),
    }
}

/// Who made a commit, as far as recorded: ` by NAME`.
fn author(book: &dyn Book, commit: &CommitId) -> Result<String, ledger::Error> {
    for seq in book.find(SubjectKey::commit(commit.as_str()), Seq::ZERO, LOOKED_AT_MAX) {
        if let Some(Event::CommitRecorded(body)) = event_at(book, seq)?
            && body.commit == *commit
        {
            return Ok(format!(" by {}", body.author.name));
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests;
