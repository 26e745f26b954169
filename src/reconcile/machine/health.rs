//! How well applications and their objects are, told when it changes.

use crate::ledger::Draft;
use crate::ledger::event::{AppHealthChangedV1, Health, ObjectHealthChangedV1};
use crate::plan::Plan;
use crate::replay::{App, World};

/// The health of the application as a whole.
pub(super) fn announce(app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    if plan.health != app.health {
        drafts.push(Draft::new(AppHealthChangedV1 {
            app: plan.app.clone(),
            was: app.health,
            now: plan.health,
            message: plan.health_message.clone(),
        }));
    }
}

/// Objects that turned unwell, or are well again. An object that is neither is on its way and
/// says so in the health of its application: a crash loop is told once, not at every restart.
pub(super) fn announce_turns(world: &World, app: &App, plan: &Plan, drafts: &mut Vec<Draft>) {
    for object in plan.objects.iter().filter(|object| app.wants(&object.key)) {
        let was = app.unwell.get(&object.key).copied().unwrap_or(Health::Healthy);
        let on_its_way = matches!(object.health, Health::Progressing | Health::Missing);
        // Child applications tell of their own health.
        if on_its_way || object.health == was || object.key.is_application() {
            continue;
        }
        let draft = Draft::new(ObjectHealthChangedV1 {
            app: plan.app.clone(),
            key: object.key.clone(),
            was,
            now: object.health,
            message: object.health_message.clone(),
        });
        let observation = world.live.get(&object.key).map(|live| live.seq);
        drafts.push(match observation {
            Some(observation) => draft.caused_by(observation),
            None => draft,
        });
    }
}
