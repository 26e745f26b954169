//! What goes over the wire. Fields are added, never renamed or given another meaning.
//!
//! Times are RFC 3339 in UTC; hashes and ids are hexadecimal; objects are
//! `Kind[.group]/[namespace/]name`.

mod audit;
mod body;
mod diff;
mod hold;
mod past;
mod recovery;
mod report;
mod who;
mod wholeness;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::query::children::{Come, Gone};
pub use crate::query::patch::Patch;
use crate::query::people::Party;
use crate::query::unattributed::Unattributed;

pub use audit::{Attribution, Audit};
pub use body::{ApproveBody, KeepBody, PauseBody, RefreshBody, ReleaseBody, RemoveQuery, SyncBody};
pub use diff::{Diff, DiffBody, DiffHold, Field, Manifest, ObjectDiff, Rendered, RenderedObject};
pub use hold::{
    AcceptBody, AcceptedTree, AppHold, AppSeq, Pushed, RestoreBody, RollbackBody, UndoBody,
};
pub use past::{Between, Instant, Mark, MarkBody, Named, ObjectAt, ObjectState, Unwatched};
pub use recovery::{OldCopy, Recorded, Recovery, RecoveryRecord, Replay};
pub use report::ReportHead;
pub use who::{Claim, OwnWrite, Who};
pub use wholeness::Wholeness;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its position; also the cursor of pages and streams.
    pub seq: u64,
    /// Its id, unique also outside this ledger.
    pub id: String,
    /// When it was recorded.
    pub time: String,
    /// Its kind, e.g. `drift.detected`.
    pub kind: String,
    /// The application it is about; empty when none.
    pub app: String,
    /// The objects it is about, at most 100.
    pub objects: Vec<String>,
    /// Who did it, as recorded.
    pub actor: String,
    /// Who did it, as the event itself claims: field managers, authors.
    pub by: Vec<String>,
    /// Who did it, as far as it is known, each name with its scheme.
    #[serde(default)]
    pub parties: Vec<Party>,
    /// One line for people.
    pub summary: String,
    /// `plain`, `good`, `warn` or `bad`.
    pub tone: String,
    /// Whether it is only of use to somebody who looks for exactly this.
    pub noise: bool,
    /// The commands that would keep what somebody changed, where the event tells of a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// The commit it is about; empty when none.
    pub commit: String,
    /// What belongs to one push, one command, one run.
    pub correlation: String,
    /// The events it directly follows from.
    pub causes: Vec<u64>,
    /// Everything that was recorded; only where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
    /// The hash of its frame, which covers every event before it; only of a single event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Who made the change that it shows; only of a single event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// What it changed of its objects; only where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to give as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Of events by somebody: changes that may be theirs, of which it is not known yet who made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattributed: Option<Unattributed>,
}

/// Everything on one screen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The instant that it is about, where that is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Instant>,
    /// The daemon; absent when the answer was read from the files, or is about the past.
    pub daemon: Option<Daemon>,
    /// The cluster.
    pub cluster: Cluster,
    /// The ledger's head.
    pub ledger: Head,
    /// Where the API server's audit is read.
    #[serde(default)]
    pub audit: Vec<Audit>,
    /// How well changes by others are known.
    #[serde(default)]
    pub attribution: Attribution,
    /// Repositories.
    pub repos: Vec<Repo>,
    /// How many applications there are.
    pub apps: usize,
    /// How many are in which sync state.
    pub sync: BTreeMap<String, usize>,
    /// How many have which health.
    pub health: BTreeMap<String, usize>,
    /// What waits for approval.
    pub gates: Vec<Gate>,
    /// The freeze, while nothing is written for any application.
    #[serde(default)]
    pub freeze: Option<Freeze>,
    /// Who disagrees with Git about what.
    #[serde(default)]
    pub contests: Vec<Contest>,
    /// What people hold as it is, against Git.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Applications that people hold as they were at an earlier instant.
    #[serde(default)]
    pub held: Vec<AppHold>,
    /// What somebody changed and is not put back yet.
    #[serde(default)]
    pub drifts: Vec<Drift>,
    /// What is paused.
    pub pauses: Vec<Pause>,
    /// What does not render or could not be written.
    pub problems: Vec<Note>,
    /// What suspends writes.
    pub suspended: Vec<Note>,
    /// Replays onto another cluster that were begun and have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<Replay>,
    /// What shows that the ledger is an old copy; absent where nothing has since the last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_copy: Option<OldCopy>,
    /// How whole the ledger is; only of a daemon, about now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wholeness: Option<Wholeness>,
}

/// The running daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it may only record and plan.
    pub observe: bool,
    /// Why nothing can be recorded, and so nothing is decided or written; absent while it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<String>,
}

/// The cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The uid of its `kube-system` namespace; empty until known.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Its address.
    pub server: String,
    /// Why it cannot be reached, while it cannot.
    pub lost: Option<String>,
    /// Since when it cannot be reached: what is said of objects and applications is as of then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<String>,
    /// Why it is not known to be the one to be kept, so that nothing is written; absent while it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// How many kinds it serves.
    pub kinds: usize,
    /// How many of them have been listed completely since the daemon started.
    pub listed: usize,
    /// How many live objects are known.
    pub objects: usize,
}

/// The end of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The ledger's identity.
    pub id: String,
    /// The last event.
    pub seq: u64,
    /// Up to which event this answer goes.
    pub folded: u64,
    /// When the last folded event was recorded.
    pub time: String,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repo {
    /// Its URL.
    pub url: String,
    /// Whether it was ever fetched.
    pub fetched: bool,
    /// How many refs it has.
    pub refs: usize,
    /// Why it cannot be fetched, while it cannot.
    pub error: Option<String>,
}

/// A plan that waits for approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The application.
    pub app: String,
    /// The event.
    pub seq: u64,
    /// What an approval names.
    pub plan: String,
    /// Whether it was approved and is not carried out yet.
    pub approved: bool,
    /// Why it waits.
    pub reasons: Vec<String>,
    /// What waits.
    pub writes: Vec<Write>,
    /// Applications whose removal waits.
    pub apps: Vec<String>,
}

/// A write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// `create`, `update`, `heal`, `reclaim` or `prune`.
    pub verb: String,
    /// The object.
    pub object: String,
    /// Why; empty when not known.
    pub reason: String,
}

/// A freeze of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    /// The event.
    pub seq: u64,
    /// Who froze it.
    pub by: String,
    /// When it ends by itself.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// Greffier and somebody else change the same path back and forth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contest {
    /// The application.
    pub app: String,
    /// The object.
    pub object: String,
    /// The path.
    pub path: String,
    /// The other field manager; empty = unknown.
    pub manager: String,
    /// The event that named it.
    pub seq: Option<u64>,
    /// When the last flip is or was put back.
    pub heals: String,
    /// When it is over if nothing happens any more.
    pub ends: String,
    /// For people.
    pub what: String,
}

/// What a person holds as it is, against Git.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The application.
    pub app: String,
    /// The object.
    pub object: String,
    /// The event.
    pub seq: u64,
    /// The event that it goes back to: a drift, an instant, or what was undone.
    pub from: u64,
    /// What it holds: `fields`, `absence`, `object` (as at `from`), `object before` (`from`).
    pub what: String,
    /// Who holds it.
    pub by: String,
    /// The fields: path, what it was, what it is kept as.
    pub fields: Vec<String>,
    /// When it ends by itself.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// What somebody changed and is not put back yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The application.
    pub app: String,
    /// The object.
    pub object: String,
    /// The event.
    pub seq: u64,
    /// The fields: path, what it was, what it is. None = it was deleted.
    pub fields: Vec<String>,
    /// The field managers, as far as known.
    pub by: Vec<String>,
    /// By whom it is, in words, as the log says it.
    #[serde(default)]
    pub whom: String,
    /// The commands that would keep it.
    pub keep: Vec<String>,
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// The application.
    pub app: String,
    /// When it ends by itself.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// Something to know about an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The application.
    pub app: String,
    /// What it is.
    pub what: String,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub sync: String,
    /// Its health.
    pub health: String,
    /// What the health rests on.
    pub health_message: String,
    /// The repository.
    pub repo: String,
    /// The folder in it.
    pub path: String,
    /// Branch, tag or commit as the Application says.
    pub revision: String,
    /// The commit its desired state stands for; empty before the first render.
    pub commit: String,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// `manual`, or what is automated: `auto`, `prune`, `heal`.
    pub policy: Vec<String>,
    /// How many objects it has.
    pub objects: usize,
    /// What defined it: `config`, `operator` or `app/<name>`.
    pub origin: String,
    /// Its hold at an earlier instant.
    #[serde(default)]
    pub held: Option<AppHold>,
    /// Its pause.
    pub paused: Option<Pause>,
    /// What waits for approval.
    pub gate: Option<Gate>,
    /// How its last sync ended.
    pub last_sync: Option<Sync>,
    /// All of its sources, in order; `repo`, `path` and `revision` are the first one's.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Why its newest revision does not render.
    pub render_problem: Option<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What suspends writes.
    pub suspended: Vec<String>,
    /// Whether it is being removed with its objects.
    pub removing: bool,
    /// The single most important reason why it is not as Git says and well; empty when it is.
    #[serde(default)]
    pub note: String,
}

/// A source of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The repository.
    pub repo: String,
    /// The folder in it; empty for a source that only lends files.
    pub path: String,
    /// The revision as the Application names it.
    pub revision: String,
    /// The commit that was rendered last; empty when none was.
    pub commit: String,
    /// The name under which it lends files to the others; empty when it does not.
    pub lends: String,
}

/// How a sync ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sync {
    /// The event.
    pub seq: u64,
    /// When.
    pub time: String,
    /// The commit.
    pub commit: String,
    /// Whether every object was as desired.
    pub succeeded: bool,
    /// What happened.
    pub message: String,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its key.
    pub object: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version it was last read in; empty when it is not in the cluster.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The application that owns or wants it; empty when none does.
    pub app: String,
    /// Whether it is as Git says; empty when no application wants it.
    pub sync: String,
    /// Why, and why nothing is done where nothing is done.
    pub why: String,
    /// Its health.
    pub health: String,
    /// What the health rests on.
    pub health_message: String,
    /// When it was last seen to change.
    pub seen: Option<String>,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `app` or `object`.
    pub kind: String,
    /// The application's name or the object's key.
    pub name: String,
    /// Whether it is as Git says; empty for objects that no application wants.
    pub sync: String,
    /// Its health.
    pub health: String,
    /// What people should know about it.
    pub note: String,
    /// What hangs below it.
    pub children: Vec<Self>,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Its identity.
    pub ledger_id: String,
    /// The last event.
    pub head: u64,
    /// The hash of the last event's frame.
    pub head_hash: String,
    /// How many events it has.
    pub events: u64,
    /// How many blobs it has.
    pub blobs: u64,
    /// How many segment files it has.
    pub segments: u64,
    /// How many bytes the segments take.
    pub segment_bytes: u64,
    /// How many bytes the index takes; 0 when it is not open.
    pub index_bytes: u64,
    /// Up to where the index has come.
    pub index_seq: u64,
    /// When the first event was recorded.
    pub oldest: Option<String>,
    /// The latest recorded time.
    pub newest: Option<String>,
    /// Tells the key from others.
    pub key_fingerprint: Option<String>,
    /// The first damage that was met.
    pub damage: Option<String>,
    /// Up to which event the last complete check went; absent where there was none since it was
    /// opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<u64>,
    /// When that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
}

/// A command was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The event.
    pub seq: u64,
    /// Whether it was so already and nothing was recorded now.
    pub already: bool,
    /// The command that undoes it; empty when there is none.
    pub undo: String,
    /// What happens because of it, where that is worked out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// What a sync would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// The application.
    pub app: String,
    /// The position it was decided from.
    pub base: u64,
    /// The writes, in order.
    pub writes: Vec<Write>,
    /// What would wait for approval.
    pub gate: Option<Gate>,
    /// Applications that would be defined.
    pub declare: Vec<String>,
    /// Applications that would be removed.
    pub remove: Vec<String>,
    /// What becomes of each of these, and of those whose removal would wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
    /// What is known of each application that would be defined and is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub come: Vec<Come>,
    /// What is not done, and why.
    pub not_done: Vec<Note>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// A stable word for programs.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
    /// Why, or each thing that it is about: one a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it; empty when there is nothing to say.
    #[serde(default)]
    pub hint: String,
    /// Finds the request in the daemon's log.
    #[serde(default)]
    pub request_id: String,
}
