//! Committing and pushing what a rollback holds.
//!
//! What is committed is bound to what the person was shown: the same paths go back to the same
//! commits in the same branches, or nothing is made.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::dto;
use super::error::Error;
use super::peer::{Peer, host};
use super::server::State;
use crate::command::push::{self, Message, Rollback};
use crate::ledger::event::{Event, HeldRender, PathBack, PushIntendedV1, PushResult};
use crate::model::{Actor, AppName, Digest, Seq, Timestamp, with_causes};
use crate::plan::Compared;
use crate::query::rollback::{CommitPlan, HoldPlan, hint_of, result_word};
use crate::reconcile::{BackCommit, GitBack, GitBackError, There, Wish};
use crate::replay::World;
use crate::source::{ChangedFile, Mirror, NewCommit, branch_name};

/// How long a request waits for pushes to have ended.
const ENDED_MAX: Duration = Duration::from_secs(20);
/// How long a request waits for what would be committed to be known: a repository that does not
/// answer at all must not keep anything from being held.
const PREPARED_MAX: Duration = Duration::from_secs(15);
/// How many files of a commit are shown.
const FILES_MAX: usize = 100;

impl From<GitBackError> for Error {
    fn from(error: GitBackError) -> Self {
        let (message, hint) = (error.text(), error.hint());
        let (status, code) = match &error {
            GitBackError::UnknownApp(_) => (StatusCode::NOT_FOUND, "unknown_app"),
            GitBackError::Source(source) if source.is_transient() => {
                (StatusCode::BAD_GATEWAY, UNREACHABLE)
            }
            GitBackError::Ledger(_) => (StatusCode::INTERNAL_SERVER_ERROR, "ledger"),
            _ => (StatusCode::CONFLICT, "not_in_git"),
        };
        Self::new(status, code, message, hint)
    }
}

/// How a request says that it was shown that no commit can be made now.
pub(super) const NONE_NOW: &str = "none";
/// The code of an error where a repository cannot be reached or read now.
const UNREACHABLE: &str = "git_unreachable";

/// What is known of the commits for a hold.
pub(super) enum Commits {
    /// None was asked for.
    None,
    /// They can be made.
    Ready(Box<Prepared>),
    /// They cannot be made now, and why: what is held does not wait for them.
    Away(String),
}

impl Commits {
    /// Finds out what would be committed. That a repository is away is the very case a hold is for.
    pub(super) async fn of(
        state: &State,
        peer: Peer,
        held: (AppName, HeldRender),
        to: Seq,
        asked: &dto::RollbackBody,
    ) -> Result<Self, Error> {
        if !asked.git {
            return Ok(Self::None);
        }
        if asked.commits == NONE_NOW {
            let why = "no commit could be made when this was shown, and so none was";
            return Ok(Self::Away(why.to_owned()));
        }
        match prepare(state, peer, held, to, asked).await {
            Ok(prepared) => Ok(Self::Ready(Box::new(prepared))),
            Err(error) if error.code == UNREACHABLE => Ok(Self::Away(error.message)),
            Err(error) => Err(error),
        }
    }

    /// Adds to a plan what would be committed.
    pub(super) fn show(&self, plan: &mut HoldPlan) {
        match self {
            Self::None => {}
            Self::Ready(prepared) => prepared.show(plan),
            Self::Away(why) => {
                plan.not_pushed.clone_from(why);
                NONE_NOW.clone_into(&mut plan.commits_hash);
            }
        }
    }

    /// Refuses what may not be committed.
    pub(super) fn allowed(&self, asked: &dto::RollbackBody) -> Result<(), Error> {
        match self {
            Self::Ready(prepared) => prepared.allowed(asked),
            Self::None | Self::Away(_) => Ok(()),
        }
    }

    /// Makes the commits for the hold that event `hold` began, and says what became of each.
    pub(super) async fn push(self, state: &State, hold: Seq) -> Vec<dto::Pushed> {
        match self {
            Self::None => Vec::new(),
            Self::Ready(prepared) => prepared.push(state, hold).await,
            Self::Away(said) => {
                let result = "not-made".to_owned();
                vec![dto::Pushed { result, said, ..dto::Pushed::default() }]
            }
        }
    }
}

/// What is about to be committed, with what the person said of it.
pub(super) struct Prepared {
    back: GitBack,
    held: HeldRender,
    app: AppName,
    to: Seq,
    at: Timestamp,
    reason: String,
    author: (String, String),
    by: Actor,
    host: String,
    now: Timestamp,
}

/// Finds out what would be committed; refuses what no branch and no author can be called.
async fn prepare(
    state: &State,
    peer: Peer,
    held: (AppName, HeldRender),
    to: Seq,
    asked: &dto::RollbackBody,
) -> Result<Prepared, Error> {
    let found = found_out(state, peer, held, to, asked);
    tokio::time::timeout(PREPARED_MAX, found).await.unwrap_or_else(|_| {
        let seconds = PREPARED_MAX.as_secs();
        let message = format!(
            "what would be committed was not known within {seconds} s: the repository does not \
             answer, or what it has takes long to render"
        );
        Err(Error::new(StatusCode::BAD_GATEWAY, UNREACHABLE, message, ""))
    })
}

async fn found_out(
    state: &State,
    peer: Peer,
    (app, held): (AppName, HeldRender),
    to: Seq,
    asked: &dto::RollbackBody,
) -> Result<Prepared, Error> {
    let branch = match asked.branch.as_str() {
        "" => None,
        name => Some(branch_name(name).ok_or_else(|| {
            let hint = "`git check-ref-format --branch NAME` says which names git takes";
            let message = format!("no branch can be called {name:?}");
            Error::new(StatusCode::BAD_REQUEST, "bad_request", message, hint)
        })?),
    };
    let given = match asked.author.as_str() {
        "" => None,
        text => Some(push::author(text).map_err(|error| Error::bad_request(error.to_string()))?),
    };
    let wish = Wish { app: app.clone(), held: held.clone(), branch };
    let back = state.git_back(wish).await?;
    let (by, host) = state.blocking(move || (peer.actor(), host())).await?;
    let now = Timestamp::now();
    let (known, named) = (by.clone(), host.clone());
    let author = match given {
        Some(author) => author,
        None => {
            let of = move |world: &World, _: &Compared| {
                push::author_of(&world.people, &known, now, &named)
            };
            state.read(of).await?
        }
    };
    // However the instant was named, the commit says the time of its last event.
    let ledger = state.ledger.clone();
    let recorded = state.blocking(move || ledger.get(to)).await??;
    let at = recorded.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
    let reason = asked.reason.clone();
    Ok(Prepared { back, held, app, to, at, reason, author, by, host, now })
}

impl Prepared {
    /// Adds to a plan what would be committed.
    fn show(&self, plan: &mut HoldPlan) {
        plan.commits = self.back.commits.iter().map(|commit| self.plan(commit)).collect();
        plan.not_in_git.clone_from(&self.back.unproven);
        plan.shared.clone_from(&self.back.shared);
        plan.pushed_before = self.back.there.iter().map(there).collect();
        plan.commits_hash = self.hash();
    }

    fn plan(&self, commit: &BackCommit) -> CommitPlan {
        let (name, mail) = &self.author;
        let files = commit.made.files.iter().take(FILES_MAX).map(file);
        CommitPlan {
            repo: commit.shown.clone(),
            branch: short(&commit.branch).to_owned(),
            creates: commit.creates,
            proposes: commit.proposes,
            parent: commit.parent.to_string(),
            paths: paths(commit),
            files: files.collect(),
            files_total: commit.made.files_total,
            author: format!("{name} <{mail}>"),
            message: self.message(commit, None),
        }
    }

    /// What a person is shown, without what another's push changes beside it.
    fn hash(&self) -> String {
        let commits = self.back.commits.iter().map(|commit| {
            let paths = commit.made.paths.iter().map(|put| json!([put.path, put.was, put.now]));
            json!([commit.repo, commit.branch, commit.creates, paths.collect::<Vec<_>>()])
        });
        let there = self.back.there.iter().map(|there| json!([there.shown, there.branch]));
        let (commits, there) = (commits.collect::<Vec<_>>(), there.collect::<Vec<_>>());
        let all = json!([commits, there, self.back.unproven, self.back.shared]);
        Digest::of(all.to_string().as_bytes()).to_string()
    }

    fn message(&self, commit: &BackCommit, rollback: Option<Rollback>) -> String {
        let Self { app, to, at, reason, by, held, .. } = self;
        let then = commit.then.first().unwrap_or(&held.revision.commit);
        let (app, to, at, paths) = (app.as_str(), *to, *at, paths(commit));
        Message { app, then, to, at, reason, paths, by, rollback }.text()
    }

    /// Refuses what was not shown, what Git would not say afterwards, and what is others'.
    fn allowed(&self, asked: &dto::RollbackBody) -> Result<(), Error> {
        let app = &self.app;
        let refused = |code, message: String, hint: &str, causes: &[String]| {
            Err(Error::new(StatusCode::CONFLICT, code, message, hint).because(causes.to_vec()))
        };
        if !asked.commits.is_empty() && asked.commits != self.hash() {
            let message =
                format!("what would be committed for `{app}` is not what was shown any more");
            return refused("plan_lapsed", message, "the same with --plan shows it", &[]);
        }
        if !self.back.unproven.is_empty() && !asked.partial {
            let message = "a commit would not put all of it back".to_owned();
            let hint = "nothing was written; --partial commits what it can, and the hold stays";
            return refused("not_in_git", message, hint, &self.back.unproven);
        }
        if !self.back.shared.is_empty() && asked.branch.is_empty() {
            let message = "the commit would change other applications too".to_owned();
            let hint = "nothing was written; --branch NAME proposes it for a merge request";
            return refused("not_in_git", message, hint, &self.back.shared);
        }
        Ok(())
    }

    /// Makes the commits, has them pushed, and says what became of each. The rollback is recorded
    /// already: what goes wrong from here on is said beside it.
    async fn push(self, state: &State, hold: Seq) -> Vec<dto::Pushed> {
        let before: Vec<_> = self.back.there.iter().map(pushed_before).collect();
        let pushed = self.push_new(state, hold).await;
        before.into_iter().chain(pushed).collect()
    }

    async fn push_new(self, state: &State, hold: Seq) -> Vec<dto::Pushed> {
        if self.back.commits.is_empty() {
            return Vec::new();
        }
        let commits = self.back.commits.clone();
        let not_made = |error: &str| {
            let told = |commit: &BackCommit| dto::Pushed {
                repo: commit.shown.clone(),
                branch: short(&commit.branch).to_owned(),
                creates: commit.creates,
                proposes: commit.proposes,
                result: "not-made".to_owned(),
                said: error.to_owned(),
                hint: String::new(),
                ..dto::Pushed::default()
            };
            commits.iter().map(told).collect::<Vec<_>>()
        };
        let by = self.by.clone();
        let (ledger, mirrors) = (state.ledger.clone(), state.mirrors());
        let made = state.blocking(move || {
            let recorded = ledger.get(hold).map_err(|error| with_causes(&error))?;
            let frame = &recorded.ok_or("the rollback's event cannot be read")?.envelope;
            let (ledger, id, hash) = (ledger.ledger_id(), frame.id, frame.hash);
            let rollback = Rollback { ledger, seq: hold, id, hash };
            let timeout = u32::try_from(mirrors.fetch_timeout.as_millis()).unwrap_or(u32::MAX);
            let commits = self.back.commits.iter();
            let made = commits.map(|commit| {
                let mirror = Mirror::open(&mirrors, &commit.repo);
                let made = mirror.and_then(|mirror| self.make(&mirror, commit, &rollback));
                let made = made.map_err(|error| error.with_causes())?;
                Ok(PushIntendedV1 { timeout_ms: timeout, ..made })
            });
            made.collect::<Result<Vec<_>, String>>()
        });
        let made = match made.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return not_made(&error),
            Err(error) => return not_made(&error.message),
        };
        match push::record(&state.ledger, by, made.clone()).await {
            Ok(seqs) => ended(state, made, &seqs).await,
            Err(error) => not_made(&with_causes(&error)),
        }
    }

    fn make(
        &self,
        mirror: &Mirror,
        commit: &BackCommit,
        rollback: &Rollback,
    ) -> Result<PushIntendedV1, crate::source::Error> {
        let message = self.message(commit, Some(rollback.clone()));
        let author = push::signed_at(self.author.clone(), self.now);
        let committer = push::own(&self.host, self.now);
        let (tree, parent) = (commit.made.tree.clone(), commit.parent.clone());
        let new = NewCommit { tree, parent, author, committer, message };
        let id = mirror.write_commit(&new)?;
        let paths = commit.made.paths.iter().zip(&commit.then).map(|(put, then)| PathBack {
            path: put.path.clone(),
            then: then.clone(),
            was: put.was.clone(),
            now: put.now.clone(),
        });
        Ok(PushIntendedV1 {
            app: self.app.clone(),
            hold: rollback.seq,
            repo: commit.repo.clone(),
            branch: commit.branch.clone(),
            creates: commit.creates,
            proposes: commit.proposes,
            commit: id,
            tree: new.tree,
            parent: new.parent,
            paths: paths.collect(),
            files: commit.made.files_total as u64,
            author: new.author,
            committer: new.committer,
            message: new.message,
            attempt: 1,
            timeout_ms: 0,
        })
    }
}

/// Commits for an application that is held already.
pub(super) async fn already(
    state: &State,
    peer: Peer,
    world: &World,
    (app, hold): (&str, Seq),
    asked: &dto::RollbackBody,
) -> Result<Response, Error> {
    let found = world.apps.iter().find(|(name, _)| name.as_str() == app);
    let held = found.and_then(|(name, app)| {
        let (hold, held) = (app.hold.as_ref()?, app.unheld()?);
        Some((name.clone(), HeldRender::from(&*held), (hold.to, hold.at), hold.said.clone()))
    });
    // What is under way, or looked for, may still come: nothing is made twice.
    let open = world.pushes.iter().find(|(_, open)| open.body.hold == hold);
    if let Some((push, open)) = open.filter(|_| !asked.plan) {
        let (commit, push) = (open.body.commit.short(), push.0);
        let message = format!("{app} is held, and commit {commit} is being pushed (#{push})");
        let hint = "`greffier status` says what became of it; then the same again, if it is needed";
        return Err(Error::new(StatusCode::CONFLICT, "push_open", message, hint));
    }
    let gone = || Error::internal("the hold is gone");
    let (name, held, (to, at), said) = held.ok_or_else(gone)?;
    let objects = held.objects.len();
    let prepared = prepare(state, peer, (name, held), to, asked).await.map_err(|error| {
        if error.code != UNREACHABLE {
            return error;
        }
        let message = format!("{app} is held already (#{hold}), NOT PUSHED: {}", error.message);
        Error { message, hint: "the same makes the commit once that answers".to_owned(), ..error }
    })?;
    if asked.plan {
        let (app, how) = (app.to_owned(), "held already".to_owned());
        let (to, at) = (to.0, at.to_string());
        let mut plan = HoldPlan { app, how, to, at, said, objects, ..HoldPlan::default() };
        prepared.show(&mut plan);
        return Ok(Json(plan).into_response());
    }
    prepared.allowed(asked)?;
    let pushed = prepared.push(state, hold).await;
    let undo = format!("greffier release {app}");
    let accepted = dto::Accepted { seq: hold.0, already: true, undo, next: Vec::new() };
    Ok(Json(dto::AcceptedTree { accepted, apps: Vec::new(), pushed }).into_response())
}

/// What became of the pushes, once they have ended.
async fn ended(state: &State, made: Vec<PushIntendedV1>, seqs: &[Seq]) -> Vec<dto::Pushed> {
    let (Some(first), Some(last)) = (seqs.first().copied(), seqs.last().copied()) else {
        return Vec::new();
    };
    let hold = made.first().map(|body| body.hold);
    let mut folded = state.folded();
    let over = async {
        if folded.wait_for(|seq| *seq >= last).await.is_err() {
            return;
        }
        loop {
            let open = move |world: &World, _: &Compared| {
                world.pushes.values().any(|open| Some(open.body.hold) == hold)
            };
            // The daemon folds what it records itself; when it stops, nobody waits any more.
            if !state.read(open).await.unwrap_or(false) || folded.changed().await.is_err() {
                return;
            }
        }
    };
    // What has not ended by then is told as not known yet.
    let _ = tokio::time::timeout(ENDED_MAX, over).await;
    let ledger = state.ledger.clone();
    for body in &made {
        // A repository that gives no hints is looked at now.
        state.refresh(Some(&body.repo));
    }
    let told = move || made.iter().zip(seqs_of(&ledger, first, &made)).map(told).collect();
    state.blocking(told).await.unwrap_or_default()
}

/// The last try for each branch, and how it ended.
type Last = (Seq, String, Option<PushResult>);

fn seqs_of(ledger: &crate::ledger::Ledger, first: Seq, made: &[PushIntendedV1]) -> Vec<Last> {
    let mut last: Vec<Last> =
        made.iter().map(|body| (Seq::ZERO, body.commit.to_string(), None)).collect();
    for recorded in ledger.range(first, ledger.head()).flatten() {
        let seq = recorded.seq();
        for (body, last) in made.iter().zip(&mut last) {
            match &recorded.event {
                Some(Event::PushIntended(new))
                    if (new.hold, &new.repo, &new.branch)
                        == (body.hold, &body.repo, &body.branch) =>
                {
                    *last = (seq, new.commit.to_string(), None);
                }
                Some(Event::PushEnded(ended)) if ended.push == last.0 => {
                    last.2 = Some(ended.result.clone());
                }
                _ => {}
            }
        }
    }
    last
}

fn told((body, (seq, commit, result)): (&PushIntendedV1, Last)) -> dto::Pushed {
    let pending = PushResult::Unknown("it has not ended yet".to_owned());
    let result = result.unwrap_or(pending);
    let (word, said) = result_word(&result);
    dto::Pushed {
        seq: seq.0,
        repo: crate::source::redact(&body.repo),
        branch: short(&body.branch).to_owned(),
        creates: body.creates,
        proposes: body.proposes,
        commit,
        result: word.to_owned(),
        said: said.to_owned(),
        hint: hint_of(&result, body.proposes).to_owned(),
    }
}

/// A branch that says it already.
fn there(there: &There) -> String {
    let There { shown, branch, commit, push } = there;
    let (branch, commit) = (short(branch), commit.short());
    format!(
        "{branch} of {shown} has it: commit {commit}, which greffier made for it (#{push}) and \
         which waits until it is merged"
    )
}

fn pushed_before(there: &There) -> dto::Pushed {
    dto::Pushed {
        seq: there.push.0,
        repo: there.shown.clone(),
        branch: short(&there.branch).to_owned(),
        proposes: true,
        commit: there.commit.to_string(),
        result: "pushed".to_owned(),
        ..dto::Pushed::default()
    }
}

fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// What goes back to which commit.
fn paths(commit: &BackCommit) -> Vec<String> {
    let puts = commit.made.paths.iter().zip(&commit.then).filter(|(put, _)| put.was != put.now);
    let told = puts.map(|(put, then)| {
        let path = if put.path.is_empty() { "the whole repository" } else { &put.path };
        let short = then.short();
        match &put.now {
            Some(now) => format!("{path} is what it was in commit {short} ({})", now.short()),
            None => format!("{path} is gone, as in commit {short}"),
        }
    });
    told.collect()
}

/// A file as `git diff --stat` names it.
fn file(file: &ChangedFile) -> String {
    let ChangedFile { path, how, lines } = file;
    match lines {
        Some((new, gone)) => format!("{how} {path} | +{new} -{gone}"),
        None => format!("{how} {path} | not text"),
    }
}
