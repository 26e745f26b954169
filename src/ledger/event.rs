//! What can happen: every event of the ledger, in the past tense.
//!
//! Each variant carries one frozen struct `…V1`. A shipped struct is never edited: a change is a
//! new schema number, a new struct and an upcaster (docs/ledger-format.md). The structs hold
//! numbers, strings, byte strings, lists and plain enums only, because their encoding is
//! positional: no serde attributes, no maps of JSON values, no Kubernetes types. JSON travels as
//! canonical bytes (RFC 8785).

use serde::{Deserialize, Serialize};

use crate::model::{
    AppName, BlobAddr, CommitId, Digest, GroupKind, ObjectKey, PlanHash, Scope, Seq, Timestamp,
};

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

/// The ledger was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCreatedV1 {
    /// The version of greffier that created it.
    pub version: String,
}

/// The daemon opened the ledger for writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStartedV1 {
    /// Its version.
    pub version: String,
    /// Whether it may only record and plan.
    pub observe: bool,
    /// Its process id.
    pub pid: u32,
}

/// The daemon closed the ledger in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStoppedV1 {
    /// Why.
    pub reason: String,
}

/// Something in the ledger's files was found damaged or behind and was put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRepairedV1 {
    /// What was wrong, where, and what was done. Damaged bytes are set aside, never cut.
    pub what: String,
    /// The file that keeps what was set aside; empty when nothing was.
    pub kept: String,
    /// Whether acknowledged events may be among what was set aside.
    pub possibly_acknowledged: bool,
}

/// The configuration in force changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigLoadedV1 {
    /// The effective configuration as TOML, without secrets.
    pub toml: String,
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
    /// Whether it carries a signature (not verified).
    pub signed: bool,
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

/// A repository could not be fetched. Written once per distinct cause, not once per try.
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

/// Where an application's definition came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The configuration file.
    Config,
    /// `greffier app add`.
    Operator,
    /// A plan of the application that renders it.
    Parent(AppName),
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

/// An application was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderSucceededV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// What was rendered.
    pub revision: RevisionRef,
    /// The digest of every input: tree, specification, tool versions, API list.
    pub inputs: Digest,
    /// The program that rendered, with its version.
    pub tool: String,
    /// The objects in order of their keys.
    pub objects: Vec<DesiredObject>,
    /// What a person should know and what does not stop anything.
    pub warnings: Vec<String>,
    /// Kinds that the cluster does not serve, so that their scope is a guess.
    pub unknown_kinds: Vec<GroupKind>,
}

/// A commit left an application's inputs as they were: the last render stands for it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionAdvancedV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// The commit that renders to the same.
    pub revision: RevisionRef,
}

/// An application could not be rendered. Its last good render stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderFailedV1 {
    /// The application.
    pub app: AppName,
    /// The definition that was rendered: the event that declared it.
    pub declared: Seq,
    /// What was to be rendered; `None` when the revision could not be resolved.
    pub commit: Option<CommitId>,
    /// The cause, with file and line where there is one.
    pub error: String,
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verb {
    /// The object is absent and is created.
    Create,
    /// Git changed and the object follows.
    Update,
    /// The object drifted and is put back.
    Heal,
    /// Ownership was lost but the values are right: a quiet re-apply.
    Reclaim,
    /// The object left Git and is removed.
    Prune,
}

impl Verb {
    /// The word people are shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Heal => "heal",
            Self::Reclaim => "reclaim",
            Self::Prune => "prune",
        }
    }
}

/// One write of a plan or intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// What it does.
    pub verb: Verb,
    /// To which object.
    pub key: ObjectKey,
    /// In which version of its group.
    pub version: String,
    /// The manifest to apply; `None` for a prune.
    pub manifest: Option<BlobAddr>,
    /// The digest of that manifest; zero for a prune.
    pub digest: Digest,
    /// For a prune: the uid and resource version that the delete is bound to.
    pub precondition: Option<(String, String)>,
    /// Why, as words for a person.
    pub reason: String,
}

/// Why part of a plan waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReason {
    /// The rule, as words: what would happen and which limit it exceeds.
    pub what: String,
}

/// A plan was gated: it would do more than may be done unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanGatedV1 {
    /// The application.
    pub app: AppName,
    /// The hash that an approval names.
    pub plan: PlanHash,
    /// Why.
    pub reasons: Vec<GateReason>,
    /// The writes that wait.
    pub writes: Vec<Write>,
    /// Applications whose removal waits.
    pub apps: Vec<AppName>,
    /// The commit that asks for it, if one does.
    pub commit: Option<CommitId>,
}

/// A gated plan is no longer what greffier would do: Git or the cluster moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateLapsedV1 {
    /// The application.
    pub app: AppName,
    /// The plan that lapsed.
    pub plan: PlanHash,
}

/// A person approved a gated plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanApprovedV1 {
    /// The application.
    pub app: AppName,
    /// The plan.
    pub plan: PlanHash,
    /// Why, if they said.
    pub reason: String,
}

/// Cluster writes are about to be made. Durable before the first of them is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecordedV1 {
    /// The application.
    pub app: AppName,
    /// The writes; the `Audit-ID` of each is `<ledger>-<seq of this event>-<index>`.
    pub writes: Vec<Write>,
    /// The commit whose render is applied, if there is one.
    pub commit: Option<CommitId>,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteResult {
    /// The object was applied.
    Applied(Applied),
    /// The object was deleted, or its deletion was begun.
    Deleted,
    /// There was nothing to delete.
    AlreadyGone,
    /// The API server refused for good: trying the same again is useless.
    Refused(String),
    /// It failed in a way that may pass.
    Failed(String),
    /// The request was sent and its fate is not known.
    Unknown(String),
    /// It was not sent: an earlier write of the same intent had to come first and failed, or the
    /// daemon stopped.
    NotSent(String),
}

/// What an apply returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The object's uid.
    pub uid: String,
    /// Its resource version after the apply.
    pub resource_version: String,
    /// The digest of the fields that greffier owns: the baseline drift is measured against.
    pub baseline: Digest,
    /// The returned object, normalised, with field ownership: what the baseline is projected
    /// from. See `cluster::normalize`.
    pub object: BlobAddr,
    /// Whether the apply changed the object.
    pub changed: bool,
    /// The digest of the returned object without status and field ownership.
    pub digest: Digest,
    /// The digest of who owns which fields.
    pub managers: Digest,
    /// Its health in the answer.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
}

/// Writes of an intent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRecordedV1 {
    /// The application.
    pub app: AppName,
    /// The intent.
    pub intent: Seq,
    /// Index in the intent and how it ended.
    pub results: Vec<(u32, WriteResult)>,
}

/// A write whose fate was not known was settled by observing the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentSettledV1 {
    /// The application.
    pub app: AppName,
    /// The intent.
    pub intent: Seq,
    /// Index in the intent and what the cluster shows.
    pub results: Vec<(u32, WriteResult)>,
}

/// Everything that an application's revision asks for was done, or cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFinishedV1 {
    /// The application.
    pub app: AppName,
    /// The commit.
    pub commit: CommitId,
    /// Whether every object is as desired.
    pub succeeded: bool,
    /// What happened, for a person.
    pub message: String,
    /// How many objects were created, changed, pruned.
    pub counts: (u32, u32, u32),
}

/// Which cluster this is became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentifiedV1 {
    /// The uid of the namespace `kube-system`.
    pub uid: String,
    /// The server's version.
    pub version: String,
    /// Its address.
    pub server: String,
}

/// The API server could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterLostV1 {
    /// The cause.
    pub error: String,
}

/// The API server can be reached again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFoundV1 {}

/// A kind that the API server serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServedKind {
    /// The kind.
    pub kind: GroupKind,
    /// The version that the server prefers.
    pub version: String,
    /// The resource name in URLs, e.g. `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// Whether greffier watches it.
    pub watched: bool,
}

/// What the API server serves became known or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindsServedV1 {
    /// All kinds, in order.
    pub kinds: Vec<ServedKind>,
    /// Groups whose discovery failed; what they serve is not known.
    pub broken_groups: Vec<String>,
}

/// How a fact about the cluster was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Learned {
    /// From a watch, as it happened.
    Watched,
    /// From a list: it happened some time before.
    Listed,
    /// From the answer to our own write.
    Answered,
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

/// A field manager entry of an object, without its field set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerStamp {
    /// The manager's name: free text set by the client.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// The time that it states, if it does.
    pub time: Option<Timestamp>,
    /// The digest of its field set.
    pub fields: Digest,
}

impl ManagerStamp {
    /// The digest of who owns which fields, in the order of the object. Times are left out: they
    /// move without anything else changing.
    #[must_use]
    pub fn digest_of(stamps: &[Self]) -> Digest {
        let mut bytes = Vec::with_capacity(stamps.len() * 64);
        for stamp in stamps {
            for text in [&stamp.manager, &stamp.operation, &stamp.subresource] {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0);
            }
            bytes.extend_from_slice(&stamp.fields.0);
        }
        Digest::of(&bytes)
    }
}

/// An object of the cluster was seen in a state that differs from the last recorded one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectObservedV1 {
    /// Its key.
    pub key: ObjectKey,
    /// The version it was read in.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its generation; 0 where it has none.
    pub generation: i64,
    /// Whether it was not there before.
    pub added: bool,
    /// How this was learnt.
    pub learned: Learned,
    /// The digest of the normalised object without status and field ownership.
    pub digest: Digest,
    /// The digest of the fields that greffier owns; `None` when it owns none.
    pub owned: Option<Digest>,
    /// The normalised object with field ownership.
    pub object: BlobAddr,
    /// The field managers, in the order of the object.
    pub managers: Vec<ManagerStamp>,
    /// The controlling owner, if it has one: kind, name, uid.
    pub controller: Option<(GroupKind, String, String)>,
    /// Its health by the rules of `health_rules`.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// The version of the health rules.
    pub health_rules: u16,
    /// Whether its deletion was requested.
    pub deleting: bool,
    /// The application whose ownership annotation it bears, if any.
    pub claimed_by: String,
}

/// An object is gone from the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectGoneV1 {
    /// Its key.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// `Watched`: seen as it happened. `Listed`: discovered by a list that no longer shows it.
    pub learned: Learned,
}

/// Every object of a kind has been listed: what is recorded is complete as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindListedV1 {
    /// The kind.
    pub kind: GroupKind,
    /// How many objects there are.
    pub objects: u64,
}

/// A watch was interrupted: changes that were undone within the gap were not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchGapV1 {
    /// The kind.
    pub kind: GroupKind,
    /// Why.
    pub reason: String,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its path, e.g. `.spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// What it was, as JSON; empty = absent. Never a Secret's value.
    pub was: String,
    /// What it is, as JSON; empty = absent. Never a Secret's value.
    pub now: String,
}

/// How an object differs from what greffier applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftKind {
    /// A field that greffier applied has another value or is gone.
    Drift,
    /// The object is gone.
    Deleted,
    /// The values are right but greffier no longer owns them.
    OwnershipLost,
    /// Somebody else added a field.
    Addition,
    /// Nothing differs any more.
    None,
}

/// An object was compared with what greffier applied to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftDetectedV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// What was found.
    pub kind: DriftKind,
    /// The fields, at most 100.
    pub fields: Vec<FieldChange>,
    /// The field managers that changed it, as far as the object tells (claims, not proof).
    pub managers: Vec<ManagerStamp>,
    /// The observation that shows it; its blob keeps the object as it was.
    pub observation: Seq,
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

/// Writes are suspended because something restrains them that is not honoured yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritesSuspendedV1 {
    /// The application.
    pub app: AppName,
    /// What restrains, and what it suspends; empty = nothing any more.
    pub reasons: Vec<String>,
}

/// A deadline that the ledger itself implies was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineReachedV1 {
    /// The deadline.
    pub deadline: Timestamp,
}

/// A person asked for a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequestedV1 {
    /// The application.
    pub app: AppName,
    /// Whether objects that left Git are removed.
    pub prune: bool,
    /// Only these objects; empty = all.
    pub only: Vec<ObjectKey>,
    /// Why, if they said.
    pub reason: String,
}

/// A person paused an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedV1 {
    /// The application.
    pub app: AppName,
    /// When the pause ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
}

/// A pause ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedV1 {
    /// The application.
    pub app: AppName,
    /// Whether it expired, rather than a person ending it.
    pub expired: bool,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($body:ident) = $code:literal, $name:literal;)*) => {
        /// An immutable fact, in the past tense.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $($(#[$doc])* $variant($body),)*
        }

        impl Event {
            /// The kind's code in the ledger, for ever.
            #[must_use]
            pub fn code(&self) -> u16 {
                match self { $(Self::$variant(_) => $code,)* }
            }

            /// The kind's name for people and filters.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Every kind: code, name and the name of its struct.
            pub const KINDS: &'static [(u16, &'static str, &'static str)] =
                &[$(($code, $name, stringify!($body)),)*];

            /// Encodes the body with `encode`, whatever its type is.
            ///
            /// # Errors
            /// What `encode` returns.
            pub fn encode_with<E: BodyEncoder>(&self, encoder: &mut E) -> Result<(), E::Error> {
                match self { $(Self::$variant(body) => encoder.encode(body),)* }
            }

            /// Decodes the body of kind `code`, schema 1; `None` for unknown kinds.
            ///
            /// # Errors
            /// What the decoder returns.
            pub fn decode_with<D: BodyDecoder>(
                code: u16,
                decoder: &D,
            ) -> Result<Option<Self>, D::Error> {
                Ok(Some(match code {
                    $($code => Self::$variant(decoder.decode::<$body>()?),)*
                    _ => return Ok(None),
                }))
            }
        }

        $(impl From<$body> for Event {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        })*
    };
}

/// Writes one body; implemented by the codec.
pub trait BodyEncoder {
    /// Why it could not.
    type Error;
    /// Encodes `body`.
    ///
    /// # Errors
    /// When the body cannot be encoded.
    fn encode<T: Serialize>(&mut self, body: &T) -> Result<(), Self::Error>;
}

/// Reads one body; implemented by the codec.
pub trait BodyDecoder {
    /// Why it could not.
    type Error;
    /// Decodes the body.
    ///
    /// # Errors
    /// When the bytes are not a body of this type.
    fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, Self::Error>;
}

events! {
    /// See [`LedgerCreatedV1`].
    LedgerCreated(LedgerCreatedV1) = 0x0101, "ledger.created";
    /// See [`DaemonStartedV1`].
    DaemonStarted(DaemonStartedV1) = 0x0102, "daemon.started";
    /// See [`DaemonStoppedV1`].
    DaemonStopped(DaemonStoppedV1) = 0x0103, "daemon.stopped";
    /// See [`LedgerRepairedV1`].
    LedgerRepaired(LedgerRepairedV1) = 0x0104, "ledger.repaired";
    /// See [`ConfigLoadedV1`].
    ConfigLoaded(ConfigLoadedV1) = 0x0105, "config.loaded";
    /// See [`CommitRecordedV1`].
    CommitRecorded(CommitRecordedV1) = 0x0201, "git.commit";
    /// See [`RefMovedV1`].
    RefMoved(RefMovedV1) = 0x0202, "git.ref-moved";
    /// See [`HistoryRewrittenV1`].
    HistoryRewritten(HistoryRewrittenV1) = 0x0203, "git.history-rewritten";
    /// See [`HistoryImportedV1`].
    HistoryImported(HistoryImportedV1) = 0x0204, "git.history-imported";
    /// See [`FetchFailedV1`].
    FetchFailed(FetchFailedV1) = 0x0205, "git.fetch-failed";
    /// See [`FetchRecoveredV1`].
    FetchRecovered(FetchRecoveredV1) = 0x0206, "git.fetch-recovered";
    /// See [`AppDeclaredV1`].
    AppDeclared(AppDeclaredV1) = 0x0301, "app.declared";
    /// See [`AppRemovedV1`].
    AppRemoved(AppRemovedV1) = 0x0302, "app.removed";
    /// See [`AppRefusedV1`].
    AppRefused(AppRefusedV1) = 0x0303, "app.refused";
    /// See [`RenderSucceededV1`].
    RenderSucceeded(RenderSucceededV1) = 0x0310, "render.succeeded";
    /// See [`RevisionAdvancedV1`].
    RevisionAdvanced(RevisionAdvancedV1) = 0x0311, "render.unchanged";
    /// See [`RenderFailedV1`].
    RenderFailed(RenderFailedV1) = 0x0312, "render.failed";
    /// See [`AppHealthChangedV1`].
    AppHealthChanged(AppHealthChangedV1) = 0x0320, "app.health";
    /// See [`PlanGatedV1`].
    PlanGated(PlanGatedV1) = 0x0401, "plan.gated";
    /// See [`GateLapsedV1`].
    GateLapsed(GateLapsedV1) = 0x0402, "plan.lapsed";
    /// See [`PlanApprovedV1`].
    PlanApproved(PlanApprovedV1) = 0x0403, "plan.approved";
    /// See [`WritesSuspendedV1`].
    WritesSuspended(WritesSuspendedV1) = 0x0404, "plan.suspended";
    /// See [`DriftDetectedV1`].
    DriftDetected(DriftDetectedV1) = 0x0410, "drift.detected";
    /// See [`IntentRecordedV1`].
    IntentRecorded(IntentRecordedV1) = 0x0420, "apply.intent";
    /// See [`OutcomeRecordedV1`].
    OutcomeRecorded(OutcomeRecordedV1) = 0x0421, "apply.outcome";
    /// See [`IntentSettledV1`].
    IntentSettled(IntentSettledV1) = 0x0422, "apply.settled";
    /// See [`SyncFinishedV1`].
    SyncFinished(SyncFinishedV1) = 0x0423, "sync.finished";
    /// See [`ClusterIdentifiedV1`].
    ClusterIdentified(ClusterIdentifiedV1) = 0x0501, "cluster.identified";
    /// See [`ClusterLostV1`].
    ClusterLost(ClusterLostV1) = 0x0502, "cluster.lost";
    /// See [`ClusterFoundV1`].
    ClusterFound(ClusterFoundV1) = 0x0503, "cluster.found";
    /// See [`KindsServedV1`].
    KindsServed(KindsServedV1) = 0x0504, "cluster.kinds";
    /// See [`ObjectObservedV1`].
    ObjectObserved(ObjectObservedV1) = 0x0510, "object.observed";
    /// See [`ObjectGoneV1`].
    ObjectGone(ObjectGoneV1) = 0x0511, "object.gone";
    /// See [`KindListedV1`].
    KindListed(KindListedV1) = 0x0512, "cluster.listed";
    /// See [`WatchGapV1`].
    WatchGap(WatchGapV1) = 0x0513, "watch.gap";
    /// See [`DeadlineReachedV1`].
    DeadlineReached(DeadlineReachedV1) = 0x0601, "deadline.reached";
    /// See [`SyncRequestedV1`].
    SyncRequested(SyncRequestedV1) = 0x0701, "operator.sync";
    /// See [`PausedV1`].
    Paused(PausedV1) = 0x0702, "operator.pause";
    /// See [`ResumedV1`].
    Resumed(ResumedV1) = 0x0703, "operator.resume";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique() {
        let mut codes: Vec<_> = Event::KINDS.iter().map(|(code, _, _)| code).collect();
        let mut names: Vec<_> = Event::KINDS.iter().map(|(_, name, _)| name).collect();
        codes.sort();
        codes.dedup();
        names.sort();
        names.dedup();
        assert_eq!((codes.len(), names.len()), (Event::KINDS.len(), Event::KINDS.len()));
    }
}
