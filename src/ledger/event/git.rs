//! What happens in repositories.

use serde::{Deserialize, Serialize};

use crate::model::{AppName, CommitId, Seq, Timestamp};

/// A signature line of a commit: who, and when by their clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The name as stated.
    pub name: String,
    /// The e-mail address as stated.
    pub email: String,
    /// The time as stated.
    pub time: Timestamp,
}

/// A commit became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecordedV1 {
    /// The repository, as Applications name it.
    pub repo: String,
    /// The commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: CommitId,
    /// Its parents.
    pub parents: Vec<CommitId>,
    /// Who wrote it, as it states.
    pub author: Signature,
    /// Who committed it, as it states.
    pub committer: Signature,
    /// The whole message.
    pub message: String,
    /// The paths that differ from the first parent, at most [`CHANGED_PATHS_MAX`].
    pub changed: Vec<String>,
    /// How many paths differ in all.
    pub changed_total: u64,
    /// The signature that it carries, and what verifying it found.
    pub signature: Option<CommitSignature>,
}

/// The signature of a commit, as it was when the commit was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSignature {
    /// What it was made with.
    pub form: SignatureForm,
    /// What verifying it found.
    pub verdict: SignatureVerdict,
    /// The fingerprint of the key, as the signature states it; proven where it is valid, or its
    /// key is only unknown. Empty when it cannot be read.
    pub key: String,
    /// Whose key that is, as the allowed-signers file says; empty unless it is valid.
    pub principal: String,
    /// Why it is not valid, or was not verified; empty when it is.
    pub note: String,
}

/// What a signature was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureForm {
    /// A key of SSH.
    Ssh,
    /// OpenPGP.
    OpenPgp,
    /// An X.509 certificate.
    X509,
    /// Something else.
    Other,
}

/// What verifying a signature found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureVerdict {
    /// It is that of an allowed signer.
    Valid,
    /// It is the commit's, and no allowed signer has the key.
    UnknownKey,
    /// It is not the commit's signature.
    Invalid,
    /// It was not verified.
    NotVerified,
}

/// How many changed paths a commit event lists.
pub const CHANGED_PATHS_MAX: usize = 200;

/// A ref of a repository appeared, moved or disappeared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMovedV1 {
    /// The repository.
    pub repo: String,
    /// The full ref name, or `HEAD`.
    pub name: String,
    /// Where it pointed, if it existed.
    pub old: Option<CommitId>,
    /// Where it points; `None` = deleted.
    pub new: Option<CommitId>,
}

/// A ref moved to a commit that does not descend from the one it pointed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRewrittenV1 {
    /// The repository.
    pub repo: String,
    /// The full ref name.
    pub name: String,
    /// The old tip; it stays reachable in the mirror.
    pub old: CommitId,
    /// The new tip.
    pub new: CommitId,
    /// Commits that are no longer reachable from the ref, at most 200.
    pub dropped: Vec<CommitId>,
    /// Whether both tips have the same tree.
    pub same_tree: bool,
    /// Whether the configuration says that what it changes follows without asking.
    pub follow: bool,
}

/// A repository's history was imported from a depth on; older commits are not in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryImportedV1 {
    /// The repository.
    pub repo: String,
    /// The ref.
    pub name: String,
    /// How many commits were imported.
    pub commits: u64,
    /// The oldest imported commits that have parents which were not imported.
    pub begins_at: Vec<CommitId>,
}

/// A repository was fetched for the first time since the daemon started, and is as it was
/// recorded. From then on what is not told did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchUnchangedV1 {
    /// The repository.
    pub repo: String,
}

/// A repository could not be fetched. Written once per distinct cause and start of the
/// daemon, not once per try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailedV1 {
    /// The repository.
    pub repo: String,
    /// The cause, for a person.
    pub error: String,
}

/// A repository that could not be fetched can be fetched again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRecoveredV1 {
    /// The repository.
    pub repo: String,
}

/// A path of a repository that goes back to what an earlier commit has there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathBack {
    /// Relative to the top of the repository; empty = all of it.
    pub path: String,
    /// The commit that it is taken from.
    pub then: CommitId,
    /// The id of the tree or file that stood there in the parent; `None` = nothing did.
    pub was: Option<CommitId>,
    /// The id of the tree or file that stands there in the commit; `None` = nothing does.
    pub now: Option<CommitId>,
}

/// greffier is about to push a commit that says in Git what a rollback holds. Nothing is sent before
/// this is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushIntendedV1 {
    /// The application.
    pub app: AppName,
    /// The event that began its hold.
    pub hold: Seq,
    /// The repository, as Applications name it.
    pub repo: String,
    /// The full name of the branch.
    pub branch: String,
    /// Whether the branch is made, and must not be there.
    pub creates: bool,
    /// Whether it is a branch of its own, which somebody has to merge.
    pub proposes: bool,
    /// The commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: CommitId,
    /// Its parent: where the branch is, or what a new one begins from.
    pub parent: CommitId,
    /// What goes back.
    pub paths: Vec<PathBack>,
    /// How many files differ from the parent.
    pub files: u64,
    /// Who the commit says wrote it.
    pub author: Signature,
    /// Who it says committed it.
    pub committer: Signature,
    /// The whole message.
    pub message: String,
    /// Which try it is, from 1: the branch may have been moved meanwhile.
    pub attempt: u32,
    /// For how long it may take, in ms.
    pub timeout_ms: u32,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushResult {
    /// The repository has it.
    Pushed,
    /// Somebody else moved the branch, or made it, meanwhile: nothing was written. What was said.
    Overtaken(String),
    /// The repository refused it: its words.
    Refused(String),
    /// It is not in the repository: what is known of why.
    NotPushed(String),
    /// It is not known whether the repository has it; it is looked for.
    Unknown(String),
}

/// A push ended, or was found to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEndedV1 {
    /// The event that intended it.
    pub push: Seq,
    /// The application.
    pub app: AppName,
    /// The repository.
    pub repo: String,
    /// The full name of the branch.
    pub branch: String,
    /// The commit.
    pub commit: CommitId,
    /// How.
    pub result: PushResult,
    /// Whether that was found out by looking at the repository.
    pub settled: bool,
}
