//! How turns of health change the world.

use super::world::{Touched, World};
use crate::ledger::event::{AppHealthChangedV1, Health, ObjectHealthChangedV1, Origin};
use crate::model::Seq;

impl World {
    pub(super) fn health_changed(&mut self, seq: Seq, body: &AppHealthChangedV1) -> Touched {
        self.fares(seq, body);
        if let Some(app) = self.apps.get_mut(&body.app) {
            app.health = body.now;
            app.health_message.clone_from(&body.message);
            // Parents' health rests on their children's.
            if let Origin::Parent(parent) = &app.origin {
                return Touched::app(parent);
            }
        }
        Touched::nothing()
    }

    pub(super) fn object_health_changed(&mut self, body: &ObjectHealthChangedV1) -> Touched {
        if let Some(app) = self.apps.get_mut(&body.app) {
            match body.now {
                Health::Healthy => app.unwell.remove(&body.key),
                unwell => app.unwell.insert(body.key.clone(), unwell),
            };
        }
        // It was decided from the health that is known already.
        Touched::nothing()
    }
}
