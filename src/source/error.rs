//! Why a source could not be mirrored, resolved or read. Every error names its repository.

use std::io;
use std::path::PathBuf;

use crate::model::{CommitId, with_causes};

/// What went wrong with a source.
///
/// `repo` is the URL as applications name it, without a password if it had one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL's transport is not built in.
    #[error(
        "repository `{repo}`: {scheme} transport is not built in yet; use a local path, file:// or ssh://"
    )]
    UnsupportedTransport {
        /// The repository.
        repo: String,
        /// The URL's scheme.
        scheme: String,
    },
    /// The URL cannot be used.
    #[error("repository `{repo}`: {problem}")]
    InvalidUrl {
        /// The repository.
        repo: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The repository's path does not exist or is not a Git repository.
    #[error("repository `{repo}`: `{}` is not a git repository", path.display())]
    NotARepository {
        /// The repository.
        repo: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A program that is needed to fetch could not be started.
    #[error("repository `{repo}`: cannot start `{program}`")]
    Program {
        /// The repository.
        repo: String,
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other side failed or said something that cannot be understood.
    #[error("repository `{repo}`: fetch failed{}", Said(said))]
    Fetch {
        /// The repository.
        repo: String,
        /// What the other side wrote to its error output, at most a few lines.
        said: String,
        /// What failed here.
        #[source]
        source: gix::Error,
    },
    /// The fetch took longer than it may.
    #[error("repository `{repo}`: fetch timed out after {seconds} s{}", Said(said))]
    TimedOut {
        /// The repository.
        repo: String,
        /// The limit.
        seconds: u64,
        /// What the other side wrote to its error output.
        said: String,
    },
    /// The fetch was given up because the daemon asked for it.
    #[error("repository `{repo}`: fetch was cancelled")]
    Cancelled {
        /// The repository.
        repo: String,
    },
    /// The fetch ended by a panic, which is a defect of greffier or of a library.
    #[error("repository `{repo}`: fetch panicked; this is a defect, please report it")]
    Panicked {
        /// The repository.
        repo: String,
    },
    /// Another fetch of the same repository is under way.
    #[error("repository `{repo}`: its mirror is in use by another fetch")]
    Busy {
        /// The repository.
        repo: String,
    },
    /// The repository has more refs than can be recorded.
    #[error("repository `{repo}`: more than {limit} refs")]
    TooManyRefs {
        /// The repository.
        repo: String,
        /// The limit.
        limit: usize,
    },
    /// The system gives no file notification.
    #[error("file notification is not available")]
    WatchUnavailable {
        /// Why.
        #[source]
        source: notify::Error,
    },
    /// The mirror could not be read or written for a reason outside it.
    #[error("repository `{repo}`: cannot {action} `{}`", path.display())]
    Io {
        /// The repository.
        repo: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mirror's refs could not be written.
    #[error("repository `{repo}`: cannot update the refs of its mirror")]
    UpdateRefs {
        /// The repository.
        repo: String,
        /// Why.
        #[source]
        source: gix::Error,
    },
    /// The mirror is damaged: the next fetch sets it aside and makes a new one.
    #[error("repository `{repo}`: its mirror is damaged (while reading {what})")]
    MirrorDamaged {
        /// The repository.
        repo: String,
        /// What was read.
        what: String,
        /// Why.
        #[source]
        source: gix::Error,
    },
    /// No ref or commit has that name.
    #[error("repository `{repo}`: unknown revision `{revision}`{}", Near(near))]
    UnknownRevision {
        /// The repository.
        repo: String,
        /// What was asked for.
        revision: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// More than one commit id begins like that.
    #[error("repository `{repo}`: `{revision}` is the beginning of more than one commit id")]
    AmbiguousRevision {
        /// The repository.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The commit is not in the mirror.
    #[error("repository `{repo}`: no commit {commit}")]
    NoSuchCommit {
        /// The repository.
        repo: String,
        /// The commit.
        commit: CommitId,
    },
    /// The path is not in that commit, or not a folder where one is needed.
    #[error("repository `{repo}`: no folder `{path}` in commit {commit}")]
    NoSuchPath {
        /// The repository.
        repo: String,
        /// The path.
        path: String,
        /// The commit.
        commit: CommitId,
    },
    /// The folder is, or is in, a submodule.
    #[error(
        "repository `{repo}`: the folder `{path}` is in the submodule `{submodule}`, whose files \
         are not fetched: put them into the repository, or name theirs in the source"
    )]
    Submodule {
        /// The repository.
        repo: String,
        /// The path.
        path: String,
        /// The path of the submodule.
        submodule: String,
    },
    /// The path leads out of the repository.
    #[error("repository `{repo}`: path `{path}` leads out of the repository")]
    PathEscape {
        /// The repository.
        repo: String,
        /// The path.
        path: String,
    },
    /// A path that is to be written leads through something that is no folder.
    #[error(
        "repository `{repo}`: `{path}` leads through a symbolic link or a file, so nothing is written there"
    )]
    ThroughALink {
        /// The repository.
        repo: String,
        /// The path.
        path: String,
    },
    /// A symbolic link leads out of the repository.
    #[error(
        "repository `{repo}`: symbolic link `{path}` leads out of the repository to `{target}`"
    )]
    SymlinkEscape {
        /// The repository.
        repo: String,
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A symbolic link leads to itself, or through too many others.
    #[error("repository `{repo}`: symbolic link `{path}` to `{target}` leads in a circle")]
    SymlinkLoop {
        /// The repository.
        repo: String,
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A symbolic link leads to something that is not there.
    #[error(
        "repository `{repo}`: symbolic link `{path}` leads to `{target}`, which does not exist"
    )]
    SymlinkDangling {
        /// The repository.
        repo: String,
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A file is too large.
    #[error("repository `{repo}`: file `{path}` has {bytes} bytes, the limit is {limit}")]
    FileTooLarge {
        /// The repository.
        repo: String,
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// All files together are too large.
    #[error("repository `{repo}`: the files of `{path}` together have more than {limit} bytes")]
    TreeTooLarge {
        /// The repository.
        repo: String,
        /// The folder.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// The folder has too many entries.
    #[error("repository `{repo}`: `{path}` has more than {limit} files and folders")]
    TooManyFiles {
        /// The repository.
        repo: String,
        /// The folder.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// The folder is nested too deeply.
    #[error("repository `{repo}`: `{path}` is nested more than {limit} folders deep")]
    TooDeep {
        /// The repository.
        repo: String,
        /// The folder.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A path is not UTF-8.
    #[error("repository `{repo}`: path `{path}` is not UTF-8")]
    PathNotUtf8 {
        /// The repository.
        repo: String,
        /// The path, with replacement characters.
        path: String,
    },
    /// A tree contains a name that no file may have.
    #[error("repository `{repo}`: path `{path}` contains a name that is not allowed")]
    UnsafeName {
        /// The repository.
        repo: String,
        /// The path.
        path: String,
    },
}

impl Error {
    /// Whether trying the same again later may succeed without anyone changing what was asked.
    ///
    /// False means that the URL, the revision or the content has to change first.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotARepository { .. }
            | Self::Program { .. }
            | Self::Fetch { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Panicked { .. }
            | Self::Busy { .. }
            | Self::WatchUnavailable { .. }
            | Self::Io { .. }
            | Self::UpdateRefs { .. }
            | Self::MirrorDamaged { .. } => true,
            Self::UnsupportedTransport { .. }
            | Self::InvalidUrl { .. }
            | Self::TooManyRefs { .. }
            | Self::UnknownRevision { .. }
            | Self::AmbiguousRevision { .. }
            | Self::NoSuchCommit { .. }
            | Self::NoSuchPath { .. }
            | Self::Submodule { .. }
            | Self::PathEscape { .. }
            | Self::ThroughALink { .. }
            | Self::SymlinkEscape { .. }
            | Self::SymlinkLoop { .. }
            | Self::SymlinkDangling { .. }
            | Self::FileTooLarge { .. }
            | Self::TreeTooLarge { .. }
            | Self::TooManyFiles { .. }
            | Self::TooDeep { .. }
            | Self::PathNotUtf8 { .. }
            | Self::UnsafeName { .. } => false,
        }
    }
}

/// The longest text of an error with its causes, in bytes: a few lines of a terminal.
const CAUSES_BYTES_MAX: usize = 2048;

impl Error {
    /// The message and its causes as one line, for an event or a person.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut text = with_causes(self);
        text.truncate(text.floor_char_boundary(CAUSES_BYTES_MAX));
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ").replace(char::is_control, "?")
    }
}

/// What the other side said, as the tail of a message; nothing when it said nothing.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// Names to suggest, as the tail of a message; nothing when there are none.
struct Near<'a>(&'a [String]);

impl std::fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (there is `{}`)", self.0.join("`, `"))
    }
}
