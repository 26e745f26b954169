//! Which cluster answers.

use super::*;
use crate::ledger::event::{
    ClusterAcceptedV1, ClusterIdentifiedV1, ClusterReplacedV1, ClusterRevertedV1,
};

const SERVER: &str = "https://api";
const VERSION: &str = "v1.36.3";

impl Given {
    /// The cluster says who it is.
    pub(crate) fn identified(&mut self, uid: &str) -> Touched {
        let (version, server) = (VERSION.into(), SERVER.into());
        self.event(ClusterIdentifiedV1 { uid: uid.into(), version, server })
    }

    /// Another cluster answers, of which nothing was listed yet.
    pub(crate) fn replaced(&mut self, uid: &str) -> Seq {
        let kept = self.world.cluster.identity.kept.clone();
        let (version, server) = (VERSION.into(), SERVER.into());
        self.event(ClusterReplacedV1 { kept, uid: uid.into(), version, server });
        self.seq()
    }

    /// The cluster was restored from a backup, and nothing was listed since.
    pub(crate) fn reverted(&mut self) -> Seq {
        let uid = self.world.cluster.uid.clone();
        let (version, server) = (VERSION.into(), SERVER.into());
        let kind = GroupKind::new("", "ConfigMap");
        let (observed, revision) = (self.counter, self.counter / 2);
        self.event(ClusterRevertedV1 { uid, version, server, kind, observed, revision });
        self.seq()
    }

    /// A person accepts what was told by `doubt`.
    pub(crate) fn accepts(&mut self, doubt: Seq) -> Touched {
        let (uid, reason) = (self.world.cluster.uid.clone(), "rebuilt".into());
        self.event(ClusterAcceptedV1 { uid, doubt, reason })
    }

    /// A list shows an object as it was in `then`.
    pub(crate) fn shows_as_in(&mut self, then: &World, text: &str) {
        let live = then.live[&key(text)].clone();
        let seen = self.observation(text);
        self.event(ObjectObservedV1 {
            uid: live.uid,
            resource_version: live.resource_version,
            digest: live.digest,
            owned: live.owned,
            object: live.object,
            learned: Learned::Listed,
            ..seen
        });
    }
}
