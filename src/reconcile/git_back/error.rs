//! Why there is no commit that would say in Git what is held, and what a person can do about it.

use crate::model::with_causes;
use crate::query::text::shell;
use crate::source;

/// Why there is no such commit.
#[derive(Debug, thiserror::Error)]
pub enum GitBackError {
    /// The application is gone.
    #[error("there is no application `{0}`")]
    UnknownApp(String),
    /// A source follows no branch.
    #[error("`{repo}` is followed at {what} `{revision}`: there is no branch to commit to")]
    NoBranch {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// A tag or a commit.
        what: &'static str,
    },
    /// Two sources follow two branches of one repository.
    #[error("its sources follow two branches of `{repo}`, and one new branch cannot be both")]
    TwoBranches {
        /// The repository.
        repo: String,
    },
    /// The branch that is named is the one that is followed.
    #[error("`{branch}` of `{repo}` is the branch that is followed, and no branch of its own")]
    Followed {
        /// The repository.
        repo: String,
        /// The branch.
        branch: String,
    },
    /// Somebody else has a branch of that name.
    #[error("`{repo}` has a branch `{branch}` already, and {whose}")]
    Taken {
        /// The repository.
        repo: String,
        /// The branch.
        branch: String,
        /// Who made what is on it, and the commit that it is at.
        whose: String,
    },
    /// Nothing of its sources is in Git any more.
    #[error("none of the sources that it had then is among those that it has now")]
    NoSource,
    /// The files are the same.
    #[error("Git has the very files of then already")]
    SameFiles,
    /// A repository cannot be fetched, read or written.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// What was rendered then cannot be read.
    #[error("what was rendered then cannot be read: {0}")]
    Unreadable(String),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::Error),
}

impl GitBackError {
    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownApp(_) => "`greffier get apps` lists them".to_owned(),
            Self::NoBranch { .. } => {
                "--branch NAME makes a branch with the commit; what is followed is yours to move"
                    .to_owned()
            }
            Self::TwoBranches { .. } => "without --branch each gets its own commit".to_owned(),
            Self::Followed { .. } => {
                "without --branch the commit goes to it; name another for a merge request"
                    .to_owned()
            }
            Self::Taken { repo, branch, .. } => format!(
                "nothing was written: choose another name with --branch, or, if nobody needs what \
                 is on it, `git push {} --delete {}` and then the same again",
                shell(repo),
                shell(branch)
            ),
            Self::NoSource | Self::Unreadable(_) => {
                "without --git it is rolled back and held, and Git is left as it is".to_owned()
            }
            Self::SameFiles => "what differs is not in its sources: its definition, or what \
                                renders them; without --git it is rolled back and held"
                .to_owned(),
            Self::Source(_) => "without --git it is rolled back and held at once, without Git; \
                                the same with --git makes the commit later"
                .to_owned(),
            Self::Ledger(_) => String::new(),
        }
    }

    /// The message with what is behind it, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Source(error) => error.with_causes(),
            other => with_causes(other),
        }
    }
}
