//! What is known of the cluster: kinds, live objects, what greffier applied, open intents.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::deletions::CountedFor;
use super::identity::Identity;
use crate::ledger::event::{ApplyNotes, Health, ServedKind, Write};
use crate::model::{
    AppName, BlobAddr, Digest, GroupKind, Mask, ObjectKey, Protection, Seq, Timestamp,
};

/// The cluster as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// The uid of `kube-system` in the cluster that answers; empty until known.
    pub uid: String,
    /// Which cluster is kept: not the one that answers, perhaps.
    pub identity: Identity,
    /// The server's version.
    pub version: String,
    /// The server's address.
    pub server: String,
    /// Why it cannot be reached, while it cannot.
    pub lost: Option<String>,
    /// The kinds it serves.
    pub kinds: BTreeMap<GroupKind, ServedKind>,
    /// The kinds that have been listed since the daemon started. Absence means something only
    /// for these.
    pub listed: BTreeSet<GroupKind>,
    /// Whether every kind was listed since the daemon started, or could not be: what was recorded
    /// before was looked at again as far as that is possible.
    pub seen: bool,
    /// The groups whose discovery failed: nobody knows what they serve.
    pub broken_groups: BTreeSet<String>,
    /// Single objects of kinds that are not watched which were looked for since the daemon
    /// started, and are watched since.
    pub named: BTreeSet<ObjectKey>,
    /// Why objects of a kind cannot be seen, where the API server refuses to show them.
    pub refused: BTreeMap<GroupKind, String>,
    /// Since when every observation follows on from the one before: what came earlier may be of
    /// another cluster, or of this one before it was restored from a copy, which sets resource
    /// versions back.
    pub since: Seq,
    /// The same for single kinds whose watch was interrupted later.
    pub interrupted: BTreeMap<GroupKind, Seq>,
    /// The kinds whose API said that it has no server-side apply, since the daemon started.
    pub no_apply: BTreeSet<GroupKind>,
}

impl ClusterState {
    /// Whether what is recorded about objects of `kind` is complete.
    #[must_use]
    pub fn is_listed(&self, kind: &GroupKind) -> bool {
        self.listed.contains(kind)
    }

    /// Whether what is recorded about the object is complete: its absence means something.
    #[must_use]
    pub fn is_known(&self, key: &ObjectKey) -> bool {
        self.is_listed(&key.group_kind()) || self.named.contains(key)
    }

    /// Whether it is not known yet whether the object is there, and will be.
    #[must_use]
    pub fn will_be_known(&self, key: &ObjectKey) -> bool {
        let kind = key.group_kind();
        let watchable = self.kinds.get(&kind).is_some_and(|served| served.watchable);
        !self.is_known(key) && watchable && !self.refused.contains_key(&kind)
    }

    /// Nothing that was observed so far is certain any more.
    pub(super) fn begin(&mut self, seq: Seq) {
        self.since = seq;
        self.interrupted.clear();
        self.listed.clear();
        self.seen = false;
        self.named.clear();
        self.refused.clear();
        self.no_apply.clear();
    }

    /// How many kinds have not been listed since the daemon started, although they can be.
    #[must_use]
    pub fn unseen_kinds(&self) -> usize {
        let served = self.kinds.values().filter(|served| served.watched && served.watchable);
        let unseen = served.filter(|served| {
            let kind = &served.kind;
            !self.is_listed(kind)
                && !self.refused.contains_key(kind)
                && !self.interrupted.contains_key(kind)
                && !self.broken_groups.contains(&kind.group)
        });
        unseen.count()
    }

    /// Notes whether everything was seen again; whether it is so from here on.
    pub(super) fn see(&mut self) -> bool {
        let seen = !self.seen && self.unseen_kinds() == 0;
        self.seen |= seen;
        seen
    }

    /// Since when resource versions of objects of `kind` tell what is newer.
    #[must_use]
    pub fn ordered_since(&self, kind: &GroupKind) -> Seq {
        self.interrupted.get(kind).map_or(self.since, |seq| self.since.max(*seq))
    }
}

/// An object as last seen. Digests and addresses only: the object itself is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveObject {
    /// The version it was read in.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// The digest of the normalised object without status and field ownership.
    pub digest: Digest,
    /// Whether it is known only from the answer to our own write: what a controller makes of the
    /// write is not seen yet, so its health ends no wave.
    pub answered: bool,
    /// Whether the observer has told of this very object, at whatever version: then it will tell
    /// when it is gone.
    pub shown: bool,
    /// The digest of the fields that greffier owns.
    pub owned: Option<Digest>,
    /// The normalised object with field ownership.
    pub object: BlobAddr,
    /// Its `status` of then.
    pub status: Option<BlobAddr>,
    /// The images that its containers run, digested; `None` where none are known.
    pub images: Option<Box<Digest>>,
    /// The field managers and the digests of their field sets, digested.
    pub managers: Digest,
    /// Its health.
    pub health: Health,
    /// What the health rests on.
    pub health_message: String,
    /// The uid of its controlling owner; empty when it has none.
    pub controller: String,
    /// What its annotations say about its removal.
    pub protection: Protection,
    /// The other GitOps manager that it shows, in words; empty when none.
    pub managed_by: Box<str>,
    /// The object whose replicas belong to it, where it is an autoscaler.
    pub scales: Option<Box<ObjectKey>>,
    /// Whether its deletion was requested.
    pub deleting: bool,
    /// The event that says so.
    pub seq: Seq,
    /// When that was recorded.
    pub seen: Timestamp,
}

impl LiveObject {
    /// Whether both say the same of the same object in everything whose change is worth an
    /// observation: the observer, which has told of one, does not tell of the other.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said =
            |live: &Self| (live.digest, live.owned, live.managers, live.health, live.deleting);
        self.uid == other.uid
            && said(self) == said(other)
            && self.images == other.images
            && self.health_message == other.health_message
    }
}

/// How an object came to be greffier's: the event that tells its first apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    /// greffier made it.
    Here(Seq),
    /// It was there already.
    Found(Seq),
}

impl Made {
    /// Since when it is greffier's.
    #[must_use]
    pub fn since(self) -> Seq {
        let (Self::Here(seq) | Self::Found(seq)) = self;
        seq
    }

    /// Whether it was there at the end of event `at`.
    #[must_use]
    pub fn is_older_than(self, at: Seq) -> bool {
        match self {
            Self::Here(made) => made <= at,
            Self::Found(_) => true,
        }
    }
}

/// What greffier last applied to an object. The entry is what makes an object greffier's own: an
/// object without one is never pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The application that owns it.
    pub app: AppName,
    /// The version it was applied in.
    pub version: String,
    /// The digest of the manifest that was applied; zero once its deletion was begun, so that
    /// its absence is not taken for somebody else's doing, and when the application that applied
    /// it was removed and left it to this one.
    pub applied: Digest,
    /// The events that began the holds which were laid over that manifest.
    pub holds: Vec<Seq>,
    /// The digest of the owned fields as the apply returned them.
    pub baseline: Digest,
    /// The object as the apply returned it.
    pub object: BlobAddr,
    /// Its uid.
    pub uid: String,
    /// Its resource version after the apply.
    pub resource_version: String,
    /// Whether greffier made it, for whichever application, and since when it has it.
    pub made: Made,
    /// `spec.replicas` as applied, to notice a scaling to zero.
    pub replicas: Option<u32>,
    /// Why it is never removed, whatever its annotations say: the namespace that comes with an
    /// option; empty = it may be.
    pub keep: Vec<String>,
    /// What was not Git's in the apply: there the live values were sent back.
    pub respected: Mask,
    /// Until when a write that nobody saw made may have been made, if there is one since.
    pub unseen: Option<Timestamp>,
    /// What else the apply told.
    pub notes: ApplyNotes,
    /// The outcome event.
    pub seq: Seq,
}

/// A write of an open intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWrite {
    /// The write.
    pub write: Write,
    /// What it ended with, if that leaves its fate unknown.
    pub unknown: Option<String>,
    /// Whether it counts as a deletion of its commit.
    pub deletes: bool,
    /// `spec.replicas` of its manifest.
    pub replicas: Option<u32>,
    /// Why the object is never removed; empty = it may be.
    pub keep: Vec<String>,
    /// The uid of an object that went away while the write was open; empty = none did.
    pub gone: String,
    /// When greffier wrote the object, by what it showed while the write was open.
    pub shown: Option<Timestamp>,
}

/// An intent some of whose writes have no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIntent {
    /// The application.
    pub app: AppName,
    /// What its deletions count for, if they count.
    pub counted: Option<CountedFor>,
    /// The writes without an outcome, by index.
    pub writes: BTreeMap<u32, OpenWrite>,
    /// Until when its requests may be sent, and may still be carried out.
    pub deadline: Timestamp,
    /// Whether it was recorded by an earlier run of the daemon, or before another cluster answered:
    /// nothing more of it is sent.
    pub orphaned: bool,
}

/// Whether resource version `a` is certainly older than `b`. Resource versions are compared as
/// numbers, as the API server's own are (KEP-5504); anything else is not ordered.
#[must_use]
pub fn rv_older(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => false,
    }
}
