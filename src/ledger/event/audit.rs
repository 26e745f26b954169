//! What the API server's audit says about requests that write.
//!
//! Source of the terms: `audit.k8s.io/v1` Event. What a client can choose (user agent, field
//! manager, the audit id, all addresses but the last) is recorded as its claim and never as
//! evidence of who it was.

use serde::{Deserialize, Serialize};

use crate::model::{ObjectKey, Timestamp};

/// How much of a request the API server's audit policy has it record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuditLevel {
    /// Who, when and what, without bodies.
    Metadata,
    /// With the body of the request.
    Request,
    /// With the bodies of the request and the response: the resulting resource version is known.
    RequestResponse,
}

/// A user as the API server authenticated it, or as an authenticated user asked to act.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditUser {
    /// The name, e.g. `alice` or `system:serviceaccount:prod:deployer`.
    pub name: String,
    /// The uid; empty where the authenticator gives none.
    pub uid: String,
    /// The groups, at most 32.
    pub groups: Vec<String>,
    /// Which credential it was (`authentication.kubernetes.io/credential-id`), e.g. `JTI=…` or
    /// `X509SHA256=…`; empty where it is not told.
    pub credential: String,
    /// For a service account's token: the pod that it was issued to (`namespace/name`), or empty.
    pub pod: String,
}

/// Which fields of an object a request can have set by itself, by the body of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditReach {
    /// The body is not in the record, or is not understood.
    Unknown,
    /// The request replaces or creates the whole object, or deletes it.
    Whole,
    /// These fields and what is below them, in order, each once, at most 256: paths such as
    /// `.spec.replicas`, `.data[web.conf]`, with `[]` for every item of a list. Of a Secret the
    /// keys, no values.
    Fields(Vec<String>),
    /// A server-side apply: these fields and what is below them, and besides it can have removed
    /// any field that its manager had set before and left out now.
    Applied(Vec<String>),
}

/// The API server recorded that it carried out a request which writes, at the end of the request
/// (stage `ResponseComplete`). Reads, dry runs and refused requests are not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReceivedV1 {
    /// The audit id. A client may choose it, so it proves nothing by itself; at most 128 bytes,
    /// longer ones are cut.
    pub audit_id: String,
    /// How much was recorded.
    pub level: AuditLevel,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The object; the name is empty for a `deletecollection` and for a creation by
    /// `generateName` whose answer is not in the record. A `deletecollection` whose answer is
    /// there is one event for each object that it names.
    pub key: ObjectKey,
    /// The subresource, e.g. `scale`; empty for the object itself.
    pub subresource: String,
    /// The user who was authenticated.
    pub user: Box<AuditUser>,
    /// The user as whom it acted, if it impersonated one.
    pub impersonated: Option<Box<AuditUser>>,
    /// The address of the last hop, the only one that the API server saw itself.
    pub source_ip: String,
    /// What the client calls itself: a claim. At most 256 bytes.
    pub user_agent: String,
    /// The field manager that the request names: a claim. Empty when it names none.
    pub field_manager: String,
    /// The status code of the response.
    pub code: u16,
    /// When the API server received the request, by its clock.
    pub received: Timestamp,
    /// When it had answered.
    pub completed: Timestamp,
    /// The uid of the object, from the response or the reference; empty when neither tells.
    pub uid: String,
    /// The resource version of the object that the response shows; empty when it is not in the
    /// record. Of a deletion, that of the object which is marked for it; empty where the object
    /// was removed at once, since what is shown then is as another request had left it.
    pub resource_version: String,
    /// Which fields the request can have set.
    pub reach: AuditReach,
    /// Mutating webhooks that changed the request, as the record's annotations name them
    /// (`configuration/webhook`), at most 16.
    pub webhooks: Vec<String>,
    /// How a deletion treats dependents (`Background`, `Foreground`, `Orphan`); empty when the
    /// record does not tell.
    pub propagation: String,
}

/// Audit records were read up to here. Comes after what it covers, in the same append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReadV1 {
    /// The file's path, or `webhook`.
    pub source: String,
    /// Which file it is: device and inode; 0 for the webhook.
    pub file: (u64, u64),
    /// The offset behind the last whole line that was read, in bytes; 0 for the webhook.
    pub offset: u64,
    /// How many records were read since the event before this one.
    pub records: u64,
    /// How many of them were recorded as `audit.received`.
    pub recorded: u64,
    /// How many requests that write had been recorded before, from this source or another.
    pub duplicates: u64,
    /// How many wrote to the `status` of an object, which is not recorded.
    pub status: u64,
    /// How many wrote to something whose kind is not known: they are not recorded.
    pub unknown: u64,
    /// The end of the newest request that was read so far, by the API server's clock.
    pub newest: Option<Timestamp>,
    /// When the end of the file was seen, by this machine's clock: what was written to it by then
    /// is read. `None` where there was more, and of the webhook.
    pub end: Option<Timestamp>,
}

/// What may be wrong with the audit records that reach greffier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuditTrouble {
    /// The file cannot be read, or is not there.
    Unreadable,
    /// The file became shorter than what was read of it: records may be lost.
    Truncated,
    /// The file that was read last is not found any more, or posts to the webhook were too large:
    /// records may be lost.
    Lost,
    /// Lines or posts that are no audit records.
    Malformed,
    /// A post to the webhook was refused: its sender is not known, or it is none of records.
    Refused,
    /// Nothing is wrong any more.
    Over,
}

/// Something is wrong with the audit records, or is right again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTroubledV1 {
    /// The file's path, or `webhook`.
    pub source: String,
    /// What.
    pub trouble: AuditTrouble,
    /// The particulars, for a person; never what a record says.
    pub what: String,
    /// How many lines, records or posts it concerns; 0 where that is not known.
    pub count: u64,
}
