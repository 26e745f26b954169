//! What is seen of the cluster.

use serde::{Deserialize, Serialize};

use super::application::Health;
use crate::model::{
    BlobAddr, Digest, FIELD_MANAGER, GroupKind, ObjectKey, Protection, Scope, Timestamp,
};

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
    /// Whether greffier watches all its objects.
    pub watched: bool,
    /// Whether its objects can be watched at all.
    pub watchable: bool,
}

#[cfg(test)]
impl ServedKind {
    /// A kind of namespaced objects that is watched, in version `v1`.
    pub(crate) fn plain(kind: GroupKind, plural: &str) -> Self {
        let (version, plural) = ("v1".into(), plural.into());
        Self { kind, version, plural, scope: Scope::Namespaced, watched: true, watchable: true }
    }
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
    /// Whether it is that of what greffier applied. A client that calls itself greffier and does not
    /// apply has an entry of its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.manager == FIELD_MANAGER && self.operation == "Apply" && self.subresource.is_empty()
    }

    /// The digest of who owns which fields, in the order of the object. Times are left out: they
    /// move without anything else changing.
    #[must_use]
    pub fn digest_of<'a>(stamps: impl IntoIterator<Item = &'a Self>) -> Digest {
        let mut bytes = Vec::with_capacity(256);
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

/// An image that a container of a pod runs, as its node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// The container.
    pub container: String,
    /// The image as the pod names it.
    pub image: String,
    /// What that is (`imageID`): `REPOSITORY@sha256:…`, or an id that the node alone knows.
    pub id: String,
}

impl PulledImage {
    /// The digest of all of them; `None` of none.
    #[must_use]
    pub fn digest_of(images: &[Self]) -> Option<Digest> {
        let mut bytes = Vec::with_capacity(128);
        for text in images.iter().flat_map(|pulled| [&pulled.container, &pulled.image, &pulled.id])
        {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        (!bytes.is_empty()).then(|| Digest::of(&bytes))
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
    /// Its `status`, as canonical JSON; `None` where it has none or where it is too large. What
    /// moves in it alone is no observation, but for the health and the images: it is the status of
    /// the moment.
    pub status: Option<BlobAddr>,
    /// The images that its containers run, as far as its node has said, where it is a pod.
    pub images: Vec<PulledImage>,
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
    /// What its annotations say about its removal.
    pub protection: Protection,
    /// The other GitOps manager that it shows, in words; empty when none.
    pub managed_by: String,
    /// The object whose replicas belong to it, where it is an autoscaler.
    pub scales: Option<Box<ObjectKey>>,
}

#[cfg(test)]
impl ObjectObservedV1 {
    /// A version of a healthy object that a watch showed and of which nothing particular is to be
    /// said; its content is empty.
    pub(crate) fn plain(key: ObjectKey, uid: &str, resource_version: &str) -> Self {
        Self {
            key,
            version: "v1".into(),
            uid: uid.into(),
            resource_version: resource_version.into(),
            generation: 1,
            added: false,
            learned: Learned::Watched,
            digest: Digest::default(),
            owned: None,
            object: BlobAddr::default(),
            status: None,
            images: Vec::new(),
            managers: Vec::new(),
            controller: None,
            health: Health::Healthy,
            health_message: String::new(),
            health_rules: 1,
            deleting: false,
            claimed_by: String::new(),
            protection: Protection::default(),
            managed_by: String::new(),
            scales: None,
        }
    }
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

/// Every object of a kind has been listed, or, of a kind that is not watched, everything that was
/// asked for by name: what is recorded is complete as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindListedV1 {
    /// The kind.
    pub kind: GroupKind,
    /// How many objects there are.
    pub objects: u64,
    /// The resource version of the list.
    pub resource_version: String,
    /// What was asked for by name; empty = every object of the kind.
    pub named: Vec<ObjectKey>,
}

/// A watch was interrupted: changes that were undone within the gap were not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchGapV1 {
    /// The kind.
    pub kind: GroupKind,
    /// Why.
    pub reason: String,
    /// Whether the API server refuses to show the kind, so that nothing of it can be seen.
    pub refused: bool,
}
