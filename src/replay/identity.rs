//! Which cluster the ledger keeps, and what is known while another one answers.
//!
//! A cluster has one name of itself, the uid of `kube-system`, and one clock, its revision, which
//! only rises. Another uid under the address is another cluster; a revision that fell is the same
//! one, restored from a backup. Either is a *doubt*: until a person says that this cluster is the
//! one to be kept, nothing is written, and nothing that is absent counts as deleted.
//!
//! What is seen from the doubt on is of the cluster that answers, and begins anew. What was applied
//! stays known: if the former cluster answers again, all of it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster::{ClusterState, Owned};
use super::world::{Touched, World};
use crate::ledger::event::{
    ClusterAcceptedV1, ClusterIdentifiedV1, ClusterReplacedV1, ClusterRevertedV1, Event,
};
use crate::model::{Digest, GroupKind, ObjectKey, Seq, Timestamp};

/// Bound: how many former clusters are remembered; the ledger has the rest.
const FORMERS_MAX: usize = 16;

/// The highest revision of each kind that was observed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revisions(BTreeMap<GroupKind, u64>);

impl Revisions {
    /// Notes a resource version. One that is no number says nothing.
    pub fn note(&mut self, kind: &GroupKind, resource_version: &str) {
        let Ok(revision) = resource_version.parse::<u64>() else { return };
        match self.0.get_mut(kind) {
            Some(highest) => *highest = revision.max(*highest),
            None => drop(self.0.insert(kind.clone(), revision)),
        }
    }

    /// The kinds of which more than `revision` was observed, the furthest first. Not every kind
    /// needs to be counted like that: an API may have a store of its own.
    #[must_use]
    pub fn beyond(&self, revision: u64) -> Vec<(GroupKind, u64)> {
        let beyond = self.0.iter().filter(|(_, highest)| **highest > revision);
        let mut beyond: Vec<_> = beyond.map(|(kind, highest)| (kind.clone(), *highest)).collect();
        beyond.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        beyond
    }
}

/// Which cluster is kept, and whether it is the one that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The uid of the cluster that is kept: the first that was identified, or the one that was
    /// accepted last. Empty = none yet.
    pub kept: String,
    /// Since which event.
    pub since: Seq,
    /// When that was.
    pub since_at: Timestamp,
    /// Since which event the kept cluster goes on from a backup: what was applied before has to be
    /// applied again.
    pub resumed: Seq,
    /// The last time that a person accepted a cluster.
    pub accepted: Seq,
    /// Whether what is there was ever forgotten and seen anew: of what nobody knew to be there
    /// nobody says that it is gone.
    pub anew: bool,
    /// The clusters that were kept before, oldest first.
    pub formers: Vec<Former>,
    /// Another cluster answers.
    pub other: Option<Other>,
    /// The kept cluster was restored from a backup.
    pub reverted: Option<Reverted>,
    /// How far the cluster that answers was observed.
    pub revisions: Revisions,
    /// The same of the kept one, while another answers.
    pub kept_revisions: Revisions,
}

/// A cluster that was kept before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its uid.
    pub uid: String,
    /// From which event on.
    pub since: Seq,
    /// The event that told that another one answers.
    pub until: Seq,
    /// The event that accepted the other one.
    pub accepted: Seq,
}

/// Another cluster than the kept one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The event that told so.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// The kept cluster is behind what was observed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// The event that told so.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// The kind whose revision shows it.
    pub kind: GroupKind,
    /// The highest revision that was observed before.
    pub observed: u64,
    /// The revision that was stated then.
    pub revision: u64,
}

/// Why it is not known whether the cluster that answers is the one to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt<'a> {
    /// It is another one.
    Replaced(&'a Other),
    /// It was restored from a backup.
    Reverted(&'a Reverted),
}

impl Doubt<'_> {
    /// The event that told of it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Self::Replaced(other) => other.seq,
            Self::Reverted(reverted) => reverted.seq,
        }
    }

    /// When that was.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Replaced(other) => other.at,
            Self::Reverted(reverted) => reverted.at,
        }
    }

    /// The stable word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Replaced(_) => "replaced",
            Self::Reverted(_) => "reverted",
        }
    }
}

impl ClusterState {
    /// Why the cluster that answers is not known to be the one to be kept; `None` = it is.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt<'_>> {
        let identity = &self.identity;
        let other = identity.other.as_ref().map(Doubt::Replaced);
        other.or(identity.reverted.as_ref().map(Doubt::Reverted))
    }

    /// The doubt in words.
    #[must_use]
    pub fn doubt_text(&self) -> Option<String> {
        let kept = &self.identity.kept;
        Some(match self.doubt()? {
            Doubt::Replaced(other) => format!(
                "another cluster answers since #{}: {} instead of {kept}",
                other.seq.0, self.uid
            ),
            Doubt::Reverted(back) => format!(
                "the cluster was set back, as if restored from a backup, since #{}: {} \
                 objects were observed at revision {}, and were at {} then",
                back.seq.0, back.kind, back.observed, back.revision
            ),
        })
    }
}

impl World {
    /// What is said of which cluster it is.
    pub(super) fn identity(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::ClusterIdentified(ClusterIdentifiedV1 { uid, version, server }) => {
                self.answers(seq, uid, (version, server))
            }
            Event::ClusterReplaced(ClusterReplacedV1 { kept, uid, version, server }) => {
                if self.cluster.identity.kept.is_empty() {
                    // Who folds a part of the ledger has not seen what came before.
                    self.cluster.identity.kept.clone_from(kept);
                    self.cluster.uid.clone_from(kept);
                }
                self.answers(seq, uid, (version, server))
            }
            Event::ClusterReverted(body) => self.reverted(seq, body),
            Event::ClusterAccepted(body) => self.accepted(seq, body),
            _ => Touched::nothing(),
        }
    }

    /// The cluster `uid` answers.
    fn answers(&mut self, seq: Seq, uid: &str, (version, server): (&String, &String)) -> Touched {
        let (now, cluster) = (self.now, &mut self.cluster);
        let same = cluster.uid == *uid;
        let upgraded = cluster.version != *version;
        let identity = &mut cluster.identity;
        if identity.kept.is_empty() {
            uid.clone_into(&mut identity.kept);
            (identity.since, identity.since_at) = (seq, now);
        } else if !same {
            if cluster.uid == identity.kept {
                identity.kept_revisions = std::mem::take(&mut identity.revisions);
            }
            let back = *uid == identity.kept;
            identity.revisions =
                if back { std::mem::take(&mut identity.kept_revisions) } else { <_>::default() };
            identity.other = (!back).then_some(Other { seq, at: now });
        }
        let changed = !same && !cluster.uid.is_empty();
        uid.clone_into(&mut cluster.uid);
        cluster.version.clone_from(version);
        cluster.server.clone_from(server);
        if changed {
            self.begin_anew(seq);
        }
        if upgraded {
            // What depends on the version is rendered again.
            self.forget_problems();
        }
        if upgraded || changed { Touched::all() } else { Touched::nothing() }
    }

    fn reverted(&mut self, seq: Seq, body: &ClusterRevertedV1) -> Touched {
        let touched = self.answers(seq, &body.uid, (&body.version, &body.server));
        let identity = &mut self.cluster.identity;
        // Another cluster than the kept one may be set back as well: it is in doubt already.
        if identity.other.is_none() {
            let (kind, at) = (body.kind.clone(), self.now);
            let (observed, revision) = (body.observed, body.revision);
            identity.reverted = Some(Reverted { seq, at, kind, observed, revision });
        }
        if let Some(other) = &mut identity.other {
            (other.seq, other.at) = (seq, self.now);
        }
        identity.revisions = Revisions::default();
        self.begin_anew(seq);
        touched.and(Touched::all())
    }

    /// Nothing that was seen so far is of the cluster as it is: it is neither there nor gone.
    fn begin_anew(&mut self, seq: Seq) {
        self.cluster.begin(seq);
        self.cluster.identity.anew = true;
        self.live.clear();
        self.forget_doubted();
        self.overtake();
    }

    /// What was intended for what was there is found out about, and not sent.
    fn overtake(&mut self) {
        self.orphan_restores();
        for intent in self.intents.values_mut() {
            intent.orphaned = true;
        }
    }

    /// The cluster that answers is the one to be kept from here on.
    fn accepted(&mut self, seq: Seq, body: &ClusterAcceptedV1) -> Touched {
        // Whoever was shown something else has accepted something else.
        let Some(doubt) = self.cluster.doubt().filter(|doubt| doubt.seq() == body.doubt) else {
            return Touched::nothing();
        };
        let (replaced, until) = (matches!(doubt, Doubt::Replaced(_)), doubt.seq());
        if replaced {
            self.note_held();
        }
        self.forget_former(replaced);
        self.overtake();
        self.accept_what_is_there();
        self.own_what_stays(replaced);
        let (now, identity) = (self.now, &mut self.cluster.identity);
        if replaced {
            let (uid, since) = (identity.kept.clone(), identity.since);
            identity.formers.push(Former { uid, since, until, accepted: seq });
            let over = identity.formers.len().saturating_sub(FORMERS_MAX);
            identity.formers.drain(..over);
            identity.kept.clone_from(&self.cluster.uid);
            (identity.since, identity.since_at) = (seq, now);
        } else {
            identity.resumed = seq;
        }
        identity.accepted = seq;
        identity.other = None;
        identity.reverted = None;
        identity.kept_revisions = Revisions::default();
        Touched::all()
    }

    /// Forgets what was true of the former cluster, or of the kept one before it was set back.
    /// What is owned proves what may be removed: in another cluster nothing was applied, and in
    /// one that was set back only that which is there with the same uid.
    fn forget_former(&mut self, replaced: bool) {
        for app in self.apps.values_mut() {
            app.attempts.clear();
            app.rivals.clear();
            app.drift.clear();
            app.previews.clear();
            app.ignore_failures.clear();
            app.replicas_left.clear();
            // How a revision fared in another cluster says nothing about this one, where
            // everything is made anew and takes its time.
            app.trials.stays();
            app.lapse();
            app.entered.clear();
            app.entered_children.clear();
            app.arrival.objects.clear();
            if let Some(desired) = &mut app.desired {
                desired.deleted.clear();
            }
        }
        self.deletions.clear();
        let live = &self.live;
        let stays = |key: &ObjectKey, owned: &Owned| {
            !replaced && live.get(key).is_some_and(|live| live.uid == owned.uid)
        };
        let void: Vec<ObjectKey> = self
            .owned
            .iter()
            .filter(|(key, owned)| !stays(key, owned))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &void {
            self.disown(key);
        }
        for (key, owned) in &mut self.owned {
            // What is there is older than what was applied, and nobody's doing.
            if self.live.get(key).is_some_and(|live| live.object != owned.object) {
                owned.applied = Digest::default();
            }
        }
    }

    /// The kinds of what is wanted or owned that have not been listed yet, although they are
    /// served and can be: what would follow from accepting the cluster is not known until then.
    #[must_use]
    pub fn unlisted(&self) -> Vec<GroupKind> {
        let keys = self.wanted_by.keys().chain(self.owned.keys());
        let unlisted = keys.filter(|key| {
            let kind = key.group_kind();
            let served = self.cluster.kinds.get(&kind).is_some_and(|served| served.watchable);
            served && !self.cluster.is_known(key) && !self.cluster.refused.contains_key(&kind)
        });
        let kinds: std::collections::BTreeSet<_> = unlisted.map(ObjectKey::group_kind).collect();
        kinds.into_iter().collect()
    }
}
