//! Telling once that Git's replicas of an object are left to an autoscaler.

use crate::ledger::Draft;
use crate::ledger::event::ReplicasLeftV1;
use crate::model::AppName;
use crate::replay::{App, World};

pub(super) fn announce(world: &World, name: &AppName, app: &App, drafts: &mut Vec<Draft>) {
    for (key, autoscaler) in world.replicas_untold(app) {
        let (app, key) = (name.clone(), key.clone());
        let seen = world.live.get(autoscaler).map(|live| live.seq);
        let left = ReplicasLeftV1 { app, key, autoscaler: autoscaler.clone() };
        drafts.extend(seen.map(|seen| Draft::new(left).caused_by(seen)));
    }
}
