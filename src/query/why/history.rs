//! What the ledger adds: who committed what, the last writes, and the chain of causes.

use std::collections::BTreeSet;

use super::super::book::{Book, as_intent};
use super::super::describe::describe;
use super::super::search::{Filter, Found, newest};
use super::super::text::first_line;
use super::super::who;
use super::reasons::CHANGED_BY;
use super::subject::SubjectError;
use super::{Advice, Commit, Error, Link, ObjectWhy, Pending, Why, held};
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::{DriftKind, Event, Origin};
use crate::model::{AppName, CommitId, ObjectKey, Seq};
use crate::replay::RIVAL_UNKNOWN;

/// How many events the history has at most.
const LINKS_MAX: usize = 12;
/// For how many objects of an application the last write is looked up.
const WRITES_LOOKED_UP_MAX: usize = 20;
/// How long the subject of a commit may be, in characters.
const SUBJECT_CHARS_MAX: usize = 100;

pub(super) fn read(pending: Pending, book: &dyn Book) -> Result<Why, Error> {
    let Pending { mut why, object, keys, app, commit, instead, mut begin, near, excluded, .. } =
        pending;
    if let (Some(git), Some(commit)) = (&mut why.git, &commit) {
        describe_commit(book, git, commit)?;
    }
    let many = why.objects.len() > WRITES_LOOKED_UP_MAX;
    for (told, key) in why.objects.iter_mut().zip(&keys).filter(|_| !many) {
        begin.extend(last_write(book, key, told)?);
    }
    match (&object, &app) {
        (Some(key), _) => {
            let filter = Filter { object: Some(key.clone()), noise: true, ..Filter::default() };
            let last = newest(book, &filter, 1)?;
            begin.extend(last.iter().map(|found| found.recorded.seq()));
            if why.objects.is_empty() {
                // Gone, or nobody's: that it went may have been seen before its deletion was
                // answered, so the last write is looked up by itself.
                begin.extend(last_write(book, key, &mut ObjectWhy::default())?);
            }
            if begin.is_empty() {
                let wanted = key.to_string();
                return Err(SubjectError::Unknown { wanted, near, excluded }.into());
            }
        }
        (None, Some(app)) => {
            let filter = Filter { app: Some(app.to_string()), ..Filter::default() };
            let last = newest(book, &filter, 1)?;
            begin.extend(last.iter().map(|found| found.recorded.seq()));
        }
        (None, None) => {}
    }
    by_whom(book, &mut why)?;
    held::tell(book, &mut why, instead.as_ref())?;
    why.history = chain(book, begin)?;
    if object.is_some() || app.is_some() {
        keep_last(book, &mut why, object, app.as_ref())?;
    }
    Ok(why)
}

/// Adds by whom drift is.
fn by_whom(book: &dyn Book, why: &mut Why) -> Result<(), ledger::Error> {
    for drift in why.objects.iter_mut().filter_map(|object| object.drift.as_mut()) {
        drift.whom = who::of_drift(book, Seq(drift.seq))?;
    }
    for object in &mut why.objects {
        let drift = object.drift.as_ref().filter(|_| object.why.contains(RIVAL_UNKNOWN));
        if let Some(drift) = drift {
            object.why = object.why.replacen(RIVAL_UNKNOWN, &drift.whom, 1);
        }
    }
    for reason in why.reasons.iter_mut().filter(|reason| reason.text.contains(RIVAL_UNKNOWN)) {
        let rival = who::rival(book, Seq(reason.seq.unwrap_or_default()))?;
        if let Some(rival) = rival {
            reason.text = reason.text.replacen(RIVAL_UNKNOWN, &rival, 1);
        }
    }
    for reason in why.reasons.iter_mut().filter(|reason| reason.code == CHANGED_BY) {
        let whom = who::of_drift(book, Seq(reason.seq.unwrap_or_default()))?;
        reason.text = format!("{} by {whom}", reason.text);
    }
    Ok(())
}

/// Adds who made the commit, if it is in the ledger.
pub(in crate::query) fn describe_commit(
    book: &dyn Book,
    git: &mut Commit,
    commit: &CommitId,
) -> Result<(), ledger::Error> {
    if let Some(Event::CommitRecorded(body)) = committed(book, commit)?.as_ref().and_then(event) {
        git.subject = first_line(&body.message, SUBJECT_CHARS_MAX);
        git.author = format!("{} <{}>", body.author.name, body.author.email);
        git.time = body.author.time.to_string();
    }
    Ok(())
}

/// How to keep the last change by hand since the last render, although it was put back.
fn keep_last(
    book: &dyn Book,
    why: &mut Why,
    object: Option<ObjectKey>,
    app: Option<&AppName>,
) -> Result<(), ledger::Error> {
    let renders = why.history.iter().filter(|link| link.kind == "render.succeeded");
    let after = Seq(renders.map(|link| link.seq).max().unwrap_or_default());
    let (kinds, app) = (vec!["drift.detected".to_owned()], app.map(AppName::to_string));
    let last = newest(book, &Filter { after, kinds, object, app, ..Filter::default() }, 1)?;
    if let Some(command) =
        last.into_iter().find_map(|found| found.described.keep.into_iter().next())
        && why.can_do.iter().all(|advice| advice.command != command)
    {
        let what = "keep the last change that was made by hand".to_owned();
        why.can_do.push(Advice { what, command });
    }
    Ok(())
}

fn event(found: &Found) -> Option<&Event> {
    found.recorded.event.as_ref()
}

fn committed(book: &dyn Book, commit: &CommitId) -> Result<Option<Found>, ledger::Error> {
    let kinds = vec!["git.commit".to_owned()];
    let filter = Filter { commit: Some(commit.to_string()), kinds, ..Filter::default() };
    Ok(newest(book, &filter, 1)?.pop())
}

/// Fills in the last write to an object, and returns where it ended.
pub(super) fn last_write(
    book: &dyn Book,
    key: &ObjectKey,
    told: &mut ObjectWhy,
) -> Result<Option<Seq>, ledger::Error> {
    let of = |kinds: &[&str], after: Seq| Filter {
        object: Some(key.clone()),
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        after,
        ..Filter::default()
    };
    let Some(intent) = newest(book, &of(&["apply.intent"], Seq(0)), 1)?.pop() else {
        return Ok(None);
    };
    let begun = intent.recorded.seq();
    // Outcomes are found through the intent that they name, so it has to be among what is read.
    let from = Seq(begun.0.saturating_sub(1));
    let ends = of(&["apply.outcome", "apply.settled"], from);
    let outcome = newest(book, &ends, 1)?.pop();
    let ended = outcome.as_ref().map_or(begun, |outcome| outcome.recorded.seq());
    told.intent = Some(link(book, &intent.recorded));
    told.outcome = outcome.map(|outcome| link(book, &outcome.recorded));
    Ok(Some(ended))
}

pub(super) fn link(book: &dyn Book, recorded: &Recorded) -> Link {
    let intent = recorded.event.as_ref().and_then(|event| book.intent_of(event));
    let described = describe(recorded, intent.as_deref().and_then(as_intent));
    Link {
        seq: recorded.seq().0,
        time: recorded.envelope.recorded.to_string(),
        kind: recorded.event.as_ref().map_or("unknown", Event::name).to_owned(),
        summary: described.summary,
        by: described.by,
        keep: described.keep,
    }
}

/// The newest of `begin`, what caused it, what caused that, and so on, newest first.
fn chain(book: &dyn Book, begin: Vec<Seq>) -> Result<Vec<Link>, ledger::Error> {
    let mut open: BTreeSet<Seq> = begin.into_iter().collect();
    let mut links = Vec::new();
    while let Some(seq) = open.pop_last() {
        let Some(recorded) = book.get(seq)? else { continue };
        links.push(link(book, &recorded));
        if links.len() == LINKS_MAX {
            break;
        }
        open.extend(causes(book, &recorded)?.into_iter().filter(|cause| *cause < seq));
    }
    Ok(links)
}

/// What an event directly follows from: what is recorded, and what its body names.
fn causes(book: &dyn Book, recorded: &Recorded) -> Result<Vec<Seq>, ledger::Error> {
    let mut found = recorded.envelope.causes.clone();
    let before = recorded.seq();
    match &recorded.event {
        Some(Event::OutcomeRecorded(body)) => found.push(body.intent),
        Some(Event::IntentSettled(body)) => found.push(body.intent),
        Some(Event::RenderSucceeded(body)) => {
            found.push(body.declared);
            found.extend(moved(book, &body.revision.commit, before)?);
        }
        Some(Event::RevisionAdvanced(body)) => {
            found.extend(moved(book, &body.revision.commit, before)?);
        }
        Some(Event::RenderFailed(body)) => {
            if let Some(commit) = &body.commit {
                found.extend(moved(book, commit, before)?);
            }
        }
        Some(Event::RefMoved(body)) => {
            if let Some(commit) = &body.new {
                found.extend(committed(book, commit)?.map(|found| found.recorded.seq()));
            }
        }
        Some(Event::DriftDetected(body)) if body.kind == DriftKind::Deleted => {
            found.extend(who::went(book, body)?);
        }
        Some(Event::DriftDetected(body)) => found.push(body.observation),
        Some(Event::AppDeclared(body)) => {
            if let Origin::Parent(parent) = &body.origin {
                let kinds = vec!["render.succeeded".to_owned()];
                let (app, before) = (Some(parent.to_string()), Some(before));
                let filter = Filter { app, kinds, before, ..Filter::default() };
                found.extend(newest(book, &filter, 1)?.iter().map(|f| f.recorded.seq()));
            }
        }
        _ => {}
    }
    Ok(found)
}

/// When a ref came to point to the commit, last before `before`; or else when it became known.
fn moved(book: &dyn Book, commit: &CommitId, before: Seq) -> Result<Option<Seq>, ledger::Error> {
    let kinds = vec!["git.ref-moved".to_owned()];
    let (wanted, before) = (Some(commit.to_string()), Some(before));
    let filter = Filter { commit: wanted, kinds, before, ..Filter::default() };
    let found = newest(book, &filter, 1)?.pop();
    let found = match found {
        Some(found) => Some(found),
        None => committed(book, commit)?,
    };
    Ok(found.map(|found| found.recorded.seq()))
}
