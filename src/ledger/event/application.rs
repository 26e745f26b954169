//! What happens to applications: defined, rendered, healthy or not.

use serde::{Deserialize, Serialize};

use crate::model::{AppName, BlobAddr, CommitId, Digest, GroupKind, ObjectKey, Seq};

/// Where an application's definition came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The configuration file.
    Config,
    /// `greffier app add`.
    Operator,
    /// A plan of the application that renders it.
    Parent(AppName),
    /// The configuration file, which does not name it any more: it stays as it was until somebody
    /// removes it.
    Unconfigured,
}

impl Origin {
    /// The application that renders it, where one does.
    #[must_use]
    pub fn parent(&self) -> Option<&AppName> {
        match self {
            Self::Parent(parent) => Some(parent),
            Self::Config | Self::Operator | Self::Unconfigured => None,
        }
    }
}

/// An application was defined, or its definition changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppDeclaredV1 {
    /// Its name.
    pub app: AppName,
    /// The Application manifest as canonical JSON.
    pub manifest: Vec<u8>,
    /// Where it came from.
    pub origin: Origin,
}

/// An application is no longer defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRemovedV1 {
    /// Its name.
    pub app: AppName,
    /// Whether its objects are removed first (its finalizer said so); otherwise they are left.
    pub cascade: bool,
    /// What removed it.
    pub origin: Origin,
    /// The definition that greffier decided to end: whoever defined the application anew meanwhile
    /// was told so. `None` where a person removed it, whatever it was.
    pub declared: Option<Seq>,
    /// The objects that are nobody's from now on and stay; empty while its objects are removed
    /// first.
    pub orphans: Vec<ObjectKey>,
}

/// An application definition was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRefusedV1 {
    /// Its name as far as readable.
    pub app: String,
    /// What is wrong.
    pub error: String,
    /// Where it came from.
    pub origin: Origin,
}

/// An object's own restraint (annotation) that is not honoured yet: exactly the writes that it
/// names are suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHold {
    /// The annotation, as people wrote it.
    pub what: String,
    /// Creating it is suspended.
    pub create: bool,
    /// Changing it is suspended.
    pub update: bool,
    /// Removing it is suspended.
    pub prune: bool,
}

impl ObjectHold {
    /// Whether it is a hook that runs when its application is removed.
    #[must_use]
    pub fn is_of_removal(&self) -> bool {
        let phases = self.what.strip_prefix("hook ").unwrap_or_default();
        phases.split(',').any(|phase| matches!(phase, "PreDelete" | "PostDelete"))
    }
}

/// What an object's own annotation says about how it is written; `None` = the application
/// decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectOptions {
    /// `Replace`: the whole object is replaced.
    pub replace: Option<bool>,
    /// `Force`: with `Replace`, it is deleted and created anew.
    pub force: Option<bool>,
    /// `Validate`: the API server refuses what it does not know.
    pub validate: Option<bool>,
}

/// Where a [`DesiredObject`] came from that stands for `CreateNamespace=true`.
pub const CREATE_NAMESPACE: &str = "syncOption CreateNamespace=true";

/// One object that a revision renders to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredObject {
    /// Its key; the namespace is filled from the destination.
    pub key: ObjectKey,
    /// The version of its API group, e.g. `v1`.
    pub version: String,
    /// Its manifest as canonical JSON (sealed for Secrets).
    pub manifest: BlobAddr,
    /// The digest of the manifest (keyed for Secrets).
    pub digest: Digest,
    /// Its sync wave.
    pub wave: i32,
    /// `spec.replicas`, where it is a number.
    pub replicas: Option<u32>,
    /// The file (and document) it came from, as far as known.
    pub origin: String,
    /// What its annotations restrain.
    pub holds: Vec<ObjectHold>,
    /// How it is written.
    pub options: ObjectOptions,
    /// The manifest itself, for Applications only.
    pub application: Option<Vec<u8>>,
}

/// A source of an application at the commit that it resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRef {
    /// The repository.
    pub repo: String,
    /// The commit.
    pub commit: CommitId,
    /// The tree of the source's path, the identity of what was rendered.
    pub tree: CommitId,
}

/// How [`RenderSucceededV1::made_with`] names the cluster's version.
pub const KUBERNETES: &str = "kubernetes";

/// An application was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderSucceededV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// The source that brought something new, or else the first: what the render is known by.
    pub revision: RevisionRef,
    /// What was rendered: every source in its order.
    pub revisions: Vec<RevisionRef>,
    /// The digest of every input: tree, specification, tool versions, API list.
    pub inputs: Digest,
    /// The digest of those inputs that Git and the definition say: without the versions of
    /// programs and without what the cluster serves.
    pub sources: Digest,
    /// The program that rendered, with its version.
    pub tool: String,
    /// Everything beside the sources that the render depends on and that has a version: programs,
    /// greffier's own rules, Kubernetes.
    pub made_with: Vec<(String, String)>,
    /// Commits that a rewritten history had dropped, that were applied, and that the rendered
    /// commits contain again.
    pub restores: Vec<CommitId>,
    /// The objects in order of their keys.
    pub objects: Vec<DesiredObject>,
    /// What a person should know and what does not stop anything.
    pub warnings: Vec<String>,
    /// Kinds that the cluster does not serve, so that their scope is a guess.
    pub unknown_kinds: Vec<GroupKind>,
    /// The earlier render of the same inputs whose objects these are; no program was run then.
    pub reused: Option<Seq>,
}

/// The same inputs, rendered twice, gave different objects: the chart draws random values or looks
/// at the clock. The render that was recorded first stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderVariedV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// The digest of the inputs.
    pub inputs: Digest,
    /// The fields that differ, at most 100: object and path. Never a value.
    pub fields: Vec<(ObjectKey, String)>,
}

/// A commit left an application's inputs as they were: the last render stands for it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionAdvancedV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// The commit that renders to the same: of the source that moved.
    pub revision: RevisionRef,
    /// Every source in its order.
    pub revisions: Vec<RevisionRef>,
    /// The digest of every input, which is that of the render that the commit stands for too.
    pub inputs: Digest,
    /// What has a version and the render depends on, as it is now.
    pub made_with: Vec<(String, String)>,
}

/// The programs that render were found to have other versions than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramsFoundV1 {
    /// Each program, and greffier's own rules, with its version.
    pub versions: Vec<(String, String)>,
}

/// An application could not be rendered. Its last good render stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderFailedV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// The commit of the source that is to blame, or else of the first; `None` when its revision
    /// could not be resolved.
    pub commit: Option<CommitId>,
    /// What was to be rendered: every source's commit in its order, `None` where the revision
    /// could not be resolved.
    pub commits: Vec<Option<CommitId>>,
    /// Whether the machine was at fault and not the source, so that another try may succeed.
    pub transient: bool,
    /// The cause, with file and line where there is one.
    pub error: String,
}

/// Health as Argo CD words it, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// As it should be.
    Healthy,
    /// Waiting for a person.
    Suspended,
    /// Not yet there, may get there.
    Progressing,
    /// Not in the cluster.
    Missing,
    /// Failed, or unable to get there in time.
    Degraded,
    /// Cannot be told.
    Unknown,
}

impl Health {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }
}

/// The health of an application changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHealthChangedV1 {
    /// The application.
    pub app: AppName,
    /// What it was.
    pub was: Health,
    /// What it is.
    pub now: Health,
    /// Which objects it rests on.
    pub message: String,
}

/// An object of an application turned unwell, or is well again. Recorded are the turns to
/// `Degraded`, `Suspended` and `Unknown`, and back to `Healthy`; what happens in between is in the
/// observations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHealthChangedV1 {
    /// The application that wants the object.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The turn before this one; `Healthy` when there was none.
    pub was: Health,
    /// What it is.
    pub now: Health,
    /// What that rests on.
    pub message: String,
}
