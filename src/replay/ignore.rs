//! How problems with `ignoreDifferences` change the world.

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use super::writes::retry_at;
use crate::ledger::event::{IgnoreCheckedV1, IgnoreFailedV1};
use crate::model::{Digest, Seq, Timestamp};

/// Why it is not known what is ignored of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreFailure {
    /// The event.
    pub seq: Seq,
    /// The digest of the mask.
    pub mask: Digest,
    /// The digest of the live object.
    pub live: Digest,
    /// The cause.
    pub error: String,
    /// How often it failed in a row for the same.
    pub failures: u32,
    /// When to try again; `None` = not before the rule or the object changes.
    pub next: Option<Timestamp>,
}

impl World {
    pub(super) fn ignore_checked(&mut self, body: &IgnoreCheckedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        app.ignore_problems.clone_from(&body.problems);
        Touched::app(&body.app)
    }

    pub(super) fn ignore_failed(&mut self, seq: Seq, body: &IgnoreFailedV1) -> Touched {
        let now = self.now;
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        let former = app.ignore_failures.get(&body.key);
        let former = former.filter(|known| known.mask == body.mask && known.live == body.live);
        let failures = former.map_or(0, |known| known.failures).saturating_add(1);
        let failure = IgnoreFailure {
            seq,
            mask: body.mask,
            live: body.live,
            error: body.error.clone(),
            failures,
            next: body.transient.then(|| retry_at(now, failures)),
        };
        app.ignore_failures.insert(body.key.clone(), failure);
        Touched::app(&body.app)
    }
}
