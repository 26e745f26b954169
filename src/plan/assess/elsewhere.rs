//! Objects that other applications have or had. What a person protects there is protected from
//! everybody: an object that moved in Git out of an application that is paused, or that a rollback
//! took away, is not written by the one that has it now.

use super::{CREATE_NAMESPACE, Judge, Need, Status};
use crate::ledger::event::DesiredObject;
use crate::model::{AppName, ObjectKey, Source};
use crate::replay::{App, Owned, World};

impl Judge<'_> {
    /// What an object needs that is another application's, or was and is not let go.
    pub(super) fn need_of_others(
        &self,
        object: &DesiredObject,
        owned: Option<&Owned>,
    ) -> Option<Need> {
        let key = &object.key;
        if let Some(other) = self.other_owner(key, owned) {
            if object.origin == CREATE_NAMESPACE {
                let why = format!("application {other} creates it");
                return Some(Need::Wait { status: Status::Missing, why, progress: true });
            }
            let why = format!("application {other} has it too, and had it first");
            return Some(Need::Nothing(Status::Foreign, why));
        }
        let paused = paused_elsewhere(self.world, self.name, key);
        let paused =
            paused.map(|other| format!("waits: application {other}, which has it, is paused"));
        let why = paused.or_else(|| self.held_elsewhere(key))?;
        let there = self.world.live.contains_key(key);
        let status = if there { Status::Changed } else { Status::Missing };
        Some(Need::Wait { status, why, progress: true })
    }

    /// What the object waits for because the rollback of another application took it away, or held
    /// it off: Git has it there, too, and that waits for the release. What this application has
    /// applied is its own, and so is what a person asked for by a hold.
    pub(super) fn held_elsewhere(&self, key: &ObjectKey) -> Option<String> {
        let own = self.world.owned.get(key).is_some_and(|owned| owned.app == *self.name);
        if own || self.app.is_held() || self.app.is_held_as_it_was(key) {
            return None;
        }
        let others = self.world.apps.iter().filter(|(other, state)| {
            *other != self.name && state.is_held() && !state.removing && !state.wants(key)
        });
        let mut waits = others.filter_map(|(other, state)| {
            if state.proposes(key) {
                return Some(format!(
                    "waits for the release of application {other}: what waits for that has it"
                ));
            }
            // What the same push brings to both is known of this one alone.
            let may_have = self.world.render_pending(state) && self.shares_source(state);
            may_have.then(|| format!("waits until application {other}, which is held, is rendered"))
        });
        waits.next()
    }

    /// Whether the other application is made from the same files.
    fn shares_source(&self, other: &App) -> bool {
        let mut own = self.app.spec.sources.iter();
        own.any(|own| {
            let same = |theirs: &Source| theirs.repo == own.repo && theirs.path == own.path;
            other.spec.sources.iter().any(same)
        })
    }

    /// The application that has the object already and still wants it.
    fn other_owner(&self, key: &ObjectKey, owned: Option<&Owned>) -> Option<AppName> {
        if let Some(owned) = owned {
            if owned.app == *self.name {
                return None;
            }
            if self.world.apps.get(&owned.app).is_some_and(|owner| owner.wants(key)) {
                return Some(owned.app.clone());
            }
        }
        // Nobody owns it any more or yet: whoever has it by a person's word gets it, or the first by
        // definition, so that two do not race.
        let rank = |app: &App| (!app.is_held_as_it_was(key), app.declared);
        let rivals = self.world.wanted_by.get(key)?.iter().filter(|rival| *rival != self.name);
        let first = rivals.filter_map(|rival| Some((rank(self.world.apps.get(rival)?), rival)));
        first.min().filter(|(first, _)| *first < rank(self.app)).map(|(_, rival)| rival.clone())
    }
}

/// The other application that is paused and has the object, or is the last that had it.
fn paused_elsewhere<'w>(world: &'w World, name: &AppName, key: &ObjectKey) -> Option<&'w AppName> {
    let owner = world.owned.get(key).map(|owned| &owned.app);
    if owner == Some(name) {
        return None;
    }
    let wants = world.wanted_by.get(key).into_iter().flatten().filter(|other| *other != name);
    let is_paused = |app: &App| app.is_paused(world.now);
    owner.into_iter().chain(wants).find(|other| world.apps.get(*other).is_some_and(is_paused))
}
