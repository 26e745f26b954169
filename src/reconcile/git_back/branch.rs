//! The branch that a person names for a commit: made anew, or greffier's own of before.
//!
//! What somebody else has on a branch of that name is never built on and never written over. The
//! ledger says whose a commit is, not its trailers, which anybody can write.

use std::collections::BTreeMap;

use super::{BackCommit, GitBackError, Heads, Wish, trial_commit};
use crate::ledger::event::{Event, PushIntendedV1};
use crate::ledger::store::SubjectKey;
use crate::ledger::{Ledger, Recorded};
use crate::model::{AppName, CommitId, Seq};
use crate::query::Book;
use crate::reconcile::driver::Parts;
use crate::source::{Back, Mirror};

/// Bound: how many events about one commit are looked at.
const EVENTS_MAX: usize = 256;
/// Bound: how many of the last events of an application are looked at for what greffier pushed.
const PUSHES_LOOKED_MAX: usize = 2_000;

/// A branch that says already what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// The repository, without a password.
    pub shown: String,
    /// The full name of the branch.
    pub branch: String,
    /// The commit that greffier made for it.
    pub commit: CommitId,
    /// The event that intended its push.
    pub push: Seq,
}

/// A branch that gets a commit.
pub(super) struct Target {
    pub(super) repo: String,
    /// The branch that is followed; `None` = a tag or a commit is.
    pub(super) branch: Option<String>,
    /// Where that is.
    pub(super) base: CommitId,
    pub(super) back: Vec<Back>,
}

/// What is done about one target.
pub(super) enum Decided {
    /// What is followed has the very files of then.
    Nothing(CommitId),
    /// The branch that was named has them.
    There(There),
    /// A commit is made.
    Commit(Box<BackCommit>, CommitId),
}

impl Target {
    /// Decides it.
    pub(super) fn decide(
        self,
        parts: &Parts,
        mirror: &Mirror,
        heads: &Heads,
        wish: &Wish,
    ) -> Result<Decided, GitBackError> {
        let Self { repo, branch, base, back } = self;
        let mut made = mirror.put_back(&base, &back)?;
        if made.tree == made.from {
            return Ok(Decided::Nothing(base));
        }
        let (mut parent, mut creates) = (base, false);
        if let Some(named) = &wish.branch {
            let followed = (&**named, branch.as_deref(), &parent);
            let refs = heads.get(&repo);
            match begin(&parts.ledger, mirror, followed, refs, wish)? {
                Begin::Anew => creates = true,
                Begin::Merged => {}
                Begin::OnOwn(tip, push) => {
                    made = mirror.put_back(&tip, &back)?;
                    if made.tree == made.from {
                        let (shown, branch) = (mirror.repo().to_owned(), named.clone());
                        return Ok(Decided::There(There { shown, branch, commit: tip, push }));
                    }
                    parent = tip;
                }
            }
        }
        let trial = trial_commit(mirror, &made, &parent)?;
        let shown = mirror.repo().to_owned();
        let then = back.into_iter().map(|back| back.then).collect();
        let proposes = wish.branch.is_some();
        // What follows no branch comes here with a named one only.
        let branch = wish.branch.clone().or(branch).unwrap_or_default();
        let commit = BackCommit { repo, shown, branch, creates, proposes, parent, made, then };
        Ok(Decided::Commit(Box::new(commit), trial))
    }
}

/// Where the commit for a named branch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Begin {
    /// There is no such branch: at the head of what is followed.
    Anew,
    /// The branch is at greffier's own commit, and what is followed has that already.
    Merged,
    /// The branch is at greffier's own commit: on top of it.
    OnOwn(CommitId, Seq),
}

/// Where the commit for `branch` begins; `followed` is the branch that the source follows, with the
/// commit that it is at.
fn begin(
    ledger: &Ledger,
    mirror: &Mirror,
    (branch, followed, head): (&str, Option<&str>, &CommitId),
    refs: Option<&BTreeMap<String, CommitId>>,
    wish: &Wish,
) -> Result<Begin, GitBackError> {
    let repo = mirror.repo().to_owned();
    if followed == Some(branch) {
        return Err(GitBackError::Followed { repo, branch: short(branch).to_owned() });
    }
    let Some(tip) = refs.and_then(|refs| refs.get(branch)) else { return Ok(Begin::Anew) };
    let own = made(ledger, tip, |body| {
        (&*body.repo, &*body.branch, &body.app) == (mirror.url(), branch, &wish.app)
            && body.proposes
    })?;
    let Some(Own { push, .. }) = own else {
        let (headline, branch) = (mirror.headline(tip)?, short(branch).to_owned());
        let whose = match made(ledger, tip, |body| body.repo == mirror.url())? {
            Some(own) => format!("{own} made what is on it: it is at {headline}"),
            None => format!("greffier did not make what is on it: it is at {headline}"),
        };
        return Err(GitBackError::Taken { repo, branch, whose });
    };
    match mirror.contains(head, tip)? {
        true => Ok(Begin::Merged),
        false => Ok(Begin::OnOwn(tip.clone(), push)),
    }
}

/// A commit that greffier made for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::reconcile) struct Own {
    /// The event that intended its push.
    push: Seq,
    /// The commit.
    commit: CommitId,
    /// The application that it was made for.
    app: AppName,
    /// Who asked for it.
    asked: String,
}

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { push, app, asked, .. } = self;
        write!(f, "greffier, for {asked} (rollback of {app}, #{push}),")
    }
}

/// The commit of greffier's own by which a path of `head` is as it is: `head` itself, or one that it
/// has and that put the very same there. `None` = somebody else's did.
pub(in crate::reconcile) fn own_commit(
    ledger: &Ledger,
    mirror: &Mirror,
    (head, path): (&CommitId, &str),
    app: &AppName,
) -> Result<Option<(Own, CommitId)>, GitBackError> {
    let of_repo = |body: &PushIntendedV1| body.repo == mirror.url();
    if let Some(own) = made(ledger, head, of_repo)? {
        let commit = own.commit.clone();
        return Ok(Some((own, commit)));
    }
    let stands = mirror.standing_at(head, path)?;
    let book: &dyn Book = ledger;
    let about = SubjectKey::app(app.as_str());
    for seq in book.find_before(about, book.head().next(), PUSHES_LOOKED_MAX) {
        let Some(recorded) = book.get(seq)? else { continue };
        let Some(Event::PushIntended(body)) = &recorded.event else { continue };
        if of_repo(body)
            && mirror.contains(head, &body.commit)?
            && mirror.standing_at(&body.commit, path)? == stands
        {
            let own = Own::of(&recorded, body);
            return Ok(Some((own, body.commit.clone())));
        }
    }
    Ok(None)
}

impl Own {
    fn of(recorded: &Recorded, body: &PushIntendedV1) -> Self {
        let (commit, app) = (body.commit.clone(), body.app.clone());
        Self { push: recorded.seq(), commit, app, asked: recorded.actor.to_string() }
    }
}

/// The push by which greffier brought a commit to where `wanted` says, if it did.
pub(in crate::reconcile) fn made(
    ledger: &Ledger,
    commit: &CommitId,
    wanted: impl Fn(&PushIntendedV1) -> bool,
) -> Result<Option<Own>, crate::ledger::Error> {
    let book: &dyn Book = ledger;
    let about =
        book.find_before(SubjectKey::commit(commit.as_str()), book.head().next(), EVENTS_MAX);
    for seq in about {
        let Some(recorded) = book.get(seq)? else { continue };
        match &recorded.event {
            Some(Event::PushIntended(body)) if body.commit == *commit && wanted(body) => {
                return Ok(Some(Own::of(&recorded, body)));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}
