//! What greffier wrote and this ledger does not know of.
//!
//! Every apply leaves its time in the object's own record of who owns which fields. Where that is
//! later than every write of this ledger, another greffier wrote the object: one that went on from
//! this ledger, which is then an old copy, or one beside it. What this ledger would put back is
//! older than what is there.
//!
//! A write of this ledger that may have been made although nobody saw it is no other greffier's:
//! its time is bounded by the deadline of its intent.

use super::application::App;
use super::world::World;
use crate::ledger::event::{Verb, Write};
use crate::model::{ObjectKey, Timestamp};

/// How much earlier than the daemon the API server may think that it is.
const CLOCKS_DIFFER_MS: u64 = 60_000;

impl World {
    /// When greffier wrote to the object last, where this ledger does not know of that.
    #[must_use]
    pub fn later_write(&self, app: &App, key: &ObjectKey) -> Option<Timestamp> {
        let later = app.drift.get(key)?.later?;
        let unseen = self.owned.get(key)?.unseen;
        unseen.is_none_or(|until| later > until.plus_ms(CLOCKS_DIFFER_MS)).then_some(later)
    }

    /// Whether the object was made anew, and as greffier, without this ledger knowing of it.
    fn is_anothers(&self, key: &ObjectKey) -> bool {
        let state = self.live.get(key).zip(self.owned.get(key));
        state.is_some_and(|(live, owned)| {
            live.uid != owned.uid && live.owned.is_some() && owned.unseen.is_none()
        })
    }

    /// Whether `write` would put back what is older than a write of greffier that this ledger
    /// does not know of. What Git asks for is no putting back.
    #[must_use]
    pub fn puts_back_older(&self, app: &App, write: &Write) -> bool {
        match write.verb {
            Verb::Heal | Verb::Reclaim | Verb::TakeOver => {
                self.later_write(app, &write.key).is_some() || self.is_anothers(&write.key)
            }
            // Whoever wrote later may have removed it, too.
            Verb::Create => {
                let owned = self.owned.get(&write.key);
                owned.is_some_and(|owned| owned.applied == write.digest)
                    && app.drift.keys().any(|key| self.later_write(app, key).is_some())
            }
            Verb::Update | Verb::Adopt | Verb::Recreate | Verb::Prune => false,
        }
    }
}
