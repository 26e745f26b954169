//! Pushing a commit that says in Git what is held.
//!
//! The event that intends it is durable before this runs. A branch that somebody else moved
//! meanwhile is tried again on top of theirs, as long as what goes back is still what was shown.
//!
//! What an earlier run may have sent is never sent again: the repository is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::driver::{Done, Parts};
use super::failpoint;
use super::git_back::{fetch, made, own_commit};
use crate::ledger::event::{PathBack, PushEndedV1, PushIntendedV1, PushResult};
use crate::ledger::{self, Draft};
use crate::model::{CommitId, Seq, Timestamp};
use crate::replay::OpenPush;
use crate::source::{self, Back, Mirror, NewCommit, Pushed};

/// How often a branch is tried that others move meanwhile.
const ATTEMPTS_MAX: u32 = 4;
/// Who moved a branch, where greffier did not.
const SOMEBODY: &str = "somebody";
/// How long to wait before looking again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(
    parts: Parts,
    push: Seq,
    cancel: CancellationToken,
) -> Result<Done, ledger::Error> {
    let open = parts.read().world.pushes.get(&push).cloned();
    let Some(open) = open else { return Ok(Done::Executed(push)) };
    if open.settles {
        return settle(&parts, push, &open, None, &cancel).await;
    }
    let result = match sent(&parts, &open.body, &cancel).await {
        Ok(Pushed::Done) => PushResult::Pushed,
        Ok(Pushed::Refused(said)) => PushResult::Refused(said),
        Ok(Pushed::NotSent(said)) => PushResult::NotPushed(said),
        Ok(Pushed::Unknown(said)) => {
            append(&parts, push, &open.body, (PushResult::Unknown(said.clone()), false)).await?;
            return settle(&parts, push, &open, Some(said), &cancel).await;
        }
        Ok(Pushed::Overtaken(said)) => {
            return overtaken(&parts, push, &open.body, said).await;
        }
        Err(error) => PushResult::NotPushed(error.with_causes()),
    };
    append(&parts, push, &open.body, (result, false)).await?;
    Ok(Done::Executed(push))
}

/// Pushes on a thread that may block; a cancellation ends it there.
async fn sent(
    parts: &Parts,
    body: &PushIntendedV1,
    cancel: &CancellationToken,
) -> Result<Pushed, source::Error> {
    let (flag, mirrors, body) =
        (Arc::new(AtomicBool::new(false)), Arc::clone(&parts.mirrors), body.clone());
    let cancelled = Arc::clone(&flag);
    let mut pushing = tokio::task::spawn_blocking(move || {
        failpoint::reach(failpoint::PUSHING);
        let mirror = Mirror::open(&mirrors, &body.repo)?;
        let pushed = mirror.push(&body.commit, &body.branch, body.creates, &cancelled);
        failpoint::reach(failpoint::PUSHED);
        pushed
    });
    let ended = tokio::select! {
        ended = &mut pushing => ended,
        () = cancel.cancelled() => {
            flag.store(true, Ordering::Relaxed);
            pushing.await
        }
    };
    // What a panic left behind is looked for.
    ended.unwrap_or_else(|_| Ok(Pushed::Unknown("BUG: the push panicked".to_owned())))
}

fn ended(push: Seq, body: &PushIntendedV1, result: PushResult, settled: bool) -> Draft {
    let PushIntendedV1 { app, repo, branch, commit, .. } = body.clone();
    Draft::new(PushEndedV1 { push, app, repo, branch, commit, result, settled }).caused_by(push)
}

async fn append(
    parts: &Parts,
    push: Seq,
    body: &PushIntendedV1,
    (result, settled): (PushResult, bool),
) -> Result<(), ledger::Error> {
    parts.ledger.append(ended(push, body, result, settled)).await?;
    Ok(())
}

/// The branch was moved meanwhile: the same on top of what it has now, or why not.
async fn overtaken(
    parts: &Parts,
    push: Seq,
    body: &PushIntendedV1,
    said: String,
) -> Result<Done, ledger::Error> {
    let again = match body.proposes || body.attempt >= ATTEMPTS_MAX {
        // What is on a branch of its own is its own: nobody else's work is built on.
        true if body.proposes => {
            let did = if body.creates { "made a branch of that name" } else { "moved that branch" };
            let (worker, asked) = (parts.clone(), body.clone());
            let who = tokio::task::spawn_blocking(move || mover(&worker, &asked)).await;
            // What cannot be found out is somebody's.
            Err(format!("{} {did} meanwhile", who.unwrap_or_else(|_| SOMEBODY.to_owned())))
        }
        true => Err(said.clone()),
        false => {
            let (worker, asked) = (parts.clone(), body.clone());
            let made = tokio::task::spawn_blocking(move || on_top(&worker, &asked)).await;
            made.unwrap_or_else(|_| Err("BUG: making the commit anew panicked".to_owned()))
        }
    };
    let mut drafts = Vec::new();
    match again {
        Ok(next) => {
            drafts.push(ended(push, body, PushResult::Overtaken(said), false));
            // It is still what that person asked for.
            let asked = parts.ledger.get(push).ok().flatten();
            let actor = asked.map(|recorded| recorded.actor.clone());
            let draft = Draft::new(next).caused_by(body.hold).caused_by(push);
            drafts.push(match actor {
                Some(actor) => draft.by(actor),
                None => draft,
            });
        }
        Err(why) => drafts.push(ended(push, body, PushResult::Overtaken(why), false)),
    }
    parts.ledger.append(drafts).await?;
    Ok(Done::Executed(push))
}

/// Who brought the branch to where it is now.
fn mover(parts: &Parts, body: &PushIntendedV1) -> String {
    let recorded = parts.read().world.repos.get(&body.repo).cloned().unwrap_or_default();
    let own = fetch(parts, &body.repo, &recorded).ok().and_then(|(_, refs)| {
        let tip = refs.get(&body.branch)?;
        made(&parts.ledger, tip, |other| other.repo == body.repo).ok().flatten()
    });
    own.map_or_else(|| SOMEBODY.to_owned(), |own| own.to_string())
}

/// The same commit on top of where the branch is now.
fn on_top(parts: &Parts, body: &PushIntendedV1) -> Result<PushIntendedV1, String> {
    let recorded = parts.read().world.repos.get(&body.repo).cloned().unwrap_or_default();
    let said = |error: source::Error| error.with_causes();
    let (mirror, refs) = fetch(parts, &body.repo, &recorded).map_err(said)?;
    let Some(head) = refs.get(&body.branch) else {
        return Err(format!("{} is gone", body.branch));
    };
    for PathBack { path, was, .. } in &body.paths {
        if mirror.standing_at(head, path).map_err(said)? != *was {
            let own = own_commit(&parts.ledger, &mirror, (head, path), &body.app);
            let own = own.map_err(|error| error.text())?;
            let (who, commit) = match own {
                Some((own, commit)) => (own.to_string(), commit),
                None => (SOMEBODY.to_owned(), head.clone()),
            };
            let path = if path.is_empty() { "the repository" } else { path };
            return Err(format!("{who} changed {path} meanwhile, in commit {}", commit.short()));
        }
    }
    let back =
        body.paths.iter().map(|path| Back { path: path.path.clone(), then: path.then.clone() });
    let made = mirror.put_back(head, &back.collect::<Vec<_>>()).map_err(said)?;
    let new = NewCommit {
        tree: made.tree.clone(),
        parent: head.clone(),
        author: body.author.clone(),
        committer: body.committer.clone(),
        message: body.message.clone(),
    };
    let commit = mirror.write_commit(&new).map_err(said)?;
    let (parent, tree, attempt) = (head.clone(), made.tree, body.attempt + 1);
    Ok(PushIntendedV1 { commit, parent, tree, attempt, ..body.clone() })
}

/// Finds out by looking at the repository whether it has the commit: until its time is over it may
/// still come there. `said` is what the push said that ended without an answer; `None` = it was an
/// earlier run's.
async fn settle(
    parts: &Parts,
    push: Seq,
    open: &OpenPush,
    said: Option<String>,
    cancel: &CancellationToken,
) -> Result<Done, ledger::Error> {
    loop {
        // Who was not heard to the end may still be at work on the other side.
        let over = Timestamp::now() >= open.deadline;
        let (worker, body) = (parts.clone(), open.body.clone());
        let looked = tokio::task::spawn_blocking(move || is_there(&worker, &body)).await;
        let result = match looked {
            Ok(Ok(true)) => Some(PushResult::Pushed),
            Ok(Ok(false)) if over => {
                let why = said.clone().unwrap_or_else(|| {
                    "the daemon ended meanwhile, and the repository does not have it".to_owned()
                });
                Some(PushResult::NotPushed(why))
            }
            Ok(Ok(false)) => None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "whether a commit was pushed cannot be seen yet");
                None
            }
            Err(error) => {
                tracing::error!(%error, "looking for a pushed commit panicked");
                None
            }
        };
        if let Some(result) = result {
            append(parts, push, &open.body, (result, true)).await?;
            return Ok(Done::Executed(push));
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = cancel.cancelled() => return Ok(Done::Executed(push)),
        }
    }
}

/// Whether the branch, or the one that everybody gets, has the commit.
fn is_there(parts: &Parts, body: &PushIntendedV1) -> Result<bool, source::Error> {
    let recorded = parts.read().world.repos.get(&body.repo).cloned().unwrap_or_default();
    let (mirror, refs) = fetch(parts, &body.repo, &recorded)?;
    let tips = [body.branch.as_str(), "HEAD"].into_iter().filter_map(|name| refs.get(name));
    let mut tips: Vec<&CommitId> = tips.collect();
    tips.dedup();
    for tip in tips {
        if mirror.contains(tip, &body.commit)? {
            return Ok(true);
        }
    }
    Ok(false)
}
