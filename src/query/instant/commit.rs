//! When a commit was applied: `git:`.
//!
//! A repository may be many applications', and each gets a commit in its own time. So what is
//! asked about is an application, or an object: then the one counts that has the object, or had it
//! when it had that commit, and no other. It counts from when the application was defined as the commit
//! says (`defined.rs`).

use std::collections::BTreeSet;

use super::super::book::Book;
use super::defined::{self, Had};
use super::{About, At, CANDIDATES_MAX, Error, backwards, forwards, position};
use crate::ledger::event::{Event, IntentRecordedV1, RevisionAdvancedV1};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::{Topic, subjects};
use crate::ledger::{self, Recorded};
use crate::model::{AppName, AppSpec, CommitId, ObjectKey, Seq};

/// Bound: how many events about an object are looked at for the applications that had it.
const EVENTS_MAX: usize = 20_000;
/// Bound: how many controllers an object may have, each of the one before.
const CONTROLLERS_MAX: usize = 5;

/// The commit that a revision names, and the first instant at which it was applied.
pub(in crate::query) fn applied_first(
    book: &dyn Book,
    about: &About,
    name: &str,
) -> Result<(CommitId, At), Error> {
    let owners = owners(book, about)?;
    let commit = commit(book, about, &owners, name)?;
    let apps = owners_at(book, about, owners, &commit)?;
    let found = first(book, about, &apps, &commit)?;
    let Some((done, app)) = found.done else {
        if let Some((at, app)) = found.before {
            return Err(Error::OtherDefinition { commit, app, at });
        }
        let object = about.object.clone().filter(|_| about.app.is_none()).map(Box::new);
        let (seen, other) = (found.seen, other(book, &apps, found.seen)?);
        return Err(Error::NeverApplied { commit, apps, object, seen, other });
    };
    let (short, how) = (commit.short(), found.how);
    let what = format!("when commit {short} was applied first, to application {app}{how}");
    Ok((commit, position(book, done, what)?))
}

/// The commit that was applied next to an application since an event, or else last before it.
fn other(
    book: &dyn Book,
    apps: &[AppName],
    seen: Option<Seq>,
) -> Result<Option<(Seq, CommitId)>, ledger::Error> {
    let ([app], Some(seen)) = (apps, seen) else { return Ok(None) };
    let mut unreadable = None;
    let mut applied = |recorded: &Recorded| {
        let commit = match recorded.event.as_ref()? {
            Event::SyncFinished(body) if body.app == *app && body.succeeded => &body.commit,
            Event::RevisionAdvanced(body) if body.app == *app => {
                let held = is_held(book, recorded.seq(), body);
                let held = held.map_err(|error| unreadable.get_or_insert(error)).unwrap_or(true);
                Some(&body.revision.commit).filter(|_| !held)?
            }
            _ => return None,
        };
        Some((recorded.seq(), commit.clone()))
    };
    let key = || SubjectKey::app(app.as_str());
    let found = match forwards(book, key(), seen, &mut applied)? {
        Some(next) => Some(next),
        None => backwards(book, key(), seen, applied)?,
    };
    unreadable.map_or(Ok(found), Err)
}

/// What is known of a commit.
struct Applied {
    /// When it was applied first, and to which application.
    done: Option<(Seq, AppName)>,
    /// When it was seen first.
    seen: Option<Seq>,
    /// When it was applied as the application was defined before it, where it changes that, and
    /// never otherwise.
    before: Option<(Seq, AppName)>,
    /// How the application was defined then, where that is worth a word.
    how: &'static str,
}

/// When a commit was applied first to one of the applications; none = to any.
fn first(
    book: &dyn Book,
    about: &About,
    apps: &[AppName],
    commit: &CommitId,
) -> Result<Applied, Error> {
    let object = about.object.as_ref();
    if apps.is_empty() {
        return when_applied(book, None, object, (commit, Seq::ZERO));
    }
    let (mut done, mut seen, mut before, mut how) = (Vec::new(), None, None, "");
    for app in apps {
        let found = as_defined(book, app, object, commit)?;
        if done.is_empty() {
            how = found.how;
        }
        done.extend(found.done);
        seen = found.seen;
        before = before.or(found.before);
    }
    if let (true, Some(object)) = (done.len() > 1, object) {
        let candidates = done.iter().take(CANDIDATES_MAX);
        return Err(Error::SeveralApps {
            commit: commit.clone(),
            object: Box::new(object.clone()),
            candidates: candidates.map(|(seq, app)| format!("{app} (#{seq})")).collect(),
        });
    }
    Ok(Applied { done: done.into_iter().next(), seen, before, how })
}

/// When a commit was applied first to an application as it is defined with the commit, as far as that
/// is known.
fn as_defined(
    book: &dyn Book,
    app: &AppName,
    object: Option<&ObjectKey>,
    commit: &CommitId,
) -> Result<Applied, Error> {
    let first = when_applied(book, Some(app), object, (commit, Seq::ZERO))?;
    Ok(match defined::had(book, app, commit)? {
        Had::Always => first,
        Had::Unknown => Applied {
            how: ", as that was defined then: how the commit defines it is not known",
            ..first
        },
        Had::Before => Applied {
            how: ", as that was defined then: what Git said of that was not in force yet",
            ..first
        },
        Had::Never => Applied { done: None, before: first.done, ..first },
        Had::From(since) => {
            let found = when_applied(book, Some(app), object, (commit, since))?;
            match found.done {
                Some(_) => found,
                None => Applied { before: first.done, ..found },
            }
        }
    })
}

/// The applications that are asked about: of an object those that wrote to it, or that something
/// is recorded of it for, the last one first; of one that is none's by itself those of what
/// controls it.
fn owners(book: &dyn Book, about: &About) -> Result<Vec<AppName>, ledger::Error> {
    if let Some(app) = &about.app {
        return Ok(vec![app.clone()]);
    }
    let Some(key) = &about.object else { return Ok(Vec::new()) };
    let mut key = key.clone();
    for _ in 0..CONTROLLERS_MAX {
        let writers =
            collect(book, SubjectKey::topic(&Topic::Written(key.clone())), |event| match event {
                Event::IntentRecorded(body) => writes(body, &key).then(|| body.app.clone()),
                _ => None,
            })?;
        let found = match writers.is_empty() {
            true => collect(book, SubjectKey::object(&key), |event| tells(event, &key))?,
            false => writers,
        };
        if !found.is_empty() {
            return Ok(found);
        }
        match controller(book, &key)? {
            Some(owner) => key = owner,
            None => break,
        }
    }
    Ok(Vec::new())
}

/// The applications that `of` finds in the last events that `key` finds, the last one first.
fn collect(
    book: &dyn Book,
    key: SubjectKey,
    of: impl Fn(&Event) -> Option<AppName>,
) -> Result<Vec<AppName>, ledger::Error> {
    let (mut found, mut looked) = (Vec::new(), 0);
    backwards(book, key, book.head().next(), |recorded| {
        let app = recorded.event.as_ref().and_then(&of);
        found.extend(app.filter(|app| !found.contains(app)));
        looked += 1;
        (looked >= EVENTS_MAX).then_some(())
    })?;
    Ok(found)
}

fn writes(body: &IntentRecordedV1, key: &ObjectKey) -> bool {
    body.writes.iter().any(|write| write.key == *key)
}

/// The application that something is recorded for of an object.
fn tells(event: &Event, key: &ObjectKey) -> Option<AppName> {
    match event {
        Event::DriftDetected(body) => (body.key == *key).then(|| body.app.clone()),
        Event::ObjectHealthChanged(body) => (body.key == *key).then(|| body.app.clone()),
        Event::ObjectPreviewed(body) => (body.key == *key).then(|| body.app.clone()),
        _ => None,
    }
}

/// What controls an object, as it was seen last.
fn controller(book: &dyn Book, key: &ObjectKey) -> Result<Option<ObjectKey>, ledger::Error> {
    let seen = backwards(book, SubjectKey::object(key), book.head().next(), |recorded| {
        match recorded.event.as_ref()? {
            Event::ObjectObserved(body) => Some(body.controller.clone()),
            _ => None,
        }
    })?;
    let owner = seen.flatten();
    Ok(owner.map(|(kind, name, _)| ObjectKey::new(kind.group, kind.kind, key.namespace(), name)))
}

/// Those of the applications that had the object when they had the commit. Where none of them did,
/// the one that has it, or had it last.
fn owners_at(
    book: &dyn Book,
    about: &About,
    mut owners: Vec<AppName>,
    commit: &CommitId,
) -> Result<Vec<AppName>, ledger::Error> {
    let Some(key) = about.object.as_ref().filter(|_| owners.len() != 1) else { return Ok(owners) };
    let had = had(book, key, &owners, commit)?;
    match had.is_empty() {
        true => owners.truncate(1),
        false => owners = had,
    }
    Ok(owners)
}

/// The applications that had the object when they had the commit, among these; none = among all.
fn had(
    book: &dyn Book,
    key: &ObjectKey,
    among: &[AppName],
    commit: &CommitId,
) -> Result<Vec<AppName>, ledger::Error> {
    let (mut had, mut advanced) = (BTreeSet::new(), Vec::new());
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        match recorded.event.as_ref()? {
            Event::RenderSucceeded(body) if body.objects.iter().any(|of| of.key == *key) => {
                had.insert(body.app.clone());
            }
            Event::IntentRecorded(body) if body.commit.as_ref() == Some(commit) => {
                had.extend(writes(body, key).then(|| body.app.clone()));
            }
            // Any application may be meant only where none is known to have it.
            Event::RevisionAdvanced(body) if among.contains(&body.app) => {
                advanced.push((recorded.seq(), body.clone()));
            }
            _ => {}
        }
        None::<()>
    })?;
    for (seq, body) in advanced {
        if !had.contains(&body.app) && wants(book, key, seq, &body)? {
            had.insert(body.app.clone());
        }
    }
    Ok(had.into_iter().filter(|app| among.is_empty() || among.contains(app)).collect())
}

/// Whether the render that a commit changed nothing of has the object.
fn wants(
    book: &dyn Book,
    key: &ObjectKey,
    seq: Seq,
    advanced: &RevisionAdvancedV1,
) -> Result<bool, ledger::Error> {
    let wants = |recorded: &Recorded| match &recorded.event {
        Some(Event::RenderSucceeded(render)) => {
            let same = render.app == advanced.app && render.inputs == advanced.inputs;
            same.then(|| render.objects.iter().any(|of| of.key == *key))
        }
        _ => None,
    };
    let found = backwards(book, SubjectKey::app(advanced.app.as_str()), seq, wants)?;
    Ok(found.unwrap_or_default())
}

/// When a commit was applied first since then to an application, or to any. Where no sync of it ended
/// well, the writes of the object count; of an object that is none's no others.
fn when_applied(
    book: &dyn Book,
    app: Option<&AppName>,
    object: Option<&ObjectKey>,
    (commit, since): (&CommitId, Seq),
) -> Result<Applied, Error> {
    let key = SubjectKey::commit(commit.as_str());
    let ours = |of: &AppName| app.is_none_or(|wanted| wanted == of);
    let (mut intent, mut other, mut seen) = (None, None, None);
    let waiting = waiting(book, app, commit)?;
    let done = forwards(book, key, Seq::ZERO, |recorded| {
        let seq = recorded.seq();
        seen.get_or_insert(seq);
        if seq < since {
            return None;
        }
        match recorded.event.as_ref()? {
            Event::IntentRecorded(body) if body.commit.as_ref() == Some(commit) => {
                if ours(&body.app) {
                    let of = if object.is_none_or(|key| writes(body, key)) {
                        &mut intent
                    } else {
                        &mut other
                    };
                    of.get_or_insert((seq, body.app.clone()));
                }
                None
            }
            Event::SyncFinished(body) => {
                let done = body.commit == *commit && body.succeeded && ours(&body.app);
                done.then(|| (seq, body.app.clone()))
            }
            Event::RevisionAdvanced(body) => {
                let of = body.revisions.iter().any(|revision| revision.commit == *commit);
                (of && ours(&body.app) && !waiting.contains(&seq)).then(|| (seq, body.app.clone()))
            }
            _ => None,
        }
    })?;
    let done = match (done, intent.or(other.filter(|_| app.is_some()))) {
        (Some(done), _) => Some(done),
        (None, Some((intent, app))) => {
            let ended = forwards(book, SubjectKey::app(app.as_str()), intent, |recorded| {
                let ends = match recorded.event.as_ref()? {
                    Event::OutcomeRecorded(body) => body.intent == intent,
                    Event::IntentSettled(body) => body.intent == intent,
                    _ => false,
                };
                ends.then(|| recorded.seq())
            })?;
            ended.map(|seq| (seq, app))
        }
        (None, None) => None,
    };
    Ok(Applied { done, seen, before: None, how: "" })
}

/// Where the commit changed nothing of a render of the application, or of any, that was not in force:
/// the application was held as it had been earlier. Then nothing of the commit was applied.
fn waiting(
    book: &dyn Book,
    app: Option<&AppName>,
    commit: &CommitId,
) -> Result<BTreeSet<Seq>, ledger::Error> {
    let mut advanced = Vec::new();
    forwards(book, SubjectKey::commit(commit.as_str()), Seq::ZERO, |recorded| {
        if let Some(Event::RevisionAdvanced(body)) = &recorded.event
            && app.is_none_or(|app| body.app == *app)
        {
            advanced.push((recorded.seq(), body.clone()));
        }
        None::<()>
    })?;
    let mut waiting = BTreeSet::new();
    for (seq, body) in advanced {
        if is_held(book, seq, &body)? {
            waiting.insert(seq);
        }
    }
    Ok(waiting)
}

/// Whether the application was held as it had been, and otherwise than by the render that the commit
/// changed nothing of.
fn is_held(
    book: &dyn Book,
    seq: Seq,
    advanced: &RevisionAdvancedV1,
) -> Result<bool, ledger::Error> {
    let (app, mut ended) = (&advanced.app, BTreeSet::new());
    let held = backwards(book, SubjectKey::app(app.as_str()), seq, |recorded| {
        match recorded.event.as_ref()? {
            Event::AppHeld(body) if body.app == *app => {
                let other = body.desired.inputs != advanced.inputs;
                Some(other && !ended.contains(&recorded.seq()))
            }
            Event::AppHoldEnded(body) if body.app == *app => {
                ended.insert(body.hold);
                None
            }
            Event::AppRemoved(body) if body.app == *app => Some(false),
            _ => None,
        }
    })?;
    Ok(held.unwrap_or_default())
}

/// The commit that a revision names: a branch or a tag as it was moved last, an id, or the
/// beginning of one. Where repositories have refs of the same name, that one counts which the
/// application follows, and of several those that were applied to it.
fn commit(
    book: &dyn Book,
    about: &About,
    owners: &[AppName],
    name: &str,
) -> Result<CommitId, Error> {
    if let Ok(commit) = name.parse::<CommitId>() {
        return Ok(commit);
    }
    for full in [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")] {
        let mut repos = BTreeSet::new();
        let mut found: Vec<(String, CommitId)> = Vec::new();
        let key = SubjectKey::topic(&Topic::Ref(full));
        backwards(book, key, book.head().next(), |recorded| {
            if let Some(Event::RefMoved(body)) = &recorded.event
                && repos.insert(body.repo.clone())
            {
                found.extend(body.new.clone().map(|new| (body.repo.clone(), new)));
            }
            None::<()>
        })?;
        if let Some(commit) = of_ref(book, about, owners, (name, found))? {
            return Ok(commit);
        }
    }
    let lower = name.to_ascii_lowercase();
    let hexadecimal = lower.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = BTreeSet::new();
    if let Some(key) = SubjectKey::commit_prefix(&lower).filter(|_| hexadecimal) {
        forwards(book, key, Seq::ZERO, |recorded| {
            let of = recorded.event.as_ref().map(subjects).unwrap_or_default();
            found.extend(of.commits.into_iter().filter(|c| c.as_str().starts_with(&lower)));
            (found.len() > CANDIDATES_MAX).then_some(())
        })?;
    }
    if found.len() > 1 {
        let candidates = found.iter().take(CANDIDATES_MAX).map(ToString::to_string).collect();
        return Err(Error::AmbiguousCommit { name: name.to_owned(), candidates });
    }
    found.pop_first().ok_or_else(|| Error::UnknownCommit(name.to_owned()))
}

/// The commit of a ref, among those that repositories have under its name.
fn of_ref(
    book: &dyn Book,
    about: &About,
    owners: &[AppName],
    (name, mut found): (&str, Vec<(String, CommitId)>),
) -> Result<Option<CommitId>, Error> {
    let differ = |found: &[(String, CommitId)]| {
        found.iter().map(|(_, commit)| commit).collect::<BTreeSet<_>>().len() > 1
    };
    if differ(&found) {
        let follows = follows(book, owners)?;
        if found.iter().any(|(repo, _)| follows.contains(repo)) {
            found.retain(|(repo, _)| follows.contains(repo));
        }
    }
    if differ(&found) && *about != About::default() {
        let mut ours = Vec::new();
        for (repo, commit) in &found {
            let apps = owners_at(book, about, owners.to_vec(), commit)?;
            let found = first(book, about, &apps, commit)?;
            if found.done.or(found.before).is_some() {
                ours.push((repo.clone(), commit.clone()));
            }
        }
        found = if ours.is_empty() { found } else { ours };
    }
    if differ(&found) {
        let candidates = found.iter().take(CANDIDATES_MAX);
        return Err(Error::AmbiguousRef {
            name: name.to_owned(),
            candidates: candidates
                .map(|(repo, commit)| format!("{} of {repo}", commit.short()))
                .collect(),
        });
    }
    Ok(found.pop().map(|(_, commit)| commit))
}

/// The repositories that applications follow.
pub(super) fn follows(
    book: &dyn Book,
    apps: &[AppName],
) -> Result<BTreeSet<String>, ledger::Error> {
    let mut found = BTreeSet::new();
    for app in apps {
        let of = backwards(book, SubjectKey::app(app.as_str()), book.head().next(), |recorded| {
            let revisions = match recorded.event.as_ref()? {
                Event::AppDeclared(body) if body.app == *app => {
                    let manifest = serde_json::from_slice(&body.manifest).unwrap_or_default();
                    let sources = AppSpec::parse(&manifest).map(|spec| spec.sources);
                    let sources = sources.unwrap_or_default().into_iter();
                    return Some(sources.map(|source| source.repo).collect());
                }
                Event::RenderSucceeded(body) if body.app == *app => &body.revisions,
                Event::RevisionAdvanced(body) if body.app == *app => &body.revisions,
                _ => return None,
            };
            Some(revisions.iter().map(|revision| revision.repo.clone()).collect::<Vec<_>>())
        })?;
        found.extend(of.unwrap_or_default());
    }
    Ok(found)
}
