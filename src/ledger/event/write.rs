//! What is planned, gated, written, and found to differ.

use serde::{Deserialize, Serialize};

use super::application::Health;
use super::cluster::ManagerStamp;
use crate::model::{
    AppName, BlobAddr, CommitId, Digest, Mask, ObjectKey, PlanHash, Protection, Seq, Timestamp,
};

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
    /// The object was there before greffier, which applies to it for the first time.
    Adopt,
    /// The fields of whoever wrote the object before greffier become greffier's own, so that
    /// what leaves Git later goes.
    TakeOver,
    /// The object is deleted so that it can be created anew (`Replace=true` with `Force=true`).
    Recreate,
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
            Self::Adopt => "adopt",
            Self::TakeOver => "take over",
            Self::Recreate => "recreate",
            Self::Prune => "prune",
        }
    }
}

/// How a manifest is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Server-side apply.
    #[default]
    Apply,
    /// The whole object is replaced, or created: `Replace=true`, or an API without server-side
    /// apply.
    Replace,
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
    /// How the manifest is sent.
    pub method: Method,
    /// Whether the API server refuses what it does not know (`Validate=false` switches it off).
    pub validate: bool,
    /// For a deletion or a takeover: the uid and resource version of the object that was decided
    /// about. The uid binds whatever happens. Where nothing but the status has moved since, the
    /// request names the resource version in which the object was read again and found the same.
    pub precondition: Option<(String, String)>,
    /// What is sent as it is live instead of as the manifest has it
    /// (`RespectIgnoreDifferences=true`).
    pub respect: Mask,
    /// For a takeover: whether what people added by hand is taken over too, so that it goes.
    pub strict: bool,
    /// What the try before this one ended with; empty = it is the first.
    pub failed_before: String,
    /// The events that began the holds which are laid over the manifest.
    pub holds: Vec<Seq>,
    /// Why, as words for a person.
    pub reason: String,
}

impl Write {
    /// A write of which nothing particular is to be said: without a manifest, by an apply that is
    /// validated, bound to nothing.
    #[must_use]
    pub fn plain(verb: Verb, key: ObjectKey, version: &str, reason: &str) -> Self {
        Self {
            verb,
            key,
            version: version.to_owned(),
            manifest: None,
            digest: Digest::default(),
            method: Method::Apply,
            validate: true,
            precondition: None,
            respect: Mask::default(),
            strict: false,
            failed_before: String::new(),
            holds: Vec::new(),
            reason: reason.to_owned(),
        }
    }
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
    /// The digest of the inputs of the render that waits with it, if one does: an approval puts
    /// that render in force.
    pub render: Option<Digest>,
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

/// Objects are to be removed whose annotations or options ask for a confirmation first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalAwaitedV1 {
    /// The application.
    pub app: AppName,
    /// Everything that it concerns now, confirmed or not, in the order of the keys; empty =
    /// nothing any more. What is new in the list is planned since this event: an approval of
    /// deletions on the Application must not be older.
    pub objects: Vec<ObjectKey>,
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
    /// For how long after this event was recorded its requests may be sent and carried out, in
    /// milliseconds: the API server is told what is left of it with each. What was not sent by
    /// then is not sent any more.
    pub timeout_ms: u32,
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
    /// The API of the object has no server-side apply: it is replaced as a whole instead.
    Unsupported(String),
    /// The request was sent and its fate is not known.
    Unknown(String),
    /// It was not sent: its time ran out, it was withdrawn, or the daemon stopped. As a settlement:
    /// the cluster does not show it, and nothing can arrive any more.
    NotSent(String),
    /// Nothing was written: the object that was to be written over is not there, as a look at the
    /// cluster showed afterwards.
    Gone(String),
    /// As a settlement: the object is not as the write would have left it, and says that greffier
    /// wrote it otherwise, at this time: another write did, or something changed what was sent.
    Another(Timestamp),
}

impl WriteResult {
    /// What [`WriteResult::Another`] means, in words.
    pub const ANOTHER: &str = "the object is not as the write would have left it";
}

/// What is worth knowing of a write beside its result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyNotes {
    /// Sent fields that came back otherwise: `was` is what was sent, `now` what was admitted.
    pub admitted: Vec<FieldChange>,
    /// Managers who wrote the object before greffier and own fields that become greffier's.
    pub co_owners: Vec<String>,
    /// Whether greffier owns fields that it did not send: the next apply removes them.
    pub surplus: bool,
    /// Fields that left the manifest and stay, because others own them too: the path, and who.
    pub left: Vec<(String, Vec<String>)>,
    /// Fields that people set by hand beside those that greffier applies: the path, and with what.
    pub by_hand: Vec<(String, Vec<String>)>,
    /// When greffier applied to the object last, as the answer states; `None` where it owns nothing.
    pub written: Option<Timestamp>,
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
    /// What the annotations of the returned object say about its removal.
    pub protection: Protection,
    /// What else is worth knowing.
    pub notes: Box<ApplyNotes>,
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
    /// The request that it ends, if a person asked.
    pub request: Option<Seq>,
    /// The approval that was carried out, if there was one.
    pub approval: Option<Seq>,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    #[default]
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
    /// Where each of them is: the edges of a field set that lead to it. Empty where that is not
    /// known: of objects that were applied by replacing them.
    pub places: Vec<Vec<String>>,
    /// The field managers that changed it, as far as the object tells (claims, not proof).
    pub managers: Vec<ManagerStamp>,
    /// The observation that shows it. Of a deletion: the last event that was recorded when it was
    /// found, whatever that is about.
    pub observation: Seq,
    /// The digest of what was ignored in the comparison; zero = nothing.
    pub mask: Digest,
    /// The object as it was found, saved before it is put back; `None` when it was gone.
    pub saved: Option<BlobAddr>,
    /// When greffier wrote to the object last, by the object's own word, where that is later
    /// than what it was compared with.
    pub later: Option<Timestamp>,
}

/// What an apply would make of an object, as the API server said in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preview {
    /// Nothing: the object is as the manifest says already.
    Same,
    /// It would change these fields, at most 100: `was` is the cluster, `now` what the apply
    /// would make of it.
    Changes(Vec<FieldChange>),
    /// The API server refuses the apply for good.
    Refused(String),
    /// The API server could not be asked; it may be later.
    Failed(String),
}

/// The API server was asked what an apply would make of an object that greffier has not applied
/// as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPreviewedV1 {
    /// The application.
    pub app: AppName,
    /// The object.
    pub key: ObjectKey,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The uid of the live object.
    pub uid: String,
    /// The digest of the live object, without status and field ownership.
    pub live: Digest,
    /// The digest of what was ignored in the comparison; zero = nothing.
    pub mask: Digest,
    /// What the API server said.
    pub result: Preview,
}

/// Writes are suspended because something restrains them that is not honoured yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritesSuspendedV1 {
    /// The application.
    pub app: AppName,
    /// What restrains, and what it suspends; empty = nothing any more.
    pub reasons: Vec<String>,
}
