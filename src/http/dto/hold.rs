//! Applications that are held as they were at an earlier instant.

use serde::{Deserialize, Serialize};

/// The hold of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppHold {
    /// The application.
    pub app: String,
    /// The event that began it.
    pub seq: u64,
    /// The last event of the instant that it is held at.
    pub to: u64,
    /// The time of that instant.
    pub at: String,
    /// The application that is held with everything below it, this one included; empty when this
    /// one alone is.
    #[serde(default)]
    pub tree: String,
    /// How the person named the instant.
    pub said: String,
    /// Who holds it; empty where that is not looked up.
    pub by: String,
    /// The commit whose render is held.
    pub commit: String,
    /// The commit that Git is at, as far as it is rendered; empty when none is.
    pub waits: String,
    /// When it ends by itself.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
    /// The images that it names by their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// The commits that say the same in Git, and what became of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
}

/// What was recorded of a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptedTree {
    /// The event of the root, and what happens.
    #[serde(flatten)]
    pub accepted: super::Accepted,
    /// The event of each application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppSeq>,
    /// What became of each commit, where some were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushed: Vec<Pushed>,
}

/// An application and an event about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppSeq {
    /// The application.
    pub app: String,
    /// The event.
    pub seq: u64,
}

/// The body of `POST restore`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreBody {
    /// The object: `Kind[.group]/[namespace/]name`.
    pub subject: String,
    /// Its namespace, where the subject does not say it.
    pub namespace: String,
    /// The instant.
    pub to: String,
    /// How the person named the instant, where that is not `to`.
    pub said: String,
    /// Only this field of it; all of it when empty.
    pub field: String,
    /// As it was seen in the cluster, rather than as it was wanted.
    pub live: bool,
    /// Only say what would be done.
    pub plan: bool,
    /// For how long it is held, e.g. `8h`; until released when empty.
    #[serde(rename = "for")]
    pub period: String,
    /// Why.
    pub reason: String,
}

/// The body of `POST undo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UndoBody {
    /// The event.
    pub event: u64,
    /// Only say what would be done.
    pub plan: bool,
    /// Undo what can be undone where not all of it can.
    pub partial: bool,
    /// Why.
    pub reason: String,
}

/// The body of `POST cluster/accept`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcceptBody {
    /// The uid of the cluster that is accepted, as it was shown.
    pub uid: String,
    /// The event that told that it is in doubt, as it was shown.
    pub doubt: u64,
    /// Only say what would follow, for whatever is in doubt now.
    pub plan: bool,
    /// What would be written and removed, as it was shown; empty = nothing was shown to anybody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Why.
    pub reason: String,
}

/// The body of `POST apps/{name}/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackBody {
    /// The instant.
    pub to: String,
    /// How the person named the instant, where that is not `to`.
    pub said: String,
    /// Only say what would be done.
    pub plan: bool,
    /// The hash of what would wait for approval, as it was shown: it is allowed with the rollback.
    pub approves: String,
    /// Do what can be done where not all of it can be restored.
    pub partial: bool,
    /// With every application below it.
    pub tree: bool,
    /// The last event that counts where a tree goes back to a commit; all of them when zero.
    pub by: u64,
    /// Name images by the digests that were pulled then; refused where that is not known of all.
    pub pin_digests: bool,
    /// For how long, e.g. `8h`; until released when empty.
    #[serde(rename = "for")]
    pub period: String,
    /// Why.
    pub reason: String,
    /// Also commit and push it.
    pub git: bool,
    /// To a new branch of that name, rather than to the branch that is followed.
    pub branch: String,
    /// Who the commit says wrote it, `Name <name@host>`; whoever asks when empty.
    pub author: String,
    /// What was shown of the commits: nothing else is made. `none` = that none can be made now.
    pub commits: String,
}

/// A commit that was to be pushed, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    /// The event that intended it; zero when it was not made.
    pub seq: u64,
    /// The repository; empty where `said` names it.
    pub repo: String,
    /// The branch; likewise.
    pub branch: String,
    /// Whether the branch is a new one.
    pub creates: bool,
    /// Whether it is a branch of its own, which somebody has to merge.
    #[serde(default)]
    pub proposes: bool,
    /// The commit; empty when it was not made.
    pub commit: String,
    /// `pushed`, `overtaken`, `refused`, `not-pushed`, `unknown` or `not-made`.
    pub result: String,
    /// What was said, by the repository where it said something.
    pub said: String,
    /// What a person can do.
    pub hint: String,
}
