//! What comes with a request.

use serde::{Deserialize, Serialize};

/// How an application is removed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RemoveQuery {
    /// Whether its objects go with it; where nobody says, its finalizer must not ask for it.
    pub cascade: Option<bool>,
}

/// The body of `POST apps/{name}/sync`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncBody {
    /// Whether objects that left Git are removed.
    pub prune: bool,
    /// Only these objects.
    pub only: Vec<String>,
    /// Why.
    pub reason: String,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// The body of `POST apps/{name}/approve`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveBody {
    /// The plan's hash, or at least four digits of it.
    pub plan: String,
    /// Why.
    pub reason: String,
}

/// The body of `POST apps/{name}/pause` and `POST freeze`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PauseBody {
    /// For how long, e.g. `2h`; until a person ends it when empty.
    #[serde(rename = "for")]
    pub period: String,
    /// Why.
    pub reason: String,
}

/// The body of `POST keep`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepBody {
    /// The drift to keep: its event.
    pub event: u64,
    /// For how long, e.g. `8h`; until released when empty.
    #[serde(rename = "for", default)]
    pub period: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Only say what would be done.
    #[serde(default)]
    pub plan: bool,
}

/// The body of `POST release`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// An application, an object, or the event of a hold or of the drift that it keeps.
    pub subject: String,
    /// The namespace of the object, where the subject does not say it.
    #[serde(default)]
    pub namespace: String,
    /// Only say what would be done.
    #[serde(default)]
    pub plan: bool,
    /// The application with every one below it.
    #[serde(default)]
    pub tree: bool,
}

/// The body of `POST repos/refresh`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshBody {
    /// The repository; all when empty.
    pub repo: String,
}
