//! How much a sync did, as it is told when it ends.
//!
//! Counted is what is written because of what is wanted, or because somebody asked for it. What puts
//! back what others changed is no part of a sync, unless somebody asked. Applications that are
//! defined below are objects of the one that defines them.

use super::application::App;
use super::world::World;
use crate::ledger::event::{AppDeclaredV1, AppRemovedV1, Origin, Verb};
use crate::model::Digest;

impl App {
    /// A write was made; `again` = what was applied already was applied once more.
    pub(super) fn count_write(&mut self, verb: Verb, changed: bool, again: bool) {
        let asked = self.request.is_some();
        let (created, updated, _) = &mut self.counts;
        match verb {
            Verb::Create if asked || !again => *created += 1,
            Verb::Heal if changed && asked => *updated += 1,
            Verb::Update | Verb::Adopt if changed => *updated += 1,
            Verb::Create
            | Verb::Heal
            | Verb::Update
            | Verb::Adopt
            | Verb::Reclaim
            | Verb::TakeOver
            | Verb::Recreate
            | Verb::Prune => {}
        }
    }
}

impl World {
    /// An application is defined, or defined otherwise, by the one above it.
    pub(super) fn count_definition(&mut self, body: &AppDeclaredV1, manifest: Digest) {
        let Origin::Parent(parent) = &body.origin else { return };
        let known = self.apps.get(&body.app).filter(|app| !app.removing);
        let (new, changed) = (known.is_none(), known.is_some_and(|app| app.manifest != manifest));
        if let Some(parent) = self.apps.get_mut(parent) {
            parent.counts.0 += u32::from(new);
            parent.counts.1 += u32::from(changed);
        }
    }

    /// An application is removed by the one above it.
    pub(super) fn count_child_gone(&mut self, body: &AppRemovedV1) {
        let Origin::Parent(parent) = &body.origin else { return };
        let there = self.apps.get(&body.app).is_some_and(|app| !app.removing);
        if let Some(parent) = self.apps.get_mut(parent).filter(|_| there) {
            parent.counts.2 += 1;
        }
    }
}
