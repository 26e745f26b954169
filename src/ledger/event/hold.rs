//! What a person decided to keep as it is, against Git, until it is released.

use serde::{Deserialize, Serialize};

use super::application::{DesiredObject, RevisionRef};
use super::write::{FieldChange, Write};
use crate::model::{
    AppName, BlobAddr, CommitId, Digest, GroupKind, ObjectKey, PlanHash, Seq, Timestamp,
};

/// Fields of one object, as somebody set them by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFields {
    /// The object.
    pub key: ObjectKey,
    /// The object as it was found, or a manifest: the values are in it.
    pub saved: BlobAddr,
    /// Whether `saved` is a manifest, as it was wanted at an earlier instant.
    pub of_manifest: bool,
    /// Where the fields are: the edges of a field set that lead to each.
    pub places: Vec<Vec<String>>,
    /// The fields for people: `was` before, `now` as they are held.
    pub fields: Vec<FieldChange>,
}

/// An object as a whole, as it was at an earlier instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldObject {
    /// What is wanted of it, whatever Git says.
    pub object: DesiredObject,
    /// Whether it is as it was seen in the cluster then, rather than as it was wanted.
    pub seen: bool,
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldOf {
    /// Fields of an object keep the values that they were given by hand.
    Fields(HeldFields),
    /// An object that was deleted by hand stays absent.
    Absence(ObjectKey),
    /// An object is as it was, also where Git does not have it any more.
    Object(Box<HeldObject>),
}

impl HoldOf {
    /// The object.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Fields(fields) => &fields.key,
            Self::Absence(key) => key,
            Self::Object(held) => &held.object.key,
        }
    }
}

/// What a person went back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackTo {
    /// What somebody changed by hand, as this event found it.
    Drift(Seq),
    /// What was as of this event.
    Instant(Seq),
    /// What was before this event, which is undone.
    Undone(Seq),
}

impl BackTo {
    /// The event.
    #[must_use]
    pub const fn seq(self) -> Seq {
        match self {
            Self::Drift(seq) | Self::Instant(seq) | Self::Undone(seq) => seq,
        }
    }
}

/// A person holds something as it is, whatever Git says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldBegunV1 {
    /// The application.
    pub app: AppName,
    /// What is held.
    pub of: Vec<HoldOf>,
    /// What it goes back to.
    pub from: BackTo,
    /// When the hold ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
}

/// Holds ended: what they held follows Git again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEndedV1 {
    /// The application.
    pub app: AppName,
    /// The objects whose holds they are.
    pub objects: Vec<ObjectKey>,
    /// The events that began them.
    pub holds: Vec<Seq>,
    /// Why.
    pub end: HoldEnd,
}

/// What was in force of an application at an earlier instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRender {
    /// The render event.
    pub seq: Seq,
    /// The definition that was rendered.
    pub declared: Seq,
    /// The commit that it stood for.
    pub revision: RevisionRef,
    /// The commit that it was rendered at.
    pub rendered: CommitId,
    /// The commits of every source, in order.
    pub revisions: Vec<RevisionRef>,
    /// The digest of every input.
    pub inputs: Digest,
    /// The digest of what Git and the definition said of them.
    pub sources: Digest,
    /// What has a version and the render depended on.
    pub made_with: Vec<(String, String)>,
    /// The objects in order of their keys.
    pub objects: Vec<DesiredObject>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Kinds whose scope was a guess.
    pub unknown_kinds: Vec<GroupKind>,
}

/// What a person was shown that would wait at the gate, and allowed with the rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldApproval {
    /// The hash of what each write rests on.
    pub plan: PlanHash,
    /// The writes.
    pub writes: Vec<Write>,
    /// The applications that are removed.
    pub apps: Vec<AppName>,
}

/// What an image that is named by a tag stood for at the instant of a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// The object.
    pub key: ObjectKey,
    /// The container; empty where it has no name.
    pub container: String,
    /// The image as the manifest of then names it.
    pub image: String,
    /// What pods of the object ran then, as digests; several = not all the same, none = unknown.
    pub was: Vec<String>,
    /// What pods have run last under that name; empty = unknown.
    pub latest: String,
    /// The image as what is held names it: by its digest; empty = by its tag.
    pub pinned: String,
}

/// An application was rolled back to an earlier instant and is held there, by a person or its rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHeldV1 {
    /// The application.
    pub app: AppName,
    /// The application that was rolled back with everything below it, this one included; `None` =
    /// this one alone was.
    pub tree: Option<AppName>,
    /// The last event of the instant.
    pub to: Seq,
    /// The time of the instant.
    pub at: Timestamp,
    /// How the person named the instant.
    pub said: String,
    /// What was in force then and is from now on. Folds read no earlier events.
    pub desired: HeldRender,
    /// What could not be restored and was left as it was, as the person asked.
    pub left: Vec<ObjectKey>,
    /// Images that are named by their digests, and tags that moved or of which it is unknown.
    pub images: Vec<HeldImage>,
    /// What was allowed with it.
    pub approves: Option<HeldApproval>,
    /// When the hold ends by itself.
    pub until: Option<Timestamp>,
    /// Why, if they said.
    pub reason: String,
    /// What its rule rolled it back for; `None` = a person did.
    pub automatic: Option<Box<AutoRollback>>,
}

/// What an application is rolled back for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackCause {
    /// It turned Degraded while the render was on trial.
    Degraded,
    /// It was not Healthy when the trial ended.
    NotHealthy,
}

/// What a rule rolls an application back from, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRollback {
    /// Why.
    pub why: RollbackCause,
    /// The render.
    pub render: Seq,
    /// Its commit.
    pub commit: CommitId,
    /// The digest of what it asks for.
    pub asked: Digest,
    /// The event by which the application turned Degraded.
    pub health: Option<Seq>,
    /// What its health rests on.
    pub message: String,
    /// How long after the first write of the render, in milliseconds.
    pub after_ms: u64,
}

/// An application that its rule would roll back is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRollbackRefusedV1 {
    /// The application.
    pub app: AppName,
    /// What it would be rolled back from, and why.
    pub from: AutoRollback,
    /// Why it is not.
    pub reasons: Vec<String>,
}

/// Why an application is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldEnd {
    /// A person released it.
    Released,
    /// Its time is over.
    Expired,
    /// Git says what is held.
    SameAsGit,
    /// Git says something else than what a rule rolled back from; of a hold of an object: no
    /// application has the object in Git any more.
    NewerInGit,
}

/// An application is not held any more: it follows Git again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHoldEndedV1 {
    /// The application.
    pub app: AppName,
    /// The event that began it.
    pub hold: Seq,
    /// Why.
    pub end: HoldEnd,
    /// Holds of its objects that end with it: the events that began them.
    pub holds: Vec<Seq>,
}
